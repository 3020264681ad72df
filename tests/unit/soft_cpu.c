/* The software CPU as a backend: exact counts, interrupts at exact places, rep in chunks, kicks,
 * halts and shutdowns.
 *
 * Each program is assembled into this file and copied to CODE, so it names absolute addresses only.
 */
#include "soft_fixture.h"

#include <pthread.h>

static struct guest guest;

static int setup(void **state)
{
    (void)state;
    guest_init(&guest);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    guest_fini(&guest);
    return 0;
}

/* The program has ended in the handler of `vector`, interrupted before the byte at CODE + `at`. */
static struct guest_frame assert_interrupted(int vector, uint64_t at)
{
    struct guest_frame f = { 0 };
    assert_int_equal(guest_fault(&guest, &f), vector);
    assert_int_equal(f.rip, CODE + at);
    return f;
}

/* ---- counts ---- */

PROGRAM(mixed, "    mov $1000, %edx\n"
               "1:  inc %rax\n"
               "    add %rax, %rbx\n"
               "    push %rbx\n"
               "    pop %rcx\n"
               "    test $1, %cl\n"
               "    jz 2f\n"
               "    adc $7, %rsi\n"
               "2:  call 3f\n"
               "    rol $3, %rdi\n"
               "    xor %rsi, %rdi\n"
               "    addl $5, 0x20000\n"
               "    cmp %rbx, %rdi\n" /* pairs that have one handler: FUSED_PAIRS */
               "    jb 4f\n"
               "    inc %r10\n"
               "4:  test %ecx, %ecx\n"
               "    jz 5f\n"
               "    add $3, %r11d\n"
               "    jnz 5f\n"
               "    nop\n"
               "5:  cmpb $3, %al\n"
               "    jnz 6f\n"
               "    inc %r12\n"
               "6:  sub $1, %edx\n"
               "    jnz 1b\n"
               "    hlt\n"
               "3:  lea 1(%r8,%rax,2), %r8\n"
               "    cmp %r8, %r9\n"
               "    cmovb %r8, %r9\n"
               "    ret");

enum { STEPS = 200 };

static void begin_mixed(void)
{
    START(mixed);
    memset(guest.ram.host + DATA, 0, 8);
}

/* Every count is reached exactly, in a state that depends on nothing but the count. */
static void test_limits(void **state)
{
    static struct kvm_regs after[STEPS + 1];
    static uint32_t memory[STEPS + 1];
    (void)state;
    begin_mixed();
    for (unsigned n = 1; n <= STEPS; n++) {
        uint64_t before = guest_count(&guest);
        assert_int_equal(guest_run(&guest, 1), VCPU_STOP_LIMIT);
        assert_int_equal(guest_count(&guest), before + 1);
        after[n] = guest_regs(&guest);
        memory[n] = ld_le32(guest.ram.host + DATA);
    }
    for (unsigned first = 0; first < 3; first++)
        for (unsigned n = 1; n <= STEPS; n++) {
            begin_mixed();
            uint64_t before = guest_count(&guest);
            unsigned part = first * n / 3;
            if (part)
                assert_int_equal(guest_run(&guest, part), VCPU_STOP_LIMIT);
            assert_int_equal(guest_run(&guest, n - part), VCPU_STOP_LIMIT);
            assert_int_equal(guest_count(&guest), before + n);
            struct kvm_regs r = guest_regs(&guest);
            assert_memory_equal(&r, &after[n], sizeof r);
            assert_int_equal(ld_le32(guest.ram.host + DATA), memory[n]);
        }
}

