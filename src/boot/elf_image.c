/* ELF executables for x86: System V ABI, chapters 4 and 5; the PVH note is from Xen's
 * public/elfnote.h.
 *
 * Segments go to their physical addresses. Everything in the headers is checked here: no later step
 * reads beyond the file or writes outside of RAM that was claimed. */
#include "boot/elf_image.h"

#include "base/alloc.h"

#include <gelf.h>
#include <libelf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { XEN_ELFNOTE_PHYS32_ENTRY = 18, ELF_SEGMENTS_MAX = 1024 };

bool elf_image_is_elf(const uint8_t *data, size_t size)
{
    return size >= SELFMAG && memcmp(data, ELFMAG, SELFMAG) == 0;
}

/* Class, byte order, machine and type, and that the tables lie in the file: before libelf sees it.
 */
static bool check_header(const uint8_t *data, size_t size, struct error *err)
{
    if (!elf_image_is_elf(data, size))
        return error_set(err, "not an ELF file (wrong magic)");
    if (size < EI_NIDENT)
        return error_set(err, "cut short in the ELF identification");
    int class = data[EI_CLASS];
    if (class != ELFCLASS32 && class != ELFCLASS64)
        return error_set(err, "wrong ELF class %d; expected 1 (32-bit) or 2 (64-bit)", class);
    if (data[EI_DATA] != ELFDATA2LSB)
        return error_set(err, "wrong ELF byte order; x86 is little-endian");
    size_t header = class == ELFCLASS64 ? sizeof(Elf64_Ehdr) : sizeof(Elf32_Ehdr);
    if (size < header)
        return error_set(err, "cut short in the ELF header: %zu of %zu bytes", size, header);
    unsigned type = ld_le16(data + EI_NIDENT), machine = ld_le16(data + EI_NIDENT + 2);
    unsigned expected = class == ELFCLASS64 ? EM_X86_64 : EM_386;
    if (machine != expected)
        return error_set(err, "wrong ELF machine %u; expected %u (%s)", machine, expected,
                         class == ELFCLASS64 ? "x86-64" : "i386");
    if (type != ET_EXEC && type != ET_DYN)
        return error_set(err, "wrong ELF type %u; expected an executable (2)", type);
    return true;
}

/* Only program headers matter, so a file without or with a cut section table is as good: libelf is
 * shown a header that has none. */
static void hide_sections(uint8_t *header, bool is64)
{
    if (is64) {
        Elf64_Ehdr *h = (Elf64_Ehdr *)header;
        h->e_shoff = 0;
        h->e_shnum = h->e_shstrndx = 0;
    } else {
        Elf32_Ehdr *h = (Elf32_Ehdr *)header;
        h->e_shoff = 0;
        h->e_shnum = h->e_shstrndx = 0;
    }
}

static bool check_segment(const GElf_Phdr *ph, unsigned i, uint64_t file_size, bool is64,
                          struct error *err)
{
    if (ph->p_filesz > ph->p_memsz)
        return error_set(err, "ELF segment %u: 0x%llx bytes in the file, only 0x%llx in memory", i,
                         (unsigned long long)ph->p_filesz, (unsigned long long)ph->p_memsz);
    if (ph->p_offset > file_size || ph->p_filesz > file_size - ph->p_offset)
        return error_set(
            err, "ELF segment %u is cut short: bytes 0x%llx-0x%llx of a file of 0x%llx", i,
            (unsigned long long)ph->p_offset, (unsigned long long)(ph->p_offset + ph->p_filesz),
            (unsigned long long)file_size);
    uint64_t limit = is64 ? UINT64_MAX : UINT32_MAX;
    if (ph->p_paddr > limit || ph->p_memsz - 1 > limit - ph->p_paddr)
        return error_set(err, "ELF segment %u: address 0x%llx plus 0x%llx bytes overflows", i,
                         (unsigned long long)ph->p_paddr, (unsigned long long)ph->p_memsz);
    return true;
}

static void segment_add(struct elf_image *elf, const GElf_Phdr *ph, unsigned i)
{
    struct elf_segment *s = &elf->segments[elf->count++];
    *s = (struct elf_segment){ .index = i,
                               .offset = ph->p_offset,
                               .file_size = ph->p_filesz,
                               .paddr = ph->p_paddr,
                               .mem_size = ph->p_memsz };
    uint64_t end = s->paddr + s->mem_size;
    if (elf->count == 1 || s->paddr < elf->start)
        elf->start = s->paddr;
    if (elf->count == 1 || end > elf->end)
        elf->end = end;
}

static void find_pvh(struct elf_image *elf, Elf *e, const GElf_Phdr *ph, size_t size)
{
    if (ph->p_offset > size || ph->p_filesz > size - ph->p_offset)
        return;
    Elf_Data *d = elf_getdata_rawchunk(e, ph->p_offset, ph->p_filesz,
                                       ph->p_align == 8 ? ELF_T_NHDR8 : ELF_T_NHDR);
    if (!d)
        return;
    GElf_Nhdr n;
    size_t name, desc, at = 0;
    while ((at = gelf_getnote(d, at, &n, &name, &desc)) > 0) {
        const char *bytes = d->d_buf;
        if (n.n_type != XEN_ELFNOTE_PHYS32_ENTRY || n.n_namesz != 4 || n.n_descsz < 4 ||
            memcmp(bytes + name, "Xen", 4) != 0)
            continue;
        elf->has_pvh = true;
        elf->pvh_entry = ld_le32(bytes + desc);
    }
}

static int by_offset(const void *a, const void *b)
{
    const struct elf_segment *x = a, *y = b;
    if (x->offset != y->offset)
        return x->offset < y->offset ? -1 : 1;
    return x->index < y->index ? -1 : 1;
}

