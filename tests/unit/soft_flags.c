/* Flags that nobody sees are not kept (drop_dead_flags() in block.c), and nobody sees that they are
 * not: random sequences are executed with two CMC behind each instruction, so that its flags
 * matter, and then as they are, as far as each of their instructions, and until one faults. */
#include "soft_fixture.h"

#include "random.h"

#include <time.h>

enum { SEQUENCES = 4000, LENGTH = 24, BYTES = LENGTH * 10 + 1, BASE = 15, ABSENT = 0x700000 };

static struct guest guest;

enum { CMC = 0xf5, HLT = 0xf4, SLOW = CODE + 0x800 };

struct code {
    uint8_t bytes[BYTES];
    size_t len;
};

struct sequence {
    struct code fast, slow;     /* at CODE and at SLOW */
    size_t fast_at[LENGTH + 1]; /* where the instructions of the former end */
};

static void put(struct code *p, unsigned byte)
{
    p->bytes[p->len++] = (uint8_t)byte;
}

/* Not RSP, nor the register that points to data. */
static unsigned any_register(void)
{
    unsigned r;
    do
        r = below(BASE);
    while (r == RSP);
    return r;
}

/* REX, opcode, ModRM of two registers; of a byte or wider. */
static void put_registers(struct code *p, unsigned map, unsigned opcode, unsigned reg, unsigned rm)
{
    put(p, 0x40 | below(2) << 3 | (reg >> 3) << 2 | rm >> 3);
    if (map)
        put(p, 0x0f);
    put(p, opcode);
    put(p, 0xc0 | (reg & 7) << 3 | (rm & 7));
}

/* The same with memory at BASE. */
static void put_memory(struct code *p, unsigned opcode, unsigned reg)
{
    put(p, 0x49 | (reg >> 3) << 2);
    put(p, opcode);
    put(p, 0x40 | (reg & 7) << 3 | (BASE & 7));
    put(p, below(16) * 8);
}

static void put_random(struct code *p)
{
    unsigned a = any_register(), b = any_register(), wide = below(8) != 0;
    switch (below(16)) {
    case 0:
    case 1:
    case 2:
    case 3: /* ADD OR ADC SBB AND SUB XOR CMP */
        put_registers(p, 0, below(8) << 3 | wide, a, b);
        break;
    case 4:
    case 5: /* the same, immediate */
        put_registers(p, 0, wide ? 0x83 : 0x80, below(8), b);
        put(p, below(256));
        break;
    case 6: { /* ROL ROR SHL SHR SAR */
        static const uint8_t kinds[] = { 0, 1, 4, 5, 7 };
        put_registers(p, 0, 0xc0 | wide, kinds[below(5)], b);
        put(p, below(3) ? below(256) : below(3) * 32);
        break;
    }
    case 7: /* SHL, SHR by CL */
        put_registers(p, 0, 0xd2 | wide, 4 + below(2), b);
        break;
    case 8: /* INC, DEC */
        put_registers(p, 0, 0xfe | wide, below(2), b);
        break;
    case 9: /* NOT, NEG */
        put_registers(p, 0, 0xf6 | wide, 2 + below(2), b);
        break;
    case 10: /* IMUL, MOVZX */
        put_registers(p, 1, below(2) ? 0xaf : 0xb6 + below(2), a, b);
        break;
    case 11: /* SETcc, CMOVcc */
        put_registers(p, 1, (below(2) ? 0x90 : 0x40) + below(16), a, b);
        break;
    case 12: /* MOV, TEST */
        put_registers(p, 0, below(2) ? 0x89 : 0x85, a, b);
        break;
    case 13: { /* ADD, ADC, CMP, MOV with memory */
        static const uint8_t opcodes[] = { 0x01, 0x03, 0x13, 0x39, 0x3b, 0x89, 0x8b };
        put_memory(p, opcodes[below(7)], a);
        break;
    }
    case 14: /* LEA */
        put_memory(p, 0x8d, a);
        break;
    default: { /* what is no operation of registers: LAHF, CMC, STC, NOP */
        static const uint8_t opcodes[] = { 0x9f, 0xf5, 0xf9, 0x90 };
        put(p, opcodes[below(4)]);
        break;
    }
    }
}

static void begin(const struct kvm_regs *start)
{
    if (guest_cpu(&guest)->halted)
        guest_start(&guest, false);
    uint64_t data[16];
    for (unsigned n = 0; n < 16; n++)
        data[n] = 0x0123456789abcdef * (n + 1);
    guest_put(&guest, DATA, data, sizeof data);
    assert_true(vcpu_soft.set_regs(guest.vcpu, start, NULL));
}

