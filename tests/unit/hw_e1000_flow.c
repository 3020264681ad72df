/* The e1000's flow control: PAUSE frames that it obeys, passes on and sends. */
#include "hw_e1000_fixture.h"

#define PAUSE_GROUP "\x01\x80\xc2\x00\x00\x01"

enum {
    PAUSE = 1,
    FLOW_CTRL = E1000_CTRL_SLU | E1000_CTRL_ASDE,
};

static void control_frame(struct nic *n, const char *to, unsigned opcode, unsigned quanta)
{
    uint8_t f[60] = { 0 };
    memcpy(f, to, 6);
    memcpy(f + 6, "\x52\x55\x0a\x00\x02\x02\x88\x08", 8);
    st_be16(f + 14, (uint16_t)opcode);
    st_be16(f + 16, (uint16_t)quanta);
    rx_send(n, f, sizeof f);
}

static bool paused(struct nic *n)
{
    return nic_get(n, E1000_STATUS) & E1000_STATUS_TXOFF;
}

static void one_out(struct nic *n)
{
    tx_legacy(n, TX_DATA, 60, E1000_TXD_CMD_EOP);
    tx_go(n);
}

static void obeys(void **state)
{
    struct nic *n = nic_new();
    control_frame(n, PAUSE_GROUP, PAUSE, 100); /* not enabled: any frame */
    assert_false(paused(n));
    assert_int_equal(nic_get(n, E1000_XOFFRXC), 0);
    nic_set(n, E1000_CTRL, FLOW_CTRL | E1000_CTRL_RFCE);

    /* 100 slots of 512 ns */
    control_frame(n, PAUSE_GROUP, PAUSE, 100);
    assert_true(paused(n));
    one_out(n);
    one_out(n);
    nic_advance(n, 51199);
    assert_int_equal(n->count, 0);
    nic_advance(n, 1);
    assert_int_equal(n->count, 2);
    assert_false(paused(n));
    /* a later one counts from its own time; XON ends it */
    control_frame(n, OUR_MAC, PAUSE, 100);
    nic_advance(n, 50000);
    control_frame(n, PAUSE_GROUP, PAUSE, 0xffff);
    one_out(n);
    nic_advance(n, 1000000);
    assert_int_equal(n->count, 2);
    control_frame(n, PAUSE_GROUP, PAUSE, 0);
    assert_int_equal(n->count, 3);
    assert_false(paused(n));
    assert_int_equal(nic_get(n, E1000_XOFFRXC), 3);
    assert_int_equal(nic_get(n, E1000_XOFFRXC), 0);
    assert_int_equal(nic_get(n, E1000_XONRXC), 1);
    /* to somebody else, of another type */
    control_frame(n, "\x52\x54\x00\x12\x34\x57", PAUSE, 100);
    nic_set(n, E1000_FCT, 0x8809);
    control_frame(n, PAUSE_GROUP, PAUSE, 100);
    assert_false(paused(n));
    nic_set(n, E1000_FCT, 0x8808);
    /* a reset ends it */
    control_frame(n, PAUSE_GROUP, PAUSE, 0xffff);
    nic_set(n, E1000_CTRL, E1000_CTRL_RST);
    assert_false(paused(n));
    nic_free(n);
}

/* At 100 Mb/s a slot is ten times as long. */
static void obeys_in_slots(void **state)
{
    struct nic *n = nic_new();
    nic_set(n, E1000_MDIC,
            E1000_MDIC_OP_WRITE << 26 | 1 << 21 | PHY_CTRL << 16 | PHY_CTRL_SPEED_LSB |
                PHY_CTRL_FD);
    nic_set(n, E1000_CTRL, FLOW_CTRL | E1000_CTRL_RFCE);
    control_frame(n, PAUSE_GROUP, PAUSE, 10);
    nic_advance(n, 51199);
    assert_true(paused(n));
    nic_advance(n, 1);
    assert_false(paused(n));
    nic_free(n);
}

static void passes_on(void **state)
{
    struct nic *n = nic_new();
    nic_set(n, E1000_CTRL, FLOW_CTRL | E1000_CTRL_RFCE);
    control_frame(n, PAUSE_GROUP, PAUSE, 1); /* in no filter */
    assert_int_equal(nic_get(n, E1000_RDH), 0);
    control_frame(n, OUR_MAC, PAUSE, 1);
    assert_int_equal(nic_get(n, E1000_RDH), 1);
    nic_set(n, E1000_RCTL, NIC_RCTL | E1000_RCTL_DPF);
    control_frame(n, OUR_MAC, PAUSE, 1);
    assert_int_equal(nic_get(n, E1000_RDH), 1);
    assert_int_equal(nic_get(n, E1000_XOFFRXC), 3);
    /* other opcodes: dropped, or past the filters */
    control_frame(n, OUR_MAC, 2, 1);
    assert_int_equal(nic_get(n, E1000_RDH), 1);
    nic_set(n, E1000_RCTL, NIC_RCTL | E1000_RCTL_PMCF);
    control_frame(n, PAUSE_GROUP, 2, 1);
    assert_int_equal(nic_get(n, E1000_RDH), 2);
    assert_int_equal(nic_get(n, E1000_FCRUC), 2);
    assert_int_equal(nic_get(n, E1000_XOFFRXC), 0);
    /* all were received, none was a good packet */
    assert_int_equal(nic_get(n, E1000_TPR), 5);
    assert_int_equal(nic_get(n, E1000_GPRC) | nic_get(n, E1000_PRC64), 0);
    assert_int_equal(nic_get(n, E1000_MPRC), 0);
    nic_free(n);
}

