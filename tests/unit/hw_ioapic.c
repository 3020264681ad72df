/* The I/O APIC: registers, edge and level inputs, remote IRR and EOI, masks, and the message that
 * it sends. */
#include "base/log.h"
#include "dev/sysbus.h"
#include "hw_fixture.h"

enum { IOAPIC = 0xfec00000 };

/* Stands for the local APICs. */
struct sink {
    struct msi_sink msi;
    uint64_t addr;
    uint32_t data;
    unsigned count;
    /* The last route that it was told. */
    unsigned routes, gsi;
    uint64_t route_addr;
    uint32_t route_data;
};

struct ctx {
    struct hw *h;
    struct sink sink;
    struct device *dev;
};

static void deliver(void *opaque, uint64_t addr, uint32_t data)
{
    struct sink *s = opaque;
    s->addr = addr;
    s->data = data;
    s->count++;
}

static void route(void *opaque, unsigned gsi, uint64_t addr, uint32_t data)
{
    struct sink *s = opaque;
    s->routes++;
    s->gsi = gsi;
    s->route_addr = addr;
    s->route_data = data;
}

static int setup(void **state)
{
    struct ctx *c = calloc(1, sizeof *c);
    struct error err = { 0 };
    c->h = hw_new();
    c->sink.msi = (struct msi_sink){ .deliver = deliver, .route = route, .opaque = &c->sink };
    c->h->m->msi = &c->sink.msi;
    c->dev = hw_device(c->h, "ioapic");
    if (!sysbus_map((struct sysbus_device *)c->dev, 0, IOAPIC, 0, &err))
        fail_msg("%s", err.text);
    *state = c;
    return 0;
}

static int teardown(void **state)
{
    struct ctx *c = *state;
    hw_free(c->h);
    free(c);
    return 0;
}

static uint32_t reg_read(struct ctx *c, uint8_t reg)
{
    writel(c->h, IOAPIC, reg);
    return readl(c->h, IOAPIC + 0x10);
}

static void reg_write(struct ctx *c, uint8_t reg, uint32_t value)
{
    writel(c->h, IOAPIC, reg);
    writel(c->h, IOAPIC + 0x10, value);
}

static void line(struct ctx *c, unsigned pin, bool level)
{
    irq_set(hw_input(c->dev, "", pin), level);
}

static void test_registers(void **state)
{
    struct ctx *c = *state;
    assert_int_equal(reg_read(c, 1), 0x00170020);
    reg_write(c, 0, 0xff000000);
    assert_int_equal(reg_read(c, 0), 0x0f000000);
    assert_int_equal(reg_read(c, 2), 0x0f000000);
    assert_int_equal(reg_read(c, 0x10), 0x00010000);
    reg_write(c, 0x3e, 0xffffffff); /* the last pin */
    assert_int_equal(reg_read(c, 0x3e), 0x0001afff);
    reg_write(c, 0x3f, 0xffffffff);
    assert_int_equal(reg_read(c, 0x3f), 0xff000000);
    uint64_t guest_faults = log_guest_count();
    assert_int_equal(reg_read(c, 0x40), 0);
    reg_write(c, 0xff, 1);
    assert_int_equal(log_guest_count(), guest_faults + 2);
}

static void test_edge(void **state)
{
    struct ctx *c = *state;
    reg_write(c, 0x10 + 2 * 4 + 1, 0x03000000);
    reg_write(c, 0x10 + 2 * 4, 0x00000931); /* vector 31, logical, lowest priority */
    line(c, 4, true);
    assert_int_equal(c->sink.count, 1);
    assert_int_equal(c->sink.addr, 0xfee03004);
    assert_int_equal(c->sink.data, 0x131);
    line(c, 4, false);
    assert_int_equal(c->sink.count, 1);
    line(c, 4, true);
    assert_int_equal(c->sink.count, 2);
}

static void test_masked_edge_is_lost(void **state)
{
    struct ctx *c = *state;
    reg_write(c, 0x10, 0x10031);
    line(c, 0, true);
    reg_write(c, 0x10, 0x00031);
    assert_int_equal(c->sink.count, 0);
}

static void test_level(void **state)
{
    struct ctx *c = *state;
    reg_write(c, 0x10 + 2 * 10, 0x0000a042); /* level, low active */
    line(c, 10, true);
    assert_int_equal(c->sink.count, 1);
    assert_int_equal(c->sink.data, 0xc042);
    assert_int_equal(reg_read(c, 0x10 + 2 * 10), 0x0000e042); /* remote IRR */
    line(c, 10, false);
    line(c, 10, true);
    assert_int_equal(c->sink.count, 1); /* not before its EOI */
    machine_eoi(c->h->m, 0x41);
    assert_int_equal(c->sink.count, 1);
    machine_eoi(c->h->m, 0x42);
    assert_int_equal(c->sink.count, 2); /* still up: again */
    line(c, 10, false);
    machine_eoi(c->h->m, 0x42);
    assert_int_equal(c->sink.count, 2);
    assert_int_equal(reg_read(c, 0x10 + 2 * 10), 0x0000a042);
}

