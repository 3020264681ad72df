/* The list of all SIMD instructions: what simd.h says of them.
 *
 * The last word of a line says how the form with a VEX prefix is made of it (vex_opcodes.c): NO,
 * there is none; the number of its operands behind what they are. */
#pragma once

/* clang-format off */
/* ---- the lists ---- */

/* Integer operations that exist for MMX and XMM registers alike and are one host instruction of the same name.
 * B(map, opcode, mnemonic, bytes read from memory by the MMX form, ISA_* of it
 * beside MMX (that on XMM registers is of SSE2, or of SSSE3 if it is), VEX) */
#define SIMD_INT_BOTH(B)                                                                           \
    B(1, 0x60, punpcklbw, 4, ISA_MMX, INT3) B(1, 0x61, punpcklwd, 4, ISA_MMX, INT3)                \
    B(1, 0x62, punpckldq, 4, ISA_MMX, INT3) B(1, 0x63, packsswb, 8, ISA_MMX, INT3)                 \
    B(1, 0x64, pcmpgtb, 8, ISA_MMX, INT3) B(1, 0x65, pcmpgtw, 8, ISA_MMX, INT3)                    \
    B(1, 0x66, pcmpgtd, 8, ISA_MMX, INT3) B(1, 0x67, packuswb, 8, ISA_MMX, INT3)                   \
    B(1, 0x68, punpckhbw, 8, ISA_MMX, INT3) B(1, 0x69, punpckhwd, 8, ISA_MMX, INT3)                \
    B(1, 0x6a, punpckhdq, 8, ISA_MMX, INT3) B(1, 0x6b, packssdw, 8, ISA_MMX, INT3)                 \
    B(1, 0x74, pcmpeqb, 8, ISA_MMX, INT3) B(1, 0x75, pcmpeqw, 8, ISA_MMX, INT3)                    \
    B(1, 0x76, pcmpeqd, 8, ISA_MMX, INT3) B(1, 0xd1, psrlw, 8, ISA_MMX, CNT3)                      \
    B(1, 0xd2, psrld, 8, ISA_MMX, CNT3) B(1, 0xd3, psrlq, 8, ISA_MMX, CNT3)                        \
    B(1, 0xd4, paddq, 8, ISA_SSE2, INT3) B(1, 0xd5, pmullw, 8, ISA_MMX, INT3)                      \
    B(1, 0xd8, psubusb, 8, ISA_MMX, INT3) B(1, 0xd9, psubusw, 8, ISA_MMX, INT3)                    \
    B(1, 0xda, pminub, 8, ISA_SSE, INT3) B(1, 0xdb, pand, 8, ISA_MMX, INT3)                        \
    B(1, 0xdc, paddusb, 8, ISA_MMX, INT3) B(1, 0xdd, paddusw, 8, ISA_MMX, INT3)                    \
    B(1, 0xde, pmaxub, 8, ISA_SSE, INT3) B(1, 0xdf, pandn, 8, ISA_MMX, INT3)                       \
    B(1, 0xe0, pavgb, 8, ISA_SSE, INT3) B(1, 0xe1, psraw, 8, ISA_MMX, CNT3)                        \
    B(1, 0xe2, psrad, 8, ISA_MMX, CNT3) B(1, 0xe3, pavgw, 8, ISA_SSE, INT3)                        \
    B(1, 0xe4, pmulhuw, 8, ISA_SSE, INT3) B(1, 0xe5, pmulhw, 8, ISA_MMX, INT3)                     \
    B(1, 0xe8, psubsb, 8, ISA_MMX, INT3) B(1, 0xe9, psubsw, 8, ISA_MMX, INT3)                      \
    B(1, 0xea, pminsw, 8, ISA_SSE, INT3) B(1, 0xeb, por, 8, ISA_MMX, INT3)                         \
    B(1, 0xec, paddsb, 8, ISA_MMX, INT3) B(1, 0xed, paddsw, 8, ISA_MMX, INT3)                      \
    B(1, 0xee, pmaxsw, 8, ISA_SSE, INT3) B(1, 0xef, pxor, 8, ISA_MMX, INT3)                        \
    B(1, 0xf1, psllw, 8, ISA_MMX, CNT3) B(1, 0xf2, pslld, 8, ISA_MMX, CNT3)                        \
    B(1, 0xf3, psllq, 8, ISA_MMX, CNT3) B(1, 0xf4, pmuludq, 8, ISA_SSE2, INT3)                     \
    B(1, 0xf5, pmaddwd, 8, ISA_MMX, INT3) B(1, 0xf6, psadbw, 8, ISA_SSE, INT3)                     \
    B(1, 0xf8, psubb, 8, ISA_MMX, INT3) B(1, 0xf9, psubw, 8, ISA_MMX, INT3)                        \
    B(1, 0xfa, psubd, 8, ISA_MMX, INT3) B(1, 0xfb, psubq, 8, ISA_SSE2, INT3)                       \
    B(1, 0xfc, paddb, 8, ISA_MMX, INT3) B(1, 0xfd, paddw, 8, ISA_MMX, INT3)                        \
    B(1, 0xfe, paddd, 8, ISA_MMX, INT3) B(2, 0x00, pshufb, 8, ISA_SSSE3, INT3)                     \
    B(2, 0x01, phaddw, 8, ISA_SSSE3, INT3) B(2, 0x02, phaddd, 8, ISA_SSSE3, INT3)                  \
    B(2, 0x03, phaddsw, 8, ISA_SSSE3, INT3) B(2, 0x04, pmaddubsw, 8, ISA_SSSE3, INT3)              \
    B(2, 0x05, phsubw, 8, ISA_SSSE3, INT3) B(2, 0x06, phsubd, 8, ISA_SSSE3, INT3)                  \
    B(2, 0x07, phsubsw, 8, ISA_SSSE3, INT3) B(2, 0x08, psignb, 8, ISA_SSSE3, INT3)                 \
    B(2, 0x09, psignw, 8, ISA_SSSE3, INT3) B(2, 0x0a, psignd, 8, ISA_SSSE3, INT3)                  \
    B(2, 0x0b, pmulhrsw, 8, ISA_SSSE3, INT3) B(2, 0x1c, pabsb, 8, ISA_SSSE3, INT2)                 \
    B(2, 0x1d, pabsw, 8, ISA_SSSE3, INT2) B(2, 0x1e, pabsd, 8, ISA_SSSE3, INT2)

