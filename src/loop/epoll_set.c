/* A nested epoll set behind one libuv handle. */
#include "loop/epoll_set.h"

#include "base/alloc.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

/* Lives until libuv has closed the handle, which is later than epoll_set_free(). */
struct epoll_set {
    uv_poll_t uv; /* must stay the first member */
    int fd;
    void (*ready)(void *opaque);
    void *opaque;
};

static void on_ready(uv_poll_t *handle, int status, int events)
{
    (void)status;
    (void)events;
    struct epoll_set *s = (struct epoll_set *)handle;
    s->ready(s->opaque);
}

static void on_closed(uv_handle_t *handle)
{
    free(handle);
}

struct epoll_set *epoll_set_new(struct loop *l, void (*ready)(void *), void *opaque,
                                struct error *err)
{
    struct epoll_set *s = ALLOC(struct epoll_set);
    s->ready = ready;
    s->opaque = opaque;
    s->fd = epoll_create1(EPOLL_CLOEXEC);
    int e = s->fd < 0 ? errno : -uv_poll_init(loop_uv(l), &s->uv, s->fd);
    if (e) {
        error_set_host(err, e, "cannot watch a set of descriptors");
        if (s->fd >= 0)
            close(s->fd);
        free(s);
        return NULL;
    }
    uv_poll_start(&s->uv, UV_READABLE, on_ready);
    return s;
}

void epoll_set_free(struct epoll_set *s)
{
    if (!s)
        return;
    int fd = s->fd;
    uv_close((uv_handle_t *)&s->uv, on_closed);
    close(fd);
}

bool epoll_set_change(struct epoll_set *s, int op, int fd, uint32_t events, uint64_t tag)
{
    struct epoll_event ev = { .events = events, .data.u64 = tag };
    return epoll_ctl(s->fd, op, fd, &ev) == 0;
}

int epoll_set_wait(struct epoll_set *s, struct epoll_event *events, int cap)
{
    return epoll_wait(s->fd, events, cap, 0);
}
