/* Multiboot 1: Multiboot Specification 0.6.96, sections 3.1 (header), 3.2 (machine state), 3.3
 * (information).
 *
 * The header lies in the first 8 KiB of an ELF file, whose program headers tell what goes where, or
 * of any file whose header has the address fields. A 64-bit ELF file is taken as well: it is
 * entered in 32-bit protected mode all the same, so its entry must be below 4 GiB. */
#include "boot/boot_internal.h"

#include "base/alloc.h"

#include <stdlib.h>
#include <string.h>

enum {
    MB_SEARCH = 8192,
    MB_MAGIC = 0x1badb002,
    MB_FLAG_PAGE_ALIGN = 1 << 0,
    MB_FLAG_MEMORY_INFO = 1 << 1,
    MB_FLAG_VIDEO = 1 << 2,
    MB_FLAG_ADDRESSES = 1 << 16,
    MB_FLAGS_MUST = 0xffff, /* unknown bits here: the file must be refused */
    MB_LOADER_MAGIC = 0x2badb002,

    MB_INFO_MEMORY = 1 << 0,
    MB_INFO_CMDLINE = 1 << 2,
    MB_INFO_MODS = 1 << 3,
    MB_INFO_MMAP = 1 << 6,
    MB_INFO_LOADER_NAME = 1 << 9,
};

struct mb_header {
    uint32_t magic, flags, checksum;
    uint32_t header_addr, load_addr, load_end_addr, bss_end_addr, entry_addr;
};

struct mb_info {
    uint32_t flags, mem_lower, mem_upper, boot_device, cmdline, mods_count, mods_addr;
    uint32_t syms[4];
    uint32_t mmap_length, mmap_addr, drives_length, drives_addr, config_table;
    uint32_t boot_loader_name, apm_table;
    uint32_t vbe[4];
};

struct mb_mmap {
    uint32_t size; /* of what follows */
    uint64_t addr, len;
    uint32_t type;
} __attribute__((packed));

struct mb_block {
    struct mb_info info;
    char loader[16];
    struct mb_mmap map[BOOT_E820_MAX];
};

/* The header's offset in the file, or false. */
static bool find_header(const struct image *image, struct mb_header *h, size_t *at)
{
    size_t end = image->size < MB_SEARCH ? image->size : MB_SEARCH;
    for (size_t i = 0; i + 12 <= end; i += 4) {
        const uint8_t *p = image->data + i;
        if (ld_le32(p) != MB_MAGIC || ld_le32(p) + ld_le32(p + 4) + ld_le32(p + 8) != 0)
            continue;
        *h = (struct mb_header){ 0 };
        memcpy(h, p, end - i < sizeof *h ? end - i : sizeof *h);
        *at = i;
        return true;
    }
    return false;
}

bool multiboot_detect(const struct image *image)
{
    struct mb_header h;
    size_t at;
    return find_header(image, &h, &at);
}

/* Load by the address fields: section 3.1.3. */
static bool load_addresses(struct boot_load *b, const struct mb_header *h, size_t at,
                           struct error *err)
{
    const struct image *image = &b->kernel;
    if (h->header_addr < h->load_addr || h->header_addr - h->load_addr > at)
        return error_set(err, "multiboot: load_addr 0x%x does not fit header_addr 0x%x",
                         h->load_addr, h->header_addr);
    size_t from = at - (h->header_addr - h->load_addr);
    uint64_t size = image->size - from;
    if (h->load_end_addr) {
        if (h->load_end_addr < h->load_addr || h->load_end_addr - h->load_addr > size)
            return error_set(err, "multiboot: cut short: load_end_addr 0x%x is beyond the file",
                             h->load_end_addr);
        size = h->load_end_addr - h->load_addr;
    }
    uint64_t total = size;
    if (h->bss_end_addr) {
        if (h->bss_end_addr < h->load_addr + size)
            return error_set(err, "multiboot: bss_end_addr 0x%x is below the end of the data",
                             h->bss_end_addr);
        total = h->bss_end_addr - h->load_addr;
    }
    b->report.kernel_start = h->load_addr;
    b->report.kernel_end = h->load_addr + total;
    return layout_claim(&b->layout, h->load_addr, total, "the multiboot image", err) &&
           layout_write(&b->layout, h->load_addr, image->data + from, size, err) &&
           layout_zero(&b->layout, h->load_addr + size, total - size, err);
}

