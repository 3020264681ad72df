/* Runners: the threads that execute guest code.
 *
 * A runner has one or more cpus and takes turns: with the machine lock it lets in what waits at the
 * door, fires due timers and does what has been asked for (reset, pause, end); without the lock it
 * executes guest code of one of its cpus. What has been asked for is done by the first runner that
 * finds that none executes; those that come out before it wait. docs/loop.md is the contract.
 *
 * Several cpus of one runner take turns by fixed numbers of instructions. Who comes next depends on
 * nothing but who has executed how many instructions and why it stopped: a run in which none was
 * retired (a cpu that has been woken for nothing) leaves no trace. A cpu whose turn it is again
 * when it gives its slice up, because the others wait, begins the next one without coming out. */
#include "vm/vm_internal.h"

#include "base/log.h"

/* Instructions that a cpu may retire before the next one that could run gets its turn. Part of the
 * model: another number is another run. 20 us at 1 ns each: short against what guests measure
 * between their cpus, long against the half microsecond that a turn costs. */
enum { TIME_SLICE = 20000 };

/* ---- who is who ---- */

void vm_assign_runner(struct vm *vm, struct vm_cpu *cpu)
{
    bool first = !vm->runner_count;
    struct runner *r = &vm->runners[0];
    if (first || !vm->backend->counts_instructions) {
        r = &vm->runners[vm->runner_count++];
        *r = (struct runner){ .vm = vm, .cpus = cpu, .parked = true };
        waiter_init(&r->waiter);
    }
    r->cpu_count++;
    cpu->runner = r;
}

void vm_forget_runners(struct vm *vm)
{
    for (unsigned n = 0; n < vm->runner_count; n++)
        waiter_fini(&vm->runners[n].waiter);
    vm->runner_count = 0;
}

struct runner *vm_runner_here(const struct vm *vm)
{
    pthread_t self = pthread_self();
    for (unsigned n = 0; n < vm->runner_count; n++)
        if (vm->runners[n].started && pthread_equal(self, vm->runners[n].thread))
            return (struct runner *)&vm->runners[n];
    return NULL;
}

bool vm_on_runner(const struct vm *vm)
{
    return vm_runner_here(vm);
}

bool vm_is_parked(const struct vm *vm)
{
    for (unsigned n = 0; n < vm->runner_count; n++)
        if (!vm->runners[n].parked)
            return false;
    return true;
}

bool vm_cpus_are_still(const struct vm *vm)
{
    return vm_on_runner(vm) || vm->held || vm_is_parked(vm);
}

bool vm_cpu_is_still(const struct vm *vm, unsigned index)
{
    const struct runner *here = vm_runner_here(vm);
    return here ? here == vm->cpus[index].runner : vm->held || vm_is_parked(vm);
}

bool vm_all_wait(const struct vm *vm)
{
    for (unsigned n = 0; n < vm->cpu_count; n++)
        if (!vm->cpus[n].waits)
            return false;
    return true;
}

void vm_unpark(struct vm *vm)
{
    for (unsigned n = 0; n < vm->runner_count; n++)
        vm->runners[n].parked = false;
    for (unsigned n = 0; n < vm->cpu_count; n++)
        vm->cpus[n].waits = false;
}

void vm_reset_runners(struct vm *vm)
{
    for (unsigned n = 0; n < vm->cpu_count; n++) {
        vm->cpus[n].waits = false;
        timer_cancel(&vm->cpus[n].stall_ends);
    }
    for (unsigned n = 0; n < vm->runner_count; n++) {
        vm->runners[n].last = vm->runners[n].cpu_count - 1;
        vm->runners[n].slice_over = true;
    }
}

/* ---- waking ---- */

void vm_wake_runners(struct vm *vm)
{
    for (unsigned n = 0; n < vm->runner_count; n++)
        waiter_wake(&vm->runners[n].waiter);
}

static void nudge(struct runner *r)
{
    for (unsigned n = 0; n < r->cpu_count; n++)
        r->vm->backend->kick(r->cpus[n].vcpu);
    waiter_wake(&r->waiter);
}

void vm_nudge(struct vm *vm)
{
    for (unsigned n = 0; n < vm->runner_count; n++)
        nudge(&vm->runners[n]);
}

void vm_nudge_one(struct vm *vm)
{
    if (vm->runner_count)
        nudge(&vm->runners[0]);
}

/* ---- on the runner's thread, machine lock held ---- */

static bool anybody_executes(const struct vm *vm)
{
    for (unsigned n = 0; n < vm->runner_count; n++)
        if (vm->runners[n].executes)
            return true;
    return false;
}

