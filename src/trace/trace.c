/* Events on their way to listeners, and which ones a listener hears of. */
#include "trace/trace.h"

#include "base/alloc.h"
#include "loop/lock.h"

#include <assert.h>
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

/* ---- firing ---- */

static size_t number_of(const struct trace *t, const struct trace_table *table)
{
    size_t n = 0;
    while (t->table(n) && t->table(n) != table)
        n++;
    assert(t->table(n)); /* a table that is in no list cannot be switched on */
    return n;
}

/* Listeners may come and go while one of them is told: those that come wait for the next event. */
static void tell(struct trace *t, size_t table, unsigned event, const struct trace_record *r)
{
    size_t count = t->count;
    t->telling++;
    for (size_t n = 0; n < count; n++) {
        struct trace_listener *l = t->listeners[n];
        if (!l || !trace_wants(l, table, event))
            continue;
        l->hits++;
        l->event(l->opaque, r);
    }
    if (--t->telling)
        return;
    size_t kept = 0;
    for (size_t n = 0; n < t->count; n++)
        if (t->listeners[n])
            t->listeners[kept++] = t->listeners[n];
    t->count = kept;
}

void trace_fire(const struct trace_table *table, unsigned event, struct trace_source from,
                const uint64_t *args, size_t count)
{
    struct trace *t = from.trace;
    if (!t)
        return;
    assert(event < table->count && count == trace_arg_count(&table->events[event]));
    (void)count;
    /* The thread of a cpu comes without the lock. */
    bool take = t->lock && !machine_lock_mine(t->lock);
    if (take)
        machine_lock_take(t->lock);
    if (t->count) {
        struct trace_record r = { .trace = t,
                                  .event = &table->events[event],
                                  .source = from.who ? from.who : "-",
                                  .time_ns = t->now(t->opaque),
                                  .args = args };
        r.counted = t->instructions && t->instructions(t->opaque, &r.instructions);
        tell(t, number_of(t, table), event, &r);
    }
    if (take)
        machine_lock_release(t->lock);
}

/* ---- listening ---- */

void trace_attach(struct trace *t, struct trace_listener *l)
{
    assert(!l->trace);
    l->trace = t;
    memset(l->wants, 0, sizeof l->wants);
    ALLOC_GROW(t->listeners, t->count, t->capacity);
    t->listeners[t->count++] = l;
}

/* Make the listener want what `wants` says, and count it among the users of each event. */
static void want(struct trace_listener *l, const uint64_t *wants)
{
    struct trace_table *table;
    for (size_t n = 0; (table = l->trace->table(n)); n++) {
        for (unsigned e = 0; e < table->count; e++) {
            bool was = l->wants[n] >> e & 1, is = wants[n] >> e & 1;
            table->users[e] += is;
            table->users[e] -= was;
            atomic_store_explicit(&table->on[e], table->users[e] > 0, memory_order_relaxed);
        }
        l->wants[n] = wants[n];
    }
}

void trace_detach(struct trace_listener *l)
{
    struct trace *t = l->trace;
    if (!t)
        return;
    const uint64_t nothing[TRACE_TABLES_MAX] = { 0 };
    want(l, nothing);
    l->trace = NULL;
    size_t n = 0;
    while (t->listeners[n] != l)
        n++;
    t->listeners[n] = NULL;
    if (t->telling)
        return;
    t->count--;
    memmove(&t->listeners[n], &t->listeners[n + 1], (t->count - n) * sizeof *t->listeners);
}

/* False: the glob matches no event. */
static bool apply(const struct trace *t, const char *glob, bool on, uint64_t *wants)
{
    bool any = false;
    struct trace_table *table;
    for (size_t n = 0; (table = t->table(n)); n++) {
        assert(n < TRACE_TABLES_MAX && table->count <= TRACE_TABLE_MAX);
        for (unsigned e = 0; e < table->count; e++) {
            if (fnmatch(glob, table->events[e].name, 0) != 0)
                continue;
            any = true;
            wants[n] = bits_put(wants[n], e, 1, on);
        }
    }
    return any;
}

bool trace_select(struct trace_listener *l, const char *patterns, bool on, char *unmatched,
                  size_t size)
{
    uint64_t wants[TRACE_TABLES_MAX];
    memcpy(wants, l->wants, sizeof wants);
    char *copy = alloc_string(patterns), *rest = copy, *glob;
    bool ok = true;
    while (ok && (glob = strsep(&rest, ","))) {
        bool off = *glob == '-';
        ok = apply(l->trace, glob + off, on != off, wants);
        if (!ok && size) {
            size_t n = strlen(glob + off);
            n = n < size ? n : size - 1;
            memcpy(unmatched, glob + off, n);
            unmatched[n] = 0;
        }
    }
    free(copy);
    if (ok)
        want(l, wants);
    return ok;
}

unsigned trace_listeners(const struct trace *t, size_t table, unsigned event)
{
    unsigned found = 0;
    for (size_t n = 0; n < t->count; n++)
        found += t->listeners[n] && trace_wants(t->listeners[n], table, event);
    return found;
}

void trace_flush(struct trace *t)
{
    for (size_t n = 0; n < t->count; n++)
        if (t->listeners[n] && t->listeners[n]->flush)
            t->listeners[n]->flush(t->listeners[n]->opaque);
}

void trace_fini(struct trace *t)
{
    while (t->count)
        trace_detach(t->listeners[t->count - 1]);
    free(t->listeners);
    t->listeners = NULL;
    t->capacity = 0;
}
