/* The opcode rows of instructions with a VEX prefix (SDM vol. 2, appendix A).
 *
 * Those of SSE with three operands and registers of twice the size are made of the lists in simd.h;
 * a line's last word says how. Those on general registers are here. */
#include "cpu/soft/simd.h"

/* What the last word of a line of the lists means. M gets `...` and: ISA_*, ISA_* with L, VEX_*,
 * shape, shift. */
/* clang-format off: tables are read by column */
#define KIND_NO(M, ...)
#define KIND_INT3(M, ...)       M(__VA_ARGS__, ISA_AVX, ISA_AVX2, VEX_V, VEX_LANES, 0)
#define KIND_INT3_I3(M, ...)    M(__VA_ARGS__, ISA_AVX, ISA_AVX2, VEX_V, VEX_LANES, 2)
#define KIND_INT2(M, ...)       M(__VA_ARGS__, ISA_AVX, ISA_AVX2, 0, VEX_LANES, 0)
#define KIND_CNT3(M, ...)       M(__VA_ARGS__, ISA_AVX, ISA_AVX2, VEX_V, VEX_COUNT, 0)
#define KIND_IWID2(M, ...)      M(__VA_ARGS__, ISA_AVX, ISA_AVX2, 0, VEX_WIDE, 0)
#define KIND_FLT3(M, ...)       M(__VA_ARGS__, ISA_AVX, 0, VEX_V, VEX_LANES, 0)
#define KIND_FLT3_W0(M, ...)    M(__VA_ARGS__, ISA_AVX, 0, VEX_V | VEX_W0, VEX_LANES, 0)
#define KIND_FLT3_I2(M, ...)    M(__VA_ARGS__, ISA_AVX, 0, VEX_V, VEX_LANES, 1)
#define KIND_FLT3_I4(M, ...)    M(__VA_ARGS__, ISA_AVX, 0, VEX_V, VEX_LANES, 3)
#define KIND_FLT2(M, ...)       M(__VA_ARGS__, ISA_AVX, 0, 0, VEX_LANES, 0)
#define KIND_FLT2_W0(M, ...)    M(__VA_ARGS__, ISA_AVX, 0, VEX_W0, VEX_LANES, 0)
#define KIND_FLT2_W0_I2(M, ...) M(__VA_ARGS__, ISA_AVX, 0, VEX_W0, VEX_LANES, 1)
#define KIND_DUP2(M, ...)       M(__VA_ARGS__, ISA_AVX, 0, 0, VEX_LANES, 0)
#define KIND_WID2(M, ...)       M(__VA_ARGS__, ISA_AVX, 0, 0, VEX_WIDE, 0)
#define KIND_NAR2(M, ...)       M(__VA_ARGS__, ISA_AVX, 0, 0, VEX_NARROW, 0)
#define KIND_ALN2(M, ...)       M(__VA_ARGS__, ISA_AVX, 0, 0, VEX_ALIGNED, 0)
#define KIND_ALI2(M, ...)       M(__VA_ARGS__, ISA_AVX, ISA_AVX2, 0, VEX_ALIGNED, 0)
#define KIND_SCL3(M, ...)       M(__VA_ARGS__, ISA_AVX, 0, VEX_V, VEX_SCALAR, 0)
#define KIND_SCL2(M, ...)       M(__VA_ARGS__, ISA_AVX, 0, 0, VEX_SCALAR, 0)
#define KIND_SCR3(M, ...)       M(__VA_ARGS__, ISA_AVX, 0, VEX_V_REG, VEX_SCALAR, 0)
#define KIND_X3(M, ...)         M(__VA_ARGS__, ISA_AVX, 0, VEX_V | VEX_L0, VEX_LANES, 0)
#define KIND_X2(M, ...)         M(__VA_ARGS__, ISA_AVX, 0, VEX_L0, VEX_LANES, 0)
#define KIND_MSK4(M, ...)       M(__VA_ARGS__, ISA_AVX, 0, 0, VEX_GATHER, 3)
#define KIND_MSK2(M, ...)       M(__VA_ARGS__, ISA_AVX, 0, 0, VEX_GATHER, 1)
#define KIND_MSK16(M, ...)      M(__VA_ARGS__, ISA_AVX, ISA_AVX2, 0, VEX_GATHER, 4)
#define KIND_TST(M, ...)        M(__VA_ARGS__, ISA_AVX, 0, 0, VEX_GATHER, 0)
#define KIND_TST_W0(M, ...)     M(__VA_ARGS__, ISA_AVX, 0, VEX_W0, VEX_GATHER, 0)
#define KIND_AES3(M, ...)       M(__VA_ARGS__, ISA_AVX | ISA_AES, ISA_VAES, VEX_V, VEX_LANES, 0)
#define KIND_AES2(M, ...)       M(__VA_ARGS__, ISA_AVX | ISA_AES, 0, VEX_L0, VEX_LANES, 0)
#define KIND_PCL3(M, ...)       M(__VA_ARGS__, ISA_AVX | ISA_PCLMUL, ISA_VPCLMUL, VEX_V, VEX_LANES, 0)
#define KIND_AVX2_3(M, ...)     M(__VA_ARGS__, ISA_AVX | ISA_AVX2, 0, VEX_V, VEX_LANES, 0)
#define KIND_AVX2_3_W0(M, ...)  M(__VA_ARGS__, ISA_AVX | ISA_AVX2, 0, VEX_V | VEX_W0, VEX_LANES, 0)
#define KIND_AVX2_3_W0_I4(M, ...) \
    M(__VA_ARGS__, ISA_AVX | ISA_AVX2, 0, VEX_V | VEX_W0, VEX_LANES, 3)

