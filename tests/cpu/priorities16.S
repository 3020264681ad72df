/* The same of what 16-bit systems have left (priorities32.inc says how rows are executed): call, interrupt and trap gates
 * of 16 bits, task state segments of 16 bits and what leads to them, and far transfers in and out of virtual-8086 mode.
 *
 * ROW(setup, ring, vector, error, instruction). A row that arrives where it wants to go ends there with vector 3. */
#include "lib.inc"
#include "priorities32.inc"

#define SEL_TSS16      (SEL_FREE + 0x60 + 3)
#define SEL_SHORT0     (SEL_FREE + 0x68)     /* 256 bytes of code for ring 0, at `space` */
#define SEL_CONFORMING (SEL_FREE + 0x70)     /* the same, conforming */
#define SEL_STACK16    (SEL_FREE + 0x78 + 3) /* data of ring 3, 16 bits, at 20000 */
#define SEL_TASK_GATE  (SEL_FREE + 0x80 + 3)
#define SEL_LDT        (SEL_FREE + 0x88)
#define SEL_STACK0     (SEL_FREE + 0x90)     /* 18 bytes */
#define BEYOND         0x200                 /* a selector that the table has not */
#define STACK0         0x7000                /* below 64 KiB, for rings 0 and 1 */
#define NT             0x4000
#define WINDOW         0x40000000            /* pages: writable, absent, read-only */

/* What is at `space`. */
#define AT_INT3  0x20
#define AT_FS    0x28
#define AT_ERROR 0x30
#define AT_ENTRY 0x40 /* ring 0, out of virtual-8086 mode */

#define PAGED(why, rip, setup, ring, error, cr2, ...)                                              \
    ROW_BUT(why, rip, setup, ring, 14, error, cr2, __VA_ARGS__)
/* The fault is the new task's, at its first instruction. QEMU 7.2's TCG saves another address. */
#define IN_TASK(setup, vector, error) IN_TASK_BUT(0, setup, vector, error)
#define IN_TASK_BUT(why, setup, vector, error)                                                     \
    ROW_BUT(why, AT_INT3 + NOT_ON_TCG, setup, 3, vector, error, ANY, ljmp $SEL_TSS16, $0)

    .data
    .globl test_name
test_name: .asciz "priorities16"
/* What QEMU 7.2's TCG does otherwise. */
no_limits: .asciz "limits of segments"
no_upper:  .asciz "the upper half of a 16-bit gate's offset, which does not count"
no_ext:    .asciz "EXT in error codes"
no_narrow: .asciz "#GP of the change to long mode with a TSS of 16 bits"
no_local:  .asciz "#GP of a task gate to the local table"
no_absent: .asciz "#SS of stack segments that are absent"
no_old:    .asciz "limit and pages of the old task's TSS"
    .balign 16
tss16:     .fill 64, 1, 0

    .bss
    .balign 4096
directory: .skip 4096
table:     .skip 4096
pages:     .skip 2 * 4096

    .text
    .code32
