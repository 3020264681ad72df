/* The table of symbols: sources, lookups, text, and the slide of a kernel in synthetic memory. */
#include "base/bits.h"
#include "debug/symbols.h"
#include "test_machine.h"

#include <elf.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static char path[64];

static void write_file(const void *data, size_t size)
{
    snprintf(path, sizeof path, "/tmp/perilune-symbols-%d", getpid());
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, size, f), size);
    assert_int_equal(fclose(f), 0);
}

static unsigned load_text(struct symbols *s, const char *text)
{
    unsigned source;
    struct error err = { 0 };
    write_file(text, strlen(text));
    if (!symbols_load(s, path, &source, &err))
        fail_msg("%s", err.text);
    unlink(path);
    return source;
}

static const char kernel_map[] = "0000000000000000 A __per_cpu_start\n"
                                 "0000000000001000 D cpu_tss\n"
                                 "ffffffff81000000 T _stext\n"
                                 "ffffffff81000000 T startup_64\n"
                                 "ffffffff81000040 t helper\n"
                                 "ffffffff81000080 T do_open\n"
                                 "ffffffff81000100 t show\n"
                                 "ffffffff81000180 t show\n"
                                 "ffffffff81000200 t only\n"
                                 "ffffffff81000240 T only\n"
                                 "ffffffff81400000 T entry_SYSCALL_64\n"
                                 "ffffffff81400100 T asm_exc_page_fault\n"
                                 "ffffffff82000100 R linux_banner\n";

static void assert_format(struct symbols *s, uint64_t addr, const char *text)
{
    char buf[128];
    assert_string_equal(symbols_format(s, addr, buf, sizeof buf), text);
}

static void test_lookup(void **state)
{
    struct symbols *s = symbols_new();
    assert_null(symbols_at(s, 0, NULL));
    assert_null(symbols_find(s, "x", NULL));
    unsigned source = load_text(s, kernel_map);
    assert_int_equal(symbols_source(s, source)->count, 13);
    assert_int_equal(symbols_source(s, source)->kind, SYMBOLS_MAP);
    assert_format(s, 0xffffffff81000000, "startup_64");
    assert_format(s, 0xffffffff81000092, "do_open+0x12/0x80");
    assert_format(s, 0xffffffff80ffffff, "0xffffffff80ffffff");
    assert_format(s, 0xffffffff820010ff, "linux_banner+0xfff/0x1000");
    assert_format(s, 0xffffffff82001100, "0xffffffff82001100");
    assert_format(s, 0x1000, "0x1000");
    assert_format(NULL, 0x1000, "0x1000");
    size_t count;
    const struct symbol *a = symbols_find(s, "show", &count);
    assert_int_equal(count, 2);
    assert_true(a[0].addr == 0xffffffff81000100 && a[1].addr == 0xffffffff81000180);
    a = symbols_find(s, "cpu_tss", &count);
    assert_true(a->fixed && a->addr == 0x1000);
    assert_null(symbols_find(s, "do_ope", NULL));
    assert_null(symbols_find(s, "do_open2", NULL));
    symbols_free(s);
}

static void test_prefix(void **state)
{
    struct symbols *s = symbols_new();
    load_text(s, kernel_map);
    size_t count, first = symbols_prefix(s, "s", &count);
    static const char *const names[] = { "show", "show", "startup_64" };
    assert_int_equal(count, 3);
    for (size_t i = 0; i < count; i++)
        assert_string_equal(symbols_by_name(s, first + i)->name, names[i]);
    symbols_prefix(s, "", &count);
    assert_int_equal(count, symbols_count(s));
    symbols_prefix(s, "zz", &count);
    assert_int_equal(count, 0);
    for (size_t i = 1; i < symbols_count(s); i++)
        assert_true(strcmp(symbols_by_name(s, i - 1)->name, symbols_by_name(s, i)->name) <= 0);
    assert_null(symbols_by_name(s, symbols_count(s)));
    symbols_free(s);
}

