/* What the software CPU makes of memory: code that changes, instructions over page ends, faults in
 * mid-block, changes of the map, the A20 gate, and a cache of decoded code that runs full. None of
 * its caches may be seen by the guest. */
#include "soft_fixture.h"

enum {
    ABSENT = 0x3ff000, /* virtual page without memory */
    READONLY = 0x3fd000,
    SECOND_VA = 0x600000, /* another virtual address of CODE's page */
    FUNCTION = 0x2000,
};

static struct guest guest;

static int setup(void **state)
{
    (void)state;
    guest_init(&guest);
    guest_map(&guest, ABSENT, 0, 0);
    guest_map(&guest, READONLY, READONLY, MAP_P | MAP_U);
    guest_map(&guest, SECOND_VA, CODE, MAP_ALL);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    guest_fini(&guest);
    return 0;
}

static void run_to_halt(void)
{
    assert_int_equal(guest_run(&guest, 1000000), VCPU_STOP_HALT);
}

/* ---- code that changes ---- */

/* The immediate of the next instruction is written in a loop. */
PROGRAM(next_insn, "    mov $1, %ecx\n"
                   "1:  lea 10(%rcx), %edx\n"
                   "    mov %dl, 0x1010\n" /* the immediate below */
                   "    mov $0x55, %eax\n"
                   "    add %rax, %rbx\n"
                   "    inc %ecx\n"
                   "    cmp $4, %ecx\n"
                   "    jne 1b\n"
                   "    hlt");
PROGRAM(next_insn_alias, "    mov $1, %ecx\n"
                         "1:  lea 10(%rcx), %edx\n"
                         "    mov %dl, 0x600010\n"
                         "    mov $0x55, %eax\n"
                         "    add %rax, %rbx\n"
                         "    inc %ecx\n"
                         "    cmp $4, %ecx\n"
                         "    jne 1b\n"
                         "    hlt");

static void test_next_instruction(void **state)
{
    (void)state;
    assert_int_equal(next_insn[0x10], 0x55);
    START(next_insn);
    run_to_halt();
    assert_int_equal(guest_regs(&guest).rbx, 11 + 12 + 13);
    START(next_insn_alias);
    run_to_halt();
    assert_int_equal(guest_regs(&guest).rbx, 11 + 12 + 13);
}

/* A function of another page, called between changes; bl says how it is changed. */
PROGRAM(caller, "    mov $0x2000, %esi\n"
                "    mov $1, %ecx\n"
                "1:  call *%rsi\n"
                "    add %rax, %r8\n"
                "    cmp $1, %bl\n"
                "    jne 2f\n"
                "    mov %cl, 1(%rdi)\n"
                "2:  cmp $2, %bl\n"
                "    jne 3f\n"
                "    mov %ecx, 0x500000\n" /* the device changes it by DMA */
                "3:  cmp $3, %bl\n"
                "    jne 4f\n"
                "    mov %ecx, %eax\n"
                "    push %rdi\n"
                "    push %rcx\n"
                "    inc %rdi\n"
                "    mov $1, %ecx\n"
                "    rep stosb\n"
                "    pop %rcx\n"
                "    pop %rdi\n"
                "4:  inc %ecx\n"
                "    cmp $4, %ecx\n"
                "    jne 1b\n"
                "    hlt");
PROGRAM(function, "    mov $0x50, %eax\n"
                  "    ret");

static uint64_t function_pa;

static void change_by_dma(struct guest *g, bool write, uint64_t offset, uint64_t value)
{
    uint8_t byte = (uint8_t)value;
    guest_put(g, function_pa + 1, &byte, 1);
}

static void test_other_blocks(void **state)
{
    /* In the caller's page, in another, over the end of a page, and through a second mapping. */
    static const struct {
        uint64_t pa, written_at;
    } places[] = { { CODE + 0x800, CODE + 0x800 },
                   { FUNCTION, FUNCTION },
                   { FUNCTION + 0xfff, FUNCTION + 0xfff },
                   { FUNCTION + 0xffe, FUNCTION + 0xffe },
                   { CODE + 0x800, SECOND_VA + 0x800 } };
    (void)state;
    guest.on_access = change_by_dma;
    for (unsigned how = 1; how <= 3; how++)
        for (unsigned n = 0; n < ARRAY_LEN(places); n++) {
            function_pa = places[n].pa;
            guest_put(&guest, function_pa, function, (size_t)(function_end - function));
            START(caller);
            struct soft_cpu *c = guest_cpu(&guest);
            assert_int_equal(guest_run(&guest, 1), VCPU_STOP_LIMIT);
            c->r[RSI] = function_pa;
            c->r[RDI] = places[n].written_at;
            c->r[RBX] = how;
            run_to_halt();
            assert_int_equal(c->r[R8], 0x50 + 1 + 2);
        }
}

