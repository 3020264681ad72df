/* The software CPU under a memory map that changes, behind the A20 gate, and with a full cache of
 * decoded code. */
#include "soft_fixture.h"

enum {
    BAR_SIZE = 0x10000,
    BAR_VA = 0x700000,
    BAR_BASE = 0x50000000,
    SLED_VA = 0x20000000,
    SLED_PA = 0x400000,
    SLED_SIZE = 10 << 20,
};

static struct guest guest;
/* Two memories at one place, the second above the first while it is enabled; and a BAR that moves.
 */
static struct region below, above;

static int setup(void **state)
{
    struct error err = { 0 };
    (void)state;
    guest_init(&guest);
    assert_true(region_init_ram(&below, guest.machine.mem, "below", BAR_SIZE, &err));
    assert_true(region_init_ram(&above, guest.machine.mem, "above", BAR_SIZE, &err));
    region_add(&guest.machine.system, BAR_BASE, &below, 0);
    region_add(&guest.machine.system, BAR_BASE, &above, 1);
    region_set_enabled(&above, false);
    for (uint64_t a = 0; a < BAR_SIZE; a += 0x1000) {
        guest_map(&guest, BAR_VA + a, BAR_BASE + a, MAP_ALL);
        memset(below.host + a, 0x11, 0x1000);
        memset(above.host + a, 0x22, 0x1000);
    }
    guest.opaque = &above;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    /* The cpu's view shows these: they go first, while it can still be told. */
    region_fini(&above);
    region_fini(&below);
    guest_fini(&guest);
    return 0;
}

static void run_to_halt(void)
{
    assert_int_equal(guest_run(&guest, UINT64_MAX), VCPU_STOP_HALT);
}

/* A store to the device shows or hides `above`, or moves `below`. */
static void change_map(struct guest *g, bool write, uint64_t offset, uint64_t value)
{
    if (offset == 0)
        region_set_enabled(g->opaque, value & 1);
    else
        region_set_addr(&below, value);
}

/* All in one block, so that nothing but the TLB's own flush can help. */
PROGRAM(look, "    mov 0x700000, %eax\n"
              "    movb $0x33, 0x700004\n"
              "    movl $1, 0x500000\n"
              "    mov 0x700000, %ebx\n"
              "    movb $0x44, 0x700004\n"
              "    movl $0, 0x500000\n"
              "    mov 0x700000, %ecx\n"
              "    mov 0x700004, %edx\n"
              "    hlt");

static void test_region_appears(void **state)
{
    (void)state;
    START(look);
    guest.on_access = change_map;
    run_to_halt();
    struct kvm_regs r = guest_regs(&guest);
    assert_int_equal(r.rax, 0x11111111);
    assert_int_equal(r.rbx, 0x22222222);
    assert_int_equal(r.rcx, 0x11111111);
    assert_int_equal(r.rdx, 0x11111133);
    assert_int_equal(below.host[4], 0x33);
    assert_int_equal(above.host[4], 0x44);
}

PROGRAM(move_away, "    mov 0x700000, %eax\n"
                   "    movl $0x60000000, 0x500008\n"
                   "    mov 0x700000, %ebx\n"
                   "    movl $0, 0x700000\n"
                   "    movl $0x50000000, 0x500008\n"
                   "    mov 0x700000, %ecx\n"
                   "    hlt");

/* What a BAR has left reads as all ones and takes no writes. */
static void test_region_moves(void **state)
{
    (void)state;
    START(move_away);
    guest.on_access = change_map;
    run_to_halt();
    struct kvm_regs r = guest_regs(&guest);
    assert_int_equal(r.rax, 0x11111111);
    assert_int_equal(r.rbx, 0xffffffff);
    assert_int_equal(r.rcx, 0x11111111);
}

/* A function in memory that is exchanged under it. */
PROGRAM(call_both, "    mov $0x700000, %esi\n"
                   "    call *%rsi\n"
                   "    mov %eax, %ebx\n"
                   "    movl $1, 0x500000\n"
                   "    call *%rsi\n"
                   "    mov %eax, %ecx\n"
                   "    movl $0, 0x500000\n"
                   "    call *%rsi\n"
                   "    hlt");
PROGRAM(one, "mov $1, %eax\n ret");
PROGRAM(two, "mov $2, %eax\n ret");

static void test_code_is_exchanged(void **state)
{
    (void)state;
    memcpy(below.host, one, (size_t)(one_end - one));
    memcpy(above.host, two, (size_t)(two_end - two));
    guest.on_access = change_map;
    for (unsigned n = 0; n < 3; n++) {
        START(call_both);
        run_to_halt();
        struct kvm_regs r = guest_regs(&guest);
        assert_int_equal(r.rbx, 1);
        assert_int_equal(r.rcx, 2);
        assert_int_equal(r.rax, 1);
    }
}

