/* One load in progress, and the loaders, one per format. Private to this folder. */
#pragma once

#include "boot/boot.h"
#include "boot/elf_image.h"
#include "boot/image.h"
#include "boot/layout.h"

struct boot_load {
    const struct boot_config *config;
    struct layout layout;
    struct image kernel;
    struct image initrd;  /* size 0: none, or multiboot's modules */
    struct elf_image elf; /* when the kernel file is ELF */
    struct boot_entry entry;
    struct boot_report report;
};

static inline const char *boot_cmdline(const struct boot_load *b)
{
    return b->config->cmdline ? b->config->cmdline : "";
}

/* The loaders: everything from claiming RAM to the entry state. */
bool bzimage_load(struct boot_load *b, struct error *err);
bool pvh_load(struct boot_load *b, struct error *err);
bool multiboot_load(struct boot_load *b, struct error *err);
bool elf_program_load(struct boot_load *b, struct error *err);

/* Place the modules of a multiboot program, and their list at *addr. None: true, both 0. */
bool multiboot_put_modules(struct boot_load *b, uint32_t *count, uint64_t *addr, struct error *err);

/* Detection: by magic alone. */
bool bzimage_detect(const struct image *image);
bool multiboot_detect(const struct image *image);

/* Claim the segments of b->elf and note where the kernel is. */
bool boot_claim_elf(struct boot_load *b, struct error *err);
/* The same, and read them from the kernel's file. */
bool boot_load_elf(struct boot_load *b, struct error *err);

/* The host's monotonic time, for report.payload_ns. */
uint64_t boot_now_ns(void);

/* Place the initrd as high as possible with its last byte at most `max`. No initrd: true, size 0.
 */
bool boot_place_initrd(struct boot_load *b, uint64_t max, struct error *err);

/* Fill b->entry: tables in RAM, control registers, the instruction pointer. */
bool boot_enter_long64(struct boot_load *b, uint64_t rip, struct error *err);
bool boot_enter_prot32(struct boot_load *b, uint32_t eip, struct error *err);

/* Linux boot parameters ("zero page") for a kernel with this setup header; the initrd is placed.
 * Sets report.params_addr and report.cmdline_addr. */
bool linux_params_build(struct boot_load *b, const uint8_t *setup, size_t setup_size,
                        uint32_t code32_start, struct error *err);
