/* Lines from the person at the terminal: editing, history and completion on a thread of its own.
 *
 * The thread reads standard input and never touches a machine. What it has read waits until the
 * loop thread takes it; one event at a time. The terminal may be shared with a stdio backend: then
 * one of the two reads it at a time (the focus), and Ctrl-a c hands it over. Without a terminal
 * lines come from standard input as they are. */
#pragma once

#include "base/error.h"
#include "loop/loop.h"

#include <stdbool.h>
#include <stddef.h>

struct editor;

enum editor_event {
    EDITOR_NOTHING,
    EDITOR_LINE,      /* text: the line */
    EDITOR_END,       /* no more input */
    EDITOR_INTERRUPT, /* Ctrl-C at the prompt */
    EDITOR_COMPLETE,  /* text: the line up to the cursor; editor_answer() must follow */
    EDITOR_QUIT,      /* Ctrl-a x */
};

struct editor_config {
    struct loop *loop;
    const char *history; /* file, or NULL: none is kept */
    bool shared;         /* a stdio backend has put the terminal into raw mode */
    bool focus;          /* begin with the focus */
    /* Ctrl-C while a line is being executed: taken, and no next one asked for. On the editor's
     * thread, without the machine lock; must only note it. */
    void (*interrupt)(void *opaque);
    /* The same, later, on the loop thread with the lock: `interrupted` if there was a Ctrl-C,
     * `released` if the focus was given up. */
    void (*notice)(void *opaque, bool interrupted, bool released);
    void *opaque;
};

struct editor *editor_new(const struct editor_config *config, struct error *err);
/* Ends the thread and puts the terminal back, unless it is shared. NULL is allowed. */
void editor_free(struct editor *e);

/* Ask for a line; harmless while one is being read. */
void editor_start(struct editor *e, const char *prompt);
/* May the loop thread take something? */
bool editor_ready(struct editor *e);
/* Take it; *text is the caller's to free, or NULL. */
enum editor_event editor_take(struct editor *e, char **text);
/* What the line up to the cursor could become: whole lines. */
void editor_answer(struct editor *e, const char *const *lines, size_t n);
/* Say something unasked: above the line that is being edited. */
void editor_tell(struct editor *e, const char *text);
/* Take or give up the focus. */
void editor_focus(struct editor *e, bool focus);
bool editor_has_focus(struct editor *e);
/* Somebody types: it is a terminal. */
bool editor_is_interactive(const struct editor *e);
