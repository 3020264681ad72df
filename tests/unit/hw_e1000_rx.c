/* The e1000's receive half: filters, descriptors, checksum verdicts, tags, back-pressure, wild
 * rings. */
#include "hw_e1000_fixture.h"

enum {
    DD = E1000_RXD_STAT_DD,
    EOP = E1000_RXD_STAT_EOP,
    IXSM = E1000_RXD_STAT_IXSM,
    TCPCS = E1000_RXD_STAT_TCPCS,
    IPCS = E1000_RXD_STAT_IPCS,
};

static unsigned received(struct nic *n)
{
    return nic_get(n, E1000_RDH);
}

static void a_frame(void **state)
{
    struct nic *n = nic_new();
    uint8_t f[FRAME_ROOM];
    size_t len = build_ip4(f, 17, 100);
    rx_send(n, f, len);
    assert_int_equal(received(n), 1);
    struct rx_desc d = rx_desc(n, 0);
    assert_int_equal(d.len, len + 4);
    assert_int_equal(d.status, DD | EOP | IXSM);
    assert_memory_equal(rx_data(n, 0), f, len);
    assert_int_equal(ld_le32(rx_data(n, 0) + len), plain_crc(f, len));
    assert_int_equal(d.checksum, (uint16_t)~plain_sum(f, len, 0));
    assert_int_equal(nic_get(n, E1000_ICR), E1000_ICR_RXT0);
    /* short ones come padded; the FCS can be left out */
    rx_send(n, f, 42);
    assert_int_equal(rx_desc(n, 1).len, 64);
    assert_int_equal(rx_data(n, 1)[42] | rx_data(n, 1)[59], 0);
    nic_set(n, E1000_RCTL, NIC_RCTL | E1000_RCTL_SECRC);
    rx_send(n, f, len);
    assert_int_equal(rx_desc(n, 2).len, len);
    /* disabled, or without a link: lost */
    nic_set(n, E1000_RCTL, 0);
    rx_send(n, f, len);
    nic_set(n, E1000_RCTL, NIC_RCTL);
    nic_set(n, E1000_CTRL, 0);
    rx_send(n, f, len);
    nic_set(n, E1000_CTRL, E1000_CTRL_SLU);
    assert_int_equal(received(n), 3);
    nic_free(n);
}

/* Is a frame to `to` taken? */
static bool takes(struct nic *n, const char *to)
{
    uint8_t f[60] = { 0 };
    unsigned before = received(n);
    memcpy(f, to, 6);
    memcpy(f + 6, "\x52\x55\x0a\x00\x02\x02\x08\x06", 8);
    rx_send(n, f, sizeof f);
    bool taken = received(n) != before;
    nic_set(n, E1000_RDT, (received(n) + RING - 1) % RING);
    return taken;
}

