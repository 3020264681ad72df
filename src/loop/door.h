/* The door: the one way by which the outside world (network, keyboard, sockets, host time) reaches
 * a machine.
 *
 * Who learns of something on the host posts it here, on whatever thread, with the machine lock
 * held. The thread that executes the guest lets it in between two instructions, at a known
 * instruction count, and that pair (count, bytes) is all that a recording has to hold. A machine
 * whose vcpus do not run has its door opened by the loop thread. Order of arrival is kept over all
 * sources. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct door;

/* Takes `len` bytes that came in; the data is the door's and goes with the call's return. */
typedef void (*door_fn)(void *opaque, const void *data, size_t len);

/* A named entrance. `name` identifies it in a recording and is borrowed for its lifetime. */
struct door_source {
    struct door *door;
    const char *name;
    door_fn enter;
    void *opaque;
};

/* `knock` is called after a post to a door that was empty: whoever runs the guest comes and drains
 * it. */
struct door *door_new(void (*knock)(void *opaque), void *opaque);

/* Drops what has not entered. */
void door_free(struct door *d);

void door_source_init(struct door_source *s, struct door *d, const char *name, door_fn enter,
                      void *opaque);

/* What the source has posted and has not entered is dropped. */
void door_source_fini(struct door_source *s);

/* Copy `len` bytes (0 is allowed: a mere event) into the queue. */
void door_post(struct door_source *s, const void *data, size_t len);

/* What was posted last and has not entered, if it is from this source: its bytes, which may be
 * changed until the next call of the door, and how many. Else NULL. */
void *door_newest(struct door_source *s, size_t *len);

bool door_pending(const struct door *d);

/* Let everything in that was posted before this call. Returns how many entered. */
unsigned door_drain(struct door *d);

/* Number of entries let in since the door was made. */
uint64_t door_entries(const struct door *d);
