/* Lines from the person at the terminal: the thread that reads them, and how it and the loop thread
 * talk to each other.
 *
 * While the loop thread executes a line, this thread goes on reading: Ctrl-C must be seen, and what
 * is typed ahead is kept. Everything but what libedit needs is guarded by `lock`, which is held for
 * moments only: the loop thread must not wait for a terminal that takes no output. */
#include "base/alloc.h"
#include "char/editor_internal.h"
#include "char/terminal.h"
#include "loop/epoll_set.h"

#include <errno.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

static void poke(int fd)
{
    uint64_t one = 1;
    while (write(fd, &one, sizeof one) < 0 && errno == EINTR)
        ;
}

/* ---- on both sides ---- */

void editor_set(struct editor *e, bool *flag, bool value)
{
    pthread_mutex_lock(&e->lock);
    *flag = value;
    pthread_mutex_unlock(&e->lock);
}

bool editor_get(struct editor *e, const bool *flag)
{
    pthread_mutex_lock(&e->lock);
    bool value = *flag;
    pthread_mutex_unlock(&e->lock);
    return value;
}

void editor_drop_answers(struct editor_answers *a)
{
    for (size_t i = 0; i < a->count; i++)
        free(a->lines[i]);
    free(a->lines);
    *a = (struct editor_answers){ .lines = NULL };
}

/* ---- the thread ---- */

void editor_post(struct editor *e, enum editor_event event, char *text)
{
    pthread_mutex_lock(&e->lock);
    while (e->event != EDITOR_NOTHING && !e->stopping)
        pthread_cond_wait(&e->changed, &e->lock);
    free(e->text);
    e->event = event;
    e->text = text;
    pthread_mutex_unlock(&e->lock);
    loop_wake(e->config.loop);
}

void editor_notify(struct editor *e, bool *what)
{
    editor_set(e, what, true);
    poke(e->notice_fd);
}

/* Ctrl-C while no line is read: a line that waits to be taken becomes `instead`; one that has been
 * taken and is not done is interrupted. Decided under the lock, so that none escapes in between.
 * False: there is neither. */
static bool abandon_line(struct editor *e, enum editor_event instead)
{
    pthread_mutex_lock(&e->lock);
    bool waits = e->event == EDITOR_LINE, executed = !e->wanted && e->event == EDITOR_NOTHING;
    if (waits) {
        free(e->text);
        e->text = NULL;
        e->event = instead;
    } else if (executed) {
        e->config.interrupt(e->config.opaque);
        e->interrupted = true;
    }
    pthread_mutex_unlock(&e->lock);
    if (executed)
        poke(e->notice_fd);
    return waits || executed;
}
/* Ctrl-C and Ctrl-a, while a line is executed. */
static void watch_execution(struct editor *e)
{
    editor_wait_input(e);
    enum editor_cut cut = e->cut;
    e->cut = CUT_NONE;
    if (cut == CUT_INTERRUPT) {
        /* If one is wanted by now it is as if it had been typed there. */
        if (!abandon_line(e, EDITOR_INTERRUPT) && editor_get(e, &e->wanted))
            e->cut = cut;
    } else if (cut == CUT_FOCUS) {
        editor_notify(e, &e->released);
    } else if (cut == CUT_QUIT) {
        abandon_line(e, EDITOR_NOTHING);
        editor_post(e, EDITOR_QUIT, NULL);
    }
}

static void *run(void *opaque)
{
    struct editor *e = opaque;
    locale_t utf8 = newlocale(LC_CTYPE_MASK, "C.UTF-8", NULL);
    if (utf8)
        uselocale(utf8);
    if (e->interactive)
        editor_open_libedit(e);
    while (!editor_get(e, &e->stopping)) {
        pthread_mutex_lock(&e->lock);
        bool read_one = e->wanted && e->event == EDITOR_NOTHING && e->focus;
        snprintf(e->shown_prompt, sizeof e->shown_prompt, "%s", e->prompt ? e->prompt : "");
        pthread_mutex_unlock(&e->lock);
        if (read_one)
            editor_read_line(e);
        else
            watch_execution(e);
    }
    editor_close_libedit(e);
    uselocale(LC_GLOBAL_LOCALE);
    if (utf8)
        freelocale(utf8);
    return NULL;
}

/* ---- for the loop thread ---- */

static void on_notice(void *opaque)
{
    struct editor *e = opaque;
    uint64_t n;
    while (read(e->notice_fd, &n, sizeof n) < 0 && errno == EINTR)
        ;
    pthread_mutex_lock(&e->lock);
    bool interrupted = e->interrupted, released = e->released;
    e->interrupted = e->released = false;
    pthread_mutex_unlock(&e->lock);
    if (interrupted || released)
        e->config.notice(e->config.opaque, interrupted, released);
}

