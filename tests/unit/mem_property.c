/* Property test of src/mem: random graphs of regions and random edits, against a naive model.
 *
 * The model resolves one address at a time by recursion over a description of its own, knows
 * nothing of ranges, and is asked about every page of a small address space: its unit is 4096
 * bytes, the smallest size of RAM. Compared are the flat view (region, offset, host pointer,
 * read-only, canonical form), the view that a listener accumulates from differences, loads and
 * stores of all sizes, and what shares a view.
 *
 * PERILUNE_SEED and PERILUNE_CASES choose the first seed and the number of cases; a failure prints
 * the seed of its case. */
#define _GNU_SOURCE
#include "base/log.h"
#include "mem/address_space.h"
#include "mem/tap.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define UNIT      4096u
#define UNITS     96 /* of the address spaces that are looked at */
#define NODES_MAX 24
#define SPACES    3

/* What the model knows of a region. */
struct node {
    struct region region;
    enum region_kind kind;
    unsigned size; /* units */
    bool enabled, readonly, direct;
    struct node *parent, *target;
    int addr; /* units; may lie beyond the parent */
    unsigned target_offset;
    int priority;
    unsigned age; /* of its place: the larger the newer */
    /* the last access that its callbacks saw */
    uint64_t io_offset, io_value;
    unsigned io_size, io_count;
};

/* What is at one address. */
struct found {
    struct node *node;
    unsigned offset; /* units */
    bool readonly;
};

struct world {
    uint64_t seed, state;
    struct mem *mem;
    struct node nodes[NODES_MAX];
    unsigned count, age;
    struct address_space *spaces[SPACES];
    struct node *roots[SPACES];
    struct shadow {
        struct mem_listener listener; /* first: callbacks get a pointer to it */
        struct flat_range ranges[512];
        unsigned count;
        bool open, adding;
        uint64_t told_last;
        bool told_any;
    } shadows[SPACES];
};

static uint64_t rnd(struct world *w)
{
    /* splitmix64 */
    uint64_t z = w->state += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

static unsigned below(struct world *w, unsigned n)
{
    return (unsigned)(rnd(w) % n);
}

#define CHECK(w, cond)                                                 \
    do {                                                               \
        if (!(cond)) {                                                 \
            print_error("PERILUNE_SEED=%llu PERILUNE_CASES=1 fails\n", \
                        (unsigned long long)(w)->seed);                \
            assert_true(cond);                                         \
        }                                                              \
    } while (0)

/* The model. Children by priority, then age, found by looking at all nodes. */
static struct node *next_child(struct world *w, struct node *parent, struct node *after)
{
    struct node *best = NULL;
    for (unsigned i = 0; i < w->count; i++) {
        struct node *n = &w->nodes[i];
        if (n->parent != parent)
            continue;
        if (after && (n->priority > after->priority ||
                      (n->priority == after->priority && n->age >= after->age)))
            continue;
        if (!best || n->priority > best->priority ||
            (n->priority == best->priority && n->age > best->age))
            best = n;
    }
    return best;
}

/* All that claims unit `at` of `n`, best first. */
static unsigned resolve(struct world *w, struct node *n, int at, bool readonly, struct found *out,
                        unsigned count)
{
    if (!n->enabled || at < 0 || at >= (int)n->size)
        return count;
    readonly = readonly || n->readonly;
    if (n->kind == REGION_ALIAS)
        return resolve(w, n->target, at + (int)n->target_offset, readonly, out, count);
    for (struct node *c = next_child(w, n, NULL); c; c = next_child(w, n, c))
        count = resolve(w, c, at - c->addr, readonly, out, count);
    if (n->kind == REGION_CONTAINER)
        return count;
    for (unsigned i = 0; i < count; i++)
        if (n->kind == REGION_TAP && out[i].node == n)
            return count;
    if (count < 256)
        out[count++] = (struct found){ n, (unsigned)at, readonly };
    return count;
}

static bool is_direct(const struct node *n)
{
    return n->kind == REGION_RAM || n->kind == REGION_ROM ||
           (n->kind == REGION_ROM_DEVICE && n->direct);
}

/* Devices: reads tell where they went, writes are noted. */
static uint64_t pattern(const struct node *n, uint64_t offset)
{
    return (offset * 0x9d + (offset >> 8) * 0x35 + (uintptr_t)n->size * 7 + 1) & 0xff;
}

static uint64_t io_read(void *opaque, uint64_t offset, unsigned size)
{
    struct node *n = opaque;
    uint64_t v = 0;
    for (unsigned i = 0; i < size; i++)
        v |= pattern(n, offset + i) << (8 * i);
    n->io_count++;
    return v;
}

static void io_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    struct node *n = opaque;
    n->io_offset = offset;
    n->io_value = value;
    n->io_size = size;
    n->io_count++;
}

