/* Integer instructions: results and all defined flags on edge values, at every width.
 *
 * A row: instruction on rax and rcx, rax and rcx before, flags before, rax after, flags after, and which flags
 * the manual leaves undefined (SDM vol. 1 appendix A; the rest of the flags must be as given). Parts of rax
 * beyond an 8- or 16-bit operand stay, beyond a 32-bit one become 0. */
#include "lib.inc"

#define OP(insn, a, b, before, result, after, undefined)                                           \
    op insn, a, b, (before), result, (after), (undefined), __LINE__
.macro op insn, a, b, before, result, after, undefined, line
    mov $\a, %rax
    mov $\b, %rcx
    pushq $(\before | 2)
    popfq
    \insn
    pushfq
    pop %rbx
    expect %rax, $\result, \line
    and $(ARITHMETIC_FLAGS & ~\undefined), %ebx
    expect %rbx, $\after, \line
.endm

    .data
test_name: .asciz "integer"
    .globl test_name
scratch:   .quad 0

    .text
    .globl test_main
test_main:
    call add_subtract
    call one_operand
    call logic
    call shifts
    call multiply_divide
    call decimal_and_bits
    call moves
    call identification
    ret

/* What ECX holds matters to the leaves that have subleaves alone. */
identification:
    mov $1, %eax
    mov $0x12345678, %ecx
    cpuid
    and $0x07000001, %edx /* fpu, fxsr, sse, sse2 */
    EXPECT(%rdx, $0x07000001)
    mov $0x80000001, %eax
    mov $-1, %ecx
    cpuid
    shr $29, %edx /* lm */
    and $1, %edx
    EXPECT(%rdx, $1)
    ret

