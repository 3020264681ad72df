/* A machine with RAM, ROM and two test devices, and tiny guests that run on it through the KVM
 * backend alone.
 *
 * Every guest runs under alarm(): a /dev/kvm that hangs fails the test. Without /dev/kvm each test
 * skips with a word. */
#pragma once

#include "cpu/kvm/kvm_internal.h"

#include "base/bits.h"
#include "loop/loop.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum {
    RAM_SIZE = 0x100000,
    ROM_BASE = 0x200000,
    ROM_SIZE = 0x1000,
    DEVICE_BASE = 0x300000,
    DEVICE_SIZE = 0x1000,
    PORT_BASE = 0x40,
    CODE = 0x1000,
    STACK = 0x8000,
    TABLES = 0x10000,
    GUEST_SECONDS = 20,
    LOG_MAX = 64,
};

struct access {
    bool write;
    uint64_t offset, value;
    unsigned size;
};

struct guest {
    const struct vcpu_backend *backend;
    struct loop *loop;
    struct machine machine;
    struct region ram, rom, device, ports;
    struct accel *accel;
    struct vcpu *vcpu;
    struct cpu_port port;
    struct device *intc; /* never looked into */
    struct access log[LOG_MAX];
    unsigned logged;
    uint64_t answer; /* what the devices' reads give */
    unsigned acknowledged;
    bool saw_current_cpu;
};

static inline void record(struct guest *g, bool write, uint64_t offset, uint64_t value,
                          unsigned size)
{
    assert_true(g->logged < LOG_MAX);
    g->log[g->logged++] = (struct access){ write, offset, value, size };
    g->saw_current_cpu = g->machine.current_cpu == &g->port;
    assert_true(machine_lock_mine(loop_lock(g->loop)));
}

static inline uint64_t device_read(void *opaque, uint64_t offset, unsigned size)
{
    struct guest *g = opaque;

    record(g, false, offset, 0, size);
    return g->answer & bits_mask(size * 8);
}

static inline void device_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    record(opaque, true, offset, value, size);
}

static const struct region_ops device_ops = {
    .read = device_read,
    .write = device_write,
    .impl = { .min = 1, .max = 8 },
};

static inline int acknowledge(struct device *intc)
{
    struct guest *g = (struct guest *)intc;

    g->acknowledged++;
    g->port.pins->intr(&g->port, false);
    return 0x21;
}

static const struct intc_ops intc_ops = { .acknowledge = acknowledge };

static inline int64_t no_time(void *opaque)
{
    return 1000;
}

static inline void on_alarm(int signal_number)
{
    static const char text[] = "kvm: a guest hung\n";

    (void)!write(STDERR_FILENO, text, sizeof text - 1);
    _exit(1);
}

static inline void skip_without_kvm(void)
{
    if (access("/dev/kvm", R_OK | W_OK) != 0) {
        print_message("skipped: /dev/kvm: %s\n", strerror(errno));
        skip();
    }
}

static inline void guest_init_on(struct guest *g, const struct vcpu_backend *backend,
                                 enum irqchip irqchip, const char *model)
{
    struct error err = { 0 };

    memset(g, 0, sizeof *g);
    g->backend = backend;
    g->loop = loop_new(&err);
    assert_non_null(g->loop);
    machine_lock_take(loop_lock(g->loop));
    machine_init(&g->machine, g->loop, NULL);
    g->machine.irqchip = irqchip;
    clock_init(&g->machine.virtual, "virtual", no_time, NULL, NULL);
    assert_true(region_init_ram(&g->ram, g->machine.mem, "ram", RAM_SIZE, &err));
    region_add(&g->machine.system, 0, &g->ram, 0);
    assert_true(region_init_rom(&g->rom, g->machine.mem, "rom", ROM_SIZE, &device_ops, g, &err));
    region_add(&g->machine.system, ROM_BASE, &g->rom, 0);
    region_init_io(&g->device, g->machine.mem, "device", DEVICE_SIZE, &device_ops, g);
    region_add(&g->machine.system, DEVICE_BASE, &g->device, 0);
    region_init_io(&g->ports, g->machine.mem, "ports", 8, &device_ops, g);
    region_add(&g->machine.io_ports, PORT_BASE, &g->ports, 0);
    g->accel = g->backend->open(&g->machine, &err);
    if (!g->accel)
        fail_msg("%s", err.text);
    g->port = (struct cpu_port){
        .bootstrap = true,
        .intc = (struct device *)g,
        .intc_ops = &intc_ops,
    };
    g->vcpu = g->backend->vcpu_new(g->accel, &g->port, model, &err);
    if (!g->vcpu)
        fail_msg("%s", err.text);
}

