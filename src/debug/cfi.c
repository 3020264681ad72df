/* Call frame information through libdw, which finds the rules and gives them as DWARF expressions;
 * those are computed here, on the guest's registers and memory. */
#include "debug/unwind_internal.h"

#include "base/alloc.h"
#include "boot/image.h"

#include <dwarf.h>
#include <elfutils/libdw.h>
#include <stdlib.h>
#include <string.h>

#define PROGRAM_FILE_MAX (4ull << 30)

enum { STACK_MAX = 16, OPS_MAX = 64 };

struct cfi {
    struct image file;
    Elf *elf;
    Dwarf *dwarf;
    Dwarf_CFI *eh;    /* .eh_frame; ours to end */
    Dwarf_CFI *debug; /* .debug_frame; of `dwarf` */
};

static bool open_parts(struct cfi *c, struct error *err)
{
    const char *path = c->file.path;
    GElf_Ehdr header;
    elf_version(EV_CURRENT);
    c->elf = elf_memory((char *)c->file.data, c->file.size);
    if (!c->elf || !gelf_getehdr(c->elf, &header) || header.e_machine != EM_X86_64)
        return error_set(err, "program %s: not an ELF file for x86-64", path);
    c->eh = dwarf_getcfi_elf(c->elf);
    c->dwarf = dwarf_begin_elf(c->elf, DWARF_C_READ, NULL);
    c->debug = c->dwarf ? dwarf_getcfi(c->dwarf) : NULL;
    return c->eh || c->debug ||
           error_set(err, "program %s: has neither .eh_frame nor .debug_frame", path);
}

struct cfi *cfi_load(const char *path, struct error *err)
{
    struct cfi *c = ALLOC(struct cfi);
    if (image_open(&c->file, "program", path, PROGRAM_FILE_MAX, err) && open_parts(c, err)) {
        c->file.path = NULL; /* borrowed, and not needed any more */
        return c;
    }
    cfi_free(c);
    return NULL;
}

void cfi_free(struct cfi *c)
{
    if (!c)
        return;
    if (c->eh)
        dwarf_cfi_end(c->eh);
    if (c->dwarf)
        dwarf_end(c->dwarf);
    elf_end(c->elf);
    image_close(&c->file);
    free(c);
}

/* The rules for `pc`; freed with free(). NULL: none. */
static Dwarf_Frame *find_frame(struct cfi *c, uint64_t pc)
{
    Dwarf_Frame *frame = NULL;
    if (c->eh && dwarf_cfi_addrframe(c->eh, pc, &frame) == 0)
        return frame;
    if (c->debug && dwarf_cfi_addrframe(c->debug, pc, &frame) == 0)
        return frame;
    return NULL;
}

bool cfi_covers(struct cfi *c, uint64_t pc)
{
    Dwarf_Frame *frame = find_frame(c, pc);
    free(frame);
    return frame != NULL;
}

/* What an expression is computed on. */
struct machine_state {
    const struct unwind_config *config;
    const struct unwind_regs *regs;
    uint64_t cfa;
    uint64_t stack[STACK_MAX];
    unsigned depth;
    bool is_value; /* the result is the value, not the place of it */
};

static bool push(struct machine_state *m, uint64_t value)
{
    if (m->depth == STACK_MAX)
        return false;
    m->stack[m->depth++] = value;
    return true;
}

static bool push_register(struct machine_state *m, unsigned reg, uint64_t offset)
{
    return reg < UNWIND_REGS && unwind_knows(m->regs, reg) && push(m, m->regs->r[reg] + offset);
}

/* The operators on the two topmost values: DWARF 5, section 2.5.1.4. */
static bool binary(struct machine_state *m, unsigned op)
{
    if (m->depth < 2)
        return false;
    uint64_t b = m->stack[--m->depth], *a = &m->stack[m->depth - 1];
    switch (op) {
    case DW_OP_plus:
        *a += b;
        return true;
    case DW_OP_minus:
        *a -= b;
        return true;
    case DW_OP_and:
        *a &= b;
        return true;
    case DW_OP_or:
        *a |= b;
        return true;
    case DW_OP_mul:
        *a *= b;
        return true;
    case DW_OP_shl:
        *a = b < 64 ? *a << b : 0;
        return true;
    case DW_OP_ge:
        *a = (int64_t)*a >= (int64_t)b;
        return true;
    default:
        return false;
    }
}

