/* Memory slots: what is told to KVM, and that guests lose nothing by it. */
#include "kvm_fixture.h"

#include "mem/tap.h"

#include <time.h>

enum { COUNTER = 0x9000, BESIDE = 0xa000, ELSEWHERE = 0x280000, CHANGES = 1000, PATIENCE = 4 };

/* A change of what KVM does not serve, or one that comes to nothing, disturbs no vcpu. */
static void test_only_differences(void **state)
{
    struct guest g;
    uint64_t calls, pauses;

    skip_without_kvm();
    guest_init(&g, "base");
    calls = g.accel->slot_calls;
    pauses = g.accel->pauses;
    region_set_addr(&g.device, DEVICE_BASE + 0x10000);
    mem_begin(g.machine.mem);
    region_remove(&g.rom);
    region_add(&g.machine.system, ROM_BASE, &g.rom, 1); /* a new range, the same slot */
    mem_commit(g.machine.mem);
    assert_int_equal(g.accel->slot_calls, calls);
    assert_int_equal(g.accel->pauses, pauses);
    region_set_addr(&g.rom, ELSEWHERE); /* moved by one call */
    assert_int_equal(g.accel->slot_calls, calls + 1);
    assert_int_equal(g.accel->pauses, pauses + 1);
    region_set_addr(&g.rom, BESIDE); /* and RAM is cut in two */
    assert_int_equal(g.accel->slot_calls, calls + 1 + 4);
    assert_int_equal(g.accel->pauses, pauses + 2);
    guest_fini(&g);
}

/* Two slots change places: each is in the other's way. */
static void test_exchanged(void **state)
{
    static const uint8_t code[] = {
        0x8b, 0x03, /* mov (%rbx), %eax */
        0x8b, 0x0e, /* mov (%rsi), %ecx */
        0xf4,       /* hlt */
    };
    struct guest g;
    struct region other;
    struct error err = { 0 };
    struct kvm_regs regs = { .rip = CODE, .rflags = 2, .rbx = ROM_BASE, .rsi = ELSEWHERE };

    skip_without_kvm();
    guest_init(&g, "base");
    assert_true(region_init_rom(&other, g.machine.mem, "other", ROM_SIZE, NULL, NULL, &err));
    memcpy(g.rom.host, "rom ", 4);
    memcpy(other.host, "more", 4);
    region_add(&g.machine.system, ELSEWHERE, &other, 0);
    mem_begin(g.machine.mem);
    region_set_addr(&g.rom, ELSEWHERE);
    region_set_addr(&other, ROM_BASE);
    mem_commit(g.machine.mem);
    start_long(&g, code, sizeof code);
    assert_true(vcpu_kvm.set_regs(g.vcpu, &regs, NULL));
    assert_int_equal(run(&g), VCPU_STOP_HALT);
    assert_true(vcpu_kvm.get_regs(g.vcpu, &regs, NULL));
    assert_memory_equal(&regs.rax, "more", 4);
    assert_memory_equal(&regs.rcx, "rom ", 4);
    region_fini(&other);
    guest_fini(&g);
}

/* What a guest writes and runs lies in the slot that is cut and mended, by ROM, by a device, and by
 * a read-only view of the same RAM, as a PC's shadow RAM is. */
struct changes {
    struct guest *g;
    unsigned made;
    struct region shadow;
};

static void change(struct changes *c, unsigned n)
{
    struct guest *g = c->g;

    switch (n % 6) {
    case 0:
    case 1:
        region_set_addr(&g->rom, n % 2 ? ROM_BASE : BESIDE);
        break;
    case 2:
    case 3:
        region_set_addr(&g->device, n % 2 ? DEVICE_BASE : BESIDE);
        break;
    default:
        region_set_enabled(&c->shadow, n % 2 == 0);
    }
}

static void *change_often(void *opaque)
{
    struct changes *c = opaque;
    struct machine_lock *lock = loop_lock(c->g->loop);

    time_t end = time(NULL) + PATIENCE; /* a busy host's kernel takes milliseconds for each */

    while (c->made < CHANGES && time(NULL) < end) {
        machine_lock_take(lock);
        change(c, c->made++);
        machine_lock_release(lock);
    }
    vcpu_kvm.kick(c->g->vcpu);
    return NULL;
}

