/* What the files of the KVM backend share. Facts about the interface: Linux
 * Documentation/virt/kvm/api.rst.
 *
 * One accel per machine owns the descriptors of /dev/kvm and of the virtual machine, and the memory
 * slots. A vcpu runs on whatever thread calls `run`: each has one of its own. Interrupt controllers
 * are the machine's own devices, or the kernel's: irqchip.h. */
#pragma once

#include "cpu/model/features.h"
#include "cpu/vcpu.h"
#include "mem/mem.h"

#include <pthread.h>
#include <stdatomic.h>

struct kvm_vcpu;

enum { KVM_BREAKPOINTS = 4 };

/* What a processor can be asked to stop at: the execution of one byte, or writes to `size`. */
struct kvm_stop_point {
    uint64_t addr;
    unsigned size;
    bool data;
};

struct kvm_stop_points {
    struct kvm_stop_point slots[KVM_BREAKPOINTS];
    unsigned count;
};

/* What trying out has shown; see probe.c. */
enum kvm_probe { KVM_PROBE_NOT_YET, KVM_PROBE_WORKS, KVM_PROBE_FAILS };
enum { KVM_PROBES = 6 };

/* A timer of a local APIC in the kernel, as it was when time stopped. */
struct kvm_apic_timer {
    uint32_t left;     /* of its count; 0: it does not run by count */
    uint64_t deadline; /* of the TSC, yet to come; 0: none */
    bool requested;    /* its interrupt waits already */
};

struct kvm_slot {
    uint64_t gpa, size; /* size 0: the slot is free */
};

struct accel {
    struct machine *machine;
    int kvm_fd, vm_fd;
    struct kvm_chips *chips; /* NULL: IRQCHIP_USER */
    /* Guest time stands still: see time.c. */
    bool stopped;
    uint64_t stop_tsc; /* the host's, when it stopped */
    struct kvm_clock_data stop_clock;
    bool clock_known;
    size_t run_size;
    struct kvm_cpuid2 *cpuid; /* what the host supports */
    struct cpu_offer offer;   /* of that, what works here */
    struct mem_listener listener;
    bool listening;
    struct kvm_slot *slots;
    unsigned slot_count;
    struct kvm_vcpu *vcpus[MACHINE_CPUS_MAX];
    unsigned vcpu_count, vcpus_max;
    unsigned sync_regs; /* KVM_SYNC_X86_...: state that goes with KVM_RUN if asked for */
    enum kvm_probe probes[KVM_PROBES];
    /* Slots are being replaced, or what a vcpu in the guest would not let go of is looked at: vcpus
     * stay outside of the guest. Set with the machine lock held. */
    atomic_bool changing;
    unsigned kept_out; /* how often kvm_keep_out() is in force */
};

struct kvm_vcpu {
    struct vcpu vcpu;
    struct accel *accel;
    int fd;
    struct kvm_run *run;
    struct vcpu_stats stats;
    struct cpu_features features; /* what it shows of them */
    uint32_t signature;           /* CPUID 1 EAX, which RESET leaves in EDX */
    /* Held while the thread is in KVM_RUN, so that who changes slots can wait for it to come out.
     */
    pthread_mutex_t in_guest;
    /* Guards `thread` and `on_thread`; `kicked` is only cleared under it. */
    pthread_mutex_t kick_lock;
    pthread_t thread;
    bool on_thread; /* `thread` is inside of `run` */
    atomic_bool kicked;
    /* Machine lock. */
    bool intr, nmi;
    bool halted, wait_sipi;
    bool init_waits, sipi_waits;
    uint8_t sipi_vector;
    bool incomplete; /* the access that it came out for is completed by the next KVM_RUN */
    /* Registers: see state.c. Sets of KVM_SYNC_X86_... */
    unsigned known;                 /* run->s.regs has them as the vcpu does */
    unsigned wanted;                /* somebody has asked for them since it came out */
    bool regs_dirty;                /* run->s.regs has them as the vcpu is to have them */
    struct vcpu_exception injected; /* while exception_waits */
    bool exception_waits;
    uint8_t cr8;
    uint64_t apic_base;
    uint64_t tsc_offset;              /* of the guest's TSC against the host's */
    struct kvm_apic_timer apic_timer; /* while time stands still */
    uint64_t tsc_khz;
    struct kvm_sregs reset_sregs;
    struct kvm_fpu reset_fpu;
    /* Hooks: see debug.c. Machine lock. */
    struct kvm_stop_points breakpoints;
    bool stepping; /* over the instruction at linear address `told`, which has been told of */
    uint64_t told;
    uint64_t steps; /* instructions until stepped() is told; 0: nobody wants to know */
    bool msr_filtered;
    bool stop_wanted; /* `run` ends at the kick that comes, as for a hook */
};