/* A store of 8 bytes over a page's end, with code on both sides of it. */
PROGRAM(wide_store, "    call *%rsi\n"
                    "    mov %rax, 0x2ffc\n"
                    "    call *%rsi\n"
                    "    hlt");

static void test_store_over_page_end(void **state)
{
    /* inc %ebx; inc %ebx | inc %ebx; inc %ebx; ret → the same with inc %edx */
    static const uint8_t before[] = { 0xff, 0xc3, 0xff, 0xc3, 0xff, 0xc3, 0xff, 0xc3, 0xc3 };
    static const uint8_t after[] = { 0xff, 0xc2, 0xff, 0xc2, 0xff, 0xc2, 0xff, 0xc2 };
    (void)state;
    guest_put(&guest, FUNCTION + 0xffc, before, sizeof before);
    START(wide_store);
    struct soft_cpu *c = guest_cpu(&guest);
    c->r[RDX] = 0;
    c->r[RSI] = FUNCTION + 0xffc;
    memcpy(&c->r[RAX], after, 8);
    run_to_halt();
    assert_int_equal(c->r[RBX], 4);
    assert_int_equal(c->r[RDX], 4);
}

/* Data beside code, in its page but not in its bytes, stays data. */
PROGRAM(data_beside, "1:  incl 0x1400\n"
                     "    dec %ecx\n"
                     "    jnz 1b\n"
                     "    hlt");

static void test_data_beside_code(void **state)
{
    struct vcpu_stats before, after;
    (void)state;
    START(data_beside);
    st_le32(guest.ram.host + 0x1400, 0);
    guest_cpu(&guest)->r[RCX] = 1000;
    vcpu_soft.get_stats(guest.vcpu, &before);
    run_to_halt();
    vcpu_soft.get_stats(guest.vcpu, &after);
    assert_int_equal(ld_le32(guest.ram.host + 0x1400), 1000);
    assert_true(after.blocks_decoded - before.blocks_decoded < 10);
}

/* ---- instructions over the end of a page ---- */

PROGRAM(long_mov, "    movabs $0x1122334455667788, %rax\n"
                  "    hlt");

static void place_over_end(uint64_t page_end, unsigned before)
{
    guest_start(&guest, false);
    guest_put(&guest, page_end - before, long_mov, (size_t)(long_mov_end - long_mov));
    guest_cpu(&guest)->rip = page_end - before;
}

static void test_straddling(void **state)
{
    struct guest_frame f;
    (void)state;
    for (unsigned before = 1; before <= 10; before++) {
        place_over_end(FUNCTION + 0x1000, before);
        assert_int_equal(guest_run(&guest, 1), VCPU_STOP_LIMIT);
        assert_int_equal(guest_regs(&guest).rax, 0x1122334455667788);
        /* Its second half changes. */
        uint8_t byte = (uint8_t)before;
        guest_put(&guest, FUNCTION + 0x1000 - before + 9, &byte, 1);
        guest_cpu(&guest)->rip = FUNCTION + 0x1000 - before;
        run_to_halt();
        assert_int_equal(guest_regs(&guest).rax >> 56, before);

        place_over_end(ABSENT, before);
        guest_cpu(&guest)->r[RAX] = 77;
        enum vcpu_stop stop = guest_run(&guest, 1);
        assert_int_equal(stop, VCPU_STOP_LIMIT);
        if (before == 10) { /* it just fits, and only what follows does not */
            assert_int_equal(guest_regs(&guest).rax, 0x1122334455667788);
            assert_int_equal(guest_run(&guest, 1), VCPU_STOP_LIMIT);
        }
        assert_int_equal(guest_fault(&guest, &f), VEC_PF);
        assert_int_equal(f.rip, before == 10 ? ABSENT : ABSENT - before);
        assert_int_equal(guest_cpu(&guest)->cr2, ABSENT);
        assert_int_equal(f.error,
                         0x10); /* a fetch, by the supervisor, of a page that is not there */
        assert_int_equal(guest_regs(&guest).rax, before == 10 ? 0x1122334455667788 : 77);
    }
}