static void test_masked_level_waits(void **state)
{
    struct ctx *c = *state;
    reg_write(c, 0x10 + 2 * 10, 0x00018042);
    line(c, 10, true);
    assert_int_equal(c->sink.count, 0);
    reg_write(c, 0x10 + 2 * 10, 0x00008042);
    assert_int_equal(c->sink.count, 1);
    /* Software without an EOI broadcast: to edge and back clears the remote IRR. */
    reg_write(c, 0x10 + 2 * 10, 0x00010042);
    assert_int_equal(reg_read(c, 0x10 + 2 * 10), 0x00010042);
    reg_write(c, 0x10 + 2 * 10, 0x00008042);
    assert_int_equal(c->sink.count, 2);
}

/* Wires through the splitter reach both sinks. */
static void test_splitter(void **state)
{
    struct ctx *c = *state;
    struct device *s = test_device(c->h->t, "irq-splitter", NULL);
    test_set(s, "num-lines", "16");
    hw_start(c->h, s);
    hw_connect(s, "a", 5, probe_init(&c->h->probe));
    hw_connect(s, "b", 5, hw_input(c->dev, "", 5));
    reg_write(c, 0x10 + 2 * 5, 0x55);
    irq_raise(hw_input(s, "", 5));
    assert_true(c->h->probe.level);
    assert_int_equal(c->sink.data, 0x55);
}

/* Who delivers is told what a level-triggered input sends, masked or not, and nothing of edges. */
static void test_level_is_routed(void **state)
{
    struct ctx *c = *state;
    reg_write(c, 0x10 + 2 * 5, 0x55); /* edge */
    reg_write(c, 0x11 + 2 * 5, 0x03000000);
    assert_int_equal(c->sink.routes, 0);
    reg_write(c, 0x10 + 2 * 5, 0x18855); /* level, masked, logical */
    assert_int_equal(c->sink.routes, 1);
    assert_int_equal(c->sink.gsi, 5);
    assert_true(c->sink.route_addr == 0xfee03004);
    assert_int_equal(c->sink.route_data, 0xc055);
    reg_write(c, 0x10 + 2 * 5, 0x8855); /* the same message */
    assert_int_equal(c->sink.routes, 1);
    line(c, 5, true);
    assert_true(c->sink.addr == c->sink.route_addr && c->sink.data == c->sink.route_data);
    reg_write(c, 0x11 + 2 * 5, 0x01000000);
    assert_int_equal(c->sink.routes, 2);
    assert_true(c->sink.route_addr == 0xfee01004);
    device_reset(c->dev);
    assert_int_equal(c->sink.routes, 3);
    assert_int_equal(c->sink.gsi, 5);
    assert_true(c->sink.route_addr == 0);
}

/* What is no vector is an edge, even with the level bit: nobody ends it. */
static void test_level_bit_of_nmi(void **state)
{
    struct ctx *c = *state;
    static const uint8_t modes[] = { 2, 4, 5, 7 };
    for (unsigned i = 0; i < ARRAY_LEN(modes); i++) {
        unsigned count = c->sink.count;
        reg_write(c, 0x10 + 2 * 6, 0x8000 | modes[i] << 8);
        line(c, 6, true);
        assert_int_equal(c->sink.count, count + 1);
        assert_int_equal(c->sink.data, modes[i] << 8);
        assert_int_equal(reg_read(c, 0x10 + 2 * 6), 0x8000 | modes[i] << 8); /* no remote IRR */
        line(c, 6, false);
        line(c, 6, true);
        assert_int_equal(c->sink.count, count + 2);
        line(c, 6, false);
    }
    assert_int_equal(c->sink.routes, 0);
    reg_write(c, 0x10 + 2 * 6, 0x8155); /* lowest priority has levels */
    line(c, 6, true);
    assert_int_equal(c->sink.data, 0xc155);
    assert_int_equal(reg_read(c, 0x10 + 2 * 6), 0xc155);
}

/* Only what is written to the window at 0x10 and to EOI does anything; the rest of the page reads
 * 0. */
static void test_page(void **state)
{
    struct ctx *c = *state;
    reg_write(c, 0x10 + 2 * 6, 0x8055);
    line(c, 6, true);
    for (unsigned offset = 0x20; offset < 0x1000; offset += 4) {
        assert_int_equal(readl(c->h, IOAPIC + offset), 0);
        if (offset != 0x40)
            writel(c->h, IOAPIC + offset, 0x55);
    }
    assert_int_equal(reg_read(c, 0x10 + 2 * 6), 0xc055);
    writel(c->h, IOAPIC + 0x40, 0x55);
    assert_int_equal(c->sink.count, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_registers, setup, teardown),
        cmocka_unit_test_setup_teardown(test_edge, setup, teardown),
        cmocka_unit_test_setup_teardown(test_masked_edge_is_lost, setup, teardown),
        cmocka_unit_test_setup_teardown(test_level, setup, teardown),
        cmocka_unit_test_setup_teardown(test_masked_level_waits, setup, teardown),
        cmocka_unit_test_setup_teardown(test_splitter, setup, teardown),
        cmocka_unit_test_setup_teardown(test_level_is_routed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_level_bit_of_nmi, setup, teardown),
        cmocka_unit_test_setup_teardown(test_page, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
