/* User networking against a tiny guest stack: ARP, DHCP, UDP and TCP through the gateway to servers
 * on loopback, forwarded ports, and back-pressure. The loop runs until an event or a deadline. */
#include "net/backends.h"

#include "base/alloc.h"
#include "base/bits.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

enum {
    GATEWAY = 0x0a000202,
    GUEST = 0x0a00020f,
    TICK_MS = 10,
    DEADLINE_S = 20,
    GUEST_PORT = 4000,
    TCP_FIN = 1,
    TCP_SYN = 2,
    TCP_RST = 4,
    TCP_ACK = 16,
};

static const uint8_t guest_mac[6] = { 0x52, 0x54, 0, 0x12, 0x34, 0x56 };
static const uint8_t gateway_mac[6] = { 0x52, 0x55, 10, 0, 2, 2 };

/* The guest's end of one TCP connection; enough to fetch what a server sends. */
struct tcp {
    uint16_t port, peer_port;
    uint32_t seq, ack;
    bool open, closed;
    bool stays; /* does not close when its peer does */
    uint64_t got;
    bool wrong; /* a byte was not the expected one */
};

struct world {
    struct loop *loop;
    struct net *net;
    struct door *door;
    bool door_shut; /* nothing enters */
    struct net_port guest, *user;
    struct timer tick;
    int64_t deadline;
    bool (*done)(struct world *w);
    uint8_t last[2048]; /* the latest frame that is not ARP */
    size_t last_len;
    unsigned frames, datagrams;
    bool answers_arp;
    unsigned arp_requests;
    uint8_t arp_reply[64];
    size_t arp_reply_len;
    struct tcp tcp;
    bool syn_seen; /* somebody connects to the guest */
};

/* ---- the guest's stack ---- */

static uint16_t checksum(const uint8_t *p, size_t len, uint32_t sum)
{
    for (size_t i = 0; i < len; i++)
        sum += i & 1 ? p[i] : (uint32_t)p[i] << 8;
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)~sum;
}

static void put_ethernet(uint8_t *f, const uint8_t to[6], uint16_t type)
{
    memcpy(f, to, 6);
    memcpy(f + 6, guest_mac, 6);
    st_be16(f + 12, type);
}

/* Headers of Ethernet and IPv4 around a payload that stands at f + 34 already. */
static void send_ip(struct world *w, uint8_t *f, const uint8_t mac[6], uint32_t from, uint32_t to,
                    uint8_t protocol, size_t len)
{
    put_ethernet(f, mac, 0x0800);
    memset(f + 14, 0, 20);
    f[14] = 0x45;
    st_be16(f + 16, (uint16_t)(20 + len));
    f[22] = 64;
    f[23] = protocol;
    st_be32(f + 26, from);
    st_be32(f + 30, to);
    st_be16(f + 24, checksum(f + 14, 20, 0));
    net_port_send(&w->guest, f, 34 + len);
}

/* The checksum of UDP or TCP: pseudo header and segment. */
static uint16_t segment_checksum(const uint8_t *f, size_t len)
{
    return checksum(f + 26, 8 + len, (uint32_t)(f[23] + len));
}

static void send_udp(struct world *w, const uint8_t mac[6], uint32_t from, uint32_t to,
                     uint16_t port, uint16_t to_port, const void *data, size_t len)
{
    uint8_t f[1024] = { 0 };
    st_be16(f + 34, port);
    st_be16(f + 36, to_port);
    st_be16(f + 38, (uint16_t)(8 + len));
    memcpy(f + 42, data, len);
    send_ip(w, f, mac, from, to, 17, 8 + len);
}