/* From whatever place a run goes on, the program takes as many instructions and ends the same. */
static void test_block_boundaries(void **state)
{
    struct kvm_regs whole;
    uint64_t total = 0;
    (void)state;
    for (unsigned n = 0; n <= STEPS; n++) {
        begin_mixed();
        uint64_t before = guest_count(&guest);
        if (n)
            assert_int_equal(guest_run(&guest, n), VCPU_STOP_LIMIT);
        assert_int_equal(guest_run(&guest, UINT64_MAX), VCPU_STOP_HALT);
        struct kvm_regs r = guest_regs(&guest);
        if (n == 0) {
            whole = r;
            total = guest_count(&guest) - before;
        }
        assert_int_equal(guest_count(&guest) - before, total);
        assert_memory_equal(&r, &whole, sizeof r);
    }
    assert_int_equal(whole.rax, 1000);
    assert_int_equal(whole.rip, CODE + (mixed_end - mixed) - 13);
}

/* Every one of FUSED_PAIRS, taken and not; %rcx tells which were. */
/* clang-format off */
#define PAIR(op) "    " op "\n    j\\cc 2f\n    inc %rcx\n2:  lea 1(%rcx,%rcx,2), %rcx\n"
PROGRAM(pairs, "    mov $300, %edx\n"
               "1:\n"
               "    .irp cc, b, nb, z, nz, be, nbe\n"
               PAIR("cmp %ebx, %eax") PAIR("cmp %rbx, %rax") PAIR("cmp $4, %eax")
               "    .endr\n"
               "    .irp cc, z, nz\n"
               PAIR("cmpb $4, %al") PAIR("cmp $4, %rax") PAIR("testb %al, %bl")
               PAIR("test %eax, %ebx") PAIR("test %rax, %rbx") PAIR("sub $3, %esi")
               PAIR("add $5, %edi") PAIR("add $5, %r8")
               "    .endr\n"
               "    lea 1(%rax), %eax\n"
               "    lea 3(%rbx), %ebx\n"
               "    and $7, %eax\n"
               "    and $15, %ebx\n"
               "    dec %edx\n"
               "    jnz 1b\n"
               "    hlt");
/* clang-format on */

static void begin_pairs(void)
{
    struct kvm_regs r;
    START(pairs);
    r = guest_regs(&guest);
    r.rsi = 30;
    r.rdi = 0xffffff00;
    r.r8 = (uint64_t)-50;
    assert_true(vcpu_soft.set_regs(guest.vcpu, &r, NULL));
}

/* One at a time no pair has a handler of its own. */
static void test_pairs(void **state)
{
    (void)state;
    begin_pairs();
    uint64_t before = guest_count(&guest);
    assert_int_equal(guest_run(&guest, UINT64_MAX), VCPU_STOP_HALT);
    struct kvm_regs whole = guest_regs(&guest);
    uint64_t total = guest_count(&guest) - before;
    begin_pairs();
    for (uint64_t n = 1; n < total; n++)
        assert_int_equal(guest_run(&guest, 1), VCPU_STOP_LIMIT);
    assert_int_equal(guest_run(&guest, UINT64_MAX), VCPU_STOP_HALT);
    struct kvm_regs stepped = guest_regs(&guest);
    assert_memory_equal(&stepped, &whole, sizeof whole);
}

PROGRAM(store_and_go, "    nop\n"
                      "    mov %eax, 0x500000\n"
                      "    .rept 100\n"
                      "    inc %ebx\n"
                      "    .endr\n"
                      "    hlt");

static struct timer timer;
static unsigned fired;

static void fire(void *opaque)
{
    fired++;
}

static void set_timer(struct guest *g, bool write, uint64_t offset, uint64_t value)
{
    timer_set(&timer, clock_now(&g->machine.virtual) + (int64_t)value);
}

/* What a machine does: the run ends when the clock, which the count is, has come to the timer. */
static void rearmed(void *opaque)
{
    struct guest *g = opaque;
    vcpu_soft.set_limit(g->vcpu, (uint64_t)clock_deadline(&g->machine.virtual));
}

