/* Clocks: order of firing, moving and cancelling, rearming. */
#include "loop/clock.h"

#include "test_machine.h"

struct world {
    struct clock clock;
    int64_t now;
    unsigned rearmed;
};

struct alarm {
    struct timer timer;
    int fired;
    int64_t again; /* set anew at this time from within; 0: not */
};

static int64_t now(void *opaque)
{
    return ((struct world *)opaque)->now;
}

static void rearmed(void *opaque)
{
    ((struct world *)opaque)->rearmed++;
}

static void fire(void *opaque)
{
    struct alarm *a = opaque;
    a->fired++;
    if (a->again) {
        timer_set(&a->timer, a->again);
        a->again = 0;
    }
}

static struct world *world_new(void)
{
    struct world *w = calloc(1, sizeof *w);
    clock_init(&w->clock, "test", now, rearmed, w);
    return w;
}

static void world_free(struct world *w)
{
    clock_fini(&w->clock);
    free(w);
}

static void alarm_init(struct alarm *a, struct world *w)
{
    *a = (struct alarm){ .fired = 0 };
    timer_init(&a->timer, &w->clock, fire, a);
}

static void test_fires_once_when_due(void **state)
{
    struct world *w = world_new();
    struct alarm a;
    alarm_init(&a, w);
    assert_false(timer_is_set(&a.timer));
    timer_cancel(&a.timer);
    timer_set(&a.timer, 100);
    w->now = 99;
    assert_int_equal(clock_run(&w->clock), 0);
    w->now = 100;
    assert_int_equal(clock_run(&w->clock), 1);
    assert_false(timer_is_set(&a.timer));
    w->now = 1000;
    assert_int_equal(clock_run(&w->clock), 0);
    assert_int_equal(a.fired, 1);
    world_free(w);
}

static int sequence[64];
static unsigned sequence_len;

static void note(void *opaque)
{
    sequence[sequence_len++] = *(int *)opaque;
}

static void test_order(void **state)
{
    struct world *w = world_new();
    struct timer timers[8];
    int number[8];
    static const int64_t at[8] = { 50, 10, 50, 30, 10, 90, 0, 50 };
    sequence_len = 0;
    for (int i = 0; i < 8; i++) {
        number[i] = i;
        timer_init(&timers[i], &w->clock, note, &number[i]);
        timer_set(&timers[i], at[i]);
    }
    timer_set(&timers[0], 50);       /* set again: behind the others of its time */
    timer_set_first(&timers[7], 50); /* and before them */
    w->now = 60;
    assert_int_equal(clock_run(&w->clock), 7);
    static const int expected[7] = { 6, 1, 4, 3, 7, 2, 0 };
    assert_memory_equal(sequence, expected, sizeof expected);
    assert_int_equal(clock_deadline(&w->clock), 90);
    world_free(w);
    assert_false(timer_is_set(&timers[5]));
    timer_cancel(&timers[5]); /* harmless after the clock has gone */
}

/* Any sequence of setting, moving and cancelling fires in order of time. */
static void test_random_against_sorting(void **state)
{
    enum { N = 40 };
    struct world *w = world_new();
    struct timer timers[N];
    int number[N];
    unsigned seed = 12345;
    for (int i = 0; i < N; i++) {
        number[i] = i;
        timer_init(&timers[i], &w->clock, note, &number[i]);
    }
    for (int round = 0; round < 200; round++) {
        for (int step = 0; step < 60; step++) {
            seed = seed * 1103515245u + 12345u;
            struct timer *t = &timers[(seed >> 16) % N];
            if (seed >> 28 < 4)
                timer_cancel(t);
            else
                timer_set(t, (int64_t)(seed >> 8 & 255));
        }
        unsigned expected = 0;
        int64_t deadline[N];
        for (int i = 0; i < N; i++) {
            deadline[i] = timers[i].deadline;
            expected += timer_is_set(&timers[i]);
        }
        sequence_len = 0;
        w->now = 255;
        assert_int_equal(clock_run(&w->clock), expected);
        for (unsigned i = 1; i < sequence_len; i++)
            assert_true(deadline[sequence[i - 1]] <= deadline[sequence[i]]);
        assert_int_equal(clock_deadline(&w->clock), CLOCK_NEVER);
    }
    world_free(w);
}

static void test_set_from_within(void **state)
{
    struct world *w = world_new();
    struct alarm a;
    alarm_init(&a, w);
    a.again = 20;
    timer_set(&a.timer, 10);
    w->now = 25;
    assert_int_equal(clock_run(&w->clock), 2); /* due as well: the same call */
    a.again = 30;
    timer_set(&a.timer, 10);
    assert_int_equal(clock_run(&w->clock), 1);
    assert_int_equal(clock_deadline(&w->clock), 30);
    world_free(w);
}

static void test_rearmed_on_change_of_the_earliest(void **state)
{
    struct world *w = world_new();
    struct alarm a, b;
    alarm_init(&a, w);
    alarm_init(&b, w);
    timer_set(&a.timer, 100);
    assert_int_equal(w->rearmed, 1);
    timer_set(&b.timer, 200);
    assert_int_equal(w->rearmed, 1);
    timer_set(&b.timer, 50);
    assert_int_equal(w->rearmed, 2);
    timer_cancel(&a.timer);
    assert_int_equal(w->rearmed, 2);
    timer_cancel(&b.timer);
    assert_int_equal(w->rearmed, 3);
    timer_set(&a.timer, CLOCK_NEVER); /* the end of time is not "unset" */
    assert_true(timer_is_set(&a.timer));
    world_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fires_once_when_due),
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_random_against_sorting),
        cmocka_unit_test(test_set_from_within),
        cmocka_unit_test(test_rearmed_on_change_of_the_earliest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
