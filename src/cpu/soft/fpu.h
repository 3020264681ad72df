/* What the x87, MMX and SSE files of the software CPU share: the register stack, the checks before
 * an instruction, and operands wider than 8 bytes. Private to this folder. */
#pragma once

#include "cpu/soft/operand.h"

/* An 80-bit number as it lies in memory: SDM vol. 1 4.2.2. */
struct f80 {
    uint64_t mant;
    uint16_t se; /* sign and exponent */
};
_Static_assert(sizeof(struct f80) == sizeof((struct x87 *)0)->r[0], "the registers hold such");

/* Status word; the exception flags are in the same places as their masks in the control word and,
 * but for SF, as in MXCSR: SDM vol. 1 8.1.3. */
enum {
    FSW_IE = 0x01,
    FSW_DE = 0x02,
    FSW_ZE = 0x04,
    FSW_OE = 0x08,
    FSW_UE = 0x10,
    FSW_PE = 0x20,
    FSW_EXCEPTIONS = 0x3f,
    FSW_SF = 0x40, /* stack fault */
    FSW_ES = 0x80, /* an exception is pending */
    FSW_C0 = 0x100,
    FSW_C1 = 0x200,
    FSW_C2 = 0x400,
    FSW_C3 = 0x4000,
    FSW_CONDITION = FSW_C0 | FSW_C1 | FSW_C2 | FSW_C3,
    FSW_TOP_SHIFT = 11,
    FSW_TOP = 7 << FSW_TOP_SHIFT,
    FSW_B = 0x8000, /* ES once more */
};

enum {
    FCW_RESET = 0x0040,
    FCW_INIT = 0x037f,
    FCW_ALWAYS = 0x0040, /* a reserved bit that reads as 1 */
    FCW_VALID = 0x1f7f,
    MXCSR_RESET = 0x1f80,
    MXCSR_VALID = 0xffff,
    MXCSR_FLAGS = 0x3f,
    MXCSR_DAZ = 0x40,
    MXCSR_MASKS = 0x1f80,
    MXCSR_MASK_SHIFT = 7,
    MXCSR_UM = 0x800,
    MXCSR_RC = 0x6000,
    MXCSR_RC_SHIFT = 13,
    MXCSR_FTZ = 0x8000,
};

static inline unsigned fpu_top(const struct soft_cpu *c)
{
    return c->fpu.sw >> FSW_TOP_SHIFT & 7;
}

static inline void fpu_set_top(struct soft_cpu *c, unsigned top)
{
    c->fpu.sw = (uint16_t)((c->fpu.sw & ~FSW_TOP) | (top & 7) << FSW_TOP_SHIFT);
}

/* Make ES and B agree with the flags and masks. */
static inline void fpu_update_es(struct soft_cpu *c)
{
    bool pending = c->fpu.sw & ~c->fpu.cw & FSW_EXCEPTIONS;
    c->fpu.sw = (uint16_t)((c->fpu.sw & ~(FSW_ES | FSW_B)) | (pending ? FSW_ES | FSW_B : 0));
}

static inline void fpu_set_cw(struct soft_cpu *c, uint16_t cw)
{
    c->fpu.cw = (cw & FCW_VALID) | FCW_ALWAYS;
    fpu_update_es(c);
}

/* What every x87 and MMX instruction that waits does first: #MF for an exception pending from an
 * earlier one. */
int fpu_wait(struct soft_cpu *c);

static inline bool fpu_sse_is_on(const struct soft_cpu *c)
{
    return (c->cr4 & CR4_OSFXSR) && !(c->cr0 & (CR0_EM | CR0_TS));
}

/* #UD and #NM as CR0 and CR4 say: 0 or X_FAULT. The MMX check includes fpu_wait. */
int fpu_check_sse(struct soft_cpu *c);
int fpu_check_mmx(struct soft_cpu *c);

/* Of an instruction with a VEX prefix that uses vector registers: SDM vol. 2 2.4. */
int fpu_check_avx(struct soft_cpu *c);

/* The one or the other. */
static inline int fpu_check_vector(struct soft_cpu *c, const struct insn *i)
{
    return i->imm & INSN_VEX ? fpu_check_avx(c) : fpu_check_sse(c);
}

static inline union vec256 ymm_get(const struct soft_cpu *c, unsigned n)
{
    return (union vec256){ .half = { c->xmm[n], c->ymmh[n] } };
}

/* Without `wide` the upper half becomes zero. */
static inline void ymm_set(struct soft_cpu *c, unsigned n, const union vec256 *v, bool wide)
{
    c->xmm[n] = v->half[0];
    c->ymmh[n] = wide ? v->half[1] : (union vec128){ 0 };
}

/* The image of FXSAVE; with REX.W the pointers are 64 bits wide and have no selectors. */
struct fxsave_image {
    uint16_t cw, sw;
    uint8_t tags, reserved;
    uint16_t opcode;
    union {
        struct {
            uint32_t ip;
            uint16_t cs, reserved_cs;
            uint32_t dp;
            uint16_t ds, reserved_ds;
        };
        struct {
            uint64_t ip64, dp64;
        };
    };
    uint32_t mxcsr, mxcsr_mask;
    struct {
        uint64_t mant;
        uint16_t se, reserved[3];
    } st[8]; /* ST(0) first */
    union vec128 xmm[16];
    uint8_t unused[96];
};
_Static_assert(sizeof(struct fxsave_image) == 512, "SDM vol. 1 table 10-2");

static inline unsigned fpu_xmm_count(const struct soft_cpu *c)
{
    return code64(c) ? 16 : 8;
}

/* `wide`: with pointers of 64 bits. */
void fpu_image_save(const struct soft_cpu *c, struct fxsave_image *image, bool wide);
void fpu_image_restore_x87(struct soft_cpu *c, const struct fxsave_image *image, bool wide);

/* The state that any MMX instruction but EMMS leaves: TOP 0, all registers valid. */
static inline void fpu_enter_mmx(struct soft_cpu *c)
{
    fpu_set_top(c, 0);
    c->fpu.tags = 0xff;
}

static inline void fpu_set_mmx(struct soft_cpu *c, unsigned n, uint64_t v)
{
    c->fpu.r[n].mant = v;
    c->fpu.r[n].se = 0xffff;
}

/* Bytes at a linear address in pieces of at most 8. Stores are probed as a whole first, so that a
 * fault leaves nothing written. `len` is at most 4096. 0, X_BREAK or X_FAULT. */
int fpu_load_bytes(struct soft_cpu *c, uint64_t va, void *to, unsigned len);
int fpu_store_bytes(struct soft_cpu *c, uint64_t va, const void *from, unsigned len);
