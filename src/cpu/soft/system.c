/* System instructions: interrupts and HLT, segment registers, MSRs, time, ports. Control and debug
 * registers are control.c, descriptor tables tables.c. */
#include "cpu/soft/operand.h"
#include "cpu/soft/segment.h"
#include "cpu/soft/tracing.h"

/* ---- interrupts and halting ---- */

int op_hlt(struct soft_cpu *c, const struct insn *i)
{
    (void)i;
    if (need_ring0(c))
        return X_FAULT;
    c->halted = true;
    c->monitor.waits = false;
    c->stats.exits_halt++;
    TRACE(soft_trace, SOFT_TRACE_HALT, soft_source(c), !!(c->eflags & FLAG_IF));
    soft_recheck(c);
    return X_BREAK;
}

int op_cli(struct soft_cpu *c, const struct insn *i)
{
    (void)i;
    uint64_t flag = interrupt_flag(c);
    if (!flag)
        return raise_error(c, VEC_GP, 0);
    c->eflags &= ~flag;
    return X_BREAK;
}

int op_sti(struct soft_cpu *c, const struct insn *i)
{
    (void)i;
    uint64_t flag = interrupt_flag(c);
    if (!flag || (flag == FLAG_VIF && (c->eflags & FLAG_VIP)))
        return raise_error(c, VEC_GP, 0);
    if (flag == FLAG_IF && !(c->eflags & FLAG_IF))
        cast_shadow(c);
    c->eflags |= flag;
    return X_BREAK;
}

/* ---- segment registers ---- */

int op_mov_to_seg(struct soft_cpu *c, const struct insn *i)
{
    uint64_t v;
    unsigned seg = i->reg & 7;
    if (seg == SEG_CS || seg >= SEG_COUNT)
        return raise_exception(c, VEC_UD);
    int st = rm_load(c, i, 2, &v);
    if (st < 0)
        return st;
    int st2 = load_segment(c, seg, (uint16_t)v);
    if (st2)
        return st2;
    if (seg == SEG_SS)
        cast_ss_shadow(c);
    return X_BREAK;
}

int op_mov_from_seg(struct soft_cpu *c, const struct insn *i)
{
    unsigned seg = i->reg & 7;
    if (seg >= SEG_COUNT)
        return raise_exception(c, VEC_UD);
    return rm_store(c, i, i->flags & INSN_MEM ? 2 : i->size, c->seg[seg].sel);
}

/* ---- caches ---- */

int op_wbinvd(struct soft_cpu *c, const struct insn *i)
{
    (void)i;
    return need_ring0(c);
}

/* ---- MSRs, CPUID, time ---- */

int op_rdmsr(struct soft_cpu *c, const struct insn *i)
{
    uint64_t v = 0;
    (void)i;
    if (need_ring0(c))
        return X_FAULT;
    if (!msr_exists(c, (uint32_t)c->r[RCX]) || !msr_read(c, (uint32_t)c->r[RCX], &v))
        return raise_error(c, VEC_GP, 0);
    watch_tell_msr(c, (uint32_t)c->r[RCX], false, &v);
    c->r[RAX] = (uint32_t)v;
    c->r[RDX] = v >> 32;
    return X_BREAK;
}

int op_wrmsr(struct soft_cpu *c, const struct insn *i)
{
    (void)i;
    if (need_ring0(c))
        return X_FAULT;
    uint64_t v = c->r[RDX] << 32 | (uint32_t)c->r[RAX];
    if (!msr_exists(c, (uint32_t)c->r[RCX]))
        return raise_error(c, VEC_GP, 0);
    if (watch_tell_msr(c, (uint32_t)c->r[RCX], true, &v) &&
        !msr_write_by_guest(c, (uint32_t)c->r[RCX], v))
        return raise_error(c, VEC_GP, 0);
    TRACE(soft_trace, SOFT_TRACE_MSR_WRITE, soft_source(c), (uint32_t)c->r[RCX], v);
    return X_BREAK;
}

int op_rdpmc(struct soft_cpu *c, const struct insn *i)
{
    (void)i;
    return raise_error(c, VEC_GP, 0); /* CPUID announces no counters */
}

