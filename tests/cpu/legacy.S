/* Instructions that 64-bit mode has not, in compatibility mode: decimal adjustments over all their operands, INC
 * and DEC in one byte, all registers and segments on the stack, BOUND, INTO, far pointers, opcode 82; and some
 * that no other program needs. */
#include "lib.inc"

/* The sums of all_operands, as a processor (of AMD) computes them. */
#define SUM_DAA 0xcac6fe59
#define SUM_DAS 0x1e6d225c
#define SUM_AAA 0x0425e6fb
#define SUM_AAS 0x519aa362
#define SUM_AAM 0xa3e13948
#define SUM_AAM7 0x70190aa9
#define SUM_AAD 0xb356eb48
#define SUM_AAD7 0x2b1c5d3a
#define SUM_SALC 0x7cf8cf8d

/* eax and the flags of `mask` into the sum at ebp. All but esp, esi, edi, ebp and what is summed are lost. */
.macro note mask
    pushf
    pop %edx
    and $(\mask), %edx
    rol $5, %ebp
    add %eax, %ebp
    shl $16, %edx
    add %edx, %ebp
.endm

/* `insn` on every AX that is a multiple of `step`, with CF and AF in all four ways; the sum goes to `seen`. */
.macro all_operands insn, seen, step, mask
    xor %ebp, %ebp
    xor %esi, %esi
1:  xor %edi, %edi
2:  mov %esi, %eax
    mov %edi, %ecx
    and $1, %ecx
    mov %edi, %edx
    and $2, %edx
    shl $3, %edx
    or %edx, %ecx
    push %ecx
    popf
    \insn
    note (\mask)
    inc %edi
    cmp $4, %edi
    jb 2b
    add $\step, %esi
    cmp $0x10000, %esi
    jb 1b
    mov %ebp, \seen
.endm

    .data
    .globl test_name
test_name: .asciz "legacy"
    .balign 8
seen_daa:    .quad 0
seen_das:    .quad 0
seen_aaa:    .quad 0
seen_aas:    .quad 0
seen_aam:    .quad 0
seen_aam7:   .quad 0
seen_aad:    .quad 0
seen_aad7:   .quad 0
seen_salc:   .quad 0
seen_inc:    .fill 8, 4, 0
seen_dec:    .fill 8, 4, 0
seen_pusha:  .fill 8, 4, 0
seen_popa:   .fill 8, 4, 0
seen_esp:    .quad 0
seen_push:   .fill 4, 4, 0
seen_pop:    .fill 4, 4, 0
seen_lds:    .quad 0
seen_les:    .quad 0
seen_82:     .fill 8, 4, 0
seen_bound:  .quad 0
seen_into:   .quad 0
far_ds:      .long 0x11223344
             .word SEL_DATA
far_es:      .long 0x55667788
             .word SEL_USER_DATA
bounds:      .long -5, 10
    .balign 8
to_compat:   .long compat
             .word SEL_CODE32
to_bound:    .long compat_bound
             .word SEL_CODE32
to_into:     .long compat_into
             .word SEL_CODE32
saved_rsp:   .quad 0
mxcsr:       .quad 0
mxcsr_twice: .quad 0x3f8000003f80
mxcsr_third: .quad 0x3f8000001f80
port_data:   .quad 0
    .balign 16
image:       .fill 512, 1, 0
stack_far:   .long 0
             .word SEL_DATA
far_fs:      .long 0x99aabbcc
             .word SEL_USER_DATA
far_gs:      .long 0xddeeff00
             .word SEL_DATA

    .text
    .globl test_main
test_main:
    mov %rsp, saved_rsp
    ljmp *to_compat
    .code32
