/* What a supervisor keeps from user programs, and from itself: SMEP, SMAP, UMIP; translations that stay or go: global
 * pages, PCID, INVPCID; FSGSBASE, RDPID, RDRAND. What the processor does not offer is left out. */
#include "lib.inc"

#define CR4_PGE      0x80
#define CR4_UMIP     0x800
#define CR4_FSGSBASE 0x10000
#define CR4_PCIDE    0x20000
#define CR4_SMEP     0x100000
#define CR4_SMAP     0x200000
#define AC           0x40000
#define PTE_G        0x100
#define MSR_TSC_AUX  0xc0000103

/* A window of 4 KiB pages at 64 GiB, which no other table maps. */
#define WINDOW 0x1000000000

    .data
    .globl test_name
test_name:  .asciz "supervisor"
    .balign 16
descriptor: .quad 0, 0
word:       .quad 0

    .bss
    .balign 4096
window_pdpt: .skip 4096
window_pd:   .skip 4096
window_pt:   .skip 4096
page_a:      .skip 4096
page_b:      .skip 4096

    .text
/* Go on at `to`, with a word, unless bit `bit` of `reg` of this leaf is set. rbx = WINDOW. */
.macro need_feature leaf, reg, bit, name, to
    .pushsection .rodata
.Lname\@:
    .asciz "the processor does not offer \name"
    .popsection
    mov $\leaf, %eax
    xor %ecx, %ecx
    cpuid
    bt $\bit, \reg
    movabs $WINDOW, %rbx
    jc .Lhas\@
    mov $.Lname\@, %esi
    call print_absent
    jmp \to
.Lhas\@:
.endm

.macro set_cr4 bits
    mov %cr4, %rax
    or $(\bits), %rax
    mov %rax, %cr4
.endm
.macro clear_cr4 bits
    mov %cr4, %rax
    and $~(\bits), %rax
    mov %rax, %cr4
.endm

/* Page `n` of the window leads to `to`, with rights `bits`. What was known of it stays known. */
.macro point n, to, bits
    movq $(\to + PTE_P + (\bits)), window_pt + 8 * \n
.endm

    .globl test_main
test_main:
    reset_gate 3, (GATE_INTERRUPT | GATE_USER)
    mov $boot_pdpt, %esi /* the first 4 GiB come along */
    mov $window_pdpt, %edi
    mov $4, %ecx
    rep movsq
    movq $(window_pd + PTE_P + PTE_W + PTE_U), window_pdpt + 8 * (WINDOW >> 30)
    movq $(window_pt + PTE_P + PTE_W + PTE_U), window_pd
    movq $(window_pdpt + PTE_P + PTE_W + PTE_U), boot_pml4
    mov %cr3, %rax
    mov %rax, %cr3
    movq $0xaaaa, page_a
    movq $0xbbbb, page_b
    call smep
    call smap
    call umip
    call globals
    call pcid
    call invpcid_types
    call fs_gs_base
    call numbers
    call memory_types
    ret

/* SMEP: a supervisor does not execute what belongs to the user; the error code says that it was a fetch. */
smep:
    need_feature 7, %ebx, 7, "SMEP", 99f
    movb $0xc3, page_a + 8 /* RET */
    point 0, page_a, (PTE_W | PTE_U)
    point 1, page_a, PTE_W
    invlpg (%rbx)
    lea 8(%rbx), %rcx
    call *%rcx
    lea 0x1008(%rbx), %rdx
    /* the first 4 GiB are the user's: the program would end */
    call supervisor_pages
    set_cr4 CR4_SMEP
    call *%rdx
    ARM(1f)
    call *%rcx
1:  EXPECT(exc_vector, $14)
    EXPECT(exc_error, $0x11)
    EXPECT(exc_cr2, %rcx)
    EXPECT(exc_rip, %rcx)
    mov (%rbx), %rax /* data is another matter */
    clear_cr4 CR4_SMEP
    call *%rcx
    call user_pages
99: ret

/* The first 4 GiB as the supervisor's alone, or again as everybody's. */
supervisor_pages:
    push %rcx
    push %rdi
    mov $2048, %ecx
    mov $boot_pd, %edi
1:  andq $~PTE_U, (%rdi)
    add $8, %rdi
    loop 1b
    jmp flush
user_pages:
    push %rcx
    push %rdi
    mov $2048, %ecx
    mov $boot_pd, %edi