add_subtract:
    OP("addb %cl, %al", 0x11223344556677ff, 0x1, 0, 0x1122334455667700, CF | PF | AF | ZF, 0)
    OP("addb %cl, %al", 0x112233445566777f, 0x1, 0, 0x1122334455667780, AF | SF | OF, 0)
    OP("addb %cl, %al", 0x1122334455667780, 0x80, 0, 0x1122334455667700, CF | PF | ZF | OF, 0)
    OP("addb %cl, %al", 0x1122334455667700, 0xff, 0, 0x11223344556677ff, PF | SF, 0)
    OP("addb %cl, %al", 0x112233445566770f, 0x1, 0, 0x1122334455667710, AF, 0)
    OP("addw %cx, %ax", 0x112233445566ffff, 0x1, 0, 0x1122334455660000, CF | PF | AF | ZF, 0)
    OP("addl %ecx, %eax", 0xffffffff, 0x1, 0, 0x0, CF | PF | AF | ZF, 0)
    OP("addl %ecx, %eax", 0x7fffffff, 0x1, 0, 0x80000000, PF | AF | SF | OF, 0)
    OP("addl %ecx, %eax", 0x80000000, 0x80000000, 0, 0x0, CF | PF | ZF | OF, 0)
    OP("addl %ecx, %eax", 0x0, 0xffffffff, 0, 0xffffffff, PF | SF, 0)
    OP("addl %ecx, %eax", 0xf, 0x1, 0, 0x10, AF, 0)
    OP("addq %rcx, %rax", 0xffffffffffffffff, 0x1, 0, 0x0, CF | PF | AF | ZF, 0)
    OP("addq %rcx, %rax", 0x7fffffffffffffff, 0x1, 0, 0x8000000000000000, PF | AF | SF | OF, 0)
    OP("addq %rcx, %rax", 0x8000000000000000, 0x8000000000000000, 0, 0x0, CF | PF | ZF | OF, 0)
    OP("addq %rcx, %rax", 0x0, 0xffffffffffffffff, 0, 0xffffffffffffffff, PF | SF, 0)
    OP("addq %rcx, %rax", 0xf, 0x1, 0, 0x10, AF, 0)
    OP("subb %cl, %al", 0x11223344556677ff, 0x1, 0, 0x11223344556677fe, SF, 0)
    OP("subb %cl, %al", 0x112233445566777f, 0x1, 0, 0x112233445566777e, PF, 0)
    OP("subb %cl, %al", 0x1122334455667780, 0x80, 0, 0x1122334455667700, PF | ZF, 0)
    OP("subb %cl, %al", 0x1122334455667700, 0xff, 0, 0x1122334455667701, CF | AF, 0)
    OP("subb %cl, %al", 0x112233445566770f, 0x1, 0, 0x112233445566770e, 0, 0)
    OP("subw %cx, %ax", 0x112233445566ffff, 0x1, 0, 0x112233445566fffe, SF, 0)
    OP("subl %ecx, %eax", 0xffffffff, 0x1, 0, 0xfffffffe, SF, 0)
    OP("subl %ecx, %eax", 0x7fffffff, 0x1, 0, 0x7ffffffe, 0, 0)
    OP("subl %ecx, %eax", 0x80000000, 0x80000000, 0, 0x0, PF | ZF, 0)
    OP("subl %ecx, %eax", 0x0, 0xffffffff, 0, 0x1, CF | AF, 0)
    OP("subl %ecx, %eax", 0xf, 0x1, 0, 0xe, 0, 0)
    OP("subq %rcx, %rax", 0xffffffffffffffff, 0x1, 0, 0xfffffffffffffffe, SF, 0)
    OP("subq %rcx, %rax", 0x7fffffffffffffff, 0x1, 0, 0x7ffffffffffffffe, 0, 0)
    OP("subq %rcx, %rax", 0x8000000000000000, 0x8000000000000000, 0, 0x0, PF | ZF, 0)
    OP("subq %rcx, %rax", 0x0, 0xffffffffffffffff, 0, 0x1, CF | AF, 0)
    OP("subq %rcx, %rax", 0xf, 0x1, 0, 0xe, 0, 0)
    OP("adcb %cl, %al", 0x11223344556677ff, 0x1, CF, 0x1122334455667701, CF | AF, 0)
    OP("adcb %cl, %al", 0x112233445566777f, 0x1, CF, 0x1122334455667781, PF | AF | SF | OF, 0)
    OP("adcb %cl, %al", 0x1122334455667700, 0xff, CF, 0x1122334455667700, CF | PF | AF | ZF, 0)
    OP("adcw %cx, %ax", 0x112233445566ffff, 0x1, CF, 0x1122334455660001, CF | AF, 0)
    OP("adcl %ecx, %eax", 0xffffffff, 0x1, CF, 0x1, CF | AF, 0)
    OP("adcl %ecx, %eax", 0x7fffffff, 0x1, CF, 0x80000001, AF | SF | OF, 0)
    OP("adcl %ecx, %eax", 0x0, 0xffffffff, CF, 0x0, CF | PF | AF | ZF, 0)
    OP("adcq %rcx, %rax", 0xffffffffffffffff, 0x1, CF, 0x1, CF | AF, 0)
    OP("adcq %rcx, %rax", 0x7fffffffffffffff, 0x1, CF, 0x8000000000000001, AF | SF | OF, 0)
    OP("adcq %rcx, %rax", 0x0, 0xffffffffffffffff, CF, 0x0, CF | PF | AF | ZF, 0)
    OP("sbbb %cl, %al", 0x11223344556677ff, 0x1, CF, 0x11223344556677fd, SF, 0)
    OP("sbbb %cl, %al", 0x112233445566777f, 0x1, CF, 0x112233445566777d, PF, 0)
    OP("sbbb %cl, %al", 0x1122334455667700, 0xff, CF, 0x1122334455667700, CF | PF | AF | ZF, 0)
    OP("sbbw %cx, %ax", 0x112233445566ffff, 0x1, CF, 0x112233445566fffd, SF, 0)
    OP("sbbl %ecx, %eax", 0xffffffff, 0x1, CF, 0xfffffffd, SF, 0)
    OP("sbbl %ecx, %eax", 0x7fffffff, 0x1, CF, 0x7ffffffd, 0, 0)
    OP("sbbl %ecx, %eax", 0x0, 0xffffffff, CF, 0x0, CF | PF | AF | ZF, 0)
    OP("sbbq %rcx, %rax", 0xffffffffffffffff, 0x1, CF, 0xfffffffffffffffd, SF, 0)
    OP("sbbq %rcx, %rax", 0x7fffffffffffffff, 0x1, CF, 0x7ffffffffffffffd, 0, 0)
    OP("sbbq %rcx, %rax", 0x0, 0xffffffffffffffff, CF, 0x0, CF | PF | AF | ZF, 0)
    OP("cmpb %cl, %al", 0x11223344556677ff, 0x1, 0, 0x11223344556677ff, SF, 0)
    OP("cmpb %cl, %al", 0x112233445566777f, 0x1, 0, 0x112233445566777f, PF, 0)
    OP("cmpb %cl, %al", 0x1122334455667700, 0xff, 0, 0x1122334455667700, CF | AF, 0)
    OP("cmpw %cx, %ax", 0x112233445566ffff, 0x1, 0, 0x112233445566ffff, SF, 0)
    OP("cmpl %ecx, %eax", 0xffffffff, 0x1, 0, 0xffffffff, SF, 0)
    OP("cmpl %ecx, %eax", 0x7fffffff, 0x1, 0, 0x7fffffff, 0, 0)
    OP("cmpl %ecx, %eax", 0x0, 0xffffffff, 0, 0x0, CF | AF, 0)
    OP("cmpq %rcx, %rax", 0xffffffffffffffff, 0x1, 0, 0xffffffffffffffff, SF, 0)
    OP("cmpq %rcx, %rax", 0x7fffffffffffffff, 0x1, 0, 0x7fffffffffffffff, 0, 0)
    OP("cmpq %rcx, %rax", 0x0, 0xffffffffffffffff, 0, 0x0, CF | AF, 0)
    ret

