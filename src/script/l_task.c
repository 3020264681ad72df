/* What the Lua parts of tasks (lua/perilune/task.lua) and of the test runner need from C: resuming
 * a coroutine whose error keeps its own traceback, code that must end by a time, and the text of
 * character backends. Machine lock. */
#include "script/script_hook.h"

#include <string.h>

/* ---- tasks ---- */

static int to_text(lua_State *L)
{
    luaL_tolstring(L, 1, NULL);
    return 1;
}

/* With the error on top of `co`: the same as an error of L, with the traceback of `co` unless it is
 * an error object. */
static void push_failure(lua_State *L, lua_State *co)
{
    lua_xmove(co, L, 1);
    if (script_is_error_object(L, -1))
        return;
    lua_pushcfunction(L, to_text);
    lua_insert(L, -2);
    const char *text =
        lua_pcall(L, 1, 1, 0) == LUA_OK ? lua_tostring(L, -1) : "an error that cannot be shown";
    lua_createtable(L, 0, 2);
    luaL_traceback(L, co, text, 0);
    lua_setfield(L, -2, "text");
    lua_pushliteral(L, "task");
    lua_setfield(L, -2, "kind");
    luaL_setmetatable(L, SCRIPT_ERROR_META);
}

/* resume(coroutine, task, ...) → true: it waits, false: it is done. Raises what it raised, unless
 * task.status says "cancelled"; then task.status and task.error tell. In C, because a task that
 * has used up its budget leaves no instruction to Lua. */
static int l_task_resume(lua_State *L)
{
    lua_State *co = lua_tothread(L, 1);
    int nargs = lua_gettop(L) - 2, nresults = 0;
    luaL_argcheck(L, co, 1, "a coroutine is needed");
    luaL_checktype(L, 2, LUA_TTABLE);
    if (!lua_checkstack(co, nargs + 1))
        return luaL_error(L, "too many arguments to resume");
    lua_xmove(L, co, nargs);
    int result = lua_resume(co, L, nargs, &nresults);
    if (result == LUA_OK || result == LUA_YIELD) {
        lua_pop(co, nresults);
        lua_pushboolean(L, result == LUA_YIELD);
        return 1;
    }
    push_failure(L, co);
    lua_resetthread(co); /* closes what is to be closed */
    lua_pushliteral(L, "status");
    lua_rawget(L, 2);
    const char *status = lua_tostring(L, -1);
    if (status && !strcmp(status, "cancelled")) {
        lua_pushboolean(L, false);
        return 1;
    }
    lua_pop(L, 1);
    luaL_tolstring(L, -1, NULL);
    lua_setfield(L, 2, "error");
    lua_pushliteral(L, "failed");
    lua_setfield(L, 2, "status");
    return lua_error(L);
}

/* may_wait() → boolean: the code that runs is no hook's. */
static int l_task_may_wait(lua_State *L)
{
    const struct lua_frame *f = universe_of(L)->frame;
    lua_pushboolean(L, !f || !f->hook);
    return 1;
}

/* ---- code that must end by a time ---- */

/* Message handler: { error, traceback }. */
static int keep_traceback(lua_State *L)
{
    lua_createtable(L, 2, 0);
    lua_pushvalue(L, 1);
    lua_rawseti(L, -2, 1);
    luaL_traceback(L, L, NULL, 1);
    lua_rawseti(L, -2, 2);
    return 1;
}

/* limited(ns, late, f) → true, or false, error, traceback. f runs as main code for that long in
 * real time; after it every instruction raises `late`. 0: for ever. */
