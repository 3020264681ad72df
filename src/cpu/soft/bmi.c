/* BMI1, BMI2, LZCNT, ADX and MOVBE: integer instructions of later processors (SDM vol. 2).
 *
 * Those with a VEX prefix have E in rm, G in reg and the third operand in vvvv. What the manual
 * calls undefined, AF and PF most of all, falls out of flags.h. */
#include "cpu/soft/operand.h"
#include "cpu/soft/opcodes.h"

/* The source of a G,E instruction: registers are in rm <- reg order, memory goes to reg. */
static int source(struct soft_cpu *c, const struct insn *i, uint64_t *v)
{
    if (i->flags & INSN_MEM)
        return mem_load(c, i, i->size, v);
    *v = reg_get(c, i->reg, i->size);
    return 0;
}

/* ---- counting zeros ---- */

static int count_zeros(struct soft_cpu *c, const struct insn *i, bool leading)
{
    uint64_t v;
    unsigned bits = 8u * i->size, n;
    int st = source(c, i, &v);
    if (st < 0)
        return st;
    if (!v)
        n = bits;
    else if (leading)
        n = (unsigned)__builtin_clzll(v) - (64 - bits);
    else
        n = (unsigned)__builtin_ctzll(v);
    reg_set(c, i->rm, i->size, n);
    flags_result(c, n, i->size, !v, false);
    return st;
}

int op_tzcnt(struct soft_cpu *c, const struct insn *i)
{
    return count_zeros(c, i, false);
}

int op_lzcnt(struct soft_cpu *c, const struct insn *i)
{
    return count_zeros(c, i, true);
}

/* ---- MOVBE ---- */

static uint64_t reversed(uint64_t v, unsigned size)
{
    return __builtin_bswap64(v) >> (64 - 8 * size);
}

int op_movbe_load(struct soft_cpu *c, const struct insn *i)
{
    uint64_t v;
    int st = mem_load(c, i, i->size, &v);
    if (st >= 0)
        reg_set(c, i->rm, i->size, reversed(v, i->size));
    return st;
}

int op_movbe_store(struct soft_cpu *c, const struct insn *i)
{
    return mem_store(c, i, i->size, reversed(reg_get(c, i->reg, i->size), i->size));
}

/* ---- ADX: the carry in and out is CF or OF, which the row says; no other flag changes ---- */

int op_add_carry(struct soft_cpu *c, const struct insn *i)
{
    uint64_t v;
    int st = source(c, i, &v);
    if (st < 0)
        return st;
    bool cf = flag_cf(c), of = flag_of(c), by_cf = insn_arg(i) == FLAG_CF;
    unsigned __int128 sum = (unsigned __int128)reg_get(c, i->rm, i->size) + v + (by_cf ? cf : of);
    bool carry = sum >> (8 * i->size) & 1;
    reg_set(c, i->rm, i->size, (uint64_t)sum);
    flags_set_co(c, by_cf ? carry : cf, by_cf ? of : carry);
    return st;
}

/* ---- with a VEX prefix ---- */

/* E, after what every such instruction looks at first. */
static int vex_source(struct soft_cpu *c, const struct insn *i, uint64_t *v)
{
    c->cur = i;
    int st = vex_check(c);
    return st < 0 ? st : rm_load(c, i, i->size, v);
}

static uint64_t vex_register(const struct soft_cpu *c, const struct insn *i)
{
    return reg_get(c, insn_vvvv(i), i->size);
}

int op_andn(struct soft_cpu *c, const struct insn *i)
{
    uint64_t v;
    int st = vex_source(c, i, &v);
    if (st < 0)
        return st;
    v &= ~vex_register(c, i);
    reg_set(c, i->reg, i->size, v);
    flags_logic(c, v, i->size);
    return st;
}

int op_bextr(struct soft_cpu *c, const struct insn *i)
{
    uint64_t v;
    int st = vex_source(c, i, &v);
    if (st < 0)
        return st;
    uint64_t control = vex_register(c, i);
    unsigned start = control & 0xff, length = control >> 8 & 0xff;
    v = start < 8u * i->size ? v >> start : 0;
    if (length < 64)
        v &= bits_mask(length);
    reg_set(c, i->reg, i->size, v);
    flags_logic(c, v, i->size);
    return st;
}

/* BLSR, BLSMSK, BLSI: the row says which, as ModRM.reg does. */
int op_bls(struct soft_cpu *c, const struct insn *i)
{
    uint64_t v, r;
    int st = vex_source(c, i, &v);
    if (st < 0)
        return st;
    unsigned kind = insn_arg(i);
    r = kind == 1 ? v & (v - 1) : kind == 2 ? v ^ (v - 1) : v & -v;
    reg_set(c, insn_vvvv(i), i->size, r);
    flags_result(c, r, i->size, kind == 3 ? v != 0 : v == 0, false);
    return st;
}

int op_bzhi(struct soft_cpu *c, const struct insn *i)
{
    uint64_t v;
    int st = vex_source(c, i, &v);
    if (st < 0)
        return st;
    unsigned n = vex_register(c, i) & 0xff;
    bool beyond = n >= 8u * i->size;
    if (!beyond)
        v &= bits_mask(n);
    reg_set(c, i->reg, i->size, v);
    flags_result(c, v, i->size, beyond, false);
    return st;
}

int op_mulx(struct soft_cpu *c, const struct insn *i)
{
    uint64_t v;
    int st = vex_source(c, i, &v);
    if (st < 0)
        return st;
    unsigned __int128 product = (unsigned __int128)v * reg_get(c, RDX, i->size);
    reg_set(c, insn_vvvv(i), i->size, (uint64_t)product);
    reg_set(c, i->reg, i->size, (uint64_t)(product >> (8 * i->size)));
    return st;
}

/* The low bits of `v` to the places of the bits of `mask`. */
int op_pdep(struct soft_cpu *c, const struct insn *i)
{
    uint64_t mask, r = 0;
    int st = vex_source(c, i, &mask);
    if (st < 0)
        return st;
    for (uint64_t v = vex_register(c, i); mask; mask &= mask - 1, v >>= 1)
        r |= v & 1 ? mask & -mask : 0;
    reg_set(c, i->reg, i->size, r);
    return st;
}

int op_pext(struct soft_cpu *c, const struct insn *i)
{
    uint64_t mask, r = 0, v = vex_register(c, i);
    int st = vex_source(c, i, &mask);
    if (st < 0)
        return st;
    for (unsigned n = 0; mask; mask &= mask - 1, n++)
        r |= (v >> __builtin_ctzll(mask) & 1) << n;
    reg_set(c, i->reg, i->size, r);
    return st;
}

int op_rorx(struct soft_cpu *c, const struct insn *i)
{
    uint64_t v;
    int st = vex_source(c, i, &v);
    if (st < 0)
        return st;
    unsigned bits = 8u * i->size, n = (unsigned)i->imm & (bits - 1);
    reg_set(c, i->reg, i->size, n ? v >> n | v << (bits - n) : v);
    return st;
}

/* SHLX, SHRX, SARX. */
int op_shift_vex(struct soft_cpu *c, const struct insn *i)
{
    uint64_t v;
    int st = vex_source(c, i, &v);
    if (st < 0)
        return st;
    unsigned n = vex_register(c, i) & (8u * i->size - 1);
    switch (insn_arg(i)) {
    case SHIFT_SHL:
        v <<= n;
        break;
    case SHIFT_SHR:
        v >>= n;
        break;
    default:
        v = (uint64_t)((int64_t)sign_extend(v, i->size) >> n);
        break;
    }
    reg_set(c, i->reg, i->size, v);
    return st;
}
