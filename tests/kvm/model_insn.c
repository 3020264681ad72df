/* The instructions of a /dev/kvm that is a model: see model_kvm.h. Real mode; what is not among
 * them is KVM's own failure to emulate one. Of the flags there are ZF, TF, IF. */
#include "model_kvm.h"

#include <string.h>

#define ZF 0x40ULL
#define IF 0x200ULL

#define DR6_BD 0x2000ULL
#define DR7_GD 0x2000ULL

enum { VECTOR_BP = 3, VECTOR_UD = 6 };

static void set_zf(struct model_vcpu *v, uint64_t value, unsigned size)
{
    bool zero = !(value << (64 - 8 * size));

    v->regs.rflags = (v->regs.rflags & ~ZF) | (zero ? ZF : 0);
}

struct place {
    bool memory;
    unsigned reg, number;
    uint64_t at;
};

static struct place modrm(struct model_vcpu *v)
{
    uint8_t byte = (uint8_t)model_fetch(v, 1), mod = byte >> 6;
    struct place p = { .memory = mod != 3, .reg = byte >> 3 & 7, .number = byte & 7 };
    uint16_t offset = 0;

    if (!p.memory)
        return p;
    if (p.number == 6 && mod == 0)
        offset = (uint16_t)model_fetch(v, 2);
    else if (p.number == 7)
        offset = (uint16_t)v->regs.rbx;
    else
        v->unknown = true;
    if (mod)
        offset += mod == 1 ? (uint16_t)(int8_t)model_fetch(v, 1) : (uint16_t)model_fetch(v, 2);
    p.at = v->sregs.ds.base + offset;
    return p;
}

static uint64_t get_place(struct model_vcpu *v, const struct place *p, unsigned size)
{
    return p->memory ? model_load(v, p->at, size) : model_get(v, p->number, size);
}

static void set_place(struct model_vcpu *v, const struct place *p, unsigned size, uint64_t value)
{
    if (p->memory)
        model_store(v, p->at, size, value);
    else
        model_set(v, p->number, size, value);
}

/* ---- instructions, by families; false: not of this one ---- */

static bool is_move(struct model_vcpu *v, uint8_t op)
{
    unsigned size = op & 1 ? v->operand : 1;
    struct place p;

    if (op >= 0xb0 && op <= 0xbf) {
        size = op & 8 ? v->operand : 1;
        model_set(v, op & 7, size, model_fetch(v, size));
    } else if (op == 0xa0 || op == 0xa1) {
        model_set(v, 0, size, model_load(v, v->sregs.ds.base + model_fetch(v, 2), size));
    } else if (op == 0xa2 || op == 0xa3) {
        model_store(v, v->sregs.ds.base + model_fetch(v, 2), size, model_get(v, 0, size));
    } else if (op == 0xc6 || op == 0xc7) {
        p = modrm(v);
        set_place(v, &p, size, model_fetch(v, size));
    } else if (op == 0x88 || op == 0x89) {
        p = modrm(v);
        set_place(v, &p, size, model_get(v, p.reg, size));
    } else if (op == 0x8a || op == 0x8b) {
        p = modrm(v);
        model_set(v, p.reg, size, get_place(v, &p, size));
    } else if (op >= 0x50 && op <= 0x57) {
        model_push(v, model_get(v, op & 7, 2));
    } else if (op >= 0x58 && op <= 0x5f) {
        model_set(v, op & 7, 2, model_pop(v));
    } else {
        return op == 0x90;
    }
    return true;
}

/* ADD, OR, ADC, SBB, AND, SUB, XOR, CMP by number; there is no carry. */
static uint64_t compute(struct model_vcpu *v, unsigned what, uint64_t a, uint64_t b)
{
    v->unknown |= what == 2 || what == 3;
    return what == 0 ? a + b : what == 1 ? a | b : what == 4 ? a & b : what == 6 ? a ^ b : a - b;
}

enum { CMP = 7 };