one_operand:
    OP("incb %al", 0x11223344556677ff, 0x0, CF, 0x1122334455667700, CF | PF | AF | ZF, 0)
    OP("incb %al", 0x112233445566777f, 0x0, CF, 0x1122334455667780, CF | AF | SF | OF, 0)
    OP("decb %al", 0x1122334455667700, 0x0, 0, 0x11223344556677ff, PF | AF | SF, 0)
    OP("decb %al", 0x1122334455667780, 0x0, 0, 0x112233445566777f, AF | OF, 0)
    OP("negb %al", 0x1122334455667700, 0x0, 0, 0x1122334455667700, PF | ZF, 0)
    OP("negb %al", 0x1122334455667780, 0x0, 0, 0x1122334455667780, CF | SF | OF, 0)
    OP("negb %al", 0x1122334455667701, 0x0, 0, 0x11223344556677ff, CF | PF | AF | SF, 0)
    OP("notb %al", 0x112233445566770f, 0x0, ARITHMETIC_FLAGS, 0x11223344556677f0, CF | PF | AF | ZF | SF | OF, 0)
    OP("incw %ax", 0x112233445566ffff, 0x0, CF, 0x1122334455660000, CF | PF | AF | ZF, 0)
    OP("decw %ax", 0x1122334455660000, 0x0, 0, 0x112233445566ffff, PF | AF | SF, 0)
    OP("negw %ax", 0x1122334455660000, 0x0, 0, 0x1122334455660000, PF | ZF, 0)
    OP("notw %ax", 0x112233445566000f, 0x0, ARITHMETIC_FLAGS, 0x112233445566fff0, CF | PF | AF | ZF | SF | OF, 0)
    OP("incl %eax", 0xffffffff, 0x0, CF, 0x0, CF | PF | AF | ZF, 0)
    OP("incl %eax", 0x7fffffff, 0x0, CF, 0x80000000, CF | PF | AF | SF | OF, 0)
    OP("decl %eax", 0x0, 0x0, 0, 0xffffffff, PF | AF | SF, 0)
    OP("decl %eax", 0x80000000, 0x0, 0, 0x7fffffff, PF | AF | OF, 0)
    OP("negl %eax", 0x0, 0x0, 0, 0x0, PF | ZF, 0)
    OP("negl %eax", 0x80000000, 0x0, 0, 0x80000000, CF | PF | SF | OF, 0)
    OP("negl %eax", 0x1, 0x0, 0, 0xffffffff, CF | PF | AF | SF, 0)
    OP("notl %eax", 0xf, 0x0, ARITHMETIC_FLAGS, 0xfffffff0, CF | PF | AF | ZF | SF | OF, 0)
    OP("incq %rax", 0xffffffffffffffff, 0x0, CF, 0x0, CF | PF | AF | ZF, 0)
    OP("incq %rax", 0x7fffffffffffffff, 0x0, CF, 0x8000000000000000, CF | PF | AF | SF | OF, 0)
    OP("decq %rax", 0x0, 0x0, 0, 0xffffffffffffffff, PF | AF | SF, 0)
    OP("decq %rax", 0x8000000000000000, 0x0, 0, 0x7fffffffffffffff, PF | AF | OF, 0)
    OP("negq %rax", 0x0, 0x0, 0, 0x0, PF | ZF, 0)
    OP("negq %rax", 0x8000000000000000, 0x0, 0, 0x8000000000000000, CF | PF | SF | OF, 0)
    OP("negq %rax", 0x1, 0x0, 0, 0xffffffffffffffff, CF | PF | AF | SF, 0)
    OP("notq %rax", 0xf, 0x0, ARITHMETIC_FLAGS, 0xfffffffffffffff0, CF | PF | AF | ZF | SF | OF, 0)
    ret

