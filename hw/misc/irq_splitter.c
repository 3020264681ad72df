/* irq-splitter: N wires in, each going on to two sinks. Input n drives outputs "a" n and "b" n.
 *
 * A PC's ISA interrupt lines reach both the 8259A pair and the I/O APIC this way. */
#include "dev/device.h"

enum { IRQ_SPLITTER_LINES_MAX = 64 };

struct irq_splitter {
    struct device dev;
    uint32_t num_lines;
    struct irq *a[IRQ_SPLITTER_LINES_MAX], *b[IRQ_SPLITTER_LINES_MAX];
};

static void irq_splitter_set(void *opaque, int n, bool level)
{
    struct irq_splitter *s = opaque;
    irq_set(s->a[n], level);
    irq_set(s->b[n], level);
}

static bool irq_splitter_realize(struct device *d, struct error *err)
{
    struct irq_splitter *s = (struct irq_splitter *)d;
    device_init_gpio_in(d, "", irq_splitter_set, s->num_lines);
    device_init_gpio_out(d, "a", s->a, s->num_lines);
    device_init_gpio_out(d, "b", s->b, s->num_lines);
    return true;
}

static const struct prop irq_splitter_props[] = {
    PROP(PROP_U32, struct irq_splitter, num_lines, "num-lines", "1", "wires", .min = 1,
         .max = IRQ_SPLITTER_LINES_MAX),
    PROP_END,
};

static const struct state_field irq_splitter_state[] = { STATE_END };

const struct device_type irq_splitter_type = {
    .name = "irq-splitter",
    .parent = "device",
    .desc = "each input wire goes on to two sinks",
    .instance_size = sizeof(struct irq_splitter),
    .props = irq_splitter_props,
    .state = irq_splitter_state,
    .realize = irq_splitter_realize,
};
