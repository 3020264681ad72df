/* The seam between a machine and what executes its guest code.
 *
 * A backend (cpu/soft, cpu/kvm) is a table of functions. One accelerator object serves one machine
 * and makes its vcpus; a vcpu runs on a thread that calls `run` again and again, without the
 * machine lock. State crosses the seam in the structures of linux/kvm.h, so that both backends
 * speak of the same things. */
#pragma once

#include "base/error.h"
#include "base/search.h"
#include "cpu/model/features.h"
#include "dev/cpu_port.h"
#include "dev/machine.h"

#include <linux/kvm.h>
#include <stdbool.h>
#include <stdint.h>

struct vcpu;
struct accel;

/* Why `run` came back. */
enum vcpu_stop {
    VCPU_STOP_LIMIT,     /* the instruction limit is reached (backends that count) */
    VCPU_STOP_KICK,      /* kicked */
    VCPU_STOP_HALT,      /* HLT: nothing to do until an interrupt */
    VCPU_STOP_WAIT_SIPI, /* an application processor that has not been started */
    VCPU_STOP_YIELD,     /* PAUSE: it waits for another cpu (backends with several on one thread) */
    VCPU_STOP_SHUTDOWN,  /* triple fault */
    VCPU_STOP_DEBUG,     /* a breakpoint or a finished step */
    VCPU_STOP_ERROR,     /* the backend cannot go on; vcpu->failure says why */
};

/* What is counted, for --stats and `info status`. */
struct vcpu_stats {
    uint64_t instructions; /* retired; 0 where the backend cannot count */
    uint64_t exits_pio, exits_mmio, exits_halt, exits_shutdown, exits_kick, exits_other;
    uint64_t interrupts; /* external interrupts delivered, NMI included */
    uint64_t exceptions;
    uint64_t blocks_decoded;
    uint64_t host_calls; /* of the host's kernel, but for entering the guest */
};

/* One row of a table of MSRs. */
struct vcpu_msr {
    uint32_t index;
    uint64_t value;
};

/* What of its state is neither a register nor an MSR. */
struct vcpu_misc {
    struct kvm_vcpu_events events;
    struct kvm_debugregs debugregs;
    struct kvm_mp_state mp_state; /* UNINITIALIZED: waits for start-up, HALTED, RUNNABLE */
    struct kvm_xcrs xcrs;         /* none where there is no XSAVE */
    bool has_xsave, has_avx;      /* has_avx: its area has YMM registers, which the cpu shows */
    struct kvm_xsave xsave;
};

/* What hooks, the monitor and a debugger can ask to be told of. */
enum vcpu_event {
    VCPU_EVENT_EXEC = 1 << 0,      /* an instruction in one of the ranges is about to be executed */
    VCPU_EVENT_READ = 1 << 1,      /* data at a linear address in one of the ranges is read */
    VCPU_EVENT_WRITE = 1 << 2,     /* or written */
    VCPU_EVENT_EXCEPTION = 1 << 3, /* an exception is about to be delivered */
    VCPU_EVENT_MSR = 1 << 4,       /* RDMSR or WRMSR */
    VCPU_EVENT_CPUID = 1 << 5,
};

/* Registers by number: those of struct kvm_regs in its order, and what else conditions ask for. */
enum { VCPU_REG_COUNT = sizeof(struct kvm_regs) / sizeof(uint64_t), VCPU_REG_CR3 = VCPU_REG_COUNT };

/* What a callback wants done. */
enum vcpu_verdict {
    VCPU_GO,
    VCPU_DROP, /* as if it had not happened: a write, an exception (the instruction is then retried)
                */
    VCPU_STOP, /* run comes back with VCPU_STOP_DEBUG; an instruction not begun yet is not executed
                */
};

/* Called on the vcpu's thread with the machine lock held and the state of all earlier instructions
 * committed. Registers may be read; they may be changed where it says "between instructions". */
