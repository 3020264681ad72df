/* Output to a file, input from another.
 *
 * A file is always ready, so it cannot be waited for: an eventfd that is always ready stands for
 * it, and one block is read in every round of the loop as long as the front end takes it. A FIFO is
 * waited for as itself. */
#include "char/chardev.h"

#include "base/alloc.h"
#include "base/log.h"
#include "loop/epoll_set.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { READ_BLOCK = 4096 };

struct file_chardev {
    struct chardev c; /* must stay the first member */
    char *path;
    int fd; /* -1: gave up after a failure */
    struct epoll_set *set;
    int in_fd;    /* -1: no input, or no more */
    int ready_fd; /* what stands in the set for it: itself or an eventfd */
    bool reading; /* ready_fd is in the set */
};

/* ---- output ---- */

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

/* ---- input ---- */

static void stop_reading(struct file_chardev *f)
{
    if (f->reading)
        epoll_set_change(f->set, EPOLL_CTL_DEL, f->ready_fd, 0, 0);
    f->reading = false;
}

static void end_input(struct file_chardev *f)
{
    stop_reading(f);
    if (f->in_fd >= 0)
        close(f->in_fd);
    if (f->ready_fd >= 0 && f->ready_fd != f->in_fd)
        close(f->ready_fd);
    f->in_fd = f->ready_fd = -1;
}

static void file_input_taken(struct chardev *c)
{
    struct file_chardev *f = (struct file_chardev *)c;
    if (c->front && f->ready_fd >= 0 && !f->reading)
        f->reading = epoll_set_change(f->set, EPOLL_CTL_ADD, f->ready_fd, EPOLLIN, 0);
}

static void on_ready(void *opaque)
{
    struct file_chardev *f = opaque;
    uint8_t block[READ_BLOCK];
    if (!f->reading)
        return;
    ssize_t n = read(f->in_fd, block, sizeof block);
    if (n > 0) {
        chardev_input(&f->c, block, (size_t)n);
        if (chardev_input_waiting(&f->c) > CHARDEV_INPUT_MARK)
            stop_reading(f);
    } else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
        end_input(f);
    }
}

static bool open_input(struct file_chardev *f, struct loop *loop, const char *path,
                       struct error *err)
{
    f->in_fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (f->in_fd < 0)
        return error_set_host(err, errno, "character backend \"%s\": cannot open %s for reading",
                              f->c.id, path);
    f->set = epoll_set_new(loop, on_ready, f, err);
    if (!f->set)
        return false;
    f->ready_fd = f->in_fd;
    if (epoll_set_change(f->set, EPOLL_CTL_ADD, f->in_fd, EPOLLIN, 0))
        epoll_set_change(f->set, EPOLL_CTL_DEL, f->in_fd, 0, 0);
    else
        f->ready_fd = eventfd(1, EFD_CLOEXEC);
    return true;
}

/* ---- life ---- */

static char *file_filename(const struct chardev *c)
{
    return alloc_printf("file:%s", ((const struct file_chardev *)c)->path);
}

static void file_free(struct chardev *c)
{
    struct file_chardev *f = (struct file_chardev *)c;
    end_input(f);
    epoll_set_free(f->set);
    if (f->fd >= 0)
        close(f->fd);
    free(f->path);
    free(f);
}

static const struct chardev_ops file_ops = { .kind = "file",
                                             .write = file_write,
                                             .input_taken = file_input_taken,
                                             .filename = file_filename,
                                             .free = file_free };

struct chardev *chardev_file_new(const char *id, struct loop *loop, struct door *door,
                                 const struct chardev_file_config *config, struct error *err)
{
    /* A pipe without a reader is refused instead of waited for. */
    int flags = O_WRONLY | O_CREAT | O_CLOEXEC | O_NONBLOCK | (config->append ? O_APPEND : O_TRUNC);
    int fd = open(config->path, flags, 0666);
    if (fd < 0) {
        error_set_host(err, errno, "character backend \"%s\": cannot open %s for writing", id,
                       config->path);
        return NULL;
    }
    struct file_chardev *f = ALLOC(struct file_chardev);
    chardev_init(&f->c, id, &file_ops, door);
    f->path = alloc_string(config->path);
    f->fd = fd;
    f->in_fd = f->ready_fd = -1;
    if (!config->input || open_input(f, loop, config->input, err))
        return &f->c;
    chardev_free(&f->c);
    return NULL;
}
