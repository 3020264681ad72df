/* What compares the x87, MMX, SSE and AVX of the software CPU with the host's: soft_fpu.c,
 * soft_simd.c and soft_xsave.c have the forms.
 *
 * Each case is a random state and the bytes of one instruction. The bytes run natively, between
 * FXRSTOR and FXSAVE of that state, and through the decoder and the handler; registers, flags,
 * memory and exceptions must agree. PERILUNE_SEED=n in the environment repeats a run,
 * PERILUNE_TIMES=n makes it n times as long, PERILUNE_FORM=text leaves the SIMD forms whose names
 * do not contain the text. */
#pragma once

#include "cpu/soft/coverage.h"
#include "cpu/soft/ieee.h"
#include "cpu/soft/simd.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <ucontext.h>

#include <cmocka.h>

#include "float_random.h"
#include "native_features.h"

enum {
    FUSED_MEMORY = 16,
    ROUNDS_SIMD = 500,
    ROUNDS_X87 = 200,
    ROUNDS_XSAVE = 8000,
    MEM_SIZE = 1024,
    BOUNDARY = 512,     /* in it: a new page */
    OPERAND_SIZE = 256, /* as much of it as most instructions reach */
    GPRS = 4,
};

/* RAX, RCX, RDX and RBX are operands; RSI and RDI point to memory. */
struct state {
    struct {
        uint16_t cw, sw;
        uint8_t tags, reserved;
        uint16_t opcode;
        uint64_t ip, dp;
        uint32_t mxcsr, mxcsr_mask;
        uint8_t st[8][16];
        union vec128 xmm[16];
        uint8_t unused[96];
    } fx;
    uint64_t gpr[GPRS], rflags, mem;
    union vec128 ymmh[16]; /* upper halves, on hosts that have them */
} __attribute__((aligned(16)));
_Static_assert(offsetof(struct state, gpr) == 512, "native_call relies on it");
_Static_assert(offsetof(struct state, ymmh) == 560, "native_call relies on it");

static struct soft_cpu *cpu;
static struct opcode_coverage *coverage; /* if PERILUNE_OPCODES asks for it */
static uint8_t *code;                    /* a page */
static uint8_t *mem;                     /* MEM_SIZE bytes */
static unsigned times = 1;               /* PERILUNE_TIMES: how long the run is */
static const char *only;                 /* PERILUNE_FORM: names contain this; NULL: all */

/* ---- native execution ---- */

void native_call(struct state *s, const uint8_t *code);
void native_call_avx(struct state *s, const uint8_t *code);
/* clang-format off */
#define HALVES(LINE)                                                                              \
    LINE(0) LINE(1) LINE(2) LINE(3) LINE(4) LINE(5) LINE(6) LINE(7) LINE(8) LINE(9) LINE(10)      \
    LINE(11) LINE(12) LINE(13) LINE(14) LINE(15)
/* clang-format on */
#define LOAD_HALF(n)  "    vinsertf128 $1, 560 + 16 * " #n "(%r12), %ymm" #n ", %ymm" #n "\n"
#define STORE_HALF(n) "    vextractf128 $1, %ymm" #n ", 560 + 16 * " #n "(%r12)\n"
#define NATIVE_CALL(name, load, store)                                                             \
    __asm__(".text\n"                                                                              \
            ".globl " name "\n" name ":\n"                                                         \
            "    push %rbx\n    push %rbp\n    push %r12\n"                                        \
            "    mov %rdi, %r12\n    mov %rsi, %rbp\n"                                             \
            "    fxrstor64 (%r12)\n" load "    pushq 544(%r12)\n    popfq\n"                       \
            "    mov 512(%r12), %rax\n    mov 520(%r12), %rcx\n"                                   \
            "    mov 528(%r12), %rdx\n    mov 536(%r12), %rbx\n"                                   \
            "    mov 552(%r12), %rsi\n    mov %rsi, %rdi\n"                                        \
            "    call *%rbp\n"                                                                     \
            "    pushfq\n    popq 544(%r12)\n"                                                     \
            "    mov %rax, 512(%r12)\n    mov %rcx, 520(%r12)\n"                                   \
            "    mov %rdx, 528(%r12)\n    mov %rbx, 536(%r12)\n"                                   \
            "    fxsave64 (%r12)\n" store "    fninit\n    ldmxcsr default_mxcsr(%rip)\n    cld\n" \
            "    pop %r12\n    pop %rbp\n    pop %rbx\n    ret\n")
