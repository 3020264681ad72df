/* Control and debug registers: the instructions that read and write them, and what follows.
 *
 * SDM vol. 3 2.5 and 17.2. */
#include "cpu/soft/operand.h"
#include "cpu/soft/segment.h"
#include "cpu/soft/tracing.h"

/* In what is written to CR3, with CR4.PCIDE. */
#define CR3_KEEP (1ULL << 63)

/* ---- control registers, with their consequences ---- */

bool write_efer(struct soft_cpu *c, uint64_t v)
{
    if (v & ~c->efer_known)
        return false;
    if ((c->cr0 & CR0_PG) && ((v ^ c->efer) & EFER_LME))
        return false;
    c->efer = (v & ~(uint64_t)EFER_LMA) | (c->efer & EFER_LMA);
    mmu_flush(c);
    return true;
}

static int enter_long_mode(struct soft_cpu *c)
{
    bool narrow_tss = (c->tr.attr & ATTR_TYPE) < 9; /* SDM vol. 3 9.8.5.4 */
    if (!(c->cr4 & CR4_PAE) || (c->seg[SEG_CS].attr & ATTR_L) || narrow_tss)
        return raise_error(c, VEC_GP, 0);
    c->efer |= EFER_LMA;
    return 0;
}

static const char *mode_name(const struct soft_cpu *c)
{
    return long_mode(c)        ? "long"
           : c->cr0 & CR0_PG   ? "paged"
           : protected_mode(c) ? "protected"
                               : "real";
}

int write_cr0(struct soft_cpu *c, uint64_t v)
{
    if (v >> 32 || ((v & CR0_PG) && !(v & CR0_PE)) || ((v & CR0_NW) && !(v & CR0_CD)))
        return raise_error(c, VEC_GP, 0);
    v = (v & (CR0_PE | CR0_MP | CR0_EM | CR0_TS | CR0_NE | CR0_WP | CR0_AM | CR0_NW | CR0_CD |
              CR0_PG)) |
        CR0_ET;
    bool on = (v & CR0_PG) && !(c->cr0 & CR0_PG), off = !(v & CR0_PG) && (c->cr0 & CR0_PG);
    if (on) {
        if (c->efer & EFER_LME) {
            int st = enter_long_mode(c);
            if (st)
                return st;
        } else if ((c->cr4 & CR4_PAE) && !mmu_load_pdptrs(c, c->cr3)) {
            return raise_error(c, VEC_GP, 0);
        }
    }
    if (off && (code64(c) || (c->cr4 & CR4_PCIDE)))
        return raise_error(c, VEC_GP, 0);
    if (off)
        c->efer &= ~(uint64_t)EFER_LMA;
    bool flush = (v ^ c->cr0) & (CR0_PG | CR0_WP | CR0_PE), mode = (v ^ c->cr0) & (CR0_PG | CR0_PE);
    c->cr0 = v;
    if (flush)
        mmu_flush(c);
    update_mode(c);
    if (mode)
        TRACE(soft_trace, SOFT_TRACE_MODE, soft_source(c), trace_text(mode_name(c)), v);
    return 0;
}

/* With CR4.PCIDE, bit 63 allows to keep the translations of the new PCID. None are kept beyond a
 * load of CR3, so that it changes nothing; global ones are, and belong to all. */
int write_cr3(struct soft_cpu *c, uint64_t v)
{
    if (c->cr4 & CR4_PCIDE)
        v &= ~CR3_KEEP;
    if (long_mode(c) && v & ~bits_mask(SOFT_PHYSICAL_BITS))
        return raise_error(c, VEC_GP, 0);
    if ((c->cr0 & CR0_PG) && (c->cr4 & CR4_PAE) && !long_mode(c) && !mmu_load_pdptrs(c, v))
        return raise_error(c, VEC_GP, 0);
    c->cr3 = v;
    mmu_flush_local(c);
    return 0;
}

