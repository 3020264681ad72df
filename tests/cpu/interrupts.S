/* Interrupts: the 8259 pair moved to vectors 0x20 and on, the 8254 on line 0, HLT and the shadows of STI and MOV SS, the
 * local APIC's timer, self interrupts, priorities by CR8, and an NMI. */
#include "lib.inc"
#include "pic.inc"

#define PIT_CH0   0x40
#define PIT_CMD   0x43

#define APIC        0xfee00000
#define APIC_TPR    (APIC + 0x80)
#define APIC_EOI    (APIC + 0xb0)
#define APIC_SVR    (APIC + 0xf0)
#define APIC_ICR    (APIC + 0x300)
#define APIC_ICR_HI (APIC + 0x310)
#define APIC_LVT_TIMER (APIC + 0x320)
#define APIC_LVT_LINT0 (APIC + 0x350)
#define APIC_TIMER_INIT (APIC + 0x380)
#define APIC_TIMER_NOW  (APIC + 0x390)
#define APIC_TIMER_DIV  (APIC + 0x3e0)

#define ICR_SELF 0x40000
#define ICR_NMI  0x400
#define EXTINT   0x700

    .data
    .globl test_name
test_name: .asciz "interrupts"
    .balign 8
ticks:      .quad 0
tick_rip:   .quad 0
self_count: .quad 0
self_order: .quad 0
nmi_count:  .quad 0
nmi_within: .quad 0
timer_count: .quad 0

    .text
    .globl test_main
test_main:
    call set_up
    call pit_interrupt
    call shadows
    call apic_self
    call apic_timer
    call apic_nmi
    ret

set_up:
    set_up_pics 0xfe
    in $PIC_DATA, %al
    movzbl %al, %eax
    EXPECT(%rax, $0xfe)
    set_gate 0x20, tick
    set_gate 0x40, self_low
    set_gate 0x60, self_high
    set_gate 0x70, timer
    set_gate 2, nmi
    mov $APIC_SVR, %ebx
    movl $0x1ff, (%rbx)
    mov $APIC_LVT_LINT0, %ebx
    movl $EXTINT, (%rbx) /* the 8259 reaches the cpu through the local APIC */
    ret

/* Start channel 0: one interrupt, 1 ms from now. */
arm_pit:
    io_out PIT_CMD, 0x30
    io_out PIT_CH0, 0xa9
    io_out PIT_CH0, 0x04
    ret

tick:
    push %rax
    mov 8(%rsp), %rax
    mov %rax, tick_rip
    incq ticks
    io_out PIC_CMD, 0x20
    pop %rax
    iretq

/* HLT wakes for an interrupt and goes on behind itself; with IF clear nothing comes. */
pit_interrupt:
    movq $0, ticks
    call arm_pit
    sti
1:  hlt
2:  cmpq $0, ticks
    je 1b
    cli
    EXPECT(ticks, $1)
    EXPECT(tick_rip, $2b)
    call arm_pit
1:  io_out PIC_CMD, 0x0a /* read the requests */
    in $PIC_CMD, %al
    test $1, %al
    jz 1b
    EXPECT(ticks, $1)
    sti /* waits: taken behind the instruction after this */
    nop
3:  nop
    cli
    EXPECT(ticks, $2)
    EXPECT(tick_rip, $3b)
    ret

/* A request that waits is not taken between STI or MOV SS and the next instruction. */
shadows:
    mov $SEL_DATA, %ecx
    mov $APIC_ICR, %ebx
    movq $0, self_count
    movl $(ICR_SELF + 0x40), (%rbx)
    sti
    cli
    EXPECT(self_count, $0)
    sti
    mov %ecx, %ss
    cli
    EXPECT(self_count, $1)
    movl $(ICR_SELF + 0x40), (%rbx)
    pushfq
    orq $IF, (%rsp)
    popfq /* POPF has no shadow */
    cli
    EXPECT(self_count, $2)
    ret

self_low:
    incq self_count
    shlq $4, self_order
    orq $4, self_order
    jmp end_of_interrupt
self_high:
    incq self_count
    shlq $4, self_order
    orq $6, self_order
end_of_interrupt:
    push %rbx
    mov $APIC_EOI, %ebx
    movl $0, (%rbx)
    pop %rbx
    iretq

/* The higher vector first; CR8 keeps classes away. */
apic_self:
    mov $APIC_ICR, %ebx
    movq $0, self_count
    movq $0, self_order
    movl $(ICR_SELF + 0x40), (%rbx)
    movl $(ICR_SELF + 0x60), (%rbx)
    sti
    nop
    nop
    cli
    EXPECT(self_order, $0x64)
    mov $5, %eax
    mov %rax, %cr8
    mov $APIC_TPR, %ecx
    mov (%rcx), %eax
    EXPECT(%rax, $0x50)
    movq $0, self_order
    movl $(ICR_SELF + 0x40), (%rbx)
    movl $(ICR_SELF + 0x60), (%rbx)
    sti
    nop
    nop
    cli
    EXPECT(self_order, $0x6)
    sti
    xor %eax, %eax
    mov %rax, %cr8
    nop
    cli
    EXPECT(self_order, $0x64)
    ret

timer:
    incq timer_count
    jmp end_of_interrupt

/* One shot, then periodic. */
apic_timer:
    movq $0, timer_count
    mov $APIC_TIMER_DIV, %ebx
    movl $0xb, (%rbx) /* by 1 */
    mov $APIC_LVT_TIMER, %ebx
    movl $0x70, (%rbx)
    mov $APIC_TIMER_INIT, %ebx
    movl $100000, (%rbx)
    sti
1:  hlt
    cmpq $0, timer_count
    je 1b
    cli
    EXPECT(timer_count, $1)
    mov $APIC_TIMER_NOW, %ebx
    mov (%rbx), %eax
    EXPECT(%rax, $0)
    mov $APIC_LVT_TIMER, %ebx
    movl $0x20070, (%rbx)
    mov $APIC_TIMER_INIT, %ebx
    movl $1000000, (%rbx)
    sti
1:  hlt
    cmpq $4, timer_count
    jb 1b
    cli
    mov $APIC_LVT_TIMER, %ebx
    movl $0x10070, (%rbx) /* masked */
    ret

nmi:
    incq nmi_count
    push %rbx
    mov $APIC_ICR, %ebx
    cmpq $1, nmi_count
    jne 1f
    movl $ICR_NMI, (%rbx) /* a second one waits for IRET */
    push %rcx
    mov $1000, %ecx
2:  loop 2b
    pop %rcx
    mov nmi_count, %rbx
    mov %rbx, nmi_within
1:  pop %rbx
    iretq

/* An NMI comes with IF clear, and not within another. */
apic_nmi:
    mov $(APIC + 0x20), %ebx
    mov (%rbx), %eax
    mov $APIC_ICR_HI, %ebx
    mov %eax, (%rbx)
    mov $APIC_ICR, %ebx
    movl $ICR_NMI, (%rbx)
    mov $1000, %ecx
1:  loop 1b
    EXPECT(nmi_within, $1)
    EXPECT(nmi_count, $2)
    ret

    .section .note.GNU-stack, "", @progbits