/* call gates: 16 bits of offset, 2 bytes for each push */
NOT_TCG(no_upper, gate_upper, 3, 3, 0, lcall $SEL_GATE, $0)
NOT_TCG(no_upper, gate_upper_same, 3, 3, 0, lcall $SEL_GATE, $0)
NOT_TCG(no_upper, gate_upper_same, 3, 3, 0, ljmp $SEL_GATE, $0)
ROW(gate_tiny, 3, 3, 0, lcall $SEL_GATE, $0)
NOT_TCG(no_limits, gate_tiny_parameter, 3, 12, INDEX(SEL_TINY1), lcall $SEL_GATE, $0)
NOT_TCG(no_limits, gate_tiny_wide, 3, 12, INDEX(SEL_TINY1), lcall $SEL_GATE, $0)
ROW(gate_same_small, 3, 3, 0, lcall $SEL_GATE, $0)
NOT_TCG(no_limits, gate_same_smaller, 3, 12, 0, lcall $SEL_GATE, $0)
NOT_TCG(no_limits, gate_same_wide, 3, 12, 0, lcall $SEL_GATE, $0)
NOT_TCG(no_limits, gate_short, 3, 13, 0, lcall $SEL_GATE, $0)
ROW(gate_absent_code, 3, 11, INDEX(SEL_ABSENT_CODE1), lcall $SEL_GATE, $0)
ROW(gate_absent_code, 3, 13, INDEX(SEL_ABSENT_CODE1), ljmp $SEL_GATE, $0)
ROW(gate_absent, 3, 11, INDEX(SEL_GATE), lcall $SEL_GATE, $0)
ROW(gate_data, 3, 13, INDEX(SEL_SMALL), lcall $SEL_GATE, $0)
ROW(gate_inner, 3, 13, INDEX(SEL_GATE), lcall $SEL_GATE, $0)
/* their stacks in a TSS of 16 bits: 4 bytes for each ring */
ROW(gate_narrow_tss, 3, 3, 0, lcall $SEL_GATE, $0)
ROW(gate_narrow_tss_short, 3, 10, INDEX(SEL_TSS16), lcall $SEL_GATE, $0)
NOT_TCG(no_ext, event_narrow_tss_short, 3, 10, INDEX(SEL_TSS16) + 1, ud2)
ROW(event_narrow_tss_short, 3, 10, INDEX(SEL_TSS16), int $0x80)
/* interrupt and trap gates */
NOT_TCG(no_upper, event_upper, 3, 3, 0, int $0x80)
NOT_TCG(no_upper, trap_upper, 3, 3, 0, int $0x80)
NOT_TCG(no_upper, event_upper, 3, 3, 0, ud2)
ROW(event_tiny, 3, 3, 0, int $0x80)
NOT_TCG(no_limits, event_tinier, 3, 12, INDEX(SEL_TINY1), int $0x80)
NOT_TCG(no_limits, event_tinier, 3, 12, INDEX(SEL_TINY1) + 1, ud2)
NOT_TCG(no_limits, event_tiny_wide, 3, 12, INDEX(SEL_TINY1), int $0x80)
NOT_TCG(no_limits, event_short, 3, 13, 0, int $0x80)
NOT_TCG(no_limits, event_short, 3, 13, 1, ud2)
ROW(event_absent, 3, 11, IDT_OF(0x80), int $0x80)
ROW(event_inner, 3, 13, IDT_OF(0x80), int $0x80)
/* task gates */
ROW(task_gate, 3, 3, 0, lcall $SEL_TASK_GATE, $0)
ROW(task_gate, 3, 3, 0, ljmp $SEL_TASK_GATE, $0)
ROW(task_gate_absent, 3, 11, INDEX(SEL_TASK_GATE), ljmp $SEL_TASK_GATE, $0)
ROW(task_gate_inner, 3, 13, INDEX(SEL_TASK_GATE), ljmp $SEL_TASK_GATE, $0)
ROW(task_gate_null, 3, 13, 0, ljmp $SEL_TASK_GATE, $0)
NOT_TCG(no_local, task_gate_local, 3, 13, 0x14, ljmp $SEL_TASK_GATE, $0)
ROW(task_gate_beyond, 3, 13, BEYOND, ljmp $SEL_TASK_GATE, $0)
ROW(task_gate_data, 3, 13, INDEX(SEL_SMALL), ljmp $SEL_TASK_GATE, $0)
ROW(event_task, 3, 3, 0, int $0x80)
ROW(event_task, 3, 3, 0, ud2)
ROW(event_task_busy, 3, 13, INDEX(SEL_TSS16), int $0x80)
NOT_TCG(no_ext, event_task_busy, 3, 13, INDEX(SEL_TSS16) + 1, ud2)
ROW(event_task_gone, 3, 11, INDEX(SEL_TSS16), int $0x80)
NOT_TCG(no_ext, event_task_gone, 3, 11, INDEX(SEL_TSS16) + 1, ud2)
ROW(event_task_short, 3, 10, INDEX(SEL_TSS16), int $0x80)
NOT_TCG(no_ext, event_task_short, 3, 10, INDEX(SEL_TSS16) + 1, ud2)
ROW(np_task, 3, 3, 0, mov $SEL_ABSENT3, %eax; mov %eax, %ds) /* an error code of 2 bytes */
/* the TSS itself: what the old task is to blame for */
ROW(task, 3, 3, 0, ljmp $SEL_TSS16, $0)
ROW(task_busy, 3, 13, INDEX(SEL_TSS16), ljmp $SEL_TSS16, $0)
ROW(task_inner, 3, 13, INDEX(SEL_TSS16), ljmp $SEL_TSS16, $0)
ROW(task_gone, 3, 11, INDEX(SEL_TSS16), lcall $SEL_TSS16, $0)
ROW(task_short, 3, 10, INDEX(SEL_TSS16), ljmp $SEL_TSS16, $0)
NOT_TCG(no_old, from_short, 3, 10, INDEX(SEL_TSS16), ljmp $SEL_TASK, $0)
PAGED(0, 0, task_split, 3, 0, WINDOW + 0x1000, ljmp $SEL_TSS16, $0)
PAGED(0, 0, task_read_only, 3, 3, WINDOW + 0x2000, lcall $SEL_TSS16, $0)
ROW(task_read_only, 3, 3, 0, ljmp $SEL_TSS16, $0) /* without a link to write */
PAGED(no_old, 0, from_split, 3, 2, WINDOW + 0x1000, ljmp $SEL_TASK, $0)
PAGED(no_old, 0, from_read_only, 3, 3, WINDOW + 0x2000, ljmp $SEL_TASK, $0)
/* and what the new one is to blame for */
IN_TASK(task_local_table, 10, INDEX(SEL_SMALL))
IN_TASK(task_no_local_table, 10, SEL_LDT)
IN_TASK(task_cs_null, 10, 0)
IN_TASK(task_cs_beyond, 10, BEYOND)
IN_TASK(task_cs_data, 10, INDEX(SEL_SMALL))
IN_TASK(task_cs_dpl, 10, SEL_CODE32)
IN_TASK(task_cs_absent, 11, INDEX(SEL_ABSENT_CODE1))
IN_TASK(task_ss_null, 10, 0)
IN_TASK(task_ss_beyond, 10, BEYOND)
IN_TASK(task_ss_code, 10, INDEX(SEL_SHORT))
IN_TASK(task_ss_dpl, 10, SEL_DATA)
IN_TASK_BUT(no_absent, task_ss_absent, 12, INDEX(SEL_ABSENT3))
IN_TASK(task_ds_beyond, 10, BEYOND)
IN_TASK(task_ds_system, 10, INDEX(SEL_GATE))
IN_TASK(task_ds_absent, 11, INDEX(SEL_ABSENT3))
ROW_BUT(no_ext, AT_INT3, event_task_cs, 3, 10, SEL_CODE32 + 1, ANY, ud2)
ROW_BUT(0, AT_INT3 + NOT_ON_TCG, event_task_cs, 3, 10, SEL_CODE32, ANY, int $0x80)
IN_TASK(task_cs_and_ss, 10, SEL_CODE32)
IN_TASK(task_ss_and_ds, 10, SEL_DATA)
ROW_BUT(no_limits, 0x1000, task_ip, 3, 13, 0, ANY, ljmp $SEL_TSS16, $0)
ROW_BUT(no_limits, AT_FS, task_fs, 3, 13, 0, ANY, ljmp $SEL_TSS16, $0) /* null in the new task */
/* back: IRET with NT does not look at the stack */
ROW(back, 3, 3, 0, iret)
ROW(back_null, 3, 10, 0, iret)
ROW(back_local, 3, 10, 0x14, iret)
ROW(back_beyond, 3, 10, BEYOND, iret)
ROW(back_idle, 3, 10, INDEX(SEL_TSS16), iret)
ROW(back_gone, 3, 11, INDEX(SEL_TSS16), iret)
ROW(back_short, 3, 10, INDEX(SEL_TSS16), iret)
ROW(back_narrow, 3, 10, INDEX(SEL_TASK), iret)
/* LTR, and long mode, which has no 16 bits */
ROW(task, 0, 13, INDEX(SEL_TSS16), mov $SEL_TSS16 - 3, %al; ltr %ax; ltr %ax)
ROW(task_gone, 0, 11, INDEX(SEL_TSS16), mov $SEL_TSS16, %ax; ltr %ax)
ROW(task_short, 0, 3, 0, mov $SEL_TSS16, %ax; ltr %ax) /* limits count when it is used */
NOT_TCG(no_narrow, long_narrow, 0, 13, 0, mov $(CR0_PG + CR0_PE), %eax; mov %eax, %cr0)
/* far transfers of virtual-8086 mode: the stack's room, then a target beyond 64 KiB */
NOT_TCG(no_limits, 0, 2, 13, 0, .byte 0x66, 0xea; .long 0x10000; .word 0x1000)
NOT_TCG(no_limits, 0, 2, 13, 0, .byte 0x66, 0x9a; .long 0x10000; .word 0x1000)
NOT_TCG(no_limits, v86_odd_stack, 2, 12, 0, .byte 0x66, 0x9a; .long 0x10000; .word 0x1000)
NOT_TCG(no_limits, v86_odd_stack, 2, 12, 0, .byte 0x9a, 0, 0, 0, 0)
NOT_TCG(no_limits, v86_frame, 2, 13, 0, .byte 0x36, 0x66, 0xff, 0x2e, 0x00, 0x01)
NOT_TCG(no_limits, v86_frame, 2, 13, 0, .byte 0x36, 0x66, 0xff, 0x1e, 0x00, 0x01)
NOT_TCG(no_limits, v86_frame, 2, 13, 0, .byte 0x66, 0xcb)
NOT_TCG(no_limits, v86_frame_end, 2, 12, 0, .byte 0x66, 0xcb)
NOT_TCG(no_limits, v86_frame_trusted, 2, 13, 0, .byte 0x66, 0xcf)
ROW(v86_frame, 2, 13, 0, .byte 0x66, 0xcf) /* IOPL goes before */
/* and its interrupts: to ring 0, by both widths of gates, and by tasks */
ROW(v86_event, 2, 3, 0, int $0x80)
ROW(v86_event_wide, 2, 3, 0, int $0x80)
ROW(v86_event_room, 2, 3, 0, int $0x80)
NOT_TCG(no_limits, v86_event_short, 2, 13, 0, int $0x80)
NOT_TCG(no_limits, v86_event_short, 2, 13, 1, ud2)
ROW(v86_event_conforming, 2, 13, SEL_CONFORMING, int $0x80)
ROW(v86_event_same, 2, 13, INDEX(SEL_SHORT), int $0x80)
NOT_TCG(no_ext, v86_event_same, 2, 13, INDEX(SEL_SHORT) + 1, ud2)
ROW(v86_event_absent, 2, 11, IDT_OF(0x80), int $0x80)
ROW(v86_event_inner, 2, 13, IDT_OF(0x80), int $0x80)
ROW(v86_task, 2, 3, 0, int $0x80)
ROW(v86_task_busy, 2, 13, INDEX(SEL_TSS16), int $0x80)

