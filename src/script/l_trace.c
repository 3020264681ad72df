/* Events of a machine as Lua sees them: vm:trace(), and outputs that write lines. docs/tracing.md
 * has the semantics. */
#include "script/script_hook.h"

#include "base/alloc.h"

#include <stdlib.h>
#include <string.h>

/* An output made by vm:trace_output(). The struct stays until the machine is closed. */
struct script_trace {
    struct trace_output *o; /* NULL: closed */
    struct script_trace *next;
};

/* ---- names ---- */

enum { NAMES_MAX = 512 };

/* All names of events, and "group.*" for each group; group globs are on the stack as strings. */
static void all_names(lua_State *L, const char *names[NAMES_MAX + 1])
{
    size_t count = 0;
    struct trace_table *t;
    lua_newtable(L); /* keeps the globs */
    for (size_t n = 0; (t = vm_trace_table(n)); n++) {
        const char *name = t->events[0].name;
        lua_pushlstring(L, name, strcspn(name, "."));
        lua_pushliteral(L, ".*");
        lua_concat(L, 2);
        const char *glob = lua_tostring(L, -1);
        lua_rawseti(L, -2, (lua_Integer)n + 1);
        if (count < NAMES_MAX)
            names[count++] = glob;
        for (unsigned e = 0; e < t->count && count < NAMES_MAX; e++)
            names[count++] = t->events[e].name;
    }
    names[count] = NULL;
}

/* Raises with the nearest name when a pattern matches nothing. */
static void check_select(lua_State *L, struct trace_listener *l, const char *patterns, bool on)
{
    char unmatched[128];
    const char *names[NAMES_MAX + 1];
    struct error err = { 0 };
    if (trace_select(l, patterns, on, unmatched, sizeof unmatched))
        return;
    all_names(L, names);
    const char *near = nearest_name(unmatched, names);
    if (near)
        error_set(&err, "there is no event \"%s\"; did you mean \"%s\"?", unmatched, near);
    else
        error_set(&err, "there is no event \"%s\"; --trace help lists all", unmatched);
    script_raise(L, &err);
}

/* trace_events() → { { name =, help =, args = { { name =, kind = }, ... } }, ... } */
int l_core_trace_events(lua_State *L)
{
    static const char *const kinds[] = {
        [TRACE_DEC] = "dec",   [TRACE_INT] = "int",   [TRACE_HEX] = "hex",
        [TRACE_BOOL] = "bool", [TRACE_TEXT] = "text", [TRACE_BYTES] = "bytes",
    };
    struct trace_table *t;
    lua_Integer count = 0;
    lua_newtable(L);
    for (size_t n = 0; (t = vm_trace_table(n)); n++)
        for (unsigned e = 0; e < t->count; e++) {
            const struct trace_event *event = &t->events[e];
            lua_createtable(L, 0, 3);
            lua_pushstring(L, event->name);
            lua_setfield(L, -2, "name");
            lua_pushstring(L, event->help);
            lua_setfield(L, -2, "help");
            lua_newtable(L);
            for (unsigned a = 0; a < trace_arg_count(event); a++) {
                lua_createtable(L, 0, 2);
                lua_pushstring(L, event->args[a].name);
                lua_setfield(L, -2, "name");
                lua_pushstring(L, kinds[event->args[a].kind]);
                lua_setfield(L, -2, "kind");
                lua_rawseti(L, -2, a + 1);
            }
            lua_setfield(L, -2, "args");
            lua_rawseti(L, -2, ++count);
        }
    return 1;
}

/* traced() → { [name] = number of listeners } of those that somebody listens to */
int l_vm_traced(lua_State *L)
{
    struct script_vm *svm = binding_vm(L, 1, META_VM);
    struct trace_table *t;
    lua_newtable(L);
    for (size_t n = 0; (t = vm_trace_table(n)); n++)
        for (unsigned e = 0; e < t->count; e++) {
            unsigned listeners = trace_listeners(vm_trace_of(svm->vm), n, e);
            if (!listeners)
                continue;
            lua_pushinteger(L, listeners);
            lua_setfield(L, -2, t->events[e].name);
        }
    return 1;
}

