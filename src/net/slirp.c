/* User networking: libslirp behind a port.
 *
 * Frames from the guest go into slirp at once, on the thread that executes the guest. What slirp
 * sends to the guest goes through the door and enters between two instructions; if the link is full
 * then, it waits in a backlog until the link has room. The machine lock is what keeps slirp, which
 * knows no threads, in one piece.
 *
 * Descriptors: one epoll set, watched by the loop as one descriptor. After every activity slirp is
 * asked again what it waits for, and the set is brought up to date right there, on whatever thread:
 * a set can be changed while the loop waits on it, so the loop need not be woken. slirp's wishes
 * for a time go to a timer of the virtual clock, which is slirp's clock.
 *
 * Back-pressure: slirp drops what its receiver cannot take. So while too many frames wait on the
 * way to the guest, its sockets are not watched for input, and the senders on the host are held
 * back by TCP. */
#include "net/backends.h"

#include "base/alloc.h"
#include "base/bits.h"
#include "base/log.h"
#include "loop/epoll_set.h"
#include "net/hostfwd.h"
#include "net/net_internal.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <slirp/libslirp.h>
#include <stdlib.h>
#include <string.h>

enum {
    HOLD_MARK = 128,    /* frames on the way to the guest above which sockets are not read */
    RESUME_MARK = 32,   /* and at or below which they are again */
    BACKLOG_MAX = 4096, /* frames; more than slirp's own buffers give for a handful of sockets */
    IDLE_MS = 1000,     /* what slirp answers when it waits for no time */
    EVENTS_AT_ONCE = 64,
    MS = 1000000, /* nanoseconds */
};

#define NET_10_0_2(host) htonl(0x0a000200 | (host))

struct watched {
    int fd;
    uint32_t events;  /* EPOLL*: wanted */
    uint32_t revents; /* SLIRP_POLL_*: came */
};

struct watch_list {
    struct watched *item;
    size_t count, capacity;
};

struct backlog_frame {
    struct backlog_frame *next;
    size_t len;
    uint8_t data[];
};

struct user_net {
    struct net_port port; /* must stay the first member */
    Slirp *slirp;
    struct clock *clock;
    struct timer timeout;
    struct door_source door;
    char *door_name;
    struct epoll_set *set;
    struct watch_list watched, wanted; /* what the set holds; what slirp asks for now */
    bool rebuild;                      /* a descriptor came or went: one may have been reused */
    bool busy;                         /* slirp is on the stack */
    sigset_t signals;                  /* ... and what was blocked before */
    bool held;                         /* its sockets are not read */
    size_t posted;                     /* frames in the door */
    struct backlog_frame *backlog, **backlog_last;
    size_t backlog_count;
    struct hostfwd *rules;
    size_t rule_count, rule_capacity;
};

struct slirp_timer {
    struct timer timer;
    struct user_net *user;
    SlirpTimerId id;
    void *cb_opaque;
};

static struct user_net *to_user(struct net_port *p)
{
    return (struct user_net *)p;
}

/* ---- descriptors ---- */

static uint32_t to_epoll(int slirp_events)
{
    return (slirp_events & SLIRP_POLL_IN ? EPOLLIN : 0) |
           (slirp_events & SLIRP_POLL_OUT ? EPOLLOUT : 0) |
           (slirp_events & SLIRP_POLL_PRI ? EPOLLPRI : 0);
}

static uint32_t from_epoll(uint32_t events)
{
    return (events & EPOLLIN ? SLIRP_POLL_IN : 0) | (events & EPOLLOUT ? SLIRP_POLL_OUT : 0) |
           (events & EPOLLPRI ? SLIRP_POLL_PRI : 0) | (events & EPOLLERR ? SLIRP_POLL_ERR : 0) |
           (events & EPOLLHUP ? SLIRP_POLL_HUP : 0);
}

static int add_poll(int fd, int events, void *opaque)
{
    struct user_net *u = opaque;
    uint32_t e = to_epoll(events);
    if (u->held)
        e &= ~(uint32_t)(EPOLLIN | EPOLLPRI);
    if (!e)
        return -1; /* slirp: not watched this time */
    struct watch_list *w = &u->wanted;
    ALLOC_GROW(w->item, w->count, w->capacity);
    w->item[w->count] = (struct watched){ .fd = fd, .events = e };
    return (int)w->count++;
}

static int get_revents(int index, void *opaque)
{
    struct user_net *u = opaque;
    return index >= 0 && (size_t)index < u->watched.count ? (int)u->watched.item[index].revents : 0;
}

static bool set_member(struct user_net *u, int op, size_t index)
{
    const struct watched *w = &u->wanted.item[index];
    return epoll_set_change(u->set, op, w->fd, w->events, index);
}