/* Operations on XMM registers that raise nothing and are one host instruction of the same name.
 * P(map, prefix, opcode, mnemonic, bytes read from memory, ISA_*, VEX) */
#define SIMD_INT_XMM(P)                                                                            \
    P(1, NONE, 0x14, unpcklps, 16, ISA_SSE, FLT3) P(1, 66, 0x14, unpcklpd, 16, ISA_SSE2, FLT3)     \
    P(1, NONE, 0x15, unpckhps, 16, ISA_SSE, FLT3) P(1, 66, 0x15, unpckhpd, 16, ISA_SSE2, FLT3)     \
    P(1, NONE, 0x54, andps, 16, ISA_SSE, FLT3) P(1, 66, 0x54, andpd, 16, ISA_SSE2, FLT3)           \
    P(1, NONE, 0x55, andnps, 16, ISA_SSE, FLT3) P(1, 66, 0x55, andnpd, 16, ISA_SSE2, FLT3)         \
    P(1, NONE, 0x56, orps, 16, ISA_SSE, FLT3) P(1, 66, 0x56, orpd, 16, ISA_SSE2, FLT3)             \
    P(1, NONE, 0x57, xorps, 16, ISA_SSE, FLT3) P(1, 66, 0x57, xorpd, 16, ISA_SSE2, FLT3)           \
    P(1, 66, 0x6c, punpcklqdq, 16, ISA_SSE2, INT3) P(1, 66, 0x6d, punpckhqdq, 16, ISA_SSE2, INT3)  \
    P(1, F3, 0x12, movsldup, 16, ISA_SSE3, FLT2) P(1, F2, 0x12, movddup, 8, ISA_SSE3, DUP2)        \
    P(1, F3, 0x16, movshdup, 16, ISA_SSE3, FLT2) P(2, 66, 0x20, pmovsxbw, 8, ISA_SSE4_1, IWID2)    \
    P(2, 66, 0x21, pmovsxbd, 4, ISA_SSE4_1, IWID2) P(2, 66, 0x22, pmovsxbq, 2, ISA_SSE4_1, IWID2)  \
    P(2, 66, 0x23, pmovsxwd, 8, ISA_SSE4_1, IWID2) P(2, 66, 0x24, pmovsxwq, 4, ISA_SSE4_1, IWID2)  \
    P(2, 66, 0x25, pmovsxdq, 8, ISA_SSE4_1, IWID2) P(2, 66, 0x28, pmuldq, 16, ISA_SSE4_1, INT3)    \
    P(2, 66, 0x29, pcmpeqq, 16, ISA_SSE4_1, INT3) P(2, 66, 0x2b, packusdw, 16, ISA_SSE4_1, INT3)   \
    P(2, 66, 0x30, pmovzxbw, 8, ISA_SSE4_1, IWID2) P(2, 66, 0x31, pmovzxbd, 4, ISA_SSE4_1, IWID2)  \
    P(2, 66, 0x32, pmovzxbq, 2, ISA_SSE4_1, IWID2) P(2, 66, 0x33, pmovzxwd, 8, ISA_SSE4_1, IWID2)  \
    P(2, 66, 0x34, pmovzxwq, 4, ISA_SSE4_1, IWID2) P(2, 66, 0x35, pmovzxdq, 8, ISA_SSE4_1, IWID2)  \
    P(2, 66, 0x37, pcmpgtq, 16, ISA_SSE4_2, INT3) P(2, 66, 0x38, pminsb, 16, ISA_SSE4_1, INT3)     \
    P(2, 66, 0x39, pminsd, 16, ISA_SSE4_1, INT3) P(2, 66, 0x3a, pminuw, 16, ISA_SSE4_1, INT3)      \
    P(2, 66, 0x3b, pminud, 16, ISA_SSE4_1, INT3) P(2, 66, 0x3c, pmaxsb, 16, ISA_SSE4_1, INT3)      \
    P(2, 66, 0x3d, pmaxsd, 16, ISA_SSE4_1, INT3) P(2, 66, 0x3e, pmaxuw, 16, ISA_SSE4_1, INT3)      \
    P(2, 66, 0x3f, pmaxud, 16, ISA_SSE4_1, INT3) P(2, 66, 0x40, pmulld, 16, ISA_SSE4_1, INT3)      \
    P(2, 66, 0x41, phminposuw, 16, ISA_SSE4_1, X2)

