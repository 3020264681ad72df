/* Finding and reading kallsyms. Facts: kernel/kallsyms.c and scripts/kallsyms.c of Linux 4.20
 * to 6.12.
 *
 *     up to 6.1                 6.2, 6.3                  from 6.4
 *     offsets  s32[n]           offsets                   num_syms
 *     relative_base u64         relative_base             names
 *     num_syms u32              num_syms                  markers
 *     names    records          names                     token_table
 *     markers  u32[n/256]       markers                   token_index
 *     token_table               seqs_of_names u24[n]      offsets
 *     token_index u16[256]      token_table, token_index  relative_base, seqs_of_names
 *
 * Each part begins at a multiple of 8 (before 4.20 and without CONFIG_KALLSYMS_BASE_RELATIVE:
 * addresses u64[n] in place of the first two, markers of 8 bytes). A name is a record of a length
 * (one byte; from 128 on two, 7 bits each, low part first) and as many token numbers; the tokens'
 * text in a row is the type letter and the name. Every 256th record's place in `names` is in
 * `markers`.
 *
 * Nothing tells where the tables are, so: the tokens '0' to '9' stand for themselves and lie in a
 * row in the token table; the index that such a table must have is computed and must follow it.
 * Markers begin with 0 and grow steadily; the names before them are right when walking 256 records
 * arrives at each marker; addresses are right when they are in ascending order. All work is paid
 * from a budget, so that no bytes whatever can keep the search going. */
#define _GNU_SOURCE /* memmem */
#include "debug/kallsyms.h"

#include "base/bits.h"

#include <string.h>

enum {
    TOKENS = 256,
    ALIGN = 8,
    GROUP = 256, /* names for each marker */
    INDEX_SIZE = 2 * TOKENS,
    TOKEN_TABLE_MAX = 0x10000, /* its index has 16 bits */
    TOKEN_MAX = 1024,          /* longer than any name of Linux (KSYM_NAME_LEN) */
    RECORD_MAX = 2 + 0x3fff,
    SEARCH_BACK = 32 << 20, /* markers are at most so far before the tokens */
    COUNT_MIN = GROUP + 1,
    COUNT_MAX = 4 << 20,
};

/* How far a search came: the message tells of the best attempt. */
enum stage { STAGE_DIGITS, STAGE_TOKENS, STAGE_MARKERS, STAGE_NAMES, STAGE_ADDRESSES };

struct finder {
    struct kallsyms *k;
    uint64_t budget; /* steps left */
    enum stage stage;
    unsigned marker_size;
    size_t marker_run; /* how many values grow steadily from k->markers on */
};

static const uint64_t search_budget = 400 * 1000 * 1000;

static bool pay(struct finder *f, uint64_t steps)
{
    f->budget = f->budget > steps ? f->budget - steps : 0;
    return f->budget > 0;
}

static void reached(struct finder *f, enum stage stage)
{
    if (stage > f->stage)
        f->stage = stage;
}

/* ---- tokens ---- */

/* Does a table of 256 strings begin at `at`, with its index behind it? */
static bool tokens_at(struct finder *f, size_t at)
{
    struct kallsyms *k = f->k;
    uint8_t index[INDEX_SIZE];
    size_t p = at;
    if (!pay(f, TOKEN_TABLE_MAX / 16))
        return false;
    for (unsigned i = 0; i < TOKENS; i++) {
        size_t max = k->size - p;
        const uint8_t *end = max ? memchr(k->data + p, 0, max < TOKEN_MAX ? max : TOKEN_MAX) : NULL;
        if (!end || p - at >= TOKEN_TABLE_MAX)
            return false;
        st_le16(index + 2 * i, p - at);
        p = end - k->data + 1;
    }
    p = align_up(p, ALIGN);
    if (p > k->size || k->size - p < INDEX_SIZE || memcmp(k->data + p, index, INDEX_SIZE) != 0)
        return false;
    k->token_table = at;
    k->token_index = p;
    return true;
}

/* The table that has the token '0' at `digits`: 48 strings further up. */
static bool tokens_around(struct finder *f, size_t digits)
{
    const uint8_t *d = f->k->data;
    size_t p = digits;
    for (unsigned nul = 0; nul < '0'; nul++) {
        /* p is the start of a string; the byte before it ends the string before. */
        if (p == 0 || d[p - 1] != 0)
            return false;
        for (p--; p > 0 && d[p - 1] != 0; p--)
            if (digits - p > TOKEN_TABLE_MAX)
                return false;
    }
    /* Token 0 begins at p, or later when something that is not 0 lies before the table. */
    size_t end = p + strlen((const char *)d + p);
    if (end - p > TOKEN_MAX)
        p = end - TOKEN_MAX;
    for (size_t at = align_up(p, ALIGN); at <= end; at += ALIGN)
        if (tokens_at(f, at))
            return true;
    return false;
}

/* ---- markers and names ---- */