/* Change the events of those descriptors that stayed. False: the set is not what we think it is. */
static bool adjust_set(struct user_net *u)
{
    if (u->rebuild || u->wanted.count != u->watched.count)
        return false;
    for (size_t i = 0; i < u->wanted.count; i++)
        if (u->wanted.item[i].fd != u->watched.item[i].fd)
            return false;
    for (size_t i = 0; i < u->wanted.count; i++)
        if (u->wanted.item[i].events != u->watched.item[i].events &&
            !set_member(u, EPOLL_CTL_MOD, i))
            return false;
    return true;
}

static void rebuild_set(struct user_net *u)
{
    /* Those that were closed are gone from the set already; that the call fails then is right. */
    for (size_t i = 0; i < u->watched.count; i++)
        epoll_set_change(u->set, EPOLL_CTL_DEL, u->watched.item[i].fd, 0, 0);
    for (size_t i = 0; i < u->wanted.count; i++)
        if (!set_member(u, EPOLL_CTL_ADD, i))
            log_host(LOG_ERROR, u->port.id, "cannot watch a socket of slirp: %s", strerror(errno));
    u->rebuild = false;
}

static size_t on_the_way(const struct user_net *u)
{
    return u->posted + u->backlog_count;
}

static struct trace_source slirp_source(const struct user_net *u)
{
    return (struct trace_source){ u->port.net->trace, u->port.id };
}

static void decide_hold(struct user_net *u)
{
    size_t n = on_the_way(u);
    if (u->held ? n <= RESUME_MARK : n > HOLD_MARK)
        TRACE(slirp_trace, SLIRP_TRACE_HOLD, slirp_source(u), !u->held, n);
    if (n > HOLD_MARK)
        u->held = true;
    else if (n <= RESUME_MARK)
        u->held = false;
}

/* Ask slirp what it waits for now. */
static void refill(struct user_net *u)
{
    decide_hold(u);
    uint32_t ms = UINT32_MAX;
    u->wanted.count = 0;
    slirp_pollfds_fill(u->slirp, &ms, add_poll, u);
    if (!adjust_set(u))
        rebuild_set(u);
    struct watch_list old = u->watched;
    u->watched = u->wanted;
    u->wanted = old;
    if (ms >= IDLE_MS) {
        timer_cancel(&u->timeout);
        return;
    }
    int64_t deadline = clock_now(u->clock) + (int64_t)ms * MS;
    if (!timer_is_set(&u->timeout) || u->timeout.deadline > deadline)
        timer_set(&u->timeout, deadline);
}

static sigset_t sigpipe(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGPIPE);
    return set;
}

/* libslirp writes to its sockets by plain send(): a peer that has closed its end would end the
 * process. The signal goes to the thread that writes, so that it can be kept off here. */
static void mark_busy(struct user_net *u)
{
    sigset_t set = sigpipe();
    assert(!u->busy);
    u->busy = true;
    pthread_sigmask(SIG_BLOCK, &set, &u->signals);
}

static void mark_idle(struct user_net *u)
{
    sigset_t set = sigpipe();
    if (!sigismember(&u->signals, SIGPIPE)) {
        while (sigtimedwait(&set, NULL, &(struct timespec){ 0 }) == -1 && errno == EINTR)
            ;
        pthread_sigmask(SIG_SETMASK, &u->signals, NULL);
    }
    u->busy = false;
}

/* Everything that calls into slirp stands between these two. slirp learns the time only from a
 * poll, and sends what waited for an address only there: so there is one without descriptors before
 * and after. */
static void enter_slirp(struct user_net *u)
{
    mark_busy(u);
    slirp_pollfds_poll(u->slirp, 1, get_revents, u);
}

static void leave_slirp(struct user_net *u)
{
    slirp_pollfds_poll(u->slirp, 1, get_revents, u);
    refill(u);
    mark_idle(u);
}

static void on_timeout(void *opaque)
{
    struct user_net *u = opaque;
    enter_slirp(u);
    leave_slirp(u);
}

static void on_ready(void *opaque)
{
    struct user_net *u = opaque;
    struct epoll_event ev[EVENTS_AT_ONCE];
    int n = epoll_set_wait(u->set, ev, EVENTS_AT_ONCE);
    for (int i = 0; i < n; i++)
        if (ev[i].data.u64 < u->watched.count)
            u->watched.item[ev[i].data.u64].revents = from_epoll(ev[i].events);
    mark_busy(u);
    slirp_pollfds_poll(u->slirp, 0, get_revents, u);
    refill(u);
    mark_idle(u);
}

/* ---- towards the guest ---- */

/* slirp acknowledges every segment. Of a burst that the guest has sent at once, it is told what the
 * last one says, as by a host whose card puts segments together (RFC 3449 5.2.1): some thousand
 * instructions less for each of the others. */
