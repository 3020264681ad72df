/* The e1000's transmit half: the descriptor ring, checksum insertion, segmentation, VLAN tags.
 *
 * 317453: 3.3 (descriptors), 3.4 (ring), 3.5 (TCP segmentation), 3.6 (checksums), 9 (802.1q).
 *
 * What a guest can make us do is bounded: a doorbell walks the ring at most once around and sends
 * at most TX_BURST bytes' worth, the rest follows when the wire would have carried that; a
 * descriptor is at most 1 MiB - 1, a frame NET_FRAME_MAX. A ring that is not in memory stops the
 * transmitter, data that is not drops the packet. */
#include "base/log.h"
#include "hw/net/e1000_internal.h"

#include <zlib.h>

enum {
    TX_BURST = 1 << 20,
    TX_COST_PER_STEP = 64, /* what a descriptor or a segment costs beside its bytes */
    TX_NS_PER_BYTE = 8,    /* at 1 Gb/s */
    /* Smaller segments than any network stack makes would cost a thousand times their bytes. */
    TX_MSS_MIN = 16,
    IP4_HEADER = 20,
    IP6_HEADER = 40,
    IP4_LENGTH = 2,
    IP4_ID = 4,
    IP6_LENGTH = 4,
    TCP_HEADER = 20,
    TCP_SEQUENCE = 4,
    TCP_FLAGS = 13,
    TCP_FLAGS_FIN_PSH = 0x09,
    UDP_HEADER = 8,
    UDP_LENGTH = 4,
};

static uint8_t *tx_bytes(struct e1000_tx *tx)
{
    return tx->frame + E1000_VLAN_SIZE;
}

static const char *tx_who(const struct e1000 *s)
{
    return device_name(&s->pci.dev);
}

/* ---- a whole frame ---- */

static bool tx_loops_back(struct e1000 *s)
{
    return (*e1000_reg(s, E1000_RCTL) >> E1000_RCTL_LBM_SHIFT & 3) != 0 ||
           s->phy[PHY_CTRL] & PHY_CTRL_LOOPBACK;
}

static void tx_count(struct e1000 *s, const uint8_t *frame, size_t len)
{
    size_t wire = len + E1000_FCS_SIZE;
    e1000_count(s, E1000_TPT, 1);
    e1000_count(s, E1000_TOTL, wire);
    if (len < E1000_FRAME_MIN) /* without padding: no good packet (13.7.30) */
        return;
    e1000_count(s, E1000_GPTC, 1);
    e1000_count(s, E1000_GOTCL, wire);
    e1000_count_size(s, E1000_PTC64, wire);
    if (!memcmp(frame, "\xff\xff\xff\xff\xff\xff", 6))
        e1000_count(s, E1000_BPTC, 1);
    else if (frame[0] & 1)
        e1000_count(s, E1000_MPTC, 1);
}

void e1000_tx_wire(struct e1000 *s, const uint8_t *frame, size_t len)
{
    TRACE(e1000_trace, E1000_TRACE_TX_FRAME, e1000_source(s), len, tx_loops_back(s));
    if (tx_loops_back(s))
        e1000_rx_frame(s, frame, len);
    else if (s->link_up && s->port.link)
        net_port_send(&s->port, frame, len);
}

/* Send `len` bytes that begin at tx_bytes(); there is room for a tag before them and padding after.
 */
static void tx_send(struct e1000 *s, size_t len)
{
    struct e1000_tx *tx = &s->tx;
    uint8_t *frame = tx_bytes(tx);

    if (tx->vlan && len >= 12) {
        memmove(frame - E1000_VLAN_SIZE, frame, 12);
        frame -= E1000_VLAN_SIZE;
        len += E1000_VLAN_SIZE;
        st_be16(frame + 12, *e1000_reg(s, E1000_VET));
        st_be16(frame + 14, tx->tci);
    }
    if (len < E1000_FRAME_MIN && *e1000_reg(s, E1000_TCTL) & E1000_TCTL_PSP) {
        memset(frame + len, 0, E1000_FRAME_MIN - len);
        len = E1000_FRAME_MIN;
    }
    if (len < 14) {
        log_guest(tx_who(s), "frame of %zu bytes dropped: shorter than an Ethernet header", len);
        return;
    }
    tx_count(s, frame, len);
    e1000_tx_wire(s, frame, len);
}

