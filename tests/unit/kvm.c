/* The KVM backend: tiny guests, run through the backend alone (kvm_fixture.h). */
#include "kvm_fixture.h"

#include <cpuid.h>

enum { VMX = 1 << 5, SVM = 1 << 2 }; /* of leaves 1 and 0x80000001, ECX */

static void test_ports(void **state)
{
    static const uint8_t code[] = {
        0x66, 0xb8, 0x44, 0x33, 0x22, 0x11, /* mov $0x11223344, %eax */
        0xe6, 0x40,                         /* out %al, $0x40 */
        0xe7, 0x42,                         /* out %ax, $0x42 */
        0x66, 0xe7, 0x44,                   /* out %eax, $0x44 */
        0xe4, 0x41,                         /* in $0x41, %al */
        0x88, 0xc3,                         /* mov %al, %bl */
        0xe5, 0x42,                         /* in $0x42, %ax */
        0x89, 0xc1,                         /* mov %ax, %cx */
        0x66, 0xe5, 0x44,                   /* in $0x44, %eax */
        0xf4,                               /* hlt */
    };
    struct guest g;
    struct kvm_regs regs;
    struct vcpu_stats stats;

    skip_without_kvm();
    guest_init(&g, "host");
    g.answer = 0x99887766;
    start_real(&g, code, sizeof code);
    assert_int_equal(run(&g), VCPU_STOP_HALT);
    assert_int_equal(g.logged, 6);
    assert_true(g.saw_current_cpu);
    assert_null(g.machine.current_cpu);
    assert_access(&g, 0, true, 0, 0x44, 1);
    assert_access(&g, 1, true, 2, 0x3344, 2);
    assert_access(&g, 2, true, 4, 0x11223344, 4);
    assert_access(&g, 3, false, 1, 0, 1);
    assert_access(&g, 4, false, 2, 0, 2);
    assert_access(&g, 5, false, 4, 0, 4);
    assert_true(vcpu_kvm.get_regs(g.vcpu, &regs, NULL));
    assert_int_equal(regs.rbx & 0xff, 0x66);
    assert_int_equal(regs.rcx & 0xffff, 0x7766);
    assert_int_equal(regs.rax & 0xffffffff, 0x99887766);
    vcpu_kvm.get_stats(g.vcpu, &stats);
    assert_int_equal(stats.exits_pio, 6);
    assert_int_equal(stats.exits_halt, 1);
    guest_fini(&g);
}

static void test_string_ports(void **state)
{
    static const uint8_t code[] = {
        0xbe, 0x00, 0x20, /* mov $0x2000, %si */
        0xb9, 0x05, 0x00, /* mov $5, %cx */
        0xba, 0x40, 0x00, /* mov $0x40, %dx */
        0xf3, 0x6e,       /* rep outsb */
        0xbf, 0x00, 0x30, /* mov $0x3000, %di */
        0xb9, 0x03, 0x00, /* mov $3, %cx */
        0xf3, 0x6d,       /* rep insw */
        0xf4,             /* hlt */
    };
    struct guest g;

    skip_without_kvm();
    guest_init(&g, "host");
    g.answer = 0xabcd;
    memcpy(g.ram.host + 0x2000, "Moon!", 5);
    start_real(&g, code, sizeof code);
    assert_int_equal(run(&g), VCPU_STOP_HALT);
    assert_int_equal(g.logged, 8);
    for (unsigned i = 0; i < 5; i++)
        assert_access(&g, i, true, 0, "Moon!"[i], 1);
    for (unsigned i = 5; i < 8; i++)
        assert_access(&g, i, false, 0, 0, 2);
    assert_memory_equal(g.ram.host + 0x3000, "\xcd\xab\xcd\xab\xcd\xab\0\0", 8);
    guest_fini(&g);
}

