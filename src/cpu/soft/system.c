/* System instructions: privilege, control and debug registers, descriptor tables, MSRs, time,
 * ports, HLT. */
#include "cpu/soft/operand.h"
#include "cpu/soft/segment.h"
#include "cpu/soft/tracing.h"

static int need_ring0(struct soft_cpu *c)
{
    return c->cpl ? raise_error(c, VEC_GP, 0) : 0;
}

/* ---- interrupts and halting ---- */

int op_hlt(struct soft_cpu *c, const struct insn *i)
{
    (void)i;
    if (need_ring0(c))
        return X_FAULT;
    c->halted = true;
    c->stats.exits_halt++;
    TRACE(soft_trace, SOFT_TRACE_HALT, soft_source(c), !!(c->eflags & FLAG_IF));
    soft_recheck(c);
    return X_BREAK;
}

static bool may_change_if(const struct soft_cpu *c)
{
    return !protected_mode(c) || c->cpl <= (c->eflags >> 12 & 3);
}

int op_cli(struct soft_cpu *c, const struct insn *i)
{
    (void)i;
    if (!may_change_if(c))
        return raise_error(c, VEC_GP, 0);
    c->eflags &= ~(uint64_t)FLAG_IF;
    return X_BREAK;
}

int op_sti(struct soft_cpu *c, const struct insn *i)
{
    (void)i;
    if (!may_change_if(c))
        return raise_error(c, VEC_GP, 0);
    if (!(c->eflags & FLAG_IF)) {
        c->eflags |= FLAG_IF;
        cast_shadow(c);
    }
    return X_BREAK;
}

/* ---- segment registers ---- */

int op_mov_to_seg(struct soft_cpu *c, const struct insn *i)
{
    uint64_t v;
    unsigned seg = i->reg & 7;
    if (seg == SEG_CS || seg >= SEG_COUNT)
        return raise_exception(c, VEC_UD);
    int st = rm_load(c, i, 2, &v);
    if (st < 0)
        return st;
    int st2 = load_segment(c, seg, (uint16_t)v);
    if (st2)
        return st2;
    if (seg == SEG_SS)
        cast_shadow(c);
    return X_BREAK;
}

int op_mov_from_seg(struct soft_cpu *c, const struct insn *i)
{
    unsigned seg = i->reg & 7;
    if (seg >= SEG_COUNT)
        return raise_exception(c, VEC_UD);
    return rm_store(c, i, i->flags & INSN_MEM ? 2 : i->size, c->seg[seg].sel);
}

/* ---- descriptor tables ---- */

