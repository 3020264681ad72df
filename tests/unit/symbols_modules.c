/* BTF, and the symbols of modules in a guest's memory: made by hand, cut and damaged. */
#include "base/bits.h"
#include "debug/btf.h"
#include "debug/symbols.h"
#include "test_machine.h"

#include <elf.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define BASE 0xffffffffa0000000ull

/* Where things lie in the guest, from BASE on. */
enum {
    SIZE = 0x8000,
    LIST = 0x10,
    BTF = 0x1000,
    MODULE = 0x3000,
    MODULE_STRIDE = 0x200,
    TABLES = 0x3800, /* struct mod_kallsyms, one for all */
    SYMTAB = 0x3900,
    STRTAB = 0x3c00,
    CODE = 0x6000,
};

struct guest {
    uint8_t bytes[SIZE];
    size_t btf_size;
};

static bool read_guest(void *opaque, uint64_t gva, void *buf, size_t len)
{
    struct guest *g = opaque;
    if (gva < BASE || gva - BASE > SIZE || len > SIZE - (gva - BASE))
        return false;
    memcpy(buf, g->bytes + (gva - BASE), len);
    return true;
}

/* ---- BTF ---- */

struct builder {
    uint8_t types[4096];
    char strings[1024];
    size_t size, strings_size;
};

static void word(struct builder *b, uint32_t value)
{
    st_le32(b->types + b->size, value);
    b->size += 4;
}

static uint32_t string(struct builder *b, const char *text)
{
    uint32_t at = b->strings_size;
    memcpy(b->strings + at, text, strlen(text) + 1);
    b->strings_size += strlen(text) + 1;
    return at;
}

static void type(struct builder *b, const char *name, unsigned kind, unsigned members,
                 uint32_t size)
{
    word(b, string(b, name));
    word(b, kind << 24 | members);
    word(b, size);
}

static void member(struct builder *b, const char *name, uint32_t id, uint32_t offset)
{
    word(b, string(b, name));
    word(b, id);
    word(b, offset * 8);
}

enum {
    T_UINT = 1,
    T_PTR,
    T_CHAR,
    T_NAME,
    T_LIST,
    T_MEMORY,
    T_MEMS,
    T_TYPEDEF,
    T_TABLES,
    T_UNNAMED,
    T_ARCH
};

static void common_types(struct builder *b)
{
    *b = (struct builder){ .strings_size = 1 };
    type(b, "unsigned int", 1, 0, 4), word(b, 32);
    type(b, "", 2, 0, 0);
    type(b, "char", 1, 0, 1), word(b, 8);
    type(b, "", 3, 0, 0), word(b, T_CHAR), word(b, T_UINT), word(b, 56);
    type(b, "list_head", 4, 2, 16), member(b, "next", T_PTR, 0), member(b, "prev", T_PTR, 8);
    type(b, "module_memory", 4, 2, 24), member(b, "base", T_PTR, 0), member(b, "size", T_UINT, 8);
    type(b, "", 3, 0, 0), word(b, T_MEMORY), word(b, T_UINT), word(b, 3);
    type(b, "state_t", 8, 0, T_UINT);
    type(b, "mod_kallsyms", 4, 3, 32), member(b, "symtab", T_PTR, 0);
    member(b, "num_symtab", T_UINT, 8), member(b, "strtab", T_PTR, 16);
    type(b, "", 4, 1, 8), member(b, "kallsyms", T_PTR, 0);
    type(b, "mod_arch_specific", 4, 3, 24), member(b, "num_orcs", T_UINT, 0);
    member(b, "orc_unwind_ip", T_PTR, 8), member(b, "orc_unwind", T_PTR, 16);
}

/* struct module of Linux 6.4 and later, or of before. */
static void module_type(struct builder *b, bool new)
{
    type(b, "module", 4, new ? 6 : 7, 512);
    member(b, "state", T_TYPEDEF, 0), member(b, "list", T_LIST, 8), member(b, "name", T_NAME, 24);
    if (new)
        member(b, "mem", T_MEMS, 0x80);
    else
        member(b, "core_layout", T_MEMORY, 0x80), member(b, "init_layout", T_MEMORY, 0x98);
    member(b, "", T_UNNAMED, 0x100);
    member(b, "arch", T_ARCH, 0x110);
}

static size_t finish(const struct builder *b, uint8_t *out)
{
    memset(out, 0, 24);
    st_le16(out, 0xeb9f);
    out[2] = 1;
    st_le32(out + 4, 24);
    st_le32(out + 12, b->size);
    st_le32(out + 16, b->size);
    st_le32(out + 20, b->strings_size);
    memcpy(out + 24, b->types, b->size);
    memcpy(out + 24 + b->size, b->strings, b->strings_size);
    return 24 + b->size + b->strings_size;
}

