/* Symbols of the modules that a running Linux has loaded, out of its memory.
 *
 * The kernel lists its modules at `modules`, and each keeps the symbol table of its file. Where
 * struct module has what differs from kernel to kernel; the kernel's own BTF says where. All that
 * is read is the guest's and may be anything: lists, tables and names are bounded, and an address
 * outside of its module is no symbol. */
#include "debug/symbols_internal.h"

#include "base/alloc.h"
#include "base/bits.h"
#include "debug/btf.h"

#include <ctype.h>
#include <elf.h>
#include <stdlib.h>
#include <string.h>

enum {
    PAGE = 4096,
    BTF_SIZE_MAX = 64 << 20,
    MODULES_MAX = 4096,
    RANGES_MAX = 16,
    SYMBOLS_MAX = 1 << 19, /* of all modules */
    NAME_MAX_LEN = 512,
    MODULE_NAME_MAX = 64,
    STATE_UNFORMED = 3, /* enum module_state: being set up, most of it is not there yet */
};
#define RANGE_SIZE_MAX (1ull << 30)

/* Where struct module has what, in bytes. */
struct layout {
    uint32_t list, name, name_size, state, kallsyms;
    struct {
        uint32_t base, size;
    } ranges[RANGES_MAX]; /* of memory: code and data, before and after initialisation */
    unsigned range_count;
    uint32_t symtab, num_symtab, strtab; /* in struct mod_kallsyms */
    uint32_t typetab;                    /* 0: it has none, the type is in st_info */
    bool has_orc;                        /* CONFIG_UNWINDER_ORC */
    uint32_t num_orcs, orc_ips, orc_entries;
};

struct module {
    char name[MODULE_NAME_MAX];
    struct {
        uint64_t base, size;
    } ranges[RANGES_MAX];
    unsigned range_count;
    uint64_t symtab, strtab, typetab;
    uint32_t num_symtab;
    struct symbols_orc orc;
};

struct module_list {
    struct module *modules;
    size_t count, capacity;
};

/* ---- where things are ---- */

static bool find(const struct btf *b, const char *type, const char *member, uint32_t *offset,
                 struct error *err)
{
    struct btf_place place;
    if (!btf_find(b, type, member, &place))
        return error_set(err, "the kernel's BTF knows no %s of struct %s", member, type);
    *offset = place.offset;
    return true;
}

/* Since Linux 6.4 an array of kinds of memory, before it one for good and one for initialising. */
static bool find_ranges(const struct btf *b, struct layout *l, struct error *err)
{
    struct btf_place mem;
    uint32_t base = 0, size = 0;
    if (!btf_find(b, "module", "mem", &mem)) {
        l->range_count = 2;
        return find(b, "module", "core_layout.base", &l->ranges[0].base, err) &&
               find(b, "module", "core_layout.size", &l->ranges[0].size, err) &&
               find(b, "module", "init_layout.base", &l->ranges[1].base, err) &&
               find(b, "module", "init_layout.size", &l->ranges[1].size, err);
    }
    if (!find(b, "module_memory", "base", &base, err) ||
        !find(b, "module_memory", "size", &size, err))
        return false;
    for (unsigned i = 0; i < mem.count && i < RANGES_MAX; i++, l->range_count++) {
        l->ranges[i].base = mem.offset + i * mem.size + base;
        l->ranges[i].size = mem.offset + i * mem.size + size;
    }
    return true;
}

static bool find_layout(const struct btf *b, struct layout *l, struct error *err)
{
    struct btf_place name;
    if (!btf_find(b, "module", "name", &name))
        return error_set(err, "the kernel's BTF knows no name of struct module: it is built "
                              "without modules");
    l->name = name.offset;
    l->name_size = name.count < MODULE_NAME_MAX ? name.count : MODULE_NAME_MAX;
    if (!find(b, "mod_kallsyms", "typetab", &l->typetab, NULL))
        l->typetab = 0;
    l->has_orc = find(b, "module", "arch.num_orcs", &l->num_orcs, NULL) &&
                 find(b, "module", "arch.orc_unwind_ip", &l->orc_ips, NULL) &&
                 find(b, "module", "arch.orc_unwind", &l->orc_entries, NULL);
    return find(b, "module", "list", &l->list, err) && find(b, "module", "state", &l->state, err) &&
           find(b, "module", "kallsyms", &l->kallsyms, err) && find_ranges(b, l, err) &&
           find(b, "mod_kallsyms", "symtab", &l->symtab, err) &&
           find(b, "mod_kallsyms", "num_symtab", &l->num_symtab, err) &&
           find(b, "mod_kallsyms", "strtab", &l->strtab, err);
}

