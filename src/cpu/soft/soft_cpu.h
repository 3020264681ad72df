/* The software CPU: its state, its decoded instructions, and how its parts call each other.
 *
 * Private to this folder. Who reads the code starts here, then exec.c (the loop), decode.c with
 * opcodes.c (what bytes mean), mmu.c (what addresses mean), and the instruction families.
 * docs/soft-cpu.md says what is implemented and what the numbers of instructions and nanoseconds
 * mean. "SDM" is Intel's Software Developer's Manual. */
#pragma once

#include "base/bits.h"
#include "cpu/soft/insn.h"
#include "cpu/soft/x86.h"
#include "cpu/vcpu.h"
#include "loop/loop.h"
#include "mem/address_space.h"

#include <pthread.h>
#include <stdatomic.h>

/* ---- TLB ---- */

enum { ACCESS_READ, ACCESS_WRITE, ACCESS_EXEC };
/* Whose rights an access has, which is the number of its TLB: SDM vol. 3 4.6. */
enum rights {
    RIGHTS_SYSTEM, /* a supervisor's; under SMAP none to the user's pages. All implicit accesses */
    RIGHTS_USER,
    RIGHTS_OPEN, /* a supervisor's under SMAP while EFLAGS.AC is set */
    RIGHTS_COUNT,
};
enum {
    TLB_BITS = 10,
    TLB_SIZE = 1 << TLB_BITS,
    FETCH_TLB_SIZE = 256,
    LARGE_WORDS = 64,
    EXECUTED_WORDS = 64,
    /* Low bits of a tag: such an entry never matches on the fast path. */
    TLB_TOLD = 1,  /* writes: the page holds decoded code, or the dirty log waits for one */
    TLB_IO = 2,    /* not plain memory */
    TLB_WATCH = 4, /* a debug register watches the page */
    /* Low bit of `phys` and `ram_page`: a global page, which loads of CR3 leave. */
    TLB_GLOBAL = 1,
};
#define TLB_INVALID UINT64_MAX

struct tlb_entry {
    uint64_t
        tag[2]; /* for reads, for writes: the virtual page, or TLB_INVALID; low bits as above */
    uint64_t addend; /* + virtual address = host address */
    uint64_t phys; /* of the page: RAM address, or guest physical address for TLB_IO; TLB_GLOBAL */
};

struct fetch_entry {
    uint64_t tag;
    const uint8_t *host; /* of the page */
    uint64_t ram_page;   /* RAM address of the page; TLB_GLOBAL */
};

struct jump_cache_entry {
    uint64_t rip;
    struct block *block;
    uint64_t key; /* jump_key of when it was made */
};
#define JUMP_KEY_NONE UINT64_MAX /* no cpu has it */
enum { JUMP_CACHE_SIZE = 4096 };

union vec128 {
    uint8_t u8[16];
    uint16_t u16[8];
    uint32_t u32[4];
    uint64_t u64[2];
    int8_t s8[16];
    int16_t s16[8];
    int32_t s32[4];
    int64_t s64[2];
    float f32[4];
    double f64[2];
} __attribute__((aligned(16)));

/* A YMM register: the XMM register and the upper half. */
union vec256 {
    union vec128 half[2];
    uint8_t u8[32];
    uint16_t u16[16];
    uint32_t u32[8];
    uint64_t u64[4];
    float f32[8];
    double f64[4];
};

/* x87 state in the order of registers R0-R7 (not of the stack), SDM vol. 1 8.1. */
struct x87 {
    struct {
        uint64_t mant;
        uint16_t se;
    } r[8];
    uint16_t cw, sw; /* sw: TOP in bits 11-13 */
    uint8_t tags; /* one bit per register R0-R7: 1 is valid or special, 0 empty (the FXSAVE form) */
    uint16_t opcode, cs, ds;
    uint64_t ip, dp;
};

/* ---- the cpu ---- */

enum { SOFT_PHYSICAL_BITS = 40 }; /* of an address: MAXPHYADDR */
enum { MC_BANKS = 4 };            /* of machine checks */
enum { MSR_SMBASE = 0x9e };       /* for the host: see smm.c */
/* MISC_ENABLE, SDM vol. 4: fast strings; there are neither performance counters (bit 7) nor the two
 * kinds of traces that go with them, whatever software writes. */
