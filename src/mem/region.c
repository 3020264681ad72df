/* Memory regions: making them, taking them apart, and the graph that they form.
 *
 * A region is described by its fields; nothing here looks at addresses of guests. Each change is
 * one transaction of its own or part of the surrounding one (mem.c), which renders it into views.
 */
#include "mem/region.h"

#include "base/alloc.h"
#include "mem/mem_internal.h"

#include <assert.h>
#include <stdlib.h>

static void init(struct region *r, struct mem *m, const char *name, enum region_kind kind,
                 uint64_t size)
{
    assert(size);
    *r = (struct region){
        .name = alloc_string(name),
        .mem = m,
        .kind = kind,
        .last = size == REGION_SIZE_ALL ? UINT64_MAX : size - 1,
        .enabled = true,
        .direct_reads = true,
        .next = m->regions,
        .link = &m->regions,
    };
    if (r->next)
        r->next->link = &r->next;
    m->regions = r;
}

void region_init_container(struct region *r, struct mem *m, const char *name, uint64_t size)
{
    init(r, m, name, REGION_CONTAINER, size);
}

void region_init_io(struct region *r, struct mem *m, const char *name, uint64_t size,
                    const struct region_ops *ops, void *opaque)
{
    assert(ops);
    init(r, m, name, REGION_IO, size);
    r->ops = ops;
    r->plain = access_plain_sizes(ops);
    r->opaque = opaque;
}

void region_init_alias(struct region *r, struct mem *m, const char *name, struct region *target,
                       uint64_t offset, uint64_t size)
{
    init(r, m, name, REGION_ALIAS, size);
    assert(target->mem == m && offset <= target->last && r->last <= target->last - offset);
    r->alias = target;
    r->alias_offset = offset;
    r->next_alias = target->aliases;
    target->aliases = r;
    target->alias_users++;
}

static bool init_memory(struct region *r, struct mem *m, const char *name, enum region_kind kind,
                        uint64_t size, const struct region_ops *ops, void *opaque,
                        struct error *err)
{
    *r = (struct region){ 0 };
    if (!size || (size % RAM_PAGE_SIZE && size != REGION_SIZE_ALL))
        return error_set(
            err, "memory '%s': a size of %llu bytes; it must be a multiple of %u, and not 0", name,
            (unsigned long long)size, RAM_PAGE_SIZE);
    init(r, m, name, kind, size);
    r->ops = ops;
    r->plain = ops ? access_plain_sizes(ops) : 0;
    r->opaque = opaque;
    if (!ram_attach(r, err)) {
        region_fini(r);
        return false;
    }
    return true;
}

bool region_init_ram(struct region *r, struct mem *m, const char *name, uint64_t size,
                     struct error *err)
{
    return init_memory(r, m, name, REGION_RAM, size, NULL, NULL, err);
}

bool region_init_rom(struct region *r, struct mem *m, const char *name, uint64_t size,
                     const struct region_ops *ops, void *opaque, struct error *err)
{
    return init_memory(r, m, name, REGION_ROM, size, ops, opaque, err);
}

bool region_init_rom_device(struct region *r, struct mem *m, const char *name, uint64_t size,
                            const struct region_ops *ops, void *opaque, struct error *err)
{
    assert(ops);
    return init_memory(r, m, name, REGION_ROM_DEVICE, size, ops, opaque, err);
}

static void drop_alias(struct region *r)
{
    struct region **p = &r->alias->aliases;
    while (*p != r)
        p = &(*p)->next_alias;
    *p = r->next_alias;
    r->alias->alias_users--;
}

void region_fini(struct region *r)
{
    struct mem *m = r->mem;
    if (!m)
        return;
    assert(!r->alias_users);
    mem_begin(m);
    if (r->parent)
        region_remove(r);
    while (r->child_count)
        region_remove(r->children[r->child_count - 1]);
    mem_forget_region(r);
    mem_commit(m);
    if (r->alias)
        drop_alias(r);
    ram_detach(r);
    *r->link = r->next;
    if (r->next)
        r->next->link = r->link;
    m->finished++;
    free(r->children);
    free(r->name);
    *r = (struct region){ 0 };
}

uint64_t region_size(const struct region *r)
{
    return r->last == UINT64_MAX ? REGION_SIZE_ALL : r->last + 1;
}

bool region_contains(const struct region *r, const struct region *what)
{
    if (r == what || (r->alias && region_contains(r->alias, what)))
        return true;
    for (size_t i = 0; i < r->child_count; i++)
        if (region_contains(r->children[i], what))
            return true;
    return false;
}

void region_add(struct region *parent, uint64_t addr, struct region *child, int priority)
{
    assert(parent->kind == REGION_CONTAINER || parent->kind == REGION_IO);
    assert(parent->mem == child->mem && !child->parent);
    assert(!region_contains(child, parent));
    mem_begin(parent->mem);
    child->parent = parent;
    child->addr = addr;
    child->priority = priority;
    ALLOC_GROW(parent->children, parent->child_count, parent->child_capacity);
    /* Before the first sibling that it does not yield to: newest first among equals. */
    size_t at = parent->child_count++;
    while (at && parent->children[at - 1]->priority <= priority) {
        parent->children[at] = parent->children[at - 1];
        at--;
    }
    parent->children[at] = child;
    mem_region_changed(
        child); /* and what shows it: its parent, and aliases that tell its priority */
    mem_commit(parent->mem);
    TRACE(mem_trace, MEM_MAP, mem_source(parent->mem, child->name), trace_text(parent->name), addr,
          addr + child->last, priority);
}

void region_remove(struct region *child)
{
    struct region *parent = child->parent;
    assert(parent);
    mem_begin(parent->mem);
    size_t at = 0;
    while (parent->children[at] != child)
        at++;
    parent->child_count--;
    for (; at < parent->child_count; at++)
        parent->children[at] = parent->children[at + 1];
    child->parent = NULL;
    if (child->enabled)
        mem_region_changed(parent);
    mem_commit(parent->mem);
    TRACE(mem_trace, MEM_UNMAP, mem_source(parent->mem, child->name), trace_text(parent->name),
          child->addr);
}

static void changed(struct region *r)
{
    mem_begin(r->mem);
    mem_region_changed(r);
    mem_commit(r->mem);
}

void region_set_enabled(struct region *r, bool enabled)
{
    if (r->enabled == enabled)
        return;
    mem_begin(r->mem);
    /* A change of a disabled region goes no further than itself, so both are told while it is
     * enabled. */
    if (enabled)
        r->enabled = true;
    mem_region_changed(r);
    r->enabled = enabled;
    mem_commit(r->mem);
}

void region_set_readonly(struct region *r, bool readonly)
{
    if (r->readonly == readonly)
        return;
    r->readonly = readonly;
    changed(r);
}

void region_set_addr(struct region *r, uint64_t addr)
{
    if (r->addr == addr)
        return;
    r->addr = addr;
    changed(r);
}

void region_set_alias_offset(struct region *r, uint64_t offset)
{
    assert(r->kind == REGION_ALIAS && offset <= r->alias->last &&
           r->last <= r->alias->last - offset);
    if (r->alias_offset == offset)
        return;
    r->alias_offset = offset;
    changed(r);
}

void region_set_direct_reads(struct region *r, bool direct)
{
    assert(r->kind == REGION_ROM_DEVICE);
    if (r->direct_reads == direct)
        return;
    r->direct_reads = direct;
    changed(r);
}