/* ---- setups ---- */

.macro type16 value
    movb $\value, gdt + INDEX(SEL_TSS16) + 5
.endm
.macro limit16 value
    movw $\value, gdt + INDEX(SEL_TSS16)
.endm
.macro base16 value
    movw $(\value & 0xffff), gdt + INDEX(SEL_TSS16) + 2
    movb $((\value >> 16) & 0xff), gdt + INDEX(SEL_TSS16) + 4
    movb $(\value >> 24), gdt + INDEX(SEL_TSS16) + 7
.endm
#define SP0_16   tss16 + 2
#define SP1_16   tss16 + 6
#define SS1_16   tss16 + 8
#define IP_16    tss16 + 14
#define FLAGS_16 tss16 + 16
#define SP_16    tss16 + 26
#define CS_16    tss16 + 36
#define SS_16    tss16 + 38
#define DS_16    tss16 + 40
#define LDT_16   tss16 + 42

/* Everything in order: a task of ring 3, idle; code at `space`. */
good16:
    segment SEL_TSS16, 43, 0xe1, tss16, 0
    segment SEL_SHORT0, 0xff, 0x9b, space
    segment SEL_CONFORMING, 0xff, 0x9f, space
    segment SEL_STACK16, 0xffff, 0xf3, 0x20000, 0
    segment SEL_LDT, 7, 0x02, space, 0
    segment SEL_TASK_GATE, 0, 0xe5, 0, 0
    movw $SEL_TSS16, gdt + INDEX(SEL_TASK_GATE) + 2
    mov $tss16, %edi
    mov $64, %ecx
    xor %eax, %eax
    rep stosb
    movw $STACK0, SP0_16
    movw $SEL_DATA, SP0_16 + 2
    movw $STACK0, SP1_16
    movw $SEL_STACK1, SS1_16
    movw $AT_INT3, IP_16
    movw $2, FLAGS_16
    movw $0x200, SP_16
    movw $SEL_SHORT, CS_16
    movw $SEL_STACK16, SS_16
    movw $SEL_USER_DATA, DS_16
    movw $SEL_USER_DATA, tss16 + 34
    mov $codes, %esi
    mov $space + AT_INT3, %edi
    mov $codes_end - codes, %ecx
    rep movsb
    ret
