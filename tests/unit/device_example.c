/* The example of docs/devices.md: a device in C, whole, and the test that it does what the document
 * says.
 *
 * `countdown` counts ticks down and raises its line at zero. It is no real chip. The document
 * quotes parts of this file; the last test checks that it quotes them word by word. */
#include "dev/reg.h"
#include "dev/sysbus.h"
#include "test_machine.h"

#include <stdio.h>

/* ---- registers ---- */

enum {
    COUNTDOWN_CTRL = 0x00,
    COUNTDOWN_CTRL_ENABLE = 1 << 0,
    COUNTDOWN_CTRL_IRQ = 1 << 1,
    COUNTDOWN_CTRL_PERIODIC = 1 << 2,
    COUNTDOWN_LOAD = 0x04,
    COUNTDOWN_COUNT = 0x08,
    COUNTDOWN_STATUS = 0x0c,
    COUNTDOWN_STATUS_EXPIRED = 1 << 0,
    COUNTDOWN_ID = 0x10,
    COUNTDOWN_REGISTERS = 5,
    COUNTDOWN_SIZE = 0x20,
};

/* ---- state ---- */

struct countdown {
    struct sysbus_device sys; /* the parent's struct comes first */
    struct region mmio;
    struct reg_bank regs;
    uint32_t values[COUNTDOWN_REGISTERS];
    struct timer timer; /* set while counting; its deadline is when the count is 0 */
    struct irq *irq;
    uint32_t tick_ns;
    bool stuck;
};

static struct countdown *countdown_of(struct device *d)
{
    return CONTAINER_OF(d, struct countdown, sys.dev);
}

static uint32_t *reg(struct countdown *c, uint32_t offset)
{
    return reg_bank_value(&c->regs, offset);
}

/* ---- interrupts and counting ---- */

static void update_irq(struct countdown *c)
{
    bool expired = *reg(c, COUNTDOWN_STATUS) & COUNTDOWN_STATUS_EXPIRED;
    irq_set(c->irq, expired && *reg(c, COUNTDOWN_CTRL) & COUNTDOWN_CTRL_IRQ);
}

/* Start from LOAD, or stand still. A load of 0 counts as 1: else a periodic countdown would expire
 * without end at one moment. */
static void restart(struct countdown *c)
{
    uint32_t load = *reg(c, COUNTDOWN_LOAD);
    if (!(*reg(c, COUNTDOWN_CTRL) & COUNTDOWN_CTRL_ENABLE) || c->stuck)
        timer_cancel(&c->timer);
    else
        timer_set(&c->timer, clock_now(c->timer.clock) + (int64_t)(load ? load : 1) * c->tick_ns);
}

static void expire(void *opaque)
{
    struct countdown *c = opaque;
    *reg(c, COUNTDOWN_STATUS) |= COUNTDOWN_STATUS_EXPIRED;
    if (*reg(c, COUNTDOWN_CTRL) & COUNTDOWN_CTRL_PERIODIC)
        restart(c);
    update_irq(c);
}

/* ---- what registers do beyond holding bits ---- */

static void write_ctrl(void *opaque, unsigned index, uint32_t written)
{
    restart(opaque);
    update_irq(opaque);
}

static uint32_t read_count(void *opaque, unsigned index)
{
    struct countdown *c = opaque;
    if (!timer_is_set(&c->timer))
        return 0;
    int64_t left = c->timer.deadline - clock_now(c->timer.clock);
    return left > 0 ? (uint32_t)((left + c->tick_ns - 1) / c->tick_ns) : 0;
}

static void write_status(void *opaque, unsigned index, uint32_t written)
{
    update_irq(opaque);
}

static const struct reg countdown_regs[COUNTDOWN_REGISTERS] = {
    { .name = "CTRL", .offset = COUNTDOWN_CTRL, .rw = 0x7, .write = write_ctrl },
    { .name = "LOAD", .offset = COUNTDOWN_LOAD, .rw = 0xffffffff },
    { .name = "COUNT", .offset = COUNTDOWN_COUNT, .ro = 0xffffffff, .read = read_count },
    { .name = "STATUS", .offset = COUNTDOWN_STATUS, .w1c = 0x1, .write = write_status },
    { .name = "ID", .offset = COUNTDOWN_ID, .ro = 0xffffffff, .reset = 0x434e5431 },
};

static uint64_t countdown_read(void *opaque, uint64_t offset, unsigned size)
{
    return reg_bank_read(&((struct countdown *)opaque)->regs, (uint32_t)offset);
}

static void countdown_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    reg_bank_write(&((struct countdown *)opaque)->regs, (uint32_t)offset, (uint32_t)value);
}

static const struct region_ops countdown_ops = {
    .read = countdown_read,
    .write = countdown_write,
    .valid = { .min = 4, .max = 4 },
    .impl = { .min = 4, .max = 4 },
};

/* ---- life ---- */

static bool countdown_realize(struct device *d, struct error *err)
{
    struct countdown *c = countdown_of(d);
    reg_bank_init(&c->regs, device_name(d), countdown_regs, COUNTDOWN_REGISTERS, COUNTDOWN_SIZE,
                  c->values, c);
    timer_init(&c->timer, &d->machine->virtual, expire, c);
    region_init_io(&c->mmio, d->machine->mem, "countdown", COUNTDOWN_SIZE, &countdown_ops, c);
    c->mmio.owner = d;
    sysbus_add_mmio(&c->sys, &c->mmio);
    sysbus_init_irqs(&c->sys, &c->irq, 1);
    return true;
}

static void countdown_unrealize(struct device *d)
{
    struct countdown *c = countdown_of(d);
    timer_cancel(&c->timer);
    region_fini(&c->mmio);
    reg_bank_fini(&c->regs);
}

