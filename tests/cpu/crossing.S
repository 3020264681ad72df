/* Instructions that begin in one page and end in the next: each execution must see what both hold by then, whether bytes were
 * written, a page was mapped elsewhere or taken away. Each situation is met by code that has been executed before, so that
 * an engine that keeps decoded or translated code has it.
 *
 * The program's own tables hang below entry 1 of the boot PML4: linear addresses from WINDOW on. The first page is
 * page0, the second page1 or page2; the code begins two bytes before the second. */
#include "lib.inc"

#define WINDOW 0x8000000000
#define AT     (WINDOW + 0xffe)
#define SECOND (WINDOW + 0x1000)

/* error codes of #PF */
#define E_P 1
#define E_I 16

#define ALL (PTE_P | PTE_W | PTE_U)

    .data
    .globl test_name
test_name: .asciz "crossing"

    .bss
    .balign 4096
pdpt:  .skip 4096
pd:    .skip 4096
pt:    .skip 4096
page0: .skip 4096
page1: .skip 4096
page2: .skip 4096
page3: .skip 4096

    .text
/* Entry `index` of the table = `value`, and forget the translation of its page. */
.macro map index, value
    movq $(\value), pt + 8 * \index
    mov $(WINDOW + 0x1000 * \index), %rdi
    invlpg (%rdi)
.endm

/* MOV imm32, EAX and RET, the first two bytes of it at the end of `first`, the others at the beginning of `second`. */
.macro put first, second, imm
    movb $0xb8, \first + 0xffe
    movb $(\imm & 0xff), \first + 0xfff
    movw $(\imm >> 8 & 0xffff), \second
    movb $(\imm >> 24 & 0xff), \second + 2
    movb $0xc3, \second + 3
.endm

/* What it returns, each of three times. */
#define GIVES(value)                                                                               \
    call *%rbx;                                                                                    \
    EXPECT(%rax, $(value));                                                                        \
    call *%rbx;                                                                                    \
    EXPECT(%rax, $(value));                                                                        \
    call *%rbx;                                                                                    \
    EXPECT(%rax, $(value))

    .globl test_main
test_main:
    read_msr MSR_EFER
    or $EFER_NXE, %eax
    wrmsr
    movq $(pdpt + ALL), boot_pml4 + 8
    movq $(pd + ALL), pdpt
    movq $(pt + ALL), pd
    map 0, page0 + ALL
    map 1, page1 + ALL
    mov $AT, %rbx
    mov $SECOND, %rbp
    put page0, page1, 0x11223344
    call writes
    call invalid
    call mappings
    call faults
    call lengths
    call neighbours
    call itself
    ret

/* Bytes change: by other linear addresses, by those that are executed, and by a string instruction. */
writes:
    GIVES(0x11223344)
    movb $0x55, page1
    GIVES(0x11225544)
    movb $0x66, page0 + 0xfff
    GIVES(0x11225566)
    movb $0x77, (%rbp)
    GIVES(0x11227766)
    movb $0x33, -1(%rbp)
    GIVES(0x11227733)
    movw $0x9988, -1(%rbp) /* in both at once */
    GIVES(0x11229988)
    mov %rbp, %rdi
    mov $0x42, %eax
    mov $3, %ecx
    rep stosb
    GIVES(0x42424288)
    movl $0x44332211, 0x100(%rbp) /* beside it */
    GIVES(0x42424288)
    ret

/* What was no instruction becomes one, by a byte behind its first. */
invalid:
    movb $0x0f, page0 + 0xfff
    movw $0xc3ff, page1 /* UD0 */
    lea 1(%rbx), %rdx
    mov $page1, %rsi
    call becomes_valid
    movb $0x0f, page0 + 0x3f
    movw $0xc3ff, page0 + 0x40
    mov $(WINDOW + 0x3f), %rdx
    mov $(page0 + 0x40), %rsi
becomes_valid:
    mov $2, %ecx
1:  ARM(2f)
    jmp *%rdx
2:  EXPECT(exc_vector, $6)
    EXPECT(exc_rip, %rdx)
    dec %ecx
    jnz 1b
    movb $0x31, (%rsi) /* RDTSC; the next is RET */
    call *%rdx
    ret

