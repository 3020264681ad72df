/* The e1000's finer points of descriptors and packets: which descriptor's bits count, null
 * addresses, the FCS of software, what a received checksum is looked for behind. */
#include "hw_e1000_fixture.h"

enum {
    EOP = E1000_TXD_CMD_EOP,
    IFCS = E1000_TXD_CMD_IFCS,
    RS = E1000_TXD_CMD_RS,
    IDE = E1000_TXD_CMD_IDE,
    VLE = E1000_TXD_CMD_VLE,
    IC = E1000_TXD_CMD_IC,
    TSE = E1000_TXD_CMD_TSE,
    TXSM = E1000_TXD_POPTS_TXSM,
    IXSM = E1000_RXD_STAT_IXSM,
    TCPCS = E1000_RXD_STAT_TCPCS,
    IPCS = E1000_RXD_STAT_IPCS,
    ALL_SUMS = E1000_RXCSUM_IPOFL | E1000_RXCSUM_TUOFL | E1000_RXCSUM_IPV6OFL,
};

/* ---- transmit ---- */

static void vlan_on(struct nic *n)
{
    nic_set(n, E1000_CTRL, nic_get(n, E1000_CTRL) | E1000_CTRL_VME);
}

/* Of a packet that is not segmented VLE, IC and what belongs to them count with EOP alone. */
static void bits_of_the_last(void **state)
{
    struct nic *n = nic_new();
    uint8_t *data = n->pc->ram.host + TX_DATA;
    vlan_on(n);
    memset(data, 0x11, 100);
    tx_put(n, TX_DATA, 50 | (uint64_t)(VLE | IC) << 24 | 20 << 16 | 0x0123ull << 48);
    tx_put(n, TX_DATA + 50, 50 | (uint64_t)EOP << 24);
    tx_go(n);
    assert_int_equal(n->len[0], 100);
    assert_memory_equal(n->frame[0], data, 100);
    tx_put(n, TX_DATA, 50 | (uint64_t)VLE << 24 | 0x0123ull << 48);
    tx_put(n, TX_DATA + 50, 50 | (uint64_t)(EOP | VLE) << 24 | 0x0456ull << 48);
    tx_go(n);
    assert_int_equal(n->len[1], 104);
    assert_int_equal(ld_be16(n->frame[1] + 14), 0x0456);
    tx_ext(n, TX_DATA, 50, VLE, 0, 0x0123);
    tx_ext(n, TX_DATA + 50, 50, EOP, 0, 0);
    tx_go(n);
    assert_int_equal(n->len[2], 100);
    nic_free(n);
}

static struct offload tcp4(unsigned payload, unsigned mss)
{
    return (struct offload){ .ipcss = 14,
                             .ipcso = 24,
                             .ipcse = 33,
                             .tucss = 34,
                             .tucso = 50,
                             .paylen = payload,
                             .tucmd = E1000_TXD_TUCMD_TCP | E1000_TXD_TUCMD_IP | TSE,
                             .hdrlen = 54,
                             .mss = mss };
}

/* With segments they count in the first. What PAYLEN says is compared with what there was. */
static void bits_of_the_first(void **state)
{
    struct nic *n = nic_new();
    size_t len = build_ip4(n->pc->ram.host + TX_DATA, 6, 300);
    vlan_on(n);
    tx_offload(n, tcp4(300, 200));
    tx_ext(n, TX_DATA, 54, TSE, TXSM, 0);
    tx_ext(n, TX_DATA + 54, len - 54, TSE | EOP | VLE, 0, 0x0123);
    tx_go(n);
    assert_int_equal(n->count, 2);
    assert_int_equal(n->len[0], 254);
    tx_ext(n, TX_DATA, 54, TSE | VLE, TXSM, 0x0123);
    tx_ext(n, TX_DATA + 54, len - 54, TSE | EOP, 0, 0);
    tx_go(n);
    assert_int_equal(n->count, 4);
    assert_int_equal(n->len[3], 154 + 4);
    assert_int_equal(ld_be16(n->frame[3] + 14), 0x0123);
    assert_int_equal(nic_get(n, E1000_TSCTC), 2);
    assert_int_equal(nic_get(n, E1000_TSCTFC), 0);
    tx_offload(n, tcp4(301, 200));
    tx_ext(n, TX_DATA, len, TSE | EOP, TXSM, 0);
    tx_go(n);
    assert_int_equal(n->count, 6);
    assert_int_equal(nic_get(n, E1000_TSCTC), 0);
    assert_int_equal(nic_get(n, E1000_TSCTFC), 1);
    nic_free(n);
}