static void assert_pause(struct nic *n, unsigned i, unsigned quanta)
{
    assert_true(n->count > i);
    assert_int_equal(n->len[i], 60);
    assert_memory_equal(n->frame[i], PAUSE_GROUP OUR_MAC "\x88\x08\x00\x01", 16);
    assert_int_equal(ld_be16(n->frame[i] + 16), quanta);
}

static void by_software(void **state)
{
    struct nic *n = nic_new();
    nic_set(n, E1000_FCTTV, 0x1234);
    nic_set(n, E1000_TCTL, E1000_TCTL_EN | E1000_TCTL_SWXOFF);
    assert_false(nic_get(n, E1000_TCTL) & E1000_TCTL_SWXOFF);
    assert_pause(n, 0, 0x1234);
    nic_set(n, E1000_FCTTV, 0);
    nic_set(n, E1000_TCTL, E1000_TCTL_EN | E1000_TCTL_SWXOFF);
    assert_pause(n, 1, 0);
    nic_set(n, E1000_TCTL, E1000_TCTL_SWXOFF); /* disabled */
    assert_int_equal(n->count, 2);
    assert_int_equal(nic_get(n, E1000_XOFFTXC), 1);
    assert_int_equal(nic_get(n, E1000_XONTXC), 1);
    assert_int_equal(nic_get(n, E1000_GPTC), 0);
    nic_free(n);
}

/* Frames of 1000 bytes that wait because there are no descriptors: 8192 bytes are the high
 * threshold, 4096 the low one. */
static void by_thresholds(void **state)
{
    struct nic *n = nic_new();
    uint8_t f[1000] = ETH_TO_US;
    nic_set(n, E1000_FCTTV, 0x680);
    nic_set(n, E1000_FCRTH, 0x2000);
    nic_set(n, E1000_FCRTL, E1000_FCRTL_XONE | 0x1000);
    for (unsigned i = 0; i < RING - 1 + 9; i++) /* TFCE is off */
        rx_send(n, f, sizeof f);
    assert_int_equal(n->count, 0);
    nic_set(n, E1000_CTRL, FLOW_CTRL | E1000_CTRL_TFCE);
    nic_set(n, E1000_RDT, RING - 2); /* seven more: two wait */
    for (unsigned i = 3; i <= 12; i++) {
        rx_send(n, f, sizeof f);
        assert_int_equal(n->count, i >= 9); /* once, with 9000 bytes */
    }
    assert_pause(n, 0, 0x680);
    for (unsigned waiting = 11; waiting >= 3; waiting--) {
        nic_set(n, E1000_RDT, (nic_get(n, E1000_RDT) + 1) % RING);
        assert_int_equal(n->count, waiting > 4 ? 1 : 2);
    }
    assert_pause(n, 1, 0);
    assert_int_equal(nic_get(n, E1000_XOFFTXC), 1);
    assert_int_equal(nic_get(n, E1000_XONTXC), 1);
    /* without XONE nothing tells that there is room; without a threshold nothing is sent */
    nic_set(n, E1000_FCRTL, 0x1000);
    for (unsigned i = 0; i < 10; i++)
        rx_send(n, f, sizeof f);
    assert_int_equal(n->count, 3);
    for (unsigned i = 0; i < 20; i++)
        nic_set(n, E1000_RDT, (nic_get(n, E1000_RDH) + RING - 1) % RING);
    assert_int_equal(n->count, 3);
    nic_set(n, E1000_FCRTH, 0);
    for (unsigned i = 0; i < 3 * RING; i++)
        rx_send(n, f, sizeof f);
    assert_int_equal(n->count, 3);
    /* a reset takes what waits with it */
    nic_set(n, E1000_CTRL, E1000_CTRL_RST);
    nic_start(n);
    nic_set(n, E1000_CTRL, FLOW_CTRL | E1000_CTRL_TFCE);
    nic_set(n, E1000_FCRTH, 0x2000);
    n->count = 0;
    for (unsigned i = 0; i < RING - 1 + 9; i++) {
        assert_int_equal(n->count, 0);
        rx_send(n, f, sizeof f);
    }
    assert_int_equal(n->count, 1);
    nic_free(n);
}

/* Its own PAUSE frames, looped back, in the middle of transmitting. */
static void loopback(void **state)
{
    struct nic *n = nic_new();
    nic_set(n, E1000_CTRL, FLOW_CTRL | E1000_CTRL_RFCE);
    nic_set(n, E1000_RCTL, NIC_RCTL | 3 << E1000_RCTL_LBM_SHIFT);
    nic_set(n, E1000_FCTTV, 100);
    nic_set(n, E1000_TCTL, E1000_TCTL_EN | E1000_TCTL_SWXOFF);
    assert_true(paused(n));
    one_out(n);
    assert_int_equal(nic_get(n, E1000_TDH), 0);
    nic_advance(n, 51200);
    assert_int_equal(nic_get(n, E1000_TDH), 1);
    /* one in the transmit ring stops what follows it */
    uint8_t *f = n->pc->ram.host + TX_DATA;
    memcpy(f, PAUSE_GROUP OUR_MAC "\x88\x08\x00\x01\x00\x0a", 18);
    tx_legacy(n, TX_DATA, 60, E1000_TXD_CMD_EOP);
    tx_legacy(n, TX_DATA + 0x100, 60, E1000_TXD_CMD_EOP);
    tx_go(n);
    assert_int_equal(nic_get(n, E1000_TDH), 2);
    nic_advance(n, 5120);
    assert_int_equal(nic_get(n, E1000_TDH), 3);
    nic_free(n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(obeys),         cmocka_unit_test(obeys_in_slots),
        cmocka_unit_test(passes_on),     cmocka_unit_test(by_software),
        cmocka_unit_test(by_thresholds), cmocka_unit_test(loopback),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
