/* The software CPU's state in the structures of linux/kvm.h. Machine lock, while it does not run;
 * soft_get_reg() also within an instruction. */
#include "cpu/soft/operand.h"
#include "cpu/soft/segment.h"

#include <stddef.h>

/* ---- registers and MSRs ---- */

/* rip of the instruction under way, where a callback asks, or of the next. */
static uint64_t current_rip(const struct soft_cpu *c)
{
    return c->block && c->cur ? c->r[REG_RIP] + c->cur->next_off - c->cur->len : c->rip;
}

uint64_t soft_get_reg(struct vcpu *v, unsigned number)
{
    static const uint8_t general[] = { RAX, RBX, RCX, RDX, RSI, RDI, RSP, RBP,
                                       R8,  R9,  R10, R11, R12, R13, R14, R15 };
    const struct soft_cpu *c = soft_of(v);
    if (number < ARRAY_LEN(general))
        return c->r[general[number]];
    if (number == VCPU_REG_CR3)
        return c->cr3;
    return number == offsetof(struct kvm_regs, rip) / 8 ? current_rip(c) : eflags_get(c);
}

bool soft_get_regs(struct vcpu *v, struct kvm_regs *r, struct error *err)
{
    const struct soft_cpu *c = soft_of(v);
    (void)err;
    *r = (struct kvm_regs){ .rax = c->r[RAX],
                            .rbx = c->r[RBX],
                            .rcx = c->r[RCX],
                            .rdx = c->r[RDX],
                            .rsi = c->r[RSI],
                            .rdi = c->r[RDI],
                            .rsp = c->r[RSP],
                            .rbp = c->r[RBP],
                            .r8 = c->r[R8],
                            .r9 = c->r[R9],
                            .r10 = c->r[R10],
                            .r11 = c->r[R11],
                            .r12 = c->r[R12],
                            .r13 = c->r[R13],
                            .r14 = c->r[R14],
                            .r15 = c->r[R15],
                            .rip = current_rip(c),
                            .rflags = eflags_get(c) };
    return true;
}

bool soft_set_regs(struct vcpu *v, const struct kvm_regs *r, struct error *err)
{
    struct soft_cpu *c = soft_of(v);
    const uint64_t values[16] = { r->rax, r->rcx, r->rdx, r->rbx, r->rsp, r->rbp, r->rsi, r->rdi,
                                  r->r8,  r->r9,  r->r10, r->r11, r->r12, r->r13, r->r14, r->r15 };
    (void)err;
    memcpy(c->r, values, sizeof values);
    c->rip = r->rip;
    eflags_set(c, r->rflags);
    update_rights(c);
    soft_recheck(c);
    return true;
}

static struct kvm_segment to_kvm(const struct segment *s)
{
    unsigned a = s->attr;
    return (struct kvm_segment){ .base = s->base,
                                 .limit = s->limit,
                                 .selector = s->sel,
                                 .type = a & 15,
                                 .s = a >> 4 & 1,
                                 .dpl = (uint8_t)attr_dpl(a),
                                 .present = a >> 7 & 1,
                                 .avl = a >> 12 & 1,
                                 .l = a >> 13 & 1,
                                 .db = a >> 14 & 1,
                                 .g = a >> 15 & 1,
                                 .unusable = !(a & ATTR_P) };
}

static struct segment from_kvm(const struct kvm_segment *k)
{
    if (k->unusable)
        return (struct segment){ .sel = k->selector, .base = k->base };
    unsigned a = (k->type & 15u) | (k->s & 1u) << 4 | (k->dpl & 3u) << 5 | (k->present & 1u) << 7 |
                 (k->avl & 1u) << 12 | (k->l & 1u) << 13 | (k->db & 1u) << 14 | (k->g & 1u) << 15;
    return (struct segment){
        .base = k->base, .limit = k->limit, .sel = k->selector, .attr = (uint16_t)a
    };
}

