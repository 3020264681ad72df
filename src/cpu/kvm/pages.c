/* Pages that are watched without the processor's breakpoints: for traps on execution, and for data.
 * Which they are is for places.c to say.
 *
 * A page with traps is shown to the guest as a copy, in a read-only slot of its own; the machine's
 * memory stays as it is. So the monitor, scripts, DMA, dumps and hashes see no trap. The guest
 * itself does when it reads its own code as data. Its writes exit and change the machine's memory,
 * as DMA and scripts do; the copy is made anew before any vcpu goes on. A page whose data is
 * watched has a read-only slot (writes exit) or none (reads as well).
 *
 * One per accel. Machine lock for everything. */
#define _GNU_SOURCE
#include "cpu/kvm/kvm_internal.h"

#include "base/alloc.h"
#include "base/bits.h"
#include "base/log.h"
#include "base/search.h"
#include "loop/loop.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* So many pieces of memory at most become slots: beyond that pages between are copied, too. */
enum { RUNS_MAX = 256 };

static bool page_below(const void *page, uint64_t ram)
{
    return ((const struct kvm_page *)page)->ram < ram;
}

size_t kvm_pages_from(const struct kvm_pages *p, uint64_t ram)
{
    return search_from(p->page, p->count, sizeof *p->page, page_below, ram);
}

struct kvm_page *kvm_pages_find(const struct kvm_pages *p, uint64_t ram)
{
    size_t n = kvm_pages_from(p, kvm_page_of(ram));

    return n < p->count && p->page[n].ram == kvm_page_of(ram) ? &p->page[n] : NULL;
}

static bool stretch_below(const void *stretch, uint64_t gpa)
{
    const struct kvm_stretch *s = stretch;

    return s->gpa + (s->size - 1) < gpa;
}

/* Of the byte at a physical address, if slots can serve its page. */
bool kvm_pages_ram_of(const struct accel *a, uint64_t gpa, uint64_t *ram)
{
    size_t n =
        search_from(a->stretches, a->stretch_count, sizeof *a->stretches, stretch_below, gpa);

    if (n == a->stretch_count || a->stretches[n].gpa > gpa)
        return false;
    *ram = a->stretches[n].ram + (gpa - a->stretches[n].gpa);
    return true;
}

bool kvm_pages_translate(struct kvm_vcpu *v, uint64_t va, uint64_t *ram)
{
    uint64_t gpa;

    return kvm_vcpu_translate(&v->vcpu, va, &gpa) && kvm_pages_ram_of(v->accel, gpa, ram);
}

/* ---- copies ---- */

