/* Lines from the person at the terminal, through libedit (editline(3), el_init(3)).
 *
 * libedit waits in the function that gives it characters, get_character(). That one polls standard
 * input only while the editor has the focus, and an eventfd by which the loop thread says that
 * something has changed. To end a line early it returns 0, having noted why in `cut`.
 *
 * While the loop thread executes a line, this thread goes on reading: Ctrl-C must be seen, and what
 * is typed ahead is kept. Everything but what libedit needs is guarded by `lock`. */
#include "char/editor.h"

#include "base/alloc.h"
#include "char/terminal.h"
#include "loop/epoll_set.h"

#include <errno.h>
#include <histedit.h>
#include <locale.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>
#include <wchar.h>

enum {
    CTRL_A = 1,
    CTRL_C = 3,
    CTRL_Z = 26,
    AHEAD_MAX = 65536,      /* bytes typed ahead */
    LINE_MAX_LEN = 1 << 20, /* of a line that does not come from a terminal */
    HISTORY_LINES = 2000,
};

enum cut { CUT_NONE, CUT_INTERRUPT, CUT_FOCUS, CUT_QUIT, CUT_STOP };

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
    bool answered;
    char **answers;
    size_t answer_count;

    /* The thread's own. */
    EditLine *el;
    History *history;
    enum cut cut;
    bool escape;  /* the last byte was Ctrl-a */
    bool editing; /* libedit reads a line */
    bool reading; /* a line that does not come from a terminal: else nothing is read ahead */
    bool ended;
    char ahead[AHEAD_MAX];
    size_t ahead_at, ahead_len;
    char *kept_line; /* was being edited when the focus went */
    char shown_prompt[256];
};

static void poke(int fd)
{
    uint64_t one = 1;
    while (write(fd, &one, sizeof one) < 0 && errno == EINTR)
        ;
}

static void drain(int fd)
{
    uint64_t n;
    while (read(fd, &n, sizeof n) < 0 && errno == EINTR)
        ;
}

/* ---- events ---- */

/* Hand over an event, after the one before it was taken. Takes `text`. */
static void post(struct editor *e, enum editor_event event, char *text)
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

/* Something for the loop thread that is not an event: it may be executing a line. */
static void notify(struct editor *e, bool *what)
{
    pthread_mutex_lock(&e->lock);
    *what = true;
    pthread_mutex_unlock(&e->lock);
    poke(e->notice_fd);
}

static bool is_stopping(struct editor *e)
{
    pthread_mutex_lock(&e->lock);
    bool stopping = e->stopping;
    pthread_mutex_unlock(&e->lock);
    return stopping;
}

static void on_notice(void *opaque)
{
    struct editor *e = opaque;
    drain(e->notice_fd);
    pthread_mutex_lock(&e->lock);
    bool interrupted = e->interrupted, released = e->released;
    e->interrupted = e->released = false;
    pthread_mutex_unlock(&e->lock);
    if (interrupted || released)
        e->config.notice(e->config.opaque, interrupted, released);
}

/* ---- what is typed ---- */

static void type_ahead(struct editor *e, char c)
{
    if (e->ahead_at == e->ahead_len)
        e->ahead_at = e->ahead_len = 0;
    if (e->ahead_len < AHEAD_MAX)
        e->ahead[e->ahead_len++] = c;
}

static void release_focus(struct editor *e)
{
    if (!e->config.shared)
        return;
    pthread_mutex_lock(&e->lock);
    e->focus = false;
    pthread_mutex_unlock(&e->lock);
    e->cut = CUT_FOCUS;
}

static void typed_escape(struct editor *e, char c)
{
    if (c == 'c')
        release_focus(e);
    else if (c == 'x')
        e->cut = CUT_QUIT;
    else if (c == CTRL_A)
        type_ahead(e, c);
    else if (c == 'h')
        fputs("\r\nCtrl-a c  to the serial port\r\nCtrl-a x  end the machine\r\n", stdout);
}

static void typed(struct editor *e, char c)
{
    if (e->escape) {
        e->escape = false;
        typed_escape(e, c);
    } else if (c == CTRL_A && e->config.shared) {
        e->escape = true;
    } else if (c == CTRL_C) {
        e->ahead_at = e->ahead_len = 0;
        e->cut = CUT_INTERRUPT;
    } else if (c == CTRL_Z && !e->editing) {
        terminal_stop();
    } else {
        type_ahead(e, c);
    }
}

