/* String instructions, with REP in chunks.
 *
 * A chunk is as many elements as lie within the present pages of source and destination, decided by
 * addresses alone; it counts as one instruction, and interrupts are taken between chunks. Within a
 * chunk plain memory is copied or filled by the host; a fault leaves the registers as they are
 * after the elements that were done. */
#include "cpu/soft/operand.h"
#include "cpu/soft/segment.h"

/* One side of a string instruction: an index register and its segment. */
struct side {
    unsigned reg, seg;
    bool write;
};

struct string {
    const struct insn *i;
    unsigned size, asize;
    bool rep;
    int64_t step;   /* bytes from one element to the next */
    uint64_t count; /* elements left, 1 without REP */
};

static struct string begin(struct soft_cpu *c, const struct insn *i)
{
    struct string s = { .i = i, .size = i->size, .asize = insn_asize(i) };
    s.rep = i->flags & (INSN_REP | INSN_REPNE);
    s.step = c->eflags & FLAG_DF ? -(int64_t)s.size : (int64_t)s.size;
    s.count = s.rep ? reg_get(c, RCX, s.asize) : 1;
    return s;
}

static uint64_t offset_of(const struct soft_cpu *c, const struct string *s, unsigned reg)
{
    return reg_get(c, reg, s->asize);
}

/* Linear address of the present element. */
static int address_of(struct soft_cpu *c, const struct string *s, const struct side *side,
                      uint64_t *va)
{
    uint64_t off = offset_of(c, s, side->reg);
    if (LIKELY(code64(c))) {
        *va = off + c->ea_base[side->seg];
        return 0;
    }
    *va = (uint32_t)(off + c->seg[side->seg].base);
    return segment_check(c, side->seg, off, s->size, side->write);
}

/* Elements from here to the end of the page, at least one. */
static uint64_t page_elements(const struct string *s, uint64_t va)
{
    uint64_t in_page = va & 0xfff;
    uint64_t n = s->step > 0 ? (0x1000 - in_page) / s->size : in_page / s->size + 1;
    return n ? n : 1;
}

static void advance(struct soft_cpu *c, const struct string *s, unsigned reg, uint64_t elements)
{
    reg_set(c, reg, s->asize, offset_of(c, s, reg) + elements * (uint64_t)s->step);
}

static void consume(struct soft_cpu *c, struct string *s, uint64_t elements)
{
    s->count -= elements;
    if (s->rep)
        reg_set(c, RCX, s->asize, s->count);
}

/* What the handler returns when a chunk is through: `st` are the OR-ed statuses of its accesses. */
static int finish(const struct string *s, int st)
{
    return s->count ? X_REPEAT : st;
}

/* Plain host memory of `n` elements of which the first is at `va`, within one page: where the
 * lowest is. NULL: go one by one. */
static uint8_t *chunk_host(struct soft_cpu *c, const struct string *s, uint64_t va, uint64_t n,
                           int access)
{
    int st;
    if (s->step < 0)
        va -= (n - 1) * s->size;
    if (!code64(c) || s->asize != 8 || (va & 0xfff) + n * s->size > 0x1000)
        return NULL;
    uint8_t *p = mmu_host(c, va, access, &st);
    return st ? NULL : p; /* a fault is met again, and raised, by the access itself */
}

static const struct side dest = { RDI, SEG_ES, true };
static const struct side dest_read = { RDI, SEG_ES, false };

static int movs_one(struct soft_cpu *c, const struct string *s, const struct side *src)
{
    uint64_t from, to, v;
    int st = address_of(c, s, src, &from);
    if (st || (st = address_of(c, s, &dest, &to)) || (st = load(c, from, s->size, &v)) < 0)
        return st;
    int st2 = store(c, to, s->size, v);
    if (st2 < 0)
        return st2;
    advance(c, s, RSI, 1);
    advance(c, s, RDI, 1);
    return st | st2;
}

