/* The machine lock: the one lock that guards devices, topology and Lua.
 *
 * Fair: waiters get it in the order in which they asked, so a vcpu that takes it for every port
 * access cannot starve the loop thread. Free, it costs two atomic operations. Not recursive. */
#pragma once

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
void machine_lock_take(struct machine_lock *l);
void machine_lock_release(struct machine_lock *l);

/* Does the calling thread hold it? For assertions. */
bool machine_lock_mine(struct machine_lock *l);

/* Does somebody wait for it? Long work under the lock may then give way by release and take. */
bool machine_lock_wanted(struct machine_lock *l);
