/* x87 arithmetic on the host: see x87_host.h.
 *
 * The order of instructions in each piece matters. Up to the operation no exception can be pending,
 * as flags that would be have been cleared; after it come only FNSTSW and FNCLEX, which do not
 * wait, until the host's own control word is back. At the end the stack is empty, as the calling
 * convention wants it.
 *
 * FNCLEX and FNINIT take longer than all the rest, so they are left out where nothing can be
 * pending: where all exceptions are masked, and then an operation also pushes and pops what it
 * should. */
#include "cpu/soft/x87_host.h"

static const uint16_t host_cw = FCW_INIT;

/* Bytes behind a pointer, as a memory operand of an asm. */
struct bytes10 {
    uint8_t b[10];
};
#define BYTES(p)       (*(struct bytes10 *)(p))
#define CONST_BYTES(p) (*(const struct bytes10 *)(p))

#define BEGIN "fldcw %[cw]\n\t"
#define END \
    "\n\tfnstsw %[sw]\n\ttestl %[unmasked], %[unmasked]\n\tjz 1f\n\tfnclex\n1:\tfldcw %[host]\n\t"
#define EMPTY_IF_UNMASKED "\n\ttestl %[unmasked], %[unmasked]\n\tjz 2f\n\tfninit\n2:"
#define CONTROL           [cw] "m"(cw), [unmasked] "r"((unsigned)(~cw & FSW_EXCEPTIONS)), [host] "m"(host_cw)
#define CLOBBERS          "st", "st(1)", "st(2)", "memory", "cc"

/* The control word, after flags of earlier operations are out of the way. */
static ALWAYS_INLINE uint16_t begin(uint32_t control)
{
    uint16_t sw;
    __asm__ volatile("fnstsw %0" : "=a"(sw) : : "memory");
    if (UNLIKELY(sw & FSW_EXCEPTIONS & ~(control >> 16)))
        __asm__ volatile("fnclex" : : : "memory");
    return (uint16_t)control;
}

/* ---- arithmetic: ST(0) and another operand ---- */

#define BINARY(name, op, load_b, drop_b)                                                           \
    static uint16_t name(uint32_t control, struct f80 *a, const void *b)                           \
    {                                                                                              \
        uint16_t cw = begin(control), sw;                                                          \
        __asm__ volatile(BEGIN load_b "fldt %[a]\n\t" op END "fstpt %[a]" drop_b EMPTY_IF_UNMASKED \
                         : [a] "+m"(BYTES(a)), [sw] "=m"(sw)                                       \
                         : [b] "r"(b), CONTROL                                                     \
                         : CLOBBERS);                                                              \
        return sw;                                                                                 \
    }