/* Other pages come to lie there. */
mappings:
    put page0, page1, 0x01020304
    put page3, page2, 0x05060708
    GIVES(0x01020304)
    map 1, page2 + ALL
    GIVES(0x05060704)
    map 0, page3 + ALL
    GIVES(0x05060708)
    map 1, page1 + ALL
    GIVES(0x01020308)
    movb $0x10, page2 + 2 /* where it was before */
    GIVES(0x01020308)
    movq $(page2 + ALL), pt + 8 /* all translations are forgotten at once */
    mov %cr3, %rax
    mov %rax, %cr3
    GIVES(0x10060708)
    map 0, page0 + ALL
    map 1, page1 + ALL
    GIVES(0x01020304)
    ret

/* The second page goes, and comes back; it may not be executed, and may again. */
faults:
    GIVES(0x01020304)
    map 1, 0
    ARM(1f)
    jmp *%rbx
1:  EXPECT(exc_vector, $14)
    EXPECT(exc_error, $E_I)
    EXPECT(exc_rip, %rbx)
    EXPECT(exc_cr2, %rbp)
    map 1, page1 + ALL
    GIVES(0x01020304)
    btsq $63, pt + 8
    invlpg (%rbp)
    ARM(1f)
    jmp *%rbx
1:  EXPECT(exc_vector, $14)
    EXPECT(exc_error, $(E_P | E_I))
    EXPECT(exc_cr2, %rbp)
    map 1, page1 + ALL
    GIVES(0x01020304)
    map 0, 0 /* the first: the fault is there */
    ARM(1f)
    jmp *%rbx
1:  EXPECT(exc_cr2, %rbx)
    map 0, page0 + ALL
    GIVES(0x01020304)
    map 1, 0 /* the second is not needed any more */
    movw $0xc3f8, page0 + 0xffe /* CLC, RET */
    mov $5, %eax
    GIVES(5)
    map 1, page1 + ALL
    put page0, page1, 0x01020304
    GIVES(0x01020304)
    ret

/* It becomes longer, shorter, and one that ends within the first page. */
lengths:
    movw $0xb848, page0 + 0xffe /* MOV imm64, RAX */
    movq $0x12345678, page1
    movb $0xc3, page1 + 8
    GIVES(0x12345678)
    movb $0x43, page1 + 4
    mov $0x4312345678, %rcx
    call *%rbx
    EXPECT(%rax, %rcx)
    movw $0x4848, page0 + 0xffe /* MOV rel32(%rip), RAX; of REX prefixes the last one counts */
    movw $0x058b, page1
    movl $(0x100 - 6), page1 + 2
    movb $0xc3, page1 + 6
    movq $0x7777, page1 + 0x100
    GIVES(0x7777)
    movw $0xc031, page0 + 0xffe /* XOR EAX, EAX and, in the second page, RET */
    movb $0xc3, page1
    GIVES(0)
    put page0, page1, 0x01020304
    GIVES(0x01020304)
    ret

/* Two that overlap, executed in turn: MOV imm32, EAX, and a byte before it MOV imm16, AX. */
neighbours:
    put page0, page1, 0x90901234 /* the latter goes on with two NOPs */
    movb $0x66, page0 + 0xffd
    lea -1(%rbx), %rdx
    mov $3, %ecx
1:  xor %eax, %eax
    call *%rbx
    cltq
    EXPECT(%rax, $0xffffffff90901234)
    xor %eax, %eax
    call *%rdx
    EXPECT(%rax, $0x1234)
    dec %ecx
    jnz 1b
    put page0, page1, 0x01020304
    GIVES(0x01020304)
    ret

/* One that adds to its own immediate operand. */
itself:
    movw $0x0780, page0 + 0xffe /* ADDB imm8, (%rdi) */
    movw $0xc301, page1
    mov %rbp, %rdi
    call *%rbx
    movzbl page1, %eax
    EXPECT(%rax, $2)
    call *%rbx
    movzbl page1, %eax
    EXPECT(%rax, $4)
    call *%rbx
    movzbl page1, %eax
    EXPECT(%rax, $8)
    ret

    .section .note.GNU-stack, "", @progbits
