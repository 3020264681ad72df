/* SIMD instructions: from the decoded operands to the functions of simd.h and back.
 *
 * op_sse() serves all of them. By the instruction's entry in simd_ops it checks whether they are
 * enabled, fetches the operands, calls the function and writes the result; nothing changes in the
 * guest before the last thing that can fault has been done. */
#include "cpu/soft/simd.h"

#include <smmintrin.h>

/* ---- MXCSR ---- */

static uint32_t host_mxcsr(void)
{
    uint32_t v;
    __asm__ volatile("stmxcsr %0" : "=m"(v) : : "memory");
    return v;
}

static void set_host_mxcsr(uint32_t v)
{
    __asm__ volatile("ldmxcsr %0" : : "m"(v) : "memory");
}

int simd_deliver_flags(struct soft_cpu *c, uint32_t flags)
{
    uint32_t unmasked = flags & ~(c->mxcsr >> MXCSR_MASK_SHIFT);
    /* Invalid, denormal and division by zero are found before the computation: it is not done then.
     */
    if (unmasked & (FSW_IE | FSW_DE | FSW_ZE))
        flags &= FSW_IE | FSW_DE | FSW_ZE;
    c->mxcsr |= flags;
    if (LIKELY(!unmasked))
        return 0;
    return raise_exception(c, c->cr4 & CR4_OSXMMEXCPT ? VEC_XM : VEC_UD);
}

static uint32_t run_once(simd_fn *fn, union vec128 *d, const union vec128 *s, unsigned arg,
                         uint32_t control)
{
    set_host_mxcsr(control);
    fn(d, s, arg);
    return host_mxcsr() & MXCSR_FLAGS;
}

/* The host's MXCSR is left alone where it can be: with the default modes, and no flag set in the
 * host that the guest does not have already, flags that accumulate in the host are as good as in
 * the guest. */
int simd_run_fp(struct soft_cpu *c, simd_fn *fn, union vec128 *d, const union vec128 *s,
                unsigned arg)
{
    uint32_t guest = c->mxcsr, before = host_mxcsr();
    if (LIKELY((guest & ~(uint32_t)MXCSR_FLAGS) == MXCSR_RESET &&
               (before & ~(guest & MXCSR_FLAGS)) == MXCSR_RESET)) {
        fn(d, s, arg);
        c->mxcsr |= host_mxcsr() & MXCSR_FLAGS;
        return 0;
    }
    uint32_t control = (guest & ~(uint32_t)MXCSR_FLAGS) | MXCSR_MASKS;
    union vec128 old = *d;
    uint32_t flags;
    if (guest & MXCSR_UM) {
        flags = run_once(fn, d, s, arg, control);
    } else {
        /* An unmasked underflow is raised for exact results too, which the host does not flag when
         * it is masked; but flushing to zero does flag them. The other flags are of the run
         * without. */
        union vec128 flushed = *d;
        flags = run_once(fn, &flushed, s, arg, control | MXCSR_FTZ) & FSW_UE;
        flags |= run_once(fn, d, s, arg, control & ~(uint32_t)MXCSR_FTZ);
    }
    set_host_mxcsr(MXCSR_RESET);
    int st = simd_deliver_flags(c, flags);
    if (st < 0)
        *d = old;
    return st;
}

uint32_t simd_fp_flags(struct soft_cpu *c, void (*call)(void *job), void *job, size_t size)
{
    uint32_t control = (c->mxcsr & ~(uint32_t)MXCSR_FLAGS) | MXCSR_MASKS, flags = 0;
    uint8_t copy[256] __attribute__((aligned(16)));
    if (!(c->mxcsr & MXCSR_UM)) {
        /* As above: of the run that flushes to zero only the underflow counts. */
        memcpy(copy, job, size);
        set_host_mxcsr(control | MXCSR_FTZ);
        call(copy);
        flags = host_mxcsr() & FSW_UE;
        control &= ~(uint32_t)MXCSR_FTZ;
    }
    set_host_mxcsr(control);
    call(job);
    flags |= host_mxcsr() & MXCSR_FLAGS;
    set_host_mxcsr(MXCSR_RESET);
    return flags;
}

/* ---- operands ---- */

static int load_16(struct soft_cpu *c, const struct insn *i, bool unaligned, union vec128 *v)
{
    uint64_t va;
    int st = ea(c, i, 16, false, &va);
    if (UNLIKELY(st))
        return st;
    if (UNLIKELY(va & 15) && !unaligned)
        return raise_error(c, VEC_GP, 0);
    const struct tlb_entry *e = tlb_slot(c->tlb, va);
    if (LIKELY(tlb_hit(e, va, 16, ACCESS_READ))) {
        memcpy(v, (const void *)(va + e->addend), 16);
        return 0;
    }
    return fpu_load_bytes(c, va, v, 16);
}