static bool parse_segments(struct elf_image *elf, Elf *e, size_t size, uint64_t file_size,
                           struct error *err)
{
    GElf_Ehdr eh;
    if (!gelf_getehdr(e, &eh))
        return error_set(err, "bad ELF header: %s", elf_errmsg(-1));
    /* Not elf_getphdrnum: it hides headers that are cut off. */
    size_t count = eh.e_phnum;
    if (count == 0)
        return error_set(err, "the ELF file has no program headers: nothing to load");
    if (count > ELF_SEGMENTS_MAX)
        return error_set(err, "%zu ELF program headers, at most %d are read", count,
                         ELF_SEGMENTS_MAX);
    uint64_t table = count * gelf_fsize(e, ELF_T_PHDR, 1, EV_CURRENT);
    if (eh.e_phoff > size || table > size - eh.e_phoff)
        return error_set(err, "cut short in the ELF program headers (%zu at 0x%llx)", count,
                         (unsigned long long)eh.e_phoff);
    elf->entry = eh.e_entry;
    elf->segments = alloc_zero(count, sizeof *elf->segments);
    for (size_t i = 0; i < count; i++) {
        GElf_Phdr ph;
        if (!gelf_getphdr(e, i, &ph))
            return error_set(err, "bad ELF program header %zu: %s", i, elf_errmsg(-1));
        if (ph.p_type == PT_NOTE)
            find_pvh(elf, e, &ph, size);
        if (ph.p_type != PT_LOAD || ph.p_memsz == 0)
            continue;
        if (!check_segment(&ph, i, file_size, elf->is64, err))
            return false;
        segment_add(elf, &ph, i);
    }
    if (elf->count == 0)
        return error_set(err, "the ELF file has no segment to load");
    qsort(elf->segments, elf->count, sizeof *elf->segments, by_offset);
    return true;
}

bool elf_image_parse(struct elf_image *elf, uint8_t *data, size_t size, uint64_t file_size,
                     struct error *err)
{
    *elf = (struct elf_image){ 0 };
    if (!check_header(data, size, err))
        return false;
    elf->is64 = data[EI_CLASS] == ELFCLASS64;
    if (elf_version(EV_CURRENT) == EV_NONE)
        return error_set_host(err, 0, "libelf is too old");
    uint8_t header[sizeof(Elf64_Ehdr)];
    size_t header_size = elf->is64 ? sizeof(Elf64_Ehdr) : sizeof(Elf32_Ehdr);
    memcpy(header, data, header_size);
    hide_sections(data, elf->is64);
    Elf *e = elf_memory((char *)data, size);
    bool ok = e ? parse_segments(elf, e, size, file_size, err)
                : error_set(err, "bad ELF file: %s", elf_errmsg(-1));
    elf_end(e);
    memcpy(data, header, header_size);
    if (!ok)
        elf_image_fini(elf);
    return ok;
}

void elf_image_fini(struct elf_image *elf)
{
    free(elf->segments);
    *elf = (struct elf_image){ 0 };
}

bool elf_image_claim(const struct elf_image *elf, struct layout *l, struct error *err)
{
    for (size_t i = 0; i < elf->count; i++) {
        const struct elf_segment *s = &elf->segments[i];
        char name[32];
        snprintf(name, sizeof name, "ELF segment %u", s->index);
        if (!layout_claim(l, s->paddr, s->mem_size, name, err))
            return false;
    }
    return true;
}

bool elf_image_load(const struct elf_image *elf, struct layout *l, const struct image *image,
                    struct error *err)
{
    for (size_t i = 0; i < elf->count; i++) {
        const struct elf_segment *s = &elf->segments[i];
        if (!layout_read(l, s->paddr, image, s->offset, s->file_size, err) ||
            !layout_zero(l, s->paddr + s->file_size, s->mem_size - s->file_size, err))
            return false;
    }
    return true;
}

static bool unpack_to_guest(struct layout *l, uint64_t addr, uint64_t size, struct unpack *u,
                            struct error *err)
{
    while (size) {
        uint64_t n = size;
        uint8_t *p = layout_ptr(l, addr, &n, err);
        if (!p || !unpack_read(u, p, n, err))
            return false;
        addr += n;
        size -= n;
    }
    return true;
}

/* The part of a segment in the prefix is copied, the rest read from the stream, which stands at
 * *at. */
static bool load_segment(const struct elf_segment *s, struct layout *l, const uint8_t *prefix,
                         size_t prefix_size, uint64_t *at, struct unpack *u, struct error *err)
{
    uint64_t offset = s->offset, addr = s->paddr, left = s->file_size;
    if (left && offset < prefix_size) {
        uint64_t n = prefix_size - offset < left ? prefix_size - offset : left;
        if (!layout_write(l, addr, prefix + offset, n, err))
            return false;
        offset += n;
        addr += n;
        left -= n;
    }
    if (left) {
        if (offset < *at)
            return error_set(err, "ELF segment %u shares bytes of the file with another", s->index);
        if (!unpack_read(u, NULL, offset - *at, err) || !unpack_to_guest(l, addr, left, u, err))
            return false;
        *at = offset + left;
    }
    return layout_zero(l, s->paddr + s->file_size, s->mem_size - s->file_size, err);
}

bool elf_image_load_stream(const struct elf_image *elf, struct layout *l, const uint8_t *prefix,
                           size_t prefix_size, uint64_t stream_size, struct unpack *u,
                           struct error *err)
{
    uint64_t at = prefix_size;
    for (size_t i = 0; i < elf->count; i++)
        if (!load_segment(&elf->segments[i], l, prefix, prefix_size, &at, u, err))
            return false;
    return unpack_read(u, NULL, stream_size - at, err) && unpack_finish(u, err);
}
