/* The operations the software CPU knows, and the table that says which bytes mean which.
 *
 * An operation is a handler. HOT_OPS are specialised by operand form and size and live inside the
 * loop of exec.c, as functions h_NAME inlined there; COLD_OPS are functions op_NAME of the
 * instruction families, called from it. The opcode table (opcodes.c, and sse_opcodes.c for the SIMD
 * maps) is the single source of what bytes mean: the decoder, the coverage count and the
 * documentation are made from it. */
#pragma once

#include "cpu/soft/soft_cpu.h"

/* clang-format off */
#define FOR_SIZES(X, n) X(n##_1) X(n##_2) X(n##_4) X(n##_8)

/* Register-register, register from memory, memory from register, register-immediate, memory-immediate. */
#define ALU_FORMS(X, M, n)                                                                         \
    FOR_SIZES(X, n##_rr) FOR_SIZES(M, n##_rm) FOR_SIZES(M, n##_mr) FOR_SIZES(X, n##_ri)            \
    FOR_SIZES(M, n##_mi)

#define UNARY_FORMS(X, M, n) FOR_SIZES(X, n##_r) FOR_SIZES(M, n##_m)

/* By immediate and by CL, of a register. */
#define SHIFT_FORMS(X, n) FOR_SIZES(X, n##_ri) FOR_SIZES(X, n##_rc)

#define CONDITIONS(X, n)                                                                           \
    X(n##_o) X(n##_no) X(n##_b) X(n##_nb) X(n##_z) X(n##_nz) X(n##_be) X(n##_nbe) X(n##_s)         \
    X(n##_ns) X(n##_p) X(n##_np) X(n##_l) X(n##_nl) X(n##_le) X(n##_nle)

/* M: those with an effective address. */
#define HOT_PLAIN_OPS(X, M)                                                                           \
    ALU_FORMS(X, M, add) ALU_FORMS(X, M, or) ALU_FORMS(X, M, adc) ALU_FORMS(X, M, sbb) ALU_FORMS(X, M, and)       \
    ALU_FORMS(X, M, sub) ALU_FORMS(X, M, xor) ALU_FORMS(X, M, cmp) ALU_FORMS(X, M, test) ALU_FORMS(X, M, mov)     \
    UNARY_FORMS(X, M, not) UNARY_FORMS(X, M, neg) UNARY_FORMS(X, M, inc) UNARY_FORMS(X, M, dec)                \
    SHIFT_FORMS(X, shl) SHIFT_FORMS(X, shr) SHIFT_FORMS(X, sar) SHIFT_FORMS(X, rol)                \
    SHIFT_FORMS(X, ror)                                                                            \
    X(movzx_r1) X(movzx_r2) M(movzx_m1) M(movzx_m2)                                                \
    X(movsx_r1_4) X(movsx_r2_4) M(movsx_m1_4) M(movsx_m2_4)                                        \
    X(movsx_r1_8) X(movsx_r2_8) M(movsx_m1_8) M(movsx_m2_8) X(movsxd_r) M(movsxd_m)                \
    M(lea_4) M(lea_8) X(push_r8) X(push_i8) X(pop_r8)                                              \
    X(imul_rr_4) X(imul_rr_8) M(imul_rm_4) M(imul_rm_8)                                            \
    X(cmov_rr_4) X(cmov_rr_8) M(cmov_rm_4) M(cmov_rm_8) X(setcc_r) X(nop)

/* Those that end a block and set rip. */
#define HOT_JUMP_OPS(X) X(ret8) X(jmp_r) X(call_r)

/* Those that end a block with a successor known when it was decoded: written out in the loop. */
#define HOT_BRANCH_OPS(X) CONDITIONS(X, j) X(jmp_rel) X(call_rel8) X(block_end) X(point)

/* Pairs of an operation of registers and the conditional jump after it that have one handler: what
 * loops and bounds are made of. Operation, jump, its condition. */
#define FUSED_COMPARE(X, op)                                                                       \
    X(op, j_b, 2) X(op, j_nb, 3) X(op, j_z, 4) X(op, j_nz, 5) X(op, j_be, 6) X(op, j_nbe, 7)
#define FUSED_TEST(X, op) X(op, j_z, 4) X(op, j_nz, 5)
#define FUSED_PAIRS(X)                                                                             \
    FUSED_COMPARE(X, cmp_rr_4) FUSED_COMPARE(X, cmp_rr_8) FUSED_COMPARE(X, cmp_ri_4)               \
    FUSED_TEST(X, cmp_ri_1) FUSED_TEST(X, cmp_ri_8) FUSED_TEST(X, test_rr_1)                       \
    FUSED_TEST(X, test_rr_4) FUSED_TEST(X, test_rr_8) FUSED_TEST(X, sub_ri_4)                      \
    FUSED_TEST(X, add_ri_4) FUSED_TEST(X, add_ri_8)

/* What operations of registers alone, which nothing can stop, do with the arithmetic flags: write all
 * of them (shifts, unless by 0), all but CF, or leave them alone. None of these reads any. Those that
 * are frequent have a second handler, for where the flags are dead: see drop_dead_flags(). */
#define FOR_WIDE(X, n) X(n##_4) X(n##_8)
#define REG_FORMS(FOR, X, n) FOR(X, n##_rr) FOR(X, n##_ri)
#define FLAGS_DEAD_OPS(X)                                                                          \
    REG_FORMS(FOR_WIDE, X, add) REG_FORMS(FOR_WIDE, X, or) REG_FORMS(FOR_WIDE, X, and)             \
    REG_FORMS(FOR_WIDE, X, sub) REG_FORMS(FOR_WIDE, X, xor) FOR_WIDE(X, neg_r)                     \
    FOR_WIDE(X, inc_r) FOR_WIDE(X, dec_r) FOR_WIDE(X, shl_ri) FOR_WIDE(X, shr_ri)                  \
    FOR_WIDE(X, sar_ri) FOR_WIDE(X, imul_rr)
#define FLAGS_ALL_OPS(X)                                                                           \
    REG_FORMS(FOR_SIZES, X, add) REG_FORMS(FOR_SIZES, X, or) REG_FORMS(FOR_SIZES, X, and)          \
    REG_FORMS(FOR_SIZES, X, sub) REG_FORMS(FOR_SIZES, X, xor) REG_FORMS(FOR_SIZES, X, cmp)         \
    REG_FORMS(FOR_SIZES, X, test) FOR_SIZES(X, neg_r) X(imul_rr_4) X(imul_rr_8)
#define FLAGS_SHIFT_OPS(X) FOR_SIZES(X, shl_ri) FOR_SIZES(X, shr_ri) FOR_SIZES(X, sar_ri)
#define FLAGS_BUT_CF_OPS(X) FOR_SIZES(X, inc_r) FOR_SIZES(X, dec_r)
#define FLAGS_NO_OPS(X)                                                                            \
    REG_FORMS(FOR_SIZES, X, mov) FOR_SIZES(X, not_r) X(movzx_r1) X(movzx_r2) X(movsx_r1_4)         \
    X(movsx_r2_4) X(movsx_r1_8) X(movsx_r2_8) X(movsxd_r) X(lea_4) X(lea_8) X(nop)

#define HOT_OPS(X) HOT_PLAIN_OPS(X, X) HOT_JUMP_OPS(X) HOT_BRANCH_OPS(X)

#define COLD_OPS(X)                                                                                \
    /* general.c */                                                                                \
    X(ud) X(too_long) X(shift_m) X(rotate_carry) X(movzx) X(movsx) X(lea) X(xchg)   \
    X(bswap) X(cmov) X(setcc) X(mov_load_moffs) X(mov_store_moffs) X(xlat) X(lahf) X(sahf) X(clc)  \
    X(stc) X(cmc) X(cld) X(std) X(cbw) X(cwd) X(cmpxchg) X(cmpxchg8b) X(xadd)        \
    X(salc)                                                                         \
    /* stack.c */                                                                                  \
    X(push) X(push_imm) X(pop) X(pusha) X(popa) X(pushf) X(popf) X(enter) X(leave) X(push_seg)     \
    X(pop_seg)                                                                                     \
    /* muldiv.c, bits.c */                                                                         \
    X(mul) X(imul1) X(div) X(idiv) X(imul2) X(imul3) X(daa) X(das) X(aaa) X(aas) X(aam) X(aad)     \
    X(bt) X(bts) X(btr) X(btc) X(bsf) X(bsr) X(shld) X(shrd) X(popcnt)           \
    /* bmi.c */                                                                                    \
    X(tzcnt) X(lzcnt) X(movbe_load) X(movbe_store) X(add_carry) X(andn) X(bextr) X(bls) X(bzhi)    \
    X(mulx) X(pdep) X(pext) X(rorx) X(shift_vex)                                                   \
    /* branch.c */                                                                                 \
    X(jcc_short_mode) X(jmp_near) X(call_near) X(jmp_rm) X(call_rm) X(ret_near) X(ret_imm)         \
    X(loop) X(loope) X(loopne) X(jcxz) X(jmp_far_imm) X(call_far_imm) X(jmp_far_m) X(call_far_m)   \
    X(ret_far) X(ret_far_imm) X(iret) X(int3) X(int_imm) X(into) X(int1) X(bound) X(syscall)       \
    X(sysret) X(sysenter) X(sysexit)                                                               \
    /* string.c */                                                                                 \
    X(movs) X(stos) X(lods) X(cmps) X(scas) X(ins) X(outs)                                         \
    /* system.c */                                                                                 \
    X(hlt) X(cli) X(sti) X(mov_to_seg) X(mov_from_seg) X(load_far_ptr) X(mov_from_cr)              \
    X(mov_to_cr) X(mov_from_dr) X(mov_to_dr) X(lgdt) X(lidt) X(sgdt) X(sidt) X(lldt) X(ltr)        \
    X(sldt) X(str) X(smsw) X(lmsw) X(invlpg) X(clts) X(wbinvd) X(rdtsc) X(rdtscp) X(rdmsr)         \
    X(wrmsr) X(rdpmc) X(cpuid) X(swapgs) X(in_imm) X(in_dx) X(out_imm) X(out_dx) X(verr) X(verw)   \
    X(lar) X(lsl) X(arpl) X(pause) X(fence)                               \
    X(monitor) X(mwait) X(clac) X(stac) X(invpcid) X(rdpid) X(rdsegbase) X(wrsegbase) X(rdrand) X(rdseed) X(rsm) \
    /* x87.c: the eight escape opcodes; fxsave.c */                                                \
    X(x87) X(fwait) X(fxsave) X(fxrstor) X(ldmxcsr) X(stmxcsr)                                     \
    X(vex_lanes) X(vex_whole) X(vzero) X(vmaskmov) X(vgather)                                      \
    X(xsave) X(xrstor) X(xgetbv) X(xsetbv)                                                         \
    /* sse.c */                                                                                    \
    X(sse)
/* clang-format on */

enum op {
#define X(name) OP_##name,
    HOT_OPS(X) OP_HOT_COUNT,
    OP_BEFORE_COLD = OP_HOT_COUNT - 1,
    COLD_OPS(X) OP_COUNT
#undef X
};

#define X(name) int op_##name(struct soft_cpu *c, const struct insn *i);
COLD_OPS(X)
#undef X

/* By enum op; NULL for the hot ones. */
extern const insn_fn soft_cold[OP_COUNT];

enum {
#define X(op, jump, cc) FUSED_##op##_##jump,
    FUSED_PAIRS(X) FUSED_COUNT
#undef X
};

/* Where in soft_exec() the handlers are. */
struct soft_labels {
    const void *any[OP_COUNT];
    /* Of operations with memory, for instructions whose address is EA_PLAIN; NULL: there is none.
     */
    const void *plain[OP_COUNT];
    const void *dead[OP_COUNT];     /* of FLAGS_DEAD_OPS: without flags; NULL: there is none */
    const void *fused[FUSED_COUNT]; /* of FUSED_PAIRS: the handler of the first of the two */
};
extern const struct soft_labels *soft_labels;

/* How operands are encoded. E: register or memory by ModRM; G: register by ModRM.reg. */
enum opcode_form {
    F_NONE,
    F_EG,    /* destination E, source G */
    F_GE,    /* destination G, source E */
    F_EI,    /* E, immediate of the operand size (at most 32 bits, sign-extended) */
    F_EIB,   /* E, 8-bit immediate, sign-extended */
    F_EUB,   /* E, 8-bit immediate, zero-extended */
    F_E1,    /* E, the constant 1 */
    F_ECL,   /* E, CL */
    F_E,     /* E alone */
    F_AI,    /* accumulator, immediate */
    F_O,     /* register in the opcode's low bits */
    F_AO,    /* accumulator and that register */
    F_OI,    /* that register, immediate of the operand size, 64-bit too */
    F_GEI,   /* G, E, immediate */
    F_GEIB,  /* G, E, 8-bit immediate, sign-extended */
    F_EGUB,  /* E, G, 8-bit immediate, zero-extended */
    F_I,     /* immediate of the operand size */
    F_IB,    /* 8-bit immediate, sign-extended */
    F_UB,    /* 8-bit immediate, zero-extended */
    F_IW,    /* 16-bit immediate */
    F_IWIB,  /* 16-bit and 8-bit immediates: imm = first | second << 16 */
    F_J,     /* branch displacement of the operand size (at most 32 bits) */
    F_JB,    /* 8-bit branch displacement */
    F_MOFFS, /* accumulator and a full-size address: imm */
    F_AP,    /* far pointer: imm = offset | selector << 32 */
    F_RAW,   /* ModRM, reg and rm left as they are encoded (with REX): SIMD, segment and control
                registers */
    F_RAWUB, /* the same and an 8-bit immediate */
};

/* The operand size. */
enum opcode_size {
    S_V,   /* 16, 32 or 64 bits by mode and prefixes */
    S_B,   /* 8 */
    S_W,   /* 16 */
    S_D,   /* 32 */
    S_Q,   /* 64 */
    S_Y,   /* 32, or 64 with REX.W */
    S_X,   /* the same of elements of vectors: VEX.W counts in every mode */
    S_D64, /* as S_V, but 64 instead of 32 in 64-bit mode: the stack */
    S_F64, /* as S_V, but always 64 in 64-bit mode, whatever the prefix: near branches */
    S_M,   /* machine: 64 in 64-bit mode, else 32 */
};

/* How the operation is picked from `op`. */
enum opcode_pick {
    P_ONE,   /* it is `op` */
    P_ALU,   /* ALU_FORMS by form and size */
    P_UNARY, /* UNARY_FORMS by form and size */
    P_SHIFT, /* SHIFT_FORMS for registers, `other` for memory */
    P_CC,    /* `op` + condition; the condition is in the opcode's low four bits */
    P_CCIMM, /* `op` is for registers, `other` otherwise; the condition goes to imm (hot sizes 4 and
                8 follow each other) */
    P_64,    /* `op` in 64-bit operand size in 64-bit mode, else `other` */
    P_REG64, /* `op` for a register in 64-bit mode without operand-size prefix, else `other` */
    P_MOVX1, /* MOVZX/MOVSX from 8 bits: see decode.c */
    P_MOVX2, /* from 16 bits */
    P_MOVSXD,
    P_LEA,
    P_IMUL2,
};

enum {
    OPF_NO64 = 1,          /* #UD in 64-bit mode */
    OPF_ONLY64 = 2,        /* #UD outside of it */
    OPF_LOCK = 4,          /* LOCK is allowed with a memory destination */
    OPF_END = 8,           /* ends the block */
    OPF_MEM = 16,          /* #UD with a register operand */
    OPF_REG = 32,          /* #UD with a memory operand */
    OPF_GROUP = 64,        /* `group` has 8 rows by ModRM.reg */
    OPF_ESCAPE = 128,      /* SIMD: looked up by mandatory prefix in sse_opcodes.c */
    OPF_VSIB = 1024,       /* its index is a vector register; needs an SIB byte */
    OPF_NP = 512,          /* #UD with 66, F2 or F3 */
    OPF_NFX = 2048,        /* #UD with F2 or F3 */
    OPF_NOMODRM_MEM = 256, /* ModRM always names registers: MOV CR, MOV DR */
};

/* Of rows that a VEX prefix reaches: what its fields have to be, else #UD (SDM vol. 2 2.3). */
enum {
    VEX_V = 1,     /* vvvv names an operand; without, it is 1111b */
    VEX_V_REG = 2, /* only where r/m is a register */
    VEX_L0 = 4,
    VEX_L1 = 8,
    VEX_W0 = 16,
    VEX_W1 = 32,
};

/* When a row needs more. */
enum {
    MORE_VEX_L, /* with VEX.L */
    MORE_REX_W, /* with REX.W */
    MORE_64,    /* in 64-bit mode */
};

struct opcode {
    const char *name;
    uint16_t op;
    uint8_t form, size, pick;
    uint16_t flags;
    uint16_t other;
    uint16_t arg; /* of ops that serve several rows: the shift kind, a segment, a SIMD function:
                     insn_arg() */
    const struct opcode *group;
    uint64_t needs;                /* ISA_*, all of them */
    uint64_t needs_more;           /* and these in a case that `more_with` names */
    uint8_t more_with;             /* MORE_* */
    uint8_t vex;                   /* VEX_* */
    const struct opcode *with_reg; /* instead of this row, where r/m is a register; NULL: none */
};

extern const struct opcode opcodes_1[256]; /* one byte */
extern const struct opcode opcodes_2[256]; /* 0F xx */
/* Group rows that differ between register and memory: 0F 01, 0F AE, 0F C7. */
extern const struct opcode opcodes_0f01_reg[64];   /* by ModRM & 0x3f */
extern const struct opcode opcodes_0fae_f3_reg[8]; /* with F3, by ModRM.reg */
extern const struct opcode opcodes_0fc7_reg[2][8]; /* without and with F3 */

enum { PREFIX_NONE, PREFIX_66, PREFIX_F3, PREFIX_F2 };
/* A row of map 0F, 0F 38 or 0F 3A (map 1, 2, 3) by mandatory prefix; NULL: none. */
const struct opcode *sse_opcode(unsigned map, unsigned prefix, uint8_t opcode);

/* The same of what VEX encodes. */
const struct opcode *vex_opcode(unsigned map, unsigned prefix, uint8_t opcode);

/* The row of the first instruction, as soft_decode() finds it; NULL: there is none. Not one that
 * all of its rules have been applied to. */
const struct opcode *soft_decode_row(const uint8_t *code, unsigned avail, uint32_t mode,
                                     uint64_t isa);

/* The kinds of XSAVE, by the row's argument. */
enum { XSAVE_PLAIN, XSAVE_OPT, XSAVE_COMPACT };

enum { SHIFT_ROL, SHIFT_ROR, SHIFT_RCL, SHIFT_RCR, SHIFT_SHL, SHIFT_SHR, SHIFT_SAL, SHIFT_SAR };
