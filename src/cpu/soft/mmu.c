/* Addresses: page walks, the TLB, and every access that the fast path cannot do.
 *
 * SDM vol. 3 chapter 4. A TLB entry serves one virtual page for one privilege (user or supervisor)
 * and holds a tag per kind of access; A and D bits are set before a tag is. Pages that are not
 * plain memory get entries too, marked TLB_IO, that lead to the physical address. */
#include "cpu/soft/operand.h"
#include "cpu/soft/tracing.h"

#include "base/log.h"

enum {
    PTE_P = 1 << 0,
    PTE_W = 1 << 1,
    PTE_U = 1 << 2,
    PTE_A = 1 << 5,
    PTE_D = 1 << 6,
    PTE_PS = 1 << 7,
    PF_P = 1,
    PF_W = 2,
    PF_U = 4,
    PF_RSVD = 8,
    PF_I = 16,
};
#define PTE_NX    (1ULL << 63)
#define PHYS_BITS 40
#define ADDR_MASK (bits_mask(PHYS_BITS) & ~0xfffULL)
#define RSVD_BITS (bits_mask(52) & ~bits_mask(PHYS_BITS))

struct walk {
    unsigned shift; /* log2 of the size of the page that holds it */
    uint64_t gpa;   /* of the byte */
    uint32_t error; /* page-fault error code, when the walk fails */
};

/* ---- physical memory ---- */

static const struct flat_range *range_at(struct soft_cpu *c, uint64_t gpa)
{
    return flatview_lookup(c->view, gpa);
}

/* Page-table entries in plain memory; elsewhere reads go through the device, as a bus would. */
static uint64_t phys_load(struct soft_cpu *c, uint64_t gpa, unsigned size)
{
    const struct flat_range *r = range_at(c, gpa);
    uint64_t v = UINT64_MAX;
    if (r && r->host && r->last - gpa >= size - 1)
        return ld_le(r->host + (gpa - r->start), size);
    struct machine_lock *lock = loop_lock(c->vcpu.machine->loop);
    take_lock(c);
    address_space_load(c->vcpu.machine->memory, gpa, size, &v);
    machine_lock_release(lock);
    return v;
}

static bool has_code(const struct soft_cpu *c, uint64_t ram_addr)
{
    const uint8_t *flags = mem_page_flags(c->vcpu.machine->mem, ram_addr);
    return __atomic_load_n(flags, __ATOMIC_RELAXED) & RAM_PAGE_CODE;
}

/* Tell whoever decoded code from RAM, this cpu included, that it changes. */
static bool ram_changes(struct soft_cpu *c, uint64_t ram_addr, uint64_t len)
{
    if (!has_code(c, ram_addr))
        return false;
    return code_written(c->accel, ram_addr, len);
}

static void phys_store(struct soft_cpu *c, uint64_t gpa, unsigned size, uint64_t v)
{
    const struct flat_range *r = range_at(c, gpa);
    if (r && r->host && !r->readonly && r->last - gpa >= size - 1) {
        ram_changes(c, r->ram_addr + (gpa - r->start), size);
        st_le(r->host + (gpa - r->start), size, v);
    }
}

/* ---- page walks ---- */

/* What all levels allow together. */
struct rights {
    bool write, user, nx;
};

static void restrict_rights(struct rights *r, uint64_t pte)
{
    r->write &= (pte & PTE_W) != 0;
    r->user &= (pte & PTE_U) != 0;
    r->nx |= (pte & PTE_NX) != 0;
}

/* Check the rights of a finished walk and set A and D in the leaf. */
static bool finish_walk(struct soft_cpu *c, struct walk *w, const struct rights *r,
                        uint64_t pte_addr, unsigned pte_size, uint64_t pte, int access, bool user)
{
    bool nx = r->nx && (c->efer & EFER_NX);
    bool write_ok = r->write || (!user && !(c->cr0 & CR0_WP));
    bool allowed = (!user || r->user) && (access != ACCESS_WRITE || write_ok) &&
                   (access != ACCESS_EXEC || !nx);
    if (!allowed) {
        w->error |= PF_P;
        return false;
    }
    uint64_t want = PTE_A | (access == ACCESS_WRITE ? PTE_D : 0);
    if ((pte & want) != want && pte_addr) {
        pte |= want;
        phys_store(c, pte_addr, pte_size, pte);
    }
    return true;
}