/* Wait for input or for a change. False: nothing more will come. */
static bool wait_input(struct editor *e)
{
    pthread_mutex_lock(&e->lock);
    bool focus = e->focus && !e->ended && (e->interactive || e->reading);
    pthread_mutex_unlock(&e->lock);
    struct pollfd p[2] = { { .fd = e->wake_fd, .events = POLLIN },
                           { .fd = focus ? STDIN_FILENO : -1, .events = POLLIN } };
    if (poll(p, 2, -1) < 0)
        return errno == EINTR;
    if (p[0].revents)
        drain(e->wake_fd);
    if (is_stopping(e)) {
        e->cut = CUT_STOP;
        return false;
    }
    if (!p[1].revents)
        return true;
    char block[256];
    /* What follows Ctrl-a c is for the other one. */
    ssize_t n = read(STDIN_FILENO, block, e->config.shared && e->interactive ? 1 : sizeof block);
    for (ssize_t i = 0; i < n; i++) {
        if (e->interactive)
            typed(e, block[i]);
        else
            type_ahead(e, block[i]);
    }
    e->ended = n == 0 || (n < 0 && errno != EINTR && errno != EAGAIN);
    return !e->ended;
}

/* For libedit. A character can take several bytes. */
static int get_character(EditLine *el, wchar_t *out)
{
    void *data;
    el_get(el, EL_CLIENTDATA, &data);
    struct editor *e = data;
    mbstate_t state = { 0 };
    for (;;) {
        if (e->cut)
            return 0;
        if (e->ahead_at < e->ahead_len) {
            size_t n = mbrtowc(out, &e->ahead[e->ahead_at++], 1, &state);
            if (n == (size_t)-2)
                continue;
            if (n != (size_t)-1)
                return 1;
            memset(&state, 0, sizeof state); /* not UTF-8: drop it */
        } else if (e->ended || !wait_input(e)) {
            return 0;
        }
    }
}

/* ---- completion ---- */

static size_t common_length(struct editor *e)
{
    size_t n = e->answer_count ? strlen(e->answers[0]) : 0;
    for (size_t i = 1; i < e->answer_count; i++)
        for (size_t k = 0; k < n; k++)
            if (e->answers[i][k] != e->answers[0][k])
                n = k;
    return n;
}

/* The candidates below the line; of each only its last word. */
static void list_answers(struct editor *e)
{
    enum { SHOWN = 200, COLUMNS = 78 };
    size_t column = 0;
    fputs("\r\n", stdout);
    for (size_t i = 0; i < e->answer_count && i < SHOWN; i++) {
        const char *space = strrchr(e->answers[i], ' ');
        const char *word = space ? space + 1 : e->answers[i];
        if (column && column + strlen(word) + 2 > COLUMNS) {
            fputs("\r\n", stdout);
            column = 0;
        }
        column += (size_t)printf("%s  ", word);
    }
    if (e->answer_count > SHOWN)
        printf("... %zu more", e->answer_count - SHOWN);
    fputs("\r\n", stdout);
    fflush(stdout);
}

static unsigned char complete(EditLine *el, int key)
{
    (void)key;
    void *data;
    el_get(el, EL_CLIENTDATA, &data);
    struct editor *e = data;
    const LineInfo *line = el_line(el);
    size_t len = (size_t)(line->cursor - line->buffer);
    pthread_mutex_lock(&e->lock);
    e->answered = false;
    pthread_mutex_unlock(&e->lock);
    post(e, EDITOR_COMPLETE, alloc_printf("%.*s", (int)len, line->buffer));
    pthread_mutex_lock(&e->lock);
    while (!e->answered && !e->stopping)
        pthread_cond_wait(&e->changed, &e->lock);
    size_t common = e->stopping ? 0 : common_length(e);
    unsigned char result = CC_REFRESH_BEEP;
    if (common > len) {
        el_insertstr(el, e->answers[0] + len);
        if (strlen(e->answers[0]) > common)
            el_deletestr(el, (int)(strlen(e->answers[0]) - common));
        result = CC_REFRESH;
    } else if (!e->stopping && e->answer_count > 1) {
        list_answers(e);
        result = CC_REDISPLAY;
    }
    pthread_mutex_unlock(&e->lock);
    return result;
}

