/* Random instructions and states for soft_native: made from the rows of the software CPU's opcode
 * table.
 *
 * What the operand's address needs of registers is decided while the bytes are put; what the
 * operation needs (a stack, strings, a dividend) before and after. */
#pragma once

#include "soft_fixture.h"

#include "native_host.h"
#include "native_rows.h"
#include "random.h"

enum {
    AREA = 0x10000000, /* host and guest virtual address */
    CODE_PAGES = 2,
    DATA_PAGES = 4,
    DATA_BASE = AREA + 0x10000,
    DATA_SIZE = DATA_PAGES * 0x1000,
    DATA_PHYS = 0x800000, /* in the guest's RAM */
    CODE_PHYS = 0x810000,
    TAKEN_DISTANCE = 0x20, /* from a branch's end to its target */
};

struct insn_case {
    struct row *row;
    uint8_t bytes[48];
    unsigned len;
    unsigned osize, asize, rex;
    unsigned vvvv;
    bool lock, rep, mem, vex_l;
    unsigned g, e;   /* register numbers of ModRM */
    uint64_t target; /* of the memory operand */
    uint64_t rip;
    uint32_t fixed;  /* registers that the operand's address has set */
    int rip_disp_at; /* where the displacement of a RIP-relative operand is, -1: none */
    struct native_regs in;
};

static struct guest guest;
static uint8_t *host_data; /* the guest's copy is at DATA_PHYS */
static uint64_t random_value(void)
{
    static const uint64_t special[] = {
        0,         1,          2,          0x7f,           0x80,        0xff,
        0x7fff,    0x8000,     0xffff,     0x7fffffff,     0x80000000,  0xffffffff,
        INT64_MAX, 1ULL << 63, UINT64_MAX, UINT64_MAX - 1, 0x100000000, 0xffffffff80000000
    };
    switch (below(4)) {
    case 0:
        return special[below(ARRAY_LEN(special))];
    case 1:
        return (uint64_t)((int64_t)below(512) - 256);
    default:
        return random64() >> (below(4) ? 0 : below(64));
    }
}

/* ---- what is special about an operation ---- */

static bool is_string(unsigned op)
{
    return op >= OP_movs && op <= OP_scas;
}

static bool is_branch(const struct opcode *op)
{
    return (op->flags & OPF_END) && op->op != OP_ud && op->op != OP_popf;
}

static bool is_indirect(const struct opcode *op)
{
    return op->op == OP_jmp_r || op->op == OP_call_r;
}

static bool is_bit_string(const struct row *row)
{
    return row->op->op >= OP_bt && row->op->op <= OP_btc && row->op->form == F_EG;
}

/* Uses the stack pointer, or the frame pointer as one. */
static bool is_stack(const struct opcode *op)
{
    switch (op->op) {
    case OP_push_r8:
    case OP_push_i8:
    case OP_pop_r8:
    case OP_push:
    case OP_pop:
    case OP_pushf:
    case OP_popf:
    case OP_enter:
    case OP_leave:
    case OP_push_seg:
    case OP_ret8:
    case OP_ret_imm:
    case OP_call_rel8:
    case OP_call_r:
        return true;
    default:
        return false;
    }
}

/* A 66 prefix would make it another instruction, or one that vendors disagree about. */
static bool refuses_66(const struct row *row)
{
    return is_branch(row->op) || row->op->op == OP_fence;
}

static unsigned size_of(const struct insn_case *t)
{
    switch (t->row->op->size) {
    case S_B:
        return 1;
    case S_W:
        return 2;
    case S_D:
        return 4;
    case S_Q:
        return 8;
    case S_Y:
        return t->rex & 8 ? 8 : 4;
    case S_D64:
        return t->osize == 4 ? 8 : t->osize;
    case S_F64:
    case S_M:
        return 8;
    default:
        return t->osize;
    }
}

/* ---- making instructions ---- */

static void put(struct insn_case *t, uint64_t v, unsigned size)
{
    st_le(t->bytes + t->len, size, v);
    t->len += size;
}

/* How many prefixes without effect: now and then so many that the instruction is longer than 15
 * bytes, which is #GP. Which exception bytes give that are invalid for another reason too, the
 * manual does not say. */
static unsigned ignored_prefixes(const struct insn_case *t)
{
    const struct opcode *op = t->row->op;
    bool may_be_invalid = op->flags & (OPF_NO64 | OPF_MEM | OPF_REG) || op->op == OP_ud ||
                          t->row->no64 || t->row->vex || t->lock;
    if (below(32))
        return 0;
    return below(8) || may_be_invalid ? 1 : below(15);
}