static void set_accessed(struct soft_cpu *c, uint64_t addr, unsigned size, uint64_t entry)
{
    if (!(entry & PTE_A))
        phys_store(c, addr, size, entry | PTE_A);
}

static bool walk_32(struct soft_cpu *c, uint64_t va, int access, bool user, struct walk *w)
{
    struct rights r = { true, true, false };
    uint64_t pde_addr = (c->cr3 & 0xfffff000) + (va >> 22 & 0x3ff) * 4;
    uint64_t pde = phys_load(c, pde_addr, 4);
    if (!(pde & PTE_P))
        return false;
    restrict_rights(&r, pde);
    if ((pde & PTE_PS) && (c->cr4 & CR4_PSE)) {
        /* PSE-36: bits 13-20 of the entry are bits 32-39 of the address; bit 21 is reserved. */
        if (pde & 1 << 21) {
            w->error |= PF_P | PF_RSVD;
            return false;
        }
        w->shift = 22;
        w->gpa = (pde & 0xffc00000) | (pde >> 13 & 0xff) << 32 | (va & 0x3fffff);
        return finish_walk(c, w, &r, pde_addr, 4, pde, access, user);
    }
    set_accessed(c, pde_addr, 4, pde);
    uint64_t pte_addr = (pde & 0xfffff000) + (va >> 12 & 0x3ff) * 4;
    uint64_t pte = phys_load(c, pte_addr, 4);
    if (!(pte & PTE_P))
        return false;
    restrict_rights(&r, pte);
    w->gpa = (pte & 0xfffff000) | (va & 0xfff);
    return finish_walk(c, w, &r, pte_addr, 4, pte, access, user);
}

static bool reserved(const struct soft_cpu *c, uint64_t entry, uint64_t mask)
{
    return entry & (mask | RSVD_BITS | (c->efer & EFER_NX ? 0 : PTE_NX));
}

/* PAE (levels 2, 1 below the PDPTEs) and 4-level paging (4 to 1): entries are 8 bytes, 9 bits of
 * index each. */
static bool walk_64(struct soft_cpu *c, uint64_t va, int access, bool user, struct walk *w)
{
    struct rights r = { true, true, false };
    uint64_t table;
    int level;
    if (long_mode(c)) {
        table = c->cr3 & ADDR_MASK;
        level = 4;
    } else {
        uint64_t pdpte = c->pdptr[va >> 30 & 3];
        if (!(pdpte & PTE_P))
            return false;
        table = pdpte & ADDR_MASK;
        level = 2;
    }
    for (;; level--) {
        unsigned shift = 12 + 9 * (unsigned)(level - 1);
        uint64_t addr = table + (va >> shift & 0x1ff) * 8;
        uint64_t entry = phys_load(c, addr, 8);
        if (!(entry & PTE_P))
            return false;
        bool leaf = level == 1 || ((entry & PTE_PS) && level <= 3);
        uint64_t bad = leaf && level > 1 ? bits_mask(shift) & ~0x1fffULL
                       : level == 4      ? (uint64_t)PTE_PS
                                         : 0;
        if (reserved(c, entry, bad)) {
            w->error |= PF_P | PF_RSVD;
            return false;
        }
        restrict_rights(&r, entry);
        if (leaf) {
            w->shift = shift;
            w->gpa = (entry & ADDR_MASK & ~bits_mask(shift)) | (va & bits_mask(shift));
            return finish_walk(c, w, &r, addr, 8, entry, access, user);
        }
        set_accessed(c, addr, 8, entry);
        table = entry & ADDR_MASK;
    }
}

/* Translate, setting A and D bits. False: page fault with w->error. */
static bool walk(struct soft_cpu *c, uint64_t va, int access, bool user, struct walk *w)
{
    *w = (struct walk){ .error = 0 };
    if (!(c->cr0 & CR0_PG)) {
        w->gpa = va & c->a20_mask;
        return true;
    }
    w->error = (access == ACCESS_WRITE ? PF_W : 0) | (user ? PF_U : 0) |
               (access == ACCESS_EXEC && (c->efer & EFER_NX) && (c->cr4 & CR4_PAE) ? PF_I : 0);
    bool ok = c->cr4 & CR4_PAE ? walk_64(c, va, access, user, w) : walk_32(c, va, access, user, w);
    w->gpa &= c->a20_mask;
    return ok;
}

