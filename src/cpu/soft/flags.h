/* The arithmetic flags, as the host's own instructions leave them.
 *
 * c->flags holds them in the form that LAHF and SETO give, with anything above: bits 8-15 are the
 * low byte of EFLAGS (CF PF AF ZF SF, and bit 1, which is always set), bit 0 is OF. ADD, SUB and
 * their kin run on the host and cost three instructions for their flags. Where the manual leaves a
 * flag undefined hosts differ, so the definition is ours: logic operations, shifts and
 * multiplications clear AF, and flags_result() takes CF and OF from its caller. */
#pragma once

#include "cpu/soft/soft_cpu.h"

#define ALWAYS_INLINE inline __attribute__((always_inline))

enum { FLAGS_SHIFT = 8, FLAGS_OF = 1, FLAGS_LOW = FLAG_CF | FLAG_PF | FLAG_AF | FLAG_ZF | FLAG_SF };

static ALWAYS_INLINE bool flag_cf(const struct soft_cpu *c)
{
    return c->flags & FLAG_CF << FLAGS_SHIFT;
}

static ALWAYS_INLINE bool flag_of(const struct soft_cpu *c)
{
    return c->flags & FLAGS_OF;
}

static ALWAYS_INLINE bool flag_zf(const struct soft_cpu *c)
{
    return c->flags & FLAG_ZF << FLAGS_SHIFT;
}

static ALWAYS_INLINE bool flag_pf(const struct soft_cpu *c)
{
    return c->flags & FLAG_PF << FLAGS_SHIFT;
}

static ALWAYS_INLINE bool flag_af(const struct soft_cpu *c)
{
    return c->flags & FLAG_AF << FLAGS_SHIFT;
}

/* The condition of Jcc, SETcc, CMOVcc: SDM vol. 1 appendix B. */
static ALWAYS_INLINE bool condition(const struct soft_cpu *c, unsigned cc)
{
    unsigned f = c->flags;
    bool v, less = (f >> (FLAGS_SHIFT + 7) ^ f) & 1; /* SF != OF */
    switch (cc >> 1) {
    case 0:
        v = f & FLAGS_OF;
        break;
    case 1:
        v = f & FLAG_CF << FLAGS_SHIFT;
        break;
    case 2:
        v = f & FLAG_ZF << FLAGS_SHIFT;
        break;
    case 3:
        v = f & (FLAG_CF | FLAG_ZF) << FLAGS_SHIFT;
        break;
    case 4:
        v = f & FLAG_SF << FLAGS_SHIFT;
        break;
    case 5:
        v = f & FLAG_PF << FLAGS_SHIFT;
        break;
    case 6:
        v = less;
        break;
    default:
        v = less | !!(f & FLAG_ZF << FLAGS_SHIFT);
        break;
    }
    return v ^ (cc & 1);
}

static inline uint32_t flags_get(const struct soft_cpu *c)
{
    return (c->flags >> FLAGS_SHIFT & FLAGS_LOW) | (c->flags & FLAGS_OF ? FLAG_OF : 0);
}

static inline void flags_set(struct soft_cpu *c, uint32_t f)
{
    c->flags = (uint16_t)(((f & FLAGS_LOW) | FLAG_1) << FLAGS_SHIFT | (f & FLAG_OF ? FLAGS_OF : 0));
}

/* Replace CF and OF only. */
static ALWAYS_INLINE void flags_set_co(struct soft_cpu *c, bool cf, bool of)
{
    c->flags = (c->flags & ~(uint32_t)(FLAG_CF << FLAGS_SHIFT | FLAGS_OF)) |
               (uint32_t)cf << FLAGS_SHIFT | of;
}

static ALWAYS_INLINE uint64_t eflags_get(const struct soft_cpu *c)
{
    return c->eflags | flags_get(c) | FLAG_1;
}

static inline void eflags_set(struct soft_cpu *c, uint64_t v)
{
    flags_set(c, (uint32_t)v);
    c->eflags = (v & ~(uint64_t)FLAGS_ARITH) | FLAG_1;
}

/* ---- operations on the host ----
 *
 * Each returns the result and sets the flags; bits of a and b beyond the size do not matter. */

#define HOST_OPERATION(name, CASE, insn)                                                          \
    static ALWAYS_INLINE uint64_t name(struct soft_cpu *c, uint64_t a, uint64_t b, unsigned size) \
    {                                                                                             \
        switch (size) {                                                                           \
        case 1:                                                                                   \
            CASE(insn "b", uint8_t, "q")                                                          \
        case 2:                                                                                   \
            CASE(insn "w", uint16_t, "r")                                                         \
        case 4:                                                                                   \
            CASE(insn "l", uint32_t, "r")                                                         \
        default:                                                                                  \
            CASE(insn "q", uint64_t, "r")                                                         \
        }                                                                                         \
    }

/* CF is in place before; ADC, SBB, INC and DEC need that. */
#define HOST_CARRY "btw $8, %[flags]\n\t"
#define HOST_CASE(before, insn, after, type, reg, mask)   \
    {                                                     \
        type r = (type)a;                                 \
        unsigned f;                                       \
        __asm__(before insn "\n\tlahf" after              \
                : "=a"(f), [a] "+" reg(r)                 \
                : [b] reg((type)b), [flags] "m"(c->flags) \
                : "cc");                                  \
        c->flags = f & (mask);                            \
        return r;                                         \
    }
#define HOST_ARITHMETIC(insn, type, reg) \
    HOST_CASE("", insn " %[b], %[a]", "\n\tseto %%al", type, reg, ~0u)
#define HOST_WITH_CARRY(insn, type, reg) \
    HOST_CASE(HOST_CARRY, insn " %[b], %[a]", "\n\tseto %%al", type, reg, ~0u)
#define HOST_UNARY(insn, type, reg) \
    HOST_CASE(HOST_CARRY, insn " %[a]", "\n\tseto %%al", type, reg, ~0u)
#define HOST_LOGIC(insn, type, reg) \
    HOST_CASE("", insn " %[b], %[a]", "", type, reg, FLAGS_OF_LOGIC << FLAGS_SHIFT)

enum { FLAGS_OF_LOGIC = FLAG_1 | FLAG_PF | FLAG_ZF | FLAG_SF };

HOST_OPERATION(host_add, HOST_ARITHMETIC, "add")
HOST_OPERATION(host_sub, HOST_ARITHMETIC, "sub")
HOST_OPERATION(host_adc, HOST_WITH_CARRY, "adc")
HOST_OPERATION(host_sbb, HOST_WITH_CARRY, "sbb")
HOST_OPERATION(host_and, HOST_LOGIC, "and")
HOST_OPERATION(host_or, HOST_LOGIC, "or")
HOST_OPERATION(host_xor, HOST_LOGIC, "xor")
/* `b` is not used. */
HOST_OPERATION(host_inc, HOST_UNARY, "inc")
HOST_OPERATION(host_dec, HOST_UNARY, "dec")
HOST_OPERATION(host_neg, HOST_UNARY, "neg")

static ALWAYS_INLINE void flags_logic(struct soft_cpu *c, uint64_t r, unsigned size)
{
    host_or(c, r, r, size);
}

/* A result with CF and OF given and AF clear: shifts, multiplications. */
static ALWAYS_INLINE void flags_result(struct soft_cpu *c, uint64_t r, unsigned size, bool cf,
                                       bool of)
{
    flags_logic(c, r, size);
    c->flags |= (uint32_t)cf << FLAGS_SHIFT | of;
}
