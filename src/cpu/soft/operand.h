/* Operands: registers, effective addresses, and memory with its fast path. */
#pragma once

#include "cpu/soft/flags.h"

static ALWAYS_INLINE uint64_t reg_get(const struct soft_cpu *c, unsigned n, unsigned size)
{
    switch (size) {
    case 1:
        return ((const uint8_t *)c->r)[n];
    case 2:
        return (uint16_t)c->r[n];
    case 4:
        return (uint32_t)c->r[n];
    default:
        return c->r[n];
    }
}

/* 32-bit writes clear the upper half; narrower ones keep the rest. */
static ALWAYS_INLINE void reg_set(struct soft_cpu *c, unsigned n, unsigned size, uint64_t v)
{
    switch (size) {
    case 1:
        ((uint8_t *)c->r)[n] = (uint8_t)v;
        break;
    case 2:
        memcpy(&c->r[n], &v, 2);
        break;
    case 4:
        c->r[n] = (uint32_t)v;
        break;
    default:
        c->r[n] = v;
        break;
    }
}

/* VEX prefixes are for protected mode: 0, or X_FAULT with #UD. */
static inline int vex_check(struct soft_cpu *c)
{
    if (LIKELY(protected_mode(c) && !(c->eflags & FLAG_VM)))
        return 0;
    return raise_exception(c, VEC_UD);
}

/* ---- memory by virtual address ---- */

static ALWAYS_INLINE struct tlb_entry *tlb_slot(struct tlb_entry *tlb, uint64_t va)
{
    return &tlb[va >> 12 & (TLB_SIZE - 1)];
}

/* An access that leaves its page never matches: the entry in the slot of its first page cannot hold
 * the second. */
static ALWAYS_INLINE bool tlb_hit(const struct tlb_entry *e, uint64_t va, unsigned size, int access)
{
    return ((va + size - 1) & ~0xfffULL) == e->tag[access];
}

/* The fast path keeps values in registers: only here something has an address. */
static ALWAYS_INLINE int load_slow(struct soft_cpu *c, uint64_t va, unsigned size, uint64_t *v)
{
    uint64_t got = 0;
    int st = mmu_load_slow(c, va, size, &got, c->rights);
    *v = got;
    return st;
}

static ALWAYS_INLINE int load(struct soft_cpu *c, uint64_t va, unsigned size, uint64_t *v)
{
    const struct tlb_entry *e = tlb_slot(c->tlb, va);
    if (LIKELY(tlb_hit(e, va, size, ACCESS_READ))) {
        *v = ld_le((const void *)(va + e->addend), size);
        return 0;
    }
    return load_slow(c, va, size, v);
}

static ALWAYS_INLINE int store(struct soft_cpu *c, uint64_t va, unsigned size, uint64_t v)
{
    const struct tlb_entry *e = tlb_slot(c->tlb, va);
    if (LIKELY(tlb_hit(e, va, size, ACCESS_WRITE))) {
        st_le((void *)(va + e->addend), size, v);
        return 0;
    }
    return mmu_store_slow(c, va, size, v, c->rights);
}

/* System structures (descriptor tables, TSS, stacks of more privileged levels) are accessed as
 * supervisor. */
static inline int load_sys(struct soft_cpu *c, uint64_t va, unsigned size, uint64_t *v)
{
    const struct tlb_entry *e = tlb_slot(c->tlbs[RIGHTS_SYSTEM], va);
    if (LIKELY(tlb_hit(e, va, size, ACCESS_READ))) {
        *v = ld_le((const void *)(va + e->addend), size);
        return 0;
    }
    return mmu_load_slow(c, va, size, v, RIGHTS_SYSTEM);
}

static inline int store_sys(struct soft_cpu *c, uint64_t va, unsigned size, uint64_t v)
{
    const struct tlb_entry *e = tlb_slot(c->tlbs[RIGHTS_SYSTEM], va);
    if (LIKELY(tlb_hit(e, va, size, ACCESS_WRITE))) {
        st_le((void *)(va + e->addend), size, v);
        return 0;
    }
    return mmu_store_slow(c, va, size, v, RIGHTS_SYSTEM);
}

/* ---- effective addresses ---- */

/* The offset within the segment, before wrapping to the address size. */
static ALWAYS_INLINE uint64_t ea_offset(const struct soft_cpu *c, const struct insn *i)
{
    return c->r[i->base] + (c->r[i->index] << i->scale) + (uint64_t)(int64_t)i->disp;
}

static inline uint64_t wrap_offset(const struct insn *i, uint64_t a)
{
    unsigned asize = insn_asize(i);
    return asize == 8 ? a : asize == 4 ? (uint32_t)a : (uint16_t)a;
}

/* The wrapped offset: what LEA gives. */
static inline uint64_t ea_wrapped(const struct soft_cpu *c, const struct insn *i)
{
    uint64_t a = ea_offset(c, i);
    /* A displacement that could not be made relative to the block's start: see block.c. */
    if (UNLIKELY(i->base == REG_RIP && insn_asize(i) == 8 && i->flags & INSN_EA_SLOW))
        a += i->next_off;
    return wrap_offset(i, a);
}

/* Linear address of offset `off` in the operand's segment, with wrapping to the address size and,
 * outside of 64-bit mode, the segment's limit and rights. */
int ea_at(struct soft_cpu *c, const struct insn *i, uint64_t off, unsigned size, bool write,
          uint64_t *va);

/* The same of the operand's own offset. */
int ea_slow(struct soft_cpu *c, const struct insn *i, unsigned size, bool write, uint64_t *va);

/* How much there is to an instruction's address. */
enum ea_form {
    EA_ANY,
    EA_PLAIN, /* 64-bit mode, no index, no segment base: block.c tells which are */
};

static ALWAYS_INLINE int ea_of(struct soft_cpu *c, const struct insn *i, enum ea_form form,
                               unsigned size, bool write, uint64_t *va)
{
    if (form == EA_PLAIN) {
        *va = c->r[i->base] + (uint64_t)(int64_t)i->disp;
        return 0;
    }
    if (UNLIKELY(i->flags & INSN_EA_SLOW)) {
        uint64_t got = 0;
        c->cur = i;
        int st = ea_slow(c, i, size, write, &got);
        *va = got;
        return st;
    }
    *va = ea_offset(c, i) + c->ea_base[i->seg];
    return 0;
}

static ALWAYS_INLINE int load_of(struct soft_cpu *c, const struct insn *i, enum ea_form form,
                                 unsigned size, uint64_t *v)
{
    uint64_t va;
    *v = 0; /* of a fault nobody looks at it, which the compiler cannot know */
    int st = ea_of(c, i, form, size, false, &va);
    if (UNLIKELY(st))
        return st;
    const struct tlb_entry *e = tlb_slot(c->tlb, va);
    if (LIKELY(tlb_hit(e, va, size, ACCESS_READ))) {
        *v = ld_le((const void *)(va + e->addend), size);
        return 0;
    }
    c->cur = i;
    return load_slow(c, va, size, v);
}

static ALWAYS_INLINE int store_of(struct soft_cpu *c, const struct insn *i, enum ea_form form,
                                  unsigned size, uint64_t v)
{
    uint64_t va;
    int st = ea_of(c, i, form, size, true, &va);
    if (UNLIKELY(st))
        return st;
    const struct tlb_entry *e = tlb_slot(c->tlb, va);
    if (LIKELY(tlb_hit(e, va, size, ACCESS_WRITE))) {
        st_le((void *)(va + e->addend), size, v);
        return 0;
    }
    c->cur = i;
    return mmu_store_slow(c, va, size, v, c->rights);
}

/* A read that a write to the same place follows: faults as a write, before anything is read. `va`
 * is for the store that completes it. */
static ALWAYS_INLINE int load_rmw_of(struct soft_cpu *c, const struct insn *i, enum ea_form form,
                                     unsigned size, uint64_t *v, uint64_t *va)
{
    *v = 0;
    int st = ea_of(c, i, form, size, true, va);
    if (UNLIKELY(st))
        return st;
    const struct tlb_entry *e = tlb_slot(c->tlb, *va);
    if (LIKELY(tlb_hit(e, *va, size, ACCESS_WRITE))) {
        *v = ld_le((const void *)(*va + e->addend), size);
        return 0;
    }
    c->cur = i;
    st = mmu_probe_write(c, *va, size);
    return st ? st : load_slow(c, *va, size, v);
}

/* The same for the families, which are not specialised by form. */
static ALWAYS_INLINE int ea(struct soft_cpu *c, const struct insn *i, unsigned size, bool write,
                            uint64_t *va)
{
    return ea_of(c, i, EA_ANY, size, write, va);
}

static ALWAYS_INLINE int mem_load(struct soft_cpu *c, const struct insn *i, unsigned size,
                                  uint64_t *v)
{
    return load_of(c, i, EA_ANY, size, v);
}

static ALWAYS_INLINE int mem_store(struct soft_cpu *c, const struct insn *i, unsigned size,
                                   uint64_t v)
{
    return store_of(c, i, EA_ANY, size, v);
}

static ALWAYS_INLINE int mem_load_rmw(struct soft_cpu *c, const struct insn *i, unsigned size,
                                      uint64_t *v, uint64_t *va)
{
    return load_rmw_of(c, i, EA_ANY, size, v, va);
}

/* The r/m operand, whichever it is. For families that are not specialised by form. */
static inline int rm_load(struct soft_cpu *c, const struct insn *i, unsigned size, uint64_t *v)
{
    if (i->flags & INSN_MEM)
        return mem_load(c, i, size, v);
    *v = reg_get(c, i->rm, size);
    return 0;
}

static inline int rm_store(struct soft_cpu *c, const struct insn *i, unsigned size, uint64_t v)
{
    if (i->flags & INSN_MEM)
        return mem_store(c, i, size, v);
    reg_set(c, i->rm, size, v);
    return 0;
}

static inline int rm_load_rmw(struct soft_cpu *c, const struct insn *i, unsigned size, uint64_t *v,
                              uint64_t *va)
{
    if (i->flags & INSN_MEM)
        return mem_load_rmw(c, i, size, v, va);
    *v = reg_get(c, i->rm, size);
    return 0;
}

static inline int rm_store_rmw(struct soft_cpu *c, const struct insn *i, unsigned size, uint64_t v,
                               uint64_t va)
{
    if (i->flags & INSN_MEM)
        return store(c, va, size, v);
    reg_set(c, i->rm, size, v);
    return 0;
}

/* The operand of SLDT, STR and SMSW: a word of memory, or a register of the operand size. */
static inline int rm_store_word(struct soft_cpu *c, const struct insn *i, uint64_t v)
{
    return rm_store(c, i, i->flags & INSN_MEM ? 2 : i->size, v);
}

/* No interrupts until the next instruction is through: STI, MOV SS, POP SS. Of several in a row
 * only the first has this effect. */
static inline void cast_shadow(struct soft_cpu *c)
{
    uint64_t now = soft_icount(c);
    if (c->shadow_at != now)
        c->shadow_at = now + 1;
    soft_recheck(c);
}

/* The same of MOV SS and POP SS, which keep #DB off as well: SDM vol. 3 6.8.3. */
static inline void cast_ss_shadow(struct soft_cpu *c)
{
    cast_shadow(c);
    if (c->shadow_at == soft_icount(c) + 1)
        c->ss_shadow_at = c->shadow_at;
}

/* ---- the stack ---- */

static ALWAYS_INLINE unsigned stack_size(const struct soft_cpu *c)
{
    return c->mode & MODE_CODE64 ? 8 : c->mode & MODE_STACK32 ? 4 : 2;
}

int push_slow(struct soft_cpu *c, unsigned size, uint64_t v);
int pop_slow(struct soft_cpu *c, unsigned size, uint64_t *v);

/* Push `size` bytes; rsp changes only when the store succeeds. */
static ALWAYS_INLINE int push(struct soft_cpu *c, unsigned size, uint64_t v)
{
    if (UNLIKELY(!(c->mode & MODE_CODE64)))
        return push_slow(c, size, v);
    int st = store(c, c->r[RSP] - size, size, v);
    if (UNLIKELY(st < 0))
        return raise_stack_fault(c);
    c->r[RSP] -= size;
    return st;
}

static ALWAYS_INLINE int pop(struct soft_cpu *c, unsigned size, uint64_t *v)
{
    if (UNLIKELY(!(c->mode & MODE_CODE64)))
        return pop_slow(c, size, v);
    int st = load(c, c->r[RSP], size, v);
    if (UNLIKELY(st < 0))
        return raise_stack_fault(c);
    c->r[RSP] += size;
    return st;
}
