/* The MMX, SSE and AVX of the software CPU against the host's: every form, with random operands and
 * control words. Forms come from the decoder's own tables, so that none is left out. */
#include "native_fpu.h"

/* ---- the SIMD forms ---- */

/* The bytes of a random instance of a row. `reg`: ModRM.reg of a group's row, or -1. */
static void build_simd(struct form *f, const struct opcode *row, unsigned map, unsigned prefix,
                       uint8_t opcode, int group_reg)
{
    static const uint8_t prefixes[] = {
        [PREFIX_66] = 0x66, [PREFIX_F3] = 0xf3, [PREFIX_F2] = 0xf2
    };
    /* Makers differ about the alignment of SHA's operands. */
    *f = (struct form){ .name = row->name, .unaligned = row->needs != ISA_SHA };
    bool gpr_source = row->form == F_GE; /* CRC32 */
    if (gpr_source && below(2))
        put(f, 0x66);
    if (prefix != PREFIX_NONE)
        put(f, prefixes[prefix]);
    bool memory = row->flags & OPF_MEM || (!(row->flags & OPF_REG) && below(3) == 0);
    bool rex = (row->size == S_Y || gpr_source) && below(2);
    if (rex)
        put(f, 0x48);
    else if (row->size == S_V && row->form != F_NONE && !gpr_source && below(2))
        put(f, (uint8_t)(0x40 | (below(8) & (memory ? 6 : 7)))); /* XMM8-15; MMX has but 8 */
    put(f, 0x0f);
    if (map > 1)
        put(f, map == 2 ? 0x38 : 0x3a);
    put(f, opcode);
    if (row->form == F_NONE)
        return;
    unsigned reg = group_reg >= 0 ? (unsigned)group_reg : below(4);
    unsigned rm = below(gpr_source && row->size == S_B && !rex ? 8 : 4);
    put(f, (uint8_t)(reg << 3 | (memory ? 0x06 : 0xc0 | rm)));
    if (row->form == F_RAWUB)
        put(f, (uint8_t)(below(2) ? below(20) : random64()));
}

static bool is_approximation(const char *name)
{
    name += *name == 'v';
    return !strncmp(name, "rcp", 3) || !strncmp(name, "rsqrt", 5);
}

/* Say once which sets of instructions the host has not. Or it is not `only`. */
static bool skipped(const struct opcode *row)
{
    static uint64_t told;
    if (only && !strstr(row->name, only))
        return true;
    const char *lacks = host_lacks(row->needs);
    for (unsigned bit = 0; lacks && bit < ISA_COUNT; bit++)
        if (row->needs & ~told & UINT64_C(1) << bit && host_lacks(UINT64_C(1) << bit)) {
            told |= UINT64_C(1) << bit;
            print_message("skipped: the host has no %s (%s and others)\n", soft_isa_name(bit),
                          row->name);
        }
    return lacks;
}

static void try_simd_row(const struct opcode *row, unsigned map, unsigned prefix, uint8_t opcode,
                         int group_reg)
{
    if (!row->name || row->op != OP_sse || is_approximation(row->name) || skipped(row))
        return;
    for (unsigned n = 0; n < times * ROUNDS_SIMD; n++) {
        struct form f;
        build_simd(&f, row, map, prefix, opcode, group_reg);
        compare_once(&f);
    }
}

static void test_simd_native(void **unused)
{
    begin_native();
    for (unsigned map = 1; map <= 3; map++)
        for (unsigned prefix = 0; prefix < 4; prefix++)
            for (unsigned opcode = 0; opcode < 256; opcode++) {
                const struct opcode *row = sse_opcode(map, prefix, (uint8_t)opcode);
                if (row && row->flags & OPF_GROUP)
                    for (int reg = 0; reg < 8; reg++)
                        try_simd_row(&row->group[reg], map, prefix, (uint8_t)opcode, reg);
                else if (row)
                    try_simd_row(row, map, prefix, (uint8_t)opcode, -1);
            }
    print_message("%u cases\n", cases);
    assert_true(cases > 30000 || only);
    assert_int_equal(mismatches, 0);
}

