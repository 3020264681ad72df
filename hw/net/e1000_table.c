/* The e1000's registers (manual 13): rows of a table, and what reading and writing them does. Those
 * without functions hold what is written to them and act where irq, tx, rx and nvm look at them. */
#include "hw/net/e1000_internal.h"

#include <assert.h>

/* ---- statistics ---- */

static bool e1000_is_wide(uint32_t counter)
{
    return counter == E1000_GORCL || counter == E1000_GOTCL || counter == E1000_TORL ||
           counter == E1000_TOTL;
}

void e1000_count(struct e1000 *s, uint32_t counter, uint64_t n)
{
    uint32_t *low = e1000_reg(s, counter);
    bool wide = e1000_is_wide(counter);
    uint32_t *high = wide ? e1000_reg(s, counter + 4) : NULL;
    uint64_t max = wide ? UINT64_MAX : UINT32_MAX;
    uint64_t v = wide ? (uint64_t)*high << 32 | *low : *low;
    v = max - v < n ? max : v + n;
    *low = (uint32_t)v;
    if (wide)
        *high = v >> 32;
}

void e1000_count_size(struct e1000 *s, uint32_t first, size_t len)
{
    static const uint16_t limits[] = { 64, 127, 255, 511, 1023 };
    unsigned i = 0;
    while (i < ARRAY_LEN(limits) && len > limits[i])
        i++;
    e1000_count(s, first + 4 * i, 1);
}

/* Reading the high half of a wide counter clears the low one too (13.7). */
static uint32_t e1000_read_wide(struct e1000 *s, uint32_t low)
{
    *e1000_reg(s, low) = 0;
    return *e1000_reg(s, low + 4);
}

static uint32_t e1000_read_gorch(void *opaque, unsigned index)
{
    return e1000_read_wide(opaque, E1000_GORCL);
}

static uint32_t e1000_read_gotch(void *opaque, unsigned index)
{
    return e1000_read_wide(opaque, E1000_GOTCL);
}

static uint32_t e1000_read_torh(void *opaque, unsigned index)
{
    return e1000_read_wide(opaque, E1000_TORL);
}

static uint32_t e1000_read_toth(void *opaque, unsigned index)
{
    return e1000_read_wide(opaque, E1000_TOTL);
}

/* ---- control, status, link ---- */

bool e1000_wire_up(const struct e1000 *s)
{
    return s->port.link && net_link_is_up(s->port.link);
}

void e1000_rx_maybe_ready(struct e1000 *s)
{
    if (*e1000_reg(s, E1000_RCTL) & E1000_RCTL_EN)
        e1000_ring_fetch(s, &s->rx_ring);
    e1000_rx_store(s);
    if (s->port.link && e1000_rx_can_receive(s))
        net_port_ready(&s->port);
}

void e1000_update_link(struct e1000 *s)
{
    bool up = s->phy_link && *e1000_reg(s, E1000_CTRL) & E1000_CTRL_SLU;
    if (up == s->link_up)
        return;
    s->link_up = up;
    TRACE(e1000_trace, E1000_TRACE_LINK, e1000_source(s), up);
    e1000_raise(s, E1000_ICR_LSC);
    e1000_wake_link(s);
    e1000_rx_maybe_ready(s);
}

static uint32_t e1000_read_status(void *opaque, unsigned index)
{
    struct e1000 *s = opaque;
    uint32_t ctrl = *e1000_reg(s, E1000_CTRL), v = E1000_STATUS_MTXCKOK;
    unsigned phy_speed = e1000_phy_speed(s);
    unsigned speed = ctrl & E1000_CTRL_FRCSPD ? ctrl >> E1000_CTRL_SPEED_SHIFT & 3 : phy_speed;
    bool full = ctrl & E1000_CTRL_FRCDPX ? ctrl & E1000_CTRL_FD : e1000_phy_full_duplex(s);
    if (s->link_up)
        v |= E1000_STATUS_LU;
    if (full)
        v |= E1000_STATUS_FD;
    if (e1000_flow_paused(s))
        v |= E1000_STATUS_TXOFF;
    return v | speed << E1000_STATUS_SPEED_SHIFT | phy_speed << E1000_STATUS_ASDV_SHIFT;
}

static void e1000_write_ctrl(void *opaque, unsigned index, uint32_t written)
{
    struct e1000 *s = opaque;
    if (written & E1000_CTRL_RST) {
        TRACE(e1000_trace, E1000_TRACE_RESET, e1000_source(s));
        e1000_mac_reset(s);
    }
    if (written & E1000_CTRL_PHY_RST)
        e1000_phy_reset(s);
    e1000_update_link(s);
}

