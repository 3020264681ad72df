/* How sources put symbols into the table. Private to this folder. */
#pragma once

#include "debug/symbols.h"

/* A new, empty source; `path` is copied. Until symbols_commit the table does not show it. */
unsigned symbols_begin(struct symbols *s, enum symbols_kind kind, const char *path);
/* The same of a module of a running kernel; `module` and `orc` are copied. */
void symbols_begin_module(struct symbols *s, const char *module, uint64_t identity,
                          const struct symbols_orc *orc);

/* `size` 0: not known. `section_end` 0: not known. `name` is copied, up to `len` bytes. */
struct symbol_def {
    const char *name;
    size_t len;
    uint64_t addr, size, section_end;
    char type;
    bool fixed;
};
void symbols_add(struct symbols *s, const struct symbol_def *def);

/* Finish the source begun last: show it when `ok`, else forget it. Returns `ok`; *source is set. */
bool symbols_commit(struct symbols *s, bool ok, unsigned *source);

/* How many symbols the source being read has so far. */
size_t symbols_pending(const struct symbols *s);

/* The address a name of `source` was read with, without the bias. */
bool symbols_link_address(struct symbols *s, unsigned source, const char *name, uint64_t *addr);

/* The kernel's half of the address space. */
static inline bool is_kernel_address(uint64_t addr)
{
    return addr >= 0xffff800000000000ull;
}

/* Where Linux maps its own image: Documentation/x86/x86_64/mm.rst, "kernel text mapping". KASLR
 * puts it at a multiple of 2 MiB in there. */
#define KERNEL_MAP_START 0xffffffff80000000ull
#define KERNEL_MAP_END   0xffffffffc0000000ull
#define KERNEL_MAP_STEP  0x200000ull