static void countdown_reset(struct device *d)
{
    struct countdown *c = countdown_of(d);
    reg_bank_reset(&c->regs);
    timer_cancel(&c->timer);
    update_irq(c);
}

static bool stuck_changed(struct device *d, const struct prop *p, struct error *err)
{
    restart(countdown_of(d));
    return true;
}

static const struct prop countdown_props[] = {
    PROP(PROP_U32, struct countdown, tick_ns, "tick", "1000", "length of a tick in ns", .min = 1,
         .max = 1000000000),
    PROP(PROP_BOOL, struct countdown, stuck, "stuck", "false", "the count does not move",
         .live = true, .changed = stuck_changed),
    PROP_END,
};

static const struct state_field countdown_state[] = {
    STATE_ARRAY(STATE_KIND_U32, struct countdown, values),
    STATE_TIMER(struct countdown, timer),
    STATE_END,
};

const struct device_type countdown_type = {
    .name = "countdown",
    .parent = "sys-bus-device",
    .desc = "counts ticks down and raises its line at zero",
    .instance_size = sizeof(struct countdown),
    .props = countdown_props,
    .state = countdown_state,
    .realize = countdown_realize,
    .unrealize = countdown_unrealize,
    .reset = countdown_reset,
};

/* ---- the test ---- */

#define BASE 0xd0000000

static void sink(void *opaque, int n, bool level)
{
    *(bool *)opaque = level;
}

static uint32_t rd(struct test_machine *t, uint32_t offset)
{
    uint64_t v = 0;
    assert_int_equal(address_space_load(t->m.memory, BASE + offset, 4, &v), MEM_OK);
    return (uint32_t)v;
}

static void wr(struct test_machine *t, uint32_t offset, uint32_t value)
{
    assert_int_equal(address_space_store(t->m.memory, BASE + offset, 4, value), MEM_OK);
}

static void test_countdown(void **state)
{
    struct error err = { 0 };
    const struct device_type *const types[] = { &countdown_type, NULL };
    struct test_machine *t = test_machine_new(types);
    bool level = false;
    struct irq line;
    irq_init(&line, sink, &level, 0);

    struct device *d = device_new(&t->m, "countdown", "timer0", &err);
    assert_non_null(d);
    struct prop_value tick = { .type = VALUE_STRING, .s = "100" };
    assert_true(device_set_prop(d, "tick", tick, &err));
    assert_true(device_realize(d, NULL, &err));
    assert_true(sysbus_map((struct sysbus_device *)d, 0, BASE, 0, &err));
    assert_true(device_connect_gpio_out(d, SYSBUS_IRQ, 0, &line, &err));
    machine_reset_devices(&t->m);

    assert_int_equal(rd(t, COUNTDOWN_ID), 0x434e5431);
    wr(t, COUNTDOWN_LOAD, 50);
    wr(t, COUNTDOWN_CTRL, COUNTDOWN_CTRL_ENABLE | COUNTDOWN_CTRL_IRQ | COUNTDOWN_CTRL_PERIODIC);
    assert_int_equal(rd(t, COUNTDOWN_COUNT), 50);
    test_machine_advance(t, 4901);
    assert_int_equal(rd(t, COUNTDOWN_COUNT), 1);
    assert_false(level);
    test_machine_advance(t, 99);
    assert_true(level);
    assert_int_equal(rd(t, COUNTDOWN_COUNT), 50);
    wr(t, COUNTDOWN_STATUS, COUNTDOWN_STATUS_EXPIRED);
    assert_false(level);

    struct prop_value stuck = { .type = VALUE_BOOL, .b = true };
    assert_true(device_set_prop(d, "stuck", stuck, &err));
    test_machine_advance(t, 1000000);
    assert_false(level);
    assert_false(device_set_prop(d, "tick", tick, &err));
    stuck.b = false;
    assert_true(device_set_prop(d, "stuck", stuck, &err));
    wr(t, COUNTDOWN_LOAD, 0);
    wr(t, COUNTDOWN_CTRL, COUNTDOWN_CTRL_ENABLE | COUNTDOWN_CTRL_PERIODIC);
    test_machine_advance(t, 1000);
    assert_int_equal(rd(t, COUNTDOWN_STATUS), COUNTDOWN_STATUS_EXPIRED);
    assert_false(level);
    machine_reset_devices(&t->m);
    assert_int_equal(rd(t, COUNTDOWN_STATUS), 0);
    assert_int_equal(clock_deadline(&t->m.virtual), CLOCK_NEVER);
    test_machine_free(t);
}

static char *read_all(const char *path)
{
    FILE *f = fopen(path, "r");
    if (!f)
        fail_msg("cannot open %s", path);
    enum { MAX = 1 << 20 };
    char *text = calloc(1, MAX);
    assert_non_null(text);
    assert_true(fread(text, 1, MAX - 1, f) < MAX - 1);
    fclose(f);
    return text;
}

static void test_document_quotes_this_file(void **state)
{
    char path[4096];
    snprintf(path, sizeof path, "%.*s../../docs/devices.md",
             (int)(strrchr(__FILE__, '/') + 1 - __FILE__), __FILE__);
    char *document = read_all(path), *source = read_all(__FILE__);
    unsigned quotes = 0;
    for (char *at = document; (at = strstr(at, "\n```c\n"));) {
        at += 6;
        char *end = strstr(at, "\n```\n");
        assert_non_null(end);
        *end = 0;
        if (!strstr(source, at))
            fail_msg("devices.md quotes what is not in device_example.c:\n%s", at);
        at = end + 1;
        quotes++;
    }
    assert_true(quotes >= 5);
    free(source);
    free(document);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_countdown),
        cmocka_unit_test(test_document_quotes_this_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