/* ---- checksums ---- */

/* Sum [css, cse] (cse 0: to the end) and store its complement at `cso`; the field holds what the
 * sum starts from. */
static void tx_insert_sum(struct e1000 *s, uint8_t *frame, size_t len, unsigned css, unsigned cso,
                          unsigned cse, bool udp)
{
    size_t end = cse && cse + 1u < len ? cse + 1u : len;
    if (css >= end || cso + 2u > len) {
        log_guest(tx_who(s), "checksum at %u of bytes from %u is outside the packet", cso, css);
        return;
    }
    uint16_t sum = ~e1000_sum(frame + css, end - css, 0);
    st_be16(frame + cso, udp && sum == 0 ? 0xffff : sum);
}

static void tx_insert_checksums(struct e1000 *s, size_t len)
{
    struct e1000_tx *tx = &s->tx;
    const struct e1000_tx_context *c = &tx->context[tx->segmented];
    bool udp = !(c->tucmd & E1000_TXD_TUCMD_TCP);
    uint8_t *frame = tx_bytes(tx);

    if (tx->popts & E1000_TXD_POPTS_TXSM)
        tx_insert_sum(s, frame, len, c->tucss, c->tucso, c->tucse, udp);
    if (tx->popts & E1000_TXD_POPTS_IXSM)
        tx_insert_sum(s, frame, len, c->ipcss, c->ipcso, c->ipcse, false);
    if (tx->legacy_checksum)
        tx_insert_sum(s, frame, len, tx->css, tx->cso, 0, false);
}

/* ---- segmentation (3.5) ---- */

/* Do the header fields that segmentation rewrites lie in the header? */
static bool tx_context_is_sound(const struct e1000_tx_context *c)
{
    unsigned ip = c->tucmd & E1000_TXD_TUCMD_IP ? IP4_HEADER : IP6_HEADER;
    unsigned transport = c->tucmd & E1000_TXD_TUCMD_TCP ? TCP_HEADER : UDP_HEADER;
    return c->mss >= TX_MSS_MIN && c->hdrlen + c->mss <= NET_FRAME_MAX &&
           c->ipcss + ip <= c->hdrlen && c->tucss + transport <= c->hdrlen &&
           c->tucso + 2u <= c->hdrlen;
}

/* The driver left the pseudo-header's sum, without a length, in the checksum field. */
static void tx_add_pseudo_length(uint8_t *field, unsigned length)
{
    uint32_t sum = ld_be16(field) + length;
    st_be16(field, (sum & 0xffff) + (sum >> 16));
}

static void tx_fix_headers(struct e1000_tx *tx, bool last)
{
    const struct e1000_tx_context *c = &tx->context[1];
    uint8_t *frame = tx_bytes(tx), *ip = frame + c->ipcss, *transport = frame + c->tucss;

    if (c->tucmd & E1000_TXD_TUCMD_IP) {
        st_be16(ip + IP4_LENGTH, tx->size - c->ipcss);
        st_be16(ip + IP4_ID, ld_be16(ip + IP4_ID) + tx->segments);
    } else {
        st_be16(ip + IP6_LENGTH, tx->size - c->ipcss - IP6_HEADER);
    }
    if (c->tucmd & E1000_TXD_TUCMD_TCP) {
        st_be32(transport + TCP_SEQUENCE, ld_be32(transport + TCP_SEQUENCE) + tx->payload);
        if (!last)
            transport[TCP_FLAGS] &= ~TCP_FLAGS_FIN_PSH;
    } else {
        st_be16(transport + UDP_LENGTH, tx->size - c->tucss);
    }
    if (tx->popts & E1000_TXD_POPTS_TXSM)
        tx_add_pseudo_length(frame + c->tucso, tx->size - c->tucss);
}

/* Send what is gathered as one segment, and leave the header alone behind for the next. */
static void tx_send_segment(struct e1000 *s, bool last)
{
    struct e1000_tx *tx = &s->tx;
    unsigned hdrlen = tx->context[1].hdrlen, payload = tx->size - hdrlen;

    memcpy(tx_bytes(tx), tx->header, hdrlen);
    tx_fix_headers(tx, last);
    tx_insert_checksums(s, tx->size);
    tx_send(s, tx->size);
    tx->segments++;
    tx->payload += payload;
    tx->size = hdrlen;
}

