/* What the headers of src/mem promise, sentence by sentence. Random graphs are in mem_property.c.
 */
#define _GNU_SOURCE
#include "base/log.h"
#include "mem/address_space.h"
#include "mem/tap.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define PAGE 4096ull

/* A memory system with one address space over the container `root`. */
struct fixture {
    struct mem *m;
    struct region root;
    struct address_space *as;
};

static struct fixture *set_up(uint64_t size)
{
    struct fixture *f = calloc(1, sizeof *f);
    f->m = mem_new();
    region_init_container(&f->root, f->m, "root", size);
    f->as = address_space_new(f->m, &f->root, "memory");
    return f;
}

static void tear_down(struct fixture *f)
{
    address_space_free(f->as);
    region_fini(&f->root);
    mem_free(f->m);
    free(f);
}

/* The view as text: one "start-last name @offset" for each range, "(rom)" where readonly. */
static const char *flat_of(const struct flatview *v)
{
    static char text[4096];
    size_t n = 0;
    text[0] = 0;
    for (size_t i = 0; i < v->count; i++) {
        const struct flat_range *r = &v->ranges[i];
        n += (size_t)snprintf(text + n, sizeof text - n, "%s%llx-%llx %s", i ? ", " : "",
                              (unsigned long long)r->start, (unsigned long long)r->last,
                              r->region->name);
        if (r->offset)
            n += (size_t)snprintf(text + n, sizeof text - n, " @%llx",
                                  (unsigned long long)r->offset);
        if (r->readonly)
            n += (size_t)snprintf(text + n, sizeof text - n, " (rom)");
    }
    return text;
}

static const char *flat(struct fixture *f)
{
    return flat_of(address_space_view(f->as));
}

/* A device that notes its accesses and answers from 64 bytes of its own. */
struct device {
    struct region region;
    uint8_t bytes[64];
    char log[512];
};

static uint64_t device_read(void *opaque, uint64_t offset, unsigned size)
{
    struct device *d = opaque;
    size_t n = strlen(d->log);
    snprintf(d->log + n, sizeof d->log - n, "r%u@%llx ", size, (unsigned long long)offset);
    return offset < sizeof d->bytes && offset + size <= sizeof d->bytes
               ? ld_le(&d->bytes[offset], size)
               : 0;
}

static void device_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    struct device *d = opaque;
    size_t n = strlen(d->log);
    snprintf(d->log + n, sizeof d->log - n, "w%u@%llx=%llx ", size, (unsigned long long)offset,
             (unsigned long long)value);
    if (offset < sizeof d->bytes && offset + size <= sizeof d->bytes)
        st_le(&d->bytes[offset], size, value);
}

#define DEVICE_OPS .read = device_read, .write = device_write
static const struct region_ops plain = { DEVICE_OPS };

static void device_init(struct device *d, struct fixture *f, const char *name, uint64_t size,
                        const struct region_ops *ops)
{
    *d = (struct device){ 0 };
    for (unsigned i = 0; i < sizeof d->bytes; i++)
        d->bytes[i] = (uint8_t)i;
    region_init_io(&d->region, f->m, name, size, ops, d);
}

/* Compares the log and empties it. */
#define assert_log(d, expected)                  \
    do {                                         \
        assert_string_equal((d)->log, expected); \
        (d)->log[0] = 0;                         \
    } while (0)

static void ram_init(struct region *r, struct fixture *f, const char *name, uint64_t size)
{
    struct error err = { 0 };
    if (!region_init_ram(r, f->m, name, size, &err))
        fail_msg("%s", err.text);
}

static uint64_t load(struct fixture *f, uint64_t addr, unsigned size)
{
    uint64_t v = 0xdeadbeefdeadbeef;
    address_space_load(f->as, addr, size, &v);
    return v;
}

static void priorities_decide(void **state)
{
    struct fixture *f = set_up(0x10000);
    struct region low, high, late;
    ram_init(&low, f, "low", 0x4000);
    ram_init(&high, f, "high", PAGE);
    ram_init(&late, f, "late", PAGE);
    region_add(&f->root, 0x1000, &high, 1);
    region_add(&f->root, 0, &low, -1);
    assert_string_equal(flat(f), "0-fff low, 1000-1fff high, 2000-3fff low @2000");
    /* among equals the one added last */
    region_add(&f->root, 0x1000, &late, 1);
    assert_string_equal(flat(f), "0-fff low, 1000-1fff late, 2000-3fff low @2000");
    region_remove(&high);
    region_add(&f->root, 0x1000, &high, 1);
    assert_string_equal(flat(f), "0-fff low, 1000-1fff high, 2000-3fff low @2000");
    region_remove(&high);
    region_add(&f->root, 0x1000, &high, INT32_MIN);
    assert_string_equal(flat(f), "0-fff low, 1000-1fff late, 2000-3fff low @2000");
    region_set_enabled(&late, false);
    assert_string_equal(flat(f), "0-3fff low");
    region_fini(&low);
    assert_string_equal(flat(f), "1000-1fff high");
    region_fini(&high);
    region_fini(&late);
    assert_string_equal(flat(f), "");
    tear_down(f);
}

/* A container's own priority counts among its siblings; within it that of its children; holes show
 * what is beneath; what sticks out is cut off; an I/O region may hold others. */
static void nesting(void **state)
{
    struct fixture *f = set_up(0x10000);
    struct region ram, box, inner;
    struct device d, part;
    ram_init(&ram, f, "ram", 0x8000);
    region_init_container(&box, f->m, "box", 0x3000);
    ram_init(&inner, f, "inner", 0x4000);
    device_init(&d, f, "dev", 0x100, &plain);
    device_init(&part, f, "part", 4, &plain);
    region_add(&f->root, 0, &ram, 5);
    region_add(&f->root, 0x2000, &box, 6);
    region_add(&box, 0x2000, &inner, -100);
    assert_string_equal(flat(f), "0-3fff ram, 4000-4fff inner, 5000-7fff ram @5000");
    region_add(&box, 0, &d.region, 0);
    region_add(&d.region, 0xfe, &part.region, 0);
    assert_string_equal(flat(f), "0-1fff ram, 2000-20fd dev, 20fe-20ff part, 2100-3fff ram @2100, "
                                 "4000-4fff inner, 5000-7fff ram @5000");
    region_set_addr(&box, 0xe000);
    assert_string_equal(flat(f), "0-7fff ram, e000-e0fd dev, e0fe-e0ff part");
    region_fini(&box);
    assert_string_equal(flat(f), "0-7fff ram");
    assert_null(d.region.parent);
    assert_ptr_equal(part.region.parent, &d.region);
    region_fini(&d.region);
    region_fini(&part.region);
    region_fini(&inner);
    region_fini(&ram);
    region_fini(&ram); /* safe on a zeroed struct */
    tear_down(f);
}