static void test_no_write_is_lost(void **state)
{
    static const uint8_t code[] = {
        0xbb, 0x00, 0x90, 0x00, 0x00, /* mov $0x9000, %ebx */
        0xff, 0x03,                   /* 1: incl (%rbx) */
        0xff, 0xc0,                   /* inc %eax */
        0x39, 0x03,                   /* cmp %eax, (%rbx) */
        0x74, 0xf8,                   /* je 1b */
        0xe6, 0x40,                   /* out %al, $0x40 */
        0xf4,                         /* hlt */
    };
    struct guest g;
    struct changes c = { .g = &g };
    struct kvm_regs regs;
    uint32_t count;
    uint64_t pauses;
    pthread_t thread;

    skip_without_kvm();
    guest_init(&g, "base");
    region_init_alias(&c.shadow, g.machine.mem, "shadow", &g.ram, BESIDE, ROM_SIZE);
    region_set_readonly(&c.shadow, true);
    region_set_enabled(&c.shadow, false);
    region_add(&g.machine.system, BESIDE, &c.shadow, 2);
    region_remove(&g.rom);
    region_add(&g.machine.system, ROM_BASE, &g.rom, 1);
    region_remove(&g.device);
    region_add(&g.machine.system, DEVICE_BASE, &g.device, 1);
    start_long(&g, code, sizeof code);
    pauses = g.accel->pauses;
    pthread_create(&thread, NULL, change_often, &c);
    assert_int_equal(run(&g), VCPU_STOP_KICK);
    machine_lock_release(loop_lock(g.loop));
    pthread_join(thread, NULL);
    machine_lock_take(loop_lock(g.loop));
    assert_int_equal(g.logged, 0);
    assert_true(vcpu_kvm.get_regs(g.vcpu, &regs, NULL));
    memcpy(&count, g.ram.host + COUNTER, sizeof count);
    assert_in_range(count - (uint32_t)regs.rax, 0, 1);
    assert_true(count > 0);
    assert_int_equal(g.accel->pauses, pauses + c.made);
    region_fini(&c.shadow);
    guest_fini(&g);
}

/* ---- taps ---- */

static bool tap_told(void *opaque, uint64_t offset, unsigned size, uint64_t *value)
{
    record(opaque, true, offset, *value, size);
    *value += 1;
    return true;
}

static bool tap_asked(void *opaque, uint64_t offset, unsigned size, uint64_t *value)
{
    record(opaque, false, offset, *value, size);
    return true;
}

static const struct tap_ops write_tap = { .write = tap_told };
static const struct tap_ops read_tap = { .read = tap_asked };

static const struct kvm_slot *slot_at(const struct guest *g, uint64_t gpa)
{
    for (size_t n = 0; n < g->accel->slot_count; n++)
        if (gpa - g->accel->slots[n].gpa < g->accel->slots[n].size)
            return &g->accel->slots[n];
    return NULL;
}

/* Under a tap on writes alone a page is read, and executed, without exits; what is written beside
 * the tap gets to memory. */
static void test_write_tap(void **state)
{
    static const uint8_t code[] = {
        0xbb, 0x00, 0x10, 0x00, 0x00,                /* mov $0x1000, %ebx */
        0xc7, 0x83, 0,    8,    0,    0, 5, 0, 0, 0, /* movl $5, 0x800(%rbx) */
        0x8b, 0x83, 0,    8,    0,    0,             /* mov 0x800(%rbx), %eax */
        0xc7, 0x83, 4,    8,    0,    0, 7, 0, 0, 0, /* movl $7, 0x804(%rbx) */
        0x8b, 0x8b, 4,    8,    0,    0,             /* mov 0x804(%rbx), %ecx */
        0xc6, 0x83, 0,    16,   0,    0, 9,          /* movb $9, 0x1000(%rbx) */
        0xf4,                                        /* hlt */
    };
    struct guest g;
    struct region tap;
    struct kvm_regs regs;
    struct vcpu_stats stats;

    skip_without_kvm();
    guest_init(&g, "base");
    region_init_tap(&tap, &g.machine.system, "tap", 0x1800, 4, &write_tap, &g);
    assert_true(slot_at(&g, 0x1000)->readonly);
    assert_int_equal(slot_at(&g, 0x1000)->size, 0x1000);
    assert_false(slot_at(&g, 0x2000)->readonly);
    start_long(&g, code, sizeof code);
    assert_int_equal(run(&g), VCPU_STOP_HALT);
    assert_int_equal(g.logged, 1);
    assert_access(&g, 0, true, 0, 5, 4);
    assert_true(vcpu_kvm.get_regs(g.vcpu, &regs, NULL));
    assert_int_equal(regs.rax, 6);
    assert_int_equal(regs.rcx, 7);
    assert_int_equal(g.ram.host[0x2000], 9);
    vcpu_kvm.get_stats(g.vcpu, &stats);
    assert_int_equal(stats.exits_mmio, 2);
    region_fini(&tap);
    assert_int_equal(slot_at(&g, 0x1000)->size, RAM_SIZE);
    guest_fini(&g);
}

struct expected {
    uint64_t gpa, size;
    bool readonly;
};

static void assert_slots(const struct guest *g, const struct expected *e, size_t count)
{
    assert_int_equal(g->accel->slot_count, count);
    for (size_t n = 0; n < count; n++) {
        assert_int_equal(g->accel->slots[n].gpa, e[n].gpa);
        assert_int_equal(g->accel->slots[n].size, e[n].size);
        assert_int_equal(g->accel->slots[n].readonly, e[n].readonly);
    }
}

