/* What surrounds the arithmetic of the software CPU's x87 and SIMD: when they are enabled,
 * alignment, pending exceptions, the environment in memory, FXSAVE, and the results that have a
 * definition of our own.
 *
 * The guest's memory is two pages of this program, known to the TLB by their host addresses. */
#include "cpu/soft/fpu.h"
#include "cpu/soft/opcodes.h"

#include "base/error.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

enum { PAGES = 2 };

static struct soft_cpu *cpu;
static uint8_t *mem;

/* Decode and execute; returns the vector raised, or 0. */
static int run_bytes(const uint8_t *bytes, unsigned len)
{
    struct insn i;
    bool ends;
    uint8_t padded[16] = { 0 };
    memcpy(padded, bytes, len);
    int n = soft_decode(padded, sizeof padded, cpu->mode, UINT64_MAX, &i, &ends);
    if (n < 0)
        return VEC_UD;
    assert_int_equal(n, len);
    assert_non_null(soft_cold[i.op]);
    i.next_off = i.len;
    return soft_cold[i.op](cpu, &i) == X_FAULT ? cpu->exc.vector : 0;
}

#define RUN(...) \
    run_bytes((const uint8_t[]){ __VA_ARGS__ }, sizeof((const uint8_t[]){ __VA_ARGS__ }))

static int reset(void **unused)
{
    memset(mem, 0, PAGES * 4096);
    fpu_reset(cpu);
    cpu->mode = MODE_CODE64;
    cpu->cr0 = CR0_PE | CR0_PG | CR0_MP | CR0_NE;
    cpu->cr4 = CR4_PAE | CR4_OSFXSR | CR4_OSXMMEXCPT;
    cpu->efer = EFER_LME | EFER_LMA;
    memset(cpu->r, 0, sizeof cpu->r);
    memset(cpu->seg, 0, sizeof cpu->seg);
    memset(cpu->ea_base, 0, sizeof cpu->ea_base);
    cpu->eflags = FLAG_1;
    cpu->r[RSI] = (uintptr_t)mem;
    return 0;
}

static void test_enabling(void **unused)
{
    const uint8_t paddb_xmm[] = { 0x66, 0x0f, 0xfc, 0xc1 }, paddb_mmx[] = { 0x0f, 0xfc, 0xc1 };
    const uint8_t fld1[] = { 0xd9, 0xe8 }, fxsave[] = { 0x0f, 0xae, 0x06 }, fwait[] = { 0x9b };
    const uint8_t stmxcsr[] = { 0x0f, 0xae, 0x1e }, crc32[] = { 0xf2, 0x0f, 0x38, 0xf1, 0xc0 };
    const struct {
        uint64_t cr0, no_cr4;
        int xmm, mmx, x87, fx, wait, mxcsr;
    } cases[] = {
        { 0, 0, 0, 0, 0, 0, 0, 0 },
        { CR0_EM, 0, VEC_UD, VEC_UD, VEC_NM, VEC_NM, 0, VEC_UD },
        { CR0_TS, 0, VEC_NM, VEC_NM, VEC_NM, VEC_NM, VEC_NM, VEC_NM },
        { CR0_EM | CR0_TS, 0, VEC_UD, VEC_UD, VEC_NM, VEC_NM, VEC_NM, VEC_UD },
        { 0, CR4_OSFXSR, VEC_UD, 0, 0, 0, 0, VEC_UD },
    };
    uint64_t cr0 = cpu->cr0, cr4 = cpu->cr4;
    for (unsigned k = 0; k < ARRAY_LEN(cases); k++) {
        cpu->cr0 = cr0;
        assert_int_equal(RUN(0xdb, 0xe3), 0); /* fninit */
        cpu->cr0 = cr0 | cases[k].cr0;
        cpu->cr4 = cr4 & ~cases[k].no_cr4;
        assert_int_equal(run_bytes(paddb_xmm, sizeof paddb_xmm), cases[k].xmm);
        assert_int_equal(run_bytes(paddb_mmx, sizeof paddb_mmx), cases[k].mmx);
        assert_int_equal(run_bytes(fld1, sizeof fld1), cases[k].x87);
        assert_int_equal(run_bytes(fxsave, sizeof fxsave), cases[k].fx);
        assert_int_equal(run_bytes(fwait, sizeof fwait), cases[k].wait);
        assert_int_equal(run_bytes(stmxcsr, sizeof stmxcsr), cases[k].mxcsr);
        assert_int_equal(run_bytes(crc32, sizeof crc32), 0);
    }
}

