/* Allocation of our own small structures. */
#define _GNU_SOURCE
#include "base/alloc.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *checked(void *p)
{
    if (!p) {
        fputs("perilune: out of memory\n", stderr);
        _Exit(4);
    }
    return p;
}

void *alloc_zero(size_t n, size_t size)
{
    return checked(calloc(n ? n : 1, size ? size : 1));
}

void *alloc_resize(void *p, size_t n, size_t size)
{
    size_t bytes;
    if (__builtin_mul_overflow(n, size, &bytes))
        return checked(NULL);
    return checked(realloc(p, bytes ? bytes : 1));
}

char *alloc_string(const char *s)
{
    return checked(strdup(s));
}

char *alloc_printf(const char *fmt, ...)
{
    char *s;
    va_list ap;
    va_start(ap, fmt);
    int n = vasprintf(&s, fmt, ap);
    va_end(ap);
    return n < 0 ? checked(NULL) : s;
}
