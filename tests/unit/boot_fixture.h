/* A machine of RAM alone, and files written byte by byte, for the tests of the loaders. */
#pragma once

#define _GNU_SOURCE 1
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <elf.h>

#include "base/bits.h"
#include "boot/boot.h"

#define MIB (1ull << 20)

struct rig {
    struct mem *mem;
    struct region root, ram, rom;
    struct address_space *as;
    char kernel[64], initrd[64];
    struct boot_config config;
    struct boot_entry entry;
    struct boot_report report;
    struct error err;
};

/* RAM of `size` bytes at 0, full of a pattern so that what should be zeroed shows; 64 KiB of ROM at
 * 0xffff0000. */
static inline void rig_init(struct rig *r, uint64_t size)
{
    *r = (struct rig){ 0 };
    r->mem = mem_new();
    region_init_container(&r->root, r->mem, "system", REGION_SIZE_ALL);
    assert_true(region_init_ram(&r->ram, r->mem, "ram", size, &r->err));
    assert_true(region_init_rom(&r->rom, r->mem, "rom", 0x10000, NULL, NULL, &r->err));
    region_add(&r->root, 0, &r->ram, 0);
    region_add(&r->root, 0xffff0000, &r->rom, 0);
    r->as = address_space_new(r->mem, &r->root, "memory");
    if (size <= 64 * MIB)
        memset(r->ram.host, 0x5a, size);
    snprintf(r->kernel, sizeof r->kernel, "/tmp/perilune-boot-k.%d", (int)getpid());
    snprintf(r->initrd, sizeof r->initrd, "/tmp/perilune-boot-i.%d", (int)getpid());
    r->config.as = r->as;
    r->config.kernel = r->kernel;
}

static inline void rig_fini(struct rig *r)
{
    unlink(r->kernel);
    unlink(r->initrd);
    address_space_free(r->as);
    region_fini(&r->ram);
    region_fini(&r->rom);
    region_fini(&r->root);
    mem_free(r->mem);
}

static inline void write_file(const char *path, const void *data, size_t size)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, size, f), size);
    assert_int_equal(fclose(f), 0);
}

static inline bool rig_load(struct rig *r, const void *file, size_t size)
{
    write_file(r->kernel, file, size);
    r->err = (struct error){ 0 };
    return boot_load(&r->config, &r->entry, &r->report, &r->err);
}

/* Loading must fail with a text that names the file and holds `words`. */
static inline void rig_fails(struct rig *r, const void *file, size_t size, const char *words)
{
    assert_false(rig_load(r, file, size));
    if (!strstr(r->err.text, words) || !strstr(r->err.text, r->kernel))
        fail_msg("error \"%s\" should name %s and say \"%s\"", r->err.text, r->kernel, words);
    assert_int_equal(r->err.kind, ERROR_CONFIG);
}

/* An ELF file of up to three segments. Their bytes follow the headers; segment i is filled with
 * 0x11 * (i + 1).
 */
struct test_segment {
    uint64_t paddr, file_size, mem_size;
};

static inline size_t elf64_build(uint8_t *out, uint64_t entry, const struct test_segment *s,
                                 unsigned count)
{
    Elf64_Ehdr eh = { .e_ident = { 0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, EV_CURRENT },
                      .e_type = ET_EXEC,
                      .e_machine = EM_X86_64,
                      .e_version = EV_CURRENT,
                      .e_entry = entry,
                      .e_phoff = sizeof eh,
                      .e_ehsize = sizeof eh,
                      .e_phentsize = sizeof(Elf64_Phdr),
                      .e_phnum = count };
    memcpy(out, &eh, sizeof eh);
    size_t at = sizeof eh + count * sizeof(Elf64_Phdr);
    for (unsigned i = 0; i < count; i++) {
        Elf64_Phdr ph = { .p_type = PT_LOAD,
                          .p_flags = PF_R | PF_X,
                          .p_offset = at,
                          .p_paddr = s[i].paddr,
                          .p_vaddr = s[i].paddr,
                          .p_filesz = s[i].file_size,
                          .p_memsz = s[i].mem_size,
                          .p_align = 1 };
        memcpy(out + sizeof eh + i * sizeof ph, &ph, sizeof ph);
        memset(out + at, 0x11 * (i + 1), s[i].file_size);
        at += s[i].file_size;
    }
    return at;
}

static inline size_t elf32_build(uint8_t *out, uint32_t entry, const struct test_segment *s,
                                 unsigned count)
{
    Elf32_Ehdr eh = { .e_ident = { 0x7f, 'E', 'L', 'F', ELFCLASS32, ELFDATA2LSB, EV_CURRENT },
                      .e_type = ET_EXEC,
                      .e_machine = EM_386,
                      .e_version = EV_CURRENT,
                      .e_entry = entry,
                      .e_phoff = sizeof eh,
                      .e_ehsize = sizeof eh,
                      .e_phentsize = sizeof(Elf32_Phdr),
                      .e_phnum = count };
    memcpy(out, &eh, sizeof eh);
    size_t at = sizeof eh + count * sizeof(Elf32_Phdr);
    for (unsigned i = 0; i < count; i++) {
        Elf32_Phdr ph = { .p_type = PT_LOAD,
                          .p_offset = at,
                          .p_paddr = s[i].paddr,
                          .p_vaddr = s[i].paddr,
                          .p_filesz = s[i].file_size,
                          .p_memsz = s[i].mem_size };
        memcpy(out + sizeof eh + i * sizeof ph, &ph, sizeof ph);
        memset(out + at, 0x11 * (i + 1), s[i].file_size);
        at += s[i].file_size;
    }
    return at;
}

static inline void assert_bytes(const struct rig *r, uint64_t addr, uint8_t value, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (r->ram.host[addr + i] != value)
            fail_msg("byte 0x%llx is 0x%x, expected 0x%x", (unsigned long long)(addr + i),
                     r->ram.host[addr + i], value);
}
