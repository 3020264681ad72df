/* IRQ lines: one-bit wires with one sink.
 *
 * A source raises and lowers its line; the sink is told of every change of level (and only of
 * changes). Splitting and inverting are devices. A line can be tapped: the tap sees a change
 * first and may swallow it. All calls need the machine lock. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct device;

struct irq {
    void (*handler)(void *opaque, int n, bool level);
    void *opaque;
    int n; /* which input of the sink this is */
    bool level;
    bool driven;                 /* what its source drives, whatever the tap has swallowed */
    uint64_t rises;              /* how often it went high */
    const struct device *device; /* whose input it is; NULL: of no device */
    const char *unseen; /* why not all that drives it can be seen, and the remedy; NULL: it can */
    /* false: swallow the change. NULL: no tap */
    bool (*tap)(void *tap_opaque, struct irq *irq, bool level);
    void *tap_opaque;
};

void irq_init(struct irq *irq, void (*handler)(void *, int, bool), void *opaque, int n);

/* `irq` NULL: a source that is wired to nothing. */
void irq_set(struct irq *irq, bool level);

/* The line is at that level now, whatever drives it and past the tap: a fault of the wire. */
void irq_force(struct irq *irq, bool level);

static inline void irq_raise(struct irq *irq)
{
    irq_set(irq, true);
}

static inline void irq_lower(struct irq *irq)
{
    irq_set(irq, false);
}

/* An edge: up and down again. */
static inline void irq_pulse(struct irq *irq)
{
    irq_set(irq, true);
    irq_set(irq, false);
}