1:  orq $PTE_U, (%rdi)
    add $8, %rdi
    loop 1b
flush:
    mov %cr3, %rax
    mov %rax, %cr3
    pop %rdi
    pop %rcx
    ret

/* SMAP: nor does it read or write it, unless EFLAGS.AC is set; implicit accesses never do. */
smap:
    need_feature 7, %ebx, 20, "SMAP", 99f
    call supervisor_pages
    point 0, page_a, (PTE_W | PTE_U)
    point 1, page_a, PTE_W
    invlpg (%rbx)
    invlpg 0x1000(%rbx)
    set_cr4 CR4_SMAP
    mov 0x1000(%rbx), %rax
    EXPECT(%rax, $0xaaaa)
    FAULTS(14, 1, mov (%rbx), %rax)
    EXPECT(exc_cr2, %rbx)
    FAULTS(14, 3, mov %rax, (%rbx))
    leave_out_on_tcg "a locked instruction faults as a write", 1f
    FAULTS(14, 3, lock incl (%rbx))
1:  stac
    EXPECT_FLAGS(AC, AC)
    mov (%rbx), %rax
    EXPECT(%rax, $0xaaaa)
    movq $0xaaab, (%rbx)
    movq $0xaaaa, (%rbx)
    clac
    EXPECT_FLAGS(AC, 0)
    FAULTS(14, 1, mov (%rbx), %rax)
    /* by POPF, too */
    pushfq
    orl $AC, (%rsp)
    popfq
    mov (%rbx), %rax
    EXPECT(%rax, $0xaaaa)
    /* a descriptor table is an implicit access, whatever AC: a local one, in the window */
    mov gdt + SEL_DATA, %rax
    mov %rax, page_b + 8
    point 2, page_b, (PTE_W | PTE_U)
    movabs $0x0000820020000fff, %rax
    mov %rax, gdt + SEL_FREE
    movq $(WINDOW >> 32), gdt + SEL_FREE + 8
    mov $SEL_FREE, %eax
    lldt %ax
    leave_out_on_tcg "EFLAGS.AC and implicit accesses", 1f
    mov $12, %eax
    FAULTS(14, 1, mov %eax, %es)
    stac
    FAULTS(14, 1, mov %eax, %es)
1:  xor %eax, %eax
    lldt %ax
    movq $0xbbbb, page_b
    clac
    movq $0xaaaa, (page_a)
    /* reading, not fetching: SMAP alone lets it execute */
    movb $0xc3, page_a + 8
    lea 8(%rbx), %rcx
    call *%rcx
    clear_cr4 CR4_SMAP
    mov (%rbx), %rax
    EXPECT(%rax, $0xaaaa)
    call user_pages
    /* not for user programs */
    ARM(1f)
    enter_ring3 2f
2:  stac
1:  EXPECT(exc_vector, $6)
    EXPECT(exc_rip, $2b)
99: ret

/* UMIP: five instructions that tell where tables lie fault in ring 3. */
#define KEPT(...)                                                                                  \
    ARM(9f);                                                                                       \
    enter_ring3 8f;                                                                                \
    8: __VA_ARGS__;                                                                                \
    int3;                                                                                          \
    9: EXPECT(exc_vector, $13);                                                                    \
    EXPECT(exc_error, $0);                                                                         \
    EXPECT(exc_rip, $8b)
umip:
    need_feature 7, %ecx, 2, "UMIP", 99f
    ARM(1f)
    enter_ring3 2f
2:  smsw %eax
    sgdt descriptor
    int3
1:  EXPECT(exc_vector, $3)
    set_cr4 CR4_UMIP
    smsw %eax
    sldt %eax
    KEPT(smsw %eax)
    KEPT(sldt %eax)
    KEPT(str %eax)
    KEPT(sgdt descriptor)
    KEPT(sidt descriptor)
    clear_cr4 CR4_UMIP
99: ret

/* A load of CR3 drops what is not global; INVLPG and CR4.PGE drop everything. */
globals:
    need_feature 1, %edx, 13, "global pages", 99f
    set_cr4 CR4_PGE
    point 0, page_a, PTE_G
    point 1, page_a, 0
    invlpg (%rbx)
    invlpg 0x1000(%rbx)
    mov (%rbx), %rax
    mov 0x1000(%rbx), %rax
    point 0, page_b, PTE_G
    point 1, page_b, 0
    mov %cr3, %rax
    mov %rax, %cr3
    mov 0x1000(%rbx), %rax
    EXPECT(%rax, $0xbbbb)
    mov (%rbx), %rax /* may be either on a real processor, which may forget at any time */
    leave_out_on_tcg "global pages survive", 1f
    EXPECT(%rax, $0xaaaa)
