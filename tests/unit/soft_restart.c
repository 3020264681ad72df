/* Instructions that access memory in more than one place: whatever part of it is absent, read-only
 * or beyond a segment's limit, they have changed nothing of the cpu when the fault comes (the
 * string instructions: but for the elements that are done), and executed again they end as if there
 * had been none. And a watched byte of their operand is told of at once after them.
 *
 * Each is executed at all places around the border of two pages. SDM vol. 3 6.6: restartable. */
#include "soft_fixture.h"

enum {
    WINDOW = 0x300000, /* two pages */
    EDGE = WINDOW + 0x1000,
    OTHER = 0x20800, /* the operands that do not lie there, and the stack */
    OTHER_STACK = 0x21800,
    IMAGE_FIRST = 0x20000, /* of OTHER and OTHER_STACK */
    TARGET = CODE + 0x80,  /* HLT */
    VECTOR = 0x80,         /* its gate has no stack of its own */
    SEL_CODE32 = 0x38,
};

/* What lies at the border. */
enum { BY_RDI = 1, BY_RSI = 2, BY_RSP = 4, BY_RBP = 8 };
/* What the instruction wants there. */
enum fill { ANYTHING, ZEROS, RETURN, FLAGS, SELECTOR, FAR_POINTER, BOUNDS, MXCSR_IMAGE };
enum { PROGRESSES = 1, PUSHES = 2 }; /* more than once: what has been written may stay */
/* What is wrong with one of the pages. */
enum wrong { NOTHING, ABSENT, READ_ONLY, LIMIT };

struct instruction {
    const char *name;
    const uint8_t *code, *end;
    unsigned bits, where, span, step; /* the operand's bytes; its alignment */
    enum fill fill;
    unsigned traits;
};