static void filters(void **state)
{
    static const char other[] = "\x52\x54\x00\x12\x34\x57", group[] = "\x01\x00\x5e\x00\x00\x01";
    static const char broadcast[] = "\xff\xff\xff\xff\xff\xff";
    struct nic *n = nic_new();
    assert_true(takes(n, OUR_MAC));
    assert_false(takes(n, other));
    assert_true(takes(n, broadcast));
    assert_false(takes(n, group));
    nic_set(n, E1000_RCTL, E1000_RCTL_EN);
    assert_false(takes(n, broadcast));
    nic_set(n, E1000_RCTL, E1000_RCTL_EN | E1000_RCTL_UPE);
    assert_true(takes(n, other));
    assert_false(takes(n, group));
    nic_set(n, E1000_RCTL, E1000_RCTL_EN | E1000_RCTL_MPE);
    assert_true(takes(n, group));
    assert_false(takes(n, other));
    /* the last of the sixteen addresses, and one that is not valid */
    nic_set(n, E1000_RCTL, E1000_RCTL_EN);
    nic_set(n, E1000_RA + 8 * 15, 0x12005452);
    nic_set(n, E1000_RA + 8 * 15 + 4, 0x5734);
    assert_false(takes(n, other));
    nic_set(n, E1000_RA + 8 * 15 + 4, 0x80005734);
    assert_true(takes(n, other));
    /* a slot may be for source addresses; two codes are reserved */
    nic_set(n, E1000_RA + 8 * 15 + 4, 0x80015734);
    assert_false(takes(n, other));
    nic_set(n, E1000_RA + 8 * 15, 0x000a5552);
    nic_set(n, E1000_RA + 8 * 15 + 4, 0x80010202);
    assert_true(takes(n, other));
    nic_set(n, E1000_RA + 8 * 15 + 4, 0x80020202);
    assert_false(takes(n, other));
    /* 01:00:5e:00:00:01 hashes by its last 16 bits, 0x0100 in the frame's order, at four places */
    static const uint16_t hash[4] = { 0x010, 0x020, 0x040, 0x100 };
    for (unsigned mo = 0; mo < 4; mo++) {
        nic_set(n, E1000_RCTL, E1000_RCTL_EN | mo << E1000_RCTL_MO_SHIFT);
        assert_false(takes(n, group));
        nic_set(n, E1000_MTA + 4 * (hash[mo] >> 5), 1u << (hash[mo] & 31));
        assert_true(takes(n, group));
        nic_set(n, E1000_MTA + 4 * (hash[mo] >> 5), 0);
    }
    nic_free(n);
}

static void several_descriptors(void **state)
{
    struct nic *n = nic_new();
    static uint8_t f[9000];
    memcpy(f, ETH_TO_US, 12);
    for (unsigned i = 12; i < sizeof f; i++)
        f[i] = (uint8_t)(i / 3);
    /* buffers of 256 bytes */
    nic_set(n, E1000_RCTL, NIC_RCTL | 3 << E1000_RCTL_BSIZE_SHIFT);
    rx_send(n, f, 600);
    assert_int_equal(received(n), 3);
    assert_int_equal(rx_desc(n, 0).len, 256);
    assert_int_equal(rx_desc(n, 0).status & (DD | EOP), DD);
    assert_int_equal(rx_desc(n, 1).len, 256);
    assert_int_equal(rx_desc(n, 2).len, 92);
    assert_int_equal(rx_desc(n, 2).status & (DD | EOP), DD | EOP);
    assert_memory_equal(rx_data(n, 0), f, 256);
    assert_memory_equal(rx_data(n, 1), f + 256, 256);
    assert_memory_equal(rx_data(n, 2), f + 512, 88);
    /* four descriptors are left, six are needed: the rest comes with them */
    nic_get(n, E1000_ICR);
    rx_send(n, f, 1500);
    assert_int_equal(received(n), 7);
    assert_int_equal(rx_desc(n, 6).status & (DD | EOP), DD);
    assert_int_equal(nic_get(n, E1000_ICR), E1000_ICR_RXDMT0);
    nic_set(n, E1000_RDT, 0);
    assert_int_equal(rx_desc(n, 7).status & (DD | EOP), DD);
    nic_set(n, E1000_RDT, 2);
    assert_int_equal(received(n), 1);
    assert_int_equal(rx_desc(n, 0).status & (DD | EOP), DD | EOP);
    assert_int_equal(rx_desc(n, 0).len, 1504 - 5 * 256);
    assert_memory_equal(rx_data(n, 7), f + 4 * 256, 256);
    assert_memory_equal(rx_data(n, 0), f + 5 * 256, 1500 - 5 * 256);
    assert_int_equal(nic_get(n, E1000_ICR) & E1000_ICR_RXT0, E1000_ICR_RXT0);
    assert_int_equal(nic_get(n, E1000_MPC), 0);
    /* long frames only when enabled; buffers of 4, 8 and 16 KiB with BSEX */
    rx_send(n, f, 1519);
    assert_int_equal(nic_get(n, E1000_ROC), 1);
    for (unsigned code = 1; code <= 3; code++) {
        unsigned at = received(n), size = 32768 >> code;
        nic_set(n, E1000_RDT, (at + RING - 1) % RING);
        nic_set(n, E1000_RCTL,
                NIC_RCTL | E1000_RCTL_LPE | E1000_RCTL_BSEX | E1000_RCTL_SECRC |
                    code << E1000_RCTL_BSIZE_SHIFT);
        rx_send(n, f, sizeof f);
        assert_int_equal(received(n), (at + (sizeof f + size - 1) / size) % RING);
        assert_int_equal(rx_desc(n, at).len, sizeof f < size ? sizeof f : size);
        assert_memory_equal(rx_data(n, at), f, sizeof f < size ? sizeof f : size);
    }
    nic_free(n);
}

