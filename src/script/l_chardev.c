/* Character backends as Lua sees them. */
#include "script/script_hook.h"

#include "base/bits.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { INPUT_ROOM = 65536 };

static struct script_chardev *check_chardev(lua_State *L)
{
    return binding_ptr(L, 1, META_CHARDEV);
}

int l_vm_chardevs(lua_State *L)
{
    struct script_vm *svm = binding_vm(L, 1, META_VM);
    lua_newtable(L);
    lua_Integer n = 0;
    for (struct script_chardev *c = svm->chardevs; c; c = c->next) {
        binding_push(L, svm, META_CHARDEV, c);
        lua_rawseti(L, -2, ++n);
    }
    return 1;
}

int l_vm_chardev(lua_State *L)
{
    struct script_vm *svm = binding_vm(L, 1, META_VM);
    const char *id = luaL_checkstring(L, 2);
    struct script_chardev *found = script_find_chardev(svm, id);
    if (!found) {
        const char *names[64];
        size_t n = 0;
        for (struct script_chardev *c = svm->chardevs; c && n + 1 < ARRAY_LEN(names); c = c->next)
            names[n++] = c->c->id;
        names[n] = NULL;
        struct error err = { 0 };
        error_set(&err, "there is no chardev \"%s\"%s", id, suggest_name(id, names).text);
        return script_raise(L, &err);
    }
    binding_push(L, svm, META_CHARDEV, found);
    return 1;
}

/* write(text): as if it had been typed. */
static int l_chardev_write(lua_State *L)
{
    size_t len;
    const char *text = luaL_checklstring(L, 2, &len);
    chardev_input(check_chardev(L)->c, (const uint8_t *)text, len);
    return 0;
}

/* read(): what a ring holds, and how many bytes were ever written. */
static int l_chardev_read(lua_State *L)
{
    struct chardev *c = check_chardev(L)->c;
    if (strcmp(c->ops->kind, "ring"))
        return luaL_error(L, "chardev \"%s\" is a %s: only a ring keeps what was written", c->id,
                          c->ops->kind);
    uint64_t total = 0;
    size_t cap = c->bytes_out < 1u << 30 ? c->bytes_out : 1u << 30;
    luaL_Buffer b;
    char *bytes = luaL_buffinitsize(L, &b, cap);
    size_t n = chardev_ring_read(c, (uint8_t *)bytes, cap, &total);
    luaL_pushresultsize(&b, n);
    lua_pushinteger(L, (lua_Integer)total);
    return 2;
}

struct bytes {
    const uint8_t *data;
    size_t len;
};

static int push_bytes(lua_State *L, void *opaque)
{
    struct bytes *b = opaque;
    lua_pushlstring(L, (const char *)b->data, b->len);
    return 1;
}

static void saw_output(void *opaque, const uint8_t *data, size_t len)
{
    struct script_chardev *s = opaque;
    hook_call(&s->output, push_bytes, NULL, &(struct bytes){ data, len }, NULL);
}

/* on_output(f): f(text) for everything that the guest writes; nil ends that. */
static int l_chardev_on_output(lua_State *L)
{
    struct script_chardev *s = check_chardev(L);
    chardev_tap_remove(s->c, &s->output_tap);
    hook_fini(&s->output);
    if (lua_isnoneornil(L, 2))
        return 0;
    hook_init(&s->output, L, 2, s->c->id, HOOK_PAUSE, &binding_vm(L, 1, META_CHARDEV)->target);
    s->output_tap = (struct chardev_tap){ saw_output, s };
    chardev_tap_add(s->c, &s->output_tap);
    return 0;
}

/* ---- a front end in Lua ---- */

static size_t lua_room(void *opaque)
{
    return INPUT_ROOM;
}

static void lua_receive(void *opaque, const uint8_t *data, size_t len)
{
    struct script_chardev *s = opaque;
    hook_call(&s->input, push_bytes, NULL, &(struct bytes){ data, len }, NULL);
}

static int push_event(lua_State *L, void *opaque)
{
    static const char *const names[] = {
        [CHARDEV_OPENED] = "opened",   [CHARDEV_CLOSED] = "closed",
        [CHARDEV_FOCUSED] = "focused", [CHARDEV_UNFOCUSED] = "unfocused",
        [CHARDEV_BREAK] = "break",
    };
    lua_pushstring(L, names[*(enum chardev_event *)opaque]);
    return 1;
}