bool mmu_load_pdptrs(struct soft_cpu *c, uint64_t cr3)
{
    uint64_t p[4];
    for (unsigned n = 0; n < 4; n++) {
        p[n] = phys_load(c, (cr3 & 0xffffffe0) + n * 8, 8);
        if ((p[n] & PTE_P) && (p[n] & (RSVD_BITS | 0x1e6 | PTE_NX)))
            return false;
    }
    memcpy(c->pdptr, p, sizeof p);
    return true;
}

/* ---- the TLB ---- */

void mmu_flush(struct soft_cpu *c)
{
    memset(c->tlbs, 0xff, sizeof c->tlbs);
    memset(c->fetch_tlb, 0xff, sizeof c->fetch_tlb);
    memset(c->large_seen, 0, sizeof c->large_seen);
    c->giant_seen = false;
    c->jump_generation++;
    TRACE(soft_trace, SOFT_TRACE_TLB_FLUSH, soft_source(c), c->cr3);
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
static void note_page_size(struct soft_cpu *c, uint64_t va, unsigned shift)
{
    if (LIKELY(shift <= 12))
        return;
    uint64_t bit, *word = large_word(c, va, &bit);
    *word |= bit;
    if (shift == 22) { /* 4 MiB: the other half too */
        word = large_word(c, va ^ 1 << 21, &bit);
        *word |= bit;
    }
    c->giant_seen |= shift > 22;
}

void mmu_flush_page(struct soft_cpu *c, uint64_t va)
{
    uint64_t bit, *word = large_word(c, va, &bit);
    if (*word & bit || c->giant_seen) {
        mmu_flush(c);
        return;
    }
    for (unsigned u = 0; u < 2; u++) {
        memset(tlb_slot(c->tlbs[u], va), 0xff, sizeof(struct tlb_entry));
        memset(&c->fetch_tlb[u][va >> 12 & (FETCH_TLB_SIZE - 1)], 0xff, sizeof(struct fetch_entry));
    }
    c->jump_generation++;
    TRACE(soft_trace, SOFT_TRACE_TLB_FLUSH_PAGE, soft_source(c), va);
}

void mmu_protect_code(struct soft_cpu *c, const uint8_t *host_page)
{
    for (unsigned u = 0; u < 2; u++)
        for (unsigned n = 0; n < TLB_SIZE; n++) {
            struct tlb_entry *e = &c->tlbs[u][n];
            uint64_t page = e->tag[ACCESS_WRITE];
            if (!(page & 0xfff) && page + e->addend == (uint64_t)host_page)
                e->tag[ACCESS_WRITE] |= TLB_CODE;
        }
}

/* Where one page's worth of an access goes. */
struct target {
    uint8_t *host;     /* NULL: a device, or memory that this access may not touch directly */
    uint64_t gpa;      /* when host is NULL */
    uint64_t ram_addr; /* when host is not NULL */
    bool code;         /* a write must tell who holds decoded code */
};

static int fault_non_canonical(struct soft_cpu *c)
{
    const struct insn *i = c->cur;
    bool stack = i && i->flags & INSN_MEM && i->seg == SEG_SS;
    return raise_error(c, stack ? VEC_SS : VEC_GP, 0);
}

/* By a debug register, or by a hook. */
static bool is_watched_page(const struct soft_cpu *c, uint64_t va)
{
    return (c->debug_data && debug_watches_page(c, va)) ||
           (c->watch.data.count && watch_covers_page(c, va));
}

/* Translate and remember. 0 or X_FAULT. */
static int tlb_fill(struct soft_cpu *c, uint64_t va, int access, bool user, struct target *t)
{
    if (UNLIKELY(long_mode(c) && !is_canonical(va)))
        return fault_non_canonical(c);
    struct walk w;
    if (!walk(c, va, access, user, &w))
        return raise_page_fault(c, va, w.error);
    note_page_size(c, va, w.shift);
    uint64_t page = va & ~0xfffULL, off = va & 0xfff;
    *t = (struct target){ .gpa = w.gpa };
    struct tlb_entry e = { { TLB_INVALID, TLB_INVALID }, 0, w.gpa - off };
    const struct flat_range *r = range_at(c, w.gpa);
    bool whole = r && r->start <= w.gpa - off && r->last >= w.gpa - off + 0xfff;
    if (whole && r->host) {
        e.phys = r->ram_addr + (w.gpa - off - r->start);
        e.addend = (uint64_t)(r->host + (w.gpa - off - r->start)) - page;
        e.tag[ACCESS_READ] = page;
        t->ram_addr = e.phys + off;
        if (access == ACCESS_WRITE && !r->readonly) {
            t->code = has_code(c, e.phys);
            e.tag[ACCESS_WRITE] = page | (t->code ? TLB_CODE : 0);
        }
        if (access == ACCESS_READ || !r->readonly)
            t->host = (uint8_t *)(va + e.addend);
    } else {
        e.tag[ACCESS_READ] = page | TLB_IO;
        if (access == ACCESS_WRITE)
            e.tag[ACCESS_WRITE] = page | TLB_IO;
    }
    if (UNLIKELY(is_watched_page(c, va)))
        for (unsigned n = 0; n < 2; n++)
            e.tag[n] |= TLB_WATCH; /* leaves TLB_INVALID as it is */
    *tlb_slot(c->tlbs[user], va) = e;
    return 0;
}

static int resolve(struct soft_cpu *c, uint64_t va, int access, bool user, struct target *t)
{
    struct tlb_entry *e = tlb_slot(c->tlbs[user], va);
    uint64_t tag = e->tag[access];
    if (tag == TLB_INVALID || (tag & ~0xfffULL) != (va & ~0xfffULL))
        return tlb_fill(c, va, access, user, t);
    uint64_t phys = e->phys + (va & 0xfff);
    if ((tag & TLB_CODE) && !has_code(c, phys))
        tag = e->tag[access] &= ~(uint64_t)TLB_CODE;
    *t = tag & TLB_IO ? (struct target){ .gpa = phys }
                      : (struct target){ .host = (uint8_t *)(va + e->addend),
                                         .ram_addr = phys,
                                         .code = tag & TLB_CODE };
    return 0;
}

/* The memory that instructions are fetched from: taps tell of data only. NULL: not memory. */
static const struct flat_range *fetch_range(struct soft_cpu *c, uint64_t gpa)
{
    const struct flat_range *r = range_at(c, gpa);
    while (r && !r->host)
        r = r->beneath ? flatview_lookup(r->beneath, gpa) : NULL;
    return r;
}

/* The page at `gpa_page` as one piece of host memory: *ram gets its RAM address. NULL: it is not.
 */
static const uint8_t *fetch_page(struct soft_cpu *c, uint64_t gpa_page, uint64_t *ram)
{
    const struct flat_range *first = fetch_range(c, gpa_page),
                            *last = fetch_range(c, gpa_page + 0xfff);
    if (!first || !last)
        return NULL;
    const uint8_t *host = first->host + (gpa_page - first->start);
    if (last->host + (gpa_page + 0xfff - last->start) != host + 0xfff)
        return NULL;
    *ram = first->ram_addr + (gpa_page - first->start);
    return host;
}

const uint8_t *mmu_fetch(struct soft_cpu *c, uint64_t va, uint64_t *ram_addr)
{
    if (!long_mode(c))
        va = (uint32_t)va;
    bool user = is_user(c);
    uint64_t page = va & ~0xfffULL, off = va & 0xfff;
    struct fetch_entry *e = &c->fetch_tlb[user][va >> 12 & (FETCH_TLB_SIZE - 1)];
    if (LIKELY(e->tag == page)) {
        *ram_addr = e->ram_page + off;
        return e->host + off;
    }
    struct walk w;
    if (!walk(c, va, ACCESS_EXEC, user, &w)) {
        raise_page_fault(c, va, w.error);
        return NULL;
    }
    note_page_size(c, va, w.shift);
    uint64_t ram_page;
    const uint8_t *host = fetch_page(c, w.gpa - off, &ram_page);
    if (!host) {
        log_guest("cpu", "instruction fetch at %#llx from physical %#llx, which is not memory",
                  (unsigned long long)va, (unsigned long long)w.gpa);
        raise_exception(c, VEC_UD);
        return NULL;
    }
    *e = (struct fetch_entry){ page, host, ram_page };
    *ram_addr = e->ram_page + off;
    return e->host + off;
}

/* ---- devices ---- */

/* Something has been asked of the loop meanwhile: a timer moved, an interrupt came, the map
 * changed. */
static int after_device(struct soft_cpu *c)
{
    return atomic_load_explicit(&c->stop_at, memory_order_relaxed) ? 0 : X_BREAK;
}

static int leave_device(struct soft_cpu *c)
{
    leave_machine(c);
    return after_device(c);
}

static int device_load(struct soft_cpu *c, uint64_t gpa, unsigned size, uint64_t *v)
{
    c->stats.exits_mmio++;
    enter_machine(c);
    address_space_load(c->vcpu.machine->memory, gpa, size, v);
    return leave_device(c);
}

static int device_store(struct soft_cpu *c, uint64_t gpa, unsigned size, uint64_t v)
{
    c->stats.exits_mmio++;
    enter_machine(c);
    address_space_store(c->vcpu.machine->memory, gpa, size, v);
    return leave_device(c);
}

int io_in(struct soft_cpu *c, uint16_t port, unsigned size, uint64_t *v)
{
    c->stats.exits_pio++;
    if (UNLIKELY(c->debug_io))
        debug_io_access(c, port, size);
    enter_machine(c);
    address_space_load(c->vcpu.machine->io, port, size, v);
    return leave_device(c);
}

int io_out(struct soft_cpu *c, uint16_t port, unsigned size, uint64_t v)
{
    c->stats.exits_pio++;
    if (UNLIKELY(c->debug_io))
        debug_io_access(c, port, size);
    enter_machine(c);
    address_space_store(c->vcpu.machine->io, port, size, v);
    return leave_device(c);
}

/* ---- accesses ---- */

static int target_load(struct soft_cpu *c, const struct target *t, unsigned size, uint64_t *v)
{
    if (!t->host)
        return device_load(c, t->gpa, size, v);
    *v = ld_le(t->host, size);
    return 0;
}

static int target_store(struct soft_cpu *c, const struct target *t, unsigned size, uint64_t v)
{
    if (!t->host)
        return device_store(c, t->gpa, size, v);
    bool dropped = t->code && ram_changes(c, t->ram_addr, size);
    st_le(t->host, size, v);
    return dropped ? X_BREAK : 0;
}

/* Linear addresses are 32 bits wide outside of long mode. */
static uint64_t next_page(const struct soft_cpu *c, uint64_t va)
{
    va = (va | 0xfff) + 1;
    return long_mode(c) ? va : (uint32_t)va;
}

/* An access over the end of a page: both pages are translated before either is touched. */
static int resolve_both(struct soft_cpu *c, uint64_t va, int access, bool user, struct target t[2])
{
    int st = resolve(c, va, access, user, &t[0]);
    return st ? st : resolve(c, next_page(c, va), access, user, &t[1]);
}

static int load_any(struct soft_cpu *c, uint64_t va, unsigned size, uint64_t *v, bool user)
{
    struct target t[2];
    if (!long_mode(c))
        va = (uint32_t)va;
    unsigned first = 0x1000 - (va & 0xfff);
    if (first >= size) {
        int st = resolve(c, va, ACCESS_READ, user, t);
        return st ? st : target_load(c, t, size, v);
    }
    int st = resolve_both(c, va, ACCESS_READ, user, t);
    *v = 0;
    for (unsigned k = 0; k < size && st >= 0; k++) {
        const struct target *from = &t[k >= first];
        unsigned off = k >= first ? k - first : k;
        struct target at = { from->host ? from->host + off : NULL, from->gpa + off, 0, false };
        uint64_t byte;
        st |= target_load(c, &at, 1, &byte);
        *v |= (byte & 0xff) << 8 * k;
    }
    return st;
}

static int store_any(struct soft_cpu *c, uint64_t va, unsigned size, uint64_t v, bool user)
{
    struct target t[2];
    if (!long_mode(c))
        va = (uint32_t)va;
    unsigned first = 0x1000 - (va & 0xfff);
    if (first >= size) {
        int st = resolve(c, va, ACCESS_WRITE, user, t);
        return st ? st : target_store(c, t, size, v);
    }
    int st = resolve_both(c, va, ACCESS_WRITE, user, t);
    for (unsigned k = 0; k < size && st >= 0; k++) {
        const struct target *to = &t[k >= first];
        unsigned off = k >= first ? k - first : k;
        struct target at = { to->host ? to->host + off : NULL, to->gpa + off, to->ram_addr + off,
                             to->code };
        st |= target_store(c, &at, 1, v >> 8 * k & 0xff);
    }
    return st;
}

static int probe_any(struct soft_cpu *c, uint64_t va, unsigned size, bool user)
{
    struct target t[2];
    if (!long_mode(c))
        va = (uint32_t)va;
    if (0x1000 - (va & 0xfff) >= size)
        return resolve(c, va, ACCESS_WRITE, user, t);
    return resolve_both(c, va, ACCESS_WRITE, user, t);
}

/* A watched access has happened: the loop must look at what it hit. */
static int watched(struct soft_cpu *c, uint64_t va, unsigned size, bool write, int st)
{
    if (c->debug_data)
        debug_data_access(c, va, size, write);
    return c->debug_hits || c->stop_wanted ? X_BREAK : st;
}

static bool watching(const struct soft_cpu *c)
{
    return c->debug_data || c->watch.data.count;
}

int mmu_load_slow(struct soft_cpu *c, uint64_t va, unsigned size, uint64_t *v, bool user)
{
    int st = load_any(c, va, size, v, user);
    if (LIKELY(!watching(c)) || st < 0)
        return st;
    if (c->watch.data.count)
        watch_tell_access(c, va, size, false, v);
    return watched(c, va, size, false, st);
}

int mmu_store_slow(struct soft_cpu *c, uint64_t va, unsigned size, uint64_t v, bool user)
{
    if (LIKELY(!watching(c)))
        return store_any(c, va, size, v, user);
    /* Whoever is told of a write may be sure that it can happen. */
    int st = probe_any(c, va, size, user);
    if (st < 0)
        return st;
    if (!c->watch.data.count || watch_tell_access(c, va, size, true, &v))
        st = store_any(c, va, size, v, user);
    return st < 0 ? st : watched(c, va, size, true, st);
}

int mmu_probe_write(struct soft_cpu *c, uint64_t va, unsigned size)
{
    return probe_any(c, va, size, is_user(c));
}

uint8_t *mmu_host(struct soft_cpu *c, uint64_t va, int access, int *status)
{
    struct target t;
    *status = resolve(c, va, access, is_user(c), &t);
    if (*status)
        return NULL;
    return t.code || is_watched_page(c, va) ? NULL : t.host;
}

bool mmu_translate_quiet(struct soft_cpu *c, uint64_t va, uint64_t *gpa)
{
    if (!(c->cr0 & CR0_PG)) {
        *gpa = va & c->a20_mask;
        return true;
    }
    bool pae = c->cr4 & CR4_PAE;
    unsigned entry_size = pae ? 8 : 4;
    int level = long_mode(c) ? 4 : 2;
    uint64_t table = c->cr3 & (pae ? ADDR_MASK : 0xfffff000);
    if (pae && !long_mode(c)) {
        if (!(c->pdptr[va >> 30 & 3] & PTE_P))
            return false;
        table = c->pdptr[va >> 30 & 3] & ADDR_MASK;
    }
    unsigned bits = pae ? 9 : 10;
    for (;; level--) {
        unsigned shift = 12 + bits * (unsigned)(level - 1);
        uint64_t entry =
            phys_load(c, table + (va >> shift & bits_mask(bits)) * entry_size, entry_size);
        if (!(entry & PTE_P))
            return false;
        bool large = level > 1 && level <= 3 && (entry & PTE_PS) && (pae || (c->cr4 & CR4_PSE));
        uint64_t addr = entry & (pae ? ADDR_MASK : 0xfffff000);
        if (level == 1 || large) {
            *gpa = ((addr & ~bits_mask(shift)) | (va & bits_mask(shift))) & c->a20_mask;
            return true;
        }
        table = addr;
    }
}

/* ---- the view of memory ---- */

/* The cpu that runs must neither use the view meanwhile nor what it shows afterwards. */
static void listener_begin(struct mem_listener *l)
{
    soft_stand_still(CONTAINER_OF(l, struct soft_cpu, listener)->accel);
}

static void listener_commit(struct mem_listener *l)
{
    struct soft_cpu *c = CONTAINER_OF(l, struct soft_cpu, listener);
    struct flatview *old = c->view;
    c->view = flatview_ref(address_space_view(l->as));
    flatview_unref(old);
    mmu_flush(c);
    soft_recheck(c);
}

static void ignore_range(struct mem_listener *l, const struct flat_range *r)
{
    (void)l;
    (void)r;
}

void mmu_init(struct soft_cpu *c)
{
    struct machine *m = c->vcpu.machine;
    c->a20_mask = UINT64_MAX;
    c->listener = (struct mem_listener){
        .as = m->memory,
        .begin = listener_begin,
        .add = ignore_range,
        .remove = ignore_range,
        .commit = listener_commit,
    };
    c->view = flatview_ref(address_space_view(m->memory));
    mem_listener_add(m->mem, &c->listener);
    mmu_flush(c);
}

void mmu_fini(struct soft_cpu *c)
{
    mem_listener_remove(c->vcpu.machine->mem, &c->listener);
    flatview_unref(c->view);
}
