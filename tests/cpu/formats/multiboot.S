/* Entered by Multiboot 1 (specification 0.6.96, chapter 3): the state at the entry, the command line, the memory
 * map and one module. */
#include "program.inc"

#define HEADER_MAGIC 0x1badb002
#define HEADER_FLAGS 3 /* page-align modules, give memory information */
#define BOOT_MAGIC   0x2badb002

#define INFO_MEMORY  0x001
#define INFO_CMDLINE 0x004
#define INFO_MODULES 0x008
#define INFO_MMAP    0x040

    .section .multiboot, "a"
    .align 4
    .long HEADER_MAGIC, HEADER_FLAGS, -(HEADER_MAGIC + HEADER_FLAGS)

    .text
    .code32
    .globl start
start:
    cmp $BOOT_MAGIC, %eax
    REQUIRE e, 1
    mov %ebx, %ebp
    mov %cr0, %eax
    and $0x80000001, %eax
    cmp $1, %eax /* protected, no paging */
    REQUIRE e, 2
    mov (%ebp), %ebx
    mov %ebx, %eax
    and $(INFO_MEMORY | INFO_CMDLINE | INFO_MODULES | INFO_MMAP), %eax
    cmp $(INFO_MEMORY | INFO_CMDLINE | INFO_MODULES | INFO_MMAP), %eax
    REQUIRE e, 3
    cmpl $0x3000, 8(%ebp) /* mem_upper, KiB: the test gives 64 MiB */
    REQUIRE a, 4

    /* the command line ends with "word=42" */
    mov 16(%ebp), %esi
    xor %eax, %eax
1:  lodsb
    test %al, %al
    jnz 1b
    cmpl $0x3d64726f, -7(%esi) /* "ord=" */
    REQUIRE e, 5
    cmpw $0x3234, -3(%esi)     /* "42" */
    REQUIRE e, 6

    /* one module, page-aligned, with what the file holds */
    cmpl $1, 20(%ebp)
    REQUIRE e, 7
    mov 24(%ebp), %edi
    mov (%edi), %esi
    test $0xfff, %esi
    REQUIRE z, 8
    cmpl $0x75646f6d, (%esi) /* "modu" */
    REQUIRE e, 9

    /* a range of RAM at 1 MiB in the memory map */
    mov 48(%ebp), %esi
    mov 44(%ebp), %ecx
    add %esi, %ecx
2:  cmp %ecx, %esi
    REQUIRE b, 10
    mov (%esi), %edx
    cmpl $0x100000, 4(%esi)
    je 3f
    lea 4(%esi, %edx), %esi
    jmp 2b
3:  cmpl $1, 20(%esi)
    REQUIRE e, 11

    SAY "multiboot: ok\n"
    EXIT $0
