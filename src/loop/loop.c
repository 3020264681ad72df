/* The event loop: libuv, entered only with the machine lock held. */
#include "loop/loop.h"

#include "base/alloc.h"

#include <assert.h>
#include <poll.h>
#include <stdlib.h>
#include <time.h>

struct loop {
    uv_loop_t uv;
    uv_async_t wake; /* keeps the loop alive: libuv polls nothing in a loop that is not */
    struct machine_lock lock;
    struct clock realtime;
    pthread_t thread;
};

int64_t loop_realtime_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return ts.tv_sec * NS_PER_SECOND + ts.tv_nsec;
}

int64_t loop_host_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_REALTIME, &ts);
    return ts.tv_sec * NS_PER_SECOND + ts.tv_nsec;
}

static int64_t realtime_now(void *opaque)
{
    (void)opaque;
    return loop_realtime_ns();
}

static void on_wake(uv_async_t *handle)
{
    (void)handle; /* being woken is all */
}

struct loop *loop_new(struct error *err)
{
    struct loop *l = ALLOC(struct loop);
    int e = uv_loop_init(&l->uv);
    if (!e && (e = uv_async_init(&l->uv, &l->wake, on_wake)))
        uv_loop_close(&l->uv);
    if (e) {
        error_set_host(err, -e, "cannot create the event loop");
        free(l);
        return NULL;
    }
    l->thread = pthread_self();
    machine_lock_init(&l->lock);
    clock_init(&l->realtime, "realtime", realtime_now, NULL, NULL);
    return l;
}

static void close_handle(uv_handle_t *handle, void *spared)
{
    if (handle != spared && !uv_is_closing(handle))
        uv_close(handle, NULL);
}

void loop_close_handles(struct loop *l)
{
    uv_walk(&l->uv, close_handle, &l->wake);
}

void loop_free(struct loop *l)
{
    if (!l)
        return;
    uv_walk(&l->uv, close_handle, NULL);
    uv_run(&l->uv, UV_RUN_DEFAULT);
    uv_loop_close(&l->uv);
    clock_fini(&l->realtime);
    machine_lock_fini(&l->lock);
    free(l);
}

uv_loop_t *loop_uv(struct loop *l)
{
    return &l->uv;
}

struct machine_lock *loop_lock(struct loop *l)
{
    return &l->lock;
}

bool loop_on_thread(const struct loop *l)
{
    return pthread_equal(l->thread, pthread_self());
}

struct clock *loop_realtime(struct loop *l)
{
    return &l->realtime;
}

void loop_poll(struct loop *l)
{
    uv_run(&l->uv, UV_RUN_NOWAIT);
    clock_run(&l->realtime);
}

/* Milliseconds to wait, rounded up, -1 for ever. */
static int wait_ms(struct loop *l)
{
    int uv_ms = uv_backend_timeout(&l->uv);
    int64_t deadline = clock_deadline(&l->realtime);
    if (deadline == CLOCK_NEVER)
        return uv_ms;
    int64_t ms = (deadline - loop_realtime_ns() + 999999) / 1000000;
    ms = ms < 0 ? 0 : ms > 60000 ? 60000 : ms;
    return uv_ms >= 0 && uv_ms < ms ? uv_ms : (int)ms;
}

void loop_run(struct loop *l, bool (*done)(void *), void *opaque)
{
    assert(machine_lock_mine(&l->lock));
    loop_poll(l);
    while (!done(opaque)) {
        uv_update_time(&l->uv);
        int ms = wait_ms(l);
        struct pollfd pfd = { .fd = uv_backend_fd(&l->uv), .events = POLLIN };
        machine_lock_release(&l->lock);
        poll(&pfd, 1, ms);
        machine_lock_take(&l->lock);
        loop_poll(l);
    }
}

void loop_wake(struct loop *l)
{
    uv_async_send(&l->wake);
}
