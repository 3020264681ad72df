/* Segmentation: descriptors, segment loads, limits, and what the task state segment is read for.
 *
 * SDM vol. 3 chapters 3, 5 and 8. Transfers between code segments are far_transfer.c
 * and far_return.c. */
#include "cpu/soft/operand.h"
#include "cpu/soft/segment.h"

/* ---- derived state ---- */

void update_rights(struct soft_cpu *c)
{
    bool open = (c->eflags & FLAG_AC) && (c->cr4 & CR4_SMAP);
    c->rights = c->cpl == 3 ? RIGHTS_USER : open ? RIGHTS_OPEN : RIGHTS_SYSTEM;
    c->aligned = c->cpl == 3 && (c->eflags & FLAG_AC) && (c->cr0 & CR0_AM);
    c->tlb = UNLIKELY(c->aligned) ? (struct tlb_entry *)mmu_no_tlb : c->tlbs[c->rights];
}

void update_mode(struct soft_cpu *c)
{
    uint32_t mode = 0;
    if (long_mode(c) && c->seg[SEG_CS].attr & ATTR_L)
        mode |= MODE_CODE64;
    else if (c->seg[SEG_CS].attr & ATTR_DB)
        mode |= MODE_CODE32;
    if (c->seg[SEG_SS].attr & ATTR_DB)
        mode |= MODE_STACK32;
    if (c->cpl == 3)
        mode |= MODE_USER;
    c->mode = mode;
    update_rights(c);
    for (unsigned s = 0; s < SEG_COUNT; s++)
        c->ea_base[s] = (mode & MODE_CODE64) && s != SEG_FS && s != SEG_GS ? 0 : c->seg[s].base;
}

/* ---- descriptors ---- */

void segment_from_descriptor(struct segment *s, uint16_t sel, uint64_t desc)
{
    uint32_t lo = (uint32_t)desc, hi = (uint32_t)(desc >> 32);
    s->sel = sel;
    s->attr = (uint16_t)(hi >> 8 & 0xf0ff);
    s->base = (lo >> 16) | (hi & 0xff) << 16 | (hi & 0xff000000);
    s->limit = (lo & 0xffff) | (hi & 0x000f0000);
    if (s->attr & ATTR_G)
        s->limit = s->limit << 12 | 0xfff;
}

int descriptor_address(struct soft_cpu *c, uint16_t sel, unsigned bytes, uint64_t *addr)
{
    uint64_t base = c->gdt.base;
    uint32_t limit = c->gdt.limit;
    if (sel & 4) {
        if (!(c->ldt.attr & ATTR_P))
            return X_FAULT;
        base = c->ldt.base;
        limit = c->ldt.limit;
    }
    unsigned off = sel & 0xfff8;
    if (off + bytes - 1 > limit)
        return X_FAULT;
    *addr = base + off;
    return 0;
}

int read_descriptor(struct soft_cpu *c, uint16_t sel, uint64_t *desc, int vector)
{
    uint64_t addr;
    if (descriptor_address(c, sel, 8, &addr))
        return raise_error(c, vector, sel & 0xfffc);
    int st = load_sys(c, addr, 8, desc);
    return st < 0 ? st : 0;
}

int mark_accessed(struct soft_cpu *c, uint16_t sel, uint64_t *desc)
{
    uint64_t addr;
    if (*desc & 1ULL << 40 || descriptor_address(c, sel, 8, &addr))
        return 0;
    *desc |= 1ULL << 40;
    int st = store_sys(c, addr + 5, 1, *desc >> 40 & 0xff);
    return st < 0 ? st : 0;
}

void segment_put_null(struct segment *s, uint16_t sel)
{
    *s = (struct segment){ .sel = sel };
}

void set_real_segment(struct soft_cpu *c, unsigned seg, uint16_t sel)
{
    struct segment *s = &c->seg[seg];
    s->sel = sel;
    s->base = (uint64_t)sel << 4;
    if (c->eflags & FLAG_VM) {
        s->limit = 0xffff;
        s->attr = ATTR_P | ATTR_S | 3 << ATTR_DPL_SHIFT | ATTR_RW | ATTR_ACCESSED;
    } else {
        /* The limit stays, which is what unreal mode lives on. CS becomes writable data to all
         * appearance. */
        s->attr = (uint16_t)((s->attr & (ATTR_DB | ATTR_G)) | ATTR_P | ATTR_S | ATTR_RW |
                             ATTR_ACCESSED | (seg == SEG_CS ? ATTR_CODE : 0));
        if (seg == SEG_CS)
            s->attr &= (uint16_t)~ATTR_DB;
    }
    update_mode(c);
}