/* Which slots there are with taps on parts of pages, over several, on reads, over each other. */
static void test_tapped_slots(void **state)
{
    static const struct {
        struct {
            uint64_t at, size;
            const struct tap_ops *ops;
        } taps[3];
        struct expected slots[6];
        size_t count;
    } rows[] = {
        { { { 0x2ffe, 4, &write_tap } },
          { { 0, 0x2000, false }, { 0x2000, 0x2000, true }, { 0x4000, 0xfc000, false } },
          3 },
        { { { 0x2010, 1, &write_tap }, { 0x2020, 1, &write_tap }, { 0x2800, 0x1000, &write_tap } },
          { { 0, 0x2000, false }, { 0x2000, 0x2000, true }, { 0x4000, 0xfc000, false } },
          3 },
        { { { 0, 0x1001, &write_tap } }, { { 0, 0x2000, true }, { 0x2000, 0xfe000, false } }, 2 },
        { { { 0xff800, 0x1000, &write_tap } },
          { { 0, 0xff000, false }, { 0xff000, 0x1000, true } },
          2 },
        { { { 0x2010, 1, &write_tap }, { 0x2800, 8, &read_tap } },
          { { 0, 0x2000, false }, { 0x3000, 0xfd000, false } },
          2 },
        { { { 0x2000, 0x2000, &write_tap }, { 0x2fff, 1, &read_tap } },
          { { 0, 0x2000, false }, { 0x3000, 0x1000, true }, { 0x4000, 0xfc000, false } },
          3 },
        { { { 0x2fff, 1, &read_tap }, { 0x2000, 0x2000, &write_tap } },
          { { 0, 0x2000, false }, { 0x3000, 0x1000, true }, { 0x4000, 0xfc000, false } },
          3 },
    };

    for (size_t n = 0; n < ARRAY_LEN(rows); n++) {
        struct guest g;
        struct region taps[3];

        skip_without_kvm();
        guest_init(&g, "base");
        region_remove(&g.rom);
        for (size_t i = 0; i < 3 && rows[n].taps[i].ops; i++)
            region_init_tap(&taps[i], &g.machine.system, "tap", rows[n].taps[i].at,
                            rows[n].taps[i].size, rows[n].taps[i].ops, &g);
        assert_slots(&g, rows[n].slots, rows[n].count);
        for (size_t i = 0; i < 3 && rows[n].taps[i].ops; i++)
            region_fini(&taps[i]);
        assert_slots(&g, &(struct expected){ 0, RAM_SIZE, false }, 1);
        guest_fini(&g);
    }
}

/* ---- refusals ---- */

/* Where there are no more slots the machine does not run, and says why; with fewer pieces it does.
 */
static void test_refused_slot(void **state)
{
    struct guest g;

    skip_without_kvm();
    guest_init(&g, "base");
    start_long(&g, "\xf4", 1);
    g.accel->slots_max = 2;
    region_set_addr(&g.rom, BESIDE); /* RAM in two pieces, and ROM */
    for (unsigned n = 0; n < 2; n++) {
        assert_int_equal(run(&g), VCPU_STOP_ERROR);
        assert_non_null(strstr(g.vcpu->failure.text, "all are in use; without that the guest"));
        assert_non_null(strstr(g.vcpu->failure.text, "--accel soft"));
    }
    region_set_addr(&g.rom, ROM_BASE);
    vcpu_kvm.kick(g.vcpu);
    assert_int_equal(run(&g), VCPU_STOP_KICK);
    assert_int_equal(run(&g), VCPU_STOP_HALT);
    guest_fini(&g);
}

/* While it runs, too: it comes out for it. */
static void *move_to_refusal(void *opaque)
{
    struct guest *g = opaque;

    usleep(20000);
    machine_lock_take(loop_lock(g->loop));
    g->accel->slots_max = 2;
    region_set_addr(&g->rom, BESIDE);
    machine_lock_release(loop_lock(g->loop));
    return NULL;
}

static void test_refused_while_running(void **state)
{
    static const uint8_t code[] = { 0xeb, 0xfe }; /* 1: jmp 1b */
    struct guest g;
    pthread_t thread;

    skip_without_kvm();
    guest_init(&g, "base");
    start_long(&g, code, sizeof code);
    pthread_create(&thread, NULL, move_to_refusal, &g);
    assert_int_equal(run(&g), VCPU_STOP_ERROR);
    machine_lock_release(loop_lock(g.loop));
    pthread_join(thread, NULL);
    machine_lock_take(loop_lock(g.loop));
    assert_non_null(strstr(g.vcpu->failure.text, "does not give a memory slot"));
    guest_fini(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_only_differences),      cmocka_unit_test(test_exchanged),
        cmocka_unit_test(test_no_write_is_lost),      cmocka_unit_test(test_write_tap),
        cmocka_unit_test(test_tapped_slots),          cmocka_unit_test(test_refused_slot),
        cmocka_unit_test(test_refused_while_running),
    };

    signal(SIGALRM, on_alarm);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
