/* The interrupt chips of a PC, whoever has them: lines through the 8259 pair and through the I/O APIC (edges and
 * levels, with the end of interrupt that sends a level again), the 8254 with port 0x61, messages, the local APIC's
 * timer and self interrupts, x2APIC. */
#include "lib.inc"
#include "pic.inc"

#define PIT_CH0   0x40
#define PIT_CH2   0x42
#define PIT_CMD   0x43
#define PORT_61   0x61
#define RTC_INDEX 0x70
#define RTC_DATA  0x71

#define UART_IER 0x3f9
#define UART_IIR 0x3fa
#define UART_MCR 0x3fc

#define IOAPIC       0xfec00000
#define IOAPIC_DATA  (IOAPIC + 0x10)
#define REDIR_LEVEL  0x8000
#define REDIR_MASKED 0x10000
#define PIN_TIMER    2
#define PIN_UART     4

#define APIC        0xfee00000
#define APIC_EOI    (APIC + 0xb0)
#define APIC_SVR    (APIC + 0xf0)
#define APIC_ICR    (APIC + 0x300)
#define APIC_LVT_TIMER  (APIC + 0x320)
#define APIC_LVT_LINT0  (APIC + 0x350)
#define APIC_TIMER_INIT (APIC + 0x380)
#define APIC_TIMER_DIV  (APIC + 0x3e0)
#define MSI_TO_ALL      (APIC + 0xff000)

#define ICR_SELF   0x40000
#define EXTINT     0x700
#define LVT_MASKED 0x10000

#define MSR_APIC_BASE    0x1b
#define MSR_X2_EOI       0x80b
#define MSR_X2_SELF_IPI  0x83f
#define MSR_TSC_DEADLINE 0x6e0

    .data
    .globl test_name
test_name: .asciz "irqchip"
    .balign 8
seen: .fill 256, 8, 0 /* by vector */

    .text
.macro uart_out port, value
    mov $\port, %edx
    mov $\value, %al
    out %al, %dx
.endm

.macro apic_write register, value
    mov $\register, %ebx
    movl $(\value), (%rbx)
.endm

.macro ioapic_pin pin, value
    mov $IOAPIC, %ebx
    movl $(0x10 + 2 * \pin + 1), (%rbx)
    movl $0, 0x10(%rbx) /* to the cpu whose id is 0 */
    movl $(0x10 + 2 * \pin), (%rbx)
    movl $(\value), 0x10(%rbx)
.endm

/* Until `vector` has been seen so often. Awake: an emulated processor may let an interrupt in between STI and HLT,
 * and what comes once would be slept through. */
.macro wait_for vector, count
.Lagain\@:
    sti
    mov $100, %ecx
.Lpass\@:
    loop .Lpass\@
    cli
    cmpq $\count, seen + 8 * \vector
    jb .Lagain\@
.endm

/* The same asleep, for what comes again and again. */
.macro sleep_for vector, count
.Lagain\@:
    sti
    hlt
    cli
    cmpq $\count, seen + 8 * \vector
    jb .Lagain\@
.endm

/* Interrupts on for a while: nothing more may come. */
.macro stays vector, count
    sti
    mov $100000, %ecx
.Lagain\@:
    loop .Lagain\@
    cli
    EXPECT(seen+8*\vector, $\count)
.endm

    .globl test_main
test_main:
    call set_up
    call pic_timer
    call pic_line
    call pic_slave
    io_out PIC_DATA, 0xff
    io_out PIC2_DATA, 0xff
    call ioapic_edge
    call ioapic_level
    call ioapic_timer
    call speaker_port
    call message
    call self
    call apic_timer
    call deadline
    call x2apic
    ret

set_up:
    set_up_pics 0xff
    set_gate 0x20, on_pic_timer
    set_gate 0x24, on_pic_uart
    set_gate 0x28, on_pic_rtc
    set_gate 0x52, on_timer
    set_gate 0x54, on_edge
    set_gate 0x55, on_level
    set_gate 0x61, on_message
    set_gate 0x62, on_self
    set_gate 0x63, on_x2_self
    set_gate 0x70, on_apic_timer
    apic_write APIC_SVR, 0x1ff
    apic_write APIC_LVT_LINT0, EXTINT
    ret

/* ---- the 8259 pair ---- */

on_pic_timer:
    incq seen + 8 * 0x20
    jmp end_master
on_pic_uart:
    incq seen + 8 * 0x24
    push %rdx
    push %rax
    mov $UART_IIR, %edx
    in %dx, %al
    pop %rax
    pop %rdx
end_master:
    push %rax
    io_out PIC_CMD, 0x20
    pop %rax
    iretq

on_pic_rtc:
    incq seen + 8 * 0x28
    push %rax
    io_out RTC_INDEX, 0x0c /* its interrupt ends by being read */
    in $RTC_DATA, %al
    io_out PIC2_CMD, 0x20
    io_out PIC_CMD, 0x20
    pop %rax
    iretq

/* Channel 0 as a PC has it: a period of 1 ms. */
start_timer:
    io_out PIT_CMD, 0x34
    io_out PIT_CH0, 0xa9
    io_out PIT_CH0, 0x04
    ret

stop_timer:
    io_out PIT_CMD, 0x30
    ret

pic_timer:
    io_out PIC_DATA, 0xfe
    call start_timer
    sleep_for 0x20, 3
    call stop_timer
    io_out PIC_DATA, 0xff
    ret

