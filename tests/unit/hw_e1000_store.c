/* What the e1000 stores: packet buffer memory, tables of the wake-up filters, scratch registers;
 * and which of it outlives which reset. */
#include "hw_e1000_fixture.h"

static void packet_buffer(void **state)
{
    struct nic *n = nic_with(NULL, NULL);
    nic_set(n, E1000_PBM, 0x11223344);
    nic_set(n, E1000_PBM + 0xfffc, 0x55667788);
    assert_int_equal(nic_get(n, E1000_PBM), 0x11223344);
    assert_int_equal(nic_get(n, E1000_PBM + 4), 0);
    pc_out(n->pc, NIC_IO, 4, 0x1fffc);
    assert_int_equal(pc_in(n->pc, NIC_IO + 4, 4), 0x55667788);
    /* 64 KiB for both halves */
    assert_int_equal(nic_get(n, E1000_PBA), 0x00100030);
    nic_set(n, E1000_PBA, 0xffff002f);
    assert_int_equal(nic_get(n, E1000_PBA), 0x00180028);
    nic_free(n);
}

/* Offset, how far apart entries are, entries, what they hold. */
static const struct {
    uint32_t offset, step, count, mask;
} tables[] = {
    { E1000_MTA, 4, 128, 0xffffffff },   { E1000_VFTA, 4, 128, 0xffffffff },
    { E1000_IP4AT, 8, 4, 0xffffffff },   { E1000_IP6AT, 4, 4, 0xffffffff },
    { E1000_WUPM, 4, 32, 0xffffffff },   { E1000_FFLT, 8, 4, 0x7ff },
    { E1000_FFMT, 8, 128, 0xf },         { E1000_FFVT, 8, 128, 0xffffffff },
    { E1000_PBM, 4, 16384, 0xffffffff }, { E1000_WUPL, 4, 1, 0xfff },
};

static uint32_t pattern(uint32_t offset)
{
    return ~offset * 0x01000193;
}

