/* Paging outside of long mode: two levels with 4 KiB and 4 MiB pages, and PAE with its four directory pointers.
 *
 * A fault is recorded by a 32-bit handler, which maps the page and lets the instruction go on. */
#include "lib.inc"

#define WINDOW  0x40000000
#define E_P     1
#define E_W     2
#define RIGHTS  (PTE_P | PTE_W | PTE_U)

    .data
    .globl test_name
test_name: .asciz "paging32"
    .balign 8
saved_rsp:    .quad 0
seen_small:   .quad 0
seen_large:   .quad 0
seen_dirty:   .quad 0
seen_error:   .quad 0
seen_cr2:     .quad 0
seen_after:   .quad 0
seen_write:   .quad 0
seen_pae:     .quad 0
seen_pae_2m:  .quad 0
seen_pae_cr2: .quad 0
seen_efer:    .quad 0
repair:       .quad 0 /* address of the entry that the handler makes present */
idt32_pointer: .word 15 * 8 - 1
               .long idt32
    .balign 8
idt32:
    .fill 14, 8, 0
    .word 0, SEL_CODE32, 0x8e00, 0

    .bss
    .balign 4096
directory: .skip 4096
table:     .skip 4096
pae_dir:   .skip 4096
pae_dir1:  .skip 4096
pae_table: .skip 4096
page:      .skip 4096
    .balign 32
pointers:  .skip 32

    .text
    .globl test_main
test_main:
    mov %rsp, saved_rsp
    mov $fault32, %eax
    mov %ax, idt32 + 14 * 8
    shr $16, %eax
    mov %ax, idt32 + 14 * 8 + 6
    movl $0x12345678, page
    long_to_protected32
    lidt idt32_pointer
    /* two levels: 4 MiB at 0 one to one, a table below WINDOW, and 4 MiB at WINDOW + 4 MiB */
    mov %cr4, %eax
    and $~CR4_PAE, %eax
    or $CR4_PSE, %eax
    mov %eax, %cr4
    movl $(RIGHTS + PTE_PS), directory
    movl $(table + RIGHTS), directory + (WINDOW >> 22) * 4
    movl $(RIGHTS + PTE_PS), directory + (WINDOW >> 22) * 4 + 4
    movl $(page + RIGHTS), table
    movl $page, table + 4
    mov $directory, %eax
    mov %eax, %cr3
    mov %cr0, %eax
    or $(CR0_PG | CR0_WP), %eax
    mov %eax, %cr0
    jmp 1f
1:  mov WINDOW, %eax
    mov %eax, seen_small
    mov WINDOW + 0x400000 + page, %eax
    mov %eax, seen_large
    mov table, %eax
    and $(PTE_A | PTE_D), %eax
    mov %eax, seen_dirty
    movl $1, WINDOW + 4
    mov table, %eax
    and $(PTE_A | PTE_D), %eax
    mov %eax, seen_dirty + 4
    movl $(table + 4), repair
    mov WINDOW + 0x1000, %eax
    mov %eax, seen_after
    mov seen_error, %eax
    mov %eax, seen_error + 4
    mov seen_cr2, %eax
    mov %eax, seen_cr2 + 4
    movl $(page + PTE_P), table
    invlpg WINDOW
    movl $table, repair
    movl $0x77, WINDOW + 8
    mov seen_error, %eax
    mov %eax, seen_write
    /* PAE */
    mov %cr0, %eax
    and $~CR0_PG, %eax
    mov %eax, %cr0
    mov %cr4, %eax
    or $CR4_PAE, %eax
    mov %eax, %cr4
    movl $(pae_dir + PTE_P), pointers
    movl $(pae_dir1 + PTE_P), pointers + 8 /* 1 GiB: WINDOW */
    movl $(RIGHTS + PTE_PS), pae_dir
    movl $(pae_table + RIGHTS), pae_dir1
    movl $(RIGHTS + PTE_PS), pae_dir1 + 8
    movl $(page + RIGHTS), pae_table
    movl $page, pae_table + 8
    mov $pointers, %eax
    mov %eax, %cr3
    mov %cr0, %eax
    or $CR0_PG, %eax
    mov %eax, %cr0
    jmp 1f
1:  mov WINDOW, %eax
    mov %eax, seen_pae
    mov WINDOW + 0x200000 + page, %eax
    mov %eax, seen_pae_2m
    movl $(pae_table + 8), repair
    mov WINDOW + 0x1234, %eax
    mov seen_cr2, %eax
    mov %eax, seen_pae_cr2
    mov $MSR_EFER, %ecx
    rdmsr
    mov %eax, seen_efer
    protected32_to_long
    mov saved_rsp, %rsp
    lidt idt_pointer
    EXPECT(seen_small, $0x12345678)
    EXPECT(seen_large, $0x12345678)
    mov seen_dirty, %eax
    EXPECT(%rax, $PTE_A)
    mov seen_dirty + 4, %eax
    EXPECT(%rax, $(PTE_A | PTE_D))
    mov seen_error + 4, %eax
    EXPECT(%rax, $0)
    mov seen_cr2 + 4, %eax
    EXPECT(%rax, $(WINDOW + 0x1000))
    EXPECT(seen_after, $0x12345678)
    EXPECT(seen_write, $(E_P | E_W))
    mov page + 8, %eax
    EXPECT(%rax, $0x77)
    EXPECT(seen_pae, $0x12345678)
    EXPECT(seen_pae_2m, $0x12345678)
    EXPECT(seen_pae_cr2, $(WINDOW + 0x1234))
    mov seen_efer, %eax
    and $(EFER_LME | EFER_LMA), %eax
    EXPECT(%rax, $0)
    ret

    .code32
fault32:
    push %eax
    mov 4(%esp), %eax
    mov %eax, seen_error
    mov %cr2, %eax
    mov %eax, seen_cr2
    mov repair, %eax
    orl $RIGHTS, (%eax)
    pop %eax
    add $4, %esp
    iret
    .code64

    .section .note.GNU-stack, "", @progbits
