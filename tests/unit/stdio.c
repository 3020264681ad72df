/* Standard input and output as a character backend: each test runs it in a child process whose
 * descriptors are pipes, files or a pseudo terminal that the test holds the other end of. */
#define _GNU_SOURCE
#include "char/chardev.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>
#include <utmp.h>

#include <cmocka.h>

enum { CHILD_S = 20, WAIT_MS = 10000 };

/* ---- the child: a guest that sends back what it gets, until it is told to end ---- */

struct guest {
    struct chardev_front front;
    struct chardev *c; /* where the guest is attached */
    struct loop *loop;
    struct door *door;
    char key; /* the last command */
    size_t room, got, flood;
    size_t expected; /* ends after so many bytes; 0: never */
    uint64_t sum;
    struct timer tick;
};

static size_t guest_room(void *opaque)
{
    return ((struct guest *)opaque)->room;
}

static void guest_receive(void *opaque, const uint8_t *data, size_t len)
{
    struct guest *g = opaque;
    g->got += len;
    for (size_t i = 0; i < len; i++)
        g->sum += data[i];
    if (!g->expected)
        chardev_write(g->c, data, len);
}

static void guest_command(void *opaque, char key)
{
    struct guest *g = opaque;
    g->key = key;
    char text[] = "<command ?>";
    text[9] = key;
    chardev_write(g->c, (const uint8_t *)text, sizeof text - 1);
}

static void guest_event(void *opaque, enum chardev_event event)
{
    if (event == CHARDEV_BREAK)
        guest_command(opaque, 'b');
}

static void guest_quit(void *opaque)
{
    guest_command(opaque, 'x');
}

static bool guest_done(void *opaque)
{
    struct guest *g = opaque;
    door_drain(g->door);
    return g->key == 'x' || (g->expected && g->got >= g->expected);
}

static void guest_knock(void *opaque)
{
    loop_wake(((struct guest *)opaque)->loop);
}

/* A guest with a small buffer reads it every millisecond. */
static void guest_tick(void *opaque)
{
    struct guest *g = opaque;
    g->room = 20000;
    chardev_accept_input(g->c);
    timer_set(&g->tick, loop_realtime_ns() + 1000000);
}

/* Never returns. The exit status is 0 when all went well. */
static void child_main(size_t expected, size_t flood)
{
    alarm(CHILD_S);
    signal(SIGPIPE, SIG_IGN);
    static const int caught[] = { SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL };
    for (size_t i = 0; i < sizeof caught / sizeof *caught; i++)
        signal(caught[i], SIG_DFL); /* the test program's handlers are not the child's */
    struct guest g = { .room = 1 << 20, .expected = expected };
    struct error err = { 0 };
    g.loop = loop_new(&err);
    machine_lock_take(loop_lock(g.loop));
    g.door = door_new(guest_knock, &g);
    struct stdio_config config = { .shared = !expected };
    struct chardev *stdio = chardev_stdio_new("stdio", g.loop, g.door, &config, &err);
    if (!stdio || chardev_stdio_new("second", g.loop, g.door, &config, &err))
        _exit(10);
    g.c = stdio;
    struct chardev_mux_config mux = { guest_quit, &g, true };
    if (!expected && chardev_mux_add(stdio, &mux))
        g.c = chardev_mux_port_new("port", stdio, g.door);
    g.front = (struct chardev_front){ guest_room, guest_receive, &g, guest_event };
    chardev_attach(g.c, &g.front);
    if (expected) {
        timer_init(&g.tick, loop_realtime(g.loop), guest_tick, &g);
        guest_tick(&g);
    }
    static uint8_t block[1000];
    memset(block, '.', sizeof block);
    for (size_t i = 0; i < flood; i += sizeof block)
        chardev_write(g.c, block, sizeof block);
    chardev_write(g.c, (const uint8_t *)"ready\r\n", 7);
    loop_run(g.loop, guest_done, &g);
    timer_cancel(&g.tick);
    chardev_free(stdio);
    if (g.c != stdio)
        chardev_free(g.c);
    door_free(g.door);
    machine_lock_release(loop_lock(g.loop));
    loop_free(g.loop);
    uint64_t sum = 0;
    for (size_t i = 0; i < expected; i++)
        sum += (uint8_t)(i * 7);
    exit(!expected || (g.sum == sum && g.got == expected) ? 0 : 11);
}