NATIVE_CALL("native_call", "", "");
NATIVE_CALL("native_call_avx", HALVES(LOAD_HALF), HALVES(STORE_HALF) "    vzeroupper\n");
__asm__(".pushsection .rodata\n"
        "default_mxcsr: .long 0x1f80\n"
        ".popsection\n");

static bool host_avx;

static sigjmp_buf after_signal;
static volatile uint32_t signal_mxcsr;

static void on_signal(int number, siginfo_t *info, void *context)
{
    signal_mxcsr = ((ucontext_t *)context)->uc_mcontext.fpregs->mxcsr;
    siglongjmp(after_signal, number);
}

/* Returns the guest's vector: 0, VEC_UD or VEC_XM. */
static int run_native(struct state *s, const uint8_t *bytes, unsigned len)
{
    memcpy(code, bytes, len);
    code[len] = 0xc3;
    struct state before = *s;
    int number = sigsetjmp(after_signal, 1);
    if (!number) {
        if (host_avx)
            native_call_avx(s, code);
        else
            native_call(s, code);
        return 0;
    }
    __asm__ volatile("fninit\n\tldmxcsr default_mxcsr(%%rip)" : : : "memory");
    *s = before;
    s->fx.mxcsr = signal_mxcsr;
    return number == SIGFPE ? VEC_XM : number == SIGILL ? VEC_UD : VEC_GP;
}

/* ---- execution by the software CPU ---- */

static void map_page(const uint8_t *page)
{
    uint64_t va = (uintptr_t)page & ~0xfffULL;
    struct tlb_entry *e = tlb_slot(cpu->tlb, va);
    e->tag[ACCESS_READ] = e->tag[ACCESS_WRITE] = va;
    e->addend = 0; /* guest virtual addresses are the host's */
}

static const insn_fn *handler_of(const struct insn *i)
{
    return i->op < OP_COUNT && soft_cold[i->op] ? &soft_cold[i->op] : NULL;
}

static int run_insn(const uint8_t *bytes, unsigned len)
{
    struct insn i;
    bool ends;
    uint8_t padded[16] = { 0 };
    memcpy(padded, bytes, len);
    int n = soft_decode(padded, sizeof padded, cpu->mode, cpu->isa, &i, &ends);
    if (n < 0)
        return VEC_UD;
    assert_int_equal(n, len);
    if (coverage)
        opcode_coverage_note(coverage, padded, sizeof padded, cpu->mode, cpu->isa);
    i.next_off = i.len;
    const insn_fn *fn = handler_of(&i);
    assert_non_null(fn);
    int st = (*fn)(cpu, &i);
    return st == X_FAULT ? cpu->exc.vector : 0;
}

static int run_soft(struct state *s, const uint8_t *bytes, unsigned len)
{
    struct kvm_fpu fpu;
    static const uint8_t gprs[GPRS] = { RAX, RCX, RDX, RBX };
    memset(&fpu, 0, sizeof fpu);
    memcpy(fpu.fpr, s->fx.st, sizeof fpu.fpr);
    fpu.fcw = s->fx.cw;
    fpu.fsw = s->fx.sw;
    fpu.ftwx = s->fx.tags;
    memcpy(fpu.xmm, s->fx.xmm, sizeof fpu.xmm);
    fpu.mxcsr = s->fx.mxcsr;
    fpu_set(cpu, &fpu);
    memcpy(cpu->ymmh, s->ymmh, sizeof s->ymmh);
    for (unsigned k = 0; k < GPRS; k++)
        cpu->r[gprs[k]] = s->gpr[k];
    cpu->r[RSI] = cpu->r[RDI] = s->mem;
    eflags_set(cpu, s->rflags);

    int vector = run_insn(bytes, len);

    fpu_get(cpu, &fpu);
    memcpy(s->fx.st, fpu.fpr, sizeof fpu.fpr);
    s->fx.cw = fpu.fcw;
    s->fx.sw = fpu.fsw;
    s->fx.tags = fpu.ftwx;
    memcpy(s->fx.xmm, fpu.xmm, sizeof fpu.xmm);
    memcpy(s->ymmh, cpu->ymmh, sizeof s->ymmh);
    s->fx.mxcsr = fpu.mxcsr;
    for (unsigned k = 0; k < GPRS; k++)
        s->gpr[k] = cpu->r[gprs[k]];
    s->rflags = eflags_get(cpu);
    return vector;
}