static int l_task_limited(lua_State *L)
{
    lua_Integer ns = luaL_checkinteger(L, 1);
    const char *late = luaL_checkstring(L, 2);
    luaL_checktype(L, 3, LUA_TFUNCTION);
    luaL_argcheck(L, ns >= 0, 1, "time does not go back");
    struct universe *u = universe_of(L);
    if (u->frame && u->frame->hook)
        return luaL_error(L, "limited() is for main code");
    struct lua_frame frame = { .outer = u->frame, .late = late };
    frame.deadline = ns ? loop_realtime_ns() + ns : 0;
    lua_settop(L, 3);
    lua_pushcfunction(L, keep_traceback);
    lua_insert(L, 3);
    u->frame = &frame;
    int result = lua_pcall(L, 0, 0, 3);
    u->frame = frame.outer;
    lua_pushboolean(L, result == LUA_OK);
    if (result == LUA_OK)
        return 1;
    if (!lua_istable(L, -2) || result != LUA_ERRRUN) { /* out of memory, or in the handler */
        lua_pushvalue(L, -2);
        return 2;
    }
    lua_rawgeti(L, -2, 1);
    lua_rawgeti(L, -3, 2);
    return 3;
}

/* bounded(f, ...) → as pcall. In a hook the last tenth of its budget is left to the caller, who can
 * clean up and say what happened. */
static int l_task_bounded(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TFUNCTION);
    struct universe *u = universe_of(L);
    struct lua_frame *outer = u->frame,
                     frame = outer ? *outer : (struct lua_frame){ .hook = false };
    uint64_t kept = frame.hook ? frame.budget / 10 : 0;
    kept = kept < frame.left ? kept : frame.left;
    frame.outer = outer;
    frame.left -= kept;
    u->frame = &frame;
    int result = lua_pcall(L, lua_gettop(L) - 1, LUA_MULTRET, 0);
    u->frame = outer;
    if (outer && outer->hook)
        outer->left = frame.left + kept;
    lua_pushboolean(L, result == LUA_OK);
    lua_insert(L, 1);
    return lua_gettop(L);
}

/* ---- character backends ---- */

/* history(chardev [, from: integer]) → text, total: what is still held of what the guest has
 * written since byte `from`, and how many bytes that were in all. */
static int l_task_history(lua_State *L)
{
    struct script_chardev *c = binding_ptr(L, 1, META_CHARDEV);
    lua_Integer from = luaL_optinteger(L, 2, 0);
    luaL_argcheck(L, from >= 0, 2, "bytes are counted from 0");
    lua_pushinteger(L, (lua_Integer)script_history_push(L, c, (uint64_t)from));
    return 2;
}

/* waiting(chardev) → bytes that were sent to the guest and that its device has not taken. */
static int l_task_waiting(lua_State *L)
{
    struct script_chardev *c = binding_ptr(L, 1, META_CHARDEV);
    lua_pushinteger(L, (lua_Integer)chardev_input_waiting(c->c));
    return 1;
}

/* ---- the rest ---- */

/* duration(value) → ns */
static int l_task_duration(lua_State *L)
{
    lua_pushinteger(L, check_duration(L, 1));
    return 1;
}

static const struct binding_member functions[] = {
    { "resume", l_task_resume, "(coroutine, task, ...) → boolean",
      "does it wait, or is it done; raises what it raised" },
    { "may_wait", l_task_may_wait, "() → boolean", "the code that runs is no hook's" },
    { "limited", l_task_limited, "(ns, late: string, f) → boolean, value, traceback: string",
      "run f as main code for that long in real time; then every instruction raises late" },
    { "bounded", l_task_bounded, "(f, ...) → boolean, ...",
      "as pcall; in a hook the last tenth of its budget is left to the caller" },
    { "history", l_task_history, "(chardev [, from: integer]) → text, total",
      "what is still held of what the guest has written since a byte" },
    { "waiting", l_task_waiting, "(chardev) → integer", "bytes sent that were not taken" },
    { "duration", l_task_duration, "(time) → ns", "\"30s\" in nanoseconds" },
    { "set_vm_methods", l_vm_add_methods, "({ [name] = f })", "the methods of vm written in Lua" },
    { NULL },
};

static const struct binding_type module = {
    .meta = "perilune.task_core",
    .label = "module",
    .help = "what tasks and the test runner need from C",
    .methods = functions,
};

int luaopen_perilune_task_core(lua_State *L)
{
    lua_newtable(L);
    binding_set_functions(L, functions);
    binding_document(L, &module);
    return 1;
}