static void test_device_lowers_limit(void **state)
{
    (void)state;
    guest.on_access = set_timer;
    guest.machine.virtual.rearmed = rearmed;
    timer_init(&timer, &guest.machine.virtual, fire, NULL);
    for (unsigned wait = 0; wait < 70; wait++) {
        START(store_and_go);
        uint64_t before = guest_count(&guest);
        guest_cpu(&guest)->r[RAX] = wait;
        assert_int_equal(guest_run(&guest, 1000), VCPU_STOP_LIMIT);
        assert_int_equal(guest.access_at, before + 1);
        /* The access itself is always finished. */
        assert_int_equal(guest_count(&guest), guest.access_at + (wait ? wait : 1));
        assert_int_equal(guest_regs(&guest).rbx, wait ? wait - 1 : 0);
        assert_int_equal(clock_run(&guest.machine.virtual), 1);
        assert_int_equal(fired, wait + 1);
    }
}

PROGRAM(copy, "    nop\n"
              "1:  rep movsb\n"
              "    hlt");
PROGRAM(fill_words, "    nop\n"
                    "    rep stosw\n"
                    "    hlt");
PROGRAM(compare, "    nop\n"
                 "    repe cmpsb\n"
                 "    hlt");

/* Elements that one chunk may have at `at`: those that begin and end in its page, at least one. */
static uint64_t chunk(uint64_t at, unsigned size)
{
    uint64_t n = (0x1000 - (at & 0xfff)) / size;
    return n ? n : 1;
}

static void test_rep_chunks(void **state)
{
    static const struct {
        unsigned from, to, count;
    } copies[] = { { 0, 0x10000, 0 },         { 0, 0x10000, 1 },     { 0, 0x10000, 0x1000 },
                   { 0, 0x10000, 0x1001 },    { 0xfff, 0x10000, 5 }, { 0x800, 0x10400, 0x3000 },
                   { 0x123, 0x10123, 0x2345 } };
    (void)state;
    for (unsigned n = 0; n < ARRAY_LEN(copies); n++) {
        uint64_t from = DATA + copies[n].from, to = DATA + copies[n].to, left = copies[n].count;
        for (unsigned k = 0; k < 0x4000; k++)
            guest.ram.host[DATA + k] = (uint8_t)(k * 7 + k / 256);
        memset(guest.ram.host + DATA + 0x10000, 0, 0x4000);
        unsigned chunks = 0;
        for (uint64_t f = from, t = to; left; chunks++) {
            uint64_t now = chunk(f, 1) < chunk(t, 1) ? chunk(f, 1) : chunk(t, 1);
            now = now < left ? now : left;
            f += now, t += now, left -= now;
        }
        START(copy);
        struct soft_cpu *c = guest_cpu(&guest);
        c->r[RSI] = from;
        c->r[RDI] = to;
        c->r[RCX] = copies[n].count;
        uint64_t before = guest_count(&guest);
        assert_int_equal(guest_run(&guest, UINT64_MAX), VCPU_STOP_HALT);
        assert_int_equal(guest_count(&guest) - before, 2 + (chunks ? chunks : 1));
        assert_memory_equal(guest.ram.host + from, guest.ram.host + to, copies[n].count);
        assert_int_equal(guest.ram.host[to + copies[n].count], 0);
    }
}

/* A limit, or an interrupt, comes between chunks, with the registers of that moment. */
static void test_rep_interrupted(void **state)
{
    (void)state;
    START(fill_words);
    struct soft_cpu *c = guest_cpu(&guest);
    c->r[RAX] = 0x1234;
    c->r[RDI] = DATA + 1; /* so that the last word of the page lies over its end */
    c->r[RCX] = 0x1000;
    assert_int_equal(guest_run(&guest, 2), VCPU_STOP_LIMIT);
    assert_int_equal(c->rip, CODE + 1);
    assert_int_equal(c->r[RCX], 0x1000 - 0x7ff);
    assert_int_equal(c->r[RDI], DATA + 1 + 2 * 0x7ff);
    assert_int_equal(guest_run(&guest, 1), VCPU_STOP_LIMIT);
    assert_int_equal(c->r[RCX], 0x1000 - 0x800);
    guest_interrupt(&guest, 0x41);
    assert_int_equal(guest_run(&guest, UINT64_MAX), VCPU_STOP_HALT);
    assert_interrupted(0x41, 1);
    assert_int_equal(c->r[RCX], 0x1000 - 0x800);
    for (unsigned k = 0; k < 0x800; k++)
        assert_int_equal(ld_le16(guest.ram.host + DATA + 1 + 2 * k), 0x1234);
}

