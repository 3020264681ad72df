/* Dirty logs: which pages of a region are written.
 *
 * A page of a region whose log is on is flagged RAM_PAGE_CLEAN until somebody writes to it. Whoever
 * writes with the machine's knowledge (DMA, devices, loaders, scripts) passes ram_region_written().
 * Vcpus do not: their backend is a source, which is asked when the log is read. */
#include "base/alloc.h"
#include "mem/mem_internal.h"

#include <stdlib.h>

void mem_dirty_source_add(struct mem *m, struct mem_dirty_source *s)
{
    s->next = m->dirty_sources;
    m->dirty_sources = s;
}

void mem_dirty_source_remove(struct mem *m, struct mem_dirty_source *s)
{
    struct mem_dirty_source **p = &m->dirty_sources;
    while (*p && *p != s)
        p = &(*p)->next;
    if (*p)
        *p = s->next;
}

void dirty_mark(struct region *r, size_t first, size_t last)
{
    for (size_t p = first; p <= last; p++)
        __atomic_fetch_and(&r->page_flags[p], (uint8_t)~RAM_PAGE_CLEAN, __ATOMIC_RELAXED);
}

static void mark_clean(struct region *r)
{
    for (size_t p = 0; p < region_pages(r); p++)
        __atomic_fetch_or(&r->page_flags[p], RAM_PAGE_CLEAN, __ATOMIC_RELAXED);
}

static bool tell_switched(struct region *r, struct error *err)
{
    bool ok = true;
    for (struct mem_dirty_source *s = r->mem->dirty_sources; s; s = s->next)
        if (s->switched && !s->switched(s->opaque, r, ok ? err : NULL))
            ok = false;
    return ok;
}

static bool collect(struct region *r, struct error *err)
{
    for (struct mem_dirty_source *s = r->mem->dirty_sources; s; s = s->next)
        if (!s->collect(s->opaque, r, err))
            return false;
    return true;
}

bool region_set_dirty_log(struct region *r, bool on, struct error *err)
{
    if (r->dirty_log == on)
        return true;
    r->dirty_log = on;
    if (!tell_switched(r, err) || (on && !collect(r, err))) {
        r->dirty_log = !on;
        tell_switched(r, NULL);
        return false;
    }
    if (on)
        mark_clean(r);
    else
        dirty_mark(r, 0, region_pages(r) - 1);
    return true;
}

uint64_t *region_take_dirty(struct region *r, struct error *err)
{
    size_t pages = region_pages(r);
    if (!collect(r, err))
        return NULL;
    uint64_t *dirty = alloc_zero((pages + 63) / 64, sizeof *dirty);
    for (size_t p = 0; p < pages; p++)
        if (!(__atomic_fetch_or(&r->page_flags[p], RAM_PAGE_CLEAN, __ATOMIC_RELAXED) &
              RAM_PAGE_CLEAN))
            dirty[p / 64] |= 1ULL << p % 64;
    return dirty;
}
