/* What mem/tap.h promises: taps show accesses, change or drop them, lie over each other, and may go
 * while they are asked. */
#define _GNU_SOURCE
#include "mem_fixture.h"

/* Taps. Each notes its accesses with its letter, and may change or take them. */
struct watch {
    struct region region;
    char letter;
    char *log;
    bool take, finish;
    struct watch *other; /* finished as well */
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
    if (w->other) {
        region_fini(&w->other->region);
        memset(w->other, 0xa5, sizeof *w);
    }
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

/* One that finishes those beneath it too: the access reaches the memory all the same. */
static void taps_may_finish_others(void **state)
{
    struct fixture *f = set_up(0x10000);
    struct region ram;
    char log[256] = "";
    struct watch a = { .letter = 'a', .log = log }, b = a, c = a;
    ram_init(&ram, f, "ram", PAGE);
    region_add(&f->root, 0, &ram, 0);
    region_init_tap(&a.region, &f->root, "a", 0, 0x10, &before, &a);
    region_init_tap(&b.region, &f->root, "b", 0, 0x10, &before, &b);
    b.finish = true;
    b.other = &a;
    assert_int_equal(address_space_store(f->as, 0, 4, 0x1234), MEM_OK);
    assert_int_equal(ld_le32(ram.host), 0x1234);
    a = c;
    region_init_tap(&a.region, &f->root, "a", 0, 0x10, &before, &a);
    region_init_tap(&c.region, &f->root, "c", 0, 0x10, &before, &c);
    c.other = &a;
    assert_int_equal(load(f, 0, 4), 0x1234);
    assert_string_equal(flat(f), "0-f c, 10-fff ram @10");
    region_fini(&c.region);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(taps_chain),
        cmocka_unit_test(taps_before_reads),
        cmocka_unit_test(taps_see_the_whole_view),
        cmocka_unit_test(taps_may_finish_themselves),
        cmocka_unit_test(taps_may_finish_others),
        cmocka_unit_test(taps_may_take_what_is_beneath),
    };
    log_set_level(LOG_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
