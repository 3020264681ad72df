/* Converting values for properties: from text, numbers and objects to what the instance holds.
 *
 * Each conversion checks all there is to check and changes nothing; a refusal names the device, the
 * property, the value and what would be right. */
#include "base/alloc.h"
#include "base/bits.h"
#include "dev/dev_internal.h"

#include <assert.h>
#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const on_off_auto_names[] = {
    [OOA_AUTO] = "auto", [OOA_ON] = "on", [OOA_OFF] = "off", NULL
};

size_t prop_content_size(enum prop_kind kind)
{
    switch (kind) {
    case PROP_BOOL:
        return sizeof(bool);
    case PROP_U8:
    case PROP_ENUM:
    case PROP_ON_OFF_AUTO:
        return 1;
    case PROP_U16:
        return 2;
    case PROP_U32:
    case PROP_I32:
    case PROP_PCI_ADDR:
        return 4;
    case PROP_MAC:
        return 6;
    case PROP_U64:
    case PROP_I64:
    case PROP_SIZE:
    case PROP_STRING:
    case PROP_LINK:
    case PROP_CHARDEV:
    case PROP_NETDEV:
    case PROP_REGION:
    case PROP_ARRAY:
        return 8;
    }
    assert(!"a property kind that exists");
    return 0;
}

/* A value as messages quote it. */
static const char *describe(struct prop_value v, char *buf, size_t size)
{
    switch (v.type) {
    case VALUE_NONE:
        return "nothing";
    case VALUE_BOOL:
        return v.b ? "true" : "false";
    case VALUE_INT:
        snprintf(buf, size, "%lld", (long long)v.i);
        return buf;
    case VALUE_UINT:
        snprintf(buf, size, "%llu", (unsigned long long)v.u);
        return buf;
    case VALUE_STRING:
        snprintf(buf, size, "'%s'", v.s);
        return buf;
    case VALUE_OBJECT:
        return "an object";
    case VALUE_ARRAY:
        return "a list";
    }
    return "?";
}

__attribute__((format(printf, 5, 6))) static bool wrong(const struct device *d,
                                                        const struct prop *p, struct prop_value v,
                                                        struct error *err, const char *expected_fmt,
                                                        ...)
{
    char value[160], expected[512];
    va_list ap;
    va_start(ap, expected_fmt);
    vsnprintf(expected, sizeof expected, expected_fmt, ap);
    va_end(ap);
    return error_set(err, "%s: property '%s' cannot be %s: %s", device_name(d), p->name,
                     describe(v, value, sizeof value), expected);
}

/* Index of `text` in `names`, -1: none. */
static int index_of(const char *const *names, const char *text)
{
    for (int i = 0; names[i]; i++)
        if (!strcmp(names[i], text))
            return i;
    return -1;
}

static bool convert_bool(const struct device *d, const struct prop *p, struct prop_value v,
                         union prop_content *c, struct error *err)
{
    static const char *const words[] = { "false", "true", "off", "on", "no", "yes", NULL };
    int word = v.type == VALUE_STRING ? index_of(words, v.s) : -1;
    if (v.type == VALUE_BOOL)
        c->b = v.b;
    else if (word >= 0)
        c->b = word & 1;
    else
        return wrong(d, p, v, err, "it is true or false (on, off, yes and no will do)");
    return true;
}

/* The magnitude of a number in `v`, and whether it is below zero. */
static bool number_of(const struct prop *p, struct prop_value v, uint64_t *magnitude,
                      bool *negative)
{
    *negative = false;
    switch (v.type) {
    case VALUE_INT:
        *negative = v.i < 0;
        *magnitude = v.i < 0 ? -(uint64_t)v.i : (uint64_t)v.i;
        return true;
    case VALUE_UINT:
        *magnitude = v.u;
        return true;
    case VALUE_STRING:
        *negative = *v.s == '-';
        if (p->kind == PROP_SIZE)
            return parse_size(v.s, magnitude);
        return parse_unsigned(v.s + *negative, magnitude);
    default:
        return false;
    }
}

static unsigned bits_of(enum prop_kind kind)
{
    return 8 * (unsigned)prop_content_size(kind);
}

static bool convert_signed(const struct device *d, const struct prop *p, struct prop_value v,
                           union prop_content *c, struct error *err)
{
    int64_t max = (int64_t)(bits_mask(bits_of(p->kind)) >> 1), min = -max - 1;
    if (p->min || p->max) {
        min = p->min;
        max = p->max;
    }
    uint64_t magnitude;
    bool negative;
    bool ok = number_of(p, v, &magnitude, &negative);
    ok = ok && magnitude <= (uint64_t)INT64_MAX + negative;
    int64_t value = ok ? (int64_t)(negative ? -magnitude : magnitude) : 0;
    if (!ok || value < min || value > max)
        return wrong(d, p, v, err, "it is a whole number from %lld to %lld", (long long)min,
                     (long long)max);
    if (p->kind == PROP_I32)
        c->i32 = (int32_t)value;
    else
        c->i64 = value;
    return true;
}