static bool read_layout(struct symbols *s, const struct guest_memory *mem, struct layout *l,
                        struct error *err)
{
    const struct symbol *start = symbols_find(s, "__start_BTF", NULL);
    const struct symbol *stop = symbols_find(s, "__stop_BTF", NULL);
    if (!start || !stop)
        return error_set(err, "modules: no symbol __start_BTF: no Linux kernel's symbols are "
                              "loaded, or it is built without CONFIG_DEBUG_INFO_BTF");
    uint64_t size = stop->addr - start->addr;
    if (size > BTF_SIZE_MAX)
        return error_set(err, "modules: __start_BTF and __stop_BTF are 0x%llx bytes apart",
                         (unsigned long long)size);
    uint8_t *bytes = alloc_zero(size + 1, 1);
    bool ok = guest_read(mem, start->addr, bytes, size) ||
              error_set(err, "the kernel's BTF cannot be read: it has not mapped itself yet, or "
                             "is elsewhere than its symbols");
    struct btf *b = ok ? btf_new(bytes, size, err) : NULL;
    ok = b && find_layout(b, l, err);
    if (!ok)
        error_prefix(err, "modules: ");
    btf_free(b);
    free(bytes);
    return ok;
}

/* ---- the list ---- */

static bool read_u32(const struct guest_memory *mem, uint64_t addr, uint32_t *value)
{
    return guest_read(mem, addr, value, sizeof *value);
}

static bool read_module_name(const struct guest_memory *mem, const struct layout *l, uint64_t at,
                             char name[MODULE_NAME_MAX])
{
    memset(name, 0, MODULE_NAME_MAX);
    if (!guest_read(mem, at + l->name, name, l->name_size))
        return false;
    name[MODULE_NAME_MAX - 1] = 0;
    for (const char *p = name; *p; p++)
        if (!isgraph((unsigned char)*p))
            return false;
    return name[0] != 0;
}

/* One without a symbol table has no symbols. */
static void read_tables(const struct guest_memory *mem, const struct layout *l, uint64_t at,
                        struct module *m)
{
    uint64_t tables;
    if (!guest_read_u64(mem, at + l->kallsyms, &tables) || !is_kernel_address(tables) ||
        !guest_read_u64(mem, tables + l->symtab, &m->symtab) ||
        !guest_read_u64(mem, tables + l->strtab, &m->strtab) ||
        (l->typetab && !guest_read_u64(mem, tables + l->typetab, &m->typetab)) ||
        !read_u32(mem, tables + l->num_symtab, &m->num_symtab))
        m->num_symtab = 0;
}

/* One without tables for unwinding has none. */
static void read_orc(const struct guest_memory *mem, const struct layout *l, uint64_t at,
                     struct symbols_orc *orc)
{
    if (!l->has_orc || !guest_read_u64(mem, at + l->orc_ips, &orc->ips) ||
        !guest_read_u64(mem, at + l->orc_entries, &orc->entries) || !is_kernel_address(orc->ips) ||
        !is_kernel_address(orc->entries) || !read_u32(mem, at + l->num_orcs, &orc->count))
        orc->count = 0;
}

/* struct module at `at`. False: it is none. *formed: it is more than begun. */
static bool read_module(const struct guest_memory *mem, const struct layout *l, uint64_t at,
                        struct module *m, bool *formed)
{
    uint32_t state;
    *m = (struct module){ .num_symtab = 0 };
    if (!read_u32(mem, at + l->state, &state) || !read_module_name(mem, l, at, m->name))
        return false;
    *formed = state != STATE_UNFORMED;
    for (unsigned i = 0; i < l->range_count; i++) {
        uint64_t base;
        uint32_t size;
        if (!guest_read_u64(mem, at + l->ranges[i].base, &base) ||
            !read_u32(mem, at + l->ranges[i].size, &size))
            return false;
        if (!is_kernel_address(base) || !size || size > RANGE_SIZE_MAX || base + size < base)
            continue;
        m->ranges[m->range_count].base = base;
        m->ranges[m->range_count++].size = size;
    }
    read_tables(mem, l, at, m);
    read_orc(mem, l, at, &m->orc);
    return true;
}

static bool read_list(const struct guest_memory *mem, const struct layout *l, uint64_t head,
                      struct module_list *list, struct error *err)
{
    uint64_t at = head;
    for (unsigned n = 0; n <= MODULES_MAX; n++) {
        if (!guest_read_u64(mem, at, &at))
            return error_set(err, "modules: the list breaks off after %u", n);
        if (at == head)
            return true;
        bool formed;
        ALLOC_GROW(list->modules, list->count, list->capacity);
        if (!read_module(mem, l, at - l->list, &list->modules[list->count], &formed))
            return error_set(err, "modules: number %u of the list, at 0x%llx, is no module", n,
                             (unsigned long long)(at - l->list));
        list->count += formed;
    }
    return error_set(err, "modules: the list has no end");
}

