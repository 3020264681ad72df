/* Telling hooks what the guest does, as far as KVM lets us know: execution and writes by the
 * processor's four breakpoints, MSRs by a filter that makes their accesses exit.
 *
 * The processor says of a write when it has happened, so it can be neither replaced nor dropped,
 * and it knows no breakpoint on reads alone. KVM has nothing to tell of exceptions and CPUID. While
 * any breakpoint is set the guest's own debug registers rest. Facts: Linux
 * Documentation/virt/kvm/api.rst (KVM_SET_GUEST_DEBUG, KVM_X86_SET_MSR_FILTER), SDM vol. 3
 * chapter 17.2.
 *
 * Everything runs with the machine lock held, on the vcpu's thread or while it does not run. */
#include "cpu/kvm/kvm_internal.h"

#include "base/bits.h"
#include "base/log.h"

#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>

enum {
    DR7_FIXED = 0x600, /* LE and bit 10 */
    FILTER_MSRS_MAX = 8 * KVM_MSR_FILTER_MAX_BITMAP_SIZE,
};

#define DR6_BS 0x4000ULL

/* ---- what the processor is asked for ---- */

static bool add_slot(struct kvm_stop_points *b, uint64_t addr, unsigned size, bool data)
{
    if (b->count == KVM_BREAKPOINTS)
        return false;
    b->slots[b->count++] = (struct kvm_stop_point){ addr, size, data };
    return true;
}