static pid_t start(int in, int out, size_t expected, size_t flood)
{
    fflush(NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid)
        return pid;
    dup2(in, 0);
    dup2(out, 1);
    child_main(expected, flood);
    _exit(12);
}

/* ---- the test's side ---- */

/* Read until `text` has come; false when it does not. `log` gets everything. */
static bool expect(int fd, const char *text, char *log, size_t cap)
{
    size_t len = strlen(log);
    while (!strstr(log, text)) {
        struct pollfd p = { .fd = fd, .events = POLLIN };
        if (len + 1 >= cap || poll(&p, 1, WAIT_MS) <= 0)
            return false;
        ssize_t n = read(fd, log + len, cap - len - 1);
        if (n <= 0)
            return false;
        len += (size_t)n;
        log[len] = '\0';
    }
    return true;
}

static void type(int fd, const char *text)
{
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
}

static int wait_for(pid_t pid)
{
    int status = -1;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

static void pipe_cloexec(int p[2])
{
    assert_int_equal(pipe2(p, O_CLOEXEC), 0);
}

static void test_pipes(void **state)
{
    (void)state;
    int in[2], out[2];
    char log[4096] = "";
    pipe_cloexec(in);
    pipe_cloexec(out);
    pid_t pid = start(in[0], out[1], 0, 0);
    assert_true(expect(out[0], "ready", log, sizeof log));
    type(in[1], "abc");
    assert_true(expect(out[0], "abc", log, sizeof log));
    type(in[1], "d\001"); /* the escape and its key come apart */
    assert_true(expect(out[0], "d", log, sizeof log));
    type(in[1], "\001e\001bf\001h");
    assert_true(expect(out[0], "Ctrl-a Ctrl-a", log, sizeof log));
    type(in[1], "\001x");
    assert_true(expect(out[0], "<command x>", log, sizeof log));
    assert_int_equal(wait_for(pid), 0);
    assert_non_null(strstr(log, "<command b>"));
    assert_non_null(strstr(log, "\001e"));
    /* Nobody else's descriptors were made non-blocking. */
    assert_int_equal(fcntl(in[0], F_GETFL) & O_NONBLOCK, 0);
    assert_int_equal(fcntl(out[1], F_GETFL) & O_NONBLOCK, 0);
    for (int i = 0; i < 2; i++) {
        close(in[i]);
        close(out[i]);
    }
}

/* The end of input ends only the input. */
static void test_end_of_input(void **state)
{
    (void)state;
    int ended[2];
    pipe_cloexec(ended);
    close(ended[1]);
    int inputs[] = { open("/dev/null", O_RDONLY | O_CLOEXEC), open("/", O_RDONLY | O_CLOEXEC),
                     ended[0] };
    for (int i = 0; i < 3; i++) {
        int out[2];
        char log[4096] = "";
        pipe_cloexec(out);
        pid_t pid = start(inputs[i], out[1], 0, 0);
        assert_true(expect(out[0], "ready", log, sizeof log));
        usleep(50000);
        assert_int_equal(waitpid(pid, NULL, WNOHANG), 0); /* it goes on */
        kill(pid, SIGTERM);
        assert_int_equal(WTERMSIG(wait_for(pid)), SIGTERM);
        close(inputs[i]);
        close(out[0]);
        close(out[1]);
    }
}

/* More than fits anywhere, into a guest that reads slowly: none is lost, whatever the input is. */
static void test_big_input(void **state)
{
    (void)state;
    enum { SIZE = 3 << 20 };
    char path[] = "/tmp/perilune-stdio-XXXXXX";
    int file = mkstemp(path), out[2], in[2];
    unlink(path);
    uint8_t *bytes = malloc(SIZE);
    for (size_t i = 0; i < SIZE; i++)
        bytes[i] = (uint8_t)(i * 7);
    assert_int_equal(write(file, bytes, SIZE), SIZE);
    lseek(file, 0, SEEK_SET);
    pipe_cloexec(out);
    assert_int_equal(wait_for(start(file, out[1], SIZE, 0)), 0);
    pipe_cloexec(in);
    pid_t pid = start(in[0], out[1], SIZE, 0);
    assert_int_equal(write(in[1], bytes, SIZE), SIZE);
    assert_int_equal(wait_for(pid), 0);
    free(bytes);
    close(file);
    for (int i = 0; i < 2; i++) {
        close(in[i]);
        close(out[i]);
    }
}

/* Output that nobody reads holds up nothing; when it is read, it comes in order. */
static void test_output_waits(void **state)
{
    (void)state;
    for (int kind = 0; kind < 2; kind++) { /* a pipe and a socket */
        int in[2], out[2];
        pipe_cloexec(in);
        if (kind)
            assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, out), 0);
        else
            pipe_cloexec(out);
        pid_t pid = start(in[0], out[1], 0, 900000);
        type(in[1], "\001x"); /* taken although the output is stuck */
        usleep(100000);
        size_t size = 1 << 20;
        char *log = calloc(1, size);
        assert_true(expect(out[0], "<command x>", log, size));
        assert_int_equal(strspn(log, "."), 900000);
        assert_string_equal(log + 900000, "ready\r\n<command x>");
        assert_int_equal(wait_for(pid), 0);
        free(log);
        for (int i = 0; i < 2; i++) {
            close(in[i]);
            close(out[i]);
        }
    }
}