static void assert_parses(struct symbols *s, const char *text, uint64_t expected)
{
    uint64_t addr = 0;
    struct error err = { 0 };
    if (!symbols_parse(s, text, &addr, &err))
        fail_msg("%s", err.text);
    assert_true(addr == expected);
}

static void assert_refused(struct symbols *s, const char *text, const char *why)
{
    uint64_t addr;
    struct error err = { 0 };
    assert_false(symbols_parse(s, text, &addr, &err));
    if (!strstr(err.text, why))
        fail_msg("\"%s\" is not in: %s", why, err.text);
}

static void test_parse(void **state)
{
    struct symbols *s = symbols_new();
    assert_refused(s, "do_open", "no symbols are loaded");
    load_text(s, kernel_map);
    assert_parses(s, "do_open", 0xffffffff81000080);
    assert_parses(s, "do_open+0x10", 0xffffffff81000090);
    assert_parses(s, "do_open+16", 0xffffffff81000090);
    assert_parses(s, "do_open-8", 0xffffffff81000078);
    assert_parses(s, "0xffffffff81000001", 0xffffffff81000001);
    assert_parses(s, "4096", 4096);
    assert_parses(s, "only", 0xffffffff81000240);
    assert_refused(s, "do_opne", "nearest known is \"do_open\"");
    assert_refused(s, "do_opem+0x10", "nearest known is \"do_open\"");
    assert_refused(s, "entry_SYSCALL", "nearest known is \"entry_SYSCALL_64\"");
    assert_refused(s, "asm", "the first is \"asm_exc_page_fault\"");
    assert_refused(s, "qqqqqqqq", "no symbol \"qqqqqqqq\"");
    assert_refused(s, "show", "the name of 2 symbols");
    assert_refused(s, "do_open+", "not an offset");
    assert_refused(s, "do_open+0x", "not an offset");
    assert_refused(s, "do_open+zz", "not an offset");
    assert_refused(s, "", "no symbol");
    assert_refused(s, "+", "not an offset");
    char long_name[2000];
    memset(long_name, 'a', sizeof long_name - 1);
    long_name[sizeof long_name - 1] = 0;
    assert_refused(s, long_name, "too long");
    symbols_free(s);
}

static void assert_same(struct symbols *a, struct symbols *b)
{
    assert_int_equal(symbols_count(a), symbols_count(b));
    for (size_t i = 0; i < symbols_count(a); i++) {
        const struct symbol *x = symbols_by_name(a, i), *y = symbols_by_name(b, i);
        assert_string_equal(x->name, y->name);
        assert_true(x->addr == y->addr && x->size == y->size && x->end == y->end);
        assert_ptr_equal(symbols_at(a, x->addr, NULL) == x, symbols_at(b, y->addr, NULL) == y);
    }
}

/* What is sorted already moves along, and is then what sorting again gives: also where one name is
 * a place and a constant, which change places if the kernel is moved beneath it. */
static void test_bias_of_what_is_sorted(void **state)
{
    static const uint64_t biases[] = { 0x200000, 0x3e000000, 0, 0x7f00000000000000, -0x1000ull };
    struct symbols *moved = symbols_new();
    char text[sizeof kernel_map + 64];
    snprintf(text, sizeof text, "%s0000000000002000 D _stext\n", kernel_map);
    unsigned source = load_text(moved, text);
    for (size_t i = 0; i < ARRAY_LEN(biases); i++) {
        struct symbols *anew = symbols_new();
        symbols_prepare(moved);
        symbols_set_bias(moved, source, biases[i]);
        symbols_set_bias(anew, load_text(anew, text), biases[i]);
        assert_same(moved, anew);
        symbols_free(anew);
    }
    symbols_free(moved);
}

