/* Kernel images: bzImage (Documentation/x86/boot.rst of Linux 6.1) and ELF (System V ABI, chapters
 * 4 and 5). The ELF headers are read by hand, each with its bounds checked: three tables of one
 * class and byte order are all that is wanted. */
#include "debug/kernel_image.h"

#include "base/alloc.h"
#include "base/bits.h"
#include "boot/image.h"
#include "boot/linux_params.h"
#include "boot/unpack.h"

#include <elf.h>
#include <stdlib.h>
#include <string.h>

#define KERNEL_FILE_MAX     (1ull << 30)
#define KERNEL_UNPACKED_MAX (1u << 30)
#define PIECE               (1u << 20) /* is unpacked before anybody may cancel */

struct kernel_image {
    char *path;
    const atomic_bool *cancel;
    struct image file;
    uint8_t *unpacked; /* of a bzImage */
    const uint8_t *data;
    size_t size;
    Elf64_Ehdr header;
};

static bool is_elf(const struct image *file)
{
    return file->size >= SELFMAG && memcmp(file->data, ELFMAG, SELFMAG) == 0;
}

static bool is_bzimage(const struct image *file)
{
    return file->size >= LINUX_HEADER_LAST &&
           memcmp(file->data + LINUX_HEADER_MAGIC, "HdrS", 4) == 0;
}

/* The packed kernel in a bzImage; the last 4 bytes tell its unpacked size. */
static const uint8_t *find_payload(const struct image *file, size_t *size, struct error *err)
{
    const uint8_t *d = file->data;
    unsigned sectors = d[LINUX_SETUP_SECTS] ? d[LINUX_SETUP_SECTS] : 4;
    uint64_t offset = (sectors + 1ull) * LINUX_SECTOR + ld_le32(d + LINUX_PAYLOAD_OFFSET);
    uint64_t length = ld_le32(d + LINUX_PAYLOAD_LENGTH);
    if (length < 8 || offset > file->size || length > file->size - offset) {
        error_set(err, "cut short: the payload is bytes 0x%llx-0x%llx of a file of 0x%zx",
                  (unsigned long long)offset, (unsigned long long)(offset + length), file->size);
        return NULL;
    }
    *size = length;
    return d + offset;
}

static bool unpack_all(const struct kernel_image *k, struct unpack *u, size_t total,
                       struct error *err)
{
    for (size_t at = 0; at < total; at += PIECE) {
        if (k->cancel && atomic_load(k->cancel))
            return error_set(err, "cancelled");
        if (!unpack_read(u, k->unpacked + at, total - at < PIECE ? total - at : PIECE, err))
            return false;
    }
    return unpack_finish(u, err);
}

static bool unpack_payload(struct kernel_image *k, struct error *err)
{
    size_t packed, total;
    const uint8_t *payload = find_payload(&k->file, &packed, err);
    if (!payload)
        return false;
    total = ld_le32(payload + packed - 4);
    if (total > KERNEL_UNPACKED_MAX)
        return error_set(err, "the unpacked kernel would have %zu bytes, at most %u are read",
                         total, KERNEL_UNPACKED_MAX);
    /* gzip's own trailer ends with the size; the other formats have it appended. */
    bool own = strcmp(unpack_format_name(payload, packed), "gzip") == 0;
    struct unpack *u = unpack_open(payload, packed - (own ? 0 : 4), err);
    if (!u)
        return false;
    k->unpacked = malloc(total ? total : 1);
    bool ok = k->unpacked ? unpack_all(k, u, total, err)
                          : error_set_host(err, 0, "no memory for %zu bytes of kernel", total);
    unpack_close(u);
    k->data = k->unpacked;
    k->size = total;
    return ok;
}

