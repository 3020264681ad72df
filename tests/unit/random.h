/* Random numbers for tests, which can be had again. The program that includes it sets `seed`, which
 * is not zero. */
#pragma once

#include <stdint.h>

static uint64_t seed;

static uint64_t random64(void)
{
    /* xorshift64* */
    seed ^= seed >> 12;
    seed ^= seed << 25;
    seed ^= seed >> 27;
    return seed * 0x2545f4914f6cdd1d;
}

static unsigned below(unsigned n)
{
    return (unsigned)((random64() >> 32) % n);
}
