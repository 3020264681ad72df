/* Flat views: rendering a graph of regions into sorted ranges, and looking addresses up in them.
 *
 * Rendering has two steps. The walk visits the graph in order of precedence (children before what
 * they lie in, higher priority first, newer first among equals) and notes for each leaf what it
 * claims: an earlier claim beats a later one wherever they overlap. The sweep then goes up through
 * the addresses with a heap of the claims that are alive and emits the best. That is O(n log n)
 * however they overlap.
 *
 * Where the best claim is a tap, the next ones down to the first that is no tap go into the views
 * beneath: one layer for each tap that is passed. So taps chain, each seeing an access once, at no
 * cost to views without taps, and what lies beneath is as immutable as the view itself. */
#include "mem/flatview.h"

#include "base/alloc.h"
#include "mem/mem_internal.h"

#include <assert.h>
#include <stdlib.h>

struct claim {
    uint64_t start, last;
    struct region *region;
    uint64_t offset; /* of `start` in the region */
    bool readonly;
};

struct layer {
    struct flat_range *ranges;
    size_t count, capacity;
};

struct render {
    struct claim *claims; /* in order of precedence */
    size_t count, capacity;
    size_t *heap; /* of claims alive at the present address, the best on top */
    size_t heap_count;
    size_t *passed; /* scratch: the taps on the way down at one address, and what they end on */
    struct layer *layers;
    size_t layer_count, layer_capacity;
};

/* The walk. A window of the address space, and where the region's offset 0 would be: aliases can
 * put that below address 0. */
struct window {
    uint64_t start, last;
    bool readonly;
};

static void add_claim(struct render *rd, struct region *r, __int128 base, struct window w)
{
    if (r->kind == REGION_TAP) {
        /* Where a tap is seen twice at one address, through aliases, the first one counts. */
        for (size_t i = 0; i < rd->count; i++) {
            struct claim c = rd->claims[i];
            if (c.region != r || c.start > w.last || c.last < w.start)
                continue;
            if (w.start < c.start)
                add_claim(rd, r, base, (struct window){ w.start, c.start - 1, w.readonly });
            if (w.last > c.last)
                add_claim(rd, r, base, (struct window){ c.last + 1, w.last, w.readonly });
            return;
        }
    }
    ALLOC_GROW(rd->claims, rd->count, rd->capacity);
    rd->claims[rd->count++] = (struct claim){
        .start = w.start,
        .last = w.last,
        .region = r,
        .offset = (uint64_t)(w.start - base),
        .readonly = w.readonly,
    };
}

static void walk(struct render *rd, struct region *r, __int128 base, struct window w)
{
    if (!r->enabled || base > w.last || base + r->last < w.start)
        return;
    if (base > w.start)
        w.start = (uint64_t)base;
    if (base + r->last < w.last)
        w.last = (uint64_t)(base + r->last);
    w.readonly |= r->readonly;
    if (r->kind == REGION_ALIAS) {
        walk(rd, r->alias, base - r->alias_offset, w);
        return;
    }
    for (size_t i = 0; i < r->child_count; i++)
        walk(rd, r->children[i], base + r->children[i]->addr, w);
    if (r->kind != REGION_CONTAINER)
        add_claim(rd, r, base, w);
}

/* The heap holds indices of claims: the smaller takes precedence. */
static void heap_push(struct render *rd, size_t claim)
{
    size_t i = rd->heap_count++;
    while (i && rd->heap[(i - 1) / 2] > claim) {
        rd->heap[i] = rd->heap[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    rd->heap[i] = claim;
}

static void heap_pop(struct render *rd)
{
    size_t moved = rd->heap[--rd->heap_count], i = 0;
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= rd->heap_count)
            break;
        if (child + 1 < rd->heap_count && rd->heap[child + 1] < rd->heap[child])
            child++;
        if (moved <= rd->heap[child])
            break;
        rd->heap[i] = rd->heap[child];
        i = child;
    }
    rd->heap[i] = moved;
}

/* The best claim alive at `pos`, or NULL. */
static const struct claim *heap_best(struct render *rd, uint64_t pos)
{
    while (rd->heap_count && rd->claims[rd->heap[0]].last < pos)
        heap_pop(rd);
    return rd->heap_count ? &rd->claims[rd->heap[0]] : NULL;
}

