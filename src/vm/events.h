/* Events of a VM: who wants to hear of what its cpus do.
 *
 * One table serves hooks, the monitor and a debugger. A subscription says what it waits for
 * (addresses, ranges, vectors), for which cpu or address space, and under which condition; all of
 * that is decided in C. Several may wait for the same: they are called in the order of adding. A
 * callback may add and remove subscriptions, its own included; what it adds is active from the next
 * instruction. Machine lock for everything; while the VM runs, only its own thread (callbacks,
 * device accesses) and whoever has paused it may call. */
#pragma once

#include "cpu/vcpu.h"
#include "loop/clock.h"

struct vm;

enum vm_event_kind {
    VM_EVENT_EXEC,      /* an instruction in [first, last] is about to be executed */
    VM_EVENT_ACCESS,    /* data in [first, last] (linear) is accessed */
    VM_EVENT_EXCEPTION, /* an exception whose vector is in [first, last] is about to be delivered */
    VM_EVENT_MSR,       /* RDMSR or WRMSR of an index in [first, last] */
    VM_EVENT_CPUID,     /* CPUID of a leaf in [first, last] */
    VM_EVENT_KINDS,
};

/* What a callback is told. */
struct vm_event_info {
    struct vcpu *vcpu;
    uint64_t address; /* linear address of the instruction or the data; vector; index; leaf */
    unsigned size;    /* of an access */
    bool write;       /* of an access or an MSR */
    uint32_t error;   /* of an exception */
    uint32_t subleaf;
    uint64_t *value; /* of an access or an MSR: may be replaced */
    uint32_t *regs;  /* of CPUID: eax, ebx, ecx, edx, may be replaced */
};

enum vm_condition_op { VM_COND_NONE, VM_COND_EQ, VM_COND_NE, VM_COND_LT, VM_COND_GT };

struct vm_event {
    enum vm_event_kind kind;
    uint64_t first, last;
    int cpu;            /* -1: any */
    bool reads, writes; /* ACCESS and MSR: which of them */
    bool by_cr3; /* only in the address space whose page tables are at cr3 (bits 12 and up) */
    uint64_t cr3;
    /* A register (by the number that get_reg() knows) compared, unsigned, after masking. */
    enum vm_condition_op op;
    unsigned reg;
    uint64_t mask, operand;
    uint64_t skip; /* matching events to let pass before the first call */
    enum vcpu_verdict (*fire)(void *opaque, const struct vm_event_info *info);
    void *opaque;
    uint64_t matched; /* events that passed filter and condition */
    /* the table's */
    struct vm *vm;
    uint64_t order;
    size_t index; /* in the list of its kind, or among those that wait for it */
    bool waiting, removed;
    bool anywhere; /* on all cpus, in all address spaces, whatever registers hold */
};

/* The VM's backend must be able to tell of it; the error says why it is not. The struct is the
 * caller's and must stay until it is removed. O(1), but that the next run, or the end of the event
 * under way, brings the table up to date in O(n). */
bool vm_event_add(struct vm *vm, struct vm_event *e, struct error *err);

/* Take its place among all subscriptions, without being told of anything yet. Without it
 * vm_event_add takes one; after a removal the same struct comes back to its place. */
void vm_event_order(struct vm *vm, struct vm_event *e);

/* Harmless twice. After it the struct may go, even when called from its own callback. */
void vm_event_remove(struct vm_event *e);

/* What serves it at present: see vcpu_backend.means. NULL: the backend has one way only. Machine
 * lock. */
const char *vm_event_means(const struct vm_event *e);

/* Can the VM's backend tell of it? The error says why not. */
bool vm_event_supported(const struct vm *vm, enum vcpu_event event, struct error *err);
/* Can its cpus execute single instructions? */
bool vm_can_step(const struct vm *vm, struct error *err);
const char *vm_event_kind_name(enum vm_event_kind kind);

/* Timers of this clock wait for a count of retired instructions; NULL on backends that do not
 * count. */
struct clock *vm_instruction_clock(struct vm *vm);
