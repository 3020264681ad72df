/* One read of a device's register in memory in a pass: the index register of the I/O APIC. */
#include "bench.inc"

bench_program "mmio"
    mov 0xfec00000, %eax
    bench_end

    .section .note.GNU-stack, "", @progbits
