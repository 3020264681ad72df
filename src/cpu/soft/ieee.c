/* Fused multiply-add and conversions in integers (SDM vol. 1 4.8, 11.5 and 14.5).
 *
 * A finite number is a 128-bit integer times a power of two. Products of two 53-bit fractions are
 * exact in it; of a sum, what falls off the lower end is kept as one bit that says that there was
 * something. So there is one rounding, at the end, and it knows whether the result is exact. */
#include "cpu/soft/ieee.h"
#include "cpu/soft/fpu.h"

typedef unsigned __int128 u128;

/* Into ieee_fma(), once for each format: with constant shifts it takes half the time. */
#define INLINE static inline __attribute__((always_inline))

const struct ieee_format ieee_formats[] = {
    [IEEE_HALF] = { 10, 5 },
    [IEEE_SINGLE] = { 23, 8 },
    [IEEE_DOUBLE] = { 52, 11 },
};

enum kind { ZERO, FINITE, INFINITE, QUIET_NAN, SIGNALLING_NAN };

struct number {
    enum kind kind;
    bool negative, denormal;
    int exp; /* of the lowest bit of mant */
    u128 mant;
};

INLINE int bias(const struct ieee_format *f)
{
    return (1 << (f->exponent - 1)) - 1;
}

INLINE uint64_t infinity(const struct ieee_format *f)
{
    return ((1ULL << f->exponent) - 1) << f->fraction;
}

INLINE uint64_t quiet_bit(const struct ieee_format *f)
{
    return 1ULL << (f->fraction - 1);
}

INLINE uint64_t with_sign(const struct ieee_format *f, bool negative, uint64_t magnitude)
{
    return magnitude | (uint64_t)negative << (f->fraction + f->exponent);
}

INLINE unsigned leading_zeros(u128 v)
{
    uint64_t high = (uint64_t)(v >> 64);
    return high ? (unsigned)__builtin_clzll(high) : 64 + (unsigned)__builtin_clzll((uint64_t)v);
}

/* `mant` of a finite one has its highest bit at 63. */
INLINE struct number unpack(const struct ieee_format *f, uint64_t bits, uint32_t mxcsr)
{
    uint64_t fraction = bits & ((1ULL << f->fraction) - 1);
    int e = (int)(bits >> f->fraction & ((1u << f->exponent) - 1));
    struct number n = { .negative = bits >> (f->fraction + f->exponent) & 1 };
    if (e == (1 << f->exponent) - 1) {
        n.kind = !fraction ? INFINITE : fraction & quiet_bit(f) ? QUIET_NAN : SIGNALLING_NAN;
        return n;
    }
    n.denormal = !e && fraction && !(mxcsr & MXCSR_DAZ);
    if (e)
        fraction |= 1ULL << f->fraction;
    else if (!n.denormal)
        return n;
    unsigned shift = (unsigned)__builtin_clzll(fraction);
    n.kind = FINITE;
    n.mant = fraction << shift;
    n.exp = (e ? e : 1) - bias(f) - (int)f->fraction - (int)shift;
    return n;
}

/* Shift to the right; the lowest bit of the result is set if any that was lost is. */
INLINE u128 shift_sticky(u128 v, unsigned n)
{
    if (n > 127)
        return v != 0;
    return v >> n | ((v & (((u128)1 << n) - 1)) != 0);
}

/* Does rounding go away from zero? `rest`: what lies below the last bit kept, from bit 127 down. */
INLINE bool rounds_up(uint32_t mxcsr, bool negative, bool odd, u128 rest)
{
    u128 half = (u128)1 << 127;
    switch ((mxcsr & MXCSR_RC) >> MXCSR_RC_SHIFT) {
    case 0:
        return rest > half || (rest == half && odd);
    case 1:
        return rest && negative;
    case 2:
        return rest && !negative;
    default:
        return false;
    }
}

static uint64_t overflow(const struct ieee_format *f, bool negative, bool exact,
                         struct ieee_env *env)
{
    bool masked = env->mxcsr & FSW_OE << MXCSR_MASK_SHIFT;
    env->flags |= FSW_OE | (masked || !exact ? FSW_PE : 0);
    bool to_infinity = rounds_up(env->mxcsr, negative, true, (u128)1 << 127);
    return with_sign(f, negative, infinity(f) - !to_infinity);
}

/* Too small for a normal number, however it is rounded. `mant` is normalized, with `below` bits
 * less than the format has; `exact`: rounding to all of its bits would be. */
static uint64_t underflow(const struct ieee_format *f, bool negative, u128 mant, unsigned below,
                          bool exact, struct ieee_env *env)
{
    if (!(env->mxcsr & MXCSR_UM)) {
        env->flags |= FSW_UE | (exact ? 0 : FSW_PE);
        return 0;
    }
    if (env->mxcsr & MXCSR_FTZ) {
        env->flags |= FSW_UE | FSW_PE;
        return with_sign(f, negative, 0);
    }
    mant = shift_sticky(mant, below);
    uint64_t kept = (uint64_t)(mant >> (127 - f->fraction));
    u128 rest = mant << (f->fraction + 1);
    kept += rounds_up(env->mxcsr, negative, kept & 1, rest);
    env->flags |= rest ? FSW_UE | FSW_PE : 0;
    return with_sign(f, negative, kept);
}

/* Of a finite number that is not zero. Tiny is what is too small after rounding to as many bits as
 * a normal number has. */
