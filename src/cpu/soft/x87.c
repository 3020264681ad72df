/* The x87: escape opcodes D8 to DF (SDM vol. 1 chapter 8, vol. 2 appendix A.5).
 *
 * This file keeps the register stack, the tags and the exceptions; arithmetic is the host's
 * (x87_host.c), the environment in memory is in x87_env.c.
 *
 * Registers are named here by their place in the stack, ST(n). Of the last opcode (FOP) memory
 * forms record ModRM.reg alone, since the addressing mode is not kept after decoding. The
 * transcendental operations give the host's results: their last bits may differ between makers of
 * processors. */
#include "cpu/soft/x87_host.h"
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

static void st_free(struct soft_cpu *c, unsigned n)
{
    c->fpu.tags &= (uint8_t) ~(1u << phys(c, n));
}

static void st_pop(struct soft_cpu *c)
{
    st_free(c, 0);
    fpu_set_top(c, fpu_top(c) + 1);
}

static void st_push_raw(struct soft_cpu *c, const struct f80 *v)
{
    fpu_set_top(c, fpu_top(c) - 1);
    st_set(c, 0, v);
}

/* ---- exceptions ---- */

static void set_condition(struct soft_cpu *c, unsigned mask, unsigned bits)
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
    set_condition(c, compared ? condition | FSW_C1 : FSW_C1, host_sw);
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
    set_condition(c, FSW_C1, overflow ? FSW_C1 : 0);
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

static void load_number(struct soft_cpu *c, x87_load_fn *fn, const void *mem)
{
    struct f80 v;
    if (!is_empty(c, 7))
        st_push(c, &indefinite);
    else if (commit(c, fn(c->fpu.cw, &v, mem), 0, FSW_IE))
        st_push_raw(c, &v);
}

static int load_memory(struct soft_cpu *c, const struct insn *i, x87_load_fn *fn, unsigned size)
{
    uint64_t va;
    uint8_t bytes[16];
    int st = ea(c, i, size, false, &va);
    if (st >= 0)
        st = fpu_load_bytes(c, va, bytes, size);
    if (st >= 0)
        load_number(c, fn, bytes);
    return st;
}

static int load_f80(struct soft_cpu *c, const struct insn *i)
{
    uint64_t va;
    struct f80 v;
    int st = ea(c, i, 10, false, &va);
    if (st >= 0)
        st = fpu_load_bytes(c, va, &v, 10);
    if (st < 0)
        return st;
    set_condition(c, FSW_C1, 0);
    st_push(c, &v);
    return st;
}

/* Nothing of the state changes if memory faults. */
static int store_memory(struct soft_cpu *c, const struct insn *i, x87_store_fn *fn, unsigned size,
                        bool pops)
{
    bool empty = is_empty(c, 0);
    struct f80 v = empty ? indefinite : st_get(c, 0);
    uint8_t bytes[16];
    unsigned sw = fn(empty ? FCW_INIT : c->fpu.cw, &v, bytes);
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
        st_pop(c);
    return st;
}

/* FSTP m80: every bit as it is. */
static uint16_t store_f80(uint16_t cw, const struct f80 *a, void *mem)
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
            set_condition(c, FSW_C0 | FSW_C2 | FSW_C3, FSW_CONDITION);
    } else {
        struct f80 a = st_get(c, 0);
        done = commit(c, fn(c->fpu.cw, &a, b), FSW_CONDITION, FATAL_REG);
    }
    for (unsigned k = 0; done && k < pops; k++)
        st_pop(c);
}

static void compare_reg(struct soft_cpu *c, x87_binary_fn *fn, unsigned n, unsigned pops)
{
    struct f80 b = st_get(c, n);
    compare(c, fn, &b, is_empty(c, 0) || is_empty(c, n), pops);
}