/* Frames that are too long: dropped, unless bad ones are to be stored; and short ones. */
static void lengths(void **state)
{
    struct nic *n = nic_new();
    static uint8_t f[20000] = "\x52\x54\x00\x12\x34\x57";
    rx_send(n, f, 1519); /* to somebody else */
    assert_int_equal(nic_get(n, E1000_ROC) | nic_get(n, E1000_RLEC), 0);
    memcpy(f, OUR_MAC, 6);
    rx_send(n, f, 1518);
    rx_send(n, f, 1519);
    assert_int_equal(received(n), 1);
    assert_int_equal(nic_get(n, E1000_ROC), 1);
    assert_int_equal(nic_get(n, E1000_RLEC), 1);
    nic_set(n, E1000_RCTL, NIC_RCTL | E1000_RCTL_SBP);
    rx_send(n, f, 1519);
    assert_int_equal(received(n), 2);
    assert_int_equal(rx_desc(n, 1).len, 1523);
    assert_int_equal(nic_get(n, E1000_ROC), 1);
    assert_int_equal(nic_get(n, E1000_GPRC), 1);
    assert_int_equal(nic_get(n, E1000_TPR), 4);
    /* 16384 with the FCS is the most */
    nic_set(n, E1000_RCTL,
            NIC_RCTL | E1000_RCTL_LPE | E1000_RCTL_BSEX | 1 << E1000_RCTL_BSIZE_SHIFT);
    rx_send(n, f, 16380);
    rx_send(n, f, 16381);
    assert_int_equal(received(n), 3);
    assert_int_equal(rx_desc(n, 2).len, 16384);
    assert_int_equal(nic_get(n, E1000_ROC), 1);
    /* small ones are told of, their FCS counted */
    nic_set(n, E1000_RSRPD, 64);
    nic_get(n, E1000_ICR);
    rx_send(n, f, 61);
    assert_false(nic_get(n, E1000_ICR) & E1000_ICR_SRPD);
    rx_send(n, f, 60);
    assert_true(nic_get(n, E1000_ICR) & E1000_ICR_SRPD);
    nic_free(n);
}

static uint8_t verdict(struct nic *n, const uint8_t *f, size_t len, uint8_t *errors)
{
    unsigned at = received(n);
    rx_send(n, f, len);
    nic_set(n, E1000_RDT, (received(n) + RING - 1) % RING);
    *errors = rx_desc(n, at).errors;
    return rx_desc(n, at).status & ~(DD | EOP);
}

