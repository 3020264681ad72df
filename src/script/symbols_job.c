/* See symbols_job.h. The thread touches nothing but its own job and the file. */
#include "script/symbols_job.h"

#include "base/alloc.h"
#include "debug/kernel_image.h"

#include <stdlib.h>

/* A kernel image gives its kallsyms and its ORC tables; any other file what symbols it has, and a
 * program its rules for unwinding. */
static void read_file(struct symbols_job *j)
{
    struct kernel_image *k = kernel_image_open(j->path, &j->cancel, NULL);
    if (k && !atomic_load(&j->cancel))
        j->is_kernel = symbols_load_kallsyms_kernel(j->table, k, NULL, NULL);
    j->ok = j->is_kernel;
    if (j->is_kernel && !atomic_load(&j->cancel))
        j->orc = orc_load_kernel(k, NULL);
    kernel_image_close(k);
    if (!j->is_kernel && !atomic_load(&j->cancel)) {
        j->ok = symbols_load(j->table, j->path, NULL, &j->err);
        j->cfi = j->ok ? cfi_load(j->path, NULL) : NULL;
    }
    if (j->ok && !atomic_load(&j->cancel))
        symbols_prepare(j->table);
}

static void *run(void *opaque)
{
    read_file(opaque);
    return NULL;
}

struct symbols_job *symbols_job_new(const char *path)
{
    struct symbols_job *j = ALLOC(struct symbols_job);
    j->path = alloc_string(path);
    j->table = symbols_new();
    j->started = pthread_create(&j->thread, NULL, run, j) == 0;
    if (!j->started)
        read_file(j);
    return j;
}

void symbols_job_wait(struct symbols_job *j)
{
    if (j->started)
        pthread_join(j->thread, NULL);
    j->started = false;
}

void symbols_job_free(struct symbols_job *j)
{
    if (!j)
        return;
    atomic_store(&j->cancel, true);
    symbols_job_wait(j);
    symbols_free(j->table);
    orc_free(j->orc);
    cfi_free(j->cfi);
    free(j->path);
    free(j);
}
