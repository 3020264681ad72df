/* Telling hooks what the guest does, as far as KVM lets us know: execution by the processor's four
 * breakpoints and by traps (pages.c), data by those breakpoints and by pages whose accesses exit,
 * MSRs by a filter that makes theirs exit. plan.c decides which.
 *
 * The processor says of a write when it has happened, so it can be neither replaced nor dropped.
 * KVM has nothing to tell of exceptions and CPUID. While any breakpoint is set the guest's own
 * debug registers rest. Facts: Linux Documentation/virt/kvm/api.rst (KVM_SET_GUEST_DEBUG,
 * KVM_X86_SET_MSR_FILTER), SDM vol. 3 chapter 17.2.
 *
 * What has been told of before it executes is passed by a single step: without the breakpoint on
 * it, with its traps taken out, and with the other vcpus out of the guest meanwhile. An instruction
 * that faults leads into a handler instead, without the flag that makes the processor step; a timer
 * sees to it that this is noticed. Guests that step themselves: tf.c.
 *
 * Everything runs with the machine lock held, on the vcpu's thread or while it does not run. */
#define _GNU_SOURCE /* SIGEV_THREAD_ID */
#include "cpu/kvm/debug.h"

#include "base/bits.h"
#include "base/log.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum {
    DR7_FIXED = 0x600, /* LE and bit 10 */
    DR7_GD = 0x2000,
    FILTER_MSRS_MAX = 8 * KVM_MSR_FILTER_MAX_BITMAP_SIZE,
    VECTOR_DB = 1,
    VECTOR_BP = 3,
    STEP_NS = 1000000,    /* how long a step may take before somebody looks */
    PENDING_NS = 5000000, /* how long a watched page may be mapped without anybody noticing */
};

#define DR6_BS    0x4000ULL
#define DR6_FIXED 0xffff0ff0ULL

/* ---- what the processor is asked for ---- */

/* Execution at a breakpoint just told of is passed by a single step without it: others, of a
 * handler that it leads to, stay. Interrupts wait during a step where the kernel can have them
 * wait: it is to get to the next instruction, not into a handler. */
bool kvm_set_breakpoints(const struct accel *a, int vcpu_fd, const struct kvm_stop_points *b,
                         bool traps, enum kvm_stepping step, uint64_t told)
{
    static const uint8_t lengths[] = { [1] = 0, [2] = 1, [4] = 3, [8] = 2 };
    int known = ioctl(a->kvm_fd, KVM_CHECK_EXTENSION, KVM_CAP_SET_GUEST_DEBUG2);
    struct kvm_guest_debug d = { .control = 0 };

    if (b->count || traps)
        d.control = KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_HW_BP;
    if (traps && a->trap == KVM_INSN_INT3)
        d.control |= KVM_GUESTDBG_USE_SW_BP;
    if (step)
        d.control |= KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP |
                     (known > 0 ? known & KVM_GUESTDBG_BLOCKIRQ : 0);
    d.arch.debugreg[7] = DR7_FIXED;
    for (unsigned n = 0; n < b->count; n++) {
        const struct kvm_stop_point *s = &b->slots[n];
        uint64_t kind = s->data | (uint64_t)lengths[s->size] << 2;

        d.arch.debugreg[n] = s->addr;
        if (s->data || step != KVM_STEP_OVER || s->addr != told)
            d.arch.debugreg[7] |= 2ULL << (2 * n) | kind << (16 + 4 * n);
    }
    return kvm_ioctl(vcpu_fd, KVM_SET_GUEST_DEBUG, &d) == 0;
}

static void arm(struct kvm_vcpu *v, bool over)
{
    enum kvm_stepping step = over ? KVM_STEP_OVER : v->steps ? KVM_STEP : KVM_NO_STEP;

    v->stepping = over;
    v->traps_armed = v->accel->pages.traps;
    if (step)
        kvm_tf_arm(v);
    kvm_state_flush(v); /* the kernel looks at rip and rflags */
    if (!kvm_set_breakpoints(v->accel, v->fd, &v->breakpoints, v->traps_armed, step, v->told))
        log_host(LOG_ERROR, "kvm", "cannot set breakpoints: %s", strerror(errno));
    if (!step)
        kvm_tf_disarm(v);
}

