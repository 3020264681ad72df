/* FXSAVE, XSAVE and their kin, and MXCSR, of the software CPU against the host's: with random
 * states, components, images and headers. */
#include "native_fpu.h"

static void choose_components(struct state *s)
{
    s->gpr[0] = below(4) ? below(8) : random64();
    s->gpr[2] = below(4) ? 0 : random64();
}

static void prepare_save(struct state *s, uint8_t *memory)
{
    choose_components(s);
    if (below(2))
        memset(memory + 512, 0, 64);
}

/* A header that XRSTOR takes, mostly. */
static void prepare_restore(struct state *s, uint8_t *memory)
{
    uint64_t header[8] = { below(8) };
    uint32_t mxcsr = (uint32_t)random64() & (below(8) ? 0xffff : 0x7ffdffff);
    choose_components(s);
    if (below(2)) {
        header[1] = 1ULL << 63 | below(8);
        header[0] &= below(8) ? header[1] : 7;
    }
    if (below(8) == 0)
        header[below(8)] ^= 1ULL << below(64);
    memcpy(memory + 24, &mxcsr, 4);
    memcpy(memory + 512, header, sizeof header);
}

struct saver {
    const char *name;
    uint8_t opcode, reg;
    void (*prepare)(struct state *s, uint8_t *memory);
    unsigned area; /* 0: no more than an operand */
    uint64_t needs;
};

static void try_saver(const struct saver *saver)
{
    if (host_lacks(saver->needs)) {
        print_message("skipped: the host has no %s\n", saver->name);
        return;
    }
    for (unsigned n = 0; n < times * ROUNDS_XSAVE; n++) {
        struct form f = { .name = saver->name, .area = saver->area };
        f.unaligned = !saver->area || below(20) == 0;
        f.prepare = saver->prepare;
        if (below(2))
            put(&f, 0x48);
        put(&f, 0x0f);
        put(&f, saver->opcode);
        put(&f, (uint8_t)(saver->reg << 3 | 6));
        f.is_xsave = saver->prepare == prepare_save;
        compare_once(&f);
    }
}

static void test_xsave_native(void **unused)
{
    static const struct saver list[] = {
        { "xsave", 0xae, 4, prepare_save, 832, ISA_XSAVE },
        { "xsaveopt", 0xae, 6, prepare_save, 832, ISA_XSAVEOPT },
        { "xsavec", 0xc7, 4, prepare_save, 832, ISA_XSAVEC },
        { "xrstor", 0xae, 5, prepare_restore, 832, ISA_XSAVEC },
    };
    if (only)
        skip();
    begin_native();
    uint32_t xcr0 = 0, high;
    if (host_has("xsave"))
        __asm__ volatile("xgetbv" : "=a"(xcr0), "=d"(high) : "c"(0));
    if (xcr0 != (XCR0_X87 | XCR0_SSE | XCR0_AVX)) {
        print_message("skipped: the host's XCR0 is %#x\n", xcr0);
        skip();
    }
    for (unsigned n = 0; n < ARRAY_LEN(list); n++)
        try_saver(&list[n]);
    print_message("%u cases\n", cases);
    assert_int_equal(mismatches, 0);
}

/* A value that LDMXCSR takes, mostly. */
static void prepare_mxcsr(struct state *s, uint8_t *memory)
{
    uint32_t mxcsr = (uint32_t)random64() & (below(8) ? 0xffff : 0x1ffff);
    memcpy(memory + (s->mem - (uintptr_t)mem), &mxcsr, 4);
}

static void test_fxsave_native(void **unused)
{
    static const struct saver list[] = {
        { "fxsave", 0xae, 0, prepare_save, 832, ISA_FXSR },
        { "fxrstor", 0xae, 1, prepare_restore, 832, ISA_FXSR },
        { "ldmxcsr", 0xae, 2, prepare_mxcsr, 0, ISA_SSE },
        { "stmxcsr", 0xae, 3, NULL, 0, ISA_SSE },
    };
    if (only)
        skip();
    begin_native();
    for (unsigned n = 0; n < ARRAY_LEN(list); n++)
        try_saver(&list[n]);
    print_message("%u cases\n", cases);
    assert_int_equal(mismatches, 0);
}

/* A bit of XSTATE_BV that no component has, in the compacted form. */
static void prepare_bit_63(struct state *s, uint8_t *memory)
{
    uint64_t header[8] = { 1ULL << 63, 1ULL << 63 | 7 };
    uint32_t mxcsr = MXCSR_RESET;
    s->gpr[0] = 7;
    memcpy(memory + 24, &mxcsr, 4);
    memcpy(memory + 512, header, sizeof header);
}

static void test_regressions(void **unused)
{
    const struct form f = { .name = "xrstor",
                            .bytes = { 0x0f, 0xae, 0x2e },
                            .len = 3,
                            .area = 832,
                            .prepare = prepare_bit_63 };
    begin_native();
    for (unsigned n = 0; n < 200 && !host_lacks(ISA_XSAVEC); n++)
        compare_once(&f);
    assert_int_equal(mismatches, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_xsave_native),
        cmocka_unit_test(test_fxsave_native),
        cmocka_unit_test(test_regressions),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
