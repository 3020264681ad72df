/* The e1000's wake-up filters: which frames, and whether a change of the link, would wake a
 * machine.
 *
 * 317453: 6.4 (wake-up, packet tables in 6.4.3), 13.6 (registers). With PME_En what WUFC asks for
 * wakes, with WUC.APME a magic packet, in both power states. What woke is in WUS, WUPL and WUPM,
 * and PME_Status; PME# is the bus's. Tags and LLC/SNAP are not looked through, as on this
 * chip. */
#include "hw/net/e1000_internal.h"

enum {
    ADDRESS = 6,
    TYPE = 12,
    NETWORK = 14,
    TYPE_IP4 = 0x0800,
    TYPE_ARP = 0x0806,
    TYPE_IP6 = 0x86dd,
    ARP_TARGET = NETWORK + 24,
    IP4_DESTINATION = NETWORK + 16,
    IP6_DESTINATION = NETWORK + 24,
    MAGIC_REPEATS = 16,
    /* These record a packet; the link's change is on its own. */
    WAKE_PACKET = E1000_WUFC_ALL & ~E1000_WUFC_LNKC,
};

static const uint8_t broadcast[ADDRESS] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };

/* The station's address, sixteen times, after six bytes of ff or more (6.4.3.1.4). */
static bool wake_is_magic(struct e1000 *s, const uint8_t *frame, size_t len)
{
    uint8_t pattern[ADDRESS * (1 + MAGIC_REPEATS)];
    memset(pattern, 0xff, ADDRESS);
    for (unsigned i = 1; i <= MAGIC_REPEATS; i++) {
        st_le32(pattern + ADDRESS * i, *e1000_reg(s, E1000_RA));
        st_le16(pattern + ADDRESS * i + 4, *e1000_reg(s, E1000_RA + 4));
    }
    for (size_t at = NETWORK; at + sizeof pattern <= len; at++)
        if (!memcmp(frame + at, pattern, sizeof pattern))
            return true;
    return false;
}

static bool wake_is_our_ip4(struct e1000 *s, const uint8_t *address)
{
    for (unsigned i = 0; i < E1000_IP4AT_ENTRIES; i++)
        if (*e1000_reg(s, E1000_IPAV) >> i & 1 &&
            *e1000_reg(s, E1000_IP4AT + 8 * i) == ld_le32(address))
            return true;
    return false;
}

static bool wake_is_our_ip6(struct e1000 *s, const uint8_t *address)
{
    bool same = *e1000_reg(s, E1000_IPAV) >> E1000_IPAV_V60_SHIFT & 1;
    for (unsigned i = 0; i < 4; i++)
        same &= *e1000_reg(s, E1000_IP6AT + 4 * i) == ld_le32(address + 4 * i);
    return same;
}

static bool wake_is_arp_request(struct e1000 *s, const uint8_t *frame, size_t len)
{
    static const uint8_t request[] = { 0x08, 0x06, 0, 1, 8, 0, 6, 4, 0, 1 };
    return len >= ARP_TARGET + 4 && !memcmp(frame, broadcast, ADDRESS) &&
           !memcmp(frame + TYPE, request, sizeof request) && wake_is_our_ip4(s, frame + ARP_TARGET);
}

/* Directed IP: WUFC's bit, or 0. */
static uint32_t wake_ip(struct e1000 *s, const uint8_t *frame, size_t len)
{
    unsigned type = ld_be16(frame + TYPE), version = len > NETWORK ? frame[NETWORK] >> 4 : 0;
    if (type == TYPE_IP4 && version == 4 && len >= IP4_DESTINATION + 4)
        return wake_is_our_ip4(s, frame + IP4_DESTINATION) ? E1000_WUFC_IPV4 : 0;
    if (type == TYPE_IP6 && version == 6 && len >= IP6_DESTINATION + 16)
        return wake_is_our_ip6(s, frame + IP6_DESTINATION) ? E1000_WUFC_IPV6 : 0;
    return 0;
}

/* Does it have the bytes that the mask asks for, up to the filter's length (6.4.3.3)? */
static bool wake_is_flexible(struct e1000 *s, unsigned filter, const uint8_t *frame, size_t len)
{
    uint32_t wanted = *e1000_reg(s, E1000_FFLT + 8 * filter);
    if (wanted > len)
        return false;
    for (unsigned i = 0; i < wanted && i < E1000_FLEX_BYTES; i++)
        if (*e1000_reg(s, E1000_FFMT + 8 * i) >> filter & 1 &&
            (*e1000_reg(s, E1000_FFVT + 8 * i) >> 8 * filter & 0xff) != frame[i])
            return false;
    return true;
}

