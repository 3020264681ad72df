/* What AVX, AVX2, FMA and F16C compute beyond SSE (SDM vol. 2). None of it needs more of the host
 * than SSE4.2. */
#include "cpu/soft/ieee.h"
#include "cpu/soft/simd.h"

/* ---- comparisons ---- */

enum { LESS = 1, EQUAL = 2, GREATER = 4, UNORDERED = 8 };

/* Which relations each predicate is true for (SDM vol. 2, CMPPD, table of predicates); from 16 on
 * the same with the other behaviour for quiet NaNs. */
static const uint8_t predicates[16] = {
    EQUAL,
    LESS,
    LESS | EQUAL,
    UNORDERED,
    LESS | GREATER | UNORDERED,
    EQUAL | GREATER | UNORDERED,
    GREATER | UNORDERED,
    LESS | EQUAL | GREATER,
    EQUAL | UNORDERED,
    LESS | UNORDERED,
    LESS | EQUAL | UNORDERED,
    0,
    LESS | GREATER,
    EQUAL | GREATER,
    GREATER,
    LESS | EQUAL | GREATER | UNORDERED,
};
enum { SIGNALLING = 0x6666 }; /* of the predicates below 16 */

static unsigned relation(bool zf, bool pf, bool cf)
{
    return pf ? UNORDERED : zf ? EQUAL : cf ? LESS : GREATER;
}

#define COMPARE(name, insn, type)                                                                  \
    static unsigned name(type a, type b)                                                           \
    {                                                                                              \
        bool zf, pf, cf;                                                                           \
        __asm__ volatile(insn " %4, %3" : "=@ccz"(zf), "=@ccp"(pf), "=@ccc"(cf) : "x"(a), "x"(b)); \
        return relation(zf, pf, cf);                                                               \
    }
COMPARE(quiet_f32, "ucomiss", float)
COMPARE(signalling_f32, "comiss", float)
COMPARE(quiet_f64, "ucomisd", double)
COMPARE(signalling_f64, "comisd", double)

static bool holds(unsigned predicate, unsigned found)
{
    return predicates[predicate & 15] & found;
}

static bool is_signalling(unsigned predicate)
{
    return (SIGNALLING >> (predicate & 15) & 1) != (predicate >> 4 & 1);
}

static void compare_f32(union vec128 *d, const union vec128 *s, unsigned arg, unsigned count)
{
    unsigned predicate = arg & 31;
    for (unsigned k = 0; k < count; k++) {
        unsigned found = is_signalling(predicate) ? signalling_f32(d->f32[k], s->f32[k])
                                                  : quiet_f32(d->f32[k], s->f32[k]);
        d->u32[k] = holds(predicate, found) ? UINT32_MAX : 0;
    }
}

static void compare_f64(union vec128 *d, const union vec128 *s, unsigned arg, unsigned count)
{
    unsigned predicate = arg & 31;
    for (unsigned k = 0; k < count; k++) {
        unsigned found = is_signalling(predicate) ? signalling_f64(d->f64[k], s->f64[k])
                                                  : quiet_f64(d->f64[k], s->f64[k]);
        d->u64[k] = holds(predicate, found) ? UINT64_MAX : 0;
    }
}

void simd_vcmpps(union vec128 *d, const union vec128 *s, unsigned arg)
{
    compare_f32(d, s, arg, 4);
}

void simd_vcmpss(union vec128 *d, const union vec128 *s, unsigned arg)
{
    compare_f32(d, s, arg, 1);
}

void simd_vcmppd(union vec128 *d, const union vec128 *s, unsigned arg)
{
    compare_f64(d, s, arg, 2);
}

void simd_vcmpsd(union vec128 *d, const union vec128 *s, unsigned arg)
{
    compare_f64(d, s, arg, 1);
}

/* ---- lanes ---- */

void simd_vpermilps(union vec128 *d, const union vec128 *s, unsigned arg)
{
    union vec128 v;
    for (unsigned k = 0; k < 4; k++)
        v.u32[k] = d->u32[s->u32[k] & 3];
    *d = v;
}

void simd_vpermilpd(union vec128 *d, const union vec128 *s, unsigned arg)
{
    union vec128 v = { .u64 = { d->u64[s->u64[0] >> 1 & 1], d->u64[s->u64[1] >> 1 & 1] } };
    *d = v;
}

void simd_vpermilpd_imm(union vec128 *d, const union vec128 *s, unsigned arg)
{
    union vec128 v = { .u64 = { s->u64[arg & 1], s->u64[arg >> 1 & 1] } };
    *d = v;
}

/* ZF: no sign bit is set in both; CF: none in the second alone. */
static void test_signs(union vec128 *d, const union vec128 *s, uint64_t signs)
{
    bool both = (d->u64[0] & s->u64[0] & signs) || (d->u64[1] & s->u64[1] & signs);
    bool alone = (~d->u64[0] & s->u64[0] & signs) || (~d->u64[1] & s->u64[1] & signs);
    d->u32[0] = (both ? 0 : FLAG_ZF) | (alone ? 0 : FLAG_CF);
}

void simd_vtestps(union vec128 *d, const union vec128 *s, unsigned arg)
{
    test_signs(d, s, 0x8000000080000000);
}

void simd_vtestpd(union vec128 *d, const union vec128 *s, unsigned arg)
{
    test_signs(d, s, 1ULL << 63);
}

static void shift_each(union vec128 *d, const union vec128 *s, unsigned arg, bool left)
{
    if (simd_size(arg) == 8) {
        for (unsigned k = 0; k < 2; k++) {
            uint64_t n = s->u64[k], v = d->u64[k];
            d->u64[k] = n > 63 ? 0 : left ? v << n : v >> n;
        }
        return;
    }
    for (unsigned k = 0; k < 4; k++) {
        uint32_t n = s->u32[k], v = d->u32[k];
        d->u32[k] = n > 31 ? 0 : left ? v << n : v >> n;
    }
}