int op_cpuid(struct soft_cpu *c, const struct insn *i)
{
    uint32_t out[4];
    (void)i;
    cpuid_query(c, (uint32_t)c->r[RAX], (uint32_t)c->r[RCX], out);
    watch_tell_cpuid(c, (uint32_t)c->r[RAX], (uint32_t)c->r[RCX], out);
    c->r[RAX] = out[0];
    c->r[RBX] = out[1];
    c->r[RCX] = out[2];
    c->r[RDX] = out[3];
    return c->stop_wanted ? X_BREAK : 0;
}

int op_rdtsc(struct soft_cpu *c, const struct insn *i)
{
    (void)i;
    if ((c->cr4 & CR4_TSD) && c->cpl)
        return raise_error(c, VEC_GP, 0);
    uint64_t t = soft_tsc(c);
    c->r[RAX] = (uint32_t)t;
    c->r[RDX] = t >> 32;
    return 0;
}

int op_rdtscp(struct soft_cpu *c, const struct insn *i)
{
    int st = op_rdtsc(c, i);
    if (!st)
        c->r[RCX] = (uint32_t)c->tsc_aux;
    return st;
}

int op_swapgs(struct soft_cpu *c, const struct insn *i)
{
    (void)i;
    if (need_ring0(c))
        return X_FAULT;
    uint64_t t = c->seg[SEG_GS].base;
    c->seg[SEG_GS].base = c->kernel_gs_base;
    c->kernel_gs_base = t;
    update_mode(c);
    return X_BREAK;
}

int op_rdpid(struct soft_cpu *c, const struct insn *i)
{
    reg_set(c, i->rm, i->size, (uint32_t)c->tsc_aux);
    return 0;
}

/* ---- bases of FS and GS: RDFSBASE, RDGSBASE, WRFSBASE, WRGSBASE; the segment is the row's ---- */

static int need_fsgsbase(struct soft_cpu *c)
{
    return c->cr4 & CR4_FSGSBASE ? 0 : raise_exception(c, VEC_UD);
}

int op_rdsegbase(struct soft_cpu *c, const struct insn *i)
{
    if (need_fsgsbase(c))
        return X_FAULT;
    reg_set(c, i->rm, i->size, c->seg[insn_arg(i)].base);
    return 0;
}

int op_wrsegbase(struct soft_cpu *c, const struct insn *i)
{
    uint64_t v = reg_get(c, i->rm, i->size);
    if (need_fsgsbase(c))
        return X_FAULT;
    if (!is_canonical(v))
        return raise_error(c, VEC_GP, 0);
    c->seg[insn_arg(i)].base = v;
    update_mode(c);
    return 0;
}

/* ---- random numbers: SplitMix64, from the machine's seed, a stream for each cpu ---- */

static int random_number(struct soft_cpu *c, const struct insn *i)
{
    uint64_t z = c->random += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    reg_set(c, i->rm, i->size, z ^ z >> 31);
    flags_set(c, FLAG_CF);
    return 0;
}

int op_rdrand(struct soft_cpu *c, const struct insn *i)
{
    return random_number(c, i);
}

int op_rdseed(struct soft_cpu *c, const struct insn *i)
{
    return random_number(c, i);
}

/* ---- ports ---- */

static unsigned port_size(const struct insn *i)
{
    return i->size == 8 ? 4 : i->size;
}

static int in(struct soft_cpu *c, const struct insn *i, uint16_t port)
{
    unsigned size = port_size(i);
    uint64_t v;
    int st = check_io_permission(c, port, size);
    if (st)
        return st;
    io_in(c, port, size, &v);
    reg_set(c, RAX, size, v);
    return X_BREAK;
}

static int out(struct soft_cpu *c, const struct insn *i, uint16_t port)
{
    unsigned size = port_size(i);
    int st = check_io_permission(c, port, size);
    if (st)
        return st;
    io_out(c, port, size, reg_get(c, RAX, size));
    return X_BREAK;
}

int op_in_imm(struct soft_cpu *c, const struct insn *i)
{
    return in(c, i, (uint8_t)i->imm);
}

int op_in_dx(struct soft_cpu *c, const struct insn *i)
{
    return in(c, i, (uint16_t)c->r[RDX]);
}

int op_out_imm(struct soft_cpu *c, const struct insn *i)
{
    return out(c, i, (uint8_t)i->imm);
}

int op_out_dx(struct soft_cpu *c, const struct insn *i)
{
    return out(c, i, (uint16_t)c->r[RDX]);
}
