/* The program: a loop, Lua, and the command line, which is written in Lua. */
#include "loop/loop.h"
#include "script/script.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { STATUS_HOST = 4 };

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

int main(int argc, char **argv)
{
    char buf[PATH_MAX];
    struct error err = { 0 };
    const char *const dirs[] = { data_dir(buf), NULL };
    struct loop *loop = loop_new(&err);
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