logic:
    OP("andb %cl, %al", 0x1122334455667783, 0x81, CF | OF, 0x1122334455667781, PF | SF, AF)
    OP("andb %cl, %al", 0x1122334455667755, 0xaa, CF | OF, 0x1122334455667700, PF | ZF, AF)
    OP("andl %ecx, %eax", 0x80000003, 0x80000001, CF | OF, 0x80000001, SF, AF)
    OP("andl %ecx, %eax", 0x55, 0xaa, CF | OF, 0x0, PF | ZF, AF)
    OP("andq %rcx, %rax", 0x8000000000000003, 0x8000000000000001, CF | OF, 0x8000000000000001, SF, AF)
    OP("andq %rcx, %rax", 0x55, 0xaa, CF | OF, 0x0, PF | ZF, AF)
    OP("orb %cl, %al", 0x1122334455667783, 0x81, CF | OF, 0x1122334455667783, SF, AF)
    OP("orb %cl, %al", 0x1122334455667755, 0xaa, CF | OF, 0x11223344556677ff, PF | SF, AF)
    OP("orl %ecx, %eax", 0x80000003, 0x80000001, CF | OF, 0x80000003, PF | SF, AF)
    OP("orl %ecx, %eax", 0x55, 0xaa, CF | OF, 0xff, PF, AF)
    OP("orq %rcx, %rax", 0x8000000000000003, 0x8000000000000001, CF | OF, 0x8000000000000003, PF | SF, AF)
    OP("orq %rcx, %rax", 0x55, 0xaa, CF | OF, 0xff, PF, AF)
    OP("xorb %cl, %al", 0x1122334455667783, 0x81, CF | OF, 0x1122334455667702, 0, AF)
    OP("xorb %cl, %al", 0x1122334455667755, 0xaa, CF | OF, 0x11223344556677ff, PF | SF, AF)
    OP("xorl %ecx, %eax", 0x80000003, 0x80000001, CF | OF, 0x2, 0, AF)
    OP("xorl %ecx, %eax", 0x55, 0xaa, CF | OF, 0xff, PF, AF)
    OP("xorq %rcx, %rax", 0x8000000000000003, 0x8000000000000001, CF | OF, 0x2, 0, AF)
    OP("xorq %rcx, %rax", 0x55, 0xaa, CF | OF, 0xff, PF, AF)
    OP("testb %cl, %al", 0x1122334455667783, 0x81, CF | OF, 0x1122334455667783, PF | SF, AF)
    OP("testb %cl, %al", 0x1122334455667755, 0xaa, CF | OF, 0x1122334455667755, PF | ZF, AF)
    OP("testl %ecx, %eax", 0x80000003, 0x80000001, CF | OF, 0x80000003, SF, AF)
    OP("testl %ecx, %eax", 0x55, 0xaa, CF | OF, 0x55, PF | ZF, AF)
    OP("testq %rcx, %rax", 0x8000000000000003, 0x8000000000000001, CF | OF, 0x8000000000000003, SF, AF)
    OP("testq %rcx, %rax", 0x55, 0xaa, CF | OF, 0x55, PF | ZF, AF)
    ret

