/* Memory slots: what is told to KVM, and that guests lose nothing by it. */
#include "kvm_fixture.h"

enum { COUNTER = 0x9000, BESIDE = 0xa000, ELSEWHERE = 0x280000, CHANGES = 1000 };

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

    for (unsigned n = 0; n < CHANGES; n++) {
        machine_lock_take(lock);
        change(c, n);
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
    assert_int_equal(g.accel->pauses, pauses + CHANGES);
    region_fini(&c.shadow);
    guest_fini(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_only_differences),
        cmocka_unit_test(test_exchanged),
        cmocka_unit_test(test_no_write_is_lost),
    };

    signal(SIGALRM, on_alarm);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
