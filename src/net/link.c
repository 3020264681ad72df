/* Network links: ports, the wires between them, and what waits on a wire.
 *
 * Each direction of a link is a queue with one deliverer. Who sends while a delivery in the same
 * direction is on the stack only queues: the deliverer below finds the frame when it gets back to
 * its loop. So the stack is never deeper than the number of directions, whatever is wired to
 * whatever, and order is kept. A loop of hubs would keep that deliverer busy for ever: from within
 * a delivery only so many frames may be sent (STORM_BUDGET) until the outermost one returns; the
 * rest is dropped.
 *
 * The net owns its links, the ids of its ports, and the ports whose ops have `free`. */
#include "net/link.h"

#include "base/alloc.h"
#include "base/log.h"
#include "net/net_internal.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum {
    FRAME_MIN = 14,                /* an Ethernet header */
    STORM_BUDGET = 8192,           /* a full queue through a hub of 32 ports fits */
    ROOM_MARK = NET_QUEUE_MAX / 2, /* a held sender is called back at this length */
};

struct net *net_new(struct clock *clock)
{
    struct net *n = ALLOC(struct net);
    n->clock = clock;
    n->ports_tail = &n->ports;
    n->links_tail = &n->links;
    return n;
}

void net_set_trace(struct net *n, struct trace *t)
{
    n->trace = t;
}

void net_free(struct net *n)
{
    if (!n)
        return;
    assert(!n->depth);
    while (n->links)
        net_link_free(n->links);
    while (n->ports)
        net_port_remove(n->ports);
    net_hubs_free(n);
    free(n);
}

/* ---- ports ---- */

static char *make_id(struct net *n, const char *kind)
{
    for (unsigned i = 0;; i++) {
        char *id = alloc_printf("%s%u", kind, i);
        if (!net_port_find(n, id))
            return id;
        free(id);
    }
}

bool net_port_add(struct net *n, struct net_port *p, const char *id, struct error *err)
{
    struct net_port *other = id ? net_port_find(n, id) : NULL;
    if (other)
        return error_set(
            err, "network port \"%s\": there is one of kind %s with this id; choose another", id,
            other->ops->kind);
    p->id = id ? alloc_string(id) : make_id(n, p->ops->kind);
    p->net = n;
    p->link = NULL;
    p->next = NULL;
    *n->ports_tail = p;
    n->ports_tail = &p->next;
    return true;
}

static void unplug(struct net_link *l, const struct net_port *leaving);

void net_port_remove(struct net_port *p)
{
    struct net *n = p->net;
    if (!n)
        return;
    if (p->link)
        unplug(p->link, p);
    struct net_port **at = &n->ports;
    while (*at != p)
        at = &(*at)->next;
    *at = p->next;
    if (n->ports_tail == &p->next)
        n->ports_tail = at;
    free((char *)p->id);
    p->id = NULL;
    p->net = NULL;
    p->next = NULL;
    if (p->ops->free)
        p->ops->free(p);
}

struct net_port *net_port_find(struct net *n, const char *id)
{
    for (struct net_port *p = n->ports; p; p = p->next)
        if (!strcmp(p->id, id))
            return p;
    return NULL;
}

struct net_port *net_port_next(struct net *n, struct net_port *p)
{
    return p ? p->next : n->ports;
}

/* ---- links ---- */

static bool check_pluggable(const struct net_port *p, struct error *err)
{
    if (!p->link)
        return true;
    return error_set(err,
                     "network port \"%s\" is already plugged into link \"%s\"; "
                     "to join more than two ports use a hub",
                     p->id, p->link->name);
}

static void tell_link(struct net_port *p, bool up)
{
    if (p->ops->link_changed)
        p->ops->link_changed(p, up);
}

struct net_link *net_link_new(struct net *n, struct net_port *a, struct net_port *b,
                              const char *name, struct error *err)
{
    assert(a->net == n && b->net == n);
    if (a == b) {
        error_set(err, "network port \"%s\" cannot be linked with itself", a->id);
        return NULL;
    }
    if (!check_pluggable(a, err) || !check_pluggable(b, err))
        return NULL;
    char *own_name = name ? alloc_string(name) : alloc_printf("%s-%s", a->id, b->id);
    for (struct net_link *l = n->links; l; l = l->next)
        if (!strcmp(l->name, own_name)) {
            error_set(err, "network link \"%s\": there is one of this name; choose another",
                      own_name);
            free(own_name);
            return NULL;
        }
    struct net_link *l = ALLOC(struct net_link);
    *l = (struct net_link){ .net = n, .name = own_name, .port = { a, b }, .up = true };
    for (unsigned e = 0; e < 2; e++) {
        l->dir[e].last = &l->dir[e].first;
        l->port[e]->link = l;
        l->port[e]->end = e;
    }
    *n->links_tail = l;
    n->links_tail = &l->next;
    tell_link(a, true);
    tell_link(b, true);
    return l;
}

