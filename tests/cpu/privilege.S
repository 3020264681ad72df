/* Rings: instructions that ring 3 may not use, SYSCALL and SYSRET, SYSENTER and SYSEXIT, call gates, IRET and RET far
 * in their forms, SWAPGS, the I/O permission map, and loading of segments across rings. */
#include "lib.inc"

    .data
    .globl test_name
test_name:  .asciz "privilege"
    .balign 8
call_gate:  .long 0
            .word SEL_FREE + 3
    .balign 8
saved_rsp:  .quad 0
seen_rsp:   .quad 0
seen_cs:    .quad 0
gs_one:     .quad 0x1111
gs_two:     .quad 0x2222

/* In ring 3 `...` must raise #GP(0). */
#define PRIVILEGED(...)                                                                            \
    ARM(9f);                                                                                       \
    enter_ring3 8f;                                                                                \
    8: __VA_ARGS__;                                                                                \
    int3;                                                                                          \
    9: EXPECT(exc_vector, $13);                                                                    \
    EXPECT(exc_error, $0);                                                                         \
    EXPECT(exc_rip, $8b);                                                                          \
    EXPECT(exc_cs, $SEL_USER_CODE64)

    .text
    .globl test_main
test_main:
    reset_gate 3, (GATE_INTERRUPT | GATE_USER)
    call privileged
    call io_map
    call system_call
    call system_enter
    call gates
    call returns
    call swap_gs
    ret

privileged:
    PRIVILEGED(hlt)
    PRIVILEGED(cli)
    PRIVILEGED(sti)
    PRIVILEGED(in $0x80, %al)
    PRIVILEGED(out %al, $0x80)
    PRIVILEGED(clts)
    PRIVILEGED(mov %cr0, %rax)
    PRIVILEGED(mov %rax, %cr3)
    PRIVILEGED(mov %rax, %dr0)
    PRIVILEGED(lgdt gdt_pointer)
    PRIVILEGED(lidt idt_pointer)
    PRIVILEGED(ltr %ax)
    PRIVILEGED(lldt %ax)
    PRIVILEGED(lmsw %ax)
    PRIVILEGED(invlpg (%rax))
    PRIVILEGED(wbinvd)
    PRIVILEGED(rdmsr)
    PRIVILEGED(wrmsr)
    PRIVILEGED(swapgs)
    mov %cr4, %rax
    or $CR4_TSD, %rax
    mov %rax, %cr4
    PRIVILEGED(rdtsc)
    mov %cr4, %rax
    and $~CR4_TSD, %rax
    mov %rax, %cr4
    ARM(1f)
    enter_ring3 2f, flags=(IF | 2)
    /* POPF leaves IF and IOPL alone here */
2:  pushq $0x3000
    popfq
    pushfq
    pop %rcx
    int3
1:  EXPECT(exc_vector, $3)
    and $(IF | 0x3000), %ecx
    EXPECT(%rcx, $IF)
    ret

/* IOPL, then the map of the task state segment: a clear bit for each byte touched, within the limit. */
io_map:
    ARM(1f)
    enter_ring3 2f, flags=0x3002
2:  in $0x80, %al
    int3
1:  EXPECT(exc_vector, $3)
    movw $0x68 + 0x20, gdt + SEL_TSS /* ports 0 to 0xff */
    andb $~2, gdt + SEL_TSS + 5      /* not busy */
    mov $SEL_TSS, %eax
    ltr %ax
    movb $0xfe, tss + 0x68 + 0x10 /* port 0x80 alone */
    movb $0xff, tss + 0x68 + 0x20
    ARM(1f)
    enter_ring3 2f
2:  in $0x80, %al
    int3
1:  EXPECT(exc_vector, $3)
    PRIVILEGED(in $0x81, %al)
    PRIVILEGED(in $0x80, %ax)
    mov $0x100, %edx
    PRIVILEGED(in %dx, %al)
    ret

/* SYSCALL saves rip and flags in rcx and r11, masks flags, changes no stack; SYSRET is its way back. */
system_call:
    write_msr MSR_STAR, 0, ((SEL_USER_CODE32 << 16) | SEL_CODE64)
    write_msr MSR_LSTAR, 1f
    write_msr MSR_FMASK, (CF | DF | TF)
    FAULTS(6, 0, syscall)
    read_msr MSR_EFER
    or $EFER_SCE, %eax
    xor %edx, %edx
    wrmsr
    mov %rsp, saved_rsp
    enter_ring3 2f
2:  stc
    std
    syscall
3:  EXPECT(%rax, $77)
    EXPECT_FLAGS(CF | DF, CF)
    int3
1:  pushfq
    pop %rdx
    mov %rsp, seen_rsp
    mov saved_rsp, %rsp
    and $(CF | DF), %edx
    EXPECT(%rdx, $0)
    EXPECT(seen_rsp, $user_stack_top)
    EXPECT(%rcx, $3b)
    mov %r11, %rdx
    and $(CF | DF), %edx
    EXPECT(%rdx, $(CF | DF))
    mov %cs, %edx
    EXPECT(%rdx, $SEL_CODE64)
    mov %ss, %edx
    EXPECT(%rdx, $SEL_DATA)
    mov $77, %eax
    mov $(CF | 2), %r11d
    ARM(4f)
    mov $user_stack_top, %esp
    sysretq
4:  cld
    EXPECT(exc_vector, $3)
    EXPECT(exc_cs, $SEL_USER_CODE64)
    EXPECT(exc_ss, $SEL_USER_DATA)
    /* and to compatibility mode, where INC is 0x40 */
    mov $5f, %ecx
    mov $2, %r11d
    mov $1, %eax
    ARM(4f)
    sysretl
    .code32
