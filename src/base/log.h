/* Messages to the person who runs the machine, on standard error (or the file given by --log).
 *
 * The process has one such stream, so this is one of the two places with process-wide state; every
 * function may be called from any thread. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

/* Messages above `level` are dropped. Default LOG_WARN. */
void log_set_level(enum log_level level);

/* Send messages to `path`, appended. False (and errno) when it cannot be opened. */
bool log_set_file(const char *path);

/* Something the host or the user should know. `who` names the part: "slirp", "kvm", a path. */
__attribute__((format(printf, 3, 4))) void log_host(enum log_level level, const char *who,
                                                    const char *fmt, ...);

/* The guest did something the hardware would not like. Printed (as a warning) the first time this
 * `who` meets this `fmt`; later ones are only counted, so a guest cannot flood the log. `fmt` must
 * be a string literal: its address is the identity of the message. */
__attribute__((format(printf, 2, 3))) void log_guest(const char *who, const char *fmt, ...);

/* How many guest messages there were, those not printed included. */
uint64_t log_guest_count(void);
