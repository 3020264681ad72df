/* Clocks and the timers that wait on them. All times are signed 64-bit nanoseconds.
 *
 * A machine has four (see docs/loop.md): `virtual` stops with the machine and is what every
 * guest-visible time derives from; `host` is the time of day; `realtime` runs always; `virtual_rt`
 * is real time that stops with the machine. A clock does not tick by itself: its owner gives it a
 * function that tells the time and calls clock_run() when the deadline has come. Every function
 * needs the machine lock. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CLOCK_NEVER   INT64_MAX
#define NS_PER_SECOND 1000000000LL

struct timer;

struct clock {
    const char *name;
    int64_t (*now)(void *opaque);
    /* Called when the earliest deadline has changed, so that the owner can wait shorter or longer.
     * May be NULL. */
    void (*rearmed)(void *opaque);
    void *opaque;
    struct timer **heap; /* ordered by (deadline, order of setting) */
    size_t count, capacity;
    uint64_t next_order;
};

struct timer {
    struct clock *clock;
    void (*fire)(void *opaque);
    void *opaque;
    int64_t deadline; /* CLOCK_NEVER: not set. A state field of the device that owns the timer */
    uint64_t order;
    size_t heap_index;
};

void clock_init(struct clock *c, const char *name, int64_t (*now)(void *), void (*rearmed)(void *),
                void *opaque);

/* Forgets all timers (they read as not set). */
void clock_fini(struct clock *c);

static inline int64_t clock_now(const struct clock *c)
{
    return c->now(c->opaque);
}

/* The earliest deadline, or CLOCK_NEVER. */
int64_t clock_deadline(const struct clock *c);

/* Fire every timer whose deadline is not after now, earliest first, ties in the order of setting; a
 * timer set by a fired one takes its turn in the same call if it is due. Returns how many fired. */
unsigned clock_run(struct clock *c);

/* The timer is embedded in its owner's state and starts unset. */
void timer_init(struct timer *t, struct clock *c, void (*fire)(void *), void *opaque);

/* Set (or move) to fire at absolute time `deadline`; it fires once. */
void timer_set(struct timer *t, int64_t deadline);

/* timer_set(), but it fires before all others of the same deadline, whenever those were set: for
 * what must not depend on when it was known. One timer of a clock may be set so. */
void timer_set_first(struct timer *t, int64_t deadline);

/* Unset; harmless when it is not set. */
void timer_cancel(struct timer *t);

static inline bool timer_is_set(const struct timer *t)
{
    return t->deadline != CLOCK_NEVER;
}