/* Ctrl-Z, where a line is being edited: it is there again afterwards. */
static unsigned char stop(EditLine *el, int key)
{
    (void)el;
    (void)key;
    terminal_stop();
    terminal_again();
    return CC_REDISPLAY;
}

/* ---- reading a line ---- */

static char *prompt_of(EditLine *el)
{
    void *data;
    el_get(el, EL_CLIENTDATA, &data);
    return ((struct editor *)data)->shown_prompt;
}

static void open_libedit(struct editor *e)
{
    HistEvent ev;
    e->el = el_init("perilune", stdin, stdout, stderr);
    e->history = history_init();
    if (!e->el)
        return;
    el_set(e->el, EL_CLIENTDATA, e);
    el_set(e->el, EL_PROMPT, prompt_of);
    el_set(e->el, EL_EDITOR, "emacs");
    el_set(e->el, EL_SIGNAL, 0);
    el_set(e->el, EL_SETTY, "-d", "-isig", NULL);
    el_set(e->el, EL_SETTY, "-x", "-isig", "-icanon", "-echo", NULL);
    el_set(e->el, EL_GETCFN, get_character);
    /* The narrow call keeps copies of the names for ever. */
    el_wset(e->el, EL_ADDFN, L"perilune-complete", L"complete the line", complete);
    el_wset(e->el, EL_ADDFN, L"perilune-stop", L"stop the process", stop);
    el_set(e->el, EL_BIND, "\t", "perilune-complete", NULL);
    el_set(e->el, EL_BIND, "^Z", "perilune-stop", NULL);
    el_set(e->el, EL_BIND, "^R", "em-inc-search-prev", NULL);
    if (!e->history)
        return;
    history(e->history, &ev, H_SETSIZE, HISTORY_LINES);
    history(e->history, &ev, H_SETUNIQUE, 1);
    if (e->config.history)
        history(e->history, &ev, H_LOAD, e->config.history);
    el_set(e->el, EL_HIST, history, e->history);
}

static void remember(struct editor *e, const char *line)
{
    HistEvent ev;
    if (!e->history || !*line)
        return;
    history(e->history, &ev, H_ENTER, line);
    if (!e->config.history)
        return;
    mode_t before = umask(077);
    history(e->history, &ev, H_SAVE, e->config.history);
    umask(before);
}

static void keep_line(struct editor *e)
{
    const LineInfo *line = el_line(e->el);
    free(e->kept_line);
    e->kept_line = alloc_printf("%.*s", (int)(line->lastchar - line->buffer), line->buffer);
}

/* Why libedit gave no line. */
static void line_was_cut(struct editor *e)
{
    enum cut cut = e->cut;
    e->cut = CUT_NONE;
    if (cut == CUT_STOP)
        return;
    if (cut == CUT_FOCUS)
        keep_line(e);
    if (e->interactive) {
        fputs(cut == CUT_INTERRUPT ? "^C\r\n" : "\r\n", stdout);
        fflush(stdout);
        terminal_again();
    }
    if (cut == CUT_FOCUS) {
        notify(e, &e->released);
        return; /* the line is still wanted */
    }
    pthread_mutex_lock(&e->lock);
    e->wanted = false;
    pthread_mutex_unlock(&e->lock);
    post(e,
         cut == CUT_INTERRUPT ? EDITOR_INTERRUPT
         : cut == CUT_QUIT    ? EDITOR_QUIT
                              : EDITOR_END,
         NULL);
}

static void got_line(struct editor *e, const char *line, size_t len)
{
    while (len && (line[len - 1] == '\n' || line[len - 1] == '\r'))
        len--;
    char *text = alloc_printf("%.*s", (int)len, line);
    pthread_mutex_lock(&e->lock);
    e->wanted = false;
    pthread_mutex_unlock(&e->lock);
    if (e->interactive)
        remember(e, text);
    post(e, EDITOR_LINE, text);
}

static void edit_line(struct editor *e)
{
    int n = 0;
    if (e->kept_line)
        el_push(e->el, e->kept_line);
    free(e->kept_line);
    e->kept_line = NULL;
    e->editing = true;
    const char *line = el_gets(e->el, &n);
    e->editing = false;
    if (e->cut) {
        line_was_cut(e);
    } else if (line && n > 0) {
        terminal_again();
        got_line(e, line, (size_t)n);
    } else { /* Ctrl-D, or the terminal is gone */
        line_was_cut(e);
    }
}

