/* Two local APICs with fake cpus, and what those do: page accesses, MSRs, acknowledge. */
#pragma once

#include "hw_fixture.h"

enum {
    APIC = 0xfee00000,
    ID = 0x20,
    VERSION = 0x30,
    TPR = 0x80,
    PPR = 0xa0,
    EOI = 0xb0,
    LDR = 0xd0,
    DFR = 0xe0,
    SVR = 0xf0,
    ISR = 0x100,
    TMR = 0x180,
    IRR = 0x200,
    ESR = 0x280,
    ICR = 0x300,
    ICR_HIGH = 0x310,
    LVT_TIMER = 0x320,
    LVT_LINT0 = 0x350,
    LVT_LINT1 = 0x360,
    LVT_ERROR = 0x370,
    INITIAL = 0x380,
    CURRENT = 0x390,
    DIVIDE = 0x3e0,
    MASK = 0x10000,
    MSR_DEADLINE = 0x6e0,
    MSR_X2 = 0x800,
};

struct apics {
    struct hw *h;
    struct device *dev[FAKE_CPUS];
};

/* By cpu `n` to its own APIC. */
static inline uint32_t rd(struct apics *a, unsigned n, unsigned reg)
{
    a->h->m->current_cpu = &a->h->cpus[n].port;
    uint32_t v = readl(a->h, APIC + reg);
    a->h->m->current_cpu = NULL;
    return v;
}

static inline void wr(struct apics *a, unsigned n, unsigned reg, uint32_t value)
{
    a->h->m->current_cpu = &a->h->cpus[n].port;
    writel(a->h, APIC + reg, value);
    a->h->m->current_cpu = NULL;
}

static inline struct fake_cpu *cpu(struct apics *a, unsigned n)
{
    return &a->h->cpus[n];
}

static inline int ack(struct apics *a, unsigned n)
{
    return hw_acknowledge(cpu(a, n));
}

static inline bool rdmsr(struct apics *a, unsigned n, uint32_t msr, uint64_t *v)
{
    return cpu(a, n)->port.apic_ops->read_msr(a->dev[n], msr, v);
}

static inline bool wrmsr(struct apics *a, unsigned n, uint32_t msr, uint64_t v)
{
    return cpu(a, n)->port.apic_ops->write_msr(a->dev[n], msr, v);
}

static inline bool set_base(struct apics *a, unsigned n, uint64_t v)
{
    return cpu(a, n)->port.apic_ops->set_base(a->dev[n], v);
}

static inline void msi(struct apics *a, uint64_t addr, uint32_t data)
{
    machine_deliver_msi(a->h->m, addr, data);
}

static inline int setup(void **state)
{
    struct apics *a = calloc(1, sizeof *a);
    a->h = hw_new();
    for (unsigned n = 0; n < FAKE_CPUS; n++) {
        a->dev[n] = test_device(a->h->t, "apic", NULL);
        test_set(a->dev[n], "cpu", n ? "1" : "0");
        hw_start(a->h, a->dev[n]);
        wr(a, n, SVR, 0x1ff);
    }
    *state = a;
    return 0;
}

static inline int teardown(void **state)
{
    struct apics *a = *state;
    hw_free(a->h);
    free(a);
    return 0;
}

#define apic_test(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
