/* The local APIC's finer rules: EOIs without a broadcast, every delivery mode by ICR and by
 * message, shorthands, all divisors and mode switches of the timer, what software disabling, INIT
 * and the modes of IA32_APIC_BASE keep, and the reserved bits of x2APIC's MSRs. */
#include "base/log.h"
#include "dev/sysbus.h"
#include "hw_apic_fixture.h"

enum { IOAPIC = 0xfec00000, REDIR11 = 0x10 + 2 * 11, APR = 0x90, NO_BROADCAST = 1 << 12 };

static struct device *make_ioapic(struct apics *a)
{
    struct error err = { 0 };
    struct device *io = hw_device(a->h, "ioapic");
    assert_true(sysbus_map((struct sysbus_device *)io, 0, IOAPIC, 0, &err));
    return io;
}

static void redir(struct apics *a, uint32_t low)
{
    writel(a->h, IOAPIC, REDIR11);
    writel(a->h, IOAPIC + 0x10, low);
}

static uint32_t remote_irr(struct apics *a)
{
    writel(a->h, IOAPIC, REDIR11);
    return readl(a->h, IOAPIC + 0x10) & 1 << 14;
}

/* SVR bit 12: an EOI ends the interrupt here alone, and the I/O APIC's EOI register there. */
static void test_eoi_without_broadcast(void **state)
{
    struct apics *a = *state;
    struct device *io = make_ioapic(a);
    assert_int_equal(rd(a, 0, VERSION) >> 24, 1);
    wr(a, 0, SVR, 0x1ff | NO_BROADCAST);
    assert_int_equal(rd(a, 0, SVR), 0x11ff);
    redir(a, 0x8066);
    irq_raise(hw_input(io, "", 11));
    assert_int_equal(ack(a, 0), 0x66);
    wr(a, 0, EOI, 0);
    assert_int_equal(rd(a, 0, ISR + 0x30), 0);
    assert_true(remote_irr(a));
    assert_false(cpu(a, 0)->intr);
    writel(a->h, IOAPIC + 0x40, 0x65); /* another vector */
    assert_true(remote_irr(a));
    writel(a->h, IOAPIC + 0x40, 0x66);
    assert_int_equal(ack(a, 0), 0x66); /* still up: again */
    irq_lower(hw_input(io, "", 11));
    wr(a, 0, SVR, 0x1ff);
    wr(a, 0, EOI, 0);
    assert_false(remote_irr(a));
}

static void test_old_ioapic_has_no_eoi(void **state)
{
    struct apics *a = *state;
    struct error err = { 0 };
    struct device *io = test_device(a->h->t, "ioapic", NULL);
    test_set(io, "version", "0x11");
    hw_start(a->h, io);
    assert_true(sysbus_map((struct sysbus_device *)io, 0, IOAPIC, 0, &err));
    writel(a->h, IOAPIC, 1);
    assert_int_equal(readl(a->h, IOAPIC + 0x10), 0x00170011);
    redir(a, 0x8066);
    irq_pulse(hw_input(io, "", 11));
    writel(a->h, IOAPIC + 0x40, 0x66);
    assert_true(remote_irr(a));
}

/* By ICR: 3 and 7 are reserved. By message: 3 and 6. */
static void test_delivery_modes(void **state)
{
    struct apics *a = *state;
    struct fake_cpu *c = cpu(a, 1);
    wr(a, 0, ICR_HIGH, 0x01000000);
    wr(a, 0, ICR, 0x4200);
    assert_int_equal(c->smis, 1);
    wr(a, 0, ICR, 0x4400);
    assert_int_equal(c->nmis, 1);
    wr(a, 0, ICR, 0x4608);
    assert_int_equal(c->startups, 1);
    wr(a, 0, ICR, 0x4145); /* lowest priority with one candidate */
    assert_int_equal(ack(a, 1), 0x45);
    uint64_t before = log_guest_count();
    wr(a, 0, ICR, 0x4355);
    wr(a, 0, ICR, 0x4755);
    assert_false(c->intr);
    assert_int_equal(log_guest_count(), before + 2);
    msi(a, 0xfee01000, 0x4200);
    msi(a, 0xfee01000, 0x4400);
    assert_int_equal(c->smis, 2);
    assert_int_equal(c->nmis, 2);
    msi(a, 0xfee01000, 0x4700);
    assert_true(c->intr); /* ExtINT: the 8259A has the vector */
    assert_int_equal(ack(a, 1), -1);
    assert_false(c->intr);
    before = log_guest_count();
    msi(a, 0xfee01000, 0x4355);
    msi(a, 0xfee01000, 0x4608);
    assert_int_equal(log_guest_count(), before + 2);
    assert_int_equal(c->startups, 1);
    msi(a, 0xfee01000, 0x4500);
    assert_int_equal(c->inits, 1);
}

