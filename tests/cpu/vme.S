/* Virtual-8086 mode extensions below IOPL 3: CLI, STI, PUSHF, POPF and IRET on VIF, INT n redirected by the bitmap of
 * the TSS; and the same flag for ring 3 with CR4.PVI. QEMU's TCG has none of it. */
#include "lib.inc"

#define LOW(label) (label - low_code)

#define SEL_A    0x60
#define CR4_VME  1
#define CR4_PVI  2
#define VM       0x20000
#define VIF      0x80000
#define VIP      0x100000
#define REDIRECT 104 /* the bitmap in the TSS */
#define IO_MAP   136

    .data
    .globl test_name
test_name: .asciz "vme"
    .balign 8
saved_rsp: .quad 0
idt32_pointer:
    .word 0x33 * 8 - 1
    .long idt32
    .balign 8
idt32:
    .fill 13, 8, 0
    .word 0, SEL_CODE32, 0x8e00, 0 /* 13: #GP */
    .fill 0x32 - 14, 8, 0
    .word 0, SEL_CODE32, 0xee00, 0 /* 0x32 */

/* What #GP saw: error code, offset, flags. */
expected:
    .long 0, LOW(v86_denied), VM | VIF
    .long 0, LOW(v86_sti), VM | VIP
    .long 0, LOW(v86_popf), VM | VIP
    .long 0, LOW(v86_popf_tf), VM | VIP
    .long 0, LOW(v86_pushfl), VM | VIP
    .long 0, LOW(v86_end), VM | VIP
expected_end:
log_at: .long log_start
seen_user_sti: .quad 0
seen_user_cli: .quad 0

    .bss
    .balign 256
tss_a:  .skip 256
log_start: .skip 1024
    .skip 1024
ring0_top:

    .text

    .globl test_main
test_main:
    leave_out_on_tcg "the extensions of virtual-8086 mode", 99f
    mov $1, %eax
    cpuid
    bt $1, %edx
    jnc 99f
    mov %rsp, saved_rsp
    mov $low_code, %esi
    mov $LOW_BASE, %edi
    mov $(low_end - low_code), %ecx
    rep movsb
    long_to_protected32
    put_handler 13, on_gp
    put_handler 0x32, on_call
    lidt idt32_pointer
    mov $tss_a, %eax
    movw $255, gdt + SEL_A
    mov %ax, gdt + SEL_A + 2
    shr $16, %eax
    mov %al, gdt + SEL_A + 4
    movb $0x89, gdt + SEL_A + 5
    mov %ah, gdt + SEL_A + 7
    movl $ring0_top, tss_a + 4
    movw $SEL_DATA, tss_a + 8
    movw $IO_MAP, tss_a + 102
    movb $2, tss_a + REDIRECT + 8 /* 0x41 goes to protected mode, 0x40 does not */
    mov $SEL_A, %eax
    ltr %ax
    mov %cr4, %eax
    or $(CR4_VME | CR4_PVI), %eax
    mov %eax, %cr4
    movl $((LOW_BASE >> 4) << 16), 4 * 0x40
    movw $LOW(v86_int40), 4 * 0x40
    /* ring 3, 32 bits */
    pushl $SEL_USER_DATA
    pushl $user_stack_top
    pushl $2
    pushl $SEL_USER_CODE32
    pushl $user32
    iret
user32:
    sti
    pushf
    pop %ebx
    cli
    pushf
    pop %ecx
    int $0x32
on_call:
    mov $SEL_DATA, %eax
    mov %eax, %ds
    and $(VIF | IF), %ebx
    mov %ebx, seen_user_sti
    and $(VIF | IF), %ecx
    mov %ecx, seen_user_cli
    /* virtual-8086 */
    pushl $0 /* gs fs ds es */
    pushl $0
    pushl $(LOW_BASE >> 4)
    pushl $0
    pushl $(LOW_BASE >> 4)
    pushl $0x7000
    pushl $(VM | 2)
    pushl $(LOW_BASE >> 4)
    pushl $LOW(v86)
    iret

/* Notes, and goes on behind the instruction; eax of the program says how long it is, 0: enough. */
on_gp:
    push %eax
    mov $SEL_DATA, %eax
    mov %eax, %ds
    mov log_at, %edi
    mov 4(%esp), %eax
    mov %eax, (%edi)
    mov 8(%esp), %eax
    mov %eax, 4(%edi)
    mov 16(%esp), %eax
    and $(VM | VIF | VIP), %eax
    mov %eax, 8(%edi)
    addl $12, log_at
    pop %eax
    add $4, %esp
    test %eax, %eax
    jz 1f
    add %eax, (%esp)
    orl $VIP, 8(%esp)
    andl $~VIF, 8(%esp)
    iret
1:  mov $SEL_DATA, %eax
    mov %eax, %es
    mov %eax, %ss
    mov saved_rsp, %esp
    mov %cr4, %eax
    and $~(CR4_VME | CR4_PVI), %eax
    mov %eax, %cr4
    protected32_to_long
    lidt idt_pointer
    EXPECT(seen_user_sti, $VIF)
    EXPECT(seen_user_cli, $0)
    .macro low_word label, value
    movzwl LOW_BASE + (\label - low_code), %eax
    EXPECT(%rax, $(\value))
    .endm
    low_word seen_cli, 0x3000
    low_word seen_sti, (0x3000 | IF)
    low_word seen_image, (0x3000 | IF)
    low_word seen_inside, 0x3000
    low_word seen_return, (0x3000 | IF)
    low_word seen_popf, 0x3000
    xor %ebx, %ebx
1:  mov log_start(, %rbx, 4), %eax
    mov expected(, %rbx, 4), %edx
    lea 100(%rbx), %edi
    mov %rbx, %rsi
    cmp %rdx, %rax
    jne check_failed
    inc %ebx
    cmp $((expected_end - expected) / 4), %ebx
    jb 1b
99: ret

    .balign 16
low_code:
    .code16
/* The flags that matter, to `where`. */
.macro flags_to where
    pushf
    pop %ax
    and $(0x3000 | IF), %ax
    mov %ax, LOW(\where)
.endm
v86:
    cli
    flags_to seen_cli
    sti
    flags_to seen_sti
    int $0x40
    flags_to seen_return
    pushf
    pop %bx
    and $~IF, %bx
    push %bx
    popf
    flags_to seen_popf
    sti
    mov $2, %eax
v86_denied:
    int $0x41
    mov $1, %eax
v86_sti:
    sti /* VIP is set now */
    or $IF, %bx
    push %bx
v86_popf:
    popf
    and $~IF, %bx
    or $TF, %bx
    push %bx
v86_popf_tf:
    popf
    mov $2, %eax
v86_pushfl:
    pushfl
    xor %eax, %eax
v86_end:
    hlt
v86_int40:
    mov %sp, %bp
    mov 4(%bp), %ax
    and $(0x3000 | IF), %ax
    mov %ax, LOW(seen_image)
    flags_to seen_inside
    iret
seen_cli:    .word 0
seen_sti:    .word 0
seen_image:  .word 0
seen_inside: .word 0
seen_return: .word 0
seen_popf:   .word 0
low_end:
    .code64
    .section .note.GNU-stack, "", @progbits
