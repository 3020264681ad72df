/* Page walks: 32-bit, PAE and 4-level page tables (SDM vol. 3 chapter 4).
 *
 * A walk checks reserved bits and rights and sets A and D; it remembers nothing, which is mmu.c's
 * business. The thread of the cpu. */
#include "cpu/soft/paging.h"

enum {
    PTE_P = 1 << 0,
    PTE_W = 1 << 1,
    PTE_U = 1 << 2,
    PTE_A = 1 << 5,
    PTE_D = 1 << 6,
    PTE_PS = 1 << 7,
    PTE_G = 1 << 8,
    PF_P = 1,
    PF_W = 2,
    PF_U = 4,
    PF_RSVD = 8,
    PF_I = 16,
};
#define PTE_NX    (1ULL << 63)
#define PHYS_BITS SOFT_PHYSICAL_BITS
#define ADDR_MASK (bits_mask(PHYS_BITS) & ~0xfffULL)
#define RSVD_BITS (bits_mask(52) & ~bits_mask(PHYS_BITS))

/* ---- physical memory ---- */

/* Page-table entries in plain memory; elsewhere reads go through the device, as a bus would. */
static uint64_t phys_load(struct soft_cpu *c, uint64_t gpa, unsigned size)
{
    gpa &= c->a20_mask;
    const struct flat_range *r = range_at(c, gpa);
    uint64_t v = UINT64_MAX;
    if (r && r->host && r->last - gpa >= size - 1)
        return ld_le(r->host + (gpa - r->start), size);
    take_lock(c);
    address_space_load(c->vcpu.memory, gpa, size, &v);
    machine_lock_release(c->lock);
    return v;
}

static void phys_store(struct soft_cpu *c, uint64_t gpa, unsigned size, uint64_t v)
{
    gpa &= c->a20_mask;
    const struct flat_range *r = range_at(c, gpa);
    if (r && r->host && !r->readonly && r->last - gpa >= size - 1) {
        soft_ram_changes(c, r->ram_addr + (gpa - r->start), size);
        st_le(r->host + (gpa - r->start), size, v);
    }
}

/* ---- page walks ---- */

/* What all levels allow together. */
struct rights_seen {
    bool write, user, nx;
};

static void restrict_rights(struct rights_seen *r, uint64_t pte)
{
    r->write &= (pte & PTE_W) != 0;
    r->user &= (pte & PTE_U) != 0;
    r->nx |= (pte & PTE_NX) != 0;
}

/* SDM vol. 3 4.6.1. */
static bool allowed(const struct soft_cpu *c, const struct rights_seen *r, int access,
                    enum rights rights)
{
    bool user = rights == RIGHTS_USER;
    if (access == ACCESS_EXEC)
        return !(r->nx && (c->efer & EFER_NX)) &&
               (user ? r->user : !(r->user && (c->cr4 & CR4_SMEP)));
    if (user ? !r->user : r->user && rights == RIGHTS_SYSTEM && (c->cr4 & CR4_SMAP))
        return false;
    return access != ACCESS_WRITE || r->write || (!user && !(c->cr0 & CR0_WP));
}

/* Check the rights of a finished walk and set A and D in the leaf. */
static bool finish_walk(struct soft_cpu *c, struct walk *w, const struct rights_seen *r,
                        uint64_t pte_addr, unsigned pte_size, uint64_t pte, int access,
                        enum rights rights)
{
    if (!allowed(c, r, access, rights)) {
        w->error |= PF_P;
        return false;
    }
    w->global = (pte & PTE_G) && (c->cr4 & CR4_PGE);
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

static bool walk_32(struct soft_cpu *c, uint64_t va, int access, enum rights rights, struct walk *w)
{
    struct rights_seen r = { true, true, false };
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
        return finish_walk(c, w, &r, pde_addr, 4, pde, access, rights);
    }
    set_accessed(c, pde_addr, 4, pde);
    uint64_t pte_addr = (pde & 0xfffff000) + (va >> 12 & 0x3ff) * 4;
    uint64_t pte = phys_load(c, pte_addr, 4);
    if (!(pte & PTE_P))
        return false;
    restrict_rights(&r, pte);
    w->gpa = (pte & 0xfffff000) | (va & 0xfff);
    return finish_walk(c, w, &r, pte_addr, 4, pte, access, rights);
}

static bool reserved(const struct soft_cpu *c, uint64_t entry, uint64_t mask)
{
    return entry & (mask | RSVD_BITS | (c->efer & EFER_NX ? 0 : PTE_NX));
}

/* PAE (levels 2, 1 below the PDPTEs) and 4-level paging (4 to 1): entries are 8 bytes, 9 bits of
 * index each. */
static bool walk_64(struct soft_cpu *c, uint64_t va, int access, enum rights rights, struct walk *w)
{
    struct rights_seen r = { true, true, false };
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
        bool leaf = level == 1 || ((entry & PTE_PS) && level <= (c->pages_1g ? 3 : 2));
        uint64_t bad = leaf && level > 1 ? bits_mask(shift) & ~0x1fffULL
                       : level > 2       ? (uint64_t)PTE_PS
                                         : 0;
        if (reserved(c, entry, bad)) {
            w->error |= PF_P | PF_RSVD;
            return false;
        }
        restrict_rights(&r, entry);
        if (leaf) {
            w->shift = shift;
            w->gpa = (entry & ADDR_MASK & ~bits_mask(shift)) | (va & bits_mask(shift));
            return finish_walk(c, w, &r, addr, 8, entry, access, rights);
        }
        set_accessed(c, addr, 8, entry);
        table = entry & ADDR_MASK;
    }
}

bool paging_walk(struct soft_cpu *c, uint64_t va, int access, enum rights rights, struct walk *w)
{
    *w = (struct walk){ .error = 0 };
    if (!(c->cr0 & CR0_PG)) {
        w->gpa = va & c->a20_mask;
        return true;
    }
    bool nx = (c->efer & EFER_NX) && (c->cr4 & CR4_PAE);
    w->error = (access == ACCESS_WRITE ? PF_W : 0) | (rights == RIGHTS_USER ? PF_U : 0) |
               (access == ACCESS_EXEC && (nx || (c->cr4 & CR4_SMEP)) ? PF_I : 0);
    bool ok =
        c->cr4 & CR4_PAE ? walk_64(c, va, access, rights, w) : walk_32(c, va, access, rights, w);
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
