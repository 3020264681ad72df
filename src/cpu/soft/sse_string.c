/* The string comparisons of SSE4.2: PCMPESTRI, PCMPESTRM, PCMPISTRI, PCMPISTRM (SDM vol. 1
 * section 12.12 / vol. 2 4.1).
 *
 * The immediate: bits 0-1 the kind of elements, 2-3 which comparison, 4-5 whether and how its
 * result is negated, 6 which end the index counts from, or whether the mask has a bit or an element
 * for each. */
#include "cpu/soft/simd.h"

enum { ELEMENTS_WORDS = 1, ELEMENTS_SIGNED = 2 };
enum { AGGREGATE_ANY, AGGREGATE_RANGES, AGGREGATE_EACH, AGGREGATE_ORDERED };

struct strings {
    int32_t a[16], b[16];
    unsigned len_a, len_b, count;
};

static int32_t element(const union vec128 *v, unsigned imm, unsigned k)
{
    switch (imm & 3) {
    case 0:
        return v->u8[k];
    case ELEMENTS_WORDS:
        return v->u16[k];
    case ELEMENTS_SIGNED:
        return v->s8[k];
    default:
        return v->s16[k];
    }
}

/* Elements before the first zero. */
static unsigned implicit_length(const int32_t *e, unsigned count)
{
    unsigned n = 0;
    while (n < count && e[n])
        n++;
    return n;
}

/* The magnitude of a length in a register, at most `count`. */
static unsigned explicit_length(uint64_t v, unsigned size, unsigned count)
{
    int64_t n = size == 8 ? (int64_t)v : (int32_t)v;
    uint64_t magnitude = n < 0 ? -(uint64_t)n : (uint64_t)n;
    return magnitude < count ? (unsigned)magnitude : count;
}

/* One bit of the result of each comparison. Elements beyond a string's end compare as the manual's
 * table says. */
static bool any_equal(const struct strings *s, unsigned j)
{
    for (unsigned k = 0; k < s->len_a; k++)
        if (j < s->len_b && s->a[k] == s->b[j])
            return true;
    return false;
}

static bool in_ranges(const struct strings *s, unsigned j)
{
    for (unsigned k = 0; k + 1 < s->len_a; k += 2)
        if (j < s->len_b && s->b[j] >= s->a[k] && s->b[j] <= s->a[k + 1])
            return true;
    return false;
}

static bool equal_each(const struct strings *s, unsigned j)
{
    bool valid_a = j < s->len_a, valid_b = j < s->len_b;
    return valid_a && valid_b ? s->a[j] == s->b[j] : valid_a == valid_b;
}

/* The first string is found in the second from element `j` on, as far as the second goes in the
 * register. */
static bool equal_ordered(const struct strings *s, unsigned j)
{
    for (unsigned k = 0; k < s->len_a && j + k < s->count; k++)
        if (j + k >= s->len_b || s->a[k] != s->b[j + k])
            return false;
    return true;
}

static unsigned compare(const struct strings *s, unsigned imm)
{
    static bool (*const bit[4])(const struct strings *, unsigned) = {
        [AGGREGATE_ANY] = any_equal,
        [AGGREGATE_RANGES] = in_ranges,
        [AGGREGATE_EACH] = equal_each,
        [AGGREGATE_ORDERED] = equal_ordered,
    };
    unsigned result = 0;
    for (unsigned j = 0; j < s->count; j++) {
        bool negate = (imm & 0x10) && (!(imm & 0x20) || j < s->len_b);
        result |= (unsigned)(bit[imm >> 2 & 3](s, j) ^ negate) << j;
    }
    return result;
}

static void write_index(struct soft_cpu *c, unsigned result, unsigned imm, unsigned count)
{
    unsigned index = !result      ? count
                     : imm & 0x40 ? 31u - (unsigned)__builtin_clz(result)
                                  : (unsigned)__builtin_ctz(result);
    c->r[RCX] = index;
}

static void write_mask(struct soft_cpu *c, const struct insn *i, unsigned result, unsigned imm,
                       unsigned count)
{
    union vec128 v = { 0 };
    if (!(imm & 0x40))
        v.u32[0] = result;
    else if (count == 16)
        for (unsigned k = 0; k < 16; k++)
            v.u8[k] = result >> k & 1 ? 0xff : 0;
    else
        for (unsigned k = 0; k < 8; k++)
            v.u16[k] = result >> k & 1 ? 0xffff : 0;
    c->xmm[0] = v;
    if (i->imm & INSN_VEX)
        c->ymmh[0] = (union vec128){ 0 };
}

static int run(struct soft_cpu *c, const struct insn *i, bool explicit, bool mask)
{
    union vec128 b;
    int st = fpu_check_vector(c, i);
    if (st >= 0)
        st = simd_load_rm(c, i, SIMD_XMM, 16, true, &b);
    if (st < 0)
        return st;
    unsigned imm = (uint8_t)i->imm;
    struct strings s = { .count = imm & ELEMENTS_WORDS ? 8 : 16 };
    for (unsigned k = 0; k < s.count; k++) {
        s.a[k] = element(&c->xmm[i->reg], imm, k);
        s.b[k] = element(&b, imm, k);
    }
    s.len_a =
        explicit ? explicit_length(c->r[RAX], i->size, s.count) : implicit_length(s.a, s.count);
    s.len_b =
        explicit ? explicit_length(c->r[RDX], i->size, s.count) : implicit_length(s.b, s.count);
    unsigned result = compare(&s, imm);
    if (mask)
        write_mask(c, i, result, imm, s.count);
    else
        write_index(c, result, imm, s.count);
    flags_set(c, (result ? FLAG_CF : 0) | (s.len_b < s.count ? FLAG_ZF : 0) |
                     (s.len_a < s.count ? FLAG_SF : 0) | (result & 1 ? FLAG_OF : 0));
    return st;
}

int simd_run_pcmpestrm(struct soft_cpu *c, const struct insn *i)
{
    return run(c, i, true, true);
}

int simd_run_pcmpestri(struct soft_cpu *c, const struct insn *i)
{
    return run(c, i, true, false);
}

int simd_run_pcmpistrm(struct soft_cpu *c, const struct insn *i)
{
    return run(c, i, false, true);
}

int simd_run_pcmpistri(struct soft_cpu *c, const struct insn *i)
{
    return run(c, i, false, false);
}
