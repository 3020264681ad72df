/* A virtual machine: owns the machine, its cpus and its network, and runs it.
 *
 * Several VMs may live in one process, on one loop. Everything needs the machine lock. Guest code
 * runs on a thread of the VM's own (one per vcpu under KVM); whoever calls vm_run() on the loop
 * thread serves the loop meanwhile. */
#pragma once

#include "cpu/vcpu.h"
#include "dev/machine.h"
#include "loop/loop.h"
#include "net/link.h"
#include "trace/trace.h"

struct vm;

enum vm_state {
    VM_CREATED, /* being built; cpus have not been reset */
    VM_PAUSED,
    VM_RUNNING,
    VM_ENDED, /* exit_reason and exit_status hold */
};

/* What HLT does when nothing is due. */
enum vm_idle {
    VM_IDLE_SLEEP, /* wait in real time for the next timer or for input */
    VM_IDLE_WARP,  /* skip to the next timer at once; while a link leads outside, wait as SLEEP does
                    */
};

struct vm_config {
    const char *name;     /* for listings; copied */
    const char *accel;    /* "soft" or "kvm" */
    enum irqchip irqchip; /* other than USER and AUTO: refused by backends that are in no kernel */
    enum vm_idle idle;
    uint64_t ns_per_instruction; /* cost of one instruction on counting backends; 0 means 1 */
    int64_t epoch_ns;            /* time of day at start; the caller decides (fixed under warp) */
    uint64_t seed;               /* where random numbers given to the guest start */
    bool no_reboot;              /* a reset or a triple fault ends the run */
    bool no_shutdown;            /* power-off pauses instead of ending */
};

/* Exit statuses, as the process returns them. */
enum {
    VM_EXIT_POWEROFF = 0,
    VM_EXIT_HOST = 4,         /* a failure of the host or of a backend */
    VM_EXIT_TRIPLE_FAULT = 6, /* under no_reboot */
};

struct vm *vm_new(struct loop *loop, const struct vm_config *config, struct error *err);
/* Stops it first. NULL is allowed. */
void vm_free(struct vm *vm);

struct machine *vm_machine(struct vm *vm);
struct net *vm_net(struct vm *vm);
const char *vm_name(const struct vm *vm);
/* For listeners; their owners detach them before the VM is freed. */
struct trace *vm_trace_of(struct vm *vm);
/* Every table of events that there is, by number; NULL beyond the last. */
struct trace_table *vm_trace_table(size_t n);
/* A hook on `on` is about to be called. */
void vm_trace_hook(struct vm *vm, const char *on, const char *name);
struct vm_config *vm_config(struct vm *vm);
const struct vcpu_backend *vm_backend(const struct vm *vm);
/* What the machine has; IRQCHIP_AUTO counts as USER as long as there is no cpu. */
enum irqchip vm_irqchip(const struct vm *vm);

/* Add a cpu, before the machine starts. The port is the machine's cpus[index]. */
struct cpu_port *vm_add_cpu(struct vm *vm, const char *model, struct error *err);
struct vcpu *vm_vcpu(struct vm *vm, unsigned index); /* NULL: no such */

/* What to do at every reset after devices and cpus are reset: load the kernel again, set entry
 * registers. Called with the lock held on the thread that resets; false ends the VM with
 * VM_EXIT_HOST. */
void vm_set_boot(struct vm *vm, bool (*boot)(void *opaque, struct vm *vm, struct error *err),
                 void *opaque);

/* Called by vm_free when devices and cpus are gone and the memory system is still there: the place
 * to free what whoever built the machine owns, such as RAM regions. Lock held. */
void vm_set_teardown(struct vm *vm, void (*teardown)(void *opaque), void *opaque);

/* Reset everything and become paused. Needed once before the first resume. */
bool vm_reset(struct vm *vm, struct error *err);

/* Press the reset button of a machine that runs: soon, on the vcpu's thread, everything is reset
 * and goes on from there, or the run ends if the configuration says no_reboot. Does not wait; `who`
 * is for the trace. */
void vm_ask_reset(struct vm *vm, const char *who);

bool vm_resume(struct vm *vm, struct error *err);

/* Ask to pause, with a word why ("user", "breakpoint"). From the loop thread, returns when no vcpu
 * executes guest code any more (the lock is released meanwhile); from the thread of a vcpu, this
 * VM's or another's, does not wait: takes effect after the instruction. */
void vm_pause(struct vm *vm, const char *reason);

/* End the run: the state becomes VM_ENDED. As vm_pause for when it takes effect. */
void vm_end(struct vm *vm, const char *reason, int status);

/* On the loop thread: serve the loop until the VM is no longer running. Resumes it if it is paused.
 */
bool vm_run(struct vm *vm, struct error *err);

/* The same, until `count` more instructions (at least 1) have been executed: then it is paused with
 * the reason "step". Cpu `cpu` alone executes; -1: on backends that count the cpus take their turns
 * as ever, on others it is the first. */
bool vm_step(struct vm *vm, int cpu, uint64_t count, struct error *err);

/* For machines without a cpu: let `ns` of virtual time pass, letting in what waits at the door
 * first and firing timers in order, each at its own time. */
void vm_advance(struct vm *vm, int64_t ns);

/* Let a cpu execute nothing for `ns` of virtual time from now (or longer, if it is stalled for
 * longer already), while timers and devices go on; interrupts wait. From the vcpu's own thread or
 * while it does not run: takes effect before the next instruction. A reset ends it. */
void vm_stall_cpu(struct vm *vm, unsigned index, int64_t ns);
bool vm_cpu_is_stalled(const struct vm *vm, unsigned index);

/* May the state of cpus be looked at: nothing executes, or the caller is what the executing thread
 * has called. */
bool vm_cpus_are_still(const struct vm *vm);
/* The same of one cpu: where each cpu has a thread, what one has called sees that one alone. */
bool vm_cpu_is_still(const struct vm *vm, unsigned index);

enum vm_state vm_state(const struct vm *vm);
const char *vm_exit_reason(
    const struct vm *vm); /* "poweroff", "debug-exit", "triple-fault", "reset", "quit", ...; "" */
int vm_exit_status(const struct vm *vm);
const char *vm_pause_reason(const struct vm *vm);

/* Counters over all cpus, or of one. While guest code is executed, on another thread and by a
 * backend that counts: as of the last safe point (docs/loop.md). */
void vm_get_stats(struct vm *vm, struct vcpu_stats *stats);
void vm_get_cpu_stats(struct vm *vm, unsigned index, struct vcpu_stats *stats);
int64_t vm_idle_skipped_ns(const struct vm *vm);

/* Real time spent running guest code or idling, ns. */
int64_t vm_wall_ns(const struct vm *vm);

/* What an observer is told of. */
enum vm_notice {
    VM_NOTICE_PAUSE,
    VM_NOTICE_RESUME,
    VM_NOTICE_EXIT,
    VM_NOTICE_RESET,    /* devices, cpus and memory are as a reset leaves them, the kernel loaded */
    VM_NOTICE_SHUTDOWN, /* the guest asks to be switched off; what follows is an exit or a pause */
};

/* Told with the lock held, on the thread that does it; a reset of a machine that runs on is no
 * pause and no resume. `reason` as the pause's or exit's; of a reset "guest", "triple-fault" or
 * "user"; of a shutdown the device. NULL: nobody. */
void vm_set_observer(struct vm *vm,
                     void (*notice)(void *opaque, struct vm *vm, enum vm_notice what,
                                    const char *reason),
                     void *opaque);
