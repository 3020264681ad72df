/* The stack: pushes and pops in every size, frames, flags, segment registers. */
#include "cpu/soft/operand.h"
#include "cpu/soft/segment.h"

int op_push(struct soft_cpu *c, const struct insn *i)
{
    uint64_t v;
    int st = 0;
    if (i->flags & INSN_MEM)
        st = mem_load(c, i, i->size, &v);
    else
        v = reg_get(c, i->rm, i->size);
    return st < 0 ? st : push(c, i->size, v) | st;
}

int op_push_imm(struct soft_cpu *c, const struct insn *i)
{
    return push(c, i->size, (uint64_t)i->imm);
}

/* POP m computes its address with the stack pointer already raised. */
int op_pop(struct soft_cpu *c, const struct insn *i)
{
    uint64_t v, sp = c->r[RSP];
    int st = pop(c, i->size, &v);
    if (st < 0)
        return st;
    if (!(i->flags & INSN_MEM)) {
        reg_set(c, i->rm, i->size, v);
        return st;
    }
    int st2 = mem_store(c, i, i->size, v);
    if (st2 < 0)
        c->r[RSP] = sp;
    return st2 < 0 ? st2 : st | st2;
}

int op_pusha(struct soft_cpu *c, const struct insn *i)
{
    static const uint8_t order[] = { RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI };
    uint64_t sp = c->r[RSP];
    int st = 0;
    for (unsigned n = 0; n < 8 && st >= 0; n++)
        st = push(c, i->size, order[n] == RSP ? sp : c->r[order[n]]) | (st > 0);
    if (st < 0)
        c->r[RSP] = sp;
    return st;
}

int op_popa(struct soft_cpu *c, const struct insn *i)
{
    static const uint8_t order[] = { RDI, RSI, RBP, RSP, RBX, RDX, RCX, RAX };
    uint64_t sp = c->r[RSP], v[8];
    int st = 0;
    for (unsigned n = 0; n < 8; n++) {
        int one = pop(c, i->size, &v[n]);
        if (one < 0) {
            c->r[RSP] = sp;
            return one;
        }
        st |= one;
    }
    for (unsigned n = 0; n < 8; n++)
        if (order[n] != RSP)
            reg_set(c, order[n], i->size, v[n]);
    return st;
}

int op_pushf(struct soft_cpu *c, const struct insn *i)
{
    uint64_t flags = eflags_get(c) & ~(uint64_t)(FLAG_VM | FLAG_RF);
    if ((c->eflags & FLAG_VM) && (c->eflags & FLAG_IOPL) != FLAG_IOPL) {
        if (!v86_extended(c, i->size))
            return raise_error(c, VEC_GP, 0);
        flags = v86_flags(flags);
    }
    return push(c, i->size, flags);
}

int op_popf(struct soft_cpu *c, const struct insn *i)
{
    return pop_flags(c, i->size);
}

/* ENTER faults where a push below the new frame's end would: SDM vol. 2. */
static int probe_stack(struct soft_cpu *c, uint64_t sp, unsigned size)
{
    uint64_t va = sp;
    if (!code64(c)) {
        va = (uint32_t)(sp + c->seg[SEG_SS].base);
        if (segment_check(c, SEG_SS, sp, size, true))
            return X_FAULT;
    }
    int st = mmu_probe_write(c, va, size);
    return st && code64(c) ? raise_stack_fault(c) : st;
}

/* Copy a frame's address from the frame at `bp` of before, whose level it is. */
static int copy_frame(struct soft_cpu *c, uint64_t bp, unsigned size)
{
    uint64_t v, va = bp & bits_mask(8 * stack_size(c));
    if (!code64(c)) {
        int st = segment_check(c, SEG_SS, va, size, false);
        if (st)
            return st;
        va = (uint32_t)(va + c->seg[SEG_SS].base);
    }
    int st = load(c, va, size, &v);
    if (st < 0)
        return raise_stack_fault(c);
    int pushed = push(c, size, v);
    return pushed < 0 ? pushed : st | pushed;
}

int op_enter(struct soft_cpu *c, const struct insn *i)
{
    unsigned bytes = (uint16_t)i->imm, level = i->imm >> 16 & 31, n = i->size;
    uint64_t sp = c->r[RSP], bp = c->r[RBP], frame = 0;
    int st = 0;
    for (unsigned k = 0; k <= level; k++) {
        int one = k == 0       ? push(c, n, bp)
                  : k == level ? push(c, n, frame)
                               : copy_frame(c, bp - k * n, n);
        if (one < 0) {
            c->r[RSP] = sp;
            return one;
        }
        st |= one;
        frame = k ? frame : c->r[RSP];
    }
    uint64_t new_sp = c->r[RSP] - bytes;
    if (probe_stack(c, new_sp & bits_mask(8 * stack_size(c)), n)) {
        c->r[RSP] = sp;
        return X_FAULT;
    }
    reg_set(c, RBP, n, frame);
    reg_set(c, RSP, stack_size(c), new_sp);
    return st;
}

int op_leave(struct soft_cpu *c, const struct insn *i)
{
    uint64_t sp = c->r[RSP], v;
    reg_set(c, RSP, stack_size(c), c->r[RBP]);
    int st = pop(c, i->size, &v);
    if (st < 0) {
        c->r[RSP] = sp;
        return st;
    }
    reg_set(c, RBP, i->size, v);
    return st;
}

int op_push_seg(struct soft_cpu *c, const struct insn *i)
{
    return push(c, i->size, c->seg[insn_arg(i)].sel);
}

int op_pop_seg(struct soft_cpu *c, const struct insn *i)
{
    uint64_t v, sp = c->r[RSP];
    int st = pop(c, i->size, &v);
    if (st < 0)
        return st;
    unsigned seg = insn_arg(i);
    int st2 = load_segment(c, seg, (uint16_t)v);
    if (st2) {
        c->r[RSP] = sp;
        return st2;
    }
    if (seg == SEG_SS)
        cast_ss_shadow(c);
    return X_BREAK;
}
