/* The decoder: bytes to struct insn, by the opcode table (SDM vol. 2, chapter 2). */
#include "cpu/soft/opcodes.h"

struct decoder {
    const uint8_t *p, *end;
    const uint8_t *start;
    bool short_of_bytes, invalid;
    bool code64;
    unsigned osize, asize; /* in bytes */
    uint8_t rex;
    bool p66, pf2, pf3, lock;
    int seg; /* override, -1: none */
    uint8_t modrm;
    bool has_modrm;
    uint8_t opcode;
    unsigned map;
    uint64_t isa;
    bool vex, vex_l;
    uint8_t vvvv; /* as a register's number */
};

static uint64_t take(struct decoder *d, unsigned n)
{
    if ((size_t)(d->end - d->p) < n) {
        d->short_of_bytes = true;
        d->p = d->end;
        return 0;
    }
    uint64_t v = ld_le(d->p, n);
    d->p += n;
    return v;
}

static int64_t take_signed(struct decoder *d, unsigned n)
{
    return (int64_t)sign_extend(take(d, n), n);
}

static void take_prefixes(struct decoder *d, uint32_t mode)
{
    bool code32 = d->code64 || (mode & MODE_CODE32);
    bool p67 = false;
    for (;;) {
        uint8_t b = (uint8_t)take(d, 1);
        if (d->short_of_bytes)
            return;
        switch (b) {
        case 0x26:
        case 0x2e:
        case 0x36:
        case 0x3e:
            /* CS, DS, ES, SS overrides mean nothing in 64-bit mode, and do not undo an FS or GS
             * before. */
            if (!d->code64)
                d->seg = (b >> 3) & 3;
            break;
        case 0x64:
        case 0x65:
            d->seg = b - 0x64 + SEG_FS;
            break;
        case 0x66:
            d->p66 = true;
            break;
        case 0x67:
            p67 = true;
            break;
        case 0xf0:
            d->lock = true;
            break;
        case 0xf2:
            d->pf2 = true;
            d->pf3 = false;
            break;
        case 0xf3:
            d->pf3 = true;
            d->pf2 = false;
            break;
        default:
            if (d->code64 && (b & 0xf0) == 0x40) {
                d->rex = b; /* counts only right before the opcode */
                uint8_t next = (uint8_t)take(d, 1);
                if (d->short_of_bytes)
                    return;
                bool prefix = next == 0x26 || next == 0x2e || next == 0x36 || next == 0x3e ||
                              next == 0x64 || next == 0x65 || next == 0x66 || next == 0x67 ||
                              next == 0xf0 || next == 0xf2 || next == 0xf3 || (next & 0xf0) == 0x40;
                if (prefix) {
                    d->rex = 0;
                    d->p--;
                    break;
                }
                b = next;
            }
            d->opcode = b;
            d->osize = d->rex & 8 ? 8 : code32 != d->p66 ? 4 : 2;
            d->asize = d->code64 ? (p67 ? 4 : 8) : code32 != p67 ? 4 : 2;
            return;
        }
    }
}

static void take_modrm(struct decoder *d)
{
    if (!d->has_modrm) {
        d->modrm = (uint8_t)take(d, 1);
        d->has_modrm = true;
    }
}

static void memory_16(struct decoder *d, struct insn *i, unsigned mod, unsigned rm)
{
    static const uint8_t bases[8] = { RBX, RBX, RBP, RBP, RSI, RDI, RBP, RBX };
    static const uint8_t indices[8] = {
        RSI, RDI, RSI, RDI, REG_NONE, REG_NONE, REG_NONE, REG_NONE
    };
    i->base = bases[rm];
    i->index = indices[rm];
    if (mod == 0 && rm == 6) {
        i->base = REG_NONE;
        i->disp = (int16_t)take(d, 2);
    } else if (mod == 1) {
        i->disp = (int8_t)take(d, 1);
    } else if (mod == 2) {
        i->disp = (int16_t)take(d, 2);
    }
}

