/* Intel 82540EM gigabit Ethernet controller ("e1000"): DMA, access to registers, lifecycle.
 *
 * Intel, "PCI/PCI-X Family of Gigabit Ethernet Controllers Software Developer's Manual", 317453:
 * 14.3 (resets). docs/e1000.md tells what is modelled.
 *
 * BAR 0 is the registers, BAR 1 a window on them. All time is virtual. The device owns its port;
 * the network backend given as `netdev` is joined to it by a link for as long as the device is
 * realized. Machine lock for all of it. */
#include "base/log.h"
#include "hw/net/e1000_internal.h"

/* ---- DMA ---- */

/* A guest may place rings and buffers anywhere, our own registers included: those must not start a
 * transfer in the middle of another. */
bool e1000_dma_read(struct e1000 *s, uint64_t addr, void *buf, size_t len)
{
    bool nested = s->in_dma; /* by way of another device's frame to us */
    s->in_dma = true;
    enum mem_result r = address_space_read(s->pci.dma, addr, buf, len);
    s->in_dma = nested;
    return r == MEM_OK;
}

bool e1000_dma_write(struct e1000 *s, uint64_t addr, const void *buf, size_t len)
{
    bool nested = s->in_dma; /* by way of another device's frame to us */
    s->in_dma = true;
    enum mem_result r = address_space_write(s->pci.dma, addr, buf, len);
    s->in_dma = nested;
    return r == MEM_OK;
}

uint16_t e1000_sum(const uint8_t *data, size_t len, uint32_t initial)
{
    /* A ones' complement sum is the same in either byte order but for a final swap (RFC 1071, 2).
     */
    uint64_t sum = __builtin_bswap32(initial);
    size_t i = 0;
    for (; i + 4 <= len; i += 4)
        sum += ld_le32(data + i);
    uint32_t rest = 0;
    memcpy(&rest, data + i, len - i);
    sum += rest;
    sum = (sum & 0xffffffff) + (sum >> 32);
    sum = (sum & 0xffffffff) + (sum >> 32);
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    return __builtin_bswap16((uint16_t)sum);
}

/* ---- access ---- */

static bool e1000_may_access(struct e1000 *s)
{
    if (s->in_dma)
        log_guest(device_name(&s->pci.dev), "its own DMA reaches its registers: ignored");
    return !s->in_dma;
}

static uint64_t e1000_reg_text(const struct e1000 *s, uint32_t offset)
{
    const char *name = reg_bank_name(&s->bank, offset);
    return trace_text(name ? name : "?");
}

static uint32_t e1000_read_register(struct e1000 *s, uint32_t offset)
{
    uint32_t value = reg_bank_read(&s->bank, offset);
    TRACE(e1000_trace, E1000_TRACE_REG_READ, e1000_source(s), e1000_reg_text(s, offset), offset,
          value);
    return value;
}

static void e1000_write_register(struct e1000 *s, uint32_t offset, uint32_t value)
{
    TRACE(e1000_trace, E1000_TRACE_REG_WRITE, e1000_source(s), e1000_reg_text(s, offset), offset,
          value);
    reg_bank_write(&s->bank, offset, value);
}

static uint64_t e1000_mmio_read(void *opaque, uint64_t offset, unsigned size)
{
    struct e1000 *s = opaque;
    return e1000_may_access(s) ? e1000_read_register(s, offset) : UINT32_MAX;
}

static void e1000_mmio_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    struct e1000 *s = opaque;
    if (e1000_may_access(s))
        e1000_write_register(s, offset, value);
}

/* Registers are doublewords (13.2). A narrow access would need a read beside it, which has effects
 * here. */
static const struct region_ops e1000_mmio_ops = {
    .read = e1000_mmio_read,
    .write = e1000_mmio_write,
    .valid = { .min = 4, .max = 8 },
    .impl = { .min = 4, .max = 4 },
};

/* The register that IOADDR selects, or false. */
static bool e1000_io_target(struct e1000 *s, uint64_t offset)
{
    return offset == E1000_IODATA && s->io_address < E1000_MMIO_SIZE && e1000_may_access(s);
}

static uint64_t e1000_io_read(void *opaque, uint64_t offset, unsigned size)
{
    struct e1000 *s = opaque;
    if (offset == E1000_IOADDR)
        return s->io_address;
    return e1000_io_target(s, offset) ? e1000_read_register(s, s->io_address) : 0;
}

static void e1000_io_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    struct e1000 *s = opaque;
    if (offset == E1000_IOADDR)
        s->io_address = value & E1000_IOADDR_MASK;
    else if (e1000_io_target(s, offset))
        e1000_write_register(s, s->io_address, value);
}

static const struct region_ops e1000_io_ops = {
    .read = e1000_io_read,
    .write = e1000_io_write,
    .valid = { .min = 4, .max = 4 },
    .impl = { .min = 4, .max = 4 },
};

