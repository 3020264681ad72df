/* The table of event subscriptions, and what it asks of the vcpus. */
#include "vm/events.h"

#include "base/alloc.h"
#include "vm/vm_internal.h"

#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name;
    enum vcpu_event event;
} kinds[VM_EVENT_KINDS] = {
    [VM_EVENT_EXEC] = { "exec", VCPU_EVENT_EXEC },
    [VM_EVENT_ACCESS] = { "access", VCPU_EVENT_ACCESS },
    [VM_EVENT_EXCEPTION] = { "exception", VCPU_EVENT_EXCEPTION },
    [VM_EVENT_MSR] = { "msr", VCPU_EVENT_MSR },
    [VM_EVENT_CPUID] = { "cpuid", VCPU_EVENT_CPUID },
};

const char *vm_event_kind_name(enum vm_event_kind kind)
{
    return kinds[kind].name;
}

bool vm_event_supported(const struct vm *vm, enum vm_event_kind kind)
{
    return vm->backend->events & kinds[kind].event;
}

/* ---- what the vcpus are asked for ---- */

static int by_first(const void *a, const void *b)
{
    const struct vm_event *x = *(struct vm_event *const *)a, *y = *(struct vm_event *const *)b;
    if (x->first != y->first)
        return x->first < y->first ? -1 : 1;
    return x->order < y->order ? -1 : x->order > y->order;
}

/* Merge the ranges of a sorted list; `reach[n]` is the highest end of entries 0..n, for searching.
 */
