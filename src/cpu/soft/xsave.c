/* XSAVE, XSAVEOPT, XSAVEC, XRSTOR, XGETBV, XSETBV (SDM vol. 1 chapter 13), and the form of this
 * state that crosses to other backends.
 *
 * There are three components: x87, SSE and the upper halves of the YMM registers. Which of them are
 * in their initial configuration (XINUSE) is found out by looking; XSAVEOPT does not know what has
 * been modified. */
#include "cpu/soft/fpu.h"
#include "cpu/soft/opcodes.h"

enum {
    AT_MXCSR = offsetof(struct fxsave_image, mxcsr),
    AT_ST = offsetof(struct fxsave_image, st),
    AT_XMM = offsetof(struct fxsave_image, xmm),
    AT_HEADER = 512,
    HEADER_BYTES = 64,
    AT_YMMH = AT_HEADER + HEADER_BYTES, /* in the compacted form too: it is the first one */
    YMMH_BYTES = 256,
    AREA_BYTES = AT_YMMH + YMMH_BYTES,
};
#define COMPACTED (1ULL << 63) /* in XCOMP_BV */

/* The area as it lies in memory. */
struct area {
    struct fxsave_image legacy;
    uint64_t xstate_bv, xcomp_bv, reserved[6];
    union vec128 ymmh[16];
};
_Static_assert(sizeof(struct area) == AREA_BYTES, "SDM vol. 1 13.4");

uint64_t xsave_valid(const struct soft_cpu *c)
{
    return cpu_xsave_components(&c->features);
}

/* Bytes of the standard form with these components. */
static uint32_t area_bytes(uint64_t components)
{
    return components & XCR0_AVX ? AREA_BYTES : AT_YMMH;
}

void xsave_cpuid(const struct soft_cpu *c, uint32_t subleaf, uint32_t out[4])
{
    uint64_t valid = xsave_valid(c);
    if (subleaf == 0 && valid) {
        out[0] = (uint32_t)valid;
        out[1] = area_bytes(c->xcr0);
        out[2] = area_bytes(valid);
    } else if (subleaf == 1 && c->isa & ISA_XSAVEC) {
        out[1] = area_bytes(c->xcr0); /* compacted, which is no smaller here */
    } else if (subleaf == 2 && valid & XCR0_AVX) {
        out[0] = YMMH_BYTES;
        out[1] = AT_YMMH;
    }
}

/* ---- which components are in use ---- */

static bool all_zero(const void *p, size_t n)
{
    const uint8_t *b = p;
    for (size_t k = 0; k < n; k++)
        if (b[k])
            return false;
    return true;
}

static bool x87_is_initial(const struct soft_cpu *c)
{
    struct x87 initial = { .cw = FCW_INIT };
    for (unsigned k = 0; k < 8; k++)
        if (c->fpu.r[k].mant || c->fpu.r[k].se)
            return false;
    return c->fpu.cw == initial.cw && !c->fpu.sw && !c->fpu.tags && !c->fpu.opcode && !c->fpu.ip &&
           !c->fpu.dp && !c->fpu.cs && !c->fpu.ds;
}

/* The SSE state counts as in use with an MXCSR that is not the initial one: XSAVEC has to save it
 * then. */
static uint64_t in_use(const struct soft_cpu *c)
{
    bool sse = c->mxcsr != MXCSR_RESET || !all_zero(c->xmm, sizeof c->xmm);
    return (x87_is_initial(c) ? 0 : XCR0_X87) | (sse ? XCR0_SSE : 0) |
           (all_zero(c->ymmh, sizeof c->ymmh) ? 0 : XCR0_AVX);
}

/* ---- the instructions ---- */

static uint64_t edx_eax(const struct soft_cpu *c)
{
    return (uint32_t)c->r[RAX] | c->r[RDX] << 32;
}

static int check_area(struct soft_cpu *c, const struct insn *i, uint64_t rfbm, bool write,
                      uint64_t *va)
{
    c->cur = i;
    if (!(c->cr4 & CR4_OSXSAVE))
        return raise_exception(c, VEC_UD);
    if (c->cr0 & CR0_TS)
        return raise_exception(c, VEC_NM);
    int st = ea(c, i, area_bytes(rfbm), write, va);
    if (st)
        return st;
    return *va & 63 ? raise_error(c, VEC_GP, 0) : 0;
}

/* A part of the area, from `first` to before `end`. */
struct part {
    unsigned first, end;
};

