/* Character backends: byte streams between a device and the host.
 *
 * A front end (a serial port, the monitor) attaches to a backend. Output goes out at once and is
 * never refused: what the host cannot take is kept, up to a bound, and then dropped with a
 * message. Input enters through the door, and waits there while the front end has no room. With a
 * mux several front ends share one backend. docs/chardev.md has what users see. Machine lock for
 * everything. */
#pragma once

#include "base/error.h"
#include "char/fifo.h"
#include "loop/door.h"
#include "loop/loop.h"
#include "trace/trace.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct chardev;
struct chardev_mux;

enum chardev_event {
    CHARDEV_OPENED,    /* somebody is at the other end now; only for those outside of the machine */
    CHARDEV_CLOSED,    /* ... and nobody any more */
    CHARDEV_FOCUSED,   /* at a mux: what is typed comes here from now on */
    CHARDEV_UNFOCUSED, /* ... and goes to another one */
    CHARDEV_BREAK,     /* a break on the line */
};

struct chardev_front {
    /* Bytes that it can take now. */
    size_t (*can_receive)(void *opaque);
    void (*receive)(void *opaque, const uint8_t *data, size_t len);
    void *opaque;
    void (*event)(void *opaque, enum chardev_event event); /* NULL: does not care */
    bool outside; /* no part of the machine: its input does not pass the door */
};

/* Sees what the front end writes, before the host does. Embedded; the owner adds and removes it. */
struct chardev_tap {
    void (*output)(void *opaque, const uint8_t *data, size_t len);
    void *opaque;
    struct chardev_tap *next;
};

struct chardev_ops {
    const char *kind;
    void (*write)(struct chardev *c, const uint8_t *data, size_t len);
    /* All input was taken: the backend may read on if chardev_input_waiting() made it stop. NULL:
     * does not care. On any thread, with the machine lock held. */
    void (*input_taken)(struct chardev *c);
    /* What it is connected to, as "unix:/path,server=on"; the caller frees. NULL: its kind. */
    char *(*filename)(const struct chardev *c);
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
    struct fifo input;                 /* came in, not taken yet */
    size_t posted;                     /* bytes in the door */
    bool input_lost;                   /* said so already */
    bool connected;                    /* somebody may be at the other end */
    struct door_source door;
    struct chardev_tap *taps; /* in order of adding */
    struct tap_walk *walks;   /* calls of taps under way */
    unsigned busy;            /* calls from here that may lead anywhere, so many levels deep */
    struct chardev_mux *mux;  /* shares it between front ends; owned. NULL: there is one */
    uint64_t bytes_out, bytes_in;
    struct trace *trace; /* whose events these are; NULL: nobody's. Borrowed */
};

/* For backends: the common part. `door` NULL: input goes straight to the front end. */
void chardev_init(struct chardev *c, const char *id, const struct chardev_ops *ops,
                  struct door *door);
void chardev_free(struct chardev *c); /* NULL is allowed */
/* Nothing is attached to it, and nothing that it has called is under way. */
bool chardev_may_go(const struct chardev *c);

extern struct trace_table chardev_trace;

/* By the front end. A backend serves one: a second is refused (false). NULL front detaches; what
 * has come in and was not taken is dropped. */
bool chardev_attach(struct chardev *c, const struct chardev_front *front);
void chardev_write(struct chardev *c, const uint8_t *data, size_t len);
/* The front end has room again. */
void chardev_accept_input(struct chardev *c);

void chardev_tap_add(struct chardev *c, struct chardev_tap *tap);
/* Safe while taps are being called; harmless if it was not added. */
void chardev_tap_remove(struct chardev *c, struct chardev_tap *tap);

/* For listings; the caller frees it. */
char *chardev_filename(const struct chardev *c);

/* By the backend: bytes came from outside. */
void chardev_input(struct chardev *c, const uint8_t *data, size_t len);
/* A break came. */
void chardev_break(struct chardev *c);
/* Somebody came to the other end, or left. On the loop thread. */
void chardev_set_connected(struct chardev *c, bool connected);
/* Bytes that came in and that the front end has not taken. */
size_t chardev_input_waiting(const struct chardev *c);

/* ---- backends ---- */

/* Drops output, gives no input. */
struct chardev *chardev_null_new(const char *id);

struct chardev_file_config {
    const char *path;
    const char *input; /* read from the start as fast as it is taken; NULL: no input */
    bool append;       /* to what is there; else it is replaced */
};
/* Output to a file. */
struct chardev *chardev_file_new(const char *id, struct loop *loop, struct door *door,
                                 const struct chardev_file_config *config, struct error *err);

