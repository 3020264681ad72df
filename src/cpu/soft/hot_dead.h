/* The operations of FLAGS_DEAD_OPS once more, without flags: functions d_NAME that exec.c inlines
 * into its loop. */
#pragma once

#include "cpu/soft/hot.h"

#define DEAD(name, result)                                                \
    HANDLER d_##name(struct soft_cpu *c, const struct insn *i)            \
    {                                                                     \
        uint64_t a = c->r[i->rm], b = c->r[i->reg], n = (uint64_t)i->imm; \
        (void)b, (void)n;                                                 \
        c->r[i->rm] = (result);                                           \
        return 0;                                                         \
    }
#define DEAD_BOTH(name, result) DEAD(name##_4, (uint32_t)(result)) DEAD(name##_8, result)
#define DEAD_ALU(name, op)      DEAD_BOTH(name##_rr, a op b) DEAD_BOTH(name##_ri, a op n)

DEAD_ALU(add, +)
DEAD_ALU(or, |)
DEAD_ALU(and, &)
DEAD_ALU(sub, -)
DEAD_ALU(xor, ^)
DEAD_BOTH(neg_r, -a)
DEAD_BOTH(inc_r, a + 1)
DEAD_BOTH(dec_r, a - 1)
DEAD_BOTH(imul_rr, a *b)
DEAD(shl_ri_4, (uint32_t)a << (n & 31))
DEAD(shl_ri_8, a << (n & 63))
DEAD(shr_ri_4, (uint32_t)a >> (n & 31))
DEAD(shr_ri_8, a >> (n & 63))
DEAD(sar_ri_4, (uint32_t)((int32_t)a >> (n & 31)))
DEAD(sar_ri_8, (uint64_t)((int64_t)a >> (n & 63)))
