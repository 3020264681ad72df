/* Debug exit and port 80. */
#include "hw_fixture.h"

static void test_debug_exit(void **state)
{
    struct hw *h = *state;
    hw_device(h, "isa-debug-exit");
    assert_int_equal(inb(h, 0xf4), 0);
    outb(h, 0xf4, 0x10);
    assert_int_equal(h->t->last_request, REQUEST_EXIT);
    assert_int_equal(h->t->last_code, 0x21);
    address_space_store(h->m->io, 0xf4, 4, 0x1234);
    assert_int_equal(h->t->last_code, 0x2469);
    assert_int_equal(h->t->requests, 2);
}

static void test_debug_exit_elsewhere(void **state)
{
    struct hw *h = *state;
    struct error err = { 0 };
    struct device *d = test_device(h->t, "isa-debug-exit", NULL);
    test_set(d, "iobase", "0xffff");
    assert_false(device_realize(d, &h->isa.bus, &err));
    assert_contains(err.text, "beyond 0xffff");
    test_set(d, "iosize", "1");
    hw_start(h, d);
    outb(h, 0xffff, 0);
    assert_int_equal(h->t->last_code, 1);
}

static void test_port80(void **state)
{
    struct hw *h = *state;
    struct error err = { 0 };
    struct prop_value v;
    struct device *d = hw_device(h, "ioport80");
    outb(h, 0x80, 0xc3);
    assert_int_equal(inb(h, 0x80), 0xff);
    assert_true(device_get_prop(d, "last", &v, &err));
    assert_int_equal(v.u, 0xc3);
}

/* The whole set goes away and comes back without a trace: regions, timers and lines included. */
static void test_realize_twice(void **state)
{
    struct hw *h = *state;
    static const char *const types[] = {
        "isa-debug-exit", "ioport80",   "port92",      "i8042",
        "isa-pit",        "isa-serial", "mc146818rtc", "isa-i8259"
    };
    for (unsigned i = 0; i < ARRAY_LEN(types); i++) {
        struct device *d = hw_device(h, types[i]);
        device_unrealize(d);
        hw_start(h, d);
        device_unrealize(d);
        assert_int_equal(h->m->io_ports.child_count, 0);
        assert_int_equal(clock_deadline(&h->m->virtual), CLOCK_NEVER);
        device_free(d);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        hw_test(test_debug_exit),
        hw_test(test_debug_exit_elsewhere),
        hw_test(test_port80),
        hw_test(test_realize_twice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
