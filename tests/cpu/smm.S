/* System management mode: SMBASE is moved, SMIs by the APM port, by the local APIC and by the I/O APIC are taken out of
 * long, compatibility, protected and real mode, out of HLT and between an instruction and its single step; the map of
 * the state, what the handler starts with, what RSM gives back; SMIs, NMIs and interrupts that wait; SMRAM, which
 * nobody else sees. Needs two processors.
 *
 * The handler is copied to the two places where it begins. It does what `action` says and leaves what it saw. */
#include "lib.inc"

#define SMRAM      0xa0000
#define FIRST_BASE 0x30000 /* after reset */
#define BASE       0xa4000 /* of this processor, and of the other one */
#define BASE2      0xa6000
#define ENTRY      0x8000
#define MAP        0xfe00
#define MAP_SIZE   0x200
#define MAP_AT(offset) (seen_map + (offset) - MAP)

#define M_CS       MAP_AT(0xfe10)
#define M_SS       MAP_AT(0xfe20)
#define M_GDT      MAP_AT(0xfe60)
#define M_IDT      MAP_AT(0xfe80)
#define M_TR       MAP_AT(0xfe90)
#define M_IO_RIP   MAP_AT(0xfea0)
#define M_IO       MAP_AT(0xfec0)
#define M_HALT     MAP_AT(0xfec9)
#define M_EFER     MAP_AT(0xfed0)
#define M_REVISION MAP_AT(0xfefc)
#define M_SMBASE   MAP_AT(0xff00)
#define M_CR4      MAP_AT(0xff48)
#define M_CR3      MAP_AT(0xff50)
#define M_CR0      MAP_AT(0xff58)
#define M_DR7      MAP_AT(0xff60)
#define M_FLAGS    MAP_AT(0xff70)
#define M_RIP      MAP_AT(0xff78)
#define M_RSP      MAP_AT(0xffd8)
#define M_RDX      MAP_AT(0xffe8)
#define M_RAX      MAP_AT(0xfff8)

#define APM        0xb2
#define APMC_EN    0x80000b58 /* configuration addresses: PIIX4_PM, DEVACTB */
#define SMRAMC     0x80000070 /* byte 2 */
#define G_SMRAME   0x08
#define D_LCK      0x10
#define D_OPEN     0x40

#define APIC       0xfee00000
#define APIC_SVR   0xf0
#define APIC_EOI   0xb0
#define APIC_ICR   0x300
#define ICR_SELF   0x40000
#define ICR_SMI    0x4200
#define ICR_NMI    0x4400
#define ICR_INIT   0x4500
#define ICR_START  0x4600
#define IOAPIC     0xfec00000
#define VECTOR     0x41
#define TRAMPOLINE 0x9000
#define LOW(label) (label - low_code)

/* What the handler does: bits. */
#define DO_SMI     0x001 /* raise another one */
#define DO_NMI     0x002 /* send itself one */
#define DO_INT     0x004 /* and an interrupt */
#define DO_IRET    0x008 /* let NMIs through */
#define DO_CHANGE  0x010 /* rip and rax of the map */
#define DO_WAKE    0x020 /* out of HLT */
#define DO_MARK    0x040 /* write to SMRAM */
#define DO_TIMER   0x080 /* start the timer again */
#define DO_LONG    0x100 /* RSM in long mode */
#define DO_AGAIN   0x200 /* the I/O instruction once more */

    .data
    .globl test_name
test_name: .asciz "smm"
    .balign 8
action:     .quad 0
new_base:   .quad 0 /* 0: as it is */
changed_rip: .quad 0
smis:       .quad 0
depth:      .quad 0 /* how many handlers are at work */
nested:     .quad 0 /* SMIs in a handler: none */
nmis_in:    .quad 0 /* NMIs that the handler let through */
nmis:       .quad 0
ints:       .quad 0
nmi_rip:    .quad 0
first_rip:  .quad 0
rsm_in:     .quad 0
mark:       .quad 0
in_cs:      .quad 0
in_cr0:     .quad 0
in_cr4:     .quad 0
in_flags:   .quad 0
in_efer:    .quad 0
in_dr7:     .quad 0
in_rax:     .quad 0
real_count: .quad 0
saved_rsp:  .quad 0
after_prot: .quad 0
after_real: .quad 0
to_compat:  .long compat
            .word SEL_CODE32
    .balign 16
