/* Sets of instructions that a model of the software CPU has or has not: what is switched off is
 * #UD, what is no instruction with a VEX prefix stays what it was, and every other use of the
 * prefix's fields is #UD (SDM vol. 2 2.3). */
#include "soft_fixture.h"

#include "cpu/soft/coverage.h"

#define ALL_ISA UINT64_MAX

/* ---- the decoder ---- */

struct bytes {
    uint8_t b[16];
    unsigned n;
};

static void put(struct bytes *t, unsigned v)
{
    t->b[t->n++] = (uint8_t)v;
}

static int decode_in(uint32_t mode, uint64_t isa, const struct bytes *t, struct insn *i)
{
    uint8_t padded[16] = { 0 };
    bool ends;
    memcpy(padded, t->b, t->n);
    return soft_decode(padded, sizeof padded, mode, isa, i, &ends);
}

static bool is_valid(const struct bytes *t)
{
    struct insn i;
    return decode_in(MODE_CODE64, ALL_ISA, t, &i) > 0;
}

/* vvvv is as it is encoded: inverted. */
static struct bytes encode_vex(const struct opcode_place *p, unsigned vvvv, unsigned l, unsigned w,
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

static bool is_memory(const struct opcode_place *p)
{
    return !p->reg && (p->row->flags & OPF_MEM || p->row->with_reg);
}

static struct bytes encode_plain(const struct opcode_place *p, bool w)
{
    static const uint8_t prefixes[] = { 0, 0x66, 0xf3, 0xf2 };
    bool mem = is_memory(p);
    struct bytes t = { .n = 0 };
    if (p->prefix)
        put(&t, prefixes[p->prefix]);
    if (w)
        put(&t, 0x48);
    if (p->map)
        put(&t, 0x0f);
    if (p->map > 1)
        put(&t, p->map == 2 ? 0x38 : 0x3a);
    put(&t, p->opcode);
    if (p->exact)
        put(&t, (unsigned)p->group);
    else if (p->group >= 0 || p->row->form != F_NONE)
        put(&t, (mem ? 1 : 0xc1) | (p->group < 0 ? 0 : (unsigned)p->group) << 3);
    return t;
}

/* `more`: as what asks for needs_more. */
static struct bytes encode(const struct opcode_place *p, bool more)
{
    const struct opcode *row = p->row;
    bool with_l = row->vex & VEX_L1 || (more && row->more_with == MORE_VEX_L);
    if (p->vex)
        return encode_vex(p, row->vex & VEX_V ? 2 : 15, with_l, !!(row->vex & VEX_W1),
                          is_memory(p));
    return encode_plain(p, more && row->more_with == MORE_REX_W);
}

static unsigned checked;

/* Is it the row's with all but one of `needs`? */
static void check_each_need(const struct opcode_place *p, uint64_t needs, bool more)
{
    struct bytes t = encode(p, more);
    uint32_t mode = p->row->flags & OPF_NO64 ? MODE_CODE32 : MODE_CODE64;
    struct insn i;
    if (decode_in(mode, ALL_ISA, &t, &i) <= 0)
        fail_msg("%s is no instruction with all there is", p->row->name);
    for (unsigned bit = 0; bit < ISA_COUNT; bit++) {
        if (!(needs >> bit & 1))
            continue;
        bool is_scan = p->prefix == PREFIX_F3 && (p->opcode & 0xfe) == 0xbc && !p->vex;
        int n = decode_in(mode, ~(UINT64_C(1) << bit), &t, &i);
        if (is_scan ? i.op != (p->opcode == 0xbc ? OP_bsf : OP_bsr) : n > 0)
            fail_msg("%s does not ask for %s", p->row->name, soft_isa_name(bit));
        checked++;
    }
}

static void check_needs(void *unused, const struct opcode_place *p)
{
    (void)unused;
    if (p->row->needs)
        check_each_need(p, p->row->needs, false);
    if (p->row->needs_more)
        check_each_need(p, p->row->needs_more, true);
}

static void test_needs(void **state)
{
    (void)state;
    checked = 0;
    opcode_walk(check_needs, NULL);
    assert_true(checked > 600);
}

static void gather_needs(void *needs, const struct opcode_place *p)
{
    *(uint64_t *)needs |= p->row->needs | p->row->needs_more;
}

/* Every set has a row. "base" has no more than every host can give, "max" all that this one can. */
static void test_names(void **state)
{
    struct cpu_offer offer;
    uint64_t needs = 0;
    (void)state;
    soft_cpu_offer(&offer);
    uint64_t max = soft_isa(&offer.max);
    opcode_walk(gather_needs, &needs);
    assert_int_equal(soft_isa(&cpu_features_base) & ~max, 0);
    for (unsigned bit = 0; bit < ISA_COUNT; bit++) {
        assert_int_equal(max >> bit & 1, 1);
        /* XGETBV asks itself: its argument says which it is. */
        if (!(needs >> bit & 1) && bit != ISA_BIT_XGETBV1)
            fail_msg("no instruction needs %s", soft_isa_name(bit));
    }
}

static void check_vex_fields(void *unused, const struct opcode_place *p)
{
    (void)unused;
    unsigned vex = p->row->vex;
    bool mem = is_memory(p);
    unsigned l = !!(vex & VEX_L1), w = !!(vex & VEX_W1), v = vex & VEX_V ? 2 : 15;
    if (!p->vex)
        return;
    struct bytes good = encode_vex(p, v, l, w, mem);
    struct bytes other_v = encode_vex(p, v ^ 4, l, w, mem);
    struct bytes other_l = encode_vex(p, v, !l, w, mem), other_w = encode_vex(p, v, l, !w, mem);
    bool free_v = vex & VEX_V || (vex & VEX_V_REG && !mem);
    if (!is_valid(&good) || is_valid(&other_v) != free_v ||
        is_valid(&other_l) != !(vex & (VEX_L0 | VEX_L1)) ||
        is_valid(&other_w) != !(vex & (VEX_W0 | VEX_W1)))
        fail_msg("%s: a field of VEX is not looked at", p->row->name);
    static const uint8_t before[] = { 0x66, 0xf2, 0xf3, 0xf0, 0x40 };
    for (unsigned n = 0; n < sizeof before; n++) {
        struct bytes t = { .b = { before[n] }, .n = good.n + 1 };
        memcpy(t.b + 1, good.b, good.n);
        if (is_valid(&t))
            fail_msg("%s: prefix %#x before VEX", p->row->name, before[n]);
    }
    checked++;
}

static void test_vex_fields(void **state)
{
    (void)state;
    checked = 0;
    opcode_walk(check_vex_fields, NULL);
    assert_true(checked > 10);
}

/* C4 and C5 outside of 64-bit mode. */
static void test_les(void **state)
{
    static const struct bytes les = { { 0xc4, 0x01 }, 2 }, lds = { { 0xc5, 0x01 }, 2 };
    static const struct bytes andn = { { 0xc4, 0xe2, 0x68, 0xf2, 0xc1 }, 5 };
    struct insn i;
    (void)state;
    for (unsigned n = 0; n < 4; n++) {
        uint32_t mode = n & 1 ? MODE_CODE32 : 0;
        uint64_t isa = n & 2 ? ALL_ISA : 0;
        decode_in(mode, isa, &les, &i);
        assert_int_equal(i.op, OP_load_far_ptr);
        decode_in(mode, isa, &lds, &i);
        assert_int_equal(i.op, OP_load_far_ptr);
    }
    assert_int_equal(decode_in(MODE_CODE32, ALL_ISA, &andn, &i), 5);
    assert_int_equal(i.op, OP_andn);
    assert_int_equal(decode_in(MODE_CODE32, 0, &andn, &i), -1);
    /* Maps that do not exist. */
    for (unsigned map = 0; map < 32; map++) {
        struct bytes t = andn;
        t.b[1] = (uint8_t)(0xe0 | map);
        if (map < 1 || map > 3)
            assert_false(is_valid(&t));
    }
}

/* ---- executed ---- */

static struct guest guest;

/* An instruction of each set: in ring 0 in the model "max" it is executed, and without the feature
 * it is #UD. */
static const struct {
    unsigned bit;
    uint8_t bytes[8];
    uint8_t n;
} of_sets[] = {
#define SET(name, ...)                                                                     \
    {                                                                                      \
        ISA_BIT_##name, { __VA_ARGS__ }, (uint8_t)sizeof((const uint8_t[]){ __VA_ARGS__ }) \
    }
    /* clang-format off */
    SET(FPU, 0xd9, 0xe8),                          /* fld1 */
    SET(FPU, 0x9b),                                /* fwait */
    SET(TSC, 0x0f, 0x31),                          /* rdtsc */
    SET(MSR, 0x0f, 0x32),                          /* rdmsr, of MSR 0x10 */
    SET(CX8, 0x0f, 0xc7, 0x0e),                    /* cmpxchg8b (%rsi) */
    SET(CX16, 0x48, 0x0f, 0xc7, 0x0e),             /* cmpxchg16b (%rsi) */
    SET(SEP, 0x0f, 0x34),                          /* sysenter: #GP, its segment is null */
    SET(CMOV, 0x0f, 0x44, 0xc1),                   /* cmove */
    SET(CMOV, 0xda, 0xc1),                         /* fcmovb */
    SET(CMOV, 0xdb, 0xc1),                         /* fcmovnb */
    SET(CMOV, 0xdb, 0xe9),                         /* fucomi */
    SET(CMOV, 0xdf, 0xf1),                         /* fcomip */
    SET(CLFLUSH, 0x0f, 0xae, 0x3e),                /* clflush (%rsi) */
    SET(MMX, 0x0f, 0xfc, 0xc1),                    /* paddb %mm1, %mm0 */
    SET(MMX, 0x0f, 0xe0, 0xc1),                    /* pavgb */
    SET(MMX, 0x0f, 0x38, 0x00, 0xc1),              /* pshufb */
    SET(MMX, 0x0f, 0x77),                          /* emms */
    SET(FXSR, 0x0f, 0xae, 0x06),                   /* fxsave (%rsi) */
    SET(SSE, 0x0f, 0x58, 0xc1),                    /* addps */
    SET(SSE, 0x0f, 0xe0, 0xc1),                    /* pavgb %mm1, %mm0 */
    SET(SSE, 0x0f, 0xae, 0xf8),                    /* sfence */
    SET(SSE, 0x0f, 0xae, 0x1e),                    /* stmxcsr (%rsi) */
    SET(SSE2, 0x66, 0x0f, 0x58, 0xc1),             /* addpd */
    SET(SSE2, 0x66, 0x0f, 0xfc, 0xc1),             /* paddb */
    SET(SSE2, 0x0f, 0xd4, 0xc1),                   /* paddq %mm1, %mm0 */
    SET(SSE2, 0x0f, 0xae, 0xf0),                   /* mfence */
    SET(SSE2, 0x0f, 0xc3, 0x06),                   /* movnti */
    SET(SSE3, 0xf2, 0x0f, 0xd0, 0xc1),             /* addsubps */
    SET(SSE3, 0xdb, 0x0e),                         /* fisttp (%rsi) */
    SET(SSSE3, 0x66, 0x0f, 0x38, 0x00, 0xc1),      /* pshufb */
    SET(SSE4_1, 0x66, 0x0f, 0x38, 0x40, 0xc1),     /* pmulld */
    SET(SSE4_2, 0x66, 0x0f, 0x38, 0x37, 0xc1),     /* pcmpgtq */
    SET(SSE4_2, 0xf2, 0x0f, 0x38, 0xf0, 0xc1),     /* crc32 */
    SET(SSE4_2, 0x66, 0x0f, 0x3a, 0x63, 0xc1, 0),  /* pcmpistri */
    SET(POPCNT, 0xf3, 0x0f, 0xb8, 0xc1),           /* popcnt */
    SET(SYSCALL, 0x0f, 0x05),                      /* syscall */
    SET(RDTSCP, 0x0f, 0x01, 0xf9),                 /* rdtscp */
    SET(LAHF_LM, 0x9f),                            /* lahf */
    SET(FSGSBASE, 0xf3, 0x0f, 0xae, 0xc0),         /* rdfsbase */
    SET(INVPCID, 0x66, 0x0f, 0x38, 0x82, 0x06),    /* invpcid (%rsi) */
    SET(MONITOR, 0x0f, 0x01, 0xc8),                /* monitor */
    SET(RDPID, 0xf3, 0x0f, 0xc7, 0xf8),            /* rdpid */
    SET(RDRAND, 0x0f, 0xc7, 0xf0),                 /* rdrand */
    SET(RDSEED, 0x0f, 0xc7, 0xf8),                 /* rdseed */
    SET(SMAP, 0x0f, 0x01, 0xca),                   /* clac */
    SET(BMI1, 0xc4, 0xe2, 0x68, 0xf2, 0xc1),       /* andn */
    SET(BMI2, 0xc4, 0xe2, 0x6b, 0xf5, 0xc1),       /* pdep */
    SET(ADX, 0x66, 0x0f, 0x38, 0xf6, 0xc1),        /* adcx */
    SET(MOVBE, 0x0f, 0x38, 0xf0, 0x06),            /* movbe (%rsi) */
    SET(AES, 0x66, 0x0f, 0x38, 0xdc, 0xc1),        /* aesenc */
    SET(PCLMUL, 0x66, 0x0f, 0x3a, 0x44, 0xc1, 0),  /* pclmulqdq */
    SET(SHA, 0x0f, 0x38, 0xc8, 0xc1),              /* sha1nexte */
    SET(XSAVE, 0x0f, 0xae, 0x26),                  /* xsave (%rsi) */
    SET(XSAVEOPT, 0x0f, 0xae, 0x36),               /* xsaveopt (%rsi) */
    SET(XSAVEC, 0x0f, 0xc7, 0x26),                 /* xsavec (%rsi) */
    SET(AVX, 0xc5, 0xf0, 0x58, 0xc1),              /* vaddps */
    SET(AVX2, 0xc5, 0xf5, 0xfc, 0xc1),             /* vpaddb of YMM */
    SET(F16C, 0xc4, 0xe2, 0x79, 0x13, 0xc1),       /* vcvtph2ps */
    SET(FMA, 0xc4, 0xe2, 0x71, 0x98, 0xc1),        /* vfmadd132ps */
    SET(VAES, 0xc4, 0xe2, 0x75, 0xdc, 0xc1),       /* vaesenc of YMM */
    SET(VPCLMUL, 0xc4, 0xe3, 0x75, 0x44, 0xc1, 0), /* vpclmulqdq of YMM */
/* clang-format on */
#undef SET
};

/* What one instruction raises; -1: nothing. All that can be switched on is. */
static int vector_of(const char *model, const uint8_t *bytes, size_t n)
{
    struct guest_frame f;
    guest_init_model(&guest, model);
    struct soft_cpu *c = guest_cpu(&guest);
    guest_load(&guest, bytes, n);
    c->cr4 |= (CR4_OSXSAVE | CR4_OSXMMEXCPT | CR4_FSGSBASE) & c->cr4_known;
    c->xcr0 = cpu_xsave_components(&c->features);
    c->efer |= EFER_SCE;
    c->lstar = HANDLERS + 16 * 255;
    c->r[RSI] = DATA;
    c->r[RCX] = c->r[RAX] == 0 && bytes[0] == 0x0f && bytes[1] == 0x32 ? 0x10 : 0;
    guest_run(&guest, 1);
    int vector = guest_fault(&guest, &f);
    guest_fini(&guest);
    return vector;
}

static void test_switched_off(void **state)
{
    struct cpu_offer offer;
    bool seen[ISA_COUNT] = { [ISA_BIT_LZCNT] = true, [ISA_BIT_XGETBV1] = true };
    char model[64];
    (void)state;
    soft_cpu_offer(&offer);
    for (unsigned n = 0; n < ARRAY_LEN(of_sets); n++) {
        const char *name = soft_isa_name(of_sets[n].bit);
        seen[of_sets[n].bit] = true;
        if (!cpu_has_named(&offer.max, name)) {
            print_message("skipped: the host has no %s\n", name);
            continue;
        }
        snprintf(model, sizeof model, "max,-%s", name);
        int with = vector_of("max", of_sets[n].bytes, of_sets[n].n);
        if (with == VEC_UD)
            fail_msg("row %u, of %s, is not executed", n, name);
        if (vector_of(model, of_sets[n].bytes, of_sets[n].n) != VEC_UD)
            fail_msg("row %u is executed without %s", n, name);
    }
    for (unsigned bit = 0; bit < ISA_COUNT; bit++)
        if (!seen[bit])
            fail_msg("no instruction of %s is tried", soft_isa_name(bit));
}

/* Prefixed scans are scans where they are not counts; POPCNT has nothing to fall back on. XGETBV
 * with ECX 1 is #GP. LAHF belongs to all processors outside of 64-bit mode. */
static void test_scans(void **state)
{
    static const struct {
        const char *model;
        uint8_t opcode;
        uint64_t ecx, result;
    } cases[] = {
        { "max", 0xbc, 0x50, 4 },        { "max", 0xbd, 0x50, 25 }, { "max,-bmi1", 0xbc, 0x50, 4 },
        { "max,-bmi1", 0xbc, 0, 99 },    { "max", 0xbc, 0, 32 },    { "max,-abm", 0xbd, 0x50, 6 },
        { "base,+bmi1", 0xbd, 0x50, 6 },
    };
    static const struct bytes lahf = { { 0x9f }, 1 };
    struct insn i;
    (void)state;
    for (unsigned n = 0; n < ARRAY_LEN(cases); n++) {
        const uint8_t scan[] = { 0xf3, 0x0f, cases[n].opcode, 0xc1 };
        guest_init_model(&guest, cases[n].model);
        guest_load(&guest, scan, sizeof scan);
        guest_cpu(&guest)->r[RAX] = 99;
        guest_cpu(&guest)->r[RCX] = cases[n].ecx;
        guest_run(&guest, 1);
        assert_int_equal(guest_cpu(&guest)->r[RAX], cases[n].result);
        guest_fini(&guest);
    }
    assert_int_equal(decode_in(MODE_CODE32, 0, &lahf, &i), 1);
}

/* Where an instruction leads to in real mode with a limit of CS; 2000 is the handler of #UD, 3000
 * that of #GP. */
static uint64_t real_mode(const uint8_t *bytes, size_t size, uint32_t limit)
{
    static const uint8_t ud[] = { 0, 0x20, 0, 0 }, gp[] = { 0, 0x30, 0, 0 };
    struct kvm_sregs s;
    guest_init_model(&guest, "max");
    vcpu_soft.reset(guest.vcpu);
    assert_true(vcpu_soft.get_sregs(guest.vcpu, &s, NULL));
    s.cs.base = s.cs.selector = 0;
    s.cs.limit = limit;
    s.idt.base = 0;
    s.idt.limit = 0x3ff;
    assert_true(vcpu_soft.set_sregs(guest.vcpu, &s, NULL));
    struct kvm_regs r = { .rip = CODE, .rsp = STACK, .rflags = FLAG_1 };
    assert_true(vcpu_soft.set_regs(guest.vcpu, &r, NULL));
    guest_put(&guest, CODE, bytes, size);
    guest_put(&guest, VEC_UD * 4, ud, sizeof ud);
    guest_put(&guest, VEC_GP * 4, gp, sizeof gp);
    guest_run(&guest, 1);
    uint64_t rip = guest_cpu(&guest)->rip;
    guest_fini(&guest);
    return rip;
}

/* The prefix is #UD; a far jump goes by the limit that CS has, however small or large. */
static void test_real_mode(void **state)
{
    static const uint8_t andn[] = { 0xc4, 0xe2, 0x68, 0xf2, 0xc1 };
    static const uint8_t jump[] = { 0xea, 0x00, 0x40, 0x00, 0x00 };
    static const uint8_t jump32[] = { 0x66, 0xea, 0x00, 0x40, 0x01, 0x00, 0x00, 0x00 };
    (void)state;
    assert_int_equal(real_mode(andn, sizeof andn, 0xffff), 0x2000);
    assert_int_equal(real_mode(jump, sizeof jump, 0xffff), 0x4000);
    assert_int_equal(real_mode(jump, sizeof jump, 0x3fff), 0x3000);
    assert_int_equal(real_mode(jump32, sizeof jump32, 0xffff), 0x3000);
    assert_int_equal(real_mode(jump32, sizeof jump32, 0x1ffff), 0x14000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_needs),        cmocka_unit_test(test_names),
        cmocka_unit_test(test_vex_fields),   cmocka_unit_test(test_les),
        cmocka_unit_test(test_switched_off), cmocka_unit_test(test_real_mode),

        cmocka_unit_test(test_scans),
    };
    soft_exec(NULL); /* the labels that the decoder puts into instructions */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
