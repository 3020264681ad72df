/* One access to one range: host memory, a device within the sizes that it takes, or a tap; and
 * accesses that cross ranges.
 *
 * Memory is a sequence of bytes. The guest is little-endian: byte 0 of an access is the low byte of
 * the value. A device's value is assembled from the same bytes in the device's order, so an access
 * that is split or merged meets the same bytes as one that is not. */
#include "base/log.h"
#include "mem/mem_internal.h"

#include <inttypes.h>

/* The sizes of a device with the defaults filled in. */
struct sizes {
    unsigned valid_min, valid_max, impl_min, impl_max;
};

static struct sizes sizes_of(const struct region_ops *ops)
{
    struct sizes s = {
        .valid_min = ops->valid.min ? ops->valid.min : 1,
        .valid_max = ops->valid.max ? ops->valid.max : 8,
        .impl_min = ops->impl.min ? ops->impl.min : 1,
        .impl_max = ops->impl.max,
    };
    if (!s.impl_max) {
        s.impl_max = 4;
        if (s.impl_max > s.valid_max)
            s.impl_max = s.valid_max;
        if (s.impl_max < s.valid_min)
            s.impl_max = s.valid_min;
    }
    if (s.impl_max < s.impl_min)
        s.impl_max = s.impl_min;
    return s;
}

static bool is_valid(const struct region_ops *ops, const struct sizes *s, uint64_t offset,
                     unsigned size)
{
    return size >= s->valid_min && size <= s->valid_max &&
           (ops->valid.unaligned || !(offset & (size - 1)));
}

uint8_t access_plain_sizes(const struct region_ops *ops)
{
    struct sizes s = sizes_of(ops);
    uint8_t plain = 0;
    for (unsigned size = 1; size <= 8 && ops->endian == ENDIAN_LITTLE; size *= 2)
        if (size >= s.valid_min && size <= s.valid_max && size >= s.impl_min && size <= s.impl_max)
            plain |= (uint8_t)size;
    return plain;
}

/* One call of the device does it. */
static bool is_plain(const struct region *r, uint64_t offset, unsigned size)
{
    return r->plain & size && !(offset & (size - 1));
}

/* The largest power of two that is at most `n`, which is not 0. */
static unsigned pow2_below(uint64_t n)
{
    return n >= 8 ? 8 : n >= 4 ? 4 : n >= 2 ? 2 : 1;
}

/* One call of a device's callback, and which bytes of the access it carries. */
struct unit {
    uint64_t offset;
    unsigned size;
    unsigned skip;  /* bytes of the unit before those of the access */
    unsigned bytes; /* of the access: fewer than `size` when a narrow access is widened */
};

/* The unit for the first of `left` bytes at `offset`. */
static struct unit next_unit(const struct region_ops *ops, const struct sizes *s, uint64_t offset,
                             unsigned left)
{
    unsigned size = pow2_below(left < s->impl_max ? left : s->impl_max);
    if (!ops->impl.unaligned)
        while (offset & (size - 1))
            size /= 2;
    if (size >= s->impl_min)
        return (struct unit){ offset, size, 0, size };
    struct unit u = { align_down(offset, s->impl_min), s->impl_min, 0, 0 };
    u.skip = (unsigned)(offset - u.offset);
    u.bytes = u.size - u.skip < left ? u.size - u.skip : left;
    return u;
}

/* Between the order of the device and that of the guest. */
static uint64_t swap_for(const struct region_ops *ops, uint64_t value, unsigned size)
{
    if (ops->endian == ENDIAN_BIG)
        return __builtin_bswap64(value) >> (64 - size * 8);
    return value & bits_mask(size * 8);
}

static uint64_t read_unit(const struct region_ops *ops, void *opaque, const struct unit *u)
{
    uint64_t all_ones = bits_mask(u->size * 8);
    if (!ops->read)
        return all_ones;
    return swap_for(ops, ops->read(opaque, u->offset, u->size) & all_ones, u->size);
}

static void invalid(const struct region *r, bool write, uint64_t offset, unsigned size)
{
    log_guest(r->name, "%s of %u bytes at offset 0x%" PRIx64 ", which the device does not take",
              write ? "a write" : "a read", size, offset);
    TRACE(mem_trace, MEM_INVALID_ACCESS, mem_source(r->mem, r->name), offset, size, write);
}