static int store_16(struct soft_cpu *c, const struct insn *i, bool unaligned, const union vec128 *v)
{
    uint64_t va;
    int st = ea(c, i, 16, true, &va);
    if (UNLIKELY(st))
        return st;
    if (UNLIKELY(va & 15) && !unaligned)
        return raise_error(c, VEC_GP, 0);
    const struct tlb_entry *e = tlb_slot(c->tlb, va);
    if (LIKELY(tlb_hit(e, va, 16, ACCESS_WRITE))) {
        memcpy((void *)(va + e->addend), v, 16);
        return 0;
    }
    return fpu_store_bytes(c, va, v, 16);
}

static void read_register(const struct soft_cpu *c, unsigned kind, unsigned n, unsigned size,
                          union vec128 *v)
{
    if (kind == SIMD_XMM)
        *v = c->xmm[n];
    else
        *v = (union vec128){ .u64 = { kind == SIMD_MMX ? c->fpu.r[n & 7].mant
                                                       : reg_get(c, n, size) } };
}

static void write_register(struct soft_cpu *c, unsigned kind, unsigned n, unsigned size,
                           const union vec128 *v)
{
    if (kind == SIMD_XMM)
        c->xmm[n] = *v;
    else if (kind == SIMD_MMX)
        fpu_set_mmx(c, n & 7, v->u64[0]);
    else if (kind == SIMD_GPR)
        reg_set(c, n, size, v->u64[0]);
    else
        flags_set(c, v->u32[0]);
}

int simd_load_rm(struct soft_cpu *c, const struct insn *i, unsigned operand, unsigned size,
                 bool unaligned, union vec128 *v)
{
    if (!(i->flags & INSN_MEM)) {
        read_register(c, operand, i->rm, i->size, v);
        return 0;
    }
    if (size == 16)
        return load_16(c, i, unaligned, v);
    *v = (union vec128){ 0 };
    return mem_load(c, i, size, &v->u64[0]);
}

/* ---- the two shapes ---- */

static unsigned make_arg(const struct insn *i)
{
    return (uint8_t)i->imm | (unsigned)i->size << 8 | (i->flags & INSN_MEM ? SIMD_ARG_MEM : 0);
}

/* Where an operand is: XMM registers are worked on in place, others in `*copy`. */
static union vec128 *register_operand(struct soft_cpu *c, unsigned kind, unsigned n, unsigned size,
                                      union vec128 *copy)
{
    if (LIKELY(kind == SIMD_XMM))
        return &c->xmm[n];
    read_register(c, kind, n, size, copy);
    return copy;
}

/* From reg to the r/m operand. A function computes the whole register that results; memory gets its
 * low end. */
static int run_store(struct soft_cpu *c, const struct insn *i, const struct simd_op *op)
{
    union vec128 s_copy, d_copy = { 0 };
    const union vec128 *s = register_operand(c, op->src, i->reg, i->size, &s_copy);
    if (!(i->flags & INSN_MEM)) {
        union vec128 *d = register_operand(c, op->dst, i->rm, i->size, &d_copy);
        op->fn(d, s, make_arg(i));
        /* Elements narrower than 32 bits are extended with zeros. */
        if (op->dst != SIMD_XMM)
            write_register(c, op->dst, i->rm, i->size, d);
        return 0;
    }
    unsigned size = op->msize ? op->msize : i->size;
    op->fn(&d_copy, s, make_arg(i));
    if (size == 16)
        return store_16(c, i, op->flags & SIMD_UNALIGNED, &d_copy);
    return mem_store(c, i, size, d_copy.u64[0]);
}

/* From the r/m operand to reg; of the immediate shifts, from the r/m operand to itself. */
static int run_load(struct soft_cpu *c, const struct insn *i, const struct simd_op *op)
{
    union vec128 s_copy, d_copy;
    const union vec128 *s = &s_copy;
    int st = 0;
    if (i->flags & INSN_MEM)
        st = simd_load_rm(c, i, op->src, op->msize ? op->msize : i->size,
                          op->flags & SIMD_UNALIGNED, &s_copy);
    else
        s = register_operand(c, op->src, i->rm, i->size, &s_copy);
    if (UNLIKELY(st < 0))
        return st;

    unsigned reg = op->flags & SIMD_RM_DST ? i->rm : i->reg;
    union vec128 *d = &d_copy;
    if (op->dst == SIMD_FLAGS)
        d_copy = c->xmm[reg]; /* the first operand of a comparison */
    else
        d = register_operand(c, op->dst, reg, i->size, &d_copy);
    if (!(op->flags & SIMD_FP))
        op->fn(d, s, make_arg(i));
    else if (UNLIKELY(simd_run_fp(c, op->fn, d, s, make_arg(i)) < 0))
        return X_FAULT;
    if (op->dst != SIMD_XMM)
        write_register(c, op->dst, reg, i->size, d);
    return st;
}

/* Operations on MMX registers, which are the x87 registers: every one of them leaves the x87 stack
 * full. */
static int run_mmx(struct soft_cpu *c, const struct insn *i, const struct simd_op *op)
{
    int st = fpu_check_mmx(c);
    if (st < 0)
        return st;
    st = op->flags & SIMD_STORE ? run_store(c, i, op) : run_load(c, i, op);
    if (st >= 0)
        fpu_enter_mmx(c);
    return st;
}

