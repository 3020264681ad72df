/* The 8254: all modes, latching, read-back, BCD, and channel 2 through port 0x61. */
#include "hw_fixture.h"
#include "hw/timer/i8254.h"

enum { PIT = 0x40, CONTROL = 0x43, PORT61 = 0x61 };

/* Move to the first nanosecond of the tick `ticks` after the present one. */
static void ticks(struct hw *h, int64_t n)
{
    int64_t tick = h->t->now * I8254_HZ / NS_PER_SECOND + n;
    int64_t at = (tick * NS_PER_SECOND + I8254_HZ - 1) / I8254_HZ;
    test_machine_advance(h->t, at - h->t->now);
}

static void program(struct hw *h, unsigned channel, uint8_t control, uint16_t count)
{
    outb(h, CONTROL, channel << 6 | control);
    outb(h, PIT + channel, count & 0xff);
    outb(h, PIT + channel, count >> 8);
}

static uint16_t read16(struct hw *h, unsigned channel)
{
    uint16_t low = inb(h, PIT + channel);
    return low | inb(h, PIT + channel) << 8;
}

static void test_mode0(void **state)
{
    struct hw *h = *state;
    struct probe *out = &h->probe;
    struct device *pit = hw_device(h, "isa-pit");
    hw_connect(pit, "", 0, probe_init(out));
    program(h, 0, 0x30, 1000);
    assert_false(out->level);
    ticks(h, 999);
    assert_false(out->level);
    assert_int_equal(read16(h, 0), 1);
    ticks(h, 1);
    assert_true(out->level);
    ticks(h, 5);
    assert_true(out->level);
    assert_int_equal(read16(h, 0), 0xfffb); /* goes on counting */
    assert_int_equal(out->rises, 1);
    outb(h, CONTROL, 0x30);
    assert_false(out->level); /* the control word lowers OUT */
}

static void test_mode2_rate(void **state)
{
    struct hw *h = *state;
    struct probe *out = &h->probe;
    struct device *pit = hw_device(h, "isa-pit");
    hw_connect(pit, "", 0, probe_init(out));
    program(h, 0, 0x34, 11932);
    unsigned before = out->rises;
    ticks(h, 11931);
    assert_false(out->level); /* low for the last tick */
    ticks(h, 1);
    assert_true(out->level);
    test_machine_advance(h->t, NS_PER_SECOND - h->t->now);
    assert_int_equal(out->rises - before, 99); /* 1193182 / 11932 = 99.998 */
    test_machine_advance(h->t, 20000);
    assert_int_equal(out->rises - before, 100);
}

static void test_mode2_new_count_waits(void **state)
{
    struct hw *h = *state;
    struct probe *out = &h->probe;
    struct device *pit = hw_device(h, "isa-pit");
    hw_connect(pit, "", 0, probe_init(out));
    program(h, 0, 0x34, 100);
    ticks(h, 50);
    outb(h, PIT, 10); /* without a control word */
    outb(h, PIT, 0);
    outb(h, CONTROL, 0xe2); /* status: null count */
    assert_int_equal(inb(h, PIT), 0xf4);
    unsigned before = out->rises;
    ticks(h, 49);
    assert_int_equal(out->rises, before);
    ticks(h, 1);
    assert_int_equal(out->rises, before + 1);
    ticks(h, 10);
    assert_int_equal(out->rises, before + 2);
    outb(h, CONTROL, 0xe2);
    assert_int_equal(inb(h, PIT), 0xb4);
}

static void test_mode3_square(void **state)
{
    struct hw *h = *state;
    struct probe *out = &h->probe;
    struct device *pit = hw_device(h, "isa-pit");
    hw_connect(pit, "", 0, probe_init(out));
    program(h, 0, 0x36, 101);
    assert_true(out->level);
    ticks(h, 10);
    assert_int_equal(read16(h, 0), 80); /* by two */
    ticks(h, 40);
    assert_true(out->level); /* 51 of 101 */
    ticks(h, 1);
    assert_false(out->level);
    ticks(h, 49);
    assert_false(out->level);
    ticks(h, 1);
    assert_true(out->level);
}

