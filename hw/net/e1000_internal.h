/* The e1000's state, shared by its files: e1000.c (DMA, access, lifecycle), e1000_table.c
 * (registers), e1000_irq.c (interrupts), e1000_nvm.c (EEPROM and PHY), e1000_tx.c and e1000_rx.c
 * (the two halves of the data path), e1000_ring.c (descriptors on the chip), e1000_fifo.c (what is
 * received and not yet in memory), e1000_rx_sum.c (received checksums), e1000_flow.c (PAUSE
 * frames), e1000_power.c (D0 and D3), e1000_wake.c (wake-up filters), e1000_trace.c (names of
 * events). */
#pragma once

#include "dev/machine.h"
#include "dev/pci.h"
#include "dev/reg.h"
#include "hw/net/e1000_regs.h"
#include "net/link.h"

#include <string.h>

enum {
    E1000_REG_SLOTS = E1000_PBM_WORDS + 1024, /* room for the values of the register table */
    E1000_NVM_WORDS = 64,
    E1000_TX_HEADER_MAX = 256,
    E1000_VLAN_SIZE = 4,
    E1000_FCS_SIZE = 4,
    E1000_FRAME_MIN = 60,      /* on the wire, without FCS */
    E1000_FRAME_NORMAL = 1518, /* longest without LPE: tag included, FCS not */
    E1000_FRAME_LONG = 16380,  /* with LPE */
    E1000_ON_CHIP = 64,        /* descriptors of each ring, fetched or to be written back */
    E1000_POWER_AT = 0xdc,     /* the power management capability (6.3.3) */
};

/* The 93C46 on its four wires. */
struct e1000_nvm {
    uint16_t words[E1000_NVM_WORDS];
    bool clock, select;
    bool write_enabled;
    uint8_t bits; /* shifted in since the start bit, that included */
    uint32_t shift_in;
    uint16_t shift_out;
    uint8_t out_bits; /* left in shift_out */
    uint8_t address;
    bool reading;
    bool data_out;
};

/* A descriptor that is done with but not yet written back: where, and what. */
struct e1000_done {
    uint64_t addr, value;
};

/* Descriptors that were fetched: those from the ring's head on. */
struct e1000_ring {
    uint32_t registers; /* E1000_RDBAL or E1000_TDBAL */
    uint64_t cache[E1000_ON_CHIP][2];
    uint8_t first, count;
};

/* A transmit context: where checksums go, and how to segment. */
struct e1000_tx_context {
    uint8_t ipcss, ipcso;
    uint16_t ipcse;
    uint8_t tucss, tucso;
    uint16_t tucse;
    uint32_t paylen;
    uint8_t tucmd, hdrlen;
    uint16_t mss;
};

struct e1000_tx {
    struct e1000_tx_context context[2]; /* for plain packets, for segmented ones */
    /* The packet being gathered. */
    bool started;
    bool bad; /* to be dropped at its end */
    bool segmented;
    bool vlan;
    bool legacy_checksum;
    uint8_t popts;
    uint8_t css, cso; /* of legacy_checksum */
    uint16_t tci;
    uint32_t size;     /* bytes in frame */
    uint32_t segments; /* already sent of this packet */
    uint32_t payload;  /* bytes sent in them */
    uint8_t header[E1000_TX_HEADER_MAX];
    uint8_t frame[E1000_VLAN_SIZE + NET_FRAME_MAX]; /* begins after room for a tag */
};

struct e1000 {
    struct pci_device pci;
    struct net_port *netdev;
    uint8_t mac[6];
    bool autonegotiation;
    bool mitigation;
    bool lossless;

    struct region mmio, io;
    struct reg_bank bank;
    uint32_t regs[E1000_REG_SLOTS];
    uint32_t io_address;
    struct net_port port;
    bool in_dma; /* our own transfer is under way: it must not reach our own registers */

    bool asserted;         /* the interrupt pin */
    int64_t asserted_ns;   /* when it was last raised */
    struct timer throttle; /* waits for ITR */
    struct timer rx_delay, rx_absolute, tx_delay, tx_absolute;

    uint16_t phy[PHY_REGISTERS];
    bool phy_link;      /* now */
    bool phy_link_lost; /* since PHY_STATUS was read */
    bool link_up;       /* STATUS.LU */
    struct timer autoneg;
    struct e1000_nvm nvm;

    struct timer pause; /* the peer wants us to be quiet for so long */
    bool xoff_sent;     /* and no XON after it */

    struct e1000_ring rx_ring, tx_ring;
    uint32_t rx_stored; /* bytes of the receive FIFO's first packet that are in memory */
    bool rx_storing;
    struct e1000_done rx_done[E1000_ON_CHIP], tx_done[E1000_ON_CHIP];
    uint8_t rx_done_count, tx_done_count;
    bool tx_done_interrupts; /* some of tx_done want an interrupt when they are written back */
    bool transmitting;
    struct timer tx_resume;
    struct e1000_tx tx;
    uint8_t rx_frame[E1000_FRAME_LONG + E1000_FCS_SIZE];
};