static void put_prefixes(struct insn_case *t)
{
    static const uint8_t ignored[] = { 0x26, 0x2e, 0x36, 0x3e };
    const struct row *row = t->row;
    bool p66 = !refuses_66(row) && row->prefix == PREFIX_NONE && below(4) == 0;
    if (row->vex) /* none may stand before VEX */
        p66 = below(60) == 0;
    bool p67 = below(8) == 0;
    t->lock = below(row->op->flags & OPF_LOCK ? 3 : 40) == 0;
    t->rep = is_string(row->op->op) && below(2);
    if (p67)
        put(t, 0x67, 1);
    for (unsigned n = ignored_prefixes(t); n; n--)
        put(t, ignored[below(4)], 1);
    if (p66 || (!row->vex && row->prefix == PREFIX_66))
        put(t, 0x66, 1);
    if (t->lock)
        put(t, 0xf0, 1);
    if (t->rep)
        put(t, 0xf2 + below(2), 1);
    else if (row->prefix >= PREFIX_F3 && !row->vex)
        put(t, row->prefix == PREFIX_F3 ? 0xf3 : 0xf2, 1);
    t->rex = below(2) ? 0x40 | below(16) : 0;
    if (t->rex && (!row->vex || below(60) == 0))
        put(t, t->rex, 1);
    t->asize = p67 ? 4 : 8;
    t->osize = t->rex & 8 ? 8 : p66 ? 2 : 4;
}

static void put_opcode(struct insn_case *t)
{
    static const uint8_t second[] = { 0, 0, 0x38, 0x3a };
    if (t->row->vex) {
        t->vvvv = t->row->op->vex & VEX_V || below(20) == 0 ? below(16) : 0;
        t->vex_l = !(t->row->op->vex & VEX_L0) ? below(2) : below(20) == 0;
        put(t, 0xc4, 1);
        put(t, (~t->rex & 7) << 5 | t->row->map, 1);
        put(t, (t->rex & 8) << 4 | (~t->vvvv & 15) << 3 | t->vex_l << 2 | t->row->prefix, 1);
        put(t, t->row->opcode, 1);
        return;
    }
    if (t->row->map)
        put(t, 0x0f, 1);
    if (t->row->map > 1)
        put(t, second[t->row->map], 1);
    put(t, t->row->opcode, 1);
}

/* Put the part of `v` that the form has room for; returns the displacement it means. */
static uint64_t put_disp(struct insn_case *t, unsigned mod, uint64_t v)
{
    if (mod == 1) {
        put(t, v, 1);
        return (uint64_t)(int8_t)v;
    }
    if (mod == 2) {
        put(t, v, 4);
        return (uint64_t)(int32_t)v;
    }
    return 0;
}

/* Junk in the upper half of registers that a 32-bit address does not use. */
static uint64_t address_value(const struct insn_case *t, uint64_t v)
{
    return t->asize == 4 ? (uint32_t)v | random64() << 32 : v;
}

static void fix_register(struct insn_case *t, unsigned reg, uint64_t v)
{
    t->in.r[reg] = address_value(t, v);
    t->fixed |= 1u << reg;
}

/* SIB forms. Base and index get values that lead to the target. */
static void put_sib(struct insn_case *t, unsigned mod)
{
    unsigned base = below(8), index = below(8), scale = below(4);
    bool no_base = base == 5 && mod == 0;
    unsigned base_reg = base | (t->rex & 1) << 3, index_reg = index | (t->rex & 2) << 2;
    if (!no_base && base_reg == index_reg)
        index ^= 1,
            index_reg ^= 1; /* one register cannot be both: its value would be fixed twice */
    bool has_index = index_reg != 4;
    put(t, scale << 6 | index << 3 | base, 1);
    uint64_t at = t->target, x = 0;
    if (has_index) {
        x = no_base ? below(0x1000) : random_value();
        fix_register(t, index_reg, x);
    }
    at -= x << scale;
    if (no_base) {
        put(t, at, 4);
        return;
    }
    uint64_t disp = put_disp(t, mod, random64());
    fix_register(t, base_reg, at - disp);
}

static void put_memory(struct insn_case *t, unsigned reg)
{
    unsigned mod = below(3), rm = below(8);
    put(t, mod << 6 | reg << 3 | rm, 1);
    t->mem = true;
    if (rm == 4) {
        put_sib(t, mod);
    } else if (rm == 5 && mod == 0) {
        t->rip_disp_at = (int)t->len;
        put(t, 0, 4);
    } else {
        uint64_t disp = put_disp(t, mod, random64());
        fix_register(t, rm | (t->rex & 1) << 3, t->target - disp);
    }
}

