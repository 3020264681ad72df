/* Clusters: who may run how far, when all stop, and how idle time passes. */
#include "vm/cluster_internal.h"

#include "base/alloc.h"
#include "base/log.h"
#include "net/backends.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

/* No quantum is longer, so that a pause is soon done however slow the links are. */
#define QUANTUM_MAX (NS_PER_SECOND / 100)

static void step(struct cluster *c);

static void on_wait(void *opaque)
{
    step(opaque);
}

/* ---- members ---- */

struct cluster *cluster_new(struct loop *loop, const struct cluster_config *config)
{
    struct cluster *c = ALLOC(struct cluster);
    assert(config->latency_ns > 0);
    *c = (struct cluster){
        .loop = loop,
        .name = alloc_string(config->name),
        .latency_ns = config->latency_ns,
        .parallel = config->parallel,
        .until = CLOCK_NEVER,
    };
    c->members_tail = &c->members;
    c->links_tail = &c->links;
    timer_init(&c->wait, loop_realtime(loop), on_wait, c);
    waiter_init(&c->parking);
    return c;
}

void cluster_free(struct cluster *c)
{
    if (!c)
        return;
    cluster_pause(c, "closed");
    cluster_wait(c);
    while (c->members)
        cluster_forget(c->members->vm);
    while (c->links)
        cluster_link_free(c->links);
    timer_cancel(&c->wait);
    waiter_fini(&c->parking);
    free(c->name);
    free(c);
}

/* Bring a VM that stands still forward to `when`. */
static void bring_forward(struct vm *vm, int64_t when)
{
    int64_t now = vm_counted_now(vm);
    if (now < when)
        vm_advance(vm, when - now);
}

static bool may_join(struct cluster *c, const struct vm *vm, struct error *err)
{
    const char *name = vm_name(vm);
    if (vm->member)
        return error_set(err, "cluster \"%s\": machine \"%s\" belongs to cluster \"%s\" already",
                         c->name, name, vm->member->cluster->name);
    if (!vm->backend->counts_instructions)
        return error_set(err,
                         "cluster \"%s\": machine \"%s\" runs on accel \"%s\", which does not "
                         "count instructions, so its time cannot be stopped at a point; use accel "
                         "\"soft\"",
                         c->name, name, vm->backend->name);
    if (!vm->cpu_count)
        return error_set(err, "cluster \"%s\": machine \"%s\" has no cpu that could make time pass",
                         c->name, name);
    if (vm->state == VM_RUNNING || !vm_is_parked(vm))
        return error_set(err, "cluster \"%s\": machine \"%s\" is running; pause it first", c->name,
                         name);
    if (!cluster_is_still(c))
        return error_set(err, "cluster \"%s\" is running; pause it to add machine \"%s\"", c->name,
                         name);
    return true;
}

bool cluster_add(struct cluster *c, struct vm *vm, struct error *err)
{
    if (!may_join(c, vm, err))
        return false;
    int64_t now = vm_counted_now(vm);
    if (now > c->now && c->now == c->horizon) {
        for (struct cluster_member *m = c->members; m; m = m->next)
            bring_forward(m->vm, now);
        c->now = c->horizon = now;
    }
    bring_forward(vm, c->now);
    struct cluster_member *m = ALLOC(struct cluster_member);
    *m = (struct cluster_member){ .cluster = c, .vm = vm, .index = c->members_made++ };
    timer_init(&m->arrival, &vm->machine.virtual, cluster_arrival, m);
    *c->members_tail = m;
    c->members_tail = &m->next;
    vm->member = m;
    vm->horizon_ns = vm_counted_now(vm);
    return true;
}

void cluster_forget(struct vm *vm)
{
    struct cluster_member *m = vm->member;
    if (!m)
        return;
    struct cluster *c = m->cluster;
    cluster_unplug(m);
    struct cluster_member **at = &c->members;
    while (*at != m)
        at = &(*at)->next;
    *at = m->next;
    if (c->members_tail == &m->next)
        c->members_tail = at;
    if (c->paused_by == vm)
        c->paused_by = NULL;
    vm->member = NULL;
    vm->horizon_ns = CLOCK_NEVER;
    free(m);
    step(c);
}

struct vm *cluster_member(const struct cluster *c, unsigned n)
{
    struct cluster_member *m = c->members;
    while (m && n--)
        m = m->next;
    return m ? m->vm : NULL;
}

struct cluster *vm_cluster(const struct vm *vm)
{
    return vm->member ? vm->member->cluster : NULL;
}

/* ---- questions ---- */

const char *cluster_name(const struct cluster *c)
{
    return c->name;
}

int64_t cluster_latency(const struct cluster *c)
{
    return c->latency_ns;
}

int64_t cluster_now(const struct cluster *c)
{
    return c->now;
}

uint64_t cluster_quanta(const struct cluster *c)
{
    return c->quanta;
}

bool cluster_is_still(const struct cluster *c)
{
    for (const struct cluster_member *m = c->members; m; m = m->next)
        if (m->vm->state == VM_RUNNING || !vm_is_parked(m->vm))
            return false;
    return true;
}

