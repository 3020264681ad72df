/* The registry of device types: a sorted array of pointers to constant tables.
 *
 * The five types that others inherit from are known from the start; hw/types.c and scripts add
 * theirs. */
#include "base/alloc.h"
#include "dev/device.h"
#include "dev/i2c.h"
#include "dev/isa.h"
#include "dev/pci.h"
#include "dev/sysbus.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct type_registry {
    const struct device_type **types; /* sorted by name */
    size_t count, capacity;
};

/* The root of all: it has nothing of its own. */
static const struct device_type device_type_root = {
    .name = "device",
    .desc = "what every device inherits from",
    .instance_size = sizeof(struct device),
    .abstract = true,
};

struct type_registry *type_registry_new(void)
{
    static const struct device_type *const base[] = { &device_type_root, &sysbus_device_type,
                                                      &i2c_device_type, &isa_device_type,
                                                      &pci_device_type };
    struct type_registry *r = ALLOC(struct type_registry);
    for (size_t i = 0; i < sizeof base / sizeof base[0]; i++) {
        bool ok = type_register(r, base[i], NULL);
        assert(ok);
        (void)ok;
    }
    return r;
}

void type_registry_free(struct type_registry *r)
{
    if (!r)
        return;
    free(r->types);
    free(r);
}

static int by_name(const void *name, const void *entry)
{
    return strcmp(name, (*(const struct device_type *const *)entry)->name);
}

/* Its place in the array, or NULL. */
static const struct device_type **place_of(const struct type_registry *r, const char *name)
{
    return r->count ? bsearch(name, r->types, r->count, sizeof *r->types, by_name) : NULL;
}

static const struct device_type *lookup(const struct type_registry *r, const char *name)
{
    const struct device_type **place = place_of(r, name);
    return place ? *place : NULL;
}

static const char *nearest_type(const struct type_registry *r, const char *name)
{
    const char **names = alloc_zero(r->count + 1, sizeof *names);
    for (size_t i = 0; i < r->count; i++)
        names[i] = r->types[i]->name;
    const char *near = nearest_name(name, names);
    free(names);
    return near;
}

static bool check_parent(struct type_registry *r, const struct device_type *t, struct error *err)
{
    if (!t->parent)
        return r->count == 0 || error_set(err,
                                          "device type '%s' names no parent type; the simplest "
                                          "one is 'device'",
                                          t->name);
    const struct device_type *p = lookup(r, t->parent);
    if (!p) {
        const char *near = nearest_type(r, t->parent);
        return error_set(err, "device type '%s': unknown parent type '%s'%s%s%s", t->name,
                         t->parent, near ? "; did you mean '" : "", near ? near : "",
                         near ? "'?" : "");
    }
    if (t->instance_size < p->instance_size)
        return error_set(err,
                         "device type '%s': its instance of %zu bytes is smaller than the %zu of "
                         "its parent '%s', which it must begin with",
                         t->name, t->instance_size, p->instance_size, p->name);
    unsigned depth = 1;
    for (; p; p = type_parent(r, p))
        depth++;
    if (depth > DEVICE_CHAIN_MAX)
        return error_set(err, "device type '%s': %u levels of inheritance, at most %d are allowed",
                         t->name, depth, DEVICE_CHAIN_MAX);
    return true;
}

bool type_register(struct type_registry *r, const struct device_type *t, struct error *err)
{
    if (!t->name || !*t->name)
        return error_set(err, "a device type needs a name");
    if (lookup(r, t->name))
        return error_set(err, "device type '%s' exists already; choose another name", t->name);
    if (!check_parent(r, t, err))
        return false;
    ALLOC_GROW(r->types, r->count, r->capacity);
    size_t at = r->count++;
    for (; at && strcmp(r->types[at - 1]->name, t->name) > 0; at--)
        r->types[at] = r->types[at - 1];
    r->types[at] = t;
    return true;
}

const struct device_type *type_find(struct type_registry *r, const char *name, struct error *err)
{
    const struct device_type *t = lookup(r, name);
    if (!t) {
        const char *near = nearest_type(r, name);
        if (near)
            error_set(err, "unknown device type '%s'; did you mean '%s'?", name, near);
        else
            error_set(err, "unknown device type '%s'; --device help lists all", name);
    }
    return t;
}

const struct device_type *type_next(struct type_registry *r, const struct device_type *t)
{
    size_t next = t ? (size_t)(place_of(r, t->name) - r->types) + 1 : 0;
    return next < r->count ? r->types[next] : NULL;
}

const struct device_type *type_parent(struct type_registry *r, const struct device_type *t)
{
    return t->parent ? lookup(r, t->parent) : NULL;
}

bool type_is_a(struct type_registry *r, const struct device_type *t, const char *ancestor)
{
    for (; t; t = type_parent(r, t))
        if (!strcmp(t->name, ancestor))
            return true;
    return false;
}