static uint64_t marker(const struct finder *f, size_t i)
{
    return ld_le(f->k->data + f->k->markers + i * f->marker_size, f->marker_size);
}

/* The text of a token; its place was checked when the table was found. */
static const uint8_t *token_text(const struct kallsyms *k, uint8_t token, size_t *len)
{
    const uint8_t *text = k->data + k->token_table + ld_le16(k->data + k->token_index + 2 * token);
    *len = strlen((const char *)text);
    return text;
}

/* The length of the record at `at`, and where its tokens begin. False beyond `end`. */
static bool record(const struct kallsyms *k, size_t at, size_t end, size_t *tokens, size_t *len)
{
    if (at >= end)
        return false;
    *len = k->data[at++];
    if (*len & 0x80) {
        if (at >= end)
            return false;
        *len = (*len & 0x7f) | (size_t)k->data[at++] << 7;
    }
    *tokens = at;
    return *len > 0 && *len <= end - at;
}

/* Walk from `names`; every 256 names the marker must be met, and behind the last name the markers
 * must begin. */
static bool names_at(struct finder *f, size_t names, uint32_t count)
{
    struct kallsyms *k = f->k;
    size_t at = names, tokens, len;
    for (uint32_t i = 0; i < count; i++) {
        if (i % GROUP == 0 && (!pay(f, GROUP) || marker(f, i / GROUP) != at - names))
            return false;
        if (!record(k, at, k->markers, &tokens, &len))
            return false;
        at = tokens + len;
    }
    if (align_up(at, ALIGN) != k->markers)
        return false;
    k->names = names;
    k->names_size = at - names;
    k->count = count;
    return true;
}

static bool addresses_at(struct finder *f, size_t num_syms);

/* The number of names is just before them; both lie before the markers. */
static bool names_before_markers(struct finder *f)
{
    struct kallsyms *k = f->k;
    /* A few of the steadily growing values may lie behind the markers by chance. */
    size_t surely = f->marker_run > 8 ? f->marker_run - 8 : 1;
    size_t high = k->markers - ALIGN, group = (size_t)GROUP * RECORD_MAX;
    if (marker(f, surely) > high)
        return false;
    high = align_down(high - marker(f, surely), 4);
    uint64_t most = marker(f, f->marker_run - 1) + group;
    size_t low = most < k->markers ? align_up(k->markers - most, 4) : 0;
    for (size_t q = high + 4; q > low;) {
        q -= 4;
        uint32_t count = ld_le32(k->data + q);
        if (!pay(f, 1))
            return false;
        if (count < COUNT_MIN || count > COUNT_MAX || (count + GROUP - 1) / GROUP > f->marker_run ||
            (count - 1) / GROUP < surely)
            continue;
        size_t names = q % ALIGN ? q + 4 : q + ALIGN;
        if (!names_at(f, names, count))
            continue;
        reached(f, STAGE_ADDRESSES);
        if (addresses_at(f, q))
            return true;
    }
    return false;
}

static bool is_marker_step(uint64_t from, uint64_t to)
{
    return to > from && to - from >= 2 * GROUP && to - from <= (uint64_t)GROUP * RECORD_MAX;
}

/* Going back from the tokens: everything that begins with 0 and grows as markers do. */
static bool markers_before_tokens(struct finder *f, unsigned size)
{
    struct kallsyms *k = f->k;
    size_t low = k->token_table > SEARCH_BACK ? k->token_table - SEARCH_BACK : 0;
    /* Values of 8 bytes at multiples of 8; of 4 bytes anywhere, since only the start is aligned. */
    uint64_t next = 0;
    size_t run = 0;
    f->marker_size = size;
    for (size_t at = align_down(k->token_table, size); at >= low + size;) {
        at -= size;
        uint64_t value = ld_le(k->data + at, size);
        run = run && is_marker_step(value, next) ? run + 1 : 1;
        next = value;
        if (!pay(f, 1))
            return false;
        if (value != 0 || run < 2 || at % ALIGN != 0)
            continue;
        reached(f, STAGE_NAMES);
        k->markers = at;
        f->marker_run = run;
        if (names_before_markers(f))
            return true;
    }
    return false;
}

/* ---- addresses ---- */

static uint64_t decode(const struct kallsyms *k, uint32_t i, bool *fixed)
{
    *fixed = false;
    if (k->encoding == KALLSYMS_ABSOLUTE)
        return ld_le64(k->data + k->addresses + 8 * (size_t)i);
    uint32_t offset = ld_le32(k->data + k->addresses + 4 * (size_t)i);
    if (k->encoding == KALLSYMS_RELATIVE)
        return k->base + offset;
    *fixed = (int32_t)offset >= 0;
    return *fixed ? offset : k->base - 1 - (int64_t)(int32_t)offset;
}