compat:
    all_operands daa, seen_daa, 1, CF | PF | AF | ZF | SF
    all_operands das, seen_das, 1, CF | PF | AF | ZF | SF
    all_operands aaa, seen_aaa, 1, CF | AF
    all_operands aas, seen_aas, 1, CF | AF
    all_operands aam, seen_aam, 1, PF | ZF | SF
    all_operands "aam $7", seen_aam7, 1, PF | ZF | SF
    all_operands aad, seen_aad, 1, PF | ZF | SF
    all_operands "aad $7", seen_aad7, 1, PF | ZF | SF
    all_operands ".byte 0xd6", seen_salc, 257, 0

    mov %esp, seen_esp
    mov $0, %eax
    mov $1, %ecx
    mov $2, %edx
    mov $-1, %ebx
    mov $4, %esp
    mov $5, %ebp
    mov $6, %esi
    mov $0x7fffffff, %edi
    .byte 0x40, 0x41, 0x42, 0x43, 0x44, 0x45, 0x46, 0x47
    mov %eax, seen_inc
    mov %ecx, seen_inc + 4
    mov %edx, seen_inc + 8
    mov %ebx, seen_inc + 12
    mov %esp, seen_inc + 16
    mov %ebp, seen_inc + 20
    mov %esi, seen_inc + 24
    mov %edi, seen_inc + 28
    .byte 0x48, 0x48, 0x49, 0x4a, 0x4b, 0x4c, 0x4d, 0x4e, 0x4f
    mov %eax, seen_dec
    mov %ecx, seen_dec + 4
    mov %edx, seen_dec + 8
    mov %ebx, seen_dec + 12
    mov %esp, seen_dec + 16
    mov %ebp, seen_dec + 20
    mov %esi, seen_dec + 24
    mov %edi, seen_dec + 28
    mov seen_esp, %esp

    /* PUSHA stores ESP as it was, POPA leaves it alone */
    mov $1, %eax
    mov $2, %ecx
    mov $3, %edx
    mov $4, %ebx
    mov $5, %ebp
    mov $6, %esi
    mov $7, %edi
    pusha
    mov %esp, %esi
    mov $seen_pusha, %edi
    mov $8, %ecx
    cld
    rep movsl
    xor %eax, %eax
    xor %ebx, %ebx
    xor %edx, %edx
    xor %ebp, %ebp
    popa
    mov %eax, seen_popa
    mov %ecx, seen_popa + 4
    mov %edx, seen_popa + 8
    mov %ebx, seen_popa + 12
    mov %esp, seen_popa + 16
    mov %ebp, seen_popa + 20
    mov %esi, seen_popa + 24
    mov %edi, seen_popa + 28

    mov $SEL_DATA, %eax
    mov %eax, %ds
    mov %eax, %es
    mov %eax, %ss
    push %es
    pop seen_push
    push %cs
    pop seen_push + 4
    push %ss
    pop seen_push + 8
    push %ds
    pop seen_push + 12
    push $SEL_USER_DATA
    pop %es
    mov %es, seen_pop
    push $SEL_DATA
    pop %ss
    mov %ss, seen_pop + 4
    push $SEL_USER_DATA
    pop %ds
    mov %ds, %ss:seen_pop + 8
    push $SEL_USER_DATA
    pop %gs
    mov %gs, seen_pop + 12

    lds far_ds, %eax
    mov %eax, %ss:seen_lds
    mov %ds, %ss:seen_lds + 4
    les far_es, %ecx
    mov %ecx, seen_les
    mov %es, seen_les + 4

    /* opcode 82: as 80 */
    mov $0x50, %al
    .byte 0x82, 0xc0, 0x11 /* add */
    mov %al, seen_82
    .byte 0x82, 0xc8, 0x8e /* or */
    mov %al, seen_82 + 1
    stc
    .byte 0x82, 0xd0, 0x01 /* adc */
    mov %al, seen_82 + 2
    stc
    .byte 0x82, 0xd8, 0x02 /* sbb */
    mov %al, seen_82 + 3
    .byte 0x82, 0xe0, 0xf3 /* and */
    mov %al, seen_82 + 4
    .byte 0x82, 0xe8, 0x21 /* sub */
    mov %al, seen_82 + 5
    .byte 0x82, 0xf0, 0xff /* xor */
    mov %al, seen_82 + 6
    .byte 0x82, 0xf8, 0x31 /* cmp */
    setb seen_82 + 7

    mov $-5, %eax
    bound %eax, bounds
    mov $10, %eax
    bound %eax, bounds
    test %eax, %eax
    into
    mov seen_esp, %esp
    ljmp $SEL_CODE64, $1f
    .code64
