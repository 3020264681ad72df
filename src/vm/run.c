/* Run control: states, what is asked of a VM (reset, pause, end), and how it is brought about.
 *
 * What executes guest code does what has been asked for, between two instructions: runner.c. Of a
 * VM that does not run, whoever asks does it. docs/loop.md is the contract. */
#include "vm/vm_internal.h"

#include "base/log.h"

#include <assert.h>
#include <stdio.h>

/* ---- states ---- */

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

/* ---- what has been asked for; machine lock ---- */

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

bool vm_requested(const struct vm *vm)
{
    return vm->request.end || vm->request.reset || vm->request.pause;
}

void vm_do_requests(struct vm *vm)
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

/* ---- from other threads ---- */

/* A request to stop has been made: have it done. */
static void bring_about(struct vm *vm)
{
    if (vm->state != VM_RUNNING && !vm_on_runner(vm)) {
        vm_do_requests(vm);
        return;
    }
    /* What executes guest code does not wait for another: two could wait for each other. */
    if (!loop_on_thread(vm->loop)) {
        vm_nudge(vm);
        return;
    }
    while (vm->state == VM_RUNNING || !vm_is_parked(vm)) {
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
        vm_do_requests(vm);
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
    if (!vm->cpu_count)
        return error_set(err, "vm: \"%s\" has no cpu to run; let time pass with advance()",
                         vm->config.name);
    if (!vm_start_runners(vm, err))
        return false;
    vm->pause_reason[0] = 0;
    vm_unpark(vm);
    vm_set_state(vm, VM_RUNNING);
    vm_wake_runners(vm);
    return true;
}

static bool run_done(void *opaque)
{
    const struct vm *vm = opaque;
    if (vm->member && vm->state == VM_PAUSED) /* then the others do, too */
        return cluster_is_still(vm_cluster(vm));
    return vm->state != VM_RUNNING && vm_is_parked(vm);
}

bool vm_run(struct vm *vm, struct error *err)
{
    assert(!vm_on_runner(vm));
    if (vm->state != VM_RUNNING && !vm_resume(vm, err))
        return false;
    loop_run(vm->loop, run_done, vm);
    return true;
}

/* It would step when it is started, and nobody is left to do that. */
static bool check_started(struct vm *vm, struct vcpu *v, struct error *err)
{
    struct vcpu_misc m;
    if (!vm->backend->get_misc(v, &m, err))
        return false;
    return m.mp_state.mp_state != KVM_MP_STATE_UNINITIALIZED ||
           error_set(err, "cpu %u waits for its start-up (INIT, SIPI): it cannot be stepped",
                     v->port->index);
}

bool vm_step(struct vm *vm, int cpu, uint64_t count, struct error *err)
{
    struct vm_cpu *c = vm->cpu_count ? &vm->cpus[cpu < 0 ? 0 : cpu] : NULL;
    if (vm->state == VM_RUNNING)
        return error_set(err, "machine \"%s\" is running; pause it to step it", vm->config.name);
    if (!vm_can_step(vm, err) || (cpu >= 0 && !check_started(vm, c->vcpu, err)))
        return false;
    vm->stepped = cpu >= 0 || vm->backend->step ? c : NULL;
    if (vm->backend->step) {
        vm->backend->step(c->vcpu, count);
    } else {
        uint64_t now = (uint64_t)clock_now(&vm->instructions);
        timer_set(&vm->step_ends, count < CLOCK_NEVER - now ? (int64_t)(now + count) : CLOCK_NEVER);
    }
    bool ok = vm_run(vm, err);
    timer_cancel(&vm->step_ends);
    vm->stepped = NULL;
    if (vm->backend->step)
        vm->backend->step(c->vcpu, 0);
    return ok;
}