static bool renew_ack(struct user_net *u, const void *frame, size_t len)
{
    size_t older_len;
    uint8_t *older = door_newest(&u->door, &older_len);
    if (!older || !net_ack_supersedes(frame, len, older, older_len))
        return false;
    memcpy(older, frame, len);
    return true;
}

static ssize_t send_packet(const void *frame, size_t len, void *opaque)
{
    struct user_net *u = opaque;
    if (renew_ack(u, frame, len))
        return (ssize_t)len;
    if (on_the_way(u) < BACKLOG_MAX) {
        u->posted++;
        door_post(&u->door, frame, len);
    }
    return (ssize_t)len;
}

static void send_backlog(struct user_net *u)
{
    while (u->backlog && net_port_can_send(&u->port)) {
        struct backlog_frame *f = u->backlog;
        u->backlog = f->next;
        if (!u->backlog)
            u->backlog_last = &u->backlog;
        u->backlog_count--;
        net_port_send(&u->port, f->data, f->len);
        free(f);
    }
}

/* Frames have left: slirp's sockets may be read again. Not from within slirp, which asks anyhow. */
static void maybe_resume(struct user_net *u)
{
    if (u->held && !u->busy && on_the_way(u) <= RESUME_MARK)
        refill(u);
}

static void frame_enters(void *opaque, const void *data, size_t len)
{
    struct user_net *u = opaque;
    u->posted--;
    TRACE(slirp_trace, SLIRP_TRACE_TO_GUEST, slirp_source(u), len, on_the_way(u));
    if (!u->backlog && net_port_can_send(&u->port)) {
        net_port_send(&u->port, data, len);
    } else {
        struct backlog_frame *f = alloc_resize(NULL, 1, sizeof *f + len);
        f->next = NULL;
        f->len = len;
        memcpy(f->data, data, len);
        *u->backlog_last = f;
        u->backlog_last = &f->next;
        u->backlog_count++;
    }
    maybe_resume(u);
}

static void user_can_send(struct net_port *p)
{
    struct user_net *u = to_user(p);
    send_backlog(u);
    maybe_resume(u);
}

/* ---- from the guest ---- */

static void user_receive(struct net_port *p, const uint8_t *frame, size_t len)
{
    struct user_net *u = to_user(p);
    TRACE(slirp_trace, SLIRP_TRACE_FROM_GUEST, slirp_source(u), len);
    enter_slirp(u);
    slirp_input(u->slirp, frame, (int)len);
    leave_slirp(u);
}

/* ---- what slirp asks of us ---- */

static void guest_error(const char *msg, void *opaque)
{
    struct user_net *u = opaque;
    log_guest(u->port.id, "slirp: %s", msg);
}

static int64_t clock_get_ns(void *opaque)
{
    struct user_net *u = opaque;
    return clock_now(u->clock);
}

static void slirp_timer_fires(void *opaque)
{
    struct slirp_timer *t = opaque;
    enter_slirp(t->user);
    slirp_handle_timer(t->user->slirp, t->id, t->cb_opaque);
    leave_slirp(t->user);
}

static void *timer_new_opaque(SlirpTimerId id, void *cb_opaque, void *opaque)
{
    struct user_net *u = opaque;
    struct slirp_timer *t = ALLOC(struct slirp_timer);
    t->user = u;
    t->id = id;
    t->cb_opaque = cb_opaque;
    timer_init(&t->timer, u->clock, slirp_timer_fires, t);
    return t;
}

static void timer_free(void *timer, void *opaque)
{
    (void)opaque;
    struct slirp_timer *t = timer;
    timer_cancel(&t->timer);
    free(t);
}

static void timer_mod(void *timer, int64_t expire_ms, void *opaque)
{
    (void)opaque;
    struct slirp_timer *t = timer;
    timer_set(&t->timer, expire_ms * MS);
}

static void fd_comes(int fd, void *opaque)
{
    (void)fd;
    struct user_net *u = opaque;
    u->rebuild = true;
}

/* Called before the descriptor is closed. */
static void fd_goes(int fd, void *opaque)
{
    struct user_net *u = opaque;
    epoll_set_change(u->set, EPOLL_CTL_DEL, fd, 0, 0);
    u->rebuild = true;
}

/* A TCP buffer has room again: the refill that follows every activity sees it. */
static void notify(void *opaque)
{
    (void)opaque;
}

static const SlirpCb callbacks = {
    .send_packet = send_packet,
    .guest_error = guest_error,
    .clock_get_ns = clock_get_ns,
    .timer_free = timer_free,
    .timer_mod = timer_mod,
    .register_poll_fd = fd_comes,
    .unregister_poll_fd = fd_goes,
    .notify = notify,
    .timer_new_opaque = timer_new_opaque,
};

/* ---- forwarding ---- */

