/* Buses: where devices sit. */
#pragma once

#include "dev/device.h"

struct bus {
    const char *type;        /* "System", "PCI", "ISA", "i2c-bus" */
    char *name;              /* "main-system-bus", "pci.0", "isa.0" */
    struct device *parent;   /* that provides it; NULL for the main system bus */
    struct device **devices; /* in order of being put here */
    unsigned device_count, device_capacity;
    /* Called when a device is about to be realized here: may refuse (slot taken). NULL: all
     * welcome. */
    bool (*attach)(struct bus *b, struct device *d, struct error *err);
    void (*detach)(struct bus *b, struct device *d);
    /* For listings: the path component of a device here ("03.0"), or NULL. Freed by the caller. */
    char *(*device_address)(struct device *d);
    void *handle; /* for the script binding */
};

/* `b` is embedded in its parent's state. `type` is borrowed, `name` copied. */
void bus_init(struct bus *b, const char *type, const char *name, struct device *parent);

/* Must be empty of devices. */
void bus_fini(struct bus *b);