/* clang-format off */
#define INSTRUCTIONS(X)                                                                            \
    X(push, 64, BY_RSP, 8, 1, ANYTHING, 0, "push %rcx")                                            \
    X(push16, 64, BY_RSP, 2, 1, ANYTHING, 0, "push %cx")                                           \
    X(push_fs, 64, BY_RSP, 8, 1, ANYTHING, 0, "push %fs")                                          \
    X(pushf, 64, BY_RSP, 8, 1, ANYTHING, 0, "pushf")                                               \
    X(push_from, 64, BY_RDI, 8, 1, ANYTHING, 0, "pushq (%rdi)")                                    \
    X(push_to, 64, BY_RSP, 8, 1, ANYTHING, 0, "pushq (%rdi)")                                      \
    X(pop, 64, BY_RSP, 8, 1, ANYTHING, 0, "pop %rcx")                                              \
    X(pop_fs, 64, BY_RSP, 8, 1, SELECTOR, 0, "pop %fs")                                            \
    X(popf, 64, BY_RSP, 8, 1, FLAGS, 0, "popf")                                                    \
    X(pop_to, 64, BY_RDI, 8, 1, ANYTHING, 0, "popq (%rdi)")                                        \
    X(pop_from, 64, BY_RSP, 8, 1, ANYTHING, 0, "popq (%rdi)")                                      \
    X(enter0, 64, BY_RSP, 24, 1, ANYTHING, PUSHES, "enter $16, $0")                                \
    X(enter3, 64, BY_RSP, 64, 1, ANYTHING, PUSHES, "enter $32, $3")                                \
    X(enter3_from, 64, BY_RBP, 32, 1, ANYTHING, PUSHES, "enter $32, $3")                           \
    X(enter31, 64, BY_RSP, 280, 7, ANYTHING, PUSHES, "enter $8, $31")                              \
    X(leave, 64, BY_RBP, 8, 1, ANYTHING, 0, "leave")                                               \
    X(call, 64, BY_RSP, 8, 1, ANYTHING, 0, "call . + 0x80")                                        \
    X(call_from, 64, BY_RDI, 8, 1, RETURN, 0, "call *(%rdi)")                                      \
    X(call_far, 64, BY_RDI, 10, 1, FAR_POINTER, 0, "rex.w lcall *(%rdi)")                          \
    X(call_far_to, 64, BY_RSP, 16, 1, FAR_POINTER, PUSHES, "rex.w lcall *(%rdi)")                  \
    X(ret, 64, BY_RSP, 8, 1, RETURN, 0, "ret $16")                                                 \
    X(ret_far, 64, BY_RSP, 16, 1, RETURN, 0, "lretq $8")                                           \
    X(iret, 64, BY_RSP, 40, 1, RETURN, 0, "iretq")                                                 \
    X(interrupt, 64, BY_RSP, 64, 1, ANYTHING, PUSHES, "int $0x80")                                 \
    X(pusha, 32, BY_RSP, 32, 1, ANYTHING, PUSHES, "pusha")                                         \
    X(pusha16, 32, BY_RSP, 16, 1, ANYTHING, PUSHES, "pushaw")                                      \
    X(popa, 32, BY_RSP, 32, 1, ANYTHING, 0, "popa")                                                \
    X(popa16, 32, BY_RSP, 16, 1, ANYTHING, 0, "popaw")                                             \
    X(enter32, 32, BY_RSP, 44, 1, ANYTHING, PUSHES, "enter $8, $5")                                \
    X(enter32_from, 32, BY_RBP, 24, 1, ANYTHING, PUSHES, "enter $8, $5")                           \
    X(call_far32, 32, BY_RSP, 8, 1, ANYTHING, PUSHES, "lcall $0x10, $0x1080")                      \
    X(call_far16, 32, BY_RSP, 4, 1, ANYTHING, PUSHES, "lcallw $0x10, $0x1080")                     \
    X(bound, 32, BY_RDI, 8, 1, BOUNDS, 0, "bound %ecx, (%edi)")                                    \
    X(les, 32, BY_RDI, 6, 1, FAR_POINTER, 0, "les (%edi), %ecx")                                   \
    X(lfs, 64, BY_RDI, 10, 1, FAR_POINTER, 0, "rex.w lfs (%rdi), %ecx")                            \
    X(sgdt, 64, BY_RDI, 10, 1, ANYTHING, 0, "sgdt (%rdi)")                                         \
    X(xchg, 64, BY_RDI, 8, 1, ANYTHING, 0, "xchg %rcx, (%rdi)")                                    \
    X(xadd, 64, BY_RDI, 8, 1, ANYTHING, 0, "lock xadd %rcx, (%rdi)")                               \
    X(cmpxchg, 64, BY_RDI, 8, 1, ANYTHING, 0, "lock cmpxchg %rcx, (%rdi)")                         \
    X(cmpxchg8b, 64, BY_RDI, 8, 1, ANYTHING, 0, "lock cmpxchg8b (%rdi)")                           \
    X(cmpxchg16b, 64, BY_RDI, 16, 16, ANYTHING, 0, "lock cmpxchg16b (%rdi)")                       \
    X(add, 64, BY_RDI, 8, 1, ANYTHING, 0, "add %rcx, (%rdi)")                                      \
    X(adc16, 64, BY_RDI, 2, 1, ANYTHING, 0, "adc %cx, (%rdi)")                                     \
    X(neg, 64, BY_RDI, 8, 1, ANYTHING, 0, "negq (%rdi)")                                           \
    X(rol, 64, BY_RDI, 8, 1, ANYTHING, 0, "rolq $5, (%rdi)")                                       \
    X(shld, 64, BY_RDI, 8, 1, ANYTHING, 0, "shld $5, %rcx, (%rdi)")                                \
    X(bts, 64, BY_RDI, 16, 1, ANYTHING, 0, "bts %rcx, (%rdi)")                                     \
    X(movbe, 64, BY_RDI, 8, 1, ANYTHING, 0, "movbe %rcx, (%rdi)")                                  \
    X(movs, 64, BY_RDI, 8, 1, ANYTHING, 0, "movsq")                                                \
    X(movs_from, 64, BY_RSI, 8, 1, ANYTHING, 0, "movsq")                                           \
    X(cmps, 64, BY_RDI, 8, 1, ANYTHING, 0, "cmpsq")                                                \
    X(scas, 64, BY_RDI, 4, 1, ANYTHING, 0, "scasl")                                                \
    X(rep_movs, 64, BY_RDI, 36, 1, ANYTHING, PROGRESSES, "rep movsl")                              \
    X(rep_movs_from, 64, BY_RSI, 36, 1, ANYTHING, PROGRESSES, "rep movsl")                         \
    X(rep_movs32, 32, BY_RDI, 18, 1, ANYTHING, PROGRESSES, "rep movsw")                            \
    X(rep_movs_down, 64, BY_RDI, 36, 1, ANYTHING, PROGRESSES, "std; rep movsl")                    \
    X(rep_stos, 64, BY_RDI, 72, 1, ANYTHING, PROGRESSES, "rep stosq")                              \
    X(rep_lods, 64, BY_RSI, 36, 1, ANYTHING, PROGRESSES, "rep lodsl")                              \
    X(rep_cmps, 64, BY_RDI, 36, 1, ZEROS, PROGRESSES, "repe cmpsl")                               \
    X(rep_cmps_from, 64, BY_RSI, 36, 1, ZEROS, PROGRESSES, "repe cmpsl")                          \
    X(rep_scas, 64, BY_RDI, 18, 1, ZEROS, PROGRESSES, "repne scasw")                               \
    X(ins, 64, BY_RDI, 4, 1, ANYTHING, 0, "insl")                                              \
    X(outs, 64, BY_RSI, 4, 1, ANYTHING, 0, "outsl")                                            \
    X(rep_ins, 64, BY_RDI, 18, 1, ANYTHING, PROGRESSES, "rep insw")                        \
    X(rep_outs, 64, BY_RSI, 18, 1, ANYTHING, PROGRESSES, "rep outsw")                      \
    X(fxsave, 64, BY_RDI, 512, 16, ANYTHING, 0, "fxsave (%rdi)")                                   \
    X(fxrstor, 64, BY_RDI, 512, 16, MXCSR_IMAGE, 0, "fxrstor (%rdi)")                              \
    X(xsave, 64, BY_RDI, 832, 64, ZEROS, 0, "mov $7, %eax; xsave (%rdi)")                          \
    X(xsavec, 64, BY_RDI, 832, 64, ZEROS, 0, "mov $7, %eax; xsavec (%rdi)")                        \
    X(xrstor, 64, BY_RDI, 832, 64, MXCSR_IMAGE, 0, "mov $7, %eax; xrstor (%rdi)")                  \
    X(fnsave, 64, BY_RDI, 108, 3, ANYTHING, 0, "fnsave (%rdi)")                                    \
    X(fnsave16, 64, BY_RDI, 94, 3, ANYTHING, 0, "fnsaves (%rdi)")                                  \
    X(frstor, 64, BY_RDI, 108, 3, ZEROS, 0, "frstor (%rdi)")                                       \
    X(fnstenv, 64, BY_RDI, 28, 1, ANYTHING, 0, "fnstenv (%rdi)")                                   \
    X(fldenv, 64, BY_RDI, 28, 1, ZEROS, 0, "fldenv (%rdi)")                                        \
    X(fstp, 64, BY_RDI, 10, 1, ANYTHING, 0, "fstpt (%rdi)")                                        \
    X(fld, 64, BY_RDI, 10, 1, ANYTHING, 0, "fldt (%rdi)")                                          \
    X(fbstp, 64, BY_RDI, 10, 1, ANYTHING, 0, "fbstp (%rdi)")                                       \
    X(fistp, 64, BY_RDI, 8, 1, ANYTHING, 0, "fistpll (%rdi)")                                      \
    X(ldmxcsr, 64, BY_RDI, 4, 1, ZEROS, 0, "ldmxcsr (%rdi)")                                       \
    X(stmxcsr, 64, BY_RDI, 4, 1, ANYTHING, 0, "stmxcsr (%rdi)")                                    \
    X(movups, 64, BY_RDI, 16, 1, ANYTHING, 0, "movups %xmm1, (%rdi)")                              \
    X(movups_from, 64, BY_RDI, 16, 1, ANYTHING, 0, "movups (%rdi), %xmm1")                         \
    X(vmovups, 64, BY_RDI, 32, 1, ANYTHING, 0, "vmovups %ymm1, (%rdi)")                            \
    X(vmovups_from, 64, BY_RDI, 32, 1, ANYTHING, 0, "vmovups (%rdi), %ymm1")                       \
    X(maskmovdqu, 64, BY_RDI, 16, 1, ANYTHING, 0, "maskmovdqu %xmm2, %xmm1")                       \
    X(maskmovq, 64, BY_RDI, 8, 1, ANYTHING, 0, "maskmovq %mm2, %mm1")                              \
    X(vmaskmov, 64, BY_RDI, 32, 1, ANYTHING, 0, "vmaskmovps %ymm1, %ymm2, (%rdi)")                 \
    X(vmaskmov_from, 64, BY_RDI, 32, 1, ANYTHING, 0, "vpmaskmovq (%rdi), %ymm2, %ymm1")            \
    X(vinserti128, 64, BY_RDI, 16, 1, ANYTHING, 0, "vinserti128 $1, (%rdi), %ymm1, %ymm2")         \
    X(pcmpistri, 64, BY_RDI, 16, 1, ANYTHING, 0, "pcmpistri $8, (%rdi), %xmm1")