static struct hostfwd *find_rule(struct user_net *u, const struct hostfwd *r)
{
    for (size_t i = 0; i < u->rule_count; i++)
        if (u->rules[i].udp == r->udp && u->rules[i].host_port == r->host_port &&
            u->rules[i].host.s_addr == r->host.s_addr)
            return &u->rules[i];
    return NULL;
}

bool net_slirp_hostfwd_add(struct net_port *p, const char *rule, struct error *err)
{
    struct user_net *u = to_user(p);
    struct hostfwd r;
    if (!hostfwd_parse(rule, true, &r, err))
        return false;
    char where[HOSTFWD_TEXT];
    hostfwd_format_host(&r, where);
    if (find_rule(u, &r))
        return error_set(err,
                         "hostfwd \"%s\": network \"%s\" forwards %s already; "
                         "choose another host port",
                         rule, p->id, where);
    enter_slirp(u);
    bool failed =
        slirp_add_hostfwd(u->slirp, r.udp, r.host, r.host_port, r.guest, r.guest_port) < 0;
    int e = errno;
    leave_slirp(u);
    if (failed)
        return error_set_host(err, e, "hostfwd \"%s\": cannot listen on %s", rule, where);
    ALLOC_GROW(u->rules, u->rule_count, u->rule_capacity);
    u->rules[u->rule_count++] = r;
    return true;
}

bool net_slirp_hostfwd_remove(struct net_port *p, const char *rule, struct error *err)
{
    struct user_net *u = to_user(p);
    struct hostfwd r;
    if (!hostfwd_parse(rule, false, &r, err))
        return false;
    struct hostfwd *found = find_rule(u, &r);
    if (!found) {
        char where[HOSTFWD_TEXT];
        hostfwd_format_host(&r, where);
        return error_set(err, "hostfwd \"%s\": network \"%s\" does not forward %s", rule, p->id,
                         where);
    }
    enter_slirp(u);
    slirp_remove_hostfwd(u->slirp, r.udp, r.host, r.host_port);
    leave_slirp(u);
    *found = u->rules[--u->rule_count];
    return true;
}

/* ---- life ---- */

static void user_free(struct net_port *p)
{
    struct user_net *u = to_user(p);
    timer_cancel(&u->timeout);
    mark_busy(u);
    if (u->slirp)
        slirp_cleanup(u->slirp);
    mark_idle(u);
    door_source_fini(&u->door);
    epoll_set_free(u->set);
    while (u->backlog) {
        struct backlog_frame *f = u->backlog;
        u->backlog = f->next;
        free(f);
    }
    free(u->door_name);
    free(u->watched.item);
    free(u->wanted.item);
    free(u->rules);
    free(u);
}

static const struct net_port_ops user_ops = {
    .kind = "user",
    .receive = user_receive,
    .can_send = user_can_send,
    .free = user_free,
};

static Slirp *new_slirp(struct user_net *u, bool restricted)
{
    SlirpConfig cfg = {
        .version = 4,
        .restricted = restricted,
        .in_enabled = true,
        .vnetwork.s_addr = NET_10_0_2(0),
        .vnetmask.s_addr = htonl(0xffffff00),
        .vhost.s_addr = NET_10_0_2(2),
        .vnameserver.s_addr = NET_10_0_2(3),
        .vdhcp_start.s_addr = NET_10_0_2(15),
    };
    return slirp_new(&cfg, &callbacks, u);
}

struct net_port *net_slirp_new(struct net *n, struct loop *loop, struct clock *virtual,
                               struct door *door, const struct slirp_config *config,
                               struct error *err)
{
    struct user_net *u = ALLOC(struct user_net);
    u->port.ops = &user_ops;
    u->port.outside = true;
    u->clock = virtual;
    u->backlog_last = &u->backlog;
    timer_init(&u->timeout, virtual, on_timeout, u);
    u->set = epoll_set_new(loop, on_ready, u, err);
    if (!u->set || !net_port_add(n, &u->port, config->id, err)) {
        epoll_set_free(u->set);
        free(u);
        return NULL;
    }
    u->door_name = alloc_printf("net/%s", u->port.id);
    door_source_init(&u->door, door, u->door_name, frame_enters, u);
    u->slirp = new_slirp(u, config->restricted);
    if (!u->slirp) {
        error_set_host(err, 0, "network \"%s\": libslirp %s refuses to start", u->port.id,
                       slirp_version_string());
        net_port_remove(&u->port);
        return NULL;
    }
    for (size_t i = 0; i < config->hostfwd_count; i++)
        if (!net_slirp_hostfwd_add(&u->port, config->hostfwd[i], err)) {
            net_port_remove(&u->port);
            return NULL;
        }
    return &u->port;
}

const char *net_slirp_version(void)
{
    return slirp_version_string();
}