static void send_segment(struct world *w, uint8_t flags, const char *text)
{
    struct tcp *t = &w->tcp;
    uint8_t f[256] = { 0 };
    st_be16(f + 34, t->port);
    st_be16(f + 36, t->peer_port);
    st_be32(f + 38, t->seq);
    st_be32(f + 42, flags & TCP_ACK ? t->ack : 0);
    size_t len = flags & TCP_SYN ? 24 : 20; /* with the largest segment: 1460 */
    memcpy(f + 54, (const uint8_t[]){ 2, 4, 0x05, 0xb4 }, len - 20);
    f[46] = (uint8_t)(len << 2);
    f[47] = flags;
    st_be16(f + 48, 65535);
    memcpy(f + 34 + len, text, strlen(text));
    len += strlen(text);
    t->seq += (uint32_t)strlen(text);
    f[23] = 6;
    st_be32(f + 26, GUEST);
    st_be32(f + 30, GATEWAY);
    st_be16(f + 50, segment_checksum(f, len));
    send_ip(w, f, gateway_mac, GUEST, GATEWAY, 6, len);
}

static void send_tcp(struct world *w, uint8_t flags)
{
    send_segment(w, flags, "");
}

static uint8_t stream_byte(uint64_t at)
{
    return (uint8_t)(at ^ at >> 8 ^ at >> 16);
}

static void got_tcp(struct world *w, const uint8_t *f)
{
    struct tcp *t = &w->tcp;
    size_t header = (size_t)(f[46] >> 4) * 4, len = (size_t)ld_be16(f + 16) - 20 - header;
    uint8_t flags = f[47];
    if ((flags & (TCP_SYN | TCP_ACK)) == TCP_SYN) {
        w->syn_seen = true;
        t->port = ld_be16(f + 36);
        t->peer_port = ld_be16(f + 34);
        t->seq = 0;
        t->ack = ld_be32(f + 38) + 1;
        send_tcp(w, TCP_RST | TCP_ACK);
        return;
    }
    if (ld_be16(f + 36) != t->port)
        return; /* an earlier connection's last words */
    if (flags & TCP_RST) {
        t->closed = true;
        return;
    }
    if (flags & TCP_SYN) {
        t->ack = ld_be32(f + 38) + 1;
        t->seq++;
        t->open = true;
    } else if (ld_be32(f + 38) == t->ack) {
        for (size_t i = 0; i < len; i++)
            t->wrong |= f[34 + header + i] != stream_byte(t->got + i);
        t->got += len;
        t->ack += (uint32_t)len;
        if (flags & TCP_FIN) {
            t->ack++;
            t->closed = true;
            send_tcp(w, t->stays ? TCP_ACK : TCP_FIN | TCP_ACK);
            t->seq += !t->stays;
            return;
        }
    }
    if (len || flags & TCP_SYN)
        send_tcp(w, TCP_ACK);
}

static void got_arp(struct world *w, const uint8_t *f, size_t len)
{
    if (ld_be16(f + 20) == 2) {
        w->arp_reply_len = len < sizeof w->arp_reply ? len : sizeof w->arp_reply;
        memcpy(w->arp_reply, f, w->arp_reply_len);
        return;
    }
    w->arp_requests++;
    if (!w->answers_arp)
        return;
    uint8_t r[42];
    memcpy(r, f, sizeof r);
    put_ethernet(r, f + 6, 0x0806);
    st_be16(r + 20, 2);
    memcpy(r + 22, guest_mac, 6);
    st_be32(r + 28, GUEST);
    memcpy(r + 32, f + 22, 10);
    net_port_send(&w->guest, r, sizeof r);
}

static void guest_receive(struct net_port *p, const uint8_t *f, size_t len)
{
    struct world *w = p->opaque;
    w->frames++;
    assert_true(len >= 42);
    if (ld_be16(f + 12) == 0x0806) {
        got_arp(w, f, len);
        return;
    }
    assert_int_equal(checksum(f + 14, 20, 0), 0);
    assert_true(len <= sizeof w->last);
    memcpy(w->last, f, len);
    w->last_len = len;
    if (f[23] == 17)
        w->datagrams++;
    else if (f[23] == 6)
        got_tcp(w, f);
}

static const struct net_port_ops guest_ops = { .kind = "nic", .receive = guest_receive };

/* ---- the world around it ---- */

