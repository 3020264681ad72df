/* The registers of an I/O APIC (Intel 82093AA datasheet, 3.1 and 3.2), for the machine's own and
 * for the one in the host's kernel. */
#pragma once

enum {
    IOAPIC_PINS = 24,

    IOAPIC_IOREGSEL = 0x00,
    IOAPIC_IOWIN = 0x10,
    IOAPIC_EOI = 0x40, /* version 0x20 */

    IOAPIC_ID = 0x00, /* indirect registers */
    IOAPIC_VER = 0x01,
    IOAPIC_ARB = 0x02,
    IOAPIC_REDTBL = 0x10,
};

/* A redirection entry (3.2.4). */
#define REDIR_VECTOR      0xffULL
#define REDIR_MODE_SHIFT  8 /* 3 bits */
#define REDIR_MODE_LOWEST 1
#define REDIR_LOGICAL     (1ULL << 11)
#define REDIR_REMOTE_IRR  (1ULL << 14)
#define REDIR_LEVEL       (1ULL << 15)
#define REDIR_MASK        (1ULL << 16)
#define REDIR_DEST_SHIFT  56
