/* Bytes that wait, in one growing block. */
#include "char/fifo.h"

#include "base/alloc.h"

#include <stdlib.h>
#include <string.h>

enum { KEPT_WHEN_EMPTY = 65536 };

void fifo_push(struct fifo *f, const uint8_t *data, size_t len)
{
    if (!len)
        return;
    if (f->at + f->len + len > f->cap) {
        if (f->at)
            memmove(f->bytes, f->bytes + f->at, f->len);
        f->at = 0;
        if (f->len + len > f->cap) {
            f->cap = 2 * (f->len + len);
            f->bytes = alloc_resize(f->bytes, f->cap, 1);
        }
    }
    memcpy(f->bytes + f->at + f->len, data, len);
    f->len += len;
}

void fifo_drop(struct fifo *f, size_t n)
{
    f->at += n;
    f->len -= n;
    if (f->len)
        return;
    f->at = 0;
    if (f->cap > KEPT_WHEN_EMPTY)
        fifo_fini(f);
}

void fifo_fini(struct fifo *f)
{
    free(f->bytes);
    *f = (struct fifo){ 0 };
}