static struct kvm_regs random_start(uint64_t base)
{
    struct kvm_regs r = { .rip = CODE, .rsp = STACK, .rflags = FLAG_1 };
    __u64 *all[] = { &r.rax, &r.rcx, &r.rdx, &r.rbx, &r.rbp, &r.rsi, &r.rdi,
                     &r.r8,  &r.r9,  &r.r10, &r.r11, &r.r12, &r.r13, &r.r14 };
    for (unsigned n = 0; n < ARRAY_LEN(all); n++)
        *all[n] = below(2) ? random64() : (uint64_t)(int64_t)(int8_t)random64();
    r.r15 = base;
    r.rflags |= random64() & FLAGS_ARITH;
    return r;
}

static void same(struct kvm_regs seen, const struct kvm_regs *expected, uint64_t number, unsigned n)
{
    if (memcmp(&seen, expected, sizeof seen) != 0)
        fail_msg(
            "sequence %llu, after %u: flags %#llx instead of %#llx, rax %#llx instead of %#llx",
            (unsigned long long)number, n, (unsigned long long)seen.rflags,
            (unsigned long long)expected->rflags, (unsigned long long)seen.rax,
            (unsigned long long)expected->rax);
}

static void make_sequence(struct sequence *q)
{
    q->fast.len = q->slow.len = q->fast_at[0] = 0;
    for (unsigned n = 1; n <= LENGTH; n++) {
        put_random(&q->fast);
        for (size_t k = q->fast_at[n - 1]; k < q->fast.len; k++)
            put(&q->slow, q->fast.bytes[k]);
        put(&q->slow, CMC);
        put(&q->slow, CMC);
        q->fast_at[n] = q->fast.len;
    }
    put(&q->fast, HLT);
    put(&q->slow, HLT);
    guest_put(&guest, CODE, q->fast.bytes, q->fast.len);
    guest_put(&guest, SLOW, q->slow.bytes, q->slow.len);
}

static void begin_slow(struct kvm_regs start)
{
    start.rip = SLOW;
    begin(&start);
}

/* All counts at which the block can be left because no more may be executed. */
static void test_cut(void **state)
{
    (void)state;
    for (uint64_t number = 0; number < SEQUENCES; number++) {
        struct sequence q;
        struct kvm_regs start = random_start(DATA), steps[LENGTH + 1];
        make_sequence(&q);
        begin_slow(start);
        for (unsigned n = 1; n <= LENGTH; n++) {
            assert_int_equal(guest_run(&guest, 3), VCPU_STOP_LIMIT);
            steps[n] = guest_regs(&guest);
            steps[n].rip = CODE + q.fast_at[n];
        }
        for (unsigned n = 1; n <= LENGTH; n++) {
            begin(&start);
            assert_int_equal(guest_run(&guest, n), VCPU_STOP_LIMIT);
            same(guest_regs(&guest), &steps[n], number, n);
        }
        begin(&start);
        assert_int_equal(guest_run(&guest, UINT64_MAX), VCPU_STOP_HALT);
        steps[LENGTH].rip++;
        same(guest_regs(&guest), &steps[LENGTH], number, LENGTH + 1);
    }
}

/* The page of data is absent: the frame of the fault has the flags. */
static void test_faults(void **state)
{
    (void)state;
    unsigned faults = 0;
    for (uint64_t number = 0; number < SEQUENCES; number++) {
        struct sequence q;
        struct guest_frame slow, fast;
        struct kvm_regs start = random_start(ABSENT);
        make_sequence(&q);
        begin_slow(start);
        guest_run(&guest, UINT64_MAX);
        int vector = guest_fault(&guest, &slow);
        struct kvm_regs expected = guest_regs(&guest);
        begin(&start);
        guest_run(&guest, UINT64_MAX);
        assert_int_equal(guest_fault(&guest, &fast), vector);
        if (vector < 0)
            continue;
        assert_int_equal(vector, VEC_PF);
        faults++;
        assert_int_equal(fast.rflags, slow.rflags);
        same(guest_regs(&guest), &expected, number, 0);
    }
    assert_true(faults > SEQUENCES / 4);
}

static int setup(void **state)
{
    (void)state;
    const char *text = getenv("PERILUNE_SEED");
    seed = text ? strtoull(text, NULL, 0) : (uint64_t)time(NULL);
    print_message("PERILUNE_SEED=%llu\n", (unsigned long long)seed);
    seed = seed * 2 + 1;
    guest_init(&guest);
    guest_start(&guest, false);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    guest_fini(&guest);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_cut, setup, teardown),
        cmocka_unit_test_setup_teardown(test_faults, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
