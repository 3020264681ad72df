/* PVH: a 32-bit entry named by an ELF note, as Xen starts its guests without firmware.
 *
 * Xen's docs/misc/pvh.pandoc and public/arch-x86/hvm/start_info.h: %ebx points to hvm_start_info,
 * version 1, which leads to the command line, one module (the initrd), the memory map and the ACPI
 * root pointer. */
#include "boot/boot_internal.h"

enum { PVH_MAGIC = 0x336ec578, PVH_VERSION = 1 };

struct hvm_start_info {
    uint32_t magic, version, flags, nr_modules;
    uint64_t modlist_paddr, cmdline_paddr, rsdp_paddr, memmap_paddr;
    uint32_t memmap_entries, reserved;
};

struct hvm_modlist_entry {
    uint64_t paddr, size, cmdline_paddr, reserved;
};

struct hvm_memmap_entry {
    uint64_t addr, size;
    uint32_t type, reserved;
};

/* All that the guest reads, in one piece of RAM. */
struct pvh_block {
    struct hvm_start_info info;
    struct hvm_modlist_entry module;
    struct hvm_memmap_entry map[BOOT_E820_MAX];
};

static bool put_info(struct boot_load *b, struct error *err)
{
    const struct layout *l = &b->layout;
    if (l->map_count > BOOT_E820_MAX)
        return error_set(err, "memory map: %zu entries, at most %d", l->map_count, BOOT_E820_MAX);
    struct pvh_block block = { .info = { .magic = PVH_MAGIC, .version = PVH_VERSION } };
    uint64_t addr;
    if (!layout_place_small(&b->layout, sizeof block, "the PVH start info", &addr, err))
        return false;
    if (b->report.initrd_size) {
        block.info.nr_modules = 1;
        block.info.modlist_paddr = addr + offsetof(struct pvh_block, module);
        block.module.paddr = b->report.initrd_addr;
        block.module.size = b->report.initrd_size;
    }
    for (size_t i = 0; i < l->map_count; i++)
        block.map[i] = (struct hvm_memmap_entry){ .addr = l->map[i].addr,
                                                  .size = l->map[i].size,
                                                  .type = l->map[i].type };
    block.info.cmdline_paddr = b->report.cmdline_addr;
    block.info.rsdp_paddr = b->config->rsdp;
    block.info.memmap_paddr = addr + offsetof(struct pvh_block, map);
    block.info.memmap_entries = l->map_count;
    b->report.params_addr = addr;
    return layout_write(&b->layout, addr, &block, sizeof block, err);
}

bool pvh_load(struct boot_load *b, struct error *err)
{
    if (!b->elf.has_pvh)
        return error_set(err, "no PVH entry: the ELF file has no XEN_ELFNOTE_PHYS32_ENTRY note");
    if (!boot_load_elf(b, err) || !boot_place_initrd(b, UINT32_MAX, err) ||
        !layout_put_string(&b->layout, boot_cmdline(b), "the command line", &b->report.cmdline_addr,
                           err) ||
        !put_info(b, err) || !boot_enter_prot32(b, b->elf.pvh_entry, err))
        return false;
    b->entry.rbx = b->report.params_addr;
    return true;
}