/* Arithmetic: XMM from XMM or memory under MXCSR, one host instruction of the same name. */
#define SIMD_FLOAT(P)                                                                              \
    P(1, NONE, 0x51, sqrtps, 16, ISA_SSE, FLT2) P(1, 66, 0x51, sqrtpd, 16, ISA_SSE2, FLT2)         \
    P(1, F3, 0x51, sqrtss, 4, ISA_SSE, SCL3) P(1, F2, 0x51, sqrtsd, 8, ISA_SSE2, SCL3)             \
    P(1, NONE, 0x58, addps, 16, ISA_SSE, FLT3) P(1, 66, 0x58, addpd, 16, ISA_SSE2, FLT3)           \
    P(1, F3, 0x58, addss, 4, ISA_SSE, SCL3) P(1, F2, 0x58, addsd, 8, ISA_SSE2, SCL3)               \
    P(1, NONE, 0x59, mulps, 16, ISA_SSE, FLT3) P(1, 66, 0x59, mulpd, 16, ISA_SSE2, FLT3)           \
    P(1, F3, 0x59, mulss, 4, ISA_SSE, SCL3) P(1, F2, 0x59, mulsd, 8, ISA_SSE2, SCL3)               \
    P(1, NONE, 0x5c, subps, 16, ISA_SSE, FLT3) P(1, 66, 0x5c, subpd, 16, ISA_SSE2, FLT3)           \
    P(1, F3, 0x5c, subss, 4, ISA_SSE, SCL3) P(1, F2, 0x5c, subsd, 8, ISA_SSE2, SCL3)               \
    P(1, NONE, 0x5d, minps, 16, ISA_SSE, FLT3) P(1, 66, 0x5d, minpd, 16, ISA_SSE2, FLT3)           \
    P(1, F3, 0x5d, minss, 4, ISA_SSE, SCL3) P(1, F2, 0x5d, minsd, 8, ISA_SSE2, SCL3)               \
    P(1, NONE, 0x5e, divps, 16, ISA_SSE, FLT3) P(1, 66, 0x5e, divpd, 16, ISA_SSE2, FLT3)           \
    P(1, F3, 0x5e, divss, 4, ISA_SSE, SCL3) P(1, F2, 0x5e, divsd, 8, ISA_SSE2, SCL3)               \
    P(1, NONE, 0x5f, maxps, 16, ISA_SSE, FLT3) P(1, 66, 0x5f, maxpd, 16, ISA_SSE2, FLT3)           \
    P(1, F3, 0x5f, maxss, 4, ISA_SSE, SCL3) P(1, F2, 0x5f, maxsd, 8, ISA_SSE2, SCL3)               \
    P(1, 66, 0x7c, haddpd, 16, ISA_SSE3, FLT3) P(1, F2, 0x7c, haddps, 16, ISA_SSE3, FLT3)          \
    P(1, 66, 0x7d, hsubpd, 16, ISA_SSE3, FLT3) P(1, F2, 0x7d, hsubps, 16, ISA_SSE3, FLT3)          \
    P(1, 66, 0xd0, addsubpd, 16, ISA_SSE3, FLT3) P(1, F2, 0xd0, addsubps, 16, ISA_SSE3, FLT3)      \
    P(1, NONE, 0x5a, cvtps2pd, 8, ISA_SSE2, WID2) P(1, 66, 0x5a, cvtpd2ps, 16, ISA_SSE2, NAR2)     \
    P(1, F3, 0x5a, cvtss2sd, 4, ISA_SSE2, SCL3) P(1, F2, 0x5a, cvtsd2ss, 8, ISA_SSE2, SCL3)        \
    P(1, NONE, 0x5b, cvtdq2ps, 16, ISA_SSE2, FLT2) P(1, 66, 0x5b, cvtps2dq, 16, ISA_SSE2, FLT2)    \
    P(1, F3, 0x5b, cvttps2dq, 16, ISA_SSE2, FLT2) P(1, 66, 0xe6, cvttpd2dq, 16, ISA_SSE2, NAR2)    \
    P(1, F3, 0xe6, cvtdq2pd, 8, ISA_SSE2, WID2) P(1, F2, 0xe6, cvtpd2dq, 16, ISA_SSE2, NAR2)

/* Everything else.
 * X(map, prefix, opcode, mnemonic, decoder's form, operand size, OPF_*, function, dst, src, bytes, SIMD_*, ISA_*,
 *   VEX) */
#define SIMD_OTHER_FLOAT(X)                                                                        \
    X(1, NONE, 0x2a, "cvtpi2ps", F_RAW, S_V, 0, cvtpi2ps, XMM, MMX, 8,                             \
      SIMD_FP | SIMD_NO_MMX_MEM, ISA_SSE | ISA_MMX, NO)                                            \
    X(1, 66, 0x2a, "cvtpi2pd", F_RAW, S_V, 0, cvtpi2pd, XMM, MMX, 8, SIMD_FP | SIMD_NO_MMX_MEM,    \
      ISA_SSE2 | ISA_MMX, NO)                                                                      \
    X(1, F3, 0x2a, "cvtsi2ss", F_RAW, S_Y, 0, cvtsi2ss, XMM, GPR, 0, SIMD_FP, ISA_SSE, SCL3)       \
    X(1, F2, 0x2a, "cvtsi2sd", F_RAW, S_Y, 0, cvtsi2sd, XMM, GPR, 0, SIMD_FP, ISA_SSE2, SCL3)      \
    X(1, NONE, 0x2c, "cvttps2pi", F_RAW, S_V, 0, cvttps2pi, MMX, XMM, 8, SIMD_FP,                  \
      ISA_SSE | ISA_MMX, NO)                                                                       \
    X(1, 66, 0x2c, "cvttpd2pi", F_RAW, S_V, 0, cvttpd2pi, MMX, XMM, 16, SIMD_FP,                   \
      ISA_SSE2 | ISA_MMX, NO)                                                                      \
    X(1, F3, 0x2c, "cvttss2si", F_RAW, S_Y, 0, cvttss2si, GPR, XMM, 4, SIMD_FP, ISA_SSE, SCL2)     \
    X(1, F2, 0x2c, "cvttsd2si", F_RAW, S_Y, 0, cvttsd2si, GPR, XMM, 8, SIMD_FP, ISA_SSE2, SCL2)    \
    X(1, NONE, 0x2d, "cvtps2pi", F_RAW, S_V, 0, cvtps2pi, MMX, XMM, 8, SIMD_FP,                    \
      ISA_SSE | ISA_MMX, NO)                                                                       \
    X(1, 66, 0x2d, "cvtpd2pi", F_RAW, S_V, 0, cvtpd2pi, MMX, XMM, 16, SIMD_FP,                     \
      ISA_SSE2 | ISA_MMX, NO)                                                                      \
    X(1, F3, 0x2d, "cvtss2si", F_RAW, S_Y, 0, cvtss2si, GPR, XMM, 4, SIMD_FP, ISA_SSE, SCL2)       \
    X(1, F2, 0x2d, "cvtsd2si", F_RAW, S_Y, 0, cvtsd2si, GPR, XMM, 8, SIMD_FP, ISA_SSE2, SCL2)      \
    X(1, NONE, 0x2e, "ucomiss", F_RAW, S_V, 0, ucomiss, FLAGS, XMM, 4, SIMD_FP, ISA_SSE, SCL2)     \
    X(1, 66, 0x2e, "ucomisd", F_RAW, S_V, 0, ucomisd, FLAGS, XMM, 8, SIMD_FP, ISA_SSE2, SCL2)      \
    X(1, NONE, 0x2f, "comiss", F_RAW, S_V, 0, comiss, FLAGS, XMM, 4, SIMD_FP, ISA_SSE, SCL2)       \
    X(1, 66, 0x2f, "comisd", F_RAW, S_V, 0, comisd, FLAGS, XMM, 8, SIMD_FP, ISA_SSE2, SCL2)        \
    X(1, NONE, 0x52, "rsqrtps", F_RAW, S_V, 0, rsqrtps, XMM, XMM, 16, 0, ISA_SSE, FLT2)            \
    X(1, F3, 0x52, "rsqrtss", F_RAW, S_V, 0, rsqrtss, XMM, XMM, 4, 0, ISA_SSE, SCL3)               \
    X(1, NONE, 0x53, "rcpps", F_RAW, S_V, 0, rcpps, XMM, XMM, 16, 0, ISA_SSE, FLT2)                \
    X(1, F3, 0x53, "rcpss", F_RAW, S_V, 0, rcpss, XMM, XMM, 4, 0, ISA_SSE, SCL3)                   \
    X(1, NONE, 0xc2, "cmpps", F_RAWUB, S_V, 0, cmpps, XMM, XMM, 16, SIMD_FP, ISA_SSE, NO)          \
    X(1, 66, 0xc2, "cmppd", F_RAWUB, S_V, 0, cmppd, XMM, XMM, 16, SIMD_FP, ISA_SSE2, NO)           \
    X(1, F3, 0xc2, "cmpss", F_RAWUB, S_V, 0, cmpss, XMM, XMM, 4, SIMD_FP, ISA_SSE, NO)             \
    X(1, F2, 0xc2, "cmpsd", F_RAWUB, S_V, 0, cmpsd, XMM, XMM, 8, SIMD_FP, ISA_SSE2, NO)            \
    X(3, 66, 0x08, "roundps", F_RAWUB, S_V, 0, roundps, XMM, XMM, 16, SIMD_FP, ISA_SSE4_1, FLT2)   \
    X(3, 66, 0x09, "roundpd", F_RAWUB, S_V, 0, roundpd, XMM, XMM, 16, SIMD_FP, ISA_SSE4_1, FLT2)   \
    X(3, 66, 0x0a, "roundss", F_RAWUB, S_V, 0, roundss, XMM, XMM, 4, SIMD_FP, ISA_SSE4_1, SCL3)    \
    X(3, 66, 0x0b, "roundsd", F_RAWUB, S_V, 0, roundsd, XMM, XMM, 8, SIMD_FP, ISA_SSE4_1, SCL3)    \
    X(3, 66, 0x40, "dpps", F_RAWUB, S_V, 0, dpps, XMM, XMM, 16, SIMD_FP, ISA_SSE4_1, FLT3)         \
    X(3, 66, 0x41, "dppd", F_RAWUB, S_V, 0, dppd, XMM, XMM, 16, SIMD_FP, ISA_SSE4_1, X3)