static void e1000_write_ctrl_ext(void *opaque, unsigned index, uint32_t written)
{
    if (written & E1000_CTRL_EXT_EE_RST)
        e1000_nvm_load(opaque);
}

/* What receiving does not get of the packet buffer is for transmitting (13.4.16). */
static uint32_t e1000_read_pba(void *opaque, unsigned index)
{
    uint32_t rxa = *e1000_reg(opaque, E1000_PBA);
    uint32_t txa = rxa < E1000_PBA_KIB ? E1000_PBA_KIB - rxa : 0;
    return txa << E1000_PBA_TXA_SHIFT | rxa;
}

/* A table of quadwords: the upper half of each is reserved. */
static void e1000_write_table(void *opaque, unsigned index, uint32_t written)
{
    struct e1000 *s = opaque;
    if (index & 1)
        *e1000_reg(s, s->bank.table[s->bank.row].offset + 4 * index) = 0;
}

/* Low and high words in turn. */
static void e1000_write_ra(void *opaque, unsigned index, uint32_t written)
{
    if (index & 1)
        e1000_reg(opaque, E1000_RA)[index] &= E1000_RAH_BITS;
}

static void e1000_write_tctl(void *opaque, unsigned index, uint32_t written)
{
    if (written & E1000_TCTL_SWXOFF)
        e1000_flow_send(opaque, *e1000_reg(opaque, E1000_FCTTV));
    e1000_tx_run(opaque);
}

static void e1000_write_tdt(void *opaque, unsigned index, uint32_t written)
{
    struct e1000 *s = opaque;
    if (*e1000_reg(s, E1000_TCTL) & E1000_TCTL_EN)
        e1000_ring_fetch(s, &s->tx_ring); /* though it may not send now */
    e1000_tx_run(opaque);
}

static void e1000_write_rx(void *opaque, unsigned index, uint32_t written)
{
    e1000_rx_maybe_ready(opaque);
}

/* Where a ring is, its length, its head: what was fetched is not of this one. */
static void e1000_write_rx_ring(void *opaque, unsigned index, uint32_t written)
{
    struct e1000 *s = opaque;
    e1000_ring_forget(&s->rx_ring);
    e1000_rx_maybe_ready(s);
}

static void e1000_write_tx_ring(void *opaque, unsigned index, uint32_t written)
{
    struct e1000 *s = opaque;
    e1000_ring_forget(&s->tx_ring);
}

/* Divided anew, the buffer begins empty; software does it before a reset. */
static void e1000_write_pba(void *opaque, unsigned index, uint32_t written)
{
    e1000_fifo_reset(opaque);
}

/* ---- the table ---- */

#define ALL UINT32_MAX
/* A register that holds what is written to it. */
#define PLAIN(NAME, MASK, RESET)                                          \
    {                                                                     \
        .name = #NAME, .offset = E1000_##NAME, .rw = MASK, .reset = RESET \
    }
#define RING(NAME, MASK, WRITE)                                           \
    {                                                                     \
        .name = #NAME, .offset = E1000_##NAME, .rw = MASK, .write = WRITE \
    }
/* The same, and only power on resets it. */
#define KEPT(NAME, MASK, COUNT)                                                         \
    {                                                                                   \
        .name = #NAME, .offset = E1000_##NAME, .rw = MASK, .count = COUNT, .kept = true \
    }
#define KEPT_TABLE(NAME, MASK, ENTRIES)                                                        \
    {                                                                                          \
        .name = #NAME, .offset = E1000_##NAME, .rw = MASK, .count = 2 * ENTRIES, .kept = true, \
        .write = e1000_write_table                                                             \
    }
#define COUNTER(NAME)                                    \
    {                                                    \
        .name = #NAME, .offset = E1000_##NAME, .rc = ALL \
    }
#define WIDE_LOW(NAME)                                   \
    {                                                    \
        .name = #NAME, .offset = E1000_##NAME, .ro = ALL \
    }
#define WIDE_HIGH(NAME, READ)                                          \
    {                                                                  \
        .name = #NAME, .offset = E1000_##NAME, .rc = ALL, .read = READ \
    }

