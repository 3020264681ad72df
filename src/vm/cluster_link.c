/* Links of a cluster: frames on their way from one member to others.
 *
 * A frame is put into the inbox of each receiver as it is sent, and the inbox is made known to the
 * receiver's clock at the horizon, when it stands still. It cannot be late: a latency is no shorter
 * than a quantum. Members that run at the same time put frames in in any order, so the inbox is
 * sorted by what does not depend on it. */
#include "vm/cluster_internal.h"

#include "base/alloc.h"
#include "net/backends.h"

#include <stdlib.h>
#include <string.h>

/* A sender may have so much under way: more is dropped. Counted by the sender's clock, in windows
 * as long as the latency. */
#define WINDOW_BYTES (64u << 20)

struct cluster_plug {
    struct cluster_link *link;
    struct cluster_member *member;
    struct net_port *wire;
    struct net_wire_end end;
    int64_t window; /* when it began */
    size_t window_bytes;
    struct cluster_plug *next;
};

struct cluster_link {
    struct cluster *cluster;
    char *name;
    int64_t latency_ns;
    bool up;
    struct cluster_plug *plugs;
    struct net_link_stats stats;
    struct cluster_link *next;
};

/* ---- frames ---- */

static bool precedes(const struct cluster_frame *a, const struct cluster_frame *b)
{
    if (a->arrival != b->arrival)
        return a->arrival < b->arrival;
    return a->sender != b->sender ? a->sender < b->sender : a->sequence < b->sequence;
}

static void put(struct cluster_member *m, struct cluster_frame *f)
{
    struct cluster_frame **at = &m->inbox;
    while (*at && !precedes(f, *at))
        at = &(*at)->next;
    f->next = *at;
    *at = f;
}

static void drop(struct cluster_frame **at)
{
    struct cluster_frame *f = *at;
    *at = f->next;
    f->to->link->stats.dropped++;
    free(f);
}

static void arm(struct cluster_member *m)
{
    if (!m->inbox)
        timer_cancel(&m->arrival);
    else if (m->arrival.deadline != m->inbox->arrival)
        timer_set_first(&m->arrival, m->inbox->arrival);
}

void cluster_exchange(struct cluster *c)
{
    for (struct cluster_member *m = c->members; m; m = m->next) {
        while (m->inbox && m->vm->state == VM_ENDED)
            drop(&m->inbox);
        arm(m);
    }
}

/* On the receiver's thread, at the time of the first. */
void cluster_arrival(void *opaque)
{
    struct cluster_member *m = opaque;
    int64_t now = clock_now(&m->vm->machine.virtual);
    while (m->inbox && m->inbox->arrival <= now) {
        struct cluster_frame *f = m->inbox;
        m->inbox = f->next;
        net_port_send(f->to->wire, f->data, f->len);
        free(f);
    }
    arm(m);
}

static bool within_window(struct cluster_plug *p, int64_t now, size_t len)
{
    if (now - p->window >= p->link->latency_ns) {
        p->window = now;
        p->window_bytes = 0;
    }
    p->window_bytes += len;
    return p->window_bytes <= WINDOW_BYTES;
}

static void on_frame(void *opaque, const uint8_t *data, size_t len)
{
    struct cluster_plug *p = opaque;
    struct cluster_link *l = p->link;
    struct cluster *c = l->cluster;
    int64_t now = clock_now(&p->member->vm->machine.virtual), arrival = now + l->latency_ns;
    l->stats.frames++;
    l->stats.bytes += len;
    if (!l->up || !within_window(p, now, len)) {
        l->stats.dropped++;
        return;
    }
    /* What a script sends while its machine stands still may be behind; nobody gets it in the past.
     */
    if (arrival < c->horizon)
        arrival = c->horizon;
    p->member->sent++;
    for (struct cluster_plug *to = l->plugs; to; to = to->next) {
        if (to == p)
            continue;
        struct cluster_frame *f = alloc_resize(NULL, 1, sizeof *f + len);
        f->arrival = arrival;
        f->sender = p->member->index;
        f->sequence = p->member->sent;
        f->to = to;
        f->len = len;
        memcpy(f->data, data, len);
        put(to->member, f);
    }
}

/* ---- plugs ---- */

/* Take a plug out; the wire is told, or on its way out itself. */
static void unplug(struct cluster_plug *p)
{
    struct cluster_link *l = p->link;
    for (struct cluster_frame **at = &p->member->inbox; *at;) {
        if ((*at)->to == p)
            drop(at);
        else
            at = &(*at)->next;
    }
    struct cluster_plug **at = &l->plugs;
    while (*at != p)
        at = &(*at)->next;
    *at = p->next;
    net_wire_join(p->wire, NULL);
    free(p);
}

static void on_gone(void *opaque)
{
    unplug(opaque);
}

