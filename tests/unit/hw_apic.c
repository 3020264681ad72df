/* The local APIC with two fake cpus: priorities, timers, interprocessor interrupts, x2APIC, ExtINT
 * and NMI pins, errors and level interrupts through the I/O APIC. */
#include "hw_apic_fixture.h"
#include "dev/sysbus.h"

static void test_reset_values(void **state)
{
    struct apics *a = *state;
    device_reset(a->dev[1]);
    assert_int_equal(rd(a, 1, ID), 0x01000000);
    assert_int_equal(rd(a, 1, VERSION), 0x01050014);
    assert_int_equal(rd(a, 1, SVR), 0xff);
    assert_int_equal(rd(a, 1, DFR), 0xffffffff);
    assert_int_equal(rd(a, 1, LVT_LINT0), MASK);
    assert_int_equal(cpu(a, 1)->port.apic_ops->get_base(a->dev[1]), 0xfee00800);
    assert_int_equal(cpu(a, 0)->port.apic_ops->get_base(a->dev[0]), 0xfee00900);
    wr(a, 1, LVT_TIMER, 0x40); /* cannot be unmasked while software-disabled */
    assert_int_equal(rd(a, 1, LVT_TIMER), MASK | 0x40);
    msi(a, 0xfee01000, 0x40);
    assert_false(cpu(a, 1)->intr);
    assert_int_equal(rd(a, 1, IRR + 0x20), 0);
}

static void test_priorities(void **state)
{
    struct apics *a = *state;
    msi(a, 0xfee00000, 0x41);
    assert_true(cpu(a, 0)->intr);
    assert_int_equal(rd(a, 0, IRR + 0x20), 1 << 1);
    assert_int_equal(ack(a, 0), 0x41);
    assert_false(cpu(a, 0)->intr);
    assert_int_equal(rd(a, 0, ISR + 0x20), 1 << 1);
    assert_int_equal(rd(a, 0, PPR), 0x40);
    msi(a, 0xfee00000, 0x4f); /* same class: waits */
    assert_false(cpu(a, 0)->intr);
    msi(a, 0xfee00000, 0x50);
    assert_true(cpu(a, 0)->intr);
    assert_int_equal(ack(a, 0), 0x50);
    wr(a, 0, EOI, 0);
    assert_false(cpu(a, 0)->intr);
    wr(a, 0, EOI, 0);
    assert_true(cpu(a, 0)->intr);
    assert_int_equal(ack(a, 0), 0x4f);
    assert_false(cpu(a, 1)->intr);
}

static void test_tpr(void **state)
{
    struct apics *a = *state;
    const struct local_apic_ops *ops = cpu(a, 0)->port.apic_ops;
    ops->set_tpr(a->dev[0], 5);
    assert_int_equal(rd(a, 0, TPR), 0x50);
    assert_int_equal(ops->get_tpr(a->dev[0]), 5);
    msi(a, 0xfee00000, 0x51);
    assert_false(cpu(a, 0)->intr);
    assert_int_equal(ack(a, 0), 0xff); /* the spurious vector */
    assert_int_equal(rd(a, 0, ISR + 0x70), 0);
    wr(a, 0, TPR, 0x4f);
    assert_true(cpu(a, 0)->intr);
    assert_int_equal(ack(a, 0), 0x51);
    assert_int_equal(ack(a, 0), -1);
}

static void test_timer_one_shot(void **state)
{
    struct apics *a = *state;
    wr(a, 0, LVT_TIMER, 0x60);
    wr(a, 0, DIVIDE, 0x3); /* by 16 */
    wr(a, 0, INITIAL, 1000);
    test_machine_advance(a->h->t, 8000);
    assert_int_equal(rd(a, 0, CURRENT), 500);
    wr(a, 0, DIVIDE, 0xb); /* by 1: 500 ns are left */
    test_machine_advance(a->h->t, 499);
    assert_false(cpu(a, 0)->intr);
    test_machine_advance(a->h->t, 1);
    assert_int_equal(ack(a, 0), 0x60);
    assert_int_equal(rd(a, 0, CURRENT), 0);
    wr(a, 0, EOI, 0);
    test_machine_advance(a->h->t, NS_PER_SECOND);
    assert_false(cpu(a, 0)->intr);
    wr(a, 0, INITIAL, 100);
    wr(a, 0, INITIAL, 0); /* stops it */
    test_machine_advance(a->h->t, 1000);
    assert_false(cpu(a, 0)->intr);
}