static struct flat_range range_of(const struct claim *c, uint64_t start, uint64_t last)
{
    struct region *r = c->region;
    struct flat_range f = {
        .start = start,
        .last = last,
        .region = r,
        .offset = c->offset + (start - c->start),
        .priority = r->priority,
    };
    if (r->host && (r->kind != REGION_ROM_DEVICE || r->direct_reads)) {
        f.host = r->host + f.offset;
        f.ram_addr = r->ram_addr + f.offset;
        f.readonly = c->readonly || r->kind != REGION_RAM;
    }
    return f;
}

static void emit(struct render *rd, size_t depth, const struct claim *c, uint64_t start,
                 uint64_t last)
{
    if (depth == rd->layer_count) {
        ALLOC_GROW(rd->layers, rd->layer_count, rd->layer_capacity);
        rd->layers[rd->layer_count++] = (struct layer){ 0 };
    }
    struct layer *l = &rd->layers[depth];
    struct flat_range f = range_of(c, start, last);
    struct flat_range *before = l->count ? &l->ranges[l->count - 1] : NULL;
    if (before && before->region == f.region && before->last == start - 1 &&
        before->offset + (start - before->start) == f.offset && before->readonly == f.readonly) {
        before->last = last;
        return;
    }
    ALLOC_GROW(l->ranges, l->count, l->capacity);
    l->ranges[l->count++] = f;
}

/* Emit what is at `pos`, up to `last` at most, in all layers. Returns the last address emitted. */
static uint64_t emit_from(struct render *rd, uint64_t pos, uint64_t last)
{
    const struct claim *c = heap_best(rd, pos);
    if (c->region->kind != REGION_TAP) {
        last = c->last < last ? c->last : last;
        emit(rd, 0, c, pos, last);
        return last;
    }
    size_t n = 0;
    for (; c; c = heap_best(rd, pos)) {
        rd->passed[n++] = (size_t)(c - rd->claims);
        last = c->last < last ? c->last : last;
        if (c->region->kind != REGION_TAP)
            break;
        heap_pop(rd);
    }
    for (size_t i = 0; i < n; i++) {
        c = &rd->claims[rd->passed[i]];
        emit(rd, i, c, pos, last);
        if (c->region->kind == REGION_TAP)
            heap_push(rd, rd->passed[i]);
    }
    return last;
}

struct start {
    uint64_t addr;
    size_t claim;
};

static int by_address(const void *pa, const void *pb)
{
    const struct start *a = pa, *b = pb;
    return a->addr < b->addr ? -1 : a->addr > b->addr;
}

/* Claims by ascending start. Walks mostly come out in descending order already (newest first). */
static struct start *sort_claims(const struct render *rd)
{
    struct start *s = alloc_zero(rd->count, sizeof *s);
    bool sorted = true;
    for (size_t i = 0; i < rd->count; i++) {
        size_t c = rd->count - 1 - i;
        s[i] = (struct start){ rd->claims[c].start, c };
        sorted = sorted && (!i || s[i - 1].addr <= s[i].addr);
    }
    if (!sorted)
        qsort(s, rd->count, sizeof *s, by_address);
    return s;
}

static void sweep(struct render *rd)
{
    struct start *starts = sort_claims(rd);
    rd->heap = alloc_zero(rd->count, sizeof *rd->heap);
    rd->passed = alloc_zero(rd->count, sizeof *rd->passed);
    uint64_t pos = 0;
    size_t i = 0;
    while (i < rd->count || heap_best(rd, pos)) {
        if (!heap_best(rd, pos))
            pos = starts[i].addr;
        while (i < rd->count && starts[i].addr <= pos)
            heap_push(rd, starts[i++].claim);
        uint64_t last = i < rd->count ? starts[i].addr - 1 : UINT64_MAX;
        last = emit_from(rd, pos, last);
        if (last == UINT64_MAX)
            break;
        pos = last + 1;
    }
    free(starts);
    free(rd->heap);
    free(rd->passed);
}

struct flatview *flatview_new_empty(void)
{
    struct flatview *v = ALLOC(struct flatview);
    atomic_init(&v->refs, 1);
    return v;
}

/* The layers become views, from the lowest up; taps get to know theirs. */
static struct flatview *publish_layers(struct render *rd, struct region *root)
{
    struct flatview *beneath = NULL;
    for (size_t i = rd->layer_count; i-- > 0;) {
        struct layer *l = &rd->layers[i];
        struct flatview *v = flatview_new_empty();
        v->root = root;
        v->beneath = beneath;
        v->ranges = alloc_resize(l->ranges, l->count, sizeof *l->ranges);
        v->count = l->count;
        for (size_t k = 0; beneath && k < v->count; k++)
            if (v->ranges[k].region->kind == REGION_TAP)
                v->ranges[k].beneath = beneath;
        beneath = v;
    }
    free(rd->layers);
    free(rd->claims);
    if (beneath)
        return beneath;
    struct flatview *v = flatview_new_empty();
    v->root = root;
    return v;
}