void cluster_unplug(struct cluster_member *m)
{
    for (struct cluster_link *l = m->cluster->links; l; l = l->next)
        for (struct cluster_plug *p = l->plugs, *next; p; p = next) {
            next = p->next;
            if (p->member == m)
                unplug(p);
        }
    timer_cancel(&m->arrival);
}

static struct cluster_member *member_of(struct cluster *c, const struct net_port *wire)
{
    struct cluster_member *m = c->members;
    while (m && m->vm->net != wire->net)
        m = m->next;
    return m;
}

static bool check_wire(struct cluster *c, const struct net_port *wire, struct error *err)
{
    if (!net_port_is_wire(wire))
        return error_set(
            err,
            "cluster \"%s\": network port \"%s\" is of kind %s; between machines wires "
            "are joined, which nic=wire makes",
            c->name, wire->id, wire->ops->kind);
    if (!member_of(c, wire))
        return error_set(err, "cluster \"%s\": wire \"%s\" is of a machine that is no member",
                         c->name, wire->id);
    const struct net_wire_end *end = net_wire_end(wire);
    if (end)
        return error_set(err,
                         "cluster \"%s\": wire \"%s\" of machine \"%s\" is joined to \"%s\" "
                         "already",
                         c->name, wire->id, vm_name(member_of(c, wire)->vm), end->name);
    return true;
}

static void plug(struct cluster_link *l, struct net_port *wire)
{
    struct cluster_plug *p = ALLOC(struct cluster_plug), **at = &l->plugs;
    *p = (struct cluster_plug){ .link = l, .wire = wire };
    p->member = member_of(l->cluster, wire);
    p->end = (struct net_wire_end){ l->name, on_frame, on_gone, p };
    while (*at)
        at = &(*at)->next;
    *at = p;
    net_wire_join(wire, &p->end);
}

/* ---- links ---- */

static struct cluster_link *find(struct cluster *c, const char *name)
{
    struct cluster_link *l = c->links;
    while (l && strcmp(l->name, name))
        l = l->next;
    return l;
}

static bool check_link(struct cluster *c, const char *name, int64_t latency_ns,
                       struct net_port *const *wires, size_t count, struct error *err)
{
    if (count < 2)
        return error_set(err, "cluster \"%s\": a link needs two wires or more", c->name);
    if (name && find(c, name))
        return error_set(err, "cluster \"%s\": there is a link \"%s\" already; choose another name",
                         c->name, name);
    if (latency_ns && latency_ns < c->latency_ns)
        return error_set(err,
                         "cluster \"%s\": a latency of %lld ns is less than the cluster's %lld ns, "
                         "which is the least that a link may have",
                         c->name, (long long)latency_ns, (long long)c->latency_ns);
    for (size_t n = 0; n < count; n++) {
        if (!check_wire(c, wires[n], err))
            return false;
        for (size_t other = 0; other < n; other++)
            if (wires[other] == wires[n])
                return error_set(err, "cluster \"%s\": wire \"%s\" is named twice", c->name,
                                 wires[n]->id);
    }
    return true;
}

struct cluster_link *cluster_link_new(struct cluster *c, const char *name, int64_t latency_ns,
                                      struct net_port *const *wires, size_t count,
                                      struct error *err)
{
    if (!check_link(c, name, latency_ns, wires, count, err))
        return NULL;
    struct cluster_link *l = ALLOC(struct cluster_link);
    l->cluster = c;
    l->latency_ns = latency_ns ? latency_ns : c->latency_ns;
    l->up = true;
    do {
        free(l->name);
        l->name = name ? alloc_string(name)
                       : alloc_printf("%s%u", count == 2 ? "link" : "hub", c->links_made++);
    } while (find(c, l->name));
    *c->links_tail = l;
    c->links_tail = &l->next;
    for (size_t n = 0; n < count; n++)
        plug(l, wires[n]);
    return l;
}

void cluster_link_free(struct cluster_link *l)
{
    if (!l)
        return;
    struct cluster *c = l->cluster;
    while (l->plugs)
        unplug(l->plugs);
    struct cluster_link **at = &c->links;
    while (*at != l)
        at = &(*at)->next;
    *at = l->next;
    if (c->links_tail == &l->next)
        c->links_tail = at;
    free(l->name);
    free(l);
}

struct cluster_link *cluster_link_next(struct cluster *c, struct cluster_link *l)
{
    return l ? l->next : c->links;
}

const char *cluster_link_name(const struct cluster_link *l)
{
    return l->name;
}

int64_t cluster_link_latency(const struct cluster_link *l)
{
    return l->latency_ns;
}

void cluster_link_set_up(struct cluster_link *l, bool up)
{
    l->up = up;
}

bool cluster_link_is_up(const struct cluster_link *l)
{
    return l->up;
}

struct net_port *cluster_link_wire(const struct cluster_link *l, unsigned n)
{
    const struct cluster_plug *p = l->plugs;
    while (p && n--)
        p = p->next;
    return p ? p->wire : NULL;
}

struct net_link_stats cluster_link_stats(const struct cluster_link *l)
{
    return l->stats;
}
