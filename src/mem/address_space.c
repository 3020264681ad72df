/* Address spaces: finding what an access meets, and copying in bulk.
 *
 * RAM is served here; everything else goes through the range (access.c). A device's callback may
 * change the topology and so replace the view under our feet, so an access that is more than one
 * range's holds a reference to its view, and bulk copies look the present view up anew for each
 * piece. */
#include "mem/address_space.h"

#include "base/alloc.h"
#include "base/log.h"
#include "mem/mem_internal.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>

struct address_space *address_space_new(struct mem *m, struct region *root, const char *name)
{
    struct address_space *as = ALLOC(struct address_space);
    assert(!root || root->mem == m);
    as->name = alloc_string(name);
    as->mem = m;
    as->root = root;
    mem_space_opened(as);
    return as;
}

void address_space_free(struct address_space *as)
{
    if (!as)
        return;
    space_taps_gone(as);
    mem_space_closed(as);
    free(as->name);
    free(as);
}

const char *address_space_name(const struct address_space *as)
{
    return as->name;
}

struct region *address_space_root(const struct address_space *as)
{
    return as->root;
}

struct mem *address_space_mem(const struct address_space *as)
{
    return as->mem;
}

void address_space_set_root(struct address_space *as, struct region *root)
{
    assert(!root || root->mem == as->mem);
    if (as->root == root)
        return;
    mem_begin(as->mem);
    as->root = root;
    as->mem->pending = true;
    mem_commit(as->mem);
}

struct address_space *address_space_next(struct mem *m, struct address_space *as)
{
    return as ? as->next : m->spaces;
}

struct flatview *address_space_view(const struct address_space *as)
{
    return as->view;
}

static void log_unassigned(const struct address_space *as, const char *what, bool write,
                           uint64_t addr, uint64_t size)
{
    TRACE(mem_trace, write ? MEM_UNASSIGNED_WRITE : MEM_UNASSIGNED_READ,
          mem_source(as->mem, as->name), addr, size);
    log_guest(as->name, "%s of %" PRIu64 " bytes at 0x%" PRIx64 ", where there is nothing", what,
              size, addr);
}

/* Does the range serve `size` bytes at `addr`, which it holds, from host memory? */
static bool is_direct(const struct flat_range *r, uint64_t addr, uint64_t size)
{
    return r && r->host && r->last - addr >= size - 1;
}

/* Is it a device's alone? Nothing of the view is looked at once the device has been called. */
static bool is_device(const struct flat_range *r, uint64_t addr, uint64_t size)
{
    return r && !r->host && r->region->kind != REGION_TAP && r->last - addr >= size - 1;
}

enum mem_result address_space_load(struct address_space *as, uint64_t addr, unsigned size,
                                   uint64_t *value)
{
    const struct flat_range *r = flatview_lookup(as->view, addr);
    if (LIKELY(is_direct(r, addr, size))) {
        *value = host_load(r->host + (addr - r->start), size);
        return MEM_OK;
    }
    if (LIKELY(is_device(r, addr, size)))
        return flat_range_load(r, addr, size, value);
    struct flatview *v = flatview_ref(as->view);
    enum mem_result result = view_load(as->mem, v, addr, size, value);
    flatview_unref(v);
    if (UNLIKELY(result & MEM_UNASSIGNED))
        log_unassigned(as, "a read", false, addr, size);
    return result;
}

enum mem_result address_space_store(struct address_space *as, uint64_t addr, unsigned size,
                                    uint64_t value)
{
    const struct flat_range *r = flatview_lookup(as->view, addr);
    if (LIKELY(is_direct(r, addr, size) && !r->readonly)) {
        range_host_store(r, addr - r->start, size, value);
        return MEM_OK;
    }
    if (LIKELY(is_device(r, addr, size)))
        return flat_range_store(r, addr, size, value);
    struct flatview *v = flatview_ref(as->view);
    enum mem_result result = view_store(as->mem, v, addr, size, value);
    flatview_unref(v);
    if (UNLIKELY(result & MEM_UNASSIGNED))
        log_unassigned(as, "a write", true, addr, size);
    return result;
}

/* One step of a copy: [addr, addr+len) cut to one range or one hole of the present view. */
struct step {
    const struct flat_range *range; /* NULL: a hole */
    uint64_t len;
};

static struct step next_step(const struct flatview *v, uint64_t addr, uint64_t len)
{
    const struct flat_range *r = flatview_lookup(v, addr);
    if (r) {
        uint64_t rest = r->last - addr;
        return (struct step){ r, rest < len - 1 ? rest + 1 : len };
    }
    r = flatview_next(v, addr);
    return (struct step){ NULL, r && r->start - addr < len ? r->start - addr : len };
}

/* The last address of [addr, addr+len), and how many bytes of it lie beyond the end of all
 * addresses. */
static size_t cut_at_end(uint64_t addr, size_t len)
{
    uint64_t after = UINT64_MAX - addr; /* bytes after the first */
    return len && len - 1 > after ? len - 1 - after : 0;
}

static enum mem_result read_piece(struct address_space *as, uint64_t addr, uint8_t *buf,
                                  struct step *s)
{
    if (s->range->host) {
        memcpy(buf, s->range->host + (addr - s->range->start), s->len);
        return MEM_OK;
    }
    uint64_t value;
    s->len = flat_range_access_size(s->range, addr, s->len);
    struct flatview *v = flatview_ref(as->view);
    enum mem_result result = flat_range_load(s->range, addr, (unsigned)s->len, &value);
    flatview_unref(v);
    st_le(buf, (unsigned)s->len, value);
    return result;
}

