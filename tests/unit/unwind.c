/* Unwinding on stacks and tables that the test makes: each method, each end, corrupt stacks. */
#include "debug/unwind.h"
#include "base/bits.h"
#include "test_machine.h"

enum { STACK = 0x8000, MEMORY = 0x10000, ENTRIES = 16 };

/* The kernel's half of the address space, where guest memory is seen once more. */
#define KERNEL 0xffffffff80000000ull
#define CODE   (KERNEL + 0x1000)

/* Guest memory, at 0 and at KERNEL. */
struct arena {
    uint8_t bytes[MEMORY];
};

static bool arena_read(void *opaque, uint64_t gva, void *buf, size_t len)
{
    const struct arena *a = opaque;
    if (gva >= KERNEL)
        gva -= KERNEL;
    if (gva > MEMORY || len > MEMORY - gva)
        return false;
    memcpy(buf, a->bytes + gva, len);
    return true;
}

struct found {
    unsigned count;
    struct unwind_frame frames[64];
    unsigned enough; /* 0: never */
};

static bool note(void *opaque, const struct unwind_frame *f)
{
    struct found *found = opaque;
    assert_true(found->count < 64);
    assert_int_equal(f->index, found->count);
    found->frames[found->count++] = *f;
    return found->count != found->enough;
}

static struct unwind_regs registers(uint64_t rip, uint64_t rsp, uint64_t rbp)
{
    struct unwind_regs r = { 0 };
    unwind_set(&r, UNWIND_RIP, rip);
    unwind_set(&r, UNWIND_RSP, rsp);
    unwind_set(&r, UNWIND_RBP, rbp);
    return r;
}

static uint64_t rip_of(const struct found *f, unsigned i)
{
    return f->frames[i].regs.r[UNWIND_RIP];
}

static void put(struct arena *a, uint64_t at, uint64_t value)
{
    st_le64(a->bytes + at, value);
}

/* ---- frame pointers ---- */

static void test_frame_pointers(void **state)
{
    struct arena a = { 0 };
    struct found f = { 0 };
    struct unwind_config c = { .mem = { arena_read, &a } };
    struct unwind_regs r = registers(CODE, STACK, STACK + 0x20);
    put(&a, STACK + 0x20, STACK + 0x80);
    put(&a, STACK + 0x28, CODE + 0x100);
    put(&a, STACK + 0x80, 0);
    put(&a, STACK + 0x88, CODE + 0x200);
    assert_int_equal(unwind(&c, &r, note, &f), UNWIND_END_BOTTOM);
    assert_int_equal(f.count, 3);
    assert_true(f.frames[0].exact && !f.frames[1].exact);
    assert_int_equal(f.frames[0].method, UNWIND_BY_START);
    assert_int_equal(f.frames[1].method, UNWIND_BY_FRAME_POINTER);
    assert_int_equal(rip_of(&f, 1), CODE + 0x100);
    assert_int_equal(rip_of(&f, 2), CODE + 0x200);
    assert_int_equal(f.frames[1].regs.r[UNWIND_RSP], STACK + 0x30);
    f = (struct found){ .enough = 2 };
    assert_int_equal(unwind(&c, &r, note, &f), UNWIND_END_STOPPED);
    assert_int_equal(f.count, 2);
    c.max_frames = 1;
    f = (struct found){ 0 };
    assert_int_equal(unwind(&c, &r, note, &f), UNWIND_END_LIMIT);
    assert_int_equal(f.count, 1);
}

static void assert_end(struct arena *a, uint64_t rbp, enum unwind_end expected, unsigned count)
{
    struct found f = { 0 };
    struct unwind_config c = { .mem = { arena_read, a } };
    struct unwind_regs r = registers(CODE, STACK, rbp);
    assert_int_equal(unwind(&c, &r, note, &f), expected);
    assert_int_equal(f.count, count);
}