static void on_tick(void *opaque)
{
    struct world *w = opaque;
    timer_set(&w->tick, loop_realtime_ns() + TICK_MS * 1000000LL);
}

static void on_knock(void *opaque)
{
    loop_wake(((struct world *)opaque)->loop);
}

static struct world *world_new(const struct slirp_config *config)
{
    struct world *w = ALLOC(struct world);
    struct error err = { 0 };
    w->loop = loop_new(&err);
    machine_lock_take(loop_lock(w->loop));
    w->net = net_new(NULL);
    w->door = door_new(on_knock, w);
    w->answers_arp = true;
    struct slirp_config plain = { .id = "n1" };
    w->user = net_slirp_new(w->net, w->loop, loop_realtime(w->loop), w->door,
                            config ? config : &plain, &err);
    if (!w->user)
        fail_msg("%s", err.text);
    w->guest = (struct net_port){ .ops = &guest_ops, .opaque = w };
    assert_true(net_port_add(w->net, &w->guest, "guest", &err));
    assert_non_null(net_link_new(w->net, &w->guest, w->user, NULL, &err));
    assert_true(net_has_outside(w->net));
    timer_init(&w->tick, loop_realtime(w->loop), on_tick, w);
    on_tick(w);
    return w;
}

static void world_free(struct world *w)
{
    timer_cancel(&w->tick);
    net_free(w->net);
    door_free(w->door);
    machine_lock_release(loop_lock(w->loop));
    loop_free(w->loop);
    free(w);
}

static bool world_done(void *opaque)
{
    struct world *w = opaque;
    if (!w->door_shut)
        door_drain(w->door);
    if (!w->door_shut && door_pending(w->door))
        loop_wake(w->loop); /* what came meanwhile, behind others, has not knocked */
    return (w->done && w->done(w)) || loop_realtime_ns() > w->deadline;
}

/* False: the deadline came first. */
static bool run_until(struct world *w, bool (*done)(struct world *w))
{
    w->deadline = loop_realtime_ns() + DEADLINE_S * NS_PER_SECOND;
    w->done = done;
    loop_run(w->loop, world_done, w);
    return loop_realtime_ns() <= w->deadline;
}

static void run_for_ms(struct world *w, int ms)
{
    w->deadline = loop_realtime_ns() + ms * 1000000LL;
    w->done = NULL;
    loop_run(w->loop, world_done, w);
}

/* A socket on loopback at a free port. */
static int server(int type, uint16_t *port)
{
    int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);
    struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t len = sizeof a;
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof a), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &len), 0);
    if (type == SOCK_STREAM)
        assert_int_equal(listen(fd, 8), 0);
    *port = ntohs(a.sin_port);
    return fd;
}

/* ---- ARP and DHCP ---- */

static void send_arp_request(struct world *w, uint32_t target)
{
    uint8_t f[42] = { 0 };
    put_ethernet(f, (const uint8_t[6]){ 255, 255, 255, 255, 255, 255 }, 0x0806);
    st_be16(f + 14, 1);
    st_be16(f + 16, 0x0800);
    f[18] = 6;
    f[19] = 4;
    st_be16(f + 20, 1);
    memcpy(f + 22, guest_mac, 6);
    st_be32(f + 28, GUEST);
    st_be32(f + 38, target);
    net_port_send(&w->guest, f, sizeof f);
}

static bool arp_answered(struct world *w)
{
    return w->arp_reply_len;
}

static void test_arp(void **state)
{
    (void)state;
    struct world *w = world_new(NULL);
    send_arp_request(w, GATEWAY);
    assert_int_equal(w->arp_reply_len, 0); /* it enters by the door, not at once */
    assert_true(run_until(w, arp_answered));
    uint8_t expected[42];
    memcpy(expected, guest_mac, 6);
    memcpy(expected + 6, gateway_mac, 6);
    memcpy(expected + 12, (const uint8_t[]){ 8, 6, 0, 1, 8, 0, 6, 4, 0, 2 }, 10);
    memcpy(expected + 22, gateway_mac, 6);
    st_be32(expected + 28, GATEWAY);
    memcpy(expected + 32, guest_mac, 6);
    st_be32(expected + 38, GUEST);
    assert_memory_equal(w->arp_reply, expected, sizeof expected);
    world_free(w);
}

