/* Telling what a file is, loading it, and the two simplest formats: bare ELF programs and raw
 * bytes. */
#include "boot/boot_internal.h"

#include <string.h>
#include <time.h>

enum {
    ELF_STACK_SIZE = 16384,
    CR0_MP = 1 << 1,
    CR4_OSFXSR = 1 << 9,
    CR4_OSXMMEXCPT = 1 << 10,
};

const char *boot_format_name(enum boot_format format)
{
    switch (format) {
    case BOOT_FORMAT_AUTO:
        return "auto";
    case BOOT_FORMAT_BZIMAGE:
        return "bzimage";
    case BOOT_FORMAT_PVH:
        return "pvh";
    case BOOT_FORMAT_MULTIBOOT:
        return "multiboot";
    case BOOT_FORMAT_ELF:
        return "elf";
    }
    return "unknown";
}

bool boot_claim_elf(struct boot_load *b, struct error *err)
{
    b->report.kernel_start = b->elf.start;
    b->report.kernel_end = b->elf.end;
    return elf_image_claim(&b->elf, &b->layout, err);
}

uint64_t boot_now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000ull + t.tv_nsec;
}

bool boot_load_elf(struct boot_load *b, struct error *err)
{
    uint64_t start = boot_now_ns();
    if (!boot_claim_elf(b, err) || !elf_image_load(&b->elf, &b->layout, &b->kernel, err))
        return false;
    b->report.payload_ns = boot_now_ns() - start;
    return true;
}

bool boot_place_initrd(struct boot_load *b, uint64_t max, struct error *err)
{
    uint64_t size = b->initrd.size;
    if (size == 0)
        return true;
    b->report.initrd_size = size;
    if (!layout_place_high(&b->layout, size, 4096, max, "the initrd", &b->report.initrd_addr,
                           err) ||
        !layout_read(&b->layout, b->report.initrd_addr, &b->initrd, 0, size, err)) {
        error_prefix(err, "initrd %s: ", b->initrd.path);
        return false;
    }
    return true;
}

/* A bare program: 64-bit mode with the low 4 GiB mapped one to one for a 64-bit file, flat 32-bit
 * protected mode for a 32-bit one. It gets a stack and the command line's address: in %rdi and
 * %rbx, so that a C function of one argument can be the 64-bit entry; for that reason SSE is
 * switched on as well. */
bool elf_program_load(struct boot_load *b, struct error *err)
{
    uint64_t stack;
    bool is64 = b->elf.is64;
    if (b->initrd.size)
        return error_set(err, "a bare ELF program takes no initrd (PVH, multiboot and Linux do)");
    if (!boot_load_elf(b, err) ||
        !layout_put_string(&b->layout, boot_cmdline(b), "the command line", &b->report.cmdline_addr,
                           err) ||
        !layout_place_small(&b->layout, ELF_STACK_SIZE, "the stack", &stack, err) ||
        !layout_zero(&b->layout, stack, ELF_STACK_SIZE, err) ||
        !(is64 ? boot_enter_long64(b, b->elf.entry, err) : boot_enter_prot32(b, b->elf.entry, err)))
        return false;
    if (is64) {
        b->entry.cr0 |= CR0_MP;
        b->entry.cr4 |= CR4_OSFXSR | CR4_OSXMMEXCPT;
    }
    /* As after a call: a return address of 0, and 16-byte alignment above it. */
    b->entry.rsp = stack + ELF_STACK_SIZE - (is64 ? 8 : 4);
    b->entry.rdi = b->entry.rbx = b->report.cmdline_addr;
    return true;
}

static enum boot_format detect(const struct boot_load *b)
{
    const struct image *k = &b->kernel;
    if (bzimage_detect(k))
        return BOOT_FORMAT_BZIMAGE;
    if (multiboot_detect(k))
        return BOOT_FORMAT_MULTIBOOT;
    if (elf_image_is_elf(k->data, k->size))
        return b->elf.has_pvh ? BOOT_FORMAT_PVH : BOOT_FORMAT_ELF;
    return BOOT_FORMAT_AUTO;
}

/* Tell what the kernel is. */
static bool parse_kernel(struct boot_load *b, struct error *err)
{
    const struct image *k = &b->kernel;
    b->report.kernel_file_size = k->size;
    if (elf_image_is_elf(k->data, k->size) &&
        !elf_image_parse(&b->elf, k->data, k->size, k->size, err))
        return false;
    b->report.format = b->config->format == BOOT_FORMAT_AUTO ? detect(b) : b->config->format;
    return true;
}

static bool load_kernel(struct boot_load *b, struct error *err)
{
    const struct image *k = &b->kernel;
    bool is_elf = elf_image_is_elf(k->data, k->size);
    enum boot_format format = b->report.format;
    switch (format) {
    case BOOT_FORMAT_BZIMAGE:
        return bzimage_load(b, err);
    case BOOT_FORMAT_MULTIBOOT:
        return multiboot_load(b, err);
    case BOOT_FORMAT_PVH:
    case BOOT_FORMAT_ELF:
        if (!is_elf)
            return error_set(err, "not an ELF file (wrong magic)");
        return format == BOOT_FORMAT_PVH ? pvh_load(b, err) : elf_program_load(b, err);
    case BOOT_FORMAT_AUTO:
        break;
    }
    return error_set(err, "unknown format (wrong magic): not a bzImage, an ELF file or a multiboot "
                          "image");
}

bool boot_load(const struct boot_config *config, struct boot_entry *entry,
               struct boot_report *report, struct error *err)
{
    struct boot_load b = { .config = config };
    bool ok = layout_init(&b.layout, config, err) &&
              image_open(&b.kernel, "kernel", config->kernel, UINT32_MAX, err);
    if (ok && !parse_kernel(&b, err)) {
        ok = false;
        error_prefix(err, "kernel %s: ", config->kernel);
    }
    if (ok && config->initrd && b.report.format != BOOT_FORMAT_MULTIBOOT)
        ok = image_open(&b.initrd, "initrd", config->initrd, UINT32_MAX, err);
    if (ok && !load_kernel(&b, err)) {
        ok = false;
        error_prefix(err, "kernel %s: ", config->kernel);
    }
    if (ok) {
        *entry = b.entry;
        if (report)
            *report = b.report;
    }
    elf_image_fini(&b.elf);
    image_close(&b.initrd);
    image_close(&b.kernel);
    layout_fini(&b.layout);
    return ok;
}

/* Whether all of [addr, addr+size) is memory that a loader can write. */
static bool is_memory(struct address_space *as, uint64_t addr, uint64_t size, uint64_t *bad)
{
    while (size) {
        uint64_t n = size;
        *bad = addr;
        if (!address_space_ptr(as, addr, &n, false, NULL) || n == 0)
            return false;
        addr += n;
        size -= n;
        if (addr == 0 && size)
            return false;
    }
    return true;
}

bool boot_load_raw(struct address_space *as, const char *path, uint64_t addr, struct error *err)
{
    struct image image;
    if (!image_open(&image, "file", path, UINT32_MAX, err))
        return false;
    uint64_t bad;
    bool ok = is_memory(as, addr, image.size, &bad);
    if (!ok)
        error_set(err, "file %s: %zu bytes at 0x%llx: there is no memory at 0x%llx", path,
                  image.size, (unsigned long long)addr, (unsigned long long)bad);
    else if (address_space_write_rom(as, addr, image.data, image.size) != MEM_OK)
        ok = error_set(err, "file %s: cannot be written to 0x%llx", path, (unsigned long long)addr);
    image_close(&image);
    return ok;
}