static void test_timer_periodic(void **state)
{
    struct apics *a = *state;
    wr(a, 0, LVT_TIMER, 0x20060);
    wr(a, 0, DIVIDE, 0x0); /* by 2 */
    wr(a, 0, INITIAL, 5000);
    for (int i = 0; i < 5; i++) {
        test_machine_advance(a->h->t, 9999);
        assert_false(cpu(a, 0)->intr);
        test_machine_advance(a->h->t, 1);
        assert_int_equal(ack(a, 0), 0x60);
        wr(a, 0, EOI, 0);
    }
    assert_int_equal(rd(a, 0, CURRENT), 5000);
    /* A long pause is one interrupt, and the phase stays. */
    a->h->t->now += 1000005000;
    assert_int_equal(clock_run(&a->h->m->virtual), 1);
    assert_int_equal(rd(a, 0, CURRENT), 2500);
}

static void test_timer_deadline(void **state)
{
    struct apics *a = *state;
    uint64_t v;
    assert_true(wrmsr(a, 0, MSR_DEADLINE, 2000)); /* not in that mode: ignored */
    assert_true(rdmsr(a, 0, MSR_DEADLINE, &v));
    assert_int_equal(v, 0);
    wr(a, 0, LVT_TIMER, 0x40061);
    wr(a, 0, INITIAL, 10); /* ignored */
    assert_true(wrmsr(a, 0, MSR_DEADLINE, 2000));
    test_machine_advance(a->h->t, 999);
    assert_false(cpu(a, 0)->intr);
    assert_true(rdmsr(a, 0, MSR_DEADLINE, &v));
    assert_int_equal(v, 2000);
    test_machine_advance(a->h->t, 1);
    assert_int_equal(ack(a, 0), 0x61);
    wr(a, 0, EOI, 0);
    assert_true(rdmsr(a, 0, MSR_DEADLINE, &v));
    assert_int_equal(v, 0);
    assert_true(wrmsr(a, 0, MSR_DEADLINE, 5000));
    assert_true(wrmsr(a, 0, MSR_DEADLINE, 0)); /* disarms */
    test_machine_advance(a->h->t, 10000);
    assert_false(cpu(a, 0)->intr);
    assert_true(wrmsr(a, 0, MSR_DEADLINE, 1)); /* gone by: at once */
    test_machine_advance(a->h->t, 0);
    assert_true(cpu(a, 0)->intr);
}

/* Switching between counting and the deadline disarms what was armed. */
static void test_timer_mode_switch(void **state)
{
    struct apics *a = *state;
    uint64_t v;
    wr(a, 0, LVT_TIMER, 0x40061);
    assert_true(wrmsr(a, 0, MSR_DEADLINE, 2000));
    wr(a, 0, LVT_TIMER, 0x61);
    assert_true(rdmsr(a, 0, MSR_DEADLINE, &v));
    assert_int_equal(v, 0);
    test_machine_advance(a->h->t, 2000);
    assert_false(cpu(a, 0)->intr);
    wr(a, 0, INITIAL, 100);
    wr(a, 0, LVT_TIMER, 0x20061); /* from one-shot to periodic it goes on */
    test_machine_advance(a->h->t, 200);
    assert_int_equal(ack(a, 0), 0x61);
    wr(a, 0, EOI, 0);
    wr(a, 0, LVT_TIMER, 0x40061);
    assert_int_equal(rd(a, 0, INITIAL), 0);
    test_machine_advance(a->h->t, 2000);
    assert_false(cpu(a, 0)->intr);
}

static void test_ipi_physical(void **state)
{
    struct apics *a = *state;
    wr(a, 0, ICR_HIGH, 0x01000000);
    wr(a, 0, ICR, 0x4045);
    assert_int_equal(rd(a, 0, ICR), 0x4045); /* not busy */
    assert_false(cpu(a, 0)->intr);
    assert_int_equal(ack(a, 1), 0x45);
    wr(a, 1, EOI, 0);
    wr(a, 0, ICR_HIGH, 0xff000000); /* all */
    wr(a, 0, ICR, 0x46);
    assert_int_equal(ack(a, 0), 0x46);
    assert_int_equal(ack(a, 1), 0x46);
}

