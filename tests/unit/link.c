/* Links, queues, back-pressure, taps and hubs. */
#include "net/backends.h"
#include "net/link.h"

#include "base/alloc.h"
#include "base/bits.h"
#include "base/log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* A card that notes what it is told, and answers each frame if it has an answer. */
struct card {
    struct net_port port;
    bool deaf;
    unsigned got, room_calls;
    uint8_t first_bytes[1024]; /* byte 14 of each frame */
    size_t last_len;
    int up;           /* -1: never told */
    unsigned answers; /* frames still to be sent from within receive */
    unsigned depth, deepest;
};

static bool card_can_receive(struct net_port *p)
{
    return !((struct card *)p)->deaf;
}

static void send_byte(struct card *c, uint8_t b)
{
    uint8_t frame[64] = { [14] = b };
    net_port_send(&c->port, frame, sizeof frame);
}

static void card_receive(struct net_port *p, const uint8_t *frame, size_t len)
{
    struct card *c = (struct card *)p;
    c->first_bytes[c->got++ % sizeof c->first_bytes] = frame[14];
    c->last_len = len;
    if (++c->depth > c->deepest)
        c->deepest = c->depth;
    if (c->answers) {
        c->answers--;
        send_byte(c, frame[14] + 1);
    }
    c->depth--;
}

static void card_can_send(struct net_port *p)
{
    ((struct card *)p)->room_calls++;
}

static void card_link_changed(struct net_port *p, bool up)
{
    ((struct card *)p)->up = up;
}

static const struct net_port_ops card_ops = {
    .kind = "nic",
    .can_receive = card_can_receive,
    .receive = card_receive,
    .can_send = card_can_send,
    .link_changed = card_link_changed,
};

static void card_add(struct net *n, struct card *c, const char *id)
{
    struct error err = { 0 };
    *c = (struct card){ .port.ops = &card_ops, .up = -1 };
    assert_true(net_port_add(n, &c->port, id, &err));
}

/* A tap for what is held and what is made up. */
struct noting_tap {
    struct net_tap tap;
    struct net_link *link;
    int64_t delay;
    unsigned seen;
};

struct pair {
    struct net *n;
    struct card a, b;
    struct net_link *l;
};

static void pair_new(struct pair *p)
{
    p->n = net_new(NULL);
    card_add(p->n, &p->a, "a");
    card_add(p->n, &p->b, "b");
    p->l = net_link_new(p->n, &p->a.port, &p->b.port, NULL, NULL);
    assert_non_null(p->l);
}

static void test_names(void **state)
{
    (void)state;
    struct pair p;
    struct error err = { 0 };
    pair_new(&p);
    assert_string_equal(net_link_name(p.l), "a-b");
    struct card twin = { .port.ops = &card_ops };
    assert_false(net_port_add(p.n, &twin.port, "a", &err));
    assert_non_null(strstr(err.text, "\"a\""));
    struct card x, y;
    card_add(p.n, &x, NULL);
    card_add(p.n, &y, NULL);
    assert_string_equal(x.port.id, "nic0");
    assert_string_equal(y.port.id, "nic1");
    assert_ptr_equal(net_port_find(p.n, "nic1"), &y.port);
    assert_null(net_port_find(p.n, "nic2"));
    assert_null(net_link_new(p.n, &p.a.port, &x.port, NULL, &err));
    assert_non_null(strstr(err.text, "already plugged into link \"a-b\""));
    assert_null(net_link_new(p.n, &x.port, &x.port, NULL, &err));
    assert_null(net_link_new(p.n, &x.port, &y.port, "a-b", &err));
    assert_null(x.port.link);
    const char *order[] = { "a", "b", "nic0", "nic1" };
    size_t i = 0;
    for (struct net_port *q = net_port_next(p.n, NULL); q; q = net_port_next(p.n, q))
        assert_string_equal(q->id, order[i++]);
    assert_int_equal(i, 4);
    net_port_remove(&y.port);
    card_add(p.n, &y, "again"); /* the tail of the list is right after a removal */
    assert_ptr_equal(net_port_next(p.n, &x.port), &y.port);
    net_free(p.n);
}

static void test_delivery_and_limits(void **state)
{
    (void)state;
    struct pair p;
    pair_new(&p);
    static uint8_t big[NET_FRAME_MAX + 1];
    net_port_send(&p.a.port, big, 13);
    net_port_send(&p.a.port, big, sizeof big);
    assert_int_equal(p.b.got, 0);
    net_port_send(&p.a.port, big, 14);
    net_port_send(&p.a.port, big, NET_FRAME_MAX);
    assert_int_equal(p.b.got, 2);
    assert_int_equal(p.b.last_len, NET_FRAME_MAX);
    struct net_link_stats s = net_link_stats(p.l, 0);
    assert_int_equal(s.frames, 2);
    assert_int_equal(s.bytes, NET_FRAME_MAX + 14);
    assert_int_equal(s.dropped, 2);
    assert_int_equal(net_link_stats(p.l, 1).frames, 0);
    net_free(p.n);
}

