/* The e1000's power states: the capability, what a sleeping card does and does not, waking up. */
#include "hw_e1000_fixture.h"

enum {
    CAP = 0xdc,
    PMCSR = CAP + PCI_POWER_STATUS,
};

static uint32_t pmcsr(struct nic *n)
{
    return pc_conf_read(n->pc, NIC, PMCSR, 2);
}

static void set_pmcsr(struct nic *n, uint32_t value)
{
    pc_conf_write(n->pc, NIC, PMCSR, 2, value);
}

/* As firmware does, and a driver. */
static void map_again(struct nic *n)
{
    pc_conf_write(n->pc, NIC, PCI_BAR0, 4, NIC_MMIO);
    pc_conf_write(n->pc, NIC, PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
}

static size_t build_magic(uint8_t *f)
{
    memset(f, 0, 14 + 102);
    memcpy(f, ETH_TO_US "\x08\x42", 14);
    memset(f + 14, 0xff, 6);
    for (unsigned i = 0; i < 16; i++)
        memcpy(f + 20 + 6 * i, OUR_MAC, 6);
    return 14 + 102;
}

static void capability(void **state)
{
    struct nic *n = nic_new();
    assert_true(pc_conf_read(n->pc, NIC, PCI_STATUS, 2) & PCI_STATUS_CAP_LIST);
    assert_int_equal(pc_conf_read(n->pc, NIC, PCI_CAPABILITY_LIST, 1), CAP);
    assert_int_equal(pc_conf_read(n->pc, NIC, CAP, 2), 0x0001); /* the only one */
    assert_int_equal(pc_conf_read(n->pc, NIC, CAP + 2, 2), 0x4822);
    pc_conf_write(n->pc, NIC, CAP, 4, ~0u);
    assert_int_equal(pc_conf_read(n->pc, NIC, CAP, 4), 0x48220001);
    /* a scale where there is a value: D0's and D3's */
    assert_int_equal(pmcsr(n), 0x2000);
    for (unsigned select = 0; select < 16; select++) {
        set_pmcsr(n, select << 9);
        assert_int_equal(pmcsr(n), select << 9 | (0x99 >> select & 1 ? 0x2000 : 0));
    }
    /* D1 and D2 are not to be had, and leave the card as it is */
    for (unsigned d = 1; d <= 2; d++) {
        set_pmcsr(n, d);
        assert_int_equal(pmcsr(n) & PCI_POWER_STATE, 0);
    }
    assert_true(nic_get(n, E1000_STATUS) & E1000_STATUS_LU);
    nic_free(n);
}

static void asleep(void **state)
{
    struct nic *n = nic_new();
    pc_add(n->pc, "PIIX3", "01.0"); /* who routes interrupts */
    nic_set(n, E1000_IMS, E1000_ICR_MDAC);
    nic_set(n, E1000_ICS, E1000_ICR_MDAC);
    struct pci_device *pci = (struct pci_device *)n->dev;
    assert_int_not_equal(pci->intx_irq, -1);
    set_pmcsr(n, PCI_POWER_D3);
    assert_int_equal(pmcsr(n) & PCI_POWER_STATE, PCI_POWER_D3);
    assert_int_equal(pc_conf_read(n->pc, NIC, PCI_COMMAND, 2), PCI_COMMAND_MASTER);
    assert_string_equal(pc_shown(n->pc->m->memory, NIC_MMIO), "");
    assert_int_equal(pci->intx_irq, -1);
    /* the command register holds what is written to it, and gives nothing back */
    pc_conf_write(n->pc, NIC, PCI_COMMAND, 2, 7);
    assert_string_equal(pc_shown(n->pc->m->memory, NIC_MMIO), "");
    uint8_t byte = 0;
    assert_int_not_equal(address_space_read(pci->dma, 0, &byte, 1), MEM_OK);
    rx_send(n, (const uint8_t *)ETH_TO_US "\x08\x06", 14);
    assert_int_equal(rx_desc(n, 0).status, 0);
    /* a change within D3 wakes nothing */
    set_pmcsr(n, PCI_POWER_D3 | PCI_POWER_PME_ENABLE);
    assert_string_equal(pc_shown(n->pc->m->memory, NIC_MMIO), "");
    nic_free(n);
}

static void as_after_power_on(void **state)
{
    struct nic *n = nic_new();
    nic_set(n, E1000_WUFC, E1000_WUFC_EX);
    nic_set(n, E1000_MTA, 0x1234);
    nic_set(n, E1000_IMS, 1);
    set_pmcsr(n, PCI_POWER_D3);
    set_pmcsr(n, PCI_POWER_D0);
    assert_int_equal(pc_conf_read(n->pc, NIC, PCI_COMMAND, 2), 0);
    assert_int_equal(pc_conf_read(n->pc, NIC, PCI_BAR0, 4), 0);
    assert_int_equal(pc_conf_read(n->pc, NIC, PCI_VENDOR_ID, 4), 0x100e8086);
    map_again(n);
    assert_int_equal(nic_get(n, E1000_WUFC), 0);
    assert_int_equal(nic_get(n, E1000_RDLEN), 0);
    assert_int_equal(nic_get(n, E1000_IMS), 0);
    assert_int_equal(nic_get(n, E1000_RA), 0x00005452 | 0x12u << 24);
    assert_false(nic_get(n, E1000_STATUS) & E1000_STATUS_LU);
    nic_start(n); /* negotiates anew */
    rx_send(n, (const uint8_t *)ETH_TO_US "\x08\x06", 14);
    assert_true(rx_desc(n, 0).status & E1000_RXD_STAT_DD);
    assert_int_equal(nic_get(n, E1000_RDH), 1);
    nic_free(n);
}

static void waking(void **state)
{
    struct nic *n = nic_new();
    struct probe pme = { 0 };
    uint8_t f[200];
    size_t len = build_magic(f);
    probe_connect(&pme, n->pc->host, "pme", 0);
    nic_set(n, E1000_WUFC, E1000_WUFC_MAG);
    set_pmcsr(n, PCI_POWER_D3 | PCI_POWER_PME_ENABLE);
    rx_send(n, (const uint8_t *)ETH_TO_US "\x08\x06", 14);
    assert_false(pme.level);
    rx_send(n, f, len);
    assert_true(pme.level);
    assert_int_equal(pmcsr(n) & ~0x2000u,
                     PCI_POWER_D3 | PCI_POWER_PME_ENABLE | PCI_POWER_PME_STATUS);
    /* who woke is there afterwards, the line stays until it is answered */
    set_pmcsr(n, PCI_POWER_PME_ENABLE);
    assert_true(pme.level);
    map_again(n);
    assert_int_equal(nic_get(n, E1000_WUS), E1000_WUFC_MAG);
    assert_int_equal(nic_get(n, E1000_WUPL), len + 4);
    assert_int_equal(nic_get(n, E1000_WUC), E1000_WUC_PME_EN | E1000_WUC_PME_STATUS);
    set_pmcsr(n, PCI_POWER_PME_STATUS | PCI_POWER_PME_ENABLE);
    assert_false(pme.level);
    assert_int_equal(nic_get(n, E1000_WUC), E1000_WUC_PME_EN);
    assert_int_equal(pme.rises, 1);
    nic_free(n);
}

/* The PMCSR's bits and their copies in WUC are the same ones. */
static void copies(void **state)
{
    struct nic *n = nic_new();
    struct probe pme = { 0 };
    probe_connect(&pme, n->pc->host, "pme", 0);
    nic_set(n, E1000_WUC, E1000_WUC_PME_EN);
    assert_int_equal(pmcsr(n) & PCI_POWER_PME, PCI_POWER_PME_ENABLE);
    nic_set(n, E1000_WUFC, E1000_WUFC_LNKC);
    net_link_set_up(n->peer.link, false);
    assert_true(pme.level);
    assert_int_equal(pmcsr(n) & PCI_POWER_PME, PCI_POWER_PME);
    nic_set(n, E1000_WUC, E1000_WUC_PME_STATUS); /* clears both */
    assert_false(pme.level);
    assert_int_equal(pmcsr(n) & PCI_POWER_PME, 0);
    set_pmcsr(n, PCI_POWER_PME_ENABLE);
    net_link_set_up(n->peer.link, true);
    nic_advance(n, NS_PER_SECOND);
    assert_true(pme.level);
    machine_reset_devices(n->pc->m); /* no auxiliary power */
    assert_false(pme.level);
    assert_int_equal(pmcsr(n), 0x2000);
    nic_free(n);
}

/* PME# is one line for the whole bus: it is driven as long as one card drives it. */
static void shared_line(void **state)
{
    struct nic *n = nic_new();
    struct probe pme = { 0 };
    struct device *second = test_device(n->pc->t, "e1000", "second");
    struct pci_device *cards[2] = { (struct pci_device *)n->dev, (struct pci_device *)second };
    test_set(second, "addr", "04.0");
    test_realize(second, &n->pc->bus->bus);
    probe_connect(&pme, n->pc->host, "pme", 0);
    for (unsigned i = 0; i < 2; i++)
        pci_set_pme(cards[i], PCI_POWER_PME);
    assert_true(pme.level);
    pci_set_pme(cards[0], 0);
    assert_true(pme.level);
    pci_set_connected(cards[1], false);
    assert_false(pme.level);
    pci_set_connected(cards[1], true);
    assert_int_equal(pme.rises, 2);
    device_free(second);
    assert_false(pme.level);
    nic_free(n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(capability), cmocka_unit_test(asleep), cmocka_unit_test(as_after_power_on),
        cmocka_unit_test(waking),     cmocka_unit_test(copies), cmocka_unit_test(shared_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