static void send_dhcp(struct world *w, uint8_t type)
{
    uint8_t m[300] = { 1, 1, 6, 0, 0xca, 0xfe, 0xba, 0xbe };
    memcpy(m + 28, guest_mac, 6);
    memcpy(m + 236, (const uint8_t[]){ 99, 130, 83, 99, 53, 1, type }, 7);
    size_t at = 243;
    if (type == 3) {
        memcpy(m + at, (const uint8_t[]){ 50, 4, 10, 0, 2, 15, 54, 4, 10, 0, 2, 2 }, 12);
        at += 12;
    }
    m[at] = 255;
    w->datagrams = 0;
    send_udp(w, (const uint8_t[6]){ 255, 255, 255, 255, 255, 255 }, 0, 0xffffffff, 68, 67, m,
             sizeof m);
}

static bool got_datagram(struct world *w)
{
    return w->datagrams;
}

static void assert_option(const uint8_t *m, size_t len, uint8_t code, const uint8_t *value,
                          uint8_t value_len)
{
    for (size_t i = 240; i + 1 < len && m[i] != 255; i += m[i] ? 2 + (size_t)m[i + 1] : 1)
        if (m[i] == code) {
            assert_int_equal(m[i + 1], value_len);
            assert_memory_equal(m + i + 2, value, value_len);
            return;
        }
    fail_msg("DHCP option %u is missing", code);
}

static void check_dhcp_answer(struct world *w, uint8_t type)
{
    const uint8_t *f = w->last, *m = f + 42;
    assert_memory_equal(f + 6, gateway_mac, 6);
    assert_int_equal(ld_be32(f + 26), GATEWAY);
    assert_int_equal(ld_be16(f + 34), 67);
    assert_int_equal(ld_be16(f + 36), 68);
    size_t udp = ld_be16(f + 38), len = udp - 8;
    assert_int_equal(udp + 34, w->last_len);
    if (ld_be16(f + 40))
        assert_int_equal(segment_checksum(f, udp), 0);
    assert_memory_equal(m, ((const uint8_t[]){ 2, 1, 6, 0, 0xca, 0xfe, 0xba, 0xbe }), 8);
    assert_int_equal(ld_be32(m + 12), 0);
    assert_int_equal(ld_be32(m + 16), GUEST);
    assert_int_equal(ld_be32(m + 20), GATEWAY);
    assert_memory_equal(m + 28, guest_mac, 6);
    assert_int_equal(ld_be32(m + 236), 0x63825363);
    const uint8_t self[] = { 10, 0, 2, 2 };
    assert_option(m, len, 53, &type, 1);
    assert_option(m, len, 54, self, 4);
    assert_option(m, len, 1, (const uint8_t[]){ 255, 255, 255, 0 }, 4);
    assert_option(m, len, 3, self, 4);
    assert_option(m, len, 6, (const uint8_t[]){ 10, 0, 2, 3 }, 4);
    assert_option(m, len, 51, (const uint8_t[]){ 0, 1, 0x51, 0x80 }, 4); /* a day */
}

static void test_dhcp(void **state)
{
    (void)state;
    struct world *w = world_new(NULL);
    send_dhcp(w, 1);
    assert_true(run_until(w, got_datagram));
    check_dhcp_answer(w, 2);
    send_dhcp(w, 3);
    assert_true(run_until(w, got_datagram));
    check_dhcp_answer(w, 5);
    world_free(w);
}

/* ---- UDP ---- */