/* ---- gathering a packet from descriptors ---- */

static void tx_packet_reset(struct e1000_tx *tx)
{
    tx->started = tx->bad = tx->segmented = tx->vlan = tx->legacy_checksum = false;
    tx->popts = 0;
    tx->size = tx->segments = tx->payload = 0;
}

static bool tx_fetch(struct e1000 *s, uint64_t addr, uint32_t len)
{
    struct e1000_tx *tx = &s->tx;
    if (!e1000_dma_read(s, addr, tx_bytes(tx) + tx->size, len)) {
        log_guest(tx_who(s), "packet data at %#llx is not in memory: packet dropped",
                  (unsigned long long)addr);
        tx->bad = true;
        return false;
    }
    tx->size += len;
    return true;
}

static void tx_gather_plain(struct e1000 *s, uint64_t addr, uint32_t len)
{
    if (s->tx.size + len > NET_FRAME_MAX) {
        log_guest(tx_who(s), "packet of more than %u bytes dropped", NET_FRAME_MAX);
        s->tx.bad = true;
        return;
    }
    tx_fetch(s, addr, len);
}

/* Segments are sent as soon as there are bytes beyond them: only then is it sure that they are not
 * the last. */
static void tx_gather_segmented(struct e1000 *s, uint64_t addr, uint32_t len)
{
    struct e1000_tx *tx = &s->tx;
    const struct e1000_tx_context *c = &tx->context[1];
    uint32_t full = c->hdrlen + c->mss;

    while (len > 0) {
        if (tx->size == full)
            tx_send_segment(s, false);
        uint32_t limit = tx->size < c->hdrlen ? c->hdrlen : full;
        uint32_t n = limit - tx->size < len ? limit - tx->size : len;
        if (!tx_fetch(s, addr, n))
            return;
        if (tx->size == c->hdrlen && tx->segments == 0)
            memcpy(tx->header, tx_bytes(tx), c->hdrlen);
        addr += n;
        len -= n;
    }
}

/* What software brings its own FCS for is a packet without: links carry none. A wrong one, which a
 * peer would drop, stays as data. */
static void tx_take_off_fcs(struct e1000_tx *tx)
{
    size_t len = tx->size - E1000_FCS_SIZE;
    if (tx->size >= E1000_FRAME_MIN + E1000_FCS_SIZE &&
        crc32(0, tx_bytes(tx), (uInt)len) == ld_le32(tx_bytes(tx) + len))
        tx->size -= E1000_FCS_SIZE;
}

/* False: not all of it was sent as it was to be. */
static bool tx_send_packet(struct e1000 *s, unsigned cmd)
{
    struct e1000_tx *tx = &s->tx;
    if (!tx->segmented) {
        tx_insert_checksums(s, tx->size);
        if (!(cmd & E1000_TXD_CMD_IFCS) && !tx->vlan)
            tx_take_off_fcs(tx);
        tx_send(s, tx->size);
        return true;
    }
    if (tx->size < tx->context[1].hdrlen) {
        log_guest(tx_who(s), "packet to be segmented is shorter than its headers: dropped");
        return false;
    }
    tx_send_segment(s, true);
    return tx->payload == tx->context[1].paylen;
}

static void tx_finish(struct e1000 *s, unsigned cmd)
{
    bool whole = !s->tx.bad && tx_send_packet(s, cmd);
    if (s->tx.segmented)
        e1000_count(s, whole ? E1000_TSCTC : E1000_TSCTFC, 1);
    tx_packet_reset(&s->tx);
}

/* Options that count only in the first descriptor of a packet. */
static void tx_start_packet(struct e1000 *s, unsigned cmd, bool extended, uint64_t qword)
{
    struct e1000_tx *tx = &s->tx;
    tx->started = true;
    if (!extended)
        return;
    tx->popts = bits_get(qword, 40, 8);
    tx->segmented = cmd & E1000_TXD_CMD_TSE;
    if (tx->segmented && !tx_context_is_sound(&tx->context[1])) {
        log_guest(tx_who(s), "segmentation context does not describe a header: packet dropped");
        tx->bad = true;
    }
}

