/* The process's terminal, or pipes on standard input and output.
 *
 * Both descriptors are members of one epoll set that the loop watches: they themselves stay in the
 * mode they have, which they share with whoever started us, and libuv, which would make them
 * non-blocking, never sees them. The set is changed on whatever thread; that needs no call of libuv
 * and no waking.
 *
 * Input of a kind that cannot be waited for (a file, /dev/null) is read a block at a time in every
 * round of the loop: an eventfd that is always ready stands for it in the set.
 *
 * Output is written at once, through a non-blocking descriptor of our own where the host lets us
 * open one; what is not taken is kept up to CHARDEV_OUTPUT_MAX bytes. */
#include "char/chardev.h"

#include "base/alloc.h"
#include "base/log.h"
#include "char/terminal.h"
#include "loop/epoll_set.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    READ_BLOCK = 4096,
    CAUTIOUS_WRITE = 256, /* bytes that a descriptor which poll() calls writable takes for sure */
    LAST_WORDS_MS = 2000, /* how long kept output is waited for at the end */
};

/* How bytes get out without waiting. */
enum out_kind {
    OUT_NONBLOCKING, /* a descriptor of our own, or a file */
    OUT_SOCKET,
    OUT_CAUTIOUS, /* shared and blocking: only as much as poll() promises */
};

struct stdio_chardev {
    struct chardev c; /* must stay the first member */
    struct epoll_set *set;
    int in_fd;    /* what stands in the set for input: 0 or the eventfd; -1: no input any more */
    bool reading; /* in_fd is in the set */
    bool lent;    /* somebody else reads */
    bool typed; /* by a person: one byte is read at a time, for what follows Ctrl-a c is not ours */
    int out_fd; /* -1: gave up after a failure */
    enum out_kind out_kind;
    bool out_waits;   /* out_fd is in the set */
    bool out_lost;    /* said that output was dropped */
    struct fifo kept; /* output not taken yet */
};

static struct stdio_chardev *to_stdio(struct chardev *c)
{
    return (struct stdio_chardev *)c;
}

static bool set_add(struct stdio_chardev *s, int fd, uint32_t events)
{
    return epoll_set_change(s->set, EPOLL_CTL_ADD, fd, events, events);
}

static void set_remove(struct stdio_chardev *s, int fd)
{
    epoll_set_change(s->set, EPOLL_CTL_DEL, fd, 0, 0);
}

/* ---- output ---- */

static ssize_t write_some(struct stdio_chardev *s, const uint8_t *data, size_t len)
{
    if (s->out_kind == OUT_SOCKET)
        return send(s->out_fd, data, len, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (s->out_kind == OUT_CAUTIOUS) {
        struct pollfd p = { .fd = s->out_fd, .events = POLLOUT };
        if (poll(&p, 1, 0) <= 0) {
            errno = EAGAIN;
            return -1;
        }
        len = len < CAUTIOUS_WRITE ? len : CAUTIOUS_WRITE;
    }
    return write(s->out_fd, data, len);
}

/* Returns how many bytes the host took. After a failure it has taken all: there is nowhere to put
 * them. */
static size_t write_out(struct stdio_chardev *s, const uint8_t *data, size_t len)
{
    size_t done = 0;
    while (done < len && s->out_fd >= 0) {
        ssize_t n = write_some(s, data + done, len - done);
        if (n >= 0) {
            done += (size_t)n;
        } else if (errno == EAGAIN) {
            return done;
        } else if (errno != EINTR) {
            log_host(LOG_ERROR, s->c.id,
                     "cannot write to standard output: %s; further output is dropped",
                     strerror(errno));
            if (s->out_fd > STDOUT_FILENO)
                close(s->out_fd);
            s->out_fd = -1;
        }
    }
    return len;
}

static void keep(struct stdio_chardev *s, const uint8_t *data, size_t len)
{
    size_t room = CHARDEV_OUTPUT_MAX - s->kept.len;
    if (len > room) {
        if (!s->out_lost)
            log_host(LOG_WARN, s->c.id, "standard output is not read; some output is dropped");
        s->out_lost = true;
        len = room;
    }
    fifo_push(&s->kept, data, len);
}

static void watch_output(struct stdio_chardev *s)
{
    bool want = s->kept.len > 0;
    if (want && !s->out_waits)
        s->out_waits = set_add(s, s->out_fd, EPOLLOUT);
    else if (!want && s->out_waits) {
        set_remove(s, s->out_fd);
        s->out_waits = false;
    }
}

static void write_kept(struct stdio_chardev *s)
{
    int fd = s->out_fd;
    fifo_drop(&s->kept, write_out(s, fifo_front(&s->kept), s->kept.len));
    if (s->out_fd < 0 && s->out_waits) {
        set_remove(s, fd);
        s->out_waits = false;
    }
    watch_output(s);
}

static void stdio_write(struct chardev *c, const uint8_t *data, size_t len)
{
    struct stdio_chardev *s = to_stdio(c);
    size_t n = s->kept.len ? 0 : write_out(s, data, len);
    if (n < len) {
        keep(s, data + n, len - n);
        watch_output(s);
    }
}

/* ---- input ---- */

static void stop_reading(struct stdio_chardev *s)
{
    if (s->reading)
        set_remove(s, s->in_fd);
    s->reading = false;
}

static void end_input(struct stdio_chardev *s)
{
    stop_reading(s);
    if (s->in_fd > 0)
        close(s->in_fd);
    s->in_fd = -1;
}

static void start_reading(struct stdio_chardev *s)
{
    if (s->in_fd >= 0 && !s->reading && !s->lent)
        s->reading = set_add(s, s->in_fd, EPOLLIN);
}

static void read_input(struct stdio_chardev *s)
{
    uint8_t block[READ_BLOCK];
    terminal_resume();
    ssize_t n = read(STDIN_FILENO, block, s->typed ? 1 : sizeof block);
    if (n > 0) {
        chardev_input(&s->c, block, (size_t)n);
        if (chardev_input_waiting(&s->c) > CHARDEV_INPUT_MARK)
            stop_reading(s);
    } else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
        end_input(s);
    }
}

