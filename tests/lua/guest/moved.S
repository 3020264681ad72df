/* What a kernel with KASLR does, in small: maps itself as far beyond where it is linked as the quadword
 * at 0x3000 says (a multiple of 2 MiB), goes on there, writes MSR GS_BASE as Linux does first of all,
 * and calls a function a few times. */
    .text
    .globl start
start:
    lea stack_end(%rip), %rsp
    mov 0x3000, %rbx
    /* 0xffffffff80000000 and up: the last entry of the first table, the last but one of the second. */
    mov %cr3, %rax
    lea third(%rip), %rcx
    or $3, %rcx
    lea second(%rip), %rdx
    mov %rcx, 510 * 8(%rdx)
    or $3, %rdx
    mov %rdx, 511 * 8(%rax)
    /* 16 MiB and the slide on, the 2 MiB at physical address 0. */
    mov %rbx, %rcx
    shr $21, %rcx
    lea third(%rip), %rdx
    movq $0x83, 8 * 8(%rdx,%rcx,8)
    mov %rax, %cr3
    movabs $high, %rax
    add %rbx, %rax
    jmp *%rax

    .section .high, "awx", @progbits
    .globl high, target, linux_banner
    .type target, @function
high:
    mov $0xc0000101, %ecx
    xor %eax, %eax
    xor %edx, %edx
    wrmsr
    mov $3, %ebx
1:  call target
    dec %ebx
    jnz 1b
    xor %eax, %eax
    out %al, $0xf4
2:  jmp 2b
target:
    ret
    .size target, . - target
    .type linux_banner, @object
linux_banner:
    .asciz "Linux version 0.0.0 (of a test)"
    .size linux_banner, . - linux_banner

    .bss
    .balign 4096
second:
    .skip 4096
third:
    .skip 4096
    .skip 4096
stack_end:
    .section .note.GNU-stack, "", @progbits
