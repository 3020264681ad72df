/* Named events that tell what a machine does: docs/tracing.md.
 *
 * A module declares its events as a constant table and fires them with TRACE(). Who wants to hear
 * of them (a text output, a script) is a listener of one machine's `struct trace`, and selects
 * events by patterns.
 *
 * One byte per event says whether anybody, of whatever machine, listens to it. It is process-wide
 * on purpose, beside the log the one state that is: the test of an event that is off is then one
 * byte at a fixed address, also where no pointer to a machine is at hand (an IRQ line, the cpu's
 * TLB), and costs one branch that is predicted. The bytes hold nothing of their own, they only sum
 * up the listeners. Whose event it is comes with the event (struct trace_source) and is looked at
 * when somebody listens, so that several machines in a process do not hear of one another.
 *
 * The machine lock guards all of it. TRACE() may be used on any thread, with or without the lock:
 * an event that is on takes it. */
#pragma once

#include "base/bits.h"
#include "base/error.h"

#include <stdatomic.h>

struct machine_lock;
struct trace_listener;
struct trace_table;

enum {
    TRACE_ARGS_MAX = 6,
    TRACE_TABLE_MAX = 16,  /* events in one table */
    TRACE_TABLES_MAX = 64, /* tables in all */
};

/* How an argument is written. Values travel as 64 bits; text is passed by trace_text(). */
enum trace_kind {
    TRACE_DEC = 1, /* unsigned */
    TRACE_INT,     /* signed */
    TRACE_HEX,
    TRACE_BOOL,
    TRACE_TEXT,
    TRACE_BYTES, /* a number of bytes */
};

struct trace_arg {
    const char *name;
    enum trace_kind kind;
};

struct trace_event {
    const char *name;                      /* "e1000.tx_frame" */
    const char *help;                      /* one line */
    struct trace_arg args[TRACE_ARGS_MAX]; /* ends with a name that is NULL, or is full */
};

/* The events of a module. */
struct trace_table {
    const struct trace_event *events;
    unsigned count;
    atomic_uchar on[TRACE_TABLE_MAX];
    unsigned users[TRACE_TABLE_MAX]; /* listeners of all machines that have it on */
};

#define TRACE_TABLE(list)                             \
    {                                                 \
        .events = (list), .count = ARRAY_LEN((list)), \
    }

/* What tells events of one machine apart from those of another. The owner (the VM) fills it. */
struct trace {
    const char *name; /* of the machine */
    /* All tables that there are, by number; NULL beyond the last. */
    struct trace_table *(*table)(size_t n);
    int64_t (*now)(void *opaque); /* virtual time */
    /* Retired instructions; false where they are not known. */
    bool (*instructions)(void *opaque, uint64_t *count);
    void *opaque;
    struct machine_lock *lock; /* NULL: the caller of everything has it */
    /* private */
    struct trace_listener **listeners; /* in order of adding; NULL: removed while one was told */
    size_t count, capacity;
    unsigned telling; /* nested */
};

/* Where an event comes from. */
struct trace_source {
    struct trace *trace; /* NULL: of no machine that could be traced */
    const char *who;     /* a device's path, "cpu0", a link's name; stays during the call */
};

/* An event as a listener sees it. All pointers hold during the call. */
struct trace_record {
    const struct trace *trace;
    const struct trace_event *event;
    const char *source;
    int64_t time_ns;
    bool counted;
    uint64_t instructions; /* when `counted` */
    const uint64_t *args;
};

/* ---- firing ---- */

static inline bool trace_is_on(const struct trace_table *t, unsigned event)
{
    return UNLIKELY(atomic_load_explicit(&t->on[event], memory_order_relaxed));
}

static inline uint64_t trace_text(const char *text)
{
    return (uintptr_t)text;
}

/* The slow half of TRACE(). */
__attribute__((cold)) void trace_fire(const struct trace_table *t, unsigned event,
                                      struct trace_source from, const uint64_t *args, size_t count);

/* Event number `event` of `table` has happened at `source` (a struct trace_source), with its
 * arguments in the order of their declaration. Neither is evaluated while nobody listens. */
#define TRACE(table, event, source, ...)                                               \
    do {                                                                               \
        if (trace_is_on(&(table), (event)))                                            \
            trace_fire(&(table), (event), (source), (const uint64_t[]){ __VA_ARGS__ }, \
                       sizeof((const uint64_t[]){ __VA_ARGS__ }) / sizeof(uint64_t));  \
    } while (0)

/* ---- listening ---- */

struct trace_listener {
    void (*event)(void *opaque, const struct trace_record *r);
    void (*flush)(void *opaque); /* keep nothing back; NULL: never does */
    void *opaque;
    struct trace *trace;              /* NULL: attached to none */
    uint64_t wants[TRACE_TABLES_MAX]; /* by number of the table, a bit for each event */
    uint64_t hits;
};

/* The struct is the caller's and hears of nothing yet. */
void trace_attach(struct trace *t, struct trace_listener *l);

/* Harmless twice, and when called from the listener's own callback: it is not called again. */
void trace_detach(struct trace_listener *l);

/* Switch on what matches `patterns`: "e1000.*,-e1000.reg_*" are globs (* ? [..]), taken in their
 * order; a leading '-' switches off. `on` false turns all of that around. False, and nothing has
 * changed: `unmatched` (of `size` bytes) gets a pattern that matches no event. */
bool trace_select(struct trace_listener *l, const char *patterns, bool on, char *unmatched,
                  size_t size);

static inline bool trace_wants(const struct trace_listener *l, size_t table, unsigned event)
{
    return l->wants[table] >> event & 1;
}

/* Listeners of `t` that have the event on. */
unsigned trace_listeners(const struct trace *t, size_t table, unsigned event);

static inline unsigned trace_arg_count(const struct trace_event *e)
{
    unsigned n = 0;
    while (n < TRACE_ARGS_MAX && e->args[n].name)
        n++;
    return n;
}

/* Have listeners keep nothing back: the machine stands still now. */
void trace_flush(struct trace *t);

/* Forgets its listeners, which stay their owners'. */
void trace_fini(struct trace *t);

/* ---- as text ---- */

/* Write the record as one line with its line break: "TIME INSTRUCTIONS VM EVENT SOURCE name=value
 * ...", or a JSON object. Cut to fit `size`, which is more than 64. Returns the length. */
size_t trace_format(const struct trace_record *r, bool json, char *line, size_t size);

/* ---- outputs ---- */

/* A listener that writes lines to standard error or a file. */
struct trace_output {
    struct trace_listener listener; /* what trace_select() is for */
    char *path;                     /* NULL: standard error */
    bool json;
    /* private */
    void *file; /* a FILE; NULL: standard error */
    bool failed;
};

/* Attached to `t`, with nothing selected. The file is truncated. NULL with an error that names it.
 */
struct trace_output *trace_output_new(struct trace *t, const char *path, bool json,
                                      struct error *err);

/* Go on in another file (NULL: standard error). False: it goes on where it was. */
bool trace_output_move(struct trace_output *o, const char *path, struct error *err);

/* Give to the host what is kept. A file that cannot be written any more (a full disk) is reported
 * once, and gets nothing more. */
void trace_output_flush(struct trace_output *o);

/* NULL is allowed. */
void trace_output_free(struct trace_output *o);
