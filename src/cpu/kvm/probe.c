/* Which hooks this host's KVM is able to serve, found by trying: a kernel may answer that it knows
 * an interface and yet not honour it, as nested and emulated ones do.
 *
 * A guest of a few instructions, in a machine of its own, runs into a breakpoint, goes on from it,
 * and halts. Done once for each machine, when somebody first asks. */
#include "cpu/kvm/trial.h"

#include <string.h>
#include <sys/ioctl.h>

enum { CODE = TRIAL_CODE, POINT = CODE + 1, DATA = 0x200 };
enum { DR6_B0 = 1, DR6_BS = 1 << 14 };

/* nop; nop; mov %ax, DATA; nop; hlt, in real mode. */
static bool begin(struct trial *t, const struct accel *a)
{
    static const uint8_t code[] = { 0x90, 0x90, 0xa3, DATA & 0xff, DATA >> 8, 0x90, 0xf4 };

    return trial_begin(t, a, code, sizeof code);
}

static bool arm(const struct trial *t, struct kvm_stop_point point, bool over)
{
    return kvm_set_breakpoints(t->accel, t->fd, &(struct kvm_stop_points){ { point }, 1 },
                               over ? KVM_STEP_OVER : KVM_NO_STEP);
}

static bool stops(const struct trial *t, uint64_t pc, uint64_t dr6)
{
    return trial_run(t, KVM_EXIT_DEBUG) && t->run->debug.arch.dr6 & dr6 &&
           t->run->debug.arch.pc == pc;
}

/* Stops before the instruction, is stepped over, and gets to the end. */
bool kvm_probe_exec(struct accel *a)
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
bool kvm_probe_write(struct accel *a)
{
    const struct kvm_stop_point point = { DATA, 2, true };
    struct trial t;
    bool works = begin(&t, a) && arm(&t, point, false) && stops(&t, CODE + 5, DR6_B0) &&
                 trial_run(&t, KVM_EXIT_HLT);

    trial_end(&t);
    return works;
}

/* rdmsr of a filtered index exits; its exit is completed by the next entry. */
bool kvm_probe_msr(struct accel *a)
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

bool kvm_debug_supports(struct vcpu *vcpu, enum vcpu_event event, struct error *err)
{
    static const struct {
        enum vcpu_event event;
        bool (*attempt)(struct accel *a);
        const char *why;
    } rows[] = {
        { VCPU_EVENT_EXEC, kvm_probe_exec,
          "its hardware breakpoints on execution do not work (a trial has shown)" },
        { VCPU_EVENT_WRITE, kvm_probe_write,
          "its hardware breakpoints on writes do not work (a trial has shown)" },
        { VCPU_EVENT_MSR, kvm_probe_msr, "it lets no MSR accesses out (a trial has shown)" },
        { VCPU_EVENT_READ, NULL, "processors have no breakpoint on reads alone" },
        { VCPU_EVENT_EXCEPTION, NULL, "it delivers exceptions without an exit" },
        { VCPU_EVENT_CPUID, NULL, "it answers CPUID without an exit" },
    };
    struct accel *a = kvm_vcpu_of(vcpu)->accel;

    for (size_t n = 0; n < sizeof rows / sizeof *rows; n++) {
        if (rows[n].event != event)
            continue;
        if (rows[n].attempt && a->probes[n] == KVM_PROBE_NOT_YET)
            a->probes[n] = rows[n].attempt(a) ? KVM_PROBE_WORKS : KVM_PROBE_FAILS;
        if (a->probes[n] == KVM_PROBE_WORKS)
            return true;
        return error_set(err, "accel \"kvm\" cannot tell of this: %s; accel \"soft\" can",
                         rows[n].why);
    }
    return false;
}