static void check_place(const struct btf *b, const char *t, const char *m, uint32_t offset,
                        uint32_t size, uint32_t count)
{
    struct btf_place place;
    if (!btf_find(b, t, m, &place))
        fail_msg("no %s in %s", m, t);
    assert_int_equal(place.offset, offset);
    assert_int_equal(place.size, size);
    assert_int_equal(place.count, count);
}

static void test_btf(void **state)
{
    struct builder b;
    struct btf_place place;
    struct error err = { 0 };
    uint8_t *bytes = test_malloc(8192);
    common_types(&b);
    module_type(&b, false);
    size_t size = finish(&b, bytes);
    struct btf *btf = btf_new(bytes, size, &err);
    if (!btf)
        fail_msg("%s", err.text);
    check_place(btf, "module", "name", 24, 1, 56);
    check_place(btf, "module", "state", 0, 4, 1);
    check_place(btf, "module", "kallsyms", 0x100, 8, 1);
    check_place(btf, "module", "init_layout.size", 0xa0, 4, 1);
    check_place(btf, "module", "list.prev", 16, 8, 1);
    assert_false(btf_find(btf, "module", "nam", &place));
    assert_false(btf_find(btf, "module", "state.base", &place));
    assert_false(btf_find(btf, "modul", "name", &place));
    btf_free(btf);
    for (size_t cut = 0; cut < size; cut++)
        assert_null(btf_new(bytes, cut, &err));
    assert_non_null(strstr(err.text, "not within"));
    bytes[0]++;
    assert_null(btf_new(bytes, size, &err));
    test_free(bytes);
}

/* ---- modules ---- */

static void put64(struct guest *g, size_t at, uint64_t value)
{
    st_le64(g->bytes + at, value);
}

static void add_symbol(struct guest *g, unsigned index, const char *name, uint64_t addr,
                       uint8_t info)
{
    Elf64_Sym sym = { .st_name = index * 16, .st_info = info, .st_shndx = 1, .st_value = addr };
    memcpy(g->bytes + SYMTAB + index * sizeof sym, &sym, sizeof sym);
    snprintf((char *)g->bytes + STRTAB + index * 16, 16, "%s", name);
}

static void add_module(struct guest *g, unsigned index, unsigned count, const char *name)
{
    size_t at = MODULE + index * MODULE_STRIDE;
    put64(g, at + 8, BASE + (index + 1 == count ? LIST : at + MODULE_STRIDE + 8));
    snprintf((char *)g->bytes + at + 24, 56, "%s", name);
    put64(g, at + 0x80, BASE + CODE + index * 0x800);
    st_le32(g->bytes + at + 0x88, 0x800);
    put64(g, at + 0x100, index == 0 ? BASE + TABLES : 0);
}

static void make_guest(struct guest *g, bool new)
{
    struct builder b;
    memset(g, 0, sizeof *g);
    common_types(&b);
    module_type(&b, new);
    g->btf_size = finish(&b, g->bytes + BTF);
    put64(g, LIST, BASE + MODULE + 8);
    add_module(g, 0, 2, "e1000");
    add_module(g, 1, 2, "empty");
    st_le32(g->bytes + MODULE + 0x110, 77);
    put64(g, MODULE + 0x118, BASE + 0x7000);
    put64(g, MODULE + 0x120, BASE + 0x7200);
    put64(g, TABLES, BASE + SYMTAB);
    st_le32(g->bytes + TABLES + 8, 6);
    put64(g, TABLES + 16, BASE + STRTAB);
    add_symbol(g, 1, "e1000_open", BASE + CODE + 0x10, ELF64_ST_INFO(STB_LOCAL, STT_FUNC));
    add_symbol(g, 2, "e1000_close", BASE + CODE + 0x100, ELF64_ST_INFO(STB_GLOBAL, STT_FUNC));
    add_symbol(g, 3, "elsewhere", BASE + 0x10, 0);
    add_symbol(g, 4, "", BASE + CODE + 0x200, 0);
    add_symbol(g, 5, "undefined", BASE + CODE + 0x300, 0);
    g->bytes[SYMTAB + 5 * sizeof(Elf64_Sym) + 6] = SHN_UNDEF;
}

static struct symbols *kernel_symbols(const struct guest *g)
{
    char path[64];
    struct error err = { 0 };
    struct symbols *s = symbols_new();
    snprintf(path, sizeof path, "/tmp/perilune-modules-%d", getpid());
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fprintf(f, "%llx D modules\n%llx R __start_BTF\n%llx R __stop_BTF\n", BASE + LIST, BASE + BTF,
            BASE + BTF + g->btf_size);
    assert_int_equal(fclose(f), 0);
    if (!symbols_load(s, path, NULL, &err))
        fail_msg("%s", err.text);
    unlink(path);
    return s;
}

static void load(struct symbols *s, struct guest *g)
{
    struct error err = { 0 };
    struct guest_memory mem = { read_guest, g };
    if (!symbols_load_modules(s, &mem, &err))
        fail_msg("%s", err.text);
}

