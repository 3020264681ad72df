/* The e1000's descriptor rings: where software and card stand, and the descriptors on the chip.
 *
 * 317453: 3.2.4 (fetching), 3.2.6 (ring), 3.4.1 and 3.4.2 (the same for transmitting), 13.4.43 and
 * 13.4.46 (PTHRESH, HTHRESH, GRAN). The chip holds up to 64 descriptors of each ring. An empty
 * buffer is filled as soon as there are descriptors; with fewer than PTHRESH in it more are fetched
 * if HTHRESH of them wait in memory; never beyond the tail. What software changes in a descriptor
 * that was fetched comes too late.
 *
 * Reading takes no time here, so that a fetch gets all that there is room for. */
#include "base/log.h"
#include "hw/net/e1000_internal.h"

/* From a ring's RDBAL or TDBAL. */
enum {
    BASE_HIGH = E1000_RDBAH - E1000_RDBAL,
    LENGTH = E1000_RDLEN - E1000_RDBAL,
    HEAD = E1000_RDH - E1000_RDBAL,
    TAIL = E1000_RDT - E1000_RDBAL,
    CONTROL = E1000_RXDCTL - E1000_RDBAL,
};

static uint32_t *ring_reg(struct e1000 *s, const struct e1000_ring *r, uint32_t offset)
{
    return e1000_reg(s, r->registers + offset);
}

uint32_t e1000_ring_size(struct e1000 *s, const struct e1000_ring *r)
{
    return *ring_reg(s, r, LENGTH) / E1000_DESC_SIZE;
}

uint32_t e1000_ring_available(struct e1000 *s, const struct e1000_ring *r)
{
    uint32_t count = e1000_ring_size(s, r);
    uint32_t head = *ring_reg(s, r, HEAD), tail = *ring_reg(s, r, TAIL);
    if (head >= count || tail >= count)
        return 0;
    return tail >= head ? tail - head : count - head + tail;
}

/* Of descriptor number `n`. */
static uint64_t ring_at(struct e1000 *s, const struct e1000_ring *r, uint32_t n)
{
    uint64_t base = (uint64_t)*ring_reg(s, r, BASE_HIGH) << 32 | *ring_reg(s, r, 0);
    return base + (uint64_t)n * E1000_DESC_SIZE;
}

uint64_t e1000_ring_address(struct e1000 *s, const struct e1000_ring *r)
{
    return ring_at(s, r, *ring_reg(s, r, HEAD));
}

unsigned e1000_threshold(struct e1000 *s, uint32_t control, unsigned shift)
{
    unsigned n = control >> shift & 0x3f;
    if (!(control & E1000_DCTL_GRAN))
        n = n * s->pci.config[PCI_CACHE_LINE_SIZE] * 4 / E1000_DESC_SIZE;
    return n < E1000_ON_CHIP ? n : E1000_ON_CHIP - 1;
}

/* Read up to `n` descriptors behind those on the chip, at most to the ring's end. Returns how many
 * were read: one at least, or it is not in memory. */
static unsigned ring_read(struct e1000 *s, struct e1000_ring *r, unsigned n)
{
    uint32_t size = e1000_ring_size(s, r), at = (*ring_reg(s, r, HEAD) + r->count) % size;
    uint64_t got[E1000_ON_CHIP][2], addr = ring_at(s, r, at);
    if (n > size - at)
        n = size - at;
    if (!e1000_dma_read(s, addr, got, n * sizeof *got)) {
        n = 1; /* the first may be there, the others not yet */
        if (!e1000_dma_read(s, addr, got, sizeof *got))
            return 0;
    }
    for (unsigned i = 0; i < n; i++)
        memcpy(r->cache[(r->first + r->count + i) % E1000_ON_CHIP], got[i], sizeof *got);
    r->count += n;
    return n;
}

static void ring_fill(struct e1000 *s, struct e1000_ring *r, uint32_t available)
{
    uint32_t most = available < E1000_ON_CHIP ? available : E1000_ON_CHIP;
    while (r->count < most && ring_read(s, r, most - r->count))
        ;
}

void e1000_ring_fetch(struct e1000 *s, struct e1000_ring *r)
{
    uint32_t available = e1000_ring_available(s, r), control = *ring_reg(s, r, CONTROL);
    if (r->count > available) /* the tail was taken back */
        r->count = available;
    uint32_t waiting = available - r->count;
    if (waiting &&
        (r->count == 0 || (r->count < e1000_threshold(s, control, E1000_DCTL_PTHRESH_SHIFT) &&
                           waiting >= e1000_threshold(s, control, E1000_DCTL_HTHRESH_SHIFT))))
        ring_fill(s, r, available);
}

bool e1000_ring_next(struct e1000 *s, struct e1000_ring *r, uint64_t desc[2])
{
    e1000_ring_fetch(s, r);
    if (r->count == 0) {
        log_guest(device_name(&s->pci.dev), "%s descriptor at %#llx is not in memory",
                  r->registers == E1000_RDBAL ? "receive" : "transmit",
                  (unsigned long long)e1000_ring_address(s, r));
        return false;
    }
    memcpy(desc, r->cache[r->first], sizeof *r->cache);
    return true;
}

void e1000_ring_advance(struct e1000 *s, struct e1000_ring *r)
{
    uint32_t *head = ring_reg(s, r, HEAD), size = e1000_ring_size(s, r);
    if (r->count == 0 || size == 0) /* set up anew meanwhile */
        return;
    *head = (*head + 1) % size;
    r->first = (r->first + 1) % E1000_ON_CHIP;
    r->count--;
}

void e1000_ring_forget(struct e1000_ring *r)
{
    r->first = r->count = 0;
}