/* Note 3 of 3.3.3.1: no data by a null address or a length of 0, but DD. */
static void null_addresses(void **state)
{
    struct nic *n = nic_new();
    memset(n->pc->ram.host, 0x5a, 0x100);
    memset(n->pc->ram.host + TX_DATA, 0x11, 100);
    tx_legacy(n, TX_DATA, 60, RS);
    tx_legacy(n, 0, 40, RS);
    tx_legacy(n, TX_DATA, 0, RS | EOP);
    tx_go(n);
    assert_int_equal(n->count, 1);
    assert_int_equal(n->len[0], 60);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(tx_status(n, i), E1000_TXD_STAT_DD);
    tx_ext(n, 0, 100, 0, 0, 0);
    tx_ext(n, TX_DATA, 70, EOP, 0, 0);
    tx_go(n);
    assert_int_equal(n->len[1], 70);
    nic_free(n);
}

static void fcs_of_software(void **state)
{
    struct nic *n = nic_new();
    uint8_t *data = n->pc->ram.host + TX_DATA;
    memset(data, 0x11, 100);
    st_le32(data + 100, plain_crc(data, 100));
    tx_legacy(n, TX_DATA, 104, EOP);
    tx_legacy(n, TX_DATA, 104, EOP | IFCS); /* then it is data */
    tx_legacy(n, TX_DATA, 103, EOP);        /* no FCS */
    tx_go(n);
    assert_int_equal(n->len[0], 100);
    assert_int_equal(n->len[1], 104);
    assert_int_equal(n->len[2], 103);
    assert_int_equal(nic_get(n, E1000_TOTL), 104 + 108 + 107);
    nic_free(n);
}

/* Without padding, packets below 64 bytes are sent but are no good ones. */
static void short_ones(void **state)
{
    struct nic *n = nic_new();
    nic_set(n, E1000_TCTL, E1000_TCTL_EN);
    tx_legacy(n, TX_DATA, 59, EOP | IFCS);
    tx_legacy(n, TX_DATA, 60, EOP | IFCS);
    tx_go(n);
    assert_int_equal(n->len[0], 59);
    assert_int_equal(nic_get(n, E1000_TPT), 2);
    assert_int_equal(nic_get(n, E1000_TOTL), 63 + 64);
    assert_int_equal(nic_get(n, E1000_GPTC), 1);
    assert_int_equal(nic_get(n, E1000_GOTCL), 64);
    assert_int_equal(nic_get(n, E1000_PTC64), 1);
    nic_free(n);
}

/* A descriptor that wants its interrupt at once ends the delay of those before; one behind it
 * begins a new one. */
static void delay_is_cleared(void **state)
{
    struct nic *n = nic_new();
    nic_set(n, E1000_TIDV, 100);
    tx_legacy(n, TX_DATA, 60, EOP | RS | IDE);
    tx_go(n);
    assert_false(nic_get(n, E1000_ICR) & E1000_ICR_TXDW);
    tx_legacy(n, TX_DATA, 60, EOP | RS);
    tx_go(n);
    assert_true(nic_get(n, E1000_ICR) & E1000_ICR_TXDW);
    nic_advance(n, 200000);
    assert_false(nic_get(n, E1000_ICR) & E1000_ICR_TXDW);
    tx_legacy(n, TX_DATA, 60, EOP | RS);
    tx_legacy(n, TX_DATA, 60, EOP | RS | IDE);
    tx_go(n);
    assert_true(nic_get(n, E1000_ICR) & E1000_ICR_TXDW);
    nic_advance(n, 102400);
    assert_true(nic_get(n, E1000_ICR) & E1000_ICR_TXDW);
    nic_free(n);
}

