/* Address spaces: a root region seen by a cpu or by a device that does DMA.
 *
 * Accesses need the machine lock (they may reach devices). A vcpu that wants to touch RAM without
 * it keeps a reference to the view (address_space_view) and swaps it when its listener says so.
 * Address spaces whose roots resolve to the same region share one view. */
#pragma once

#include "mem/flatview.h"
#include "mem/mem.h"

enum mem_result {
    MEM_OK = 0,
    MEM_UNASSIGNED =
        1,           /* some byte had nothing behind it: it read as all ones, or was not written */
    MEM_INVALID = 2, /* the device does not allow such an access (size, alignment): same effect */
};

struct address_space;

/* `root` NULL: nothing anywhere. `name` is copied; it is what `info mtree` shows. */
struct address_space *address_space_new(struct mem *m, struct region *root, const char *name);
void address_space_free(struct address_space *as); /* NULL is allowed */

const char *address_space_name(const struct address_space *as);
struct region *address_space_root(const struct address_space *as);
struct mem *address_space_mem(const struct address_space *as);
void address_space_set_root(struct address_space *as, struct region *root);

/* All address spaces of a memory system, in order of creation: NULL starts, NULL ends. */
struct address_space *address_space_next(struct mem *m, struct address_space *as);

/* The present view, borrowed: valid until the machine lock is released (take a reference to keep
 * it). */
struct flatview *address_space_view(const struct address_space *as);

/* One access of 1, 2, 4 or 8 bytes as a cpu makes it; values are in host order, guest
 * little-endian. An access may cross ranges. Returns the OR of what its parts met. */
enum mem_result address_space_load(struct address_space *as, uint64_t addr, unsigned size,
                                   uint64_t *value);
enum mem_result address_space_store(struct address_space *as, uint64_t addr, unsigned size,
                                    uint64_t value);

/* Copy bytes, as DMA does: RAM directly, devices by accesses as wide as they allow. Ranges beyond
 * 2^64 wrap no further: the rest is unassigned. */
enum mem_result address_space_read(struct address_space *as, uint64_t addr, void *buf, size_t len);
enum mem_result address_space_write(struct address_space *as, uint64_t addr, const void *buf,
                                    size_t len);

/* The same, but a write to ROM changes its contents: for loaders and debuggers, not for guests. */
enum mem_result address_space_write_rom(struct address_space *as, uint64_t addr, const void *buf,
                                        size_t len);

/* Host pointer to memory at `addr`, under taps too, which are not told, and how many bytes follow
 * (at most *len), or NULL: for loaders and debuggers. A writer calls mem_ram_written for what it
 * changes. */
void *address_space_ptr(struct address_space *as, uint64_t addr, uint64_t *len, bool write,
                        uint64_t *ram_addr);

/* Accesses to one range found by a lookup, for vcpus that keep a view: `addr` is in the range, the
 * access does not leave it. The machine lock is needed unless range->host serves it. */
enum mem_result flat_range_load(const struct flat_range *r, uint64_t addr, unsigned size,
                                uint64_t *value);
enum mem_result flat_range_store(const struct flat_range *r, uint64_t addr, unsigned size,
                                 uint64_t value);

/* ---- taps on transfers: space_tap.c ---- */

/* Is shown the transfers that are made with address_space_read() and _write(): a device's DMA
 * through its own space. (Cpus load and store.) Without one the two test one pointer. */
enum space_verdict {
    SPACE_GO,      /* to the next tap, and then it happens */
    SPACE_NOTHING, /* as if nothing were at `addr` */
    SPACE_TAKEN,   /* a write: nothing happens here, and for the device it went well */
};

struct space_tap {
    /* Reads: after. Writes: before. `data` may be changed. */
    enum space_verdict (*transfer)(void *opaque, uint64_t addr, uint8_t *data, size_t len,
                                   bool write);
    void (*gone)(void *opaque); /* the address space goes, and the tap is off it */
    void *opaque;
    struct space_tap *next;
};

/* Called in order of adding. Both may be called from within a tap. */
void address_space_add_tap(struct address_space *as, struct space_tap *t);
void address_space_remove_tap(struct address_space *as, struct space_tap *t);
