/* The program: a loop, Lua, and the command line, which is written in Lua. */
#define _GNU_SOURCE
#include "loop/loop.h"
#include "script/script.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    STATUS_HOST = 4,
    /* What a machine with a network and a monitor opens, and some: libuv ends the process where it
     * finds no descriptor for its signal pipe, so that is seen to beforehand. */
    DESCRIPTORS_NEEDED = 32,
};

/* Where lua/ and machines/ are: beside an installed binary (bin/../share/perilune), else in the
 * source tree that it was built from. */
static const char *data_dir(char buf[PATH_MAX])
{
    ssize_t n = readlink("/proc/self/exe", buf, PATH_MAX - 1);
    if (n > 0) {
        buf[n] = 0;
        char *slash = strrchr(buf, '/');
        static const char suffix[] = "/../share/perilune";
        static const char probe[] = "/lua/perilune/cli.lua";
        if (slash && slash - buf + sizeof suffix + sizeof probe < PATH_MAX) {
            strcpy(slash, suffix);
            size_t len = strlen(buf);
            strcpy(buf + len, probe);
            struct stat st;
            bool found = stat(buf, &st) == 0;
            buf[len] = 0;
            if (found)
                return buf;
        }
    }
    return PERILUNE_SOURCE_DIR;
}

/* As errno says it when less than DESCRIPTORS_NEEDED can be opened. */
static bool descriptors_suffice(struct error *err)
{
    int fds[DESCRIPTORS_NEEDED], count = 0;
    int first = open("/", O_PATH | O_CLOEXEC);
    for (int fd = first; fd >= 0; fd = fcntl(first, F_DUPFD_CLOEXEC, 0)) {
        fds[count++] = fd;
        if (count == DESCRIPTORS_NEEDED)
            break;
    }
    int why = errno;
    for (int i = 0; i < count; i++)
        close(fds[i]);
    return count == DESCRIPTORS_NEEDED ||
           error_set_host(err, why, "%d file descriptors can be opened, %d are needed (ulimit -n)",
                          count, DESCRIPTORS_NEEDED);
}

int main(int argc, char **argv)
{
    char buf[PATH_MAX];
    struct error err = { 0 };
    const char *const dirs[] = { data_dir(buf), NULL };
    struct loop *loop = descriptors_suffice(&err) ? loop_new(&err) : NULL;
    struct script *script = NULL;
    int status = STATUS_HOST;
    if (loop) {
        machine_lock_take(loop_lock(loop));
        const struct script_config config = { .loop = loop, .lua_dirs = dirs };
        script = script_new(&config, &err);
        if (script)
            status = script_main(script, argc, argv);
        script_free(script);
        machine_lock_release(loop_lock(loop));
    }
    if (!loop || !script)
        fprintf(stderr, "perilune: %s\n", err.text);
    loop_free(loop);
    return status;
}
