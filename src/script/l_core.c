/* Module "perilune.core": what the Lua part of Perilune needs from C and no object has. */
#include "script/binding.h"

#include "base/alloc.h"
#include "base/log.h"
#include "cpu/vcpu.h"
#include "hw/types.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int l_core_new_vm(lua_State *L);
int l_core_survey(lua_State *L);
int l_core_cpu_features(lua_State *L);
int l_core_versions(lua_State *L);

/* ---- device types ---- */

struct registry_holder {
    struct type_registry *r;
};

static int registry_gc(lua_State *L)
{
    struct registry_holder *h = lua_touserdata(L, 1);
    type_registry_free(h->r);
    h->r = NULL;
    return 0;
}

static struct type_registry *push_registry(lua_State *L)
{
    struct registry_holder *h = lua_newuserdatauv(L, sizeof *h, 0);
    h->r = NULL;
    luaL_setmetatable(L, "perilune.types");
    h->r = type_registry_new();
    struct error err = { 0 };
    for (size_t i = 0; hw_types[i]; i++)
        if (!type_register(h->r, hw_types[i], &err))
            script_raise(L, &err);
    for (size_t i = 0; vcpu_device_types[i]; i++)
        if (!type_register(h->r, vcpu_device_types[i], &err))
            script_raise(L, &err);
    return h->r;
}

static void set_string(lua_State *L, const char *name, const char *value)
{
    lua_pushstring(L, value);
    lua_setfield(L, -2, name);
}

static void set_bool(lua_State *L, const char *name, bool value)
{
    lua_pushboolean(L, value);
    lua_setfield(L, -2, name);
}

static const char *bus_type_of(struct type_registry *r, const struct device_type *t)
{
    for (; t; t = type_parent(r, t))
        if (t->bus_type)
            return t->bus_type;
    return NULL;
}

static void push_type(lua_State *L, struct type_registry *r, const struct device_type *t)
{
    lua_createtable(L, 0, 5);
    set_string(L, "name", t->name);
    set_string(L, "parent", t->parent);
    set_string(L, "desc", t->desc);
    set_string(L, "bus", bus_type_of(r, t));
    set_bool(L, "abstract", t->abstract);
}

/* types() → { { name, parent, desc, bus, abstract }, ... } sorted by name */
static int l_core_types(lua_State *L)
{
    struct type_registry *r = push_registry(L);
    lua_newtable(L);
    lua_Integer n = 0;
    for (const struct device_type *t = NULL; (t = type_next(r, t));) {
        push_type(L, r, t);
        lua_rawseti(L, -2, ++n);
    }
    return 1;
}

static void push_prop_row(lua_State *L, const struct prop *p)
{
    lua_createtable(L, 0, 8);
    set_string(L, "name", p->name);
    set_string(L, "kind", prop_kind_name(p->kind));
    set_string(L, "help", p->help);
    set_string(L, "default", p->def);
    set_bool(L, "live", p->live);
    set_bool(L, "required", p->required);
    if (p->min || p->max) {
        lua_pushinteger(L, p->min);
        lua_setfield(L, -2, "min");
        lua_pushinteger(L, p->max);
        lua_setfield(L, -2, "max");
    }
    if (p->kind == PROP_ENUM && p->names) {
        lua_newtable(L);
        for (lua_Integer i = 0; p->names[i]; i++) {
            lua_pushstring(L, p->names[i]);
            lua_rawseti(L, -2, i + 1);
        }
        lua_setfield(L, -2, "names");
    }
}

