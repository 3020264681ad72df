/* The state of the processor at the entry of a loaded program: descriptor table, page tables,
 * registers.
 *
 * Intel SDM volume 3: 3.4.5 (segment descriptors), 4.5 (4-level paging), 2.5 (control registers).
 */
#include "boot/boot_internal.h"

#include <linux/kvm.h>
#include <string.h>

enum {
    CR0_PE = 1 << 0,
    CR0_ET = 1 << 4,
    CR4_PAE = 1 << 5,
    EFER_LME = 1 << 8,
    EFER_LMA = 1 << 10,
    PTE_PRESENT = 1 << 0,
    PTE_WRITE = 1 << 1,
    PDE_LARGE = 1 << 7, /* 2 MiB */
    GDT_ENTRIES = 4,
    IDENTITY_GIB = 4,
    PAGE = 4096,
    TABLE_ENTRIES = 512,
    SEGMENT_CODE = 0xb, /* execute, read, accessed */
    SEGMENT_DATA = 0x3, /* read, write, accessed */
    SEGMENT_TSS_BUSY = 0xb,
    SEGMENT_LDT = 0x2,
};
#define CR0_PG (1u << 31)

/* Flat descriptors: base 0, limit 4 GiB in pages, present, ring 0, accessed.
 * 63..56 base | 55 G | 54 D/B | 53 L | 51..48 limit | 47 P | 46..45 DPL | 44 S | 43..40 type | base
 * | limit */
static const uint64_t gdt_code64 = 0x00af9b000000ffff;
static const uint64_t gdt_code32 = 0x00cf9b000000ffff;
static const uint64_t gdt_data = 0x00cf93000000ffff;

static bool put_gdt(struct boot_load *b, uint64_t code, struct error *err)
{
    uint64_t gdt[GDT_ENTRIES] = { 0, 0, code, gdt_data };
    uint64_t addr;
    if (!layout_place_small(&b->layout, sizeof gdt, "the descriptor table", &addr, err) ||
        !layout_write(&b->layout, addr, gdt, sizeof gdt, err))
        return false;
    b->entry.gdt_base = addr;
    b->entry.gdt_limit = sizeof gdt - 1;
    return true;
}

/* One PML4, one page of pointers, and a page directory of 2 MiB pages for each GiB. */
static bool put_identity_map(struct boot_load *b, struct error *err)
{
    uint64_t tables[(2 + IDENTITY_GIB) * TABLE_ENTRIES] = { 0 };
    uint64_t base;
    if (!layout_place_small(&b->layout, sizeof tables, "the page tables", &base, err))
        return false;
    tables[0] = (base + PAGE) | PTE_PRESENT | PTE_WRITE;
    for (unsigned g = 0; g < IDENTITY_GIB; g++) {
        tables[TABLE_ENTRIES + g] = (base + (2 + g) * PAGE) | PTE_PRESENT | PTE_WRITE;
        for (unsigned i = 0; i < TABLE_ENTRIES; i++)
            tables[(2 + g) * TABLE_ENTRIES + i] =
                ((uint64_t)(g * TABLE_ENTRIES + i) << 21) | PTE_PRESENT | PTE_WRITE | PDE_LARGE;
    }
    b->entry.cr3 = base;
    return layout_write(&b->layout, base, tables, sizeof tables, err);
}

bool boot_enter_long64(struct boot_load *b, uint64_t rip, struct error *err)
{
    b->entry.mode = BOOT_LONG64;
    b->entry.rip = b->report.entry = rip;
    b->entry.cr0 = CR0_PE | CR0_ET | CR0_PG;
    b->entry.cr4 = CR4_PAE;
    b->entry.efer = EFER_LME | EFER_LMA;
    return put_gdt(b, gdt_code64, err) && put_identity_map(b, err);
}

bool boot_enter_prot32(struct boot_load *b, uint32_t eip, struct error *err)
{
    b->entry.mode = BOOT_PROT32;
    b->entry.rip = b->report.entry = eip;
    b->entry.cr0 = CR0_PE | CR0_ET;
    return put_gdt(b, gdt_code32, err);
}

static struct kvm_segment flat_segment(uint16_t selector, uint8_t type, bool code, bool long64)
{
    return (struct kvm_segment){ .limit = UINT32_MAX,
                                 .selector = selector,
                                 .type = type,
                                 .present = 1,
                                 .db = !(code && long64),
                                 .s = 1,
                                 .l = code && long64,
                                 .g = 1 };
}

void boot_entry_registers(const struct boot_entry *entry, struct kvm_regs *regs,
                          struct kvm_sregs *sregs)
{
    bool long64 = entry->mode == BOOT_LONG64;
    struct kvm_segment data = flat_segment(BOOT_DS, SEGMENT_DATA, false, long64);
    uint64_t apic_base = sregs->apic_base;

    memset(regs, 0, sizeof *regs);
    memset(sregs, 0, sizeof *sregs);
    regs->rip = entry->rip;
    regs->rsp = entry->rsp;
    regs->rax = entry->rax;
    regs->rbx = entry->rbx;
    regs->rsi = entry->rsi;
    regs->rdi = entry->rdi;
    regs->rflags = 2; /* bit 1 is always set */
    sregs->cs = flat_segment(BOOT_CS, SEGMENT_CODE, true, long64);
    sregs->ds = sregs->es = sregs->fs = sregs->gs = sregs->ss = data;
    /* Processors refuse to run guests without a busy task segment; its limit is the least there is.
     */
    sregs->tr = (struct kvm_segment){ .limit = 0x67, .type = SEGMENT_TSS_BUSY, .present = 1 };
    sregs->ldt = (struct kvm_segment){ .type = SEGMENT_LDT, .unusable = 1 };
    sregs->gdt.base = entry->gdt_base;
    sregs->gdt.limit = entry->gdt_limit;
    sregs->cr0 = entry->cr0;
    sregs->cr3 = entry->cr3;
    sregs->cr4 = entry->cr4;
    sregs->efer = entry->efer;
    sregs->apic_base = apic_base;
}