static void test_ipi_shorthands(void **state)
{
    struct apics *a = *state;
    wr(a, 1, ICR, 0x40051); /* self */
    assert_int_equal(ack(a, 1), 0x51);
    assert_false(cpu(a, 0)->intr);
    wr(a, 1, ICR, 0x80061); /* all */
    assert_int_equal(ack(a, 0), 0x61);
    assert_int_equal(ack(a, 1), 0x61);
    wr(a, 1, ICR, 0xc0071); /* others */
    assert_int_equal(ack(a, 0), 0x71);
    assert_false(cpu(a, 1)->intr);
    wr(a, 1, ICR, 0xc0400); /* NMI to the others */
    assert_int_equal(cpu(a, 0)->nmis, 1);
    assert_int_equal(cpu(a, 1)->nmis, 0);
    wr(a, 1, ICR, 0xc0200);
    assert_int_equal(cpu(a, 0)->smis, 1);
}

static void test_ipi_startup(void **state)
{
    struct apics *a = *state;
    wr(a, 1, TPR, 0x20);
    wr(a, 0, ICR_HIGH, 0x01000000);
    wr(a, 0, ICR, 0xc500); /* INIT, assert */
    assert_int_equal(cpu(a, 1)->inits, 1);
    assert_int_equal(rd(a, 1, TPR), 0);
    assert_int_equal(rd(a, 1, SVR), 0xff);
    assert_int_equal(rd(a, 1, ID), 0x01000000);
    wr(a, 0, ICR, 0x8500); /* level de-assert: nothing */
    assert_int_equal(cpu(a, 1)->inits, 1);
    wr(a, 0, ICR, 0x699);
    assert_int_equal(cpu(a, 1)->startups, 1);
    assert_int_equal(cpu(a, 1)->startup_vector, 0x99);
    assert_int_equal(cpu(a, 0)->inits, 0);
}

static void test_logical(void **state)
{
    struct apics *a = *state;
    wr(a, 0, LDR, 0x01000000);
    wr(a, 1, LDR, 0x02000000);
    msi(a, 0xfee02004, 0x41); /* flat */
    assert_false(cpu(a, 0)->intr);
    assert_int_equal(ack(a, 1), 0x41);
    msi(a, 0xfee03004, 0x52);
    assert_int_equal(ack(a, 0), 0x52);
    assert_int_equal(ack(a, 1), 0x52);
    for (unsigned n = 0; n < FAKE_CPUS; n++)
        wr(a, n, DFR, 0x0fffffff); /* clusters 1 and 2, first member each */
    wr(a, 0, LDR, 0x11000000);
    wr(a, 1, LDR, 0x21000000);
    msi(a, 0xfee21004, 0x63);
    assert_false(cpu(a, 0)->intr);
    assert_int_equal(ack(a, 1), 0x63);
    msi(a, 0xfeef1004, 0x74); /* member 0 of all clusters */
    assert_int_equal(ack(a, 0), 0x74);
    assert_int_equal(ack(a, 1), 0x74);
}

static void test_lowest_priority(void **state)
{
    struct apics *a = *state;
    wr(a, 0, LDR, 0x01000000);
    wr(a, 1, LDR, 0x02000000);
    wr(a, 0, TPR, 0x30);
    msi(a, 0xfee0300c, 0x141); /* redirection hint, logical, lowest priority */
    assert_false(cpu(a, 0)->intr);
    assert_int_equal(ack(a, 1), 0x41); /* now 1 is in class 4 */
    msi(a, 0xfee0300c, 0x151);
    assert_false(cpu(a, 1)->intr);
    assert_int_equal(ack(a, 0), 0x51);
}