5:  inc %eax
    int3
    .code64
4:  EXPECT(%rax, $2)
    EXPECT(exc_cs, $SEL_USER_CODE32)
    ret

/* SYSENTER takes rip and rsp from MSRs. AMD's processors have neither in long mode. */
system_enter:
    xor %eax, %eax
    cpuid
    cmp $0x756e6547, %ebx /* "Genu" */
    jne 99f
    write_msr MSR_SYSENTER_CS, 0
    FAULTS(13, 0, sysenter)
    write_msr MSR_SYSENTER_CS, SEL_CODE64
    write_msr MSR_SYSENTER_EIP, 1f
    write_msr MSR_SYSENTER_ESP, ring0_stack_top
    mov %rsp, saved_rsp
    enter_ring3 2f, flags=(IF | 2)
2:  sysenter
1:  pushfq
    pop %rdx
    mov %rsp, seen_rsp
    mov saved_rsp, %rsp
    and $IF, %edx
    EXPECT(%rdx, $0)
    EXPECT(seen_rsp, $ring0_stack_top)
    mov %cs, %edx
    EXPECT(%rdx, $SEL_CODE64)
    ARM(3f)
    mov $4f, %edx
    mov $user_stack_top, %ecx
    sysexitq
4:  int3
3:  EXPECT(exc_vector, $3)
    EXPECT(exc_cs, $SEL_USER_CODE64)
    EXPECT(exc_ss, $SEL_USER_DATA64)
    EXPECT(exc_rsp, $user_stack_top)
99: ret

/* A 64-bit call gate of DPL 3 to ring 0: the stack of ring 0, old ss:rsp and cs:rip on it; far return. */
gates:
    mov $1f, %eax
    mov %ax, gdt + SEL_FREE
    movw $SEL_CODE64, gdt + SEL_FREE + 2
    movw $0xec00, gdt + SEL_FREE + 4
    shr $16, %eax
    mov %ax, gdt + SEL_FREE + 6
    movq $0, gdt + SEL_FREE + 8
    mov %rsp, saved_rsp
    ARM(3f)
    enter_ring3 2f
2:  lcall *call_gate
5:  int3
1:  mov %rsp, seen_rsp
    mov %cs, seen_cs
    mov 24(%rsp), %r8
    mov 16(%rsp), %r9
    mov 8(%rsp), %r10
    mov (%rsp), %r11
    lretq
3:  EXPECT(exc_vector, $3)
    EXPECT(exc_cs, $SEL_USER_CODE64)
    EXPECT(exc_rsp, $user_stack_top)
    EXPECT(seen_rsp, $(ring0_stack_top - 32))
    EXPECT(seen_cs, $SEL_CODE64)
    EXPECT(%r8, $SEL_USER_DATA)
    EXPECT(%r9, $user_stack_top)
    EXPECT(%r10, $SEL_USER_CODE64)
    EXPECT(%r11, $5b)
    movw $0x8c00, gdt + SEL_FREE + 4 /* DPL 0: closed to ring 3 */
    ARM(3f)
    enter_ring3 2f
2:  lcall *call_gate
3:  EXPECT(exc_vector, $13)
    EXPECT(exc_error, $SEL_FREE)
    EXPECT(exc_rip, $2b)
    ret

/* IRET to the same ring takes rsp too; to ring 3 with selectors that do not fit it faults at itself. */
returns:
    mov %rsp, %rbx
    lea -64(%rbx), %rcx
    pushq $SEL_DATA
    push %rcx
    pushq $(CF | 2)
    pushq $SEL_CODE64
    pushq $1f
    iretq
1:  EXPECT_FLAGS(CF, CF)
    mov %rsp, %rdx
    EXPECT(%rdx, %rcx)
    mov %rbx, %rsp
    pushq $SEL_USER_DATA /* ring 3's stack for ring 0's code */
    push %rbx
    pushq $2
    pushq $SEL_CODE64
    pushq $1f
    FAULTS(13, (SEL_USER_DATA & ~3), iretq)
    movq $0, 8(%rsp)
    FAULTS(13, 0, iretq)
    mov %rbx, %rsp
    pushq $SEL_CODE64
    pushq $1f
    lretq
1:  mov %rsp, %rdx
    EXPECT(%rdx, %rbx)
    /* data segments of ring 0 do not go along to ring 3 */
    mov $SEL_DATA, %eax
    mov %eax, %es
    mov $SEL_USER_DATA, %eax
    mov %eax, %ds
    ARM(1f)
    enter_ring3 2f
2:  mov %es, %ecx
    mov %ds, %edx
    int3
1:  EXPECT(%rcx, $0)
    EXPECT(%rdx, $SEL_USER_DATA)
    mov $SEL_DATA, %eax
    mov %eax, %ds
    mov %eax, %es
    ret

swap_gs:
    write_msr MSR_GS_BASE, gs_one
    write_msr MSR_KERNEL_GS, gs_two
    mov %gs:0, %rax
    EXPECT(%rax, $0x1111)
    swapgs
    mov %gs:0, %rax
    EXPECT(%rax, $0x2222)
    read_msr MSR_GS_BASE
    EXPECT(%rax, $gs_two)
    read_msr MSR_KERNEL_GS
    EXPECT(%rax, $gs_one)
    write_msr MSR_FS_BASE, 0xfffffff0, 0xffffffff
    mov %fs:gs_one + 16, %rax
    EXPECT(%rax, $0x1111)
    ret

    .section .note.GNU-stack, "", @progbits
