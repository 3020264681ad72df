/* Which features are sets of instructions that the decoder asks for: the upper bits of the mode. */
#include "cpu/soft/soft_cpu.h"

static const struct {
    uint32_t isa;
    const char *feature;
} sets[] = {
    { ISA_BMI1, "bmi1" },     { ISA_BMI2, "bmi2" },
    { ISA_LZCNT, "abm" },     { ISA_ADX, "adx" },
    { ISA_MOVBE, "movbe" },   { ISA_AES, "aes" },
    { ISA_XSAVE, "xsave" },   { ISA_XSAVEOPT, "xsaveopt" },
    { ISA_XSAVEC, "xsavec" }, { ISA_XGETBV1, "xgetbv1" },
    { ISA_AVX, "avx" },       { ISA_AVX2, "avx2" },
    { ISA_F16C, "f16c" },     { ISA_FMA, "fma" },
    { ISA_VAES, "vaes" },     { ISA_VPCLMUL, "vpclmulqdq" },
    { ISA_SHA, "sha_ni" },    { ISA_PCLMUL, "pclmulqdq" },
};

bool soft_isa_on_host(unsigned bit)
{
    switch (1u << bit) {
    case ISA_F16C:
        return __builtin_cpu_supports("f16c");
    case ISA_FMA:
        return __builtin_cpu_supports("fma");
    default:
        return true;
    }
}

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