static void test_unmapped_fetch(void **state)
{
    struct guest_frame f;
    (void)state;
    guest_start(&guest, false);
    guest_cpu(&guest)->rip = ABSENT + 0x123;
    assert_int_equal(guest_run(&guest, 1), VCPU_STOP_LIMIT);
    assert_int_equal(guest_fault(&guest, &f), VEC_PF);
    assert_int_equal(f.rip, ABSENT + 0x123);
    assert_int_equal(guest_cpu(&guest)->cr2, ABSENT + 0x123);
    guest_start(&guest, false);
    guest_cpu(&guest)->rip = 0x0000800000000000; /* not canonical */
    assert_int_equal(guest_run(&guest, 1), VCPU_STOP_LIMIT);
    assert_int_equal(guest_fault(&guest, &f), VEC_GP);
}

/* ---- faults in mid-block ---- */

/* Three instructions, the one that faults, and one that must not be executed. rdi is where it
 * faults. */
#define FAULTING(name, size, text)                        \
    PROGRAM(fault_##name, "    mov $0x1234, %r8d\n"       \
                          "    add $0x7fffffff, %r9d\n"   \
                          "    adc %r8, %r10\n" text "\n" \
                          "    inc %r15\n"                \
                          "    hlt");
#define FAULTS(X)                           \
    X(mov_load, 8, "mov (%rdi), %rax")      \
    X(mov_store, 8, "mov %rax, (%rdi)")     \
    X(mov_imm, 8, "movq $5, (%rdi)")        \
    X(add_load, 8, "add (%rdi), %rax")      \
    X(add, 8, "add %rax, (%rdi)")           \
    X(adc_imm, 4, "adcl $5, (%rdi)")        \
    X(cmp, 8, "cmp %rax, (%rdi)")           \
    X(inc, 8, "incq (%rdi)")                \
    X(neg, 8, "negq (%rdi)")                \
    X(not, 8, "notq (%rdi)")                \
    X(shl, 8, "shlq $3, (%rdi)")            \
    X(rcr, 8, "rcrq $3, (%rdi)")            \
    X(shld, 8, "shld $3, %rax, (%rdi)")     \
    X(xchg, 8, "xchg %rax, (%rdi)")         \
    X(xadd, 8, "xadd %rax, (%rdi)")         \
    X(cmpxchg, 8, "cmpxchg %rcx, (%rdi)")   \
    X(bts, 8, "btsq $3, (%rdi)")            \
    X(bsf, 8, "bsf (%rdi), %rax")           \
    X(mul, 8, "mulq (%rdi)")                \
    X(div, 8, "divq (%rdi)")                \
    X(cmov, 4, "cmovz (%rdi), %eax")        \
    X(movzx, 2, "movzwl (%rdi), %eax")      \
    X(push_mem, 8, "pushq (%rdi)")          \
    X(pop_mem, 8, "popq (%rdi)")            \
    X(call_mem, 8, "call *(%rdi)")          \
    X(jmp_mem, 8, "jmp *(%rdi)")            \
    X(movs_to, 8, "movsq")                  \
    X(stos, 8, "stosq")                     \
    X(scas, 8, "scasq")                     \
    X(cmps, 8, "cmpsq")                     \
    X(xmm_load, 8, "movups (%rdi), %xmm1")  \
    X(xmm_store, 8, "movups %xmm0, (%rdi)") \
    X(x87_store, 8, "fstpt (%rdi)")
#define STACK_FAULTS(X)          \
    X(push, 8, "push %rax")      \
    X(push_imm, 8, "push $7")    \
    X(pushf, 8, "pushfq")        \
    X(call, 8, "call 1f\n1:")    \
    X(call_reg, 8, "call *%rbx") \
    X(enter, 8, "enter $16, $2") \
    X(push_fs, 8, "push %fs")
#define POP_FAULTS(X)       \
    X(pop, 8, "pop %rax")   \
    X(popf, 8, "popfq")     \
    X(ret, 8, "ret")        \
    X(ret_imm, 8, "ret $8") \
    X(iret, 8, "iretq")
FAULTS(FAULTING)
STACK_FAULTS(FAULTING)
POP_FAULTS(FAULTING)
FAULTING(leave, 8, "leave")
FAULTING(fxsave, 8, "fxsave64 (%rdi)")

struct faulting {
    const char *name;
    unsigned size; /* of the memory operand, at least */
    const uint8_t *program, *end;
};
#define ROW(name, size, text) { #name, size, fault_##name, fault_##name##_end },
static const struct faulting faults[] = { FAULTS(ROW) };
static const struct faulting stack_faults[] = { STACK_FAULTS(ROW) };
static const struct faulting pop_faults[] = { POP_FAULTS(ROW) };
static const struct faulting other_faults[] = { ROW(leave, 8, "") ROW(fxsave, 8, "") };

static void set_registers(uint64_t rdi, uint64_t rsp, uint64_t rbp)
{
    struct soft_cpu *c = guest_cpu(&guest);
    static const uint64_t values[16] = { 5, 0x33, 1, CODE, 0, 0, DATA, 0, 8, 9, ~0ULL };
    memcpy(c->r, values, sizeof values);
    c->r[RDI] = rdi;
    c->r[RSP] = rsp;
    c->r[RBP] = rbp;
    memset(&c->xmm[0], 0x5a, sizeof c->xmm[0]);
    memset(&c->xmm[1], 0xa5, sizeof c->xmm[1]);
    c->fpu.tags = 0xff;
}

/* Everything but what an exception's delivery changes. */
static void assert_untouched(const struct faulting *t, const struct soft_cpu *before,
                             const struct guest_frame *f)
{
    const struct soft_cpu *c = guest_cpu(&guest);
    for (unsigned n = 0; n < 16; n++)
        if (n != RSP && c->r[n] != before->r[n])
            fail_msg("%s: r%u is %#llx, not %#llx", t->name, n, (unsigned long long)c->r[n],
                     (unsigned long long)before->r[n]);
    if (f->rsp != before->r[RSP] || f->rip != before->rip)
        fail_msg("%s: rsp %#llx, rip %#llx", t->name, (unsigned long long)f->rsp,
                 (unsigned long long)f->rip);
    if ((f->rflags ^ eflags_get(before)) & ~(uint64_t)FLAG_RF)
        fail_msg("%s: flags %#llx, not %#llx", t->name, (unsigned long long)f->rflags,
                 (unsigned long long)eflags_get(before));
    assert_memory_equal(c->xmm, before->xmm, sizeof c->xmm);
    assert_int_equal(c->fpu.tags, before->fpu.tags);
}

/* Run `t` until it faults, and compare with the state after the three instructions before. */
static void assert_precise(const struct faulting *t, uint64_t rdi, uint64_t rsp, uint64_t rbp,
                           uint64_t cr2, uint32_t error_mask, uint32_t error)
{
    static struct soft_cpu before;
    static uint8_t pages[0x4000];
    struct guest_frame f;
    const uint8_t *around = guest.ram.host + READONLY - 0x1000;
    guest_load(&guest, t->program, (size_t)(t->end - t->program));
    set_registers(rdi, rsp, rbp);
    assert_int_equal(guest_run(&guest, 3), VCPU_STOP_LIMIT);
    before = *guest_cpu(&guest);
    memcpy(pages, around, sizeof pages);

    guest_start(&guest, false);
    set_registers(rdi, rsp, rbp);
    enum vcpu_stop stop = guest_run(&guest, 100);
    if (stop != VCPU_STOP_HALT || guest_fault(&guest, &f) != VEC_PF)
        fail_msg("%s: no page fault (%d)", t->name, stop);
    if (guest_cpu(&guest)->cr2 != cr2 || (f.error & error_mask) != error)
        fail_msg("%s: cr2 %#llx, error %#llx", t->name, (unsigned long long)guest_cpu(&guest)->cr2,
                 (unsigned long long)f.error);
    assert_untouched(t, &before, &f);
    assert_memory_equal(pages, around, sizeof pages);
}

static void test_precise_faults(void **state)
{
    (void)state;
    for (unsigned n = 0; n < ARRAY_LEN(faults); n++) {
        const struct faulting *t = &faults[n];
        assert_precise(t, ABSENT, STACK, STACK, ABSENT, 0x1d, 0);
        /* Over the end of a page that is there: nothing of it changes either. */
        for (unsigned before = 1; before < t->size; before++)
            assert_precise(t, ABSENT - before, STACK, STACK, ABSENT, 0x1d, 0);
    }
    /* FXSAVE wants 16 bytes' alignment; what it has written before a fault is its own affair. */
    assert_precise(&other_faults[1], ABSENT, STACK, STACK, ABSENT, 0x1f, 2);
}