static enum mem_result device_load(const struct region *r, uint64_t offset, unsigned size,
                                   uint64_t *value)
{
    const struct region_ops *ops = r->ops;
    void *opaque = r->opaque;
    if (LIKELY(is_plain(r, offset, size) && ops->read)) {
        *value = ops->read(opaque, offset, size) & bits_mask(size * 8);
        return MEM_OK;
    }
    struct sizes s = sizes_of(ops);
    if (UNLIKELY(!is_valid(ops, &s, offset, size))) {
        *value = bits_mask(size * 8);
        invalid(r, false, offset, size);
        return MEM_INVALID;
    }
    uint64_t v = 0;
    for (unsigned done = 0; done < size;) {
        struct unit u = next_unit(ops, &s, offset + done, size - done);
        uint64_t bytes = read_unit(ops, opaque, &u) >> (u.skip * 8) & bits_mask(u.bytes * 8);
        v |= bytes << (done * 8);
        done += u.bytes;
    }
    *value = v;
    return MEM_OK;
}

static enum mem_result device_store(const struct region *r, uint64_t offset, unsigned size,
                                    uint64_t value)
{
    const struct region_ops *ops = r->ops;
    void *opaque = r->opaque;
    if (LIKELY(is_plain(r, offset, size) && ops->write)) {
        ops->write(opaque, offset, value & bits_mask(size * 8), size);
        return MEM_OK;
    }
    struct sizes s = sizes_of(ops);
    if (UNLIKELY(!is_valid(ops, &s, offset, size))) {
        invalid(r, true, offset, size);
        return MEM_INVALID;
    }
    if (!ops->write)
        return MEM_OK;
    for (unsigned done = 0; done < size;) {
        struct unit u = next_unit(ops, &s, offset + done, size - done);
        uint64_t bytes = value >> (done * 8) & bits_mask(u.bytes * 8);
        if (u.bytes < u.size)
            bytes = bits_put(read_unit(ops, opaque, &u), u.skip * 8, u.bytes * 8, bytes);
        ops->write(opaque, u.offset, swap_for(ops, bytes, u.size), u.size);
        done += u.bytes;
    }
    return MEM_OK;
}

enum mem_result flat_range_load(const struct flat_range *r, uint64_t addr, unsigned size,
                                uint64_t *value)
{
    if (LIKELY(r->host != NULL)) {
        *value = host_load(r->host + (addr - r->start), size);
        return MEM_OK;
    }
    if (r->region->kind == REGION_TAP)
        return tap_load(r, addr, size, value);
    return device_load(r->region, r->offset + (addr - r->start), size, value);
}

enum mem_result flat_range_store(const struct flat_range *r, uint64_t addr, unsigned size,
                                 uint64_t value)
{
    uint64_t into = addr - r->start;
    if (LIKELY(r->host && !r->readonly)) {
        range_host_store(r, into, size, value);
        return MEM_OK;
    }
    if (r->region->kind == REGION_TAP)
        return tap_store(r, addr, size, value);
    if (!r->region->ops)
        return MEM_OK; /* read-only memory drops writes */
    return device_store(r->region, r->offset + into, size, value);
}

unsigned flat_range_access_size(const struct flat_range *r, uint64_t addr, uint64_t len)
{
    uint64_t most = r->last - addr < 8 ? r->last - addr + 1 : 8;
    unsigned size = pow2_below(len < most ? len : most);
    if (r->region->kind == REGION_TAP) {
        const struct flat_range *below = r->beneath ? flatview_lookup(r->beneath, addr) : NULL;
        return below ? flat_range_access_size(below, addr, len) : size;
    }
    const struct region_ops *ops = r->region->ops;
    if (r->host && (!r->readonly || !ops))
        return size;
    uint64_t offset = r->offset + (addr - r->start);
    unsigned max = sizes_of(ops).valid_max;
    size = size < max ? size : max;
    if (!ops->valid.unaligned)
        while (offset & (size - 1))
            size /= 2;
    return size;
}

