/* Where a thread sleeps until it is woken. A wake that comes before the sleep is not lost. */
#include "vm/vm_internal.h"

#include <errno.h>
#include <time.h>

void waiter_init(struct waiter *w)
{
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_mutex_init(&w->mutex, NULL);
    pthread_cond_init(&w->cond, &attr);
    pthread_condattr_destroy(&attr);
    w->woken = false;
}

void waiter_fini(struct waiter *w)
{
    pthread_cond_destroy(&w->cond);
    pthread_mutex_destroy(&w->mutex);
}

void waiter_wake(struct waiter *w)
{
    pthread_mutex_lock(&w->mutex);
    w->woken = true;
    pthread_cond_signal(&w->cond);
    pthread_mutex_unlock(&w->mutex);
}

void waiter_sleep(struct waiter *w, struct machine_lock *lock, int64_t timeout_ns)
{
    machine_lock_release(lock);
    int64_t end = loop_realtime_ns() + (timeout_ns < 0 ? 0 : timeout_ns);
    struct timespec ts = { .tv_sec = end / NS_PER_SECOND, .tv_nsec = end % NS_PER_SECOND };
    pthread_mutex_lock(&w->mutex);
    int e = 0;
    while (!w->woken && e != ETIMEDOUT)
        e = timeout_ns < 0 ? pthread_cond_wait(&w->cond, &w->mutex)
                           : pthread_cond_timedwait(&w->cond, &w->mutex, &ts);
    w->woken = false;
    pthread_mutex_unlock(&w->mutex);
    machine_lock_take(lock);
}
