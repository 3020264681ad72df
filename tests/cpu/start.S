/* Start code of the bare-metal test programs: the PVH entry, long mode, recording exception handlers, the serial
 * port and the end through isa-debug-exit.
 *
 * The programs are ELF64 with the note that tells the PVH entry: 32-bit protected mode, flat segments, paging off.
 * They need RAM from 0x8000 to 0x9ffff and from 1 MiB on, COM1 at 0x3f8, isa-debug-exit at 0xf4. */
#include "lib.inc"

#define COM1     0x3f8
#define COM1_LSR (COM1 + 5)
#define LSR_THRE 0x20
#define EXIT     0xf4

    .section .note.pvh, "a", @note
    .balign 4
    .long 4, 4, 18 /* sizes of name and value; XEN_ELFNOTE_PHYS32_ENTRY */
    .asciz "Xen"
    .long start

    .text
    .code32
    .globl start
start:
    cli
    cld
    mov $stack_top, %esp
    mov %ebx, start_info
    mov $0xff, %al /* no interrupts from what firmware left running */
    out %al, $0x21
    out %al, $0xa1
    /* four tables of 2 MiB pages: 4 GiB, writable, for all rings */
    mov $boot_pd, %edi
    mov $(PTE_P | PTE_W | PTE_U | PTE_PS), %eax
    mov $2048, %ecx
1:  mov %eax, (%edi)
    movl $0, 4(%edi)
    add $0x200000, %eax
    add $8, %edi
    loop 1b
    mov $(boot_pd + PTE_P + PTE_W + PTE_U), %eax
    mov $boot_pdpt, %edi
    mov $4, %ecx
1:  mov %eax, (%edi)
    add $0x1000, %eax
    add $8, %edi
    loop 1b
    movl $(boot_pdpt + PTE_P + PTE_W + PTE_U), boot_pml4
    /* the bases of the task state segment and of the 16-bit segments */
    mov $tss, %eax
    mov %ax, gdt + SEL_TSS + 2
    shr $16, %eax
    mov %al, gdt + SEL_TSS + 4
    mov %ah, gdt + SEL_TSS + 7
    lgdt gdt_pointer
    ljmp $SEL_CODE32, $1f
1:  mov $SEL_DATA, %eax
    mov %eax, %ds
    mov %eax, %es
    mov %eax, %ss
    mov %eax, %fs
    mov %eax, %gs
    mov $(CR0_PE | CR0_MP | CR0_NE), %eax
    mov %eax, %cr0
    protected32_to_long
    mov $stack_top, %rsp
    call idt_fill
    lidt idt_pointer
    movq $ring0_stack_top, tss + TSS_RSP0
    movw $0x68, tss + TSS_IO_MAP /* beyond the limit: no map */
    mov $SEL_TSS, %eax
    ltr %ax
    call detect_tcg
    call test_main
    mov $test_name, %esi
    call print
    mov $text_ok, %esi
    call print
    xor %eax, %eax
    .globl finish
/* End with the value eax. */
finish:
    mov $EXIT, %edx
    out %eax, %dx
1:  cli
    hlt
    jmp 1b

/* Text at rsi to the serial port. Keeps all registers. */
    .globl print
print:
    push %rax
    push %rdx
    push %rsi
1:  mov $COM1_LSR, %edx
2:  in %dx, %al
    test $LSR_THRE, %al
    jz 2b
    mov (%rsi), %al
    test %al, %al
    jz 3f
    mov $COM1, %edx
    out %al, %dx
    inc %rsi
    jmp 1b
3:  pop %rsi
    pop %rdx
    pop %rax
    ret

/* rax in hexadecimal. Keeps all registers. */
    .globl print_hex, print_decimal
print_hex:
    push %rax
    push %rcx
    push %rdx
    push %rsi
    mov $hex_buffer + 16, %esi
    mov $16, %ecx
1:  mov %eax, %edx
    and $15, %edx
    mov hex_digits(%rdx), %dl
    dec %rsi
    mov %dl, (%rsi)
    shr $4, %rax
    loop 1b
    call print
    pop %rsi
    pop %rdx
    pop %rcx
    pop %rax
    ret

/* rax in decimal, which is below 10^16. Keeps all registers. */
print_decimal:
    push %rax
    push %rcx
    push %rdx
    push %rsi
    mov $hex_buffer + 16, %esi
    mov $10, %ecx
