/* One event as a line of text or of JSON. */
#include "trace/trace.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* A line that is being written; what does not fit is left out. */
struct line {
    char *at;
    size_t left;
};

__attribute__((format(printf, 2, 3))) static void put(struct line *l, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(l->at, l->left, fmt, ap);
    va_end(ap);
    size_t used = n < 0 ? 0 : (size_t)n < l->left ? (size_t)n : l->left - 1;
    l->at += used;
    l->left -= used;
}

enum { TEXT_MAX = 160 }; /* bytes shown of one text, so that a line is always whole */

/* Text of a guest or a user: on one line, quoted, with whatever is not plain ASCII as an escape
 * that JSON has too. */
static void put_quoted(struct line *l, const char *text)
{
    put(l, "\"");
    for (const char *p = text; *p && p - text < TEXT_MAX; p++) {
        unsigned char c = (unsigned char)*p;
        if (c == '"' || c == '\\')
            put(l, "\\%c", c);
        else if (c < 0x20 || c >= 0x7f)
            put(l, "\\u%04x", c);
        else
            put(l, "%c", c);
    }
    put(l, "\"");
}

static bool is_plain(const char *text)
{
    for (const char *p = text; *p; p++)
        if (*p <= ' ' || *p == '"' || *p == '\\' || (unsigned char)*p >= 0x7f)
            return false;
    return *text != 0;
}

static void put_text(struct line *l, const char *text, bool json)
{
    if (json || !is_plain(text))
        put_quoted(l, text);
    else
        put(l, "%.*s", TEXT_MAX, text);
}

static void put_value(struct line *l, enum trace_kind kind, uint64_t v, bool json)
{
    const char *text = kind == TRACE_TEXT ? (const char *)(uintptr_t)v : NULL;
    switch (kind) {
    case TRACE_INT:
        put(l, "%" PRId64, (int64_t)v);
        break;
    case TRACE_HEX:
        put(l, json ? "%" PRIu64 : "0x%" PRIx64, v);
        break;
    case TRACE_BOOL:
        put(l, "%s", json ? (v ? "true" : "false") : (v ? "on" : "off"));
        break;
    case TRACE_TEXT:
        put_text(l, text ? text : "", json);
        break;
    case TRACE_DEC:
    case TRACE_BYTES:
        put(l, "%" PRIu64, v);
        break;
    }
}

static void put_plain_line(struct line *l, const struct trace_record *r)
{
    put(l, "%" PRId64 " ", r->time_ns);
    if (r->counted)
        put(l, "%" PRIu64 " ", r->instructions);
    else
        put(l, "- ");
    put_text(l, r->trace->name, false);
    put(l, " %s ", r->event->name);
    put_text(l, r->source, false);
    for (unsigned n = 0; n < trace_arg_count(r->event); n++) {
        put(l, " %s=", r->event->args[n].name);
        put_value(l, r->event->args[n].kind, r->args[n], false);
    }
}

static void put_json_line(struct line *l, const struct trace_record *r)
{
    put(l, "{\"time\":%" PRId64 ",", r->time_ns);
    if (r->counted)
        put(l, "\"instructions\":%" PRIu64 ",", r->instructions);
    put(l, "\"vm\":");
    put_text(l, r->trace->name, true);
    put(l, ",\"event\":\"%s\",\"source\":", r->event->name);
    put_text(l, r->source, true);
    put(l, ",\"args\":{");
    for (unsigned n = 0; n < trace_arg_count(r->event); n++) {
        put(l, "%s\"%s\":", n ? "," : "", r->event->args[n].name);
        put_value(l, r->event->args[n].kind, r->args[n], true);
    }
    put(l, "}}");
}

size_t trace_format(const struct trace_record *r, bool json, char *line, size_t size)
{
    struct line l = { line, size - 1 }; /* the line break always fits */
    if (json)
        put_json_line(&l, r);
    else
        put_plain_line(&l, r);
    *l.at++ = '\n';
    *l.at = 0;
    return (size_t)(l.at - line);
}
