/* Transfers to other code segments: far jumps and calls, and call gates. Returns are far_return.c,
 * task switches task.c.
 *
 * SDM vol. 3 chapter 5; vol. 2 for JMP and CALL. */
#include "cpu/soft/far_transfer.h"

enum { TYPE_CALL_GATE16 = 4, TYPE_TASK_GATE = 5, TYPE_CALL_GATE = 12 };

int check_target(struct soft_cpu *c, uint64_t desc, uint64_t rip)
{
    struct segment s;
    segment_from_descriptor(&s, 0, desc);
    if (long_mode(c) && s.attr & ATTR_L)
        return is_canonical(rip) ? 0 : raise_error(c, VEC_GP, 0);
    return rip <= s.limit ? 0 : raise_error(c, VEC_GP, 0);
}

int load_code_segment(struct soft_cpu *c, uint16_t sel, uint64_t desc, unsigned cpl, uint64_t rip)
{
    int st = check_target(c, desc, rip);
    if (st || (st = mark_accessed(c, sel, &desc)))
        return st;
    c->cpl = cpl;
    segment_from_descriptor(&c->seg[SEG_CS], (uint16_t)((sel & 0xfffc) | cpl), desc);
    c->rip = rip;
    update_mode(c);
    return X_JUMP;
}

/* A code segment that a direct far JMP or CALL may go to. */
static int check_direct(struct soft_cpu *c, uint16_t sel, uint64_t desc)
{
    unsigned a = desc_attr(desc), dpl = attr_dpl(a);
    bool ok = a & ATTR_CE ? dpl <= c->cpl : (sel & 3u) <= c->cpl && dpl == c->cpl;
    if (!ok || ((a & ATTR_L) && (a & ATTR_DB) && long_mode(c)))
        return raise_error(c, VEC_GP, sel & 0xfffc);
    return a & ATTR_P ? 0 : raise_error(c, VEC_NP, sel & 0xfffc);
}

struct gate {
    uint16_t sel;
    uint64_t offset;
    unsigned size;   /* of what a call pushes */
    unsigned params; /* words to copy */
    uint64_t desc;   /* of the code segment */
};

/* A call gate, for a far JMP or CALL. */
static int read_gate(struct soft_cpu *c, uint16_t sel, uint64_t desc, bool jump, struct gate *g)
{
    unsigned a = desc_attr(desc), type = a & ATTR_TYPE;
    bool gate64 = long_mode(c);
    if (!(type == TYPE_CALL_GATE || (type == TYPE_CALL_GATE16 && !gate64)))
        return raise_error(c, VEC_GP, sel & 0xfffc);
    if (attr_dpl(a) < c->cpl || attr_dpl(a) < (sel & 3u))
        return raise_error(c, VEC_GP, sel & 0xfffc);
    if (!(a & ATTR_P))
        return raise_error(c, VEC_NP, sel & 0xfffc);
    *g = (struct gate){ .sel = (uint16_t)(desc >> 16),
                        .offset = (desc & 0xffff) |
                                  (type == TYPE_CALL_GATE ? desc >> 32 & 0xffff0000 : 0),
                        .size = gate64                   ? 8
                                : type == TYPE_CALL_GATE ? 4
                                                         : 2,
                        .params = desc >> 32 & 31 };
    if (gate64) {
        uint64_t addr, high;
        if (descriptor_address(c, sel, 16, &addr))
            return raise_error(c, VEC_GP, sel & 0xfffc);
        int st = load_sys(c, addr + 8, 8, &high);
        if (st < 0)
            return st;
        if (high >> 40 & 31) /* of its upper half there is no type */
            return raise_error(c, VEC_GP, sel & 0xfffc);
        g->offset |= high << 32;
        g->params = 0;
    }
    if (!(g->sel & 0xfffc))
        return raise_error(c, VEC_GP, 0);
    int st = read_descriptor(c, g->sel, &g->desc, VEC_GP);
    if (st)
        return st;
    unsigned ca = desc_attr(g->desc);
    bool inner = attr_dpl(ca) < c->cpl && jump && !(ca & ATTR_CE);
    if (!(ca & ATTR_S) || !(ca & ATTR_CODE) || attr_dpl(ca) > c->cpl || inner ||
        (gate64 && (!(ca & ATTR_L) || ca & ATTR_DB)))
        return raise_error(c, VEC_GP, g->sel & 0xfffc);
    return ca & ATTR_P ? 0 : raise_error(c, VEC_NP, g->sel & 0xfffc);
}

/* A TSS, busy or not, or a task gate. */
static bool is_task(const struct soft_cpu *c, uint64_t desc)
{
    unsigned type = desc_attr(desc) & 31;
    return !long_mode(c) && (type == TYPE_TASK_GATE || (type & 0x15) == 1);
}

static int far_task(struct soft_cpu *c, uint16_t sel, uint64_t desc, enum task_by by, uint64_t next)
{
    unsigned a = desc_attr(desc);
    if (attr_dpl(a) < c->cpl || attr_dpl(a) < (sel & 3u))
        return raise_error(c, VEC_GP, sel & 0xfffc);
    if ((a & ATTR_TYPE) == TYPE_TASK_GATE) {
        if (!(a & ATTR_P))
            return raise_error(c, VEC_NP, sel & 0xfffc);
        sel = (uint16_t)(desc >> 16);
    }
    return task_switch(
        c, &(struct task_request){ .sel = sel, .by = by, .next = next, .flags = eflags_get(c) });
}

static int check_real(struct soft_cpu *c, uint64_t offset)
{
    return offset > c->seg[SEG_CS].limit ? raise_error(c, VEC_GP, 0) : 0;
}