codes:
    int3
    .org codes + AT_FS - AT_INT3
    mov %fs:0, %al
    .org codes + AT_ERROR - AT_INT3
    cmpw $INDEX(SEL_ABSENT3), %ss:0x1fe
    jne 1f
    int3
1:  ud2
    .org codes + AT_ENTRY - AT_INT3
    mov $SEL_DATA, %eax
    mov %eax, %ss
    mov %ss:own_esp, %esp
    int3
codes_end:

.macro gate16 target, offset, parameters=0, type=0xe4, upper=0
    movw $\offset, gdt + INDEX(SEL_GATE)
    movw $\target, gdt + INDEX(SEL_GATE) + 2
    movw $((\type << 8) + \parameters), gdt + INDEX(SEL_GATE) + 4
    movw $\upper, gdt + INDEX(SEL_GATE) + 6
.endm
.macro tiny bytes
    movw $(\bytes - 1), gdt + INDEX(SEL_TINY1)
    movl $\bytes, tss32 + 12
    movw $SEL_TINY1, tss32 + 16
.endm
.macro small esp
    movl $SEL_SMALL, row_ss
    movl $\esp, row_esp
    ret
.endm
gate_upper:           call good16; gate16 SEL_SHORT1, AT_INT3, 0, 0xe4, 0x1234; ret
gate_upper_same:      call good16; gate16 SEL_SHORT, AT_INT3, 0, 0xe4, 0x1234; ret
gate_plain:           call good16; gate16 SEL_SHORT1, AT_INT3; ret
gate_tiny:            call gate_plain; tiny 8; ret
gate_tiny_parameter:  call gate_tiny; gate16 SEL_SHORT1, AT_INT3, 1; ret
gate_tiny_wide:       call gate_tiny; gate16 SEL_SHORT1, AT_INT3, 0, 0xec; ret
gate_same_small:      call good16; gate16 SEL_SHORT, AT_INT3; small 4
gate_same_smaller:    call gate_same_small; small 2
gate_same_wide:       call gate_same_small; gate16 SEL_SHORT, AT_INT3, 0, 0xec; ret
gate_short:           call good16; gate16 SEL_SHORT1, 0x1000; ret
gate_absent_code:     call good16; gate16 SEL_ABSENT_CODE1, 0; ret
gate_absent:          call good16; gate16 SEL_SHORT1, AT_INT3, 0, 0x64; ret
gate_data:            call good16; gate16 SEL_SMALL, AT_INT3; ret
gate_inner:           call good16; gate16 SEL_SHORT1, AT_INT3, 0, 0xa4; ret

