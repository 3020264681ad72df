/* An e1000 in slot 3 with its BARs mapped, joined to a port of the test that keeps what it is sent;
 * descriptor rings in guest RAM; a small packet builder. */
#pragma once

#include "hw/net/e1000_regs.h"
#include "hw_pci_fixture.h"
#include "net/link.h"

enum {
    NIC = PCI_DEVFN(3, 0),
    NIC_MMIO = 0x10000000, /* above RAM */
    NIC_IO = 0xc000,
    TX_RING = 0x10000,
    RX_RING = 0x20000,
    RX_BUFFERS = 0x40000, /* 16 KiB each */
    TX_DATA = 0x100000,
    RING = 8, /* descriptors: the smallest ring that RDLEN and TDLEN can say */
    FRAMES_MAX = 512,
    FRAME_ROOM = 2048,
    TX_EMPTY = E1000_ICR_TXQE | E1000_ICR_TXD_LOW, /* with LWTHRESH 0 */
};

struct nic {
    struct pc *pc;
    struct net *net;
    struct net_port peer;
    struct device *dev;
    bool blocked; /* the peer takes nothing */
    bool sink;    /* it takes frames and forgets them */
    unsigned count;
    size_t len[FRAMES_MAX];
    uint8_t frame[FRAMES_MAX][FRAME_ROOM];
    unsigned tail; /* of the transmit ring */
};

static inline bool peer_can_receive(struct net_port *p)
{
    return !((struct nic *)p->opaque)->blocked;
}

static inline void peer_receive(struct net_port *p, const uint8_t *frame, size_t len)
{
    struct nic *n = p->opaque;
    if (n->sink)
        return;
    assert_true(n->count < FRAMES_MAX);
    n->len[n->count] = len;
    memcpy(n->frame[n->count++], frame, len < FRAME_ROOM ? len : FRAME_ROOM);
}

static const struct net_port_ops peer_ops = {
    .kind = "test",
    .can_receive = peer_can_receive,
    .receive = peer_receive,
};

static inline uint32_t nic_get(struct nic *n, uint32_t reg)
{
    return (uint32_t)pc_load(n->pc, NIC_MMIO + reg, 4);
}

static inline void nic_set(struct nic *n, uint32_t reg, uint32_t value)
{
    pc_store(n->pc, NIC_MMIO + reg, 4, value);
}

static inline void nic_advance(struct nic *n, int64_t ns)
{
    test_machine_advance(n->pc->t, ns);
}

/* Realized, reset, mapped; `prop` NULL or set to `value` beforehand. */
static inline struct nic *nic_with(const char *prop, const char *value)
{
    struct nic *n = calloc(1, sizeof *n);
    struct error err = { 0 };
    n->pc = pc_new();
    n->net = net_new(NULL);
    n->peer = (struct net_port){ .ops = &peer_ops, .opaque = n };
    assert_true(net_port_add(n->net, &n->peer, "peer", &err));
    n->dev = test_device(n->pc->t, "e1000", "nic");
    test_set(n->dev, "addr", "03.0");
    pc_set_object(n->dev, "netdev", &n->peer);
    if (prop)
        test_set(n->dev, prop, value);
    test_realize(n->dev, &n->pc->bus->bus);
    machine_reset_devices(n->pc->m);
    pc_conf_write(n->pc, NIC, PCI_BAR0, 4, NIC_MMIO);
    pc_conf_write(n->pc, NIC, PCI_BAR0 + 4, 4, NIC_IO);
    pc_conf_write(n->pc, NIC, PCI_COMMAND, 2,
                  PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
    return n;
}

static inline void nic_free(struct nic *n)
{
    pc_free(n->pc);
    net_port_remove(&n->peer);
    net_free(n->net);
    free(n);
}

/* Broadcast accepted; the low-descriptor interrupt only at an eighth of the ring. */
#define NIC_RCTL (E1000_RCTL_EN | E1000_RCTL_BAM | 2 << E1000_RCTL_RDMTS_SHIFT)

/* Link up, both rings enabled and set up, receive buffers given but the last. */
static inline void nic_start(struct nic *n)
{
    nic_set(n, E1000_CTRL, E1000_CTRL_SLU | E1000_CTRL_ASDE);
    nic_advance(n, NS_PER_SECOND);
    assert_true(nic_get(n, E1000_STATUS) & E1000_STATUS_LU);
    nic_get(n, E1000_ICR);
    nic_set(n, E1000_TDBAL, TX_RING);
    nic_set(n, E1000_TDLEN, RING * 16);
    nic_set(n, E1000_TCTL, E1000_TCTL_EN | E1000_TCTL_PSP);
    nic_set(n, E1000_RDBAL, RX_RING);
    nic_set(n, E1000_RDLEN, RING * 16);
    for (unsigned i = 0; i < RING; i++) {
        st_le64(n->pc->ram.host + RX_RING + 16 * i, RX_BUFFERS + i * 0x4000);
        st_le64(n->pc->ram.host + RX_RING + 16 * i + 8, 0);
    }
    nic_set(n, E1000_RCTL, NIC_RCTL);
    nic_set(n, E1000_RDT, RING - 1);
}

static inline struct nic *nic_new(void)
{
    struct nic *n = nic_with(NULL, NULL);
    nic_start(n);
    return n;
}

/* ---- transmit ---- */

static inline void tx_put(struct nic *n, uint64_t first, uint64_t second)
{
    uint8_t *d = n->pc->ram.host + TX_RING + 16 * n->tail;
    st_le64(d, first);
    st_le64(d + 8, second);
    n->tail = (n->tail + 1) % RING;
}

static inline void tx_go(struct nic *n)
{
    nic_set(n, E1000_TDT, n->tail);
}

static inline void tx_legacy(struct nic *n, uint64_t addr, unsigned len, unsigned cmd)
{
    tx_put(n, addr, len | (uint64_t)cmd << 24);
}

static inline void tx_ext(struct nic *n, uint64_t addr, unsigned len, unsigned cmd, unsigned popts,
                          unsigned special)
{
    tx_put(n, addr,
           len | 1u << 20 | (uint64_t)(cmd | E1000_TXD_CMD_DEXT) << 24 | (uint64_t)popts << 40 |
               (uint64_t)special << 48);
}

struct offload {
    unsigned ipcss, ipcso, ipcse, tucss, tucso, paylen, tucmd, hdrlen, mss;
};

static inline void tx_offload(struct nic *n, struct offload o)
{
    tx_put(n,
           o.ipcss | o.ipcso << 8 | o.ipcse << 16 | (uint64_t)o.tucss << 32 |
               (uint64_t)o.tucso << 40,
           o.paylen | (uint64_t)(o.tucmd | E1000_TXD_CMD_DEXT) << 24 | (uint64_t)o.hdrlen << 40 |
               (uint64_t)o.mss << 48);
}

static inline uint8_t tx_status(struct nic *n, unsigned i)
{
    return n->pc->ram.host[TX_RING + 16 * i + 12];
}

/* ---- receive ---- */

struct rx_desc {
    uint16_t len, checksum, special;
    uint8_t status, errors;
};

static inline struct rx_desc rx_desc(struct nic *n, unsigned i)
{
    const uint8_t *d = n->pc->ram.host + RX_RING + 16 * i + 8;
    return (struct rx_desc){ ld_le16(d), ld_le16(d + 2), ld_le16(d + 6), d[4], d[5] };
}

static inline const uint8_t *rx_data(struct nic *n, unsigned i)
{
    return n->pc->ram.host + RX_BUFFERS + i * 0x4000;
}

static inline void rx_send(struct nic *n, const uint8_t *frame, size_t len)
{
    net_port_send(&n->peer, frame, len);
}

/* ---- packets ---- */

/* The plain way, so that it proves the other one: big-endian words, one by one. */
static inline uint16_t plain_sum(const uint8_t *p, size_t len, uint32_t sum)
{
    for (size_t i = 0; i < len; i++)
        sum += i & 1 ? p[i] : p[i] << 8;
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)sum;
}