static const struct region_ops io_ops = { .read = io_read,
                                          .write = io_write,
                                          .valid = { .unaligned = true },
                                          .impl = { .min = 1, .max = 8, .unaligned = true } };

static bool tap_read(void *opaque, uint64_t offset, unsigned size, uint64_t *value)
{
    io_read(opaque, offset, size);
    return true;
}

static bool tap_write(void *opaque, uint64_t offset, unsigned size, uint64_t *value)
{
    io_write(opaque, offset, *value, size);
    return true;
}

static const struct tap_ops taps = { .read = tap_read, .write = tap_write };

/* Listeners keep a copy of the view by what they are told. */
static void on_begin(struct mem_listener *l)
{
    struct shadow *s = (struct shadow *)l;
    assert_false(s->open);
    s->open = true;
    s->adding = s->told_any = false;
}

static void check_order(struct shadow *s, const struct flat_range *r)
{
    assert_true(s->open);
    if (s->told_any)
        assert_true(r->start > s->told_last);
    s->told_any = true;
    s->told_last = r->last;
}

static void on_remove(struct mem_listener *l, const struct flat_range *r)
{
    struct shadow *s = (struct shadow *)l;
    assert_false(s->adding);
    check_order(s, r);
    for (unsigned i = 0; i < s->count; i++) {
        if (s->ranges[i].start == r->start) {
            struct flat_range *mine = &s->ranges[i];
            assert_true(mine->last == r->last && mine->region == r->region &&
                        mine->offset == r->offset && mine->readonly == r->readonly &&
                        mine->host == r->host);
            memmove(mine, mine + 1, (--s->count - i) * sizeof *mine);
            return;
        }
    }
    fail_msg("a range was removed that was never added");
}

static void on_add(struct mem_listener *l, const struct flat_range *r)
{
    struct shadow *s = (struct shadow *)l;
    if (!s->adding)
        s->told_any = false;
    s->adding = true;
    check_order(s, r);
    unsigned i = s->count++;
    assert_true(s->count <= ARRAY_LEN(s->ranges));
    for (; i && s->ranges[i - 1].start > r->start; i--)
        s->ranges[i] = s->ranges[i - 1];
    s->ranges[i] = *r;
}

static void on_commit(struct mem_listener *l)
{
    struct shadow *s = (struct shadow *)l;
    assert_true(s->open);
    s->open = false;
}

/* Random graphs. Node 0 is the root of the first address space. */
static void fill(struct node *n)
{
    if (!n->region.host)
        return;
    for (uint64_t i = 0; i < n->region.host_size; i++)
        n->region.host[i] = (uint8_t)pattern(n, i);
}

static void new_node(struct world *w)
{
    struct node *n = &w->nodes[w->count];
    char name[16];
    struct error err;
    *n = (struct node){ .enabled = true, .direct = true, .size = 1 + below(w, 24) };
    snprintf(name, sizeof name, "n%u", w->count);
    switch (w->count < SPACES ? 0 : below(w, 10)) {
    case 0:
    case 1:
    case 2:
        n->kind = REGION_CONTAINER;
        n->size = w->count == 0 ? UNITS : UNITS - below(w, UNITS / 2);
        region_init_container(&n->region, w->mem, name, (uint64_t)n->size * UNIT);
        break;
    case 3:
    case 4:
        n->kind = REGION_RAM;
        assert_true(region_init_ram(&n->region, w->mem, name, (uint64_t)n->size * UNIT, &err));
        break;
    case 5:
        n->kind = REGION_ROM;
        assert_true(region_init_rom(&n->region, w->mem, name, (uint64_t)n->size * UNIT,
                                    below(w, 2) ? &io_ops : NULL, n, &err));
        break;
    case 6:
        n->kind = REGION_ROM_DEVICE;
        assert_true(region_init_rom_device(&n->region, w->mem, name, (uint64_t)n->size * UNIT,
                                           &io_ops, n, &err));
        break;
    case 7:
        n->kind = REGION_IO;
        region_init_io(&n->region, w->mem, name, (uint64_t)n->size * UNIT, &io_ops, n);
        break;
    default:
        n->kind = REGION_ALIAS;
        n->target = &w->nodes[below(w, w->count)];
        n->size = 1 + below(w, n->target->size);
        n->target_offset = below(w, n->target->size - n->size + 1);
        if (below(w, 4) == 0) { /* the whole */
            n->size = n->target->size;
            n->target_offset = 0;
        }
        region_init_alias(&n->region, w->mem, name, &n->target->region,
                          (uint64_t)n->target_offset * UNIT, (uint64_t)n->size * UNIT);
    }
    fill(n);
    w->count++;
}

