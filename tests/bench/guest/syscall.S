/* One way from ring 3 to ring 0 and back in a pass: SYSCALL and SYSRET. */
#include "bench.inc"

bench_program "syscall"
    enter_ring3 user

user:
    xor %eax, %eax
1:  syscall
    dec %rbp
    jnz 1b
    inc %eax
    syscall

handler:
    test %eax, %eax
    jnz 1f
    sysretq
1:  mov kernel_rsp, %rsp
    ret

    .globl bench_setup
bench_setup:
    read_msr MSR_EFER
    or $EFER_SCE, %eax
    mov $MSR_EFER, %ecx
    xor %edx, %edx
    wrmsr
    write_msr MSR_STAR, 0, (SEL_USER_CODE32 << 16 | SEL_CODE64)
    write_msr MSR_LSTAR, handler
    write_msr MSR_FMASK, IF
    lea 8(%rsp), %rax /* as it was before this call */
    mov %rax, kernel_rsp
    ret

    .bss
    .balign 8
kernel_rsp: .skip 8

    .section .note.GNU-stack, "", @progbits
