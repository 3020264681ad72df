/* Bit fields, alignment and byte order: pure helpers with no state. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define ARRAY_LEN(a)             (sizeof(a) / sizeof((a)[0]))
#define CONTAINER_OF(p, type, m) ((type *)((char *)(p)-offsetof(type, m)))
#define LIKELY(x)                __builtin_expect(!!(x), 1)
#define UNLIKELY(x)              __builtin_expect(!!(x), 0)
/* A function that is rarely called, kept out of who calls it. */
#define RARE                     __attribute__((noinline, cold))

/* A mask of the low `bits` bits, 0..64. */
static inline uint64_t bits_mask(unsigned bits)
{
    return bits >= 64 ? UINT64_MAX : (1ULL << bits) - 1;
}

static inline uint64_t bits_get(uint64_t v, unsigned lo, unsigned n)
{
    return v >> lo & bits_mask(n);
}

static inline uint64_t bits_put(uint64_t v, unsigned lo, unsigned n, uint64_t field)
{
    uint64_t m = bits_mask(n) << lo;
    return (v & ~m) | (field << lo & m);
}

/* `align` is a power of two. */
static inline uint64_t align_down(uint64_t v, uint64_t align)
{
    return v & ~(align - 1);
}

static inline uint64_t align_up(uint64_t v, uint64_t align)
{
    return (v + align - 1) & ~(align - 1);
}

static inline bool is_pow2(uint64_t v)
{
    return v && !(v & (v - 1));
}

/* Little-endian load and store of 1, 2, 4 or 8 bytes at any alignment (the host is x86-64). */
static inline uint64_t ld_le(const void *p, unsigned size)
{
    uint64_t v = 0;
    memcpy(&v, p, size);
    return v;
}

static inline void st_le(void *p, unsigned size, uint64_t v)
{
    memcpy(p, &v, size);
}

static inline uint16_t ld_le16(const void *p)
{
    uint16_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

static inline uint32_t ld_le32(const void *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

static inline uint64_t ld_le64(const void *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

static inline uint16_t ld_be16(const void *p)
{
    return __builtin_bswap16(ld_le16(p));
}

static inline uint32_t ld_be32(const void *p)
{
    return __builtin_bswap32(ld_le32(p));
}

static inline void st_le16(void *p, uint16_t v)
{
    memcpy(p, &v, sizeof v);
}

static inline void st_le32(void *p, uint32_t v)
{
    memcpy(p, &v, sizeof v);
}

static inline void st_le64(void *p, uint64_t v)
{
    memcpy(p, &v, sizeof v);
}

static inline void st_be16(void *p, uint16_t v)
{
    st_le16(p, __builtin_bswap16(v));
}

static inline void st_be32(void *p, uint32_t v)
{
    st_le32(p, __builtin_bswap32(v));
}