#define LANES_ROW(name, form, size, opf, index, isa, isa_256, fields, shape, shift)             \
    {                                                                                           \
        "v" name, OP_vex_lanes, form, size, P_ONE, opf, 0,                                      \
            (index) | (shape) << VEX_INDEX_BITS | (shift) << (VEX_INDEX_BITS + VEX_SHAPE_BITS), \
            .needs = isa, .needs_more = isa_256, .vex = fields                                  \
    }
#define PLACED(map, prefix, opcode, ...) \
    [map - 1][PREFIX_##prefix][opcode] = LANES_ROW(__VA_ARGS__),

#define SHIFT_ROW(opcode, reg, name)                                                               \
    [opcode - 0x71][reg] = LANES_ROW(#name, F_RAWUB, S_V, OPF_REG, SIMD_XMM_SHIFT_##name, ISA_AVX, \
                                     ISA_AVX2, VEX_V, VEX_LANES, 0),
static const struct opcode shift_groups[3][8] = { SIMD_SHIFTS(SHIFT_ROW)
                                                      SIMD_BYTE_SHIFTS(SHIFT_ROW) };
#define SHIFTS(opcode)                                                       \
    {                                                                        \
        .name = "", .flags = OPF_GROUP, .group = shift_groups[opcode - 0x71] \
    }

/* clang-format off */
#define WHOLE(map, prefix, opcode, fn, float_fn, number, bytes, bytes_256, flags, ...) \
    [VEX_WHOLE_##map##_##prefix##_##opcode] = { fn, float_fn, { bytes, bytes_256 }, flags, number },
#define W(map, prefix, opcode, name, form, size, opf, fn, ...) \
    WHOLE(map, prefix, opcode, vex_##fn, NULL, __VA_ARGS__)
#define F(map, prefix, opcode, name, form, size, opf, fn, ...) \
    WHOLE(map, prefix, opcode, NULL, vex_##fn, __VA_ARGS__)
const struct vex_op vex_ops[] = {
    SIMD_WHOLE(W)
    SIMD_WHOLE_FLOAT(F)
};
#undef W
#undef F
/* clang-format on */

/* From a register these need AVX2. */
static const struct opcode broadcast_reg[2] = {
    { "vbroadcastss", OP_vex_whole, F_RAW, S_V, .arg = VEX_WHOLE_2_66_0x18,
      .needs = ISA_AVX | ISA_AVX2, .vex = VEX_W0 },
    { "vbroadcastsd", OP_vex_whole, F_RAW, S_V, .arg = VEX_WHOLE_2_66_0x19,
      .needs = ISA_AVX | ISA_AVX2, .vex = VEX_W0 | VEX_L1 },
};

#define MXCSR_ROW(NAME, OP)                                                 \
    {                                                                       \
        NAME, OP, F_E, S_D, P_ONE, OPF_MEM, .vex = VEX_L0, .needs = ISA_AVX \
    }
static const struct opcode mxcsr_group[8] = {
    [2] = MXCSR_ROW("vldmxcsr", OP_ldmxcsr),
    [3] = MXCSR_ROW("vstmxcsr", OP_stmxcsr),
};

#define MASKMOV(NAME, SIZE, STORE, ISA, W)                                          \
    {                                                                               \
        NAME, OP_vmaskmov, F_RAW, SIZE, P_ONE, OPF_MEM, .arg = STORE, .needs = ISA, \
                                                        .vex = VEX_V | (W)          \
    }
#define GATHER(NAME, INDEX)                                                                       \
    {                                                                                             \
        NAME, OP_vgather, F_RAW, S_X, P_ONE, OPF_MEM | OPF_VSIB, .arg = INDEX, .needs = ISA_AVX2, \
                                                                 .vex = VEX_V                     \
    }

#define GPR(NAME, OP, VEX, ISA)                                   \
    {                                                             \
        NAME, OP, F_RAW, S_Y, .vex = VEX_L0 | (VEX), .needs = ISA \
    }
#define GPR_KIND(NAME, OP, VEX, ISA, KIND)                                     \
    {                                                                          \
        NAME, OP, F_RAW, S_Y, .arg = KIND, .vex = VEX_L0 | (VEX), .needs = ISA \
    }

static const struct opcode bls_group[8] = {
    [1] = GPR_KIND("blsr", OP_bls, VEX_V, ISA_BMI1, 1),
    [2] = GPR_KIND("blsmsk", OP_bls, VEX_V, ISA_BMI1, 2),
    [3] = GPR_KIND("blsi", OP_bls, VEX_V, ISA_BMI1, 3),
};

static const struct opcode vex_rows[3][4][256] = {
    [1][PREFIX_NONE][0xf2] = GPR("andn", OP_andn, VEX_V, ISA_BMI1),
    [1][PREFIX_NONE][0xf3] = { .name = "", .flags = OPF_GROUP, .group = bls_group },
    [1][PREFIX_NONE][0xf5] = GPR("bzhi", OP_bzhi, VEX_V, ISA_BMI2),
    [1][PREFIX_F3][0xf5] = GPR("pext", OP_pext, VEX_V, ISA_BMI2),
    [1][PREFIX_F2][0xf5] = GPR("pdep", OP_pdep, VEX_V, ISA_BMI2),
    [1][PREFIX_F2][0xf6] = GPR("mulx", OP_mulx, VEX_V, ISA_BMI2),
    [1][PREFIX_NONE][0xf7] = GPR("bextr", OP_bextr, VEX_V, ISA_BMI1),
    [1][PREFIX_66][0xf7] = GPR_KIND("shlx", OP_shift_vex, VEX_V, ISA_BMI2, SHIFT_SHL),
    [1][PREFIX_F2][0xf7] = GPR_KIND("shrx", OP_shift_vex, VEX_V, ISA_BMI2, SHIFT_SHR),
    [1][PREFIX_F3][0xf7] = GPR_KIND("sarx", OP_shift_vex, VEX_V, ISA_BMI2, SHIFT_SAR),
    [2][PREFIX_F2][0xf0] = { "rorx", OP_rorx, F_RAWUB, S_Y, .vex = VEX_L0, .needs = ISA_BMI2 },

#define B(map, opcode, name, msize, isa, vex) P(map, 66, opcode, name, msize, isa, vex)
#define P(map, prefix, opcode, name, msize, isa, vex) \
    KIND_##vex(PLACED, map, prefix, opcode, #name, F_RAW, S_V, 0, SIMD_ID(map, prefix, opcode))
#define X(map, prefix, opcode, name, form, size, opf, fn, dst, src, msize, flags, isa, vex) \
    KIND_##vex(PLACED, map, prefix, opcode, name, form, size, opf, SIMD_ID(map, prefix, opcode))
#define V(map, prefix, opcode, name, form, size, opf, fn, dst, src, msize, flags, vex) \
    KIND_##vex(PLACED, map, prefix, opcode, name, form, size, opf, VEX_ID(map, prefix, opcode))
#define N(map, prefix, opcode, name, form, fn, isa, vex) \
    KIND_##vex(PLACED, map, prefix, opcode, name, form, S_V, 0, SIMD_ID(map, prefix, opcode))
#define Y(map, prefix, opcode, name, form, size, opf, run, isa, vex) \
    KIND_##vex(PLACED, map, prefix, opcode, name, form, size, opf, SIMD_ID(map, prefix, opcode))
#define W(map, prefix, opcode, name, form, size, opf, fn, number, bytes, bytes_256, flags, isa, \
          isa_256, fields)                                                                      \
    [map - 1][PREFIX_##prefix][opcode] = { "v" name,                                            \
                                           OP_vex_whole,                                        \
                                           form,                                                \
                                           size,                                                \
                                           P_ONE,                                               \
                                           opf,                                                 \
                                           0,                                                   \
                                           VEX_WHOLE_##map##_##prefix##_##opcode,               \
                                           .needs = isa,                                        \
                                           .needs_more = isa_256,                               \
                                           .vex = fields,                                       \
                                           .with_reg = (map) == 2 && (opcode) == 0x18           \
                                                           ? &broadcast_reg[0]                  \
                                                       : (map) == 2 && (opcode) == 0x19         \
                                                           ? &broadcast_reg[1]                  \
                                                           : NULL },
    SIMD_INT_BOTH(B) SIMD_INT_XMM(P) SIMD_FLOAT(P) SIMD_OTHER_FLOAT(X) SIMD_MOVES(X)
        SIMD_SHUFFLES(X) SIMD_SPECIAL(Y) SIMD_LATER(N) SIMD_AVX(V) SIMD_WHOLE(W) SIMD_WHOLE_FLOAT(W)

            [0][PREFIX_66][0x71] = SHIFTS(0x71),
    [0][PREFIX_66][0x72] = SHIFTS(0x72),
    [0][PREFIX_66][0x73] = SHIFTS(0x73),
    [0][PREFIX_NONE][0x77] = { "vzeroupper/all", OP_vzero, F_NONE, S_V, .needs = ISA_AVX },
    [0][PREFIX_NONE][0xae] = { .name = "", .flags = OPF_GROUP, .group = mxcsr_group },
    [1][PREFIX_66][0x2c] = MASKMOV("vmaskmovps", S_D, 0, ISA_AVX, VEX_W0),
    [1][PREFIX_66][0x2d] = MASKMOV("vmaskmovpd", S_Q, 0, ISA_AVX, VEX_W0),
    [1][PREFIX_66][0x2e] = MASKMOV("vmaskmovps", S_D, 1, ISA_AVX, VEX_W0),
    [1][PREFIX_66][0x2f] = MASKMOV("vmaskmovpd", S_Q, 1, ISA_AVX, VEX_W0),
    [1][PREFIX_66][0x8c] = MASKMOV("vpmaskmov", S_X, 0, ISA_AVX2, 0),
    [1][PREFIX_66][0x8e] = MASKMOV("vpmaskmov", S_X, 1, ISA_AVX2, 0),
    [1][PREFIX_66][0x90] = GATHER("vpgatherd", 4),
    [1][PREFIX_66][0x91] = GATHER("vpgatherq", 8),
    [1][PREFIX_66][0x92] = GATHER("vgatherdp", 4),
    [1][PREFIX_66][0x93] = GATHER("vgatherqp", 8),
};
/* clang-format on */

const struct opcode *vex_opcode(unsigned map, unsigned prefix, uint8_t opcode)
{
    const struct opcode *row = &vex_rows[map - 1][prefix][opcode];
    return row->name ? row : NULL;
}
