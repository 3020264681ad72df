/* System management mode: its beginning at an SMI, its end by RSM, and the map of the state
 * between.
 *
 * AMD APM vol. 2 chapter 10 (SDM vol. 3 chapter 31, 34 in older editions). The map is AMD64's, its
 * revision 0x64 in the low bits: that of Intel's processors leaves most of it undocumented, and
 * firmware for virtual machines expects this one of every vendor's.
 *
 * In the mode the cpu sees memory through the machine's `smm_memory`. What a single step or a
 * debug register has brought up when the SMI comes is told of after RSM. The cpu's thread. */
#include "cpu/soft/opcodes.h"
#include "cpu/soft/operand.h"
#include "cpu/soft/segment.h"
#include "cpu/soft/tracing.h"

#include <stddef.h>

/* Offsets from SMBASE. */
enum {
    SMM_ENTRY = 0x8000,
    SMM_MAP = 0xfe00, /* 10.2.3: to 0xffff */
    SMM_MAP_SIZE = 0x200,
    SMM_IO_RIP = 0xfea0, /* of the I/O instruction that brought the SMI about, before it */
    SMM_IO_RCX = 0xfea8,
    SMM_IO_RSI = 0xfeb0,
    SMM_IO_RDI = 0xfeb8,
    SMM_IO_ACCESS = 0xfec0, /* SMM_IO_*; the port in the upper half. 10.3.8 */
    SMM_IO_RESTART = 0xfec8,
    SMM_HALT_RESTART = 0xfec9,
    SMM_NMI_MASK = 0xfeca,
    SMM_REVISION = 0xfefc,
    SMM_RFLAGS = 0xff70,
};

enum {
    SMM_IO_IN = 1 << 0,
    SMM_IO_VALID = 1 << 1,
    SMM_IO_STRING = 1 << 2,
    SMM_IO_REP = 1 << 3,
    SMM_IO_TF = 1 << 11,
    SMM_IO_SIZE_SHIFT = 4, /* one bit each for 1, 2 and 4 bytes */
    SMM_IO_PORT_SHIFT = 16,
    SMM_IO_AGAIN = 0xff, /* in SMM_IO_RESTART */
    /* I/O instruction restart, SMBASE relocation; the 64-bit map. */
    SMM_REVISION_ID = 1 << 16 | 1 << 17 | 0x64,
    FLAGS_KNOWN = 0x3f7fd7,
};

/* What of the cpu is in the map as it is. */
#define AT(OFFSET, FIELD)                                                               \
    {                                                                                   \
        OFFSET, sizeof(((struct soft_cpu *)0)->FIELD), offsetof(struct soft_cpu, FIELD) \
    }
#define AT_SEGMENT(OFFSET, FIELD)                                                       \
    AT(OFFSET, FIELD.sel), AT((OFFSET) + 2, FIELD.attr), AT((OFFSET) + 4, FIELD.limit), \
        AT((OFFSET) + 8, FIELD.base)
#define AT_TABLE(OFFSET, FIELD) AT((OFFSET) + 4, FIELD.limit), AT((OFFSET) + 8, FIELD.base)

static const struct saved {
    uint16_t at;
    uint8_t size;
    uint32_t field;
} saved[] = {
    AT_SEGMENT(0xfe00, seg[SEG_ES]),
    AT_SEGMENT(0xfe10, seg[SEG_CS]),
    AT_SEGMENT(0xfe20, seg[SEG_SS]),
    AT_SEGMENT(0xfe30, seg[SEG_DS]),
    AT_SEGMENT(0xfe40, seg[SEG_FS]),
    AT_SEGMENT(0xfe50, seg[SEG_GS]),
    AT_TABLE(0xfe60, gdt),
    AT_SEGMENT(0xfe70, ldt),
    AT_TABLE(0xfe80, idt),
    AT_SEGMENT(0xfe90, tr),
    AT(0xfed0, efer),
    AT(0xff00, smbase),
    AT(0xff48, cr4),
    AT(0xff50, cr3),
    AT(0xff58, cr0),
    AT(0xff60, dr[7]),
    AT(0xff68, dr[6]),
    AT(0xff78, rip),
    AT(0xff80, r[R15]),
    AT(0xff88, r[R14]),
    AT(0xff90, r[R13]),
    AT(0xff98, r[R12]),
    AT(0xffa0, r[R11]),
    AT(0xffa8, r[R10]),
    AT(0xffb0, r[R9]),
    AT(0xffb8, r[R8]),
    AT(0xffc0, r[RDI]),
    AT(0xffc8, r[RSI]),
    AT(0xffd0, r[RBP]),
    AT(0xffd8, r[RSP]),
    AT(0xffe0, r[RBX]),
    AT(0xffe8, r[RDX]),
    AT(0xfff0, r[RCX]),
    AT(0xfff8, r[RAX]),
};

