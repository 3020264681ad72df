/* All rows of the opcode table, one after the other, and which of them have been decoded. */
#pragma once

#include "cpu/soft/opcodes.h"

/* A row and the bytes that lead to it. */
struct opcode_place {
    const struct opcode *row;
    bool vex, reg;   /* reg: only where r/m is a register */
    unsigned map;    /* 0: one byte, 1: 0F, 2: 0F 38, 3: 0F 3A */
    unsigned prefix; /* PREFIX_* */
    uint8_t opcode;
    int group; /* ModRM.reg; or ModRM with `exact`; -1: any */
    bool exact;
};

typedef void opcode_visit(void *opaque, const struct opcode_place *place);
void opcode_walk(opcode_visit *visit, void *opaque);
/* As in "vex 66 0f38 f3 /1"; `size` of 32 is enough. */
void opcode_place_name(const struct opcode_place *place, char *out, size_t size);

struct opcode_coverage;
struct opcode_coverage *opcode_coverage_new(void);
/* The instruction of these bytes, which soft_decode() takes, has been decoded. */
void opcode_coverage_note(struct opcode_coverage *v, const uint8_t *code, unsigned avail,
                          uint32_t mode, uint64_t isa);
/* Write a new file to `folder`: for each row a line of how often, where it is, and its name, with
 * tabs between. False: it cannot be written. Frees `v` in any case. */
bool opcode_coverage_close(struct opcode_coverage *v, const char *folder);