static void test_device_memory(void **state)
{
    static const uint8_t code[] = {
        0xbb, 0x00, 0x00, 0x30, 0x00,                /* mov $0x300000, %ebx */
        0x48, 0xb8, 8,    7,    6,    5, 4, 3, 2, 1, /* mov $0x0102030405060708, %rax */
        0x88, 0x43, 0x01,                            /* mov %al, 1(%rbx) */
        0x66, 0x89, 0x43, 0x02,                      /* mov %ax, 2(%rbx) */
        0x89, 0x43, 0x04,                            /* mov %eax, 4(%rbx) */
        0x48, 0x89, 0x43, 0x08,                      /* mov %rax, 8(%rbx) */
        0x48, 0x8b, 0x4b, 0x10,                      /* mov 16(%rbx), %rcx */
        0x0f, 0xb6, 0x53, 0x11,                      /* movzbl 17(%rbx), %edx */
        0xf4,                                        /* hlt */
    };
    struct guest g;
    struct kvm_regs regs;

    skip_without_kvm();
    guest_init(&g, "host");
    g.answer = 0x8877665544332211;
    start_long(&g, code, sizeof code);
    assert_int_equal(run(&g), VCPU_STOP_HALT);
    assert_int_equal(g.logged, 6);
    assert_access(&g, 0, true, 1, 0x08, 1);
    assert_access(&g, 1, true, 2, 0x0708, 2);
    assert_access(&g, 2, true, 4, 0x05060708, 4);
    assert_access(&g, 3, true, 8, 0x0102030405060708, 8);
    assert_access(&g, 4, false, 16, 0, 8);
    assert_access(&g, 5, false, 17, 0, 1);
    assert_true(vcpu_kvm.get_regs(g.vcpu, &regs, NULL));
    assert_true(regs.rcx == 0x8877665544332211);
    assert_int_equal(regs.rdx, 0x11);
    guest_fini(&g);
}

static void assert_bytes(const struct guest *g, unsigned *n, bool write, uint64_t offset,
                         uint64_t value, unsigned size)
{
    for (unsigned done = 0; done < size; (*n)++) {
        const struct access *a = &g->log[*n];

        assert_true(*n < g->logged);
        assert_int_equal(a->write, write);
        assert_int_equal(a->offset, offset + done);
        assert_true(a->size && a->size <= size - done);
        if (write)
            assert_int_equal(a->value, value >> 8 * done & bits_mask(8 * a->size));
        done += a->size;
    }
}

/* Out of a device's page, and 16 bytes: the kernel brings them in pieces, also of 3 bytes. */
static void test_odd_device_memory(void **state)
{
    static const uint8_t code[] = {
        0xbb, 0x00, 0x00, 0x30, 0x00,                   /* mov $0x300000, %ebx */
        0xb8, 0x44, 0x33, 0x22, 0x11,                   /* mov $0x11223344, %eax */
        0x89, 0x83, 0xfd, 0x0f, 0x00, 0x00,             /* mov %eax, 0xffd(%rbx) */
        0x8b, 0x8b, 0xfd, 0x0f, 0x00, 0x00,             /* mov 0xffd(%rbx), %ecx */
        0xf3, 0x0f, 0x6f, 0x83, 0x00, 0x00, 0xe0, 0xff, /* movdqu -0x200000(%rbx), %xmm0 */
        0xf3, 0x0f, 0x7f, 0x43, 0x20,                   /* movdqu %xmm0, 0x20(%rbx) */
        0xf4,                                           /* hlt */
    };
    struct guest g;
    struct kvm_regs regs;
    struct kvm_sregs sregs;
    unsigned n = 0;

    skip_without_kvm();
    guest_init(&g, "host");
    g.answer = 0x8877665544332211;
    memcpy(g.rom.host, "0123456789abcdef", 16);
    start_long(&g, code, sizeof code);
    assert_true(vcpu_kvm.get_sregs(g.vcpu, &sregs, NULL));
    sregs.cr4 |= 0x600; /* OSFXSR, OSXMMEXCPT */
    assert_true(vcpu_kvm.set_sregs(g.vcpu, &sregs, NULL));
    region_set_addr(&g.rom, DEVICE_BASE - 0x200000);
    enum vcpu_stop stop = run(&g);
    assert_bytes(&g, &n, true, 0xffd, 0x223344, 3);
    assert_bytes(&g, &n, false, 0xffd, 0, 3);
    assert_true(vcpu_kvm.get_regs(g.vcpu, &regs, NULL));
    assert_int_equal(regs.rcx >> 24, 0xff); /* behind the page is nothing */
    if (stop == VCPU_STOP_ERROR) {
        print_message("this host's /dev/kvm interprets guests and knows no SSE\n");
    } else {
        assert_int_equal(stop, VCPU_STOP_HALT);
        assert_bytes(&g, &n, true, 0x20, 0x3736353433323130, 8);
        assert_bytes(&g, &n, true, 0x28, 0x6665646362613938, 8);
    }
    guest_fini(&g);
}

