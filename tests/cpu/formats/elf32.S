/* A plain ELF32 program: entered in flat 32-bit protected mode, paging off, interrupts off. QEMU has no such way in. */
#include "program.inc"

    .text
    .code32
    .globl start
start:
    mov %cr0, %eax
    and $0x80000001, %eax
    cmp $1, %eax
    REQUIRE e, 1
    mov $stack_top, %esp
    pushf
    pop %eax
    test $0x200, %eax
    REQUIRE z, 2
    mov $data, %ebx
    cmpl $0x12345678, %ds:(%ebx)
    REQUIRE e, 3
    SAY "elf32: ok\n"
    EXIT $0

    .data
data:
    .long 0x12345678

    .bss
    .align 16
    .skip 256
stack_top:
