/* A guest of the software CPU for tests: RAM, a device, ports, page tables, and an IDT whose every
 * handler is one HLT, so that a run ends where an exception or interrupt has been delivered.
 *
 * The virtual clock is the count of retired instructions. Everything runs on the test's thread,
 * under alarm(). */
#pragma once

#include "cpu/soft/flags.h"
#include "loop/loop.h"

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
    RAM_SIZE = 16 << 20,
    CODE = 0x1000,        /* where most programs start */
    STACK = 0x8000,       /* of the program, growing down */
    HANDLERS = 0x9000,    /* 16 bytes for each vector */
    FAULT_STACK = 0xb000, /* IST 1: every exception's frame is just below */
    GDT = 0xc000,
    TSS = 0xc100,
    IDT = 0xd000,
    DATA = 0x20000,    /* free for programs */
    TABLES = 0x100000, /* page tables, as many as are needed */
    LOW_MAPPED = 0x400000,
    DEVICE_BASE = 0x40000000,
    DEVICE_VA = 0x500000,
    PORT_BASE = 0x40,
    GUEST_SECONDS = 60,
    SEL_CODE = 0x10,
    SEL_DATA = 0x18,
    SEL_USER_DATA = 0x2b,
    SEL_USER_CODE = 0x33,
};
enum { MAP_P = 1, MAP_W = 2, MAP_U = 4, MAP_ALL = 7 };

struct guest {
    struct loop *loop;
    struct machine machine;
    struct region ram, device, ports;
    struct accel *accel;
    struct vcpu *vcpu;
    struct cpu_port port;
    uint64_t next_table;
    /* What the device does when it is accessed, NULL: nothing. With the machine lock. */
    void (*on_access)(struct guest *g, bool write, uint64_t offset, uint64_t value);
    uint64_t answer; /* what reads give */
    unsigned accesses;
    uint64_t access_at; /* instructions retired at the last one */
    int vector;         /* of the interrupt controller; -1: none */
    void *opaque;
};

static inline struct soft_cpu *guest_cpu(struct guest *g)
{
    return soft_of(g->vcpu);
}

static inline uint64_t guest_count(struct guest *g)
{
    return vcpu_soft.instructions(g->vcpu);
}

static inline uint64_t guest_device(struct guest *g, bool write, uint64_t offset, uint64_t value)
{
    assert_true(machine_lock_mine(loop_lock(g->loop)));
    g->accesses++;
    g->access_at = guest_count(g);
    if (g->on_access)
        g->on_access(g, write, offset, value);
    return g->answer;
}

static inline uint64_t guest_device_read(void *opaque, uint64_t offset, unsigned size)
{
    return guest_device(opaque, false, offset, 0) & bits_mask(size * 8);
}

static inline void guest_device_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    guest_device(opaque, true, offset, value);
}

static const struct region_ops guest_device_ops = {
    .read = guest_device_read,
    .write = guest_device_write,
    .impl = { .min = 1, .max = 8 },
};

static inline int guest_acknowledge(struct device *intc)
{
    struct guest *g = (struct guest *)intc;
    int vector = g->vector;
    g->vector = -1;
    g->port.pins->intr(&g->port, false);
    return vector;
}

static const struct intc_ops guest_intc_ops = { .acknowledge = guest_acknowledge };

/* Raise the INTR pin. With the machine lock. */
static inline void guest_interrupt(struct guest *g, int vector)
{
    g->vector = vector;
    g->port.pins->intr(&g->port, true);
}

static inline int64_t guest_now(void *opaque)
{
    struct guest *g = opaque;
    return g->vcpu ? (int64_t)guest_count(g) : 0;
}

static inline void guest_hung(int signal_number)
{
    static const char text[] = "a guest of the software CPU hung\n";
    (void)!write(STDERR_FILENO, text, sizeof text - 1);
    _exit(1);
}

static inline uint64_t *guest_entry(struct guest *g, uint64_t table, unsigned index)
{
    return (uint64_t *)(g->ram.host + table) + index;
}

