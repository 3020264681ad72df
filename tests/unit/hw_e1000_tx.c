/* The e1000's transmit half: descriptors, checksums, segmentation, tags, and rings that make no
 * sense. */
#include "hw_e1000_fixture.h"

enum {
    EOP = E1000_TXD_CMD_EOP,
    RS = E1000_TXD_CMD_RS,
    TSE = E1000_TXD_CMD_TSE,
    IXSM = E1000_TXD_POPTS_IXSM,
    TXSM = E1000_TXD_POPTS_TXSM,
};

static uint8_t *tx_ram(struct nic *n)
{
    return n->pc->ram.host + TX_DATA;
}

static void legacy(void **state)
{
    struct nic *n = nic_new();
    size_t len = build_ip4(tx_ram(n), 17, 100);
    tx_legacy(n, TX_DATA, 40, RS);
    tx_legacy(n, TX_DATA + 40, len - 40, EOP | RS);
    tx_go(n);
    assert_int_equal(n->count, 1);
    assert_int_equal(n->len[0], len);
    assert_memory_equal(n->frame[0], tx_ram(n), len);
    assert_int_equal(nic_get(n, E1000_TDH), 2);
    assert_int_equal(tx_status(n, 0) & 1, 1);
    assert_int_equal(tx_status(n, 1) & 1, 1);
    assert_int_equal(nic_get(n, E1000_ICR), E1000_ICR_TXDW | TX_EMPTY);
    /* short ones are padded; without RS nothing is written back */
    tx_legacy(n, TX_DATA, 20, EOP);
    tx_go(n);
    assert_int_equal(n->len[1], 60);
    assert_int_equal(n->frame[1][20] | n->frame[1][59], 0);
    assert_int_equal(tx_status(n, 2), 0);
    assert_int_equal(nic_get(n, E1000_ICR), TX_EMPTY);
    /* a checksum to be inserted, from byte 34 on at byte 40 */
    leave_checksums(tx_ram(n), 17, true);
    tx_put(n, TX_DATA, len | 40 << 16 | (uint64_t)(EOP | E1000_TXD_CMD_IC) << 24 | 34ull << 40);
    tx_go(n);
    st_be16(n->frame[2] + 24, (uint16_t)~plain_sum(n->frame[2] + 14, 20, 0));
    assert_ip4_sound(n->frame[2] + 14, len - 14);
    /* disabled: the doorbell waits */
    nic_set(n, E1000_TCTL, 0);
    tx_legacy(n, TX_DATA, 60, EOP);
    tx_go(n);
    assert_int_equal(n->count, 3);
    nic_set(n, E1000_TCTL, E1000_TCTL_EN);
    assert_int_equal(n->count, 4);
    nic_free(n);
}

static const struct offload ip4_tcp = { .ipcss = 14,
                                        .ipcso = 24,
                                        .ipcse = 33,
                                        .tucss = 34,
                                        .tucso = 50,
                                        .tucmd = E1000_TXD_TUCMD_TCP | E1000_TXD_TUCMD_IP };
static const struct offload ip4_udp = {
    .ipcss = 14, .ipcso = 24, .ipcse = 33, .tucss = 34, .tucso = 40, .tucmd = E1000_TXD_TUCMD_IP
};

static void checksums(void **state)
{
    struct nic *n = nic_new();
    uint8_t expected[FRAME_ROOM];
    for (unsigned i = 0; i < 2; i++) {
        unsigned protocol = i ? 17 : 6;
        size_t len = build_ip4(expected, protocol, 333);
        memcpy(tx_ram(n), expected, len);
        leave_checksums(tx_ram(n), protocol, true);
        tx_offload(n, i ? ip4_udp : ip4_tcp);
        tx_ext(n, TX_DATA, 54, 0, IXSM | TXSM, 0);
        tx_ext(n, TX_DATA + 54, len - 54, EOP | RS, 0, 0);
        tx_go(n);
        assert_int_equal(n->len[i], len);
        assert_memory_equal(n->frame[i], expected, len);
    }
    /* a sum whose place is outside of the packet is left out */
    struct offload wild = ip4_tcp;
    wild.tucso = 255;
    tx_offload(n, wild);
    tx_ext(n, TX_DATA, 60, EOP, TXSM, 0);
    tx_go(n);
    assert_int_equal(n->count, 3);
    assert_memory_equal(n->frame[2], tx_ram(n), 60);
    nic_free(n);
}