/* Do what has been asked for, or wait until another runner has. */
static void see_to_requests(struct runner *r)
{
    struct vm *vm = r->vm;
    if (!vm_requested(vm))
        return;
    if (anybody_executes(vm)) {
        waiter_sleep(&r->waiter, loop_lock(vm->loop), -1);
        return;
    }
    vm_do_requests(vm);
    vm_wake_runners(vm);
}

static bool at_horizon(const struct vm *vm)
{
    return vm->horizon_ns != CLOCK_NEVER && vm_counted_now(vm) >= vm->horizon_ns;
}

/* The member of a cluster has gone as far as it may: do what is asked for, and wait for leave. */
static void hold(struct runner *r)
{
    struct vm *vm = r->vm;
    vm->held = true;
    vm_do_requests(vm);
    cluster_poke(vm);
    if (vm->state == VM_RUNNING)
        waiter_sleep(&r->waiter, loop_lock(vm->loop), -1);
    vm->held = false;
}

/* The cluster lets idle time pass for all alike: go to the timer or the horizon at once. */
static void idle_in_cluster(struct vm *vm, int64_t deadline)
{
    int64_t end = deadline < vm->horizon_ns ? deadline : vm->horizon_ns;
    int64_t left = end - vm_counted_now(vm);
    if (vm_all_wait(vm) && left > 0)
        vm->skipped_ns += left;
}

/* Every cpu of the runner waits or is stalled: sleep until the next timer is due or something comes
 * in, or skip to the timer. */
static void idle(struct runner *r)
{
    struct vm *vm = r->vm;
    struct clock *c = &vm->machine.virtual;
    struct machine_lock *lock = loop_lock(vm->loop);
    int64_t deadline = clock_deadline(c);
    if (!vm->backend->counts_instructions) {
        waiter_sleep(&r->waiter, lock, -1);
        return;
    }
    if (vm->member) {
        idle_in_cluster(vm, deadline);
        return;
    }
    int64_t left = deadline == CLOCK_NEVER ? -1 : deadline - clock_now(c);
    if (left >= 0 && vm->config.idle == VM_IDLE_WARP && !net_has_outside(vm->net)) {
        TRACE(vm_trace, VM_TRACE_IDLE_SKIP, vm_source(vm), (uint64_t)left);
        vm->skipped_ns += left;
        return;
    }
    if (deadline != CLOCK_NEVER && left <= 0)
        return;
    TRACE(vm_trace, VM_TRACE_IDLE_SLEEP, vm_source(vm), (uint64_t)left);
    int64_t start = loop_realtime_ns();
    waiter_sleep(&r->waiter, lock, left);
    int64_t slept = loop_realtime_ns() - start;
    vm->skipped_ns += left >= 0 && slept > left ? left : slept;
}

static void after_stop(struct vm *vm, struct vcpu *v, enum vcpu_stop stop)
{
    switch (stop) {
    case VCPU_STOP_SHUTDOWN:
        machine_request(&vm->machine, REQUEST_TRIPLE_FAULT, 0, "cpu");
        break;
    case VCPU_STOP_ERROR:
        log_host(LOG_ERROR, vm->config.name, "%s", v->failure.text);
        vm_pause(vm, "cpu error");
        break;
    case VCPU_STOP_DEBUG:
        vm_pause(vm, "hook");
        break;
    case VCPU_STOP_HALT:
    case VCPU_STOP_WAIT_SIPI:
    case VCPU_STOP_YIELD:
    case VCPU_STOP_LIMIT:
    case VCPU_STOP_KICK:
        break;
    }
}

/* ---- time slices ---- */

static uint64_t count_now(const struct runner *r)
{
    return r->cpu_count > 1 ? vm_retired(r->vm) : 0;
}

static bool can_execute(const struct vm *vm, struct vm_cpu *c)
{
    if (vm->stepped && vm->stepped != c)
        return false;
    if (vm_cpu_is_stalled(vm, c->vcpu->port->index))
        c->waits = true; /* until it is woken at the end */
    return !c->waits;
}

/* Wake those that wait for a change of memory. */
static void look(struct vm *vm)
{
    if (vm->backend->look)
        vm->backend->look(vm->accel);
}

/* Its slice goes on while it is not over; then it is the turn of the next that can execute
 * something. NULL: none can. */
static struct vm_cpu *next_cpu(struct runner *r)
{
    struct vm_cpu *c = &r->cpus[r->last];
    if (!r->slice_over && can_execute(r->vm, c))
        return c;
    look(r->vm);
    for (unsigned n = 1; n <= r->cpu_count; n++) {
        c = &r->cpus[(r->last + n) % r->cpu_count];
        if (can_execute(r->vm, c))
            return c;
    }
    return NULL;
}

static bool ends_slice(enum vcpu_stop stop)
{
    return stop == VCPU_STOP_HALT || stop == VCPU_STOP_WAIT_SIPI || stop == VCPU_STOP_YIELD;
}