1:  invlpg (%rbx)
    mov (%rbx), %rax
    EXPECT(%rax, $0xbbbb)
    point 0, page_a, PTE_G
    clear_cr4 CR4_PGE
    mov (%rbx), %rax
    EXPECT(%rax, $0xaaaa)
99: ret

/* PCID: where CR4.PCIDE may be set, and what CR3 takes then. */
pcid:
    need_feature 1, %ecx, 17, "PCID", 99f
    mov %cr4, %rcx
    or $CR4_PCIDE, %rcx
    mov %cr3, %rdx
    or $8, %rdx
    mov %rdx, %cr3
    FAULTS(13, 0, mov %rcx, %cr4)
    and $-4096, %rdx
    mov %rdx, %cr3
    mov %rcx, %cr4
    lea 5(%rdx), %rax
    mov %rax, %cr3
    mov %cr3, %rcx
    EXPECT(%rcx, %rax)
    /* bit 63 is taken and not kept */
    point 0, page_a, 0
    invlpg (%rbx)
    mov (%rbx), %rcx
    lea 6(%rdx), %rax
    bts $63, %rax
    mov %rax, %cr3
    mov %cr3, %rcx
    lea 6(%rdx), %rax
    EXPECT(%rcx, %rax)
    /* another PCID without bit 63: what it knew is gone */
    point 0, page_b, 0
    mov %rax, %cr3
    mov (%rbx), %rax
    EXPECT(%rax, $0xbbbb)
    lea 5(%rdx), %rax
    mov %rax, %cr3
    mov (%rbx), %rax
    EXPECT(%rax, $0xbbbb)
    bts $62, %rdx
    FAULTS(13, 0, mov %rdx, %cr3)
    btr $62, %rdx
    mov %cr0, %rcx
    btr $31, %rcx
    FAULTS(13, 0, mov %rcx, %cr0)
    mov %rdx, %cr3
    clear_cr4 CR4_PCIDE
    bts $63, %rdx
    FAULTS(13, 0, mov %rdx, %cr3)
99: ret

/* INVPCID: each type drops what it says, at least; operands that are wrong. */
invpcid_types:
    need_feature 7, %ebx, 10, "INVPCID", 99f
    movq $0, descriptor
    mov %rbx, descriptor + 8
    .irp type, 0, 1, 2, 3
    point 0, page_a, 0
    invlpg (%rbx)
    mov (%rbx), %rax
    EXPECT(%rax, $0xaaaa)
    point 0, page_b, 0
    mov $\type, %ecx
    invpcid descriptor, %rcx
    mov (%rbx), %rax
    EXPECT(%rax, $0xbbbb)
    .endr
    /* global ones go by type 2 alone */
    set_cr4 CR4_PGE
    point 0, page_a, PTE_G
    invlpg (%rbx)
    mov (%rbx), %rax
    point 0, page_b, PTE_G
    mov $2, %ecx
    invpcid descriptor, %rcx
    mov (%rbx), %rax
    EXPECT(%rax, $0xbbbb)
    clear_cr4 CR4_PGE
    mov $4, %ecx
    FAULTS(13, 0, invpcid descriptor, %rcx)
    mov $1, %ecx
    movq $1, descriptor /* a PCID without CR4.PCIDE */
    FAULTS(13, 0, invpcid descriptor, %rcx)
    movq $0x1000, descriptor
    mov $2, %ecx
    FAULTS(13, 0, invpcid descriptor, %rcx)
    movq $0, descriptor
    xor %ecx, %ecx
    btcq $63, descriptor + 8
    FAULTS(13, 0, invpcid descriptor, %rcx)
    ARM(1f)
    enter_ring3 2f
2:  invpcid descriptor, %rcx
1:  EXPECT(exc_vector, $13)
    EXPECT(exc_rip, $2b)
99: ret

