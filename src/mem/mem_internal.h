/* What the files of src/mem share among themselves. */
#pragma once

#include "mem/address_space.h"
#include "mem/flatview.h"
#include "mem/mem.h"
#include "mem/region.h"

struct mem {
    unsigned depth;      /* of nested transactions */
    bool pending;        /* something changed since the views were published */
    bool publishing;     /* listeners are being told */
    uint64_t generation; /* of the changes being collected; regions changed in it carry it */
    uint64_t finished;   /* regions finished so far */
    struct flatview *empty;
    struct region *regions; /* all of them, newest first */
    struct address_space *spaces, **spaces_end;
    struct mem_listener *listeners;
    struct mem_code_watch *code_watches;
    struct mem_dirty_source *dirty_sources;
    struct region **ram; /* RAM-like regions in order of ram_addr */
    size_t ram_count, ram_capacity;
    size_t ram_hit; /* index of the one found last */
    uint64_t ram_size;
    struct mem_stats stats;
    struct trace *trace; /* NULL: nobody can listen */
};

struct address_space {
    char *name;
    struct mem *mem;
    struct region *root;
    struct flatview *view; /* published; never NULL */
    struct flatview *old;  /* the one before, while listeners are told the difference */
    bool differs;          /* from what was last told as an event */
    struct address_space *next;
    struct space_tap *taps;
    struct tap_walk *walks; /* calls of taps under way */
};

/* address_space.c: the transfers themselves. */
enum mem_result space_read(struct address_space *as, uint64_t addr, void *buf, size_t len);
enum mem_result space_write(struct address_space *as, uint64_t addr, const void *buf, size_t len);

/* space_tap.c */
enum mem_result space_tapped_read(struct address_space *as, uint64_t addr, void *buf, size_t len);
enum mem_result space_tapped_write(struct address_space *as, uint64_t addr, const void *buf,
                                   size_t len);
void space_taps_gone(struct address_space *as);

/* mem.c */
enum {
    MEM_UNASSIGNED_READ,
    MEM_UNASSIGNED_WRITE,
    MEM_INVALID_ACCESS,
    MEM_MAP,
    MEM_UNMAP,
    MEM_COMMIT,
    MEM_VIEW,
};
void mem_region_changed(struct region *r); /* within a transaction: r looks different now */
void mem_forget_region(struct region *r);  /* make sure that no published view shows it */
bool mem_shows_region(const struct mem *m, const struct region *r);
void mem_space_opened(struct address_space *as);
void mem_space_closed(struct address_space *as);

/* An event that `who` (an address space, a region) is the source of. */
static inline struct trace_source mem_source(const struct mem *m, const char *who)
{
    return (struct trace_source){ m->trace, who };
}

/* ram.c */
bool ram_attach(struct region *r, struct error *err); /* host memory, flags and RAM addresses */
void ram_detach(struct region *r);
/* Tell of bytes before they are written; whether somebody was told. If not, tell after it too: a
 * cpu may have begun to decode from the page meanwhile. */
bool ram_region_written(struct region *r, uint64_t offset, uint64_t len);
void ram_region_changed(struct region *r, uint64_t offset, uint64_t len);

/* dirty.c: pages [first, last] of a region are written. */
void dirty_mark(struct region *r, size_t first, size_t last);

/* Single host accesses where they are aligned: other vcpus must not see half of one. */
static inline uint64_t host_load(const uint8_t *p, unsigned size)
{
    switch (size) {
    case 1:
        return *p;
    case 2:
        return ld_le16(p);
    case 4:
        return ld_le32(p);
    default:
        return ld_le64(p);
    }
}

static inline void host_store(uint8_t *p, unsigned size, uint64_t value)
{
    switch (size) {
    case 1:
        *p = (uint8_t)value;
        break;
    case 2:
        st_le16(p, (uint16_t)value);
        break;
    case 4:
        st_le32(p, (uint32_t)value);
        break;
    default:
        st_le64(p, value);
    }
}

/* A store to the writable host memory of a range, `into` bytes from its start. Who hears of it may
 * replace the view, so the range is not looked at afterwards. */
static inline void range_host_store(const struct flat_range *r, uint64_t into, unsigned size,
                                    uint64_t value)
{
    uint8_t *p = r->host + into;
    struct region *region = r->region;
    uint64_t offset = r->offset + into;
    bool told = ram_region_written(region, offset, size);
    host_store(p, size, value);
    if (LIKELY(!told))
        ram_region_changed(region, offset, size);
}

/* access.c: region->plain. */
uint8_t access_plain_sizes(const struct region_ops *ops);

/* flatview.c */
struct flatview *flatview_new_empty(void);
bool flatview_equal(const struct flatview *a, const struct flatview *b);
/* The region whose view is the view of `root`: chains of containers and aliases that only pass it
 * on are followed. NULL: nothing is there. */
struct region *flatview_resolve_root(struct region *root);

/* access.c: an access that may cross ranges and holes of a view, which stays referenced by the
 * caller. */
enum mem_result view_load(struct mem *m, const struct flatview *v, uint64_t addr, unsigned size,
                          uint64_t *value);
enum mem_result view_store(struct mem *m, const struct flatview *v, uint64_t addr, unsigned size,
                           uint64_t value);
/* Views do not keep regions alive. Are those that [addr, addr+size) meets in `v` still there, when
 * m->finished was `finished` at a time when all were? */
bool view_is_alive(const struct mem *m, uint64_t finished, const struct flatview *v, uint64_t addr,
                   unsigned size);
/* The widest single access at `addr`, of at most `len` bytes, that the range takes. */
unsigned flat_range_access_size(const struct flat_range *r, uint64_t addr, uint64_t len);

/* tap.c */
enum mem_result tap_load(const struct flat_range *r, uint64_t addr, unsigned size, uint64_t *value);
enum mem_result tap_store(const struct flat_range *r, uint64_t addr, unsigned size, uint64_t value);