/* The guest says something to the server, which learns where to answer to. */
static struct sockaddr_in greet(struct world *w, int fd, uint16_t port)
{
    send_udp(w, gateway_mac, GUEST, GATEWAY, GUEST_PORT, port, "hello", 5);
    uint8_t buf[64];
    struct sockaddr_in from;
    socklen_t len = sizeof from;
    struct pollfd p = { .fd = fd, .events = POLLIN };
    assert_int_equal(poll(&p, 1, 5000), 1);
    assert_int_equal(recvfrom(fd, buf, sizeof buf, 0, (struct sockaddr *)&from, &len), 5);
    assert_memory_equal(buf, "hello", 5);
    return from;
}

static void test_udp(void **state)
{
    (void)state;
    struct world *w = world_new(NULL);
    uint16_t port;
    int fd = server(SOCK_DGRAM, &port);
    struct sockaddr_in to = greet(w, fd, port);
    assert_int_equal(sendto(fd, "olleh!", 6, 0, (struct sockaddr *)&to, sizeof to), 6);
    assert_true(run_until(w, got_datagram));
    assert_int_equal(ld_be32(w->last + 26), GATEWAY);
    assert_int_equal(ld_be32(w->last + 30), GUEST);
    assert_int_equal(ld_be16(w->last + 34), port);
    assert_int_equal(ld_be16(w->last + 36), GUEST_PORT);
    assert_int_equal(ld_be16(w->last + 38), 14);
    assert_memory_equal(w->last + 42, "olleh!", 6);
    close(fd);
    world_free(w);
}

static bool got_200(struct world *w)
{
    return w->datagrams >= 200;
}

/* While nothing enters, slirp's sockets are left alone, and the host's buffers hold what came; then
 * all of it arrives. */
static void test_back_pressure(void **state)
{
    (void)state;
    struct world *w = world_new(NULL);
    uint16_t port;
    int fd = server(SOCK_DGRAM, &port);
    send_arp_request(w, GATEWAY);
    assert_true(run_until(w, arp_answered));
    struct sockaddr_in to = greet(w, fd, port);
    w->door_shut = true;
    for (int i = 0; i < 200; i++)
        assert_int_equal(sendto(fd, "x", 1, 0, (struct sockaddr *)&to, sizeof to), 1);
    run_for_ms(w, 300);
    unsigned posted = door_drain(w->door);
    assert_in_range(posted, 100, 140);
    w->door_shut = false;
    assert_true(run_until(w, got_200));
    assert_int_equal(w->datagrams, 200);
    close(fd);
    world_free(w);
}

static void test_restricted(void **state)
{
    (void)state;
    struct world *w = world_new(&(struct slirp_config){ .id = "n1", .restricted = true });
    uint16_t port;
    int fd = server(SOCK_DGRAM, &port);
    send_udp(w, gateway_mac, GUEST, GATEWAY, GUEST_PORT, port, "hello", 5);
    run_for_ms(w, 100);
    struct pollfd p = { .fd = fd, .events = POLLIN };
    assert_int_equal(poll(&p, 1, 0), 0);
    send_dhcp(w, 1);
    assert_true(run_until(w, got_datagram)); /* an address there is */
    close(fd);
    world_free(w);
}

/* ---- TCP ---- */

struct sender {
    int fd;
    uint64_t bytes;
    unsigned connections;
};

static void *sender_main(void *opaque)
{
    struct sender *s = opaque;
    uint8_t block[4096];
    for (unsigned c = 0; c < s->connections; c++) {
        int fd = accept(s->fd, NULL, NULL);
        for (uint64_t at = 0; fd >= 0 && at < s->bytes;) {
            size_t n = s->bytes - at < sizeof block ? (size_t)(s->bytes - at) : sizeof block;
            for (size_t i = 0; i < n; i++)
                block[i] = stream_byte(at + i);
            ssize_t sent = send(fd, block, n, MSG_NOSIGNAL);
            if (sent <= 0)
                break;
            at += (uint64_t)sent;
        }
        close(fd);
    }
    return NULL;
}

static bool tcp_closed(struct world *w)
{
    return w->tcp.closed;
}