seen_map:   .fill MAP_SIZE, 1, 0

/* TCG takes it with the next block, not with the next instruction: the jump, of two bytes, ends one. */
.macro next_block
    jmp .Lnext\@
.Lnext\@:
.endm

.macro smi
    out %al, $APM
    next_block
.endm

/* ---- the handler: 16 bits, DS flat */
    .text
    .code16
handler:
    addr32 mov %eax, in_rax
    mov %cs, %ax
    mov %ax, %ss
    mov $0x7ff0, %sp
    movzwl %ax, %ebx
    pushfl
    popl %eax
    addr32 mov %eax, in_flags
    addr32 incl smis
    addr32 mov %ebx, in_cs
    shl $4, %ebx /* SMBASE */
    mov %cr0, %eax
    addr32 mov %eax, in_cr0
    mov %cr4, %eax
    addr32 mov %eax, in_cr4
    mov %dr7, %eax
    addr32 mov %eax, in_dr7
    mov $MSR_EFER, %ecx
    rdmsr
    addr32 mov %eax, in_efer
    /* the first of nested ones is remembered apart */
    addr32 mov MAP + 0x178(%ebx), %eax
    addr32 cmpl $0, first_rip
    jne 1f
    addr32 mov %eax, first_rip
1:  cld
    lea MAP(%ebx), %esi
    mov $seen_map, %edi
    mov $(MAP_SIZE / 4), %ecx
    addr32 rep movsl
    addr32 cmpl $0, depth
    je 1f
    addr32 incl nested
1:  addr32 incl depth
    addr32 mov new_base, %eax
    test %eax, %eax
    jz 1f
    addr32 mov %eax, MAP + 0x100(%ebx)
    addr32 movl $0, new_base
1:  addr32 mov action, %ebp
    addr32 movl $0, action
    test $DO_SMI, %bp
    jz 1f
    out %al, $APM
    out %al, $APM /* of two one is kept */
1:  mov $APIC, %edi
    test $DO_INT, %bp
    jz 1f
    addr32 movl $(ICR_SELF + 0x4000 + VECTOR), APIC_ICR(%edi)
1:  test $DO_NMI, %bp
    jz 1f
    addr32 movl $0, APIC_ICR + 0x10(%edi)
    addr32 movl $ICR_NMI, APIC_ICR(%edi) /* to APIC 0, itself: not by a shorthand */
    nop
1:  test $DO_IRET, %bp
    jz 1f
    call let_nmi
1:  test $DO_CHANGE, %bp
    jz 1f
    addr32 mov changed_rip, %eax
    addr32 mov %eax, MAP + 0x178(%ebx)
    addr32 movl $0x12345678, MAP + 0x1f8(%ebx)
1:  test $DO_WAKE, %bp
    jz 1f
    addr32 movb $0, MAP + 0xc9(%ebx)
1:  test $DO_MARK, %bp
    jz 1f
    addr32 movb $0x5a, SMRAM + 0x10
1:  addr32 mov SMRAM + 0x10, %al
    addr32 mov %al, mark
    test $DO_TIMER, %bp
    jz 1f
    call timer
    addr32 movl $DO_WAKE, action
1:  test $DO_AGAIN, %bp
    jz 1f
    addr32 movb $0xff, MAP + 0xc8(%ebx)
1:  addr32 decl depth
    test $DO_LONG, %bp
    jnz 1f
    rsm
    addr32 incl rsm_in /* never */
1:  addr32 lgdtl gdt_pointer
    mov %cr0, %eax
    or $CR0_PE, %al
    mov %eax, %cr0
    ljmpl $SEL_CODE32, $rsm_long

/* Of channel 0; some milliseconds: the HLT comes first on every host. */
.macro SET_TIMER
    mov $0x30, %al
    out %al, $0x43
    mov $0, %al
    out %al, $0x40
    mov $0x20, %al
    out %al, $0x40
.endm

/* A PIT tick, in channel 0, goes to pin 2 of the I/O APIC, which makes it an SMI. */
timer:
    SET_TIMER
    ret

