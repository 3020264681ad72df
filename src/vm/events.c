/* The table of event subscriptions, and what it asks of the vcpus. */
#include "vm/events.h"

#include "base/alloc.h"
#include "base/search.h"
#include "vm/vm_internal.h"

#include <stdlib.h>
#include <string.h>

static const char *const kind_names[VM_EVENT_KINDS] = {
    [VM_EVENT_EXEC] = "exec", [VM_EVENT_ACCESS] = "access", [VM_EVENT_EXCEPTION] = "exception",
    [VM_EVENT_MSR] = "msr",   [VM_EVENT_CPUID] = "cpuid",
};

const char *vm_event_kind_name(enum vm_event_kind kind)
{
    return kind_names[kind];
}

/* What the vcpus must be able to tell of for it: enum vcpu_event. */
static unsigned needs(const struct vm_event *e)
{
    static const unsigned events[VM_EVENT_KINDS] = {
        [VM_EVENT_EXEC] = VCPU_EVENT_EXEC,
        [VM_EVENT_EXCEPTION] = VCPU_EVENT_EXCEPTION,
        [VM_EVENT_MSR] = VCPU_EVENT_MSR,
        [VM_EVENT_CPUID] = VCPU_EVENT_CPUID,
    };
    if (e->kind == VM_EVENT_ACCESS)
        return (e->reads ? VCPU_EVENT_READ : 0) | (e->writes ? VCPU_EVENT_WRITE : 0);
    return events[e->kind];
}

bool vm_event_supported(const struct vm *vm, enum vcpu_event event, struct error *err)
{
    if (!vm->backend->supports)
        return true;
    if (!vm->cpu_count)
        return error_set(err, "the machine has no cpu");
    return vm->backend->supports(vm->cpus[0].vcpu, event, err);
}

bool vm_can_step(const struct vm *vm, struct error *err)
{
    if (!vm->cpu_count)
        return error_set(err, "machine \"%s\" has no cpu to step", vm->config.name);
    return !vm->backend->can_step || vm->backend->can_step(vm->cpus[0].vcpu, err);
}

/* ---- what the vcpus are asked for ---- */

static int by_first(const void *a, const void *b)
{
    const struct vm_event *x = *(struct vm_event *const *)a, *y = *(struct vm_event *const *)b;
    if (x->first != y->first)
        return x->first < y->first ? -1 : 1;
    return x->order < y->order ? -1 : x->order > y->order;
}

/* The first `sorted` entries are in order, those behind have been added: bring them in. */
static void sort_in(struct event_list *l, size_t sorted)
{
    size_t added = l->count - sorted;
    if (!added)
        return;
    struct vm_event **tail = alloc_zero(added, sizeof(struct vm_event *));
    memcpy(tail, l->events + sorted, added * sizeof *tail);
    qsort(tail, added, sizeof *tail, by_first);
    for (size_t at = l->count; added; at--) {
        bool old = sorted && by_first(&l->events[sorted - 1], &tail[added - 1]) > 0;
        l->events[at - 1] = old ? l->events[--sorted] : tail[--added];
    }
    free(tail);
}

/* Add a range that begins where the last one does or later. */
static void merge_range(struct vcpu_range *ranges, size_t *count, const struct vm_event *e)
{
    struct vcpu_range *top = *count ? &ranges[*count - 1] : NULL;
    if (top && (e->first <= top->last || e->first - 1 == top->last)) {
        if (e->last > top->last)
            top->last = e->last;
    } else {
        ranges[(*count)++] = (struct vcpu_range){ e->first, e->last };
    }
}

/* Merge the ranges of a sorted list; `reach[n]` is the highest end of entries 0..n, for searching.
 */
