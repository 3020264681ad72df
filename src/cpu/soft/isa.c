/* Which features are sets of instructions that the decoder asks for. */
#include "cpu/soft/soft_cpu.h"

static const char *const names[ISA_COUNT] = {
#define X(name, feature) [ISA_BIT_##name] = feature,
    ISA_SETS(X)
#undef X
};

uint64_t soft_isa(const struct cpu_features *set)
{
    uint64_t isa = 0;
    for (unsigned bit = 0; bit < ISA_COUNT; bit++)
        if (cpu_has_named(set, names[bit]))
            isa |= UINT64_C(1) << bit;
    return isa;
}

const char *soft_isa_name(unsigned bit)
{
    return names[bit];
}
