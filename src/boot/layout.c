/* What goes where in guest RAM while a program is loaded. See layout.h. */
#include "boot/layout.h"

#include "base/alloc.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LAYOUT_SMALL_MIN = 0x10000, LAYOUT_SMALL_LEAST = 0x1000 };

static void piece_add(struct layout *l, uint64_t start, uint64_t last, const char *name)
{
    ALLOC_GROW(l->pieces, l->piece_count, l->piece_capacity);
    struct layout_piece *p = &l->pieces[l->piece_count++];
    p->start = start;
    p->last = last;
    snprintf(p->name, sizeof p->name, "%s", name);
}

/* Entries come sorted: neighbours become one. */
static void ram_add(struct layout *l, uint64_t start, uint64_t last)
{
    struct layout_piece *end = l->ram_count ? &l->ram[l->ram_count - 1] : NULL;
    if (end && end->last != UINT64_MAX && start <= end->last + 1) {
        if (last > end->last)
            end->last = last;
        return;
    }
    ALLOC_GROW(l->ram, l->ram_count, l->ram_capacity);
    l->ram[l->ram_count++] = (struct layout_piece){ .start = start, .last = last };
}

static int e820_compare(const void *a, const void *b)
{
    const struct boot_e820 *x = a, *y = b;
    return x->addr < y->addr ? -1 : x->addr > y->addr;
}

/* Entries come sorted: neighbours become one, or a tap in the midst of RAM would be seen. */
static void map_add_ram(struct layout *l, uint64_t start, uint64_t last)
{
    struct boot_e820 *end = l->map_count ? &l->map[l->map_count - 1] : NULL;
    if (end && end->addr + end->size == start) {
        end->size += last - start + 1;
        return;
    }
    ALLOC_GROW(l->map, l->map_count, l->map_capacity);
    l->map[l->map_count++] = (struct boot_e820){ start, last - start + 1, BOOT_E820_RAM };
}

/* The RAM that a view shows within [start, last], under taps too, as a memory map. */
static void map_from_view(struct layout *l, const struct flatview *v, uint64_t start, uint64_t last)
{
    for (size_t i = 0; v && i < v->count; i++) {
        const struct flat_range *r = &v->ranges[i];
        uint64_t first = r->start > start ? r->start : start;
        uint64_t end = r->last < last ? r->last : last;
        if (first > end)
            continue;
        if (r->region->kind == REGION_TAP)
            map_from_view(l, r->beneath, first, end);
        else if (r->host && !r->readonly && r->region->kind == REGION_RAM)
            map_add_ram(l, first, end);
    }
}

static bool map_from_config(struct layout *l, const struct boot_config *config, struct error *err)
{
    if (config->e820_count > BOOT_E820_MAX)
        return error_set(err, "memory map: %zu entries, at most %d can be told to a guest",
                         config->e820_count, BOOT_E820_MAX);
    l->map = alloc_zero(config->e820_count, sizeof *l->map);
    for (size_t i = 0; i < config->e820_count; i++) {
        const struct boot_e820 *e = &config->e820[i];
        if (e->size == 0)
            continue;
        if (e->size - 1 > UINT64_MAX - e->addr)
            return error_set(err, "memory map: entry %zu (0x%llx, 0x%llx bytes) wraps", i + 1,
                             (unsigned long long)e->addr, (unsigned long long)e->size);
        l->map[l->map_count++] = *e;
    }
    qsort(l->map, l->map_count, sizeof *l->map, e820_compare);
    return true;
}

bool layout_init(struct layout *l, const struct boot_config *config, struct error *err)
{
    *l = (struct layout){ .as = config->as };
    if (config->e820_count == 0)
        map_from_view(l, address_space_view(l->as), 0, UINT64_MAX);
    else if (!map_from_config(l, config, err))
        return false;
    for (size_t i = 0; i < l->map_count; i++) {
        const struct boot_e820 *e = &l->map[i];
        if (e->type == BOOT_E820_RAM)
            ram_add(l, e->addr, e->addr + e->size - 1);
        else
            piece_add(l, e->addr, e->addr + e->size - 1, "a reserved range of the memory map");
    }
    return true;
}

void layout_fini(struct layout *l)
{
    free(l->map);
    free(l->ram);
    free(l->pieces);
    *l = (struct layout){ 0 };
}

uint64_t layout_ram_size(const struct layout *l)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < l->ram_count; i++)
        sum += l->ram[i].last - l->ram[i].start + 1;
    return sum;
}

void layout_describe_ram(const struct layout *l, char *buf, size_t size)
{
    size_t at = 0;
    snprintf(buf, size, "none");
    for (size_t i = 0; i < l->ram_count && at < size; i++)
        at += snprintf(buf + at, size - at, "%s0x%llx-0x%llx", i ? ", " : "",
                       (unsigned long long)l->ram[i].start, (unsigned long long)l->ram[i].last);
}

static const struct layout_piece *piece_over(const struct layout *l, uint64_t start, uint64_t last)
{
    for (size_t i = 0; i < l->piece_count; i++)
        if (start <= l->pieces[i].last && last >= l->pieces[i].start)
            return &l->pieces[i];
    return NULL;
}

static bool ram_holds(const struct layout *l, uint64_t start, uint64_t last)
{
    for (size_t i = 0; i < l->ram_count; i++)
        if (start >= l->ram[i].start && last <= l->ram[i].last)
            return true;
    return false;
}

