/* The register state of a vcpu, in and out of the kernel; RESET, INIT, SIPI; the time stamp
 * counter; the last words when the backend cannot go on. Only while the vcpu does not run, but for
 * the two TSC functions.
 *
 * The general and system registers are kept in the shared area (KVM_CAP_SYNC_REGS), and only as far
 * as somebody asks: the first question after an exit is a call of the kernel, and then the next
 * exit brings the answer with it. General registers that are set go in with the next entry. */
#include "cpu/kvm/kvm_internal.h"

#include "base/bits.h"
#include "base/log.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

#define MSR_TSC 0x10

/* Addresses that the guest has given to KVM to write to (Documentation/virt/kvm/x86/msr.rst), by
 * feature. */
#define MSR_KVM_SYSTEM_TIME 0x4b564d01
#define MSR_KVM_WALL_CLOCK  0x4b564d00
#define MSR_KVM_ASYNC_PF    0x4b564d02
#define MSR_KVM_STEAL_TIME  0x4b564d03
#define MSR_KVM_PV_EOI      0x4b564d04

/* SDM vol. 3 table 9-1: the page attribute table after RESET. */
#define PAT_RESET 0x0007040600070406ULL

#define CR0_CACHES 0x60000000ULL /* CD, NW */
#define CR0_WP     0x10000ULL

#define RFLAGS_IF 0x200ULL

enum { RIP_RESET = 0xfff0, RFLAGS_RESET = 2, MXCSR_RESET = 0x1f80, FCW_RESET = 0x40 };

static bool transfer(struct vcpu *vcpu, unsigned long request, void *data, const char *what,
                     struct error *err)
{
    if (kvm_vcpu_ioctl(kvm_vcpu_of(vcpu), request, data) >= 0)
        return true;
    return error_set_host(err, errno, "kvm: cannot access the %s of the vcpu", what);
}

/* While the guest is stepped the kernel hides its TF. */
static void show_own_tf(struct kvm_vcpu *v)
{
    if (v->own_tf)
        v->run->s.regs.regs.rflags |= RFLAGS_TF;
}

/* Have the set in run->s.regs. */
static bool know(struct kvm_vcpu *v, unsigned set, struct error *err)
{
    struct kvm_sync_regs *s = &v->run->s.regs;
    bool general = set == KVM_SYNC_X86_REGS;

    v->wanted |= set;
    if (v->known & set)
        return true;
    if (!(general ? transfer(&v->vcpu, KVM_GET_REGS, &s->regs, "registers", err)
                  : transfer(&v->vcpu, KVM_GET_SREGS, &s->sregs, "system registers", err)))
        return false;
    v->known |= set;
    if (general)
        show_own_tf(v);
    return true;
}

void kvm_state_flush(struct kvm_vcpu *v)
{
    struct error err;

    if (v->regs_dirty && !transfer(&v->vcpu, KVM_SET_REGS, &v->run->s.regs.regs, "registers", &err))
        log_host(LOG_ERROR, "kvm", "%s", err.text);
    v->regs_dirty = false;
}

void kvm_state_enter(struct kvm_vcpu *v)
{
    v->run->kvm_valid_regs = v->wanted & v->accel->sync_regs;
    v->run->kvm_dirty_regs = 0;
    if (v->regs_dirty && v->accel->sync_regs & KVM_SYNC_X86_REGS)
        v->run->kvm_dirty_regs = KVM_SYNC_X86_REGS;
    else
        kvm_state_flush(v);
    v->wanted = 0;
}

/* What the kernel has not taken stays to be taken. */
void kvm_state_left(struct kvm_vcpu *v)
{
    v->regs_dirty = v->run->kvm_dirty_regs & KVM_SYNC_X86_REGS;
    v->known = v->regs_dirty ? KVM_SYNC_X86_REGS : v->run->kvm_valid_regs;
    show_own_tf(v);
}

bool kvm_vcpu_get_regs(struct vcpu *vcpu, struct kvm_regs *regs, struct error *err)
{
    struct kvm_vcpu *v = kvm_vcpu_of(vcpu);

    if (!know(v, KVM_SYNC_X86_REGS, err))
        return false;
    *regs = v->run->s.regs.regs;
    return true;
}

