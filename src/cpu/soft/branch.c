/* Branches that the loop does not write out: every one outside of 64-bit mode, far transfers,
 * loops, software interrupts, system calls. */
#include "cpu/soft/operand.h"
#include "cpu/soft/segment.h"

static uint64_t next_of(const struct soft_cpu *c, const struct insn *i)
{
    return c->r[REG_RIP] + i->next_off;
}

/* Go to `rip`, truncated to the operand size outside of 64-bit mode. */
static int go(struct soft_cpu *c, const struct insn *i, uint64_t rip)
{
    if (!code64(c))
        rip = i->size == 2 ? (uint16_t)rip : (uint32_t)rip;
    c->rip = rip;
    return X_JUMP;
}

/* A target is checked before anything is pushed or popped for it. */
static int check_near(struct soft_cpu *c, const struct insn *i, uint64_t rip)
{
    if (code64(c))
        return is_canonical(rip) ? 0 : raise_error(c, VEC_GP, 0);
    rip = i->size == 2 ? (uint16_t)rip : (uint32_t)rip;
    return rip <= c->seg[SEG_CS].limit ? 0 : raise_error(c, VEC_GP, 0);
}

/* Jcc outside of 64-bit mode; the condition is in reg. */
int op_jcc_short_mode(struct soft_cpu *c, const struct insn *i)
{
    if (!condition(c, i->reg))
        return X_BREAK;
    uint64_t to = next_of(c, i) + (uint64_t)i->imm;
    int st = check_near(c, i, to);
    return st ? st : go(c, i, to);
}

int op_jmp_near(struct soft_cpu *c, const struct insn *i)
{
    uint64_t to = next_of(c, i) + (uint64_t)i->imm;
    int st = check_near(c, i, to);
    return st ? st : go(c, i, to);
}

static int call_to(struct soft_cpu *c, const struct insn *i, uint64_t to)
{
    int st = check_near(c, i, to);
    if (st || (st = push(c, i->size, next_of(c, i))) < 0)
        return st;
    return go(c, i, to);
}

int op_call_near(struct soft_cpu *c, const struct insn *i)
{
    return call_to(c, i, next_of(c, i) + (uint64_t)i->imm);
}

int op_call_rm(struct soft_cpu *c, const struct insn *i)
{
    uint64_t to;
    int st = rm_load(c, i, i->size, &to);
    return st < 0 ? st : call_to(c, i, to);
}

int op_jmp_rm(struct soft_cpu *c, const struct insn *i)
{
    uint64_t to;
    int st = rm_load(c, i, i->size, &to);
    if (st < 0 || (st = check_near(c, i, to)) < 0)
        return st;
    return go(c, i, to);
}

static int return_near(struct soft_cpu *c, const struct insn *i, unsigned release)
{
    uint64_t to, sp = c->r[RSP];
    int st = pop(c, i->size, &to);
    if (st < 0)
        return st;
    if ((st = check_near(c, i, to))) {
        c->r[RSP] = sp;
        return st;
    }
    reg_set(c, RSP, stack_size(c), c->r[RSP] + release);
    return go(c, i, to);
}

int op_ret_near(struct soft_cpu *c, const struct insn *i)
{
    return return_near(c, i, 0);
}

int op_ret_imm(struct soft_cpu *c, const struct insn *i)
{
    return return_near(c, i, (uint16_t)i->imm);
}

/* LOOPcc and JCXZ count in rCX of the address size. */
static int loop_if(struct soft_cpu *c, const struct insn *i, bool also)
{
    unsigned asize = insn_asize(i);
    uint64_t count = reg_get(c, RCX, asize) - 1;
    uint64_t to = next_of(c, i) + (uint64_t)i->imm;
    bool taken = (count & bits_mask(8 * asize)) && also;
    if (taken) {
        int st = check_near(c, i, to);
        if (st)
            return st;
    }
    reg_set(c, RCX, asize, count);
    return taken ? go(c, i, to) : X_BREAK;
}

int op_loop(struct soft_cpu *c, const struct insn *i)
{
    return loop_if(c, i, true);
}

int op_loope(struct soft_cpu *c, const struct insn *i)
{
    return loop_if(c, i, flag_zf(c));
}

int op_loopne(struct soft_cpu *c, const struct insn *i)
{
    return loop_if(c, i, !flag_zf(c));
}

