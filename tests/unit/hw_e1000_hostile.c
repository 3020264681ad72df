/* Rings and buffers where they should not be: in the card's own registers, in each other, in memory
 * that changes under it. Every transfer ends, and the card works afterwards. */
#include "hw_e1000_fixture.h"

enum {
    CHANGING = 0x20000000, /* each read gives another value */
    CHANGING_SIZE = 0x10000,
};

struct changing {
    struct region region;
    uint64_t bytes_read;
    uint64_t (*value)(struct changing *c, uint64_t offset);
};

static uint64_t changing_read(void *opaque, uint64_t offset, unsigned size)
{
    struct changing *c = opaque;
    uint64_t v = c->value(c, offset);
    c->bytes_read += size;
    return v;
}

static void changing_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
}

static const struct region_ops changing_ops = {
    .read = changing_read,
    .write = changing_write,
    .valid = { .min = 1, .max = 8 },
    .impl = { .min = 8, .max = 8 },
};

static void add_changing(struct nic *n, struct changing *c)
{
    region_init_io(&c->region, n->pc->m->mem, "changing", CHANGING_SIZE, &changing_ops, c);
    region_add(&n->pc->m->system, CHANGING, &c->region, 1);
}

/* As if nothing had been. */
static void works(struct nic *n)
{
    nic_set(n, E1000_CTRL, E1000_CTRL_RST);
    n->count = n->tail = 0;
    memset(n->pc->ram.host + TX_RING, 0, RING * 16);
    nic_start(n);
    size_t len = build_ip4(n->pc->ram.host + TX_DATA, 6, 500);
    tx_legacy(n, TX_DATA, len, E1000_TXD_CMD_EOP);
    tx_go(n);
    assert_int_equal(n->count, 1);
    assert_memory_equal(n->frame[0], n->pc->ram.host + TX_DATA, len);
    rx_send(n, (const uint8_t *)ETH_TO_US "\x08\x06", 14);
    assert_int_equal(nic_get(n, E1000_RDH), 1);
}

/* Its own registers are closed to it: neither are they read as descriptors, nor does a transfer
 * begin in the middle of another. */
static void in_its_own_registers(void **state)
{
    struct nic *n = nic_new();
    nic_set(n, E1000_PBM, TX_DATA);
    nic_set(n, E1000_PBM + 8, 60 | E1000_TXD_CMD_EOP << 24);
    nic_set(n, E1000_TDBAL, NIC_MMIO + E1000_PBM);
    nic_set(n, E1000_TDT, 1);
    assert_int_equal(n->count, 0); /* all ones is no descriptor */
    works(n);

    /* the status of a descriptor, and a frame, would land on TDT */
    nic_set(n, E1000_TDBAL, NIC_MMIO + E1000_TDT - 0x18 - 16);
    nic_set(n, E1000_TDT, 2);
    works(n);
    uint8_t f[200] = ETH_TO_US;
    memset(f + 14, 0x01, sizeof f - 14);
    st_le64(n->pc->ram.host + RX_RING + 16, NIC_MMIO + E1000_TDT - 16);
    uint32_t tail = nic_get(n, E1000_TDT);
    rx_send(n, f, sizeof f);
    assert_int_equal(nic_get(n, E1000_TDT), tail);
    nic_set(n, E1000_RDBAL, NIC_MMIO + E1000_RDBAL);
    rx_send(n, f, sizeof f);
    works(n);
    nic_free(n);
}

/* A frame that is looped back overwrites the descriptors behind its own. */
static void in_each_other(void **state)
{
    struct nic *n = nic_new();
    nic_set(n, E1000_RCTL, NIC_RCTL | E1000_RCTL_UPE | 3 << E1000_RCTL_LBM_SHIFT);
    nic_set(n, E1000_RDBAL, TX_RING);
    for (unsigned i = 0; i < RING; i++)
        tx_legacy(n, TX_RING, 1000, E1000_TXD_CMD_EOP | E1000_TXD_CMD_RS);
    nic_set(n, E1000_TDT, RING - 1);
    nic_advance(n, NS_PER_SECOND);
    works(n);
    /* the receive ring as its own buffer */
    nic_set(n, E1000_RCTL, NIC_RCTL | E1000_RCTL_LPE);
    for (unsigned i = 0; i < RING; i++)
        st_le64(n->pc->ram.host + RX_RING + 16 * i, RX_RING);
    uint8_t f[9000] = ETH_TO_US;
    memset(f + 14, 0xff, sizeof f - 14);
    for (unsigned i = 0; i < RING; i++)
        rx_send(n, f, sizeof f);
    works(n);
    nic_free(n);
}

