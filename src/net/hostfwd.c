/* Parsing of port forwarding rules. */
#include "net/hostfwd.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char form[] = "PROTOCOL:[HOST-ADDRESS]:HOST-PORT-[GUEST-ADDRESS]:GUEST-PORT, "
                           "as in tcp:127.0.0.1:2222-:22";

enum {
    DEFAULT_HOST = 0x7f000001,  /* 127.0.0.1: nothing is opened to the network unasked */
    DEFAULT_GUEST = 0x0a00020f, /* 10.0.2.15, the first DHCP client */
    GUEST_NET = 0x0a000200,
    GUEST_MASK = 0xffffff00u,
};

/* A rule while it is taken apart: what is left of it. */
struct cursor {
    const char *rule, *at;
};

/* Copy the text up to `end` into `part` and step behind it. */
static bool take(struct cursor *c, char end, char part[32], const char *what, struct error *err)
{
    const char *stop = end ? strchr(c->at, end) : c->at + strlen(c->at);
    if (!stop)
        return error_set(err, "hostfwd \"%s\": no '%c' after the %s; the form is %s", c->rule, end,
                         what, form);
    size_t len = (size_t)(stop - c->at);
    if (len >= 32)
        return error_set(err, "hostfwd \"%s\": the %s is too long; the form is %s", c->rule, what,
                         form);
    memcpy(part, c->at, len);
    part[len] = '\0';
    c->at = end ? stop + 1 : stop;
    return true;
}

static bool take_address(struct cursor *c, uint32_t otherwise, struct in_addr *out,
                         const char *what, struct error *err)
{
    char part[32];
    if (!take(c, ':', part, what, err))
        return false;
    out->s_addr = htonl(otherwise);
    if (*part && inet_pton(AF_INET, part, out) != 1)
        return error_set(err, "hostfwd \"%s\": %s \"%s\" is not an IPv4 address such as 127.0.0.1",
                         c->rule, what, part);
    return true;
}

static bool take_port(struct cursor *c, char end, int *out, const char *what, struct error *err)
{
    char part[32];
    if (!take(c, end, part, what, err))
        return false;
    size_t digits = strspn(part, "0123456789");
    long v = digits && digits <= 6 && !part[digits] ? strtol(part, NULL, 10) : 0;
    if (v < 1 || v > 65535)
        return error_set(err, "hostfwd \"%s\": %s \"%s\" is not a number from 1 to 65535", c->rule,
                         what, part);
    *out = (int)v;
    return true;
}

static bool take_guest(struct cursor *c, struct hostfwd *out, struct error *err)
{
    if (!take_address(c, DEFAULT_GUEST, &out->guest, "guest address", err))
        return false;
    if ((ntohl(out->guest.s_addr) & GUEST_MASK) != GUEST_NET)
        return error_set(err,
                         "hostfwd \"%s\": guest address %s is not in the guest's network "
                         "10.0.2.0/24; leave it empty for 10.0.2.15",
                         c->rule, inet_ntoa(out->guest));
    return take_port(c, '\0', &out->guest_port, "guest port", err);
}

bool hostfwd_parse(const char *rule, bool guest_needed, struct hostfwd *out, struct error *err)
{
    struct cursor c = { rule, rule };
    char protocol[32];
    if (!take(&c, ':', protocol, "protocol", err))
        return false;
    *out = (struct hostfwd){ .udp = !strcmp(protocol, "udp") };
    if (!out->udp && strcmp(protocol, "tcp"))
        return error_set(err, "hostfwd \"%s\": protocol \"%s\" is not tcp or udp", rule, protocol);
    if (!take_address(&c, DEFAULT_HOST, &out->host, "host address", err))
        return false;
    bool guest = guest_needed || strchr(c.at, '-');
    if (!take_port(&c, guest ? '-' : '\0', &out->host_port, "host port", err))
        return false;
    return !guest || take_guest(&c, out, err);
}

void hostfwd_format_host(const struct hostfwd *r, char text[HOSTFWD_TEXT])
{
    char address[INET_ADDRSTRLEN];
    inet_ntop(AF_INET, &r->host, address, sizeof address);
    snprintf(text, HOSTFWD_TEXT, "%s %s:%d", r->udp ? "udp" : "tcp", address, r->host_port);
}