void simd_vpsllv(union vec128 *d, const union vec128 *s, unsigned arg)
{
    shift_each(d, s, arg, true);
}

void simd_vpsrlv(union vec128 *d, const union vec128 *s, unsigned arg)
{
    shift_each(d, s, arg, false);
}

void simd_vpsravd(union vec128 *d, const union vec128 *s, unsigned arg)
{
    for (unsigned k = 0; k < 4; k++)
        d->s32[k] >>= s->u32[k] > 31 ? 31 : s->u32[k];
}

/* ---- whole registers ---- */

/* The number is the size of what is repeated. */
void vex_broadcast(union vec256 *d, const union vec256 *v, const union vec256 *s, unsigned arg)
{
    for (unsigned k = 0; k < vex_bytes(arg); k += vex_number(arg))
        memcpy(d->u8 + k, s->u8, vex_number(arg));
}

void vex_permd(union vec256 *d, const union vec256 *v, const union vec256 *s, unsigned arg)
{
    for (unsigned k = 0; k < 8; k++)
        d->u32[k] = s->u32[v->u32[k] & 7];
}

void vex_permq(union vec256 *d, const union vec256 *v, const union vec256 *s, unsigned arg)
{
    for (unsigned k = 0; k < 4; k++)
        d->u64[k] = s->u64[simd_imm(arg) >> 2 * k & 3];
}

void vex_perm128(union vec256 *d, const union vec256 *v, const union vec256 *s, unsigned arg)
{
    for (unsigned k = 0; k < 2; k++) {
        unsigned choice = simd_imm(arg) >> 4 * k;
        d->half[k] = choice & 8 ? (union vec128){ 0 } : (choice & 2 ? s : v)->half[choice & 1];
    }
}

void vex_insert128(union vec256 *d, const union vec256 *v, const union vec256 *s, unsigned arg)
{
    *d = *v;
    d->half[arg & 1] = s->half[0];
}

void vex_extract128(union vec256 *d, const union vec256 *v, const union vec256 *s, unsigned arg)
{
    d->half[0] = s->half[arg & 1];
}

/* `*d` is the mask; the number is the size of an element. */
void vex_blendv(union vec256 *d, const union vec256 *v, const union vec256 *s, unsigned arg)
{
    unsigned size = vex_number(arg);
    for (unsigned k = 0; k < vex_bytes(arg); k += size) {
        const union vec256 *from = d->u8[k + size - 1] & 0x80 ? s : v;
        memcpy(d->u8 + k, from->u8 + k, size);
    }
}

/* ---- F16C: half precision knows neither DAZ nor FTZ (SDM vol. 2) ---- */

uint32_t vex_cvtph2ps(union vec256 *d, const union vec256 *v, const union vec256 *s, unsigned arg,
                      uint32_t mxcsr)
{
    struct ieee_env env = { .mxcsr = mxcsr & ~(uint32_t)MXCSR_DAZ };
    for (unsigned k = 0; k < vex_bytes(arg) / 4; k++)
        d->u32[k] = (uint32_t)ieee_convert(IEEE_SINGLE, IEEE_HALF, s->u16[k], &env);
    return env.flags & ~(uint32_t)FSW_DE;
}

/* The immediate: how to round, or with bit 2 as MXCSR says. */
uint32_t vex_cvtps2ph(union vec256 *d, const union vec256 *v, const union vec256 *s, unsigned arg,
                      uint32_t mxcsr)
{
    struct ieee_env env = { .mxcsr = mxcsr & ~(uint32_t)MXCSR_FTZ };
    if (!(arg & 4))
        env.mxcsr = (env.mxcsr & ~(uint32_t)MXCSR_RC) | (arg & 3) << MXCSR_RC_SHIFT;
    *d = (union vec256){ .u64 = { 0 } };
    for (unsigned k = 0; k < vex_bytes(arg) / 4; k++)
        d->u16[k] = (uint16_t)ieee_convert(IEEE_HALF, IEEE_SINGLE, s->u32[k], &env);
    return env.flags;
}

/* ---- FMA ---- */

/* The digits of an order name the operands that are x, y and z. */
static void fma_element(union vec256 *d, const union vec256 *v, const union vec256 *s, unsigned k,
                        unsigned arg, struct ieee_env *env)
{
    unsigned number = vex_number(arg), negate = number >> (k & 1 ? 2 : 0) & 3;
    unsigned order = number / FMA_ORDER;
    const union vec256 *operand[] = { NULL, d, v, s };
    const union vec256 *x = operand[order / 100], *y = operand[order / 10 % 10],
                       *z = operand[order % 10];
    if (simd_size(arg) == 8)
        d->u64[k] = ieee_fma(IEEE_DOUBLE, x->u64[k], y->u64[k], z->u64[k], negate, env);
    else
        d->u32[k] = (uint32_t)ieee_fma(IEEE_SINGLE, x->u32[k], y->u32[k], z->u32[k], negate, env);
}

uint32_t vex_fma(union vec256 *d, const union vec256 *v, const union vec256 *s, unsigned arg,
                 uint32_t mxcsr)
{
    struct ieee_env env = { .mxcsr = mxcsr };
    bool scalar = vex_number(arg) & FMA_SCALAR;
    unsigned count = scalar ? 1 : vex_bytes(arg) / simd_size(arg);
    for (unsigned k = 0; k < count; k++)
        fma_element(d, v, s, k, arg, &env);
    if (scalar)
        d->half[1] = (union vec128){ 0 };
    return env.flags;
}