/* ---- symbols ---- */

/* Up to a zero; false for one that is too long, or not there. */
static bool read_string(const struct guest_memory *mem, uint64_t addr, char *out, size_t *len)
{
    for (*len = 0; *len < NAME_MAX_LEN;) {
        size_t n = PAGE - (addr + *len) % PAGE;
        n = n < NAME_MAX_LEN - *len ? n : NAME_MAX_LEN - *len;
        if (!guest_read(mem, addr + *len, out + *len, n))
            return false;
        const char *end = memchr(out + *len, 0, n);
        if (end) {
            *len = end - out;
            return true;
        }
        *len += n;
    }
    return false;
}

/* The end of the memory of the module that `addr` is in; 0: none. */
static uint64_t range_end(const struct module *m, uint64_t addr)
{
    for (unsigned i = 0; i < m->range_count; i++)
        if (addr - m->ranges[i].base < m->ranges[i].size)
            return m->ranges[i].base + m->ranges[i].size;
    return 0;
}

static char symbol_type(const Elf64_Sym *sym, char type)
{
    bool printable = isalpha((unsigned char)type);
    if (printable)
        return ELF64_ST_BIND(sym->st_info) == STB_LOCAL ? tolower(type) : type;
    return ELF64_ST_BIND(sym->st_info) == STB_LOCAL ? 't' : 'T';
}

static void add_symbol(struct symbols *s, const struct guest_memory *mem, const struct module *m,
                       uint32_t index)
{
    Elf64_Sym sym;
    char name[NAME_MAX_LEN], type = 0;
    size_t len;
    if (!guest_read(mem, m->symtab + (uint64_t)index * sizeof sym, &sym, sizeof sym))
        return;
    uint64_t end = range_end(m, sym.st_value);
    if (sym.st_shndx == SHN_UNDEF || !end ||
        !read_string(mem, m->strtab + sym.st_name, name, &len) || len == 0)
        return;
    if (m->typetab)
        guest_read(mem, m->typetab + index, &type, 1);
    symbols_add(s, &(struct symbol_def){ .name = name,
                                         .len = len,
                                         .addr = sym.st_value,
                                         .size = sym.st_size,
                                         .section_end = end,
                                         .type = symbol_type(&sym, type) });
}

/* Tells this state of a module from others: it is loaded elsewhere, or its table has moved. */
static uint64_t identity(const struct module *m)
{
    uint64_t h = m->symtab * 0x9e3779b97f4a7c15ull + m->num_symtab;
    for (unsigned i = 0; i < m->range_count; i++)
        h = (h ^ m->ranges[i].base) * 0x9e3779b97f4a7c15ull + m->ranges[i].size;
    return h;
}

static bool is_among(const struct module_list *list, const struct symbols_source *source)
{
    for (size_t i = 0; i < list->count; i++)
        if (!strcmp(list->modules[i].name, source->module) &&
            identity(&list->modules[i]) == source->identity)
            return true;
    return false;
}

static bool is_loaded(const struct symbols *s, const struct module *m)
{
    for (unsigned i = 0; i < symbols_source_count(s); i++) {
        const struct symbols_source *source = symbols_source(s, i);
        if (source->loaded && source->module && !strcmp(source->module, m->name) &&
            source->identity == identity(m))
            return true;
    }
    return false;
}

static void take_list(struct symbols *s, const struct guest_memory *mem,
                      const struct module_list *list)
{
    uint32_t budget = SYMBOLS_MAX;
    for (unsigned i = 0; i < symbols_source_count(s); i++) {
        const struct symbols_source *source = symbols_source(s, i);
        if (source->loaded && source->module && !is_among(list, source))
            symbols_unload(s, i);
    }
    for (size_t i = 0; i < list->count; i++) {
        const struct module *m = &list->modules[i];
        if (is_loaded(s, m))
            continue;
        symbols_begin_module(s, m->name, identity(m), &m->orc);
        for (uint32_t n = 1; n < m->num_symtab && budget; n++, budget--)
            add_symbol(s, mem, m, n);
        symbols_commit(s, true, NULL);
    }
}

bool symbols_load_modules(struct symbols *s, const struct guest_memory *mem, struct error *err)
{
    struct layout layout = { .list = 0 };
    struct module_list list = { 0 };
    uint64_t head;
    bool ok = read_layout(s, mem, &layout, err) && symbols_parse(s, "modules", &head, err) &&
              read_list(mem, &layout, head, &list, err);
    if (ok)
        take_list(s, mem, &list);
    free(list.modules);
    return ok;
}

void symbols_unload_modules(struct symbols *s)
{
    take_list(s, NULL, &(struct module_list){ .count = 0 });
}