static void drop_queue(struct direction *d)
{
    while (d->first) {
        struct frame *f = d->first;
        d->first = f->next;
        free(f);
    }
    d->last = &d->first;
    d->stats.dropped += d->count;
    d->count = 0;
}

static void destroy(struct net_link *l)
{
    for (unsigned e = 0; e < 2; e++)
        free(l->dir[e].scratch);
    free(l->name);
    free(l);
}

/* Take the link away. `leaving` is a port about to vanish, which is told nothing any more. */
static void unplug(struct net_link *l, const struct net_port *leaving)
{
    struct net *n = l->net;
    struct net_link **at = &n->links;
    while (*at != l)
        at = &(*at)->next;
    *at = l->next;
    if (n->links_tail == &l->next)
        n->links_tail = at;
    l->dead = true;
    l->busy++;
    while (l->taps) {
        struct net_tap *t = l->taps;
        net_link_remove_tap(l, t);
        if (t->gone)
            t->gone(t->opaque);
    }
    for (unsigned e = 0; e < 2; e++) {
        drop_queue(&l->dir[e]);
        net_drop_held(&l->dir[e]);
        l->port[e]->link = NULL;
    }
    for (unsigned e = 0; e < 2; e++) {
        bool waits = l->dir[e].sender_waits;
        n->waiting -= waits;
        l->dir[e].sender_waits = false;
        struct net_port *p = l->port[e];
        if (p == leaving)
            continue;
        tell_link(p, false);
        if (waits && p->ops->can_send)
            p->ops->can_send(p);
    }
    if (!--l->busy)
        destroy(l);
}

void net_link_free(struct net_link *l)
{
    if (l)
        unplug(l, NULL);
}

struct net_link *net_link_next(struct net *n, struct net_link *l)
{
    return l ? l->next : n->links;
}

const char *net_link_name(const struct net_link *l)
{
    return l->name;
}

struct net_port *net_link_port(const struct net_link *l, unsigned end)
{
    return l->port[end];
}

bool net_link_is_up(const struct net_link *l)
{
    return l->up;
}

struct net_link_stats net_link_stats(const struct net_link *l, unsigned end)
{
    return l->dir[end].stats;
}

bool net_has_outside(const struct net *n)
{
    for (const struct net_link *l = n->links; l; l = l->next)
        if (l->port[0]->outside || l->port[1]->outside)
            return true;
    return false;
}

/* ---- frames ---- */

static struct trace_source link_source(const struct net_link *l)
{
    return (struct trace_source){ l->net->trace, l->name };
}

static void trace_drop(const struct net_link *l, unsigned from, size_t len, const char *reason)
{
    TRACE(link_trace, LINK_TRACE_DROP, link_source(l), trace_text(l->port[from]->id), len,
          trace_text(reason));
}

static void deliver(struct net_link *l, unsigned from, struct net_mark mark, const uint8_t *data,
                    size_t len)
{
    struct direction *d = &l->dir[from];
    enum net_verdict verdict = l->taps ? net_run_taps(l, from, mark, &data, &len) : NET_PASS;
    if (verdict != NET_PASS) {
        d->stats.dropped += verdict == NET_DROP;
        if (verdict == NET_DROP)
            trace_drop(l, from, len, "tap");
        return;
    }
    d->stats.frames++;
    d->stats.bytes += len;
    struct net_port *to = l->port[!from];
    TRACE(link_trace, LINK_TRACE_FRAME, link_source(l), trace_text(l->port[from]->id),
          trace_text(to->id), len);
    if (l->dead)
        return; /* who was told took it away */
    to->ops->receive(to, data, len);
}

static bool takes_now(struct net_link *l, unsigned from)
{
    struct net_port *to = l->port[!from];
    return !to->ops->can_receive || to->ops->can_receive(to);
}

static void tell_room(struct net_link *l, unsigned from)
{
    struct direction *d = &l->dir[from];
    struct net_port *p = l->port[from];
    d->sender_waits = false;
    l->net->waiting--;
    if (p->ops->can_send)
        p->ops->can_send(p);
}

/* Call one sender that waits and has room now; false if there is none. */
static bool tell_one(struct net *n)
{
    for (struct net_link *l = n->links; l; l = l->next)
        for (unsigned e = 0; e < 2; e++)
            if (l->dir[e].sender_waits && l->dir[e].count <= ROOM_MARK) {
                tell_room(l, e);
                return true;
            }
    return false;
}