static void test_alignment(void **unused)
{
    cpu->r[RSI] = (uintptr_t)mem + 8;
    assert_int_equal(RUN(0x0f, 0x28, 0x06), VEC_GP); /* movaps (%rsi), %xmm0 */
    assert_int_equal(cpu->exc.error, 0);
    assert_int_equal(RUN(0x0f, 0x29, 0x06), VEC_GP);
    assert_int_equal(RUN(0x66, 0x0f, 0xe7, 0x06), VEC_GP);       /* movntdq */
    assert_int_equal(RUN(0x66, 0x0f, 0xfc, 0x06), VEC_GP);       /* paddb */
    assert_int_equal(RUN(0x66, 0x0f, 0x38, 0x10, 0x06), VEC_GP); /* pblendvb */
    assert_int_equal(RUN(0x0f, 0xae, 0x06), VEC_GP);             /* fxsave */
    assert_int_equal(RUN(0x0f, 0xae, 0x0e), VEC_GP);
    assert_int_equal(RUN(0x0f, 0x10, 0x06), 0);                   /* movups */
    assert_int_equal(RUN(0xf3, 0x0f, 0x7f, 0x06), 0);             /* movdqu */
    assert_int_equal(RUN(0xf2, 0x0f, 0xf0, 0x06), 0);             /* lddqu */
    assert_int_equal(RUN(0x66, 0x0f, 0x3a, 0x63, 0x06, 0x00), 0); /* pcmpistri */
    assert_int_equal(RUN(0xf2, 0x0f, 0x58, 0x06), 0);             /* addsd */
    assert_int_equal(RUN(0x66, 0x0f, 0x38, 0x30, 0x06), 0);       /* pmovzxbw: 8 bytes */
}

static void test_mxcsr(void **unused)
{
    st_le32(mem, 0xffff);
    assert_int_equal(RUN(0x0f, 0xae, 0x16), 0); /* ldmxcsr */
    assert_int_equal(cpu->mxcsr, 0xffff);
    st_le32(mem, 0x11f80);
    assert_int_equal(RUN(0x0f, 0xae, 0x16), VEC_GP);
    assert_int_equal(cpu->mxcsr, 0xffff);
    assert_int_equal(RUN(0x0f, 0xae, 0x5e, 0x08), 0); /* stmxcsr 8(%rsi) */
    assert_int_equal(ld_le32(mem + 8), 0xffff);

    /* 1/0 unmasked: the destination stays, and the vector is CR4's choice. */
    cpu->mxcsr = MXCSR_RESET & ~0x200;
    cpu->xmm[0].f64[0] = 1.0;
    cpu->xmm[1].f64[0] = 0.0;
    assert_int_equal(RUN(0xf2, 0x0f, 0x5e, 0xc1), VEC_XM);
    assert_true(cpu->xmm[0].f64[0] == 1.0);
    assert_int_equal(cpu->mxcsr & MXCSR_FLAGS, FSW_ZE);
    cpu->cr4 &= ~(uint64_t)CR4_OSXMMEXCPT;
    assert_int_equal(RUN(0xf2, 0x0f, 0x5e, 0xc1), VEC_UD);
}

/* What the host does between guest instructions must not show in the guest's flags, nor the
 * reverse. */