struct vcpu_event_ops {
    /* Would exec() call anybody for the instruction at linear address `va`? Asked before it, on the
     * vcpu's thread, without the machine lock; a false answer counts as the event. */
    bool (*exec_wanted)(void *opaque, struct vcpu *v, uint64_t va);
    /* Between instructions. */
    enum vcpu_verdict (*exec)(void *opaque, struct vcpu *v, uint64_t va);
    /* Reads: after, *value may be replaced. Writes: before, *value may be replaced; where
     * vcpu->late says so after, and *value only tells. */
    enum vcpu_verdict (*access)(void *opaque, struct vcpu *v, uint64_t gva, unsigned size,
                                bool write, uint64_t *value);
    /* Between instructions, rip at the one that faults (or after the one that traps). */
    enum vcpu_verdict (*exception)(void *opaque, struct vcpu *v, int vector, uint32_t error);
    /* *value may be replaced: what a read gives, what a write stores. */
    enum vcpu_verdict (*msr)(void *opaque, struct vcpu *v, uint32_t index, bool write,
                             uint64_t *value);
    enum vcpu_verdict (*cpuid)(void *opaque, struct vcpu *v, uint32_t leaf, uint32_t subleaf,
                               uint32_t regs[4]);
    /* The instructions that step() asked for have been executed. Between instructions. */
    enum vcpu_verdict (*stepped)(void *opaque, struct vcpu *v);
};

/* A range of linear addresses, both ends included. */
struct vcpu_range {
    uint64_t first, last;
};

/* Ranges in ascending order that do not meet. */
struct vcpu_ranges {
    const struct vcpu_range *range;
    size_t count;
};

static inline bool vcpu_range_below(const void *range, uint64_t va)
{
    return ((const struct vcpu_range *)range)->last < va;
}

/* The one that holds `va`, or the first beyond it; NULL: all lie below. O(log n). */
static inline const struct vcpu_range *vcpu_ranges_find(const struct vcpu_ranges *r, uint64_t va)
{
    size_t n = search_from(r->range, r->count, sizeof *r->range, vcpu_range_below, va);
    return n < r->count ? &r->range[n] : NULL;
}

static inline bool vcpu_ranges_meet(const struct vcpu_ranges *r, uint64_t first, uint64_t last)
{
    const struct vcpu_range *found = vcpu_ranges_find(r, first);
    return found && found->first <= last;
}

/* What is wanted at present. The ranges are the caller's until the next call. */
struct vcpu_watch {
    unsigned events; /* enum vcpu_event */
    struct vcpu_ranges exec, data, msr;
    struct vcpu_ranges reads;        /* those of data whose reads are wanted */
    bool exec_changed, data_changed; /* they are not what they were at the last call */
};

/* An exception from outside. */
struct vcpu_exception {
    int vector; /* 0 to 31, without 2: the NMI has a pin */
    bool has_error;
    uint32_t error;
};

/* Does an exception of this vector push an error code? SDM vol. 3 table 6-1. */
static inline bool vcpu_vector_has_error(int vector)
{
    return vector >= 0 && vector < 32 && 0x60227d00u >> vector & 1;
}

/* An error as a machine check reports it: SDM vol. 3 16.3. */
struct vcpu_machine_check {
    unsigned bank;
    uint64_t status, addr, misc; /* for the MSRs of the bank */
    uint64_t mcg_status;         /* if #MC is raised */
};

/* In IA32_MCi_STATUS and IA32_MCG_STATUS. */
#define MC_STATUS_VALID        (1ULL << 63)
#define MC_STATUS_OVERFLOW     (1ULL << 62)
#define MC_STATUS_UNCORRECTED  (1ULL << 61)
#define MC_STATUS_ENABLED      (1ULL << 60)
#define MC_STATUS_MISC_VALID   (1ULL << 59)
#define MC_STATUS_ADDR_VALID   (1ULL << 58)
#define MC_STATUS_CORRUPT      (1ULL << 57) /* PCC */
#define MCG_STATUS_RESTART     (1ULL << 0)  /* RIPV */
#define MCG_STATUS_IN_PROGRESS (1ULL << 2)  /* MCIP */

/* What a look at the host has shown, by name: numbers; 1 and 0 for yes and no. */
struct vcpu_fact {
    const char *name;
    int64_t value;
};
struct vcpu_survey {
    struct vcpu_fact facts[64];
    unsigned count;
};

struct vcpu_backend {
    const char *name; /* "soft", "kvm" */
    /* Retired instructions are exact and drive the virtual clock; all vcpus share one thread. */
    bool counts_instructions;
    bool has_irqchips; /* in the host's kernel: machine->irqchip may be other than IRQCHIP_USER */

    /* Refuses a machine->irqchip that it cannot have; makes IRQCHIP_AUTO what is best. */
    struct accel *(*open)(struct machine *m, struct error *err);
    void (*close)(struct accel *a); /* vcpus are gone; NULL is allowed */

