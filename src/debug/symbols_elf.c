/* Symbols of an ELF file: .symtab, or .dynsym where that is all there is. System V ABI, chapter 4.
 */
#include "debug/symbols_internal.h"

#include "boot/image.h"

#include <ctype.h>
#include <gelf.h>
#include <libelf.h>
#include <string.h>

#define ELF_FILE_MAX (4ull << 30)

/* The letter of nm(1). */
static char type_letter(const GElf_Sym *sym, const GElf_Shdr *section)
{
    char letter = '?';
    int bind = GELF_ST_BIND(sym->st_info);
    if (bind == STB_WEAK)
        return 'W';
    if (sym->st_shndx == SHN_ABS)
        letter = 'A';
    else if (sym->st_shndx == SHN_COMMON)
        letter = 'C';
    else if (section && section->sh_flags & SHF_EXECINSTR)
        letter = 'T';
    else if (section && section->sh_type == SHT_NOBITS)
        letter = 'B';
    else if (section && section->sh_flags & SHF_WRITE)
        letter = 'D';
    else if (section)
        letter = 'R';
    return bind == STB_LOCAL ? tolower(letter) : letter;
}

static bool is_wanted(const GElf_Sym *sym)
{
    int type = GELF_ST_TYPE(sym->st_info);
    return sym->st_shndx != SHN_UNDEF && sym->st_shndx != SHN_COMMON && sym->st_name != 0 &&
           type != STT_SECTION && type != STT_FILE && type != STT_TLS;
}

static void add_symbol(struct symbols *s, Elf *e, const GElf_Sym *sym, const char *name)
{
    GElf_Shdr header, *section = NULL;
    if (sym->st_shndx < SHN_LORESERVE)
        section = gelf_getshdr(elf_getscn(e, sym->st_shndx), &header);
    struct symbol_def def = {
        .name = name,
        .len = strlen(name),
        .addr = sym->st_value,
        .size = sym->st_size,
        .section_end = section ? section->sh_addr + section->sh_size : 0,
        .type = type_letter(sym, section),
        .fixed = sym->st_shndx == SHN_ABS,
    };
    if (def.len)
        symbols_add(s, &def);
}

static void read_table(struct symbols *s, Elf *e, Elf_Scn *scn, const GElf_Shdr *header)
{
    Elf_Data *data = elf_getdata(scn, NULL);
    size_t entry = gelf_fsize(e, ELF_T_SYM, 1, EV_CURRENT);
    if (!data || !data->d_buf || !entry)
        return;
    size_t count = data->d_size / entry;
    for (size_t i = 1; i < count && i <= INT32_MAX; i++) {
        GElf_Sym sym;
        if (!gelf_getsym(data, i, &sym) || !is_wanted(&sym))
            continue;
        const char *name = elf_strptr(e, header->sh_link, sym.st_name);
        if (name)
            add_symbol(s, e, &sym, name);
    }
}

static void read_tables(struct symbols *s, Elf *e, uint32_t type)
{
    GElf_Shdr header;
    for (Elf_Scn *scn = NULL; (scn = elf_nextscn(e, scn));)
        if (gelf_getshdr(scn, &header) && header.sh_type == type)
            read_table(s, e, scn, &header);
}

static bool read_elf(struct symbols *s, struct image *image, struct error *err)
{
    if (image->size < SELFMAG || memcmp(image->data, ELFMAG, SELFMAG) != 0)
        return error_set(err, "%s: not an ELF file (wrong magic)", image->path);
    if (elf_version(EV_CURRENT) == EV_NONE)
        return error_set_host(err, 0, "libelf is too old");
    Elf *e = elf_memory((char *)image->data, image->size);
    if (!e || elf_kind(e) != ELF_K_ELF) {
        elf_end(e);
        return error_set(err, "%s: bad ELF file: %s", image->path, elf_errmsg(-1));
    }
    read_tables(s, e, SHT_SYMTAB);
    if (!symbols_pending(s))
        read_tables(s, e, SHT_DYNSYM);
    elf_end(e);
    return symbols_pending(s) ||
           error_set(
               err,
               "%s: stripped: the ELF file has no symbol table (a Linux kernel's names can be "
               "had by kallsyms)",
               image->path);
}

bool symbols_load_elf(struct symbols *s, const char *path, unsigned *source, struct error *err)
{
    struct image image;
    if (!image_open(&image, "program", path, ELF_FILE_MAX, err))
        return false;
    symbols_begin(s, SYMBOLS_ELF, path);
    bool ok = read_elf(s, &image, err);
    image_close(&image);
    return symbols_commit(s, ok, source);
}