static inline uint32_t *e1000_reg(struct e1000 *s, uint32_t offset)
{
    return reg_bank_value(&s->bank, offset);
}

static inline int64_t e1000_now(const struct e1000 *s)
{
    return clock_now(&s->pci.dev.machine->virtual);
}

/* Events: e1000_trace.c. */
extern struct trace_table e1000_trace;
enum {
    E1000_TRACE_REG_READ,
    E1000_TRACE_REG_WRITE,
    E1000_TRACE_RESET,
    E1000_TRACE_CAUSE,
    E1000_TRACE_IRQ,
    E1000_TRACE_THROTTLE,
    E1000_TRACE_LINK,
    E1000_TRACE_TX_DESC,
    E1000_TRACE_TX_FRAME,
    E1000_TRACE_RX_FRAME,
    E1000_TRACE_RX_DESC,
    E1000_TRACE_RX_DROP,
};

static inline struct trace_source e1000_source(const struct e1000 *s)
{
    return device_source(&s->pci.dev);
}

/* The Internet checksum (RFC 1071) without the final inversion: ones' complement sum of big-endian
 * words. */
uint16_t e1000_sum(const uint8_t *data, size_t len, uint32_t initial);

/* DMA as a bus master. False when some byte was not there; all of `buf` is then as the bus gave it.
 */
bool e1000_dma_read(struct e1000 *s, uint64_t addr, void *buf, size_t len);
bool e1000_dma_write(struct e1000 *s, uint64_t addr, const void *buf, size_t len);

/* The reset of CTRL.RST and all others: 14.3. */
void e1000_mac_reset(struct e1000 *s);
void e1000_cancel_timers(struct e1000 *s);
void e1000_wake_up(struct e1000 *s);

/* e1000_table.c */
/* Make the bank, with all registers as after power on. */
void e1000_registers_init(struct e1000 *s);
/* There may be room for frames now. */
void e1000_rx_maybe_ready(struct e1000 *s);
/* A statistics counter; 64-bit ones are named by their low half. */
void e1000_count(struct e1000 *s, uint32_t counter, uint64_t n);
/* One of six counters by frame length (FCS included), from the one for 64 bytes at `first`. */
void e1000_count_size(struct e1000 *s, uint32_t first, size_t len);

/* Recompute STATUS.LU and tell of a change. */
void e1000_update_link(struct e1000 *s);
bool e1000_wire_up(const struct e1000 *s);

/* e1000_irq.c */
void e1000_irq_init(struct e1000 *s);
void e1000_irq_cancel(struct e1000 *s); /* what is delayed */
/* The pin is high while an enabled cause is set, but is raised no more often than ITR allows. */
void e1000_update_irq(struct e1000 *s);
/* Set interrupt causes. */
void e1000_raise(struct e1000 *s, uint32_t causes);

/* Raise the interrupt of a received or a transmitted packet, now or after the delays that RDTR/RADV
 * or TIDV/TADV ask for. */
void e1000_raise_rx(struct e1000 *s);
void e1000_raise_tx(struct e1000 *s);
/* Functions of its registers. */
uint32_t e1000_read_icr(void *opaque, unsigned index);
void e1000_write_icr(void *opaque, unsigned index, uint32_t written);
void e1000_write_ics(void *opaque, unsigned index, uint32_t written);
void e1000_write_ims(void *opaque, unsigned index, uint32_t written);
void e1000_write_imc(void *opaque, unsigned index, uint32_t written);
void e1000_write_itr(void *opaque, unsigned index, uint32_t written);
void e1000_write_rdtr(void *opaque, unsigned index, uint32_t written);
void e1000_write_tidv(void *opaque, unsigned index, uint32_t written);

/* e1000_nvm.c */
void e1000_nvm_init(struct e1000 *s);
void e1000_nvm_reset(struct e1000 *s);
/* Take out of the EEPROM what the card begins with: its address, APM wake-up. */
void e1000_nvm_load(struct e1000 *s);
uint32_t e1000_read_fla(void *opaque, unsigned index);
uint32_t e1000_read_eecd(void *opaque, unsigned index);
void e1000_write_eecd(void *opaque, unsigned index, uint32_t written);
void e1000_write_eerd(void *opaque, unsigned index, uint32_t written);
void e1000_write_mdic(void *opaque, unsigned index, uint32_t written);
void e1000_phy_reset(struct e1000 *s);
void e1000_phy_wire_changed(struct e1000 *s);
void e1000_phy_autoneg_done(void *opaque);
/* 0: 10, 1: 100, 2: 1000 Mb/s */
unsigned e1000_phy_speed(const struct e1000 *s);
bool e1000_phy_full_duplex(const struct e1000 *s);

