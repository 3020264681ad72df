/* Hardware tasks: far JMP and CALL to a TSS and through a task gate, interrupts and exceptions through task gates,
 * IRET out of nested tasks, 16-bit TSS, CR3, virtual-8086 tasks, the T flag, and faults before and after the switch.
 *
 * Everything happens in 32-bit protected mode, in the order of `expected`; the tasks note what they see. */
#include "lib.inc"

#define LOW(label) (label - low_code)

#define SEL_A       0x60 /* the main task */
#define SEL_B       0x68
#define SEL_C       0x70 /* 16 bits */
#define SEL_GATE_B  0x78
#define SEL_BAD     0x80 /* a task that something is wrong with */
#define SEL_E       0x88 /* serves faults, with their error codes */
#define SEL_V       0x90 /* virtual-8086 */
#define SEL_USER_B  0x98 /* B again, for ring 3 */
#define SEL_LDT_BAD 0xa4

#define NT 0x4000
#define WINDOW 0x40000000

    .data
    .globl test_name
test_name: .asciz "tasks"
    .balign 8
saved_rsp: .quad 0
idt32_pointer:
    .word 0x31 * 8 - 1
    .long idt32
    .balign 8
idt32:
    .fill 1, 8, 0
    .word 0, SEL_CODE32, 0x8e00, 0 /* 1: #DB */
    .fill 8, 8, 0
    .word 0, SEL_E, 0x8500, 0 /* 10: #TS */
    .word 0, SEL_E, 0x8500, 0 /* 11: #NP */
    .fill 1, 8, 0
    .word 0, SEL_CODE32, 0x8e00, 0 /* 13: #GP */
    .fill 34, 8, 0
    .word 0, SEL_B, 0x8500, 0 /* 0x30 */

expected:
    .long 0x8b                       /* LTR made A busy */
    .long 0xb1, 0xb0b0, SEL_B, 8, 0, 0x89, 0x8b /* B: its edi, TR, CR0.TS, NT, busy: A and B */
    .long 0xa1, 0x8b, 0x89, 0xa0a0   /* A again, by JMP: busy, B is not; its edi */
    .long 0xb2, NT, SEL_A, 0x8b, 0x8b /* B by CALL: NT, link, both busy */
    .long 0xa2, 0, 0x8b, 0x89        /* A by IRET: no NT, B not busy */
    .long 0xb3                       /* by a task gate */
    .long 0xa3
    .long 0xb4                       /* by INT through one */
    .long 0xa4
    .long 0xc1, SEL_C, 0x1234, NT    /* the 16-bit task: TR, dx, NT */
    .long 0xa5
    .long 13, SEL_A, 0xa6            /* JMP to itself: busy */
    .long 13, SEL_B, 0xa7              /* with RPL 3 */
    .long 0xe1, SEL_BAD, SEL_A, 0xa8 /* absent: #NP, by a task: error code, link */
    .long 0xe1, SEL_BAD, SEL_A, 0xa9 /* too short: #TS */
    .long 0xe2, SEL_LDT_BAD, SEL_BAD, 0xaa /* an LDT that is none: #TS in the new task */
    .long 0xe2, 0x108, SEL_BAD, 0xab /* CS beyond the table */
    .long 0xe2, SEL_DATA, SEL_BAD, 0xac /* data as CS */
    .long 0xe2, 0, SEL_BAD, 0xad     /* no SS */
    .long 0xe2, SEL_CODE32, SEL_BAD, 0xae /* code as SS */
    .long 0xe2, 0, SEL_BAD, 0xaf                 /* nothing is wrong: the task itself notes */
    .long 1, 0x8000, 0xb5            /* T: a #DB in the new task, before its first instruction */
    .long 0xd0
    .long 0x11, 0x22, 0x11           /* CR3 goes along: A, B, A */
    .long 13, 0, 0x20000, 0xd1       /* virtual-8086: HLT; error code, VM in the frame */
expected_end:
    .balign 8
log_at: .long log_start
resume: .long 0

    .balign 16
tss_a: .fill 104, 1, 0
tss_b: .fill 104, 1, 0
tss_c: .fill 44, 1, 0
tss_bad: .fill 104, 1, 0
tss_e: .fill 104, 1, 0
tss_v: .fill 104, 1, 0

    .bss
    .balign 4096
dir_a:  .skip 4096
dir_b:  .skip 4096
page_1: .skip 4096
page_2: .skip 4096
table_1: .skip 4096
table_2: .skip 4096
log_start: .skip 4096
    .skip 1024
stack_b:
    .skip 1024
stack_e:
    .skip 1024
stack_v0:

#define T_ESP0 4
#define T_SS0  8
#define T_CR3  28
#define T_EIP  32
#define T_EFLAGS 36
#define T_ESP  56
#define T_EDI  68
#define T_ES   72
#define T_CS   76
#define T_SS   80
#define T_DS   84
#define T_LDT  96
#define T_T    100

    .text