#define SIMD_MOVES(X)                                                                              \
    X(1, NONE, 0x10, "movups", F_RAW, S_V, 0, mov16, XMM, XMM, 16, SIMD_UNALIGNED, ISA_SSE, FLT2)  \
    X(1, 66, 0x10, "movupd", F_RAW, S_V, 0, mov16, XMM, XMM, 16, SIMD_UNALIGNED, ISA_SSE2, FLT2)   \
    X(1, F3, 0x10, "movss", F_RAW, S_V, 0, movss, XMM, XMM, 4, 0, ISA_SSE, SCR3)                   \
    X(1, F2, 0x10, "movsd", F_RAW, S_V, 0, movsd, XMM, XMM, 8, 0, ISA_SSE2, SCR3)                  \
    X(1, NONE, 0x11, "movups", F_RAW, S_V, 0, mov16, XMM, XMM, 16, SIMD_STORE | SIMD_UNALIGNED,    \
      ISA_SSE, FLT2)                                                                               \
    X(1, 66, 0x11, "movupd", F_RAW, S_V, 0, mov16, XMM, XMM, 16, SIMD_STORE | SIMD_UNALIGNED,      \
      ISA_SSE2, FLT2)                                                                              \
    X(1, F3, 0x11, "movss", F_RAW, S_V, 0, movss, XMM, XMM, 4, SIMD_STORE, ISA_SSE, SCR3)          \
    X(1, F2, 0x11, "movsd", F_RAW, S_V, 0, movsd, XMM, XMM, 8, SIMD_STORE, ISA_SSE2, SCR3)         \
    X(1, NONE, 0x12, "movlps", F_RAW, S_V, 0, movlps, XMM, XMM, 8, 0, ISA_SSE, X3)                 \
    X(1, 66, 0x12, "movlpd", F_RAW, S_V, OPF_MEM, movlps, XMM, XMM, 8, 0, ISA_SSE2, X3)            \
    X(1, NONE, 0x13, "movlps", F_RAW, S_V, OPF_MEM, mov8, XMM, XMM, 8, SIMD_STORE, ISA_SSE, X2)    \
    X(1, 66, 0x13, "movlpd", F_RAW, S_V, OPF_MEM, mov8, XMM, XMM, 8, SIMD_STORE, ISA_SSE2, X2)     \
    X(1, NONE, 0x16, "movhps", F_RAW, S_V, 0, low_to_high, XMM, XMM, 8, 0, ISA_SSE, X3)            \
    X(1, 66, 0x16, "movhpd", F_RAW, S_V, OPF_MEM, low_to_high, XMM, XMM, 8, 0, ISA_SSE2, X3)       \
    X(1, NONE, 0x17, "movhps", F_RAW, S_V, OPF_MEM, high_to_low, XMM, XMM, 8, SIMD_STORE,          \
      ISA_SSE, X2)                                                                                 \
    X(1, 66, 0x17, "movhpd", F_RAW, S_V, OPF_MEM, high_to_low, XMM, XMM, 8, SIMD_STORE,            \
      ISA_SSE2, X2)                                                                                \
    X(1, NONE, 0x28, "movaps", F_RAW, S_V, 0, mov16, XMM, XMM, 16, 0, ISA_SSE, ALN2)               \
    X(1, 66, 0x28, "movapd", F_RAW, S_V, 0, mov16, XMM, XMM, 16, 0, ISA_SSE2, ALN2)                \
    X(1, NONE, 0x29, "movaps", F_RAW, S_V, 0, mov16, XMM, XMM, 16, SIMD_STORE, ISA_SSE, ALN2)      \
    X(1, 66, 0x29, "movapd", F_RAW, S_V, 0, mov16, XMM, XMM, 16, SIMD_STORE, ISA_SSE2, ALN2)       \
    X(1, NONE, 0x2b, "movntps", F_RAW, S_V, OPF_MEM, mov16, XMM, XMM, 16, SIMD_STORE, ISA_SSE,     \
      ALN2)                                                                                        \
    X(1, 66, 0x2b, "movntpd", F_RAW, S_V, OPF_MEM, mov16, XMM, XMM, 16, SIMD_STORE, ISA_SSE2,      \
      ALN2)                                                                                        \
    X(1, NONE, 0x50, "movmskps", F_RAW, S_Y, OPF_REG, movmskps, GPR, XMM, 16, 0, ISA_SSE, MSK4)    \
    X(1, 66, 0x50, "movmskpd", F_RAW, S_Y, OPF_REG, movmskpd, GPR, XMM, 16, 0, ISA_SSE2, MSK2)     \
    X(1, NONE, 0x6e, "movd", F_RAW, S_Y, 0, mov16, MMX, GPR, 0, 0, ISA_MMX, NO)                    \
    X(1, 66, 0x6e, "movd", F_RAW, S_Y, 0, mov16, XMM, GPR, 0, 0, ISA_SSE2, X2)                     \
    X(1, NONE, 0x6f, "movq", F_RAW, S_V, 0, mov8, MMX, MMX, 8, 0, ISA_MMX, NO)                     \
    X(1, 66, 0x6f, "movdqa", F_RAW, S_V, 0, mov16, XMM, XMM, 16, 0, ISA_SSE2, ALN2)                \
    X(1, F3, 0x6f, "movdqu", F_RAW, S_V, 0, mov16, XMM, XMM, 16, SIMD_UNALIGNED, ISA_SSE2, FLT2)   \
    X(1, NONE, 0x7e, "movd", F_RAW, S_Y, 0, mov8, GPR, MMX, 0, SIMD_STORE, ISA_MMX, NO)            \
    X(1, 66, 0x7e, "movd", F_RAW, S_Y, 0, mov8, GPR, XMM, 0, SIMD_STORE, ISA_SSE2, X2)             \
    X(1, F3, 0x7e, "movq", F_RAW, S_V, 0, mov8, XMM, XMM, 8, 0, ISA_SSE2, X2)                      \
    X(1, NONE, 0x7f, "movq", F_RAW, S_V, 0, mov8, MMX, MMX, 8, SIMD_STORE, ISA_MMX, NO)            \
    X(1, 66, 0x7f, "movdqa", F_RAW, S_V, 0, mov16, XMM, XMM, 16, SIMD_STORE, ISA_SSE2, ALN2)       \
    X(1, F3, 0x7f, "movdqu", F_RAW, S_V, 0, mov16, XMM, XMM, 16, SIMD_STORE | SIMD_UNALIGNED,      \
      ISA_SSE2, FLT2)                                                                              \
    X(1, 66, 0xd6, "movq", F_RAW, S_V, 0, mov8, XMM, XMM, 8, SIMD_STORE, ISA_SSE2, X2)             \
    X(1, F3, 0xd6, "movq2dq", F_RAW, S_V, OPF_REG, mov8, XMM, MMX, 8, 0, ISA_SSE2 | ISA_MMX, NO)   \
    X(1, F2, 0xd6, "movdq2q", F_RAW, S_V, OPF_REG, mov8, MMX, XMM, 8, 0, ISA_SSE2 | ISA_MMX, NO)   \
    X(1, NONE, 0xd7, "pmovmskb", F_RAW, S_Y, OPF_REG, pmovmskb, GPR, MMX, 8, 0,                    \
      ISA_SSE | ISA_MMX, NO)                                                                       \
    X(1, 66, 0xd7, "pmovmskb", F_RAW, S_Y, OPF_REG, pmovmskb, GPR, XMM, 16, 0, ISA_SSE2, MSK16)    \
    X(1, NONE, 0xe7, "movntq", F_RAW, S_V, OPF_MEM, mov8, MMX, MMX, 8, SIMD_STORE,                 \
      ISA_SSE | ISA_MMX, NO)                                                                       \
    X(1, 66, 0xe7, "movntdq", F_RAW, S_V, OPF_MEM, mov16, XMM, XMM, 16, SIMD_STORE, ISA_SSE2,      \
      ALN2)                                                                                        \
    X(1, F2, 0xf0, "lddqu", F_RAW, S_V, OPF_MEM, mov16, XMM, XMM, 16, SIMD_UNALIGNED, ISA_SSE3,    \
      FLT2)                                                                                        \
    X(2, 66, 0x2a, "movntdqa", F_RAW, S_V, OPF_MEM, mov16, XMM, XMM, 16, 0, ISA_SSE4_1, ALI2)      \
    X(1, NONE, 0xc4, "pinsrw", F_RAWUB, S_D, 0, pinsrw4, MMX, GPR, 2, 0, ISA_SSE | ISA_MMX, NO)    \
    X(1, 66, 0xc4, "pinsrw", F_RAWUB, S_D, 0, pinsrw, XMM, GPR, 2, 0, ISA_SSE2, X3)                \
    X(1, NONE, 0xc5, "pextrw", F_RAWUB, S_Y, OPF_REG, pextrw4, GPR, MMX, 8, 0,                     \
      ISA_SSE | ISA_MMX, NO)                                                                       \
    X(1, 66, 0xc5, "pextrw", F_RAWUB, S_Y, OPF_REG, pextrw, GPR, XMM, 16, 0, ISA_SSE2, X2)         \
    X(3, 66, 0x14, "pextrb", F_RAWUB, S_Y, 0, pextrb, GPR, XMM, 1, SIMD_STORE, ISA_SSE4_1, X2)     \
    X(3, 66, 0x15, "pextrw", F_RAWUB, S_Y, 0, pextrw, GPR, XMM, 2, SIMD_STORE, ISA_SSE4_1, X2)     \
    X(3, 66, 0x16, "pextrd", F_RAWUB, S_Y, 0, pextrd, GPR, XMM, 0, SIMD_STORE, ISA_SSE4_1, X2)     \
    X(3, 66, 0x17, "extractps", F_RAWUB, S_Y, 0, extractps, GPR, XMM, 4, SIMD_STORE,               \
      ISA_SSE4_1, X2)                                                                              \
    X(3, 66, 0x20, "pinsrb", F_RAWUB, S_D, 0, pinsrb, XMM, GPR, 1, 0, ISA_SSE4_1, X3)              \
    X(3, 66, 0x21, "insertps", F_RAWUB, S_V, 0, insertps, XMM, XMM, 4, 0, ISA_SSE4_1, X3)          \
    X(3, 66, 0x22, "pinsrd", F_RAWUB, S_Y, 0, pinsrd, XMM, GPR, 0, 0, ISA_SSE4_1, X3)