/* FCOMI and its like: the result goes to ZF, PF and CF, the condition bits stay. */
static void compare_to_flags(struct soft_cpu *c, x87_binary_fn *fn, unsigned n, bool pops)
{
    unsigned sw = FSW_CONDITION, unmasked = 0;
    if (is_empty(c, 0) || is_empty(c, n)) {
        unmasked = stack_fault(c, false) ? 0 : FSW_IE;
    } else {
        struct f80 a = st_get(c, 0), b = st_get(c, n);
        sw = fn(c->fpu.cw, &a, &b);
        unmasked = sw & ~c->fpu.cw & FATAL_REG;
        c->fpu.sw |= sw & FSW_EXCEPTIONS; /* C1 stays, unlike with FCOM */
        fpu_update_es(c);
    }
    if (!(unmasked & FSW_IE))
        flags_set(c, (sw & FSW_C3 ? FLAG_ZF : 0) | (sw & FSW_C2 ? FLAG_PF : 0) |
                         (sw & FSW_C0 ? FLAG_CF : 0));
    if (pops && !unmasked)
        st_pop(c);
}

/* ST(dst) = ST(dst) op ST(src). */
static void arith_reg(struct soft_cpu *c, unsigned op, unsigned dst, unsigned src, bool pops)
{
    bool done;
    if (is_empty(c, dst) || is_empty(c, src)) {
        done = underflow_to(c, dst);
    } else {
        struct f80 a = st_get(c, dst), b = st_get(c, src);
        done = commit(c, x87_arith[X87_REG][op](c->fpu.cw, &a, &b), 0, FATAL_REG);
        if (done)
            st_set(c, dst, &a);
    }
    if (done && pops)
        st_pop(c);
}

static int arith_memory(struct soft_cpu *c, const struct insn *i, unsigned kind, unsigned op)
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
        if (commit(c, fn(c->fpu.cw, &a, &v), 0, FATAL_REG))
            st_set(c, 0, &a);
    }
    return st;
}

/* DC and DE have the reversed forms in each other's places. */
static unsigned reversed(unsigned op)
{
    return op >= X87_SUB ? op ^ 1 : op;
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
    set_condition(c, FSW_CONDITION, FSW_C3 | FSW_C0 | sign);
}

static void stack_operand_missing(struct soft_cpu *c, unsigned op, enum stack_shape shape)
{
    bool done = stack_fault(c, false);
    if (shape == SHAPE_TEST && done)
        set_condition(c, FSW_C0 | FSW_C2 | FSW_C3, FSW_CONDITION);
    if (shape != SHAPE_TEST)
        set_condition(c, conditions_of(op) & FSW_C2, 0);
    if (!done || shape == SHAPE_TEST)
        return;
    st_set(c, shape == SHAPE_POP ? 1 : 0, &indefinite);
    if (shape == SHAPE_POP)
        st_pop(c);
    else if (shape == SHAPE_PUSH)
        st_push_raw(c, &indefinite);
}

static void stack_operation(struct soft_cpu *c, unsigned op)
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
        set_condition(c, conditions_of(op), 0);
        if (stack_fault(c, true)) {
            st_set(c, 0, &indefinite);
            st_push_raw(c, &indefinite);
        }
        return;
    }
    struct f80 a = st_get(c, 0), b = two ? st_get(c, 1) : (struct f80){ 0, 0 };
    unsigned sw = x87_stack_ops[op](c->fpu.cw, &a, &b);
    unsigned conditions = conditions_of(op);
    if (shape == SHAPE_KEEP2 && ((a.se & 0x7fff) == 0x7fff || sw & ~c->fpu.cw & FATAL_REG))
        conditions &= FSW_C2; /* FPREM that has no quotient */
    if (!commit(c, sw, conditions, FATAL_REG) || (conditions == FSW_C2 && (sw & FSW_C2)))
        return;
    if (shape == SHAPE_POP)
        st_pop(c);
    if (shape == SHAPE_PUSH) {
        st_set(c, 0, &b);
        st_push_raw(c, &a);
    } else if (shape != SHAPE_TEST) {
        st_set(c, 0, &a);
    }
}

/* ---- register moves ---- */

