/* One descriptor with somebody at the other end. */
#include "char/stream.h"

#include "base/log.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { READ_BLOCK = 4096, LAST_WORDS_MS = 1000 };

void stream_init(struct stream *s, struct chardev *c, struct epoll_set *set, uint64_t tag,
                 bool socket)
{
    *s = (struct stream){ .c = c, .set = set, .tag = tag, .fd = -1, .socket = socket };
}

static void watch(struct stream *s)
{
    uint32_t events = chardev_input_waiting(s->c) <= CHARDEV_INPUT_MARK ? EPOLLIN : 0;
    if (s->out.len && !s->failed)
        events |= EPOLLOUT;
    if (s->fd >= 0 && events != s->watched) {
        epoll_set_change(s->set, EPOLL_CTL_MOD, s->fd, events, s->tag);
        s->watched = events;
    }
}

bool stream_open(struct stream *s, int fd)
{
    if (!epoll_set_change(s->set, EPOLL_CTL_ADD, fd, 0, s->tag))
        return false;
    s->fd = fd;
    s->watched = 0;
    s->failed = s->lost = false;
    watch(s);
    chardev_set_connected(s->c, true);
    return true;
}

int stream_close(struct stream *s)
{
    int fd = s->fd;
    fifo_fini(&s->out);
    if (fd < 0)
        return -1;
    epoll_set_change(s->set, EPOLL_CTL_DEL, fd, 0, 0);
    s->fd = -1;
    chardev_set_connected(s->c, false);
    return fd;
}

/* ---- output ---- */

/* After a failure it takes all: the other end is gone. Shutting a socket down makes the set report
 * that; for a terminal it does so by itself. */
static size_t write_out(struct stream *s, const uint8_t *data, size_t len)
{
    size_t done = 0;
    while (done < len && !s->failed) {
        ssize_t n = s->socket ? send(s->fd, data + done, len - done, MSG_NOSIGNAL)
                              : write(s->fd, data + done, len - done);
        if (n >= 0) {
            done += (size_t)n;
        } else if (errno == EAGAIN) {
            return done;
        } else if (errno != EINTR) {
            s->failed = true;
            if (s->socket)
                shutdown(s->fd, SHUT_RDWR);
        }
    }
    return len;
}

void stream_write(struct stream *s, const uint8_t *data, size_t len)
{
    if (s->fd < 0 || s->failed)
        return;
    size_t n = s->out.len ? 0 : write_out(s, data, len);
    size_t room = CHARDEV_OUTPUT_MAX - s->out.len;
    if (len - n > room) {
        if (!s->lost)
            log_host(LOG_WARN, s->c->id, "the other end does not read; some output is dropped");
        s->lost = true;
    }
    fifo_push(&s->out, data + n, len - n < room ? len - n : room);
    watch(s);
}

void stream_last_words(struct stream *s)
{
    for (int waited = 0; s->out.len && !s->failed && waited < LAST_WORDS_MS; waited += 10) {
        struct pollfd p = { .fd = s->fd, .events = POLLOUT };
        poll(&p, 1, 10);
        fifo_drop(&s->out, write_out(s, fifo_front(&s->out), s->out.len));
    }
}

/* ---- input ---- */

void stream_input_taken(struct stream *s)
{
    watch(s);
}

static bool read_block(struct stream *s)
{
    uint8_t block[READ_BLOCK];
    ssize_t n = read(s->fd, block, sizeof block);
    if (n < 0)
        return errno == EAGAIN || errno == EINTR;
    chardev_input(s->c, block, (size_t)n);
    return n > 0;
}

/* It has sent something and gone while we did not read: that much is had as the bound allows. */
static void read_rest(struct stream *s)
{
    while (chardev_input_waiting(s->c) + READ_BLOCK <= CHARDEV_INPUT_MAX) {
        uint8_t block[READ_BLOCK];
        ssize_t n = read(s->fd, block, sizeof block);
        if (n <= 0)
            return;
        chardev_input(s->c, block, (size_t)n);
    }
}

bool stream_ready(struct stream *s, uint32_t events)
{
    if (events & EPOLLOUT)
        fifo_drop(&s->out, write_out(s, fifo_front(&s->out), s->out.len));
    if (events & EPOLLIN) {
        if (!read_block(s))
            return false;
    } else if (events & (EPOLLHUP | EPOLLERR)) {
        read_rest(s);
        return false;
    }
    watch(s);
    return true;
}