static void merge(struct event_list *l)
{
    l->merged = alloc_resize(l->merged, l->count, sizeof *l->merged);
    l->reads = alloc_resize(l->reads, l->count, sizeof *l->reads);
    l->reach = alloc_resize(l->reach, l->count, sizeof *l->reach);
    l->merged_count = l->read_count = 0;
    l->needs = 0;
    uint64_t reach = 0;
    for (size_t n = 0; n < l->count; n++) {
        struct vm_event *e = l->events[n];
        e->index = n;
        l->needs |= needs(e);
        reach = n && reach > e->last ? reach : e->last;
        l->reach[n] = reach;
        merge_range(l->merged, &l->merged_count, e);
        if (e->kind == VM_EVENT_ACCESS && e->reads)
            merge_range(l->reads, &l->read_count, e);
    }
}

static void drop_removed(struct event_list *l)
{
    size_t kept = 0;
    for (size_t n = 0; n < l->count; n++) {
        if (l->events[n])
            l->events[kept++] = l->events[n];
    }
    l->count = kept;
}

static void bring_in_waiting(struct event_table *t)
{
    for (size_t n = 0; n < t->waiting_count; n++) {
        struct vm_event *e = t->waiting[n];
        if (!e)
            continue;
        struct event_list *l = &t->lists[e->kind];
        e->waiting = false;
        ALLOC_GROW(l->events, l->count, l->capacity);
        l->events[l->count++] = e;
    }
    t->waiting_count = 0;
}

/* Bring the lists up to date, and say what they make of the watch. */
static struct vcpu_watch arrange(struct event_table *t)
{
    struct event_list *l = t->lists;
    size_t sorted[VM_EVENT_KINDS];
    for (unsigned k = 0; k < VM_EVENT_KINDS; k++) {
        if (l[k].changed)
            drop_removed(&l[k]);
        sorted[k] = l[k].count;
    }
    bring_in_waiting(t);
    struct vcpu_watch w = { .events = 0 };
    for (unsigned k = 0; k < VM_EVENT_KINDS; k++) {
        if (l[k].changed) {
            sort_in(&l[k], sorted[k]);
            merge(&l[k]);
        }
        l[k].changed = false;
        w.events |= l[k].needs;
    }
    memset(t->spans, 0, sizeof t->spans);
    const struct event_list *exec = &l[VM_EVENT_EXEC], *data = &l[VM_EVENT_ACCESS],
                            *msr = &l[VM_EVENT_MSR];
    w.exec = (struct vcpu_ranges){ exec->merged, exec->merged_count };
    w.data = (struct vcpu_ranges){ data->merged, data->merged_count };
    w.reads = (struct vcpu_ranges){ data->reads, data->read_count };
    w.msr = (struct vcpu_ranges){ msr->merged, msr->merged_count };
    w.exec_changed = exec->untold;
    w.data_changed = data->untold;
    return w;
}

void vm_events_settle(struct vm *vm)
{
    struct event_table *t = &vm->events;
    if (!t->changed)
        return;
    t->changed = false;
    t->watch = arrange(t);
    for (unsigned k = 0; k < VM_EVENT_KINDS; k++)
        t->lists[k].untold = false;
    for (unsigned n = 0; n < vm->cpu_count; n++) {
        struct vm_cpu *c = &vm->cpus[n];
        c->untold = c->runner->executes && c->runner != vm_runner_here(vm);
        if (c->untold)
            vm->backend->kick(c->vcpu);
        else
            vm->backend->watch(c->vcpu, &t->watch);
    }
}

void vm_events_settle_cpu(struct vm_cpu *c)
{
    if (!c->untold)
        return;
    c->untold = false;
    struct vcpu_watch w = c->vm->events.watch;
    w.exec_changed = w.data_changed = true; /* maybe some time ago */
    c->vm->backend->watch(c->vcpu, &w);
}

/* Nobody walks the lists but the vcpus' thread; in the middle of an event that is done at its end,
 * and while nothing is executed before the next run. */