uint64_t kvm_vcpu_get_reg(struct vcpu *vcpu, unsigned number)
{
    struct kvm_vcpu *v = kvm_vcpu_of(vcpu);
    uint64_t values[VCPU_REG_COUNT];

    if (number == VCPU_REG_CR3)
        return know(v, KVM_SYNC_X86_SREGS, NULL) ? v->run->s.regs.sregs.cr3 : 0;
    if (!know(v, KVM_SYNC_X86_REGS, NULL))
        return 0;
    memcpy(values, &v->run->s.regs.regs, sizeof values);
    return values[number];
}

void kvm_end_halt(struct kvm_vcpu *v)
{
    struct kvm_mp_state state;

    if (!v->accel->chips || kvm_ioctl(v->fd, KVM_GET_MP_STATE, &state) < 0 ||
        state.mp_state != KVM_MP_STATE_HALTED)
        return;
    state.mp_state = KVM_MP_STATE_RUNNABLE;
    kvm_ioctl(v->fd, KVM_SET_MP_STATE, &state);
}

/* Cpus but the first wait for INIT and start-up, which are the kernel's affair. */
static void reset_mp_state(struct kvm_vcpu *v)
{
    struct kvm_mp_state state = { v->vcpu.port->bootstrap ? KVM_MP_STATE_RUNNABLE
                                                          : KVM_MP_STATE_UNINITIALIZED };

    if (v->accel->chips && kvm_ioctl(v->fd, KVM_SET_MP_STATE, &state) < 0)
        log_host(LOG_ERROR, "kvm", "reset: cpu %u stays halted: %s", v->vcpu.port->index,
                 strerror(errno));
}

/* Registers set from outside end a halt: the guest goes on at the new rip. */
bool kvm_vcpu_set_regs(struct vcpu *vcpu, const struct kvm_regs *regs, struct error *err)
{
    struct kvm_vcpu *v = kvm_vcpu_of(vcpu);

    v->run->s.regs.regs = *regs;
    v->known |= KVM_SYNC_X86_REGS;
    v->regs_dirty = true;
    v->own_tf = v->step_armed && regs->rflags & RFLAGS_TF;
    v->run->if_flag = !!(regs->rflags & RFLAGS_IF); /* what a halted one is woken by */
    v->halted = false;
    kvm_end_halt(v);
    return true;
}

bool kvm_vcpu_get_sregs(struct vcpu *vcpu, struct kvm_sregs *sregs, struct error *err)
{
    struct kvm_vcpu *v = kvm_vcpu_of(vcpu);

    if (!know(v, KVM_SYNC_X86_SREGS, err))
        return false;
    *sregs = v->run->s.regs.sregs;
    return true;
}

bool kvm_vcpu_set_sregs(struct vcpu *vcpu, const struct kvm_sregs *sregs, struct error *err)
{
    struct kvm_sregs copy = *sregs;
    struct kvm_vcpu *v = kvm_vcpu_of(vcpu);

    v->known &= ~KVM_SYNC_X86_SREGS;
    if (!transfer(vcpu, KVM_SET_SREGS, &copy, "system registers", err))
        return false;
    /* KVM_RUN would take the old ones from the shared area. */
    v->run->cr8 = sregs->cr8;
    v->run->apic_base = sregs->apic_base;
    return true;
}

/* KVM_GET_FPU and KVM_SET_FPU leave MXCSR out; it is in the extended state, in dword 6, and holds
 * if the header says that x87 and SSE registers are there (SDM vol. 1 13.4). */
enum { XSAVE_MXCSR = 6, XSAVE_HEADER = 128, XSAVE_X87_SSE = 3 };

bool kvm_vcpu_get_fpu(struct vcpu *vcpu, struct kvm_fpu *fpu, struct error *err)
{
    struct kvm_xsave x;

    if (!transfer(vcpu, KVM_GET_FPU, fpu, "floating-point registers", err))
        return false;
    if (kvm_vcpu_ioctl(kvm_vcpu_of(vcpu), KVM_GET_XSAVE, &x) == 0)
        fpu->mxcsr = x.region[XSAVE_MXCSR];
    return true;
}