enum { MISC_NO_BTS = 1 << 11, MISC_NO_PEBS = 1 << 12, MISC_READ_ONLY = 1 << 7 | 3 << 11 };
enum { MISC_RESET = 1 | MISC_NO_BTS | MISC_NO_PEBS };
enum { MSR_MCG_CAP = 0x179, MSR_MCG_STATUS = 0x17a, MSR_MC0_CTL = 0x400 };

struct code_page;
struct opcode_coverage;
struct soft_cpu;

/* What the cpus of a machine share. One thread executes them, one after the other. */
struct accel {
    struct machine *machine;
    struct soft_cpu *cpus[MACHINE_CPUS_MAX];
    unsigned cpu_count;
    _Atomic(struct soft_cpu *) running; /* in soft_run(); NULL: none */
    _Atomic(pthread_t) thread;          /* on which */
    /* soft_stand_still(): asked for; and the cpu that runs waits for the machine lock. */
    atomic_bool still_wanted, waits_for_lock;
    uint64_t retired;                 /* by all of them, up to the last that ran */
    struct opcode_coverage *coverage; /* NULL: nobody wants to know */
    struct code_cache *code;
    struct mem_code_watch code_watch;
    struct mem_dirty_source dirty;
};

struct soft_cpu {
    /* What the loop uses all the time, near to where `struct soft_cpu *` points: a translating tier
     * would address it from one host register with displacements of a byte. */
    union {
        struct {
            uint32_t mode; /* MODE_*: derived from cs, ss, efer, cpl */
            uint32_t jump_generation;
        };
        uint64_t jump_key; /* what an entry of the jump cache is good for */
    };
    uint64_t icount;          /* retired up to the start of the block being executed */
    _Atomic uint64_t stop_at; /* limit, or 0 to be called at the next block */
    struct tlb_entry *tlb;    /* of data accesses: that of `rights` */
    struct block *block;      /* being executed; NULL between blocks */
    uint64_t rip;             /* valid between blocks and after a fault */
    const struct insn *cur;   /* set before whatever may ask for the exact count */
    uint32_t flags;           /* the arithmetic ones, in the low 16 bits: see flags.h */
    uint64_t r[REG_COUNT];
    uint64_t ea_base[SEG_COUNT +
                     2]; /* what an effective address adds: 0 for flat segments of long mode */

    uint64_t others; /* what the other cpus have retired, while it runs */
    uint64_t limit;  /* of icount */
    atomic_bool kicked;

    struct vcpu vcpu;
    struct machine_lock *lock;

    uint64_t eflags; /* all but FLAGS_ARITH */
    struct segment seg[SEG_COUNT], ldt, tr;
    struct {
        uint64_t base;
        uint16_t limit;
    } gdt, idt;
    uint64_t cr0, cr2, cr3, cr4, cr8_shadow, efer;
    uint64_t dr[8];
    unsigned cpl;
    enum rights rights; /* of explicit accesses to data */
    bool aligned;       /* they must be aligned: #AC. `tlb` then never matches */
    uint64_t star, lstar, cstar, sfmask, kernel_gs_base;
    uint64_t sysenter_cs, sysenter_esp, sysenter_eip;
    uint64_t pat, misc_enable, tsc_offset, tsc_aux;
    uint64_t mtrr_def_type, mtrr_fixed[11], mtrr_var[16], bios_sign_id;
    uint64_t pdptr[4]; /* PAE: loaded with CR3 */
    uint64_t a20_mask;

    struct {
        int vector;
        bool has_error;
        uint32_t error;
    } exc; /* of X_FAULT */

    /* Pins and interrupt state. */
    bool intr, nmi, nmi_blocked, halted, wait_sipi, init_pending, sipi_pending;
    uint8_t sipi_vector;
    uint64_t shadow_at;    /* no interrupts while icount is this: STI, MOV SS */
    uint64_t ss_shadow_at; /* and no #DB: MOV SS, POP SS */
    bool shut_down;
    /* Debug registers: see debug.c. */
    bool step_pending; /* TF was set when the instruction began: #DB follows it */
    bool debug_execute, debug_data, debug_io; /* what kinds are armed */
    unsigned debug_hits;                      /* bits of DR6 for the #DB after this instruction */

