/* Which hooks this host's KVM is able to serve, found by trying: a kernel may answer that it knows
 * an interface and yet not honour it, as nested and emulated ones do.
 *
 * A guest of a few instructions, in a machine of its own, runs into a breakpoint, goes on from it,
 * and halts. Done once for each machine, when somebody first asks.
 *
 * Software breakpoints are made of INT3 where its exception exits. Some hosts deliver it to the
 * guest instead (those that interpret the guest's code, and QEMU's emulation of SVM); there HLT
 * does, which always exits while the interrupt controllers are not in the kernel. Only privilege
 * level 0 may execute it, so that on such hosts code of other levels has no software breakpoints
 * (places.c). */
#include "cpu/kvm/debug.h"
#include "cpu/kvm/trial.h"

#include <string.h>
#include <sys/ioctl.h>

enum { CODE = TRIAL_CODE, POINT = CODE + 1, DATA = 0x200 };
enum { DR6_B0 = 1, DR6_BS = 1 << 14, VECTOR_BP = 3, PAGE = 4096 };

/* nop; nop; mov %ax, DATA; nop; hlt, in real mode. */
static bool begin(struct trial *t, const struct accel *a)
{
    static const uint8_t code[] = { 0x90, 0x90, 0xa3, DATA & 0xff, DATA >> 8, 0x90, 0xf4 };

    return trial_begin(t, a, code, sizeof code);
}

static bool arm(const struct trial *t, struct kvm_stop_point point, bool over)
{
    return kvm_set_breakpoints(t->accel, t->fd, &(struct kvm_stop_points){ { point }, 1 }, false,
                               over ? KVM_STEP_OVER : KVM_NO_STEP, point.addr);
}

static bool arm_traps(const struct trial *t, bool over)
{
    static const struct kvm_stop_points none;

    return kvm_set_breakpoints(t->accel, t->fd, &none, true, over ? KVM_STEP_OVER : KVM_NO_STEP, 0);
}

static bool stops(const struct trial *t, uint64_t pc, uint64_t dr6)
{
    return trial_run(t, KVM_EXIT_DEBUG) && t->run->debug.arch.dr6 & dr6 &&
           t->run->debug.arch.pc == pc;
}

/* Stops before the instruction, is stepped over, and gets to the end. */
static bool try_exec(struct accel *a)
{
    const struct kvm_stop_point point = { POINT, 1, false };
    struct trial t;
    bool works = begin(&t, a) && arm(&t, point, false) && stops(&t, POINT, DR6_B0) &&
                 arm(&t, point, true) && stops(&t, POINT + 1, DR6_BS) && arm(&t, point, false) &&
                 trial_run(&t, KVM_EXIT_HLT);

    trial_end(&t);
    return works;
}

/* Stops after the instruction, and gets to the end. */
static bool try_write(struct accel *a)
{
    const struct kvm_stop_point point = { DATA, 2, true };
    struct trial t;
    bool works = begin(&t, a) && arm(&t, point, false) && stops(&t, CODE + 5, DR6_B0) &&
                 trial_run(&t, KVM_EXIT_HLT);

    trial_end(&t);
    return works;
}

/* Two instructions, one after the other. */
static bool try_step(struct accel *a)
{
    struct trial t;
    bool works = begin(&t, a) && arm_traps(&t, true) && stops(&t, CODE + 1, DR6_BS) &&
                 stops(&t, CODE + 2, DR6_BS);

    trial_end(&t);
    return works;
}

static bool is_at(const struct trial *t, uint64_t rip)
{
    struct kvm_regs r;

    return kvm_ioctl(t->fd, KVM_GET_REGS, &r) == 0 && r.rip == rip;
}

/* Exits before the instruction, which is then stepped over, and gets to the end. */
static bool try_int3(struct accel *a)
{
    uint8_t kept = a->trap;
    struct trial t;
    bool works = begin(&t, a);

    a->trap = KVM_INSN_INT3;
    if (works)
        t.memory[POINT] = a->trap;
    works = works && arm_traps(&t, false) && trial_run(&t, KVM_EXIT_DEBUG) &&
            t.run->debug.arch.exception == VECTOR_BP && t.run->debug.arch.pc == POINT &&
            is_at(&t, POINT);
    if (works)
        t.memory[POINT] = 0x90;
    works = works && arm_traps(&t, true) && stops(&t, POINT + 1, DR6_BS) && arm_traps(&t, false) &&
            trial_run(&t, KVM_EXIT_HLT);
    trial_end(&t);
    a->trap = kept;
    return works;
}

/* Exits after the instruction; with rip set back it is stepped over, and gets to the end. */
static bool try_hlt(struct accel *a)
{
    struct kvm_regs back = { .rip = POINT, .rflags = 2 };
    struct trial t;
    bool works = begin(&t, a);

    if (works)
        t.memory[POINT] = KVM_INSN_HLT;
    works = works && arm_traps(&t, false) && trial_run(&t, KVM_EXIT_HLT) && is_at(&t, POINT + 1) &&
            kvm_ioctl(t.fd, KVM_SET_REGS, &back) == 0;
    if (works)
        t.memory[POINT] = 0x90;
    works = works && arm_traps(&t, true) && stops(&t, POINT + 1, DR6_BS) && arm_traps(&t, false) &&
            trial_run(&t, KVM_EXIT_HLT);
    trial_end(&t);
    return works;
}

