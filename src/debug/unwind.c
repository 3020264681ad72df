/* Walking up a stack: chooses the method for each frame and stops in time. */
#include "debug/unwind_internal.h"

#include "debug/symbols_internal.h"

#include <stdio.h>
#include <string.h>

enum {
    FRAMES_DEFAULT = 64,
    FRAME_SIZE_MAX = 1 << 20, /* further up a frame pointer does not point */
    SCAN_WORDS = 256,
};

/* A frame pointer points to the caller's one, above which is the return address. */
static enum unwind_step step_frame_pointer(const struct unwind_config *c,
                                           const struct unwind_frame *f, struct unwind_frame *next)
{
    const uint64_t *r = f->regs.r;
    uint64_t saved[2];
    if (!unwind_knows(&f->regs, UNWIND_RBP))
        return UNWIND_STEP_LOST;
    if (r[UNWIND_RBP] == 0)
        return UNWIND_STEP_BOTTOM;
    if (r[UNWIND_RBP] % 8 || r[UNWIND_RBP] < r[UNWIND_RSP] ||
        r[UNWIND_RBP] - r[UNWIND_RSP] > FRAME_SIZE_MAX)
        return UNWIND_STEP_LOST;
    if (!guest_read(&c->mem, r[UNWIND_RBP], saved, sizeof saved))
        return UNWIND_STEP_MEMORY;
    unwind_set(&next->regs, UNWIND_RBP, saved[0]);
    unwind_set(&next->regs, UNWIND_RIP, saved[1]);
    unwind_set(&next->regs, UNWIND_RSP, r[UNWIND_RBP] + 16);
    next->method = UNWIND_BY_FRAME_POINTER;
    return UNWIND_STEP_OK;
}

/* The kernel's rule for the code at `pc`, or a module's. */
static const struct orc_entry *find_orc(const struct unwind_config *c, uint64_t pc)
{
    const struct orc_entry *e = c->orc ? orc_find(c->orc, pc - c->orc_slide) : NULL;
    for (size_t i = 0; !e && i < c->module_count; i++)
        e = orc_find(c->modules[i], pc);
    return e;
}

bool unwind_has_orc(const struct unwind_config *config, uint64_t pc)
{
    return find_orc(config, pc) != NULL;
}

/* Is `addr` in the kernel's code, behind a CALL rel32 (SDM vol. 2, E8)? */
static bool is_return_address(const struct unwind_config *c, uint64_t addr)
{
    uint8_t opcode;
    return find_orc(c, addr) && guest_read(&c->mem, addr - 5, &opcode, 1) && opcode == 0xe8;
}

/* Kernel code without tables: up to the next return address into the kernel. */
static enum unwind_step step_scan(const struct unwind_config *c, const struct unwind_frame *f,
                                  struct unwind_frame *next)
{
    uint64_t sp = f->regs.r[UNWIND_RSP], value;
    if (!c->orc || sp % 8)
        return UNWIND_STEP_LOST;
    for (unsigned i = 0; i < SCAN_WORDS; i++, sp += 8) {
        if (!guest_read_u64(&c->mem, sp, &value))
            return UNWIND_STEP_MEMORY;
        if (!is_return_address(c, value))
            continue;
        unwind_set(&next->regs, UNWIND_RIP, value);
        unwind_set(&next->regs, UNWIND_RSP, sp + 8);
        next->method = UNWIND_BY_SCAN;
        return UNWIND_STEP_OK;
    }
    return UNWIND_STEP_LOST;
}

