/* Telling hooks, the monitor and a debugger what the cpu does.
 *
 * Nothing here costs a cpu that nobody watches. An instruction whose page offset is that of some point is decoded with
 * the handler `point`, which looks closer; pages with a watched range carry TLB_WATCH and miss the fast path; the other
 * events come from instructions that are slow anyway. Callbacks run under the machine lock. */
#include "cpu/soft/soft_cpu.h"

#include "loop/loop.h"

static void lock(struct soft_cpu *c)
{
    machine_lock_take(loop_lock(c->vcpu.machine->loop));
}

static void unlock(struct soft_cpu *c)
{
    machine_lock_release(loop_lock(c->vcpu.machine->loop));
}

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
    bool points = w->point_count || c->watch.point_count;
    c->watch = *w;
    memset(c->point_offsets, 0, sizeof c->point_offsets);
    for (size_t n = 0; n < w->point_count; n++)
        c->point_offsets[w->points[n] / 64 & 63] |= 1ULL << (w->points[n] & 63);
    if (points)
        code_flush_all(c);
    mmu_flush(c);
    soft_recheck(c);
}

/* ---- execution ---- */

static bool have_point(const struct soft_cpu *c, uint64_t va)
{
    size_t lo = 0, hi = c->watch.point_count;
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        if (c->watch.points[mid] < va)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < c->watch.point_count && c->watch.points[lo] == va;
}

bool watch_is_point(const struct soft_cpu *c, uint64_t va)
{
    return have_point(c, va) && !(c->told_at == soft_icount(c) && c->told_rip == va);
}

bool watch_tell_exec(struct soft_cpu *c)
{
    uint64_t va = c->rip + c->ea_base[SEG_CS];
    c->told_at = c->icount;
    c->told_rip = va;
    lock(c);
    obey(c, c->vcpu.event_ops->exec(c->vcpu.event_opaque, &c->vcpu, c->rip));
    unlock(c);
    return !c->stop_wanted;
}

/* ---- data ---- */

bool watch_covers_page(const struct soft_cpu *c, uint64_t va)
{
    uint64_t first = va & ~0xfffULL, last = va | 0xfff;
    for (size_t n = 0; n < c->watch.range_count; n++)
        if (c->watch.ranges[n].first <= last && c->watch.ranges[n].last >= first)
            return true;
    return false;
}

bool watch_tell_access(struct soft_cpu *c, uint64_t va, unsigned size, bool write, uint64_t *value)
{
    uint64_t last = va + size - 1;
    for (size_t n = 0; n < c->watch.range_count; n++) {
        if (c->watch.ranges[n].first > last || c->watch.ranges[n].last < va)
            continue;
        lock(c);
        enum vcpu_verdict verdict = c->vcpu.event_ops->access(c->vcpu.event_opaque, &c->vcpu, va,
                                                              size, write, value);
        unlock(c);
        obey(c, verdict);
        return verdict != VCPU_DROP;
    }
    return true;
}

/* ---- the rest ---- */

bool watch_tell_exception(struct soft_cpu *c)
{
    if (!(c->watch.events & VCPU_EVENT_EXCEPTION))
        return true;
    lock(c);
    enum vcpu_verdict v = c->vcpu.event_ops->exception(
        c->vcpu.event_opaque, &c->vcpu, c->exc.vector, c->exc.has_error ? c->exc.error : 0);
    unlock(c);
    obey(c, v);
    return v != VCPU_DROP;
}

bool watch_tell_msr(struct soft_cpu *c, uint32_t index, bool write, uint64_t *value)
{
    if (!(c->watch.events & VCPU_EVENT_MSR))
        return true;
    lock(c);
    enum vcpu_verdict v =
        c->vcpu.event_ops->msr(c->vcpu.event_opaque, &c->vcpu, index, write, value);
    unlock(c);
    obey(c, v);
    return v != VCPU_DROP;
}

void watch_tell_cpuid(struct soft_cpu *c, uint32_t leaf, uint32_t subleaf, uint32_t regs[4])
{
    if (!(c->watch.events & VCPU_EVENT_CPUID))
        return;
    lock(c);
    obey(c, c->vcpu.event_ops->cpuid(c->vcpu.event_opaque, &c->vcpu, leaf, subleaf, regs));
    unlock(c);
}
