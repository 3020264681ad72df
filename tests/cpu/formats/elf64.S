/* A plain ELF64 program: entered in 64-bit mode, 4 GiB mapped one to one, interrupts off. QEMU has no such way in. */
#include "program.inc"

    .text
    .globl start
start:
    mov $1, %eax
    shl $40, %rax /* only in 64-bit mode does the bit leave the lower half */
    test %eax, %eax
    REQUIRE z, 1
    mov $0xf0000000, %ebx
    mov (%rbx), %eax /* mapped, though nothing is there */
    mov $stack_top, %rsp
    pushfq
    pop %rax
    test $0x200, %eax
    REQUIRE z, 2
    SAY "elf64: ok\n"
    EXIT $0

    .bss
    .align 16
    .skip 256
stack_top:
