/* Kallsyms of the kernel that Debian ships: packed, stripped, from the file and from memory, and
 * with damage around its tables. */
#define _GNU_SOURCE /* memmem */
#include "debian_kernel.h"

#include "base/bits.h"
#include "debug/kallsyms.h"
#include "debug/kernel_image.h"
#include "debug/symbols.h"

static struct kernel_image *open_kernel(void)
{
    struct error err = { 0 };
    struct kernel_image *k = kernel_image_open(debian_kernel(), NULL, &err);
    if (!k)
        fail_msg("%s", err.text);
    return k;
}

static const char *const known[] = { "start_kernel", "do_sys_openat2",     "entry_SYSCALL_64",
                                     "linux_banner", "asm_exc_page_fault", "schedule",
                                     "panic" };

static void test_image(void **state)
{
    struct symbols *s = symbols_new();
    struct error err = { 0 };
    if (!symbols_load(s, debian_kernel(), NULL, &err))
        fail_msg("%s", err.text);
    print_message("%zu symbols\n", symbols_count(s));
    assert_true(symbols_count(s) > 90000);
    struct kernel_image *k = open_kernel();
    for (size_t i = 0; i < ARRAY_LEN(known); i++) {
        size_t count, size;
        const struct symbol *a = symbols_find(s, known[i], &count);
        assert_non_null(a);
        assert_int_equal(count, 1);
        assert_ptr_equal(symbols_at(s, a->addr, NULL), a);
        assert_non_null(kernel_image_at(k, a->addr, &size));
    }
    /* The right addresses: the text that the name promises is there, and so is SWAPGS. */
    size_t size;
    const uint8_t *p = kernel_image_at(k, symbols_find(s, "linux_banner", NULL)->addr, &size);
    assert_memory_equal(p, "Linux version 6.", 16);
    p = kernel_image_at(k, symbols_find(s, "entry_SYSCALL_64", NULL)->addr, &size);
    assert_non_null(memmem(p, 16, "\x0f\x01\xf8", 3));
    kernel_image_close(k);
    symbols_free(s);
}

static void test_ascending(void **state)
{
    struct kernel_image *image = open_kernel();
    struct kallsyms k;
    struct error err = { 0 };
    size_t size;
    const uint8_t *data = kernel_image_bytes(image, &size);
    if (!kallsyms_find(&k, data, size, &err))
        fail_msg("%s", err.text);
    assert_int_equal(k.encoding, KALLSYMS_PERCPU);
    struct kallsyms_cursor cursor = { 0 };
    struct kallsyms_symbol symbol;
    uint64_t before = 0;
    uint32_t count = 0;
    for (; kallsyms_next(&k, &cursor, &symbol); count++) {
        assert_true(symbol.addr >= before);
        assert_true(symbol.len > 0 && strchr("aAbBdDrRtTvVwWnN", symbol.type));
        before = symbol.addr;
    }
    assert_int_equal(count, k.count);
    kernel_image_close(image);
}

static void test_damage(void **state)
{
    struct kernel_image *image = open_kernel();
    struct kallsyms k;
    size_t size, margin = 4096;
    const uint8_t *data = kernel_image_bytes(image, &size);
    assert_true(kallsyms_find(&k, data, size, NULL));
    size_t start = align_down(k.addresses - margin, 8), end = k.token_index + 512 + margin;
    uint8_t *copy = malloc(end - start);
    unsigned found = 0;
    srand(3);
    for (unsigned i = 0; i < 60; i++) {
        memcpy(copy, data + start, end - start);
        for (unsigned n = 0; n < 1u << i % 6; n++)
            copy[rand() % (end - start)] = rand();
        if (kallsyms_find(&k, copy, end - start, NULL)) {
            struct kallsyms_cursor cursor = { 0 };
            struct kallsyms_symbol symbol;
            while (kallsyms_next(&k, &cursor, &symbol))
                assert_true(symbol.len < sizeof cursor.name);
            found++;
        }
    }
    assert_true(found > 0 && found < 60);
    free(copy);
    kernel_image_close(image);
}

/* The image as a guest has mapped it, 0x1c000000 further up than linked; its own pointers too. */
struct mapped {
    struct kernel_image *image;
    uint64_t slide;
    size_t base_at; /* of the relative base in the file */
};

static bool read_mapped(void *opaque, uint64_t gva, void *buf, size_t len)
{
    const struct mapped *m = opaque;
    size_t have, size;
    const uint8_t *p = kernel_image_at(m->image, gva - m->slide, &have);
    if (!p || gva < m->slide)
        return false;
    memcpy(buf, p, len < have ? len : have);
    if (len > have)
        memset((char *)buf + have, 0, len - have);
    const uint8_t *file = kernel_image_bytes(m->image, &size);
    size_t at = p - file;
    if (m->base_at >= at && m->base_at + 8 <= at + len)
        st_le64((char *)buf + (m->base_at - at), ld_le64(file + m->base_at) + m->slide);
    return true;
}

static void test_memory(void **state)
{
    struct mapped m = { .image = open_kernel(), .slide = 0x1c000000 };
    struct guest_memory mem = { read_mapped, &m };
    struct symbols *s = symbols_new(), *file = symbols_new();
    struct error err = { 0 };
    struct kallsyms k;
    size_t size;
    unsigned running, source;
    const uint8_t *data = kernel_image_bytes(m.image, &size);
    assert_true(kallsyms_find(&k, data, size, NULL));
    m.base_at = align_up(k.addresses + 4 * k.count, 8);
    if (!symbols_load_kallsyms_memory(s, &mem, &running, &err) ||
        !symbols_load(file, debian_kernel(), &source, &err))
        fail_msg("%s", err.text);
    assert_int_equal(symbols_count(s), symbols_count(file));
    uint64_t slide;
    assert_true(symbols_find_slide(file, source, &mem, NULL, &slide, &err));
    assert_true(slide == m.slide);
    symbols_set_bias(file, source, slide);
    for (size_t i = 0; i < symbols_count(s); i++)
        assert_true(symbols_by_name(s, i)->addr == symbols_by_name(file, i)->addr);
    /* Unmapped, there is nothing to find, and it says so. */
    m.slide = 0x7f00000000000000;
    assert_false(symbols_load_kallsyms_memory(s, &mem, NULL, &err));
    assert_non_null(strstr(err.text, "nothing is mapped"));
    symbols_free(s);
    symbols_free(file);
    kernel_image_close(m.image);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_image),
        cmocka_unit_test(test_ascending),
        cmocka_unit_test(test_damage),
        cmocka_unit_test(test_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