bool soft_get_sregs(struct vcpu *v, struct kvm_sregs *s, struct error *err)
{
    struct soft_cpu *c = soft_of(v);
    (void)err;
    *s = (struct kvm_sregs){ .es = to_kvm(&c->seg[SEG_ES]),
                             .cs = to_kvm(&c->seg[SEG_CS]),
                             .ss = to_kvm(&c->seg[SEG_SS]),
                             .ds = to_kvm(&c->seg[SEG_DS]),
                             .fs = to_kvm(&c->seg[SEG_FS]),
                             .gs = to_kvm(&c->seg[SEG_GS]),
                             .ldt = to_kvm(&c->ldt),
                             .tr = to_kvm(&c->tr),
                             .gdt = { .base = c->gdt.base, .limit = c->gdt.limit },
                             .idt = { .base = c->idt.base, .limit = c->idt.limit },
                             .cr0 = c->cr0,
                             .cr2 = c->cr2,
                             .cr3 = c->cr3,
                             .cr4 = c->cr4,
                             .cr8 = c->cr8_shadow,
                             .efer = c->efer };
    if (v->port->apic_ops) {
        s->apic_base = v->port->apic_ops->get_base(v->port->apic);
        s->cr8 = v->port->apic_ops->get_tpr(v->port->apic);
    }
    return true;
}

bool soft_set_sregs(struct vcpu *v, const struct kvm_sregs *s, struct error *err)
{
    struct soft_cpu *c = soft_of(v);
    if ((s->cr0 & CR0_PG) && !(s->cr0 & CR0_PE))
        return error_set(err, "cpu: cr0 = %#llx has paging without protection",
                         (unsigned long long)s->cr0);
    const struct kvm_segment *in[SEG_COUNT] = { &s->es, &s->cs, &s->ss, &s->ds, &s->fs, &s->gs };
    for (unsigned n = 0; n < SEG_COUNT; n++)
        c->seg[n] = from_kvm(in[n]);
    c->ldt = from_kvm(&s->ldt);
    c->tr = from_kvm(&s->tr);
    c->gdt.base = s->gdt.base;
    c->gdt.limit = s->gdt.limit;
    c->idt.base = s->idt.base;
    c->idt.limit = s->idt.limit;
    c->cr0 = s->cr0 | CR0_ET;
    c->cr2 = s->cr2;
    c->cr3 = s->cr3;
    c->cr4 = s->cr4;
    c->cr8_shadow = s->cr8;
    c->efer = s->efer;
    c->cpl = s->cr0 & CR0_PE ? s->ss.dpl : 0;
    if ((c->cr0 & CR0_PG) && (c->cr4 & CR4_PAE) && !long_mode(c))
        mmu_load_pdptrs(c, c->cr3);
    update_mode(c);
    mmu_flush(c);
    soft_recheck(c);
    return true;
}

bool soft_get_fpu(struct vcpu *v, struct kvm_fpu *fpu, struct error *err)
{
    (void)err;
    fpu_get(soft_of(v), fpu);
    return true;
}

bool soft_set_fpu(struct vcpu *v, const struct kvm_fpu *fpu, struct error *err)
{
    (void)err;
    fpu_set(soft_of(v), fpu);
    return true;
}

/* MSRs as the host sees them: with the machine lock already held, and no privilege in the way. */
bool soft_get_msr(struct vcpu *v, uint32_t index, uint64_t *value, struct error *err)
{
    struct machine_lock *l = loop_lock(v->machine->loop);
    if (index == MSR_SMBASE) {
        *value = soft_of(v)->smbase;
        return true;
    }
    machine_lock_release(l);
    bool ok = msr_read(soft_of(v), index, value);
    machine_lock_take(l);
    return ok || error_set(err, "cpu: there is no MSR %#x", index);
}

bool soft_set_msr(struct vcpu *v, uint32_t index, uint64_t value, struct error *err)
{
    struct machine_lock *l = loop_lock(v->machine->loop);
    if (index == MSR_SMBASE) {
        soft_of(v)->smbase = (uint32_t)value;
        return true;
    }
    if (mc_is_msr(index)) {
        mc_msr_set(soft_of(v), index, value);
        return true;
    }
    machine_lock_release(l);
    bool ok = msr_write(soft_of(v), index, value);
    soft_recheck(soft_of(v));
    machine_lock_take(l);
    return ok ||
           error_set(err, "cpu: MSR %#x does not take %#llx", index, (unsigned long long)value);
}

/* ---- the rest: events under way, debug registers, whether it runs ---- */

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
