/* 8 conditional jumps in a pass, each on a bit of a pseudo-random number: half of them are
 * taken. */
#include "bench.inc"

bench_program "branch"
    mov %r12, %rax
    shl $13, %rax
    xor %rax, %r12
    mov %r12, %rax
    shr $7, %rax
    xor %rax, %r12
    mov %r12, %rax
    shl $17, %rax
    xor %rax, %r12
    .irp bit, 3, 9, 14, 20, 25, 29, 33, 41
    bt $\bit, %r12
    jc 1f
    inc %rcx
1:
    .endr
    bench_end

    .globl bench_setup
bench_setup:
    mov $88172645463325252, %r12
    ret

    .section .note.GNU-stack, "", @progbits