/* A store to the first page is by the cpu to its own registers, by anybody else a message. */
static void test_window(void **state)
{
    struct apics *a = *state;
    writel(a->h, APIC, 0x44);
    assert_int_equal(ack(a, 0), 0x44);
    a->h->m->current_cpu = &cpu(a, 0)->port;
    writel(a->h, APIC + 0x1000, 0x45); /* cpu 0 stores a message to cpu 1 */
    a->h->m->current_cpu = NULL;
    assert_int_equal(ack(a, 1), 0x45);
    assert_int_equal(readl(a->h, APIC + VERSION), 0xffffffff);
}

static void test_errors(void **state)
{
    struct apics *a = *state;
    wr(a, 0, LVT_ERROR, 0xfe);
    wr(a, 0, ICR, 0x40005); /* send illegal vector */
    assert_int_equal(ack(a, 0), 0xfe);
    assert_int_equal(rd(a, 0, ESR), 0);
    wr(a, 0, ESR, 0);
    assert_int_equal(rd(a, 0, ESR), 0x20);
    msi(a, 0xfee00000, 0x0a); /* receive illegal vector */
    (void)rd(a, 0, 0x040);    /* no such register */
    wr(a, 0, ESR, 0);
    assert_int_equal(rd(a, 0, ESR), 0xc0);
    wr(a, 0, ESR, 0);
    assert_int_equal(rd(a, 0, ESR), 0);
    wr(a, 0, LVT_ERROR, 0x03); /* an error entry that is in error itself ends */
    wr(a, 0, ICR, 0x40005);
    wr(a, 0, ESR, 0);
    assert_int_equal(rd(a, 0, ESR), 0x60);
}

static void test_extint(void **state)
{
    struct apics *a = *state;
    struct device *pic = hw_device(a->h, "isa-i8259");
    struct device *apic = a->dev[0];
    device_unrealize(apic);
    hw_link(apic, "extint", pic);
    hw_start(a->h, apic);
    hw_connect(pic, "", 0, hw_input(apic, "lint", 0));
    for (unsigned i = 0; i < 5; i++)
        outb(a->h, i ? 0x21 : 0x20, (uint8_t[]){ 0x11, 0x30, 4, 1, 0 }[i]);
    struct irq *irq0 = hw_input(pic, "", 0);
    irq_raise(irq0); /* virtual wire from reset on */
    assert_true(cpu(a, 0)->intr);
    assert_int_equal(ack(a, 0), 0x30);
    assert_false(cpu(a, 0)->intr);
    outb(a->h, 0x20, 0x20);
    wr(a, 0, LVT_LINT0, MASK | 0x700);
    irq_pulse(irq0);
    irq_lower(irq0);
    irq_raise(irq0);
    assert_false(cpu(a, 0)->intr);
    wr(a, 0, LVT_LINT0, 0x700);
    assert_true(cpu(a, 0)->intr);
    wr(a, 0, LVT_LINT0, MASK | 0x700);
    assert_true(set_base(a, 0, 0xfee00100)); /* disabled: LINT0 is INTR */
    assert_true(cpu(a, 0)->intr);
    assert_int_equal(ack(a, 0), 0x30);
}

static void test_lint_pins(void **state)
{
    struct apics *a = *state;
    irq_raise(hw_input(a->dev[0], "lint", 1)); /* NMI from reset on */
    assert_int_equal(cpu(a, 0)->nmis, 1);
    irq_lower(hw_input(a->dev[0], "lint", 1));
    assert_int_equal(cpu(a, 0)->nmis, 1);
    wr(a, 1, LVT_LINT1, 0x0048); /* fixed, edge */
    irq_pulse(hw_input(a->dev[1], "lint", 1));
    assert_int_equal(ack(a, 1), 0x48);
    wr(a, 1, EOI, 0);
    wr(a, 1, LVT_LINT0, 0x8049); /* fixed, level */
    irq_raise(hw_input(a->dev[1], "lint", 0));
    assert_int_equal(rd(a, 1, LVT_LINT0), 0xc049);
    assert_int_equal(ack(a, 1), 0x49);
    assert_false(cpu(a, 1)->intr);
    wr(a, 1, EOI, 0);
    assert_int_equal(ack(a, 1), 0x49); /* still up */
    irq_lower(hw_input(a->dev[1], "lint", 0));
    wr(a, 1, EOI, 0);
    assert_false(cpu(a, 1)->intr);
    assert_int_equal(rd(a, 1, LVT_LINT0), 0x8049);
}