static void put_modrm(struct insn_case *t)
{
    const struct opcode *op = t->row->op;
    unsigned reg = t->row->group >= 0 ? (unsigned)t->row->group : below(8);
    bool reg_form = op->flags & OPF_MEM ? below(40) == 0 : op->flags & OPF_REG ? true : below(2);
    /* Processors differ in these registers' forms: RDRAND and its like, VMRUN and its, and a
     * hint that is none. */
    if (op->op == OP_cmpxchg8b || op->op == OP_lgdt || op->op == OP_lidt || (t->lock && below(8)))
        reg_form = false;
    t->g = reg | (t->rex & 4) << 1;
    if (!reg_form) {
        put_memory(t, reg);
        return;
    }
    unsigned rm = below(8);
    t->e = rm | (t->rex & 1) << 3;
    put(t, 0xc0 | reg << 3 | rm, 1);
}

static void put_immediate(struct insn_case *t)
{
    unsigned size = size_of(t), half = size == 8 ? 4 : size;
    switch (t->row->op->form) {
    case F_EI:
    case F_AI:
    case F_I:
    case F_GEI:
        put(t, random_value(), half);
        break;
    case F_EIB:
    case F_EUB:
    case F_EGUB:
    case F_IB:
    case F_UB:
    case F_GEIB:
    case F_RAWUB:
        put(t, random_value(), 1);
        break;
    case F_OI:
        put(t, random_value(), size);
        break;
    case F_IW:
        put(t, below(0x100), 2);
        break;
    case F_IWIB:
        put(t, below(0x200), 2);
        put(t, below(6) | below(8) << 5, 1);
        break;
    case F_J:
        put(t, TAKEN_DISTANCE, 4);
        break;
    case F_JB:
        put(t, TAKEN_DISTANCE, 1);
        break;
    case F_MOFFS:
        put(t, t->target, t->asize);
        t->mem = true;
        break;
    }
}

static bool has_modrm(const struct row *row)
{
    unsigned form = row->op->form;
    return row->group >= 0 || (form != F_NONE && form <= F_E) || form == F_GEI || form == F_GEIB ||
           form == F_EGUB || form >= F_RAW;
}

/* ---- states ---- */

static uint8_t *data_at(uint64_t va)
{
    return host_data + (va - DATA_BASE);
}

/* An address for the memory operand: mostly well within a page, sometimes over its end. */
static uint64_t random_target(const struct insn_case *t)
{
    if (t->lock || t->row->op->op == OP_xchg)
        return DATA_BASE + 0x1000 +
               below(0x200) * 16; /* split locks are slow, or forbidden, on hosts */
    if (t->row->op->op == OP_cmpxchg8b && below(8))
        return DATA_BASE + 0x1000 + below(0x200) * 16;
    if (below(8) == 0)
        return DATA_BASE + 0x2000 - below(16);
    return DATA_BASE + 0x1800 + below(0x700);
}

/* Stack and string instructions need more registers than the operand's. */
static void prepare_registers(struct insn_case *t)
{
    unsigned op = t->row->op->op;
    uint64_t *r = t->in.r;
    if (is_stack(t->row->op)) {
        r[RSP] = DATA_BASE + 0x1800 + below(0x400);
        r[RBP] = DATA_BASE + 0x1800 + below(0x400);
    }
    if (is_string(op)) {
        r[RSI] = address_value(t, DATA_BASE + 0x1800 + below(0x800));
        r[RDI] = address_value(t, DATA_BASE + 0x1800 + below(0x800));
        if (t->rep)
            r[RCX] = address_value(t, below(4) ? below(40) : 0);
        if (op == OP_scas && below(2))
            r[RAX] = (uint8_t)random64() * 0x0101010101010101ULL;
    }
    if (op == OP_div || op == OP_idiv) {
        if (below(2))
            r[RDX] = op == OP_idiv && (r[RAX] >> 63) ? UINT64_MAX : 0;
        if (t->row->op->size == S_B && below(2))
            r[RAX] &= 0xff;
    }
    if ((op == OP_loop || op == OP_loope || op == OP_loopne || op == OP_jcxz) && below(2))
        r[RCX] = address_value(t, below(3));
    if (op == OP_xlat)
        r[RBX] = address_value(t, t->target - (uint8_t)r[RAX]);
}

static void write_both(uint64_t va, const void *bytes, size_t n)
{
    memcpy(data_at(va), bytes, n);
    memcpy(guest.ram.host + DATA_PHYS + (va - DATA_BASE), bytes, n);
}

