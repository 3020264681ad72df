/* The machine lock: the one lock that guards devices, topology and Lua.
 *
 * Fair: waiters get it in the order in which they asked, so a vcpu that takes it for every port
 * access cannot starve the loop thread. Free, it costs two atomic operations. Not recursive. */
#pragma once

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

struct machine_lock {
    atomic_uint next_ticket, now_serving;
    pthread_mutex_t mutex; /* only for those who have to wait */
    pthread_cond_t served;
    _Atomic(pthread_t) owner; /* meaningful to the owner itself only */
    atomic_bool held;
};

void machine_lock_init(struct machine_lock *l);
void machine_lock_fini(struct machine_lock *l);
/* Those who have to wait, and those who let them go on. */
void machine_lock_wait(struct machine_lock *l, unsigned ticket);
void machine_lock_wake(struct machine_lock *l);

/* Does the calling thread hold it? For assertions. */
static inline bool machine_lock_mine(struct machine_lock *l)
{
    return atomic_load_explicit(&l->held, memory_order_acquire) &&
           pthread_equal(atomic_load_explicit(&l->owner, memory_order_relaxed), pthread_self());
}

/* The caller's turn has come. */
static inline void machine_lock_begin(struct machine_lock *l)
{
    atomic_store_explicit(&l->owner, pthread_self(), memory_order_relaxed);
    /* After the owner, so that who sees the lock held never takes an earlier owner for the present
     * one. */
    atomic_store_explicit(&l->held, true, memory_order_release);
}

static inline void machine_lock_take(struct machine_lock *l)
{
    assert(!machine_lock_mine(l));
    unsigned ticket = atomic_fetch_add(&l->next_ticket, 1);
    if (atomic_load_explicit(&l->now_serving, memory_order_acquire) != ticket)
        machine_lock_wait(l, ticket);
    machine_lock_begin(l);
}

/* False: it is not free. */
static inline bool machine_lock_try(struct machine_lock *l)
{
    unsigned ticket = atomic_load_explicit(&l->now_serving, memory_order_acquire);
    if (!atomic_compare_exchange_strong(&l->next_ticket, &ticket, ticket + 1))
        return false;
    machine_lock_begin(l);
    return true;
}

static inline void machine_lock_release(struct machine_lock *l)
{
    assert(machine_lock_mine(l));
    atomic_store_explicit(&l->held, false, memory_order_relaxed);
    /* Only the owner writes now_serving, so the sum is stable. The sequentially consistent store is
     * ordered before the load of next_ticket: either we see the waiter here, or it sees our store
     * before it sleeps (it checks again under the mutex). */
    unsigned next = atomic_load_explicit(&l->now_serving, memory_order_relaxed) + 1;
    atomic_store(&l->now_serving, next);
    if (atomic_load(&l->next_ticket) != next)
        machine_lock_wake(l);
}

/* Does somebody wait for it? Long work under the lock may then give way by release and take. */
bool machine_lock_wanted(struct machine_lock *l);
