/* The memory system: transactions, publishing of views, and telling listeners the differences.
 *
 * A change of a region marks what shows it, upwards through parents and aliases, with the number of
 * the present generation. Publishing then renders only roots that carry the mark, one view for each
 * however many address spaces share it, and swaps the views of all address spaces before the first
 * listener is told. Changes that listeners make are published after all have been told of the first
 * ones. */
#include "mem/mem.h"

#include "base/alloc.h"
#include "mem/mem_internal.h"

#include <assert.h>
#include <stdlib.h>

static const struct trace_event mem_events[] = {
    [MEM_UNASSIGNED_READ] = { "mem.unassigned_read",
                              "a read of an address where there is nothing",
                              { { "addr", TRACE_HEX }, { "size", TRACE_BYTES } } },
    [MEM_UNASSIGNED_WRITE] = { "mem.unassigned_write",
                               "a write to an address where there is nothing",
                               { { "addr", TRACE_HEX }, { "size", TRACE_BYTES } } },
    [MEM_INVALID_ACCESS] = { "mem.invalid_access",
                             "an access of a size or alignment that the device does not take",
                             { { "offset", TRACE_HEX },
                               { "size", TRACE_BYTES },
                               { "write", TRACE_BOOL } } },
    [MEM_MAP] = { "mem.map",
                  "a region is put into another one",
                  { { "into", TRACE_TEXT },
                    { "addr", TRACE_HEX },
                    { "last", TRACE_HEX },
                    { "priority", TRACE_INT } } },
    [MEM_UNMAP] = { "mem.unmap",
                    "a region is taken out of another one",
                    { { "from", TRACE_TEXT }, { "addr", TRACE_HEX } } },
    [MEM_COMMIT] = { "mem.commit",
                     "changes of regions take effect",
                     { { "number", TRACE_DEC }, { "views", TRACE_DEC } } },
    [MEM_VIEW] = { "mem.view",
                   "an address space looks different now",
                   { { "ranges", TRACE_DEC } } },
};
struct trace_table mem_trace = TRACE_TABLE(mem_events);

void mem_set_trace(struct mem *m, struct trace *t)
{
    m->trace = t;
}

struct mem *mem_new(void)
{
    struct mem *m = ALLOC(struct mem);
    m->generation = 1;
    m->empty = flatview_new_empty();
    m->spaces_end = &m->spaces;
    return m;
}

void mem_free(struct mem *m)
{
    if (!m)
        return;
    assert(!m->depth && !m->spaces && !m->regions);
    flatview_unref(m->empty);
    free(m->ram);
    free(m);
}

const struct mem_stats *mem_stats(const struct mem *m)
{
    return &m->stats;
}

/* A mark that is there already has been passed on, unless at a region that was not enabled or not
 * yet part of anything; enabling and adding mark anew. */
static void mark(struct region *r)
{
    r->changed = r->mem->generation;
    if (!r->enabled)
        return;
    if (r->parent && r->parent->changed != r->mem->generation)
        mark(r->parent);
    for (struct region *a = r->aliases; a; a = a->next_alias)
        if (a->changed != r->mem->generation)
            mark(a);
}

void mem_region_changed(struct region *r)
{
    assert(r->mem->depth);
    r->mem->pending = true;
    mark(r);
}

/* The view for an address space with this (resolved) root; the caller gets a reference. `done` are
 * the address spaces before this one, which have theirs. */
static struct flatview *view_for(struct mem *m, struct region *root,
                                 const struct address_space *until)
{
    if (!root)
        return flatview_ref(m->empty);
    struct flatview *present = NULL;
    for (struct address_space *as = m->spaces; as; as = as->next) {
        if (as == until)
            break;
        if (as->view->root == root)
            return flatview_ref(as->view);
    }
    for (struct address_space *as = m->spaces; as && !present; as = as->next)
        if (as->old->root == root)
            present = as->old;
    if (present && root->changed != m->generation)
        return flatview_ref(present);
    struct flatview *v = flatview_new(root);
    m->stats.views_rendered++;
    if (present && flatview_equal(v, present)) {
        flatview_unref(v);
        return flatview_ref(present);
    }
    return v;
}

/* Is there a range in `v` equal to `r`? `at` is a cursor for ascending questions. */
static bool has_range(const struct flatview *v, const struct flat_range *r, size_t *at)
{
    while (*at < v->count && v->ranges[*at].start < r->start)
        (*at)++;
    return *at < v->count && flat_range_equal(&v->ranges[*at], r);
}