static void test_back_pressure(void **state)
{
    (void)state;
    struct pair p;
    pair_new(&p);
    p.b.deaf = true;
    for (int i = 0; i < NET_QUEUE_MAX; i++) {
        assert_true(net_port_can_send(&p.a.port));
        send_byte(&p.a, (uint8_t)i);
    }
    assert_false(net_port_can_send(&p.a.port));
    send_byte(&p.a, 99);
    assert_int_equal(net_link_stats(p.l, 0).dropped, 1);
    assert_int_equal(p.b.got, 0);
    net_port_ready(&p.b.port); /* still deaf */
    assert_int_equal(p.b.got + p.a.room_calls, 0);
    p.b.deaf = false;
    net_port_ready(&p.b.port);
    assert_int_equal(p.b.got, NET_QUEUE_MAX);
    for (int i = 0; i < NET_QUEUE_MAX; i++)
        assert_int_equal(p.b.first_bytes[i], (uint8_t)i);
    assert_int_equal(p.a.room_calls, 1); /* once, though it asked once and was freed by many */
    assert_true(net_port_can_send(&p.a.port));
    net_free(p.n);
}

/* What waits goes before what is sent now, even when the receiver could take it. */
static void test_order_behind_queue(void **state)
{
    (void)state;
    struct pair p;
    pair_new(&p);
    p.b.deaf = true;
    send_byte(&p.a, 1);
    p.b.deaf = false;
    send_byte(&p.a, 2);
    assert_int_equal(p.b.got, 2);
    assert_int_equal(p.b.first_bytes[0], 1);
    assert_int_equal(p.b.first_bytes[1], 2);
    net_free(p.n);
}

static void test_up_and_down(void **state)
{
    (void)state;
    struct pair p;
    pair_new(&p);
    assert_int_equal(p.a.up, 1);
    p.b.deaf = true;
    for (int i = 0; i < NET_QUEUE_MAX; i++)
        send_byte(&p.a, 0);
    assert_false(net_port_can_send(&p.a.port));
    net_link_set_up(p.l, false);
    assert_false(net_link_is_up(p.l));
    assert_int_equal(p.a.up, 0);
    assert_int_equal(p.b.up, 0);
    assert_int_equal(p.a.room_calls, 1); /* a waiting sender is not forgotten */
    send_byte(&p.a, 0);
    assert_int_equal(net_link_stats(p.l, 0).dropped, NET_QUEUE_MAX + 1);
    p.b.deaf = false;
    net_link_set_up(p.l, true);
    assert_int_equal(p.b.up, 1);
    assert_int_equal(p.b.got, 0);
    send_byte(&p.a, 0);
    assert_int_equal(p.b.got, 1);
    net_link_free(p.l);
    assert_int_equal(p.b.up, 0);
    send_byte(&p.a, 0); /* into the air */
    assert_true(net_port_can_send(&p.a.port));
    assert_int_equal(p.b.got, 1);
    net_free(p.n);
}

/* Two cards that answer each other inside of receive: a thousand answers, no deep stack. */
static void test_answers_do_not_nest(void **state)
{
    (void)state;
    struct pair p;
    pair_new(&p);
    p.a.answers = p.b.answers = 500;
    send_byte(&p.a, 0);
    assert_int_equal(p.b.got, 501);
    assert_int_equal(p.a.got, 500);
    assert_int_equal(p.a.deepest, 1);
    assert_int_equal(p.b.deepest, 1);
    assert_int_equal(p.b.first_bytes[100], 200);
    net_free(p.n);
}

struct test_tap {
    struct net_tap tap;
    struct net_link *link;
    struct net_tap *remove; /* taken off when this one is called */
    enum net_verdict verdict;
    bool free_link;
    unsigned calls, gone, from_end;
};

static enum net_verdict tap_frame(void *opaque, unsigned from_end, uint8_t *frame, size_t *len,
                                  size_t capacity)
{
    struct test_tap *t = opaque;
    t->calls++;
    t->from_end = from_end;
    assert_true(capacity >= NET_FRAME_MAX);
    frame[14] += 10;
    *len += 1;
    if (t->remove)
        net_link_remove_tap(t->link, t->remove);
    if (t->free_link)
        net_link_free(t->link);
    return t->verdict;
}

