/* Binary floating point of IEEE 754 in integers, with the rules that MXCSR adds: for what the
 * host's baseline has no instruction for (FMA, F16C), so that every host gives the same bits.
 * Pure functions, private to this folder. */
#pragma once

#include <stdint.h>

struct ieee_format {
    unsigned fraction, exponent; /* bits */
};

enum ieee_name {
    IEEE_HALF,
    IEEE_SINGLE,
    IEEE_DOUBLE,
};
extern const struct ieee_format ieee_formats[];

/* How to compute, and the exceptions met so far. */
struct ieee_env {
    uint32_t mxcsr; /* rounding control, DAZ, FTZ and masks count */
    uint32_t flags; /* as MXCSR has them; those that come after an unmasked one too */
};

/* What is negated. */
enum {
    IEEE_NEGATE_Z = 1,
    IEEE_NEGATE_PRODUCT = 2,
};

/* x * y + z, rounded once; of NaNs the first in this order (SDM vol. 1 table 14-17). Singles or
 * doubles. */
uint64_t ieee_fma(enum ieee_name format, uint64_t x, uint64_t y, uint64_t z, unsigned negate,
                  struct ieee_env *env);

/* `v` in another format. */
uint64_t ieee_convert(enum ieee_name to, enum ieee_name from, uint64_t v, struct ieee_env *env);
