/* The e1000's receive FIFO in the packet buffer memory, and the descriptors on the chip: what comes
 * when, what is missed, what a guest sees of both. */
#include "hw_e1000_fixture.h"

enum {
    DD = E1000_RXD_STAT_DD,
    EOP = E1000_RXD_STAT_EOP,
    GIVEN = RING - 1,       /* descriptors of nic_new() */
    IN_FIFO = 8 + 1000 + 8, /* a frame of 1000 bytes: fields, bytes, FCS and padding */
};

static const uint8_t *numbered(uint8_t number)
{
    static uint8_t f[1000];
    memcpy(f, ETH_TO_US "\x08\x06", 14);
    memset(f + 14, number, sizeof f - 14);
    return f;
}

static void send_numbered(struct nic *n, unsigned first, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        rx_send(n, numbered((uint8_t)(first + i)), 1000);
}

/* A card of a wire that does not wait. */
static struct nic *real_wire(void)
{
    struct nic *n = nic_with("lossless", "false");
    nic_start(n);
    return n;
}

static void pointers(void **state)
{
    struct nic *n = nic_new();
    send_numbered(n, 0, 1); /* through it */
    assert_int_equal(nic_get(n, E1000_RDFH), IN_FIFO / 8);
    assert_int_equal(nic_get(n, E1000_RDFT), IN_FIFO / 8);
    assert_int_equal(nic_get(n, E1000_RDFPC), 0);
    send_numbered(n, 1, GIVEN - 1 + 3); /* three stay */
    assert_int_equal(nic_get(n, E1000_RDFPC), 3);
    assert_int_equal(nic_get(n, E1000_RDFH), GIVEN * IN_FIFO / 8);
    assert_int_equal(nic_get(n, E1000_RDFT), (GIVEN + 3) * IN_FIFO / 8);
    /* and are to be seen in the memory: the length, then the bytes */
    uint32_t at = E1000_PBM + GIVEN * IN_FIFO;
    assert_int_equal(nic_get(n, at) & 0xffff, 1004);
    assert_int_equal(nic_get(n, at + 8), 0x12005452);
    assert_int_equal(nic_get(n, at + 8 + 16), 0x01010101 * GIVEN);
    assert_int_equal(nic_get(n, E1000_RNBC), 3);
    assert_int_equal(nic_get(n, E1000_GPRC), GIVEN + 3);
    nic_set(n, E1000_RDT, 2);
    assert_int_equal(nic_get(n, E1000_RDFPC), 0);
    assert_int_equal(rx_data(n, 1)[20], GIVEN + 2);
    /* a reset empties it */
    send_numbered(n, 0, 2);
    assert_int_equal(nic_get(n, E1000_RDFPC), 2);
    nic_set(n, E1000_CTRL, E1000_CTRL_RST);
    assert_int_equal(nic_get(n, E1000_RDFPC) | nic_get(n, E1000_RDFT) | nic_get(n, E1000_RDFH), 0);
    nic_free(n);
}

/* 8 KiB are room for eight such frames. */
static void overflow(void **state)
{
    struct nic *n = real_wire();
    nic_set(n, E1000_PBA, 8);
    send_numbered(n, 0, GIVEN + 8);
    nic_get(n, E1000_ICR);
    assert_int_equal(nic_get(n, E1000_RDFPC), 8);
    assert_int_equal(nic_get(n, E1000_MPC), 0);
    send_numbered(n, GIVEN + 8, 3);
    assert_int_equal(nic_get(n, E1000_ICR), E1000_ICR_RXO);
    assert_int_equal(nic_get(n, E1000_MPC), 3);
    assert_int_equal(nic_get(n, E1000_RNBC), 11);
    assert_int_equal(nic_get(n, E1000_TPR), GIVEN + 11);
    assert_int_equal(nic_get(n, E1000_GPRC), GIVEN + 8);   /* missed ones are not good ones */
    rx_send(n, (const uint8_t *)ETH_TO_US "\x08\x06", 14); /* 64 bytes are left, it needs 72 */
    assert_int_equal(nic_get(n, E1000_MPC), 1);
    /* what came before is whole, around the FIFO's end too */
    for (unsigned i = 0; i < 8; i++) {
        unsigned slot = (GIVEN + i) % RING;
        nic_set(n, E1000_RDT, (slot + 1) % RING);
        assert_int_equal(rx_desc(n, slot).len, 1004);
        assert_memory_equal(rx_data(n, slot), numbered((uint8_t)(GIVEN + i)), 1000);
    }
    net_port_ready(&n->peer);
    assert_int_equal(net_link_stats(n->peer.link, n->peer.end).dropped, 0);
    nic_free(n);
}