    /* System management mode: see smm.c. */
    bool smi;             /* one waits */
    bool smm, smm_in_nmi; /* it is in the mode; NMIs were blocked before */
    unsigned smm_debug;   /* debug_hits of before */
    uint32_t smbase, smi_count;
    struct smm_io {  /* the I/O instruction that brought an SMI about, before it */
        uint64_t at; /* icount after it */
        uint64_t rip, rcx, rsi, rdi;
        uint32_t access;
    } smm_io;

    /* Events that somebody wants to hear of: see watch.c. */
    struct vcpu_watch watch;
    uint64_t told_at; /* icount at which the point at told_rip was told of: it is passed now */
    uint64_t told_rip;
    uint64_t repeat_at; /* icount after a chunk of a rep that is not the last */
    bool stop_wanted;   /* a callback said VCPU_STOP */
    bool yields;        /* PAUSE: let another cpu go on */
    struct monitor {    /* of MONITOR and MWAIT: see monitor.c */
        bool armed, waits;
        uint64_t gpa;
        const uint8_t *line; /* NULL: not memory */
        uint64_t was[8];
    } monitor;

    /* From outside: see inject.c. */
    struct vcpu_exception injected; /* while exception_waits */
    bool exception_waits, mc_waits;
    uint64_t mcg_status;
    int32_t tsc_ppm;       /* what the TSC gains on virtual time, */
    int64_t tsc_skewed_at; /* since then, */
    int64_t tsc_gained;    /* and what it gained before */
    struct mc_bank {
        uint64_t ctl, status, addr, misc;
    } mc[MC_BANKS];

    /* FPU */
    struct x87 fpu;
    union vec128 xmm[16], ymmh[16]; /* ymmh: the upper halves of the YMM registers */
    uint32_t mxcsr;
    uint64_t xcr0;

    /* Where memory is. The view is kept so that RAM needs no lock. */
    struct flatview *view;
    struct mem_listener listener;
    struct tlb_entry tlbs[RIGHTS_COUNT][TLB_SIZE];
    struct fetch_entry fetch_tlb[2][FETCH_TLB_SIZE]; /* supervisor, user */
    /* Which of them have been filled since they were dropped, a bit each: by others, and by global
     * pages ([TLB_GLOBAL]), which loads of CR3 need not go through. */
    struct tlb_use {
        uint64_t data[RIGHTS_COUNT * TLB_SIZE / 64], fetch[2 * FETCH_TLB_SIZE / 64];
        /* Pages that were executed since then, a bit each by hash: INVLPG of others leaves the jump
         * cache as it is. */
        uint64_t executed[EXECUTED_WORDS];
    } tlb_use[2];
    /* Entries that came from pages larger than 4 KiB: see mmu_flush_page(). */
    uint64_t large_seen[LARGE_WORDS];
    uint64_t giants_seen; /* the same of 1 GiB, a bit each by hash */

    struct jump_cache_entry jump_cache[JUMP_CACHE_SIZE];
    struct accel *accel;
    struct code_cache *code; /* of the accelerator */

    struct cpu_features features; /* what CPUID says that it can do */
    uint64_t isa;                 /* ISA_* of them */
    uint64_t cr4_known;           /* bits of CR4 that they let be set, */
    uint64_t efer_known;          /* and of EFER */
    uint32_t msrs;                /* groups of MSRs that they have: msr.c */
    bool pages_1g;
    uint64_t random; /* state of RDRAND and RDSEED */
    struct vcpu_stats stats;
};

/* Retired instructions at this very point. */
static inline uint64_t soft_icount(const struct soft_cpu *c)
{
    return c->icount + (c->block && c->cur ? (uint64_t)(c->cur - c->block->insns) : 0);
}

/* ---- exec.c ---- */

