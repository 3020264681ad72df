/* What page walks and the TLB have of each other. The thread of the cpu. */
#pragma once

#include "cpu/soft/soft_cpu.h"

struct walk {
    unsigned shift; /* log2 of the size of the page that holds it */
    uint64_t gpa;   /* of the byte */
    uint32_t error; /* page-fault error code, when the walk fails */
};

/* Translate, setting A and D bits. False: page fault with w->error. */
bool paging_walk(struct soft_cpu *c, uint64_t va, int access, bool user, struct walk *w);

static inline const struct flat_range *range_at(struct soft_cpu *c, uint64_t gpa)
{
    return flatview_lookup(c->view, gpa);
}

static inline bool has_code(const struct soft_cpu *c, uint64_t ram_addr)
{
    const uint8_t *flags = mem_page_flags(c->vcpu.machine->mem, ram_addr);
    return __atomic_load_n(flags, __ATOMIC_RELAXED) & RAM_PAGE_CODE;
}

/* Tell whoever decoded code from RAM, this cpu included, that it changes. */
static inline bool soft_ram_changes(struct soft_cpu *c, uint64_t ram_addr, uint64_t len)
{
    if (!has_code(c, ram_addr))
        return false;
    return code_written(c->accel, ram_addr, len);
}