.macro note value
    push %eax
    mov \value, %eax
    call note_eax
    pop %eax
.endm
/* The type byte of the descriptor of a TSS. */
.macro note_type selector
    push %eax
    movzbl gdt + \selector + 5, %eax
    call note_eax
    pop %eax
.endm
/* Descriptor `selector`: a TSS of `type`. */
.macro put_tss selector, tss, type, limit=103
    mov $\tss, %eax
    movw $\limit, gdt + \selector
    mov %ax, gdt + \selector + 2
    shr $16, %eax
    mov %al, gdt + \selector + 4
    movb $\type, gdt + \selector + 5
    movb $0, gdt + \selector + 6
    mov %ah, gdt + \selector + 7
.endm
.macro put_task tss, entry, stack
    movl $\entry, \tss + T_EIP
    movl $2, \tss + T_EFLAGS
    movl $\stack, \tss + T_ESP
    movw $SEL_CODE32, \tss + T_CS
    movw $SEL_DATA, \tss + T_SS
    movw $SEL_DATA, \tss + T_DS
    movw $SEL_DATA, \tss + T_ES
    mov %cr3, %eax
    mov %eax, \tss + T_CR3
.endm

    .globl test_main
test_main:
    mov %rsp, saved_rsp
    mov $low_code, %esi
    mov $LOW_BASE, %edi
    mov $(low_end - low_code), %ecx
    rep movsb
    long_to_protected32
    put_handler 1, on_debug
    put_handler 13, on_gp
    lidt idt32_pointer
    put_tss SEL_A, tss_a, 0x89
    put_tss SEL_B, tss_b, 0x89
    put_tss SEL_C, tss_c, 0x81, 43
    put_tss SEL_E, tss_e, 0x89
    put_tss SEL_V, tss_v, 0x89
    put_tss SEL_BAD, tss_bad, 0x09
    put_tss SEL_USER_B, tss_b, 0xe9
    movl $(SEL_B << 16), gdt + SEL_GATE_B
    movl $0x8500, gdt + SEL_GATE_B + 4
    put_task tss_b, task_b, stack_b
    movl $0xb0b0, tss_b + T_EDI
    put_task tss_e, task_e, stack_e
    mov $SEL_A, %eax
    ltr %ax
    note_type SEL_A

    clts
    mov $0xa0a0, %edi
    ljmp $SEL_B, $0x12345678
    note $0xa1
    note_type SEL_A
    note_type SEL_B
    note %edi

    lcall $SEL_B, $0
    note $0xa2
    pushf
    pop %eax
    and $NT, %eax
    note %eax
    note_type SEL_A
    note_type SEL_B

    lcall $SEL_GATE_B, $0
    note $0xa3
    int $0x30
    note $0xa4

    /* 16 bits: code at LOW_BASE, data flat */
    movw $LOW(task_c), tss_c + 14
    movw $2, tss_c + 16
    movw $0x1234, tss_c + 22
    movw $0x6ff0, tss_c + 26
    movw $SEL_DATA, tss_c + 34
    movw $SEL_CODE16, tss_c + 36
    movw $SEL_DATA16, tss_c + 38
    movw $SEL_DATA, tss_c + 40
    lcall $SEL_C, $0
    note $0xa5

    movl $1f, resume
    ljmp $SEL_A, $0
1:  note $0xa6
    movl $1f, resume
    ljmp $(SEL_B + 3), $0
1:  note $0xa7

    movl $1f, resume
    lcall $SEL_BAD, $0
1:  note $0xa8
    put_tss SEL_BAD, tss_bad, 0x89, 102
    movl $1f, resume
    lcall $SEL_BAD, $0
1:  note $0xa9

    put_task tss_bad, no_task, stack_b
    put_tss SEL_BAD, tss_bad, 0x89
    movw $SEL_LDT_BAD, tss_bad + T_LDT
    ljmp $SEL_BAD, $0
    note $0xaa
    put_task tss_bad, no_task, stack_b
    movw $0, tss_bad + T_LDT
    movw $(0x108), tss_bad + T_CS
    ljmp $SEL_BAD, $0
    note $0xab
    movw $SEL_DATA, tss_bad + T_CS
    ljmp $SEL_BAD, $0
    note $0xac
    put_task tss_bad, no_task, stack_b
    movw $0, tss_bad + T_SS
    ljmp $SEL_BAD, $0
    note $0xad
    put_task tss_bad, no_task, stack_b
    movw $SEL_CODE32, tss_bad + T_SS
    ljmp $SEL_BAD, $0
    note $0xae
    put_task tss_bad, good_task, stack_b
    ljmp $SEL_BAD, $0
    note $0xaf

    cmpl $0, on_tcg /* QEMU's TCG does not know the T flag */
    je 1f
    note $1
    note $0x8000
