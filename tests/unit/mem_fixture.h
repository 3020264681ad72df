/* What the tests of src/mem have in common: a memory system with one address space, views as text,
 * devices and listeners that write down what they meet. */
#pragma once

#include "base/log.h"
#include "mem/address_space.h"
#include "mem/tap.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define PAGE 4096ull

/* A memory system with one address space over the container `root`. */
struct fixture {
    struct mem *m;
    struct region root;
    struct address_space *as;
};

static inline struct fixture *set_up(uint64_t size)
{
    struct fixture *f = calloc(1, sizeof *f);
    f->m = mem_new();
    region_init_container(&f->root, f->m, "root", size);
    f->as = address_space_new(f->m, &f->root, "memory");
    return f;
}

static inline void tear_down(struct fixture *f)
{
    address_space_free(f->as);
    region_fini(&f->root);
    mem_free(f->m);
    free(f);
}

/* The view as text: one "start-last name @offset" for each range, "(rom)" where readonly. */
static inline const char *flat_of(const struct flatview *v)
{
    static char text[4096];
    size_t n = 0;
    text[0] = 0;
    for (size_t i = 0; i < v->count; i++) {
        const struct flat_range *r = &v->ranges[i];
        n += (size_t)snprintf(text + n, sizeof text - n, "%s%llx-%llx %s", i ? ", " : "",
                              (unsigned long long)r->start, (unsigned long long)r->last,
                              r->region->name);
        if (r->offset)
            n += (size_t)snprintf(text + n, sizeof text - n, " @%llx",
                                  (unsigned long long)r->offset);
        if (r->readonly)
            n += (size_t)snprintf(text + n, sizeof text - n, " (rom)");
    }
    return text;
}

static inline const char *flat(struct fixture *f)
{
    return flat_of(address_space_view(f->as));
}

/* A device that notes its accesses and answers from 64 bytes of its own. */
struct device {
    struct region region;
    uint8_t bytes[64];
    char log[512];
};

static inline uint64_t device_read(void *opaque, uint64_t offset, unsigned size)
{
    struct device *d = opaque;
    size_t n = strlen(d->log);
    snprintf(d->log + n, sizeof d->log - n, "r%u@%llx ", size, (unsigned long long)offset);
    return offset < sizeof d->bytes && offset + size <= sizeof d->bytes
               ? ld_le(&d->bytes[offset], size)
               : 0;
}

static inline void device_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    struct device *d = opaque;
    size_t n = strlen(d->log);
    snprintf(d->log + n, sizeof d->log - n, "w%u@%llx=%llx ", size, (unsigned long long)offset,
             (unsigned long long)value);
    if (offset < sizeof d->bytes && offset + size <= sizeof d->bytes)
        st_le(&d->bytes[offset], size, value);
}

#define DEVICE_OPS .read = device_read, .write = device_write
static const struct region_ops plain = { DEVICE_OPS };

static inline void device_init(struct device *d, struct fixture *f, const char *name, uint64_t size,
                               const struct region_ops *ops)
{
    *d = (struct device){ 0 };
    for (unsigned i = 0; i < sizeof d->bytes; i++)
        d->bytes[i] = (uint8_t)i;
    region_init_io(&d->region, f->m, name, size, ops, d);
}

/* Compares the log and empties it. */
#define assert_log(d, expected)                  \
    do {                                         \
        assert_string_equal((d)->log, expected); \
        (d)->log[0] = 0;                         \
    } while (0)

static inline void ram_init(struct region *r, struct fixture *f, const char *name, uint64_t size)
{
    struct error err = { 0 };
    if (!region_init_ram(r, f->m, name, size, &err))
        fail_msg("%s", err.text);
}

static inline uint64_t load(struct fixture *f, uint64_t addr, unsigned size)
{
    uint64_t v = 0xdeadbeefdeadbeef;
    address_space_load(f->as, addr, size, &v);
    return v;
}

/* A listener that writes down what it is told. */
struct diary {
    struct mem_listener l;
    char text[1024];
};

static inline void note(struct diary *d, const char *what, const struct flat_range *r)
{
    size_t n = strlen(d->text);
    if (r)
        snprintf(d->text + n, sizeof d->text - n, "%s%llx-%llx ", what,
                 (unsigned long long)r->start, (unsigned long long)r->last);
    else
        snprintf(d->text + n, sizeof d->text - n, "%s ", what);
}

static inline void diary_begin(struct mem_listener *l)
{
    note((struct diary *)l, "(", NULL);
}

static inline void diary_remove(struct mem_listener *l, const struct flat_range *r)
{
    note((struct diary *)l, "-", r);
}

static inline void diary_add(struct mem_listener *l, const struct flat_range *r)
{
    note((struct diary *)l, "+", r);
}

static inline void diary_commit(struct mem_listener *l)
{
    note((struct diary *)l, ")", NULL);
}

static inline void diary_init(struct diary *d, struct address_space *as)
{
    *d = (struct diary){ 0 };
    d->l = (struct mem_listener){ as, diary_begin, diary_remove, diary_add, diary_commit, NULL };
}

#define assert_told(d, expected)                  \
    do {                                          \
        assert_string_equal((d)->text, expected); \
        (d)->text[0] = 0;                         \
    } while (0)