static bool check_header(struct kernel_image *k, struct error *err)
{
    if (k->size < sizeof k->header || memcmp(k->data, ELFMAG, SELFMAG) != 0)
        return error_set(err, "the kernel is not an ELF file");
    memcpy(&k->header, k->data, sizeof k->header);
    if (k->header.e_ident[EI_CLASS] != ELFCLASS64 || k->header.e_machine != EM_X86_64)
        return error_set(err, "the kernel is not one for x86-64");
    return true;
}

static bool open_parts(struct kernel_image *k, const char *path, struct error *err)
{
    if (!image_open(&k->file, "kernel", path, KERNEL_FILE_MAX, err))
        return false;
    bool ok;
    if (is_elf(&k->file)) {
        k->data = k->file.data;
        k->size = k->file.size;
        ok = true;
    } else if (is_bzimage(&k->file)) {
        ok = unpack_payload(k, err);
    } else {
        ok = error_set(err, "neither a bzImage nor an ELF file");
    }
    ok = ok && check_header(k, err);
    if (!ok)
        error_prefix(err, "kernel %s: ", path);
    return ok;
}

struct kernel_image *kernel_image_open(const char *path, const atomic_bool *cancel,
                                       struct error *err)
{
    struct kernel_image *k = ALLOC(struct kernel_image);
    k->cancel = cancel;
    k->path = alloc_string(path);
    if (open_parts(k, k->path, err))
        return k;
    kernel_image_close(k);
    return NULL;
}

void kernel_image_close(struct kernel_image *k)
{
    if (!k)
        return;
    image_close(&k->file);
    free(k->unpacked);
    free(k->path);
    free(k);
}

const char *kernel_image_path(const struct kernel_image *k)
{
    return k->path;
}

const uint8_t *kernel_image_bytes(const struct kernel_image *k, size_t *size)
{
    *size = k->size;
    return k->data;
}

/* `len` bytes of the file at `offset`; NULL where there are none. */
static const uint8_t *slice(const struct kernel_image *k, uint64_t offset, uint64_t len)
{
    return offset <= k->size && len <= k->size - offset ? k->data + offset : NULL;
}

const uint8_t *kernel_image_at(const struct kernel_image *k, uint64_t addr, size_t *size)
{
    for (unsigned i = 0; i < k->header.e_phnum; i++) {
        Elf64_Phdr ph;
        const uint8_t *p = slice(k, k->header.e_phoff + i * sizeof ph, sizeof ph);
        if (!p)
            return NULL;
        memcpy(&ph, p, sizeof ph);
        if (ph.p_type != PT_LOAD || addr - ph.p_vaddr >= ph.p_filesz)
            continue;
        const uint8_t *bytes = slice(k, ph.p_offset, ph.p_filesz);
        if (!bytes)
            return NULL;
        *size = ph.p_filesz - (addr - ph.p_vaddr);
        return bytes + (addr - ph.p_vaddr);
    }
    return NULL;
}

static bool section_header(const struct kernel_image *k, unsigned index, Elf64_Shdr *sh)
{
    const uint8_t *p = slice(k, k->header.e_shoff + (uint64_t)index * sizeof *sh, sizeof *sh);
    if (!p || index >= k->header.e_shnum)
        return false;
    memcpy(sh, p, sizeof *sh);
    return true;
}

const uint8_t *kernel_image_section(const struct kernel_image *k, const char *name, size_t *size,
                                    uint64_t *addr)
{
    Elf64_Shdr names, sh;
    if (!section_header(k, k->header.e_shstrndx, &names))
        return NULL;
    size_t len = strlen(name) + 1;
    for (unsigned i = 1; section_header(k, i, &sh); i++) {
        const uint8_t *own = slice(k, names.sh_offset, names.sh_size);
        if (!own || sh.sh_name > names.sh_size || names.sh_size - sh.sh_name < len ||
            memcmp(own + sh.sh_name, name, len) != 0 || sh.sh_type == SHT_NOBITS)
            continue;
        *size = sh.sh_size;
        *addr = sh.sh_addr;
        return slice(k, sh.sh_offset, sh.sh_size);
    }
    return NULL;
}
