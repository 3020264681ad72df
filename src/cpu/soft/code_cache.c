/* The cache of decoded blocks.
 *
 * Blocks are found by (RAM address, mode) through a table with one entry per RAM page that holds
 * code, and live in an arena that is emptied as a whole when it is full. A page's blocks are
 * dropped together when bytes that they were decoded from change: which 64-byte lines those are, a
 * mask tells, so that data beside code costs nothing. Links between blocks stay within a page and
 * so never outlive it. Instructions that lie in two pages are kept apart, by linear address; those
 * that are fetched from a device are decoded each time into a scratch block. The cache is invisible
 * to the guest. */
#include "cpu/soft/block.h"
#include "cpu/soft/tracing.h"

#include "base/alloc.h"

#include <stdlib.h>
#include <sys/mman.h>

enum {
    PAGE_BUCKETS = 128,
    ARENA_BYTES = 40 << 20,
    SPLITS = 512,
};

struct code_page {
    struct code_page *next_used;
    uint64_t ram_page;
    uint64_t lines; /* one bit per 64 bytes that something was decoded from */
    struct block *buckets[PAGE_BUCKETS];
};

/* An instruction that lies in two pages. */
struct split {
    bool used;
    uint64_t va;
    uint8_t bytes[INSN_BYTES_MAX];
    unsigned len;        /* of which it depends on so many */
    struct block *block; /* NULL: never used */
};

struct code_cache {
    struct mem *mem;
    struct code_page **pages; /* by RAM page number */
    uint64_t page_count;
    struct code_page *used;
    uint8_t *arena;
    size_t arena_used;
    struct block *scratch, *truncated;
    struct split splits[SPLITS];
};

