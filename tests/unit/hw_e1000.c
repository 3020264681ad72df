/* The e1000's registers: identity, EEPROM, PHY and link, interrupts and their delays, statistics.
 */
#include "hw_e1000_fixture.h"

static void identity_and_windows(void **state)
{
    struct nic *n = nic_with(NULL, NULL);
    assert_int_equal(pc_conf_read(n->pc, NIC, 0, 4), 0x100e8086);
    assert_int_equal(pc_conf_read(n->pc, NIC, 8, 4), 0x02000003);
    assert_int_equal(pc_conf_read(n->pc, NIC, PCI_INTERRUPT_PIN, 1), 1);
    pc_conf_write(n->pc, NIC, PCI_BAR0, 4, 0xffffffff);
    assert_int_equal(pc_conf_read(n->pc, NIC, PCI_BAR0, 4), 0xfffe0000);
    pc_conf_write(n->pc, NIC, PCI_BAR0 + 4, 4, 0xffffffff);
    assert_int_equal(pc_conf_read(n->pc, NIC, PCI_BAR0 + 4, 4), 0xffffffc1);
    pc_conf_write(n->pc, NIC, PCI_BAR0, 4, NIC_MMIO);
    pc_conf_write(n->pc, NIC, PCI_BAR0 + 4, 4, NIC_IO);
    assert_string_equal(pc_shown(n->pc->m->memory, NIC_MMIO + 0x1ffff), "e1000-mmio");
    assert_string_equal(pc_shown(n->pc->m->io, NIC_IO + 63), "e1000-io");
    /* the same register through the window */
    pc_out(n->pc, NIC_IO, 4, E1000_TIPG);
    assert_int_equal(pc_in(n->pc, NIC_IO, 4), E1000_TIPG);
    pc_out(n->pc, NIC_IO + 4, 4, 0x00602006);
    assert_int_equal(nic_get(n, E1000_TIPG), 0x00602006);
    assert_int_equal(pc_in(n->pc, NIC_IO + 4, 4), 0x00602006);
    pc_out(n->pc, NIC_IO, 4, 0xfffffff0); /* beyond the registers */
    assert_int_equal(pc_in(n->pc, NIC_IO + 4, 4), 0);
    /* doublewords only */
    assert_int_equal(pc_load(n->pc, NIC_MMIO + E1000_TIPG, 2), 0xffff);
    pc_store(n->pc, NIC_MMIO + E1000_TIPG, 1, 0);
    assert_int_equal(nic_get(n, E1000_TIPG), 0x00602006);
    nic_set(n, E1000_CTRL, E1000_CTRL_RST);
    assert_int_equal(nic_get(n, E1000_TIPG), 0);
    assert_false(nic_get(n, E1000_CTRL) & E1000_CTRL_RST);
    nic_free(n);
}

static uint16_t eerd(struct nic *n, unsigned word)
{
    nic_set(n, E1000_EERD, word << 8 | E1000_EERD_START);
    uint32_t v = nic_get(n, E1000_EERD);
    assert_true(v & E1000_EERD_DONE);
    assert_int_equal(v >> 8 & 0xff, word);
    return v >> 16;
}

static void bang(struct nic *n, unsigned bits)
{
    nic_set(n, E1000_EECD, E1000_EECD_REQ | bits);
}

static void bang_out(struct nic *n, unsigned value, unsigned count)
{
    while (count-- > 0) {
        unsigned di = value >> count & 1 ? E1000_EECD_DI : 0;
        bang(n, E1000_EECD_CS | di);
        bang(n, E1000_EECD_CS | di | E1000_EECD_SK);
        bang(n, E1000_EECD_CS | di);
    }
}

static uint16_t bang_in(struct nic *n)
{
    unsigned v = 0;
    for (unsigned i = 0; i < 16; i++) {
        bang(n, E1000_EECD_CS | E1000_EECD_SK);
        v = v << 1 | !!(nic_get(n, E1000_EECD) & E1000_EECD_DO);
        bang(n, E1000_EECD_CS);
    }
    return v;
}