static bool operate(struct machine_state *m, const Dwarf_Op *op)
{
    unsigned atom = op->atom;
    if (atom >= DW_OP_lit0 && atom <= DW_OP_lit31)
        return push(m, atom - DW_OP_lit0);
    if (atom >= DW_OP_breg0 && atom <= DW_OP_breg31)
        return push_register(m, atom - DW_OP_breg0, op->number);
    switch (atom) {
    case DW_OP_bregx:
        return op->number < UNWIND_REGS && push_register(m, op->number, op->number2);
    case DW_OP_call_frame_cfa:
        return push(m, m->cfa);
    case DW_OP_const1u:
    case DW_OP_const1s:
    case DW_OP_const2u:
    case DW_OP_const2s:
    case DW_OP_const4u:
    case DW_OP_const4s:
    case DW_OP_const8u:
    case DW_OP_const8s:
    case DW_OP_constu:
    case DW_OP_consts:
        return push(m, op->number);
    case DW_OP_plus_uconst:
        return m->depth && (m->stack[m->depth - 1] += op->number, true);
    case DW_OP_deref:
        return m->depth &&
               guest_read_u64(&m->config->mem, m->stack[m->depth - 1], &m->stack[m->depth - 1]);
    case DW_OP_stack_value:
        m->is_value = true;
        return m->depth > 0;
    default:
        return binary(m, atom);
    }
}

/* False: it cannot be computed, because of what it needs or of what is in memory. */
static bool compute(struct machine_state *m, const Dwarf_Op *ops, size_t count, uint64_t *result)
{
    m->depth = 0;
    m->is_value = false;
    if (count == 0 || count > OPS_MAX)
        return false;
    for (size_t i = 0; i < count; i++)
        if (!operate(m, &ops[i]))
            return false;
    if (m->depth == 0)
        return false;
    *result = m->stack[m->depth - 1];
    return true;
}

/* The caller's value of one register, where it can be had. */
static void recover(struct machine_state *m, Dwarf_Frame *frame, unsigned reg, unsigned as,
                    struct unwind_regs *next)
{
    Dwarf_Op mem[3], *ops;
    size_t count;
    uint64_t value;
    if (dwarf_frame_register(frame, reg, mem, &ops, &count) != 0)
        return;
    if (count == 0) {
        /* Nothing said: the same value; otherwise lost. */
        if (!ops && unwind_knows(m->regs, reg))
            unwind_set(next, as, m->regs->r[reg]);
        return;
    }
    if (count == 1 && ops[0].atom >= DW_OP_reg0 && ops[0].atom <= DW_OP_reg31) {
        unsigned other = ops[0].atom - DW_OP_reg0;
        if (other < UNWIND_REGS && unwind_knows(m->regs, other))
            unwind_set(next, as, m->regs->r[other]);
        return;
    }
    if (compute(m, ops, count, &value) &&
        (m->is_value || guest_read_u64(&m->config->mem, value, &value)))
        unwind_set(next, as, value);
}

static enum unwind_step apply(const struct unwind_config *c, const struct unwind_frame *f,
                              Dwarf_Frame *frame, struct unwind_frame *next)
{
    struct machine_state m = { .config = c, .regs = &f->regs };
    Dwarf_Op *ops;
    size_t count;
    bool interrupted = false;
    int return_register = dwarf_frame_info(frame, NULL, NULL, &interrupted);
    if (return_register < 0 || dwarf_frame_cfa(frame, &ops, &count) != 0)
        return UNWIND_STEP_LOST;
    /* Code that has no caller says so by leaving its return address undefined. */
    Dwarf_Op mem[3], *return_ops;
    size_t return_count;
    if (dwarf_frame_register(frame, return_register, mem, &return_ops, &return_count) == 0 &&
        return_count == 0 && return_ops == mem)
        return UNWIND_STEP_BOTTOM;
    if (!compute(&m, ops, count, &m.cfa) || m.cfa <= f->regs.r[UNWIND_RSP])
        return UNWIND_STEP_LOST;
    for (unsigned reg = 0; reg < UNWIND_RIP; reg++)
        if (reg != UNWIND_RSP)
            recover(&m, frame, reg, reg, &next->regs);
    recover(&m, frame, return_register, UNWIND_RIP, &next->regs);
    unwind_set(&next->regs, UNWIND_RSP, m.cfa);
    next->method = UNWIND_BY_CFI;
    next->exact = interrupted;
    return unwind_knows(&next->regs, UNWIND_RIP) ? UNWIND_STEP_OK : UNWIND_STEP_MEMORY;
}

enum unwind_step unwind_step_cfi(const struct unwind_config *c, const struct unwind_program *p,
                                 const struct unwind_frame *f, struct unwind_frame *next)
{
    Dwarf_Frame *frame = find_frame(p->cfi, unwind_frame_pc(f) - p->slide);
    if (!frame)
        return UNWIND_STEP_LOST;
    enum unwind_step step = apply(c, f, frame, next);
    free(frame);
    return step;
}