    /* The machine stops, and runs again: guest time outside of the machine's clocks (TSC, timers in
     * the kernel) stands still between. No vcpu executes. NULL: there is none such. */
    void (*stop_time)(struct accel *a);
    void (*start_time)(struct accel *a);

    /* What `model` below can choose from, on this host, in a machine that is best for it. */
    bool (*cpu_offer)(struct cpu_offer *out, struct error *err);

    /* Look at what the host can do for this backend, by trials in less than a second; unless
     * `thorough`, only at how fast it is. False: it cannot be used,
     * and why. NULL: there is nothing to look at. On any thread. */
    bool (*survey)(bool thorough, struct vcpu_survey *out, struct error *err);

    /* `model` as cpu_model_parse() knows it. */
    struct vcpu *(*vcpu_new)(struct accel *a, struct cpu_port *port, const char *model,
                             struct error *err);
    void (*vcpu_free)(struct vcpu *v);

    /* Wake those that wait for a change of memory (MWAIT), if it has changed. Called where that
     * does not depend on the host: between time slices, and when no vcpu has anything to execute;
     * on the vcpus' thread. NULL: none waits so. */
    void (*look)(struct accel *a);

    /* Execute until something is up, at most until `limit` instructions have retired in all on
     * backends that count. Without the machine lock; takes it for device accesses. */
    enum vcpu_stop (*run)(struct vcpu *v, uint64_t limit);

    /* Make `run` return soon (or the next `run` return at once). From any thread, with or without
     * the lock. */
    void (*kick)(struct vcpu *v);

    /* Shorten the limit of the `run` going on, from the vcpu's own thread (a device set a timer).
     */
    void (*set_limit)(struct vcpu *v, uint64_t limit);

    /* Instructions retired at this point by all vcpus of the accelerator; exact when called on the
     * thread that executes them, even within an access. */
    uint64_t (*instructions)(struct vcpu *v);

    /* To the state after RESET (SDM vol. 3, table 9-1). The rest only while the vcpu does not run.
     */
    void (*reset)(struct vcpu *v);
    bool (*get_regs)(struct vcpu *v, struct kvm_regs *regs, struct error *err);
    bool (*set_regs)(struct vcpu *v, const struct kvm_regs *regs, struct error *err);
    /* One register by its number. Also within an instruction, on the vcpu's own thread. */
    uint64_t (*get_reg)(struct vcpu *v, unsigned number);
    bool (*get_sregs)(struct vcpu *v, struct kvm_sregs *sregs, struct error *err);
    bool (*set_sregs)(struct vcpu *v, const struct kvm_sregs *sregs, struct error *err);
    bool (*get_fpu)(struct vcpu *v, struct kvm_fpu *fpu, struct error *err);
    bool (*set_fpu)(struct vcpu *v, const struct kvm_fpu *fpu, struct error *err);
    bool (*get_msr)(struct vcpu *v, uint32_t index, uint64_t *value, struct error *err);
    bool (*set_msr)(struct vcpu *v, uint32_t index, uint64_t value, struct error *err);
    /* The MSRs that belong to its state beside what the structures above hold, in the order in
     * which they are to be set: the first `max` into `out`. Returns how many there are. */
    size_t (*msrs)(struct vcpu *v, uint32_t *out, size_t max);
    bool (*get_misc)(struct vcpu *v, struct vcpu_misc *m, struct error *err);
    /* After the registers, which end events that are set before them. */
    bool (*set_misc)(struct vcpu *v, const struct vcpu_misc *m, struct error *err);
    /* Of a local APIC that is the backend's; false: there is none. NULL: never. */
    bool (*get_lapic)(struct vcpu *v, struct kvm_lapic_state *lapic);
    bool (*set_lapic)(struct vcpu *v, const struct kvm_lapic_state *lapic);
    /* The paravirtual clock of the machine, in ns. False: there is none. NULL: never. */
    bool (*get_kvmclock)(struct vcpu *v, uint64_t *ns);
    bool (*set_kvmclock)(struct vcpu *v, uint64_t ns);
    /* Guest virtual to physical, as a supervisor read; no side effects. */
    bool (*translate)(struct vcpu *v, uint64_t gva, uint64_t *gpa);
    void (*get_stats)(struct vcpu *v, struct vcpu_stats *stats);

