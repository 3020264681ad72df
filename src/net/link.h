/* Network links: two ports and a wire between them, with a queue in each direction.
 *
 * A port is where a network card, slirp or a hub is plugged in. What one end sends is queued if the
 * other cannot take it now, and delivered in order when it says it can; a sender asks
 * net_port_can_send() before it reads more from where its packets come from (back-pressure).
 * Everything runs with the machine lock held. */
#pragma once

#include "base/error.h"
#include "loop/clock.h"
#include "trace/trace.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct net;
struct net_link;
struct net_port;

enum {
    NET_FRAME_MAX = 65536 + 128, /* longest frame, segmentation offload included */
    NET_QUEUE_MAX = 256,         /* frames waiting in one direction before a sender is held back */
    NET_HELD_MAX = 16 << 20,     /* bytes of frames delayed by taps, in one direction */
};

struct net_port_ops {
    const char *kind; /* "nic", "user", "hub-port" */
    /* Can it take a frame now? NULL: always. */
    bool (*can_receive)(struct net_port *p);
    /* Take a frame; the bytes are the caller's. */
    void (*receive)(struct net_port *p, const uint8_t *frame, size_t len);
    /* The peer has room again after net_port_can_send() said no. NULL: does not care. */
    void (*can_send)(struct net_port *p);
    /* The wire was plugged in or out. NULL: does not care. */
    void (*link_changed)(struct net_port *p, bool up);
    /* For ports owned by the net (backends, hub ports). NULL: embedded. */
    void (*free)(struct net_port *p);
};

struct net_port {
    const char *id; /* "n1", "hub0port0"; the net's. Must stay the first member */
    const struct net_port_ops *ops;
    void *opaque;
    struct net *net;
    struct net_link *link; /* NULL: not plugged in */
    unsigned end;          /* which end of the link: 0 or 1 */
    bool outside;          /* leads out of the deterministic world: slirp, sockets */
    struct net_port *next;
};

/* All ports and links of a machine. `clock` is that by which frames are delayed; NULL: none can be.
 * It must stay. */
struct net *net_new(struct clock *clock);
/* Whose events these are; NULL: nobody's. Borrowed. */
void net_set_trace(struct net *n, struct trace *t);
extern struct trace_table link_trace, slirp_trace;
void net_free(struct net *n); /* ports and links that it owns with it */

/* Add a port under a unique id (NULL: one is made from the kind). The struct stays the caller's
 * unless ops->free is set. */
bool net_port_add(struct net *n, struct net_port *p, const char *id, struct error *err);
/* Unplug and forget; a port whose ops have `free` is freed. */
void net_port_remove(struct net_port *p);
struct net_port *net_port_find(struct net *n, const char *id);
/* In order of adding; NULL starts and ends. */
struct net_port *net_port_next(struct net *n, struct net_port *p);

/* Join two ports that are not plugged in. `name` NULL: "ID-ID". */
struct net_link *net_link_new(struct net *n, struct net_port *a, struct net_port *b,
                              const char *name, struct error *err);
void net_link_free(struct net_link *l);
struct net_link *net_link_next(struct net *n, struct net_link *l);
const char *net_link_name(const struct net_link *l);
struct net_port *net_link_port(const struct net_link *l, unsigned end);

/* Plug the wire in or out: frames sent while it is out are dropped (and counted). */
void net_link_set_up(struct net_link *l, bool up);
bool net_link_is_up(const struct net_link *l);

/* Counters of one direction: from `end` to the other. */
struct net_link_stats {
    uint64_t frames, bytes, dropped;
};
struct net_link_stats net_link_stats(const struct net_link *l, unsigned end);

/* A tap sees each frame once, when it is delivered (or dropped by a tap). It may change the bytes
 * in place, and says what happens to it. Taps run in order of adding. pcap dump and packet hooks
 * are taps. */
enum net_verdict {
    NET_PASS,
    NET_DROP,
    NET_HELD, /* net_link_hold() has taken it */
};
struct net_tap {
    enum net_verdict (*frame)(void *opaque, unsigned from_end, uint8_t *frame, size_t *len,
                              size_t capacity);
    void (*gone)(void *opaque); /* the link was freed, and the tap is off it. NULL: does not care */
    void *opaque;
    bool sent_only; /* is not shown what net_link_inject() has made up */
    uint64_t order; /* the link's */
    struct net_tap *next;
};
void net_link_add_tap(struct net_link *l, struct net_tap *t);
void net_link_remove_tap(struct net_link *l, struct net_tap *t);

/* From the tap that is being shown a frame from `from_end`: let these bytes go on to the taps after
 * it `delay_ns` from now. Returns what the tap returns: NET_HELD, or NET_DROP when too much is on
 * its way. What is held is lost when the wire is pulled out or the link goes. */
enum net_verdict net_link_hold(struct net_link *l, const struct net_tap *t, unsigned from_end,
                               const uint8_t *frame, size_t len, int64_t delay_ns);

/* Send a frame that no port has sent from `from_end` to the other, `delay_ns` from now. `made`:
 * taps that are `sent_only` do not see it. False: a delay is asked for that cannot be had (no
 * clock, too much on its way). */
bool net_link_inject(struct net_link *l, unsigned from_end, const uint8_t *frame, size_t len,
                     int64_t delay_ns, bool made);

/* Send a frame. Frames longer than NET_FRAME_MAX or shorter than 14 bytes are dropped; a full queue
 * drops too. */
void net_port_send(struct net_port *p, const uint8_t *frame, size_t len);

/* Is there room on the way to the peer? If not, ops->can_send will be called when there is. */
bool net_port_can_send(struct net_port *p);

/* The port can take frames again (its can_receive was false): the queue towards it is delivered. */
void net_port_ready(struct net_port *p);

/* Does any link lead to the outside world? Then idle time is not skipped. */
bool net_has_outside(const struct net *n);