int op_movs(struct soft_cpu *c, const struct insn *i)
{
    struct string s = begin(c, i);
    struct side src = { RSI, i->seg, false };
    if (!s.count)
        return 0;
    uint64_t from = offset_of(c, &s, RSI) + c->ea_base[src.seg];
    uint64_t to = offset_of(c, &s, RDI) + c->ea_base[SEG_ES];
    uint64_t n = page_elements(&s, from), m = page_elements(&s, to);
    n = n < m ? n : m;
    n = n < s.count ? n : s.count;
    uint64_t bytes = n * s.size;
    if (n > 1) {
        uint8_t *p = chunk_host(c, &s, from, n, ACCESS_READ);
        uint8_t *q = p ? chunk_host(c, &s, to, n, ACCESS_WRITE) : NULL;
        /* A destination just ahead of its source repeats a pattern, which memmove would not. */
        bool behind = s.step > 0 ? q <= p : q >= p;
        if (q && (behind || q + bytes <= p || q >= p + bytes)) {
            memmove(q, p, bytes);
            advance(c, &s, RSI, n);
            advance(c, &s, RDI, n);
            consume(c, &s, n);
            return finish(&s, 0);
        }
    }
    int st = 0;
    for (; n; n--) {
        int one = movs_one(c, &s, &src);
        if (one < 0)
            return one;
        st |= one;
        consume(c, &s, 1);
    }
    return finish(&s, st);
}

static void fill(uint8_t *p, unsigned size, uint64_t v, uint64_t n)
{
    /* Mostly zeros: clearing pages. */
    if (size == 1 || v == 0) {
        memset(p, (int)(uint8_t)v, n * size);
    } else if (size == 8) {
        for (; n; n--, p += 8)
            st_le64(p, v);
    } else if (size == 4) {
        for (; n; n--, p += 4)
            st_le32(p, (uint32_t)v);
    } else {
        for (; n; n--, p += 2)
            st_le16(p, (uint16_t)v);
    }
}

int op_stos(struct soft_cpu *c, const struct insn *i)
{
    struct string s = begin(c, i);
    if (!s.count)
        return 0;
    uint64_t to = offset_of(c, &s, RDI) + c->ea_base[SEG_ES], v = reg_get(c, RAX, s.size);
    uint64_t n = page_elements(&s, to);
    n = n < s.count ? n : s.count;
    uint8_t *p = n > 1 ? chunk_host(c, &s, to, n, ACCESS_WRITE) : NULL;
    if (p) {
        fill(p, s.size, v, n);
        advance(c, &s, RDI, n);
        consume(c, &s, n);
        return finish(&s, 0);
    }
    int st = 0;
    for (; n; n--) {
        int one = address_of(c, &s, &dest, &to);
        if (one || (one = store(c, to, s.size, v)) < 0)
            return one;
        st |= one;
        advance(c, &s, RDI, 1);
        consume(c, &s, 1);
    }
    return finish(&s, st);
}

int op_lods(struct soft_cpu *c, const struct insn *i)
{
    struct string s = begin(c, i);
    struct side src = { RSI, i->seg, false };
    if (!s.count)
        return 0;
    uint64_t va, v;
    int st = address_of(c, &s, &src, &va);
    if (st || (st = load(c, va, s.size, &v)) < 0)
        return st;
    reg_set(c, RAX, s.size, v);
    advance(c, &s, RSI, 1);
    consume(c, &s, 1);
    return finish(&s, st);
}

/* Does a comparing REP end after this element? */
static bool comparison_ends(const struct soft_cpu *c, const struct string *s)
{
    return s->rep && flag_zf(c) != !!(s->i->flags & INSN_REP);
}

/* A comparing REP gives flags when it ends. When it faults, or waits for its next chunk, they are
 * those of before it (SDM vol. 2, REP). */
static int unfinished(struct soft_cpu *c, uint32_t flags, int st)
{
    c->flags = flags;
    return st;
}

