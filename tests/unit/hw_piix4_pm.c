/* PIIX4 power management: the windows, PM timer, events and SCI, sleep, APM, SMBus. */
#include "hw_pci_fixture.h"

#include "dev/cpu_port.h"

enum {
    PM = PCI_DEVFN(1, 3),
    PMBA = 0x600,
    STS = PMBA,
    EN = PMBA + 2,
    CNT = PMBA + 4,
    TMR = PMBA + 8,
    SMB = 0x700,
    GPE = 0xafe0,
};

struct power {
    struct pc *pc;
    struct device *pm;
    struct probe sci;
};

static struct power *power_with(const char *prop, const char *value)
{
    struct power *p = calloc(1, sizeof *p);
    p->pc = pc_new();
    pc_add(p->pc, "PIIX3", "01.0");
    p->pm = test_device(p->pc->t, "PIIX4_PM", NULL);
    test_set(p->pm, "addr", "01.3");
    if (prop)
        test_set(p->pm, prop, value);
    test_realize(p->pm, &p->pc->bus->bus);
    probe_connect(&p->sci, p->pm, "sci", 0);
    machine_reset_devices(p->pc->m);
    pc_conf_write(p->pc, PM, 0x40, 4, PMBA | 1);
    pc_conf_write(p->pc, PM, 0x80, 1, 1);
    return p;
}

static struct power *power_new(void)
{
    return power_with(NULL, NULL);
}

static void power_free(struct power *p)
{
    pc_free(p->pc);
    free(p);
}

static void press(struct power *p)
{
    struct error err = { 0 };
    struct irq *button = device_gpio_in(p->pm, "power-button", 0, &err);
    assert_non_null(button);
    irq_pulse(button);
}

static void windows(void **state)
{
    struct power *p = power_new();
    struct pc *pc = p->pc;
    assert_int_equal(pc_conf_read(pc, PM, 0, 4), 0x71138086);
    assert_int_equal(pc_conf_read(pc, PM, 8, 4), 0x06800003);
    assert_string_equal(pc_shown(pc->m->io, 0x600), "acpi-evt");
    assert_string_equal(pc_shown(pc->m->io, 0x605), "acpi-cnt");
    assert_string_equal(pc_shown(pc->m->io, 0x60b), "acpi-tmr");
    assert_string_equal(pc_shown(pc->m->io, 0x700), "pm-smbus");
    assert_string_equal(pc_shown(pc->m->io, 0x73f), "pm-smbus");
    assert_string_equal(pc_shown(pc->m->io, 0xb3), "apm-io");
    assert_string_equal(pc_shown(pc->m->io, 0xafe3), "acpi-gpe0");
    pc_conf_write(pc, PM, 0x40, 2, 0xb000);
    assert_int_equal(pc_conf_read(pc, PM, 0x40, 4), 0xb001);
    assert_string_equal(pc_shown(pc->m->io, 0x600), "io");
    assert_string_equal(pc_shown(pc->m->io, 0xb000), "acpi-evt");
    pc_conf_write(pc, PM, 0x80, 1, 0);
    assert_string_equal(pc_shown(pc->m->io, 0xb000), "io");
    pc_conf_write(pc, PM, 0x90, 2, 0x5000);
    assert_string_equal(pc_shown(pc->m->io, 0x5000), "pm-smbus");
    pc_conf_write(pc, PM, 0x90, 2, 0xfff0); /* what is beyond the last port is cut off */
    assert_string_equal(pc_shown(pc->m->io, 0xffff), "pm-smbus");
    pc_conf_write(pc, PM, 0x90, 2, 0x5000);
    pc_conf_write(pc, PM, 0xd2, 1, 0);
    assert_string_equal(pc_shown(pc->m->io, 0x5000), "io");
    machine_reset_devices(pc->m);
    assert_string_equal(pc_shown(pc->m->io, 0x700), "pm-smbus");
    assert_int_equal(pc_conf_read(pc, PM, 0x40, 4), 1);
    power_free(p);
}

static void timer_counts_virtual_time(void **state)
{
    struct power *p = power_new();
    struct pc *pc = p->pc;
    assert_int_equal(pc_in(pc, TMR, 4), 0);
    test_machine_advance(pc->t, 1000000000);
    assert_int_equal(pc_in(pc, TMR, 4), 3579545);
    assert_int_equal(pc_in(pc, TMR + 1, 1), 3579545 >> 8 & 0xff);
    pc_out(pc, TMR, 4, 0); /* read-only */
    assert_int_equal(pc_in(pc, TMR, 4), 3579545);
    test_machine_advance(pc->t, 9000000000); /* 35795450 ticks: around twice */
    assert_int_equal(pc_in(pc, TMR, 4), 35795450 & 0xffffff);
    power_free(p);
}

