/* Modes: long, compatibility (32 and 16 bits), protected without paging (32 and 16 bits), real, unreal, and back.
 *
 * Every station writes what it saw to `seen_*`; the checks are made in long mode at the end. The 16-bit code is
 * copied to LOW_BASE, where real mode reaches it. */
#include "lib.inc"

#define LOW(label) (label - low_code)

/* What SIDT has stored there: limit 0x123 and a base. */
.macro EXPECT_TABLE at, base
    mov \at, %rax
    mov $(\base << 16 | 0x123), %rbx
    EXPECT(%rax, %rbx)
.endm

    .data
    .globl test_name
test_name: .asciz "modes"
    .balign 8
to_compat32:    .long compat32
                .word SEL_CODE32
to_compat16:    .long LOW(compat16)
                .word SEL_CODE16
    .balign 8
seen_compat_inc:  .quad 0
seen_compat_push: .quad 0
seen_compat_top:  .quad 0
seen_compat_wrap: .quad 0
seen_compat16_ip: .quad 0
seen_compat16_op: .quad 0
seen_prot_efer:   .quad 0
seen_prot_cr0:    .quad 0
seen_prot_fault:  .quad 0
seen_prot_error:  .quad 0
seen_prot_cs:     .quad 0
seen_prot_flags:  .quad 0
seen_prot_stack:  .quad 0
seen_prot_table:  .quad 0
saved_rsp:        .quad 0
high_mark:        .quad 0x1122334455667788
far_table:        .word 0x123
                  .long 0x89abcdef
idt32_pointer:    .word idt32_end - idt32 - 1
                  .long idt32
    .balign 8
idt32:
    .fill 6, 8, 0
    .word 0, SEL_CODE32, 0x8e00, 0 /* 6: #UD; offsets are filled in */
    .fill 6, 8, 0
    .word 0, SEL_CODE32, 0x8f00, 0 /* 13: #GP, a trap gate */
idt32_end:

    .text
    .globl test_main
test_main:
    mov %rsp, saved_rsp
    mov $low_code, %esi
    mov $LOW_BASE, %edi
    mov $(low_end - low_code), %ecx
    rep movsb
    put_handler 6, ud32
    put_handler 13, gp32

/* ---- compatibility mode: 0x40 is INC, the stack is 32 bits wide, addresses wrap at 4 GiB */
    movabs $0xdeadbeef00000005, %rax
    ljmp *to_compat32
    .code32
compat32:
    inc %eax
    mov %eax, seen_compat_inc
    mov %esp, %ebx
    push $0x1234
    mov %ebx, %ecx
    sub %esp, %ecx
    mov %ecx, seen_compat_push
    pop seen_compat_top
    mov $0xfffffff0, %esi
    lea high_mark, %edi
    mov 0x10(%edi,%esi), %eax
    mov %eax, seen_compat_wrap
    ljmp $SEL_CODE64, $back_to_long
    .code64
back_to_long:
    EXPECT(seen_compat_inc, $6)
    EXPECT(seen_compat_push, $4)
    EXPECT(seen_compat_top, $0x1234)
    EXPECT(seen_compat_wrap, $0x55667788)

/* ---- 16-bit compatibility mode: based segment, 16-bit operands */
    mov $0x1ffff, %eax
    ljmp *to_compat16
compat16_return:
    EXPECT(seen_compat16_op, $0x10000)

/* ---- protected mode, 32 bits, no paging, with its own interrupt table */
    long_to_protected32
    mov $MSR_EFER, %ecx
    rdmsr
    and $(EFER_LME | EFER_LMA), %eax
    mov %eax, seen_prot_efer
    mov %cr0, %eax
    and $(CR0_PG | CR0_PE), %eax
    mov %eax, seen_prot_cr0
    lidtw far_table /* with 16-bit operands 24 bits of the base count */
    sidt seen_prot_table
    lidt idt32_pointer
    mov %esp, seen_prot_stack
    stc
    sti
    ud2
ud32_next:
    cli
    sub %esp, seen_prot_stack
    mov $SEL_FREE + 0x100, %eax /* beyond the table */
    mov %eax, %es
gp32_next:

/* ---- real mode, by way of 16-bit protected mode */
    ljmp $SEL_CODE16, $LOW(protected16)
    .balign 4