/* ---- random states ---- */

/* `x87`: how the register stack shall look; otherwise it is of MMX operands. */
static void random_state(struct state *s, bool x87)
{
    memset(s, 0, sizeof *s);
    s->fx.cw = FCW_INIT;
    if (below(3) == 0)
        s->fx.cw = (uint16_t)((random64() & 0xf3f) | 0x40);
    if (below(6) == 0)
        s->fx.cw |= 0x3f;
    s->fx.sw = (uint16_t)(random64() & (FSW_CONDITION | FSW_TOP | FSW_SF | (s->fx.cw & 0x3f)));
    s->fx.tags = (uint8_t)(below(3) ? 0xffu << below(8) | 0xffu >> below(9) : random64());
    for (unsigned k = 0; k < 8; k++) {
        struct f80 v = random_f80();
        uint64_t w = random_vec().u64[0];
        memcpy(s->fx.st[k], &v, 10);
        if (!x87)
            memcpy(s->fx.st[k], &w, 8);
    }
    s->fx.mxcsr = random_mxcsr();
    for (unsigned k = 0; k < 16; k++)
        s->fx.xmm[k] = random_vec();
    for (unsigned k = 0; k < 16 && host_avx; k++)
        s->ymmh[k] = random_vec();
    for (unsigned k = 0; k < GPRS; k++)
        s->gpr[k] = below(2) ? random64() : (uint64_t)(int64_t)(int)(below(40) - 20);
    s->rflags = (random64() & FLAGS_ARITH) | FLAG_IF | FLAG_1;
    s->mem = (uintptr_t)mem;
}

static void random_memory(uint8_t *m, unsigned size, bool x87)
{
    for (unsigned k = 0; k < size; k += 16) {
        union vec128 v = random_vec();
        struct f80 f = random_f80();
        memcpy(m + k, &v, 16);
        if (x87 && below(3) == 0)
            memcpy(m + k, &f, 10);
        if (x87 && below(4) == 0) /* decimal digits */
            for (unsigned j = 0; j < 9; j++)
                m[k + j] = (uint8_t)(below(10) << 4 | below(10));
    }
}

/* ---- comparison ---- */

struct form {
    const char *name;
    uint8_t bytes[16];
    unsigned len;
    bool x87;
    uint16_t sw_ignored; /* status word bits that the manual leaves undefined */
    unsigned mem_ignored, mem_ignored_len;
    bool is_xsave; /* writes an area for XRSTOR */
    unsigned area; /* of memory that is compared; 0: OPERAND_SIZE */
    void (*prepare)(struct state *s, uint8_t *memory); /* NULL: everything may be random */
    bool unaligned;                                    /* the memory operand may lie anywhere */
    unsigned index_size;  /* of a gather: bytes of an index, 0: it is none */
    unsigned index;       /* and the register that holds them */
    enum ieee_name fused; /* FMA: of what (IEEE_HALF: it is none), */
    unsigned operand[3];  /* and x, y and z: registers, or FUSED_MEMORY */
    bool halves;          /* VCVTPS2PH */
};

static void print_bytes(const char *what, const void *p, unsigned n)
{
    fprintf(stderr, "  %-12s", what);
    for (unsigned k = 0; k < n; k++)
        fprintf(stderr, "%02x%s", ((const uint8_t *)p)[k], k % 8 == 7 ? " " : "");
    fprintf(stderr, "\n");
}

