/* The monitor's terminal as Lua sees it: perilune.core.terminal().
 *
 * The editor reads lines on its own thread; main code of the script takes them in terminal:read(),
 * which serves the loop meanwhile. Nothing here calls Lua. */
#include "script/binding.h"

#include "base/alloc.h"
#include "char/editor.h"

#include <stdlib.h>
#include <string.h>

#define META_TERMINAL "perilune.terminal"

struct script_terminal {
    struct script *script;
    struct editor *editor;    /* NULL: closed */
    struct script_vm *sharer; /* whose stdio backend has the same terminal, or NULL */
};

static struct script_terminal *check_terminal(lua_State *L)
{
    struct script_terminal *t = luaL_checkudata(L, 1, META_TERMINAL);
    if (!t->editor)
        luaL_error(L, "the terminal is closed");
    return t;
}

/* ---- who reads ---- */

static struct chardev *stdio_of(struct script_vm *svm)
{
    for (struct script_chardev *c = svm->chardevs; c; c = c->next)
        if (!strcmp(c->c->ops->kind, "stdio"))
            return c->c;
    return NULL;
}

void script_terminal_switch(struct script_vm *svm)
{
    struct script_terminal *t = svm->script->terminal;
    if (!t || t->sharer != svm)
        return;
    chardev_stdio_lend(stdio_of(svm), true);
    editor_focus(t->editor, true);
}

void script_terminal_forget(struct script_vm *svm)
{
    struct script_terminal *t = svm->script->terminal;
    if (!t || t->sharer != svm)
        return;
    t->sharer = NULL;
    editor_focus(t->editor, true);
}

/* ---- Ctrl-C ---- */

/* On the editor's thread: the Lua code that runs sees this soon. */
static void interrupt(void *opaque)
{
    struct script_terminal *t = opaque;
    atomic_store(&t->script->universe->interrupt, true);
}

/* The loop is being served, so no Lua code was running: whoever waits, waits for machines. */
static void notice(void *opaque, bool interrupted, bool released)
{
    struct script_terminal *t = opaque;
    if (interrupted && atomic_exchange(&t->script->universe->interrupt, false))
        for (struct script_vm *svm = t->script->vms; svm; svm = svm->next)
            if (vm_state(svm->vm) == VM_RUNNING)
                vm_pause(svm->vm, "user");
    if (released && t->sharer)
        chardev_stdio_lend(stdio_of(t->sharer), false);
}

/* ---- methods ---- */

static void close_terminal(struct script_terminal *t)
{
    struct editor *editor = t->editor;
    t->editor = NULL;
    if (t->script->terminal == t)
        t->script->terminal = NULL;
    editor_free(editor);
    if (editor && t->sharer)
        chardev_stdio_lend(stdio_of(t->sharer), false);
    t->sharer = NULL;
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

/* terminal { history = path, vm = vm, focus = bool }: there is one in the process. With `vm` it is
 * shared with that machine's stdio backend, if it has one. */
int l_core_terminal(lua_State *L)
{
    static const char *const keys[] = { "history", "vm", "focus", NULL };
    struct script *s = universe_of(L)->owner;
    check_keys(L, 1, "terminal", keys);
    if (s->terminal)
        return luaL_error(L, "the terminal is open already");
    lua_getfield(L, 1, "vm");
    struct script_vm *svm = lua_isnil(L, -1) ? NULL : binding_vm(L, lua_gettop(L), META_VM);
    struct chardev *stdio = svm ? stdio_of(svm) : NULL;
    struct script_terminal *t = lua_newuserdatauv(L, sizeof *t, 0);
    *t = (struct script_terminal){ .script = s, .sharer = stdio ? svm : NULL };
    luaL_setmetatable(L, META_TERMINAL);
    const struct editor_config config = { .loop = s->loop,
                                          .history = table_string(L, 1, "history"),
                                          .shared = stdio != NULL,
                                          .focus = table_bool(L, 1, "focus"),
                                          .interrupt = interrupt,
                                          .notice = notice,
                                          .opaque = t };
    struct error err = { 0 };
    t->editor = editor_new(&config, &err);
    if (!t->editor)
        return script_raise(L, &err);
    s->terminal = t;
    if (stdio && config.focus)
        chardev_stdio_lend(stdio, true);
    lua_settop(L, 3);
    return 1;
}

static const struct binding_member methods[] = {
    { "read", l_terminal_read, "(prompt [, vm]) → event, text",
      "wait for a line, a key or the end of the machine" },
    { "answer", l_terminal_answer, "{ line, ... }", "candidates, after the event \"complete\"" },
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
    luaL_newmetatable(L, META_TERMINAL);
    lua_newtable(L);
    binding_set_functions(L, methods);
    binding_document(L, &terminal_type);
    lua_setfield(L, -2, "__index");
    lua_pushcfunction(L, l_terminal_close);
    lua_setfield(L, -2, "__gc");
    lua_pushcfunction(L, l_terminal_close);
    lua_setfield(L, -2, "__close");
    lua_pop(L, 1);
}