/* All filters that a frame passes. */
static uint32_t wake_reasons(struct e1000 *s, const uint8_t *frame, size_t len)
{
    bool exact = e1000_rx_matches_address(s, frame);
    uint32_t reasons = 0;
    if (wake_is_magic(s, frame, len))
        reasons |= E1000_WUFC_MAG;
    if (exact)
        reasons |= E1000_WUFC_EX | wake_ip(s, frame, len);
    if (!memcmp(frame, broadcast, ADDRESS))
        reasons |= E1000_WUFC_BC;
    else if (frame[0] & 1 && e1000_rx_matches_multicast(s, frame))
        reasons |= E1000_WUFC_MC;
    if (wake_is_arp_request(s, frame, len))
        reasons |= E1000_WUFC_ARP;
    for (unsigned i = 0; i < E1000_FLEX_FILTERS; i++)
        if (wake_is_flexible(s, i, frame, len))
            reasons |= 1u << (E1000_WUFC_FLX_SHIFT + i);
    return reasons;
}

static void wake_keep(struct e1000 *s, const uint8_t *frame, size_t len)
{
    uint8_t bytes[E1000_WUPM_BYTES] = { 0 };
    size_t wire = (len < E1000_FRAME_MIN ? E1000_FRAME_MIN : len) + E1000_FCS_SIZE;
    memcpy(bytes, frame, len < sizeof bytes ? len : sizeof bytes);
    for (unsigned i = 0; i < sizeof bytes; i += 4)
        *e1000_reg(s, E1000_WUPM + i) = ld_le32(bytes + i);
    *e1000_reg(s, E1000_WUPL) = wire < E1000_WUPL_MAX ? wire : E1000_WUPL_MAX;
}

/* What the driver asked to be woken by, if at all. */
static uint32_t wake_enabled(struct e1000 *s)
{
    return pci_pme(&s->pci) & PCI_POWER_PME_ENABLE ? *e1000_reg(s, E1000_WUFC) : 0;
}

static void wake_report(struct e1000 *s, uint32_t reasons, bool pme)
{
    *e1000_reg(s, E1000_WUS) |= reasons;
    if (pme)
        pci_set_pme(&s->pci, pci_pme(&s->pci) | PCI_POWER_PME_STATUS);
}

void e1000_wake_frame(struct e1000 *s, const uint8_t *frame, size_t len)
{
    uint32_t wuc = *e1000_reg(s, E1000_WUC), enabled = wake_enabled(s) & WAKE_PACKET;
    bool apm = wuc & E1000_WUC_APME;

    /* The first one stays until the driver has cleared it. */
    if ((!enabled && !apm) || *e1000_reg(s, E1000_WUS) & WAKE_PACKET)
        return;
    uint32_t reasons = wake_reasons(s, frame, len) & (enabled | (apm ? E1000_WUFC_MAG : 0));
    /* For a magic packet broadcast passes in any case (6.4.3.1.4). */
    uint32_t rctl = *e1000_reg(s, E1000_RCTL);
    if (!e1000_rx_passes(s, frame, rctl))
        reasons &= e1000_rx_passes(s, frame, rctl | E1000_RCTL_BAM) ? E1000_WUFC_MAG : 0;
    if (!reasons)
        return;
    wake_keep(s, frame, len);
    wake_report(s, reasons, reasons & enabled || wuc & E1000_WUC_APMPME);
}

void e1000_wake_link(struct e1000 *s)
{
    if (wake_enabled(s) & E1000_WUFC_LNKC)
        wake_report(s, E1000_WUFC_LNKC, true);
}

/* WUC has copies of the PMCSR's two bits (13.6.1). */
uint32_t e1000_read_wuc(void *opaque, unsigned index)
{
    struct e1000 *s = opaque;
    unsigned pme = pci_pme(&s->pci);
    return *e1000_reg(s, E1000_WUC) | (pme & PCI_POWER_PME_ENABLE ? E1000_WUC_PME_EN : 0) |
           (pme & PCI_POWER_PME_STATUS ? E1000_WUC_PME_STATUS : 0);
}

void e1000_write_wuc(void *opaque, unsigned index, uint32_t written)
{
    struct e1000 *s = opaque;
    unsigned status = pci_pme(&s->pci) & PCI_POWER_PME_STATUS;
    if (written & E1000_WUC_PME_STATUS)
        status = 0;
    pci_set_pme(&s->pci, status | (written & E1000_WUC_PME_EN ? PCI_POWER_PME_ENABLE : 0));
}
