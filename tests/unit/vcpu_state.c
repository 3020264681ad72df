/* The whole state of a vcpu goes from a guest that runs on the software CPU to another vcpu, there
 * and under KVM, comes back field by field, and the guest goes on to the same end. Under KVM this
 * skips without /dev/kvm. docs/kvm.md has the table of what does not survive. */
#include "cpu/state.h"
#include "kvm_fixture.h"

enum { RESULT = 0x9000, RESULT_SIZE = 0x40, MSR_LSTAR = 0xc0000082, DEADLINE = 0x6e0, TSC = 0x10 };

/* Numbers made of numbers, through all kinds of registers, and at last into memory. */
__asm__(".pushsection .rodata\n"
        "guest_begin:\n"
        "    mov $0x9e3779b97f4a7c15, %rax\n"
        "    mov $200, %ecx\n"
        "    fninit\n"
        "    fld1\n"
        "    fldpi\n"
        "1:  mov %rax, %rdx\n"
        "    shl $13, %rdx\n"
        "    xor %rdx, %rax\n"
        "    mov %rax, %rdx\n"
        "    shr $7, %rdx\n"
        "    xor %rdx, %rax\n"
        "    mov %rax, %rbx\n"
        "    shl $17, %rbx\n"
        "    xor %rbx, %rax\n"
        "    add %rax, %rsi\n"
        "    xor %rsi, %rdi\n"
        "    lea (%rdi,%rax), %rbp\n"
        "    add %rbp, %r8\n"
        "    adc %r8, %r15\n"
        "    movq %rax, %xmm0\n"
        "    paddq %xmm0, %xmm1\n"
        "    pxor %xmm1, %xmm15\n"
        "    fadd %st, %st(1)\n"
        "    dec %ecx\n"
        "    jnz 1b\n"
        "    mov $0x9000, %ebx\n"
        "    mov %rax, (%rbx)\n"
        "    mov %r15, 8(%rbx)\n"
        "    movdqu %xmm15, 16(%rbx)\n"
        "    fstpt 32(%rbx)\n"
        "    fstpt 48(%rbx)\n"
        "    hlt\n"
        "guest_end:\n"
        "    .popsection\n");
extern const uint8_t guest_begin[], guest_end[];

/* ---- fields ---- */

struct field {
    const char *name;
    size_t offset, size;
};

#define F(NAME)                                                                          \
    {                                                                                    \
#NAME, offsetof(struct vcpu_state, NAME), sizeof(((struct vcpu_state *)0)->NAME) \
    }
#define SEGMENT(NAME)                                                                    \
    F(sregs.NAME.base), F(sregs.NAME.limit), F(sregs.NAME.selector), F(sregs.NAME.type), \
        F(sregs.NAME.present), F(sregs.NAME.dpl), F(sregs.NAME.db), F(sregs.NAME.s),     \
        F(sregs.NAME.l), F(sregs.NAME.g), F(sregs.NAME.avl), F(sregs.NAME.unusable)

/* clang-format off */
static const struct field fields[] = {
    F(regs.rax), F(regs.rbx), F(regs.rcx), F(regs.rdx), F(regs.rsi), F(regs.rdi), F(regs.rsp),
    F(regs.rbp), F(regs.r8), F(regs.r9), F(regs.r10), F(regs.r11), F(regs.r12), F(regs.r13),
    F(regs.r14), F(regs.r15), F(regs.rip), F(regs.rflags),
    SEGMENT(cs), SEGMENT(ds), SEGMENT(es), SEGMENT(fs), SEGMENT(gs), SEGMENT(ss), SEGMENT(tr),
    SEGMENT(ldt), F(sregs.gdt.base), F(sregs.gdt.limit), F(sregs.idt.base), F(sregs.idt.limit),
    F(sregs.cr0), F(sregs.cr2), F(sregs.cr3), F(sregs.cr4), F(sregs.cr8), F(sregs.efer),
    F(fpu.fpr), F(fpu.fcw), F(fpu.fsw), F(fpu.ftwx), F(fpu.xmm), F(fpu.mxcsr),
    F(misc.events.exception.injected), F(misc.events.exception.nr),
    F(misc.events.exception.has_error_code), F(misc.events.exception.error_code),
    F(misc.events.interrupt.injected),
    F(misc.events.nmi.pending), F(misc.events.nmi.masked),
    F(misc.debugregs.db), F(misc.debugregs.dr6), F(misc.debugregs.dr7), F(misc.mp_state),
};
/* clang-format on */

