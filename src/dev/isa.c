/* The ISA bus: ports in the I/O space, and lines that follow on to the interrupt controllers. */
#include "dev/isa.h"

#include <assert.h>

static void line_changed(void *opaque, int n, bool level)
{
    struct isa_bus *b = opaque;
    irq_set(b->irqs[n], level);
}

void isa_bus_init(struct isa_bus *b, const char *name, struct device *parent, struct region *io)
{
    *b = (struct isa_bus){ .io = io };
    bus_init(&b->bus, "ISA", name, parent);
    for (int i = 0; i < ISA_IRQS; i++)
        irq_init(&b->lines[i], line_changed, b, i);
}

void isa_bus_fini(struct isa_bus *b)
{
    bus_fini(&b->bus);
}

struct isa_bus *isa_bus_of(struct isa_device *d)
{
    return CONTAINER_OF(d->dev.parent_bus, struct isa_bus, bus);
}

void isa_map_ports(struct isa_device *d, struct region *region, uint16_t port)
{
    assert(d->port_count < ISA_PORTS_MAX);
    d->ports[d->port_count++] = region;
    region_add(isa_bus_of(d)->io, port, region, 0);
}

bool isa_connect_irq(struct isa_device *d, struct irq **line, int irq, struct error *err)
{
    if (irq < 0 || irq >= ISA_IRQS)
        return error_set(err, "%s: there is no ISA interrupt line %d; lines are 0 to %d",
                         device_name(&d->dev), irq, ISA_IRQS - 1);
    unsigned i = d->irqs[0] < 0 ? 0 : 1;
    assert(d->irqs[i] < 0);
    d->irqs[i] = irq;
    *line = &isa_bus_of(d)->lines[irq];
    return true;
}

static bool isa_init(struct device *dev, struct error *err)
{
    struct isa_device *d = CONTAINER_OF(dev, struct isa_device, dev);
    d->irqs[0] = d->irqs[1] = -1;
    return true;
}

static void isa_unrealize(struct device *dev)
{
    struct isa_device *d = CONTAINER_OF(dev, struct isa_device, dev);
    for (unsigned i = 0; i < d->port_count; i++)
        if (d->ports[i]->parent)
            region_remove(d->ports[i]);
    d->port_count = 0;
    for (unsigned i = 0; i < 2; i++) {
        if (d->irqs[i] >= 0)
            irq_lower(&isa_bus_of(d)->lines[d->irqs[i]]);
        d->irqs[i] = -1;
    }
}

const struct device_type isa_device_type = {
    .name = "isa-device",
    .parent = "device",
    .desc = "a device with I/O ports and up to two interrupt lines of the ISA bus",
    .instance_size = sizeof(struct isa_device),
    .abstract = true,
    .bus_type = "ISA",
    .init = isa_init,
    .unrealize = isa_unrealize,
};