static void checksum_verdicts(void **state)
{
    struct nic *n = nic_new();
    uint8_t f[FRAME_ROOM], e;
    nic_set(n, E1000_RXCSUM, E1000_RXCSUM_IPOFL | E1000_RXCSUM_TUOFL);
    size_t len = build_ip4(f, 6, 777);
    assert_int_equal(verdict(n, f, len, &e), IPCS | TCPCS);
    assert_int_equal(e, 0);
    f[len - 1] ^= 1;
    assert_int_equal(verdict(n, f, len, &e), IPCS | TCPCS);
    assert_int_equal(e, E1000_RXD_ERR_TCPE);
    f[22] ^= 1; /* TTL */
    assert_int_equal(verdict(n, f, len, &e), IPCS | TCPCS);
    assert_int_equal(e, E1000_RXD_ERR_TCPE | E1000_RXD_ERR_IPE);
    len = build_ip4(f, 17, 11); /* padded: the padding is not summed */
    assert_int_equal(verdict(n, f, len, &e), IPCS | TCPCS);
    assert_int_equal(e, 0);
    st_be16(f + 40, 0); /* UDP without a checksum */
    assert_int_equal(verdict(n, f, len, &e), IPCS);
    len = build_ip4(f, 6, 100);
    f[20] = 0x20; /* a fragment */
    assert_int_equal(verdict(n, f, len, &e), IPCS);
    len = build_ip4(f, 6, 100);
    st_be16(f + 16, 2000); /* longer than it is */
    assert_int_equal(verdict(n, f, len, &e), IXSM);
    f[14] = 0x4f; /* header longer than that */
    assert_int_equal(verdict(n, f, len, &e), IXSM);
    f[12] = 0x86;
    assert_int_equal(verdict(n, f, len, &e), IXSM);
    nic_set(n, E1000_RXCSUM, E1000_RXCSUM_TUOFL); /* as Linux has it */
    len = build_ip4(f, 6, 100);
    assert_int_equal(verdict(n, f, len, &e), TCPCS);
    nic_set(n, E1000_RXCSUM, 0);
    assert_int_equal(verdict(n, f, len, &e), IXSM);
    nic_free(n);
}

static void vlan(void **state)
{
    struct nic *n = nic_new();
    uint8_t f[100] = ETH_TO_US "\x81\x00\x20\x64\x08\x06";
    for (unsigned i = 18; i < sizeof f; i++)
        f[i] = (uint8_t)i;
    rx_send(n, f, sizeof f);
    assert_int_equal(rx_desc(n, 0).len, 104);
    assert_int_equal(rx_desc(n, 0).status & E1000_RXD_STAT_VP, 0);
    nic_set(n, E1000_CTRL, E1000_CTRL_SLU | E1000_CTRL_VME);
    rx_send(n, f, sizeof f);
    assert_int_equal(rx_desc(n, 1).len, 100);
    assert_int_equal(rx_desc(n, 1).special, 0x2064);
    assert_int_equal(rx_desc(n, 1).status & E1000_RXD_STAT_VP, E1000_RXD_STAT_VP);
    assert_memory_equal(rx_data(n, 1), f, 12);
    assert_memory_equal(rx_data(n, 1) + 12, f + 16, 84);
    /* the table: VLAN 100 */
    nic_set(n, E1000_RCTL, NIC_RCTL | E1000_RCTL_VFE);
    rx_send(n, f, sizeof f);
    assert_int_equal(received(n), 2);
    nic_set(n, E1000_VFTA + 4 * 3, 1 << 4);
    rx_send(n, f, sizeof f);
    assert_int_equal(received(n), 3);
    /* the canonical form indicator, clear in this one */
    nic_set(n, E1000_RCTL, NIC_RCTL | E1000_RCTL_VFE | E1000_RCTL_CFIEN | E1000_RCTL_CFI);
    rx_send(n, f, sizeof f);
    assert_int_equal(received(n), 3);
    nic_set(n, E1000_RCTL, NIC_RCTL | E1000_RCTL_VFE | E1000_RCTL_CFIEN);
    rx_send(n, f, sizeof f);
    assert_int_equal(received(n), 4);
    nic_free(n);
}