static struct node *random_parent(struct world *w)
{
    for (;;) {
        struct node *n = &w->nodes[below(w, w->count)];
        if (n->kind == REGION_CONTAINER || (n->kind == REGION_IO && below(w, 4) == 0))
            return n;
    }
}

static bool model_contains(struct world *w, struct node *n, const struct node *what)
{
    if (n == what || (n->target && model_contains(w, n->target, what)))
        return true;
    for (unsigned i = 0; i < w->count; i++)
        if (w->nodes[i].parent == n && model_contains(w, &w->nodes[i], what))
            return true;
    return false;
}

/* Put `n` where it may go, if chance finds such a place. */
static void place(struct world *w, struct node *n)
{
    struct node *p = random_parent(w);
    bool cycle = model_contains(w, n, p);
    CHECK(w, region_contains(&n->region, &p->region) == cycle);
    if (cycle)
        return;
    n->parent = p;
    n->addr = below(w, 3) ? (int)below(w, p->size) : 0;
    n->priority = (int)below(w, 5) - 2;
    n->age = ++w->age;
    region_add(&p->region, (uint64_t)n->addr * UNIT, &n->region, n->priority);
}

static void place_tap(struct world *w)
{
    struct node *n = &w->nodes[w->count];
    struct node *p = random_parent(w);
    *n = (struct node){ .enabled = true, .kind = REGION_TAP, .size = 1 + below(w, 24) };
    n->parent = p;
    n->addr = (int)below(w, p->size);
    n->priority = INT32_MAX;
    n->age = ++w->age;
    region_init_tap(&n->region, &p->region, "tap", (uint64_t)n->addr * UNIT,
                    (uint64_t)n->size * UNIT, &taps, n);
    w->count++;
}

static void edit_alias(struct world *w, struct node *n)
{
    n->target_offset = below(w, n->target->size - n->size + 1);
    region_set_alias_offset(&n->region, (uint64_t)n->target_offset * UNIT);
}

static void edit(struct world *w)
{
    struct node *n = &w->nodes[below(w, w->count)];
    switch (below(w, 8)) {
    case 0:
    case 1:
        if (n->parent) {
            n->parent = NULL;
            region_remove(&n->region);
        }
        if (n->kind == REGION_TAP || below(w, 4) == 0)
            break;
        place(w, n);
        break;
    case 2:
        if (n->parent) {
            n->addr = (int)below(w, n->parent->size);
            region_set_addr(&n->region, (uint64_t)n->addr * UNIT);
        }
        break;
    case 3:
    case 4:
        n->enabled = n == &w->nodes[0] ? true : below(w, 3) != 0;
        region_set_enabled(&n->region, n->enabled);
        break;
    case 5:
        if (n->kind == REGION_ALIAS) {
            n->readonly = below(w, 2);
            region_set_readonly(&n->region, n->readonly);
        }
        break;
    case 6:
        if (n->kind == REGION_ALIAS)
            edit_alias(w, n);
        if (n->kind == REGION_ROM_DEVICE) {
            n->direct = below(w, 2);
            region_set_direct_reads(&n->region, n->direct);
        }
        break;
    default:
        if (below(w, 4) == 0) {
            unsigned i = below(w, SPACES);
            w->roots[i] = below(w, 8) ? &w->nodes[below(w, w->count)] : NULL;
            if (w->roots[i] && w->roots[i]->kind == REGION_TAP)
                w->roots[i] = NULL;
            address_space_set_root(w->spaces[i], w->roots[i] ? &w->roots[i]->region : NULL);
        }
    }
}

/* Comparisons. */
static unsigned claims_at(struct world *w, struct node *root, unsigned unit, struct found *out)
{
    return root ? resolve(w, root, (int)unit, false, out, 0) : 0;
}

static void check_range(struct world *w, const struct flat_range *r, unsigned unit,
                        const struct found *f)
{
    struct node *n = f->node;
    uint64_t into = (uint64_t)unit * UNIT - r->start;
    bool direct = is_direct(n);
    CHECK(w, r->region == &n->region);
    CHECK(w, r->offset + into == (uint64_t)f->offset * UNIT);
    CHECK(w, r->last - r->start >= into + UNIT - 1);
    CHECK(w, r->priority == n->region.priority);
    CHECK(w, !r->host == !direct);
    if (direct) {
        CHECK(w, r->host + into == n->region.host + (uint64_t)f->offset * UNIT);
        CHECK(w, r->ram_addr + into == n->region.ram_addr + (uint64_t)f->offset * UNIT);
        CHECK(w, r->readonly == (f->readonly || n->kind != REGION_RAM));
    }
}

