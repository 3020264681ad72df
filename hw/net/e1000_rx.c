/* The e1000's receive half: address filters, checksum checks, the descriptor ring.
 *
 * 317453: 3.2 (receive), 3.2.3 (descriptor), 3.2.9 (checksum offload), 10 (filters, VLAN table).
 *
 * With descriptors to fill, a frame is taken or filtered out; without any, the link holds frames
 * back until the driver gives some, so that a slow guest slows its peers instead of losing packets.
 * While the receiver is disabled the wire's frames are lost, as they are on a real one. A frame is
 * one copy of at most 16 KiB; a ring that is not in memory loses it. */
#include "base/log.h"
#include "hw/net/e1000_internal.h"

#include <zlib.h>

enum {
    ETH_HEADER = 14,
    ETH_TYPE = 12,
    ETH_TYPE_IP4 = 0x0800,
    IP4_PROTOCOL = 9,
    IP4_FRAGMENT = 6,
    IP4_FRAGMENT_MASK = 0x3fff, /* more fragments, or an offset */
    IP4_SOURCE = 12,
    PROTOCOL_TCP = 6,
    PROTOCOL_UDP = 17,
    UDP_CHECKSUM = 6,
};

static const char *rx_who(const struct e1000 *s)
{
    return device_name(&s->pci.dev);
}

/* ---- filters ---- */

bool e1000_rx_matches_address(struct e1000 *s, const uint8_t *frame)
{
    const uint32_t *ra = e1000_reg(s, E1000_RA);
    for (unsigned i = 0; i < E1000_RA_PAIRS; i++) {
        uint32_t low = ra[2 * i], high = ra[2 * i + 1];
        unsigned select = high >> E1000_RAH_AS_SHIFT & 3;
        if (!(high & E1000_RAH_AV) || select > 1)
            continue;
        const uint8_t *address = select == 0 ? frame : frame + 6; /* destination or source */
        if (ld_le32(address) == low && ld_le16(address + 4) == (high & 0xffff))
            return true;
    }
    return false;
}

/* Twelve bits of the address, from one of four places, select a bit of the table (13.5.1). */
bool e1000_rx_matches_multicast(struct e1000 *s, const uint8_t *frame)
{
    static const uint8_t shifts[4] = { 4, 3, 2, 0 };
    unsigned mo = *e1000_reg(s, E1000_RCTL) >> E1000_RCTL_MO_SHIFT & 3;
    unsigned hash = ld_le16(frame + 4) >> shifts[mo] & 0xfff;
    return e1000_reg(s, E1000_MTA)[hash >> 5] >> (hash & 31) & 1;
}

static bool rx_accepts_address(struct e1000 *s, const uint8_t *frame, uint32_t rctl)
{
    static const uint8_t broadcast[6] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };
    if (e1000_rx_matches_address(s, frame))
        return true;
    if (!(frame[0] & 1))
        return rctl & E1000_RCTL_UPE;
    if (rctl & E1000_RCTL_MPE)
        return true;
    if (!memcmp(frame, broadcast, sizeof broadcast))
        return rctl & E1000_RCTL_BAM;
    return e1000_rx_matches_multicast(s, frame);
}

static bool rx_is_tagged(struct e1000 *s, const uint8_t *frame)
{
    return ld_be16(frame + ETH_TYPE) == (*e1000_reg(s, E1000_VET) & 0xffff);
}

static bool rx_accepts_vlan(struct e1000 *s, const uint8_t *frame, uint32_t rctl)
{
    if (!(rctl & E1000_RCTL_VFE) || !rx_is_tagged(s, frame))
        return true;
    unsigned tci = ld_be16(frame + ETH_HEADER), vid = tci & 0xfff;
    bool cfi = tci >> 12 & 1;
    if (rctl & E1000_RCTL_CFIEN && cfi != !!(rctl & E1000_RCTL_CFI))
        return false;
    return e1000_reg(s, E1000_VFTA)[vid >> 5] >> (vid & 31) & 1;
}

bool e1000_rx_passes(struct e1000 *s, const uint8_t *frame)
{
    uint32_t rctl = *e1000_reg(s, E1000_RCTL);
    return rx_accepts_vlan(s, frame, rctl) && rx_accepts_address(s, frame, rctl);
}

/* ---- checksum offload ---- */

struct rx_verdict {
    uint8_t status, errors;
    uint16_t packet_checksum;
};

