/* What the host's processor has, for tests that execute instructions on it. */
#pragma once

#include "cpu/soft/opcodes.h"

#include <stdio.h>
#include <string.h>

/* Does the host's /proc/cpuinfo name the feature? */
static inline bool host_has(const char *feature)
{
    static char flags[4096];
    FILE *f = *flags ? NULL : fopen("/proc/cpuinfo", "r");
    char padded[64];
    while (f && fgets(flags, sizeof flags, f) && strncmp(flags, "flags", 5) != 0)
        ;
    if (f) {
        fclose(f);
        flags[strcspn(flags, "\n")] = ' '; /* a space after the last one too */
    }
    snprintf(padded, sizeof padded, " %s ", feature);
    return strstr(flags, padded) != NULL;
}

/* The first feature of ISA_* bits that the host has not; NULL: it has all. */
static inline const char *host_lacks(uint64_t needs)
{
    for (unsigned bit = 0; bit < ISA_COUNT; bit++)
        if (needs >> bit & 1 && !host_has(soft_isa_name(bit)))
            return soft_isa_name(bit);
    return NULL;
}
