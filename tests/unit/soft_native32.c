/* Instructions that 64-bit mode has not, against the host's processor: executed natively in
 * compatibility mode, which a 64-bit process enters by a far jump, and on the software CPU. All of
 * AL with all flags that matter, or random registers. PERILUNE_SEED=n repeats a run. */
#include "soft_fixture.h"

#include "random.h"

#include <sys/mman.h>
#include <time.h>

enum { CASES = 20000, CODE32_AT = 0x200, INSN_MAX = 8, SEL_CODE32 = 0x38, REGS = 4 };

/* At the beginning of a page below 4 GiB, which edi points to: native_template has the offsets. */
struct native {
    uint64_t rsp;
    struct {
        uint32_t offset;
        uint16_t sel;
    } enter, leave;
    uint8_t unused[8];
    uint32_t r[REGS], flags; /* eax, ecx, edx, ebx */
    uint8_t insn[INSN_MAX];
};
_Static_assert(offsetof(struct native, enter) == 8, "native_template");
_Static_assert(offsetof(struct native, leave) == 16, "native_template");
_Static_assert(offsetof(struct native, r) == 32, "native_template");
_Static_assert(offsetof(struct native, flags) == 48, "native_template");

/* A function of rdi. The instruction goes to native_insn; there is a stack at the page's end. */
__asm__(".pushsection .rodata\n"
        "native_template:\n"
        "    push %rbx\n"
        "    push %rbp\n"
        "    mov %rsp, (%rdi)\n"
        "    mov %ss, %eax\n" /* DS is null in 64-bit processes */
        "    mov %eax, %ds\n"
        "    ljmp *8(%rdi)\n"
        "native_enter:\n"
        "    .code32\n"
        "    lea 0xff0(%edi), %esp\n"
        "    push 48(%edi)\n"
        "    popf\n"
        "    mov 32(%edi), %eax\n"
        "    mov 36(%edi), %ecx\n"
        "    mov 40(%edi), %edx\n"
        "    mov 44(%edi), %ebx\n"
        "native_insn:\n"
        "    .fill 8, 1, 0x90\n"
        "    pushf\n"
        "    pop 48(%edi)\n"
        "    mov %eax, 32(%edi)\n"
        "    mov %ecx, 36(%edi)\n"
        "    mov %edx, 40(%edi)\n"
        "    mov %ebx, 44(%edi)\n"
        "    cld\n"
        "    ljmp *16(%edi)\n"
        "    .code64\n"
        "native_leave:\n"
        "    mov (%rdi), %rsp\n"
        "    xor %eax, %eax\n"
        "    mov %eax, %ds\n"
        "    pop %rbp\n"
        "    pop %rbx\n"
        "    ret\n"
        "native_end:\n"
        ".popsection");
extern const uint8_t native_template[], native_enter[], native_insn[], native_leave[], native_end[];

static struct guest guest;
static struct native *native;
static sigjmp_buf no_such_mode;

static void cannot(int number)
{
    siglongjmp(no_such_mode, number);
}

static uint32_t address_of(const uint8_t *label)
{
    return (uint32_t)((uintptr_t)native + CODE32_AT + (uintptr_t)(label - native_template));
}

static void run_native(void)
{
    void (*function)(struct native * n);
    uintptr_t at = address_of(native_template);
    memcpy(&function, &at, sizeof function);
    function(native);
}

