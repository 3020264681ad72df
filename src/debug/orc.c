/* Loading ORC tables.
 *
 * An entry is two offsets of 16 bits and 16 bits of fields, which three generations of kernels have
 * laid out differently:
 *
 *     4.14 to 6.2    sp_reg 0-3, bp_reg 4-7, type 8-9 (call, regs, partial), end 10
 *     6.3            the same, signal 10, end 11
 *     from 6.4       sp_reg 0-3, bp_reg 4-7, type 8-10 (undefined, end, call, regs, partial),
 * signal 11
 *
 * Nothing in the tables tells which it is (6.6 has a hash, but of the whole header), so it is told
 * from the fields: by far most entries are of calls, which is type 0 in one and 2 in the other; and
 * bit 11 is only ever set where it exists. */
#include "debug/orc.h"

#include "base/alloc.h"
#include "base/bits.h"
#include "debug/kernel_image.h"

#include <stdlib.h>
#include <string.h>

enum { ENTRY_SIZE = 6, ENTRIES_MAX = 4 << 20 };

enum generation { GENERATION_4_14, GENERATION_6_3, GENERATION_6_4 };

struct orc {
    enum generation generation;
    size_t count;
    uint64_t *ips; /* ascending */
    struct orc_entry *entries;
};

static enum generation tell_generation(const uint8_t *entries, size_t count)
{
    size_t calls_2 = 0, calls_0 = 0;
    bool bit_11 = false;
    for (size_t i = 0; i < count; i++) {
        uint16_t fields = ld_le16(entries + i * ENTRY_SIZE + 4);
        if (bits_get(fields, 0, 4) != ORC_REG_SP)
            continue;
        calls_0 += bits_get(fields, 8, 3) == 0;
        calls_2 += bits_get(fields, 8, 3) == 2;
        bit_11 |= fields >> 11 & 1;
    }
    for (size_t i = 0; i < count; i++)
        bit_11 |= ld_le16(entries + i * ENTRY_SIZE + 4) >> 11 & 1;
    if (calls_2 > calls_0)
        return GENERATION_6_4;
    return bit_11 ? GENERATION_6_3 : GENERATION_4_14;
}

static void decode(struct orc_entry *e, const uint8_t *bytes, enum generation generation)
{
    static const uint8_t old_types[] = { ORC_CALL, ORC_REGS, ORC_REGS_PARTIAL, ORC_UNKNOWN };
    static const uint8_t new_types[] = { ORC_UNKNOWN,      ORC_BOTTOM,  ORC_CALL,    ORC_REGS,
                                         ORC_REGS_PARTIAL, ORC_UNKNOWN, ORC_UNKNOWN, ORC_UNKNOWN };
    uint16_t fields = ld_le16(bytes + 4);
    e->sp_offset = ld_le16(bytes);
    e->bp_offset = ld_le16(bytes + 2);
    e->sp_reg = bits_get(fields, 0, 4);
    e->bp_reg = bits_get(fields, 4, 4);
    if (generation == GENERATION_6_4) {
        e->type = new_types[bits_get(fields, 8, 3)];
        e->signal = fields >> 11 & 1;
        return;
    }
    e->type = old_types[bits_get(fields, 8, 2)];
    /* The older ones do not tell: registers pushed by an interrupt are where it struck. */
    e->signal = generation == GENERATION_6_3 ? fields >> 10 & 1 : e->type != ORC_CALL;
    if (fields >> (generation == GENERATION_6_3 ? 11 : 10) & 1)
        e->type = ORC_BOTTOM;
    else if (e->sp_reg == ORC_REG_UNDEFINED)
        e->type = ORC_UNKNOWN;
}

/* `like`: tables of the same generation; NULL: it is told from the entries. */
static struct orc *new_like(const struct orc *like, const uint8_t *ips, size_t ips_size,
                            uint64_t ips_addr, const uint8_t *entries, size_t entries_size,
                            struct error *err)
{
    size_t count = ips_size / 4;
    if (count == 0 || count > ENTRIES_MAX || ips_size % 4 || entries_size != count * ENTRY_SIZE) {
        error_set(err, "ORC: %zu bytes of addresses and %zu of entries do not belong together",
                  ips_size, entries_size);
        return NULL;
    }
    struct orc *o = ALLOC(struct orc);
    o->count = count;
    o->ips = alloc_zero(count, sizeof *o->ips);
    o->entries = alloc_zero(count, sizeof *o->entries);
    o->generation = like ? like->generation : tell_generation(entries, count);
    for (size_t i = 0; i < count; i++) {
        o->ips[i] = ips_addr + 4 * i + (int64_t)(int32_t)ld_le32(ips + 4 * i);
        decode(&o->entries[i], entries + i * ENTRY_SIZE, o->generation);
        if (i && o->ips[i] < o->ips[i - 1]) {
            error_set(err,
                      "ORC: entry %zu of %zu is out of order: the table is damaged or unsorted", i,
                      count);
            orc_free(o);
            return NULL;
        }
    }
    return o;
}

struct orc *orc_new(const uint8_t *ips, size_t ips_size, uint64_t ips_addr, const uint8_t *entries,
                    size_t entries_size, struct error *err)
{
    return new_like(NULL, ips, ips_size, ips_addr, entries, entries_size, err);
}