static void fld_reg(struct soft_cpu *c, unsigned n)
{
    set_condition(c, FSW_C1, 0);
    if (is_empty(c, n)) {
        if (stack_fault(c, false))
            st_push_raw(c, &indefinite);
        return;
    }
    struct f80 v = st_get(c, n);
    st_push(c, &v);
}

static void fst_reg(struct soft_cpu *c, unsigned n, bool pops)
{
    set_condition(c, FSW_C1, 0);
    bool done = true;
    if (is_empty(c, 0)) {
        done = underflow_to(c, n);
    } else {
        struct f80 v = st_get(c, 0);
        st_set(c, n, &v);
    }
    if (done && pops)
        st_pop(c);
}

/* D9 D8-DF, an alias of FSTP but that an empty register raises nothing and stores nothing. */
static void fstpnce(struct soft_cpu *c, unsigned n)
{
    if (!is_empty(c, 0)) {
        fst_reg(c, n, true);
        return;
    }
    set_condition(c, FSW_C1, 0);
    st_pop(c);
}

static void fxch(struct soft_cpu *c, unsigned n)
{
    set_condition(c, FSW_C1, 0);
    struct f80 a = st_get(c, 0), b = st_get(c, n);
    bool empty_a = is_empty(c, 0), empty_b = is_empty(c, n);
    if ((empty_a || empty_b) && !stack_fault(c, false))
        return;
    st_set(c, 0, empty_b ? &indefinite : &b);
    st_set(c, n, empty_a ? &indefinite : &a);
}

/* DA C0-DF, DB C0-DF: condition by ModRM.reg, DB negates. */
static void fcmov(struct soft_cpu *c, unsigned kind, unsigned n, bool negate)
{
    const bool holds[4] = { flag_cf(c), flag_zf(c), flag_cf(c) || flag_zf(c), flag_pf(c) };
    if (is_empty(c, 0) || is_empty(c, n)) {
        underflow_to(c, 0);
    } else if (holds[kind] != negate) {
        struct f80 v = st_get(c, n);
        st_set(c, 0, &v);
    }
}

/* ---- dispatch ---- */

static int undefined(struct soft_cpu *c)
{
    return raise_exception(c, VEC_UD);
}

static int fldcw(struct soft_cpu *c, const struct insn *i)
{
    uint64_t v;
    int st = mem_load(c, i, 2, &v);
    if (st >= 0)
        fpu_set_cw(c, (uint16_t)v);
    return st;
}

static int memory_d9(struct soft_cpu *c, const struct insn *i, unsigned reg)
{
    switch (reg) {
    case 0:
        return load_memory(c, i, x87_fld_f32, 4);
    case 2:
    case 3:
        return store_memory(c, i, x87_fst_f32, 4, reg == 3);
    case 4:
        return x87_fldenv(c, i);
    case 5:
        return fldcw(c, i);
    case 6:
        return x87_fnstenv(c, i);
    case 7:
        return mem_store(c, i, 2, c->fpu.cw);
    default:
        return undefined(c);
    }
}

static int memory_db(struct soft_cpu *c, const struct insn *i, unsigned reg)
{
    switch (reg) {
    case 0:
        return load_memory(c, i, x87_fild_i32, 4);
    case 1:
        return store_memory(c, i, x87_fisttp_i32, 4, true);
    case 2:
    case 3:
        return store_memory(c, i, x87_fist_i32, 4, reg == 3);
    case 5:
        return load_f80(c, i);
    case 7:
        return store_memory(c, i, store_f80, 10, true);
    default:
        return undefined(c);
    }
}

static int memory_dd(struct soft_cpu *c, const struct insn *i, unsigned reg)
{
    switch (reg) {
    case 0:
        return load_memory(c, i, x87_fld_f64, 8);
    case 1:
        return store_memory(c, i, x87_fisttp_i64, 8, true);
    case 2:
    case 3:
        return store_memory(c, i, x87_fst_f64, 8, reg == 3);
    case 4:
        return x87_frstor(c, i);
    case 6:
        return x87_fnsave(c, i);
    case 7:
        return mem_store(c, i, 2, c->fpu.sw);
    default:
        return undefined(c);
    }
}

