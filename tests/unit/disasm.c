/* Disassembly: modes, names of targets, bytes that are no instruction. */
#include "debug/disasm.h"
#include "base/bits.h"
#include "test_machine.h"

#include <stdio.h>
#include <unistd.h>

static struct symbols *load_symbols(void)
{
    char path[64];
    struct error err = { 0 };
    struct symbols *s = symbols_new();
    snprintf(path, sizeof path, "/tmp/perilune-disasm-%d", getpid());
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs("ffffffff81000000 T start\nffffffff81000100 T do_open\nffffffff81000200 D table\n", f);
    assert_int_equal(fclose(f), 0);
    if (!symbols_load(s, path, NULL, &err))
        fail_msg("%s", err.text);
    unlink(path);
    return s;
}

struct sample {
    uint64_t addr;
    unsigned bits, len;
    const char *bytes, *text;
};

static void check(const struct sample *e, struct symbols *s)
{
    char out[DISASM_TEXT_MAX];
    unsigned len =
        disasm_one((const uint8_t *)e->bytes, e->len, e->addr, e->bits, s, out, sizeof out);
    assert_string_equal(out, e->text);
    assert_int_equal(len, out[0] == '(' ? 0 : e->len);
}

static void test_names(void **state)
{
    static const struct sample samples[] = {
        { 0xffffffff81000000, 64, 5, "\xe8\xfb\x00\x00\x00", "call 0xffffffff81000100 <do_open>" },
        { 0xffffffff81000000, 64, 5, "\xe9\x0b\x01\x00\x00",
          "jmp 0xffffffff81000110 <do_open+0x10/0x100>" },
        { 0xffffffff81000000, 64, 2, "\x74\x10", "jz 0xffffffff81000012 <start+0x12/0x100>" },
        { 0xffffffff81000000, 64, 7, "\x48\x8b\x05\xf9\x01\x00\x00",
          "mov rax, [0xffffffff81000200 <table>]" },
        { 0xffffffff81000000, 64, 5, "\xe8\x00\x00\x00\x10", "call 0xffffffff91000005" },
        { 0x1000, 64, 2, "\xeb\xfe", "jmp 0x1000" },
        { 0x1000, 64, 3, "\x48\x89\xe5", "mov rbp, rsp" },
    };
    struct symbols *s = load_symbols();
    for (size_t i = 0; i < ARRAY_LEN(samples); i++)
        check(&samples[i], s);
    symbols_free(s);
}

static void test_modes(void **state)
{
    static const struct sample samples[] = {
        { 0x7c00, 16, 3, "\xb8\x34\x12", "mov ax, 0x1234" },
        { 0x7c00, 32, 5, "\xb8\x78\x56\x34\x12", "mov eax, 0x12345678" },
        { 0x7c00, 16, 5, "\xea\x00\x7c\x00\x00", "jmp far 0x0000:0x7c00" },
        { 0x7c00, 32, 1, "\x40", "inc eax" },
        { 0x7c00, 64, 2, "\x0f\x05", "syscall" },
        { 0x7c00, 64, 1, "\x06", "(bad)" },
        { 0x7c00, 64, 1, "\xe8", "(cut)" },
        { 0x7c00, 64, 0, "", "(cut)" },
    };
    for (size_t i = 0; i < ARRAY_LEN(samples); i++)
        check(&samples[i], NULL);
}

/* Any bytes, into room too small for the text. */
static void test_anything(void **state)
{
    struct symbols *s = load_symbols();
    srand(4);
    for (unsigned i = 0; i < 20000; i++) {
        uint8_t bytes[16];
        size_t len = rand() % 17, room = 1 + rand() % 40;
        for (size_t k = 0; k < len; k++)
            bytes[k] = rand();
        char *out = malloc(room);
        memset(out, 'x', room);
        unsigned n = disasm_one(bytes, len, 0xffffffff81000000, 16 << rand() % 3, s, out, room);
        assert_true(n <= len && n <= DISASM_INSN_MAX);
        assert_non_null(memchr(out, 0, room));
        free(out);
    }
    symbols_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_modes),
        cmocka_unit_test(test_anything),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