/* A data descriptor that is longer, and elsewhere, each time it is read. */
static uint64_t growing(struct changing *c, uint64_t offset)
{
    return offset & 8 ? (60 + c->bytes_read * 16) | E1000_TXD_CMD_EOP << 24
                      : TX_DATA + c->bytes_read;
}

static void a_descriptor_is_read_once(void **state)
{
    struct nic *n = nic_new();
    struct changing c = { .value = growing };
    add_changing(n, &c);
    nic_set(n, E1000_TDBAL, CHANGING);
    nic_set(n, E1000_TDT, 3);
    assert_int_equal(c.bytes_read, 3 * 16);
    assert_int_equal(n->count, 3);
    assert_int_equal(n->len[0], 60 + 8 * 16); /* what the second half said when it was read */
    /* those of the receive ring when they are given */
    c.bytes_read = 0;
    nic_set(n, E1000_RDBAL, CHANGING);
    rx_send(n, (const uint8_t *)ETH_TO_US "\x08\x06", 14);
    assert_int_equal(c.bytes_read, (RING - 1) * 16);
    works(n);
    region_fini(&c.region);
    nic_free(n);
}

/* A header that is not the same for the next segment: it was copied when it came. */
static uint64_t noise(struct changing *c, uint64_t offset)
{
    return (c->bytes_read + 1) * 0x9e3779b97f4a7c15;
}

static void segmenting_what_changes(void **state)
{
    struct nic *n = nic_new();
    struct changing c = { .value = noise };
    add_changing(n, &c);
    for (unsigned tries = 0; tries < 50; tries++) {
        n->count = 0;
        tx_offload(n, (struct offload){ .ipcss = 14,
                                        .ipcso = 24,
                                        .ipcse = 33,
                                        .tucss = 34,
                                        .tucso = 50,
                                        .paylen = 4000,
                                        .hdrlen = 54,
                                        .mss = 1000,
                                        .tucmd = E1000_TXD_TUCMD_TSE | E1000_TXD_TUCMD_TCP |
                                                 E1000_TXD_TUCMD_IP });
        tx_ext(n, CHANGING + tries * 8, 4054, E1000_TXD_CMD_TSE | E1000_TXD_CMD_EOP, 3, 0);
        tx_go(n);
        assert_int_equal(n->count, 4);
        for (unsigned i = 1; i < 4; i++) { /* but for length, checksum, identification, sequence */
            assert_memory_equal(n->frame[i], n->frame[0], 16);
            assert_memory_equal(n->frame[i] + 26, n->frame[0] + 26, 12);
        }
    }
    works(n);
    region_fini(&c.region);
    nic_free(n);
}

/* Rings whose ends are nowhere. */
static void rings_out_of_range(void **state)
{
    static const struct {
        uint32_t base, high, len, head, tail;
    } rings[] = {
        { 0xfffffff0, 0xffffffff, 0xfff80, 0, 0xffff }, /* wraps around 2^64 */
        { PC_RAM_SIZE - 16, 0, 0xfff80, 0, 0xfff7 },    /* leaves RAM after one */
        { TX_RING, 0, 0, 0, 1 },                        /* no descriptors at all */
        { TX_RING, 0, 128, 8, 3 },                      /* head, tail beyond the end */
        { TX_RING, 0, 128, 0xffff, 0xffff },
        { TX_RING, 0, 128, 2, 8 },
    };
    struct nic *n = nic_new();
    for (unsigned i = 0; i < ARRAY_LEN(rings); i++) {
        for (unsigned half = 0; half < 2; half++) {
            uint32_t at = half ? E1000_TDBAL : E1000_RDBAL;
            nic_set(n, at, rings[i].base);
            nic_set(n, at + 4, rings[i].high);
            nic_set(n, at + 8, rings[i].len);
            nic_set(n, at + 0x10, rings[i].head);
            nic_set(n, at + 0x18, rings[i].tail);
        }
        for (unsigned k = 0; k < 3; k++)
            rx_send(n, (const uint8_t *)ETH_TO_US "\x08\x06", 14);
        nic_advance(n, NS_PER_SECOND);
        nic_set(n, E1000_TDBAH, 0);
        nic_set(n, E1000_RDBAH, 0);
        works(n);
    }
    nic_free(n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(in_its_own_registers),      cmocka_unit_test(in_each_other),
        cmocka_unit_test(a_descriptor_is_read_once), cmocka_unit_test(segmenting_what_changes),
        cmocka_unit_test(rings_out_of_range),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
