/* Debug exit, port 80, debugcon and the test device. */
#include "base/log.h"
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

static uint32_t in(struct hw *h, uint16_t port, unsigned size)
{
    uint64_t v = 0;
    address_space_load(h->m->io, port, size, &v);
    return (uint32_t)v;
}

static void out(struct hw *h, uint16_t port, unsigned size, uint32_t v)
{
    address_space_store(h->m->io, port, size, v);
}

static void test_testdev_ports(void **state)
{
    struct hw *h = *state;
    hw_device(h, "testdev");
    out(h, 0xe0, 4, 0x11223344);
    assert_int_equal(in(h, 0xe0, 4), 0x11223344);
    assert_int_equal(in(h, 0xe1, 1), 0x33);
    assert_int_equal(in(h, 0xe2, 2), 0x1122);
    out(h, 0xe2, 1, 0xaa);
    assert_int_equal(in(h, 0xe8, 4), 0x11aa3344); /* the same bits */
    out(h, 0xe8, 2, 0xbbcc);
    assert_int_equal(in(h, 0xe0, 4), 0x11aabbcc);
    uint64_t faults = log_guest_count();
    out(h, 0xe4, 4, 0x1000); /* there is no RAM in this machine */
    assert_int_equal(log_guest_count(), faults + 1);
    address_space_store(h->m->memory, 0xff000008, 8, 0x1122334455667788);
    assert_int_equal(readl(h, 0xff00000c), 0x11223344);
    address_space_store(h->m->memory, 0xff00ffff, 1, 0x5a);
    uint64_t v;
    address_space_load(h->m->memory, 0xff00ffff, 1, &v);
    assert_int_equal(v, 0x5a);
}

static void test_testdev_lines(void **state)
{
    struct hw *h = *state;
    struct device *d = hw_device(h, "pc-testdev");
    h->isa.irqs[5] = probe_init(&h->probe);
    outb(h, 0x2005, 1);
    assert_true(h->probe.level);
    outb(h, 0x2005, 0x80);
    outb(h, 0x2004, 0);
    assert_int_equal(h->probe.rises, 1);
    outb(h, 0x2005, 0);
    assert_false(h->probe.level);
    outb(h, 0x2005, 1);
    device_reset(d);
    assert_false(h->probe.level);
    outb(h, 0x2005, 1);
    device_unrealize(d);
    assert_false(h->probe.level);
    assert_int_equal(h->m->system.child_count, 0);
    hw_connect(d, "", 17, &h->probe.irq);
    hw_start(h, d);
    outb(h, 0x2011, 1);
    assert_true(h->probe.level);
    outb(h, 0x2011, 0);
}

static void test_debugcon_without_backend(void **state)
{
    struct hw *h = *state;
    hw_device(h, "isa-debugcon");
    outb(h, 0xe9, 'x');
    assert_int_equal(inb(h, 0xe9), 0xe9);
    struct device *other = test_device(h->t, "isa-debugcon", NULL);
    test_set(other, "iobase", "0x402");
    test_set(other, "readback", "0x55");
    hw_start(h, other);
    assert_int_equal(inb(h, 0x402), 0x55);
}

/* The whole set goes away and comes back without a trace: regions, timers and lines included. */
static void test_realize_twice(void **state)
{
    struct hw *h = *state;
    static const char *const types[] = { "isa-debug-exit", "ioport80",   "port92",      "i8042",
                                         "isa-pit",        "isa-serial", "mc146818rtc", "isa-i8259",
                                         "isa-debugcon",   "pc-testdev", "testdev" };
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
        hw_test(test_debug_exit),    hw_test(test_debug_exit_elsewhere),
        hw_test(test_port80),        hw_test(test_testdev_ports),
        hw_test(test_testdev_lines), hw_test(test_debugcon_without_backend),
        hw_test(test_realize_twice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
