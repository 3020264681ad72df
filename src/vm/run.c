/* Run control: the thread that executes guest code, and how it is started, paused and ended.
 *
 * One thread per VM takes turns: with the machine lock it lets in what waits at the door, fires due
 * timers and does what has been asked for (reset, pause, end); without the lock it executes guest
 * code up to the next timer. docs/loop.md is the contract. */
#include "vm/vm_internal.h"

#include "base/log.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

/* ---- waiting ---- */

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

/* ---- states ---- */

bool vm_on_runner(const struct vm *vm)
{
    return vm->thread_started && pthread_equal(pthread_self(), vm->thread);
}

bool vm_cpus_are_still(const struct vm *vm)
{
    return vm->parked || vm->held || vm_on_runner(vm);
}

void vm_notify(struct vm *vm, enum vm_notice what, const char *reason)
{
    if (vm->notice)
        vm->notice(vm->notice_opaque, vm, what, reason);
}

void vm_set_state(struct vm *vm, enum vm_state state)
{
    static const enum vm_notice notices[] = {
        [VM_PAUSED] = VM_NOTICE_PAUSE, [VM_RUNNING] = VM_NOTICE_RESUME, [VM_ENDED] = VM_NOTICE_EXIT
    };
    static const char *const names[] = { "created", "paused", "running", "ended" };
    enum vm_state was = vm->state;
    if (state == was)
        return;
    if (was == VM_RUNNING)
        vm_time_pause(vm);
    vm->state = state;
    if (state == VM_RUNNING)
        vm_time_resume(vm);
    TRACE(vm_trace, VM_TRACE_STATE, vm_source(vm), trace_text(names[was]),
          trace_text(names[state]));
    trace_flush(&vm->trace);
    if (!vm->resetting)
        vm_notify(vm, notices[state], state == VM_ENDED ? vm->exit_reason : vm->pause_reason);
    loop_wake(vm->loop);
}

void vm_nudge(struct vm *vm)
{
    for (unsigned n = 0; n < vm->vcpu_count; n++)
        vm->backend->kick(vm->vcpus[n]);
    waiter_wake(&vm->runner);
}

/* ---- on the runner thread, machine lock held ---- */

static void end_now(struct vm *vm, const char *reason, int status)
{
    snprintf(vm->exit_reason, sizeof vm->exit_reason, "%s", reason);
    vm->exit_status = status;
    TRACE(vm_trace, VM_TRACE_END, vm_source(vm), trace_text(reason), (uint64_t)status);
    vm_set_state(vm, VM_ENDED);
}

/* What asked for it runs on afterwards, unless somebody asked for a pause as well. */
static void reset_now(struct vm *vm, const struct vm_request *r)
{
    struct error err = { .text = "" };
    bool runs_on = vm->state == VM_RUNNING && !r->pause;
    if (r->pause)
        snprintf(vm->pause_reason, sizeof vm->pause_reason, "%s", r->reason);
    vm->resetting = runs_on;
    bool ok = vm_reset_parts(vm, &err);
    if (ok && runs_on)
        vm_set_state(vm, VM_RUNNING);
    vm->resetting = false;
    if (ok) {
        vm_notify(vm, VM_NOTICE_RESET, r->reset_reason);
        return;
    }
    log_host(LOG_ERROR, vm->config.name, "reset: %s", err.text);
    end_now(vm, "reset-failed", VM_EXIT_HOST);
}

static void do_requests(struct vm *vm)
{
    struct vm_request r = vm->request;
    vm->request = (struct vm_request){ .reset = false };
    if (r.end) {
        end_now(vm, r.reason, r.status);
    } else if (r.reset) {
        reset_now(vm, &r);
    } else if (r.pause && vm->state == VM_RUNNING) {
        snprintf(vm->pause_reason, sizeof vm->pause_reason, "%s", r.reason);
        vm_set_state(vm, VM_PAUSED);
    }
    if (r.end || r.reset || r.pause)
        cluster_poke(vm);
}

static bool at_horizon(const struct vm *vm)
{
    return vm->horizon_ns != CLOCK_NEVER && vm_counted_now(vm) >= vm->horizon_ns;
}

/* The member of a cluster has gone as far as it may: do what is asked for, and wait for leave. */
static void hold(struct vm *vm)
{
    vm->held = true;
    do_requests(vm);
    cluster_poke(vm);
    if (vm->state == VM_RUNNING)
        waiter_sleep(&vm->runner, loop_lock(vm->loop), -1);
    vm->held = false;
}

