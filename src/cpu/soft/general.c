/* General instructions that are not hot: moves, exchanges, flags, and the forms hot.h leaves out.
 */
#include "cpu/soft/hot.h"
#include "cpu/soft/segment.h"

#include "base/log.h"

int op_ud(struct soft_cpu *c, const struct insn *i)
{
    (void)i;
    uint64_t ram;
    uint8_t b[8] = { 0 };
    uint64_t va = c->r[REG_RIP] + i->next_off - i->len + c->ea_base[SEG_CS];
    const uint8_t *p = mmu_fetch(c, va, &ram);
    if (p) {
        memcpy(b, p, 0x1000 - (va & 0xfff) < sizeof b ? 0x1000 - (va & 0xfff) : sizeof b);
        /* UD2 and UD1 are how kernels say BUG and WARN: not worth a word */
        if (b[0] != 0x0f || (b[1] != 0x0b && b[1] != 0xb9))
            log_guest(
                "cpu",
                "invalid or unimplemented instruction %02x %02x %02x %02x %02x %02x %02x %02x "
                "at %#llx: #UD",
                b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7], (unsigned long long)va);
    }
    return raise_exception(c, VEC_UD);
}

/* More than 15 bytes: #GP, not #UD (SDM vol. 3, 6.15, interrupt 13). */
int op_too_long(struct soft_cpu *c, const struct insn *i)
{
    (void)i;
    return raise_error(c, VEC_GP, 0);
}

int op_shift_m(struct soft_cpu *c, const struct insn *i)
{
    uint64_t a, va;
    unsigned count = i->imm & INSN_COUNT_CL ? (unsigned)c->r[RCX] : (unsigned)(i->imm & 0xff);
    int st = mem_load_rmw(c, i, i->size, &a, &va);
    if (st < 0)
        return st;
    return store(c, va, i->size, shift_compute(c, insn_arg(i), a, count, i->size)) | st;
}

/* RCL and RCR: the carry is one more bit of the operand. */
int op_rotate_carry(struct soft_cpu *c, const struct insn *i)
{
    uint64_t a, va = 0;
    unsigned bits = 8u * i->size;
    int st = rm_load_rmw(c, i, i->size, &a, &va);
    if (st < 0)
        return st;
    unsigned count = i->imm & INSN_COUNT_CL ? (unsigned)c->r[RCX] : (unsigned)(i->imm & 0xff);
    count &= i->size == 8 ? 63 : 31;
    count %= bits + 1;
    if (count == 0)
        return rm_store_rmw(c, i, i->size, a, va) | st;
    bool cf = flag_cf(c), left = insn_arg(i) == SHIFT_RCL;
    uint64_t top = 1ULL << (bits - 1);
    for (unsigned n = 0; n < count; n++) {
        bool out = left ? !!(a & top) : a & 1;
        a = left ? a << 1 | cf : (a & bits_mask(bits)) >> 1 | (cf ? top : 0);
        cf = out;
    }
    bool of = left ? cf ^ !!(a & top) : !!(a & top) ^ !!(a & top >> 1);
    flags_set_co(c, cf, of);
    return rm_store_rmw(c, i, i->size, a, va) | st;
}

/* MOVZX and MOVSX with a 16-bit destination; imm is the source size. */
static int widen(struct soft_cpu *c, const struct insn *i, bool sign)
{
    uint64_t v;
    unsigned src = (unsigned)i->imm;
    int st = 0;
    if (i->flags & INSN_MEM)
        st = mem_load(c, i, src, &v);
    else
        v = reg_get(c, i->reg, src);
    if (st >= 0)
        reg_set(c, i->rm, 2, sign ? sign_extend(v, src) : v);
    return st;
}

int op_movzx(struct soft_cpu *c, const struct insn *i)
{
    return widen(c, i, false);
}

int op_movsx(struct soft_cpu *c, const struct insn *i)
{
    return widen(c, i, true);
}

