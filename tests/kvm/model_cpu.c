/* The processor of a /dev/kvm that is a model: see model_kvm.h. Memory, registers, events, and an
 * instruction from its beginning to its end.
 *
 * An instruction whose read leaves for a device is begun anew when the answer is there; one whose
 * write does is done. */
#include "model_kvm.h"

#include <string.h>

#define ZF 0x40ULL
#define TF 0x100ULL
#define IF 0x200ULL

#define DR6_FIXED 0xffff0ff0ULL
#define DR6_TRAPS 0xe00fULL /* BT, BS, BD, B3 to B0 */
#define DR6_BD    0x2000ULL
#define DR6_BS    0x4000ULL
#define DR7_GD    0x2000ULL

enum { VECTOR_DB = 1, VECTOR_BP = 3, VECTOR_UD = 6 };

uint64_t model_linear_rip(const struct model_vcpu *v)
{
    return v->sregs.cs.base + v->regs.rip;
}

static bool steps(const struct model_vcpu *v)
{
    return v->debug.control & KVM_GUESTDBG_SINGLESTEP;
}

uint64_t model_get_rflags(const struct model_vcpu *v)
{
    return steps(v) ? v->regs.rflags & ~TF : v->regs.rflags;
}

void model_set_rflags(struct model_vcpu *v, uint64_t rflags)
{
    v->regs.rflags = rflags | 2;
    if (steps(v) && model_linear_rip(v) == v->step_from)
        v->regs.rflags |= TF;
}

/* ---- memory ---- */

static uint8_t *byte_at(const struct model_vcpu *v, uint64_t at, bool write)
{
    for (unsigned n = 0; n < v->vm->slots; n++) {
        const struct kvm_userspace_memory_region *s = &v->vm->slot[n];

        if (at - s->guest_phys_addr < s->memory_size)
            return write && s->flags & KVM_MEM_READONLY
                       ? NULL
                       : (uint8_t *)(uintptr_t)s->userspace_addr + (at - s->guest_phys_addr);
    }
    return NULL;
}

static bool is_memory(const struct model_vcpu *v, uint64_t at, unsigned size, bool write)
{
    for (unsigned n = 0; n < size; n++)
        if (!byte_at(v, at + n, write))
            return false;
    return true;
}

static void leave_mmio(struct model_vcpu *v, uint64_t at, unsigned size, bool write)
{
    v->exits = true;
    v->run->exit_reason = KVM_EXIT_MMIO;
    v->run->mmio.phys_addr = at;
    v->run->mmio.len = size;
    v->run->mmio.is_write = write;
}

static void touch(struct model_vcpu *v, uint64_t at, unsigned size, bool write)
{
    if (v->touches == 4)
        return;
    v->touched[v->touches] = at;
    v->touched_size[v->touches] = size;
    v->touched_write[v->touches++] = write;
}

uint64_t model_load(struct model_vcpu *v, uint64_t at, unsigned size)
{
    uint64_t value = 0;

    if (is_memory(v, at, size, false)) {
        touch(v, at, size, false);
        for (unsigned n = 0; n < size; n++)
            value |= (uint64_t)*byte_at(v, at + n, false) << 8 * n;
    } else if (v->answered) {
        v->answered = false;
        memcpy(&value, v->run->mmio.data, size);
    } else {
        leave_mmio(v, at, size, false);
        v->pending = MODEL_READ;
    }
    return value;
}

void model_store(struct model_vcpu *v, uint64_t at, unsigned size, uint64_t value)
{
    if (v->exits)
        return; /* it is begun anew */
    if (is_memory(v, at, size, true)) {
        touch(v, at, size, true);
        for (unsigned n = 0; n < size; n++)
            *byte_at(v, at + n, true) = (uint8_t)(value >> 8 * n);
    } else {
        leave_mmio(v, at, size, true);
        memcpy(v->run->mmio.data, &value, 8);
    }
}

uint64_t model_fetch(struct model_vcpu *v, unsigned size)
{
    uint64_t value = 0;

    for (unsigned n = 0; n < size; n++) {
        const uint8_t *byte = byte_at(v, model_linear_rip(v), false);

        value |= (uint64_t)(byte ? *byte : 0xff) << 8 * n;
        v->regs.rip = (uint16_t)(v->regs.rip + 1);
    }
    return value;
}

