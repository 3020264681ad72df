/* A failure of the host or of the configuration, as told to a person.
 *
 * A function that can fail for such a reason returns bool (or a pointer) and takes a `struct error
 * *` as its last parameter. The caller owns it; on success it is untouched. The text names what
 * failed, where, what was found and what would have been right. It is reported once, by who
 * consumes it. */
#pragma once

#include <stdarg.h>

enum error_kind {
    ERROR_CONFIG, /* a wrong option, file or definition: exit status 2 */
    ERROR_HOST,   /* the host refused or lacks something: exit status 4 */
};

struct error {
    enum error_kind kind;
    char text[1024]; /* empty: no error */
};

/* Store a formatted message. Always returns false, so that `return error_set(...)` reads well.
 * A NULL `err` is allowed: the caller does not want to know why. */
__attribute__((format(printf, 2, 3))) _Bool error_set(struct error *err, const char *fmt, ...);

/* Like error_set, for failures of the host; `errno_value` (0: none) appends its description. */
__attribute__((format(printf, 3, 4))) _Bool error_set_host(struct error *err, int errno_value,
                                                           const char *fmt, ...);

/* Put a formatted context before the message already stored: "machines/pc.lua:12: " ... */
__attribute__((format(printf, 2, 3))) void error_prefix(struct error *err, const char *fmt, ...);