1:  xor %edx, %edx
    div %rcx
    add $'0', %edx
    dec %rsi
    mov %dl, (%rsi)
    test %rax, %rax
    jnz 1b
    call print
    pop %rsi
    pop %rdx
    pop %rcx
    pop %rax
    ret

/* A label and a value: text at rsi, then rax. */
print_value:
    call print
    jmp print_hex

/* Check edi, on line esi, saw rax instead of rdx. */
    .globl check_failed
check_failed:
    mov %edi, %r14d
    mov %rsi, %r15
    mov %rdx, %r13
    mov %rax, %r12
    mov $test_name, %esi
    call print
    mov $text_check, %esi
    mov %r14, %rax
    call print
    call print_decimal
    mov $text_line, %esi
    mov %r15, %rax
    call print
    call print_decimal
    mov $text_saw, %esi
    mov %r12, %rax
    call print_value
    mov $text_expected, %esi
    mov %r13, %rax
    call print_value
    mov $text_newline, %esi
    call print
    /* the exit status keeps 7 bits */
    mov $127, %eax
    cmp %eax, %r14d
    cmovb %r14d, %eax
    jmp finish

/* An exception that FAULTS or TRAPS announced did not happen. */
    .globl no_exception
no_exception:
    mov armed_check, %rdi
    mov armed_line, %rsi
    mov $text_no_exception, %eax
    xchg %rax, %rsi
    call print
    xchg %rax, %rsi
    mov $-1, %rax
    xor %edx, %edx
    jmp check_failed

/* One stub of 16 bytes for each vector; they make the frames alike: vector, error code, rip, ... */
    .balign 16
    .globl exc_stubs
exc_stubs:
    .set vector, 0
    .rept 256
    .if !((vector == 8) || (vector >= 10 && vector <= 14) || (vector == 17) || (vector == 21))
    pushq $0
    .endif
    pushq $vector
    jmp exc_record
    .balign 16
    .set vector, vector + 1
    .endr

/* Record the exception and go on at exc_resume, in ring 0. */
exc_record:
    push %rax
    mov 8(%rsp), %rax
    mov %rax, exc_vector
    mov 16(%rsp), %rax
    mov %rax, exc_error
    mov 24(%rsp), %rax
    mov %rax, exc_rip
    mov 32(%rsp), %rax
    mov %rax, exc_cs
    mov 40(%rsp), %rax
    mov %rax, exc_flags
    mov 48(%rsp), %rax
    mov %rax, exc_rsp
    mov 56(%rsp), %rax
    mov %rax, exc_ss
    mov %cr2, %rax
    mov %rax, exc_cr2
    lea 8(%rsp), %rax
    mov %rax, exc_frame
    incq exc_count
    mov exc_resume, %rax
    test %rax, %rax
    jz exc_unexpected
    movq $0, exc_resume
    mov %rax, 24(%rsp)
    movq $SEL_CODE64, 32(%rsp)
    movq $2, 40(%rsp)
    mov exc_resume_rsp, %rax
    mov %rax, 48(%rsp)
    movq $SEL_DATA, 56(%rsp)
    pop %rax
    add $16, %rsp
    iretq

exc_unexpected:
    mov $stack_top, %rsp
    mov $test_name, %esi
    call print
    mov $text_exception, %esi
    mov exc_vector, %rax
    call print_value
    mov $text_error, %esi
    mov exc_error, %rax
    call print_value
    mov $text_rip, %esi
    mov exc_rip, %rax
    call print_value
    mov $text_cr2, %esi
    mov exc_cr2, %rax
    call print_value
    mov $text_newline, %esi
    call print
    mov $127, %eax
    jmp finish

/* Vector edi → handler esi, attributes edx, interrupt stack ecx. */
    .globl idt_set
idt_set:
    shl $4, %edi
    mov %si, idt(%rdi)
    movw $SEL_CODE64, idt + 2(%rdi)
    mov %cl, idt + 4(%rdi)
    mov %dl, idt + 5(%rdi)
    shr $16, %esi
    mov %si, idt + 6(%rdi)
    movq $0, idt + 8(%rdi)
    ret

idt_fill:
    xor %ebx, %ebx
1:  mov %ebx, %edi
    mov %ebx, %esi
    shl $4, %esi
    add $exc_stubs, %esi
    mov $GATE_INTERRUPT, %edx
    xor %ecx, %ecx
    call idt_set
    inc %ebx
    cmp $256, %ebx
    jb 1b
    ret

