/* The opcode rows of the SIMD maps and the table of their operations, made of the lists in simd.h
 * (SDM vol. 2, appendix A).
 *
 * A row's argument is the index into simd_ops. */
#include "cpu/soft/simd.h"

const struct simd_op simd_ops[SIMD_ID_COUNT] = {
#define B(map, opcode, name, msize, isa, vex)                                               \
    [SIMD_ID(map, NONE, opcode)] = { simd_mmx_##name, NULL, SIMD_MMX, SIMD_MMX, msize, 0 }, \
                        [SIMD_ID(map, 66, opcode)] = { simd_xmm_##name, NULL, SIMD_XMM,     \
                                                       SIMD_XMM,        16,   0 },
#define P(map, prefix, opcode, name, msize, isa, vex) \
    [SIMD_ID(map, prefix, opcode)] = { simd_xmm_##name, NULL, SIMD_XMM, SIMD_XMM, msize, 0 },
#define PF(map, prefix, opcode, name, msize, isa, vex) \
    [SIMD_ID(map, prefix, opcode)] = { simd_xmm_##name, NULL, SIMD_XMM, SIMD_XMM, msize, SIMD_FP },
#define X(map, prefix, opcode, name, form, size, opf, fn, dst, src, msize, flags, isa, vex) \
    [SIMD_ID(map, prefix, opcode)] = { simd_##fn, NULL, SIMD_##dst, SIMD_##src, msize, flags },
#define V(map, prefix, opcode, name, form, size, opf, fn, dst, src, msize, flags, vex) \
    [VEX_ID(map, prefix, opcode)] = { simd_##fn, NULL, SIMD_##dst, SIMD_##src, msize, flags },
#define S(opcode, reg, name)                                                                       \
    [SIMD_MMX_SHIFT_##name] = { simd_mmx_##name##_imm, NULL, SIMD_MMX, SIMD_MMX, 8, SIMD_RM_DST }, \
    S16(opcode, reg, name)
#define S16(opcode, reg, name) \
    [SIMD_XMM_SHIFT_##name] = { simd_xmm_##name##_imm, NULL, SIMD_XMM, SIMD_XMM, 16, SIMD_RM_DST },
#define N(map, prefix, opcode, name, form, fn, isa, vex) \
    [SIMD_ID(map, prefix, opcode)] = { simd_##fn, NULL, SIMD_XMM, SIMD_XMM, 16, 0 },
#define Y(map, prefix, opcode, name, form, size, opf, run_, isa, vex) \
    [SIMD_ID(map, prefix, opcode)] = { .run = simd_run_##run_ },
    SIMD_INT_BOTH(B) SIMD_INT_XMM(P) SIMD_FLOAT(PF) SIMD_OTHER_FLOAT(X) SIMD_MOVES(X)
        SIMD_SHUFFLES(X) SIMD_SHIFTS(S) SIMD_BYTE_SHIFTS(S16) SIMD_SPECIAL(Y) SIMD_LATER(N)
            SIMD_AVX(V)
#undef B
#undef P
#undef V
#undef PF
#undef X
#undef S
#undef S16
#undef N
#undef Y
};

#define ROW(name, form, size, opf, id, isa)                             \
    {                                                                   \
        name, OP_sse, form, size, P_ONE, opf, 0, id, NULL, .needs = isa \
    }
#define SHIFT_ROW(kind, reg, name, isa) \
    [reg] = ROW(#name, F_RAWUB, S_V, OPF_REG, SIMD_##kind##_SHIFT_##name, isa)

/* PSxx by immediate: groups by ModRM.reg. */
static const struct opcode mmx_shifts[3][8] = {
#define S(opcode, reg, name) [opcode - 0x71] SHIFT_ROW(MMX, reg, name, ISA_MMX),
    SIMD_SHIFTS(S)
#undef S
};
static const struct opcode xmm_shifts[3][8] = {
#define S(opcode, reg, name) [opcode - 0x71] SHIFT_ROW(XMM, reg, name, ISA_SSE2),
    SIMD_SHIFTS(S) SIMD_BYTE_SHIFTS(S)
#undef S
};

#define SHIFT_GROUP(prefix, opcode, rows) \
    [0][PREFIX_##prefix][opcode] = { .name = "", .flags = OPF_GROUP, .group = rows[opcode - 0x71] }

static const struct opcode simd_rows[3][4][256] = {
#define B(map, opcode, name, msize, isa, vex)           \
    P(map, NONE, opcode, name, 8, ISA_MMX | (isa), vex) \
    P(map, 66, opcode, name, 16, (isa) == ISA_SSSE3 ? ISA_SSSE3 : ISA_SSE2, vex)
#define P(map, prefix, opcode, name, msize, isa, vex) \
    [map - 1][PREFIX_##prefix][opcode] =              \
        ROW(#name, F_RAW, S_V, 0, SIMD_ID(map, prefix, opcode), isa),
#define X(map, prefix, opcode, name, form, size, opf, fn, dst, src, msize, flags, isa, vex) \
    [map - 1][PREFIX_##prefix][opcode] =                                                    \
        ROW(name, form, size, opf, SIMD_ID(map, prefix, opcode), isa),
#define N(map, prefix, opcode, name, form, fn, isa, vex) \
    [map - 1][PREFIX_##prefix][opcode] = ROW(name, form, S_V, 0, SIMD_ID(map, prefix, opcode), isa),
#define Y(map, prefix, opcode, name, form, size, opf, run, isa, vex) \
    [map - 1][PREFIX_##prefix][opcode] =                             \
        ROW(name, form, size, opf, SIMD_ID(map, prefix, opcode), isa),
    SIMD_INT_BOTH(B) SIMD_INT_XMM(P) SIMD_FLOAT(P) SIMD_OTHER_FLOAT(X) SIMD_MOVES(X)
        SIMD_SHUFFLES(X) SIMD_SPECIAL(Y) SIMD_LATER(N)
#undef B
#undef P
#undef X
#undef N
#undef Y
            SHIFT_GROUP(NONE, 0x71, mmx_shifts),
    SHIFT_GROUP(NONE, 0x72, mmx_shifts),
    SHIFT_GROUP(NONE, 0x73, mmx_shifts),
    SHIFT_GROUP(66, 0x71, xmm_shifts),
    SHIFT_GROUP(66, 0x72, xmm_shifts),
    SHIFT_GROUP(66, 0x73, xmm_shifts),

    /* These live in the SIMD maps, but work on general registers. */
    [0][PREFIX_NONE][0xc3] = { "movnti", OP_mov_rr_1, F_EG, S_Y, P_ALU, OPF_MEM,
                               .needs = ISA_SSE2 },
    [0][PREFIX_F3][0xb8] = { "popcnt", OP_popcnt, F_GE, S_V, .needs = ISA_POPCNT },
    [0][PREFIX_F3][0xbc] = { "tzcnt", OP_tzcnt, F_GE, S_V, .needs = ISA_BMI1 },
    [0][PREFIX_F3][0xbd] = { "lzcnt", OP_lzcnt, F_GE, S_V, .needs = ISA_LZCNT },
    [1][PREFIX_NONE][0xf0] = { "movbe", OP_movbe_load, F_GE, S_V, P_ONE, OPF_MEM,
                               .needs = ISA_MOVBE },
    [1][PREFIX_66][0xf0] = { "movbe", OP_movbe_load, F_GE, S_V, P_ONE, OPF_MEM,
                             .needs = ISA_MOVBE },
    [1][PREFIX_NONE][0xf1] = { "movbe", OP_movbe_store, F_EG, S_V, P_ONE, OPF_MEM,
                               .needs = ISA_MOVBE },
    [1][PREFIX_66][0xf1] = { "movbe", OP_movbe_store, F_EG, S_V, P_ONE, OPF_MEM,
                             .needs = ISA_MOVBE },
    [1][PREFIX_66][0xf6] = { "adcx", OP_add_carry, F_GE, S_Y, .arg = FLAG_CF, .needs = ISA_ADX },
    [1][PREFIX_F3][0xf6] = { "adox", OP_add_carry, F_GE, S_Y, .arg = FLAG_OF, .needs = ISA_ADX },
    [1][PREFIX_66][0x82] = { "invpcid", OP_invpcid, F_RAW, S_M, P_ONE, OPF_MEM | OPF_END,
                             .needs = ISA_INVPCID },
};

const struct opcode *sse_opcode(unsigned map, unsigned prefix, uint8_t opcode)
{
    const struct opcode *row = &simd_rows[map - 1][prefix][opcode];
    return row->name ? row : NULL;
}