/* IRET lets NMIs through, by a table at SMBASE. */
let_nmi:
    mov %cs, %ax
    mov %ax, %es
    mov %bx, %dx
    call 1f
1:  pop %ax
    add $(nmi_in - 1b), %ax
    movw %ax, %es:0x7e08 /* vector 2 of the table at 0x7e00 */
    movw %cs, %es:0x7e0a
    lea 0x7e00(%ebx), %eax
    push %eax
    pushw $0x3ff
    mov %sp, %si
    lidtl %ss:(%si)
    add $6, %sp
    call 1f
1:  pop %ax
    add $(2f - 1b), %ax
    pushf
    push %cs
    push %ax
    iret
2:  nop
    ret
nmi_in:
    addr32 incl nmis_in
    iret
handler_end:

    .code32
rsm_long:
    mov $SEL_DATA, %eax
    mov %eax, %ds
    mov %eax, %ss
    protected32_to_long
    mov %rsp, saved_rsp + 8 /* the upper half counts */
    rsm
    ud2
    .code64

/* ---- code below 1 MiB for real mode */
    .code16
low_code:
protected16:
    mov $SEL_DATA16, %eax
    mov %ax, %ds
    mov %ax, %es
    mov %ax, %ss
    mov %cr0, %eax
    and $~CR0_PE, %al
    mov %eax, %cr0
    ljmp $(LOW_BASE >> 4), $LOW(1f)
1:  mov $0x1234, %ax
    mov %ax, %ds
    mov $0xfff0, %sp
    mov %cs, %ax
    mov %ax, %ss
    mov $0x12345678, %edx
    stc
    out %al, $APM
real_next:
    next_block
    mov $0, %eax
    adc $0, %eax
    mov %ds, %cx
    shl $16, %ecx
    or %eax, %ecx /* 1234, CF */
    mov %cr0, %eax
    or $CR0_PE, %al
    mov %eax, %cr0
    ljmpl $SEL_CODE32, $from_real
/* The other processor counts in real mode. */
other:
    mov $(TRAMPOLINE >> 4), %ax
    mov %ax, %ds
1:  incl LOW(other_count)
    jmp 1b
    .balign 4
other_count: .long 0
low_end:
    .code64

/* The map's rip was that of `label`, behind the OUT. rcx is lost. */
#define EXPECT_RIP(seen, label) \
    mov seen, %rcx;             \
    sub on_tcg, %rcx;           \
    sub on_tcg, %rcx;           \
    EXPECT(%rcx, $label)

.macro config_address address
    mov $\address, %eax
    mov $0xcf8, %edx
    out %eax, %dx
    mov $0xcfc, %edx
.endm

/* SMRAMC = value; eax and edx are lost. */
.macro smramc value
    config_address SMRAMC
    mov $0xcfe, %edx
    mov $(2 + (\value)), %al
    out %al, %dx
.endm

    .globl test_main
test_main:
    mov %rsp, saved_rsp
    mov $APIC, %r15d
    orl $0x100, APIC_SVR(%r15)
    set_gate 2, on_nmi
    set_gate VECTOR, on_int
    FAULTS(6, 0, rsm)

/* ---- SMRAM is opened, the handler goes where both kinds of machines have SMBASE, and to where it will be */
    smramc G_SMRAME + D_OPEN
    .irp at, FIRST_BASE, SMRAM, BASE, BASE2
    mov $handler, %esi
    mov $(\at + ENTRY), %edi
    mov $(handler_end - handler), %ecx
    rep movsb
    .endr
    smramc G_SMRAME
    config_address APMC_EN
    mov $0x02000000, %eax
    out %eax, %dx

/* ---- SMBASE moves */
    movq $BASE, new_base
    smi
    EXPECT(smis, $1)
    mov M_REVISION, %eax
    and $0x200ff, %eax
    EXPECT(%rax, $0x20064)
    movq $0, first_rip
    smi
    EXPECT(smis, $2)
    mov M_SMBASE, %eax
    EXPECT(%rax, $BASE)
    EXPECT(in_cs, $(BASE >> 4))