/* Keeps the last `capacity` bytes in memory; input by chardev_input(). */
struct chardev *chardev_ring_new(const char *id, size_t capacity, struct door *door);
/* Copies out the newest `cap` bytes that the ring holds, or all if it holds fewer; returns the
 * length, *total (NULL is allowed) all bytes ever written: those copied are the last of these. */
size_t chardev_ring_read(struct chardev *c, uint8_t *buf, size_t cap, uint64_t *total);

/* The process's terminal, or pipes on standard input and output. In raw mode while attached to a
 * terminal; restored on free, at exit, on fatal signals and on Ctrl-Z. */
struct stdio_config {
    bool signals; /* let Ctrl-C raise SIGINT */
    bool shared;  /* with others who read the terminal: one byte is read at a time */
};
struct chardev *chardev_stdio_new(const char *id, struct loop *loop, struct door *door,
                                  const struct stdio_config *config, struct error *err);

/* Somebody else reads standard input for now; or has stopped to. Machine lock. Harmless for other
 * kinds. */
void chardev_stdio_lend(struct chardev *c, bool lent);

/* A stream socket, listening or connecting. One peer at a time; others wait in the kernel's queue
 * until it has gone. Without a peer output is dropped. */
struct chardev_socket_config {
    const char *path; /* of a unix socket; NULL: TCP */
    const char *host; /* listening: a numeric address, "localhost", or NULL for 127.0.0.1 */
    uint16_t port;    /* listening at 0: any that is free */
    bool server;
    bool insecure;        /* may listen beyond this host */
    bool delay;           /* leave Nagle's algorithm on */
    unsigned reconnect_s; /* connecting: try again after so many seconds; 0: never */
};
/* On the loop thread. Without reconnect_s it waits for the connection, 10 seconds at most. */
struct chardev *chardev_socket_new(const char *id, struct loop *loop, struct door *door,
                                   const struct chardev_socket_config *config, struct error *err);
/* The port that it listens at or connects to; 0 for unix sockets. */
uint16_t chardev_socket_port(const struct chardev *c);
/* The other end as "127.0.0.1:4711"; the caller frees. NULL: none, or it has no name. */
char *chardev_socket_peer(const struct chardev *c);

/* A pseudo terminal. `link`: a symbolic link to make to it, or NULL. On the loop thread. Without
 * somebody who has it open output is dropped. */
struct chardev *chardev_pty_new(const char *id, struct loop *loop, struct door *door,
                                const char *link, struct error *err);

/* ---- several front ends on one backend ---- */

/* Each front end has a chardev of its own, a port of the mux. What they write goes to the backend;
 * what comes from there goes to the one that has the focus. Ctrl-a c moves the focus to the next
 * port at which a front end is, Ctrl-a b sends a break, Ctrl-a h helps, Ctrl-a x quits, Ctrl-a
 * Ctrl-a is Ctrl-a. */
struct chardev_mux_config {
    void (*quit)(void *opaque);
    void *opaque;
    bool may_quit; /* Ctrl-a x works even if none of the front ends is outside of the machine */
};
/* The backend must be unattached; it owns the mux, and frees it. False: it is attached. */
bool chardev_mux_add(struct chardev *backend, const struct chardev_mux_config *config);
/* One more port. The first one has the focus. It may be freed before or after the backend. */
struct chardev *chardev_mux_port_new(const char *id, struct chardev *backend, struct door *door);
/* Give a port the focus; or the next one after that which has it. */
void chardev_mux_focus(struct chardev *port);
void chardev_mux_next(struct chardev *backend);
bool chardev_mux_has_focus(const struct chardev *port);
/* For a port: its backend, NULL if that has gone; for others NULL. */
struct chardev *chardev_mux_backend(const struct chardev *port);
/* Is there a port? */
bool chardev_mux_is_used(const struct chardev *backend);
/* By the backend's chardev_free(). */
void chardev_mux_free(struct chardev_mux *m);

/* ---- addresses of sockets that listen ---- */

/* A listening socket that does not block, at what `config` says, or -1. A unix socket has mode
 * 0600; a path that nobody listens at any more is taken over. Beyond loopback it takes insecure and
 * the address in full. *port (NULL is allowed) is the one that 0 became. `who` is for messages. */
int socket_listen(const char *who, const struct chardev_socket_config *config, uint16_t *port,
                  struct error *err);

/* Put the terminal back as it was found. Async-signal-safe; harmless when nothing was changed. */
void terminal_restore(void);
