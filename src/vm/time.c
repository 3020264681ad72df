/* The clocks of a VM.
 *
 * On backends that count instructions virtual time is (retired instructions) x (cost of one) +
 * (idle time), and its timers are fired by the thread that executes, at exact counts. On others it
 * is real time less the pauses, and its timers are fired by the loop. docs/loop.md tells who may
 * ask for it where. */
#include "vm/vm_internal.h"

uint64_t vm_retired(const struct vm *vm)
{
    return vm->cpu_count ? vm->backend->instructions(vm->cpus[0].vcpu) : 0;
}

int64_t vm_counted_now(const struct vm *vm)
{
    return (int64_t)(vm_retired(vm) * vm->config.ns_per_instruction) + vm->skipped_ns;
}

static bool counts(const struct vm *vm)
{
    return vm->backend->counts_instructions;
}

/* The count may be read by the thread that makes it, or when nobody does; others get what has been
 * published. */
static int64_t virtual_now(void *opaque)
{
    struct vm *vm = opaque;
    if (counts(vm)) {
        if (vm_cpus_are_still(vm))
            return vm_counted_now(vm);
        return atomic_load_explicit(&vm->published_ns, memory_order_relaxed);
    }
    if (vm->state != VM_RUNNING)
        return vm->run_base_ns;
    return vm->run_base_ns + (loop_realtime_ns() - vm->run_start_ns);
}

static int64_t virtual_rt_now(void *opaque)
{
    return vm_wall_ns(opaque);
}

static int64_t host_now(void *opaque)
{
    (void)opaque;
    return loop_host_ns();
}

static uint64_t virtual_limit(const struct vm *vm, uint64_t done)
{
    int64_t deadline = clock_deadline(&vm->machine.virtual), now = vm_counted_now(vm);
    uint64_t cost = vm->config.ns_per_instruction;
    if (deadline > vm->horizon_ns)
        deadline = vm->horizon_ns;
    if (deadline == CLOCK_NEVER)
        return INT64_MAX;
    if (deadline <= now)
        return done;
    uint64_t left = ((uint64_t)(deadline - now) + cost - 1) / cost;
    return left > INT64_MAX - done ? INT64_MAX : done + left;
}

/* Guest code is interrupted at the multiples of this, so that what is published is never old: a few
 * hundredths of a second at full speed. At fixed counts, so that every run is cut alike. */
#define PUBLISH_EVERY (4ULL << 20)

static uint64_t instruction_limit(const struct vm *vm)
{
    uint64_t done = vm_retired(vm), limit = virtual_limit(vm, done);
    uint64_t counted = (uint64_t)clock_deadline(&vm->instructions); /* CLOCK_NEVER is large */
    uint64_t publish = (done / PUBLISH_EVERY + 1) * PUBLISH_EVERY;
    if (counted < limit)
        limit = counted < done ? done : counted;
    return publish < limit ? publish : limit;
}

uint64_t vm_run_limit(struct vm *vm)
{
    struct runner *r = &vm->runners[0];
    r->limit = instruction_limit(vm);
    return r->limit < r->run_end ? r->limit : r->run_end;
}

void vm_publish(struct vm *vm)
{
    int64_t now = clock_now(&vm->machine.virtual);
    atomic_store_explicit(&vm->published_ns, now, memory_order_relaxed);
    vm->published_count = vm_retired(vm);
    for (unsigned n = 0; n < vm->cpu_count; n++)
        vm->backend->get_stats(vm->cpus[n].vcpu, &vm->published_stats[n]);
}

static int64_t instructions_now(void *opaque)
{
    const struct vm *vm = opaque;
    return vm_cpus_are_still(vm) ? (int64_t)vm_retired(vm) : (int64_t)vm->published_count;
}

struct clock *vm_instruction_clock(struct vm *vm)
{
    return counts(vm) ? &vm->instructions : NULL;
}

static void virtual_rearmed(void *opaque);

/* ---- clocks paced by real time ---- */

static void paced_arm(struct paced_clock *p)
{
    int64_t deadline = p->clock ? clock_deadline(p->clock) : CLOCK_NEVER;
    if (!p->going || deadline == CLOCK_NEVER) {
        timer_cancel(&p->wait);
        return;
    }
    int64_t left = deadline - clock_now(p->clock), now = loop_realtime_ns();
    timer_set(&p->wait, left > INT64_MAX - now ? CLOCK_NEVER : now + left);
    loop_wake(p->loop); /* it may be waiting for longer */
}

static void paced_fire(void *opaque)
{
    struct paced_clock *p = opaque;
    clock_run(p->clock);
    paced_arm(p);
}

static void paced_init(struct paced_clock *p, struct clock *c, struct loop *loop)
{
    *p = (struct paced_clock){ .clock = c, .loop = loop };
    timer_init(&p->wait, loop_realtime(loop), paced_fire, p);
}

