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
#include <sys/types.h>
#include <time.h>

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

/* What is tried out, and what that has shown; see probe.c. */
enum kvm_trial {
    KVM_TRIAL_EXEC,  /* hardware breakpoints on execution, and a step from one */
    KVM_TRIAL_WRITE, /* hardware breakpoints on writes */
    KVM_TRIAL_INT3,  /* INT3 exits, and single steps get past one */
    KVM_TRIAL_HLT,   /* the same with HLT */
    KVM_TRIAL_STEP,  /* single steps */
    KVM_TRIAL_TAP,   /* writes to read-only slots exit */
    KVM_TRIAL_MSR,   /* filtered MSRs exit */
    KVM_TRIALS,
};
enum kvm_probe { KVM_PROBE_NOT_YET, KVM_PROBE_WORKS, KVM_PROBE_FAILS };

/* What traps are made of: see probe.c. */
enum { KVM_INSN_INT3 = 0xcc, KVM_INSN_HLT = 0xf4 };

#define RFLAGS_TF 0x100ULL /* the guest is stepped: see tf.c */

/* ---- memory: memslots.c, pages.c ---- */

enum { KVM_PAGE = 4096, KVM_HOMES = 4, KVM_INSN_MAX = 15 /* bytes */ };

/* Memory that slots may serve: whole pages of a flat range. */
struct kvm_stretch {
    uint64_t gpa, size;
    uint8_t *host;
    uint64_t ram; /* RAM address of the first byte */
    bool readonly;
    const struct region *region;
};

/* A timer of a local APIC in the kernel, as it was when time stopped. */
struct kvm_apic_timer {
    uint32_t left;     /* of its count; 0: it does not run by count */
    uint64_t deadline; /* of the TSC, yet to come; 0: none */
    bool requested;    /* its interrupt waits already */
};

/* While slots are arranged: of those wanted, how they get there; of those there are, their end. */
enum kvm_slot_fate { KVM_SLOT_COMES, KVM_SLOT_STAYS, KVM_SLOT_MOVES, KVM_SLOT_GOES };

struct kvm_slot {
    uint64_t gpa, size;
    uint8_t *host;
    uint64_t ram; /* RAM address of the first byte */
    bool readonly;
    bool logged; /* KVM notes which of its pages are written: dirty.c */
    unsigned id; /* KVM's number */
    enum kvm_slot_fate fate;
};

/* What becomes of a page that is watched. */
enum kvm_guard {
    KVM_GUARD_WRITES = 1, /* writes exit: a read-only slot */
    KVM_GUARD_READS = 2,  /* reads as well: no slot */
    KVM_GUARD_COPY = 4,   /* writes exit, and the guest sees a copy with traps in it */
};

/* A page of RAM or ROM that is watched. */
struct kvm_page {
    uint64_t ram;
    unsigned guard;
    uint8_t *real, *copy; /* `copy`: where guard has KVM_GUARD_COPY */
    bool stale;           /* `real` has changed, or is about to */
    bool overwritten;     /* under a trap */
    uint8_t traps[KVM_PAGE / 8];
};

/* A linear page on which something is watched, and the RAM pages that it has been found to be: in
 * different address spaces, at different times. */
struct kvm_place {
    uint64_t va;
    unsigned guard;
    bool forbidden; /* it leads to a page of programs, where the trap must not be */
    unsigned homes;
    uint64_t home[KVM_HOMES];
};

/* Host memory beside a region's, for copies of its pages. */
struct kvm_mirror {
    uint64_t ram, size;
    uint8_t *base;
};

/* What is watched without the processor's help. Sorted: pages by RAM address, places by linear one.
 */