/* ---- the port ---- */

static bool e1000_port_can_receive(struct net_port *p)
{
    return e1000_rx_can_receive(p->opaque);
}

static void e1000_port_receive(struct net_port *p, const uint8_t *frame, size_t len)
{
    struct e1000 *s = p->opaque;
    if (s->link_up)
        e1000_rx_frame(s, frame, len);
}

static void e1000_port_can_send(struct net_port *p)
{
    e1000_tx_run(p->opaque);
}

static void e1000_port_link_changed(struct net_port *p, bool up)
{
    e1000_phy_wire_changed(p->opaque);
}

static const struct net_port_ops e1000_port_ops = {
    .kind = "nic",
    .can_receive = e1000_port_can_receive,
    .receive = e1000_port_receive,
    .can_send = e1000_port_can_send,
    .link_changed = e1000_port_link_changed,
};

/* ---- lifecycle ---- */

void e1000_cancel_timers(struct e1000 *s)
{
    e1000_irq_cancel(s);
    timer_cancel(&s->tx_resume);
    timer_cancel(&s->pause);
}

/* What CTRL.RST resets: all but PCI configuration, IOADDR, PHY, EEPROM and what power on alone
 * resets: the packet buffer and its division, tables, the wake-up registers (14.3, 14.7); the
 * address comes out of the EEPROM again. */
void e1000_mac_reset(struct e1000 *s)
{
    e1000_cancel_timers(s);
    reg_bank_soft_reset(&s->bank);
    e1000_nvm_load(s);
    e1000_nvm_reset(s);
    e1000_tx_reset(s);
    e1000_ring_forget(&s->rx_ring);
    e1000_fifo_reset(s);
    e1000_flow_reset(s);
    s->link_up = false;
    s->asserted_ns = -1;
    e1000_update_irq(s);
    e1000_rx_maybe_ready(s); /* what waited for room is lost */
}

/* From D3: D0u, in which wake-up filters are off, and the PHY and what comes from the EEPROM are as
 * after power on (6.3.1.2). */
void e1000_wake_up(struct e1000 *s)
{
    s->io_address = 0;
    e1000_mac_reset(s);
    e1000_phy_reset(s);
}

static void e1000_reset(struct device *d)
{
    struct e1000 *s = (struct e1000 *)d;
    s->io_address = 0;
    reg_bank_reset(&s->bank);
    e1000_power_reset(s);
    e1000_mac_reset(s);
    s->phy_link = s->phy_link_lost = false;
    e1000_phy_reset(s);
}

static bool e1000_init(struct device *d, struct error *err)
{
    struct e1000 *s = (struct e1000 *)d;
    struct clock *c = &d->machine->virtual;
    s->rx_ring.registers = E1000_RDBAL;
    s->tx_ring.registers = E1000_TDBAL;
    e1000_irq_init(s);
    e1000_flow_init(s);
    timer_init(&s->tx_resume, c, e1000_tx_run, s);
    timer_init(&s->autoneg, c, e1000_phy_autoneg_done, s);
    return true;
}

static bool e1000_plug_in(struct e1000 *s, struct error *err)
{
    s->port = (struct net_port){ .ops = &e1000_port_ops, .opaque = s };
    if (!s->netdev)
        return true;
    if (!net_port_add(s->netdev->net, &s->port, s->pci.dev.id, err))
        return false;
    if (net_link_new(s->netdev->net, &s->port, s->netdev, NULL, err))
        return true;
    net_port_remove(&s->port);
    return false;
}

static void e1000_release(struct e1000 *s)
{
    region_fini(&s->io);
    region_fini(&s->mmio);
    reg_bank_fini(&s->bank);
}

static bool e1000_realize(struct device *d, struct error *err)
{
    struct e1000 *s = (struct e1000 *)d;
    struct mem *mem = d->machine->mem;
    e1000_registers_init(s);
    region_init_io(&s->mmio, mem, "e1000-mmio", E1000_MMIO_SIZE, &e1000_mmio_ops, s);
    region_init_io(&s->io, mem, "e1000-io", E1000_IO_SIZE, &e1000_io_ops, s);
    s->mmio.owner = s->io.owner = d;
    reg_bank_publish(&s->bank, &d->reg_banks, &s->mmio);
    pci_register_bar(&s->pci, 0, PCI_BAR_MEM32, &s->mmio);
    pci_register_bar(&s->pci, 1, PCI_BAR_IO, &s->io);
    e1000_nvm_init(s);
    if (e1000_plug_in(s, err))
        return true;
    e1000_release(s);
    return false;
}

static void e1000_unrealize(struct device *d)
{
    struct e1000 *s = (struct e1000 *)d;
    net_port_remove(&s->port);
    e1000_cancel_timers(s);
    timer_cancel(&s->autoneg);
    e1000_release(s);
}