static inline struct jump_cache_entry *jump_cache_slot(struct soft_cpu *c, uint64_t va)
{
    return &c->jump_cache[(va ^ va >> 12) & (JUMP_CACHE_SIZE - 1)];
}

/* The loop: run until something is up. With c == NULL it only makes soft_labels known. */
enum vcpu_stop soft_exec(struct soft_cpu *c);

/* ---- decode.c ---- */

/* Decode from `code` (`avail` bytes readable) in `mode`, for a cpu that has `isa`. Returns the
 * instruction's length; 0: more than `avail` bytes are needed; -1: not an instruction, *i is what
 * raises #UD, or #GP beyond 15 bytes (length 1 for the count). *ends: it must be the last in its
 * block. */
int soft_decode(const uint8_t *code, unsigned avail, uint32_t mode, uint64_t isa, struct insn *i,
                bool *ends);

/* ---- code_cache.c ---- */

struct code_cache *code_cache_new(struct mem *mem);
void code_cache_free(struct code_cache *cc);
/* The block at c->rip, decoded if need be; NULL: a fault, c->exc says which. */
struct block *block_at_rip(struct soft_cpu *c);
/* Bytes of RAM are about to change: drop what was decoded from them. Returns whether anything was.
 */
bool code_written(struct accel *a, uint64_t ram_addr, uint64_t len);
void code_flush_all(struct soft_cpu *c);
/* Have the accelerator told of code that devices change, and asked what its cpus have written. */
void code_watch_init(struct accel *a);
/* A block of the first `count` instructions of `b`, in the cpu's scratch space. */
struct block *block_truncated(struct soft_cpu *c, const struct block *b, unsigned count);

/* ---- mmu.c ---- */

/* A TLB without entries, for c->tlb: every access takes the slow way. */
extern const struct tlb_entry mmu_no_tlb[TLB_SIZE];
void mmu_flush(struct soft_cpu *c);       /* all translations */
void mmu_flush_local(struct soft_cpu *c); /* but those of global pages */
void mmu_flush_page(struct soft_cpu *c, uint64_t va);
/* Have writes to a page of RAM (NULL: any) look whether somebody must be told. */
void mmu_tell_writes(struct soft_cpu *c, const uint8_t *host_page);
/* See memory through another address space from now on. Machine lock. */
void mmu_set_memory(struct soft_cpu *c, struct address_space *as);
void mmu_init(struct soft_cpu *c);
void mmu_fini(struct soft_cpu *c);
/* Host address of the byte at linear address `va` for execution (readable to the end of its page),
 * and its RAM address. NULL with FETCH_BYTES: it is not memory, but see mmu_fetch_byte(). NULL
 * else: a fault, c->exc is set. */
#define FETCH_BYTES UINT64_MAX
const uint8_t *mmu_fetch(struct soft_cpu *c, uint64_t va, uint64_t *ram_addr);
/* One byte from wherever it is: devices too. 0 or X_FAULT. */
int mmu_fetch_byte(struct soft_cpu *c, uint64_t va, uint8_t *byte);
/* Everything the fast path could not do. 0, X_BREAK or X_FAULT. */
int mmu_load_slow(struct soft_cpu *c, uint64_t va, unsigned size, uint64_t *value,
                  enum rights rights);
int mmu_store_slow(struct soft_cpu *c, uint64_t va, unsigned size, uint64_t value,
                   enum rights rights);
/* Would a store of `size` bytes fault? 0 or X_FAULT. For instructions that write more than once. */
int mmu_probe_write(struct soft_cpu *c, uint64_t va, unsigned size);
/* Of a load. */
int mmu_probe_read(struct soft_cpu *c, uint64_t va, unsigned size);
/* Of an implicit store. */
int mmu_probe_system(struct soft_cpu *c, uint64_t va, unsigned size);
/* Host address of `va` for plain reading or writing to the end of its page, or NULL when it is not
 * plain memory; *status X_FAULT on a fault. For string instructions. */
uint8_t *mmu_host(struct soft_cpu *c, uint64_t va, int access, int *status);
/* The memory at `gpa`, also below taps; NULL: not all of it is memory, in one piece. */
const uint8_t *mmu_memory(struct soft_cpu *c, uint64_t gpa, uint64_t size);