static void tables_hold_and_outlive_a_software_reset(void **state)
{
    struct nic *n = nic_with(NULL, NULL);
    for (unsigned t = 0; t < ARRAY_LEN(tables); t++)
        for (unsigned i = 0; i < tables[t].count; i++) {
            uint32_t at = tables[t].offset + i * tables[t].step;
            nic_set(n, at, pattern(at));
            if (tables[t].step == 8)
                nic_set(n, at + 4, ~0u); /* reserved */
        }
    nic_set(n, E1000_CTRL, E1000_CTRL_RST);
    for (unsigned t = 0; t < ARRAY_LEN(tables); t++)
        for (unsigned i = 0; i < tables[t].count; i++) {
            uint32_t at = tables[t].offset + i * tables[t].step;
            assert_int_equal(nic_get(n, at), pattern(at) & tables[t].mask);
            if (tables[t].step == 8)
                assert_int_equal(nic_get(n, at + 4), 0);
        }
    machine_reset_devices(n->pc->m);
    pc_conf_write(n->pc, NIC, PCI_BAR0, 4, NIC_MMIO);
    pc_conf_write(n->pc, NIC, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
    for (unsigned t = 0; t < ARRAY_LEN(tables); t++)
        assert_int_equal(nic_get(n, tables[t].offset), 0);
    nic_free(n);
}

static void software_reset(void **state)
{
    struct nic *n = nic_new();
    pc_out(n->pc, NIC_IO, 4, E1000_LEDCTL);
    nic_set(n, E1000_PBA, 0x20);
    nic_set(n, E1000_LEDCTL, 0x0b0a0908);
    nic_set(n, E1000_RDFH, 0x1abc);
    nic_set(n, E1000_TDFPC, 0xffffffff);
    nic_set(n, E1000_RA, 0x12345678);
    nic_set(n, E1000_RA + 8, 0x12345678);
    nic_set(n, E1000_RA + 12, E1000_RAH_AV | 0x1234);
    nic_set(n, E1000_WUC, E1000_WUC_PME_EN);
    nic_set(n, E1000_WUFC, ~0u);
    nic_set(n, E1000_ICS, E1000_ICR_LSC);
    assert_int_equal(nic_get(n, E1000_LEDCTL), 0x0b0a0908);
    assert_int_equal(pc_in(n->pc, NIC_IO + 4, 4), 0x0b0a0908);
    assert_int_equal(nic_get(n, E1000_RDFH), 0x1abc);
    assert_int_equal(nic_get(n, E1000_TDFPC), 0x1fff);
    assert_int_equal(nic_get(n, E1000_WUFC), E1000_WUFC_ALL);

    nic_set(n, E1000_CTRL, E1000_CTRL_RST);
    assert_int_equal(nic_get(n, E1000_PBA) & 0xffff, 0x20); /* so that it takes effect */
    assert_int_equal(pc_in(n->pc, NIC_IO, 4), E1000_LEDCTL);
    assert_int_equal(nic_get(n, E1000_WUC), E1000_WUC_PME_EN);
    assert_int_equal(nic_get(n, E1000_LEDCTL), 0x07068302);
    assert_int_equal(nic_get(n, E1000_RDFH) | nic_get(n, E1000_TDFPC), 0);
    assert_int_equal(nic_get(n, E1000_RA), 0x12005452);
    assert_int_equal(nic_get(n, E1000_RA + 12), 0);
    assert_int_equal(nic_get(n, E1000_WUFC) | nic_get(n, E1000_ICR), 0);
    assert_int_equal(nic_get(n, E1000_RCTL) | nic_get(n, E1000_TCTL), 0);
    nic_free(n);
}

static void eeprom_is_read_again(void **state)
{
    struct nic *n = nic_new();
    nic_set(n, E1000_RA, 0x12345678);
    nic_set(n, E1000_RA + 4, 0);
    nic_set(n, E1000_CTRL_EXT, E1000_CTRL_EXT_EE_RST);
    assert_int_equal(nic_get(n, E1000_CTRL_EXT), 0); /* clears itself */
    assert_int_equal(nic_get(n, E1000_RA), 0x12005452);
    assert_int_equal(nic_get(n, E1000_RA + 4), 0x80005634);
    assert_int_equal(nic_get(n, E1000_RDT), RING - 1); /* the rest goes on */
    /* no flash: its data line floats high, asking for it is granted */
    assert_int_equal(nic_get(n, E1000_FLA), E1000_FLA_SO);
    nic_set(n, E1000_FLA, E1000_FLA_REQ);
    assert_int_equal(nic_get(n, E1000_FLA), E1000_FLA_SO | E1000_FLA_REQ | E1000_FLA_GNT);
    nic_free(n);
}

/* What Debian's driver expects of the registers when `ethtool -t` asks it: bits that hold what is
 * written, all others 0. */
static void driver_self_test(void **state)
{
    static const struct {
        uint32_t offset, mask;
    } registers[] = {
        { E1000_FCAL, ~0u },          { E1000_FCAH, 0xffff },         { E1000_FCT, 0xffff },
        { E1000_VET, 0xffff },        { E1000_RDTR, 0xffff },         { E1000_RDBAH, ~0u },
        { E1000_RDLEN, 0xfff80 },     { E1000_RDH, 0xffff },          { E1000_RDT, 0xffff },
        { E1000_FCRTH, 0xfff8 },      { E1000_FCTTV, 0xffff },        { E1000_TIPG, 0x3fffffff },
        { E1000_TDBAH, ~0u },         { E1000_TDLEN, 0xfff80 },       { E1000_RDBAL, 0xfffffff0 },
        { E1000_TDBAL, 0xfffffff0 },  { E1000_TIDV, 0xffff },         { E1000_RA, ~0u },
        { E1000_RA + 4, 0x8003ffff }, { E1000_RA + 124, 0x8003ffff }, { E1000_MTA + 508, ~0u },
    };
    static const uint32_t patterns[] = { 0x5a5a5a5a, 0xa5a5a5a5, 0, ~0u };
    struct nic *n = nic_with(NULL, NULL);
    for (unsigned r = 0; r < ARRAY_LEN(registers); r++)
        for (unsigned p = 0; p < ARRAY_LEN(patterns); p++) {
            /* written with the mask, as the driver does, and with everything */
            nic_set(n, registers[r].offset, patterns[p] & registers[r].mask);
            assert_int_equal(nic_get(n, registers[r].offset), patterns[p] & registers[r].mask);
            if (registers[r].offset == E1000_FCRTH || registers[r].offset == E1000_RDTR ||
                registers[r].offset == E1000_TIDV)
                continue; /* other bits have a meaning */
            nic_set(n, registers[r].offset, patterns[p]);
            assert_int_equal(nic_get(n, registers[r].offset), patterns[p] & registers[r].mask);
        }
    /* each cause by itself, the reserved ones too */
    struct pci_device *pci = (struct pci_device *)n->dev;
    for (unsigned bit = 0; bit < 10; bit++) {
        nic_set(n, E1000_IMC, ~0u);
        nic_set(n, E1000_ICS, 1u << bit);
        assert_false(pci->intx_level);
        nic_set(n, E1000_IMS, 1u << bit);
        assert_true(pci->intx_level);
        assert_int_equal(nic_get(n, E1000_ICR), 1u << bit);
        nic_set(n, E1000_ICS, 0x7fff & ~(1u << bit));
        assert_false(pci->intx_level);
        nic_get(n, E1000_ICR);
    }
    nic_free(n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(packet_buffer),
        cmocka_unit_test(tables_hold_and_outlive_a_software_reset),
        cmocka_unit_test(software_reset),
        cmocka_unit_test(eeprom_is_read_again),
        cmocka_unit_test(driver_self_test),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
