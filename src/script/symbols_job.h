/* Reading a file of symbols on a thread of its own, without the machine lock: unpacking and sorting
 * a kernel takes a second, in which guests run on. */
#pragma once

#include "base/error.h"
#include "debug/cfi.h"
#include "debug/orc.h"
#include "debug/symbols.h"

#include <pthread.h>
#include <stdatomic.h>

struct symbols_job {
    char *path;
    pthread_t thread;
    bool started;
    atomic_bool cancel;
    /* What it has found, once symbols_job_wait() has returned: for whoever takes it. */
    bool ok, is_kernel;
    struct error err;      /* unless ok */
    struct symbols *table; /* one source, sorted */
    struct orc *orc;       /* of a kernel, or NULL */
    struct cfi *cfi;       /* of a program, or NULL */
};

/* Begin. Where the host gives no thread it is done at once. */
struct symbols_job *symbols_job_new(const char *path);
/* It has ended. Any thread, once. */
void symbols_job_wait(struct symbols_job *j);
/* Waits if nobody has, cancelling what is under way. NULL is allowed. */
void symbols_job_free(struct symbols_job *j);
