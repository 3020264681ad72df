/* The machine lock: exclusion, order of asking, who holds it. */
#include "loop/lock.h"

#include "test_machine.h"

#include <unistd.h>

enum { THREADS = 4, ROUNDS = 20000 };

static struct machine_lock lock;
static unsigned counter; /* guarded by the lock alone */
static unsigned order[THREADS], arrived;

static void *count(void *opaque)
{
    for (int i = 0; i < ROUNDS; i++) {
        machine_lock_take(&lock);
        counter++;
        machine_lock_release(&lock);
        if (machine_lock_mine(&lock))
            return "not mine any more";
    }
    return NULL;
}

static void test_exclusion(void **state)
{
    machine_lock_init(&lock);
    pthread_t threads[THREADS];
    counter = 0;
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, count, NULL), 0);
    for (int i = 0; i < THREADS; i++) {
        void *complaint;
        pthread_join(threads[i], &complaint);
        assert_null(complaint);
    }
    assert_int_equal(counter, THREADS * ROUNDS);
    machine_lock_fini(&lock);
}

static void *queue_up(void *opaque)
{
    machine_lock_take(&lock);
    order[arrived++] = *(unsigned *)opaque;
    machine_lock_release(&lock);
    return NULL;
}

/* Wait until so many have asked; the test's time limit bounds it. */
static void await_tickets(unsigned n)
{
    while (atomic_load(&lock.next_ticket) != n)
        usleep(100);
}

static void test_served_in_order_of_asking(void **state)
{
    machine_lock_init(&lock);
    pthread_t threads[THREADS];
    unsigned number[THREADS];
    arrived = 0;
    machine_lock_take(&lock);
    assert_true(machine_lock_mine(&lock));
    assert_false(machine_lock_wanted(&lock));
    for (unsigned i = 0; i < THREADS; i++) {
        number[i] = i;
        assert_int_equal(pthread_create(&threads[i], NULL, queue_up, &number[i]), 0);
        await_tickets(2 + i);
    }
    assert_true(machine_lock_wanted(&lock));
    machine_lock_release(&lock);
    assert_false(machine_lock_mine(&lock));
    machine_lock_take(&lock); /* behind all who asked before */
    assert_int_equal(arrived, THREADS);
    machine_lock_release(&lock);
    for (unsigned i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(order[i], i);
    }
    machine_lock_fini(&lock);
}

static void *is_it_mine(void *opaque)
{
    return machine_lock_mine(&lock) ? opaque : NULL;
}

static void test_mine_is_per_thread(void **state)
{
    machine_lock_init(&lock);
    assert_false(machine_lock_mine(&lock));
    machine_lock_take(&lock);
    pthread_t other;
    void *mine;
    assert_int_equal(pthread_create(&other, NULL, is_it_mine, "mine"), 0);
    pthread_join(other, &mine);
    assert_null(mine);
    machine_lock_release(&lock);
    machine_lock_fini(&lock);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_exclusion),
        cmocka_unit_test(test_served_in_order_of_asking),
        cmocka_unit_test(test_mine_is_per_thread),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
