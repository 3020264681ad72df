/* Integer SIMD: each function is the host instruction of the same name (SDM vol. 2).
 *
 * The MMX forms use the host's MMX registers and leave its x87 stack empty, as the calling
 * convention wants it. */
#include "cpu/soft/simd.h"

#include <smmintrin.h>

#define BOTH(map, opcode, name, ...)                                              \
    XMM(map, 66, opcode, name)                                                    \
    void simd_mmx_##name(union vec128 *d, const union vec128 *s, unsigned arg)    \
    {                                                                             \
        __asm__("movq %0, %%mm0\n\t" #name " %1, %%mm0\n\tmovq %%mm0, %0\n\temms" \
                : "+m"(d->u64[0])                                                 \
                : "m"(s->u64[0])                                                  \
                : "mm0", "st");                                                   \
    }

#define XMM(map, prefix, opcode, name, ...)                                           \
    void simd_xmm_##name(union vec128 *d, const union vec128 *s, unsigned arg)        \
    {                                                                                 \
        __m128i v = _mm_load_si128((const __m128i *)d);                               \
        __asm__(#name " %1, %0" : "+x"(v) : "x"(_mm_load_si128((const __m128i *)s))); \
        _mm_store_si128((__m128i *)d, v);                                             \
    }

SIMD_INT_BOTH(BOTH)
SIMD_INT_XMM(XMM)

/* Shifts by an immediate are shifts by a register that holds it. */
#define SHIFT(opcode, reg, name)                                                     \
    void simd_mmx_##name##_imm(union vec128 *d, const union vec128 *s, unsigned arg) \
    {                                                                                \
        union vec128 count = { .u64 = { simd_imm(arg) } };                           \
        simd_mmx_##name(d, &count, 0);                                               \
    }                                                                                \
    void simd_xmm_##name##_imm(union vec128 *d, const union vec128 *s, unsigned arg) \
    {                                                                                \
        union vec128 count = { .u64 = { simd_imm(arg) } };                           \
        simd_xmm_##name(d, &count, 0);                                               \
    }
SIMD_SHIFTS(SHIFT)

/* `n` bytes of `low` and then `high`, from byte `from` on; zeros beyond. */
static void extract_bytes(uint8_t *d, const uint8_t *low, const uint8_t *high, unsigned n,
                          unsigned from)
{
    uint8_t buf[48] = { 0 };
    memcpy(buf, low, n);
    memcpy(buf + n, high, n);
    memcpy(d, buf + (from < 2 * n ? from : 2 * n), n);
}

void simd_xmm_psrldq_imm(union vec128 *d, const union vec128 *s, unsigned arg)
{
    static const union vec128 zero;
    extract_bytes(d->u8, d->u8, zero.u8, 16, simd_imm(arg));
}

void simd_xmm_pslldq_imm(union vec128 *d, const union vec128 *s, unsigned arg)
{
    static const union vec128 zero;
    unsigned n = simd_imm(arg) < 16 ? simd_imm(arg) : 16;
    extract_bytes(d->u8, zero.u8, d->u8, 16, 16 - n);
}

void simd_palignr(union vec128 *d, const union vec128 *s, unsigned arg)
{
    extract_bytes(d->u8, s->u8, d->u8, 16, simd_imm(arg));
}

void simd_palignr8(union vec128 *d, const union vec128 *s, unsigned arg)
{
    extract_bytes(d->u8, s->u8, d->u8, 8, simd_imm(arg));
}

/* ---- shuffles and blends by an immediate ---- */

static void shuffle_words(uint16_t *d, const uint16_t *s, unsigned imm)
{
    uint16_t v[4];
    for (unsigned k = 0; k < 4; k++)
        v[k] = s[imm >> 2 * k & 3];
    memcpy(d, v, sizeof v);
}

void simd_pshufw(union vec128 *d, const union vec128 *s, unsigned arg)
{
    shuffle_words(d->u16, s->u16, simd_imm(arg));
}

void simd_pshuflw(union vec128 *d, const union vec128 *s, unsigned arg)
{
    shuffle_words(d->u16, s->u16, simd_imm(arg));
    d->u64[1] = s->u64[1];
}

void simd_pshufhw(union vec128 *d, const union vec128 *s, unsigned arg)
{
    shuffle_words(d->u16 + 4, s->u16 + 4, simd_imm(arg));
    d->u64[0] = s->u64[0];
}

void simd_pshufd(union vec128 *d, const union vec128 *s, unsigned arg)
{
    union vec128 v;
    for (unsigned k = 0; k < 4; k++)
        v.u32[k] = s->u32[simd_imm(arg) >> 2 * k & 3];
    *d = v;
}

void simd_shufps(union vec128 *d, const union vec128 *s, unsigned arg)
{
    union vec128 v;
    for (unsigned k = 0; k < 4; k++)
        v.u32[k] = (k < 2 ? d : s)->u32[simd_imm(arg) >> 2 * k & 3];
    *d = v;
}

void simd_shufpd(union vec128 *d, const union vec128 *s, unsigned arg)
{
    union vec128 v = { .u64 = { d->u64[arg & 1], s->u64[arg >> 1 & 1] } };
    *d = v;
}

void simd_blendps(union vec128 *d, const union vec128 *s, unsigned arg)
{
    for (unsigned k = 0; k < 4; k++)
        d->u32[k] = (arg >> k & 1 ? s : d)->u32[k];
}

void simd_blendpd(union vec128 *d, const union vec128 *s, unsigned arg)
{
    for (unsigned k = 0; k < 2; k++)
        d->u64[k] = (arg >> k & 1 ? s : d)->u64[k];
}

void simd_pblendw(union vec128 *d, const union vec128 *s, unsigned arg)
{
    for (unsigned k = 0; k < 8; k++)
        d->u16[k] = (arg >> k & 1 ? s : d)->u16[k];
}

void simd_mpsadbw(union vec128 *d, const union vec128 *s, unsigned arg)
{
    const uint8_t *a = d->u8 + (arg & 4), *b = s->u8 + 4 * (arg & 3);
    union vec128 v;
    for (unsigned k = 0; k < 8; k++) {
        unsigned sum = 0;
        for (unsigned j = 0; j < 4; j++)
            sum += a[k + j] > b[j] ? a[k + j] - b[j] : b[j] - a[k + j];
        v.u16[k] = (uint16_t)sum;
    }
    *d = v;
}

void simd_ptest(union vec128 *d, const union vec128 *s, unsigned arg)
{
    __m128i a = _mm_load_si128((const __m128i *)d), b = _mm_load_si128((const __m128i *)s);
    d->u32[0] = (_mm_testz_si128(a, b) ? FLAG_ZF : 0) | (_mm_testc_si128(a, b) ? FLAG_CF : 0);
}