static void aliases(void **state)
{
    struct fixture *f = set_up(0x100000);
    struct region ram, low, high, twice, box, shown;
    ram_init(&ram, f, "ram", 0x8000);
    region_init_alias(&low, f->m, "low", &ram, 0, 0x4000);
    region_init_alias(&high, f->m, "high", &ram, 0x4000, 0x4000);
    region_init_alias(&twice, f->m, "twice", &high, 0x1000, 0x2000);
    region_add(&f->root, 0, &low, 0);
    region_add(&f->root, 0x10000, &high, 0);
    region_add(&f->root, 0x20000, &twice, 0);
    assert_string_equal(flat(f), "0-3fff ram, 10000-13fff ram @4000, 20000-21fff ram @5000");
    assert_int_equal(ram.alias_users, 2);
    /* contiguous windows are one range */
    region_set_addr(&high, 0x4000);
    assert_string_equal(flat(f), "0-7fff ram, 20000-21fff ram @5000");
    region_set_alias_offset(&twice, 0);
    assert_string_equal(flat(f), "0-7fff ram, 20000-21fff ram @4000");
    /* the same bytes */
    address_space_store(f->as, 0x20010, 4, 0x12345678);
    assert_int_equal(load(f, 0x4010, 4), 0x12345678);
    /* of a container, partly below its start; enabled counts through aliases */
    region_init_container(&box, f->m, "box", 0x10000);
    region_init_alias(&shown, f->m, "shown", &box, 0x9000, 0x4000);
    region_remove(&high);
    region_add(&box, 0x8000, &high, 0);
    region_add(&f->root, 0x30000, &shown, 0);
    assert_string_equal(flat(f), "0-3fff ram, 20000-21fff ram @4000, 30000-32fff ram @5000");
    region_set_enabled(&ram, false);
    assert_string_equal(flat(f), "");
    region_set_enabled(&ram, true);
    region_set_enabled(&box, false);
    assert_string_equal(flat(f), "0-3fff ram, 20000-21fff ram @4000");
    assert_true(region_contains(&f->root, &ram));
    assert_false(region_contains(&box, &f->root));
    region_fini(&shown);
    region_fini(&box);
    region_fini(&twice);
    region_fini(&high);
    region_fini(&low);
    assert_int_equal(ram.alias_users, 0);
    region_fini(&ram);
    tear_down(f);
}

static void readonly_aliases(void **state)
{
    struct fixture *f = set_up(0x10000);
    struct region ram, window;
    ram_init(&ram, f, "ram", 0x4000);
    region_init_alias(&window, f->m, "window", &ram, 0x1000, PAGE);
    region_add(&f->root, 0, &ram, 0);
    region_add(&f->root, 0x1000, &window, 1);
    assert_string_equal(flat(f), "0-3fff ram");
    region_set_readonly(&window, true);
    assert_string_equal(flat(f), "0-fff ram, 1000-1fff ram @1000 (rom), 2000-3fff ram @2000");
    assert_int_equal(address_space_store(f->as, 0x1000, 4, 1), MEM_OK);
    assert_int_equal(load(f, 0x1000, 4), 0);
    uint64_t len = 0x2000;
    assert_null(address_space_ptr(f->as, 0x1000, &len, true, NULL));
    assert_ptr_equal(address_space_ptr(f->as, 0x1800, &len, false, NULL), ram.host + 0x1800);
    assert_int_equal(len, 0x800);
    assert_int_equal(address_space_write_rom(f->as, 0x0ffe, "abcd", 4), MEM_OK);
    assert_memory_equal(ram.host + 0x0ffe, "abcd", 4);
    region_fini(&window);
    region_fini(&ram);
    tear_down(f);
}

static void rom_and_rom_devices(void **state)
{
    struct fixture *f = set_up(0x10000);
    struct region rom;
    struct device r, d;
    struct error err;
    memset(&r, 0, sizeof r);
    memset(&d, 0, sizeof d);
    assert_true(region_init_rom(&rom, f->m, "rom", PAGE, NULL, NULL, &err));
    assert_true(region_init_rom(&r.region, f->m, "rom-ops", PAGE, &plain, &r, &err));
    assert_true(region_init_rom_device(&d.region, f->m, "flash", PAGE, &plain, &d, &err));
    region_add(&f->root, 0, &rom, 0);
    region_add(&f->root, 0x1000, &r.region, 0);
    region_add(&f->root, 0x2000, &d.region, 0);
    assert_string_equal(flat(f), "0-fff rom (rom), 1000-1fff rom-ops (rom), 2000-2fff flash (rom)");
    assert_int_equal(address_space_store(f->as, 0, 4, 0x11223344), MEM_OK);
    assert_int_equal(load(f, 0, 4), 0);
    address_space_store(f->as, 0x1004, 4, 0x11223344);
    assert_int_equal(load(f, 0x1004, 4), 0);
    assert_log(&r, "w4@4=11223344 ");
    address_space_write(f->as, 0x2000, "\xf0", 1);
    assert_int_equal(load(f, 0x2001, 1), 0);
    assert_log(&d, "w1@0=f0 ");
    region_set_direct_reads(&d.region, false);
    assert_null(flatview_lookup(address_space_view(f->as), 0x2000)->host);
    assert_int_equal(load(f, 0x2000, 1), 0xf0);
    assert_log(&d, "r1@0 ");
    /* a loader reaches the contents all the same */
    address_space_write_rom(f->as, 0x1fff, "xyz", 3);
    assert_log(&d, "");
    region_set_direct_reads(&d.region, true);
    assert_int_equal(load(f, 0x1fff, 2), 'x' | 'y' << 8);
    region_fini(&rom);
    region_fini(&r.region);
    region_fini(&d.region);
    tear_down(f);
}