/* ---- out of long mode: what the map holds, what the handler begins with, what is given back */
    mov $0x8070605040302010, %rax
    movabs $0x1122334455667788, %r8
    mov %r8, %rbx
    not %rbx
    movabs $0xfeffffff12345678, %rdx
    lea 1(%rdx), %r14
    mov %rsp, %rbp
    stc
    std
    out %al, $APM
1:  next_block
    EXPECT_FLAGS(CF | DF | IF, CF | DF)
    cld
    EXPECT(smis, $3)
    EXPECT(%r8, $0x1122334455667788)
    not %rbx
    EXPECT(%rbx, %r8)
    dec %r14
    EXPECT(%r14, %rdx)
    mov %rsp, %rcx
    EXPECT(%rcx, %rbp)
    movabs $0x8070605040302010, %rcx
    EXPECT(%rax, %rcx)
    EXPECT(M_RAX, %rcx)
    EXPECT(M_RDX, %rdx)
    EXPECT_RIP(M_RIP, 1b)
    EXPECT(M_RSP, %rbp)
    mov M_FLAGS, %eax
    EXPECT(%rax, $(CF | DF | 2))
    mov M_CS, %eax
    EXPECT(%rax, $(0xa09b0000 + SEL_CODE64))
    mov M_SS, %eax
    EXPECT(%rax, $(0xc0930000 + SEL_DATA))
    mov M_SS + 4, %eax
    mov $0xffffffff, %ecx
    EXPECT(%rax, %rcx)
    EXPECT(M_GDT + 8, $gdt)
    movzwl M_GDT + 4, %eax
    movzwl gdt_pointer, %ecx
    EXPECT(%rax, %rcx)
    EXPECT(M_IDT + 8, $idt)
    movzwl M_IDT + 4, %eax
    EXPECT(%rax, $4095)
    movzwl M_TR, %eax
    EXPECT(%rax, $SEL_TSS)
    EXPECT(M_TR + 8, $tss)
    mov M_CR0, %eax
    mov %cr0, %rcx
    EXPECT(%rax, %rcx)
    EXPECT(M_CR3, $boot_pml4)
    mov M_CR4, %eax
    mov %cr4, %rcx
    EXPECT(%rax, %rcx)
    mov M_DR7, %eax
    EXPECT(%rax, $0x400)
    read_msr MSR_EFER
    EXPECT(M_EFER, %rax)
    mov in_cr0, %eax
    mov %cr0, %rcx
    and $~(CR0_PE | CR0_EM | CR0_TS | CR0_PG), %ecx
    EXPECT(%rax, %rcx)
    EXPECT(in_cr4, $0)
    EXPECT(in_efer, $0)
    EXPECT(in_flags, $2)
    EXPECT(in_dr7, $0x400)
    mov in_rax, %eax
    EXPECT(%rax, $0x40302010)

/* ---- the handler changes what is given back */
    movq $1f, changed_rip
    movq $DO_CHANGE, action
    xor %eax, %eax
    smi
    ud2
1:  mov %eax, %eax
    EXPECT(%rax, $0x12345678)

/* ---- RSM in long mode */
    movq $DO_LONG, action
    mov $77, %ebx
    smi
    EXPECT(%rbx, $77)
    EXPECT(smis, $5)
    EXPECT(rsm_in, $0)

/* ---- compatibility mode */
    ljmp *to_compat
    .code32
compat:
    mov $0x55, %eax
    out %al, $APM
compat_next:
    next_block
    inc %eax
    ljmp $SEL_CODE64, $1f
    .code64
1:  EXPECT(%rax, $0x56)
    EXPECT_RIP(M_RIP, compat_next)
    mov M_CS, %eax
    EXPECT(%rax, $(0xc09b0000 + SEL_CODE32))

/* ---- an SMI in the handler waits, and only one does */
    movq $0, first_rip
    movq $DO_SMI, action
    out %al, $APM
1:  next_block
    EXPECT(smis, $8)
    EXPECT(nested, $0)
    EXPECT_RIP(first_rip, 1b)
    EXPECT_RIP(M_RIP, 1b)

/* ---- so do NMIs and interrupts; NMI is first */
    movq $(DO_NMI | DO_INT), action
    sti
    smi
    nop
    cli
    EXPECT(nmis, $1)
    EXPECT(ints, $1)
    mov M_RIP, %rcx
    EXPECT(nmi_rip, %rcx)
    EXPECT(nmis_in, $0)

