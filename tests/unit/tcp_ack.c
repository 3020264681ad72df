/* Which acknowledgements of TCP are superfluous: one that is, and every way not to be. */
#include "net/net_internal.h"

#include "base/bits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

enum { LEN = 54, ACK_AT = 42 };

/* From 10.0.2.2 port 80 to 10.0.2.15 port 4000: acknowledges 1000. */
static void make_ack(uint8_t f[LEN])
{
    static const uint8_t ack[LEN] = { 0x52, 0x54, 0,    0x12, 0x34, 0x56, 0x52, 0x55, 10, 0, 2,
                                      2,    8,    0,    0x45, 0,    0,    40,   0,    1,  0, 0,
                                      64,   6,    0x12, 0x34, 10,   0,    2,    2,    10, 0, 2,
                                      15,   0,    80,   0x0f, 0xa0, 0,    0,    0,    7,  0, 0,
                                      3,    0xe8, 0x50, 0x10, 0x80, 0,    0,    0,    0,  0 };
    memcpy(f, ack, LEN);
}

static bool supersedes(const uint8_t newer[LEN], const uint8_t older[LEN])
{
    return net_ack_supersedes(newer, LEN, older, LEN);
}

static void test_a_later_one(void **state)
{
    uint8_t newer[LEN], older[LEN];
    make_ack(older);
    make_ack(newer);
    newer[19]++; /* identification, checksums and window may differ */
    newer[24]++;
    newer[48]--;
    newer[50]++;
    newer[ACK_AT + 2]++;
    assert_true(supersedes(newer, older));
    assert_false(supersedes(older, newer));
    st_be32(older + ACK_AT, 0xffffff00); /* past 0 */
    assert_true(supersedes(newer, older));
}

static void test_the_same_again(void **state)
{
    uint8_t newer[LEN], older[LEN];
    make_ack(older);
    make_ack(newer);
    newer[48]++; /* not even with another window */
    assert_false(supersedes(newer, older));
}

static void test_others(void **state)
{
    static const struct {
        unsigned at;
        uint8_t value;
        const char *what;
    } changes[] = {
        { 0, 0x51, "another receiver" },
        { 6, 0x51, "another sender" },
        { 13, 6, "not IPv4" },
        { 14, 0x46, "options of IP" },
        { 17, 41, "a byte of data" },
        { 20, 0x20, "a fragment with more behind it" },
        { 21, 1, "a fragment with some before it" },
        { 23, 17, "not TCP" },
        { 29, 3, "from another address" },
        { 33, 16, "to another address" },
        { 35, 81, "from another port" },
        { 37, 0xa1, "to another port" },
        { 41, 8, "data between them" },
        { 46, 0x60, "options of TCP" },
        { 47, 0x11, "FIN" },
        { 47, 0x12, "SYN" },
        { 47, 0x14, "RST" },
        { 47, 0x18, "PSH" },
        { 47, 0x30, "URG" },
        { 47, 0x50, "ECE" },
        { 47, 0x00, "no acknowledgement" },
    };
    for (unsigned n = 0; n < sizeof changes / sizeof *changes; n++)
        for (unsigned both = 0; both < 2; both++) {
            uint8_t newer[LEN], older[LEN];
            make_ack(older);
            make_ack(newer);
            newer[ACK_AT + 2]++;
            assert_true(supersedes(newer, older));
            newer[changes[n].at] = changes[n].value;
            bool same_in_both = changes[n].at >= 26 && changes[n].at < ACK_AT;
            if (both && (same_in_both || changes[n].at < 12))
                continue;
            if (both)
                older[changes[n].at] = changes[n].value;
            if (supersedes(newer, older))
                fail_msg("%s, in %s", changes[n].what, both ? "both" : "the newer");
        }
}

static void test_short_and_padded(void **state)
{
    uint8_t newer[64] = { 0 }, older[64] = { 0 };
    make_ack(older);
    make_ack(newer);
    newer[ACK_AT + 2]++;
    assert_false(net_ack_supersedes(newer, LEN - 1, older, LEN - 1));
    assert_true(net_ack_supersedes(newer, 60, older, 60));
    assert_false(net_ack_supersedes(newer, 60, older, LEN)); /* it would not fit */
    assert_false(net_ack_supersedes(newer, LEN, older, 60));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_later_one),
        cmocka_unit_test(test_the_same_again),
        cmocka_unit_test(test_others),
        cmocka_unit_test(test_short_and_padded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
