/* Exceptions and machine checks from outside, under KVM.
 *
 * An exception waits here until the guest is about to be entered, because the kernel first
 * completes the access that it exited for. Machine checks are the kernel's own: it keeps the banks,
 * and raises #MC for an uncorrected error if the guest has enabled the bank (IA32_MCi_CTL all ones)
 * and CR4.MCE; without CR4.MCE the guest shuts down. */
#include "cpu/kvm/kvm_internal.h"

#include "base/log.h"

#include <errno.h>
#include <string.h>

bool kvm_vcpu_inject(struct vcpu *vcpu, const struct vcpu_exception *e, struct error *err)
{
    struct kvm_vcpu *v = kvm_vcpu_of(vcpu);

    if (v->exception_waits)
        return error_set(err, "cpu %u: exception %d waits to be delivered already",
                         vcpu->port->index, v->injected.vector);
    v->injected = *e;
    v->exception_waits = true;
    kvm_vcpu_kick(vcpu);
    return true;
}

void kvm_inject_waiting(struct kvm_vcpu *v)
{
    struct kvm_vcpu_events events;
    struct kvm_sregs sregs;

    if (!v->exception_waits)
        return;
    if (kvm_vcpu_ioctl(v, KVM_GET_VCPU_EVENTS, &events) < 0 ||
        !kvm_vcpu_get_sregs(&v->vcpu, &sregs, NULL)) {
        log_host(LOG_ERROR, "kvm", "exception %d is lost: %s", v->injected.vector, strerror(errno));
        v->exception_waits = false;
        return;
    }
    if (events.exception.injected)
        return; /* after the one that is on its way */
    v->exception_waits = false;
    kvm_end_halt(v);
    events.flags = 0;
    events.exception.injected = 1;
    events.exception.nr = (uint8_t)v->injected.vector;
    events.exception.has_error_code = v->injected.has_error && sregs.cr0 & 1;
    events.exception.error_code = v->injected.error;
    if (kvm_vcpu_ioctl(v, KVM_SET_VCPU_EVENTS, &events) < 0)
        log_host(LOG_ERROR, "kvm", "exception %d is lost: %s", v->injected.vector, strerror(errno));
}

bool kvm_vcpu_machine_check(struct vcpu *vcpu, const struct vcpu_machine_check *m,
                            struct error *err)
{
    struct kvm_x86_mce mce = {
        .status = m->status | MC_STATUS_VALID,
        .addr = m->addr,
        .misc = m->misc,
        .mcg_status = m->mcg_status | MCG_STATUS_IN_PROGRESS,
        .bank = (uint8_t)m->bank,
    };

    if (m->bank > UINT8_MAX || kvm_vcpu_ioctl(kvm_vcpu_of(vcpu), KVM_X86_SET_MCE, &mce) < 0)
        return error_set(err, "kvm: bank %u does not take a machine check: %s", m->bank,
                         strerror(errno));
    kvm_vcpu_kick(vcpu);
    return true;
}