/* What is written, in ascending order. `components` are written, with the header they belong to. */
static unsigned parts_of(const struct soft_cpu *c, uint64_t components, bool mxcsr, bool compact,
                         struct part out[6])
{
    unsigned n = 0, xmm_bytes = 16 * fpu_xmm_count(c);
    if (components & XCR0_X87)
        out[n++] = (struct part){ 0, AT_MXCSR };
    if (mxcsr)
        out[n++] = (struct part){ AT_MXCSR, AT_ST };
    if (components & XCR0_X87)
        out[n++] = (struct part){ AT_ST, AT_XMM };
    if (components & XCR0_SSE)
        out[n++] = (struct part){ AT_XMM, AT_XMM + xmm_bytes };
    out[n++] = (struct part){ AT_HEADER, AT_HEADER + (compact ? 16 : 8) };
    if (components & XCR0_AVX)
        out[n++] = (struct part){ AT_YMMH, AT_YMMH + xmm_bytes };
    return n;
}

int op_xsave(struct soft_cpu *c, const struct insn *i)
{
    unsigned kind = insn_arg(i);
    uint64_t va, old, rfbm = c->xcr0 & edx_eax(c), used = in_use(c);
    struct area area = { .xstate_bv = 0 };
    struct part parts[6];
    int st = check_area(c, i, rfbm, true, &va);
    if (st < 0 || (st = mmu_probe_write(c, va, area_bytes(rfbm))) < 0 ||
        (st = fpu_load_bytes(c, va + AT_HEADER, &old, 8)) < 0)
        return st;
    fpu_image_save(c, &area.legacy, i->size == 8);
    memcpy(area.ymmh, c->ymmh, sizeof area.ymmh);
    area.xstate_bv = (kind == XSAVE_COMPACT ? 0 : old & ~rfbm) | (rfbm & used);
    area.xcomp_bv = COMPACTED | rfbm;
    uint64_t components = kind == XSAVE_PLAIN ? rfbm : rfbm & used;
    /* MXCSR belongs to the AVX component as well, but for the compacted form. */
    bool mxcsr = kind == XSAVE_COMPACT ? components & XCR0_SSE : rfbm & (XCR0_SSE | XCR0_AVX);
    unsigned n = parts_of(c, components, mxcsr, kind == XSAVE_COMPACT, parts);
    for (unsigned k = 0; k < n; k++) {
        int s = fpu_store_bytes(c, va + parts[k].first, (uint8_t *)&area + parts[k].first,
                                parts[k].end - parts[k].first);
        if (s < 0)
            return s;
        st |= s;
    }
    return st;
}

/* Is the header one that XRSTOR takes? */
static bool header_is_valid(const struct soft_cpu *c, const struct area *a)
{
    if (!(a->xcomp_bv & COMPACTED))
        return !(a->xstate_bv & ~c->xcr0) && !a->xcomp_bv && !a->reserved[0];
    return c->isa & ISA_XSAVEC && !(a->xcomp_bv & ~(COMPACTED | c->xcr0)) &&
           !(a->xstate_bv & ~(a->xcomp_bv & ~COMPACTED)) &&
           all_zero(a->reserved, sizeof a->reserved);
}

static void initialise_x87(struct soft_cpu *c)
{
    memset(&c->fpu, 0, sizeof c->fpu);
    c->fpu.cw = FCW_INIT;
}

static void restore(struct soft_cpu *c, const struct area *a, uint64_t rfbm, bool mxcsr, bool wide)
{
    uint64_t from_memory = rfbm & a->xstate_bv;
    size_t bytes = 16 * fpu_xmm_count(c);
    if (from_memory & XCR0_X87)
        fpu_image_restore_x87(c, &a->legacy, wide);
    else if (rfbm & XCR0_X87)
        initialise_x87(c);
    if (mxcsr)
        c->mxcsr = a->legacy.mxcsr;
    else if (rfbm & XCR0_SSE)
        c->mxcsr = MXCSR_RESET;
    if (from_memory & XCR0_SSE)
        memcpy(c->xmm, a->legacy.xmm, bytes);
    else if (rfbm & XCR0_SSE)
        memset(c->xmm, 0, bytes);
    if (from_memory & XCR0_AVX)
        memcpy(c->ymmh, a->ymmh, bytes);
    else if (rfbm & XCR0_AVX)
        memset(c->ymmh, 0, bytes);
}

