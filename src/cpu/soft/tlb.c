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
static unsigned executed_word(uint64_t va, uint64_t *bit)
{
    uint64_t n = va >> 12;
    n ^= n >> 12;
    *bit = 1ULL << (n & 63);
    return n >> 6 & (EXECUTED_WORDS - 1);
}

/* Only what has been filled is looked at: a few dozens of some thousands, between two flushes. */
static void drop_entries(struct soft_cpu *c, struct tlb_use *use)
{
    for (unsigned w = 0; w < ARRAY_LEN(use->data); w++)
        for (uint64_t bits = use->data[w]; bits; bits &= bits - 1) {
            struct tlb_entry *e = entry_at(c, 64 * w + (unsigned)__builtin_ctzll(bits));
            e->tag[ACCESS_READ] = e->tag[ACCESS_WRITE] = TLB_INVALID;
        }
    for (unsigned w = 0; w < ARRAY_LEN(use->fetch); w++)
        for (uint64_t bits = use->fetch[w]; bits; bits &= bits - 1)
            fetch_at(c, 64 * w + (unsigned)__builtin_ctzll(bits))->tag = TLB_INVALID;
    memset(use, 0, sizeof *use);
}

static void entries_dropped(struct soft_cpu *c)
{
    c->jump_generation++;
    TRACE(soft_trace, SOFT_TRACE_TLB_FLUSH, soft_source(c), c->cr3);
}

void mmu_flush(struct soft_cpu *c)
{
    drop_entries(c, &c->tlb_use[0]);
    drop_entries(c, &c->tlb_use[TLB_GLOBAL]);
    entries_dropped(c);
    memset(c->large_seen, 0, sizeof c->large_seen);
    c->giants_seen = 0;
}

/* Which entries came from large pages stays known: some of the global ones may have. */
void mmu_flush_local(struct soft_cpu *c)
{
    drop_entries(c, &c->tlb_use[0]);
    entries_dropped(c);
}

static void note_used(uint64_t *words, size_t index)
{
    words[index / 64] |= 1ULL << index % 64;
}

void tlb_put(struct soft_cpu *c, enum rights rights, uint64_t va, const struct tlb_entry *e)
{
    struct tlb_entry *slot = tlb_slot(c->tlbs[rights], va);
    *slot = *e;
    note_used(c->tlb_use[e->phys & TLB_GLOBAL].data, (size_t)(slot - entry_at(c, 0)));
}

void tlb_put_fetch(struct soft_cpu *c, struct fetch_entry *slot, const struct fetch_entry *e)
{
    struct tlb_use *use = &c->tlb_use[e->ram_page & TLB_GLOBAL];
    uint64_t bit;
    unsigned word = executed_word(e->tag, &bit);
    *slot = *e;
    use->executed[word] |= bit;
    note_used(use->fetch, (size_t)(slot - fetch_at(c, 0)));
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
    unsigned n = executed_word(va, &bit);
    if ((c->tlb_use[0].executed[n] | c->tlb_use[TLB_GLOBAL].executed[n]) & bit)
        c->jump_generation++;
    TRACE(soft_trace, SOFT_TRACE_TLB_FLUSH_PAGE, soft_source(c), va);
}

void mmu_tell_writes(struct soft_cpu *c, const uint8_t *host_page)
{
    for (unsigned w = 0; w < ARRAY_LEN(c->tlb_use->data); w++)
        for (uint64_t bits = c->tlb_use[0].data[w] | c->tlb_use[TLB_GLOBAL].data[w]; bits;
             bits &= bits - 1) {
            struct tlb_entry *e = entry_at(c, 64 * w + (unsigned)__builtin_ctzll(bits));
            uint64_t tag = e->tag[ACCESS_WRITE];
            if (tag != TLB_INVALID && !(tag & TLB_IO) &&
                (!host_page || (tag & ~0xfffULL) + e->addend == (uint64_t)host_page))
                e->tag[ACCESS_WRITE] |= TLB_TOLD;
        }
}
