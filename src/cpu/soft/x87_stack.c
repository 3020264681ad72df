/* The x87's register stack and what is done on it: tags, faults, exceptions, moves, arithmetic (SDM
 * vol. 1 8.1, 8.5).
 *
 * Arithmetic is the host's (x87_host.c). The transcendental operations give the host's results:
 * their last bits may differ between makers of processors. */
#include "cpu/soft/x87_internal.h"

static const struct f80 indefinite = { 0xc000000000000000, 0xffff };

/* ---- the stack ---- */

static unsigned phys(const struct soft_cpu *c, unsigned n)
{
    return (fpu_top(c) + n) & 7;
}

static bool is_empty(const struct soft_cpu *c, unsigned n)
{
    return !(c->fpu.tags >> phys(c, n) & 1);
}

static struct f80 st_get(const struct soft_cpu *c, unsigned n)
{
    struct f80 v = { c->fpu.r[phys(c, n)].mant, c->fpu.r[phys(c, n)].se };
    return v;
}

static void st_set(struct soft_cpu *c, unsigned n, const struct f80 *v)
{
    c->fpu.r[phys(c, n)].mant = v->mant;
    c->fpu.r[phys(c, n)].se = v->se;
    c->fpu.tags |= (uint8_t)(1u << phys(c, n));
}

void x87_free(struct soft_cpu *c, unsigned n)
{
    c->fpu.tags &= (uint8_t) ~(1u << phys(c, n));
}

void x87_pop(struct soft_cpu *c)
{
    x87_free(c, 0);
    fpu_set_top(c, fpu_top(c) + 1);
}

static void st_push_raw(struct soft_cpu *c, const struct f80 *v)
{
    fpu_set_top(c, fpu_top(c) - 1);
    st_set(c, 0, v);
}

/* ---- exceptions ---- */

void x87_set_condition(struct soft_cpu *c, unsigned mask, unsigned bits)
{
    c->fpu.sw = (uint16_t)((c->fpu.sw & ~mask) | (bits & mask));
}

/* Take over the flags of an operation, C1 and of the other condition bits those in `condition`.
 * Returns whether the operation has a result: not when an exception of `fatal` is unmasked. */
static bool commit(struct soft_cpu *c, unsigned host_sw, unsigned condition, unsigned fatal)
{
    bool done = !(host_sw & ~c->fpu.cw & fatal);
    c->fpu.sw |= host_sw & FSW_EXCEPTIONS;
    bool compared = !(host_sw & ~c->fpu.cw & FSW_IE); /* "flags not set if unmasked" */
    x87_set_condition(c, compared ? condition | FSW_C1 : FSW_C1, host_sw);
    fpu_update_es(c);
    return done;
}

/* Found before an operation. One that rounds to a register gives a result even when that overflows.
 */
enum { FATAL_REG = FSW_IE | FSW_DE | FSW_ZE, FATAL_MEM = FSW_EXCEPTIONS & ~FSW_PE };

/* Returns whether the response is the masked one: go on with the indefinite value. */
static bool stack_fault(struct soft_cpu *c, bool overflow)
{
    c->fpu.sw |= FSW_IE | FSW_SF;
    x87_set_condition(c, FSW_C1, overflow ? FSW_C1 : 0);
    fpu_update_es(c);
    return c->fpu.cw & FSW_IE;
}

/* ST(n) was empty where a number was wanted: the masked response is the indefinite value in its
 * result. */
static bool underflow_to(struct soft_cpu *c, unsigned dst)
{
    if (!stack_fault(c, false))
        return false;
    st_set(c, dst, &indefinite);
    return true;
}

static void st_push(struct soft_cpu *c, const struct f80 *v)
{
    if (is_empty(c, 7))
        st_push_raw(c, v);
    else if (stack_fault(c, true))
        st_push_raw(c, &indefinite);
}

/* ---- loads, stores ---- */

