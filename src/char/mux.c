/* Several front ends on one backend.
 *
 * A mux is the backend's front end. Each of its ports is a chardev, with an input of its own: what
 * was typed for one port waits there for that guest to read it, and is not in the way of others.
 * The backend owns the mux; ports know it as long as it lives. */
#include "char/chardev.h"

#include "base/alloc.h"

#include <stdlib.h>

enum { CTRL_A = 1 };

struct mux_port {
    struct chardev c;        /* must stay the first member */
    struct chardev_mux *mux; /* NULL: the backend has gone */
    struct mux_port *next;
};

struct chardev_mux {
    struct chardev *backend;
    struct chardev_front front;
    struct chardev_mux_config config;
    struct mux_port *ports; /* in order of making */
    struct mux_port *focus; /* NULL: there is no port */
    bool escape;            /* the last byte was Ctrl-a */
    bool receiving;         /* the backend is handing input over */
};

static const struct chardev_ops port_ops;

static struct mux_port *to_port(const struct chardev *c)
{
    return c && c->ops == &port_ops ? (struct mux_port *)c : NULL;
}

/* ---- focus ---- */

static void tell(struct mux_port *p, enum chardev_event event)
{
    if (!p || !p->c.front || !p->c.front->event)
        return;
    p->c.busy++;
    p->c.front->event(p->c.front->opaque, event);
    p->c.busy--;
}

static void set_focus(struct chardev_mux *m, struct mux_port *p)
{
    struct mux_port *before = m->focus;
    m->focus = p;
    if (before != p)
        tell(before, CHARDEV_UNFOCUSED);
    if (m->focus != p)
        return;               /* whoever was told has changed it */
    tell(p, CHARDEV_FOCUSED); /* also if it had it: it may have tried to give it away */
    if (!m->receiving)
        chardev_accept_input(m->backend);
}

static struct mux_port *after(struct chardev_mux *m, struct mux_port *p)
{
    return p && p->next ? p->next : m->ports;
}

void chardev_mux_next(struct chardev *backend)
{
    struct chardev_mux *m = backend->mux;
    struct mux_port *p = after(m, m->focus);
    while (p != m->focus && !p->c.front)
        p = after(m, p);
    if (p)
        set_focus(m, p);
}

void chardev_mux_focus(struct chardev *port)
{
    struct mux_port *p = to_port(port);
    if (p && p->mux)
        set_focus(p->mux, p);
}

bool chardev_mux_has_focus(const struct chardev *port)
{
    struct mux_port *p = to_port(port);
    return p && p->mux && p->mux->focus == p;
}

struct chardev *chardev_mux_backend(const struct chardev *port)
{
    struct mux_port *p = to_port(port);
    return p && p->mux ? p->mux->backend : NULL;
}

/* ---- what is typed ---- */

static void print_help(struct chardev_mux *m)
{
    static const char help[] = "\r\n"
                               "Ctrl-a h       this help\r\n"
                               "Ctrl-a x       end the machine\r\n"
                               "Ctrl-a c       switch to the next serial port or the monitor\r\n"
                               "Ctrl-a b       send a break\r\n"
                               "Ctrl-a Ctrl-a  send Ctrl-a\r\n";
    chardev_write(m->backend, (const uint8_t *)help, sizeof help - 1);
}

/* Who may give commands to the monitor may quit. */
static bool may_quit(const struct chardev_mux *m)
{
    bool outside = m->config.may_quit;
    for (const struct mux_port *p = m->ports; p; p = p->next)
        outside = outside || (p->c.front && p->c.front->outside);
    return outside && m->config.quit;
}

static void run_escape(struct chardev_mux *m, uint8_t key)
{
    if (key == 'h')
        print_help(m);
    else if (key == 'c')
        chardev_mux_next(m->backend);
    else if (key == 'b' && m->focus)
        chardev_break(&m->focus->c);
    else if (key == 'x' && may_quit(m))
        m->config.quit(m->config.opaque);
}