int write_cr4(struct soft_cpu *c, uint64_t v)
{
    uint64_t changed = v ^ c->cr4;
    if ((v & ~c->cr4_known) || (long_mode(c) && !(v & CR4_PAE)))
        return raise_error(c, VEC_GP, 0);
    if ((changed & v & CR4_PCIDE) && (!long_mode(c) || (c->cr3 & 0xfff)))
        return raise_error(c, VEC_GP, 0);
    if ((changed & (CR4_PAE | CR4_PSE | CR4_PGE | CR4_SMEP)) && (c->cr0 & CR0_PG) &&
        (v & CR4_PAE) && !long_mode(c) && !mmu_load_pdptrs(c, c->cr3))
        return raise_error(c, VEC_GP, 0);
    c->cr4 = v;
    if (changed & (CR4_PAE | CR4_PSE | CR4_PGE | CR4_PCIDE | CR4_SMEP | CR4_SMAP))
        mmu_flush(c);
    if (changed & CR4_DE)
        debug_registers_changed(c);
    update_rights(c);
    return 0;
}

/* ---- instructions ---- */

static uint64_t cr8_get(struct soft_cpu *c)
{
    struct cpu_port *p = c->vcpu.port;
    return p->apic_ops ? p->apic_ops->get_tpr(p->apic) : c->cr8_shadow;
}

static void cr8_set(struct soft_cpu *c, uint8_t v)
{
    struct cpu_port *p = c->vcpu.port;
    c->cr8_shadow = v;
    if (!p->apic_ops)
        return;
    take_lock(c);
    p->apic_ops->set_tpr(p->apic, v);
    machine_lock_release(c->lock);
}

/* That there is no such register goes before that it is not for this ring. */
static int need_control_register(struct soft_cpu *c, const struct insn *i)
{
    enum { KNOWN = 1 << 0 | 1 << 2 | 1 << 3 | 1 << 4 | 1 << 8 };
    return KNOWN >> i->reg & 1 ? need_ring0(c) : raise_exception(c, VEC_UD);
}

int op_mov_from_cr(struct soft_cpu *c, const struct insn *i)
{
    uint64_t v;
    if (need_control_register(c, i))
        return X_FAULT;
    switch (i->reg) {
    case 0:
        v = c->cr0;
        break;
    case 2:
        v = c->cr2;
        break;
    case 3:
        v = c->cr3;
        break;
    case 4:
        v = c->cr4;
        break;
    default:
        v = cr8_get(c);
        break;
    }
    reg_set(c, i->rm, i->size, v);
    return 0;
}

int op_mov_to_cr(struct soft_cpu *c, const struct insn *i)
{
    uint64_t v = reg_get(c, i->rm, i->size);
    int st = 0;
    if (need_control_register(c, i))
        return X_FAULT;
    switch (i->reg) {
    case 0:
        st = write_cr0(c, v);
        break;
    case 2:
        c->cr2 = v;
        break;
    case 3:
        st = write_cr3(c, v);
        break;
    case 4:
        st = write_cr4(c, v);
        break;
    default:
        if (v >> 4)
            return raise_error(c, VEC_GP, 0);
        cr8_set(c, (uint8_t)v);
        break;
    }
    return st ? st : X_BREAK;
}

static int debug_register(struct soft_cpu *c, const struct insn *i, unsigned *n)
{
    bool alias = i->reg == 4 || i->reg == 5;
    if (i->reg > 7 || (alias && c->cr4 & CR4_DE))
        return raise_exception(c, VEC_UD);
    if (need_ring0(c))
        return X_FAULT;
    *n = i->reg + (alias ? 2u : 0);
    if (c->dr[7] & 1 << 13) { /* GD */
        c->dr[6] |= DR6_BD;
        c->dr[7] &= ~(1ULL << 13);
        return raise_exception(c, VEC_DB);
    }
    return 0;
}