/* e1000_tx.c */
void e1000_tx_run(void *opaque);
void e1000_tx_reset(struct e1000 *s);
void e1000_tx_forget(struct e1000 *s); /* the packet that was begun, what is not written back */
void e1000_tx_write_back(struct e1000 *s);
/* A whole frame onto the wire, or back to us when that is asked for. */
void e1000_tx_wire(struct e1000 *s, const uint8_t *frame, size_t len);

/* e1000_flow.c */
void e1000_flow_init(struct e1000 *s);
void e1000_flow_reset(struct e1000 *s);
bool e1000_flow_paused(const struct e1000 *s);
/* What becomes of a frame that may be flow control, which is acted on. */
enum e1000_flow {
    E1000_FLOW_NONE,    /* it is not */
    E1000_FLOW_FILTER,  /* as other frames, but not counted among them */
    E1000_FLOW_STORE,   /* past the filters */
    E1000_FLOW_DISCARD, /* not for the driver */
};
enum e1000_flow e1000_flow_receive(struct e1000 *s, const uint8_t *frame, size_t len);
void e1000_flow_send(struct e1000 *s, uint16_t quanta); /* a PAUSE frame; 0: XON */
/* The receive FIFO has been filled or emptied. */
void e1000_flow_fill(struct e1000 *s);

/* e1000_ring.c: descriptors, and how many are between head and tail */
uint32_t e1000_ring_size(struct e1000 *s, const struct e1000_ring *r);
uint32_t e1000_ring_available(struct e1000 *s, const struct e1000_ring *r);
uint64_t e1000_ring_address(struct e1000 *s,
                            const struct e1000_ring *r); /* of the one at the head */
/* Fetch what the thresholds ask for. */
void e1000_ring_fetch(struct e1000 *s, struct e1000_ring *r);
/* The descriptor at the head, where there is one. False: it is not in memory, which is logged. */
bool e1000_ring_next(struct e1000 *s, struct e1000_ring *r, uint64_t desc[2]);
void e1000_ring_advance(struct e1000 *s, struct e1000_ring *r);
void e1000_ring_forget(struct e1000_ring *r); /* what was fetched */
/* A threshold of RXDCTL or TXDCTL, in descriptors. */
unsigned e1000_threshold(struct e1000 *s, uint32_t control, unsigned shift);

/* e1000_fifo.c: bytes in use; the longest packet that there is room for */
size_t e1000_fifo_bytes(struct e1000 *s);
size_t e1000_fifo_room(struct e1000 *s);
void e1000_fifo_reset(struct e1000 *s);
/* Append a packet, which has room. `fields`: the second quadword of its descriptor, with the
 * length. */
void e1000_fifo_put(struct e1000 *s, uint64_t fields, const uint8_t *data, size_t len);
/* The first packet's fields. False: there is none. */
bool e1000_fifo_first(struct e1000 *s, uint64_t *fields);
/* Write the next `len` bytes of the first packet, from rx_stored on, to memory at `addr`. */
bool e1000_fifo_store(struct e1000 *s, uint64_t addr, size_t len);
void e1000_fifo_drop(struct e1000 *s, uint64_t fields);

/* e1000_rx.c */
bool e1000_rx_can_receive(struct e1000 *s);
/* Write back the descriptors that are done with. */
void e1000_rx_write_back(struct e1000 *s);
/* Store what the FIFO has in the descriptors that there are. */
void e1000_rx_store(struct e1000 *s);
/* The filters: one of the sixteen addresses, the multicast table, all of them with the VLAN's, by
 * RCTL's bits. A frame has at least its Ethernet header, and a tag if it says so. */
bool e1000_rx_matches_address(struct e1000 *s, const uint8_t *frame);
bool e1000_rx_matches_multicast(struct e1000 *s, const uint8_t *frame);
bool e1000_rx_passes(struct e1000 *s, const uint8_t *frame, uint32_t rctl);
/* A frame from the wire, or looped back. */
void e1000_rx_frame(struct e1000 *s, const uint8_t *frame, size_t len);

/* e1000_rx_sum.c: bits for the descriptor, and its checksum field */
struct e1000_verdict {
    uint8_t status, errors;
    uint16_t packet_checksum;
};
struct e1000_verdict e1000_rx_check(struct e1000 *s, const uint8_t *frame, size_t len);

/* e1000_power.c */
void e1000_config_written(struct pci_device *d, unsigned offset, uint32_t value, unsigned size);
void e1000_power_changed(struct pci_device *d, bool awake);
void e1000_power_reset(struct e1000 *s);

/* e1000_wake.c: tell the wake-up registers of a frame from the wire, of a change of the link. */
void e1000_wake_frame(struct e1000 *s, const uint8_t *frame, size_t len);
void e1000_wake_link(struct e1000 *s);
uint32_t e1000_read_wuc(void *opaque, unsigned index);
void e1000_write_wuc(void *opaque, unsigned index, uint32_t written);
