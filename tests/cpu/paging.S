/* Paging in long mode: four levels, 4 KiB, 2 MiB and 1 GiB pages, accessed and dirty bits, rights at every level, no-execute,
 * write protect, reserved bits, error codes, CR2, INVLPG, and accesses across pages.
 *
 * The program's own tables hang below entry 1 of the boot PML4: linear addresses from WINDOW on. */
#include "lib.inc"

#define WINDOW     0x8000000000
#define WINDOW_2M  (WINDOW + 0x200000)
#define WINDOW_1G  (WINDOW + 0x40000000)
#define UNCANONICAL 0x800000000000

/* error codes of #PF */
#define E_P 1
#define E_W 2
#define E_U 4
#define E_R 8
#define E_I 16

#define ALL (PTE_P | PTE_W | PTE_U)

/* FAULTS for a reserved bit. QEMU 7.2's TCG forgets E_P, which is the value of on_tcg there. */
#define RESERVED(error, ...)                                                                       \
    arm 9f, __LINE__;                                                                              \
    8: __VA_ARGS__;                                                                                \
    jmp no_exception;                                                                              \
    9: mov on_tcg, %rdi;                                                                           \
    or %rdi, exc_error;                                                                            \
    expect exc_rip, $8b, __LINE__;                                                                 \
    expect exc_vector, $14, __LINE__;                                                              \
    expect exc_error, $(error), __LINE__

    .data
    .globl test_name
test_name: .asciz "paging"

    .bss
    .balign 4096
pdpt:  .skip 4096
pd:    .skip 4096
pt:    .skip 4096
page0: .skip 4096
page1: .skip 4096
page2: .skip 4096

    .text
/* Entry `index` of `table` = `value` (a register or 32-bit immediate), and forget the translation of `address`. */
.macro map table, index, value, address
    mov \value, %rax
    mov %rax, \table + 8 * \index
    mov $\address, %rdi
    invlpg (%rdi)
.endm

    .globl test_main
test_main:
    movq $(pdpt + ALL), boot_pml4 + 8
    movq $(pd + ALL), pdpt
    movq $(pt + ALL), pd
    mov %cr0, %rax
    or $CR0_WP, %eax
    mov %rax, %cr0
    call translation
    call not_present
    call write_protect
    call user_rights
    call execution
    call reserved_bits
    call large_pages
    call two_pages
    call canonical
    ret

/* What is mapped is what is read; A and D are set when due. */
translation:
    movq $0x1234567, page0
    movq $0x89abcde, page1
    map pt, 0, $(page0 + ALL), WINDOW
    map pt, 1, $(page1 + ALL), (WINDOW + 0x1000)
    mov $WINDOW, %rbx
    mov (%rbx), %rcx
    EXPECT(%rcx, $0x1234567)
    mov 0x1000(%rbx), %rcx
    EXPECT(%rcx, $0x89abcde)
    mov pt, %rcx
    and $(PTE_A | PTE_D), %ecx
    EXPECT(%rcx, $PTE_A)
    mov pd, %rcx
    and $(PTE_A | PTE_D), %ecx
    EXPECT(%rcx, $PTE_A)
    mov boot_pml4 + 8, %rcx
    and $PTE_A, %ecx
    EXPECT(%rcx, $PTE_A)
    movq $5, 8(%rbx)
    mov pt, %rcx
    and $(PTE_A | PTE_D), %ecx
    EXPECT(%rcx, $(PTE_A | PTE_D))
    EXPECT(page0 + 8, $5)
    mov pt + 8, %rcx
    and $PTE_D, %ecx
    EXPECT(%rcx, $0)
    /* two pages trade places */
    map pt, 0, $(page1 + ALL), WINDOW
    mov (%rbx), %rcx
    EXPECT(%rcx, $0x89abcde)
    /* all translations go with CR3 */
    movq $(page0 + ALL), pt
    mov %cr3, %rax
    mov %rax, %cr3
    mov (%rbx), %rcx
    EXPECT(%rcx, $0x1234567)
    ret

/* #PF of absent pages at each level, and what is left when an instruction faults. */
not_present:
    map pt, 0, $page0, WINDOW
    mov $WINDOW, %rbx
    mov $77, %ecx
    FAULTS(14, 0, mov 0x123(%rbx), %rcx)
    EXPECT(exc_cr2, $(WINDOW + 0x123))
    EXPECT(%rcx, $77)
    FAULTS(14, E_W, movb $1, 0xfff(%rbx))
    EXPECT(exc_cr2, $(WINDOW + 0xfff))
    leave_out_on_tcg "read-modify-write faults as a write", 1f
    FAULTS(14, E_W, addq $1, 8(%rbx))
