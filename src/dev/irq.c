/* IRQ lines: told of changes only, through the tap if there is one. */
#include "dev/irq.h"

#include "dev/device.h"

enum { IRQ_RAISE, IRQ_LOWER };

static const struct trace_event irq_events[] = {
    [IRQ_RAISE] = { "irq.raise", "an input of a device goes up", { { "line", TRACE_DEC } } },
    [IRQ_LOWER] = { "irq.lower", "an input of a device goes down", { { "line", TRACE_DEC } } },
};
struct trace_table irq_trace = TRACE_TABLE(irq_events);

void irq_init(struct irq *irq, void (*handler)(void *, int, bool), void *opaque, int n)
{
    *irq = (struct irq){ .handler = handler, .opaque = opaque, .n = n };
}

void irq_set(struct irq *irq, bool level)
{
    if (!irq)
        return;
    irq->driven = level;
    /* A swallowed change has not happened: the line keeps the level that its sink knows. */
    if (irq->level != level && (!irq->tap || irq->tap(irq->tap_opaque, irq, level)))
        irq_force(irq, level);
}

void irq_force(struct irq *irq, bool level)
{
    if (irq->level == level)
        return;
    irq->level = level;
    irq->rises += level;
    if (irq->device)
        TRACE(irq_trace, level ? IRQ_RAISE : IRQ_LOWER, device_source(irq->device),
              (uint64_t)irq->n);
    if (irq->handler)
        irq->handler(irq->opaque, irq->n, level);
}