shifts:
    OP("shlb %cl, %al", 0x11223344556677a1, 0x1, 0, 0x1122334455667742, CF | PF | OF, AF)
    OP("shlb %cl, %al", 0x1122334455667785, 0x3, CF, 0x1122334455667728, PF, AF | OF)
    OP("shlw %cl, %ax", 0x112233445566a001, 0x1, 0, 0x1122334455664002, CF | OF, AF)
    OP("shll %cl, %eax", 0xa0000001, 0x1, 0, 0x40000002, CF | OF, AF)
    OP("shlq %cl, %rax", 0xa000000000000001, 0x1, 0, 0x4000000000000002, CF | OF, AF)
    OP("shlq %cl, %rax", 0x8000000000000005, 0x3, CF, 0x28, PF, AF | OF)
    OP("shll %cl, %eax", 0x80000001, 0x20, CF, 0x80000001, CF, 0)
    OP("shlb %cl, %al", 0x1122334455667781, 0x7, CF, 0x1122334455667780, SF, AF | OF)
    OP("shrb %cl, %al", 0x11223344556677a1, 0x1, 0, 0x1122334455667750, CF | PF | OF, AF)
    OP("shrb %cl, %al", 0x1122334455667785, 0x3, CF, 0x1122334455667710, CF, AF | OF)
    OP("shrw %cl, %ax", 0x112233445566a001, 0x1, 0, 0x1122334455665000, CF | PF | OF, AF)
    OP("shrl %cl, %eax", 0xa0000001, 0x1, 0, 0x50000000, CF | PF | OF, AF)
    OP("shrq %cl, %rax", 0xa000000000000001, 0x1, 0, 0x5000000000000000, CF | PF | OF, AF)
    OP("shrq %cl, %rax", 0x8000000000000005, 0x3, CF, 0x1000000000000000, CF | PF, AF | OF)
    OP("shrl %cl, %eax", 0x80000001, 0x20, CF, 0x80000001, CF, 0)
    OP("shrb %cl, %al", 0x1122334455667781, 0x7, CF, 0x1122334455667701, 0, AF | OF)
    OP("sarb %cl, %al", 0x11223344556677a1, 0x1, 0, 0x11223344556677d0, CF | SF, AF)
    OP("sarb %cl, %al", 0x1122334455667785, 0x3, CF, 0x11223344556677f0, CF | PF | SF, AF | OF)
    OP("sarw %cl, %ax", 0x112233445566a001, 0x1, 0, 0x112233445566d000, CF | PF | SF, AF)
    OP("sarl %cl, %eax", 0xa0000001, 0x1, 0, 0xd0000000, CF | PF | SF, AF)
    OP("sarq %cl, %rax", 0xa000000000000001, 0x1, 0, 0xd000000000000000, CF | PF | SF, AF)
    OP("sarq %cl, %rax", 0x8000000000000005, 0x3, CF, 0xf000000000000000, CF | PF | SF, AF | OF)
    OP("sarl %cl, %eax", 0x80000001, 0x20, CF, 0x80000001, CF, 0)
    OP("sarb %cl, %al", 0x1122334455667781, 0x7, CF, 0x11223344556677ff, PF | SF, AF | OF)
    OP("rolb %cl, %al", 0x11223344556677a1, 0x1, 0, 0x1122334455667743, CF | OF, 0)
    OP("rolb %cl, %al", 0x1122334455667785, 0x3, CF, 0x112233445566772c, 0, OF)
    OP("rolw %cl, %ax", 0x112233445566a001, 0x1, 0, 0x1122334455664003, CF | OF, 0)
    OP("roll %cl, %eax", 0xa0000001, 0x1, 0, 0x40000003, CF | OF, 0)
    OP("rolq %cl, %rax", 0xa000000000000001, 0x1, 0, 0x4000000000000003, CF | OF, 0)
    OP("rolq %cl, %rax", 0x8000000000000005, 0x3, CF, 0x2c, 0, OF)
    OP("roll %cl, %eax", 0x80000001, 0x20, CF, 0x80000001, CF, 0)
    OP("rolb %cl, %al", 0x1122334455667781, 0x9, CF, 0x1122334455667703, CF, OF)
    OP("rorb %cl, %al", 0x11223344556677a1, 0x1, 0, 0x11223344556677d0, CF, 0)
    OP("rorb %cl, %al", 0x1122334455667785, 0x3, CF, 0x11223344556677b0, CF, OF)
    OP("rorw %cl, %ax", 0x112233445566a001, 0x1, 0, 0x112233445566d000, CF, 0)
    OP("rorl %cl, %eax", 0xa0000001, 0x1, 0, 0xd0000000, CF, 0)
    OP("rorq %cl, %rax", 0xa000000000000001, 0x1, 0, 0xd000000000000000, CF, 0)
    OP("rorq %cl, %rax", 0x8000000000000005, 0x3, CF, 0xb000000000000000, CF, OF)
    OP("rorl %cl, %eax", 0x80000001, 0x20, CF, 0x80000001, CF, 0)
    OP("rorb %cl, %al", 0x1122334455667781, 0x9, CF, 0x11223344556677c0, CF, OF)
    OP("rclb %cl, %al", 0x11223344556677a1, 0x1, 0, 0x1122334455667742, CF | OF, 0)
    OP("rclb %cl, %al", 0x1122334455667785, 0x3, CF, 0x112233445566772e, 0, OF)
    OP("rclw %cl, %ax", 0x112233445566a001, 0x1, 0, 0x1122334455664002, CF | OF, 0)
    OP("rcll %cl, %eax", 0xa0000001, 0x1, 0, 0x40000002, CF | OF, 0)
    OP("rclq %cl, %rax", 0xa000000000000001, 0x1, 0, 0x4000000000000002, CF | OF, 0)
    OP("rclq %cl, %rax", 0x8000000000000005, 0x3, CF, 0x2e, 0, OF)
    OP("rcll %cl, %eax", 0x80000001, 0x20, CF, 0x80000001, CF, 0)
    OP("rclb %cl, %al", 0x1122334455667781, 0x9, CF, 0x1122334455667781, CF, OF)
    OP("rcrb %cl, %al", 0x11223344556677a1, 0x1, 0, 0x1122334455667750, CF | OF, 0)
    OP("rcrb %cl, %al", 0x1122334455667785, 0x3, CF, 0x1122334455667770, CF, OF)
    OP("rcrw %cl, %ax", 0x112233445566a001, 0x1, 0, 0x1122334455665000, CF | OF, 0)
    OP("rcrl %cl, %eax", 0xa0000001, 0x1, 0, 0x50000000, CF | OF, 0)
    OP("rcrq %cl, %rax", 0xa000000000000001, 0x1, 0, 0x5000000000000000, CF | OF, 0)
    OP("rcrq %cl, %rax", 0x8000000000000005, 0x3, CF, 0x7000000000000000, CF, OF)
    OP("rcrl %cl, %eax", 0x80000001, 0x20, CF, 0x80000001, CF, 0)
    OP("rcrb %cl, %al", 0x1122334455667781, 0x9, CF, 0x1122334455667781, CF, OF)
    ret

