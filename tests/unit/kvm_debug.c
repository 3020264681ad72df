/* Breakpoints, steps, the guest's own debugging, and the last moment of a kick under KVM, on a
 * /dev/kvm that is a model (tests/kvm/model_kvm.h), because no host at hand honours all of it: what
 * the kernel is asked for, and what becomes of what it answers. */
#include "kvm_fixture.h"

#include "kvm/model_kvm.h"

enum { DATA = 0x2000, HANDLER = 0x3000, TOLD_MAX = 32 };

#define DR6_BS 0x4000ULL
#define DR6_BD 0x2000ULL
#define TF     0x100ULL

struct told {
    uint64_t va, value;
    unsigned size;
    bool exec, late;
};

struct bed {
    struct guest g;
    struct model_vcpu *model;
    struct told told[TOLD_MAX];
    unsigned count, steps;
    bool stop;
    struct kvm_guest_debug asked; /* at the last exec() */
};

static void note(struct bed *b, struct told t)
{
    assert_true(b->count < TOLD_MAX);
    b->told[b->count++] = t;
}

static bool exec_wanted(void *opaque, struct vcpu *v, uint64_t va)
{
    return true;
}

static enum vcpu_verdict exec(void *opaque, struct vcpu *v, uint64_t va)
{
    struct bed *b = opaque;

    b->asked = b->model->debug;
    note(b, (struct told){ .va = va, .exec = true });
    return b->stop ? VCPU_STOP : VCPU_GO;
}

static enum vcpu_verdict data(void *opaque, struct vcpu *v, uint64_t va, unsigned size, bool write,
                              uint64_t *value)
{
    assert_true(write);
    note(opaque, (struct told){ .va = va, .value = *value, .size = size, .late = v->late });
    return VCPU_GO;
}

static enum vcpu_verdict stepped(void *opaque, struct vcpu *v)
{
    struct bed *b = opaque;

    b->steps++;
    return VCPU_STOP;
}

static const struct vcpu_event_ops event_ops = {
    .exec_wanted = exec_wanted, .exec = exec, .access = data, .stepped = stepped
};

static void bed_init(struct bed *b, const void *code, size_t size)
{
    memset(b, 0, sizeof *b);
    guest_init(&b->g, "base");
    b->model = model_vcpu(kvm_vcpu_of(b->g.vcpu)->fd);
    assert_non_null(b->model);
    b->g.vcpu->event_ops = &event_ops;
    b->g.vcpu->event_opaque = b;
    start_real(&b->g, code, size);
}

/* What a handler at HANDLER does: iret after `out %al, $0x41`, which the log shows. */
static void set_handler(struct bed *b, unsigned vector)
{
    static const uint8_t code[] = { 0xe6, 0x41, 0xcf };

    memcpy(b->g.ram.host + HANDLER, code, sizeof code);
    st_le(b->g.ram.host + 4 * vector, 4, HANDLER);
}

static void watch(struct bed *b, const struct vcpu_range *exec, size_t execs,
                  const struct vcpu_range *writes, size_t count)
{
    const struct vcpu_watch w = { .exec = { exec, execs }, .data = { writes, count } };
    struct error err;

    if (!vcpu_kvm.fits(b->g.vcpu, &w, &err))
        fail_msg("%s", err.text);
    vcpu_kvm.watch(b->g.vcpu, &w);
}

static void bed_fini(struct bed *b)
{
    watch(b, NULL, 0, NULL, 0);
    guest_fini(&b->g);
}

static uint64_t saved(struct bed *b, unsigned offset)
{
    return ld_le(b->g.ram.host + STACK - 6 + offset, 2);
}

/* SDM vol. 3 17.2.4 and 17.2.5: G0 to G3, and by four bits R/W (1: writes, 0: execution) and LEN (0
 * to 3: 1, 2, 8, 4 bytes). */
static void test_what_is_asked_for(void **state)
{
    static const struct vcpu_range all_lengths = { DATA + 1, DATA + 15 };
    static const struct vcpu_range eight = { DATA + 8, DATA + 15 };
    static const struct vcpu_range exec[] = { { CODE, CODE }, { 0x1234, 0x1235 } };
    const struct kvm_guest_debug *d;
    struct bed b;

    bed_init(&b, "\xf4", 1);
    d = &b.model->debug;
    watch(&b, NULL, 0, &all_lengths, 1);
    assert_int_equal(d->control, KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_HW_BP);
    for (unsigned n = 0; n < 4; n++)
        assert_int_equal(d->arch.debugreg[n], DATA + (1 << n));
    assert_int_equal(d->arch.debugreg[7], 0x9d5106aaULL);
    watch(&b, exec, 2, &eight, 1);
    assert_int_equal(d->arch.debugreg[0], DATA + 8);
    assert_int_equal(d->arch.debugreg[1], CODE);
    assert_int_equal(d->arch.debugreg[2], 0x1234);
    assert_int_equal(d->arch.debugreg[3], 0x1235);
    assert_int_equal(d->arch.debugreg[7], 0x000906aaULL);
    watch(&b, NULL, 0, NULL, 0);
    assert_int_equal(d->control, 0);
    vcpu_kvm.step(b.g.vcpu, 1);
    assert_int_equal(d->control,
                     KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP | KVM_GUESTDBG_BLOCKIRQ);
    vcpu_kvm.step(b.g.vcpu, 0);
    bed_fini(&b);
}

