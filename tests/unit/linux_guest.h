/* Debian's kernel on a machine of one software CPU and RAM, without any device: it gets as far as
 * it can, which is well into start_kernel(). For tests of what looks into a guest.
 *
 * The virtual clock is the count of retired instructions, so every run is the same. */
#pragma once

#include "debian_kernel.h"

#include "base/bits.h"
#include "boot/boot.h"
#include "cpu/vcpu.h"
#include "debug/unwind.h"
#include "loop/loop.h"

enum { LINUX_RAM = 512 << 20 };

struct linux_guest {
    struct loop *loop;
    struct machine machine;
    struct region ram;
    struct accel *accel;
    struct vcpu *vcpu;
    struct cpu_port port;
};

static inline int64_t linux_now(void *opaque)
{
    struct linux_guest *g = opaque;
    return g->vcpu ? (int64_t)vcpu_soft.instructions(g->vcpu) : 0;
}

static inline void linux_load(struct linux_guest *g, enum boot_decompress decompress)
{
    struct error err = { 0 };
    struct boot_entry entry;
    struct kvm_regs regs;
    struct kvm_sregs sregs;
    static const struct boot_e820 map[] = { { 0, 0x9fc00, BOOT_E820_RAM },
                                            { 1 << 20, LINUX_RAM - (1 << 20), BOOT_E820_RAM } };
    struct boot_config config = { .as = g->machine.memory,
                                  .e820 = map,
                                  .e820_count = ARRAY_LEN(map),
                                  .kernel = debian_kernel(),
                                  .cmdline = "earlyprintk=serial lpj=1000000",
                                  .decompress = decompress };
    if (!boot_load(&config, &entry, NULL, &err))
        fail_msg("%s", err.text);
    assert_true(vcpu_soft.get_sregs(g->vcpu, &sregs, NULL));
    boot_entry_registers(&entry, &regs, &sregs);
    assert_true(vcpu_soft.set_sregs(g->vcpu, &sregs, NULL));
    assert_true(vcpu_soft.set_regs(g->vcpu, &regs, NULL));
}

static inline void linux_init(struct linux_guest *g, enum boot_decompress decompress)
{
    struct error err = { 0 };
    debian_kernel(); /* skips before anything is made */
    *g = (struct linux_guest){ .loop = loop_new(&err) };
    assert_non_null(g->loop);
    machine_lock_take(loop_lock(g->loop));
    machine_init(&g->machine, g->loop, NULL);
    clock_init(&g->machine.virtual, "virtual", linux_now, NULL, g);
    assert_true(region_init_ram(&g->ram, g->machine.mem, "ram", LINUX_RAM, &err));
    region_add(&g->machine.system, 0, &g->ram, 0);
    g->accel = vcpu_soft.open(&g->machine, &err);
    assert_non_null(g->accel);
    g->port = (struct cpu_port){ .bootstrap = true };
    g->vcpu = vcpu_soft.vcpu_new(g->accel, &g->port, "base", &err);
    assert_non_null(g->vcpu);
    vcpu_soft.reset(g->vcpu);
    linux_load(g, decompress);
}

static inline void linux_fini(struct linux_guest *g)
{
    vcpu_soft.vcpu_free(g->vcpu);
    vcpu_soft.close(g->accel);
    g->vcpu = NULL;
    region_fini(&g->ram);
    machine_fini(&g->machine);
    clock_fini(&g->machine.virtual);
    machine_lock_release(loop_lock(g->loop));
    loop_free(g->loop);
}

/* On to instruction number `limit`. */
static inline enum vcpu_stop linux_run(struct linux_guest *g, uint64_t limit)
{
    machine_lock_release(loop_lock(g->loop));
    enum vcpu_stop stop = vcpu_soft.run(g->vcpu, limit);
    machine_lock_take(loop_lock(g->loop));
    return stop;
}

static inline struct unwind_regs linux_registers(struct linux_guest *g)
{
    struct kvm_regs r;
    assert_true(vcpu_soft.get_regs(g->vcpu, &r, NULL));
    return (struct unwind_regs){
        .r = { r.rax, r.rdx, r.rcx, r.rbx, r.rsi, r.rdi, r.rbp, r.rsp, r.r8, r.r9, r.r10, r.r11,
               r.r12, r.r13, r.r14, r.r15, r.rip },
        .known = (1u << UNWIND_REGS) - 1,
    };
}