static const struct vcpu_msr *find_msr(const struct vcpu_state *s, uint32_t index)
{
    for (size_t n = 0; n < s->msr_count; n++)
        if (s->msrs[n].index == index)
            return &s->msrs[n];
    return NULL;
}

/* Time goes on. What one of them does not have cannot be compared. */
static void assert_same_msrs(const struct vcpu_state *a, const struct vcpu_state *b)
{
    unsigned compared = 0;

    for (size_t n = 0; n < a->msr_count; n++) {
        const struct vcpu_msr *m = &a->msrs[n], *other = find_msr(b, m->index);

        if (!other || m->index == TSC)
            continue;
        if (m->value != other->value)
            fail_msg("MSR 0x%x: %#llx has become %#llx", m->index, (unsigned long long)m->value,
                     (unsigned long long)other->value);
        compared++;
    }
    assert_true(compared >= 9); /* SYSENTER's, STAR's, KERNEL_GS_BASE, TSC_AUX, PAT */
}

static void assert_same(const struct vcpu_state *a, const struct vcpu_state *b)
{
    for (size_t n = 0; n < ARRAY_LEN(fields); n++) {
        const struct field *f = &fields[n];

        if (memcmp((const uint8_t *)a + f->offset, (const uint8_t *)b + f->offset, f->size) != 0) {
            uint64_t was = 0, is = 0;
            size_t size = f->size < sizeof was ? f->size : sizeof was;

            memcpy(&was, (const uint8_t *)a + f->offset, size);
            memcpy(&is, (const uint8_t *)b + f->offset, size);
            fail_msg("%s: %#llx has become %#llx", f->name, (unsigned long long)was,
                     (unsigned long long)is);
        }
    }
    /* AMD's processors know one shadow, behind STI and behind MOV SS */
    assert_int_equal(!a->misc.events.interrupt.shadow, !b->misc.events.interrupt.shadow);
    assert_same_msrs(a, b);
}

/* ---- the guest ---- */

static void ok(bool well, const struct error *err)
{
    if (!well)
        fail_msg("%s", err->text);
}

static void begin(struct guest *g)
{
    struct kvm_sregs s;

    start_long(g, guest_begin, (size_t)(guest_end - guest_begin));
    assert_true(g->backend->get_sregs(g->vcpu, &s, NULL));
    s.cr2 = 0xdeadbeef;
    s.cr4 |= 0x600; /* OSFXSR, OSXMMEXCPT */
    s.efer |= 1;    /* SCE */
    s.fs.base = 0x7fff12345678;
    s.gs.base = 0xffff888000001000;
    s.gdt.base = 0x5000;
    s.gdt.limit = 0x37;
    s.idt.base = 0x6000;
    s.idt.limit = 0x1ff;
    assert_true(g->backend->set_sregs(g->vcpu, &s, NULL));
}

/* Into the middle of its work, with what the guest does not set itself. */
static void run_some(struct guest *g, uint64_t instructions)
{
    static const struct vcpu_msr msrs[] = {
        { 0x174, 0x10 },
        { 0x175, 0xfe010000 },
        { 0x176, 0x81800000 },
        { 0xc0000081, 0x0023001000000000 },
        { MSR_LSTAR, 0xffffffff81801000 },
        { 0xc0000083, 0xffffffff81802000 },
        { 0xc0000084, 0x47700 },
        { 0xc0000102, 0xffff888000002000 },
        { 0x277, 0x0007040600070406 },
    };
    struct error err = { 0 };

    for (size_t n = 0; n < ARRAY_LEN(msrs); n++)
        ok(g->backend->set_msr(g->vcpu, msrs[n].index, msrs[n].value, &err), &err);
    machine_lock_release(loop_lock(g->loop));
    assert_int_equal(g->backend->run(g->vcpu, instructions), VCPU_STOP_LIMIT);
    machine_lock_take(loop_lock(g->loop));
}