int op_xrstor(struct soft_cpu *c, const struct insn *i)
{
    uint64_t va, rfbm = c->xcr0 & edx_eax(c);
    struct area a = { .xstate_bv = 0 };
    int st = check_area(c, i, rfbm, false, &va);
    if (st < 0 || (st = fpu_load_bytes(c, va, &a, area_bytes(rfbm))) < 0)
        return st;
    if (!header_is_valid(c, &a))
        return raise_error(c, VEC_GP, 0);
    bool mxcsr =
        a.xcomp_bv & COMPACTED ? rfbm & a.xstate_bv & XCR0_SSE : rfbm & (XCR0_SSE | XCR0_AVX);
    if (mxcsr && a.legacy.mxcsr & ~(uint32_t)MXCSR_VALID)
        return raise_error(c, VEC_GP, 0);
    restore(c, &a, rfbm, mxcsr, i->size == 8);
    return st;
}

int op_xgetbv(struct soft_cpu *c, const struct insn *i)
{
    uint32_t index = (uint32_t)c->r[RCX];
    (void)i;
    if (!(c->cr4 & CR4_OSXSAVE))
        return raise_exception(c, VEC_UD);
    if (index > 1 || (index == 1 && !(c->isa & ISA_XGETBV1)))
        return raise_error(c, VEC_GP, 0);
    uint64_t v = index ? c->xcr0 & in_use(c) : c->xcr0;
    c->r[RAX] = (uint32_t)v;
    c->r[RDX] = v >> 32;
    return 0;
}

static bool xcr0_is_valid(const struct soft_cpu *c, uint64_t v)
{
    bool avx_alone = v & XCR0_AVX && !(v & XCR0_SSE);
    return v & XCR0_X87 && !(v & ~xsave_valid(c)) && !avx_alone;
}

int op_xsetbv(struct soft_cpu *c, const struct insn *i)
{
    (void)i;
    if (!(c->cr4 & CR4_OSXSAVE))
        return raise_exception(c, VEC_UD);
    if (c->cpl || (uint32_t)c->r[RCX] || !xcr0_is_valid(c, edx_eax(c)))
        return raise_error(c, VEC_GP, 0);
    c->xcr0 = edx_eax(c);
    return X_BREAK;
}

/* ---- the seam to other backends ---- */

void xsave_get(const struct soft_cpu *c, struct kvm_xcrs *xcrs, struct kvm_xsave *image)
{
    struct area a = { .xstate_bv = in_use(c) & xsave_valid(c) };
    fpu_image_save(c, &a.legacy, true);
    memcpy(a.legacy.xmm, c->xmm, sizeof c->xmm);
    memcpy(a.ymmh, c->ymmh, sizeof a.ymmh);
    memset(image, 0, sizeof *image);
    memcpy(image, &a, sizeof a);
    *xcrs = (struct kvm_xcrs){ .nr_xcrs = 1, .xcrs = { { .xcr = 0, .value = c->xcr0 } } };
}

bool xsave_set(struct soft_cpu *c, const struct kvm_xcrs *xcrs, const struct kvm_xsave *image,
               struct error *err)
{
    struct area a;
    memcpy(&a, image, sizeof a);
    for (unsigned n = 0; n < xcrs->nr_xcrs; n++) {
        if (xcrs->xcrs[n].xcr)
            continue;
        if (!xcr0_is_valid(c, xcrs->xcrs[n].value))
            return error_set(err, "cpu %u: XCR0 = %#llx asks for states that it has not",
                             c->vcpu.port->index, (unsigned long long)xcrs->xcrs[n].value);
        c->xcr0 = xcrs->xcrs[n].value;
    }
    if (a.xstate_bv & ~xsave_valid(c))
        return error_set(err, "cpu %u: it cannot take over the states %#llx of XSAVE",
                         c->vcpu.port->index, (unsigned long long)(a.xstate_bv & ~xsave_valid(c)));
    uint32_t mxcsr = a.legacy.mxcsr & MXCSR_VALID;
    restore(c, &a, xsave_valid(c), true, true);
    if (a.xstate_bv & XCR0_SSE)
        memcpy(c->xmm, a.legacy.xmm, sizeof c->xmm);
    if (a.xstate_bv & XCR0_AVX)
        memcpy(c->ymmh, a.ymmh, sizeof c->ymmh);
    c->mxcsr = mxcsr;
    return true;
}
