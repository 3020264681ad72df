/* What Perilune adds to KVM: to an exit, beside a bare loop around KVM_RUN with the same guest in
 * the same run, in turns; what a change of the memory map takes until the slots are as it says;
 * how soon vcpus that spin stand still; and what the kernel's ways around an exit would save.
 *
 * Prints "name<tab>number" lines, medians; benches/kvm.py makes tables of them. Exits are told in
 * nanoseconds of processor time of the thread, the rest in microseconds by the wall. */
#define _GNU_SOURCE
#include "base/bits.h"
#include "cpu/kvm/trial.h"
#include "loop/loop.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

enum {
    PORT = 0x40,
    DOORBELL = 0x41,
    DEVICE = 0x8000, /* beyond RAM, within reach of real mode */
    BATCH = 1000,    /* exits */
    ROUNDS = 100,
    LOOPED = 100, /* accesses for each exit of the loops that try the doorbell */
    REGIONS = 100,
    BAR = 0x10000000,
    BAR_SIZE = 0x10000,
    CPUS_MAX = 4,
};

static const uint8_t pio_guest[] = { 0xe6, PORT, 0xeb, 0xfc }; /* 1: out %al, $PORT; jmp 1b */
static const uint8_t mmio_guest[] = { 0xa2, 0x00, 0x80, 0xeb, 0xfb }; /* 1: mov %al, DEVICE; jmp */
static const uint8_t spin_guest[] = { 0xeb, 0xfe };                   /* 1: jmp 1b */
static const uint8_t pio_doorbell_guest[] = {
    0xb9, LOOPED - 1, 0x00, /* 2: mov $99, %cx */
    0xe6, DOORBELL,         /* 1: out %al, $DOORBELL */
    0xe2, 0xfc,             /* loop 1b */
    0xe6, PORT,             /* out %al, $PORT */
    0xeb, 0xf5,             /* jmp 2b */
};
static const uint8_t mmio_doorbell_guest[] = {
    0xb9, LOOPED - 1, 0x00, /* 2: mov $99, %cx */
    0xa2, 0x00,       0x80, /* 1: mov %al, DEVICE */
    0xe2, 0xfb,             /* loop 1b */
    0xe6, PORT,             /* out %al, $PORT */
    0xeb, 0xf4,             /* jmp 2b */
};

static void give_up(const char *what)
{
    fprintf(stderr, "bench_kvm: %s: %s\n", what, strerror(errno));
    exit(4);
}

static int64_t time_of(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values, unsigned count)
{
    qsort(values, count, sizeof *values, compare);
    return values[count / 2];
}

/* ---- a machine with nothing but what is measured ---- */

struct bench {
    struct loop *loop;
    struct machine machine;
    struct region ram, device, ports;
    struct accel *accel;
    struct cpu_port port[CPUS_MAX];
    struct vcpu *vcpu[CPUS_MAX];
    unsigned cpus;
    unsigned written;
};

static void device_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    struct bench *b = opaque;
    if (++b->written == BATCH)
        vcpu_kvm.kick(b->vcpu[0]);
}

static uint64_t device_read(void *opaque, uint64_t offset, unsigned size)
{
    return 0;
}

static const struct region_ops device_ops = { .read = device_read, .write = device_write };

static int64_t no_time(void *opaque)
{
    return 0;
}

static void start(struct vcpu *v)
{
    struct kvm_sregs sregs;
    struct kvm_regs regs = { .rip = TRIAL_CODE, .rflags = 2 };
    vcpu_kvm.reset(v);
    if (!vcpu_kvm.get_sregs(v, &sregs, NULL))
        give_up("registers");
    sregs.cs.base = sregs.cs.selector = 0;
    if (!vcpu_kvm.set_sregs(v, &sregs, NULL) || !vcpu_kvm.set_regs(v, &regs, NULL))
        give_up("registers");
}

static void set_up(struct bench *b, unsigned cpus, const uint8_t *code, size_t size)
{
    struct error err = { 0 };
    *b = (struct bench){ .loop = loop_new(&err), .cpus = cpus };
    machine_lock_take(loop_lock(b->loop));
    machine_init(&b->machine, b->loop, NULL);
    clock_init(&b->machine.virtual, "virtual", no_time, NULL, NULL);
    if (!region_init_ram(&b->ram, b->machine.mem, "ram", TRIAL_SIZE, &err))
        give_up(err.text);
    region_add(&b->machine.system, 0, &b->ram, 0);
    region_init_io(&b->device, b->machine.mem, "device", RAM_PAGE_SIZE, &device_ops, b);
    region_add(&b->machine.system, DEVICE, &b->device, 0);
    region_init_io(&b->ports, b->machine.mem, "ports", 8, &device_ops, b);
    region_add(&b->machine.io_ports, PORT, &b->ports, 0);
    memcpy(b->ram.host + TRIAL_CODE, code, size);
    b->accel = vcpu_kvm.open(&b->machine, &err);
    if (!b->accel)
        give_up(err.text);
    for (unsigned n = 0; n < cpus; n++) {
        b->port[n] = (struct cpu_port){ .bootstrap = true, .index = n, .apic_id = n };
        b->vcpu[n] = vcpu_kvm.vcpu_new(b->accel, &b->port[n], "base", &err);
        if (!b->vcpu[n])
            give_up(err.text);
        start(b->vcpu[n]);
    }
}