void x87_load(struct soft_cpu *c, x87_load_fn *fn, const void *mem)
{
    struct f80 v;
    if (!is_empty(c, 7))
        st_push(c, &indefinite);
    /* A denormal is pushed even when it raises: hosts differ in that, so let them see it masked. */
    else if (commit(c, fn(x87_control(c, FSW_DE), &v, mem), 0, FSW_IE))
        st_push_raw(c, &v);
}

int x87_load_memory(struct soft_cpu *c, const struct insn *i, x87_load_fn *fn, unsigned size)
{
    uint64_t va;
    uint8_t bytes[16];
    int st = ea(c, i, size, false, &va);
    if (st >= 0)
        st = fpu_load_bytes(c, va, bytes, size);
    if (st >= 0)
        x87_load(c, fn, bytes);
    return st;
}

int x87_fld_f80(struct soft_cpu *c, const struct insn *i)
{
    uint64_t va;
    struct f80 v;
    int st = ea(c, i, 10, false, &va);
    if (st >= 0)
        st = fpu_load_bytes(c, va, &v, 10);
    if (st < 0)
        return st;
    x87_set_condition(c, FSW_C1, 0);
    st_push(c, &v);
    return st;
}

/* Nothing of the state changes if memory faults. */
int x87_store_memory(struct soft_cpu *c, const struct insn *i, x87_store_fn *fn, unsigned size,
                     bool pops)
{
    bool empty = is_empty(c, 0);
    struct f80 v = empty ? indefinite : st_get(c, 0);
    uint8_t bytes[16];
    unsigned sw = fn(empty ? FCW_INIT : x87_control(c, 0), &v, bytes);
    unsigned fatal = empty ? FSW_IE : sw & FATAL_MEM;
    int st = 0;
    if (!(fatal & ~c->fpu.cw)) {
        uint64_t va;
        st = ea(c, i, size, true, &va);
        if (st >= 0)
            st = fpu_store_bytes(c, va, bytes, size);
        if (st < 0)
            return st;
    }
    bool done = empty ? stack_fault(c, false) : commit(c, sw, 0, FATAL_MEM);
    if (done && pops)
        x87_pop(c);
    return st;
}

/* FSTP m80: every bit as it is. */
uint16_t x87_fst_f80(uint32_t control, const struct f80 *a, void *mem)
{
    memcpy(mem, a, 10);
    return 0;
}

/* ---- arithmetic and comparisons ---- */

static void compare(struct soft_cpu *c, x87_binary_fn *fn, const void *b, bool empty, unsigned pops)
{
    bool done;
    if (empty) {
        done = stack_fault(c, false);
        if (done)
            x87_set_condition(c, FSW_C0 | FSW_C2 | FSW_C3, FSW_CONDITION);
    } else {
        struct f80 a = st_get(c, 0);
        done = commit(c, fn(x87_control(c, FSW_EXCEPTIONS), &a, b), FSW_CONDITION, FATAL_REG);
    }
    for (unsigned k = 0; done && k < pops; k++)
        x87_pop(c);
}

void x87_compare_reg(struct soft_cpu *c, x87_binary_fn *fn, unsigned n, unsigned pops)
{
    struct f80 b = st_get(c, n);
    compare(c, fn, &b, is_empty(c, 0) || is_empty(c, n), pops);
}

/* FCOMI and its like: the result goes to ZF, PF and CF, the condition bits stay. */
void x87_compare_to_flags(struct soft_cpu *c, x87_binary_fn *fn, unsigned n, bool pops)
{
    unsigned sw = FSW_CONDITION, unmasked = 0;
    if (is_empty(c, 0) || is_empty(c, n)) {
        unmasked = stack_fault(c, false) ? 0 : FSW_IE;
    } else {
        struct f80 a = st_get(c, 0), b = st_get(c, n);
        sw = fn(x87_control(c, FSW_EXCEPTIONS), &a, &b);
        unmasked = sw & ~c->fpu.cw & FATAL_REG;
        c->fpu.sw |= sw & FSW_EXCEPTIONS; /* C1 stays, unlike with FCOM */
        fpu_update_es(c);
    }
    if (!(unmasked & FSW_IE))
        flags_set(c, (sw & FSW_C3 ? FLAG_ZF : 0) | (sw & FSW_C2 ? FLAG_PF : 0) |
                         (sw & FSW_C0 ? FLAG_CF : 0));
    if (pops && !unmasked)
        x87_pop(c);
}