static unsigned index_of(const struct vm_cpu *c)
{
    return (unsigned)(c - c->runner->cpus);
}

static void begin_run(struct vm_cpu *c, uint64_t now)
{
    struct runner *r = c->runner;
    bool goes_on = index_of(c) == r->last && !r->slice_over;
    r->run_begun = now;
    r->run_end = r->cpu_count == 1 ? UINT64_MAX : goes_on ? r->slice_end : now + TIME_SLICE;
}

static void end_run(struct vm_cpu *c, uint64_t now, enum vcpu_stop stop)
{
    struct runner *r = c->runner;
    if (now == r->run_begun && (index_of(c) != r->last || r->slice_over))
        return;
    r->last = index_of(c);
    r->slice_end = r->run_end;
    r->slice_over = ends_slice(stop) || now >= r->run_end;
}

/* Without the lock. What else may be due, such as a request, comes with a kick, and so cannot be
 * passed over: the slice that begins here is then left at once. */
uint64_t vm_next_slice(void *cpu, uint64_t now)
{
    struct vm_cpu *c = cpu;
    struct runner *r = c->runner;
    if (now >= r->limit)
        return 0;
    look(r->vm);
    for (unsigned n = 0; n < r->cpu_count; n++)
        if (&r->cpus[n] != c && !r->cpus[n].waits)
            return 0;
    end_run(c, now, VCPU_STOP_YIELD);
    begin_run(c, now);
    return r->limit < r->run_end ? r->limit : r->run_end;
}

static void execute(struct runner *r, struct vm_cpu *c)
{
    struct vm *vm = r->vm;
    uint64_t limit = 0;
    begin_run(c, count_now(r));
    if (vm->backend->counts_instructions)
        limit = vm_run_limit(vm);
    vm_publish(vm);
    vm_events_settle(vm);
    vm_events_settle_cpu(c);
    c->waits = true; /* unless it stops for another reason, or is woken meanwhile */
    r->executes = c->vcpu;
    machine_lock_release(loop_lock(vm->loop));
    enum vcpu_stop stop = vm->backend->run(c->vcpu, limit);
    machine_lock_take(loop_lock(vm->loop));
    r->executes = NULL;
    vm_publish(vm);
    end_run(c, count_now(r), stop);
    if (stop != VCPU_STOP_HALT && stop != VCPU_STOP_WAIT_SIPI)
        c->waits = false;
    after_stop(vm, c->vcpu, stop);
}

static void turn(struct runner *r)
{
    struct vm *vm = r->vm;
    struct machine *m = &vm->machine;
    if (at_horizon(vm)) {
        hold(r);
        return;
    }
    door_drain(m->door);
    if (vm->backend->counts_instructions) {
        clock_run(&m->virtual);
        clock_run(&vm->instructions);
    }
    see_to_requests(r);
    if (vm->state != VM_RUNNING || door_pending(m->door) || vm_requested(vm))
        return;
    struct vm_cpu *c = next_cpu(r);
    if (c)
        execute(r, c);
    else
        idle(r);
}

static void *runner_main(void *opaque)
{
    struct runner *r = opaque;
    struct vm *vm = r->vm;
    struct machine_lock *lock = loop_lock(vm->loop);
    machine_lock_take(lock);
    while (!vm->quit) {
        if (vm->state == VM_RUNNING) {
            r->parked = false;
            turn(r);
        } else {
            r->parked = true;
            waiter_wake(&vm->parking);
            cluster_parked(vm);
            loop_wake(vm->loop);
            waiter_sleep(&r->waiter, lock, -1);
        }
    }
    r->parked = true;
    machine_lock_release(lock);
    return NULL;
}

/* ---- from other threads ---- */

bool vm_start_runners(struct vm *vm, struct error *err)
{
    for (unsigned n = 0; n < vm->runner_count; n++) {
        struct runner *r = &vm->runners[n];
        if (r->started)
            continue;
        /* It begins by waiting for the lock that we hold, so it cannot be asked who it is before we
         * know. */
        int e = pthread_create(&r->thread, NULL, runner_main, r);
        if (e)
            return error_set_host(err, e, "vm: cannot create a thread that executes \"%s\"",
                                  vm->config.name);
        r->started = true;
    }
    return true;
}

void vm_stop_runners(struct vm *vm)
{
    struct machine_lock *lock = loop_lock(vm->loop);
    vm->quit = true;
    vm_nudge(vm);
    machine_lock_release(lock);
    for (unsigned n = 0; n < vm->runner_count; n++)
        if (vm->runners[n].started)
            pthread_join(vm->runners[n].thread, NULL);
    machine_lock_take(lock);
    for (unsigned n = 0; n < vm->runner_count; n++)
        vm->runners[n].started = false;
    vm->quit = false;
}