static void timer_overflow(void **state)
{
    struct power *p = power_new();
    struct pc *pc = p->pc;
    /* the top bit changes after 2^23 ticks: 2343484437.3 ns */
    int64_t half = 2343484437;
    test_machine_advance(pc->t, half);
    assert_int_equal(pc_in(pc, STS, 2), 0);
    test_machine_advance(pc->t, 1);
    assert_int_equal(pc_in(pc, TMR, 4), 1 << 23);
    assert_int_equal(pc_in(pc, STS, 2), 1); /* without an interrupt enabled */
    assert_int_equal(clock_deadline(&pc->m->virtual), CLOCK_NEVER);
    pc_out(pc, STS, 2, 1);
    assert_int_equal(pc_in(pc, STS, 2), 0);
    /* and back to 0 after as many again, this time with an interrupt at the very nanosecond */
    pc_out(pc, CNT, 2, 1);
    pc_out(pc, EN, 2, 1);
    int64_t due = 4686968875; /* 2^24 ticks */
    assert_int_equal(clock_deadline(&pc->m->virtual), due);
    test_machine_advance(pc->t, due - 1 - pc->t->now);
    assert_false(p->sci.level);
    test_machine_advance(pc->t, 1);
    assert_true(p->sci.level);
    assert_int_equal(pc_in(pc, TMR, 4), 0);
    pc_out(pc, STS, 2, 1);
    assert_false(p->sci.level);
    assert_true(clock_deadline(&pc->m->virtual) > due);
    power_free(p);
}

static void power_button_and_sci(void **state)
{
    struct power *p = power_new();
    struct pc *pc = p->pc;
    press(p);
    assert_int_equal(pc_in(pc, STS, 2), 0x100);
    assert_false(p->sci.level);
    pc_out(pc, EN, 2, 0x100);
    assert_false(p->sci.level); /* ACPI is not enabled */
    pc_out(pc, 0xb2, 1, 0xf1);
    assert_int_equal(pc_in(pc, CNT, 2), 1);
    assert_int_equal(pc_in(pc, 0xb2, 1), 0xf1);
    assert_true(p->sci.level);
    pc_out(pc, STS, 1, 0xff); /* the low byte: not the button's */
    assert_true(p->sci.level);
    pc_out(pc, STS + 1, 1, 0x01);
    assert_false(p->sci.level);
    press(p);
    assert_true(p->sci.level);
    pc_out(pc, 0xb2, 1, 0xf0);
    assert_false(p->sci.level);
    assert_int_equal(pc_in(pc, CNT, 2), 0);
    pc_out(pc, 0xb3, 1, 0x77);
    assert_int_equal(pc_in(pc, 0xb3, 1), 0x77);
    pc_out(pc, STS, 4, 0xffffffff);
    assert_int_equal(pc_in(pc, STS, 4), 0x05210000);
    power_free(p);
}

static void general_purpose_events(void **state)
{
    struct power *p = power_new();
    struct pc *pc = p->pc;
    irq_raise(device_gpio_in(p->pm, "gpe", 9, NULL));
    assert_int_equal(pc_in(pc, GPE, 4), 0x0200);
    pc_out(pc, CNT, 2, 1);
    pc_out(pc, GPE + 2, 2, 0x0200);
    assert_true(p->sci.level);
    pc_out(pc, GPE + 1, 1, 0x02);
    assert_false(p->sci.level);
    assert_int_equal(pc_in(pc, GPE, 4), 0x02000000);
    power_free(p);
}

static void sleep_states(void **state)
{
    struct power *p = power_new();
    struct test_machine *t = p->pc->t;
    pc_out(p->pc, CNT, 2, 0x0001); /* type without enable */
    assert_int_equal(t->requests, 0);
    pc_out(p->pc, CNT, 2, 1 << 13 | 1 << 10);
    assert_int_equal(t->requests, 1);
    assert_int_equal(t->last_request, REQUEST_SUSPEND);
    assert_int_equal(pc_in(p->pc, CNT, 2), 1 << 10); /* the enable bit reads 0 */
    pc_out(p->pc, CNT, 2, 1 << 13 | 2 << 10);
    assert_int_equal(t->requests, 2);
    assert_int_equal(t->last_request, REQUEST_POWEROFF);
    pc_out(p->pc, CNT, 2, 1 << 13 | 5 << 10); /* nothing this machine has */
    assert_int_equal(t->requests, 2);
    pc_out(p->pc, CNT, 2, 1 << 13);
    assert_int_equal(t->requests, 3);
    assert_int_equal(t->last_request, REQUEST_POWEROFF);
    power_free(p);

    p = power_with("disable_s3", "1");
    pc_out(p->pc, CNT, 2, 1 << 13 | 1 << 10);
    assert_int_equal(p->pc->t->requests, 0);
    power_free(p);
    p = power_with("disable_s4", "1");
    pc_out(p->pc, CNT, 2, 1 << 13 | 2 << 10);
    assert_int_equal(p->pc->t->requests, 0);
    power_free(p);
    p = power_with("s4_val", "5");
    pc_out(p->pc, CNT, 2, 1 << 13 | 2 << 10);
    assert_int_equal(p->pc->t->requests, 0);
    pc_out(p->pc, CNT, 2, 1 << 13 | 5 << 10);
    assert_int_equal(p->pc->t->requests, 1);
    power_free(p);
}