static void test_mxcsr_of_host(void **unused)
{
    volatile double third = 3.0;
    cpu->xmm[0].f64[0] = 1.0;
    cpu->xmm[1].f64[0] = 2.0;
    third = 1.0 / third; /* inexact on the host */
    assert_int_equal(RUN(0xf2, 0x0f, 0x58, 0xc1), 0);
    assert_int_equal(cpu->mxcsr, MXCSR_RESET);
    cpu->xmm[1].f64[0] = third;
    assert_int_equal(RUN(0xf2, 0x0f, 0x58, 0xc1), 0);
    assert_int_equal(cpu->mxcsr, MXCSR_RESET | FSW_PE);
    cpu->mxcsr = MXCSR_RESET;
    cpu->xmm[1].f64[0] = 3.0;
    assert_int_equal(RUN(0x66, 0x0f, 0x28, 0xc1), 0);
    assert_int_equal(RUN(0xf2, 0x0f, 0x58, 0xc1), 0);
    assert_true(cpu->xmm[0].f64[0] == 6.0);
    assert_int_equal(cpu->mxcsr, MXCSR_RESET);
    /* Rounding upward in the guest leaves the host rounding to nearest. */
    cpu->mxcsr = MXCSR_RESET | 0x4000;
    assert_int_equal(RUN(0xf2, 0x0f, 0x5e, 0xc1), 0);
    uint32_t host;
    __asm__ volatile("stmxcsr %0" : "=m"(host));
    assert_int_equal(host & ~(uint32_t)MXCSR_FLAGS, MXCSR_RESET);
}

static void test_approximations(void **unused)
{
    static const uint32_t in[] = { 0x3f800000, 0x40400000, 0x00000000, 0x80000001,
                                   0x7f800000, 0xff800001, 0x7f000000, 0xbf800000 };
    /* 1/3 is 3eaaaaab as a float: its last 11 bits go. 2^-127 is too small for a normal number. */
    static const uint32_t rcp[] = { 0x3f800000, 0x3eaaa800, 0x7f800000, 0xff800000,
                                    0x00000000, 0xffc00001, 0x00000000, 0xbf800000 };
    /* 1/sqrt(3) is 3f13cd3a. */
    static const uint32_t rsqrt[] = { 0x3f800000, 0x3f13c800, 0x7f800000, 0xff800000,
                                      0x00000000, 0xffc00001, 0x1fb50000, 0xffc00000 };
    for (unsigned k = 0; k < ARRAY_LEN(in); k++) {
        cpu->xmm[1].u32[0] = in[k];
        cpu->xmm[0].u32[1] = 0x12345678;
        assert_int_equal(RUN(0xf3, 0x0f, 0x53, 0xc1), 0);
        assert_int_equal(cpu->xmm[0].u32[0], rcp[k]);
        assert_int_equal(RUN(0xf3, 0x0f, 0x52, 0xc1), 0);
        assert_int_equal(cpu->xmm[0].u32[0], rsqrt[k]);
        assert_int_equal(cpu->xmm[0].u32[1], 0x12345678);
    }
    assert_int_equal(cpu->mxcsr, MXCSR_RESET);
    for (unsigned k = 0; k < 4; k++)
        cpu->xmm[1].u32[k] = in[k];
    assert_int_equal(RUN(0x0f, 0x53, 0xc1), 0);
    assert_memory_equal(cpu->xmm[0].u32, rcp, 16);
    assert_int_equal(RUN(0x0f, 0x52, 0xc1), 0);
    assert_memory_equal(cpu->xmm[0].u32, rsqrt, 16);
}

