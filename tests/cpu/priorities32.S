/* The same of 32-bit protected mode: limits, stacks of inner and outer levels, gates, and the IDT (priorities.S has the
 * rest, and what a row is).
 *
 * ROW(setup, ring, vector, error, instruction): priorities32.inc says how it is executed. Exceptions go to ring 0,
 * whose stack is always good; ebx is beyond the limit of small segments. */
#include "lib.inc"
#include "priorities32.inc"

    .data
    .globl test_name
test_name: .asciz "priorities32"
/* What QEMU 7.2's TCG does otherwise. */
no_limits: .asciz "limits and types of segments"
no_absent: .asciz "#SS of stack segments that are absent"
no_ext:    .asciz "EXT in error codes"
no_v86:    .asciz "what leads from virtual-8086 mode to another ring than 0"

    .text
    .code32
/* limits: #SS(0) by way of the stack, else #GP(0) */
NOT_TCG(no_limits, 0, 3, 13, 0, mov (%ebx), %eax)
NOT_TCG(no_limits, 0, 3, 13, 0, mov 0xfd, %eax)
ROW(0, 3, 3, 0, mov 0xfc, %eax)
NOT_TCG(no_limits, 0, 3, 13, 0, mov -1, %eax)
NOT_TCG(no_limits, data_down, 3, 13, 0, mov 0xff, %eax)
NOT_TCG(no_limits, data_down, 3, 13, 0, mov 0x80, %al)
ROW(data_down, 3, 3, 0, mov 0x100, %eax)
NOT_TCG(no_limits, data_null, 3, 13, 0, mov 0x10, %eax)
NOT_TCG(no_limits, data_code, 3, 13, 0, mov %eax, 0x10)
NOT_TCG(no_limits, stack_small, 3, 12, 0, mov 0x1000(%esp), %eax)
NOT_TCG(no_limits, stack_small, 3, 12, 0, mov %ss:0x1000, %eax)
NOT_TCG(no_limits, stack_small, 3, 12, 0, push %eax)
NOT_TCG(no_limits, stack_small, 3, 12, 0, pusha)
NOT_TCG(no_limits, stack_small, 3, 12, 0, enter $0, $0)
NOT_TCG(no_limits, stack_end, 3, 12, 0, pop %eax)
NOT_TCG(no_limits, stack_end, 3, 12, 0, ret)
NOT_TCG(no_limits, stack_end, 3, 12, 0, iret)
ROW(0, 3, 13, 0, mov %eax, %ss)
ROW(0, 3, 13, INDEX(SEL_DATA), mov $SEL_DATA, %ax; mov %eax, %ss)
/* far transfers: the stack's room, then the target, then the stack's pages */
NOT_TCG(no_limits, 0, 3, 13, 0, ljmp $SEL_SHORT, $0x1000)
NOT_TCG(no_limits, 0, 3, 13, 0, lcall $SEL_SHORT, $0x1000)
NOT_TCG(no_limits, stack_small, 3, 12, 0, lcall $SEL_SHORT, $0x1000)
NOT_TCG(no_limits, stack_small, 3, 12, 0, lcall $SEL_SHORT, $0)
NOT_TCG(no_limits, stack_small, 3, 12, 0, call 7b)
NOT_TCG(no_limits, to_short_gate, 3, 13, 0, lcall $SEL_GATE, $0)
/* through a call gate to ring 1 */
ROW(gate_tss, 3, 10, SEL_TASK, lcall $SEL_GATE, $0)
ROW(gate_null, 3, 10, 0, lcall $SEL_GATE, $0)
ROW(gate_beyond, 3, 10, 0x100, lcall $SEL_GATE, $0)
ROW(gate_dpl, 3, 10, INDEX(SEL_DATA), lcall $SEL_GATE, $0)
ROW(gate_code, 3, 10, INDEX(SEL_CODE1), lcall $SEL_GATE, $0)
NOT_TCG(no_absent, gate_absent, 3, 12, INDEX(SEL_ABSENT1), lcall $SEL_GATE, $0)
NOT_TCG(no_limits, gate_tiny, 3, 12, INDEX(SEL_TINY1), lcall $SEL_GATE, $0)
NOT_TCG(no_limits, gate_tiny_short, 3, 12, INDEX(SEL_TINY1), lcall $SEL_GATE, $0)
NOT_TCG(no_limits, gate_parameters, 3, 12, 0, lcall $SEL_GATE, $0)
ROW(gate_parameters_null, 3, 10, 0, lcall $SEL_GATE, $0)
ROW(gate_absent_code, 3, 11, INDEX(SEL_ABSENT_CODE1), lcall $SEL_GATE, $0)
ROW(gate_absent_code, 3, 13, INDEX(SEL_ABSENT_CODE1), ljmp $SEL_GATE, $0)
/* outward: the stack, then the target */
NOT_TCG(no_absent, return_absent, 1, 12, INDEX(SEL_ABSENT3), lret)
ROW(return_dpl, 1, 13, INDEX(SEL_DATA), lret)
NOT_TCG(no_limits, return_short, 1, 13, 0, lret)
NOT_TCG(no_absent, iret_absent, 1, 12, INDEX(SEL_ABSENT3), iret)
NOT_TCG(no_limits, iret_short, 1, 13, 0, iret)
ROW(return_inward, 3, 13, INDEX(SEL_CODE1), lret)
/* through the IDT to ring 1: with EXT what the program did not ask for */
NOT_TCG(no_ext, event_tss, 3, 10, SEL_TASK + 1, ud2)
ROW(event_tss, 3, 10, SEL_TASK, int $0x80)
NOT_TCG(no_ext, event_null, 3, 10, 1, ud2)
ROW(event_null, 3, 10, 0, int $0x80)
NOT_TCG(no_ext, event_dpl, 3, 10, INDEX(SEL_DATA) + 1, ud2)
ROW(event_dpl, 3, 10, INDEX(SEL_DATA), int $0x80)
NOT_TCG(no_absent, event_absent, 3, 12, INDEX(SEL_ABSENT1) + 1, ud2)
NOT_TCG(no_absent, event_absent, 3, 12, INDEX(SEL_ABSENT1), int $0x80)
NOT_TCG(no_limits, event_tiny, 3, 12, INDEX(SEL_TINY1) + 1, ud2)
NOT_TCG(no_limits, event_tiny, 3, 12, INDEX(SEL_TINY1), int $0x80)
NOT_TCG(no_limits, event_tiny_short, 3, 12, INDEX(SEL_TINY1), int $0x80)
NOT_TCG(no_limits, event_short, 3, 13, 1, ud2)
NOT_TCG(no_limits, event_short, 3, 13, 0, int $0x80)
NOT_TCG(no_ext, event_absent_code, 3, 11, INDEX(SEL_ABSENT_CODE1) + 1, ud2)
ROW(event_absent_code, 3, 11, INDEX(SEL_ABSENT_CODE1), int $0x80)
NOT_TCG(no_ext, event_data, 3, 13, INDEX(SEL_DATA) + 1, ud2)
NOT_TCG(no_ext, event_type, 3, 13, IDT_OF(6) + 1, ud2)
ROW(event_type, 3, 13, IDT_OF(0x80), int $0x80)
NOT_TCG(no_ext, event_gone, 3, 11, IDT_OF(6) + 1, ud2)
NOT_TCG(no_ext, event_task, 3, 13, INDEX(SEL_DATA) + 1, ud2)
ROW(event_task, 3, 13, INDEX(SEL_DATA), int $0x80)
NOT_TCG(no_ext, event_task_local, 3, 13, 0x14 + 1, ud2)
ROW(0, 3, 13, IDT_OF(0x81), int $0x81)
/* from virtual-8086 mode only to ring 0 */
ROW(0, 2, 6, 0, ud2)
NOT_TCG(no_v86, event1, 2, 13, INDEX(SEL_CODE1) + 1, ud2)
NOT_TCG(no_v86, event1_trusted, 2, 13, INDEX(SEL_CODE1), int $0x80)
ROW(event1, 2, 13, 0, int $0x80)
ROW(0, 2, 13, 0, hlt)
/* traps and faults of legacy modes */
ROW(0, 3, 5, 0, bound %ebx, 0x10)
NOT_TCG(no_limits, 0, 3, 13, 0, bound %ebx, 0xfc)
ROW(0, 3, 6, 0, .byte 0x62, 0xc0)
ROW(0, 3, 0, 0, .byte 0xd4, 0x00) /* AAM 0 */

