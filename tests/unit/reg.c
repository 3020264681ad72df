/* Register tables: access kinds, arrays, functions, unknown offsets. */
#include "dev/reg.h"

#include "base/log.h"
#include "test_machine.h"

struct chip {
    struct reg_bank bank;
    uint32_t values[16];
    unsigned written_index, write_calls;
    uint32_t written;
};

static uint32_t read_twice(void *opaque, unsigned index)
{
    struct chip *c = opaque;
    return 2 * *reg_bank_value(&c->bank, 0x20 + 4 * index);
}

static void note_write(void *opaque, unsigned index, uint32_t written)
{
    struct chip *c = opaque;
    c->written_index = index;
    c->written = written;
    c->write_calls++;
}

static const struct reg table[] = {
    { .name = "CTRL", .offset = 0x00, .reset = 0x11, .rw = 0x0f, .ro = 0xf0 },
    { .name = "STATUS", .offset = 0x04, .reset = 0xff, .w1c = 0x0f, .rc = 0xf0 },
    { .name = "ICR", .offset = 0x08, .rc = 0xff, .w1c = 0xff, .write = note_write },
    { .name = "IMS", .offset = 0x0c, .w1s = 0xff },
    { .name = "KEY", .offset = 0x10, .wo = 0xffff },
    { .name = "ID", .offset = 0x34, .reset = 7, .rw = ~0u, .kept = true },
    { .name = "DATA",
      .offset = 0x20,
      .count = 4,
      .rw = ~0u,
      .read = read_twice,
      .write = note_write },
};

static int setup(void **state)
{
    struct chip *c = calloc(1, sizeof *c);
    size_t len = sizeof table / sizeof table[0];
    assert_int_equal(reg_table_slots(table, len), 10);
    reg_bank_init(&c->bank, "chip", table, len, 0x40, c->values, c);
    reg_bank_reset(&c->bank);
    *state = c;
    return 0;
}

static int teardown(void **state)
{
    struct chip *c = *state;
    reg_bank_fini(&c->bank);
    free(c);
    return 0;
}

static void test_access_kinds(void **state)
{
    struct chip *c = *state;
    struct reg_bank *b = &c->bank;
    assert_int_equal(reg_bank_read(b, 0), 0x11);
    reg_bank_write(b, 0, 0xffffffff);
    assert_int_equal(reg_bank_read(b, 0), 0x1f); /* reserved bits stay 0 */
    assert_int_equal(reg_bank_read(b, 4), 0xff);
    assert_int_equal(reg_bank_read(b, 4), 0x0f); /* reading cleared the rc half */
    reg_bank_write(b, 4, 0x05);
    assert_int_equal(reg_bank_read(b, 4), 0x0a);
    reg_bank_write(b, 0x0c, 0x81);
    reg_bank_write(b, 0x0c, 0x02);
    assert_int_equal(reg_bank_read(b, 0x0c), 0x83);
    reg_bank_write(b, 0x10, 0x12345678);
    assert_int_equal(reg_bank_read(b, 0x10), 0);
    assert_int_equal(*reg_bank_value(b, 0x10), 0x5678);
    *reg_bank_value(b, 8) = 0xc3;
    reg_bank_write(b, 8, 0x03);
    assert_int_equal(c->written, 0x03);
    assert_int_equal(reg_bank_read(b, 8), 0xc0);
    assert_int_equal(reg_bank_read(b, 8), 0);
    reg_bank_reset(b);
    assert_int_equal(reg_bank_read(b, 0), 0x11);
    assert_int_equal(reg_bank_read(b, 0x0c), 0);
}

static void test_arrays_and_functions(void **state)
{
    struct chip *c = *state;
    reg_bank_write(&c->bank, 0x28, 21);
    assert_int_equal(c->written_index, 2);
    assert_int_equal(c->written, 21);
    assert_int_equal(reg_bank_read(&c->bank, 0x28), 42);
    assert_int_equal(reg_bank_read(&c->bank, 0x24), 0);
}

static void test_unknown_offsets(void **state)
{
    struct chip *c = *state;
    const uint32_t unknown[] = { 0x14, 0x30, 0x3c, 0x40, 0x02, 0xfffffffc };
    log_set_level(LOG_ERROR);
    for (size_t i = 0; i < sizeof unknown / sizeof unknown[0]; i++) {
        uint64_t before = log_guest_count();
        assert_int_equal(reg_bank_read(&c->bank, unknown[i]), 0);
        reg_bank_write(&c->bank, unknown[i], 0xff);
        assert_int_equal(log_guest_count(), before + 2);
    }
    assert_int_equal(reg_bank_read(&c->bank, 0), 0x11);
}

static void test_resets(void **state)
{
    struct chip *c = *state;
    reg_bank_write(&c->bank, 0x00, 0x0f);
    reg_bank_write(&c->bank, 0x34, 9);
    reg_bank_soft_reset(&c->bank);
    assert_int_equal(reg_bank_read(&c->bank, 0x00), 0x11);
    assert_int_equal(reg_bank_read(&c->bank, 0x34), 9);
    reg_bank_reset(&c->bank);
    assert_int_equal(reg_bank_read(&c->bank, 0x34), 7);
}

static void test_find(void **state)
{
    struct chip *c = *state;
    assert_ptr_equal(reg_find(&c->bank, "IMS"), &table[3]);
    assert_null(reg_find(&c->bank, "IM"));
}

static void test_by_name(void **state)
{
    struct chip *c = *state;
    struct reg_bank *list = NULL;
    struct reg_place p;
    struct error err = { 0 };
    reg_bank_publish(&c->bank, &list, NULL);
    assert_ptr_equal(list, &c->bank);
    assert_true(reg_place_find(list, "STATUS", &p, &err));
    assert_int_equal(reg_place_peek(&p), 0xff);
    assert_int_equal(reg_bank_read(&c->bank, 4), 0xff); /* looking cleared nothing */
    assert_int_equal(reg_place_peek(&p), 0x0f);
    assert_true(reg_place_poke(&p, 0xf0, &err));
    assert_int_equal(reg_bank_read(&c->bank, 4), 0xf0);
    assert_true(reg_place_find(list, "DATA[3]", &p, &err));
    assert_int_equal(p.offset, 0x2c);
    assert_int_equal(p.index, 3);
    assert_true(reg_place_poke(&p, 5, &err));
    assert_int_equal(reg_place_peek(&p), 5); /* not what read_twice() makes of it */
    assert_int_equal(c->write_calls, 0);
    assert_false(reg_place_find(list, "DATA[4]", &p, &err));
    assert_non_null(strstr(err.text, "4 elements"));
    assert_false(reg_place_find(list, "DATA[", &p, &err));
    assert_false(reg_place_find(list, "DATA[1", &p, &err));
    assert_false(reg_place_find(list, "STATU", &p, &err));
    assert_non_null(strstr(err.text, "STATUS"));
    reg_bank_withdraw(&c->bank);
    assert_null(list);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_access_kinds, setup, teardown),
        cmocka_unit_test_setup_teardown(test_arrays_and_functions, setup, teardown),
        cmocka_unit_test_setup_teardown(test_unknown_offsets, setup, teardown),
        cmocka_unit_test_setup_teardown(test_resets, setup, teardown),
        cmocka_unit_test_setup_teardown(test_find, setup, teardown),
        cmocka_unit_test_setup_teardown(test_by_name, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