/* Let virtual page `va` show physical page `pa`; `flags` 0 takes it away. The TLB is not told. */
static inline void guest_map(struct guest *g, uint64_t va, uint64_t pa, uint64_t flags)
{
    uint64_t table = TABLES;
    for (unsigned shift = 39; shift > 12; shift -= 9) {
        uint64_t *e = guest_entry(g, table, va >> shift & 0x1ff);
        if (!*e) {
            assert_true(g->next_table < LOW_MAPPED);
            *e = g->next_table | MAP_ALL;
            g->next_table += 0x1000;
        }
        table = *e & ~0xfffULL;
    }
    *guest_entry(g, table, va >> 12 & 0x1ff) = flags ? pa | flags : 0;
}

static inline void guest_tables(struct guest *g)
{
    static const uint64_t gdt[] = {
        0, 0, 0x00af9b000000ffff, 0x00cf93000000ffff, 0, 0x00cff3000000ffff, 0x00affb000000ffff
    };
    memcpy(g->ram.host + GDT, gdt, sizeof gdt);
    st_le64(g->ram.host + TSS + 0x24, FAULT_STACK);
    st_le64(g->ram.host + TSS + 4, FAULT_STACK);
    st_le16(g->ram.host + TSS + 0x66, 0x68); /* no ports for ring 3 */
    for (unsigned v = 0; v < 256; v++) {
        uint64_t handler = HANDLERS + v * 16;
        g->ram.host[handler] = 0xf4;
        uint64_t *gate = (uint64_t *)(g->ram.host + IDT) + 2 * v;
        gate[0] = (handler & 0xffff) | SEL_CODE << 16 | 1ULL << 32 | 0xeeULL << 40 |
                  (handler >> 16) << 48;
    }
    for (uint64_t a = 0; a < LOW_MAPPED; a += 0x1000)
        guest_map(g, a, a, MAP_ALL);
    guest_map(g, DEVICE_VA, DEVICE_BASE, MAP_ALL);
}

static inline void guest_init_model(struct guest *g, const char *model)
{
    struct error err = { 0 };
    memset(g, 0, sizeof *g);
    g->vector = -1;
    g->next_table = TABLES + 0x1000;
    g->loop = loop_new(&err);
    assert_non_null(g->loop);
    machine_lock_take(loop_lock(g->loop));
    machine_init(&g->machine, g->loop, NULL);
    clock_init(&g->machine.virtual, "virtual", guest_now, NULL, g);
    assert_true(region_init_ram(&g->ram, g->machine.mem, "ram", RAM_SIZE, &err));
    region_add(&g->machine.system, 0, &g->ram, 0);
    region_init_io(&g->device, g->machine.mem, "device", 0x1000, &guest_device_ops, g);
    region_add(&g->machine.system, DEVICE_BASE, &g->device, 0);
    region_init_io(&g->ports, g->machine.mem, "ports", 8, &guest_device_ops, g);
    region_add(&g->machine.io_ports, PORT_BASE, &g->ports, 0);
    g->accel = vcpu_soft.open(&g->machine, &err);
    if (!g->accel)
        fail_msg("%s", err.text);
    g->port = (struct cpu_port){ .bootstrap = true,
                                 .intc = (struct device *)g,
                                 .intc_ops = &guest_intc_ops };
    g->vcpu = vcpu_soft.vcpu_new(g->accel, &g->port, model, &err);
    if (!g->vcpu)
        fail_msg("%s", err.text);
    guest_tables(g);
    signal(SIGALRM, guest_hung);
}

static inline void guest_init(struct guest *g)
{
    guest_init_model(g, "base");
}

static inline void guest_fini(struct guest *g)
{
    vcpu_soft.vcpu_free(g->vcpu);
    vcpu_soft.close(g->accel);
    g->vcpu = NULL;
    region_fini(&g->ports);
    region_fini(&g->device);
    region_fini(&g->ram);
    machine_fini(&g->machine);
    clock_fini(&g->machine.virtual);
    machine_lock_release(loop_lock(g->loop));
    loop_free(g->loop);
}

static inline struct kvm_segment guest_segment(unsigned selector, unsigned type, bool code)
{
    return (struct kvm_segment){ .limit = 0xffffffff,
                                 .selector = (uint16_t)selector,
                                 .type = (uint8_t)type,
                                 .present = 1,
                                 .s = 1,
                                 .g = 1,
                                 .l = code,
                                 .db = !code,
                                 .dpl = selector & 3 };
}