/* ROM is read without an exit; a write goes to its ops and changes nothing. */
static void test_read_only(void **state)
{
    static const uint8_t code[] = {
        0xbb, 0x00, 0x00, 0x20, 0x00,    /* mov $0x200000, %ebx */
        0x8b, 0x03,                      /* mov (%rbx), %eax */
        0xc7, 0x03, 1,    0,    0,    0, /* movl $1, (%rbx) */
        0x8b, 0x0b,                      /* mov (%rbx), %ecx */
        0xf4,                            /* hlt */
    };
    struct guest g;
    struct kvm_regs regs;

    skip_without_kvm();
    guest_init(&g, "host");
    memcpy(g.rom.host, "\x78\x56\x34\x12", 4);
    start_long(&g, code, sizeof code);
    assert_int_equal(run(&g), VCPU_STOP_HALT);
    assert_int_equal(g.logged, 1);
    assert_access(&g, 0, true, 0, 1, 4);
    assert_true(vcpu_kvm.get_regs(g.vcpu, &regs, NULL));
    assert_int_equal(regs.rax, 0x12345678);
    assert_int_equal(regs.rcx, 0x12345678);
    guest_fini(&g);
}

static void test_triple_fault(void **state)
{
    static const uint8_t code[] = { 0x0f, 0x0b }; /* ud2, with an empty interrupt table */
    struct guest g;
    struct kvm_sregs sregs;

    skip_without_kvm();
    guest_init(&g, "host");
    start_long(&g, code, sizeof code);
    assert_true(vcpu_kvm.get_sregs(g.vcpu, &sregs, NULL));
    sregs.idt.limit = 0;
    assert_true(vcpu_kvm.set_sregs(g.vcpu, &sregs, NULL));
    assert_int_equal(run(&g), VCPU_STOP_SHUTDOWN);
    guest_fini(&g);
}

static bool has_vmx_or_svm(void)
{
    unsigned eax, ebx, ecx, edx;

    return (__get_cpuid(1, &eax, &ebx, &ecx, &edx) && ecx & VMX) ||
           (__get_cpuid(0x80000001, &eax, &ebx, &ecx, &edx) && ecx & SVM);
}

/* In real mode, again and again: on kvm-amd the second one went on for ever. A kernel that
 * interprets real mode does not look at the limit of the interrupt table. */
static void test_triple_fault_in_real_mode(void **state)
{
    static const uint8_t code[] = {
        0xe6, 0x40,                   /* out %al, $0x40 */
        0x0f, 0x01, 0x1e, 0x00, 0x20, /* lidt 0x2000: empty */
        0xcc,                         /* int3 */
    };
    struct guest g;

    skip_without_kvm();
    if (!has_vmx_or_svm()) {
        print_message("skipped: behind /dev/kvm is no processor with vmx or svm\n");
        skip();
    }
    guest_init(&g, "host");
    for (unsigned n = 1; n <= 3; n++) {
        start_real(&g, code, sizeof code);
        assert_int_equal(run(&g), VCPU_STOP_SHUTDOWN);
        assert_int_equal(g.logged, n);
    }
    guest_fini(&g);
}

/* STI; HLT: asleep until the pin rises, then the handler, then the instruction after HLT. */
static void test_interrupt(void **state)
{
    static const uint8_t code[] = {
        0xfb,       /* sti */
        0xf4,       /* hlt */
        0xe6, 0x40, /* out %al, $0x40 */
        0xfa,       /* cli */
        0xf4,       /* hlt */
    };
    static const uint8_t handler[] = {
        0xb0, 0x5a, /* mov $0x5a, %al */
        0xe6, 0x41, /* out %al, $0x41 */
        0xcf,       /* iret */
    };
    static const uint8_t vector[] = { 0x00, 0x20, 0, 0 };
    struct guest g;
    struct vcpu_stats stats;
    enum vcpu_stop stop;

    skip_without_kvm();
    guest_init(&g, "host");
    memcpy(g.ram.host + 0x2000, handler, sizeof handler);
    memcpy(g.ram.host + 0x21 * 4, vector, sizeof vector);
    start_real(&g, code, sizeof code);
    assert_int_equal(run(&g), VCPU_STOP_HALT);
    assert_int_equal(run(&g), VCPU_STOP_HALT); /* still */
    assert_int_equal(g.logged, 0);
    g.port.pins->intr(&g.port, true);
    do
        stop = run(&g);
    while (stop == VCPU_STOP_KICK);
    assert_int_equal(stop, VCPU_STOP_HALT);
    assert_int_equal(g.acknowledged, 1);
    assert_int_equal(g.logged, 2);
    assert_access(&g, 0, true, 1, 0x5a, 1);
    assert_access(&g, 1, true, 0, 0x5a, 1);
    vcpu_kvm.get_stats(g.vcpu, &stats);
    assert_int_equal(stats.interrupts, 1);
    /* with interrupts off the pin wakes nobody */
    g.port.pins->intr(&g.port, true);
    assert_int_equal(run(&g), VCPU_STOP_KICK);
    assert_int_equal(run(&g), VCPU_STOP_HALT);
    assert_int_equal(g.acknowledged, 1);
    guest_fini(&g);
}