bool view_is_alive(const struct mem *m, uint64_t finished, const struct flatview *v, uint64_t addr,
                   unsigned size)
{
    if (LIKELY(m->finished == finished))
        return true;
    uint64_t last = addr + (size - 1) < addr ? UINT64_MAX : addr + (size - 1);
    for (; v; v = v->beneath) {
        const struct flat_range *r = flatview_next(v, addr), *end = v->ranges + v->count;
        for (; r && r < end && r->start <= last; r++)
            if (!mem_shows_region(m, r->region))
                return false;
    }
    return true;
}

/* Does the access, which leaves its range, belong to the range's region all the same? */
static bool takes_whole(const struct flat_range *r, uint64_t addr, unsigned size)
{
    const struct region *region = r->region;
    if (region->kind != REGION_IO || !region->ops->whole)
        return false;
    uint64_t offset = r->offset + (addr - r->start);
    return region->last - offset >= size - 1;
}

/* The first piece of an access that leaves its range: within one range or hole, and aligned. */
static unsigned first_piece(const struct flatview *v, uint64_t addr, unsigned left)
{
    const struct flat_range *r = flatview_next(v, addr);
    uint64_t rest = left;
    if (r && r->start > addr && r->start - addr < rest)
        rest = r->start - addr;
    else if (r && r->start <= addr && r->last - addr < rest)
        rest = r->last - addr + 1;
    unsigned size = pow2_below(rest < left ? rest : left);
    while (addr & (size - 1))
        size /= 2;
    return size;
}

static enum mem_result load_pieces(struct mem *m, const struct flatview *v, uint64_t addr,
                                   unsigned size, uint64_t *value)
{
    enum mem_result result = MEM_OK;
    uint64_t all = 0, finished = m->finished;
    for (unsigned done = 0; done < size;) {
        uint64_t part, at = addr + done;
        /* Beyond the last address there is nothing, nor where a callback took away what there was.
         */
        if (at < addr || !view_is_alive(m, finished, v, at, size - done)) {
            all |= bits_mask((size - done) * 8) << (done * 8);
            m->stats.unassigned_reads++;
            result |= MEM_UNASSIGNED;
            break;
        }
        unsigned n = first_piece(v, at, size - done);
        result |= view_load(m, v, at, n, &part);
        all |= part << (done * 8);
        done += n;
    }
    *value = all;
    return result;
}

enum mem_result view_load(struct mem *m, const struct flatview *v, uint64_t addr, unsigned size,
                          uint64_t *value)
{
    const struct flat_range *r = flatview_lookup(v, addr);
    if (LIKELY(r && r->last - addr >= size - 1))
        return flat_range_load(r, addr, size, value);
    if (r && takes_whole(r, addr, size))
        return device_load(r->region, r->offset + (addr - r->start), size, value);
    const struct flat_range *next = r ? r : flatview_next(v, addr);
    if (!r && UINT64_MAX - addr >= size - 1 && (!next || next->start - addr >= size)) {
        *value = bits_mask(size * 8);
        m->stats.unassigned_reads++;
        return MEM_UNASSIGNED;
    }
    return load_pieces(m, v, addr, size, value);
}

static enum mem_result store_pieces(struct mem *m, const struct flatview *v, uint64_t addr,
                                    unsigned size, uint64_t value)
{
    enum mem_result result = MEM_OK;
    uint64_t finished = m->finished;
    for (unsigned done = 0; done < size;) {
        uint64_t at = addr + done;
        if (at < addr || !view_is_alive(m, finished, v, at, size - done)) {
            m->stats.unassigned_writes++;
            return result | MEM_UNASSIGNED;
        }
        unsigned n = first_piece(v, at, size - done);
        result |= view_store(m, v, at, n, value >> (done * 8) & bits_mask(n * 8));
        done += n;
    }
    return result;
}

enum mem_result view_store(struct mem *m, const struct flatview *v, uint64_t addr, unsigned size,
                           uint64_t value)
{
    const struct flat_range *r = flatview_lookup(v, addr);
    if (LIKELY(r && r->last - addr >= size - 1))
        return flat_range_store(r, addr, size, value);
    if (r && takes_whole(r, addr, size))
        return device_store(r->region, r->offset + (addr - r->start), size, value);
    const struct flat_range *next = r ? r : flatview_next(v, addr);
    if (!r && UINT64_MAX - addr >= size - 1 && (!next || next->start - addr >= size)) {
        m->stats.unassigned_writes++;
        return MEM_UNASSIGNED;
    }
    return store_pieces(m, v, addr, size, value);
}
