/* The door: a queue of what came from outside. */
#include "loop/door.h"

#include "base/alloc.h"
#include "base/bits.h"

#include <stdlib.h>
#include <string.h>

struct entry {
    struct entry *next;
    struct door_source *source; /* NULL: the source went away */
    size_t len;
    unsigned char data[];
};

struct door {
    struct entry *first, **last;
    size_t queued;
    void (*knock)(void *opaque);
    void *opaque;
    uint64_t entries;
};

struct door *door_new(void (*knock)(void *), void *opaque)
{
    struct door *d = ALLOC(struct door);
    d->last = &d->first;
    d->knock = knock;
    d->opaque = opaque;
    return d;
}

void door_free(struct door *d)
{
    if (!d)
        return;
    while (d->first) {
        struct entry *e = d->first;
        d->first = e->next;
        free(e);
    }
    free(d);
}

void door_source_init(struct door_source *s, struct door *d, const char *name, door_fn enter,
                      void *opaque)
{
    *s = (struct door_source){ .door = d, .name = name, .enter = enter, .opaque = opaque };
}

void door_source_fini(struct door_source *s)
{
    if (!s->door)
        return;
    for (struct entry *e = s->door->first; e; e = e->next)
        if (e->source == s)
            e->source = NULL;
    s->door = NULL;
}

void door_post(struct door_source *s, const void *data, size_t len)
{
    struct door *d = s->door;
    struct entry *e = alloc_zero(1, sizeof *e + len);
    e->source = s;
    e->len = len;
    if (len)
        memcpy(e->data, data, len);
    bool was_empty = !d->first;
    *d->last = e;
    d->last = &e->next;
    d->queued++;
    if (was_empty && d->knock)
        d->knock(d->opaque);
}

void *door_newest(struct door_source *s, size_t *len)
{
    struct door *d = s->door;
    struct entry *e = d->first ? CONTAINER_OF(d->last, struct entry, next) : NULL;
    if (!e || e->source != s)
        return NULL;
    *len = e->len;
    return e->data;
}

bool door_pending(const struct door *d)
{
    return d->first != NULL;
}

unsigned door_drain(struct door *d)
{
    unsigned entered = 0;
    /* What is posted while these enter waits for the next time. Entries stay in the queue until
     * their turn, so that a source that goes away meanwhile takes its own along. */
    for (size_t n = d->queued; n > 0 && d->first; n--) {
        struct entry *e = d->first;
        d->first = e->next;
        if (!d->first)
            d->last = &d->first;
        d->queued--;
        if (e->source) {
            e->source->enter(e->source->opaque, e->data, e->len);
            entered++;
        }
        free(e);
    }
    d->entries += entered;
    return entered;
}

uint64_t door_entries(const struct door *d)
{
    return d->entries;
}
