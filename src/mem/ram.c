/* RAM: the host memory behind RAM, ROM and ROM-device regions, its numbering, and the flags of its
 * pages.
 *
 * Guest memory is mapped without reserve and so costs nothing until it is touched; the flags of an
 * 8 GiB region are 2 MiB that are mapped the same way. RAM addresses are handed out once and never
 * again. */
#define _GNU_SOURCE
#include "base/alloc.h"
#include "base/search.h"
#include "mem/mem_internal.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static void *map_zeroed(size_t size)
{
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                   -1, 0);
    return p == MAP_FAILED ? NULL : p;
}

enum { HUGE_PAGE = 2 << 20 };

/* Aligned and marked for huge pages: filling it takes a fault for each of these instead of 512, and
 * what walks through guest memory misses the host's TLB less. */
static void *map_guest(size_t size)
{
    if (size < HUGE_PAGE || size > SIZE_MAX - HUGE_PAGE)
        return map_zeroed(size);
    uint8_t *p = map_zeroed(size + HUGE_PAGE);
    if (!p)
        return NULL;
    size_t head = -(uintptr_t)p & (HUGE_PAGE - 1), page = (size_t)sysconf(_SC_PAGESIZE);
    size_t end = (head + size + page - 1) & ~(page - 1);
    if (head)
        munmap(p, head);
    munmap(p + end, size + HUGE_PAGE - end);
    madvise(p + head, size, MADV_HUGEPAGE); /* a host without them goes on with small pages */
    return p + head;
}

static size_t flags_size(const struct region *r)
{
    return r->host_size >> RAM_PAGE_BITS;
}

bool ram_attach(struct region *r, struct error *err)
{
    struct mem *m = r->mem;
    size_t size = r->last == UINT64_MAX ? 0 : r->last + 1; /* 0: more than any host can map */
    errno = ENOMEM;
    r->host = size ? map_guest(size) : NULL;
    if (!r->host)
        return error_set_host(err, errno,
                              "memory '%s': the host cannot map %llu bytes (%llu MiB); give the "
                              "machine less, or raise the limit (ulimit -v)",
                              r->name, (unsigned long long)region_size(r),
                              (unsigned long long)(r->last >> 20) + 1);
    r->host_size = size;
    r->page_flags = map_zeroed(flags_size(r));
    if (!r->page_flags)
        return error_set_host(err, errno, "memory '%s': the host cannot map the flags of its pages",
                              r->name);
    r->ram_addr = m->ram_size;
    m->ram_size += size;
    ALLOC_GROW(m->ram, m->ram_count, m->ram_capacity);
    m->ram[m->ram_count++] = r;
    return true;
}

void ram_detach(struct region *r)
{
    struct mem *m = r->mem;
    if (!r->host)
        return;
    for (size_t i = 0; i < m->ram_count; i++) {
        if (m->ram[i] == r) {
            memmove(&m->ram[i], &m->ram[i + 1], (--m->ram_count - i) * sizeof *m->ram);
            break;
        }
    }
    munmap(r->host, r->host_size);
    if (r->page_flags)
        munmap(r->page_flags, flags_size(r));
}

uint64_t mem_ram_size(const struct mem *m)
{
    return m->ram_size;
}

static bool holds(const struct region *r, uint64_t ram_addr)
{
    return ram_addr - r->ram_addr <= r->last && ram_addr >= r->ram_addr;
}

static bool region_below(const void *element, uint64_t ram_addr)
{
    const struct region *r = *(struct region *const *)element;
    return r->ram_addr + r->last < ram_addr;
}

/* Index of the first region that ends at or after `ram_addr`. */
static size_t first_from(const struct mem *m, uint64_t ram_addr)
{
    if (m->ram_hit < m->ram_count && holds(m->ram[m->ram_hit], ram_addr))
        return m->ram_hit;
    return search_from(m->ram, m->ram_count, sizeof *m->ram, region_below, ram_addr);
}

struct region *mem_ram_region(const struct mem *m, uint64_t ram_addr)
{
    size_t i = first_from(m, ram_addr);
    return i < m->ram_count && holds(m->ram[i], ram_addr) ? m->ram[i] : NULL;
}