INLINE uint64_t round_number(const struct ieee_format *f, const struct number *n,
                             struct ieee_env *env)
{
    unsigned shift = leading_zeros(n->mant);
    u128 mant = n->mant << shift, rest = mant << (f->fraction + 1);
    uint64_t kept = (uint64_t)(mant >> (127 - f->fraction));
    int first = n->exp - (int)shift + 127 + bias(f), e = first;
    kept += rounds_up(env->mxcsr, n->negative, kept & 1, rest);
    if (kept >> (f->fraction + 1)) {
        kept >>= 1;
        e++;
    }
    if (e >= (1 << f->exponent) - 1)
        return overflow(f, n->negative, !rest, env);
    if (e < 1)
        return underflow(f, n->negative, mant, (unsigned)(1 - first), !rest, env);
    env->flags |= rest ? FSW_PE : 0;
    return with_sign(f, n->negative, ((uint64_t)(e - 1) << f->fraction) + kept);
}

static uint64_t invalid(const struct ieee_format *f, struct ieee_env *env)
{
    env->flags |= FSW_IE;
    return with_sign(f, true, infinity(f) | quiet_bit(f));
}

/* Both have their highest bit below bit 126, and as many zeros below that the sum is exact, or the
 * lost bits are far below those that rounding keeps. The result may be zero. */
INLINE struct number add(struct number a, struct number b)
{
    if (a.exp < b.exp) {
        struct number t = a;
        a = b;
        b = t;
    }
    b.mant = shift_sticky(b.mant, (unsigned)(a.exp - b.exp));
    if (a.negative == b.negative) {
        a.mant += b.mant;
    } else if (a.mant >= b.mant) {
        a.mant -= b.mant;
    } else {
        a.mant = b.mant - a.mant;
        a.negative = b.negative;
    }
    return a;
}

/* `p` is the product. */
INLINE uint64_t sum(const struct ieee_format *f, struct number p, struct number z,
                    struct ieee_env *env)
{
    if (p.kind == INFINITE || z.kind == INFINITE)
        return with_sign(f, p.kind == INFINITE ? p.negative : z.negative, infinity(f));
    bool alike = p.negative == z.negative, down = (env->mxcsr & MXCSR_RC) >> MXCSR_RC_SHIFT == 1;
    bool sign_of_zero = alike ? p.negative : down;
    if (p.kind == ZERO && z.kind == ZERO)
        return with_sign(f, sign_of_zero, 0);
    z.mant <<= 62; /* where the product's is: 126 bits */
    z.exp -= 62;
    if (p.kind == FINITE && z.kind == FINITE)
        p = add(p, z);
    else if (z.kind == FINITE)
        p = z;
    return p.mant ? round_number(f, &p, env) : with_sign(f, sign_of_zero, 0);
}

INLINE uint64_t fma_of(const struct ieee_format *f, uint64_t xbits, uint64_t ybits, uint64_t zbits,
                       unsigned negate, struct ieee_env *env)
{
    struct number x = unpack(f, xbits, env->mxcsr), y = unpack(f, ybits, env->mxcsr),
                  z = unpack(f, zbits, env->mxcsr);
    if (x.kind == SIGNALLING_NAN || y.kind == SIGNALLING_NAN || z.kind == SIGNALLING_NAN)
        env->flags |= FSW_IE;
    if (x.kind >= QUIET_NAN)
        return xbits | quiet_bit(f);
    if (y.kind >= QUIET_NAN)
        return ybits | quiet_bit(f);
    if (z.kind >= QUIET_NAN)
        return zbits | quiet_bit(f);

    bool infinite = x.kind == INFINITE || y.kind == INFINITE;
    bool zero = x.kind == ZERO || y.kind == ZERO;
    struct number p = { .kind = infinite ? INFINITE
                                : zero   ? ZERO
                                         : FINITE,
                        .negative = x.negative ^ y.negative ^ !!(negate & IEEE_NEGATE_PRODUCT) };
    z.negative ^= negate & IEEE_NEGATE_Z;
    if ((infinite && zero) || (infinite && z.kind == INFINITE && p.negative != z.negative))
        return invalid(f, env);
    env->flags |= x.denormal || y.denormal || z.denormal ? FSW_DE : 0;
    if (p.kind == FINITE) {
        p.mant = x.mant * y.mant >> 2; /* the lowest 22 bits are zero */
        p.exp = x.exp + y.exp + 2;
    }
    return sum(f, p, z, env);
}

uint64_t ieee_fma(enum ieee_name format, uint64_t x, uint64_t y, uint64_t z, unsigned negate,
                  struct ieee_env *env)
{
    return format == IEEE_DOUBLE ? fma_of(&ieee_formats[IEEE_DOUBLE], x, y, z, negate, env)
                                 : fma_of(&ieee_formats[IEEE_SINGLE], x, y, z, negate, env);
}

uint64_t ieee_convert(enum ieee_name to_format, enum ieee_name from_format, uint64_t v,
                      struct ieee_env *env)
{
    const struct ieee_format *to = &ieee_formats[to_format], *from = &ieee_formats[from_format];
    struct number n = unpack(from, v, env->mxcsr);
    switch (n.kind) {
    case ZERO:
        return with_sign(to, n.negative, 0);
    case INFINITE:
        return with_sign(to, n.negative, infinity(to));
    case SIGNALLING_NAN:
        env->flags |= FSW_IE;
        /* fall through */
    case QUIET_NAN:
        v &= (1ULL << from->fraction) - 1;
        v = from->fraction > to->fraction ? v >> (from->fraction - to->fraction)
                                          : v << (to->fraction - from->fraction);
        return with_sign(to, n.negative, infinity(to) | quiet_bit(to) | v);
    default:
        env->flags |= n.denormal ? FSW_DE : 0;
        return round_number(to, &n, env);
    }
}