/* The instruction that was to be stepped over has led into a handler. */
static void left_for_handler(struct kvm_vcpu *v)
{
    kvm_tf_handler(v);
    arm(v, false);
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
    struct kvm_pages *pages = &v->accel->pages;
    struct kvm_plan plan;
    struct error err;

    kvm_plan_make(v, w, &plan);
    if (!kvm_plan_check(v->accel, &plan, &err)) /* vm_event_add() asks before */
        log_host(LOG_ERROR, "kvm", "%s", err.text);
    bool any =
        plan.points.count || v->breakpoints.count || plan.traps || pages->traps || v->traps_armed;
    v->breakpoints = plan.points;
    if (plan.traps || plan.datas || plan.readses || pages->places)
        kvm_places_watch(v, &(struct vcpu_ranges){ plan.trap, plan.traps },
                         &(struct vcpu_ranges){ plan.data, plan.datas },
                         &(struct vcpu_ranges){ plan.reads, plan.readses });
    kvm_plan_free(&plan);
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

bool kvm_debug_holds_interrupts(const struct kvm_vcpu *v)
{
    return v->stepping || v->steps;
}

/* ---- around the guest ---- */

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

/* A signal of this thread's own every so often, or none. */
static void set_timer(struct kvm_vcpu *v, int64_t period_ns)
{
    struct sigevent event = { .sigev_notify = SIGEV_THREAD_ID, .sigev_signo = kvm_kick_signal() };
    struct itimerspec period = { .it_value.tv_nsec = period_ns, .it_interval.tv_nsec = period_ns };

    if (!period_ns && !v->timed)
        return;
    if (v->timer_made && v->timer_thread != gettid())
        kvm_debug_free(v);
    event._sigev_un._tid = v->timer_thread = gettid();
    if (!v->timer_made && timer_create(CLOCK_MONOTONIC, &event, &v->timer) != 0)
        return; /* then it is noticed at the next exit */
    v->timer_made = true;
    v->timed = period_ns && timer_settime(v->timer, 0, &period, NULL) == 0;
    if (!period_ns)
        timer_settime(v->timer, 0, &period, NULL);
}

void kvm_debug_free(struct kvm_vcpu *v)
{
    if (v->timer_made)
        timer_delete(v->timer);
    v->timer_made = v->timed = false;
}

void kvm_debug_begin(struct kvm_vcpu *v)
{
    struct kvm_pages *pages = &v->accel->pages;

    v->crowded = false;
    if (pages->places) {
        kvm_pages_refresh(v);
        kvm_places_look(v);
        v->crowded = v->stepping && !kvm_be_alone(v);
        if (v->stepping && !v->crowded)
            v->lifted = kvm_pages_lift(v, v->told);
    }
    if (v->stepping || v->steps) {
        v->step_from = linear_rip(v);
        kvm_tf_begin(v, v->step_from);
    }
    set_timer(v, v->lifted ? STEP_NS : pages->pending ? PENDING_NS : 0);
}

void kvm_debug_end(struct kvm_vcpu *v, bool interrupted)
{
    if (v->lifted)
        kvm_pages_put_back(v->accel);
    v->lifted = false;
    if (v->accel->alone == v)
        v->accel->alone = NULL;
    if (interrupted && v->stepping && linear_rip(v) != v->told)
        left_for_handler(v);
}

/* ---- telling ---- */

static enum vcpu_verdict tell_access(struct kvm_vcpu *v, uint64_t va, unsigned size, bool write,
                                     uint64_t *value)
{
    return v->vcpu.event_ops->access(v->vcpu.event_opaque, &v->vcpu, va, size, write, value);
}

static enum vcpu_verdict tell_late_write(struct kvm_vcpu *v, const struct kvm_stop_point *s)
{
    uint64_t gpa, value = 0;
    enum vcpu_verdict verdict;

    if (kvm_vcpu_translate(&v->vcpu, s->addr, &gpa))
        address_space_read(v->vcpu.machine->memory, gpa, &value, s->size);
    v->vcpu.late = true;
    verdict = tell_access(v, s->addr, s->size, true, &value);
    v->vcpu.late = false;
    return verdict;
}

static enum vcpu_verdict tell_exec(struct kvm_vcpu *v, uint64_t va)
{
    const struct vcpu_event_ops *ops = v->vcpu.event_ops;
    enum vcpu_verdict verdict = VCPU_GO;

    v->vcpu.machine->current_cpu = v->vcpu.port;
    if (ops->exec_wanted(v->vcpu.event_opaque, &v->vcpu, va))
        verdict = ops->exec(v->vcpu.event_opaque, &v->vcpu, va);
    v->vcpu.machine->current_cpu = NULL;
    if (v->stepping && va - v->step_from > KVM_INSN_MAX)
        kvm_tf_handler(v); /* of the one before */
    v->told = va;
    if (linear_rip(v) == va) /* unless somebody has moved it */
        arm(v, true);
    return verdict;
}

/* An exception that is the guest's own affair. A processor enters the handler of #DB with GD off
 * (SDM vol. 3 17.2.4); the kernel does so for those that it raises itself. */
static void give_back(struct kvm_vcpu *v, int vector, uint64_t dr6)
{
    struct kvm_vcpu_events e;
    struct kvm_debugregs d;

    kvm_state_flush(v); /* setting registers ends events */
    if (vector == VECTOR_DB && kvm_ioctl(v->fd, KVM_GET_DEBUGREGS, &d) == 0) {
        d.dr6 = dr6;
        d.dr7 &= ~(uint64_t)DR7_GD;
        kvm_ioctl(v->fd, KVM_SET_DEBUGREGS, &d);
    }
    if (kvm_ioctl(v->fd, KVM_GET_VCPU_EVENTS, &e) == 0) {
        e.flags = 0;
        e.exception.injected = 1;
        e.exception.nr = (uint8_t)vector;
        e.exception.has_error_code = 0;
        kvm_ioctl(v->fd, KVM_SET_VCPU_EVENTS, &e);
    }
}

/* An instruction has been stepped over; *traced: the guest was tracing it, too. */
static enum vcpu_verdict count_step(struct kvm_vcpu *v, bool *traced)
{
    bool last = v->steps == 1;

    *traced = kvm_tf_stepped(v);
    v->steps -= v->steps != 0;
    arm(v, false); /* a breakpoint at the next instruction fires by itself */
    if (*traced)
        give_back(v, VECTOR_DB, DR6_FIXED | DR6_BS);
    return last ? v->vcpu.event_ops->stepped(v->vcpu.event_opaque, &v->vcpu) : VCPU_GO;
}

/* ---- exits ---- */

/* INT3: a trap, the guest's own (which may be under a trap that has been stepped over), or a trap
 * that is not there any more. */
static bool exit_int3(struct kvm_vcpu *v, uint64_t pc)
{
    uint8_t code[2] = { 0 };

    if (!(v->stepping && v->told == pc) && kvm_pages_trap_at(v, pc))
        return tell_exec(v, pc) != VCPU_STOP;
    kvm_pages_peek(v, pc, code, sizeof code);
    if (code[0] == KVM_INSN_INT3 || (code[0] == 0xcd && code[1] == VECTOR_BP)) {
        if (v->stepping)
            arm(v, false);
        give_back(v, VECTOR_BP, 0);
    }
    return true;
}

/* Hardware breakpoints: those on data are of the instruction that is done, those on execution of
 * the one that comes. */
static bool tell_points(struct kvm_vcpu *v, bool stepped, enum vcpu_verdict *verdict)
{
    const struct kvm_debug_exit_arch at = v->run->debug.arch;
    const struct kvm_stop_points b = v->breakpoints; /* a callback may change them */
    enum vcpu_verdict answer;
    bool any = false;

    for (unsigned n = 0; n < b.count; n++) {
        if (!b.slots[n].data || !(at.dr6 >> n & 1))
            continue;
        any = true;
        answer = tell_late_write(v, &b.slots[n]);
        *verdict = answer > *verdict ? answer : *verdict;
    }
    for (unsigned n = 0; n < b.count; n++) {
        if (stepped || b.slots[n].data || !(at.dr6 >> n & 1) || b.slots[n].addr != at.pc ||
            linear_rip(v) != at.pc)
            continue;
        answer = tell_exec(v, at.pc);
        *verdict = answer > *verdict ? answer : *verdict;
        return true;
    }
    return any;
}

bool kvm_debug_exit(struct kvm_vcpu *v)
{
    const struct kvm_debug_exit_arch at = v->run->debug.arch;
    enum vcpu_verdict verdict = VCPU_GO;
    bool stepped = (v->stepping || v->steps) && at.dr6 & DR6_BS, traced;

    if (at.exception == VECTOR_BP)
        return exit_int3(v, at.pc);
    v->vcpu.machine->current_cpu = v->vcpu.port;
    if (stepped)
        verdict = count_step(v, &traced);
    bool ours = tell_points(v, stepped, &verdict) || stepped;
    v->vcpu.machine->current_cpu = NULL;
    if (!ours && v->strays && at.dr6 & DR6_BS)
        kvm_tf_swallow(v);
    else if (!ours)
        give_back(v, VECTOR_DB, at.dr6);
    return verdict != VCPU_STOP;
}

static void stop_after_access(struct kvm_vcpu *v, enum vcpu_verdict verdict)
{
    if (verdict != VCPU_STOP)
        return;
    v->stop_wanted = true;
    kvm_vcpu_kick(&v->vcpu);
}

/* When the kernel emulates a write that exits, it tells of no step: it has been made all the same.
 * Or it is an access of a handler. */
void kvm_debug_accessed(struct kvm_vcpu *v)
{
    bool traced;

    if ((!v->stepping && !v->steps) || linear_rip(v) == v->step_from)
        return;
    if (linear_rip(v) - v->step_from > KVM_INSN_MAX)
        left_for_handler(v);
    if (v->stepping || v->steps)
        stop_after_access(v, count_step(v, &traced));
}

bool kvm_debug_exit_halt(struct kvm_vcpu *v, bool *go)
{
    struct kvm_regs r;
    uint64_t pc;

    *go = true;
    if (v->accel->trap == KVM_INSN_HLT && v->accel->pages.traps) {
        pc = linear_rip(v) - 1;
        if (!(v->stepping && v->told == pc) && kvm_pages_trap_at(v, pc) &&
            kvm_vcpu_get_regs(&v->vcpu, &r, NULL)) {
            r.rip--;
            kvm_vcpu_set_regs(&v->vcpu, &r, NULL);
            *go = tell_exec(v, pc) != VCPU_STOP;
            return false;
        }
    }
    bool traced = false; /* then #DB ends the halt at once */
    if (v->stepping || v->steps)
        *go = count_step(v, &traced) != VCPU_STOP;
    return !traced;
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
    stop_after_access(v, verdict);
}

/* False: it is dropped. */
static bool tell_mmio(struct kvm_vcpu *v, uint64_t va)
{
    struct kvm_run *run = v->run;
    uint64_t value = 0;
    enum vcpu_verdict verdict;

    memcpy(&value, run->mmio.data, run->mmio.len);
    verdict = tell_access(v, va, run->mmio.len, run->mmio.is_write, &value);
    memcpy(run->mmio.data, &value, run->mmio.len);
    stop_after_access(v, verdict);
    return verdict != VCPU_DROP;
}

/* The kernel emulates an access that exits, and then asks no breakpoint of the processor. */
bool kvm_debug_exit_mmio(struct kvm_vcpu *v)
{
    const struct kvm_run *run = v->run;
    const struct kvm_stop_points b = v->breakpoints;
    uint64_t gpa = run->mmio.phys_addr, at, va;
    size_t from = 0;

    for (unsigned n = 0; run->mmio.is_write && n < b.count; n++) {
        const struct kvm_stop_point *s = &b.slots[n];
        if (s->data && kvm_vcpu_translate(&v->vcpu, s->addr, &at) && at < gpa + run->mmio.len &&
            gpa < at + s->size && !tell_mmio(v, s->addr + (gpa - at)))
            return false;
    }
    while (kvm_places_data_at(v->accel, gpa, run->mmio.len, run->mmio.is_write, &from, &va))
        if (!tell_mmio(v, va))
            return false;
    return true;
}
