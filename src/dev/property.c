/* Properties: finding the row, setting it with or without effect on a live device, getting it. */
#include "dev/property.h"

#include "base/alloc.h"
#include "dev/dev_internal.h"
#include "dev/machine.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static void *place_of(const struct device *d, const struct prop *p)
{
    return (char *)d + p->offset;
}

static void load(const struct device *d, const struct prop *p, union prop_content *c)
{
    memcpy(c, place_of(d, p), prop_content_size(p->kind));
}

static void store(struct device *d, const struct prop *p, const union prop_content *c)
{
    memcpy(place_of(d, p), c, prop_content_size(p->kind));
}

/* ---- rows ---- */

/* Call `f` for every row: those of the type first, "device" last. */
static void each_row(const struct device *d,
                     void (*f)(const struct device *d, const struct prop *p, void *opaque),
                     void *opaque)
{
    for (unsigned i = 0; i < d->chain_len; i++)
        for (const struct prop *p = d->chain[i]->props; p && p->name; p++)
            f(d, p, opaque);
}

struct names {
    const char **list;
    size_t count, capacity;
    bool live_only;
};

static void collect_name(const struct device *d, const struct prop *p, void *opaque)
{
    struct names *n = opaque;
    if (n->live_only && !p->live)
        return;
    ALLOC_GROW(n->list, n->count, n->capacity);
    n->list[n->count++] = p->name;
}

static const struct prop *find_row(const struct device *d, const char *name)
{
    for (unsigned i = 0; i < d->chain_len; i++)
        for (const struct prop *p = d->chain[i]->props; p && p->name; p++)
            if (!strcmp(p->name, name))
                return p;
    return NULL;
}

const struct prop *device_find_prop(const struct device *d, const char *name, struct error *err)
{
    const struct prop *p = find_row(d, name);
    if (p)
        return p;
    struct names names = { 0 };
    each_row(d, collect_name, &names);
    ALLOC_GROW(names.list, names.count, names.capacity);
    names.list[names.count] = NULL;
    const char *near = nearest_name(name, names.list);
    if (near)
        error_set(err, "%s: type %s has no property '%s'; did you mean '%s'?", device_name(d),
                  d->type->name, name, near);
    else
        error_set(err, "%s: type %s has no property '%s'; --device %s,help lists them",
                  device_name(d), d->type->name, name, d->type->name);
    free(names.list);
    return NULL;
}

/* ---- setting ---- */

static bool refuse_construct_only(const struct device *d, const struct prop *p, struct error *err)
{
    struct names live = { .live_only = true };
    each_row(d, collect_name, &live);
    ALLOC_GROW(live.list, live.count, live.capacity);
    live.list[live.count] = NULL;
    char all[256];
    join_names(live.list, all, sizeof all);
    free(live.list);
    return error_set(err,
                     "%s: property '%s' is construct-only: it can be set before the device is "
                     "realized, not afterwards (live properties here: %s)",
                     device_name(d), p->name, *all ? all : "none");
}

bool device_set_prop(struct device *d, const char *name, struct prop_value v, struct error *err)
{
    const struct prop *p = device_find_prop(d, name, err);
    if (!p)
        return false;
    /* The path is there from the start of realize: while it runs, nothing is as before nor as after
     * it. */
    if (d->path && !p->live)
        return refuse_construct_only(d, p, err);
    union prop_content before, after;
    if (!prop_convert(d, p, v, &after, err))
        return false;
    load(d, p, &before);
    store(d, p, &after);
    bool ok = !d->realized || !p->changed || p->changed(d, p, err);
    if (!ok)
        store(d, p, &before);
    if (prop_owns_memory(p->kind))
        free(ok ? before.s : after.s);
    return ok;
}

static void set_default(const struct device *d, const struct prop *p)
{
    if (!p->def) {
        if (p->kind == PROP_PCI_ADDR)
            *(int32_t *)place_of(d, p) = -1;
        return;
    }
    union prop_content before, after;
    struct error err;
    if (!prop_convert(d, p, (struct prop_value){ .type = VALUE_STRING, .s = p->def }, &after, &err))
        assert(!"a default that its own property accepts");
    load(d, p, &before);
    memcpy(place_of(d, p), &after, prop_content_size(p->kind));
    if (prop_owns_memory(p->kind))
        free(before.s);
}

