/* Which of two events goes first that come at the same place between two instructions: SDM vol. 3
 * table 6-2, every pair of it that can be. (Of exceptions of one instruction:
 * tests/cpu/priorities*.S.)
 */
#include "soft_fixture.h"

enum {
    NOWHERE = LOW_MAPPED + 0x3000, /* absent */
    BEFORE = 0x10000,              /* where the page before it is */
    VECTOR = 0x40,
    INIT = -2,
    SMI = -3,
    MAP_RIP = 0xff78, /* of what an SMI saves */
};

static struct guest guest;

static int setup(void **state)
{
    (void)state;
    guest_init_model(&guest, "max");
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    guest_fini(&guest);
    return 0;
}

/* ---- the events, from the highest priority to the lowest ---- */

static void machine_check(void)
{
    const struct vcpu_machine_check m = { .bank = 1,
                                          .status = MC_STATUS_UNCORRECTED | MC_STATUS_ENABLED };
    assert_true(vcpu_soft.machine_check(guest.vcpu, &m, NULL));
}

/* As the switch to a task with the T flag leaves it: tests/cpu/tasks.S has one. */
static void task_trap(void)
{
    guest_cpu(&guest)->debug_hits |= DR6_BT;
}

static void smi(void)
{
    guest.port.pins->smi(&guest.port);
}

static void init(void)
{
    guest.port.pins->init(&guest.port);
}

static void injected(void)
{
    const struct vcpu_exception e = { .vector = VEC_BR };
    assert_true(vcpu_soft.inject(guest.vcpu, &e, NULL));
}

static void nmi(void)
{
    guest.port.pins->nmi(&guest.port);
}

static void interrupt(void)
{
    guest_interrupt(&guest, VECTOR);
}

static void breakpoint(void)
{
    struct soft_cpu *c = guest_cpu(&guest);
    c->dr[0] = c->rip;
    c->dr[7] = 0x401;
    debug_registers_changed(c);
}

/* What the program is like, not what comes to it. */
static void nothing(void)
{
}

static const struct event {
    const char *name;
    void (*arm)(void);
    int vector;      /* or SMI, INIT */
    uint64_t dr6;    /* what #DB says there */
    uint64_t rip;    /* the instruction has to be there; 0: anywhere */
    uint8_t code[3]; /* and has to be this */
    bool waits;      /* while another is delivered: it is no fault of the next instruction */
} events[] = {
    { "machine check", machine_check, VEC_MC, .waits = true },
    { "T flag of a task", task_trap, VEC_DB, .dr6 = DR6_BT, .waits = true },
    { "SMI", smi, SMI, .waits = true },
    { "INIT", init, INIT, .waits = true },
    { "single step", nothing, VEC_DB, .dr6 = DR6_BS, .waits = true },
    { "injected exception", injected, VEC_BR, .waits = true },
    { "NMI", nmi, VEC_NMI, .waits = true },
    { "interrupt", interrupt, VECTOR },
    { "breakpoint on the instruction", breakpoint, VEC_DB, .dr6 = 1 },
    { "absent page of the instruction", nothing, VEC_PF, .rip = NOWHERE },
    { "no such instruction", nothing, VEC_UD, .code = { 0x0f, 0x0b } },
    { "what CR0 does not take", nothing, VEC_GP, .code = { 0x0f, 0x22, 0xc0 } },
};

static void start(bool stepped, uint64_t rip)
{
    guest_start(&guest, false);
    struct kvm_sregs s;
    struct kvm_regs r = guest_regs(&guest);
    assert_true(vcpu_soft.get_sregs(guest.vcpu, &s, NULL));
    s.cr4 |= CR4_MCE;
    assert_true(vcpu_soft.set_sregs(guest.vcpu, &s, NULL));
    r.rip = rip;
    r.rax = 0x80000000; /* for CR0 */
    r.rflags |= stepped ? FLAG_TF : 0;
    assert_true(vcpu_soft.set_regs(guest.vcpu, &r, NULL));
}