static void back_pressure(void **state)
{
    struct nic *n = nic_new();
    uint8_t f[60] = ETH_TO_US;
    for (unsigned i = 0; i < 20; i++) {
        f[20] = (uint8_t)i;
        rx_send(n, f, sizeof f);
    }
    assert_int_equal(received(n), RING - 1);
    assert_int_equal(nic_get(n, E1000_MPC), 0);
    assert_true(nic_get(n, E1000_ICR) & E1000_ICR_RXDMT0);
    nic_set(n, E1000_RDT, 2); /* three more */
    assert_int_equal(received(n), 2);
    assert_int_equal(rx_data(n, 1)[20], 9);
    nic_set(n, E1000_RDT, 1);
    assert_int_equal(received(n), 1);
    assert_int_equal(rx_data(n, 0)[20], 16);
    /* a reset drops what waits */
    nic_set(n, E1000_CTRL, E1000_CTRL_RST);
    struct net_link_stats s = net_link_stats(n->peer.link, n->peer.end);
    assert_int_equal(s.frames, 20);
    nic_free(n);
}

static void rings_that_make_no_sense(void **state)
{
    struct nic *n = nic_new();
    uint8_t f[60] = ETH_TO_US;
    nic_set(n, E1000_RDBAH, 0x77); /* descriptors nowhere */
    rx_send(n, f, sizeof f);
    assert_int_equal(received(n), 0);
    st_le64(n->pc->ram.host + RX_RING, 0x7700000000); /* a buffer nowhere */
    nic_set(n, E1000_RDBAH, 0);
    rx_send(n, f, sizeof f);
    assert_int_equal(received(n), 0);
    assert_int_equal(rx_desc(n, 0).status, 0);
    st_le64(n->pc->ram.host + RX_RING, NIC_MMIO + E1000_RDT); /* in the card itself */
    nic_set(n, E1000_RDBAH, 0);
    rx_send(n, f, sizeof f);
    assert_int_equal(nic_get(n, E1000_RDT), RING - 1);
    /* positions beyond the ring: no descriptors, so frames wait */
    nic_set(n, E1000_RDH, 0xfff0);
    rx_send(n, f, sizeof f);
    assert_int_equal(received(n), 0xfff0);
    nic_set(n, E1000_RDLEN, 0);
    nic_set(n, E1000_RDH, 0);
    assert_int_equal(received(n), 0);
    st_le64(n->pc->ram.host + RX_RING, RX_BUFFERS);
    nic_set(n, E1000_RDLEN, RING * 16);
    assert_int_equal(received(n), 1);
    nic_free(n);
}

/* Rings and buffers above 4 GiB, where RAM is seen once more. */
static void wide_addresses(void **state)
{
    enum { HIGH = 5 };
    struct nic *n = nic_new();
    struct region high;
    uint8_t f[60] = ETH_TO_US;
    region_init_alias(&high, n->pc->m->mem, "high", &n->pc->ram, 0, PC_RAM_SIZE);
    region_add(&n->pc->m->system, (uint64_t)HIGH << 32, &high, 0);
    nic_set(n, E1000_RDBAH, HIGH);
    nic_set(n, E1000_TDBAH, HIGH);
    st_le64(n->pc->ram.host + RX_RING, (uint64_t)HIGH << 32 | RX_BUFFERS);
    f[20] = 0x5a;
    rx_send(n, f, sizeof f);
    assert_int_equal(received(n), 1);
    assert_memory_equal(rx_data(n, 0), f, sizeof f);
    assert_int_equal(rx_desc(n, 0).status & DD, DD);
    memcpy(n->pc->ram.host + TX_DATA, f, sizeof f);
    tx_legacy(n, (uint64_t)HIGH << 32 | TX_DATA, sizeof f, E1000_TXD_CMD_EOP | E1000_TXD_CMD_RS);
    tx_go(n);
    assert_int_equal(n->count, 1);
    assert_memory_equal(n->frame[0], f, sizeof f);
    assert_int_equal(tx_status(n, 0), E1000_TXD_STAT_DD);
    region_fini(&high);
    nic_free(n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_frame),
        cmocka_unit_test(filters),
        cmocka_unit_test(several_descriptors),
        cmocka_unit_test(lengths),
        cmocka_unit_test(checksum_verdicts),
        cmocka_unit_test(vlan),
        cmocka_unit_test(wide_addresses),
        cmocka_unit_test(back_pressure),
        cmocka_unit_test(rings_that_make_no_sense),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