struct map {
    uint8_t bytes[SMM_MAP_SIZE];
};

static uint64_t map_get(const struct map *m, unsigned at, unsigned size)
{
    return ld_le(m->bytes + at - SMM_MAP, size);
}

static void map_put(struct map *m, unsigned at, unsigned size, uint64_t v)
{
    st_le(m->bytes + at - SMM_MAP, size, v);
}

/* ---- the beginning ---- */

void smm_note_io(struct soft_cpu *c, uint16_t port, unsigned size, bool in)
{
    const struct insn *i = c->cur;
    bool string = i->op == OP_ins || i->op == OP_outs;
    c->smm_io = (struct smm_io){
        .at = soft_icount(c) + 1,
        .rip = c->r[REG_RIP] + i->next_off - i->len,
        .rcx = c->r[RCX],
        .rsi = c->r[RSI],
        .rdi = c->r[RDI],
        .access = (in ? SMM_IO_IN : 0) | SMM_IO_VALID | (string ? SMM_IO_STRING : 0) |
                  (c->eflags & FLAG_TF ? SMM_IO_TF : 0) |
                  (string && i->flags & (INSN_REP | INSN_REPNE) ? SMM_IO_REP : 0) |
                  size << SMM_IO_SIZE_SHIFT | (uint32_t)port << SMM_IO_PORT_SHIFT,
    };
}

static void save(const struct soft_cpu *c, struct map *m)
{
    const struct smm_io *io = &c->smm_io;
    for (unsigned n = 0; n < ARRAY_LEN(saved); n++)
        memcpy(m->bytes + saved[n].at - SMM_MAP, (const char *)c + saved[n].field, saved[n].size);
    map_put(m, SMM_RFLAGS, 8, eflags_get(c));
    map_put(m, SMM_REVISION, 4, SMM_REVISION_ID);
    map_put(m, SMM_HALT_RESTART, 1, c->halted && !c->monitor.waits);
    map_put(m, SMM_NMI_MASK, 1, c->nmi_blocked);
    if (io->at != c->icount)
        return;
    map_put(m, SMM_IO_RIP, 8, io->rip);
    map_put(m, SMM_IO_RCX, 8, io->rcx);
    map_put(m, SMM_IO_RSI, 8, io->rsi);
    map_put(m, SMM_IO_RDI, 8, io->rdi);
    map_put(m, SMM_IO_ACCESS, 4, io->access);
}

/* Table 10-2: what is not named here stays. */
static void start_handler(struct soft_cpu *c)
{
    for (unsigned s = 0; s < SEG_COUNT; s++)
        c->seg[s] = (struct segment){ .limit = 0xffffffff,
                                      .attr = ATTR_G | ATTR_P | ATTR_S | ATTR_RW | ATTR_ACCESSED };
    c->seg[SEG_CS].sel = (uint16_t)(c->smbase >> 4);
    c->seg[SEG_CS].base = c->smbase;
    c->seg[SEG_CS].attr |= ATTR_CODE;
    c->rip = SMM_ENTRY;
    eflags_set(c, FLAG_1);
    c->cr0 &= ~(uint64_t)(CR0_PE | CR0_EM | CR0_TS | CR0_PG);
    c->cr4 = c->efer = 0;
    c->dr[7] = 0x400;
    c->cpl = 0;
}

/* What follows from a change of everything: rights, translations, breakpoints. */
static void settle(struct soft_cpu *c)
{
    update_mode(c);
    debug_registers_changed(c); /* which drops the translations too */
}

