/* The state of the x87, MMX and SSE registers as a whole: reset, checks, FXSAVE, FXRSTOR, MXCSR,
 * and the form that crosses to other backends (SDM vol. 1 section 10.5, vol. 3 section 2.5). */
#include "cpu/soft/fpu.h"

#include "base/error.h"
#include "base/log.h"
#include "cpu/soft/opcodes.h"

bool fpu_host_ok(struct error *err)
{
    if (__builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("ssse3"))
        return true;
    return error_set_host(err, 0,
                          "the software CPU needs a host processor with SSE4.2, and this one has "
                          "none: use --accel kvm, or a host newer than 2012");
}

/* After power-up and RESET; INIT leaves all of it alone (SDM vol. 3 table 9-1), which is the
 * caller's affair. */
void fpu_reset(struct soft_cpu *c)
{
    memset(&c->fpu, 0, sizeof c->fpu);
    memset(c->xmm, 0, sizeof c->xmm);
    memset(c->ymmh, 0, sizeof c->ymmh);
    c->xcr0 = XCR0_X87;
    c->fpu.cw = FCW_RESET;
    c->fpu.tags = 0xff; /* tag word 5555h: all hold zero */
    c->mxcsr = MXCSR_RESET;
}

/* ---- checks ---- */

int fpu_wait(struct soft_cpu *c)
{
    if (LIKELY(!(c->fpu.sw & FSW_ES)))
        return 0;
    if (c->cr0 & CR0_NE)
        return raise_exception(c, VEC_MF);
    log_guest("cpu", "an x87 exception is pending with CR0.NE clear: no FERR# line reports it");
    return 0;
}

int fpu_check_sse(struct soft_cpu *c)
{
    if (LIKELY(fpu_sse_is_on(c)))
        return 0;
    return raise_exception(c, !(c->cr4 & CR4_OSFXSR) || c->cr0 & CR0_EM ? VEC_UD : VEC_NM);
}

int fpu_check_mmx(struct soft_cpu *c)
{
    if (UNLIKELY(c->cr0 & (CR0_EM | CR0_TS)))
        return raise_exception(c, c->cr0 & CR0_EM ? VEC_UD : VEC_NM);
    return fpu_wait(c);
}

int fpu_check_avx(struct soft_cpu *c)
{
    if (UNLIKELY(vex_check(c) < 0))
        return X_FAULT;
    if (UNLIKELY(!(c->cr4 & CR4_OSXSAVE) || ~c->xcr0 & (XCR0_SSE | XCR0_AVX)))
        return raise_exception(c, VEC_UD);
    return UNLIKELY(c->cr0 & CR0_TS) ? raise_exception(c, VEC_NM) : 0;
}

/* ---- memory ---- */

/* The pieces below need no alignment of their own; what the whole needs: SDM vol. 3 table 6-7. Of
 * 16 bytes and more that may lie anywhere the manual lets processors check that they lie on a
 * boundary of 8, or not: here they do. True: #AC is raised. */
static bool misaligned(struct soft_cpu *c, uint64_t va, unsigned len)
{
    unsigned need;
    switch (len) {
    case 14: /* FSTENV and FSAVE with 16-bit operands */
    case 94:
        need = 2;
        break;
    case 4:
    case 28: /* and with others */
    case 108:
        need = 4;
        break;
    case 8:
    case 10:
    case 16:
    case 32:
        need = 8;
        break;
    default:
        return false;
    }
    if (!(va & (need - 1)))
        return false;
    raise_error(c, VEC_AC, 0);
    return true;
}

static int load_pieces(struct soft_cpu *c, uint64_t va, void *to, unsigned len)
{
    int st = 0;
    for (unsigned at = 0; at < len; at += 8) {
        unsigned n = len - at < 8 ? len - at : 8;
        uint64_t v = 0;
        /* 10, 14 and 28 bytes end in pieces of 2 and 4. */
        for (unsigned k = 0; k < n;) {
            unsigned piece = n - k >= 8 ? 8 : n - k >= 4 ? 4 : n - k >= 2 ? 2 : 1;
            int s = load(c, va + at + k, piece, &v);
            if (s < 0)
                return s;
            st |= s;
            memcpy((uint8_t *)to + at + k, &v, piece);
            k += piece;
        }
    }
    return st;
}

