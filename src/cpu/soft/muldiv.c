/* Multiplication, division, and decimal adjustment. */
#include "cpu/soft/hot.h"

typedef unsigned __int128 u128;
typedef __int128 s128;

/* The double-width accumulator: AX, or DX:AX and wider. */
static void set_product(struct soft_cpu *c, unsigned size, u128 v)
{
    if (size == 1) {
        reg_set(c, RAX, 2, (uint16_t)v);
    } else {
        reg_set(c, RAX, size, (uint64_t)v);
        reg_set(c, RDX, size, (uint64_t)(v >> 8 * size));
    }
}

static u128 get_dividend(const struct soft_cpu *c, unsigned size)
{
    if (size == 1)
        return (uint16_t)c->r[RAX];
    return (u128)reg_get(c, RDX, size) << 8 * size | reg_get(c, RAX, size);
}

static void set_quotient(struct soft_cpu *c, unsigned size, uint64_t q, uint64_t r)
{
    if (size == 1) {
        reg_set(c, RAX, 2, (q & 0xff) | (r & 0xff) << 8);
    } else {
        reg_set(c, RAX, size, q);
        reg_set(c, RDX, size, r);
    }
}

int op_mul(struct soft_cpu *c, const struct insn *i)
{
    uint64_t b;
    int st = rm_load(c, i, i->size, &b);
    if (st < 0)
        return st;
    u128 p = (u128)reg_get(c, RAX, i->size) * b;
    bool over = (p >> 8 * i->size) != 0;
    set_product(c, i->size, p);
    flags_result(c, (uint64_t)p, i->size, over, over);
    return st;
}

int op_imul1(struct soft_cpu *c, const struct insn *i)
{
    uint64_t b;
    int st = rm_load(c, i, i->size, &b);
    if (st < 0)
        return st;
    s128 p = (s128)(int64_t)sign_extend(reg_get(c, RAX, i->size), i->size) *
             (int64_t)sign_extend(b, i->size);
    bool over = (s128)(int64_t)sign_extend((uint64_t)p, i->size) != p;
    set_product(c, i->size, (u128)p);
    flags_result(c, (uint64_t)p, i->size, over, over);
    return st;
}

int op_imul2(struct soft_cpu *c, const struct insn *i)
{
    uint64_t b = reg_get(c, i->reg, i->size);
    int st = i->flags & INSN_MEM ? mem_load(c, i, i->size, &b) : 0;
    if (st < 0)
        return st;
    reg_set(c, i->rm, i->size, imul_compute(c, reg_get(c, i->rm, i->size), b, i->size));
    return st;
}

int op_imul3(struct soft_cpu *c, const struct insn *i)
{
    uint64_t a = reg_get(c, i->reg, i->size);
    int st = i->flags & INSN_MEM ? mem_load(c, i, i->size, &a) : 0;
    if (st < 0)
        return st;
    reg_set(c, i->rm, i->size, imul_compute(c, a, (uint64_t)i->imm, i->size));
    return st;
}

/* Flags after a division are undefined; they stay as they were. */
int op_div(struct soft_cpu *c, const struct insn *i)
{
    uint64_t b;
    int st = rm_load(c, i, i->size, &b);
    if (st < 0)
        return st;
    if (b == 0)
        return raise_exception(c, VEC_DE);
    u128 a = get_dividend(c, i->size);
    u128 q = a >> 64 ? a / b : (u128)((uint64_t)a / b);
    if (q >> 8 * i->size)
        return raise_exception(c, VEC_DE);
    set_quotient(c, i->size, (uint64_t)q, (uint64_t)(a - q * b));
    return st;
}

static s128 signed_dividend(const struct soft_cpu *c, unsigned size)
{
    u128 v = get_dividend(c, size);
    unsigned up = 128 - 16 * size;
    return (s128)(v << up) >> up;
}

int op_idiv(struct soft_cpu *c, const struct insn *i)
{
    uint64_t raw;
    int st = rm_load(c, i, i->size, &raw);
    if (st < 0)
        return st;
    s128 a = signed_dividend(c, i->size), b = (int64_t)sign_extend(raw, i->size);
    /* -2^127 / -1 does not fit the host's division either. */
    if (b == 0 || (b == -1 && a == (s128)((u128)1 << 127)))
        return raise_exception(c, VEC_DE);
    s128 q = a / b;
    if ((s128)(int64_t)sign_extend((uint64_t)q, i->size) != q)
        return raise_exception(c, VEC_DE);
    set_quotient(c, i->size, (uint64_t)q, (uint64_t)(a - q * b));
    return st;
}

/* ---- decimal: SDM vol. 2 gives each as a small program ---- */

static void set_al(struct soft_cpu *c, uint8_t al, bool cf, bool af)
{
    reg_set(c, RAX, 1, al);
    flags_result(c, al, 1, cf, false);
    c->flags |= af ? FLAG_AF << FLAGS_SHIFT : 0;
}

static int decimal_adjust(struct soft_cpu *c, bool subtract)
{
    uint8_t old = (uint8_t)c->r[RAX], al = old;
    bool old_cf = flag_cf(c), cf = false, af = false;
    if ((al & 15) > 9 || flag_af(c)) {
        unsigned sum = subtract ? (unsigned)old - 6 : (unsigned)old + 6;
        al = (uint8_t)sum;
        cf = old_cf || sum > 0xff;
        af = true;
    }
    if (old > 0x99 || old_cf) {
        al = (uint8_t)(subtract ? al - 0x60 : al + 0x60);
        cf = true;
    }
    set_al(c, al, cf, af);
    return 0;
}

int op_daa(struct soft_cpu *c, const struct insn *i)
{
    (void)i;
    return decimal_adjust(c, false);
}

int op_das(struct soft_cpu *c, const struct insn *i)
{
    (void)i;
    return decimal_adjust(c, true);
}

static int ascii_adjust(struct soft_cpu *c, int step)
{
    bool adjust = (c->r[RAX] & 15) > 9 || flag_af(c);
    if (adjust)
        reg_set(c, RAX, 2, (uint64_t)((int)(uint16_t)c->r[RAX] + step * 0x106));
    set_al(c, c->r[RAX] & 15, adjust, adjust);
    return 0;
}

int op_aaa(struct soft_cpu *c, const struct insn *i)
{
    (void)i;
    return ascii_adjust(c, 1);
}

int op_aas(struct soft_cpu *c, const struct insn *i)
{
    (void)i;
    return ascii_adjust(c, -1);
}

int op_aam(struct soft_cpu *c, const struct insn *i)
{
    uint8_t base = (uint8_t)i->imm, al = (uint8_t)c->r[RAX];
    if (!base)
        return raise_exception(c, VEC_DE);
    reg_set(c, RAX, 2, (uint64_t)(al / base) << 8 | al % base);
    flags_logic(c, al % base, 1);
    return 0;
}

int op_aad(struct soft_cpu *c, const struct insn *i)
{
    uint8_t al = (uint8_t)(c->r[RAX] + (c->r[RAX] >> 8 & 0xff) * (uint8_t)i->imm);
    reg_set(c, RAX, 2, al);
    flags_logic(c, al, 1);
    return 0;
}