static void change_misc(struct guest *g)
{
    struct vcpu_misc m;
    struct error err = { 0 };

    ok(g->backend->get_misc(g->vcpu, &m, &err), &err);
    for (unsigned n = 0; n < 4; n++)
        m.debugregs.db[n] = 0x123000 + n * 8;
    m.debugregs.dr6 = 0xffff0ff2;
    m.debugregs.dr7 = 0x402 | 1 << 16; /* writes to 0x123000 */
    m.events.nmi.masked = 1;
    m.events.interrupt.shadow = KVM_X86_SHADOW_INT_MOV_SS;
    ok(g->backend->set_misc(g->vcpu, &m, &err), &err);
}

/* From one backend's guest to another's, which ends as one that was never taken elsewhere. */
static void move(const struct vcpu_backend *to)
{
    struct guest stays, from, into;
    struct vcpu_state before, after, again = { 0 };
    struct error err = { 0 };
    enum vcpu_stop stop;

    guest_init_on(&stays, &vcpu_soft, IRQCHIP_USER, "base");
    begin(&stays);
    assert_int_equal(run(&stays), VCPU_STOP_HALT);
    guest_init_on(&from, &vcpu_soft, IRQCHIP_USER, "base");
    begin(&from);
    run_some(&from, 1234);
    change_misc(&from);
    ok(vcpu_state_get(from.vcpu, &before, &err), &err);
    assert_true(before.regs.rcx > 0 && before.regs.rcx < 200);

    guest_init_on(&into, to, IRQCHIP_USER, "base");
    memcpy(into.ram.host, from.ram.host, RAM_SIZE);
    ok(vcpu_state_set(into.vcpu, &before, &err), &err);
    ok(vcpu_state_get(into.vcpu, &after, &err), &err);
    assert_same(&before, &after);
    stop = run(&into);
    if (stop == VCPU_STOP_ERROR && strstr(into.vcpu->failure.text, "cannot emulate")) {
        print_message(
            "this host's /dev/kvm interprets guests and knows no SSE: the rest is left\n");
        goto end;
    }
    assert_int_equal(stop, VCPU_STOP_HALT);
    assert_memory_equal(into.ram.host + RESULT, stays.ram.host + RESULT, RESULT_SIZE);

    /* and back, halted */
    vcpu_state_fini(&after);
    ok(vcpu_state_get(into.vcpu, &after, &err), &err);
    assert_int_equal(after.misc.mp_state.mp_state, KVM_MP_STATE_HALTED);
    ok(vcpu_state_set(from.vcpu, &after, &err), &err);
    ok(vcpu_state_get(from.vcpu, &again, &err), &err);
    assert_same(&after, &again);
    assert_int_equal(run(&from), VCPU_STOP_HALT);
end:
    vcpu_state_fini(&again);
    vcpu_state_fini(&after);
    vcpu_state_fini(&before);
    guest_fini(&into);
    guest_fini(&from);
    guest_fini(&stays);
}

static void test_soft_to_soft(void **state)
{
    move(&vcpu_soft);
}

static void test_soft_to_kvm(void **state)
{
    skip_without_kvm();
    move(&vcpu_kvm);
}

/* ---- extended state ---- */

/* SDM vol. 1 13.4 and 13.5.3, the area that is not compacted: MXCSR_MASK, what is reserved, and the
 * other half of each 80-bit register's 16 bytes are nobody's. */
enum { XSAVE_HEADER = 512, XSAVE_YMM = 576, XSAVE_YMM_SIZE = 256, X87_SSE_AVX = 7 };

static void assert_same_area(const struct vcpu_misc *a, const struct vcpu_misc *b)
{
    static const struct {
        const char *name;
        unsigned offset, size;
    } parts[] = {
        { "FCW, FSW", 0, 4 },       { "FTW", 4, 1 },
        { "MXCSR", 24, 4 },         { "ST0", 32, 10 },
        { "ST1", 48, 10 },          { "ST7", 144, 10 },
        { "XMM0 to 15", 160, 256 }, { "the upper halves of YMM", XSAVE_YMM, XSAVE_YMM_SIZE },
    };
    const uint8_t *x = (const uint8_t *)a->xsave.region, *y = (const uint8_t *)b->xsave.region;

    assert_true(a->has_xsave && b->has_xsave && a->has_avx && b->has_avx);
    assert_int_equal(a->xcrs.xcrs[0].value, b->xcrs.xcrs[0].value);
    assert_int_equal(x[XSAVE_HEADER] & X87_SSE_AVX, y[XSAVE_HEADER] & X87_SSE_AVX);
    for (size_t n = 0; n < ARRAY_LEN(parts); n++)
        if (memcmp(x + parts[n].offset, y + parts[n].offset, parts[n].size) != 0)
            fail_msg("%s differ", parts[n].name);
}

