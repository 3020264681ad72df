/* BTF, the type information that a Linux kernel carries within itself: where members of its structs
 * are, whatever its version and configuration.
 *
 * Facts: Documentation/bpf/btf.rst. The bytes may come out of a guest and be anything: every
 * offset is checked, every walk bounded. */
#pragma once

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct btf;

/* A look at `data`, which is borrowed. NULL with `err` when it is not BTF, or is damaged. */
struct btf *btf_new(const uint8_t *data, size_t size, struct error *err);
void btf_free(struct btf *b); /* NULL is allowed */

struct btf_place {
    uint32_t offset; /* bytes, from the beginning of the struct */
    uint32_t size;   /* of the member, or of one of its elements, bytes */
    uint32_t count;  /* of an array; else 1 */
};

/* Where "member" of "struct type" is; "member.inner" and members of unnamed structs within are
 * found, too. False: there is no such, or it is a bit field. */
bool btf_find(const struct btf *b, const char *type, const char *member, struct btf_place *place);