/* Where the wire waits nothing is missed, but for what could never come. */
static void lossless(void **state)
{
    struct nic *n = nic_new();
    nic_set(n, E1000_PBA, 8);
    send_numbered(n, 0, 60);
    assert_in_range(nic_get(n, E1000_RDFPC), 1, 8);
    for (unsigned i = 0; i < 60; i++) {
        assert_int_equal(rx_data(n, i % RING)[20], i);
        nic_set(n, E1000_RDT, i % RING);
    }
    assert_int_equal(nic_get(n, E1000_MPC), 0);
    assert_int_equal(nic_get(n, E1000_GPRC), 60);
    nic_set(n, E1000_RCTL, NIC_RCTL | E1000_RCTL_LPE);
    static uint8_t big[9000] = ETH_TO_US;
    rx_send(n, big, sizeof big);
    assert_int_equal(nic_get(n, E1000_MPC), 1);
    assert_int_equal(nic_get(n, E1000_RDFPC), 0);
    nic_set(n, E1000_PBA, 0); /* no FIFO at all */
    send_numbered(n, 0, 1);
    assert_int_equal(nic_get(n, E1000_MPC), 1);
    nic_free(n);
}

/* PAUSE acts although frames wait. */
static void pause_overtakes(void **state)
{
    struct nic *n = nic_new();
    nic_set(n, E1000_CTRL, E1000_CTRL_SLU | E1000_CTRL_ASDE | E1000_CTRL_RFCE);
    send_numbered(n, 0, GIVEN + 1);
    rx_send(
        n,
        (const uint8_t *)"\x01\x80\xc2\x00\x00\x01\x52\x55\x0a\x00\x02\x02\x88\x08\x00\x01\xff\xff",
        18);
    assert_true(nic_get(n, E1000_STATUS) & E1000_STATUS_TXOFF);
    nic_free(n);
}

/* What a guest writes into pointers and memory costs it packets, at most. */
static void overwritten(void **state)
{
    static const struct {
        uint32_t reg, value;
        bool all_lost;
    } writes[] = {
        { E1000_RDFH, 0x1fff, true },
        { E1000_RDFT, 0x1fff, true },
        { E1000_RDFPC, 0x1fff, false },
        { E1000_RDFH, 1, false },
        { E1000_PBM + GIVEN * IN_FIFO, 0, true },
        { E1000_PBM + GIVEN * IN_FIFO, 0xffff, true },
        { E1000_PBA, 0, true },
    };
    for (unsigned i = 0; i < ARRAY_LEN(writes); i++) {
        struct nic *n = nic_new();
        send_numbered(n, 0, GIVEN + 3);
        nic_set(n, writes[i].reg, writes[i].value);
        for (unsigned t = 0; t < 3 * RING; t++)
            nic_set(n, E1000_RDT, (nic_get(n, E1000_RDH) + RING - 1) % RING);
        assert_int_equal(nic_get(n, E1000_RDFPC), 0);
        if (writes[i].all_lost)
            assert_int_equal(rx_desc(n, GIVEN).status, 0);
        nic_set(n, E1000_PBA, 48);
        nic_set(n, E1000_CTRL, E1000_CTRL_RST);
        nic_start(n);
        send_numbered(n, 77, 1);
        assert_int_equal(rx_data(n, 0)[20], 77);
        nic_free(n);
    }
}

/* A disabled receiver leaves what waits where it is. */
static void disabled(void **state)
{
    struct nic *n = nic_new();
    send_numbered(n, 0, GIVEN + 1);
    nic_set(n, E1000_RCTL, 0);
    nic_set(n, E1000_RDT, 3);
    send_numbered(n, 50, 1); /* lost */
    assert_int_equal(nic_get(n, E1000_RDFPC), 1);
    nic_set(n, E1000_RCTL, NIC_RCTL);
    assert_int_equal(rx_data(n, GIVEN)[20], GIVEN);
    assert_int_equal(nic_get(n, E1000_RDH), 0);
    nic_free(n);
}