/* ---- registers and operands ---- */

static __u64 *gpr(struct model_vcpu *v, unsigned number)
{
    __u64 *const regs[] = { &v->regs.rax, &v->regs.rcx, &v->regs.rdx, &v->regs.rbx,
                            &v->regs.rsp, &v->regs.rbp, &v->regs.rsi, &v->regs.rdi };

    return regs[number & 7];
}

uint64_t model_get(struct model_vcpu *v, unsigned number, unsigned size)
{
    if (size == 1)
        return *gpr(v, number & 3) >> (number & 4 ? 8 : 0) & 0xff;
    return *gpr(v, number) & (size == 2 ? 0xffff : 0xffffffff);
}

void model_set(struct model_vcpu *v, unsigned number, unsigned size, uint64_t value)
{
    unsigned shift = size == 1 && number & 4 ? 8 : 0;
    uint64_t mask = (size == 1 ? 0xffULL : size == 2 ? 0xffffULL : ~0ULL) << shift;
    __u64 *reg = gpr(v, size == 1 ? number & 3 : number);

    if (v->exits)
        return;
    *reg = (*reg & ~mask) | (value << shift & mask & (size == 4 ? 0xffffffff : ~0ULL));
}

void model_push(struct model_vcpu *v, uint64_t value)
{
    model_set(v, 4, 2, model_get(v, 4, 2) - 2);
    model_store(v, v->sregs.ss.base + model_get(v, 4, 2), 2, value);
}

uint64_t model_pop(struct model_vcpu *v)
{
    uint64_t value = model_load(v, v->sregs.ss.base + model_get(v, 4, 2), 2);

    model_set(v, 4, 2, model_get(v, 4, 2) + 2);
    return value;
}

/* ---- events ---- */

bool model_leave_debug(struct model_vcpu *v, uint32_t exception, uint64_t dr6)
{
    v->run->exit_reason = KVM_EXIT_DEBUG;
    v->run->debug.arch = (struct kvm_debug_exit_arch){
        .exception = exception,
        .pc = model_linear_rip(v),
        .dr6 = dr6,
        .dr7 = v->debug.arch.debugreg[7],
    };
    return true;
}

/* True: there is no handler, and the guest shuts down. */
bool model_deliver(struct model_vcpu *v, unsigned vector)
{
    uint64_t at = v->sregs.idt.base + 4 * vector;

    if (4 * vector + 3 > v->sregs.idt.limit) {
        v->run->exit_reason = KVM_EXIT_SHUTDOWN;
        return true;
    }
    model_push(v, v->regs.rflags);
    model_push(v, v->sregs.cs.selector);
    model_push(v, v->regs.rip);
    v->regs.rflags &= ~(TF | IF);
    v->regs.rip = model_load(v, at, 2);
    v->sregs.cs.selector = (uint16_t)model_load(v, at + 2, 2);
    v->sregs.cs.base = (uint64_t)v->sregs.cs.selector << 4;
    v->touches = 0;
    return false;
}

bool model_raise_debug(struct model_vcpu *v, uint64_t dr6)
{
    if (v->debug.control & (KVM_GUESTDBG_SINGLESTEP | KVM_GUESTDBG_USE_HW_BP))
        return model_leave_debug(v, VECTOR_DB, DR6_FIXED | dr6);
    v->debugregs.dr6 = (v->debugregs.dr6 & ~DR6_TRAPS) | dr6;
    v->debugregs.dr7 &= ~DR7_GD;
    return model_deliver(v, VECTOR_DB);
}

/* Bits of DR6 for an access, by the breakpoints of the user or the guest: kvm_update_dr7().
 * `kinds`: a bit for each value of R/W. */