static void test_rep_compare(void **state)
{
    (void)state;
    memset(guest.ram.host + DATA, 'a', 0x8000);
    guest.ram.host[DATA + 0x1234] = 'b';
    START(compare);
    struct soft_cpu *c = guest_cpu(&guest);
    c->r[RSI] = DATA;
    c->r[RDI] = DATA + 0x4000;
    c->r[RCX] = 0x3000;
    uint64_t before = guest_count(&guest);
    assert_int_equal(guest_run(&guest, UINT64_MAX), VCPU_STOP_HALT);
    assert_int_equal(guest_count(&guest) - before, 4); /* NOP, two chunks, HLT */
    assert_int_equal(c->r[RCX], 0x3000 - 0x1235);
    assert_int_equal(c->r[RSI], DATA + 0x1235);
    assert_int_equal(guest_regs(&guest).rflags & (FLAG_ZF | FLAG_CF), 0);
}

/* ---- interrupts ---- */

PROGRAM(reach_store, "mov %eax, 0x500000\n inc %ebx\n inc %ebx\n hlt");
PROGRAM(reach_load, "mov 0x500000, %eax\n inc %ebx\n inc %ebx\n hlt");
PROGRAM(reach_add, "addl $1, 0x500000\n inc %ebx\n inc %ebx\n hlt");
PROGRAM(reach_out, "out %al, $0x40\n inc %ebx\n inc %ebx\n hlt");
PROGRAM(reach_in, "in $0x40, %al\n inc %ebx\n inc %ebx\n hlt");
PROGRAM(reach_push, "pushq 0x500000\n inc %ebx\n inc %ebx\n hlt");
PROGRAM(reach_wide, "movups 0x500000, %xmm0\n inc %ebx\n inc %ebx\n hlt");

static void raise_interrupt(struct guest *g, bool write, uint64_t offset, uint64_t value)
{
    guest_interrupt(g, 0x41);
}

static void test_interrupt_by_access(void **state)
{
    static const struct {
        const uint8_t *program, *end;
    } programs[] = { { reach_store, reach_store_end }, { reach_load, reach_load_end },
                     { reach_add, reach_add_end },     { reach_out, reach_out_end },
                     { reach_in, reach_in_end },       { reach_push, reach_push_end },
                     { reach_wide, reach_wide_end } };
    (void)state;
    guest.on_access = raise_interrupt;
    for (unsigned n = 0; n < ARRAY_LEN(programs); n++) {
        size_t size = (size_t)(programs[n].end - programs[n].program);
        guest_load(&guest, programs[n].program, size);
        assert_int_equal(guest_run(&guest, UINT64_MAX), VCPU_STOP_HALT);
        assert_interrupted(0x41, size - 5); /* before INC, INC, HLT */
        assert_int_equal(guest_regs(&guest).rbx, 0);
    }
}

PROGRAM(outs, "rep outsb\n hlt");

static void test_interrupt_in_outs(void **state)
{
    (void)state;
    START(outs);
    guest.on_access = raise_interrupt;
    struct soft_cpu *c = guest_cpu(&guest);
    c->r[RDX] = PORT_BASE;
    c->r[RSI] = DATA;
    c->r[RCX] = 5;
    assert_int_equal(guest_run(&guest, UINT64_MAX), VCPU_STOP_HALT);
    assert_interrupted(0x41, 0);
    assert_int_equal(c->r[RCX], 4);
    assert_int_equal(guest.accesses, 1);
}

PROGRAM(enable, "cli\n inc %ebx\n sti\n inc %ebx\n inc %ebx\n hlt");

