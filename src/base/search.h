/* Binary search in a sorted array. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The index of the first of `count` elements of `size` bytes that does not lie below `key`;
 * `count`: all do. O(log n). Inlined with `below`. */
static inline size_t search_from(const void *array, size_t count, size_t size,
                                 bool (*below)(const void *element, uint64_t key), uint64_t key)
{
    size_t lo = 0, hi = count;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (below((const char *)array + mid * size, key))
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}