/* Divide 1 by 0 with that exception unmasked. */
static void divide_by_zero(void)
{
    st_le16(mem, FCW_INIT & ~FSW_ZE);
    assert_int_equal(RUN(0xdb, 0xe3), 0); /* fninit */
    assert_int_equal(RUN(0xd9, 0x2e), 0); /* fldcw */
    assert_int_equal(RUN(0xd9, 0xe8), 0);
    assert_int_equal(RUN(0xd9, 0xee), 0);
    assert_int_equal(RUN(0xd8, 0xf9), 0); /* fdivr: reported by the next one */
    assert_int_equal(cpu->fpu.sw & 0xffff & ~FSW_TOP & ~FSW_CONDITION, FSW_ZE | FSW_ES | FSW_B);
}

static void test_pending_exception(void **unused)
{
    divide_by_zero();
    assert_int_equal(RUN(0xd9, 0xe8), VEC_MF);
    assert_int_equal(RUN(0x9b), VEC_MF);
    assert_int_equal(RUN(0x0f, 0xfc, 0xc1), VEC_MF);  /* MMX */
    assert_int_equal(RUN(0xd9, 0x2e), VEC_MF);        /* fldcw waits */
    assert_int_equal(RUN(0x66, 0x0f, 0xfc, 0xc1), 0); /* SSE does not care */
    assert_int_equal(RUN(0xdf, 0xe0), 0);             /* fnstsw %ax */
    assert_int_equal(cpu->r[RAX], cpu->fpu.sw);
    assert_int_equal(RUN(0xd9, 0x7e, 0x08), 0); /* fnstcw 8(%rsi) */
    assert_int_equal(ld_le16(mem + 8), FCW_INIT & ~FSW_ZE);
    assert_int_equal(RUN(0xdb, 0xe2), 0); /* fnclex */
    assert_int_equal(RUN(0x9b), 0);

    /* Masking it away takes it back; unmasking brings it. */
    divide_by_zero();
    assert_int_equal(RUN(0xd9, 0x76, 0x10), 0); /* fnstenv 16(%rsi): masks all */
    assert_int_equal(RUN(0x9b), 0);
    assert_int_equal(RUN(0xd9, 0x2e), 0);
    assert_int_equal(RUN(0x9b), VEC_MF);

    /* Without CR0.NE nothing is reported to the processor. */
    cpu->cr0 &= ~(uint64_t)CR0_NE;
    assert_int_equal(RUN(0x9b), 0);
}

/* One instruction at 1234h of a segment, with an operand at 8(%rsi). */
static void execute_for_pointers(void)
{
    cpu->r[REG_RIP] = 0x1234;
    cpu->seg[SEG_CS].sel = 0x10;
    cpu->seg[SEG_DS].sel = 0x18;
    assert_int_equal(RUN(0xdb, 0xe3), 0);
    assert_int_equal(RUN(0xdd, 0x46, 0x08), 0); /* fldl 8(%rsi) */
    assert_int_equal(RUN(0xd9, 0xee), 0);       /* fldz: no operand */
}

