/* The text form of a port forwarding: "tcp:127.0.0.1:2222-:22". Private to net. */
#pragma once

#include "base/error.h"

#include <netinet/in.h>
#include <stdbool.h>

enum { HOSTFWD_TEXT = 64 };

struct hostfwd {
    bool udp;
    struct in_addr host, guest;
    int host_port, guest_port; /* host byte order */
};

/* Parse PROTOCOL:[HOST-ADDRESS]:HOST-PORT-[GUEST-ADDRESS]:GUEST-PORT. Without `guest_needed` the
 * part from the dash on may be missing. Errors quote the rule and say which part is wrong. */
bool hostfwd_parse(const char *rule, bool guest_needed, struct hostfwd *out, struct error *err);

/* "tcp 127.0.0.1:2222" */
void hostfwd_format_host(const struct hostfwd *r, char text[HOSTFWD_TEXT]);