static uint64_t met(const struct model_vcpu *v, uint64_t at, unsigned size, unsigned kinds)
{
    static const unsigned lengths[] = { 1, 2, 8, 4 };
    bool host = v->debug.control & KVM_GUESTDBG_USE_HW_BP;
    const __u64 *dr = host ? v->debug.arch.debugreg : v->debugregs.db;
    uint64_t dr7 = host ? v->debug.arch.debugreg[7] : v->debugregs.dr7, bits = 0;

    for (unsigned n = 0; n < 4; n++) {
        unsigned kind = dr7 >> (16 + 4 * n) & 3, length = lengths[dr7 >> (18 + 4 * n) & 3];

        if (!(host && v->vm->no_points) && dr7 >> 2 * n & 3 && kinds >> kind & 1 &&
            dr[n] < at + size && at < dr[n] + length)
            bits |= 1ULL << n;
    }
    return bits;
}

/* ---- a step ---- */

/* INT3 that is handed back is delivered behind it: svm_update_soft_interrupt_rip(). */
static bool deliver_waiting(struct model_vcpu *v, bool *any)
{
    bool held = steps(v) && v->debug.control & KVM_GUESTDBG_BLOCKIRQ;
    unsigned vector = v->interrupt;

    *any = true;
    if (v->events.exception.injected) {
        v->events.exception.injected = 0;
        v->regs.rip += v->events.exception.nr == VECTOR_BP;
        return model_deliver(v, v->events.exception.nr);
    }
    *any = vector && v->regs.rflags & IF && !held;
    if (!*any)
        return false;
    v->interrupt = 0;
    return model_deliver(v, vector);
}

static bool leave_unknown(struct model_vcpu *v)
{
    v->run->exit_reason = KVM_EXIT_INTERNAL_ERROR;
    v->run->internal.suberror = KVM_INTERNAL_ERROR_EMULATION;
    return true;
}

/* Behind an instruction: what it has met, and the step. */
static bool trap(struct model_vcpu *v, bool traced)
{
    uint64_t dr6 = traced ? DR6_BS : 0;

    for (unsigned n = 0; n < v->touches; n++)
        dr6 |= met(v, v->touched[n], v->touched_size[n],
                   v->touched_write[n] ? 1 << 1 | 1 << 3 : 1 << 3);
    return dr6 && model_raise_debug(v, dr6);
}

static bool step(struct model_vcpu *v, bool again)
{
    struct kvm_regs before = v->regs;
    uint64_t dr6 = again ? 0 : met(v, model_linear_rip(v), 1, 1 << 0);

    if (dr6)
        return model_raise_debug(v, dr6);
    model_execute(v);
    if (v->unknown) {
        v->regs = before;
        return leave_unknown(v);
    }
    if (v->pending) {
        v->pending_rip = v->regs.rip;
        v->regs = before;
    }
    if (v->exits && v->run->exit_reason == KVM_EXIT_MMIO && !v->pending)
        v->regs.rflags &= ~TF; /* emulated: the flags that are set back are without it */
    return v->exits || (!v->faulted && trap(v, before.rflags & TF));
}

bool model_step(struct model_vcpu *v)
{
    bool delivered;

    v->exits = v->faulted = v->unknown = false;
    v->touches = 0;
    if (v->sregs.cr0 & 1)
        return leave_unknown(v);
    if (deliver_waiting(v, &delivered))
        return true;
    return !delivered && step(v, false);
}

bool model_complete(struct model_vcpu *v)
{
    enum model_pending what = v->pending;
    uint64_t value = 0;

    v->pending = MODEL_NOTHING;
    v->exits = v->faulted = v->unknown = false;
    v->touches = 0;
    if (what == MODEL_READ) {
        v->answered = true;
        return step(v, true);
    }
    if (what == MODEL_NOTHING)
        return false;
    if (what == MODEL_IN) {
        memcpy(&value, (uint8_t *)v->run + MODEL_PIO_OFFSET, v->run->io.size);
        model_set(v, 0, v->run->io.size, value);
    } else if (what == MODEL_RDMSR) {
        model_set(v, 0, 4, v->run->msr.data);
        model_set(v, 2, 4, v->run->msr.data >> 32);
    }
    v->regs.rip = v->pending_rip;
    return v->regs.rflags & TF && model_raise_debug(v, DR6_BS);
}
