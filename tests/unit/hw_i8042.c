/* The 8042: what Linux's probe does, command byte, loopbacks, keyboard and mouse answers, A20 and
 * reset. */
#include "hw_fixture.h"

enum { DATA = 0x60, STATUS = 0x64, OBF = 0x01, AUX = 0x20 };

static struct device *start(struct hw *h)
{
    h->isa.irqs[1] = probe_init(&h->probe);
    return hw_device(h, "i8042");
}

static void command(struct hw *h, uint8_t value)
{
    outb(h, STATUS, value);
}

static uint8_t answer(struct hw *h)
{
    assert_true(inb(h, STATUS) & OBF);
    return inb(h, DATA);
}

static void assert_silent(struct hw *h)
{
    assert_false(inb(h, STATUS) & OBF);
}

static void set_command_byte(struct hw *h, uint8_t value)
{
    command(h, 0x60);
    outb(h, DATA, value);
}

static void test_probe(void **state)
{
    struct hw *h = *state;
    start(h);
    assert_silent(h);
    assert_true(inb(h, STATUS) & 0x10); /* not locked */
    command(h, 0xaa);
    assert_int_equal(answer(h), 0x55);
    assert_true(inb(h, STATUS) & 0x04);
    command(h, 0xab);
    assert_int_equal(answer(h), 0x00);
    command(h, 0xa9);
    assert_int_equal(answer(h), 0x00);
    command(h, 0x20);
    assert_int_equal(answer(h), 0x45);
    set_command_byte(h, 0x74);
    command(h, 0x20);
    assert_int_equal(answer(h), 0x74);
    command(h, 0xae);
    command(h, 0xa8);
    command(h, 0x20);
    assert_int_equal(answer(h), 0x44);
    command(h, 0xad);
    command(h, 0xa7);
    command(h, 0x20);
    assert_int_equal(answer(h), 0x74);
    command(h, 0x7f); /* RAM */
    outb(h, DATA, 0x99);
    command(h, 0x3f);
    assert_int_equal(answer(h), 0x99);
}

static void test_loops(void **state)
{
    struct hw *h = *state;
    start(h);
    command(h, 0xd3);
    outb(h, DATA, 0x5a);
    assert_int_equal(inb(h, STATUS) & (OBF | AUX), OBF | AUX);
    assert_int_equal(inb(h, DATA), 0x5a);
    command(h, 0xd2);
    outb(h, DATA, 0xa5);
    assert_int_equal(inb(h, STATUS) & (OBF | AUX), OBF);
    assert_true(h->probe.level);
    assert_int_equal(inb(h, DATA), 0xa5);
    assert_false(h->probe.level);
}

static void test_aux_interrupt(void **state)
{
    struct hw *h = *state;
    h->isa.irqs[12] = probe_init(&h->probe);
    hw_device(h, "i8042");
    command(h, 0xd3);
    outb(h, DATA, 1);
    assert_false(h->probe.level); /* not enabled */
    set_command_byte(h, 0x47);
    assert_true(h->probe.level);
    (void)inb(h, DATA);
    assert_false(h->probe.level);
}

static void test_keyboard(void **state)
{
    struct hw *h = *state;
    start(h);
    outb(h, DATA, 0xff);
    assert_int_equal(answer(h), 0xfa);
    assert_int_equal(answer(h), 0xaa);
    assert_int_equal(h->probe.rises, 2); /* an edge for each byte */
    assert_silent(h);
    outb(h, DATA, 0xf2);
    assert_int_equal(answer(h), 0xfa);
    assert_int_equal(answer(h), 0xab);
    assert_int_equal(answer(h), 0x41); /* translated */
    set_command_byte(h, 0x05);
    outb(h, DATA, 0xf2);
    (void)answer(h);
    (void)answer(h);
    assert_int_equal(answer(h), 0x83);
    outb(h, DATA, 0xed);
    assert_int_equal(answer(h), 0xfa);
    outb(h, DATA, 0x07);
    assert_int_equal(answer(h), 0xfa);
    outb(h, DATA, 0xf0);
    (void)answer(h);
    outb(h, DATA, 0x03);
    assert_int_equal(answer(h), 0xfa);
    outb(h, DATA, 0xf0);
    (void)answer(h);
    outb(h, DATA, 0x00);
    assert_int_equal(answer(h), 0xfa);
    assert_int_equal(answer(h), 0x03);
    outb(h, DATA, 0xfe); /* the last again */
    assert_int_equal(answer(h), 0x03);
    outb(h, DATA, 0xee);
    assert_int_equal(answer(h), 0xee);
    outb(h, DATA, 0x12);
    assert_int_equal(answer(h), 0xfe);
    assert_silent(h);
}

