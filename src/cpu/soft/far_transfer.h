/* What far jumps, calls and returns have in common. */
#pragma once

#include "cpu/soft/operand.h"
#include "cpu/soft/segment.h"

/* Is the offset `rip` within code segment `desc`, which is about to be loaded? 0 or X_FAULT. */
int check_target(struct soft_cpu *c, uint64_t desc, uint64_t rip);
/* Load CS, at privilege level `cpl`, and rip: X_JUMP or X_FAULT. */
int load_code_segment(struct soft_cpu *c, uint16_t sel, uint64_t desc, unsigned cpl, uint64_t rip);
/* The same in real and virtual-8086 mode. */
int far_real(struct soft_cpu *c, uint16_t sel, uint64_t offset);
/* The `n` elements of `size` bytes on top of the stack, without popping them: 0 or X_FAULT. */
int peek_stack(struct soft_cpu *c, unsigned size, unsigned n, uint64_t *v);
