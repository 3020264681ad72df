/* The monitor's terminal as Lua sees it: perilune.core.terminal().
 *
 * The editor reads lines on its own thread; main code of the script takes them in terminal:read(),
 * which serves the loop meanwhile. Where a serial port is on the same terminal the monitor is a
 * front end at the mux of that backend, one that reads the terminal itself: while it has the focus
 * the backend does not read. Nothing here calls Lua. */
#include "script/binding.h"

#include "base/alloc.h"
#include "char/editor.h"

#include <stdlib.h>
#include <string.h>

#define META_TERMINAL "perilune.terminal"

struct script_terminal {
    struct script *script;
    struct editor *editor; /* NULL: closed */
    struct script_vm *svm; /* whose mux the terminal is shared by, or NULL */
    struct chardev *port;  /* at that mux */
    struct chardev_front front;
};

static struct script_terminal *check_terminal(lua_State *L)
{
    struct script_terminal *t = luaL_checkudata(L, 1, META_TERMINAL);
    if (!t->editor)
        luaL_error(L, "the terminal is closed");
    return t;
}

/* ---- who reads ---- */

static size_t no_room(void *opaque)
{
    return 0; /* what is typed comes through the editor */
}

static void no_receive(void *opaque, const uint8_t *data, size_t len)
{
}

static void on_event(void *opaque, enum chardev_event event)
{
    struct script_terminal *t = opaque;
    struct chardev *stdio = chardev_mux_backend(t->port);
    if (!stdio || (event != CHARDEV_FOCUSED && event != CHARDEV_UNFOCUSED))
        return;
    bool focus = event == CHARDEV_FOCUSED;
    if (focus)
        chardev_stdio_lend(stdio, true);
    if (t->editor)
        editor_focus(t->editor, focus);
    if (!focus)
        chardev_stdio_lend(stdio, false);
}

static void leave_mux(struct script_terminal *t)
{
    if (!t->svm)
        return;
    struct chardev *stdio = chardev_mux_backend(t->port);
    bool focus = chardev_mux_has_focus(t->port);
    chardev_attach(t->port, NULL);
    if (stdio && focus)
        chardev_mux_next(stdio);
    if (stdio)
        chardev_stdio_lend(stdio, false);
    t->svm = NULL;
    t->port = NULL;
}

void script_terminal_forget(struct script_vm *svm)
{
    struct script_terminal *t = svm->script->terminal;
    if (!t || t->svm != svm)
        return;
    chardev_attach(t->port, NULL);
    t->svm = NULL;
    t->port = NULL;
    editor_focus(t->editor, true);
}

/* ---- Ctrl-C ---- */

/* On the editor's thread: the line that is executed, in terminal:call(), sees this soon. */
static void interrupt(void *opaque)
{
    struct script_terminal *t = opaque;
    atomic_store(&t->script->universe->interrupt, true);
}

/* The loop is being served, so the line waits. If machines run it is for them, and their pause
 * ends it; else the wait itself is interrupted (universe_wait). */
static void notice(void *opaque, bool interrupted, bool released)
{
    struct script_terminal *t = opaque;
    atomic_bool *interrupt = &t->script->universe->interrupt;
    interrupted = interrupted && atomic_load(interrupt);
    for (struct script_vm *svm = t->script->vms; svm && interrupted; svm = svm->next) {
        if (vm_state(svm->vm) == VM_RUNNING) {
            vm_pause(svm->vm, "user");
            atomic_store(interrupt, false);
        }
    }
    if (released && t->svm)
        chardev_mux_next(chardev_mux_backend(t->port));
}

/* ---- methods ---- */

static void close_terminal(struct script_terminal *t)
{
    struct editor *editor = t->editor;
    t->editor = NULL;
    if (t->script->terminal == t)
        t->script->terminal = NULL;
    editor_free(editor);
    if (editor)
        leave_mux(t);
}

static int l_terminal_close(lua_State *L)
{
    close_terminal(luaL_checkudata(L, 1, META_TERMINAL));
    return 0;
}

struct reading {
    struct script_terminal *t;
    struct vm *vm; /* its end is waited for as well, or NULL */
};

static bool has_news(void *opaque)
{
    struct reading *r = opaque;
    return !r->t->editor || r->t->script->exit_requested || editor_ready(r->t->editor) ||
           (r->vm && vm_state(r->vm) == VM_ENDED);
}

/* call(f, ...) → true, results; or false, the error. */
static int l_terminal_call(lua_State *L)
{
    struct lua_frame *frame = universe_of(L)->frame;
    check_terminal(L);
    luaL_checktype(L, 2, LUA_TFUNCTION);
    frame->interruptible = true;
    int status = lua_pcall(L, lua_gettop(L) - 2, LUA_MULTRET, 0);
    frame->interruptible = false;
    lua_pushboolean(L, status == LUA_OK);
    lua_insert(L, 2);
    return lua_gettop(L) - 1;
}

/* tell(text): from hooks as well. */
static int l_terminal_tell(lua_State *L)
{
    struct script_terminal *t = check_terminal(L);
    editor_tell(t->editor, luaL_checkstring(L, 2));
    return 0;
}

/* read(prompt, vm) → "line", text; "complete", text; "interrupt"; "end"; "quit"; "ended" when the
 * machine has ended. */