static const struct prop e1000_props[] = {
    PROP(PROP_MAC, struct e1000, mac, "mac", "52:54:00:12:34:56", "the card's address"),
    PROP(PROP_NETDEV, struct e1000, netdev, "netdev", NULL,
         "the network backend that the card is joined to"),
    PROP(PROP_BOOL, struct e1000, autonegotiation, "autonegotiation", "true",
         "false: the link is there at once, without negotiating"),
    PROP(PROP_BOOL, struct e1000, mitigation, "mitigation", "true",
         "false: interrupts come at once whatever delays the guest asks for"),
    PROP(PROP_BOOL, struct e1000, lossless, "lossless", "true",
         "true: frames wait on the wire while the receive FIFO is full; false: they are missed"),
    PROP_END,
};

static const struct state_field e1000_state[] = {
    STATE_ARRAY(STATE_KIND_U32, struct e1000, regs),
    STATE_U32(struct e1000, io_address),
    STATE_BOOL(struct e1000, asserted),
    STATE_I64(struct e1000, asserted_ns),
    STATE_TIMER(struct e1000, throttle),
    STATE_TIMER(struct e1000, rx_delay),
    STATE_TIMER(struct e1000, rx_absolute),
    STATE_TIMER(struct e1000, tx_delay),
    STATE_TIMER(struct e1000, tx_absolute),
    STATE_TIMER(struct e1000, tx_resume),
    STATE_TIMER(struct e1000, pause),
    STATE_BOOL(struct e1000, xoff_sent),
    STATE_ARRAY(STATE_KIND_U16, struct e1000, phy),
    STATE_BOOL(struct e1000, phy_link),
    STATE_BOOL(struct e1000, phy_link_lost),
    STATE_BOOL(struct e1000, link_up),
    STATE_TIMER(struct e1000, autoneg),
    STATE_ARRAY(STATE_KIND_U16, struct e1000, nvm.words),
    STATE_BOOL(struct e1000, nvm.clock),
    STATE_BOOL(struct e1000, nvm.select),
    STATE_BOOL(struct e1000, nvm.write_enabled),
    STATE_U8(struct e1000, nvm.bits),
    STATE_U32(struct e1000, nvm.shift_in),
    STATE_U16(struct e1000, nvm.shift_out),
    STATE_U8(struct e1000, nvm.out_bits),
    STATE_U8(struct e1000, nvm.address),
    STATE_BOOL(struct e1000, nvm.reading),
    STATE_BOOL(struct e1000, nvm.data_out),
    STATE_BYTES(struct e1000, rx_ring),
    STATE_BYTES(struct e1000, tx_ring),
    STATE_U32(struct e1000, rx_stored),
    STATE_BYTES(struct e1000, rx_done),
    STATE_U8(struct e1000, rx_done_count),
    STATE_BYTES(struct e1000, tx_done),
    STATE_U8(struct e1000, tx_done_count),
    STATE_BOOL(struct e1000, tx_done_interrupts),
    STATE_BYTES(struct e1000, tx.context),
    STATE_BOOL(struct e1000, tx.started),
    STATE_BOOL(struct e1000, tx.bad),
    STATE_BOOL(struct e1000, tx.segmented),
    STATE_BOOL(struct e1000, tx.vlan),
    STATE_BOOL(struct e1000, tx.legacy_checksum),
    STATE_U8(struct e1000, tx.popts),
    STATE_U8(struct e1000, tx.css),
    STATE_U8(struct e1000, tx.cso),
    STATE_U16(struct e1000, tx.tci),
    STATE_U32(struct e1000, tx.size),
    STATE_U32(struct e1000, tx.segments),
    STATE_U32(struct e1000, tx.payload),
    STATE_BYTES(struct e1000, tx.header),
    STATE_BYTES(struct e1000, tx.frame),
    STATE_END,
};

static const struct pci_class e1000_class = {
    .vendor = 0x8086,
    .device = 0x100e,
    .subsystem_vendor = 0x1af4,
    .subsystem = 0x1100,
    .revision = 3,
    .class_id = 0x0200,
    .interrupt_pin = 1,
    .config_written = e1000_config_written,
    .power_at = E1000_POWER_AT,
    .power_capabilities = 2 | PCI_POWER_DSI | PCI_POWER_PME_D0 | PCI_POWER_PME_D3HOT,
    .power_changed = e1000_power_changed,
};

const struct device_type e1000_type = {
    .name = "e1000",
    .parent = "pci-device",
    .desc = "Intel 82540EM gigabit Ethernet",
    .instance_size = sizeof(struct e1000),
    .props = e1000_props,
    .state = e1000_state,
    .init = e1000_init,
    .realize = e1000_realize,
    .unrealize = e1000_unrealize,
    .reset = e1000_reset,
    .class_data = (void *)&e1000_class,
};