/* A fifth address is a trap in a copy of its page, in a read-only slot; the memory has none. */
static void test_traps(void **state)
{
    static const struct vcpu_range exec[] = { { CODE, CODE }, { 0x1800, 0x1803 } };
    struct bed b;

    bed_init(&b, "\x90\xf4", 2);
    watch(&b, exec, 2, NULL, 0);
    assert_int_equal(b.model->debug.control,
                     KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_HW_BP | KVM_GUESTDBG_USE_SW_BP);
    assert_string_equal(vcpu_kvm.means(b.g.vcpu, VCPU_EVENT_EXEC, 0x1803, 0x1803), "software");
    assert_int_equal(b.g.ram.host[0x1800], 0);
    assert_int_equal(run(&b.g), VCPU_STOP_HALT);
    assert_int_equal(b.count, 1);
    bed_fini(&b);
}

static void assert_told(const struct bed *b, unsigned n, uint64_t va, unsigned size, uint64_t value)
{
    assert_true(n < b->count);
    assert_int_equal(b->told[n].va, va);
    assert_int_equal(b->told[n].size, size);
    assert_int_equal(b->told[n].value, value);
    assert_true(b->told[n].late);
}

/* Each of the four lengths is told of when its write has happened, two that one write meets both,
 * and what is beside them is not. */
static void test_writes(void **state)
{
    static const uint8_t code[] = {
        0xb8, 0x34, 0x12, /* mov $0x1234, %ax */
        0xa2, 0x00, 0x20, /* mov %al, 0x2000 */
        0xa2, 0x01, 0x20, /* mov %al, 0x2001 */
        0xa3, 0x02, 0x20, /* mov %ax, 0x2002 */
        0xa2, 0x06, 0x20, /* mov %al, 0x2006 */
        0xa3, 0x0e, 0x20, /* mov %ax, 0x200e */
        0xa1, 0x04, 0x20, /* mov 0x2004, %ax */
        0xa3, 0x07, 0x20, /* mov %ax, 0x2007 */
        0xa2, 0x10, 0x20, /* mov %al, 0x2010 */
        0xf4,             /* hlt */
    };
    static const struct vcpu_range all_lengths = { DATA + 1, DATA + 15 };
    struct bed b;

    bed_init(&b, code, sizeof code);
    watch(&b, NULL, 0, &all_lengths, 1);
    assert_string_equal(vcpu_kvm.means(b.g.vcpu, VCPU_EVENT_WRITE, DATA + 1, DATA + 15),
                        "hardware");
    assert_int_equal(run(&b.g), VCPU_STOP_HALT);
    assert_int_equal(b.count, 6);
    assert_told(&b, 0, DATA + 1, 1, 0x34);
    assert_told(&b, 1, DATA + 2, 2, 0x1234);
    assert_told(&b, 2, DATA + 4, 4, 0x340000);
    assert_told(&b, 3, DATA + 8, 8, 0x1234000000000000);
    assert_told(&b, 4, DATA + 4, 4, 0x00340000);
    assert_told(&b, 5, DATA + 8, 8, 0x1234000000000000);
    bed_fini(&b);
}

/* A hook in front of an instruction that is stepped over: with no breakpoint on execution and with
 * those on data, without interrupts, and not into the handler of one. */
