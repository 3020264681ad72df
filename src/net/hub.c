/* Hubs: what comes in at one port goes out of all the others.
 *
 * A hub takes a frame as long as one of its other ports has room for it, so that one guest that
 * does not listen cannot silence the rest; the deaf one's wire fills up and then drops. The net
 * owns the hub, and its ports with it. */
#include "net/backends.h"

#include "base/alloc.h"
#include "net/net_internal.h"

#include <stdlib.h>
#include <string.h>

struct hub_port {
    struct net_port port; /* must stay the first member */
    struct net_hub *hub;
    struct hub_port *next;
};

struct net_hub {
    char *id;
    struct net *net;
    struct hub_port *ports, **ports_tail;
    unsigned made; /* ports ever made: the next one's number */
    struct net_hub *next;
};

static struct hub_port *to_hub_port(struct net_port *p)
{
    return (struct hub_port *)p;
}

static bool hub_can_receive(struct net_port *p)
{
    bool plugged = false, room = false;
    for (struct hub_port *o = to_hub_port(p)->hub->ports; o; o = o->next) {
        if (&o->port == p || !o->port.link)
            continue;
        plugged = true;
        /* All are asked: those that say no will call when that changes. */
        room |= net_port_can_send(&o->port);
    }
    return room || !plugged;
}

static void hub_receive(struct net_port *p, const uint8_t *frame, size_t len)
{
    for (struct hub_port *o = to_hub_port(p)->hub->ports; o; o = o->next)
        if (&o->port != p)
            net_port_send(&o->port, frame, len);
}

static void hub_can_send(struct net_port *p)
{
    for (struct hub_port *o = to_hub_port(p)->hub->ports; o; o = o->next)
        if (&o->port != p)
            net_port_ready(&o->port);
}

static void hub_port_free(struct net_port *p)
{
    struct hub_port *hp = to_hub_port(p);
    struct net_hub *h = hp->hub;
    struct hub_port **at = &h->ports;
    while (*at != hp)
        at = &(*at)->next;
    *at = hp->next;
    if (h->ports_tail == &hp->next)
        h->ports_tail = at;
    free(hp);
}

static const struct net_port_ops hub_ops = {
    .kind = "hub-port",
    .can_receive = hub_can_receive,
    .receive = hub_receive,
    .can_send = hub_can_send,
    .free = hub_port_free,
};

static struct net_hub *find(struct net *n, const char *id)
{
    struct net_hub *h = n->hubs;
    while (h && strcmp(h->id, id))
        h = h->next;
    return h;
}

struct net_hub *net_hub_new(struct net *n, const char *id, struct error *err)
{
    char *own_id = id ? alloc_string(id) : alloc_string("hub0");
    for (unsigned i = 1; !id && find(n, own_id); i++) {
        free(own_id);
        own_id = alloc_printf("hub%u", i);
    }
    if (find(n, own_id)) {
        error_set(err, "network hub \"%s\": there is one with this id; choose another", own_id);
        free(own_id);
        return NULL;
    }
    struct net_hub *h = ALLOC(struct net_hub);
    *h = (struct net_hub){ .id = own_id, .net = n, .next = n->hubs };
    h->ports_tail = &h->ports;
    n->hubs = h;
    return h;
}

struct net_port *net_hub_add_port(struct net_hub *h, struct error *err)
{
    struct hub_port *hp = ALLOC(struct hub_port);
    hp->hub = h;
    hp->port.ops = &hub_ops;
    char *id = alloc_printf("%sport%u", h->id, h->made);
    bool ok = net_port_add(h->net, &hp->port, id, err);
    free(id);
    if (!ok) {
        free(hp);
        return NULL;
    }
    h->made++;
    *h->ports_tail = hp;
    h->ports_tail = &hp->next;
    return &hp->port;
}

void net_hubs_free(struct net *n)
{
    while (n->hubs) {
        struct net_hub *h = n->hubs;
        n->hubs = h->next;
        free(h->id);
        free(h);
    }
}