/* Port accesses: machine lock taken inside. */
int io_in(struct soft_cpu *c, uint16_t port, unsigned size, uint64_t *value);
int io_out(struct soft_cpu *c, uint16_t port, unsigned size, uint64_t value);

/* ---- paging.c ---- */

/* Walk without side effects, for debuggers. */
bool mmu_translate_quiet(struct soft_cpu *c, uint64_t va, uint64_t *gpa);
/* PAE: load the four PDPTEs from cr3; false: #GP. */
bool mmu_load_pdptrs(struct soft_cpu *c, uint64_t cr3);

/* ---- interrupt.c ---- */

/* Set c->exc; always X_FAULT. */
int raise_exception(struct soft_cpu *c, int vector);
int raise_error(struct soft_cpu *c, int vector, uint32_t error);
/* An access of 64-bit code to the stack has faulted: what is #GP elsewhere is #SS. X_FAULT. */
int raise_stack_fault(struct soft_cpu *c);
int raise_page_fault(struct soft_cpu *c, uint64_t va, uint32_t error);
/* Deliver c->exc (a fault or trap at c->rip), escalating to double and triple fault. False:
 * shutdown. */
bool deliver_exception(struct soft_cpu *c);
enum int_kind { INT_EXTERNAL, INT_SOFTWARE, INT_EXCEPTION };
/* Deliver one vector with return address `rip`. X_JUMP or X_FAULT. */
int deliver_vector(struct soft_cpu *c, int vector, enum int_kind kind, bool has_error,
                   uint32_t error, uint64_t rip);

/* INT n in virtual-8086 mode: X_JUMP if CR4.VME redirects it to the program's own handler, X_FAULT
 * if it is not allowed, 0: deliver it as elsewhere. */
int v86_interrupt(struct soft_cpu *c, unsigned n, uint64_t next);

/* ---- debug.c ---- */

enum { DR6_BD = 1 << 13, DR6_BS = 1 << 14, DR6_BT = 1 << 15 };
/* DR0-DR3, DR7 or CR4.DE have changed. */
void debug_registers_changed(struct soft_cpu *c);
bool debug_watches_page(const struct soft_cpu *c, uint64_t va);
/* Note hits of an access; the #DB comes after the instruction. */
void debug_data_access(struct soft_cpu *c, uint64_t va, unsigned size, bool write);
void debug_io_access(struct soft_cpu *c, uint16_t port, unsigned size);
/* Is there a breakpoint on the instruction at rip? Then DR6 says so, and #DB is a fault. */
bool debug_execute_hit(struct soft_cpu *c);
/* Move c->debug_hits to DR6: #DB is being delivered. */
void debug_take_hits(struct soft_cpu *c);

/* ---- watch.c ---- */

void soft_watch(struct vcpu *v, const struct vcpu_watch *w);
/* What a block at linear `va` has in `points`. */
uint64_t watch_points(const struct soft_cpu *c, uint64_t va);
/* Is the linear address `va` a point? */
bool watch_is_point(const struct soft_cpu *c, uint64_t va);
/* At the instruction at `va`, which is a point: does somebody wait for it, who has not just been
 * told? Asked once for each time that it is executed. */
static inline bool watch_is_due(struct soft_cpu *c, uint64_t va)
{
    return !(c->told_rip == va && c->told_at == soft_icount(c)) &&
           c->vcpu.event_ops->exec_wanted(c->vcpu.event_opaque, &c->vcpu, va);
}
/* Between instructions, at c->rip: tell. */
void watch_tell_exec(struct soft_cpu *c);
bool watch_covers_page(const struct soft_cpu *c, uint64_t va);
/* Tell of an access if it is in a range. False: drop it. */
bool watch_tell_access(struct soft_cpu *c, uint64_t va, unsigned size, bool write, uint64_t *value);
/* Tell of c->exc. False: do not deliver it. */
bool watch_tell_exception(struct soft_cpu *c);
bool watch_tell_msr(struct soft_cpu *c, uint32_t index, bool write, uint64_t *value);
void watch_tell_cpuid(struct soft_cpu *c, uint32_t leaf, uint32_t subleaf, uint32_t regs[4]);

