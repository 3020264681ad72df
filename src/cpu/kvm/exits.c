/* What the guest leaves for: accesses of ports and devices, and what ends a run. Machine lock held.
 *
 * An access is completed by the next KVM_RUN. When the kernel cannot go on, the machine is paused
 * with what is known of why: the reason, the registers, the code, and what on this host may be the
 * cause. */
#include "cpu/kvm/debug.h"

#include "base/bits.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static const struct trace_event kvm_events[] = {
    [KVM_TRACE_PIO] = { "kvm.pio",
                        "the guest has left for a port access",
                        { { "port", TRACE_HEX },
                          { "size", TRACE_BYTES },
                          { "count", TRACE_DEC },
                          { "write", TRACE_BOOL } } },
    [KVM_TRACE_MMIO] = { "kvm.mmio",
                         "the guest has left for an access to what is not RAM",
                         { { "gpa", TRACE_HEX },
                           { "size", TRACE_BYTES },
                           { "write", TRACE_BOOL } } },
    [KVM_TRACE_EXIT] = { "kvm.exit",
                         "the guest has left for another reason (KVM_EXIT_...)",
                         { { "reason", TRACE_DEC } } },
    [KVM_TRACE_INTERRUPT] = { "kvm.interrupt",
                              "an interrupt is injected",
                              { { "vector", TRACE_HEX } } },
    [KVM_TRACE_LINE] = { "kvm.line",
                         "a line into a chip in the kernel changes",
                         { { "gsi", TRACE_DEC }, { "level", TRACE_BOOL } } },
    [KVM_TRACE_MSI] = { "kvm.msi",
                        "a message goes to the local APICs in the kernel",
                        { { "addr", TRACE_HEX }, { "data", TRACE_HEX } } },
    [KVM_TRACE_EOI] = { "kvm.eoi",
                        "a local APIC in the kernel tells of an end of interrupt",
                        { { "vector", TRACE_HEX } } },
};
struct trace_table kvm_trace = TRACE_TABLE(kvm_events);

/* ---- accesses ---- */

/* One exit for up to `count` accesses: INS and OUTS with a repeat prefix. */
static void exit_pio(struct kvm_vcpu *v)
{
    struct kvm_run *run = v->run;
    struct machine *m = v->vcpu.machine;
    uint8_t *data = (uint8_t *)run + run->io.data_offset;

    v->stats.exits_pio++;
    TRACE(kvm_trace, KVM_TRACE_PIO, vcpu_source(&v->vcpu), run->io.port, run->io.size,
          run->io.count, run->io.direction == KVM_EXIT_IO_OUT);
    m->current_cpu = v->vcpu.port;
    for (uint32_t i = 0; i < run->io.count; i++, data += run->io.size) {
        uint64_t value = 0;

        if (run->io.direction == KVM_EXIT_IO_OUT) {
            value = ld_le(data, run->io.size);
            address_space_store(m->io, run->io.port, run->io.size, value);
        } else {
            address_space_load(m->io, run->io.port, run->io.size, &value);
            st_le(data, run->io.size, value);
        }
    }
    m->current_cpu = NULL;
}

/* Accesses that crossed a page come in odd lengths: those go byte by byte, as wide as the devices
 * allow. */
static void exit_mmio(struct kvm_vcpu *v)
{
    struct kvm_run *run = v->run;
    struct machine *m = v->vcpu.machine;
    uint64_t addr = run->mmio.phys_addr, value = 0;
    unsigned len = run->mmio.len;
    bool watched = v->accel->pages.places || v->breakpoints.count;

    v->stats.exits_mmio++;
    TRACE(kvm_trace, KVM_TRACE_MMIO, vcpu_source(&v->vcpu), addr, len, !!run->mmio.is_write);
    m->current_cpu = v->vcpu.port;
    if (watched && run->mmio.is_write && !kvm_debug_exit_mmio(v)) {
        /* dropped */
    } else if (!is_pow2(len) && run->mmio.is_write) {
        address_space_write(m->memory, addr, run->mmio.data, len);
    } else if (!is_pow2(len)) {
        address_space_read(m->memory, addr, run->mmio.data, len);
    } else if (run->mmio.is_write) {
        address_space_store(m->memory, addr, len, ld_le(run->mmio.data, len));
    } else {
        address_space_load(m->memory, addr, len, &value);
        st_le(run->mmio.data, len, value);
    }
    if (watched && !run->mmio.is_write)
        kvm_debug_exit_mmio(v);
    m->current_cpu = NULL;
}

/* ---- the end ---- */

/* Why a kernel may be unable to go on, by the reason that it gives. */
static const struct {
    uint32_t exit, reason; /* KVM_EXIT_..., and the suberror or the processor's own */
    const char *what, *remedy;
} failures[] = {
    { KVM_EXIT_INTERNAL_ERROR, KVM_INTERNAL_ERROR_EMULATION,
      "the host's kernel cannot emulate an instruction",
      "the kernel interprets instructions that touch devices or page tables, real mode on Intel "
      "processors without unrestricted guests, and everything on a host without VMX or SVM; it "
      "knows few of them, and none that lies outside of RAM and ROM" },
    { KVM_EXIT_INTERNAL_ERROR, KVM_INTERNAL_ERROR_SIMUL_EX,
      "an exception while another was delivered",
      "the kernel does not deliver exceptions within exceptions by software" },
    { KVM_EXIT_INTERNAL_ERROR, KVM_INTERNAL_ERROR_DELIVERY_EV,
      "an exit while an event was delivered",
      "the interrupt table, the task state segment or the stack lies outside of RAM" },
    { KVM_EXIT_INTERNAL_ERROR, KVM_INTERNAL_ERROR_UNEXPECTED_EXIT_REASON,
      "an exit that the host's kernel does not know",
      "the processor, or the hypervisor that the host runs on, is newer than the kernel or "
      "faulty" },
    { KVM_EXIT_FAIL_ENTRY, 0x80000021, "the processor refuses the guest's state",
      "VMX without unrestricted guests takes no real mode with odd segments; a nested hypervisor "
      "may check more than a processor does" },
    { KVM_EXIT_FAIL_ENTRY, 0xffffffff, "the processor refuses to enter the guest",
      "SVM takes no state that is inconsistent (control registers, EFER)" },
};