/* ---- received checksums ---- */

static unsigned verdict(struct nic *n, const uint8_t *f, size_t len)
{
    unsigned at = nic_get(n, E1000_RDH);
    rx_send(n, f, len);
    struct rx_desc d = rx_desc(n, at);
    nic_set(n, E1000_RDT, at);
    return (d.status & (IXSM | TCPCS | IPCS)) | (unsigned)d.errors << 8;
}

/* Puts `count` bytes into a packet behind its addresses. */
static size_t insert(uint8_t *f, size_t len, const void *bytes, size_t count)
{
    memmove(f + 12 + count, f + 12, len - 12);
    memcpy(f + 12, bytes, count);
    return len + count;
}

static void encapsulations(void **state)
{
    struct nic *n = nic_new();
    uint8_t f[400], snap[8] = { 0, 0, 0xaa, 0xaa, 3 };
    nic_set(n, E1000_RXCSUM, ALL_SUMS);
    size_t plain = build_ip4(f, 6, 100);
    size_t len = insert(f, plain, "\x81\x00\x00\x05", 4);
    assert_int_equal(verdict(n, f, len), TCPCS | IPCS); /* the tag stays in the packet */
    vlan_on(n);
    assert_int_equal(verdict(n, f, len) & (IXSM | TCPCS | IPCS), TCPCS | IPCS);
    plain = build_ip4(f, 17, 100);
    st_be16(snap, (uint16_t)(plain - 14 + 8));
    len = insert(f, plain, snap, sizeof snap);
    assert_int_equal(verdict(n, f, len), TCPCS | IPCS);
    f[14 + 8 + 20 + 8 + 50] ^= 1;
    assert_int_equal(verdict(n, f, len), TCPCS | IPCS | E1000_RXD_ERR_TCPE << 8);
    f[14] = 0xab; /* another SAP: no SNAP */
    assert_int_equal(verdict(n, f, len), IXSM);
    nic_free(n);
}

/* TCP over IPv6 behind `extra` bytes of extension headers, whose chain begins with `next`. */
static size_t build_ip6(uint8_t *f, unsigned next, const uint8_t *headers, size_t extra)
{
    size_t tcp = 20 + 64;
    memset(f, 0, 14 + 40 + extra + tcp);
    memcpy(f, ETH_TO_US "\x86\xdd", 14);
    uint8_t *ip = f + 14, *t = ip + 40 + extra;
    ip[0] = 0x60;
    st_be16(ip + 4, (uint16_t)(extra + tcp));
    ip[6] = (uint8_t)next;
    for (unsigned i = 8; i < 40; i++)
        ip[i] = (uint8_t)(3 * i);
    memcpy(ip + 40, headers, extra);
    for (unsigned i = 20; i < tcp; i++)
        t[i] = (uint8_t)i;
    t[12] = 0x50;
    st_be16(t + 16, (uint16_t)~plain_sum(t, tcp, plain_sum(ip + 8, 32, (uint32_t)(6 + tcp))));
    return 14 + 40 + extra + tcp;
}

