/* Taps on links: who is shown a frame, and frames that go on later than they came.
 *
 * A frame that is held waits on a timer of the net's clock, the virtual one, so that runs repeat.
 * It goes on to the taps added after the one that held it, whichever have come and gone meanwhile:
 * its mark says how far it has been. A held frame is its direction's, and goes with the link. */
#include "net/link.h"

#include "base/alloc.h"
#include "net/net_internal.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

void net_link_add_tap(struct net_link *l, struct net_tap *t)
{
    struct net_tap **at = &l->taps;
    while (*at)
        at = &(*at)->next;
    t->order = ++l->tap_order;
    t->next = NULL;
    *at = t;
}

void net_link_remove_tap(struct net_link *l, struct net_tap *t)
{
    struct net_tap **at = &l->taps;
    while (*at && *at != t)
        at = &(*at)->next;
    if (!*at)
        return;
    *at = t->next;
    for (unsigned e = 0; e < 2; e++)
        if (l->dir[e].tap_next == t)
            l->dir[e].tap_next = t->next;
    t->next = NULL;
}

enum net_verdict net_run_taps(struct net_link *l, unsigned from, struct net_mark mark,
                              const uint8_t **data, size_t *len)
{
    struct direction *d = &l->dir[from];
    if (!d->scratch)
        d->scratch = alloc_zero(1, NET_FRAME_MAX);
    memcpy(d->scratch, *data, *len);
    *data = d->scratch;
    d->mark = mark;
    for (struct net_tap *t = l->taps; t; t = d->tap_next) {
        d->tap_next = t->next;
        if (t->order <= mark.after || (mark.made && t->sent_only))
            continue;
        enum net_verdict v = t->frame(t->opaque, from, d->scratch, len, NET_FRAME_MAX);
        if (v != NET_PASS)
            return v;
        if (l->dead)
            return NET_DROP;
        assert(*len <= NET_FRAME_MAX);
    }
    return NET_PASS;
}

/* ---- frames on their way ---- */

struct held {
    struct held *next, **at;
    struct timer timer;
    struct net_link *link;
    unsigned from;
    struct net_mark mark;
    size_t len;
    uint8_t data[];
};

static void forget(struct held *h)
{
    timer_cancel(&h->timer);
    *h->at = h->next;
    if (h->next)
        h->next->at = h->at;
    h->link->dir[h->from].held_bytes -= h->len;
    free(h);
}

void net_drop_held(struct direction *d)
{
    while (d->held) {
        d->stats.dropped++;
        forget(d->held);
    }
}

static void arrived(void *opaque)
{
    struct held *h = opaque;
    struct net_link *l = h->link;
    unsigned from = h->from;
    struct net_mark mark = h->mark;
    size_t len = h->len;
    uint8_t *data = alloc_zero(1, len);
    memcpy(data, h->data, len);
    forget(h); /* what it is shown to may pull the wire out */
    net_send_marked(l, from, mark, data, len);
    free(data);
}

static bool hold(struct net_link *l, unsigned from, struct net_mark mark, const uint8_t *frame,
                 size_t len, int64_t delay_ns)
{
    struct direction *d = &l->dir[from];
    struct clock *c = l->net->clock;
    if (!c || l->dead || len > NET_HELD_MAX - d->held_bytes)
        return false;
    struct held *h = alloc_resize(NULL, 1, sizeof *h + len);
    *h = (struct held){ .next = d->held, .at = &d->held, .link = l, .from = from, .mark = mark };
    h->len = len;
    memcpy(h->data, frame, len);
    if (h->next)
        h->next->at = &h->next;
    d->held = h;
    d->held_bytes += len;
    timer_init(&h->timer, c, arrived, h);
    int64_t at;
    if (__builtin_add_overflow(clock_now(c), delay_ns, &at))
        at = CLOCK_NEVER;
    timer_set(&h->timer, at);
    return true;
}

enum net_verdict net_link_hold(struct net_link *l, const struct net_tap *t, unsigned from_end,
                               const uint8_t *frame, size_t len, int64_t delay_ns)
{
    struct net_mark mark = l->dir[from_end].mark;
    mark.after = t->order;
    return hold(l, from_end, mark, frame, len, delay_ns) ? NET_HELD : NET_DROP;
}

bool net_link_inject(struct net_link *l, unsigned from_end, const uint8_t *frame, size_t len,
                     int64_t delay_ns, bool made)
{
    struct net_mark mark = { .made = made };
    if (delay_ns > 0)
        return hold(l, from_end, mark, frame, len, delay_ns);
    net_send_marked(l, from_end, mark, frame, len);
    return true;
}
