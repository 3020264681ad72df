/* Lazy arithmetic flags.
 *
 * After an operation three words are kept and the six flags are derived when asked for:
 *   f_res   the result, sign-extended to 64 bits:   ZF is f_res == 0; SF is its sign; PF the parity
 * of its low byte f_aux   the carry out of every bit, shifted so that the operand's top bit is at
 * 63: CF is bit 63; OF is bit 63 xor bit 62 (carry out of the top bit xor carry into it) f_misc bit
 * 4: AF; bits 8-15 flip the parity byte; bit 16 flips SF (only flags that were loaded, by POPF and
 *           the like, need the flips, to tell combinations that no result has, such as ZF with SF)
 * Where the manual leaves a flag undefined, the definition is what falls out of these functions. */
#pragma once

#include "cpu/soft/soft_cpu.h"

#define ALWAYS_INLINE inline __attribute__((always_inline))

enum { FMISC_SIGN = 1 << 16, FMISC_PARITY = 1 << 8 };

static ALWAYS_INLINE bool flag_cf(const struct soft_cpu *c)
{
    return c->f_aux >> 63;
}

static ALWAYS_INLINE bool flag_of(const struct soft_cpu *c)
{
    return (c->f_aux ^ c->f_aux << 1) >> 63;
}

static ALWAYS_INLINE bool flag_zf(const struct soft_cpu *c)
{
    return c->f_res == 0;
}

static ALWAYS_INLINE bool flag_sf(const struct soft_cpu *c)
{
    return (c->f_res < 0) ^ (c->f_misc >> 16 & 1);
}

static ALWAYS_INLINE bool flag_pf(const struct soft_cpu *c)
{
    return !__builtin_parity((uint8_t)c->f_res ^ (c->f_misc >> 8 & 0xff));
}

static ALWAYS_INLINE bool flag_af(const struct soft_cpu *c)
{
    return c->f_misc >> 4 & 1;
}

/* The condition of Jcc, SETcc, CMOVcc: SDM vol. 1 appendix B. */
static ALWAYS_INLINE bool condition(const struct soft_cpu *c, unsigned cc)
{
    bool v;
    switch (cc >> 1) {
    case 0:
        v = flag_of(c);
        break;
    case 1:
        v = flag_cf(c);
        break;
    case 2:
        v = flag_zf(c);
        break;
    case 3:
        v = flag_cf(c) | flag_zf(c);
        break;
    case 4:
        v = flag_sf(c);
        break;
    case 5:
        v = flag_pf(c);
        break;
    case 6:
        v = flag_sf(c) != flag_of(c);
        break;
    default:
        v = flag_zf(c) | (flag_sf(c) != flag_of(c));
        break;
    }
    return v ^ (cc & 1);
}

static inline uint32_t flags_get(const struct soft_cpu *c)
{
    return (uint32_t)(flag_cf(c) * FLAG_CF | flag_pf(c) * FLAG_PF | flag_af(c) * FLAG_AF |
                      flag_zf(c) * FLAG_ZF | flag_sf(c) * FLAG_SF | flag_of(c) * FLAG_OF);
}

static inline void flags_set(struct soft_cpu *c, uint32_t f)
{
    bool zf = f & FLAG_ZF, cf = f & FLAG_CF, of = f & FLAG_OF, pf = f & FLAG_PF;
    c->f_res = zf ? 0 : 1;
    c->f_aux = (uint64_t)cf << 63 | (uint64_t)(cf ^ of) << 62;
    /* The parity of the byte 0 is even (PF), of 1 odd. */
    c->f_misc = (f & FLAG_AF) | (pf != zf ? FMISC_PARITY : 0) | (f & FLAG_SF ? FMISC_SIGN : 0);
}

/* Replace CF and OF only. */
static ALWAYS_INLINE void flags_set_co(struct soft_cpu *c, bool cf, bool of)
{
    c->f_aux = (uint64_t)cf << 63 | (uint64_t)(cf ^ of) << 62;
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

static ALWAYS_INLINE void flags_add(struct soft_cpu *c, uint64_t a, uint64_t b, uint64_t r,
                                    unsigned size)
{
    c->f_res = (int64_t)sign_extend(r, size);
    c->f_aux = ((a & b) | ((a | b) & ~r)) << (64 - 8 * size);
    c->f_misc = (uint8_t)(a ^ b ^ r) & FLAG_AF;
}

static ALWAYS_INLINE void flags_sub(struct soft_cpu *c, uint64_t a, uint64_t b, uint64_t r,
                                    unsigned size)
{
    c->f_res = (int64_t)sign_extend(r, size);
    c->f_aux = ((~a & b) | ((~a | b) & r)) << (64 - 8 * size);
    c->f_misc = (uint8_t)(a ^ b ^ r) & FLAG_AF;
}

static ALWAYS_INLINE void flags_logic(struct soft_cpu *c, uint64_t r, unsigned size)
{
    c->f_res = (int64_t)sign_extend(r, size);
    c->f_aux = 0;
    c->f_misc = 0;
}

/* A result with CF and OF given and AF clear: shifts, multiplications. */
static ALWAYS_INLINE void flags_result(struct soft_cpu *c, uint64_t r, unsigned size, bool cf,
                                       bool of)
{
    c->f_res = (int64_t)sign_extend(r, size);
    c->f_misc = 0;
    flags_set_co(c, cf, of);
}