/* Double-width products and quotients; CF and OF tell that the upper half matters. */
multiply_divide:
    OP("mulb %cl", 0x1122334455667710, 0x10, 0, 0x1122334455660100, CF | OF, PF | AF | ZF | SF)
    OP("mulb %cl", 0x05, 0x03, CF | OF, 0x0f, 0, PF | AF | ZF | SF)
    OP("imulb %cl", 0xff, 0xff, CF | OF, 0x0001, 0, PF | AF | ZF | SF)
    OP("imulb %cl", 0x80, 0xff, 0, 0x0080, CF | OF, PF | AF | ZF | SF)
    OP("imull %ecx, %eax", 0xffffffff, 2, CF | OF, 0xfffffffe, 0, PF | AF | ZF | SF)
    OP("imull %ecx, %eax", 0x40000000, 2, 0, 0x80000000, CF | OF, PF | AF | ZF | SF)
    OP("imulq $-3, %rcx, %rax", 0, 5, CF | OF, 0xfffffffffffffff1, 0, PF | AF | ZF | SF)
    OP("imulw $0x100, %cx, %ax", 0x1122334455660000, 0x100, 0, 0x1122334455660000, CF | OF, PF | AF | ZF | SF)
    OP("mulq %rcx", 0xffffffffffffffff, 0xffffffffffffffff, 0, 1, CF | OF, PF | AF | ZF | SF)
    EXPECT(%rdx, $0xfffffffffffffffe)
    OP("imulq %rcx", 0xffffffffffffffff, 0xffffffffffffffff, CF | OF, 1, 0, PF | AF | ZF | SF)
    EXPECT(%rdx, $0)
    mov $0x1, %edx
    mov $0, %rax
    mov $2, %ecx
    div %rcx
    EXPECT(%rax, $0x8000000000000000)
    EXPECT(%rdx, $0)
    mov $-7, %rax
    cqto
    mov $2, %ecx
    idiv %rcx
    EXPECT(%rax, $-3)
    EXPECT(%rdx, $-1)
    mov $0xffffffff00000007, %rax
    mov $0xffffffff00000000, %rdx
    mov $2, %ecx
    div %ecx
    EXPECT(%rax, $3)
    EXPECT(%rdx, $1)
    mov $0xff80, %eax
    mov $0x7f, %ecx
    idivb %cl
    EXPECT(%rax, $0xffff) /* quotient -1, remainder -1 */
    ret