/* on_tcg = 1 on QEMU's TCG, whose known faults some tests step around: it says so itself, or, under a KVM on a
 * processor that it emulates, the processor's name does ("QEMU TCG CPU version ..."). */
detect_tcg:
    mov $0x40000000, %eax
    cpuid
    cmp $0x54474354, %ebx /* "TCGT" */
    jne 1f
    cmp $0x43544743, %ecx /* "CGTC" */
    je 2f
1:  mov $0x80000000, %eax
    cpuid
    cmp $0x80000002, %eax
    jb 3f
    mov $0x80000002, %eax
    cpuid
    cmp $0x554d4551, %eax /* "QEMU" */
    jne 3f
    cmp $0x47435420, %ebx /* " TCG" */
    jne 3f
2:  movq $1, on_tcg
3:  ret

/* A check that QEMU's TCG is known to fail was left out there; rsi says why. */
    .globl print_skip
print_skip:
    push %rsi
    mov $test_name, %esi
    call print
    mov $text_skip, %esi
    call print
    pop %rsi
    call print
    mov $text_newline, %esi
    jmp print

    .section .rodata
text_ok:           .asciz ": ok\n"
text_check:        .asciz ": failed: check "
text_line:         .asciz " line "
text_saw:          .asciz " saw "
text_expected:     .asciz " instead of "
text_exception:    .asciz ": failed: unexpected exception "
text_error:        .asciz " error "
text_rip:          .asciz " rip "
text_cr2:          .asciz " cr2 "
text_skip:         .asciz ": left out on TCG: "
text_no_exception: .asciz "no exception where one is due: "
text_newline:      .asciz "\n"
hex_digits:        .ascii "0123456789abcdef"

    .data
    .balign 16
    .globl gdt, gdt_pointer, idt_pointer
gdt:
    .quad 0
    .quad 0x00cf9b000000ffff /* 08 code, 32-bit */
    .quad 0x00af9b000000ffff /* 10 code, 64-bit */
    .quad 0x00cf93000000ffff /* 18 data */
    .quad 0x00cffb000000ffff /* 20 user code, 32-bit */
    .quad 0x00cff3000000ffff /* 28 user data */
    .quad 0x00affb000000ffff /* 30 user code, 64-bit */
    .quad 0x00cff3000000ffff /* 38 user data */
    .quad 0x0000890000000067 /* 40 task state segment; start fills in its base */
    .quad 0
    .quad 0x00009b000000ffff + (LOW_BASE << 16) /* 50 code, 16-bit */
    .quad 0x000093000000ffff + (LOW_BASE << 16) /* 58 data, 16-bit */
    .fill 20, 8, 0
gdt_end:
gdt_pointer:
    .word gdt_end - gdt - 1
    .quad gdt
idt_pointer:
    .word 4095
    .quad idt
hex_buffer: .fill 17, 1, 0

    .balign 8
    .globl exc_vector, exc_error, exc_rip, exc_cs, exc_flags, exc_rsp, exc_ss, exc_cr2, exc_frame
    .globl exc_count, exc_resume, exc_resume_rsp, armed_check, armed_line, seen_flags, on_tcg, start_info
exc_vector:     .quad 0
exc_error:      .quad 0
exc_rip:        .quad 0
exc_cs:         .quad 0
exc_flags:      .quad 0
exc_rsp:        .quad 0
exc_ss:         .quad 0
exc_cr2:        .quad 0
exc_frame:      .quad 0 /* address of the frame, from the vector on */
exc_count:      .quad 0
exc_resume:     .quad 0 /* where the handler goes on; 0: the exception is a failure */
exc_resume_rsp: .quad 0
armed_check:    .quad 0
armed_line:     .quad 0
seen_flags:     .quad 0
on_tcg:         .quad 0
start_info:     .quad 0 /* hvm_start_info, what the PVH loader tells */

    .bss
    .balign 4096
    .globl boot_pml4, boot_pdpt, boot_pd, idt, tss
    .globl stack_top, ring0_stack_top, user_stack_top, ist1_stack_top, ist2_stack_top
boot_pml4: .skip 4096
boot_pdpt: .skip 4096
boot_pd:   .skip 4 * 4096
idt:       .skip 4096
tss:       .skip 4096
    .skip 16384
stack_top:
    .skip 4096
ring0_stack_top:
    .skip 4096
user_stack_top:
    .skip 4096
ist1_stack_top:
    .skip 4096
ist2_stack_top:

    .section .note.GNU-stack, "", @progbits
