/* The door: order over all sources, knocking, sources that go away. */
#include "loop/door.h"

#include "test_machine.h"

static char log_text[256];
static unsigned knocks;

static void knock(void *opaque)
{
    knocks++;
}

struct visitor {
    struct door_source source;
    struct visitor *ends; /* goes away when this one enters */
    const char *posts;    /* said from within */
};

static void enter(void *opaque, const void *data, size_t len)
{
    struct visitor *v = opaque;
    strncat(log_text, v->source.name ? v->source.name : "?", 8);
    strncat(log_text, data, len);
    strcat(log_text, " ");
    if (v->posts) {
        door_post(&v->source, v->posts, strlen(v->posts));
        v->posts = NULL;
    }
    if (v->ends) {
        door_source_fini(&v->ends->source);
        v->ends = NULL;
    }
}

static struct door *door;
static struct visitor a, b;

static int setup(void **state)
{
    log_text[0] = 0;
    knocks = 0;
    door = door_new(knock, NULL);
    a = b = (struct visitor){ .ends = NULL };
    door_source_init(&a.source, door, "a", enter, &a);
    door_source_init(&b.source, door, "b", enter, &b);
    return 0;
}

static int teardown(void **state)
{
    door_free(door);
    return 0;
}

static void test_order_and_knocking(void **state)
{
    assert_false(door_pending(door));
    door_post(&b.source, "1", 1);
    door_post(&a.source, "2", 1);
    door_post(&b.source, NULL, 0);
    assert_int_equal(knocks, 1); /* only the empty door is knocked at */
    assert_true(door_pending(door));
    assert_int_equal(door_drain(door), 3);
    assert_string_equal(log_text, "b1 a2 b ");
    assert_false(door_pending(door));
    door_post(&a.source, "3", 1);
    assert_int_equal(knocks, 2);
    assert_int_equal(door_drain(door), 1);
    assert_true(door_entries(door) == 4);
}

static void test_data_is_copied(void **state)
{
    char text[] = "x";
    door_post(&a.source, text, 1);
    text[0] = 'y';
    door_drain(door);
    assert_string_equal(log_text, "ax ");
}

static void test_posts_from_within_wait(void **state)
{
    a.posts = "late";
    door_post(&a.source, "1", 1);
    door_post(&b.source, "2", 1);
    assert_int_equal(door_drain(door), 2);
    assert_string_equal(log_text, "a1 b2 ");
    assert_true(door_pending(door));
    assert_int_equal(door_drain(door), 1);
    assert_string_equal(log_text, "a1 b2 alate ");
}

static void test_a_source_goes_away(void **state)
{
    a.ends = &b;
    door_post(&a.source, "1", 1);
    door_post(&b.source, "2", 1);
    door_post(&a.source, "3", 1);
    assert_int_equal(door_drain(door), 2);
    assert_string_equal(log_text, "a1 a3 ");
    a.ends = &a; /* itself */
    door_post(&a.source, "4", 1);
    door_post(&a.source, "5", 1);
    assert_int_equal(door_drain(door), 1);
    assert_string_equal(log_text, "a1 a3 a4 ");
}

static void test_the_newest_can_be_changed(void **state)
{
    size_t len;
    assert_null(door_newest(&a.source, &len));
    door_post(&a.source, "1", 1);
    door_post(&a.source, "23", 2);
    char *newest = door_newest(&a.source, &len);
    assert_non_null(newest);
    assert_int_equal(len, 2);
    newest[1] = '4';
    assert_null(door_newest(&b.source, &len));
    door_post(&b.source, "5", 1);
    assert_null(door_newest(&a.source, &len)); /* another's lies behind it */
    door_drain(door);
    assert_string_equal(log_text, "a1 a24 b5 ");
    assert_null(door_newest(&b.source, &len)); /* it has entered */
}

static void test_free_with_entries_waiting(void **state)
{
    door_post(&a.source, "never", 5);
    assert_true(door_pending(door)); /* teardown frees it: the sanitizers look */
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_order_and_knocking),        TEST(test_data_is_copied),
        TEST(test_posts_from_within_wait),    TEST(test_a_source_goes_away),
        TEST(test_the_newest_can_be_changed), TEST(test_free_with_entries_waiting),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
