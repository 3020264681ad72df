/* Bytes that wait: appended at one end, taken from the other. Private to char. */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct fifo {
    uint8_t *bytes;
    size_t at, len, cap; /* len bytes from `at` on wait */
};

void fifo_push(struct fifo *f, const uint8_t *data, size_t len);

/* The first `n` are done with. An empty fifo that was large gives its memory back. */
void fifo_drop(struct fifo *f, size_t n);

/* Empty it and free its memory. */
void fifo_fini(struct fifo *f);

static inline const uint8_t *fifo_front(const struct fifo *f)
{
    return f->bytes + f->at;
}
