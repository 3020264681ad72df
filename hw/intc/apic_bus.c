/* Messages between local APICs, I/O APICs and devices: destinations, delivery, and the MSI window.
 *
 * Intel SDM vol. 3, 10.6 (destinations), 10.11 (message-signalled interrupts), 10.12.10 (x2APIC).
 * The window at 0xfee00000 serves two things at one address: a cpu's access to its first page is to
 * that cpu's own APIC, everything else that is written there is a message. */
#include "base/alloc.h"
#include "base/log.h"
#include "hw/intc/apic_internal.h"

#include <stdlib.h>

enum {
    APIC_MSI_SIZE = 0x100000,
    APIC_MSI_PRIORITY = 4096, /* above all that boards map there */
    DEST_ALL = 0xff,          /* in 8 bits */
    DFR_FLAT = 0xf,           /* DFR bits 31:28 */
    MSI_ADDR_LOGICAL = 1 << 2,
    MSI_DATA_LEVEL = 1 << 15,
    ICR_LOGICAL = 1 << 11,
    ICR_ASSERT = 1 << 14,
    ICR_LEVEL = 1 << 15,
};

/* ICR bits 19:18. */
enum { TO_DEST, TO_SELF, TO_ALL, TO_OTHERS };

/* ---- destinations ---- */

static bool apic_matches_logical(const struct apic *s, const struct apic_message *m)
{
    uint32_t dest = m->dest;
    if (apic_is_x2(s)) { /* cluster in the high half, one bit per member in the low one */
        uint32_t id = apic_x2_id(s);
        return dest >> 16 == id >> 4 && dest >> (id & 15) & 1;
    }
    uint8_t ldr = s->ldr >> 24;
    if (s->dfr >> 28 == DFR_FLAT)
        return ldr & dest;
    bool cluster = (dest >> 4 & 15) == 15 || (dest >> 4 & 15) == ldr >> 4;
    return cluster && ldr & dest & 15;
}

static bool apic_matches(const struct apic *s, const struct apic_message *m)
{
    if (!apic_is_enabled(s))
        return false;
    if (m->wide ? m->dest == UINT32_MAX : m->dest == DEST_ALL && (!m->logical || apic_is_x2(s)))
        return true;
    if (m->logical)
        return apic_matches_logical(s, m);
    return (apic_is_x2(s) ? apic_x2_id(s) : s->id) == m->dest;
}

/* Lowest priority (10.6.2.4): the least busy of those addressed, the first among equals. */
static void apic_bus_arbitrate(struct apic_bus *b, const struct apic_message *m,
                               const struct apic *without)
{
    struct apic *best = NULL;
    for (unsigned i = 0; i < MACHINE_CPUS_MAX; i++) {
        struct apic *s = b->apics[i];
        if (s && s != without && apic_is_software_enabled(s) && apic_matches(s, m) &&
            (!best || apic_ppr(s) < apic_ppr(best)))
            best = s;
    }
    if (best)
        apic_accept(best, APIC_FIXED, m->vector, m->level);
}

/* To all that `m` addresses but `without`, which may be NULL. */
static void apic_bus_send(struct apic_bus *b, const struct apic_message *m,
                          const struct apic *without)
{
    if (m->mode == APIC_LOWEST) {
        apic_bus_arbitrate(b, m, without);
        return;
    }
    for (unsigned i = 0; i < MACHINE_CPUS_MAX; i++) {
        struct apic *s = b->apics[i];
        if (s && s != without && apic_matches(s, m))
            apic_accept(s, m->mode, m->vector, m->level);
    }
}

/* ---- interprocessor interrupts ---- */

/* By ICR's shorthand. Of what table 10-3 calls invalid, a self-IPI other than fixed is dropped, and
 * NMI, SMI, INIT and start-up to all are sent to all. */
static void apic_bus_send_shorthand(struct apic *s, unsigned shorthand, struct apic_message *m)
{
    switch (shorthand) {
    case TO_DEST:
        apic_bus_send(s->bus, m, NULL);
        break;
    case TO_SELF:
        if (m->mode == APIC_FIXED)
            apic_accept(s, APIC_FIXED, m->vector, false);
        else
            log_guest(device_name(&s->dev), "self-IPI with delivery mode %u", m->mode);
        break;
    case TO_ALL:
    case TO_OTHERS:
        m->wide = true;
        m->logical = false;
        m->dest = UINT32_MAX;
        apic_bus_send(s->bus, m, shorthand == TO_ALL ? NULL : s);
        break;
    }
}

