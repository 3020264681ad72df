/* The backend that goes nowhere. */
#include "char/chardev.h"

#include "base/alloc.h"

static void null_write(struct chardev *c, const uint8_t *data, size_t len)
{
    (void)c;
    (void)data;
    (void)len;
}

static const struct chardev_ops null_ops = { .kind = "null", .write = null_write };

struct chardev *chardev_null_new(const char *id)
{
    struct chardev *c = ALLOC(struct chardev);
    chardev_init(c, id, &null_ops, NULL);
    return c;
}