static void begin_delivery(struct net_link *l, unsigned from)
{
    struct net *n = l->net;
    if (!n->depth++)
        n->budget = STORM_BUDGET;
    l->busy++;
    l->dir[from].delivering = true;
}

/* Senders are called back by the outermost delivery alone, one after the other: what they send then
 * counts against its budget, and they cannot call each other back in turns, ever deeper. */
static void end_delivery(struct net_link *l, unsigned from)
{
    struct net *n = l->net;
    l->dir[from].delivering = false;
    if (!--l->busy && l->dead)
        destroy(l);
    while (n->depth == 1 && n->waiting && tell_one(n))
        ;
    n->depth--;
}

/* Deliver what waits, as far as the receiver takes it. */
static void deliver_queue(struct net_link *l, unsigned from)
{
    struct direction *d = &l->dir[from];
    while (d->count && takes_now(l, from)) {
        struct frame *f = d->first;
        d->first = f->next;
        if (!d->first)
            d->last = &d->first;
        d->count--;
        deliver(l, from, f->mark, f->data, f->len);
        free(f);
    }
}

static void pump(struct net_link *l, unsigned from)
{
    if (l->dir[from].delivering || !l->dir[from].count)
        return;
    begin_delivery(l, from);
    deliver_queue(l, from);
    end_delivery(l, from);
}

/* False: there is no room. */
static bool enqueue(struct direction *d, struct net_mark mark, const uint8_t *data, size_t len)
{
    if (d->count >= NET_QUEUE_MAX) {
        d->stats.dropped++;
        return false;
    }
    struct frame *f = alloc_resize(NULL, 1, sizeof *f + len);
    f->next = NULL;
    f->mark = mark;
    f->len = len;
    memcpy(f->data, data, len);
    *d->last = f;
    d->last = &f->next;
    d->count++;
    return true;
}

static bool within_budget(struct net *n, const struct net_link *l)
{
    if (!n->depth)
        return true;
    if (n->budget) {
        n->budget--;
        return true;
    }
    if (!n->storm_logged)
        log_host(LOG_WARN, "net", "frames go round in a loop of hubs; dropping them on link \"%s\"",
                 l->name);
    n->storm_logged = true;
    return false;
}

void net_send_marked(struct net_link *l, unsigned from, struct net_mark mark, const uint8_t *frame,
                     size_t len)
{
    struct direction *d = &l->dir[from];
    if (!l->up || len < FRAME_MIN || len > NET_FRAME_MAX || !within_budget(l->net, l)) {
        d->stats.dropped++;
        trace_drop(l, from, len, l->up ? "size" : "down");
        return;
    }
    if (d->delivering || d->count || !takes_now(l, from)) {
        l->busy++;
        if (enqueue(d, mark, frame, len))
            TRACE(link_trace, LINK_TRACE_QUEUE, link_source(l), trace_text(l->port[from]->id), len,
                  d->count);
        else
            trace_drop(l, from, len, "queue-full");
        pump(l, from);
        if (!--l->busy && l->dead)
            destroy(l);
        return;
    }
    begin_delivery(l, from);
    deliver(l, from, mark, frame, len);
    deliver_queue(l, from); /* what was sent meanwhile */
    end_delivery(l, from);
}

void net_port_send(struct net_port *p, const uint8_t *frame, size_t len)
{
    if (p->link)
        net_send_marked(p->link, p->end, (struct net_mark){ 0 }, frame, len);
}

bool net_port_can_send(struct net_port *p)
{
    if (!p->link || !p->link->up)
        return true;
    struct direction *d = &p->link->dir[p->end];
    if (d->count < NET_QUEUE_MAX)
        return true;
    if (!d->sender_waits)
        p->net->waiting++;
    d->sender_waits = true;
    return false;
}

void net_port_ready(struct net_port *p)
{
    if (p->link)
        pump(p->link, !p->end);
}

void net_link_set_up(struct net_link *l, bool up)
{
    if (l->up == up)
        return;
    l->up = up;
    l->busy++;
    TRACE(link_trace, LINK_TRACE_UP, link_source(l), up);
    for (unsigned e = 0; e < 2 && !up; e++) {
        drop_queue(&l->dir[e]);
        net_drop_held(&l->dir[e]);
    }
    for (unsigned e = 0; e < 2 && !l->dead; e++)
        tell_link(l->port[e], up);
    for (unsigned e = 0; e < 2 && !l->dead; e++)
        if (l->dir[e].sender_waits && l->dir[e].count <= ROOM_MARK)
            tell_room(l, e);
    if (!--l->busy && l->dead)
        destroy(l);
}