#define SIMD_SHUFFLES(X)                                                                           \
    X(1, NONE, 0x70, "pshufw", F_RAWUB, S_V, 0, pshufw, MMX, MMX, 8, 0, ISA_SSE | ISA_MMX, NO)     \
    X(1, 66, 0x70, "pshufd", F_RAWUB, S_V, 0, pshufd, XMM, XMM, 16, 0, ISA_SSE2, INT2)             \
    X(1, F3, 0x70, "pshufhw", F_RAWUB, S_V, 0, pshufhw, XMM, XMM, 16, 0, ISA_SSE2, INT2)           \
    X(1, F2, 0x70, "pshuflw", F_RAWUB, S_V, 0, pshuflw, XMM, XMM, 16, 0, ISA_SSE2, INT2)           \
    X(1, NONE, 0xc6, "shufps", F_RAWUB, S_V, 0, shufps, XMM, XMM, 16, 0, ISA_SSE, FLT3)            \
    X(1, 66, 0xc6, "shufpd", F_RAWUB, S_V, 0, shufpd, XMM, XMM, 16, 0, ISA_SSE2, FLT3_I2)          \
    X(3, 66, 0x0c, "blendps", F_RAWUB, S_V, 0, blendps, XMM, XMM, 16, 0, ISA_SSE4_1, FLT3_I4)      \
    X(3, 66, 0x0d, "blendpd", F_RAWUB, S_V, 0, blendpd, XMM, XMM, 16, 0, ISA_SSE4_1, FLT3_I2)      \
    X(3, 66, 0x0e, "pblendw", F_RAWUB, S_V, 0, pblendw, XMM, XMM, 16, 0, ISA_SSE4_1, INT3)         \
    X(3, NONE, 0x0f, "palignr", F_RAWUB, S_V, 0, palignr8, MMX, MMX, 8, 0, ISA_SSSE3 | ISA_MMX,    \
      NO)                                                                                          \
    X(3, 66, 0x0f, "palignr", F_RAWUB, S_V, 0, palignr, XMM, XMM, 16, 0, ISA_SSSE3, INT3)          \
    X(3, 66, 0x42, "mpsadbw", F_RAWUB, S_V, 0, mpsadbw, XMM, XMM, 16, 0, ISA_SSE4_1, INT3_I3)      \
    X(2, 66, 0x17, "ptest", F_RAW, S_V, 0, ptest, FLAGS, XMM, 16, 0, ISA_SSE4_1, TST)