void orc_free(struct orc *o)
{
    if (!o)
        return;
    free(o->ips);
    free(o->entries);
    free(o);
}

size_t orc_count(const struct orc *o)
{
    return o->count;
}

const struct orc_entry *orc_find(const struct orc *o, uint64_t pc)
{
    /* The last entry ends the code of the one before. */
    if (pc < o->ips[0] || pc >= o->ips[o->count - 1])
        return NULL;
    size_t low = 0, high = o->count;
    while (high - low > 1) {
        size_t mid = low + (high - low) / 2;
        if (o->ips[mid] <= pc)
            low = mid;
        else
            high = mid;
    }
    return &o->entries[low];
}

static bool table_bounds(struct symbols *s, const char *start_name, const char *stop_name,
                         uint64_t *start, size_t *size, struct error *err)
{
    const struct symbol *from = symbols_find(s, start_name, NULL);
    const struct symbol *to = symbols_find(s, stop_name, NULL);
    if (!from || !to)
        return error_set(err, "ORC: no symbol %s: the kernel is built without CONFIG_UNWINDER_ORC",
                         from ? stop_name : start_name);
    *start = from->addr;
    *size = to->addr - from->addr;
    return *size <= (size_t)ENTRIES_MAX * ENTRY_SIZE ||
           error_set(err, "ORC: %s and %s are 0x%zx bytes apart", start_name, stop_name, *size);
}

static uint8_t *read_table(const struct guest_memory *mem, uint64_t addr, size_t size,
                           struct error *err)
{
    uint8_t *bytes = malloc(size ? size : 1);
    if (!bytes) {
        error_set_host(err, 0, "no memory for %zu bytes of ORC tables", size);
    } else if (!guest_read(mem, addr, bytes, size)) {
        error_set(err, "ORC: the tables at 0x%llx cannot be read", (unsigned long long)addr);
        free(bytes);
        bytes = NULL;
    }
    return bytes;
}

static struct orc *load_tables(const struct orc *like, const struct guest_memory *mem,
                               uint64_t ips_addr, size_t ips_size, uint64_t entries_addr,
                               size_t entries_size, struct error *err)
{
    struct orc *o = NULL;
    uint8_t *ips = read_table(mem, ips_addr, ips_size, err);
    uint8_t *entries = ips ? read_table(mem, entries_addr, entries_size, err) : NULL;
    if (entries)
        o = new_like(like, ips, ips_size, ips_addr, entries, entries_size, err);
    free(ips);
    free(entries);
    return o;
}

struct orc *orc_load_memory(struct symbols *symbols, const struct guest_memory *mem,
                            struct error *err)
{
    uint64_t ips_addr, entries_addr;
    size_t ips_size, entries_size;
    if (!table_bounds(symbols, "__start_orc_unwind_ip", "__stop_orc_unwind_ip", &ips_addr,
                      &ips_size, err) ||
        !table_bounds(symbols, "__start_orc_unwind", "__stop_orc_unwind", &entries_addr,
                      &entries_size, err))
        return NULL;
    return load_tables(NULL, mem, ips_addr, ips_size, entries_addr, entries_size, err);
}

struct orc *orc_load_module(const struct symbols_orc *at, const struct orc *kernel,
                            const struct guest_memory *mem, struct error *err)
{
    if (at->count == 0 || at->count > ENTRIES_MAX) {
        error_set(err, "ORC: a module with %u entries", at->count);
        return NULL;
    }
    return load_tables(kernel, mem, at->ips, 4 * (size_t)at->count, at->entries,
                       ENTRY_SIZE * (size_t)at->count, err);
}

static bool read_image(void *opaque, uint64_t gva, void *buf, size_t len)
{
    size_t have;
    const uint8_t *bytes = kernel_image_at(opaque, gva, &have);
    if (!bytes || have < len)
        return false;
    memcpy(buf, bytes, len);
    return true;
}

/* Without section headers, by the names in kallsyms. */
static struct orc *load_by_names(const struct kernel_image *k, struct error *err)
{
    struct guest_memory mem = { read_image, (void *)k };
    struct symbols *s = symbols_new();
    struct orc *o = NULL;
    if (symbols_load_kallsyms_kernel(s, k, NULL, err))
        o = orc_load_memory(s, &mem, err);
    symbols_free(s);
    return o;
}

struct orc *orc_load_kernel(const struct kernel_image *k, struct error *err)
{
    size_t ips_size, entries_size;
    uint64_t ips_addr, entries_addr;
    const uint8_t *ips = kernel_image_section(k, ".orc_unwind_ip", &ips_size, &ips_addr);
    const uint8_t *entries = kernel_image_section(k, ".orc_unwind", &entries_size, &entries_addr);
    if (!ips || !entries)
        return load_by_names(k, err);
    struct orc *o = orc_new(ips, ips_size, ips_addr, entries, entries_size, err);
    if (!o)
        error_prefix(err, "kernel %s: ", kernel_image_path(k));
    return o;
}

struct orc *orc_load_image(const char *path, struct error *err)
{
    struct kernel_image *k = kernel_image_open(path, NULL, err);
    struct orc *o = k ? orc_load_kernel(k, err) : NULL;
    kernel_image_close(k);
    return o;
}