static void memory_32(struct decoder *d, struct insn *i, unsigned mod, unsigned rm, bool *rip)
{
    if (rm == 4) {
        uint8_t sib = (uint8_t)take(d, 1);
        unsigned index = (sib >> 3 & 7) | (d->rex & 2) << 2, base = sib & 7;
        i->scale = sib >> 6;
        i->index = index == 4 ? REG_NONE : (uint8_t)index;
        if (base == 5 && mod == 0) {
            i->base = REG_NONE;
            i->disp = (int32_t)take(d, 4);
        } else {
            i->base = (uint8_t)(base | (d->rex & 1) << 3);
        }
    } else if (rm == 5 && mod == 0) {
        i->disp = (int32_t)take(d, 4);
        i->base = REG_NONE;
        *rip = d->code64;
    } else {
        i->base = (uint8_t)(rm | (d->rex & 1) << 3);
    }
    if (mod == 1)
        i->disp = (int8_t)take(d, 1);
    else if (mod == 2)
        i->disp = (int32_t)take(d, 4);
}

/* The memory operand of a ModRM byte. Sets *rip if it is relative to the next instruction. */
static void decode_memory(struct decoder *d, struct insn *i, bool *rip)
{
    unsigned mod = d->modrm >> 6, rm = d->modrm & 7;
    i->flags |= INSN_MEM;
    if (d->asize == 2)
        memory_16(d, i, mod, rm);
    else
        memory_32(d, i, mod, rm, rip);
    bool stack = d->asize == 2 ? i->base == RBP : i->base == RSP || i->base == RBP;
    i->seg = (uint8_t)(d->seg >= 0 ? d->seg : stack ? SEG_SS : SEG_DS);
    if (!d->code64 || d->asize != 8)
        i->flags |= INSN_EA_SLOW;
}

/* A register number as struct insn wants it: of bytes, an offset. */
static uint8_t reg_number(const struct decoder *d, unsigned n, unsigned size)
{
    if (size != 1)
        return (uint8_t)n;
    if (!d->rex && n >= 4 && n < 8)
        return (uint8_t)((n - 4) * 8 + 1); /* AH CH DH BH */
    return (uint8_t)(n * 8);
}

static unsigned operand_size(const struct decoder *d, unsigned size)
{
    switch (size) {
    case S_B:
        return 1;
    case S_W:
        return 2;
    case S_D:
        return 4;
    case S_Q:
        return 8;
    case S_Y:
        return d->code64 && d->rex & 8 ? 8 : 4;
    case S_X:
        return d->rex & 8 ? 8 : 4;
    case S_D64:
        return d->code64 && d->osize == 4 ? 8 : d->osize;
    case S_F64:
        return d->code64 ? 8 : d->osize;
    case S_M:
        return d->code64 ? 8 : 4;
    default:
        return d->osize;
    }
}

static bool needs_more(const struct decoder *d, const struct opcode *row)
{
    switch (row->more_with) {
    case MORE_REX_W:
        return d->rex & 8;
    case MORE_64:
        return d->code64;
    default:
        return d->vex_l;
    }
}

/* Has the cpu what the row needs? */
static bool has_needed(const struct decoder *d, const struct opcode *row)
{
    uint64_t needs = row->needs | (needs_more(d, row) ? row->needs_more : 0);
    return (d->isa & needs) == needs;
}

/* Are C4 and C5 a VEX prefix? Outside of 64-bit mode they are LES and LDS with a memory operand.
 * (In real and virtual-8086 mode the handlers raise #UD: see vex_check().) */
static bool is_vex(const struct decoder *d)
{
    return d->map == 0 && (d->opcode & 0xfe) == 0xc4 && d->isa & ISA_VEX &&
           (d->code64 || (d->p < d->end && *d->p >= 0xc0));
}