/* Code that takes away the memory it lies in goes on with what is there then. */
PROGRAM(self_below, "    movl $1, 0x500000\n"
                    "    mov $0x1, %eax\n"
                    "    hlt");
PROGRAM(self_above, "    movl $1, 0x500000\n"
                    "    mov $0x2, %eax\n"
                    "    hlt");

static void test_code_takes_itself_away(void **state)
{
    (void)state;
    memcpy(below.host, self_below, (size_t)(self_below_end - self_below));
    memcpy(above.host, self_above, (size_t)(self_above_end - self_above));
    guest.on_access = change_map;
    guest_start(&guest, false);
    guest_cpu(&guest)->rip = BAR_VA;
    run_to_halt();
    assert_int_equal(guest_regs(&guest).rax, 2);
}

/* A device whose bytes are code: each is read once for each time that its instruction is executed,
 * and none beyond. */
PROGRAM(device_code, "    mov $3, %ecx\n"
                     "1:  add $5, %eax\n"
                     "    dec %ecx\n"
                     "    jnz 1b\n"
                     "    hlt\n"
                     "    ud2");

static void answer_code(struct guest *g, bool write, uint64_t offset, uint64_t value)
{
    assert_false(write);
    g->answer = offset < (uint64_t)(device_code_end - device_code) ? device_code[offset] : 0;
}

static void test_fetch_from_device(void **state)
{
    (void)state;
    guest.on_access = answer_code;
    for (unsigned round = 0; round < 2; round++) {
        guest_start(&guest, false);
        guest.accesses = 0;
        guest_cpu(&guest)->rip = DEVICE_VA;
        uint64_t before = guest_count(&guest);
        run_to_halt();
        assert_int_equal(guest_regs(&guest).rax, 15);
        assert_int_equal(guest_count(&guest) - before, 1 + 3 * 3 + 1);
        assert_int_equal(guest.accesses, 5 + 3 * (3 + 2 + 2) + 1);
    }
}

/* Read-only memory drops what is written, whether its page has been read before or not. */
PROGRAM(write_rom, "    movl $5, 0x700000\n"
                   "    mov 0x700000, %eax\n"
                   "    addl $5, 0x700000\n"
                   "    mov 0x700000, %ebx\n"
                   "    mov $0x700000, %edi\n"
                   "    mov $8, %ecx\n"
                   "    rep stosb\n"
                   "    mov 0x700000, %ecx\n"
                   "    hlt");

static void test_read_only_memory(void **state)
{
    (void)state;
    region_set_readonly(&below, true);
    START(write_rom);
    run_to_halt();
    struct kvm_regs r = guest_regs(&guest);
    assert_int_equal(r.rax, 0x11111111);
    assert_int_equal(r.rbx, 0x11111111);
    assert_int_equal(r.rcx, 0x11111111);
    assert_int_equal(below.host[0], 0x11);
}

PROGRAM(gate, "    mov 0x300000, %eax\n"
              "    out %al, $0x40\n" /* closes the gate */
              "    mov 0x300000, %ebx\n"
              "    movl $3, 0x300004\n"
              "    out %al, $0x41\n" /* opens it */
              "    mov 0x300000, %ecx\n"
              "    hlt");

static void turn_gate(struct guest *g, bool write, uint64_t offset, uint64_t value)
{
    g->port.pins->a20(&g->port, offset & 1);
}

/* The page tables once more, at `to`. */
static void copy_tables(uint64_t to)
{
    uint64_t size = guest.next_table - TABLES;
    memcpy(guest.ram.host + to, guest.ram.host + TABLES, size);
    for (uint64_t at = 0; at < size; at += 8) {
        uint64_t *e = (uint64_t *)(guest.ram.host + to + at);
        if (*e >= TABLES && *e < guest.next_table)
            *e += to - TABLES;
    }
}

static void test_a20(void **state)
{
    (void)state;
    st_le32(guest.ram.host + 0x300000, 1);
    st_le32(guest.ram.host + 0x200000, 2);
    copy_tables(0x600000); /* where A20 is low */
    START(gate);
    guest_cpu(&guest)->cr3 = 0x600000;
    guest.on_access = turn_gate;
    run_to_halt();
    struct kvm_regs r = guest_regs(&guest);
    assert_int_equal(r.rax, 1);
    assert_int_equal(r.rbx, 2);
    assert_int_equal(r.rcx, 1);
    assert_int_equal(ld_le32(guest.ram.host + 0x200004), 3);
    assert_int_equal(ld_le32(guest.ram.host + 0x300004), 0);
}

/* It masks the addresses of page-table entries as well. */
PROGRAM(gate_walk, "    mov 0x2ff000, %eax\n"
                   "    out %al, $0x40\n" /* closes the gate */
                   "    mov 0x2ff000, %ebx\n"
                   "    hlt");