/* An interrupt that waits for STI uses the interrupt window. */
static void test_interrupt_window(void **state)
{
    static const uint8_t code[] = {
        0xe6, 0x40,       /* out %al, $0x40 */
        0xb9, 0xff, 0xff, /* mov $0xffff, %cx */
        0xfb,             /* sti */
        0xe2, 0xfe,       /* 1: loop 1b */
        0xfa,             /* cli */
        0xf4,             /* hlt */
    };
    static const uint8_t handler[] = { 0xe6, 0x41, 0xcf }; /* out %al, $0x41; iret */
    static const uint8_t vector[] = { 0x00, 0x20, 0, 0 };
    struct guest g;
    enum vcpu_stop stop;

    skip_without_kvm();
    guest_init(&g, "host");
    memcpy(g.ram.host + 0x2000, handler, sizeof handler);
    memcpy(g.ram.host + 0x21 * 4, vector, sizeof vector);
    start_real(&g, code, sizeof code);
    g.port.pins->intr(&g.port, true);
    do
        stop = run(&g);
    while (stop == VCPU_STOP_KICK);
    assert_int_equal(stop, VCPU_STOP_HALT);
    assert_int_equal(g.acknowledged, 1);
    assert_int_equal(g.logged, 2);
    assert_access(&g, 0, true, 0, 0, 1);
    assert_access(&g, 1, true, 1, 0, 1);
    guest_fini(&g);
}

static void *kick_soon(void *opaque)
{
    struct guest *g = opaque;

    usleep(50000);
    vcpu_kvm.kick(g->vcpu);
    return NULL;
}

static void test_kick(void **state)
{
    static const uint8_t code[] = { 0xeb, 0xfe }; /* 1: jmp 1b */
    struct guest g;
    struct vcpu_stats stats;
    pthread_t thread;

    skip_without_kvm();
    guest_init(&g, "host");
    start_real(&g, code, sizeof code);
    vcpu_kvm.kick(g.vcpu); /* before it runs */
    assert_int_equal(run(&g), VCPU_STOP_KICK);
    for (unsigned i = 0; i < 5; i++) {
        pthread_create(&thread, NULL, kick_soon, &g);
        assert_int_equal(run(&g), VCPU_STOP_KICK);
        pthread_join(thread, NULL);
    }
    vcpu_kvm.get_stats(g.vcpu, &stats);
    assert_int_equal(stats.exits_kick, 6);
    guest_fini(&g);
}

/* ROM goes away and comes back elsewhere; the guest sees the new place only. */
static void test_moved_slot(void **state)
{
    static const uint8_t code[] = {
        0x8b, 0x03, /* mov (%rbx), %eax */
        0x8b, 0x0e, /* mov (%rsi), %ecx */
        0xf4,       /* hlt */
    };
    struct guest g;
    struct kvm_regs regs = { .rip = CODE, .rflags = 2, .rbx = ROM_BASE, .rsi = 0x280000 };

    skip_without_kvm();
    guest_init(&g, "host");
    memcpy(g.rom.host, "\x78\x56\x34\x12", 4);
    start_long(&g, code, sizeof code);
    assert_true(vcpu_kvm.set_regs(g.vcpu, &regs, NULL));
    assert_int_equal(run(&g), VCPU_STOP_HALT);
    region_set_addr(&g.rom, regs.rsi);
    assert_true(vcpu_kvm.set_regs(g.vcpu, &regs, NULL));
    assert_int_equal(run(&g), VCPU_STOP_HALT);
    assert_true(vcpu_kvm.get_regs(g.vcpu, &regs, NULL));
    assert_int_equal(regs.rax, 0xffffffff);
    assert_int_equal(regs.rcx, 0x12345678);
    assert_int_equal(g.logged, 0);
    guest_fini(&g);
}

/* The loop thread moves memory while the guest runs, many times: neither loses the other. */
static void *move_often(void *opaque)
{
    struct guest *g = opaque;

    for (unsigned i = 0; i < 50; i++) {
        machine_lock_take(loop_lock(g->loop));
        region_set_addr(&g->rom, i & 1 ? ROM_BASE : 0x280000);
        machine_lock_release(loop_lock(g->loop));
    }
    vcpu_kvm.kick(g->vcpu);
    return NULL;
}

