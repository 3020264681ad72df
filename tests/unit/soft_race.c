/* Code that another thread writes in the very moment in which the cpu decodes it first: whatever
 * comes first, the cpu does not execute the old code once the write is over.
 *
 * The guest calls a function in a page that holds no decoded code; the writer, who waits for that,
 * changes it. Delays sweep over the time which decoding takes, and, with a long write that ends in
 * the function, over that between its look at the page and its last byte. Then the function is
 * called again. The first is what decode_new() in code_cache.c compares bytes for, the second is
 * the matter of ram_region_changed() in ram.c. */
#include "soft_fixture.h"

#include <pthread.h>
#include <sched.h>
#include <time.h>

enum {
    FUNCTION = 0x800000, /* where it is; before it nothing */
    FUNCTION_VA = 0x20000000,
    LONG = 1 << 20,
    ROUNDS = 128,
    TIMES = 5,
    SECONDS = 1,    /* no more times after that: a loaded host */
    DELAYS = 97,    /* of the writer */
    MAILBOX = DATA, /* see the program */
    OPERAND = 1,    /* where in the function its answer is */
};

static struct guest guest;

/* Round %rcx: tells of it, waits, calls, has the write done, calls, has it taken back. */
PROGRAM(calls, "1:  mov %rcx, (%rsi)\n"
               "    mov %ecx, %edx\n"
               "    and $63, %edx\n"
               "    imul %r8d, %edx\n"
               "2:  dec %edx\n"
               "    jns 2b\n"
               "    call *%rdi\n"
               "3:  cmp %rcx, 8(%rsi)\n"
               "    jne 3b\n"
               "    call *%rdi\n"
               "    cmp $2, %eax\n"
               "    je 4f\n"
               "    inc %rbx\n"
               "4:  mov %rcx, 16(%rsi)\n"
               "5:  cmp %rcx, 24(%rsi)\n"
               "    jne 5b\n"
               "    dec %rcx\n"
               "    jnz 1b\n"
               "    hlt\n");
/* Long, so that there is time while it is decoded. */
PROGRAM(function, "    mov $1, %eax\n"
                  "    .rept 28\n"
                  "    lea 0x11223344(%r9, %r10, 4), %r11\n"
                  "    .endr\n"
                  "    ret");

static size_t write_size; /* 1, or LONG + 1: ends at the function's answer */

static void write_answer(uint8_t answer, size_t size)
{
    static uint8_t bytes[LONG + 1];
    struct machine_lock *lock = loop_lock(guest.loop);
    bytes[LONG - OPERAND] = function[0];
    bytes[LONG] = answer;
    machine_lock_take(lock);
    guest_put(&guest, FUNCTION + OPERAND + 1 - size, bytes + sizeof bytes - size, size);
    machine_lock_release(lock);
}

static void *write_code(void *unused)
{
    _Atomic uint64_t *mailbox = (void *)(guest.ram.host + MAILBOX);
    (void)unused;
    for (uint64_t round = ROUNDS; round > 0; round--) {
        while (mailbox[0] != round)
            ;
        for (volatile unsigned n = 0; n < round % DELAYS * 4; n++)
            ;
        write_answer(2, write_size);
        mailbox[1] = round;
        while (mailbox[2] != round)
            sched_yield();
        write_answer(1, 1);
        mailbox[3] = round;
    }
    return NULL;
}

/* How often the old code was executed once more. `wait`: instructions of the guest before its call,
 * times 0 to 63. */
static uint64_t race(unsigned wait)
{
    pthread_t writer;
    memset(guest.ram.host + MAILBOX, 0, 32);
    guest_put(&guest, FUNCTION, function, (size_t)(function_end - function));
    START(calls);
    struct kvm_regs r = guest_regs(&guest);
    r.rbx = 0;
    r.rcx = ROUNDS;
    r.rsi = MAILBOX;
    r.rdi = FUNCTION_VA;
    r.r8 = wait;
    assert_true(vcpu_soft.set_regs(guest.vcpu, &r, NULL));
    assert_int_equal(pthread_create(&writer, NULL, write_code, NULL), 0);
    assert_int_equal(guest_run(&guest, UINT64_MAX), VCPU_STOP_HALT);
    assert_int_equal(pthread_join(writer, NULL), 0);
    return guest_regs(&guest).rbx;
}

static void check_races(size_t size, unsigned wait)
{
    time_t begun = time(NULL);
    guest_init(&guest);
    guest_map(&guest, FUNCTION_VA, FUNCTION, MAP_ALL);
    write_size = size;
    for (unsigned n = 0; n < TIMES && time(NULL) - begun <= SECONDS; n++)
        assert_int_equal(race(wait), 0);
    guest_fini(&guest);
}

static void test_while_decoded(void **state)
{
    (void)state;
    check_races(1, 0);
}

static void test_while_written(void **state)
{
    (void)state;
    check_races(LONG + 1, 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_while_decoded),
        cmocka_unit_test(test_while_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