/* Shifts by an immediate: S(opcode, ModRM.reg, mnemonic), for both register files... */
#define SIMD_SHIFTS(S)                                                                             \
    S(0x71, 2, psrlw) S(0x71, 4, psraw) S(0x71, 6, psllw) S(0x72, 2, psrld) S(0x72, 4, psrad)      \
    S(0x72, 6, pslld) S(0x73, 2, psrlq) S(0x73, 6, psllq)
/* ... and of the whole XMM register. */
#define SIMD_BYTE_SHIFTS(S) S(0x73, 3, psrldq) S(0x73, 7, pslldq)

/* Y(map, prefix, opcode, mnemonic, form, operand size, OPF_*, run, ISA_*, VEX) */
#define SIMD_SPECIAL(Y)                                                                            \
    Y(1, NONE, 0x77, "emms", F_NONE, S_V, 0, emms, ISA_MMX, NO)                                    \
    Y(1, NONE, 0xf7, "maskmovq", F_RAW, S_V, OPF_REG, maskmovq, ISA_SSE | ISA_MMX, NO)             \
    Y(1, 66, 0xf7, "maskmovdqu", F_RAW, S_V, OPF_REG, maskmovdqu, ISA_SSE2, X2)                    \
    Y(2, 66, 0x10, "pblendvb", F_RAW, S_B, 0, blendv, ISA_SSE4_1, NO)                              \
    Y(2, 66, 0x14, "blendvps", F_RAW, S_D, 0, blendv, ISA_SSE4_1, NO)                              \
    Y(2, 66, 0x15, "blendvpd", F_RAW, S_Q, 0, blendv, ISA_SSE4_1, NO)                              \
    Y(2, NONE, 0xcb, "sha256rnds2", F_RAW, S_V, 0, sha256rnds2, ISA_SHA, NO)                       \
    Y(2, F2, 0xf0, "crc32", F_GE, S_B, 0, crc32b, ISA_SSE4_2, NO)                                  \
    Y(2, F2, 0xf1, "crc32", F_GE, S_V, 0, crc32, ISA_SSE4_2, NO)                                   \
    Y(3, 66, 0x60, "pcmpestrm", F_RAWUB, S_Y, 0, pcmpestrm, ISA_SSE4_2, X2)                        \
    Y(3, 66, 0x61, "pcmpestri", F_RAWUB, S_Y, 0, pcmpestri, ISA_SSE4_2, X2)                        \
    Y(3, 66, 0x62, "pcmpistrm", F_RAWUB, S_Y, 0, pcmpistrm, ISA_SSE4_2, X2)                        \
    Y(3, 66, 0x63, "pcmpistri", F_RAWUB, S_Y, 0, pcmpistri, ISA_SSE4_2, X2)

/* Sets that not every processor with SSE4.2 has.
 * N(map, prefix, opcode, mnemonic, decoder's form, function, ISA_*, VEX) */
