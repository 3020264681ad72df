/* Returns to other code segments: RET far and IRET; and POPF, whose rule of which flags may change
 * is IRET's. IRET out of nested tasks is task.c.
 *
 * SDM vol. 3 chapters 5 and 6; vol. 2 for RET, IRET and POPF. */
#include "cpu/soft/far_transfer.h"

int peek_stack(struct soft_cpu *c, unsigned size, unsigned n, uint64_t *v)
{
    for (unsigned k = 0; k < n; k++) {
        uint64_t off = c->r[RSP] + k * size, va = off;
        if (!code64(c)) {
            off &= stack_mask(c);
            va = (uint32_t)(off + c->seg[SEG_SS].base);
            int st = segment_check(c, SEG_SS, off, size, false);
            if (st)
                return st;
        }
        int st = load(c, va, size, &v[k]);
        if (st < 0)
            return code64(c) ? raise_stack_fault(c) : st;
    }
    return 0;
}

/* Returning outward, data segments that the outer level may not use become null. */
static void drop_inner_segments(struct soft_cpu *c)
{
    static const uint8_t data[] = { SEG_ES, SEG_DS, SEG_FS, SEG_GS };
    for (unsigned n = 0; n < ARRAY_LEN(data); n++) {
        struct segment *s = &c->seg[data[n]];
        bool conforming = (s->attr & ATTR_CODE) && (s->attr & ATTR_CE);
        if ((s->attr & ATTR_S) && !conforming && attr_dpl(s->attr) < c->cpl)
            segment_put_null(s, 0);
    }
    update_mode(c);
}

/* The code segment that RET far or IRET returns to. */
static int check_return(struct soft_cpu *c, uint16_t sel, uint64_t *desc)
{
    if (!(sel & 0xfffc))
        return raise_error(c, VEC_GP, 0);
    int st = read_descriptor(c, sel, desc, VEC_GP);
    if (st)
        return st;
    unsigned a = desc_attr(*desc), rpl = sel & 3;
    bool code = (a & ATTR_S) && (a & ATTR_CODE);
    bool level = a & ATTR_CE ? attr_dpl(a) <= rpl : attr_dpl(a) == rpl;
    if (!code || rpl < c->cpl || !level || ((a & ATTR_L) && (a & ATTR_DB) && long_mode(c)))
        return raise_error(c, VEC_GP, sel & 0xfffc);
    return a & ATTR_P ? 0 : raise_error(c, VEC_NP, sel & 0xfffc);
}

/* Load SS of what is returned to, code segment `desc` at `rip`: the stack is looked at first. */
static int return_stack(struct soft_cpu *c, uint16_t sel, unsigned cpl, uint64_t desc, uint64_t rip)
{
    uint64_t ss_desc = 0;
    bool null_ok = long_mode(c) && desc_attr(desc) & ATTR_L;
    int st = check_stack_segment(c, sel, cpl, VEC_GP, null_ok, &ss_desc);
    if (st || (st = check_target(c, desc, rip)))
        return st;
    return put_stack_segment(c, sel, cpl, ss_desc);
}

static void drop_stack(struct soft_cpu *c, uint64_t bytes)
{
    if (code64(c))
        c->r[RSP] += bytes;
    else
        set_sp(c, c->r[RSP] + bytes);
}

/* Give RSP the value popped with SS; the new stack's size says how much of it counts. */
static void set_outer_sp(struct soft_cpu *c, uint64_t sp, unsigned size)
{
    if (size == 8 || (c->seg[SEG_SS].attr & ATTR_DB))
        c->r[RSP] = sp;
    else
        c->r[RSP] = (c->r[RSP] & ~0xffffULL) | (sp & 0xffff);
}

int far_return(struct soft_cpu *c, unsigned size, unsigned release)
{
    uint64_t v[4], desc;
    int st = peek_stack(c, size, 2, v);
    if (st)
        return st;
    uint16_t sel = (uint16_t)v[1];
    if (!protected_mode(c) || c->eflags & FLAG_VM) {
        st = far_real(c, sel, v[0]);
        if (st == X_JUMP)
            drop_stack(c, 2 * size + release);
        return st;
    }
    if ((st = check_return(c, sel, &desc)))
        return st;
    unsigned rpl = sel & 3, old_cpl = c->cpl;
    if (rpl == c->cpl) {
        struct segment cs = c->seg[SEG_CS];
        uint64_t rsp = c->r[RSP];
        drop_stack(c, 2 * size + release);
        st = load_code_segment(c, sel, desc, rpl, v[0]);
        if (st != X_JUMP) {
            c->r[RSP] = rsp;
            c->seg[SEG_CS] = cs;
        }
        return st;
    }
    uint64_t rsp = c->r[RSP];
    c->r[RSP] += 2 * size + release;
    st = peek_stack(c, size, 2, v + 2);
    c->r[RSP] = rsp;
    struct segment old_ss = c->seg[SEG_SS];
    if (st || (st = return_stack(c, (uint16_t)v[3], rpl, desc, v[0])))
        return st;
    st = load_code_segment(c, sel, desc, rpl, v[0]);
    if (st != X_JUMP) {
        c->seg[SEG_SS] = old_ss;
        c->cpl = old_cpl;
        update_mode(c);
        return st;
    }
    set_outer_sp(c, v[2] + release, size);
    drop_inner_segments(c);
    return st;
}

/* Which flags IRET and POPF may change at privilege `cpl`. */
static uint64_t writable_flags(const struct soft_cpu *c, unsigned cpl, unsigned size)
{
    uint64_t m = FLAGS_ARITH | FLAG_TF | FLAG_DF | FLAG_NT;
    if (size > 2)
        m |= FLAG_RF | FLAG_AC | FLAG_ID;
    if (cpl <= (c->eflags >> 12 & 3))
        m |= FLAG_IF;
    if (cpl == 0)
        m |= FLAG_IOPL | (size > 2 ? FLAG_VIF | FLAG_VIP : 0);
    return m;
}

