/* The MC146818: date and formats, setting it, UIP, update, alarm and periodic interrupts, CMOS RAM.
 */
#include "hw_fixture.h"

enum {
    A = 10,
    B = 11,
    C = 12,
    D = 13,
    B_24H = 0x02,
    B_BINARY = 0x04,
    B_UIE = 0x10,
    B_AIE = 0x20,
    B_PIE = 0x40,
    B_SET = 0x80,
};

/* 2024-02-29 23:59:58 UTC, a Thursday. */
#define EPOCH_NS (1709251198LL * NS_PER_SECOND)

static uint8_t get(struct hw *h, uint8_t reg)
{
    outb(h, 0x70, reg);
    return inb(h, 0x71);
}

static void put(struct hw *h, uint8_t reg, uint8_t value)
{
    outb(h, 0x70, reg);
    outb(h, 0x71, value);
}

static struct device *start(struct hw *h)
{
    h->m->epoch_ns = EPOCH_NS;
    h->isa.irqs[8] = probe_init(&h->probe);
    return hw_device(h, "mc146818rtc");
}

static void assert_date(struct hw *h, uint8_t century, uint8_t year, uint8_t month, uint8_t day)
{
    assert_int_equal(get(h, 0x32), century);
    assert_int_equal(get(h, 9), year);
    assert_int_equal(get(h, 8), month);
    assert_int_equal(get(h, 7), day);
}

static void assert_time(struct hw *h, uint8_t hour, uint8_t minute, uint8_t second)
{
    assert_int_equal(get(h, 4), hour);
    assert_int_equal(get(h, 2), minute);
    assert_int_equal(get(h, 0), second);
}

static void test_date(void **state)
{
    struct hw *h = *state;
    start(h);
    assert_date(h, 0x20, 0x24, 0x02, 0x29);
    assert_time(h, 0x23, 0x59, 0x58);
    assert_int_equal(get(h, 6), 5);
    assert_int_equal(get(h, D), 0x80);
    test_machine_advance(h->t, 2 * NS_PER_SECOND);
    assert_date(h, 0x20, 0x24, 0x03, 0x01);
    assert_time(h, 0, 0, 0);
    assert_int_equal(get(h, 6), 6);
    assert_int_equal(inb(h, 0x70), 0xff); /* the index cannot be read */
}

static void test_formats(void **state)
{
    struct hw *h = *state;
    start(h);
    put(h, B, B_24H | B_BINARY);
    assert_date(h, 20, 24, 2, 29);
    assert_time(h, 23, 59, 58);
    put(h, B, 0); /* BCD, 12 hours */
    assert_time(h, 0x91, 0x59, 0x58);
    test_machine_advance(h->t, 2 * NS_PER_SECOND);
    assert_int_equal(get(h, 4), 0x12); /* midnight */
}

static void test_setting(void **state)
{
    struct hw *h = *state;
    start(h);
    put(h, B, B_SET | B_24H);
    put(h, 0x32, 0x19);
    put(h, 9, 0x99);
    put(h, 8, 0x12);
    put(h, 7, 0x31);
    put(h, 4, 0x23);
    put(h, 2, 0x59);
    put(h, 0, 0x59);
    test_machine_advance(h->t, 10 * NS_PER_SECOND);
    assert_time(h, 0x23, 0x59, 0x59); /* stands still */
    put(h, B, B_24H);
    assert_date(h, 0x19, 0x99, 0x12, 0x31);
    test_machine_advance(h->t, NS_PER_SECOND);
    assert_date(h, 0x20, 0x00, 0x01, 0x01);
    assert_time(h, 0, 0, 0);
    put(h, 2, 0x30); /* while it runs */
    assert_time(h, 0, 0x30, 0);
    device_reset(h->m->devices);
    assert_time(h, 0, 0x30, 0); /* reset leaves the time */
}