static void lua_event(void *opaque, enum chardev_event event)
{
    struct script_chardev *s = opaque;
    if (s->event.universe)
        hook_call(&s->event, push_event, NULL, &event, NULL);
}

static void detach(struct script_chardev *s)
{
    if (s->c->front == &s->front)
        chardev_attach(s->c, NULL);
    hook_fini(&s->input);
    hook_fini(&s->event);
}

/* attach(f [, g]): f(text) gets what comes in; g(event) hears of "opened", "closed", "focused" and
 * "unfocused". nil ends it. Their errors are reported, and the machine goes on. */
static int l_chardev_attach(lua_State *L)
{
    struct script_chardev *s = check_chardev(L);
    struct hook_target *target = &binding_vm(L, 1, META_CHARDEV)->script->target;
    bool attach = !lua_isnoneornil(L, 2), hears = !lua_isnoneornil(L, 3);
    if (attach)
        luaL_checktype(L, 2, LUA_TFUNCTION);
    if (hears)
        luaL_checktype(L, 3, LUA_TFUNCTION);
    if (s->c->front && s->c->front != &s->front) {
        struct error err = { 0 };
        error_set(&err, "chardev \"%s\" serves another front end; mux=on lets several share it",
                  s->c->id);
        return script_raise(L, &err);
    }
    detach(s);
    if (!attach)
        return 0;
    hook_init(&s->input, L, 2, s->c->id, HOOK_PAUSE, target);
    if (hears)
        hook_init(&s->event, L, 3, s->c->id, HOOK_PAUSE, target);
    s->front = (struct chardev_front){ lua_room, lua_receive, s, lua_event, true };
    chardev_attach(s->c, &s->front);
    return 0;
}

/* send(text): out to the other end. */
static int l_chardev_send(lua_State *L)
{
    size_t len;
    const char *text = luaL_checklstring(L, 2, &len);
    chardev_write(check_chardev(L)->c, (const uint8_t *)text, len);
    return 0;
}

/* focus(): of the front ends at a mux this one is typed to. */
static int l_chardev_focus(lua_State *L)
{
    struct script_chardev *s = check_chardev(L);
    if (!chardev_mux_backend(s->c))
        return luaL_error(L, "chardev \"%s\" is not at a mux", s->c->id);
    chardev_mux_focus(s->c);
    return 0;
}

struct waiting {
    struct script_vm *svm;
    const char *id;
};

static bool came(void *opaque)
{
    struct waiting *w = opaque;
    struct script_chardev *s = w->svm->vm ? script_find_chardev(w->svm, w->id) : NULL;
    return !s || s->c->connected || w->svm->script->exit_requested ||
           vm_state(w->svm->vm) == VM_ENDED;
}

/* wait(): serve the loop until somebody is at the other end. */
static int l_chardev_wait(lua_State *L)
{
    struct script_vm *svm = binding_vm(L, 1, META_CHARDEV);
    struct waiting w = { svm, lua_pushstring(L, check_chardev(L)->c->id) };
    bool ok = universe_wait(L, "chardev:wait()", came, &w);
    if (svm->script->exit_requested)
        return luaL_error(L, "the script asked to exit");
    return ok ? 0 : luaL_error(L, "interrupted");
}

static bool chardev_alive(struct script_vm *svm, const void *p)
{
    const struct script_chardev *c = svm->chardevs;
    while (c && c != p)
        c = c->next;
    return c != NULL;
}

/* remove(): out of the machine, with the hooks on it. */
static int l_chardev_remove(lua_State *L)
{
    struct script_vm *svm = binding_vm(L, 1, META_CHARDEV);
    struct script_chardev *s = check_chardev(L), **at = &svm->chardevs;
    if (!chardev_may_go(s->c)) {
        struct error err = { 0 };
        error_set(&err, "chardev \"%s\" is in use: remove what is attached to it first", s->c->id);
        return script_raise(L, &err);
    }
    for (struct script_hook *h = svm->hooks, *next; h; h = next) {
        next = h->next;
        if (h->kind == &hook_serial && h->serial.chardev == s->c)
            script_hook_remove(h);
    }
    while (*at != s)
        at = &(*at)->next;
    *at = s->next;
    if (!s->next)
        svm->chardevs_tail = at;
    script_chardev_free(s);
    binding_sweep(L, svm);
    return 0;
}

