/* The machine lock: a ticket lock that sleeps. */
#include "loop/lock.h"

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

void machine_lock_wait(struct machine_lock *l, unsigned ticket)
{
    pthread_mutex_lock(&l->mutex);
    while (atomic_load(&l->now_serving) != ticket)
        pthread_cond_wait(&l->served, &l->mutex);
    pthread_mutex_unlock(&l->mutex);
}

void machine_lock_wake(struct machine_lock *l)
{
    pthread_mutex_lock(&l->mutex);
    pthread_cond_broadcast(&l->served);
    pthread_mutex_unlock(&l->mutex);
}

bool machine_lock_wanted(struct machine_lock *l)
{
    return atomic_load_explicit(&l->next_ticket, memory_order_relaxed) -
               atomic_load_explicit(&l->now_serving, memory_order_relaxed) >
           1;
}