/* Of XMM registers alone, and nothing to round: most of them. */
static bool is_simple(const struct insn *i, const struct simd_op *op)
{
    return !(i->flags & INSN_MEM) && !op->run && op->dst == SIMD_XMM && op->src == SIMD_XMM &&
           !(op->flags & (SIMD_FP | SIMD_STORE));
}

int op_sse(struct soft_cpu *c, const struct insn *i)
{
    const struct simd_op *op = &simd_ops[insn_arg(i)];
    c->cur = i;
    if (is_simple(i, op) && LIKELY(fpu_sse_is_on(c))) {
        op->fn(&c->xmm[op->flags & SIMD_RM_DST ? i->rm : i->reg], &c->xmm[i->rm], make_arg(i));
        return 0;
    }
    if (op->run)
        return op->run(c, i);
    if (op->dst == SIMD_XMM || op->src == SIMD_XMM) {
        int st = fpu_check_sse(c);
        if (UNLIKELY(st < 0))
            return st;
    }
    bool no_mmx = (op->flags & SIMD_NO_MMX_MEM) && (i->flags & INSN_MEM);
    if ((op->dst == SIMD_MMX || op->src == SIMD_MMX) && !no_mmx)
        return run_mmx(c, i, op);
    return op->flags & SIMD_STORE ? run_store(c, i, op) : run_load(c, i, op);
}

/* ---- what fits no shape ---- */

int simd_run_emms(struct soft_cpu *c, const struct insn *i)
{
    int st = fpu_check_mmx(c);
    if (st >= 0) {
        fpu_set_top(c, 0);
        c->fpu.tags = 0;
    }
    return st;
}

/* Bytes of a register, chosen by the top bits of another's, to DS:rDI. */
static int masked_store(struct soft_cpu *c, const struct insn *i, const uint8_t *bytes,
                        const uint8_t *mask, unsigned n)
{
    struct insn at = *i;
    at.flags |= INSN_MEM;
    at.base = RDI;
    at.index = REG_NONE;
    at.scale = 0;
    at.disp = 0;
    if (!code64(c) || insn_asize(i) != 8)
        at.flags |= INSN_EA_SLOW;
    uint64_t va;
    int st = ea(c, &at, n, true, &va);
    bool any = false;
    for (unsigned k = 0; k < n && st >= 0; k++)
        if (mask[k] & 0x80) {
            any = true;
            st = mmu_probe_write(c, va + k, 1);
        }
    if (!any || st < 0)
        return st < 0 ? st : 0;
    st = 0;
    for (unsigned k = 0; k < n && st >= 0; k++)
        if (mask[k] & 0x80) {
            int s = store(c, va + k, 1, bytes[k]);
            st = s < 0 ? s : st | s;
        }
    return st;
}

int simd_run_maskmovq(struct soft_cpu *c, const struct insn *i)
{
    int st = fpu_check_mmx(c);
    if (st < 0)
        return st;
    uint64_t bytes = c->fpu.r[i->reg & 7].mant, mask = c->fpu.r[i->rm & 7].mant;
    st = masked_store(c, i, (const uint8_t *)&bytes, (const uint8_t *)&mask, 8);
    if (st >= 0)
        fpu_enter_mmx(c);
    return st;
}

int simd_run_maskmovdqu(struct soft_cpu *c, const struct insn *i)
{
    int st = fpu_check_vector(c, i);
    return st < 0 ? st : masked_store(c, i, c->xmm[i->reg].u8, c->xmm[i->rm].u8, 16);
}

/* PBLENDVB, BLENDVPS, BLENDVPD: elements of the operand size whose top bit in XMM0 is set. */
int simd_run_blendv(struct soft_cpu *c, const struct insn *i)
{
    union vec128 s;
    int st = fpu_check_sse(c);
    if (st >= 0)
        st = simd_load_rm(c, i, SIMD_XMM, 16, false, &s);
    if (st < 0)
        return st;
    union vec128 mask = c->xmm[0], *d = &c->xmm[i->reg];
    for (unsigned k = 0; k < 16; k += i->size)
        if (mask.u8[k + i->size - 1] & 0x80)
            memcpy(&d->u8[k], &s.u8[k], i->size);
    return st;
}

static int crc32(struct soft_cpu *c, const struct insn *i, unsigned dst, unsigned dst_size)
{
    uint64_t v;
    int st = 0;
    if (i->flags & INSN_MEM)
        st = mem_load(c, i, i->size, &v);
    else
        v = reg_get(c, i->reg, i->size);
    if (st < 0)
        return st;
    uint32_t crc = (uint32_t)c->r[dst];
    for (unsigned k = 0; k < i->size; k++)
        crc = _mm_crc32_u8(crc, (uint8_t)(v >> 8 * k));
    reg_set(c, dst, dst_size, crc);
    return st;
}

/* The destination was decoded as a byte register, but is a whole one: undo. */
int simd_run_crc32b(struct soft_cpu *c, const struct insn *i)
{
    return crc32(c, i, i->rm & 1 ? (i->rm >> 3) + 4u : i->rm >> 3, 8);
}

int simd_run_crc32(struct soft_cpu *c, const struct insn *i)
{
    return crc32(c, i, i->rm, 8);
}