static void paced_go(struct paced_clock *p, bool going)
{
    p->going = going;
    paced_arm(p);
}

/* ---- re-arming ---- */

static void virtual_rearmed(void *opaque)
{
    struct vm *vm = opaque;
    if (!counts(vm)) {
        paced_arm(&vm->paced_virtual);
        return;
    }
    if (vm->state != VM_RUNNING || !vm->cpu_count)
        return;
    struct vcpu *executed = vm->runners[0].executes;
    if (vm->held)
        cluster_poke(vm);
    else if (!vm_on_runner(vm))
        vm_nudge(vm);
    else if (executed)
        vm->backend->set_limit(executed, vm_run_limit(vm));
}

static void virtual_rt_rearmed(void *opaque)
{
    paced_arm(&((struct vm *)opaque)->paced_virtual_rt);
}

static void host_rearmed(void *opaque)
{
    paced_arm(&((struct vm *)opaque)->paced_host);
}

/* ---- stalls ---- */

static void stall_ended(void *opaque)
{
    vm_nudge(opaque);
}

void vm_time_add_cpu(struct vm_cpu *c)
{
    timer_init(&c->stall_ends, &c->vm->machine.virtual, stall_ended, c->vm);
}

void vm_stall_cpu(struct vm *vm, unsigned index, int64_t ns)
{
    struct timer *t = &vm->cpus[index].stall_ends;
    int64_t end;
    if (index >= vm->cpu_count || ns <= 0)
        return;
    if (__builtin_add_overflow(clock_now(&vm->machine.virtual), ns, &end))
        end = CLOCK_NEVER;
    if (timer_is_set(t) && t->deadline >= end)
        return;
    timer_set(t, end);
    vm_nudge(vm);
}

bool vm_cpu_is_stalled(const struct vm *vm, unsigned index)
{
    return index < vm->cpu_count && timer_is_set(&vm->cpus[index].stall_ends);
}

/* ---- life ---- */

static void step_ended(void *opaque)
{
    vm_pause(opaque, "step");
}

void vm_time_init(struct vm *vm)
{
    struct machine *m = &vm->machine;
    clock_init(&m->virtual, "virtual", virtual_now, virtual_rearmed, vm);
    clock_init(&vm->instructions, "instructions", instructions_now, virtual_rearmed, vm);
    clock_init(&m->virtual_rt, "virtual_rt", virtual_rt_now, virtual_rt_rearmed, vm);
    clock_init(&m->host, "host", host_now, host_rearmed, vm);
    paced_init(&vm->paced_virtual, &m->virtual, vm->loop);
    paced_init(&vm->paced_virtual_rt, &m->virtual_rt, vm->loop);
    paced_init(&vm->paced_host, &m->host, vm->loop);
    paced_go(&vm->paced_host, true);
    timer_init(&vm->step_ends, &vm->instructions, step_ended, vm);
    m->epoch_ns = vm->config.epoch_ns;
    m->seed = vm->config.seed;
}

void vm_time_fini(struct vm *vm)
{
    paced_go(&vm->paced_virtual, false);
    paced_go(&vm->paced_virtual_rt, false);
    paced_go(&vm->paced_host, false);
}

void vm_time_resume(struct vm *vm)
{
    if (vm->accel && vm->backend->start_time)
        vm->backend->start_time(vm->accel);
    vm->run_start_ns = loop_realtime_ns();
    paced_go(&vm->paced_virtual_rt, true);
    if (!counts(vm))
        paced_go(&vm->paced_virtual, true);
}

void vm_time_pause(struct vm *vm)
{
    if (vm->accel && vm->backend->stop_time)
        vm->backend->stop_time(vm->accel);
    int64_t ran = loop_realtime_ns() - vm->run_start_ns;
    vm->wall_ns += ran;
    if (!counts(vm))
        vm->run_base_ns += ran;
    paced_go(&vm->paced_virtual_rt, false);
    paced_go(&vm->paced_virtual, false);
}

int64_t vm_wall_ns(const struct vm *vm)
{
    int64_t ran = vm->state == VM_RUNNING ? loop_realtime_ns() - vm->run_start_ns : 0;
    return vm->wall_ns + ran;
}

void vm_advance(struct vm *vm, int64_t ns)
{
    struct clock *c = &vm->machine.virtual;
    int64_t *time = counts(vm) ? &vm->skipped_ns : &vm->run_base_ns;
    int64_t now = clock_now(c), until = ns > INT64_MAX - now ? INT64_MAX : now + ns;
    door_drain(vm->machine.door);
    while (clock_deadline(c) <= until) {
        int64_t due = clock_deadline(c);
        now = clock_now(c);
        if (due > now)
            *time += due - now;
        clock_run(c);
        door_drain(vm->machine.door);
    }
    *time += until - clock_now(c);
}