static void merge(struct event_list *l)
{
    l->merged_count = 0;
    uint64_t reach = 0;
    for (size_t n = 0; n < l->count; n++) {
        const struct vm_event *e = l->events[n];
        reach = n && reach > e->last ? reach : e->last;
        l->reach[n] = reach;
        struct vcpu_range *top = l->merged_count ? &l->merged[l->merged_count - 1] : NULL;
        if (top && (e->first <= top->last || e->first - 1 == top->last)) {
            if (e->last > top->last)
                top->last = e->last;
        } else {
            l->merged[l->merged_count++] = (struct vcpu_range){ e->first, e->last };
        }
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

static void add_waiting(struct event_table *t)
{
    for (size_t n = 0; n < t->waiting_count; n++) {
        struct vm_event *e = t->waiting[n];
        if (!e)
            continue;
        struct event_list *l = &t->lists[e->kind];
        ALLOC_GROW(l->events, l->count, l->capacity);
        l->events[l->count++] = e;
    }
    t->waiting_count = 0;
}

static void apply(struct vm *vm)
{
    struct event_table *t = &vm->events;
    t->changed = false;
    add_waiting(t);
    struct vcpu_watch w = { .events = 0 };
    for (unsigned k = 0; k < VM_EVENT_KINDS; k++) {
        struct event_list *l = &t->lists[k];
        drop_removed(l);
        if (l->count)
            qsort(l->events, l->count, sizeof *l->events, by_first);
        l->merged = alloc_resize(l->merged, l->count, sizeof *l->merged);
        l->reach = alloc_resize(l->reach, l->count, sizeof *l->reach);
        merge(l);
        if (l->count)
            w.events |= kinds[k].event;
    }
    const struct event_list *exec = &t->lists[VM_EVENT_EXEC], *data = &t->lists[VM_EVENT_ACCESS];
    w.exec = (struct vcpu_ranges){ exec->merged, exec->merged_count };
    w.data = (struct vcpu_ranges){ data->merged, data->merged_count };
    if (vm->backend->watch)
        for (unsigned n = 0; n < vm->vcpu_count; n++)
            vm->backend->watch(vm->vcpus[n], &w);
}

static void changed(struct vm *vm)
{
    if (vm->events.firing)
        vm->events.changed = true; /* the arrays are being walked */
    else
        apply(vm);
}

/* ---- telling ---- */

static bool condition_holds(const struct vm_event *e, const struct vm_event_info *info)
{
    struct vcpu *v = info->vcpu;
    if (e->cpu >= 0 && (unsigned)e->cpu != v->port->index)
        return false;
    if (e->by_cr3) {
        struct kvm_sregs s;
        if (!v->backend->get_sregs(v, &s, NULL) || s.cr3 >> 12 != e->cr3 >> 12)
            return false;
    }
    if (e->op == VM_COND_NONE)
        return true;
    struct kvm_regs r;
    if (!v->backend->get_regs(v, &r, NULL))
        return false;
    uint64_t value;
    memcpy(&value, (char *)&r + e->reg_offset, sizeof value);
    value &= e->mask;
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

/* Gather those whose range meets [first, last] in t->matches, in order of adding. */
static void collect(struct event_table *t, const struct event_list *l, uint64_t first,
                    uint64_t last)
{
    size_t lo = 0, hi = l->count;
    while (lo < hi) { /* find the first that begins beyond the event */
        size_t mid = (lo + hi) / 2;
        if (l->events[mid]->first <= last)
            lo = mid + 1;
        else
            hi = mid;
    }
    t->match_count = 0;
    for (size_t n = lo; n > 0 && l->reach[n - 1] >= first; n--) {
        if (l->events[n - 1]->last < first)
            continue;
        ALLOC_GROW(t->matches, t->match_count, t->match_capacity);
        t->matches[t->match_count++] = l->events[n - 1];
    }
    if (t->match_count > 1)
        qsort(t->matches, t->match_count, sizeof *t->matches, by_order);
}

static enum vcpu_verdict tell(struct vm *vm, enum vm_event_kind kind, struct vm_event_info *info,
                              uint64_t last)
{
    struct event_table *t = &vm->events;
    if (t->firing)
        return VCPU_GO; /* what a callback does itself fires nothing */
    collect(t, &t->lists[kind], info->address, last);
    enum vcpu_verdict verdict = VCPU_GO;
    t->firing = true;
    for (size_t n = 0; n < t->match_count; n++) {
        struct vm_event *e = t->matches[n]; /* NULL: removed by one before it */
        if (!e || !wants(e, info) || !condition_holds(e, info))
            continue;
        if (++e->matched <= e->skip)
            continue;
        enum vcpu_verdict v = e->fire(e->opaque, info);
        if (v > verdict)
            verdict = v;
    }
    t->firing = false;
    if (t->changed)
        apply(vm);
    return verdict;
}

static enum vcpu_verdict on_exec(void *opaque, struct vcpu *v, uint64_t rip)
{
    return tell(opaque, VM_EVENT_EXEC, &(struct vm_event_info){ .vcpu = v, .address = rip }, rip);
}

static enum vcpu_verdict on_access(void *opaque, struct vcpu *v, uint64_t gva, unsigned size,
                                   bool write, uint64_t *value)
{
    return tell(opaque, VM_EVENT_ACCESS,
                &(struct vm_event_info){
                    .vcpu = v, .address = gva, .size = size, .write = write, .value = value },
                gva + size - 1);
}

static enum vcpu_verdict on_exception(void *opaque, struct vcpu *v, int vector, uint32_t error)
{
    return tell(opaque, VM_EVENT_EXCEPTION,
                &(struct vm_event_info){ .vcpu = v, .address = (uint64_t)vector, .error = error },
                (uint64_t)vector);
}

static enum vcpu_verdict on_msr(void *opaque, struct vcpu *v, uint32_t index, bool write,
                                uint64_t *value)
{
    return tell(
        opaque, VM_EVENT_MSR,
        &(struct vm_event_info){ .vcpu = v, .address = index, .write = write, .value = value },
        index);
}

static enum vcpu_verdict on_cpuid(void *opaque, struct vcpu *v, uint32_t leaf, uint32_t subleaf,
                                  uint32_t regs[4])
{
    return tell(
        opaque, VM_EVENT_CPUID,
        &(struct vm_event_info){ .vcpu = v, .address = leaf, .subleaf = subleaf, .regs = regs },
        leaf);
}

const struct vcpu_event_ops vm_vcpu_event_ops = {
    .exec = on_exec,
    .access = on_access,
    .exception = on_exception,
    .msr = on_msr,
    .cpuid = on_cpuid,
};

/* ---- subscriptions ---- */

void vm_events_fini(struct vm *vm)
{
    struct event_table *t = &vm->events;
    for (unsigned k = 0; k < VM_EVENT_KINDS; k++) {
        for (size_t n = 0; n < t->lists[k].count; n++)
            t->lists[k].events[n]->removed = true;
        free(t->lists[k].events);
        free(t->lists[k].reach);
        free(t->lists[k].merged);
    }
    free(t->waiting);
    free(t->matches);
}

bool vm_event_add(struct vm *vm, struct vm_event *e, struct error *err)
{
    struct event_table *t = &vm->events;
    if (!vm_event_supported(vm, e->kind))
        return error_set(err, "accel \"%s\" cannot tell of %s events; \"soft\" can",
                         vm->backend->name, kinds[e->kind].name);
    e->vm = vm;
    e->order = t->next_order++;
    e->removed = false;
    e->matched = 0;
    ALLOC_GROW(t->waiting, t->waiting_count, t->waiting_capacity);
    t->waiting[t->waiting_count++] = e;
    changed(vm);
    return true;
}

static void forget(struct vm_event **list, size_t count, const struct vm_event *e)
{
    for (size_t n = 0; n < count; n++)
        if (list[n] == e)
            list[n] = NULL;
}

void vm_event_remove(struct vm_event *e)
{
    struct vm *vm = e->vm;
    if (!vm || e->removed)
        return;
    struct event_table *t = &vm->events;
    e->removed = true;
    forget(t->lists[e->kind].events, t->lists[e->kind].count, e);
    forget(t->waiting, t->waiting_count, e);
    if (t->firing)
        forget(t->matches, t->match_count, e);
    changed(vm);
}