static void test_step_over(void **state)
{
    static const uint8_t code[] = {
        0xfb,             /* 1000 sti */
        0xa3, 0x00, 0x20, /* 1001 mov %ax, 0x2000 */
        0xe6, 0x40,       /* 1004 out %al, $0x40 */
        0x90,             /* 1006 nop */
        0xfa,             /* 1007 cli */
        0xf4,             /* 1008 hlt */
    };
    static const struct vcpu_range exec[] = { { CODE + 1, CODE + 1 }, { CODE + 4, CODE + 4 } };
    static const struct vcpu_range two = { DATA, DATA + 1 };
    struct bed b;

    bed_init(&b, code, sizeof code);
    set_handler(&b, 0x21);
    watch(&b, exec, 2, &two, 1);
    b.stop = true;
    assert_int_equal(run(&b.g), VCPU_STOP_DEBUG);
    assert_int_equal(b.model->debug.control & (KVM_GUESTDBG_SINGLESTEP | KVM_GUESTDBG_BLOCKIRQ),
                     KVM_GUESTDBG_SINGLESTEP | KVM_GUESTDBG_BLOCKIRQ);
    assert_int_equal(b.model->debug.arch.debugreg[7], 0x00010622ULL | 4 << 16);
    b.g.port.pins->intr(&b.g.port, true);
    kvm_vcpu_take_kick(kvm_vcpu_of(b.g.vcpu));
    assert_int_equal(run(&b.g), VCPU_STOP_DEBUG); /* at the next one, but for the write between */
    assert_int_equal(b.count, 3);
    assert_told(&b, 1, DATA, 2, 0);
    assert_int_equal(b.told[2].va, CODE + 4);
    assert_int_equal(b.asked.arch.debugreg[7], 0x0005062aULL); /* back again */
    assert_int_equal(b.g.logged, 1);                           /* the interrupt, after the step */
    assert_int_equal(saved(&b, 0), CODE + 4);
    assert_int_equal(run(&b.g), VCPU_STOP_HALT);
    assert_int_equal(b.count, 3);
    assert_access(&b.g, 1, true, 0, 0, 1);
    bed_fini(&b);
}

/* INT3 of the guest's own beside a trap, and under one, goes to its handler with what follows it on
 * the stack, and no error code. */
static void test_own_int3(void **state)
{
    static const struct vcpu_range beside[] = { { 0x1800, 0x1804 } };
    static const struct vcpu_range under[] = { { CODE, CODE + 5 } };
    const struct {
        const struct vcpu_range *exec;
        unsigned told;
    } rows[] = { { beside, 0 }, { under, 3 } };

    for (unsigned n = 0; n < ARRAY_LEN(rows); n++) {
        struct bed b;

        bed_init(&b, "\x90\xcc\xf4", 3);
        set_handler(&b, 3);
        watch(&b, rows[n].exec, 1, NULL, 0);
        assert_int_equal(b.model->debug.control & KVM_GUESTDBG_USE_SW_BP, KVM_GUESTDBG_USE_SW_BP);
        assert_int_equal(run(&b.g), VCPU_STOP_HALT);
        assert_int_equal(b.count, rows[n].told);
        assert_int_equal(b.g.logged, 1);
        assert_int_equal(saved(&b, 0), CODE + 2);
        bed_fini(&b);
    }
}

/* #DB of the guest's own while a breakpoint of ours is set: told of by nobody, and its handler
 * finds in DR6 what a processor leaves there. */
static void test_own_debug(void **state)
{
    static const uint8_t with_flag[] = {
        0xb8, 0x02, 0x01, /* 1000 mov $0x102, %ax */
        0x50, 0x9d,       /* 1003 push %ax; popf */
        0x90,             /* 1005 nop */
        0xf4,             /* 1006 hlt, not before the handler */
    };
    static const uint8_t with_int1[] = { 0xf1, 0xf4 };
    static const uint8_t with_dr6[] = { 0x0f, 0x21, 0xf0, 0xf4 }; /* mov %dr6, %eax */
    const struct {
        const uint8_t *code;
        size_t size;
        uint64_t dr6, rip, dr7;
    } rows[] = {
        { with_flag, sizeof with_flag, DR6_BS, CODE + 6, 0x400 },
        { with_int1, sizeof with_int1, 0, CODE + 1, 0x400 },
        { with_dr6, sizeof with_dr6, DR6_BD, CODE, 0x2400 },
    };
    static const struct vcpu_range elsewhere = { 0x1800, 0x1800 }, far = { DATA, DATA };

    for (unsigned n = 0; n < ARRAY_LEN(rows); n++) {
        struct kvm_debugregs d;
        struct bed b;

        bed_init(&b, rows[n].code, rows[n].size);
        b.g.ram.host[HANDLER] = 0xf4;
        st_le(b.g.ram.host + 4, 4, HANDLER);
        b.model->debugregs.dr7 = rows[n].dr7;
        watch(&b, &elsewhere, 1, &far, 1);
        assert_int_equal(run(&b.g), VCPU_STOP_HALT);
        assert_int_equal(b.count, 0);
        assert_int_equal(saved(&b, 0), rows[n].rip);
        assert_int_equal(kvm_ioctl(kvm_vcpu_of(b.g.vcpu)->fd, KVM_GET_DEBUGREGS, &d), 0);
        assert_int_equal(d.dr6 & (DR6_BS | DR6_BD | 0xf), rows[n].dr6);
        assert_int_equal(d.dr7, 0x400); /* GD is off in the handler: SDM vol. 3 17.2.4 */
        bed_fini(&b);
    }
}