static const struct reg e1000_table[] = {
    { .name = "CTRL",
      .offset = E1000_CTRL,
      .rw = 0x58fc1be9,
      .reset = E1000_CTRL_FD | 2 << E1000_CTRL_SPEED_SHIFT,
      .write = e1000_write_ctrl },
    { .name = "STATUS",
      .offset = E1000_STATUS,
      .ro = ALL,
      .read = e1000_read_status,
      .pure = true },
    { .name = "EECD",
      .offset = E1000_EECD,
      .rw = E1000_EECD_SK | E1000_EECD_CS | E1000_EECD_DI | E1000_EECD_FWE | E1000_EECD_REQ,
      .ro = E1000_EECD_DO | E1000_EECD_GNT | E1000_EECD_PRES,
      .reset = 0x10,
      .read = e1000_read_eecd,
      .pure = true,
      .write = e1000_write_eecd },
    { .name = "EERD", .offset = E1000_EERD, .ro = ALL, .write = e1000_write_eerd },
    { .name = "CTRL_EXT",
      .offset = E1000_CTRL_EXT,
      .rw = 0x00e7fff0 & ~(E1000_CTRL_EXT_ASDCHK | E1000_CTRL_EXT_EE_RST),
      .write = e1000_write_ctrl_ext },
    { .name = "FLA",
      .offset = E1000_FLA,
      .rw = 0x17,
      .ro = E1000_FLA_SO | E1000_FLA_GNT,
      .read = e1000_read_fla,
      .pure = true },
    { .name = "MDIC", .offset = E1000_MDIC, .ro = ALL, .write = e1000_write_mdic },
    PLAIN(FCAL, ALL, 0x00c28001),
    PLAIN(FCAH, 0xffff, 0x0100),
    PLAIN(FCT, 0xffff, 0x8808),
    PLAIN(VET, 0xffff, 0x8100),
    PLAIN(FCTTV, 0xffff, 0),
    PLAIN(TXCW, ALL, 0),
    { .name = "RXCW", .offset = E1000_RXCW, .ro = ALL },
    PLAIN(LEDCTL, ALL, 0x07068302),
    { .name = "PBA",
      .offset = E1000_PBA,
      .rw = E1000_PBA_RXA,
      .ro = 0xffff0000,
      .reset = 0x30,
      .kept = true,
      .read = e1000_read_pba,
      .pure = true,
      .write = e1000_write_pba },

    { .name = "ICR",
      .offset = E1000_ICR,
      .ro = E1000_ICR_ALL,
      .read = e1000_read_icr,
      .write = e1000_write_icr },
    { .name = "ITR", .offset = E1000_ITR, .rw = 0xffff, .write = e1000_write_itr },
    { .name = "ICS", .offset = E1000_ICS, .write = e1000_write_ics },
    { .name = "IMS", .offset = E1000_IMS, .w1s = E1000_ICR_ALL, .write = e1000_write_ims },
    { .name = "IMC", .offset = E1000_IMC, .write = e1000_write_imc },

    { .name = "RCTL", .offset = E1000_RCTL, .rw = 0x06dfb3fe, .write = e1000_write_rx },
    PLAIN(RDFH, 0x1fff, 0),
    PLAIN(RDFT, 0x1fff, 0),
    PLAIN(RDFHS, 0x1fff, 0),
    PLAIN(RDFTS, 0x1fff, 0),
    PLAIN(RDFPC, 0x1fff, 0),
    PLAIN(FCRTL, 0x8000fff8, 0),
    PLAIN(FCRTH, 0x8000fff8, 0),
    RING(RDBAL, 0xfffffff0, e1000_write_rx_ring),
    RING(RDBAH, ALL, e1000_write_rx_ring),
    RING(RDLEN, 0xfff80, e1000_write_rx_ring),
    RING(RDH, 0xffff, e1000_write_rx_ring),
    RING(RDT, 0xffff, e1000_write_rx),
    { .name = "RDTR", .offset = E1000_RDTR, .rw = 0xffff, .write = e1000_write_rdtr },
    PLAIN(RXDCTL, 0x013f3f3f, 0),
    PLAIN(RADV, 0xffff, 0),
    PLAIN(RSRPD, 0xfff, 0),
    PLAIN(RXCSUM, 0x7ff, 0),
    KEPT(MTA, ALL, E1000_MTA_WORDS),
    { .name = "RA",
      .offset = E1000_RA,
      .count = 2 * E1000_RA_PAIRS,
      .rw = ALL,
      .write = e1000_write_ra },
    KEPT(VFTA, ALL, E1000_VFTA_WORDS),

    { .name = "TCTL", .offset = E1000_TCTL, .rw = 0x01bffffa, .write = e1000_write_tctl },
    PLAIN(TIPG, 0x3fffffff, 0),
    PLAIN(AIFS, 0xffff, 0),
    PLAIN(TXDMAC, 1, 0),
    PLAIN(TDFH, 0x7ff, 0),
    PLAIN(TDFT, 0x7ff, 0),
    PLAIN(TDFHS, 0x1fff, 0),
    PLAIN(TDFTS, 0x1fff, 0),
    PLAIN(TDFPC, 0x1fff, 0),
    RING(TDBAL, 0xfffffff0, e1000_write_tx_ring),
    RING(TDBAH, ALL, e1000_write_tx_ring),
    RING(TDLEN, 0xfff80, e1000_write_tx_ring),
    RING(TDH, 0xffff, e1000_write_tx_ring),
    RING(TDT, 0xffff, e1000_write_tdt),
    { .name = "TIDV", .offset = E1000_TIDV, .rw = 0xffff, .write = e1000_write_tidv },
    PLAIN(TXDCTL, 0xff3f3f3f, 0),
    PLAIN(TADV, 0xffff, 0),
    PLAIN(TSPMT, ALL, 0x01000400),

    COUNTER(CRCERRS),
    COUNTER(ALGNERRC),
    COUNTER(SYMERRS),
    COUNTER(RXERRC),
    COUNTER(MPC),
    COUNTER(SCC),
    COUNTER(ECOL),
    COUNTER(MCC),
    COUNTER(LATECOL),
    COUNTER(COLC),
    COUNTER(DC),
    COUNTER(TNCRS),
    COUNTER(SEC),
    COUNTER(CEXTERR),
    COUNTER(RLEC),
    COUNTER(XONRXC),
    COUNTER(XONTXC),
    COUNTER(XOFFRXC),
    COUNTER(XOFFTXC),
    COUNTER(FCRUC),
    COUNTER(PRC64),
    COUNTER(PRC127),
    COUNTER(PRC255),
    COUNTER(PRC511),
    COUNTER(PRC1023),
    COUNTER(PRC1522),
    COUNTER(GPRC),
    COUNTER(BPRC),
    COUNTER(MPRC),
    COUNTER(GPTC),
    WIDE_LOW(GORCL),
    WIDE_HIGH(GORCH, e1000_read_gorch),
    WIDE_LOW(GOTCL),
    WIDE_HIGH(GOTCH, e1000_read_gotch),
    COUNTER(RNBC),
    COUNTER(RUC),
    COUNTER(RFC),
    COUNTER(ROC),
    COUNTER(RJC),
    COUNTER(MGTPRC),
    COUNTER(MGTPDC),
    COUNTER(MGTPTC),
    WIDE_LOW(TORL),
    WIDE_HIGH(TORH, e1000_read_torh),
    WIDE_LOW(TOTL),
    WIDE_HIGH(TOTH, e1000_read_toth),
    COUNTER(TPR),
    COUNTER(TPT),
    COUNTER(PTC64),
    COUNTER(PTC127),
    COUNTER(PTC255),
    COUNTER(PTC511),
    COUNTER(PTC1023),
    COUNTER(PTC1522),
    COUNTER(MPTC),
    COUNTER(BPTC),
    COUNTER(TSCTC),
    COUNTER(TSCTFC),

    { .name = "WUC",
      .offset = E1000_WUC,
      .rw = E1000_WUC_APME | E1000_WUC_APMPME,
      .ro = E1000_WUC_PME_EN | E1000_WUC_PME_STATUS,
      .kept = true,
      .read = e1000_read_wuc,
      .pure = true,
      .write = e1000_write_wuc },
    PLAIN(WUFC, E1000_WUFC_ALL, 0),
    { .name = "WUS", .offset = E1000_WUS, .w1c = E1000_WUFC_ALL, .kept = true },
    PLAIN(MANC, ALL, 0),
    PLAIN(IPAV, 0x0001000f, 0),
    KEPT_TABLE(IP4AT, ALL, E1000_IP4AT_ENTRIES),
    KEPT(IP6AT, ALL, 4),
    KEPT(WUPL, 0xfff, 1),
    KEPT(WUPM, ALL, E1000_WUPM_BYTES / 4),
    KEPT_TABLE(FFLT, 0x7ff, E1000_FLEX_FILTERS),
    KEPT_TABLE(FFMT, 0xf, E1000_FLEX_BYTES),
    KEPT_TABLE(FFVT, ALL, E1000_FLEX_BYTES),
    KEPT(PBM, ALL, E1000_PBM_WORDS),
};

void e1000_registers_init(struct e1000 *s)
{
    assert(reg_table_slots(e1000_table, ARRAY_LEN(e1000_table)) <= E1000_REG_SLOTS);
    reg_bank_init(&s->bank, s->pci.dev.path, e1000_table, ARRAY_LEN(e1000_table), E1000_MMIO_SIZE,
                  s->regs, s);
    reg_bank_reset(&s->bank);
}
