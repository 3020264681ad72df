/* 16 integer instructions in a pass: register, immediate and shift forms, some depending on the
 * one before. */
#include "bench.inc"

bench_program "alu"
    add %rax, %rbx
    xor %rbx, %rcx
    lea 5(%rcx,%rax,4), %rdx
    sub $17, %rdx
    and $0xffff, %esi
    or %rdx, %rsi
    shl $3, %rdi
    add %rsi, %rdi
    mov %rdi, %r8
    shr $5, %r8
    imul %r8, %r9
    inc %r9
    movzbl %r9b, %r10d
    cmp %r10, %r8
    adc %r10, %rax
    not %rbx
    bench_end

    .section .note.GNU-stack, "", @progbits
