/* The worked map of docs/memory.md, made by the real code: the text that the document shows must be
 * what this program renders, so that the document cannot go stale. */
#define _GNU_SOURCE
#include "mem_fixture.h"

#include <inttypes.h>

struct map {
    struct mem *m;
    struct region system, pci, ram, low, high, bios, bios_low, vga, nic, pam, master, window;
    struct address_space *memory, *dma;
};

static uint64_t no_read(void *opaque, uint64_t offset, unsigned size)
{
    return 0;
}

static const struct region_ops ops = { .read = no_read };

static void check(bool ok, const struct error *err)
{
    if (!ok)
        fail_msg("%s", err->text);
}

static void build(struct map *p)
{
    struct error err;
    struct mem *m = p->m = mem_new();
    mem_begin(m);
    region_init_container(&p->system, m, "system", REGION_SIZE_ALL);
    check(region_init_ram(&p->ram, m, "pc.ram", 5ull << 30, &err), &err);
    region_init_alias(&p->low, m, "ram-below-4g", &p->ram, 0, 0xc0000000);
    region_init_alias(&p->high, m, "ram-above-4g", &p->ram, 0xc0000000, 0x80000000);
    region_add(&p->system, 0, &p->low, 0);
    region_add(&p->system, 0x100000000, &p->high, 0);
    region_init_container(&p->pci, m, "pci", REGION_SIZE_ALL);
    region_add(&p->system, 0, &p->pci, -1);
    check(region_init_rom(&p->bios, m, "pc.bios", 0x40000, NULL, NULL, &err), &err);
    region_add(&p->pci, 0xfffc0000, &p->bios, 0);
    region_init_alias(&p->bios_low, m, "isa-bios", &p->bios, 0x20000, 0x20000);
    region_add(&p->pci, 0xe0000, &p->bios_low, 1);
    region_init_io(&p->vga, m, "vga-lowmem", 0x20000, &ops, NULL);
    region_add(&p->system, 0xa0000, &p->vga, 1);
    region_init_io(&p->nic, m, "e1000-mmio", 0x20000, &ops, NULL);
    region_add(&p->pci, 0xfebc0000, &p->nic, 1);
    region_init_alias(&p->pam, m, "pam-pci", &p->pci, 0xf0000, 0x10000);
    region_add(&p->system, 0xf0000, &p->pam, 1);
    region_init_container(&p->master, m, "bus master container", REGION_SIZE_ALL);
    region_init_alias(&p->window, m, "bus master", &p->system, 0, REGION_SIZE_ALL);
    region_add(&p->master, 0, &p->window, 0);
    p->memory = address_space_new(m, &p->system, "memory");
    p->dma = address_space_new(m, &p->master, "e1000");
    mem_commit(m);
}

static void destroy(struct map *p)
{
    address_space_free(p->dma);
    address_space_free(p->memory);
    struct region *all[] = { &p->window, &p->master, &p->pam, &p->nic,  &p->vga, &p->bios_low,
                             &p->bios,   &p->pci,    &p->low, &p->high, &p->ram, &p->system };
    for (size_t i = 0; i < ARRAY_LEN(all); i++)
        region_fini(all[i]);
    mem_free(p->m);
}

static const char *kind_name(const struct flat_range *r)
{
    return r->region->kind == REGION_TAP ? "tap" : !r->host ? "i/o" : r->readonly ? "rom" : "ram";
}

static const char *render(const struct flatview *v)
{
    static char text[4096];
    size_t n = 0;
    for (size_t i = 0; i < v->count; i++) {
        const struct flat_range *r = &v->ranges[i];
        n += (size_t)snprintf(text + n, sizeof text - n,
                              "    %016" PRIx64 "-%016" PRIx64 " (prio %d, %s): %s", r->start,
                              r->last, r->priority, kind_name(r), r->region->name);
        if (r->offset)
            n += (size_t)snprintf(text + n, sizeof text - n, " @%016" PRIx64, r->offset);
        n += (size_t)snprintf(text + n, sizeof text - n, "\n");
    }
    return text;
}

static char *read_document(void)
{
    FILE *f = fopen(MEMORY_DOCUMENT, "r");
    if (!f)
        fail_msg("cannot open %s", MEMORY_DOCUMENT);
    char *text = calloc(1, 1 << 16);
    size_t n = fread(text, 1, (1 << 16) - 1, f);
    assert_true(n > 0);
    fclose(f);
    return text;
}

static void assert_documented(const char *document, const char *map)
{
    if (!strstr(document, map))
        fail_msg("docs/memory.md does not show this map:\n%s", map);
}

static void the_document_tells_the_truth(void **state)
{
    struct map p = { 0 };
    struct region tap;
    static const struct tap_ops watch = { 0 };
    char *document = read_document();
    build(&p);
    assert_documented(document, render(address_space_view(p.memory)));
    assert_ptr_equal(address_space_view(p.dma), address_space_view(p.memory));
    /* the firmware's shadow: the window on pci gives way to a read-only one on RAM */
    struct region shadow;
    region_init_alias(&shadow, p.m, "pam-rom", &p.ram, 0xf0000, 0x10000);
    region_set_readonly(&shadow, true);
    mem_begin(p.m);
    region_set_enabled(&p.pam, false);
    region_add(&p.system, 0xf0000, &shadow, 1);
    mem_commit(p.m);
    assert_documented(document, render(address_space_view(p.memory)));
    region_init_tap(&tap, &p.system, "watch", 0xfebc3810, 16, &watch, NULL);
    assert_documented(document, render(address_space_view(p.memory)));
    assert_documented(document, render(address_space_view(p.memory)->beneath));
    region_fini(&tap);
    region_fini(&shadow);
    destroy(&p);
    free(document);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(the_document_tells_the_truth) };
    log_set_level(LOG_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