static void tear_down(struct bench *b)
{
    for (unsigned n = 0; n < b->cpus; n++)
        vcpu_kvm.vcpu_free(b->vcpu[n]);
    vcpu_kvm.close(b->accel);
    region_fini(&b->ports);
    region_fini(&b->device);
    region_fini(&b->ram);
    machine_fini(&b->machine);
    machine_lock_release(loop_lock(b->loop));
    loop_free(b->loop);
}

/* ---- exits ---- */

static double ours(struct bench *b)
{
    int64_t begin;
    b->written = 0;
    machine_lock_release(loop_lock(b->loop));
    begin = time_of(CLOCK_THREAD_CPUTIME_ID);
    enum vcpu_stop stop = vcpu_kvm.run(b->vcpu[0], UINT64_MAX);
    begin = time_of(CLOCK_THREAD_CPUTIME_ID) - begin;
    machine_lock_take(loop_lock(b->loop));
    if (stop != VCPU_STOP_KICK || b->written != BATCH)
        give_up(stop == VCPU_STOP_ERROR ? b->vcpu[0]->failure.text : "the guest stopped early");
    return (double)begin / BATCH;
}

/* What every user of KVM has to do, and no more: enter, and look at why it came out. `ring`: of
 * accesses that the kernel has gathered, which are taken out. */
static double bare(const struct trial *t, uint32_t reason, unsigned exits,
                   struct kvm_coalesced_mmio_ring *ring)
{
    int64_t begin = time_of(CLOCK_THREAD_CPUTIME_ID);
    for (unsigned n = 0; n < exits; n++) {
        if (ioctl(t->fd, KVM_RUN, 0) < 0)
            give_up("KVM_RUN");
        if (t->run->exit_reason != reason)
            give_up("the bare guest leaves for another reason");
        if (ring)
            ring->first = ring->last;
    }
    return (double)(time_of(CLOCK_THREAD_CPUTIME_ID) - begin) / exits;
}

static void measure_exits(const char *name, const uint8_t *code, size_t size, uint32_t reason)
{
    double our[ROUNDS], their[ROUNDS], more[ROUNDS];
    struct vcpu_stats before, after;
    struct bench b;
    struct trial t;
    set_up(&b, 1, code, size);
    if (!trial_begin(&t, b.accel, code, size))
        give_up("a bare virtual machine");
    ours(&b);
    bare(&t, reason, BATCH, NULL);
    vcpu_kvm.get_stats(b.vcpu[0], &before);
    for (unsigned n = 0; n < ROUNDS; n++) {
        their[n] = bare(&t, reason, BATCH, NULL);
        our[n] = ours(&b);
        more[n] = our[n] - their[n];
    }
    vcpu_kvm.get_stats(b.vcpu[0], &after);
    printf("%s bare\t%.1f\n%s ours\t%.1f\n", name, median(their, ROUNDS), name,
           median(our, ROUNDS));
    printf("%s more\t%.1f\n%s calls\t%llu\n", name, median(more, ROUNDS), name,
           (unsigned long long)(after.host_calls - before.host_calls));
    trial_end(&t);
    tear_down(&b);
}

/* ---- ways around an exit ---- */

static void set_eventfd(const struct trial *t, bool pio)
{
    struct kvm_ioeventfd e = {
        .addr = pio ? DOORBELL : DEVICE,
        .len = 1,
        .fd = eventfd(0, EFD_CLOEXEC),
        .flags = pio ? KVM_IOEVENTFD_FLAG_PIO : 0,
    };
    if (e.fd < 0 || kvm_ioctl(t->vm_fd, KVM_IOEVENTFD, &e) < 0)
        give_up("ioeventfd");
    close(e.fd); /* the kernel has its own reference */
}

/* NULL: the kernel has it not. */
static struct kvm_coalesced_mmio_ring *set_coalesced(const struct trial *t, bool pio)
{
    struct kvm_coalesced_mmio_zone z = {
        .addr = pio ? DOORBELL : DEVICE,
        .size = 1,
        .pio = pio,
    };
    int page = ioctl(t->accel->kvm_fd, KVM_CHECK_EXTENSION, KVM_CAP_COALESCED_MMIO);
    if (page <= 0 || kvm_ioctl(t->vm_fd, KVM_REGISTER_COALESCED_MMIO, &z) < 0)
        return NULL;
    return (void *)((uint8_t *)t->run + (size_t)page * RAM_PAGE_SIZE);
}

