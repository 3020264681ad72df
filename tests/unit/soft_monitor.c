/* MONITOR and MWAIT: a second cpu writes to the line, or beside it. */
#include "soft_fixture.h"

static struct guest guest;
static struct cpu_port other_port;
static struct vcpu *other;
static unsigned wakes;

static void count_wake(void *opaque)
{
    (void)opaque;
    wakes++;
}

static int setup(void **state)
{
    struct error err = { 0 };
    (void)state;
    guest_init_model(&guest, "max");
    other_port = (struct cpu_port){ .index = 1, .bootstrap = true };
    other = vcpu_soft.vcpu_new(guest.accel, &other_port, "max", &err);
    assert_non_null(other);
    guest.vcpu->wake = count_wake;
    wakes = 0;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    vcpu_soft.vcpu_free(other);
    guest_fini(&guest);
    return 0;
}

PROGRAM(waits, "    mov $0x20040, %eax\n"
               "    xor %ecx, %ecx\n"
               "    xor %edx, %edx\n"
               "    monitor\n"
               "    xor %eax, %eax\n"
               "    mwait\n"
               "    mov 0x20048, %rbx\n"
               "    mov $7, %ecx\n"
               "    hlt");
PROGRAM(writes, "    mov %rdi, 0x20000(%rsi)\n"
                "    hlt");

/* Let the other cpu store `value` at DATA + `offset`. */
static void write_by_other(uint64_t offset, uint64_t value)
{
    struct kvm_sregs s;
    struct kvm_regs r = { .rip = CODE + 0x800, .rsp = STACK, .rflags = FLAG_1 };
    struct vcpu *first = guest.vcpu;
    r.rsi = offset;
    r.rdi = value;
    assert_true(vcpu_soft.get_sregs(first, &s, NULL));
    assert_true(vcpu_soft.set_sregs(other, &s, NULL));
    assert_true(vcpu_soft.set_regs(other, &r, NULL));
    soft_of(other)->halted = false;
    guest.vcpu = other;
    assert_int_equal(guest_run(&guest, 100), VCPU_STOP_HALT);
    vcpu_soft.look(guest.accel);
    guest.vcpu = first;
}

static void start(void)
{
    memset(guest.ram.host + DATA, 0, 256);
    guest_put(&guest, CODE + 0x800, writes, (size_t)(writes_end - writes));
    START(waits);
    assert_int_equal(guest_run(&guest, 100), VCPU_STOP_HALT);
    assert_int_equal(guest_regs(&guest).rip, CODE + (uint64_t)(waits_end - waits) - 14);
}

static void test_write_wakes(void **state)
{
    (void)state;
    start();
    write_by_other(0x80, 1); /* the next line */
    assert_int_equal(wakes, 0);
    assert_int_equal(guest_run(&guest, 100), VCPU_STOP_HALT);
    assert_int_equal(guest_regs(&guest).rcx, 0);
    write_by_other(0x48, 5);
    assert_int_equal(wakes, 1);
    assert_int_equal(guest_run(&guest, 100), VCPU_STOP_HALT);
    assert_int_equal(guest_regs(&guest).rcx, 7);
    assert_int_equal(guest_regs(&guest).rbx, 5);
    write_by_other(0x48, 6); /* HLT is another matter */
    assert_int_equal(wakes, 1);
}

static void test_interrupt_wakes(void **state)
{
    (void)state;
    start();
    guest_interrupt(&guest, 0x40);
    struct guest_frame f;
    assert_int_equal(guest_run(&guest, 100), VCPU_STOP_HALT);
    assert_int_equal(guest_fault(&guest, &f), 0x40);
    unsigned before = wakes;
    write_by_other(0x48, 6); /* the handler's HLT is not the MWAIT */
    assert_int_equal(wakes, before);
}

/* A write between MONITOR and MWAIT is not lost. */
static void test_write_before(void **state)
{
    (void)state;
    memset(guest.ram.host + DATA, 0, 256);
    guest_put(&guest, CODE + 0x800, writes, (size_t)(writes_end - writes));
    START(waits);
    assert_int_equal(guest_run(&guest, 4), VCPU_STOP_LIMIT);
    write_by_other(0x48, 9);
    assert_int_equal(guest_run(&guest, 100), VCPU_STOP_HALT);
    assert_int_equal(guest_regs(&guest).rbx, 9);
    assert_int_equal(guest_regs(&guest).rcx, 7);
}

PROGRAM(stepped_hlt, "    pushfq\n"
                     "    orq $0x100, (%rsp)\n"
                     "    popfq\n"
                     "    hlt");
PROGRAM(stepped_mwait, "    mov $0x20040, %eax\n"
                       "    xor %ecx, %ecx\n"
                       "    xor %edx, %edx\n"
                       "    monitor\n"
                       "    pushfq\n"
                       "    orq $0x100, (%rsp)\n"
                       "    popfq\n"
                       "    mwait");

/* The #DB of a single step ends both: SDM vol. 2, HLT. The handler's own HLT is executed. */
static void test_step_wakes(void **state)
{
    struct guest_frame f;
    (void)state;
    START(stepped_hlt);
    assert_int_equal(guest_run(&guest, 100), VCPU_STOP_HALT);
    assert_int_equal(guest_fault(&guest, &f), VEC_DB);
    assert_int_equal(guest_regs(&guest).rip, HANDLERS + 16 * VEC_DB + 1);
    assert_int_equal(f.rip, CODE + (uint64_t)(stepped_hlt_end - stepped_hlt));
    START(stepped_mwait);
    assert_int_equal(guest_run(&guest, 100), VCPU_STOP_HALT);
    assert_int_equal(guest_fault(&guest, &f), VEC_DB);
    assert_int_equal(guest_regs(&guest).rip, HANDLERS + 16 * VEC_DB + 1);
    assert_int_equal(f.rip, CODE + (uint64_t)(stepped_mwait_end - stepped_mwait));
}

PROGRAM(with_extension, "    mov $0x20040, %eax\n"
                        "    mov $1, %ecx\n"
                        "    monitor\n"
                        "    hlt");

static void test_faults(void **state)
{
    struct guest_frame f;
    (void)state;
    START(with_extension);
    assert_int_equal(guest_run(&guest, 100), VCPU_STOP_HALT);
    assert_int_equal(guest_fault(&guest, &f), VEC_GP);
    guest_put(&guest, CODE, waits, (size_t)(waits_end - waits));
    guest_start(&guest, true);
    assert_int_equal(guest_run(&guest, 100), VCPU_STOP_HALT);
    assert_int_equal(guest_fault(&guest, &f), VEC_UD);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_write_wakes), TEST(test_interrupt_wakes), TEST(test_write_before),
        TEST(test_step_wakes),  TEST(test_faults),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
