/* Loading a program into guest RAM and saying how to enter it, as a boot loader would.
 *
 * boot_load() tells what a file is by its magic, puts it and what it needs (initrd, command line,
 * memory map, boot parameters, page tables) into RAM, and fills a struct boot_entry with the
 * register state the format asks for. docs/boot.md tells the formats and the memory layout.
 *
 * Everything is checked before RAM is written, as far as that is possible without unpacking twice.
 * The caller holds the machine lock; nothing is kept after the call returns. */
#pragma once

#include "base/error.h"
#include "mem/address_space.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct kvm_regs;
struct kvm_sregs;

/* Types of memory map entries: ACPI specification 6.4, table 15.4. */
enum boot_e820_type {
    BOOT_E820_RAM = 1,
    BOOT_E820_RESERVED = 2,
    BOOT_E820_ACPI = 3, /* ACPI tables: RAM once they have been read */
    BOOT_E820_NVS = 4,
};

struct boot_e820 {
    uint64_t addr, size;
    uint32_t type;
};

enum boot_format {
    BOOT_FORMAT_AUTO,
    BOOT_FORMAT_BZIMAGE,   /* Linux/x86 boot protocol 2.12 or later */
    BOOT_FORMAT_PVH,       /* ELF with a XEN_ELFNOTE_PHYS32_ENTRY note */
    BOOT_FORMAT_MULTIBOOT, /* Multiboot 1, in an ELF file or with address fields */
    BOOT_FORMAT_ELF,       /* a bare program, entered in 64- or flat 32-bit mode by its class */
};

/* Who unpacks the payload of a bzImage. */
enum boot_decompress {
    BOOT_DECOMPRESS_AUTO, /* the host when it knows the format, else the guest */
    BOOT_DECOMPRESS_HOST, /* the host, or an error */
    BOOT_DECOMPRESS_GUEST,
};

struct boot_config {
    struct address_space *as;
    /* What is where below the guest's feet. Count 0: taken from the RAM in the address space. */
    const struct boot_e820 *e820;
    size_t e820_count;
    const char *kernel;  /* path */
    const char *initrd;  /* path, or multiboot's modules (docs/boot.md); NULL: none */
    const char *cmdline; /* NULL: empty */
    const uint8_t *seed; /* 32 bytes of randomness for Linux; NULL: none */
    uint64_t rsdp;       /* address of the ACPI root pointer; 0: none */
    enum boot_decompress decompress;
    enum boot_format format;
};

enum { BOOT_SEED_SIZE = 32, BOOT_E820_MAX = 128 };

enum boot_mode {
    BOOT_LONG64, /* 64-bit mode, the low 4 GiB mapped one to one */
    BOOT_PROT32, /* 32-bit protected mode, flat segments, paging off */
};

/* Selectors in the table at gdt_base: flat code and data, in the mode's width. */
enum { BOOT_CS = 0x10, BOOT_DS = 0x18 };

/* The state of the processor at the first instruction. Registers not named are 0; interrupts are
 * off. */
struct boot_entry {
    enum boot_mode mode;
    uint64_t rip, rsp, rax, rbx, rsi, rdi;
    uint64_t cr0, cr3, cr4, efer;
    uint64_t gdt_base;
    uint16_t gdt_limit;
};

/* What was done, for the person who asked for it and for tests. Addresses are physical. */
struct boot_report {
    enum boot_format format;
    const char *payload; /* "xz", "zstd", "gzip", ... of a bzImage, else NULL */
    bool unpacked;       /* by the host */
    uint16_t protocol;   /* Linux boot protocol, 0x020f for 2.15; 0: not a bzImage */
    uint64_t entry;
    uint64_t kernel_start, kernel_end; /* what the kernel occupies; end is exclusive */
    uint64_t kernel_file_size, unpacked_size;
    uint64_t payload_ns; /* host time spent putting the kernel's segments into RAM, unpacking them
                          * if need be */
    uint64_t initrd_addr, initrd_size;
    uint64_t cmdline_addr;
    uint64_t params_addr; /* boot_params, hvm_start_info or multiboot info; 0: none */
};

const char *boot_format_name(enum boot_format format);

/* Load as `config` says. `report` may be NULL. On failure RAM may have been written but nothing
 * else has happened; the error names the file and what is wrong with it. */
bool boot_load(const struct boot_config *config, struct boot_entry *entry,
               struct boot_report *report, struct error *err);

/* Copy a file to `addr` byte by byte; ROM is written too. For firmware and bare programs. */
bool boot_load_raw(struct address_space *as, const char *path, uint64_t addr, struct error *err);

/* The entry as registers. Both structures are overwritten whole, but for apic_base, which is kept.
 */
void boot_entry_registers(const struct boot_entry *entry, struct kvm_regs *regs,
                          struct kvm_sregs *sregs);
