/* Instructions as text, in Intel syntax, with the names of the addresses they mention. */
#pragma once

#include "debug/symbols.h"

enum { DISASM_TEXT_MAX = 256, DISASM_INSN_MAX = 15 };

/* Decode the instruction in `bytes` (of which `len` are there), which lies at `addr`, in a code
 * segment of `bits` (16, 32 or 64). Branch targets and RIP-relative operands are written as
 * addresses and named from `symbols` (may be NULL): "call 0xffffffff81001000 <name+0x10/0x40>".
 * Returns the length; 0 when the bytes are no instruction or not all of it: then `out` says which,
 * as "(bad)" or "(cut)". */
unsigned disasm_one(const uint8_t *bytes, size_t len, uint64_t addr, unsigned bits,
                    struct symbols *symbols, char *out, size_t size);

/* Zydis' version, as text into `text`. Returns it. */
const char *disasm_version(char *text, size_t size);
