/* A set of descriptors that the loop watches as one.
 *
 * For descriptors that libuv must not have: those that somebody else closes and reuses (a library's
 * sockets), and those whose mode is shared with other processes (standard input), because libuv
 * makes what it watches non-blocking. Members are added, changed and removed with epoll_ctl() on
 * the set's descriptor, level-triggered, on whatever thread with the machine lock held: the kernel
 * tells a loop that is waiting already, so nothing has to wake it. */
#pragma once

#include "base/error.h"
#include "loop/loop.h"

#include <stdbool.h>
#include <sys/epoll.h>

struct epoll_set;

/* `ready` is called on the loop thread, with the machine lock held, as long as a member is ready.
 */
struct epoll_set *epoll_set_new(struct loop *l, void (*ready)(void *opaque), void *opaque,
                                struct error *err);

/* `ready` is not called any more. NULL is allowed. On the loop thread. */
void epoll_set_free(struct epoll_set *s);

/* epoll_ctl() on the set: `op` is EPOLL_CTL_*, `tag` comes back from epoll_set_wait(). False and
 * errno. */
bool epoll_set_change(struct epoll_set *s, int op, int fd, uint32_t events, uint64_t tag);

/* What is ready now, without waiting; returns how many of `cap`. */
int epoll_set_wait(struct epoll_set *s, struct epoll_event *events, int cap);