/* ---- vm:trace() ---- */

struct trace_call {
    struct script_hook *h;
    const struct trace_record *r;
};

static void push_value(lua_State *L, enum trace_kind kind, uint64_t v)
{
    if (kind == TRACE_BOOL)
        lua_pushboolean(L, v != 0);
    else if (kind == TRACE_TEXT)
        lua_pushstring(L, (const char *)(uintptr_t)v);
    else
        lua_pushinteger(L, (lua_Integer)v);
}

static int push_record(lua_State *L, void *opaque)
{
    const struct trace_record *r = ((struct trace_call *)opaque)->r;
    unsigned count = trace_arg_count(r->event);
    lua_pushstring(L, r->event->name);
    lua_pushstring(L, r->source);
    for (unsigned n = 0; n < count; n++)
        push_value(L, r->event->args[n].kind, r->args[n]);
    return 2 + (int)count;
}

static void take_stop(lua_State *L, void *opaque)
{
    struct trace_call *call = opaque;
    if (hook_says_stop(L, call->h))
        vm_pause(call->h->svm->vm, "hook");
}

static void on_event(void *opaque, const struct trace_record *r)
{
    struct trace_call call = { opaque, r };
    script_hook_call(opaque, push_record, take_stop, &call);
}

static void uninstall_trace(struct script_hook *h)
{
    trace_detach(&h->trace);
}

const struct hook_kind hook_trace = { .event = "trace", .uninstall = uninstall_trace };

/* trace(patterns, f [, { on_error =, name = }]) → hook */
int l_vm_trace(lua_State *L)
{
    static const char *const keys[] = { "on_error", "name", NULL };
    static const char *const policies[] = { "pause", "disable", "abort", NULL };
    struct script_vm *svm = binding_vm(L, 1, META_VM);
    const char *patterns = luaL_checkstring(L, 2);
    luaL_checktype(L, 3, LUA_TFUNCTION);
    lua_settop(L, 4);
    if (lua_isnil(L, 4)) {
        lua_newtable(L);
        lua_replace(L, 4);
    }
    check_keys(L, 4, "vm:trace", keys);
    lua_getfield(L, 4, "on_error");
    int policy = check_choice(L, "on_error", "pause", policies);
    const char *name = table_string(L, 4, "name");
    name = name ? name : lua_pushfstring(L, "trace of %s", patterns);
    /* Patterns that are wrong raise here, before anything is installed. */
    struct trace_listener probe = { .hits = 0 };
    struct trace t = { .table = vm_trace_table };
    probe.trace = &t;
    check_select(L, &probe, patterns, true);
    trace_select(&probe, "*", false, NULL, 0);
    struct script_hook *h = script_hook_new(L, svm, &hook_trace, 3);
    int index = lua_gettop(L);
    hook_init(&h->hook, L, 3, name, (enum hook_policy)policy, &svm->target);
    h->trace = (struct trace_listener){ .event = on_event, .opaque = h };
    trace_attach(vm_trace_of(svm->vm), &h->trace);
    trace_select(&h->trace, patterns, true, NULL, 0);
    script_hook_installed(h);
    lua_pushvalue(L, index);
    return 1;
}

/* ---- outputs ---- */