1:
    map pd, 0, $pt, WINDOW
    FAULTS(14, 0, mov (%rbx), %rcx)
    map pd, 0, $(pt + ALL), WINDOW
    map pdpt, 0, $pd, WINDOW
    FAULTS(14, 0, mov (%rbx), %rcx)
    map pdpt, 0, $(pd + ALL), WINDOW
    mov $(2 * WINDOW), %rdx
    FAULTS(14, E_W, mov %rcx, (%rdx))
    EXPECT(exc_cr2, $(2 * WINDOW))
    /* a push to an absent page leaves rsp; the handler has a stack of its own */
    movq $ist1_stack_top, tss + TSS_IST1
    reset_gate 14, GATE_INTERRUPT, 1
    ARM(1f)
    lea 0x80(%rbx), %rsp
    push %rcx
    jmp no_exception
1:  reset_gate 14
    EXPECT(exc_vector, $14)
    EXPECT(exc_error, $E_W)
    EXPECT(exc_rsp, $(WINDOW + 0x80))
    EXPECT(exc_cr2, $(WINDOW + 0x78))
    /* and so does a pop to one */
    pushq $5
    mov %rsp, %rbp
    FAULTS(14, E_W, popq (%rbx))
    EXPECT(exc_rsp, %rbp)
    pop %rax
    map pt, 0, $(page0 + ALL), WINDOW
    mov (%rbx), %rcx
    ret

/* Supervisor writes to read-only pages: a fault with CR0.WP, else done. Rights are the least of all levels. */
write_protect:
    mov $WINDOW, %rbx
    map pt, 0, $(page0 + PTE_P), WINDOW
    mov (%rbx), %rcx
    FAULTS(14, (E_P | E_W), movl $1, 4(%rbx))
    EXPECT(exc_cr2, $(WINDOW + 4))
    mov $1, %eax
    FAULTS(14, (E_P | E_W), cmpxchg %ecx, (%rbx)) /* writes even when they differ */
    mov pt, %rcx
    and $PTE_D, %ecx
    EXPECT(%rcx, $0)
    map pt, 0, $(page0 + ALL), WINDOW
    map pd, 0, $(pt + PTE_P + PTE_U), WINDOW
    FAULTS(14, (E_P | E_W), movl $1, 4(%rbx))
    mov %cr0, %rax
    and $~CR0_WP, %rax
    mov %rax, %cr0
    movl $0x4321, 4(%rbx)
    mov page0 + 4, %eax
    EXPECT(%rax, $0x4321)
    mov %cr0, %rax
    or $CR0_WP, %rax
    mov %rax, %cr0
    FAULTS(14, (E_P | E_W), movl $1, 4(%rbx))
    map pd, 0, $(pt + ALL), WINDOW
    movl $1, 4(%rbx)
    ret

/* Ring 3 and supervisor pages. */
user_rights:
    reset_gate 3, (GATE_INTERRUPT | GATE_USER)
    mov $WINDOW, %rbx
    map pt, 0, $(page0 + PTE_P + PTE_W), WINDOW
    call user_read
    EXPECT(exc_error, $(E_P | E_U))
    call user_write
    EXPECT(exc_error, $(E_P | E_U | E_W))
    map pt, 0, $(page0 + PTE_P + PTE_U), WINDOW
    call user_write
    EXPECT(exc_error, $(E_P | E_U | E_W))
    map pt, 0, $0, WINDOW
    call user_read
    EXPECT(exc_error, $E_U)
    map pt, 0, $(page0 + ALL), WINDOW
    map pd, 0, $(pt + PTE_P + PTE_W), WINDOW
    call user_read
    EXPECT(exc_error, $(E_P | E_U))
    map pd, 0, $(pt + ALL), WINDOW
    movq $0x99, page0
    call user_read /* works: ends in the INT3 behind */
    EXPECT(exc_vector, $3)
    EXPECT(%rcx, $0x99)
    /* pages for supervisors are no place for user code */
    map pt, 0, $(page0 + PTE_P + PTE_W), WINDOW
    mov $WINDOW, %rdx
    ARM(1f)
    enter_ring3 2f