static inline struct kvm_vcpu *kvm_vcpu_of(struct vcpu *v)
{
    return (struct kvm_vcpu *)v;
}

/* Of cpu `n` of the machine; NULL: it is another backend's. */
static inline struct kvm_vcpu *kvm_vcpu_at(const struct machine *m, unsigned n)
{
    struct vcpu *v = m->cpus[n]->vcpu;

    return v && v->backend == &vcpu_kvm ? kvm_vcpu_of(v) : NULL;
}

/* kvm.c: ioctl that is tried again when a signal came between. The second counts it as a host call
 * of the vcpu. */
int kvm_ioctl(int fd, unsigned long request, void *argument);
/* /dev/kvm, closed by the caller; negative with an error that names the remedy. */
int kvm_open_device(struct error *err);
int kvm_vcpu_ioctl(struct kvm_vcpu *v, unsigned long request, void *argument);
/* Those without which nothing works. */
bool kvm_check_capabilities(int kvm_fd, struct error *err);
/* vm_fd and run_size, with kvm_fd there. */
bool kvm_create_vm(struct accel *a, struct error *err);

/* memslots.c. Registering maps what the machine has already. */
bool kvm_memslots_init(struct accel *a, struct error *err);
void kvm_memslots_fini(struct accel *a);
/* The vcpu is going. */
void kvm_memslots_forget(struct accel *a, struct kvm_vcpu *v);

/* cpuid.c */
bool kvm_cpuid_load(struct accel *a, struct error *err);
/* What can be offered on a host that supports `host`. */
void kvm_cpuid_offer(const struct kvm_cpuid2 *host, bool kernel_apic, struct cpu_offer *out);
/* The same of this host, which is asked. */
bool kvm_cpu_offer(struct cpu_offer *out, struct error *err);
/* What a set shows on a host that supports `host`; freed by the caller. */
struct kvm_cpuid2 *kvm_cpuid_make(const struct kvm_cpuid2 *host, const struct cpu_features *set,
                                  uint32_t apic_id);
/* Have the vcpu show its features. */
bool kvm_cpuid_set(struct kvm_vcpu *v, struct error *err);

/* Events, declared in vcpu.c. */
enum {
    KVM_TRACE_PIO,
    KVM_TRACE_MMIO,
    KVM_TRACE_EXIT,
    KVM_TRACE_INTERRUPT,
    KVM_TRACE_LINE,
    KVM_TRACE_MSI,
    KVM_TRACE_EOI,
};

/* Between the two no vcpu is in KVM_RUN, and those that were wait for the machine lock, which is
 * held. Calls may nest. */
void kvm_keep_out(struct accel *a);
void kvm_let_in(struct accel *a);

/* time.c */
void kvm_time_init(struct accel *a);
void kvm_time_stop(struct accel *a);
void kvm_time_start(struct accel *a);
/* The host's time stamp counter, which stands still with the machine. */
uint64_t kvm_host_tsc(const struct accel *a);
/* The guest's TSC has just been set to `value`. */
void kvm_time_note_tsc(struct kvm_vcpu *v, uint64_t value);

/* irqchip.c */
struct kvm_chips;
bool kvm_chips_create(struct accel *a, struct error *err);
void kvm_chips_free(struct kvm_chips *c);

/* vcpu.c */
struct vcpu *kvm_vcpu_new(struct accel *a, struct cpu_port *port, const char *model,
                          struct error *err);
void kvm_vcpu_free(struct vcpu *vcpu);
enum vcpu_stop kvm_vcpu_run(struct vcpu *vcpu, uint64_t limit);
void kvm_vcpu_kick(struct vcpu *vcpu);
/* The signal whose arrival makes KVM_RUN return, */
int kvm_kick_signal(void);
/* once it has its handler. */
void kvm_prepare_kicks(void);
/* Get it out of KVM_RUN without ending `run`. */
void kvm_vcpu_interrupt(struct kvm_vcpu *v);
/* Has it been kicked? Once. */
bool kvm_vcpu_take_kick(struct kvm_vcpu *v);

/* exits.c */
/* What the guest has left for, or KVM_RUN failed with. False with *stop: `run` is over. Machine
 * lock. */
bool kvm_exit_handle(struct kvm_vcpu *v, int entry_errno, enum vcpu_stop *stop);

