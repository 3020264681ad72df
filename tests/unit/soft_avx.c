/* XSAVE and AVX of the software CPU: what has to be switched on, what becomes of upper halves, and
 * how the state moves. */
#include "soft_fixture.h"

static struct guest guest;

enum { AREA = DATA };

/* In ring 0, with CR4.OSXSAVE, XCR0 and CR0.TS as given. */
static int run_bytes(uint64_t cr4, uint64_t xcr0, bool ts, const uint8_t *bytes, size_t n)
{
    struct soft_cpu *c = guest_cpu(&guest);
    struct guest_frame f;
    guest_load(&guest, bytes, n);
    c->cr4 |= cr4;
    c->xcr0 = xcr0;
    c->cr0 |= ts ? CR0_TS : 0;
    c->r[RAX] = 7;
    c->r[RSI] = AREA;
    guest_run(&guest, 1);
    return guest_fault(&guest, &f);
}
#define RUN(cr4, xcr0, ts, ...)                                \
    run_bytes(cr4, xcr0, ts, (const uint8_t[]){ __VA_ARGS__ }, \
              sizeof((const uint8_t[]){ __VA_ARGS__ }))
#define VADDPS   0xc5, 0xf4, 0x58, 0xc2 /* %ymm2, %ymm1, %ymm0 */
#define XSAVE    0x0f, 0xae, 0x26
#define XRSTOR   0x0f, 0xae, 0x2e
#define VZEROALL 0xc5, 0xfc, 0x77
#define PADDB    0x66, 0x0f, 0xfc, 0xc0 /* %xmm0, %xmm0 */

/* What instructions of the system do in the model "max", in ring 0; "base" has none of them. */
static void test_system_instructions(void **state)
{
    static const struct {
        const char *name;
        uint8_t bytes[6], n;
        uint64_t cr4;
        int vector;
    } rows[] = {
        /* clang-format off */
        { "rdpid", { 0xf3, 0x0f, 0xc7, 0xf8 }, 4, 0, -1 },
        { "rdrand", { 0x0f, 0xc7, 0xf0 }, 3, 0, -1 },
        { "rdseed", { 0x0f, 0xc7, 0xf8 }, 3, 0, -1 },
        { "rdfsbase", { 0xf3, 0x48, 0x0f, 0xae, 0xc0 }, 5, CR4_FSGSBASE, -1 },
        { "rdgsbase", { 0xf3, 0x48, 0x0f, 0xae, 0xc8 }, 5, CR4_FSGSBASE, -1 },
        { "wrfsbase", { 0xf3, 0x48, 0x0f, 0xae, 0xd0 }, 5, CR4_FSGSBASE, -1 },
        { "wrgsbase", { 0xf3, 0x48, 0x0f, 0xae, 0xd8 }, 5, CR4_FSGSBASE, -1 },
        { "clac", { 0x0f, 0x01, 0xca }, 3, 0, -1 },
        { "stac", { 0x0f, 0x01, 0xcb }, 3, 0, -1 },
        { "monitor", { 0x0f, 0x01, 0xc8 }, 3, 0, -1 },
        { "mwait", { 0x0f, 0x01, 0xc9 }, 3, 0, -1 },
        { "invpcid", { 0x66, 0x0f, 0x38, 0x82, 0x06 }, 5, 0, VEC_GP }, /* RAX: no type */
        { "xgetbv", { 0x0f, 0x01, 0xd0 }, 3, CR4_OSXSAVE, -1 },
        /* clang-format on */
    };
    (void)state;
    guest_init_model(&guest, "max");
    for (unsigned n = 0; n < ARRAY_LEN(rows); n++)
        if (run_bytes(rows[n].cr4, 7, false, rows[n].bytes, rows[n].n) != rows[n].vector)
            fail_msg("%s: not what it does in \"max\"", rows[n].name);
    guest_fini(&guest);
    guest_init(&guest);
    for (unsigned n = 0; n < ARRAY_LEN(rows); n++)
        if (run_bytes(0, 1, false, rows[n].bytes, rows[n].n) != VEC_UD)
            fail_msg("%s: not #UD in \"base\"", rows[n].name);
    guest_fini(&guest);
}

static void test_switched_on(void **state)
{
    (void)state;
    guest_init_model(&guest, "max");
    assert_int_equal(RUN(CR4_OSXSAVE, 7, false, VADDPS), -1);
    assert_int_equal(RUN(0, 7, false, VADDPS), VEC_UD);
    assert_int_equal(RUN(CR4_OSXSAVE, 3, false, VADDPS), VEC_UD);
    assert_int_equal(RUN(CR4_OSXSAVE, 1, false, VADDPS), VEC_UD);
    assert_int_equal(RUN(CR4_OSXSAVE, 7, true, VADDPS), VEC_NM);
    assert_int_equal(RUN(CR4_OSXSAVE, 3, true, VADDPS), VEC_UD);
    assert_int_equal(RUN(CR4_OSXSAVE, 7, false, XSAVE), -1);
    assert_int_equal(RUN(0, 7, false, XSAVE), VEC_UD);
    assert_int_equal(RUN(CR4_OSXSAVE, 7, true, XSAVE), VEC_NM);
    assert_int_equal(RUN(0, 7, false, XRSTOR), VEC_UD);
    assert_int_equal(RUN(CR4_OSXSAVE, 7, true, XRSTOR), VEC_NM);
    assert_int_equal(RUN(CR4_OSXSAVE, 7, false, 0x66, XSAVE), VEC_UD);
    assert_int_equal(RUN(CR4_OSXSAVE, 7, false, 0xf0, XSAVE), VEC_UD);
    assert_int_equal(RUN(CR4_OSXSAVE, 7, false, 0x0f, 0xae, 0x66, 0x08), VEC_GP); /* 8(%rsi) */
    guest_fini(&guest);
}