/* ---- inject.c ---- */

bool soft_inject(struct vcpu *v, const struct vcpu_exception *e, struct error *err);
bool soft_machine_check(struct vcpu *v, const struct vcpu_machine_check *m, struct error *err);
/* Put what was injected into c->exc: mc_waits or exception_waits says that something was. */
void inject_take_machine_check(struct soft_cpu *c);
void inject_take_exception(struct soft_cpu *c);
/* The MSRs of machine checks. */
bool mc_is_msr(uint32_t index);
uint64_t mc_msr_read(const struct soft_cpu *c, uint32_t index);
bool mc_msr_write(struct soft_cpu *c, uint32_t index, uint64_t value); /* false: #GP */
/* From outside: whatever it was. */
void mc_msr_set(struct soft_cpu *c, uint32_t index, uint64_t value);

/* ---- smm.c ---- */

/* Take the SMI that waits, between two instructions. */
void smm_enter(struct soft_cpu *c);
/* The access to a port that is under way has made one wait. */
void smm_note_io(struct soft_cpu *c, uint16_t port, unsigned size, bool in);
/* From outside: it is in the mode, or is not. Machine lock. */
void smm_set(struct soft_cpu *c, bool smm);

/* ---- isa.c ---- */

/* ISA_* of a set of features. */
uint64_t soft_isa(const struct cpu_features *set);
/* The feature of bit number `bit`, which is below ISA_COUNT. */
const char *soft_isa_name(unsigned bit);

/* ---- monitor.c ---- */

/* look() of the backend: wake those in MWAIT whose line has changed. */
void monitor_look(struct accel *a);
/* The map of memory has changed: where another line is now, it counts as written. */
void monitor_remap(struct soft_cpu *c);

/* ---- msr.c, cpuid.c, control.c ---- */

/* Which of the groups of MSRs that belong to features there are. */
uint32_t msr_groups(const struct cpu_features *set);
/* Is the MSR one that the model has? */
bool msr_exists(const struct soft_cpu *c, uint32_t index);
bool msr_read(struct soft_cpu *c, uint32_t index, uint64_t *value); /* false: #GP */
bool msr_write(struct soft_cpu *c, uint32_t index, uint64_t value); /* false: #GP */
/* The same, but bits that software cannot write stay. */
bool msr_write_by_guest(struct soft_cpu *c, uint32_t index, uint64_t value);
size_t soft_msrs(struct vcpu *v, uint32_t *out, size_t max); /* as the backend's msrs() */
/* What the software CPU can do: the same on every host. */
void soft_cpu_offer(struct cpu_offer *out);
/* What follows from c->features. */
void soft_features_init(struct soft_cpu *c);
void cpuid_query(struct soft_cpu *c, uint32_t leaf, uint32_t subleaf, uint32_t out[4]);
/* Control registers, with all checks and consequences. X_JUMP-style: 0 or X_FAULT. */
int write_cr0(struct soft_cpu *c, uint64_t v);
int write_cr3(struct soft_cpu *c, uint64_t v);
int write_cr4(struct soft_cpu *c, uint64_t v);
bool write_efer(struct soft_cpu *c, uint64_t v);

/* ---- state.c: functions of the backend ---- */

uint64_t soft_get_reg(struct vcpu *v, unsigned number);
bool soft_get_regs(struct vcpu *v, struct kvm_regs *r, struct error *err);
bool soft_set_regs(struct vcpu *v, const struct kvm_regs *r, struct error *err);
bool soft_get_sregs(struct vcpu *v, struct kvm_sregs *s, struct error *err);
bool soft_set_sregs(struct vcpu *v, const struct kvm_sregs *s, struct error *err);
bool soft_get_fpu(struct vcpu *v, struct kvm_fpu *fpu, struct error *err);
bool soft_set_fpu(struct vcpu *v, const struct kvm_fpu *fpu, struct error *err);
bool soft_get_msr(struct vcpu *v, uint32_t index, uint64_t *value, struct error *err);
bool soft_set_msr(struct vcpu *v, uint32_t index, uint64_t value, struct error *err);
bool soft_get_misc(struct vcpu *v, struct vcpu_misc *m, struct error *err);
bool soft_set_misc(struct vcpu *v, const struct vcpu_misc *m, struct error *err);