struct editor *editor_new(const struct editor_config *config, struct error *err)
{
    if (!config->shared && !terminal_claim()) {
        error_set(err, "the monitor cannot have the terminal: a serial port has it; give that one "
                       "another backend, or use --nographic");
        return NULL;
    }
    struct editor *e = ALLOC(struct editor);
    e->config = *config;
    e->config.history = config->history ? alloc_printf("%s", config->history) : NULL;
    e->interactive = isatty(STDIN_FILENO) && isatty(STDOUT_FILENO);
    e->focus = config->focus || !config->shared;
    e->notice_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    e->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    pthread_mutex_init(&e->lock, NULL);
    pthread_cond_init(&e->changed, NULL);
    e->set = epoll_set_new(config->loop, on_notice, e, err);
    bool raw = config->shared || !e->interactive || terminal_raw(STDIN_FILENO, false, err);
    if (e->set && raw) {
        int problem = epoll_set_change(e->set, EPOLL_CTL_ADD, e->notice_fd, EPOLLIN, 0)
                          ? pthread_create(&e->thread, NULL, run, e)
                          : errno;
        if (!problem)
            return e;
        error_set_host(err, problem, "cannot start the monitor's thread");
    }
    e->stopping = true;
    e->thread = pthread_self();
    editor_free(e);
    return NULL;
}

void editor_free(struct editor *e)
{
    if (!e)
        return;
    pthread_mutex_lock(&e->lock);
    e->stopping = true;
    pthread_cond_broadcast(&e->changed);
    pthread_mutex_unlock(&e->lock);
    poke(e->wake_fd);
    if (!pthread_equal(e->thread, pthread_self()))
        pthread_join(e->thread, NULL);
    epoll_set_free(e->set);
    if (!e->config.shared)
        terminal_unclaim();
    else
        terminal_again();
    close(e->notice_fd);
    close(e->wake_fd);
    editor_drop_answers(&e->answers);
    pthread_cond_destroy(&e->changed);
    pthread_mutex_destroy(&e->lock);
    free((char *)e->config.history);
    free(e->kept_line);
    free(e->news);
    free(e->prompt);
    free(e->text);
    free(e);
}

void editor_start(struct editor *e, const char *prompt)
{
    pthread_mutex_lock(&e->lock);
    if (!e->wanted) {
        free(e->prompt);
        e->prompt = alloc_printf("%s", prompt);
        e->wanted = true;
    }
    pthread_mutex_unlock(&e->lock);
    poke(e->wake_fd);
}

bool editor_ready(struct editor *e)
{
    pthread_mutex_lock(&e->lock);
    bool ready = e->event != EDITOR_NOTHING;
    pthread_mutex_unlock(&e->lock);
    return ready;
}

enum editor_event editor_take(struct editor *e, char **text)
{
    pthread_mutex_lock(&e->lock);
    enum editor_event event = e->event;
    *text = e->text;
    e->text = NULL;
    e->event = EDITOR_NOTHING;
    pthread_cond_broadcast(&e->changed);
    pthread_mutex_unlock(&e->lock);
    return event;
}

void editor_answer(struct editor *e, const char *const *lines, size_t n)
{
    pthread_mutex_lock(&e->lock);
    editor_drop_answers(&e->answers);
    e->answers.lines = n ? alloc_resize(NULL, n, sizeof *e->answers.lines) : NULL;
    e->answers.count = n;
    for (size_t i = 0; i < n; i++)
        e->answers.lines[i] = alloc_string(lines[i]);
    e->answered = true;
    pthread_cond_broadcast(&e->changed);
    pthread_mutex_unlock(&e->lock);
}

void editor_tell(struct editor *e, const char *text)
{
    pthread_mutex_lock(&e->lock);
    bool editing = e->editing;
    if (editing) {
        char *news = alloc_printf("%s%s\n", e->news ? e->news : "", text);
        free(e->news);
        e->news = news;
    }
    pthread_mutex_unlock(&e->lock);
    if (editing) {
        poke(e->wake_fd);
    } else {
        printf("%s\n", text);
        fflush(stdout);
    }
}

void editor_focus(struct editor *e, bool focus)
{
    editor_set(e, &e->focus, focus);
    poke(e->wake_fd);
}

bool editor_has_focus(struct editor *e)
{
    return editor_get(e, &e->focus);
}

bool editor_is_interactive(const struct editor *e)
{
    return e->interactive;
}