static void tx_data(struct e1000 *s, uint64_t addr, uint64_t qword, unsigned cmd, uint32_t len)
{
    struct e1000_tx *tx = &s->tx;
    bool extended = cmd & E1000_TXD_CMD_DEXT, first = !tx->started, last = cmd & E1000_TXD_CMD_EOP;

    if (first)
        tx_start_packet(s, cmd, extended, qword);
    if (addr == 0) /* no data (3.3.3.1, note 3) */
        len = 0;
    /* Tags by the first descriptor of segments, by the last one of a packet (3.3.7.1). */
    if ((tx->segmented ? first : last) && cmd & E1000_TXD_CMD_VLE &&
        *e1000_reg(s, E1000_CTRL) & E1000_CTRL_VME) {
        tx->vlan = true;
        tx->tci = bits_get(qword, 48, 16);
    }
    if (!extended && last && cmd & E1000_TXD_CMD_IC) {
        tx->legacy_checksum = true;
        tx->cso = bits_get(qword, 16, 8);
        tx->css = bits_get(qword, 40, 8);
    }
    if (!tx->bad && tx->segmented)
        tx_gather_segmented(s, addr, len);
    else if (!tx->bad)
        tx_gather_plain(s, addr, len);
    if (last)
        tx_finish(s, cmd);
}

static void tx_context(struct e1000 *s, uint64_t first, uint64_t second)
{
    struct e1000_tx_context c = {
        .ipcss = bits_get(first, 0, 8),
        .ipcso = bits_get(first, 8, 8),
        .ipcse = bits_get(first, 16, 16),
        .tucss = bits_get(first, 32, 8),
        .tucso = bits_get(first, 40, 8),
        .tucse = bits_get(first, 48, 16),
        .paylen = bits_get(second, 0, 20),
        .tucmd = bits_get(second, 24, 8),
        .hdrlen = bits_get(second, 40, 8),
        .mss = bits_get(second, 48, 16),
    };
    bool segmenting = c.tucmd & E1000_TXD_TUCMD_TSE;
    if (segmenting && s->tx.started && s->tx.segmented) {
        log_guest(tx_who(s), "segmentation context changed in the middle of a packet: dropped");
        s->tx.bad = true;
    }
    s->tx.context[segmenting] = c;
}

/* One descriptor. Returns what it cost, in bytes' worth. */
static uint32_t tx_descriptor(struct e1000 *s, uint64_t first, uint64_t second)
{
    unsigned cmd = bits_get(second, 24, 8), type = bits_get(second, 20, 4);
    bool extended = cmd & E1000_TXD_CMD_DEXT;

    if (extended && type == E1000_TXD_DTYP_CONTEXT) {
        tx_context(s, first, second);
        return TX_COST_PER_STEP;
    }
    if (extended && type != E1000_TXD_DTYP_DATA) {
        log_guest(tx_who(s), "transmit descriptor of unknown type %u skipped", type);
        return TX_COST_PER_STEP;
    }
    uint32_t len = bits_get(second, 0, extended ? 20 : 16), segments = 0;
    if (extended && cmd & E1000_TXD_CMD_TSE)
        segments = len / (s->tx.context[1].mss + 1u);
    tx_data(s, first, second, cmd, len);
    return len + TX_COST_PER_STEP * (1 + segments);
}

/* ---- the ring ---- */

struct tx_outcome {
    bool written; /* descriptors that want an interrupt at once were written back */
    bool delayed; /* a descriptor asked for an interrupt after the delays */
    bool low;     /* LWTHRESH was crossed */
};

void e1000_tx_write_back(struct e1000 *s)
{
    struct e1000_done done[E1000_ON_CHIP]; /* as for receiving */
    unsigned count = s->tx_done_count;
    memcpy(done, s->tx_done, count * sizeof *done);
    s->tx_done_count = 0;
    s->tx_done_interrupts = false;
    for (unsigned i = 0; i < count; i++) {
        uint8_t status = (uint8_t)done[i].value;
        e1000_dma_write(s, done[i].addr, &status, 1);
    }
}

/* Descriptors with RS are written back when there are WTHRESH of them, or before the interrupt that
 * the delays end with. */