/* TCP or UDP over IPv4, not a fragment: true if it has a checksum, `*good` if that is right. */
static bool rx_check_transport(const uint8_t *ip, size_t header, size_t total, bool *good)
{
    const uint8_t *transport = ip + header;
    size_t len = total - header;
    unsigned protocol = ip[IP4_PROTOCOL];

    if (ld_be16(ip + IP4_FRAGMENT) & IP4_FRAGMENT_MASK)
        return false;
    if (protocol != PROTOCOL_TCP && protocol != PROTOCOL_UDP)
        return false;
    if (len < (protocol == PROTOCOL_TCP ? 20 : 8))
        return false;
    if (protocol == PROTOCOL_UDP && ld_be16(transport + UDP_CHECKSUM) == 0)
        return false;
    uint32_t pseudo = e1000_sum(ip + IP4_SOURCE, 8, protocol + len);
    *good = e1000_sum(transport, len, pseudo) == 0xffff;
    return true;
}

static struct rx_verdict rx_check(struct e1000 *s, const uint8_t *frame, size_t len)
{
    uint32_t rxcsum = *e1000_reg(s, E1000_RXCSUM);
    struct rx_verdict v = { .status = E1000_RXD_STAT_IXSM };
    size_t start = rxcsum & 0xff;
    const uint8_t *ip = frame + ETH_HEADER;
    bool good;

    if (start < len)
        v.packet_checksum = ~e1000_sum(frame + start, len - start, 0);
    if (len < ETH_HEADER + 20 || ld_be16(frame + ETH_TYPE) != ETH_TYPE_IP4)
        return v;
    size_t header = (ip[0] & 15) * 4, total = ld_be16(ip + 2);
    if (ip[0] >> 4 != 4 || header < 20 || total < header || total > len - ETH_HEADER)
        return v;

    if (rxcsum & E1000_RXCSUM_IPOFL) {
        v.status = (v.status & ~E1000_RXD_STAT_IXSM) | E1000_RXD_STAT_IPCS;
        if (e1000_sum(ip, header, 0) != 0xffff)
            v.errors |= E1000_RXD_ERR_IPE;
    }
    if (rxcsum & E1000_RXCSUM_TUOFL && rx_check_transport(ip, header, total, &good)) {
        v.status = (v.status & ~E1000_RXD_STAT_IXSM) | E1000_RXD_STAT_TCPCS;
        if (!good)
            v.errors |= E1000_RXD_ERR_TCPE;
    }
    return v;
}

/* ---- the ring ---- */

static uint32_t rx_buffer_size(uint32_t rctl)
{
    unsigned code = rctl >> E1000_RCTL_BSIZE_SHIFT & 3;
    if (rctl & E1000_RCTL_BSEX && code != 0) /* code 0 is reserved with BSEX */
        return 32768 >> code;
    return 2048 >> code;
}

static uint32_t rx_ring_size(struct e1000 *s)
{
    return *e1000_reg(s, E1000_RDLEN) / E1000_DESC_SIZE;
}

/* Descriptors that the driver has given: those from head up to tail. */
static uint32_t rx_available(struct e1000 *s)
{
    uint32_t count = rx_ring_size(s);
    uint32_t head = *e1000_reg(s, E1000_RDH), tail = *e1000_reg(s, E1000_RDT);
    if (head >= count || tail >= count)
        return 0;
    return tail >= head ? tail - head : count - head + tail;
}

bool e1000_rx_can_receive(struct e1000 *s)
{
    return !s->link_up || !(*e1000_reg(s, E1000_RCTL) & E1000_RCTL_EN) || rx_available(s) > 0 ||
           pci_is_asleep(&s->pci);
}

/* Cache lines are as long as the configuration space says, in doublewords. */
unsigned e1000_write_back_threshold(struct e1000 *s, uint32_t control)
{
    unsigned n = control >> E1000_DCTL_WTHRESH_SHIFT & 0x3f;
    if (!(control & E1000_DCTL_GRAN))
        n = n * s->pci.config[PCI_CACHE_LINE_SIZE] * 4 / E1000_DESC_SIZE;
    return n < E1000_DONE_MAX ? n : E1000_DONE_MAX - 1;
}