static void mouse(struct hw *h, uint8_t value)
{
    command(h, 0xd4);
    outb(h, DATA, value);
}

static uint8_t mouse_answer(struct hw *h)
{
    assert_int_equal(inb(h, STATUS) & (OBF | AUX), OBF | AUX);
    return inb(h, DATA);
}

static void test_mouse(void **state)
{
    struct hw *h = *state;
    start(h);
    mouse(h, 0xff);
    assert_int_equal(mouse_answer(h), 0xfa);
    assert_int_equal(mouse_answer(h), 0xaa);
    assert_int_equal(mouse_answer(h), 0x00);
    mouse(h, 0xf2);
    assert_int_equal(mouse_answer(h), 0xfa);
    assert_int_equal(mouse_answer(h), 0x00);
    mouse(h, 0xf3);
    assert_int_equal(mouse_answer(h), 0xfa);
    mouse(h, 40);
    assert_int_equal(mouse_answer(h), 0xfa);
    mouse(h, 0xe8);
    assert_int_equal(mouse_answer(h), 0xfa);
    mouse(h, 3);
    assert_int_equal(mouse_answer(h), 0xfa);
    mouse(h, 0xf4);
    assert_int_equal(mouse_answer(h), 0xfa);
    mouse(h, 0xe9);
    assert_int_equal(mouse_answer(h), 0xfa);
    assert_int_equal(mouse_answer(h), 0x20);
    assert_int_equal(mouse_answer(h), 3);
    assert_int_equal(mouse_answer(h), 40);
    mouse(h, 0xe1);
    assert_int_equal(mouse_answer(h), 0xfe);
    assert_silent(h);
}

/* Answers that nobody reads are dropped at the end of the queue. */
static void test_overflow(void **state)
{
    struct hw *h = *state;
    start(h);
    for (int i = 0; i < 1000; i++) {
        outb(h, DATA, 0xee);
        command(h, 0x20);
        mouse(h, 0xe9);
    }
    unsigned bytes = 0;
    for (; inb(h, STATUS) & OBF; bytes++)
        (void)inb(h, DATA);
    assert_in_range(bytes, 20, 49);
}

static void test_a20_and_reset(void **state)
{
    struct hw *h = *state;
    struct device *kbc = start(h), *port92 = hw_device(h, "port92");
    struct device *gate = hw_device(h, "a20-gate");
    hw_connect(kbc, "a20", 0, hw_input(gate, "", 0));
    hw_connect(port92, "a20", 0, hw_input(gate, "", 1));
    device_reset(kbc);
    assert_true(h->cpus[0].a20 && h->cpus[1].a20);
    command(h, 0xd1);
    outb(h, DATA, 0x01);
    assert_false(h->cpus[0].a20 || h->cpus[1].a20);
    command(h, 0xd0);
    assert_int_equal(answer(h) & 0x03, 0x01);
    outb(h, 0x92, 0x02); /* either enables it */
    assert_true(h->cpus[0].a20);
    assert_int_equal(inb(h, 0x92), 0x02);
    command(h, 0xd1);
    outb(h, DATA, 0x03);
    outb(h, 0x92, 0x00);
    assert_true(h->cpus[0].a20);
    assert_int_equal(h->t->requests, 0);
    command(h, 0xff); /* pulses nothing */
    assert_int_equal(h->t->requests, 0);
    command(h, 0xfe);
    assert_int_equal(h->t->requests, 1);
    assert_int_equal(h->t->last_request, REQUEST_RESET);
    command(h, 0xd1);
    outb(h, DATA, 0x02);
    assert_int_equal(h->t->requests, 2);
    outb(h, 0x92, 0x01);
    assert_int_equal(h->t->requests, 3);
    outb(h, 0x92, 0x01); /* no edge */
    assert_int_equal(h->t->requests, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        hw_test(test_probe),         hw_test(test_loops), hw_test(test_aux_interrupt),
        hw_test(test_keyboard),      hw_test(test_mouse), hw_test(test_overflow),
        hw_test(test_a20_and_reset),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