static void tap_gone(void *opaque)
{
    ((struct test_tap *)opaque)->gone++;
}

static void tap_add(struct test_tap *t, struct net_link *l)
{
    *t = (struct test_tap){ .tap = { .frame = tap_frame, .gone = tap_gone, .opaque = t },
                            .link = l,
                            .verdict = NET_PASS };
    net_link_add_tap(l, &t->tap);
}

static void test_taps(void **state)
{
    (void)state;
    struct pair p;
    struct test_tap t, u, v;
    pair_new(&p);
    tap_add(&t, p.l);
    tap_add(&u, p.l);
    tap_add(&v, p.l);
    const uint8_t frame[64] = { [14] = 5 };
    net_port_send(&p.a.port, frame, sizeof frame);
    assert_int_equal(frame[14], 5); /* the sender's bytes are not touched */
    assert_int_equal(p.b.first_bytes[0], 35);
    assert_int_equal(p.b.last_len, 67);
    assert_int_equal(t.from_end, 0);
    send_byte(&p.b, 1);
    assert_int_equal(t.from_end, 1);
    t.remove = &u.tap; /* the next one, from within the first */
    send_byte(&p.a, 5);
    assert_int_equal(p.b.first_bytes[1], 25);
    assert_int_equal(u.calls, 2);
    t.remove = &t.tap;
    t.verdict = NET_DROP;
    send_byte(&p.a, 5);
    assert_int_equal(p.b.got, 2);
    assert_int_equal(net_link_stats(p.l, 0).dropped, 1);
    assert_int_equal(v.calls, 3);
    /* The wire goes away while a frame is on it. */
    v.free_link = true;
    send_byte(&p.a, 5);
    assert_int_equal(p.b.got, 2);
    assert_int_equal(v.gone, 1);
    assert_int_equal(t.gone + u.gone, 0);
    assert_null(p.a.port.link);
    assert_null(net_link_next(p.n, NULL));
    net_free(p.n);
}

static struct net_port *hub_join(struct net *n, struct net_hub *h, struct net_port *to)
{
    struct error err = { 0 };
    struct net_port *hp = net_hub_add_port(h, &err);
    assert_non_null(hp);
    assert_non_null(net_link_new(n, hp, to, NULL, &err));
    return hp;
}

static void test_hub(void **state)
{
    (void)state;
    struct error err = { 0 };
    struct net *n = net_new(NULL);
    struct card c[3];
    struct net_hub *h = net_hub_new(n, "hub0", &err);
    assert_null(net_hub_new(n, "hub0", &err));
    assert_non_null(strstr(err.text, "\"hub0\""));
    for (int i = 0; i < 3; i++) {
        card_add(n, &c[i], NULL);
        struct net_port *hp = hub_join(n, h, &c[i].port);
        char id[16] = "hub0port0";
        id[8] += (char)i;
        assert_string_equal(hp->id, id);
    }
    send_byte(&c[0], 7);
    assert_int_equal(c[0].got, 0);
    assert_int_equal(c[1].got, 1);
    assert_int_equal(c[2].got, 1);
    /* One deaf card does not silence the rest; two hold the sender back, and none is forgotten. */
    c[1].deaf = true;
    for (int i = 0; i < 2 * NET_QUEUE_MAX; i++)
        send_byte(&c[0], 0);
    assert_int_equal(c[2].got, 1 + 2 * NET_QUEUE_MAX);
    c[2].deaf = true;
    for (int i = 0; i < 2 * NET_QUEUE_MAX; i++)
        send_byte(&c[0], 0);
    assert_false(net_port_can_send(&c[0].port));
    c[2].deaf = false;
    net_port_ready(&c[2].port);
    assert_int_equal(c[2].got, 1 + 4 * NET_QUEUE_MAX);
    assert_true(c[0].room_calls > 0);
    assert_true(net_port_can_send(&c[0].port));
    assert_false(net_has_outside(n));
    c[1].port.outside = true;
    assert_true(net_has_outside(n));
    net_free(n);
}

/* A clock that stands where it is put. */
static int64_t time_now(void *opaque)
{
    return *(int64_t *)opaque;
}

static enum net_verdict hold_frame(void *opaque, unsigned from, uint8_t *frame, size_t *len,
                                   size_t capacity)
{
    struct noting_tap *t = opaque;
    (void)capacity;
    t->seen++;
    return net_link_hold(t->link, &t->tap, from, frame, *len, t->delay);
}