int check_stack_segment(struct soft_cpu *c, uint16_t sel, unsigned cpl, int vector, bool null_ok,
                        uint64_t *desc)
{
    if (!(sel & 0xfffc))
        return null_ok && cpl != 3 && (sel & 3) == cpl ? 0 : raise_error(c, vector, 0);
    int st = read_descriptor(c, sel, desc, vector);
    if (st)
        return st;
    unsigned a = desc_attr(*desc);
    bool writable_data = (a & ATTR_S) && !(a & ATTR_CODE) && (a & ATTR_RW);
    if (!writable_data || (sel & 3) != cpl || attr_dpl(a) != cpl)
        return raise_error(c, vector, sel & 0xfffc);
    return a & ATTR_P ? 0 : raise_error(c, VEC_SS, sel & 0xfffc);
}

int put_stack_segment(struct soft_cpu *c, uint16_t sel, unsigned cpl, uint64_t desc)
{
    if (!(sel & 0xfffc)) {
        c->seg[SEG_SS] = (struct segment){ .sel = sel, .attr = (uint16_t)(cpl << ATTR_DPL_SHIFT) };
        return 0;
    }
    int st = mark_accessed(c, sel, &desc);
    if (!st)
        segment_from_descriptor(&c->seg[SEG_SS], sel, desc);
    return st;
}

static int load_data_segment(struct soft_cpu *c, unsigned seg, uint16_t sel)
{
    uint64_t desc;
    if (!(sel & 0xfffc)) {
        uint64_t base = long_mode(c) ? c->seg[seg].base : 0;
        segment_put_null(&c->seg[seg], sel);
        c->seg[seg].base = seg >= SEG_FS ? base : 0; /* kept by a null load on Intel's */
        return 0;
    }
    int st = read_descriptor(c, sel, &desc, VEC_GP);
    if (st)
        return st;
    unsigned a = desc_attr(desc), rpl = sel & 3;
    bool readable = (a & ATTR_S) && (!(a & ATTR_CODE) || (a & ATTR_RW));
    bool conforming = (a & ATTR_CODE) && (a & ATTR_CE);
    if (!readable || (!conforming && (rpl > attr_dpl(a) || c->cpl > attr_dpl(a))))
        return raise_error(c, VEC_GP, sel & 0xfffc);
    if (!(a & ATTR_P))
        return raise_error(c, VEC_NP, sel & 0xfffc);
    st = mark_accessed(c, sel, &desc);
    if (!st)
        segment_from_descriptor(&c->seg[seg], sel, desc);
    return st;
}

int load_segment(struct soft_cpu *c, unsigned seg, uint16_t sel)
{
    int st = 0;
    uint64_t desc = 0;
    if (!protected_mode(c) || c->eflags & FLAG_VM)
        set_real_segment(c, seg, sel);
    else if (seg != SEG_SS)
        st = load_data_segment(c, seg, sel);
    else if (!(st = check_stack_segment(c, sel, c->cpl, VEC_GP, code64(c), &desc)))
        st = put_stack_segment(c, sel, c->cpl, desc);
    update_mode(c);
    return st;
}

/* ---- logical to linear ---- */

bool segment_holds(const struct segment *s, uint64_t off, unsigned size)
{
    uint64_t last = off + size - 1;
    if ((s->attr & ATTR_CODE) || !(s->attr & ATTR_CE))
        return last <= s->limit;
    return off > s->limit && last <= (s->attr & ATTR_DB ? 0xffffffff : 0xffff);
}

int check_stack_room(struct soft_cpu *c, const struct segment *ss, uint64_t sp, bool flat,
                     unsigned size, unsigned n, uint32_t error)
{
    uint64_t mask = ss->attr & ATTR_DB ? 0xffffffff : 0xffff;
    for (unsigned k = 1; k <= n; k++) {
        uint64_t at = sp - k * size;
        if (flat ? !is_canonical(at) : !segment_holds(ss, at & mask, size))
            return raise_error(c, VEC_SS, error);
    }
    return 0;
}