/* With a register, or the constant behind it. */
static bool is_arithmetic(struct model_vcpu *v, uint8_t op)
{
    unsigned size = op & 1 ? v->operand : 1, what = op >> 3;
    bool group = op >= 0x80 && op <= 0x83, to_register = op & 2;
    struct place p = { .number = 0 };
    uint64_t value, other;

    if (!group && (op >= 0x40 || (op & 7) >= 6) && op != 0x84 && op != 0x85)
        return false;
    if (!group && op < 0x40 && op & 4) {
        value = compute(v, what, model_get(v, 0, size), model_fetch(v, size));
    } else {
        p = modrm(v);
        value = get_place(v, &p, size);
        if (group) {
            what = p.reg;
            other = op == 0x83 ? (uint64_t)(int8_t)model_fetch(v, 1) : model_fetch(v, size);
        } else {
            other = model_get(v, p.reg, size);
        }
        if (op == 0x84 || op == 0x85) {
            set_zf(v, value & other, size);
            return true;
        }
        value =
            to_register && !group ? compute(v, what, other, value) : compute(v, what, value, other);
    }
    set_zf(v, value, size);
    if (what == CMP)
        return true;
    if (to_register && !group)
        model_set(v, p.reg, size, value);
    else
        set_place(v, &p, size, value);
    return true;
}

/* By one, and calls of what is in a register or memory. */
static bool is_count(struct model_vcpu *v, uint8_t op)
{
    unsigned size = op & 1 || op < 0x80 ? v->operand : 1;
    struct place p = { .number = op & 7, .reg = op >> 3 & 1 };
    uint64_t value;

    if ((op < 0x40 || op > 0x4f) && op != 0xfe && op != 0xff)
        return false;
    if (op >= 0xfe)
        p = modrm(v);
    value = get_place(v, &p, size);
    if (p.reg < 2) {
        value += p.reg ? -1 : 1;
        set_place(v, &p, size, value);
        set_zf(v, value, size);
    } else if (op == 0xff && p.reg == 2) {
        model_push(v, v->regs.rip);
        v->regs.rip = value;
    } else {
        v->unknown = true;
    }
    return true;
}

static bool is_jump(struct model_vcpu *v, uint8_t op)
{
    int64_t by;

    if (op == 0xc3) {
        v->regs.rip = model_pop(v);
        return true;
    }
    if (op != 0x74 && op != 0x75 && op != 0xeb && op != 0xe2 && op != 0xe8 && op != 0xe9)
        return false;
    by = op == 0xe8 || op == 0xe9 ? (int16_t)model_fetch(v, 2) : (int8_t)model_fetch(v, 1);
    if (op == 0xe8)
        model_push(v, v->regs.rip);
    if (op == 0xe2)
        model_set(v, 1, 2, model_get(v, 1, 2) - 1);
    if ((op == 0x74 && !(v->regs.rflags & ZF)) || (op == 0x75 && v->regs.rflags & ZF) ||
        (op == 0xe2 && !model_get(v, 1, 2)))
        return true;
    v->regs.rip = (uint16_t)(v->regs.rip + by);
    return true;
}

static bool is_port(struct model_vcpu *v, uint8_t op)
{
    bool out = op & 2;
    uint32_t value = (uint32_t)v->regs.rax;

    if ((op & 0xf4) != 0xe4)
        return false;
    v->run->io.size = op & 1 ? (uint8_t)v->operand : 1;
    v->run->io.port = op & 8 ? (uint16_t)v->regs.rdx : (uint16_t)model_fetch(v, 1);
    v->run->io.direction = out ? KVM_EXIT_IO_OUT : KVM_EXIT_IO_IN;
    v->run->io.count = 1;
    v->run->io.data_offset = MODEL_PIO_OFFSET;
    if (out)
        memcpy((uint8_t *)v->run + MODEL_PIO_OFFSET, &value, v->run->io.size);
    v->run->exit_reason = KVM_EXIT_IO;
    v->exits = true;
    v->pending = out ? MODEL_OUT : MODEL_IN;
    return true;
}

static bool is_flag(struct model_vcpu *v, uint8_t op)
{
    __u64 *flags = &v->regs.rflags;

    if (op == 0xfa) {
        *flags &= ~IF;
    } else if (op == 0xfb) {
        *flags |= IF;
    } else if (op == 0x9c) {
        model_push(v, *flags);
    } else if (op == 0x9d) {
        *flags = model_pop(v) | 2;
    } else if (op == 0xcf) {
        v->regs.rip = model_pop(v);
        v->sregs.cs.selector = (uint16_t)model_pop(v);
        v->sregs.cs.base = (uint64_t)v->sregs.cs.selector << 4;
        *flags = model_pop(v) | 2;
    } else {
        return false;
    }
    return true;
}