static void test_environment(void **unused)
{
    uint32_t dp = (uint32_t)(uintptr_t)mem + 8;
    execute_for_pointers();
    assert_int_equal(RUN(0xd9, 0x76, 0x40), 0); /* fnstenv 64(%rsi) */
    const uint32_t env32[] = { 0xffff037f, 0xffff3000, 0xffff5fff, 0x1234,
                               0x01ee0010, dp,         0xffff0018 };
    assert_memory_equal(mem + 0x40, env32, sizeof env32);
    assert_int_equal(RUN(0x66, 0xd9, 0x76, 0x40), 0); /* with 16-bit operands */
    const uint16_t env16[] = { 0x037f, 0x3000, 0x5fff, 0x1234, 0x10, (uint16_t)dp, 0x18 };
    assert_memory_equal(mem + 0x40, env16, sizeof env16);

    /* Outside of protected mode the pointers are linear. */
    cpu->cr0 &= ~(uint64_t)CR0_PE;
    cpu->fpu.ip = 0xabcd;
    cpu->fpu.cs = 0x1000;
    cpu->fpu.dp = 0x10;
    cpu->fpu.ds = 0x2000;
    assert_int_equal(RUN(0x66, 0xd9, 0x76, 0x40), 0);
    const uint16_t real16[] = { 0x037f, 0x3000, 0x5fff, 0xabcd, 0x11ee, 0x0010, 0x2000 };
    assert_memory_equal(mem + 0x40, real16, sizeof real16);
    assert_int_equal(RUN(0xd9, 0x76, 0x40), 0);
    const uint32_t real32[] = { 0xffff037f, 0xffff3000, 0xffff5fff, 0xffffabcd,
                                0x11ee,     0xffff0010, 0x2000 };
    assert_memory_equal(mem + 0x40, real32, sizeof real32);
    assert_int_equal(RUN(0xdb, 0xe3), 0);
    assert_int_equal(RUN(0xd9, 0x66, 0x40), 0); /* fldenv */
    assert_int_equal(cpu->fpu.ip, 0x1abcd);
    assert_int_equal(cpu->fpu.dp, 0x20010);
    assert_int_equal(cpu->fpu.opcode, 0x1ee);
    assert_int_equal(cpu->fpu.tags, 0xc0);
}

/* FNSAVE, FRSTOR give the whole state back, in both sizes. */
static void test_save_and_restore(void **unused)
{
    static const uint8_t prefixes[2] = { 0x66, 0x2e };
    for (unsigned k = 0; k < 2; k++) {
        RUN(0xdb, 0xe3);
        RUN(0xd9, 0xeb); /* fldpi */
        RUN(0xd9, 0xe8);
        struct x87 before = cpu->fpu;
        assert_int_equal(RUN(prefixes[k], 0xdd, 0x76, 0x10), 0);
        assert_int_equal(cpu->fpu.tags, 0);
        assert_int_equal(cpu->fpu.cw, FCW_INIT);
        memset(cpu->fpu.r, 0x55, sizeof cpu->fpu.r);
        assert_int_equal(RUN(prefixes[k], 0xdd, 0x66, 0x10), 0);
        assert_int_equal(cpu->fpu.sw, before.sw);
        assert_int_equal(cpu->fpu.tags, before.tags);
        for (unsigned n = 0; n < 8; n++) {
            assert_int_equal(cpu->fpu.r[n].mant, before.r[n].mant);
            assert_int_equal(cpu->fpu.r[n].se, before.r[n].se);
        }
    }
}

static void fill_registers(void)
{
    for (unsigned k = 0; k < 16; k++)
        for (unsigned j = 0; j < 4; j++)
            cpu->xmm[k].u32[j] = 0x01010101 * k + j;
    RUN(0xdb, 0xe3);
    RUN(0xd9, 0xeb); /* fldpi: into R7 */
}

