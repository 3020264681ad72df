/* The x87: what the escape opcodes D8 to DF mean (SDM vol. 1 chapter 8, vol. 2 appendix A.5).
 *
 * The register stack is in x87_stack.c, arithmetic in x87_host.c, the environment in memory in
 * x87_env.c.
 *
 * Registers are named by their place in the stack, ST(n). Of the last opcode (FOP) memory forms
 * record ModRM.reg alone, since the addressing mode is not kept after decoding. */
#include "cpu/soft/x87_internal.h"

/* DC and DE have the reversed forms in each other's places. */
static unsigned reversed(unsigned op)
{
    return op >= X87_SUB ? op ^ 1 : op;
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
        return x87_load_memory(c, i, x87_fld_f32, 4);
    case 2:
    case 3:
        return x87_store_memory(c, i, x87_fst_f32, 4, reg == 3);
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
        return x87_load_memory(c, i, x87_fild_i32, 4);
    case 1:
        return x87_store_memory(c, i, x87_fisttp_i32, 4, true);
    case 2:
    case 3:
        return x87_store_memory(c, i, x87_fist_i32, 4, reg == 3);
    case 5:
        return x87_fld_f80(c, i);
    case 7:
        return x87_store_memory(c, i, x87_fst_f80, 10, true);
    default:
        return undefined(c);
    }
}

static int memory_dd(struct soft_cpu *c, const struct insn *i, unsigned reg)
{
    switch (reg) {
    case 0:
        return x87_load_memory(c, i, x87_fld_f64, 8);
    case 1:
        return x87_store_memory(c, i, x87_fisttp_i64, 8, true);
    case 2:
    case 3:
        return x87_store_memory(c, i, x87_fst_f64, 8, reg == 3);
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
        return x87_load_memory(c, i, x87_fild_i16, 2);
    case 1:
        return x87_store_memory(c, i, x87_fisttp_i16, 2, true);
    case 2:
    case 3:
        return x87_store_memory(c, i, x87_fist_i16, 2, reg == 3);
    case 4:
        return x87_load_memory(c, i, x87_fbld, 10);
    case 5:
        return x87_load_memory(c, i, x87_fild_i64, 8);
    case 6:
        return x87_store_memory(c, i, x87_fbstp, 10, true);
    default:
        return x87_store_memory(c, i, x87_fist_i64, 8, true);
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
        return x87_arith_memory(c, i, kinds[escape >> 1], reg);
    }
    }
}

static int register_d8(struct soft_cpu *c, unsigned reg, unsigned n)
{
    if (reg == X87_COM || reg == X87_COMP)
        x87_compare_reg(c, x87_arith[X87_REG][X87_COM], n, reg == X87_COMP);
    else
        x87_arith_reg(c, reg, 0, n, false);
    return 0;
}

static int register_d9(struct soft_cpu *c, unsigned reg, unsigned n)
{
    unsigned low = (reg & 3) << 3 | n;
    if (reg == 0) {
        x87_fld(c, n);
    } else if (reg == 1) {
        x87_fxch(c, n);
    } else if (reg == 3) {
        x87_fstpnce(c, n);
    } else if (reg == 2) {
        return n == 0 ? 0 : undefined(c); /* FNOP */
    } else if (reg == 5 && n < 7) {
        x87_load(c, x87_constants[n], NULL);
    } else if (low == 0x16 || low == 0x17) {
        x87_set_condition(c, FSW_C1, 0); /* FDECSTP, FINCSTP */
        fpu_set_top(c, low == 0x16 ? fpu_top(c) - 1 : fpu_top(c) + 1);
    } else if (x87_stack_ops[low]) {
        x87_stack_op(c, low);
    } else {
        return undefined(c);
    }
    return 0;
}

static int register_da(struct soft_cpu *c, unsigned reg, unsigned n)
{
    if (reg < 4)
        x87_fcmov(c, reg, n, false);
    else if (reg == 5 && n == 1)
        x87_compare_reg(c, x87_fucom, 1, 2); /* FUCOMPP */
    else
        return undefined(c);
    return 0;
}

static int register_db(struct soft_cpu *c, unsigned reg, unsigned n)
{
    if (reg < 4)
        x87_fcmov(c, reg, n, true);
    else if (reg == 5 || reg == 6)
        x87_compare_to_flags(c, reg == 5 ? x87_fucom : x87_arith[X87_REG][X87_COM], n, false);
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
    x87_arith_reg(c, reversed(reg), n, 0, false);
    return 0;
}

static int register_dd(struct soft_cpu *c, unsigned reg, unsigned n)
{
    switch (reg) {
    case 0:
        x87_set_condition(c, FSW_C1, 0);
        x87_free(c, n);
        return 0;
    case 1:
        x87_fxch(c, n);
        return 0;
    case 2:
    case 3:
        x87_fst(c, n, reg == 3);
        return 0;
    case 4:
    case 5:
        x87_compare_reg(c, x87_fucom, n, reg == 5);
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
        x87_compare_reg(c, x87_arith[X87_REG][X87_COM], 1, 2); /* FCOMPP */
    else
        x87_arith_reg(c, reversed(reg), n, 0, true);
    return 0;
}

static int register_df(struct soft_cpu *c, unsigned reg, unsigned n)
{
    switch (reg) {
    case 0: /* FFREEP */
        x87_set_condition(c, FSW_C1, 0);
        x87_free(c, n);
        x87_pop(c);
        return 0;
    case 1:
        x87_fxch(c, n);
        return 0;
    case 2:
    case 3:
        x87_fst(c, n, true);
        return 0;
    case 4:
        if (n)
            return undefined(c);
        reg_set(c, RAX, 2, c->fpu.sw);
        return 0;
    case 5:
    case 6:
        x87_compare_to_flags(c, reg == 5 ? x87_fucom : x87_arith[X87_REG][X87_COM], n, true);
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
