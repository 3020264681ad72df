/* Sets of instructions that a model of the software CPU has or has not: what is switched off is
 * #UD, what is no instruction with a VEX prefix stays what it was, and every other use of the
 * prefix's fields is #UD (SDM vol. 2 2.3). */
#include "soft_fixture.h"

#include "cpu/soft/opcodes.h"

enum { ALL_ISA = -1 & ~0xff };

/* ---- the decoder ---- */

struct bytes {
    uint8_t b[16];
    unsigned n;
};

static void put(struct bytes *t, unsigned v)
{
    t->b[t->n++] = (uint8_t)v;
}

static int decode_in(uint32_t mode, const struct bytes *t, struct insn *i)
{
    uint8_t padded[16] = { 0 };
    bool ends;
    memcpy(padded, t->b, t->n);
    return soft_decode(padded, sizeof padded, mode, i, &ends);
}

static bool is_valid(uint32_t mode, const struct bytes *t)
{
    struct insn i;
    return decode_in(mode, t, &i) > 0;
}

/* A row and how to reach it. */
struct place {
    const struct opcode *row;
    unsigned map, prefix;
    uint8_t opcode;
    int group; /* ModRM.reg, or -1 */
    bool vex;
};

/* vvvv is as it is encoded: inverted. */
static struct bytes encode_vex(const struct place *p, unsigned vvvv, unsigned l, unsigned w,
                               bool mem)
{
    struct bytes t = { .n = 0 };
    put(&t, 0xc4);
    put(&t, 0xe0 | p->map);
    put(&t, w << 7 | vvvv << 3 | l << 2 | p->prefix);
    put(&t, p->opcode);
    if (p->row->form != F_NONE)
        put(&t, (mem ? 0 : 0xc0) | (p->group < 0 ? 0 : (unsigned)p->group) << 3 |
                    (p->row->flags & OPF_VSIB ? 4 : 1));
    return t;
}

static bool is_memory(const struct opcode *row)
{
    return row->flags & OPF_MEM || row->with_reg;
}

static struct bytes encode(const struct place *p)
{
    static const uint8_t prefixes[] = { 0, 0x66, 0xf3, 0xf2 };
    bool mem = is_memory(p->row);
    struct bytes t = { .n = 0 };
    if (p->vex)
        return encode_vex(p, p->row->vex & VEX_V ? 2 : 15, !!(p->row->vex & VEX_L1),
                          !!(p->row->vex & VEX_W1), mem);
    if (p->prefix)
        put(&t, prefixes[p->prefix]);
    put(&t, 0x0f);
    if (p->map > 1)
        put(&t, p->map == 2 ? 0x38 : 0x3a);
    put(&t, p->opcode);
    put(&t, mem ? 1 : 0xc1);
    return t;
}

static void each_group_row(const struct opcode *row, struct place p, void (*fn)(struct place *))
{
    if (!row || !row->name)
        return;
    p.row = row;
    p.group = -1;
    if (!(row->flags & OPF_GROUP)) {
        fn(&p);
        if (row->with_reg) {
            p.row = row->with_reg;
            fn(&p);
        }
        return;
    }
    for (p.group = 0; p.group < 8; p.group++)
        if ((p.row = &row->group[p.group])->name)
            fn(&p);
}

static void each_row(void (*fn)(struct place *))
{
    for (unsigned map = 1; map <= 3; map++)
        for (unsigned prefix = 0; prefix < 4; prefix++)
            for (unsigned opcode = 0; opcode < 256; opcode++) {
                struct place p = { .map = map, .prefix = prefix, .opcode = (uint8_t)opcode };
                each_group_row(sse_opcode(map, prefix, p.opcode), p, fn);
                p.vex = true;
                each_group_row(vex_opcode(map, prefix, p.opcode), p, fn);
            }
}

static unsigned checked;

static void check_needs(struct place *p)
{
    struct bytes t = encode(p);
    struct insn i;
    if (!p->row->needs)
        return;
    uint32_t mode = MODE_CODE64 | p->row->needs | p->row->needs_256;
    if (decode_in(mode, &t, &i) <= 0)
        fail_msg("%s is no instruction with all it needs", p->row->name);
    for (unsigned bit = 8; bit < 32; bit++) {
        if (!(p->row->needs >> bit & 1))
            continue;
        bool is_scan = p->prefix == PREFIX_F3 && (p->opcode & 0xfe) == 0xbc && !p->vex;
        int n = decode_in(mode & ~(1u << bit), &t, &i);
        if (is_scan ? i.op != (p->opcode == 0xbc ? OP_bsf : OP_bsr) : n > 0)
            fail_msg("%s does not ask for %s", p->row->name, soft_isa_name(bit));
        checked++;
    }
}

static void test_needs(void **state)
{
    (void)state;
    checked = 0;
    each_row(check_needs);
    assert_true(checked > 30);
}

/* Every bit that some row needs has a feature, and only "max" has them. */
static void test_names(void **state)
{
    struct cpu_offer offer;
    (void)state;
    soft_cpu_offer(&offer);
    uint32_t max = soft_isa(&offer.max);
    assert_int_equal(soft_isa(&cpu_features_base), 0);
    for (unsigned bit = 0; bit < 32; bit++)
        assert_int_equal(max >> bit & 1, soft_isa_name(bit) && soft_isa_on_host(bit));
}