bool kvm_vcpu_set_fpu(struct vcpu *vcpu, const struct kvm_fpu *fpu, struct error *err)
{
    struct kvm_fpu copy = *fpu;
    struct kvm_xsave x;

    if (!transfer(vcpu, KVM_SET_FPU, &copy, "floating-point registers", err))
        return false;
    if (kvm_vcpu_ioctl(kvm_vcpu_of(vcpu), KVM_GET_XSAVE, &x) < 0)
        return true;
    x.region[XSAVE_MXCSR] = fpu->mxcsr;
    x.region[XSAVE_HEADER] |= XSAVE_X87_SSE;
    return transfer(vcpu, KVM_SET_XSAVE, &x, "MXCSR", err);
}

struct one_msr {
    struct kvm_msrs head;
    struct kvm_msr_entry entry;
};

bool kvm_vcpu_get_msr(struct vcpu *vcpu, uint32_t index, uint64_t *value, struct error *err)
{
    struct one_msr m = { .head.nmsrs = 1, .entry.index = index };

    if (index == MSR_TSC && kvm_vcpu_of(vcpu)->accel->stopped) {
        *value = kvm_tsc(vcpu->port);
        return true;
    }
    if (kvm_vcpu_ioctl(kvm_vcpu_of(vcpu), KVM_GET_MSRS, &m) != 1)
        return error_set(err, "kvm: there is no MSR 0x%x", index);
    *value = m.entry.data;
    return true;
}

bool kvm_vcpu_set_msr(struct vcpu *vcpu, uint32_t index, uint64_t value, struct error *err)
{
    struct one_msr m = { .head.nmsrs = 1, .entry = { .index = index, .data = value } };

    if (kvm_vcpu_ioctl(kvm_vcpu_of(vcpu), KVM_SET_MSRS, &m) != 1)
        return error_set(err, "kvm: MSR 0x%x does not take 0x%llx", index,
                         (unsigned long long)value);
    if (index == MSR_TSC)
        kvm_time_note_tsc(kvm_vcpu_of(vcpu), value);
    return true;
}

bool kvm_vcpu_translate(struct vcpu *vcpu, uint64_t gva, uint64_t *gpa)
{
    struct kvm_translation t = { .linear_address = gva };

    if (kvm_vcpu_ioctl(kvm_vcpu_of(vcpu), KVM_TRANSLATE, &t) < 0 || !t.valid)
        return false;
    *gpa = t.physical_address;
    return true;
}

/* From any thread: asking the kernel would wait until the vcpu comes out of the guest. */
uint64_t kvm_tsc(struct cpu_port *p)
{
    const struct kvm_vcpu *v = p->vcpu;

    return kvm_host_tsc(v->accel) + v->tsc_offset;
}

int64_t kvm_tsc_deadline_ns(struct cpu_port *p, uint64_t tsc)
{
    const struct kvm_vcpu *v = p->vcpu;
    uint64_t now = kvm_tsc(p);
    int64_t now_ns = clock_now(&v->vcpu.machine->virtual);
    unsigned __int128 ns;

    if (tsc <= now)
        return now_ns;
    ns = (unsigned __int128)(tsc - now) * 1000000 / v->tsc_khz;
    return ns >= (uint64_t)(CLOCK_NEVER - now_ns) ? CLOCK_NEVER - 1 : now_ns + (int64_t)ns;
}

/* A new vcpu is in the state after RESET: keep what later resets go back to. */
bool kvm_state_init(struct kvm_vcpu *v, struct error *err)
{
    int khz = ioctl(v->fd, KVM_GET_TSC_KHZ, 0);

    if (khz <= 0)
        return error_set_host(err, errno,
                              "kvm: the host does not know its TSC frequency; use --accel soft");
    v->tsc_khz = khz;
    return kvm_vcpu_get_sregs(&v->vcpu, &v->reset_sregs, err) &&
           kvm_vcpu_get_fpu(&v->vcpu, &v->reset_fpu, err);
}

