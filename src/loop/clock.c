/* Clocks and timers: a binary heap per clock. */
#include "loop/clock.h"

#include "base/alloc.h"

#include <assert.h>
#include <stdlib.h>

void clock_init(struct clock *c, const char *name, int64_t (*now)(void *), void (*rearmed)(void *),
                void *opaque)
{
    *c = (struct clock){ .name = name, .now = now, .rearmed = rearmed, .opaque = opaque };
}

void clock_fini(struct clock *c)
{
    for (size_t i = 0; i < c->count; i++)
        c->heap[i]->deadline = CLOCK_NEVER;
    free(c->heap);
    c->heap = NULL;
    c->count = c->capacity = 0;
}

int64_t clock_deadline(const struct clock *c)
{
    return c->count ? c->heap[0]->deadline : CLOCK_NEVER;
}

static bool earlier(const struct timer *a, const struct timer *b)
{
    return a->deadline != b->deadline ? a->deadline < b->deadline : a->order < b->order;
}

static void place(struct clock *c, size_t i, struct timer *t)
{
    c->heap[i] = t;
    t->heap_index = i;
}

/* Move `t`, which belongs somewhere at or around index `i`, to its place. */
static void sift(struct clock *c, size_t i, struct timer *t)
{
    while (i > 0 && earlier(t, c->heap[(i - 1) / 2])) {
        place(c, i, c->heap[(i - 1) / 2]);
        i = (i - 1) / 2;
    }
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= c->count)
            break;
        if (child + 1 < c->count && earlier(c->heap[child + 1], c->heap[child]))
            child++;
        if (!earlier(c->heap[child], t))
            break;
        place(c, i, c->heap[child]);
        i = child;
    }
    place(c, i, t);
}

static void remove_from_heap(struct timer *t)
{
    struct clock *c = t->clock;
    struct timer *last = c->heap[--c->count];
    if (last != t)
        sift(c, t->heap_index, last);
    t->deadline = CLOCK_NEVER;
}

static void tell_rearmed(struct clock *c, int64_t before)
{
    if (c->rearmed && clock_deadline(c) != before)
        c->rearmed(c->opaque);
}

unsigned clock_run(struct clock *c)
{
    unsigned fired = 0;
    int64_t now =
        clock_now(c); /* where time goes by meanwhile: what is set again comes next time */
    while (c->count && c->heap[0]->deadline <= now) {
        struct timer *t = c->heap[0];
        remove_from_heap(t);
        t->fire(t->opaque);
        fired++;
    }
    return fired;
}

void timer_init(struct timer *t, struct clock *c, void (*fire)(void *), void *opaque)
{
    *t = (struct timer){ .clock = c, .fire = fire, .opaque = opaque, .deadline = CLOCK_NEVER };
}

static void set_in_order(struct timer *t, int64_t deadline, uint64_t order)
{
    struct clock *c = t->clock;
    int64_t before = clock_deadline(c);
    if (deadline == CLOCK_NEVER)
        deadline--;
    size_t at = t->heap_index;
    if (!timer_is_set(t)) {
        ALLOC_GROW(c->heap, c->count, c->capacity);
        at = c->count++;
    }
    t->deadline = deadline;
    t->order = order;
    sift(c, at, t);
    tell_rearmed(c, before);
}

void timer_set(struct timer *t, int64_t deadline)
{
    set_in_order(t, deadline, ++t->clock->next_order);
}

void timer_set_first(struct timer *t, int64_t deadline)
{
    set_in_order(t, deadline, 0);
}

void timer_cancel(struct timer *t)
{
    if (!t->clock || !timer_is_set(t))
        return;
    int64_t before = clock_deadline(t->clock);
    remove_from_heap(t);
    tell_rearmed(t->clock, before);
}
