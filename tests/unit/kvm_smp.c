/* Several vcpus under KVM, each on a thread of its own: all of them stand still when they are to,
 * again and again, whatever they do, and all go on afterwards. */
#include "kvm_fixture.h"

enum { CPUS = 4, ROUNDS = 100, COUNTERS = 0x4000, QUIET_PORT = 0x60, QUIET_MEMORY = 0x280000 };

/* Each counts at its COUNTERS + 2 * n, in real mode. */
static const struct {
    const char *what;
    uint8_t code[12];
} programs[CPUS] = {
    { "counts", { 0xff, 0x06, 0x00, 0x40, 0xeb, 0xfa } },
    /* inc; out %al, $0x60; jmp */
    { "floods a port", { 0xff, 0x06, 0x02, 0x40, 0xe6, QUIET_PORT, 0xeb, 0xf8 } },
    /* inc; mov %al, %es:0; jmp: es is where the device is */
    { "floods a device", { 0xff, 0x06, 0x04, 0x40, 0x26, 0xa2, 0x00, 0x00, 0xeb, 0xf6 } },
    /* inc; in $0x60, %al; jmp */
    { "reads a port", { 0xff, 0x06, 0x06, 0x40, 0xe4, QUIET_PORT, 0xeb, 0xf8 } },
};

struct cpu {
    struct guest *guest;
    struct vcpu *vcpu;
    struct cpu_port port;
    pthread_t thread;
    pthread_barrier_t *barrier;
    const atomic_bool *end;
    enum vcpu_stop stop;
};

static uint64_t quiet_read(void *opaque, uint64_t offset, unsigned size)
{
    return 0;
}

static void quiet_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
}

static const struct region_ops quiet_ops = { .read = quiet_read, .write = quiet_write };

static void *run_often(void *opaque)
{
    struct cpu *c = opaque;

    while (!*c->end) {
        pthread_barrier_wait(c->barrier); /* all go */
        c->stop = vcpu_kvm.run(c->vcpu, UINT64_MAX);
        pthread_barrier_wait(c->barrier); /* all stand */
    }
    return NULL;
}

static void start(struct cpu *c, unsigned n)
{
    struct kvm_sregs s;
    struct kvm_regs r = { .rip = CODE + 0x100 * n, .rsp = STACK, .rflags = 2 };

    vcpu_kvm.reset(c->vcpu);
    memcpy(c->guest->ram.host + r.rip, programs[n].code, sizeof programs[n].code);
    assert_true(vcpu_kvm.get_sregs(c->vcpu, &s, NULL));
    s.cs.base = s.cs.selector = 0;
    s.es.base = QUIET_MEMORY;
    assert_true(vcpu_kvm.set_sregs(c->vcpu, &s, NULL));
    assert_true(vcpu_kvm.set_regs(c->vcpu, &r, NULL));
}

static void make(struct guest *g, struct cpu *cpus)
{
    struct error err = { 0 };

    for (unsigned n = 0; n < CPUS; n++) {
        struct cpu *c = &cpus[n];

        c->guest = g;
        c->port = (struct cpu_port){ .bootstrap = true, .index = n, .apic_id = n };
        c->vcpu = n ? vcpu_kvm.vcpu_new(g->accel, &c->port, "base", &err) : g->vcpu;
        if (!c->vcpu)
            fail_msg("%s", err.text);
        start(c, n);
    }
}

static uint16_t counter(const struct guest *g, unsigned n)
{
    return *(volatile uint16_t *)(g->ram.host + COUNTERS + 2 * n);
}

/* One pause of all: everybody was told to stop, none has missed it, and nobody counts on. */
static void pause_all(struct guest *g, struct cpu *cpus, pthread_barrier_t *barrier, unsigned round)
{
    uint16_t then[CPUS];

    pthread_barrier_wait(barrier);
    usleep(round * 37 % 1500); /* some are not in the guest yet */
    for (unsigned n = 0; n < CPUS; n++)
        vcpu_kvm.kick(cpus[n].vcpu);
    pthread_barrier_wait(barrier);
    for (unsigned n = 0; n < CPUS; n++) {
        if (cpus[n].stop != VCPU_STOP_KICK)
            fail_msg("round %u: the cpu that %s has ended with %d: %s", round, programs[n].what,
                     cpus[n].stop, cpus[n].vcpu->failure.text);
        then[n] = counter(g, n);
    }
    usleep(100);
    for (unsigned n = 0; n < CPUS; n++)
        assert_int_equal(counter(g, n), then[n]);
}

static void test_pauses(void **state)
{
    pthread_barrier_t barrier;
    struct cpu cpus[CPUS] = { 0 };
    struct region port, memory;
    atomic_bool end = false;
    struct guest g;

    skip_without_kvm();
    guest_init(&g, "base");
    region_init_io(&port, g.machine.mem, "quiet port", 1, &quiet_ops, NULL);
    region_add(&g.machine.io_ports, QUIET_PORT, &port, 0);
    region_init_io(&memory, g.machine.mem, "quiet memory", 0x1000, &quiet_ops, NULL);
    region_add(&g.machine.system, QUIET_MEMORY, &memory, 0);
    make(&g, cpus);
    pthread_barrier_init(&barrier, NULL, CPUS + 1);
    machine_lock_release(loop_lock(g.loop));
    alarm(3 * GUEST_SECONDS);
    for (unsigned n = 0; n < CPUS; n++) {
        cpus[n].barrier = &barrier;
        cpus[n].end = &end;
        pthread_create(&cpus[n].thread, NULL, run_often, &cpus[n]);
    }
    for (unsigned round = 0; round < ROUNDS; round++) {
        end = round == ROUNDS - 1;
        pause_all(&g, cpus, &barrier, round);
    }
    for (unsigned n = 0; n < CPUS; n++)
        pthread_join(cpus[n].thread, NULL);
    alarm(0);
    machine_lock_take(loop_lock(g.loop));
    for (unsigned n = 0; n < CPUS; n++)
        assert_true(counter(&g, n) > 0);
    pthread_barrier_destroy(&barrier);
    for (unsigned n = 1; n < CPUS; n++)
        vcpu_kvm.vcpu_free(cpus[n].vcpu);
    region_fini(&memory);
    region_fini(&port);
    guest_fini(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pauses),
    };

    signal(SIGALRM, on_alarm);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
