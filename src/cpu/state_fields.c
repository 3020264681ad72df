/* The fields of a vcpu's state by name, for scripts: see state.h. */
#include "cpu/state.h"

/* clang-format off */
#define AT(FIELD)             offsetof(struct vcpu_state, FIELD)
#define U8(NAME, FIELD)       { NAME, STATE_KIND_U8, AT(FIELD), 1 }
#define U16(NAME, FIELD)      { NAME, STATE_KIND_U16, AT(FIELD), 1 }
#define U32(NAME, FIELD)      { NAME, STATE_KIND_U32, AT(FIELD), 1 }
#define U64(NAME, FIELD)      { NAME, STATE_KIND_U64, AT(FIELD), 1 }
#define LIST64(NAME, FIELD)                                                                        \
    { NAME, STATE_KIND_U64, AT(FIELD), sizeof(((struct vcpu_state *)0)->FIELD) / 8 }
#define BYTES(NAME, FIELD)                                                                         \
    { NAME, STATE_KIND_BYTES, AT(FIELD), sizeof(((struct vcpu_state *)0)->FIELD) }

#define REG(FIELD)     U64("regs." #FIELD, regs.FIELD)
#define SEGMENT(NAME)                                                                              \
    U64("sregs." #NAME ".base", sregs.NAME.base), U32("sregs." #NAME ".limit", sregs.NAME.limit),  \
    U16("sregs." #NAME ".selector", sregs.NAME.selector),                                          \
    SEGMENT_BIT(NAME, type), SEGMENT_BIT(NAME, present), SEGMENT_BIT(NAME, dpl),                   \
    SEGMENT_BIT(NAME, db), SEGMENT_BIT(NAME, s), SEGMENT_BIT(NAME, l), SEGMENT_BIT(NAME, g),       \
    SEGMENT_BIT(NAME, avl), SEGMENT_BIT(NAME, unusable)
#define SEGMENT_BIT(NAME, FIELD) U8("sregs." #NAME "." #FIELD, sregs.NAME.FIELD)
#define TABLE(NAME)                                                                                \
    U64("sregs." #NAME ".base", sregs.NAME.base), U16("sregs." #NAME ".limit", sregs.NAME.limit)
#define SREG(FIELD)    U64("sregs." #FIELD, sregs.FIELD)
#define XMM(N, NUMBER) BYTES("fpu.xmm." #NUMBER, fpu.xmm[N])
#define FPR(N, NUMBER) BYTES("fpu.fpr." #NUMBER, fpu.fpr[N])
#define EVENT(FIELD)   U8("events." #FIELD, misc.events.FIELD)

const struct state_field vcpu_state_fields[] = {
    REG(rax), REG(rbx), REG(rcx), REG(rdx), REG(rsi), REG(rdi), REG(rsp), REG(rbp), REG(r8),
    REG(r9), REG(r10), REG(r11), REG(r12), REG(r13), REG(r14), REG(r15), REG(rip), REG(rflags),
    SEGMENT(cs), SEGMENT(ds), SEGMENT(es), SEGMENT(fs), SEGMENT(gs), SEGMENT(ss), SEGMENT(tr),
    SEGMENT(ldt), TABLE(gdt), TABLE(idt),
    SREG(cr0), SREG(cr2), SREG(cr3), SREG(cr4), SREG(cr8), SREG(efer), SREG(apic_base),
    LIST64("sregs.interrupt_bitmap", sregs.interrupt_bitmap),
    FPR(0, 1), FPR(1, 2), FPR(2, 3), FPR(3, 4), FPR(4, 5), FPR(5, 6), FPR(6, 7), FPR(7, 8),
    U16("fpu.fcw", fpu.fcw), U16("fpu.fsw", fpu.fsw), U8("fpu.ftwx", fpu.ftwx),
    U16("fpu.last_opcode", fpu.last_opcode), U64("fpu.last_ip", fpu.last_ip),
    U64("fpu.last_dp", fpu.last_dp),
    XMM(0, 1), XMM(1, 2), XMM(2, 3), XMM(3, 4), XMM(4, 5), XMM(5, 6), XMM(6, 7), XMM(7, 8),
    XMM(8, 9), XMM(9, 10), XMM(10, 11), XMM(11, 12), XMM(12, 13), XMM(13, 14), XMM(14, 15),
    XMM(15, 16), U32("fpu.mxcsr", fpu.mxcsr),
    EVENT(exception.injected), EVENT(exception.nr), EVENT(exception.has_error_code),
    EVENT(exception.pending), U32("events.exception.error_code", misc.events.exception.error_code),
    EVENT(interrupt.injected), EVENT(interrupt.nr), EVENT(interrupt.soft), EVENT(interrupt.shadow),
    EVENT(nmi.injected), EVENT(nmi.pending), EVENT(nmi.masked),
    U32("events.sipi_vector", misc.events.sipi_vector), U32("events.flags", misc.events.flags),
    EVENT(smi.smm), EVENT(smi.pending), EVENT(smi.smm_inside_nmi), EVENT(smi.latched_init),
    EVENT(triple_fault.pending), EVENT(exception_has_payload),
    U64("events.exception_payload", misc.events.exception_payload),
    LIST64("debugregs.db", misc.debugregs.db), U64("debugregs.dr6", misc.debugregs.dr6),
    U64("debugregs.dr7", misc.debugregs.dr7), U64("debugregs.flags", misc.debugregs.flags),
    U32("mp_state", misc.mp_state.mp_state),
    U32("xcrs.nr_xcrs", misc.xcrs.nr_xcrs), U32("xcrs.flags", misc.xcrs.flags),
    U32("xcrs.xcrs.1.xcr", misc.xcrs.xcrs[0].xcr), U64("xcrs.xcrs.1.value", misc.xcrs.xcrs[0].value),
    BYTES("xsave", misc.xsave.region), BYTES("lapic", lapic.regs), U64("kvmclock", kvmclock),
    STATE_END,
};
/* clang-format on */