/* ---- fxsave.c ---- */

/* Does the host have what the SIMD and x87 instructions are made of? */
bool fpu_host_ok(struct error *err);
void fpu_reset(struct soft_cpu *c);
void fpu_get(const struct soft_cpu *c, struct kvm_fpu *fpu);
void fpu_set(struct soft_cpu *c, const struct kvm_fpu *fpu);

/* ---- xsave.c ---- */

/* XCR0 may have these bits. */
uint64_t xsave_valid(const struct soft_cpu *c);
/* What CPUID says of it in leaf 0xd. */
void xsave_cpuid(const struct soft_cpu *c, uint32_t subleaf, uint32_t out[4]);
/* The form that crosses to other backends. */
void xsave_get(const struct soft_cpu *c, struct kvm_xcrs *xcrs, struct kvm_xsave *image);
bool xsave_set(struct soft_cpu *c, const struct kvm_xcrs *xcrs, const struct kvm_xsave *image,
               struct error *err);

/* ---- soft.c ---- */

/* To the state after INIT (SDM vol. 3 table 9-1): an application processor then waits for SIPI. */
void soft_init(struct soft_cpu *c);

/* The instruction under way gives up the time slice: 0 if the next begins at once, X_BREAK else. */
int soft_yield(struct soft_cpu *c);

/* Time stamp counter now. */
uint64_t soft_tsc(const struct soft_cpu *c);
void soft_skew_tsc(struct vcpu *v, int32_t ppm);

static inline bool is_user(const struct soft_cpu *c)
{
    return c->cpl == 3;
}

static inline bool long_mode(const struct soft_cpu *c)
{
    return c->efer & EFER_LMA;
}

static inline bool code64(const struct soft_cpu *c)
{
    return c->mode & MODE_CODE64;
}

static inline bool protected_mode(const struct soft_cpu *c)
{
    return c->cr0 & CR0_PE;
}

/* Have the loop look at interrupts, limits and kicks before the next block. */
static inline void soft_recheck(struct soft_cpu *c)
{
    atomic_store_explicit(&c->stop_at, 0, memory_order_relaxed);
}

/* Have the cpu that runs stand still, between two instructions or before an access to a device,
 * until the caller lets the machine lock go: to change what it uses without the lock. On the cpu's
 * own thread it does nothing. */
void soft_stand_still(struct accel *a);
/* Between two instructions: stand still if that is asked for. */
void soft_give_way(struct soft_cpu *c);

/* The machine lock, on the thread that executes. Who has it may wait for this cpu to stand still,
 * which it does while it waits for the lock. */
static inline void take_lock(struct soft_cpu *c)
{
    if (machine_lock_try(c->lock))
        return;
    atomic_store(&c->accel->waits_for_lock, true);
    machine_lock_take(c->lock);
    atomic_store(&c->accel->waits_for_lock, false);
}

/* Around what needs the machine lock on this cpu's behalf: devices, interrupt controllers,
 * callbacks. */
static inline void enter_machine(struct soft_cpu *c)
{
    take_lock(c);
    c->vcpu.machine->current_cpu = c->vcpu.port;
}

static inline void leave_machine(struct soft_cpu *c)
{
    c->vcpu.machine->current_cpu = NULL;
    machine_lock_release(c->lock);
}

static inline struct soft_cpu *soft_of(struct vcpu *v)
{
    return CONTAINER_OF(v, struct soft_cpu, vcpu);
}

static inline uint64_t sign_extend(uint64_t v, unsigned size)
{
    switch (size) {
    case 1:
        return (uint64_t)(int8_t)v;
    case 2:
        return (uint64_t)(int16_t)v;
    case 4:
        return (uint64_t)(int32_t)v;
    default:
        return v;
    }
}

static inline bool is_canonical(uint64_t va)
{
    return (uint64_t)((int64_t)(va << 16) >> 16) == va;
}
