/* Lines to standard error or to a file.
 *
 * A file is written through a buffer of fixed size; nothing is queued, so a flood of events fills
 * the disk and not the memory. */
#include "trace/trace.h"

#include "base/alloc.h"
#include "base/log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LINE_MAX_BYTES = 10240 };

static const char *path_of(const struct trace_output *o)
{
    return o->path ? o->path : "standard error";
}

static void give_up(struct trace_output *o)
{
    if (!o->failed)
        log_host(LOG_ERROR, "trace", "cannot write to \"%s\": %s; no more events go there",
                 path_of(o), strerror(errno));
    o->failed = true;
}

static void write_line(void *opaque, const struct trace_record *r)
{
    struct trace_output *o = opaque;
    char line[LINE_MAX_BYTES];
    if (o->failed)
        return;
    size_t len = trace_format(r, o->json, line, sizeof line);
    if (fwrite(line, 1, len, o->file ? o->file : stderr) != len)
        give_up(o);
}

static void flush(void *opaque)
{
    trace_output_flush(opaque);
}

static bool open_file(const char *path, FILE **file, struct error *err)
{
    *file = path ? fopen(path, "w") : NULL;
    return *file || !path || error_set_host(err, errno, "trace: cannot write \"%s\"", path);
}

static void close_file(struct trace_output *o)
{
    trace_output_flush(o);
    if (o->file)
        fclose(o->file);
    free(o->path);
    o->file = o->path = NULL;
}

static void use_file(struct trace_output *o, const char *path, FILE *file)
{
    o->path = path ? alloc_string(path) : NULL;
    o->file = file;
    o->failed = false;
}

struct trace_output *trace_output_new(struct trace *t, const char *path, bool json,
                                      struct error *err)
{
    FILE *file;
    if (!open_file(path, &file, err))
        return NULL;
    struct trace_output *o = ALLOC(struct trace_output);
    o->json = json;
    use_file(o, path, file);
    o->listener = (struct trace_listener){ .event = write_line, .flush = flush, .opaque = o };
    trace_attach(t, &o->listener);
    return o;
}

bool trace_output_move(struct trace_output *o, const char *path, struct error *err)
{
    FILE *file;
    if (!open_file(path, &file, err))
        return false;
    close_file(o);
    use_file(o, path, file);
    return true;
}

void trace_output_flush(struct trace_output *o)
{
    if (o->file && !o->failed && fflush(o->file) != 0)
        give_up(o);
}

void trace_output_free(struct trace_output *o)
{
    if (!o)
        return;
    trace_detach(&o->listener);
    close_file(o);
    free(o);
}
