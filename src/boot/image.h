/* A file mapped privately: changes to the bytes never reach the file. What is large is read into
 * place instead of copied from the mapping, which is dearer and ends the process where somebody has
 * cut the file short meanwhile. */
#pragma once

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct image {
    const char *path; /* borrowed */
    const char *what; /* "kernel": for messages; borrowed */
    int fd;
    uint8_t *data;
    size_t size; /* never 0 */
};

/* Map `path`, of at most `max` bytes. `what` is what the file is to the user: "kernel", "initrd".
 */
bool image_open(struct image *image, const char *what, const char *path, uint64_t max,
                struct error *err);
/* Bytes of the file as they are now: what was changed in `data` is not seen. */
bool image_read(const struct image *image, uint64_t offset, void *dst, size_t size,
                struct error *err);
void image_close(struct image *image); /* safe on a zeroed struct */