static inline uint32_t plain_crc(const uint8_t *p, size_t len)
{
    uint32_t crc = ~0u;
    for (size_t i = 0; i < len; i++) {
        crc ^= p[i];
        for (int b = 0; b < 8; b++)
            crc = crc >> 1 ^ (crc & 1 ? 0xedb88320 : 0);
    }
    return ~crc;
}

#define OUR_MAC   "\x52\x54\x00\x12\x34\x56"
#define ETH_TO_US OUR_MAC "\x52\x55\x0a\x00\x02\x02"

/* Ethernet, IPv4 and TCP (protocol 6) or UDP (17) headers with `payload` bytes of a pattern;
 * checksums right. Returns the length. */
static inline size_t build_ip4(uint8_t *f, unsigned protocol, size_t payload)
{
    size_t transport = protocol == 6 ? 20 : 8, total = 20 + transport + payload;
    memset(f, 0, 14 + 20 + transport);
    memcpy(f, ETH_TO_US "\x08\x00", 14);
    uint8_t *ip = f + 14, *t = ip + 20;
    ip[0] = 0x45;
    st_be16(ip + 2, (uint16_t)total);
    st_be16(ip + 4, 0xfffe); /* wraps while segmenting */
    ip[8] = 64;
    ip[9] = (uint8_t)protocol;
    memcpy(ip + 12, "\x0a\x00\x02\x0f\x0a\x00\x02\x02", 8);
    st_be16(ip + 10, (uint16_t)~plain_sum(ip, 20, 0));
    st_be16(t, 40000);
    st_be16(t + 2, 80);
    for (size_t i = 0; i < payload; i++)
        t[transport + i] = (uint8_t)(i * 7 + i / 251);
    if (protocol == 6) {
        st_be32(t + 4, 0xfffffc00);
        t[12] = 0x50;
        t[13] = 0x19; /* FIN, PSH, ACK */
    } else {
        st_be16(t + 4, (uint16_t)(transport + payload));
    }
    uint32_t pseudo = plain_sum(ip + 12, 8, protocol) + (uint32_t)(transport + payload);
    st_be16(t + (protocol == 6 ? 16 : 6), (uint16_t)~plain_sum(t, transport + payload, pseudo));
    return 14 + total;
}

/* What a driver leaves for the card: no IP checksum, the pseudo-header's sum in the transport's. */
static inline void leave_checksums(uint8_t *f, unsigned protocol, bool with_length)
{
    uint8_t *ip = f + 14, *t = ip + 20;
    uint32_t len = with_length ? ld_be16(ip + 2) - 20u : 0;
    st_be16(ip + 10, 0);
    st_be16(t + (protocol == 6 ? 16 : 6), plain_sum(ip + 12, 8, protocol + len));
}

/* Both checksums of an IPv4 packet right? */
static inline void assert_ip4_sound(const uint8_t *ip, size_t len)
{
    assert_int_equal(ip[0], 0x45);
    assert_int_equal(ld_be16(ip + 2), len);
    assert_int_equal(plain_sum(ip, 20, 0), 0xffff);
    uint32_t pseudo = plain_sum(ip + 12, 8, ip[9]) + (uint32_t)(len - 20);
    assert_int_equal(plain_sum(ip + 20, len - 20, pseudo), 0xffff);
}