static int store_table(struct soft_cpu *c, const struct insn *i, uint64_t base, uint16_t limit)
{
    uint64_t va;
    int st = ea(c, i, 2u + i->size, true, &va);
    if (st || (st = mmu_probe_write(c, va, 2u + i->size)))
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
    if (need_ring0(c))
        return X_FAULT;
    int st = ea(c, i, 2u + i->size, false, &va);
    if (st || (st = load(c, va, 2, &l)) < 0)
        return st;
    int st2 = load(c, va + 2, i->size, &b);
    if (st2 < 0)
        return st2;
    if (i->size == 8 && !is_canonical(b))
        return raise_error(c, VEC_GP, 0);
    /* With a 16-bit operand size only 24 bits of the base count. */
    *base = !code64(c) && (c->mode & MODE_CODE32) == 0 && insn_asize(i) == 2 ? b & 0xffffff : b;
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
    uint64_t desc, high = 0;
    if (sel & 4)
        return raise_error(c, VEC_GP, sel & 0xfffc);
    int st = read_descriptor(c, sel, &desc, VEC_GP);
    if (st)
        return st;
    unsigned attr = desc >> 40 & 0xf0ff, type = attr & 31;
    bool ok = want == 2 ? type == 2 : type == 9 || (type == 1 && !long_mode(c));
    if (!ok)
        return raise_error(c, VEC_GP, sel & 0xfffc);
    if (!(attr & ATTR_P))
        return raise_error(c, VEC_NP, sel & 0xfffc);
    if (long_mode(c)) {
        if ((sel & 0xfff8u) + 15 > c->gdt.limit)
            return raise_error(c, VEC_GP, sel & 0xfffc);
        if ((st = load_sys(c, c->gdt.base + (sel & 0xfff8) + 8, 8, &high)) < 0)
            return st;
    }
    if (want != 2) {
        desc |= 2ULL << 40; /* busy */
        if ((st = store_sys(c, c->gdt.base + (sel & 0xfff8) + 5, 1, desc >> 40 & 0xff)) < 0)
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

static int store_word(struct soft_cpu *c, const struct insn *i, uint64_t v)
{
    return rm_store(c, i, i->flags & INSN_MEM ? 2 : i->size, v);
}

int op_sldt(struct soft_cpu *c, const struct insn *i)
{
    return need_protected(c) ? X_FAULT : store_word(c, i, c->ldt.sel);
}

int op_str(struct soft_cpu *c, const struct insn *i)
{
    return need_protected(c) ? X_FAULT : store_word(c, i, c->tr.sel);
}

/* ---- questions about descriptors: LAR LSL VERR VERW ---- */

/* The descriptor if `sel` is visible at this privilege; false otherwise. */
static bool visible_descriptor(struct soft_cpu *c, uint16_t sel, uint64_t *desc)
{
    if (!(sel & 0xfffc))
        return false;
    uint64_t cr2 = c->cr2;
    if (read_descriptor(c, sel, desc, VEC_GP)) {
        c->cr2 = cr2;
        return false;
    }
    unsigned a = *desc >> 40 & 0xf0ff;
    bool conforming = (a & ATTR_S) && (a & ATTR_CODE) && (a & ATTR_CE);
    return conforming || (attr_dpl(a) >= c->cpl && attr_dpl(a) >= (sel & 3u));
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
    if (st < 0)
        return st;
    *ok = visible_descriptor(c, (uint16_t)sel, desc);
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
    int st = rm_load(c, i, 2, &v);
    if (st < 0)
        return st;
    bool ok = visible_descriptor(c, (uint16_t)v, &desc) && (desc >> 44 & 1);
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

/* ---- control and debug registers ---- */

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
    struct machine_lock *lock = loop_lock(c->vcpu.machine->loop);
    take_lock(c);
    p->apic_ops->set_tpr(p->apic, v);
    machine_lock_release(lock);
}

int op_mov_from_cr(struct soft_cpu *c, const struct insn *i)
{
    uint64_t v;
    if (need_ring0(c))
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
    case 8:
        v = cr8_get(c);
        break;
    default:
        return raise_exception(c, VEC_UD);
    }
    reg_set(c, i->rm, i->size, v);
    return 0;
}

int op_mov_to_cr(struct soft_cpu *c, const struct insn *i)
{
    uint64_t v = reg_get(c, i->rm, i->size);
    int st = 0;
    if (need_ring0(c))
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
    case 8:
        if (v >> 4)
            return raise_error(c, VEC_GP, 0);
        cr8_set(c, (uint8_t)v);
        break;
    default:
        return raise_exception(c, VEC_UD);
    }
    return st ? st : X_BREAK;
}

