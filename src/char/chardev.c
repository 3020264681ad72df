/* Character backends: what all have in common.
 *
 * Input is counted from the moment the backend hands it over until the front end has it, through
 * the door and the buffer here, so that a backend can stop reading from the host while a guest does
 * not listen. */
#include "char/chardev.h"

#include "base/alloc.h"
#include "base/log.h"

#include <stdlib.h>
#include <string.h>

enum { CHUNK = 256 };

enum {
    CHARDEV_WRITE,
    CHARDEV_INPUT,
    CHARDEV_TAKE,
    CHARDEV_DROP,
};

static const struct trace_event chardev_events[] = {
    [CHARDEV_WRITE] = { "chardev.write",
                        "a device writes to its backend",
                        { { "size", TRACE_BYTES } } },
    [CHARDEV_INPUT] = { "chardev.input",
                        "the host has input for the machine",
                        { { "size", TRACE_BYTES }, { "waiting", TRACE_BYTES } } },
    [CHARDEV_TAKE] = { "chardev.take",
                       "a device takes input",
                       { { "size", TRACE_BYTES }, { "waiting", TRACE_BYTES } } },
    [CHARDEV_DROP] = { "chardev.drop",
                       "input is dropped, because the guest reads none",
                       { { "size", TRACE_BYTES } } },
};
struct trace_table chardev_trace = TRACE_TABLE(chardev_events);

static struct trace_source chardev_source(const struct chardev *c)
{
    return (struct trace_source){ c->trace, c->id };
}

/* A call of the taps under way: who removes one moves on those that would come to it. */
struct tap_walk {
    struct chardev_tap *next;
    struct tap_walk *outer;
};

static void tell_front(struct chardev *c, enum chardev_event event)
{
    c->busy++;
    if (c->front && c->front->event)
        c->front->event(c->front->opaque, event);
    c->busy--;
}

static void input_enters(void *opaque, const void *data, size_t len)
{
    struct chardev *c = opaque;
    c->posted -= len;
    if (!len) {
        tell_front(c, CHARDEV_BREAK);
        return;
    }
    if (c->front)
        fifo_push(&c->input, data, len);
    chardev_accept_input(c);
}

void chardev_init(struct chardev *c, const char *id, const struct chardev_ops *ops,
                  struct door *door)
{
    *c = (struct chardev){ .id = alloc_string(id), .ops = ops, .connected = true };
    if (door)
        door_source_init(&c->door, door, c->id, input_enters, c);
}

void chardev_free(struct chardev *c)
{
    if (!c)
        return;
    door_source_fini(&c->door);
    c->front = NULL;
    chardev_mux_free(c->mux);
    const char *id = c->id;
    fifo_fini(&c->input);
    if (c->ops->free)
        c->ops->free(c);
    else
        free(c);
    free((char *)id);
}

bool chardev_may_go(const struct chardev *c)
{
    return !c->busy && (!c->front || (c->mux && !chardev_mux_is_used(c)));
}

bool chardev_attach(struct chardev *c, const struct chardev_front *front)
{
    if (front && c->front)
        return false;
    c->front = front;
    if (!front)
        fifo_fini(&c->input);
    chardev_accept_input(c);
    return true;
}

void chardev_write(struct chardev *c, const uint8_t *data, size_t len)
{
    c->busy++;
    c->bytes_out += len;
    TRACE(chardev_trace, CHARDEV_WRITE, chardev_source(c), len);
    struct tap_walk walk = { c->taps, c->walks };
    c->walks = &walk;
    while (walk.next) {
        struct chardev_tap *tap = walk.next;
        walk.next = tap->next;
        tap->output(tap->opaque, data, len);
    }
    c->walks = walk.outer;
    c->ops->write(c, data, len);
    c->busy--;
}

void chardev_tap_add(struct chardev *c, struct chardev_tap *tap)
{
    struct chardev_tap **at = &c->taps;
    while (*at)
        at = &(*at)->next;
    tap->next = NULL;
    *at = tap;
}

void chardev_tap_remove(struct chardev *c, struct chardev_tap *tap)
{
    struct chardev_tap **at = &c->taps;
    while (*at && *at != tap)
        at = &(*at)->next;
    if (!*at)
        return;
    *at = tap->next;
    for (struct tap_walk *w = c->walks; w; w = w->outer)
        if (w->next == tap)
            w->next = tap->next;
}

char *chardev_filename(const struct chardev *c)
{
    return c->ops->filename ? c->ops->filename(c) : alloc_string(c->ops->kind);
}

/* The front end gets a copy: it may detach, or ask for more, from within receive(). */
static void feed_front(struct chardev *c)
{
    while (c->front && c->input.len) {
        size_t room = c->front->can_receive(c->front->opaque);
        size_t n = room < c->input.len ? room : c->input.len;
        if (!n)
            return;
        uint8_t chunk[CHUNK];
        n = n < CHUNK ? n : CHUNK;
        memcpy(chunk, fifo_front(&c->input), n);
        fifo_drop(&c->input, n);
        TRACE(chardev_trace, CHARDEV_TAKE, chardev_source(c), n, c->input.len);
        if (!c->front)
            return;
        c->front->receive(c->front->opaque, chunk, n);
    }
    if (!c->input.len && !c->posted && c->ops->input_taken)
        c->ops->input_taken(c);
}

void chardev_accept_input(struct chardev *c)
{
    c->busy++;
    feed_front(c);
    c->busy--;
}

/* What is outside of the machine needs no place in its instruction count. */
static bool by_the_door(const struct chardev *c)
{
    return c->door.door && !(c->front && c->front->outside);
}

static void take_input(struct chardev *c, const uint8_t *data, size_t len)
{
    c->bytes_in += len;
    if (chardev_input_waiting(c) + len > CHARDEV_INPUT_MAX) {
        if (!c->input_lost)
            log_host(LOG_WARN, c->id, "the guest does not read its input; some is dropped");
        c->input_lost = true;
        TRACE(chardev_trace, CHARDEV_DROP, chardev_source(c), len);
        return;
    }
    TRACE(chardev_trace, CHARDEV_INPUT, chardev_source(c), len, chardev_input_waiting(c) + len);
    c->posted += len;
    if (by_the_door(c))
        door_post(&c->door, data, len);
    else
        input_enters(c, data, len);
}

void chardev_input(struct chardev *c, const uint8_t *data, size_t len)
{
    if (!len)
        return;
    c->busy++;
    take_input(c, data, len);
    c->busy--;
}

size_t chardev_input_waiting(const struct chardev *c)
{
    return c->posted + c->input.len;
}

void chardev_break(struct chardev *c)
{
    if (by_the_door(c))
        door_post(&c->door, NULL, 0);
    else
        input_enters(c, NULL, 0);
}

void chardev_set_connected(struct chardev *c, bool connected)
{
    if (connected == c->connected)
        return;
    c->connected = connected;
    if (c->front && c->front->outside)
        tell_front(c, connected ? CHARDEV_OPENED : CHARDEV_CLOSED);
}
