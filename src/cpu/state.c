/* The whole state of a vcpu: see state.h. The order of setting matters: the APIC's base says what
 * its registers look like, its registers come before the deadline of its timer (an MSR), and
 * general registers before the events that setting them would end. */
#include "cpu/state.h"

#include "base/alloc.h"

#include <stdlib.h>
#include <string.h>

enum { MSR_TSC = 0x10, MSR_TSC_DEADLINE = 0x6e0 };

/* ---- the local APIC ---- */

static bool get_lapic(struct vcpu *v, struct vcpu_state *s)
{
    const struct cpu_port *p = v->port;

    if (p->apic) {
        p->apic_ops->get_page(p->apic, (uint8_t *)s->lapic.regs);
        return true;
    }
    return v->backend->get_lapic && v->backend->get_lapic(v, &s->lapic);
}

static bool set_lapic(struct vcpu *v, const struct vcpu_state *s, struct error *err)
{
    const struct cpu_port *p = v->port;

    if (!s->has_lapic)
        return true;
    if (p->apic) {
        p->apic_ops->set_page(p->apic, (const uint8_t *)s->lapic.regs);
        return true;
    }
    return (v->backend->set_lapic && v->backend->set_lapic(v, &s->lapic)) ||
           error_set(err, "cpu %u: there is no local APIC to take the state of one",
                     v->port->index);
}

/* ---- MSRs ---- */

static bool get_msrs(struct vcpu *v, struct vcpu_state *s, struct error *err)
{
    size_t count = v->backend->msrs(v, NULL, 0);
    uint32_t *list = alloc_zero(count + 1, sizeof *list);
    bool ok = true;

    v->backend->msrs(v, list, count);
    s->msrs = alloc_zero(count + 1, sizeof *s->msrs);
    for (size_t n = 0; ok && n < count; n++) {
        s->msrs[n].index = list[n];
        ok = v->backend->get_msr(v, list[n], &s->msrs[n].value, err);
        s->msr_count += ok;
    }
    free(list);
    return ok;
}

bool vcpu_state_has_msr(struct vcpu *v, uint32_t index)
{
    size_t count = v->backend->msrs(v, NULL, 0);
    uint32_t *list = alloc_zero(count + 1, sizeof *list);
    bool found = false;

    v->backend->msrs(v, list, count);
    for (size_t n = 0; n < count; n++)
        found |= list[n] == index;
    free(list);
    return found;
}

/* In the order of the target's list, but the clocks last: time goes on while the rest is set. */
static bool set_msrs(struct vcpu *v, const struct vcpu_state *s, struct error *err)
{
    size_t count = v->backend->msrs(v, NULL, 0);
    uint32_t *list = alloc_zero(count + 1, sizeof *list);
    bool ok = true;

    v->backend->msrs(v, list, count);
    for (unsigned clocks = 0; clocks < 2; clocks++)
        for (size_t n = 0; ok && n < count; n++)
            for (size_t i = 0; ok && i < s->msr_count; i++)
                if (s->msrs[i].index == list[n] &&
                    (list[n] == MSR_TSC || list[n] == MSR_TSC_DEADLINE) == clocks)
                    ok = v->backend->set_msr(v, list[n], s->msrs[i].value, err);
    free(list);
    return ok;
}

/* ---- all of it ---- */

bool vcpu_state_get(struct vcpu *v, struct vcpu_state *s, struct error *err)
{
    const struct vcpu_backend *b = v->backend;

    *s = (struct vcpu_state){ 0 };
    if (!b->get_misc(v, &s->misc, err) || !b->get_regs(v, &s->regs, err) ||
        !b->get_sregs(v, &s->sregs, err) || !b->get_fpu(v, &s->fpu, err))
        return false;
    s->has_lapic = get_lapic(v, s);
    s->has_kvmclock = b->get_kvmclock && b->get_kvmclock(v, &s->kvmclock);
    return get_msrs(v, s, err);
}

/* The machine's own APIC holds its base and CR8. */
static bool set_sregs(struct vcpu *v, const struct kvm_sregs *sregs, struct error *err)
{
    const struct cpu_port *p = v->port;

    if (p->apic) {
        if (!p->apic_ops->set_base(p->apic, sregs->apic_base))
            return error_set(err, "cpu %u: its local APIC does not take the base %#llx", p->index,
                             (unsigned long long)sregs->apic_base);
        p->apic_ops->set_tpr(p->apic, (uint8_t)sregs->cr8);
    }
    return v->backend->set_sregs(v, sregs, err);
}

/* A machine without that clock has nobody who reads it. */
static void set_kvmclock(struct vcpu *v, const struct vcpu_state *s)
{
    if (s->has_kvmclock && v->backend->set_kvmclock)
        v->backend->set_kvmclock(v, s->kvmclock);
}

/* What no backend could make sense of. */
static bool check(struct vcpu *v, const struct vcpu_state *s, struct error *err)
{
    const struct kvm_vcpu_events *e = &s->misc.events;

    if ((e->exception.injected || e->exception.pending) &&
        (e->exception.nr > 31 || e->exception.nr == 2))
        return error_set(err, "cpu %u: events.exception.nr: %u is no exception", v->port->index,
                         e->exception.nr);
    if (s->misc.mp_state.mp_state > KVM_MP_STATE_SIPI_RECEIVED)
        return error_set(err, "cpu %u: mp_state: %u is none of a PC's cpu", v->port->index,
                         s->misc.mp_state.mp_state);
    return true;
}

bool vcpu_state_set(struct vcpu *v, const struct vcpu_state *s, struct error *err)
{
    const struct vcpu_backend *b = v->backend;

    if (!check(v, s, err))
        return false;
    set_kvmclock(v, s);
    return set_sregs(v, &s->sregs, err) && b->set_fpu(v, &s->fpu, err) && set_lapic(v, s, err) &&
           set_msrs(v, s, err) && b->set_regs(v, &s->regs, err) && b->set_misc(v, &s->misc, err);
}

void vcpu_state_fini(struct vcpu_state *s)
{
    free(s->msrs);
    s->msrs = NULL;
    s->msr_count = 0;
}
