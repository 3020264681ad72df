/* What the manual names: registers and their bits, attributes of segments, vectors. And the numbers
 * of registers that decoded instructions use. */
#pragma once

#include <stdint.h>

enum { RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8, R9, R10, R11, R12, R13, R14, R15 };
enum {
    REG_NONE = 16, /* always 0: an effective address without base or index */
    REG_RIP = 17,  /* rip of the first instruction of the block being executed */
    REG_COUNT = 18,
};

enum { SEG_ES, SEG_CS, SEG_SS, SEG_DS, SEG_FS, SEG_GS, SEG_COUNT };

/* Descriptor attributes as they stand in the upper half of a descriptor, bits 8-15 and 20-23 (SDM
 * vol. 3 3.4.5), shifted down by 8. */
enum {
    ATTR_TYPE = 0x000f,
    ATTR_S = 0x0010, /* code or data, not system */
    ATTR_DPL_SHIFT = 5,
    ATTR_P = 0x0080,
    ATTR_AVL = 0x1000,
    ATTR_L = 0x2000,
    ATTR_DB = 0x4000,
    ATTR_G = 0x8000,
    /* bits of the type, for code and data */
    ATTR_ACCESSED = 0x1,
    ATTR_RW = 0x2, /* readable code, writable data */
    ATTR_CE = 0x4, /* conforming code, expand-down data */
    ATTR_CODE = 0x8,
};

struct segment {
    uint64_t base;
    uint32_t limit; /* in bytes, the last valid offset */
    uint16_t sel;
    uint16_t attr;
};

static inline unsigned attr_dpl(unsigned attr)
{
    return attr >> ATTR_DPL_SHIFT & 3;
}

/* clang-format off */
enum {
    CR0_PE = 1u << 0, CR0_MP = 1u << 1, CR0_EM = 1u << 2, CR0_TS = 1u << 3, CR0_ET = 1u << 4,
    CR0_NE = 1u << 5, CR0_WP = 1u << 16, CR0_AM = 1u << 18, CR0_NW = 1u << 29, CR0_CD = 1u << 30,
    CR0_PG = 1u << 31,
    CR4_VME = 1 << 0, CR4_PVI = 1 << 1, CR4_TSD = 1 << 2, CR4_DE = 1 << 3, CR4_PSE = 1 << 4,
    CR4_PAE = 1 << 5, CR4_MCE = 1 << 6, CR4_PGE = 1 << 7, CR4_PCE = 1 << 8, CR4_OSFXSR = 1 << 9,
    CR4_OSXMMEXCPT = 1 << 10, CR4_UMIP = 1 << 11, CR4_FSGSBASE = 1 << 16, CR4_PCIDE = 1 << 17,
    CR4_OSXSAVE = 1 << 18, CR4_SMEP = 1 << 20, CR4_SMAP = 1 << 21,
    EFER_SCE = 1 << 0, EFER_LME = 1 << 8, EFER_LMA = 1 << 10, EFER_NX = 1 << 11,
};

enum {
    FLAG_CF = 1 << 0, FLAG_1 = 1 << 1, FLAG_PF = 1 << 2, FLAG_AF = 1 << 4, FLAG_ZF = 1 << 6,
    FLAG_SF = 1 << 7, FLAG_TF = 1 << 8, FLAG_IF = 1 << 9, FLAG_DF = 1 << 10, FLAG_OF = 1 << 11,
    FLAG_IOPL = 3 << 12, FLAG_NT = 1 << 14, FLAG_RF = 1 << 16, FLAG_VM = 1 << 17,
    FLAG_AC = 1 << 18, FLAG_VIF = 1 << 19, FLAG_VIP = 1 << 20, FLAG_ID = 1 << 21,
    FLAGS_ARITH = FLAG_CF | FLAG_PF | FLAG_AF | FLAG_ZF | FLAG_SF | FLAG_OF,
};

enum {
    VEC_DE = 0, VEC_DB = 1, VEC_NMI = 2, VEC_BP = 3, VEC_OF = 4, VEC_BR = 5, VEC_UD = 6, VEC_NM = 7,
    VEC_DF = 8, VEC_TS = 10, VEC_NP = 11, VEC_SS = 12, VEC_GP = 13, VEC_PF = 14, VEC_MF = 16,
    VEC_AC = 17, VEC_MC = 18, VEC_XM = 19,
};
/* clang-format on */

/* The states that XSAVE manages: SDM vol. 1 13.1. */
enum { XCR0_X87 = 1, XCR0_SSE = 2, XCR0_AVX = 4 };