static void test_corrupt_frame_pointers(void **state)
{
    struct arena a = { 0 };
    assert_end(&a, STACK + 1, UNWIND_END_LOST, 1);         /* not aligned */
    assert_end(&a, STACK - 8, UNWIND_END_LOST, 1);         /* below the stack */
    assert_end(&a, STACK + (2 << 20), UNWIND_END_LOST, 1); /* too far up */
    assert_end(&a, MEMORY, UNWIND_END_MEMORY, 1);
    assert_end(&a, MEMORY - 8, UNWIND_END_MEMORY, 1);
    assert_end(&a, STACK, UNWIND_END_BOTTOM, 1); /* returns to 0 */
    put(&a, STACK + 8, CODE);
    put(&a, STACK, STACK); /* its own caller */
    assert_end(&a, STACK, UNWIND_END_LOST, 2);
    struct unwind_config c = { .mem = { arena_read, &a } };
    struct unwind_regs none = { 0 };
    struct found f = { 0 };
    assert_int_equal(unwind(&c, &none, note, &f), UNWIND_END_LOST);
    assert_int_equal(f.count, 0);
}

/* ---- ORC ---- */

struct orc_row {
    uint64_t ip;
    int16_t sp_offset, bp_offset;
    unsigned sp_reg, bp_reg, type, end;
};

enum { CALL, REGS, PARTIAL };
enum generation { OLD, MIDDLE, NEW };

/* Code of 0x100 bytes for each rule, at CODE. */
static const struct orc_row rows[] = {
    { CODE + 0x000, 16, -16, ORC_REG_SP, ORC_REG_PREV_SP, CALL },   /* pushed RBP */
    { CODE + 0x100, 8, 0, ORC_REG_SP, ORC_REG_UNDEFINED, CALL },    /* a leaf */
    { CODE + 0x200, 0, 0, ORC_REG_SP, ORC_REG_UNDEFINED, REGS },    /* struct pt_regs */
    { CODE + 0x300, 0, 0, ORC_REG_SP, ORC_REG_UNDEFINED, PARTIAL }, /* pushed by the processor */
    { CODE + 0x400, 16, -16, ORC_REG_BP, ORC_REG_PREV_SP, CALL },   /* has a frame pointer */
    { CODE + 0x500, 8, 0, ORC_REG_R10, ORC_REG_UNDEFINED, CALL },
    { CODE + 0x600, 0x28, 0, ORC_REG_SP_INDIRECT, ORC_REG_UNDEFINED, CALL },
    { CODE + 0x700, -8, 0, ORC_REG_BP_INDIRECT, ORC_REG_UNDEFINED, CALL },
    { CODE + 0x800, 0, 0, ORC_REG_UNDEFINED, ORC_REG_UNDEFINED, CALL, 1 }, /* the bottom */
    { CODE + 0x900, 0, 0, ORC_REG_UNDEFINED, ORC_REG_UNDEFINED, CALL },    /* unknown */
    { CODE + 0xa00, 8, 0, ORC_REG_SP, ORC_REG_UNDEFINED, CALL },
    { CODE + 0xb00, 8, 0, ORC_REG_SP, ORC_REG_UNDEFINED, CALL },
    { CODE + 0xc00, -64, 0, ORC_REG_SP, ORC_REG_UNDEFINED, CALL }, /* nonsense: downwards */
    { CODE + 0xd00, 0, 0, ORC_REG_UNDEFINED, ORC_REG_UNDEFINED, CALL },
};

static unsigned fields_of(const struct orc_row *row, enum generation generation)
{
    unsigned fields = row->sp_reg | row->bp_reg << 4, signal = row->type != CALL;
    if (generation == OLD)
        return fields | row->type << 8 | row->end << 10;
    if (generation == MIDDLE)
        return fields | row->type << 8 | signal << 10 | row->end << 11;
    bool unknown = row->sp_reg == ORC_REG_UNDEFINED;
    return fields | (row->end ? 1 : unknown ? 0 : row->type + 2) << 8 | signal << 11;
}

