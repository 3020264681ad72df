/* Character backends: byte streams between a device and the host.
 *
 * A front end (a serial port, later the monitor) attaches to a backend. Output goes out at once and
 * is never refused: what the host cannot take is kept, up to a bound, and then dropped with a
 * message. Input enters through the door, and waits there while the front end has no room. Machine
 * lock for everything. */
#pragma once

#include "base/error.h"
#include "loop/door.h"
#include "loop/loop.h"
#include "trace/trace.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct chardev;

struct chardev_front {
    /* Bytes that it can take now. */
    size_t (*can_receive)(void *opaque);
    void (*receive)(void *opaque, const uint8_t *data, size_t len);
    void *opaque;
};

struct chardev_ops {
    const char *kind;
    void (*write)(struct chardev *c, const uint8_t *data, size_t len);
    /* All input was taken: the backend may read on if chardev_input_waiting() made it stop. NULL:
     * does not care. On any thread, with the machine lock held. */
    void (*input_taken)(struct chardev *c);
    void (*free)(struct chardev *c); /* NULL: the struct came from the heap and is all there is */
};

enum {
    CHARDEV_INPUT_MARK = 65536,   /* bytes waiting above which a backend should read no more */
    CHARDEV_INPUT_MAX = 1 << 20,  /* bytes waiting above which input is dropped */
    CHARDEV_OUTPUT_MAX = 1 << 20, /* bytes kept for the host above which output is dropped */
};

struct chardev {
    const char *id; /* must stay the first member; owned */
    const struct chardev_ops *ops;
    const struct chardev_front *front; /* NULL: nobody attached, input is dropped */
    uint8_t *input; /* came in, not taken yet: input_len bytes from input_at on */
    size_t input_at, input_len, input_cap;
    size_t posted;   /* bytes in the door */
    bool input_lost; /* said so already */
    struct door_source door;
    /* Sees what the front end writes, before the host does: serial hooks, wait_serial. */
    void (*output_tap)(void *opaque, const uint8_t *data, size_t len);
    void *output_tap_opaque;
    uint64_t bytes_out, bytes_in;
    struct trace *trace; /* whose events these are; NULL: nobody's. Borrowed */
};

/* For backends: the common part. `door` NULL: input goes straight to the front end. */
void chardev_init(struct chardev *c, const char *id, const struct chardev_ops *ops,
                  struct door *door);
void chardev_free(struct chardev *c); /* NULL is allowed */

extern struct trace_table chardev_trace;

/* By the front end. A backend serves one: a second is refused (false). NULL front detaches. */
bool chardev_attach(struct chardev *c, const struct chardev_front *front);
void chardev_write(struct chardev *c, const uint8_t *data, size_t len);
/* The front end has room again. */
void chardev_accept_input(struct chardev *c);

/* By the backend: bytes came from outside. */
void chardev_input(struct chardev *c, const uint8_t *data, size_t len);
/* Bytes that came in and that the front end has not taken. */
size_t chardev_input_waiting(const struct chardev *c);

/* ---- backends ---- */

/* Drops output, gives no input. */
struct chardev *chardev_null_new(const char *id);

/* Output appended to a file; no input. */
struct chardev *chardev_file_new(const char *id, const char *path, struct error *err);

/* Keeps the last `capacity` bytes in memory; input by chardev_input(). */
struct chardev *chardev_ring_new(const char *id, size_t capacity, struct door *door);
/* Copies out the newest `cap` bytes that the ring holds, or all if it holds fewer; returns the
 * length, *total (NULL is allowed) all bytes ever written: those copied are the last of these. */
size_t chardev_ring_read(struct chardev *c, uint8_t *buf, size_t cap, uint64_t *total);

/* The process's terminal, or pipes on standard input and output. `escapes`: Ctrl-a x ends the
 * process's run through `command`, Ctrl-a h helps, Ctrl-a c switches to the next front end, Ctrl-a
 * Ctrl-a sends Ctrl-a. In raw mode while attached to a terminal; restored on free, at exit, on
 * fatal signals and on Ctrl-Z. */
struct stdio_config {
    bool escapes;
    bool signals; /* without escapes: let Ctrl-C raise SIGINT */
    /* 'x', 'c', 'b', ... whatever follows Ctrl-a but h and Ctrl-a. Must not free the chardev. */
    void (*command)(void *opaque, char key);
    void *opaque;
};
struct chardev *chardev_stdio_new(const char *id, struct loop *loop, struct door *door,
                                  const struct stdio_config *config, struct error *err);

/* Somebody else reads standard input for now; or has stopped to. Machine lock. */
void chardev_stdio_lend(struct chardev *c, bool lent);

/* Put the terminal back as it was found. Async-signal-safe; harmless when nothing was changed. */
void terminal_restore(void);
