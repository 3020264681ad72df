/* The table of symbols: sources, the two sorted indexes, lookups.
 *
 * Symbols are kept as their sources told them; what users see (`struct symbol`, with the bias) and
 * the indexes are made when first asked for after a change, because a kernel has 150,000 symbols
 * and several sources may be loaded and biased in a row. */
#include "debug/symbols_internal.h"

#include "base/alloc.h"
#include "base/bits.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { NAME_CHUNK = 64 << 10 };
/* How far the last symbol of all reaches when nothing says where its section ends. */
#define LAST_EXTENT 4096

/* Names of one source, in pieces that never move. */
struct name_chunk {
    struct name_chunk *next;
    size_t used, size;
    char bytes[];
};

struct source {
    struct symbols_source info;
    struct name_chunk *names;
};

/* A symbol as its source told it. */
struct raw_symbol {
    const char *name;
    uint64_t addr, size, section_end;
    unsigned source;
    char type;
    bool fixed;
};

struct symbols {
    struct source **sources;
    size_t source_count, source_capacity;
    struct raw_symbol *raw;
    size_t raw_count, raw_capacity;
    size_t committed;
    /* made by build_index() */
    bool indexed;
    struct symbol *named;    /* by name, then global before local, then by address */
    struct symbol **by_addr; /* those that are places */
    size_t placed;
};

struct symbols *symbols_new(void)
{
    return ALLOC(struct symbols);
}

static void drop_index(struct symbols *s)
{
    free(s->named);
    free(s->by_addr);
    s->named = NULL;
    s->by_addr = NULL;
    s->placed = 0;
    s->indexed = false;
}

static void free_names(struct source *source)
{
    while (source->names) {
        struct name_chunk *next = source->names->next;
        free(source->names);
        source->names = next;
    }
}

static void source_free(struct source *source)
{
    free_names(source);
    free(source->info.path);
    free(source->info.module);
    free(source);
}

void symbols_free(struct symbols *s)
{
    if (!s)
        return;
    drop_index(s);
    for (size_t i = 0; i < s->source_count; i++)
        source_free(s->sources[i]);
    free(s->sources);
    free(s->raw);
    free(s);
}

unsigned symbols_begin(struct symbols *s, enum symbols_kind kind, const char *path)
{
    assert(s->committed == s->raw_count);
    struct source *source = ALLOC(struct source);
    source->info.kind = kind;
    source->info.path = path ? alloc_string(path) : NULL;
    ALLOC_GROW(s->sources, s->source_count, s->source_capacity);
    s->sources[s->source_count] = source;
    return s->source_count++;
}

void symbols_begin_module(struct symbols *s, const char *module, uint64_t identity,
                          const struct symbols_orc *orc)
{
    unsigned source = symbols_begin(s, SYMBOLS_MODULE, NULL);
    s->sources[source]->info.module = alloc_string(module);
    s->sources[source]->info.identity = identity;
    s->sources[source]->info.orc = *orc;
}

static const char *keep_name(struct source *source, const char *name, size_t len)
{
    struct name_chunk *c = source->names;
    if (!c || c->size - c->used < len + 1) {
        size_t size = len + 1 > NAME_CHUNK ? len + 1 : NAME_CHUNK;
        c = alloc_resize(NULL, sizeof *c + size, 1);
        *c = (struct name_chunk){ .next = source->names, .size = size };
        source->names = c;
    }
    char *kept = c->bytes + c->used;
    memcpy(kept, name, len);
    kept[len] = 0;
    c->used += len + 1;
    return kept;
}

void symbols_add(struct symbols *s, const struct symbol_def *def)
{
    unsigned source = s->source_count - 1;
    ALLOC_GROW(s->raw, s->raw_count, s->raw_capacity);
    s->raw[s->raw_count++] = (struct raw_symbol){
        .name = keep_name(s->sources[source], def->name, def->len),
        .addr = def->addr,
        .size = def->size,
        .section_end = def->section_end,
        .source = source,
        .type = def->type,
        .fixed = def->fixed,
    };
}

size_t symbols_pending(const struct symbols *s)
{
    return s->raw_count - s->committed;
}

/* In a kernel's table what lies in the user half is per-cpu offsets and constants. */
static void mark_fixed(struct symbols *s)
{
    bool kernel = false;
    for (size_t i = s->committed; i < s->raw_count; i++)
        kernel |= is_kernel_address(s->raw[i].addr) && !s->raw[i].fixed;
    for (size_t i = s->committed; kernel && i < s->raw_count; i++)
        s->raw[i].fixed |= !is_kernel_address(s->raw[i].addr);
}