2:  jmp *%rdx
1:  EXPECT(exc_rip, $WINDOW)
    mov exc_error, %rax
    and $~E_I, %rax /* set only where NXE is */
    EXPECT(%rax, $(E_P | E_U))
    ret
user_read:
    pop %rsi
    ARM(1f)
    enter_ring3 2f
2:  mov (%rbx), %rcx
    int3
1:  jmp *%rsi
user_write:
    pop %rsi
    ARM(1f)
    enter_ring3 2f
2:  mov %rcx, (%rbx)
    int3
1:  EXPECT(exc_cr2, %rbx)
    jmp *%rsi

/* No-execute: reserved while EFER.NXE is clear. */
execution:
    mov $0x80000001, %eax
    cpuid
    bt $20, %edx
    jnc 99f
    mov $WINDOW, %rbx
    movb $0xc3, page0 /* RET */
    mov $(page0 + ALL), %rsi
    bts $63, %rsi
    map pt, 0, %rsi, WINDOW
    mov $MSR_EFER, %ecx
    rdmsr
    and $~EFER_NXE, %eax
    wrmsr
    RESERVED((E_P | E_R), mov (%rbx), %rcx)
    mov $MSR_EFER, %ecx
    rdmsr
    or $EFER_NXE, %eax
    wrmsr
    invlpg (%rbx)
    mov (%rbx), %rcx
    ARM(1f)
    jmp *%rbx
1:  EXPECT(exc_vector, $14)
    EXPECT(exc_error, $(E_P | E_I))
    EXPECT(exc_rip, %rbx)
    EXPECT(exc_cr2, %rbx)
    map pt, 0, $(page0 + ALL), WINDOW
    call *%rbx
    /* in an upper level it covers all below */
    mov $(pt + ALL), %rsi
    bts $63, %rsi
    map pd, 0, %rsi, WINDOW
    ARM(1f)
    jmp *%rbx
1:  EXPECT(exc_error, $(E_P | E_I))
    map pd, 0, $(pt + ALL), WINDOW
    /* fetches from absent pages say that they are fetches */
    map pt, 0, $0, WINDOW
    ARM(1f)
    jmp *%rbx
1:  EXPECT(exc_error, $E_I)
    EXPECT(exc_rip, %rbx)
    /* an instruction that runs over into a page that may not be executed */
    map pt, 0, $(page0 + ALL), WINDOW
    mov $(page1 + ALL), %rsi
    bts $63, %rsi
    map pt, 1, %rsi, (WINDOW + 0x1000)
    movb $0xb8, page0 + 0xffd /* MOV imm32, EAX */
    lea 0xffd(%rbx), %rdx
    ARM(1f)
    jmp *%rdx
1:  EXPECT(exc_error, $(E_P | E_I))
    EXPECT(exc_rip, %rdx)
    EXPECT(exc_cr2, $(WINDOW + 0x1000))
99: ret

/* Reserved bits fault with RSVD, whatever the access. */
reserved_bits:
    mov $0x80000008, %eax
    cpuid
    mov $WINDOW, %rbx
    movzbl %al, %ecx
    cmp $51, %ecx
    ja 1f
    mov $(page0 + ALL), %rsi
    bts %rcx, %rsi /* the lowest address bit beyond MAXPHYADDR */
    map pt, 0, %rsi, WINDOW
    RESERVED((E_P | E_R), mov (%rbx), %rax)
    RESERVED((E_P | E_R | E_W), mov %rax, (%rbx))
1:  map pt, 0, $(page0 + ALL), WINDOW
    map boot_pml4, 1, $(pdpt + ALL + PTE_PS), WINDOW
    RESERVED((E_P | E_R), mov (%rbx), %rax)
    map boot_pml4, 1, $(pdpt + ALL), WINDOW
    map pd, 1, $(0x200000 + 0x2000 + PTE_PS + ALL), WINDOW_2M /* bits 13 to 20 */
    mov $WINDOW_2M, %rdx
    RESERVED((E_P | E_R), mov (%rdx), %rax)
    ret