static void check_text(struct symbols *s, uint64_t addr, const char *text)
{
    char out[128];
    assert_string_equal(symbols_format(s, addr, out, sizeof out), text);
}

static void test_modules(void **state)
{
    struct guest g;
    for (unsigned new = 0; new < 2; new ++) {
        make_guest(&g, new);
        struct symbols *s = kernel_symbols(&g);
        load(s, &g);
        assert_int_equal(symbols_source_count(s), 3);
        assert_string_equal(symbols_source(s, 1)->module, "e1000");
        assert_int_equal(symbols_source(s, 1)->count, 2);
        assert_int_equal(symbols_source(s, 2)->count, 0);
        assert_int_equal(symbols_source(s, 1)->orc.count, 77);
        assert_int_equal(symbols_source(s, 1)->orc.ips, BASE + 0x7000);
        assert_int_equal(symbols_source(s, 1)->orc.entries, BASE + 0x7200);
        assert_int_equal(symbols_source(s, 2)->orc.count, 0);
        check_text(s, BASE + CODE + 0x20, "e1000_open+0x10/0xf0 [e1000]");
        check_text(s, BASE + CODE + 0x100, "e1000_close [e1000]");
        check_text(s, BASE + CODE + 0x900, "0xffffffffa0006900"); /* past the module's memory */
        assert_int_equal(symbols_find(s, "e1000_open", NULL)->type, 't');
        assert_null(symbols_find(s, "elsewhere", NULL));
        assert_null(symbols_find(s, "undefined", NULL));
        symbols_free(s);
    }
}

static void test_come_and_go(void **state)
{
    struct guest g;
    make_guest(&g, true);
    struct symbols *s = kernel_symbols(&g);
    load(s, &g);
    load(s, &g); /* nothing has changed: the same sources */
    assert_int_equal(symbols_source_count(s), 3);
    g.bytes[MODULE] = 3; /* not formed yet */
    load(s, &g);
    assert_false(symbols_source(s, 1)->loaded);
    assert_true(symbols_source(s, 2)->loaded);
    assert_null(symbols_find(s, "e1000_open", NULL));
    g.bytes[MODULE] = 0;
    put64(&g, MODULE + 0x80, BASE + CODE + 0x80);
    load(s, &g); /* elsewhere: what is not in it any more is no symbol of it */
    assert_null(symbols_find(s, "e1000_open", NULL));
    assert_non_null(symbols_find(s, "e1000_close", NULL));
    put64(&g, LIST, BASE + LIST);
    load(s, &g);
    assert_int_equal(symbols_count(s), 3);
    symbols_free(s);
}

static void check_refused(struct guest *g, const char *words)
{
    struct error err = { 0 };
    struct guest_memory mem = { read_guest, g };
    struct symbols *s = kernel_symbols(g);
    assert_false(symbols_load_modules(s, &mem, &err));
    if (!strstr(err.text, words))
        fail_msg("\"%s\" does not contain \"%s\"", err.text, words);
    assert_int_equal(symbols_count(s), 3);
    symbols_free(s);
}

static void test_refusals(void **state)
{
    struct guest g;
    struct error err = { 0 };
    struct guest_memory mem = { read_guest, &g };
    struct symbols *s = symbols_new();
    make_guest(&g, true);
    assert_false(symbols_load_modules(s, &mem, &err));
    assert_non_null(strstr(err.text, "no symbol __start_BTF"));
    symbols_free(s);
    put64(&g, MODULE + 8, BASE + MODULE + 8);
    check_refused(&g, "the list has no end");
    put64(&g, MODULE + 8, 0x1000);
    check_refused(&g, "number 1 of the list, at 0xff8, is no module");
    put64(&g, MODULE + 8, BASE + 0x7f00);
    check_refused(&g, "is no module");
    g.bytes[BTF] = 0;
    check_refused(&g, "wrong magic");
}

/* Whatever is damaged, it ends; nothing outside of the tables is touched (the sanitizers tell). */
static void test_damage(void **state)
{
    struct guest good, *g = test_malloc(sizeof *g);
    struct guest_memory mem = { read_guest, g };
    make_guest(&good, true);
    srand(7);
    for (unsigned i = 0; i < 3000; i++) {
        *g = good;
        for (unsigned n = 0; n < 4; n++)
            g->bytes[(n & 1 ? BTF : LIST) + rand() % (n & 1 ? 0x600 : 0x4000)] = rand();
        struct symbols *s = kernel_symbols(&good);
        symbols_load_modules(s, &mem, NULL);
        symbols_at(s, BASE + CODE + 0x20, NULL);
        symbols_free(s);
    }
    test_free(g);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_btf),         cmocka_unit_test(test_modules),
        cmocka_unit_test(test_come_and_go), cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_damage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