static void fetch(struct world *w, uint16_t guest_port, uint16_t port, uint64_t bytes)
{
    w->tcp = (struct tcp){ .port = guest_port, .peer_port = port, .seq = 1000 };
    send_tcp(w, TCP_SYN);
    assert_true(run_until(w, tcp_closed));
    assert_int_equal(w->tcp.got, bytes);
    assert_false(w->tcp.wrong);
}

static void test_tcp_download(void **state)
{
    (void)state;
    struct world *w = world_new(NULL);
    uint16_t port;
    struct sender s = { .bytes = 32 << 20, .connections = 1 };
    s.fd = server(SOCK_STREAM, &port);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, sender_main, &s), 0);
    int64_t start = loop_realtime_ns();
    fetch(w, GUEST_PORT, port, s.bytes);
    print_message("32 MiB by TCP in %.2f s\n", (double)(loop_realtime_ns() - start) / 1e9);
    pthread_join(thread, NULL);
    close(s.fd);
    world_free(w);
}

/* The guest runs on a thread of its own, as a vcpu does: the door is drained there, so slirp is
 * entered and its descriptors change while the loop waits on them. */
struct vcpu {
    struct world *w;
    atomic_bool stop;
};

static void *vcpu_main(void *opaque)
{
    struct vcpu *v = opaque;
    while (!v->stop) {
        machine_lock_take(loop_lock(v->w->loop));
        unsigned entered = door_drain(v->w->door);
        machine_lock_release(loop_lock(v->w->loop));
        if (!entered)
            usleep(50);
    }
    return NULL;
}

static void test_tcp_on_vcpu_thread(void **state)
{
    (void)state;
    struct world *w = world_new(NULL);
    w->door_shut = true; /* for the loop thread */
    uint16_t port;
    struct sender s = { .bytes = 1 << 20, .connections = 5 };
    s.fd = server(SOCK_STREAM, &port);
    struct vcpu v = { .w = w };
    pthread_t thread, vcpu;
    assert_int_equal(pthread_create(&thread, NULL, sender_main, &s), 0);
    assert_int_equal(pthread_create(&vcpu, NULL, vcpu_main, &v), 0);
    for (unsigned i = 0; i < s.connections; i++)
        fetch(w, (uint16_t)(GUEST_PORT + i), port, s.bytes);
    v.stop = true;
    machine_lock_release(loop_lock(w->loop));
    pthread_join(vcpu, NULL);
    machine_lock_take(loop_lock(w->loop));
    pthread_join(thread, NULL);
    close(s.fd);
    world_free(w);
}

static bool tcp_open(struct world *w)
{
    return w->tcp.open;
}

static void *reader_main(void *opaque)
{
    struct sender *s = opaque;
    uint8_t block[4096];
    int fd = accept(s->fd, NULL, NULL);
    for (ssize_t n = 1; n > 0; s->bytes += n > 0 ? (uint64_t)n : 0)
        n = recv(fd, block, sizeof block, 0);
    close(fd);
    return NULL;
}

/* Of segments that the guest sends at once only the last is acknowledged; a gap at once. */
static void test_tcp_burst(void **state)
{
    (void)state;
    enum { SEGMENTS = 20 };
    struct world *w = world_new(NULL);
    uint16_t port;
    struct sender s = { .fd = server(SOCK_STREAM, &port) };
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, reader_main, &s), 0);
    w->tcp = (struct tcp){ .port = GUEST_PORT, .peer_port = port, .seq = 1000 };
    send_tcp(w, TCP_SYN);
    assert_true(run_until(w, tcp_open));
    run_for_ms(w, TICK_MS);

    w->frames = 0;
    for (unsigned n = 0; n < SEGMENTS; n++)
        send_segment(w, TCP_ACK, "0123456789");
    door_drain(w->door);
    assert_int_equal(w->frames, 1);
    assert_int_equal(ld_be32(w->last + 42), w->tcp.seq);

    /* One is missing: what comes after it is answered with what has come before it, each time. */
    uint32_t missing = w->tcp.seq;
    w->tcp.seq += 10;
    w->frames = 0;
    for (unsigned n = 0; n < 3; n++)
        send_segment(w, TCP_ACK, "abcdefghij");
    door_drain(w->door);
    assert_int_equal(w->frames, 3);
    assert_int_equal(ld_be32(w->last + 42), missing);

    w->tcp.seq = missing;
    send_segment(w, TCP_ACK, "0123456789");
    w->tcp.seq += 30;
    send_tcp(w, TCP_FIN | TCP_ACK);
    assert_true(run_until(w, tcp_closed));
    pthread_join(thread, NULL);
    assert_int_equal(s.bytes, (SEGMENTS + 4) * 10);
    close(s.fd);
    world_free(w);
}