static void fill_area(struct vcpu_misc *m)
{
    uint8_t *area = (uint8_t *)m->xsave.region;

    m->xcrs.nr_xcrs = 1;
    m->xcrs.xcrs[0].value = X87_SSE_AVX;
    for (unsigned n = 160; n < 160 + 256; n++)
        area[n] = (uint8_t)(n * 7);
    for (unsigned n = 0; n < XSAVE_YMM_SIZE; n++)
        area[XSAVE_YMM + n] = (uint8_t)(n * 11 + 1);
    for (unsigned n = 0; n < 8; n++) /* 1.something, by 2 to the n */
        st_le(area + 32 + 16 * n, 8, 0x8000000000000000 | n),
            st_le(area + 40 + 16 * n, 2, 0x3fff + n);
    st_le(area, 2, 0x37f);
    area[4] = 0xff;
    st_le(area + 24, 4, 0x1f80);
    area[XSAVE_HEADER] |= X87_SSE_AVX;
}

/* False: this backend has no AVX on this host. */
static bool has_avx(const struct vcpu_backend *backend)
{
    struct cpu_offer offer;
    struct cpu_features set;
    struct error err = { 0 };

    if (backend->cpu_offer(&offer, &err) && cpu_model_parse("base,+avx", &offer, &set, &err))
        return true;
    print_message("skipped: %s\n", err.text);
    return false;
}

static void move_avx(const struct vcpu_backend *to)
{
    struct guest from, into;
    struct vcpu_misc given, there, back;
    struct error err = { 0 };

    if (!has_avx(to))
        skip();
    guest_init_on(&from, &vcpu_soft, IRQCHIP_USER, "base,+avx");
    guest_init_on(&into, to, IRQCHIP_USER, "base,+avx");
    begin(&from);
    begin(&into);
    ok(from.backend->get_misc(from.vcpu, &given, &err), &err);
    fill_area(&given);
    ok(from.backend->set_misc(from.vcpu, &given, &err), &err);
    ok(from.backend->get_misc(from.vcpu, &there, &err), &err);
    assert_same_area(&given, &there);
    ok(into.backend->set_misc(into.vcpu, &there, &err), &err);
    ok(into.backend->get_misc(into.vcpu, &there, &err), &err);
    assert_same_area(&given, &there);
    from.backend->reset(from.vcpu);
    ok(from.backend->set_misc(from.vcpu, &there, &err), &err);
    ok(from.backend->get_misc(from.vcpu, &back, &err), &err);
    assert_same_area(&given, &back);
    guest_fini(&into);
    guest_fini(&from);
}

static void test_avx_soft(void **state)
{
    move_avx(&vcpu_soft);
}

static void test_avx_kvm(void **state)
{
    skip_without_kvm();
    move_avx(&vcpu_kvm);
}

/* ---- events ---- */

/* An NMI that waits, an exception that is about to be delivered, waiting for start-up. */
static void events(const struct vcpu_backend *backend)
{
    struct guest g;
    struct vcpu_state s, seen;
    struct error err = { 0 };

    guest_init_on(&g, backend, IRQCHIP_USER, "base");
    begin(&g);
    g.port.pins->nmi(&g.port);
    ok(backend->inject(g.vcpu, &(struct vcpu_exception){ 13, true, 0x18 }, &err), &err);
    ok(vcpu_state_get(g.vcpu, &s, &err), &err);
    assert_int_equal(s.misc.events.nmi.pending, 1);
    assert_int_equal(s.misc.events.exception.nr, 13);
    assert_int_equal(s.misc.events.exception.error_code, 0x18);
    s.misc.mp_state.mp_state = KVM_MP_STATE_UNINITIALIZED;
    backend->reset(g.vcpu);
    ok(vcpu_state_set(g.vcpu, &s, &err), &err);
    ok(vcpu_state_get(g.vcpu, &seen, &err), &err);
    assert_same(&s, &seen);
    vcpu_state_fini(&seen);
    vcpu_state_fini(&s);
    guest_fini(&g);
}

