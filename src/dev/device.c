/* Device instances: making, realizing, resetting and freeing them, and finding them by name.
 *
 * A failed step leaves nothing behind: device_realize() undoes the levels that had succeeded, leaf
 * first, then the place on the bus, the path and the lines that realize made. */
#include "dev/device.h"

#include "base/alloc.h"
#include "dev/dev_internal.h"
#include "dev/machine.h"

#include <assert.h>
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

enum { DEVICE_REALIZE, DEVICE_UNREALIZE, DEVICE_RESET };

static const struct trace_event device_events[] = {
    [DEVICE_REALIZE] = { "device.realize",
                         "a device comes to life on its bus",
                         { { "type", TRACE_TEXT }, { "bus", TRACE_TEXT } } },
    [DEVICE_UNREALIZE] = { "device.unrealize",
                           "a device is about to leave the machine",
                           { { "type", TRACE_TEXT } } },
    [DEVICE_RESET] = { "device.reset", "a device is about to be reset", { { NULL } } },
};
struct trace_table device_trace = TRACE_TABLE(device_events);

/* ---- making ---- */

static struct device *find_id(struct machine *m, const char *id)
{
    for (struct device *d = m->devices; d; d = d->next)
        if (d->id && !strcmp(d->id, id))
            return d;
    return NULL;
}

static bool id_is_valid(const char *id)
{
    if (!isalpha((unsigned char)*id))
        return false;
    for (; *id; id++)
        if (!isalnum((unsigned char)*id) && !strchr("-._", *id))
            return false;
    return true;
}

static bool check_id(struct machine *m, const char *id, struct error *err)
{
    if (!id_is_valid(id))
        return error_set(err,
                         "'%s' cannot be a device id: use a letter, then letters, digits, '-', "
                         "'.' and '_'",
                         id);
    struct device *other = find_id(m, id);
    if (other)
        return error_set(err, "id '%s' is taken by a device of type %s; choose another id", id,
                         other->type->name);
    return true;
}

static void fill_chain(struct device *d, struct type_registry *types)
{
    for (const struct device_type *t = d->type; t; t = type_parent(types, t)) {
        assert(d->chain_len < DEVICE_CHAIN_MAX);
        d->chain[d->chain_len++] = t;
    }
}

/* Finalize the levels of the chain from index `from` up to the root. */
static void finalize_levels(struct device *d, unsigned from)
{
    for (unsigned i = from; i < d->chain_len; i++)
        if (d->chain[i]->finalize)
            d->chain[i]->finalize(d);
}

static void release(struct device *d)
{
    gpios_drop(d, true);
    props_free(d);
    assert(d->bus_count == 0);
    free(d->buses);
    free(d->text);
    free(d->label);
    free(d->id);
    free(d);
}

static bool init_levels(struct device *d, struct error *err)
{
    for (unsigned i = d->chain_len; i-- > 0;) {
        if (d->chain[i]->init && !d->chain[i]->init(d, err)) {
            finalize_levels(d, i + 1);
            return false;
        }
    }
    return true;
}

struct device *device_new(struct machine *m, const char *type, const char *id, struct error *err)
{
    const struct device_type *t = type_find(m->types, type, err);
    if (!t || (id && !check_id(m, id, err)))
        return NULL;
    if (t->abstract) {
        error_set(err, "device type '%s' is abstract: only types that inherit from it can be made",
                  type);
        return NULL;
    }
    struct device *d = alloc_zero(1, t->instance_size);
    d->type = t;
    d->machine = m;
    d->id = id ? alloc_string(id) : NULL;
    d->label = id ? alloc_printf("%s '%s'", t->name, id) : alloc_string(t->name);
    fill_chain(d, m->types);
    props_set_defaults(d);
    if (!init_levels(d, err)) {
        release(d);
        return NULL;
    }
    *m->devices_tail = d;
    m->devices_tail = &d->next;
    return d;
}

/* ---- realize and unrealize ---- */

