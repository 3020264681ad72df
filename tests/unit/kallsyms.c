/* Kallsyms tables made by the test, in the orders that kernels have had, whole and damaged. */
#include "base/alloc.h"
#include "base/bits.h"
#include "debug/kallsyms.h"
#include "test_machine.h"

#include <stdio.h>
#include <stdlib.h>

enum order { ORDER_6_1, ORDER_6_2, ORDER_6_4, ORDER_OLD, ORDERS };

enum { COUNT = 1500, PERCPU = 10, FILE_MAX = 128 * 1024 };

static const uint64_t base = 0xffffffff81000000;

struct table {
    uint8_t bytes[FILE_MAX];
    size_t size;
    enum order order;
    enum kallsyms_encoding encoding;
};

static void put(struct table *t, const void *data, size_t size)
{
    assert_true(t->size + size <= FILE_MAX);
    memcpy(t->bytes + t->size, data, size);
    t->size += size;
}

static void put_value(struct table *t, uint64_t value, unsigned size)
{
    put(t, &value, size);
}

static void put_align(struct table *t)
{
    while (t->size % 8)
        put_value(t, 0, 1);
}

static void name_of(unsigned i, char *name)
{
    if (i == 700) /* longer than one byte of length tells */
        memset(name, 'x', 300), name[0] = 't', name[300] = 0;
    else
        sprintf(name, "%c%s_%04u", i % 3 ? 't' : 'T', i % 2 ? "do_sys_thing" : "fn", i);
}

static uint64_t address_of(const struct table *t, unsigned i)
{
    if (i < PERCPU && t->encoding == KALLSYMS_PERCPU)
        return i * 0x100;
    return base + i * 0x40;
}

static void put_addresses(struct table *t)
{
    put_align(t);
    for (unsigned i = 0; i < COUNT; i++) {
        uint64_t addr = address_of(t, i);
        if (t->encoding == KALLSYMS_ABSOLUTE)
            put_value(t, addr, 8);
        else if (t->encoding == KALLSYMS_RELATIVE || i < PERCPU)
            put_value(t, i < PERCPU && t->encoding == KALLSYMS_PERCPU ? addr : addr - base, 4);
        else
            put_value(t, base - 1 - addr, 4);
    }
    put_align(t);
    if (t->encoding != KALLSYMS_ABSOLUTE)
        put_value(t, base, 8);
}

/* Bytes stand for themselves, but 0x80 for "do_sys_" and 0 for "able". */
static void put_names(struct table *t)
{
    unsigned width = t->order == ORDER_OLD ? 8 : 4;
    uint64_t markers[COUNT / 256 + 1];
    put_value(t, COUNT, 4);
    put_align(t);
    size_t start = t->size;
    for (unsigned i = 0; i < COUNT; i++) {
        char name[512], packed[512];
        size_t n = 0;
        name_of(i, name);
        for (const char *p = name; *p;) {
            bool token = strncmp(p, "do_sys_", 7) == 0;
            packed[n++] = token ? '\x80' : *p;
            p += token ? 7 : 1;
        }
        if (i % 256 == 0)
            markers[i / 256] = t->size - start;
        put_value(t, n < 128 ? n : (n & 0x7f) | 0x80 | n >> 7 << 8, n < 128 ? 1 : 2);
        put(t, packed, n);
    }
    put_align(t);
    for (unsigned i = 0; i < ARRAY_LEN(markers); i++)
        put_value(t, markers[i], width);
    put_align(t);
}

static void put_tokens(struct table *t)
{
    uint16_t index[256];
    size_t start = t->size;
    for (unsigned i = 0; i < 256; i++) {
        index[i] = t->size - start;
        if (i == 0)
            put(t, "able", 4);
        else if (i == 0x80)
            put(t, "do_sys_", 7);
        else if (i > ' ' && i < 0x7f)
            put_value(t, i, 1);
        put_value(t, 0, 1);
    }
    put_align(t);
    put(t, index, sizeof index);
}

static void put_seqs(struct table *t)
{
    for (unsigned i = 0; i < COUNT; i++)
        put_value(t, i * 7919 % COUNT, 3);
    put_align(t);
}

static void build(struct table *t, enum order order, enum kallsyms_encoding encoding)
{
    t->size = 0;
    t->order = order;
    t->encoding = encoding;
    for (unsigned i = 0; i < 3000; i++)
        put_value(t, i * 2654435761u >> 24, 1);
    if (order != ORDER_6_4)
        put_addresses(t);
    put_align(t);
    put_names(t);
    if (order == ORDER_6_2)
        put_seqs(t);
    put_tokens(t);
    if (order == ORDER_6_4)
        put_addresses(t);
    put_seqs(t);
}

static void assert_whole(const struct table *t)
{
    struct kallsyms k;
    struct error err = { 0 };
    if (!kallsyms_find(&k, t->bytes, t->size, &err))
        fail_msg("order %d: %s", t->order, err.text);
    assert_int_equal(k.count, COUNT);
    assert_int_equal(k.encoding, t->encoding);
    struct kallsyms_cursor cursor = { 0 };
    struct kallsyms_symbol symbol;
    unsigned i = 0;
    for (; kallsyms_next(&k, &cursor, &symbol); i++) {
        char name[512];
        name_of(i, name);
        assert_int_equal(symbol.type, name[0]);
        assert_string_equal(symbol.name, name + 1);
        assert_int_equal(symbol.len, strlen(name + 1));
        assert_true(symbol.addr == address_of(t, i));
        assert_true(symbol.fixed == (i < PERCPU && t->encoding == KALLSYMS_PERCPU));
    }
    assert_int_equal(i, COUNT);
}

