/* System-bus devices: memory windows that the machine places, interrupt lines that it connects. */
#include "dev/sysbus.h"

#include "dev/machine.h"

#include <assert.h>

void sysbus_add_mmio(struct sysbus_device *s, struct region *region)
{
    assert(s->mmio_count < SYSBUS_MMIO_MAX);
    s->mmio[s->mmio_count++] = (struct sysbus_mmio){ .region = region };
}

void sysbus_init_irqs(struct sysbus_device *s, struct irq **lines, unsigned count)
{
    device_init_gpio_out(&s->dev, SYSBUS_IRQ, lines, count);
}

bool sysbus_map(struct sysbus_device *s, unsigned n, uint64_t addr, int priority, struct error *err)
{
    if (n >= s->mmio_count)
        return error_set(err, "%s has no memory window %u; it has %u, counted from 0",
                         device_name(&s->dev), n, s->mmio_count);
    struct sysbus_mmio *w = &s->mmio[n];
    if (addr > UINT64_MAX - w->region->last)
        return error_set(err,
                         "memory window %u of %s at 0x%llx, of 0x%llx bytes, would leave the "
                         "address space",
                         n, device_name(&s->dev), (unsigned long long)addr,
                         (unsigned long long)region_size(w->region));
    struct mem *mem = s->dev.machine->mem;
    mem_begin(mem);
    if (w->region->parent)
        region_remove(w->region);
    region_add(&s->dev.machine->system, addr, w->region, priority);
    w->addr = addr;
    w->mapped = true;
    mem_commit(mem);
    return true;
}

static void sysbus_unrealize(struct device *d)
{
    struct sysbus_device *s = CONTAINER_OF(d, struct sysbus_device, dev);
    for (unsigned i = 0; i < s->mmio_count; i++) {
        if (s->mmio[i].region->parent)
            region_remove(s->mmio[i].region);
        s->mmio[i] = (struct sysbus_mmio){ 0 };
    }
    s->mmio_count = 0;
}

const struct device_type sysbus_device_type = {
    .name = "sys-bus-device",
    .parent = "device",
    .desc = "a device wired straight to the machine's address spaces",
    .instance_size = sizeof(struct sysbus_device),
    .abstract = true,
    .bus_type = "System",
    .unrealize = sysbus_unrealize,
};