struct terminal {
    int master, slave;
    struct termios before;
    pid_t pid;
    char log[8192];
};

static void terminal_start(struct terminal *t)
{
    memset(t, 0, sizeof *t);
    assert_int_equal(openpty(&t->master, &t->slave, NULL, NULL, NULL), 0);
    fcntl(t->master, F_SETFD, FD_CLOEXEC);
    assert_int_equal(tcgetattr(t->slave, &t->before), 0);
    fflush(NULL);
    t->pid = fork();
    if (!t->pid) {
        close(t->master);
        login_tty(t->slave);
        child_main(0, 0);
    }
    assert_true(expect(t->master, "ready", t->log, sizeof t->log));
}

static bool is_raw(struct terminal *t)
{
    struct termios now;
    assert_int_equal(tcgetattr(t->slave, &now), 0);
    assert_true(now.c_oflag & OPOST);
    return !(now.c_lflag & (ICANON | ECHO | ISIG)) && !(now.c_iflag & (ICRNL | IXON));
}

static void assert_restored(struct terminal *t)
{
    struct termios now;
    assert_int_equal(tcgetattr(t->slave, &now), 0);
    assert_int_equal(now.c_lflag, t->before.c_lflag);
    assert_int_equal(now.c_iflag, t->before.c_iflag);
    assert_int_equal(now.c_oflag, t->before.c_oflag);
    assert_int_equal(now.c_cflag, t->before.c_cflag);
}

static void terminal_end(struct terminal *t)
{
    close(t->master);
    close(t->slave);
}

static void test_terminal(void **state)
{
    (void)state;
    struct terminal t;
    terminal_start(&t);
    assert_true(is_raw(&t));
    type(t.master, "hi\r\003"); /* no line editing, and Ctrl-C is the guest's */
    assert_true(expect(t.master, "hi\r\003", t.log, sizeof t.log));
    type(t.master, "\001x");
    assert_true(expect(t.master, "<command x>", t.log, sizeof t.log));
    assert_int_equal(wait_for(t.pid), 0);
    assert_restored(&t);
    terminal_end(&t);
}

static void test_terminal_signals(void **state)
{
    (void)state;
    static const int signals[] = { SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGABRT, SIGSEGV };
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++) {
        struct terminal t;
        terminal_start(&t);
        assert_true(is_raw(&t));
        kill(t.pid, signals[i]);
        int status = wait_for(t.pid);
        assert_true(WIFSIGNALED(status));
        assert_int_equal(WTERMSIG(status), signals[i]);
        assert_restored(&t);
        terminal_end(&t);
    }
}

