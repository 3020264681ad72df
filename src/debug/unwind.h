/* Backtraces: who called the code at which a guest stands.
 *
 * Each step goes by what is known of the code: ORC for Linux, DWARF call frame information for ELF
 * programs, else the chain of frame pointers, else a guess at the next return address on the stack.
 * The stack is the guest's and may hold anything: every step is checked, their number is bounded.
 */
#pragma once

#include "debug/cfi.h"
#include "debug/orc.h"

/* General registers, in DWARF's order (System V ABI for AMD64, figure 3.36), and RIP. */
enum unwind_reg {
    UNWIND_RAX,
    UNWIND_RDX,
    UNWIND_RCX,
    UNWIND_RBX,
    UNWIND_RSI,
    UNWIND_RDI,
    UNWIND_RBP,
    UNWIND_RSP,
    UNWIND_R8,
    UNWIND_R9,
    UNWIND_R10,
    UNWIND_R11,
    UNWIND_R12,
    UNWIND_R13,
    UNWIND_R14,
    UNWIND_R15,
    UNWIND_RIP,
    UNWIND_REGS,
};

struct unwind_regs {
    uint64_t r[UNWIND_REGS];
    uint32_t known; /* a bit each: after a step most of a caller's registers are not */
};

enum unwind_method {
    UNWIND_BY_START, /* the frame that was given */
    UNWIND_BY_ORC,
    UNWIND_BY_CFI,
    UNWIND_BY_FRAME_POINTER, /* right only for code that keeps one */
    UNWIND_BY_SCAN,          /* a guess: a return address was found on the stack */
};

struct unwind_frame {
    unsigned index; /* 0: where the guest stands */
    struct unwind_regs regs;
    bool exact; /* RIP is where it stands or was interrupted; else the address it will return to */
    enum unwind_method method; /* by which this frame was found */
};

enum unwind_end {
    UNWIND_END_BOTTOM, /* the code says nobody called it, or the return address is 0 */
    UNWIND_END_USER,   /* the kernel was entered from user mode: that frame was the last one told */
    UNWIND_END_STOPPED, /* the callback had enough */
    UNWIND_END_LIMIT,   /* max_frames */
    UNWIND_END_MEMORY,  /* the stack cannot be read */
    UNWIND_END_LOST,    /* no rule for the code, or the stack makes no sense */
};

/* A program with DWARF call frame information. */
struct unwind_program {
    struct cfi *cfi;
    uint64_t slide; /* where code is, less where the tables have it */
};

struct unwind_config {
    struct guest_memory mem;
    const struct orc *orc;      /* NULL: none */
    uint64_t orc_slide;         /* as a program's */
    struct orc *const *modules; /* tables of its modules, with real addresses */
    size_t module_count;
    const struct unwind_program *programs; /* the first that has a rule for a place is asked */
    size_t program_count;
    unsigned max_frames; /* 0: 64 */
};

/* False: enough. */
typedef bool unwind_frame_fn(void *opaque, const struct unwind_frame *frame);

/* Tell every frame from where the registers are, innermost first. RIP and RSP must be known. */
enum unwind_end unwind(const struct unwind_config *config, const struct unwind_regs *start,
                       unwind_frame_fn *frame, void *opaque);

/* Is there a rule for the kernel's code at `pc`: in its own tables or in a module's? */
bool unwind_has_orc(const struct unwind_config *config, uint64_t pc);

const char *unwind_end_text(enum unwind_end end);
const char *unwind_method_name(enum unwind_method method);

/* An address in the code that is being executed: a return address may already be the next
 * function's. For looking up names. */
static inline uint64_t unwind_frame_pc(const struct unwind_frame *f)
{
    return f->regs.r[UNWIND_RIP] - !f->exact;
}

/* "name+0x12/0x80" of the frame. Returns `buf`. */
char *unwind_frame_format(const struct unwind_frame *f, struct symbols *symbols, char *buf,
                          size_t size);

static inline void unwind_set(struct unwind_regs *regs, enum unwind_reg reg, uint64_t value)
{
    regs->r[reg] = value;
    regs->known |= 1u << reg;
}

static inline bool unwind_knows(const struct unwind_regs *regs, enum unwind_reg reg)
{
    return regs->known >> reg & 1;
}
