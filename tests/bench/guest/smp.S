/* The same work shared by all cpus that there are: integer instructions, loads, stores and calls. The passes of the
 * command line are divided among them. */
#include "lib.inc"
#include "trampoline.inc"

#define APIC        0xfee00000
#define APIC_ICR    0x300(%r15)
#define ICR_INIT    0xc4500 /* all others */
#define ICR_STARTUP 0xc4600
#define STACK_SIZE  0x1000

    .data
    .globl test_name
test_name: .asciz "smp"
    .balign 64
online:    .quad 1
share:     .quad 0 /* passes of each, when it is known */
    .balign 64
done:      .quad 0

    .bss
    .balign 4096
stacks:    .skip 16 * STACK_SIZE

    .text
other_64:
    mov $1, %eax
    lock xadd %rax, online
    shl $12, %eax /* STACK_SIZE */
    lea stacks + STACK_SIZE(%rax), %rsp
1:  pause
    mov share, %rbp
    test %rbp, %rbp
    jz 1b
    call work
2:  cli
    hlt
    jmp 2b

/* rbp passes, on 64 bytes above the stack's end. */
work:
    lea -512(%rsp), %rbx
    xor %eax, %eax
1:  mov %rax, (%rbx)
    add 8(%rbx), %rax
    lea 5(%rax,%rcx,2), %rcx
    mov %rcx, 8(%rbx)
    xor %ecx, %edx
    call 2f
    cmp %rdx, 16(%rbx)
    jb 3f
    incq 24(%rbx)
3:  dec %rbp
    jnz 1b
    lock incq done
    ret
2:  push %rdx
    shr $3, %rdx
    mov %rdx, 16(%rbx)
    pop %rdx
    ret

    .globl test_main
test_main:
    call bench_count
    mov %rax, %r14
    mov $APIC, %r15d
    copy_trampoline
    movl $ICR_INIT, APIC_ICR
    call delay
    movl $(ICR_STARTUP + (TRAMPOLINE >> 12)), APIC_ICR
    call delay
    mov online, %rcx
    mov %r14, %rax
    xor %edx, %edx
    div %rcx
    inc %rax
    mov %rax, share
    mov %rax, %rbp
    mov %rcx, %r13
    call work
1:  pause
    cmp %r13, done
    jne 1b
    ret

delay:
    mov $20000, %ecx
1:  pause
    loop 1b
    ret

    .section .note.GNU-stack, "", @progbits
