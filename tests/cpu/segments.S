/* Segments: loads and what refuses them, null selectors, the accessed bit, the local table, bases, LAR, LSL, VERR and VERW
 * in long mode; limits, types and expand-down in compatibility mode. */
#include "lib.inc"

#define SEL_A     SEL_FREE
#define SEL_B     (SEL_FREE + 8)
#define SEL_LDT   (SEL_FREE + 16) /* two entries */
#define SEL_LOCAL 4               /* entry 0 of the local table */

    .data
    .globl test_name
test_name: .asciz "segments"
    .balign 16
words:     .quad 0x1111, 0x2222, 0x3333, 0x4444
local_table:
    .quad 0x00cf93000000ffff
to_compat: .long compat
           .word SEL_CODE32
to_far:    .long far_next
           .word SEL_A
to_data:   .long far_next
           .word SEL_DATA
    .balign 8
seen_base: .quad 0
seen_fs:   .quad 0

/* Entry `selector` = the 64-bit descriptor. */
.macro descriptor selector, value
    movabs $\value, %rax
    mov %rax, gdt + \selector
.endm

    .text
    .globl test_main
test_main:
    call loads
    call null
    call local
    call bases
    call inquiries
    call far_jumps
    call compat_limits
    call code_limit
    ret

loads:
    /* a load sets the accessed bit */
    descriptor SEL_A, 0x00cf92000000ffff
    mov $SEL_A, %ecx
    mov %ecx, %es
    movzbl gdt + SEL_A + 5, %edx
    EXPECT(%rdx, $0x93)
    /* absent, of a system type, code that cannot be read, code for SS, read-only for SS, DPL for SS */
    descriptor SEL_A, 0x00cf13000000ffff
    FAULTS(11, SEL_A, mov %ecx, %es)
    FAULTS(12, SEL_A, mov %ecx, %ss)
    descriptor SEL_A, 0x00cf89000000ffff
    FAULTS(13, SEL_A, mov %ecx, %es)
    descriptor SEL_A, 0x00cf99000000ffff
    FAULTS(13, SEL_A, mov %ecx, %fs)
    descriptor SEL_A, 0x00cf9b000000ffff
    mov %ecx, %fs
    FAULTS(13, SEL_A, mov %ecx, %ss)
    descriptor SEL_A, 0x00cf91000000ffff
    mov %ecx, %fs
    FAULTS(13, SEL_A, mov %ecx, %ss)
    descriptor SEL_A, 0x00cff3000000ffff
    mov %ecx, %fs
    FAULTS(13, SEL_A, mov %ecx, %ss)
    xor %ecx, %ecx
    lldt %cx
    /* beyond the table; in a local table that is not there */
    mov $0x100, %ecx
    FAULTS(13, 0x100, mov %ecx, %gs)
    mov $SEL_LOCAL, %ecx
    FAULTS(13, SEL_LOCAL, mov %ecx, %gs)
    mov $SEL_DATA, %ecx
    mov %ecx, %es
    mov %ecx, %fs
    ret

/* Null selectors may be loaded and used in 64-bit code; into SS at CPL 0 as well. */
null:
    xor %ecx, %ecx
    mov %ecx, %ds
    mov %ecx, %es
    mov words, %rdx
    EXPECT(%rdx, $0x1111)
    mov %ecx, %ss
    push %rdx
    pop %rdx
    mov $SEL_DATA, %ecx
    mov %ecx, %ds
    mov %ecx, %es
    mov %ecx, %ss
    ret

local:
    mov $local_table, %ecx
    descriptor SEL_LDT, 0x0000820000000007
    mov %cx, gdt + SEL_LDT + 2
    shr $16, %ecx
    mov %cl, gdt + SEL_LDT + 4
    movq $0, gdt + SEL_LDT + 8
    mov $SEL_LDT, %ecx
    lldt %cx
    sldt %edx
    EXPECT(%rdx, $SEL_LDT)
    mov $SEL_LOCAL, %ecx
    mov %ecx, %es
    mov $(SEL_LOCAL + 8), %ecx
    FAULTS(13, (SEL_LOCAL + 8), mov %ecx, %es)
    xor %ecx, %ecx
    lldt %cx
    mov $SEL_DATA, %ecx
    mov %ecx, %es
    FAULTS(13, SEL_DATA, lldt %cx)
    ret

/* In 64-bit code only FS and GS have bases: from the descriptor by a load, of 64 bits by MSR. */
bases:
    descriptor SEL_B, 0x00cf93000000ffff
    mov $words, %ecx
    mov %cx, gdt + SEL_B + 2
    shr $16, %ecx
    mov %cl, gdt + SEL_B + 4
    mov $SEL_B, %ecx
    mov %ecx, %fs
    mov %ecx, %ds
    mov %fs:8, %rdx
    EXPECT(%rdx, $0x2222)
    mov words, %rdx /* DS has none */
    EXPECT(%rdx, $0x1111)
    mov $SEL_DATA, %edx
    mov %edx, %ds
    read_msr MSR_FS_BASE
    EXPECT(%rax, $words)
    write_msr MSR_GS_BASE, (words + 16)
    mov %gs:0, %rdx
    EXPECT(%rdx, $0x3333)
    mov $8, %ebx
    .byte 0x65 /* GS: LEA knows no segments */
    lea (%rbx), %rdx
    EXPECT(%rdx, $8)
    mov $SEL_DATA, %ecx
    mov %ecx, %gs
    read_msr MSR_GS_BASE
    EXPECT(%rax, $0)
    ret

