/* `--cpu`: names, models, what comes and goes with a feature, and what is said of a wrong one. */
#include "base/bits.h"
#include "cpu/model/features.h"
#include "cpu/soft/soft_cpu.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static struct cpu_offer offer_all(void)
{
    struct cpu_offer o = { .backend = "test" };

    memset(&o.max, 0xff, sizeof o.max);
    return o;
}

static struct cpu_features parse(const struct cpu_offer *o, const char *text)
{
    struct cpu_features set;
    struct error err = { 0 };

    if (!cpu_model_parse(text, o, &set, &err))
        fail_msg("%s: %s", text, err.text);
    return set;
}

static void refuse(const struct cpu_offer *o, const char *text, const char *because)
{
    struct cpu_features set;
    struct error err = { 0 };

    assert_false(cpu_model_parse(text, o, &set, &err));
    assert_int_equal(err.kind, ERROR_CONFIG);
    if (!strstr(err.text, because))
        fail_msg("%s: \"%s\" has no \"%s\"", text, err.text, because);
}

/* No bit twice, no name twice, and whatever is needed exists and needs nothing that leads back. */
static unsigned depth_of(const struct cpu_feature *f, unsigned depth)
{
    unsigned deepest = depth;
    const char *at = f->needs;

    assert_true(depth < 16);
    while (at && *at) {
        size_t length = strcspn(at, " ");
        const struct cpu_feature *need = cpu_feature_find(at, length);
        if (!need)
            fail_msg("%s needs \"%s\"", f->name, at);
        unsigned d = depth_of(need, depth + 1);
        deepest = d > deepest ? d : deepest;
        at += length + (at[length] == ' ');
    }
    return deepest;
}

static void test_table(void **state)
{
    uint32_t seen[CPUID_WORDS] = { 0 };

    for (const struct cpu_feature *f = cpu_feature_table; f->name; f++) {
        if (cpu_feature_find(f->name, strlen(f->name)) != f)
            fail_msg("%s is there twice", f->name);
        if (f->other && cpu_feature_find(f->other, strlen(f->other)) != f)
            fail_msg("%s is there twice", f->other);
        if (seen[f->word] & f->mask)
            fail_msg("%s has a bit of another", f->name);
        seen[f->word] |= f->mask;
        depth_of(f, 0);
    }
    assert_ptr_equal(cpu_feature_find("SSE4.2", 6), cpu_feature_find("sse4_2", 6));
    assert_ptr_equal(cpu_feature_find("sse4-2", 6), cpu_feature_find("sse4_2", 6));
    assert_ptr_equal(cpu_feature_find("sse3", 4), cpu_feature_find("pni", 3));
    assert_null(cpu_feature_find("sse4_", 5));
}

/* What "base" has, on every backend. */
static void test_base(void **state)
{
    const char *const names[] = { "fpu",     "sse2", "pni",  "cx16",       "sse4_2",  "popcnt",
                                  "syscall", "lm",   "nx",   "lahf_lm",    "pdpe1gb", "rdtscp",
                                  "arat",    "sep",  "apic", "tsc_adjust", "invtsc" };

    for (size_t n = 0; n < ARRAY_LEN(names); n++)
        assert_true(cpu_has_named(&cpu_features_base, names[n]));
    assert_false(cpu_has_named(&cpu_features_base, "xsave"));
    assert_false(cpu_has_named(&cpu_features_base, "kvmclock"));
    /* the software CPU executes all of it: "base" is the same everywhere */
    struct cpu_offer soft;
    soft_cpu_offer(&soft);
    for (unsigned w = 0; w < CPUID_WORDS; w++)
        assert_int_equal(cpu_features_base.word[w] & ~soft.max.word[w], 0);
}

static void test_changes(void **state)
{
    struct cpu_offer all = offer_all();
    struct cpu_features s;

    s = parse(&all, "host,-avx512f");
    assert_false(cpu_has_named(&s, "avx512f"));
    assert_false(cpu_has_named(&s, "avx512_vbmi2")); /* by way of avx512bw */
    assert_true(cpu_has_named(&s, "avx2"));
    s = parse(&all, "max,-xsave");
    assert_false(cpu_has_named(&s, "avx"));
    assert_false(cpu_has_named(&s, "avx2"));
    assert_false(cpu_has_named(&s, "fma"));
    assert_false(cpu_has_named(&s, "amx_int8"));
    assert_true(cpu_has_named(&s, "sse4_2"));
    s = parse(&all, "base,+avx2");
    assert_true(cpu_has_named(&s, "avx"));
    assert_true(cpu_has_named(&s, "xsave"));
    assert_false(cpu_has_named(&s, "fma"));
    s = parse(&all, "base,popcnt=off,sse4.1=off,movbe,adx=on");
    assert_false(cpu_has_named(&s, "popcnt"));
    assert_false(cpu_has_named(&s, "sse4_2"));
    assert_true(cpu_has_named(&s, "movbe"));
    assert_true(cpu_has_named(&s, "adx"));
    s = parse(&all, "host,-popcnt,+popcnt"); /* the later one holds */
    assert_true(cpu_has_named(&s, "popcnt"));
    s = parse(&all, "host,+popcnt,-popcnt");
    assert_false(cpu_has_named(&s, "popcnt"));
    s = parse(&all, "host,-kvmclock");
    assert_int_equal(s.word[WORD_KVM] & (1u << 0 | 1u << 3 | 1u << 24), 0);
}

static void test_refusals(void **state)
{
    struct cpu_offer all = offer_all(), some = { .backend = "test", .max = cpu_features_base };

    refuse(&all, "hots", "did you mean \"host\"");
    refuse(&all, "486", "there are base, host and max");
    refuse(&all, "", "no model \"\"");
    refuse(&all, "host,+popcn", "did you mean \"popcnt\"");
    refuse(&all, "host,+zzzzzzzz", "--cpu help");
    refuse(&all, "host,", "no feature \"\"");
    refuse(&all, "host,popcnt=yes", "on or off");
    refuse(&all, "host,-avx,+avx2", "\"avx2\" needs \"avx\"");
    refuse(&some, "base,+avx512f", "cannot give \"avx512f\"");
    some.max.word[WORD_7_EBX] |= 1u << 5; /* AVX2 without what it needs */
    refuse(&some, "base,+avx2", "cannot give \"avx\", which \"avx2\" needs");
    some.withheld.word[WORD_1_ECX] = 1u << 22;
    some.why_withheld = "it is Sunday";
    refuse(&some, "base,+movbe", "it is Sunday");
    parse(&some, "base,-movbe,-avx");
}

static void test_states(void **state)
{
    struct cpu_offer all = offer_all();
    struct cpu_features s = parse(&all, "host,-amx-tile,-mpx");

    assert_int_equal(cpu_xsave_components(&s), 0x2e7);
    assert_int_equal(cpu_xsave_supervisor(&s), 0x9900);
    s = parse(&all, "host,-xsave");
    assert_int_equal(cpu_xsave_components(&s), 0);
    assert_false(cpu_leaf_offered(&s, 0xd));
    assert_true(cpu_leaf_offered(&s, 7));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),   cmocka_unit_test(test_base),
        cmocka_unit_test(test_changes), cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_states),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
