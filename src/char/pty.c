/* A pseudo terminal: a program such as screen has its other end open, or nobody.
 *
 * Nobody is told when a terminal is opened, but inotify is told: a watch of its path says when to
 * look whether somebody has it. That the last one has closed it the set reports as a hang-up. */
#define _GNU_SOURCE
#include "char/stream.h"

#include "base/alloc.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <termios.h>
#include <unistd.h>

enum { TAG_MASTER, TAG_WATCH };

struct pty_chardev {
    struct chardev c; /* must stay the first member */
    struct epoll_set *set;
    struct stream stream; /* has the master while somebody has the other end */
    int master, watch;    /* -1: none */
    char *link;           /* NULL: none */
    char name[64];        /* /dev/pts/3 */
};

static struct pty_chardev *to_pty(const struct chardev *c)
{
    return (struct pty_chardev *)c;
}

/* Somebody has it, or has left something to read. */
static void look(struct pty_chardev *p)
{
    struct pollfd pfd = { .fd = p->master, .events = POLLIN };
    if (p->stream.fd < 0 && poll(&pfd, 1, 0) >= 0 &&
        (!(pfd.revents & POLLHUP) || pfd.revents & POLLIN))
        stream_open(&p->stream, p->master);
}

static void on_ready(void *opaque)
{
    struct pty_chardev *p = opaque;
    struct epoll_event ev[2];
    char events[4096]; /* what they say does not matter */
    int n = epoll_set_wait(p->set, ev, 2);
    for (int i = 0; i < n; i++) {
        if (ev[i].data.u64 == TAG_WATCH)
            while (read(p->watch, events, sizeof events) > 0)
                ;
        else if (p->stream.fd >= 0 && !stream_ready(&p->stream, ev[i].events))
            stream_close(&p->stream);
    }
    look(p);
}

static void pty_write(struct chardev *c, const uint8_t *data, size_t len)
{
    stream_write(&to_pty(c)->stream, data, len);
}

static void pty_input_taken(struct chardev *c)
{
    stream_input_taken(&to_pty(c)->stream);
}

static char *pty_filename(const struct chardev *c)
{
    return alloc_printf("pty:%s", to_pty(c)->name);
}

/* Is there a link at `path` that goes to `name`, or to any terminal for NULL? */
static bool links_to(const char *path, const char *name)
{
    char target[PATH_MAX];
    ssize_t n = readlink(path, target, sizeof target - 1);
    target[n > 0 ? n : 0] = '\0';
    return name ? !strcmp(target, name) : !strncmp(target, "/dev/pts/", 9);
}

static void pty_free(struct chardev *c)
{
    struct pty_chardev *p = to_pty(c);
    stream_last_words(&p->stream);
    stream_close(&p->stream);
    if (p->link && links_to(p->link, p->name))
        unlink(p->link);
    if (p->master >= 0)
        close(p->master);
    if (p->watch >= 0)
        close(p->watch);
    epoll_set_free(p->set);
    free(p->link);
    free(p);
}

static const struct chardev_ops pty_ops = {
    .kind = "pty",
    .write = pty_write,
    .input_taken = pty_input_taken,
    .filename = pty_filename,
    .free = pty_free,
};

/* In raw mode from the beginning: what the guest writes must not come back as input. The other end
 * is closed again, so that a hang-up tells that nobody has it. */
static bool open_terminal(struct pty_chardev *p, struct error *err)
{
    struct termios t;
    p->master = posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
    bool ok = p->master >= 0 && grantpt(p->master) == 0 && unlockpt(p->master) == 0 &&
              ptsname_r(p->master, p->name, sizeof p->name) == 0;
    int other = ok ? open(p->name, O_RDWR | O_NOCTTY | O_CLOEXEC) : -1;
    ok = other >= 0 && tcgetattr(other, &t) == 0;
    if (ok) {
        cfmakeraw(&t);
        ok = tcsetattr(other, TCSANOW, &t) == 0;
    }
    int e = errno;
    if (other >= 0)
        close(other);
    return ok || error_set_host(err, e, "%s: cannot open a pseudo terminal", p->c.id);
}

static bool watch_terminal(struct pty_chardev *p, struct error *err)
{
    p->watch = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    return (p->watch >= 0 && inotify_add_watch(p->watch, p->name, IN_OPEN | IN_CLOSE) >= 0 &&
            epoll_set_change(p->set, EPOLL_CTL_ADD, p->watch, EPOLLIN, TAG_WATCH)) ||
           error_set_host(err, errno, "%s: cannot watch %s", p->c.id, p->name);
}

/* A link of an earlier run may be replaced. */
static bool make_link(struct pty_chardev *p, const char *link, struct error *err)
{
    if (links_to(link, NULL))
        unlink(link);
    if (symlink(p->name, link) < 0)
        return error_set_host(err, errno, "%s: cannot make the link %s", p->c.id, link);
    p->link = alloc_string(link);
    return true;
}

struct chardev *chardev_pty_new(const char *id, struct loop *loop, struct door *door,
                                const char *link, struct error *err)
{
    struct pty_chardev *p = ALLOC(struct pty_chardev);
    chardev_init(&p->c, id, &pty_ops, door);
    p->c.connected = false;
    p->master = p->watch = p->stream.fd = -1;
    p->set = epoll_set_new(loop, on_ready, p, err);
    if (p->set) {
        stream_init(&p->stream, &p->c, p->set, TAG_MASTER, false);
        if (open_terminal(p, err) && watch_terminal(p, err) && (!link || make_link(p, link, err)))
            return &p->c;
    }
    chardev_free(&p->c);
    return NULL;
}