enum vm_state cluster_state(const struct cluster *c)
{
    enum vm_state state = VM_ENDED;
    if (!cluster_is_still(c))
        return VM_RUNNING;
    for (const struct cluster_member *m = c->members; m; m = m->next)
        if (m->vm->state != VM_ENDED)
            state = VM_PAUSED;
    return state;
}

const char *cluster_pause_reason(const struct cluster *c, struct vm **by)
{
    *by = c->paused_by;
    return c->reason;
}

bool cluster_on_runner(const struct cluster *c)
{
    for (const struct cluster_member *m = c->members; m; m = m->next)
        if (vm_on_runner(m->vm))
            return true;
    return false;
}

/* ---- the next horizon ---- */

static bool has_arrived(const struct cluster *c, const struct vm *vm)
{
    return vm->held && vm_counted_now(vm) >= c->horizon;
}

/* Give leave to those that are not at the horizon yet. True: all are. */
static bool grant(struct cluster *c)
{
    bool all = true;
    for (struct cluster_member *m = c->members; m && (all || c->parallel); m = m->next) {
        struct vm *vm = m->vm;
        if (vm->state != VM_RUNNING || has_arrived(c, vm))
            continue;
        all = false;
        if (vm->horizon_ns != c->horizon) {
            vm->horizon_ns = c->horizon;
            vm_wake_runners(vm);
        }
    }
    return all;
}

static void set_reason(struct cluster *c, const char *reason)
{
    if (!c->reason[0])
        snprintf(c->reason, sizeof c->reason, "%s", reason);
}

/* Nobody runs any more. The one that has paused by itself is named; several: the first in time, so
 * that it does not depend on who was quicker. */
static void come_to_rest(struct cluster *c)
{
    c->going = c->sleeping = false;
    timer_cancel(&c->wait);
    if (!c->reason[0]) {
        for (struct cluster_member *m = c->members; m; m = m->next)
            if (m->vm->state == VM_PAUSED && !m->asked &&
                (!c->paused_by || vm_counted_now(m->vm) < vm_counted_now(c->paused_by)))
                c->paused_by = m->vm;
        if (c->paused_by)
            set_reason(c, c->paused_by->pause_reason);
    }
    waiter_wake(&c->parking);
    loop_wake(c->loop);
}

static bool has(const struct cluster *c, enum vm_state state)
{
    for (const struct cluster_member *m = c->members; m; m = m->next)
        if (m->vm->state == state)
            return true;
    return false;
}

/* At a horizon: is this the end of the run? */
static bool must_stop(struct cluster *c)
{
    if (!c->reason[0] && c->holds && c->asked_at != c->now) {
        c->asked_at = c->now;
        if (c->holds(c->holds_opaque))
            set_reason(c, "until");
    }
    if (c->now >= c->until)
        set_reason(c, "until");
    return c->reason[0];
}

static void ask_all_to_pause(struct cluster *c)
{
    for (struct cluster_member *m = c->members; m; m = m->next) {
        struct vm *vm = m->vm;
        if (vm->state != VM_RUNNING)
            continue;
        m->asked = true;
        vm->request.pause = true;
        snprintf(vm->request.reason, sizeof vm->request.reason, "cluster");
        vm_wake_runners(vm);
    }
}

/* When the first member has something to do; CLOCK_NEVER: all wait for ever. */
static int64_t next_event(const struct cluster *c)
{
    int64_t next = CLOCK_NEVER;
    for (const struct cluster_member *m = c->members; m; m = m->next) {
        struct vm *vm = m->vm;
        if (vm->state != VM_RUNNING)
            continue;
        bool waits = vm_all_wait(vm) && !door_pending(vm->machine.door);
        int64_t t = waits ? clock_deadline(&vm->machine.virtual) : c->now;
        next = t < next ? t : next;
    }
    return next > c->now ? next : c->now;
}

/* Idle time is skipped if every machine would skip its own. */
static bool warps(const struct cluster *c)
{
    for (const struct cluster_member *m = c->members; m; m = m->next)
        if (m->vm->state != VM_ENDED &&
            (m->vm->config.idle != VM_IDLE_WARP || net_has_outside(m->vm->net)))
            return false;
    return true;
}

/* All are halted at the horizon: let `ns` pass in which nothing is due. */
static void pass(struct cluster *c, int64_t ns)
{
    c->now = c->horizon = c->now + ns;
    for (struct cluster_member *m = c->members; m; m = m->next) {
        struct vm *vm = m->vm;
        int64_t left = c->now - vm_counted_now(vm);
        if (vm->state == VM_RUNNING && left > 0)
            vm->skipped_ns += left;
    }
}

static int64_t first_deadline(const struct cluster *c)
{
    int64_t first = CLOCK_NEVER;
    for (const struct cluster_member *m = c->members; m; m = m->next) {
        int64_t t = clock_deadline(&m->vm->machine.virtual);
        if (m->vm->state == VM_RUNNING && t < first)
            first = t;
    }
    return first;
}