static void test_orders(void **state)
{
    struct table *t = ALLOC(struct table);
    for (enum order order = 0; order < ORDERS; order++) {
        build(t, order, KALLSYMS_PERCPU);
        assert_whole(t);
        build(t, order, KALLSYMS_RELATIVE);
        assert_whole(t);
        build(t, order, KALLSYMS_ABSOLUTE);
        assert_whole(t);
    }
    free(t);
}

/* Whatever is found can be walked to its end, in order. */
static bool find_and_walk(const uint8_t *data, size_t size)
{
    struct kallsyms k;
    struct error err = { 0 };
    if (!kallsyms_find(&k, data, size, &err)) {
        assert_non_null(strstr(err.text, "kallsyms: "));
        return false;
    }
    struct kallsyms_cursor cursor = { 0 };
    struct kallsyms_symbol symbol;
    uint64_t before = 0;
    uint32_t count = 0;
    for (; kallsyms_next(&k, &cursor, &symbol); count++) {
        assert_true(symbol.addr >= before && symbol.len < sizeof cursor.name);
        assert_int_equal(strlen(symbol.name), symbol.len);
        before = symbol.addr;
    }
    assert_int_equal(count, k.count);
    return true;
}

/* In memory of its own of just that size, so that a sanitizer sees every step too far. */
static bool find_in_copy(const uint8_t *data, size_t size)
{
    uint8_t *copy = malloc(size ? size : 1);
    memcpy(copy, data, size);
    bool found = find_and_walk(copy, size);
    free(copy);
    return found;
}

static void test_cut(void **state)
{
    struct table *t = ALLOC(struct table);
    build(t, ORDER_6_1, KALLSYMS_PERCPU);
    size_t whole = t->size - align_up(COUNT * 3, 8);
    assert_true(find_in_copy(t->bytes, whole));
    assert_false(find_in_copy(t->bytes, whole - 1));
    for (size_t size = 0; size < whole; size += 997)
        assert_false(find_in_copy(t->bytes, size));
    for (size_t from = 4096; from < whole; from += 997)
        assert_false(find_in_copy(t->bytes + from, whole - from));
    free(t);
}

static void test_damaged(void **state)
{
    struct table *t = ALLOC(struct table), *damaged = ALLOC(struct table);
    unsigned found = 0, lost = 0;
    srand(2);
    for (unsigned i = 0; i < 600; i++) {
        build(t, i % ORDERS, i / 4 % 3);
        *damaged = *t;
        for (unsigned k = 0; k < 1 + i % 16; k++)
            damaged->bytes[rand() % t->size] = rand() % 4 ? rand() : 0xff * (rand() % 2);
        bool ok = find_in_copy(damaged->bytes, damaged->size);
        found += ok;
        lost += !ok;
    }
    assert_true(found > 20 && lost > 100);
    free(t);
    free(damaged);
}

static void assert_lost(struct table *t, size_t at, uint8_t byte, const char *why)
{
    struct kallsyms k;
    struct error err = { 0 };
    uint8_t before = t->bytes[at];
    t->bytes[at] = byte;
    assert_false(kallsyms_find(&k, t->bytes, t->size, &err));
    if (!strstr(err.text, why))
        fail_msg("\"%s\" is not in: %s", why, err.text);
    t->bytes[at] = before;
}

/* The message names the part that could not be found. */
static void test_messages(void **state)
{
    struct table *t = ALLOC(struct table);
    struct kallsyms k;
    build(t, ORDER_6_1, KALLSYMS_PERCPU);
    assert_true(kallsyms_find(&k, t->bytes, t->size, NULL));
    uint8_t *digits = memchr(t->bytes + k.token_table, '5', 1000);
    assert_lost(t, digits - t->bytes, 'x', "no token table in it");
    assert_lost(t, k.token_index + 3, 0xee, "no token table with its index");
    assert_lost(t, k.markers + 5, 0xee, "no names that fit");
    assert_lost(t, k.names, 0x7f, "no names that fit");
    assert_lost(t, k.addresses + 4 * 700 + 3, 0x11, "no ascending addresses");
    free(t);
}

/* What looks like tables everywhere costs a bounded effort. */
static void test_hostile(void **state)
{
    size_t size = 4 << 20;
    uint8_t *data = alloc_zero(1, size);
    struct table *t = ALLOC(struct table);
    build(t, ORDER_6_1, KALLSYMS_PERCPU);
    struct kallsyms k;
    assert_true(kallsyms_find(&k, t->bytes, t->size, NULL));
    /* Tokens at the end, before them nothing but beginnings of markers. */
    size_t tokens = t->size - k.token_table, at = align_down(size - tokens, 8);
    memcpy(data + at, t->bytes + k.token_table, tokens);
    for (size_t i = 0; i + 16 <= at; i += 16) {
        st_le32(data + i + 4, 1000);
        st_le32(data + i + 8, 3000);
        st_le32(data + i + 12, 700);
    }
    assert_false(find_and_walk(data, size));
    for (size_t i = 0; i + 20 <= size; i += 20)
        memcpy(data + i, "0\0001\0002\0003\0004\0005\0006\0007\0008\0009", 20);
    assert_false(find_and_walk(data, size));
    free(data);
    free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_orders),  cmocka_unit_test(test_cut),
        cmocka_unit_test(test_damaged), cmocka_unit_test(test_messages),
        cmocka_unit_test(test_hostile),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
