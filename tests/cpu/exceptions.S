/* Exceptions: each vector that an instruction can raise, error codes, traps and faults, interrupt stacks, double
 * faults, single steps and debug registers. */
#include "lib.inc"

/* The error code is that of entry `n` of the interrupt table (+ bits); QEMU 7.2's TCG says 16 n for 8 n in long
 * mode. rcx and rdx are lost. */
#define EXPECT_IDT_ERROR(n, bits)                                                                  \
    mov on_tcg, %rcx;                                                                              \
    mov $(n * 8), %edx;                                                                            \
    shl %cl, %edx;                                                                                 \
    or $(bits), %edx;                                                                              \
    expect exc_error, %rdx, __LINE__

/* FAULTS for INT n that the table refuses with `vector`. */
#define INT_FAULTS(vector, n)                                                                      \
    ARM(9f);                                                                                       \
    8: int $n;                                                                                     \
    jmp no_exception;                                                                              \
    9: EXPECT(exc_rip, $8b);                                                                       \
    EXPECT(exc_vector, $vector);                                                                   \
    EXPECT_IDT_ERROR(n, 2)

    .data
    .globl test_name
test_name: .asciz "exceptions"
    .balign 16
step_count:     .quad 0
step_rips:      .fill 8, 8, 0
step_flags:     .fill 8, 8, 0
watched:        .quad 0
short_idt:      .word 0x1ff
                .quad idt
control_word:   .word 0x37b /* divide by zero unmasked */
mxcsr_divide:   .long 0x1d80
mxcsr_default:  .long 0x1f80

    .text
    .globl test_main
test_main:
    call faults
    call traps
    call frame
    call stacks
    call double_fault
    call table
    call single_step
    call debug_registers
    call stack_shadow
    ret

faults:
    xor %ecx, %ecx
    mov $5, %eax
    mov $6, %edx
    FAULTS(0, 0, div %ecx)
    EXPECT(%rax, $5)
    EXPECT(%rdx, $6)
    mov $2, %ecx
    mov $2, %edx /* the quotient has 33 bits */
    FAULTS(0, 0, div %ecx)
    mov $-1, %ecx
    mov $0x80000000, %eax
    mov $0xffffffff, %edx
    FAULTS(0, 0, idiv %ecx)
    mov $0x8000000000000000, %rax
    cqto
    mov $-1, %rcx
    FAULTS(0, 0, idiv %rcx)
    mov $0x100, %eax
    mov $1, %ecx
    FAULTS(0, 0, div %cl)
    FAULTS(6, 0, ud2)
    FAULTS(6, 0, .byte 0x0f, 0xb9, 0xc0) /* UD1 */
    FAULTS(6, 0, .byte 0x06)             /* PUSH ES: not in 64-bit code */
    FAULTS(6, 0, .byte 0x37)             /* AAA */
    FAULTS(6, 0, .byte 0x62, 0x00, 0xf8) /* BOUND of old, EVEX of today: neither */
    FAULTS(6, 0, .byte 0xf0, 0x90)       /* LOCK NOP */
    FAULTS(6, 0, .byte 0xf0, 0x01, 0xc8) /* LOCK ADD to a register */
    leave_out_on_tcg "LOCK MOV", 1f
    FAULTS(6, 0, .byte 0xf0, 0x8b, 0x00)
