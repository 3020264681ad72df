/* The inside of the editor, shared by editor.c (its thread, and what the loop thread sees of it),
 * editor_keys.c (what is typed) and editor_line.c (how that becomes a line). */
#pragma once

#include "char/editor.h"

#include <histedit.h>
#include <pthread.h>

struct epoll_set;

enum { AHEAD_MAX = 65536 }; /* bytes typed ahead */

/* Why a line ends early. */
enum editor_cut { CUT_NONE, CUT_INTERRUPT, CUT_FOCUS, CUT_QUIT, CUT_STOP };

/* What a line could become. */
struct editor_answers {
    char **lines;
    size_t count;
};

struct editor {
    struct editor_config config;
    struct epoll_set *set; /* notice_fd, for the loop thread */
    int notice_fd, wake_fd;
    pthread_t thread;
    bool interactive;

    pthread_mutex_t lock;
    pthread_cond_t changed;
    enum editor_event event; /* waits to be taken */
    char *text;
    char *prompt; /* of the line that is wanted */
    bool wanted;  /* a line is to be read */
    bool focus, stopping, interrupted, released;
    bool editing; /* libedit has the screen */
    char *news;   /* to be shown above the line that is edited, or NULL */
    bool answered;
    struct editor_answers answers;

    /* The thread's own. */
    EditLine *el;
    History *history;
    enum editor_cut cut;
    bool escape;  /* the last byte was Ctrl-a */
    bool reading; /* a line that does not come from a terminal: else nothing is read ahead */
    bool ended;
    char ahead[AHEAD_MAX];
    size_t ahead_at, ahead_len;
    char *kept_line; /* was being edited when the focus went */
    char shown_prompt[256];
};

/* ---- editor.c ---- */

void editor_drop_answers(struct editor_answers *a);
/* Set or read a flag that is guarded by the lock. */
void editor_set(struct editor *e, bool *flag, bool value);
bool editor_get(struct editor *e, const bool *flag);

/* What follows is for the editor's thread. */

/* Hand over an event, after the one before it was taken. Takes `text`. */
void editor_post(struct editor *e, enum editor_event event, char *text);
/* Something for the loop thread that is not an event: it may be executing a line. */
void editor_notify(struct editor *e, bool *what);

/* ---- editor_keys.c ---- */

/* Wait for input or for a change. False: nothing more will come. */
bool editor_wait_input(struct editor *e);
/* For libedit (EL_GETCFN). A character can take several bytes. */
int editor_get_character(EditLine *el, wchar_t *out);

/* ---- editor_line.c ---- */

void editor_open_libedit(struct editor *e);
void editor_close_libedit(struct editor *e);
/* Read one line and hand it over, or what has come in its place. */
void editor_read_line(struct editor *e);
/* While a line is edited: put what has been told meanwhile above it. */
void editor_show_news(struct editor *e);