const char *device_bus_type(const struct device *d)
{
    for (unsigned i = 0; i < d->chain_len; i++)
        if (d->chain[i]->bus_type)
            return d->chain[i]->bus_type;
    return NULL;
}

const void *device_class_data(const struct device *d)
{
    for (unsigned i = 0; i < d->chain_len; i++)
        if (d->chain[i]->class_data)
            return d->chain[i]->class_data;
    return NULL;
}

/* The bus that a device goes to when the caller named `bus`; false when that makes no sense. */
static bool choose_bus(struct device *d, struct bus **bus, struct error *err)
{
    const char *need = device_bus_type(d);
    if (!need)
        return !*bus || error_set(err, "%s sits on no bus, so not on '%s' either", device_name(d),
                                  (*bus)->name);
    if (!*bus && !strcmp(need, d->machine->main_bus.type))
        *bus = &d->machine->main_bus;
    if (!*bus)
        return error_set(err, "%s needs a bus of type %s; name the one that it shall sit on",
                         device_name(d), need);
    if (strcmp(need, (*bus)->type))
        return error_set(err, "%s needs a bus of type %s, but '%s' is of type %s", device_name(d),
                         need, (*bus)->name, (*bus)->type);
    return true;
}

static bool path_is_taken(struct machine *m, const char *path)
{
    for (struct device *d = m->devices; d; d = d->next)
        if (d->path && !strcmp(d->path, path))
            return true;
    return false;
}

/* The number in the path of a device without id is the lowest that is free among those of its type.
 */
static char *make_path(const struct device *d)
{
    if (d->id)
        return alloc_printf("/machine/peripheral/%s", d->id);
    for (unsigned n = 0;; n++) {
        char *path = alloc_printf("/machine/unattached/%s[%u]", d->type->name, n);
        if (!path_is_taken(d->machine, path))
            return path;
        free(path);
    }
}

static void unrealize_children(struct device *d)
{
    for (unsigned i = d->bus_count; i-- > 0;)
        while (d->buses[i]->device_count)
            device_unrealize(d->buses[i]->devices[d->buses[i]->device_count - 1]);
}

/* Undo the levels from index `from` up to the root, then all that device_realize itself did. */
static void undo_realize(struct device *d, unsigned from)
{
    unrealize_children(d);
    for (unsigned i = from; i < d->chain_len; i++)
        if (d->chain[i]->unrealize)
            d->chain[i]->unrealize(d);
    gpios_drop(d, false);
    if (d->parent_bus)
        bus_take_device(d->parent_bus, d);
    free(d->path);
    d->path = NULL;
    d->realized = false;
}

bool device_realize(struct device *d, struct bus *bus, struct error *err)
{
    if (d->realized)
        return error_set(err, "%s is realized already", device_name(d));
    if (!choose_bus(d, &bus, err) || !props_check_required(d, err))
        return false;
    if (bus && !bus_put_device(bus, d, err))
        return false;
    d->path = make_path(d);
    for (unsigned i = d->chain_len; i-- > 0;) {
        if (d->chain[i]->realize && !d->chain[i]->realize(d, err)) {
            undo_realize(d, i + 1);
            return false;
        }
    }
    d->realized = true;
    TRACE(device_trace, DEVICE_REALIZE, device_source(d), trace_text(d->type->name),
          trace_text(bus ? bus->name : ""));
    return true;
}

void device_unrealize(struct device *d)
{
    if (!d->realized)
        return;
    TRACE(device_trace, DEVICE_UNREALIZE, device_source(d), trace_text(d->type->name));
    undo_realize(d, 0);
}

/* All of freeing but the memory. */
static void take_apart(struct device *d)
{
    device_unrealize(d);
    struct machine *m = d->machine;
    struct device **at = &m->devices;
    while (*at != d)
        at = &(*at)->next;
    *at = d->next;
    if (m->devices_tail == &d->next)
        m->devices_tail = at;
    props_unlink(d);
    finalize_levels(d, 0);
    gpios_drop(d, true);
}

void device_free(struct device *d)
{
    if (!d)
        return;
    take_apart(d);
    release(d);
}