static void ip6(void **state)
{
    struct nic *n = nic_new();
    uint8_t f[400], headers[88] = { 0 };
    size_t len = build_ip6(f, 6, headers, 0);
    nic_set(n, E1000_RXCSUM, E1000_RXCSUM_IPOFL | E1000_RXCSUM_TUOFL);
    assert_int_equal(verdict(n, f, len), IXSM);
    nic_set(n, E1000_RXCSUM, ALL_SUMS);
    assert_int_equal(verdict(n, f, len), TCPCS);
    f[80] ^= 1;
    assert_int_equal(verdict(n, f, len), TCPCS | E1000_RXD_ERR_TCPE << 8);
    /* hop-by-hop of 16, destination of 64, routing of 8 bytes */
    memcpy(headers, "\x3c\x01", 2);
    memcpy(headers + 16, "\x2b\x07", 2);
    memcpy(headers + 80, "\x06\x00", 2);
    len = build_ip6(f, 0, headers, 88);
    assert_int_equal(verdict(n, f, len), TCPCS);
    headers[83] = 1; /* segments are left */
    len = build_ip6(f, 0, headers, 88);
    assert_int_equal(verdict(n, f, len), IXSM);
    headers[83] = 0;
    memcpy(headers, "\x06\x08", 2); /* 72 bytes: too long */
    len = build_ip6(f, 0, headers, 72);
    assert_int_equal(verdict(n, f, len), IXSM);
    memcpy(headers, "\x06\x00", 2); /* a fragment header */
    len = build_ip6(f, 0x2c, headers, 8);
    assert_int_equal(verdict(n, f, len), IXSM);
    /* cut short everywhere */
    memcpy(headers, "\x3c\x01", 2);
    len = build_ip6(f, 0, headers, 88);
    for (size_t cut = 14; cut < len; cut++)
        assert_int_equal(verdict(n, f, cut), IXSM);
    nic_free(n);
}

/* ---- the rest ---- */

static void broadcast_by_the_table(void **state)
{
    struct nic *n = nic_new();
    uint8_t f[60];
    memset(f, 0xff, sizeof f);
    nic_set(n, E1000_RCTL, E1000_RCTL_EN);
    rx_send(n, f, sizeof f);
    assert_int_equal(nic_get(n, E1000_RDH), 0);
    nic_set(n, E1000_MTA + 4 * 127, 1u << 31);
    rx_send(n, f, sizeof f);
    assert_int_equal(nic_get(n, E1000_RDH), 1);
    nic_free(n);
}

/* A magic packet wakes by broadcast without BAM, others do not. */
static void broadcast_magic(void **state)
{
    struct nic *n = nic_new();
    uint8_t f[200];
    memset(f, 0xff, sizeof f);
    nic_set(n, E1000_RCTL, 0);
    nic_set(n, E1000_WUC, E1000_WUC_PME_EN);
    nic_set(n, E1000_WUFC, E1000_WUFC_MAG | E1000_WUFC_BC);
    rx_send(n, f, sizeof f);
    assert_int_equal(nic_get(n, E1000_WUS), 0);
    for (unsigned i = 0; i < 16; i++)
        memcpy(f + 30 + 6 * i, OUR_MAC, 6);
    rx_send(n, f, sizeof f);
    assert_int_equal(nic_get(n, E1000_WUS), E1000_WUFC_MAG);
    nic_free(n);
}

static void both_resets(void **state)
{
    struct nic *n = nic_new();
    nic_set(n, E1000_MDIC, 0xffffffff & ~E1000_MDIC_READY); /* an unknown PHY, reserved bits */
    assert_int_equal(nic_get(n, E1000_MDIC), 0x6fffffff | E1000_MDIC_READY);
    nic_set(n, E1000_MDIC,
            E1000_MDIC_OP_WRITE << E1000_MDIC_OP_SHIFT | 1 << E1000_MDIC_PHY_SHIFT |
                PHY_LED_CTRL << E1000_MDIC_REG_SHIFT | 0x1234);
    nic_set(n, E1000_CTRL, E1000_CTRL_RST | E1000_CTRL_PHY_RST);
    nic_set(n, E1000_MDIC,
            E1000_MDIC_OP_READ << E1000_MDIC_OP_SHIFT | 1 << E1000_MDIC_PHY_SHIFT |
                PHY_LED_CTRL << E1000_MDIC_REG_SHIFT);
    assert_int_equal(nic_get(n, E1000_MDIC) & 0xffff, 0x4100);
    nic_free(n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bits_of_the_last), cmocka_unit_test(bits_of_the_first),
        cmocka_unit_test(null_addresses),   cmocka_unit_test(fcs_of_software),
        cmocka_unit_test(short_ones),       cmocka_unit_test(delay_is_cleared),
        cmocka_unit_test(encapsulations),   cmocka_unit_test(ip6),
        cmocka_unit_test(broadcast_magic),  cmocka_unit_test(broadcast_by_the_table),
        cmocka_unit_test(both_resets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
