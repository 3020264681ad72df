/* Floating-point SIMD: the host's instructions under the guest's MXCSR (SDM vol. 1 chapter 11 and
 * appendix E).
 *
 * The host computes with all exceptions masked; an exception that the guest does not mask shows in
 * the host's flags afterwards, and then the result is dropped and #XM raised.
 *
 * Flags beside an unmasked exception may differ from the hardware's: with an overflow or underflow
 * PE may be set where only the exponent is wrong, and DPPS and DPPD show the flags of all their
 * steps.
 *
 * RCPPS and RSQRTPS differ between makers and models. Here they are: the result rounded from a
 * double to a float, of whose fraction the upper 12 bits are kept. Denormal operands count as zero
 * and results too small for a normal number become zero, whatever MXCSR says. */
#include "cpu/soft/simd.h"

#include <smmintrin.h>

/* Volatile, so that they stay between the changes of the host's MXCSR. */
#define XMM(map, prefix, opcode, name, ...)                                                    \
    void simd_xmm_##name(union vec128 *d, const union vec128 *s, unsigned arg)                 \
    {                                                                                          \
        __m128i v = _mm_load_si128((const __m128i *)d);                                        \
        __asm__ volatile(#name " %1, %0" : "+x"(v) : "x"(_mm_load_si128((const __m128i *)s))); \
        _mm_store_si128((__m128i *)d, v);                                                      \
    }
SIMD_FLOAT(XMM)

/* ---- conversions between register files ---- */

#define FROM_MMX(name)                                                     \
    void simd_##name(union vec128 *d, const union vec128 *s, unsigned arg) \
    {                                                                      \
        __m128i v = _mm_load_si128((const __m128i *)d);                    \
        __asm__ volatile("movq %1, %%mm0\n\t" #name " %%mm0, %0\n\temms"   \
                         : "+x"(v)                                         \
                         : "m"(s->u64[0])                                  \
                         : "mm0", "st");                                   \
        _mm_store_si128((__m128i *)d, v);                                  \
    }
FROM_MMX(cvtpi2ps)
FROM_MMX(cvtpi2pd)

#define TO_MMX(name)                                                       \
    void simd_##name(union vec128 *d, const union vec128 *s, unsigned arg) \
    {                                                                      \
        __asm__ volatile(#name " %1, %%mm0\n\tmovq %%mm0, %0\n\temms"      \
                         : "=m"(d->u64[0])                                 \
                         : "x"(_mm_load_si128((const __m128i *)s))         \
                         : "mm0", "st");                                   \
    }
TO_MMX(cvtps2pi)
TO_MMX(cvttps2pi)
TO_MMX(cvtpd2pi)
TO_MMX(cvttpd2pi)

#define FROM_GPR(name)                                                     \
    void simd_##name(union vec128 *d, const union vec128 *s, unsigned arg) \
    {                                                                      \
        __m128i v = _mm_load_si128((const __m128i *)d);                    \
        if (simd_size(arg) == 8)                                           \
            __asm__ volatile(#name "q %1, %0" : "+x"(v) : "r"(s->u64[0])); \
        else                                                               \
            __asm__ volatile(#name "l %1, %0" : "+x"(v) : "r"(s->u32[0])); \
        _mm_store_si128((__m128i *)d, v);                                  \
    }
FROM_GPR(cvtsi2ss)
FROM_GPR(cvtsi2sd)

#define TO_GPR(name)                                                       \
    void simd_##name(union vec128 *d, const union vec128 *s, unsigned arg) \
    {                                                                      \
        __m128i v = _mm_load_si128((const __m128i *)s);                    \
        uint32_t r32;                                                      \
        if (simd_size(arg) == 8) {                                         \
            __asm__ volatile(#name " %1, %0" : "=r"(d->u64[0]) : "x"(v));  \
            return;                                                        \
        }                                                                  \
        __asm__ volatile(#name " %1, %0" : "=r"(r32) : "x"(v));            \
        d->u64[0] = r32;                                                   \
    }
TO_GPR(cvtss2si)
TO_GPR(cvttss2si)
TO_GPR(cvtsd2si)
TO_GPR(cvttsd2si)

/* ---- comparisons ---- */

#define COMPARE(name)                                                                           \
    void simd_##name(union vec128 *d, const union vec128 *s, unsigned arg)                      \
    {                                                                                           \
        __m128i a = _mm_load_si128((const __m128i *)d), b = _mm_load_si128((const __m128i *)s); \
        bool zf, pf, cf;                                                                        \
        __asm__ volatile(#name " %4, %3"                                                        \
                         : "=@ccz"(zf), "=@ccp"(pf), "=@ccc"(cf)                                \
                         : "x"(a), "x"(b));                                                     \
        d->u32[0] = (zf ? FLAG_ZF : 0) | (pf ? FLAG_PF : 0) | (cf ? FLAG_CF : 0);               \
    }
COMPARE(ucomiss)
COMPARE(ucomisd)
COMPARE(comiss)
COMPARE(comisd)

/* ---- operations with an immediate: the host wants a constant, so there is one copy for each ----
 */

#define CASE(n) \
    case (n):   \
        OP(n) break;
#define CASES4(n)  CASE(n) CASE((n) + 1) CASE((n) + 2) CASE((n) + 3)
#define CASES16(n) CASES4(n) CASES4((n) + 4) CASES4((n) + 8) CASES4((n) + 12)
#define CASES64(n) CASES16(n) CASES16((n) + 16) CASES16((n) + 32) CASES16((n) + 48)

#define WITH_IMM(name, mask, cases)                                                             \
    void simd_##name(union vec128 *d, const union vec128 *s, unsigned arg)                      \
    {                                                                                           \
        __m128i v = _mm_load_si128((const __m128i *)d), w = _mm_load_si128((const __m128i *)s); \
        switch (arg & (mask)) {                                                                 \
            cases                                                                               \
        }                                                                                       \
        _mm_store_si128((__m128i *)d, v);                                                       \
    }

#define HOST_OP(name, n) __asm__ volatile(name " %2, %1, %0" : "+x"(v) : "x"(w), "i"(n));

#define OP(n) HOST_OP("cmpps", n)
WITH_IMM(cmpps, 7, CASES4(0) CASES4(4))
#undef OP
#define OP(n) HOST_OP("cmppd", n)
WITH_IMM(cmppd, 7, CASES4(0) CASES4(4))
#undef OP
#define OP(n) HOST_OP("cmpss", n)
WITH_IMM(cmpss, 7, CASES4(0) CASES4(4))
#undef OP
#define OP(n) HOST_OP("cmpsd", n)
WITH_IMM(cmpsd, 7, CASES4(0) CASES4(4))
#undef OP
#define OP(n) HOST_OP("roundps", n)
WITH_IMM(roundps, 15, CASES16(0))
#undef OP
#define OP(n) HOST_OP("roundpd", n)
WITH_IMM(roundpd, 15, CASES16(0))
#undef OP
#define OP(n) HOST_OP("roundss", n)
WITH_IMM(roundss, 15, CASES16(0))
#undef OP
#define OP(n) HOST_OP("roundsd", n)
WITH_IMM(roundsd, 15, CASES16(0))
#undef OP
#define OP(n) HOST_OP("dpps", n)
WITH_IMM(dpps, 255, CASES64(0) CASES64(64) CASES64(128) CASES64(192))
#undef OP
#define OP(n) HOST_OP("dppd", n)
WITH_IMM(dppd, 0x33, CASES4(0) CASES4(16) CASES4(32) CASES4(48))
#undef OP

/* ---- approximations ---- */

enum {
    F32_SIGN = 1u << 31,
    F32_INF = 0x7f800000,
    F32_QUIET = 0x400000,
    F32_INDEFINITE = 0xffc00000
};

static uint32_t f32_bits(double v)
{
    float f = (float)v;
    uint32_t bits;
    memcpy(&bits, &f, sizeof bits);
    return bits;
}

static double f32_value(uint32_t bits)
{
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

static double root(double v)
{
    return _mm_cvtsd_f64(_mm_sqrt_pd(_mm_set1_pd(v)));
}

/* Keep 12 bits of the fraction; no denormal results. */
static uint32_t approximate(double v)
{
    uint32_t bits = f32_bits(v);
    return (bits & F32_INF) ? bits & ~0x7ffu : bits & F32_SIGN;
}

static uint32_t reciprocal(uint32_t x)
{
    uint32_t sign = x & F32_SIGN, magnitude = x & ~F32_SIGN;
    if (magnitude > F32_INF)
        return x | F32_QUIET;
    if (magnitude == F32_INF)
        return sign;
    if (!(x & F32_INF))
        return sign | F32_INF;
    return approximate(1.0 / f32_value(x));
}

static uint32_t reciprocal_root(uint32_t x)
{
    uint32_t sign = x & F32_SIGN, magnitude = x & ~F32_SIGN;
    if (magnitude > F32_INF)
        return x | F32_QUIET;
    if (!(x & F32_INF))
        return sign | F32_INF;
    if (sign)
        return F32_INDEFINITE;
    return magnitude == F32_INF ? 0 : approximate(1.0 / root(f32_value(x)));
}

static void each_float(union vec128 *d, const union vec128 *s, unsigned n, uint32_t (*fn)(uint32_t))
{
    for (unsigned k = 0; k < n; k++)
        d->u32[k] = fn(s->u32[k]);
}

void simd_rcpps(union vec128 *d, const union vec128 *s, unsigned arg)
{
    each_float(d, s, 4, reciprocal);
}

void simd_rcpss(union vec128 *d, const union vec128 *s, unsigned arg)
{
    each_float(d, s, 1, reciprocal);
}

void simd_rsqrtps(union vec128 *d, const union vec128 *s, unsigned arg)
{
    each_float(d, s, 4, reciprocal_root);
}

void simd_rsqrtss(union vec128 *d, const union vec128 *s, unsigned arg)
{
    each_float(d, s, 1, reciprocal_root);
}
