/* Telling hooks, the monitor and a debugger what the cpu does.
 *
 * Nothing here costs a cpu that nobody watches. An instruction at a point is decoded with the
 * handler `point`, which asks; pages with a watched range carry TLB_WATCH and miss the fast path;
 * the other events come from instructions that are slow anyway. Callbacks run under the machine
 * lock. */
#include "cpu/soft/soft_cpu.h"

static void obey(struct soft_cpu *c, enum vcpu_verdict v)
{
    if (v == VCPU_STOP) {
        c->stop_wanted = true;
        soft_recheck(c);
    }
}

void soft_watch(struct vcpu *v, const struct vcpu_watch *w)
{
    struct soft_cpu *c = soft_of(v);
    c->watch = *w;
    if (w->exec_changed)
        code_flush_all(c);
    if (w->data_changed)
        mmu_flush(c);
    soft_recheck(c);
}

/* ---- execution ---- */

/* Points are linear addresses, and decoded code is found by where it lies in RAM: where there are
 * points, it is decoded for each page of linear addresses by itself. */
uint64_t watch_points(const struct soft_cpu *c, uint64_t va)
{
    uint64_t page = va & ~0xfffULL;
    return c->watch.exec.count && vcpu_ranges_meet(&c->watch.exec, page, page | 0xfff) ? page + 1
                                                                                       : 0;
}

bool watch_is_point(const struct soft_cpu *c, uint64_t va)
{
    return vcpu_ranges_meet(&c->watch.exec, va, va);
}

void watch_tell_exec(struct soft_cpu *c)
{
    uint64_t va = c->rip + c->ea_base[SEG_CS];
    c->told_at = c->icount;
    c->told_rip = va;
    enter_machine(c);
    obey(c, c->vcpu.event_ops->exec(c->vcpu.event_opaque, &c->vcpu, va));
    leave_machine(c);
}

/* ---- data ---- */

bool watch_covers_page(const struct soft_cpu *c, uint64_t va)
{
    return vcpu_ranges_meet(&c->watch.data, va & ~0xfffULL, va | 0xfff);
}

bool watch_tell_access(struct soft_cpu *c, uint64_t va, unsigned size, bool write, uint64_t *value)
{
    if (!vcpu_ranges_meet(&c->watch.data, va, va + size - 1))
        return true;
    enter_machine(c);
    enum vcpu_verdict v =
        c->vcpu.event_ops->access(c->vcpu.event_opaque, &c->vcpu, va, size, write, value);
    leave_machine(c);
    obey(c, v);
    return v != VCPU_DROP;
}

/* ---- the rest ---- */

bool watch_tell_exception(struct soft_cpu *c)
{
    if (!(c->watch.events & VCPU_EVENT_EXCEPTION))
        return true;
    enter_machine(c);
    enum vcpu_verdict v = c->vcpu.event_ops->exception(
        c->vcpu.event_opaque, &c->vcpu, c->exc.vector, c->exc.has_error ? c->exc.error : 0);
    leave_machine(c);
    obey(c, v);
    return v != VCPU_DROP;
}

bool watch_tell_msr(struct soft_cpu *c, uint32_t index, bool write, uint64_t *value)
{
    if (!(c->watch.events & VCPU_EVENT_MSR))
        return true;
    enter_machine(c);
    enum vcpu_verdict v =
        c->vcpu.event_ops->msr(c->vcpu.event_opaque, &c->vcpu, index, write, value);
    leave_machine(c);
    obey(c, v);
    return v != VCPU_DROP;
}

void watch_tell_cpuid(struct soft_cpu *c, uint32_t leaf, uint32_t subleaf, uint32_t regs[4])
{
    if (!(c->watch.events & VCPU_EVENT_CPUID))
        return;
    enter_machine(c);
    obey(c, c->vcpu.event_ops->cpuid(c->vcpu.event_opaque, &c->vcpu, leaf, subleaf, regs));
    leave_machine(c);
}