/* False: this process cannot execute 32-bit code. */
static bool begin_native(void)
{
    uint16_t cs;
    native = mmap(NULL, 0x1000, PROT_READ | PROT_WRITE | PROT_EXEC,
                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
    assert_true(native != MAP_FAILED);
    memcpy((uint8_t *)native + CODE32_AT, native_template, (size_t)(native_end - native_template));
    __asm__("mov %%cs, %0" : "=r"(cs));
    native->enter.offset = address_of(native_enter);
    native->enter.sel = 0x23; /* Linux's */
    native->leave.offset = address_of(native_leave);
    native->leave.sel = cs;
    struct sigaction fails = { .sa_handler = cannot, .sa_flags = SA_ONSTACK }, was[2];
    static uint8_t stack[1 << 16];
    const stack_t signals = { .ss_sp = stack, .ss_size = sizeof stack };
    sigaltstack(&signals, NULL);
    sigaction(SIGSEGV, &fails, &was[0]);
    sigaction(SIGILL, &fails, &was[1]);
    bool can = !sigsetjmp(no_such_mode, 1);
    if (can)
        run_native();
    sigaction(SIGSEGV, &was[0], NULL);
    sigaction(SIGILL, &was[1], NULL);
    return can;
}

/* The software CPU in compatibility mode at CODE. */
static void begin_soft(void)
{
    struct kvm_sregs s;
    guest_init(&guest);
    st_le64(guest.ram.host + GDT + SEL_CODE32, 0x00cf9b000000ffff);
    guest_start(&guest, false);
    assert_true(vcpu_soft.get_sregs(guest.vcpu, &s, NULL));
    s.cs = guest_segment(SEL_CODE32, 11, false);
    assert_true(vcpu_soft.set_sregs(guest.vcpu, &s, NULL));
}

struct legacy {
    const char *name;
    uint8_t bytes[3];
    unsigned len;
    uint64_t undefined; /* flags */
    bool immediate;     /* the last byte is any but 0 */
};

static void put_insn(const struct legacy *l, const uint8_t *bytes)
{
    uint8_t *insn = (uint8_t *)native + CODE32_AT + (native_insn - native_template);
    memset(insn, 0x90, INSN_MAX);
    memcpy(insn, bytes, l->len);
    guest_put(&guest, CODE, bytes, l->len);
}

static void compare(const struct legacy *l, const uint32_t r[REGS], uint32_t flags)
{
    struct soft_cpu *c = guest_cpu(&guest);
    memcpy(native->r, r, sizeof native->r);
    native->flags = flags | FLAG_IF | FLAG_1;
    run_native();
    for (unsigned n = 0; n < REGS; n++)
        c->r[n] = r[n]; /* in the order of their numbers */
    c->rip = CODE;
    eflags_set(c, flags | FLAG_1);
    assert_int_equal(guest_run(&guest, 1), VCPU_STOP_LIMIT);
    bool same = !(((uint64_t)native->flags ^ eflags_get(c)) & FLAGS_ARITH & ~l->undefined);
    for (unsigned n = 0; n < REGS; n++)
        same = same && native->r[n] == c->r[n];
    if (!same)
        fail_msg("%s of eax %x ebx %x flags %x: eax %x flags %x, here %llx flags %llx", l->name,
                 r[0], r[3], flags, native->r[0], native->flags, (unsigned long long)c->r[RAX],
                 (unsigned long long)eflags_get(c));
}

/* AX and flags go through all that matters to decimal arithmetic, where it is no matter of chance.
 */
static void try_legacy(const struct legacy *l, bool exhaustive)
{
    uint8_t bytes[3];
    memcpy(bytes, l->bytes, sizeof bytes);
    put_insn(l, bytes);
    for (unsigned n = 0; n < (exhaustive ? 1024 * 4 : CASES / 20); n++) {
        uint32_t r[REGS], flags = (uint32_t)random64() & FLAGS_ARITH;
        for (unsigned k = 0; k < REGS; k++)
            r[k] = (uint32_t)(below(2) ? random64() : (uint64_t)(below(9) - 4));
        if (exhaustive) {
            static const uint8_t upper[] = { 0x00, 0x09, 0x7f, 0xff };
            r[0] = (r[0] & 0xffff0000) | (uint32_t)upper[n >> 10] << 8 | (n & 0xff);
            flags = (flags & ~(uint32_t)(FLAG_CF | FLAG_AF)) | (n & 0x100 ? FLAG_CF : 0) |
                    (n & 0x200 ? FLAG_AF : 0);
        }
        if (l->immediate && n % 16 == 0) {
            bytes[l->len - 1] = (uint8_t)(1 + below(255));
            put_insn(l, bytes);
        }
        compare(l, r, flags);
    }
}

static void test_decimal(void **state)
{
    static const uint64_t adjusts = FLAG_OF | FLAG_SF | FLAG_ZF | FLAG_PF,
                          converts = FLAG_OF | FLAG_AF | FLAG_CF;
    const struct legacy list[] = {
        { "daa", { 0x27 }, 1, FLAG_OF, false },
        { "das", { 0x2f }, 1, FLAG_OF, false },
        { "aaa", { 0x37 }, 1, adjusts, false },
        { "aas", { 0x3f }, 1, adjusts, false },
        { "salc", { 0xd6 }, 1, 0, false },
        { "aam", { 0xd4, 10 }, 2, converts, false },
        { "aad", { 0xd5, 10 }, 2, converts, false },
        { "aam n", { 0xd4, 10 }, 2, converts, true },
        { "aad n", { 0xd5, 10 }, 2, converts, true },
    };
    (void)state;
    for (unsigned n = 0; n < ARRAY_LEN(list); n++)
        try_legacy(&list[n], true);
}

/* INC and DEC of 40 to 4F; the group of 82, which is that of 80. */
static void test_other_encodings(void **state)
{
    (void)state;
    for (unsigned n = 0; n < 16; n++)
        for (unsigned wide = 0; wide < 2; wide++) {
            struct legacy l = { "inc or dec", { 0x66, 0 }, 2 - wide, 0, false };
            l.bytes[1 - wide] = (uint8_t)(0x40 | (n & 8) | (n & 3));
            try_legacy(&l, false);
        }
    for (unsigned n = 0; n < 8; n++) {
        uint64_t undefined = n == 1 || n == 4 || n == 6 ? FLAG_AF : 0;
        for (unsigned reg = 0; reg < 8; reg++) {
            struct legacy l = {
                "group 82", { 0x82, (uint8_t)(0xc0 | n << 3 | reg), 1 }, 3, undefined, true
            };
            try_legacy(&l, false);
        }
    }
}

static int set_up(void **state)
{
    (void)state;
    const char *text = getenv("PERILUNE_SEED");
    seed = (text ? strtoull(text, NULL, 0) : (uint64_t)time(NULL)) * 2 + 1;
    print_message("PERILUNE_SEED=%llu\n", (unsigned long long)(seed / 2));
    begin_soft();
    if (begin_native())
        return 0;
    print_message("skipped: this process cannot execute 32-bit code\n");
    exit(77);
}

static int tear_down(void **state)
{
    (void)state;
    guest_fini(&guest);
    munmap(native, 0x1000);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_decimal),
        cmocka_unit_test(test_other_encodings),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