void apic_bus_send_icr(struct apic *s, uint64_t icr)
{
    TRACE(apic_trace, APIC_TRACE_ICR, device_source(&s->dev), icr);
    struct apic_message m = {
        .dest = apic_is_x2(s) ? icr >> 32 : icr >> 56,
        .wide = apic_is_x2(s),
        .logical = icr & ICR_LOGICAL,
        .mode = icr >> 8 & 7,
        .vector = icr,
    };
    /* INIT level de-assert only synchronised arbitration ids, long ago. Other levels are edges on
     * this bus. */
    if (m.mode == APIC_INIT && icr & ICR_LEVEL && !(icr & ICR_ASSERT))
        return;
    if (m.mode <= APIC_LOWEST && m.vector < 16) {
        apic_error(s, APIC_ESR_SEND_VECTOR);
        return;
    }
    if (m.mode == APIC_RESERVED || m.mode == APIC_EXTINT)
        log_guest(device_name(&s->dev), "ICR with reserved delivery mode %u", m.mode);
    else
        apic_bus_send_shorthand(s, icr >> 18 & 3, &m);
}

/* ---- the MSI window ---- */

static struct trace_source apic_bus_source(const struct apic_bus *b)
{
    return (struct trace_source){ b->machine->trace, "apic-bus" };
}

static void apic_bus_deliver_msi(void *opaque, uint64_t addr, uint32_t data)
{
    TRACE(apic_trace, APIC_TRACE_MSI, apic_bus_source(opaque), addr, data);
    /* With the redirection hint the mode decides alone: lowest priority arbitrates, fixed goes to
     * all. */
    struct apic_message m = {
        .dest = addr >> 12 & 0xff,
        .logical = addr & MSI_ADDR_LOGICAL,
        .mode = data >> 8 & 7,
        .vector = data,
        .level = data & MSI_DATA_LEVEL,
    };
    if (m.mode == APIC_RESERVED || m.mode == APIC_STARTUP)
        log_guest("apic-bus", "message with reserved delivery mode %u", m.mode);
    else
        apic_bus_send(opaque, &m, NULL);
}

/* The APIC whose page the access at `offset` is to, or NULL when it is a message. */
static struct apic *apic_bus_own(struct apic_bus *b, uint64_t offset)
{
    struct cpu_port *p = b->machine->current_cpu;
    return p && offset < APIC_PAGE ? b->apics[p->index] : NULL;
}

/* In x2APIC mode and while disabled there are no registers in memory; nor are there for an APIC
 * that has moved. */
static bool apic_has_page_at_default(const struct apic *s)
{
    return apic_is_enabled(s) && !apic_is_x2(s) && (s->base & APIC_BASE_ADDR) == APIC_DEFAULT_BASE;
}

static uint64_t apic_bus_read(void *opaque, uint64_t offset, unsigned size)
{
    struct apic *s = apic_bus_own(opaque, offset);
    return s && apic_has_page_at_default(s) ? apic_page_read(s, offset) : UINT32_MAX;
}

static void apic_bus_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    struct apic *s = apic_bus_own(opaque, offset);
    if (!s)
        apic_bus_deliver_msi(opaque, APIC_DEFAULT_BASE + offset, value);
    else if (apic_has_page_at_default(s))
        apic_page_write(s, offset, value);
}

static const struct region_ops apic_bus_ops = {
    .read = apic_bus_read,
    .write = apic_bus_write,
    .valid = { 1, 8 },
    .impl = { 4, 4 },
};

struct apic_bus *apic_bus_join(struct apic *s)
{
    struct machine *m = s->dev.machine;
    struct apic_bus *b;
    if (m->msi) {
        b = m->msi->opaque;
    } else {
        b = ALLOC(struct apic_bus);
        b->machine = m;
        b->sink = (struct msi_sink){ .deliver = apic_bus_deliver_msi, .opaque = b };
        region_init_io(&b->msi, m->mem, "apic-msi", APIC_MSI_SIZE, &apic_bus_ops, b);
        region_add(&m->system, APIC_DEFAULT_BASE, &b->msi, APIC_MSI_PRIORITY);
        m->msi = &b->sink;
    }
    b->apics[s->cpu] = s;
    b->count++;
    return b;
}

void apic_bus_leave(struct apic *s)
{
    struct apic_bus *b = s->bus;
    s->bus = NULL;
    b->apics[s->cpu] = NULL;
    if (--b->count)
        return;
    b->machine->msi = NULL;
    region_fini(&b->msi);
    free(b);
}
