/* Instructions that 64-bit mode has not, against the host's processor: executed natively in
 * compatibility mode, which a 64-bit process enters by a far jump, and on the software CPU. All of
 * AL with all flags that matter, or random registers. PERILUNE_SEED=n repeats a run. */
#include "soft_fixture.h"

#include "random.h"

#include <sys/mman.h>
#include <time.h>

#define AT_HEX    0x20000000
#define STRING(x) #x
#define TEXT(x)   STRING(x)
#define AT_TEXT   TEXT(AT_HEX)
enum {
    CASES = 20000,
    AT = AT_HEX, /* linear address of the page that both share the looks of */
    CODE32_AT = 0x200,
    STACK_AT = 0x800, /* what is compared of it */
    STACK_SIZE = 0x400,
    INSN_MAX = 8,
    SEL_CODE32 = 0x38,
    REGS = 8,
    VEC_NONE = -1,
};

/* At the beginning of the page: native_template has the offsets. */
struct native {
    uint64_t rsp;
    struct {
        uint32_t offset;
        uint16_t sel;
    } enter, leave;
    uint8_t unused[8];
    uint32_t r[REGS], flags; /* in the order of their numbers */
};
_Static_assert(offsetof(struct native, enter) == 8, "native_template");
_Static_assert(offsetof(struct native, leave) == 16, "native_template");
_Static_assert(offsetof(struct native, r) == 32, "native_template");
_Static_assert(offsetof(struct native, flags) == 64, "native_template");