static bool convert_unsigned(const struct device *d, const struct prop *p, struct prop_value v,
                             union prop_content *c, struct error *err)
{
    uint64_t min = 0, max = bits_mask(bits_of(p->kind));
    if (p->min || p->max) {
        min = (uint64_t)p->min;
        max = (uint64_t)p->max;
    }
    uint64_t value;
    bool negative;
    bool ok = number_of(p, v, &value, &negative) && !(negative && value);
    if (ok && value >= min && value <= max) {
        /* Little-endian: the low bytes are those that count. */
        c->u64 = value;
        return true;
    }
    const char *what =
        p->kind == PROP_SIZE ? "a size in bytes, or with K, M, G or T after it," : "a whole number";
    if (max <= UINT32_MAX)
        return wrong(d, p, v, err, "it is %s from %llu to %llu", what, (unsigned long long)min,
                     (unsigned long long)max);
    return wrong(d, p, v, err, "it is %s from 0x%llx to 0x%llx", what, (unsigned long long)min,
                 (unsigned long long)max);
}

void join_names(const char *const *names, char *buf, size_t size)
{
    size_t at = 0;
    *buf = 0;
    for (; *names && at < size; names++)
        at += (size_t)snprintf(buf + at, size - at, "%s%s", at ? ", " : "", *names);
}

static bool convert_name(const struct device *d, const struct prop *p, struct prop_value v,
                         const char *const *names, union prop_content *c, struct error *err)
{
    if (v.type == VALUE_BOOL && p->kind == PROP_ON_OFF_AUTO) {
        c->u8 = v.b ? OOA_ON : OOA_OFF;
        return true;
    }
    int i = v.type == VALUE_STRING ? index_of(names, v.s) : -1;
    if (i >= 0) {
        c->u8 = (uint8_t)i;
        return true;
    }
    char all[256];
    join_names(names, all, sizeof all);
    const char *near = v.type == VALUE_STRING ? nearest_name(v.s, names) : NULL;
    if (near)
        return wrong(d, p, v, err, "did you mean '%s'? It is one of %s", near, all);
    return wrong(d, p, v, err, "it is one of %s", all);
}

/* "52:54:00:12:34:56" and nothing else. */
static bool parse_mac(const char *text, uint8_t *mac)
{
    for (unsigned i = 0; i < 6; i++, text += 3) {
        if (!isxdigit((unsigned char)text[0]) || !isxdigit((unsigned char)text[1]) ||
            text[2] != (i < 5 ? ':' : 0))
            return false;
        mac[i] = (uint8_t)strtoul(text, NULL, 16);
    }
    return true;
}

static bool convert_mac(const struct device *d, const struct prop *p, struct prop_value v,
                        union prop_content *c, struct error *err)
{
    if (v.type != VALUE_STRING || !parse_mac(v.s, c->mac))
        return wrong(d, p, v, err,
                     "it is a hardware address of six bytes, such as 52:54:00:12:34:56");
    if (c->mac[0] & 1)
        return wrong(d, p, v, err,
                     "that is a group address; that of a card has an even first byte");
    return true;
}

static bool parse_hex_part(const char **text, unsigned max, unsigned *value)
{
    size_t digits = strspn(*text, "0123456789abcdefABCDEF");
    if (digits == 0 || digits > 2)
        return false;
    *value = (unsigned)strtoul(*text, NULL, 16);
    *text += digits;
    return *value <= max;
}

static bool convert_pci_addr(const struct device *d, const struct prop *p, struct prop_value v,
                             union prop_content *c, struct error *err)
{
    unsigned slot = 0, function = 0;
    bool ok = false;
    if (v.type == VALUE_STRING && !strcmp(v.s, "auto")) {
        c->i32 = -1;
        return true;
    }
    if (v.type == VALUE_STRING) {
        const char *t = v.s;
        ok = parse_hex_part(&t, 31, &slot);
        if (ok && *t == '.') {
            t++;
            ok = parse_hex_part(&t, 7, &function);
        }
        ok = ok && !*t;
    } else if (v.type == VALUE_INT || v.type == VALUE_UINT) {
        ok = v.u < 32;
        slot = (unsigned)(v.u & 31);
    }
    if (!ok)
        return wrong(d, p, v, err,
                     "it is a slot from 0 to 1f (hexadecimal) with an optional function from 0 "
                     "to 7, such as 03.0, or auto");
    c->i32 = (int32_t)(slot << 3 | function);
    return true;
}

static bool is_any_of(const struct device *d, const char *const *types)
{
    while (*types && !device_is_a(d, *types))
        types++;
    return *types;
}

