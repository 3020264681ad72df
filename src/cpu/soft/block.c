/* The cache of decoded blocks.
 *
 * Blocks are found by (RAM address, mode) through a table with one entry per RAM page that holds
 * code, and live in an arena that is emptied as a whole when it is full. A page's blocks are
 * dropped together when bytes that they were decoded from change: which 64-byte lines those are, a
 * mask tells, so that data beside code costs nothing. Links between blocks stay within a page and
 * so never outlive it. Instructions that cross a page, or that are fetched from a device, are
 * decoded each time into a scratch block. The cache is invisible to the guest. */
#include "cpu/soft/coverage.h"
#include "cpu/soft/tracing.h"

#include "base/alloc.h"

#include <stdlib.h>
#include <sys/mman.h>

enum {
    PAGE_BUCKETS = 32,
    ARENA_BYTES = 40 << 20,
};

struct code_page {
    struct code_page *next_used;
    uint64_t ram_page;
    uint64_t lines; /* one bit per 64 bytes that something was decoded from */
    struct block *buckets[PAGE_BUCKETS];
};

struct code_cache {
    struct mem *mem;
    struct code_page **pages; /* by RAM page number */
    uint64_t page_count;
    struct code_page *used;
    uint8_t *arena;
    size_t arena_used;
    struct block *scratch, *truncated;
};

static size_t block_bytes(unsigned insns)
{
    return sizeof(struct block) + (insns + 1) * sizeof(struct insn);
}

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

/* The marker after the last instruction of a block that does not end with a branch. */
static void put_end(struct block *b)
{
    b->insns[b->count] = (struct insn){ .handler = soft_labels->any[OP_block_end],
                                        .op = OP_block_end,
                                        .next_off = (uint8_t)b->bytes,
                                        .base = REG_NONE,
                                        .index = REG_NONE };
}

/* A RIP-relative address becomes relative to the block's start. */
static void fix_rip_relative(struct insn *i)
{
    int64_t disp = (int64_t)i->disp + i->next_off;
    if (disp == (int32_t)disp) {
        i->disp = (int32_t)disp;
    } else {
        /* ea_slow() and op_lea add next_off themselves */
        i->flags |= INSN_EA_SLOW;
        if (i->op == OP_lea_4 || i->op == OP_lea_8) {
            i->op = OP_lea;
            i->handler = soft_labels->any[OP_lea];
        }
    }
}

/* Is its address a register and a displacement, with nothing to add or to check? */
static bool is_plain(const struct insn *i, uint32_t mode)
{
    return mode & MODE_CODE64 && i->flags & INSN_MEM && !(i->flags & INSN_EA_SLOW) &&
           i->index == REG_NONE && i->seg != SEG_FS && i->seg != SEG_GS;
}

/* If the last instruction is a conditional jump, it and the one before may have one handler. Where
 * the block is cut between the two, the first gets its own back: see block_truncated(). */
static void fuse(struct block *b)
{
    static const struct {
        uint16_t op, jump;
    } pairs[] = {
#define X(op, jump, cc) { OP_##op, OP_##jump },
        FUSED_PAIRS(X)
#undef X
    };
    struct insn *jump = &b->insns[b->count - 1], *i = jump - 1;
    if (b->count < 2 || jump->op < OP_j_o || jump->op > OP_j_nle)
        return;
    if (i->handler != soft_labels->any[i->op] || jump->handler != soft_labels->any[jump->op])
        return; /* one of them is a point */
    for (unsigned n = 0; n < FUSED_COUNT; n++)
        if (pairs[n].op == i->op && pairs[n].jump == jump->op)
            i->handler = soft_labels->fused[n];
}

static void append(const struct soft_cpu *c, struct block *b, struct insn *i)
{
    bool point = false;
    if (UNLIKELY(b->points) && watch_is_point(c, b->points - 1 + b->page_off + b->bytes))
        i->handler = soft_labels->any[OP_point], point = true;
    b->bytes += i->len;
    i->next_off = (uint8_t)b->bytes;
    if (i->flags & INSN_MEM && i->base == REG_RIP && insn_asize(i) == 8)
        fix_rip_relative(i);
    else if (i->base == REG_RIP)
        i->disp = (int32_t)((uint32_t)i->disp + i->next_off);
    if (!point && is_plain(i, b->mode) && soft_labels->plain[i->op])
        i->handler = soft_labels->plain[i->op];
    b->insns[b->count++] = *i;
    fuse(b);
}

/* For who asks which instructions have been seen: `len` is what soft_decode() said of the bytes. */
static void note_row(const struct soft_cpu *c, const uint8_t *code, unsigned avail, int len)
{
    if (UNLIKELY(c->accel->coverage) && len > 0)
        opcode_coverage_note(c->accel->coverage, code, avail, c->mode, c->isa);
}