static void test_moved_while_running(void **state)
{
    static const uint8_t code[] = { 0xff, 0xc0, 0xeb, 0xfc }; /* 1: inc %eax; jmp 1b */
    struct guest g;
    struct kvm_regs regs;
    pthread_t thread;

    skip_without_kvm();
    guest_init(&g, "host");
    start_long(&g, code, sizeof code);
    pthread_create(&thread, NULL, move_often, &g);
    assert_int_equal(run(&g), VCPU_STOP_KICK);
    machine_lock_release(loop_lock(g.loop));
    pthread_join(thread, NULL);
    machine_lock_take(loop_lock(g.loop));
    assert_true(vcpu_kvm.get_regs(g.vcpu, &regs, NULL));
    assert_in_range(regs.rip, CODE, CODE + 2);
    guest_fini(&g);
}

static void test_state(void **state)
{
    struct guest g;
    struct error err = { 0 };
    struct kvm_regs regs = { .rax = 0x1122334455667788, .rip = 0x1234, .rflags = 0x246 }, seen;
    struct kvm_sregs sregs;
    uint64_t value, gpa;

    skip_without_kvm();
    guest_init(&g, "base");
    assert_true(vcpu_kvm.get_sregs(g.vcpu, &sregs, NULL));
    assert_true(sregs.cs.base == 0xffff0000);
    assert_true(vcpu_kvm.get_regs(g.vcpu, &seen, NULL));
    assert_int_equal(seen.rip, 0xfff0);
    assert_int_equal(seen.rflags, 2);
    assert_true(vcpu_kvm.set_regs(g.vcpu, &regs, NULL));
    assert_true(vcpu_kvm.get_regs(g.vcpu, &seen, NULL));
    assert_true(seen.rax == regs.rax && seen.rip == regs.rip);
    assert_true(vcpu_kvm.set_msr(g.vcpu, 0xc0000082, 0xffffffff81000000, &err));
    assert_true(vcpu_kvm.get_msr(g.vcpu, 0xc0000082, &value, &err));
    assert_true(value == 0xffffffff81000000);
    assert_false(vcpu_kvm.get_msr(g.vcpu, 0xdeadbeef, &value, &err));
    assert_non_null(strstr(err.text, "0xdeadbeef"));
    start_long(&g, "\xf4", 1);
    assert_true(vcpu_kvm.translate(g.vcpu, 0x12345, &gpa));
    assert_int_equal(gpa, 0x12345);
    assert_false(vcpu_kvm.translate(g.vcpu, 1ULL << 40, &gpa));
    vcpu_kvm.reset(g.vcpu);
    assert_true(vcpu_kvm.get_regs(g.vcpu, &seen, NULL));
    assert_int_equal(seen.rip, 0xfff0);
    assert_int_equal(seen.rax, 0);
    assert_true(vcpu_kvm.get_msr(g.vcpu, 0xc0000082, &value, &err));
    assert_int_equal(value, 0);
    value = g.port.pins->tsc(&g.port);
    assert_true(g.port.pins->tsc(&g.port) >= value);
    assert_true(g.port.pins->tsc_deadline_ns(&g.port, value) == 1000);
    assert_true(g.port.pins->tsc_deadline_ns(&g.port, value + (1ULL << 40)) > 1000);
    guest_fini(&g);
}

/* What the list of MSRs names can be read and set back; kvmclock's is there because it is offered.
 */
static void test_msrs(void **state)
{
    struct guest g;
    struct error err = { 0 };
    uint32_t list[512];
    size_t count;
    bool has_lstar = false, has_clock = false;

    skip_without_kvm();
    guest_init(&g, "base");
    count = vcpu_kvm.msrs(g.vcpu, list, ARRAY_LEN(list));
    assert_in_range(count, 10, ARRAY_LEN(list));
    for (size_t n = 0; n < count; n++) {
        uint64_t value;

        assert_true(vcpu_kvm.get_msr(g.vcpu, list[n], &value, &err));
        if (!vcpu_kvm.set_msr(g.vcpu, list[n], value, &err))
            fail_msg("%s", err.text);
        has_lstar = has_lstar || list[n] == 0xc0000082;
        has_clock = has_clock || list[n] == 0x4b564d01;
    }
    assert_true(has_lstar && has_clock);
    guest_fini(&g);
}