#define SIMD_LATER(N)                                                                              \
    N(2, 66, 0xdb, "aesimc", F_RAW, aesimc, ISA_AES, AES2)                                         \
    N(2, 66, 0xdc, "aesenc", F_RAW, aesenc, ISA_AES, AES3)                                         \
    N(2, 66, 0xdd, "aesenclast", F_RAW, aesenclast, ISA_AES, AES3)                                 \
    N(2, 66, 0xde, "aesdec", F_RAW, aesdec, ISA_AES, AES3)                                         \
    N(2, 66, 0xdf, "aesdeclast", F_RAW, aesdeclast, ISA_AES, AES3)                                 \
    N(3, 66, 0xdf, "aeskeygenassist", F_RAWUB, aeskeygenassist, ISA_AES, AES2)                     \
    N(3, 66, 0x44, "pclmulqdq", F_RAWUB, pclmulqdq, ISA_PCLMUL, PCL3)                              \
    N(2, NONE, 0xc8, "sha1nexte", F_RAW, sha1nexte, ISA_SHA, NO)                                   \
    N(2, NONE, 0xc9, "sha1msg1", F_RAW, sha1msg1, ISA_SHA, NO)                                     \
    N(2, NONE, 0xca, "sha1msg2", F_RAW, sha1msg2, ISA_SHA, NO)                                     \
    N(2, NONE, 0xcc, "sha256msg1", F_RAW, sha256msg1, ISA_SHA, NO)                                 \
    N(2, NONE, 0xcd, "sha256msg2", F_RAW, sha256msg2, ISA_SHA, NO)                                 \
    N(3, NONE, 0xcc, "sha1rnds4", F_RAWUB, sha1rnds4, ISA_SHA, NO)

/* AVX and AVX2 operations of lanes that SSE has not: as SIMD_OTHER_FLOAT without its ISA_*, and how they are made. */
#define SIMD_AVX(X)                                                                                \
    X(1, NONE, 0xc2, "cmpps", F_RAWUB, S_V, 0, vcmpps, XMM, XMM, 16, SIMD_FP, FLT3)                \
    X(1, 66, 0xc2, "cmppd", F_RAWUB, S_V, 0, vcmppd, XMM, XMM, 16, SIMD_FP, FLT3)                  \
    X(1, F3, 0xc2, "cmpss", F_RAWUB, S_V, 0, vcmpss, XMM, XMM, 4, SIMD_FP, SCL3)                   \
    X(1, F2, 0xc2, "cmpsd", F_RAWUB, S_V, 0, vcmpsd, XMM, XMM, 8, SIMD_FP, SCL3)                   \
    X(2, 66, 0x0c, "permilps", F_RAW, S_V, 0, vpermilps, XMM, XMM, 16, 0, FLT3_W0)                 \
    X(2, 66, 0x0d, "permilpd", F_RAW, S_V, 0, vpermilpd, XMM, XMM, 16, 0, FLT3_W0)                 \
    X(3, 66, 0x04, "permilps", F_RAWUB, S_V, 0, pshufd, XMM, XMM, 16, 0, FLT2_W0)                  \
    X(3, 66, 0x05, "permilpd", F_RAWUB, S_V, 0, vpermilpd_imm, XMM, XMM, 16, 0, FLT2_W0_I2)        \
    X(2, 66, 0x0e, "testps", F_RAW, S_V, 0, vtestps, FLAGS, XMM, 16, 0, TST_W0)                    \
    X(2, 66, 0x0f, "testpd", F_RAW, S_V, 0, vtestpd, FLAGS, XMM, 16, 0, TST_W0)                    \
    X(2, 66, 0x45, "psrlv", F_RAW, S_X, 0, vpsrlv, XMM, XMM, 16, 0, AVX2_3)                        \
    X(2, 66, 0x46, "psravd", F_RAW, S_D, 0, vpsravd, XMM, XMM, 16, 0, AVX2_3_W0)                   \
    X(2, 66, 0x47, "psllv", F_RAW, S_X, 0, vpsllv, XMM, XMM, 16, 0, AVX2_3)                        \
    X(3, 66, 0x02, "pblendd", F_RAWUB, S_V, 0, blendps, XMM, XMM, 16, 0, AVX2_3_W0_I4)

/* Those that are no lanes.
 * W(map, prefix, opcode, mnemonic, form, operand size, OPF_*, function, number, bytes, bytes with L,
 *   SIMD_*, ISA_*, ISA_* with L, VEX_*) */