static void test_sti_shadow(void **state)
{
    (void)state;
    START(enable);
    assert_int_equal(guest_run(&guest, 1), VCPU_STOP_LIMIT);
    guest_interrupt(&guest, 0x41);
    assert_int_equal(guest_run(&guest, UINT64_MAX), VCPU_STOP_HALT);
    assert_interrupted(0x41, 1 + 2 + 1 + 2);
    assert_int_equal(guest_regs(&guest).rbx, 2);
}

PROGRAM(load_ss, "mov %eax, %ss\n inc %ebx\n inc %ebx\n hlt");

/* The shadow holds over the end of a run, for interrupts and NMI. */
static void test_ss_shadow(void **state)
{
    (void)state;
    for (unsigned nmi = 0; nmi < 2; nmi++) {
        START(load_ss);
        guest_cpu(&guest)->r[RAX] = SEL_DATA;
        assert_int_equal(guest_run(&guest, 1), VCPU_STOP_LIMIT);
        if (nmi)
            guest.port.pins->nmi(&guest.port);
        else
            guest_interrupt(&guest, 0x41);
        assert_int_equal(guest_run(&guest, UINT64_MAX), VCPU_STOP_HALT);
        assert_interrupted(nmi ? VEC_NMI : 0x41, 2 + 2);
        assert_int_equal(guest_regs(&guest).rbx, 1);
    }
}

PROGRAM(halt, "sti\n hlt\n inc %ebx\n hlt");

static void test_halt(void **state)
{
    (void)state;
    START(halt);
    assert_int_equal(guest_run(&guest, UINT64_MAX), VCPU_STOP_HALT);
    uint64_t at = guest_count(&guest);
    assert_int_equal(guest_run(&guest, UINT64_MAX), VCPU_STOP_HALT);
    assert_int_equal(guest_count(&guest), at);
    guest_interrupt(&guest, 0x42);
    assert_int_equal(guest_run(&guest, UINT64_MAX), VCPU_STOP_HALT);
    assert_interrupted(0x42, 2);
    /* The handler's HLT has interrupts off: only an NMI ends it. */
    guest_interrupt(&guest, 0x43);
    assert_int_equal(guest_run(&guest, UINT64_MAX), VCPU_STOP_HALT);
    assert_interrupted(0x42, 2);
    guest.port.pins->nmi(&guest.port);
    assert_int_equal(guest_run(&guest, UINT64_MAX), VCPU_STOP_HALT);
    struct guest_frame f;
    assert_int_equal(guest_fault(&guest, &f), VEC_NMI);
}

/* ---- ends of runs ---- */

PROGRAM(endless, "1: jmp 1b");
PROGRAM(endless_copy, "1: mov $0x1000, %ecx\n mov $0x20000, %esi\n mov %esi, %edi\n"
                      "rep movsb\n jmp 1b");

static void *kick_soon(void *opaque)
{
    usleep(20000);
    vcpu_soft.kick(opaque);
    return NULL;
}

static void test_kick(void **state)
{
    pthread_t thread;
    (void)state;
    for (unsigned n = 0; n < 6; n++) {
        if (n & 1)
            START(endless);
        else
            START(endless_copy);
        assert_int_equal(pthread_create(&thread, NULL, kick_soon, guest.vcpu), 0);
        assert_int_equal(guest_run(&guest, UINT64_MAX), VCPU_STOP_KICK);
        assert_int_equal(pthread_join(thread, NULL), 0);
    }
    vcpu_soft.kick(guest.vcpu);
    uint64_t at = guest_count(&guest);
    assert_int_equal(guest_run(&guest, UINT64_MAX), VCPU_STOP_KICK);
    assert_int_equal(guest_count(&guest), at);
    assert_int_equal(guest_run(&guest, 10), VCPU_STOP_LIMIT);
}

PROGRAM(undefined, "inc %ebx\n ud2");

