/* The hot operations: functions h_NAME that exec.c inlines into its loop, one per entry of HOT_OPS.
 *
 * Each form is a constant-folded instance of a general function; those with memory are there for
 * each enum ea_form. Everything else is in the
 * instruction families. */
#pragma once

#include "cpu/soft/opcodes.h"
#include "cpu/soft/operand.h"

#define HANDLER static ALWAYS_INLINE int

/* ---- ADD OR ADC SBB AND SUB XOR CMP TEST MOV ---- */

enum alu {
    ALU_add,
    ALU_or,
    ALU_adc,
    ALU_sbb,
    ALU_and,
    ALU_sub,
    ALU_xor,
    ALU_cmp,
    ALU_test,
    ALU_mov
};

static ALWAYS_INLINE uint64_t alu_compute(struct soft_cpu *c, enum alu op, uint64_t a, uint64_t b,
                                          unsigned size)
{
    switch (op) {
    case ALU_add:
        return host_add(c, a, b, size);
    case ALU_adc:
        return host_adc(c, a, b, size);
    case ALU_sub:
    case ALU_cmp:
        return host_sub(c, a, b, size);
    case ALU_sbb:
        return host_sbb(c, a, b, size);
    case ALU_and:
    case ALU_test:
        return host_and(c, a, b, size);
    case ALU_or:
        return host_or(c, a, b, size);
    case ALU_xor:
        return host_xor(c, a, b, size);
    default:
        return b;
    }
}

static ALWAYS_INLINE bool alu_reads(enum alu op)
{
    return op != ALU_mov;
}

static ALWAYS_INLINE bool alu_writes(enum alu op)
{
    return op != ALU_cmp && op != ALU_test;
}

/* Destination register, source given. */
static ALWAYS_INLINE int alu_to_reg(struct soft_cpu *c, enum alu op, unsigned dst, uint64_t b,
                                    unsigned size)
{
    uint64_t a = alu_reads(op) ? reg_get(c, dst, size) : 0;
    uint64_t r = alu_compute(c, op, a, b, size);
    if (alu_writes(op))
        reg_set(c, dst, size, r);
    return 0;
}

static ALWAYS_INLINE int alu_from_mem(struct soft_cpu *c, const struct insn *i, enum ea_form form,
                                      enum alu op, unsigned size)
{
    uint64_t b;
    int st = load_of(c, i, form, size, &b);
    if (UNLIKELY(st < 0))
        return st;
    return alu_to_reg(c, op, i->reg, b, size) | st;
}

static ALWAYS_INLINE int alu_to_mem(struct soft_cpu *c, const struct insn *i, enum ea_form form,
                                    enum alu op, uint64_t b, unsigned size)
{
    uint64_t a, va;
    int st;
    if (!alu_reads(op))
        return store_of(c, i, form, size, b);
    if (!alu_writes(op)) {
        st = load_of(c, i, form, size, &a);
        if (UNLIKELY(st < 0))
            return st;
        alu_compute(c, op, a, b, size);
        return st;
    }
    st = load_rmw_of(c, i, form, size, &a, &va);
    if (UNLIKELY(st < 0))
        return st;
    /* The flags change only if the store succeeds, which load_rmw_of has made sure of. */
    uint64_t r = alu_compute(c, op, a, b, size);
    c->cur = i;
    return store(c, va, size, r) | st;
}