int op_lea(struct soft_cpu *c, const struct insn *i)
{
    reg_set(c, i->reg, i->size, ea_wrapped(c, i));
    return 0;
}

int op_xchg(struct soft_cpu *c, const struct insn *i)
{
    uint64_t a, va = 0, b = reg_get(c, i->reg, i->size);
    int st = rm_load_rmw(c, i, i->size, &a, &va);
    if (st < 0)
        return st;
    st |= rm_store_rmw(c, i, i->size, b, va);
    reg_set(c, i->reg, i->size, a);
    return st;
}

int op_bswap(struct soft_cpu *c, const struct insn *i)
{
    if (i->size == 8)
        c->r[i->rm] = __builtin_bswap64(c->r[i->rm]);
    else if (i->size == 4)
        c->r[i->rm] = __builtin_bswap32((uint32_t)c->r[i->rm]);
    else
        reg_set(c, i->rm, 2, 0); /* undefined by the manual; what processors do */
    return 0;
}

int op_cmov(struct soft_cpu *c, const struct insn *i)
{
    uint64_t v;
    int st = 0;
    if (i->flags & INSN_MEM)
        st = mem_load(c, i, i->size, &v);
    else
        v = reg_get(c, i->reg, i->size);
    if (st >= 0 && condition(c, (unsigned)i->imm))
        reg_set(c, i->rm, i->size, v);
    return st;
}

int op_setcc(struct soft_cpu *c, const struct insn *i)
{
    return rm_store(c, i, 1, condition(c, (unsigned)i->imm));
}

/* Address of a MOFFS operand. */
static int moffs(struct soft_cpu *c, const struct insn *i, bool write, uint64_t *va)
{
    *va = (uint64_t)i->imm + c->ea_base[i->seg];
    if (code64(c))
        return 0;
    *va = (uint32_t)*va;
    return segment_check(c, i->seg, (uint64_t)i->imm, i->size, write);
}

int op_mov_load_moffs(struct soft_cpu *c, const struct insn *i)
{
    uint64_t va, v;
    int st = moffs(c, i, false, &va);
    if (st || (st = load(c, va, i->size, &v)) < 0)
        return st;
    reg_set(c, RAX, i->size, v);
    return st;
}

int op_mov_store_moffs(struct soft_cpu *c, const struct insn *i)
{
    uint64_t va;
    int st = moffs(c, i, true, &va);
    return st ? st : store(c, va, i->size, reg_get(c, RAX, i->size));
}

int op_xlat(struct soft_cpu *c, const struct insn *i)
{
    unsigned asize = insn_asize(i);
    uint64_t off = c->r[RBX] + (uint8_t)c->r[RAX], va, v;
    off &= bits_mask(8 * asize);
    va = off + c->ea_base[i->seg];
    int st = 0;
    if (!code64(c)) {
        va = (uint32_t)va;
        st = segment_check(c, i->seg, off, 1, false);
    }
    if (st || (st = load(c, va, 1, &v)) < 0)
        return st;
    reg_set(c, RAX, 1, v);
    return st;
}

int op_lahf(struct soft_cpu *c, const struct insn *i)
{
    (void)i;
    reg_set(c, 1, 1, (flags_get(c) & 0xd5) | FLAG_1);
    return 0;
}

int op_sahf(struct soft_cpu *c, const struct insn *i)
{
    (void)i;
    flags_set(c, (flags_get(c) & FLAG_OF) | (reg_get(c, 1, 1) & 0xd5));
    return 0;
}

int op_salc(struct soft_cpu *c, const struct insn *i)
{
    (void)i;
    reg_set(c, RAX, 1, flag_cf(c) ? 0xff : 0);
    return 0;
}

int op_clc(struct soft_cpu *c, const struct insn *i)
{
    (void)i;
    flags_set_co(c, false, flag_of(c));
    return 0;
}