/* ST(dst) = ST(dst) op ST(src). */
void x87_arith_reg(struct soft_cpu *c, unsigned op, unsigned dst, unsigned src, bool pops)
{
    bool done;
    if (is_empty(c, dst) || is_empty(c, src)) {
        done = underflow_to(c, dst);
    } else {
        struct f80 a = st_get(c, dst), b = st_get(c, src);
        done = commit(c, x87_arith[X87_REG][op](x87_control(c, 0), &a, &b), 0, FATAL_REG);
        if (done)
            st_set(c, dst, &a);
    }
    if (done && pops)
        x87_pop(c);
}

int x87_arith_memory(struct soft_cpu *c, const struct insn *i, unsigned kind, unsigned op)
{
    static const uint8_t sizes[X87_KINDS] = {
        [X87_F32] = 4, [X87_F64] = 8, [X87_I16] = 2, [X87_I32] = 4
    };
    uint64_t v;
    int st = mem_load(c, i, sizes[kind], &v);
    if (st < 0)
        return st;
    x87_binary_fn *fn = x87_arith[kind][op];
    if (op == X87_COM || op == X87_COMP) {
        compare(c, fn, &v, is_empty(c, 0), op == X87_COMP);
    } else if (is_empty(c, 0)) {
        underflow_to(c, 0);
    } else {
        struct f80 a = st_get(c, 0);
        if (commit(c, fn(x87_control(c, 0), &a, &v), 0, FATAL_REG))
            st_set(c, 0, &a);
    }
    return st;
}

/* ---- D9 E0-FF: operations on the top of the stack ---- */

enum stack_shape {
    SHAPE_UNARY, /* ST(0) = f(ST(0)) */
    SHAPE_TEST,  /* condition bits only */
    SHAPE_KEEP2, /* ST(0) = f(ST(0), ST(1)) */
    SHAPE_POP,   /* ST(1) = f(ST(0), ST(1)), pop */
    SHAPE_PUSH,  /* ST(0) = f(ST(0)), push g(ST(0)) */
};

static enum stack_shape shape_of(unsigned op)
{
    switch (op) {
    case 0x04:
    case 0x05:
        return SHAPE_TEST;
    case 0x15:
    case 0x18:
    case 0x1d:
        return SHAPE_KEEP2;
    case 0x11:
    case 0x13:
    case 0x19:
        return SHAPE_POP;
    case 0x12:
    case 0x14:
    case 0x1b:
        return SHAPE_PUSH;
    default:
        return SHAPE_UNARY;
    }
}

/* The condition bits that an operation defines beside C1. */
static unsigned conditions_of(unsigned op)
{
    switch (op) {
    case 0x04:
    case 0x05:
    case 0x15:
    case 0x18:
        return FSW_CONDITION;
    case 0x12:
    case 0x1b:
    case 0x1e:
    case 0x1f:
        return FSW_C2; /* operand out of range: nothing was done */
    default:
        return 0;
    }
}

static void fxam_empty(struct soft_cpu *c)
{
    unsigned sign = st_get(c, 0).se & 0x8000 ? FSW_C1 : 0;
    x87_set_condition(c, FSW_CONDITION, FSW_C3 | FSW_C0 | sign);
}

static void stack_operand_missing(struct soft_cpu *c, unsigned op, enum stack_shape shape)
{
    bool done = stack_fault(c, false);
    if (shape == SHAPE_TEST && done)
        x87_set_condition(c, FSW_C0 | FSW_C2 | FSW_C3, FSW_CONDITION);
    if (shape != SHAPE_TEST)
        x87_set_condition(c, conditions_of(op) & FSW_C2, 0);
    if (!done || shape == SHAPE_TEST)
        return;
    st_set(c, shape == SHAPE_POP ? 1 : 0, &indefinite);
    if (shape == SHAPE_POP)
        x87_pop(c);
    else if (shape == SHAPE_PUSH)
        st_push_raw(c, &indefinite);
}

