/* A link's frames in a pcap file with time stamps in nanoseconds.
 *
 * File format: draft-ietf-opsawg-pcap: a header of 24 bytes, then per frame a header of 16 and the
 * bytes, all in the host's byte order, which the magic number tells. Each record is one write, so
 * whoever reads the file meanwhile sees whole frames, and nothing is lost if the process dies. The
 * tap and the descriptor are the dump's; the link is borrowed, and may go away first. */
#include "net/backends.h"

#include "base/alloc.h"
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

enum {
    PCAP_MAGIC_NS = 0xa1b23c4d,
    PCAP_SNAPLEN = 262144,
    PCAP_LINKTYPE_ETHERNET = 1,
};

struct pcap_header {
    uint32_t magic;
    uint16_t major, minor;
    uint32_t reserved[2];
    uint32_t snaplen, linktype;
};

struct pcap_record {
    uint32_t seconds, nanoseconds;
    uint32_t captured, original; /* bytes */
};

struct net_pcap {
    struct net_tap tap;
    struct net_link *link; /* NULL: it went away */
    struct clock *clock;
    int64_t epoch_ns;
    char *path;
    int fd;       /* -1: stopped after a failure */
    off_t length; /* of all whole records */
};

/* Write both parts; false and errno when the host takes less. */
static bool write_parts(int fd, const void *head, size_t head_len, const void *body,
                        size_t body_len)
{
    struct iovec part[2] = { { (void *)head, head_len }, { (void *)body, body_len } };
    unsigned at = 0;
    while (at < 2) {
        ssize_t n = writev(fd, part + at, 2 - (int)at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return false;
        while (at < 2 && (size_t)n >= part[at].iov_len)
            n -= (ssize_t)part[at++].iov_len;
        if (at < 2) {
            part[at].iov_base = (char *)part[at].iov_base + n;
            part[at].iov_len -= (size_t)n;
        }
    }
    return true;
}

static void stop(struct net_pcap *p)
{
    log_host(LOG_ERROR, "pcap", "cannot write %s: %s; the dump ends here", p->path,
             strerror(errno));
    /* Half a record would make readers complain; what cannot be cut (a pipe) stays. */
    if (ftruncate(p->fd, p->length) < 0)
        log_host(LOG_DEBUG, "pcap", "%s may end within a frame: %s", p->path, strerror(errno));
    close(p->fd);
    p->fd = -1;
}

static enum net_verdict pcap_frame(void *opaque, unsigned from_end, uint8_t *frame, size_t *len,
                                   size_t capacity)
{
    struct net_pcap *p = opaque;
    if (p->fd < 0)
        return NET_PASS;
    int64_t ns = p->epoch_ns + clock_now(p->clock);
    struct pcap_record r = {
        .seconds = (uint32_t)(ns / NS_PER_SECOND),
        .nanoseconds = (uint32_t)(ns % NS_PER_SECOND),
        .captured = (uint32_t)*len,
        .original = (uint32_t)*len,
    };
    if (write_parts(p->fd, &r, sizeof r, frame, *len))
        p->length += (off_t)(sizeof r + *len);
    else
        stop(p);
    return NET_PASS;
}

static void pcap_link_gone(void *opaque)
{
    struct net_pcap *p = opaque;
    p->link = NULL;
}

struct net_pcap *net_pcap_new(struct net_link *l, const char *path, struct clock *virtual,
                              int64_t epoch_ns, struct error *err)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0) {
        error_set_host(err, errno, "cannot create the packet dump %s", path);
        return NULL;
    }
    struct pcap_header h = {
        .magic = PCAP_MAGIC_NS,
        .major = 2,
        .minor = 4,
        .snaplen = PCAP_SNAPLEN,
        .linktype = PCAP_LINKTYPE_ETHERNET,
    };
    if (!write_parts(fd, &h, sizeof h, NULL, 0)) {
        error_set_host(err, errno, "cannot write the packet dump %s", path);
        close(fd);
        return NULL;
    }
    struct net_pcap *p = ALLOC(struct net_pcap);
    *p = (struct net_pcap){
        .tap = { .frame = pcap_frame, .gone = pcap_link_gone, .opaque = p },
        .link = l,
        .clock = virtual,
        .epoch_ns = epoch_ns,
        .path = alloc_string(path),
        .fd = fd,
        .length = sizeof h,
    };
    net_link_add_tap(l, &p->tap);
    return p;
}

void net_pcap_free(struct net_pcap *p)
{
    if (!p)
        return;
    if (p->link)
        net_link_remove_tap(p->link, &p->tap);
    if (p->fd >= 0)
        close(p->fd);
    free(p->path);
    free(p);
}
