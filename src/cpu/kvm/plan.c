/* Which means serve a watch under KVM.
 *
 * The processor's four breakpoints go to data first (a whole range or none of it), then to
 * execution, in ascending order of addresses; they work in every page and cost nothing. What does
 * not fit, or where a trial has shown that they do not work, is served by traps in copies of pages
 * (execution) and by pages whose accesses exit (data): pages.c. Reads always are. */
#include "cpu/kvm/debug.h"

#include "base/alloc.h"

#include <stdlib.h>
#include <string.h>

/* Long ranges are refused rather than done slowly: a trap for each byte, a slot for each page. */
enum {
    TRAPS_MAX = 1 << 20,
    DATA_MAX = 64 << 20,
    ALWAYS = 256, /* bytes of a range: so many of which are no matter */
};

static bool add_slot(struct kvm_stop_points *b, uint64_t addr, unsigned size, bool data)
{
    if (b->count == KVM_BREAKPOINTS)
        return false;
    b->slots[b->count++] = (struct kvm_stop_point){ addr, size, data };
    return true;
}

/* A breakpoint on data covers 1, 2, 4 or 8 bytes, aligned by their number. */
static bool add_data(struct kvm_stop_points *b, const struct vcpu_range *r)
{
    if (r->last - r->first >= 8 * KVM_BREAKPOINTS)
        return false;
    for (uint64_t at = r->first, left = r->last - at + 1; left;) {
        unsigned size = 8;
        while (size > left || at & (size - 1))
            size /= 2;
        if (!add_slot(b, at, size, true))
            return false;
        at += size;
        left -= size;
    }
    return true;
}

/* Give the processor the ranges that it takes whole and that `but` does not meet; returns how many
 * are left. */
static size_t give_data(struct kvm_stop_points *b, const struct vcpu_ranges *r,
                        const struct vcpu_ranges *but, struct vcpu_range *left)
{
    size_t count = 0;

    for (size_t n = 0; n < r->count; n++) {
        const struct kvm_stop_points before = *b;
        if (!vcpu_ranges_meet(but, r->range[n].first, r->range[n].last) &&
            add_data(b, &r->range[n]))
            continue;
        *b = before;
        left[count++] = r->range[n];
    }
    return count;
}

/* Give it single addresses, of ranges that are no longer than it has breakpoints. */
static size_t give_exec(struct kvm_stop_points *b, const struct vcpu_ranges *r,
                        struct vcpu_range *left)
{
    size_t count = 0;

    for (size_t n = 0; n < r->count; n++) {
        struct vcpu_range rest = r->range[n];
        bool all = false;

        if (rest.last - rest.first < KVM_BREAKPOINTS)
            for (; !all && add_slot(b, rest.first, 1, false); rest.first++)
                all = rest.first == rest.last;
        if (!all)
            left[count++] = rest;
    }
    return count;
}

static size_t give_nothing(const struct vcpu_ranges *r, struct vcpu_range *left)
{
    if (r->count)
        memcpy(left, r->range, r->count * sizeof *left);
    return r->count;
}

static bool check_traps(struct accel *a, const struct kvm_plan *p, struct error *err)
{
    if (!p->traps)
        return true;
    if (!kvm_find_trap(a))
        return error_set(err,
                         "kvm: the processor has %d breakpoints and all are in use; an exec hook "
                         "takes one for each address, because no instruction that software "
                         "breakpoints could be made of exits on this host (a trial has shown): "
                         "remove one, or use --accel soft",
                         KVM_BREAKPOINTS);
    return true;
}

/* Of the ranges, the first page that must have no trap. */
static bool find_forbidden(struct kvm_vcpu *v, const struct vcpu_range *r, size_t count,
                           uint64_t *where)
{
    for (size_t n = 0; n < count && v->accel->trap == KVM_INSN_HLT; n++)
        for (uint64_t va = r[n].first;; va = kvm_page_of(va) + KVM_PAGE) {
            *where = va;
            if (kvm_places_forbidden(v, va))
                return true;
            if (kvm_page_of(va) == kvm_page_of(r[n].last))
                break;
        }
    return false;
}

static bool check_programs(struct kvm_vcpu *v, const struct kvm_plan *p, struct error *err)
{
    uint64_t where;

    if (!find_forbidden(v, p->trap, p->traps, &where))
        return true;
    return error_set(err,
                     "kvm: 0x%llx is in a page of programs; software breakpoints are HLT on this "
                     "host, which programs may not execute, and the processor's %d breakpoints are "
                     "in use or do not work (a trial has shown): use --accel soft",
                     (unsigned long long)where, KVM_BREAKPOINTS);
}