int segment_check(struct soft_cpu *c, unsigned seg, uint64_t off, unsigned size, bool write)
{
    const struct segment *s = &c->seg[seg];
    int vector = seg == SEG_SS ? VEC_SS : VEC_GP;
    unsigned a = s->attr;
    if (!(a & ATTR_P))
        return raise_error(c, vector, 0);
    if (write && ((a & ATTR_CODE) || !(a & ATTR_RW)) && protected_mode(c))
        return raise_error(c, vector, 0);
    if (!write && (a & ATTR_CODE) && !(a & ATTR_RW) && protected_mode(c))
        return raise_error(c, vector, 0);
    return segment_holds(s, off, size) ? 0 : raise_error(c, vector, 0);
}

int ea_at(struct soft_cpu *c, const struct insn *i, uint64_t off, unsigned size, bool write,
          uint64_t *va)
{
    off = wrap_offset(i, off);
    if (code64(c)) {
        *va = off + c->ea_base[i->seg];
        return 0;
    }
    *va = (uint32_t)(off + c->seg[i->seg].base);
    return segment_check(c, i->seg, off, size, write);
}

int ea_slow(struct soft_cpu *c, const struct insn *i, unsigned size, bool write, uint64_t *va)
{
    return ea_at(c, i, ea_wrapped(c, i), size, write, va);
}

void set_sp(struct soft_cpu *c, uint64_t sp)
{
    uint64_t mask = stack_mask(c);
    if (mask == 0xffffffff)
        c->r[RSP] = sp & mask;
    else
        c->r[RSP] = (c->r[RSP] & ~mask) | (sp & mask);
}

int push_slow(struct soft_cpu *c, unsigned size, uint64_t v)
{
    uint64_t sp = (c->r[RSP] - size) & stack_mask(c);
    int st = segment_check(c, SEG_SS, sp, size, true);
    if (st)
        return st;
    st = store(c, (uint32_t)(sp + c->seg[SEG_SS].base), size, v);
    if (st >= 0)
        set_sp(c, sp);
    return st;
}

int pop_slow(struct soft_cpu *c, unsigned size, uint64_t *v)
{
    uint64_t sp = c->r[RSP] & stack_mask(c);
    int st = segment_check(c, SEG_SS, sp, size, false);
    if (st)
        return st;
    st = load(c, (uint32_t)(sp + c->seg[SEG_SS].base), size, v);
    if (st >= 0)
        set_sp(c, sp + size);
    return st;
}

/* ---- the task state segment ---- */

int tss_stack(struct soft_cpu *c, unsigned pl, uint16_t *ss, uint64_t *sp)
{
    uint64_t v;
    int st;
    if (long_mode(c)) {
        unsigned off = 4 + 8 * pl;
        if (off + 7 > c->tr.limit)
            return raise_error(c, VEC_TS, c->tr.sel & 0xfffc);
        *ss = (uint16_t)pl;
        st = load_sys(c, c->tr.base + off, 8, sp);
        return st < 0 ? st : 0;
    }
    bool wide = (c->tr.attr & ATTR_TYPE) >= 9;
    unsigned off = wide ? 4 + 8 * pl : 2 + 4 * pl, n = wide ? 4 : 2;
    if (off + n + 1 > c->tr.limit)
        return raise_error(c, VEC_TS, c->tr.sel & 0xfffc);
    if ((st = load_sys(c, c->tr.base + off, n, sp)) < 0 ||
        (st = load_sys(c, c->tr.base + off + n, 2, &v)) < 0)
        return st;
    *ss = (uint16_t)v;
    return 0;
}

int check_io_permission(struct soft_cpu *c, uint16_t port, unsigned size)
{
    if (!protected_mode(c) || (c->cpl <= (c->eflags >> 12 & 3) && !(c->eflags & FLAG_VM)))
        return 0;
    uint64_t map, bits;
    int st;
    if (!(c->tr.attr & ATTR_P) || (c->tr.attr & ATTR_TYPE) < 9 || c->tr.limit < 103)
        return raise_error(c, VEC_GP, 0);
    if ((st = load_sys(c, c->tr.base + 102, 2, &map)) < 0)
        return st;
    if (map + port / 8 + 1 > c->tr.limit)
        return raise_error(c, VEC_GP, 0);
    if ((st = load_sys(c, c->tr.base + map + port / 8, 2, &bits)) < 0)
        return st;
    return bits >> (port & 7) & bits_mask(size) ? raise_error(c, VEC_GP, 0) : 0;
}
