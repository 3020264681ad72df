/* Descriptor tables and questions about descriptors: LGDT, LLDT, LTR, LAR, LSL, VERR, VERW, ARPL.
 * SDM vol. 3 chapters 2 and 5. */
#include "cpu/soft/operand.h"
#include "cpu/soft/segment.h"

/* ---- descriptor tables ---- */

static int store_table(struct soft_cpu *c, const struct insn *i, uint64_t base, uint16_t limit)
{
    uint64_t va;
    if (need_umip(c))
        return X_FAULT;
    int st = ea(c, i, 2u + i->size, true, &va);
    if (st || (st = mmu_probe_write(c, va, 2u + i->size)) ||
        (st = mmu_probe_write(c, va + 2, i->size)))
        return st;
    st = store(c, va, 2, limit);
    return st < 0 ? st : store(c, va + 2, i->size, base) | st;
}

int op_sgdt(struct soft_cpu *c, const struct insn *i)
{
    return store_table(c, i, c->gdt.base, c->gdt.limit);
}

int op_sidt(struct soft_cpu *c, const struct insn *i)
{
    return store_table(c, i, c->idt.base, c->idt.limit);
}

static int load_table(struct soft_cpu *c, const struct insn *i, uint64_t *base, uint16_t *limit)
{
    uint64_t va, l, b;
    unsigned size = i->size == 8 ? 8 : 4;
    if (need_ring0(c))
        return X_FAULT;
    int st = ea(c, i, 2 + size, false, &va);
    if (st || (st = load(c, va, 2, &l)) < 0)
        return st;
    int st2 = load(c, va + 2, size, &b);
    if (st2 < 0)
        return st2;
    if (size == 8 && !is_canonical(b))
        return raise_error(c, VEC_GP, 0);
    *base = i->size == 2 ? b & 0xffffff : b; /* SDM vol. 2, LGDT */
    *limit = (uint16_t)l;
    return st | st2;
}

int op_lgdt(struct soft_cpu *c, const struct insn *i)
{
    return load_table(c, i, &c->gdt.base, &c->gdt.limit);
}

int op_lidt(struct soft_cpu *c, const struct insn *i)
{
    return load_table(c, i, &c->idt.base, &c->idt.limit);
}

static int need_protected(struct soft_cpu *c)
{
    return !protected_mode(c) || c->eflags & FLAG_VM ? raise_exception(c, VEC_UD) : 0;
}

/* The system descriptor of an LDT or TSS, 16 bytes in long mode. */
static int load_system_segment(struct soft_cpu *c, uint16_t sel, struct segment *s, unsigned want)
{
    uint64_t desc, high = 0, at;
    if (sel & 4 || descriptor_address(c, sel, long_mode(c) ? 16 : 8, &at))
        return raise_error(c, VEC_GP, sel & 0xfffc);
    int st = load_sys(c, at, 8, &desc);
    if (st < 0)
        return st;
    unsigned attr = desc >> 40 & 0xf0ff, type = attr & 31;
    bool ok = want == 2 ? type == 2 : type == 9 || (type == 1 && !long_mode(c));
    if (!ok)
        return raise_error(c, VEC_GP, sel & 0xfffc);
    if (!(attr & ATTR_P))
        return raise_error(c, VEC_NP, sel & 0xfffc);
    if (long_mode(c)) {
        if ((st = load_sys(c, at + 8, 8, &high)) < 0)
            return st;
        if (high >> 40 & 31) /* of its upper half there is no type */
            return raise_error(c, VEC_GP, sel & 0xfffc);
    }
    if (want != 2) {
        desc |= 2ULL << 40; /* busy */
        if ((st = store_sys(c, at + 5, 1, desc >> 40 & 0xff)) < 0)
            return st;
    }
    segment_from_descriptor(s, sel, desc);
    s->base |= high << 32;
    return 0;
}

int op_lldt(struct soft_cpu *c, const struct insn *i)
{
    uint64_t sel;
    int st;
    if (need_protected(c) || need_ring0(c) || (st = rm_load(c, i, 2, &sel)) < 0)
        return X_FAULT;
    if (sel & 0xfffc)
        return load_system_segment(c, (uint16_t)sel, &c->ldt, 2);
    c->ldt = (struct segment){ .sel = (uint16_t)sel };
    return st;
}

int op_ltr(struct soft_cpu *c, const struct insn *i)
{
    uint64_t sel;
    if (need_protected(c) || need_ring0(c) || rm_load(c, i, 2, &sel) < 0)
        return X_FAULT;
    if (!(sel & 0xfffc))
        return raise_error(c, VEC_GP, 0);
    return load_system_segment(c, (uint16_t)sel, &c->tr, 9);
}

