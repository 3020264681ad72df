/* Decoded instructions, the blocks that they form, and what their handlers return. */
#pragma once

#include <stdint.h>

struct soft_cpu;

enum {
    INSN_MEM = 1,     /* the r/m operand is memory */
    INSN_EA_SLOW = 2, /* its address needs more than base + index + disp: limits, wrapping */
    INSN_REP = 4,
    INSN_REPNE = 8,
    INSN_ASIZE_SHIFT = 4, /* log2 of the address size in bytes, two bits */
    INSN_LOCK = 64,
};

/* Registers are indices into soft_cpu.r; of 8-bit operands, byte offsets into it (AH is 1). Operand
 * order is made regular: `rm` is the destination of register-register forms. */
struct insn {
    const void *handler; /* label in exec.c */
    int64_t imm;
    int32_t disp;
    uint8_t reg, rm;
    uint8_t base, index, scale, seg; /* of the memory operand */
    uint8_t size;                    /* operand size in bytes */
    uint8_t next_off;                /* of the following instruction from the block's start */
    uint8_t len;
    uint8_t flags;
    uint16_t op; /* enum op: see opcodes.h */
};
_Static_assert(sizeof(struct insn) == 32, "two instructions a cache line");

/* Operations that serve several rows of the opcode table find the row's argument beside their (at
 * most 8-bit) immediate. */
static inline unsigned insn_arg(const struct insn *i)
{
    return (uint16_t)(i->imm >> 32);
}

enum { INSN_COUNT_CL = 0x100 }; /* imm of shifts and rotates by CL */

/* What a VEX prefix holds beyond REX lies above the 8-bit immediate. */
enum { INSN_VVVV_SHIFT = 8, INSN_VEX_L = 1 << 12, INSN_VEX = 1 << 13 };

static inline unsigned insn_vvvv(const struct insn *i)
{
    return (unsigned)i->imm >> INSN_VVVV_SHIFT & 15;
}

static inline unsigned insn_asize(const struct insn *i)
{
    return 1u << (i->flags >> INSN_ASIZE_SHIFT & 3);
}

enum {
    INSN_BYTES_MAX = 15,
    BLOCK_INSNS_MAX = 32,
    BLOCK_BYTES_MAX = 240, /* so that offsets fit in a byte */
};

/* What decoding depends on, and what a cached translation depends on. */
enum {
    MODE_CODE64 = 1,  /* CS.L in long mode */
    MODE_CODE32 = 2,  /* CS.D */
    MODE_STACK32 = 4, /* SS.B */
    MODE_USER = 8,    /* CPL 3 */
};

/* Sets of instructions that a model has or has not, and the features that they are: a block is
 * decoded for what the cpu has, which costs nothing afterwards. */
/* clang-format off */
#define ISA_SETS(X)                                                                                \
    X(FPU, "fpu") X(TSC, "tsc") X(MSR, "msr") X(CX8, "cx8") X(SEP, "sep") X(CMOV, "cmov")          \
    X(CLFLUSH, "clflush") X(MMX, "mmx") X(FXSR, "fxsr") X(SSE, "sse") X(SSE2, "sse2")              \
    X(SSE3, "pni") X(SSSE3, "ssse3") X(SSE4_1, "sse4_1") X(SSE4_2, "sse4_2") X(POPCNT, "popcnt")   \
    X(CX16, "cx16") X(SYSCALL, "syscall") X(RDTSCP, "rdtscp") X(LAHF_LM, "lahf_lm")                \
    X(FSGSBASE, "fsgsbase") X(INVPCID, "invpcid") X(MONITOR, "monitor") X(RDPID, "rdpid")          \
    X(RDRAND, "rdrand") X(RDSEED, "rdseed") X(SMAP, "smap") X(BMI1, "bmi1") X(BMI2, "bmi2")        \
    X(LZCNT, "abm") X(ADX, "adx") X(MOVBE, "movbe") X(AES, "aes") X(PCLMUL, "pclmulqdq")           \
    X(SHA, "sha_ni") X(XSAVE, "xsave") X(XSAVEOPT, "xsaveopt") X(XSAVEC, "xsavec")                 \
    X(XGETBV1, "xgetbv1") X(AVX, "avx") X(AVX2, "avx2") X(F16C, "f16c") X(FMA, "fma")              \
    X(VAES, "vaes") X(VPCLMUL, "vpclmulqdq")
/* clang-format on */

enum {
#define X(name, feature) ISA_BIT_##name,
    ISA_SETS(X) ISA_COUNT
#undef X
};
_Static_assert(ISA_COUNT <= 64, "they fit into a word");

/* ISA_*: the bits. */
enum {
#define X(name, feature) ISA_##name = UINT64_C(1) << ISA_BIT_##name,
    ISA_SETS(X)
#undef X
    /* any of what is encoded with VEX */
    ISA_VEX = ISA_BMI1 | ISA_BMI2 | ISA_AVX | ISA_AVX2,
};

#define BLOCK_SCRATCH UINT32_MAX /* not in the cache: good for one execution */

struct block {
    struct block *next; /* in its bucket */
    uint32_t mode;
    uint32_t ram_page; /* its page's number, or BLOCK_SCRATCH */
    uint64_t isa;      /* what the cpu has that it was decoded for */
    uint64_t points; /* the page of linear addresses that it serves, plus 1, if there are points in
                      * it; 0: it serves all pages without */
    uint16_t page_off; /* where in its page it starts */
    uint16_t count;    /* instructions, the end marker not counted */
    uint16_t bytes;
    /* Successors within the page, so that a link never outlives what it points to: pages are
     * dropped whole. */
    struct block *fallthrough, *taken;
    struct insn insns[];
};

/* ---- what an instruction handler returns ---- */

enum {
    X_NEXT = 0,         /* retired; go on with the next one */
    X_BREAK = 1,        /* retired; leave the block after it: something has to be looked at */
    X_JUMP = 2,         /* retired; rip has been set */
    X_REPEAT = 3,       /* a chunk of a rep instruction is done: count it, but stay on it */
    X_FAULT = -1,       /* not retired; c->exc says what */
    X_FAULT_AFTER = -2, /* retired, and rip has been set; c->exc is a fault at it: a new task's */
};

typedef int (*insn_fn)(struct soft_cpu *c, const struct insn *i);
