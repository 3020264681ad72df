/* The event loop and the machine lock.
 *
 * One loop serves all machines of the process. libuv runs its callbacks inside its poll step, so
 * the loop thread waits outside of it, with poll() on the backend's descriptor and the lock
 * released, and then runs what is ready with the lock held: every libuv callback may touch devices
 * and Lua. docs/loop.md is the contract. */
#pragma once

#include "base/error.h"
#include "loop/clock.h"
#include "loop/lock.h"

#include <stdbool.h>
#include <uv.h>

struct loop;

struct loop *loop_new(struct error *err);

/* Closes what libuv still holds. The lock must be free. */
void loop_free(struct loop *l);

/* Close every handle that is still open but the loop's own, which cancels their requests. Lock
 * held; the callbacks come from loop_poll(). */
void loop_close_handles(struct loop *l);

uv_loop_t *loop_uv(struct loop *l);

struct machine_lock *loop_lock(struct loop *l);

/* Is the caller the thread that made it, the loop thread. */
bool loop_on_thread(const struct loop *l);

/* Run on the loop thread, lock held: wait for events and run them until `done(opaque)` is true,
 * which is asked after every round. The lock is released while waiting. */
void loop_run(struct loop *l, bool (*done)(void *opaque), void *opaque);

/* Run what is ready and return; never waits. Lock held. */
void loop_poll(struct loop *l);

/* Make loop_run ask `done` again soon. From any thread, with or without the lock, and from a signal
 * handler. */
void loop_wake(struct loop *l);

/* Time since an arbitrary start, for `realtime` clocks: monotonic nanoseconds. */
int64_t loop_realtime_ns(void);

/* Time of day: nanoseconds since 1970-01-01 UTC. */
int64_t loop_host_ns(void);

/* The realtime clock: its timers fire on the loop thread. */
struct clock *loop_realtime(struct loop *l);