static void test_adopt(void **state)
{
    struct symbols *s = symbols_new(), *from = symbols_new();
    load_text(from, kernel_map);
    symbols_prepare(from);
    assert_int_equal(symbols_adopt(s, from), 0);
    assert_int_equal(symbols_count(from), 0);
    assert_parses(s, "do_open", 0xffffffff81000080);
    unsigned program = load_text(from, "401000 T main\n401100 T helper\n");
    program += symbols_adopt(s, from);
    assert_int_equal(program, 1);
    assert_int_equal(symbols_source_count(from), 0);
    assert_int_equal(symbols_find(s, "main", NULL)->source, program);
    symbols_set_bias(s, program, 0x1000);
    assert_parses(s, "main", 0x402000);
    assert_parses(s, "do_open", 0xffffffff81000080);
    symbols_unload(s, program);
    assert_int_equal(symbols_count(s), 13);
    symbols_free(from);
    symbols_free(s);
}

static void test_bias(void **state)
{
    struct symbols *s = symbols_new();
    unsigned kernel = load_text(s, kernel_map);
    unsigned program = load_text(s, "401000 T main\n401100 T helper\n                 U puts\n");
    assert_format(s, 0x401004, "main+0x4/0x100");
    symbols_set_bias(s, kernel, 0x10000000);
    assert_parses(s, "do_open", 0xffffffff91000080);
    assert_format(s, 0xffffffff91000084, "do_open+0x4/0x80");
    assert_format(s, 0xffffffff81000084, "0xffffffff81000084");
    assert_true(symbols_find(s, "cpu_tss", NULL)->addr == 0x1000);
    symbols_set_bias(s, kernel, -0x1000000ull);
    assert_parses(s, "do_open", 0xffffffff80000080);
    symbols_unload(s, kernel);
    assert_int_equal(symbols_count(s), 2);
    assert_false(symbols_source(s, kernel)->loaded);
    assert_null(symbols_find(s, "do_open", NULL));
    assert_parses(s, "helper", 0x401100);
    assert_int_equal(symbols_find(s, "main", NULL)->source, program);
    symbols_free(s);
}

static void assert_load_fails(const void *data, size_t size, const char *why)
{
    struct symbols *s = symbols_new();
    struct error err = { 0 };
    write_file(data, size);
    assert_false(symbols_load(s, path, NULL, &err));
    if (!strstr(err.text, why))
        fail_msg("\"%s\" is not in: %s", why, err.text);
    assert_int_equal(symbols_count(s), 0);
    assert_int_equal(symbols_source_count(s), 0);
    unlink(path);
    symbols_free(s);
}

static void test_bad_maps(void **state)
{
    static const char *const lines[] = {
        "401000 T", "401000 TT main", "40100g T main", "11112222333344445 T main",
        "main",     "\x7f\x01",
    };
    for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
        char text[256];
        int n = snprintf(text, sizeof text, "401000 T ok\n%s\n", lines[i]);
        assert_load_fails(text, n, ":2: expected \"address type name\"");
    }
    assert_load_fails("\n\n", 2, "no symbols in it");
    struct error err = { 0 };
    struct symbols *s = symbols_new();
    assert_false(symbols_load(s, "/nonexistent/map", NULL, &err));
    assert_non_null(strstr(err.text, "/nonexistent/map"));
    symbols_free(s);
}

/* ---- ELF ---- */

enum { TEXT = 0x401000, ELF_SIZE = 1024, STRINGS = 0x100, SYMS = 0x200, SECTIONS = 0x300 };

static void put_symbol(uint8_t *elf, unsigned i, unsigned name, unsigned info, unsigned section,
                       uint64_t addr, uint64_t size)
{
    Elf64_Sym sym = {
        .st_name = name, .st_info = info, .st_shndx = section, .st_value = addr, .st_size = size
    };
    memcpy(elf + SYMS + i * sizeof sym, &sym, sizeof sym);
}