static struct orc *build_orc(enum generation generation)
{
    uint8_t ips[4 * ENTRIES], entries[6 * ENTRIES];
    const uint64_t ips_addr = KERNEL + 0x20000;
    struct error err = { 0 };
    size_t n = ARRAY_LEN(rows);
    for (size_t i = 0; i < n; i++) {
        st_le32(ips + 4 * i, rows[i].ip - (ips_addr + 4 * i));
        st_le16(entries + 6 * i, rows[i].sp_offset);
        st_le16(entries + 6 * i + 2, rows[i].bp_offset);
        st_le16(entries + 6 * i + 4, fields_of(&rows[i], generation));
    }
    struct orc *o = orc_new(ips, 4 * n, ips_addr, entries, 6 * n, &err);
    if (!o)
        fail_msg("%s", err.text);
    return o;
}

static enum unwind_end run_orc(const struct orc *o, struct arena *a, struct unwind_regs r,
                               struct found *f)
{
    struct unwind_config c = { .mem = { arena_read, a }, .orc = o };
    *f = (struct found){ 0 };
    return unwind(&c, &r, note, f);
}

/* A call chain over every kind of rule: leaf, interrupt, frame pointer, bottom. */
static void check_chain(enum generation generation)
{
    struct arena a = { 0 };
    struct found f;
    struct orc *o = build_orc(generation);
    uint64_t sp = STACK;
    put(&a, sp, CODE + 0x010); /* the leaf was called from where RBP is pushed */
    put(&a, sp + 8, 0x5555);   /* pushed RBP */
    put(&a, sp + 16, CODE + 0x210);
    sp += 24; /* struct pt_regs: interrupted where there is a frame pointer, at its first byte */
    put(&a, sp + 8 * 4, STACK + 0x200);
    put(&a, sp + 8 * 14, 0xd1);
    put(&a, sp + 8 * 16, CODE + 0x400);
    put(&a, sp + 8 * 17, 0x10);
    put(&a, sp + 8 * 19, STACK + 0x180);
    put(&a, STACK + 0x200, 0x7777);
    put(&a, STACK + 0x208, CODE + 0x810);
    assert_int_equal(run_orc(o, &a, registers(CODE + 0x100, STACK, 1), &f), UNWIND_END_BOTTOM);
    assert_int_equal(f.count, 5);
    assert_int_equal(rip_of(&f, 1), CODE + 0x010);
    assert_int_equal(rip_of(&f, 2), CODE + 0x210);
    assert_int_equal(f.frames[2].regs.r[UNWIND_RBP], 0x5555);
    assert_int_equal(rip_of(&f, 3), CODE + 0x400);
    assert_true(f.frames[3].exact && !f.frames[2].exact && !f.frames[4].exact);
    assert_int_equal(f.frames[3].regs.r[UNWIND_RDI], 0xd1);
    assert_int_equal(rip_of(&f, 4), CODE + 0x810);
    assert_int_equal(f.frames[4].regs.r[UNWIND_RBP], 0x7777);
    assert_int_equal(f.frames[4].regs.r[UNWIND_RSP], STACK + 0x210);
    for (unsigned i = 1; i < f.count; i++)
        assert_int_equal(f.frames[i].method, UNWIND_BY_ORC);
    orc_free(o);
}

static void test_orc_generations(void **state)
{
    check_chain(OLD);
    check_chain(MIDDLE);
    check_chain(NEW);
}

