/* AVX: from the decoded operands of an instruction with a VEX prefix to the functions of simd.h and
 * back (SDM vol. 2 2.3, vol. 1 chapter 14).
 *
 * Most of AVX is SSE on each half of the registers, with a destination of its own: op_vex_lanes()
 * runs the same functions, in the shape that the row says. op_vex_whole() serves the rest. Both
 * leave everything as it was when something faults, and clear what lies above the result. */
#include "cpu/soft/simd.h"

const uint8_t vex_shifts[5] = { 0, 2, 3, 4, 16 };

/* ---- memory ---- */

static int address(struct soft_cpu *c, const struct insn *i, unsigned bytes, bool write,
                   bool aligned, uint64_t *va)
{
    int st = ea(c, i, bytes, write, va);
    if (UNLIKELY(st))
        return st;
    return aligned && *va & (bytes - 1) ? raise_error(c, VEC_GP, 0) : 0;
}

static int load_vector(struct soft_cpu *c, const struct insn *i, unsigned bytes, bool aligned,
                       union vec256 *v)
{
    uint64_t va;
    int st = address(c, i, bytes, false, aligned, &va);
    if (UNLIKELY(st))
        return st;
    const struct tlb_entry *e = tlb_slot(c->tlb, va);
    if (UNLIKELY(!tlb_hit(e, va, bytes, ACCESS_READ)))
        return fpu_load_bytes(c, va, v, bytes);
    memcpy(v, (const void *)(va + e->addend), bytes);
    return 0;
}

static int store_vector(struct soft_cpu *c, const struct insn *i, unsigned bytes, bool aligned,
                        const union vec256 *v)
{
    uint64_t va;
    int st = address(c, i, bytes, true, aligned, &va);
    if (UNLIKELY(st))
        return st;
    const struct tlb_entry *e = tlb_slot(c->tlb, va);
    if (UNLIKELY(!tlb_hit(e, va, bytes, ACCESS_WRITE)))
        return fpu_store_bytes(c, va, v, bytes);
    memcpy((void *)(va + e->addend), v, bytes);
    return 0;
}

static unsigned make_arg(const struct insn *i)
{
    return (uint8_t)i->imm | (unsigned)i->size << 8 | (i->flags & INSN_MEM ? SIMD_ARG_MEM : 0) |
           (i->imm & INSN_VEX_L ? VEX_ARG_256 : 0);
}

/* ---- lanes ---- */

struct lanes {
    union vec256 d, s;
    simd_fn *fn;
    unsigned count, arg[2];
};

static void run_lanes(void *job)
{
    struct lanes *l = job;
    for (unsigned n = 0; n < l->count; n++)
        l->fn(&l->d.half[n], &l->s.half[n], l->arg[n]);
}

/* What the row's argument says. */
struct how {
    const struct simd_op *op;
    enum vex_shape shape;
    unsigned shift;
};

static struct how how_of(const struct insn *i)
{
    unsigned arg = insn_arg(i);
    return (struct how){ &simd_ops[arg & ((1 << VEX_INDEX_BITS) - 1)],
                         arg >> VEX_INDEX_BITS & ((1 << VEX_SHAPE_BITS) - 1),
                         vex_shifts[arg >> (VEX_INDEX_BITS + VEX_SHAPE_BITS)] };
}

static void prepare(struct lanes *l, const struct insn *i, const struct how *h)
{
    l->fn = h->op->fn;
    l->count = i->imm & INSN_VEX_L && h->shape != VEX_SCALAR ? 2 : 1;
    l->arg[0] = l->arg[1] = make_arg(i);
    if (h->shape != VEX_GATHER)
        l->arg[1] = (l->arg[0] & ~0xffu) | (uint8_t)i->imm >> h->shift;
}

static unsigned memory_bytes(const struct insn *i, const struct how *h, unsigned lanes)
{
    unsigned bytes = h->op->msize ? h->op->msize : i->size;
    if (lanes == 1 || h->shape == VEX_COUNT)
        return bytes;
    return h->shape == VEX_WIDE ? 2 * bytes : 32;
}

static int load_source(struct soft_cpu *c, const struct insn *i, const struct how *h,
                       struct lanes *l)
{
    unsigned piece = h->op->msize;
    int st = 0;
    if (i->flags & INSN_MEM)
        st = load_vector(c, i, memory_bytes(i, h, l->count), h->shape == VEX_ALIGNED, &l->s);
    else if (h->op->src == SIMD_XMM)
        l->s = ymm_get(c, i->rm);
    else
        l->s.u64[0] = reg_get(c, i->rm, i->size);
    if (st >= 0 && l->count == 2 && h->shape == VEX_WIDE)
        memcpy(&l->s.half[1], l->s.u8 + piece, piece);
    else if (h->shape == VEX_COUNT)
        l->s.half[1] = l->s.half[0];
    return st;
}

/* One result of two halves. */
static void join(struct lanes *l, const struct how *h)
{
    if (l->count == 1)
        return;
    if (h->shape == VEX_NARROW) {
        l->d.half[0].u64[1] = l->d.half[1].u64[0];
        l->d.half[1] = (union vec128){ 0 };
    } else if (h->shape == VEX_GATHER && h->shift) {
        l->d.u32[0] |= l->d.half[1].u32[0] << h->shift;
    } else if (h->shape == VEX_GATHER) {
        l->d.u32[0] &= l->d.half[1].u32[0];
    }
}

