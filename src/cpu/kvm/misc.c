/* What of a vcpu's state is neither a register nor an MSR: events under way, debug registers,
 * extended state, whether it runs. Part of it is the kernel's, part is kept here until the next
 * entry, and without an APIC in the kernel all of HLT and start-up is. Machine lock, while it does
 * not run. */
#include "cpu/kvm/irqchip.h"

#include <errno.h>
#include <sys/ioctl.h>

static bool transfer(struct kvm_vcpu *v, unsigned long request, void *data, struct error *err)
{
    return kvm_vcpu_ioctl(v, request, data) >= 0 ||
           error_set_host(err, errno,
                          "kvm: cannot access the events, debug registers or extended "
                          "state of the vcpu");
}

static bool has(const struct kvm_vcpu *v, long capability)
{
    return ioctl(v->accel->vm_fd, KVM_CHECK_EXTENSION, capability) > 0;
}

static bool get_mp_state(struct kvm_vcpu *v, struct vcpu_misc *m, struct error *err)
{
    if (v->accel->chips)
        return transfer(v, KVM_GET_MP_STATE, &m->mp_state, err);
    m->mp_state.mp_state = v->wait_sipi ? KVM_MP_STATE_UNINITIALIZED
                           : v->halted  ? KVM_MP_STATE_HALTED
                                        : KVM_MP_STATE_RUNNABLE;
    return true;
}

bool kvm_vcpu_get_misc(struct vcpu *vcpu, struct vcpu_misc *m, struct error *err)
{
    struct kvm_vcpu *v = kvm_vcpu_of(vcpu);

    *m = (struct vcpu_misc){ 0 };
    if (v->incomplete)
        return error_set(err, "cpu %u: an access is under way; run it until it is kicked",
                         vcpu->port->index);
    kvm_state_flush(v);
    m->has_xsave = has(v, KVM_CAP_XSAVE) && has(v, KVM_CAP_XCRS);
    m->has_avx = m->has_xsave && cpu_has_named(&v->features, "avx");
    if (!transfer(v, KVM_GET_VCPU_EVENTS, &m->events, err) ||
        !transfer(v, KVM_GET_DEBUGREGS, &m->debugregs, err) || !get_mp_state(v, m, err))
        return false;
    m->events.nmi.pending |= v->nmi;
    if (v->exception_waits) {
        m->events.exception.injected = 1;
        m->events.exception.nr = (uint8_t)v->injected.vector;
        m->events.exception.has_error_code = v->injected.has_error;
        m->events.exception.error_code = v->injected.error;
    }
    return !m->has_xsave ||
           (transfer(v, KVM_GET_XCRS, &m->xcrs, err) && transfer(v, KVM_GET_XSAVE, &m->xsave, err));
}

static bool set_mp_state(struct kvm_vcpu *v, const struct vcpu_misc *m, struct error *err)
{
    struct kvm_mp_state state = m->mp_state;

    v->halted = v->wait_sipi = false;
    if (v->accel->chips)
        return transfer(v, KVM_SET_MP_STATE, &state, err);
    v->halted = state.mp_state == KVM_MP_STATE_HALTED;
    v->wait_sipi = state.mp_state == KVM_MP_STATE_UNINITIALIZED ||
                   state.mp_state == KVM_MP_STATE_INIT_RECEIVED;
    return true;
}

/* Flags say what there is: of what is not known here nothing is set. */
static bool set_events(struct kvm_vcpu *v, const struct vcpu_misc *m, struct error *err)
{
    struct kvm_vcpu_events events = m->events;

    events.flags &= KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SHADOW |
                    (v->accel->chips ? KVM_VCPUEVENT_VALID_SIPI_VECTOR : 0);
    v->nmi = v->exception_waits = v->init_waits = v->sipi_waits = v->incomplete = false;
    return transfer(v, KVM_SET_VCPU_EVENTS, &events, err);
}

bool kvm_vcpu_set_misc(struct vcpu *vcpu, const struct vcpu_misc *m, struct error *err)
{
    struct kvm_vcpu *v = kvm_vcpu_of(vcpu);
    struct vcpu_misc copy = *m;

    if (m->events.flags & KVM_VCPUEVENT_VALID_SMM && m->events.smi.smm)
        return error_set(err,
                         "cpu %u: it is in system management mode, which there is not under kvm; "
                         "take its state once it has left it",
                         vcpu->port->index);
    kvm_state_flush(v); /* setting registers ends events */
    if (m->has_xsave && (!transfer(v, KVM_SET_XCRS, &copy.xcrs, err) ||
                         !transfer(v, KVM_SET_XSAVE, &copy.xsave, err)))
        return false;
    return transfer(v, KVM_SET_DEBUGREGS, &copy.debugregs, err) && set_events(v, m, err) &&
           set_mp_state(v, m, err);
}

bool kvm_vcpu_get_lapic(struct vcpu *vcpu, struct kvm_lapic_state *lapic)
{
    struct kvm_vcpu *v = kvm_vcpu_of(vcpu);

    return v->accel->chips && kvm_vcpu_ioctl(v, KVM_GET_LAPIC, lapic) == 0;
}

bool kvm_vcpu_set_lapic(struct vcpu *vcpu, const struct kvm_lapic_state *lapic)
{
    struct kvm_vcpu *v = kvm_vcpu_of(vcpu);
    struct kvm_lapic_state copy = *lapic;

    return v->accel->chips && kvm_vcpu_ioctl(v, KVM_SET_LAPIC, &copy) == 0;
}
