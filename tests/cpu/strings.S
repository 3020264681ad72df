/* String instructions: directions, widths, counts of nothing, conditions, addresses of 32 bits, and faults in the middle
 * of a repeated one, which must be left where it can go on. Code that changes itself is here as well. */
#include "lib.inc"

#define WINDOW 0x8000000000
#define ALL    (PTE_P | PTE_W | PTE_U)

    .data
    .globl test_name
test_name: .asciz "strings"
source:    .ascii "0123456789abcdef"
target:    .fill 32, 1, 0

    .bss
    .balign 4096
pdpt:  .skip 4096
pd:    .skip 4096
pt:    .skip 4096
page0: .skip 4096
page1: .skip 4096

    .text
    .globl test_main
test_main:
    call moves
    call compares
    call mid_faults
    call self_modifying
    ret

moves:
    mov $source, %esi
    mov $target, %edi
    mov $5, %ecx
    rep movsb
    EXPECT(%rcx, $0)
    EXPECT(%rsi, $(source + 5))
    EXPECT(%rdi, $(target + 5))
    mov target, %rax
    EXPECT(%rax, $0x3433323130)
    std
    mov $source + 8, %esi
    mov $target + 16, %edi
    mov $2, %ecx
    rep movsq
    cld
    EXPECT(%rsi, $(source - 8))
    EXPECT(%rdi, $target)
    mov target + 8, %rax
    EXPECT(%rax, $0x3736353433323130)
    /* overlap: a pattern is spread */
    movb $0x5a, target
    mov $target, %esi
    mov $target + 1, %edi
    mov $7, %ecx
    rep movsb
    mov target, %rax
    EXPECT(%rax, $0x5a5a5a5a5a5a5a5a)
    /* none at all; with 32-bit addresses ecx counts, and an upper half that was not touched stays or goes by its use */
    xor %ecx, %ecx
    mov $-1, %rdi
    rep stosq
    EXPECT(%rdi, $-1)
    mov $0x1122334455667788, %rax
    movabs $0xf00000003, %rcx
    mov $target, %edi
    addr32 rep stosw
    EXPECT(%rcx, $0)
    EXPECT(%rdi, $(target + 6))
    mov target, %rax
    EXPECT(%rax, $0x5a5a778877887788)
    mov $source, %esi
    mov $-1, %rax
    lodsl
    EXPECT(%rax, $0x33323130)
    lodsb
    EXPECT(%rax, $0x33323134)
    ret

compares:
    mov $source, %edi
    mov $'4', %eax
    mov $16, %ecx
    repne scasb
    EXPECT_FLAGS(ZF, ZF)
    EXPECT(%rcx, $11)
    EXPECT(%rdi, $(source + 5))
    mov $source, %esi
    mov $target, %edi
    movq $0x33323130, target
    mov $8, %ecx
    repe cmpsb
    EXPECT_FLAGS(ZF | CF, 0)
    EXPECT(%rcx, $3)
    EXPECT(%rsi, $(source + 5))
    /* a count of nothing leaves the flags */
    xor %ecx, %ecx
    stc
    repe cmpsb
    EXPECT_FLAGS(CF | ZF, CF | ZF)
    ret

/* An absent page in the middle: registers tell how far it came, and the same instruction finishes the job. */
mid_faults:
    movq $(pdpt + ALL), boot_pml4 + 8
    movq $(pd + ALL), pdpt
    movq $(pt + ALL), pd
    movq $(page0 + ALL), pt
    movq $page1, pt + 8
    mov $WINDOW, %rbx
    lea 0xff0(%rbx), %rdi
    mov $0x11, %eax
    mov $0x20, %ecx
    ARM(2f)
1:  rep stosb
    jmp no_exception
2:  EXPECT(exc_vector, $14)
    EXPECT(exc_error, $2)
    EXPECT(exc_rip, $1b)
    EXPECT(exc_cr2, $(WINDOW + 0x1000))
    EXPECT(%rcx, $0x10)
    EXPECT(%rdi, $(WINDOW + 0x1000))
    movq $(page1 + ALL), pt + 8
    rep stosb
    EXPECT(%rcx, $0)
    mov page1, %rax
    EXPECT(%rax, $0x1111111111111111)
    mov page1 + 8, %rax
    EXPECT(%rax, $0x1111111111111111)
    mov page1 + 16, %rax
    EXPECT(%rax, $0)
    /* source and target in turn; elements that lie across the edge are done whole or not at all */
    movq $page1, pt + 8
    invlpg 0x1000(%rbx)
    lea 0xfec(%rbx), %rsi
    mov $target, %edi
    mov $4, %ecx
    ARM(2f)
1:  rep movsq
    jmp no_exception
2:  EXPECT(exc_rip, $1b)
    EXPECT(exc_error, $0)
    EXPECT(%rcx, $2)
    lea 0xffc(%rbx), %rdx
    EXPECT(%rsi, %rdx)
    EXPECT(%rdi, $(target + 16))
    movq $(page1 + ALL), pt + 8
    rep movsq
    EXPECT(%rcx, $0)
    /* downward */
    movq $page0, pt
    invlpg (%rbx)
    lea 0x1003(%rbx), %rdi
    mov $8, %ecx
    std
    ARM(2f)
1:  rep stosb
    jmp no_exception
2:  cld
    EXPECT(exc_rip, $1b)
    EXPECT(%rcx, $4)
    lea 0xfff(%rbx), %rdx
    EXPECT(%rdi, %rdx)
    EXPECT(exc_cr2, %rdx)
    movq $(page0 + ALL), pt
    ret

/* Stores into code that was executed, by the instruction before, through another mapping, and ahead in the same
 * straight run: the new bytes are what is executed. */
self_modifying:
    xor %ebx, %ebx
    mov $3, %ebp
1:  mov $1, %eax
2:  add %eax, %ebx
    incb 1b + 1 /* the immediate */
    dec %ebp
    jnz 1b
    EXPECT(%rbx, $(1 + 2 + 3))
    movb $7, 3f + 1
    jmp 3f
3:  mov $0, %eax
    EXPECT(%rax, $7)
    movb $9, 4f + 1
4:  mov $0, %eax
    EXPECT(%rax, $9)
    /* a call into a page by its second name, which changes between two calls */
    movl $0xc301b0, page0 /* MOV 1, AL; RET */
    mov $WINDOW, %rdx
    mov $page0, %ecx
    xor %eax, %eax
    call *%rdx
    EXPECT(%rax, $1)
    call *%rcx
    movb $2, page0 + 1
    call *%rdx
    EXPECT(%rax, $2)
    movb $3, 1(%rdx)
    call *%rcx
    EXPECT(%rax, $3)
    /* a repeated store over the code that follows it */
    mov $5f, %edi
    mov $0x90, %eax
    mov $2, %ecx
    rep stosb
5:  ud2
    /* another page under the same address */
    movl $0xc305b0, page1
    movq $(page1 + ALL), pt
    invlpg (%rdx)
    call *%rdx
    EXPECT(%rax, $0x05)
    ret

    .section .note.GNU-stack, "", @progbits