/* One section of code with main (sized), a label in it, and an absolute constant. */
static void build_elf(uint8_t *elf)
{
    static const char strings[] = "\0main\0label\0constant\0data_here";
    memset(elf, 0, ELF_SIZE);
    Elf64_Ehdr h = { .e_type = ET_EXEC,
                     .e_machine = EM_X86_64,
                     .e_version = 1,
                     .e_shoff = SECTIONS,
                     .e_ehsize = sizeof h,
                     .e_shentsize = sizeof(Elf64_Shdr),
                     .e_shnum = 4 };
    memcpy(h.e_ident, ELFMAG "\2\1\1", 7);
    memcpy(elf, &h, sizeof h);
    memcpy(elf + STRINGS, strings, sizeof strings);
    put_symbol(elf, 1, 1, STB_GLOBAL << 4 | STT_FUNC, 1, TEXT, 0x20);
    put_symbol(elf, 2, 6, STB_LOCAL << 4 | STT_NOTYPE, 1, TEXT + 0x40, 0);
    put_symbol(elf, 3, 12, STB_GLOBAL << 4 | STT_NOTYPE, SHN_ABS, 0x1234, 0);
    put_symbol(elf, 4, 21, STB_GLOBAL << 4 | STT_OBJECT, SHN_UNDEF, 0, 0);
    Elf64_Shdr sh[4] = {
        { 0 },
        { .sh_type = SHT_PROGBITS,
          .sh_flags = SHF_ALLOC | SHF_EXECINSTR,
          .sh_addr = TEXT,
          .sh_size = 0x60,
          .sh_offset = 0x80 },
        { .sh_type = SHT_SYMTAB,
          .sh_offset = SYMS,
          .sh_size = 5 * sizeof(Elf64_Sym),
          .sh_link = 3,
          .sh_entsize = sizeof(Elf64_Sym) },
        { .sh_type = SHT_STRTAB, .sh_offset = STRINGS, .sh_size = sizeof strings },
    };
    memcpy(elf + SECTIONS, sh, sizeof sh);
}

static void test_elf(void **state)
{
    uint8_t elf[ELF_SIZE];
    struct error err = { 0 };
    struct symbols *s = symbols_new();
    build_elf(elf);
    write_file(elf, sizeof elf);
    if (!symbols_load(s, path, NULL, &err))
        fail_msg("%s", err.text);
    assert_int_equal(symbols_count(s), 3);
    assert_format(s, TEXT + 4, "main+0x4/0x20");
    assert_format(s, TEXT + 0x41, "label+0x1/0x20");
    assert_format(s, TEXT + 0x60, "0x401060");
    assert_int_equal(symbols_find(s, "main", NULL)->type, 'T');
    assert_int_equal(symbols_find(s, "label", NULL)->type, 't');
    assert_true(symbols_find(s, "constant", NULL)->fixed);
    assert_null(symbols_at(s, 0x1234, NULL));
    assert_null(symbols_find(s, "data_here", NULL));
    unlink(path);
    symbols_free(s);
    memset(elf + SECTIONS + 2 * sizeof(Elf64_Shdr), 0, sizeof(Elf64_Shdr));
    assert_load_fails(elf, sizeof elf, "stripped");
}

/* Cut at each length and with bytes changed: loaded or refused, never worse. */
static void test_elf_damaged(void **state)
{
    uint8_t elf[ELF_SIZE];
    unsigned loaded = 0, refused = 0;
    srand(1);
    for (unsigned i = 0; i < 1500; i++) {
        struct symbols *s = symbols_new();
        struct error err = { 0 };
        size_t size = sizeof elf;
        build_elf(elf);
        if (i < 500)
            size = 1 + i * 2;
        for (unsigned k = 0; i >= 500 && k < 1 + i % 8; k++)
            elf[4 + rand() % (ELF_SIZE - 4)] = rand();
        write_file(elf, size);
        bool ok = symbols_load(s, path, NULL, &err);
        loaded += ok;
        refused += !ok;
        assert_true(ok == (err.text[0] == 0));
        for (size_t k = 0; k < symbols_count(s); k++)
            symbols_at(s, symbols_by_name(s, k)->addr, NULL);
        symbols_free(s);
    }
    unlink(path);
    assert_true(loaded > 100 && refused > 100);
}

