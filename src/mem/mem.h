/* The memory system of one machine: transactions, RAM pages, and who is told of changes.
 *
 * Every RAM, ROM and ROM-device region gets a stretch of page-aligned numbers in one space of "RAM
 * addresses" when it is made, in order of making: ram_addr identifies a byte of memory whatever
 * addresses it is mapped at. One byte of flags per 4 KiB page lives beside it. */
#pragma once

#include "mem/region.h"
#include "trace/trace.h"

#define RAM_PAGE_BITS 12
#define RAM_PAGE_SIZE (1u << RAM_PAGE_BITS)

enum ram_page_flag {
    RAM_PAGE_CODE = 1,  /* somebody holds decoded code of this page and must hear of writes */
    RAM_PAGE_CLEAN = 2, /* its region's dirty log is on, and nobody has written to it since the log
                         * was read last */
};

struct address_space;
struct flat_range;

/* Told of changes to an address space, with the machine lock held, in order of registration, at the
 * end of a transaction. Only differences are told: all removals first, in ascending order, then all
 * additions in ascending order. */
struct mem_listener {
    struct address_space *as; /* whose changes */
    /* Any may be NULL. */
    void (*begin)(struct mem_listener *l); /* something has changed */
    void (*remove)(struct mem_listener *l, const struct flat_range *range);
    void (*add)(struct mem_listener *l, const struct flat_range *range);
    void (*commit)(struct mem_listener *l); /* all told */
    struct mem_listener *next;
};

struct mem;

struct mem *mem_new(void);
/* All regions and address spaces must be gone. NULL is allowed. */
void mem_free(struct mem *m);

/* Whose events these are (NULL: nobody's): see trace/trace.h. Borrowed. */
void mem_set_trace(struct mem *m, struct trace *t);
extern struct trace_table mem_trace;

/* Changes between the two are one change. They nest. */
void mem_begin(struct mem *m);
void mem_commit(struct mem *m);

/* Registering tells the listener the whole present view as additions. */
void mem_listener_add(struct mem *m, struct mem_listener *l);
void mem_listener_remove(struct mem *m, struct mem_listener *l);

/* Flags of the page that holds `ram_addr`; NULL where no region has it. The pointer stays valid
 * until the region is finished. Set and cleared with relaxed atomics. */
uint8_t *mem_page_flags(struct mem *m, uint64_t ram_addr);

/* ---- dirty logs: dirty.c ---- */

/* Have it noted which pages of a RAM-like region are written, by whomever; all count as not written
 * at first. False: the backend refuses, and nothing has changed. Machine lock. */
bool region_set_dirty_log(struct region *r, bool on, struct error *err);

/* The pages written since the log was switched on or read last, one bit for each, the low one first
 * in each word: freed by the caller. They count as not written from now on. NULL: the backend
 * cannot tell. Machine lock; vcpus may run. */
uint64_t *region_take_dirty(struct region *r, struct error *err);
static inline size_t region_pages(const struct region *r)
{
    return r->host_size >> RAM_PAGE_BITS;
}

/* Who changes RAM without mem_ram_written(): the vcpus of a backend. Machine lock. */
struct mem_dirty_source {
    /* r->dirty_log has changed. False: it cannot be; it is changed back and told of again. NULL:
     * need not know. */
    bool (*switched)(void *opaque, struct region *r, struct error *err);
    /* Say what has been written (mem_ram_dirtied), and from now on each page's first write. */
    bool (*collect)(void *opaque, struct region *r, struct error *err);
    void *opaque;
    struct mem_dirty_source *next;
};
void mem_dirty_source_add(struct mem *m, struct mem_dirty_source *s);
void mem_dirty_source_remove(struct mem *m, struct mem_dirty_source *s);

/* These pages have been written; code watches are not told. Any thread, for RAM that is there. */
void mem_ram_dirtied(struct mem *m, uint64_t ram_addr, uint64_t len);

/* ---- telling of writes ---- */

/* Called before bytes of a page flagged RAM_PAGE_CODE change by any way but the vcpu's own stores:
 * DMA, loaders, scripts; or after, if the page got the flag at that moment: who flags a page looks
 * at its bytes once more. Registered by the vcpu backend that set the flag. */
struct mem_code_watch {
    void (*written)(void *opaque, uint64_t ram_addr, uint64_t len);
    void *opaque;
    struct mem_code_watch *next;
};
void mem_code_watch_add(struct mem *m, struct mem_code_watch *w);
void mem_code_watch_remove(struct mem *m, struct mem_code_watch *w);

/* Say that [ram_addr, ram_addr+len) is about to change. Cheap where no page is flagged. */
void mem_ram_written(struct mem *m, uint64_t ram_addr, uint64_t len);

/* Total bytes of RAM addresses given out, and the region that holds one (NULL: none). */
uint64_t mem_ram_size(const struct mem *m);
struct region *mem_ram_region(const struct mem *m, uint64_t ram_addr);

/* Has a region at this address been made and not finished? */
bool mem_has_region(const struct mem *m, const struct region *r);

/* Counters for `info mtree`, tests and benches. */
struct mem_stats {
    uint64_t commits;        /* outermost commits that changed something */
    uint64_t views_rendered; /* flat views built */
    uint64_t unassigned_reads, unassigned_writes;
};
const struct mem_stats *mem_stats(const struct mem *m);
