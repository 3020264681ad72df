/* Random floating-point operands for tests, of which many are special or meet in special ways. The
 * program that includes it sets `seed`, which is not zero. */
#pragma once

#include "cpu/soft/fpu.h"
#include "cpu/soft/ieee.h"

#include "random.h"

static uint32_t random_f32(void)
{
    static const uint32_t special[] = {
        0,          0x80000000, 1,          0x807fffff, 0x00800000, 0x3f800000, 0xbf800000,
        0x7f7fffff, 0x7f800000, 0xff800000, 0x7fc00000, 0xffc01234, 0x7f800001, 0xffa00000,
        0x4f000000, 0xcf000000, 0x5f000000, 0x4b000001, 0x3f000000, 0x40200000,
    };
    switch (below(4)) {
    case 0:
        return special[below(ARRAY_LEN(special))];
    case 1: /* of like size, so that sums round */
        return (uint32_t)((random64() & 0x807fffff) | (120 + below(16)) << 23);
    default:
        return (uint32_t)random64();
    }
}

static uint64_t random_f64(void)
{
    static const uint64_t special[] = {
        0,
        1ULL << 63,
        1,
        0x800fffffffffffff,
        0x0010000000000000,
        0x3ff0000000000000,
        0xbff0000000000000,
        0x7fefffffffffffff,
        0x7ff0000000000000,
        0xfff0000000000000,
        0x7ff8000000000000,
        0xfff8000000001234,
        0x7ff0000000000001,
        0xfff4000000000000,
        0x41e0000000000000,
        0xc1e0000000000000,
        0x41dfffffffe00000,
        0x43e0000000000000,
        0xc3e0000000000000,
        0x3fe0000000000000,
        0x4004000000000000,
        0x380fffffffffffff,
        0x36a0000000000000,
        0x47efffffffffffff,
    };
    switch (below(4)) {
    case 0:
        return special[below(ARRAY_LEN(special))];
    case 1:
        return (random64() & 0x800fffffffffffff) | (uint64_t)(1015 + below(70)) << 52;
    default:
        return random64();
    }
}

static union vec128 random_vec(void)
{
    union vec128 v;
    unsigned kind = below(4);
    for (unsigned k = 0; k < 4; k++)
        v.u32[k] = random_f32();
    for (unsigned k = 0; k < 2 && kind == 1; k++)
        v.u64[k] = random_f64();
    for (unsigned k = 0; k < 2 && kind == 2; k++)
        v.u64[k] = random64();
    for (unsigned k = 0; k < 16 && kind == 3; k++) /* few values: strings that match */
        v.u8[k] = (uint8_t) "\0aab\x80\xff\x7f"[below(8) % 7];
    return v;
}

static struct f80 random_f80(void)
{
    static const struct f80 special[] = {
        { 0, 0 },
        { 0, 0x8000 },
        { 1, 0 },
        { 1ULL << 63, 0 },
        { 1ULL << 63, 0x7fff },
        { 1ULL << 63, 0xffff },
        { 3ULL << 62, 0x7fff },
        { 0xc000000000001234, 0xffff },
        { 0x8000000000000001, 0x7fff },
        { 0, 0x7fff },
        { 1234, 0x4000 },
        { 1ULL << 63, 0x3fff },
        { 1ULL << 63, 0xbfff },
        { 1ULL << 63, 0x403e },
        { 1ULL << 63, 0xc03e },
        { UINT64_MAX, 0x7ffe },
        { 1ULL << 63, 1 },
        { 1ULL << 63, 0x3ffe },
        { 1ULL << 63, 0x4000 },
        { UINT64_MAX, 0x407e },
        { 0xc90fdaa22168c235, 0x3fff },
        { 0x8000000000000001, 0x3f80 },
    };
    struct f80 v;
    switch (below(4)) {
    case 0:
        return special[below(ARRAY_LEN(special))];
    case 1: /* a small integer or a fraction of moderate size */
        v.mant = (random64() << below(60)) | 1ULL << 63;
        v.se = (uint16_t)(0x3ff0 + below(80));
        break;
    case 2:
        v.mant = random64() | 1ULL << 63;
        v.se = (uint16_t)(0x3fff - 20 + below(40));
        break;
    default:
        v.mant = random64();
        v.se = (uint16_t)random64();
        return v;
    }
    v.se |= (uint16_t)(below(2) << 15);
    return v;
}