static void changed(struct vm *vm, enum vm_event_kind kind)
{
    struct event_table *t = &vm->events;
    t->lists[kind].changed = t->lists[kind].untold = t->changed = true;
    const struct runner *here = vm_runner_here(vm);
    if (here && here->executes && !t->firing)
        vm_events_settle(vm);
}

/* ---- telling ---- */

static bool check_condition(const struct vm_event *e, struct vcpu *v)
{
    if (e->cpu >= 0 && (unsigned)e->cpu != v->port->index)
        return false;
    if (e->by_cr3 && v->backend->get_reg(v, VCPU_REG_CR3) >> 12 != e->cr3 >> 12)
        return false;
    if (e->op == VM_COND_NONE)
        return true;
    uint64_t value = v->backend->get_reg(v, e->reg) & e->mask;
    switch (e->op) {
    case VM_COND_EQ:
        return value == e->operand;
    case VM_COND_NE:
        return value != e->operand;
    case VM_COND_LT:
        return value < e->operand;
    default:
        return value > e->operand;
    }
}

static inline bool condition_holds(const struct vm_event *e, struct vcpu *v)
{
    return e->anywhere || check_condition(e, v);
}

static bool wants(const struct vm_event *e, const struct vm_event_info *info)
{
    if (e->kind == VM_EVENT_ACCESS || e->kind == VM_EVENT_MSR)
        return info->write ? e->writes : e->reads;
    return true;
}

static int by_order(const void *a, const void *b)
{
    const struct vm_event *x = *(struct vm_event *const *)a, *y = *(struct vm_event *const *)b;
    return x->order < y->order ? -1 : x->order > y->order;
}

static bool begins_by(const void *event, uint64_t last)
{
    return (*(struct vm_event *const *)event)->first <= last;
}

/* How many entries begin at `last` or before. */
static size_t begin_by(const struct event_list *l, uint64_t last)
{
    return search_from(l->events, l->count, sizeof *l->events, begins_by, last);
}

/* Those among which are all whose range meets [first, last]. */
static struct event_span find_span(const struct event_list *l, uint64_t first, uint64_t last)
{
    struct event_span s = { .address = first, .end = begin_by(l, last) };
    for (s.first = s.end; s.first > 0 && l->reach[s.first - 1] >= first;)
        s.first--;
    return s;
}

RARE static void remember_span(struct event_table *t, uint64_t va)
{
    t->spans[va % EVENT_SPANS] = find_span(&t->lists[VM_EVENT_EXEC], va, va);
}

/* The same for the instruction at `va`. It was probably there before. */
static inline const struct event_span *exec_span(struct event_table *t, uint64_t va)
{
    const struct event_span *s = &t->spans[va % EVENT_SPANS];
    if (UNLIKELY(s->address != va || !s->end))
        remember_span(t, va);
    return s;
}

RARE static bool any_wanted(struct event_table *t, const struct event_span *s, struct vcpu *v,
                            uint64_t va)
{
    const struct event_list *l = &t->lists[VM_EVENT_EXEC];
    bool skips = false;
    for (size_t n = s->first; n < s->end; n++) {
        const struct vm_event *e = l->events[n];
        if (e->last < va || !condition_holds(e, v))
            continue;
        if (e->matched >= e->skip)
            return true;
        skips = true;
    }
    for (size_t n = s->first; skips && n < s->end; n++) {
        struct vm_event *e = l->events[n];
        if (e->last >= va && condition_holds(e, v))
            e->matched++;
    }
    return false;
}

/* Is there one for the instruction whose turn to be called has come? If there is not, those that
 * let events pass have let this one pass. */
static bool exec_wanted(void *opaque, struct vcpu *v, uint64_t va)
{
    struct event_table *t = &((struct vm *)opaque)->events;
    const struct event_span *s = exec_span(t, va);
    t->due = NULL;
    if (UNLIKELY(s->end - s->first != 1))
        return any_wanted(t, s, v, va);
    struct vm_event *e = t->lists[VM_EVENT_EXEC].events[s->first];
    if (!condition_holds(e, v))
        return false;
    if (e->matched < e->skip) {
        e->matched++;
        return false;
    }
    t->due = e;
    return true;
}