/* Wait in real time for what is due at `next`. True: it is time, or something came in before. */
static bool wait_is_over(struct cluster *c, int64_t next)
{
    int64_t real = loop_realtime_ns();
    if (!c->sleeping) {
        if (next <= c->now)
            return true;
        c->sleeping = true;
        c->slept_from = real;
    }
    int64_t slept = real - c->slept_from, left = next - c->now;
    if (slept < left) {
        if (left < CLOCK_NEVER - c->slept_from)
            timer_set(&c->wait, c->slept_from + left);
        else
            timer_cancel(&c->wait);
        loop_wake(c->loop);
        return false;
    }
    c->sleeping = false;
    timer_cancel(&c->wait);
    int64_t first = first_deadline(c), quiet = (first < c->until ? first : c->until) - c->now;
    pass(c, slept < quiet ? slept : quiet > 0 ? quiet : 0);
    return true;
}

/* All have arrived. False: nothing is to be granted now. */
static bool set_horizon(struct cluster *c)
{
    int64_t next = next_event(c);
    next = next < c->until ? next : c->until;
    if (warps(c)) {
        if (next == CLOCK_NEVER) {
            log_host(LOG_WARN, c->name,
                     "deadlock: every machine waits, and no timer and no frame is due");
            set_reason(c, "deadlock");
            return true;
        }
    } else if (!wait_is_over(c, next)) {
        return false;
    }
    next = next > c->now ? next : c->now;
    int64_t quantum = c->latency_ns < QUANTUM_MAX ? c->latency_ns : QUANTUM_MAX;
    int64_t end = next > CLOCK_NEVER - 1 - quantum ? CLOCK_NEVER - 1 : next + quantum;
    c->horizon = end < c->until ? end : c->until;
    c->quanta++;
    return true;
}

/* Do what can be done now. True: more can be, at once. */
static bool advance(struct cluster *c)
{
    if (!has(c, VM_RUNNING)) {
        come_to_rest(c);
        return false;
    }
    if (!grant(c))
        return false;
    if (has(c, VM_PAUSED)) { /* maybe before the horizon: the quantum is not over */
        ask_all_to_pause(c);
        return false;
    }
    c->now = c->horizon;
    cluster_exchange(c);
    if (must_stop(c)) {
        ask_all_to_pause(c);
        return false;
    }
    return set_horizon(c);
}

static void step(struct cluster *c)
{
    if (c->stepping)
        return;
    c->stepping = true;
    while (c->going && advance(c))
        ;
    c->stepping = false;
}

void cluster_poke(struct vm *vm)
{
    if (vm->member)
        step(vm->member->cluster);
}

void cluster_parked(struct vm *vm)
{
    if (vm->member)
        waiter_wake(&vm->member->cluster->parking);
}

/* ---- run control ---- */

void cluster_set_until(struct cluster *c, int64_t until, bool (*holds)(void *), void *opaque)
{
    c->until = until;
    c->holds = holds;
    c->holds_opaque = opaque;
    c->asked_at = -1;
}

static bool can_resume(const struct cluster *c, struct error *err)
{
    if (!c->members)
        return error_set(err, "cluster \"%s\" has no machine to run", c->name);
    if (has(c, VM_CREATED))
        return error_set(err, "cluster \"%s\": a machine has not been reset yet", c->name);
    if (!has(c, VM_PAUSED))
        return error_set(err,
                         "cluster \"%s\": all machines have ended; reset those that are to run "
                         "again",
                         c->name);
    return true;
}

bool cluster_resume(struct cluster *c, struct error *err)
{
    if (c->going)
        return true;
    if (!can_resume(c, err))
        return false;
    c->reason[0] = 0;
    c->paused_by = NULL;
    c->asked_at = -1;
    c->going = c->stepping = true;
    bool ok = true;
    for (struct cluster_member *m = c->members; m && ok; m = m->next) {
        if (m->vm->state != VM_PAUSED)
            continue;
        m->asked = false;
        bring_forward(m->vm, c->now);
        m->vm->horizon_ns = vm_counted_now(m->vm);
        ok = vm_go(m->vm, err);
    }
    if (!ok)
        set_reason(c, "error");
    c->stepping = false;
    step(c);
    return ok;
}

void cluster_wait(struct cluster *c)
{
    if (c->stepping || !loop_on_thread(c->loop))
        return;
    while (!cluster_is_still(c))
        waiter_sleep(&c->parking, loop_lock(c->loop), NS_PER_SECOND / 10);
}

void cluster_pause(struct cluster *c, const char *reason)
{
    if (c->going)
        set_reason(c, reason);
    step(c);
}

void cluster_end(struct cluster *c, const char *reason, int status)
{
    for (struct cluster_member *m = c->members; m; m = m->next)
        vm_ask_end(m->vm, reason, status);
}

static bool run_done(void *opaque)
{
    return cluster_is_still(opaque);
}

bool cluster_run(struct cluster *c, struct error *err)
{
    assert(!cluster_on_runner(c));
    if (!cluster_resume(c, err))
        return false;
    loop_run(c->loop, run_done, c);
    return true;
}
