/* One read of an I/O port in a pass: the line status register of COM1. */
#include "bench.inc"

bench_program "pio"
    mov $0x3fd, %edx
    in %dx, %al
    bench_end

    .section .note.GNU-stack, "", @progbits