void device_retire(struct device *d)
{
    struct machine *m = d->machine;
    take_apart(d);
    d->next = m->dead_devices;
    m->dead_devices = d;
}

void devices_release_dead(struct machine *m)
{
    while (m->dead_devices) {
        struct device *d = m->dead_devices;
        m->dead_devices = d->next;
        release(d);
    }
}

void device_reset(struct device *d)
{
    if (!d->realized)
        return;
    for (unsigned i = 0; i < d->bus_count; i++)
        for (unsigned j = 0; j < d->buses[i]->device_count; j++)
            device_reset(d->buses[i]->devices[j]);
    TRACE(device_trace, DEVICE_RESET, device_source(d));
    for (unsigned i = d->chain_len; i-- > 0;)
        if (d->chain[i]->reset)
            d->chain[i]->reset(d);
}

/* ---- what it is, and names ---- */

bool device_is_a(const struct device *d, const char *type)
{
    for (unsigned i = 0; i < d->chain_len; i++)
        if (!strcmp(d->chain[i]->name, type))
            return true;
    return false;
}

const void *device_interface(const struct device *d, const char *name)
{
    for (unsigned i = 0; i < d->chain_len; i++)
        for (const struct interface *f = d->chain[i]->interfaces; f && f->name; f++)
            if (!strcmp(f->name, name))
                return f->ops;
    return NULL;
}

const char *device_name(const struct device *d)
{
    return d->path ? d->path : d->label;
}

struct trace_source device_source(const struct device *d)
{
    return (struct trace_source){ d->machine->trace, device_name(d) };
}

static const char *last_part(const char *path)
{
    return path ? strrchr(path, '/') + 1 : NULL;
}

static void not_found(struct machine *m, const char *path, struct error *err)
{
    size_t count = 0, n = 0;
    for (struct device *d = m->devices; d; d = d->next)
        count++;
    const char **names = alloc_zero(2 * count + 1, sizeof *names);
    bool by_path = *path == '/';
    for (struct device *d = m->devices; d; d = d->next) {
        if (d->path)
            names[n++] = by_path ? d->path : last_part(d->path);
        else if (d->id && !by_path)
            names[n++] = d->id;
    }
    const char *near = nearest_name(path, names);
    if (near)
        error_set(err, "there is no device '%s'; did you mean '%s'?", path, near);
    else
        error_set(err, "there is no device '%s'; 'info qtree' lists all", path);
    free(names);
}

/* Is `part` what `path` ends with, cut at a slash? */
static bool is_end_of(const char *path, const char *part)
{
    size_t whole = strlen(path), n = strlen(part);
    return n && n < whole && path[whole - n - 1] == '/' && !strcmp(path + whole - n, part);
}

static bool has_end(const struct device *d, const char *part)
{
    return d->path && is_end_of(d->path, part);
}

static bool has_type(const struct device *d, const char *type)
{
    return d->path && !strcmp(d->type->name, type);
}

/* The one device that `fits`; *several: there is more than one, and `err` names two. */
static struct device *find_only(struct machine *m, const char *name,
                                bool (*fits)(const struct device *, const char *), bool *several,
                                struct error *err)
{
    struct device *found = NULL;
    for (struct device *d = m->devices; d; d = d->next) {
        if (!fits(d, name))
            continue;
        if (found) {
            error_set(err, "'%s' could be '%s' or '%s'; give the full path", name, found->path,
                      d->path);
            *several = true;
            return NULL;
        }
        found = d;
    }
    return found;
}

struct device *device_find(struct machine *m, const char *path, struct error *err)
{
    struct device *found = find_id(m, path);
    bool several = false;
    if (found)
        return found;
    for (struct device *d = m->devices; d; d = d->next)
        if (d->path && !strcmp(d->path, path))
            return d;
    found = find_only(m, path, has_end, &several, err);
    if (!found && !several)
        found = find_only(m, path, has_type, &several, err);
    if (!found && !several)
        not_found(m, path, err);
    return found;
}
