/* A copy of 64 KiB by one string instruction in a pass. */
#include "bench.inc"

bench_program "rep_movs"
    mov $source, %esi
    mov $target, %edi
    mov $(65536 / 8), %ecx
    rep movsq
    bench_end

    .bss
    .balign 4096
source: .skip 65536
target: .skip 65536

    .section .note.GNU-stack, "", @progbits