static void test_orc_rules(void **state)
{
    struct arena a = { 0 };
    struct found f;
    struct orc *o = build_orc(OLD);
    put(&a, STACK + 0x100, CODE + 0x810);
    struct unwind_regs r = registers(CODE + 0x500, STACK, 0);
    unwind_set(&r, UNWIND_R10, STACK + 0x100);
    assert_int_equal(run_orc(o, &a, r, &f), UNWIND_END_BOTTOM);
    assert_int_equal(rip_of(&f, 1), CODE + 0x810);
    /* The register is not known. */
    assert_int_equal(run_orc(o, &a, registers(CODE + 0x500, STACK, 0), &f), UNWIND_END_LOST);
    /* [RSP] + 0x28 and [RBP - 8] are the caller's stack pointers: another stack. */
    put(&a, STACK, STACK - 0x1000);
    put(&a, STACK - 0x1000 + 0x20, CODE + 0x810);
    assert_int_equal(run_orc(o, &a, registers(CODE + 0x600, STACK, 0), &f), UNWIND_END_BOTTOM);
    assert_int_equal(rip_of(&f, 1), CODE + 0x810);
    put(&a, STACK + 0x38, STACK + 0x108);
    assert_int_equal(run_orc(o, &a, registers(CODE + 0x700, STACK, STACK + 0x40), &f),
                     UNWIND_END_BOTTOM);
    assert_int_equal(rip_of(&f, 1), CODE + 0x810);
    /* An interrupt that came from user mode. */
    put(&a, STACK, 0x401000);
    put(&a, STACK + 8, 0x33);
    put(&a, STACK + 24, 0x7ffe0000);
    assert_int_equal(run_orc(o, &a, registers(CODE + 0x300, STACK, 0), &f), UNWIND_END_USER);
    assert_int_equal(f.count, 2);
    assert_int_equal(rip_of(&f, 1), 0x401000);
    assert_true(f.frames[1].exact);
    assert_int_equal(run_orc(o, &a, registers(CODE + 0x900, STACK, 0), &f), UNWIND_END_LOST);
    assert_int_equal(run_orc(o, &a, registers(CODE + 0xc00, STACK, 0), &f), UNWIND_END_LOST);
    assert_int_equal(run_orc(o, &a, registers(CODE, MEMORY - 4, 0), &f), UNWIND_END_MEMORY);
    orc_free(o);
}

/* From code that no tables know, back into code that they do. */
static void test_orc_scan(void **state)
{
    struct arena a = { 0 };
    struct found f;
    struct orc *o = build_orc(OLD);
    put(&a, STACK + 8, CODE + 0x110); /* in the kernel, but not behind a call */
    put(&a, STACK + 0x30, CODE + 0x120);
    a.bytes[CODE - KERNEL + 0x120 - 5] = 0xe8;
    put(&a, STACK + 0x38, CODE + 0x810);
    assert_int_equal(run_orc(o, &a, registers(KERNEL + 0x6000, STACK, STACK), &f),
                     UNWIND_END_BOTTOM);
    assert_int_equal(f.count, 3);
    assert_int_equal(rip_of(&f, 1), CODE + 0x120);
    assert_int_equal(f.frames[1].method, UNWIND_BY_SCAN);
    assert_int_equal(f.frames[2].method, UNWIND_BY_ORC);
    /* A frame pointer that leads back into the kernel is better than a guess. */
    put(&a, STACK + 0x80, 0x1234);
    put(&a, STACK + 0x88, CODE + 0x120);
    put(&a, STACK + 0x90, CODE + 0x810);
    assert_int_equal(run_orc(o, &a, registers(KERNEL + 0x6000, STACK, STACK + 0x80), &f),
                     UNWIND_END_BOTTOM);
    assert_int_equal(f.frames[1].method, UNWIND_BY_FRAME_POINTER);
    /* A program is not the kernel: its frame pointers lead to where they lead. */
    put(&a, STACK + 0x80, 0);
    put(&a, STACK + 0x88, 0x401000);
    assert_int_equal(run_orc(o, &a, registers(0x402000, STACK, STACK + 0x80), &f),
                     UNWIND_END_BOTTOM);
    assert_int_equal(f.count, 2);
    assert_int_equal(rip_of(&f, 1), 0x401000);
    orc_free(o);
}

/* A module has tables of its own, in guest memory; their generation is the kernel's: the module
 * alone has nothing to tell it by. */