/* Bit tests and scans, byte swaps, double shifts, exchanges, conditions. */
decimal_and_bits:
    OP("bsfq %rcx, %rax", 0, 0x8000000000000000, 0, 63, 0, ARITHMETIC_FLAGS & ~ZF)
    OP("bsrl %ecx, %eax", 0, 0x00010001, ZF, 16, 0, ARITHMETIC_FLAGS & ~ZF)
    mov $5, %eax
    xor %ecx, %ecx
    bsf %rcx, %rdx
    EXPECT_FLAGS(ZF, ZF)
    OP("btl %ecx, %eax", 0x80000000, 63, 0, 0x80000000, CF, PF | AF | SF | OF | ZF)
    OP("btsq %rcx, %rax", 0, 63, CF, 0x8000000000000000, 0, PF | AF | SF | OF | ZF)
    OP("btrl %ecx, %eax", 3, 1, 0, 1, CF, PF | AF | SF | OF | ZF)
    OP("btcq %rcx, %rax", 1, 0, 0, 0, CF, PF | AF | SF | OF | ZF)
    OP("shldl $4, %ecx, %eax", 0x12345678, 0xabcdef01, 0, 0x2345678a, CF, AF | OF | PF | ZF | SF)
    OP("shrdq $8, %rcx, %rax", 0x1122334455667788, 0xff, 0, 0xff11223344556677, CF | SF | PF, AF | OF)
    OP("shldw $4, %cx, %ax", 0x1234, 0xf000, 0, 0x234f, CF, AF | OF | PF | ZF | SF)
    OP("bswapl %eax", 0xffffffff11223344, 0, 0, 0x44332211, 0, 0)
    OP("bswapq %rax", 0x1122334455667788, 0, 0, 0x8877665544332211, 0, 0)
    OP("xaddl %ecx, %eax", 0x7fffffff, 1, 0, 0x80000000, OF | SF | AF | PF, 0)
    EXPECT(%rcx, $0x7fffffff)
    OP("xchgb %ah, %cl", 0x1122, 0x33, 0, 0x3322, 0, 0)
    movq $5, scratch
    OP("cmpxchgq %rcx, scratch", 5, 9, 0, 5, ZF | PF, 0)
    EXPECT(scratch, $9)
    OP("cmpxchgq %rcx, scratch", 5, 7, ZF, 9, CF | PF | AF | SF, 0)
    EXPECT(scratch, $9)
    mov $-65, %rcx /* bit -65: the top bit of the second word before */
    movq $0, scratch
    lea scratch + 16, %rdx
    btsq %rcx, (%rdx)
    mov scratch, %rax
    EXPECT(%rax, $0x8000000000000000)
    ret

