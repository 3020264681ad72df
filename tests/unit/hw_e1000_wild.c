/* Random registers, rings and frames: whatever a guest does, the card survives it, in bounded time,
 * and works again after a reset. PERILUNE_SEED and PERILUNE_CASES choose another run. */
#include "hw_e1000_fixture.h"

#include <stdio.h>

static uint64_t rng;

static uint32_t rnd(uint32_t below)
{
    rng ^= rng << 13;
    rng ^= rng >> 7;
    rng ^= rng << 17;
    return (uint32_t)(rng >> 16) % below;
}

static uint64_t environment(const char *name, uint64_t otherwise)
{
    const char *s = getenv(name);
    return s ? strtoull(s, NULL, 0) : otherwise;
}

static const uint32_t registers[] = {
    E1000_CTRL,  E1000_EECD,  E1000_EERD, E1000_MDIC,  E1000_ICR,    E1000_ITR,
    E1000_ICS,   E1000_IMS,   E1000_IMC,  E1000_RCTL,  E1000_RDBAL,  E1000_RDLEN,
    E1000_RDH,   E1000_RDT,   E1000_RDTR, E1000_RADV,  E1000_RXCSUM, E1000_TCTL,
    E1000_TDBAL, E1000_TDLEN, E1000_TDH,  E1000_TDT,   E1000_TIDV,   E1000_TADV,
    E1000_VET,   E1000_MTA,   E1000_VFTA, E1000_GORCH, E1000_FCRTH,  E1000_FCTTV,
    E1000_WUC,   E1000_WUFC,  E1000_FFLT, E1000_FFMT,  E1000_WUS,    E1000_PBM + 0xfffc,
    E1000_PBA,   E1000_RDFH,  E1000_RDFT, E1000_RDFPC, E1000_RXDCTL, E1000_TXDCTL,
    E1000_PBM,
};

/* Mostly sensible values, so that what follows them is reached. */
static uint32_t any_value(uint32_t reg)
{
    switch (rnd(4)) {
    case 0:
        return rnd(UINT32_MAX);
    case 1:
        return rnd(16);
    default:
        break;
    }
    switch (reg) {
    case E1000_TDBAL:
        return TX_RING;
    case E1000_RDBAL:
        return rnd(2) ? RX_RING : TX_RING;
    case E1000_TDLEN:
    case E1000_RDLEN:
        return 128u << rnd(6);
    case E1000_CTRL:
        return E1000_CTRL_SLU | (rnd(2) ? E1000_CTRL_VME : 0);
    case E1000_TCTL:
        return E1000_TCTL_EN | rnd(16);
    case E1000_RCTL:
        return E1000_RCTL_EN | rnd(UINT32_MAX);
    default:
        return rnd(0x10000);
    }
}

static void any_descriptor(struct nic *n)
{
    uint8_t *d = n->pc->ram.host + (rnd(2) ? TX_RING : RX_RING) + 16 * rnd(256);
    uint64_t first = rnd(4) ? rnd(PC_RAM_SIZE) : (uint64_t)rnd(UINT32_MAX) << rnd(32);
    if (rnd(8) == 0)
        first = NIC_MMIO + rnd(E1000_MMIO_SIZE);
    uint64_t second = (uint64_t)rnd(UINT32_MAX) << 32 | rnd(UINT32_MAX);
    if (rnd(2)) /* a sound context, or data in it */
        second = rnd(2) ? rnd(20000) | 1u << 20 | (uint64_t)(0x20 | rnd(256)) << 24 | 3ull << 40
                        : (uint64_t)0x27 << 24 | 54ull << 40 | (uint64_t)(16 + rnd(2000)) << 48;
    st_le64(d, second >> 20 & 1 || rnd(2) ? first : 0x0000280e00210e18ull);
    st_le64(d + 8, second);
}

static void one_step(struct nic *n)
{
    uint8_t frame[3000] = ETH_TO_US;
    uint32_t reg = registers[rnd(ARRAY_LEN(registers))];
    n->count = 0;
    n->blocked = rnd(8) == 0;
    switch (rnd(6)) {
    case 0:
        any_descriptor(n);
        break;
    case 1:
        nic_get(n, reg);
        break;
    case 2:
        for (unsigned i = 12; i < 80; i++)
            frame[i] = (uint8_t)rnd(256);
        rx_send(n, frame, 14 + rnd(sizeof frame - 14));
        break;
    case 3:
        nic_advance(n, rnd(10000000));
        break;
    default:
        nic_set(n, reg, any_value(reg));
    }
}

static void survives(void **state)
{
    uint64_t seed = environment("PERILUNE_SEED", 1), cases = environment("PERILUNE_CASES", 40);
    printf("seed %llu, %llu cases\n", (unsigned long long)seed, (unsigned long long)cases);
    for (uint64_t c = 0; c < cases; c++) {
        rng = (seed + c) * 0x9e3779b97f4a7c15ull | 1;
        struct nic *n = nic_with("lossless", c & 1 ? "false" : "true");
        nic_start(n);
        n->sink = true;
        for (unsigned i = 0; i < 3000; i++)
            one_step(n);
        n->blocked = false;
        machine_reset_devices(n->pc->m);
        net_port_ready(&n->peer);
        pc_conf_write(n->pc, NIC, PCI_BAR0, 4, NIC_MMIO);
        pc_conf_write(n->pc, NIC, PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
        nic_start(n);
        n->sink = false;
        n->count = n->tail = 0;
        size_t len = build_ip4(n->pc->ram.host + TX_DATA, 6, 500);
        tx_legacy(n, TX_DATA, len, E1000_TXD_CMD_EOP);
        tx_go(n);
        assert_int_equal(n->count, 1);
        assert_memory_equal(n->frame[0], n->pc->ram.host + TX_DATA, len);
        rx_send(n, (const uint8_t *)ETH_TO_US "\x08\x06", 14);
        assert_int_equal(nic_get(n, E1000_RDH), 1);
        nic_free(n);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(survives) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