static void tx_done(struct e1000 *s, uint64_t addr, uint64_t second, struct tx_outcome *o)
{
    unsigned cmd = bits_get(second, 24, 8);
    if (!(cmd & E1000_TXD_CMD_RS))
        return;
    uint8_t status = bits_get(second, 32, 8) | E1000_TXD_STAT_DD;
    s->tx_done[s->tx_done_count++] = (struct e1000_done){ addr + 12, status };
    o->delayed |= cmd & E1000_TXD_CMD_IDE;
    s->tx_done_interrupts |= !(cmd & E1000_TXD_CMD_IDE);
    if (s->tx_done_count >=
        e1000_threshold(s, *e1000_reg(s, E1000_TXDCTL), E1000_DCTL_WTHRESH_SHIFT)) {
        if (s->tx_done_interrupts) {
            o->written = true;
            o->delayed = cmd & E1000_TXD_CMD_IDE;
        }
        e1000_tx_write_back(s);
    }
}

/* Work off one descriptor. False: the ring is not where it should be. */
static bool tx_step(struct e1000 *s, uint32_t *cost, struct tx_outcome *o)
{
    uint64_t addr = e1000_ring_address(s, &s->tx_ring), desc[2];
    if (!e1000_ring_next(s, &s->tx_ring, desc))
        return false;
    TRACE(e1000_trace, E1000_TRACE_TX_DESC, e1000_source(s), *e1000_reg(s, E1000_TDH), desc[0],
          desc[1]);
    *cost += tx_descriptor(s, desc[0], desc[1]);
    tx_done(s, addr, desc[1], o);
    e1000_ring_advance(s, &s->tx_ring);
    return true;
}

static void tx_interrupt(struct e1000 *s, const struct tx_outcome *o, bool empty)
{
    if (empty)
        e1000_raise(s, E1000_ICR_TXQE);
    if (o->low)
        e1000_raise(s, E1000_ICR_TXD_LOW);
    if (o->written) { /* and nothing is delayed any more (3.3.3.1, IDE) */
        timer_cancel(&s->tx_delay);
        timer_cancel(&s->tx_absolute);
        e1000_raise(s, E1000_ICR_TXDW);
    }
    if (o->delayed)
        e1000_raise_tx(s);
}

static void tx_walk(struct e1000 *s)
{
    uint32_t count = e1000_ring_size(s, &s->tx_ring);
    uint32_t *head = e1000_reg(s, E1000_TDH), *tail = e1000_reg(s, E1000_TDT), cost = 0;
    uint32_t low = 8 * (*e1000_reg(s, E1000_TXDCTL) >> E1000_TXDCTL_LWTHRESH_SHIFT);
    struct tx_outcome o = { 0 };

    if (*head == *tail)
        return;
    if (*head >= count || *tail >= count) {
        log_guest(tx_who(s), "transmit head %u or tail %u is beyond the ring's %u descriptors",
                  *head, *tail, count);
        return;
    }
    bool alive = true, room = true;
    for (uint32_t n = 0; n < count && *head != *tail && alive; n++) {
        room = !s->port.link || net_port_can_send(&s->port);
        if (!room || cost >= TX_BURST || e1000_flow_paused(s))
            break;
        alive = tx_step(s, &cost, &o);
        if (!alive)
            break;
        o.low |= (*tail + count - *head) % count == low;
    }
    tx_interrupt(s, &o, alive && *head == *tail);
    if (alive && room && *head != *tail && !e1000_flow_paused(s))
        timer_set(&s->tx_resume, e1000_now(s) + (int64_t)cost * TX_NS_PER_BYTE);
}

/* Called at each doorbell, when the link has room again, and when a burst's time or a pause is
 * over. */
void e1000_tx_run(void *opaque)
{
    struct e1000 *s = opaque;
    if (s->transmitting || !(*e1000_reg(s, E1000_TCTL) & E1000_TCTL_EN) ||
        timer_is_set(&s->tx_resume) || e1000_flow_paused(s) || pci_is_asleep(&s->pci))
        return;
    s->transmitting = true;
    tx_walk(s);
    s->transmitting = false;
}

void e1000_tx_forget(struct e1000 *s)
{
    s->tx_done_count = s->rx_done_count = 0;
    s->tx_done_interrupts = false;
    e1000_ring_forget(&s->tx_ring);
    tx_packet_reset(&s->tx);
}

void e1000_tx_reset(struct e1000 *s)
{
    timer_cancel(&s->tx_resume);
    e1000_tx_forget(s);
    memset(s->tx.context, 0, sizeof s->tx.context);
}
