/* Several processors: INIT and start-up messages, locked instructions, interprocessor interrupts that end a HLT, to one
 * and to all others, NMI, a change of page tables that others are told of, code that another processor changes, time
 * stamps that never go back between processors, and INIT of one that loops. Needs three processors. */
#include "lib.inc"
#include "trampoline.inc"

/* r15 is the address of the local APIC everywhere. */
#define APIC        0xfee00000
#define APIC_ID     0x20(%r15)
#define APIC_EOI    0xb0(%r15)
#define APIC_SVR    0xf0(%r15)
#define APIC_ICR    0x300(%r15)
#define APIC_ICR_HI 0x310(%r15)

#define ICR_INIT    0x4500
#define ICR_STARTUP 0x4600
#define ICR_NMI     0x4400
#define ICR_FIXED   0x4000
#define ICR_OTHERS  0xc0000

#define OTHERS     2
#define STACK_SIZE 0x1000
#define ROUNDS     500
#define COUNTS     5000

#define VECTOR_PING  0x41
#define VECTOR_PONG  0x42
#define VECTOR_FLUSH 0x43
#define VECTOR_WAKE  0x44

#define WINDOW 0x8000000000
#define ALL    (PTE_P | PTE_W)

    .data
    .globl test_name
test_name:  .asciz "smp"
    .balign 64
online:     .quad 0 /* how many others have started, in all */
ids:        .quad 0 /* a bit for each of their APIC ids */
task:       .quad 0 /* what the others are to call */
task_no:    .quad 0
done:       .quad 0 /* how many have */
counter:    .quad 0
counter2:   .quad 0
plain:      .quad 0
ticket:     .quad 0
serving:    .quad 0
pings:      .quad 0
pongs:      .quad 0
flushes:    .quad 0
nmis:       .quad 0
wakes:      .quad 0
seen:       .quad 0
last_tsc:   .quad 0
tsc_errors: .quad 0
looping:    .quad 0

    .bss
    .balign 4096
stacks:    .skip 8 * STACK_SIZE
pdpt:      .skip 4096
pd:        .skip 4096
pt:        .skip 4096
page_old:  .skip 4096
page_new:  .skip 4096
code_page: .skip 4096

    .text
other_64:
    mov $1, %eax
    lock xadd %rax, online
    inc %eax
    and $7, %eax
    shl $12, %eax /* STACK_SIZE */
    lea stacks + STACK_SIZE - 16(%rax), %rsp
    lidt idt_pointer
    mov $APIC, %r15d
    orl $0x100, APIC_SVR
    mov APIC_ID, %ecx
    shr $24, %ecx
    lock bts %rcx, ids
    mov task_no, %rbx
    lock incq done
    /* wait for tasks, asleep */
1:  cli
    cmp task_no, %rbx
    jne 2f
    sti
    hlt
    jmp 1b
2:  inc %rbx
    sti
    call *task
    lock incq done
    jmp 1b

/* icr, destination: an APIC id or none. eax is lost. */
.macro send icr, id=0
    movl $(\id << 24), APIC_ICR_HI
    movl $(\icr), APIC_ICR
.endm

/* Have all others call a routine; this processor goes on at once. */
.macro start_task routine
    movq $0, done
    movq $\routine, task
    lock incq task_no
    send ICR_FIXED + ICR_OTHERS + VECTOR_WAKE
.endm

.macro wait_until what, value
1:  pause
    cmpq $\value, \what
    jne 1b
.endm

    .globl test_main
test_main:
    mov $APIC, %r15d
    orl $0x100, APIC_SVR
    set_gate VECTOR_PING, on_ping
    set_gate VECTOR_PONG, on_pong
    set_gate VECTOR_FLUSH, on_flush
    set_gate VECTOR_WAKE, on_wake
    set_gate 2, on_nmi
    call startup
    call locked
    call spinlock
    call ping_pong
    call nmi
    call shootdown
    call other_code
    call time_stamps
    call restart
    ret

startup:
    copy_trampoline
    send ICR_INIT + ICR_OTHERS
    call delay
    send ICR_STARTUP + ICR_OTHERS + (TRAMPOLINE >> 12)
    wait_until done, OTHERS
    send ICR_STARTUP + ICR_OTHERS + (TRAMPOLINE >> 12) /* is ignored */
    call delay
    mov online, %rax
    EXPECT(%rax, $OTHERS)
    mov ids, %rax
    EXPECT(%rax, $6)
    ret

delay:
    mov $20000, %ecx
1:  pause
    loop 1b
    ret

locked:
    start_task count_locked
    call count_locked
    wait_until done, OTHERS
    mov counter, %rax
    EXPECT(%rax, $(COUNTS * (OTHERS + 1)))
    mov counter2, %rax
    EXPECT(%rax, $(COUNTS * (OTHERS + 1) * 3))
    ret

count_locked:
    mov $COUNTS, %ecx
1:  lock incq counter
    mov counter2, %rax
2:  lea 3(%rax), %rdx
    lock cmpxchg %rdx, counter2
    jne 2b
    loop 1b
    ret

