/* Alignment checks: #AC in ring 3 with CR0.AM and EFLAGS.AC, for every kind of access, and never else. */
#include "lib.inc"

#define AC 0x40000

    .data
    .globl test_name
test_name: .asciz "alignment"
    .balign 64
data:      .fill 256, 1, 0
far_32:    .long 0
           .word SEL_USER_DATA

    .text
/* In ring 3 with EFLAGS.AC: `...` must raise #AC(0) at itself. */
#define CHECKED(...)                                                                               \
    ARM(9f);                                                                                       \
    enter_ring3 8f, flags=(AC | 2);                                                                \
    8: __VA_ARGS__;                                                                                \
    int3;                                                                                          \
    9: EXPECT(exc_vector, $17);                                                                    \
    EXPECT(exc_error, $0);                                                                         \
    EXPECT(exc_rip, $8b);                                                                          \
    EXPECT(exc_cs, $SEL_USER_CODE64)

/* It must not. */
#define FREE(...) FREE_WITH((AC | 2), __VA_ARGS__)
#define FREE_WITH(set, ...)                                                                        \
    ARM(9f);                                                                                       \
    enter_ring3 8f, flags=set;                                                                     \
    8: __VA_ARGS__;                                                                                \
    int3;                                                                                          \
    9: EXPECT(exc_vector, $3)

    .globl test_main
test_main:
    reset_gate 3, (GATE_INTERRUPT | GATE_USER)
    mov %cr4, %rax
    or $0x600, %rax /* OSFXSR, OSXMMEXCPT */
    mov %rax, %cr4
    leave_out_on_tcg "alignment checks", 99f
    FREE(mov data + 1, %eax)
    mov %cr0, %rax
    or $CR0_AM, %rax
    mov %rax, %cr0
    /* by size; reading, writing, both */
    CHECKED(mov data + 1, %eax)
    CHECKED(mov data + 2, %eax)
    CHECKED(mov data + 1, %ax)
    CHECKED(mov data + 4, %rax)
    CHECKED(mov %eax, data + 1)
    CHECKED(mov %rax, data + 4)
    CHECKED(incl data + 2)
    CHECKED(lock incl data + 2)
    CHECKED(xchg %eax, data + 3)
    CHECKED(cmpxchg8b data + 4)
    FREE(mov data + 1, %al)
    FREE(mov data + 2, %ax)
    FREE(mov data + 4, %eax)
    FREE(mov data + 8, %rax)
    FREE(incl data + 4)
    /* the stack, strings, bits */
    CHECKED(push 4(%rsp))
    FREE(sub $8, %rsp; push %rax; pop %rax)
    mov $data, %esi
    mov $(data + 1), %edi
    mov $4, %ecx
    CHECKED(rep movsl)
    mov $4, %ecx
    FREE(rep movsb)
    mov $(data + 2), %edi
    mov $4, %ecx
    CHECKED(rep stosl)
    CHECKED(bts $3, data + 1)
    /* memory operands in pieces */
    CHECKED(sgdt data)
    FREE(sgdt data + 6)
    CHECKED(lss far_32 + 1, %eax)
    /* x87 and SSE */
    CHECKED(fldl data + 4)
    CHECKED(fldt data + 4)
    CHECKED(flds data + 2)
    FREE(fninit; fldl data; fstp %st(0))
    CHECKED(fnstenv data + 2)
    FREE(fnstenv data + 4)
    CHECKED(movq data + 4, %xmm0)
    CHECKED(movss data + 2, %xmm0)
    FREE(movups data, %xmm0)
    /* 16 bytes that may lie anywhere: a boundary of 8, where the manual leaves the choice */
    CHECKED(movups data + 4, %xmm0)
    CHECKED(movdqu %xmm0, data + 1)
    CHECKED(lddqu data + 12, %xmm0)
    FREE(movups data + 8, %xmm0)
    FREE(movdqu %xmm0, data + 24)
    /* over the end of a page */
    CHECKED(mov boot_pd - 2, %eax)
    /* what needs 16 raises #GP */
    ARM(1f)
    enter_ring3 2f, flags=(AC | 2)
2:  movaps data + 4, %xmm0
1:  EXPECT(exc_vector, $13)
    ARM(1f)
    enter_ring3 2f, flags=(AC | 2)
2:  fxsave data + 4
1:  EXPECT(exc_vector, $13)
    /* a page fault goes before, so does #GP */
    movabs $0x7f0000000001, %rbx
    ARM(1f)
    enter_ring3 2f, flags=(AC | 2)
2:  movups (%rbx), %xmm0
1:  EXPECT(exc_vector, $14)
    ARM(1f)
    enter_ring3 2f, flags=(AC | 2)
2:  movups %xmm0, (%rbx)
1:  EXPECT(exc_vector, $14)
    ARM(1f)
    enter_ring3 2f, flags=(AC | 2)
2:  mov (%rbx), %eax
1:  EXPECT(exc_vector, $14)
    bts $63, %rbx
    ARM(1f)
    enter_ring3 2f, flags=(AC | 2)
2:  mov (%rbx), %eax
1:  EXPECT(exc_vector, $13)
    /* POPF switches it on and off; other rings are free of it */
    FREE_WITH(2, mov data + 1, %eax)
    ARM(1f)
    enter_ring3 2f
2:  pushfq
    orl $AC, (%rsp)
    popfq
3:  mov data + 1, %eax
1:  EXPECT(exc_vector, $17)
    EXPECT(exc_rip, $3b)
    pushfq
    orl $AC, (%rsp)
    popfq
    mov data + 1, %eax
    pushfq
    andl $~AC, (%rsp)
    popfq
    mov %cr0, %rax
    and $~CR0_AM, %rax
    mov %rax, %cr0
    FREE(mov data + 1, %eax)
99: ret

    .section .note.GNU-stack, "", @progbits
