/* Linux's kallsyms: the kernel's own table of all its symbols, packed, found by its structure.
 *
 * Everything works on bytes that may be anything: a file, or what a guest has in memory. */
#pragma once

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum kallsyms_encoding {
    KALLSYMS_PERCPU,   /* offsets: up to 0 and above are absolute, negative ones -1 - (place - base)
                        */
    KALLSYMS_RELATIVE, /* offsets: unsigned, from the base */
    KALLSYMS_ABSOLUTE, /* 64-bit addresses */
};

/* Where the parts are: offsets into `data`, all checked. */
struct kallsyms {
    const uint8_t *data;
    size_t size;
    size_t token_table, token_index, names, names_size, markers, addresses;
    uint32_t count;
    uint64_t base;
    enum kallsyms_encoding encoding;
};

/* Find the tables in `data`, which is borrowed for as long as `k` is used. The error says which
 * part could not be found. */
bool kallsyms_find(struct kallsyms *k, const uint8_t *data, size_t size, struct error *err);

struct kallsyms_symbol {
    const char *name; /* good until the next call */
    size_t len;
    uint64_t addr;
    char type;
    bool fixed; /* a per-cpu offset or a constant */
};

/* Walk over the symbols: *index and *at start at 0 and are kept between calls. False at the end. */
struct kallsyms_cursor {
    uint32_t index;
    size_t at; /* in names */
    char name[1024];
};
bool kallsyms_next(const struct kallsyms *k, struct kallsyms_cursor *cursor,
                   struct kallsyms_symbol *symbol);