/* Call `told` for the ranges of `v` that `other` does not have. */
static void tell_missing(struct mem_listener *l, const struct flatview *v,
                         const struct flatview *other, bool *begun,
                         void (*told)(struct mem_listener *, const struct flat_range *))
{
    size_t at = 0;
    for (size_t i = 0; i < v->count; i++) {
        if (has_range(other, &v->ranges[i], &at))
            continue;
        if (!*begun && l->begin)
            l->begin(l);
        *begun = true;
        if (told)
            told(l, &v->ranges[i]);
    }
}

static void tell(struct mem_listener *l, const struct flatview *old, const struct flatview *new)
{
    bool begun = false;
    if (old == new)
        return;
    tell_missing(l, old, new, &begun, l->remove);
    tell_missing(l, new, old, &begun, l->add);
    if (begun && l->commit)
        l->commit(l);
}

/* After the fact and from the start of the list each time, because whoever hears of it may change
 * regions and address spaces in turn. */
static void tell_trace(struct mem *m, uint64_t rendered)
{
    TRACE(mem_trace, MEM_COMMIT, mem_source(m, "mem"), m->stats.commits,
          m->stats.views_rendered - rendered);
    for (struct address_space *as = m->spaces; as;) {
        bool told = as->differs;
        as->differs = false;
        if (told)
            TRACE(mem_trace, MEM_VIEW, mem_source(m, as->name), as->view->count);
        as = told ? m->spaces : as->next;
    }
}

static void publish(struct mem *m)
{
    assert(!m->publishing);
    uint64_t rendered = m->stats.views_rendered;
    m->publishing = true;
    while (m->pending) {
        m->pending = false;
        m->stats.commits++;
        for (struct address_space *as = m->spaces; as; as = as->next)
            as->old = as->view;
        for (struct address_space *as = m->spaces; as; as = as->next)
            as->view = view_for(m, flatview_resolve_root(as->root), as);
        m->generation++;
        for (struct mem_listener *l = m->listeners, *next; l; l = next) {
            next = l->next;
            tell(l, l->as->old, l->as->view);
        }
        for (struct address_space *as = m->spaces; as; as = as->next) {
            as->differs |= as->old != as->view;
            flatview_unref(as->old);
            as->old = NULL;
        }
    }
    m->publishing = false;
    tell_trace(m, rendered);
}

void mem_begin(struct mem *m)
{
    m->depth++;
}

void mem_commit(struct mem *m)
{
    assert(m->depth);
    if (--m->depth == 0 && m->pending && !m->publishing)
        publish(m);
}

static bool view_shows(const struct flatview *v, const struct region *r)
{
    if (v->root == r)
        return true;
    for (; v; v = v->beneath)
        for (size_t i = 0; i < v->count; i++)
            if (v->ranges[i].region == r)
                return true;
    return false;
}

bool mem_has_region(const struct mem *m, const struct region *r)
{
    const struct region *known = m->regions;
    while (known && known != r)
        known = known->next;
    return known != NULL;
}

bool mem_shows_region(const struct mem *m, const struct region *r)
{
    for (const struct address_space *as = m->spaces; as; as = as->next)
        if (view_shows(as->view, r))
            return true;
    return false;
}

void mem_forget_region(struct region *r)
{
    for (struct address_space *as = r->mem->spaces; as; as = as->next)
        assert(as->root != r);
    if (r->mem->pending && mem_shows_region(r->mem, r))
        publish(r->mem);
}

void mem_space_opened(struct address_space *as)
{
    struct mem *m = as->mem;
    assert(!m->publishing);
    mem_begin(m);
    as->view = flatview_ref(m->empty);
    *m->spaces_end = as;
    m->spaces_end = &as->next;
    m->pending = true;
    mem_commit(m);
}

void mem_space_closed(struct address_space *as)
{
    struct mem *m = as->mem;
    assert(!m->publishing);
    for (struct mem_listener *l = m->listeners; l; l = l->next)
        assert(l->as != as);
    struct address_space **p = &m->spaces;
    while (*p != as)
        p = &(*p)->next;
    *p = as->next;
    if (m->spaces_end == &as->next)
        m->spaces_end = p;
    flatview_unref(as->view);
}

void mem_listener_add(struct mem *m, struct mem_listener *l)
{
    assert(!m->publishing);
    struct mem_listener **p = &m->listeners;
    while (*p)
        p = &(*p)->next;
    *p = l;
    l->next = NULL;
    tell(l, m->empty, l->as->view);
}

void mem_listener_remove(struct mem *m, struct mem_listener *l)
{
    struct mem_listener **p = &m->listeners;
    while (*p && *p != l)
        p = &(*p)->next;
    if (*p)
        *p = l->next;
}