/* The serial port's transmitter is empty: an interrupt as soon as it is allowed. */
raise_uart:
    uart_out UART_MCR, 0x0b
    uart_out UART_IER, 0x02
    ret

quiet_uart:
    uart_out UART_IER, 0
    ret

pic_line:
    io_out PIC_DATA, 0xef
    call raise_uart
    wait_for 0x24, 1
    stays 0x24, 1
    call quiet_uart
    ret

pic_slave:
    io_out PIC_DATA, 0xfb
    io_out PIC2_DATA, 0xfe
    io_out RTC_INDEX, 0x0a
    io_out RTC_DATA, 0x26 /* 1024 Hz */
    io_out RTC_INDEX, 0x0b
    io_out RTC_DATA, 0x42
    sleep_for 0x28, 4
    io_out RTC_INDEX, 0x0b
    io_out RTC_DATA, 0x02
    ret

/* ---- the I/O APIC ---- */

end_apic:
    push %rbx
    apic_write APIC_EOI, 0
    pop %rbx
    iretq

read_iir:
    push %rdx
    push %rax
    mov $UART_IIR, %edx
    in %dx, %al
    pop %rax
    pop %rdx
    ret

on_edge:
    incq seen + 8 * 0x54
    call read_iir
    jmp end_apic

ioapic_edge:
    ioapic_pin PIN_UART, 0x54
    call raise_uart
    wait_for 0x54, 1
    stays 0x54, 1
    call quiet_uart
    ioapic_pin PIN_UART, REDIR_MASKED
    ret

/* The line stays up the first two times: each end of interrupt sends it again. */
on_level:
    incq seen + 8 * 0x55
    cmpq $3, seen + 8 * 0x55
    jb end_apic
    call read_iir
    jmp end_apic

ioapic_level:
    ioapic_pin PIN_UART, (0x55 | REDIR_LEVEL)
    call raise_uart
    wait_for 0x55, 3
    stays 0x55, 3
    mov $IOAPIC_DATA, %ebx
    mov (%rbx), %eax
    EXPECT(%rax, $(0x55 | REDIR_LEVEL))
    call quiet_uart
    ioapic_pin PIN_UART, REDIR_MASKED
    ret

on_timer:
    incq seen + 8 * 0x52
    jmp end_apic

ioapic_timer:
    ioapic_pin PIN_TIMER, 0x52
    call start_timer
    sleep_for 0x52, 3
    call stop_timer
    ioapic_pin PIN_TIMER, REDIR_MASKED
    ret

/* ---- the 8254's channel 2 ---- */

/* A single count of 1 ms: its output rises, and it has not been up before. */
speaker_port:
    io_out PORT_61, 0x01
    io_out PIT_CMD, 0xb0
    io_out PIT_CH2, 0xff
    io_out PIT_CH2, 0xff
    in $PORT_61, %al
    and $0x21, %eax
    EXPECT(%rax, $0x01)
    io_out PIT_CMD, 0xb0
    io_out PIT_CH2, 0xa9
    io_out PIT_CH2, 0x04
1:  in $PORT_61, %al
    test $0x20, %al
    jz 1b
    io_out PORT_61, 0x00
    ret

/* ---- messages and the local APIC ---- */

on_message:
    incq seen + 8 * 0x61
    jmp end_apic

message:
    apic_write MSI_TO_ALL, 0x61
    wait_for 0x61, 1
    stays 0x61, 1
    ret

on_self:
    incq seen + 8 * 0x62
    jmp end_apic

self:
    apic_write APIC_ICR, (ICR_SELF + 0x62)
    wait_for 0x62, 1
    ret

on_apic_timer:
    incq seen + 8 * 0x70
    jmp end_apic

apic_timer:
    apic_write APIC_TIMER_DIV, 0xb /* by 1 */
    apic_write APIC_LVT_TIMER, 0x70
    apic_write APIC_TIMER_INIT, 100000
    wait_for 0x70, 1
    stays 0x70, 1
    apic_write APIC_LVT_TIMER, 0x20070
    apic_write APIC_TIMER_INIT, 1000000
    sleep_for 0x70, 4
    apic_write APIC_LVT_TIMER, LVT_MASKED
    apic_write APIC_TIMER_INIT, 0
    ret

/* Where CPUID has it. */
deadline:
    mov $1, %eax
    cpuid
    bt $24, %ecx
    jnc 1f
    movq $0, seen + 8 * 0x70
    apic_write APIC_LVT_TIMER, 0x40070
    mfence
    rdtsc
    add $1000000, %eax
    adc $0, %edx
    mov $MSR_TSC_DEADLINE, %ecx
    wrmsr
    wait_for 0x70, 1
    read_msr MSR_TSC_DEADLINE
    EXPECT(%rax, $0)
    apic_write APIC_LVT_TIMER, LVT_MASKED
1:  ret

on_x2_self:
    incq seen + 8 * 0x63
    push %rax
    push %rcx
    push %rdx
    write_msr MSR_X2_EOI, 0
    pop %rdx
    pop %rcx
    pop %rax
    iretq

x2apic:
    mov $1, %eax
    cpuid
    bt $21, %ecx
    jnc 1f
    mov $MSR_APIC_BASE, %ecx
    rdmsr
    or $0x400, %eax
    wrmsr
    write_msr MSR_X2_SELF_IPI, 0x63
    wait_for 0x63, 1
1:  ret

    .section .note.GNU-stack, "", @progbits