static void split_and_merge(void **state)
{
    struct fixture *f = set_up(0x10000);
    static const struct region_ops bytes = { DEVICE_OPS, .impl = { 1, 1, false } };
    static const struct region_ops dwords = { DEVICE_OPS, .impl = { 4, 4, false } };
    static const struct region_ops loose = { DEVICE_OPS, .valid = { 1, 8, true } };
    static const struct region_ops any = { DEVICE_OPS, .valid = { 1, 8, true },
                                           .impl = { 1, 8, true } };
    struct device p, b, d, l, a;
    device_init(&p, f, "plain", 64, &plain);
    device_init(&b, f, "bytes", 64, &bytes);
    device_init(&d, f, "dwords", 64, &dwords);
    device_init(&l, f, "loose", 64, &loose);
    device_init(&a, f, "any", 64, &any);
    region_add(&f->root, 0x000, &p.region, 0);
    region_add(&f->root, 0x100, &b.region, 0);
    region_add(&f->root, 0x200, &d.region, 0);
    region_add(&f->root, 0x300, &l.region, 0);
    region_add(&f->root, 0x400, &a.region, 0);
    /* defaults: up to 8 valid, up to 4 implemented */
    assert_int_equal(load(f, 8, 8), 0x0f0e0d0c0b0a0908);
    assert_log(&p, "r4@8 r4@c ");
    assert_int_equal(load(f, 0x104, 4), 0x07060504);
    assert_log(&b, "r1@4 r1@5 r1@6 r1@7 ");
    address_space_store(f->as, 0x102, 2, 0xbbaa);
    assert_log(&b, "w1@2=aa w1@3=bb ");
    /* narrower than implemented: read whole, write after reading the rest */
    assert_int_equal(load(f, 0x206, 2), 0x0706);
    assert_log(&d, "r4@4 ");
    address_space_store(f->as, 0x205, 1, 0xee);
    assert_log(&d, "r4@4 w4@4=706ee04 ");
    address_space_store(f->as, 0x208, 8, 0x1817161514131211);
    assert_log(&d, "w4@8=14131211 w4@c=18171615 ");
    /* unaligned and valid, but implemented aligned only */
    assert_int_equal(load(f, 0x303, 4), 0x06050403);
    assert_log(&l, "r1@3 r2@4 r1@6 ");
    assert_int_equal(load(f, 0x403, 8), 0x0a09080706050403);
    assert_log(&a, "r8@3 ");
    region_fini(&p.region);
    region_fini(&b.region);
    region_fini(&d.region);
    region_fini(&l.region);
    region_fini(&a.region);
    tear_down(f);
}

static void invalid_accesses(void **state)
{
    struct fixture *f = set_up(0x10000);
    static const struct region_ops only4 = { DEVICE_OPS, .valid = { 4, 4, false } };
    static const struct region_ops only8 = { DEVICE_OPS, .valid = { 8, 8, false } };
    static const struct region_ops mute = { .endian = ENDIAN_LITTLE };
    struct device d, e, q;
    device_init(&d, f, "only4", 64, &only4);
    device_init(&e, f, "mute", 64, &mute);
    device_init(&q, f, "only8", 64, &only8);
    region_add(&f->root, 0, &d.region, 0);
    region_add(&f->root, 0x100, &e.region, 0);
    region_add(&f->root, 0x200, &q.region, 0);
    uint64_t v, logged = log_guest_count();
    assert_int_equal(address_space_load(f->as, 0, 2, &v), MEM_INVALID);
    assert_int_equal(v, 0xffff);
    assert_int_equal(address_space_load(f->as, 0, 8, &v), MEM_INVALID);
    assert_int_equal(v, UINT64_MAX);
    assert_int_equal(address_space_load(f->as, 2, 4, &v), MEM_INVALID);
    assert_int_equal(v, 0xffffffff);
    assert_int_equal(address_space_store(f->as, 0, 1, 0), MEM_INVALID);
    assert_int_equal(log_guest_count(), logged + 4);
    assert_log(&d, "");
    assert_int_equal(address_space_load(f->as, 4, 4, &v), MEM_OK);
    assert_log(&d, "r4@4 ");
    assert_int_equal(address_space_load(f->as, 0x208, 8, &v), MEM_OK);
    assert_log(&q, "r8@8 ");
    assert_int_equal(load(f, 0x100, 2), 0xffff);
    assert_int_equal(address_space_store(f->as, 0x100, 2, 0), MEM_OK);
    region_fini(&d.region);
    region_fini(&e.region);
    region_fini(&q.region);
    tear_down(f);
}

static void endianness(void **state)
{
    struct fixture *f = set_up(0x10000);
    static const struct region_ops big = { DEVICE_OPS, .endian = ENDIAN_BIG };
    static const struct region_ops big4 = { DEVICE_OPS, ENDIAN_BIG, .impl = { 4, 4, false } };
    struct device d, w;
    device_init(&d, f, "big", 64, &big);
    device_init(&w, f, "big4", 64, &big4);
    region_add(&f->root, 0, &d.region, 0);
    region_add(&f->root, 0x100, &w.region, 0);
    /* the device says 0x07060504 at 4: its byte at the lowest address is 07 */
    assert_int_equal(load(f, 4, 4), 0x04050607);
    assert_int_equal(load(f, 4, 1), 0x04);
    assert_int_equal(load(f, 8, 8), 0x0c0d0e0f08090a0b);
    assert_log(&d, "r4@4 r1@4 r4@8 r4@c ");
    address_space_store(f->as, 0, 2, 0x1234);
    assert_log(&d, "w2@0=3412 ");
    /* widened: the byte at the lowest address is the high one of the register */
    assert_int_equal(load(f, 0x104, 1), 0x07);
    assert_int_equal(load(f, 0x106, 2), 0x0405);
    address_space_store(f->as, 0x105, 1, 0xee);
    assert_log(&w, "r4@4 r4@4 r4@4 w4@4=7ee0504 ");
    region_fini(&d.region);
    region_fini(&w.region);
    tear_down(f);
}