load_tss16:
    mov $SEL_TSS16, %eax
    ltr %ax
    ret
gate_narrow_tss:       call gate_plain; limit16 9; jmp load_tss16
gate_narrow_tss_short: call gate_plain; limit16 8; jmp load_tss16
event_narrow_tss_short: call gate_narrow_tss_short; put_event SEL_CODE1, 0, 0xe6

.macro event16 target, offset, type=0xe6, upper=0
    call good16
    put_event \target, \offset, \type, \upper
.endm
event_upper:     event16 SEL_SHORT1, AT_INT3, 0xe6, 0x1234
trap_upper:      event16 SEL_SHORT1, AT_INT3, 0xe7, 0x1234
event_tiny:      tiny 10; event16 SEL_SHORT1, AT_INT3
event_tinier:    tiny 8; event16 SEL_SHORT1, AT_INT3
event_tiny_wide: tiny 10; event16 SEL_SHORT1, AT_INT3, 0xee
event_short:     event16 SEL_SHORT1, 0x1000
event_absent:    event16 SEL_SHORT1, AT_INT3, 0x66
event_inner:     event16 SEL_SHORT1, AT_INT3, 0x86

.macro task_gate16 selector, access=0xe5
    call good16
    movw $\selector, gdt + INDEX(SEL_TASK_GATE) + 2
    movb $\access, gdt + INDEX(SEL_TASK_GATE) + 5
    ret
