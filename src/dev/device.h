/* Devices: types, instances, lifecycle, lines, interfaces.
 *
 * A device type is a constant table. An instance begins with `struct device` (through the struct
 * of its parent type), is made by device_new() with its properties at their defaults, configured
 * with device_set_prop(), and brought to life by device_realize(), which puts it on its bus and
 * runs the type's realize from the root of the type chain to the leaf. Reset runs over the whole
 * tree, children before parents, in order of creation. unrealize runs from leaf to root and
 * undoes realize. All calls need the machine lock. docs/devices.md shows a device in C. */
#pragma once

#include "base/error.h"
#include "dev/irq.h"
#include "dev/property.h"
#include "dev/state.h"
#include "trace/trace.h"

#include <stdbool.h>
#include <stddef.h>

struct bus;
struct machine;
struct device;
struct reg_bank;
struct region;

/* An interface is a struct of functions, known by name; a type lists those that it implements. */
struct interface {
    const char *name;
    const void *ops;
};

struct device_type {
    const char *name;
    const char *parent; /* NULL only for "device" itself */
    const char *desc;   /* one line for --device help */
    size_t instance_size;
    bool abstract;        /* only a parent for others */
    bool fixed;           /* part of the board: cannot be removed while the machine is there */
    const char *bus_type; /* the kind of bus it sits on ("System", "PCI", "ISA"); NULL: inherited */
    const struct prop *props;
    const struct state_field *state;
    const struct interface *interfaces; /* ends with name NULL */
    /* Each acts for its own level of the chain only; init, realize and reset run from the root
     * of the chain to the leaf, unrealize and finalize from the leaf to the root. NULL: nothing
     * to do. A failed realize has undone what it did itself; the levels above are unrealized for
     * it. */
    /* With properties at their defaults: embedded parts. */
    bool (*init)(struct device *d, struct error *err);
    bool (*realize)(struct device *d, struct error *err);
    void (*unrealize)(struct device *d);
    void (*reset)(struct device *d);
    void (*finalize)(struct device *d); /* the counterpart of init */
    /* Part of its state lives elsewhere: bring the state fields up to date. */
    void (*fetch)(struct device *d);
    void *class_data; /* for the parent type's use: struct pci_class, a Lua table, ... */
};

enum { DEVICE_CHAIN_MAX = 8 }; /* longest chain of parents */

struct gpio_list {
    char *name;       /* "" for the unnamed */
    struct irq *in;   /* inputs: count of them, owned here */
    struct irq **out; /* outputs: what each drives, in the device's state; NULL for inputs */
    unsigned count;
    bool of_realize; /* made by realize: goes with unrealize */
    struct gpio_list *next;
};

struct device {
    const struct device_type *type;
    const struct device_type *chain[DEVICE_CHAIN_MAX]; /* the type first, "device" last */
    unsigned chain_len;
    struct machine *machine;
    char *label; /* type, and id if any: the name before there is a path */
    char *id;    /* given by the user, unique in the machine; NULL: none */
    char *path;  /* "/machine/peripheral/ID" or "/machine/unattached/TYPE[N]"; set at realize */
    struct bus *parent_bus; /* where it sits; NULL: on none */
    struct bus **buses;     /* that it provides, in order of creation */
    unsigned bus_count;
    struct gpio_list *gpios;    /* in order of creation */
    struct reg_bank *reg_banks; /* registers that are known by name: see reg.h */
    bool realized;
    char *text;          /* of the last device_get_prop that had to make one up */
    struct device *next; /* all devices of the machine, in order of creation */
    void *handle;        /* for the script binding */
};

/* ---- types ---- */

/* Known types of a machine; the list in hw/types.c is registered by the machine's owner at its
 * start. */
struct type_registry;
struct type_registry *type_registry_new(void);
void type_registry_free(struct type_registry *r);

/* `t` is borrowed and must stay. Refuses a name taken, an unknown parent, too long a chain, an
 * instance smaller than its parent's. */
bool type_register(struct type_registry *r, const struct device_type *t, struct error *err);

/* NULL with an error that names the nearest known type. */
const struct device_type *type_find(struct type_registry *r, const char *name, struct error *err);

/* All types, sorted by name: NULL starts, NULL ends. */
const struct device_type *type_next(struct type_registry *r, const struct device_type *t);
const struct device_type *type_parent(struct type_registry *r, const struct device_type *t);
bool type_is_a(struct type_registry *r, const struct device_type *t, const char *ancestor);

/* ---- instances ---- */

/* `id` may be NULL; a duplicate one is refused, and so is one that is not a letter followed by
 * letters, digits, '-', '.' and '_'. The device belongs to the machine. */
struct device *device_new(struct machine *m, const char *type, const char *id, struct error *err);

/* Put it on `bus` (NULL: a bus-less device, or the machine's system bus for types of the
 * "System" bus) and bring it to life. On failure it is as before the call. */
bool device_realize(struct device *d, struct bus *bus, struct error *err);

/* Undo realize; what sits on its buses goes first. Harmless when it is not realized. */
void device_unrealize(struct device *d);

/* Reset what sits on its buses, in order of being put there, then the device itself. */
void device_reset(struct device *d);

/* Unrealize if need be, and free. Links to it in other devices become NULL. */
void device_free(struct device *d);

/* The same, but the memory stays until the machine goes: for a device that may be removed while a
 * function of it runs, or while somebody holds a pointer to it. */
void device_retire(struct device *d);

/* The type of bus that it sits on; NULL: none. */
const char *device_bus_type(const struct device *d);

/* class_data of the nearest type in the chain that has any; NULL: none. */
const void *device_class_data(const struct device *d);

bool device_is_a(const struct device *d, const char *type);

/* The ops that the nearest type in the chain lists under `name`, or NULL. */
const void *device_interface(const struct device *d, const char *name);

/* By full path, id, an end of a path (from a slash on) that only one has, or a type of which there
 * is one. NULL with an error naming the nearest, or two that it could be. */
struct device *device_find(struct machine *m, const char *path, struct error *err);

/* The name for messages: path once realized, else type and id. */
const char *device_name(const struct device *d);

/* The source of events of this device. */
struct trace_source device_source(const struct device *d);
extern struct trace_table device_trace, irq_trace, pci_trace;

/* ---- lines ---- */

/* Make `count` more inputs called `name` ("" for unnamed); called in init or realize. `handler`
 * gets the device as its `opaque`. */
void device_init_gpio_in(struct device *d, const char *name,
                         void (*handler)(void *opaque, int n, bool level), unsigned count);

/* Declare `count` outputs held in `lines` (in the device's state). */
void device_init_gpio_out(struct device *d, const char *name, struct irq **lines, unsigned count);

/* NULL with an error when there is no such line. */
struct irq *device_gpio_in(struct device *d, const char *name, unsigned n, struct error *err);

/* Drive `irq` from output `n`. One output drives one line: a second connection is refused. NULL
 * disconnects. */
bool device_connect_gpio_out(struct device *d, const char *name, unsigned n, struct irq *irq,
                             struct error *err);

/* Lines named "sysbus-irq" are the interrupt outputs of a system-bus device. */
#define SYSBUS_IRQ "sysbus-irq"