1:  mov saved_rsp, %rsp
    EXPECT(seen_daa, $SUM_DAA)
    EXPECT(seen_das, $SUM_DAS)
    EXPECT(seen_aaa, $SUM_AAA)
    EXPECT(seen_aas, $SUM_AAS)
    EXPECT(seen_aam, $SUM_AAM)
    EXPECT(seen_aam7, $SUM_AAM7)
    EXPECT(seen_aad, $SUM_AAD)
    EXPECT(seen_aad7, $SUM_AAD7)
    EXPECT(seen_salc, $SUM_SALC)
    EXPECT(seen_inc, $0x200000001)
    EXPECT(seen_inc + 8, $3)
    EXPECT(seen_inc + 16, $0x600000005)
    movabs $0x8000000000000007, %rbx
    EXPECT(seen_inc + 24, %rbx)
    movabs $0x1ffffffff, %rbx
    EXPECT(seen_dec, %rbx)
    movabs $0xffffffff00000002, %rbx
    EXPECT(seen_dec + 8, %rbx)
    movabs $0x500000004, %rbx
    EXPECT(seen_dec + 16, %rbx)
    movabs $0x7fffffff00000006, %rbx
    EXPECT(seen_dec + 24, %rbx)
    movabs $0x600000007, %rbx /* edi is stored first in memory */
    EXPECT(seen_pusha, %rbx)
    mov seen_pusha + 8, %eax
    EXPECT(%rax, $5)
    mov seen_pusha + 12, %eax
    mov seen_esp, %ecx
    EXPECT(%rax, %rcx)
    movabs $0x300000004, %rbx
    EXPECT(seen_pusha + 16, %rbx)
    movabs $0x100000002, %rbx
    EXPECT(seen_pusha + 24, %rbx)
    movabs $0x200000001, %rbx
    EXPECT(seen_popa, %rbx)
    movabs $0x400000003, %rbx
    EXPECT(seen_popa + 8, %rbx)
    mov seen_popa + 16, %eax
    EXPECT(%rax, %rcx)
    mov seen_popa + 20, %eax
    EXPECT(%rax, $5)
    movabs $0x700000006, %rbx
    EXPECT(seen_popa + 24, %rbx)
    movabs $(SEL_DATA | SEL_CODE32 << 32), %rbx
    EXPECT(seen_push, %rbx)
    movabs $(SEL_DATA | SEL_DATA << 32), %rbx
    EXPECT(seen_push + 8, %rbx)
    movabs $(SEL_USER_DATA | SEL_DATA << 32), %rbx
    EXPECT(seen_pop, %rbx)
    movabs $(SEL_USER_DATA | SEL_USER_DATA << 32), %rbx
    EXPECT(seen_pop + 8, %rbx)
    movabs $(0x11223344 | SEL_DATA << 32), %rbx
    EXPECT(seen_lds, %rbx)
    movabs $(0x55667788 | SEL_USER_DATA << 32), %rbx
    EXPECT(seen_les, %rbx)
    movabs $0x003ec1e2eef1ef61, %rbx
    mov seen_82, %rax
    EXPECT(%rax, %rbx)

/* ---- BOUND and INTO that raise something; far pointers and POP GS of 64-bit mode; RDTSCP; XSETBV */
    ARM(1f)
    ljmp *to_bound
    .code32
compat_bound:
    mov $-6, %eax
    bound %eax, bounds
    .code64
1:  EXPECT(exc_vector, $5)
    ARM(1f)
    ljmp *to_into
    .code32
compat_into:
    mov $0x7f, %al
    inc %al
    into
    .code64
