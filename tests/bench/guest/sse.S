/* 8 instructions on doubles in a pass, scalar and packed. */
#include "bench.inc"

bench_program "sse"
    addsd %xmm1, %xmm0
    mulsd %xmm2, %xmm0
    addpd %xmm3, %xmm4
    mulpd %xmm5, %xmm4
    subsd %xmm1, %xmm6
    movapd %xmm0, %xmm7
    cvtsi2sd %rbp, %xmm6
    sqrtsd %xmm7, %xmm8
    bench_end

    .globl bench_setup
bench_setup:
    mov %cr4, %rax
    or $0x600, %rax /* OSFXSR, OSXMMEXCPT */
    mov %rax, %cr4
    movapd one_and_more, %xmm1
    movapd below_one, %xmm2
    movapd one_and_more, %xmm3
    movapd below_one, %xmm5
    movapd one_and_more, %xmm0
    movapd one_and_more, %xmm4
    ret

    .section .rodata
    .balign 16
one_and_more: .double 1.25, 1.5
below_one:    .double 0.75, 0.625

    .section .note.GNU-stack, "", @progbits