static inline void guest_init(struct guest *g, const char *model)
{
    guest_init_on(g, &vcpu_kvm, IRQCHIP_USER, model);
}

static inline void guest_fini(struct guest *g)
{
    g->backend->vcpu_free(g->vcpu);
    g->backend->close(g->accel);
    region_fini(&g->ports);
    region_fini(&g->device);
    region_fini(&g->rom);
    region_fini(&g->ram);
    machine_fini(&g->machine);
    machine_lock_release(loop_lock(g->loop));
    loop_free(g->loop);
}

static inline void start_real(struct guest *g, const void *code, size_t size)
{
    struct kvm_sregs sregs;
    struct kvm_regs regs = { .rip = CODE, .rsp = STACK, .rflags = 2 };

    memcpy(g->ram.host + CODE, code, size);
    g->backend->reset(g->vcpu);
    assert_true(g->backend->get_sregs(g->vcpu, &sregs, NULL));
    sregs.cs.base = sregs.cs.selector = 0;
    assert_true(g->backend->set_sregs(g->vcpu, &sregs, NULL));
    assert_true(g->backend->set_regs(g->vcpu, &regs, NULL));
}

/* Long mode with the first GiB mapped one to one by 2 MiB pages. */
static inline void start_long(struct guest *g, const void *code, size_t size)
{
    uint64_t *pml4 = (uint64_t *)(g->ram.host + TABLES), *pdpt = pml4 + 512, *pd = pdpt + 512;
    struct kvm_segment data = {
        .limit = 0xffffffff, .selector = 0x18, .type = 3, .present = 1, .db = 1, .s = 1, .g = 1
    };
    struct kvm_sregs s;

    start_real(g, code, size);
    assert_true(g->backend->get_sregs(g->vcpu, &s, NULL));
    pml4[0] = (TABLES + 0x1000) | 3;
    pdpt[0] = (TABLES + 0x2000) | 3;
    for (uint64_t i = 0; i < 512; i++)
        pd[i] = i << 21 | 0x83;
    s.cr3 = TABLES;
    s.cr4 = 1 << 5;
    s.cr0 = 0x80000033;
    s.efer = 0x500;
    s.ds = s.es = s.fs = s.gs = s.ss = data;
    s.cs = data;
    s.cs.selector = 0x10;
    s.cs.type = 11;
    s.cs.db = 0;
    s.cs.l = 1;
    assert_true(g->backend->set_sregs(g->vcpu, &s, NULL));
}

static inline enum vcpu_stop run(struct guest *g)
{
    enum vcpu_stop stop;

    machine_lock_release(loop_lock(g->loop));
    alarm(GUEST_SECONDS);
    stop = g->backend->run(g->vcpu, UINT64_MAX);
    alarm(0);
    machine_lock_take(loop_lock(g->loop));
    if (stop == VCPU_STOP_ERROR)
        print_error("%s\n", g->vcpu->failure.text);
    return stop;
}

static inline void assert_access(const struct guest *g, unsigned i, bool write, uint64_t offset,
                                 uint64_t value, unsigned size)
{
    assert_true(i < g->logged);
    assert_int_equal(g->log[i].write, write);
    assert_int_equal(g->log[i].offset, offset);
    assert_int_equal(g->log[i].value, value);
    assert_int_equal(g->log[i].size, size);
}