/* Long mode at CODE, in ring 0 or 3, interrupts on. */
static inline void guest_start(struct guest *g, bool user)
{
    struct kvm_sregs s;
    struct kvm_regs r = { .rip = CODE, .rsp = STACK, .rflags = FLAG_1 | FLAG_IF };
    vcpu_soft.reset(g->vcpu);
    assert_true(vcpu_soft.get_sregs(g->vcpu, &s, NULL));
    s.cr3 = TABLES;
    s.cr4 = CR4_PAE | CR4_OSFXSR;
    s.cr0 = CR0_PE | CR0_MP | CR0_NE | CR0_WP | CR0_PG;
    s.efer = EFER_LME | EFER_LMA | EFER_NX;
    s.cs = guest_segment(user ? SEL_USER_CODE : SEL_CODE, 11, true);
    s.ss = guest_segment(user ? SEL_USER_DATA : SEL_DATA, 3, false);
    s.ds = s.es = s.fs = s.gs = guest_segment(0, 3, false);
    s.gdt.base = GDT;
    s.gdt.limit = 7 * 8 - 1;
    s.idt.base = IDT;
    s.idt.limit = 0xfff;
    s.tr = (struct kvm_segment){
        .base = TSS, .limit = 0x67, .selector = 0x8, .type = 11, .present = 1
    };
    assert_true(vcpu_soft.set_sregs(g->vcpu, &s, NULL));
    assert_true(vcpu_soft.set_regs(g->vcpu, &r, NULL));
}

/* Put bytes into RAM as a loader does. */
static inline void guest_put(struct guest *g, uint64_t pa, const void *bytes, size_t n)
{
    assert_int_equal(address_space_write(g->machine.memory, pa, bytes, n), MEM_OK);
}

/* A program assembled into the test: bytes from `name` to `name`_end, to be loaded at CODE. */
#define PROGRAM(name, text)                    \
    extern const uint8_t name[], name##_end[]; \
    __asm__(".pushsection .rodata\n" #name ":\n" text "\n" #name "_end:\n.popsection")

/* Load it and be about to run it, in ring 0. */
#define START(name) guest_load(&guest, name, (size_t)(name##_end - name))
static inline void guest_load(struct guest *g, const uint8_t *program, size_t size)
{
    guest_put(g, CODE, program, size);
    guest_start(g, false);
}

/* Run until `limit` more instructions have retired, or something else is up. */
static inline enum vcpu_stop guest_run(struct guest *g, uint64_t limit)
{
    uint64_t now = guest_count(g);
    machine_lock_release(loop_lock(g->loop));
    alarm(GUEST_SECONDS);
    enum vcpu_stop stop = vcpu_soft.run(g->vcpu, limit > UINT64_MAX / 2 ? limit : now + limit);
    alarm(0);
    machine_lock_take(loop_lock(g->loop));
    return stop;
}

static inline struct kvm_regs guest_regs(struct guest *g)
{
    struct kvm_regs r;
    assert_true(vcpu_soft.get_regs(g->vcpu, &r, NULL));
    return r;
}

/* What an exception has left on its stack. */
struct guest_frame {
    bool has_error;
    uint64_t error, rip, cs, rflags, rsp, ss;
};

/* Which vectors push an error code: SDM vol. 3, table 6-1. */
static inline bool guest_has_error(unsigned vector)
{
    return vector == VEC_DF || (vector >= VEC_TS && vector <= VEC_PF) || vector == VEC_AC;
}

/* At the first instruction of a handler (or after its HLT): which vector's, and its frame. -1: not
 * there. */
static inline int guest_fault(struct guest *g, struct guest_frame *f)
{
    uint64_t rip = guest_cpu(g)->rip - HANDLERS;
    if (rip >= 256 * 16 || (rip & 15) > 1)
        return -1;
    int vector = (int)(rip / 16);
    uint64_t sp = guest_cpu(g)->r[RSP];
    *f = (struct guest_frame){ .has_error = vector < 32 && guest_has_error((unsigned)vector) };
    if (f->has_error) {
        f->error = ld_le64(g->ram.host + sp);
        sp += 8;
    }
    memcpy(&f->rip, g->ram.host + sp, 5 * 8);
    return vector;
}
