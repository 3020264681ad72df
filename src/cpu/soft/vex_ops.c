/* What AVX, AVX2, FMA and F16C compute beyond SSE (SDM vol. 2).
 *
 * FMA and F16C run on the host's own units, so only a host that has them offers them; the rest
 * needs nothing of the host. */
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

/* ---- F16C ---- */

/* DAZ and FTZ do not count here, which the host's instruction knows. */
void simd_vcvtph2ps(union vec128 *d, const union vec128 *s, unsigned arg)
{
    __asm__ volatile("vcvtph2ps %1, %0" : "=x"(d->f32) : "m"(s->u64[0]));
}

/* The immediate: how to round, or with bit 2 as MXCSR says. */
#define ROUND(n)                                                                            \
    case (n):                                                                               \
        __asm__ volatile("vcvtps2ph $" #n ", %1, %0" : "=m"(d->u64[half]) : "x"(in[half])); \
        break;

void vex_cvtps2ph(union vec256 *d, const union vec256 *v, const union vec256 *s, unsigned arg)
{
    typedef float f32x4 __attribute__((vector_size(16)));
    f32x4 in[2];
    memcpy(in, s, sizeof in);
    *d = (union vec256){ .u64 = { 0 } };
    for (unsigned half = 0; half < vex_bytes(arg) / 16; half++)
        switch (arg & 7) {
            ROUND(0)
            ROUND(1)
            ROUND(2)
            ROUND(3)
            ROUND(4)
            ROUND(5)
            ROUND(6)
            ROUND(7)
        }
}

/* ---- FMA: the orders differ in which NaN they give, so each is itself ---- */

#define FMA(order)                                                                                \
    static void each##order(union vec256 *d, const union vec256 *v, const union vec256 *s,        \
                            unsigned arg, unsigned bytes)                                         \
    {                                                                                             \
        for (unsigned k = 0; k < bytes / simd_size(arg); k++) {                                   \
            unsigned what = vex_number(arg) >> (k & 1 ? 2 : 0) & 3;                               \
            if (simd_size(arg) == 4)                                                              \
                d->f32[k] = what == FMA_ADD   ? madd##order##f32(d->f32[k], v->f32[k], s->f32[k]) \
                            : what == FMA_SUB ? msub##order##f32(d->f32[k], v->f32[k], s->f32[k]) \
                            : what == FMA_NADD                                                    \
                                ? nmadd##order##f32(d->f32[k], v->f32[k], s->f32[k])              \
                                : nmsub##order##f32(d->f32[k], v->f32[k], s->f32[k]);             \
            else                                                                                  \
                d->f64[k] = what == FMA_ADD   ? madd##order##f64(d->f64[k], v->f64[k], s->f64[k]) \
                            : what == FMA_SUB ? msub##order##f64(d->f64[k], v->f64[k], s->f64[k]) \
                            : what == FMA_NADD                                                    \
                                ? nmadd##order##f64(d->f64[k], v->f64[k], s->f64[k])              \
                                : nmsub##order##f64(d->f64[k], v->f64[k], s->f64[k]);             \
        }                                                                                         \
    }                                                                                             \
    void vex_fma##order(union vec256 *d, const union vec256 *v, const union vec256 *s,            \
                        unsigned arg)                                                             \
    {                                                                                             \
        each##order(d, v, s, arg, vex_bytes(arg));                                                \
    }                                                                                             \
    void vex_fma1_##order(union vec256 *d, const union vec256 *v, const union vec256 *s,          \
                          unsigned arg)                                                           \
    {                                                                                             \
        each##order(d, v, s, arg, simd_size(arg));                                                \
        d->half[1] = (union vec128){ 0 };                                                         \
    }

#define ONE(what, order, type, suffix, letters)                                               \
    static type what##order##suffix(type d, type v, type s)                                   \
    {                                                                                         \
        __asm__ volatile("vf" #what #order letters " %2, %1, %0" : "+x"(d) : "x"(v), "x"(s)); \
        return d;                                                                             \
    }
#define KINDS(order)                     \
    ONE(madd, order, float, f32, "ss")   \
    ONE(msub, order, float, f32, "ss")   \
    ONE(nmadd, order, float, f32, "ss")  \
    ONE(nmsub, order, float, f32, "ss")  \
    ONE(madd, order, double, f64, "sd")  \
    ONE(msub, order, double, f64, "sd")  \
    ONE(nmadd, order, double, f64, "sd") \
    ONE(nmsub, order, double, f64, "sd") \
    FMA(order)
KINDS(132)
KINDS(213)
KINDS(231)