static void smbus_has_nobody(void **state)
{
    struct power *p = power_new();
    struct pc *pc = p->pc;
    pc_out(pc, SMB + 4, 1, 0xa1);
    pc_out(pc, SMB + 2, 1, 0x48); /* start a byte-data transfer */
    assert_int_equal(pc_in(pc, SMB, 1), 0x04);
    assert_int_equal(pc_in(pc, SMB + 2, 1), 0x08);
    assert_int_equal(pc_in(pc, SMB + 4, 1), 0xa1);
    pc_out(pc, SMB, 1, 0xff);
    assert_int_equal(pc_in(pc, SMB, 1), 0);
    assert_false(p->sci.level);
    pc_out(pc, SMB + 2, 1, 0x49); /* with its interrupt, which goes to IRQ 9 */
    assert_true(p->sci.level);
    pc_out(pc, SMB, 1, 0x1e);
    assert_false(p->sci.level);
    for (unsigned i = 0; i < 40; i++)
        pc_out(pc, SMB + 7, 1, i);
    pc_in(pc, SMB + 2, 1);
    assert_int_equal(pc_in(pc, SMB + 7, 1), 32);
    power_free(p);
}

static void refusals(void **state)
{
    struct pc *pc = pc_new();
    struct error err = { 0 };
    struct device *pm = test_device(pc->t, "PIIX4_PM", NULL);
    test_set(pm, "smb_io_base", "0x703");
    assert_false(device_realize(pm, &pc->bus->bus, &err));
    assert_contains(err.text, "smb_io_base");
    pc_free(pc);
}

static unsigned smis;

static void count_smi(struct cpu_port *p)
{
    assert_true(p->bootstrap);
    smis++;
}

/* A write of the command port is an SMI of the boot cpu, once APMC_EN is set, until reset. */
static void command_is_an_smi(void **state)
{
    static const struct cpu_pins pins = { .smi = count_smi };
    struct power *p = power_new();
    struct pc *pc = p->pc;
    struct cpu_port cpus[2] = { { .bootstrap = true, .pins = &pins }, { .pins = &pins } };
    pc_conf_write(pc, PM, 0x58, 4, 0x02000000);
    pc_out(pc, 0xb2, 1, 1); /* without a cpu */
    for (unsigned n = 0; n < 2; n++)
        pc->m->cpus[n] = &cpus[n];
    pc->m->cpu_count = 2;
    smis = 0;
    pc_conf_write(pc, PM, 0x58, 4, 0);
    pc_out(pc, 0xb2, 1, 1);
    assert_int_equal(smis, 0);
    pc_conf_write(pc, PM, 0x58, 4, 0xffffffff);
    assert_int_equal(pc_conf_read(pc, PM, 0x58, 4), 0x02000000);
    pc_out(pc, 0xb3, 1, 1); /* the status port is none */
    assert_int_equal(smis, 0);
    pc_out(pc, 0xb2, 1, 0xf1);
    assert_int_equal(smis, 1);
    assert_int_equal(pc_in(pc, CNT, 2) & 1, 1);
    machine_reset_devices(pc->m);
    pc_out(pc, 0xb2, 1, 1);
    assert_int_equal(smis, 1);
    pc->m->cpu_count = 0;
    power_free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(windows),
        cmocka_unit_test(timer_counts_virtual_time),
        cmocka_unit_test(timer_overflow),
        cmocka_unit_test(power_button_and_sci),
        cmocka_unit_test(general_purpose_events),
        cmocka_unit_test(sleep_states),
        cmocka_unit_test(smbus_has_nobody),
        cmocka_unit_test(refusals),
        cmocka_unit_test(command_is_an_smi),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
