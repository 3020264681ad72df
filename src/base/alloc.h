/* Allocation of our own small structures: these never return NULL. Running out of memory for a few
 * hundred bytes leaves nothing sensible to do, so they say so and end the process with status 4.
 * What a user or a guest sizes (guest RAM, files) is allocated by calls that can fail instead. */
#pragma once

#include <stddef.h>

/* `n` zeroed elements of `size` bytes; freed with free(). */
void *alloc_zero(size_t n, size_t size);

/* As realloc, growing or shrinking to `n` elements of `size` bytes; new bytes are not zeroed. */
void *alloc_resize(void *p, size_t n, size_t size);

char *alloc_string(const char *s);

/* A formatted string; freed with free(). */
__attribute__((format(printf, 1, 2))) char *alloc_printf(const char *fmt, ...);

#define ALLOC(type) ((type *)alloc_zero(1, sizeof(type)))

/* Make room for one more element in a growable array held as pointer, count and capacity. */
#define ALLOC_GROW(array, count, capacity)                                \
    do {                                                                  \
        if ((count) == (capacity)) {                                      \
            (capacity) = (capacity) ? 2 * (capacity) : 8;                 \
            (array) = alloc_resize((array), (capacity), sizeof *(array)); \
        }                                                                 \
    } while (0)