1:  movb $1, tss_b + T_T
    lcall $SEL_B, $0
    movb $0, tss_b + T_T
    note $0xd0

    /* paging: 4 MiB one to one in both, and a page of the window that differs */
    movl $0x11, page_1
    movl $0x22, page_2
    movl $(PTE_P + PTE_W + PTE_PS), dir_a
    movl $(PTE_P + PTE_W + PTE_PS), dir_b
    movl $(table_1 + PTE_P), dir_a + (WINDOW >> 20)
    movl $(table_2 + PTE_P), dir_b + (WINDOW >> 20)
    movl $(page_1 + PTE_P), table_1
    movl $(page_2 + PTE_P), table_2
    mov $CR4_PSE, %eax
    mov %eax, %cr4
    mov $dir_a, %eax
    mov %eax, %cr3
    mov %cr3, %eax
    mov %eax, tss_a + T_CR3
    movl $dir_b, tss_b + T_CR3
    mov %cr0, %eax
    or $CR0_PG, %eax
    mov %eax, %cr0
    note WINDOW
    lcall $SEL_B, $0
    note WINDOW
    mov %cr0, %eax
    and $~CR0_PG, %eax
    mov %eax, %cr0

    put_task tss_v, LOW(task_v), 0x6ff0
    movl $0x20002, tss_v + T_EFLAGS
    movw $(LOW_BASE >> 4), tss_v + T_CS
    movw $(LOW_BASE >> 4), tss_v + T_SS
    movl $stack_v0, tss_v + T_ESP0
    movw $SEL_DATA, tss_v + T_SS0
    movl $back_from_v, resume
    ljmp $SEL_V, $0
    note $0xd1

    /* back to long mode, and what was noted */
    movw $SEL_TSS, %ax
    mov saved_rsp, %esp
    protected32_to_long
    lidt idt_pointer
    xor %ebx, %ebx
1:  mov log_start(, %rbx, 4), %eax
    mov expected(, %rbx, 4), %edx
    mov %ebx, %edi
    mov %rbx, %rsi
    cmp %rdx, %rax
    jne check_failed
    inc %ebx
    cmp $((expected_end - expected) / 4), %ebx
    jb 1b
    mov log_at, %eax
    EXPECT(%rax, $(log_start + (expected_end - expected)))
    ret
    .code32

note_eax:
    push %edi
    mov log_at, %edi
    mov %eax, (%edi)
    addl $4, log_at
    pop %edi
    ret

task_b:
    note $0xb1
    note %edi
    xor %eax, %eax
    str %ax
    note %eax
    mov %cr0, %eax
    and $CR0_TS, %eax
    note %eax
    pushf
    pop %eax
    and $NT, %eax
    note %eax
    note_type SEL_A
    note_type SEL_B
    ljmp $SEL_A, $0
    note $0xb2
    pushf
    pop %eax
    and $NT, %eax
    note %eax
    movzwl tss_b, %eax
    note %eax
    note_type SEL_A
    note_type SEL_B
    iret
    note $0xb3
    iret
    note $0xb4
    iret
trapped:
    note $0xb5
    iret
    note WINDOW
    iret

/* An error code on its stack. If the present task's fault, that goes on at `resume`; else A does. */
task_e:
    pop %eax
    cmpw $SEL_A, tss_e
    jne 1f
    note $0xe1
    note %eax
    movzwl tss_e, %eax
    note %eax
    mov resume, %eax
    mov %eax, tss_a + T_EIP
    iret
    jmp task_e
1:  note $0xe2
    note %eax
    movzwl tss_e, %eax
    note %eax
    andb $~2, gdt + SEL_BAD + 5
    ljmp $SEL_A, $0
    jmp task_e

no_task:
    note $0xbad
    ljmp $SEL_A, $0

/* For comparison: notes as task E would. */
good_task:
    note $0xe2
    note $0
    xor %eax, %eax
    str %ax
    note %eax
    ljmp $SEL_A, $0

on_gp:
    mov $SEL_DATA, %eax
    mov %eax, %ds
    pop %eax
    note $13
    note %eax
    testb $2, 10(%esp) /* virtual-8086? */
    jnz 1f
    mov resume, %eax
    mov %eax, (%esp)
    iret
1:  mov 8(%esp), %eax
    and $0x20000, %eax
    note %eax
    ljmp $SEL_A, $0
back_from_v:

on_debug:
    note $1
    mov %dr6, %eax
    and $0xe000, %eax
    note %eax
    xor %eax, %eax
    mov %eax, %dr6
    cmpl $trapped, (%esp)
    je 1f
    note (%esp)
1:  iret

    .balign 16
low_code:
    .code16
task_c:
    mov $0xc1, %eax
    call low_note
    xor %eax, %eax
    str %ax
    call low_note
    movzwl %dx, %eax
    call low_note
    pushf
    pop %ax
    and $NT, %ax
    movzwl %ax, %eax
    call low_note
    iret
low_note:
    addr32 mov log_at, %ebx
    addr32 mov %eax, (%ebx)
    addl $4, %ebx
    addr32 mov %ebx, log_at
    ret
task_v:
    hlt
low_end:
    .code64
    .section .note.GNU-stack, "", @progbits