struct code_cache *code_cache_new(struct mem *mem)
{
    struct code_cache *cc = ALLOC(struct code_cache);
    cc->mem = mem;
    cc->arena = mmap(NULL, ARENA_BYTES, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (cc->arena == MAP_FAILED) {
        free(cc);
        return NULL;
    }
    cc->scratch = alloc_zero(1, block_bytes(BLOCK_INSNS_MAX));
    cc->truncated = alloc_zero(1, block_bytes(BLOCK_INSNS_MAX));
    return cc;
}

static void drop_page(struct code_cache *cc, struct code_page *page)
{
    cc->pages[page->ram_page] = NULL;
    for (struct code_page **p = &cc->used; *p; p = &(*p)->next_used)
        if (*p == page) {
            *p = page->next_used;
            break;
        }
    uint8_t *flags = mem_page_flags(cc->mem, page->ram_page << RAM_PAGE_BITS);
    if (flags) /* NULL: the region is gone */
        __atomic_fetch_and(flags, (uint8_t)~RAM_PAGE_CODE, __ATOMIC_RELAXED);
    free(page);
}

void code_cache_free(struct code_cache *cc)
{
    if (!cc)
        return;
    while (cc->used)
        drop_page(cc, cc->used);
    munmap(cc->arena, ARENA_BYTES);
    free(cc->pages);
    free(cc->scratch);
    free(cc->truncated);
    for (unsigned n = 0; n < SPLITS; n++)
        free(cc->splits[n].block);
    free(cc);
}

/* What the cpus remember of blocks by address. */
static void forget_jumps(struct accel *a)
{
    for (unsigned n = 0; n < a->cpu_count; n++)
        a->cpus[n]->jump_generation++;
}

void code_flush_all(struct soft_cpu *c)
{
    struct code_cache *cc = c->code;
    while (cc->used)
        drop_page(cc, cc->used);
    cc->arena_used = 0;
    for (unsigned n = 0; n < SPLITS; n++)
        cc->splits[n].used = false; /* what is a point may have changed */
    forget_jumps(c->accel);
}

static uint64_t lines_mask(uint64_t ram_addr, uint64_t len)
{
    unsigned first = ram_addr >> 6 & 63, last = (ram_addr + len - 1) >> 6 & 63;
    return bits_mask(last + 1) & ~bits_mask(first);
}

bool code_written(struct accel *a, uint64_t ram_addr, uint64_t len)
{
    uint64_t first = ram_addr, size = len;
    struct code_cache *cc = a->code;
    bool any = false;
    while (len) {
        uint64_t n = RAM_PAGE_SIZE - (ram_addr & (RAM_PAGE_SIZE - 1));
        if (n > len)
            n = len;
        uint64_t number = ram_addr >> RAM_PAGE_BITS;
        struct code_page *page = number < cc->page_count ? cc->pages[number] : NULL;
        if (page && (page->lines & lines_mask(ram_addr, n))) {
            drop_page(cc, page);
            any = true;
        }
        ram_addr += n;
        len -= n;
    }
    if (any) {
        forget_jumps(a);
        /* The block being executed may be one of those: leave it after this instruction. */
        struct soft_cpu *c = a->running;
        if (c)
            soft_recheck(c);
        TRACE(soft_trace, SOFT_TRACE_CODE_DROPPED, soft_source(c ? c : a->cpus[0]), first, size);
    }
    return any;
}

static void code_watch_written(void *opaque, uint64_t ram_addr, uint64_t len)
{
    soft_stand_still(opaque);
    code_written(opaque, ram_addr, len);
}

/* What they have written is noted already. */
static bool dirty_collect(void *opaque, struct region *r, struct error *err)
{
    struct accel *a = opaque;
    (void)r;
    (void)err;
    soft_stand_still(a);
    for (unsigned n = 0; n < a->cpu_count; n++)
        mmu_tell_writes(a->cpus[n], NULL);
    return true;
}

void code_watch_init(struct accel *a)
{
    a->code_watch = (struct mem_code_watch){ .written = code_watch_written, .opaque = a };
    mem_code_watch_add(a->machine->mem, &a->code_watch);
    a->dirty = (struct mem_dirty_source){ .collect = dirty_collect, .opaque = a };
    mem_dirty_source_add(a->machine->mem, &a->dirty);
}

static struct code_page *page_of(struct soft_cpu *c, uint64_t ram_page, const uint8_t *host_page)
{
    struct code_cache *cc = c->code;
    if (ram_page >= cc->page_count) {
        uint64_t n = mem_ram_size(cc->mem) >> RAM_PAGE_BITS;
        cc->pages = alloc_resize(cc->pages, n, sizeof *cc->pages);
        memset(cc->pages + cc->page_count, 0, (n - cc->page_count) * sizeof *cc->pages);
        cc->page_count = n;
    }
    struct code_page *page = cc->pages[ram_page];
    if (!page) {
        page = ALLOC(struct code_page);
        page->ram_page = ram_page;
        page->next_used = cc->used;
        cc->used = page;
        cc->pages[ram_page] = page;
        __atomic_fetch_or(mem_page_flags(cc->mem, ram_page << RAM_PAGE_BITS), RAM_PAGE_CODE,
                          __ATOMIC_SEQ_CST);
        for (unsigned n = 0; n < c->accel->cpu_count; n++)
            mmu_tell_writes(c->accel->cpus[n], host_page);
    }
    return page;
}

/* `len` bytes at `host` have been decoded: from now on the cache is told of writes to them. */
static struct code_page *note_decoded(struct soft_cpu *c, uint64_t ram_addr, const uint8_t *host,
                                      uint64_t len)
{
    struct code_page *page =
        page_of(c, ram_addr >> RAM_PAGE_BITS, host - (ram_addr & (RAM_PAGE_SIZE - 1)));
    page->lines |= lines_mask(ram_addr, len);
    return page;
}

/* For one execution. */
static struct block *scratch_block(struct soft_cpu *c, uint64_t va)
{
    struct block *s = c->code->scratch;
    *s = (struct block){ .mode = c->mode,
                         .isa = c->isa,
                         .ram_page = BLOCK_SCRATCH,
                         .points = watch_points(c, va),
                         .page_off = (uint16_t)(va & (RAM_PAGE_SIZE - 1)) };
    return s;
}

/* ---- instructions that lie in two pages, or come from a device ---- */

/* The bytes of one instruction, and more. */
struct fetched {
    uint8_t bytes[INSN_BYTES_MAX];
    unsigned count;
    bool device; /* some of them are a device's: never the same again, for all we know */
    struct piece {
        const uint8_t *host;
        uint64_t ram_addr;
        unsigned len;
    } pieces[2];
    unsigned piece_count;
};

/* Fetch what its page has of the instruction at `va` behind what is there already; of a device only
 * the next byte, as the instruction may end with it. False: a fault. */
static bool fetch_more(struct soft_cpu *c, uint64_t va, struct fetched *f)
{
    va += f->count;
    if (!code64(c))
        va = (uint32_t)va;
    else if (!is_canonical(va)) {
        raise_error(c, VEC_GP, 0);
        return false;
    }
    uint64_t ram;
    const uint8_t *host = mmu_fetch(c, va, &ram);
    if (!host) {
        f->device = true;
        return ram == FETCH_BYTES && !mmu_fetch_byte(c, va, &f->bytes[f->count++]);
    }
    unsigned room = RAM_PAGE_SIZE - (va & (RAM_PAGE_SIZE - 1)), left = INSN_BYTES_MAX - f->count;
    struct piece piece = { host, ram, room < left ? room : left };
    memcpy(f->bytes + f->count, host, piece.len);
    f->count += piece.len;
    f->pieces[f->piece_count++ & 1] = piece;
    return true;
}

static struct split *split_slot(const struct soft_cpu *c, uint64_t va)
{
    return &c->code->splits[(va >> 12 ^ va >> 20) & (SPLITS - 1)];
}

/* Is it of `va`, up to its bytes? */
static bool split_serves(const struct soft_cpu *c, const struct split *k, uint64_t va)
{
    const struct block *b = k->block;
    return k->used && k->va == va && b->mode == c->mode && b->isa == c->isa &&
           b->points == watch_points(c, va);
}

/* Put `b`, of a single instruction, into the slot instead of what the cpus know from there. */
static void split_put(struct soft_cpu *c, struct split *k, uint64_t va, const struct fetched *f,
                      unsigned len, const struct block *b)
{
    struct accel *a = c->accel;
    for (unsigned n = 0; n < a->cpu_count; n++) {
        struct jump_cache_entry *e = jump_cache_slot(a->cpus[n], k->va);
        if (e->block == k->block)
            e->key = JUMP_KEY_NONE;
    }
    if (!k->block)
        k->block = alloc_zero(1, block_bytes(1));
    memcpy(k->block, b, block_bytes(1));
    memcpy(k->bytes, f->bytes, sizeof k->bytes);
    k->len = len;
    k->va = va;
    k->used = true;
}

/* Have the cache told of writes to the bytes of the instruction in `k`. False: one came before. */
static bool split_watch(struct soft_cpu *c, const struct split *k, const struct fetched *f)
{
    unsigned at = 0;
    for (unsigned n = 0; n < 2; n++) {
        const struct piece *p = &f->pieces[n];
        unsigned used = p->len < k->len - at ? p->len : k->len - at;
        note_decoded(c, p->ram_addr, p->host, used);
        if (memcmp(p->host, k->bytes + at, used) != 0)
            return false;
        at += used;
    }
    return true;
}

/* The block of the one instruction at `va`. Decoding it takes long, so it is kept, and is good for
 * as long as its bytes are the same: that is looked at whenever a jump cache does not know it. */
static struct block *split_block(struct soft_cpu *c, uint64_t va)
{
    struct split *k = split_slot(c, va);
    struct fetched f = { .count = 0 };
    if (!fetch_more(c, va, &f))
        return NULL;
    bool known = split_serves(c, k, va) && memcmp(k->bytes, f.bytes, f.count) == 0;
    if (known) { /* it needs more than these bytes */
        if (!fetch_more(c, va, &f))
            return NULL;
        known = !f.device && memcmp(k->bytes, f.bytes, k->len) == 0;
    }
    if (!known) {
        struct block *s = scratch_block(c, va);
        struct insn i;
        bool ends;
        int len;
        while ((len = soft_decode(f.bytes, f.count, c->mode, c->isa, &i, &ends)) == 0)
            if (!fetch_more(c, va, &f))
                return NULL;
        block_note_row(c, f.bytes, f.count, len);
        block_append(c, s, &i);
        block_end(s);
        if (f.device || f.piece_count < 2)
            return s;
        split_put(c, k, va, &f, bytes_decoded(len, f.count), s);
    }
    return split_watch(c, k, &f) ? k->block : split_block(c, va);
}

/* ---- finding ---- */

/* Beginnings of blocks lie close together, where a page has many. */
static unsigned bucket_of(unsigned off)
{
    return (off ^ off / PAGE_BUCKETS) & (PAGE_BUCKETS - 1);
}

static struct block *find(const struct soft_cpu *c, struct code_page *page, unsigned off,
                          uint64_t points)
{
    for (struct block *b = page->buckets[bucket_of(off)]; b; b = b->next)
        if (b->page_off == off && b->mode == c->mode && b->isa == c->isa && b->points == points)
            return b;
    return NULL;
}

static struct block *decode_new(struct soft_cpu *c, const uint8_t *host, uint64_t ram_addr,
                                uint64_t va)
{
    struct code_cache *cc = c->code;
    unsigned off = (unsigned)(ram_addr & (RAM_PAGE_SIZE - 1));
    struct block *s = scratch_block(c, va);
    uint8_t seen[BLOCK_BYTES_MAX + INSN_BYTES_MAX];
    unsigned room = RAM_PAGE_SIZE - off, avail = room < sizeof seen ? room : sizeof seen;
    memcpy(seen, host, avail);
    unsigned depends = block_decode(c, seen, avail, s);
    if (!depends)
        return split_block(c, va);

    size_t bytes = block_bytes(s->count);
    if (cc->arena_used + bytes > ARENA_BYTES) {
        code_flush_all(c);
        TRACE(soft_trace, SOFT_TRACE_CODE_FLUSH, soft_source(c));
        return decode_new(c, host, ram_addr, va); /* a listener may have asked for a point in it */
    }
    struct code_page *page = note_decoded(c, ram_addr, host, depends);
    /* Another thread may have written, and found the page without code, since the bytes were read:
     * see ram_region_changed(). */
    if (UNLIKELY(memcmp(seen, host, depends) != 0))
        return decode_new(c, host, ram_addr, va);
    c->stats.blocks_decoded++;
    struct block *b = (struct block *)(cc->arena + cc->arena_used);
    cc->arena_used += bytes;
    memcpy(b, s, bytes);
    b->ram_page = (uint32_t)(ram_addr >> RAM_PAGE_BITS);
    struct block **bucket = &page->buckets[bucket_of(off)];
    b->next = *bucket;
    *bucket = b;
    return b;
}

static struct block *block_at(struct soft_cpu *c, uint64_t va)
{
    struct jump_cache_entry *e = jump_cache_slot(c, va);
    if (LIKELY(e->rip == va && e->key == c->jump_key))
        return e->block;