struct flatview *flatview_new(struct region *root)
{
    struct render rd = { 0 };
    if (root) {
        walk(&rd, root, 0, (struct window){ 0, UINT64_MAX, false });
        sweep(&rd);
    }
    return publish_layers(&rd, root);
}

struct flatview *flatview_ref(struct flatview *v)
{
    atomic_fetch_add_explicit(&v->refs, 1, memory_order_relaxed);
    return v;
}

void flatview_unref(struct flatview *v)
{
    if (!v || atomic_fetch_sub_explicit(&v->refs, 1, memory_order_acq_rel) != 1)
        return;
    flatview_unref(v->beneath);
    free(v->ranges);
    free(v);
}

const struct flat_range *flatview_next(const struct flatview *v, uint64_t addr)
{
    const struct flat_range *base = v->ranges;
    size_t n = v->count;
    if (!n || addr > base[n - 1].last)
        return NULL;
    /* Invariant: the answer is among base[0 .. n-1]. */
    while (n > 1) {
        size_t half = n / 2;
        base += base[half - 1].last < addr ? half : 0;
        n -= half;
    }
    return base;
}

const struct flat_range *flatview_search(const struct flatview *v, uint64_t addr)
{
    const struct flat_range *r = flatview_next(v, addr);
    if (!r || addr < r->start)
        return NULL;
    /* A hint only: views are shared between threads and otherwise immutable. */
    atomic_store_explicit(&((struct flatview *)v)->last_hit, (size_t)(r - v->ranges),
                          memory_order_relaxed);
    return r;
}

/* The part of `r` (NULL allowed) within [start, last]; false: none. */
static bool clip(const struct flat_range *r, uint64_t start, uint64_t last, struct flat_range *out)
{
    if (!r || r->start > last)
        return false;
    *out = *r;
    if (start > r->start) {
        out->start = start;
        out->offset += start - r->start;
        if (r->host) {
            out->host += start - r->start;
            out->ram_addr += start - r->start;
        }
    }
    if (last < r->last)
        out->last = last;
    return true;
}

static bool same_within(const struct flatview *a, const struct flatview *b, uint64_t start,
                        uint64_t last)
{
    for (;;) {
        struct flat_range ra, rb;
        bool in_a = a && clip(flatview_next(a, start), start, last, &ra);
        bool in_b = b && clip(flatview_next(b, start), start, last, &rb);
        if (!in_a || !in_b)
            return in_a == in_b;
        if (!flat_range_equal(&ra, &rb))
            return false;
        if (ra.last == last)
            return true;
        start = ra.last + 1;
    }
}

bool flat_range_equal(const struct flat_range *a, const struct flat_range *b)
{
    return a->start == b->start && a->last == b->last && a->region == b->region &&
           a->offset == b->offset && a->priority == b->priority && a->readonly == b->readonly &&
           a->host == b->host && a->ram_addr == b->ram_addr &&
           (a->beneath == b->beneath || same_within(a->beneath, b->beneath, a->start, a->last));
}

bool flatview_equal(const struct flatview *a, const struct flatview *b)
{
    if (a->count != b->count)
        return false;
    for (size_t i = 0; i < a->count; i++)
        if (!flat_range_equal(&a->ranges[i], &b->ranges[i]))
            return false;
    return true;
}

/* How many children are enabled; `one` is set to one of them. */
static size_t enabled_children(const struct region *r, struct region **one)
{
    size_t n = 0;
    for (size_t i = 0; i < r->child_count; i++) {
        if (!r->children[i]->enabled)
            continue;
        *one = r->children[i];
        n++;
    }
    return n;
}

struct region *flatview_resolve_root(struct region *r)
{
    while (r && r->enabled) {
        struct region *next = NULL;
        if (r->readonly)
            return r;
        if (r->kind == REGION_ALIAS) {
            if (!r->alias_offset && r->last == r->alias->last)
                next = r->alias;
        } else if (r->kind == REGION_CONTAINER) {
            size_t n = enabled_children(r, &next);
            if (!n)
                return NULL;
            /* What the container would cut off, or move, is not the same view. */
            if (n > 1 || next->addr || next->last > r->last)
                next = NULL;
        }
        if (!next)
            return r;
        r = next;
    }
    return NULL;
}