static void eeprom(void **state)
{
    struct nic *n = nic_with("mac", "52:54:00:ab:cd:ef");
    uint16_t sum = 0;
    for (unsigned i = 0; i < 64; i++)
        sum += eerd(n, i);
    assert_int_equal(sum, 0xbaba);
    assert_int_equal(eerd(n, 0), 0x5452);
    assert_int_equal(eerd(n, 1), 0xab00);
    assert_int_equal(eerd(n, 2), 0xefcd);
    assert_int_equal(eerd(n, 0x0d), 0x100e);
    assert_int_equal(eerd(n, 64), 0xffff);
    assert_int_equal(nic_get(n, E1000_RA), 0xab005452);
    assert_int_equal(nic_get(n, E1000_RA + 4), 0x8000efcd);

    /* by its wires: request and grant, a command, a dummy bit, then words as long as there is clock
     */
    bang(n, 0);
    assert_true(nic_get(n, E1000_EECD) & E1000_EECD_GNT);
    bang_out(n, 6, 3);
    bang_out(n, 1, 6);
    assert_false(nic_get(n, E1000_EECD) & E1000_EECD_DO);
    assert_int_equal(bang_in(n), 0xab00);
    assert_int_equal(bang_in(n), 0xefcd);
    bang(n, 0);
    /* writing is refused until it is enabled */
    bang_out(n, 5, 3);
    bang_out(n, 0x20, 6);
    bang_out(n, 0x1234, 16);
    bang(n, 0);
    assert_int_equal(eerd(n, 0x20), 0);
    bang_out(n, 4, 3);
    bang_out(n, 0x30, 6);
    bang(n, 0);
    bang_out(n, 5, 3);
    bang_out(n, 0x20, 6);
    bang_out(n, 0x1234, 16);
    bang(n, 0);
    assert_int_equal(eerd(n, 0x20), 0x1234);
    bang_out(n, 7, 3);
    bang_out(n, 0x20, 6);
    bang(n, 0);
    assert_int_equal(eerd(n, 0x20), 0xffff);
    nic_free(n);
}

static uint32_t mdic(struct nic *n, unsigned phy, unsigned op, unsigned reg, unsigned data)
{
    nic_set(n, E1000_MDIC, op << 26 | phy << 21 | reg << 16 | data);
    uint32_t v = nic_get(n, E1000_MDIC);
    assert_true(v & E1000_MDIC_READY);
    return v;
}

static uint16_t phy_get(struct nic *n, unsigned reg)
{
    return mdic(n, 1, E1000_MDIC_OP_READ, reg, 0) & 0xffff;
}

static void phy_set(struct nic *n, unsigned reg, unsigned value)
{
    mdic(n, 1, E1000_MDIC_OP_WRITE, reg, value);
}

static void phy_and_link(void **state)
{
    struct nic *n = nic_with(NULL, NULL);
    assert_int_equal(phy_get(n, PHY_ID1), 0x0141);
    assert_int_equal(phy_get(n, PHY_ID2), 0x0c20);
    assert_true(mdic(n, 2, E1000_MDIC_OP_READ, PHY_ID1, 0) & E1000_MDIC_ERROR);
    assert_false(phy_get(n, PHY_STATUS) & PHY_STATUS_LINK);
    nic_advance(n, NS_PER_SECOND);
    assert_true(phy_get(n, PHY_STATUS) & PHY_STATUS_LINK);
    assert_true(phy_get(n, PHY_STATUS) & PHY_STATUS_AN_COMPLETE);
    assert_int_equal(phy_get(n, PHY_SPEC_STATUS), 0xac00);
    /* the MAC's link follows when the driver sets it up */
    assert_false(nic_get(n, E1000_STATUS) & E1000_STATUS_LU);
    nic_get(n, E1000_ICR);
    nic_set(n, E1000_CTRL, E1000_CTRL_SLU);
    assert_int_equal(nic_get(n, E1000_STATUS) & 0xc3, 2 << 6 | 3);
    assert_int_equal(nic_get(n, E1000_ICR), E1000_ICR_LSC);
    /* negotiating anew takes the link down for a while; the status bit latches */
    phy_set(n, PHY_CTRL, PHY_CTRL_AN_ENABLE | PHY_CTRL_RESTART_AN);
    assert_false(phy_get(n, PHY_CTRL) & PHY_CTRL_RESTART_AN);
    assert_false(nic_get(n, E1000_STATUS) & E1000_STATUS_LU);
    nic_advance(n, NS_PER_SECOND);
    assert_false(phy_get(n, PHY_STATUS) & PHY_STATUS_LINK);
    assert_true(phy_get(n, PHY_STATUS) & PHY_STATUS_LINK);
    assert_true(nic_get(n, E1000_STATUS) & E1000_STATUS_LU);
    assert_int_equal(nic_get(n, E1000_ICR), E1000_ICR_LSC);
    /* the wire */
    net_link_set_up(n->peer.link, false);
    assert_false(nic_get(n, E1000_STATUS) & E1000_STATUS_LU);
    assert_int_equal(nic_get(n, E1000_ICR), E1000_ICR_LSC);
    net_link_set_up(n->peer.link, true);
    nic_advance(n, NS_PER_SECOND);
    assert_true(nic_get(n, E1000_STATUS) & E1000_STATUS_LU);
    /* forced: 100 Mb/s, no negotiation */
    phy_set(n, PHY_CTRL, PHY_CTRL_SPEED_LSB | PHY_CTRL_FD);
    assert_int_equal(nic_get(n, E1000_STATUS) & 0xc3, 1 << 6 | 3);
    phy_set(n, PHY_CTRL, PHY_CTRL_POWER_DOWN | PHY_CTRL_AN_ENABLE);
    nic_advance(n, NS_PER_SECOND);
    assert_false(nic_get(n, E1000_STATUS) & E1000_STATUS_LU);
    /* a PHY reset brings its defaults back */
    nic_set(n, E1000_CTRL, E1000_CTRL_SLU | E1000_CTRL_PHY_RST);
    assert_int_equal(phy_get(n, PHY_CTRL), 0x1140);
    nic_advance(n, NS_PER_SECOND);
    assert_true(nic_get(n, E1000_STATUS) & E1000_STATUS_LU);
    nic_free(n);

    n = nic_with("autonegotiation", "false");
    assert_true(phy_get(n, PHY_STATUS) & PHY_STATUS_AN_COMPLETE);
    nic_set(n, E1000_MDIC, E1000_MDIC_INTERRUPT | 2u << 26 | 1 << 21);
    assert_int_equal(nic_get(n, E1000_ICR) & E1000_ICR_MDAC, E1000_ICR_MDAC);
    nic_free(n);
}

