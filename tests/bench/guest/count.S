/* The number of passes that a measured program makes, from its command line. */
    .text
    .code64
/* rax = the decimal number that the command line holds, at least 1. rdx, rsi are lost. */
    .globl bench_count
bench_count:
    mov start_info, %rsi
    mov 24(%rsi), %rsi /* hvm_start_info.cmdline_paddr */
    xor %eax, %eax
1:  movzbl (%rsi), %edx
    inc %rsi
    cmp $' ', %edx
    je 1b
    sub $'0', %edx
    cmp $9, %edx
    ja 2f
    imul $10, %rax
    add %rdx, %rax
    jmp 1b
2:  test %rax, %rax
    jnz 3f
    inc %eax
3:  ret

/* A program that has nothing to set up. */
    .weak bench_setup
bench_setup:
    ret

    .section .note.GNU-stack, "", @progbits