/* Not in the others', nor in one's own, when it goes to one of them alone. */
static void test_lowest_priority_shorthands(void **state)
{
    struct apics *a = *state;
    wr(a, 0, ICR, 0xc4151); /* cpu 0 to the others */
    assert_false(cpu(a, 0)->intr);
    assert_int_equal(ack(a, 1), 0x51);
    wr(a, 0, ICR, 0x84161); /* to all: 1 is busy */
    assert_int_equal(ack(a, 0), 0x61);
    assert_false(cpu(a, 1)->intr);
    wr(a, 0, ICR, 0x44400); /* to itself goes only what is fixed */
    assert_int_equal(cpu(a, 0)->nmis, 0);
}

/* What is software-disabled takes part in no arbitration, but gets NMI, SMI, INIT and SIPI. */
static void test_software_disabled(void **state)
{
    struct apics *a = *state;
    wr(a, 0, LVT_LINT0, 0x41);
    wr(a, 0, LVT_ERROR, 0x42);
    msi(a, 0xfee00000, 0x51);
    assert_true(cpu(a, 0)->intr);
    wr(a, 0, SVR, 0xff);
    assert_false(cpu(a, 0)->intr);
    assert_int_equal(rd(a, 0, LVT_LINT0), MASK | 0x41);
    assert_int_equal(rd(a, 0, LVT_ERROR), MASK | 0x42);
    assert_int_equal(rd(a, 0, IRR + 0x20), 1 << 17); /* kept */
    wr(a, 1, ICR, 0x84161);
    assert_int_equal(ack(a, 1), 0x61);
    wr(a, 1, ICR_HIGH, 0);
    wr(a, 1, ICR, 0x4400);
    wr(a, 1, ICR, 0x4200);
    wr(a, 1, ICR, 0x4607);
    assert_int_equal(cpu(a, 0)->nmis, 1);
    assert_int_equal(cpu(a, 0)->smis, 1);
    assert_int_equal(cpu(a, 0)->startups, 1);
    wr(a, 0, SVR, 0x1ff);
    assert_int_equal(ack(a, 0), 0x51);
    wr(a, 0, SVR, 0x13c); /* the spurious vector is programmable */
    msi(a, 0xfee00000, 0x61);
    wr(a, 0, TPR, 0xff);
    assert_int_equal(ack(a, 0), 0x3c);
    assert_int_equal(rd(a, 0, PPR), 0xff);
}

static void test_ppr(void **state)
{
    struct apics *a = *state;
    assert_int_equal(rd(a, 0, PPR), 0);
    wr(a, 0, TPR, 0x35);
    assert_int_equal(rd(a, 0, PPR), 0x35);
    msi(a, 0xfee00000, 0x47);
    assert_int_equal(ack(a, 0), 0x47);
    assert_int_equal(rd(a, 0, PPR), 0x40); /* of a vector the class alone */
    wr(a, 0, TPR, 0x4c);
    assert_int_equal(rd(a, 0, PPR), 0x4c);
    wr(a, 0, EOI, 123);
    wr(a, 0, EOI, 0); /* nothing in service: nothing */
    assert_int_equal(rd(a, 0, PPR), 0x4c);
    assert_int_equal(rd(a, 0, APR), 0); /* not there since the Pentium 4 */
}

static void test_divisors(void **state)
{
    struct apics *a = *state;
    static const struct {
        uint8_t code;
        uint16_t by;
    } rows[] = { { 0x0, 2 },  { 0x1, 4 },  { 0x2, 8 },   { 0x3, 16 },
                 { 0x8, 32 }, { 0x9, 64 }, { 0xa, 128 }, { 0xb, 1 } };
    wr(a, 0, LVT_TIMER, 0x60);
    for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
        wr(a, 0, DIVIDE, rows[i].code | 4); /* bit 2 is reserved */
        assert_int_equal(rd(a, 0, DIVIDE), rows[i].code);
        wr(a, 0, INITIAL, 10);
        test_machine_advance(a->h->t, 10 * rows[i].by - 1);
        assert_false(cpu(a, 0)->intr);
        assert_int_equal(rd(a, 0, CURRENT), 1);
        test_machine_advance(a->h->t, 1);
        assert_int_equal(ack(a, 0), 0x60);
        wr(a, 0, EOI, 0);
    }
}

/* A count that has run out, where time goes by while nobody looks, still ends in its interrupt. */
static void test_divide_at_the_end(void **state)
{
    struct apics *a = *state;
    wr(a, 0, LVT_TIMER, 0x20060);
    wr(a, 0, DIVIDE, 0xb);
    wr(a, 0, INITIAL, 100);
    a->h->t->now += 105;
    wr(a, 0, DIVIDE, 0); /* by 2 */
    assert_false(cpu(a, 0)->intr);
    clock_run(&a->h->m->virtual);
    assert_int_equal(ack(a, 0), 0x60);
    wr(a, 0, EOI, 0);
    test_machine_advance(a->h->t, 199);
    assert_false(cpu(a, 0)->intr);
    test_machine_advance(a->h->t, 1);
    assert_int_equal(ack(a, 0), 0x60);
}

/* A masked timer counts all the same. */
static void test_masked_timer(void **state)
{
    struct apics *a = *state;
    uint64_t v;
    wr(a, 0, LVT_TIMER, MASK | 0x20060);
    wr(a, 0, DIVIDE, 0xb);
    wr(a, 0, INITIAL, 100);
    test_machine_advance(a->h->t, 250);
    assert_int_equal(rd(a, 0, CURRENT), 50);
    assert_false(cpu(a, 0)->intr);
    wr(a, 0, LVT_TIMER, 0x20060);
    test_machine_advance(a->h->t, 50);
    assert_int_equal(ack(a, 0), 0x60);
    wr(a, 0, EOI, 0);
    wr(a, 0, LVT_TIMER, 0x60); /* to one-shot: the present period is the last */
    test_machine_advance(a->h->t, 100);
    assert_int_equal(ack(a, 0), 0x60);
    wr(a, 0, EOI, 0);
    test_machine_advance(a->h->t, 1000);
    assert_false(cpu(a, 0)->intr);
    wr(a, 0, LVT_TIMER, MASK | 0x40060);
    assert_true(wrmsr(a, 0, MSR_DEADLINE, 4000));
    test_machine_advance(a->h->t, 2000);
    assert_true(rdmsr(a, 0, MSR_DEADLINE, &v));
    assert_int_equal(v, 0); /* passed */
    assert_false(cpu(a, 0)->intr);
}

/* Both move to one place: each sees its own there. */
static void test_two_moved(void **state)
{
    struct apics *a = *state;
    wr(a, 0, TPR, 0x10);
    wr(a, 1, TPR, 0x20);
    for (unsigned n = 0; n < FAKE_CPUS; n++)
        assert_true(set_base(a, n, 0xfed50800));
    for (unsigned n = 0; n < FAKE_CPUS; n++) {
        a->h->m->current_cpu = &cpu(a, n)->port;
        assert_int_equal(readl(a->h, 0xfed50000 + TPR), n ? 0x20 : 0x10);
        a->h->m->current_cpu = NULL;
    }
    assert_int_equal(readl(a->h, 0xfed50000 + TPR), 0xffffffff);
}

static void test_base_address_bits(void **state)
{
    struct apics *a = *state;
    struct cpu_pins pins = *cpu(a, 0)->port.pins;
    pins.physical_bits = 40;
    cpu(a, 0)->port.pins = &pins;
    assert_false(set_base(a, 0, 1ULL << 40 | 0xfee00900));
    assert_true(set_base(a, 0, 1ULL << 39 | 0xfee00900));
    assert_true(set_base(a, 0, 0xfee00900));
    assert_false(set_base(a, 0, 0xfee00b00)); /* bit 9 */
    cpu(a, 0)->port.pins = &fake_pins;
}

/* What each change of mode keeps (10.12.5). */
static void test_modes_keep(void **state)
{
    struct apics *a = *state;
    uint64_t v;
    wr(a, 1, TPR, 0x20);
    wr(a, 1, LDR, 0x08000000);
    wr(a, 1, LVT_TIMER, 0x61);
    msi(a, 0xfee01000, 0x51);
    assert_true(set_base(a, 1, 0xfee00c00));
    assert_true(rdmsr(a, 1, MSR_X2 + 8, &v));
    assert_int_equal(v, 0x20);
    assert_true(rdmsr(a, 1, MSR_X2 + 0x32, &v));
    assert_int_equal(v, 0x61);
    assert_true(rdmsr(a, 1, MSR_X2 + 0xd, &v));
    assert_int_equal(v, 2); /* not what LDR was */
    assert_int_equal(ack(a, 1), 0x51);
    wr(a, 0, ICR_HIGH, 0x01000000);
    wr(a, 0, ICR, 0x4500); /* INIT: stays x2APIC, with everything else as after power-up */
    assert_int_equal(cpu(a, 1)->port.apic_ops->get_base(a->dev[1]), 0xfee00c00);
    assert_true(rdmsr(a, 1, MSR_X2 + 8, &v));
    assert_int_equal(v, 0);
    assert_true(rdmsr(a, 1, MSR_X2 + 0x15, &v)); /* ISR */
    assert_int_equal(v, 0);
    assert_true(set_base(a, 1, 0xfee00000));
    msi(a, 0xfee01000, 0x51); /* disabled: gets nothing */
    wr(a, 0, ICR, 0x4400);
    assert_int_equal(cpu(a, 1)->nmis, 0);
    assert_false(rdmsr(a, 1, MSR_X2 + 8, &v));
    assert_true(set_base(a, 1, 0xfee00800));
    assert_int_equal(rd(a, 1, ID), 0x01000000);
    assert_int_equal(rd(a, 1, IRR + 0x20), 0);
    assert_true(set_base(a, 1, 0xfee00c00));
    device_reset(a->dev[1]); /* RESET ends in xAPIC mode */
    assert_int_equal(cpu(a, 1)->port.apic_ops->get_base(a->dev[1]), 0xfee00800);
}

