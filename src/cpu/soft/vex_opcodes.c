/* The opcode rows of instructions with a VEX prefix (SDM vol. 2, appendix A).
 *
 * Those on general registers are here; those of SSE with three operands and with registers of twice
 * the size are made of the lists in simd.h. */
#include "cpu/soft/simd.h"

/* clang-format off: tables are read by column */
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
};
/* clang-format on */

const struct opcode *vex_opcode(unsigned map, unsigned prefix, uint8_t opcode)
{
    const struct opcode *row = &vex_rows[map - 1][prefix][opcode];
    return row->name ? row : NULL;
}
