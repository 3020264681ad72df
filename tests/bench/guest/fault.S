/* One page fault in a pass: the page is made absent, touched, and made present by the handler. */
#include "bench.inc"

#define PAGE 0x2000000 /* a page of 2 MiB in RAM that nothing else uses */
#define ENTRY (boot_pd + PAGE / 0x200000 * 8)

bench_program "fault"
    andq $~PTE_P, ENTRY
    invlpg PAGE
    mov PAGE, %rax
    bench_end

handler:
    orq $PTE_P, ENTRY
    add $8, %rsp
    iretq

    .globl bench_setup
bench_setup:
    set_gate 14, handler
    ret

    .section .note.GNU-stack, "", @progbits