/* A write to a read-only slot exits, with the memory as it was, and gets to the end. */
static bool try_tap(struct accel *a)
{
    static const uint8_t store[] = { 0xc6, 0x06, 0x10, 0x40, 0x55, 0xf4 }; /* at 0x4010 */
    struct kvm_userspace_memory_region memory = {
        .slot = 1, .flags = KVM_MEM_READONLY, .guest_phys_addr = TRIAL_SIZE, .memory_size = PAGE
    };
    struct trial t;
    bool works = begin(&t, a);

    if (works) {
        memory.userspace_addr = (uintptr_t)t.memory + PAGE;
        memcpy(t.memory + CODE, store, sizeof store);
    }
    works = works && kvm_ioctl(t.vm_fd, KVM_SET_USER_MEMORY_REGION, &memory) == 0 &&
            trial_run(&t, KVM_EXIT_MMIO) && t.run->mmio.is_write &&
            t.run->mmio.phys_addr == TRIAL_SIZE + 0x10 && t.run->mmio.data[0] == 0x55 &&
            t.memory[PAGE + 0x10] == 0 && trial_run(&t, KVM_EXIT_HLT);
    trial_end(&t);
    return works;
}

/* rdmsr of a filtered index exits; its exit is completed by the next entry. */
static bool try_msr(struct accel *a)
{
    static const uint8_t rdmsr[] = { 0x66, 0xb9, 0x74, 1, 0, 0, 0x0f, 0x32, 0xf4 };
    const struct vcpu_range sysenter_cs = { 0x174, 0x174 };
    struct trial t;
    struct kvm_regs regs = { 0 };

    if (ioctl(a->kvm_fd, KVM_CHECK_EXTENSION, KVM_CAP_X86_USER_SPACE_MSR) <= 0 ||
        ioctl(a->kvm_fd, KVM_CHECK_EXTENSION, KVM_CAP_X86_MSR_FILTER) <= 0)
        return false;
    bool works = begin(&t, a);
    if (works)
        memcpy(t.memory + CODE, rdmsr, sizeof rdmsr);
    works = works && kvm_set_msr_filter(t.vm_fd, &(struct vcpu_ranges){ &sysenter_cs, 1 }) &&
            trial_run(&t, KVM_EXIT_X86_RDMSR) && t.run->msr.index == sysenter_cs.first;
    if (works) {
        t.run->msr.data = 0x1234;
        t.run->msr.error = 0;
        works = trial_run(&t, KVM_EXIT_HLT) && kvm_ioctl(t.fd, KVM_GET_REGS, &regs) == 0 &&
                regs.rax == 0x1234;
    }
    trial_end(&t);
    return works;
}

bool kvm_works(struct accel *a, enum kvm_trial what)
{
    static bool (*const attempts[KVM_TRIALS])(struct accel *) = {
        [KVM_TRIAL_EXEC] = try_exec, [KVM_TRIAL_WRITE] = try_write, [KVM_TRIAL_INT3] = try_int3,
        [KVM_TRIAL_HLT] = try_hlt,   [KVM_TRIAL_STEP] = try_step,   [KVM_TRIAL_TAP] = try_tap,
        [KVM_TRIAL_MSR] = try_msr,
    };

    if (a->probes[what] == KVM_PROBE_NOT_YET)
        a->probes[what] = attempts[what](a) ? KVM_PROBE_WORKS : KVM_PROBE_FAILS;
    return a->probes[what] == KVM_PROBE_WORKS;
}

bool kvm_find_trap(struct accel *a)
{
    if (!a->trap && kvm_works(a, KVM_TRIAL_TAP)) /* the guest's writes to the page must exit */
        a->trap = kvm_works(a, KVM_TRIAL_INT3)               ? KVM_INSN_INT3
                  : !a->chips && kvm_works(a, KVM_TRIAL_HLT) ? KVM_INSN_HLT
                                                             : 0;
    return a->trap;
}

bool kvm_tells_exec(struct accel *a)
{
    return kvm_works(a, KVM_TRIAL_EXEC) || kvm_find_trap(a);
}

bool kvm_tells_writes(struct accel *a)
{
    return kvm_works(a, KVM_TRIAL_WRITE) || kvm_works(a, KVM_TRIAL_TAP);
}

static bool tells_reads(struct accel *a)
{
    return true;
}

static bool tells_msrs(struct accel *a)
{
    return kvm_works(a, KVM_TRIAL_MSR);
}

bool kvm_debug_supports(struct vcpu *vcpu, enum vcpu_event event, struct error *err)
{
    static const struct {
        enum vcpu_event event;
        bool (*tells)(struct accel *a);
        const char *why;
    } rows[] = {
        { VCPU_EVENT_EXEC, kvm_tells_exec,
          "neither its hardware breakpoints on execution nor its software breakpoints work (a "
          "trial "
          "has shown)" },
        { VCPU_EVENT_WRITE, kvm_tells_writes,
          "neither its hardware breakpoints on writes nor its read-only memory work (a trial has "
          "shown)" },
        { VCPU_EVENT_READ, tells_reads, "" },
        { VCPU_EVENT_MSR, tells_msrs, "it lets no MSR accesses out (a trial has shown)" },
        { VCPU_EVENT_EXCEPTION, NULL, "it delivers exceptions without an exit" },
        { VCPU_EVENT_CPUID, NULL, "it answers CPUID without an exit" },
    };
    struct accel *a = kvm_vcpu_of(vcpu)->accel;

    for (size_t n = 0; n < sizeof rows / sizeof *rows; n++) {
        if (rows[n].event != event)
            continue;
        if (rows[n].tells && rows[n].tells(a))
            return true;
        return error_set(err, "accel \"kvm\" cannot tell of this: %s; accel \"soft\" can",
                         rows[n].why);
    }
    return false;
}

bool kvm_debug_can_step(struct vcpu *vcpu, struct error *err)
{
    if (kvm_works(kvm_vcpu_of(vcpu)->accel, KVM_TRIAL_STEP))
        return true;
    return error_set(err, "accel \"kvm\" cannot step: the processor's single steps do not work on "
                          "this host (a trial has shown); accel \"soft\" can");
}