.endm
task_gate:        task_gate16 SEL_TSS16
task_gate_absent: task_gate16 SEL_TSS16, 0x65
task_gate_inner:  task_gate16 SEL_TSS16, 0x85
task_gate_null:   task_gate16 1
task_gate_local:  task_gate16 0x14
task_gate_beyond: task_gate16 BEYOND
task_gate_data:   task_gate16 SEL_SMALL
event_task:       event16 SEL_TSS16, 0, 0xe5
event_task_busy:  call event_task; type16 0xe3; ret
event_task_gone:  call event_task; type16 0x61; ret
event_task_short: call event_task; limit16 42; ret
event_task_cs:    call event_task; movw $(SEL_CODE32 + 3), CS_16; ret
np_task:
    call good16
    movw $0, 0x201fe /* it is there: an exit while #NP is delivered would have KVM deliver it again */
    movw $AT_ERROR, IP_16
    movw $SEL_TSS16, idt32 + 11 * 8 + 2
    movw $0x8500, idt32 + 11 * 8 + 4
    ret

.macro task16 at, value
    call good16
    movw $\value, \at
    ret
.endm
task:                jmp good16
task_busy:           call good16; type16 0xe3; ret
task_inner:          call good16; type16 0x81; ret
task_gone:           call good16; type16 0x61; ret
task_short:          call good16; limit16 42; ret
task_local_table:    task16 LDT_16, SEL_SMALL
task_no_local_table: task16 LDT_16, SEL_LDT
task_cs_null:        task16 CS_16, 3
task_cs_beyond:      task16 CS_16, BEYOND + 3
task_cs_data:        task16 CS_16, SEL_SMALL
task_cs_dpl:         task16 CS_16, SEL_CODE32 + 3
task_cs_absent:      task16 CS_16, SEL_ABSENT_CODE1
task_ss_null:        task16 SS_16, 3
task_ss_beyond:      task16 SS_16, BEYOND + 3
task_ss_code:        task16 SS_16, SEL_SHORT
task_ss_dpl:         task16 SS_16, SEL_DATA + 3
task_ss_absent:      task16 SS_16, SEL_ABSENT3
task_ds_beyond:      task16 DS_16, BEYOND + 3
task_ds_system:      task16 DS_16, SEL_GATE
task_ds_absent:      task16 DS_16, SEL_ABSENT3
task_cs_and_ss:      call task_cs_dpl; movw $(BEYOND + 3), SS_16; ret
task_ss_and_ds:      call task_ss_dpl; movw $(BEYOND + 3), DS_16; ret
task_ip:             task16 IP_16, 0x1000
task_fs:             task16 IP_16, AT_FS
from_short:          call good16; limit16 42; jmp leave_tss16

