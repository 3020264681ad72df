/* What the x87*.c files share beside the host's arithmetic. Registers are named by their place in
 * the stack, ST(n). */
#pragma once

#include "cpu/soft/opcodes.h"
#include "cpu/soft/x87_host.h"

/* ---- x87_stack.c ---- */

/* Replace the bits of `mask` in the status word. */
void x87_set_condition(struct soft_cpu *c, unsigned mask, unsigned bits);
void x87_free(struct soft_cpu *c, unsigned n);
void x87_pop(struct soft_cpu *c);

/* Memory operands: 0, X_BREAK or X_FAULT. A store that faults leaves the stack as it was. */
int x87_load_memory(struct soft_cpu *c, const struct insn *i, x87_load_fn *fn, unsigned size);
int x87_fld_f80(struct soft_cpu *c, const struct insn *i);
int x87_store_memory(struct soft_cpu *c, const struct insn *i, x87_store_fn *fn, unsigned size,
                     bool pops);
x87_store_fn x87_fst_f80; /* every bit as it is */
/* ST(0) and memory, `kind` of x87_arith. */
int x87_arith_memory(struct soft_cpu *c, const struct insn *i, unsigned kind, unsigned op);

/* Push what `fn` makes of `mem`. */
void x87_load(struct soft_cpu *c, x87_load_fn *fn, const void *mem);
/* ST(dst) = ST(dst) op ST(src). */
void x87_arith_reg(struct soft_cpu *c, unsigned op, unsigned dst, unsigned src, bool pops);
/* ST(0) with ST(n), to the condition bits or to EFLAGS. */
void x87_compare_reg(struct soft_cpu *c, x87_binary_fn *fn, unsigned n, unsigned pops);
void x87_compare_to_flags(struct soft_cpu *c, x87_binary_fn *fn, unsigned n, bool pops);
/* One of x87_stack_ops. */
void x87_stack_op(struct soft_cpu *c, unsigned op);
void x87_fld(struct soft_cpu *c, unsigned n);
void x87_fst(struct soft_cpu *c, unsigned n, bool pops);
void x87_fstpnce(struct soft_cpu *c, unsigned n);
void x87_fxch(struct soft_cpu *c, unsigned n);
void x87_fcmov(struct soft_cpu *c, unsigned kind, unsigned n, bool negate);

/* ---- x87_env.c ---- */

void x87_init(struct soft_cpu *c); /* FNINIT */
int x87_fnstenv(struct soft_cpu *c, const struct insn *i);
int x87_fldenv(struct soft_cpu *c, const struct insn *i);
int x87_fnsave(struct soft_cpu *c, const struct insn *i);
int x87_frstor(struct soft_cpu *c, const struct insn *i);
