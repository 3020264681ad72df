/* The TLB's entries: put in, dropped, and what is remembered of them. mmu.c makes them. */
#include "cpu/soft/operand.h"
#include "cpu/soft/paging.h"
#include "cpu/soft/tracing.h"

const struct tlb_entry mmu_no_tlb[TLB_SIZE] = {
    [0 ... TLB_SIZE - 1] = { { TLB_INVALID, TLB_INVALID }, 0, 0 },
};

/* Entry `n` of all TLBs, one after the other. */
static struct tlb_entry *entry_at(struct soft_cpu *c, size_t n)
{
    struct tlb_entry *first = c->tlbs[0];
    return first + n;
}

static struct fetch_entry *fetch_at(struct soft_cpu *c, size_t n)
{
    struct fetch_entry *first = c->fetch_tlb[0];
    return first + n;
}

/* The bit of a page, by hash, in what says which pages something may be remembered of by the jump
 * cache. */
static uint64_t *executed_word(struct soft_cpu *c, uint64_t va, uint64_t *bit)
{
    uint64_t n = va >> 12;
    n ^= n >> 12;
    *bit = 1ULL << (n & 63);
    return &c->executed[n >> 6 & (EXECUTED_WORDS - 1)];
}

static void note_executed(struct soft_cpu *c, uint64_t va)
{
    uint64_t bit, *word = executed_word(c, va, &bit);
    *word |= bit;
}

/* Only what has been filled is looked at: a few dozens of some thousands, between two flushes. */
static void drop_entries(struct soft_cpu *c, bool global_too)
{
    for (unsigned w = 0; w < ARRAY_LEN(c->tlb_used); w++)
        for (uint64_t bits = c->tlb_used[w]; bits; bits &= bits - 1) {
            struct tlb_entry *e = entry_at(c, 64 * w + (unsigned)__builtin_ctzll(bits));
            if (!global_too && e->phys & TLB_GLOBAL)
                continue;
            e->tag[ACCESS_READ] = e->tag[ACCESS_WRITE] = TLB_INVALID;
            c->tlb_used[w] &= ~(bits & -bits);
        }
    memset(c->executed, 0, sizeof c->executed);
    for (unsigned w = 0; w < ARRAY_LEN(c->fetch_used); w++)
        for (uint64_t bits = c->fetch_used[w]; bits; bits &= bits - 1) {
            struct fetch_entry *e = fetch_at(c, 64 * w + (unsigned)__builtin_ctzll(bits));
            if (!global_too && e->ram_page & TLB_GLOBAL) {
                note_executed(c, e->tag);
                continue;
            }
            e->tag = TLB_INVALID;
            c->fetch_used[w] &= ~(bits & -bits);
        }
    c->jump_generation++;
    TRACE(soft_trace, SOFT_TRACE_TLB_FLUSH, soft_source(c), c->cr3);
}

void mmu_flush(struct soft_cpu *c)
{
    drop_entries(c, true);
    memset(c->large_seen, 0, sizeof c->large_seen);
    c->giants_seen = 0;
}

/* Which entries came from large pages stays known: some of the global ones may have. */
void mmu_flush_local(struct soft_cpu *c)
{
    drop_entries(c, false);
}

static void note_used(uint64_t *words, size_t index)
{
    words[index / 64] |= 1ULL << index % 64;
}

void tlb_put(struct soft_cpu *c, enum rights rights, uint64_t va, const struct tlb_entry *e)
{
    struct tlb_entry *slot = tlb_slot(c->tlbs[rights], va);
    *slot = *e;
    note_used(c->tlb_used, (size_t)(slot - entry_at(c, 0)));
}

void tlb_put_fetch(struct soft_cpu *c, struct fetch_entry *slot, const struct fetch_entry *e)
{
    *slot = *e;
    note_executed(c, e->tag);
    note_used(c->fetch_used, (size_t)(slot - fetch_at(c, 0)));
}

void tlb_init(struct soft_cpu *c)
{
    memset(c->tlbs, 0xff, sizeof c->tlbs);
    memset(c->fetch_tlb, 0xff, sizeof c->fetch_tlb);
    mmu_flush(c);
}

/* Entries are of 4 KiB whatever the size of the guest's page. Which stretches of 2 MiB have entries
 * that came from a larger page is remembered by hash, because INVLPG must then drop more than one.
 */
static uint64_t *large_word(struct soft_cpu *c, uint64_t va, uint64_t *bit)
{
    uint64_t n = va >> 21;
    n ^= n >> 9;
    *bit = 1ULL << (n & 63);
    return &c->large_seen[n >> 6 & (LARGE_WORDS - 1)];
}

/* A translation of `va` from a page of 1 << `shift` bytes is about to be kept. */
void tlb_note_page_size(struct soft_cpu *c, uint64_t va, unsigned shift)
{
    if (LIKELY(shift <= 12))
        return;
    uint64_t bit, *word = large_word(c, va, &bit);
    *word |= bit;
    if (shift == 22) { /* 4 MiB: the other half too */
        word = large_word(c, va ^ 1 << 21, &bit);
        *word |= bit;
    }
    if (shift > 22)
        c->giants_seen |= 1ULL << (va >> 30 & 63);
}

void mmu_flush_page(struct soft_cpu *c, uint64_t va)
{
    uint64_t bit, *word = large_word(c, va, &bit);
    if (*word & bit || c->giants_seen >> (va >> 30 & 63) & 1) {
        mmu_flush(c);
        return;
    }
    for (unsigned r = 0; r < RIGHTS_COUNT; r++)
        memset(tlb_slot(c->tlbs[r], va), 0xff, sizeof(struct tlb_entry));
    for (unsigned u = 0; u < 2; u++)
        memset(&c->fetch_tlb[u][va >> 12 & (FETCH_TLB_SIZE - 1)], 0xff, sizeof(struct fetch_entry));
    word = executed_word(c, va, &bit);
    if (*word & bit)
        c->jump_generation++;
    TRACE(soft_trace, SOFT_TRACE_TLB_FLUSH_PAGE, soft_source(c), va);
}

void mmu_tell_writes(struct soft_cpu *c, const uint8_t *host_page)
{
    for (unsigned w = 0; w < ARRAY_LEN(c->tlb_used); w++)
        for (uint64_t bits = c->tlb_used[w]; bits; bits &= bits - 1) {
            struct tlb_entry *e = entry_at(c, 64 * w + (unsigned)__builtin_ctzll(bits));
            uint64_t tag = e->tag[ACCESS_WRITE];
            if (tag != TLB_INVALID && !(tag & TLB_IO) &&
                (!host_page || (tag & ~0xfffULL) + e->addend == (uint64_t)host_page))
                e->tag[ACCESS_WRITE] |= TLB_TOLD;
        }
}
