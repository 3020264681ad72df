/* Dirty logs of RAM on both backends: the same pages, and no write is lost while the log is read.
 */
#include "kvm_fixture.h"

#include <time.h>

enum { COUNTERS = 0x20000, READS = 400, PATIENCE = 3 };

static const struct vcpu_backend *const backends[] = { &vcpu_soft, &vcpu_kvm };

static void on_backend(struct guest *g, void **state)
{
    const struct vcpu_backend *backend = *state;

    if (backend == &vcpu_kvm)
        skip_without_kvm();
    guest_init_on(g, backend, IRQCHIP_USER, "base");
}

static uint64_t take(struct guest *g, unsigned from)
{
    struct error err = { 0 };
    uint64_t *bits = region_take_dirty(&g->ram, &err), some;

    if (!bits)
        fail_msg("%s", err.text);
    some = bits[0] >> from;
    free(bits);
    return some;
}

/* The processor's own writes count: accessed and dirty bits of page tables, stacks. */
static void test_long_mode(void **state)
{
    static const uint8_t code[] = {
        0x89, 0x04, 0x25, 0x00, 0x00, 0x02, 0x00,                /* mov %eax, 0x20000 */
        0x48, 0x89, 0x04, 0x25, 0xfd, 0x2f, 0x02, 0x00,          /* mov %rax, 0x22ffd */
        0xf0, 0x48, 0x0f, 0xc1, 0x04, 0x25, 0,    0x50, 0x02, 0, /* lock xadd %rax, 0x25000 */
        0x66, 0x0f, 0x7f, 0x04, 0x25, 0x00, 0x70, 0x02, 0x00,    /* movdqa %xmm0, 0x27000 */
        0x8b, 0x04, 0x25, 0x00, 0x90, 0x02, 0x00,                /* mov 0x29000, %eax */
        0x50,                                                    /* push %rax */
        0xf4,                                                    /* hlt */
    };
    struct guest g;
    struct kvm_sregs sregs;

    on_backend(&g, state);
    start_long(&g, code, sizeof code);
    assert_true(g.backend->get_sregs(g.vcpu, &sregs, NULL));
    sregs.cr4 |= 1 << 9; /* OSFXSR */
    assert_true(g.backend->set_sregs(g.vcpu, &sregs, NULL));
    assert_true(region_set_dirty_log(&g.ram, true, NULL));
    assert_int_equal(run(&g), VCPU_STOP_HALT);
    /* The stack, three tables, and data. What KVM maps while the log is on counts, too: the code,
     * and what is read. */
    uint64_t mapped = g.backend == &vcpu_kvm ? 1ull << 1 | 1ull << 0x29 : 0;
    assert_int_equal(take(&g, 0) | mapped, 1ull << 7 | 7ull << 0x10 | 1ull << 0x20 | 3ull << 0x22 |
                                               1ull << 0x25 | 1ull << 0x27 | mapped);
    assert_int_equal(take(&g, 0), 0);
    guest_fini(&g);
}

/* Between two looks at a counter, before and after which the log is read, it has changed only if
 * the second reading says so. */
struct reader {
    struct guest *g;
    unsigned lost, seen;
    struct region over;
};

static void *read_often(void *opaque)
{
    struct reader *r = opaque;
    struct guest *g = r->g;
    struct machine_lock *lock = loop_lock(g->loop);
    time_t end = time(NULL) + PATIENCE;
    uint32_t before[4] = { 0 }, now[4];

    for (unsigned n = 0; n < READS && time(NULL) < end; n++) {
        machine_lock_take(lock);
        if (n % 16 == 15) /* slots are cut and mended */
            region_set_enabled(&r->over, n / 16 % 2);
        for (unsigned k = 0; k < 4; k++)
            now[k] = __atomic_load_n((uint32_t *)(g->ram.host + COUNTERS + k * KVM_PAGE),
                                     __ATOMIC_SEQ_CST);
        uint64_t dirty = take(g, COUNTERS / KVM_PAGE);
        for (unsigned k = 0; k < 4; k++) {
            r->lost += n && now[k] != before[k] && !(dirty >> k & 1);
            r->seen += n && now[k] != before[k] && dirty >> k & 1;
            before[k] = __atomic_load_n((uint32_t *)(g->ram.host + COUNTERS + k * KVM_PAGE),
                                        __ATOMIC_SEQ_CST);
        }
        machine_lock_release(lock);
        usleep(n % 4 * 50);
    }
    g->backend->kick(g->vcpu);
    return NULL;
}

static void test_nothing_is_lost(void **state)
{
    static const uint8_t code[] = {
        0xbb, 0x00, 0x00, 0x02, 0x00,             /* mov $0x20000, %ebx */
        0xff, 0x03,                               /* 1: incl (%rbx) */
        0xff, 0x83, 0x00, 0x10, 0x00, 0x00,       /* incl 0x1000(%rbx) */
        0x89, 0x83, 0x00, 0x20, 0x00, 0x00,       /* mov %eax, 0x2000(%rbx) */
        0xf0, 0xff, 0x83, 0x00, 0x30, 0x00, 0x00, /* lock incl 0x3000(%rbx) */
        0xff, 0xc0,                               /* inc %eax */
        0xeb, 0xe7,                               /* jmp 1b */
    };
    struct guest g;
    struct reader r = { .g = &g };
    enum vcpu_stop stop;
    pthread_t thread;

    on_backend(&g, state);
    region_init_alias(&r.over, g.machine.mem, "over", &g.rom, 0, ROM_SIZE);
    region_set_enabled(&r.over, false);
    region_add(&g.machine.system, 0x40000, &r.over, 1);
    start_long(&g, code, sizeof code);
    assert_true(region_set_dirty_log(&g.ram, true, NULL));
    pthread_create(&thread, NULL, read_often, &r);
    do
        stop = run(&g);
    while (stop == VCPU_STOP_LIMIT);
    assert_int_equal(stop, VCPU_STOP_KICK);
    machine_lock_release(loop_lock(g.loop));
    pthread_join(thread, NULL);
    machine_lock_take(loop_lock(g.loop));
    assert_int_equal(r.lost, 0);
    assert_true(r.seen > 4);
    region_fini(&r.over);
    guest_fini(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(test_long_mode, (void *)backends[0]),
        cmocka_unit_test_prestate(test_long_mode, (void *)backends[1]),
        cmocka_unit_test_prestate(test_nothing_is_lost, (void *)backends[0]),
        cmocka_unit_test_prestate(test_nothing_is_lost, (void *)backends[1]),
    };

    signal(SIGALRM, on_alarm);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
