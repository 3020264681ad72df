/* One instruction with a name in a pass, for hooks on its execution. */
#include "bench.inc"

bench_program "hook"
    .globl hooked
hooked:
    inc %rax
    bench_end

    .section .note.GNU-stack, "", @progbits