static void check_vex_fields(struct place *p)
{
    unsigned vex = p->row->vex;
    bool mem = is_memory(p->row);
    unsigned l = !!(vex & VEX_L1), w = !!(vex & VEX_W1), v = vex & VEX_V ? 2 : 15;
    if (!p->vex)
        return;
    struct bytes good = encode_vex(p, v, l, w, mem);
    struct bytes other_v = encode_vex(p, v ^ 4, l, w, mem);
    struct bytes other_l = encode_vex(p, v, !l, w, mem), other_w = encode_vex(p, v, l, !w, mem);
    uint32_t mode = MODE_CODE64 | (uint32_t)ALL_ISA;
    bool free_v = vex & VEX_V || (vex & VEX_V_REG && !mem);
    if (!is_valid(mode, &good) || is_valid(mode, &other_v) != free_v ||
        is_valid(mode, &other_l) != !(vex & (VEX_L0 | VEX_L1)) ||
        is_valid(mode, &other_w) != !(vex & (VEX_W0 | VEX_W1)))
        fail_msg("%s: a field of VEX is not looked at", p->row->name);
    static const uint8_t before[] = { 0x66, 0xf2, 0xf3, 0xf0, 0x40 };
    for (unsigned n = 0; n < sizeof before; n++) {
        struct bytes t = { .b = { before[n] }, .n = good.n + 1 };
        memcpy(t.b + 1, good.b, good.n);
        if (is_valid(mode, &t))
            fail_msg("%s: prefix %#x before VEX", p->row->name, before[n]);
    }
    checked++;
}

static void test_vex_fields(void **state)
{
    (void)state;
    checked = 0;
    each_row(check_vex_fields);
    assert_true(checked > 10);
}

/* C4 and C5 outside of 64-bit mode. */
static void test_les(void **state)
{
    static const struct bytes les = { { 0xc4, 0x01 }, 2 }, lds = { { 0xc5, 0x01 }, 2 };
    static const struct bytes andn = { { 0xc4, 0xe2, 0x68, 0xf2, 0xc1 }, 5 };
    struct insn i;
    (void)state;
    static const uint32_t modes[] = { 0, MODE_CODE32, (uint32_t)ALL_ISA,
                                      MODE_CODE32 | (uint32_t)ALL_ISA };
    for (unsigned n = 0; n < ARRAY_LEN(modes); n++) {
        decode_in(modes[n], &les, &i);
        assert_int_equal(i.op, OP_load_far_ptr);
        decode_in(modes[n], &lds, &i);
        assert_int_equal(i.op, OP_load_far_ptr);
    }
    assert_int_equal(decode_in(MODE_CODE32 | (uint32_t)ALL_ISA, &andn, &i), 5);
    assert_int_equal(i.op, OP_andn);
    assert_int_equal(decode_in(MODE_CODE32, &andn, &i), -1);
    /* Maps that do not exist. */
    for (unsigned map = 0; map < 32; map++) {
        struct bytes t = andn;
        t.b[1] = (uint8_t)(0xe0 | map);
        if (map < 1 || map > 3)
            assert_false(is_valid(MODE_CODE64 | (uint32_t)ALL_ISA, &t));
    }
}

/* ---- executed ---- */

static struct guest guest;

static void test_switched_off(void **state)
{
    static const uint8_t andn[] = { 0xc4, 0xe2, 0x68, 0xf2, 0xc1 };
    struct guest_frame f;
    (void)state;
    static const struct {
        const char *model;
        int vector;
    } cases[] = {
        { "max", -1 }, { "max,-bmi1", VEC_UD }, { "base", VEC_UD }, { "base,+bmi1", -1 }
    };
    for (unsigned n = 0; n < ARRAY_LEN(cases); n++) {
        guest_init_model(&guest, cases[n].model);
        guest_load(&guest, andn, sizeof andn);
        guest_run(&guest, 1);
        assert_int_equal(guest_fault(&guest, &f), cases[n].vector);
        guest_fini(&guest);
    }
}

/* In real mode the prefix is #UD: the vector's entry is at 6 * 4. */
static void test_real_mode(void **state)
{
    static const uint8_t andn[] = { 0xc4, 0xe2, 0x68, 0xf2, 0xc1 };
    static const uint8_t vector[] = { 0, 0x20, 0, 0 };
    struct kvm_sregs s;
    (void)state;
    guest_init_model(&guest, "max");
    vcpu_soft.reset(guest.vcpu);
    assert_true(vcpu_soft.get_sregs(guest.vcpu, &s, NULL));
    s.cs.base = s.cs.selector = 0;
    s.idt.base = 0;
    s.idt.limit = 0x3ff;
    assert_true(vcpu_soft.set_sregs(guest.vcpu, &s, NULL));
    struct kvm_regs r = { .rip = CODE, .rsp = STACK, .rflags = FLAG_1 };
    assert_true(vcpu_soft.set_regs(guest.vcpu, &r, NULL));
    guest_put(&guest, CODE, andn, sizeof andn);
    guest_put(&guest, VEC_UD * 4, vector, sizeof vector);
    guest_run(&guest, 1);
    assert_int_equal(guest_cpu(&guest)->rip, 0x2000);
    guest_fini(&guest);
}

/* ---- XSAVE and AVX: what has to be switched on ---- */

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
        cmocka_unit_test(test_needs),        cmocka_unit_test(test_names),
        cmocka_unit_test(test_vex_fields),   cmocka_unit_test(test_les),
        cmocka_unit_test(test_switched_off), cmocka_unit_test(test_real_mode),
        cmocka_unit_test(test_switched_on),  cmocka_unit_test(test_system_instructions),
        cmocka_unit_test(test_upper_halves), cmocka_unit_test(test_gather_faults),
        cmocka_unit_test(test_state),
    };
    soft_exec(NULL); /* the labels that the decoder puts into instructions */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
