/* ORC: the tables by which x86-64 Linux unwinds itself, since it has no frame pointers.
 *
 * Facts: Documentation/x86/orc-unwinder.rst and arch/x86/include/asm/orc_types.h of Linux 4.14
 * to 6.12. The tables are copied, checked and brought into one form when loaded. */
#pragma once

#include "debug/symbols.h"

/* The registers that an entry may build on, as the tables number them. */
enum orc_reg {
    ORC_REG_UNDEFINED,
    ORC_REG_PREV_SP,
    ORC_REG_DX,
    ORC_REG_DI,
    ORC_REG_BP,
    ORC_REG_SP,
    ORC_REG_R10,
    ORC_REG_R13,
    ORC_REG_BP_INDIRECT,
    ORC_REG_SP_INDIRECT,
};

enum orc_type {
    ORC_CALL,         /* the return address is below the previous stack pointer */
    ORC_REGS,         /* struct pt_regs lies there */
    ORC_REGS_PARTIAL, /* only what an interrupt pushes */
    ORC_BOTTOM,       /* nobody called this */
    ORC_UNKNOWN,      /* code that cannot be unwound from */
};

struct orc_entry {
    int16_t sp_offset, bp_offset;
    uint8_t sp_reg, bp_reg; /* enum orc_reg */
    uint8_t type;           /* enum orc_type */
    bool signal;            /* what called this was interrupted there, rather than calling */
};

struct orc;

/* The tables in a bzImage or vmlinux: addresses are as linked. */
struct orc *orc_load_image(const char *path, struct error *err);
struct orc *orc_load_kernel(const struct kernel_image *k, struct error *err);

/* The tables in the memory of a guest that runs, by the names that `symbols` (biased) has for them:
 * addresses are the real ones. */
struct orc *orc_load_memory(struct symbols *symbols, const struct guest_memory *mem,
                            struct error *err);

/* Those of a module, which have no marks of their generation's beside the kernel's, `kernel`.
 * Addresses are the real ones. */
struct orc *orc_load_module(const struct symbols_orc *at, const struct orc *kernel,
                            const struct guest_memory *mem, struct error *err);

/* From bytes: `ips` are 32-bit distances from their own places, of which the first is at
 * `ips_addr`; `entries` has 6 bytes for each. NULL with `err` when they are no such tables. */
struct orc *orc_new(const uint8_t *ips, size_t ips_size, uint64_t ips_addr, const uint8_t *entries,
                    size_t entries_size, struct error *err);
void orc_free(struct orc *o); /* NULL is allowed */

size_t orc_count(const struct orc *o);

/* The entry for the code at `pc`; NULL: the tables do not reach there. */
const struct orc_entry *orc_find(const struct orc *o, uint64_t pc);
