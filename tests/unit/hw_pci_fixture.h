/* What the tests of the PCI chips have in common: a host bridge over 2 MiB of RAM, port accesses,
 * and configuration space through the ports. */
#pragma once

#include "base/log.h"
#include "dev/pci.h"
#include "hw/types.h"
#include "mem/mem.h"
#include "test_machine.h"

#define PC_RAM_SIZE 0x200000

struct pc {
    struct test_machine *t;
    struct machine *m;
    struct region ram, below_4g;
    struct device *host;
    struct pci_bus *bus;
};

static inline void pc_set_object(struct device *d, const char *name, void *object)
{
    struct error err = { 0 };
    struct prop_value v = { .type = VALUE_OBJECT, .object = object };
    if (!device_set_prop(d, name, v, &err))
        fail_msg("%s", err.text);
}

static inline struct pc *pc_new(void)
{
    struct pc *pc = calloc(1, sizeof *pc);
    struct error err = { 0 };
    assert_non_null(pc);
    pc->t = test_machine_new(hw_types);
    pc->m = &pc->t->m;
    if (!region_init_ram(&pc->ram, pc->m->mem, "pc.ram", PC_RAM_SIZE, &err))
        fail_msg("%s", err.text);
    region_init_alias(&pc->below_4g, pc->m->mem, "ram-below-4g", &pc->ram, 0, PC_RAM_SIZE);
    region_add(&pc->m->system, 0, &pc->below_4g, 0);
    pc->host = test_device(pc->t, "i440FX-pcihost", NULL);
    pc_set_object(pc->host, "ram", &pc->ram);
    test_realize(pc->host, NULL);
    pc->bus = (struct pci_bus *)pc->host->buses[0];
    return pc;
}

static inline void pc_free(struct pc *pc)
{
    while (pc->m->devices) {
        struct device *last = pc->m->devices;
        while (last->next)
            last = last->next;
        device_free(last);
    }
    region_fini(&pc->below_4g);
    region_fini(&pc->ram);
    test_machine_free(pc->t);
    free(pc);
}

/* A device of `type` at `addr` ("03.0"), realized. */
static inline struct device *pc_add(struct pc *pc, const char *type, const char *addr)
{
    struct device *d = test_device(pc->t, type, NULL);
    test_set(d, "addr", addr);
    test_realize(d, &pc->bus->bus);
    return d;
}

static inline void pc_out(struct pc *pc, unsigned port, unsigned size, uint32_t value)
{
    address_space_store(pc->m->io, port, size, value);
}

static inline uint32_t pc_in(struct pc *pc, unsigned port, unsigned size)
{
    uint64_t v = 0;
    address_space_load(pc->m->io, port, size, &v);
    return (uint32_t)v;
}

static inline void pc_store(struct pc *pc, uint64_t addr, unsigned size, uint64_t value)
{
    address_space_store(pc->m->memory, addr, size, value);
}

static inline uint64_t pc_load(struct pc *pc, uint64_t addr, unsigned size)
{
    uint64_t v = 0;
    address_space_load(pc->m->memory, addr, size, &v);
    return v;
}

/* Configuration space by mechanism 1. */
static inline void pc_select(struct pc *pc, unsigned devfn, unsigned offset)
{
    pc_out(pc, 0xcf8, 4, 0x80000000u | devfn << 8 | (offset & 0xfc));
}

static inline uint32_t pc_conf_read(struct pc *pc, unsigned devfn, unsigned offset, unsigned size)
{
    pc_select(pc, devfn, offset);
    return pc_in(pc, 0xcfc + (offset & 3), size);
}

static inline void pc_conf_write(struct pc *pc, unsigned devfn, unsigned offset, unsigned size,
                                 uint32_t value)
{
    pc_select(pc, devfn, offset);
    pc_out(pc, 0xcfc + (offset & 3), size, value);
}

/* The name of the region that a flat view shows at `addr`, "" for none. */
static inline const char *pc_shown(struct address_space *as, uint64_t addr)
{
    const struct flat_range *r = flatview_lookup(address_space_view(as), addr);
    return r ? r->region->name : "";
}

/* A line's sink that remembers its level and counts its rises. */
struct probe {
    struct irq line;
    bool level;
    unsigned rises;
};

static inline void probe_set(void *opaque, int n, bool level)
{
    struct probe *p = opaque;
    p->level = level;
    p->rises += level;
}

static inline void probe_connect(struct probe *p, struct device *d, const char *name, unsigned n)
{
    struct error err = { 0 };
    irq_init(&p->line, probe_set, p, 0);
    if (!device_connect_gpio_out(d, name, n, &p->line, &err))
        fail_msg("%s", err.text);
}