/* What makes no date must harm nobody. */
static void test_nonsense(void **state)
{
    struct hw *h = *state;
    start(h);
    static const uint8_t regs[] = { 0, 2, 4, 6, 7, 8, 9, 0x32, 1, 3, 5 };
    for (unsigned value = 0; value < 256; value++) {
        for (unsigned i = 0; i < sizeof regs; i++)
            put(h, regs[i], value);
        put(h, B, value & ~B_SET);
        (void)get(h, C);
        assert_in_range(get(h, 8) & 0x1f, 1, 0x12);
    }
}

static void test_divider_reset(void **state)
{
    struct hw *h = *state;
    start(h);
    put(h, A, 0x66);
    test_machine_advance(h->t, 3 * NS_PER_SECOND + 123456789);
    assert_time(h, 0x23, 0x59, 0x58);
    put(h, A, 0x26);
    test_machine_advance(h->t, NS_PER_SECOND / 2 - 1); /* the first update is half a second later */
    assert_int_equal(get(h, 0), 0x58);
    test_machine_advance(h->t, 1);
    assert_int_equal(get(h, 0), 0x59);
}

static void test_uip(void **state)
{
    struct hw *h = *state;
    start(h);
    assert_int_equal(get(h, A), 0x26);
    test_machine_advance(h->t, NS_PER_SECOND - 2228001);
    assert_int_equal(get(h, A), 0x26);
    test_machine_advance(h->t, 1);
    assert_int_equal(get(h, A), 0xa6);
    test_machine_advance(h->t, 2227999);
    assert_int_equal(get(h, A), 0xa6);
    assert_int_equal(get(h, 0), 0x58);
    test_machine_advance(h->t, 1);
    assert_int_equal(get(h, A), 0x26);
    assert_int_equal(get(h, 0), 0x59);
    put(h, B, B_SET | B_24H);
    test_machine_advance(h->t, NS_PER_SECOND - 1);
    assert_int_equal(get(h, A), 0x26); /* no update cycles while SET */
}

static void test_update_interrupt(void **state)
{
    struct hw *h = *state;
    start(h);
    test_machine_advance(h->t, NS_PER_SECOND);
    assert_int_equal(get(h, C) & 0x90, 0x10); /* the flag without the interrupt */
    assert_int_equal(get(h, C), 0);
    put(h, B, B_24H | B_UIE);
    test_machine_advance(h->t, NS_PER_SECOND - 1);
    assert_false(h->probe.level);
    test_machine_advance(h->t, 1);
    assert_true(h->probe.level);
    test_machine_advance(h->t, 5 * NS_PER_SECOND); /* nobody looks: one interrupt */
    assert_int_equal(h->probe.rises, 1);
    assert_int_equal(get(h, C) & 0x90, 0x90);
    assert_false(h->probe.level);
    test_machine_advance(h->t, NS_PER_SECOND);
    assert_int_equal(h->probe.rises, 2);
    put(h, B, B_SET | B_UIE | B_24H); /* SET takes UIE away */
    assert_int_equal(get(h, B), B_SET | B_24H);
    assert_false(h->probe.level);
}

static void test_alarm(void **state)
{
    struct hw *h = *state;
    start(h);
    put(h, 5, 0x06);
    put(h, 3, 0x30);
    put(h, 1, 0x00);
    put(h, B, B_24H | B_AIE);
    test_machine_advance(h->t, (2 + 6 * 3600 + 30 * 60) * NS_PER_SECOND - 1);
    assert_false(h->probe.level);
    test_machine_advance(h->t, 1);
    assert_true(h->probe.level);
    assert_int_equal(get(h, C) & 0xa0, 0xa0);
    put(h, 5, 0xff); /* any hour and any minute: at every full minute + 15 s */
    put(h, 3, 0xc0);
    put(h, 1, 0x15);
    for (int i = 0; i < 3; i++) {
        test_machine_advance(h->t, (i ? 60 : 15) * NS_PER_SECOND - 1);
        assert_false(h->probe.level);
        test_machine_advance(h->t, 1);
        assert_true(h->probe.level);
        (void)get(h, C);
    }
    put(h, 1, 0x77); /* never */
    test_machine_advance(h->t, 86400 * NS_PER_SECOND);
    assert_false(h->probe.level);
}

