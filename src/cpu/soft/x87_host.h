/* x87 arithmetic on the host's own x87, under a guest's control word. Private to the x87*.c files.
 *
 * Exceptions of the x87 are reported by the next instruction that waits, so even those that the
 * guest does not mask can be let happen in the host: they are read and cleared before any other
 * instruction could report them. So every result, the scaled ones of unmasked overflow included, is
 * the hardware's.
 *
 * All functions take x87_control() and return the host's status word after the operation. */
#pragma once

#include "cpu/soft/fpu.h"

/* The guest's control word, with exceptions `masked` in addition. In the upper half, the flags that
 * the host may be left with from earlier operations: those that the guest has too, as long as it
 * masks all. */
static inline uint32_t x87_control(const struct soft_cpu *c, unsigned masked)
{
    bool all = (c->fpu.cw & FSW_EXCEPTIONS) == FSW_EXCEPTIONS;
    return c->fpu.cw | masked | (all ? (uint32_t)(c->fpu.sw & FSW_EXCEPTIONS) << 16 : 0);
}

/* `*a` is ST(0), `b` the other operand. */
typedef uint16_t x87_binary_fn(uint32_t control, struct f80 *a, const void *b);
/* `*a` is ST(0), `*b` ST(1); results in the same places, should the operation push. */
typedef uint16_t x87_stack_fn(uint32_t control, struct f80 *a, struct f80 *b);
typedef uint16_t x87_load_fn(uint32_t control, struct f80 *a, const void *mem);
typedef uint16_t x87_store_fn(uint32_t control, const struct f80 *a, void *mem);

/* By kind of the second operand, and by the operation as ModRM.reg numbers it. */
enum { X87_REG, X87_F32, X87_F64, X87_I16, X87_I32, X87_KINDS };
enum { X87_ADD, X87_MUL, X87_COM, X87_COMP, X87_SUB, X87_SUBR, X87_DIV, X87_DIVR };
extern x87_binary_fn *const x87_arith[X87_KINDS][8];
x87_binary_fn x87_fucom;

x87_load_fn x87_fld_f32, x87_fld_f64, x87_fild_i16, x87_fild_i32, x87_fild_i64, x87_fbld;
x87_store_fn x87_fst_f32, x87_fst_f64, x87_fist_i16, x87_fist_i32, x87_fist_i64, x87_fisttp_i16,
    x87_fisttp_i32, x87_fisttp_i64, x87_fbstp;

/* FLD1, FLDL2T, FLDL2E, FLDPI, FLDLG2, FLDLN2, FLDZ: they round as the control word says. `mem` is
 * not used. */
extern x87_load_fn *const x87_constants[7];

/* D9 E0-FF by the low five bits; NULL: not of this kind. */
extern x87_stack_fn *const x87_stack_ops[32];