void props_set_defaults(struct device *d)
{
    /* From the root to the leaf: a type may give a row of its parent another default by a row of
     * the same name. */
    for (unsigned i = d->chain_len; i-- > 0;)
        for (const struct prop *p = d->chain[i]->props; p && p->name; p++)
            set_default(d, p);
}

static void free_memory(const struct device *d, const struct prop *p, void *opaque)
{
    if (!prop_owns_memory(p->kind))
        return;
    char **s = place_of(d, p);
    free(*s);
    *s = NULL;
}

void props_free(struct device *d)
{
    each_row(d, free_memory, NULL);
}

static bool has_value(const struct device *d, const struct prop *p)
{
    static const uint8_t no_mac[6];
    union prop_content c = { .u64 = 0 };
    load(d, p, &c);
    switch (p->kind) {
    case PROP_STRING:
        return c.s && *c.s;
    case PROP_LINK:
    case PROP_CHARDEV:
    case PROP_NETDEV:
    case PROP_REGION:
    case PROP_ARRAY:
        return c.object != NULL;
    case PROP_MAC:
        return memcmp(c.mac, no_mac, sizeof no_mac) != 0;
    case PROP_PCI_ADDR:
        return c.i32 >= 0;
    default:
        return true; /* a number is always something */
    }
}

bool props_check_required(const struct device *d, struct error *err)
{
    for (unsigned i = 0; i < d->chain_len; i++)
        for (const struct prop *p = d->chain[i]->props; p && p->name; p++)
            if (p->required && !has_value(d, p))
                return error_set(err, "%s: property '%s' must be set (%s)", device_name(d), p->name,
                                 p->help ? p->help : "it has no default");
    return true;
}

static void unlink_row(const struct device *d, const struct prop *p, void *gone)
{
    struct device **to = place_of(d, p);
    if (p->kind == PROP_LINK && *to == gone)
        *to = NULL;
}

void props_unlink(struct device *gone)
{
    for (struct device *d = gone->machine->devices; d; d = d->next)
        each_row(d, unlink_row, gone);
}

/* ---- getting ---- */

const char *prop_text(const struct device *d, const struct prop *p)
{
    union prop_content c;
    load(d, p, &c);
    switch (p->kind) {
    case PROP_STRING:
        return c.s;
    case PROP_ENUM:
        return p->names[c.u8];
    case PROP_ON_OFF_AUTO:
        return on_off_auto_names[c.u8];
    default:
        return NULL;
    }
}

const char *prop_object_id(const void *object)
{
    return object ? *(const char *const *)object : "";
}

/* Keep `text` until the next value that has to be made up. It is a cache: the device's state does
 * not change. */
static const char *keep_text(const struct device *d, char *text)
{
    struct device *owner = (struct device *)d;
    free(owner->text);
    owner->text = text;
    return text;
}

bool device_get_prop(const struct device *d, const char *name, struct prop_value *out,
                     struct error *err)
{
    const struct prop *p = device_find_prop(d, name, err);
    if (!p)
        return false;
    union prop_content c = { .u64 = 0 };
    load(d, p, &c);
    switch (p->kind) {
    case PROP_BOOL:
        *out = (struct prop_value){ .type = VALUE_BOOL, .b = c.b };
        break;
    case PROP_I32:
    case PROP_I64:
        *out = (struct prop_value){ .type = VALUE_INT, .i = p->kind == PROP_I32 ? c.i32 : c.i64 };
        break;
    case PROP_LINK:
    case PROP_CHARDEV:
    case PROP_NETDEV:
    case PROP_REGION:
        *out = (struct prop_value){ .type = VALUE_OBJECT, .object = c.object };
        break;
    case PROP_ARRAY:
        *out = (struct prop_value){ .type = VALUE_ARRAY, .array = c.array };
        break;
    case PROP_MAC:
    case PROP_PCI_ADDR:
        *out = (struct prop_value){
            .type = VALUE_STRING,
            .s = keep_text(d,
                           p->kind == PROP_MAC ? prop_mac_text(c.mac) : prop_pci_addr_text(c.i32)),
        };
        break;
    case PROP_STRING:
    case PROP_ENUM:
    case PROP_ON_OFF_AUTO: {
        const char *s = prop_text(d, p);
        *out = (struct prop_value){ .type = VALUE_STRING, .s = s ? s : "" };
        break;
    }
    default:
        *out = (struct prop_value){ .type = VALUE_UINT, .u = c.u64 };
    }
    return true;
}