/* A ticket lock around what is not atomic. */
spinlock:
    start_task count_in_turn
    call count_in_turn
    wait_until done, OTHERS
    mov plain, %rax
    EXPECT(%rax, $(ROUNDS * (OTHERS + 1)))
    ret

count_in_turn:
    mov $ROUNDS, %ecx
1:  mov $1, %eax
    lock xadd %rax, ticket
2:  cmp serving, %rax
    je 3f
    pause
    jmp 2b
3:  mov plain, %rdx
    inc %rdx
    mov %rdx, plain
    incq serving
    loop 1b
    ret

/* Both ends sleep between the interrupts. */
ping_pong:
    mov $ROUNDS, %ebx
1:  send ICR_FIXED + VECTOR_PING, 1
2:  cli
    mov pongs, %rax
    add %rbx, %rax
    cmp $(ROUNDS + 1), %rax
    je 3f
    sti
    hlt
    jmp 2b
3:  cli
    dec %ebx
    jnz 1b
    mov pings, %rax
    EXPECT(%rax, $ROUNDS)
    mov pongs, %rax
    EXPECT(%rax, $ROUNDS)
    ret

on_ping:
    incq pings
    send ICR_FIXED + VECTOR_PONG
    movl $0, APIC_EOI
    iretq

on_pong:
    incq pongs
    movl $0, APIC_EOI
    iretq

on_wake:
    lock incq wakes
    movl $0, APIC_EOI
    iretq

nmi:
    send ICR_NMI, 2
    wait_until nmis, 1
    send ICR_NMI + ICR_OTHERS
    wait_until nmis, 3
    ret

on_nmi:
    lock incq nmis
    iretq

/* All read a page through WINDOW, its entry changes, and after the interrupt all read the new one. */
shootdown:
    movq $(pt + ALL), pd
    movq $(pd + ALL), pdpt
    movq $(pdpt + ALL), boot_pml4 + 8
    movq $(page_old + ALL), pt
    movq $0x0123, page_old
    movq $0x4567, page_new
    start_task read_window
    wait_until done, OTHERS
    mov seen, %rax
    EXPECT(%rax, $(0x0123 * OTHERS))
    movq $(page_new + ALL), pt
    send ICR_FIXED + ICR_OTHERS + VECTOR_FLUSH
    wait_until flushes, OTHERS
    movq $0, seen
    start_task read_window
    wait_until done, OTHERS
    mov seen, %rax
    EXPECT(%rax, $(0x4567 * OTHERS))
    ret

read_window:
    mov $WINDOW, %rax
    mov (%rax), %rax
    lock add %rax, seen
    ret

on_flush:
    push %rax
    mov $WINDOW, %rax
    invlpg (%rax)
    pop %rax
    lock incq flushes
    movl $0, APIC_EOI
    iretq

/* mov $imm32, %eax; ret: the others call it, it is changed, they call it again. */
other_code:
    movq $0, seen
    movb $0xb8, code_page
    movl $7, code_page + 1
    movb $0xc3, code_page + 5
    start_task call_code
    wait_until done, OTHERS
    mov seen, %rax
    EXPECT(%rax, $(7 * OTHERS))
    movq $0, seen
    movl $900, code_page + 1
    start_task call_code
    wait_until done, OTHERS
    mov seen, %rax
    EXPECT(%rax, $(900 * OTHERS))
    ret

call_code:
    push %rbx
    xor %eax, %eax
    cpuid /* serialises */
    pop %rbx
    mov $code_page, %eax
    call *%rax
    lock add %rax, seen
    ret

/* Under a lock each reads its counter and compares with what the one before it read. */
time_stamps:
    movq $0, ticket
    movq $0, serving
    start_task read_time
    call read_time
    wait_until done, OTHERS
    mov tsc_errors, %rax
    EXPECT(%rax, $0)
    ret

read_time:
    mov $ROUNDS, %ecx
1:  mov $1, %eax
    lock xadd %rax, ticket
2:  cmp serving, %rax
    je 3f
    pause
    jmp 2b
3:  lfence
    rdtsc
    shl $32, %rdx
    or %rdx, %rax
    cmp last_tsc, %rax
    jae 4f
    incq tsc_errors
4:  mov %rax, last_tsc
    incq serving
    loop 1b
    ret

/* One that loops with interrupts off, and that would take no other interrupt. */
restart:
    movq $OTHERS, online
    start_task loop_for_ever
    wait_until looping, OTHERS
    movq $0, done
    send ICR_INIT + ICR_OTHERS
    call delay
    mov online, %rax
    EXPECT(%rax, $OTHERS)
    send ICR_STARTUP + ICR_OTHERS + (TRAMPOLINE >> 12)
    wait_until done, OTHERS
    mov online, %rax
    EXPECT(%rax, $(2 * OTHERS))
    movq $0, counter
    movq $0, counter2
    call locked
    ret

loop_for_ever:
    cli
    lock incq looping
1:  jmp 1b

    .section .note.GNU-stack, "", @progbits