static bool check_data(struct accel *a, const struct kvm_plan *p, struct error *err)
{
    const struct vcpu_ranges traps = { p->trap, p->traps };

    if (p->datas && !kvm_works(a, KVM_TRIAL_TAP))
        return error_set(err,
                         "kvm: the processor has %d breakpoints, a write hook takes one for each "
                         "aligned 1, 2, 4 or 8 bytes, and writes to read-only memory do not exit "
                         "on this host (a trial has shown): remove one, or use --accel soft",
                         KVM_BREAKPOINTS);
    for (size_t n = 0; n < p->readses; n++)
        if (vcpu_ranges_meet(&traps, p->reads[n].first & ~(uint64_t)(KVM_PAGE - 1),
                             p->reads[n].last | (KVM_PAGE - 1)))
            return error_set(err,
                             "kvm: reads of 0x%llx cannot be told of: that needs its page out "
                             "of the guest's reach, and an exec hook says that it holds code; "
                             "accel \"soft\" can",
                             (unsigned long long)p->reads[n].first);
    return true;
}

void kvm_plan_make(struct kvm_vcpu *v, const struct vcpu_watch *w, struct kvm_plan *p)
{
    struct accel *a = v->accel;

    *p = (struct kvm_plan){
        .trap = alloc_zero(w->exec.count + 1, sizeof *p->trap),
        .data = alloc_zero(w->data.count + 1, sizeof *p->data),
        .reads = alloc_zero(w->reads.count + 1, sizeof *p->reads),
    };
    p->readses = give_nothing(&w->reads, p->reads);
    p->datas = w->data.count && kvm_works(a, KVM_TRIAL_WRITE)
                   ? give_data(&p->points, &w->data, &w->reads, p->data)
                   : give_nothing(&w->data, p->data);
    p->traps = w->exec.count && kvm_works(a, KVM_TRIAL_EXEC)
                   ? give_exec(&p->points, &w->exec, p->trap)
                   : give_nothing(&w->exec, p->trap);
}

bool kvm_plan_check(struct accel *a, const struct kvm_plan *p, struct error *err)
{
    return check_traps(a, p, err) && check_data(a, p, err);
}

void kvm_plan_free(struct kvm_plan *p)
{
    free(p->trap);
    free(p->data);
    free(p->reads);
}

bool kvm_debug_fits_always(struct vcpu *vcpu, enum vcpu_event event, uint64_t first, uint64_t last)
{
    struct accel *a = kvm_vcpu_of(vcpu)->accel;

    switch (event) {
    case VCPU_EVENT_EXEC: /* the page may be one whose reads are watched, or of programs */
        return !a->pages.readses && last - first < ALWAYS && kvm_find_trap(a) &&
               !find_forbidden(kvm_vcpu_of(vcpu), &(struct vcpu_range){ first, last }, 1,
                               &(uint64_t){ 0 });
    case VCPU_EVENT_WRITE:
        return last - first < ALWAYS && kvm_works(a, KVM_TRIAL_TAP);
    default:
        return event != VCPU_EVENT_READ;
    }
}

static bool too_long(const struct vcpu_range *r, size_t count, uint64_t max)
{
    uint64_t sum = 0;

    for (size_t n = 0; n < count; n++) {
        if (r[n].last - r[n].first >= max)
            return true;
        sum += r[n].last - r[n].first + 1;
    }
    return sum > max;
}

bool kvm_debug_fits(struct vcpu *vcpu, const struct vcpu_watch *w, struct error *err)
{
    struct kvm_vcpu *v = kvm_vcpu_of(vcpu);
    struct kvm_plan p;

    kvm_plan_make(v, w, &p);
    bool fits = kvm_plan_check(v->accel, &p, err);
    if (fits && too_long(p.trap, p.traps, TRAPS_MAX))
        fits =
            error_set(err,
                      "kvm: exec hooks on more than %d KiB in all, each byte of which would be a "
                      "breakpoint: use a shorter range, or --accel soft",
                      TRAPS_MAX >> 10);
    fits = fits && check_programs(v, &p, err);
    if (fits && (too_long(p.data, p.datas, DATA_MAX) || too_long(p.reads, p.readses, DATA_MAX)))
        fits = error_set(err,
                         "kvm: hooks on more than %d MiB of data: use a shorter range, or --accel "
                         "soft",
                         DATA_MAX >> 20);
    kvm_plan_free(&p);
    return fits;
}

const char *kvm_debug_means(struct vcpu *vcpu, enum vcpu_event event, uint64_t first, uint64_t last)
{
    struct kvm_vcpu *v = kvm_vcpu_of(vcpu);
    const struct kvm_pages *pages = &v->accel->pages;
    bool exec = event == VCPU_EVENT_EXEC;

    for (unsigned n = 0; n < v->breakpoints.count; n++) {
        const struct kvm_stop_point *s = &v->breakpoints.slots[n];
        if (s->data != exec && s->addr <= last && s->addr + s->size > first &&
            event != VCPU_EVENT_READ)
            return "hardware";
    }
    if (!exec && event != VCPU_EVENT_READ && event != VCPU_EVENT_WRITE)
        return event == VCPU_EVENT_MSR ? "filter" : NULL;
    if (!pages->places || !kvm_places_found(v->accel, first, last))
        return "pending";
    return exec ? "software" : "tap";
}