/* SDM vol. 2 2.3.5. Its inverted bits become those of a REX prefix. */
static const struct opcode *vex_row(struct decoder *d)
{
    bool three = d->opcode == 0xc4;
    uint8_t first = (uint8_t)take(d, 1), last = three ? (uint8_t)take(d, 1) : first & 0x7f;
    unsigned inverted = ~first >> 5 & (three ? 7 : 4);
    if (d->lock || d->p66 || d->pf2 || d->pf3 || d->rex)
        return NULL;
    d->vex = true;
    d->map = three ? first & 31 : 1;
    d->rex = (uint8_t)((d->code64 ? inverted : 0) | (last >> 7) << 3);
    d->vex_l = last & 4;
    d->vvvv = (uint8_t)(~last >> 3 & (d->code64 ? 15 : 7));
    d->opcode = (uint8_t)take(d, 1);
    if (d->short_of_bytes || d->map < 1 || d->map > 3)
        return NULL;
    return vex_opcode(d->map, last & 3, d->opcode);
}

/* Do the fields of the VEX prefix fit the row? */
static bool vex_fits(const struct decoder *d, const struct opcode *row, bool mem)
{
    bool uses_v = row->vex & VEX_V || (row->vex & VEX_V_REG && !mem);
    bool w = d->rex & 8;
    if (row->flags & OPF_VSIB && (!mem || d->asize == 2 || (d->modrm & 7) != 4))
        return false;
    if (d->vvvv && !uses_v)
        return false;
    return !(row->vex & (d->vex_l ? VEX_L0 : VEX_L1)) && !(row->vex & (w ? VEX_W0 : VEX_W1));
}

/* A row that the cpu has. */
static const struct opcode *sse_row(const struct decoder *d, unsigned prefix)
{
    const struct opcode *row = sse_opcode(d->map, prefix, d->opcode);
    return row && has_needed(d, row) ? row : NULL;
}

static const struct opcode *next_map(struct decoder *d, const struct opcode *row)
{
    unsigned prefix = d->pf2 ? PREFIX_F2 : d->pf3 ? PREFIX_F3 : d->p66 ? PREFIX_66 : PREFIX_NONE;
    if (is_vex(d))
        return vex_row(d);
    if (d->map == 0 && d->opcode == 0x0f) {
        d->opcode = (uint8_t)take(d, 1);
        d->map = 1;
        if (d->opcode == 0x38 || d->opcode == 0x3a) {
            d->map = d->opcode == 0x38 ? 2 : 3;
            d->opcode = (uint8_t)take(d, 1);
            return sse_row(d, prefix);
        }
        row = &opcodes_2[d->opcode];
    }
    if (row->flags & OPF_ESCAPE) {
        const struct opcode *escaped = sse_row(d, prefix);
        /* TZCNT and LZCNT are BSF and BSR where they are not known. */
        return escaped || !row->name[0] ? escaped : row;
    }
    return row;
}

/* Rows of the groups 0F 01, 0F AE and 0F C7 for register operands alone; NULL: as with memory. */
static const struct opcode *register_row(const struct decoder *d)
{
    const struct opcode *row = NULL;
    unsigned reg = d->modrm >> 3 & 7;
    if (d->map != 1 || d->vex || d->modrm >> 6 != 3)
        return NULL;
    if (d->opcode == 0x01)
        row = &opcodes_0f01_reg[d->modrm & 0x3f];
    else if (d->opcode == 0xae && d->pf3)
        row = &opcodes_0fae_f3_reg[reg];
    else if (d->opcode == 0xc7)
        row = &opcodes_0fc7_reg[d->pf3][reg];
    return row && row->name ? row : NULL;
}

static const struct opcode *find_row(struct decoder *d)
{
    const struct opcode *row = next_map(d, d->map ? NULL : &opcodes_1[d->opcode]);
    if (!row || !row->name)
        return NULL;
    if (row->flags & OPF_GROUP) {
        if ((row->flags & OPF_NO64) && d->code64)
            return NULL;
        take_modrm(d);
        const struct opcode *own = register_row(d);
        row = own ? own : &row->group[d->modrm >> 3 & 7];
    }
    if (row->with_reg) {
        take_modrm(d);
        row = d->modrm >> 6 == 3 ? row->with_reg : row;
    }
    bool fx = d->pf2 || d->pf3;
    bool prefixed = row->flags & OPF_NP ? fx || d->p66 : row->flags & OPF_NFX && fx;
    return row->name && has_needed(d, row) && !prefixed ? row : NULL;
}

