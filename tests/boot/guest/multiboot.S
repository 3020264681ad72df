/* A multiboot 1 program that prints what its loader told it, then exits with 42 (isa-debug-exit):
 * the command line, each module's string and bytes, and the memory map. 32-bit code. */
    .set MAGIC, 0x1badb002
    .set FLAGS, 3
    .set COM1, 0x3f8

    .section .text
    .balign 4
    .long MAGIC, FLAGS, -(MAGIC + FLAGS)

    .code32
    .globl start
start:
    lea stack_end, %esp
    cmp $0x2badb002, %eax
    jne fail
    mov %ebx, %ebp          /* the information */
    mov $text_cmdline, %esi
    call puts
    mov 16(%ebp), %esi
    call puts
    call newline

    mov 24(%ebp), %ebx      /* modules */
    mov 20(%ebp), %ecx
modules:
    test %ecx, %ecx
    jz map
    mov $text_module, %esi
    call puts
    mov 8(%ebx), %esi
    call puts
    mov $text_is, %esi
    call puts
    mov (%ebx), %esi
1:  cmp 4(%ebx), %esi
    jae 2f
    lodsb
    call putc
    jmp 1b
2:  call newline
    add $16, %ebx
    dec %ecx
    jmp modules

map:
    mov 48(%ebp), %ebx
    mov 44(%ebp), %edi
    add %ebx, %edi
1:  cmp %edi, %ebx
    jae 2f
    mov $text_memory, %esi
    call puts
    mov 8(%ebx), %eax
    call hex
    mov 4(%ebx), %eax
    call hex
    mov $' ', %al
    call putc
    mov 16(%ebx), %eax
    call hex
    mov 12(%ebx), %eax
    call hex
    mov $' ', %al
    call putc
    mov 20(%ebx), %eax
    call hex
    call newline
    add (%ebx), %ebx
    add $4, %ebx
    jmp 1b
2:  mov $42 >> 1, %eax
    jmp end
fail:
    mov $1, %eax
end:
    out %eax, $0xf4
    hlt
    jmp end

/* %al */
putc:
    push %edx
    mov $COM1, %edx
    out %al, %dx
    pop %edx
    ret

newline:
    mov $'\n', %al
    jmp putc

/* The string at %esi. */
puts:
    lodsb
    test %al, %al
    jz 1f
    call putc
    jmp puts
1:  ret

/* %eax, eight digits. */
hex:
    push %ecx
    push %edx
    mov $8, %ecx
    mov %eax, %edx
1:  rol $4, %edx
    mov %edx, %eax
    and $15, %eax
    movzbl digits(%eax), %eax
    call putc
    loop 1b
    pop %edx
    pop %ecx
    ret

    .section .rodata
digits:       .ascii "0123456789abcdef"
text_cmdline: .asciz "cmdline: "
text_module:  .asciz "module: "
text_is:      .asciz " = "
text_memory:  .asciz "memory: "

    .bss
    .balign 16
    .skip 4096
stack_end:
