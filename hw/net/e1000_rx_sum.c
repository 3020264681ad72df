/* The e1000's checksum offload for received packets.
 *
 * 317453: 3.2.9 (what is checked; 3.2.9.2 to 3.2.9.5 the filters that find it), 13.4.47 (RXCSUM).
 * Ethernet II and SNAP, with a tag or without; TCP and UDP over IPv4 and over IPv6, behind
 * hop-by-hop, destination and routing headers. Fragments have no TCP or UDP that could be checked.
 *
 * 3.2.9.3 wants IPOFL for TCP over IPv4 too, but Linux's driver sets TUOFL alone and takes what it
 * gets: here that is enough. */
#include "hw/net/e1000_internal.h"

enum {
    TYPE = 12,
    TYPE_IP4 = 0x0800,
    TYPE_IP6 = 0x86dd,
    LENGTH_MAX = 1500, /* a type that is none, but a length (IEEE 802.3) */
    SNAP_HEADER = 6,
    IP4_HEADER = 20,
    IP4_FRAGMENT = 6,
    IP4_FRAGMENT_MASK = 0x3fff, /* more fragments, or an offset */
    IP4_PROTOCOL = 9,
    IP4_SOURCE = 12,
    IP6_HEADER = 40,
    IP6_LENGTH = 4,
    IP6_NEXT = 6,
    IP6_SOURCE = 8,
    NEXT_HOP_BY_HOP = 0x00,
    NEXT_ROUTING = 0x2b,
    NEXT_DESTINATION = 0x3c,
    NEXT_MAX = 64, /* bytes of an extension header */
    PROTOCOL_TCP = 6,
    PROTOCOL_UDP = 17,
    UDP_CHECKSUM = 6,
};

/* Where the network header begins; `*type` says what it is. `len` when there is none. */
static size_t sum_network(struct e1000 *s, const uint8_t *frame, size_t len, unsigned *type)
{
    static const uint8_t snap[SNAP_HEADER] = { 0xaa, 0xaa, 3 };
    size_t at = TYPE;
    if (len >= at + E1000_VLAN_SIZE + 2 && ld_be16(frame + at) == *e1000_reg(s, E1000_VET))
        at += E1000_VLAN_SIZE;
    if (len >= at + 2 + SNAP_HEADER + 2 && ld_be16(frame + at) <= LENGTH_MAX &&
        !memcmp(frame + at + 2, snap, SNAP_HEADER))
        at += 2 + SNAP_HEADER;
    if (len < at + 2)
        return len;
    *type = ld_be16(frame + at);
    return at + 2;
}

/* TCP or UDP with the pseudo-header's sum of addresses. */
static void sum_transport(const uint8_t *data, size_t len, unsigned protocol, uint16_t addresses,
                          struct e1000_verdict *v)
{
    if ((protocol != PROTOCOL_TCP || len < 20) && (protocol != PROTOCOL_UDP || len < 8))
        return;
    if (protocol == PROTOCOL_UDP && ld_be16(data + UDP_CHECKSUM) == 0) /* it has none */
        return;
    v->status = (v->status & ~E1000_RXD_STAT_IXSM) | E1000_RXD_STAT_TCPCS;
    if (e1000_sum(data, len, (uint32_t)addresses + protocol + (uint32_t)len) != 0xffff)
        v->errors |= E1000_RXD_ERR_TCPE;
}

static void sum_ip4(uint32_t rxcsum, const uint8_t *ip, size_t len, struct e1000_verdict *v)
{
    if (len < IP4_HEADER)
        return;
    size_t header = (ip[0] & 15) * 4, total = ld_be16(ip + 2);
    if (ip[0] >> 4 != 4 || header < IP4_HEADER || total < header || total > len)
        return;
    if (rxcsum & E1000_RXCSUM_IPOFL) {
        v->status = (v->status & ~E1000_RXD_STAT_IXSM) | E1000_RXD_STAT_IPCS;
        if (e1000_sum(ip, header, 0) != 0xffff)
            v->errors |= E1000_RXD_ERR_IPE;
    }
    if (rxcsum & E1000_RXCSUM_TUOFL && !(ld_be16(ip + IP4_FRAGMENT) & IP4_FRAGMENT_MASK))
        sum_transport(ip + header, total - header, ip[IP4_PROTOCOL],
                      e1000_sum(ip + IP4_SOURCE, 8, 0), v);
}

static bool sum_is_extension(unsigned next)
{
    return next == NEXT_HOP_BY_HOP || next == NEXT_ROUTING || next == NEXT_DESTINATION;
}

static void sum_ip6(uint32_t rxcsum, const uint8_t *ip, size_t len, struct e1000_verdict *v)
{
    uint32_t both = E1000_RXCSUM_IPV6OFL | E1000_RXCSUM_TUOFL;
    if ((rxcsum & both) != both || len < IP6_HEADER || ip[0] >> 4 != 6)
        return;
    size_t end = IP6_HEADER + ld_be16(ip + IP6_LENGTH), at = IP6_HEADER;
    unsigned next = ip[IP6_NEXT];
    while (sum_is_extension(next) && at + 8 <= end && end <= len) {
        size_t size = 8 * (ip[at + 1] + 1u);
        /* With segments left the last address is in the header, not where the sum has it from. */
        if (size > NEXT_MAX || (next == NEXT_ROUTING && ip[at + 3] != 0))
            return;
        next = ip[at];
        at += size;
    }
    if (at <= end && end <= len)
        sum_transport(ip + at, end - at, next, e1000_sum(ip + IP6_SOURCE, 32, 0), v);
}

struct e1000_verdict e1000_rx_check(struct e1000 *s, const uint8_t *frame, size_t len)
{
    uint32_t rxcsum = *e1000_reg(s, E1000_RXCSUM);
    struct e1000_verdict v = { .status = E1000_RXD_STAT_IXSM };
    size_t start = rxcsum & 0xff;
    unsigned type = 0;

    if (start < len)
        v.packet_checksum = ~e1000_sum(frame + start, len - start, 0);
    size_t at = sum_network(s, frame, len, &type);
    if (type == TYPE_IP4)
        sum_ip4(rxcsum, frame + at, len - at, &v);
    else if (type == TYPE_IP6)
        sum_ip6(rxcsum, frame + at, len - at, &v);
    return v;
}