1:
    FAULTS(6, 0, .byte 0x8e, 0xc8)       /* MOV to CS */
    FAULTS(6, 0, .byte 0x0f, 0x20, 0xc8) /* MOV from CR1 */
    FAULTS(6, 0, .byte 0x8d, 0xc0)       /* LEA of a register */
    /* #NM: TS for x87 and SSE, EM for x87 */
    mov %cr0, %rbx
    mov %rbx, %rax
    or $CR0_TS, %rax
    mov %rax, %cr0
    FAULTS(7, 0, fnop)
    mov %cr4, %rax
    or $0x600, %rax /* OSFXSR, OSXMMEXCPT */
    mov %rax, %cr4
    FAULTS(7, 0, movaps %xmm0, %xmm1)
    FAULTS(7, 0, fwait) /* with MP */
    clts
    fnop
    movaps %xmm0, %xmm1
    mov %rbx, %rax
    or $CR0_EM, %rax
    mov %rax, %cr0
    FAULTS(7, 0, fninit)
    FAULTS(6, 0, movaps %xmm0, %xmm1)
    mov %rbx, %cr0
    /* #GP: alignment of SSE, selectors, MSRs, reserved bits of control registers */
    mov $step_rips + 1, %edx
    FAULTS(13, 0, movaps (%rdx), %xmm0)
    mov $0x100, %eax
    FAULTS(13, 0x100, mov %eax, %ds)
    mov $SEL_CODE64, %eax
    FAULTS(13, SEL_CODE64, mov %eax, %ss)
    xor %eax, %eax
    leave_out_on_tcg "MSRs that are unknown, and addresses in MSRs that are not canonical", 1f
    mov $0xdeadbeef, %ecx
    FAULTS(13, 0, rdmsr)
    mov $MSR_LSTAR, %ecx
    mov $0x8000, %edx
    FAULTS(13, 0, wrmsr)
1:
    /* #NP and #SS of selectors that are not present */
    movabs $0x00cf13000000ffff, %rax
    mov %rax, gdt + SEL_FREE
    mov $SEL_FREE, %eax
    FAULTS(11, SEL_FREE, mov %eax, %ds)
    FAULTS(12, SEL_FREE, mov %eax, %ss)
    /* #MF waits for the next x87 instruction */
    mov %cr0, %rax
    or $CR0_NE, %rax
    mov %rax, %cr0
    fninit
    fldcw control_word
    fld1
    fldz
    fdivrp
    FAULTS(16, 0, fwait)
    fnclex
    fninit
    leave_out_on_tcg "#XM", 1f
    ldmxcsr mxcsr_divide
    mov $1, %eax
    cvtsi2ss %eax, %xmm0
    xorps %xmm1, %xmm1
    FAULTS(19, 0, divss %xmm1, %xmm0)
    ldmxcsr mxcsr_default
1:  ret

/* Traps leave rip behind the instruction. INT n of a vector with an error code pushes none: the stub for such
 * vectors would take the frame for one, so these have a handler here. */
traps:
    TRAPS(3, 0, int3)
    TRAPS(3, 0, int $3)
    TRAPS(0x80, 0, int $0x80)
    TRAPS(0xff, 0, int $0xff)
    leave_out_on_tcg "INT1 as a trap", 1f
    TRAPS(1, 0, .byte 0xf1)
1:
    set_gate 13, int13
    xor %eax, %eax
    int $13
    reset_gate 13
    EXPECT(%rax, $13)
    ret
int13:
    mov $13, %eax
    iretq

/* The frame: stack aligned to 16, rsp and flags of before, RF set for a fault; IF goes with an interrupt gate only. */
frame:
    set_gate 6, frame_handler, GATE_TRAP
    call fault_with_odd_stack
    mov %r11, %rax
    and $(IF | CF), %eax
    EXPECT(%rax, $(IF | CF))
    set_gate 6, frame_handler, GATE_INTERRUPT
    call fault_with_odd_stack
    mov %r11, %rax
    and $(IF | CF), %eax
    EXPECT(%rax, $CF)
    reset_gate 6
    ret
fault_with_odd_stack:
    mov %rsp, %rbp
    sub $3, %rsp
    mov %rsp, %rbx
    stc
    sti
    nop
    ud2
frame_next:
    mov %rsp, %rdx
    pushfq
    pop %rcx
    mov %rbp, %rsp
    cli
    EXPECT(%rdx, %rbx)
    and $(IF | CF), %ecx
    EXPECT(%rcx, $(IF | CF))
    EXPECT(%r9, %rbx)
    and $-16, %rbx
    sub $40, %rbx
    EXPECT(%r8, %rbx)
    mov on_tcg, %rax /* QEMU 7.2's TCG leaves RF clear */
    shl $16, %rax
    or %rax, %r10
    and $(0x10000 | IF | CF), %r10
    EXPECT(%r10, $(0x10000 | IF | CF))
    EXPECT(%r12, $SEL_DATA)
    EXPECT(%r13, $SEL_CODE64)
    ret