static void test_terminal_stop(void **state)
{
    (void)state;
    struct terminal t;
    terminal_start(&t);
    /* A session leader's group is an orphan, which SIGTSTP does not stop: it comes back raw. */
    kill(t.pid, SIGTSTP);
    type(t.master, "still");
    assert_true(expect(t.master, "still", t.log, sizeof t.log));
    for (int i = 0; i < WAIT_MS / 5 && !is_raw(&t); i++)
        usleep(5000); /* the handler may be at work just now */
    assert_true(is_raw(&t));
    /* SIGSTOP cannot be caught; what the shell does to the terminal meanwhile is undone after. */
    int status;
    kill(t.pid, SIGSTOP);
    assert_int_equal(waitpid(t.pid, &status, WUNTRACED), t.pid);
    assert_true(WIFSTOPPED(status));
    kill(t.pid, SIGCONT);
    type(t.master, "again\001x");
    assert_true(expect(t.master, "<command x>", t.log, sizeof t.log));
    assert_int_equal(wait_for(t.pid), 0);
    assert_restored(&t);
    terminal_end(&t);
}

/* ---- as a job of a shell ---- */

static bool tty_is_raw(void)
{
    struct termios now;
    return tcgetattr(0, &now) == 0 && !(now.c_lflag & ICANON);
}

static bool becomes_raw(void)
{
    for (int i = 0; i < WAIT_MS / 5 && !tty_is_raw(); i++)
        usleep(5000);
    return tty_is_raw();
}

/* A shell with one job, which it stops, continues in the background, and brings back to the
 * foreground. */
static void shell_main(void)
{
    int status;
    alarm(CHILD_S);
    signal(SIGTTOU, SIG_IGN);
    pid_t job = fork();
    if (!job) {
        setpgid(0, 0);
        tcsetpgrp(0, getpid());
        signal(SIGTTOU, SIG_DFL);
        child_main(0, 0);
    }
    if (!becomes_raw())
        _exit(20);
    kill(job, SIGTSTP);
    if (waitpid(job, &status, WUNTRACED) != job || !WIFSTOPPED(status))
        _exit(21);
    if (tty_is_raw())
        _exit(22);
    tcsetpgrp(0, getpid());
    kill(job, SIGCONT);
    usleep(50000);
    if (tty_is_raw()) /* the terminal is the shell's */
        _exit(23);
    tcsetpgrp(0, job);
    kill(job, SIGCONT);
    if (!becomes_raw())
        _exit(24);
    kill(job, SIGTSTP); /* a second time: the handler is still there */
    if (waitpid(job, &status, WUNTRACED) != job || !WIFSTOPPED(status) || tty_is_raw())
        _exit(25);
    kill(job, SIGCONT);
    if (!becomes_raw() || write(1, "resumed", 7) != 7)
        _exit(26);
    if (waitpid(job, &status, 0) != job || !WIFEXITED(status))
        _exit(27);
    _exit(WEXITSTATUS(status));
}

static void test_terminal_job(void **state)
{
    (void)state;
    struct terminal t;
    memset(&t, 0, sizeof t);
    assert_int_equal(openpty(&t.master, &t.slave, NULL, NULL, NULL), 0);
    fcntl(t.master, F_SETFD, FD_CLOEXEC);
    assert_int_equal(tcgetattr(t.slave, &t.before), 0);
    fflush(NULL);
    t.pid = fork();
    if (!t.pid) {
        close(t.master);
        login_tty(t.slave);
        shell_main();
    }
    if (expect(t.master, "resumed", t.log, sizeof t.log))
        type(t.master, "again\001x");
    assert_int_equal(wait_for(t.pid), 0);
    assert_true(expect(t.master, "<command x>", t.log, sizeof t.log));
    assert_restored(&t);
    terminal_end(&t);
}

int main(void)
{
    signal(SIGPIPE, SIG_IGN);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pipes),         cmocka_unit_test(test_end_of_input),
        cmocka_unit_test(test_big_input),     cmocka_unit_test(test_output_waits),
        cmocka_unit_test(test_terminal),      cmocka_unit_test(test_terminal_signals),
        cmocka_unit_test(test_terminal_stop), cmocka_unit_test(test_terminal_job),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
