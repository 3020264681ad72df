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

static void input_enters(void *opaque, const void *data, size_t len)
{
    struct chardev *c = opaque;
    c->posted -= len;
    if (c->front) {
        if (c->input_at)
            memmove(c->input, c->input + c->input_at, c->input_len);
        c->input_at = 0;
        if (c->input_len + len > c->input_cap) {
            c->input_cap = 2 * (c->input_len + len);
            c->input = alloc_resize(c->input, c->input_cap, 1);
        }
        memcpy(c->input + c->input_len, data, len);
        c->input_len += len;
    }
    chardev_accept_input(c);
}

void chardev_init(struct chardev *c, const char *id, const struct chardev_ops *ops,
                  struct door *door)
{
    *c = (struct chardev){ .id = alloc_string(id), .ops = ops };
    if (door)
        door_source_init(&c->door, door, c->id, input_enters, c);
}

void chardev_free(struct chardev *c)
{
    if (!c)
        return;
    door_source_fini(&c->door);
    free(c->input);
    free((char *)c->id);
    c->front = NULL;
    if (c->ops->free)
        c->ops->free(c);
    else
        free(c);
}

bool chardev_attach(struct chardev *c, const struct chardev_front *front)
{
    if (front && c->front)
        return false;
    c->front = front;
    if (!front) {
        c->input_len = 0;
        chardev_accept_input(c);
    }
    return true;
}

void chardev_write(struct chardev *c, const uint8_t *data, size_t len)
{
    c->bytes_out += len;
    TRACE(chardev_trace, CHARDEV_WRITE, chardev_source(c), len);
    if (c->output_tap)
        c->output_tap(c->output_tap_opaque, data, len);
    c->ops->write(c, data, len);
}

/* The front end gets a copy: it may detach, or ask for more, from within receive(). */
void chardev_accept_input(struct chardev *c)
{
    while (c->front && c->input_len) {
        size_t room = c->front->can_receive(c->front->opaque);
        size_t n = room < c->input_len ? room : c->input_len;
        if (!n)
            return;
        uint8_t chunk[CHUNK];
        n = n < CHUNK ? n : CHUNK;
        memcpy(chunk, c->input + c->input_at, n);
        c->input_at += n;
        c->input_len -= n;
        TRACE(chardev_trace, CHARDEV_TAKE, chardev_source(c), n, c->input_len);
        if (!c->front)
            return;
        c->front->receive(c->front->opaque, chunk, n);
    }
    if (c->input_len)
        return;
    c->input_at = 0;
    if (!c->posted && c->ops->input_taken)
        c->ops->input_taken(c);
}

void chardev_input(struct chardev *c, const uint8_t *data, size_t len)
{
    if (!len)
        return;
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
    if (c->door.door)
        door_post(&c->door, data, len);
    else
        input_enters(c, data, len);
}

size_t chardev_input_waiting(const struct chardev *c)
{
    return c->posted + c->input_len;
}
