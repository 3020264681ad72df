/* Which features are sets of instructions that the decoder asks for: the upper bits of the mode. */
#include "cpu/soft/soft_cpu.h"

static const struct {
    uint32_t isa;
    const char *feature;
} sets[] = {
    { ISA_BMI1, "bmi1" },  { ISA_BMI2, "bmi2" },        { ISA_LZCNT, "abm" },
    { ISA_ADX, "adx" },    { ISA_MOVBE, "movbe" },      { ISA_AES, "aes" },
    { ISA_SHA, "sha_ni" }, { ISA_PCLMUL, "pclmulqdq" },
};

uint32_t soft_isa(const struct cpu_features *set)
{
    uint32_t isa = 0;
    for (size_t n = 0; n < ARRAY_LEN(sets); n++)
        if (cpu_has_named(set, sets[n].feature))
            isa |= sets[n].isa;
    return isa;
}

const char *soft_isa_name(unsigned bit)
{
    for (size_t n = 0; n < ARRAY_LEN(sets); n++)
        if (sets[n].isa == 1u << bit)
            return sets[n].feature;
    return NULL;
}