static uint8_t *copy_of(struct accel *a, const struct region *r, uint64_t ram)
{
    struct kvm_pages *p = &a->pages;
    size_t n = 0;

    while (n < p->mirrors && p->mirror[n].ram != r->ram_addr)
        n++;
    if (n == p->mirrors) {
        void *base = mmap(NULL, r->host_size, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (base == MAP_FAILED) {
            log_host(LOG_ERROR, "kvm", "no room for copies of pages of %s: %s", r->name,
                     strerror(errno));
            return NULL;
        }
        ALLOC_GROW(p->mirror, p->mirrors, p->mirror_capacity);
        p->mirror[p->mirrors++] = (struct kvm_mirror){ r->ram_addr, r->host_size, base };
    }
    return p->mirror[n].base + (ram - r->ram_addr);
}

/* Vcpus may be executing from the copy: no byte is anything but what it was or will be. */
static void make_copy(const struct accel *a, struct kvm_page *page)
{
    uint8_t bytes[KVM_PAGE];

    page->stale = false;
    if (!page->copy)
        return;
    memcpy(bytes, page->real, KVM_PAGE);
    for (unsigned n = 0; n < KVM_PAGE / 8; n++)
        for (unsigned bit = 0; page->traps[n] >> bit; bit++)
            if (page->traps[n] >> bit & 1)
                bytes[8 * n + bit] = a->trap;
    for (unsigned n = 0; n < a->pages.lifts; n++) {
        uint64_t ram = a->pages.lifted[n];
        if (kvm_page_of(ram) == page->ram)
            bytes[ram % KVM_PAGE] = page->real[ram % KVM_PAGE];
    }
    memcpy(page->copy, bytes, KVM_PAGE);
}

static void flag(struct accel *a, uint64_t ram, bool on)
{
    uint8_t *flags = mem_page_flags(a->machine->mem, ram);

    if (flags && on)
        __atomic_fetch_or(flags, RAM_PAGE_CODE, __ATOMIC_RELAXED);
    else if (flags)
        __atomic_fetch_and(flags, (uint8_t)~RAM_PAGE_CODE, __ATOMIC_RELAXED);
}

static bool meets_trap(const struct kvm_page *page, uint64_t first, uint64_t last)
{
    for (uint64_t n = first; n <= last; n++)
        if (page->traps[n / 8] >> n % 8 & 1)
            return true;
    return false;
}

/* Whoever is in the guest comes out, and on its way in again makes the copy anew. */
static void written(void *opaque, uint64_t ram, uint64_t len)
{
    struct accel *a = opaque;
    struct kvm_pages *p = &a->pages;

    for (size_t n = kvm_pages_from(p, kvm_page_of(ram));
         n < p->count && p->page[n].ram - ram + KVM_PAGE - 1 < len + KVM_PAGE - 1; n++) {
        struct kvm_page *page = &p->page[n];
        uint64_t first = ram > page->ram ? ram - page->ram : 0;
        uint64_t last = ram + len - page->ram < KVM_PAGE ? ram + len - page->ram - 1 : KVM_PAGE - 1;

        page->stale = true;
        atomic_store(&p->stale, true);
        page->overwritten |= meets_trap(page, first, last);
    }
    for (unsigned n = 0; p->stale && n < a->vcpu_count; n++)
        kvm_vcpu_interrupt(a->vcpus[n]);
}

/* ---- what is watched ---- */

static void add_traps(const struct kvm_pages *p, const struct kvm_place *place,
                      struct kvm_page *page)
{
    struct vcpu_ranges traps = { p->trap, p->traps };
    uint64_t last = place->va + (KVM_PAGE - 1);
    const struct vcpu_range *r = vcpu_ranges_find(&traps, place->va);

    for (; r && r < p->trap + p->traps && r->first <= last; r++) {
        uint64_t from = r->first > place->va ? r->first : place->va;
        uint64_t to = r->last < last ? r->last : last;
        for (uint64_t at = from - place->va; at <= to - place->va; at++)
            page->traps[at / 8] |= (uint8_t)(1 << at % 8);
    }
}

struct home {
    uint64_t ram;
    const struct kvm_place *place; /* NULL: it is only copied */
};

static int by_ram(const void *pa, const void *pb)
{
    const struct home *a = pa, *b = pb;

    return a->ram < b->ram ? -1 : a->ram > b->ram;
}

static struct home *all_homes(const struct kvm_pages *p, size_t *count)
{
    struct home *homes = alloc_zero(p->places * KVM_HOMES + 1, sizeof *homes);

    *count = 0;
    for (size_t n = 0; n < p->places; n++)
        for (unsigned i = 0; i < p->place[n].homes; i++)
            homes[(*count)++] = (struct home){ p->place[n].home[i], &p->place[n] };
    qsort(homes, *count, sizeof *homes, by_ram);
    return homes;
}

/* The widest gap between pages that has to be filled for so few pieces. */
static uint64_t gap_to_fill(const struct home *homes, size_t count)
{
    uint64_t gap = 0;

    for (size_t runs = RUNS_MAX + 1; runs > RUNS_MAX; gap = 2 * gap + KVM_PAGE) {
        runs = 1;
        for (size_t n = 1; n < count; n++)
            runs += homes[n].ram - homes[n - 1].ram > gap + KVM_PAGE;
        if (runs <= RUNS_MAX)
            break;
    }
    return gap;
}

struct page_list {
    struct kvm_page *page;
    size_t count, capacity;
};

static void add_page(struct accel *a, struct page_list *l, uint64_t ram)
{
    ALLOC_GROW(l->page, l->count, l->capacity);
    l->page[l->count++] = (struct kvm_page){ .ram = ram };
}

/* The pages of all homes, and those between that are copied to have fewer pieces. */
static struct page_list gather(struct accel *a)
{
    struct kvm_pages *p = &a->pages;
    struct page_list l = { 0 };
    size_t count;
    struct home *homes = all_homes(p, &count);
    uint64_t gap = gap_to_fill(homes, count);

    for (size_t n = 0; n < count; n++) {
        if (!l.count || l.page[l.count - 1].ram != homes[n].ram) {
            uint64_t next = l.count ? l.page[l.count - 1].ram + KVM_PAGE : homes[n].ram;
            if (homes[n].ram - next <= gap)
                for (; next < homes[n].ram; next += KVM_PAGE) {
                    add_page(a, &l, next);
                    l.page[l.count - 1].guard = KVM_GUARD_COPY;
                }
            add_page(a, &l, homes[n].ram);
        }
        l.page[l.count - 1].guard |= homes[n].place->guard;
        if (homes[n].place->guard & KVM_GUARD_COPY)
            add_traps(p, homes[n].place, &l.page[l.count - 1]);
    }
    free(homes);
    return l;
}

/* Where they are in the host. Pages whose memory is gone drop out. */
static void locate(struct accel *a, struct page_list *l)
{
    size_t kept = 0;

    for (size_t n = 0; n < l->count; n++) {
        struct kvm_page *page = &l->page[n];
        const struct region *r = mem_ram_region(a->machine->mem, page->ram);

        if (!r || page->ram - r->ram_addr > r->host_size - KVM_PAGE)
            continue;
        page->real = r->host + (page->ram - r->ram_addr);
        if (page->guard & KVM_GUARD_COPY)
            page->copy = copy_of(a, r, page->ram);
        l->page[kept++] = *page;
    }
    l->count = kept;
}

/* From places to pages to slots. */
void kvm_pages_rebuild(struct accel *a)
{
    struct kvm_pages *p = &a->pages;
    struct page_list l = gather(a);
    bool same;

    locate(a, &l);
    same = l.count == p->count;
    for (size_t n = 0; n < l.count && same; n++)
        same = l.page[n].ram == p->page[n].ram && l.page[n].guard == p->page[n].guard;
    for (size_t n = 0; n < p->count; n++)
        if (p->page[n].copy)
            flag(a, p->page[n].ram, false);
    free(p->page);
    p->page = l.page;
    p->count = l.count;
    for (size_t n = 0; n < p->count; n++) {
        if (p->page[n].copy)
            flag(a, p->page[n].ram, true);
        make_copy(a, &p->page[n]);
    }
    p->stale = false;
    if (!same)
        kvm_memslots_arrange(a);
}

void kvm_pages_refresh(struct kvm_vcpu *v)
{
    struct accel *a = v->accel;
    struct kvm_pages *p = &a->pages;
    bool overwritten = false;

    if (!p->stale)
        return;
    p->stale = false;
    for (size_t n = 0; n < p->count; n++) {
        overwritten |= p->page[n].overwritten;
        if (p->page[n].stale)
            make_copy(a, &p->page[n]);
    }
    if (overwritten)
        kvm_places_check(v);
}

void kvm_pages_remapped(struct accel *a)
{
    struct kvm_pages *p = &a->pages;

    if (!p->places)
        return;
    p->looked_ns = 0;
    /* The listener arranges the slots. */
    for (size_t n = 0; n < p->count; n++)
        if (!mem_ram_region(a->machine->mem, p->page[n].ram)) {
            memmove(&p->page[n], &p->page[n + 1], (--p->count - n) * sizeof *p->page);
            n--;
        }
}

void kvm_pages_init(struct accel *a)
{
    struct kvm_pages *p = &a->pages;

    if (p->watching)
        return;
    p->written = (struct mem_code_watch){ .written = written, .opaque = a };
    mem_code_watch_add(a->machine->mem, &p->written);
    p->watching = true;
}

void kvm_pages_fini(struct accel *a)
{
    struct kvm_pages *p = &a->pages;

    if (p->watching)
        mem_code_watch_remove(a->machine->mem, &p->written);
    for (size_t n = 0; n < p->count; n++)
        if (p->page[n].copy)
            flag(a, p->page[n].ram, false);
    for (size_t n = 0; n < p->mirrors; n++)
        munmap(p->mirror[n].base, p->mirror[n].size);
    free(p->mirror);
    free(p->page);
    free(p->place);
    free(p->trap);
    free(p->data);
    free(p->reads);
}

/* ---- asked by debug.c ---- */

bool kvm_pages_trap_at(struct kvm_vcpu *v, uint64_t va)
{
    uint64_t ram;
    const struct kvm_page *page;

    if (!v->accel->pages.traps || !kvm_pages_translate(v, va, &ram) ||
        !(page = kvm_pages_find(&v->accel->pages, ram)) || !page->copy)
        return false;
    return page->traps[ram % KVM_PAGE / 8] >> ram % 8 & 1;
}

unsigned kvm_pages_peek(struct kvm_vcpu *v, uint64_t va, uint8_t *bytes, unsigned count)
{
    unsigned n;

    for (n = 0; n < count; n++) {
        uint64_t ram;
        const struct region *r;
        if (!kvm_pages_translate(v, va + n, &ram) ||
            !(r = mem_ram_region(v->accel->machine->mem, ram)))
            break;
        bytes[n] = r->host[ram - r->ram_addr];
    }
    return n;
}

bool kvm_pages_lift(struct kvm_vcpu *v, uint64_t va)
{
    struct kvm_pages *p = &v->accel->pages;

    p->lifts = 0;
    for (unsigned n = 0; p->traps && n < KVM_INSN_MAX; n++) {
        uint64_t ram;
        const struct kvm_page *page;

        if (!kvm_pages_translate(v, va + n, &ram) || !(page = kvm_pages_find(p, ram)) ||
            !page->copy)
            continue;
        page->copy[ram % KVM_PAGE] = page->real[ram % KVM_PAGE];
        p->lifted[p->lifts++] = ram;
    }
    return p->lifts;
}

void kvm_pages_put_back(struct accel *a)
{
    struct kvm_pages *p = &a->pages;
    unsigned lifts = p->lifts;

    p->lifts = 0;
    for (unsigned n = 0; n < lifts; n++) {
        struct kvm_page *page = kvm_pages_find(p, p->lifted[n]);
        bool first = n == 0 || kvm_page_of(p->lifted[n]) != kvm_page_of(p->lifted[n - 1]);
        if (page && first)
            make_copy(a, page);
    }
}