enum mem_result space_read(struct address_space *as, uint64_t addr, void *buf, size_t len)
{
    uint8_t *p = buf;
    size_t beyond = cut_at_end(addr, len), left = len - beyond;
    enum mem_result result = MEM_OK;
    while (left) {
        struct step s = next_step(as->view, addr, left);
        if (s.range) {
            result |= read_piece(as, addr, p, &s);
        } else {
            memset(p, 0xff, s.len);
            as->mem->stats.unassigned_reads++;
            result |= MEM_UNASSIGNED;
        }
        p += s.len;
        addr += s.len;
        left -= s.len;
    }
    if (beyond) {
        memset(p, 0xff, beyond);
        as->mem->stats.unassigned_reads++;
        result |= MEM_UNASSIGNED;
    }
    if (result & MEM_UNASSIGNED)
        log_unassigned(as, "a copy", false, addr - (len - beyond), len);
    return result;
}

enum mem_result address_space_read(struct address_space *as, uint64_t addr, void *buf, size_t len)
{
    return UNLIKELY(as->taps != NULL) ? space_tapped_read(as, addr, buf, len)
                                      : space_read(as, addr, buf, len);
}

static void write_host(struct region *r, uint64_t offset, const uint8_t *buf, uint64_t len)
{
    bool told = ram_region_written(r, offset, len);
    memcpy(r->host + offset, buf, len);
    if (!told)
        ram_region_changed(r, offset, len);
}

static enum mem_result write_piece(struct address_space *as, uint64_t addr, const uint8_t *buf,
                                   struct step *s)
{
    const struct flat_range *r = s->range;
    if (r->host && !r->readonly) {
        write_host(r->region, r->offset + (addr - r->start), buf, s->len);
        return MEM_OK;
    }
    s->len = flat_range_access_size(r, addr, s->len);
    struct flatview *v = flatview_ref(as->view);
    enum mem_result result =
        flat_range_store(r, addr, (unsigned)s->len, ld_le(buf, (unsigned)s->len));
    flatview_unref(v);
    return result;
}

/* As write_piece, but host memory is written whatever protects it: ROM, read-only aliases, ROM
 * devices that answer commands, and taps over these. */
static enum mem_result write_rom_piece(struct address_space *as, uint64_t addr, const uint8_t *buf,
                                       struct step *s)
{
    const struct flat_range *r = s->range;
    while (r && r->region->kind == REGION_TAP) {
        if (!r->beneath)
            return write_piece(as, addr, buf, s);
        struct step below = next_step(r->beneath, addr, s->len);
        s->len = below.len;
        if (!below.range)
            return write_piece(as, addr, buf, s);
        r = below.range;
    }
    if (!r->region->host)
        return write_piece(as, addr, buf, s);
    write_host(r->region, r->offset + (addr - r->start), buf, s->len);
    return MEM_OK;
}

static enum mem_result
write_by(struct address_space *as, uint64_t addr, const void *buf, size_t len,
         enum mem_result (*piece)(struct address_space *, uint64_t, const uint8_t *, struct step *))
{
    const uint8_t *p = buf;
    size_t beyond = cut_at_end(addr, len), left = len - beyond;
    enum mem_result result = MEM_OK;
    while (left) {
        struct step s = next_step(as->view, addr, left);
        if (s.range) {
            result |= piece(as, addr, p, &s);
        } else {
            as->mem->stats.unassigned_writes++;
            result |= MEM_UNASSIGNED;
        }
        p += s.len;
        addr += s.len;
        left -= s.len;
    }
    if (beyond) {
        as->mem->stats.unassigned_writes++;
        result |= MEM_UNASSIGNED;
    }
    if (result & MEM_UNASSIGNED)
        log_unassigned(as, "a copy", true, addr - (len - beyond), len);
    return result;
}

enum mem_result space_write(struct address_space *as, uint64_t addr, const void *buf, size_t len)
{
    return write_by(as, addr, buf, len, write_piece);
}

enum mem_result address_space_write(struct address_space *as, uint64_t addr, const void *buf,
                                    size_t len)
{
    return UNLIKELY(as->taps != NULL) ? space_tapped_write(as, addr, buf, len)
                                      : space_write(as, addr, buf, len);
}

enum mem_result address_space_write_rom(struct address_space *as, uint64_t addr, const void *buf,
                                        size_t len)
{
    return write_by(as, addr, buf, len, write_rom_piece);
}

void *address_space_ptr(struct address_space *as, uint64_t addr, uint64_t *len, bool write,
                        uint64_t *ram_addr)
{
    const struct flat_range *r = flatview_lookup(as->view, addr);
    uint64_t last = UINT64_MAX;
    while (r && r->region->kind == REGION_TAP) {
        last = r->last < last ? r->last : last;
        r = r->beneath ? flatview_lookup(r->beneath, addr) : NULL;
    }
    if (!r || !r->host || (write && r->readonly) || as->taps)
        return NULL;
    uint64_t into = addr - r->start, rest = (r->last < last ? r->last : last) - addr;
    if (rest<UINT64_MAX && * len> rest + 1)
        *len = rest + 1;
    if (ram_addr)
        *ram_addr = r->ram_addr + into;
    return r->host + into;
}
