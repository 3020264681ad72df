/* What a model of the software CPU has beside instructions: MSRs, bits of EFER, pages; and what
 * none has, performance counters. */
#include "soft_fixture.h"

static struct guest guest;

/* Which exception RDMSR or WRMSR raises; -1: none. */
static int msr_vector(const char *model, uint32_t index, bool write, uint64_t value)
{
    static const uint8_t rdmsr[] = { 0x0f, 0x32 }, wrmsr[] = { 0x0f, 0x30 };
    struct guest_frame f;
    guest_init_model(&guest, model);
    guest_load(&guest, write ? wrmsr : rdmsr, 2);
    guest_cpu(&guest)->r[RCX] = index;
    guest_cpu(&guest)->r[RAX] = (uint32_t)value;
    guest_cpu(&guest)->r[RDX] = value >> 32;
    guest_run(&guest, 1);
    int vector = guest_fault(&guest, &f);
    guest_fini(&guest);
    return vector;
}

static void test_msrs(void **state)
{
    enum { EFER = 0xc0000080, EFER_NOW = EFER_LME | EFER_LMA };
    static const struct {
        const char *without;
        uint32_t index;
        bool write;
        uint64_t value;
    } cases[] = {
        { "max,-mtrr", 0x200, false, 0 },
        { "max,-mtrr", 0xfe, false, 0 },
        { "max,-pat", 0x277, false, 0 },
        { "max,-sep", 0x174, true, 8 },
        { "max,-tsc_adjust", 0x3b, false, 0 },
        { "max,-mca", 0x179, false, 0 },
        { "max,-rdtscp,-rdpid", 0xc0000103, false, 0 },
        { "max,-nx", EFER, true, EFER_NOW | EFER_NX },
    };
    (void)state;
    for (unsigned n = 0; n < ARRAY_LEN(cases); n++) {
        if (msr_vector("max", cases[n].index, cases[n].write, cases[n].value) != -1)
            fail_msg("MSR %#x is not there", cases[n].index);
        if (msr_vector(cases[n].without, cases[n].index, cases[n].write, cases[n].value) != VEC_GP)
            fail_msg("MSR %#x is there with %s", cases[n].index, cases[n].without);
    }
    assert_int_equal(msr_vector("max,-rdtscp", 0xc0000103, false, 0), -1);
    assert_int_equal(msr_vector("max,-nx", EFER, false, 0), -1);
}

static void test_large_pages(void **state)
{
    enum { LARGE = 0x40000000, MAP_LARGE = MAP_P | MAP_W | 0x80 };
    static const uint8_t load[] = { 0x8a, 0x06 };
    (void)state;
    for (unsigned has = 0; has < 2; has++) {
        struct guest_frame f = { .error = 0 };
        guest_init_model(&guest, has ? "max" : "max,-pdpe1gb");
        uint64_t pdpt = *guest_entry(&guest, TABLES, 0) & ~0xfffULL;
        *guest_entry(&guest, pdpt, LARGE >> 30) = MAP_LARGE;
        guest_load(&guest, load, sizeof load);
        guest_cpu(&guest)->r[RSI] = LARGE + DATA;
        guest_run(&guest, 1);
        assert_int_equal(guest_fault(&guest, &f), has ? -1 : VEC_PF);
        assert_int_equal(f.error, has ? 0 : 9);
        guest_fini(&guest);
    }
}

/* What the list of MSRs names can be read, set to something else, and read again. */
static void test_state_msrs(void **state)
{
    uint32_t list[128];
    uint64_t value;
    (void)state;
    guest_init(&guest);
    struct vcpu *v = guest.vcpu;
    size_t count = vcpu_soft.msrs(v, list, ARRAY_LEN(list));

    assert_in_range(count, 50, ARRAY_LEN(list));
    assert_int_equal(vcpu_soft.msrs(v, list, 1), count);
    for (size_t n = 0; n < count; n++) {
        for (size_t m = 0; m < n; m++)
            assert_int_not_equal(list[n], list[m]);
        assert_true(vcpu_soft.get_msr(v, list[n], &value, NULL));
        bool mask = list[n] >= 0x200 && list[n] < 0x210 && list[n] & 1; /* of an MTRR: no bit 0 */
        uint64_t wanted = value ^ (mask ? 1 << 11 : 1);
        assert_true(vcpu_soft.set_msr(v, list[n], wanted, NULL));
        assert_true(vcpu_soft.get_msr(v, list[n], &value, NULL));
        assert_true(value == wanted);
    }
    assert_true(vcpu_soft.set_msr(v, 0x401, 1ULL << 63 | 5, NULL)); /* a bank's status */
    assert_true(vcpu_soft.get_msr(v, 0x401, &value, NULL));
    assert_true(value == (1ULL << 63 | 5));
    guest_fini(&guest);
}

