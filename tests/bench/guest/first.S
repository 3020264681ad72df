/* A byte on the serial port as soon as the first instruction runs, then the end: what the start of a
 * machine takes. It stays in the mode of the PVH entry, 32-bit without paging. */
    .section .note.pvh, "a", @note
    .balign 4
    .long 4, 4, 18 /* sizes of name and value; XEN_ELFNOTE_PHYS32_ENTRY */
    .asciz "Xen"
    .long start

    .text
    .code32
    .globl start
start:
    mov $0x3f8, %edx
    mov $'!', %al
    out %al, %dx
    mov $0xf4, %edx
    xor %eax, %eax
    out %eax, %dx
1:  hlt
    jmp 1b

    .section .note.GNU-stack, "", @progbits