/* Every MSR of 0x800-0x8ff: which can be read, which written, and with which bits. */
static void test_msr_table(void **state)
{
    struct apics *a = *state;
    static const struct {
        uint8_t first, last;
        bool readable;
        uint64_t writable; /* 0: not at all, or 0 alone */
    } rows[] = {
        { 0x02, 0x03, true, 0 },          { 0x08, 0x08, true, 0xff },
        { 0x0a, 0x0a, true, 0 },          { 0x0b, 0x0b, false, 0 },
        { 0x0d, 0x0d, true, 0 },          { 0x0f, 0x0f, true, 0x11ff },
        { 0x10, 0x28, true, 0 },          { 0x30, 0x30, true, 0xffffffff000ccfffULL },
        { 0x32, 0x32, true, 0x710ff },    { 0x33, 0x34, true, 0x117ff },
        { 0x35, 0x36, true, 0x1f7ff },    { 0x37, 0x37, true, 0x110ff },
        { 0x38, 0x38, true, 0xffffffff }, { 0x39, 0x39, true, 0 },
        { 0x3e, 0x3e, true, 0xb },        { 0x3f, 0x3f, false, 0xff },
    };
    assert_true(set_base(a, 1, 0xfee00c00));
    for (unsigned msr = 0, row = 0; msr < 0x100; msr++) {
        while (row < ARRAY_LEN(rows) && msr > rows[row].last)
            row++;
        bool there = row < ARRAY_LEN(rows) && msr >= rows[row].first;
        uint64_t v, writable = there ? rows[row].writable : 0;
        bool readable = there && rows[row].readable;
        if (rdmsr(a, 1, MSR_X2 + msr, &v) != readable)
            fail_msg("MSR 0x8%02x: readable %d", msr, !readable);
        for (unsigned bit = 0; bit < 64; bit++)
            if (!(writable >> bit & 1) && wrmsr(a, 1, MSR_X2 + msr, 1ULL << bit))
                fail_msg("MSR 0x8%02x: bit %u can be written", msr, bit);
        if (writable && !wrmsr(a, 1, MSR_X2 + msr, writable & ~0xf00ULL))
            fail_msg("MSR 0x8%02x cannot be written", msr);
    }
}

/* xAPIC: registers that are not there set ESR; those that are read-only stay as they are. */
static void test_page_table(void **state)
{
    struct apics *a = *state;
    for (unsigned reg = 0; reg < 0x1000; reg += 16) {
        bool there = reg == 0x20 || reg == 0x30 || (reg >= 0x80 && reg <= 0x280) ||
                     (reg >= 0x300 && reg <= 0x390) || reg == 0x3e0;
        wr(a, 0, ESR, 0);
        (void)rd(a, 0, reg);
        wr(a, 0, ESR, 0);
        if ((rd(a, 0, ESR) == 0x80) == there)
            fail_msg("register 0x%x: there %d", reg, there);
    }
    wr(a, 0, VERSION, 0);
    wr(a, 0, PPR, 0xff);
    wr(a, 0, IRR, 0xffffffff);
    wr(a, 0, CURRENT, 5);
    assert_int_equal(rd(a, 0, VERSION), 0x01050014);
    assert_int_equal(rd(a, 0, PPR), 0);
    assert_int_equal(rd(a, 0, IRR), 0);
    assert_int_equal(rd(a, 0, CURRENT), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        apic_test(test_eoi_without_broadcast),
        apic_test(test_old_ioapic_has_no_eoi),
        apic_test(test_delivery_modes),
        apic_test(test_lowest_priority_shorthands),
        apic_test(test_software_disabled),
        apic_test(test_ppr),
        apic_test(test_divisors),
        apic_test(test_divide_at_the_end),
        apic_test(test_masked_timer),
        apic_test(test_two_moved),
        apic_test(test_base_address_bits),
        apic_test(test_modes_keep),
        apic_test(test_msr_table),
        apic_test(test_page_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