enum way { WAY_EXIT, WAY_EVENTFD, WAY_COALESCED };

static void measure_way(const struct accel *a, const char *name, enum way way, bool pio)
{
    const uint8_t *code = pio ? pio_doorbell_guest : mmio_doorbell_guest;
    size_t size = pio ? sizeof pio_doorbell_guest : sizeof mmio_doorbell_guest;
    struct kvm_coalesced_mmio_ring *ring = NULL;
    double took[ROUNDS / 5];
    struct trial t;
    if (!trial_begin(&t, a, code, size))
        give_up("a bare virtual machine");
    if (way == WAY_EVENTFD)
        set_eventfd(&t, pio);
    if (way == WAY_COALESCED && !(ring = set_coalesced(&t, pio)))
        return trial_end(&t);
    for (unsigned n = 0; n < ARRAY_LEN(took); n++) {
        unsigned exits = way == WAY_EXIT ? 0 : 20;
        int64_t begin = time_of(CLOCK_THREAD_CPUTIME_ID);
        if (exits)
            bare(&t, KVM_EXIT_IO, exits, ring);
        for (unsigned i = 0; !exits && i < 20 * LOOPED; i++)
            if (ioctl(t.fd, KVM_RUN, 0) < 0)
                give_up("KVM_RUN");
        took[n] = (double)(time_of(CLOCK_THREAD_CPUTIME_ID) - begin) / (20 * LOOPED);
    }
    printf("%s %s\t%.1f\n", pio ? "pio" : "mmio", name, median(took, ARRAY_LEN(took)));
    trial_end(&t);
}

static void measure_ways(void)
{
    struct bench b;
    set_up(&b, 1, spin_guest, sizeof spin_guest);
    for (unsigned pio = 0; pio < 2; pio++) {
        measure_way(b.accel, "exit", WAY_EXIT, pio);
        measure_way(b.accel, "ioeventfd", WAY_EVENTFD, pio);
        measure_way(b.accel, "coalesced", WAY_COALESCED, pio);
    }
    tear_down(&b);
}

/* ---- vcpus that spin ---- */

struct spinner {
    struct bench *bench;
    struct vcpu *vcpu;
    pthread_t thread;
    atomic_bool end;
    pthread_barrier_t *barrier;
};

static void *spin(void *opaque)
{
    struct spinner *s = opaque;
    while (!s->end) {
        pthread_barrier_wait(s->barrier); /* all go */
        vcpu_kvm.run(s->vcpu, UINT64_MAX);
        pthread_barrier_wait(s->barrier); /* all stand */
    }
    return NULL;
}

/* From the first kick until the last one is out of `run`. */
static void measure_pause(unsigned cpus)
{
    struct spinner s[CPUS_MAX];
    double took[ROUNDS];
    pthread_barrier_t barrier;
    struct bench b;
    set_up(&b, cpus, spin_guest, sizeof spin_guest);
    machine_lock_release(loop_lock(b.loop));
    pthread_barrier_init(&barrier, NULL, cpus + 1);
    for (unsigned n = 0; n < cpus; n++) {
        s[n] = (struct spinner){ .bench = &b, .vcpu = b.vcpu[n], .barrier = &barrier };
        pthread_create(&s[n].thread, NULL, spin, &s[n]);
    }
    for (unsigned round = 0; round < ROUNDS; round++) {
        pthread_barrier_wait(&barrier);
        usleep(5000);
        int64_t begin = time_of(CLOCK_MONOTONIC);
        for (unsigned n = 0; n < cpus; n++) {
            s[n].end = round == ROUNDS - 1;
            vcpu_kvm.kick(b.vcpu[n]);
        }
        pthread_barrier_wait(&barrier);
        took[round] = (double)(time_of(CLOCK_MONOTONIC) - begin) / 1000;
    }
    for (unsigned n = 0; n < cpus; n++)
        pthread_join(s[n].thread, NULL);
    pthread_barrier_destroy(&barrier);
    machine_lock_take(loop_lock(b.loop));
    tear_down(&b);
    printf("pause %u\t%.1f\n", cpus, median(took, ROUNDS));
    printf("pause best %u\t%.1f\n", cpus, took[0]);
}

/* ---- memory maps ---- */

/* REGIONS of devices, every fourth with memory of its own, and the two that move. */
struct map {
    struct region region[REGIONS], registers, memory;
};