int op_jcxz(struct soft_cpu *c, const struct insn *i)
{
    if (reg_get(c, RCX, insn_asize(i)))
        return X_BREAK;
    uint64_t to = next_of(c, i) + (uint64_t)i->imm;
    int st = check_near(c, i, to);
    return st ? st : go(c, i, to);
}

/* ---- far ---- */

static uint16_t far_selector(const struct insn *i)
{
    return (uint16_t)(i->imm >> 32);
}

static uint64_t far_offset(const struct insn *i)
{
    return i->size == 2 ? (uint16_t)i->imm : (uint32_t)i->imm;
}

int op_jmp_far_imm(struct soft_cpu *c, const struct insn *i)
{
    return far_jump(c, far_selector(i), far_offset(i), next_of(c, i));
}

int op_call_far_imm(struct soft_cpu *c, const struct insn *i)
{
    return far_call(c, far_selector(i), far_offset(i), i->size, next_of(c, i));
}

static int load_far(struct soft_cpu *c, const struct insn *i, uint16_t *sel, uint64_t *offset)
{
    uint64_t va, s;
    int st = ea(c, i, i->size + 2u, false, &va);
    if (st || (st = load(c, va, i->size, offset)) < 0 || (st = load(c, va + i->size, 2, &s)) < 0)
        return st;
    *sel = (uint16_t)s;
    return 0;
}

int op_jmp_far_m(struct soft_cpu *c, const struct insn *i)
{
    uint16_t sel;
    uint64_t offset;
    int st = load_far(c, i, &sel, &offset);
    return st ? st : far_jump(c, sel, offset, next_of(c, i));
}

int op_call_far_m(struct soft_cpu *c, const struct insn *i)
{
    uint16_t sel;
    uint64_t offset;
    int st = load_far(c, i, &sel, &offset);
    return st ? st : far_call(c, sel, offset, i->size, next_of(c, i));
}

/* LDS LES LFS LGS LSS; the segment is the row's argument. */
int op_load_far_ptr(struct soft_cpu *c, const struct insn *i)
{
    uint16_t sel;
    uint64_t offset;
    int st = load_far(c, i, &sel, &offset);
    if (st || (st = load_segment(c, insn_arg(i), sel)))
        return st;
    reg_set(c, i->reg, i->size, offset);
    return X_BREAK;
}

int op_ret_far(struct soft_cpu *c, const struct insn *i)
{
    return far_return(c, i->size, 0);
}

int op_ret_far_imm(struct soft_cpu *c, const struct insn *i)
{
    return far_return(c, i->size, (uint16_t)i->imm);
}

int op_iret(struct soft_cpu *c, const struct insn *i)
{
    int st = interrupt_return(c, i->size, next_of(c, i));
    /* Even an IRET that faults lets NMIs in again, in every mode. */
    c->nmi_blocked = false;
    if (c->nmi)
        soft_recheck(c);
    return st;
}

/* ---- software interrupts ---- */

int op_int3(struct soft_cpu *c, const struct insn *i)
{
    return deliver_vector(c, VEC_BP, INT_SOFTWARE, false, 0, next_of(c, i));
}

int op_int_imm(struct soft_cpu *c, const struct insn *i)
{
    if (c->eflags & FLAG_VM) {
        int st = v86_interrupt(c, (uint8_t)i->imm, next_of(c, i));
        if (st)
            return st;
    }
    return deliver_vector(c, (uint8_t)i->imm, INT_SOFTWARE, false, 0, next_of(c, i));
}

int op_into(struct soft_cpu *c, const struct insn *i)
{
    return flag_of(c) ? deliver_vector(c, VEC_OF, INT_SOFTWARE, false, 0, next_of(c, i)) : X_BREAK;
}

int op_int1(struct soft_cpu *c, const struct insn *i)
{
    return deliver_vector(c, VEC_DB, INT_EXCEPTION, false, 0, next_of(c, i));
}

int op_bound(struct soft_cpu *c, const struct insn *i)
{
    uint64_t va, lo, hi;
    int st = ea(c, i, 2u * i->size, false, &va);
    if (st || (st = load(c, va, i->size, &lo)) < 0 ||
        (st = load(c, va + i->size, i->size, &hi)) < 0)
        return st;
    int64_t v = (int64_t)sign_extend(reg_get(c, i->reg, i->size), i->size);
    bool inside = v >= (int64_t)sign_extend(lo, i->size) && v <= (int64_t)sign_extend(hi, i->size);
    return inside ? st : raise_exception(c, VEC_BR);
}

