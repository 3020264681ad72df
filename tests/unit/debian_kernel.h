/* Where scripts/fetch-guest puts Debian's kernel; tests that need it skip, visibly, without it. */
#pragma once

#include "test_machine.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static inline const char *debian_kernel(void)
{
    static char path[512];
    const char *cache = getenv("PERILUNE_CACHE"), *xdg = getenv("XDG_CACHE_HOME");
    if (cache)
        snprintf(path, sizeof path, "%s/vmlinuz", cache);
    else
        snprintf(path, sizeof path, "%s%s/perilune/vmlinuz", xdg ? xdg : getenv("HOME"),
                 xdg ? "" : "/.cache");
    if (access(path, R_OK) != 0) {
        print_message("SKIPPED: %s is not there; run scripts/fetch-guest\n", path);
        skip();
    }
    return path;
}
