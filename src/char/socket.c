/* A stream socket: unix or TCP, listening or connecting.
 *
 * One peer at a time. While there is one the listening socket is not watched: who comes then waits
 * in the kernel's queue. All members of the set are told apart by their tags. Connections are made
 * and taken down on the loop thread; the guest's thread only writes, and stops or starts reading.
 */
#define _GNU_SOURCE
#include "char/address.h"
#include "char/stream.h"

#include "base/alloc.h"
#include "base/log.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { TAG_LISTEN, TAG_CONNECT, TAG_STREAM };
enum { CONNECT_MS = 10000, ACCEPT_RETRY_S = 1 };

struct socket_chardev {
    struct chardev c;                    /* must stay the first member */
    struct chardev_socket_config config; /* path and host are owned */
    struct address address;              /* to connect to */
    struct loop *loop;
    struct epoll_set *set;
    struct stream stream;
    struct timer retry; /* connect, or accept, again */
    int listen_fd;      /* -1: none */
    int connecting_fd;  /* on its way; -1: none */
    struct stat bound;  /* the path that we made */
};

static struct socket_chardev *to_socket(const struct chardev *c)
{
    return (struct socket_chardev *)c;
}

static void retry_in(struct socket_chardev *s, unsigned seconds)
{
    timer_set(&s->retry, loop_realtime_ns() + seconds * NS_PER_SECOND);
}

static void begin(struct socket_chardev *s, int fd)
{
    int on = 1;
    if (!s->config.path) {
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){ !s->config.delay }, sizeof on);
        setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    }
    if (!stream_open(&s->stream, fd))
        close(fd);
}

/* ---- listening ---- */

static void watch_listener(struct socket_chardev *s, bool watch)
{
    epoll_set_change(s->set, EPOLL_CTL_MOD, s->listen_fd, watch ? EPOLLIN : 0, TAG_LISTEN);
}

/* Out of descriptors, most likely: the peer stays in the queue, and the loop must not spin. */
static void accept_failed(struct socket_chardev *s, int why)
{
    if (why == EAGAIN || why == EINTR || why == ECONNABORTED)
        return;
    log_host(LOG_WARN, s->c.id, "cannot accept a connection: %s", strerror(why));
    watch_listener(s, false);
    retry_in(s, ACCEPT_RETRY_S);
}

static void accept_peer(struct socket_chardev *s)
{
    int fd =
        s->stream.fd < 0 ? accept4(s->listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC) : -1;
    if (fd >= 0) {
        watch_listener(s, false);
        begin(s, fd);
    } else if (s->stream.fd < 0) {
        accept_failed(s, errno);
    }
}

static bool start_listening(struct socket_chardev *s, struct error *err)
{
    s->listen_fd = socket_listen(s->c.id, &s->config, &s->config.port, err);
    if (s->listen_fd < 0)
        return false;
    if (s->config.path)
        stat(s->config.path, &s->bound);
    if (!epoll_set_change(s->set, EPOLL_CTL_ADD, s->listen_fd, EPOLLIN, TAG_LISTEN))
        return error_set_host(err, errno, "%s: cannot watch its socket", s->c.id);
    return true;
}

static void stop_listening(struct socket_chardev *s)
{
    struct stat now;
    if (s->listen_fd < 0)
        return;
    close(s->listen_fd);
    if (s->config.path && lstat(s->config.path, &now) == 0 && now.st_ino == s->bound.st_ino &&
        now.st_dev == s->bound.st_dev)
        unlink(s->config.path);
}

/* ---- connecting ---- */

