/* Cost of flat views: ns per lookup and per rebuild at 10, 100 and 1000 regions, beside what a
 * plain linear scan of an array of ranges takes for the same lookups; and ns per load and store of
 * RAM through an address space. Prints numbers and ratios, asserts nothing. */
#define _GNU_SOURCE
#include "mem/address_space.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define LOOKUPS 2000000u
#define QUERIES 4096u /* addresses asked for in turn; a power of two */

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static uint64_t no_read(void *opaque, uint64_t offset, unsigned size)
{
    return 0;
}

static const struct region_ops ops = { .read = no_read };

struct bench {
    struct mem *m;
    struct region root, *regions;
    struct address_space *as;
    unsigned count;
    uint64_t queries[QUERIES];
};

/* Regions of 4 KiB at every second page, as devices lie in a map: some in the order of their
 * addresses, every third later, and a background of lower priority under all of them. */
static void set_up(struct bench *b, unsigned count)
{
    b->count = count;
    b->m = mem_new();
    b->regions = calloc(count, sizeof *b->regions);
    region_init_container(&b->root, b->m, "root", REGION_SIZE_ALL);
    b->as = address_space_new(b->m, &b->root, "bench");
    mem_begin(b->m);
    region_init_io(&b->regions[0], b->m, "background", count * 0x2000ull, &ops, NULL);
    region_add(&b->root, 0, &b->regions[0], -1);
    for (unsigned pass = 0; pass < 2; pass++) {
        for (unsigned i = 1; i < count; i++) {
            if ((i % 3 == 0) != pass)
                continue;
            region_init_io(&b->regions[i], b->m, "device", 0x1000, &ops, NULL);
            region_add(&b->root, i * 0x2000ull, &b->regions[i], 0);
        }
    }
    mem_commit(b->m);
}

static void tear_down(struct bench *b)
{
    address_space_free(b->as);
    mem_begin(b->m);
    for (unsigned i = 0; i < b->count; i++)
        region_remove(&b->regions[i]);
    mem_commit(b->m);
    for (unsigned i = 0; i < b->count; i++)
        region_fini(&b->regions[i]);
    region_fini(&b->root);
    mem_free(b->m);
    free(b->regions);
}

static const struct flat_range *scan(const struct flatview *v, uint64_t addr)
{
    for (size_t i = 0; i < v->count; i++)
        if (addr >= v->ranges[i].start && addr <= v->ranges[i].last)
            return &v->ranges[i];
    return NULL;
}

static double time_lookups(const struct bench *b, unsigned n,
                           const struct flat_range *(*find)(const struct flatview *, uint64_t))
{
    const struct flatview *v = address_space_view(b->as);
    uintptr_t sum = 0, start = now_ns();
    for (unsigned i = 0; i < n; i++)
        sum += (uintptr_t)find(v, b->queries[i % QUERIES]);
    double ns = (double)(now_ns() - start) / n;
    __asm__ volatile("" ::"r"(sum));
    return ns;
}

/* Runs of 64 accesses within one range, as code and data have them. */
static void ask_in_runs(struct bench *b)
{
    for (unsigned i = 0; i < QUERIES; i++)
        b->queries[i] = (i / 64 * 7919 % b->count) * 0x2000ull + i % 64 * 8;
}

static void ask_at_random(struct bench *b)
{
    uint64_t x = 1;
    for (unsigned i = 0; i < QUERIES; i++) {
        x = x * 6364136223846793005 + 1442695040888963407;
        b->queries[i] = (x >> 33) % (b->count * 0x2000ull);
    }
}

static double time_rebuilds(struct bench *b)
{
    struct region *r = &b->regions[b->count / 2];
    unsigned n = 400000 / b->count;
    uint64_t at = r->addr, start = now_ns();
    for (unsigned i = 0; i < n; i++)
        region_set_addr(r, at + (i & 1 ? 0 : 0x1000));
    return (double)(now_ns() - start) / n;
}

static void run(unsigned count)
{
    struct bench b;
    set_up(&b, count);
    ask_in_runs(&b);
    unsigned scans = LOOKUPS / (count > 100 ? 20 : 1);
    double hit = time_lookups(&b, LOOKUPS, flatview_lookup);
    double hit_scan = time_lookups(&b, scans, scan);
    ask_at_random(&b);
    double random = time_lookups(&b, LOOKUPS, flatview_lookup);
    double random_scan = time_lookups(&b, scans, scan);
    printf("%7u %7zu %9.1f %9.1f %6.1fx %9.1f %9.1f %6.1fx %12.0f\n", count,
           address_space_view(b.as)->count, hit, hit_scan, hit_scan / hit, random, random_scan,
           random_scan / random, time_rebuilds(&b));
    tear_down(&b);
}

static void run_ram(void)
{
    struct mem *m = mem_new();
    struct region ram;
    struct error err = { 0 };
    if (!region_init_ram(&ram, m, "ram", 1 << 20, &err)) {
        fprintf(stderr, "%s\n", err.text);
        exit(4);
    }
    struct address_space *as = address_space_new(m, &ram, "ram");
    uint64_t sum = 0, value, start = now_ns();
    for (unsigned i = 0; i < LOOKUPS; i++) {
        address_space_load(as, i * 8 % (1 << 20), 8, &value);
        sum += value;
    }
    double load = (double)(now_ns() - start) / LOOKUPS;
    start = now_ns();
    for (unsigned i = 0; i < LOOKUPS; i++)
        address_space_store(as, i * 8 % (1 << 20), 8, sum);
    double store = (double)(now_ns() - start) / LOOKUPS;
    printf("RAM through an address space: load %.1f ns, store %.1f ns\n", load, store);
    address_space_free(as);
    region_fini(&ram);
    mem_free(m);
}

int main(void)
{
    printf("regions  ranges  ns/lookup in runs: view, scan, ratio; at random: view, scan, ratio;"
           "  ns/rebuild\n");
    run(10);
    run(100);
    run(1000);
    run_ram();
    return 0;
}
