/* 64-bit mode from the loader; a stack, and no caller. */
    .text
    .globl start
    .type start, @function
start:
    .cfi_startproc
    .cfi_undefined rip
    lea stack_end(%rip), %rsp
    xor %ebp, %ebp
    call main
    xor %eax, %eax
    out %al, $0xf4
1:  jmp 1b
    .cfi_endproc
    .size start, . - start

    .bss
    .balign 16
    .skip 65536
stack_end:
    .section .note.GNU-stack, "", @progbits