struct kvm_pages {
    struct kvm_page *page;
    size_t count;
    struct kvm_place *place;
    size_t places;
    size_t pending;                         /* places that lead nowhere yet */
    struct vcpu_range *trap, *data, *reads; /* what was asked for */
    size_t traps, datas, readses;
    struct kvm_mirror *mirror;
    size_t mirrors, mirror_capacity;
    struct mem_code_watch written;
    bool watching;
    atomic_bool stale; /* a page is: nobody may execute from its copy. Set with the lock held */
    uint64_t lifted[KVM_INSN_MAX]; /* RAM addresses of bytes that show no trap meanwhile */
    unsigned lifts;
    int64_t looked_ns, took_ns; /* the last look at all places: when, how long */
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
    struct mem_dirty_source dirty;
    bool listening;
    struct kvm_stretch *stretches;
    size_t stretch_count, stretch_capacity;
    struct kvm_slot *slots; /* sorted by gpa */
    size_t slot_count;
    bool *slot_used; /* by id */
    unsigned slots_max;
    bool slots_incomplete;      /* the kernel has refused some of what is wanted */
    struct error slots_refusal; /* nobody has been told yet; empty: nothing */
    /* For tests and benches: calls of the kernel for slots, and how often vcpus were kept out. */
    uint64_t slot_calls, pauses;
    struct kvm_pages pages;
    _Atomic(struct kvm_vcpu *) alone; /* the only one that may enter the guest: see debug.c */
    struct kvm_vcpu *vcpus[MACHINE_CPUS_MAX];
    unsigned vcpu_count, vcpus_max;
    unsigned sync_regs; /* KVM_SYNC_X86_...: state that goes with KVM_RUN if asked for */
    enum kvm_probe probes[KVM_TRIALS];
    /* Slots are being replaced, or what a vcpu in the guest would not let go of is looked at: vcpus
     * stay outside of the guest. Set with the machine lock held. */
    atomic_bool changing;
    unsigned kept_out; /* how often kvm_keep_out() is in force */
    uint8_t trap;      /* the instruction that traps consist of, once one is known to work */
};

