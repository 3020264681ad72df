/* What CPUID says a processor can do, as a set of features with names, and `--cpu`, which chooses
 * from it: one table and one parser for all backends.
 *
 * A set keeps the words of CPUID that hold one bit for each feature. Names are those of Linux'
 * /proc/cpuinfo; QEMU's are known too. Plain data: no thread owns it. */
#pragma once

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum cpuid_reg { CPUID_EAX, CPUID_EBX, CPUID_ECX, CPUID_EDX };

enum cpuid_word {
    WORD_1_EDX,
    WORD_1_ECX,
    WORD_6_EAX,
    WORD_7_EBX,
    WORD_7_ECX,
    WORD_7_EDX,
    WORD_7_1_EAX,
    WORD_D_1_EAX,
    WORD_KVM, /* 0x40000001 EAX: paravirtual features */
    WORD_81_EDX,
    WORD_81_ECX,
    WORD_87_EDX,
    WORD_88_EBX,
    WORD_8A_EDX,
    CPUID_WORDS
};

/* Where a word is found. */
struct cpuid_place {
    uint32_t leaf, subleaf;
    enum cpuid_reg reg;
};
extern const struct cpuid_place cpuid_places[CPUID_WORDS];

struct cpu_features {
    uint32_t word[CPUID_WORDS];
};

struct cpu_feature {
    const char *name;
    const char *other; /* another spelling, or NULL */
    enum cpuid_word word;
    uint32_t mask;     /* its bit; kvmclock has two */
    const char *needs; /* names, separated by spaces: what it cannot be without; NULL: nothing */
};
/* Ends with a row without a name. */
extern const struct cpu_feature cpu_feature_table[];

/* The model "base": the same for every host and backend, as far as they can. */
extern const struct cpu_features cpu_features_base;

/* What a backend can give, on this host. */
struct cpu_offer {
    const char *backend;
    struct cpu_features max; /* everything: models "host" and "max" */
    /* Not in max, but would be if the machine were different, and how. */
    struct cpu_features withheld;
    const char *why_withheld;
};

/* By either spelling, '.', '-' and '_' being the same; NULL: there is none. */
const struct cpu_feature *cpu_feature_find(const char *name, size_t length);

static inline bool cpu_has(const struct cpu_features *set, const struct cpu_feature *f)
{
    return set->word[f->word] & f->mask;
}

/* The same of a feature that is known to be in the table. */
bool cpu_has_named(const struct cpu_features *set, const char *name);
/* Put such a feature into the set, without what it needs. */
void cpu_set_named(struct cpu_features *set, const char *name);

/* "MODEL[,+FEATURE|,-FEATURE|,FEATURE=on|,FEATURE=off...]": base, host or max, and changes to it.
 * What needs a feature that is taken away goes with it; what an added one needs comes with it.
 * False with what is wrong: an unknown name, a feature that the backend cannot give. */
bool cpu_model_parse(const char *text, const struct cpu_offer *offer, struct cpu_features *out,
                     struct error *err);

/* The states in XCR0 that the set's features use, a bit each: 0 without XSAVE. */
uint64_t cpu_xsave_components(const struct cpu_features *set);
/* Those of IA32_XSS. */
uint64_t cpu_xsave_supervisor(const struct cpu_features *set);
/* Does the set offer what this leaf describes? */
bool cpu_leaf_offered(const struct cpu_features *set, uint32_t leaf);
