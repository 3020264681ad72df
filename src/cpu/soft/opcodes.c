/* The opcode table of the one-byte and 0F maps (SDM vol. 2, appendix A). */
#include "cpu/soft/opcodes.h"

const insn_fn soft_cold[OP_COUNT] = {
#define X(name) [OP_##name] = op_##name,
    COLD_OPS(X)
#undef X
};

/* clang-format off: tables are read by column */
#define ROW(...)    \
    {               \
        __VA_ARGS__ \
    }

/* ADD, OR ...: six encodings of each. */
#define ALU_ROWS(base, NAME, n)                                        \
    [base] = ROW(NAME, OP_##n##_rr_1, F_EG, S_B, P_ALU, OPF_LOCK),     \
    [base + 1] = ROW(NAME, OP_##n##_rr_1, F_EG, S_V, P_ALU, OPF_LOCK), \
    [base + 2] = ROW(NAME, OP_##n##_rr_1, F_GE, S_B, P_ALU),           \
    [base + 3] = ROW(NAME, OP_##n##_rr_1, F_GE, S_V, P_ALU),           \
    [base + 4] = ROW(NAME, OP_##n##_rr_1, F_AI, S_B, P_ALU),           \
    [base + 5] = ROW(NAME, OP_##n##_rr_1, F_AI, S_V, P_ALU)

#define ALU_GROUP(FORM, SIZE, FLAGS)                           \
    (const struct opcode[8])                                   \
    {                                                          \
        ROW("add", OP_add_rr_1, FORM, SIZE, P_ALU, FLAGS),     \
            ROW("or", OP_or_rr_1, FORM, SIZE, P_ALU, FLAGS),   \
            ROW("adc", OP_adc_rr_1, FORM, SIZE, P_ALU, FLAGS), \
            ROW("sbb", OP_sbb_rr_1, FORM, SIZE, P_ALU, FLAGS), \
            ROW("and", OP_and_rr_1, FORM, SIZE, P_ALU, FLAGS), \
            ROW("sub", OP_sub_rr_1, FORM, SIZE, P_ALU, FLAGS), \
            ROW("xor", OP_xor_rr_1, FORM, SIZE, P_ALU, FLAGS), \
            ROW("cmp", OP_cmp_rr_1, FORM, SIZE, P_ALU),        \
    }

#define SHIFT_GROUP(FORM, SIZE)                                                     \
    (const struct opcode[8])                                                        \
    {                                                                               \
        ROW("rol", OP_rol_ri_1, FORM, SIZE, P_SHIFT, 0, OP_shift_m, SHIFT_ROL),     \
            ROW("ror", OP_ror_ri_1, FORM, SIZE, P_SHIFT, 0, OP_shift_m, SHIFT_ROR), \
            ROW("rcl", OP_rotate_carry, FORM, SIZE, P_ONE, 0, 0, SHIFT_RCL),        \
            ROW("rcr", OP_rotate_carry, FORM, SIZE, P_ONE, 0, 0, SHIFT_RCR),        \
            ROW("shl", OP_shl_ri_1, FORM, SIZE, P_SHIFT, 0, OP_shift_m, SHIFT_SHL), \
            ROW("shr", OP_shr_ri_1, FORM, SIZE, P_SHIFT, 0, OP_shift_m, SHIFT_SHR), \
            ROW("sal", OP_shl_ri_1, FORM, SIZE, P_SHIFT, 0, OP_shift_m, SHIFT_SHL), \
            ROW("sar", OP_sar_ri_1, FORM, SIZE, P_SHIFT, 0, OP_shift_m, SHIFT_SAR), \
    }

#define UNARY_GROUP(SIZE)                                                                        \
    (const struct opcode[8])                                                                     \
    {                                                                                            \
        ROW("test", OP_test_rr_1, F_EI, SIZE, P_ALU),                                            \
            ROW("test", OP_test_rr_1, F_EI, SIZE, P_ALU),                                        \
            ROW("not", OP_not_r_1, F_E, SIZE, P_UNARY, OPF_LOCK),                                \
            ROW("neg", OP_neg_r_1, F_E, SIZE, P_UNARY, OPF_LOCK), ROW("mul", OP_mul, F_E, SIZE), \
            ROW("imul", OP_imul1, F_E, SIZE), ROW("div", OP_div, F_E, SIZE),                     \
            ROW("idiv", OP_idiv, F_E, SIZE),                                                     \
    }

#define ROWS8(base, ...)                                                                         \
    [base] = ROW(__VA_ARGS__), [base + 1] = ROW(__VA_ARGS__), [base + 2] = ROW(__VA_ARGS__),     \
    [base + 3] = ROW(__VA_ARGS__), [base + 4] = ROW(__VA_ARGS__), [base + 5] = ROW(__VA_ARGS__), \
    [base + 6] = ROW(__VA_ARGS__), [base + 7] = ROW(__VA_ARGS__)

#define GROUP(...)                                           \
    {                                                        \
        .name = "", .flags = OPF_GROUP, .group = __VA_ARGS__ \
    }

/* The x87: all of an escape opcode is one row, but for what came later. */
#define X87_NAMED(NAME, ESCAPE, NEEDS, ...)                                        \
    {                                                                              \
        NAME, OP_x87, F_RAW, S_V, P_ONE, 0, 0, ESCAPE, .needs = NEEDS, __VA_ARGS__ \
    }
#define X87(ESCAPE)             X87_NAMED("x87", ESCAPE, ISA_FPU)
#define X87_REG(ESCAPE, REG)    X87_NAMED("x87", ESCAPE, ISA_FPU, .with_reg = &REG)
#define X87_FISTTP(ESCAPE, ...) X87_NAMED("fisttp", ESCAPE, ISA_FPU | ISA_SSE3, __VA_ARGS__)

static const struct opcode fcmovcc = X87_NAMED("fcmovcc", 2, ISA_FPU | ISA_CMOV);
static const struct opcode fcmovncc = X87_NAMED("fcmovcc", 3, ISA_FPU | ISA_CMOV);
static const struct opcode fucomi = X87_NAMED("fcomi", 3, ISA_FPU | ISA_CMOV);
static const struct opcode fucomip = X87_NAMED("fcomi", 7, ISA_FPU | ISA_CMOV);
static const struct opcode x87_dd = X87(5), x87_df = X87(7);

const struct opcode opcodes_1[256] = {
    ALU_ROWS(0x00, "add", add),
    ALU_ROWS(0x08, "or", or),
    ALU_ROWS(0x10, "adc", adc),
    ALU_ROWS(0x18, "sbb", sbb),
    ALU_ROWS(0x20, "and", and),
    ALU_ROWS(0x28, "sub", sub),
    ALU_ROWS(0x30, "xor", xor),
    [0x38] = ROW("cmp", OP_cmp_rr_1, F_EG, S_B, P_ALU),
    [0x39] = ROW("cmp", OP_cmp_rr_1, F_EG, S_V, P_ALU),
    [0x3a] = ROW("cmp", OP_cmp_rr_1, F_GE, S_B, P_ALU),
    [0x3b] = ROW("cmp", OP_cmp_rr_1, F_GE, S_V, P_ALU),
    [0x3c] = ROW("cmp", OP_cmp_rr_1, F_AI, S_B, P_ALU),
    [0x3d] = ROW("cmp", OP_cmp_rr_1, F_AI, S_V, P_ALU),

    [0x06] = ROW("push es", OP_push_seg, F_NONE, S_V, P_ONE, OPF_NO64, 0, SEG_ES),
    [0x07] = ROW("pop es", OP_pop_seg, F_NONE, S_V, P_ONE, OPF_NO64 | OPF_END, 0, SEG_ES),
    [0x0e] = ROW("push cs", OP_push_seg, F_NONE, S_V, P_ONE, OPF_NO64, 0, SEG_CS),
    [0x16] = ROW("push ss", OP_push_seg, F_NONE, S_V, P_ONE, OPF_NO64, 0, SEG_SS),
    [0x17] = ROW("pop ss", OP_pop_seg, F_NONE, S_V, P_ONE, OPF_NO64 | OPF_END, 0, SEG_SS),
    [0x1e] = ROW("push ds", OP_push_seg, F_NONE, S_V, P_ONE, OPF_NO64, 0, SEG_DS),
    [0x1f] = ROW("pop ds", OP_pop_seg, F_NONE, S_V, P_ONE, OPF_NO64 | OPF_END, 0, SEG_DS),
    [0x27] = ROW("daa", OP_daa, F_NONE, S_B, P_ONE, OPF_NO64),
    [0x2f] = ROW("das", OP_das, F_NONE, S_B, P_ONE, OPF_NO64),
    [0x37] = ROW("aaa", OP_aaa, F_NONE, S_B, P_ONE, OPF_NO64),
    [0x3f] = ROW("aas", OP_aas, F_NONE, S_B, P_ONE, OPF_NO64),

    /* 40-4F are REX prefixes in 64-bit mode, which the decoder has taken before it comes here. */
    ROWS8(0x40, "inc", OP_inc_r_1, F_O, S_V, P_UNARY, OPF_NO64),
    ROWS8(0x48, "dec", OP_dec_r_1, F_O, S_V, P_UNARY, OPF_NO64),
    ROWS8(0x50, "push", OP_push_r8, F_O, S_D64, P_64, 0, OP_push),
    ROWS8(0x58, "pop", OP_pop_r8, F_O, S_D64, P_64, 0, OP_pop),
    [0x60] = ROW("pusha", OP_pusha, F_NONE, S_V, P_ONE, OPF_NO64),
    [0x61] = ROW("popa", OP_popa, F_NONE, S_V, P_ONE, OPF_NO64),
    [0x62] = ROW("bound", OP_bound, F_GE, S_V, P_ONE, OPF_NO64 | OPF_MEM),
    [0x63] = ROW("movsxd", OP_movsxd_r, F_GE, S_V, P_MOVSXD), /* ARPL outside of 64-bit mode */
    [0x68] = ROW("push", OP_push_i8, F_I, S_D64, P_64, 0, OP_push_imm),
    [0x69] = ROW("imul", OP_imul3, F_GEI, S_V),
    [0x6a] = ROW("push", OP_push_i8, F_IB, S_D64, P_64, 0, OP_push_imm),
    [0x6b] = ROW("imul", OP_imul3, F_GEIB, S_V),
    [0x6c] = ROW("ins", OP_ins, F_NONE, S_B, P_ONE, OPF_END),
    [0x6d] = ROW("ins", OP_ins, F_NONE, S_V, P_ONE, OPF_END),
    [0x6e] = ROW("outs", OP_outs, F_NONE, S_B, P_ONE, OPF_END),
    [0x6f] = ROW("outs", OP_outs, F_NONE, S_V, P_ONE, OPF_END),
    ROWS8(0x70, "jcc", OP_j_o, F_JB, S_F64, P_CC, OPF_END, OP_jcc_short_mode),
    ROWS8(0x78, "jcc", OP_j_o, F_JB, S_F64, P_CC, OPF_END, OP_jcc_short_mode),
    [0x80] = GROUP(ALU_GROUP(F_EI, S_B, OPF_LOCK)),
    [0x81] = GROUP(ALU_GROUP(F_EI, S_V, OPF_LOCK)),
    [0x82] = { .name = "", .flags = OPF_GROUP | OPF_NO64, .group = ALU_GROUP(F_EI, S_B, OPF_LOCK) },
    [0x83] = GROUP(ALU_GROUP(F_EIB, S_V, OPF_LOCK)),
    [0x84] = ROW("test", OP_test_rr_1, F_EG, S_B, P_ALU),
    [0x85] = ROW("test", OP_test_rr_1, F_EG, S_V, P_ALU),
    [0x86] = ROW("xchg", OP_xchg, F_EG, S_B, P_ONE, OPF_LOCK),
    [0x87] = ROW("xchg", OP_xchg, F_EG, S_V, P_ONE, OPF_LOCK),
    [0x88] = ROW("mov", OP_mov_rr_1, F_EG, S_B, P_ALU),
    [0x89] = ROW("mov", OP_mov_rr_1, F_EG, S_V, P_ALU),
    [0x8a] = ROW("mov", OP_mov_rr_1, F_GE, S_B, P_ALU),
    [0x8b] = ROW("mov", OP_mov_rr_1, F_GE, S_V, P_ALU),
    [0x8c] = ROW("mov sreg", OP_mov_from_seg, F_RAW, S_V),
    [0x8d] = ROW("lea", OP_lea, F_GE, S_V, P_LEA, OPF_MEM),
    [0x8e] = ROW("mov sreg", OP_mov_to_seg, F_RAW, S_W, P_ONE, OPF_END),
    [0x8f] = GROUP((const struct opcode[8]){ ROW("pop", OP_pop, F_E, S_D64) }),
    [0x90] = ROW("nop", OP_nop, F_NONE, S_V), /* PAUSE and XCHG R8 are seen to by the decoder */
    [0x91] = ROW("xchg", OP_xchg, F_AO, S_V),
    [0x92] = ROW("xchg", OP_xchg, F_AO, S_V),
    [0x93] = ROW("xchg", OP_xchg, F_AO, S_V),
    [0x94] = ROW("xchg", OP_xchg, F_AO, S_V),
    [0x95] = ROW("xchg", OP_xchg, F_AO, S_V),
    [0x96] = ROW("xchg", OP_xchg, F_AO, S_V),
    [0x97] = ROW("xchg", OP_xchg, F_AO, S_V),
    [0x98] = ROW("cbw", OP_cbw, F_NONE, S_V),
    [0x99] = ROW("cwd", OP_cwd, F_NONE, S_V),
    [0x9a] = ROW("call far", OP_call_far_imm, F_AP, S_V, P_ONE, OPF_NO64 | OPF_END),
    [0x9b] = ROW("fwait", OP_fwait, F_NONE, S_V, .needs = ISA_FPU),
    [0x9c] = ROW("pushf", OP_pushf, F_NONE, S_D64),
    [0x9d] = ROW("popf", OP_popf, F_NONE, S_D64, P_ONE, OPF_END),
    [0x9e] = ROW("sahf", OP_sahf, F_NONE, S_B, .needs_more = ISA_LAHF_LM, .more_with = MORE_64),
    [0x9f] = ROW("lahf", OP_lahf, F_NONE, S_B, .needs_more = ISA_LAHF_LM, .more_with = MORE_64),
    [0xa0] = ROW("mov", OP_mov_load_moffs, F_MOFFS, S_B),
    [0xa1] = ROW("mov", OP_mov_load_moffs, F_MOFFS, S_V),
    [0xa2] = ROW("mov", OP_mov_store_moffs, F_MOFFS, S_B),
    [0xa3] = ROW("mov", OP_mov_store_moffs, F_MOFFS, S_V),
    [0xa4] = ROW("movs", OP_movs, F_NONE, S_B),
    [0xa5] = ROW("movs", OP_movs, F_NONE, S_V),
    [0xa6] = ROW("cmps", OP_cmps, F_NONE, S_B),
    [0xa7] = ROW("cmps", OP_cmps, F_NONE, S_V),
    [0xa8] = ROW("test", OP_test_rr_1, F_AI, S_B, P_ALU),
    [0xa9] = ROW("test", OP_test_rr_1, F_AI, S_V, P_ALU),
    [0xaa] = ROW("stos", OP_stos, F_NONE, S_B),
    [0xab] = ROW("stos", OP_stos, F_NONE, S_V),
    [0xac] = ROW("lods", OP_lods, F_NONE, S_B),
    [0xad] = ROW("lods", OP_lods, F_NONE, S_V),
    [0xae] = ROW("scas", OP_scas, F_NONE, S_B),
    [0xaf] = ROW("scas", OP_scas, F_NONE, S_V),
    ROWS8(0xb0, "mov", OP_mov_rr_1, F_OI, S_B, P_ALU),
    ROWS8(0xb8, "mov", OP_mov_rr_1, F_OI, S_V, P_ALU),
    [0xc0] = GROUP(SHIFT_GROUP(F_EUB, S_B)),
    [0xc1] = GROUP(SHIFT_GROUP(F_EUB, S_V)),
    [0xc2] = ROW("ret", OP_ret_imm, F_IW, S_F64, P_ONE, OPF_END),
    [0xc3] = ROW("ret", OP_ret8, F_NONE, S_F64, P_64, OPF_END, OP_ret_near),
    [0xc4] = ROW("les", OP_load_far_ptr, F_GE, S_V, P_ONE, OPF_NO64 | OPF_MEM | OPF_END, 0, SEG_ES),
    [0xc5] = ROW("lds", OP_load_far_ptr, F_GE, S_V, P_ONE, OPF_NO64 | OPF_MEM | OPF_END, 0, SEG_DS),
    [0xc6] = GROUP((const struct opcode[8]){ ROW("mov", OP_mov_rr_1, F_EI, S_B, P_ALU) }),
    [0xc7] = GROUP((const struct opcode[8]){ ROW("mov", OP_mov_rr_1, F_EI, S_V, P_ALU) }),
    [0xc8] = ROW("enter", OP_enter, F_IWIB, S_D64),
    [0xc9] = ROW("leave", OP_leave, F_NONE, S_D64),
    [0xca] = ROW("ret far", OP_ret_far_imm, F_IW, S_V, P_ONE, OPF_END),
    [0xcb] = ROW("ret far", OP_ret_far, F_NONE, S_V, P_ONE, OPF_END),
    [0xcc] = ROW("int3", OP_int3, F_NONE, S_V, P_ONE, OPF_END),
    [0xcd] = ROW("int", OP_int_imm, F_UB, S_V, P_ONE, OPF_END),
    [0xce] = ROW("into", OP_into, F_NONE, S_V, P_ONE, OPF_NO64 | OPF_END),
    [0xcf] = ROW("iret", OP_iret, F_NONE, S_V, P_ONE, OPF_END),
    [0xd0] = GROUP(SHIFT_GROUP(F_E1, S_B)),
    [0xd1] = GROUP(SHIFT_GROUP(F_E1, S_V)),
    [0xd2] = GROUP(SHIFT_GROUP(F_ECL, S_B)),
    [0xd3] = GROUP(SHIFT_GROUP(F_ECL, S_V)),
    [0xd4] = ROW("aam", OP_aam, F_UB, S_B, P_ONE, OPF_NO64),
    [0xd5] = ROW("aad", OP_aad, F_UB, S_B, P_ONE, OPF_NO64),
    [0xd6] = ROW("salc", OP_salc, F_NONE, S_B, P_ONE, OPF_NO64),
    [0xd7] = ROW("xlat", OP_xlat, F_NONE, S_B),
    [0xd8] = X87(0),
    [0xd9] = X87(1),
    [0xda] = GROUP((const struct opcode[8]){ X87_REG(2, fcmovcc), X87_REG(2, fcmovcc),
                                             X87_REG(2, fcmovcc), X87_REG(2, fcmovcc), X87(2),
                                             X87(2), X87(2), X87(2) }),
    [0xdb] = GROUP((const struct opcode[8]){
        X87_REG(3, fcmovncc), X87_FISTTP(3, .with_reg = &fcmovncc), X87_REG(3, fcmovncc),
        X87_REG(3, fcmovncc), X87(3), X87_REG(3, fucomi), X87_REG(3, fucomi), X87(3) }),
    [0xdc] = X87(4),
    [0xdd] = GROUP((const struct opcode[8]){ X87(5), X87_FISTTP(5, .with_reg = &x87_dd), X87(5),
                                             X87(5), X87(5), X87(5), X87(5), X87(5) }),
    [0xde] = X87(6),
    [0xdf] =
        GROUP((const struct opcode[8]){ X87(7), X87_FISTTP(7, .with_reg = &x87_df), X87(7), X87(7),
                                        X87(7), X87_REG(7, fucomip), X87_REG(7, fucomip), X87(7) }),
    [0xe0] = ROW("loopne", OP_loopne, F_JB, S_F64, P_ONE, OPF_END),
    [0xe1] = ROW("loope", OP_loope, F_JB, S_F64, P_ONE, OPF_END),
    [0xe2] = ROW("loop", OP_loop, F_JB, S_F64, P_ONE, OPF_END),
    [0xe3] = ROW("jcxz", OP_jcxz, F_JB, S_F64, P_ONE, OPF_END),
    [0xe4] = ROW("in", OP_in_imm, F_UB, S_B, P_ONE, OPF_END),
    [0xe5] = ROW("in", OP_in_imm, F_UB, S_V, P_ONE, OPF_END),
    [0xe6] = ROW("out", OP_out_imm, F_UB, S_B, P_ONE, OPF_END),
    [0xe7] = ROW("out", OP_out_imm, F_UB, S_V, P_ONE, OPF_END),
    [0xe8] = ROW("call", OP_call_rel8, F_J, S_F64, P_64, OPF_END, OP_call_near),
    [0xe9] = ROW("jmp", OP_jmp_rel, F_J, S_F64, P_64, OPF_END, OP_jmp_near),
    [0xea] = ROW("jmp far", OP_jmp_far_imm, F_AP, S_V, P_ONE, OPF_NO64 | OPF_END),
    [0xeb] = ROW("jmp", OP_jmp_rel, F_JB, S_F64, P_64, OPF_END, OP_jmp_near),
    [0xec] = ROW("in", OP_in_dx, F_NONE, S_B, P_ONE, OPF_END),
    [0xed] = ROW("in", OP_in_dx, F_NONE, S_V, P_ONE, OPF_END),
    [0xee] = ROW("out", OP_out_dx, F_NONE, S_B, P_ONE, OPF_END),
    [0xef] = ROW("out", OP_out_dx, F_NONE, S_V, P_ONE, OPF_END),
    [0xf1] = ROW("int1", OP_int1, F_NONE, S_V, P_ONE, OPF_END),
    [0xf4] = ROW("hlt", OP_hlt, F_NONE, S_V, P_ONE, OPF_END),
    [0xf5] = ROW("cmc", OP_cmc, F_NONE, S_V),
    [0xf6] = GROUP(UNARY_GROUP(S_B)),
    [0xf7] = GROUP(UNARY_GROUP(S_V)),
    [0xf8] = ROW("clc", OP_clc, F_NONE, S_V),
    [0xf9] = ROW("stc", OP_stc, F_NONE, S_V),
    [0xfa] = ROW("cli", OP_cli, F_NONE, S_V, P_ONE, OPF_END),
    [0xfb] = ROW("sti", OP_sti, F_NONE, S_V, P_ONE, OPF_END),
    [0xfc] = ROW("cld", OP_cld, F_NONE, S_V),
    [0xfd] = ROW("std", OP_std, F_NONE, S_V),
    [0xfe] = GROUP((const struct opcode[8]){ ROW("inc", OP_inc_r_1, F_E, S_B, P_UNARY, OPF_LOCK),
                                             ROW("dec", OP_dec_r_1, F_E, S_B, P_UNARY, OPF_LOCK) }),
    [0xff] = GROUP((const struct opcode[8]){
        ROW("inc", OP_inc_r_1, F_E, S_V, P_UNARY, OPF_LOCK),
        ROW("dec", OP_dec_r_1, F_E, S_V, P_UNARY, OPF_LOCK),
        ROW("call", OP_call_r, F_E, S_F64, P_REG64, OPF_END, OP_call_rm),
        ROW("call far", OP_call_far_m, F_E, S_V, P_ONE, OPF_END | OPF_MEM),
        ROW("jmp", OP_jmp_r, F_E, S_F64, P_REG64, OPF_END, OP_jmp_rm),
        ROW("jmp far", OP_jmp_far_m, F_E, S_V, P_ONE, OPF_END | OPF_MEM),
        ROW("push", OP_push, F_E, S_D64) }),
};

static const struct opcode lfence =
    ROW("lfence", OP_fence, F_E, S_B, P_ONE, OPF_NP, .needs = ISA_SSE2);
static const struct opcode sfence =
    ROW("sfence", OP_fence, F_E, S_B, P_ONE, OPF_NP, .needs = ISA_SSE);
static const struct opcode mfence =
    ROW("mfence", OP_fence, F_E, S_B, P_ONE, OPF_NP, .needs = ISA_SSE2);

#define XSAVE(NAME, OP, KIND, NEEDS, REG)                                                     \
    {                                                                                         \
        NAME, OP, F_E, S_Y, P_ONE, OPF_MEM | OPF_NP, 0, KIND, .needs = NEEDS, .with_reg = REG \
    }

#define NOP_ROW(NAME) ROW(NAME, OP_nop, F_E, S_V)

const struct opcode opcodes_2[256] = {
    [0x00] = GROUP(
        (const struct opcode[8]){ ROW("sldt", OP_sldt, F_E, S_V), ROW("str", OP_str, F_E, S_V),
                                  ROW("lldt", OP_lldt, F_E, S_W), ROW("ltr", OP_ltr, F_E, S_W),
                                  ROW("verr", OP_verr, F_E, S_W), ROW("verw", OP_verw, F_E, S_W) }),
    [0x01] = GROUP(
        (const struct opcode[8]){ ROW("sgdt", OP_sgdt, F_E, S_M, P_ONE, OPF_MEM),
                                  ROW("sidt", OP_sidt, F_E, S_M, P_ONE, OPF_MEM),
                                  ROW("lgdt", OP_lgdt, F_E, S_F64, P_ONE, OPF_MEM | OPF_END),
                                  ROW("lidt", OP_lidt, F_E, S_F64, P_ONE, OPF_MEM),
                                  ROW("smsw", OP_smsw, F_E, S_V),
                                  { 0 },
                                  ROW("lmsw", OP_lmsw, F_E, S_W, P_ONE, OPF_END),
                                  ROW("invlpg", OP_invlpg, F_E, S_B, P_ONE, OPF_MEM | OPF_END) }),
    [0x02] = ROW("lar", OP_lar, F_GE, S_V),
    [0x03] = ROW("lsl", OP_lsl, F_GE, S_V),
    [0x05] = ROW("syscall", OP_syscall, F_NONE, S_V, P_ONE, OPF_END, .needs = ISA_SYSCALL),
    [0x06] = ROW("clts", OP_clts, F_NONE, S_V, P_ONE, OPF_END),
    [0x07] = ROW("sysret", OP_sysret, F_NONE, S_V, P_ONE, OPF_END, .needs = ISA_SYSCALL),
    [0x08] = ROW("invd", OP_wbinvd, F_NONE, S_V),
    [0x09] = ROW("wbinvd", OP_wbinvd, F_NONE, S_V),
    [0x0b] = ROW("ud2", OP_ud, F_NONE, S_V, P_ONE, OPF_END),
    [0x0d] = ROW("prefetchw", OP_nop, F_E, S_B, P_ONE, OPF_MEM),
    ROWS8(0x10, "", 0, F_RAW, S_V, P_ONE, OPF_ESCAPE),
    [0x18] = NOP_ROW("prefetch"),
    [0x19] = NOP_ROW("nop"),
    [0x1a] = NOP_ROW("nop"),
    [0x1b] = NOP_ROW("nop"),
    [0x1c] = NOP_ROW("nop"),
    [0x1d] = NOP_ROW("nop"),
    [0x1e] = NOP_ROW("nop"),
    [0x1f] = NOP_ROW("nop"),
    [0x20] = ROW("mov cr", OP_mov_from_cr, F_RAW, S_M, P_ONE, OPF_NOMODRM_MEM | OPF_END),
    [0x21] = ROW("mov dr", OP_mov_from_dr, F_RAW, S_M, P_ONE, OPF_NOMODRM_MEM),
    [0x22] = ROW("mov cr", OP_mov_to_cr, F_RAW, S_M, P_ONE, OPF_NOMODRM_MEM | OPF_END),
    [0x23] = ROW("mov dr", OP_mov_to_dr, F_RAW, S_M, P_ONE, OPF_NOMODRM_MEM | OPF_END),
    ROWS8(0x28, "", 0, F_RAW, S_V, P_ONE, OPF_ESCAPE),
    [0x30] = ROW("wrmsr", OP_wrmsr, F_NONE, S_V, P_ONE, OPF_END, .needs = ISA_MSR),
    [0x31] = ROW("rdtsc", OP_rdtsc, F_NONE, S_V, .needs = ISA_TSC),
    [0x32] = ROW("rdmsr", OP_rdmsr, F_NONE, S_V, P_ONE, OPF_END, .needs = ISA_MSR),
    [0x33] = ROW("rdpmc", OP_rdpmc, F_NONE, S_V),
    [0x34] = ROW("sysenter", OP_sysenter, F_NONE, S_V, P_ONE, OPF_END, .needs = ISA_SEP),
    [0x35] = ROW("sysexit", OP_sysexit, F_NONE, S_V, P_ONE, OPF_END, .needs = ISA_SEP),
    ROWS8(0x40, "cmovcc", OP_cmov_rr_4, F_GE, S_V, P_CCIMM, 0, OP_cmov, .needs = ISA_CMOV),
    ROWS8(0x48, "cmovcc", OP_cmov_rr_4, F_GE, S_V, P_CCIMM, 0, OP_cmov, .needs = ISA_CMOV),
    ROWS8(0x50, "", 0, F_RAW, S_V, P_ONE, OPF_ESCAPE),
    ROWS8(0x58, "", 0, F_RAW, S_V, P_ONE, OPF_ESCAPE),
    ROWS8(0x60, "", 0, F_RAW, S_V, P_ONE, OPF_ESCAPE),
    ROWS8(0x68, "", 0, F_RAW, S_V, P_ONE, OPF_ESCAPE),
    ROWS8(0x70, "", 0, F_RAW, S_V, P_ONE, OPF_ESCAPE),
    ROWS8(0x78, "", 0, F_RAW, S_V, P_ONE, OPF_ESCAPE),
    ROWS8(0x80, "jcc", OP_j_o, F_J, S_F64, P_CC, OPF_END, OP_jcc_short_mode),
    ROWS8(0x88, "jcc", OP_j_o, F_J, S_F64, P_CC, OPF_END, OP_jcc_short_mode),
    ROWS8(0x90, "setcc", OP_setcc_r, F_E, S_B, P_CCIMM, 0, OP_setcc),
    ROWS8(0x98, "setcc", OP_setcc_r, F_E, S_B, P_CCIMM, 0, OP_setcc),
    [0xa0] = ROW("push fs", OP_push_seg, F_NONE, S_D64, P_ONE, 0, 0, SEG_FS),
    [0xa1] = ROW("pop fs", OP_pop_seg, F_NONE, S_D64, P_ONE, OPF_END, 0, SEG_FS),
    [0xa2] = ROW("cpuid", OP_cpuid, F_NONE, S_V),
    [0xa3] = ROW("bt", OP_bt, F_EG, S_V),
    [0xa4] = ROW("shld", OP_shld, F_EGUB, S_V),
    [0xa5] = ROW("shld", OP_shld, F_EG, S_V, P_ONE, 0, 0, 1),
    [0xa8] = ROW("push gs", OP_push_seg, F_NONE, S_D64, P_ONE, 0, 0, SEG_GS),
    [0xa9] = ROW("pop gs", OP_pop_seg, F_NONE, S_D64, P_ONE, OPF_END, 0, SEG_GS),
    [0xaa] = ROW("rsm", OP_rsm, F_NONE, S_V, P_ONE, OPF_END),
    [0xab] = ROW("bts", OP_bts, F_EG, S_V, P_ONE, OPF_LOCK),
    [0xac] = ROW("shrd", OP_shrd, F_EGUB, S_V),
    [0xad] = ROW("shrd", OP_shrd, F_EG, S_V, P_ONE, 0, 0, 1),
    [0xae] = GROUP((const struct opcode[8]){
        ROW("fxsave", OP_fxsave, F_E, S_Y, P_ONE, OPF_MEM | OPF_NP, .needs = ISA_FXSR),
        ROW("fxrstor", OP_fxrstor, F_E, S_Y, P_ONE, OPF_MEM | OPF_NP, .needs = ISA_FXSR),
        ROW("ldmxcsr", OP_ldmxcsr, F_E, S_D, P_ONE, OPF_MEM | OPF_NP, .needs = ISA_SSE),
        ROW("stmxcsr", OP_stmxcsr, F_E, S_D, P_ONE, OPF_MEM | OPF_NP, .needs = ISA_SSE),
        XSAVE("xsave", OP_xsave, XSAVE_PLAIN, ISA_XSAVE, NULL),
        XSAVE("xrstor", OP_xrstor, 0, ISA_XSAVE, &lfence),
        XSAVE("xsaveopt", OP_xsave, XSAVE_OPT, ISA_XSAVEOPT, &mfence),
        { "clflush", OP_fence, F_E, S_B, P_ONE, OPF_NP, .needs = ISA_CLFLUSH,
          .with_reg = &sfence } }),
    [0xaf] = ROW("imul", OP_imul2, F_GE, S_V, P_IMUL2),
    [0xb0] = ROW("cmpxchg", OP_cmpxchg, F_EG, S_B, P_ONE, OPF_LOCK),
    [0xb1] = ROW("cmpxchg", OP_cmpxchg, F_EG, S_V, P_ONE, OPF_LOCK),
    [0xb2] = ROW("lss", OP_load_far_ptr, F_GE, S_V, P_ONE, OPF_MEM | OPF_END, 0, SEG_SS),
    [0xb3] = ROW("btr", OP_btr, F_EG, S_V, P_ONE, OPF_LOCK),
    [0xb4] = ROW("lfs", OP_load_far_ptr, F_GE, S_V, P_ONE, OPF_MEM | OPF_END, 0, SEG_FS),
    [0xb5] = ROW("lgs", OP_load_far_ptr, F_GE, S_V, P_ONE, OPF_MEM | OPF_END, 0, SEG_GS),
    [0xb6] = ROW("movzx", OP_movzx_r1, F_GE, S_V, P_MOVX1, 0, OP_movzx),
    [0xb7] = ROW("movzx", OP_movzx_r2, F_GE, S_V, P_MOVX2, 0, OP_movzx),
    [0xb8] = { .name = "", .flags = OPF_ESCAPE }, /* POPCNT */
    [0xb9] = ROW("ud1", OP_ud, F_GE, S_V, P_ONE, OPF_END),
    [0xba] = GROUP(
        (const struct opcode[8]){ { 0 },
                                  { 0 },
                                  { 0 },
                                  { 0 },
                                  ROW("bt", OP_bt, F_EUB, S_V, P_ONE, 0, 0, 1),
                                  ROW("bts", OP_bts, F_EUB, S_V, P_ONE, OPF_LOCK, 0, 1),
                                  ROW("btr", OP_btr, F_EUB, S_V, P_ONE, OPF_LOCK, 0, 1),
                                  ROW("btc", OP_btc, F_EUB, S_V, P_ONE, OPF_LOCK, 0, 1) }),
    [0xbb] = ROW("btc", OP_btc, F_EG, S_V, P_ONE, OPF_LOCK),
    [0xbc] = ROW("bsf", OP_bsf, F_GE, S_V, P_ONE, OPF_ESCAPE), /* TZCNT */
    [0xbd] = ROW("bsr", OP_bsr, F_GE, S_V, P_ONE, OPF_ESCAPE), /* LZCNT */
    [0xbe] = ROW("movsx", OP_movsx_r1_4, F_GE, S_V, P_MOVX1, 0, OP_movsx),
    [0xbf] = ROW("movsx", OP_movsx_r2_4, F_GE, S_V, P_MOVX2, 0, OP_movsx),
    [0xc0] = ROW("xadd", OP_xadd, F_EG, S_B, P_ONE, OPF_LOCK),
    [0xc1] = ROW("xadd", OP_xadd, F_EG, S_V, P_ONE, OPF_LOCK),
    [0xc2] = { .name = "", .flags = OPF_ESCAPE },
    [0xc3] = { .name = "", .flags = OPF_ESCAPE },
    [0xc4] = { .name = "", .flags = OPF_ESCAPE },
    [0xc5] = { .name = "", .flags = OPF_ESCAPE },
    [0xc6] = { .name = "", .flags = OPF_ESCAPE },
    [0xc7] = GROUP((const struct opcode[8]){
        { 0 },
        { "cmpxchg8b", OP_cmpxchg8b, F_E, S_Y, P_ONE, OPF_LOCK | OPF_MEM, .needs = ISA_CX8,
          .needs_more = ISA_CX16, .more_with = MORE_REX_W },
        { 0 },
        { 0 },
        XSAVE("xsavec", OP_xsave, XSAVE_COMPACT, ISA_XSAVEC, NULL) }),
    ROWS8(0xc8, "bswap", OP_bswap, F_O, S_V),
    ROWS8(0xd0, "", 0, F_RAW, S_V, P_ONE, OPF_ESCAPE),
    ROWS8(0xd8, "", 0, F_RAW, S_V, P_ONE, OPF_ESCAPE),
    ROWS8(0xe0, "", 0, F_RAW, S_V, P_ONE, OPF_ESCAPE),
    ROWS8(0xe8, "", 0, F_RAW, S_V, P_ONE, OPF_ESCAPE),
    ROWS8(0xf0, "", 0, F_RAW, S_V, P_ONE, OPF_ESCAPE),
    ROWS8(0xf8, "", 0, F_RAW, S_V, P_ONE, OPF_ESCAPE),
};

const struct opcode opcodes_0f01_reg[64] = {
    [0x08] = { "monitor", OP_monitor, F_NONE, S_V, .needs = ISA_MONITOR },
    [0x09] = { "mwait", OP_mwait, F_NONE, S_V, P_ONE, OPF_END, .needs = ISA_MONITOR },
    [0x0a] = { "clac", OP_clac, F_NONE, S_V, P_ONE, OPF_NP, .needs = ISA_SMAP },
    [0x0b] = { "stac", OP_stac, F_NONE, S_V, P_ONE, OPF_NP, .needs = ISA_SMAP },
    [0x10] = { "xgetbv", OP_xgetbv, F_NONE, S_V, P_ONE, OPF_NP, .needs = ISA_XSAVE },
    [0x11] = { "xsetbv", OP_xsetbv, F_NONE, S_V, P_ONE, OPF_NP | OPF_END, .needs = ISA_XSAVE },
    [0x38] = ROW("swapgs", OP_swapgs, F_NONE, S_V, P_ONE, OPF_ONLY64 | OPF_END),
    [0x39] = ROW("rdtscp", OP_rdtscp, F_NONE, S_V, .needs = ISA_RDTSCP),
};

const struct opcode opcodes_0fae_f3_reg[8] = {
    ROW("rdfsbase", OP_rdsegbase, F_E, S_Y, P_ONE, OPF_ONLY64, 0, SEG_FS, .needs = ISA_FSGSBASE),
    ROW("rdgsbase", OP_rdsegbase, F_E, S_Y, P_ONE, OPF_ONLY64, 0, SEG_GS, .needs = ISA_FSGSBASE),
    ROW("wrfsbase", OP_wrsegbase, F_E, S_Y, P_ONE, OPF_ONLY64 | OPF_END, 0, SEG_FS,
        .needs = ISA_FSGSBASE),
    ROW("wrgsbase", OP_wrsegbase, F_E, S_Y, P_ONE, OPF_ONLY64 | OPF_END, 0, SEG_GS,
        .needs = ISA_FSGSBASE),
};

const struct opcode opcodes_0fc7_reg[2][8] = {
    { [6] = { "rdrand", OP_rdrand, F_E, S_V, P_ONE, OPF_NFX, .needs = ISA_RDRAND },
      [7] = { "rdseed", OP_rdseed, F_E, S_V, P_ONE, OPF_NFX, .needs = ISA_RDSEED } },
    { [7] = { "rdpid", OP_rdpid, F_E, S_M, .needs = ISA_RDPID } },
};
/* clang-format on */