/* Descriptors without an address come back empty, their other bits as they were (3.2.5.2). */
static void null_descriptors(void **state)
{
    struct nic *n = nic_new();
    uint8_t *ring = n->pc->ram.host + RX_RING;
    nic_set(n, E1000_RCTL, NIC_RCTL | 3 << E1000_RCTL_BSIZE_SHIFT); /* 256 bytes */
    for (unsigned i = 0; i < RING; i += 2) {
        st_le64(ring + 16 * i, 0);
        st_le64(ring + 16 * i + 8, 0x1122334400667788);
    }
    memset(n->pc->ram.host, 0x5a, 256);
    nic_set(n, E1000_RDBAL, RX_RING); /* fetched anew */
    rx_send(n, numbered(9), 400);
    assert_int_equal(nic_get(n, E1000_RDH), 4);
    for (unsigned i = 0; i < 4; i += 2)
        assert_int_equal(ld_le64(ring + 16 * i + 8), 0x1122334500667788);
    assert_int_equal(rx_desc(n, 1).len, 256);
    assert_int_equal(rx_desc(n, 1).status & (DD | EOP), DD);
    assert_int_equal(rx_desc(n, 3).len, 404 - 256);
    assert_int_equal(rx_desc(n, 3).status & (DD | EOP), DD | EOP);
    for (unsigned i = 0; i < 256; i++)
        assert_int_equal(n->pc->ram.host[i], 0x5a);
    nic_free(n);
}

/* Descriptors that wait for company (WTHRESH): by an explicit flush, and for the rest of a packet.
 */
static void written_back_sooner(void **state)
{
    struct nic *n = nic_new();
    nic_set(n, E1000_RXDCTL, E1000_DCTL_GRAN | 16 << E1000_DCTL_WTHRESH_SHIFT);
    nic_set(n, E1000_RCTL, NIC_RCTL | 3 << E1000_RCTL_BSIZE_SHIFT); /* 256 bytes */
    nic_set(n, E1000_RDTR, 100);
    send_numbered(n, 1, 2);
    assert_int_equal(nic_get(n, E1000_RDH), GIVEN); /* none left in the second frame */
    for (unsigned i = 0; i < GIVEN; i++)
        assert_int_equal(rx_desc(n, i).status & DD, DD);
    nic_set(n, E1000_RDT, 4); /* the frame's end: it waits */
    assert_int_equal(rx_desc(n, GIVEN).status, 0);
    nic_set(n, E1000_RDTR, E1000_RDTR_FPD | 100);
    assert_int_equal(rx_desc(n, GIVEN).status & DD, DD);
    assert_true(nic_get(n, E1000_ICR) & E1000_ICR_RXT0);
    /* transmitted ones without a delay that could end */
    nic_set(n, E1000_TXDCTL, E1000_DCTL_GRAN | 4 << E1000_DCTL_WTHRESH_SHIFT);
    tx_legacy(n, TX_DATA, 60, E1000_TXD_CMD_EOP | E1000_TXD_CMD_RS);
    tx_go(n);
    assert_int_equal(tx_status(n, 0), 0);
    nic_set(n, E1000_TIDV, E1000_TIDV_FPD);
    assert_int_equal(tx_status(n, 0), E1000_TXD_STAT_DD);
    assert_true(nic_get(n, E1000_ICR) & E1000_ICR_TXDW);
    nic_free(n);
}

/* ---- descriptors on the chip ---- */

enum { ELSEWHERE = 0x180000 };

/* Changes the address in a descriptor; true if the next frame goes there. */
static bool sees_change(struct nic *n, unsigned i)
{
    st_le64(n->pc->ram.host + RX_RING + 16 * i, ELSEWHERE);
    memset(n->pc->ram.host + ELSEWHERE, 0, 64);
    send_numbered(n, 5, 1);
    return n->pc->ram.host[ELSEWHERE + 20] == 5;
}

static void fetched_when_empty(void **state)
{
    struct nic *n = nic_new();
    assert_false(sees_change(n, 0)); /* it was fetched with the tail */
    nic_set(n, E1000_RDT, 0);        /* not while there are others */
    send_numbered(n, 1, GIVEN - 1);
    st_le64(n->pc->ram.host + RX_RING + 16 * (RING - 1),
            ELSEWHERE); /* fetched when these were used up */
    assert_true(sees_change(n, RING - 1));
    /* a new base, length or head is another ring */
    static const uint32_t ring[][2] = { { E1000_RDBAL, RX_RING },
                                        { E1000_RDBAH, 0 },
                                        { E1000_RDLEN, RING * 16 } };
    for (unsigned i = 0; i < ARRAY_LEN(ring); i++) {
        unsigned at = nic_get(n, E1000_RDH);
        nic_set(n, E1000_RDT, (at + RING - 1) % RING);
        st_le64(n->pc->ram.host + RX_RING + 16 * at, ELSEWHERE);
        nic_set(n, ring[i][0], ring[i][1]);
        memset(n->pc->ram.host + ELSEWHERE, 0, 64);
        send_numbered(n, 6, 1);
        assert_int_equal(n->pc->ram.host[ELSEWHERE + 20], 6);
    }
    nic_free(n);
}

