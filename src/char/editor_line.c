/* How what is typed becomes a line: through libedit (editline(3), el_init(3)) at a terminal, with
 * history, completion and news that come in between, or as it is from a pipe or a file. */
#include "base/alloc.h"
#include "char/editor_internal.h"
#include "char/terminal.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    LINE_MAX_LEN = 1 << 20, /* of a line that does not come from a terminal */
    HISTORY_LINES = 2000,
};

static struct editor *editor_of(EditLine *el)
{
    void *data;
    el_get(el, EL_CLIENTDATA, &data);
    return data;
}

/* ---- completion ---- */

static size_t common_length(const struct editor_answers *a)
{
    size_t n = a->count ? strlen(a->lines[0]) : 0;
    for (size_t i = 1; i < a->count; i++)
        for (size_t k = 0; k < n; k++)
            if (a->lines[i][k] != a->lines[0][k])
                n = k;
    return n;
}

/* The candidates below the line; of each only its last word. */
static void list_answers(const struct editor_answers *a)
{
    enum { SHOWN = 200, COLUMNS = 78 };
    size_t column = 0;
    fputs("\r\n", stdout);
    for (size_t i = 0; i < a->count && i < SHOWN; i++) {
        const char *space = strrchr(a->lines[i], ' ');
        const char *word = space ? space + 1 : a->lines[i];
        if (column && column + strlen(word) + 2 > COLUMNS) {
            fputs("\r\n", stdout);
            column = 0;
        }
        column += (size_t)printf("%s  ", word);
    }
    if (a->count > SHOWN)
        printf("... %zu more", a->count - SHOWN);
    fputs("\r\n", stdout);
    fflush(stdout);
}

/* What the loop thread says to `text`, which is the line up to the cursor; nothing, if it ends. */
static struct editor_answers ask(struct editor *e, char *text)
{
    editor_set(e, &e->answered, false);
    editor_post(e, EDITOR_COMPLETE, text);
    pthread_mutex_lock(&e->lock);
    while (!e->answered && !e->stopping)
        pthread_cond_wait(&e->changed, &e->lock);
    struct editor_answers a = e->answers;
    e->answers = (struct editor_answers){ .lines = NULL };
    pthread_mutex_unlock(&e->lock);
    return a;
}

static unsigned char complete(EditLine *el, int key)
{
    (void)key;
    const LineInfo *line = el_line(el);
    size_t len = (size_t)(line->cursor - line->buffer);
    struct editor_answers a = ask(editor_of(el), alloc_printf("%.*s", (int)len, line->buffer));
    size_t common = common_length(&a);
    unsigned char result = CC_REFRESH_BEEP;
    if (common > len) {
        el_insertstr(el, a.lines[0] + len);
        if (strlen(a.lines[0]) > common)
            el_deletestr(el, (int)(strlen(a.lines[0]) - common));
        result = CC_REFRESH;
    } else if (a.count > 1) {
        list_answers(&a);
        result = CC_REDISPLAY;
    }
    editor_drop_answers(&a);
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

/* ---- libedit ---- */

static char *prompt_of(EditLine *el)
{
    return editor_of(el)->shown_prompt;
}

void editor_open_libedit(struct editor *e)
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
    el_set(e->el, EL_GETCFN, editor_get_character);
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

void editor_close_libedit(struct editor *e)
{
    if (e->history)
        history_end(e->history);
    if (e->el)
        el_end(e->el);
}

/* ---- reading a line ---- */

/* For its owner alone. The umask is the whole process's, and other threads make files meanwhile. */
static void save_history(struct editor *e)
{
    HistEvent ev;
    int fd = open(e->config.history, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    FILE *file = fd < 0 ? NULL : fdopen(fd, "w");
    if (file) {
        history(e->history, &ev, H_SAVE_FP, file);
        fclose(file);
    } else if (fd >= 0) {
        close(fd);
    }
}

static void remember(struct editor *e, const char *line)
{
    HistEvent ev;
    if (!e->history || !*line)
        return;
    history(e->history, &ev, H_ENTER, line);
    if (e->config.history)
        save_history(e);
}

static char *take_news(struct editor *e)
{
    pthread_mutex_lock(&e->lock);
    char *news = e->news;
    e->news = NULL;
    pthread_mutex_unlock(&e->lock);
    return news;
}

void editor_show_news(struct editor *e)
{
    char *news = take_news(e), *clear = NULL;
    if (!news)
        return;
    el_get(e->el, EL_GETTC, "ce", &clear); /* to the end of the row */
    printf("%s%s%s", clear && *clear ? "\r" : "\r\n", clear ? clear : "", news);
    el_set(e->el, EL_REFRESH);
    free(news);
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
    enum editor_cut cut = e->cut;
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
        editor_notify(e, &e->released);
        return; /* the line is still wanted */
    }
    editor_set(e, &e->wanted, false);
    editor_post(e,
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
    if (e->interactive)
        remember(e, text);
    editor_set(e, &e->wanted, false);
    editor_post(e, EDITOR_LINE, text);
}

static void edit_line(struct editor *e)
{
    int n = 0;
    if (e->kept_line)
        el_push(e->el, e->kept_line);
    free(e->kept_line);
    e->kept_line = NULL;
    editor_set(e, &e->editing, true);
    const char *line = el_gets(e->el, &n);
    editor_set(e, &e->editing, false);
    if (e->cut) {
        line_was_cut(e);
    } else if (line && n > 0) {
        terminal_again();
        got_line(e, line, (size_t)n);
    } else { /* Ctrl-D, or the terminal is gone */
        line_was_cut(e);
    }
    char *news = take_news(e); /* too late for this line */
    if (news) {
        fputs(news, stdout);
        fflush(stdout);
        free(news);
    }
}

/* From a pipe or a file. */
static void plain_line(struct editor *e)
{
    size_t len = 0, cap = 0;
    char *line = NULL;
    e->reading = true;
    for (bool whole = false; !whole;) {
        if (e->ahead_at == e->ahead_len && (e->ended || !editor_wait_input(e)))
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

void editor_read_line(struct editor *e)
{
    if (e->el)
        edit_line(e);
    else
        plain_line(e);
}