static void to_focus(struct chardev_mux *m, const uint8_t *data, size_t len)
{
    if (m->focus)
        chardev_input(&m->focus->c, data, len);
}

/* Bytes that go on as they are are handed over together. */
static void mux_receive(void *opaque, const uint8_t *data, size_t len)
{
    struct chardev_mux *m = opaque;
    size_t start = 0;
    m->receiving = true;
    for (size_t i = 0; i < len; i++) {
        bool command = m->escape && data[i] != CTRL_A;
        bool begins = !m->escape && data[i] == CTRL_A;
        m->escape = begins;
        if (!command && !begins)
            continue;
        to_focus(m, data + start, i - start);
        start = i + 1;
        if (command)
            run_escape(m, data[i]);
    }
    to_focus(m, data + start, len - start);
    m->receiving = false;
}

static size_t mux_room(void *opaque)
{
    struct chardev_mux *m = opaque;
    size_t waiting = m->focus ? chardev_input_waiting(&m->focus->c) : 0;
    return waiting < CHARDEV_INPUT_MARK ? CHARDEV_INPUT_MARK - waiting : 0;
}

static void mux_event(void *opaque, enum chardev_event event)
{
    struct chardev_mux *m = opaque;
    if (event == CHARDEV_BREAK && m->focus)
        chardev_break(&m->focus->c);
    if (event != CHARDEV_OPENED && event != CHARDEV_CLOSED)
        return;
    m->escape = false;
    for (struct mux_port *p = m->ports; p; p = p->next)
        chardev_set_connected(&p->c, event == CHARDEV_OPENED);
}

/* ---- ports ---- */

static void port_write(struct chardev *c, const uint8_t *data, size_t len)
{
    struct mux_port *p = to_port(c);
    if (p->mux)
        chardev_write(p->mux->backend, data, len);
}

static void port_input_taken(struct chardev *c)
{
    struct mux_port *p = to_port(c);
    if (p->mux && !p->mux->receiving)
        chardev_accept_input(p->mux->backend);
}

static char *port_filename(const struct chardev *c)
{
    struct mux_port *p = to_port(c);
    return p->mux ? alloc_printf("mux:%s%s", p->mux->backend->id,
                                 p->mux->focus == p ? " (has the focus)" : "")
                  : alloc_string("mux");
}

static void port_free(struct chardev *c)
{
    struct mux_port *p = to_port(c);
    struct chardev_mux *m = p->mux;
    if (m) {
        struct mux_port **at = &m->ports;
        while (*at != p)
            at = &(*at)->next;
        *at = p->next;
        if (m->focus == p)
            m->focus = m->ports;
    }
    free(p);
}

static const struct chardev_ops port_ops = {
    .kind = "mux",
    .write = port_write,
    .input_taken = port_input_taken,
    .filename = port_filename,
    .free = port_free,
};

struct chardev *chardev_mux_port_new(const char *id, struct chardev *backend, struct door *door)
{
    struct chardev_mux *m = backend->mux;
    struct mux_port *p = ALLOC(struct mux_port), **at = &m->ports;
    chardev_init(&p->c, id, &port_ops, door);
    p->c.connected = backend->connected;
    p->mux = m;
    while (*at)
        at = &(*at)->next;
    *at = p;
    if (!m->focus)
        m->focus = p;
    return &p->c;
}

/* ---- the mux ---- */

bool chardev_mux_add(struct chardev *backend, const struct chardev_mux_config *config)
{
    struct chardev_mux *m = ALLOC(struct chardev_mux);
    m->backend = backend;
    m->config = *config;
    m->front = (struct chardev_front){ mux_room, mux_receive, m, mux_event, true };
    if (chardev_attach(backend, &m->front)) {
        backend->mux = m;
        return true;
    }
    free(m);
    return false;
}

bool chardev_mux_is_used(const struct chardev *backend)
{
    return backend->mux->ports != NULL;
}

void chardev_mux_free(struct chardev_mux *m)
{
    if (!m)
        return;
    for (struct mux_port *p = m->ports; p; p = p->next)
        p->mux = NULL;
    free(m);
}