/* ---- but after an IRET NMIs are let through */
    movq $(DO_NMI | DO_IRET), action
    smi
    nop
    EXPECT(nmis, $1)
    EXPECT(nmis_in, $1)
    smi
    EXPECT(nmis, $1)

/* ---- an SMI in the handler of an NMI leaves NMIs blocked */
    set_gate 2, on_nmi_smi
    movl $0, APIC_ICR + 0x10(%r15)
    movl $ICR_NMI, APIC_ICR(%r15)
    next_block
    EXPECT(nmis, $3)
    EXPECT(seen_nested_nmi, $0)

/* ---- SMI by the local APIC, and MSRs' worth of a count */
    mov smis, %rbx
    inc %rbx
    movl $ICR_SMI, APIC_ICR(%r15)
    next_block
    EXPECT(smis, %rbx)

/* ---- SMRAM is nobody else's */
    movq $DO_MARK, action
    smi
    EXPECT(mark, $0x5a)
    movzbl SMRAM + 0x10, %eax
    cmp $0x5a, %al
    sete %cl
    movzbl %cl, %ecx
    EXPECT(%rcx, $0)
    movb $0x33, SMRAM + 0x10
    movq $0, mark
    smi
    EXPECT(mark, $0x5a)
    smramc G_SMRAME + D_OPEN
    movzbl SMRAM + 0x10, %eax
    EXPECT(%rax, $0x5a)
    smramc G_SMRAME

/* ---- between an instruction and its single step: the SMI first */
    leave_out_on_tcg "a single step goes before an SMI", hlt_test
    set_gate 1, on_step
    pushfq
    orl $TF, (%rsp)
    popfq
    out %al, $APM
step_next:
    nop
    pushfq
    andl $~TF, (%rsp)
    popfq
    EXPECT(M_RIP, $step_next)
    mov seen_steps, %rax
    EXPECT(%rax, $step_next)

/* ---- HLT: the first SMI leaves it halted, the second does not. By the I/O APIC */
hlt_test:
    mov $IOAPIC, %ebx
    movl $0x15, (%rbx)
    movl $0, 0x10(%rbx)
    movl $0x14, (%rbx)
    movl $0x200, 0x10(%rbx) /* SMI, an edge, physical, to APIC 0 */
    movq $0, first_rip
    movq $DO_TIMER, action
    mov smis, %rbp
    call start_timer
    hlt
hlt_next:
    leave_out_on_tcg "no auto HALT restart", hlt_end
    EXPECT(first_rip, $hlt_next)
    EXPECT(M_RIP, $hlt_next)
    movzbl M_HALT, %eax
    EXPECT(%rax, $1)
    add $2, %rbp
    EXPECT(smis, %rbp)
    smi
    movzbl M_HALT, %eax
    EXPECT(%rax, $0)
hlt_end:
    movl $0x14, (%rbx)
    movl $0x10000, 0x10(%rbx)
    movq $0, action

/* ---- the I/O instruction that brought it about, and once more */
    leave_out_on_tcg "no I/O instruction restart", protected
    mov smis, %rbx
    movq $DO_AGAIN, action
1:  out %al, $APM
2:  mov M_IO, %eax
    EXPECT(%rax, $((APM << 16) + 0x12))
    EXPECT(M_IO_RIP, $1b)
    EXPECT(M_RIP, $2b)
    add $2, %rbx
    EXPECT(smis, %rbx)

/* ---- protected mode without paging, then real mode */
protected:
    mov $low_code, %esi
    mov $LOW_BASE, %edi
    mov $(low_end - low_code), %ecx
    rep movsb
    long_to_protected32
    mov $0x1234, %ecx
    out %al, $APM
prot_next:
    next_block
    mov %ecx, after_prot
    mov M_CR0, %eax
    mov %eax, after_prot + 4
    mov M_RIP, %eax
    mov %eax, after_real + 4
    ljmp $SEL_CODE16, $LOW(protected16)