static int memory_df(struct soft_cpu *c, const struct insn *i, unsigned reg)
{
    switch (reg) {
    case 0:
        return load_memory(c, i, x87_fild_i16, 2);
    case 1:
        return store_memory(c, i, x87_fisttp_i16, 2, true);
    case 2:
    case 3:
        return store_memory(c, i, x87_fist_i16, 2, reg == 3);
    case 4:
        return load_memory(c, i, x87_fbld, 10);
    case 5:
        return load_memory(c, i, x87_fild_i64, 8);
    case 6:
        return store_memory(c, i, x87_fbstp, 10, true);
    default:
        return store_memory(c, i, x87_fist_i64, 8, true);
    }
}

static int memory_form(struct soft_cpu *c, const struct insn *i, unsigned escape, unsigned reg)
{
    switch (escape) {
    case 1:
        return memory_d9(c, i, reg);
    case 3:
        return memory_db(c, i, reg);
    case 5:
        return memory_dd(c, i, reg);
    case 7:
        return memory_df(c, i, reg);
    default: {
        static const uint8_t kinds[4] = { X87_F32, X87_I32, X87_F64, X87_I16 };
        return arith_memory(c, i, kinds[escape >> 1], reg);
    }
    }
}

static int register_d8(struct soft_cpu *c, unsigned reg, unsigned n)
{
    if (reg == X87_COM || reg == X87_COMP)
        compare_reg(c, x87_arith[X87_REG][X87_COM], n, reg == X87_COMP);
    else
        arith_reg(c, reg, 0, n, false);
    return 0;
}

static int register_d9(struct soft_cpu *c, unsigned reg, unsigned n)
{
    unsigned low = (reg & 3) << 3 | n;
    if (reg == 0) {
        fld_reg(c, n);
    } else if (reg == 1) {
        fxch(c, n);
    } else if (reg == 3) {
        fstpnce(c, n);
    } else if (reg == 2) {
        return n == 0 ? 0 : undefined(c); /* FNOP */
    } else if (reg == 5 && n < 7) {
        load_number(c, x87_constants[n], NULL);
    } else if (low == 0x16 || low == 0x17) {
        set_condition(c, FSW_C1, 0); /* FDECSTP, FINCSTP */
        fpu_set_top(c, low == 0x16 ? fpu_top(c) - 1 : fpu_top(c) + 1);
    } else if (x87_stack_ops[low]) {
        stack_operation(c, low);
    } else {
        return undefined(c);
    }
    return 0;
}

static int register_da(struct soft_cpu *c, unsigned reg, unsigned n)
{
    if (reg < 4)
        fcmov(c, reg, n, false);
    else if (reg == 5 && n == 1)
        compare_reg(c, x87_fucom, 1, 2); /* FUCOMPP */
    else
        return undefined(c);
    return 0;
}

static int register_db(struct soft_cpu *c, unsigned reg, unsigned n)
{
    if (reg < 4)
        fcmov(c, reg, n, true);
    else if (reg == 5 || reg == 6)
        compare_to_flags(c, reg == 5 ? x87_fucom : x87_arith[X87_REG][X87_COM], n, false);
    else if (reg == 4 && n == 2)
        c->fpu.sw &= (uint16_t) ~(FSW_EXCEPTIONS | FSW_SF | FSW_ES | FSW_B); /* FNCLEX */
    else if (reg == 4 && n == 3)
        x87_init(c);
    else if (reg != 4 || n > 4)
        return undefined(c);
    return 0; /* FNENI, FNDISI, FNSETPM do nothing since the 80387 */
}

static int register_dc(struct soft_cpu *c, unsigned reg, unsigned n)
{
    if (reg == X87_COM || reg == X87_COMP)
        return register_d8(c, reg, n);
    arith_reg(c, reversed(reg), n, 0, false);
    return 0;
}