/* type_info(name or definition) → the type's row with properties = { row, ... }, own ones first */
static int l_core_type_info(lua_State *L)
{
    struct type_registry *r = push_registry(L);
    struct error err = { 0 };
    const struct device_type *t =
        lua_istable(L, 1) ? luadev_push_type(L, 1) : type_find(r, luaL_checkstring(L, 1), &err);
    if (!t)
        return script_raise(L, &err);
    push_type(L, r, t);
    lua_newtable(L);
    lua_Integer n = 0;
    for (; t; t = type_parent(r, t)) {
        for (const struct prop *p = t->props; p && p->name; p++) {
            push_prop_row(L, p);
            lua_rawseti(L, -2, ++n);
        }
    }
    lua_setfield(L, -2, "properties");
    return 1;
}

/* ---- text ---- */

/* parse_size(text) → bytes, or nil */
static int l_core_parse_size(lua_State *L)
{
    uint64_t bytes;
    if (parse_size(luaL_checkstring(L, 1), &bytes))
        lua_pushinteger(L, (lua_Integer)bytes);
    else
        lua_pushnil(L);
    return 1;
}

/* parse_time(text) → ns, or nil */
static int l_core_parse_time(lua_State *L)
{
    int64_t ns;
    if (parse_time(luaL_checkstring(L, 1), &ns))
        lua_pushinteger(L, ns);
    else
        lua_pushnil(L);
    return 1;
}

/* nearest(name, { candidates }) → the nearest one, or nil */
static int l_core_nearest(lua_State *L)
{
    const char *name = luaL_checkstring(L, 1);
    luaL_checktype(L, 2, LUA_TTABLE);
    lua_Integer n = (lua_Integer)lua_rawlen(L, 2);
    const char **names = lua_newuserdatauv(L, ((size_t)n + 1) * sizeof *names, 0);
    lua_Integer count = 0;
    for (lua_Integer i = 1; i <= n; i++) {
        /* The table keeps the strings. */
        if (lua_rawgeti(L, 2, i) == LUA_TSTRING)
            names[count++] = lua_tostring(L, -1);
        lua_pop(L, 1);
    }
    names[count] = NULL;
    lua_pushstring(L, nearest_name(name, names));
    return 1;
}

/* names(object) → its fields and methods; nil for what is no object of ours */
static int l_core_names(lua_State *L)
{
    luaL_checkany(L, 1);
    if (lua_type(L, 1) != LUA_TUSERDATA || luaL_getmetafield(L, 1, "names") != LUA_TFUNCTION)
        return 0;
    lua_pushvalue(L, 1);
    lua_call(L, 1, 1);
    return 1;
}

/* ---- the process ---- */

/* new_error(kind, text) → an error object; kind is "config" or "host". */
static int l_core_new_error(lua_State *L)
{
    static const char *const kinds[] = { "config", "host", NULL };
    int kind = luaL_checkoption(L, 1, NULL, kinds);
    const char *text = luaL_checkstring(L, 2);
    lua_createtable(L, 0, 2);
    set_string(L, "text", text);
    set_string(L, "kind", kinds[kind]);
    luaL_setmetatable(L, SCRIPT_ERROR_META);
    return 1;
}

/* exit(status): leave the program through the normal way out, which restores the terminal. */
static int l_core_exit(lua_State *L)
{
    int status = lua_isboolean(L, 1) ? !lua_toboolean(L, 1) : (int)luaL_optinteger(L, 1, 0);
    lua_createtable(L, 0, 3);
    set_string(L, "text", "exit");
    set_string(L, "kind", "exit");
    lua_pushinteger(L, status);
    lua_setfield(L, -2, "status");
    luaL_setmetatable(L, SCRIPT_ERROR_META);
    return lua_error(L);
}

static int l_core_log_level(lua_State *L)
{
    static const char *const names[] = { "error", "warning", "info", "debug", NULL };
    log_set_level((enum log_level)luaL_checkoption(L, 1, NULL, names));
    return 0;
}

static int l_core_log_file(lua_State *L)
{
    struct error err = { 0 };
    const char *path = luaL_checkstring(L, 1);
    if (log_set_file(path))
        return 0;
    error_set(&err, "cannot open the log \"%s\": %s", path, strerror(errno));
    return script_raise(L, &err);
}