static void test_x2apic(void **state)
{
    struct apics *a = *state;
    uint64_t v;
    assert_false(rdmsr(a, 1, MSR_X2 + 2, &v)); /* not in x2APIC mode */
    assert_true(set_base(a, 1, 0xfee00c00));
    assert_int_equal(rd(a, 1, VERSION), 0xffffffff); /* no page any more */
    assert_true(rdmsr(a, 1, MSR_X2 + 2, &v));
    assert_int_equal(v, 1);
    assert_true(rdmsr(a, 1, MSR_X2 + 0xd, &v));
    assert_int_equal(v, 0x00000002);
    assert_false(wrmsr(a, 1, MSR_X2 + 2, 1)); /* read-only */
    assert_false(wrmsr(a, 1, MSR_X2 + 0xd, 1));
    assert_false(wrmsr(a, 1, MSR_X2 + 0xb, 1));   /* EOI takes 0 alone */
    assert_false(wrmsr(a, 1, MSR_X2 + 8, 0x100)); /* reserved bits */
    assert_false(wrmsr(a, 1, MSR_X2 + 0x38, 1ULL << 32));
    assert_false(rdmsr(a, 1, MSR_X2 + 0xe, &v)); /* DFR is gone */
    assert_false(rdmsr(a, 1, MSR_X2 + 0x31, &v));
    assert_false(rdmsr(a, 1, MSR_X2 + 0xb, &v));
    assert_true(wrmsr(a, 1, MSR_X2 + 0x3f, 0x77)); /* self IPI */
    assert_int_equal(ack(a, 1), 0x77);
    assert_true(wrmsr(a, 1, MSR_X2 + 0xb, 0));
    assert_true(wrmsr(a, 1, MSR_X2 + 0x30, 0x0000000000000058)); /* to cpu 0 */
    assert_int_equal(ack(a, 0), 0x58);
    assert_true(rdmsr(a, 1, MSR_X2 + 0x30, &v));
    assert_int_equal(v, 0x58);
    assert_true(wrmsr(a, 1, MSR_X2 + 0x30, 0xffffffff00000069));
    assert_int_equal(ack(a, 0), 0x69);
    assert_int_equal(ack(a, 1), 0x69);
    assert_true(wrmsr(a, 1, MSR_X2 + 0x30, 0x000000020000087a)); /* logical: itself */
    assert_int_equal(ack(a, 1), 0x7a);
    assert_false(cpu(a, 0)->intr);
}

static void test_base_rules(void **state)
{
    struct apics *a = *state;
    assert_false(set_base(a, 1, 0xfee00400)); /* x2APIC without enable */
    assert_false(set_base(a, 1, 0xfee00801)); /* reserved */
    assert_true(set_base(a, 1, 0xfee00c00));
    assert_false(set_base(a, 1, 0xfee00800)); /* not back to xAPIC */
    assert_true(set_base(a, 1, 0xfee00000));
    assert_false(set_base(a, 1, 0xfee00c00)); /* not straight to x2APIC */
    assert_true(set_base(a, 1, 0xfee00800));
    assert_int_equal(rd(a, 1, SVR), 0xff);   /* as after power-up */
    assert_true(set_base(a, 1, 0xfed50800)); /* moved */
    assert_int_equal(rd(a, 1, VERSION), 0xffffffff);
    a->h->m->current_cpu = &cpu(a, 1)->port;
    assert_int_equal(readl(a->h, 0xfed50000 + VERSION), 0x01050014);
    a->h->m->current_cpu = NULL;
    device_reset(a->dev[1]);
    assert_int_equal(rd(a, 1, VERSION), 0x01050014);
}

/* A level interrupt from the I/O APIC: TMR, EOI broadcast, delivered while a cpu's access raised
 * the line. */
