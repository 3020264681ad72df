/* What region.h, flatview.h, mem.h and address_space.h promise of the graph, its views,
 * transactions and listeners. Random graphs are in mem_property.c. */
#define _GNU_SOURCE
#include "mem_fixture.h"

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(priorities_decide), cmocka_unit_test(nesting),
        cmocka_unit_test(aliases),           cmocka_unit_test(readonly_aliases),
        cmocka_unit_test(the_whole_range),   cmocka_unit_test(listeners_hear_differences),
        cmocka_unit_test(transactions_nest), cmocka_unit_test(listeners_may_change_things),
        cmocka_unit_test(views_are_shared),  cmocka_unit_test(views_are_immutable),
    };
    log_set_level(LOG_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