/* clang-format on */

#define X(name, bits, where, span, step, fill, traits, text) \
    PROGRAM(name,                                            \
            "    .code" #bits "\n    " text "\n    nop\n    nop\n    nop\n    hlt\n    .code64");
INSTRUCTIONS(X)
#undef X

static const struct instruction instructions[] = {
#define X(name, bits, where, span, step, fill, traits, text) \
    { #name, name, name##_end, bits, where, span, step, fill, traits },
    INSTRUCTIONS(X)
#undef X
};

static struct guest guest;

static int setup(void **state)
{
    (void)state;
    guest_init_model(&guest, "max");
    st_le64(guest.ram.host + GDT + SEL_CODE32, 0x00cf9b000000ffff);
    guest.ram.host[IDT + 16 * VECTOR + 4] = 0; /* no stack of its own */
    guest.ram.host[TARGET] = 0xf4;
    guest.answer = 0x87654321;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    guest_fini(&guest);
    return 0;
}

/* ---- one execution ---- */

/* What instructions change. */
struct outcome {
    uint64_t r[16], rip, flags;
    struct segment seg[SEG_COUNT];
    struct x87 fpu;
    union vec128 xmm[16], ymmh[16];
    uint32_t mxcsr;
    unsigned accesses; /* of ports */
    uint8_t window[0x2000], other[0x2000];
};

static void take_outcome(struct outcome *o)
{
    const struct soft_cpu *c = guest_cpu(&guest);
    memset(o, 0, sizeof *o);
    memcpy(o->r, c->r, sizeof o->r);
    o->rip = c->rip;
    o->flags = eflags_get(c) & ~(uint64_t)FLAG_RF;
    memcpy(o->seg, c->seg, sizeof o->seg);
    o->fpu = c->fpu;
    memcpy(o->xmm, c->xmm, sizeof o->xmm);
    memcpy(o->ymmh, c->ymmh, sizeof o->ymmh);
    o->mxcsr = c->mxcsr;
    o->accesses = guest.accesses;
    memcpy(o->window, guest.ram.host + WINDOW, sizeof o->window);
    memcpy(o->other, guest.ram.host + IMAGE_FIRST, sizeof o->other);
}

static void put_operand(const struct instruction *n, uint64_t at)
{
    uint8_t *p = guest.ram.host + at;
    switch (n->fill) {
    case ZEROS:
    case MXCSR_IMAGE:
        memset(p - 8, 0, n->span + 16);
        if (n->fill == MXCSR_IMAGE) {
            st_le32(p + 24, 0x1f80);
            st_le64(p + 160, 0x1234567890); /* XMM0 */
        }
        break;
    case RETURN:
        st_le64(p, TARGET);
        st_le64(p + 8, SEL_CODE);
        st_le64(p + 16, FLAG_1 | FLAG_CF);
        st_le64(p + 24, OTHER_STACK);
        st_le64(p + 32, SEL_DATA);
        break;
    case FLAGS:
        st_le64(p, FLAG_1 | FLAG_CF | FLAG_ZF);
        break;
    case SELECTOR:
        st_le64(p, SEL_DATA);
        break;
    case FAR_POINTER:
        st_le64(p, TARGET);
        if (n->bits == 64)
            st_le16(p + 8, SEL_CODE);
        else
            st_le16(p + 4, SEL_DATA);
        break;
    case BOUNDS:
        st_le32(p, 0);
        st_le32(p + 4, 0x7fffffff);
        break;
    default:
        break;
    }
}

static void put_state(const struct instruction *n, uint64_t at)
{
    struct soft_cpu *c = guest_cpu(&guest);
    for (unsigned k = 0; k < 16; k++)
        c->r[k] = 0x1111 * (k + 1);
    c->r[RCX] = 9;
    c->r[RDX] = PORT_BASE;
    c->r[RDI] = n->where & BY_RDI ? at : OTHER;
    c->r[RSI] = n->where & BY_RSI ? at : OTHER;
    c->r[RBP] = n->where & BY_RBP ? at : OTHER;
    c->r[RSP] = n->where & BY_RSP ? at : OTHER_STACK;
    for (unsigned k = 0; k < 8; k++) {
        c->fpu.r[k].mant = 0x8000000000000000 + k * 0x0101010101;
        c->fpu.r[k].se = (uint16_t)(0x3fff + k);
    }
    c->fpu.tags = 0xff;
    for (unsigned k = 0; k < 16; k++)
        for (unsigned b = 0; b < 16; b++) {
            c->xmm[k].u8[b] = (uint8_t)(k * 37 + b * 91);
            c->ymmh[k].u8[b] = (uint8_t)(k * 53 + b * 77);
        }
    c->xcr0 = 7;
    c->eflags = FLAG_1 | FLAG_IF;
}

/* The data segments and the stack's, which end at the border or do not. */
static void put_segments(const struct instruction *n, bool limited)
{
    struct kvm_sregs s;
    assert_true(vcpu_soft.get_sregs(guest.vcpu, &s, NULL));
    s.cr4 |= CR4_OSXSAVE;
    s.gdt.limit = 8 * 8 - 1;
    s.cs = n->bits == 32 ? guest_segment(SEL_CODE32, 11, false) : guest_segment(SEL_CODE, 11, true);
    s.ss = guest_segment(SEL_DATA, 3, false);
    if (limited)
        s.ss.limit = EDGE - 1;
    s.ds = s.es = s.ss;
    assert_true(vcpu_soft.set_sregs(guest.vcpu, &s, NULL));
}

static void put_page(unsigned page, enum wrong wrong)
{
    uint64_t va = WINDOW + page * 0x1000;
    guest_map(&guest, va, va, wrong == ABSENT ? 0 : wrong == READ_ONLY ? MAP_P | MAP_U : MAP_ALL);
}

/* About to execute it, with the operand at `at` and something wrong with a page. */
static void begin(const struct instruction *n, uint64_t at, unsigned page, enum wrong wrong)
{
    guest_put(&guest, CODE, n->code, (size_t)(n->end - n->code));
    for (unsigned k = 0; k < 0x2000; k++) {
        guest.ram.host[WINDOW + k] = (uint8_t)(k * 7);
        guest.ram.host[IMAGE_FIRST + k] = (uint8_t)(k * 5);
    }
    put_operand(n, at);
    put_operand(n, OTHER);
    put_page(page, wrong);
    put_page(!page, NOTHING);
    guest_start(&guest, false);
    put_segments(n, wrong == LIMIT);
    put_state(n, at);
    guest.accesses = 0;
}

static void run_to_halt(const struct instruction *n)
{
    enum vcpu_stop stop = guest_run(&guest, 1000);
    if (stop != VCPU_STOP_HALT)
        fail_msg("%s: stop %d at %#llx", n->name, stop, (unsigned long long)guest_cpu(&guest)->rip);
}

/* The fault has left the cpu as it was. */
static void check_fault(const struct instruction *n, const struct guest_frame *f,
                        const struct outcome *before)
{
    struct outcome now;
    take_outcome(&now);
    now.r[RSP] = f->rsp;
    if (n->traits & PROGRESSES) /* elements that are done */
        for (unsigned k = 0; k < ARRAY_LEN(now.r); k++)
            if (k == RCX || k == RSI || k == RDI || k == RAX)
                now.r[k] = before->r[k];
    for (unsigned k = 0; k < ARRAY_LEN(now.r); k++)
        if (now.r[k] != before->r[k])
            fail_msg("%s: register %u is %#llx, was %#llx", n->name, k,
                     (unsigned long long)now.r[k], (unsigned long long)before->r[k]);
    if ((f->rflags & ~(uint64_t)FLAG_RF) != before->flags)
        fail_msg("%s: flags are %#llx, were %#llx", n->name, (unsigned long long)f->rflags,
                 (unsigned long long)before->flags);
    assert_int_equal(f->rip, before->rip);
    assert_int_equal(f->cs, before->seg[SEG_CS].sel);
    assert_int_equal(f->ss, before->seg[SEG_SS].sel);
    for (unsigned k = 0; k < SEG_COUNT; k++)
        if (k != SEG_CS && k != SEG_SS)
            assert_memory_equal(&now.seg[k], &before->seg[k], sizeof now.seg[k]);
    assert_memory_equal(&now.fpu, &before->fpu, sizeof now.fpu);
    assert_memory_equal(now.xmm, before->xmm, sizeof now.xmm);
    assert_memory_equal(now.ymmh, before->ymmh, sizeof now.ymmh);
    assert_int_equal(now.mxcsr, before->mxcsr);
    if (!n->traits && memcmp(now.window, before->window, sizeof now.window) != 0)
        fail_msg("%s: it has written", n->name);
}

/* IRET out of the handler, where all is right now. */
static void go_back(const struct instruction *n, const struct guest_frame *f)
{
    struct soft_cpu *c = guest_cpu(&guest);
    put_segments(n, false);
    c->rip = f->rip;
    c->r[RSP] = f->rsp;
    eflags_set(c, f->rflags);
    c->halted = false;
}

/* The instruction itself, where another precedes it. */
static void go_to_it(const struct instruction *n, struct outcome *before)
{
    bool preceded = n->code[0] == 0xb8 || n->code[0] == 0xfd; /* MOV to eax, STD */
    if (preceded)
        assert_int_equal(guest_run(&guest, 1), VCPU_STOP_LIMIT);
    take_outcome(before);
}

/* The fault that `wrong` leads to. */
static bool is_fault(const struct instruction *n, enum wrong wrong, int vector)
{
    if (wrong == LIMIT)
        return vector == (n->where & (BY_RSP | BY_RBP) ? VEC_SS : VEC_GP);
    return vector == VEC_PF;
}

static unsigned check_place(const struct instruction *n, uint64_t at, unsigned page,
                            enum wrong wrong)
{
    static struct outcome good, before, after;
    struct guest_frame f;
    begin(n, at, page, NOTHING);
    run_to_halt(n);
    int vector = guest_fault(&guest, &f);
    if (vector >= 0 && vector != VECTOR)
        fail_msg("%s: exception %d with all pages there", n->name, vector);
    take_outcome(&good);
    begin(n, at, page, wrong);
    go_to_it(n, &before);
    run_to_halt(n);
    bool faulted = is_fault(n, wrong, guest_fault(&guest, &f));
    if (faulted) {
        uint64_t cr2 = guest_cpu(&guest)->cr2;
        if (wrong != LIMIT && (cr2 & ~0xfffULL) != WINDOW + page * 0x1000)
            fail_msg("%s: CR2 is %#llx", n->name, (unsigned long long)cr2);
        check_fault(n, &f, &before);
        put_page(page, NOTHING);
        go_back(n, &f);
        run_to_halt(n);
    }
    take_outcome(&after);
    if (!faulted && wrong == LIMIT)
        memcpy(after.seg, good.seg, sizeof good.seg); /* they are still the limited ones */
    if (memcmp(&after, &good, sizeof good) != 0)
        fail_msg("%s at %#llx, page %u, %d: not as without the fault", n->name,
                 (unsigned long long)at, page, wrong);
    return faulted;
}

/* From where no byte is beyond the border to where all are, on both sides of the address. */
static void each_place(const struct instruction *n,
                       unsigned (*check)(const struct instruction *n, uint64_t at))
{
    unsigned faults = 0;
    int span = (int)align_up(n->span, n->step);
    for (int off = -span; off <= span; off += (int)n->step)
        faults += check(n, (uint64_t)((int64_t)EDGE + off));
    if (!faults)
        fail_msg("%s: no place where anything came", n->name);
}

static unsigned check_pages(const struct instruction *n, uint64_t at)
{
    unsigned faults = 0;
    for (unsigned page = 0; page < 2; page++)
        faults += check_place(n, at, page, ABSENT) + check_place(n, at, page, READ_ONLY);
    return faults;
}

static unsigned check_limit(const struct instruction *n, uint64_t at)
{
    return check_place(n, at, 1, LIMIT);
}

static void test_faults(void **state)
{
    (void)state;
    for (unsigned k = 0; k < ARRAY_LEN(instructions); k++)
        each_place(&instructions[k], check_pages);
}

static void test_limits(void **state)
{
    (void)state;
    for (unsigned k = 0; k < ARRAY_LEN(instructions); k++)
        if (instructions[k].bits == 32)
            each_place(&instructions[k], check_limit);
}

/* ---- watched bytes ---- */

/* The #DB comes before the next instruction, wherever that is, or the next elements. */
static unsigned check_watch(const struct instruction *n, uint64_t at)
{
    struct guest_frame f;
    struct outcome before;
    struct soft_cpu *c = guest_cpu(&guest);
    begin(n, at, 0, NOTHING);
    go_to_it(n, &before);
    c->dr[0] = EDGE;
    c->dr[7] = 0x30401; /* reads and writes of a byte */
    debug_registers_changed(c);
    run_to_halt(n);
    if (guest_fault(&guest, &f) != VEC_DB)
        return 0;
    uint64_t next = CODE + (uint64_t)(n->end - n->code) - 4;
    bool jumps = f.rip == TARGET || f.rip == HANDLERS + 16 * VECTOR;
    bool repeats = n->traits & PROGRESSES && f.rip == before.rip;
    if (f.rip != next && !jumps && !repeats)
        fail_msg("%s at %#llx: #DB at %#llx, not at once", n->name, (unsigned long long)at,
                 (unsigned long long)f.rip);
    return 1;
}

static void test_watched(void **state)
{
    (void)state;
    for (unsigned k = 0; k < ARRAY_LEN(instructions); k++)
        each_place(&instructions[k], check_watch);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_faults, setup, teardown),
        cmocka_unit_test_setup_teardown(test_limits, setup, teardown),
        cmocka_unit_test_setup_teardown(test_watched, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