static bool pin(struct nic *n)
{
    return pc_conf_read(n->pc, NIC, PCI_STATUS, 2) & PCI_STATUS_INTERRUPT;
}

static void interrupt_causes(void **state)
{
    struct nic *n = nic_new();
    nic_set(n, E1000_ICS, E1000_ICR_LSC);
    assert_false(pin(n));
    nic_set(n, E1000_IMS, E1000_ICR_LSC | E1000_ICR_RXT0);
    nic_set(n, E1000_IMS, E1000_ICR_TXDW);
    assert_int_equal(nic_get(n, E1000_IMS), E1000_ICR_LSC | E1000_ICR_RXT0 | E1000_ICR_TXDW);
    assert_true(pin(n));
    nic_set(n, E1000_IMC, E1000_ICR_LSC);
    assert_false(pin(n));
    assert_int_equal(nic_get(n, E1000_IMS), E1000_ICR_RXT0 | E1000_ICR_TXDW);
    assert_int_equal(nic_get(n, E1000_ICR), E1000_ICR_LSC);
    assert_int_equal(nic_get(n, E1000_ICR), 0);
    nic_set(n, E1000_ICS, E1000_ICR_RXT0 | E1000_ICR_LSC);
    assert_true(pin(n));
    nic_set(n, E1000_ICR, E1000_ICR_RXT0); /* writing clears too */
    assert_false(pin(n));
    assert_int_equal(nic_get(n, E1000_ICR), E1000_ICR_LSC);
    nic_free(n);
}

static void throttling(void **state)
{
    struct nic *n = nic_new();
    nic_set(n, E1000_IMS, E1000_ICR_LSC);
    nic_set(n, E1000_ITR, 1000); /* 256 us */
    nic_set(n, E1000_ICS, E1000_ICR_LSC);
    assert_true(pin(n));
    nic_get(n, E1000_ICR);
    nic_advance(n, 100000);
    nic_set(n, E1000_ICS, E1000_ICR_LSC);
    assert_false(pin(n));
    nic_advance(n, 155999);
    assert_false(pin(n));
    nic_advance(n, 1);
    assert_true(pin(n));
    nic_get(n, E1000_ICR);
    nic_set(n, E1000_ICS, E1000_ICR_LSC);
    assert_false(pin(n));
    nic_set(n, E1000_ITR, 0); /* no longer throttled: at once */
    assert_true(pin(n));
    nic_free(n);
}