1:  EXPECT(exc_vector, $4)

    mov %rsp, %rcx
    mov %esp, stack_far
    .byte 0x0f, 0xb2, 0x24, 0x25 /* lss stack_far, %esp */
    .long stack_far
    mov %rsp, %rbx
    EXPECT(%rbx, %rcx)
    mov %ss, %eax
    and $0xffff, %eax
    EXPECT(%rax, $SEL_DATA)
    .byte 0x0f, 0xb4, 0x04, 0x25 /* lfs far_fs, %eax */
    .long far_fs
    mov $0x99aabbcc, %ebx
    EXPECT(%rax, %rbx)
    mov %fs, %eax
    EXPECT(%rax, $SEL_USER_DATA)
    .byte 0x0f, 0xb5, 0x04, 0x25 /* lgs far_gs, %eax */
    .long far_gs
    mov %gs, %eax
    EXPECT(%rax, $SEL_DATA)
    pushq $SEL_USER_DATA
    popq %gs
    mov %gs, %eax
    EXPECT(%rax, $SEL_USER_DATA)
    pushq $SEL_USER_DATA
    popq %fs
    mov %fs, %eax
    EXPECT(%rax, $SEL_USER_DATA)
    mov %cr4, %rax
    or $0x200, %eax /* OSFXSR */
    mov %rax, %cr4
    movl $0x3f80, mxcsr
    ldmxcsr mxcsr
    stmxcsr mxcsr + 4
    EXPECT(mxcsr, mxcsr_twice)
    mov %cr4, %rax
    or $0x200, %eax /* OSFXSR */
    mov %rax, %cr4
    fxsave image
    movl $0x1f80, image + 24
    fxrstor image
    stmxcsr mxcsr
    EXPECT(mxcsr, mxcsr_third)
    mov %rsp, %rcx
    pushq $0x1234
    pushq $SEL_CODE64
    pushq $2f
    lretq $8
2:  mov %rsp, %rbx
    EXPECT(%rbx, %rcx)
    invd
    /* a port where nothing is */
    mov $0x5a0, %edx
    mov $port_data, %edi
    insb
    insl
    EXPECT(%rdi, $(port_data + 5))
    movabs $0x000000ffffffffff, %rbx
    EXPECT(port_data, %rbx)
    mov $port_data, %esi
    outsl
    EXPECT(%rsi, $(port_data + 4))
    out %eax, $0x80
    call later
    leave_out_on_tcg "RDPMC", 1f
    FAULTS(13, 0, rdpmc)
1:  ret

/* Where CPUID has them. */
later:
    mov $0x80000001, %eax
    cpuid
    bt $27, %edx
    jnc 1f
    mov $0xc0000103, %ecx /* TSC_AUX */
    mov $0x1234, %eax
    xor %edx, %edx
    wrmsr
    rdtscp
    EXPECT(%rcx, $0x1234)
1:  mov $1, %eax
    xor %ecx, %ecx
    cpuid
    bt $26, %ecx /* XSAVE */
    jnc 1f
    FAULTS(6, 0, xgetbv)
    FAULTS(6, 0, xsetbv)
    mov %cr4, %rax
    or $0x40000, %eax
    mov %rax, %cr4
    mov $1, %eax
    cpuid
    bt $27, %ecx /* OSXSAVE */
    setc %al
    movzbl %al, %eax
    EXPECT(%rax, $1)
    xor %ecx, %ecx
    xgetbv
    EXPECT(%rax, $1)
    EXPECT(%rdx, $0)
    mov $3, %eax
    xsetbv
    xgetbv
    EXPECT(%rax, $3)
    mov $2, %eax /* without x87 */
    FAULTS(13, 0, xsetbv)
    mov $5, %eax /* AVX without SSE */
    FAULTS(13, 0, xsetbv)
    mov $3, %eax
    mov $1, %edx /* no such state */
    FAULTS(13, 0, xsetbv)
    mov $7, %ecx
    FAULTS(13, 0, xgetbv)
    mov %cr4, %rax
    and $~0x40000, %eax
    mov %rax, %cr4
1:  ret

    .section .note.GNU-stack, "", @progbits
