/* A fill of 64 KiB by one string instruction in a pass. */
#include "bench.inc"

bench_program "rep_stos"
    mov $target, %edi
    mov $(65536 / 8), %ecx
    rep stosq
    bench_end

    .bss
    .balign 4096
target: .skip 65536

    .section .note.GNU-stack, "", @progbits
