/* Execution of instruction bytes on the host CPU in a chosen state of its general registers.
 *
 * All sixteen registers and the arithmetic flags are loaded, rsp included, so nothing may use the
 * stack while the bytes run: signals have a stack of their own. The bytes end at a stub that comes
 * back here; a fault comes back from the signal handler, with the registers of that moment. */
#pragma once

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <ucontext.h>

struct native_regs {
    uint64_t r[16]; /* in the order of their numbers */
    uint64_t rflags;
};

struct native_result {
    struct native_regs regs;
    bool taken;   /* ended at the second stub */
    int vector;   /* of the fault, -1: none */
    uint64_t rip; /* of the fault */
};

/* Indices into gregs: glibc's names for them are those of the software CPU's own registers. */
enum { NATIVE_GREG_RIP = 16, NATIVE_GREG_TRAPNO = 20 };

extern struct native_regs native_out;
extern volatile uint8_t native_taken;
struct native_regs native_out;
volatile uint8_t native_taken;
uint64_t native_host_rsp, native_target;
static struct native_result *native_result;
static uint64_t native_low, native_high; /* where faults may come from */

void native_enter(const struct native_regs *in, uint64_t target);
void native_exit(void);
void native_exit_taken(void);
__asm__(".text\n"
        "native_enter:\n"
        "    push %rbx\n    push %rbp\n    push %r12\n    push %r13\n    push %r14\n    push %r15\n"
        "    mov %rsp, native_host_rsp(%rip)\n"
        "    mov %rsi, native_target(%rip)\n"
        "    movb $0, native_taken(%rip)\n"
        "    pushq 128(%rdi)\n    popfq\n"
        "    mov 0(%rdi), %rax\n    mov 8(%rdi), %rcx\n    mov 16(%rdi), %rdx\n"
        "    mov 24(%rdi), %rbx\n    mov 32(%rdi), %rsp\n    mov 40(%rdi), %rbp\n"
        "    mov 48(%rdi), %rsi\n    mov 64(%rdi), %r8\n    mov 72(%rdi), %r9\n"
        "    mov 80(%rdi), %r10\n    mov 88(%rdi), %r11\n    mov 96(%rdi), %r12\n"
        "    mov 104(%rdi), %r13\n    mov 112(%rdi), %r14\n    mov 120(%rdi), %r15\n"
        "    mov 56(%rdi), %rdi\n"
        "    jmp *native_target(%rip)\n"
        "native_exit_taken:\n"
        "    movb $1, native_taken(%rip)\n"
        "native_exit:\n"
        "    mov %rax, native_out(%rip)\n    mov %rcx, native_out+8(%rip)\n"
        "    mov %rdx, native_out+16(%rip)\n    mov %rbx, native_out+24(%rip)\n"
        "    mov %rsp, native_out+32(%rip)\n    mov %rbp, native_out+40(%rip)\n"
        "    mov %rsi, native_out+48(%rip)\n    mov %rdi, native_out+56(%rip)\n"
        "    mov %r8, native_out+64(%rip)\n    mov %r9, native_out+72(%rip)\n"
        "    mov %r10, native_out+80(%rip)\n    mov %r11, native_out+88(%rip)\n"
        "    mov %r12, native_out+96(%rip)\n    mov %r13, native_out+104(%rip)\n"
        "    mov %r14, native_out+112(%rip)\n    mov %r15, native_out+120(%rip)\n"
        "    mov native_host_rsp(%rip), %rsp\n"
        "    pushfq\n    popq native_out+128(%rip)\n    cld\n"
        "    pop %r15\n    pop %r14\n    pop %r13\n    pop %r12\n    pop %rbp\n    pop %rbx\n"
        "    ret\n");

/* The fault of a case ends it; any other is a fault of the test. */
static void native_on_signal(int number, siginfo_t *info, void *context)
{
    greg_t *regs = ((ucontext_t *)context)->uc_mcontext.gregs;
    uint64_t rip = (uint64_t)regs[NATIVE_GREG_RIP];
    (void)info;
    if (rip < native_low || rip >= native_high) {
        signal(number, SIG_DFL);
        return;
    }
    native_result->vector = (int)regs[NATIVE_GREG_TRAPNO];
    native_result->rip = rip;
    regs[NATIVE_GREG_RIP] = (greg_t)native_exit;
}

/* Bytes that fault lie in [low, high). */
static void native_init(uint64_t low, uint64_t high)
{
    static uint8_t stack[64 << 10];
    const stack_t alternative = { .ss_sp = stack, .ss_size = sizeof stack };
    struct sigaction action = { .sa_sigaction = native_on_signal,
                                .sa_flags = SA_SIGINFO | SA_ONSTACK };
    static const int signals[] = { SIGFPE, SIGILL, SIGSEGV, SIGBUS, SIGTRAP };
    native_low = low;
    native_high = high;
    sigaltstack(&alternative, NULL);
    for (unsigned n = 0; n < sizeof signals / sizeof *signals; n++)
        sigaction(signals[n], &action, NULL);
}

/* A jump to native_exit, or native_exit_taken, that touches no register: jmp *0(%rip). */
static void native_put_stub(uint8_t *at, bool taken)
{
    static const uint8_t jump[] = { 0xff, 0x25, 0, 0, 0, 0 };
    uint64_t to = (uint64_t)(taken ? native_exit_taken : native_exit);
    memcpy(at, jump, sizeof jump);
    memcpy(at + sizeof jump, &to, sizeof to);
}

static void native_run(const struct native_regs *in, uint64_t at, struct native_result *out)
{
    *out = (struct native_result){ .vector = -1 };
    native_result = out;
    native_enter(in, at);
    out->regs = native_out;
    out->taken = native_taken;
}
