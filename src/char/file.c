/* Output appended to a file. */
#include "char/chardev.h"

#include "base/alloc.h"
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct file_chardev {
    struct chardev c; /* must stay the first member */
    char *path;
    int fd; /* -1: gave up after a failure */
};

static void file_write(struct chardev *c, const uint8_t *data, size_t len)
{
    struct file_chardev *f = (struct file_chardev *)c;
    while (len && f->fd >= 0) {
        ssize_t n = write(f->fd, data, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            log_host(LOG_ERROR, c->id, "cannot write %s: %s; further output is dropped", f->path,
                     strerror(errno));
            close(f->fd);
            f->fd = -1;
            return;
        }
        data += n;
        len -= (size_t)n;
    }
}

static void file_free(struct chardev *c)
{
    struct file_chardev *f = (struct file_chardev *)c;
    if (f->fd >= 0)
        close(f->fd);
    free(f->path);
    free(f);
}

static const struct chardev_ops file_ops = { .kind = "file",
                                             .write = file_write,
                                             .free = file_free };

struct chardev *chardev_file_new(const char *id, const char *path, struct error *err)
{
    /* A pipe without a reader is refused instead of waited for. */
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NONBLOCK, 0666);
    if (fd < 0) {
        error_set_host(err, errno, "character backend \"%s\": cannot open %s for writing", id,
                       path);
        return NULL;
    }
    struct file_chardev *f = ALLOC(struct file_chardev);
    chardev_init(&f->c, id, &file_ops, NULL);
    f->path = alloc_string(path);
    f->fd = fd;
    return &f->c;
}
