/* MMX and SSE to SSE4.2: how an instruction is described, and the list of them all.
 *
 * Private to the sse*.c files. An instruction is one line of a list below: where it is encoded,
 * what its operands are, and the function that computes it. sse_opcodes.c makes the decoder's rows
 * and the table of operations of the lists; sse.c fetches operands and writes results by that
 * table; sse_int.c, sse_float.c and sse_move.c hold the functions.
 *
 * The semantics run on the host's own SIMD unit, one host instruction for one guest instruction
 * wherever that exists. */
#pragma once

#include "cpu/soft/fpu.h"
#include "cpu/soft/opcodes.h"

/* Compute `*d`, which holds the destination's old value, from `*s` (the upper part of a short
 * operand is zero); they may be the same register. `arg`: see below. */
typedef void simd_fn(union vec128 *d, const union vec128 *s, unsigned arg);

static inline unsigned simd_imm(unsigned arg)
{
    return arg & 0xff;
}

/* Operand size in bytes as S_* gives it. */
static inline unsigned simd_size(unsigned arg)
{
    return arg >> 8 & 0xf;
}

#define SIMD_ARG_MEM (1u << 12) /* the r/m operand is memory */

enum simd_operand {
    SIMD_XMM,
    SIMD_MMX,
    SIMD_GPR,   /* of the operand size */
    SIMD_FLAGS, /* destination: `d->u32[0]` is the new value of the arithmetic flags */
};

enum {
    SIMD_FP = 1,          /* rounds and raises as MXCSR says */
    SIMD_UNALIGNED = 2,   /* its 16 bytes of memory may lie anywhere */
    SIMD_STORE = 4,       /* destination r/m, source reg */
    SIMD_RM_DST = 8,      /* destination r/m, a register; the only other operand is an immediate */
    SIMD_NO_MMX_MEM = 16, /* with memory, the MMX registers are not touched */
    SIMD_IS4 = 32,        /* a register is in the upper half of the immediate */
};

struct simd_op {
    simd_fn *fn;
    int (*run)(struct soft_cpu *c, const struct insn *i); /* instead of fn: what fits no pattern */
    uint8_t dst, src;                                     /* enum simd_operand */
    uint8_t msize; /* bytes of a memory operand; 0: the operand size */
    uint8_t flags;
};

extern const struct simd_op simd_ops[];

/* How an operation with a VEX prefix is made of that on 128 bits: beside its index, in a row's
 * argument. */
enum vex_shape {
    VEX_LANES,   /* each half by itself */
    VEX_SCALAR,  /* only the lower half, whatever L is */
    VEX_WIDE,    /* a half of the result from half as many bytes of the source */
    VEX_NARROW,  /* the other way round */
    VEX_COUNT,   /* both halves use the lower one of the source, of 16 bytes in memory */
    VEX_GATHER,  /* the halves' bits beside each other, or with shift 0 the bits that both have */
    VEX_ALIGNED, /* lanes; memory has to be aligned */
};
enum { VEX_INDEX_BITS = 10, VEX_SHAPE_BITS = 3 };
/* The immediate of the upper half, or the bits of the lower, is shifted by this. */
extern const uint8_t vex_shifts[5];

static inline unsigned vex_arg(unsigned index, enum vex_shape shape, unsigned shift)
{
    return index | (unsigned)shape << VEX_INDEX_BITS | shift << (VEX_INDEX_BITS + VEX_SHAPE_BITS);
}

/* What is not made of lanes of 128 bits: compute `*d`, which holds the destination's old value (or
 * that of the register that the immediate names), from `*v`, the register of vvvv, and `*s`. What
 * lies beyond the operand size does not matter. `arg` is as above. */
typedef void vex_fn(union vec256 *d, const union vec256 *v, const union vec256 *s, unsigned arg);

#define VEX_ARG_256 (1u << 13)

/* What the instruction's line says. */
static inline unsigned vex_number(unsigned arg)
{
    return arg >> 16;
}

static inline unsigned vex_bytes(unsigned arg)
{
    return arg & VEX_ARG_256 ? 32 : 16;
}

/* As vex_fn, under the guest's MXCSR; returns the exceptions. */
typedef uint32_t vex_float_fn(union vec256 *d, const union vec256 *v, const union vec256 *s,
                              unsigned arg, uint32_t mxcsr);

struct vex_op {
    vex_fn *fn;
    vex_float_fn *float_fn; /* instead of fn */
    uint8_t bytes[2];       /* of a memory operand, without and with L; 0: the operand size */
    uint8_t flags;          /* SIMD_STORE, SIMD_IS4 */
    uint16_t number;
};
extern const struct vex_op vex_ops[];

/* Run `fn` with the guest's MXCSR. 0 or X_FAULT (#XM, `*d` is unchanged then). */
int simd_run_fp(struct soft_cpu *c, simd_fn *fn, union vec128 *d, const union vec128 *s,
                unsigned arg);