int op_cmps(struct soft_cpu *c, const struct insn *i)
{
    struct string s = begin(c, i);
    struct side src = { RSI, i->seg, false };
    if (!s.count)
        return 0;
    uint64_t from = offset_of(c, &s, RSI) + c->ea_base[src.seg];
    uint64_t to = offset_of(c, &s, RDI) + c->ea_base[SEG_ES], a, b;
    uint64_t n = page_elements(&s, from), m = page_elements(&s, to);
    uint32_t flags = c->flags;
    n = n < m ? n : m;
    n = n < s.count ? n : s.count;
    int st = 0;
    for (; n; n--) {
        int one = address_of(c, &s, &src, &from), two = 0;
        if (one || (one = address_of(c, &s, &dest_read, &to)) ||
            (one = load(c, from, s.size, &a)) < 0 || (two = load(c, to, s.size, &b)) < 0)
            return unfinished(c, flags, X_FAULT);
        st |= one | two;
        host_sub(c, a, b, s.size);
        advance(c, &s, RSI, 1);
        advance(c, &s, RDI, 1);
        consume(c, &s, 1);
        if (comparison_ends(c, &s))
            return st;
    }
    return s.count ? unfinished(c, flags, X_REPEAT) : st;
}

int op_scas(struct soft_cpu *c, const struct insn *i)
{
    struct string s = begin(c, i);
    if (!s.count)
        return 0;
    uint64_t va = offset_of(c, &s, RDI) + c->ea_base[SEG_ES], a = reg_get(c, RAX, s.size), b;
    uint64_t n = page_elements(&s, va);
    uint32_t flags = c->flags;
    n = n < s.count ? n : s.count;
    int st = 0;
    for (; n; n--) {
        int one = address_of(c, &s, &dest_read, &va);
        if (one || (one = load(c, va, s.size, &b)) < 0)
            return unfinished(c, flags, X_FAULT);
        st |= one;
        host_sub(c, a, b, s.size);
        advance(c, &s, RDI, 1);
        consume(c, &s, 1);
        if (comparison_ends(c, &s))
            return st;
    }
    return s.count ? unfinished(c, flags, X_REPEAT) : st;
}

/* ---- ports ---- */

int op_ins(struct soft_cpu *c, const struct insn *i)
{
    struct string s = begin(c, i);
    s.size = i->size == 8 ? 4 : i->size;
    s.step = c->eflags & FLAG_DF ? -(int64_t)s.size : (int64_t)s.size;
    uint64_t va, v;
    uint16_t port = (uint16_t)c->r[RDX];
    int st = check_io_permission(c, port, s.size);
    if (st)
        return st;
    if (!s.count)
        return 0;
    if ((st = address_of(c, &s, &dest, &va)) || (st = mmu_probe_write(c, va, s.size)))
        return st;
    io_in(c, port, s.size, &v);
    if ((st = store(c, va, s.size, v)) < 0)
        return st;
    advance(c, &s, RDI, 1);
    consume(c, &s, 1);
    return finish(&s, X_BREAK);
}

int op_outs(struct soft_cpu *c, const struct insn *i)
{
    struct string s = begin(c, i);
    s.size = i->size == 8 ? 4 : i->size;
    s.step = c->eflags & FLAG_DF ? -(int64_t)s.size : (int64_t)s.size;
    struct side src = { RSI, i->seg, false };
    uint64_t va, v;
    uint16_t port = (uint16_t)c->r[RDX];
    int st = check_io_permission(c, port, s.size);
    if (st)
        return st;
    if (!s.count)
        return 0;
    if ((st = address_of(c, &s, &src, &va)) || (st = load(c, va, s.size, &v)) < 0)
        return st;
    io_out(c, port, s.size, v);
    advance(c, &s, RSI, 1);
    consume(c, &s, 1);
    return finish(&s, X_BREAK);
}