fs_gs_base:
    need_feature 7, %ebx, 0, "FSGSBASE", 99f
    FAULTS(6, 0, rdfsbase %rax)
    set_cr4 CR4_FSGSBASE
    write_msr MSR_FS_BASE, 0x12345678, 0x7
    write_msr MSR_GS_BASE, 0x9abcdef0, 0x6
    rdfsbase %rax
    movabs $0x712345678, %rdx
    EXPECT(%rax, %rdx)
    mov $-1, %rax
    rdgsbase %eax
    mov $0x9abcdef0, %edx
    EXPECT(%rax, %rdx)
    movabs $0xffff800000000000, %rdx
    wrgsbase %rdx
    read_msr MSR_GS_BASE
    movabs $0xffff800000000000, %rdx
    EXPECT(%rax, %rdx)
    mov $-1, %rdx
    wrfsbase %edx
    rdfsbase %rax
    mov $0xffffffff, %edx
    EXPECT(%rax, %rdx)
    mov $word - 16, %edx
    movq $0x77, word
    wrfsbase %rdx
    mov %fs:16, %rax
    EXPECT(%rax, $0x77)
    btc $63, %rdx
    leave_out_on_tcg "WRFSBASE of an address that is not canonical", 1f
    FAULTS(13, 0, wrfsbase %rdx)
1:  clear_cr4 CR4_FSGSBASE
    FAULTS(6, 0, wrgsbase %rax)
99: ret

/* RDPID reads TSC_AUX; RDRAND and RDSEED give numbers with CF set, and clear the other flags. */
numbers:
    need_feature 7, %ecx, 22, "RDPID", 1f
    write_msr MSR_TSC_AUX, 0x1234567
    mov $-1, %rax
    rdpid %rax
    EXPECT(%rax, $0x1234567)
1:  need_feature 1, %ecx, 30, "RDRAND", 99f
    mov $-1, %rcx
    xor %edx, %edx
    rdrand %rcx
    EXPECT_FLAGS(ARITHMETIC_FLAGS, CF)
    rdrand %rdx
    cmp %rcx, %rdx
    sete %al
    movzx %al, %eax
    EXPECT(%rax, $0)
    mov $-1, %rcx
    rdrand %ecx
    shr $32, %rcx
    EXPECT(%rcx, $0)
    movabs $0x1111222233334444, %rcx
    rdrand %cx
    shr $16, %rcx
    movabs $0x111122223333, %rdx
    EXPECT(%rcx, %rdx)
    need_feature 7, %ebx, 18, "RDSEED", 99f
    rdseed %rcx
    EXPECT_FLAGS(ARITHMETIC_FLAGS, CF)
99: ret

/* Memory types that do not exist, and reserved bits. */
memory_types:
    need_feature 1, %edx, 12, "MTRRs", 99f
    write_msr 0x200, 0x40000006 /* PHYSBASE0: write-back */
    read_msr 0x200
    EXPECT(%rax, $0x40000006)
    write_msr 0x201, 0xc0000800, 0xf
    leave_out_on_tcg "checks of memory types", 99f
    mov $0x200, %ecx
    xor %edx, %edx
    mov $0x40000002, %eax
    FAULTS(13, 0, wrmsr)
    mov $0x40000106, %eax
    FAULTS(13, 0, wrmsr)
    mov $0x40000006, %eax
    mov $0x80000000, %edx /* beyond the physical address */
    FAULTS(13, 0, wrmsr)
    inc %ecx
    xor %edx, %edx
    mov $0x40000801, %eax
    FAULTS(13, 0, wrmsr)
    mov $0x2ff, %ecx
    mov $0xc07, %eax
    FAULTS(13, 0, wrmsr)
    mov $0x1c06, %eax
    FAULTS(13, 0, wrmsr)
    mov $0x250, %ecx
    mov $0x06060306, %eax
    FAULTS(13, 0, wrmsr)
    mov $0x06060606, %eax
    mov $0x04050106, %edx
    wrmsr
    mov $0x277, %ecx /* PAT */
    mov $0x07040600, %eax
    mov $0x07040200, %edx
    FAULTS(13, 0, wrmsr)
99: ret

/* rsi: what is not there. */
print_absent:
    push %rsi
    mov $test_name, %esi
    call print
    mov $text_colon, %esi
    call print
    pop %rsi
    call print
    mov $text_end, %esi
    jmp print

    .section .rodata
text_colon: .asciz ": left out: "
text_end:   .asciz "\n"

    .section .note.GNU-stack, "", @progbits