void e1000_rx_write_back(struct e1000 *s)
{
    /* A copy: the writes may lead to another card, which sends us a frame. */
    struct e1000_done done[E1000_DONE_MAX];
    unsigned count = s->rx_done_count;
    memcpy(done, s->rx_done, count * sizeof *done);
    s->rx_done_count = 0;
    for (unsigned i = 0; i < count; i++)
        e1000_dma_write(s, done[i].addr, &done[i].value, sizeof done[i].value);
}

/* Fill one descriptor with `len` bytes and give it back, at once or with others (WTHRESH). The
 * status goes last, in one piece with the rest. */
static bool rx_fill(struct e1000 *s, const uint8_t *data, size_t len, uint64_t write_back)
{
    uint32_t *head = e1000_reg(s, E1000_RDH);
    uint64_t base = (uint64_t)*e1000_reg(s, E1000_RDBAH) << 32 | *e1000_reg(s, E1000_RDBAL);
    uint64_t addr = base + (uint64_t)*head * E1000_DESC_SIZE, buffer;

    if (!e1000_dma_read(s, addr, &buffer, sizeof buffer)) {
        log_guest(rx_who(s), "receive descriptor at %#llx is not in memory: frame lost",
                  (unsigned long long)addr);
        return false;
    }
    if (!e1000_dma_write(s, buffer, data, len)) {
        log_guest(rx_who(s), "receive buffer at %#llx is not in memory: frame lost",
                  (unsigned long long)buffer);
        return false;
    }
    s->rx_done[s->rx_done_count++] = (struct e1000_done){ addr + 8, write_back };
    if (s->rx_done_count >= e1000_write_back_threshold(s, *e1000_reg(s, E1000_RXDCTL)))
        e1000_rx_write_back(s);
    TRACE(e1000_trace, E1000_TRACE_RX_DESC, e1000_source(s), *head, buffer, len);
    *head = (*head + 1) % rx_ring_size(s);
    return true;
}

/* Spread a frame over as many descriptors as it takes; there are enough. */
static bool rx_store(struct e1000 *s, const uint8_t *data, size_t len, struct rx_verdict v,
                     uint16_t special, uint32_t buffer_size)
{
    for (size_t done = 0; done < len;) {
        size_t n = len - done < buffer_size ? len - done : buffer_size;
        bool last = done + n == len;
        uint8_t status = v.status | E1000_RXD_STAT_DD | (last ? E1000_RXD_STAT_EOP : 0);
        uint64_t write_back = n | (uint64_t)v.packet_checksum << 16 | (uint64_t)status << 32 |
                              (uint64_t)(last ? v.errors : 0) << 40 | (uint64_t)special << 48;
        if (!rx_fill(s, data + done, n, write_back))
            return false;
        done += n;
    }
    return true;
}

/* ---- a frame ---- */

/* Its length on the wire, FCS included. */
static size_t rx_wire(size_t len)
{
    return (len < E1000_FRAME_MIN ? E1000_FRAME_MIN : len) + E1000_FCS_SIZE;
}

/* A good frame that was stored; flow control is not counted among them (13.7.21 to 13.7.31). */
static void rx_count(struct e1000 *s, const uint8_t *frame, size_t wire)
{
    e1000_count(s, E1000_GPRC, 1);
    e1000_count(s, E1000_GORCL, wire);
    e1000_count_size(s, E1000_PRC64, wire);
    if (!memcmp(frame, "\xff\xff\xff\xff\xff\xff", 6))
        e1000_count(s, E1000_BPRC, 1);
    else if (frame[0] & 1)
        e1000_count(s, E1000_MPRC, 1);
}

/* Half, a quarter or an eighth of the ring is left, or less (13.4.22, RDMTS). */
static bool rx_is_low(struct e1000 *s, uint32_t rctl)
{
    unsigned shift = (rctl >> E1000_RCTL_RDMTS_SHIFT & 3) + 1;
    return rx_available(s) <= rx_ring_size(s) >> shift;
}