/* Events that were on their way are lost with RESET. */
static void reset_events(struct kvm_vcpu *v)
{
    struct kvm_vcpu_events events = { .flags = KVM_VCPUEVENT_VALID_NMI_PENDING };
    struct kvm_debugregs debug = { .dr6 = 0xffff0ff0, .dr7 = 0x400 };

    if (kvm_vcpu_ioctl(v, KVM_SET_VCPU_EVENTS, &events) < 0 ||
        kvm_vcpu_ioctl(v, KVM_SET_DEBUGREGS, &debug) < 0)
        log_host(LOG_WARN, "kvm", "reset: events or debug registers stay: %s", strerror(errno));
}

/* Whatever comes after RESET has not asked KVM to write into its memory. */
static void reset_paravirtual(struct kvm_vcpu *v)
{
    static const struct {
        const char *feature;
        uint32_t msr;
    } rows[] = {
        { "kvmclock", MSR_KVM_SYSTEM_TIME }, { "kvmclock", MSR_KVM_WALL_CLOCK },
        { "kvm_asyncpf", MSR_KVM_ASYNC_PF }, { "kvm_steal_time", MSR_KVM_STEAL_TIME },
        { "kvm_pv_eoi", MSR_KVM_PV_EOI },
    };
    struct error err;

    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (cpu_has_named(&v->features, rows[i].feature) &&
            !kvm_vcpu_set_msr(&v->vcpu, rows[i].msr, 0, &err))
            log_host(LOG_WARN, "kvm", "reset: %s", err.text);
}

/* What RESET and INIT have in common. INIT leaves the caches as they are: `keep` of CR0. */
static void start_state(struct kvm_vcpu *v, uint64_t keep)
{
    struct cpu_port *p = v->vcpu.port;
    struct kvm_regs regs = { .rip = RIP_RESET, .rflags = RFLAGS_RESET, .rdx = v->signature };
    struct kvm_sregs sregs = v->reset_sregs;
    struct error err;

    if (p->apic)
        sregs.apic_base = p->apic_ops->get_base(p->apic);
    sregs.cr0 = (sregs.cr0 & ~CR0_CACHES) | keep;
    reset_events(v);
    if (!kvm_vcpu_set_sregs(&v->vcpu, &sregs, &err) || !kvm_vcpu_set_regs(&v->vcpu, &regs, &err))
        log_host(LOG_ERROR, "kvm", "reset: %s", err.text);
    v->strays = 0;
    v->halted = v->nmi = v->exception_waits =
        false; /* the INTR pin is the interrupt controller's to lower */
    v->cr8 = 0;
    v->apic_base = sregs.apic_base;
}

void kvm_state_init_signal(struct kvm_vcpu *v)
{
    struct kvm_sregs now;

    start_state(v, kvm_vcpu_get_sregs(&v->vcpu, &now, NULL) ? now.cr0 & CR0_CACHES : 0);
}

void kvm_state_startup(struct kvm_vcpu *v, uint8_t vector)
{
    struct kvm_regs regs;
    struct kvm_sregs sregs;
    struct error err;

    if (!kvm_vcpu_get_regs(&v->vcpu, &regs, &err) || !kvm_vcpu_get_sregs(&v->vcpu, &sregs, &err)) {
        log_host(LOG_ERROR, "kvm", "start of cpu %u: %s", v->vcpu.port->index, err.text);
        return;
    }
    sregs.cs.selector = (uint16_t)(vector << 8);
    sregs.cs.base = (uint64_t)vector << 12;
    regs.rip = 0;
    if (!kvm_vcpu_set_sregs(&v->vcpu, &sregs, &err) || !kvm_vcpu_set_regs(&v->vcpu, &regs, &err))
        log_host(LOG_ERROR, "kvm", "start of cpu %u: %s", v->vcpu.port->index, err.text);
}