int op_mov_from_dr(struct soft_cpu *c, const struct insn *i)
{
    unsigned n;
    int st = debug_register(c, i, &n);
    if (!st)
        reg_set(c, i->rm, i->size, c->dr[n]);
    return st;
}

int op_mov_to_dr(struct soft_cpu *c, const struct insn *i)
{
    unsigned n;
    uint64_t v = reg_get(c, i->rm, i->size);
    int st = debug_register(c, i, &n);
    if (st)
        return st;
    if (n >= 6 && v >> 32)
        return raise_error(c, VEC_GP, 0);
    if (n == 6)
        v = (v & 0xe00f) | 0xffff0ff0;
    else if (n == 7)
        v = (v & 0xffff2bff) | 0x400;
    c->dr[n] = v;
    if (n != 6)
        debug_registers_changed(c);
    return X_BREAK;
}

int op_smsw(struct soft_cpu *c, const struct insn *i)
{
    return need_umip(c) ? X_FAULT : rm_store_word(c, i, c->cr0);
}

int op_lmsw(struct soft_cpu *c, const struct insn *i)
{
    uint64_t v;
    if (need_ring0(c) || rm_load(c, i, 2, &v) < 0)
        return X_FAULT;
    /* PE can be set but not cleared */
    int st = write_cr0(c, (c->cr0 & ~0xeULL) | (v & 0xf));
    return st ? st : X_BREAK;
}

int op_clts(struct soft_cpu *c, const struct insn *i)
{
    (void)i;
    if (need_ring0(c))
        return X_FAULT;
    c->cr0 &= ~(uint64_t)CR0_TS;
    return X_BREAK;
}

int op_invlpg(struct soft_cpu *c, const struct insn *i)
{
    if (need_ring0(c))
        return X_FAULT;
    mmu_flush_page(c, ea_wrapped(c, i) + c->ea_base[i->seg]);
    return X_BREAK;
}

enum { INVPCID_ADDRESS, INVPCID_CONTEXT, INVPCID_ALL, INVPCID_ALL_LOCAL };

/* Only translations of the current PCID, and global ones, are ever kept: see write_cr3(). */
int op_invpcid(struct soft_cpu *c, const struct insn *i)
{
    uint64_t va, pcid, linear, type = reg_get(c, i->reg, i->size);
    if (need_ring0(c))
        return X_FAULT;
    int st = ea(c, i, 16, false, &va);
    if (st || (st = load(c, va, 8, &pcid)) < 0 || (st = load(c, va + 8, 8, &linear)) < 0)
        return st;
    bool one = type == INVPCID_ADDRESS || type == INVPCID_CONTEXT;
    if (type > INVPCID_ALL_LOCAL || pcid >> 12 || (one && pcid && !(c->cr4 & CR4_PCIDE)) ||
        (type == INVPCID_ADDRESS && !is_canonical(linear)))
        return raise_error(c, VEC_GP, 0);
    bool current = pcid == (c->cr4 & CR4_PCIDE ? c->cr3 & 0xfff : 0);
    if (type == INVPCID_ADDRESS && current)
        mmu_flush_page(c, linear);
    else if (type == INVPCID_ALL)
        mmu_flush(c);
    else if (type == INVPCID_ALL_LOCAL || (type == INVPCID_CONTEXT && current))
        mmu_flush_local(c);
    return X_BREAK;
}

/* ---- SMAP ---- */

static int set_ac(struct soft_cpu *c, uint64_t ac)
{
    if (c->cpl)
        return raise_exception(c, VEC_UD);
    c->eflags = (c->eflags & ~(uint64_t)FLAG_AC) | ac;
    update_rights(c);
    return 0;
}

int op_clac(struct soft_cpu *c, const struct insn *i)
{
    (void)i;
    return set_ac(c, 0);
}

int op_stac(struct soft_cpu *c, const struct insn *i)
{
    (void)i;
    return set_ac(c, FLAG_AC);
}