bool symbols_commit(struct symbols *s, bool ok, unsigned *source)
{
    struct source *last = s->sources[s->source_count - 1];
    if (!ok) {
        s->raw_count = s->committed;
        s->source_count--;
        source_free(last);
        return false;
    }
    mark_fixed(s);
    last->info.count = s->raw_count - s->committed;
    last->info.loaded = true;
    s->committed = s->raw_count;
    drop_index(s);
    if (source)
        *source = s->source_count - 1;
    return true;
}

void symbols_unload(struct symbols *s, unsigned source)
{
    assert(source < s->source_count);
    size_t kept = 0;
    for (size_t i = 0; i < s->raw_count; i++)
        if (s->raw[i].source != source)
            s->raw[kept++] = s->raw[i];
    s->raw_count = s->committed = kept;
    drop_index(s);
    free_names(s->sources[source]);
    s->sources[source]->info.count = 0;
    s->sources[source]->info.loaded = false;
}

unsigned symbols_source_count(const struct symbols *s)
{
    return s->source_count;
}

const struct symbols_source *symbols_source(const struct symbols *s, unsigned source)
{
    return source < s->source_count ? &s->sources[source]->info : NULL;
}

unsigned symbols_adopt(struct symbols *s, struct symbols *from)
{
    unsigned first = s->source_count;
    assert(s->committed == s->raw_count && from->committed == from->raw_count);
    if (!first) {
        struct symbols empty = *s;
        *s = *from;
        *from = empty;
        return 0;
    }
    for (size_t i = 0; i < from->source_count; i++) {
        ALLOC_GROW(s->sources, s->source_count, s->source_capacity);
        s->sources[s->source_count++] = from->sources[i];
    }
    for (size_t i = 0; i < from->raw_count; i++) {
        ALLOC_GROW(s->raw, s->raw_count, s->raw_capacity);
        s->raw[s->raw_count] = from->raw[i];
        s->raw[s->raw_count++].source += first;
    }
    s->committed = s->raw_count;
    from->source_count = from->raw_count = from->committed = 0;
    drop_index(from);
    drop_index(s);
    return first;
}

size_t symbols_count(const struct symbols *s)
{
    return s->raw_count;
}

static bool is_local(const struct symbol *a)
{
    return a->type >= 'a' && a->type <= 'z';
}

static int compare_addr(uint64_t a, uint64_t b)
{
    return a < b ? -1 : a > b;
}

static int by_name(const void *x, const void *y)
{
    const struct symbol *a = x, *b = y;
    int order = strcmp(a->name, b->name);
    if (order)
        return order;
    if (is_local(a) != is_local(b))
        return is_local(a) ? 1 : -1;
    order = compare_addr(a->addr, b->addr);
    return order ? order : compare_addr(a->source, b->source);
}

static size_t underscores(const char *name)
{
    return strspn(name, "_");
}

/* Which of several names of one address is told: functions and objects before markers of assembly
 * and linker scripts, which have no size; the plainer name, as Linux itself prefers it; global
 * before local. */
static int by_addr(const void *x, const void *y)
{
    const struct symbol *a = *(struct symbol *const *)x, *b = *(struct symbol *const *)y;
    int order = compare_addr(a->addr, b->addr);
    if (order)
        return order;
    if (!a->size != !b->size)
        return a->size ? -1 : 1;
    order = compare_addr(underscores(a->name), underscores(b->name));
    if (order)
        return order;
    if (is_local(a) != is_local(b))
        return is_local(a) ? 1 : -1;
    order = compare_addr(a->source, b->source);
    return order ? order : strcmp(a->name, b->name);
}

/* Going down through the addresses: the one met last and the next higher one. */
struct above {
    uint64_t last, next; /* 0: none */
};

static uint64_t next_above(struct above *a, uint64_t addr)
{
    if (a->last != addr)
        a->next = a->last;
    a->last = addr;
    return a->next;
}

/* Every place reaches to the next higher address, at most to the end of its section; the last of a
 * source whose sections are not known, a little further. */
static void measure(struct symbols *s)
{
    struct above any = { 0 }, *own = alloc_zero(s->source_count, sizeof *own);
    for (size_t i = s->placed; i-- > 0;) {
        struct symbol *a = s->by_addr[i];
        uint64_t next = next_above(&any, a->addr), end = next_above(&own[a->source], a->addr);
        if (a->end && a->end <= a->addr) /* a marker of the section's end */
            end = a->addr + 1;
        else if (!end)
            end = a->end ? a->end : a->addr + LAST_EXTENT;
        else if (a->end && a->end < end)
            end = a->end;
        if (next && next < end)
            end = next;
        a->end = end > a->addr ? end : UINT64_MAX;
        if (!a->size)
            a->size = a->end - a->addr;
    }
    free(own);
}