enum { CPUID_LEAVES = 10 };

/* On a host that supports everything. What a guest then sees is the kernel's affair: a software
 * /dev/kvm adds bits. */
static struct kvm_cpuid2 *everything(void)
{
    static const uint32_t leaves[CPUID_LEAVES][2] = {
        { 0, 0 },   { 1, 0 },   { 7, 0 },          { 0xd, 0 },        { 0xd, 1 },
        { 0xd, 2 }, { 0xd, 9 }, { 0x40000001, 0 }, { 0x80000001, 0 }, { 0x8000001e, 0 }
    };
    struct kvm_cpuid2 *all = calloc(1, sizeof *all + CPUID_LEAVES * sizeof all->entries[0]);

    all->nent = CPUID_LEAVES;
    for (unsigned i = 0; i < CPUID_LEAVES; i++)
        all->entries[i] = (struct kvm_cpuid_entry2){ .function = leaves[i][0],
                                                     .index = leaves[i][1],
                                                     .eax = UINT32_MAX,
                                                     .ebx = UINT32_MAX,
                                                     .ecx = UINT32_MAX,
                                                     .edx = UINT32_MAX };
    all->entries[5].eax = 0x100; /* the size and place of AVX's state, and of PKRU's */
    all->entries[5].ebx = 0x240;
    all->entries[6].eax = 8;
    all->entries[6].ebx = 0xa80;
    return all;
}

static struct kvm_cpuid2 *shown(const char *model, uint32_t apic_id)
{
    struct kvm_cpuid2 *all = everything(), *c;
    struct cpu_offer offer;
    struct cpu_features set;
    struct error err = { 0 };

    kvm_cpuid_offer(all, false, &offer);
    if (!cpu_model_parse(model, &offer, &set, &err))
        fail_msg("%s", err.text);
    c = kvm_cpuid_make(all, &set, apic_id);
    assert_int_equal(c->nent, CPUID_LEAVES);
    free(all);
    return c;
}

static void test_cpuid(void **state)
{
    struct kvm_cpuid2 *base = shown("base", 0), *host = shown("host", 5);

    assert_true(base->entries[0].eax == UINT32_MAX);
    /* x2APIC, TSC deadline, OSXSAVE */
    assert_true(host->entries[1].ecx == (UINT32_MAX & ~(1u << 21 | 1u << 24 | 1u << 27)));
    assert_true(base->entries[1].ecx == 0x80982201);     /* SSE3 to SSE4.2, CX16, POPCNT */
    assert_int_equal(host->entries[1].ebx >> 16, 0x501); /* the APIC id, one cpu */
    assert_int_equal(base->entries[1].ebx >> 16, 0x001);
    assert_true(host->entries[2].ebx == UINT32_MAX);
    assert_int_equal(base->entries[2].ebx, 2);         /* TSC_ADJUST */
    assert_int_equal(base->entries[2].eax, 0);         /* no further subleaves */
    assert_int_equal(host->entries[7].eax, 0x100002b); /* kvmclock, no delays, stolen time */
    assert_int_equal(base->entries[7].eax, 0x100002b);
    assert_int_equal(host->entries[7].edx, 0);
    assert_int_equal(base->entries[8].edx & 0x0183f3ff, 0x0183f3fd); /* copies: all but VME */
    assert_int_equal(host->entries[9].eax, 5); /* AMD's topology: the APIC id, */
    assert_int_equal(host->entries[9].ebx, 5); /* a core of one thread, one node */
    assert_int_equal(host->entries[9].ecx, 0);
    free(host);
    free(base);
    host = shown("host,-kvmclock", 0);
    assert_int_equal(host->entries[7].eax & (1 << 0 | 1 << 3 | 1 << 24), 0);
    assert_int_equal(host->entries[7].eax & (1 << 1 | 1 << 5), 1 << 1 | 1 << 5);
    free(host);
}

/* Leaf 0xd tells of the states of what is offered, and how much they take. */
static void test_cpuid_xsave(void **state)
{
    static const struct {
        const char *model;
        uint32_t states, size, avx_size;
    } rows[] = {
        { "host,-amx-tile,-mpx,-avx512f", 0x207, 0xa88, 0x100 },
        { "host,-amx-tile,-mpx,-avx512f,-pku", 7, 0x340, 0x100 },
        { "host,-amx-tile,-mpx,-avx,-pku", 3, 576, 0 },
        { "host,-xsave", 0, 0, 0 },
        { "base", 0, 0, 0 },
    };

    for (unsigned n = 0; n < ARRAY_LEN(rows); n++) {
        struct kvm_cpuid2 *c = shown(rows[n].model, 0);

        assert_int_equal(c->entries[3].eax, rows[n].states);
        assert_int_equal(c->entries[3].ecx, rows[n].size);
        assert_int_equal(c->entries[5].eax, rows[n].avx_size);
        free(c);
    }
}