/* Gather those of the span whose range goes up to `first` at least in t->matches, in order of
 * adding. */
static void collect(struct event_table *t, const struct event_list *l, const struct event_span *s,
                    uint64_t first)
{
    t->match_count = 0;
    for (size_t n = s->first; n < s->end; n++) {
        if (l->events[n]->last < first)
            continue;
        ALLOC_GROW(t->matches, t->match_count, t->match_capacity);
        t->matches[t->match_count++] = l->events[n];
    }
    if (t->match_count > 1)
        qsort(t->matches, t->match_count, sizeof *t->matches, by_order);
}

static enum vcpu_verdict call_all(struct event_table *t, const struct vm_event_info *info)
{
    enum vcpu_verdict verdict = VCPU_GO;
    for (size_t n = 0; n < t->match_count; n++) {
        struct vm_event *e = t->matches[n]; /* NULL: removed by one before it */
        if (!e || !wants(e, info) || !condition_holds(e, info->vcpu))
            continue;
        if (++e->matched <= e->skip)
            continue;
        enum vcpu_verdict v = e->fire(e->opaque, info);
        if (v > verdict)
            verdict = v;
    }
    return verdict;
}

/* `alone`: nobody else may wait for it, and it is known that this one does. */
static enum vcpu_verdict tell(struct vm *vm, enum vm_event_kind kind, struct vm_event_info *info,
                              uint64_t last, struct vm_event *alone)
{
    struct event_table *t = &vm->events;
    enum vcpu_verdict verdict;
    if (t->firing)
        return VCPU_GO; /* what a callback does itself fires nothing */
    if (alone) {
        t->firing = true;
        alone->matched++;
        verdict = alone->fire(alone->opaque, info);
    } else {
        const struct event_span s = find_span(&t->lists[kind], info->address, last);
        collect(t, &t->lists[kind], &s, info->address);
        t->firing = true;
        verdict = call_all(t, info);
    }
    t->firing = false;
    vm_events_settle(vm);
    return verdict;
}

static enum vcpu_verdict on_exec(void *opaque, struct vcpu *v, uint64_t va)
{
    struct vm *vm = opaque;
    struct vm_event_info info = { .vcpu = v, .address = va };
    return tell(vm, VM_EVENT_EXEC, &info, va, vm->events.due);
}

static enum vcpu_verdict on_access(void *opaque, struct vcpu *v, uint64_t gva, unsigned size,
                                   bool write, uint64_t *value)
{
    return tell(opaque, VM_EVENT_ACCESS,
                &(struct vm_event_info){
                    .vcpu = v, .address = gva, .size = size, .write = write, .value = value },
                gva + size - 1, NULL);
}

static enum vcpu_verdict on_exception(void *opaque, struct vcpu *v, int vector, uint32_t error)
{
    return tell(opaque, VM_EVENT_EXCEPTION,
                &(struct vm_event_info){ .vcpu = v, .address = (uint64_t)vector, .error = error },
                (uint64_t)vector, NULL);
}

static enum vcpu_verdict on_msr(void *opaque, struct vcpu *v, uint32_t index, bool write,
                                uint64_t *value)
{
    return tell(
        opaque, VM_EVENT_MSR,
        &(struct vm_event_info){ .vcpu = v, .address = index, .write = write, .value = value },
        index, NULL);
}

static enum vcpu_verdict on_cpuid(void *opaque, struct vcpu *v, uint32_t leaf, uint32_t subleaf,
                                  uint32_t regs[4])
{
    return tell(
        opaque, VM_EVENT_CPUID,
        &(struct vm_event_info){ .vcpu = v, .address = leaf, .subleaf = subleaf, .regs = regs },
        leaf, NULL);
}

