/* What x87.c and x87_env.c share. */
#pragma once

#include "cpu/soft/fpu.h"
#include "cpu/soft/opcodes.h"

void x87_init(struct soft_cpu *c); /* FNINIT */
int x87_fnstenv(struct soft_cpu *c, const struct insn *i);
int x87_fldenv(struct soft_cpu *c, const struct insn *i);
int x87_fnsave(struct soft_cpu *c, const struct insn *i);
int x87_frstor(struct soft_cpu *c, const struct insn *i);
