/* The machine as devices see it: the roots of its address spaces, the main bus, the list of
 * devices. */
#include "dev/machine.h"

#include "base/alloc.h"
#include "dev/dev_internal.h"

#include <assert.h>
#include <stdlib.h>

enum { IO_PORTS = 65536 };

/* A port that nobody claims: the data lines float high, and a write goes nowhere. */
static uint64_t unclaimed_read(void *opaque, uint64_t offset, unsigned size)
{
    return bits_mask(size * 8);
}

static void unclaimed_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
}

/* Accesses may straddle: an unaligned port access is legal on x86. */
static const struct region_ops unclaimed_ops = {
    .read = unclaimed_read,
    .write = unclaimed_write,
    .valid = { .min = 1, .max = 8, .unaligned = true },
    .impl = { .min = 1, .max = 8, .unaligned = true },
};

void machine_init(struct machine *m, struct loop *loop, struct type_registry *types)
{
    m->loop = loop;
    m->types = types;
    m->mem = mem_new();
    mem_set_trace(m->mem, m->trace);
    region_init_container(&m->system, m->mem, "system", REGION_SIZE_ALL);
    region_init_io(&m->io_ports, m->mem, "io", IO_PORTS, &unclaimed_ops, m);
    region_init_container(&m->smm, m->mem, "mem-container-smram", REGION_SIZE_ALL);
    region_init_alias(&m->smm_system, m->mem, "mem-smram", &m->system, 0, REGION_SIZE_ALL);
    region_add(&m->smm, 0, &m->smm_system, 0);
    m->memory = address_space_new(m->mem, &m->system, "memory");
    m->io = address_space_new(m->mem, &m->io_ports, "I/O");
    m->smm_memory = address_space_new(m->mem, &m->smm, "cpu-smm");
    bus_init(&m->main_bus, "System", "main-system-bus", NULL);
    m->devices = NULL;
    m->devices_tail = &m->devices;
    m->dead_devices = NULL;
    m->dead_lines = NULL;
    m->current_cpu = NULL;
    m->eoi_listeners = NULL;
    m->msi = NULL;
}

static struct device *newest(struct machine *m, bool realized_only)
{
    struct device *last = NULL;
    for (struct device *d = m->devices; d; d = d->next)
        if (d->realized || !realized_only)
            last = d;
    return last;
}

void machine_free_devices(struct machine *m)
{
    struct device *d;
    /* All are unrealized before the first is freed, so that none meets a freed neighbour; the
     * search starts anew each time because a device may take others along. */
    while ((d = newest(m, true)))
        device_unrealize(d);
    while ((d = newest(m, false)))
        device_free(d);
}

void machine_fini(struct machine *m)
{
    machine_free_devices(m);
    devices_release_dead(m);
    while (m->dead_lines) {
        struct gpio_list *g = m->dead_lines;
        m->dead_lines = g->next;
        free(g->in);
        free(g->name);
        free(g);
    }
    bus_fini(&m->main_bus);
    address_space_free(m->smm_memory);
    address_space_free(m->io);
    address_space_free(m->memory);
    region_fini(&m->io_ports);
    region_fini(&m->smm_system);
    region_fini(&m->smm);
    region_fini(&m->system);
    mem_free(m->mem);
    m->io = m->memory = m->smm_memory = NULL;
    m->mem = NULL;
}

void machine_reset_devices(struct machine *m)
{
    for (struct device *d = m->devices; d; d = d->next)
        if (!d->parent_bus || d->parent_bus == &m->main_bus)
            device_reset(d);
}

void machine_add_eoi_listener(struct machine *m, struct eoi_listener *l)
{
    struct eoi_listener **at = &m->eoi_listeners;
    while (*at)
        at = &(*at)->next;
    l->next = NULL;
    *at = l;
}

void machine_remove_eoi_listener(struct machine *m, struct eoi_listener *l)
{
    for (struct eoi_listener **at = &m->eoi_listeners; *at; at = &(*at)->next) {
        if (*at == l) {
            *at = l->next;
            return;
        }
    }
}

void machine_eoi(struct machine *m, unsigned vector)
{
    for (struct eoi_listener *l = m->eoi_listeners, *next; l; l = next) {
        next = l->next;
        l->eoi(l->opaque, vector);
    }
}