void smm_enter(struct soft_cpu *c)
{
    struct map m = { { 0 } };
    TRACE(soft_trace, SOFT_TRACE_SMM, soft_source(c), true, c->smbase, c->rip);
    save(c, &m);
    enter_machine(c);
    mmu_set_memory(c, c->vcpu.machine->smm_memory);
    address_space_write(c->vcpu.memory, c->smbase + SMM_MAP, &m, sizeof m);
    leave_machine(c);
    c->smi = c->halted = c->monitor.waits = false;
    c->smm = true;
    c->smm_in_nmi = c->nmi_blocked;
    c->nmi_blocked = true;
    c->smm_debug = c->debug_hits | (c->step_pending ? DR6_BS : 0);
    c->debug_hits = 0;
    c->step_pending = false;
    c->smi_count++;
    c->icount++; /* as the delivery of an interrupt */
    start_handler(c);
    settle(c);
}

/* ---- the end ---- */

/* Is it a state that the cpu can be in? 10.4; the flags are made so. */
static bool is_possible(struct soft_cpu *c)
{
    bool paging = c->cr0 & CR0_PG, lma = c->efer & EFER_LMA;
    unsigned cs = c->seg[SEG_CS].attr;
    if (c->cr0 >> 32 || (paging && !(c->cr0 & CR0_PE)) || (c->cr0 & CR0_NW && !(c->cr0 & CR0_CD)))
        return false;
    if (c->cr4 & ~c->cr4_known || (c->cr4 & CR4_PCIDE && !lma) || (lma && !(c->cr4 & CR4_PAE)))
        return false;
    if (c->efer & ~(uint64_t)(EFER_SCE | EFER_LME | EFER_LMA | EFER_NX) ||
        lma != (paging && c->efer & EFER_LME))
        return false;
    if (lma && (c->cr3 & ~bits_mask(SOFT_PHYSICAL_BITS) || (cs & ATTR_L && cs & ATTR_DB)))
        return false;
    if (c->eflags & FLAG_VM && (lma || !(c->cr0 & CR0_PE)))
        return false;
    if (c->dr[6] >> 32 || c->dr[7] >> 32)
        return false;
    return !paging || lma || !(c->cr4 & CR4_PAE) || mmu_load_pdptrs(c, c->cr3);
}

static void restore(struct soft_cpu *c, const struct map *m)
{
    for (unsigned n = 0; n < ARRAY_LEN(saved); n++)
        memcpy((char *)c + saved[n].field, m->bytes + saved[n].at - SMM_MAP, saved[n].size);
    eflags_set(c, (map_get(m, SMM_RFLAGS, 8) & FLAGS_KNOWN) | FLAG_1);
    c->cr0 |= CR0_ET;
    c->cpl = !protected_mode(c) ? 0 : c->eflags & FLAG_VM ? 3 : attr_dpl(c->seg[SEG_SS].attr);
    c->halted = map_get(m, SMM_HALT_RESTART, 1) & 1;
    c->debug_hits = c->smm_debug;
    if (map_get(m, SMM_IO_RESTART, 1) == SMM_IO_AGAIN) {
        c->rip = map_get(m, SMM_IO_RIP, 8);
        c->r[RCX] = map_get(m, SMM_IO_RCX, 8);
        c->r[RSI] = map_get(m, SMM_IO_RSI, 8);
        c->r[RDI] = map_get(m, SMM_IO_RDI, 8);
        c->debug_hits = 0;
    }
}

int op_rsm(struct soft_cpu *c, const struct insn *i)
{
    struct map m;
    (void)i;
    if (!c->smm)
        return raise_exception(c, VEC_UD);
    enter_machine(c);
    address_space_read(c->vcpu.memory, c->smbase + SMM_MAP, &m, sizeof m);
    mmu_set_memory(c, c->vcpu.machine->memory);
    leave_machine(c);
    restore(c, &m);
    c->smm = c->step_pending = false;
    c->nmi_blocked = c->smm_in_nmi;
    c->smm_in_nmi = false;
    c->smm_debug = 0;
    if (!is_possible(c))
        c->shut_down = true;
    settle(c);
    TRACE(soft_trace, SOFT_TRACE_SMM, soft_source(c), false, c->smbase, c->rip);
    return X_JUMP;
}

/* From outside: the cpu is in the mode, or is not. Machine lock; it does not run. */
void smm_set(struct soft_cpu *c, bool smm)
{
    c->smm = smm;
    mmu_set_memory(c, smm ? c->vcpu.machine->smm_memory : c->vcpu.machine->memory);
}
