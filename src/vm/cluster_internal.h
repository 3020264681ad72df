/* The inside of a cluster, shared by cluster.c (time) and cluster_link.c (frames). */
#pragma once

#include "vm/cluster.h"
#include "vm/vm_internal.h"

/* On its way to one receiver. */
struct cluster_frame {
    struct cluster_frame *next;
    int64_t arrival;
    unsigned sender;
    uint64_t sequence; /* of the sender's */
    struct cluster_plug *to;
    size_t len;
    uint8_t data[];
};

struct cluster_member {
    struct cluster *cluster;
    struct vm *vm;
    unsigned index; /* of all that ever were */
    bool asked;     /* to pause, by the cluster */
    uint64_t sent;
    struct cluster_frame *inbox; /* by arrival, sender, sequence */
    struct timer arrival;        /* of the first */
    struct cluster_member *next;
};

struct cluster {
    struct loop *loop;
    char *name;
    int64_t latency_ns;
    bool parallel;
    struct cluster_member *members, **members_tail;
    struct cluster_link *links, **links_tail;
    unsigned members_made, links_made;

    int64_t now;     /* all have come here */
    int64_t horizon; /* and go no further than here */
    bool going;      /* since the last resume somebody runs */
    bool stepping;   /* the next step is being computed */
    char reason[64]; /* to pause; "": none yet */
    struct vm *paused_by;
    int64_t until;
    bool (*holds)(void *opaque);
    void *holds_opaque;
    int64_t asked_at; /* `holds` has been asked at this time; -1: not since the resume */

    bool sleeping; /* nothing is due, and idle time passes in real time */
    int64_t slept_from;
    struct timer wait;
    struct waiter parking; /* told when a member parks */
    uint64_t quanta;
};

/* cluster_link.c: at a horizon, make what has been sent arrive in time. */
void cluster_exchange(struct cluster *c);
/* Take the member's wires off their links and forget what is under way to it. */
void cluster_unplug(struct cluster_member *m);
void cluster_arrival(void *member);