from_real:
    mov $SEL_DATA, %eax
    mov %eax, %ds
    mov %eax, %es
    mov %eax, %ss
    mov saved_rsp, %esp
    mov %ecx, after_real
    protected32_to_long
    mov $0, %eax
    mov %eax, %fs
    mov after_prot, %eax
    EXPECT(%rax, $0x1234)
    mov after_prot + 4, %eax
    and $(CR0_PG | CR0_PE), %eax
    EXPECT(%rax, $CR0_PE)
    mov after_real + 4, %eax
    EXPECT_RIP(%rax, prot_next)
    mov after_real, %eax
    EXPECT(%rax, $0x12340001)
    EXPECT_RIP(M_RIP, LOW(real_next))
    movzwl M_CS, %eax
    EXPECT(%rax, $(LOW_BASE >> 4))
    EXPECT(M_CS + 8, $LOW_BASE)
    EXPECT(M_RDX, $0x12345678)
    mov M_CR0, %eax
    and $(CR0_PG | CR0_PE), %eax
    EXPECT(%rax, $0)

/* ---- another processor, in real mode, moves its SMBASE and goes on */
    mov $low_code, %esi
    mov $TRAMPOLINE, %edi
    mov $(low_end - low_code), %ecx
    rep movsb
    /* begins with a jump to where it counts */
    movb $0xe9, TRAMPOLINE
    movw $(LOW(other) - 3), TRAMPOLINE + 1
    movl $0x01000000, APIC_ICR + 0x10(%r15)
    movl $ICR_INIT, APIC_ICR(%r15)
    movl $(ICR_START + (TRAMPOLINE >> 12)), APIC_ICR(%r15)
    call other_counts
    movq $BASE2, new_base
    call other_smi
    mov M_SMBASE, %eax
    EXPECT(%rax, $FIRST_BASE)
    call other_smi
    EXPECT(in_cs, $(BASE2 >> 4))
    movzwl M_CS, %eax
    EXPECT(%rax, $(TRAMPOLINE >> 4))
    call other_counts
    smi /* this one's is where it was */
    EXPECT(in_cs, $(BASE >> 4))

/* ---- the lock: SMRAM cannot be opened any more, and works */
    leave_out_on_tcg "D_LCK locks nothing", 9f
    smramc G_SMRAME + D_LCK
    smramc G_SMRAME + D_OPEN
    in %dx, %al
    movzbl %al, %eax
    EXPECT(%rax, $(G_SMRAME + D_LCK + 2))
    movzbl SMRAM + 0x10, %eax
    EXPECT(%rax, $0xff)
    movq $0, mark
    smi
    EXPECT(mark, $0x5a)
9:  EXPECT(nested, $0)
    FAULTS(6, 0, rsm)
    ret

other_smi:
    mov smis, %rbx
    inc %rbx
    movl $0x01000000, APIC_ICR + 0x10(%r15)
    movl $ICR_SMI, APIC_ICR(%r15)
1:  pause
    cmp smis, %rbx
    jne 1b
    /* it is out of the handler when it counts again */
other_counts:
    mov TRAMPOLINE + LOW(other_count), %eax
1:  pause
    cmp TRAMPOLINE + LOW(other_count), %eax
    je 1b
    ret

start_timer:
    SET_TIMER
    ret

on_nmi:
    incq nmis
    push %rax
    mov 8(%rsp), %rax
    mov %rax, nmi_rip
    pop %rax
    iretq

/* Another NMI comes while an SMI has interrupted this one. */
on_nmi_smi:
    incq nmis
    incq in_nmi
    cmpq $1, in_nmi
    je 1f
    incq seen_nested_nmi
1:  cmpq $2, nmis
    jne 1f
    movq $DO_NMI, action
    smi
    nop
1:  decq in_nmi
    iretq

on_int:
    incq ints
    movl $0, APIC_EOI(%r15)
    iretq

on_step:
    push %rax
    cmpq $0, seen_steps
    jne 1f
    mov 8(%rsp), %rax
    cmp $step_next, %rax
    jb 1f /* the POPF */
    mov %rax, seen_steps
1:  pop %rax
    iretq

    .data
    .balign 8
seen_steps:      .quad 0
in_nmi:          .quad 0
seen_nested_nmi: .quad 0

    .section .note.GNU-stack, "", @progbits