uint8_t *mem_page_flags(struct mem *m, uint64_t ram_addr)
{
    size_t i = first_from(m, ram_addr);
    if (i == m->ram_count || !holds(m->ram[i], ram_addr))
        return NULL;
    m->ram_hit = i;
    return &m->ram[i]->page_flags[(ram_addr - m->ram[i]->ram_addr) >> RAM_PAGE_BITS];
}

void mem_code_watch_add(struct mem *m, struct mem_code_watch *w)
{
    w->next = m->code_watches;
    m->code_watches = w;
}

void mem_code_watch_remove(struct mem *m, struct mem_code_watch *w)
{
    struct mem_code_watch **p = &m->code_watches;
    while (*p && *p != w)
        p = &(*p)->next;
    if (*p)
        *p = w->next;
}

static bool has_code(const struct region *r, size_t page)
{
    return __atomic_load_n(&r->page_flags[page], __ATOMIC_RELAXED) & RAM_PAGE_CODE;
}

static void tell_code_watches(struct region *r, uint64_t offset, uint64_t last)
{
    for (struct mem_code_watch *w = r->mem->code_watches, *next; w; w = next) {
        next = w->next;
        w->written(w->opaque, r->ram_addr + offset, last - offset + 1);
    }
}

/* One call per stretch of pages with code, cut to what is written. */
bool ram_region_written(struct region *r, uint64_t offset, uint64_t len)
{
    bool told = false;
    if (!len)
        return false;
    uint64_t last = offset + (len - 1);
    size_t page = offset >> RAM_PAGE_BITS, last_page = last >> RAM_PAGE_BITS;
    if (UNLIKELY(r->dirty_log))
        dirty_mark(r, page, last_page);
    while (page <= last_page) {
        if (LIKELY(!has_code(r, page))) {
            page++;
            continue;
        }
        size_t end = page + 1;
        while (end <= last_page && has_code(r, end))
            end++;
        uint64_t from = (uint64_t)page << RAM_PAGE_BITS, to = ((uint64_t)end << RAM_PAGE_BITS) - 1;
        tell_code_watches(r, from > offset ? from : offset, to < last ? to : last);
        told = true;
        page = end;
    }
    return told;
}

/* A cpu that decodes flags the page and then looks at the bytes once more; here it is the other way
 * round, so one of the two sees the other. Where somebody was told before it is not needed: the cpu
 * has stood still since. */
void ram_region_changed(struct region *r, uint64_t offset, uint64_t len)
{
    atomic_thread_fence(memory_order_seq_cst);
    ram_region_written(r, offset, len);
}

/* Call `told` for what each region has of [ram_addr, ram_addr + len). */
static void each_region(struct mem *m, uint64_t ram_addr, uint64_t len,
                        void (*told)(struct region *r, uint64_t offset, uint64_t len))
{
    if (!len)
        return;
    uint64_t last = len - 1 > UINT64_MAX - ram_addr ? UINT64_MAX : ram_addr + (len - 1);
    for (size_t i = first_from(m, ram_addr); i < m->ram_count; i++) {
        struct region *r = m->ram[i];
        if (r->ram_addr > last)
            break;
        m->ram_hit = i;
        uint64_t from = ram_addr > r->ram_addr ? ram_addr - r->ram_addr : 0;
        uint64_t to = last - r->ram_addr < r->last ? last - r->ram_addr : r->last;
        told(r, from, to - from + 1);
    }
}

static void tell_written(struct region *r, uint64_t offset, uint64_t len)
{
    ram_region_written(r, offset, len);
}

void mem_ram_written(struct mem *m, uint64_t ram_addr, uint64_t len)
{
    each_region(m, ram_addr, len, tell_written);
}

static void region_dirtied(struct region *r, uint64_t offset, uint64_t len)
{
    dirty_mark(r, offset >> RAM_PAGE_BITS, (offset + len - 1) >> RAM_PAGE_BITS);
}

void mem_ram_dirtied(struct mem *m, uint64_t ram_addr, uint64_t len)
{
    each_region(m, ram_addr, len, region_dirtied);
}