#define ALU_HANDLERS(op, size)                                                              \
    HANDLER h_##op##_rr_##size(struct soft_cpu *c, const struct insn *i)                    \
    {                                                                                       \
        return alu_to_reg(c, ALU_##op, i->rm, reg_get(c, i->reg, size), size);              \
    }                                                                                       \
    HANDLER h_##op##_rm_##size(struct soft_cpu *c, const struct insn *i, enum ea_form form) \
    {                                                                                       \
        return alu_from_mem(c, i, form, ALU_##op, size);                                    \
    }                                                                                       \
    HANDLER h_##op##_mr_##size(struct soft_cpu *c, const struct insn *i, enum ea_form form) \
    {                                                                                       \
        return alu_to_mem(c, i, form, ALU_##op, reg_get(c, i->reg, size), size);            \
    }                                                                                       \
    HANDLER h_##op##_ri_##size(struct soft_cpu *c, const struct insn *i)                    \
    {                                                                                       \
        return alu_to_reg(c, ALU_##op, i->rm, (uint64_t)i->imm, size);                      \
    }                                                                                       \
    HANDLER h_##op##_mi_##size(struct soft_cpu *c, const struct insn *i, enum ea_form form) \
    {                                                                                       \
        return alu_to_mem(c, i, form, ALU_##op, (uint64_t)i->imm, size);                    \
    }

#define FOUR_SIZES(M, op) M(op, 1) M(op, 2) M(op, 4) M(op, 8)

FOUR_SIZES(ALU_HANDLERS, add)
FOUR_SIZES(ALU_HANDLERS, or)
FOUR_SIZES(ALU_HANDLERS, adc)
FOUR_SIZES(ALU_HANDLERS, sbb)
FOUR_SIZES(ALU_HANDLERS, and)
FOUR_SIZES(ALU_HANDLERS, sub)
FOUR_SIZES(ALU_HANDLERS, xor)
FOUR_SIZES(ALU_HANDLERS, cmp)
FOUR_SIZES(ALU_HANDLERS, test)
FOUR_SIZES(ALU_HANDLERS, mov)

/* ---- NOT NEG INC DEC ---- */

enum unary { UNARY_not, UNARY_neg, UNARY_inc, UNARY_dec };

static ALWAYS_INLINE uint64_t unary_compute(struct soft_cpu *c, enum unary op, uint64_t a,
                                            unsigned size)
{
    switch (op) {
    case UNARY_not:
        return ~a;
    case UNARY_neg:
        return host_neg(c, a, 0, size);
    case UNARY_inc: /* CF stays */
        return host_inc(c, a, 0, size);
    default:
        return host_dec(c, a, 0, size);
    }
}

static ALWAYS_INLINE int unary_mem(struct soft_cpu *c, const struct insn *i, enum ea_form form,
                                   enum unary op, unsigned size)
{
    uint64_t a, va;
    int st = load_rmw_of(c, i, form, size, &a, &va);
    if (UNLIKELY(st < 0))
        return st;
    uint64_t r = unary_compute(c, op, a, size);
    c->cur = i;
    return store(c, va, size, r) | st;
}

#define UNARY_HANDLERS(op, size)                                                           \
    HANDLER h_##op##_r_##size(struct soft_cpu *c, const struct insn *i)                    \
    {                                                                                      \
        uint64_t r = unary_compute(c, UNARY_##op, reg_get(c, i->rm, size), size);          \
        reg_set(c, i->rm, size, r);                                                        \
        return 0;                                                                          \
    }                                                                                      \
    HANDLER h_##op##_m_##size(struct soft_cpu *c, const struct insn *i, enum ea_form form) \
    {                                                                                      \
        return unary_mem(c, i, form, UNARY_##op, size);                                    \
    }

FOUR_SIZES(UNARY_HANDLERS, not )
FOUR_SIZES(UNARY_HANDLERS, neg)
FOUR_SIZES(UNARY_HANDLERS, inc)
FOUR_SIZES(UNARY_HANDLERS, dec)

/* ---- shifts and rotates ---- */

static ALWAYS_INLINE uint64_t shift_compute(struct soft_cpu *c, unsigned kind, uint64_t a,
                                            unsigned count, unsigned size)
{
    unsigned bits = 8 * size;
    count &= size == 8 ? 63 : 31;
    if (count == 0)
        return a;
    uint64_t r, top = 1ULL << (bits - 1);
    bool cf;
    switch (kind) {
    case SHIFT_SHL:
        r = count >= bits ? 0 : a << count;
        cf = count <= bits && (a >> (bits - count) & 1);
        flags_result(c, r, size, cf, cf ^ !!(r & top));
        return r;
    case SHIFT_SHR:
        r = count >= bits ? 0 : a >> count;
        cf = count <= bits && (a >> (count - 1) & 1);
        flags_result(c, r, size, cf, a & top);
        return r;
    case SHIFT_SAR: {
        int64_t s = (int64_t)sign_extend(a, size);
        r = (uint64_t)(s >> (count >= bits ? bits - 1 : count));
        cf = s >> (count > bits ? bits - 1 : count - 1) & 1;
        flags_result(c, r, size, cf, false);
        return r;
    }
    case SHIFT_ROL:
        count &= bits - 1;
        r = count ? a << count | a >> (bits - count) : a;
        flags_set_co(c, r & 1, (r & 1) ^ !!(r & top));
        return r;
    default: /* SHIFT_ROR */
        count &= bits - 1;
        r = count ? a >> count | a << (bits - count) : a;
        flags_set_co(c, r & top, !!(r & top) ^ !!(r & top >> 1));
        return r;
    }
}

#define SHIFT_ONE(op, kind, size)                                                      \
    HANDLER h_##op##_ri_##size(struct soft_cpu *c, const struct insn *i)               \
    {                                                                                  \
        uint64_t a = reg_get(c, i->rm, size);                                          \
        reg_set(c, i->rm, size, shift_compute(c, kind, a, (unsigned)i->imm, size));    \
        return 0;                                                                      \
    }                                                                                  \
    HANDLER h_##op##_rc_##size(struct soft_cpu *c, const struct insn *i)               \
    {                                                                                  \
        uint64_t a = reg_get(c, i->rm, size);                                          \
        reg_set(c, i->rm, size, shift_compute(c, kind, a, (unsigned)c->r[RCX], size)); \
        return 0;                                                                      \
    }
#define SHIFT_HANDLERS(op, kind) \
    SHIFT_ONE(op, kind, 1) SHIFT_ONE(op, kind, 2) SHIFT_ONE(op, kind, 4) SHIFT_ONE(op, kind, 8)

SHIFT_HANDLERS(shl, SHIFT_SHL)
SHIFT_HANDLERS(shr, SHIFT_SHR)
SHIFT_HANDLERS(sar, SHIFT_SAR)
SHIFT_HANDLERS(rol, SHIFT_ROL)
SHIFT_HANDLERS(ror, SHIFT_ROR)

/* ---- moves that widen, LEA, CMOV, SETcc ---- */

#define MOVZX_HANDLERS(src)                                                             \
    HANDLER h_movzx_r##src(struct soft_cpu *c, const struct insn *i)                    \
    {                                                                                   \
        c->r[i->rm] = reg_get(c, i->reg, src);                                          \
        return 0;                                                                       \
    }                                                                                   \
    HANDLER h_movzx_m##src(struct soft_cpu *c, const struct insn *i, enum ea_form form) \
    {                                                                                   \
        uint64_t v;                                                                     \
        int st = load_of(c, i, form, src, &v);                                          \
        if (LIKELY(st >= 0))                                                            \
            c->r[i->rm] = v;                                                            \
        return st;                                                                      \
    }
MOVZX_HANDLERS(1)
MOVZX_HANDLERS(2)

#define MOVSX_HANDLERS(src, dst)                                                                \
    HANDLER h_movsx_r##src##_##dst(struct soft_cpu *c, const struct insn *i)                    \
    {                                                                                           \
        reg_set(c, i->rm, dst, sign_extend(reg_get(c, i->reg, src), src));                      \
        return 0;                                                                               \
    }                                                                                           \
    HANDLER h_movsx_m##src##_##dst(struct soft_cpu *c, const struct insn *i, enum ea_form form) \
    {                                                                                           \
        uint64_t v;                                                                             \
        int st = load_of(c, i, form, src, &v);                                                  \
        if (LIKELY(st >= 0))                                                                    \
            reg_set(c, i->rm, dst, sign_extend(v, src));                                        \
        return st;                                                                              \
    }
MOVSX_HANDLERS(1, 4)
MOVSX_HANDLERS(2, 4)
MOVSX_HANDLERS(1, 8)
MOVSX_HANDLERS(2, 8)

HANDLER h_movsxd_r(struct soft_cpu *c, const struct insn *i)
{
    c->r[i->rm] = (uint64_t)(int32_t)c->r[i->reg];
    return 0;
}

HANDLER h_movsxd_m(struct soft_cpu *c, const struct insn *i, enum ea_form form)
{
    uint64_t v;
    int st = load_of(c, i, form, 4, &v);
    if (LIKELY(st >= 0))
        c->r[i->reg] = (uint64_t)(int32_t)v;
    return st;
}

static ALWAYS_INLINE uint64_t lea_offset(const struct soft_cpu *c, const struct insn *i,
                                         enum ea_form form)
{
    return form == EA_PLAIN ? c->r[i->base] + (uint64_t)(int64_t)i->disp : ea_offset(c, i);
}

HANDLER h_lea_8(struct soft_cpu *c, const struct insn *i, enum ea_form form)
{
    c->r[i->reg] = lea_offset(c, i, form);
    return 0;
}

HANDLER h_lea_4(struct soft_cpu *c, const struct insn *i, enum ea_form form)
{
    c->r[i->reg] = (uint32_t)lea_offset(c, i, form);
    return 0;
}

/* A 32-bit CMOV clears the upper half whether or not it moves; the memory form always reads. */
#define CMOV_HANDLERS(size)                                                               \
    HANDLER h_cmov_rr_##size(struct soft_cpu *c, const struct insn *i)                    \
    {                                                                                     \
        uint64_t v = reg_get(c, i->reg, size), old = reg_get(c, i->rm, size);             \
        reg_set(c, i->rm, size, condition(c, (unsigned)i->imm) ? v : old);                \
        return 0;                                                                         \
    }                                                                                     \
    HANDLER h_cmov_rm_##size(struct soft_cpu *c, const struct insn *i, enum ea_form form) \
    {                                                                                     \
        uint64_t v;                                                                       \
        int st = load_of(c, i, form, size, &v);                                           \
        if (LIKELY(st >= 0))                                                              \
            reg_set(c, i->reg, size,                                                      \
                    condition(c, (unsigned)i->imm) ? v : reg_get(c, i->reg, size));       \
        return st;                                                                        \
    }
CMOV_HANDLERS(4)
CMOV_HANDLERS(8)

HANDLER h_setcc_r(struct soft_cpu *c, const struct insn *i)
{
    reg_set(c, i->rm, 1, condition(c, (unsigned)i->imm));
    return 0;
}

HANDLER h_nop(struct soft_cpu *c, const struct insn *i)
{
    (void)c;
    (void)i;
    return 0;
}

/* ---- IMUL ---- */

static ALWAYS_INLINE uint64_t imul_compute(struct soft_cpu *c, uint64_t a, uint64_t b,
                                           unsigned size)
{
    int64_t r;
    bool over;
    if (size == 8) {
        over = __builtin_mul_overflow((int64_t)a, (int64_t)b, &r);
    } else {
        r = (int64_t)sign_extend(a, size) * (int64_t)sign_extend(b, size);
        over = (int64_t)sign_extend((uint64_t)r, size) != r;
    }
    flags_result(c, (uint64_t)r, size, over, over);
    return (uint64_t)r;
}

#define IMUL_HANDLERS(size)                                                                    \
    HANDLER h_imul_rr_##size(struct soft_cpu *c, const struct insn *i)                         \
    {                                                                                          \
        uint64_t r = imul_compute(c, reg_get(c, i->rm, size), reg_get(c, i->reg, size), size); \
        reg_set(c, i->rm, size, r);                                                            \
        return 0;                                                                              \
    }                                                                                          \
    HANDLER h_imul_rm_##size(struct soft_cpu *c, const struct insn *i, enum ea_form form)      \
    {                                                                                          \
        uint64_t b;                                                                            \
        int st = load_of(c, i, form, size, &b);                                                \
        if (UNLIKELY(st < 0))                                                                  \
            return st;                                                                         \
        reg_set(c, i->reg, size, imul_compute(c, reg_get(c, i->reg, size), b, size));          \
        return st;                                                                             \
    }
IMUL_HANDLERS(4)
IMUL_HANDLERS(8)

/* ---- the stack, in 64-bit mode ---- */

static ALWAYS_INLINE int push8(struct soft_cpu *c, const struct insn *i, uint64_t v)
{
    uint64_t sp = c->r[RSP] - 8;
    c->cur = i;
    int st = store(c, sp, 8, v);
    if (UNLIKELY(st < 0))
        return raise_stack_fault(c);
    c->r[RSP] = sp;
    return st;
}

static ALWAYS_INLINE int pop8(struct soft_cpu *c, const struct insn *i, uint64_t *v)
{
    c->cur = i;
    int st = load(c, c->r[RSP], 8, v);
    if (UNLIKELY(st < 0))
        return raise_stack_fault(c);
    c->r[RSP] += 8;
    return st;
}

HANDLER h_push_r8(struct soft_cpu *c, const struct insn *i)
{
    return push8(c, i, c->r[i->reg]);
}

HANDLER h_push_i8(struct soft_cpu *c, const struct insn *i)
{
    return push8(c, i, (uint64_t)i->imm);
}

HANDLER h_pop_r8(struct soft_cpu *c, const struct insn *i)
{
    uint64_t v;
    int st = pop8(c, i, &v);
    if (LIKELY(st >= 0))
        c->r[i->rm] = v; /* POP RSP: the value wins over the increment */
    return st;
}

/* ---- branches, in 64-bit mode ---- */

static ALWAYS_INLINE uint64_t next_rip(const struct soft_cpu *c, const struct insn *i)
{
    return c->r[REG_RIP] + i->next_off;
}

/* The branch itself faults on a target that is not canonical, before it has any effect. */
HANDLER h_ret8(struct soft_cpu *c, const struct insn *i)
{
    uint64_t to;
    int st = pop8(c, i, &to);
    if (UNLIKELY(st < 0))
        return st;
    if (UNLIKELY(!is_canonical(to))) {
        c->r[RSP] -= 8;
        return raise_error(c, VEC_GP, 0);
    }
    c->rip = to;
    return X_JUMP;
}

HANDLER h_jmp_r(struct soft_cpu *c, const struct insn *i)
{
    uint64_t to = c->r[i->rm];
    if (UNLIKELY(!is_canonical(to)))
        return raise_error(c, VEC_GP, 0);
    c->rip = to;
    return X_JUMP;
}

HANDLER h_call_r(struct soft_cpu *c, const struct insn *i)
{
    uint64_t to = c->r[i->rm];
    if (UNLIKELY(!is_canonical(to)))
        return raise_error(c, VEC_GP, 0);
    int st = push8(c, i, next_rip(c, i));
    if (UNLIKELY(st < 0))
        return st;
    c->rip = to;
    return X_JUMP;
}