static int l_core_log(lua_State *L)
{
    static const char *const names[] = { "error", "warning", "info", "debug", NULL };
    int level = luaL_checkoption(L, 1, NULL, names);
    const char *who = luaL_checkstring(L, 2);
    log_host((enum log_level)level, who, "%s", luaL_checkstring(L, 3));
    return 0;
}

/* limits { hook_instructions =, memory =, errors_per_second = }: what is not named stays. */
static int l_core_limits(lua_State *L)
{
    static const char *const keys[] = { "hook_instructions", "memory", "errors_per_second", NULL };
    struct universe *u = universe_of(L);
    luaL_checktype(L, 1, LUA_TTABLE);
    check_keys(L, 1, "limits", keys);
    lua_getfield(L, 1, "hook_instructions");
    lua_getfield(L, 1, "memory");
    lua_getfield(L, 1, "errors_per_second");
    lua_Integer budget = luaL_optinteger(L, -3, (lua_Integer)u->hook_budget);
    lua_Integer memory = luaL_optinteger(L, -2, (lua_Integer)u->memory_cap);
    lua_Integer errors = luaL_optinteger(L, -1, (lua_Integer)u->reports.most);
    luaL_argcheck(L, budget >= 100000, 1, "hook_instructions must be at least 100000");
    luaL_argcheck(L, memory >= 16 << 20, 1, "memory must be at least 16 MiB");
    luaL_argcheck(L, errors >= 1, 1, "errors_per_second must be at least 1");
    u->reports.most = (uint64_t)errors;
    u->hook_budget = (uint64_t)budget;
    u->memory_cap = (size_t)memory;
    return 0;
}

static int l_core_realtime_ns(lua_State *L)
{
    lua_pushinteger(L, loop_realtime_ns());
    return 1;
}

struct waiting {
    struct script *script;
    struct hook done;
    bool over, failed;
};

static void take_over(lua_State *L, void *opaque)
{
    ((struct waiting *)opaque)->over = lua_toboolean(L, HOOK_RESULT);
}

static bool is_over(void *opaque)
{
    struct waiting *w = opaque;
    if (w->script->exit_requested)
        return true;
    w->failed = !hook_call(&w->done, NULL, take_over, w, NULL);
    return w->failed || w->over;
}

/* wait(done): serve the loop until done() is true, which is asked whenever something has happened.
 */
static int l_core_wait(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TFUNCTION);
    struct waiting w = { .script = universe_of(L)->owner };
    universe_check_wait(L, "perilune.wait()");
    hook_init(&w.done, L, 1, "perilune.wait", HOOK_DISABLE, &w.script->target);
    bool ok = universe_wait(L, "perilune.wait()", is_over, &w);
    hook_fini(&w.done);
    if (w.script->exit_requested)
        return luaL_error(L, "the script asked to exit");
    if (!ok)
        return luaL_error(L, "interrupted");
    return w.failed ? luaL_error(L, "perilune.wait(): its function has failed, as reported") : 0;
}

static int l_core_has_accel(lua_State *L)
{
    lua_pushboolean(L, vcpu_backend_find(luaL_checkstring(L, 1), NULL) != NULL);
    return 1;
}

/* ---- error objects ---- */

static int error_tostring(lua_State *L)
{
    lua_getfield(L, 1, "text");
    return 1;
}

static int error_concat(lua_State *L)
{
    luaL_tolstring(L, 1, NULL);
    luaL_tolstring(L, 2, NULL);
    lua_concat(L, 2);
    return 1;
}

static const luaL_Reg error_meta[] = {
    { "__tostring", error_tostring },
    { "__concat", error_concat },
    { NULL, NULL },
};

