/* IRQ lines: only changes are told, taps swallow. */
#include "dev/irq.h"

#include "test_machine.h"

struct sink {
    unsigned calls;
    int last_n;
    bool last_level;
};

static void heard(void *opaque, int n, bool level)
{
    struct sink *s = opaque;
    s->calls++;
    s->last_n = n;
    s->last_level = level;
}

static void test_only_changes_are_told(void **state)
{
    struct sink s = { 0 };
    struct irq irq;
    irq_init(&irq, heard, &s, 7);
    irq_lower(&irq);
    assert_int_equal(s.calls, 0);
    irq_raise(&irq);
    irq_raise(&irq);
    assert_int_equal(s.calls, 1);
    assert_int_equal(s.last_n, 7);
    assert_true(s.last_level);
    irq_pulse(&irq);
    assert_int_equal(s.calls, 2); /* it was high: only the fall */
    irq_pulse(&irq);
    assert_int_equal(s.calls, 4);
    assert_false(irq.level);
}

static void test_unwired(void **state)
{
    irq_pulse(NULL);
    struct irq irq;
    irq_init(&irq, NULL, NULL, 0);
    irq_raise(&irq);
    assert_true(irq.level);
}

static bool swallow_rises(void *opaque, struct irq *irq, bool level)
{
    (*(unsigned *)opaque)++;
    return !level;
}

static void test_tap(void **state)
{
    struct sink s = { 0 };
    struct irq irq;
    unsigned seen = 0;
    irq_init(&irq, heard, &s, 0);
    irq.tap = swallow_rises;
    irq.tap_opaque = &seen;
    irq_raise(&irq);
    assert_int_equal(seen, 1);
    assert_int_equal(s.calls, 0);
    assert_false(irq.level);
    irq_lower(&irq); /* no change for the sink, so none for the tap */
    assert_int_equal(seen, 1);
    assert_false(irq.driven);
    irq_raise(&irq);
    assert_true(irq.driven);
    assert_false(irq.level);
    irq_force(&irq, true); /* past the tap */
    irq_force(&irq, true);
    assert_int_equal(seen, 2);
    assert_int_equal(s.calls, 1);
    irq_raise(&irq); /* it is high: nothing is told */
    irq_force(&irq, false);
    assert_true(irq.driven);
    assert_int_equal(s.calls, 2);
    irq.tap = NULL;
    irq_raise(&irq);
    assert_int_equal(s.calls, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_only_changes_are_told),
        cmocka_unit_test(test_unwired),
        cmocka_unit_test(test_tap),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
