/* The names of addresses in the guest.
 *
 * A table has any number of sources: the symbol table of an ELF file, a System.map, the kallsyms
 * tables inside a stripped kernel image or inside guest memory. Each source has a bias that is
 * added to the addresses it was read with, because a kernel with KASLR runs elsewhere than it is
 * linked for. Names are not unique: Linux has many static functions of the same name.
 *
 * Per-cpu symbols of a kernel are offsets, not addresses: they have a name to be found by, are
 * never found by address, and the bias does not apply.
 *
 * Everything is under the machine lock. A `struct symbol *` is good until a source is loaded,
 * unloaded or biased; names live as long as their source. docs/symbols.md is the manual. */
#pragma once

#include "base/error.h"
#include "debug/guest_memory.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct symbols;
struct kernel_image;

struct symbol {
    const char *name;
    uint64_t addr; /* with the bias */
    uint64_t size; /* bytes; where the source has none, those up to the next symbol */
    uint64_t end;  /* an address from here on is not this symbol's: the next symbol, the end of the
                      section; exclusive */
    char type;     /* as nm(1) prints: T text, D data, B bss, R read-only, A absolute, W weak;
                      lower case: local */
    bool fixed;    /* an offset or a constant rather than a place */
    unsigned source;
};

enum symbols_kind {
    SYMBOLS_ELF,
    SYMBOLS_MAP,
    SYMBOLS_KALLSYMS_IMAGE,
    SYMBOLS_KALLSYMS_MEMORY,
    SYMBOLS_MODULE,
};

/* Where in the guest a module has its tables for unwinding: orc_load_module() reads them. */
struct symbols_orc {
    uint64_t ips, entries;
    uint32_t count; /* 0: it has none */
};

struct symbols_source {
    enum symbols_kind kind;
    char *path;             /* of the file; NULL: guest memory */
    char *module;           /* name of the kernel's module; NULL: it is none */
    uint64_t identity;      /* of a module: another one when it was loaded anew */
    struct symbols_orc orc; /* of a module */
    size_t count;
    uint64_t bias; /* added, modulo 2^64 */
    bool loaded;   /* false: was unloaded, the number is not used again */
};

struct symbols *symbols_new(void);
void symbols_free(struct symbols *s); /* NULL is allowed */

/* Load a source. *source (may be NULL) becomes its number. On failure the table is as before, and
 * the error says what was expected and not found. */
bool symbols_load_elf(struct symbols *s, const char *path, unsigned *source, struct error *err);
/* "address type name" lines, as nm(1), System.map and /proc/kallsyms have them. */
bool symbols_load_map(struct symbols *s, const char *path, unsigned *source, struct error *err);
/* Kallsyms of a bzImage or an ELF vmlinux; an ELF symbol table is not needed. */
bool symbols_load_kallsyms_image(struct symbols *s, const char *path, unsigned *source,
                                 struct error *err);
/* The same of an image that is open already: unpacking one takes a second. */
bool symbols_load_kallsyms_kernel(struct symbols *s, const struct kernel_image *k, unsigned *source,
                                  struct error *err);
/* Kallsyms of the kernel that is running: addresses are the real ones, KASLR or not. Needs a kernel
 * that has mapped itself. */
bool symbols_load_kallsyms_memory(struct symbols *s, const struct guest_memory *mem,
                                  unsigned *source, struct error *err);
/* What the file is decides: a map, a bzImage, an ELF file with or without a symbol table. */
bool symbols_load(struct symbols *s, const char *path, unsigned *source, struct error *err);
void symbols_unload(struct symbols *s, unsigned source);

/* Take over all sources of `from`, which is empty afterwards. Returns the number that its first one
 * has now. Without sources of its own the table becomes what `from` was, made or not. */
unsigned symbols_adopt(struct symbols *s, struct symbols *from);
/* Sort now what would be sorted when first asked for: a tenth of a second for a kernel. */
void symbols_prepare(struct symbols *s);

/* The modules that a running Linux has loaded, each a source of its own with its real addresses.
 * The kernel's own symbols must be loaded and have their bias; it must have BTF. Those that are
 * gone from the guest are unloaded, those that have not changed stay. On failure nothing changes.
 */
bool symbols_load_modules(struct symbols *s, const struct guest_memory *mem, struct error *err);
void symbols_unload_modules(struct symbols *s);

unsigned symbols_source_count(const struct symbols *s);
const struct symbols_source *symbols_source(const struct symbols *s, unsigned source);
void symbols_set_bias(struct symbols *s, unsigned source, uint64_t bias);
size_t symbols_count(const struct symbols *s);

/* All symbols of that name, global ones first, then by address; *count says how many there are.
 * NULL and 0: none. They are adjacent: symbols_by_name(s, index + i). */
const struct symbol *symbols_find(struct symbols *s, const char *name, size_t *count);

/* The symbol that `addr` is in: the nearest below, unless its section ends in between. *offset (may
 * be NULL) is how far in. NULL: none. */
const struct symbol *symbols_at(struct symbols *s, uint64_t addr, uint64_t *offset);

/* Symbols in the order of their names (bytewise): `index` counts from 0 to symbols_count() - 1.
 * symbols_prefix gives the index of the first whose name begins with `prefix` and how many do. */
const struct symbol *symbols_by_name(struct symbols *s, size_t index);
size_t symbols_prefix(struct symbols *s, const char *prefix, size_t *count);

/* "name", "name+0x10", "name-8", or a number ("0xffffffff81000000"). An unknown name is an error
 * that tells the nearest known one; so is a name of several places none of which is the only global
 * one. */
bool symbols_parse(struct symbols *s, const char *text, uint64_t *addr, struct error *err);

/* Is it well written, and only that no symbol has the name? A module that comes later may. */
bool symbols_unknown(struct symbols *s, const char *text);

/* "name+0x12/0x80", "name" at offset 0, else the bare number; " [module]" behind the name of a
 * module's symbol. Returns `buf`. */
char *symbols_format(struct symbols *s, uint64_t addr, char *buf, size_t size);

/* " [e1000]" for a symbol of a module, else "". Returns `buf`. */
char *symbols_format_module(const struct symbols *s, const struct symbol *a, char *buf,
                            size_t size);

/* The known name most like `name`; NULL: none is like it. */
const char *symbols_nearest(struct symbols *s, const char *name);

/* What is known of a running Linux; 0: not known. */
struct symbols_anchors {
    uint64_t lstar;    /* MSR C0000082h: entry_SYSCALL_64 */
    uint64_t idt_base; /* handlers of exceptions */
};

/* Are they a Linux kernel's: do they have linux_banner? */
bool symbols_is_kernel(struct symbols *s, unsigned source);

/* How far the running kernel is from where `source` (unbiased) has it, as KASLR moved it.
 * Candidates come from the anchors and, failing these, from the 512 places a kernel can be; each is
 * held against the "Linux version" text that linux_banner names. Does not set the bias. `mem` is
 * required. */
bool symbols_find_slide(struct symbols *s, unsigned source, const struct guest_memory *mem,
                        const struct symbols_anchors *anchors, uint64_t *slide, struct error *err);
