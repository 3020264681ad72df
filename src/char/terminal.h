/* The process's terminal: raw mode, and the way back from it. Private to char. */
#pragma once

#include "base/error.h"

#include <stdbool.h>

/* Standard input and output serve one chardev at a time. False: they are taken. */
bool terminal_claim(void);
void terminal_unclaim(void);

/* Put the terminal behind `fd` into raw mode: bytes come one by one and unechoed; Ctrl-C and the
 * like are bytes too unless `keep_signals`. Output processing stays. Signal handlers restore it
 * before the process dies or stops. */
bool terminal_raw(int fd, bool keep_signals, struct error *err);

/* Raw mode is wanted, but the process was in the background when it continued: have it again if it
 * is in the foreground now. */
void terminal_resume(void);

/* Stop the job as Ctrl-Z does; returns when it goes on. The modes are put back meanwhile. */
void terminal_stop(void);

/* Somebody else has changed the modes meanwhile: have raw mode again if it is wanted. */
void terminal_again(void);