/* ---- setups ---- */

data_down:     mov $SEL_DOWN, %eax; mov %eax, %ds; ret
data_null:     xor %eax, %eax; mov %eax, %ds; ret
data_code:     mov $SEL_SHORT, %eax; mov %eax, %ds; ret
stack_small:   movl $SEL_SMALL, row_ss; movl $0, row_esp; ret
stack_end:     movl $SEL_SMALL, row_ss; movl $0xfe, row_esp; ret
to_ring1:      put_gate SEL_CODE1, 0; ret
to_short1:     put_gate SEL_SHORT1, 0x1000; ret
to_short_gate: inner to_short1, SEL_STACK1
gate_tss:      movw $0xb, gdt + SEL_TASK; call load_task; jmp to_ring1
gate_null:     inner to_ring1, 1
gate_beyond:   inner to_ring1, 0x101
gate_dpl:      inner to_ring1, SEL_DATA + 1
gate_code:     inner to_ring1, SEL_CODE1
gate_absent:   inner to_ring1, SEL_ABSENT1
gate_tiny:     inner to_ring1, SEL_TINY1
gate_tiny_short: inner to_short1, SEL_TINY1
gate_parameters:
    put_gate SEL_CODE1, 0, 4
    call stack_end
    movl $0xf8, row_esp
    ret
