/* Messages to the person who runs the machine. */
#include "base/log.h"

#include "base/alloc.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One (message, sender) pair that a guest has caused at least once. */
struct guest_message {
    const char *fmt;
    char *who;
};

static struct {
    pthread_mutex_t lock;
    FILE *file; /* NULL: standard error */
    enum log_level level;
    struct guest_message *seen;
    size_t seen_count, seen_cap;
    uint64_t guest_count;
} log_state = { .lock = PTHREAD_MUTEX_INITIALIZER, .level = LOG_WARN };

/* A guest that makes up ever new senders cannot grow the table beyond this. */
enum { LOG_GUEST_KINDS_MAX = 1024 };

static const char *const level_names[] = { "error", "warning", "info", "debug" };

void log_set_level(enum log_level level)
{
    pthread_mutex_lock(&log_state.lock);
    log_state.level = level;
    pthread_mutex_unlock(&log_state.lock);
}

bool log_set_file(const char *path)
{
    FILE *f = fopen(path, "a");
    if (!f)
        return false;
    setvbuf(f, NULL, _IOLBF, 0);
    pthread_mutex_lock(&log_state.lock);
    if (log_state.file)
        fclose(log_state.file);
    log_state.file = f;
    pthread_mutex_unlock(&log_state.lock);
    return true;
}

/* Called with the lock held. */
static void write_line(enum log_level level, const char *who, const char *fmt, va_list ap)
{
    char line[1024];
    vsnprintf(line, sizeof line, fmt, ap);
    fprintf(log_state.file ? log_state.file : stderr, "perilune: %s: %s: %s\n", level_names[level],
            who, line);
}

void log_host(enum log_level level, const char *who, const char *fmt, ...)
{
    pthread_mutex_lock(&log_state.lock);
    if (level <= log_state.level) {
        va_list ap;
        va_start(ap, fmt);
        write_line(level, who, fmt, ap);
        va_end(ap);
    }
    pthread_mutex_unlock(&log_state.lock);
}

static bool first_time(const char *who, const char *fmt)
{
    for (size_t i = 0; i < log_state.seen_count; i++)
        if (log_state.seen[i].fmt == fmt && !strcmp(log_state.seen[i].who, who))
            return false;
    if (log_state.seen_count == LOG_GUEST_KINDS_MAX)
        return false;
    ALLOC_GROW(log_state.seen, log_state.seen_count, log_state.seen_cap);
    log_state.seen[log_state.seen_count++] = (struct guest_message){ fmt, alloc_string(who) };
    return true;
}

void log_guest(const char *who, const char *fmt, ...)
{
    pthread_mutex_lock(&log_state.lock);
    log_state.guest_count++;
    if (LOG_WARN <= log_state.level && first_time(who, fmt)) {
        va_list ap;
        va_start(ap, fmt);
        write_line(LOG_WARN, who, fmt, ap);
        va_end(ap);
    }
    pthread_mutex_unlock(&log_state.lock);
}

uint64_t log_guest_count(void)
{
    pthread_mutex_lock(&log_state.lock);
    uint64_t n = log_state.guest_count;
    pthread_mutex_unlock(&log_state.lock);
    return n;
}