/* ---- system calls: SDM vol. 2, SYSCALL, SYSRET, SYSENTER, SYSEXIT ---- */

static void flat_segments(struct soft_cpu *c, uint16_t cs, uint16_t ss, unsigned cpl, bool code_64)
{
    unsigned dpl = cpl << ATTR_DPL_SHIFT;
    c->cpl = cpl;
    c->seg[SEG_CS] = (struct segment){
        .sel = cs,
        .limit = 0xffffffff,
        .attr = (uint16_t)(ATTR_P | ATTR_S | ATTR_CODE | ATTR_RW | ATTR_ACCESSED | ATTR_G | dpl |
                           (code_64 ? ATTR_L : ATTR_DB)),
    };
    c->seg[SEG_SS] = (struct segment){
        .sel = ss,
        .limit = 0xffffffff,
        .attr = (uint16_t)(ATTR_P | ATTR_S | ATTR_RW | ATTR_ACCESSED | ATTR_G | ATTR_DB | dpl),
    };
    update_mode(c);
}

int op_syscall(struct soft_cpu *c, const struct insn *i)
{
    if (!(c->efer & EFER_SCE) || !long_mode(c) || !code64(c))
        return raise_exception(c, VEC_UD); /* Intel's has no SYSCALL outside of 64-bit mode */
    uint64_t flags = eflags_get(c) & ~(uint64_t)FLAG_RF;
    c->r[RCX] = next_of(c, i);
    c->r[R11] = flags;
    eflags_set(c, flags & ~c->sfmask);
    uint16_t cs = (uint16_t)(c->star >> 32 & 0xfffc);
    flat_segments(c, cs, (uint16_t)(cs + 8), 0, true);
    c->rip = c->lstar;
    return X_JUMP;
}

int op_sysret(struct soft_cpu *c, const struct insn *i)
{
    if (!(c->efer & EFER_SCE) || !code64(c))
        return raise_exception(c, VEC_UD);
    if (c->cpl)
        return raise_error(c, VEC_GP, 0);
    bool to64 = i->size == 8;
    uint64_t rip = to64 ? c->r[RCX] : (uint32_t)c->r[RCX];
    if (!is_canonical(rip))
        return raise_error(c, VEC_GP, 0);
    eflags_set(c, (c->r[R11] & 0x3c7fd7) | FLAG_1);
    uint16_t base = (uint16_t)(c->star >> 48);
    flat_segments(c, (uint16_t)((base + (to64 ? 16 : 0)) | 3), (uint16_t)((base + 8) | 3), 3, to64);
    c->rip = rip;
    soft_recheck(c);
    return X_JUMP;
}

int op_sysenter(struct soft_cpu *c, const struct insn *i)
{
    (void)i;
    if (!protected_mode(c) || !(c->sysenter_cs & 0xfffc))
        return raise_error(c, VEC_GP, 0);
    c->eflags &= ~(uint64_t)(FLAG_VM | FLAG_IF | FLAG_RF);
    uint16_t cs = (uint16_t)(c->sysenter_cs & 0xfffc);
    flat_segments(c, cs, (uint16_t)(cs + 8), 0, long_mode(c));
    c->r[RSP] = long_mode(c) ? c->sysenter_esp : (uint32_t)c->sysenter_esp;
    c->rip = long_mode(c) ? c->sysenter_eip : (uint32_t)c->sysenter_eip;
    return X_JUMP;
}

int op_sysexit(struct soft_cpu *c, const struct insn *i)
{
    if (!protected_mode(c) || c->cpl || !(c->sysenter_cs & 0xfffc))
        return raise_error(c, VEC_GP, 0);
    bool to64 = i->size == 8;
    uint64_t rip = to64 ? c->r[RDX] : (uint32_t)c->r[RDX];
    uint64_t rsp = to64 ? c->r[RCX] : (uint32_t)c->r[RCX];
    if (!is_canonical(rip) || !is_canonical(rsp))
        return raise_error(c, VEC_GP, 0);
    uint16_t cs = (uint16_t)((c->sysenter_cs & 0xfffc) + (to64 ? 32 : 16));
    flat_segments(c, cs | 3, (uint16_t)(cs + 8) | 3, 3, to64);
    c->r[RSP] = rsp;
    c->rip = rip;
    soft_recheck(c);
    return X_JUMP;
}
