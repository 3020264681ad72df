/* The machine lock: a ticket lock that sleeps. */
#include "loop/lock.h"

#include <assert.h>

void machine_lock_init(struct machine_lock *l)
{
    atomic_init(&l->next_ticket, 0);
    atomic_init(&l->now_serving, 0);
    atomic_init(&l->held, false);
    pthread_mutex_init(&l->mutex, NULL);
    pthread_cond_init(&l->served, NULL);
}

void machine_lock_fini(struct machine_lock *l)
{
    pthread_mutex_destroy(&l->mutex);
    pthread_cond_destroy(&l->served);
}

void machine_lock_take(struct machine_lock *l)
{
    assert(!machine_lock_mine(l));
    unsigned ticket = atomic_fetch_add(&l->next_ticket, 1);
    if (atomic_load_explicit(&l->now_serving, memory_order_acquire) != ticket) {
        pthread_mutex_lock(&l->mutex);
        while (atomic_load(&l->now_serving) != ticket)
            pthread_cond_wait(&l->served, &l->mutex);
        pthread_mutex_unlock(&l->mutex);
    }
    atomic_store_explicit(&l->owner, pthread_self(), memory_order_relaxed);
    /* After the owner, so that who sees the lock held never takes an earlier owner for the present
     * one. */
    atomic_store_explicit(&l->held, true, memory_order_release);
}

void machine_lock_release(struct machine_lock *l)
{
    assert(machine_lock_mine(l));
    atomic_store_explicit(&l->held, false, memory_order_relaxed);
    /* Only the owner writes now_serving, so the sum is stable. The sequentially consistent store is
     * ordered before the load of next_ticket: either we see the waiter here, or it sees our store
     * before it sleeps (it checks again under the mutex). */
    unsigned next = atomic_load_explicit(&l->now_serving, memory_order_relaxed) + 1;
    atomic_store(&l->now_serving, next);
    if (atomic_load(&l->next_ticket) != next) {
        pthread_mutex_lock(&l->mutex);
        pthread_cond_broadcast(&l->served);
        pthread_mutex_unlock(&l->mutex);
    }
}

bool machine_lock_mine(struct machine_lock *l)
{
    return atomic_load_explicit(&l->held, memory_order_acquire) &&
           pthread_equal(atomic_load_explicit(&l->owner, memory_order_relaxed), pthread_self());
}

bool machine_lock_wanted(struct machine_lock *l)
{
    return atomic_load_explicit(&l->next_ticket, memory_order_relaxed) -
               atomic_load_explicit(&l->now_serving, memory_order_relaxed) >
           1;
}
