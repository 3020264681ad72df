/* The e1000's receive half: address filters, the way through the FIFO into descriptors.
 *
 * 317453: 3.2 (receive), 3.2.3 (descriptor), 3.2.9 (checksum offload), 10 (filters, VLAN table).
 *
 * A frame that passes the filters goes into the FIFO, and from there into descriptors as far as
 * there are some, even in the middle of a frame. While the FIFO is full the link holds frames back,
 * so that a slow guest slows its peers instead of losing packets; with the property `lossless` off
 * they are missed. While the receiver is disabled the wire's frames are lost, as they are on a real
 * one. A ring or a buffer that is not in memory loses the frame. */
#include "base/log.h"
#include "hw/net/e1000_internal.h"

#include <zlib.h>

enum {
    ETH_HEADER = 14,
    ETH_TYPE = 12,
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
    if (rctl & E1000_RCTL_BAM && !memcmp(frame, broadcast, sizeof broadcast))
        return true;
    return e1000_rx_matches_multicast(s, frame); /* broadcast may pass that too (6.4.3.1.4) */
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

bool e1000_rx_passes(struct e1000 *s, const uint8_t *frame, uint32_t rctl)
{
    return rx_accepts_vlan(s, frame, rctl) && rx_accepts_address(s, frame, rctl);
}

/* ---- the ring ---- */

static uint32_t rx_buffer_size(uint32_t rctl)
{
    unsigned code = rctl >> E1000_RCTL_BSIZE_SHIFT & 3;
    if (rctl & E1000_RCTL_BSEX && code != 0) /* code 0 is reserved with BSEX */
        return 32768 >> code;
    return 2048 >> code;
}

/* Room for the longest frame that is taken, or for none at all: then it never comes. */
bool e1000_rx_can_receive(struct e1000 *s)
{
    uint32_t rctl = *e1000_reg(s, E1000_RCTL);
    size_t longest =
        rctl & (E1000_RCTL_LPE | E1000_RCTL_SBP) ? E1000_FRAME_LONG : E1000_FRAME_NORMAL;
    return !s->lossless || !s->link_up || !(rctl & E1000_RCTL_EN) || pci_is_asleep(&s->pci) ||
           *e1000_reg(s, E1000_RDFPC) == 0 || e1000_fifo_room(s) >= longest + E1000_FCS_SIZE;
}

void e1000_rx_write_back(struct e1000 *s)
{
    /* A copy: the writes may lead to another card, which sends us a frame. */
    struct e1000_done done[E1000_ON_CHIP];
    unsigned count = s->rx_done_count;
    memcpy(done, s->rx_done, count * sizeof *done);
    s->rx_done_count = 0;
    for (unsigned i = 0; i < count; i++)
        e1000_dma_write(s, done[i].addr, &done[i].value, sizeof done[i].value);
}

/* Give the descriptor at the head back, at once or with others (WTHRESH). The status goes last, in
 * one piece with the rest. */
static void rx_give_back(struct e1000 *s, uint64_t fields)
{
    uint64_t addr = e1000_ring_address(s, &s->rx_ring);
    s->rx_done[s->rx_done_count++] = (struct e1000_done){ addr + 8, fields };
    e1000_ring_advance(s, &s->rx_ring);
    if (s->rx_done_count >=
        e1000_threshold(s, *e1000_reg(s, E1000_RXDCTL), E1000_DCTL_WTHRESH_SHIFT))
        e1000_rx_write_back(s);
}

/* Half, a quarter or an eighth of the ring is left, or less (13.4.22, RDMTS). */
static bool rx_is_low(struct e1000 *s, uint32_t rctl)
{
    unsigned shift = (rctl >> E1000_RCTL_RDMTS_SHIFT & 3) + 1;
    return e1000_ring_available(s, &s->rx_ring) <= e1000_ring_size(s, &s->rx_ring) >> shift;
}

/* Interrupts of a descriptor that is used, and of a packet, if that was its last one. */
static void rx_tell(struct e1000 *s, uint32_t rctl, bool last, size_t size)
{
    if (rx_is_low(s, rctl))
        e1000_raise(s, E1000_ICR_RXDMT0);
    if (!last)
        return;
    if (size <= *e1000_reg(s, E1000_RSRPD))
        e1000_raise(s, E1000_ICR_SRPD);
    e1000_raise_rx(s);
}

/* Store what one descriptor takes of the FIFO's first packet. Nothing goes to a null address
 * (3.2.5.2): such a descriptor only comes back. */
static void rx_step(struct e1000 *s, uint64_t fields)
{
    uint32_t rctl = *e1000_reg(s, E1000_RCTL), buffer_size = rx_buffer_size(rctl);
    size_t size = fields & 0xffff, n = size - s->rx_stored;
    uint64_t desc[2], dd = (uint64_t)E1000_RXD_STAT_DD << 32;

    if (n > buffer_size)
        n = buffer_size;
    if (!e1000_ring_next(s, &s->rx_ring, desc)) {
        e1000_fifo_drop(s, fields);
        return;
    }
    if (desc[0] == 0) {
        rx_give_back(s, desc[1] | dd);
        rx_tell(s, rctl, false, size);
        return;
    }
    if (!e1000_fifo_store(s, desc[0], n)) {
        log_guest(rx_who(s), "receive buffer at %#llx is not in memory: frame lost",
                  (unsigned long long)desc[0]);
        e1000_fifo_drop(s, fields);
        return;
    }
    TRACE(e1000_trace, E1000_TRACE_RX_DESC, e1000_source(s), *e1000_reg(s, E1000_RDH), desc[0], n);
    s->rx_stored += n;
    bool last = s->rx_stored == size;
    uint64_t value = (fields & ~(uint64_t)0xffff) | n | dd;
    if (last) {
        value |= (uint64_t)E1000_RXD_STAT_EOP << 32;
        e1000_fifo_drop(s, fields);
    } else {
        value &= ~((uint64_t)0xff << 40); /* errors are the last one's */
    }
    rx_give_back(s, value);
    rx_tell(s, rctl, last, size);
}

/* Not from within itself: by DMA to another card a frame of that one may come. */
void e1000_rx_store(struct e1000 *s)
{
    uint64_t fields;
    if (s->rx_storing)
        return;
    s->rx_storing = true;
    while (*e1000_reg(s, E1000_RCTL) & E1000_RCTL_EN && !pci_is_asleep(&s->pci) &&
           e1000_ring_available(s, &s->rx_ring) > 0 && e1000_fifo_first(s, &fields))
        rx_step(s, fields);
    s->rx_storing = false;
    /* The driver cannot give descriptors for the rest of a packet before it gets some back. */
    if (s->rx_stored > 0 && e1000_ring_available(s, &s->rx_ring) == 0)
        e1000_rx_write_back(s);
    e1000_flow_fill(s);
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

/* Into the FIFO, and on. The lack of descriptors and the lack of room are counted apart (13.7.5,
 * 13.7.33). */
static void rx_take(struct e1000 *s, const uint8_t *frame, size_t len, uint32_t rctl, bool counted)
{
    bool strip = *e1000_reg(s, E1000_CTRL) & E1000_CTRL_VME && rx_is_tagged(s, frame);
    bool keep_fcs = !(rctl & E1000_RCTL_SECRC);
    uint64_t special = strip ? ld_be16(frame + ETH_HEADER) : 0;
    size_t size = rx_prepare(s, frame, len, strip, keep_fcs);
    struct e1000_verdict v = e1000_rx_check(s, s->rx_frame, size - (keep_fcs ? E1000_FCS_SIZE : 0));
    if (strip)
        v.status |= E1000_RXD_STAT_VP;

    if (counted && e1000_ring_available(s, &s->rx_ring) == 0)
        e1000_count(s, E1000_RNBC, 1);
    if (size > e1000_fifo_room(s)) {
        e1000_count(s, E1000_MPC, 1);
        rx_dropped(s, "fifo-full", len);
        e1000_raise(s, E1000_ICR_RXO);
        return;
    }
    if (counted)
        rx_count(s, frame, rx_wire(len));
    TRACE(e1000_trace, E1000_TRACE_RX_FRAME, e1000_source(s), size, len);
    e1000_fifo_put(s,
                   size | (uint64_t)v.packet_checksum << 16 | (uint64_t)v.status << 32 |
                       (uint64_t)v.errors << 40 | special << 48,
                   s->rx_frame, size);
    e1000_flow_fill(s);
    e1000_rx_store(s);
}

/* A frame that the receiver, which is enabled, has seen whole. */
static void rx_frame(struct e1000 *s, const uint8_t *frame, size_t len, uint32_t rctl)
{
    /* Every frame, whatever becomes of it (13.7.42, 13.7.44). */
    e1000_count(s, E1000_TPR, 1);
    e1000_count(s, E1000_TORL, rx_wire(len));
    enum e1000_flow flow = e1000_flow_receive(s, frame, len);
    bool pass = flow == E1000_FLOW_STORE || e1000_rx_passes(s, frame, rctl);
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
        rx_take(s, frame, len, rctl, flow == E1000_FLOW_NONE && !oversize);
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