/* Every page of the view and of the views beneath is what the model finds. */
static void check_view(struct world *w, struct node *root, const struct flatview *v)
{
    struct found all[256];
    for (unsigned u = 0; u < UNITS + 8; u++) {
        unsigned n = claims_at(w, root, u, all), at = 0;
        const struct flatview *layer = v;
        for (;; at++) {
            uint64_t addr = (uint64_t)u * UNIT + below(w, UNIT);
            const struct flat_range *r = layer ? flatview_lookup(layer, addr) : NULL;
            CHECK(w, (r != NULL) == (at < n));
            if (!r)
                break;
            check_range(w, r, u, &all[at]);
            if (all[at].node->kind != REGION_TAP)
                break;
            layer = r->beneath;
        }
    }
}

/* Sorted, apart, and neighbours that continue each other are one. */
static void check_canonical(struct world *w, const struct flatview *v)
{
    for (; v; v = v->beneath) {
        for (size_t i = 0; i < v->count; i++) {
            const struct flat_range *r = &v->ranges[i];
            CHECK(w, r->start <= r->last);
            if (!i)
                continue;
            const struct flat_range *p = r - 1;
            CHECK(w, p->last < r->start);
            CHECK(w,
                  !(p->last + 1 == r->start && p->region == r->region &&
                    p->offset + (r->start - p->start) == r->offset && p->readonly == r->readonly));
        }
    }
}

static void check_shadow(struct world *w, const struct shadow *s, const struct flatview *v)
{
    CHECK(w, !s->open);
    CHECK(w, s->count == v->count);
    for (unsigned i = 0; i < s->count; i++) {
        struct flat_range mine = s->ranges[i]; /* its view, and so what lies beneath, may be gone */
        mine.beneath = v->ranges[i].beneath;
        CHECK(w, flat_range_equal(&mine, &v->ranges[i]));
    }
}

/* One byte, as the model sees it: what the first claim that is no tap says. */
static bool model_byte(struct world *w, struct node *root, uint64_t addr, uint8_t *byte)
{
    struct found all[256];
    unsigned n = claims_at(w, root, (unsigned)(addr / UNIT), all);
    for (unsigned i = 0; i < n; i++) {
        if (all[i].node->kind == REGION_TAP)
            continue;
        uint64_t offset = (uint64_t)all[i].offset * UNIT + addr % UNIT;
        *byte = is_direct(all[i].node) ? all[i].node->region.host[offset]
                                       : (uint8_t)pattern(all[i].node, offset);
        return true;
    }
    *byte = 0xff;
    return false;
}

static void check_load(struct world *w, struct address_space *as, struct node *root)
{
    static const uint64_t edges[] = { 0, 1, 3, UNIT - 1, UNIT - 2, UNIT - 3, UNIT - 5, UNIT - 7 };
    uint64_t addr = (uint64_t)below(w, UNITS + 1) * UNIT + edges[below(w, ARRAY_LEN(edges))];
    unsigned size = 1u << below(w, 4);
    uint64_t value, expected = 0;
    bool assigned = true;
    for (unsigned i = 0; i < size; i++) {
        uint8_t byte;
        assigned &= model_byte(w, root, addr + i, &byte);
        expected |= (uint64_t)byte << (8 * i);
    }
    enum mem_result result = address_space_load(as, addr, size, &value);
    CHECK(w, result == (assigned ? MEM_OK : MEM_UNASSIGNED));
    CHECK(w, value == expected);
    uint8_t copy[64], want;
    unsigned len = below(w, sizeof copy) + 1;
    address_space_read(as, addr, copy, len);
    for (unsigned i = 0; i < len; i++) {
        model_byte(w, root, addr + i, &want);
        CHECK(w, copy[i] == want);
    }
}

/* An aligned store within one page: memory changes only where it may, devices and taps hear of it.
 */
