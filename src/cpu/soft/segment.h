/* Segments of the software CPU, and the transfers of control between them.
 *
 * Functions that return int give 0, or X_FAULT with c->exc set; what changes rip gives X_JUMP for
 * 0. The thread of the cpu. */
#pragma once

#include "cpu/soft/soft_cpu.h"

/* ---- segment.c ---- */

/* Recompute mode and ea_base from segments, efer, cr0 and cpl, and the rights. */
void update_mode(struct soft_cpu *c);
/* Recompute the rights of accesses to data and their TLB: cpl, EFLAGS.AC, CR0.AM or CR4.SMAP has
 * changed. */
void update_rights(struct soft_cpu *c);

/* Linear address of the descriptor that `sel` names. X_FAULT without an exception: it lies beyond
 * the table. */
int descriptor_address(struct soft_cpu *c, uint16_t sel, unsigned bytes, uint64_t *addr);
/* Read a descriptor by selector, or raise `vector`(selector). */
int read_descriptor(struct soft_cpu *c, uint16_t sel, uint64_t *desc, int vector);
/* Set the accessed bit of a code or data descriptor, as loading it does. */
int mark_accessed(struct soft_cpu *c, uint16_t sel, uint64_t *desc);
/* A descriptor's rights, in the layout of segment.attr. */
static inline unsigned desc_attr(uint64_t desc)
{
    return desc >> 40 & 0xf0ff;
}

void segment_from_descriptor(struct segment *s, uint16_t sel, uint64_t desc);
void segment_put_null(struct segment *s, uint16_t sel);
/* What a load in real or virtual-8086 mode makes of a segment register. */
void set_real_segment(struct soft_cpu *c, unsigned seg, uint16_t sel);
/* Load a data or stack segment register as MOV does. */
int load_segment(struct soft_cpu *c, unsigned seg, uint16_t sel);
/* May SS be loaded with `sel` for privilege level `cpl`? What is wrong with it raises `vector`;
 * `null_ok`: a null selector is good below ring 3. put_stack_segment() then loads it. */
int check_stack_segment(struct soft_cpu *c, uint16_t sel, unsigned cpl, int vector, bool null_ok,
                        uint64_t *desc);
int put_stack_segment(struct soft_cpu *c, uint16_t sel, unsigned cpl, uint64_t desc);

/* Are these bytes within the segment's limit? */
bool segment_holds(const struct segment *s, uint64_t off, unsigned size);
/* Is there room on stack `ss` at `sp` for `n` values of `size` bytes? #SS(error) if not. `flat`: it
 * is one of 64-bit mode. */
int check_stack_room(struct soft_cpu *c, const struct segment *ss, uint64_t sp, bool flat,
                     unsigned size, unsigned n, uint32_t error);
/* The logical-to-linear check of legacy modes: #GP or #SS. */
int segment_check(struct soft_cpu *c, unsigned seg, uint64_t off, unsigned size, bool write);
/* The part of RSP that is the stack pointer outside of 64-bit mode, and setting it. */
static inline uint64_t stack_mask(const struct soft_cpu *c)
{
    return c->mode & MODE_STACK32 ? 0xffffffff : 0xffff;
}

void set_sp(struct soft_cpu *c, uint64_t sp);

/* SS:RSP (and in long mode RSP only) for privilege level `pl` from the TSS. */
int tss_stack(struct soft_cpu *c, unsigned pl, uint16_t *ss, uint64_t *sp);
/* May the guest use these ports, by IOPL or the TSS's map? */
int check_io_permission(struct soft_cpu *c, uint16_t port, unsigned size);

static inline int need_ring0(struct soft_cpu *c)
{
    return c->cpl ? raise_error(c, VEC_GP, 0) : 0;
}

/* The flag that stands for IF here: IF; VIF in virtual-8086 mode with CR4.VME, and in ring 3 with
 * CR4.PVI; 0 where IOPL and those deny it (SDM vol. 3 20.3 and 20.4). */
static inline uint64_t interrupt_flag(const struct soft_cpu *c)
{
    if (!protected_mode(c) || c->cpl <= (c->eflags >> 12 & 3))
        return FLAG_IF;
    if (c->eflags & FLAG_VM)
        return c->cr4 & CR4_VME ? FLAG_VIF : 0;
    return c->cpl == 3 && (c->cr4 & CR4_PVI) ? FLAG_VIF : 0;
}

/* PUSHF, POPF and IRET with `size` in virtual-8086 mode below IOPL 3: does CR4.VME allow them? */
static inline bool v86_extended(const struct soft_cpu *c, unsigned size)
{
    return (c->cr4 & CR4_VME) && size == 2;
}

/* The image of the flags that they push then: VIF stands for IF. */
static inline uint64_t v86_flags(uint64_t flags)
{
    return (flags & ~(uint64_t)FLAG_IF) | FLAG_IOPL | (flags & FLAG_VIF ? FLAG_IF : 0);
}

/* Instructions that CR4.UMIP keeps from user programs. */
static inline int need_umip(struct soft_cpu *c)
{
    return c->cpl && (c->cr4 & CR4_UMIP) ? raise_error(c, VEC_GP, 0) : 0;
}

/* ---- far_transfer.c, far_return.c ---- */

/* `next` is what follows the instruction: where a call returns to, and where a task that is left
 * goes on. */
int far_jump(struct soft_cpu *c, uint16_t sel, uint64_t offset, uint64_t next);
/* A call pushes values of `size` bytes. */
int far_call(struct soft_cpu *c, uint16_t sel, uint64_t offset, unsigned size, uint64_t next);
/* RET, which then drops `release` bytes. */
int far_return(struct soft_cpu *c, unsigned size, unsigned release);
/* IRET. */
int interrupt_return(struct soft_cpu *c, unsigned size, uint64_t next);
/* POPF. X_BREAK for 0. */
int pop_flags(struct soft_cpu *c, unsigned size);

/* ---- task.c ---- */

enum task_by { TASK_JUMP, TASK_CALL, TASK_INTERRUPT, TASK_RETURN };
struct task_request {
    uint16_t sel; /* of a TSS */
    enum task_by by;
    uint64_t next, flags; /* what the old task is saved with */
    bool has_error;       /* the new task gets an error code */
    uint32_t error;
};
/* X_JUMP; X_FAULT in the old task; or X_FAULT_AFTER: in the new one. */
int task_switch(struct soft_cpu *c, const struct task_request *q);
/* IRET with NT set. */
int task_return(struct soft_cpu *c, uint64_t next);
