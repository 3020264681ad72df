/* When the e1000 writes descriptors back: WTHRESH and GRAN of RXDCTL and TXDCTL, and what does it
 * earlier. */
#include "hw_e1000_fixture.h"

static uint32_t threshold(unsigned n)
{
    return n << E1000_DCTL_WTHRESH_SHIFT | E1000_DCTL_GRAN;
}

static unsigned received(struct nic *n)
{
    unsigned count = 0;
    for (unsigned i = 0; i < RING; i++)
        count += rx_desc(n, i).status & E1000_RXD_STAT_DD;
    return count;
}

static unsigned sent(struct nic *n)
{
    unsigned count = 0;
    for (unsigned i = 0; i < RING; i++)
        count += tx_status(n, i) & E1000_TXD_STAT_DD;
    return count;
}

static void receive_one(struct nic *n)
{
    rx_send(n, (const uint8_t *)ETH_TO_US "\x08\x06", 14);
}

static void send_one(struct nic *n, unsigned cmd)
{
    tx_legacy(n, TX_DATA, 60, E1000_TXD_CMD_EOP | cmd);
    tx_go(n);
}

static void receiving(void **state)
{
    struct nic *n = nic_new();
    nic_set(n, E1000_RDTR, 100); /* 102.4 us */
    nic_set(n, E1000_RXDCTL, threshold(3));
    receive_one(n);
    receive_one(n);
    assert_int_equal(nic_get(n, E1000_RDH), 2); /* processed */
    assert_int_equal(received(n), 0);
    receive_one(n);
    assert_int_equal(received(n), 3);
    assert_int_equal(nic_get(n, E1000_ICR) & E1000_ICR_RXT0, 0);
    receive_one(n);
    assert_int_equal(received(n), 3);
    /* the delay ends with it, before the interrupt */
    nic_advance(n, 102400);
    assert_int_equal(received(n), 4);
    assert_true(nic_get(n, E1000_ICR) & E1000_ICR_RXT0);
    receive_one(n);
    nic_set(n, E1000_RDTR, E1000_RDTR_FPD | 100);
    assert_int_equal(received(n), 5);
    /* no delay, no waiting */
    nic_set(n, E1000_RDTR, 0);
    receive_one(n);
    assert_int_equal(received(n), 6);
    nic_free(n);
}

/* In cache lines, whose length is in configuration space. */
static void granularity(void **state)
{
    struct nic *n = nic_new();
    nic_set(n, E1000_RDTR, 0xffff);
    nic_set(n, E1000_RXDCTL, 1 << E1000_DCTL_WTHRESH_SHIFT);
    receive_one(n); /* no length: at once */
    assert_int_equal(received(n), 1);
    pc_conf_write(n->pc, NIC, PCI_CACHE_LINE_SIZE, 1, 16); /* 64 bytes: four descriptors */
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(received(n), 1);
        receive_one(n);
    }
    assert_int_equal(received(n), 5);
    nic_free(n);
}

static void sending(void **state)
{
    struct nic *n = nic_new();
    nic_set(n, E1000_TIDV, 100);
    nic_set(n, E1000_TXDCTL, threshold(3));
    nic_get(n, E1000_ICR);
    send_one(n, E1000_TXD_CMD_RS);
    send_one(n, 0); /* is not counted */
    send_one(n, E1000_TXD_CMD_RS);
    assert_int_equal(n->count, 3);
    assert_int_equal(sent(n), 0);
    assert_int_equal(nic_get(n, E1000_ICR) & E1000_ICR_TXDW, 0);
    send_one(n, E1000_TXD_CMD_RS);
    assert_int_equal(sent(n), 3);
    assert_int_equal(tx_status(n, 1), 0);
    assert_true(nic_get(n, E1000_ICR) & E1000_ICR_TXDW);
    /* with IDE the delay writes back what there is */
    send_one(n, E1000_TXD_CMD_RS | E1000_TXD_CMD_IDE);
    nic_advance(n, 102399);
    assert_int_equal(sent(n), 3);
    nic_advance(n, 1);
    assert_int_equal(sent(n), 4);
    assert_true(nic_get(n, E1000_ICR) & E1000_ICR_TXDW);
    nic_free(n);
}

/* A reset, and sleep, forget what was not written back. */
static void forgotten(void **state)
{
    struct nic *n = nic_new();
    nic_set(n, E1000_RDTR, 100);
    nic_set(n, E1000_RXDCTL, threshold(2));
    nic_set(n, E1000_TXDCTL, threshold(2));
    receive_one(n);
    send_one(n, E1000_TXD_CMD_RS);
    nic_set(n, E1000_CTRL, E1000_CTRL_RST);
    n->tail = 0;
    nic_start(n);
    nic_set(n, E1000_RDTR, 100);
    nic_set(n, E1000_RXDCTL, threshold(2));
    nic_set(n, E1000_TXDCTL, threshold(2));
    receive_one(n);
    send_one(n, E1000_TXD_CMD_RS);
    assert_int_equal(received(n), 0);
    assert_int_equal(sent(n), 0);
    receive_one(n);
    send_one(n, E1000_TXD_CMD_RS);
    assert_int_equal(received(n), 2);
    assert_int_equal(sent(n), 2);
    nic_free(n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(receiving),
        cmocka_unit_test(granularity),
        cmocka_unit_test(sending),
        cmocka_unit_test(forgotten),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