int op_stc(struct soft_cpu *c, const struct insn *i)
{
    (void)i;
    flags_set_co(c, true, flag_of(c));
    return 0;
}

int op_cmc(struct soft_cpu *c, const struct insn *i)
{
    (void)i;
    flags_set_co(c, !flag_cf(c), flag_of(c));
    return 0;
}

int op_cld(struct soft_cpu *c, const struct insn *i)
{
    (void)i;
    c->eflags &= ~(uint64_t)FLAG_DF;
    return 0;
}

int op_std(struct soft_cpu *c, const struct insn *i)
{
    (void)i;
    c->eflags |= FLAG_DF;
    return 0;
}

/* CBW CWDE CDQE */
int op_cbw(struct soft_cpu *c, const struct insn *i)
{
    unsigned half = i->size / 2;
    reg_set(c, RAX, i->size, sign_extend(reg_get(c, RAX, half), half));
    return 0;
}

/* CWD CDQ CQO */
int op_cwd(struct soft_cpu *c, const struct insn *i)
{
    int64_t v = (int64_t)sign_extend(reg_get(c, RAX, i->size), i->size);
    reg_set(c, RDX, i->size, (uint64_t)(v >> 63));
    return 0;
}

int op_cmpxchg(struct soft_cpu *c, const struct insn *i)
{
    uint64_t old, va = 0, acc = reg_get(c, RAX, i->size);
    int st = rm_load_rmw(c, i, i->size, &old, &va);
    if (st < 0)
        return st;
    host_sub(c, acc, old, i->size);
    bool equal = flag_zf(c);
    /* Memory is written either way, as the manual has it; a register keeps even its upper half. */
    if (equal || i->flags & INSN_MEM)
        st |= rm_store_rmw(c, i, i->size, equal ? reg_get(c, i->reg, i->size) : old, va);
    if (!equal)
        reg_set(c, RAX, i->size, old);
    return st;
}

/* CMPXCHG8B and CMPXCHG16B */
int op_cmpxchg8b(struct soft_cpu *c, const struct insn *i)
{
    unsigned half = i->size;
    uint64_t va, lo, hi;
    int st = ea(c, i, 2 * half, true, &va);
    if (st)
        return st;
    if (half == 8 && (va & 15))
        return raise_error(c, VEC_GP, 0);
    if ((st = mmu_probe_write(c, va, 2 * half)) || (st = load(c, va, half, &lo)) < 0)
        return st;
    int st2 = load(c, va + half, half, &hi);
    if (st2 < 0)
        return st2;
    bool equal = lo == reg_get(c, RAX, half) && hi == reg_get(c, RDX, half);
    uint32_t f = flags_get(c);
    flags_set(c, equal ? f | FLAG_ZF : f & ~(uint32_t)FLAG_ZF);
    if (!equal) {
        reg_set(c, RAX, half, lo);
        reg_set(c, RDX, half, hi);
    }
    st |= store(c, va, half, equal ? reg_get(c, RBX, half) : lo);
    st |= store(c, va + half, half, equal ? reg_get(c, RCX, half) : hi);
    return st | st2;
}

int op_xadd(struct soft_cpu *c, const struct insn *i)
{
    uint64_t a, va = 0, b = reg_get(c, i->reg, i->size);
    int st = rm_load_rmw(c, i, i->size, &a, &va);
    if (st < 0)
        return st;
    uint64_t r = host_add(c, a, b, i->size);
    reg_set(c, i->reg, i->size, a);
    return rm_store_rmw(c, i, i->size, r, va) | st;
}

int op_fence(struct soft_cpu *c, const struct insn *i)
{
    (void)c;
    (void)i;
    return 0;
}

/* Where there are other cpus it is one of them that this one waits for. */
int op_pause(struct soft_cpu *c, const struct insn *i)
{
    (void)i;
    return c->accel->cpu_count == 1 ? 0 : soft_yield(c);
}
