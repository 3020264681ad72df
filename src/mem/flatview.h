/* A flat view: what a root region looks like after aliases, priorities and enables are resolved.
 *
 * Immutable once published and reference-counted (atomically), so any thread may keep one and read
 * it without the machine lock. The ranges are sorted, do not overlap, and neighbours that continue
 * each other are one range. */
#pragma once

#include "mem/region.h"

#include <stdatomic.h>

struct flat_range {
    uint64_t start, last;  /* in the address space; inclusive */
    struct region *region; /* the leaf: never a container or an alias */
    uint64_t offset;       /* of `start` in the region */
    int priority;          /* of the region in its parent, for listings */
    bool readonly;         /* writes do not reach host memory */
    /* Host address of `start` for ranges that are read directly, else NULL. Written directly as
     * well unless readonly. */
    uint8_t *host;
    uint64_t ram_addr; /* of `start`, where host is not NULL */
    /* For a tap: the view to look up at the same address for what lies beneath (NULL: nothing). It
     * belongs to the view that holds this range. */
    struct flatview *beneath;
};

struct flatview {
    atomic_uint refs;
    struct region *root;
    struct flat_range *ranges;
    size_t count;
    atomic_size_t last_hit; /* index of the range found last: a hint */
    /* What the taps in this view lie over, taps further down included; NULL when there are none. It
     * holds nothing where this view has no tap. */
    struct flatview *beneath;
};

struct flatview *flatview_ref(struct flatview *v);
void flatview_unref(struct flatview *v); /* NULL is allowed */

/* The rest of flatview_lookup: a binary search. */
const struct flat_range *flatview_search(const struct flatview *v, uint64_t addr);

/* The range that holds `addr`, or NULL: unassigned. The range found last is tried first; O(log n).
 */
static inline const struct flat_range *flatview_lookup(const struct flatview *v, uint64_t addr)
{
    size_t hint = atomic_load_explicit(&v->last_hit, memory_order_relaxed);
    if (LIKELY(hint < v->count)) {
        const struct flat_range *r = &v->ranges[hint];
        if (LIKELY(addr >= r->start && addr <= r->last))
            return r;
    }
    return flatview_search(v, addr);
}

/* Render `root`; the caller owns one reference. NULL root: an empty view. */
struct flatview *flatview_new(struct region *root);

/* The first range that ends at or after `addr`: the one that holds it or the next one. NULL: none.
 */
const struct flat_range *flatview_next(const struct flatview *v, uint64_t addr);

/* Do the two say the same? For a tap this includes what lies beneath it. */
bool flat_range_equal(const struct flat_range *a, const struct flat_range *b);