/* SEL_TASK becomes free for ring 3 */
leave_tss16:
    call load_tss16
    movb $0xe9, gdt + SEL_TASK + 5
    ret
paged:
    movl $(PTE_P + PTE_W + PTE_U + PTE_PS), directory
    movl $(table + PTE_P + PTE_W + PTE_U), directory + (WINDOW >> 20)
    movl $(pages + PTE_P + PTE_W + PTE_U), table
    movl $(pages + 4096 + PTE_P + PTE_U), table + 8
    mov $CR4_PSE, %eax
    mov %eax, %cr4
    mov $directory, %eax
    mov %eax, %cr3
    mov %cr0, %eax
    or $(CR0_PG + CR0_WP), %eax
    mov %eax, %cr0
    ret
.macro in_window offset
    call good16
    mov $tss16, %esi
    mov $pages + (\offset) - (\offset >> 13 << 12), %edi
    mov $44, %ecx
    rep movsb
    base16 (WINDOW + \offset)
    jmp paged
.endm
task_split:     in_window 0xff0
task_read_only: in_window 0x2000
from_split:     call task_split; jmp leave_tss16
from_read_only: call task_read_only; jmp leave_tss16

.macro back16 link
    movw $\link, tss32
    orl $NT, row_flags
    movl $SEL_SMALL, row_ss
    movl $0xfe, row_esp
    ret
.endm
back:        call task_busy; back16 SEL_TSS16
back_null:   call task_busy; back16 3
back_local:  call task_busy; back16 0x14
back_beyond: call task_busy; back16 BEYOND
back_idle:   call task; back16 SEL_TSS16
back_gone:   call task_busy; type16 0x63; back16 SEL_TSS16
back_short:  call task_busy; limit16 42; back16 SEL_TSS16
back_narrow: /* the present task is the one of 16 bits; the other has not been left by nesting */
    call good16
    call load_tss16
    movb $0xe9, gdt + SEL_TASK + 5
    movw $SEL_TASK, tss16
    orl $NT, row_flags
    ret
long_narrow:
    call good16
    call load_tss16
    mov $CR4_PAE, %eax
    mov %eax, %cr4
    mov $boot_pml4, %eax
    mov %eax, %cr3
    mov $MSR_EFER, %ecx
    rdmsr
    or $EFER_LME, %eax
    wrmsr
    ret

v86_odd_stack:     movl $1, v86_sp; ret
v86_frame:
    movl $0x10000, 0x20100
    movl $0x1000, 0x20104
    movl $0x3002, 0x20108
    ret
v86_frame_end:     call v86_frame; movl $0xfffe, v86_sp; ret
v86_frame_trusted: orl $0x3000, row_flags; jmp v86_frame
v86_trusted:       orl $0x3000, row_flags; jmp good16
.macro v86_gate target, offset, type=0xe6
    call v86_trusted
    put_event \target, \offset, \type
.endm
v86_event:            v86_gate SEL_SHORT0, AT_ENTRY
v86_event_wide:       v86_gate SEL_SHORT0, AT_ENTRY, 0xee
v86_event_room: /* 18 bytes, and no more */
    segment SEL_STACK0, 17, 0x93, space
    movl $18, tss32 + 4
    movl $SEL_STACK0, tss32 + 8
    jmp v86_event
v86_event_short:      v86_gate SEL_SHORT0, 0x1000
v86_event_conforming: v86_gate SEL_CONFORMING, AT_ENTRY
v86_event_same:       v86_gate SEL_SHORT, AT_INT3
v86_event_absent:     v86_gate SEL_SHORT0, AT_ENTRY, 0x66
v86_event_inner:      v86_gate SEL_SHORT0, AT_ENTRY, 0x86
v86_task:             v86_gate SEL_TSS16, 0, 0xe5
v86_task_busy:        call v86_task; type16 0xe3; ret

    .section .note.GNU-stack, "", @progbits