void x87_stack_op(struct soft_cpu *c, unsigned op)
{
    enum stack_shape shape = shape_of(op);
    bool two = shape == SHAPE_KEEP2 || shape == SHAPE_POP;
    if (op == 0x05 && is_empty(c, 0)) {
        fxam_empty(c);
        return;
    }
    if (is_empty(c, 0) || (two && is_empty(c, 1))) {
        stack_operand_missing(c, op, shape);
        return;
    }
    if (shape == SHAPE_PUSH && !is_empty(c, 7)) {
        x87_set_condition(c, conditions_of(op), 0);
        if (stack_fault(c, true)) {
            st_set(c, 0, &indefinite);
            st_push_raw(c, &indefinite);
        }
        return;
    }
    struct f80 a = st_get(c, 0), b = two ? st_get(c, 1) : (struct f80){ 0, 0 };
    unsigned sw =
        x87_stack_ops[op](x87_control(c, shape == SHAPE_TEST ? FSW_EXCEPTIONS : 0), &a, &b);
    unsigned conditions = conditions_of(op);
    if (shape == SHAPE_KEEP2 && ((a.se & 0x7fff) == 0x7fff || sw & ~c->fpu.cw & FATAL_REG))
        conditions &= FSW_C2; /* FPREM that has no quotient */
    if (!commit(c, sw, conditions, FATAL_REG) || (conditions == FSW_C2 && (sw & FSW_C2)))
        return;
    if (shape == SHAPE_POP)
        x87_pop(c);
    if (shape == SHAPE_PUSH) {
        st_set(c, 0, &b);
        st_push_raw(c, &a);
    } else if (shape != SHAPE_TEST) {
        st_set(c, 0, &a);
    }
}

/* ---- register moves ---- */

void x87_fld(struct soft_cpu *c, unsigned n)
{
    x87_set_condition(c, FSW_C1, 0);
    if (is_empty(c, n)) {
        if (stack_fault(c, false))
            st_push_raw(c, &indefinite);
        return;
    }
    struct f80 v = st_get(c, n);
    st_push(c, &v);
}

void x87_fst(struct soft_cpu *c, unsigned n, bool pops)
{
    x87_set_condition(c, FSW_C1, 0);
    bool done = true;
    if (is_empty(c, 0)) {
        done = underflow_to(c, n);
    } else {
        struct f80 v = st_get(c, 0);
        st_set(c, n, &v);
    }
    if (done && pops)
        x87_pop(c);
}

/* D9 D8-DF, an alias of FSTP but that an empty register raises nothing and stores nothing. */
void x87_fstpnce(struct soft_cpu *c, unsigned n)
{
    if (!is_empty(c, 0)) {
        x87_fst(c, n, true);
        return;
    }
    x87_set_condition(c, FSW_C1, 0);
    x87_pop(c);
}

void x87_fxch(struct soft_cpu *c, unsigned n)
{
    x87_set_condition(c, FSW_C1, 0);
    struct f80 a = st_get(c, 0), b = st_get(c, n);
    bool empty_a = is_empty(c, 0), empty_b = is_empty(c, n);
    if ((empty_a || empty_b) && !stack_fault(c, false))
        return;
    st_set(c, 0, empty_b ? &indefinite : &b);
    st_set(c, n, empty_a ? &indefinite : &a);
}

/* DA C0-DF, DB C0-DF: condition by ModRM.reg, DB negates. */
void x87_fcmov(struct soft_cpu *c, unsigned kind, unsigned n, bool negate)
{
    const bool holds[4] = { flag_cf(c), flag_zf(c), flag_cf(c) || flag_zf(c), flag_pf(c) };
    if (is_empty(c, 0) || is_empty(c, n)) {
        underflow_to(c, 0);
    } else if (holds[kind] != negate) {
        struct f80 v = st_get(c, n);
        st_set(c, 0, &v);
    }
}