static int l_terminal_read(lua_State *L)
{
    static const char *const names[] = {
        [EDITOR_LINE] = "line",         [EDITOR_END] = "end",   [EDITOR_INTERRUPT] = "interrupt",
        [EDITOR_COMPLETE] = "complete", [EDITOR_QUIT] = "quit",
    };
    struct script_terminal *t = check_terminal(L);
    const char *prompt = luaL_checkstring(L, 2);
    struct script_vm *svm = lua_isnoneornil(L, 3) ? NULL : binding_vm(L, 3, META_VM);
    struct reading r = { t, svm ? svm->vm : NULL };
    editor_start(t->editor, prompt);
    atomic_store(&t->script->universe->interrupt, false);
    struct lua_frame *saved = universe_block_begin(L, "terminal:read()");
    loop_run(t->script->loop, has_news, &r);
    universe_block_end(L, saved);
    if (t->script->exit_requested || !t->editor)
        return luaL_error(L, "the script asked to exit");
    char *text = NULL;
    enum editor_event event =
        editor_ready(t->editor) ? editor_take(t->editor, &text) : EDITOR_NOTHING;
    lua_pushstring(L, event == EDITOR_NOTHING ? "ended" : names[event]);
    lua_pushstring(L, text);
    free(text);
    return 2;
}

/* answer { line, ... }: after "complete". */
static int l_terminal_answer(lua_State *L)
{
    struct script_terminal *t = check_terminal(L);
    luaL_checktype(L, 2, LUA_TTABLE);
    size_t n = lua_rawlen(L, 2);
    luaL_checkstack(L, 4, NULL);
    const char **lines = lua_newuserdatauv(L, (n + 1) * sizeof *lines, 0);
    size_t count = 0;
    for (size_t i = 1; i <= n; i++) {
        /* The table keeps the strings. */
        if (lua_rawgeti(L, 2, (lua_Integer)i) == LUA_TSTRING)
            lines[count++] = lua_tostring(L, -1);
        lua_pop(L, 1);
    }
    editor_answer(t->editor, lines, count);
    return 0;
}

static int l_terminal_interactive(lua_State *L)
{
    lua_pushboolean(L, editor_is_interactive(check_terminal(L)->editor));
    return 1;
}

static int l_terminal_has_focus(lua_State *L)
{
    lua_pushboolean(L, editor_has_focus(check_terminal(L)->editor));
    return 1;
}

/* terminal { history = path, chardev = port, focus = bool }: there is one in the process. `chardev`
 * is a port at the mux of the stdio backend that has the terminal too. */
int l_core_terminal(lua_State *L)
{
    static const char *const keys[] = { "history", "chardev", "focus", NULL };
    struct script *s = universe_of(L)->owner;
    check_keys(L, 1, "terminal", keys);
    if (s->terminal)
        return luaL_error(L, "the terminal is open already");
    lua_getfield(L, 1, "chardev");
    int at = lua_gettop(L);
    struct script_chardev *port = lua_isnil(L, at) ? NULL : binding_ptr(L, at, META_CHARDEV);
    if (port && (!chardev_mux_backend(port->c) || port->c->front))
        return luaL_error(L, "chardev \"%s\" is no free port of a mux", port->c->id);
    struct script_terminal *t = lua_newuserdatauv(L, sizeof *t, 0);
    *t = (struct script_terminal){ .script = s };
    luaL_setmetatable(L, META_TERMINAL);
    const struct editor_config config = { .loop = s->loop,
                                          .history = table_string(L, 1, "history"),
                                          .shared = port != NULL,
                                          .focus = table_bool(L, 1, "focus"),
                                          .interrupt = interrupt,
                                          .notice = notice,
                                          .opaque = t };
    struct error err = { 0 };
    t->editor = editor_new(&config, &err);
    if (!t->editor)
        return script_raise(L, &err);
    s->terminal = t;
    if (port) {
        t->svm = binding_vm(L, at, META_CHARDEV);
        t->port = port->c;
        t->front = (struct chardev_front){ no_room, no_receive, t, on_event, true };
        chardev_attach(t->port, &t->front);
        if (config.focus)
            chardev_mux_focus(t->port);
    }
    lua_settop(L, at + 1);
    return 1;
}

static const struct binding_member methods[] = {
    { "read", l_terminal_read, "(prompt [, vm]) → string, text",
      "wait for a line, a key or the end of the machine" },
    { "answer", l_terminal_answer, "{ line, ... }", "candidates, after the event \"complete\"" },
    { "call", l_terminal_call, "(f, ...) → boolean, value, ...",
      "pcall(f, ...), and Ctrl-C raises \"interrupted\" in it" },
    { "tell", l_terminal_tell, "(text)", "a line unasked, above the one that is being edited" },
    { "interactive", l_terminal_interactive, "() → boolean",
      "does somebody type, or is it a pipe" },
    { "has_focus", l_terminal_has_focus, "() → boolean",
      "does the monitor read the terminal now, not the serial port" },
    { "close", l_terminal_close, "()", "give the terminal back" },
    { NULL },
};

static const struct binding_type terminal_type = {
    .meta = META_TERMINAL,
    .label = "terminal",
    .help = "the terminal that the monitor reads lines from",
    .methods = methods,
};

void l_terminal_open(lua_State *L)
{
    binding_plain_type_new(L, &terminal_type, l_terminal_close);
    luaL_getmetatable(L, META_TERMINAL);
    lua_pushcfunction(L, l_terminal_close);
    lua_setfield(L, -2, "__close");
    lua_pop(L, 1);
}