static void test_level_through_ioapic(void **state)
{
    struct apics *a = *state;
    struct error err = { 0 };
    struct device *io = hw_device(a->h, "ioapic");
    assert_true(sysbus_map((struct sysbus_device *)io, 0, 0xfec00000, 0, &err));
    writel(a->h, 0xfec00000, 0x10 + 2 * 11 + 1);
    writel(a->h, 0xfec00010, 0x01000000); /* cpu 1 */
    writel(a->h, 0xfec00000, 0x10 + 2 * 11);
    writel(a->h, 0xfec00010, 0x8066);
    a->h->m->current_cpu = &cpu(a, 0)->port;
    irq_raise(hw_input(io, "", 11));
    a->h->m->current_cpu = NULL;
    assert_int_equal(ack(a, 1), 0x66);
    assert_int_equal(rd(a, 1, TMR + 0x30), 1 << 6);
    wr(a, 1, EOI, 0);
    assert_true(cpu(a, 1)->intr); /* still up */
    assert_int_equal(ack(a, 1), 0x66);
    irq_lower(hw_input(io, "", 11));
    wr(a, 1, EOI, 0);
    assert_false(cpu(a, 1)->intr);
    assert_int_equal(readl(a->h, 0xfec00010), 0x8066);
}

static void test_refusals(void **state)
{
    struct apics *a = *state;
    struct error err = { 0 };
    struct device *d = test_device(a->h->t, "apic", NULL);
    test_set(d, "cpu", "7");
    assert_false(device_realize(d, NULL, &err));
    assert_contains(err.text, "cpu=7");
    test_set(d, "cpu", "0");
    assert_false(device_realize(d, NULL, &err));
    assert_contains(err.text, "already takes its interrupts");
    device_unrealize(a->dev[0]);
    test_set(d, "apic-id", "1");
    assert_false(device_realize(d, NULL, &err));
    assert_contains(err.text, "APIC id 1 is taken by cpu 1");
    device_unrealize(a->dev[1]); /* the window goes with the last */
    assert_null(a->h->m->msi);
    msi(a, 0xfee00000, 0x44);
    uint64_t v;
    assert_int_equal(address_space_load(a->h->m->memory, APIC, 4, &v), MEM_UNASSIGNED);
}

/* All registers go into a page and back, with what is left of the timer's count. */
static void test_state(void **state)
{
    struct apics *a = *state;
    const struct local_apic_ops *ops = cpu(a, 0)->port.apic_ops;
    uint8_t page[LOCAL_APIC_STATE], again[LOCAL_APIC_STATE];
    wr(a, 0, LDR, 0x03000000);
    wr(a, 0, LVT_LINT0, 0x10752);
    wr(a, 0, LVT_TIMER, 0xe0);
    wr(a, 0, DIVIDE, 0xb);
    wr(a, 0, INITIAL, 1000);
    test_machine_advance(a->h->t, 400);
    msi(a, 0xfee00000, 0x41);
    assert_int_equal(ack(a, 0), 0x41);
    msi(a, 0xfee00000, 0x51);
    ops->get_page(a->dev[0], page);
    assert_int_equal(ld_le32(page + IRR + 0x20), 1 << 17);
    assert_int_equal(ld_le32(page + CURRENT), 600);
    device_reset(a->dev[0]);
    assert_false(cpu(a, 0)->intr);
    ops->set_page(a->dev[0], page);
    assert_true(cpu(a, 0)->intr);
    ops->get_page(a->dev[0], again);
    assert_memory_equal(page, again, sizeof page);
    assert_int_equal(ack(a, 0), 0x51);
    test_machine_advance(a->h->t, 599);
    assert_false(cpu(a, 0)->intr);
    test_machine_advance(a->h->t, 1);
    assert_int_equal(ack(a, 0), 0xe0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        apic_test(test_reset_values),
        apic_test(test_priorities),
        apic_test(test_tpr),
        apic_test(test_timer_one_shot),
        apic_test(test_timer_periodic),
        apic_test(test_timer_deadline),
        apic_test(test_timer_mode_switch),
        apic_test(test_ipi_physical),
        apic_test(test_ipi_shorthands),
        apic_test(test_ipi_startup),
        apic_test(test_logical),
        apic_test(test_lowest_priority),
        apic_test(test_window),
        apic_test(test_errors),
        apic_test(test_extint),
        apic_test(test_lint_pins),
        apic_test(test_x2apic),
        apic_test(test_base_rules),
        apic_test(test_level_through_ioapic),
        apic_test(test_state),
        apic_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