/* ---- the slide ---- */

enum { SLIDE = 0x16800000 };

/* A kernel's banner and an interrupt table, as a running guest would have them. */
struct fake_kernel {
    uint64_t slide;
    bool mapped;
    uint8_t idt[16 * 15];
    unsigned reads;
};

static bool fake_read(void *opaque, uint64_t gva, void *buf, size_t len)
{
    static const char banner[] = "Linux version 6.1.0";
    struct fake_kernel *k = opaque;
    uint64_t at = gva - 0xffffffff82000100 - k->slide;
    k->reads++;
    if (gva >= 0xfffffe0000000000 && gva <= 0xfffffe0000000000 + sizeof k->idt - len) {
        memcpy(buf, k->idt + (gva - 0xfffffe0000000000), len);
        return true;
    }
    if (!k->mapped || at > sizeof banner || len > sizeof banner - at)
        return false;
    memcpy(buf, banner + at, len);
    return true;
}

static void test_slide(void **state)
{
    struct symbols *s = symbols_new();
    struct error err = { 0 };
    struct fake_kernel k = { .slide = SLIDE, .mapped = true };
    struct guest_memory mem = { fake_read, &k };
    unsigned source = load_text(s, kernel_map), program = load_text(s, "401000 T main\n");
    uint64_t slide = 0, handler = 0xffffffff81400100 + SLIDE;
    struct symbols_anchors lstar = { .lstar = 0xffffffff81400000 + SLIDE };
    assert_true(symbols_find_slide(s, source, &mem, &lstar, &slide, &err));
    assert_true(slide == SLIDE && k.reads == 1);
    st_le16(k.idt + 14 * 16, handler);
    st_le16(k.idt + 14 * 16 + 6, handler >> 16);
    st_le32(k.idt + 14 * 16 + 8, handler >> 32);
    struct symbols_anchors idt = { .idt_base = 0xfffffe0000000000 };
    k.reads = slide = 0;
    assert_true(symbols_find_slide(s, source, &mem, &idt, &slide, &err));
    assert_true(slide == SLIDE && k.reads == 2);
    /* A set bias changes nothing, wrong anchors mislead nobody, none are needed. */
    symbols_set_bias(s, source, 0x200000);
    struct symbols_anchors wrong = { .lstar = 0xffffffff81400000, .idt_base = 0x1000 };
    assert_true(symbols_find_slide(s, source, &mem, &wrong, &slide, &err) && slide == SLIDE);
    assert_true(symbols_find_slide(s, source, &mem, NULL, &slide, &err) && slide == SLIDE);
    symbols_set_bias(s, source, slide);
    assert_parses(s, "entry_SYSCALL_64", lstar.lstar);
    k.mapped = false;
    assert_false(symbols_find_slide(s, source, &mem, &lstar, &slide, &err));
    assert_non_null(strstr(err.text, "has not mapped itself"));
    assert_false(symbols_find_slide(s, program, &mem, &lstar, &slide, &err));
    assert_non_null(strstr(err.text, "no linux_banner"));
    symbols_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lookup),      cmocka_unit_test(test_prefix),
        cmocka_unit_test(test_parse),       cmocka_unit_test(test_bias),
        cmocka_unit_test(test_adopt),       cmocka_unit_test(test_bias_of_what_is_sorted),
        cmocka_unit_test(test_bad_maps),    cmocka_unit_test(test_elf),
        cmocka_unit_test(test_elf_damaged), cmocka_unit_test(test_slide),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