static int debug_register(struct soft_cpu *c, const struct insn *i, unsigned *n)
{
    if (need_ring0(c))
        return X_FAULT;
    *n = i->reg;
    if (*n == 4 || *n == 5) {
        if (c->cr4 & CR4_DE)
            return raise_exception(c, VEC_UD);
        *n += 2;
    }
    if (*n > 7)
        return raise_exception(c, VEC_UD);
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
    return store_word(c, i, c->cr0);
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

int op_wbinvd(struct soft_cpu *c, const struct insn *i)
{
    (void)i;
    return need_ring0(c);
}

/* ---- MSRs, CPUID, time ---- */

int op_rdmsr(struct soft_cpu *c, const struct insn *i)
{
    uint64_t v = 0;
    (void)i;
    if (need_ring0(c))
        return X_FAULT;
    if (!msr_read(c, (uint32_t)c->r[RCX], &v))
        return raise_error(c, VEC_GP, 0);
    watch_tell_msr(c, (uint32_t)c->r[RCX], false, &v);
    c->r[RAX] = (uint32_t)v;
    c->r[RDX] = v >> 32;
    return X_BREAK;
}

int op_wrmsr(struct soft_cpu *c, const struct insn *i)
{
    (void)i;
    if (need_ring0(c))
        return X_FAULT;
    uint64_t v = c->r[RDX] << 32 | (uint32_t)c->r[RAX];
    if (watch_tell_msr(c, (uint32_t)c->r[RCX], true, &v) && !msr_write(c, (uint32_t)c->r[RCX], v))
        return raise_error(c, VEC_GP, 0);
    TRACE(soft_trace, SOFT_TRACE_MSR_WRITE, soft_source(c), (uint32_t)c->r[RCX], v);
    return X_BREAK;
}

int op_rdpmc(struct soft_cpu *c, const struct insn *i)
{
    (void)i;
    return raise_error(c, VEC_GP, 0); /* CPUID announces no counters */
}

int op_cpuid(struct soft_cpu *c, const struct insn *i)
{
    uint32_t out[4];
    (void)i;
    cpuid_query(c, (uint32_t)c->r[RAX], (uint32_t)c->r[RCX], out);
    watch_tell_cpuid(c, (uint32_t)c->r[RAX], (uint32_t)c->r[RCX], out);
    c->r[RAX] = out[0];
    c->r[RBX] = out[1];
    c->r[RCX] = out[2];
    c->r[RDX] = out[3];
    return c->stop_wanted ? X_BREAK : 0;
}

int op_rdtsc(struct soft_cpu *c, const struct insn *i)
{
    (void)i;
    if ((c->cr4 & CR4_TSD) && c->cpl)
        return raise_error(c, VEC_GP, 0);
    uint64_t t = soft_tsc(c);
    c->r[RAX] = (uint32_t)t;
    c->r[RDX] = t >> 32;
    return 0;
}

int op_rdtscp(struct soft_cpu *c, const struct insn *i)
{
    int st = op_rdtsc(c, i);
    if (!st)
        c->r[RCX] = (uint32_t)c->tsc_aux;
    return st;
}

int op_swapgs(struct soft_cpu *c, const struct insn *i)
{
    (void)i;
    if (need_ring0(c))
        return X_FAULT;
    uint64_t t = c->seg[SEG_GS].base;
    c->seg[SEG_GS].base = c->kernel_gs_base;
    c->kernel_gs_base = t;
    update_mode(c);
    return X_BREAK;
}

/* ---- ports ---- */

static unsigned port_size(const struct insn *i)
{
    return i->size == 8 ? 4 : i->size;
}

static int in(struct soft_cpu *c, const struct insn *i, uint16_t port)
{
    unsigned size = port_size(i);
    uint64_t v;
    int st = check_io_permission(c, port, size);
    if (st)
        return st;
    io_in(c, port, size, &v);
    reg_set(c, RAX, size, v);
    return X_BREAK;
}

static int out(struct soft_cpu *c, const struct insn *i, uint16_t port)
{
    unsigned size = port_size(i);
    int st = check_io_permission(c, port, size);
    if (st)
        return st;
    io_out(c, port, size, reg_get(c, RAX, size));
    return X_BREAK;
}

int op_in_imm(struct soft_cpu *c, const struct insn *i)
{
    return in(c, i, (uint8_t)i->imm);
}

int op_in_dx(struct soft_cpu *c, const struct insn *i)
{
    return in(c, i, (uint16_t)c->r[RDX]);
}

int op_out_imm(struct soft_cpu *c, const struct insn *i)
{
    return out(c, i, (uint8_t)i->imm);
}

int op_out_dx(struct soft_cpu *c, const struct insn *i)
{
    return out(c, i, (uint16_t)c->r[RDX]);
}