frame_handler:
    mov %rsp, %r8
    pushfq
    pop %r11
    mov 8(%rsp), %r13
    mov 16(%rsp), %r10
    mov 24(%rsp), %r9
    mov 32(%rsp), %r12
    movq $frame_next, (%rsp)
    iretq

/* Which stack: the same, that of the interrupt stack table, or that of ring 0. */
stacks:
    reset_gate 3, (GATE_INTERRUPT | GATE_USER)
    mov %rsp, %rbx
    TRAPS(3, 0, int3)
    EXPECT(exc_rsp, %rbx)
    and $-16, %rbx
    sub $56, %rbx
    EXPECT(exc_frame, %rbx)
    movq $ist2_stack_top, tss + TSS_IST1 + 8
    reset_gate 3, (GATE_INTERRUPT | GATE_USER), 2
    mov %rsp, %rbx
    TRAPS(3, 0, int3)
    EXPECT(exc_rsp, %rbx)
    EXPECT(exc_frame, $(ist2_stack_top - 56))
    ARM(1f)
    enter_ring3 2f
2:  int3
1:  EXPECT(exc_frame, $(ist2_stack_top - 56))
    reset_gate 3, (GATE_INTERRUPT | GATE_USER)
    ARM(1f)
    enter_ring3 2f
2:  int3
1:  EXPECT(exc_frame, $(ring0_stack_top - 56))
    EXPECT(exc_rsp, $user_stack_top)
    EXPECT(exc_ss, $SEL_USER_DATA)
    EXPECT(exc_cs, $SEL_USER_CODE64)
    /* interrupt stacks serve NULL and other SS of before as well */
    xor %eax, %eax
    mov %eax, %ss
    TRAPS(3, 0, int3)
    EXPECT(exc_ss, $0)
    ret

/* Faults while an exception is delivered: in turn when the first is benign, else a double fault. */
double_fault:
    movq $ist1_stack_top, tss + TSS_IST1
    movq $0, ist1_stack_top - 8 /* QEMU's SVM forgets the first fault if KVM has yet to map this */
    reset_gate 8, GATE_INTERRUPT, 1
    reset_gate 6, 0x0e /* not present */
    ARM(1f)
    ud2
1:  EXPECT(exc_vector, $11)
    mov on_tcg, %rax /* QEMU 7.2's TCG leaves EXT clear */
    or %rax, exc_error
    EXPECT_IDT_ERROR(6, 3)
    reset_gate 6
    reset_gate 13, 0x0e
    mov $0x100, %eax
    ARM(1f)
    mov %eax, %ds
1:  EXPECT(exc_vector, $8)
    EXPECT(exc_error, $0)
    EXPECT(exc_frame, $(ist1_stack_top - 56))
    reset_gate 13
    reset_gate 14, 0x0e
    movabs $0x7f0000000000, %rbx
    ARM(1f)
    mov (%rbx), %rax
1:  EXPECT(exc_vector, $8)
    EXPECT(exc_error, $0)
    EXPECT(exc_cr2, %rbx)
    reset_gate 14
    ret

/* Gates: beyond the limit, absent, of no known type, into something that is not 64-bit code; DPL for INT n. */
table:
    lidt short_idt
    INT_FAULTS(13, 0x80)
    lidt idt_pointer
    reset_gate 0x81, 0x0e
    INT_FAULTS(11, 0x81)
    reset_gate 0x81, 0x80
    INT_FAULTS(13, 0x81)
    reset_gate 0x81
    movw $0, idt + 0x81 * 16 + 2
    FAULTS(13, 0, int $0x81)
    movw $SEL_DATA, idt + 0x81 * 16 + 2
    FAULTS(13, SEL_DATA, int $0x81)
    movw $SEL_CODE32, idt + 0x81 * 16 + 2
    FAULTS(13, SEL_CODE32, int $0x81)
    reset_gate 0x81
    TRAPS(0x81, 0, int $0x81)
    ARM(1f)
    enter_ring3 2f
2:  int $0x81
1:  EXPECT(exc_vector, $13)
    EXPECT_IDT_ERROR(0x81, 2)
    EXPECT(exc_rip, $2b)
    ret