/* The cluster lets idle time pass for all alike: go to the timer or the horizon at once. */
static void idle_in_cluster(struct vm *vm, int64_t deadline)
{
    int64_t end = deadline < vm->horizon_ns ? deadline : vm->horizon_ns;
    int64_t left = end - vm_counted_now(vm);
    if (vm->halted && left > 0)
        vm->skipped_ns += left;
}

/* Every cpu waits: sleep until the next timer is due or something comes in, or skip to the timer.
 */
static void idle(struct vm *vm)
{
    struct clock *c = &vm->machine.virtual;
    struct machine_lock *lock = loop_lock(vm->loop);
    int64_t deadline = clock_deadline(c);
    if (!vm->backend->counts_instructions) {
        waiter_sleep(&vm->runner, lock, -1);
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
    waiter_sleep(&vm->runner, lock, left);
    int64_t slept = loop_realtime_ns() - start;
    vm->skipped_ns += left >= 0 && slept > left ? left : slept;
}

static void after_stop(struct vm *vm, struct vcpu *v, enum vcpu_stop stop)
{
    switch (stop) {
    case VCPU_STOP_HALT:
    case VCPU_STOP_WAIT_SIPI:
        if (!vm->request.end && !vm->request.pause && !vm->request.reset &&
            !door_pending(vm->machine.door))
            idle(vm);
        break;
    case VCPU_STOP_SHUTDOWN:
        machine_request(&vm->machine, REQUEST_TRIPLE_FAULT, 0, "cpu");
        break;
    case VCPU_STOP_ERROR:
        log_host(LOG_ERROR, vm->config.name, "%s", v->failure.text);
        vm_end(vm, "cpu-error", VM_EXIT_HOST);
        break;
    case VCPU_STOP_DEBUG:
        vm_pause(vm, "hook");
        break;
    case VCPU_STOP_LIMIT:
    case VCPU_STOP_KICK:
        break;
    }
}

static void turn(struct vm *vm)
{
    struct machine *m = &vm->machine;
    struct vcpu *v = vm->vcpus[0];
    bool counts = vm->backend->counts_instructions;
    if (at_horizon(vm)) {
        hold(vm);
        return;
    }
    door_drain(m->door);
    if (counts) {
        clock_run(&m->virtual);
        clock_run(&vm->instructions);
    }
    do_requests(vm);
    if (vm->state != VM_RUNNING || door_pending(m->door))
        return;
    vm->halted = true; /* unless it stops for another reason, or is woken meanwhile */
    if (vm_cpu_is_stalled(vm, v->port->index)) {
        idle(vm);
        return;
    }
    uint64_t limit = counts ? vm_instruction_limit(vm) : 0;
    vm_publish(vm);
    vm_events_settle(vm);
    vm->executing = true;
    machine_lock_release(loop_lock(vm->loop));
    enum vcpu_stop stop = vm->backend->run(v, limit);
    machine_lock_take(loop_lock(vm->loop));
    vm->executing = false;
    vm_publish(vm);
    if (stop != VCPU_STOP_HALT && stop != VCPU_STOP_WAIT_SIPI)
        vm->halted = false;
    after_stop(vm, v, stop);
}

static void *runner_main(void *opaque)
{
    struct vm *vm = opaque;
    struct machine_lock *lock = loop_lock(vm->loop);
    machine_lock_take(lock);
    while (!vm->quit) {
        if (vm->state == VM_RUNNING) {
            vm->parked = false;
            turn(vm);
        } else {
            vm->parked = true;
            waiter_wake(&vm->parking);
            cluster_parked(vm);
            loop_wake(vm->loop);
            waiter_sleep(&vm->runner, lock, -1);
        }
    }
    vm->parked = true;
    machine_lock_release(lock);
    return NULL;
}

/* ---- from other threads ---- */

bool vm_start_thread(struct vm *vm, struct error *err)
{
    if (vm->thread_started || !vm->vcpu_count)
        return true;
    /* It begins by waiting for the lock that we hold, so it cannot be asked who it is before we
     * know. */
    int e = pthread_create(&vm->thread, NULL, runner_main, vm);
    if (e)
        return error_set_host(err, e, "vm: cannot create the thread that executes \"%s\"",
                              vm->config.name);
    vm->thread_started = true;
    return true;
}

void vm_stop_thread(struct vm *vm)
{
    if (!vm->thread_started)
        return;
    struct machine_lock *lock = loop_lock(vm->loop);
    vm->quit = true;
    vm_nudge(vm);
    machine_lock_release(lock);
    pthread_join(vm->thread, NULL);
    machine_lock_take(lock);
    vm->thread_started = false;
}

/* A request to stop has been made: have it done. */
static void bring_about(struct vm *vm)
{
    if (vm->state != VM_RUNNING && !vm_on_runner(vm)) {
        do_requests(vm);
        return;
    }
    /* What executes guest code does not wait for another: two could wait for each other. */
    if (!loop_on_thread(vm->loop)) {
        vm_nudge(vm);
        return;
    }
    while (vm->state == VM_RUNNING || !vm->parked) {
        vm_nudge(vm);
        waiter_sleep(&vm->parking, loop_lock(vm->loop), 100000000);
    }
}

void vm_pause(struct vm *vm, const char *reason)
{
    if (vm->state != VM_RUNNING || vm->request.end)
        return;
    if (!vm->request.pause) /* whoever asked first */
        snprintf(vm->request.reason, sizeof vm->request.reason, "%s", reason);
    vm->request.pause = true;
    bring_about(vm);
    if (vm->member)
        cluster_wait(vm_cluster(vm));
}

static bool ask_end(struct vm *vm, const char *reason, int status)
{
    if (vm->state == VM_ENDED || vm->request.end)
        return false;
    vm->request.end = true;
    vm->request.status = status;
    snprintf(vm->request.reason, sizeof vm->request.reason, "%s", reason);
    return true;
}

void vm_end(struct vm *vm, const char *reason, int status)
{
    if (ask_end(vm, reason, status))
        bring_about(vm);
}

void vm_ask_end(struct vm *vm, const char *reason, int status)
{
    if (!ask_end(vm, reason, status))
        return;
    if (vm->state == VM_RUNNING)
        vm_nudge(vm);
    else
        do_requests(vm);
}

void vm_ask_reset(struct vm *vm, const char *who)
{
    machine_request(&vm->machine, REQUEST_RESET, 0, who);
}

bool vm_resume(struct vm *vm, struct error *err)
{
    if (vm->member && vm->state == VM_PAUSED)
        return cluster_resume(vm_cluster(vm), err);
    return vm_go(vm, err);
}

bool vm_go(struct vm *vm, struct error *err)
{
    switch (vm->state) {
    case VM_CREATED:
        return error_set(err, "vm: \"%s\" has not been reset yet", vm->config.name);
    case VM_ENDED:
        return error_set(err, "vm: \"%s\" has ended (%s); reset it to run it again",
                         vm->config.name, vm->exit_reason);
    case VM_RUNNING:
        return true;
    case VM_PAUSED:
        break;
    }
    if (!vm->vcpu_count)
        return error_set(err, "vm: \"%s\" has no cpu to run; let time pass with advance()",
                         vm->config.name);
    if (!vm_start_thread(vm, err))
        return false;
    vm->pause_reason[0] = 0;
    vm->halted = false;
    vm->parked = false;
    vm_set_state(vm, VM_RUNNING);
    waiter_wake(&vm->runner);
    return true;
}

static bool run_done(void *opaque)
{
    const struct vm *vm = opaque;
    if (vm->member && vm->state == VM_PAUSED) /* then the others do, too */
        return cluster_is_still(vm_cluster(vm));
    return vm->state != VM_RUNNING && vm->parked;
}

bool vm_run(struct vm *vm, struct error *err)
{
    assert(!vm_on_runner(vm));
    if (vm->state != VM_RUNNING && !vm_resume(vm, err))
        return false;
    loop_run(vm->loop, run_done, vm);
    return true;
}

bool vm_step(struct vm *vm, uint64_t count, struct error *err)
{
    struct vcpu *v = vm->vcpu_count ? vm->vcpus[0] : NULL;
    if (vm->state == VM_RUNNING)
        return error_set(err, "machine \"%s\" is running; pause it to step it", vm->config.name);
    if (!v)
        return error_set(err, "machine \"%s\" has no cpu to step", vm->config.name);
    if (vm->backend->step) {
        if (!vm_event_supported(vm, VCPU_EVENT_EXEC, err))
            return false;
        vm->backend->step(v, count);
    } else {
        uint64_t now = (uint64_t)clock_now(&vm->instructions);
        timer_set(&vm->step_ends, count < CLOCK_NEVER - now ? (int64_t)(now + count) : CLOCK_NEVER);
    }
    bool ok = vm_run(vm, err);
    timer_cancel(&vm->step_ends);
    if (vm->backend->step)
        vm->backend->step(v, 0);
    return ok;
}