static const struct binding_member functions[] = {
    { "new_vm", l_core_new_vm,
      "{ name =, accel =, irqchip =, idle =, ns_per_instruction =, epoch_ns =, seed = integer, "
      "no_reboot = "
      "boolean, "
      "no_shutdown = boolean } → "
      "vm, machine",
      "an empty machine" },
    { "new_cluster", l_core_new_cluster, "(name, latency, parallel: boolean) → cluster_core",
      "a cluster without machines" },
    { "types", l_core_types,
      "() → { { name =, parent = string, desc =, bus = string, abstract = boolean }, ... }",
      "device types, sorted by name" },
    { "check_device_type", l_core_check_device_type, "(definition, place)",
      "raise for what is wrong with a definition" },
    { "type_info", l_core_type_info,
      "(type: string or definition) → { name =, properties = { table, ... }, ... }",
      "one device type with its properties" },
    { "parse_size", l_core_parse_size, "(text) → integer or nil",
      "\"512M\" in bytes; nil for what is no size" },
    { "parse_time", l_core_parse_time, "(text) → integer or nil",
      "\"1.5ms\" in nanoseconds; nil for what is no time" },
    { "trace_events", l_core_trace_events,
      "() → { { name =, help =, args = { table, ... } }, ... }", "every event that can be traced" },
    { "nearest", l_core_nearest, "(name, candidates: { string, ... }) → name or nil",
      "the nearest candidate; nil when none is near" },
    { "names", l_core_names, "(object: value) → { name, ... }", "fields and methods of an object" },
    { "terminal", l_core_terminal, "{ history = string, chardev =, focus = boolean } → terminal",
      "open the terminal for the monitor" },
    { "listen", l_core_listen,
      "{ who =, path =, host =, port = integer, insecure = boolean } → fd: integer, port: integer",
      "a listening socket; the descriptor is the caller's" },
    { "new_error", l_core_new_error, "(kind, text) → value",
      "an error object; kind is config or host" },
    { "exit", l_core_exit, "([status])", "leave the program" },
    { "limits", l_core_limits,
      "{ hook_instructions = integer, memory = integer, errors_per_second = integer }",
      "what one call of a hook may take, bytes that all of Lua may hold, errors that are shown" },
    { "log", l_core_log, "(level: string, who, text)", "write to the log" },
    { "log_level", l_core_log_level, "(level: string)", "error, warning, info or debug" },
    { "log_file", l_core_log_file, "(path)", "write the log into a file" },
    { "realtime_ns", l_core_realtime_ns, "() → integer", "the monotonic time of the host" },
    { "wait", l_core_wait, "(done: f)", "serve the loop until done() is true" },
    { "api", l_core_api, "() → { { name =, label =, help =, members = { table, ... }, ... }, ... }",
      "all types of objects with their members" },
    { "has_accel", l_core_has_accel, "(name) → boolean", "is there such a backend" },
    { "survey", l_core_survey, "(accel: string [, thorough: boolean]) → table or nil, text",
      "trials of what the host can do for a backend, as numbers; nil and why it cannot be used" },
    { "cpu_features", l_core_cpu_features,
      "(accel: string [, cpu: string]) → { { name =, leaf = integer, reg = string, bit = integer, "
      "offered = boolean, chosen = boolean, ... }, ... } or nil, text",
      "features of cpus: which the backend offers here, which a --cpu has" },
    { "versions", l_core_versions, "() → { [name] = text }", "of libraries" },
    { NULL },
};

static const struct binding_type core_module = {
    .meta = "perilune.core",
    .label = "module",
    .help = "what the Lua part of Perilune needs from C and no object has",
    .methods = functions,
};

int luaopen_perilune_core(lua_State *L)
{
    luaL_newmetatable(L, SCRIPT_ERROR_META);
    luaL_setfuncs(L, error_meta, 0);
    luaL_newmetatable(L, "perilune.types");
    lua_pushcfunction(L, registry_gc);
    lua_setfield(L, -2, "__gc");
    lua_newtable(L);
    binding_set_functions(L, functions);
    binding_document(L, &core_module);
    return 1;
}