static enum unwind_step step(const struct unwind_config *c, const struct unwind_frame *f,
                             struct unwind_frame *next)
{
    *next = (struct unwind_frame){ .index = f->index + 1 };
    const struct orc_entry *e = find_orc(c, unwind_frame_pc(f));
    if (e)
        return unwind_step_orc(c, f, e, next);
    for (size_t i = 0; i < c->program_count; i++)
        if (cfi_covers(c->programs[i].cfi, unwind_frame_pc(f) - c->programs[i].slide))
            return unwind_step_cfi(c, &c->programs[i], f, next);
    /* Linux has no frame pointers, so RBP is anything: only what leads back into it is believed. */
    enum unwind_step result = step_frame_pointer(c, f, next);
    if (!c->orc || !is_kernel_address(unwind_frame_pc(f)) ||
        (result == UNWIND_STEP_OK && is_return_address(c, next->regs.r[UNWIND_RIP])))
        return result;
    *next = (struct unwind_frame){ .index = f->index + 1 };
    return step_scan(c, f, next);
}

static bool is_stuck(const struct unwind_frame *f, const struct unwind_frame *next)
{
    return next->regs.r[UNWIND_RIP] == f->regs.r[UNWIND_RIP] &&
           next->regs.r[UNWIND_RSP] == f->regs.r[UNWIND_RSP];
}

static enum unwind_end end_of_step(enum unwind_step result)
{
    switch (result) {
    case UNWIND_STEP_BOTTOM:
        return UNWIND_END_BOTTOM;
    case UNWIND_STEP_MEMORY:
        return UNWIND_END_MEMORY;
    case UNWIND_STEP_USER:
        return UNWIND_END_USER;
    default:
        return UNWIND_END_LOST;
    }
}

enum unwind_end unwind(const struct unwind_config *config, const struct unwind_regs *start,
                       unwind_frame_fn *frame, void *opaque)
{
    struct unwind_frame f = { .regs = *start, .exact = true, .method = UNWIND_BY_START }, next;
    unsigned max = config->max_frames ? config->max_frames : FRAMES_DEFAULT;
    if (!unwind_knows(start, UNWIND_RIP) || !unwind_knows(start, UNWIND_RSP))
        return UNWIND_END_LOST;
    for (unsigned i = 0; i < max; i++) {
        if (!frame(opaque, &f))
            return UNWIND_END_STOPPED;
        enum unwind_step result = step(config, &f, &next);
        if (result == UNWIND_STEP_USER)
            return frame(opaque, &next) ? UNWIND_END_USER : UNWIND_END_STOPPED;
        if (result != UNWIND_STEP_OK)
            return end_of_step(result);
        if (next.regs.r[UNWIND_RIP] == 0)
            return UNWIND_END_BOTTOM;
        if (is_stuck(&f, &next))
            return UNWIND_END_LOST;
        f = next;
    }
    return UNWIND_END_LIMIT;
}

const char *unwind_end_text(enum unwind_end end)
{
    static const char *const texts[] = {
        [UNWIND_END_BOTTOM] = "end of the stack",
        [UNWIND_END_USER] = "entered from user mode",
        [UNWIND_END_STOPPED] = "stopped",
        [UNWIND_END_LIMIT] = "more frames than asked for",
        [UNWIND_END_MEMORY] = "the stack cannot be read",
        [UNWIND_END_LOST] = "no rule how to go on from here",
    };
    return texts[end];
}

const char *unwind_method_name(enum unwind_method method)
{
    static const char *const names[] = {
        [UNWIND_BY_START] = "start", [UNWIND_BY_ORC] = "orc",
        [UNWIND_BY_CFI] = "dwarf",   [UNWIND_BY_FRAME_POINTER] = "frame-pointer",
        [UNWIND_BY_SCAN] = "scan",
    };
    return names[method];
}

char *unwind_frame_format(const struct unwind_frame *f, struct symbols *symbols, char *buf,
                          size_t size)
{
    uint64_t offset, pc = unwind_frame_pc(f);
    char module[80];
    const struct symbol *a = symbols ? symbols_at(symbols, pc, &offset) : NULL;
    if (!a)
        snprintf(buf, size, "0x%llx", (unsigned long long)f->regs.r[UNWIND_RIP]);
    else
        snprintf(buf, size, "%s+0x%llx/0x%llx%s", a->name, (unsigned long long)(offset + !f->exact),
                 (unsigned long long)a->size,
                 symbols_format_module(symbols, a, module, sizeof module));
    return buf;
}