void kvm_vcpu_reset(struct vcpu *vcpu)
{
    static const struct vcpu_msr msrs[] = {
        { 0x174, 0 },      { 0x175, 0 },         { 0x176, 0 },      { 0xc0000081, 0 },
        { 0xc0000082, 0 }, { 0xc0000083, 0 },    { 0xc0000084, 0 }, { 0xc0000102, 0 },
        { MSR_TSC, 0 },    { 0x277, PAT_RESET },
    };
    struct kvm_vcpu *v = kvm_vcpu_of(vcpu);
    struct kvm_fpu fpu = v->reset_fpu;
    struct error err;

    fpu.fcw = FCW_RESET;
    fpu.mxcsr = MXCSR_RESET;
    reset_mp_state(v);
    start_state(v, v->reset_sregs.cr0 & CR0_CACHES);
    if (!kvm_vcpu_set_fpu(vcpu, &fpu, &err))
        log_host(LOG_ERROR, "kvm", "reset: %s", err.text);
    for (size_t i = 0; i < ARRAY_LEN(msrs); i++)
        if (!kvm_vcpu_set_msr(vcpu, msrs[i].index, msrs[i].value, &err))
            log_host(LOG_WARN, "kvm", "reset: %s", err.text);
    reset_paravirtual(v);
    v->init_waits = v->sipi_waits = v->incomplete = false;
    v->wait_sipi = !vcpu->port->bootstrap && !v->accel->chips; /* or the kernel has it wait */
}

/* After a triple fault kvm-amd clears its VMCB and with it the root of the nested page tables,
 * which it sets again when the MMU is (shutdown_interception() and svm_load_mmu_pgd() of
 * Linux 6.1). A guest without paging keeps its MMU over RESET, and would meet page 0 of the host as
 * its tables, for ever. Another CR0, for a moment, sets the MMU anew. */
void kvm_state_shut_down(struct kvm_vcpu *v)
{
    struct kvm_sregs sregs;
    struct error err;

    if (!kvm_vcpu_get_sregs(&v->vcpu, &sregs, &err))
        return;
    sregs.cr0 ^= CR0_WP;
    if (!kvm_vcpu_set_sregs(&v->vcpu, &sregs, &err))
        return;
    sregs.cr0 ^= CR0_WP;
    if (!kvm_vcpu_set_sregs(&v->vcpu, &sregs, &err))
        log_host(LOG_ERROR, "kvm", "after a triple fault: %s", err.text);
}

/* Up to 15 bytes at rip in hexadecimal, where they can be read. */
static void describe_code(struct kvm_vcpu *v, uint64_t linear, char *text, size_t size)
{
    size_t used = 0;

    text[0] = 0;
    for (unsigned i = 0; i < 15 && used + 4 < size; i++) {
        uint64_t gpa;
        uint8_t byte;
        uint64_t len = 1, ram;
        const uint8_t *host;

        if (!kvm_vcpu_translate(&v->vcpu, linear + i, &gpa))
            return;
        host = address_space_ptr(v->vcpu.machine->memory, gpa, &len, false, &ram);
        if (!host)
            return;
        byte = *host;
        used += snprintf(text + used, size - used, " %02x", byte);
    }
}

void kvm_state_describe(struct kvm_vcpu *v, const char *why)
{
    struct kvm_regs r = { 0 };
    struct kvm_sregs s = { 0 };
    char code[64];

    kvm_vcpu_get_regs(&v->vcpu, &r, NULL);
    kvm_vcpu_get_sregs(&v->vcpu, &s, NULL);
    describe_code(v, s.cs.base + r.rip, code, sizeof code);
    error_set_host(&v->vcpu.failure, 0,
                   "kvm: %s at cs:rip %04x:%016llx, code%s\n"
                   "rax %016llx rbx %016llx rcx %016llx rdx %016llx\n"
                   "rsi %016llx rdi %016llx rbp %016llx rsp %016llx\n"
                   "r8  %016llx r9  %016llx r10 %016llx r11 %016llx\n"
                   "r12 %016llx r13 %016llx r14 %016llx r15 %016llx\n"
                   "rflags %llx cr0 %llx cr2 %llx cr3 %llx cr4 %llx efer %llx",
                   why, s.cs.selector, r.rip, code[0] ? code : " not readable", r.rax, r.rbx, r.rcx,
                   r.rdx, r.rsi, r.rdi, r.rbp, r.rsp, r.r8, r.r9, r.r10, r.r11, r.r12, r.r13, r.r14,
                   r.r15, r.rflags, s.cr0, s.cr2, s.cr3, s.cr4, s.efer);
}