bool layout_claim(struct layout *l, uint64_t start, uint64_t size, const char *name,
                  struct error *err)
{
    if (size == 0)
        return true;
    uint64_t last = start + size - 1;
    if (last < start || !ram_holds(l, start, last)) {
        char ram[256];
        layout_describe_ram(l, ram, sizeof ram);
        return error_set(err,
                         "%s at 0x%llx (0x%llx bytes) is outside RAM; the machine has "
                         "%llu KiB at %s",
                         name, (unsigned long long)start, (unsigned long long)size,
                         (unsigned long long)layout_ram_size(l) / 1024, ram);
    }
    const struct layout_piece *p = piece_over(l, start, last);
    if (p)
        return error_set(err, "%s at 0x%llx-0x%llx overlaps %s at 0x%llx-0x%llx", name,
                         (unsigned long long)start, (unsigned long long)last, p->name,
                         (unsigned long long)p->start, (unsigned long long)p->last);
    piece_add(l, start, last, name);
    return true;
}

static bool no_room(const struct layout *l, uint64_t size, uint64_t max, const char *name,
                    struct error *err)
{
    char ram[256];
    layout_describe_ram(l, ram, sizeof ram);
    return error_set(err,
                     "%s (%llu bytes) does not fit into RAM at or below 0x%llx; the machine has "
                     "%llu KiB at %s: give it more memory",
                     name, (unsigned long long)size, (unsigned long long)max,
                     (unsigned long long)layout_ram_size(l) / 1024, ram);
}

/* The lowest free place in [start, last], or false. */
static bool low_place(const struct layout *l, uint64_t start, uint64_t last, uint64_t size,
                      uint64_t align, uint64_t *addr)
{
    for (;;) {
        uint64_t at = align_up(start, align);
        if (at < start || at > last || last - at < size - 1)
            return false;
        const struct layout_piece *p = piece_over(l, at, at + size - 1);
        if (!p) {
            *addr = at;
            return true;
        }
        if (p->last == UINT64_MAX)
            return false;
        start = p->last + 1;
    }
}

static bool high_place(const struct layout *l, uint64_t start, uint64_t last, uint64_t size,
                       uint64_t align, uint64_t *addr)
{
    while (last >= start && last - start >= size - 1) {
        uint64_t at = align_down(last - (size - 1), align);
        if (at < start)
            return false;
        const struct layout_piece *p = piece_over(l, at, at + size - 1);
        if (!p) {
            *addr = at;
            return true;
        }
        if (p->start == 0)
            return false;
        last = p->start - 1;
    }
    return false;
}

bool layout_place_low(struct layout *l, uint64_t size, uint64_t align, uint64_t min, uint64_t max,
                      const char *name, uint64_t *addr, struct error *err)
{
    for (size_t i = 0; size && i < l->ram_count; i++) {
        uint64_t start = l->ram[i].start > min ? l->ram[i].start : min;
        uint64_t last = l->ram[i].last < max ? l->ram[i].last : max;
        if (low_place(l, start, last, size, align, addr)) {
            piece_add(l, *addr, *addr + size - 1, name);
            return true;
        }
    }
    return no_room(l, size, max, name, err);
}

bool layout_place_high(struct layout *l, uint64_t size, uint64_t align, uint64_t max,
                       const char *name, uint64_t *addr, struct error *err)
{
    for (size_t i = l->ram_count; size && i > 0; i--) {
        const struct layout_piece *r = &l->ram[i - 1];
        if (high_place(l, r->start, r->last < max ? r->last : max, size, align, addr)) {
            piece_add(l, *addr, *addr + size - 1, name);
            return true;
        }
    }
    return no_room(l, size, max, name, err);
}

bool layout_place_small(struct layout *l, uint64_t size, const char *name, uint64_t *addr,
                        struct error *err)
{
    return layout_place_low(l, size, 4096, LAYOUT_SMALL_MIN, UINT32_MAX, name, addr, NULL) ||
           layout_place_low(l, size, 4096, LAYOUT_SMALL_LEAST, UINT32_MAX, name, addr, err);
}

uint8_t *layout_ptr(struct layout *l, uint64_t addr, uint64_t *len, struct error *err)
{
    uint64_t ram_addr;
    uint8_t *p = address_space_ptr(l->as, addr, len, true, &ram_addr);
    if (!p || *len == 0) {
        error_set(err, "0x%llx is RAM in the memory map but not in the machine",
                  (unsigned long long)addr);
        return NULL;
    }
    mem_ram_written(address_space_mem(l->as), ram_addr, *len);
    return p;
}

bool layout_write(struct layout *l, uint64_t addr, const void *data, uint64_t size,
                  struct error *err)
{
    const uint8_t *from = data;
    while (size) {
        uint64_t n = size;
        uint8_t *p = layout_ptr(l, addr, &n, err);
        if (!p)
            return false;
        memcpy(p, from, n);
        addr += n;
        from += n;
        size -= n;
    }
    return true;
}

bool layout_read(struct layout *l, uint64_t addr, const struct image *image, uint64_t offset,
                 uint64_t size, struct error *err)
{
    while (size) {
        uint64_t n = size;
        uint8_t *p = layout_ptr(l, addr, &n, err);
        if (!p || !image_read(image, offset, p, n, err))
            return false;
        addr += n;
        offset += n;
        size -= n;
    }
    return true;
}

bool layout_zero(struct layout *l, uint64_t addr, uint64_t size, struct error *err)
{
    while (size) {
        uint64_t n = size;
        uint8_t *p = layout_ptr(l, addr, &n, err);
        if (!p)
            return false;
        memset(p, 0, n);
        addr += n;
        size -= n;
    }
    return true;
}

bool layout_put_string(struct layout *l, const char *s, const char *name, uint64_t *addr,
                       struct error *err)
{
    uint64_t size = strlen(s) + 1;
    return layout_place_small(l, size, name, addr, err) && layout_write(l, *addr, s, size, err);
}
