/* The x87 of the software CPU against the host's: every form, with random operands and control
 * words.
 */
#include "native_fpu.h"

static void test_x87_native(void **unused)
{
    if (only)
        skip();
    begin_native();
    for (unsigned escape = 0; escape < 8; escape++)
        for (unsigned modrm = 0; modrm < 256; modrm++) {
            if (modrm < 0xc0 && (modrm & 0xc7) != 0x06) /* memory: (%rsi) alone */
                continue;
            char name[32];
            snprintf(name, sizeof name, "x87 %02x %02x", 0xd8 + escape, modrm);
            struct form f = { .name = name,
                              .x87 = true,
                              .unaligned = true,
                              .len = 2,
                              .bytes = { (uint8_t)(0xd8 + escape), (uint8_t)modrm } };
            /* FNSTENV and FNSAVE: where the last instruction was is not compared. */
            if ((escape == 1 || escape == 5) && modrm == 0x36) {
                f.unaligned = false;
                f.mem_ignored = 12;
                f.mem_ignored_len = 16;
            }
            /* FFREE and FFREEP: all condition bits are undefined. */
            if ((escape == 5 || escape == 7) && (modrm & 0xf8) == 0xc0)
                f.sw_ignored = FSW_CONDITION;
            for (unsigned n = 0; n < times * ROUNDS_X87; n++)
                compare_once(&f);
        }
    print_message("%u cases\n", cases);
    assert_true(cases > 20000);
    assert_int_equal(mismatches, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_x87_native),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
