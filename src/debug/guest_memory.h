/* Guest memory as a debugger sees it: bytes at virtual addresses, read without side effects.
 *
 * Symbols, slides and stacks are read through this, so the same code serves a vcpu, a file and a
 * test's array. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct vcpu;

struct guest_memory {
    /* All `len` bytes at `gva`, or false when some of them cannot be had. */
    bool (*read)(void *opaque, uint64_t gva, void *buf, size_t len);
    void *opaque;
};

static inline bool guest_read(const struct guest_memory *mem, uint64_t gva, void *buf, size_t len)
{
    return mem->read(mem->opaque, gva, buf, len);
}

static inline bool guest_read_u64(const struct guest_memory *mem, uint64_t gva, uint64_t *value)
{
    return guest_read(mem, gva, value, sizeof *value);
}

/* What `vcpu` would see, through its page tables as a supervisor, RAM and ROM only: device
 * registers are not touched, because reading them may change them. The vcpu must not be executing;
 * the machine lock is held. `vcpu` is borrowed for as long as the reader is used. */
struct guest_memory guest_memory_of_vcpu(struct vcpu *vcpu);