/* ---- the forms with a VEX prefix ---- */

static bool has_gpr(const struct opcode *row)
{
    const struct simd_op *op = &simd_ops[row->arg & ((1 << VEX_INDEX_BITS) - 1)];
    return row->op == OP_vex_lanes && (op->dst == SIMD_GPR || op->src == SIMD_GPR || op->run);
}

static void build_vex(struct form *f, const struct opcode *row, unsigned map, unsigned prefix,
                      uint8_t opcode, int group_reg)
{
    *f = (struct form){ .name = row->name, .unaligned = true };
    bool memory = row->flags & OPF_MEM || (!(row->flags & OPF_REG) && below(3) == 0);
    bool gather = row->op == OP_vgather, gpr = has_gpr(row);
    if (!memory && row->with_reg && skipped(row->with_reg))
        memory = true;
    unsigned rxb = gpr || row->form == F_NONE ? 0 : below(8);
    unsigned w = row->vex & VEX_W0 ? 0 : row->vex & VEX_W1 ? 1 : below(2);
    unsigned l = row->vex & VEX_L0 ? 0 : row->vex & VEX_L1 ? 1 : below(2);
    unsigned v = row->vex & VEX_V || (row->vex & VEX_V_REG && !memory) ? below(16) : 0;
    if (l && host_lacks(row->needs_more))
        l = 0;
    if (memory)
        rxb &= gather ? 6 : 4; /* the base is RSI */
    put(f, 0xc4);
    put(f, (uint8_t)((~rxb & 7) << 5 | map));
    put(f, (uint8_t)(w << 7 | (~v & 15) << 3 | l << 2 | prefix));
    put(f, opcode);
    if (row->form == F_NONE)
        return;
    unsigned reg = group_reg >= 0 ? (unsigned)group_reg : below(gpr ? 4 : 8),
             rm = below(gpr ? 4 : 8);
    if (gather) {
        f->index_size = row->arg;
        f->index = rm | (rxb & 2) << 2;
        put(f, (uint8_t)(0x84 | reg << 3));
        put(f, (uint8_t)(0xc6 | rm << 3)); /* 8 * index + RSI */
        for (unsigned n = 0; n < 4; n++)
            put(f, n ? 0 : 128);
        return;
    }
    put(f, (uint8_t)(reg << 3 | (memory ? 0x06 : 0xc0 | rm)));
    if (row->form == F_RAWUB)
        put(f, (uint8_t)random64());
    f->halves = row->op == OP_vex_whole && vex_ops[row->arg].float_fn == vex_cvtps2ph;
    if (row->op != OP_vex_whole || vex_ops[row->arg].float_fn != vex_fma)
        return;
    unsigned operands[] = { 0, reg | (rxb & 4) << 1, v,
                            memory ? FUSED_MEMORY : rm | (rxb & 1) << 3 };
    unsigned order = vex_ops[row->arg].number / FMA_ORDER;
    f->fused = w ? IEEE_DOUBLE : IEEE_SINGLE;
    for (unsigned o = 3; o-- > 0; order /= 10)
        f->operand[o] = operands[order % 10];
}

static void try_vex_row(const struct opcode *row, unsigned map, unsigned prefix, uint8_t opcode,
                        int group_reg)
{
    if (!row->name || !(row->needs & (ISA_AVX | ISA_AVX2)) || is_approximation(row->name) ||
        skipped(row))
        return;
    for (unsigned n = 0; n < times * ROUNDS_SIMD; n++) {
        struct form f;
        build_vex(&f, row, map, prefix, opcode, group_reg);
        compare_once(&f);
    }
}

