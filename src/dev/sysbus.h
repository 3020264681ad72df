/* System-bus devices: those wired straight to the machine's address spaces. */
#pragma once

#include "dev/device.h"
#include "mem/region.h"

enum { SYSBUS_MMIO_MAX = 8, SYSBUS_PIO_MAX = 8 };

struct sysbus_device {
    struct device dev;
    struct sysbus_mmio {
        struct region *region;
        uint64_t addr;
        bool mapped;
    } mmio[SYSBUS_MMIO_MAX];
    unsigned mmio_count;
};

extern const struct device_type sysbus_device_type; /* "sys-bus-device", bus type "System" */

/* In realize: the next memory window of the device; `region` stays embedded in the device's
 * state. It is unmapped at unrealize, after the device's own unrealize, which may have finished
 * it already. */
void sysbus_add_mmio(struct sysbus_device *s, struct region *region);

/* In realize: `count` interrupt outputs held in `lines`. */
void sysbus_init_irqs(struct sysbus_device *s, struct irq **lines, unsigned count);

/* By the machine: map window `n` at `addr` of the memory address space, or move it there.
 * Errors: no such window, or one that would leave the address space. */
bool sysbus_map(struct sysbus_device *s, unsigned n, uint64_t addr, int priority,
                struct error *err);
