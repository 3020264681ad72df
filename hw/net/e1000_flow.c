/* The e1000's flow control: PAUSE frames of IEEE 802.3x, both ways.
 *
 * 317453: 8.7.2 to 8.7.6, 13.4.7 to 13.4.9 (FCAL, FCAH, FCT), 13.4.12 (FCTTV), 13.4.23 and 13.4.24
 * (thresholds), 13.7.16 to 13.7.20 (counters).
 *
 * The receive FIFO's bytes are compared with FCRTH and FCRTL; FCRTH 0 turns that off. A PAUSE frame
 * acts when it comes, before what waits in the FIFO. */
#include "hw/net/e1000_internal.h"

enum {
    MAC_CONTROL_OPCODE = 14,
    MAC_CONTROL_QUANTA = 16,
    MAC_CONTROL_PAUSE = 1,
    MAC_CONTROL_HEADER = 18,
    SLOT_NS = 512, /* 64 bytes at 1 Gb/s */
};

bool e1000_flow_paused(const struct e1000 *s)
{
    return timer_is_set(&s->pause);
}

/* ---- receiving ---- */

static bool flow_is_to(struct e1000 *s, const uint8_t *frame, uint32_t low)
{
    return ld_le32(frame) == *e1000_reg(s, low) &&
           ld_le16(frame + 4) == (*e1000_reg(s, low + 4) & 0xffff);
}

static void flow_obey(struct e1000 *s, unsigned quanta)
{
    static const uint8_t slower[4] = { 100, 10, 1, 1 }; /* by speed */
    if (quanta == 0) {
        e1000_count(s, E1000_XONRXC, 1);
        timer_cancel(&s->pause);
        e1000_tx_run(s);
        return;
    }
    e1000_count(s, E1000_XOFFRXC, 1);
    timer_set(&s->pause, e1000_now(s) + (int64_t)quanta * SLOT_NS * slower[e1000_phy_speed(s)]);
}

enum e1000_flow e1000_flow_receive(struct e1000 *s, const uint8_t *frame, size_t len)
{
    uint32_t rctl = *e1000_reg(s, E1000_RCTL);
    bool to_us = flow_is_to(s, frame, E1000_RA);

    if (!(*e1000_reg(s, E1000_CTRL) & E1000_CTRL_RFCE) || len < MAC_CONTROL_HEADER ||
        ld_be16(frame + 12) != *e1000_reg(s, E1000_FCT) ||
        !(to_us || flow_is_to(s, frame, E1000_FCAL)))
        return E1000_FLOW_NONE;
    if (ld_be16(frame + MAC_CONTROL_OPCODE) != MAC_CONTROL_PAUSE) {
        e1000_count(s, E1000_FCRUC, 1);
        return rctl & E1000_RCTL_PMCF ? E1000_FLOW_STORE : E1000_FLOW_DISCARD;
    }
    flow_obey(s, ld_be16(frame + MAC_CONTROL_QUANTA));
    return to_us && rctl & E1000_RCTL_DPF ? E1000_FLOW_DISCARD : E1000_FLOW_FILTER;
}

/* ---- sending ---- */

void e1000_flow_send(struct e1000 *s, uint16_t quanta)
{
    uint8_t frame[E1000_FRAME_MIN] = { 0 };
    if (!(*e1000_reg(s, E1000_TCTL) & E1000_TCTL_EN))
        return;
    st_le32(frame, *e1000_reg(s, E1000_FCAL));
    st_le16(frame + 4, *e1000_reg(s, E1000_FCAH));
    st_le32(frame + 6, *e1000_reg(s, E1000_RA));
    st_le16(frame + 10, *e1000_reg(s, E1000_RA + 4));
    st_be16(frame + 12, *e1000_reg(s, E1000_FCT));
    st_be16(frame + MAC_CONTROL_OPCODE, MAC_CONTROL_PAUSE);
    st_be16(frame + MAC_CONTROL_QUANTA, quanta);
    e1000_count(s, quanta ? E1000_XOFFTXC : E1000_XONTXC, 1);
    e1000_count(s, E1000_TPT, 1);
    e1000_count(s, E1000_TOTL, sizeof frame + E1000_FCS_SIZE);
    e1000_tx_wire(s, frame, sizeof frame);
}

static bool flow_sends(struct e1000 *s)
{
    return *e1000_reg(s, E1000_CTRL) & E1000_CTRL_TFCE && *e1000_reg(s, E1000_FCRTH) & 0xfff8 &&
           s->link_up;
}

void e1000_flow_fill(struct e1000 *s)
{
    size_t bytes = e1000_fifo_bytes(s);
    uint32_t high = *e1000_reg(s, E1000_FCRTH) & 0xfff8, low = *e1000_reg(s, E1000_FCRTL);
    if (!s->xoff_sent && bytes >= high && flow_sends(s)) {
        s->xoff_sent = true;
        e1000_flow_send(s, *e1000_reg(s, E1000_FCTTV));
    } else if (s->xoff_sent && bytes <= (low & 0xfff8)) {
        s->xoff_sent = false;
        if (flow_sends(s) && low & E1000_FCRTL_XONE)
            e1000_flow_send(s, 0);
    }
}

/* ---- lifecycle ---- */

void e1000_flow_init(struct e1000 *s)
{
    timer_init(&s->pause, &s->pci.dev.machine->virtual, e1000_tx_run, s);
}

void e1000_flow_reset(struct e1000 *s)
{
    timer_cancel(&s->pause);
    s->xoff_sent = false;
}