static void test_vex_native(void **unused)
{
    begin_native();
    for (unsigned map = 1; map <= 3; map++)
        for (unsigned prefix = 0; prefix < 4; prefix++)
            for (unsigned opcode = 0; opcode < 256; opcode++) {
                const struct opcode *row = vex_opcode(map, prefix, (uint8_t)opcode);
                if (row && row->flags & OPF_GROUP)
                    for (int reg = 0; reg < 8; reg++)
                        try_vex_row(&row->group[reg], map, prefix, (uint8_t)opcode, reg);
                else if (row)
                    try_vex_row(row, map, prefix, (uint8_t)opcode, -1);
            }
    print_message("%u cases\n", cases);
    assert_true(cases > 30000 || !host_avx || only);
    assert_int_equal(mismatches, 0);
}

/* What has a definition of its own here: each half gives what SSE gives. */
static void test_vex_approximations(void **unused)
{
    static const uint8_t rows[][2] = { { 0, 0x53 }, { 0, 0x52 }, { 0xf3, 0x53 }, { 0xf3, 0x52 } };
    for (unsigned n = 0; n < ARRAY_LEN(rows); n++)
        for (unsigned round = 0; round < 200; round++) {
            bool scalar = rows[n][0];
            uint8_t sse[4] = { 0xf3, 0x0f, rows[n][1], 0xc1 };
            uint8_t vex[4] = { 0xc5, scalar ? 0xea : 0xfc, rows[n][1], 0xc1 }; /* 0, (2,) 1 */
            union vec256 source = { .half = { random_vec(), random_vec() } }, expected;
            cpu->xmm[2] = random_vec();
            for (unsigned half = 0; half < 2; half++) {
                cpu->xmm[1] = source.half[half];
                cpu->xmm[0] = cpu->xmm[2];
                assert_int_equal(run_insn(sse + !scalar, 3 + scalar), 0);
                expected.half[half] = cpu->xmm[0];
            }
            cpu->xmm[1] = source.half[0];
            cpu->ymmh[1] = source.half[1];
            cpu->ymmh[0] = random_vec();
            if (scalar)
                expected.half[1] = (union vec128){ 0 };
            assert_int_equal(run_insn(vex, 4), 0);
            assert_memory_equal(&cpu->xmm[0], &expected.half[0], 16);
            assert_memory_equal(&cpu->ymmh[0], &expected.half[1], 16);
        }
}

/* ---- what was wrong once ---- */

/* Results that are tiny and exact, with the underflow not masked. */
static void prepare_tiny(struct state *s, uint8_t *memory)
{
    for (unsigned k = 0; k < 4; k++)
        s->fx.xmm[1].u32[k] = (uint32_t)(127 - 15 - 1 - below(4)) << 23;
    s->fx.mxcsr = MXCSR_RESET & ~(uint32_t)MXCSR_UM;
}

static void test_regressions(void **unused)
{
    static const struct {
        struct form form;
        uint64_t needs;
    } list[] = {
        /* both operands in one register */
        { { .name = "sha256msg1", .bytes = { 0x0f, 0x38, 0xcc, 0xc9 }, .len = 4 }, ISA_SHA },
        { { .name = "vcvtps2ph",
            .bytes = { 0xc4, 0xe3, 0x79, 0x1d, 0xc8, 0x04 },
            .len = 6,
            .prepare = prepare_tiny },
          ISA_F16C },
        /* elements that the mask leaves out */
        { { .name = "vpgatherdd",
            .bytes = { 0xc4, 0xe2, 0x6d, 0x90, 0x84, 0xce, 0x80, 0, 0, 0 },
            .len = 10,
            .index_size = 4,
            .index = 1 },
          ISA_AVX2 },
    };
    begin_native();
    for (unsigned n = 0; n < ARRAY_LEN(list); n++)
        for (unsigned k = 0; k < 200 && !host_lacks(list[n].needs); k++)
            compare_once(&list[n].form);
    assert_int_equal(mismatches, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_simd_native),
        cmocka_unit_test(test_vex_native),
        cmocka_unit_test(test_vex_approximations),
        cmocka_unit_test(test_regressions),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