static void print_state(const char *what, const struct state *s, int vector)
{
    fprintf(stderr, "%s: vector %d cw %04x sw %04x tags %02x mxcsr %04x flags %lx\n", what, vector,
            s->fx.cw, s->fx.sw, s->fx.tags, s->fx.mxcsr, s->rflags);
    print_bytes("st0-3", s->fx.st, 64);
    print_bytes("xmm0-3", s->fx.xmm, 64);
    print_bytes("ymmh0-3", s->ymmh, 64);
    print_bytes("rax rcx rdx", s->gpr, 32);
}

static bool same(const struct form *f, const struct state *a, const struct state *b)
{
    for (unsigned k = 0; k < 8; k++)
        if (memcmp(a->fx.st[k], b->fx.st[k], 10) != 0)
            return false;
    /* After an invalid operation that is not masked, makers differ in what comparisons leave. */
    bool invalid = f->x87 && (a->fx.sw & ~a->fx.cw & FSW_IE);
    /* Flags beside an exception that is raised: PE says whether a result too large or too small was
     * exact but for its exponent, which masked computation does not tell; and sums of products stop
     * half-way. */
    uint32_t raised = a->fx.mxcsr & ~(a->fx.mxcsr >> MXCSR_MASK_SHIFT) & MXCSR_FLAGS;
    unsigned mxcsr_ignored = raised & (FSW_OE | FSW_UE) && !f->fused && !f->halves ? FSW_PE : 0;
    if (raised && strstr(f->name, "dpp"))
        mxcsr_ignored = MXCSR_FLAGS;
    unsigned ignored = f->sw_ignored | (invalid ? FSW_C0 | FSW_C2 | FSW_C3 : 0);
    return a->fx.cw == b->fx.cw && !((a->fx.sw ^ b->fx.sw) & ~ignored) &&
           a->fx.tags == b->fx.tags && !((a->fx.mxcsr ^ b->fx.mxcsr) & ~mxcsr_ignored) &&
           !memcmp(a->fx.xmm, b->fx.xmm, sizeof a->fx.xmm) &&
           !memcmp(a->ymmh, b->ymmh, sizeof a->ymmh) && !memcmp(a->gpr, b->gpr, sizeof a->gpr) &&
           (invalid || !((a->rflags ^ b->rflags) & FLAGS_ARITH));
}

static unsigned cases, mismatches;
static char reported[32]; /* the form that differed last: one report of each will do */

/* Such that every element lies within the memory: scale is 8, displacement 128. */
static void random_indices(struct state *s, const struct form *f)
{
    union vec256 v;
    for (unsigned k = 0; k < 8; k++)
        v.u32[k] = below(31) - 16;
    for (unsigned k = 0; k < 4 && f->index_size == 8; k++)
        v.u64[k] = (uint64_t)below(31) - 16;
    s->fx.xmm[f->index] = v.half[0];
    s->ymmh[f->index] = v.half[1];
}

static void set_element(struct state *s, uint8_t *memory, unsigned operand, unsigned k,
                        unsigned size, uint64_t v)
{
    uint8_t *half = (uint8_t *)(k * size < 16 ? &s->fx.xmm[operand & 15] : &s->ymmh[operand & 15]);
    memcpy(operand == FUSED_MEMORY ? memory + k * size : half + k * size % 16, &v, size);
}

static void random_fused(struct state *s, uint8_t *memory, const struct form *f)
{
    unsigned size = f->fused == IEEE_DOUBLE ? 8 : 4;
    for (unsigned k = 0; k < 32 / size; k++) {
        uint64_t v[3];
        random_triple(f->fused, v);
        for (unsigned o = 0; o < 3; o++)
            set_element(s, memory, f->operand[o], k, size, v[o]);
    }
}

static void random_halves(struct state *s)
{
    for (unsigned r = 0; r < 16; r++)
        for (unsigned k = 0; k < 8; k++)
            set_element(s, NULL, r, k, 4, random_near_half());
}