/* A guest that steps itself gets all of its steps, also those that pass a hook. */
static void test_guest_that_steps(void **state)
{
    static const uint8_t code[] = {
        0xb8, 0x02, 0x01, /* 1000 mov $0x102, %ax */
        0x50, 0x9d,       /* 1003 push %ax; popf */
        0x90,             /* 1005 nop */
        0x43,             /* 1006 inc %bx */
        0x41,             /* 1007 inc %cx */
        0xb8, 0x02, 0x00, /* 1008 mov $2, %ax */
        0x50, 0x9d,       /* 100b push %ax; popf */
        0xf4,             /* 100d hlt */
    };
    static const struct vcpu_range rows[] = {
        { 0x1900, 0x1900 }, { CODE + 6, CODE + 6 }, { CODE + 5, CODE + 7 }, { CODE + 5, CODE + 12 }
    };

    for (unsigned n = 0; n < ARRAY_LEN(rows); n++) {
        struct bed b;

        bed_init(&b, code, sizeof code);
        set_handler(&b, 1);
        watch(&b, &rows[n], 1, NULL, 0);
        assert_int_equal(run(&b.g), VCPU_STOP_HALT);
        assert_int_equal(b.g.logged, 6);
        assert_int_equal(b.model->regs.rflags & TF, 0);
        bed_fini(&b);
    }
}

/* A hook on an instruction that leads into a handler: others in the handler fire, and the flag of
 * the step, which IRET brings back, is not the guest's trap. */
static void test_step_into_handler(void **state)
{
    static const uint8_t code[] = {
        0x0f, 0x0b,             /* 1000 ud2 */
        0x90, 0x90, 0x90, 0xf4, /* 1002 nop; nop; nop; hlt */
    };
    static const uint8_t handler[] = {
        0x58,             /* 3000 pop %ax */
        0xb8, 0x02, 0x10, /* 3001 mov $0x1002, %ax: behind it */
        0x50,             /* 3004 push %ax */
        0xe6, 0x41,       /* 3005 out %al, $0x41 */
        0x90,             /* 3007 nop */
        0xcf,             /* 3008 iret */
    };
    static const struct vcpu_range rows[][2] = {
        { { CODE, CODE }, { HANDLER + 4, HANDLER + 4 } }, /* the processor's, both */
        { { CODE, CODE }, { HANDLER + 1, HANDLER + 8 } }, /* traps in the handler */
        { { CODE, CODE }, { CODE + 0x800, CODE + 0x800 } },
    };
    static const unsigned told[] = { 2, 6, 1 };

    for (unsigned n = 0; n < ARRAY_LEN(rows); n++) {
        struct bed b;

        bed_init(&b, code, sizeof code);
        memcpy(b.g.ram.host + HANDLER, handler, sizeof handler);
        st_le(b.g.ram.host + 4 * 6, 4, HANDLER);
        watch(&b, rows[n], 2, NULL, 0);
        assert_int_equal(run(&b.g), VCPU_STOP_HALT);
        assert_int_equal(b.count, told[n]);
        assert_int_equal(b.g.logged, 1);
        assert_int_equal(b.model->regs.rip, CODE + 6);
        assert_int_equal(b.model->regs.rflags & TF, 0);
        assert_int_equal(kvm_vcpu_of(b.g.vcpu)->strays, 0);
        bed_fini(&b);
    }
}

static void kick(void *opaque)
{
    struct bed *b = opaque;

    b->model->entering = NULL;
    vcpu_kvm.kick(b->g.vcpu);
}

/* Its signal is handled before the guest is entered, and after everything has been looked at. */
static void test_kick_at_the_door(void **state)
{
    struct bed b;

    bed_init(&b, "\xeb\xfe", 2);
    b.model->opaque = &b;
    for (unsigned n = 0; n < 3; n++) {
        b.model->entering = kick;
        assert_int_equal(run(&b.g), VCPU_STOP_KICK);
    }
    bed_fini(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_asked_for),
        cmocka_unit_test(test_traps),
        cmocka_unit_test(test_writes),
        cmocka_unit_test(test_step_over),
        cmocka_unit_test(test_own_int3),
        cmocka_unit_test(test_own_debug),
        cmocka_unit_test(test_guest_that_steps),
        cmocka_unit_test(test_step_into_handler),
        cmocka_unit_test(test_kick_at_the_door),
    };

    signal(SIGALRM, on_alarm);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