/* From a pipe or a file. */
static void plain_line(struct editor *e)
{
    size_t len = 0, cap = 0;
    char *line = NULL;
    e->reading = true;
    for (bool whole = false; !whole;) {
        if (e->ahead_at == e->ahead_len && (e->ended || !wait_input(e)))
            break;
        while (e->ahead_at < e->ahead_len && !whole) {
            char c = e->ahead[e->ahead_at++];
            whole = c == '\n';
            if (len == cap)
                line = alloc_resize(line, cap = cap ? 2 * cap : 256, 1);
            if (len < LINE_MAX_LEN)
                line[len++] = c;
        }
    }
    e->reading = false;
    if (len && !e->cut)
        got_line(e, line, len);
    else
        line_was_cut(e);
    free(line);
}

/* Ctrl-C and Ctrl-a, while a line is executed. */
static void watch_execution(struct editor *e)
{
    wait_input(e);
    enum cut cut = e->cut;
    e->cut = CUT_NONE;
    if (cut == CUT_INTERRUPT) {
        e->config.interrupt(e->config.opaque);
        notify(e, &e->interrupted);
    } else if (cut == CUT_FOCUS) {
        notify(e, &e->released);
    } else if (cut == CUT_QUIT) {
        e->config.interrupt(e->config.opaque);
        notify(e, &e->interrupted);
        post(e, EDITOR_QUIT, NULL);
    }
}

static void *run(void *opaque)
{
    struct editor *e = opaque;
    locale_t utf8 = newlocale(LC_CTYPE_MASK, "C.UTF-8", NULL);
    if (utf8)
        uselocale(utf8);
    if (e->interactive)
        open_libedit(e);
    while (!is_stopping(e)) {
        pthread_mutex_lock(&e->lock);
        bool read_one = e->wanted && e->event == EDITOR_NOTHING && e->focus;
        snprintf(e->shown_prompt, sizeof e->shown_prompt, "%s", e->prompt ? e->prompt : "");
        pthread_mutex_unlock(&e->lock);
        if (read_one && e->el)
            edit_line(e);
        else if (read_one)
            plain_line(e);
        else
            watch_execution(e);
    }
    if (e->history)
        history_end(e->history);
    if (e->el)
        el_end(e->el);
    uselocale(LC_GLOBAL_LOCALE);
    if (utf8)
        freelocale(utf8);
    return NULL;
}

/* ---- for the loop thread ---- */

static void drop_answers(struct editor *e)
{
    for (size_t i = 0; i < e->answer_count; i++)
        free(e->answers[i]);
    free(e->answers);
    e->answers = NULL;
    e->answer_count = 0;
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
    if (e->set && raw && epoll_set_change(e->set, EPOLL_CTL_ADD, e->notice_fd, EPOLLIN, 0) &&
        pthread_create(&e->thread, NULL, run, e) == 0) {
        return e;
    }
    if (e->set && raw)
        error_set_host(err, errno, "cannot start the monitor's thread");
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
    drop_answers(e);
    pthread_cond_destroy(&e->changed);
    pthread_mutex_destroy(&e->lock);
    free((char *)e->config.history);
    free(e->kept_line);
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
    drop_answers(e);
    e->answers = n ? alloc_resize(NULL, n, sizeof *e->answers) : NULL;
    for (size_t i = 0; i < n; i++)
        e->answers[i] = alloc_printf("%s", lines[i]);
    e->answer_count = n;
    e->answered = true;
    pthread_cond_broadcast(&e->changed);
    pthread_mutex_unlock(&e->lock);
}

void editor_focus(struct editor *e, bool focus)
{
    pthread_mutex_lock(&e->lock);
    e->focus = focus;
    pthread_mutex_unlock(&e->lock);
    poke(e->wake_fd);
}

bool editor_has_focus(struct editor *e)
{
    pthread_mutex_lock(&e->lock);
    bool focus = e->focus;
    pthread_mutex_unlock(&e->lock);
    return focus;
}

bool editor_is_interactive(const struct editor *e)
{
    return e->interactive;
}