static void test_mode4_strobe(void **state)
{
    struct hw *h = *state;
    struct probe *out = &h->probe;
    struct device *pit = hw_device(h, "isa-pit");
    hw_connect(pit, "", 0, probe_init(out));
    program(h, 0, 0x38, 20);
    unsigned before = out->rises;
    ticks(h, 19);
    assert_true(out->level);
    ticks(h, 1);
    assert_false(out->level);
    ticks(h, 1);
    assert_true(out->level);
    ticks(h, 100000);
    assert_int_equal(out->rises, before + 1);
}

/* Modes 1 and 5 wait for the gate of channel 2. */
static void test_gate_triggers(void **state)
{
    struct hw *h = *state;
    struct device *pit = hw_device(h, "isa-pit");
    program(h, 2, 0x32, 30);
    assert_true(i8254_out(pit, 2));
    ticks(h, 100);
    assert_true(i8254_out(pit, 2));
    i8254_set_gate(pit, 2, true);
    assert_false(i8254_out(pit, 2));
    ticks(h, 29);
    assert_false(i8254_out(pit, 2));
    ticks(h, 1);
    assert_true(i8254_out(pit, 2));
    i8254_set_gate(pit, 2, false);
    i8254_set_gate(pit, 2, true); /* again */
    assert_false(i8254_out(pit, 2));
    i8254_set_gate(pit, 2, false);
    program(h, 2, 0x3a, 30); /* mode 5 */
    ticks(h, 30);
    assert_true(i8254_out(pit, 2));
    i8254_set_gate(pit, 2, true);
    ticks(h, 30);
    assert_false(i8254_out(pit, 2));
    ticks(h, 1);
    assert_true(i8254_out(pit, 2));
}

static void test_latch_and_read_back(void **state)
{
    struct hw *h = *state;
    hw_device(h, "isa-pit");
    program(h, 0, 0x34, 5000);
    program(h, 1, 0x30, 300);
    ticks(h, 100);
    outb(h, CONTROL, 0x00); /* latch channel 0 */
    outb(h, CONTROL, 0xc4); /* read-back: count and status of channel 1 */
    ticks(h, 100);
    outb(h, CONTROL, 0x00); /* the first latch stays */
    assert_int_equal(read16(h, 0), 4900);
    assert_int_equal(read16(h, 0), 4800);
    assert_int_equal(inb(h, PIT + 1), 0x30); /* status first: OUT low, both bytes, mode 0 */
    assert_int_equal(read16(h, 1), 200);
    assert_int_equal(inb(h, CONTROL), 0xff);
}

static void test_access_and_bcd(void **state)
{
    struct hw *h = *state;
    hw_device(h, "isa-pit");
    outb(h, CONTROL, 0x10); /* low byte only */
    outb(h, PIT, 40);
    ticks(h, 10);
    assert_int_equal(inb(h, PIT), 30);
    outb(h, CONTROL, 0x20); /* high byte only */
    outb(h, PIT, 2);
    ticks(h, 1);
    assert_int_equal(inb(h, PIT), 1);
    program(h, 0, 0x31, 0x1000); /* BCD: 1000 */
    ticks(h, 1);
    assert_int_equal(read16(h, 0), 0x0999);
    program(h, 0, 0x31, 0); /* 10000 */
    ticks(h, 1);
    assert_int_equal(read16(h, 0), 0x9999);
}

static void test_speaker_port(void **state)
{
    struct hw *h = *state;
    struct device *pit = hw_device(h, "isa-pit");
    struct device *spk = test_device(h->t, "isa-pcspk", NULL);
    hw_link(spk, "pit", pit);
    hw_start(h, spk);
    /* As Linux measures the TSC: mode 0 on channel 2, wait for OUT2. */
    outb(h, PORT61, (inb(h, PORT61) & ~0x02) | 0x01);
    program(h, 2, 0x30, 0xffff);
    assert_int_equal(inb(h, PORT61) & 0x21, 0x01);
    ticks(h, 0xfffe);
    assert_int_equal(inb(h, PORT61) & 0x20, 0);
    ticks(h, 1);
    assert_int_equal(inb(h, PORT61) & 0x20, 0x20);
    /* With the gate low nothing counts. */
    program(h, 2, 0x30, 1000);
    ticks(h, 400);
    outb(h, PORT61, 0);
    ticks(h, 5000);
    assert_int_equal(inb(h, PORT61) & 0x20, 0);
    outb(h, PORT61, 1);
    ticks(h, 599);
    assert_int_equal(inb(h, PORT61) & 0x20, 0);
    ticks(h, 1);
    assert_int_equal(inb(h, PORT61) & 0x20, 0x20);
    /* The refresh bit toggles every 18 ticks. */
    uint8_t before = inb(h, PORT61) & 0x10;
    ticks(h, 18);
    assert_int_not_equal(inb(h, PORT61) & 0x10, before);
    ticks(h, 18);
    assert_int_equal(inb(h, PORT61) & 0x10, before);
}

