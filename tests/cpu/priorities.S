/* Which exception is raised where several have a cause, with which error code, CR2 and saved RIP, in 64-bit mode: a row
 * for each situation (SDM vol. 3 6.9 and 6.13, and the exceptions of each instruction in vol. 2).
 *
 * A row is ROW(setup, ring, vector, error, CR2, instruction): `setup` is a routine that arranges things, or 0; CR2 is
 * ANY where it does not matter. Registers are then as `presets` has them, and RSP as row_rsp:
 *   rax, rbp not canonical    rbx in an absent page       rcx, rdx 0         rsi 64 aligned bytes
 *   rdi 2 bytes before an absent page       r8 in a read-only page           r9 in a page of ring 0
 *   r10 in a page with a reserved bit set   r11 the first address beyond those that are canonical
 * Ring 1 stands for compatibility mode in ring 0. Vector 3 is what comes when nothing is raised. Every handler has a
 * stack of its own, so that RSP may be anything. */
#include "lib.inc"
#include "rows.inc"

#define NC      0x8000000000000000
#define WINDOW  0x8000000000 /* pages: writable, absent, read-only, of ring 0, reserved bit, absent, writable */
#define EDGE    (WINDOW + 0x1000)
#define ABSENT  (EDGE + 0x100)
#define TOP     0x00007ffffffffffe /* the last 2 bytes of the lower canonical addresses, in a page that is there */
#define IDT_OF(vector) ((vector) * 8 + 2)

#define SEL_NP_DATA  SEL_FREE        /* absent */
#define SEL_NP_CODE  (SEL_FREE + 8)  /* absent, DPL 0 */
#define SEL_LDT      (SEL_FREE + 16) /* two entries; its table is at ABSENT */
#define SEL_GATE     (SEL_FREE + 32) /* call gate for all rings to the code that `gate_to` names */
#define SEL_NP_GATE  (SEL_FREE + 48) /* absent */
#define SEL_TYPED    (SEL_FREE + 64) /* a TSS with a type in its upper half */
#define SEL_BOTH     (SEL_FREE + 80) /* code with L and D */
#define SEL_OTHER    (SEL_FREE + 88) /* another TSS descriptor: two entries */
#define SEL_LAST     0xf8            /* the table's last */

#define ROW(setup, ring, vector, error, cr2, ...) ROW_AT(0, setup, ring, vector, error, cr2, __VA_ARGS__)
/* With another saved RIP than the instruction's. */
#define ROW_AT(rip, setup, ring, vector, error, cr2, ...)                                          \
    ROW_BUT(0, rip, setup, ring, vector, error, cr2, __VA_ARGS__)
/* QEMU 7.2's TCG does something else, which `why` says. */
#define NOT_TCG(why, setup, ring, vector, error, cr2, ...)                                         \
    ROW_BUT(why, 0, setup, ring, vector, error, cr2, __VA_ARGS__)

    .data
    .globl test_name
test_name: .asciz "priorities"
/* What QEMU 7.2's TCG does otherwise. */
ud_late:    .asciz "#UD only after other checks, or not at all, and EM after TS"
no_gd:      .asciz "DR7.GD"
x87_late:   .asciz "#MF of a pending exception"
no_mxcsr:   .asciz "#XM, and reserved bits of MXCSR"
xsave_late: .asciz "XSAVE: #NM, and that it writes"
no_probe:   .asciz "ENTER, CMPXCHG and others: that they are going to write"
no_ss:      .asciz "#SS of addresses that are not canonical"
no_border:  .asciz "an access across the end of the canonical addresses"
no_target:  .asciz "targets that are not canonical: #GP only when they are reached"
no_p:       .asciz "P beside RSVD in #PF's error code"
aborts:     .asciz "LTR of the null selector, which ends QEMU"
no_checks:  .asciz "IRET and RET: L with D, the order of checks, a null SS outside of 64-bit code"
no_types:   .asciz "LTR of a TSS of 16 bits"
gate_codes: .asciz "error codes of gates: the vector times 16, and EXT"
    .balign 64
space:     .fill 4096, 1, 0
presets:   .quad NC, ABSENT, 0, 0, space, EDGE - 2, NC, WINDOW + 0x2100
           .quad WINDOW + 0x3100, WINDOW + 0x4100, 0x0000800000000000