static void check_store(struct world *w, struct address_space *as, struct node *root)
{
    struct found all[256];
    unsigned unit = below(w, UNITS), size = 1u << below(w, 4);
    uint64_t in_page = below(w, UNIT / size) * size, value = rnd(w) & bits_mask(8 * size);
    unsigned n = claims_at(w, root, unit, all), i;
    for (i = 0; i < w->count; i++)
        w->nodes[i].io_count = 0;
    uint64_t addr = (uint64_t)unit * UNIT + in_page;
    uint8_t *p = NULL;
    uint64_t before = 0;
    for (i = 0; i < n && all[i].node->kind == REGION_TAP; i++)
        ;
    if (i < n && all[i].node->region.host) {
        p = all[i].node->region.host + (uint64_t)all[i].offset * UNIT + in_page;
        before = ld_le(p, size);
    }
    enum mem_result result = address_space_store(as, addr, size, value);
    CHECK(w, result == (i < n ? MEM_OK : MEM_UNASSIGNED));
    for (unsigned k = 0; k <= i && k < n; k++) {
        struct node *d = all[k].node;
        bool hears = k < i || d->kind == REGION_IO || d->kind == REGION_ROM_DEVICE ||
                     (d->kind == REGION_ROM && d->region.ops);
        CHECK(w, d->io_count == hears);
        if (hears)
            CHECK(w, d->io_value == value && d->io_size == size &&
                         d->io_offset == (uint64_t)all[k].offset * UNIT + in_page);
    }
    if (p && all[i].node->kind == REGION_RAM && !all[i].readonly) {
        CHECK(w, ld_le(p, size) == value);
        st_le(p, size, before);
    } else if (p) {
        CHECK(w, ld_le(p, size) == before);
    }
}

static void check_world(struct world *w)
{
    for (unsigned i = 0; i < SPACES; i++) {
        struct flatview *v = address_space_view(w->spaces[i]);
        check_view(w, w->roots[i], v);
        check_canonical(w, v);
        check_shadow(w, &w->shadows[i], v);
        for (unsigned k = 0; k < 4; k++) {
            check_load(w, w->spaces[i], w->roots[i]);
            check_store(w, w->spaces[i], w->roots[i]);
        }
        for (unsigned k = 0; k < i; k++)
            if (w->roots[k] == w->roots[i])
                CHECK(w, address_space_view(w->spaces[k]) == v);
    }
}

static void build(struct world *w)
{
    w->mem = mem_new();
    unsigned nodes = SPACES + 3 + below(w, NODES_MAX - SPACES - 6);
    for (unsigned i = 0; i < nodes; i++)
        new_node(w);
    for (unsigned i = 0; i < SPACES; i++) {
        w->roots[i] = &w->nodes[i];
        w->spaces[i] = address_space_new(w->mem, &w->roots[i]->region, "space");
        w->shadows[i].listener =
            (struct mem_listener){ w->spaces[i], on_begin, on_remove, on_add, on_commit, NULL };
        mem_listener_add(w->mem, &w->shadows[i].listener);
    }
    for (unsigned i = 1; i < w->count; i++)
        place(w, &w->nodes[i]);
}

/* Regions die in random order, aliases before what they show. */
static void destroy(struct world *w)
{
    for (unsigned i = 0; i < SPACES; i++) {
        mem_listener_remove(w->mem, &w->shadows[i].listener);
        if (below(w, 2)) {
            w->roots[i] = NULL;
            address_space_set_root(w->spaces[i], NULL);
        }
    }
    for (unsigned i = 0; i < SPACES; i++)
        address_space_free(w->spaces[i]);
    for (unsigned left = w->count; left;) {
        struct node *n = &w->nodes[below(w, w->count)];
        if (!n->region.mem || n->region.alias_users)
            continue;
        region_fini(&n->region);
        left--;
    }
    mem_free(w->mem);
}

static void run_case(uint64_t seed)
{
    static struct world w;
    w = (struct world){ .seed = seed, .state = seed };
    build(&w);
    check_world(&w);
    for (unsigned round = 0; round < 6; round++) {
        unsigned edits = 1 + below(&w, 5);
        bool nested = below(&w, 2);
        if (edits > 1)
            mem_begin(w.mem);
        for (unsigned i = 0; i < edits; i++) {
            if (nested)
                mem_begin(w.mem);
            edit(&w);
            if (nested)
                mem_commit(w.mem);
        }
        if (edits > 1)
            mem_commit(w.mem);
        if (round % 2 && w.count < NODES_MAX)
            place_tap(&w);
        check_world(&w);
    }
    destroy(&w);
}

static uint64_t from_environment(const char *name, uint64_t otherwise)
{
    const char *s = getenv(name);
    return s ? strtoull(s, NULL, 0) : otherwise;
}

static void views_match_the_model(void **state)
{
    uint64_t seed = from_environment("PERILUNE_SEED", 1);
    uint64_t cases = from_environment("PERILUNE_CASES", 2000);
    print_message("seed %llu, %llu cases\n", (unsigned long long)seed, (unsigned long long)cases);
    for (uint64_t i = 0; i < cases; i++)
        run_case(seed + i);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(views_match_the_model) };
    log_set_level(LOG_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