static void test_orc_module(void **state)
{
    enum { IPS = 0xe000, TABLE = 0xe100 };
    static const struct orc_row module[] = {
        { KERNEL + 0x6000, 16, -16, ORC_REG_SP, ORC_REG_PREV_SP, CALL },
        { KERNEL + 0x6100, 0, 0, ORC_REG_SP, ORC_REG_UNDEFINED, REGS },
        { KERNEL + 0x6200, 0, 0, ORC_REG_UNDEFINED, ORC_REG_UNDEFINED, CALL },
    };
    struct arena a = { 0 };
    struct found f = { 0 };
    struct error err = { 0 };
    struct guest_memory mem = { arena_read, &a };
    struct orc *kernel = build_orc(MIDDLE);
    for (unsigned i = 0; i < ARRAY_LEN(module); i++) {
        st_le32(a.bytes + IPS + 4 * i, module[i].ip - (KERNEL + IPS + 4 * i));
        st_le16(a.bytes + TABLE + 6 * i, module[i].sp_offset);
        st_le16(a.bytes + TABLE + 6 * i + 2, module[i].bp_offset);
        st_le16(a.bytes + TABLE + 6 * i + 4, fields_of(&module[i], MIDDLE));
    }
    struct symbols_orc at = { KERNEL + IPS, KERNEL + TABLE, ARRAY_LEN(module) };
    struct orc *o = orc_load_module(&at, kernel, &mem, &err);
    if (!o)
        fail_msg("%s", err.text);
    put(&a, STACK, 0x5555);
    put(&a, STACK + 8, KERNEL + 0x6110);
    put(&a, STACK + 16 + 8 * 16, CODE + 0x110);
    put(&a, STACK + 16 + 8 * 17, 0x10);
    put(&a, STACK + 16 + 8 * 19, STACK + 0x180);
    put(&a, STACK + 0x180, CODE + 0x810);
    struct unwind_config c = { .mem = mem, .orc = kernel };
    struct unwind_regs r = registers(KERNEL + 0x6010, STACK, 1);
    assert_false(unwind_has_orc(&c, KERNEL + 0x6010));
    c.modules = &o;
    c.module_count = 1;
    assert_true(unwind_has_orc(&c, KERNEL + 0x6010));
    assert_false(unwind_has_orc(&c, KERNEL + 0x6200));
    assert_int_equal(unwind(&c, &r, note, &f), UNWIND_END_BOTTOM);
    assert_int_equal(f.count, 4);
    assert_int_equal(rip_of(&f, 1), KERNEL + 0x6110);
    assert_int_equal(rip_of(&f, 2), CODE + 0x110);
    assert_int_equal(rip_of(&f, 3), CODE + 0x810);
    for (unsigned i = 1; i < f.count; i++)
        assert_int_equal(f.frames[i].method, UNWIND_BY_ORC);
    orc_free(o);
    at.entries = KERNEL + MEMORY - 4;
    assert_null(orc_load_module(&at, kernel, &mem, &err));
    assert_non_null(strstr(err.text, "cannot be read"));
    at.count = UINT32_MAX;
    assert_null(orc_load_module(&at, kernel, &mem, &err));
    orc_free(kernel);
}

/* Any stack and any registers: an end is found. */
static void test_orc_corrupt(void **state)
{
    struct arena a = { 0 };
    struct found f;
    struct orc *o = NULL;
    unsigned deep = 0;
    srand(5);
    for (unsigned i = 0; i < 20000; i++) {
        if (i % 1000 == 0) {
            orc_free(o);
            o = build_orc(i / 1000 % 3);
        }
        for (unsigned k = 0; k < 64; k++)
            put(&a, STACK + 8 * k,
                rand() % 3 ? (uint64_t)(CODE + rand() % 0xe00) : (uint64_t)(STACK + rand() % 600));
        struct unwind_regs r =
            registers(CODE + rand() % 0xe00, STACK + rand() % 64 * 8, STACK + rand() % 600);
        enum unwind_end end = run_orc(o, &a, r, &f);
        assert_true(end <= UNWIND_END_LOST && f.count >= 1 && f.count <= 64);
        deep += f.count > 3;
    }
    orc_free(o);
    assert_true(deep > 100);
}

static void test_orc_bad_tables(void **state)
{
    uint8_t ips[8] = { 0 }, entries[12] = { 0 };
    struct error err = { 0 };
    assert_null(orc_new(ips, 8, 0, entries, 11, &err));
    assert_non_null(strstr(err.text, "do not belong together"));
    assert_null(orc_new(ips, 0, 0, entries, 0, &err));
    assert_null(orc_new(ips, 7, 0, entries, 6, &err));
    st_le32(ips, 0x1000);
    assert_null(orc_new(ips, 8, 0, entries, 12, &err));
    assert_non_null(strstr(err.text, "out of order"));
    assert_null(orc_load_image("/nonexistent/vmlinuz", &err));
    assert_non_null(strstr(err.text, "/nonexistent/vmlinuz"));
}