now:       .fill 11, 8, 0 /* what a setup may change */
row_rsp:   .quad 0
row_flags: .quad 0
base_cr0:  .quad 0
base_cr4:  .quad 0
own_rsp:   .quad 0
far_to:    .long 0x1000
           .word 0
far_code:  .long 0x1000
           .word SEL_CODE64
    .balign 8
frame:     .fill 5, 8, 0
x87_word:  .word 0x37b /* division by zero is not masked */
mxcsr:     .long 0x1d80
default:   .long 0x1f80
    .balign 4096
pdpt:      .fill 512, 8, 0
top_pdpt:  .fill 512, 8, 0
pd:        .fill 512, 8, 0
pt:        .fill 512, 8, 0
pages:     .fill 2 * 4096, 1, 0

    .text
/* #UD goes before everything that an operand or a ring could raise */
ROW(0, 0, 6, 0, ANY, ud2)
NOT_TCG(ud_late, 0, 0, 6, 0, ANY, .byte 0xf0; mov (%rax), %ecx)
ROW(0, 0, 6, 0, ANY, .byte 0xf0; add %eax, %ecx)
ROW(0, 0, 6, 0, ANY, .byte 0xf0; cmp %ecx, (%rax))
NOT_TCG(ud_late, 0, 3, 6, 0, ANY, .byte 0xf0; hlt)
NOT_TCG(ud_late, 0, 3, 6, 0, ANY, .byte 0x0f, 0x20, 0xc8) /* MOV from CR1 */
NOT_TCG(ud_late, 0, 3, 6, 0, ANY, .byte 0x0f, 0x22, 0xe8) /* MOV to CR5 */
NOT_TCG(ud_late, set_de, 3, 6, 0, ANY, mov %dr4, %rcx)
ROW(0, 3, 13, 0, ANY, mov %dr4, %rcx)
ROW(0, 3, 13, 0, ANY, mov %cr0, %rcx)
ROW(set_gd, 3, 13, 0, ANY, mov %dr0, %rcx)
NOT_TCG(no_gd, set_gd, 0, 1, 0, ANY, mov %dr0, %rcx)
ROW(0, 3, 6, 0, ANY, clac)
ROW(0, 3, 6, 0, ANY, syscall)
ROW(0, 3, 6, 0, ANY, sysretq)
ROW(0, 3, 6, 0, ANY, .byte 0x8e, 0x08) /* MOV to CS from memory that is not canonical */
NOT_TCG(ud_late, 0, 0, 6, 0, ANY, .byte 0xf3, 0x0f, 0xae, 0x00) /* FXSAVE */
NOT_TCG(ud_late, 0, 0, 6, 0, ANY, .byte 0x66, 0x0f, 0x01, 0xca) /* CLAC */
/* the ring goes before the operand */
ROW(0, 3, 13, 0, ANY, hlt)
ROW(0, 3, 13, 0, ANY, lgdt (%rbx))
ROW(0, 3, 13, 0, ANY, lidt (%rbx))
ROW(0, 3, 13, 0, ANY, lldt (%rbx))
ROW(0, 3, 13, 0, ANY, ltr (%rbx))
ROW(0, 3, 13, 0, ANY, lmsw (%rbx))
ROW(0, 3, 13, 0, ANY, invlpg (%rbp))
ROW(0, 3, 13, 0, ANY, swapgs)
ROW(0, 3, 13, 0, ANY, wrmsr)
ROW(0, 3, 13, 0, ANY, in %dx, %al)
ROW(to_absent, 3, 13, 0, ANY, rep insb)
ROW(set_tsd, 3, 13, 0, ANY, rdtsc)
ROW(0, 0, 3, 0, ANY, invlpg (%rax))
/* x87, MMX, SSE: #UD, #NM, #MF, then alignment, then pages */
ROW(no_osfxsr, 0, 6, 0, ANY, movaps 1(%rbx), %xmm0)
NOT_TCG(ud_late, set_em_ts, 0, 6, 0, ANY, movaps 1(%rbx), %xmm0)
ROW(set_ts, 0, 7, 0, ANY, movaps 1(%rbx), %xmm0)
ROW(0, 0, 13, 0, ANY, movaps 1(%rbx), %xmm0)
ROW(0, 0, 14, 0, ABSENT, movaps (%rbx), %xmm0)
ROW(0, 0, 14, 0, ABSENT + 1, movups 1(%rbx), %xmm0)
NOT_TCG(ud_late, set_em_ts, 0, 6, 0, ANY, paddb (%rbx), %mm0)
ROW(set_ts, 0, 7, 0, ANY, paddb (%rbx), %mm0)
NOT_TCG(x87_late, pending, 0, 16, 0, ANY, paddb (%rbx), %mm0)
ROW(pending_ts, 0, 7, 0, ANY, flds (%rbx))
NOT_TCG(x87_late, pending, 0, 16, 0, ANY, flds (%rbx))
ROW(pending, 0, 14, 2, ABSENT, fnstenv (%rbx))
ROW(set_em, 0, 7, 0, ANY, flds (%rbx))
ROW(0, 0, 14, 0, ABSENT, flds (%rbx))
ROW(set_ts, 0, 7, 0, ANY, fxsave 1(%rbx))
ROW(set_em, 0, 7, 0, ANY, fxsave 1(%rbx))
ROW(0, 0, 13, 0, ANY, fxsave 1(%rbx))
ROW(0, 0, 14, 2, ABSENT, fxsave (%rbx))
ROW(0, 0, 14, 0, ABSENT, ldmxcsr (%rbx))
NOT_TCG(no_mxcsr, bad_mxcsr, 0, 13, 0, ANY, ldmxcsr (%rsi))
NOT_TCG(no_mxcsr, divide, 0, 19, 0, ANY, divss %xmm1, %xmm0)
NOT_TCG(no_mxcsr, divide_ud, 0, 6, 0, ANY, divss %xmm1, %xmm0)
ROW(divide, 0, 14, 0, ABSENT, divss (%rbx), %xmm0)
/* VEX and XSAVE */
ROW(set_ts, 0, 6, 0, ANY, vaddps (%rbx), %ymm0, %ymm0)
ROW(avx_ts, 0, 7, 0, ANY, vaddps (%rbx), %ymm0, %ymm0)
ROW(avx, 0, 14, 0, ABSENT, vaddps (%rbx), %ymm0, %ymm0)
ROW(avx, 0, 13, 0, ANY, vmovaps 1(%rbx), %ymm0)
ROW(avx, 0, 6, 0, ANY, .byte 0x66; vaddps (%rbx), %ymm0, %ymm0)
ROW(set_ts, 0, 6, 0, ANY, xsave 1(%rbx))
NOT_TCG(xsave_late, avx_ts, 0, 7, 0, ANY, xsave 1(%rbx))
ROW(avx, 0, 13, 0, ANY, xsave 1(%rbx))
NOT_TCG(xsave_late, avx, 0, 14, 2, ABSENT, xsave (%rbx))
NOT_TCG(ud_late, 0, 3, 6, 0, ANY, xsetbv)
ROW(avx, 3, 13, 0, ANY, xsetbv)
ROW(0, 0, 13, 0, ANY, cmpxchg16b 8(%rbx))
NOT_TCG(no_probe, 0, 0, 14, 2, ABSENT, cmpxchg16b (%rbx))
/* operands are fetched before they are divided by */
ROW(0, 0, 14, 0, ABSENT, divl (%rbx))
ROW(0, 0, 0, 0, ANY, divl (%rsi))
ROW(0, 0, 0, 0, ANY, div %ecx)
/* not canonical: #SS(0) by way of the stack, else #GP(0); both before #PF */
ROW(0, 0, 13, 0, ANY, mov (%rax), %ecx)
NOT_TCG(no_ss, 0, 0, 12, 0, ANY, mov (%rbp), %ecx)
NOT_TCG(no_ss, 0, 0, 12, 0, ANY, mov %cl, (%rbp, %rcx, 2))
ROW(0, 0, 13, 0, ANY, mov (%rcx, %rbp), %ecx)
ROW(0, 0, 13, 0, ANY, mov %fs:(%rbp), %ecx)
NOT_TCG(no_ss, 0, 0, 12, 0, ANY, .byte 0x3e; mov (%rbp), %ecx) /* DS counts for nothing */
ROW(0, 0, 13, 0, ANY, .byte 0x36; mov (%rax), %ecx) /* nor does SS */
NOT_TCG(no_ss, 0, 0, 12, 0, ANY, movups (%rbp), %xmm0)
NOT_TCG(no_ss, 0, 0, 12, 0, ANY, flds (%rbp))
NOT_TCG(no_ss, 0, 0, 12, 0, ANY, lgdt (%rbp))
ROW(0, 0, 13, 0, ANY, movabs NC, %al)
NOT_TCG(no_border, 0, 0, 13, 0, ANY, mov -4(%r11), %rcx)
ROW(0, 0, 14, 0, 0xfffffffffffffffc, mov -4, %rcx)
ROW(fs_border, 0, 13, 0, ANY, mov %fs:1(%rcx), %cl)
ROW(fs_wraps, 0, 3, 0, ANY, mov %fs:1(%rcx), %cl)
ROW(to_nc, 0, 13, 0, ANY, rep stosb)
ROW(to_nc, 0, 13, 0, ANY, lodsb)
ROW(to_nc, 0, 13, 0, ANY, scasb)
ROW(0, 0, 14, 0, ABSENT, xlat)
NOT_TCG(no_ss, stack_nc, 0, 12, 0, ANY, push %rcx)
NOT_TCG(no_ss, stack_nc, 0, 12, 0, ANY, pop %rcx)
NOT_TCG(no_ss, stack_nc, 0, 12, 0, ANY, pushfq)
NOT_TCG(no_ss, stack_nc, 0, 12, 0, ANY, popfq)
NOT_TCG(no_ss, stack_nc, 0, 12, 0, ANY, ret)
NOT_TCG(no_ss, stack_nc, 0, 12, 0, ANY, lretq)
NOT_TCG(no_ss, stack_nc, 0, 12, 0, ANY, iretq)
NOT_TCG(no_ss, stack_nc, 0, 12, 0, ANY, call *%rbx)
NOT_TCG(no_ss, stack_nc, 0, 12, 0, ANY, call 7b)
NOT_TCG(no_ss, stack_nc, 0, 12, 0, ANY, lcall *far_code)
NOT_TCG(no_ss, stack_nc, 0, 12, 0, ANY, push %fs)
ROW(stack_nc, 0, 13, 0, ANY, call *%rax)
ROW(stack_nc, 0, 14, 0, ABSENT, call *(%rbx))
ROW(stack_nc, 0, 13, 0, ANY, push (%rax))
ROW(stack_nc, 0, 14, 0, ABSENT, push (%rbx))
ROW(0, 0, 13, 0, ANY, pop (%rax))
NOT_TCG(no_ss, 0, 0, 12, 0, ANY, pop (%rbp))
NOT_TCG(no_ss, stack_nc, 0, 12, 0, ANY, enter $0, $0)
NOT_TCG(no_ss, 0, 0, 12, 0, ANY, enter $16, $2) /* the frame that rbp has */
NOT_TCG(no_probe, stack_edge, 0, 14, 2, WINDOW + 0x5ef8, enter $0x200, $0) /* where the next push would be */
NOT_TCG(no_ss, 0, 0, 12, 0, ANY, leave)
NOT_TCG(no_target, 0, 0, 13, 0, ANY, jmp *%rax)
NOT_TCG(no_target, ret_nc, 0, 13, 0, ANY, ret)
/* error codes of #PF; of two pages the second's first byte */
ROW(0, 3, 14, 4, ABSENT, mov (%rbx), %cl)
ROW(0, 3, 14, 6, ABSENT, mov %cl, (%rbx))
ROW(0, 0, 14, 3, WINDOW + 0x2100, mov %cl, (%r8))
ROW(0, 3, 14, 7, WINDOW + 0x2100, mov %cl, (%r8))
ROW(0, 3, 14, 5, WINDOW + 0x3100, mov (%r9), %cl)
ROW(0, 3, 14, 7, WINDOW + 0x3100, mov %cl, (%r9))
NOT_TCG(no_p, 0, 0, 14, 9, WINDOW + 0x4100, mov (%r10), %cl)
NOT_TCG(no_p, 0, 3, 14, 15, WINDOW + 0x4100, mov %cl, (%r10))
ROW_AT(ABSENT, 0, 0, 14, 16, ABSENT, jmp *%rbx)
ROW_AT(ABSENT, 0, 3, 14, 20, ABSENT, jmp *%rbx)
ROW_AT(WINDOW + 0x3100, 0, 3, 14, 21, WINDOW + 0x3100, jmp *%r9)
ROW(0, 0, 14, 0, EDGE, mov (%rdi), %ecx)
ROW(0, 0, 14, 2, EDGE, mov %ecx, (%rdi))
NOT_TCG(no_probe, 0, 0, 14, 2, EDGE, incl (%rdi))
NOT_TCG(no_probe, 0, 0, 14, 2, EDGE, lock xadd %ecx, (%rdi))
NOT_TCG(no_probe, 0, 0, 14, 2, EDGE, cmpxchg %ecx, (%rdi))
ROW(0, 0, 14, 2, EDGE, movups %xmm0, (%rdi))
ROW(0, 0, 14, 2, EDGE, sgdt (%rdi))
ROW(0, 0, 14, 2, EDGE, fnsave (%rdi))
ROW(0, 0, 14, 2, EDGE, movsl)
ROW(0, 0, 14, 0, EDGE, lcall *(%rdi))
ROW(0, 0, 14, 2, WINDOW + 0x1ffc, mov %rcx, -0x104(%r8)) /* both pages fault */
/* fetches: breakpoint, then the page, then length, then #UD */
ROW_AT(ABSENT, break_absent, 0, 1, 0, ANY, jmp *%rbx)
ROW_AT(EDGE - 2, code_edge, 0, 14, 16, EDGE, jmp *%rdi)
ROW_AT(EDGE - 2, code_prefixes, 0, 14, 16, EDGE, jmp *%rdi)
ROW_BUT(no_border, TOP, code_top, 0, 13, 0, ANY, jmp *%rcx)
ROW(0, 0, 13, 0, ANY, .fill 15, 1, 0x66; nop)
ROW(0, 0, 13, 0, ANY, .fill 14, 1, 0x66; ud2)
/* selectors: type and rights go before presence */
ROW(load_np, 0, 11, SEL_NP_DATA, ANY, mov %ecx, %ds)
ROW(load_np, 0, 12, SEL_NP_DATA, ANY, mov %ecx, %ss)
ROW(load_np, 3, 13, SEL_NP_DATA, ANY, mov %ecx, %ds)
ROW(load_np_code, 0, 13, SEL_NP_CODE, ANY, mov %ecx, %ss)
ROW(load_local, 0, 14, 0, ABSENT + 8, mov %ecx, %ds)
ROW(load_local, 3, 14, 0, ABSENT + 8, mov %ecx, %fs)
ROW(load_local, 3, 14, 0, ABSENT + 8, lar %ecx, %edx)
ROW(load_local, 3, 14, 0, ABSENT + 8, verr %cx)
ROW(load_beyond, 0, 13, 0x14, ANY, mov %ecx, %ds)
ROW(load_typed, 0, 13, SEL_TYPED, ANY, ltr %cx)
NOT_TCG(no_checks, 0, 1, 13, 0, ANY, mov %ecx, %ss) /* a null SS is for 64-bit code */
NOT_TCG(aborts, 0, 0, 13, 0, ANY, ltr %cx)
/* what only legacy modes have: tasks, gates and TSS of 16 bits */
NOT_TCG(no_types, load_narrow, 0, 13, SEL_OTHER, ANY, ltr %cx)
ROW(load_narrow_busy, 0, 13, SEL_OTHER, ANY, ltr %cx)
ROW(load_last, 0, 13, SEL_LAST, ANY, ltr %cx) /* half of it is beyond the table */
ROW(load_last_table, 0, 13, SEL_LAST, ANY, lldt %cx)
ROW(far_tss, 0, 13, SEL_TSS, ANY, ljmp *far_to)
ROW(far_tss, 0, 13, SEL_TSS, ANY, lcall *far_to)
ROW(far_narrow_tss, 0, 13, SEL_OTHER, ANY, ljmp *far_to)
ROW(far_narrow_gate, 0, 13, SEL_OTHER, ANY, ljmp *far_to)
ROW(far_narrow_gate, 0, 13, SEL_OTHER, ANY, lcall *far_to)
ROW(far_task_gate, 0, 13, SEL_OTHER, ANY, lcall *far_to)
ROW(far_null, 0, 13, 0, ANY, ljmp *far_to)
ROW(far_data, 0, 13, SEL_DATA, ANY, ljmp *far_to)
ROW(far_np, 0, 11, SEL_NP_CODE, ANY, ljmp *far_to)
ROW(far_np, 3, 13, SEL_NP_CODE, ANY, ljmp *far_to)
ROW(far_gate_np, 0, 11, SEL_NP_GATE, ANY, ljmp *far_to)
ROW(gate_np_code, 0, 11, SEL_NP_CODE, ANY, lcall *far_to)
ROW(gate_np_code, 3, 13, SEL_NP_CODE, ANY, ljmp *far_to)
ROW(gate_null, 0, 13, 0, ANY, lcall *far_to)
ROW(gate_data, 0, 13, SEL_DATA, ANY, lcall *far_to)
NOT_TCG(no_target, gate_nc, 0, 13, 0, ANY, ljmp *far_to)
NOT_TCG(no_target, gate_nc_stack_absent, 0, 13, 0, ANY, lcall *far_to)
ROW(gate_ring0_stack_nc, 3, 12, 0, ANY, lcall *far_to)
ROW(gate_typed, 0, 13, SEL_GATE, ANY, ljmp *far_to)
/* IRET and RET: code segment, stack segment, then where they lead */
ROW(set_nt, 0, 13, 0, ANY, iretq)
ROW(frame_null, 0, 13, 0, ANY, iretq)
ROW(frame_data, 0, 13, SEL_DATA, ANY, iretq)
ROW(frame_np, 0, 11, SEL_NP_CODE, ANY, iretq)
NOT_TCG(no_checks, frame_both, 0, 13, SEL_BOTH, ANY, iretq)
NOT_TCG(no_checks, frame_both, 0, 13, SEL_BOTH, ANY, lretq)
NOT_TCG(no_target, frame_nc, 0, 13, 0, ANY, iretq)
NOT_TCG(no_checks, frame_ss_np, 0, 12, SEL_NP_DATA, ANY, iretq)
ROW(frame_ss_null, 0, 13, 0, ANY, iretq)
NOT_TCG(no_checks, frame_compat_null, 0, 13, 0, ANY, iretq)
ROW(frame_ss_user, 0, 13, SEL_DATA, ANY, lretq)
/* through the IDT: what the program asked for has no EXT */
NOT_TCG(gate_codes, 0, 3, 13, IDT_OF(0x80), ANY, int $0x80)
NOT_TCG(gate_codes, gate_bad_type, 0, 13, IDT_OF(0x81), ANY, int $0x81)
NOT_TCG(gate_codes, gate_task, 0, 13, IDT_OF(0x81), ANY, int $0x81)
NOT_TCG(gate_codes, gate_interrupt16, 0, 13, IDT_OF(0x81), ANY, int $0x81)
NOT_TCG(gate_codes, gate_trap16, 0, 13, IDT_OF(0x81), ANY, int $0x81)
NOT_TCG(gate_codes, ud_bad_type, 0, 13, IDT_OF(6) + 1, ANY, ud2)
NOT_TCG(gate_codes, ud_absent, 0, 11, IDT_OF(6) + 1, ANY, ud2)
NOT_TCG(gate_codes, ud_null, 0, 13, 1, ANY, ud2)
NOT_TCG(gate_codes, ud_data, 0, 13, SEL_DATA + 1, ANY, ud2)
NOT_TCG(gate_codes, ud_np_code, 0, 11, SEL_NP_CODE + 1, ANY, ud2)
NOT_TCG(gate_codes, ud_nc, 0, 13, 1, ANY, ud2)
NOT_TCG(gate_codes, ud_stack_nc, 0, 12, 1, ANY, ud2)
ROW(ud_stack_nc, 0, 12, 0, ANY, int $0x82)
NOT_TCG(gate_codes, ud_stack_nc, 0, 12, 1, ANY, .byte 0xf1) /* INT1 is not INT n */
ROW(de_absent, 0, 8, 0, ANY, div %ecx)
NOT_TCG(gate_codes, small_tss, 0, 10, SEL_OTHER + 1, ANY, ud2)
ROW(small_tss, 0, 10, SEL_OTHER, ANY, int $0x82)
ROW(ud_stack_absent, 0, 14, 2, ABSENT - 8, ud2)

#include "priorities.inc"
    .section .note.GNU-stack, "", @progbits