static int lanes_load(struct soft_cpu *c, const struct insn *i, const struct how *h)
{
    struct lanes l = { .count = 0 };
    const struct simd_op *op = h->op;
    prepare(&l, i, h);
    int st = load_source(c, i, h, &l);
    if (UNLIKELY(st < 0))
        return st;
    l.d = ymm_get(c, op->dst == SIMD_FLAGS     ? i->reg
                     : op->flags & SIMD_RM_DST ? i->rm
                                               : insn_vvvv(i));
    if (!(op->flags & SIMD_FP))
        run_lanes(&l);
    else if (simd_deliver_flags(c, simd_fp_flags(c, run_lanes, &l, sizeof l)) < 0)
        return X_FAULT;
    join(&l, h);
    if (op->dst == SIMD_GPR)
        reg_set(c, i->reg, i->size, l.d.u64[0]);
    else if (op->dst == SIMD_FLAGS)
        flags_set(c, l.d.u32[0]);
    else
        ymm_set(c, op->flags & SIMD_RM_DST ? insn_vvvv(i) : i->reg, &l.d, l.count == 2);
    return st;
}

static int lanes_store(struct soft_cpu *c, const struct insn *i, const struct how *h)
{
    struct lanes l = { .s = ymm_get(c, i->reg) };
    bool mem = i->flags & INSN_MEM;
    prepare(&l, i, h);
    if (!mem && h->op->dst == SIMD_XMM)
        l.d = ymm_get(c, insn_vvvv(i));
    run_lanes(&l);
    if (mem)
        return store_vector(c, i, memory_bytes(i, h, l.count), h->shape == VEX_ALIGNED, &l.d);
    if (h->op->dst == SIMD_GPR)
        reg_set(c, i->rm, i->size, l.d.u64[0]);
    else
        ymm_set(c, i->rm, &l.d, l.count == 2);
    return 0;
}

int op_vex_lanes(struct soft_cpu *c, const struct insn *i)
{
    struct how h = how_of(i);
    c->cur = i;
    if (h.op->run)
        return h.op->run(c, i);
    if (UNLIKELY(fpu_check_avx(c) < 0))
        return X_FAULT;
    return h.op->flags & SIMD_STORE ? lanes_store(c, i, &h) : lanes_load(c, i, &h);
}

/* ---- what is not made of lanes ---- */

/* The result has as many bytes as the vector, but for stores those that are stored. */
static int write_whole(struct soft_cpu *c, const struct insn *i, const struct vex_op *op,
                       const union vec256 *d, unsigned bytes)
{
    if (!(op->flags & SIMD_STORE))
        ymm_set(c, i->reg, d, i->imm & INSN_VEX_L);
    else if (i->flags & INSN_MEM)
        return store_vector(c, i, bytes, false, d);
    else
        ymm_set(c, i->rm, d, false);
    return 0;
}

int op_vex_whole(struct soft_cpu *c, const struct insn *i)
{
    const struct vex_op *op = &vex_ops[insn_arg(i)];
    bool wide = i->imm & INSN_VEX_L, store = op->flags & SIMD_STORE;
    union vec256 d, v, s;
    unsigned arg = make_arg(i) | (unsigned)op->number << 16;
    unsigned bytes = op->bytes[wide] ? op->bytes[wide] : i->size;
    int st = 0;
    c->cur = i;
    if (fpu_check_avx(c) < 0)
        return X_FAULT;
    if (i->flags & INSN_MEM && !store)
        st = load_vector(c, i, bytes, false, &s);
    else
        s = ymm_get(c, store ? i->reg : i->rm);
    if (st < 0)
        return st;
    unsigned is4 = (uint8_t)i->imm >> 4 & (code64(c) ? 15 : 7);
    if (!store)
        d = ymm_get(c, op->flags & SIMD_IS4 ? is4 : i->reg);
    v = ymm_get(c, insn_vvvv(i));
    if (op->fn) {
        op->fn(&d, &v, &s, arg);
        return write_whole(c, i, op, &d, bytes) | st;
    }
    uint32_t flags = op->float_fn(&d, &v, &s, arg, c->mxcsr);
    /* A store that faults leaves MXCSR alone; so does an exception that is raised the memory. */
    if (store && i->flags & INSN_MEM && !(flags & ~(c->mxcsr >> MXCSR_MASK_SHIFT)))
        st = write_whole(c, i, op, &d, bytes);
    if (st < 0 || simd_deliver_flags(c, flags) < 0)
        return X_FAULT;
    return store && i->flags & INSN_MEM ? st : write_whole(c, i, op, &d, bytes) | st;
}

/* VZEROALL with L, VZEROUPPER without. */
int op_vzero(struct soft_cpu *c, const struct insn *i)
{
    c->cur = i;
    if (fpu_check_avx(c) < 0)
        return X_FAULT;
    memset(c->ymmh, 0, fpu_xmm_count(c) * sizeof c->ymmh[0]);
    if (i->imm & INSN_VEX_L)
        memset(c->xmm, 0, fpu_xmm_count(c) * sizeof c->xmm[0]);
    return 0;
}
