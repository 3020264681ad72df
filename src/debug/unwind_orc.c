/* One step by ORC. */
#include "debug/unwind_internal.h"

/* struct pt_regs of x86-64 Linux (arch/x86/include/asm/ptrace.h), by its 8-byte slots; an interrupt
 * pushes the last five. */
enum { PT_IP = 16, PT_CS = 17, PT_SP = 19, PT_SLOTS = 21 };

static const uint8_t pt_regs[] = {
    UNWIND_R15, UNWIND_R14, UNWIND_R13, UNWIND_R12, UNWIND_RBP, UNWIND_RBX, UNWIND_R11, UNWIND_R10,
    UNWIND_R9,  UNWIND_R8,  UNWIND_RAX, UNWIND_RCX, UNWIND_RDX, UNWIND_RSI, UNWIND_RDI,
};

/* The stack pointer before the call or interrupt. */
static enum unwind_step previous_sp(const struct unwind_config *c, const struct unwind_frame *f,
                                    const struct orc_entry *e, uint64_t *sp)
{
    static const uint8_t registers[16] = {
        [ORC_REG_DX] = UNWIND_RDX,          [ORC_REG_DI] = UNWIND_RDI,
        [ORC_REG_BP] = UNWIND_RBP,          [ORC_REG_SP] = UNWIND_RSP,
        [ORC_REG_R10] = UNWIND_R10,         [ORC_REG_R13] = UNWIND_R13,
        [ORC_REG_BP_INDIRECT] = UNWIND_RBP, [ORC_REG_SP_INDIRECT] = UNWIND_RSP,
    };
    unsigned reg = registers[e->sp_reg]; /* 0 is RAX, which no entry uses */
    if (reg == UNWIND_RAX || !unwind_knows(&f->regs, reg))
        return UNWIND_STEP_LOST;
    *sp = f->regs.r[reg];
    if (e->sp_reg == ORC_REG_SP_INDIRECT) {
        if (!guest_read_u64(&c->mem, *sp, sp))
            return UNWIND_STEP_MEMORY;
        *sp += e->sp_offset;
        return UNWIND_STEP_OK;
    }
    *sp += e->sp_offset;
    if (e->sp_reg == ORC_REG_BP_INDIRECT && !guest_read_u64(&c->mem, *sp, sp))
        return UNWIND_STEP_MEMORY;
    return UNWIND_STEP_OK;
}

static enum unwind_step previous_bp(const struct unwind_config *c, const struct unwind_frame *f,
                                    const struct orc_entry *e, uint64_t sp,
                                    struct unwind_regs *next)
{
    uint64_t at, value;
    if (e->bp_reg == ORC_REG_UNDEFINED) {
        if (unwind_knows(&f->regs, UNWIND_RBP))
            unwind_set(next, UNWIND_RBP, f->regs.r[UNWIND_RBP]);
        return UNWIND_STEP_OK;
    }
    if (e->bp_reg == ORC_REG_PREV_SP)
        at = sp + e->bp_offset;
    else if (e->bp_reg == ORC_REG_BP && unwind_knows(&f->regs, UNWIND_RBP))
        at = f->regs.r[UNWIND_RBP] + e->bp_offset;
    else
        return UNWIND_STEP_LOST;
    if (!guest_read_u64(&c->mem, at, &value))
        return UNWIND_STEP_MEMORY;
    unwind_set(next, UNWIND_RBP, value);
    return UNWIND_STEP_OK;
}

/* The frame that was interrupted, from struct pt_regs at `at` (or from its end, what the processor
 * itself pushed). */
static enum unwind_step from_pt_regs(const struct unwind_config *c, uint64_t at, bool partial,
                                     struct unwind_frame *next)
{
    uint64_t slots[PT_SLOTS];
    unsigned first = partial ? PT_IP : 0;
    if (!guest_read(&c->mem, at, slots + first, (PT_SLOTS - first) * sizeof *slots))
        return UNWIND_STEP_MEMORY;
    for (unsigned i = 0; !partial && i < sizeof pt_regs; i++)
        unwind_set(&next->regs, pt_regs[i], slots[i]);
    unwind_set(&next->regs, UNWIND_RIP, slots[PT_IP]);
    unwind_set(&next->regs, UNWIND_RSP, slots[PT_SP]);
    return slots[PT_CS] & 3 ? UNWIND_STEP_USER : UNWIND_STEP_OK;
}

static enum unwind_step from_call(const struct unwind_config *c, const struct unwind_frame *f,
                                  const struct orc_entry *e, uint64_t sp, struct unwind_frame *next)
{
    uint64_t rip;
    if (!guest_read_u64(&c->mem, sp - 8, &rip))
        return UNWIND_STEP_MEMORY;
    /* On one stack the callers are always further up. */
    if (e->sp_reg == ORC_REG_SP && sp <= f->regs.r[UNWIND_RSP])
        return UNWIND_STEP_LOST;
    unwind_set(&next->regs, UNWIND_RIP, rip);
    unwind_set(&next->regs, UNWIND_RSP, sp);
    return UNWIND_STEP_OK;
}

enum unwind_step unwind_step_orc(const struct unwind_config *c, const struct unwind_frame *f,
                                 const struct orc_entry *e, struct unwind_frame *next)
{
    uint64_t sp;
    if (e->type == ORC_BOTTOM)
        return UNWIND_STEP_BOTTOM;
    if (e->type == ORC_UNKNOWN)
        return UNWIND_STEP_LOST;
    enum unwind_step step = previous_sp(c, f, e, &sp);
    if (step != UNWIND_STEP_OK)
        return step;
    next->method = UNWIND_BY_ORC;
    next->exact = e->signal;
    step = e->type == ORC_CALL ? from_call(c, f, e, sp, next)
                               : from_pt_regs(c, sp, e->type == ORC_REGS_PARTIAL, next);
    if (step != UNWIND_STEP_OK || unwind_knows(&next->regs, UNWIND_RBP))
        return step;
    return previous_bp(c, f, e, sp, &next->regs);
}
