/* Which acknowledgement of TCP makes an older one superfluous. */
#include "net/net_internal.h"

#include "base/bits.h"

#include <string.h>

/* Ethernet, IPv4 without options, TCP without options and data: RFC 791 3.1, RFC 793 3.1. */
enum {
    ETHER_TYPE = 12,
    IP_VERSION = 14,
    IP_LENGTH = 16,
    IP_FRAGMENT = 20,
    IP_PROTOCOL = 23,
    IP_ADDRESSES = 26,
    TCP_PORTS = 34,
    TCP_ACK = 42,
    TCP_OFFSET = 46,
    TCP_FLAGS = 47,
    FRAME_END = 54,
    MORE_OR_OFFSET = 0x3fff, /* of the fragment */
    ACK_ALONE = 0x10,
};

static bool is_pure_ack(const uint8_t *f)
{
    return ld_be16(f + ETHER_TYPE) == 0x0800 && f[IP_VERSION] == 0x45 &&
           ld_be16(f + IP_LENGTH) == FRAME_END - IP_VERSION &&
           !(ld_be16(f + IP_FRAGMENT) & MORE_OR_OFFSET) && f[IP_PROTOCOL] == 6 &&
           f[TCP_OFFSET] == 5 << 4 && f[TCP_FLAGS] == ACK_ALONE;
}

bool net_ack_supersedes(const uint8_t *newer, size_t newer_len, const uint8_t *older,
                        size_t older_len)
{
    return newer_len >= FRAME_END && older_len == newer_len && is_pure_ack(newer) &&
           is_pure_ack(older) && memcmp(newer, older, ETHER_TYPE) == 0 &&
           memcmp(newer + IP_ADDRESSES, older + IP_ADDRESSES, TCP_ACK - IP_ADDRESSES) == 0 &&
           (int32_t)(ld_be32(newer + TCP_ACK) - ld_be32(older + TCP_ACK)) > 0;
}