/* `payload` bytes of TCP over IPv4 in segments of `mss`, in descriptors cut at `cut`. */
static void segment(struct nic *n, size_t payload, unsigned mss, size_t cut, bool vlan)
{
    static uint8_t whole[65536];
    size_t len = build_ip4(whole, 6, payload), at = 54, sent = 0;
    unsigned first = n->count, tag = vlan ? 4 : 0;
    unsigned vle = vlan ? E1000_TXD_CMD_VLE : 0;
    memcpy(tx_ram(n), whole, len);
    leave_checksums(tx_ram(n), 6, false);
    struct offload o = ip4_tcp;
    o.tucmd |= E1000_TXD_TUCMD_TSE;
    o.hdrlen = 54;
    o.mss = mss;
    o.paylen = payload;
    tx_offload(n, o);
    for (size_t done = 0; done < len; done += cut) {
        size_t part = len - done < cut ? len - done : cut;
        bool last = done + part == len;
        tx_ext(n, TX_DATA + done, part, TSE | vle | (last ? EOP | RS : 0), done ? 0 : IXSM | TXSM,
               0x2064);
    }
    tx_go(n);

    unsigned segments = (payload + mss - 1) / mss;
    assert_int_equal(n->count - first, segments);
    for (unsigned i = 0; i < segments; i++) {
        const uint8_t *f = n->frame[first + i];
        size_t bytes = payload - sent < mss ? payload - sent : mss;
        assert_int_equal(n->len[first + i], 54 + tag + bytes);
        assert_memory_equal(f, ETH_TO_US, 12);
        if (vlan) {
            assert_int_equal(ld_be16(f + 12), 0x8100);
            assert_int_equal(ld_be16(f + 14), 0x2064);
        }
        f += tag;
        assert_int_equal(ld_be16(f + 12), 0x0800);
        assert_ip4_sound(f + 14, 40 + bytes);
        assert_int_equal(ld_be16(f + 18), (0xfffe + i) & 0xffff);
        assert_int_equal(ld_be32(f + 38), (uint32_t)(0xfffffc00 + sent));
        assert_int_equal(f[47], i + 1 == segments ? 0x19 : 0x10);
        assert_memory_equal(f + 54, whole + at, bytes);
        at += bytes;
        sent += bytes;
    }
    assert_int_equal(nic_get(n, E1000_TDH), n->tail);
}

static void segmentation(void **state)
{
    struct nic *n = nic_new();
    segment(n, 10000, 1448, 4096, false);
    segment(n, 2896, 1448, 4096, false); /* an exact multiple: the second is the last */
    segment(n, 100, 1448, 4096, false);  /* one segment */
    segment(n, 9000, 1460, 1514, false); /* cut where segments end */
    segment(n, 5000, 1000, 1700, false);
    assert_int_equal(nic_get(n, E1000_TSCTC), 5);
    /* tags, when the card has them enabled */
    nic_set(n, E1000_CTRL, E1000_CTRL_SLU | E1000_CTRL_VME);
    segment(n, 3000, 1448, 4096, true);
    tx_legacy(n, TX_DATA, 60, EOP);
    tx_go(n);
    assert_int_equal(ld_be16(n->frame[n->count - 1] + 12), 0x0800);
    nic_free(n);
}

/* The header alone in the first descriptor, byte by byte afterwards, over the end of the ring. */
static void segmentation_of_crumbs(void **state)
{
    struct nic *n = nic_new();
    n->count = 0;
    segment(n, 40, 16, 54, false);
    segment(n, 64, 16, 30, false);
    nic_free(n);
}