static void load_flags(struct soft_cpu *c, uint64_t v, uint64_t mask)
{
    eflags_set(c, (eflags_get(c) & ~mask) | (v & mask));
    update_rights(c);
    soft_recheck(c);
}

/* Flags that POPF and IRET take in virtual-8086 mode below IOPL 3: 0 or X_FAULT. */
static int load_v86_flags(struct soft_cpu *c, uint64_t v)
{
    if ((v & FLAG_TF) || ((v & FLAG_IF) && (c->eflags & FLAG_VIP)))
        return raise_error(c, VEC_GP, 0);
    load_flags(c, v | (v & FLAG_IF ? FLAG_VIF : 0),
               FLAGS_ARITH | FLAG_TF | FLAG_DF | FLAG_NT | FLAG_VIF);
    return 0;
}

static int iret_to_v86(struct soft_cpu *c, const uint64_t v[3])
{
    uint64_t rest[6];
    uint64_t rsp = c->r[RSP];
    c->r[RSP] += 12;
    int st = peek_stack(c, 4, 6, rest);
    c->r[RSP] = rsp;
    if (st)
        return st;
    eflags_set(c, v[2] & 0x3f7fd7);
    c->cpl = 3;
    static const uint8_t order[] = { SEG_ES, SEG_DS, SEG_FS, SEG_GS };
    for (unsigned n = 0; n < 4; n++)
        set_real_segment(c, order[n], (uint16_t)rest[2 + n]);
    set_real_segment(c, SEG_SS, (uint16_t)rest[1]);
    set_real_segment(c, SEG_CS, (uint16_t)v[1]);
    c->r[RSP] = (uint32_t)rest[0];
    c->rip = (uint16_t)v[0];
    soft_recheck(c);
    return X_JUMP;
}

static int iret_real(struct soft_cpu *c, unsigned size, const uint64_t v[3])
{
    bool v86 = c->eflags & FLAG_VM, extended = v86 && (c->eflags & FLAG_IOPL) != FLAG_IOPL;
    uint64_t sp = c->r[RSP], old = eflags_get(c);
    if (extended) {
        if (!v86_extended(c, size))
            return raise_error(c, VEC_GP, 0);
        if (load_v86_flags(c, v[2]))
            return X_FAULT;
    }
    drop_stack(c, 3 * size);
    int st = far_real(c, (uint16_t)v[1], v[0] & bits_mask(8 * size));
    if (st != X_JUMP) {
        c->r[RSP] = sp;
        eflags_set(c, old);
        return st;
    }
    if (!extended)
        load_flags(c, v[2], (size == 2 ? 0x7fd5 : 0x257fd5) & ~(uint64_t)(v86 ? FLAG_IOPL : 0));
    return st;
}

int interrupt_return(struct soft_cpu *c, unsigned size, uint64_t next)
{
    uint64_t v[5], desc;
    bool real = !protected_mode(c) || c->eflags & FLAG_VM;
    if (!real && (c->eflags & FLAG_NT))
        return long_mode(c) ? raise_error(c, VEC_GP, 0) : task_return(c, next);
    int st = peek_stack(c, size, 3, v);
    if (st)
        return st;
    if (real)
        return iret_real(c, size, v);
    if (!long_mode(c) && size == 4 && (v[2] & FLAG_VM) && c->cpl == 0)
        return iret_to_v86(c, v);
    uint16_t sel = (uint16_t)v[1];
    if ((st = check_return(c, sel, &desc)))
        return st;
    unsigned rpl = sel & 3, old_cpl = c->cpl;
    bool outer = rpl != c->cpl || code64(c);
    struct segment old_ss = c->seg[SEG_SS];
    uint64_t mask = writable_flags(c, c->cpl, size);
    if (outer) {
        if ((st = peek_stack(c, size, 5, v)) ||
            (st = return_stack(c, (uint16_t)v[4], rpl, desc, v[0])))
            return st;
    }
    bool was64 = code64(c);
    uint64_t rsp = c->r[RSP];
    if (!outer)
        drop_stack(c, 3 * size);
    st = load_code_segment(c, sel, desc, rpl, v[0]);
    if (st != X_JUMP) {
        c->seg[SEG_SS] = old_ss;
        c->r[RSP] = rsp;
        c->cpl = old_cpl;
        update_mode(c);
        return st;
    }
    if (outer)
        set_outer_sp(c, v[3], was64 ? 8 : size);
    load_flags(c, v[2], mask);
    if (rpl > old_cpl)
        drop_inner_segments(c);
    return X_JUMP;
}

int pop_flags(struct soft_cpu *c, unsigned size)
{
    uint64_t v, sp = c->r[RSP];
    bool extended = (c->eflags & FLAG_VM) && (c->eflags & FLAG_IOPL) != FLAG_IOPL;
    if (extended && !v86_extended(c, size))
        return raise_error(c, VEC_GP, 0);
    int st = pop(c, size, &v);
    if (st < 0)
        return st;
    if (extended) {
        if (!load_v86_flags(c, v))
            return X_BREAK;
        c->r[RSP] = sp;
        return X_FAULT;
    }
    uint64_t mask = writable_flags(c, c->eflags & FLAG_VM ? 3 : c->cpl, size) &
                    ~(uint64_t)(FLAG_RF | FLAG_VIF | FLAG_VIP);
    load_flags(c, v, mask);
    return X_BREAK;
}
