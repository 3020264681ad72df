/* Taps: a region laid over others that sees the accesses going by.
 *
 * A watch or a memory fault is a region like any other, of higher priority, so paths without taps
 * test nothing. A tap covers a stretch of a container; an access to it is shown to `ops`, which may
 * change it, and then goes on to what the flat view would have had there without the tap. Where
 * taps lie over each other the newest is asked first, and each once. A callback may change the
 * topology, and may finish its own tap and others: the access then goes on to what lay beneath when
 * it began, as far as that still exists. */
#pragma once

#include "mem/region.h"

struct tap_ops {
    /* After the read beneath: may replace *value. Before it when `before` is set; then returning
     * false means *value is the answer and nothing beneath is read. NULL: reads pass. */
    bool (*read)(void *opaque, uint64_t offset, unsigned size, uint64_t *value);
    /* Before the write beneath: may replace *value; false drops it. NULL: writes pass. */
    bool (*write)(void *opaque, uint64_t offset, unsigned size, uint64_t *value);
    bool before;
};

/* Make a tap over [addr, addr+size) of `container`, at a priority above all there. `offset`s count
 * from `addr`. region_fini() removes it. */
void region_init_tap(struct region *tap, struct region *container, const char *name, uint64_t addr,
                     uint64_t size, const struct tap_ops *ops, void *opaque);