static uint64_t host_calls(struct guest *g)
{
    struct vcpu_stats stats;

    vcpu_kvm.get_stats(g->vcpu, &stats);
    return stats.host_calls;
}

/* Plain accesses need no call of the host's kernel but to enter the guest; registers that somebody
 * asks for cost one at first, and then come with the exit; those that are set go in with the entry.
 */
static void test_lazy_registers(void **state)
{
    static const uint8_t code[] = {
        0xb9, 0x40, 0x00, /* mov $64, %cx */
        0xe6, 0x40,       /* 1: out %al, $0x40 */
        0xe2, 0xfc,       /* loop 1b */
        0xf4,             /* hlt */
        0x41,             /* inc %cx */
        0xf4,             /* hlt */
        0xeb, 0xfc,       /* jmp to the increment */
    };
    struct guest g;
    struct kvm_regs regs;
    uint64_t calls;

    skip_without_kvm();
    guest_init(&g, "host");
    start_real(&g, code, sizeof code);
    calls = host_calls(&g);
    assert_int_equal(run(&g), VCPU_STOP_HALT);
    assert_int_equal(g.logged, 64);
    if (!(g.accel->sync_regs & KVM_SYNC_X86_REGS)) {
        print_message("skipped: this kernel keeps no registers in the shared area\n");
        guest_fini(&g);
        return;
    }
    assert_int_equal(host_calls(&g), calls);
    assert_true(vcpu_kvm.get_regs(g.vcpu, &regs, NULL));
    assert_int_equal(host_calls(&g), calls + 1);
    for (unsigned n = 1; n <= 5; n++) {
        regs.rip = CODE + 8;
        assert_true(vcpu_kvm.set_regs(g.vcpu, &regs, NULL));
        assert_int_equal(run(&g), VCPU_STOP_HALT);
        assert_true(vcpu_kvm.get_regs(g.vcpu, &regs, NULL));
        assert_int_equal(regs.rcx & 0xffff, n);
        assert_int_equal(vcpu_kvm.get_reg(g.vcpu, 2), regs.rcx);
    }
    assert_int_equal(host_calls(&g), calls + 1);
    guest_fini(&g);
}

/* A second cpu waits for its start-up message, and starts where that says; INIT sends it back. */
static void test_second_cpu(void **state)
{
    static const uint8_t code[] = {
        0xb0, 0x77, /* mov $0x77, %al */
        0xe6, 0x41, /* out %al, $0x41 */
        0xf4,       /* hlt */
    };
    struct guest g;
    struct error err = { 0 };
    struct cpu_port port = { .index = 1, .apic_id = 1 };
    struct kvm_sregs sregs;

    skip_without_kvm();
    guest_init(&g, "host");
    struct vcpu *first = g.vcpu, *second = vcpu_kvm.vcpu_new(g.accel, &port, "host", &err);
    if (!second)
        fail_msg("%s", err.text);
    memcpy(g.ram.host + 0x5000, code, sizeof code);
    g.vcpu = second;
    assert_int_equal(run(&g), VCPU_STOP_WAIT_SIPI);
    for (unsigned n = 1; n <= 2; n++) {
        port.pins->startup(&port, 5);
        assert_int_equal(run(&g), VCPU_STOP_KICK);
        assert_int_equal(run(&g), VCPU_STOP_HALT);
        assert_int_equal(g.logged, n);
        assert_access(&g, n - 1, true, 1, 0x77, 1);
        assert_true(vcpu_kvm.get_sregs(second, &sregs, NULL));
        assert_int_equal(sregs.cs.selector, 0x500);
        port.pins->startup(&port, 6); /* it runs: ignored */
        assert_int_equal(run(&g), VCPU_STOP_KICK);
        assert_int_equal(run(&g), VCPU_STOP_HALT);
        port.pins->init(&port);
        assert_int_equal(run(&g), VCPU_STOP_KICK);
        assert_int_equal(run(&g), VCPU_STOP_WAIT_SIPI);
    }
    vcpu_kvm.vcpu_free(second);
    g.vcpu = first;
    guest_fini(&g);
}

/* Where traps are HLT a page that programs may execute gets none: refused when that is known, else
 * the hook waits until the page is the kernel's alone. */
