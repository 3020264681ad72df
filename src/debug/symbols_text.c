/* Symbols as people write and read them: "name+0x12/0x80", and what they may have meant. */
#include "debug/symbols.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NAME_MAX_LEN = 512, NEAREST_LEN = 64, MODULE_TEXT = 80 };

char *symbols_format_module(const struct symbols *s, const struct symbol *a, char *buf, size_t size)
{
    const char *module = symbols_source(s, a->source)->module;
    snprintf(buf, size, module ? " [%s]" : "%s", module ? module : "");
    return buf;
}

char *symbols_format(struct symbols *s, uint64_t addr, char *buf, size_t size)
{
    uint64_t offset;
    char module[MODULE_TEXT];
    const struct symbol *a = s ? symbols_at(s, addr, &offset) : NULL;
    if (!a) {
        snprintf(buf, size, "0x%llx", (unsigned long long)addr);
        return buf;
    }
    symbols_format_module(s, a, module, sizeof module);
    if (offset == 0)
        snprintf(buf, size, "%s%s", a->name, module);
    else
        snprintf(buf, size, "%s+0x%llx/0x%llx%s", a->name, (unsigned long long)offset,
                 (unsigned long long)a->size, module);
    return buf;
}

static unsigned min3(unsigned a, unsigned b, unsigned c)
{
    unsigned m = a < b ? a : b;
    return m < c ? m : c;
}

/* Insertions, deletions and replacements between two short strings; more than `limit`: anything
 * above it. */
static unsigned distance(const char *a, size_t na, const char *b, size_t nb, unsigned limit)
{
    unsigned row[NEAREST_LEN + 1];
    for (size_t j = 0; j <= nb; j++)
        row[j] = j;
    for (size_t i = 1; i <= na; i++) {
        unsigned diagonal = row[0], best = row[0] = i;
        for (size_t j = 1; j <= nb; j++) {
            unsigned above = row[j];
            row[j] = min3(above + 1, row[j - 1] + 1, diagonal + (a[i - 1] != b[j - 1]));
            diagonal = above;
            if (row[j] < best)
                best = row[j];
        }
        if (best > limit)
            return limit + 1;
    }
    return row[nb];
}

const char *symbols_nearest(struct symbols *s, const char *name)
{
    size_t len = strlen(name);
    if (len == 0 || len > NEAREST_LEN)
        return NULL;
    const char *nearest = NULL;
    unsigned best = len / 3 + 1; /* a third of the letters may be wrong */
    for (size_t i = 0; i < symbols_count(s) && best > 0; i++) {
        const char *other = symbols_by_name(s, i)->name;
        size_t n = strnlen(other, NEAREST_LEN + 1);
        if (n > NEAREST_LEN || n + best <= len || len + best <= n)
            continue;
        unsigned d = distance(name, len, other, n, best - 1);
        if (d < best) {
            best = d;
            nearest = other;
        }
    }
    return nearest;
}

static bool unknown_name(struct symbols *s, const char *name, struct error *err)
{
    if (!err) /* nobody asks which is the nearest, which takes a while */
        return false;
    if (symbols_count(s) == 0)
        return error_set(err, "no symbol \"%s\": no symbols are loaded", name);
    const char *nearest = symbols_nearest(s, name);
    if (nearest)
        return error_set(err, "no symbol \"%s\"; the nearest known is \"%s\"", name, nearest);
    size_t count, first = symbols_prefix(s, name, &count);
    if (count && *name)
        return error_set(err, "no symbol \"%s\"; %zu begin so, the first is \"%s\"", name, count,
                         symbols_by_name(s, first)->name);
    return error_set(err, "no symbol \"%s\" among %zu", name, symbols_count(s));
}

static bool is_global(const struct symbol *a)
{
    return !islower((unsigned char)a->type);
}

/* The address of a name: of its only place, or of its only global one. */
static bool resolve(struct symbols *s, const char *name, uint64_t *addr, struct error *err)
{
    size_t count;
    const struct symbol *a = symbols_find(s, name, &count);
    if (!a)
        return unknown_name(s, name, err);
    bool only_global = is_global(&a[0]), same = true;
    for (size_t i = 1; i < count; i++) {
        same &= a[i].addr == a[0].addr;
        only_global &= !is_global(&a[i]) || a[i].addr == a[0].addr;
    }
    if (!same && !only_global)
        return error_set(err,
                         "\"%s\" is the name of %zu symbols, at 0x%llx, 0x%llx%s: give an address",
                         name, count, (unsigned long long)a[0].addr, (unsigned long long)a[1].addr,
                         count > 2 ? ", ..." : "");
    *addr = a[0].addr;
    return true;
}

/* A whole string as a number, decimal or 0x hexadecimal, without sign. */
static bool parse_number(const char *text, uint64_t *value)
{
    if (!isdigit((unsigned char)*text))
        return false;
    bool hex = text[0] == '0' && (text[1] == 'x' || text[1] == 'X');
    if (hex && !isxdigit((unsigned char)text[2]))
        return false;
    char *end;
    errno = 0;
    *value = strtoull(text, &end, hex ? 16 : 10);
    return *end == 0 && errno == 0;
}

/* "name+0x10" into its name and what is added to it. */
static bool split(struct symbols *s, const char *text, char name[NAME_MAX_LEN], uint64_t *offset,
                  struct error *err)
{
    /* The last sign: names of other languages than C may contain some. */
    const char *sign = NULL;
    for (const char *p = text; *p; p++)
        if (*p == '+' || *p == '-')
            sign = p;
    *offset = 0;
    if (sign && !parse_number(sign + 1, offset))
        sign = symbols_find(s, text, NULL) ? NULL : sign;
    if (sign && !parse_number(sign + 1, offset))
        return error_set(err, "\"%s\": \"%s\" is not an offset: expected a number such as +0x10",
                         text, sign);
    size_t len = sign ? (size_t)(sign - text) : strlen(text);
    if (len >= NAME_MAX_LEN)
        return error_set(err, "a symbol's name of %zu bytes is too long", len);
    memcpy(name, text, len);
    name[len] = 0;
    if (!sign)
        *offset = 0;
    else if (*sign == '-')
        *offset = -*offset;
    return true;
}

bool symbols_parse(struct symbols *s, const char *text, uint64_t *addr, struct error *err)
{
    char name[NAME_MAX_LEN];
    uint64_t offset;
    if (parse_number(text, addr))
        return true;
    if (!split(s, text, name, &offset, err) || !resolve(s, name, addr, err))
        return false;
    *addr += offset;
    return true;
}

bool symbols_unknown(struct symbols *s, const char *text)
{
    char name[NAME_MAX_LEN];
    uint64_t value;
    return !parse_number(text, &value) && split(s, text, name, &value, NULL) && *name &&
           !symbols_find(s, name, NULL);
}
