/* What the files of net share: the lists of one machine's network. */
#pragma once

#include "net/link.h"

struct net_hub;

struct net {
    struct net_port *ports, **ports_tail;
    struct net_link *links, **links_tail;
    struct net_hub *hubs; /* latest first; hub.c's */
    unsigned depth;       /* deliveries on the stack */
    unsigned waiting;     /* directions whose sender was told that there is no room */
    unsigned budget;      /* frames that may still be sent from within them */
    bool storm_logged;
};

/* Free every hub of the net; their ports are gone by then. */
void net_hubs_free(struct net *n);