/* 2 MiB pages, and 1 GiB pages where CPUID tells of them. */
large_pages:
    map pd, 1, $(ALL + PTE_PS), WINDOW_2M /* physical 0 */
    mov $WINDOW_2M, %rbx
    lea page2(%rbx), %rdx
    movq $0x2020, page2
    mov (%rdx), %rcx
    EXPECT(%rcx, $0x2020)
    mov pd + 8, %rax
    and $(PTE_A | PTE_D), %eax
    EXPECT(%rax, $PTE_A)
    movq $0x2021, (%rdx)
    EXPECT(page2, $0x2021)
    mov pd + 8, %rax
    and $(PTE_A | PTE_D), %eax
    EXPECT(%rax, $(PTE_A | PTE_D))
    map pd, 1, $(PTE_P + PTE_PS), WINDOW_2M
    FAULTS(14, (E_P | E_W), mov %rcx, (%rdx))
    EXPECT(exc_cr2, %rdx)
    mov $0x80000001, %eax
    cpuid
    bt $26, %edx
    jnc 99f
    map pdpt, 1, $(ALL + PTE_PS), WINDOW_1G
    movabs $(WINDOW_1G + page2), %rdx
    mov (%rdx), %rcx
    EXPECT(%rcx, $0x2021)
    movq $0x1010, (%rdx)
    EXPECT(page2, $0x1010)
    mov pdpt + 8, %rax
    and $(PTE_A | PTE_D), %eax
    EXPECT(%rax, $(PTE_A | PTE_D))
    map pdpt, 1, $(ALL + PTE_PS + 0x2000), WINDOW_1G
    RESERVED((E_P | E_R), mov (%rdx), %rcx)
99: ret

/* Accesses that cross into another page: to where each half is mapped, or not at all. */
two_pages:
    mov $WINDOW, %rbx
    map pt, 0, $(page2 + ALL), WINDOW
    map pt, 1, $(page0 + ALL), (WINDOW + 0x1000)
    mov $0x1122334455667788, %rcx
    mov %rcx, 0xffc(%rbx)
    mov page2 + 0xffc, %eax
    EXPECT(%rax, $0x55667788)
    mov page0, %eax
    EXPECT(%rax, $0x11223344)
    mov 0xffc(%rbx), %rdx
    EXPECT(%rdx, %rcx)
    map pt, 1, $0, (WINDOW + 0x1000)
    xor %ecx, %ecx
    FAULTS(14, E_W, mov %rcx, 0xffc(%rbx))
    EXPECT(exc_cr2, $(WINDOW + 0x1000))
    mov page2 + 0xffc, %eax
    EXPECT(%rax, $0x55667788)
    mov $3, %edx
    FAULTS(14, 0, mov 0xfff(%rbx), %dx)
    EXPECT(%rdx, $3)
    ret

/* Addresses that are not sign-extended from bit 47: #GP, or #SS through the stack. */
canonical:
    mov $UNCANONICAL, %rbx
    FAULTS(13, 0, mov (%rbx), %rax)
    FAULTS(13, 0, mov %rax, (%rbx))
    mov $-1, %rdx
    FAULTS(14, 0, movb (%rdx), %al)
    EXPECT(exc_cr2, $-1)
    leave_out_on_tcg "a jump to an address that is not canonical faults at the jump", 1f
    FAULTS(13, 0, jmp *%rbx)
1:  leave_out_on_tcg "#SS for such an address through rbp", 1f
    mov %rbx, %rbp
    FAULTS(12, 0, mov 0(%rbp), %rax)
    /* the stack's instructions, with a stack for the exception */
    movq $ist1_stack_top, tss + TSS_IST1
    reset_gate 12, GATE_INTERRUPT, 1
    reset_gate 13, GATE_INTERRUPT, 1
#define STACK_FAULTS(...)                                                                          \
    ARM(9f);                                                                                       \
    btc $63, %rsp;                                                                                 \
    8: __VA_ARGS__;                                                                                \
    9: EXPECT(exc_vector, $12);                                                                    \
    EXPECT(exc_error, $0);                                                                         \
    EXPECT(exc_rip, $8b)
    leave_out_on_tcg "#SS of the stack's instructions", 10f
    STACK_FAULTS(push %rax)
    STACK_FAULTS(push $1)
    STACK_FAULTS(pop %rax)
    STACK_FAULTS(ret)
    STACK_FAULTS(call test_main)
    STACK_FAULTS(pushfq)
    STACK_FAULTS(iretq)
    STACK_FAULTS(push test_name)
10: reset_gate 12
    reset_gate 13
1:  ret

    .section .note.GNU-stack, "", @progbits