static void test_triple_fault(void **state)
{
    struct kvm_sregs s;
    (void)state;
    START(undefined);
    assert_true(vcpu_soft.get_sregs(guest.vcpu, &s, NULL));
    s.idt.limit = 0;
    assert_true(vcpu_soft.set_sregs(guest.vcpu, &s, NULL));
    assert_int_equal(guest_run(&guest, UINT64_MAX), VCPU_STOP_SHUTDOWN);
    assert_int_equal(guest_run(&guest, UINT64_MAX), VCPU_STOP_SHUTDOWN);
    START(halt); /* a reset ends it */
    assert_int_equal(guest_run(&guest, UINT64_MAX), VCPU_STOP_HALT);
}

static void set_handler(unsigned vector, uint64_t handler)
{
    uint64_t *gate = (uint64_t *)(guest.ram.host + IDT) + 2 * vector;
    gate[0] = (gate[0] & 0x0000ffffffff0000) | (handler & 0xffff) | (handler >> 16 & 0xffff) << 48;
    gate[1] = handler >> 32;
}

/* Handlers that fault at their first instruction: time goes on, and the limit is met exactly. */
static void test_endless_faults(void **state)
{
    static const uint8_t ud2[] = { 0x0f, 0x0b };
    (void)state;
    for (unsigned n = 0; n < 3; n++) {
        START(undefined);
        if (n == 0)
            guest_put(&guest, HANDLERS + VEC_UD * 16, ud2, sizeof ud2);
        else /* handlers that are not there: one fault gives the next */
            set_handler(n == 1 ? VEC_UD : VEC_PF, LOW_MAPPED);
        if (n == 2)
            set_handler(VEC_UD, LOW_MAPPED);
        uint64_t before = guest_count(&guest);
        enum vcpu_stop stop = guest_run(&guest, 10001);
        if (n == 1) {
            assert_int_equal(stop, VCPU_STOP_HALT); /* #PF has a handler */
            assert_interrupted(VEC_PF, LOW_MAPPED - CODE);
        } else {
            assert_int_equal(stop, VCPU_STOP_LIMIT);
            assert_int_equal(guest_count(&guest), before + 10001);
        }
    }
}

PROGRAM(prefixed, "    .byte 0x66\n"
                  "    call 1f\n"
                  "    .byte 0x66\n"
                  "    jmp 2f\n"
                  "    hlt\n"
                  "1:  mov (%rsp), %rax\n"
                  "    .byte 0x66\n"
                  "    ret\n"
                  "2:  mov %rsp, %rdi\n"
                  "    lea 3f(%rip), %rsi\n"
                  "    .byte 0x66\n"
                  "    call *%rsi\n"
                  "3:  mov (%rsp), %rbx\n"
                  "    hlt");

/* Near branches of 64-bit mode take no notice of an operand-size prefix (SDM vol. 2, appendix A:
 * "f64"). */
static void test_branch_prefix(void **state)
{
    (void)state;
    START(prefixed);
    assert_int_equal(guest_run(&guest, UINT64_MAX), VCPU_STOP_HALT);
    struct kvm_regs r = guest_regs(&guest);
    uint64_t end = CODE + (uint64_t)(prefixed_end - prefixed);
    assert_int_equal(r.rip, end);
    assert_int_equal(r.rax, CODE + 6);
    assert_int_equal(r.rdi, STACK);
    assert_int_equal(r.rsp, STACK - 8);
    assert_int_equal(r.rbx, end - 5);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_limits),
        TEST(test_block_boundaries),
        TEST(test_pairs),
        TEST(test_device_lowers_limit),
        TEST(test_rep_chunks),
        TEST(test_rep_interrupted),
        TEST(test_rep_compare),
        TEST(test_interrupt_by_access),
        TEST(test_interrupt_in_outs),
        TEST(test_sti_shadow),
        TEST(test_ss_shadow),
        TEST(test_halt),
        TEST(test_kick),
        TEST(test_triple_fault),
        TEST(test_endless_faults),
        TEST(test_branch_prefix),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