static bool load_elf(struct boot_load *b, struct error *err)
{
    if (!elf_image_is_elf(b->kernel.data, b->kernel.size))
        return error_set(err, "multiboot: not an ELF file and no address fields in the header");
    if (b->elf.entry > UINT32_MAX)
        return error_set(err, "multiboot: the entry 0x%llx is beyond 4 GiB",
                         (unsigned long long)b->elf.entry);
    return boot_load_elf(b, err);
}

/* KiB of RAM from 0, and from 1 MiB up to the first hole. */
static void fill_memory(const struct layout *l, struct mb_info *info)
{
    const uint64_t mib = 1 << 20;
    for (size_t i = 0; i < l->ram_count; i++) {
        const struct layout_piece *r = &l->ram[i];
        if (r->start == 0)
            info->mem_lower = (r->last < 640 * 1024 ? r->last + 1 : 640 * 1024) / 1024;
        if (r->start <= mib && r->last > mib) {
            uint64_t kib = (r->last + 1 - mib) / 1024;
            info->mem_upper = kib < UINT32_MAX ? kib : UINT32_MAX;
        }
    }
}

/* What precedes the options, as loaders do it: the file's name, without the folders of this host.
 */
static bool put_cmdline(struct boot_load *b, struct error *err)
{
    const char *slash = strrchr(b->kernel.path, '/');
    const char *name = slash ? slash + 1 : b->kernel.path, *options = boot_cmdline(b);
    char *line = alloc_printf("%s%s%s", name, *options ? " " : "", options);
    bool ok = layout_put_string(&b->layout, line, "the command line", &b->report.cmdline_addr, err);
    free(line);
    return ok;
}

static bool put_info(struct boot_load *b, struct error *err)
{
    const struct layout *l = &b->layout;
    struct mb_block block = { .loader = "perilune" };
    uint64_t addr, modules;
    uint32_t module_count;
    if (l->map_count > BOOT_E820_MAX)
        return error_set(err, "memory map: %zu entries, at most %d", l->map_count, BOOT_E820_MAX);
    if (!multiboot_put_modules(b, &module_count, &modules, err) ||
        !layout_place_small(&b->layout, sizeof block, "the multiboot information", &addr, err))
        return false;
    struct mb_info *info = &block.info;
    info->flags =
        MB_INFO_MEMORY | MB_INFO_CMDLINE | MB_INFO_MODS | MB_INFO_MMAP | MB_INFO_LOADER_NAME;
    fill_memory(l, info);
    info->cmdline = b->report.cmdline_addr;
    info->mods_count = module_count;
    info->mods_addr = modules;
    for (size_t i = 0; i < l->map_count; i++)
        block.map[i] = (struct mb_mmap){ sizeof(struct mb_mmap) - 4, l->map[i].addr, l->map[i].size,
                                         l->map[i].type };
    info->mmap_addr = addr + offsetof(struct mb_block, map);
    info->mmap_length = l->map_count * sizeof(struct mb_mmap);
    info->boot_loader_name = addr + offsetof(struct mb_block, loader);
    b->report.params_addr = addr;
    return layout_write(&b->layout, addr, &block, sizeof block, err);
}

bool multiboot_load(struct boot_load *b, struct error *err)
{
    struct mb_header h;
    size_t at;
    if (!find_header(&b->kernel, &h, &at))
        return error_set(err, "no multiboot header in the first 8 KiB");
    uint32_t unknown = h.flags & MB_FLAGS_MUST &
                       ~(uint32_t)(MB_FLAG_PAGE_ALIGN | MB_FLAG_MEMORY_INFO | MB_FLAG_VIDEO);
    if (unknown)
        return error_set(err, "multiboot: the header asks for 0x%x, which is not known", unknown);
    bool addresses = h.flags & MB_FLAG_ADDRESSES;
    if (addresses && at + sizeof h > b->kernel.size)
        return error_set(err, "multiboot: cut short in the header's address fields");
    if (!(addresses ? load_addresses(b, &h, at, err) : load_elf(b, err)))
        return false;
    uint32_t entry = addresses ? h.entry_addr : b->elf.entry;
    if (!put_cmdline(b, err) || !put_info(b, err) || !boot_enter_prot32(b, entry, err))
        return false;
    b->entry.rax = MB_LOADER_MAGIC;
    b->entry.rbx = b->report.params_addr;
    return true;
}
