/* A /dev/kvm that is a model: of what Linux does with breakpoints, steps, traps, read-only memory
 * and MSR filters on a processor that has all of it, as Documentation/virt/kvm/api.rst and
 * arch/x86/kvm of Linux 6.1 (kvm_arch_vcpu_ioctl_set_guest_debug(), db_interception(),
 * bp_interception(), complete_fast_pio_in(), x86_emulate_instruction()) tell it. No host at hand
 * honours all of these. It is no proof of what a processor does.
 *
 * The environment variable MODEL_KVM may name what it lacks: "points" (the processor's
 * breakpoints), "int3" (INT3 does not exit), "blockirq".
 *
 * model_kvm.c serves the calls, model_cpu.c executes: real mode, and the instructions that the
 * tests of hooks are made of, which are in model_insn.c. Put before the C library (LD_PRELOAD) or
 * linked into a test. */
#pragma once

#include <linux/kvm.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

enum {
    MODEL_SLOTS = 512,
    MODEL_CPUS = 4,
    MODEL_MSRS = 64,
    MODEL_RUN_SIZE = 3 * 4096,
    MODEL_PIO_OFFSET = 4096, /* of its data in the shared area */
};

struct model_vm {
    pthread_mutex_t lock; /* an instruction has it, and a change of slots */
    struct kvm_userspace_memory_region slot[MODEL_SLOTS];
    unsigned slots; /* no number beyond was ever used */
    bool no_points, no_int3;
    struct kvm_msr_filter filter; /* its bitmaps are taken to be zero */
};

/* An instruction that has left for somebody else's part of it. */
enum model_pending { MODEL_NOTHING, MODEL_OUT, MODEL_IN, MODEL_READ, MODEL_RDMSR, MODEL_WRMSR };

struct model_vcpu {
    int fd;
    struct model_vm *vm;
    struct kvm_run *run;
    struct kvm_regs regs; /* with TF as the processor has it */
    struct kvm_sregs sregs;
    struct kvm_fpu fpu;
    struct kvm_debugregs debugregs;
    struct kvm_vcpu_events events;
    struct kvm_guest_debug debug;
    uint64_t step_from; /* linear address at KVM_SET_GUEST_DEBUG */
    uint8_t interrupt;  /* 0: none */
    struct kvm_msr_entry msr[MODEL_MSRS];
    unsigned msrs;
    enum model_pending pending;
    uint64_t pending_rip;           /* behind the instruction */
    void (*entering)(void *opaque); /* a test's, at the beginning of KVM_RUN; NULL */
    void *opaque;
    bool answered; /* run->mmio.data is what its read gets */
    /* of the instruction under way */
    unsigned operand; /* bytes */
    bool exits, faulted, unknown;
    uint64_t touched[4]; /* linear addresses of its data */
    unsigned touched_size[4], touches;
    bool touched_write[4];
};

/* The vcpu of a descriptor; NULL: it is none. */
struct model_vcpu *model_vcpu(int fd);

/* RFLAGS as users see it and set it: KVM keeps its own TF to itself. */
uint64_t model_get_rflags(const struct model_vcpu *v);
void model_set_rflags(struct model_vcpu *v, uint64_t rflags);
uint64_t model_linear_rip(const struct model_vcpu *v);

/* One instruction, or what waits to be delivered. True: the guest has left. vm->lock held. */
bool model_step(struct model_vcpu *v);
/* What KVM_RUN does first: end what was under way. True: as above. */
bool model_complete(struct model_vcpu *v);

__u64 *model_msr(struct model_vcpu *v, uint32_t index);

/* ---- between model_cpu.c and model_insn.c ---- */

/* Linear addresses; sizes in bytes. What no slot has leaves: v->exits. */
uint64_t model_load(struct model_vcpu *v, uint64_t at, unsigned size);
void model_store(struct model_vcpu *v, uint64_t at, unsigned size, uint64_t value);
uint64_t model_fetch(struct model_vcpu *v, unsigned size);
/* Registers by the number that instructions have for them. */
uint64_t model_get(struct model_vcpu *v, unsigned number, unsigned size);
void model_set(struct model_vcpu *v, unsigned number, unsigned size, uint64_t value);
void model_push(struct model_vcpu *v, uint64_t value);
uint64_t model_pop(struct model_vcpu *v);
/* To the guest's handler. True: it has none, and shuts down. */
bool model_deliver(struct model_vcpu *v, unsigned vector);
bool model_leave_debug(struct model_vcpu *v, uint32_t exception, uint64_t dr6);
/* #DB, to whom it belongs. True: the guest leaves. */
bool model_raise_debug(struct model_vcpu *v, uint64_t dr6);
/* The instruction at rip: as far as it gets without leaving. */
void model_execute(struct model_vcpu *v);