/* A clock that jumps far ahead makes at least one interrupt, and no flood. */
static void test_jump(void **state)
{
    struct hw *h = *state;
    struct probe *out = &h->probe;
    struct device *pit = hw_device(h, "isa-pit");
    hw_connect(pit, "", 0, probe_init(out));
    program(h, 0, 0x34, 1193);
    unsigned before = out->rises;
    h->t->now += 10 * NS_PER_SECOND;
    clock_run(&h->m->virtual);
    assert_in_range(out->rises - before, 1, 2);
}

/* A new count waits for the end of the present period, in mode 3 of its half, whichever period that
 * is. */
static void test_new_count_in_later_period(void **state)
{
    struct hw *h = *state;
    struct probe *out = &h->probe;
    struct device *pit = hw_device(h, "isa-pit");
    hw_connect(pit, "", 0, probe_init(out));
    program(h, 0, 0x34, 100);
    ticks(h, 1030); /* the eleventh period */
    outb(h, PIT, 10);
    outb(h, PIT, 0);
    unsigned before = out->rises;
    ticks(h, 69);
    assert_int_equal(out->rises, before);
    ticks(h, 1);
    assert_int_equal(out->rises, before + 1);
    ticks(h, 10);
    assert_int_equal(out->rises, before + 2);

    program(h, 0, 0x36, 100);
    ticks(h, 220); /* high half of the third */
    assert_true(out->level);
    outb(h, PIT, 20);
    outb(h, PIT, 0);
    ticks(h, 29);
    assert_true(out->level);
    ticks(h, 1);
    assert_false(out->level); /* the new count's low half */
    assert_int_equal(read16(h, 0), 20);
    ticks(h, 9);
    assert_false(out->level);
    ticks(h, 1);
    assert_true(out->level);
    ticks(h, 10);
    assert_false(out->level);
    outb(h, PIT, 100); /* in the low half: from its end */
    outb(h, PIT, 0);
    ticks(h, 9);
    assert_false(out->level);
    ticks(h, 50);
    assert_true(out->level);
    ticks(h, 1);
    assert_false(out->level);
}

/* Mode 3 with an odd count: N - 1, by two, to 0 in the high half and to 2 in the low one. */
static void test_mode3_odd_count(void **state)
{
    struct hw *h = *state;
    hw_device(h, "isa-pit");
    static const uint8_t counts[] = { 4, 2, 0, 4, 2 };
    program(h, 0, 0x36, 5);
    for (unsigned i = 0; i < 15; i++, ticks(h, 1))
        assert_int_equal(read16(h, 0), counts[i % 5]);
}

static bool out2(struct device *pit)
{
    return i8254_out(pit, 2);
}

/* The gate by mode: it stops modes 0 and 4, stops and restarts 2 and 3 with OUT high, and triggers
 * 1 and 5, where a new count waits for the next trigger. */