/* One connection after the other: their descriptors are closed and reused. */
static void test_tcp_reused_descriptors(void **state)
{
    (void)state;
    struct world *w = world_new(NULL);
    uint16_t port;
    struct sender s = { .bytes = 5000, .connections = 50 };
    s.fd = server(SOCK_STREAM, &port);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, sender_main, &s), 0);
    for (unsigned i = 0; i < s.connections; i++)
        fetch(w, (uint16_t)(GUEST_PORT + i), port, s.bytes);
    pthread_join(thread, NULL);
    close(s.fd);
    world_free(w);
}

/* The host's end is closed, and the guest goes on sending: slirp writes to a socket that nobody
 * reads, which must not end the process. */
static void test_tcp_peer_gone(void **state)
{
    (void)state;
    struct world *w = world_new(NULL);
    uint16_t port;
    int fd = server(SOCK_STREAM, &port);
    w->tcp = (struct tcp){ .port = GUEST_PORT, .peer_port = port, .seq = 1000, .stays = true };
    send_tcp(w, TCP_SYN);
    assert_true(run_until(w, tcp_open));
    close(accept(fd, NULL, NULL));
    assert_true(run_until(w, tcp_closed));
    for (unsigned i = 0; i < 5; i++) {
        send_segment(w, TCP_ACK, "still there?");
        run_for_ms(w, 20);
    }
    sigset_t blocked, pending;
    assert_int_equal(pthread_sigmask(SIG_SETMASK, NULL, &blocked), 0);
    assert_int_equal(sigpending(&pending), 0);
    assert_false(sigismember(&blocked, SIGPIPE));
    assert_false(sigismember(&pending, SIGPIPE));
    send_arp_request(w, GATEWAY);
    assert_true(run_until(w, arp_answered));
    close(fd);
    world_free(w);
}

/* ---- forwarding ---- */

static bool syn_seen(struct world *w)
{
    return w->syn_seen;
}

