/* Making blocks: for code_cache.c. */
#pragma once

#include "cpu/soft/soft_cpu.h"

/* How many of `avail` bytes an instruction depends on, if soft_decode() has said `len` of them: any
 * may be why it is none. */
static inline unsigned bytes_decoded(int len, unsigned avail)
{
    return len > 0 ? (unsigned)len : avail < INSN_BYTES_MAX ? avail : INSN_BYTES_MAX;
}

/* What a block of so many instructions takes. */
static inline size_t block_bytes(unsigned insns)
{
    return sizeof(struct block) + (insns + 1) * sizeof(struct insn);
}

/* Decode into `b`, which is empty, from `code` (`avail` bytes, none beyond the page) to the end of
 * the block. Returns how many of the bytes it depends on; 0: not even one instruction lies there
 * whole. */
unsigned block_decode(struct soft_cpu *c, const uint8_t *code, unsigned avail, struct block *b);

/* Put a decoded instruction behind the others. */
void block_append(const struct soft_cpu *c, struct block *b, struct insn *i);

/* Put the marker behind the last one: it is executed if that is no branch. */
void block_end(struct block *b);

/* Make *to, which may be `from`, of the first `count` instructions, for one execution. */
void block_cut(struct block *to, const struct block *from, unsigned count);

/* For who asks which instructions have been seen: `len` is what soft_decode() said of the bytes. */
void block_note_row(const struct soft_cpu *c, const uint8_t *code, unsigned avail, int len);