static uint32_t random_mxcsr(void)
{
    switch (below(8)) {
    case 0: /* some exceptions unmasked */
        return (uint32_t)random64() & 0xffff;
    case 1:
    case 2:
        return MXCSR_RESET | ((uint32_t)random64() & 0xe07f);
    case 3:
        return MXCSR_RESET | ((uint32_t)random64() & 0x3f);
    default:
        return MXCSR_RESET;
    }
}

/* ---- operands that meet where a fused multiply-add is difficult ---- */

static uint64_t special_fraction(unsigned bits)
{
    uint64_t all = (1ULL << bits) - 1;
    switch (below(6)) {
    case 0:
        return 0;
    case 1:
        return below(3);
    case 2:
        return all - below(3);
    case 3:
        return 1ULL << below(bits);
    case 4: /* the upper half: products are exact */
        return random64() & all & all << bits / 2;
    default:
        return random64() & all;
    }
}

static uint64_t make_float(const struct ieee_format *f, int exponent, uint64_t fraction)
{
    int last = (1 << f->exponent) - 2;
    exponent = exponent < 0 ? 0 : exponent > last ? last : exponent;
    return (uint64_t)below(2) << (f->fraction + f->exponent) | (uint64_t)exponent << f->fraction |
           fraction;
}

/* x, y and z such that x * y is about as large as z, or as far from it as rounding reaches; often
 * at an end of the range. */
static void random_triple(enum ieee_name format, uint64_t *v)
{
    const struct ieee_format *f = &ieee_formats[format];
    int last = (1 << f->exponent) - 2, bias = last / 2, p = (int)f->fraction + 1;
    int product = below(3) == 0   ? (int)below(4) - 2
                  : below(3) == 0 ? last + (int)below(4) - 2
                                  : (int)below((unsigned)last + 2 * (unsigned)p) - p;
    int x = product / 2 + bias / 2 + (int)below((unsigned)bias) - bias / 2;
    int distance =
        (int[]){ 0, 0, p, -p, 2 * p, -2 * p, (int)below(8 * (unsigned)p) - 4 * p }[below(7)];
    v[0] = make_float(f, x, special_fraction(f->fraction));
    v[1] = make_float(f, product + bias - x, special_fraction(f->fraction));
    v[2] = make_float(f, product + distance + (int)below(5) - 2, special_fraction(f->fraction));
    if (below(4) == 0) { /* z is the product but for its last bits: what is left is small */
        struct ieee_env env = { .mxcsr = MXCSR_RESET };
        v[2] = ieee_fma(format, v[0], v[1], 0, below(2) ? IEEE_NEGATE_PRODUCT : 0, &env) +
               below(3) - 1;
    }
    for (unsigned k = 0; k < 3; k++)
        if (below(16) == 0)
            v[k] = f->fraction == 23 ? random_f32() : random_f64();
}

/* A single whose half is tiny, too large, or between two. */
static uint32_t random_near_half(void)
{
    uint32_t below_half = (uint32_t[]){ 0, 1, 0xfff, 0x1000, 0x1001, 0x1fff }[below(6)];
    int exponent = 127 - 15 - 12 + (int)below(45);
    uint64_t kept = special_fraction(10);
    if (below(16) == 0)
        return random_f32();
    return (uint32_t)(make_float(&ieee_formats[IEEE_SINGLE], exponent, kept << 13 | below_half));
}