static bool add_exec(struct kvm_stop_points *b, const struct vcpu_range *r)
{
    for (uint64_t n = 0; n <= r->last - r->first; n++)
        if (!add_slot(b, r->first + n, 1, false))
            return false;
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

static bool plan(const struct vcpu_watch *w, struct kvm_stop_points *b, struct error *err)
{
    bool fits = true;

    b->count = 0;
    for (size_t n = 0; n < w->exec.count && fits; n++)
        fits = add_exec(b, &w->exec.range[n]);
    for (size_t n = 0; n < w->data.count && fits; n++)
        fits = add_data(b, &w->data.range[n]);
    if (fits)
        return true;
    return error_set(err,
                     "kvm: the processor has %d breakpoints and all are in use; an exec hook takes "
                     "one for each address, a write hook one for each aligned 1, 2, 4 or 8 bytes: "
                     "remove one, or use --accel soft",
                     KVM_BREAKPOINTS);
}

bool kvm_debug_fits(struct vcpu *vcpu, const struct vcpu_watch *w, struct error *err)
{
    struct kvm_stop_points unused;

    return plan(w, &unused, err);
}

/* Execution at a breakpoint just told of is passed by a single step without those on execution.
 * Interrupts wait during a step where the kernel can have them wait: it is to get to the next
 * instruction, not into a handler. */
bool kvm_set_breakpoints(const struct accel *a, int vcpu_fd, const struct kvm_stop_points *b,
                         enum kvm_stepping step)
{
    static const uint8_t lengths[] = { [1] = 0, [2] = 1, [4] = 3, [8] = 2 };
    int known = ioctl(a->kvm_fd, KVM_CHECK_EXTENSION, KVM_CAP_SET_GUEST_DEBUG2);
    struct kvm_guest_debug d = { .control = 0 };

    if (b->count)
        d.control = KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_HW_BP;
    if (step)
        d.control |= KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP |
                     (known > 0 ? known & KVM_GUESTDBG_BLOCKIRQ : 0);
    d.arch.debugreg[7] = DR7_FIXED;
    for (unsigned n = 0; n < b->count; n++) {
        const struct kvm_stop_point *s = &b->slots[n];
        uint64_t kind = s->data | (uint64_t)lengths[s->size] << 2;

        d.arch.debugreg[n] = s->addr;
        if (s->data || step != KVM_STEP_OVER)
            d.arch.debugreg[7] |= 2ULL << (2 * n) | kind << (16 + 4 * n);
    }
    return kvm_ioctl(vcpu_fd, KVM_SET_GUEST_DEBUG, &d) == 0;
}

static void arm(struct kvm_vcpu *v, bool over)
{
    enum kvm_stepping step = over ? KVM_STEP_OVER : v->steps ? KVM_STEP : KVM_NO_STEP;

    v->stepping = over;
    kvm_state_flush(v); /* the kernel looks at rip and rflags */
    if (!kvm_set_breakpoints(v->accel, v->fd, &v->breakpoints, step))
        log_host(LOG_ERROR, "kvm", "cannot set breakpoints: %s", strerror(errno));
}

/* Bits of the bitmap are what passes: none of them. Where the ranges are too many or too long every
 * access exits, and what nobody asked for is done here. */
bool kvm_set_msr_filter(int vm_fd, const struct vcpu_ranges *msrs)
{
    static const uint8_t none[KVM_MSR_FILTER_MAX_BITMAP_SIZE];
    struct kvm_enable_cap cap = { .cap = KVM_CAP_X86_USER_SPACE_MSR,
                                  .args[0] = KVM_MSR_EXIT_REASON_FILTER };
    struct kvm_msr_filter f = { .flags = KVM_MSR_FILTER_DEFAULT_ALLOW };
    bool few = msrs->count <= KVM_MSR_FILTER_MAX_RANGES;

    for (size_t n = 0; n < msrs->count && few; n++)
        few = msrs->range[n].last - msrs->range[n].first < FILTER_MSRS_MAX;
    if (!few)
        f.flags = KVM_MSR_FILTER_DEFAULT_DENY;
    for (size_t n = 0; n < (few ? msrs->count : 1); n++)
        f.ranges[n] = (struct kvm_msr_filter_range){
            .flags = KVM_MSR_FILTER_READ | KVM_MSR_FILTER_WRITE,
            .base = (uint32_t)msrs->range[n].first,
            .nmsrs = few ? (uint32_t)(msrs->range[n].last - msrs->range[n].first + 1) : 1,
            .bitmap = (uint8_t *)none,
        };
    return kvm_ioctl(vm_fd, KVM_ENABLE_CAP, &cap) == 0 &&
           kvm_ioctl(vm_fd, KVM_X86_SET_MSR_FILTER, &f) == 0;
}

void kvm_debug_watch(struct vcpu *vcpu, const struct vcpu_watch *w)
{
    struct kvm_vcpu *v = kvm_vcpu_of(vcpu);
    struct kvm_stop_points wanted;
    struct error err;

    if (!plan(w, &wanted, &err)) {
        log_host(LOG_ERROR, "kvm", "%s", err.text);
        return;
    }
    bool any = wanted.count || v->breakpoints.count;
    v->breakpoints = wanted;
    if (any)
        arm(v, v->stepping);
    if ((w->msr.count || v->msr_filtered) && !kvm_set_msr_filter(v->accel->vm_fd, &w->msr))
        log_host(LOG_ERROR, "kvm", "cannot watch MSRs: %s", strerror(errno));
    v->msr_filtered = w->msr.count;
}

void kvm_debug_step(struct vcpu *vcpu, uint64_t count)
{
    struct kvm_vcpu *v = kvm_vcpu_of(vcpu);

    if (v->steps == count)
        return;
    v->steps = count;
    arm(v, v->stepping);
}

/* ---- exits ---- */

static uint64_t linear_rip(struct kvm_vcpu *v)
{
    struct kvm_regs r = { 0 };
    struct kvm_sregs s = { 0 };

    kvm_vcpu_get_regs(&v->vcpu, &r, NULL);
    kvm_vcpu_get_sregs(&v->vcpu, &s, NULL);
    return s.cs.base + r.rip;
}

void kvm_debug_before_run(struct kvm_vcpu *v)
{
    if (v->stepping && linear_rip(v) != v->told)
        arm(v, false);
}

void kvm_debug_halted(struct kvm_vcpu *v)
{
    if (v->stepping)
        arm(v, false);
}

static enum vcpu_verdict tell_write(struct kvm_vcpu *v, const struct kvm_stop_point *s)
{
    uint64_t gpa, value = 0;

    if (kvm_vcpu_translate(&v->vcpu, s->addr, &gpa))
        address_space_read(v->vcpu.machine->memory, gpa, &value, s->size);
    return v->vcpu.event_ops->access(v->vcpu.event_opaque, &v->vcpu, s->addr, s->size, true,
                                     &value);
}

static enum vcpu_verdict tell_exec(struct kvm_vcpu *v, uint64_t va)
{
    const struct vcpu_event_ops *ops = v->vcpu.event_ops;
    enum vcpu_verdict verdict = VCPU_GO;

    if (ops->exec_wanted(v->vcpu.event_opaque, &v->vcpu, va))
        verdict = ops->exec(v->vcpu.event_opaque, &v->vcpu, va);
    v->told = va;
    if (linear_rip(v) == va) /* unless somebody has moved it */
        arm(v, true);
    return verdict;
}

/* An instruction has been stepped over. */
static enum vcpu_verdict count_step(struct kvm_vcpu *v)
{
    bool last = v->steps == 1;

    v->steps -= v->steps != 0;
    arm(v, false); /* a breakpoint at the next instruction fires by itself */
    return last ? v->vcpu.event_ops->stepped(v->vcpu.event_opaque, &v->vcpu) : VCPU_GO;
}

/* #DB that is the guest's own affair. */
static void give_back(struct kvm_vcpu *v, uint64_t dr6)
{
    struct kvm_vcpu_events e;
    struct kvm_debugregs d;

    if (kvm_ioctl(v->fd, KVM_GET_DEBUGREGS, &d) == 0) {
        d.dr6 = dr6;
        kvm_ioctl(v->fd, KVM_SET_DEBUGREGS, &d);
    }
    if (kvm_ioctl(v->fd, KVM_GET_VCPU_EVENTS, &e) == 0) {
        e.flags = 0;
        e.exception.injected = 1;
        e.exception.nr = 1;
        e.exception.has_error_code = 0;
        kvm_ioctl(v->fd, KVM_SET_VCPU_EVENTS, &e);
    }
}

bool kvm_debug_exit(struct kvm_vcpu *v)
{
    const struct kvm_debug_exit_arch *at = &v->run->debug.arch;
    const struct kvm_stop_points b = v->breakpoints; /* a callback may change them */
    enum vcpu_verdict verdict = VCPU_GO, answer;
    bool stepped = (v->stepping || v->steps) && at->dr6 & DR6_BS, ours = stepped;

    v->vcpu.machine->current_cpu = v->vcpu.port;
    if (stepped)
        verdict = count_step(v);
    for (unsigned n = 0; n < b.count; n++) { /* of the instruction that is done */
        if (!b.slots[n].data || !(at->dr6 >> n & 1))
            continue;
        ours = true;
        answer = tell_write(v, &b.slots[n]);
        verdict = answer > verdict ? answer : verdict;
    }
    for (unsigned n = 0; n < b.count; n++) { /* of the one that comes */
        if (stepped || b.slots[n].data || b.slots[n].addr != at->pc || linear_rip(v) != at->pc)
            continue;
        ours = true;
        answer = tell_exec(v, at->pc);
        verdict = answer > verdict ? answer : verdict;
        break;
    }
    v->vcpu.machine->current_cpu = NULL;
    if (!ours)
        give_back(v, at->dr6);
    return verdict != VCPU_STOP;
}

/* The access is completed by the next KVM_RUN: a stop has to wait for that. */
void kvm_debug_exit_msr(struct kvm_vcpu *v, bool write)
{
    struct kvm_run *run = v->run;
    uint64_t value = run->msr.data;
    enum vcpu_verdict verdict = VCPU_GO;

    v->vcpu.machine->current_cpu = v->vcpu.port;
    run->msr.error = !write && !kvm_vcpu_get_msr(&v->vcpu, run->msr.index, &value, NULL);
    if (!run->msr.error)
        verdict =
            v->vcpu.event_ops->msr(v->vcpu.event_opaque, &v->vcpu, run->msr.index, write, &value);
    if (!write)
        run->msr.data = value;
    else if (verdict != VCPU_DROP)
        run->msr.error = !kvm_vcpu_set_msr(&v->vcpu, run->msr.index, value, NULL);
    v->vcpu.machine->current_cpu = NULL;
    if (verdict == VCPU_STOP) {
        v->stop_wanted = true;
        kvm_vcpu_kick(&v->vcpu);
    }
}