/* Copy the frame to rx_frame as memory is to have it: tag taken out, padded, FCS at its end. */
static size_t rx_prepare(struct e1000 *s, const uint8_t *frame, size_t len, bool strip,
                         bool keep_fcs)
{
    uint8_t *out = s->rx_frame;
    uint8_t padded[E1000_FRAME_MIN] = { 0 };
    if (len < E1000_FRAME_MIN) {
        memcpy(padded, frame, len);
        frame = padded;
        len = E1000_FRAME_MIN;
    }
    uint32_t fcs = keep_fcs ? crc32(0, frame, len) : 0;
    size_t cut = strip ? E1000_VLAN_SIZE : 0;
    memcpy(out, frame, ETH_TYPE);
    memcpy(out + ETH_TYPE, frame + ETH_TYPE + cut, len - ETH_TYPE - cut);
    len -= cut;
    if (keep_fcs) {
        st_le32(out + len, fcs);
        len += E1000_FCS_SIZE;
    }
    return len;
}

static void rx_dropped(const struct e1000 *s, const char *reason, size_t len)
{
    TRACE(e1000_trace, E1000_TRACE_RX_DROP, e1000_source(s), trace_text(reason), len);
}

static void rx_deliver(struct e1000 *s, const uint8_t *frame, size_t len, uint32_t rctl,
                       bool counted)
{
    bool strip = *e1000_reg(s, E1000_CTRL) & E1000_CTRL_VME && rx_is_tagged(s, frame);
    bool keep_fcs = !(rctl & E1000_RCTL_SECRC);
    uint16_t special = strip ? ld_be16(frame + ETH_HEADER) : 0;
    uint32_t buffer_size = rx_buffer_size(rctl);
    size_t size = rx_prepare(s, frame, len, strip, keep_fcs);
    struct rx_verdict v = rx_check(s, s->rx_frame, size - (keep_fcs ? E1000_FCS_SIZE : 0));
    if (strip)
        v.status |= E1000_RXD_STAT_VP;

    if ((uint64_t)rx_available(s) * buffer_size < size) {
        e1000_count(s, E1000_MPC, 1);
        e1000_count(s, E1000_RNBC, 1);
        rx_dropped(s, "no-descriptors", len);
        e1000_raise(s, E1000_ICR_RXO);
        return;
    }
    if (!rx_store(s, s->rx_frame, size, v, special, buffer_size))
        return;
    if (counted)
        rx_count(s, frame, rx_wire(len));
    if (rx_is_low(s, rctl))
        e1000_raise(s, E1000_ICR_RXDMT0);
    if (size <= *e1000_reg(s, E1000_RSRPD))
        e1000_raise(s, E1000_ICR_SRPD);
    TRACE(e1000_trace, E1000_TRACE_RX_FRAME, e1000_source(s), size, len);
    e1000_raise_rx(s);
}

/* A frame that the receiver, which is enabled, has seen whole. */
static void rx_frame(struct e1000 *s, const uint8_t *frame, size_t len, uint32_t rctl)
{
    /* Every frame, whatever becomes of it (13.7.42, 13.7.44). */
    e1000_count(s, E1000_TPR, 1);
    e1000_count(s, E1000_TORL, rx_wire(len));
    enum e1000_flow flow = e1000_flow_receive(s, frame, len);
    bool pass = flow == E1000_FLOW_STORE || e1000_rx_passes(s, frame);
    bool oversize = len > (rctl & E1000_RCTL_LPE ? E1000_FRAME_LONG : E1000_FRAME_NORMAL);

    if (pass && oversize) {
        e1000_count(s, E1000_ROC, 1);
        e1000_count(s, E1000_RLEC, 1);
    }
    if (flow == E1000_FLOW_DISCARD)
        rx_dropped(s, "flow-control", len);
    else if (!pass)
        rx_dropped(s, "filtered", len);
    else if (oversize && (!(rctl & E1000_RCTL_SBP) || len > E1000_FRAME_LONG))
        rx_dropped(s, "too-long", len);
    else
        rx_deliver(s, frame, len, rctl, flow == E1000_FLOW_NONE && !oversize);
}

void e1000_rx_frame(struct e1000 *s, const uint8_t *frame, size_t len)
{
    uint32_t rctl = *e1000_reg(s, E1000_RCTL);
    /* A tag needs the bytes behind it; shorter frames are padded with zeros anyway. */
    if (len < ETH_HEADER || (len < ETH_HEADER + E1000_VLAN_SIZE && rx_is_tagged(s, frame)))
        return;
    e1000_wake_frame(s, frame, len);
    if (pci_is_asleep(&s->pci))
        rx_dropped(s, "asleep", len);
    else if (rctl & E1000_RCTL_EN)
        rx_frame(s, frame, len, rctl);
    else
        rx_dropped(s, "disabled", len);
}