static void test_periodic(void **state)
{
    struct hw *h = *state;
    start(h);
    put(h, B, B_24H | B_PIE); /* rate 6: 1024 Hz */
    unsigned seen = 0;
    for (int i = 0; i < 1000; i++) {
        test_machine_advance(h->t, NS_PER_SECOND / 1000);
        if (h->probe.level) {
            assert_int_equal(get(h, C) & 0xc0, 0xc0);
            seen++;
        }
    }
    assert_int_equal(seen, 1000); /* every millisecond found at least one */
    put(h, A, 0x2f);              /* 2 Hz */
    (void)get(h, C);
    h->probe.rises = 0;
    for (int i = 0; i < 10; i++) {
        test_machine_advance(h->t, NS_PER_SECOND / 2);
        (void)get(h, C);
    }
    assert_int_equal(h->probe.rises, 10);
    put(h, A, 0x20); /* none */
    (void)get(h, C);
    test_machine_advance(h->t, NS_PER_SECOND);
    assert_false(h->probe.level);
}

/* As under KVM, where time goes by while a register is read. */
static int64_t time_goes_by(void *opaque)
{
    struct test_machine *t = opaque;
    return t->now += 10000;
}

/* A period that ends while C is read is told of by an edge of its own: the read has looked at the
 * clock once. */
static void test_period_ends_in_read(void **state)
{
    struct hw *h = *state;
    start(h);
    put(h, B, B_24H | B_PIE);
    h->m->virtual.now = time_goes_by;
    for (int i = 0; i < 1000; i++) {
        test_machine_advance(h->t, NS_PER_SECOND / 1000 + i * 1000);
        assert_true(h->probe.level);
        unsigned rises = h->probe.rises;
        (void)get(h, C);
        assert_false(h->probe.level);
        test_machine_advance(h->t, NS_PER_SECOND / 1000);
        assert_int_equal(h->probe.rises, rises + 1);
        (void)get(h, C);
    }
}

static void test_ram(void **state)
{
    struct hw *h = *state;
    start(h);
    put(h, 0x0f, 0x0a);
    put(h, 0x7f, 0x5a);
    put(h, 0xff, 0x5b); /* bit 7 of the index masks NMI and selects nothing */
    assert_int_equal(get(h, 0x7f), 0x5b);
    device_reset(h->m->devices);
    assert_int_equal(get(h, 0x0f), 0x0a);
}

static void test_base_year(void **state)
{
    struct hw *h = *state;
    h->m->epoch_ns = EPOCH_NS;
    struct device *d = test_device(h->t, "mc146818rtc", NULL);
    struct error err = { 0 };
    struct prop_value v = { .type = VALUE_INT, .i = 1980 };
    assert_true(device_set_prop(d, "base_year", v, &err));
    hw_start(h, d);
    assert_int_equal(get(h, 9), 0x44);
    put(h, 9, 0x45);
    assert_int_equal(get(h, 9), 0x45);
    assert_int_equal(get(h, 0x32), 0x20);
}

/* A second that begins within an access loses no update interrupt. */
static void test_second_begins_in_access(void **state)
{
    struct hw *h = *state;
    start(h);
    put(h, B, B_24H | B_UIE);
    h->m->virtual.now = time_goes_by;
    for (int i = 1; i < 50; i++) {
        (void)get(h, C);
        int64_t second = (h->t->now / NS_PER_SECOND + 1) * NS_PER_SECOND;
        h->t->now = second - i * 1000;
        unsigned rises = h->probe.rises;
        put(h, 0x40, i); /* works out when the next interrupt comes */
        h->t->now = second + NS_PER_SECOND / 2;
        clock_run(&h->m->virtual);
        assert_int_equal(h->probe.rises, rises + 1);
    }
}

