/* What a network card can be joined to, and what can watch a link. */
#pragma once

#include "loop/clock.h"
#include "loop/door.h"
#include "loop/loop.h"
#include "net/link.h"

/* User networking through libslirp: 10.0.2.0/24, gateway and host 10.0.2.2, DNS 10.0.2.3, DHCP
 * from 10.0.2.15. Its clock is `virtual`; its sockets are polled on the loop; what comes from it
 * enters through the door. `hostfwd` are rules such as "tcp:127.0.0.1:2222-:22" (protocol, host
 * address and port, guest address and port; empty addresses: any host address is refused in favour
 * of 127.0.0.1, and the first DHCP client). */
struct slirp_config {
    const char *id;
    const char *const *hostfwd;
    size_t hostfwd_count;
    bool restricted; /* no way out but forwarded ports */
};
struct net_port *net_slirp_new(struct net *n, struct loop *loop, struct clock *virtual,
                               struct door *door, const struct slirp_config *config,
                               struct error *err);

/* Add or remove a forwarding while running. */
bool net_slirp_hostfwd_add(struct net_port *p, const char *rule, struct error *err);
bool net_slirp_hostfwd_remove(struct net_port *p, const char *rule, struct error *err);

/* Of libslirp. */
const char *net_slirp_version(void);

/* A hub: what one port sends, all others get. Ports are made one by one, named "<id>port<N>". */
struct net_hub;
struct net_hub *net_hub_new(struct net *n, const char *id, struct error *err);
struct net_port *net_hub_add_port(struct net_hub *h, struct error *err);

/* A wire that leads out of this machine's net and stays in the deterministic world: whoever joins
 * its far end gets what is sent to the port, and sends into it with net_port_send(). Nobody there:
 * frames are lost. */
struct net_wire_end {
    const char *name; /* of what it is joined to, for listings; borrowed */
    void (*frame)(void *opaque, const uint8_t *frame, size_t len);
    void (*gone)(void *opaque); /* the port is being removed */
    void *opaque;
};
struct net_port *net_wire_new(struct net *n, const char *id, struct error *err);
bool net_port_is_wire(const struct net_port *p);
/* The far end; NULL: nobody is there. */
const struct net_wire_end *net_wire_end(const struct net_port *p);
/* `end` is borrowed until the wire is left or gone; NULL leaves it. */
void net_wire_join(struct net_port *p, const struct net_wire_end *end);

/* Write every frame of a link to a pcap file (nanosecond format) with time stamps of `virtual` from
 * `epoch_ns`. */
struct net_pcap;
struct net_pcap *net_pcap_new(struct net_link *l, const char *path, struct clock *virtual,
                              int64_t epoch_ns, struct error *err);
void net_pcap_free(struct net_pcap *p);
