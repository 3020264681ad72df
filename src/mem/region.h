/* Memory regions: the graph that describes what is where in a guest's address spaces.
 *
 * docs/memory.md tells the model with a worked map. In short: a region has a kind and a size;
 * containers hold other regions at offsets; where siblings overlap the higher priority wins, and
 * among equals the one added last; an alias shows a window of another region; a disabled region is
 * as if it were not there.
 *
 * Ownership: a region is embedded in (or owned by) a device or the machine, and outlives its place
 * in the graph: region_fini() takes it out first. RAM and ROM regions own their host memory. Every
 * function needs the machine lock; changes take effect at the end of the outermost transaction
 * (mem_begin … mem_commit), or at once outside of one. The one exception is region_fini(): what a
 * view still shows must not be freed, so inside a transaction it publishes the changes made so far.
 */
#pragma once

#include "base/bits.h"
#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct mem;
struct region;

enum region_kind {
    REGION_CONTAINER,
    REGION_RAM,
    REGION_ROM,        /* reads are direct; writes go to ops->write, or are dropped without ops */
    REGION_IO,         /* every access goes to ops */
    REGION_ALIAS,      /* a window of `alias` from `alias_offset` */
    REGION_ROM_DEVICE, /* as ROM while `direct_reads`, else as IO: flash chips */
    REGION_TAP,        /* forwards to what lies beneath it, through tap callbacks: see mem/tap.h */
};

enum endian { ENDIAN_LITTLE, ENDIAN_BIG };

/* What a device does when it is accessed. `offset` is from the region's start, `size` is 1, 2, 4
 * or 8. A callback sees accesses within `impl` sizes and, unless impl.unaligned, naturally aligned;
 * wider ones are split, narrower ones widened (reads) or merged (a narrow write reads the rest
 * first). Accesses outside `valid` never reach the device: reads give all ones, writes are dropped,
 * both are logged. 0 in a min or max means the default: valid 1..8, impl 1..4 (as far as valid
 * goes). */
struct region_ops {
    uint64_t (*read)(void *opaque, uint64_t offset, unsigned size);
    void (*write)(void *opaque, uint64_t offset, uint64_t value, unsigned size);
    enum endian endian;
    struct access_sizes {
        uint8_t min, max;
        bool unaligned;
    } valid, impl;
    /* An access that begins here and fits the region comes here as a whole, even where another
     * region lies over its later bytes: as a bus cycle, which is decoded by its first address. */
    bool whole;
};

/* Size for a region that spans all 2^64 bytes. */
#define REGION_SIZE_ALL UINT64_MAX

struct region {
    char *name;
    struct mem *mem;
    enum region_kind kind;
    uint64_t last; /* size - 1, so that 2^64 fits */
    bool enabled;
    bool readonly;     /* makes the RAM in or below it read-only: direct reads, dropped writes */
    bool direct_reads; /* ROM_DEVICE */
    /* place in the parent */
    struct region *parent;
    uint64_t addr; /* offset in the parent */
    int priority;
    struct region **children; /* highest priority first, newest first among equals */
    size_t child_count, child_capacity;
    /* what it is */
    const struct region_ops *ops;
    const struct tap_ops *tap_ops;
    void *opaque;
    uint8_t *host; /* RAM, ROM, ROM_DEVICE: host memory, page aligned, of host_size bytes */
    size_t host_size;
    uint64_t ram_addr; /* first byte in the machine's space of RAM pages: see mem.h */
    struct region *alias;
    uint64_t alias_offset;
    size_t alias_users; /* aliases that show this region: it may not be finished while there are */
    void *owner;        /* the device it belongs to (struct device), or NULL */
    bool dirty_log;     /* which of its pages are written is noted: region_set_dirty_log() */
    /* private to src/mem */
    uint8_t plain; /* sizes of accesses that `ops` takes as they are, where they are aligned */
    uint8_t *page_flags;                 /* of a RAM-like region: one byte per page */
    struct region *aliases, *next_alias; /* those that show this region; the next one of `alias` */
    struct region *next, **link;         /* all regions of `mem` */
    uint64_t changed;                    /* generation in which it, or something in it, changed */
};

static inline bool region_is_ram_like(const struct region *r)
{
    return r->host != NULL;
}

/* Make a region. `name` is copied. Sizes are in bytes, not 0, REGION_SIZE_ALL for 2^64. */
void region_init_container(struct region *r, struct mem *m, const char *name, uint64_t size);
void region_init_io(struct region *r, struct mem *m, const char *name, uint64_t size,
                    const struct region_ops *ops, void *opaque);
/* The window must lie within the target. */
void region_init_alias(struct region *r, struct mem *m, const char *name, struct region *target,
                       uint64_t offset, uint64_t size);
/* Zero-filled host memory, allocated lazily by the host. False with `err` (ERROR_HOST, or
 * ERROR_CONFIG for a size that is 0 or not a multiple of 4096) when it cannot be had. */
bool region_init_ram(struct region *r, struct mem *m, const char *name, uint64_t size,
                     struct error *err);
bool region_init_rom(struct region *r, struct mem *m, const char *name, uint64_t size,
                     const struct region_ops *ops, void *opaque, struct error *err);
bool region_init_rom_device(struct region *r, struct mem *m, const char *name, uint64_t size,
                            const struct region_ops *ops, void *opaque, struct error *err);

/* Take it out of its parent and free what it owns. Safe on a zeroed struct. */
void region_fini(struct region *r);

uint64_t region_size(const struct region *r); /* REGION_SIZE_ALL for 2^64 */

/* Is `what` reachable from `r`, through children and aliases, or the same? Then `r` cannot go into
 * it. */
bool region_contains(const struct region *r, const struct region *what);

/* Put `child` into container (or I/O region) `parent` at `addr`. It must have no parent yet, and
 * must not contain `parent` itself (through aliases included). */
void region_add(struct region *parent, uint64_t addr, struct region *child, int priority);
void region_remove(struct region *child);
void region_set_enabled(struct region *r, bool enabled);
void region_set_readonly(struct region *r, bool readonly);
void region_set_addr(struct region *r, uint64_t addr);
void region_set_alias_offset(struct region *r, uint64_t offset);
void region_set_direct_reads(struct region *r, bool direct);
