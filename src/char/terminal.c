/* Raw mode of the terminal, and its restoration whatever happens.
 *
 * A terminal belongs to the process, and signal handlers have no argument: this state is
 * process-wide. It is written before the handlers are installed and only read by them, but for
 * what is atomic: the handler of a signal may run on any thread, even on two at once.
 *
 * Handlers: signals that would end or stop the process put the terminal back first, then happen
 * as they would have. A deadly signal that somebody else handles, or ignores, is left alone,
 * because such a process goes on, or ends through exit(); crashes are taken in any case and handed
 * on. */
#include "char/terminal.h"

#include "base/bits.h"
#include "char/chardev.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <termios.h>
#include <unistd.h>

static const int deadly[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT };
static const int crashes[] = { SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL };

static struct {
    struct termios saved, raw;
    int fd;
    atomic_bool wanted;     /* a chardev wants raw mode */
    atomic_bool active;     /* the terminal is in raw mode */
    bool claimed, prepared; /* prepared: handlers and atexit are in place */
    struct sigaction old[NSIG];
} term;

/* Set modes from wherever we are: a process in the background is allowed to while it blocks
 * SIGTTOU. */
static int set_modes(const struct termios *t)
{
    sigset_t block, before;
    sigemptyset(&block);
    sigaddset(&block, SIGTTOU);
    pthread_sigmask(SIG_BLOCK, &block, &before);
    int r = tcsetattr(term.fd, TCSANOW, t);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return r;
}

void terminal_restore(void)
{
    int keep_errno = errno;
    if (atomic_exchange(&term.active, false))
        set_modes(&term.saved);
    errno = keep_errno;
}

/* A shell in the foreground has the terminal in its own modes: hands off. */
static bool in_foreground(void)
{
    return tcgetpgrp(term.fd) == getpgrp();
}

void terminal_resume(void)
{
    int keep_errno = errno;
    if (term.wanted && !term.active && in_foreground() && set_modes(&term.raw) == 0)
        term.active = true;
    errno = keep_errno;
}

void terminal_again(void)
{
    if (term.wanted && in_foreground())
        term.active = set_modes(&term.raw) == 0;
}

static void on_end(int sig)
{
    terminal_restore();
    sigaction(sig, &term.old[sig], NULL);
    raise(sig); /* delivered when this handler returns */
}

static void on_continue(int sig)
{
    (void)sig;
    terminal_resume();
}

static void install(int sig, void (*handler)(int), bool only_default)
{
    struct sigaction sa = { .sa_handler = handler, .sa_flags = SA_RESTART };
    sigemptyset(&sa.sa_mask);
    if (sigaction(sig, NULL, &term.old[sig]) < 0)
        return;
    bool is_default = !(term.old[sig].sa_flags & SA_SIGINFO) && term.old[sig].sa_handler == SIG_DFL;
    if (is_default || !only_default)
        sigaction(sig, &sa, NULL);
}

/* Stop with the terminal as it was. The default action takes place inside of here, and the process
 * goes on after it, where SIGCONT's handler has made the terminal raw again. */
static void on_stop(int sig)
{
    int keep_errno = errno;
    struct sigaction stop = { .sa_handler = SIG_DFL }, ours;
    terminal_restore();
    sigaction(sig, &stop, &ours);
    raise(sig);
    sigset_t only, before;
    sigemptyset(&only);
    sigaddset(&only, sig);
    pthread_sigmask(SIG_UNBLOCK, &only, &before);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    sigaction(sig, &ours, NULL);
    terminal_resume();
    errno = keep_errno;
}

static void prepare(void)
{
    if (term.prepared)
        return;
    term.prepared = true;
    atexit(terminal_restore);
    for (size_t i = 0; i < ARRAY_LEN(deadly); i++)
        install(deadly[i], on_end, true);
    for (size_t i = 0; i < ARRAY_LEN(crashes); i++)
        install(crashes[i], on_end, false);
    install(SIGTSTP, on_stop, true);
    install(SIGCONT, on_continue, true);
}

void terminal_stop(void)
{
    struct sigaction ignore = { .sa_handler = SIG_IGN }, ours;
    if (sigaction(SIGTSTP, &ignore, &ours) < 0)
        return;
    kill(0, SIGTSTP); /* the others of the job, such as a script that has started us */
    sigaction(SIGTSTP, &ours, NULL);
    raise(SIGTSTP); /* so that it is this thread that waits */
}

bool terminal_claim(void)
{
    bool ok = !term.claimed;
    term.claimed = true;
    return ok;
}

void terminal_unclaim(void)
{
    term.wanted = false;
    terminal_restore();
    term.claimed = false;
}

bool terminal_raw(int fd, bool keep_signals, struct error *err)
{
    if (tcgetattr(fd, &term.saved) < 0)
        return error_set_host(err, errno, "cannot read the modes of the terminal");
    term.fd = fd;
    term.raw = term.saved;
    term.raw.c_iflag &=
        ~(tcflag_t)(IGNBRK | BRKINT | PARMRK | ISTRIP | INLCR | IGNCR | ICRNL | IXON);
    term.raw.c_oflag |= OPOST;
    term.raw.c_lflag &= ~(tcflag_t)(ECHO | ECHONL | ICANON | IEXTEN);
    if (!keep_signals)
        term.raw.c_lflag &= ~(tcflag_t)ISIG;
    term.raw.c_cflag &= ~(tcflag_t)(CSIZE | PARENB);
    term.raw.c_cflag |= CS8;
    term.raw.c_cc[VMIN] = 1;
    term.raw.c_cc[VTIME] = 0;
    prepare();
    term.wanted = true;
    /* Started in the background, it becomes raw when the process is brought to the foreground. */
    terminal_resume();
    if (!term.active && in_foreground())
        return error_set_host(err, errno, "cannot set the modes of the terminal");
    return true;
}