    /* Faults, from the vcpu's own thread or while it does not run. (An NMI is a pin.) */
    /* Deliver an exception before the next instruction; it ends a halt. One at a time: refused
     * while another waits. */
    bool (*inject)(struct vcpu *v, const struct vcpu_exception *e, struct error *err);
    /* Log an error in a bank; if it is uncorrected and enabled, raise #MC, or shut down when
     * CR4.MCE is clear or another is in progress. Refused: no such bank. */
    bool (*machine_check)(struct vcpu *v, const struct vcpu_machine_check *m, struct error *err);
    /* Let the time stamp counter gain `ppm` parts per million on virtual time from now on
     * (negative: lose); it goes on from where it is. NULL: cannot. */
    void (*skew_tsc)(struct vcpu *v, int32_t ppm);

    /* Can it tell of the event? The error says why not. May try it out at the first call, which
     * takes some milliseconds. NULL: of all. */
    bool (*supports)(struct vcpu *v, enum vcpu_event event, struct error *err);
    /* Are there means to watch this, however much else is watched? False: fits() has to look at all
     * of it. NULL: no. */
    bool (*fits_always)(struct vcpu *v, enum vcpu_event event, uint64_t first, uint64_t last);
    /* Are there means to watch all of this? NULL: any number. */
    bool (*fits)(struct vcpu *v, const struct vcpu_watch *w, struct error *err);
    /* What serves the watch on this range: "hardware", "software", "tap", several joined by "+", or
     * "pending" where the range is not mapped. NULL: the backend has one way only. */
    const char *(*means)(struct vcpu *v, enum vcpu_event event, uint64_t first, uint64_t last);
    /* Change what is watched, from the vcpu's own thread or while it does not run. Takes effect at
     * the next instruction. */
    void (*watch)(struct vcpu *v, const struct vcpu_watch *w);
    /* Tell stepped() after `count` more instructions; 0: no more. While it does not run. NULL on
     * backends that count instructions: there the limit of `run` does it. */
    void (*step)(struct vcpu *v, uint64_t count);
    /* Does that work on this host? The error says why not. NULL: yes. */
    bool (*can_step)(struct vcpu *v, struct error *err);
};

/* What every backend's vcpu begins with. */
struct vcpu {
    const struct vcpu_backend *backend;
    struct machine *machine;
    struct cpu_port *port;
    struct address_space *memory; /* what it sees: one of the machine's, by its mode */
    struct error failure;         /* of VCPU_STOP_ERROR */
    /* Set by who runs the vcpu: ends the waiting of a halted one. */
    void (*wake)(void *opaque);
    void *wake_opaque;
    /* Set by who runs several on one thread; opaque as of wake(). The vcpu gives up its time slice
     * by the instruction after which `now` will have retired in all. The limit of its next one, if
     * that begins at once, as if `run` had come back and been called again; 0: `run` comes back
     * (VCPU_STOP_YIELD). On the vcpu's thread, without the machine lock. */
    uint64_t (*next_slice)(void *opaque, uint64_t now);
    /* Set by who runs the vcpu: where events go. */
    const struct vcpu_event_ops *event_ops;
    void *event_opaque;
    /* The write that access() is told of has happened: it can be neither replaced nor dropped. */
    bool late;
};

/* By the backend, whenever a kick or a pin may end a halt. From any thread. */
static inline void vcpu_wake(struct vcpu *v)
{
    if (v->wake)
        v->wake(v->wake_opaque);
}

/* The source of events of this cpu. */
static inline struct trace_source vcpu_source(const struct vcpu *v)
{
    static const char *const names[MACHINE_CPUS_MAX] = {
        "cpu0", "cpu1", "cpu2",  "cpu3",  "cpu4",  "cpu5",  "cpu6",  "cpu7",
        "cpu8", "cpu9", "cpu10", "cpu11", "cpu12", "cpu13", "cpu14", "cpu15",
    };
    return (struct trace_source){ v->machine->trace, names[v->port->index] };
}
extern struct trace_table soft_trace, kvm_trace;

extern const struct vcpu_backend vcpu_soft;
extern const struct vcpu_backend vcpu_kvm;

/* Devices that only one backend can have; ends with NULL. */
extern const struct device_type *const vcpu_device_types[];

/* By name; NULL with an error naming those there are. */
const struct vcpu_backend *vcpu_backend_find(const char *name, struct error *err);
