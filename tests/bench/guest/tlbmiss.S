/* A load and a store in a pass, each to another of 8192 small pages: more than a TLB
 * holds, all in page tables of four levels. */
#include "bench.inc"

#define AREA  0x2000000 /* 32 MiB of RAM from 32 MiB on */
#define PAGES 8192

bench_program "tlbmiss"
    add $0x1040, %ebx /* the next page, and the next line in it */
    and $0x1ffffff, %ebx
    mov AREA(%rbx), %rax
    add $0x1000040, %ebx
    and $0x1ffffff, %ebx
    mov %rax, AREA(%rbx)
    bench_end

/* Small pages instead of 2 MiB ones, from AREA on. */
    .globl bench_setup
bench_setup:
    mov $tables, %edi
    mov $(AREA + PTE_P + PTE_W), %eax
    mov $PAGES, %ecx
1:  mov %rax, (%rdi)
    add $0x1000, %eax
    add $8, %edi
    loop 1b
    mov $(boot_pd + AREA / 0x200000 * 8), %edi
    mov $(tables + PTE_P + PTE_W), %eax
    mov $(PAGES / 512), %ecx
1:  mov %rax, (%rdi)
    add $0x1000, %eax
    add $8, %edi
    loop 1b
    mov %cr3, %rax
    mov %rax, %cr3
    xor %ebx, %ebx
    ret

    .bss
    .balign 4096
tables: .skip 8 * PAGES

    .section .note.GNU-stack, "", @progbits
