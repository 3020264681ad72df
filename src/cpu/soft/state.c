/* What of the software CPU's state is neither a register nor an MSR, in the structures of
 * linux/kvm.h: events under way, debug registers, whether it runs. Machine lock, while it does not
 * run. */
#include "cpu/soft/soft_cpu.h"

/* With interrupts off only MOV SS can be behind it; VMX refuses to enter a guest after STI so. */
static uint8_t shadow(const struct soft_cpu *c)
{
    if (c->shadow_at != c->icount)
        return 0;
    return c->eflags & FLAG_IF ? KVM_X86_SHADOW_INT_STI : KVM_X86_SHADOW_INT_MOV_SS;
}

static void get_events(const struct soft_cpu *c, struct kvm_vcpu_events *e)
{
    *e = (struct kvm_vcpu_events){
        .flags =
            KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SHADOW | KVM_VCPUEVENT_VALID_SMM,
        .interrupt.shadow = shadow(c),
        .nmi = { .pending = c->nmi, .masked = c->nmi_blocked },
        .smi = { .smm = c->smm,
                 .pending = c->smi,
                 .smm_inside_nmi = c->smm_in_nmi,
                 .latched_init = c->smm && c->init_pending },
    };
    if (c->exception_waits) {
        e->exception.injected = 1;
        e->exception.nr = (uint8_t)c->injected.vector;
        e->exception.has_error_code = c->injected.has_error;
        e->exception.error_code = c->injected.error;
    }
}

bool soft_get_misc(struct vcpu *v, struct vcpu_misc *m, struct error *err)
{
    const struct soft_cpu *c = soft_of(v);
    *m = (struct vcpu_misc){
        .debugregs = { .dr6 = c->dr[6], .dr7 = c->dr[7] },
        .mp_state.mp_state = c->wait_sipi ? KVM_MP_STATE_UNINITIALIZED
                             : c->halted  ? KVM_MP_STATE_HALTED
                                          : KVM_MP_STATE_RUNNABLE,
    };
    for (unsigned n = 0; n < 4; n++)
        m->debugregs.db[n] = c->dr[n];
    get_events(c, &m->events);
    m->has_xsave = c->isa & ISA_XSAVE;
    m->has_avx = c->isa & ISA_AVX;
    if (m->has_xsave)
        xsave_get(c, &m->xcrs, &m->xsave);
    return true;
}

static void set_events(struct soft_cpu *c, const struct kvm_vcpu_events *e)
{
    c->nmi = e->flags & KVM_VCPUEVENT_VALID_NMI_PENDING && e->nmi.pending;
    c->nmi_blocked = e->nmi.masked;
    c->shadow_at = e->interrupt.shadow ? c->icount : UINT64_MAX;
    c->ss_shadow_at = e->interrupt.shadow & KVM_X86_SHADOW_INT_MOV_SS ? c->icount : UINT64_MAX;
    bool smm = e->flags & KVM_VCPUEVENT_VALID_SMM;
    smm_set(c, smm && e->smi.smm);
    if (c->smm && c->cr0 & CR0_PG && c->cr4 & CR4_PAE && !long_mode(c))
        mmu_load_pdptrs(c, c->cr3); /* they may be where only it sees them */
    c->smi = smm && e->smi.pending;
    c->smm_in_nmi = c->smm && e->smi.smm_inside_nmi;
    c->smm_debug = 0;
    c->init_pending = c->smm && e->smi.latched_init;
    c->exception_waits = e->exception.injected || e->exception.pending;
    c->injected = (struct vcpu_exception){ e->exception.nr, e->exception.has_error_code,
                                           e->exception.error_code };
}

bool soft_set_misc(struct vcpu *v, const struct vcpu_misc *m, struct error *err)
{
    struct soft_cpu *c = soft_of(v);
    uint32_t mp = m->mp_state.mp_state;
    if (m->events.interrupt.injected)
        return error_set(err,
                         "cpu %u: interrupt 0x%x is on its way, which the software CPU cannot take "
                         "over",
                         v->port->index, m->events.interrupt.nr);
    if (m->has_xsave && c->isa & ISA_XSAVE && !xsave_set(c, &m->xcrs, &m->xsave, err))
        return false;
    for (unsigned n = 0; n < 4; n++)
        c->dr[n] = m->debugregs.db[n];
    c->dr[6] = m->debugregs.dr6;
    c->dr[7] = m->debugregs.dr7;
    debug_registers_changed(c);
    set_events(c, &m->events);
    c->wait_sipi = mp == KVM_MP_STATE_UNINITIALIZED || mp == KVM_MP_STATE_INIT_RECEIVED;
    c->halted = mp == KVM_MP_STATE_HALTED;
    c->shut_down = c->step_pending = c->sipi_pending = false;
    soft_recheck(c);
    return true;
}