static void test_fxsave(void **unused)
{
    execute_for_pointers();
    fill_registers();
    cpu->mxcsr = 0x3fa5;
    memset(mem + 0x100, 0xee, 512);
    assert_int_equal(RUN(0x0f, 0xae, 0x86, 0x00, 0x01, 0x00, 0x00), 0);
    const uint8_t *image = mem + 0x100;
    assert_int_equal(ld_le16(image), FCW_INIT);
    assert_int_equal(ld_le16(image + 2), 7 << FSW_TOP_SHIFT);
    assert_int_equal(image[4], 0x80);
    assert_int_equal(ld_le16(image + 6), 0x1eb);
    assert_int_equal(ld_le32(image + 8), 0x1234);
    assert_int_equal(ld_le16(image + 12), 0x10);
    assert_int_equal(ld_le32(image + 24), 0x3fa5);
    assert_int_equal(ld_le32(image + 28), 0xffff);
    assert_int_equal(ld_le64(image + 32), 0xc90fdaa22168c235); /* ST(0) */
    assert_int_equal(ld_le16(image + 40), 0x4000);
    assert_memory_equal(image + 160, cpu->xmm, 256);
    assert_int_equal(ld_le64(image + 416), 0xeeeeeeeeeeeeeeee); /* not written */

    struct x87 before = cpu->fpu;
    union vec128 xmm[16];
    memcpy(xmm, cpu->xmm, sizeof xmm);
    fpu_reset(cpu);
    assert_int_equal(RUN(0x0f, 0xae, 0x8e, 0x00, 0x01, 0x00, 0x00), 0);
    assert_memory_equal(&cpu->fpu, &before, offsetof(struct x87, cw));
    assert_int_equal(cpu->fpu.tags, 0x80);
    assert_int_equal(cpu->fpu.cs, 0x10);
    assert_int_equal(cpu->mxcsr, 0x3fa5);
    assert_memory_equal(cpu->xmm, xmm, sizeof xmm);

    /* A reserved bit of MXCSR: nothing is loaded. */
    st_le32(mem + 0x118, 0x10000);
    cpu->fpu.cw = FCW_RESET;
    assert_int_equal(RUN(0x0f, 0xae, 0x8e, 0x00, 0x01, 0x00, 0x00), VEC_GP);
    assert_int_equal(cpu->fpu.cw, FCW_RESET);

    /* REX.W: 64-bit pointers. */
    cpu->fpu.ip = 0xffff800012345678;
    assert_int_equal(RUN(0x48, 0x0f, 0xae, 0x86, 0x00, 0x01, 0x00, 0x00), 0);
    assert_int_equal(ld_le64(image + 8), 0xffff800012345678);
}

/* The form that other backends and snapshots take. */
static void test_kvm_state(void **unused)
{
    struct kvm_fpu fpu;
    fill_registers();
    struct x87 before = cpu->fpu;
    fpu_get(cpu, &fpu);
    assert_int_equal(fpu.ftwx, 0x80);
    assert_int_equal(ld_le64(fpu.fpr[0]), 0xc90fdaa22168c235);
    fpu_reset(cpu);
    fpu_set(cpu, &fpu);
    assert_memory_equal(cpu->fpu.r, before.r, sizeof before.r);
    assert_int_equal(cpu->fpu.sw, before.sw);
    assert_memory_equal(cpu->xmm, fpu.xmm, sizeof fpu.xmm);
}

/* MMX shares the x87's registers. */
static void test_mmx_state(void **unused)
{
    RUN(0xdb, 0xe3);
    RUN(0xd9, 0xe8);
    cpu->r[RAX] = 0x1122334455667788;
    assert_int_equal(RUN(0x48, 0x0f, 0x6e, 0xd8), 0); /* movq %rax, %mm3 */
    assert_int_equal(cpu->fpu.r[3].mant, 0x1122334455667788);
    assert_int_equal(cpu->fpu.r[3].se, 0xffff);
    assert_int_equal(cpu->fpu.tags, 0xff);
    assert_int_equal(cpu->fpu.sw & FSW_TOP, 0);
    assert_int_equal(RUN(0x0f, 0x77), 0);
    assert_int_equal(cpu->fpu.tags, 0);
}

/* MASKMOVDQU writes the chosen bytes alone, at rDI of DS or another segment. */
static void test_masked_store(void **unused)
{
    memset(mem, 0x11, 64);
    cpu->r[RDI] = (uintptr_t)mem + 3;
    cpu->ea_base[SEG_FS] = 32;
    for (unsigned k = 0; k < 16; k++) {
        cpu->xmm[0].u8[k] = (uint8_t)(0xa0 + k);
        cpu->xmm[1].u8[k] = k % 3 ? 0x7f : 0x80;
    }
    assert_int_equal(RUN(0x66, 0x0f, 0xf7, 0xc1), 0);
    assert_int_equal(RUN(0x64, 0x66, 0x0f, 0xf7, 0xc1), 0);
    for (unsigned k = 0; k < 16; k++) {
        assert_int_equal(mem[3 + k], k % 3 ? 0x11 : 0xa0 + k);
        assert_int_equal(mem[35 + k], k % 3 ? 0x11 : 0xa0 + k);
    }
    assert_int_equal(mem[2], 0x11);
    assert_int_equal(mem[51], 0x11);
}