/* What SSE instructions do not know of stays; what AVX instructions do not compute is cleared. */
static void test_upper_halves(void **state)
{
    static const uint8_t program[] = { PADDB, 0xc5, 0xf9, 0xfc, 0xc0, /* vpaddb %xmm0 */ VZEROALL };
    (void)state;
    guest_init_model(&guest, "max");
    guest_load(&guest, program, sizeof program);
    struct soft_cpu *c = guest_cpu(&guest);
    c->cr4 |= CR4_OSXSAVE;
    c->xcr0 = 7;
    memset(c->xmm, 0x11, sizeof c->xmm);
    memset(c->ymmh, 0x77, sizeof c->ymmh);
    guest_run(&guest, 1);
    assert_int_equal(c->xmm[0].u8[3], 0x22);
    assert_int_equal(c->ymmh[0].u8[3], 0x77);
    guest_run(&guest, 1);
    assert_int_equal(c->xmm[0].u8[3], 0x44);
    assert_int_equal(c->ymmh[0].u64[0] | c->ymmh[0].u64[1], 0);
    assert_int_equal(c->ymmh[1].u8[3], 0x77);
    guest_run(&guest, 1);
    for (unsigned n = 0; n < 16; n++)
        assert_int_equal(c->xmm[n].u64[0] | c->ymmh[n].u64[1], 0);
    guest_fini(&guest);
}

/* A fault in the middle of a gather: what has been loaded stays, and its bits are gone. */
static void test_gather_faults(void **state)
{
    static const uint8_t gather[] = { 0xc4, 0xe2, 0x6d, 0x90, 0x04, 0x0e }; /* (%rsi,%ymm1) */
    struct guest_frame f;
    (void)state;
    guest_init_model(&guest, "max");
    guest_load(&guest, gather, sizeof gather);
    struct soft_cpu *c = guest_cpu(&guest);
    c->cr4 |= CR4_OSXSAVE;
    c->xcr0 = 7;
    c->r[RSI] = DATA;
    st_le32(guest.ram.host + DATA, 0xabcd);
    memset(c->xmm, 0, sizeof c->xmm);
    memset(c->ymmh, 0, sizeof c->ymmh);
    c->xmm[1].u32[2] = 0x7fff0000; /* not mapped */
    for (unsigned k = 0; k < 4; k++)
        c->xmm[2].u32[k] = 0x80000000;
    guest_run(&guest, 1);
    assert_int_equal(guest_fault(&guest, &f), VEC_PF);
    assert_int_equal(f.rip, CODE);
    assert_int_equal(c->xmm[0].u32[0], 0xabcd);
    assert_int_equal(c->xmm[0].u32[1], 0xabcd);
    assert_int_equal(c->xmm[0].u32[2], 0);
    assert_int_equal(c->xmm[2].u32[0] | c->xmm[2].u32[1], 0);
    assert_int_equal(c->xmm[2].u32[2], UINT32_MAX);
    guest_fini(&guest);
}

/* The state leaves one cpu and enters another, in KVM's form. */
static void test_state(void **state)
{
    struct vcpu_misc m;
    struct soft_cpu *c;
    struct error err = { 0 };
    (void)state;
    guest_init_model(&guest, "max");
    guest_start(&guest, false);
    c = guest_cpu(&guest);
    c->xcr0 = 7;
    for (unsigned n = 0; n < sizeof c->xmm; n++) {
        ((uint8_t *)c->xmm)[n] = (uint8_t)n;
        ((uint8_t *)c->ymmh)[n] = (uint8_t)~n;
    }
    c->mxcsr = 0x3f80;
    assert_true(vcpu_soft.get_misc(guest.vcpu, &m, NULL));
    assert_true(m.has_xsave);
    vcpu_soft.reset(guest.vcpu);
    assert_int_equal(c->xcr0, 1);
    assert_int_equal(c->ymmh[3].u8[1], 0);
    assert_true(vcpu_soft.set_misc(guest.vcpu, &m, &err));
    assert_int_equal(c->xcr0, 7);
    assert_int_equal(c->mxcsr, 0x3f80);
    for (unsigned n = 0; n < sizeof c->xmm; n++) {
        assert_int_equal(((uint8_t *)c->xmm)[n], (uint8_t)n);
        assert_int_equal(((uint8_t *)c->ymmh)[n], (uint8_t)~n);
    }
    m.xcrs.xcrs[0].value = 4 | 1;
    assert_false(vcpu_soft.set_misc(guest.vcpu, &m, &err));
    guest_fini(&guest);
    guest_init(&guest);
    assert_true(vcpu_soft.get_misc(guest.vcpu, &m, NULL));
    assert_false(m.has_xsave);
    guest_fini(&guest);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_system_instructions),
        cmocka_unit_test(test_switched_on),
        cmocka_unit_test(test_upper_halves),
        cmocka_unit_test(test_gather_faults),
        cmocka_unit_test(test_state),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