/* Fewer than PTHRESH on the chip, at least HTHRESH in memory. */
static void prefetched(void **state)
{
    struct nic *n = nic_new();
    nic_set(n, E1000_RDT, 2); /* on the chip: two */
    nic_set(n, E1000_RXDCTL, E1000_DCTL_GRAN | 3 << E1000_DCTL_HTHRESH_SHIFT | 4);
    nic_set(n, E1000_RDT, 4); /* two more: not enough of them */
    st_le64(n->pc->ram.host + RX_RING + 16 * 2, ELSEWHERE);
    nic_set(n, E1000_RDT, 5); /* three */
    st_le64(n->pc->ram.host + RX_RING + 16 * 3, ELSEWHERE + 0x1000);
    send_numbered(n, 1, 4);
    assert_int_equal(n->pc->ram.host[ELSEWHERE + 20], 3);
    assert_int_equal(n->pc->ram.host[ELSEWHERE + 0x1000 + 20], 0);
    assert_int_equal(rx_data(n, 3)[20], 4);
    nic_free(n);
}

/* With GRAN off in cache lines, of which configuration space knows the size. */
static void prefetched_in_lines(void **state)
{
    struct nic *n = nic_new();
    nic_set(n, E1000_RDT, 1);
    pc_conf_write(n->pc, NIC, PCI_CACHE_LINE_SIZE, 1, 8); /* 32 bytes: two descriptors */
    nic_set(n, E1000_RXDCTL, 1 << E1000_DCTL_HTHRESH_SHIFT | 1);
    nic_set(n, E1000_RDT, 2); /* one more is less than a line */
    st_le64(n->pc->ram.host + RX_RING + 16, ELSEWHERE);
    nic_set(n, E1000_RDT, 3);
    st_le64(n->pc->ram.host + RX_RING + 32, ELSEWHERE + 0x1000);
    send_numbered(n, 1, 3);
    assert_int_equal(n->pc->ram.host[ELSEWHERE + 20], 2);
    assert_int_equal(n->pc->ram.host[ELSEWHERE + 0x1000 + 20], 0);
    nic_free(n);
}

/* A tail that goes back takes descriptors away, from the chip too. */
static void taken_back(void **state)
{
    struct nic *n = nic_new();
    nic_set(n, E1000_RDT, 1);
    assert_int_equal(nic_get(n, E1000_RDT), 1);
    send_numbered(n, 0, 3);
    assert_int_equal(nic_get(n, E1000_RDH), 1);
    assert_int_equal(nic_get(n, E1000_RDFPC), 2);
    nic_free(n);
}

/* Transmit descriptors wait on the chip while the peer wants quiet. */
static void transmit(void **state)
{
    struct nic *n = nic_new();
    n->blocked = true;
    nic_set(n, E1000_TXDCTL, E1000_DCTL_GRAN);
    for (unsigned i = 0; i < NET_QUEUE_MAX; i++) {
        tx_legacy(n, TX_DATA, 60, E1000_TXD_CMD_EOP);
        tx_go(n);
    }
    n->pc->ram.host[TX_DATA + 20] = 1;
    tx_legacy(n, TX_DATA, 60, E1000_TXD_CMD_EOP); /* it waits: the link is full */
    tx_go(n);
    st_le64(n->pc->ram.host + TX_RING + 16 * nic_get(n, E1000_TDH), ELSEWHERE);
    unsigned waits = nic_get(n, E1000_TDH);
    assert_int_equal((waits + 1) % RING, nic_get(n, E1000_TDT));
    n->blocked = false;
    net_port_ready(&n->peer);
    assert_int_equal(nic_get(n, E1000_TDH), nic_get(n, E1000_TDT));
    assert_int_equal(n->count, NET_QUEUE_MAX + 1);
    assert_int_equal(n->frame[NET_QUEUE_MAX][20], 1);
    nic_free(n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pointers),
        cmocka_unit_test(overflow),
        cmocka_unit_test(lossless),
        cmocka_unit_test(pause_overtakes),
        cmocka_unit_test(overwritten),
        cmocka_unit_test(disabled),
        cmocka_unit_test(null_descriptors),
        cmocka_unit_test(fetched_when_empty),
        cmocka_unit_test(prefetched),
        cmocka_unit_test(prefetched_in_lines),
        cmocka_unit_test(taken_back),
        cmocka_unit_test(transmit),
        cmocka_unit_test(written_back_sooner),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