/* A function. The instruction goes to native_insn; the flags need a stack, at the page's end. */
__asm__(".pushsection .rodata\n"
        ".set at, " AT_TEXT "\n"
        "native_template:\n"
        "    push %rbx\n"
        "    push %rbp\n"
        "    mov %rsp, at\n"
        "    mov %ss, %eax\n" /* DS is null in 64-bit processes */
        "    mov %eax, %ds\n"
        "    ljmp *at + 8\n"
        "native_enter:\n"
        "    .code32\n"
        "    mov $at + 0xff0, %esp\n"
        "    push at + 64\n"
        "    popf\n"
        "    mov at + 32, %eax\n"
        "    mov at + 36, %ecx\n"
        "    mov at + 40, %edx\n"
        "    mov at + 44, %ebx\n"
        "    mov at + 48, %esp\n"
        "    mov at + 52, %ebp\n"
        "    mov at + 56, %esi\n"
        "    mov at + 60, %edi\n"
        "native_insn:\n"
        "    .fill 8, 1, 0x90\n"
        "    mov %esp, at + 48\n"
        "    mov $at + 0xff0, %esp\n"
        "    pushf\n"
        "    pop at + 64\n"
        "    mov %eax, at + 32\n"
        "    mov %ecx, at + 36\n"
        "    mov %edx, at + 40\n"
        "    mov %ebx, at + 44\n"
        "    mov %ebp, at + 52\n"
        "    mov %esi, at + 56\n"
        "    mov %edi, at + 60\n"
        "    cld\n"
        "    ljmp *at + 16\n"
        "    .code64\n"
        "native_leave:\n"
        "    mov at, %rsp\n"
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
static sigjmp_buf faulted;

static void on_fault(int number)
{
    siglongjmp(faulted, number);
}

/* In each test: cmocka has handlers of its own, which would use the stack of the instruction. */
static void catch_faults(void)
{
    static uint8_t stack[1 << 16];
    const stack_t signals = { .ss_sp = stack, .ss_size = sizeof stack };
    const struct sigaction fails = { .sa_handler = on_fault, .sa_flags = SA_ONSTACK };
    sigaltstack(&signals, NULL);
    sigaction(SIGSEGV, &fails, NULL);
    sigaction(SIGILL, &fails, NULL);
}

static uint32_t address_of(const uint8_t *label)
{
    return (uint32_t)((uintptr_t)native + CODE32_AT + (uintptr_t)(label - native_template));
}

/* False: it faulted; what the registers were then is not known. */
static bool run_native(void)
{
    void (*function)(void);
    uintptr_t at = address_of(native_template);
    memcpy(&function, &at, sizeof function);
    if (sigsetjmp(faulted, 1))
        return false;
    function();
    return true;
}

/* False: this process cannot execute 32-bit code. */
static bool begin_native(void)
{
    uint16_t cs;
    native = mmap((void *)AT, 0x1000, PROT_READ | PROT_WRITE | PROT_EXEC,
                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    assert_ptr_equal(native, (void *)AT);
    memcpy((uint8_t *)native + CODE32_AT, native_template, (size_t)(native_end - native_template));
    __asm__("mov %%cs, %0" : "=r"(cs));
    native->enter.offset = address_of(native_enter);
    native->enter.sel = 0x23; /* Linux's */
    native->leave.offset = address_of(native_leave);
    native->leave.sel = cs;
    native->r[RSP] = AT + STACK_AT;
    catch_faults();
    return run_native();
}

/* The software CPU in compatibility mode at CODE. */
static void start_soft(void)
{
    struct kvm_sregs s;
    guest_start(&guest, false);
    assert_true(vcpu_soft.get_sregs(guest.vcpu, &s, NULL));
    s.cs = guest_segment(SEL_CODE32, 11, false);
    assert_true(vcpu_soft.set_sregs(guest.vcpu, &s, NULL));
}

static void begin_soft(void)
{
    guest_init(&guest);
    guest_map(&guest, AT, DATA, MAP_ALL);
    st_le64(guest.ram.host + GDT + SEL_CODE32, 0x00cf9b000000ffff);
    start_soft();
}

struct legacy {
    const char *name;
    uint8_t bytes[3];
    unsigned len;
    uint64_t undefined; /* flags */
    bool immediate;     /* the last byte is any but 0 */
    int vector;         /* of its exception */
};

static void put_insn(const struct legacy *l, const uint8_t *bytes)
{
    uint8_t *insn = (uint8_t *)native + CODE32_AT + (native_insn - native_template);
    memset(insn, 0x90, INSN_MAX);
    memcpy(insn, bytes, l->len);
    guest_put(&guest, CODE, bytes, l->len);
}

static void report(const struct legacy *l, const uint32_t r[REGS], uint32_t flags, int vector)
{
    const struct soft_cpu *c = guest_cpu(&guest);
    for (unsigned n = 0; n < REGS; n++)
        print_message("r%u was %x, host %x, here %llx\n", n, r[n], native->r[n],
                      (unsigned long long)c->r[n]);
    fail_msg("%s with flags %x: host %x, here %llx; vector here %d", l->name, flags, native->flags,
             (unsigned long long)eflags_get(c), vector);
}

static void compare(const struct legacy *l, const uint32_t r[REGS], uint32_t flags)
{
    struct soft_cpu *c = guest_cpu(&guest);
    struct guest_frame frame;
    uint8_t *host_stack = (uint8_t *)native + STACK_AT;
    uint8_t *soft_stack = guest.ram.host + DATA + STACK_AT;
    for (unsigned n = 0; n < STACK_SIZE; n += 8)
        st_le64(host_stack + n, random64());
    memcpy(soft_stack, host_stack, STACK_SIZE);
    memcpy(native->r, r, sizeof native->r);
    native->flags = flags | FLAG_IF | FLAG_1;
    bool done = run_native();
    if (c->halted || c->seg[SEG_CS].sel != SEL_CODE32)
        start_soft();
    for (unsigned n = 0; n < REGS; n++)
        c->r[n] = r[n];
    c->rip = CODE;
    eflags_set(c, flags | FLAG_1);
    assert_int_equal(guest_run(&guest, 1), VCPU_STOP_LIMIT);
    int vector = guest_fault(&guest, &frame);
    if (!done || vector >= 0) {
        if (done || vector != l->vector)
            report(l, r, flags, vector);
        return;
    }
    bool same = !(((uint64_t)native->flags ^ eflags_get(c)) & FLAGS_ARITH & ~l->undefined);
    for (unsigned n = 0; n < REGS; n++)
        same = same && native->r[n] == c->r[n];
    if (!same || memcmp(host_stack, soft_stack, STACK_SIZE) != 0)
        report(l, r, flags, VEC_NONE);
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
        r[RSP] = AT + STACK_AT + 64 + below(STACK_SIZE - 128);
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
            l.bytes[1 - wide] = (uint8_t)(0x40 | n);
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

/* PUSHA, POPA, INTO, and BOUND of EAX with bounds on the stack. */
static void test_stack(void **state)
{
    static const struct legacy list[] = {
        { "pusha", { 0x60 }, 1, 0, false, VEC_NONE },
        { "pusha, 16 bits", { 0x66, 0x60 }, 2, 0, false, VEC_NONE },
        { "popa", { 0x61 }, 1, 0, false, VEC_NONE },
        { "popa, 16 bits", { 0x66, 0x61 }, 2, 0, false, VEC_NONE },
        { "into", { 0xce }, 1, 0, false, VEC_OF },
        { "bound", { 0x62, 0x04, 0x24 }, 3, 0, false, VEC_BR },
    };
    (void)state;
    catch_faults();
    for (unsigned n = 0; n < ARRAY_LEN(list); n++)
        try_legacy(&list[n], false);
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
        cmocka_unit_test(test_stack),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