/* TF: a trap after each instruction and each round of a repeated one; INT n clears it, POPF starts after the next. */
single_step:
    set_gate 1, step_handler
    movq $0, step_count
    xor %eax, %eax
    mov %rax, %dr6
    mov $2, %ecx
    mov $step_rips, %esi
    mov %esi, %edi
    pushfq
    orq $TF, (%rsp)
    popfq
    nop
10: inc %eax
11: rep lodsb
12: jmp 13f
    nop
13: nop
14: nop
    reset_gate 1
    EXPECT(step_count, $6)
    EXPECT(step_rips, $10b)
    EXPECT(step_rips + 8, $11b)
    EXPECT(step_rips + 16, $11b)
    leave_out_on_tcg "the last round of a repeated instruction, stepped", 1f /* one too many with -icount */
    EXPECT(step_rips + 24, $12b)
    EXPECT(step_rips + 32, $13b)
    EXPECT(step_rips + 40, $14b)
    /* RF is set between two rounds alone */
    EXPECT(step_flags + 8, $0)
    EXPECT(step_flags + 16, $0x10000)
    EXPECT(step_flags + 24, $0)
1:  mov %dr6, %rax
    and $0x400f, %eax
    EXPECT(%rax, $0x4000)
    ret
step_handler:
    push %rax
    push %rbx
    mov 16(%rsp), %rax
    mov step_count, %rbx
    mov %rax, step_rips(, %rbx, 8)
    mov 32(%rsp), %rax
    and $0x10000, %eax
    mov %rax, step_flags(, %rbx, 8)
    incq step_count
    cmp $5, %ebx
    jb 1f
    andq $~TF, 32(%rsp)
1:  pop %rbx
    pop %rax
    iretq

/* Breakpoints on execution are faults, on data traps. */
debug_registers:
    mov $bp_here, %eax
    mov %rax, %dr0
    mov $watched, %eax
    mov %rax, %dr1
    xor %eax, %eax
    mov %rax, %dr6
    mov $(0x400 | 1 | 4 | 1 << 20 | 3 << 22), %eax /* DR0: execution; DR1: writes of 4 bytes */
    mov %rax, %dr7
    ARM(1f)
    xor %ecx, %ecx
bp_here:
    inc %ecx
    jmp no_exception
1:  EXPECT(exc_vector, $1)
    EXPECT(exc_rip, $bp_here)
    EXPECT(%rcx, $0)
    mov %dr6, %rax
    and $0x400f, %eax
    EXPECT(%rax, $1)
    xor %eax, %eax
    mov %rax, %dr6
    mov watched, %rax /* reads do not count */
    movb $1, watched + 4
    TRAPS(1, 0, movb $1, watched + 3)
    mov %dr6, %rax
    and $0x400f, %eax
    EXPECT(%rax, $2)
    xor %eax, %eax
    mov %rax, %dr7
    movb $1, watched
    /* DR4 and DR5 are names of DR6 and DR7 unless CR4.DE is set */
    mov %dr4, %rdx
    mov %dr6, %rax
    EXPECT(%rdx, %rax)
    mov %cr4, %rax
    or $8, %rax
    mov %rax, %cr4
    FAULTS(6, 0, mov %dr4, %rdx)
    mov %cr4, %rax
    and $~8, %rax
    mov %rax, %cr4
    ret

/* MOV SS keeps #DB off until the next instruction is through: of a step it is lost, of a watched access it comes then. */
stack_shadow:
    leave_out_on_tcg "MOV SS and #DB", 99f
    mov $SEL_DATA, %eax
    movq $SEL_DATA, watched
    mov $watched, %ecx
    mov %rcx, %dr1
    mov $(0x400 | 4 | 3 << 20 | 1 << 22), %ecx /* DR1: reads and writes of 2 bytes */
    mov %rcx, %dr7
    ARM(1f)
    mov watched, %ss
    nop
2:  jmp no_exception
1:  EXPECT(exc_vector, $1)
    EXPECT(exc_rip, $2b)
    xor %ecx, %ecx
    mov %rcx, %dr7
    ARM(1f)
    pushfq
    orq $TF, (%rsp)
    popfq
    mov %eax, %ss /* would be the first to be told of */
    nop
2:  jmp no_exception
1:  EXPECT(exc_vector, $1)
    EXPECT(exc_rip, $2b)
99: ret

    .section .note.GNU-stack, "", @progbits