/* A frame held by a tap goes on later, past that tap; what is held goes with the wire. */
static void test_held_frames(void **state)
{
    (void)state;
    int64_t now = 0;
    struct clock clock;
    clock_init(&clock, "test", time_now, NULL, &now);
    struct net *n = net_new(&clock);
    struct card a, b;
    card_add(n, &a, "a");
    card_add(n, &b, "b");
    struct net_link *l = net_link_new(n, &a.port, &b.port, NULL, NULL);
    struct noting_tap t = { .tap = { .frame = hold_frame, .opaque = &t }, .link = l, .delay = 10 };
    net_link_add_tap(l, &t.tap);
    send_byte(&a, 1);
    t.delay = 5;
    send_byte(&a, 2);
    assert_int_equal(b.got, 0);
    now = 10;
    assert_int_equal(clock_run(&clock), 2);
    assert_int_equal(b.got, 2);
    assert_int_equal(b.first_bytes[0], 2);
    assert_int_equal(b.first_bytes[1], 1);
    assert_int_equal(t.seen, 2);

    /* The receiver is busy when it comes: it waits in the queue like any other. */
    send_byte(&a, 3);
    b.deaf = true;
    now = 20;
    clock_run(&clock);
    assert_int_equal(b.got, 2);
    b.deaf = false;
    net_port_ready(&b.port);
    assert_int_equal(b.got, 3);

    send_byte(&a, 4);
    net_link_set_up(l, false);
    net_link_set_up(l, true);
    assert_int_equal(net_link_stats(l, 0).dropped, 1);
    send_byte(&a, 5);
    net_link_free(l);
    assert_int_equal(clock_deadline(&clock), CLOCK_NEVER);
    now = 100;
    clock_run(&clock);
    assert_int_equal(b.got, 3);
    net_free(n);
    clock_fini(&clock);
}

static enum net_verdict note_frame(void *opaque, unsigned from, uint8_t *frame, size_t *len,
                                   size_t capacity)
{
    struct noting_tap *t = opaque;
    (void)from;
    (void)frame;
    (void)len;
    (void)capacity;
    t->seen++;
    return NET_PASS;
}

/* Frames that nobody sent: shown to dumps, not to taps that want sent ones. No clock, no delay. */
static void test_injected_frames(void **state)
{
    (void)state;
    struct pair p;
    pair_new(&p);
    struct noting_tap all = { .tap = { .frame = note_frame, .opaque = &all } };
    struct noting_tap sent = { .tap = { .frame = note_frame, .opaque = &sent, .sent_only = true } };
    net_link_add_tap(p.l, &all.tap);
    net_link_add_tap(p.l, &sent.tap);
    const uint8_t frame[64] = { [14] = 7 };
    assert_true(net_link_inject(p.l, 0, frame, sizeof frame, 0, true));
    assert_true(net_link_inject(p.l, 1, frame, sizeof frame, 0, false));
    assert_int_equal(p.b.got, 1);
    assert_int_equal(p.a.got, 1);
    assert_int_equal(all.seen, 2);
    assert_int_equal(sent.seen, 1);
    assert_false(net_link_inject(p.l, 0, frame, sizeof frame, 1, true));
    net_link_remove_tap(p.l, &all.tap);
    net_link_remove_tap(p.l, &sent.tap);
    net_free(p.n);
}

/* Two hubs joined twice are a loop: a frame would go round for ever. */
static void test_hub_loop_ends(void **state)
{
    (void)state;
    log_set_level(LOG_ERROR);
    struct net *n = net_new(NULL);
    struct net_hub *g = net_hub_new(n, NULL, NULL), *h = net_hub_new(n, NULL, NULL);
    struct card a, b;
    card_add(n, &a, "a");
    card_add(n, &b, "b");
    hub_join(n, g, &a.port);
    hub_join(n, h, &b.port);
    for (int i = 0; i < 3; i++) /* three wires: a frame becomes more with every round */
        hub_join(n, g, net_hub_add_port(h, NULL));
    for (int i = 0; i < 20; i++)
        send_byte(&a, 1);
    assert_true(b.got >= 20);
    assert_true(b.got < 20 * 10000);
    assert_int_equal(b.deepest, 1);
    /* It is over, and the wires are empty. */
    unsigned got = b.got;
    net_port_ready(&b.port);
    net_port_ready(&a.port);
    assert_int_equal(b.got, got);
    net_free(n);
    log_set_level(LOG_WARN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_delivery_and_limits),
        cmocka_unit_test(test_back_pressure),
        cmocka_unit_test(test_order_behind_queue),
        cmocka_unit_test(test_up_and_down),
        cmocka_unit_test(test_answers_do_not_nest),
        cmocka_unit_test(test_taps),
        cmocka_unit_test(test_hub),
        cmocka_unit_test(test_hub_loop_ends),
        cmocka_unit_test(test_held_frames),
        cmocka_unit_test(test_injected_frames),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
