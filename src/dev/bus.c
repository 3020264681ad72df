/* Buses: the list of devices on one, and the list of buses of a device. */
#include "dev/bus.h"

#include "base/alloc.h"
#include "dev/dev_internal.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

void bus_init(struct bus *b, const char *type, const char *name, struct device *parent)
{
    *b = (struct bus){ .type = type, .name = alloc_string(name), .parent = parent };
    if (parent) {
        parent->buses = alloc_resize(parent->buses, parent->bus_count + 1, sizeof *parent->buses);
        parent->buses[parent->bus_count++] = b;
    }
}

static void forget(struct device *parent, const struct bus *b)
{
    for (unsigned i = 0; i < parent->bus_count; i++) {
        if (parent->buses[i] != b)
            continue;
        parent->bus_count--;
        memmove(parent->buses + i, parent->buses + i + 1,
                (parent->bus_count - i) * sizeof *parent->buses);
        return;
    }
}

void bus_fini(struct bus *b)
{
    assert(b->device_count == 0);
    if (b->parent)
        forget(b->parent, b);
    free(b->devices);
    free(b->name);
    *b = (struct bus){ 0 };
}

bool bus_put_device(struct bus *b, struct device *d, struct error *err)
{
    assert(!d->parent_bus);
    if (b->attach && !b->attach(b, d, err))
        return false;
    ALLOC_GROW(b->devices, b->device_count, b->device_capacity);
    b->devices[b->device_count++] = d;
    d->parent_bus = b;
    return true;
}

void bus_take_device(struct bus *b, struct device *d)
{
    unsigned i = 0;
    while (b->devices[i] != d)
        i++;
    b->device_count--;
    memmove(b->devices + i, b->devices + i + 1, (b->device_count - i) * sizeof *b->devices);
    d->parent_bus = NULL;
    if (b->detach)
        b->detach(b, d);
}