/* Twelve hours, with PM in bit 7: setting the clock and the alarm; the don't-care codes there. */
static void test_twelve_hours(void **state)
{
    struct hw *h = *state;
    start(h);
    put(h, B, B_SET);
    put(h, 4, 0x12); /* 12 AM */
    put(h, 2, 0x00);
    put(h, 0, 0x00);
    put(h, B, 0);
    put(h, B, B_24H);
    assert_int_equal(get(h, 4), 0);
    put(h, B, 0);
    put(h, 4, 0x92); /* 12 PM */
    put(h, B, B_24H);
    assert_int_equal(get(h, 4), 0x12);
    put(h, B, 0);
    put(h, 5, 0x81); /* 1 PM */
    put(h, 3, 0x00);
    put(h, 1, 0x00);
    put(h, B, B_AIE);
    test_machine_advance(h->t, 3600 * NS_PER_SECOND - 1);
    assert_false(h->probe.level);
    test_machine_advance(h->t, 1);
    assert_true(h->probe.level);
    (void)get(h, C);
    put(h, 5, 0xc0);
    test_machine_advance(h->t, 3600 * NS_PER_SECOND);
    assert_true(h->probe.level);
}

/* Every rate of table 5, with the flag as well when nothing is enabled. */
static void test_periodic_rates(void **state)
{
    struct hw *h = *state;
    start(h);
    for (unsigned rate = 1; rate < 16; rate++) {
        int64_t ticks = rate <= 2 ? 128 << (rate - 1) : 1 << (rate - 1);
        int64_t period = ticks * NS_PER_SECOND / 32768;
        put(h, A, 0x20 | rate);
        put(h, B, B_24H | B_PIE);
        (void)get(h, C);
        h->probe.rises = 0;
        for (unsigned i = 0; i < 8; i++) {
            test_machine_advance(h->t, period);
            (void)get(h, C);
        }
        assert_in_range(h->probe.rises, 7, 8);
        put(h, B, B_24H);
        (void)get(h, C);
        test_machine_advance(h->t, 2 * period);
        assert_int_equal(get(h, C) & 0xc0, 0x40); /* PF, no IRQF */
    }
}

/* Daylight saving and the square wave are bits without effect; C and D cannot be written. */
static void test_bits_without_effect(void **state)
{
    struct hw *h = *state;
    start(h);
    put(h, B, B_24H | 0x01 | 0x08);
    assert_int_equal(get(h, B), B_24H | 0x09);
    put(h, B, B_SET | B_24H | 0x01);
    put(h, 8, 0x04); /* 2024-04-28, the last Sunday of April, 01:59:59: no hour is left out */
    put(h, 7, 0x28);
    put(h, 4, 0x01);
    put(h, 2, 0x59);
    put(h, 0, 0x59);
    put(h, B, B_24H | 0x01);
    test_machine_advance(h->t, NS_PER_SECOND);
    assert_time(h, 0x02, 0x00, 0x00);
    put(h, C, 0xff);
    put(h, D, 0x00);
    assert_int_equal(get(h, C) & 0xa0, 0);
    assert_int_equal(get(h, D), 0x80);
    put(h, A, 0xa6); /* UIP is read-only */
    assert_int_equal(get(h, A) & 0x7f, 0x26);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        hw_test(test_date),
        hw_test(test_formats),
        hw_test(test_setting),
        hw_test(test_nonsense),
        hw_test(test_divider_reset),
        hw_test(test_uip),
        hw_test(test_update_interrupt),
        hw_test(test_alarm),
        hw_test(test_periodic),
        hw_test(test_period_ends_in_read),
        hw_test(test_ram),
        hw_test(test_base_year),
        hw_test(test_second_begins_in_access),
        hw_test(test_twelve_hours),
        hw_test(test_periodic_rates),
        hw_test(test_bits_without_effect),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