/* 0: connected, EINPROGRESS: on its way, or why not. */
static int try_connect(struct socket_chardev *s, int *fd)
{
    *fd = socket(s->address.sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (*fd < 0)
        return errno;
    int e = connect(*fd, (struct sockaddr *)&s->address.sa, s->address.len) < 0 ? errno : 0;
    if (e && e != EINPROGRESS) {
        close(*fd);
        *fd = -1;
    }
    return e;
}

static int result_of(int fd)
{
    int e = 0;
    socklen_t len = sizeof e;
    return getsockopt(fd, SOL_SOCKET, SO_ERROR, &e, &len) < 0 ? errno : e;
}

static void connect_again(struct socket_chardev *s)
{
    int fd, e = try_connect(s, &fd);
    if (e == EINPROGRESS && epoll_set_change(s->set, EPOLL_CTL_ADD, fd, EPOLLOUT, TAG_CONNECT)) {
        s->connecting_fd = fd;
        return;
    }
    if (!e)
        begin(s, fd);
    else if (fd >= 0)
        close(fd);
    if (s->stream.fd < 0)
        retry_in(s, s->config.reconnect_s);
}

static void connection_done(struct socket_chardev *s)
{
    int fd = s->connecting_fd, e = result_of(fd);
    epoll_set_change(s->set, EPOLL_CTL_DEL, fd, 0, 0);
    s->connecting_fd = -1;
    if (!e)
        begin(s, fd);
    else
        close(fd);
    if (s->stream.fd < 0)
        retry_in(s, s->config.reconnect_s);
}

/* Nobody would try again: the peer must be there now. */
static bool connect_now(struct socket_chardev *s, struct error *err)
{
    int fd, e = try_connect(s, &fd);
    if (e == EINPROGRESS) {
        struct pollfd p = { .fd = fd, .events = POLLOUT };
        e = poll(&p, 1, CONNECT_MS) > 0 ? result_of(fd) : ETIMEDOUT;
        if (e)
            close(fd);
    }
    if (!e) {
        begin(s, fd);
        return true;
    }
    char *spec = address_spec(&s->config);
    error_set_host(err, e, "%s: cannot connect to %s; reconnect=SECONDS would try again", s->c.id,
                   spec);
    free(spec);
    return false;
}

static void on_retry(void *opaque)
{
    struct socket_chardev *s = opaque;
    if (s->listen_fd >= 0)
        watch_listener(s, s->stream.fd < 0);
    else
        connect_again(s);
}

/* ---- the peer ---- */

static void peer_gone(struct socket_chardev *s)
{
    int fd = stream_close(&s->stream);
    if (fd >= 0)
        close(fd);
    if (s->listen_fd >= 0)
        watch_listener(s, true);
    else if (s->config.reconnect_s)
        retry_in(s, s->config.reconnect_s);
}

static void on_ready(void *opaque)
{
    struct socket_chardev *s = opaque;
    struct epoll_event ev[3];
    int n = epoll_set_wait(s->set, ev, 3);
    for (int i = 0; i < n; i++) {
        if (ev[i].data.u64 == TAG_LISTEN)
            accept_peer(s);
        else if (ev[i].data.u64 == TAG_CONNECT && s->connecting_fd >= 0)
            connection_done(s);
        else if (ev[i].data.u64 == TAG_STREAM && s->stream.fd >= 0 &&
                 !stream_ready(&s->stream, ev[i].events))
            peer_gone(s);
    }
}

/* ---- life ---- */

static void socket_write(struct chardev *c, const uint8_t *data, size_t len)
{
    stream_write(&to_socket(c)->stream, data, len);
}

static void socket_input_taken(struct chardev *c)
{
    stream_input_taken(&to_socket(c)->stream);
}

char *chardev_socket_peer(const struct chardev *c)
{
    struct socket_chardev *s = to_socket(c);
    struct sockaddr_storage sa;
    socklen_t len = sizeof sa;
    if (s->stream.fd < 0 || getpeername(s->stream.fd, (struct sockaddr *)&sa, &len) < 0)
        return NULL;
    return address_text((struct sockaddr *)&sa, len);
}

uint16_t chardev_socket_port(const struct chardev *c)
{
    return to_socket(c)->config.path ? 0 : to_socket(c)->config.port;
}

static char *socket_filename(const struct chardev *c)
{
    struct socket_chardev *s = to_socket(c);
    char *spec = address_spec(&s->config);
    char *peer = s->config.server && !s->config.path ? chardev_socket_peer(c) : NULL;
    char *text =
        alloc_printf("%s%s%s%s%s", c->connected ? "" : "disconnected:", spec,
                     s->config.server ? ",server=on" : "", peer ? " <-> " : "", peer ? peer : "");
    free(spec);
    free(peer);
    return text;
}

static void socket_free(struct chardev *c)
{
    struct socket_chardev *s = to_socket(c);
    timer_cancel(&s->retry);
    stream_last_words(&s->stream);
    int fd = stream_close(&s->stream);
    if (fd >= 0)
        close(fd);
    if (s->connecting_fd >= 0)
        close(s->connecting_fd);
    stop_listening(s);
    epoll_set_free(s->set);
    free((char *)s->config.path);
    free((char *)s->config.host);
    free(s);
}

static const struct chardev_ops socket_ops = {
    .kind = "socket",
    .write = socket_write,
    .input_taken = socket_input_taken,
    .filename = socket_filename,
    .free = socket_free,
};

static bool start(struct socket_chardev *s, struct error *err)
{
    s->set = epoll_set_new(s->loop, on_ready, s, err);
    if (!s->set)
        return false;
    stream_init(&s->stream, &s->c, s->set, TAG_STREAM, true);
    if (s->config.server)
        return start_listening(s, err);
    if (!address_resolve(&s->address, s->c.id, &s->config, err))
        return false;
    if (!s->config.reconnect_s)
        return connect_now(s, err);
    connect_again(s);
    return true;
}

struct chardev *chardev_socket_new(const char *id, struct loop *loop, struct door *door,
                                   const struct chardev_socket_config *config, struct error *err)
{
    struct socket_chardev *s = ALLOC(struct socket_chardev);
    chardev_init(&s->c, id, &socket_ops, door);
    s->c.connected = false;
    s->config = *config;
    s->config.path = config->path ? alloc_string(config->path) : NULL;
    s->config.host = config->host ? alloc_string(config->host) : NULL;
    s->loop = loop;
    s->listen_fd = s->connecting_fd = s->stream.fd = -1;
    timer_init(&s->retry, loop_realtime(loop), on_retry, s);
    if (start(s, err))
        return &s->c;
    chardev_free(&s->c);
    return NULL;
}
