/* Whose TF it is: KVM steps a guest by the flag that guests step themselves by.
 *
 * While a step is armed the kernel shows RFLAGS without TF and forgets the guest's own
 * (kvm_get_rflags(), kvm_arch_vcpu_ioctl_set_guest_debug()), and both end in the same exit. So what
 * the guest has is kept here: it is put back when stepping ends, a stepped instruction that the
 * guest would have traced is followed by the guest's #DB, and PUSHF, POPF and IRET do what they
 * would. Where an instruction leads into a handler, the step's flag is on the guest's stack: IRET
 * will bring it back, as a stray that nobody wants.
 *
 * Machine lock, on the vcpu's thread or while it does not run. */
#include "cpu/kvm/debug.h"

#include "mem/address_space.h"

static void set_flag(struct kvm_vcpu *v, bool on)
{
    struct kvm_regs r;

    if (!kvm_vcpu_get_regs(&v->vcpu, &r, NULL) || !!(r.rflags & RFLAGS_TF) == on)
        return;
    r.rflags ^= RFLAGS_TF;
    kvm_vcpu_set_regs(&v->vcpu, &r, NULL);
}

void kvm_tf_arm(struct kvm_vcpu *v)
{
    struct kvm_regs r;

    if (v->step_armed || !kvm_vcpu_get_regs(&v->vcpu, &r, NULL))
        return;
    v->own_tf = r.rflags & RFLAGS_TF;
    if (v->own_tf && v->strays) {
        v->strays--;
        v->own_tf = false;
        set_flag(v, false);
    }
    v->step_armed = true;
}

/* The kernel has cleared it, whatever is shown here. */
void kvm_tf_disarm(struct kvm_vcpu *v)
{
    bool own = v->own_tf;
    struct kvm_regs r;

    v->step_armed = v->own_tf = false;
    if (!own || !kvm_vcpu_get_regs(&v->vcpu, &r, NULL))
        return;
    r.rflags |= RFLAGS_TF;
    kvm_vcpu_set_regs(&v->vcpu, &r, NULL);
}

/* Of the stack, `offset` bytes up, with 16, 32 or 64 bits of it in use: the second byte of flags.
 */
static bool find_flags(struct kvm_vcpu *v, unsigned offset, uint64_t *gpa)
{
    struct kvm_regs r;
    struct kvm_sregs s;

    if (!kvm_vcpu_get_regs(&v->vcpu, &r, NULL) || !kvm_vcpu_get_sregs(&v->vcpu, &s, NULL))
        return false;
    uint64_t sp = s.cs.l ? r.rsp : s.ss.base + (s.ss.db ? (uint32_t)r.rsp : (uint16_t)r.rsp);
    return kvm_vcpu_translate(&v->vcpu, sp + offset + 1, gpa);
}

/* PUSHF would push the flag by which the processor steps; POPF and IRET take the guest's own. */
void kvm_tf_begin(struct kvm_vcpu *v, uint64_t linear)
{
    enum { PUSHF = 0x9c, POPF = 0x9d, IRET = 0xcf, SIZE_PREFIX = 0x66, REX_W = 0x48 };
    uint8_t code[2] = { 0 }, byte = 0;
    struct kvm_sregs s;
    uint64_t gpa;

    v->flags_pushed = v->flags_popped = false;
    kvm_pages_peek(v, linear, code, sizeof code);
    if (!kvm_vcpu_get_sregs(&v->vcpu, &s, NULL))
        return;
    bool rex = s.cs.l && code[0] == REX_W, prefix = rex || code[0] == SIZE_PREFIX;
    uint8_t op = code[prefix];
    v->flags_pushed = op == PUSHF;
    if (op != POPF && op != IRET)
        return;
    unsigned size = s.cs.l || s.cs.db ? 4 : 2;
    if (prefix)
        size = rex ? 8 : 6 - size;
    if (!find_flags(v, op == IRET ? 2 * size : 0, &gpa))
        return;
    address_space_read(v->vcpu.machine->memory, gpa, &byte, 1);
    v->flags_popped = true;
    v->popped_tf = byte & RFLAGS_TF >> 8;
}

static void unpush(struct kvm_vcpu *v)
{
    uint64_t gpa;
    uint8_t byte;

    if (!find_flags(v, 0, &gpa))
        return;
    address_space_read(v->vcpu.machine->memory, gpa, &byte, 1);
    byte &= (uint8_t) ~(RFLAGS_TF >> 8);
    address_space_write(v->vcpu.machine->memory, gpa, &byte, 1);
}

bool kvm_tf_stepped(struct kvm_vcpu *v)
{
    bool traced = v->own_tf;

    if (v->flags_pushed && !traced)
        unpush(v);
    if (v->flags_popped) {
        bool stray = v->popped_tf && v->strays;

        v->strays -= stray;
        v->own_tf = v->popped_tf && !stray;
        set_flag(v, v->own_tf);
    }
    v->flags_pushed = v->flags_popped = false;
    return traced;
}

void kvm_tf_handler(struct kvm_vcpu *v)
{
    v->strays += !v->own_tf;
    v->own_tf = false;
    set_flag(v, false);
}

void kvm_tf_swallow(struct kvm_vcpu *v)
{
    v->strays--;
    set_flag(v, false);
}
