/* A test kernel's view of testdev: it raises line 5 by itself and takes the interrupt, checks the ports
 * that hold what is written and the device's memory, tells by debugcon, and exits (isa-debug-exit).
 * 32-bit code, entered by multiboot 1 with flat segments. */
    .set MAGIC, 0x1badb002
    .set FLAGS, 3
    .set VECTOR, 0x25

    .macro OUTB port, value
    mov $\value, %al
    mov $\port, %dx
    out %al, %dx
    .endm

    .section .text
    .balign 4
    .long MAGIC, FLAGS, -(MAGIC + FLAGS)

    .code32
    .globl start
start:
    lea stack_end, %esp
    mov $handler, %eax      /* an interrupt gate, of the segment that the loader gave */
    mov %ax, idt + VECTOR * 8
    mov %cs, idt + VECTOR * 8 + 2
    movw $0x8e00, idt + VECTOR * 8 + 4
    shr $16, %eax
    mov %ax, idt + VECTOR * 8 + 6
    lidt idt_pointer
    OUTB 0x20, 0x11
    OUTB 0x21, 0x20
    OUTB 0x21, 0x04
    OUTB 0x21, 0x01
    OUTB 0x21, 0xdf         /* line 5 alone */
    sti
    OUTB 0x2005, 1
1:  cmpl $1, taken
    jne 1b
    OUTB 0x2005, 1
2:  cmpl $2, taken
    jne 2b

    mov $0xe0, %dx
    mov $0x12345678, %eax
    out %eax, %dx
    mov $0xe2, %dx
    in %dx, %ax
    cmp $0x1234, %ax
    jne fail
    mov $0xe8, %dx
    in %dx, %al
    cmp $0x78, %al
    jne fail
    mov $0xe4, %dx
    mov $0x100000, %eax
    out %eax, %dx
    mov $0xff000100, %ebx
    movl $0xcafe, (%ebx)
    cmpl $0xcafe, (%ebx)
    jne fail
    incb 1(%ebx)
    cmpw $0xcbfe, (%ebx)
    jne fail
    mov $'K', %al
    jmp end
fail:
    mov $'F', %al
end:
    mov $0x402, %dx
    out %al, %dx
    out %eax, $0xf4
    hlt

handler:
    push %eax
    push %edx
    incl taken
    OUTB 0x402, 'I'
    OUTB 0x2005, 0
    OUTB 0x20, 0x20
    pop %edx
    pop %eax
    iret

    .data
taken: .long 0
idt_pointer:
    .word (VECTOR + 1) * 8 - 1
    .long idt

    .bss
    .balign 16
idt: .skip 256 * 8
    .skip 4096
stack_end:
