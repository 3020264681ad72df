/* PAUSE where there are other cpus: what executes them is asked for the next time slice, and the
 * cpu goes on with that, or comes out. */
#include "soft_fixture.h"

static struct guest guest;
static struct cpu_port other_port;
static struct vcpu *other;

/* What is asked, and how it is answered. */
static struct {
    unsigned calls;
    uint64_t now, length; /* 0: come out */
    bool kick;
} asked;

static uint64_t next_slice(void *opaque, uint64_t now)
{
    assert_ptr_equal(opaque, &asked);
    asked.calls++;
    asked.now = now;
    if (asked.kick)
        vcpu_soft.kick(guest.vcpu);
    return asked.length ? now + asked.length : 0;
}

static int setup(void **state)
{
    struct error err = { 0 };
    (void)state;
    guest_init(&guest);
    other_port = (struct cpu_port){ .index = 1 };
    other = vcpu_soft.vcpu_new(guest.accel, &other_port, "base", &err);
    assert_non_null(other);
    guest.vcpu->wake_opaque = &asked;
    guest.vcpu->next_slice = next_slice;
    memset(&asked, 0, sizeof asked);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    vcpu_soft.vcpu_free(other);
    guest_fini(&guest);
    return 0;
}

PROGRAM(pauses, "    nop\n"
                "    pause\n"
                "    nop\n"
                "    nop\n"
                "    nop\n"
                "    pause\n"
                "    hlt");
PROGRAM(loops, "    pause\n"
               "1:  jmp 1b");

/* The limit of the slice before is none any more: also not for the block under way. */
static void test_goes_on(void **state)
{
    (void)state;
    START(pauses);
    asked.length = 100;
    uint64_t begin = guest_count(&guest);
    assert_int_equal(guest_run(&guest, 4), VCPU_STOP_HALT);
    assert_int_equal(asked.calls, 2);
    assert_int_equal(asked.now, begin + 6);
    assert_int_equal(guest_count(&guest), begin + 7);
}

static void test_ends_at_the_new_limit(void **state)
{
    (void)state;
    START(loops);
    asked.length = 51;
    assert_int_equal(guest_run(&guest, 10), VCPU_STOP_LIMIT);
    assert_int_equal(asked.calls, 1);
    assert_int_equal(guest_count(&guest), asked.now + 51);
}

static void test_comes_out(void **state)
{
    (void)state;
    START(pauses);
    assert_int_equal(guest_run(&guest, 100), VCPU_STOP_YIELD);
    assert_int_equal(asked.calls, 1);
    assert_int_equal(guest_count(&guest), asked.now);
    assert_int_equal(guest_regs(&guest).rip, CODE + 3);
}

/* One that comes while the slice is changed is not lost. */
static void test_kick(void **state)
{
    (void)state;
    START(loops);
    asked.length = 1000000;
    asked.kick = true;
    assert_int_equal(guest_run(&guest, 10), VCPU_STOP_KICK);
    assert_true(guest_count(&guest) < asked.now + 10);
}

/* What executes one cpu alone is not asked. */
static void test_alone(void **state)
{
    (void)state;
    vcpu_soft.vcpu_free(other);
    START(pauses);
    assert_int_equal(guest_run(&guest, 100), VCPU_STOP_HALT);
    assert_int_equal(asked.calls, 0);
    struct error err = { 0 };
    other = vcpu_soft.vcpu_new(guest.accel, &other_port, "base", &err);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_goes_on), TEST(test_ends_at_the_new_limit), TEST(test_comes_out), TEST(test_kick),
        TEST(test_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
