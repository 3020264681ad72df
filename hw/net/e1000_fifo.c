/* The e1000's receive FIFO: the first RXA KiB of the packet buffer memory, as a ring of quadwords.
 *
 * 317453: 13.4.16 (PBA), 13.8.1 to 13.8.5 (RDFH to RDFPC), 13.8.11 (PBM). What a packet looks like
 * in there is not in the manual: here it is the second quadword of its receive descriptor, then its
 * bytes, filled up to whole quadwords. The pointers are the registers themselves, and software may
 * write both them and the memory: what does not make sense empties the FIFO. */
#include "base/log.h"
#include "hw/net/e1000_internal.h"

enum {
    WORD = 8,
    WORDS_PER_KIB = 1024 / WORD,
};

static uint8_t *fifo_memory(struct e1000 *s)
{
    return (uint8_t *)e1000_reg(s, E1000_PBM);
}

/* In quadwords. */
static uint32_t fifo_size(struct e1000 *s)
{
    uint32_t kib = *e1000_reg(s, E1000_PBA) & E1000_PBA_RXA;
    return (kib < E1000_PBA_KIB ? kib : E1000_PBA_KIB) * WORDS_PER_KIB;
}

static uint32_t fifo_used(struct e1000 *s)
{
    uint32_t size = fifo_size(s), head = *e1000_reg(s, E1000_RDFH),
             tail = *e1000_reg(s, E1000_RDFT);
    if (*e1000_reg(s, E1000_RDFPC) == 0 || head >= size || tail >= size)
        return 0;
    return tail > head ? tail - head : size - head + tail;
}

static uint32_t fifo_words(size_t bytes)
{
    return (uint32_t)((bytes + WORD - 1) / WORD);
}

size_t e1000_fifo_bytes(struct e1000 *s)
{
    return (size_t)fifo_used(s) * WORD;
}

size_t e1000_fifo_room(struct e1000 *s)
{
    uint32_t free_words = fifo_size(s) - fifo_used(s);
    return free_words ? (size_t)(free_words - 1) * WORD : 0;
}

void e1000_fifo_reset(struct e1000 *s)
{
    *e1000_reg(s, E1000_RDFH) = *e1000_reg(s, E1000_RDFT) = *e1000_reg(s, E1000_RDFPC) = 0;
    s->rx_stored = 0;
}

/* Nothing is in it: whatever was written to the pointers, they must agree. */
static void fifo_begin(struct e1000 *s)
{
    uint32_t tail = *e1000_reg(s, E1000_RDFT);
    e1000_fifo_reset(s);
    if (tail < fifo_size(s))
        *e1000_reg(s, E1000_RDFH) = *e1000_reg(s, E1000_RDFT) = tail;
}

static void fifo_copy_in(struct e1000 *s, const void *data, size_t len)
{
    uint32_t *tail = e1000_reg(s, E1000_RDFT), size = fifo_size(s);
    size_t to_end = (size_t)(size - *tail) * WORD, first = len < to_end ? len : to_end;
    memcpy(fifo_memory(s) + (size_t)*tail * WORD, data, first);
    memcpy(fifo_memory(s), (const uint8_t *)data + first, len - first);
    *tail = (*tail + fifo_words(len)) % size;
}

void e1000_fifo_put(struct e1000 *s, uint64_t fields, const uint8_t *data, size_t len)
{
    if (fifo_used(s) == 0)
        fifo_begin(s);
    fifo_copy_in(s, &fields, sizeof fields);
    fifo_copy_in(s, data, len);
    ++*e1000_reg(s, E1000_RDFPC);
}

bool e1000_fifo_first(struct e1000 *s, uint64_t *fields)
{
    uint32_t used = fifo_used(s);
    if (*e1000_reg(s, E1000_RDFPC) == 0)
        return false;
    if (used > 0)
        memcpy(fields, fifo_memory(s) + (size_t)*e1000_reg(s, E1000_RDFH) * WORD, WORD);
    size_t len = used > 0 ? *fields & 0xffff : 0;
    if (len > s->rx_stored && fifo_words(len) < used)
        return true;
    log_guest(device_name(&s->pci.dev), "the receive FIFO was overwritten: its packets are lost");
    e1000_fifo_reset(s);
    return false;
}

bool e1000_fifo_store(struct e1000 *s, uint64_t addr, size_t len)
{
    size_t size = (size_t)fifo_size(s) * WORD;
    size_t at = ((size_t)(*e1000_reg(s, E1000_RDFH) + 1) * WORD + s->rx_stored) % size;
    size_t first = len < size - at ? len : size - at;
    return e1000_dma_write(s, addr, fifo_memory(s) + at, first) &&
           (first == len || e1000_dma_write(s, addr + first, fifo_memory(s), len - first));
}

void e1000_fifo_drop(struct e1000 *s, uint64_t fields)
{
    uint32_t *head = e1000_reg(s, E1000_RDFH);
    *head = (*head + 1 + fifo_words(fields & 0xffff)) % fifo_size(s);
    --*e1000_reg(s, E1000_RDFPC);
    s->rx_stored = 0;
}