#define ARITH(kind, prefix, suffix, operand, load_b, drop_b)                  \
    BINARY(kind##_add, "f" prefix "add" suffix " " operand, load_b, drop_b)   \
    BINARY(kind##_mul, "f" prefix "mul" suffix " " operand, load_b, drop_b)   \
    BINARY(kind##_com, "f" prefix "com" suffix " " operand, load_b, drop_b)   \
    BINARY(kind##_sub, "f" prefix "sub" suffix " " operand, load_b, drop_b)   \
    BINARY(kind##_subr, "f" prefix "subr" suffix " " operand, load_b, drop_b) \
    BINARY(kind##_div, "f" prefix "div" suffix " " operand, load_b, drop_b)   \
    BINARY(kind##_divr, "f" prefix "divr" suffix " " operand, load_b, drop_b)

/* With ST(0) as the destination the assembler's names are the manual's. */
ARITH(reg, "", "", "%%st(1)", "fldt (%[b])\n\t", "\n\tfstp %%st(0)")
ARITH(f32, "", "s", "(%[b])", "", "")
ARITH(f64, "", "l", "(%[b])", "", "")
ARITH(i16, "i", "s", "(%[b])", "", "")
ARITH(i32, "i", "l", "(%[b])", "", "")

#define ARITH_ROW(kind)                                                                      \
    {                                                                                        \
        kind##_add, kind##_mul, kind##_com, kind##_com, kind##_sub, kind##_subr, kind##_div, \
            kind##_divr                                                                      \
    }

x87_binary_fn *const x87_arith[X87_KINDS][8] = {
    [X87_REG] = ARITH_ROW(reg), [X87_F32] = ARITH_ROW(f32), [X87_F64] = ARITH_ROW(f64),
    [X87_I16] = ARITH_ROW(i16), [X87_I32] = ARITH_ROW(i32),
};

BINARY(fucom, "fucom %%st(1)", "fldt (%[b])\n\t", "\n\tfstp %%st(0)")

uint16_t x87_fucom(uint32_t control, struct f80 *a, const void *b)
{
    return fucom(control, a, b);
}

/* ---- loads and stores ---- */

#define LOAD(name, op)                                               \
    uint16_t name(uint32_t control, struct f80 *a, const void *mem)  \
    {                                                                \
        uint16_t cw = begin(control), sw;                            \
        __asm__ volatile(BEGIN op END "fstpt %[a]" EMPTY_IF_UNMASKED \
                         : [a] "=m"(BYTES(a)), [sw] "=m"(sw)         \
                         : [mem] "r"(mem), CONTROL                   \
                         : CLOBBERS);                                \
        return sw;                                                   \
    }
LOAD(x87_fld_f32, "flds (%[mem])")
LOAD(x87_fld_f64, "fldl (%[mem])")
LOAD(x87_fild_i16, "filds (%[mem])")
LOAD(x87_fild_i32, "fildl (%[mem])")
LOAD(x87_fild_i64, "fildll (%[mem])")
LOAD(x87_fbld, "fbld (%[mem])")

#define CONSTANT(name) static LOAD(host_##name, #name)
CONSTANT(fld1)
CONSTANT(fldl2t)
CONSTANT(fldl2e)
CONSTANT(fldpi)
CONSTANT(fldlg2)
CONSTANT(fldln2)
CONSTANT(fldz)

x87_load_fn *const x87_constants[7] = { host_fld1,   host_fldl2t, host_fldl2e, host_fldpi,
                                        host_fldlg2, host_fldln2, host_fldz };

#define STORE(name, op)                                                             \
    uint16_t name(uint32_t control, const struct f80 *a, void *mem)                 \
    {                                                                               \
        uint16_t cw = begin(control), sw;                                           \
        __asm__ volatile(BEGIN "fldt %[a]\n\t" op " (%[mem])" END EMPTY_IF_UNMASKED \
                         : [sw] "=m"(sw)                                            \
                         : [a] "m"(CONST_BYTES(a)), [mem] "r"(mem), CONTROL         \
                         : CLOBBERS);                                               \
        return sw;                                                                  \
    }
STORE(x87_fst_f32, "fstps")
STORE(x87_fst_f64, "fstpl")
STORE(x87_fist_i16, "fistps")
STORE(x87_fist_i32, "fistpl")
STORE(x87_fist_i64, "fistpll")
STORE(x87_fisttp_i16, "fisttps")
STORE(x87_fisttp_i32, "fisttpl")
STORE(x87_fisttp_i64, "fisttpll")
STORE(x87_fbstp, "fbstp")

/* ---- operations on the top of the stack ---- */

/* Two numbers go in; two come out, of which the caller takes those that exist. */
#define STACK_OP(name, empty)                                                    \
    static uint16_t host_##name(uint32_t control, struct f80 *a, struct f80 *b)  \
    {                                                                            \
        uint16_t cw = begin(control), sw;                                        \
        __asm__ volatile(BEGIN "fldt %[b]\n\tfldt %[a]\n\t" #name END            \
                               "fstpt %[a]\n\tfstpt %[b]" empty                  \
                         : [a] "+m"(BYTES(a)), [b] "+m"(BYTES(b)), [sw] "=m"(sw) \
                         : CONTROL                                               \
                         : CLOBBERS);                                            \
        return sw;                                                               \
    }
STACK_OP(fchs, EMPTY_IF_UNMASKED)
STACK_OP(fabs, EMPTY_IF_UNMASKED)
STACK_OP(ftst, EMPTY_IF_UNMASKED)
STACK_OP(fxam, EMPTY_IF_UNMASKED)
STACK_OP(f2xm1, EMPTY_IF_UNMASKED)
STACK_OP(fyl2x, "\n\tfninit")
STACK_OP(fptan, "\n\tfninit")
STACK_OP(fpatan, "\n\tfninit")
STACK_OP(fxtract, "\n\tfninit")
STACK_OP(fprem1, EMPTY_IF_UNMASKED)
STACK_OP(fprem, EMPTY_IF_UNMASKED)
STACK_OP(fyl2xp1, "\n\tfninit")
STACK_OP(fsqrt, EMPTY_IF_UNMASKED)
STACK_OP(fsincos, "\n\tfninit")
STACK_OP(frndint, EMPTY_IF_UNMASKED)
STACK_OP(fscale, EMPTY_IF_UNMASKED)
STACK_OP(fsin, EMPTY_IF_UNMASKED)
STACK_OP(fcos, EMPTY_IF_UNMASKED)

x87_stack_fn *const x87_stack_ops[32] = {
    [0x00] = host_fchs,    [0x01] = host_fabs,    [0x04] = host_ftst,    [0x05] = host_fxam,
    [0x10] = host_f2xm1,   [0x11] = host_fyl2x,   [0x12] = host_fptan,   [0x13] = host_fpatan,
    [0x14] = host_fxtract, [0x15] = host_fprem1,  [0x18] = host_fprem,   [0x19] = host_fyl2xp1,
    [0x1a] = host_fsqrt,   [0x1b] = host_fsincos, [0x1c] = host_frndint, [0x1d] = host_fscale,
    [0x1e] = host_fsin,    [0x1f] = host_fcos,
};
