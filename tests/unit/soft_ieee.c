/* Fused multiply-add and half precision: cases worked out by hand, for hosts that cannot compare
 * with an instruction of their own as unit.soft_simd does. */
#include "cpu/soft/ieee.h"
#include "cpu/soft/simd.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum {
    NEAREST = MXCSR_RESET,
    DOWN = MXCSR_RESET | 0x2000,
    UP = MXCSR_RESET | 0x4000,
    ZERO = MXCSR_RESET | 0x6000,
    DAZ = MXCSR_RESET | MXCSR_DAZ,
    FTZ = MXCSR_RESET | MXCSR_FTZ,
    RAISE_UNDERFLOW = MXCSR_RESET & ~MXCSR_UM,
    RAISE_OVERFLOW = MXCSR_RESET & ~(FSW_OE << MXCSR_MASK_SHIFT),
};

/* Singles; ROOT squared is 1 + 2^-11 + 2^-24, in the middle between two. */
#define ROOT    0x3f800800
#define SQUARE  0x3f801000
#define LARGEST 0x7f7fffff
#define INF     0x7f800000
#define MINUS   0x80000000
#define ONE     0x3f800000
#define TWO     0x40000000
#define HALF    0x3f000000
#define NORMAL  0x00800000 /* the least */

static void test_fma_single(void **unused)
{
    static const struct {
        uint32_t x, y, z, negate, mxcsr, result, flags;
    } list[] = {
        { ONE, ONE, ONE, 0, NEAREST, TWO, 0 },
        { ONE, TWO, ONE, IEEE_NEGATE_Z, NEAREST, ONE, 0 },
        { ONE, TWO, ONE, IEEE_NEGATE_PRODUCT, NEAREST, ONE | MINUS, 0 },
        /* ties, and what decides them */
        { ROOT, ROOT, 0, 0, NEAREST, SQUARE, FSW_PE },
        { ROOT, ROOT, 0, 0, UP, SQUARE + 1, FSW_PE },
        { ROOT, ROOT, 0, IEEE_NEGATE_PRODUCT, UP, SQUARE | MINUS, FSW_PE },
        { ROOT, ROOT, 0, IEEE_NEGATE_PRODUCT, DOWN, (SQUARE + 1) | MINUS, FSW_PE },
        { ROOT, ROOT, 0x21800000, 0, NEAREST, SQUARE + 1, FSW_PE },
        { ROOT, ROOT, 0x00800000, 0, NEAREST, SQUARE + 1, FSW_PE },
        { ROOT, ROOT, 0x80800000, 0, NEAREST, SQUARE, FSW_PE },
        { ROOT, ROOT, 0x80800000, 0, UP, SQUARE + 1, FSW_PE },
        { ROOT, ROOT, SQUARE, IEEE_NEGATE_Z, NEAREST, 0x33800000, 0 },
        /* too large, but only in between */
        { LARGEST, TWO, LARGEST, IEEE_NEGATE_Z, NEAREST, LARGEST, 0 },
        { LARGEST, TWO, 0, 0, NEAREST, INF, FSW_OE | FSW_PE },
        { LARGEST, TWO, 0, 0, ZERO, LARGEST, FSW_OE | FSW_PE },
        { LARGEST, TWO, 0, IEEE_NEGATE_PRODUCT, UP, LARGEST | MINUS, FSW_OE | FSW_PE },
        { LARGEST, TWO, INF, IEEE_NEGATE_Z, NEAREST, INF | MINUS, 0 },
        /* tiny: exact, flushed, and after rounding */
        { NORMAL, HALF, 0, 0, NEAREST, NORMAL / 2, 0 },
        { NORMAL, HALF, 0, 0, FTZ, 0, FSW_UE | FSW_PE },
        { 0x3f7fffff, NORMAL, 0, 0, NEAREST, NORMAL, FSW_UE | FSW_PE },
        { 0x1ffff800, 0x20000400, 0, 0, NEAREST, NORMAL, FSW_PE },
        { 0x1ffff800, 0x20000400, 0, 0, FTZ, NORMAL, FSW_PE },
        { 0x1ffff800, 0x20000400, 0, 0, ZERO, NORMAL - 1, FSW_UE | FSW_PE },
        /* zeros */
        { ONE, ONE, ONE, IEEE_NEGATE_Z, NEAREST, 0, 0 },
        { ONE, ONE, ONE, IEEE_NEGATE_Z, DOWN, MINUS, 0 },
        { ONE, 0, 0, IEEE_NEGATE_PRODUCT, NEAREST, 0, 0 },
        { ONE, 0, 0, IEEE_NEGATE_PRODUCT, DOWN, MINUS, 0 },
        { ONE, MINUS, MINUS, 0, UP, MINUS, 0 },
        /* NaNs and what is invalid */
        { 0x7f800001, 0x7fc00002, 0x7fc00003, 0, NEAREST, 0x7fc00001, FSW_IE },
        { ONE, 0xffc00002, 0x7f800003, 3, NEAREST, 0xffc00002, FSW_IE },
        { 0, INF, 0x7fc00003, 3, NEAREST, 0x7fc00003, 0 },
        { 1, ONE, 0x7fc00003, 0, NEAREST, 0x7fc00003, 0 },
        { 0, INF, ONE, 0, NEAREST, 0xffc00000, FSW_IE },
        { INF, ONE, INF, IEEE_NEGATE_Z, NEAREST, 0xffc00000, FSW_IE },
        { 1, INF, INF, IEEE_NEGATE_Z, DAZ, 0xffc00000, FSW_IE },
        /* denormal operands */
        { 1, ONE, 0, 0, NEAREST, 1, FSW_DE },
        { 1, ONE, 0, 0, DAZ, 0, 0 },
        { 0, ONE, 1, 0, FTZ, 0, FSW_DE | FSW_UE | FSW_PE },
        /* not masked: PE is of the number with as large an exponent as it takes */
        { LARGEST, TWO, 0, 0, RAISE_OVERFLOW, 0, FSW_OE },
        { LARGEST, TWO, ONE, 0, RAISE_OVERFLOW, 0, FSW_OE | FSW_PE },
        { NORMAL, HALF, 0, 0, RAISE_UNDERFLOW, 0, FSW_UE },
        { 0x3f7fffff, NORMAL, 0, 0, RAISE_UNDERFLOW, 0, FSW_UE },
    };
    for (unsigned n = 0; n < ARRAY_LEN(list); n++) {
        struct ieee_env env = { .mxcsr = list[n].mxcsr };
        uint64_t r = ieee_fma(IEEE_SINGLE, list[n].x, list[n].y, list[n].z, list[n].negate, &env);
        bool raised = env.flags & ~(env.mxcsr >> MXCSR_MASK_SHIFT);
        if (env.flags != list[n].flags || (!raised && r != list[n].result))
            fail_msg("case %u: %lx, flags %x", n, r, env.flags);
    }
}

