/* The base: bits, errors, allocation, the log. */
#include "base/alloc.h"
#include "base/bits.h"
#include "base/error.h"
#include "base/log.h"
#include "test_machine.h"

#include <errno.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

static void test_bits(void **state)
{
    assert_true(bits_mask(0) == 0);
    assert_true(bits_mask(1) == 1);
    assert_true(bits_mask(63) == UINT64_MAX >> 1);
    assert_true(bits_mask(64) == UINT64_MAX);
    assert_true(bits_get(0xabcd, 4, 8) == 0xbc);
    assert_true(bits_put(0xabcd, 4, 8, 0xfff) == 0xaffd);
    assert_true(bits_put(0, 0, 64, UINT64_MAX) == UINT64_MAX);
    assert_true(align_down(0x1fff, 0x1000) == 0x1000);
    assert_true(align_up(0x1001, 0x1000) == 0x2000);
    assert_true(align_up(0x1000, 0x1000) == 0x1000);
    assert_false(is_pow2(0));
    assert_true(is_pow2(1));
    assert_true(is_pow2(1ULL << 63));
    assert_false(is_pow2(3));
}

static void test_byte_order(void **state)
{
    uint8_t b[9] = { 0, 1, 2, 3, 4, 5, 6, 7, 8 };
    assert_true(ld_le(b + 1, 8) == 0x0807060504030201);
    assert_true(ld_le(b + 1, 1) == 1);
    assert_int_equal(ld_le16(b + 1), 0x0201);
    assert_int_equal(ld_be16(b + 1), 0x0102);
    assert_int_equal(ld_be32(b + 1), 0x01020304);
    st_le(b, 2, 0xaabbccdd);
    assert_int_equal(b[0], 0xdd);
    assert_int_equal(b[1], 0xcc);
    assert_int_equal(b[2], 2);
    st_be32(b + 1, 0x11223344);
    assert_int_equal(b[1], 0x11);
    assert_int_equal(b[4], 0x44);
}

static void test_errors(void **state)
{
    struct error e = { 0 };
    assert_false(error_set(&e, "no file '%s'", "x"));
    assert_int_equal(e.kind, ERROR_CONFIG);
    error_prefix(&e, "%s:%d: ", "pc.lua", 12);
    assert_string_equal(e.text, "pc.lua:12: no file 'x'");
    assert_false(error_set_host(&e, ENOENT, "cannot open %s", "y"));
    assert_int_equal(e.kind, ERROR_HOST);
    assert_string_equal(e.text, "cannot open y: No such file or directory");
    assert_false(error_set_host(&e, 0, "plain"));
    assert_string_equal(e.text, "plain");
    assert_false(error_set(NULL, "nobody listens"));
    error_prefix(NULL, "nor here");
}

static void test_long_errors_are_cut(void **state)
{
    struct error e = { 0 };
    char big[3000];
    memset(big, 'a', sizeof big);
    big[sizeof big - 1] = 0;
    error_set(&e, "%s", big);
    assert_int_equal(strlen(e.text), sizeof e.text - 1);
    error_prefix(&e, "where: ");
    assert_int_equal(strlen(e.text), sizeof e.text - 1);
    assert_memory_equal(e.text, "where: aaa", 10);
    error_prefix(&e, "%s", big);
    assert_int_equal(strlen(e.text), sizeof e.text - 1);
    error_set_host(&e, ENOENT, "%s", big);
    assert_int_equal(strlen(e.text), sizeof e.text - 1);
}

static void test_alloc(void **state)
{
    uint32_t *p = alloc_zero(4, sizeof *p);
    assert_int_equal(p[0] | p[1] | p[2] | p[3], 0);
    p[3] = 7;
    p = alloc_resize(p, 100, sizeof *p);
    assert_int_equal(p[3], 7);
    free(p);
    free(alloc_zero(0, 0));
    char *s = alloc_printf("%s-%d", "a", 5);
    assert_string_equal(s, "a-5");
    free(s);
    struct {
        int *items;
        size_t count, capacity;
    } a = { 0 };
    for (int i = 0; i < 100; i++) {
        ALLOC_GROW(a.items, a.count, a.capacity);
        a.items[a.count++] = i;
    }
    assert_int_equal(a.items[99], 99);
    assert_true(a.capacity >= 100);
    free(a.items);
}

static void test_alloc_failure_ends_with_4(void **state)
{
    pid_t child = fork();
    assert_true(child >= 0);
    if (!child) {
        fclose(stderr);
        alloc_resize(NULL, SIZE_MAX / 2, 16);
        _Exit(0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 4);
}

static void test_log(void **state)
{
    char path[] = "/tmp/perilune-log-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_true(log_set_file(path));
    log_host(LOG_INFO, "part", "not shown");
    log_host(LOG_ERROR, "part", "shown %d", 1);
    log_set_level(LOG_INFO);
    log_host(LOG_INFO, "part", "shown %d", 2);
    uint64_t before = log_guest_count();
    for (int i = 0; i < 3; i++)
        log_guest(i < 2 ? "chip" : "other", "odd write of %d", i);
    assert_true(log_guest_count() == before + 3);
    char text[1024] = "";
    ssize_t n = read(fd, text, sizeof text - 1);
    assert_true(n > 0);
    text[n] = 0;
    assert_string_equal(text, "perilune: error: part: shown 1\n"
                              "perilune: info: part: shown 2\n"
                              "perilune: warning: chip: odd write of 0\n"
                              "perilune: warning: other: odd write of 2\n");
    assert_false(log_set_file("/nonexistent/dir/log"));
    close(fd);
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bits),   cmocka_unit_test(test_byte_order),
        cmocka_unit_test(test_errors), cmocka_unit_test(test_long_errors_are_cut),
        cmocka_unit_test(test_alloc),  cmocka_unit_test(test_alloc_failure_ends_with_4),
        cmocka_unit_test(test_log),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
