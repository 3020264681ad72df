/* Text in and out of properties: sizes, near names, and the forms that listings show. */
#include "base/alloc.h"
#include "dev/device.h"
#include "dev/dev_internal.h"
#include "mem/region.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- the nearest name ---- */

enum { NAME_MAX_LEN = 64 };

/* Case, and which dash it is, do not matter. */
static char fold(char c)
{
    return c == '_' ? '-' : (char)tolower((unsigned char)c);
}

static unsigned min_of(unsigned a, unsigned b)
{
    return a < b ? a : b;
}

/* Edits that turn one into the other: insert, delete, replace, or swap two neighbours. */
static unsigned edit_distance(const char *a, const char *b)
{
    size_t la = strlen(a), lb = strlen(b);
    unsigned rows[3][NAME_MAX_LEN + 1];
    unsigned *before = rows[0], *above = rows[1], *row = rows[2];
    for (size_t j = 0; j <= lb; j++)
        above[j] = (unsigned)j;
    for (size_t i = 1; i <= la; i++) {
        row[0] = (unsigned)i;
        for (size_t j = 1; j <= lb; j++) {
            bool same = fold(a[i - 1]) == fold(b[j - 1]);
            row[j] = min_of(above[j - 1] + !same, min_of(above[j], row[j - 1]) + 1);
            if (i > 1 && j > 1 && fold(a[i - 1]) == fold(b[j - 2]) &&
                fold(a[i - 2]) == fold(b[j - 1]))
                row[j] = min_of(row[j], before[j - 2] + 1);
        }
        unsigned *oldest = before;
        before = above;
        above = row;
        row = oldest;
    }
    return above[lb];
}

const char *nearest_name(const char *name, const char *const *candidates)
{
    size_t len = strlen(name);
    if (len > NAME_MAX_LEN)
        return NULL;
    /* Every third letter may be wrong. */
    unsigned best = (unsigned)(len + 1) / 3 + 1;
    const char *near = NULL;
    for (; *candidates; candidates++) {
        if (strlen(*candidates) > NAME_MAX_LEN)
            continue;
        unsigned d = edit_distance(name, *candidates);
        if (d < best) {
            best = d;
            near = *candidates;
        }
    }
    return near;
}

struct suggestion suggest_name(const char *name, const char *const *candidates)
{
    struct suggestion s = { "" };
    const char *near = nearest_name(name, candidates);
    if (near)
        snprintf(s.text, sizeof s.text, "; did you mean \"%s\"?", near);
    return s;
}

/* ---- sizes ---- */

static bool parse_number(const char **text, uint64_t *value)
{
    const char *p = *text;
    unsigned base = 10;
    if (p[0] == '0' && (p[1] == 'x' || p[1] == 'X')) {
        base = 16;
        p += 2;
    }
    if (!(base == 16 ? isxdigit((unsigned char)*p) : isdigit((unsigned char)*p)))
        return false;
    *value = 0;
    for (; base == 16 ? isxdigit((unsigned char)*p) : isdigit((unsigned char)*p); p++) {
        unsigned digit =
            isdigit((unsigned char)*p) ? (unsigned)(*p - '0') : (unsigned)(fold(*p) - 'a') + 10;
        if (__builtin_mul_overflow(*value, base, value) ||
            __builtin_add_overflow(*value, digit, value))
            return false;
    }
    *text = p;
    return true;
}

bool parse_unsigned(const char *text, uint64_t *value)
{
    return parse_number(&text, value) && !*text;
}

bool parse_size(const char *text, uint64_t *bytes)
{
    uint64_t n;
    if (!parse_number(&text, &n))
        return false;
    static const char suffixes[] = "kmgt";
    const char *s = *text ? strchr(suffixes, tolower((unsigned char)*text)) : NULL;
    if (*text && (!s || text[1]))
        return false;
    unsigned shift = s ? 10 * (unsigned)(s - suffixes + 1) : 0;
    if (n > UINT64_MAX >> shift)
        return false;
    *bytes = n << shift;
    return true;
}