/* Widths, sign extension, conditions, flags by LAHF and SAHF, stack forms. */
moves:
    OP("movsbl %cl, %eax", 0xffffffffffffffff, 0x80, 0, 0xffffff80, 0, 0)
    OP("movsbq %cl, %rax", 0, 0x80, 0, 0xffffffffffffff80, 0, 0)
    OP("movslq %ecx, %rax", 0, 0x80000000, 0, 0xffffffff80000000, 0, 0)
    OP("movzwl %cx, %eax", 0xffffffffffffffff, 0x12348765, 0, 0x8765, 0, 0)
    OP("movw %cx, %ax", 0x1122334455667788, 0x1111, 0, 0x1122334455661111, 0, 0)
    OP("movl %ecx, %eax", 0x1122334455667788, 0x1111, 0, 0x1111, 0, 0)
    OP("cbtw", 0x1122334455667780, 0, 0, 0x112233445566ff80, 0, 0)
    OP("cwtl", 0x1122334455668000, 0, 0, 0xffff8000, 0, 0)
    OP("cltq", 0x1122334480000000, 0, 0, 0xffffffff80000000, 0, 0)
    OP("sahf", 0xff00, 0, OF, 0xff00, ARITHMETIC_FLAGS, 0)
    OP("lahf", 0, 0, CF | ZF, 0x4300, CF | ZF, 0)
    OP("setl %al", 0x1122334455667788, 0, SF, 0x1122334455667701, SF, 0)
    OP("seto %ah", 0x1122334455667788, 0, SF, 0x1122334455660088, SF, 0)
    OP("cmovel %ecx, %eax", 0xffffffff00000001, 7, 0, 1, 0, 0) /* the upper half goes even so */
    OP("cmovneq %rcx, %rax", 1, 7, 0, 7, 0, 0)
    OP("cmc", 0, 0, CF, 0, 0, 0)
    OP("leaq -1(%rax,%rcx,8), %rax", 0x10, 2, CF, 0x1f, CF, 0)
    OP("leal 1(%rax,%rcx,4), %eax", 0xffffffff, 0, CF, 0, CF, 0)
    mov %rsp, %rbx
    pushw $0x1234
    mov %rbx, %rdx
    sub %rsp, %rdx
    EXPECT(%rdx, $2)
    popw %ax
    mov %rsp, %rax
    EXPECT(%rax, %rbx)
    push %rsp /* stores the value before */
    pop %rdx
    EXPECT(%rdx, %rbx)
    pushq $-1
    pop %rdx
    EXPECT(%rdx, $-1)
    mov %rsp, %rbp
    enter $32, $0
    mov %rbx, %rdx
    sub %rsp, %rdx
    EXPECT(%rdx, $40)
    leave
    mov %rsp, %rdx
    EXPECT(%rdx, %rbx)
    mov $3, %ecx
    xor %eax, %eax
1:  inc %eax
    loop 1b
    EXPECT(%rax, $3)
    mov $0x100000000, %rcx
    jecxz 2f
    xor %eax, %eax
2:  EXPECT(%rax, $3)
    ret

    .section .note.GNU-stack, "", @progbits