static void test_fma_double(void **unused)
{
    const uint64_t one = 0x3ff0000000000000;
    struct ieee_env env = { .mxcsr = NEAREST }, up = { .mxcsr = UP };
    assert_int_equal(ieee_fma(IEEE_DOUBLE, one + 1, one + 1, one + 2, IEEE_NEGATE_Z, &env),
                     0x3970000000000000);
    assert_int_equal(env.flags, 0);
    assert_int_equal(ieee_fma(IEEE_DOUBLE, one, one, 1, 0, &env), one);
    assert_int_equal(ieee_fma(IEEE_DOUBLE, one, one, 1, 0, &up), one + 1);
    assert_int_equal(env.flags, FSW_DE | FSW_PE);
}

static void test_to_half(void **unused)
{
    static const struct {
        uint32_t v, imm, mxcsr, result, flags;
    } list[] = {
        { ONE, 4, NEAREST, 0x3c00, 0 },
        { 0x477fe000, 4, NEAREST, 0x7bff, 0 }, /* 65504, the largest */
        { 0x477fefff, 4, NEAREST, 0x7bff, FSW_PE },
        { 0x477ff000, 4, NEAREST, 0x7c00, FSW_OE | FSW_PE },
        { 0x477ff000, 3, UP, 0x7bff, FSW_PE },
        { 0x33800000, 4, FTZ, 1, 0 }, /* 2^-24 */
        { 0x33800000, 4, RAISE_UNDERFLOW, 0, FSW_UE },
        { 0x33000000, 0, UP, 0, FSW_UE | FSW_PE },
        { 0x33000000, 2, NEAREST, 1, FSW_UE | FSW_PE },
        { 0x33000000, 4, UP, 1, FSW_UE | FSW_PE },
        { 0x80000001, 4, NEAREST, 0x8000, FSW_DE | FSW_UE | FSW_PE },
        { 0x80000001, 4, DAZ, 0x8000, 0 },
        { 0xff802000, 4, NEAREST, 0xfe01, FSW_IE },
        { INF | MINUS, 4, NEAREST, 0xfc00, 0 },
    };
    for (unsigned n = 0; n < ARRAY_LEN(list); n++) {
        union vec256 d, s = { .u32 = { 0, 0, 0, list[n].v } };
        uint32_t flags = vex_cvtps2ph(&d, &s, &s, list[n].imm, list[n].mxcsr);
        if (flags != list[n].flags || d.u64[1] || d.u64[0] != (uint64_t)list[n].result << 48)
            fail_msg("case %u: %lx, flags %x", n, d.u64[0], flags);
    }
}

static void test_from_half(void **unused)
{
    static const struct {
        uint16_t v;
        uint32_t mxcsr, result, flags;
    } list[] = {
        { 0x3c00, NEAREST, ONE, 0 },
        { 0x7bff, NEAREST, 0x477fe000, 0 },
        { 0x8001, DAZ, 0x33800000 | MINUS, 0 },
        { 0x0001, NEAREST & ~(FSW_DE << MXCSR_MASK_SHIFT), 0x33800000, 0 },
        { 0x7c01, NEAREST, 0x7fc02000, FSW_IE },
        { 0xfe01, NEAREST, 0xffc02000, 0 },
        { 0xfc00, NEAREST, INF | MINUS, 0 },
    };
    for (unsigned n = 0; n < ARRAY_LEN(list); n++) {
        union vec256 d = { .u64 = { 0 } }, s = { .u16 = { [7] = list[n].v } };
        uint32_t flags = vex_cvtph2ps(&d, &s, &s, VEX_ARG_256, list[n].mxcsr);
        if (flags != list[n].flags || d.u32[7] != list[n].result || d.u32[0])
            fail_msg("case %u: %x, flags %x", n, d.u32[7], flags);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fma_single),
        cmocka_unit_test(test_fma_double),
        cmocka_unit_test(test_to_half),
        cmocka_unit_test(test_from_half),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