static void build_index(struct symbols *s)
{
    if (s->indexed)
        return;
    s->indexed = true;
    s->named = alloc_resize(NULL, s->raw_count + 1, sizeof *s->named);
    s->by_addr = alloc_resize(NULL, s->raw_count + 1, sizeof(*s->by_addr));
    for (size_t i = 0; i < s->raw_count; i++) {
        const struct raw_symbol *r = &s->raw[i];
        uint64_t bias = r->fixed ? 0 : s->sources[r->source]->info.bias;
        s->named[i] = (struct symbol){ .name = r->name,
                                       .addr = r->addr + bias,
                                       .size = r->size,
                                       .end = r->section_end ? r->section_end + bias : 0,
                                       .type = r->type,
                                       .fixed = r->fixed,
                                       .source = r->source };
    }
    qsort(s->named, s->raw_count, sizeof *s->named, by_name);
    for (size_t i = 0; i < s->raw_count; i++)
        if (!s->named[i].fixed)
            s->by_addr[s->placed++] = &s->named[i];
    qsort(s->by_addr, s->placed, sizeof(*s->by_addr), by_addr);
    measure(s);
}

void symbols_prepare(struct symbols *s)
{
    build_index(s);
}

static bool is_only_source(const struct symbols *s, unsigned source)
{
    return s->sources[source]->info.count == s->raw_count;
}

/* Move what is sorted along, which its order survives: only what is fixed could change places with
 * what is not, among those of one name. False: it does. */
static bool shift_index(struct symbols *s, uint64_t by)
{
    for (size_t i = 0; i < s->raw_count; i++) {
        struct symbol *a = &s->named[i];
        if (!a->fixed) {
            a->addr += by;
            a->end += a->end == UINT64_MAX ? 0 : by;
        }
        if (i && a->fixed != a[-1].fixed && by_name(a - 1, a) > 0)
            return false;
    }
    return true;
}

/* A kernel is moved when KASLR has chosen: that must not take as long as reading it. */
void symbols_set_bias(struct symbols *s, unsigned source, uint64_t bias)
{
    assert(source < s->source_count);
    uint64_t by = bias - s->sources[source]->info.bias;
    if (!by)
        return;
    s->sources[source]->info.bias = bias;
    if (!s->indexed || !is_only_source(s, source) || !shift_index(s, by))
        drop_index(s);
}

/* The first symbol whose name, in its first `len` bytes, is not below `name`; or, with `after`, is
 * above. */
static size_t name_bound(struct symbols *s, const char *name, size_t len, bool after)
{
    size_t low = 0, high = s->raw_count;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        int order = strncmp(s->named[mid].name, name, len);
        if (order < 0 || (after && order == 0))
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

static size_t name_range(struct symbols *s, const char *name, size_t len, size_t *count)
{
    build_index(s);
    size_t first = name_bound(s, name, len, false);
    *count = name_bound(s, name, len, true) - first;
    return first;
}

const struct symbol *symbols_find(struct symbols *s, const char *name, size_t *count)
{
    size_t n, first = name_range(s, name, strlen(name) + 1, &n);
    if (count)
        *count = n;
    return n ? &s->named[first] : NULL;
}

const struct symbol *symbols_by_name(struct symbols *s, size_t index)
{
    build_index(s);
    return index < s->raw_count ? &s->named[index] : NULL;
}

size_t symbols_prefix(struct symbols *s, const char *prefix, size_t *count)
{
    return name_range(s, prefix, strlen(prefix), count);
}

/* Of the places in ascending order, the first that is above `addr`. */
static size_t first_above(const struct symbols *s, uint64_t addr)
{
    size_t low = 0, high = s->placed;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (s->by_addr[mid]->addr <= addr)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

const struct symbol *symbols_at(struct symbols *s, uint64_t addr, uint64_t *offset)
{
    build_index(s);
    size_t above = first_above(s, addr);
    if (above == 0)
        return NULL;
    uint64_t start = s->by_addr[above - 1]->addr;
    const struct symbol *a = s->by_addr[start ? first_above(s, start - 1) : 0];
    if (addr >= a->end)
        return NULL;
    if (offset)
        *offset = addr - a->addr;
    return a;
}

bool symbols_link_address(struct symbols *s, unsigned source, const char *name, uint64_t *addr)
{
    for (size_t i = 0; i < s->raw_count; i++)
        if (s->raw[i].source == source && !s->raw[i].fixed && strcmp(s->raw[i].name, name) == 0) {
            *addr = s->raw[i].addr;
            return true;
        }
    return false;
}
