/* 4 calls with their returns in a pass, one of them nested. */
#include "bench.inc"

bench_program "call"
    call leaf
    call outer
    call leaf
    bench_end

outer:
    call leaf
    ret

leaf:
    inc %rax
    ret

    .section .note.GNU-stack, "", @progbits