bool parse_time(const char *text, int64_t *ns)
{
    static const struct {
        const char *name;
        double ns;
    } units[] = { { "ns", 1 }, { "us", 1e3 }, { "ms", 1e6 }, { "s", 1e9 }, { "min", 60e9 } };
    size_t digits = strspn(text, "0123456789.");
    char *end;
    double n = strtod(text, &end);
    if (digits == 0 || end != text + digits)
        return false;
    for (size_t u = 0; u < ARRAY_LEN(units); u++)
        if (!strcmp(end, units[u].name) && n * units[u].ns < 9.2e18) {
            *ns = (int64_t)(n * units[u].ns);
            return true;
        }
    return false;
}

/* In the largest unit of which there is about one at least, to three digits. */
static char *print_size(uint64_t bytes)
{
    static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
    double v = (double)bytes;
    unsigned unit = 0;
    for (; v >= 1000; unit++)
        v /= 1024;
    return alloc_printf("%llu (%.3g %s)", (unsigned long long)bytes, v, units[unit]);
}

/* ---- listings ---- */

static char *print_unsigned(uint64_t v, bool hex)
{
    return hex ? alloc_printf("0x%llx", (unsigned long long)v)
               : alloc_printf("%llu (0x%llx)", (unsigned long long)v, (unsigned long long)v);
}

static char *print_signed(int64_t v, bool hex)
{
    return hex ? alloc_printf("0x%llx", (unsigned long long)v)
               : alloc_printf("%lld (0x%llx)", (long long)v, (unsigned long long)v);
}

char *prop_mac_text(const uint8_t *m)
{
    return alloc_printf("%02x:%02x:%02x:%02x:%02x:%02x", m[0], m[1], m[2], m[3], m[4], m[5]);
}

char *prop_pci_addr_text(int32_t devfn)
{
    return devfn < 0 ? alloc_string("auto")
                     : alloc_printf("%02x.%x", (unsigned)devfn >> 3, (unsigned)devfn & 7);
}

static char *print_array(const struct prop_array *a, bool hex)
{
    char *text = alloc_string("");
    for (size_t i = 0; a && i < a->count; i++) {
        long long v = a->items[i];
        const char *comma = i ? "," : "";
        char *longer = hex ? alloc_printf("%s%s0x%llx", text, comma, (unsigned long long)v)
                           : alloc_printf("%s%s%lld", text, comma, v);
        free(text);
        text = longer;
    }
    return text;
}

char *device_print_prop(const struct device *d, const struct prop *p)
{
    const void *at = (const char *)d + p->offset;
    switch (p->kind) {
    case PROP_BOOL:
        return alloc_string(*(const bool *)at ? "true" : "false");
    case PROP_U8:
        return print_unsigned(*(const uint8_t *)at, p->hex);
    case PROP_U16:
        return print_unsigned(*(const uint16_t *)at, p->hex);
    case PROP_U32:
        return print_unsigned(*(const uint32_t *)at, p->hex);
    case PROP_U64:
        return print_unsigned(*(const uint64_t *)at, p->hex);
    case PROP_I32:
        return print_signed(*(const int32_t *)at, p->hex);
    case PROP_I64:
        return print_signed(*(const int64_t *)at, p->hex);
    case PROP_SIZE:
        return print_size(*(const uint64_t *)at);
    case PROP_PCI_ADDR:
        return prop_pci_addr_text(*(const int32_t *)at);
    case PROP_MAC: {
        const uint8_t *m = at;
        return alloc_printf("\"%02x:%02x:%02x:%02x:%02x:%02x\"", m[0], m[1], m[2], m[3], m[4],
                            m[5]);
    }
    case PROP_ARRAY:
        return print_array(*(const struct prop_array *const *)at, p->hex);
    case PROP_LINK: {
        const struct device *to = *(struct device *const *)at;
        return alloc_printf("\"%s\"", to ? device_name(to) : "");
    }
    case PROP_CHARDEV:
    case PROP_NETDEV:
        return alloc_printf("\"%s\"", prop_object_id(*(void *const *)at));
    case PROP_REGION: {
        const struct region *r = *(struct region *const *)at;
        return alloc_printf("\"%s\"", r ? r->name : "");
    }
    default: {
        const char *s = prop_text(d, p);
        return alloc_printf("\"%s\"", s ? s : "");
    }
    }
}