static void stdio_input_taken(struct chardev *c)
{
    start_reading(to_stdio(c));
}

static const struct chardev_ops stdio_ops;

void chardev_stdio_lend(struct chardev *c, bool lent)
{
    if (c->ops != &stdio_ops)
        return;
    struct stdio_chardev *s = to_stdio(c);
    s->lent = lent;
    if (lent)
        stop_reading(s);
    else if (chardev_input_waiting(c) <= CHARDEV_INPUT_MARK)
        start_reading(s);
}

/* The members of the set are told apart by the one event that each is in for. */
static void on_ready(void *opaque)
{
    struct stdio_chardev *s = opaque;
    struct epoll_event ev[2];
    int n = epoll_set_wait(s->set, ev, 2);
    for (int i = 0; i < n; i++) {
        if (ev[i].data.u64 == EPOLLOUT)
            write_kept(s);
        else if (s->reading)
            read_input(s);
    }
}

/* ---- life ---- */

static void open_output(struct stdio_chardev *s)
{
    struct stat st;
    s->out_fd = fstat(STDOUT_FILENO, &st) < 0 ? -1 : STDOUT_FILENO;
    if (s->out_fd < 0)
        return;
    s->out_kind = S_ISSOCK(st.st_mode) ? OUT_SOCKET : OUT_NONBLOCKING;
    if (!S_ISCHR(st.st_mode) && !S_ISFIFO(st.st_mode))
        return;
    int own = open("/proc/self/fd/1", O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (own >= 0)
        s->out_fd = own;
    else
        s->out_kind = OUT_CAUTIOUS;
}

static void open_input(struct stdio_chardev *s)
{
    s->in_fd = fcntl(STDIN_FILENO, F_GETFD) < 0 ? -1 : STDIN_FILENO;
    start_reading(s);
    if (s->in_fd < 0 || s->reading)
        return;
    s->in_fd = eventfd(1, EFD_CLOEXEC); /* cannot be waited for: always ready */
    start_reading(s);
}

static void stdio_free(struct chardev *c)
{
    struct stdio_chardev *s = to_stdio(c);
    for (int waited = 0; s->kept.len && s->out_fd >= 0 && waited < LAST_WORDS_MS; waited += 10) {
        struct pollfd p = { .fd = s->out_fd, .events = POLLOUT };
        poll(&p, 1, 10);
        write_kept(s);
    }
    terminal_unclaim();
    end_input(s);
    epoll_set_free(s->set);
    if (s->out_fd > STDOUT_FILENO)
        close(s->out_fd);
    fifo_fini(&s->kept);
    free(s);
}

static const struct chardev_ops stdio_ops = {
    .kind = "stdio",
    .write = stdio_write,
    .input_taken = stdio_input_taken,
    .free = stdio_free,
};

struct chardev *chardev_stdio_new(const char *id, struct loop *loop, struct door *door,
                                  const struct stdio_config *config, struct error *err)
{
    if (!terminal_claim()) {
        error_set(err,
                  "character backend \"%s\": standard input and output serve another one already",
                  id);
        return NULL;
    }
    struct stdio_chardev *s = ALLOC(struct stdio_chardev);
    s->set = epoll_set_new(loop, on_ready, s, err);
    if (!s->set || (isatty(STDIN_FILENO) && !terminal_raw(STDIN_FILENO, config->signals, err))) {
        epoll_set_free(s->set);
        terminal_unclaim();
        free(s);
        return NULL;
    }
    chardev_init(&s->c, id, &stdio_ops, door);
    s->typed = config->shared && isatty(STDIN_FILENO);
    open_output(s);
    open_input(s);
    return &s->c;
}
