/* SIMD moves: between registers and memory, single elements in and out (SDM vol. 2). */
#include "cpu/soft/simd.h"

#include <emmintrin.h>

void simd_mov16(union vec128 *d, const union vec128 *s, unsigned arg)
{
    *d = *s;
}

void simd_mov8(union vec128 *d, const union vec128 *s, unsigned arg)
{
    d->u64[0] = s->u64[0];
    d->u64[1] = 0;
}

/* The scalar moves keep the rest of a register that is the destination of a register, and clear it
 * when it is loaded. */
void simd_movss(union vec128 *d, const union vec128 *s, unsigned arg)
{
    if (arg & SIMD_ARG_MEM)
        *d = (union vec128){ .u32 = { s->u32[0] } };
    else
        d->u32[0] = s->u32[0];
}

void simd_movsd(union vec128 *d, const union vec128 *s, unsigned arg)
{
    d->u64[0] = s->u64[0];
    if (arg & SIMD_ARG_MEM)
        d->u64[1] = 0;
}

/* MOVHLPS with a register. */
void simd_movlps(union vec128 *d, const union vec128 *s, unsigned arg)
{
    d->u64[0] = s->u64[arg & SIMD_ARG_MEM ? 0 : 1];
}

void simd_low_to_high(union vec128 *d, const union vec128 *s, unsigned arg)
{
    d->u64[1] = s->u64[0];
}

void simd_high_to_low(union vec128 *d, const union vec128 *s, unsigned arg)
{
    d->u64[0] = s->u64[1];
}

void simd_movmskps(union vec128 *d, const union vec128 *s, unsigned arg)
{
    d->u64[0] = (unsigned)_mm_movemask_ps(_mm_load_ps(s->f32));
}

void simd_movmskpd(union vec128 *d, const union vec128 *s, unsigned arg)
{
    d->u64[0] = (unsigned)_mm_movemask_pd(_mm_load_pd(s->f64));
}

void simd_pmovmskb(union vec128 *d, const union vec128 *s, unsigned arg)
{
    d->u64[0] = (unsigned)_mm_movemask_epi8(_mm_load_si128((const __m128i *)s));
}

void simd_pinsrb(union vec128 *d, const union vec128 *s, unsigned arg)
{
    d->u8[arg & 15] = s->u8[0];
}

void simd_pinsrw(union vec128 *d, const union vec128 *s, unsigned arg)
{
    d->u16[arg & 7] = s->u16[0];
}

void simd_pinsrw4(union vec128 *d, const union vec128 *s, unsigned arg)
{
    d->u16[arg & 3] = s->u16[0];
}

void simd_pinsrd(union vec128 *d, const union vec128 *s, unsigned arg)
{
    if (simd_size(arg) == 8)
        d->u64[arg & 1] = s->u64[0];
    else
        d->u32[arg & 3] = s->u32[0];
}

void simd_pextrb(union vec128 *d, const union vec128 *s, unsigned arg)
{
    d->u64[0] = s->u8[arg & 15];
}

void simd_pextrw(union vec128 *d, const union vec128 *s, unsigned arg)
{
    d->u64[0] = s->u16[arg & 7];
}

void simd_pextrw4(union vec128 *d, const union vec128 *s, unsigned arg)
{
    d->u64[0] = s->u16[arg & 3];
}

void simd_pextrd(union vec128 *d, const union vec128 *s, unsigned arg)
{
    d->u64[0] = simd_size(arg) == 8 ? s->u64[arg & 1] : s->u32[arg & 3];
}

void simd_extractps(union vec128 *d, const union vec128 *s, unsigned arg)
{
    d->u64[0] = s->u32[arg & 3];
}

/* Immediate: source element (a load has but one), destination element, elements to clear. */
void simd_insertps(union vec128 *d, const union vec128 *s, unsigned arg)
{
    unsigned imm = simd_imm(arg);
    d->u32[imm >> 4 & 3] = s->u32[arg & SIMD_ARG_MEM ? 0 : imm >> 6];
    for (unsigned k = 0; k < 4; k++)
        if (imm >> k & 1)
            d->u32[k] = 0;
}