static void map_init(struct map *map, struct bench *b)
{
    struct mem *m = b->machine.mem;
    struct error err = { 0 };
    mem_begin(m);
    for (unsigned n = 0; n < REGIONS; n++) {
        struct region *r = &map->region[n];
        if (n % 4)
            region_init_io(r, m, "device", RAM_PAGE_SIZE, &device_ops, b);
        else if (!region_init_ram(r, m, "memory", RAM_PAGE_SIZE, &err))
            give_up(err.text);
        region_add(&b->machine.system, BAR / 2 + n * 2 * RAM_PAGE_SIZE, r, 0);
    }
    region_init_io(&map->registers, m, "registers", BAR_SIZE, &device_ops, b);
    region_add(&b->machine.system, BAR, &map->registers, 0);
    if (!region_init_ram(&map->memory, m, "bar", BAR_SIZE, &err))
        give_up(err.text);
    region_add(&b->machine.system, 2 * BAR, &map->memory, 0);
    mem_commit(m);
}

static void map_fini(struct map *map)
{
    region_fini(&map->memory);
    region_fini(&map->registers);
    for (unsigned n = 0; n < REGIONS; n++)
        region_fini(&map->region[n]);
}

static void measure_move(struct bench *b, const char *name, struct region *r)
{
    double took[ROUNDS];
    uint64_t at = r->addr;
    for (unsigned n = 0; n < ROUNDS; n++) {
        int64_t begin = time_of(CLOCK_MONOTONIC);
        region_set_addr(r, n % 2 ? at : at + 4 * BAR);
        took[n] = (double)(time_of(CLOCK_MONOTONIC) - begin) / 1000;
        machine_lock_release(loop_lock(b->loop)); /* a guest goes on */
        usleep(500);
        machine_lock_take(loop_lock(b->loop));
    }
    printf("move %s\t%.1f\n", name, median(took, ROUNDS));
}

/* The kernel's own share: the same slot moved by one call, or removed and made elsewhere by two. */
static void measure_bare_move(const struct accel *a, const char *name, bool two)
{
    struct kvm_userspace_memory_region r = { .slot = 1, .memory_size = RAM_PAGE_SIZE };
    double took[ROUNDS];
    struct trial t;
    if (!trial_begin(&t, a, spin_guest, sizeof spin_guest))
        give_up("a bare virtual machine");
    r.userspace_addr = (uintptr_t)t.memory;
    for (unsigned n = 0; n < ROUNDS; n++) {
        int64_t begin = time_of(CLOCK_MONOTONIC);
        if (two && n) {
            r.memory_size = 0;
            if (kvm_ioctl(t.vm_fd, KVM_SET_USER_MEMORY_REGION, &r) < 0)
                give_up("a slot");
            r.memory_size = RAM_PAGE_SIZE;
        }
        r.guest_phys_addr = n % 2 ? BAR : 2 * BAR;
        if (kvm_ioctl(t.vm_fd, KVM_SET_USER_MEMORY_REGION, &r) < 0)
            give_up("a slot");
        took[n] = (double)(time_of(CLOCK_MONOTONIC) - begin) / 1000;
        usleep(500);
    }
    printf("move %s\t%.1f\n", name, median(took, ROUNDS));
    trial_end(&t);
}

static void *spin_on(void *opaque)
{
    vcpu_kvm.run(opaque, UINT64_MAX);
    return NULL;
}

static void measure_moves(void)
{
    struct map map;
    struct bench b;
    pthread_t thread;
    set_up(&b, 1, spin_guest, sizeof spin_guest);
    map_init(&map, &b);
    measure_bare_move(b.accel, "bare", false);
    measure_bare_move(b.accel, "bare by two calls", true);
    measure_move(&b, "registers", &map.registers);
    measure_move(&b, "memory", &map.memory);
    pthread_create(&thread, NULL, spin_on, b.vcpu[0]);
    measure_move(&b, "registers running", &map.registers);
    measure_move(&b, "memory running", &map.memory);
    machine_lock_release(loop_lock(b.loop));
    vcpu_kvm.kick(b.vcpu[0]);
    pthread_join(thread, NULL);
    machine_lock_take(loop_lock(b.loop));
    map_fini(&map);
    tear_down(&b);
}

int main(void)
{
    if (access("/dev/kvm", R_OK | W_OK) != 0) {
        printf("/dev/kvm: %s\n", strerror(errno));
        return 77;
    }
    measure_exits("pio", pio_guest, sizeof pio_guest, KVM_EXIT_IO);
    measure_exits("mmio", mmio_guest, sizeof mmio_guest, KVM_EXIT_MMIO);
    measure_moves();
    for (unsigned cpus = 1; cpus <= CPUS_MAX; cpus *= 2)
        measure_pause(cpus);
    measure_ways();
    return 0;
}
