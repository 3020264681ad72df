/* The declarations of the network's events. */
#include "net/net_internal.h"

static const struct trace_event link_events[] = {
    [LINK_TRACE_FRAME] = { "link.frame",
                           "a frame goes from one end of a link to the other",
                           { { "from", TRACE_TEXT },
                             { "to", TRACE_TEXT },
                             { "size", TRACE_BYTES } } },
    [LINK_TRACE_QUEUE] = { "link.queue",
                           "a frame waits, because the receiver cannot take it now",
                           { { "from", TRACE_TEXT },
                             { "size", TRACE_BYTES },
                             { "waiting", TRACE_DEC } } },
    [LINK_TRACE_DROP] = { "link.drop",
                          "a frame is dropped",
                          { { "from", TRACE_TEXT },
                            { "size", TRACE_BYTES },
                            { "reason", TRACE_TEXT } } },
    [LINK_TRACE_UP] = { "link.up", "the wire is plugged in or out", { { "up", TRACE_BOOL } } },
};
struct trace_table link_trace = TRACE_TABLE(link_events);

static const struct trace_event slirp_events[] = {
    [SLIRP_TRACE_FROM_GUEST] = { "slirp.from_guest",
                                 "user networking is given a frame",
                                 { { "size", TRACE_BYTES } } },
    [SLIRP_TRACE_TO_GUEST] = { "slirp.to_guest",
                               "a frame of user networking enters the machine",
                               { { "size", TRACE_BYTES }, { "waiting", TRACE_DEC } } },
    [SLIRP_TRACE_HOLD] = { "slirp.hold",
                           "the host's sockets are not read for now, or again",
                           { { "held", TRACE_BOOL }, { "waiting", TRACE_DEC } } },
};
struct trace_table slirp_trace = TRACE_TABLE(slirp_events);