int fpu_load_bytes(struct soft_cpu *c, uint64_t va, void *to, unsigned len)
{
    bool aligned = c->aligned;
    c->aligned = false;
    int st = UNLIKELY(aligned) ? mmu_probe_read(c, va, len) : 0;
    if (UNLIKELY(aligned) && !st && misaligned(c, va, len))
        st = X_FAULT;
    if (!st)
        st = load_pieces(c, va, to, len);
    c->aligned = aligned;
    return st;
}

static int store_pieces(struct soft_cpu *c, uint64_t va, const void *from, unsigned len)
{
    int st = 0;
    for (unsigned at = 0; at < len;) {
        unsigned left = len - at, piece = left >= 8 ? 8 : left >= 4 ? 4 : left >= 2 ? 2 : 1;
        int s = store(c, va + at, piece, ld_le((const uint8_t *)from + at, piece));
        if (s < 0)
            return s;
        st |= s;
        at += piece;
    }
    return st;
}

int fpu_store_bytes(struct soft_cpu *c, uint64_t va, const void *from, unsigned len)
{
    bool aligned = c->aligned;
    c->aligned = false;
    int st = mmu_probe_write(c, va, len);
    if (UNLIKELY(aligned) && !st && misaligned(c, va, len))
        st = X_FAULT;
    if (!st)
        st = store_pieces(c, va, from, len);
    c->aligned = aligned;
    return st;
}

/* ---- MXCSR ---- */

int op_ldmxcsr(struct soft_cpu *c, const struct insn *i)
{
    uint64_t v;
    int st = fpu_check_vector(c, i);
    if (st >= 0)
        st = mem_load(c, i, 4, &v);
    if (st < 0)
        return st;
    if (v & ~(uint64_t)MXCSR_VALID)
        return raise_error(c, VEC_GP, 0);
    c->mxcsr = (uint32_t)v;
    return st;
}

int op_stmxcsr(struct soft_cpu *c, const struct insn *i)
{
    int st = fpu_check_vector(c, i);
    return st < 0 ? st : mem_store(c, i, 4, c->mxcsr);
}

/* ---- FXSAVE and FXRSTOR ---- */

/* Unlike other SSE instructions these raise #NM, not #UD, for CR0.EM. */
static int check_fx(struct soft_cpu *c, const struct insn *i, bool write, uint64_t *va)
{
    c->cur = i;
    if (c->cr0 & (CR0_EM | CR0_TS))
        return raise_exception(c, VEC_NM);
    int st = ea(c, i, sizeof(struct fxsave_image), write, va);
    if (st)
        return st;
    return *va & 15 ? raise_error(c, VEC_GP, 0) : 0;
}

void fpu_image_save(const struct soft_cpu *c, struct fxsave_image *image, bool wide)
{
    *image = (struct fxsave_image){
        .cw = c->fpu.cw,
        .sw = c->fpu.sw,
        .tags = c->fpu.tags,
        .opcode = c->fpu.opcode,
        .mxcsr = c->mxcsr,
        .mxcsr_mask = MXCSR_VALID,
    };
    if (wide) {
        image->ip64 = c->fpu.ip;
        image->dp64 = c->fpu.dp;
    } else {
        image->ip = (uint32_t)c->fpu.ip;
        image->cs = c->fpu.cs;
        image->dp = (uint32_t)c->fpu.dp;
        image->ds = c->fpu.ds;
    }
    for (unsigned k = 0; k < 8; k++) {
        unsigned n = (fpu_top(c) + k) & 7;
        image->st[k].mant = c->fpu.r[n].mant;
        image->st[k].se = c->fpu.r[n].se;
    }
    memcpy(image->xmm, c->xmm, fpu_xmm_count(c) * sizeof c->xmm[0]);
}

void fpu_image_restore_x87(struct soft_cpu *c, const struct fxsave_image *image, bool wide)
{
    c->fpu.sw = image->sw;
    fpu_set_cw(c, image->cw);
    c->fpu.tags = image->tags;
    c->fpu.opcode = image->opcode & 0x7ff;
    if (wide) {
        c->fpu.ip = image->ip64;
        c->fpu.dp = image->dp64;
        c->fpu.cs = c->fpu.ds = 0;
    } else {
        c->fpu.ip = image->ip;
        c->fpu.cs = image->cs;
        c->fpu.dp = image->dp;
        c->fpu.ds = image->ds;
    }
    for (unsigned k = 0; k < 8; k++) {
        unsigned n = (fpu_top(c) + k) & 7;
        c->fpu.r[n].mant = image->st[k].mant;
        c->fpu.r[n].se = image->st[k].se;
    }
}

int op_fxsave(struct soft_cpu *c, const struct insn *i)
{
    uint64_t va;
    int st = check_fx(c, i, true, &va);
    if (st < 0)
        return st;
    struct fxsave_image image;
    fpu_image_save(c, &image, i->size == 8);
    unsigned xmms = fpu_xmm_count(c);
    /* What lies behind the registers is not written. */
    return fpu_store_bytes(c, va, &image,
                           (unsigned)(offsetof(struct fxsave_image, xmm) + xmms * 16));
}

int op_fxrstor(struct soft_cpu *c, const struct insn *i)
{
    uint64_t va;
    struct fxsave_image image;
    int st = check_fx(c, i, false, &va);
    if (st >= 0)
        st = fpu_load_bytes(c, va, &image, offsetof(struct fxsave_image, unused));
    if (st < 0)
        return st;
    if (image.mxcsr & ~(uint32_t)MXCSR_VALID)
        return raise_error(c, VEC_GP, 0);
    fpu_image_restore_x87(c, &image, i->size == 8);
    c->mxcsr = image.mxcsr;
    memcpy(c->xmm, image.xmm, fpu_xmm_count(c) * sizeof c->xmm[0]);
    return st;
}

/* ---- the seam to other backends: struct kvm_fpu is laid out after the FXSAVE image ---- */

void fpu_get(const struct soft_cpu *c, struct kvm_fpu *fpu)
{
    memset(fpu, 0, sizeof *fpu);
    for (unsigned k = 0; k < 8; k++)
        memcpy(fpu->fpr[k], &c->fpu.r[(fpu_top(c) + k) & 7], 10);
    fpu->fcw = c->fpu.cw;
    fpu->fsw = c->fpu.sw;
    fpu->ftwx = c->fpu.tags;
    fpu->last_opcode = c->fpu.opcode;
    fpu->last_ip = c->fpu.ip;
    fpu->last_dp = c->fpu.dp;
    memcpy(fpu->xmm, c->xmm, sizeof fpu->xmm);
    fpu->mxcsr = c->mxcsr;
}

void fpu_set(struct soft_cpu *c, const struct kvm_fpu *fpu)
{
    c->fpu.sw = fpu->fsw;
    fpu_set_cw(c, fpu->fcw);
    for (unsigned k = 0; k < 8; k++)
        memcpy(&c->fpu.r[(fpu_top(c) + k) & 7], fpu->fpr[k], 10);
    c->fpu.tags = fpu->ftwx;
    c->fpu.opcode = fpu->last_opcode & 0x7ff;
    c->fpu.ip = fpu->last_ip;
    c->fpu.dp = fpu->last_dp;
    c->fpu.cs = c->fpu.ds = 0;
    memcpy(c->xmm, fpu->xmm, sizeof c->xmm);
    c->mxcsr = fpu->mxcsr & MXCSR_VALID;
}
