/* Addresses of stream sockets, and listening at them.
 *
 * Who can write to a serial port or a monitor can do anything to the guest, and with a monitor
 * anything that this user can. So nothing listens beyond this host by accident, and a unix socket
 * is for its owner alone from the moment at which it exists. */
#include "char/address.h"

#include "base/alloc.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define LOOPBACK "127.0.0.1"

enum { BACKLOG = 1 };

/* ---- text ---- */

char *address_text(const struct sockaddr *sa, socklen_t len)
{
    char host[INET6_ADDRSTRLEN];
    if (sa->sa_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)sa;
        inet_ntop(AF_INET, &in->sin_addr, host, sizeof host);
        return alloc_printf("%s:%u", host, ntohs(in->sin_port));
    } else if (sa->sa_family == AF_INET6) {
        const struct sockaddr_in6 *in = (const struct sockaddr_in6 *)sa;
        inet_ntop(AF_INET6, &in->sin6_addr, host, sizeof host);
        return alloc_printf("[%s]:%u", host, ntohs(in->sin6_port));
    }
    const struct sockaddr_un *un = (const struct sockaddr_un *)sa;
    if (sa->sa_family != AF_UNIX || len <= offsetof(struct sockaddr_un, sun_path) ||
        !un->sun_path[0])
        return NULL;
    return alloc_string(un->sun_path);
}

char *address_spec(const struct chardev_socket_config *config)
{
    if (config->path)
        return alloc_printf("unix:%s", config->path);
    const char *host = config->host ? config->host : LOOPBACK;
    return alloc_printf(strchr(host, ':') ? "tcp:[%s]:%u" : "tcp:%s:%u", host, config->port);
}

/* ---- from text ---- */

static bool unix_address(struct address *a, const char *who, const char *path, struct error *err)
{
    struct sockaddr_un *un = (struct sockaddr_un *)&a->sa;
    if (!*path || strlen(path) >= sizeof un->sun_path)
        return error_set(err,
                         "%s: the path of a unix socket has from 1 to %zu bytes; \"%s\" has %zu",
                         who, sizeof un->sun_path - 1, path, strlen(path));
    un->sun_family = AF_UNIX;
    strcpy(un->sun_path, path);
    a->len = sizeof *un;
    return true;
}

static bool numeric_address(struct address *a, const char *host, uint16_t port)
{
    struct sockaddr_in *in = (struct sockaddr_in *)&a->sa;
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&a->sa;
    if (inet_pton(AF_INET, host, &in->sin_addr) == 1) {
        in->sin_family = AF_INET;
        in->sin_port = htons(port);
        a->len = sizeof *in;
        return true;
    } else if (inet_pton(AF_INET6, host, &in6->sin6_addr) == 1) {
        in6->sin6_family = AF_INET6;
        in6->sin6_port = htons(port);
        a->len = sizeof *in6;
        return true;
    }
    return false;
}

static bool is_loopback(const struct address *a)
{
    const struct sockaddr_in *in = (const struct sockaddr_in *)&a->sa;
    const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)&a->sa;
    return a->sa.ss_family == AF_INET ? ntohl(in->sin_addr.s_addr) >> 24 == 127
                                      : IN6_IS_ADDR_LOOPBACK(&in6->sin6_addr);
}

static bool ask_resolver(struct address *a, const char *who, const char *host, uint16_t port,
                         struct error *err)
{
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *found = NULL;
    char service[8];
    snprintf(service, sizeof service, "%u", port);
    int e = getaddrinfo(host, service, &hints, &found);
    if (e)
        return error_set_host(err, 0, "%s: cannot find the host \"%s\": %s", who, host,
                              gai_strerror(e));
    memcpy(&a->sa, found->ai_addr, found->ai_addrlen);
    a->len = found->ai_addrlen;
    freeaddrinfo(found);
    return true;
}

bool address_resolve(struct address *a, const char *who, const struct chardev_socket_config *config,
                     struct error *err)
{
    *a = (struct address){ 0 };
    if (config->path)
        return unix_address(a, who, config->path, err);
    const char *host = config->host;
    bool here = !host || !*host || !strcmp(host, "localhost");
    bool numeric = numeric_address(a, here ? LOOPBACK : host, config->port);
    if (!config->server)
        return numeric || ask_resolver(a, who, host, config->port, err);
    if (config->insecure && (!host || !*host))
        return error_set(err, "%s: insecure=on takes an address in full, such as 0.0.0.0", who);
    if (!numeric)
        return error_set(
            err,
            "%s: \"%s\" is no address to listen at; write 127.0.0.1, or another one in "
            "numbers",
            who, host);
    if (!is_loopback(a) && !config->insecure)
        return error_set(err,
                         "%s: whoever reaches %s could do anything here; use 127.0.0.1 or a unix "
                         "socket, or add insecure=on",
                         who, host);
    return true;
}

/* ---- listening ---- */

/* A path that nobody listens at any more may be had. A datagram socket asks: it is told that the
 * type is wrong if a socket is alive there, which hears nothing of it. */
static bool free_path(const char *who, const struct address *a, struct error *err)
{
    const char *path = ((const struct sockaddr_un *)&a->sa)->sun_path;
    struct stat st;
    if (lstat(path, &st) < 0)
        return true;
    if (!S_ISSOCK(st.st_mode))
        return error_set(err, "%s: unix:%s: there is something that is not a socket", who, path);
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    bool stale = connect(fd, (const struct sockaddr *)&a->sa, a->len) < 0 && errno == ECONNREFUSED;
    close(fd);
    if (!stale)
        return error_set_host(err, EADDRINUSE, "%s: unix:%s", who, path);
    if (unlink(path) < 0 && errno != ENOENT)
        return error_set_host(err, errno, "%s: unix:%s: cannot remove what is left of a socket",
                              who, path);
    return true;
}

int socket_listen(const char *who, const struct chardev_socket_config *config, uint16_t *port,
                  struct error *err)
{
    struct chardev_socket_config c = *config;
    struct address a;
    c.server = true;
    if (!address_resolve(&a, who, &c, err) || (c.path && !free_path(who, &a, err)))
        return -1;
    int fd = socket(a.sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1;
    bool ok = fd >= 0;
    if (ok && c.path)
        ok = fchmod(fd, 0600) == 0; /* the mode that the path will have */
    else if (ok)
        ok = setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0;
    ok = ok && bind(fd, (struct sockaddr *)&a.sa, a.len) == 0 && listen(fd, BACKLOG) == 0;
    if (ok && port && !c.path) {
        ok = getsockname(fd, (struct sockaddr *)&a.sa, &a.len) == 0;
        *port = ntohs(a.sa.ss_family == AF_INET ? ((struct sockaddr_in *)&a.sa)->sin_port
                                                : ((struct sockaddr_in6 *)&a.sa)->sin6_port);
    }
    if (ok)
        return fd;
    char *spec = address_spec(&c);
    error_set_host(err, errno, "%s: cannot listen at %s", who, spec);
    free(spec);
    if (fd >= 0)
        close(fd);
    return -1;
}
