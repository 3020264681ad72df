/* A wire between machines, as one machine's network sees it: a port whose far end is somebody
 * else's. What travels there, and when it arrives, is src/vm/cluster_link.c's. */
#include "net/backends.h"

#include "base/alloc.h"

#include <assert.h>
#include <stdlib.h>

struct net_wire {
    struct net_port port; /* must stay the first member */
    const struct net_wire_end *end;
};

static struct net_wire *to_wire(const struct net_port *p)
{
    assert(net_port_is_wire(p));
    return (struct net_wire *)p;
}

static void wire_receive(struct net_port *p, const uint8_t *frame, size_t len)
{
    const struct net_wire_end *end = to_wire(p)->end;
    if (end)
        end->frame(end->opaque, frame, len);
}

static void wire_free(struct net_port *p)
{
    struct net_wire *w = to_wire(p);
    if (w->end && w->end->gone)
        w->end->gone(w->end->opaque);
    free(w);
}

static const struct net_port_ops wire_ops = {
    .kind = "wire",
    .receive = wire_receive,
    .free = wire_free,
};

struct net_port *net_wire_new(struct net *n, const char *id, struct error *err)
{
    struct net_wire *w = ALLOC(struct net_wire);
    w->port.ops = &wire_ops;
    if (!net_port_add(n, &w->port, id, err)) {
        free(w);
        return NULL;
    }
    return &w->port;
}

bool net_port_is_wire(const struct net_port *p)
{
    return p->ops == &wire_ops;
}

const struct net_wire_end *net_wire_end(const struct net_port *p)
{
    return to_wire(p)->end;
}

void net_wire_join(struct net_port *p, const struct net_wire_end *end)
{
    to_wire(p)->end = end;
}
