/* Output kept in memory: the last bytes written, for scripts and tests. */
#include "char/chardev.h"

#include "base/alloc.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct ring_chardev {
    struct chardev c; /* must stay the first member */
    size_t capacity;
    uint64_t total; /* bytes ever written; the next goes to total % capacity */
    uint8_t *bytes;
};

static void ring_write(struct chardev *c, const uint8_t *data, size_t len)
{
    struct ring_chardev *r = (struct ring_chardev *)c;
    if (len > r->capacity) { /* only its end will be seen */
        r->total += len - r->capacity;
        data += len - r->capacity;
        len = r->capacity;
    }
    size_t at = r->total % r->capacity;
    size_t first = r->capacity - at < len ? r->capacity - at : len;
    memcpy(r->bytes + at, data, first);
    memcpy(r->bytes, data + first, len - first);
    r->total += len;
}

static void ring_free(struct chardev *c)
{
    struct ring_chardev *r = (struct ring_chardev *)c;
    free(r->bytes);
    free(r);
}

static const struct chardev_ops ring_ops = { .kind = "ring",
                                             .write = ring_write,
                                             .free = ring_free };

struct chardev *chardev_ring_new(const char *id, size_t capacity, struct door *door)
{
    assert(capacity);
    struct ring_chardev *r = ALLOC(struct ring_chardev);
    chardev_init(&r->c, id, &ring_ops, door);
    r->capacity = capacity;
    r->bytes = alloc_zero(1, capacity);
    return &r->c;
}

size_t chardev_ring_read(struct chardev *c, uint8_t *buf, size_t cap, uint64_t *total)
{
    assert(c->ops == &ring_ops);
    struct ring_chardev *r = (struct ring_chardev *)c;
    size_t held = r->total < r->capacity ? (size_t)r->total : r->capacity;
    size_t n = held < cap ? held : cap;
    for (size_t i = 0; i < n; i++)
        buf[i] = r->bytes[(r->total - n + i) % r->capacity];
    if (total)
        *total = r->total;
    return n;
}