/* ---- performance counters ---- */

/* CPUID says that there are none, and so do RDPMC, MISC_ENABLE and the MSRs of each generation of
 * them: SDM vol. 3 chapter 20, vol. 2 RDPMC. */
static void test_no_counters(void **state)
{
    static const uint8_t wrmsr[] = { 0x0f, 0x30 };
    static const char *const models[] = { "base", "max" };
    static const uint32_t msrs[] = { 0xc1,  0xc2,  0xc8,  0x186, 0x187, 0x18d, 0x309, 0x30b,
                                     0x345, 0x38d, 0x38e, 0x38f, 0x390, 0x3f1, 0x4c1 };
    (void)state;
    for (unsigned n = 0; n < ARRAY_LEN(models); n++)
        for (unsigned k = 0; k < ARRAY_LEN(msrs); k++) {
            assert_int_equal(msr_vector(models[n], msrs[k], false, 0), VEC_GP);
            assert_int_equal(msr_vector(models[n], msrs[k], true, 0), VEC_GP);
        }
    for (unsigned n = 0; n < ARRAY_LEN(models); n++) {
        uint32_t out[4];
        uint64_t v;
        guest_init_model(&guest, models[n]);
        cpuid_query(guest_cpu(&guest), 0xa, 0, out);
        assert_int_equal(out[0] | out[1] | out[2] | out[3], 0);
        cpuid_query(guest_cpu(&guest), 1, 0, out);
        assert_int_equal(out[2] >> 15 & 1, 0); /* PDCM */
        assert_int_equal(out[3] >> 21 & 1, 0); /* DS */
        guest_put(&guest, CODE, wrmsr, sizeof wrmsr);
        guest_start(&guest, false);
        guest_cpu(&guest)->r[RCX] = 0x1a0;
        guest_cpu(&guest)->r[RAX] = 1 << 3 | 1 << 7; /* thermal monitor, and counters */
        guest_cpu(&guest)->r[RDX] = 0;
        assert_int_equal(guest_run(&guest, 1), VCPU_STOP_LIMIT);
        assert_true(vcpu_soft.get_msr(guest.vcpu, 0x1a0, &v, NULL));
        assert_int_equal(v, 1 << 3 | 1 << 11 | 1 << 12);
        guest_fini(&guest);
    }
}

/* #GP(0) for every number, in every ring. */
static void test_rdpmc(void **state)
{
    static const uint8_t rdpmc[] = { 0x0f, 0x33 };
    static const uint32_t counters[] = { 0, 1, 0x20000000, 0x40000000, 0x80000000 };
    (void)state;
    guest_init_model(&guest, "max");
    for (unsigned n = 0; n < ARRAY_LEN(counters); n++)
        for (unsigned way = 0; way < 4; way++) {
            struct guest_frame f = { 0 };
            guest_put(&guest, CODE, rdpmc, sizeof rdpmc);
            guest_start(&guest, way & 1);
            guest_cpu(&guest)->cr4 |= way & 2 ? CR4_PCE : 0;
            guest_cpu(&guest)->r[RCX] = counters[n];
            guest_run(&guest, 1);
            assert_int_equal(guest_fault(&guest, &f), VEC_GP);
            assert_int_equal(f.error, 0);
            assert_int_equal(f.rip, CODE);
        }
    guest_fini(&guest);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_msrs),        cmocka_unit_test(test_state_msrs),
        cmocka_unit_test(test_large_pages), cmocka_unit_test(test_no_counters),
        cmocka_unit_test(test_rdpmc),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