static void test_a20_page_walk(void **state)
{
    (void)state;
    st_le32(guest.ram.host + 0x20000, 1);
    st_le32(guest.ram.host + 0x21000, 2);
    guest_map(&guest, 0x2ff000, 0x21000, MAP_ALL);
    copy_tables(0x600000);
    guest_map(&guest, 0x2ff000, 0x20000, MAP_ALL);
    copy_tables(0x700000);
    START(gate_walk);
    guest_cpu(&guest)->cr3 = 0x700000;
    guest.on_access = turn_gate;
    run_to_halt();
    assert_int_equal(guest_regs(&guest).rax, 1);
    assert_int_equal(guest_regs(&guest).rbx, 2);
}

/* More straight code than the cache holds: every instruction counts once, in every round. */
static void test_cache_full(void **state)
{
    static const uint8_t inc[] = { 0xff, 0xc0 }, halt[] = { 0xf4 };
    struct vcpu_stats stats[3];
    (void)state;
    for (uint64_t a = 0; a < SLED_SIZE; a += 0x1000)
        guest_map(&guest, SLED_VA + a, SLED_PA + a, MAP_ALL);
    for (uint64_t a = 0; a < SLED_SIZE; a += sizeof inc)
        memcpy(guest.ram.host + SLED_PA + a, inc, sizeof inc);
    guest_put(&guest, SLED_PA + SLED_SIZE - 2, halt, sizeof halt);
    vcpu_soft.get_stats(guest.vcpu, &stats[0]);
    for (unsigned round = 1; round <= 2; round++) {
        guest_start(&guest, false);
        guest_cpu(&guest)->rip = SLED_VA;
        uint64_t before = guest_count(&guest);
        run_to_halt();
        assert_int_equal(guest_count(&guest) - before, SLED_SIZE / 2);
        assert_int_equal(guest_regs(&guest).rax, SLED_SIZE / 2 - 1);
        vcpu_soft.get_stats(guest.vcpu, &stats[round]);
    }
    /* It did run full: in the second round most was decoded again. */
    uint64_t first = stats[1].blocks_decoded - stats[0].blocks_decoded;
    assert_true(first >= SLED_SIZE / 2 / BLOCK_INSNS_MAX);
    assert_true(stats[2].blocks_decoded - stats[1].blocks_decoded > first / 4);
}

/* ---- INVLPG of code ---- */

/* Where guest_map() has put the entry of a page. */
static uint64_t entry_of(uint64_t va)
{
    uint64_t table = TABLES;
    for (unsigned shift = 39; shift > 12; shift -= 9)
        table = *guest_entry(&guest, table, va >> shift & 0x1ff) & ~0xfffULL;
    return table + (va >> 12 & 0x1ff) * 8;
}

/* Call what is at rdi, let its page show another one, INVLPG, and call again. */
PROGRAM(call_twice, "call *%rdi\n mov %eax, %ebx\n mov %rdx, (%rsi)\n invlpg (%rdi)\n"
                    "call *%rdi\n hlt\n");

/* Pages all over the set that INVLPG looks into before it drops what was decoded, and many at once.
 */
static void test_invlpg(void **state)
{
    enum { ONE = DATA, TWO = DATA + 0x1000, COUNT = 600, STRIDE = 0x1a7000 };
    static const uint8_t gives_1[] = { 0xb8, 1, 0, 0, 0, 0xc3 },
                         gives_2[] = { 0xb8, 2, 0, 0, 0, 0xc3 };
    (void)state;
    guest_put(&guest, ONE, gives_1, sizeof gives_1);
    guest_put(&guest, TWO, gives_2, sizeof gives_2);
    for (unsigned n = 0; n < COUNT; n++) {
        uint64_t va = 0x80000000 + (uint64_t)(n / 2) * STRIDE;
        bool again = n & 1; /* the same page a second time, the other way round */
        guest_map(&guest, va, again ? TWO : ONE, MAP_ALL);
        START(call_twice);
        struct kvm_regs r = guest_regs(&guest);
        r.rdi = va;
        r.rsi = entry_of(va);
        r.rdx = (again ? ONE : TWO) | MAP_ALL;
        assert_true(vcpu_soft.set_regs(guest.vcpu, &r, NULL));
        guest_run(&guest, 100);
        assert_int_equal(guest_regs(&guest).rbx, again ? 2 : 1);
        assert_int_equal(guest_regs(&guest).rax, again ? 1 : 2);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_region_appears),
        TEST(test_region_moves),
        TEST(test_code_is_exchanged),
        TEST(test_code_takes_itself_away),
        TEST(test_fetch_from_device),
        TEST(test_read_only_memory),
        TEST(test_a20),
        TEST(test_a20_page_walk),
        TEST(test_cache_full),
        TEST(test_invlpg),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
