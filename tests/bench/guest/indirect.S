/* One indirect jump in a pass, to a pseudo-random one of 16 targets. */
#include "bench.inc"

bench_program "indirect"
    imul $1103515245, %r12d, %r12d
    add $12345, %r12d
    mov %r12d, %eax
    shr $20, %eax
    and $15, %eax
    jmp *targets(,%rax,8)
    .set n, 0
    .rept 16
    .altmacro
    .macro target number
target_\number:
    add $\number, %rcx
    jmp join
    .endm
    target %n
    .purgem target
    .noaltmacro
    .set n, n + 1
    .endr
join:
    bench_end

    .data
    .balign 8
targets:
    .quad target_0, target_1, target_2, target_3, target_4, target_5, target_6, target_7
    .quad target_8, target_9, target_10, target_11, target_12, target_13, target_14, target_15

    .section .note.GNU-stack, "", @progbits