int op_sldt(struct soft_cpu *c, const struct insn *i)
{
    return need_protected(c) || need_umip(c) ? X_FAULT : rm_store_word(c, i, c->ldt.sel);
}

int op_str(struct soft_cpu *c, const struct insn *i)
{
    return need_protected(c) || need_umip(c) ? X_FAULT : rm_store_word(c, i, c->tr.sel);
}

/* ---- questions about descriptors: LAR LSL VERR VERW ---- */

/* The descriptor, and whether `sel` is visible at this privilege. X_FAULT: the table is not there.
 */
static int visible_descriptor(struct soft_cpu *c, uint16_t sel, uint64_t *desc, bool *visible)
{
    uint64_t at;
    *visible = false;
    if (!(sel & 0xfffc) || descriptor_address(c, sel, 8, &at))
        return 0;
    int st = load_sys(c, at, 8, desc);
    if (st < 0)
        return st;
    unsigned a = desc_attr(*desc);
    bool conforming = (a & ATTR_S) && (a & ATTR_CODE) && (a & ATTR_CE);
    *visible = conforming || (attr_dpl(a) >= c->cpl && attr_dpl(a) >= (sel & 3u));
    return 0;
}

static int answer(struct soft_cpu *c, bool yes)
{
    uint32_t f = flags_get(c) & ~(uint32_t)FLAG_ZF;
    flags_set(c, yes ? f | FLAG_ZF : f);
    return 0;
}

/* The descriptor that the source operand of LAR or LSL names. *ok: it is visible, and code, data or
 * a system descriptor of a type whose bit is set: `legacy` outside of long mode, `in_long` within.
 */
static int inquire(struct soft_cpu *c, const struct insn *i, uint16_t legacy, uint16_t in_long,
                   uint64_t *desc, bool *ok)
{
    uint64_t sel = c->r[i->reg];
    int st = 0;
    if (need_protected(c))
        return X_FAULT;
    if (i->flags & INSN_MEM)
        st = mem_load(c, i, 2, &sel);
    if (st < 0 || visible_descriptor(c, (uint16_t)sel, desc, ok) < 0)
        return X_FAULT;
    if (*ok && !(*desc >> 44 & 1))
        *ok = (long_mode(c) ? in_long : legacy) >> (*desc >> 40 & 15) & 1;
    return st;
}

int op_lar(struct soft_cpu *c, const struct insn *i)
{
    uint64_t desc;
    bool ok;
    int st = inquire(c, i, 0x1a3e, 0x1a04, &desc, &ok);
    if (st < 0)
        return st;
    if (ok)
        reg_set(c, i->rm, i->size, desc >> 32 & 0x00f0ff00);
    return answer(c, ok) | st;
}

int op_lsl(struct soft_cpu *c, const struct insn *i)
{
    uint64_t desc;
    bool ok;
    int st = inquire(c, i, 0x0a0e, 0x0a04, &desc, &ok);
    if (st < 0)
        return st;
    if (ok) {
        struct segment s;
        segment_from_descriptor(&s, 0, desc);
        reg_set(c, i->rm, i->size, s.limit);
    }
    return answer(c, ok) | st;
}

static int verify(struct soft_cpu *c, const struct insn *i, bool write)
{
    uint64_t v, desc;
    if (need_protected(c))
        return X_FAULT;
    bool ok;
    int st = rm_load(c, i, 2, &v);
    if (st < 0 || visible_descriptor(c, (uint16_t)v, &desc, &ok) < 0)
        return X_FAULT;
    ok = ok && (desc >> 44 & 1);
    unsigned a = ok ? desc >> 40 & 0xff : 0;
    bool code = a & ATTR_CODE, rw = a & ATTR_RW;
    return answer(c, ok && (write ? !code && rw : !code || rw)) | st;
}

int op_verr(struct soft_cpu *c, const struct insn *i)
{
    return verify(c, i, false);
}

int op_verw(struct soft_cpu *c, const struct insn *i)
{
    return verify(c, i, true);
}

int op_arpl(struct soft_cpu *c, const struct insn *i)
{
    uint64_t d, va = 0;
    if (need_protected(c))
        return X_FAULT;
    int st = rm_load_rmw(c, i, 2, &d, &va);
    if (st < 0)
        return st;
    unsigned rpl = c->r[i->reg] & 3;
    bool raise = (d & 3) < rpl;
    answer(c, raise);
    return raise ? rm_store_rmw(c, i, 2, (d & ~3ULL) | rpl, va) | st : st;
}