/* One random case of a form. */
static void compare_once(const struct form *f)
{
    static uint8_t memory[MEM_SIZE], native_memory[MEM_SIZE];
    struct state start, native, soft;
    random_state(&start, f->x87);
    bool crosses = f->unaligned && !f->index_size && !f->area && below(8) == 0;
    unsigned area = f->area ? f->area : crosses ? MEM_SIZE : OPERAND_SIZE;
    random_memory(memory, area, f->x87);
    if (crosses)
        start.mem += BOUNDARY - below(32);
    else if (f->unaligned && below(2))
        start.mem += below(33);
    if (f->prepare)
        f->prepare(&start, memory);
    if (f->index_size)
        random_indices(&start, f);
    if (f->fused && below(4))
        random_fused(&start, memory + (start.mem - (uintptr_t)mem), f);
    if (f->halves && below(4))
        random_halves(&start);
    native = soft = start;
    memcpy(mem, memory, area);
    int native_vector = run_native(&native, f->bytes, f->len);
    memcpy(native_memory, mem, area);
    memcpy(mem, memory, area);
    int soft_vector = run_soft(&soft, f->bytes, f->len);
    memcpy(mem + f->mem_ignored, native_memory + f->mem_ignored, f->mem_ignored_len);
    if (f->is_xsave) {
        /* The last instruction's place, which some save only for exceptions, and MXCSR_MASK. */
        size_t at = start.mem - (uintptr_t)mem;
        memcpy(mem + at + 6, native_memory + at + 6, 18);
        memcpy(mem + at + 28, native_memory + at + 28, 4);
    }
    cases++;
    if (native_vector == soft_vector && same(f, &native, &soft) &&
        !memcmp(mem, native_memory, area))
        return;
    mismatches++;
    if (!strcmp(reported, f->name))
        return;
    snprintf(reported, sizeof reported, "%s", f->name);
    fprintf(stderr, "\n%s differs:\n", f->name);
    print_bytes("code", f->bytes, f->len);
    print_bytes("memory", memory, 32);
    print_state("before", &start, 0);
    print_state("host", &native, native_vector);
    print_state("software", &soft, soft_vector);
    print_bytes("host mem", native_memory, 32);
    print_bytes("soft mem", mem, 32);
}

static inline void put(struct form *f, uint8_t byte)
{
    f->bytes[f->len++] = byte;
}

/* Within a test, as cmocka has handlers of its own around it. */
static void begin_native(void)
{
    struct sigaction action = { .sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_NODEFER };
    sigaction(SIGFPE, &action, NULL);
    sigaction(SIGILL, &action, NULL);
    sigaction(SIGSEGV, &action, NULL);
    cases = mismatches = 0;
}

/* ---- set-up ---- */

static int set_up(void **unused)
{
    const char *text = getenv("PERILUNE_SEED");
    seed = text ? strtoull(text, NULL, 0) : (uint64_t)time(NULL) * 0x9e3779b97f4a7c15;
    seed |= 1;
    print_message("PERILUNE_SEED=%llu\n", (unsigned long long)seed);
    code = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    mem = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    cpu = calloc(1, sizeof *cpu);
    if (code == MAP_FAILED || mem == MAP_FAILED || !cpu)
        return -1;
    if (getenv("PERILUNE_OPCODES"))
        coverage = opcode_coverage_new();
    soft_exec(NULL);
    memset(cpu->tlbs, 0xff, sizeof cpu->tlbs);
    cpu->tlb = cpu->tlbs[0];
    struct cpu_offer offer;
    soft_cpu_offer(&offer);
    cpu->isa = soft_isa(&offer.max);
    cpu->mode = MODE_CODE64;
    cpu->cr0 = CR0_PE | CR0_PG | CR0_MP | CR0_NE;
    cpu->cr4 = CR4_PAE | CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_OSXSAVE;
    cpu->xcr0 = XCR0_X87 | XCR0_SSE | XCR0_AVX;
    host_avx = host_has("avx");
    cpu->efer = EFER_LME | EFER_LMA;
    mem += 4096 - BOUNDARY;
    map_page(mem);
    map_page(mem + BOUNDARY);
    only = getenv("PERILUNE_FORM");
    if (getenv("PERILUNE_TIMES"))
        times = (unsigned)strtoul(getenv("PERILUNE_TIMES"), NULL, 0);
    return 0;
}

static int tear_down(void **unused)
{
    if (coverage && !opcode_coverage_close(coverage, getenv("PERILUNE_OPCODES")))
        return -1;
    free(cpu);
    munmap(code, 4096);
    munmap(mem - (4096 - BOUNDARY), 8192);
    return 0;
}
