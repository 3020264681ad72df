/* Guest time that the kernel keeps: it stands still while the machine does.
 *
 * The machine's clocks stop by themselves. The time stamp counter, the paravirtual clock and the
 * timers of chips in the kernel would run on: they are noted when the machine stops, and set back
 * when it goes on. From the making of a machine to its first start time stands still as well. All
 * cpus are set back by the same amount, so their counters stay together.
 *
 * Machine lock held, no vcpu in the guest. Facts: Linux Documentation/virt/kvm/devices/vcpu.rst
 * (KVM_VCPU_TSC_OFFSET), api.rst (KVM_SET_CLOCK, KVM_KVMCLOCK_CTRL). */
#include "cpu/kvm/irqchip.h"

#include "base/log.h"

#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>
#include <x86intrin.h>

#define MSR_TSC 0x10

uint64_t kvm_host_tsc(const struct accel *a)
{
    return a->stopped ? a->stop_tsc : __rdtsc();
}

/* The kernel's offset itself; false: it is older than that. */
static bool tsc_offset(struct kvm_vcpu *v, unsigned long request, uint64_t *offset)
{
    struct kvm_device_attr attr = {
        .group = KVM_VCPU_TSC_CTRL,
        .attr = KVM_VCPU_TSC_OFFSET,
        .addr = (uintptr_t)offset,
    };

    return kvm_ioctl(v->fd, request, &attr) == 0;
}

/* The kernel may have chosen another than was asked for, to keep the cpus together. */
void kvm_time_note_tsc(struct kvm_vcpu *v, uint64_t value)
{
    if (v->accel->stopped || !tsc_offset(v, KVM_GET_DEVICE_ATTR, &v->tsc_offset))
        v->tsc_offset = value - kvm_host_tsc(v->accel);
}

/* The guest may have set its counter since. */
static void note_offset(struct kvm_vcpu *v)
{
    uint64_t tsc;

    if (!tsc_offset(v, KVM_GET_DEVICE_ATTR, &v->tsc_offset) &&
        kvm_vcpu_get_msr(&v->vcpu, MSR_TSC, &tsc, NULL))
        v->tsc_offset = tsc - __rdtsc();
}

static void set_back_tsc(struct kvm_vcpu *v, uint64_t cycles)
{
    v->tsc_offset -= cycles;
    if (tsc_offset(v, KVM_SET_DEVICE_ATTR, &v->tsc_offset))
        return;
    kvm_vcpu_set_msr(&v->vcpu, MSR_TSC, __rdtsc() + v->tsc_offset, NULL);
}

static void get_clock(struct accel *a)
{
    a->clock_known = kvm_ioctl(a->vm_fd, KVM_GET_CLOCK, &a->stop_clock) == 0;
}

/* Its real time of the day goes on with the host's, so the kernel is not asked to make up for it.
 */
static void set_clock(struct accel *a)
{
    struct kvm_clock_data data = { .clock = a->stop_clock.clock };

    if (a->clock_known && kvm_ioctl(a->vm_fd, KVM_SET_CLOCK, &data) < 0)
        log_host(LOG_WARN, "kvm", "the guest's paravirtual clock runs on over a pause: %s",
                 strerror(errno));
}

/* While time stands still the clock is what it was, and is set when time goes on. */
bool kvm_vcpu_get_clock(struct vcpu *vcpu, uint64_t *ns)
{
    struct accel *a = kvm_vcpu_of(vcpu)->accel;

    if (!a->stopped)
        get_clock(a);
    *ns = a->stop_clock.clock;
    return a->clock_known;
}

bool kvm_vcpu_set_clock(struct vcpu *vcpu, uint64_t ns)
{
    struct accel *a = kvm_vcpu_of(vcpu)->accel;

    a->stop_clock.clock = ns;
    if (!a->stopped)
        set_clock(a);
    return a->clock_known;
}

void kvm_time_init(struct accel *a)
{
    a->stopped = true;
    a->stop_tsc = __rdtsc();
    get_clock(a);
}

void kvm_time_stop(struct accel *a)
{
    struct machine *m = a->machine;

    if (a->stopped)
        return;
    for (unsigned n = 0; n < m->cpu_count; n++)
        note_offset(kvm_vcpu_at(m, n));
    a->stop_tsc = __rdtsc();
    a->stopped = true;
    get_clock(a);
    for (unsigned n = 0; a->chips && n < m->cpu_count; n++)
        kvm_apic_stop(kvm_vcpu_at(m, n));
    if (a->chips && a->chips->pit)
        kvm_pit_stop(a->chips->pit);
}

void kvm_time_start(struct accel *a)
{
    struct machine *m = a->machine;
    uint64_t cycles = __rdtsc() - a->stop_tsc;

    if (!a->stopped)
        return;
    a->stopped = false;
    set_clock(a);
    for (unsigned n = 0; n < m->cpu_count; n++) {
        struct kvm_vcpu *v = kvm_vcpu_at(m, n);

        set_back_tsc(v, cycles);
        if (a->chips)
            kvm_apic_start(v);
        /* The guest's watchdog is told; refused where it does not use that clock. */
        ioctl(v->fd, KVM_KVMCLOCK_CTRL, 0);
    }
    if (a->chips && a->chips->pit)
        kvm_pit_start(a->chips->pit);
}
