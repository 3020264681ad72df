/* DWARF call frame information of an ELF program (.eh_frame, .debug_frame): DWARF 5, section 6.4.
 */
#pragma once

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cfi;

/* NULL with `err`: not an ELF file for x86-64, or it has none. */
struct cfi *cfi_load(const char *path, struct error *err);
void cfi_free(struct cfi *c); /* NULL is allowed */

/* Is there a rule for the code at `pc` (as linked)? */
bool cfi_covers(struct cfi *c, uint64_t pc);