static void segmentation_ip6(void **state)
{
    struct nic *n = nic_new();
    uint8_t *f = tx_ram(n), *ip = f + 14, *tcp = ip + 40;
    memset(f, 0, 4000);
    memcpy(f, ETH_TO_US "\x86\xdd", 14);
    ip[0] = 0x60;
    ip[6] = 6;
    ip[8] = ip[24] = 0xfd;
    ip[23] = 1;
    ip[39] = 2;
    tcp[12] = 0x50;
    tcp[13] = 0x18;
    for (unsigned i = 0; i < 2500; i++)
        tcp[20 + i] = (uint8_t)i;
    st_be16(tcp + 16, plain_sum(ip + 8, 32, 6));
    tx_offload(n, (struct offload){ .tucss = 54,
                                    .tucso = 70,
                                    .ipcss = 14,
                                    .hdrlen = 74,
                                    .mss = 1000,
                                    .paylen = 2500,
                                    .tucmd = E1000_TXD_TUCMD_TCP | E1000_TXD_TUCMD_TSE });
    tx_ext(n, TX_DATA, 74 + 2500, TSE | EOP, TXSM, 0);
    tx_go(n);
    assert_int_equal(n->count, 3);
    for (unsigned i = 0; i < 3; i++) {
        const uint8_t *p = n->frame[i] + 14;
        size_t len = 20 + (i < 2 ? 1000 : 500);
        assert_int_equal(ld_be16(p + 4), len);
        assert_int_equal(plain_sum(p + 40, len, plain_sum(p + 8, 32, 6 + (uint32_t)len)), 0xffff);
    }
    nic_free(n);
}

/* The peer stops, the link's queue fills, the card stops; all of it goes on in order. */
static void back_pressure(void **state)
{
    struct nic *n = nic_new();
    n->blocked = true;
    for (unsigned i = 0; i < 300; i++) {
        st_be32(tx_ram(n) + 20, i);
        tx_legacy(n, TX_DATA, 60, EOP);
        tx_go(n);
        if (nic_get(n, E1000_TDH) != n->tail)
            break;
    }
    assert_int_equal(n->count, 0);
    assert_int_not_equal(nic_get(n, E1000_TDH), n->tail);
    n->blocked = false;
    net_port_ready(&n->peer);
    assert_int_equal(nic_get(n, E1000_TDH), n->tail);
    assert_int_equal(n->count, NET_QUEUE_MAX + 1);
    for (unsigned i = 0; i < n->count; i++)
        assert_int_equal(ld_be32(n->frame[i] + 20), i);
    nic_free(n);
}

/* Told of when eight times LWTHRESH are left, and not again below. */
static void running_low(void **state)
{
    struct nic *n = nic_new();
    nic_set(n, E1000_TDLEN, 4 * RING * 16);
    nic_set(n, E1000_TXDCTL, 1u << E1000_TXDCTL_LWTHRESH_SHIFT);
    nic_set(n, E1000_TDT, 8); /* empty descriptors: nothing is sent */
    assert_int_equal(nic_get(n, E1000_ICR), E1000_ICR_TXQE);
    nic_set(n, E1000_TDT, 17);
    assert_int_equal(nic_get(n, E1000_ICR), TX_EMPTY);
    nic_set(n, E1000_TDT, 2); /* over the end of the ring */
    assert_int_equal(nic_get(n, E1000_ICR), TX_EMPTY);
    nic_free(n);
}

static void loopback(void **state)
{
    struct nic *n = nic_new();
    size_t len = build_ip4(tx_ram(n), 17, 50);
    nic_set(n, E1000_RCTL, NIC_RCTL | 1 << E1000_RCTL_LBM_SHIFT);
    tx_legacy(n, TX_DATA, len, EOP);
    tx_go(n);
    assert_int_equal(n->count, 0);
    assert_int_equal(rx_desc(n, 0).len, len + 4);
    assert_memory_equal(rx_data(n, 0), tx_ram(n), len);
    nic_free(n);
}