enum variant { V_RR, V_RM, V_MR, V_RI, V_MI };

static unsigned log2_size(unsigned size)
{
    return size == 8 ? 3 : size >> 1;
}

/* Operands by form: fills registers, memory and immediates, and says which of the ALU_FORMS it is.
 */
static enum variant decode_operands(struct decoder *d, const struct opcode *row, struct insn *i,
                                    bool *rip)
{
    unsigned size = i->size, form = row->form;
    unsigned imm_size = size == 8 ? 4 : size;
    bool mem = false;
    unsigned e = 0, g = 0;
    bool has_e = form <= F_E || form == F_GEI || form == F_GEIB || form == F_EGUB || form >= F_RAW;
    if (form == F_NONE)
        has_e = false;
    if (has_e) {
        take_modrm(d);
        mem = d->modrm >> 6 != 3 && !(row->flags & OPF_NOMODRM_MEM);
        g = (d->modrm >> 3 & 7) | (d->rex & 4) << 1;
        e = (d->modrm & 7) | (d->rex & 1) << 3;
        if (mem)
            decode_memory(d, i, rip);
    }
    unsigned o = (d->opcode & 7) | (d->rex & 1) << 3;
    switch (form) {
    case F_EG:
    case F_EGUB:
        i->rm = reg_number(d, e, size);
        i->reg = reg_number(d, g, size);
        if (form == F_EGUB)
            i->imm = (uint8_t)take(d, 1);
        return mem ? V_MR : V_RR;
    case F_GE:
    case F_GEI:
    case F_GEIB:
        /* Registers change places, so that the destination is rm; with memory it stays in reg. */
        i->rm = reg_number(d, g, size);
        i->reg = reg_number(d, mem ? g : e, size);
        if (form == F_GEI)
            i->imm = take_signed(d, imm_size);
        else if (form == F_GEIB)
            i->imm = (int8_t)take(d, 1);
        return mem ? V_RM : V_RR;
    case F_EI:
    case F_EIB:
    case F_EUB:
    case F_E1:
    case F_ECL:
    case F_E:
        i->rm = reg_number(d, e, size);
        i->reg = (uint8_t)(d->modrm >> 3 & 7);
        i->imm = form == F_EI    ? take_signed(d, imm_size)
                 : form == F_EIB ? (int8_t)take(d, 1)
                 : form == F_EUB ? (uint8_t)take(d, 1)
                 : form == F_E1  ? 1
                 : form == F_ECL ? INSN_COUNT_CL
                                 : 0;
        return mem ? V_MI : V_RI;
    case F_AI:
        i->imm = take_signed(d, imm_size);
        return V_RI;
    case F_O:
        i->rm = i->reg = reg_number(d, o, size);
        return V_RR;
    case F_AO:
        i->reg = reg_number(d, o, size);
        return V_RR;
    case F_OI:
        i->rm = reg_number(d, o, size);
        i->imm = take_signed(d, size);
        return V_RI;
    case F_I:
        i->imm = take_signed(d, imm_size);
        return V_RI;
    case F_IB:
    case F_JB:
        i->imm = (int8_t)take(d, 1);
        return V_RI;
    case F_UB:
        i->imm = (uint8_t)take(d, 1);
        return V_RI;
    case F_IW:
        i->imm = (uint16_t)take(d, 2);
        return V_RI;
    case F_IWIB:
        i->imm = (uint16_t)take(d, 2);
        i->imm |= (int64_t)((uint8_t)take(d, 1)) << 16;
        return V_RI;
    case F_J:
        i->imm = take_signed(d, d->code64 ? 4 : imm_size);
        return V_RI;
    case F_MOFFS:
        i->imm = (int64_t)take(d, d->asize);
        i->seg = (uint8_t)(d->seg >= 0 ? d->seg : SEG_DS);
        return V_RM;
    case F_AP:
        i->imm = (int64_t)take(d, imm_size);
        i->imm |= (int64_t)take(d, 2) << 32;
        return V_RI;
    case F_RAW:
    case F_RAWUB:
        i->rm = (uint8_t)e;
        i->reg = (uint8_t)g;
        if (!mem) /* MASKMOVQ and MASKMOVDQU have memory all the same: at rDI */
            i->seg = (uint8_t)(d->seg >= 0 ? d->seg : SEG_DS);
        if (form == F_RAWUB)
            i->imm = (uint8_t)take(d, 1);
        return mem ? V_RM : V_RR;
    default: /* F_NONE: string instructions use the segment */
        i->seg = (uint8_t)(d->seg >= 0 ? d->seg : SEG_DS);
        return V_RR;
    }
}

