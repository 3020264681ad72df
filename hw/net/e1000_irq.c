/* Interrupts of the 82540EM: causes, the pin, and the delays before it is raised.
 *
 * Manual 3.2.7 (receive delays), 3.4.3 (transmit ones), 13.4.17 to 13.4.21 (ICR, ITR, ICS, IMS,
 * IMC). All time is virtual; with the property `mitigation` off nothing is delayed. */
#include "hw/net/e1000_internal.h"

static int64_t e1000_throttle_ns(struct e1000 *s)
{
    return s->mitigation ? (int64_t)*e1000_reg(s, E1000_ITR) * E1000_ITR_UNIT_NS : 0;
}

void e1000_update_irq(struct e1000 *s)
{
    bool pending = *e1000_reg(s, E1000_ICR) & *e1000_reg(s, E1000_IMS);
    if (!pending)
        timer_cancel(&s->throttle);
    if (s->asserted && !pending) {
        TRACE(e1000_trace, E1000_TRACE_IRQ, e1000_source(s), false, *e1000_reg(s, E1000_ICR));
        pci_set_irq(&s->pci, false);
    }
    if (!pending || s->asserted) {
        s->asserted = pending;
        return;
    }
    int64_t open = s->asserted_ns + e1000_throttle_ns(s);
    if (s->asserted_ns >= 0 && e1000_now(s) < open) {
        TRACE(e1000_trace, E1000_TRACE_THROTTLE, e1000_source(s), (uint64_t)open);
        timer_set(&s->throttle, open);
        return;
    }
    s->asserted = true;
    s->asserted_ns = e1000_now(s);
    timer_cancel(&s->throttle);
    TRACE(e1000_trace, E1000_TRACE_IRQ, e1000_source(s), true, *e1000_reg(s, E1000_ICR));
    pci_set_irq(&s->pci, true);
}

static void e1000_throttle_fired(void *opaque)
{
    e1000_update_irq(opaque);
}

void e1000_raise(struct e1000 *s, uint32_t causes)
{
    *e1000_reg(s, E1000_ICR) |= causes;
    TRACE(e1000_trace, E1000_TRACE_CAUSE, e1000_source(s), causes, *e1000_reg(s, E1000_ICR),
          *e1000_reg(s, E1000_IMS));
    e1000_update_irq(s);
}

/* A delay starts over with every packet, an absolute one with the first. Before the interrupt the
 * descriptors that it tells of are written back. */
static void e1000_raise_later(struct e1000 *s, uint32_t cause, uint32_t delay, uint32_t absolute,
                              struct timer *delay_timer, struct timer *absolute_timer,
                              void (*write_back)(struct e1000 *))
{
    delay &= 0xffff;
    absolute &= 0xffff;
    if (!s->mitigation || delay == 0) {
        write_back(s);
        e1000_raise(s, cause);
        return;
    }
    timer_set(delay_timer, e1000_now(s) + (int64_t)delay * E1000_DELAY_UNIT_NS);
    if (absolute && !timer_is_set(absolute_timer))
        timer_set(absolute_timer, e1000_now(s) + (int64_t)absolute * E1000_DELAY_UNIT_NS);
}

void e1000_raise_rx(struct e1000 *s)
{
    e1000_raise_later(s, E1000_ICR_RXT0, *e1000_reg(s, E1000_RDTR), *e1000_reg(s, E1000_RADV),
                      &s->rx_delay, &s->rx_absolute, e1000_rx_write_back);
}

void e1000_raise_tx(struct e1000 *s)
{
    e1000_raise_later(s, E1000_ICR_TXDW, *e1000_reg(s, E1000_TIDV), *e1000_reg(s, E1000_TADV),
                      &s->tx_delay, &s->tx_absolute, e1000_tx_write_back);
}

static void e1000_rx_delay_fired(void *opaque)
{
    struct e1000 *s = opaque;
    timer_cancel(&s->rx_delay);
    timer_cancel(&s->rx_absolute);
    e1000_rx_write_back(s);
    e1000_raise(s, E1000_ICR_RXT0);
}

static void e1000_tx_delay_fired(void *opaque)
{
    struct e1000 *s = opaque;
    timer_cancel(&s->tx_delay);
    timer_cancel(&s->tx_absolute);
    e1000_tx_write_back(s);
    e1000_raise(s, E1000_ICR_TXDW);
}

/* ---- registers ---- */

uint32_t e1000_read_icr(void *opaque, unsigned index)
{
    struct e1000 *s = opaque;
    uint32_t causes = *e1000_reg(s, E1000_ICR);
    *e1000_reg(s, E1000_ICR) = 0;
    e1000_update_irq(s);
    return causes;
}

void e1000_write_icr(void *opaque, unsigned index, uint32_t written)
{
    struct e1000 *s = opaque;
    *e1000_reg(s, E1000_ICR) &= ~written;
    e1000_update_irq(s);
}

void e1000_write_ics(void *opaque, unsigned index, uint32_t written)
{
    e1000_raise(opaque, written & E1000_ICR_ALL);
}

void e1000_write_ims(void *opaque, unsigned index, uint32_t written)
{
    e1000_update_irq(opaque);
}

void e1000_write_imc(void *opaque, unsigned index, uint32_t written)
{
    struct e1000 *s = opaque;
    *e1000_reg(s, E1000_IMS) &= ~written;
    e1000_update_irq(s);
}

void e1000_write_itr(void *opaque, unsigned index, uint32_t written)
{
    e1000_update_irq(opaque);
}

/* "Flush partial descriptor": what is delayed comes now (3.2.5.1). */
void e1000_write_rdtr(void *opaque, unsigned index, uint32_t written)
{
    struct e1000 *s = opaque;
    if (written & E1000_RDTR_FPD && timer_is_set(&s->rx_delay))
        e1000_rx_delay_fired(s);
}

void e1000_write_tidv(void *opaque, unsigned index, uint32_t written)
{
    struct e1000 *s = opaque;
    if (written & E1000_TIDV_FPD && (timer_is_set(&s->tx_delay) || s->tx_done_count > 0))
        e1000_tx_delay_fired(s);
}

/* ---- lifecycle ---- */

void e1000_irq_init(struct e1000 *s)
{
    struct clock *c = &s->pci.dev.machine->virtual;
    timer_init(&s->throttle, c, e1000_throttle_fired, s);
    timer_init(&s->rx_delay, c, e1000_rx_delay_fired, s);
    timer_init(&s->rx_absolute, c, e1000_rx_delay_fired, s);
    timer_init(&s->tx_delay, c, e1000_tx_delay_fired, s);
    timer_init(&s->tx_absolute, c, e1000_tx_delay_fired, s);
    s->asserted_ns = -1;
}

void e1000_irq_cancel(struct e1000 *s)
{
    timer_cancel(&s->throttle);
    timer_cancel(&s->rx_delay);
    timer_cancel(&s->rx_absolute);
    timer_cancel(&s->tx_delay);
    timer_cancel(&s->tx_absolute);
}