/* Decode what lies within the page. False: not even one instruction does. */
static bool decode_block(struct soft_cpu *c, const uint8_t *code, unsigned avail, struct block *b)
{
    bool ends = false;
    while (!ends && b->count < BLOCK_INSNS_MAX && b->bytes < BLOCK_BYTES_MAX) {
        struct insn i;
        int n = soft_decode(code + b->bytes, avail - b->bytes, c->mode, c->isa, &i, &ends);
        if (n == 0)
            break;
        note_row(c, code + b->bytes, avail - b->bytes, n);
        append(c, b, &i);
    }
    put_end(b);
    return b->count > 0;
}

/* One instruction that crosses into the next page, or that comes from a device: gather its bytes by
 * hand, and none beyond it. */
static struct block *decode_split(struct soft_cpu *c, struct block *b)
{
    uint8_t bytes[INSN_BYTES_MAX];
    unsigned n = 0;
    struct insn i;
    bool ends;
    int len = 0;
    while (n < sizeof bytes && len == 0) {
        uint64_t ram, va = c->rip + c->ea_base[SEG_CS] + n;
        if (code64(c) && !is_canonical(va)) {
            raise_error(c, VEC_GP, 0);
            return NULL;
        }
        const uint8_t *p = mmu_fetch(c, va, &ram);
        if (!p && (ram != FETCH_BYTES || mmu_fetch_byte(c, va, &bytes[n])))
            return NULL;
        unsigned room = p ? (unsigned)(RAM_PAGE_SIZE - (va & (RAM_PAGE_SIZE - 1))) : 1;
        for (unsigned k = 0; k < room && n < sizeof bytes; k++, n++)
            if (p)
                bytes[n] = p[k];
        len = soft_decode(bytes, n, c->mode, c->isa, &i, &ends);
    }
    b->count = b->bytes = 0;
    note_row(c, bytes, n, len);
    append(c, b, &i);
    put_end(b);
    return b;
}

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

static struct block *find(const struct soft_cpu *c, struct code_page *page, unsigned off,
                          uint64_t points)
{
    for (struct block *b = page->buckets[off / (RAM_PAGE_SIZE / PAGE_BUCKETS)]; b; b = b->next)
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
    if (!decode_block(c, seen, avail, s))
        return decode_split(c, s);

    size_t bytes = block_bytes(s->count);
    if (cc->arena_used + bytes > ARENA_BYTES) {
        code_flush_all(c);
        TRACE(soft_trace, SOFT_TRACE_CODE_FLUSH, soft_source(c));
        return decode_new(c, host, ram_addr, va); /* a listener may have asked for a point in it */
    }
    struct code_page *page = page_of(c, ram_addr >> RAM_PAGE_BITS, host - off);
    page->lines |= lines_mask(ram_addr, s->bytes);
    /* Another thread may have written, and found the page without code, since the bytes were read:
     * see ram_region_changed(). */
    if (UNLIKELY(memcmp(seen, host, s->bytes) != 0))
        return decode_new(c, host, ram_addr, va);
    c->stats.blocks_decoded++;
    struct block *b = (struct block *)(cc->arena + cc->arena_used);
    cc->arena_used += bytes;
    memcpy(b, s, bytes);
    b->ram_page = (uint32_t)(ram_addr >> RAM_PAGE_BITS);
    struct block **bucket = &page->buckets[off / (RAM_PAGE_SIZE / PAGE_BUCKETS)];
    b->next = *bucket;
    *bucket = b;
    return b;
}

static struct block *block_at(struct soft_cpu *c, uint64_t va)
{
    struct jump_cache_entry *e = (struct jump_cache_entry *)jump_cache_slot(c, va);
    if (LIKELY(e->rip == va && e->key == c->jump_key))
        return e->block;

    uint64_t ram_addr;
    const uint8_t *host = mmu_fetch(c, va, &ram_addr);
    if (UNLIKELY(!host))
        return ram_addr == FETCH_BYTES ? decode_split(c, scratch_block(c, va)) : NULL;
    struct code_page *page = ram_addr >> RAM_PAGE_BITS < c->code->page_count
                                 ? c->code->pages[ram_addr >> RAM_PAGE_BITS]
                                 : NULL;
    struct block *b =
        page ? find(c, page, ram_addr & (RAM_PAGE_SIZE - 1), watch_points(c, va)) : NULL;
    if (!b)
        b = decode_new(c, host, ram_addr, va);
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
    if (t != b)
        memcpy(t, b, block_bytes(count));
    t->next = t->fallthrough = t->taken = NULL;
    t->ram_page = BLOCK_SCRATCH;
    t->count = (uint16_t)count;
    t->bytes = b->insns[count - 1].next_off;
    struct insn *last = &t->insns[count - 1];
    if (!(last->flags & INSN_MEM) && last->handler != soft_labels->any[OP_point])
        last->handler = soft_labels->any[last->op]; /* not with a jump that is not there any more */
    put_end(t);
    return t;
}