static void delays(void **state)
{
    struct nic *n = nic_new();
    uint8_t f[64] = ETH_TO_US;
    nic_set(n, E1000_RDTR, 10); /* 10.24 us after the last */
    nic_set(n, E1000_RADV, 15); /* 15.36 us after the first */
    rx_send(n, f, 60);
    assert_int_equal(nic_get(n, E1000_ICR), 0);
    nic_advance(n, 10000);
    rx_send(n, f, 60);
    nic_advance(n, 5359);
    assert_int_equal(nic_get(n, E1000_ICR), 0);
    nic_advance(n, 1);
    assert_int_equal(nic_get(n, E1000_ICR), E1000_ICR_RXT0);
    nic_advance(n, NS_PER_SECOND);
    assert_int_equal(nic_get(n, E1000_ICR), 0);
    rx_send(n, f, 60);
    nic_set(n, E1000_RDTR, E1000_RDTR_FPD | 10);
    assert_int_equal(nic_get(n, E1000_ICR), E1000_ICR_RXT0);

    nic_set(n, E1000_TIDV, 8);
    tx_legacy(n, TX_DATA, 60, E1000_TXD_CMD_EOP | E1000_TXD_CMD_RS | E1000_TXD_CMD_IDE);
    tx_go(n);
    assert_int_equal(nic_get(n, E1000_ICR), TX_EMPTY);
    nic_advance(n, 8191);
    assert_int_equal(nic_get(n, E1000_ICR), 0);
    nic_advance(n, 1);
    assert_int_equal(nic_get(n, E1000_ICR), E1000_ICR_TXDW);
    tx_legacy(n, TX_DATA, 60, E1000_TXD_CMD_EOP | E1000_TXD_CMD_RS);
    tx_go(n);
    assert_int_equal(nic_get(n, E1000_ICR), TX_EMPTY | E1000_ICR_TXDW);
    nic_free(n);

    n = nic_with("mitigation", "false");
    nic_start(n);
    nic_set(n, E1000_RDTR, 10);
    rx_send(n, f, 60);
    assert_int_equal(nic_get(n, E1000_ICR), E1000_ICR_RXT0);
    nic_free(n);
}

static void statistics(void **state)
{
    struct nic *n = nic_new();
    uint8_t f[200] = ETH_TO_US, b[60];
    memset(b, 0xff, sizeof b);
    rx_send(n, f, 60);
    rx_send(n, f, 200);
    rx_send(n, b, 60);
    assert_int_equal(nic_get(n, E1000_TPR), 3);
    assert_int_equal(nic_get(n, E1000_TPR), 0);
    assert_int_equal(nic_get(n, E1000_GPRC), 3);
    assert_int_equal(nic_get(n, E1000_BPRC), 1);
    assert_int_equal(nic_get(n, E1000_PRC64), 2);
    assert_int_equal(nic_get(n, E1000_PRC255), 1);
    /* wide counters clear when their upper half is read */
    assert_int_equal(nic_get(n, E1000_GORCL), 64 + 204 + 64);
    assert_int_equal(nic_get(n, E1000_GORCL), 64 + 204 + 64);
    assert_int_equal(nic_get(n, E1000_GORCH), 0);
    assert_int_equal(nic_get(n, E1000_GORCL), 0);
    memcpy(n->pc->ram.host + TX_DATA, b, 60);
    tx_legacy(n, TX_DATA, 60, E1000_TXD_CMD_EOP);
    tx_go(n);
    assert_int_equal(nic_get(n, E1000_GPTC), 1);
    assert_int_equal(nic_get(n, E1000_BPTC), 1);
    assert_int_equal(nic_get(n, E1000_PTC64), 1);
    assert_int_equal(nic_get(n, E1000_TOTL), 64);
    nic_free(n);
}

static void refusals(void **state)
{
    struct pc *pc = pc_new();
    struct error err = { 0 };
    struct device *d = test_device(pc->t, "e1000", "n1");
    struct prop_value group = { .type = VALUE_STRING, .s = "53:54:00:12:34:56" };
    assert_false(device_set_prop(d, "mac", group, &err));
    assert_contains(err.text, "mac");
    test_realize(d, &pc->bus->bus); /* a card without a wire */
    machine_reset_devices(pc->m);
    test_machine_advance(pc->t, NS_PER_SECOND);
    pc_free(pc);

    struct nic *n = nic_with(NULL, NULL);
    d = test_device(n->pc->t, "e1000", "second");
    pc_set_object(d, "netdev", &n->peer);
    err.text[0] = 0;
    assert_false(device_realize(d, &n->pc->bus->bus, &err));
    assert_contains(err.text, "peer");
    assert_null(net_port_find(n->net, "second"));
    /* out and in again */
    device_unrealize(n->dev);
    assert_null(n->peer.link);
    test_realize(n->dev, &n->pc->bus->bus);
    assert_non_null(n->peer.link);
    nic_free(n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(identity_and_windows), cmocka_unit_test(eeprom),
        cmocka_unit_test(phy_and_link),         cmocka_unit_test(interrupt_causes),
        cmocka_unit_test(throttling),           cmocka_unit_test(delays),
        cmocka_unit_test(statistics),           cmocka_unit_test(refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