    uint64_t ram_addr;
    const uint8_t *host = mmu_fetch(c, va, &ram_addr);
    if (UNLIKELY(!host))
        return ram_addr == FETCH_BYTES ? split_block(c, va) : NULL;
    struct code_page *page = ram_addr >> RAM_PAGE_BITS < c->code->page_count
                                 ? c->code->pages[ram_addr >> RAM_PAGE_BITS]
                                 : NULL;
    struct block *b =
        page ? find(c, page, ram_addr & (RAM_PAGE_SIZE - 1), watch_points(c, va)) : NULL;
    if (!b)
        b = split_serves(c, split_slot(c, va), va) ? split_block(c, va)
                                                   : decode_new(c, host, ram_addr, va);
    if (b && b != c->code->scratch)
        *e = (struct jump_cache_entry){ va, b, c->jump_key };
    return b;
}

/* What of `b` lies within the limit of the code segment; NULL: not even its first instruction. */
static struct block *within_limit(struct soft_cpu *c, struct block *b)
{
    uint64_t room = c->seg[SEG_CS].limit - c->rip + 1;
    unsigned n = b->count;
    if (LIKELY(b->bytes <= room))
        return b;
    while (n && b->insns[n - 1].next_off > room)
        n--;
    if (n)
        return block_truncated(c, b, n);
    raise_error(c, VEC_GP, 0);
    return NULL;
}

struct block *block_at_rip(struct soft_cpu *c)
{
    uint64_t va = c->rip + c->ea_base[SEG_CS];
    if (LIKELY(code64(c))) {
        if (LIKELY(is_canonical(va)))
            return block_at(c, va);
        raise_error(c, VEC_GP, 0);
        return NULL;
    }
    if (c->rip > c->seg[SEG_CS].limit) {
        raise_error(c, VEC_GP, 0);
        return NULL;
    }
    struct block *b = block_at(c, (uint32_t)va);
    return b ? within_limit(c, b) : NULL;
}

struct block *block_truncated(struct soft_cpu *c, const struct block *b, unsigned count)
{
    struct block *t = c->code->truncated;
    block_cut(t, b, count);
    return t;
}