static enum vcpu_stop exit_failure(struct kvm_vcpu *v, const char *what, uint64_t reason,
                                   const char *remedy)
{
    char why[512];

    snprintf(why, sizeof why, "%s (0x%llx)%s%s; --accel soft does not depend on the host", what,
             (unsigned long long)reason, remedy ? ": " : "", remedy ? remedy : "");
    v->stats.exits_other++;
    kvm_state_describe(v, why);
    return VCPU_STOP_ERROR;
}

static enum vcpu_stop exit_known_failure(struct kvm_vcpu *v, uint64_t reason, const char *otherwise)
{
    for (size_t n = 0; n < ARRAY_LEN(failures); n++)
        if (failures[n].exit == v->run->exit_reason && failures[n].reason == (uint32_t)reason)
            return exit_failure(v, failures[n].what, reason, failures[n].remedy);
    return exit_failure(v, otherwise, reason, NULL);
}

/* What paravirtual interfaces of the kernel's own ask for. */
static bool exit_system_event(struct kvm_vcpu *v, enum vcpu_stop *stop)
{
    uint32_t type = v->run->system_event.type;

    v->stats.exits_other++;
    switch (type) {
    case KVM_SYSTEM_EVENT_SHUTDOWN:
        machine_request(v->vcpu.machine, REQUEST_POWEROFF, 0, "kvm");
        return true;
    case KVM_SYSTEM_EVENT_RESET:
        machine_request(v->vcpu.machine, REQUEST_RESET, 0, "kvm");
        return true;
    default:
        *stop = exit_failure(v, "the guest reports a crash to the host's kernel", type, NULL);
        return false;
    }
}

/* KVM_RUN itself did not succeed. */
static bool entry_failed(struct kvm_vcpu *v, int error, enum vcpu_stop *stop)
{
    if (error != EINTR && error != EAGAIN) {
        *stop = exit_failure(v, strerror(error), (uint64_t)error,
                             "KVM_RUN fails; see the host's kernel log");
        return false;
    }
    if (!kvm_vcpu_take_kick(v))
        return true;
    v->stats.exits_kick++;
    if (kvm_memslots_take_refusal(v->accel, &v->vcpu.failure)) {
        *stop = VCPU_STOP_ERROR;
        return false;
    }
    *stop = v->stop_wanted ? VCPU_STOP_DEBUG : VCPU_STOP_KICK;
    v->stop_wanted = false;
    return false;
}

bool kvm_exit_handle(struct kvm_vcpu *v, int entry_errno, enum vcpu_stop *stop)
{
    struct kvm_run *run = v->run;
    bool go;

    v->incomplete = false;
    if (entry_errno)
        return entry_failed(v, entry_errno, stop);
    if (run->exit_reason != KVM_EXIT_IO && run->exit_reason != KVM_EXIT_MMIO)
        TRACE(kvm_trace, KVM_TRACE_EXIT, vcpu_source(&v->vcpu), run->exit_reason);
    switch (run->exit_reason) {
    case KVM_EXIT_IO:
        exit_pio(v);
        kvm_debug_accessed(v);
        return v->incomplete = true;
    case KVM_EXIT_MMIO:
        exit_mmio(v);
        kvm_debug_accessed(v);
        return v->incomplete = true;
    case KVM_EXIT_X86_RDMSR:
    case KVM_EXIT_X86_WRMSR:
        v->stats.exits_other++;
        kvm_debug_exit_msr(v, run->exit_reason == KVM_EXIT_X86_WRMSR);
        return v->incomplete = true;
    case KVM_EXIT_HLT:
        v->halted = kvm_debug_exit_halt(v, &go); /* the next round decides whether it sleeps */
        v->stats.exits_halt += v->halted;
        *stop = VCPU_STOP_DEBUG;
        return go;
    case KVM_EXIT_IOAPIC_EOI:
        v->stats.exits_other++;
        TRACE(kvm_trace, KVM_TRACE_EOI, vcpu_source(&v->vcpu), run->eoi.vector);
        machine_eoi(v->vcpu.machine, run->eoi.vector);
        return true;
    case KVM_EXIT_IRQ_WINDOW_OPEN:
    case KVM_EXIT_INTR:
    case KVM_EXIT_SET_TPR:
        v->stats.exits_other++;
        return true;
    case KVM_EXIT_SHUTDOWN:
        v->stats.exits_shutdown++;
        kvm_state_shut_down(v);
        *stop = VCPU_STOP_SHUTDOWN;
        return false;
    case KVM_EXIT_SYSTEM_EVENT:
        return exit_system_event(v, stop);
    case KVM_EXIT_DEBUG:
        v->stats.exits_other++;
        *stop = VCPU_STOP_DEBUG;
        return kvm_debug_exit(v);
    case KVM_EXIT_FAIL_ENTRY:
        *stop = exit_known_failure(v, run->fail_entry.hardware_entry_failure_reason,
                                   "the processor refuses to enter the guest");
        return false;
    case KVM_EXIT_INTERNAL_ERROR:
        *stop =
            exit_known_failure(v, run->internal.suberror, "an internal error of the host's kernel");
        return false;
    default:
        *stop = exit_failure(v, "an exit that is not known here", run->exit_reason, NULL);
        return false;
    }
}
