/* What this host's KVM is worth, by trials in a machine of its own: how fast guest code runs, what
 * an exit takes, which breakpoints are honoured; and what the kernel says that it has.
 *
 * A /dev/kvm that opens is not proof: some hosts interpret the guest's kernel code at a few million
 * instructions a second, and answer that they know interfaces which they do not honour. */
#include "cpu/kvm/debug.h"
#include "cpu/kvm/trial.h"

#include "base/alloc.h"
#include "base/bits.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { SLICE_MS = 10, SLICES = 5, EXITS = 200 };

static void tell(struct vcpu_survey *s, const char *name, int64_t value)
{
    if (s->count < ARRAY_LEN(s->facts))
        s->facts[s->count++] = (struct vcpu_fact){ name, value };
}

/* Millions of instructions a second of 64-bit kernel code, by the time that the thread got: the
 * best of some short runs, because a host that is a guest itself may have lost time that it does
 * not know of. Eight instructions that do not wait for each other; rax counts. 0: they do not run.
 */
static int64_t measure_speed(const struct accel *a)
{
    enum { PER_ROUND = 8 };
    static const uint8_t code[] = {
        0x48, 0xff, 0xc0, /* 1: inc %rax */
        0x48, 0xff, 0xc3, /* inc %rbx */
        0x48, 0xff, 0xc1, /* inc %rcx */
        0x48, 0xff, 0xc2, /* inc %rdx */
        0x48, 0xff, 0xc6, /* inc %rsi */
        0x48, 0xff, 0xc7, /* inc %rdi */
        0x48, 0xff, 0xc5, /* inc %rbp */
        0xeb, 0xe9,       /* jmp 1b */
    };
    int64_t best = 0;
    struct trial t;
    bool works = trial_begin(&t, a, code, sizeof code) && trial_enter_long_mode(&t);

    for (int n = 0; n < SLICES && works; n++) {
        struct kvm_regs regs = { .rip = TRIAL_CODE, .rflags = 2 };

        works = kvm_ioctl(t.fd, KVM_SET_REGS, &regs) == 0;
        int64_t ns = trial_run_for(&t, SLICE_MS), mips;
        works = works && kvm_ioctl(t.fd, KVM_GET_REGS, &regs) == 0;
        mips = ns > 0 && works ? (int64_t)((unsigned __int128)regs.rax * PER_ROUND * 1000 / ns) : 0;
        best = mips > best ? mips : best;
    }
    trial_end(&t);
    return best;
}

/* Nanoseconds from the guest to a port and back. 0: it does not get there. */
static int64_t measure_exit(const struct accel *a)
{
    static const uint8_t code[] = { 0xe6, 0x80, 0xeb, 0xfc }; /* 1: out %al, $0x80; jmp 1b */
    struct trial t;
    int64_t ns = 0;
    bool works = trial_begin(&t, a, code, sizeof code) && trial_run(&t, KVM_EXIT_IO);

    for (int n = 0; n < EXITS && works; n++) {
        ns += trial_run_for(&t, TRIAL_PATIENCE_MS);
        works = t.run->exit_reason == KVM_EXIT_IO;
    }
    trial_end(&t);
    return works ? ns / EXITS : 0;
}

static int64_t count_msrs(int kvm_fd)
{
    struct kvm_msr_list list = { 0 };

    return ioctl(kvm_fd, KVM_GET_MSR_INDEX_LIST, &list) < 0 && errno != E2BIG ? 0 : list.nmsrs;
}

/* What KVM_CHECK_EXTENSION says: yes and no, or how many. */
static const struct {
    const char *name;
    long number;
} extensions[] = {
    { "vcpus", KVM_CAP_MAX_VCPUS },
    { "vcpus_recommended", KVM_CAP_NR_VCPUS },
    { "memory_slots", KVM_CAP_NR_MEMSLOTS },
    { "irqchip", KVM_CAP_IRQCHIP },
    { "split_irqchip", KVM_CAP_SPLIT_IRQCHIP },
    { "pit2", KVM_CAP_PIT2 },
    { "ioeventfd", KVM_CAP_IOEVENTFD },
    { "irqfd", KVM_CAP_IRQFD },
    { "coalesced_mmio", KVM_CAP_COALESCED_MMIO },
    { "readonly_memory", KVM_CAP_READONLY_MEM },
    { "sync_regs", KVM_CAP_SYNC_REGS },
    { "xsave", KVM_CAP_XSAVE },
    { "debugregs", KVM_CAP_DEBUGREGS },
    { "guest_debug", KVM_CAP_SET_GUEST_DEBUG },
    { "guest_debug2", KVM_CAP_SET_GUEST_DEBUG2 },
    { "user_msr", KVM_CAP_X86_USER_SPACE_MSR },
    { "msr_filter", KVM_CAP_X86_MSR_FILTER },
    { "tsc_control", KVM_CAP_TSC_CONTROL },
    { "clock", KVM_CAP_ADJUST_CLOCK },
    { "clock_control", KVM_CAP_KVMCLOCK_CTRL },
    { "dirty_ring", KVM_CAP_DIRTY_LOG_RING },
    { "nested_state", KVM_CAP_NESTED_STATE },
    { "smm", KVM_CAP_X86_SMM },
};

static void look_closely(struct accel *a, struct vcpu_survey *out)
{
    tell(out, "exit_ns", measure_exit(a));
    tell(out, "break_exec", kvm_tells_exec(a) && kvm_works(a, KVM_TRIAL_STEP));
    tell(out, "break_write", kvm_tells_writes(a));
    tell(out, "break_msr", kvm_works(a, KVM_TRIAL_MSR));
    tell(out, "hardware_exec", kvm_works(a, KVM_TRIAL_EXEC));
    tell(out, "hardware_write", kvm_works(a, KVM_TRIAL_WRITE));
    tell(out, "trap_int3", kvm_works(a, KVM_TRIAL_INT3));
    tell(out, "trap_hlt", kvm_works(a, KVM_TRIAL_HLT));
    tell(out, "write_exits", kvm_works(a, KVM_TRIAL_TAP));
    tell(out, "msrs", count_msrs(a->kvm_fd));
    for (size_t n = 0; n < ARRAY_LEN(extensions); n++) {
        int value = ioctl(a->kvm_fd, KVM_CHECK_EXTENSION, extensions[n].number);
        tell(out, extensions[n].name, value < 0 ? 0 : value);
    }
}

bool kvm_survey(bool thorough, struct vcpu_survey *out, struct error *err)
{
    struct accel a = { .kvm_fd = kvm_open_device(err), .vm_fd = -1 };
    bool usable;

    out->count = 0;
    if (a.kvm_fd < 0)
        return false;
    usable =
        kvm_check_capabilities(a.kvm_fd, err) && kvm_create_vm(&a, err) && kvm_cpuid_load(&a, err);
    if (usable)
        tell(out, "mips", measure_speed(&a));
    if (usable && thorough)
        look_closely(&a, out);
    free(a.cpuid);
    if (a.vm_fd >= 0)
        close(a.vm_fd);
    close(a.kvm_fd);
    return usable;
}