/* Of backends that do not count instructions; on the others a timer does it: vm_step(). */
static enum vcpu_verdict on_stepped(void *opaque, struct vcpu *v)
{
    vm_pause(opaque, "step");
    return VCPU_STOP;
}

const struct vcpu_event_ops vm_vcpu_event_ops = {
    .exec_wanted = exec_wanted,
    .exec = on_exec,
    .access = on_access,
    .exception = on_exception,
    .msr = on_msr,
    .cpuid = on_cpuid,
    .stepped = on_stepped,
};

/* ---- subscriptions ---- */

void vm_events_fini(struct vm *vm)
{
    struct event_table *t = &vm->events;
    for (unsigned k = 0; k < VM_EVENT_KINDS; k++) {
        for (size_t n = 0; n < t->lists[k].count; n++)
            if (t->lists[k].events[n])
                t->lists[k].events[n]->removed = true;
        free(t->lists[k].events);
        free(t->lists[k].reach);
        free(t->lists[k].merged);
        free(t->lists[k].reads);
    }
    free(t->waiting);
    free(t->matches);
}

/* Are there means for it, and for what is there already? */
static bool supported(struct vm *vm, const struct vm_event *e, struct error *err)
{
    for (unsigned event = 1; event <= VCPU_EVENT_CPUID; event <<= 1)
        if (needs(e) & event && !vm_event_supported(vm, (enum vcpu_event)event, err))
            return false;
    return true;
}

static bool fits(struct vm *vm, const struct vm_event *e, struct error *err)
{
    const struct vcpu_backend *b = vm->backend;
    if (!b->fits || !vm->cpu_count)
        return true;
    if (b->fits_always &&
        b->fits_always(vm->cpus[0].vcpu, (enum vcpu_event)needs(e), e->first, e->last))
        return true;
    struct vcpu_watch w = arrange(&vm->events);
    return b->fits(vm->cpus[0].vcpu, &w, err);
}

const char *vm_event_means(const struct vm_event *e)
{
    struct vm *vm = e->vm;
    if (!vm || e->removed || !vm->backend->means || !vm->cpu_count)
        return NULL;
    if (!vm->events.firing && vm_cpus_are_still(vm))
        vm_events_settle(vm);
    if (e->waiting)
        return "pending";
    return vm->backend->means(
        vm->cpus[e->cpu > 0 && (unsigned)e->cpu < vm->cpu_count ? e->cpu : 0].vcpu,
        (enum vcpu_event)(needs(e) & -needs(e)), e->first, e->last);
}

void vm_event_order(struct vm *vm, struct vm_event *e)
{
    if (!e->order)
        e->order = ++vm->events.next_order;
}

bool vm_event_add(struct vm *vm, struct vm_event *e, struct error *err)
{
    struct event_table *t = &vm->events;
    if (!supported(vm, e, err))
        return false;
    e->vm = vm;
    vm_event_order(vm, e);
    e->removed = false;
    e->matched = 0;
    e->anywhere = e->cpu < 0 && !e->by_cr3 && e->op == VM_COND_NONE;
    e->waiting = true;
    e->index = t->waiting_count;
    ALLOC_GROW(t->waiting, t->waiting_count, t->waiting_capacity);
    t->waiting[t->waiting_count++] = e;
    t->lists[e->kind].changed = true;
    if (!fits(vm, e, err)) {
        vm_event_remove(e);
        return false;
    }
    changed(vm, e->kind);
    return true;
}

void vm_event_remove(struct vm_event *e)
{
    struct vm *vm = e->vm;
    if (!vm || e->removed)
        return;
    struct event_table *t = &vm->events;
    e->removed = true;
    if (t->due == e)
        t->due = NULL;
    (e->waiting ? t->waiting : t->lists[e->kind].events)[e->index] = NULL;
    for (size_t n = 0; t->firing && n < t->match_count; n++)
        if (t->matches[n] == e)
            t->matches[n] = NULL;
    changed(vm, e->kind);
}
