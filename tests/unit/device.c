/* Devices: types, the order of the chain, rollback, lines, buses, reset order, ids, paths. */
#include "dev/device.h"

#include "dev/isa.h"
#include "dev/sysbus.h"
#include "test_machine.h"

#include <stdio.h>

/* ---- what happened, in order ---- */

static char events[1024];

static void note(const char *what, const struct device *d)
{
    size_t at = strlen(events);
    snprintf(events + at, sizeof events - at, "%s%s:%s", at ? " " : "", what,
             d->id ? d->id : d->type->name);
}

static void expect_events(const char *expected)
{
    assert_string_equal(events, expected);
    events[0] = 0;
}

/* ---- types: a three-level chain, whose levels fail on demand, and a bus provider ---- */

struct node {
    struct device dev;
    struct irq *out[2];
    unsigned in_calls;
    int last_in;
};

static const char *fail_at;

static bool step(const char *what, struct device *d, struct error *err)
{
    note(what, d);
    return !fail_at || strcmp(fail_at, what) || error_set(err, "%s failed", what);
}

static void input(void *opaque, int n, bool level)
{
    struct node *node = opaque;
    node->in_calls++;
    node->last_in = n;
}

#define LEVEL(NAME)                                                 \
    static bool NAME##_init(struct device *d, struct error *err)    \
    {                                                               \
        return step(#NAME "+", d, err);                             \
    }                                                               \
    static bool NAME##_realize(struct device *d, struct error *err) \
    {                                                               \
        return step(#NAME "^", d, err);                             \
    }                                                               \
    static void NAME##_unrealize(struct device *d)                  \
    {                                                               \
        note(#NAME "v", d);                                         \
    }                                                               \
    static void NAME##_reset(struct device *d)                      \
    {                                                               \
        note(#NAME "0", d);                                         \
    }                                                               \
    static void NAME##_finalize(struct device *d)                   \
    {                                                               \
        note(#NAME "-", d);                                         \
    }

LEVEL(a)
LEVEL(b)
LEVEL(c)

static bool c_realize_with_lines(struct device *d, struct error *err)
{
    device_init_gpio_in(d, "", input, 2);
    device_init_gpio_out(d, "out", ((struct node *)d)->out, 2);
    return c_realize(d, err);
}

static const int ops_of_a = 1, ops_of_b = 2, ops_of_c = 3;
static const struct interface interfaces_a[] = { { "x", &ops_of_a }, { "y", &ops_of_a }, { NULL } };
static const struct interface interfaces_b[] = { { "x", &ops_of_b }, { NULL } };
static const struct interface interfaces_c[] = { { "z", &ops_of_c }, { NULL } };

#define HOOKS(NAME, REALIZE)                                                                       \
    .init = NAME##_init, .realize = REALIZE, .unrealize = NAME##_unrealize, .reset = NAME##_reset, \
    .finalize = NAME##_finalize, .interfaces = interfaces_##NAME

static const struct device_type type_a = {
    .name = "a", .parent = "device", .instance_size = sizeof(struct node), HOOKS(a, a_realize)
};
static const struct device_type type_b = {
    .name = "b", .parent = "a", .instance_size = sizeof(struct node), HOOKS(b, b_realize)
};
static const struct device_type type_c = {
    .name = "c", .parent = "b", .instance_size = sizeof(struct node), HOOKS(c, c_realize_with_lines)
};

struct hub {
    struct sysbus_device sys;
    struct isa_bus isa;
    struct region window;
    struct irq *irq[1];
};

static bool hub_realize(struct device *d, struct error *err)
{
    struct hub *h = (struct hub *)d;
    isa_bus_init(&h->isa, "isa.0", d, &d->machine->io_ports);
    region_init_container(&h->window, d->machine->mem, "window", 0x1000);
    sysbus_add_mmio(&h->sys, &h->window);
    sysbus_init_irqs(&h->sys, h->irq, 1);
    return true;
}

static void hub_unrealize(struct device *d)
{
    struct hub *h = (struct hub *)d;
    note("hub-v", d);
    region_fini(&h->window);
    isa_bus_fini(&h->isa);
}

static void hub_reset(struct device *d)
{
    note("reset", d);
}

static const struct device_type type_hub = {
    .name = "hub",
    .parent = "sys-bus-device",
    .instance_size = sizeof(struct hub),
    .realize = hub_realize,
    .unrealize = hub_unrealize,
    .reset = hub_reset,
};

struct card {
    struct isa_device isa;
    struct region ports;
    struct irq *irq;
    int32_t irq_number;
};

static uint64_t card_read(void *opaque, uint64_t offset, unsigned size)
{
    return 0x5a;
}

static void card_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
}

static const struct region_ops card_ops = { .read = card_read, .write = card_write };

static bool card_realize(struct device *d, struct error *err)
{
    struct card *c = (struct card *)d;
    if (!isa_connect_irq(&c->isa, &c->irq, c->irq_number, err))
        return false;
    region_init_io(&c->ports, d->machine->mem, "card", 4, &card_ops, c);
    isa_map_ports(&c->isa, &c->ports, 0x300);
    return true;
}

static void card_unrealize(struct device *d)
{
    note("card-v", d);
    region_fini(&((struct card *)d)->ports);
}

static void card_reset(struct device *d)
{
    note("reset", d);
}

static const struct prop card_props[] = {
    PROP(PROP_I32, struct card, irq_number, "irq", "4", "line"),
    PROP_END,
};

static const struct device_type type_card = {
    .name = "card",
    .parent = "isa-device",
    .instance_size = sizeof(struct card),
    .props = card_props,
    .realize = card_realize,
    .unrealize = card_unrealize,
    .reset = card_reset,
};

static const struct device_type *const types[] = { &type_a,   &type_b,    &type_c,
                                                   &type_hub, &type_card, NULL };

static struct test_machine *t;
static struct error err;

static int setup(void **state)
{
    t = test_machine_new(types);
    events[0] = 0;
    fail_at = NULL;
    err = (struct error){ 0 };
    return 0;
}

static int teardown(void **state)
{
    test_machine_free(t);
    return 0;
}

/* ---- types ---- */

static void test_registry(void **state)
{
    struct type_registry *r = t->m.types;
    const char *before = "";
    unsigned n = 0;
    for (const struct device_type *y = type_next(r, NULL); y; y = type_next(r, y), n++) {
        assert_true(strcmp(before, y->name) < 0);
        before = y->name;
    }
    assert_int_equal(n, 10); /* the five of this test and the five that are always there */
    assert_true(type_is_a(r, &type_c, "a"));
    assert_true(type_is_a(r, &type_c, "device"));
    assert_false(type_is_a(r, &type_a, "c"));
    assert_null(type_find(r, "hubb", &err));
    assert_contains(err.text, "did you mean 'hub'");
}

static void test_registry_refuses(void **state)
{
    struct type_registry *r = t->m.types;
    struct device_type y = type_a;
    assert_false(type_register(r, &y, &err));
    assert_contains(err.text, "exists already");
    y = (struct device_type){ .name = "new", .parent = "devise", .instance_size = 4096 };
    assert_false(type_register(r, &y, &err));
    assert_contains(err.text, "did you mean 'device'");
    y = (struct device_type){ .name = "new", .parent = "a", .instance_size = 8 };
    assert_false(type_register(r, &y, &err));
    assert_contains(err.text, "smaller");
    y = (struct device_type){ .name = "new", .instance_size = 4096 };
    assert_false(type_register(r, &y, &err));
    assert_contains(err.text, "no parent");
    static struct device_type chain[DEVICE_CHAIN_MAX];
    static const char *const names[] = { "n0", "n1", "n2", "n3", "n4", "n5", "n6", "n7" };
    for (int i = 0; i < DEVICE_CHAIN_MAX; i++) {
        chain[i] = (struct device_type){ .name = names[i],
                                         .parent = i ? names[i - 1] : "device",
                                         .instance_size = sizeof(struct device) };
        assert_int_equal(type_register(r, &chain[i], &err), i < DEVICE_CHAIN_MAX - 1);
    }
    assert_contains(err.text, "levels of inheritance");
    test_realize(test_device(t, "n6", NULL), NULL);
}

static void test_abstract(void **state)
{
    assert_null(device_new(&t->m, "isa-device", NULL, &err));
    assert_contains(err.text, "abstract");
    assert_null(t->m.devices);
}

static void test_interfaces(void **state)
{
    struct device *d = test_device(t, "c", NULL);
    assert_ptr_equal(device_interface(d, "x"), &ops_of_b);
    assert_ptr_equal(device_interface(d, "y"), &ops_of_a);
    assert_ptr_equal(device_interface(d, "z"), &ops_of_c);
    assert_null(device_interface(d, "w"));
    assert_true(device_is_a(d, "b"));
    assert_false(device_is_a(d, "isa-device"));
}

/* ---- lifecycle ---- */

static void test_order_of_a_life(void **state)
{
    struct device *d = test_device(t, "c", "d");
    expect_events("a+:d b+:d c+:d");
    test_realize(d, NULL);
    expect_events("a^:d b^:d c^:d");
    assert_false(device_realize(d, NULL, &err));
    assert_contains(err.text, "realized already");
    device_reset(d);
    expect_events("a0:d b0:d c0:d");
    device_unrealize(d);
    device_unrealize(d);
    expect_events("cv:d bv:d av:d");
    device_reset(d);
    expect_events("");
    test_realize(d, NULL);
    events[0] = 0;
    device_free(d);
    expect_events("cv:d bv:d av:d c-:d b-:d a-:d");
    assert_null(t->m.devices);
}

static void test_realize_rolls_back(void **state)
{
    struct device *d = test_device(t, "c", "d");
    static const struct {
        const char *at, *events;
    } cases[] = { { "a^", "a^:d" },
                  { "b^", "a^:d b^:d av:d" },
                  { "c^", "a^:d b^:d c^:d bv:d av:d" } };
    for (size_t i = 0; i < 3; i++) {
        events[0] = 0;
        fail_at = cases[i].at;
        assert_false(device_realize(d, NULL, &err));
        assert_contains(err.text, "failed");
        expect_events(cases[i].events);
        assert_false(d->realized);
        assert_null(d->path);
        assert_null(d->gpios);
    }
    fail_at = NULL;
    test_realize(d, NULL);
    assert_string_equal(d->path, "/machine/peripheral/d");
}

static void test_init_rolls_back(void **state)
{
    fail_at = "b+";
    assert_null(device_new(&t->m, "c", "d", &err));
    expect_events("a+:d b+:d a-:d");
    assert_null(t->m.devices);
    fail_at = NULL;
    assert_non_null(device_new(&t->m, "c", "d", &err)); /* the id is free again */
}

static void test_failure_leaves_the_bus(void **state)
{
    struct hub *h = (struct hub *)test_device(t, "hub", NULL);
    test_realize(&h->sys.dev, NULL);
    struct device *c = test_device(t, "card", NULL);
    test_set(c, "irq", "16");
    assert_false(device_realize(c, &h->isa.bus, &err));
    assert_contains(err.text, "lines are 0 to 15");
    assert_int_equal(h->isa.bus.device_count, 0);
    assert_null(c->parent_bus);
    test_set(c, "irq", "5");
    test_realize(c, &h->isa.bus);
    assert_int_equal(((struct card *)c)->isa.irqs[0], 5);
}

static void test_buses(void **state)
{
    struct device *h = test_device(t, "hub", NULL), *c = test_device(t, "card", NULL);
    struct device *a = test_device(t, "a", NULL);
    assert_string_equal(device_bus_type(c), "ISA");
    assert_false(device_realize(c, NULL, &err));
    assert_contains(err.text, "needs a bus of type ISA");
    assert_false(device_realize(c, &t->m.main_bus, &err));
    assert_contains(err.text, "needs a bus of type ISA, but 'main-system-bus' is of type System");
    assert_false(device_realize(a, &t->m.main_bus, &err));
    assert_contains(err.text, "sits on no bus");
    test_realize(h, NULL);
    assert_ptr_equal(h->parent_bus, &t->m.main_bus);
    assert_int_equal(h->bus_count, 1);
    test_realize(c, h->buses[0]);
    events[0] = 0;
    device_free(h); /* takes what sits on it off first */
    expect_events("card-v:card hub-v:hub");
    assert_false(c->realized);
    assert_int_equal(t->m.main_bus.device_count, 0);
}

static void test_reset_order(void **state)
{
    struct device *c1 = test_device(t, "card", "c1"), *h1 = test_device(t, "hub", "h1");
    struct device *h2 = test_device(t, "hub", "h2"), *c2 = test_device(t, "card", "c2");
    struct device *idle = test_device(t, "hub", "idle");
    assert_false(idle->realized);
    test_realize(h2, NULL);
    test_realize(h1, NULL);
    test_realize(c2, h1->buses[0]);
    test_realize(c1, h1->buses[0]);
    events[0] = 0;
    machine_reset_devices(&t->m);
    expect_events("reset:c2 reset:c1 reset:h1 reset:h2");
}

/* ---- names ---- */

static void test_ids_and_paths(void **state)
{
    struct device *d[4] = { test_device(t, "a", NULL), test_device(t, "a", NULL),
                            test_device(t, "b", NULL), test_device(t, "a", "dev.1") };
    assert_string_equal(device_name(d[3]), "a 'dev.1'");
    assert_string_equal(device_name(d[0]), "a");
    test_realize(d[1], NULL);
    test_realize(d[0], NULL);
    test_realize(d[2], NULL);
    test_realize(d[3], NULL);
    assert_string_equal(d[1]->path, "/machine/unattached/a[0]");
    assert_string_equal(d[0]->path, "/machine/unattached/a[1]");
    assert_string_equal(d[2]->path, "/machine/unattached/b[0]");
    assert_string_equal(device_name(d[3]), "/machine/peripheral/dev.1");
    assert_null(device_new(&t->m, "b", "dev.1", &err));
    assert_contains(err.text, "taken by a device of type a");
    static const char *const bad[] = { "", "1a", "a/b", "a b", "-x" };
    for (size_t i = 0; i < 5; i++)
        assert_null(device_new(&t->m, "a", bad[i], &err));
}

static void test_find(void **state)
{
    struct device *a = test_device(t, "a", NULL), *b = test_device(t, "a", "uart0");
    assert_ptr_equal(device_find(&t->m, "uart0", &err), b);
    test_realize(a, NULL);
    test_realize(b, NULL);
    assert_ptr_equal(device_find(&t->m, "/machine/unattached/a[0]", &err), a);
    assert_ptr_equal(device_find(&t->m, "a[0]", &err), a);
    assert_ptr_equal(device_find(&t->m, "/machine/peripheral/uart0", &err), b);
    assert_null(device_find(&t->m, "uart1", &err));
    assert_contains(err.text, "did you mean 'uart0'");
    assert_null(device_find(&t->m, "/machine/unattached/a[7]", &err));
    assert_contains(err.text, "did you mean '/machine/unattached/a[0]'");
    assert_null(device_find(&t->m, "", &err));
}

/* ---- lines ---- */

static void test_gpio(void **state)
{
    struct node *from = (struct node *)test_device(t, "c", "from");
    struct node *to = (struct node *)test_device(t, "c", "to");
    test_realize(&from->dev, NULL);
    test_realize(&to->dev, NULL);
    device_init_gpio_in(&to->dev, "", input, 1); /* one more: number 2 */
    struct irq *in = device_gpio_in(&to->dev, "", 2, &err);
    assert_non_null(in);
    assert_true(device_connect_gpio_out(&from->dev, "out", 1, in, &err));
    irq_raise(from->out[1]);
    assert_int_equal(to->in_calls, 1);
    assert_int_equal(to->last_in, 2);
    assert_false(
        device_connect_gpio_out(&from->dev, "out", 1, device_gpio_in(&to->dev, "", 0, &err), &err));
    assert_contains(err.text, "another line already");
    assert_true(device_connect_gpio_out(&from->dev, "out", 1, NULL, &err));
    assert_int_equal(to->in_calls, 2); /* pulled out while high: it falls */
    assert_null(from->out[1]);
    assert_null(device_gpio_in(&to->dev, "", 3, &err));
    assert_contains(err.text, "there are 3");
    assert_null(device_gpio_in(&to->dev, "inn", 0, &err));
    assert_false(device_connect_gpio_out(&from->dev, "oat", 0, in, &err));
    assert_contains(err.text, "did you mean 'out'");
}

static void test_lines_of_the_gone(void **state)
{
    struct node *from = (struct node *)test_device(t, "c", "from");
    struct node *to = (struct node *)test_device(t, "c", "to");
    test_realize(&from->dev, NULL);
    test_realize(&to->dev, NULL);
    struct irq *in = device_gpio_in(&to->dev, "", 0, &err);
    assert_true(device_connect_gpio_out(&from->dev, "out", 0, in, &err));
    device_free(&to->dev);
    assert_null(from->out[0]);
    irq_raise(in); /* a pointer that somebody kept: leads nowhere, but is not freed */
    struct node *again = (struct node *)test_device(t, "c", "to");
    test_realize(&again->dev, NULL);
    in = device_gpio_in(&again->dev, "", 0, &err);
    assert_true(device_connect_gpio_out(&from->dev, "out", 0, in, &err));
    irq_raise(from->out[0]);
    device_unrealize(&from->dev); /* lets go of what it drives */
    assert_int_equal(again->in_calls, 2);
    assert_false(in->level);
}

/* ---- the two simple buses ---- */

static void test_sysbus_windows(void **state)
{
    struct hub *h = (struct hub *)test_device(t, "hub", NULL);
    test_realize(&h->sys.dev, NULL);
    assert_false(sysbus_map(&h->sys, 1, 0, 0, &err));
    assert_contains(err.text, "no memory window 1");
    assert_false(sysbus_map(&h->sys, 0, UINT64_MAX - 0xffe, 0, &err));
    assert_contains(err.text, "leave the address space");
    assert_true(sysbus_map(&h->sys, 0, 0xfec00000, 0, &err));
    assert_true(sysbus_map(&h->sys, 0, 0xfed00000, 5, &err));
    assert_ptr_equal(h->window.parent, &t->m.system);
    assert_int_equal(h->window.addr, 0xfed00000);
    assert_int_equal(h->window.priority, 5);
    device_unrealize(&h->sys.dev);
    assert_int_equal(t->m.system.child_count, 0);
    assert_int_equal(h->sys.mmio_count, 0);
}

static void count_edges(void *opaque, int n, bool level)
{
    (*(unsigned *)opaque)++;
}

static void test_isa(void **state)
{
    struct hub *h = (struct hub *)test_device(t, "hub", NULL);
    struct card *c = (struct card *)test_device(t, "card", NULL);
    test_realize(&h->sys.dev, NULL);
    test_realize(&c->isa.dev, &h->isa.bus);
    uint64_t v = 0;
    assert_int_equal(address_space_load(t->m.io, 0x302, 1, &v), MEM_OK);
    assert_int_equal(v, 0x5a);
    unsigned edges = 0;
    struct irq pic;
    irq_init(&pic, count_edges, &edges, 4);
    h->isa.irqs[4] = &pic; /* wired after the card was */
    irq_raise(c->irq);
    assert_int_equal(edges, 1);
    device_unrealize(&c->isa.dev);
    assert_int_equal(edges, 2);
    assert_int_equal(address_space_load(t->m.io, 0x302, 1, &v), MEM_OK);
    assert_int_equal(v, 0xff); /* nobody there: the bus floats */
}

/* ---- the machine ---- */

static void test_machine_roots(void **state)
{
    uint64_t v = 0;
    address_space_load(t->m.io, 0x1234, 4, &v);
    assert_int_equal(v, 0xffffffff);
    address_space_store(t->m.io, 0xffff, 1, 0);
    assert_string_equal(address_space_name(t->m.memory), "memory");
    assert_string_equal(address_space_name(t->m.io), "I/O");
    assert_string_equal(t->m.system.name, "system");
    assert_string_equal(t->m.io_ports.name, "io");
    assert_true(region_size(&t->m.system) == REGION_SIZE_ALL);
    assert_int_equal(region_size(&t->m.io_ports), 65536);
}

static void test_machine_end(void **state)
{
    struct test_machine *own = test_machine_new(types);
    struct device *h = test_device(own, "hub", "h"), *c = test_device(own, "card", "c");
    test_realize(h, NULL);
    test_realize(c, h->buses[0]);
    test_device(own, "a", "never");
    events[0] = 0;
    test_machine_free(own);
    expect_events("card-v:c hub-v:h a-:never");
}

static unsigned eois;

static void count_eoi(void *opaque, unsigned vector)
{
    eois += vector;
    if (opaque)
        machine_remove_eoi_listener(&t->m, opaque);
}

static void test_eoi_listeners(void **state)
{
    struct eoi_listener once = { .eoi = count_eoi, .opaque = &once };
    struct eoi_listener always = { .eoi = count_eoi };
    eois = 0;
    machine_add_eoi_listener(&t->m, &once);
    machine_add_eoi_listener(&t->m, &always);
    machine_eoi(&t->m, 0x30);
    assert_int_equal(eois, 0x60);
    machine_eoi(&t->m, 1);
    assert_int_equal(eois, 0x61);
    machine_remove_eoi_listener(&t->m, &always);
    machine_eoi(&t->m, 1);
    assert_int_equal(eois, 0x61);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_registry),
        TEST(test_registry_refuses),
        TEST(test_abstract),
        TEST(test_interfaces),
        TEST(test_order_of_a_life),
        TEST(test_realize_rolls_back),
        TEST(test_init_rolls_back),
        TEST(test_failure_leaves_the_bus),
        TEST(test_buses),
        TEST(test_reset_order),
        TEST(test_ids_and_paths),
        TEST(test_find),
        TEST(test_gpio),
        TEST(test_lines_of_the_gone),
        TEST(test_sysbus_windows),
        TEST(test_isa),
        TEST(test_machine_roots),
        TEST(test_machine_end),
        TEST(test_eoi_listeners),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
