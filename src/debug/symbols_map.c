/* Symbols from text: lines of "address type name", as nm(1), System.map and /proc/kallsyms have
 * them. nm's lines of undefined symbols, which have no address, are passed over; what follows the
 * name (a module's name in brackets) is ignored. */
#include "debug/symbols_internal.h"

#include "boot/image.h"

#include <ctype.h>
#include <string.h>

#define MAP_FILE_MAX (256ull << 20)

struct line {
    const char *at, *end;
};

static void skip_blanks(struct line *l)
{
    while (l->at < l->end && (*l->at == ' ' || *l->at == '\t' || *l->at == '\r'))
        l->at++;
}

static size_t word_length(const struct line *l)
{
    const char *p = l->at;
    while (p < l->end && !isspace((unsigned char)*p) && *p)
        p++;
    return p - l->at;
}

static bool take_hex(struct line *l, uint64_t *value)
{
    size_t len = word_length(l);
    if (len == 0 || len > 16)
        return false;
    *value = 0;
    for (size_t i = 0; i < len; i++, l->at++) {
        unsigned char c = *l->at;
        if (!isxdigit(c))
            return false;
        *value = *value << 4 | (unsigned)(isdigit(c) ? c - '0' : tolower(c) - 'a' + 10);
    }
    return true;
}

/* False: not a line of this format. */
static bool parse_line(struct symbols *s, struct line l)
{
    struct symbol_def def = { 0 };
    skip_blanks(&l);
    if (l.at == l.end)
        return true;
    bool undefined = word_length(&l) == 1 && strchr("UwvV", *l.at);
    if (!undefined && !take_hex(&l, &def.addr))
        return false;
    skip_blanks(&l);
    if (word_length(&l) != 1 || (!isalpha((unsigned char)*l.at) && !strchr("-?", *l.at)))
        return false;
    def.type = *l.at++;
    skip_blanks(&l);
    def.name = l.at;
    def.len = word_length(&l);
    if (def.len == 0)
        return false;
    if (!undefined)
        symbols_add(s, &def);
    return true;
}

static bool parse_map(struct symbols *s, const struct image *image, struct error *err)
{
    const char *at = (const char *)image->data, *end = at + image->size;
    for (size_t number = 1; at < end; number++) {
        const char *newline = memchr(at, '\n', end - at);
        struct line l = { at, newline ? newline : end };
        if (!parse_line(s, l))
            return error_set(err, "map %s:%zu: expected \"address type name\", found \"%.*s\"",
                             image->path, number, l.end - l.at > 60 ? 60 : (int)(l.end - l.at),
                             l.at);
        at = l.end + 1;
    }
    return symbols_pending(s) || error_set(err, "map %s: no symbols in it", image->path);
}

bool symbols_load_map(struct symbols *s, const char *path, unsigned *source, struct error *err)
{
    struct image image;
    if (!image_open(&image, "map", path, MAP_FILE_MAX, err))
        return false;
    symbols_begin(s, SYMBOLS_MAP, path);
    bool ok = parse_map(s, &image, err);
    image_close(&image);
    return symbols_commit(s, ok, source);
}