struct kvm_vcpu {
    struct vcpu vcpu;
    struct accel *accel;
    int fd;
    struct kvm_run *run;
    struct vcpu_stats stats;
    struct cpu_features features; /* what it shows of them */
    uint32_t signature;           /* CPUID 1 EAX, which RESET leaves in EDX */
    /* The thread is in KVM_RUN, or about to look whether it may be: see enter_guest(). */
    atomic_bool in_guest;
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
    bool traps_armed;
    bool stepping; /* over the instruction at linear address `told`, which has been told of */
    uint64_t told;
    bool lifted;        /* traps are out of the way of that */
    bool crowded;       /* another vcpu is alone: it has to wait for that before it can step */
    uint64_t step_from; /* linear address of the instruction that is stepped */
    /* Whose TF it is: see tf.c. */
    bool step_armed;                 /* the kernel has set TF, and hides it */
    bool own_tf;                     /* while that is so: the guest's */
    bool flags_pushed, flags_popped; /* the instruction that is stepped is PUSHF; POPF or IRET, */
    bool popped_tf;                  /* with that TF */
    unsigned strays; /* steps that have ended in handlers whose IRET will bring TF back */
    timer_t timer;   /* gets it out of the guest now and then, while `timed` */
    bool timer_made, timed;
    pid_t timer_thread;
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
/* What the kernel has refused since this was asked last; false: nothing. */
bool kvm_memslots_take_refusal(struct accel *a, struct error *err);
/* Work the slots out anew and tell KVM the difference; vcpus are kept out only if there is one. */
void kvm_memslots_arrange(struct accel *a);
static inline uint64_t kvm_page_of(uint64_t address)
{
    return address & ~(uint64_t)(KVM_PAGE - 1);
}

/* dirty.c */
void kvm_dirty_init(struct accel *a);
/* A slot is about to go: note what has been written. */
void kvm_dirty_keep(struct accel *a, const struct kvm_slot *s);

/* stretches.c: accel->stretches of a view. */
void kvm_stretches_update(struct accel *a, const struct flatview *v);

/* pages.c */
/* Begin to listen to changes of memory, if that has not been done. */
void kvm_pages_init(struct accel *a);
void kvm_pages_fini(struct accel *a);
/* Index of the first page at `ram` or beyond; the page that holds `ram`, NULL: it is not watched.
 */
size_t kvm_pages_from(const struct kvm_pages *p, uint64_t ram);
struct kvm_page *kvm_pages_find(const struct kvm_pages *p, uint64_t ram);
/* The RAM address of what is at a physical address, or at a linear one in the page tables that the
 * vcpu uses. False: nothing that slots can serve. */
bool kvm_pages_ram_of(const struct accel *a, uint64_t gpa, uint64_t *ram);
bool kvm_pages_translate(struct kvm_vcpu *v, uint64_t va, uint64_t *ram);
/* The places have changed: make pages and slots of them. */
void kvm_pages_rebuild(struct accel *a);
/* Between exits of the guest: make copies anew whose memory has changed. */
void kvm_pages_refresh(struct kvm_vcpu *v);
/* The machine's memory map has changed; kvm_memslots_arrange() follows. */
void kvm_pages_remapped(struct accel *a);
/* Does the guest see a trap there? */
bool kvm_pages_trap_at(struct kvm_vcpu *v, uint64_t va);
/* Take the traps out of the instruction at `va`, until they are put back. False: there are none. */
bool kvm_pages_lift(struct kvm_vcpu *v, uint64_t va);
void kvm_pages_put_back(struct accel *a);
/* The machine's own bytes at `va`, as far as they are memory; returns how many. */
unsigned kvm_pages_peek(struct kvm_vcpu *v, uint64_t va, uint8_t *bytes, unsigned count);

/* places.c */
/* Watch these linear addresses: for execution, for writes, for reads. The ranges are copied. */
void kvm_places_watch(struct kvm_vcpu *v, const struct vcpu_ranges *traps,
                      const struct vcpu_ranges *data, const struct vcpu_ranges *reads);
/* Between exits of the guest: look again where places are, if that was long enough ago. */
void kvm_places_look(struct kvm_vcpu *v);
/* Traps are such that programs must not meet one, and they may execute what is there. */
bool kvm_places_forbidden(struct kvm_vcpu *v, uint64_t va);
/* Something has been written under traps. */
void kvm_places_check(struct kvm_vcpu *v);
/* The next linear address, beginning with place *from = 0, at which an access to `gpa` is watched.
 */
bool kvm_places_data_at(struct accel *a, uint64_t gpa, unsigned size, bool write, size_t *from,
                        uint64_t *va);
/* Has everything of [first, last] been found? */
bool kvm_places_found(const struct accel *a, uint64_t first, uint64_t last);

/* walk.c: do the page tables that the vcpu uses let code of privilege level 3 execute it? */
bool kvm_is_for_programs(struct kvm_vcpu *v, uint64_t va);

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
bool kvm_vcpu_get_clock(struct vcpu *vcpu, uint64_t *ns);
bool kvm_vcpu_set_clock(struct vcpu *vcpu, uint64_t ns);
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
/* None of the others, which have been told to, is in the guest any more. */
void kvm_wait_outside(const struct accel *a, const struct kvm_vcpu *but);
/* The other vcpus leave the guest and do not enter it until accel->alone is NULL again. False:
 * another one is alone already. */
bool kvm_be_alone(struct kvm_vcpu *v);

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
/* KVM_EXIT_SHUTDOWN */
void kvm_state_shut_down(struct kvm_vcpu *v);
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

/* msrs.c */
size_t kvm_vcpu_msrs(struct vcpu *vcpu, uint32_t *out, size_t max);

/* misc.c */
bool kvm_vcpu_get_misc(struct vcpu *vcpu, struct vcpu_misc *m, struct error *err);
bool kvm_vcpu_set_misc(struct vcpu *vcpu, const struct vcpu_misc *m, struct error *err);
bool kvm_vcpu_get_lapic(struct vcpu *vcpu, struct kvm_lapic_state *lapic);
bool kvm_vcpu_set_lapic(struct vcpu *vcpu, const struct kvm_lapic_state *lapic);

/* survey.c */
bool kvm_survey(bool thorough, struct vcpu_survey *out, struct error *err);
