/* What is typed, byte by byte: commands to the editor itself, and the rest, which waits for
 * libedit.
 *
 * libedit waits in the function that gives it characters, editor_get_character(). That one polls
 * standard input only while the editor has the focus, and an eventfd by which other threads say
 * that something has changed. To end a line early it returns 0, having noted why in `cut`. */
#include "char/editor_internal.h"
#include "char/terminal.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <wchar.h>

enum { CTRL_A = 1, CTRL_C = 3, CTRL_Z = 26 };

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
    editor_set(e, &e->focus, false);
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
    } else if (c == CTRL_Z && !editor_get(e, &e->editing)) {
        terminal_stop();
    } else {
        type_ahead(e, c);
    }
}

static void drain(int fd)
{
    uint64_t n;
    while (read(fd, &n, sizeof n) < 0 && errno == EINTR)
        ;
}

bool editor_wait_input(struct editor *e)
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
    if (editor_get(e, &e->stopping)) {
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

int editor_get_character(EditLine *el, wchar_t *out)
{
    void *data;
    el_get(el, EL_CLIENTDATA, &data);
    struct editor *e = data;
    mbstate_t state = { 0 };
    for (;;) {
        if (e->cut)
            return 0;
        editor_show_news(e);
        if (e->ahead_at < e->ahead_len) {
            size_t n = mbrtowc(out, &e->ahead[e->ahead_at++], 1, &state);
            if (n == (size_t)-2)
                continue;
            if (n != (size_t)-1)
                return 1;
            memset(&state, 0, sizeof state); /* not UTF-8: drop it */
        } else if (e->ended || !editor_wait_input(e)) {
            return 0;
        }
    }
}