static void test_events_soft(void **state)
{
    events(&vcpu_soft);
}

static void test_events_kvm(void **state)
{
    skip_without_kvm();
    events(&vcpu_kvm);
}

/* An interrupt wakes a cpu whose sleep came from elsewhere, if its flags let it. */
static void woken(const struct vcpu_backend *backend)
{
    struct guest g;
    struct vcpu_state s;
    struct error err = { 0 };

    guest_init_on(&g, backend, IRQCHIP_USER, "base");
    begin(&g);
    g.ram.host[CODE] = 0xf4;
    ok(vcpu_state_get(g.vcpu, &s, &err), &err);
    s.misc.mp_state.mp_state = KVM_MP_STATE_HALTED;
    ok(vcpu_state_set(g.vcpu, &s, &err), &err);
    g.port.pins->intr(&g.port, true);
    run(&g); /* the kick of the pin */
    assert_int_equal(run(&g), VCPU_STOP_HALT);
    assert_int_equal(g.acknowledged, 0);
    s.regs.rflags = 0x202;
    ok(vcpu_state_set(g.vcpu, &s, &err), &err);
    run(&g);
    assert_int_equal(g.acknowledged, 1);
    vcpu_state_fini(&s);
    guest_fini(&g);
}

static void test_woken_soft(void **state)
{
    woken(&vcpu_soft);
}

static void test_woken_kvm(void **state)
{
    skip_without_kvm();
    woken(&vcpu_kvm);
}

/* A state with an APIC does not fit where there is none; the kernel's takes it. */
static void test_lapic_in_kernel(void **state)
{
    static const struct {
        unsigned offset;
        uint32_t value;
    } regs[] = {
        { 0x80, 0x20 },     { 0xd0, 0x02000000 }, { 0xe0, 0xffffffff }, { 0xf0, 0x1ff },
        { 0x220, 0x8000 },  { 0x320, 0x100ec },   { 0x350, 0x10700 },   { 0x360, 0x400 },
        { 0x370, 0x100fe }, { 0x380, 0x12345 },   { 0x3e0, 0xb },
    };
    struct guest g, none;
    struct vcpu_state s, seen;
    struct error err = { 0 };

    skip_without_kvm();
    guest_init_on(&g, &vcpu_kvm, IRQCHIP_KERNEL, "base");
    begin(&g);
    ok(vcpu_state_get(g.vcpu, &s, &err), &err);
    assert_true(s.has_lapic);
    for (size_t n = 0; n < ARRAY_LEN(regs); n++)
        st_le32(s.lapic.regs + regs[n].offset, regs[n].value);
    vcpu_kvm.reset(g.vcpu);
    ok(vcpu_state_set(g.vcpu, &s, &err), &err);
    ok(vcpu_state_get(g.vcpu, &seen, &err), &err);
    for (size_t n = 0; n < ARRAY_LEN(regs); n++)
        if (ld_le32(seen.lapic.regs + regs[n].offset) != regs[n].value)
            fail_msg("APIC register 0x%x: 0x%x has become 0x%x", regs[n].offset, regs[n].value,
                     ld_le32(seen.lapic.regs + regs[n].offset));
    guest_init_on(&none, &vcpu_soft, IRQCHIP_USER, "base");
    assert_false(vcpu_state_set(none.vcpu, &s, &err));
    assert_non_null(strstr(err.text, "no local APIC"));
    guest_fini(&none);
    vcpu_state_fini(&seen);
    vcpu_state_fini(&s);
    guest_fini(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_avx_soft),        cmocka_unit_test(test_avx_kvm),
        cmocka_unit_test(test_soft_to_soft),    cmocka_unit_test(test_soft_to_kvm),
        cmocka_unit_test(test_events_soft),     cmocka_unit_test(test_events_kvm),
        cmocka_unit_test(test_lapic_in_kernel), cmocka_unit_test(test_woken_soft),
        cmocka_unit_test(test_woken_kvm),
    };

    signal(SIGALRM, on_alarm);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