static void refresh_data(uint64_t va, bool repetitive)
{
    uint64_t fresh[8];
    for (unsigned n = 0; n < 8; n++)
        fresh[n] =
            repetitive ? (below(2) ? 0x6161616161616161 : 0x6161610000616161) : random_value();
    write_both(va, fresh, sizeof fresh);
}

static bool is_fixed(const struct insn_case *t, unsigned reg)
{
    return t->fixed >> reg & 1;
}

/* Values that depend on the encoding chosen. */
static void prepare_operands(struct insn_case *t)
{
    unsigned op = t->row->op->op, size = size_of(t);
    uint64_t *r = t->in.r;
    if (t->mem && is_bit_string(t->row)) {
        /* The bit's number moves the address: keep it within the area. */
        uint64_t junk = size < 8 ? random64() << 8 * size : 0;
        r[t->g] = (((uint64_t)below(0x8000) - 0x4000) & bits_mask(8 * size)) | junk;
    }
    /* Comparisons that hold are rare by chance. */
    if (op == OP_cmpxchg && t->mem && !is_fixed(t, RAX) && below(2))
        memcpy(&r[RAX], data_at(t->target), 8);
    if (op == OP_cmpxchg && !t->mem && below(2))
        r[t->e] =
            (r[RAX] & bits_mask(8 * size)) | (below(2) ? random64() & ~bits_mask(8 * size) : 0);
    if (op == OP_cmpxchg8b && !is_fixed(t, RAX) && !is_fixed(t, RDX) && below(2)) {
        memcpy(&r[RAX], data_at(t->target), size);
        memcpy(&r[RDX], data_at(t->target) + size, size);
    }
    if (op == OP_popf) {
        uint64_t flags = (random64() & (FLAGS_ARITH | FLAG_DF)) | FLAG_1 | FLAG_IF;
        write_both(r[RSP], &flags, 8);
    }
}

/* Where an indirect branch or a return leads. */
static void prepare_branch(struct insn_case *t)
{
    uint64_t to = t->rip + t->len + TAKEN_DISTANCE;
    unsigned op = t->row->op->op;
    if (op == OP_ret8 || op == OP_ret_imm)
        write_both(t->in.r[RSP], &to, 8);
    else if (is_indirect(t->row->op) && t->mem)
        write_both(t->target, &to, 8);
    else if (is_indirect(t->row->op))
        t->in.r[t->e] = to;
}

/* Does one register have to be two things: an operand that is not random, and an address? */
static bool in_conflict(const struct insn_case *t, const struct native_regs *wanted)
{
    uint64_t sp = t->in.r[RSP];
    const struct opcode *op = t->row->op;
    if (t->mem && is_bit_string(t->row) && is_fixed(t, t->g))
        return true;
    if (op->op == OP_leave || op->op == OP_enter)
        return memcmp(&t->in, wanted, sizeof *wanted) != 0;
    /* An operand's address is as good a stack, unless it is one half of an address. */
    return is_stack(op) && (sp < DATA_BASE + 0x400 || sp > DATA_BASE + DATA_SIZE - 0x400);
}

/* False: the choices made do not go together. */
static bool try_case(struct insn_case *t, struct row *row)
{
    *t = (struct insn_case){ .row = row, .rip_disp_at = -1 };
    for (unsigned n = 0; n < 16; n++)
        t->in.r[n] = random_value();
    t->in.rflags = (random64() & (FLAGS_ARITH | FLAG_DF)) | FLAG_1 | FLAG_IF;
    put_prefixes(t);
    t->target = random_target(t);
    prepare_registers(t);
    struct native_regs wanted = t->in;
    put_opcode(t);
    if (has_modrm(row))
        put_modrm(t);
    put_immediate(t);
    if (in_conflict(t, &wanted))
        return false;
    /* Over a page's end now and then. */
    t->rip = AREA + (below(16) ? 0x200 + below(0x800) : 0x1000 - below(t->len + 1));
    if (t->rip_disp_at >= 0)
        st_le(t->bytes + t->rip_disp_at, 4, t->target - (t->rip + t->len));
    refresh_data(t->target & ~7ULL, is_string(row->op->op));
    if (is_string(row->op->op)) {
        refresh_data((uint32_t)t->in.r[RSI] - below(40), true);
        refresh_data((uint32_t)t->in.r[RDI] - below(40), true);
    }
    prepare_operands(t);
    prepare_branch(t);
    return true;
}

static void make_case(struct insn_case *t, struct row *row)
{
    while (!try_case(t, row))
        ;
    row->cases++;
}
