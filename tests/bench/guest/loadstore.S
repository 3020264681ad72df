/* 8 loads and 8 stores of 1 to 8 bytes in a pass, over 64 KiB that stay in the TLB. */
#include "bench.inc"

bench_program "loadstore"
    mov %rbp, %rbx
    shl $7, %ebx
    and $0xff80, %ebx
    add $buffer, %ebx
    mov (%rbx), %rax
    mov 8(%rbx), %ecx
    movzwl 16(%rbx), %edx
    movzbl 24(%rbx), %esi
    mov 32(%rbx), %rdi
    mov 40(%rbx), %r8
    mov 48(%rbx), %r9d
    mov 56(%rbx), %r10
    mov %rax, 64(%rbx)
    mov %ecx, 72(%rbx)
    mov %dx, 80(%rbx)
    mov %sil, 88(%rbx)
    mov %rdi, 96(%rbx)
    mov %r8, 104(%rbx)
    mov %r9d, 112(%rbx)
    mov %r10, 120(%rbx)
    bench_end

    .bss
    .balign 4096
buffer: .skip 65536

    .section .note.GNU-stack, "", @progbits