static void test_hostfwd(void **state)
{
    (void)state;
    uint16_t port;
    int probe = server(SOCK_STREAM, &port);
    char rule[64], taken[64];
    snprintf(rule, sizeof rule, "tcp::%u-:22", port);
    snprintf(taken, sizeof taken, "127.0.0.1:%u", port);
    struct world *w = world_new(NULL);
    struct error err = { 0 };
    assert_false(net_slirp_hostfwd_add(w->user, rule, &err));
    assert_int_equal(err.kind, ERROR_HOST);
    assert_non_null(strstr(err.text, taken));
    assert_non_null(strstr(err.text, "in use"));
    close(probe);
    for (int round = 0; round < 3; round++) {
        if (!net_slirp_hostfwd_add(w->user, rule, &err))
            fail_msg("%s", err.text);
        assert_false(net_slirp_hostfwd_add(w->user, rule, &err)); /* twice */
        assert_int_equal(err.kind, ERROR_CONFIG);
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        struct sockaddr_in a = { .sin_family = AF_INET,
                                 .sin_port = htons(port),
                                 .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        connect(fd, (struct sockaddr *)&a, sizeof a);
        w->syn_seen = false;
        assert_true(run_until(w, syn_seen));
        assert_int_equal(w->tcp.port, 22);
        assert_int_equal(w->arp_requests, 1); /* the SYN waited for the guest's address */
        close(fd);
        assert_true(net_slirp_hostfwd_remove(w->user, rule, &err));
        assert_false(net_slirp_hostfwd_remove(w->user, rule, &err));
        assert_non_null(strstr(err.text, taken));
    }
    world_free(w);
}

static void test_hostfwd_errors(void **state)
{
    (void)state;
    static const struct {
        const char *rule, *says;
    } wrong[] = {
        { "", "protocol" },
        { "tcp", "protocol" },
        { "sctp::2222-:22", "protocol \"sctp\" is not tcp or udp" },
        { "tcp:2222-:22", "host address \"2222-\" is not an IPv4 address" },
        { "tcp:localhost:2222-:22", "host address \"localhost\"" },
        { "tcp:127.0.0.1:0-:22", "host port \"0\"" },
        { "tcp:127.0.0.1:65536-:22", "host port \"65536\"" },
        { "tcp:127.0.0.1:99999999999999999999-:22", "host port" },
        { "tcp:127.0.0.1:-1-:22", "host port \"\"" },
        { "tcp:127.0.0.1:22", "no '-' after the host port" },
        { "tcp:127.0.0.1:22-22", "no ':' after the guest address" },
        { "tcp:127.0.0.1:22-:", "guest port \"\"" },
        { "tcp:127.0.0.1:22-:ssh", "guest port \"ssh\"" },
        { "tcp:127.0.0.1:22-10.0.3.1:22", "10.0.3.1 is not in the guest's network" },
        { "tcp:127.0.0.1:22-10.0.2.15:22,udp", "guest port" },
        { "tcp:1111111111111111111111111111111111111111:1-:1", "too long" },
    };
    struct world *w = world_new(NULL);
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        struct error err = { 0 };
        assert_false(net_slirp_hostfwd_add(w->user, wrong[i].rule, &err));
        assert_int_equal(err.kind, ERROR_CONFIG);
        if (!strstr(err.text, wrong[i].says))
            fail_msg("\"%s\": %s", wrong[i].rule, err.text);
    }
    struct error err = { 0 };
    const char *rules[] = { "udp::0-:1" };
    struct slirp_config config = { .id = "n2", .hostfwd = rules, .hostfwd_count = 1 };
    assert_null(net_slirp_new(w->net, w->loop, loop_realtime(w->loop), w->door, &config, &err));
    assert_null(net_port_find(w->net, "n2")); /* nothing half-done */
    config = (struct slirp_config){ .id = "n1" };
    assert_null(net_slirp_new(w->net, w->loop, loop_realtime(w->loop), w->door, &config, &err));
    assert_non_null(strstr(err.text, "\"n1\""));
    world_free(w);
}

/* ---- a guest that sends nonsense ---- */

static void test_garbage(void **state)
{
    (void)state;
    struct world *w = world_new(NULL);
    uint32_t random = 12345;
    for (int i = 0; i < 3000; i++) {
        uint8_t f[256];
        for (size_t b = 0; b < sizeof f; b++)
            f[b] = (uint8_t)((random = random * 1103515245 + 12345) >> 16);
        put_ethernet(f, gateway_mac, i & 1 ? 0x0800 : 0x0806);
        f[14] = i & 2 ? 0x45 : f[14];
        net_port_send(&w->guest, f, 14 + (size_t)i % (sizeof f - 14));
    }
    send_arp_request(w, GATEWAY);
    assert_true(run_until(w, arp_answered));
    world_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_arp),
        cmocka_unit_test(test_dhcp),
        cmocka_unit_test(test_udp),
        cmocka_unit_test(test_back_pressure),
        cmocka_unit_test(test_restricted),
        cmocka_unit_test(test_tcp_download),
        cmocka_unit_test(test_tcp_on_vcpu_thread),
        cmocka_unit_test(test_tcp_burst),
        cmocka_unit_test(test_tcp_reused_descriptors),
        cmocka_unit_test(test_tcp_peer_gone),
        cmocka_unit_test(test_hostfwd),
        cmocka_unit_test(test_hostfwd_errors),
        cmocka_unit_test(test_garbage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