/* MOVZX and MOVSX: the source size decides how `reg` is numbered; 16-bit destinations are not
 * specialised. */
static unsigned pick_movx(const struct decoder *d, const struct opcode *row, struct insn *i,
                          unsigned src, bool mem)
{
    unsigned e = (d->modrm & 7) | (d->rex & 1) << 3, g = (d->modrm >> 3 & 7) | (d->rex & 4) << 1;
    i->rm = (uint8_t)g;
    i->reg = mem ? (uint8_t)g : reg_number(d, e, src);
    if (i->size == 2) {
        i->imm = src;
        return row->other;
    }
    if (row->other == OP_movzx)
        return row->op + (mem ? OP_movzx_m1 - OP_movzx_r1 : 0);
    unsigned op = row->op + (mem ? OP_movsx_m1_4 - OP_movsx_r1_4 : 0);
    return i->size == 8 ? op + (OP_movsx_r1_8 - OP_movsx_r1_4) : op;
}

static unsigned pick_op(struct decoder *d, const struct opcode *row, struct insn *i,
                        enum variant variant)
{
    bool mem = i->flags & INSN_MEM;
    unsigned szlog = log2_size(i->size);
    switch (row->pick) {
    case P_ALU:
        return row->op + variant * 4 + szlog;
    case P_UNARY:
        return row->op + (mem ? 4 : 0) + szlog;
    case P_SHIFT:
        if (mem || row->form == F_ECL) {
            if (mem) {
                i->imm |= (int64_t)row->arg << 32;
                return row->other;
            }
            return row->op + 4 + szlog;
        }
        return row->op + szlog;
    case P_CC:
        if (!d->code64 || i->size != 8) {
            i->reg = d->opcode & 15;
            return row->other;
        }
        return row->op + (d->opcode & 15);
    case P_CCIMM:
        i->imm = d->opcode & 15;
        if (row->op == OP_setcc_r)
            return mem ? row->other : row->op;
        if (i->size == 2)
            return row->other;
        return row->op + (i->size == 8) + (mem ? OP_cmov_rm_4 - OP_cmov_rr_4 : 0);
    case P_64:
        return d->code64 && i->size == 8 ? row->op : row->other;
    case P_REG64:
        return d->code64 && i->size == 8 && !mem ? row->op : row->other;
    case P_MOVX1:
        return pick_movx(d, row, i, 1, mem);
    case P_MOVX2:
        return pick_movx(d, row, i, 2, mem);
    case P_MOVSXD:
        if (!d->code64) {
            /* ARPL Ew,Gw */
            i->size = 2;
            unsigned e = d->modrm & 7, g = d->modrm >> 3 & 7;
            i->rm = (uint8_t)e;
            i->reg = (uint8_t)g;
            return OP_arpl;
        }
        if (i->size != 8)
            return mem ? OP_mov_rm_1 + szlog : OP_mov_rr_1 + szlog;
        return mem ? OP_movsxd_m : OP_movsxd_r;
    case P_LEA:
        if (!d->code64 || d->asize != 8 || i->size == 2 || (i->flags & INSN_EA_SLOW))
            return OP_lea;
        return i->size == 8 ? OP_lea_8 : OP_lea_4;
    case P_IMUL2:
        return i->size == 2 ? row->op
                            : (mem ? OP_imul_rm_4 : OP_imul_rr_4) + (unsigned)(i->size == 8);
    default:
        return row->op;
    }
}