static void test_precise_stack_faults(void **state)
{
    (void)state;
    for (unsigned n = 0; n < ARRAY_LEN(stack_faults); n++) {
        assert_precise(&stack_faults[n], DATA, ABSENT + 8, STACK, ABSENT, 0x1f, 2);
        assert_precise(&stack_faults[n], DATA, READONLY + 0x1000, STACK, READONLY + 0xff8, 0x1f, 3);
        assert_precise(&stack_faults[n], DATA, ABSENT + 4, STACK, ABSENT, 0x1f, 2);
    }
    for (unsigned n = 0; n < ARRAY_LEN(pop_faults); n++) {
        assert_precise(&pop_faults[n], DATA, ABSENT, STACK, ABSENT, 0x1f, 0);
        assert_precise(&pop_faults[n], DATA, ABSENT - 4, STACK, ABSENT, 0x1f, 0);
    }
    assert_precise(&other_faults[0], DATA, STACK, ABSENT, ABSENT, 0x1f, 0);
}

/* Instructions that read and write fault as writers, before anything has changed. */
static void test_read_only(void **state)
{
    static const char *const writers[] = { "mov_store", "mov_imm",   "add",      "adc_imm",
                                           "inc",       "neg",       "not",      "shl",
                                           "rcr",       "shld",      "xchg",     "xadd",
                                           "cmpxchg",   "bts",       "pop_mem",  "movs_to",
                                           "stos",      "xmm_store", "x87_store" };
    (void)state;
    unsigned found = 0;
    for (unsigned n = 0; n < ARRAY_LEN(faults); n++)
        for (unsigned k = 0; k < ARRAY_LEN(writers); k++)
            if (strcmp(faults[n].name, writers[k]) == 0) {
                found++;
                assert_precise(&faults[n], READONLY + 8, STACK, STACK, READONLY + 8, 0x1f, 3);
            }
    assert_int_equal(found, ARRAY_LEN(writers));
}

PROGRAM(rep_copy, "rep movsw\n hlt");
PROGRAM(wide_exchange, "lock cmpxchg16b (%rdi)\n hlt");
PROGRAM(aligned_store, "movaps %xmm0, (%rdi)\n hlt");

/* Elements before the fault are done, and the registers say which. */
static void test_string_fault(void **state)
{
    struct guest_frame f;
    struct soft_cpu *c = guest_cpu(&guest);
    (void)state;
    for (unsigned odd = 0; odd < 2; odd++)
        for (unsigned source = 0; source < 2; source++) {
            START(rep_copy);
            c->r[source ? RSI : RDI] = ABSENT - 6 - odd;
            c->r[source ? RDI : RSI] = DATA;
            c->r[RCX] = 100;
            run_to_halt();
            assert_int_equal(guest_fault(&guest, &f), VEC_PF);
            assert_int_equal(f.rip, CODE);
            assert_int_equal(c->cr2, ABSENT);
            assert_int_equal(f.error, source ? 0 : 2);
            assert_int_equal(c->r[RCX], 100 - 3);
            assert_int_equal(c->r[RSI], source ? ABSENT - odd : DATA + 6);
            assert_int_equal(c->r[RDI], source ? DATA + 6 : ABSENT - odd);
        }
}

static void test_wide_faults(void **state)
{
    struct guest_frame f;
    struct soft_cpu *c = guest_cpu(&guest);
    (void)state;
    START(wide_exchange);
    c->r[RDI] = READONLY;
    run_to_halt();
    assert_int_equal(guest_fault(&guest, &f), VEC_PF);
    assert_int_equal(f.error, 3);
    START(wide_exchange);
    c->r[RDI] = DATA + 8;
    run_to_halt();
    assert_int_equal(guest_fault(&guest, &f), VEC_GP);
    START(aligned_store);
    c->r[RDI] = DATA + 8;
    run_to_halt();
    assert_int_equal(guest_fault(&guest, &f), VEC_GP);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_next_instruction),    TEST(test_other_blocks),
        TEST(test_store_over_page_end), TEST(test_data_beside_code),
        TEST(test_straddling),          TEST(test_unmapped_fetch),
        TEST(test_precise_faults),      TEST(test_precise_stack_faults),
        TEST(test_read_only),           TEST(test_string_fault),
        TEST(test_wide_faults),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
