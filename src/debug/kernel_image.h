/* A Linux kernel image in host memory: the ELF file vmlinux, unpacked when it comes in a bzImage.
 *
 * Used to read tables out of it; docs/symbols.md. A file on the host, so not secret from the guest
 * and not changed by it; but any bytes may be in it. */
#pragma once

#include "base/error.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct kernel_image;

/* NULL with `err` when the file is neither, is damaged, or packed in a way the host cannot unpack;
 * or when *cancel becomes true, which another thread may do (NULL: nobody). */
struct kernel_image *kernel_image_open(const char *path, const atomic_bool *cancel,
                                       struct error *err);
void kernel_image_close(struct kernel_image *k); /* NULL is allowed */

const char *kernel_image_path(const struct kernel_image *k);

/* The whole ELF file. */
const uint8_t *kernel_image_bytes(const struct kernel_image *k, size_t *size);

/* The bytes at virtual address `addr` as linked, and how many follow in its segment; NULL: none. */
const uint8_t *kernel_image_at(const struct kernel_image *k, uint64_t addr, size_t *size);

/* The contents of a section by name: its bytes, size and address. NULL: no such. */
const uint8_t *kernel_image_section(const struct kernel_image *k, const char *name, size_t *size,
                                    uint64_t *addr);