inquiries:
    mov $SEL_CODE64, %ecx
    lar %ecx, %edx
    EXPECT_FLAGS(ZF, ZF)
    EXPECT(%rdx, $0x00a09b00)
    mov $SEL_DATA, %ecx
    lsl %ecx, %edx
    EXPECT_FLAGS(ZF, ZF)
    EXPECT(%rdx, $0xffffffff)
    verw %cx
    EXPECT_FLAGS(ZF, ZF)
    mov $SEL_CODE64, %ecx
    verr %cx
    EXPECT_FLAGS(ZF, ZF)
    verw %cx
    EXPECT_FLAGS(ZF, 0)
    mov $77, %edx
    mov $0x100, %ecx
    lar %ecx, %edx
    EXPECT_FLAGS(ZF, 0)
    EXPECT(%rdx, $77)
    ret

/* Code that is no 64-bit code, no code at all, or both L and D. */
far_jumps:
    FAULTS(13, SEL_DATA, ljmp *to_data)
    leave_out_on_tcg "code that is both L and D", 1f /* it jumps there, and KVM does not enter such a guest again */
    descriptor SEL_A, 0x00ef9b000000ffff
    FAULTS(13, SEL_A, ljmp *to_far)
1:  descriptor SEL_A, 0x00af1b000000ffff
    FAULTS(11, SEL_A, ljmp *to_far)
    descriptor SEL_A, 0x00affb000000ffff
    FAULTS(13, SEL_A, ljmp *to_far)
    descriptor SEL_A, 0x00af9b000000ffff
    ljmp *to_far
far_next:
    mov %cs, %edx
    EXPECT(%rdx, $SEL_A)
    pushq $SEL_CODE64
    pushq $1f
    lretq
1:  ret

/* In compatibility mode bases count everywhere, and limits and types; TCG looks at neither. */
compat_limits:
    descriptor SEL_A, 0x0040910000000007 /* read-only, 8 bytes */
    descriptor SEL_B, 0x004093000000000f /* 16 bytes */
    mov $words, %ecx
    mov %cx, gdt + SEL_B + 2
    shr $16, %ecx
    mov %cl, gdt + SEL_B + 4
    ljmp *to_compat
    .code32
compat:
    mov $SEL_B, %ecx
    mov %ecx, %es
    mov %es:8, %eax
    mov %eax, seen_base
    ljmp $SEL_CODE64, $1f
    .code64
1:  EXPECT(seen_base, $0x2222)
    leave_out_on_tcg "limits and types of segments", 9f
    ARM(1f)
    ljmp *to_compat2
    .pushsection .data
to_compat2: .long 2f
            .word SEL_CODE32
to_compat3: .long 4f
            .word SEL_CODE32
to_compat4: .long 6f
            .word SEL_CODE32
    .popsection
    .code32
2:  mov %es:12, %eax
    movl %eax, %es:12
    mov %es:13, %eax
    .code64
1:  EXPECT(exc_vector, $13)
    EXPECT(exc_error, $0)
    ARM(3f)
    ljmp *to_compat3
    .code32
4:  mov $SEL_A, %ecx
    mov %ecx, %es
    mov %es:4, %eax
5:  movl %eax, %es:0
    .code64
3:  EXPECT(exc_vector, $13)
    EXPECT(exc_rip, $5b)
    descriptor SEL_A, 0x0040970000000fff /* expand-down: from 0x1000 on */
    ARM(3f)
    ljmp *to_compat4
    .code32
6:  mov $SEL_A, %ecx
    mov %ecx, %es
    mov %es:0x1000, %eax
7:  mov %es:0xfff, %al
    .code64
3:  EXPECT(exc_vector, $13)
    EXPECT(exc_rip, $7b)
9:  mov $SEL_DATA, %ecx
    mov %ecx, %es
    ret

/* An instruction that goes beyond the limit of its segment is not executed; what lies before it is. */
code_limit:
    leave_out_on_tcg "limits of code segments", 99f
    mov $limited, %eax
    mov %ax, gdt + SEL_A + 2
    shr $16, %eax
    mov %al, gdt + SEL_A + 4
    mov %ah, gdt + SEL_A + 7
    movb $0x9b, gdt + SEL_A + 5
    movb $0x40, gdt + SEL_A + 6
    movw $(limited_last - limited), gdt + SEL_A
    xor %eax, %eax
    ARM(1f)
    ljmp *to_limited
1:  EXPECT(exc_vector, $13)
    EXPECT(exc_error, $0)
    EXPECT(exc_rip, $(limited_last - limited - 1))
    EXPECT(%rax, $2)
    addw $5, gdt + SEL_A /* now all of it */
    xor %eax, %eax
    ARM(1f)
    ljmp *to_limited
1:  EXPECT(exc_vector, $6)
    EXPECT(%rax, $0x12345678)
99: ret
    .code32
limited:
    inc %eax
    inc %eax
    .byte 0xb8 /* MOV to eax */
limited_last:
    .long 0x12345678
    ud2
    .code64
    .data
    .balign 8
to_limited: .long 0
            .word SEL_A

    .section .note.GNU-stack, "", @progbits