/* The exceptions of one instruction that ran with all masks set: 0 or X_FAULT (#XM). */
int simd_deliver_flags(struct soft_cpu *c, uint32_t flags);
/* Run `call` with the guest's MXCSR; returns the exceptions. Of `*job`, `size` bytes, only what
 * call() writes may change. */
uint32_t simd_fp_flags(struct soft_cpu *c, void (*call)(void *job), void *job, size_t size);

/* Those of sse.c and sse_string.c that fit no pattern. */
int simd_run_maskmovq(struct soft_cpu *c, const struct insn *i);
int simd_run_maskmovdqu(struct soft_cpu *c, const struct insn *i);
int simd_run_emms(struct soft_cpu *c, const struct insn *i);
int simd_run_crc32b(struct soft_cpu *c, const struct insn *i);
int simd_run_crc32(struct soft_cpu *c, const struct insn *i);
int simd_run_blendv(struct soft_cpu *c, const struct insn *i);
int simd_run_sha256rnds2(struct soft_cpu *c, const struct insn *i);
int simd_run_pcmpestrm(struct soft_cpu *c, const struct insn *i);
int simd_run_pcmpestri(struct soft_cpu *c, const struct insn *i);
int simd_run_pcmpistrm(struct soft_cpu *c, const struct insn *i);
int simd_run_pcmpistri(struct soft_cpu *c, const struct insn *i);

/* Load the r/m operand, `size` bytes; 16 bytes must be aligned unless told otherwise. */
int simd_load_rm(struct soft_cpu *c, const struct insn *i, unsigned operand, unsigned size,
                 bool unaligned, union vec128 *v);

#include "cpu/soft/simd_lists.h"

/* clang-format off */
/* ---- the functions they name ---- */

#define DECLARE_BOTH(map, opcode, name, ...) simd_fn simd_mmx_##name, simd_xmm_##name;
SIMD_INT_BOTH(DECLARE_BOTH)
#undef DECLARE_BOTH
#define DECLARE_XMM(map, prefix, opcode, name, ...) simd_fn simd_xmm_##name;
SIMD_INT_XMM(DECLARE_XMM)
SIMD_FLOAT(DECLARE_XMM)
#undef DECLARE_XMM
#define DECLARE(map, prefix, opcode, name, form, size, opf, fn, ...) simd_fn simd_##fn;
SIMD_OTHER_FLOAT(DECLARE)
SIMD_MOVES(DECLARE)
SIMD_SHUFFLES(DECLARE)
SIMD_AVX(DECLARE)
#undef DECLARE
#define DECLARE_SHIFT(opcode, reg, name) simd_fn simd_mmx_##name##_imm, simd_xmm_##name##_imm;
SIMD_SHIFTS(DECLARE_SHIFT)
#undef DECLARE_SHIFT
simd_fn simd_xmm_psrldq_imm, simd_xmm_pslldq_imm;
#define DECLARE_LATER(map, prefix, opcode, name, form, fn, isa, vex) simd_fn simd_##fn;
SIMD_LATER(DECLARE_LATER)
#undef DECLARE_LATER
#define DECLARE_WHOLE(map, prefix, opcode, name, form, size, opf, fn, ...) vex_fn vex_##fn;
SIMD_WHOLE(DECLARE_WHOLE)
#undef DECLARE_WHOLE
vex_float_fn vex_cvtph2ps, vex_cvtps2ph, vex_fma;
/* clang-format on */

/* ---- the index of each in simd_ops, or vex_ops ---- */

#define SIMD_ID(map, prefix, opcode) SIMD_##map##_##prefix##_##opcode
#define VEX_ID(map, prefix, opcode)  VEX_##map##_##prefix##_##opcode

enum simd_id {
    SIMD_ID_NONE,
#define B(map, opcode, ...)         SIMD_ID(map, NONE, opcode), SIMD_ID(map, 66, opcode),
#define P(map, prefix, opcode, ...) SIMD_ID(map, prefix, opcode),
#define V(map, prefix, opcode, ...) VEX_ID(map, prefix, opcode),
#define S(opcode, reg, name)        SIMD_MMX_SHIFT_##name, SIMD_XMM_SHIFT_##name,
#define S16(opcode, reg, name)      SIMD_XMM_SHIFT_##name,
    SIMD_INT_BOTH(B) SIMD_INT_XMM(P) SIMD_FLOAT(P) SIMD_OTHER_FLOAT(P) SIMD_MOVES(P)
        SIMD_SHUFFLES(P) SIMD_SHIFTS(S) SIMD_BYTE_SHIFTS(S16) SIMD_SPECIAL(P) SIMD_LATER(P)
            SIMD_AVX(V) SIMD_ID_COUNT
#undef B
#undef P
#undef V
#undef S
#undef S16
};
_Static_assert((int)SIMD_ID_COUNT < 1 << VEX_INDEX_BITS, "an index fits into a row's argument");

enum vex_id {
#define W(map, prefix, opcode, ...) VEX_WHOLE_##map##_##prefix##_##opcode,
    SIMD_WHOLE(W) SIMD_WHOLE_FLOAT(W) VEX_WHOLE_COUNT
#undef W
};
