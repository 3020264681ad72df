/* What tests of chips share: a machine with an ISA bus, port accesses, and cpus that only have
 * pins. */
#pragma once

#include "test_machine.h"

#include "dev/cpu_port.h"
#include "dev/isa.h"
#include "hw/types.h"

enum { FAKE_CPUS = 2 };

/* Remembers what its pins were told. Its TSC runs at 2 GHz. */
struct fake_cpu {
    struct cpu_port port;
    struct test_machine *t;
    bool intr, a20;
    unsigned nmis, smis, inits, startups;
    uint8_t startup_vector;
};

/* A line's sink that counts rising edges. */
struct probe {
    struct irq irq;
    bool level;
    unsigned rises;
};

struct hw {
    struct test_machine *t;
    struct machine *m;
    struct isa_bus isa;
    struct fake_cpu cpus[FAKE_CPUS];
    struct probe probe; /* here, because lines fall when devices go */
};

static inline struct fake_cpu *fake_cpu_of(struct cpu_port *p)
{
    return CONTAINER_OF(p, struct fake_cpu, port);
}

static inline void fake_intr(struct cpu_port *p, bool level)
{
    fake_cpu_of(p)->intr = level;
}

static inline void fake_nmi(struct cpu_port *p)
{
    fake_cpu_of(p)->nmis++;
}

static inline void fake_smi(struct cpu_port *p)
{
    fake_cpu_of(p)->smis++;
}

static inline void fake_init(struct cpu_port *p)
{
    fake_cpu_of(p)->inits++;
}

static inline void fake_startup(struct cpu_port *p, uint8_t vector)
{
    fake_cpu_of(p)->startups++;
    fake_cpu_of(p)->startup_vector = vector;
}

static inline void fake_a20(struct cpu_port *p, bool enabled)
{
    fake_cpu_of(p)->a20 = enabled;
}

static inline uint64_t fake_tsc(struct cpu_port *p)
{
    return (uint64_t)fake_cpu_of(p)->t->now * 2;
}

static inline int64_t fake_tsc_deadline_ns(struct cpu_port *p, uint64_t tsc)
{
    int64_t ns = (int64_t)((tsc + 1) / 2), now = fake_cpu_of(p)->t->now;
    return ns > now ? ns : now;
}

static const struct cpu_pins fake_pins = {
    .intr = fake_intr,
    .nmi = fake_nmi,
    .smi = fake_smi,
    .init = fake_init,
    .startup = fake_startup,
    .a20 = fake_a20,
    .tsc = fake_tsc,
    .tsc_deadline_ns = fake_tsc_deadline_ns,
};

static inline struct hw *hw_new(void)
{
    struct hw *h = calloc(1, sizeof *h);
    assert_non_null(h);
    h->t = test_machine_new(hw_types);
    h->m = &h->t->m;
    isa_bus_init(&h->isa, "isa.0", NULL, &h->m->io_ports);
    for (unsigned i = 0; i < FAKE_CPUS; i++) {
        h->cpus[i].t = h->t;
        h->cpus[i].port =
            (struct cpu_port){ .index = i, .apic_id = i, .bootstrap = i == 0, .pins = &fake_pins };
        h->m->cpus[i] = &h->cpus[i].port;
    }
    h->m->cpu_count = FAKE_CPUS;
    return h;
}

static inline void hw_free(struct hw *h)
{
    test_machine_free(h->t);
    isa_bus_fini(&h->isa);
    free(h);
}

/* Bring a device to life on the ISA bus (or on none, or the main one) and reset it. */
static inline void hw_start(struct hw *h, struct device *d)
{
    const char *bus = device_bus_type(d);
    test_realize(d, bus && !strcmp(bus, "ISA") ? &h->isa.bus : NULL);
    device_reset(d);
}

static inline struct device *hw_device(struct hw *h, const char *type)
{
    struct device *d = test_device(h->t, type, NULL);
    hw_start(h, d);
    return d;
}

static inline void hw_connect(struct device *d, const char *out, unsigned n, struct irq *irq)
{
    struct error err = { 0 };
    if (!device_connect_gpio_out(d, out, n, irq, &err))
        fail_msg("%s", err.text);
}

static inline struct irq *hw_input(struct device *d, const char *name, unsigned n)
{
    struct error err = { 0 };
    struct irq *irq = device_gpio_in(d, name, n, &err);
    if (!irq)
        fail_msg("%s", err.text);
    return irq;
}

static inline void hw_link(struct device *d, const char *name, struct device *to)
{
    struct error err = { 0 };
    struct prop_value v = { .type = VALUE_OBJECT, .object = to };
    if (!device_set_prop(d, name, v, &err))
        fail_msg("%s", err.text);
}

static inline void probe_set(void *opaque, int n, bool level)
{
    struct probe *p = opaque;
    p->rises += level && !p->level;
    p->level = level;
}

static inline struct irq *probe_init(struct probe *p)
{
    *p = (struct probe){ 0 };
    irq_init(&p->irq, probe_set, p, 0);
    return &p->irq;
}

static inline uint8_t inb(struct hw *h, uint16_t port)
{
    uint64_t v = 0;
    address_space_load(h->m->io, port, 1, &v);
    return (uint8_t)v;
}

static inline void outb(struct hw *h, uint16_t port, uint8_t value)
{
    address_space_store(h->m->io, port, 1, value);
}

static inline uint32_t readl(struct hw *h, uint64_t addr)
{
    uint64_t v = 0;
    address_space_load(h->m->memory, addr, 4, &v);
    return (uint32_t)v;
}

static inline void writel(struct hw *h, uint64_t addr, uint32_t value)
{
    address_space_store(h->m->memory, addr, 4, value);
}

static inline int hw_acknowledge(struct fake_cpu *c)
{
    assert_non_null(c->port.intc_ops);
    return c->port.intc_ops->acknowledge(c->port.intc);
}

static inline int hw_setup(void **state)
{
    *state = hw_new();
    return 0;
}

static inline int hw_teardown(void **state)
{
    hw_free(*state);
    return 0;
}

#define hw_test(f) cmocka_unit_test_setup_teardown(f, hw_setup, hw_teardown)
