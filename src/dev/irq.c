/* IRQ lines: told of changes only, through the tap if there is one. */
#include "dev/irq.h"

#include <stddef.h>

void irq_init(struct irq *irq, void (*handler)(void *, int, bool), void *opaque, int n)
{
    *irq = (struct irq){ .handler = handler, .opaque = opaque, .n = n };
}

void irq_set(struct irq *irq, bool level)
{
    if (!irq || irq->level == level)
        return;
    /* A swallowed change has not happened: the line keeps the level that its sink knows. */
    if (irq->tap && !irq->tap(irq->tap_opaque, irq, level))
        return;
    irq->level = level;
    irq->rises += level;
    if (irq->handler)
        irq->handler(irq->opaque, irq->n, level);
}