ud32:
    mov 4(%esp), %eax
    mov %eax, seen_prot_cs
    mov 8(%esp), %eax
    and $(IF | CF), %eax
    mov %eax, seen_prot_flags
    pushf
    pop %eax
    and $IF, %eax
    or %eax, seen_prot_flags + 4 /* an interrupt gate clears IF */
    mov $6, %eax
    mov %eax, seen_prot_fault
    movl $ud32_next, (%esp)
    iret
gp32:
    pop %eax
    mov %eax, seen_prot_error
    movl $gp32_next, (%esp)
    iret

return_from_real: /* 32-bit protected mode again */
    mov $SEL_DATA, %eax
    mov %eax, %ds
    mov %eax, %es
    mov %eax, %ss
    mov saved_rsp, %esp
    protected32_to_long
    lidt idt_pointer
    EXPECT(seen_prot_efer, $0)
    EXPECT(seen_prot_cr0, $CR0_PE)
    EXPECT(seen_prot_fault, $6)
    EXPECT(seen_prot_cs, $SEL_CODE32)
    EXPECT(seen_prot_flags, $(IF | CF))
    EXPECT_TABLE seen_prot_table, 0xabcdef
    EXPECT_TABLE LOW_BASE + LOW(seen_real_wide_table), 0x89abcdef
    EXPECT_TABLE LOW_BASE + LOW(seen_real_table), 0xabcdef
    EXPECT(seen_prot_stack, $0) /* IRET took off what the exception put on */
    EXPECT(seen_prot_error, $0x160)
    mov LOW_BASE + LOW(seen16_sp), %eax
    EXPECT(%rax, $2)
    movzwl LOW_BASE + LOW(seen_real_segment), %eax
    EXPECT(%rax, $0x5aa5)
    movzwl LOW_BASE + LOW(seen_real_int), %eax
    EXPECT(%rax, $0x6001)
    movzwl LOW_BASE + LOW(seen_real_flags), %eax
    EXPECT(%rax, $0)
    movzwl LOW_BASE + LOW(seen_real_divide), %eax
    EXPECT(%rax, $0x00d0)
    mov LOW_BASE + LOW(seen_real_wide), %eax
    EXPECT(%rax, $0x12345679)
    movzwl LOW_BASE + LOW(seen_real_call), %eax
    EXPECT(%rax, $0x0c0d)
    mov LOW_BASE + LOW(seen_unreal), %eax
    EXPECT(%rax, $0x55667788)
    movzwl LOW_BASE + LOW(seen_real_string), %eax
    EXPECT(%rax, $0x0102)
    movzwl LOW_BASE + LOW(seen_real_msw), %eax
    EXPECT(%rax, $0)

/* ---- long mode is whole again: exceptions, 64-bit registers, EFER */
    read_msr MSR_EFER
    and $(EFER_LME | EFER_LMA), %eax
    EXPECT(%rax, $(EFER_LME | EFER_LMA))
    FAULTS(6, 0, ud2)
    jmp refused_changes

refused_changes:
    leave_out_on_tcg "changes of mode that #GP refuses", 1f
    mov %cr0, %rax
    and $~CR0_PG, %eax
    FAULTS(13, 0, mov %rax, %cr0)
    mov %cr4, %rax
    and $~CR4_PAE, %rax
    FAULTS(13, 0, mov %rax, %cr4)
    mov $MSR_EFER, %ecx
    rdmsr
    xor $EFER_LME, %eax
    FAULTS(13, 0, wrmsr)
    mov $0x80000000, %eax /* PG without PE */
    FAULTS(13, 0, mov %rax, %cr0)
    mov $0x180000031, %rax /* an upper half */
    FAULTS(13, 0, mov %rax, %cr0)
1:  ret

/* ---- 16-bit code, linked here and run from LOW_BASE */
    .balign 16
low_code:
    .code16
compat16:
    inc %ax /* 0x1ffff: carries nothing beyond 16 bits */
    mov $seen_compat16_op, %ebx
    addr32 mov %eax, (%ebx)
    ljmpl $SEL_CODE64, $compat16_return

