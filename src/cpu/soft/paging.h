/* What page walks and the TLB have of each other. The thread of the cpu. */
#pragma once

#include "cpu/soft/soft_cpu.h"

struct walk {
    unsigned shift; /* log2 of the size of the page that holds it */
    uint64_t gpa;   /* of the byte */
    bool global;    /* CR4.PGE is set, and its G bit */
    uint32_t error; /* page-fault error code, when the walk fails */
};

/* Translate, setting A and D bits. False: page fault with w->error. */
bool paging_walk(struct soft_cpu *c, uint64_t va, int access, enum rights rights, struct walk *w);

static inline const struct flat_range *range_at(struct soft_cpu *c, uint64_t gpa)
{
    return flatview_lookup(c->view, gpa);
}

/* Must somebody be told of writes to the page? Holders of decoded code, the dirty log. */
static inline bool is_told(const struct soft_cpu *c, uint64_t ram_addr)
{
    const uint8_t *flags = mem_page_flags(c->vcpu.machine->mem, ram_addr);
    return __atomic_load_n(flags, __ATOMIC_RELAXED) & (RAM_PAGE_CODE | RAM_PAGE_CLEAN);
}

/* Bytes of one page of RAM change: tell, this cpu included. True: code was dropped. */
static inline bool soft_ram_changes(struct soft_cpu *c, uint64_t ram_addr, uint64_t len)
{
    uint8_t *at = mem_page_flags(c->vcpu.machine->mem, ram_addr);
    uint8_t flags = __atomic_load_n(at, __ATOMIC_RELAXED);
    if (UNLIKELY(flags & RAM_PAGE_CLEAN))
        __atomic_fetch_and(at, (uint8_t)~RAM_PAGE_CLEAN, __ATOMIC_RELAXED);
    return flags & RAM_PAGE_CODE && code_written(c->accel, ram_addr, len);
}

/* ---- tlb.c ---- */

void tlb_init(struct soft_cpu *c);
void tlb_put(struct soft_cpu *c, enum rights rights, uint64_t va, const struct tlb_entry *e);
void tlb_put_fetch(struct soft_cpu *c, struct fetch_entry *slot, const struct fetch_entry *e);
/* A translation of `va` from a page of 1 << `shift` bytes is about to be kept. */
void tlb_note_page_size(struct soft_cpu *c, uint64_t va, unsigned shift);
