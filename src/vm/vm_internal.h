/* The inside of a VM, shared by vm.c (what it is), run.c (what is asked of it), runner.c (how it
 * executes), time.c (how its clocks go) and cluster.c (how far it may go). */
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
    struct vcpu_range *reads; /* of accesses: those whose reads are wanted */
    size_t read_count;
    unsigned needs; /* enum vcpu_event */
    bool changed;   /* since it was arranged */
    bool untold;    /* since the vcpus were told */
};

/* Those that may wait for an address: entries first..end - 1 of their list. */
struct event_span {
    uint64_t address;
    size_t first, end; /* end 0: nothing is known of the address */
};

enum { EVENT_SPANS = 256 };

struct event_table {
    struct event_list lists[VM_EVENT_KINDS];
    struct event_span spans[EVENT_SPANS]; /* of instructions looked up before, by their address */
    struct vm_event **waiting;            /* added since the lists were made */
    size_t waiting_count, waiting_capacity;
    struct vm_event *due;      /* alone waits for the instruction that is asked about */
    struct vm_event **matches; /* of the event being told */
    size_t match_count, match_capacity;
    uint64_t next_order;
    struct vcpu_watch watch; /* what the vcpus have been told last */
    bool firing, changed;
};

struct runner;

/* A cpu as the VM sees it. */
struct vm_cpu {
    struct vm *vm;
    struct vcpu *vcpu;
    struct runner *runner;   /* the one that executes it */
    atomic_bool waits;       /* it has nothing to execute, and nothing has woken it since */
    struct timer stall_ends; /* set: it executes nothing until then */
    bool untold;             /* what is watched has changed while it was executing */
};

/* A thread that executes guest code of one or more cpus; machine lock. On backends that count
 * instructions one runner has all cpus, on others each cpu has one. */
struct runner {
    struct vm *vm;
    struct vm_cpu *cpus; /* its own, of the VM's */
    unsigned cpu_count;
    pthread_t thread;
    bool started;
    bool parked;           /* executes nothing, nor will it before the state changes */
    struct vcpu *executes; /* it is in the backend's run() */
    struct waiter waiter;  /* wakes it */
    /* Several cpus: see runner.c. */
    unsigned last;      /* the cpu that has executed an instruction last */
    bool slice_over;    /* its time slice is */
    uint64_t slice_end; /* the count of instructions at which it is, at the latest */
    /* Of the run that goes on; its own thread's. */
    uint64_t run_begun, run_end; /* count at its begin; as slice_end */
    uint64_t limit;              /* where it ends for another reason */
};

struct vm {
    struct machine machine;
    struct vm_config config;
    struct loop *loop;
    struct net *net;
    const struct vcpu_backend *backend;
    struct accel *accel;
    struct vm_cpu cpus[MACHINE_CPUS_MAX];
    unsigned cpu_count;

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

    struct runner runners[MACHINE_CPUS_MAX];
    unsigned runner_count;
    bool quit;             /* runners end */
    struct waiter parking; /* told when one parks */

    /* Its place in a cluster; NULL: it is alone. */
    struct cluster_member *member;
    int64_t horizon_ns; /* virtual time at which it waits for leave; CLOCK_NEVER: it needs none */
    bool held;          /* waits for leave, or has not begun to use it; machine lock */

    /* Time. */
    int64_t skipped_ns;           /* counting backends: virtual time that passed idling */
    int64_t run_base_ns;          /* others: virtual time at the last resume */
    int64_t run_start_ns;         /* real time of the last resume, while running */
    int64_t wall_ns;              /* real time spent running, up to the last pause */
    _Atomic int64_t published_ns; /* virtual time for threads other than the running one */
    struct vcpu_stats published_stats[MACHINE_CPUS_MAX]; /* the same of counters; machine lock */
    uint64_t published_count;                            /* and of instructions in all */
    struct paced_clock paced_virtual, paced_virtual_rt, paced_host;
    struct timer step_ends;    /* of that clock */
    struct vm_cpu *stepped;    /* the only one that may execute; NULL: all may */
    struct clock instructions; /* counting backends: its time is the retired count */

    struct event_table events;
    struct trace trace;
};

/* ---- events.c ---- */

extern const struct vcpu_event_ops vm_vcpu_event_ops;
/* Have the vcpus watch for what is wanted by now; those that execute at present do it when they
 * come out, which is soon. */
void vm_events_settle(struct vm *vm);
/* The same, before guest code of this one is executed. */
void vm_events_settle_cpu(struct vm_cpu *c);
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

/* ---- waiter.c ---- */

void waiter_init(struct waiter *w);
void waiter_fini(struct waiter *w);
void waiter_wake(struct waiter *w);
/* Machine lock held: it is released while asleep. `timeout_ns` < 0: for ever. */
void waiter_sleep(struct waiter *w, struct machine_lock *lock, int64_t timeout_ns);

/* ---- runner.c ---- */

/* `cpu` has been added: give it a runner. */
void vm_assign_runner(struct vm *vm, struct vm_cpu *cpu);
void vm_forget_runners(struct vm *vm);
bool vm_start_runners(struct vm *vm, struct error *err);
void vm_stop_runners(struct vm *vm);
/* All cpus start anew: none waits, none is stalled, the first comes first. */
void vm_reset_runners(struct vm *vm);
/* They will not be parked any more. */
void vm_unpark(struct vm *vm);
/* Nothing is executed, nor will it be before the state changes. */
bool vm_is_parked(const struct vm *vm);
/* Has it gone as far as it may because every cpu waits? */
bool vm_all_wait(const struct vm *vm);
/* The runner on whose thread the caller is, or NULL. */
struct runner *vm_runner_here(const struct vm *vm);
bool vm_on_runner(const struct vm *vm);
/* Have the runners look at what there is to do, without ending what they execute. */
void vm_wake_runners(struct vm *vm);
/* The same, soon: ends what they execute. From any thread, with or without the lock. */
void vm_nudge(struct vm *vm);
/* The same of the first: somebody is to look after the door. */
void vm_nudge_one(struct vm *vm);
/* next_slice() of a vcpu; `cpu` is its struct vm_cpu. */
uint64_t vm_next_slice(void *cpu, uint64_t now);

/* ---- run.c ---- */

void vm_set_state(struct vm *vm, enum vm_state state);
/* Has something been asked for that needs all runners to stop? */
bool vm_requested(const struct vm *vm);
/* Do what has been asked for; nobody executes. */
void vm_do_requests(struct vm *vm);
/* vm_reset() without telling anybody but of the change of state. */
bool vm_reset_parts(struct vm *vm, struct error *err);
/* Tell the observer. */
void vm_notify(struct vm *vm, enum vm_notice what, const char *reason);
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
/* Counting backends: instructions retired by all cpus; may be asked where vm_counted_now() may. */
uint64_t vm_retired(const struct vm *vm);
/* Before and after guest code is executed: what others see of the time and of the counters. */
void vm_publish(struct vm *vm);
/* The machine starts or stops to run. */
void vm_time_resume(struct vm *vm);
void vm_time_pause(struct vm *vm);
/* Counting backends: how many instructions may retire in all before the run ends, because the next
 * timer, of virtual time or of the count, is due, the horizon is reached, something is to be
 * published (the runner's `limit`), or because the time slice is over. */
uint64_t vm_run_limit(struct vm *vm);
void vm_time_add_cpu(struct vm_cpu *c);