protected16:
    mov $SEL_DATA16, %ax
    mov %ax, %ds
    mov %ax, %es
    mov %ax, %fs
    mov %ax, %gs
    mov %ax, %ss
    mov $0x7000, %sp
    push %ax
    xor %eax, %eax
    mov $0x7000, %ax
    sub %sp, %ax
    mov %eax, LOW(seen16_sp)
    pop %ax
    lidtl LOW(idt_real)
    mov %cr0, %eax
    and $~CR0_PE, %al
    mov %eax, %cr0
    ljmp $(LOW_BASE >> 4), $LOW(real)

real:
    smsw %ax
    and $1, %ax
    mov %ax, %cs:LOW(seen_real_msw)
    mov %cs, %ax
    mov %ax, %ds
    mov %ax, %ss
    mov $0x7000, %sp
    lidtl LOW(far_table_low)
    sidtl LOW(seen_real_wide_table)
    lidtw LOW(far_table_low)
    sidtl LOW(seen_real_table)
    lidtl LOW(idt_real)
    /* 0x0900:0x0010 and 0x0800:0x1010 are the same byte */
    mov $(LOW_BASE >> 4) + 0x100, %ax
    mov %ax, %es
    movw $0x5aa5, %es:0x10
    mov 0x1010, %ax
    mov %ax, LOW(seen_real_segment)
    /* the vector table at 0: INT 60h and the divide error, which points at the instruction */
    xor %ax, %ax
    mov %ax, %es
    movw $LOW(real_int60), %es:0x60 * 4
    mov %cs, %es:0x60 * 4 + 2
    movw $LOW(real_divide), %es:0
    mov %cs, %es:2
    sti
    stc
    int $0x60
    jnc 1f
    incw LOW(seen_real_int)
1:  cli
    xor %cx, %cx
    mov $1, %ax
    div %cl
real_divide_next:
    /* 32-bit operands and addresses by prefix */
    mov $0x12345678, %eax
    inc %eax
    mov %eax, LOW(seen_real_wide)
    /* far call and return */
    lcall $(LOW_BASE >> 4), $LOW(real_far)
    /* strings through es:di with a 16-bit count */
    mov %cs, %ax
    mov %ax, %es
    cld
    mov $0x10003, %ecx
    mov $LOW(real_text), %si
    mov $0x2000, %di
    rep movsb
    mov 0x2001, %ax
    xchg %al, %ah
    mov %ax, LOW(seen_real_string)
    /* unreal mode: the limit of a segment loaded in protected mode stays */
    lgdtl LOW(gdt_real)
    mov %cr0, %eax
    or $CR0_PE, %al
    mov %eax, %cr0
    mov $SEL_DATA, %bx
    mov %bx, %fs
    and $~CR0_PE, %al
    mov %eax, %cr0
    mov $high_mark, %ebx
    addr32 mov %fs:(%ebx), %eax
    mov %eax, LOW(seen_unreal)
    /* back */
    mov %cr0, %eax
    or $CR0_PE, %al
    mov %eax, %cr0
    ljmpl $SEL_CODE32, $return_from_real

real_int60:
    pushf
    pop %ax
    and $(IF | TF), %ax
    mov %ax, LOW(seen_real_flags)
    mov $0x6000, %ax
    mov %ax, LOW(seen_real_int)
    iret
real_divide:
    pop %ax /* the address of DIV */
    sub $LOW(real_divide_next), %ax
    add $2, %ax
    jnz 1f
    movw $0xd0, LOW(seen_real_divide)
1:  push $LOW(real_divide_next)
    iret
real_far:
    movw $0x0c0d, LOW(seen_real_call)
    lret

    .balign 4
idt_real:          .word 0x3ff
                   .long 0
far_table_low:     .word 0x123
                   .long 0x89abcdef
gdt_real:          .word 0xff
                   .long gdt
seen16_sp:         .long 0
seen_real_wide:    .long 0
seen_unreal:       .long 0
    .balign 8
seen_real_wide_table: .quad 0
seen_real_table:   .quad 0
seen_real_segment: .word 0
seen_real_int:     .word 0
seen_real_flags:   .word 0xffff
seen_real_divide:  .word 0
seen_real_call:    .word 0
seen_real_string:  .word 0
seen_real_msw:     .word 0xffff
real_text:         .byte 0, 1, 2
low_end:
    .code64
    .section .note.GNU-stack, "", @progbits