/* ---- DWARF, on this program's own stack ---- */

static bool own_read(void *opaque, uint64_t gva, void *buf, size_t len)
{
    const uint64_t *bounds = opaque;
    if (gva < bounds[0] || gva > bounds[1] || len > bounds[1] - gva)
        return false;
    memcpy(buf, (const void *)gva, len);
    return true;
}

static __attribute__((noinline)) unsigned own_trace(struct unwind_config *c, struct found *f)
{
    struct unwind_regs r = { 0 };
    uint64_t rip, rsp, rbp, rbx, r12, r13, r14, r15;
    __asm__ volatile("lea (%%rip), %0\n mov %%rsp, %1\n mov %%rbp, %2\n mov %%rbx, %3\n"
                     : "=&r"(rip), "=&r"(rsp), "=&r"(rbp), "=&r"(rbx));
    __asm__ volatile("mov %%r12, %0\n mov %%r13, %1\n mov %%r14, %2\n mov %%r15, %3\n"
                     : "=&m"(r12), "=&m"(r13), "=&m"(r14), "=&m"(r15));
    unwind_set(&r, UNWIND_RIP, rip);
    unwind_set(&r, UNWIND_RSP, rsp);
    unwind_set(&r, UNWIND_RBP, rbp);
    unwind_set(&r, UNWIND_RBX, rbx);
    unwind_set(&r, UNWIND_R12, r12);
    unwind_set(&r, UNWIND_R13, r13);
    unwind_set(&r, UNWIND_R14, r14);
    unwind_set(&r, UNWIND_R15, r15);
    unwind(c, &r, note, f);
    return f->count;
}

static __attribute__((noinline)) unsigned own_middle(struct unwind_config *c, struct found *f)
{
    return own_trace(c, f) + 1;
}

static void test_cfi(void **state)
{
    struct error err = { 0 };
    struct found f = { 0 };
    uint64_t here = (uint64_t)__builtin_frame_address(0);
    uint64_t bounds[2] = { here - 65536, here + 1024 };
    struct unwind_program p = { .cfi = cfi_load("/proc/self/exe", &err) };
    struct unwind_config c = { .mem = { own_read, bounds }, .programs = &p, .program_count = 1 };
    struct symbols *s = symbols_new();
    if (!p.cfi || !symbols_load_elf(s, "/proc/self/exe", NULL, &err))
        fail_msg("%s", err.text);
    p.slide = (uint64_t)test_cfi - symbols_find(s, "test_cfi", NULL)->addr;
    symbols_set_bias(s, 0, p.slide);
    static const char *const names[] = { "own_trace", "own_middle", "test_cfi" };
    assert_true(own_middle(&c, &f) > 3);
    for (unsigned i = 0; i < ARRAY_LEN(names); i++) {
        char text[128];
        unwind_frame_format(&f.frames[i], s, text, sizeof text);
        if (strncmp(text, names[i], strlen(names[i])) != 0)
            fail_msg("frame %u is %s, not %s", i, text, names[i]);
        assert_int_equal(f.frames[i].method, i ? UNWIND_BY_CFI : UNWIND_BY_START);
    }
    assert_true(f.frames[2].regs.r[UNWIND_RBP] == here);
    cfi_free(p.cfi);
    symbols_free(s);
    assert_null(cfi_load("/etc/passwd", &err));
    assert_non_null(strstr(err.text, "not an ELF file"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_frame_pointers),
        cmocka_unit_test(test_corrupt_frame_pointers),
        cmocka_unit_test(test_orc_generations),
        cmocka_unit_test(test_orc_rules),
        cmocka_unit_test(test_orc_scan),
        cmocka_unit_test(test_orc_corrupt),
        cmocka_unit_test(test_orc_bad_tables),
        cmocka_unit_test(test_orc_module),
        cmocka_unit_test(test_cfi),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