static void test_gate_in_every_mode(void **state)
{
    struct hw *h = *state;
    struct device *pit = hw_device(h, "isa-pit");
    for (unsigned mode = 0; mode < 6; mode++) {
        bool triggered = mode == 1 || mode == 5, periodic = mode == 2 || mode == 3;
        i8254_set_gate(pit, 2, false);
        program(h, 2, 0x30 | mode << 1, 100);
        assert_int_equal(out2(pit), mode != 0);
        ticks(h, 200);
        assert_int_equal(out2(pit), mode != 0); /* nothing has counted */
        i8254_set_gate(pit, 2, true);
        ticks(h, 60);
        assert_int_equal(read16(h, 2), mode == 3 ? 80 : 40);
        i8254_set_gate(pit, 2, false);
        ticks(h, 30);
        assert_int_equal(read16(h, 2), mode == 3 ? 80 : triggered ? 10 : 40);
        if (periodic)
            assert_true(out2(pit));
        i8254_set_gate(pit, 2, true);
        ticks(h, 30);
        assert_int_equal(read16(h, 2), mode == 3 ? 40 : periodic || triggered ? 70 : 10);
        if (!triggered)
            continue;
        outb(h, PIT + 2, 50);
        outb(h, PIT + 2, 0);
        ticks(h, 20);
        assert_int_equal(read16(h, 2), 50); /* the old one goes on */
        i8254_set_gate(pit, 2, false);
        i8254_set_gate(pit, 2, true);
        ticks(h, 20);
        assert_int_equal(read16(h, 2), 30);
    }
}

/* Writing the first of two bytes stops mode 0; the other modes go on. */
static void test_half_written_count(void **state)
{
    struct hw *h = *state;
    struct device *pit = hw_device(h, "isa-pit");
    i8254_set_gate(pit, 2, true);
    program(h, 2, 0x30, 100);
    outb(h, PIT + 2, 50);
    ticks(h, 1000);
    assert_false(out2(pit));
    outb(h, PIT + 2, 0);
    ticks(h, 49);
    assert_false(out2(pit));
    ticks(h, 1);
    assert_true(out2(pit));
    program(h, 2, 0x34, 100);
    outb(h, PIT + 2, 50);
    ticks(h, 10);
    assert_int_equal(read16(h, 2), 90);
}

/* As under KVM, where time goes by while a register is accessed. */
static int64_t time_goes_by(void *opaque)
{
    struct test_machine *t = opaque;
    return t->now += 3 * NS_PER_SECOND / I8254_HZ;
}

/* What one read-back latches is of one moment; a count and its interrupt begin at one. */
static void test_one_moment(void **state)
{
    struct hw *h = *state;
    struct probe *out = &h->probe;
    struct device *pit = hw_device(h, "isa-pit");
    hw_connect(pit, "", 0, probe_init(out));
    i8254_set_gate(pit, 2, true);
    for (unsigned i = 0; i < 3; i++)
        program(h, i, 0x30, 10000);
    ticks(h, 100);
    h->m->virtual.now = time_goes_by;
    outb(h, CONTROL, 0xde); /* read-back: the counts of all three */
    uint16_t first = read16(h, 0);
    assert_int_equal(read16(h, 1), first);
    assert_int_equal(read16(h, 2), first);
    outb(h, CONTROL, 0x14); /* mode 2, low byte: a pulse two ticks after the count is written */
    outb(h, PIT, 3);
    unsigned before = out->rises;
    clock_run(&h->m->virtual);
    assert_true(out->rises > before);
}

/* Counts of 1 in modes 2 and 3 are forbidden, and harm nobody. */
static void test_count_of_one(void **state)
{
    struct hw *h = *state;
    struct device *pit = hw_device(h, "isa-pit");
    hw_connect(pit, "", 0, probe_init(&h->probe));
    for (unsigned mode = 2; mode < 4; mode++) {
        program(h, 0, 0x30 | mode << 1, 1);
        assert_int_equal(clock_deadline(&h->m->virtual), CLOCK_NEVER);
        (void)read16(h, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        hw_test(test_mode0),
        hw_test(test_mode2_rate),
        hw_test(test_mode2_new_count_waits),
        hw_test(test_mode3_square),
        hw_test(test_mode4_strobe),
        hw_test(test_gate_triggers),
        hw_test(test_latch_and_read_back),
        hw_test(test_access_and_bcd),
        hw_test(test_speaker_port),
        hw_test(test_jump),
        hw_test(test_new_count_in_later_period),
        hw_test(test_mode3_odd_count),
        hw_test(test_gate_in_every_mode),
        hw_test(test_half_written_count),
        hw_test(test_one_moment),
        hw_test(test_count_of_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
