/* What the headers of src/mem promise of accesses: ROM, sizes, byte order, what is unassigned,
 * copies, and RAM with its page flags and those who watch for code. */
#define _GNU_SOURCE
#include "mem_fixture.h"

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

static void whole_cycles_are_not_cut(void **state)
{
    static const struct region_ops whole = { DEVICE_OPS, .whole = true };
    struct fixture *f = set_up(PAGE);
    struct device below, above;
    uint64_t v;
    device_init(&below, f, "below", 4, &whole);
    device_init(&above, f, "above", 1, &plain);
    region_add(&f->root, 0x10, &below.region, 0);
    region_add(&f->root, 0x11, &above.region, 1);
    assert_int_equal(address_space_store(f->as, 0x10, 4, 0x44332211), MEM_OK);
    assert_log(&below, "w4@0=44332211 ");
    assert_log(&above, "");
    assert_int_equal(address_space_load(f->as, 0x10, 4, &v), MEM_OK);
    assert_int_equal(v, 0x44332211);
    assert_log(&below, "r4@0 ");
    /* one that begins in the middle is the other's, and one that does not fit is cut */
    assert_int_equal(address_space_load(f->as, 0x11, 1, &v), MEM_OK);
    assert_log(&above, "r1@0 ");
    assert_int_equal(address_space_load(f->as, 0x12, 4, &v), MEM_UNASSIGNED);
    assert_log(&below, "r2@2 ");
    region_fini(&above.region);
    region_fini(&below.region);
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

/* A backend: what its vcpus have written, and whether it can tell. */
struct source {
    struct mem_dirty_source s;
    struct mem *m;
    uint64_t wrote; /* RAM address; 0: nothing */
    bool refuses, fails;
    char told[64];
};

static bool source_switched(void *opaque, struct region *r, struct error *err)
{
    struct source *s = opaque;
    strcat(s->told, r->dirty_log ? "on " : "off ");
    return !s->refuses || !r->dirty_log || error_set(err, "no log");
}

static bool source_collect(void *opaque, struct region *r, struct error *err)
{
    struct source *s = opaque;
    strcat(s->told, "collect ");
    if (s->wrote)
        mem_ram_dirtied(s->m, s->wrote, 1);
    s->wrote = 0;
    return !s->fails || error_set(err, "cannot tell");
}

static uint64_t take_dirty(struct region *r)
{
    struct error err = { 0 };
    uint64_t *bits = region_take_dirty(r, &err), first;
    assert_non_null(bits);
    first = bits[0];
    free(bits);
    return first;
}

static void dirty_logs(void **state)
{
    struct fixture *f = set_up(0x100000);
    struct region a, b;
    struct error err = { 0 };
    struct source s = { { source_switched, source_collect, &s, NULL }, .m = f->m };
    ram_init(&a, f, "a", 0x4000);
    ram_init(&b, f, "b", 66 * PAGE);
    region_add(&f->root, 0, &b, 0);
    mem_dirty_source_add(f->m, &s.s);
    s.refuses = true;
    assert_false(region_set_dirty_log(&b, true, &err));
    assert_string_equal(err.text, "no log");
    assert_string_equal(s.told, "on off ");
    assert_false(b.dirty_log);
    s.refuses = false;
    s.told[0] = 0;
    *mem_page_flags(f->m, b.ram_addr + PAGE) |= RAM_PAGE_CODE;
    address_space_write(f->as, 0x10, "abc", 3); /* too early */
    assert_true(region_set_dirty_log(&b, true, &err));
    assert_true(region_set_dirty_log(&b, true, &err));
    assert_string_equal(s.told, "on collect ");
    address_space_store(f->as, 2 * PAGE - 1, 2, 0x1234);
    mem_ram_written(f->m, b.ram_addr + 5 * PAGE, 1);
    mem_ram_written(f->m, a.ram_addr, 0x4000);
    s.wrote = b.ram_addr + 8 * PAGE + 7;
    assert_int_equal(take_dirty(&b), 1 << 1 | 1 << 2 | 1 << 5 | 1 << 8);
    assert_int_equal(take_dirty(&b), 0);
    address_space_store(f->as, 63 * PAGE, 8, 1);
    address_space_store(f->as, 65 * PAGE, 8, 1);
    uint64_t *bits = region_take_dirty(&b, &err);
    assert_int_equal(bits[0], 1ull << 63);
    assert_int_equal(bits[1], 1 << 1);
    free(bits);
    address_space_store(f->as, 3 * PAGE, 8, 1);
    s.fails = true;
    assert_null(region_take_dirty(&b, &err));
    assert_string_equal(err.text, "cannot tell");
    s.fails = false;
    assert_int_equal(take_dirty(&b), 1 << 3); /* not lost */
    assert_true(region_set_dirty_log(&b, false, &err));
    for (uint64_t p = 0; p < 66; p++) /* writes cost nothing any more */
        assert_int_equal(*mem_page_flags(f->m, b.ram_addr + p * PAGE), p == 1 ? RAM_PAGE_CODE : 0);
    mem_dirty_source_remove(f->m, &s.s);
    region_fini(&a);
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
        cmocka_unit_test(rom_and_rom_devices),
        cmocka_unit_test(split_and_merge),
        cmocka_unit_test(invalid_accesses),
        cmocka_unit_test(endianness),
        cmocka_unit_test(unassigned),
        cmocka_unit_test(cut_accesses_are_made_of_pieces),
        cmocka_unit_test(copies_use_wide_accesses),
        cmocka_unit_test(whole_cycles_are_not_cut),
        cmocka_unit_test(ram_pages),
        cmocka_unit_test(dirty_logs),
        cmocka_unit_test(ram_that_cannot_be_had),
        cmocka_unit_test(devices_may_change_the_topology),
    };
    log_set_level(LOG_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