/* inject.c */
bool kvm_vcpu_inject(struct vcpu *vcpu, const struct vcpu_exception *e, struct error *err);
bool kvm_vcpu_machine_check(struct vcpu *vcpu, const struct vcpu_machine_check *m,
                            struct error *err);
/* Before the guest is entered: hand what waits to the kernel. */
void kvm_inject_waiting(struct kvm_vcpu *v);

/* state.c */
bool kvm_state_init(struct kvm_vcpu *v, struct error *err);
void kvm_vcpu_reset(struct vcpu *vcpu);
/* A vcpu that waits in the kernel's HLT goes on behind it. */
void kvm_end_halt(struct kvm_vcpu *v);
/* INIT and SIPI: SDM vol. 3 table 9-1, 8.4.4. */
void kvm_state_init_signal(struct kvm_vcpu *v);
void kvm_state_startup(struct kvm_vcpu *v, uint8_t vector);
/* Around KVM_RUN: before it with the machine lock, after it without. */
void kvm_state_enter(struct kvm_vcpu *v);
void kvm_state_left(struct kvm_vcpu *v);
/* Before calls of the kernel that look at registers or change them. */
void kvm_state_flush(struct kvm_vcpu *v);
bool kvm_vcpu_get_regs(struct vcpu *vcpu, struct kvm_regs *regs, struct error *err);
bool kvm_vcpu_set_regs(struct vcpu *vcpu, const struct kvm_regs *regs, struct error *err);
uint64_t kvm_vcpu_get_reg(struct vcpu *vcpu, unsigned number);
bool kvm_vcpu_get_sregs(struct vcpu *vcpu, struct kvm_sregs *sregs, struct error *err);
bool kvm_vcpu_set_sregs(struct vcpu *vcpu, const struct kvm_sregs *sregs, struct error *err);
bool kvm_vcpu_get_fpu(struct vcpu *vcpu, struct kvm_fpu *fpu, struct error *err);
bool kvm_vcpu_set_fpu(struct vcpu *vcpu, const struct kvm_fpu *fpu, struct error *err);
bool kvm_vcpu_get_msr(struct vcpu *vcpu, uint32_t index, uint64_t *value, struct error *err);
bool kvm_vcpu_set_msr(struct vcpu *vcpu, uint32_t index, uint64_t value, struct error *err);
bool kvm_vcpu_translate(struct vcpu *vcpu, uint64_t gva, uint64_t *gpa);
uint64_t kvm_tsc(struct cpu_port *p);
int64_t kvm_tsc_deadline_ns(struct cpu_port *p, uint64_t tsc);
/* Put why the backend cannot go on, the registers and the bytes at rip into vcpu.failure. */
void kvm_state_describe(struct kvm_vcpu *v, const char *why);

/* debug.c */
/* How the next instruction is entered: with breakpoints; stepped, with them; stepped, without those
 * on execution, because it has been told of. */
enum kvm_stepping { KVM_NO_STEP, KVM_STEP, KVM_STEP_OVER };
bool kvm_set_breakpoints(const struct accel *a, int vcpu_fd, const struct kvm_stop_points *b,
                         enum kvm_stepping step);
void kvm_debug_step(struct vcpu *vcpu, uint64_t count);
bool kvm_set_msr_filter(int vm_fd, const struct vcpu_ranges *msrs);
bool kvm_debug_fits(struct vcpu *vcpu, const struct vcpu_watch *w, struct error *err);
void kvm_debug_watch(struct vcpu *vcpu, const struct vcpu_watch *w);
void kvm_debug_before_run(struct kvm_vcpu *v);
void kvm_debug_halted(struct kvm_vcpu *v);
/* KVM_EXIT_DEBUG. False: somebody wants the machine to stop. */
bool kvm_debug_exit(struct kvm_vcpu *v);
/* KVM_EXIT_X86_RDMSR, KVM_EXIT_X86_WRMSR */
void kvm_debug_exit_msr(struct kvm_vcpu *v, bool write);

/* msrs.c */
size_t kvm_vcpu_msrs(struct vcpu *vcpu, uint32_t *out, size_t max);

/* survey.c */
bool kvm_survey(bool thorough, struct vcpu_survey *out, struct error *err);

/* probe.c */
/* Do breakpoints, steps, writes, MSRs work? Runs trials. */
bool kvm_probe_exec(struct accel *a);
bool kvm_probe_write(struct accel *a);
bool kvm_probe_msr(struct accel *a);
bool kvm_debug_supports(struct vcpu *vcpu, enum vcpu_event event, struct error *err);