static int register_dd(struct soft_cpu *c, unsigned reg, unsigned n)
{
    switch (reg) {
    case 0:
        set_condition(c, FSW_C1, 0);
        st_free(c, n);
        return 0;
    case 1:
        fxch(c, n);
        return 0;
    case 2:
    case 3:
        fst_reg(c, n, reg == 3);
        return 0;
    case 4:
    case 5:
        compare_reg(c, x87_fucom, n, reg == 5);
        return 0;
    default:
        return undefined(c);
    }
}

static int register_de(struct soft_cpu *c, unsigned reg, unsigned n)
{
    if (reg == 2)
        return register_d8(c, X87_COMP, n);
    if (reg == 3 && n != 1)
        return undefined(c);
    if (reg == 3)
        compare_reg(c, x87_arith[X87_REG][X87_COM], 1, 2); /* FCOMPP */
    else
        arith_reg(c, reversed(reg), n, 0, true);
    return 0;
}

static int register_df(struct soft_cpu *c, unsigned reg, unsigned n)
{
    switch (reg) {
    case 0: /* FFREEP */
        set_condition(c, FSW_C1, 0);
        st_free(c, n);
        st_pop(c);
        return 0;
    case 1:
        fxch(c, n);
        return 0;
    case 2:
    case 3:
        fst_reg(c, n, true);
        return 0;
    case 4:
        if (n)
            return undefined(c);
        reg_set(c, RAX, 2, c->fpu.sw);
        return 0;
    case 5:
    case 6:
        compare_to_flags(c, reg == 5 ? x87_fucom : x87_arith[X87_REG][X87_COM], n, true);
        return 0;
    default:
        return undefined(c);
    }
}

/* Instructions that neither compute nor move numbers: FIP, FDP and FOP keep their values. Of them,
 * those that do not wait. */
static bool is_control(unsigned escape, unsigned reg, unsigned n, bool mem, bool *waits)
{
    *waits = true;
    if (mem) {
        bool control = (escape == 1 && reg >= 4) || (escape == 5 && (reg == 4 || reg >= 6));
        *waits = !control || reg < 6;
        return control;
    }
    bool system = (escape == 3 && reg == 4) || (escape == 7 && reg == 4);
    *waits = !system;
    return system;
}

static void remember(struct soft_cpu *c, const struct insn *i, unsigned escape)
{
    bool mem = i->flags & INSN_MEM;
    unsigned modrm = (i->reg & 7u) << 3 | (mem ? 0 : 0xc0 | (i->rm & 7u));
    c->fpu.opcode = (uint16_t)(escape << 8 | modrm);
    c->fpu.cs = c->seg[SEG_CS].sel;
    c->fpu.ip = c->r[REG_RIP] + i->next_off - i->len;
    if (mem) {
        c->fpu.ds = c->seg[i->seg].sel;
        c->fpu.dp = ea_wrapped(c, i);
    }
}

int op_x87(struct soft_cpu *c, const struct insn *i)
{
    static int (*const forms[8])(struct soft_cpu *, unsigned, unsigned) = {
        register_d8, register_d9, register_da, register_db,
        register_dc, register_dd, register_de, register_df,
    };
    unsigned escape = insn_arg(i), reg = i->reg & 7, n = i->rm & 7;
    bool mem = i->flags & INSN_MEM, waits;
    c->cur = i;
    if (c->cr0 & (CR0_EM | CR0_TS))
        return raise_exception(c, VEC_NM);
    bool control = is_control(escape, reg, n, mem, &waits);
    if (waits) {
        int st = fpu_wait(c);
        if (st < 0)
            return st;
    }
    int st = mem ? memory_form(c, i, escape, reg) : forms[escape](c, reg, n);
    if (st >= 0 && !control)
        remember(c, i, escape);
    return st;
}

int op_fwait(struct soft_cpu *c, const struct insn *i)
{
    if ((c->cr0 & (CR0_MP | CR0_TS)) == (CR0_MP | CR0_TS))
        return raise_exception(c, VEC_NM);
    return fpu_wait(c);
}
