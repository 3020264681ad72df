/* The ISA bus: port ranges in the machine's I/O space and sixteen interrupt lines. */
#pragma once

#include "dev/bus.h"
#include "mem/region.h"

enum { ISA_IRQS = 16, ISA_PORTS_MAX = 8 };

struct isa_bus {
    struct bus bus;
    struct region *io;          /* where ports are mapped */
    struct irq *irqs[ISA_IRQS]; /* inputs of the interrupt controller, set by wiring; NULL: none */
    struct irq lines[ISA_IRQS]; /* what devices drive; each goes on to `irqs`, wired at any time */
};

struct isa_device {
    struct device dev;
    struct region *ports[ISA_PORTS_MAX];
    unsigned port_count;
    int irqs[2]; /* lines in use, -1: none; for listings */
};

extern const struct device_type isa_device_type; /* "isa-device", bus type "ISA" */

void isa_bus_init(struct isa_bus *b, const char *name, struct device *parent, struct region *io);

/* Disconnects nothing: lines belong to the controllers. */
void isa_bus_fini(struct isa_bus *b);

struct isa_bus *isa_bus_of(struct isa_device *d);

/* In realize: map `region`, which stays embedded in the device's state, at `port`; unmapped
 * again at unrealize. */
void isa_map_ports(struct isa_device *d, struct region *region, uint16_t port);

/* In realize, at most twice: the bus line `irq` (0..15) as an output of the device. False for a
 * number out of range. The level is OR-ed with nothing: ISA lines are not shared. */
bool isa_connect_irq(struct isa_device *d, struct irq **line, int irq, struct error *err);