static void rings_that_make_no_sense(void **state)
{
    struct nic *n = nic_new();
    /* no descriptor memory */
    nic_set(n, E1000_TDBAH, 0x1234);
    nic_set(n, E1000_TDT, 3);
    assert_int_equal(nic_get(n, E1000_TDH), 0);
    nic_set(n, E1000_TDBAH, 0);
    /* tail or head beyond the end, an empty ring */
    nic_set(n, E1000_TDT, RING);
    assert_int_equal(nic_get(n, E1000_TDH), 0);
    nic_set(n, E1000_TDH, 0xffff);
    nic_set(n, E1000_TDT, 1);
    assert_int_equal(nic_get(n, E1000_TDH), 0xffff);
    nic_set(n, E1000_TDH, 0);
    nic_set(n, E1000_TDLEN, 0);
    nic_set(n, E1000_TDT, 1);
    assert_int_equal(nic_get(n, E1000_TDH), 0);
    nic_set(n, E1000_TDLEN, RING * 16);
    /* data that is not there: the packet is lost, the next one is not */
    nic_set(n, E1000_TDT, 0);
    n->tail = 0;
    tx_legacy(n, 0x7000000000, 100, EOP | RS);
    tx_legacy(n, TX_DATA, 60, EOP | RS);
    tx_go(n);
    assert_int_equal(n->count, 1);
    assert_int_equal(nic_get(n, E1000_TDH), 2);
    /* more than the longest frame */
    for (unsigned i = 0; i < 5; i++)
        tx_legacy(n, TX_DATA, 0xffff, i == 4 ? EOP : 0);
    tx_go(n);
    assert_int_equal(n->count, 1);
    assert_int_equal(nic_get(n, E1000_TDH), n->tail);
    /* contexts that describe no header */
    static const struct offload bad[] = {
        { .tucmd = E1000_TXD_TUCMD_TSE, .hdrlen = 54, .mss = 0, .tucss = 34, .tucso = 40 },
        { .tucmd = E1000_TXD_TUCMD_TSE, .hdrlen = 0, .mss = 1448 },
        { .tucmd = E1000_TXD_TUCMD_TSE | 3, .hdrlen = 54, .mss = 1448, .ipcss = 200, .tucss = 34 },
        { .tucmd = E1000_TXD_TUCMD_TSE | 3, .hdrlen = 54, .mss = 1448, .tucss = 40, .tucso = 50 },
        { .tucmd = E1000_TXD_TUCMD_TSE | 3, .hdrlen = 255, .mss = 0xffff, .tucss = 34 },
    };
    for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
        tx_offload(n, bad[i]);
        tx_ext(n, TX_DATA, 5000, TSE | EOP, TXSM | IXSM, 0);
        tx_go(n);
        assert_int_equal(n->count, 1);
        assert_int_equal(nic_get(n, E1000_TDH), n->tail);
    }
    /* bus mastering off: nothing moves */
    pc_conf_write(n->pc, NIC, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
    tx_legacy(n, TX_DATA, 60, EOP);
    tx_go(n);
    assert_int_equal(n->count, 1);
    nic_free(n);
}

/* Rings and data in the card's own registers: its transfers do not reach them. */
static void dma_to_itself(void **state)
{
    struct nic *n = nic_new();
    tx_legacy(n, NIC_MMIO + E1000_ICR, 64, EOP);
    tx_go(n);
    assert_int_equal(nic_get(n, E1000_TDH), n->tail);
    nic_set(n, E1000_TDBAL, NIC_MMIO + E1000_TDBAL);
    nic_set(n, E1000_TDT, (n->tail + 3) % RING);
    assert_int_equal(nic_get(n, E1000_TDT), (n->tail + 3) % RING);
    nic_free(n);
}

/* One doorbell sends a burst, the rest comes in the wire's time. */
static void bursts(void **state)
{
    struct nic *n = nic_new();
    struct offload o = ip4_tcp;
    uint32_t payload = (1 << 20) - 1 - 54;
    o.tucmd |= E1000_TXD_TUCMD_TSE;
    o.hdrlen = 54;
    o.mss = 60000;
    /* the data runs into RAM's end after 1 MiB: both packets lie below it */
    build_ip4(n->pc->ram.host + TX_DATA, 6, 100);
    tx_offload(n, o);
    tx_ext(n, TX_DATA, payload + 54, TSE | EOP, TXSM, 0);
    tx_ext(n, TX_DATA, payload + 54, TSE | EOP, TXSM, 0);
    tx_go(n);
    assert_int_equal(nic_get(n, E1000_TDH), 2);
    tx_go(n); /* ringing again does not hurry it */
    assert_int_equal(nic_get(n, E1000_TDH), 2);
    nic_advance(n, 7000000);
    assert_int_equal(nic_get(n, E1000_TDH), 2);
    nic_advance(n, 3000000);
    assert_int_equal(nic_get(n, E1000_TDH), 3);
    assert_int_equal(n->count, 2 * ((payload + 59999) / 60000));
    nic_free(n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(legacy),
        cmocka_unit_test(checksums),
        cmocka_unit_test(segmentation),
        cmocka_unit_test(segmentation_of_crumbs),
        cmocka_unit_test(segmentation_ip6),
        cmocka_unit_test(back_pressure),
        cmocka_unit_test(running_low),
        cmocka_unit_test(loopback),
        cmocka_unit_test(rings_that_make_no_sense),
        cmocka_unit_test(dma_to_itself),
        cmocka_unit_test(bursts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