/* Operands across two pages, at every distance. */
static void test_page_crossing(void **unused)
{
    for (unsigned k = 0; k < 32; k++)
        mem[4096 - 16 + k] = (uint8_t)(k * 7 + 1);
    for (unsigned off = 0; off <= 16; off++) {
        cpu->r[RSI] = (uintptr_t)mem + 4096 - 16 + off;
        assert_int_equal(RUN(0x0f, 0x10, 0x06), 0); /* movups (%rsi), %xmm0 */
        assert_memory_equal(&cpu->xmm[0], mem + 4096 - 16 + off, 16);
        uint8_t copy[32], result[16];
        memcpy(copy, mem + 4096 - 16, 32);
        for (unsigned k = 0; k < 16; k++)
            result[k] = cpu->xmm[0].u8[k] ^= 0x5a;
        assert_int_equal(RUN(0xf3, 0x0f, 0x7f, 0x06), 0); /* movdqu %xmm0, (%rsi) */
        memcpy(copy + off, result, off > 16 ? 32 - off : 16);
        assert_memory_equal(mem + 4096 - 16, copy, 32);
    }
    RUN(0xdb, 0xe3);
    RUN(0xd9, 0xeb);
    cpu->r[RSI] = (uintptr_t)mem + 4096 - 5;
    assert_int_equal(RUN(0xdb, 0x3e), 0); /* fstpt (%rsi) */
    assert_int_equal(ld_le64(mem + 4096 - 5), 0xc90fdaa22168c235);
    assert_int_equal(RUN(0xdb, 0x2e), 0);
    assert_int_equal(cpu->fpu.r[7].mant, 0xc90fdaa22168c235);
    assert_int_equal(RUN(0xdd, 0x76, 0xc0), 0); /* fnsave -64(%rsi) */
    assert_int_equal(RUN(0xdd, 0x66, 0xc0), 0);
    assert_int_equal(cpu->fpu.r[7].mant, 0xc90fdaa22168c235);
    assert_int_equal(cpu->fpu.tags, 0x80);
}

static void test_host(void **unused)
{
    struct error err = { 0 };
    assert_true(fpu_host_ok(&err));
    assert_string_equal(err.text, "");
}

static int set_up(void **unused)
{
    mem = mmap(NULL, PAGES * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    cpu = calloc(1, sizeof *cpu);
    if (mem == MAP_FAILED || !cpu)
        return -1;
    soft_exec(NULL);
    memset(cpu->tlbs, 0xff, sizeof cpu->tlbs);
    cpu->tlb = cpu->tlbs[0];
    for (uint64_t va = (uintptr_t)mem; va < (uintptr_t)mem + PAGES * 4096; va += 4096) {
        struct tlb_entry *e = tlb_slot(cpu->tlb, va);
        e->tag[ACCESS_READ] = e->tag[ACCESS_WRITE] = va;
        e->addend = 0; /* guest virtual addresses are the host's */
    }
    return 0;
}

static int tear_down(void **unused)
{
    free(cpu);
    munmap(mem, PAGES * 4096);
    return 0;
}

#define TEST(f) cmocka_unit_test_setup(f, reset)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_enabling),       TEST(test_alignment),
        TEST(test_mxcsr),          TEST(test_mxcsr_of_host),
        TEST(test_approximations), TEST(test_pending_exception),
        TEST(test_environment),    TEST(test_save_and_restore),
        TEST(test_fxsave),         TEST(test_kvm_state),
        TEST(test_mmx_state),      TEST(test_masked_store),
        TEST(test_page_crossing),  TEST(test_host),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