/* After a NOP everything has its cause. Where that is. */
static uint64_t begin(const struct event *a, const struct event *b)
{
    static const uint8_t nops[] = { 0x90, 0x90, 0x90 };
    const uint8_t *code = a->code[0] ? a->code : b->code[0] ? b->code : nops;
    bool absent = a->rip || b->rip, stepped = a->dr6 == DR6_BS || b->dr6 == DR6_BS;
    uint64_t rip = absent ? NOWHERE : CODE + 1;
    guest_map(&guest, NOWHERE - 0x1000, BEFORE, MAP_ALL);
    guest_put(&guest, absent ? BEFORE + 0xfff : CODE, nops, 1);
    guest_put(&guest, CODE + 1, code, 3);
    start(stepped, rip - 1);
    assert_int_equal(guest_run(&guest, 1), VCPU_STOP_LIMIT);
    assert_int_equal(guest_regs(&guest).rip, rip);
    a->arm();
    b->arm();
    return rip;
}

/* Has `e` been delivered, at `rip`? */
static bool arrived(const struct event *e, uint64_t rip)
{
    struct guest_frame f;
    struct soft_cpu *c = guest_cpu(&guest);
    if (e->vector == SMI)
        return c->smm && ld_le64(guest.ram.host + c->smbase + MAP_RIP) == rip;
    if (e->vector == INIT)
        return !(c->cr0 & CR0_PE) && c->r[RDX] == 0x106ca;
    return guest_fault(&guest, &f) == e->vector && f.rip == rip && (c->dr[6] & e->dr6) == e->dr6;
}

static void expect(const struct event *e, const struct event *other, uint64_t rip)
{
    assert_int_equal(guest_run(&guest, 1), VCPU_STOP_LIMIT);
    if (!arrived(e, rip))
        fail_msg("%s, with %s: not in its turn", e->name, other->name);
}

/* The lower one follows at the first instruction of the other's handler, if it is not a fault of
 * the instruction that is interrupted, and the first does not keep it off. */
static void check_pair(const struct event *high, const struct event *low)
{
    uint64_t rip = begin(high, low);
    expect(high, low, rip);
    bool gone = high->vector == INIT || high->vector == SMI;
    bool together = high->dr6 == DR6_BT && low->dr6 == DR6_BS; /* in one #DB */
    if (low->waits && !gone && !together)
        expect(low, high, HANDLERS + 16 * (uint64_t)high->vector);
    if (low->vector == VECTOR && high->vector != INIT)
        assert_int_equal(guest.vector, VECTOR); /* not acknowledged */
    guest.vector = -1;
}

static void test_pairs(void **state)
{
    (void)state;
    for (const struct event *high = events; high < events + ARRAY_LEN(events); high++)
        for (const struct event *low = high + 1; low < events + ARRAY_LEN(events); low++) {
            bool two_codes = (high->code[0] || high->rip) && low->code[0];
            /* An SMI waits for an injected exception: soft_smm.c. */
            if (!two_codes && !(high->vector == SMI && low->arm == injected))
                check_pair(high, low);
        }
}

/* Of those that RSM brings back nothing is lost while an SMI is served. */
static void test_after_smi(void **state)
{
    static const uint8_t rsm[] = { 0x0f, 0xaa };
    (void)state;
    const struct event *smi = &events[2];
    guest_put(&guest, 0x38000, rsm, sizeof rsm);
    for (const struct event *low = smi + 1; low < events + ARRAY_LEN(events); low++) {
        if (low->arm == injected)
            continue;
        uint64_t rip = begin(smi, low);
        expect(smi, low, rip);
        assert_int_equal(guest_run(&guest, 1), VCPU_STOP_LIMIT); /* RSM */
        expect(low, smi, rip);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_pairs, setup, teardown),
        cmocka_unit_test_setup_teardown(test_after_smi, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