static void test_traps_in_programs(void **state)
{
    const struct vcpu_range at = { CODE, CODE };
    const struct vcpu_watch watch = { .exec = { &at, 1 } }, none = { .events = 0 };
    struct guest g;
    struct error err = { 0 };

    skip_without_kvm();
    guest_init(&g, "base");
    start_long(&g, "\xf4", 1);
    g.accel->probes[KVM_TRIAL_EXEC] = g.accel->probes[KVM_TRIAL_INT3] = KVM_PROBE_FAILS;
    g.accel->probes[KVM_TRIAL_HLT] = g.accel->probes[KVM_TRIAL_TAP] = KVM_PROBE_WORKS;
    uint64_t *tables = (uint64_t *)(g.ram.host + TABLES);
    assert_true(vcpu_kvm.fits_always(g.vcpu, VCPU_EVENT_EXEC, CODE, CODE));
    assert_true(vcpu_kvm.fits(g.vcpu, &watch, &err));
    tables[0] |= 4; /* for all, if the lower levels say so, too */
    tables[512] |= 4;
    assert_false(kvm_is_for_programs((struct kvm_vcpu *)g.vcpu, CODE));
    tables[1024] |= 4;
    assert_true(kvm_is_for_programs((struct kvm_vcpu *)g.vcpu, CODE));
    assert_false(kvm_is_for_programs((struct kvm_vcpu *)g.vcpu, 0x200000)); /* the next one */
    assert_false(kvm_is_for_programs((struct kvm_vcpu *)g.vcpu, 1ULL << 39));
    assert_false(vcpu_kvm.fits_always(g.vcpu, VCPU_EVENT_EXEC, CODE, CODE));
    assert_false(vcpu_kvm.fits(g.vcpu, &watch, &err));
    assert_non_null(strstr(err.text, "0x1000 is in a page of programs"));
    vcpu_kvm.watch(g.vcpu, &watch);
    assert_int_equal(g.accel->pages.count, 0);
    assert_string_equal(vcpu_kvm.means(g.vcpu, VCPU_EVENT_EXEC, CODE, CODE), "pending");
    vcpu_kvm.watch(g.vcpu, &none);
    tables[1024] &= ~4ULL;
    vcpu_kvm.watch(g.vcpu, &watch);
    assert_int_equal(g.accel->pages.count, 1);
    assert_string_equal(vcpu_kvm.means(g.vcpu, VCPU_EVENT_EXEC, CODE, CODE), "software");
    vcpu_kvm.watch(g.vcpu, &none);
    guest_fini(&g);
}

/* A model that is unknown, what needs an in-kernel APIC, and more cpus than the host allows. */
static void test_refusals(void **state)
{
    struct guest g;
    struct error err = { 0 };
    struct cpu_port port = { 0 };

    skip_without_kvm();
    guest_init(&g, "max");
    g.accel->vcpus_max = 1;
    assert_null(vcpu_kvm.vcpu_new(g.accel, &port, "host", &err));
    assert_non_null(strstr(err.text, "at most 1 cpus"));
    vcpu_kvm.vcpu_free(g.vcpu);
    g.vcpu = NULL;
    assert_null(vcpu_kvm.vcpu_new(g.accel, &port, "486", &err));
    assert_non_null(strstr(err.text, "\"486\""));
    assert_null(vcpu_kvm.vcpu_new(g.accel, &port, "host,+kvm-pv-eoi", &err));
    assert_non_null(strstr(err.text, "kvm_pv_eoi"));
    guest_fini(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ports),
        cmocka_unit_test(test_string_ports),
        cmocka_unit_test(test_device_memory),
        cmocka_unit_test(test_odd_device_memory),
        cmocka_unit_test(test_read_only),
        cmocka_unit_test(test_triple_fault),
        cmocka_unit_test(test_triple_fault_in_real_mode),
        cmocka_unit_test(test_interrupt),
        cmocka_unit_test(test_interrupt_window),
        cmocka_unit_test(test_kick),
        cmocka_unit_test(test_moved_slot),
        cmocka_unit_test(test_moved_while_running),
        cmocka_unit_test(test_state),
        cmocka_unit_test(test_msrs),
        cmocka_unit_test(test_cpuid),
        cmocka_unit_test(test_cpuid_xsave),
        cmocka_unit_test(test_lazy_registers),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_second_cpu),
        cmocka_unit_test(test_traps_in_programs),
    };

    signal(SIGALRM, on_alarm);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