static bool convert_link(const struct device *d, const struct prop *p, struct prop_value v,
                         union prop_content *c, struct error *err)
{
    struct device *to = NULL;
    if (v.type == VALUE_OBJECT) {
        to = v.object;
    } else if (v.type == VALUE_STRING && *v.s) {
        to = device_find(d->machine, v.s, err);
        if (!to) {
            error_prefix(err, "%s: property '%s': ", device_name(d), p->name);
            return false;
        }
    } else if (v.type != VALUE_NONE && v.type != VALUE_STRING) {
        return wrong(d, p, v, err, "it is a device, by object, path or id");
    }
    if (to && p->names && !is_any_of(to, p->names))
        return wrong(d, p, v, err, "%s is of type %s, not a %s", device_name(to), to->type->name,
                     p->names[0]);
    if (to && to->machine != d->machine)
        return wrong(d, p, v, err, "%s is a device of another machine", device_name(to));
    c->object = to;
    return true;
}

static bool convert_object(const struct device *d, const struct prop *p, struct prop_value v,
                           union prop_content *c, struct error *err)
{
    if (v.type != VALUE_OBJECT && v.type != VALUE_NONE)
        return wrong(d, p, v, err, "an object is needed: a %s",
                     p->kind == PROP_CHARDEV  ? "character backend"
                     : p->kind == PROP_NETDEV ? "network backend"
                                              : "memory region");
    c->object = v.type == VALUE_OBJECT ? v.object : NULL;
    return true;
}

/* ---- arrays ---- */

static bool add_item(const struct prop *p, struct prop_array *a, bool negative, uint64_t magnitude)
{
    if (magnitude > (uint64_t)INT64_MAX + negative)
        return false;
    int64_t v = (int64_t)(negative ? -magnitude : magnitude);
    a->items[a->count++] = v;
    return !(p->min || p->max) || (v >= p->min && v <= p->max);
}

/* "1,2,-3"; at most one item per two characters. */
static bool parse_array(const struct prop *p, const char *text, struct prop_array *a)
{
    while (*text) {
        char item[32];
        size_t len = strcspn(text, ",");
        bool negative = *text == '-';
        uint64_t magnitude;
        if (len >= sizeof item)
            return false;
        memcpy(item, text, len);
        item[len] = 0;
        if (!parse_unsigned(item + negative, &magnitude) || !add_item(p, a, negative, magnitude))
            return false;
        text += len;
        if (*text && !*++text)
            return false; /* a comma at the end */
    }
    return true;
}

static bool take_items(const struct prop *p, struct prop_value v, struct prop_array *a)
{
    if (v.type == VALUE_STRING)
        return parse_array(p, v.s, a);
    if (v.type == VALUE_INT)
        return add_item(p, a, v.i < 0, v.i < 0 ? -(uint64_t)v.i : (uint64_t)v.i);
    if (v.type == VALUE_UINT)
        return add_item(p, a, false, v.u);
    if (v.type != VALUE_ARRAY)
        return false;
    for (size_t i = 0; v.array && i < v.array->count; i++) {
        int64_t n = v.array->items[i];
        if (!add_item(p, a, n < 0, n < 0 ? -(uint64_t)n : (uint64_t)n))
            return false;
    }
    return true;
}

static bool convert_array(const struct device *d, const struct prop *p, struct prop_value v,
                          union prop_content *c, struct error *err)
{
    size_t most = v.type == VALUE_STRING  ? strlen(v.s) / 2 + 1
                  : v.type == VALUE_ARRAY ? (v.array ? v.array->count : 0)
                                          : 1;
    struct prop_array *a = alloc_zero(1, sizeof *a + most * sizeof a->items[0]);
    if (v.type == VALUE_NONE)
        v = (struct prop_value){ .type = VALUE_ARRAY };
    bool ok = take_items(p, v, a);
    if (ok && a->count) {
        c->array = a;
        return true;
    }
    free(a);
    if (ok)
        return true;
    if (p->min || p->max)
        return wrong(d, p, v, err, "it is whole numbers from %lld to %lld, such as 1,2",
                     (long long)p->min, (long long)p->max);
    return wrong(d, p, v, err, "it is whole numbers, such as 1,2");
}

bool prop_convert(const struct device *d, const struct prop *p, struct prop_value v,
                  union prop_content *c, struct error *err)
{
    *c = (union prop_content){ .u64 = 0 };
    switch (p->kind) {
    case PROP_BOOL:
        return convert_bool(d, p, v, c, err);
    case PROP_I32:
    case PROP_I64:
        return convert_signed(d, p, v, c, err);
    case PROP_STRING:
        if (v.type != VALUE_STRING)
            return wrong(d, p, v, err, "it is text");
        c->s = alloc_string(v.s);
        return true;
    case PROP_ENUM:
        return convert_name(d, p, v, p->names, c, err);
    case PROP_ON_OFF_AUTO:
        return convert_name(d, p, v, on_off_auto_names, c, err);
    case PROP_MAC:
        return convert_mac(d, p, v, c, err);
    case PROP_PCI_ADDR:
        return convert_pci_addr(d, p, v, c, err);
    case PROP_LINK:
        return convert_link(d, p, v, c, err);
    case PROP_CHARDEV:
    case PROP_NETDEV:
    case PROP_REGION:
        return convert_object(d, p, v, c, err);
    case PROP_ARRAY:
        return convert_array(d, p, v, c, err);
    default:
        return convert_unsigned(d, p, v, c, err);
    }
}