int far_real(struct soft_cpu *c, uint16_t sel, uint64_t offset)
{
    if (check_real(c, offset))
        return X_FAULT;
    set_real_segment(c, SEG_CS, sel);
    c->rip = offset;
    return X_JUMP;
}

int far_jump(struct soft_cpu *c, uint16_t sel, uint64_t offset, uint64_t next)
{
    uint64_t desc;
    if (!protected_mode(c) || c->eflags & FLAG_VM)
        return far_real(c, sel, offset);
    if (!(sel & 0xfffc))
        return raise_error(c, VEC_GP, 0);
    int st = read_descriptor(c, sel, &desc, VEC_GP);
    if (st)
        return st;
    if (desc_attr(desc) & ATTR_S) {
        if (!(desc_attr(desc) & ATTR_CODE))
            return raise_error(c, VEC_GP, sel & 0xfffc);
        st = check_direct(c, sel, desc);
        return st ? st : load_code_segment(c, sel, desc, c->cpl, offset);
    }
    if (is_task(c, desc))
        return far_task(c, sel, desc, TASK_JUMP, next);
    struct gate g;
    if ((st = read_gate(c, sel, desc, true, &g)))
        return st;
    return load_code_segment(c, g.sel, g.desc, c->cpl, g.offset);
}

/* Write to a stack being switched to, which has the room: 0 or X_FAULT. Offsets wrap with the
 * stack's size. */
static int push_to(struct soft_cpu *c, const struct segment *ss, uint64_t *sp, unsigned size,
                   uint64_t v)
{
    uint64_t mask = long_mode(c) ? UINT64_MAX : ss->attr & ATTR_DB ? 0xffffffff : 0xffff;
    *sp = (*sp & ~mask) | ((*sp - size) & mask);
    uint64_t va = (*sp & mask) + (long_mode(c) ? 0 : ss->base);
    if (!long_mode(c))
        va = (uint32_t)va;
    int st = store_sys(c, va, size, v);
    return st < 0 ? st : 0;
}

static int call_inner(struct soft_cpu *c, const struct gate *g, uint64_t next)
{
    unsigned pl = attr_dpl(desc_attr(g->desc));
    struct segment old_ss = c->seg[SEG_SS], old_cs = c->seg[SEG_CS], new_ss;
    uint64_t old_sp = c->r[RSP], sp, params[32], desc = 0;
    unsigned old_cpl = c->cpl;
    bool flat = long_mode(c);
    uint16_t ss;
    int st = tss_stack(c, pl, &ss, &sp);
    if (st || (st = check_stack_segment(c, ss, pl, VEC_TS, flat, &desc)))
        return st;
    segment_from_descriptor(&new_ss, ss, desc);
    if ((st = check_stack_room(c, &new_ss, sp, flat, g->size, 4 + g->params, ss & 0xfffc)) ||
        (st = check_target(c, g->desc, g->offset)) ||
        (st = peek_stack(c, g->size, g->params, params)) ||
        (st = put_stack_segment(c, ss, pl, desc)))
        return st;
    st = push_to(c, &c->seg[SEG_SS], &sp, g->size, old_ss.sel);
    if (!st)
        st = push_to(c, &c->seg[SEG_SS], &sp, g->size, old_sp);
    for (unsigned n = g->params; n > 0 && !st; n--)
        st = push_to(c, &c->seg[SEG_SS], &sp, g->size, params[n - 1]);
    if (!st)
        st = push_to(c, &c->seg[SEG_SS], &sp, g->size, old_cs.sel);
    if (!st)
        st = push_to(c, &c->seg[SEG_SS], &sp, g->size, next);
    if (!st)
        st = load_code_segment(c, g->sel, g->desc, pl, g->offset);
    if (st != X_JUMP) {
        c->seg[SEG_SS] = old_ss;
        c->cpl = old_cpl;
        update_mode(c);
        return st;
    }
    c->r[RSP] = sp;
    return st;
}

int far_call(struct soft_cpu *c, uint16_t sel, uint64_t offset, unsigned size, uint64_t next)
{
    uint64_t desc, sp = c->r[RSP];
    int st;
    bool protect = protected_mode(c) && !(c->eflags & FLAG_VM);
    struct gate g = { .sel = sel, .offset = offset, .size = size };
    if (protect) {
        if (!(sel & 0xfffc))
            return raise_error(c, VEC_GP, 0);
        if ((st = read_descriptor(c, sel, &desc, VEC_GP)))
            return st;
        g.desc = desc;
        if (desc_attr(desc) & ATTR_S) {
            if (!(desc_attr(desc) & ATTR_CODE))
                return raise_error(c, VEC_GP, sel & 0xfffc);
            if ((st = check_direct(c, sel, desc)))
                return st;
        } else {
            if (is_task(c, desc))
                return far_task(c, sel, desc, TASK_CALL, next);
            if ((st = read_gate(c, sel, desc, false, &g)))
                return st;
            if (!(desc_attr(g.desc) & ATTR_CE) && attr_dpl(desc_attr(g.desc)) < c->cpl)
                return call_inner(c, &g, next);
        }
    }
    if ((st = check_stack_room(c, &c->seg[SEG_SS], sp, code64(c), g.size, 2, 0)) ||
        (st = protect ? check_target(c, g.desc, g.offset) : check_real(c, offset)))
        return st;
    if ((st = push(c, g.size, c->seg[SEG_CS].sel)) >= 0)
        st = push(c, g.size, next);
    if (st >= 0)
        st = protect ? load_code_segment(c, g.sel, g.desc, c->cpl, g.offset)
                     : far_real(c, sel, offset);
    if (st < 0)
        c->r[RSP] = sp;
    return st;
}