/* trace_output { file =, format = } → output; without a file: standard error */
int l_vm_trace_output(lua_State *L)
{
    static const char *const keys[] = { "file", "format", NULL };
    struct script_vm *svm = binding_vm(L, 1, META_VM);
    if (lua_isnoneornil(L, 2)) {
        lua_settop(L, 1);
        lua_newtable(L);
    }
    luaL_checktype(L, 2, LUA_TTABLE);
    check_keys(L, 2, "vm:trace_output", keys);
    const char *format = table_string(L, 2, "format");
    bool json = format && !strcmp(format, "json");
    if (format && !json && strcmp(format, "text"))
        return luaL_error(L, "vm:trace_output: format \"%s\" is none of text, json", format);
    const char *path = table_string(L, 2, "file");
    struct error err = { 0 };
    struct trace_output *o = trace_output_new(vm_trace_of(svm->vm), path, json, &err);
    if (!o)
        return script_raise(L, &err);
    struct script_trace *s = ALLOC(struct script_trace);
    s->o = o;
    s->next = svm->traces;
    svm->traces = s;
    binding_push(L, svm, META_TRACE, s);
    return 1;
}

/* Lines that are kept go to the host; nothing more is written. */
void script_traces_free(struct script_vm *svm)
{
    while (svm->traces) {
        struct script_trace *s = svm->traces;
        svm->traces = s->next;
        trace_output_free(s->o);
        free(s);
    }
}

static struct trace_output *check_output(lua_State *L)
{
    struct script_trace *s = binding_ptr(L, 1, META_TRACE);
    if (!s->o)
        luaL_error(L, "closed trace output");
    return s->o;
}

static int l_output_enable(lua_State *L)
{
    struct trace_output *o = check_output(L);
    check_select(L, &o->listener, luaL_checkstring(L, 2), true);
    return 0;
}

static int l_output_disable(lua_State *L)
{
    struct trace_output *o = check_output(L);
    check_select(L, &o->listener, luaL_checkstring(L, 2), false);
    return 0;
}

static int l_output_move(lua_State *L)
{
    struct error err = { 0 };
    if (!trace_output_move(check_output(L), luaL_optstring(L, 2, NULL), &err))
        return script_raise(L, &err);
    return 0;
}

static int l_output_flush(lua_State *L)
{
    trace_output_flush(check_output(L));
    return 0;
}

static int l_output_close(lua_State *L)
{
    struct script_trace *s = binding_ptr(L, 1, META_TRACE);
    trace_output_free(s->o);
    s->o = NULL;
    return 0;
}

static int get_file(lua_State *L)
{
    lua_pushstring(L, check_output(L)->path);
    return 1;
}

static int get_format(lua_State *L)
{
    lua_pushstring(L, check_output(L)->json ? "json" : "text");
    return 1;
}

static int get_lines(lua_State *L)
{
    lua_pushinteger(L, (lua_Integer)check_output(L)->listener.hits);
    return 1;
}

static int output_tostring(lua_State *L)
{
    struct script_trace *s = binding_ptr(L, 1, META_TRACE);
    if (!s->o)
        lua_pushliteral(L, "trace output (closed)");
    else
        lua_pushfstring(L, "trace output to %s, %I lines",
                        s->o->path ? s->o->path : "standard error",
                        (LUAI_UACINT)s->o->listener.hits);
    return 1;
}

static const struct binding_member output_methods[] = {
    { "enable", l_output_enable, "(patterns)", "write what matches: \"e1000.*,-e1000.reg_*\"" },
    { "disable", l_output_disable, "(patterns)", "write what matches no more" },
    { "move", l_output_move, "([path])", "go on in another file; without one: standard error" },
    { "flush", l_output_flush, "()", "give what is kept to the host" },
    { "close", l_output_close, "()", "write nothing more" },
    { NULL },
};

static const struct binding_member output_properties[] = {
    { "file", get_file, "string or nil", "where the lines go; nil: standard error" },
    { "format", get_format, "string", "text or json" },
    { "lines", get_lines, "integer", "how many there were" },
    { NULL },
};

static const struct binding_type output_type = {
    .meta = META_TRACE,
    .label = "trace output",
    .help = "lines of events: what vm:trace_output() returns",
    .methods = output_methods,
    .properties = output_properties,
    .tostring = output_tostring,
};

void l_trace_open(lua_State *L)
{
    binding_type_new(L, &output_type);
}
