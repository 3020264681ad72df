/* What the files of net share: the lists of one machine's network, and a link. */
#pragma once

#include "net/link.h"

struct net_hub;
struct held;

struct net {
    struct clock *clock; /* for frames that are held; NULL: none can be */
    struct net_port *ports, **ports_tail;
    struct net_link *links, **links_tail;
    struct net_hub *hubs; /* latest first; hub.c's */
    unsigned depth;       /* deliveries on the stack */
    unsigned waiting;     /* directions whose sender was told that there is no room */
    unsigned budget;      /* frames that may still be sent from within them */
    bool storm_logged;
    struct trace *trace;
};

/* Events: see tracing.c. */
enum { LINK_TRACE_FRAME, LINK_TRACE_QUEUE, LINK_TRACE_DROP, LINK_TRACE_UP };
enum { SLIRP_TRACE_FROM_GUEST, SLIRP_TRACE_TO_GUEST, SLIRP_TRACE_HOLD };

/* Free every hub of the net; their ports are gone by then. */
void net_hubs_free(struct net *n);

/* tcp_ack.c: two frames of one direction, of which nothing lies between: is each an acknowledgement
 * of the same TCP connection and nothing else, and does the newer say all that the older says? (Two
 * that acknowledge the same are a sign of loss, and both needed: RFC 5681 3.2.) */
bool net_ack_supersedes(const uint8_t *newer, size_t newer_len, const uint8_t *older,
                        size_t older_len);

/* Where a frame stands. */
struct net_mark {
    uint64_t after; /* the taps up to this order have seen it */
    bool made;      /* made up by a script: hidden from taps that want sent ones only */
};

struct frame {
    struct frame *next;
    struct net_mark mark;
    size_t len;
    uint8_t data[];
};

struct direction {
    struct frame *first, **last;
    unsigned count;
    bool delivering;
    bool sender_waits;        /* was told that there is no room */
    struct net_tap *tap_next; /* the tap that comes after the one being called */
    struct held *held;        /* on their way, in no order: see taps.c */
    size_t held_bytes;
    struct net_mark mark; /* of the frame that taps are being shown */
    uint8_t *scratch;     /* NET_FRAME_MAX bytes in which taps may change a frame */
    struct net_link_stats stats;
};

struct net_link {
    struct net *net;
    char *name;
    struct net_port *port[2];
    struct direction dir[2]; /* [e]: from end e to the other */
    struct net_tap *taps;
    uint64_t tap_order; /* of the tap added last */
    bool up;
    bool dead;     /* freed while a delivery was on the stack: goes with the last one */
    unsigned busy; /* deliveries of this link on the stack */
    struct net_link *next;
};

/* link.c: send from end `from`. */
void net_send_marked(struct net_link *l, unsigned from, struct net_mark mark, const uint8_t *frame,
                     size_t len);

/* taps.c: show the frame to the taps that have not seen it. They work on a copy, because the bytes
 * are the sender's. */
enum net_verdict net_run_taps(struct net_link *l, unsigned from, struct net_mark mark,
                              const uint8_t **data, size_t *len);
/* Drop what is on its way in one direction. */
void net_drop_held(struct direction *d);
