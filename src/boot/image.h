/* A file mapped privately: changes to the bytes never reach the file. */
#pragma once

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct image {
    const char *path; /* borrowed */
    uint8_t *data;
    size_t size; /* never 0 */
};

/* Map `path`, of at most `max` bytes. `what` is what the file is to the user: "kernel", "initrd".
 */
bool image_open(struct image *image, const char *what, const char *path, uint64_t max,
                struct error *err);
void image_close(struct image *image); /* safe on a zeroed struct */
