/* The inside of a VM, shared by vm.c (what it is), run.c (how it executes), time.c (how its clocks
 * go) and cluster.c (how far it may go). */
#pragma once

#include "vm/cluster.h"
#include "vm/events.h"
#include "vm/vm.h"

#include <pthread.h>
#include <stdatomic.h>

/* Where a thread sleeps until it is woken; a wake before the sleep is not lost. */
struct waiter {
    pthread_mutex_t mutex;
    pthread_cond_t cond;
    bool woken;
};

/* A clock that goes with real time while it goes: its timers are fired by the loop, through one
 * timer of the loop's own clock that is set for the earliest. */
struct paced_clock {
    struct clock *clock;
    struct loop *loop;
    struct timer wait;
    bool going;
};

/* What has been asked for and happens at the next safe point; machine lock. */
struct vm_request {
    bool reset, pause, end;
    const char *reset_reason;
    char reason[64];
    int status;
};

/* The subscriptions of one kind, sorted by `first`. */
struct event_list {
    struct vm_event **events;
    uint64_t *reach; /* the highest end of events 0..n */
    size_t count, capacity;
    struct vcpu_range *merged; /* what the vcpus are asked for */
    size_t merged_count;
    unsigned needs; /* enum vcpu_event */
    bool changed;   /* since it was arranged */
    bool untold;    /* since the vcpus were told */
};

struct event_table {
    struct event_list lists[VM_EVENT_KINDS];
    struct vm_event **waiting; /* added since the lists were made */
    size_t waiting_count, waiting_capacity;
    struct vm_event **matches; /* of the event being told */
    size_t match_count, match_capacity;
    uint64_t next_order;
    bool firing, changed;
};

struct vm {
    struct machine machine;
    struct vm_config config;
    struct loop *loop;
    struct net *net;
    const struct vcpu_backend *backend;
    struct accel *accel;
    struct vcpu *vcpus[MACHINE_CPUS_MAX];
    unsigned vcpu_count;

    enum vm_state state;
    char exit_reason[64], pause_reason[64];
    int exit_status;
    struct vm_request request;
    bool (*boot)(void *opaque, struct vm *vm, struct error *err);
    void *boot_opaque;
    void (*teardown)(void *opaque);
    void *teardown_opaque;
    void (*notice)(void *opaque, struct vm *vm, enum vm_notice what, const char *reason);
    void *notice_opaque;
    bool resetting; /* on its way from running to running: no pause, no resume */

    /* The thread that executes guest code. */
    pthread_t thread;
    bool thread_started, quit;
    bool parked;    /* it does not execute guest code, nor will it before the state changes; machine
                       lock */
    bool executing; /* it is in the backend's run() */
    struct waiter runner, parking; /* wakes the thread; told when it parks */

    /* Its place in a cluster; NULL: it is alone. */
    struct cluster_member *member;
    int64_t horizon_ns; /* virtual time at which it waits for leave; CLOCK_NEVER: it needs none */
    bool held;          /* waits for leave, or has not begun to use it; machine lock */
    atomic_bool halted; /* it has gone as far as it may because every cpu waits */

    /* Time. */
    int64_t skipped_ns;           /* counting backends: virtual time that passed idling */
    int64_t run_base_ns;          /* others: virtual time at the last resume */
    int64_t run_start_ns;         /* real time of the last resume, while running */
    int64_t wall_ns;              /* real time spent running, up to the last pause */
    _Atomic int64_t published_ns; /* virtual time for threads other than the running one */
    struct vcpu_stats published_stats[MACHINE_CPUS_MAX]; /* the same of counters; machine lock */
    struct paced_clock paced_virtual, paced_virtual_rt, paced_host;
    struct timer step_ends;    /* of that clock */
    struct clock instructions; /* counting backends: its time is the retired count */

    struct timer stall_ends; /* set: the cpu executes nothing until then */

    struct event_table events;
    struct trace trace;
};

/* ---- events.c ---- */

extern const struct vcpu_event_ops vm_vcpu_event_ops;
/* Before guest code is executed: have the vcpus watch for what is wanted by now. */
void vm_events_settle(struct vm *vm);
void vm_events_fini(struct vm *vm);

/* ---- tracing.c ---- */

extern struct trace_table vm_trace;
enum {
    VM_TRACE_STATE,
    VM_TRACE_RESET,
    VM_TRACE_REQUEST,
    VM_TRACE_END,
    VM_TRACE_IDLE_SKIP,
    VM_TRACE_IDLE_SLEEP,
    VM_TRACE_HOOK,
};
void vm_trace_init(struct vm *vm);

static inline struct trace_source vm_source(struct vm *vm)
{
    return (struct trace_source){ &vm->trace, "vm" };
}

/* ---- waiter: run.c ---- */

void waiter_init(struct waiter *w);
void waiter_fini(struct waiter *w);
void waiter_wake(struct waiter *w);
/* Machine lock held: it is released while asleep. `timeout_ns` < 0: for ever. */
void waiter_sleep(struct waiter *w, struct machine_lock *lock, int64_t timeout_ns);

/* ---- run.c ---- */

bool vm_start_thread(struct vm *vm, struct error *err);
void vm_stop_thread(struct vm *vm);
bool vm_on_runner(const struct vm *vm);
void vm_set_state(struct vm *vm, enum vm_state state);
/* vm_reset() without telling anybody but of the change of state. */
bool vm_reset_parts(struct vm *vm, struct error *err);
/* Tell the observer. */
void vm_notify(struct vm *vm, enum vm_notice what, const char *reason);
/* Make the thread look at requests soon. */
void vm_nudge(struct vm *vm);
/* vm_resume() of this one alone. */
bool vm_go(struct vm *vm, struct error *err);
/* vm_end() that does not wait. */
void vm_ask_end(struct vm *vm, const char *reason, int status);

/* ---- cluster.c: the first two do nothing for a VM that is alone ---- */

/* Something has changed that the cluster may have waited for: the member has come to its horizon,
 * has paused or ended, or has something to do earlier. */
void cluster_poke(struct vm *vm);
/* The member's thread has parked. */
void cluster_parked(struct vm *vm);
/* Is the caller a member's thread? */
bool cluster_on_runner(const struct cluster *c);
/* The VM is a member no more; harmless when it is none. */
void cluster_forget(struct vm *vm);

/* ---- time.c ---- */

void vm_time_init(struct vm *vm);
void vm_time_fini(struct vm *vm);
/* Virtual time by the count: on the thread that executes, or when it does not. */
int64_t vm_counted_now(const struct vm *vm);
/* Before and after guest code is executed: what others see of the time and of the counters. */
void vm_publish(struct vm *vm);
/* The machine starts or stops to run. */
void vm_time_resume(struct vm *vm);
void vm_time_pause(struct vm *vm);
/* Counting backends: how many instructions may retire in all before the next timer, of virtual time
 * or of the count, is due, the horizon is reached, or something is to be published. */
uint64_t vm_instruction_limit(const struct vm *vm);