static void unassigned(void **state)
{
    struct fixture *f = set_up(REGION_SIZE_ALL);
    struct region ram, top;
    uint64_t v;
    uint8_t buf[16];
    ram_init(&ram, f, "ram", PAGE);
    ram_init(&top, f, "top", PAGE);
    region_add(&f->root, 0x1000, &ram, 0);
    region_add(&f->root, 0 - PAGE, &top, 0);
    assert_string_equal(flat(f), "1000-1fff ram, fffffffffffff000-ffffffffffffffff top");
    const struct mem_stats *s = mem_stats(f->m);
    assert_int_equal(address_space_load(f->as, 0x10, 4, &v), MEM_UNASSIGNED);
    assert_int_equal(v, 0xffffffff);
    assert_int_equal(s->unassigned_reads, 1);
    assert_int_equal(address_space_store(f->as, 0x2000, 8, 1), MEM_UNASSIGNED);
    assert_int_equal(s->unassigned_writes, 1);
    /* across an edge: the part that is there counts */
    assert_int_equal(address_space_load(f->as, 0xffe, 4, &v), MEM_UNASSIGNED);
    assert_int_equal(v, 0x0000ffff);
    assert_int_equal(address_space_store(f->as, 0xffe, 4, 0x44332211), MEM_UNASSIGNED);
    assert_int_equal(ld_le16(ram.host), 0x4433);
    /* the last bytes of all, and beyond them: no wrap to 0 */
    assert_int_equal(address_space_store(f->as, 0 - 8ull, 8, 0x8877665544332211), MEM_OK);
    assert_int_equal(address_space_load(f->as, 0 - 4ull, 8, &v), MEM_UNASSIGNED);
    assert_int_equal(v, 0xffffffff88776655);
    assert_int_equal(address_space_store(f->as, 0 - 2ull, 4, 0), MEM_UNASSIGNED);
    assert_int_equal(address_space_read(f->as, 0 - 3ull, buf, sizeof buf), MEM_UNASSIGNED);
    assert_memory_equal(buf, "\x66\0\0\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 16);
    uint64_t writes = s->unassigned_writes;
    assert_int_equal(address_space_write(f->as, 0 - 1ull, buf, 2), MEM_UNASSIGNED);
    assert_int_equal(top.host[PAGE - 1], 0x66);
    assert_int_equal(s->unassigned_writes, writes + 1);
    memset(buf, 0, sizeof buf);
    assert_int_equal(address_space_read(f->as, 0x1ff8, buf, 16), MEM_UNASSIGNED);
    assert_memory_equal(buf, "\0\0\0\0\0\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff", 16);
    assert_int_equal(address_space_read(f->as, 0, buf, 0), MEM_OK);
    /* no address space root at all */
    struct address_space *none = address_space_new(f->m, NULL, "none");
    assert_int_equal(address_space_load(none, 0, 1, &v), MEM_UNASSIGNED);
    assert_int_equal(address_space_view(none)->count, 0);
    address_space_free(none);
    region_fini(&ram);
    region_fini(&top);
    tear_down(f);
}

/* Sizes and places up to 2^64 - 1. */
static void the_whole_range(void **state)
{
    struct fixture *f = set_up(REGION_SIZE_ALL);
    struct device d;
    struct region end, all;
    device_init(&d, f, "all", REGION_SIZE_ALL, &plain);
    assert_true(region_size(&d.region) == REGION_SIZE_ALL);
    region_init_alias(&all, f->m, "shifted", &d.region, 0x1000, UINT64_MAX - 0x1000 + 1);
    region_init_container(&end, f->m, "end", 0x2000);
    region_add(&f->root, 0, &d.region, -1);
    assert_string_equal(flat(f), "0-ffffffffffffffff all");
    assert_int_equal(load(f, 0 - 8ull, 8), 0);
    assert_log(&d, "r4@fffffffffffffff8 r4@fffffffffffffffc ");
    region_add(&f->root, 0 - 0x1000ull, &all, 0); /* sticks out: cut, not wrapped */
    assert_string_equal(flat(f), "0-ffffffffffffefff all, "
                                 "fffffffffffff000-ffffffffffffffff all @1000");
    region_fini(&all);
    region_fini(&end);
    region_fini(&d.region);
    tear_down(f);
}

static void cut_accesses_are_made_of_pieces(void **state)
{
    struct fixture *f = set_up(0x10000);
    struct device a, b;
    device_init(&a, f, "a", 6, &plain);
    device_init(&b, f, "b", 64, &plain);
    region_add(&f->root, 0, &a.region, 0);
    region_add(&f->root, 6, &b.region, 0);
    assert_int_equal(load(f, 4, 4), 0x01000504);
    assert_log(&a, "r2@4 ");
    assert_log(&b, "r2@0 ");
    address_space_store(f->as, 5, 2, 0xbbaa);
    assert_log(&a, "w1@5=aa ");
    assert_log(&b, "w1@0=bb ");
    region_fini(&a.region);
    region_fini(&b.region);
    tear_down(f);
}

static void copies_use_wide_accesses(void **state)
{
    struct fixture *f = set_up(0x10000);
    static const struct region_ops words = { DEVICE_OPS, .valid = { 2, 2, false } };
    struct device d, w;
    struct region ram;
    uint8_t buf[0x20] = { 0 };
    device_init(&d, f, "dev", 0x20, &plain);
    device_init(&w, f, "words", 0x20, &words);
    ram_init(&ram, f, "ram", PAGE);
    region_add(&f->root, 0x1000, &ram, 0);
    region_add(&f->root, 0x2000, &d.region, 0);
    region_add(&f->root, 0x3000, &w.region, 0);
    st_le32(ram.host + 0xffc, 0x44332211);
    assert_int_equal(address_space_read(f->as, 0x1ffc, buf, 0x11), MEM_OK);
    assert_memory_equal(buf, "\x11\x22\x33\x44\0\1\2\3\4\5\6\7\x8\x9\xa\xb\xc", 0x11);
    assert_log(&d, "r4@0 r4@4 r4@8 r1@c ");
    assert_int_equal(address_space_write(f->as, 0x3002, "abcd", 4), MEM_OK);
    assert_log(&w, "w2@2=6261 w2@4=6463 ");
    assert_int_equal(address_space_read(f->as, 0x3002, buf, 3), MEM_INVALID);
    assert_memory_equal(buf, "ab\xff", 3);
    region_fini(&d.region);
    region_fini(&w.region);
    region_fini(&ram);
    tear_down(f);
}

/* A listener that writes down what it is told. */
struct diary {
    struct mem_listener l;
    char text[1024];
};

static void note(struct diary *d, const char *what, const struct flat_range *r)
{
    size_t n = strlen(d->text);
    if (r)
        snprintf(d->text + n, sizeof d->text - n, "%s%llx-%llx ", what,
                 (unsigned long long)r->start, (unsigned long long)r->last);
    else
        snprintf(d->text + n, sizeof d->text - n, "%s ", what);
}

static void diary_begin(struct mem_listener *l)
{
    note((struct diary *)l, "(", NULL);
}

static void diary_remove(struct mem_listener *l, const struct flat_range *r)
{
    note((struct diary *)l, "-", r);
}

static void diary_add(struct mem_listener *l, const struct flat_range *r)
{
    note((struct diary *)l, "+", r);
}

static void diary_commit(struct mem_listener *l)
{
    note((struct diary *)l, ")", NULL);
}

static void diary_init(struct diary *d, struct address_space *as)
{
    *d = (struct diary){ 0 };
    d->l = (struct mem_listener){ as, diary_begin, diary_remove, diary_add, diary_commit, NULL };
}

#define assert_told(d, expected)                  \
    do {                                          \
        assert_string_equal((d)->text, expected); \
        (d)->text[0] = 0;                         \
    } while (0)

static void listeners_hear_differences(void **state)
{
    struct fixture *f = set_up(0x100000);
    struct region a, b, c;
    struct diary d, quiet;
    ram_init(&a, f, "a", PAGE);
    ram_init(&b, f, "b", PAGE);
    ram_init(&c, f, "c", PAGE);
    region_add(&f->root, 0x1000, &a, 0);
    region_add(&f->root, 0x8000, &b, 0);
    diary_init(&d, f->as);
    mem_listener_add(f->m, &d.l);
    assert_told(&d, "( +1000-1fff +8000-8fff ) ");
    diary_init(&quiet, f->as);
    quiet.l.begin = quiet.l.commit = NULL;
    mem_listener_add(f->m, &quiet.l);
    assert_told(&quiet, "+1000-1fff +8000-8fff ");
    region_add(&f->root, 0x4000, &c, 0);
    assert_told(&d, "( +4000-4fff ) ");
    assert_told(&quiet, "+4000-4fff ");
    mem_begin(f->m);
    region_set_addr(&a, 0x9000);
    region_set_addr(&b, 0x2000);
    mem_commit(f->m);
    assert_told(&d, "( -1000-1fff -8000-8fff +2000-2fff +9000-9fff ) ");
    /* what comes to nothing is not told */
    mem_begin(f->m);
    region_set_enabled(&c, false);
    region_set_enabled(&c, true);
    mem_commit(f->m);
    struct flatview *v = address_space_view(f->as);
    region_set_enabled(&c, true);
    assert_ptr_equal(address_space_view(f->as), v);
    assert_told(&d, "");
    /* made read-only: the same place, another range */
    region_set_readonly(&c, true);
    assert_told(&d, "( -4000-4fff +4000-4fff ) ");
    address_space_set_root(f->as, NULL);
    assert_told(&d, "( -2000-2fff -4000-4fff -9000-9fff ) ");
    mem_listener_remove(f->m, &d.l);
    mem_listener_remove(f->m, &quiet.l);
    region_fini(&a);
    region_fini(&b);
    region_fini(&c);
    assert_told(&d, "");
    tear_down(f);
}

static void transactions_nest(void **state)
{
    struct fixture *f = set_up(0x100000);
    struct region a, b;
    struct diary d;
    ram_init(&a, f, "a", PAGE);
    ram_init(&b, f, "b", PAGE);
    diary_init(&d, f->as);
    mem_listener_add(f->m, &d.l);
    uint64_t commits = mem_stats(f->m)->commits, rendered = mem_stats(f->m)->views_rendered;
    mem_begin(f->m);
    mem_begin(f->m);
    region_add(&f->root, 0, &a, 0);
    mem_commit(f->m);
    region_add(&f->root, 0x1000, &b, 0);
    assert_string_equal(flat(f), "");
    assert_told(&d, "");
    mem_commit(f->m);
    assert_string_equal(flat(f), "0-fff a, 1000-1fff b");
    assert_told(&d, "( +0-fff +1000-1fff ) ");
    assert_int_equal(mem_stats(f->m)->commits, commits + 1);
    assert_int_equal(mem_stats(f->m)->views_rendered, rendered + 1);
    mem_begin(f->m);
    mem_commit(f->m);
    assert_int_equal(mem_stats(f->m)->commits, commits + 1);
    /* what a view still shows must not be freed: finishing publishes at once */
    mem_begin(f->m);
    region_fini(&a);
    assert_string_equal(flat(f), "1000-1fff b");
    assert_told(&d, "( -0-fff ) ");
    mem_commit(f->m);
    mem_listener_remove(f->m, &d.l);
    region_fini(&b);
    tear_down(f);
}

/* A listener that changes the topology is heard after all have been told. */
static struct region *to_add, *to_add_into;

static void add_one_more(struct mem_listener *l)
{
    diary_commit(l);
    if (to_add)
        region_add(to_add_into, 0x5000, to_add, 0);
    to_add = NULL;
}

static void listeners_may_change_things(void **state)
{
    struct fixture *f = set_up(0x100000);
    struct region a, b;
    struct diary first, second;
    ram_init(&a, f, "a", PAGE);
    ram_init(&b, f, "b", PAGE);
    diary_init(&first, f->as);
    first.l.commit = add_one_more;
    diary_init(&second, f->as);
    mem_listener_add(f->m, &first.l);
    mem_listener_add(f->m, &second.l);
    to_add = &b;
    to_add_into = &f->root;
    region_add(&f->root, 0, &a, 0);
    assert_told(&second, "( +0-fff ) ( +5000-5fff ) ");
    assert_string_equal(flat(f), "0-fff a, 5000-5fff b");
    mem_listener_remove(f->m, &first.l);
    mem_listener_remove(f->m, &second.l);
    region_fini(&a);
    region_fini(&b);
    tear_down(f);
}

static void views_are_shared(void **state)
{
    struct fixture *f = set_up(0x100000);
    struct region ram, master, window, io;
    ram_init(&ram, f, "ram", PAGE);
    region_add(&f->root, 0x2000, &ram, 0);
    region_init_container(&master, f->m, "bus master container", REGION_SIZE_ALL);
    region_init_alias(&window, f->m, "bus master", &f->root, 0, region_size(&f->root));
    region_add(&master, 0, &window, 0);
    region_init_container(&io, f->m, "io", 0x10000);
    struct address_space *dma = address_space_new(f->m, &master, "dma");
    struct address_space *ports = address_space_new(f->m, &io, "io");
    assert_ptr_equal(address_space_view(dma), address_space_view(f->as));
    assert_ptr_equal(address_space_view(dma)->root, &f->root);
    assert_ptr_equal(address_space_next(f->m, NULL), f->as);
    assert_ptr_equal(address_space_next(f->m, f->as), dma);
    assert_ptr_equal(address_space_next(f->m, dma), ports);
    assert_null(address_space_next(f->m, ports));
    /* rendered once for both; the view of the ports is not affected */
    uint64_t rendered = mem_stats(f->m)->views_rendered;
    struct flatview *v = address_space_view(ports);
    region_set_addr(&ram, 0x1000);
    assert_int_equal(mem_stats(f->m)->views_rendered, rendered + 1);
    assert_ptr_equal(address_space_view(dma), address_space_view(f->as));
    assert_ptr_equal(address_space_view(ports), v);
    /* bus mastering off: nothing there */
    region_set_enabled(&window, false);
    assert_int_equal(address_space_view(dma)->count, 0);
    assert_null(address_space_view(dma)->root);
    region_set_enabled(&window, true);
    assert_ptr_equal(address_space_view(dma), address_space_view(f->as));
    assert_int_equal(mem_stats(f->m)->views_rendered, rendered + 1);
    /* moved or read-only it is another view */
    region_set_readonly(&window, true);
    assert_ptr_not_equal(address_space_view(dma), address_space_view(f->as));
    assert_string_equal(flat_of(address_space_view(dma)), "1000-1fff ram (rom)");
    region_set_readonly(&window, false);
    region_set_addr(&window, 0x10000);
    assert_string_equal(flat_of(address_space_view(dma)), "11000-11fff ram");
    address_space_free(dma);
    address_space_free(ports);
    region_fini(&io);
    region_fini(&master);
    region_fini(&window);
    region_fini(&ram);
    tear_down(f);
}

/* A view that somebody keeps stays as it was. */
static void views_are_immutable(void **state)
{
    struct fixture *f = set_up(0x100000);
    struct region ram;
    ram_init(&ram, f, "ram", PAGE);
    region_add(&f->root, 0, &ram, 0);
    struct flatview *kept = flatview_ref(address_space_view(f->as));
    region_set_addr(&ram, 0x8000);
    assert_string_equal(flat_of(kept), "0-fff ram");
    assert_ptr_equal(flatview_lookup(kept, 0xfff)->host, ram.host);
    assert_null(flatview_lookup(kept, 0x1000));
    assert_int_equal(atomic_load(&kept->refs), 1);
    flatview_unref(kept);
    flatview_unref(NULL);
    region_fini(&ram);
    tear_down(f);
}

/* Taps. Each notes its accesses with its letter, and may change or take them. */
struct watch {
    struct region region;
    char letter;
    char *log;
    bool take, finish;
    uint64_t replace;
};

static bool watch_access(struct watch *w, char what, uint64_t offset, unsigned size,
                         uint64_t *value)
{
    sprintf(w->log + strlen(w->log), "%c%c%u@%llx=%llx ", w->letter, what, size,
            (unsigned long long)offset, (unsigned long long)*value);
    bool take = w->take;
    if (w->replace)
        *value = w->replace;
    if (w->finish) {
        region_fini(&w->region);
        memset(w, 0xa5, sizeof *w); /* as if freed */
    }
    return !take;
}

static bool watch_read(void *opaque, uint64_t offset, unsigned size, uint64_t *value)
{
    return watch_access(opaque, 'r', offset, size, value);
}

static bool watch_write(void *opaque, uint64_t offset, unsigned size, uint64_t *value)
{
    return watch_access(opaque, 'w', offset, size, value);
}

static const struct tap_ops after = { watch_read, watch_write, false };
static const struct tap_ops before = { watch_read, watch_write, true };

static void taps_chain(void **state)
{
    struct fixture *f = set_up(0x100000);
    struct region ram;
    struct device d;
    char log[256] = "";
    struct watch a = { .letter = 'a', .log = log }, b = { .letter = 'b', .log = log };
    ram_init(&ram, f, "ram", 0x4000);
    device_init(&d, f, "dev", 0x20, &plain);
    region_add(&f->root, 0, &ram, 0);
    region_add(&f->root, 0x1000, &d.region, 1);
    region_init_tap(&a.region, &f->root, "a", 0xff0, 0x20, &after, &a);
    region_init_tap(&b.region, &f->root, "b", 0x1000, 0x10, &after, &b);
    assert_string_equal(flat(f), "0-fef ram, ff0-fff a, 1000-100f b, 1010-101f dev @10, "
                                 "1020-3fff ram @1020");
    /* newest first: b is asked, then a, then the device; reads come back in the other order */
    address_space_store(f->as, 0x1004, 4, 0x1234);
    assert_string_equal(log, "bw4@4=1234 aw4@14=1234 ");
    assert_log(&d, "w4@4=1234 ");
    log[0] = 0;
    assert_int_equal(load(f, 0x1004, 2), 0x1234);
    assert_string_equal(log, "ar2@14=1234 br2@4=1234 ");
    log[0] = 0;
    /* replace and drop */
    a.replace = 0x77;
    assert_int_equal(load(f, 0x1000, 1), 0x77);
    address_space_store(f->as, 0xff0, 1, 5);
    assert_int_equal(ram.host[0xff0], 0x77);
    a.replace = 0;
    b.take = true;
    d.log[0] = log[0] = 0;
    assert_int_equal(address_space_store(f->as, 0x1000, 1, 9), MEM_OK);
    assert_string_equal(log, "bw1@0=9 ");
    assert_log(&d, "");
    /* a tap takes any size; what is beneath what it takes; an access across two ranges beneath a */
    log[0] = 0;
    region_set_enabled(&b.region, false);
    assert_int_equal(load(f, 0xffe, 4), 0x01000000);
    assert_string_equal(log, "ar4@e=1000000 ");
    assert_log(&d, "r2@0 ");
    /* copies and loaders: the loader goes past taps to memory */
    log[0] = 0;
    address_space_write(f->as, 0xff8, "12345678", 8);
    assert_string_equal(log, "aw8@8=3837363534333231 ");
    address_space_write_rom(f->as, 0xff8, "87654321", 8);
    assert_string_equal(log, "aw8@8=3837363534333231 ");
    assert_memory_equal(ram.host + 0xff8, "87654321", 8);
    region_fini(&a.region);
    region_fini(&b.region);
    assert_string_equal(flat(f), "0-fff ram, 1000-101f dev, 1020-3fff ram @1020");
    region_fini(&d.region);
    region_fini(&ram);
    tear_down(f);
}

static void taps_before_reads(void **state)
{
    struct fixture *f = set_up(0x10000);
    struct device d;
    char log[256] = "";
    struct watch a = { .letter = 'a', .log = log, .take = true, .replace = 0x55 };
    uint64_t v;
    device_init(&d, f, "dev", 0x20, &plain);
    region_add(&f->root, 0, &d.region, 0);
    region_init_tap(&a.region, &f->root, "a", 0, 0x100, &before, &a);
    assert_int_equal(load(f, 4, 1), 0x55);
    assert_log(&d, "");
    a.take = false;
    assert_int_equal(load(f, 4, 1), 4);
    assert_log(&d, "r1@4 ");
    /* nothing beneath is unassigned, as without the tap */
    uint64_t count = mem_stats(f->m)->unassigned_reads;
    assert_int_equal(address_space_load(f->as, 0x80, 2, &v), MEM_UNASSIGNED);
    assert_int_equal(v, 0xffff);
    assert_int_equal(mem_stats(f->m)->unassigned_reads, count + 1);
    assert_int_equal(address_space_store(f->as, 0x80, 2, 0), MEM_UNASSIGNED);
    region_fini(&a.region);
    region_fini(&d.region);
    tear_down(f);
}

/* A tap in a container over a hole of it: what lies beneath comes from outside the container. And
 * taps show through aliases, in each view with what lies beneath it there. */
static void taps_see_the_whole_view(void **state)
{
    struct fixture *f = set_up(0x10000);
    struct region ram, pci, window;
    char log[256] = "";
    struct watch a = { .letter = 'a', .log = log };
    ram_init(&ram, f, "ram", PAGE);
    region_init_container(&pci, f->m, "pci", 0x1000);
    region_add(&f->root, 0, &ram, -1);
    region_add(&f->root, 0, &pci, 0);
    region_init_tap(&a.region, &pci, "a", 0x10, 0x10, &after, &a);
    ram.host[0x12] = 0x42;
    assert_int_equal(load(f, 0x12, 1), 0x42);
    region_init_alias(&window, f->m, "window", &pci, 0, 0x1000);
    region_add(&f->root, 0x2000, &window, 0);
    assert_int_equal(load(f, 0x2012, 1), 0xff);
    assert_string_equal(log, "ar1@2=42 ar1@2=ff ");
    /* what changes only beneath is told too: views that vcpus keep must not show what is gone */
    struct diary d;
    diary_init(&d, f->as);
    mem_listener_add(f->m, &d.l);
    d.text[0] = 0;
    struct region cover;
    ram_init(&cover, f, "cover", PAGE);
    mem_begin(f->m);
    region_set_addr(&ram, 0x4000);
    region_add(&f->root, 0x5000, &cover, 0);
    mem_commit(f->m);
    assert_told(&d, "( -0-f -10-1f -20-fff +10-1f +4000-4fff +5000-5fff ) ");
    mem_listener_remove(f->m, &d.l);
    region_fini(&cover);
    region_fini(&window);
    region_fini(&a.region);
    region_fini(&pci);
    region_fini(&ram);
    tear_down(f);
}

/* Callbacks that finish their own tap, as a hook that fires once does. */
static void taps_may_finish_themselves(void **state)
{
    struct fixture *f = set_up(0x10000);
    struct region ram;
    char log[256] = "";
    struct watch a = { .letter = 'a', .log = log }, b = { .letter = 'b', .log = log };
    ram_init(&ram, f, "ram", PAGE);
    region_add(&f->root, 0, &ram, 0);
    region_init_tap(&a.region, &f->root, "a", 0, 0x10, &before, &a);
    region_init_tap(&b.region, &f->root, "b", 0, 0x10, &before, &b);
    b.finish = true;
    assert_int_equal(address_space_store(f->as, 0, 4, 0x1234), MEM_OK);
    assert_string_equal(log, "bw4@0=1234 aw4@0=1234 ");
    assert_int_equal(ld_le32(ram.host), 0x1234);
    a.finish = true;
    assert_int_equal(load(f, 0, 4), 0x1234);
    assert_string_equal(flat(f), "0-fff ram");
    region_fini(&ram);
    tear_down(f);
}

static bool finish_ram(void *opaque, uint64_t offset, unsigned size, uint64_t *value)
{
    region_fini(opaque);
    return true;
}

static void taps_may_take_what_is_beneath(void **state)
{
    static const struct tap_ops ops = { .read = finish_ram, .before = true };
    struct fixture *f = set_up(0x10000);
    struct region ram, tap;
    uint64_t v;
    ram_init(&ram, f, "ram", PAGE);
    region_add(&f->root, 0, &ram, 0);
    region_init_tap(&tap, &f->root, "tap", 0, PAGE, &ops, &ram);
    assert_int_equal(address_space_load(f->as, 8, 4, &v), MEM_UNASSIGNED);
    assert_int_equal(v, 0xffffffff);
    region_fini(&tap);
    tear_down(f);
}

/* RAM addresses, page flags, code watches. */
struct told {
    struct mem_code_watch w;
    char text[256];
};

static void code_written(void *opaque, uint64_t ram_addr, uint64_t len)
{
    struct told *t = opaque;
    sprintf(t->text + strlen(t->text), "%llx+%llx ", (unsigned long long)ram_addr,
            (unsigned long long)len);
}

static void ram_pages(void **state)
{
    struct fixture *f = set_up(0x100000);
    struct region a, rom, b;
    struct error err;
    struct told t = { 0 };
    t.w = (struct mem_code_watch){ code_written, &t, NULL };
    ram_init(&a, f, "a", 0x4000);
    assert_true(region_init_rom(&rom, f->m, "rom", 0x2000, NULL, NULL, &err));
    ram_init(&b, f, "b", 0x4000);
    assert_int_equal(a.ram_addr, 0);
    assert_int_equal(rom.ram_addr, 0x4000);
    assert_int_equal(b.ram_addr, 0x6000);
    assert_int_equal(mem_ram_size(f->m), 0xa000);
    assert_ptr_equal(mem_ram_region(f->m, 0x3fff), &a);
    assert_ptr_equal(mem_ram_region(f->m, 0x4000), &rom);
    assert_ptr_equal(mem_ram_region(f->m, 0x9fff), &b);
    assert_null(mem_ram_region(f->m, 0xa000));
    assert_null(mem_page_flags(f->m, UINT64_MAX));
    region_add(&f->root, 0, &b, 0);
    region_add(&f->root, 0x10000, &rom, 0);
    mem_code_watch_add(f->m, &t.w);
    address_space_write(f->as, 0x1000, "abc", 3);
    assert_told(&t, "");
    *mem_page_flags(f->m, 0x7fff) |= RAM_PAGE_CODE; /* page 1 of b */
    address_space_write(f->as, 0xffe, "abc", 3);
    assert_told(&t, "7000+1 ");
    address_space_store(f->as, 0x1ffc, 8, 1);
    assert_told(&t, "7ffc+4 ");
    address_space_store(f->as, 0x2000, 8, 1);
    assert_told(&t, "");
    *mem_page_flags(f->m, 0x8000) |= RAM_PAGE_CODE;
    *mem_page_flags(f->m, 0x4000) |= RAM_PAGE_CODE; /* the rom */
    mem_ram_written(f->m, 0x3000, 0x6000);
    assert_told(&t, "4000+1000 7000+2000 ");
    address_space_write(f->as, 0x10000, "abc", 3); /* dropped, so not told */
    assert_told(&t, "");
    address_space_write_rom(f->as, 0x10000, "abc", 3);
    assert_told(&t, "4000+3 ");
    mem_code_watch_remove(f->m, &t.w);
    mem_ram_written(f->m, 0, UINT64_MAX);
    assert_told(&t, "");
    assert_int_equal(*mem_page_flags(f->m, 0x6000), 0);
    mem_set_dirty_log(f->m, true);
    address_space_write(f->as, 0x10, "abc", 3);
    assert_int_equal(*mem_page_flags(f->m, 0x6000), RAM_PAGE_DIRTY);
    assert_int_equal(*mem_page_flags(f->m, 0x7000), RAM_PAGE_CODE);
    /* never used again */
    region_fini(&b);
    assert_null(mem_ram_region(f->m, 0x6000));
    ram_init(&b, f, "b2", PAGE);
    assert_int_equal(b.ram_addr, 0xa000);
    region_fini(&a);
    region_fini(&rom);
    region_fini(&b);
    tear_down(f);
}

static void ram_that_cannot_be_had(void **state)
{
    struct fixture *f = set_up(0x10000);
    struct region r;
    struct error err = { 0 };
    assert_false(region_init_ram(&r, f->m, "huge", 1ull << 60, &err));
    assert_int_equal(err.kind, ERROR_HOST);
    assert_non_null(strstr(err.text, "'huge'"));
    assert_non_null(strstr(err.text, "1152921504606846976"));
    region_fini(&r);
    assert_false(region_init_ram(&r, f->m, "all", REGION_SIZE_ALL, &err));
    assert_int_equal(err.kind, ERROR_HOST);
    assert_false(region_init_ram(&r, f->m, "none", 0, &err));
    assert_int_equal(err.kind, ERROR_CONFIG);
    assert_false(region_init_rom(&r, f->m, "odd", 4097, NULL, NULL, &err));
    assert_int_equal(err.kind, ERROR_CONFIG);
    assert_non_null(strstr(err.text, "4097"));
    assert_int_equal(mem_ram_size(f->m), 0);
    /* large ones are cheap until touched */
    assert_true(region_init_ram(&r, f->m, "large", 1ull << 36, &err));
    r.host[(1ull << 36) - 1] = 1;
    assert_int_equal(*mem_page_flags(f->m, (1ull << 36) - 1), 0);
    region_fini(&r);
    tear_down(f);
}

/* A device whose write moves itself: the view changes under the access. */
static struct region *mover;

static void move_away(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    region_set_addr(mover, mover->addr + 0x100);
}

static void devices_may_change_the_topology(void **state)
{
    static const struct region_ops ops = { .write = move_away, .impl = { 1, 1, false } };
    struct fixture *f = set_up(0x10000);
    struct device d;
    device_init(&d, f, "mover", 0x10, &ops);
    mover = &d.region;
    region_add(&f->root, 0, &d.region, 0);
    assert_int_equal(address_space_store(f->as, 0, 4, 0), MEM_OK);
    assert_string_equal(flat(f), "400-40f mover");
    assert_int_equal(address_space_write(f->as, 0x400, "12", 2), MEM_OK);
    assert_string_equal(flat(f), "600-60f mover");
    region_fini(&d.region);
    tear_down(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(priorities_decide),
        cmocka_unit_test(nesting),
        cmocka_unit_test(aliases),
        cmocka_unit_test(readonly_aliases),
        cmocka_unit_test(rom_and_rom_devices),
        cmocka_unit_test(split_and_merge),
        cmocka_unit_test(invalid_accesses),
        cmocka_unit_test(endianness),
        cmocka_unit_test(unassigned),
        cmocka_unit_test(the_whole_range),
        cmocka_unit_test(cut_accesses_are_made_of_pieces),
        cmocka_unit_test(copies_use_wide_accesses),
        cmocka_unit_test(listeners_hear_differences),
        cmocka_unit_test(transactions_nest),
        cmocka_unit_test(listeners_may_change_things),
        cmocka_unit_test(views_are_shared),
        cmocka_unit_test(views_are_immutable),
        cmocka_unit_test(taps_chain),
        cmocka_unit_test(taps_before_reads),
        cmocka_unit_test(taps_see_the_whole_view),
        cmocka_unit_test(taps_may_finish_themselves),
        cmocka_unit_test(taps_may_take_what_is_beneath),
        cmocka_unit_test(ram_pages),
        cmocka_unit_test(ram_that_cannot_be_had),
        cmocka_unit_test(devices_may_change_the_topology),
    };
    log_set_level(LOG_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
