/* MONITOR and MWAIT (SDM vol. 3 9.10.4): HLT that a write to a line of 64 bytes ends too.
 *
 * The line is compared with what it was at MONITOR: when MWAIT begins, and whenever another cpu has
 * had its turn. What a device writes is seen then, or with the interrupt that it raises. A write of
 * the same value is not seen. There are no extensions: ECX is 0. */
#include "cpu/soft/operand.h"
#include "cpu/soft/segment.h"
#include "cpu/soft/tracing.h"

enum { LINE = 64 };

static int check(struct soft_cpu *c)
{
    if (c->cpl)
        return raise_exception(c, VEC_UD);
    return (uint32_t)c->r[RCX] ? raise_error(c, VEC_GP, 0) : 0;
}

static bool changed(const struct monitor *m)
{
    return m->line && memcmp(m->was, m->line, LINE) != 0;
}

int op_monitor(struct soft_cpu *c, const struct insn *i)
{
    uint64_t va, byte;
    int st = check(c);
    if (st || (st = ea_at(c, i, c->r[RAX], 1, false, &va)) || (st = load(c, va, 1, &byte)) < 0)
        return st < 0 ? st : X_FAULT;
    struct monitor *m = &c->monitor;
    *m = (struct monitor){ .armed = true };
    if (mmu_translate_quiet(c, va & ~(uint64_t)(LINE - 1), &m->gpa))
        m->line = mmu_memory(c, m->gpa, LINE);
    if (m->line)
        memcpy(m->was, m->line, LINE);
    return 0;
}

int op_mwait(struct soft_cpu *c, const struct insn *i)
{
    (void)i;
    int st = check(c);
    if (st)
        return st;
    if (!c->monitor.armed || changed(&c->monitor))
        return X_BREAK;
    c->monitor.armed = false;
    if (!c->monitor.line) /* it cannot be watched: look again soon */
        return soft_yield(c);
    c->monitor.waits = true;
    c->halted = true;
    c->stats.exits_halt++;
    TRACE(soft_trace, SOFT_TRACE_HALT, soft_source(c), !!(c->eflags & FLAG_IF));
    soft_recheck(c);
    return X_BREAK;
}

/* Go on, as if it had been written. */
static void end_wait(struct soft_cpu *c)
{
    if (c->monitor.waits && c->halted) {
        c->halted = false;
        vcpu_wake(&c->vcpu);
    }
    c->monitor.waits = false;
}

void monitor_remap(struct soft_cpu *c)
{
    struct monitor *m = &c->monitor;
    if (m->line && mmu_memory(c, m->gpa, LINE) == m->line)
        return;
    m->armed = false;
    end_wait(c);
}

void monitor_look(struct accel *a)
{
    for (unsigned n = 0; n < a->cpu_count; n++) {
        struct soft_cpu *c = a->cpus[n];
        if (c->monitor.waits && (!c->halted || changed(&c->monitor)))
            end_wait(c);
    }
}