gate_parameters_null:
    call gate_parameters
    movw $1, tss32 + 16
    ret
gate_absent_code: put_gate SEL_ABSENT_CODE1, 0; ret

.macro outward flags, ss
    movl $0x1000, space
    movl $SEL_SHORT, space + 4
    .if \flags
    movl $2, space + 8
    .endif
    movl $0x80, space + 8 + \flags
    movl $\ss, space + 12 + \flags
    movl $space, row_esp
    ret
.endm
return_absent: outward 0, SEL_ABSENT3
return_dpl:    outward 0, SEL_DATA
return_short:  outward 0, SEL_USER_DATA
iret_absent:   outward 4, SEL_ABSENT3
iret_short:    outward 4, SEL_USER_DATA
return_inward:
    movl $SEL_CODE1, space + 4
    movl $space, row_esp
    ret

event1:        put_event SEL_CODE1, 0
event1_trusted: orl $0x3000, row_flags; jmp event1
event_tss:     movw $0xb, gdt + SEL_TASK; call load_task; jmp event1
event_null:    inner event1, 1
event_dpl:     inner event1, SEL_DATA + 1
event_absent:  inner event1, SEL_ABSENT1
event_tiny:    inner event1, SEL_TINY1
event_tiny_short: inner event_short, SEL_TINY1
event_short:   put_event SEL_SHORT1, 0x1000
event_absent_code: put_event SEL_ABSENT_CODE1, 0
event_data:    put_event SEL_DATA, 0
event_type:    put_event SEL_CODE32, 0, 0xe0
event_gone:    put_event SEL_CODE32, 0, 0x6e
event_task:    put_event SEL_DATA, 0, 0xe5
event_task_local: put_event 0x14, 0, 0xe5
    .section .note.GNU-stack, "", @progbits
