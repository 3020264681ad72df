/* One descriptor with somebody at the other end, who reads when he likes and may go at any moment:
 * what sockets and pseudo terminals have in common. Private to char.
 *
 * The descriptor does not block. It is read while its chardev has room for input, and output that
 * it does not take waits here, up to CHARDEV_OUTPUT_MAX bytes. Writing happens on whatever thread
 * the guest runs on; that the other end is gone is noticed on the loop thread alone. Machine lock.
 */
#pragma once

#include "char/chardev.h"
#include "char/fifo.h"
#include "loop/epoll_set.h"

struct stream {
    struct chardev *c;
    struct epoll_set *set; /* the owner's, who may have other members in it */
    uint64_t tag;          /* of the descriptor in the set */
    int fd;                /* -1: nobody is there */
    uint32_t watched;      /* EPOLLIN, EPOLLOUT */
    bool socket;
    bool failed; /* a write has; the loop thread will hear that the other end is gone */
    bool lost;   /* said that output was dropped */
    struct fifo out;
};

void stream_init(struct stream *s, struct chardev *c, struct epoll_set *set, uint64_t tag,
                 bool socket);

/* Somebody is at the other end of `fd`, which does not block. It stays the owner's. Tells the front
 * end. False and errno: it cannot be watched. */
bool stream_open(struct stream *s, int fd);

/* At the end: wait a little for the other end to take what waits. */
void stream_last_words(struct stream *s);

/* Nobody is there any more; returns the descriptor, -1 if there was none. Tells the front end. */
int stream_close(struct stream *s);

/* Without anybody at the other end it is dropped. */
void stream_write(struct stream *s, const uint8_t *data, size_t len);

/* The chardev's input was taken: read on. */
void stream_input_taken(struct stream *s);

/* The set has reported `events` for the descriptor. False: the other end is gone. */
bool stream_ready(struct stream *s, uint32_t events);