/* What raises the exception of bytes that are no instruction: OP_ud or OP_too_long. */
static int invalid(struct insn *i, enum op op, bool *ends)
{
    *i = (struct insn){ .handler = soft_labels->any[op],
                        .op = (uint16_t)op,
                        .len = 1,
                        .size = 4,
                        .base = REG_NONE,
                        .index = REG_NONE };
    *ends = true;
    return -1;
}

static int undefined(struct insn *i, bool *ends)
{
    return invalid(i, OP_ud, ends);
}

/* One-byte opcodes whose meaning hangs on a prefix: PAUSE, and XCHG with R8. */
static unsigned special_nop(const struct decoder *d, struct insn *i)
{
    if (d->pf3)
        return OP_pause;
    if (d->rex & 1) {
        i->rm = RAX;
        i->reg = R8;
        return OP_xchg;
    }
    return OP_nop;
}

static struct decoder begin(const uint8_t *code, unsigned avail, uint32_t mode, uint64_t isa)
{
    return (struct decoder){ .p = code,
                             .start = code,
                             .seg = -1,
                             .code64 = mode & MODE_CODE64,
                             .isa = isa,
                             .end = code + (avail < INSN_BYTES_MAX ? avail : INSN_BYTES_MAX) };
}

const struct opcode *soft_decode_row(const uint8_t *code, unsigned avail, uint32_t mode,
                                     uint64_t isa)
{
    struct decoder d = begin(code, avail, mode, isa);
    take_prefixes(&d, mode);
    return d.short_of_bytes ? NULL : find_row(&d);
}

int soft_decode(const uint8_t *code, unsigned avail, uint32_t mode, uint64_t isa, struct insn *i,
                bool *ends)
{
    bool cut = avail < INSN_BYTES_MAX;
    struct decoder d = begin(code, avail, mode, isa);
    *i = (struct insn){ .base = REG_NONE, .index = REG_NONE };
    take_prefixes(&d, mode);
    const struct opcode *row = d.short_of_bytes ? NULL : find_row(&d);
    if (d.short_of_bytes)
        return cut ? 0 : invalid(i, OP_too_long, ends);
    if (!row || (row->flags & OPF_NO64 && d.code64) || (row->flags & OPF_ONLY64 && !d.code64))
        return undefined(i, ends);

    bool rip = false;
    i->size = (uint8_t)operand_size(&d, row->size);
    enum variant variant = decode_operands(&d, row, i, &rip);
    if (d.short_of_bytes)
        return cut ? 0 : invalid(i, OP_too_long, ends);
    bool mem = i->flags & INSN_MEM;
    if ((row->flags & OPF_MEM && !mem) || (row->flags & OPF_REG && mem) ||
        (d.lock && (!mem || !(row->flags & OPF_LOCK))) || (d.vex && !vex_fits(&d, row, mem)))
        return undefined(i, ends);

    unsigned op = pick_op(&d, row, i, variant);
    if (d.map == 0 && d.opcode == 0x90)
        op = special_nop(&d, i);
    if (row->arg && row->pick == P_ONE)
        i->imm = (i->imm & 0xffffffff) | (int64_t)row->arg << 32;
    if (row->flags & OPF_VSIB && i->index == REG_NONE)
        i->index = 4; /* of vector registers, there is a number 4 */
    if (d.vex)
        i->imm |= INSN_VEX | d.vvvv << INSN_VVVV_SHIFT | (d.vex_l ? INSN_VEX_L : 0);
    i->flags |= (uint8_t)((d.pf3 ? INSN_REP : 0) | (d.pf2 ? INSN_REPNE : 0) |
                          (d.lock ? INSN_LOCK : 0) | log2_size(d.asize) << INSN_ASIZE_SHIFT);
    i->len = (uint8_t)(d.p - d.start);
    i->op = (uint16_t)op;
    i->handler = soft_labels->any[op];
    if (rip)
        i->base = REG_RIP; /* the block adds how far the next instruction is from its start */
    *ends = row->flags & OPF_END;
    return i->len;
}