/* Addresses of this encoding are in order, and most are the kernel's. */
static bool is_ascending(struct finder *f)
{
    const struct kallsyms *k = f->k;
    uint64_t before = 0;
    uint32_t placed = 0;
    pay(f, k->count);
    for (uint32_t i = 0; i < k->count; i++) {
        bool fixed;
        uint64_t addr = decode(k, i, &fixed);
        if (addr < before)
            return false;
        before = addr;
        placed += !fixed && addr >> 47 == 0x1ffff;
    }
    return placed > k->count / 2;
}

static bool try_addresses(struct finder *f, size_t at, size_t len, uint64_t base,
                          enum kallsyms_encoding encoding)
{
    struct kallsyms *k = f->k;
    if (at > k->size || len > k->size - at)
        return false;
    k->addresses = at;
    k->base = base;
    k->encoding = encoding;
    return is_ascending(f);
}

/* Offsets at `at` with their base behind them. */
static bool try_offsets(struct finder *f, size_t at)
{
    const struct kallsyms *k = f->k;
    size_t len = 4 * (size_t)k->count, base = align_up(at + len, ALIGN);
    if (at > k->size || base > k->size || k->size - base < 8)
        return false;
    uint64_t value = ld_le64(k->data + base);
    return value >> 47 == 0x1ffff && (try_addresses(f, at, len, value, KALLSYMS_PERCPU) ||
                                      try_addresses(f, at, len, value, KALLSYMS_RELATIVE));
}

/* Before the number of names (it, the base and the offsets), or behind the token index. */
static bool addresses_at(struct finder *f, size_t num_syms)
{
    const struct kallsyms *k = f->k;
    size_t offsets = align_up(4 * (size_t)k->count, ALIGN) + 8, pointers = 8 * (size_t)k->count;
    size_t behind = align_up(k->token_index + INDEX_SIZE, ALIGN);
    size_t before = align_down(num_syms, ALIGN);
    return (before >= offsets && try_offsets(f, before - offsets)) || try_offsets(f, behind) ||
           (before >= pointers &&
            try_addresses(f, before - pointers, pointers, 0, KALLSYMS_ABSOLUTE)) ||
           try_addresses(f, behind, pointers, 0, KALLSYMS_ABSOLUTE);
}

/* ---- the whole ---- */

static bool explain(const struct finder *f, struct error *err)
{
    static const char *const missing[] = {
        [STAGE_DIGITS] = "no token table in it (256 strings, \"0\" to \"9\" among them in a row): "
                         "either not a Linux kernel or built without CONFIG_KALLSYMS",
        [STAGE_TOKENS] = "no token table with its index (256 offsets) behind it",
        [STAGE_MARKERS] = "a token table, but no markers before it",
        [STAGE_NAMES] = "a token table, but no names that fit the markers before it",
        [STAGE_ADDRESSES] = "names, but no ascending addresses that belong to them",
    };
    if (f->budget == 0)
        return error_set(err, "kallsyms: too much looks like a table and is none: search given up");
    return error_set(err, "kallsyms: found %s", missing[f->stage]);
}

bool kallsyms_find(struct kallsyms *k, const uint8_t *data, size_t size, struct error *err)
{
    static const char digits[] = "0\0001\0002\0003\0004\0005\0006\0007\0008\0009";
    struct finder f = { .k = k, .budget = search_budget };
    *k = (struct kallsyms){ .data = data, .size = size };
    for (const uint8_t *p = data; f.budget && p < data + size; p++) {
        p = memmem(p, data + size - p, digits, sizeof digits);
        if (!p)
            break;
        reached(&f, STAGE_TOKENS);
        pay(&f, TOKEN_TABLE_MAX);
        if (!tokens_around(&f, p - data))
            continue;
        reached(&f, STAGE_MARKERS);
        if (markers_before_tokens(&f, 4) || markers_before_tokens(&f, 8))
            return true;
    }
    *k = (struct kallsyms){ 0 };
    return explain(&f, err);
}

bool kallsyms_next(const struct kallsyms *k, struct kallsyms_cursor *cursor,
                   struct kallsyms_symbol *symbol)
{
    size_t tokens, count, used = 0, end = k->names + k->names_size;
    if (cursor->index >= k->count || !record(k, k->names + cursor->at, end, &tokens, &count))
        return false;
    for (size_t i = 0; i < count; i++) {
        size_t len;
        const uint8_t *text = token_text(k, k->data[tokens + i], &len);
        if (len > sizeof cursor->name - 1 - used)
            len = sizeof cursor->name - 1 - used;
        memcpy(cursor->name + used, text, len);
        used += len;
    }
    cursor->name[used] = 0;
    cursor->at = tokens + count - k->names;
    *symbol = (struct kallsyms_symbol){ .name = cursor->name + (used > 0),
                                        .len = used ? used - 1 : 0,
                                        .type = used ? cursor->name[0] : '?' };
    symbol->addr = decode(k, cursor->index++, &symbol->fixed);
    return true;
}