void script_chardev_free(struct script_chardev *s)
{
    struct chardev *c = s->c;
    chardev_tap_remove(c, &s->output_tap);
    script_history_free(s);
    detach(s);
    chardev_free(c);
    hook_fini(&s->output);
    free(s);
}

/* ---- fields ---- */

static int get_id(lua_State *L)
{
    lua_pushstring(L, check_chardev(L)->c->id);
    return 1;
}

static int get_kind(lua_State *L)
{
    lua_pushstring(L, check_chardev(L)->c->ops->kind);
    return 1;
}

static int get_bytes_out(lua_State *L)
{
    lua_pushinteger(L, (lua_Integer)check_chardev(L)->c->bytes_out);
    return 1;
}

static int get_bytes_in(lua_State *L)
{
    lua_pushinteger(L, (lua_Integer)check_chardev(L)->c->bytes_in);
    return 1;
}

/* Pushes an allocated string, and frees it even if memory runs out: nil for NULL. */
static int push_allocated(lua_State *L, char *text)
{
    char copy[512];
    snprintf(copy, sizeof copy, "%s", text ? text : "");
    free(text);
    lua_pushstring(L, text ? copy : NULL);
    return 1;
}

static int get_filename(lua_State *L)
{
    return push_allocated(L, chardev_filename(check_chardev(L)->c));
}

static int get_peer(lua_State *L)
{
    struct chardev *c = check_chardev(L)->c;
    return push_allocated(L, strcmp(c->ops->kind, "socket") ? NULL : chardev_socket_peer(c));
}

static int get_port(lua_State *L)
{
    struct chardev *c = check_chardev(L)->c;
    unsigned port = strcmp(c->ops->kind, "socket") ? 0 : chardev_socket_port(c);
    if (port)
        lua_pushinteger(L, port);
    else
        lua_pushnil(L);
    return 1;
}

static int get_connected(lua_State *L)
{
    lua_pushboolean(L, check_chardev(L)->c->connected);
    return 1;
}

static int get_attached(lua_State *L)
{
    lua_pushboolean(L, check_chardev(L)->c->front != NULL);
    return 1;
}

static int get_mux(lua_State *L)
{
    lua_pushboolean(L, check_chardev(L)->c->mux != NULL);
    return 1;
}

static int chardev_tostring(lua_State *L)
{
    struct chardev *c = check_chardev(L)->c;
    lua_pushfstring(L, "chardev \"%s\" (%s)", c->id, c->ops->kind);
    return 1;
}

static const struct binding_member methods[] = {
    { "write", l_chardev_write, "(text)", "to the guest, as if it had been typed" },
    { "read", l_chardev_read, "() → text, total",
      "what a ring holds, and how many bytes were ever written" },
    { "on_output", l_chardev_on_output, "(f)",
      "call f(text) for all that the guest writes; nil ends that" },
    { "attach", l_chardev_attach, "(f [, g])",
      "be its front end: f(text) for input, g(event) for opened, closed, focused, unfocused" },
    { "send", l_chardev_send, "(text)", "to the other end, as its front end" },
    { "focus", l_chardev_focus, "()", "at a mux: what is typed goes here" },
    { "wait", l_chardev_wait, "()", "serve the loop until somebody is at the other end" },
    { "remove", l_chardev_remove, "()", "take it out of the machine; nothing may be attached" },
    { NULL },
};

static const struct binding_member properties[] = {
    { "id", get_id, "string", "its id" },
    { "kind", get_kind, "string", "null, ring, file, stdio, pty, socket or mux" },
    { "filename", get_filename, "string", "what it is connected to, as info chardevs shows it" },
    { "peer", get_peer, "string or nil", "of a socket: the other end's address, if it has one" },
    { "port", get_port, "integer or nil", "of a TCP socket: its port" },
    { "connected", get_connected, "boolean", "may somebody be at the other end" },
    { "attached", get_attached, "boolean", "has it a front end" },
    { "mux", get_mux, "boolean", "is it shared by several front ends" },
    { "bytes_out", get_bytes_out, "integer", "bytes written by the guest" },
    { "bytes_in", get_bytes_in, "integer", "bytes given to the guest" },
    { NULL },
};

static const struct binding_type chardev_type = {
    .meta = META_CHARDEV,
    .label = "chardev",
    .help = "a character backend, such as what a serial port is connected to",
    .methods = methods,
    .properties = properties,
    .tostring = chardev_tostring,
    .alive = chardev_alive,
};

void l_chardev_open(lua_State *L)
{
    binding_type_new(L, &chardev_type);
}