#define SIMD_WHOLE(W)                                                                              \
    W(2, 66, 0x18, "broadcastss", F_RAW, S_V, 0, broadcast, 4, 4, 4, 0, ISA_AVX, 0, VEX_W0)        \
    W(2, 66, 0x19, "broadcastsd", F_RAW, S_V, 0, broadcast, 8, 8, 8, 0, ISA_AVX, 0,                \
      VEX_W0 | VEX_L1)                                                                             \
    W(2, 66, 0x1a, "broadcastf128", F_RAW, S_V, OPF_MEM, broadcast, 16, 16, 16, 0, ISA_AVX, 0,     \
      VEX_W0 | VEX_L1)                                                                             \
    W(2, 66, 0x5a, "broadcasti128", F_RAW, S_V, OPF_MEM, broadcast, 16, 16, 16, 0, ISA_AVX2, 0,    \
      VEX_W0 | VEX_L1)                                                                             \
    W(2, 66, 0x78, "pbroadcastb", F_RAW, S_V, 0, broadcast, 1, 1, 1, 0, ISA_AVX2, 0, VEX_W0)       \
    W(2, 66, 0x79, "pbroadcastw", F_RAW, S_V, 0, broadcast, 2, 2, 2, 0, ISA_AVX2, 0, VEX_W0)       \
    W(2, 66, 0x58, "pbroadcastd", F_RAW, S_V, 0, broadcast, 4, 4, 4, 0, ISA_AVX2, 0, VEX_W0)       \
    W(2, 66, 0x59, "pbroadcastq", F_RAW, S_V, 0, broadcast, 8, 8, 8, 0, ISA_AVX2, 0, VEX_W0)       \
    W(2, 66, 0x16, "permps", F_RAW, S_V, 0, permd, 0, 16, 32, 0, ISA_AVX2, 0,                      \
      VEX_V | VEX_W0 | VEX_L1)                                                                     \
    W(2, 66, 0x36, "permd", F_RAW, S_V, 0, permd, 0, 16, 32, 0, ISA_AVX2, 0,                       \
      VEX_V | VEX_W0 | VEX_L1)                                                                     \
    W(3, 66, 0x00, "permq", F_RAWUB, S_V, 0, permq, 0, 16, 32, 0, ISA_AVX2, 0, VEX_W1 | VEX_L1)    \
    W(3, 66, 0x01, "permpd", F_RAWUB, S_V, 0, permq, 0, 16, 32, 0, ISA_AVX2, 0, VEX_W1 | VEX_L1)   \
    W(3, 66, 0x06, "perm2f128", F_RAWUB, S_V, 0, perm128, 0, 16, 32, 0, ISA_AVX, 0,                \
      VEX_V | VEX_W0 | VEX_L1)                                                                     \
    W(3, 66, 0x46, "perm2i128", F_RAWUB, S_V, 0, perm128, 0, 16, 32, 0, ISA_AVX2, 0,               \
      VEX_V | VEX_W0 | VEX_L1)                                                                     \
    W(3, 66, 0x18, "insertf128", F_RAWUB, S_V, 0, insert128, 0, 16, 16, 0, ISA_AVX, 0,             \
      VEX_V | VEX_W0 | VEX_L1)                                                                     \
    W(3, 66, 0x38, "inserti128", F_RAWUB, S_V, 0, insert128, 0, 16, 16, 0, ISA_AVX2, 0,            \
      VEX_V | VEX_W0 | VEX_L1)                                                                     \
    W(3, 66, 0x19, "extractf128", F_RAWUB, S_V, 0, extract128, 0, 16, 16, SIMD_STORE, ISA_AVX, 0,  \
      VEX_W0 | VEX_L1)                                                                             \
    W(3, 66, 0x39, "extracti128", F_RAWUB, S_V, 0, extract128, 0, 16, 16, SIMD_STORE, ISA_AVX2, 0, \
      VEX_W0 | VEX_L1)                                                                             \
    W(3, 66, 0x4a, "blendvps", F_RAWUB, S_V, 0, blendv, 4, 16, 32, SIMD_IS4, ISA_AVX, 0,           \
      VEX_V | VEX_W0)                                                                              \
    W(3, 66, 0x4b, "blendvpd", F_RAWUB, S_V, 0, blendv, 8, 16, 32, SIMD_IS4, ISA_AVX, 0,           \
      VEX_V | VEX_W0)                                                                              \
    W(3, 66, 0x4c, "pblendvb", F_RAWUB, S_V, 0, blendv, 1, 16, 32, SIMD_IS4, ISA_AVX, ISA_AVX2,    \
      VEX_V | VEX_W0)

/* Those that round and raise as MXCSR says, in software: as SIMD_WHOLE. */
#define SIMD_WHOLE_FLOAT(W)                                                                        \
    W(2, 66, 0x13, "cvtph2ps", F_RAW, S_V, 0, cvtph2ps, 0, 8, 16, 0, ISA_AVX | ISA_F16C, 0,        \
      VEX_W0)                                                                                      \
    W(3, 66, 0x1d, "cvtps2ph", F_RAWUB, S_V, 0, cvtps2ph, 0, 8, 16, SIMD_STORE,                    \
      ISA_AVX | ISA_F16C, 0, VEX_W0)                                                               \
    SIMD_FMA(W, 132, 0x96, 0x97, 0x98, 0x99, 0x9a, 0x9b, 0x9c, 0x9d, 0x9e, 0x9f)                   \
    SIMD_FMA(W, 213, 0xa6, 0xa7, 0xa8, 0xa9, 0xaa, 0xab, 0xac, 0xad, 0xae, 0xaf)                   \
    SIMD_FMA(W, 231, 0xb6, 0xb7, 0xb8, 0xb9, 0xba, 0xbb, 0xbc, 0xbd, 0xbe, 0xbf)

/* Their number: what is negated with even elements, 4 * what is with odd ones, and more. */
enum {
    FMA_ADD,
    FMA_SUB,  /* IEEE_NEGATE_Z */
    FMA_NADD, /* IEEE_NEGATE_PRODUCT */
    FMA_NSUB,
    FMA_SCALAR = 16,
    FMA_ORDER = 32, /* times the order */
};
#define SIMD_FMA(W, order, as, sa, add, add1, sub, sub1, nadd, nadd1, nsub, nsub1)                 \
    FMA_ROW_PACKED(W, as, "fmaddsub" #order, order, FMA_SUB + 4 * FMA_ADD)                             \
    FMA_ROW_PACKED(W, sa, "fmsubadd" #order, order, FMA_ADD + 4 * FMA_SUB)                             \
    FMA_ROW_PACKED(W, add, "fmadd" #order, order, FMA_ADD * 5)                                         \
    FMA_ROW_SCALAR(W, add1, "fmadd" #order "s", order, FMA_ADD)                                        \
    FMA_ROW_PACKED(W, sub, "fmsub" #order, order, FMA_SUB * 5)                                         \
    FMA_ROW_SCALAR(W, sub1, "fmsub" #order "s", order, FMA_SUB)                                        \
    FMA_ROW_PACKED(W, nadd, "fnmadd" #order, order, FMA_NADD * 5)                                      \
    FMA_ROW_SCALAR(W, nadd1, "fnmadd" #order "s", order, FMA_NADD)                                     \
    FMA_ROW_PACKED(W, nsub, "fnmsub" #order, order, FMA_NSUB * 5)                                      \
    FMA_ROW_SCALAR(W, nsub1, "fnmsub" #order "s", order, FMA_NSUB)
#define FMA_ROW_PACKED(W, opcode, name, order, negated)                                            \
    W(2, 66, opcode, name, F_RAW, S_X, 0, fma, FMA_ORDER * order + (negated), 16, 32, 0,           \
      ISA_AVX | ISA_FMA, 0, VEX_V)
#define FMA_ROW_SCALAR(W, opcode, name, order, negated)                                            \
    W(2, 66, opcode, name, F_RAW, S_X, 0, fma, FMA_ORDER * order + FMA_SCALAR + (negated), 0, 0, 0, \
      ISA_AVX | ISA_FMA, 0, VEX_V)
/* clang-format on */
