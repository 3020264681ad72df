/* Single bits and bit counts: BT and its kin, scans, double shifts, POPCNT. */
#include "cpu/soft/operand.h"

enum bit_op { BIT_TEST, BIT_SET, BIT_RESET, BIT_COMPLEMENT };

static uint64_t change_bit(uint64_t v, unsigned bit, enum bit_op op)
{
    uint64_t m = 1ULL << bit;
    switch (op) {
    case BIT_SET:
        return v | m;
    case BIT_RESET:
        return v & ~m;
    case BIT_COMPLEMENT:
        return v ^ m;
    default:
        return v;
    }
}

static int bit_insn(struct soft_cpu *c, const struct insn *i, enum bit_op op)
{
    bool by_imm = insn_arg(i);
    int64_t offset =
        by_imm ? (uint8_t)i->imm : (int64_t)sign_extend(reg_get(c, i->reg, i->size), i->size);
    unsigned bits = 8u * i->size, bit = (unsigned)offset & (bits - 1);
    uint64_t v, va = 0;
    int st = 0;
    if (i->flags & INSN_MEM) {
        /* An offset from a register reaches beyond the operand, by whole operands. */
        int64_t step = by_imm ? 0 : (offset >> (i->size == 8 ? 6 : i->size == 4 ? 5 : 4)) * i->size;
        st = ea_at(c, i, ea_wrapped(c, i) + (uint64_t)step, i->size, op != BIT_TEST, &va);
        if (!st && op != BIT_TEST)
            st = mmu_probe_write(c, va, i->size);
        if (st || (st = load(c, va, i->size, &v)) < 0)
            return st;
    } else {
        v = reg_get(c, i->rm, i->size);
    }
    flags_set_co(c, v >> bit & 1, flag_of(c));
    return op == BIT_TEST ? st : rm_store_rmw(c, i, i->size, change_bit(v, bit, op), va) | st;
}

int op_bt(struct soft_cpu *c, const struct insn *i)
{
    return bit_insn(c, i, BIT_TEST);
}

int op_bts(struct soft_cpu *c, const struct insn *i)
{
    return bit_insn(c, i, BIT_SET);
}

int op_btr(struct soft_cpu *c, const struct insn *i)
{
    return bit_insn(c, i, BIT_RESET);
}

int op_btc(struct soft_cpu *c, const struct insn *i)
{
    return bit_insn(c, i, BIT_COMPLEMENT);
}

/* The source of a G,E instruction: registers are in rm <- reg order, memory goes to reg. */
static int source(struct soft_cpu *c, const struct insn *i, uint64_t *v)
{
    if (i->flags & INSN_MEM)
        return mem_load(c, i, i->size, v);
    *v = reg_get(c, i->reg, i->size);
    return 0;
}

static void set_zf(struct soft_cpu *c, bool zf)
{
    uint32_t f = flags_get(c) & ~(uint32_t)FLAG_ZF;
    flags_set(c, zf ? f | FLAG_ZF : f);
}

/* With a source of zero the destination stays, as processors do and programs rely on. */
int op_bsf(struct soft_cpu *c, const struct insn *i)
{
    uint64_t v;
    int st = source(c, i, &v);
    if (st < 0)
        return st;
    set_zf(c, v == 0);
    if (v)
        reg_set(c, i->rm, i->size, (unsigned)__builtin_ctzll(v));
    return st;
}

int op_bsr(struct soft_cpu *c, const struct insn *i)
{
    uint64_t v;
    int st = source(c, i, &v);
    if (st < 0)
        return st;
    set_zf(c, v == 0);
    if (v)
        reg_set(c, i->rm, i->size, 63 - (unsigned)__builtin_clzll(v));
    return st;
}

int op_popcnt(struct soft_cpu *c, const struct insn *i)
{
    uint64_t v;
    int st = source(c, i, &v);
    if (st < 0)
        return st;
    reg_set(c, i->rm, i->size, (unsigned)__builtin_popcountll(v));
    flags_set(c, v ? 0 : FLAG_ZF);
    return st;
}

static int double_shift(struct soft_cpu *c, const struct insn *i, bool left)
{
    unsigned bits = 8u * i->size;
    unsigned count =
        (insn_arg(i) ? (unsigned)c->r[RCX] : (unsigned)(uint8_t)i->imm) & (i->size == 8 ? 63 : 31);
    uint64_t a, va = 0, b = reg_get(c, i->reg, i->size), r;
    int st = rm_load_rmw(c, i, i->size, &a, &va);
    if (st < 0)
        return st;
    if (count == 0)
        return rm_store_rmw(c, i, i->size, a, va) | st;
    if (count > bits) {
        /* Undefined for 16-bit operands; processors shift the operand's own bits in again. */
        unsigned over = count - bits;
        uint64_t t = a;
        a = b;
        b = t;
        count = over;
    }
    uint64_t top = 1ULL << (bits - 1);
    bool cf;
    if (left) {
        cf = a >> (bits - count) & 1;
        r = count == bits ? b : a << count | b >> (bits - count);
    } else {
        cf = a >> (count - 1) & 1;
        r = count == bits ? b : a >> count | b << (bits - count);
    }
    flags_result(c, r, i->size, cf, ((a ^ r) & top) != 0);
    return rm_store_rmw(c, i, i->size, r, va) | st;
}

int op_shld(struct soft_cpu *c, const struct insn *i)
{
    return double_shift(c, i, true);
}

int op_shrd(struct soft_cpu *c, const struct insn *i)
{
    return double_shift(c, i, false);
}
