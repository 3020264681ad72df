/* Addresses of stream sockets, from what a user wrote. Private to char. */
#pragma once

#include "char/chardev.h"

#include <sys/socket.h>

struct address {
    struct sockaddr_storage sa;
    socklen_t len;
};

/* The address that `config` names; may ask the resolver, once, unless it is one to listen at. What
 * must not be listened at is refused. */
bool address_resolve(struct address *a, const char *who, const struct chardev_socket_config *config,
                     struct error *err);

/* "127.0.0.1:4711", "[::1]:4711", a path; the caller frees. NULL: a socket without a name. */
char *address_text(const struct sockaddr *sa, socklen_t len);

/* As a user writes it: "unix:/path", "tcp:host:port"; the caller frees. */
char *address_spec(const struct chardev_socket_config *config);