static bool filtered(const struct model_vcpu *v, uint32_t index)
{
    const struct kvm_msr_filter *f = &v->vm->filter;

    for (unsigned n = 0; n < KVM_MSR_FILTER_MAX_RANGES; n++)
        if (index - f->ranges[n].base < f->ranges[n].nmsrs)
            return true;
    return f->flags & KVM_MSR_FILTER_DEFAULT_DENY;
}

static void access_msr(struct model_vcpu *v, bool write)
{
    uint32_t index = (uint32_t)v->regs.rcx;
    uint64_t value = (uint32_t)v->regs.rax | v->regs.rdx << 32;

    if (filtered(v, index)) {
        v->run->exit_reason = write ? KVM_EXIT_X86_WRMSR : KVM_EXIT_X86_RDMSR;
        v->run->msr.index = index;
        v->run->msr.reason = KVM_MSR_EXIT_REASON_FILTER;
        v->run->msr.data = value;
        v->exits = true;
        v->pending = write ? MODEL_WRMSR : MODEL_RDMSR;
    } else if (write) {
        *model_msr(v, index) = value;
    } else {
        model_set(v, 0, 4, *model_msr(v, index));
        model_set(v, 2, 4, *model_msr(v, index) >> 32);
    }
}

/* MOV from a debug register: handle_dr(). */
static void read_debug_register(struct model_vcpu *v)
{
    uint8_t byte = (uint8_t)model_fetch(v, 1);
    unsigned number = byte >> 3 & 7;

    if (!(v->debugregs.dr7 & DR7_GD)) {
        model_set(v, byte & 7, 4,
                  number < 4    ? v->debugregs.db[number]
                  : number == 6 ? v->debugregs.dr6
                                : v->debugregs.dr7);
        return;
    }
    v->regs.rip -= 3;
    v->faulted = true;
    v->exits = model_raise_debug(v, DR6_BD);
}

static void two_byte(struct model_vcpu *v)
{
    uint8_t op = (uint8_t)model_fetch(v, 1);
    struct place p;

    if (op == 0x30 || op == 0x32) {
        access_msr(v, op == 0x30);
    } else if (op == 0x21) {
        read_debug_register(v);
    } else if (op == 0x01) {
        p = modrm(v);
        v->unknown |= p.reg != 3;
        v->sregs.idt.limit = (uint16_t)model_load(v, p.at, 2);
        v->sregs.idt.base = model_load(v, p.at + 2, 4) & 0xffffff;
    } else if (op == 0x0b) {
        v->regs.rip -= 2;
        v->faulted = true;
        v->exits = model_deliver(v, VECTOR_UD);
    } else {
        v->unknown = true;
    }
}

void model_execute(struct model_vcpu *v)
{
    uint8_t op = (uint8_t)model_fetch(v, 1);

    v->operand = op == 0x66 ? 4 : 2;
    if (op == 0x66)
        op = (uint8_t)model_fetch(v, 1);
    if (is_move(v, op) || is_arithmetic(v, op) || is_count(v, op) || is_jump(v, op) ||
        is_port(v, op) || is_flag(v, op))
        return;
    if (op == 0x0f) {
        two_byte(v);
    } else if (op == 0xf4) {
        v->run->exit_reason = KVM_EXIT_HLT;
        v->exits = true;
    } else if (op == 0xf1) { /* a trap, with no bit in DR6 */
        v->faulted = true;
        v->exits = model_raise_debug(v, 0);
    } else if (op == 0xcc) {
        bool leaves = v->debug.control & KVM_GUESTDBG_USE_SW_BP && !v->vm->no_int3;
        v->faulted = true;
        v->regs.rip -= leaves;
        v->exits = leaves ? model_leave_debug(v, VECTOR_BP, 0) : model_deliver(v, VECTOR_BP);
    } else {
        v->unknown = true;
    }
}
