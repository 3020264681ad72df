/* The Lua universe: allocator with a cap, instruction budget, Lua threads for OS threads, luv on
 * our loop. */
#include "script/lua_state.h"

#include "base/alloc.h"
#include "script/hook.h"

#include <assert.h>
#include <lauxlib.h>
#include <lualib.h>
#include <luv/luv.h>
#include <stdlib.h>
#include <string.h>
#include <x86intrin.h>

enum {
    MEMORY_CAP_DEFAULT = 1 << 30,
    HOOK_BUDGET_DEFAULT = 100000000,
    SHUTDOWN_ROUNDS = 1000,
    ERRORS_PER_SECOND = 20
};

/* Runs in the new universe, with luv as its argument. What it takes away: functions that would run
 * or end the loop, or make threads that enter Lua without the lock; bytecode, which Lua does not
 * verify; the parts of debug that lift limits; luv's metatables, whose __gc frees; finalizers
 * written in Lua, because Lua runs them without counting instructions. */
static const char prelude[] =
    "local luv = ...\n"
    "for _, name in ipairs { 'run', 'stop', 'loop_close', 'walk', 'fork', 'new_thread', "
    "'new_work',\n"
    "                        'queue_work', 'thread_create', 'thread_join', 'loop_configure',\n"
    "                        'update_time', 'setup_args' } do\n"
    "  luv[name] = nil\n"
    "end\n"
    "local traceback, getinfo = debug.traceback, debug.getinfo\n"
    "local registry = debug.getregistry()\n"
    "for name in pairs(debug) do debug[name] = nil end\n"
    "debug.traceback, debug.getinfo = traceback, getinfo\n"
    "string.dump = nil\n"
    "for name, meta in pairs(registry) do\n"
    "  if type(name) == 'string' and name:find('^uv_') and type(meta) == 'table' then\n"
    "    meta.__metatable = 'protected'\n"
    "  end\n"
    "end\n"
    "local load, loadfile, select, set = load, loadfile, select, setmetatable\n"
    "local type, rawget, error = type, rawget, error\n"
    "function _G.load(chunk, name, mode, ...)\n"
    "  return load(chunk, name, 't', ...)\n"
    "end\n"
    "function _G.loadfile(path, mode, ...)\n"
    "  return loadfile(path, 't', ...)\n"
    "end\n"
    "function _G.dofile(path)\n"
    "  local chunk, problem = _G.loadfile(path)\n"
    "  if not chunk then error(problem, 0) end\n"
    "  return chunk()\n"
    "end\n"
    "function _G.setmetatable(t, meta)\n"
    "  if type(meta) == 'table' and rawget(meta, '__gc') ~= nil then\n"
    "    error('setmetatable: __gc is not for scripts; use __close', 2)\n"
    "  end\n"
    "  return set(t, meta)\n"
    "end\n";

/* The cap binds Lua code only: what C pushes between frames (arguments of libuv callbacks) has
 * nobody to catch the error. */
static void *universe_alloc(void *opaque, void *ptr, size_t old_size, size_t new_size)
{
    struct universe *u = opaque;
    size_t old = ptr ? old_size : 0;
    if (!new_size) {
        free(ptr);
        u->bytes -= old;
        return NULL;
    }
    if (new_size > old && u->frame && u->bytes - old + new_size > u->memory_cap)
        return NULL;
    void *p = realloc(ptr, new_size);
    if (p)
        u->bytes += new_size - old;
    return p;
}

/* Takes `step` instructions off what the frame may use; false when there is nothing left of it. */
static bool spend(struct lua_frame *f, int step)
{
    if (f->exhausted)
        return false;
    if (!f->hook)
        return !f->deadline || loop_realtime_ns() < f->deadline;
    if (f->left <= (uint64_t)step)
        return false;
    f->left -= (uint64_t)step;
    return true;
}

/* Once a budget is used up every instruction raises, on whatever coroutine, so that a script cannot
 * swallow the error with pcall and go on. */
static void count_instructions(lua_State *L, lua_Debug *ar)
{
    (void)ar;
    struct universe *u = universe_of(L);
    struct lua_frame *f = u->frame;
    int step = lua_gethookcount(L);
    if (f && f->interruptible && atomic_exchange(&u->interrupt, false))
        luaL_error(L, "interrupted");
    if (!f || spend(f, step)) {
        if (step != LUA_COUNT_QUANTUM)
            lua_sethook(L, count_instructions, LUA_MASKCOUNT, LUA_COUNT_QUANTUM);
        return;
    }
    f->exhausted = true;
    lua_sethook(L, count_instructions, LUA_MASKCOUNT, 1);
    if (!f->hook)
        luaL_error(L, "%s", f->late);
    luaL_error(L, "used up its budget of %I instructions", (LUAI_UACINT)f->budget);
}

struct universe *universe_of(lua_State *L)
{
    struct universe *u;
    memcpy(&u, lua_getextraspace(L), sizeof u);
    return u;
}

static int new_lua_thread(lua_State *L)
{
    lua_State **out = lua_touserdata(L, 1);
    lua_State *t = lua_newthread(L);
    luaL_ref(L, LUA_REGISTRYINDEX);
    luaL_checkstack(t, 4 * LUA_MINSTACK, NULL);
    *out = t;
    return 0;
}

/* The factory is never in the middle of anything, whichever OS thread uses it. */
static lua_State *make_lua_thread(struct universe *u)
{
    lua_State *t = NULL;
    lua_pushcfunction(u->factory, new_lua_thread);
    lua_pushlightuserdata(u->factory, &t);
    if (lua_pcall(u->factory, 1, 0, 0) != LUA_OK)
        lua_settop(u->factory, 0);
    return t;
}

struct lua_os_thread *universe_find_thread(struct universe *u)
{
    pthread_t self = pthread_self();
    struct lua_os_thread *t = u->threads;
    while (t && !pthread_equal(t->id, self))
        t = t->next;
    if (!t) {
        t = ALLOC(struct lua_os_thread);
        t->id = self;
        t->next = u->threads;
        u->threads = t;
    }
    u->recent = t;
    return t;
}

struct lua_level *universe_make_level(struct universe *u, struct lua_os_thread *t)
{
    if (t->depth == LUA_DEPTH_MAX)
        return NULL;
    struct lua_level *level = &t->levels[t->depth];
    level->L = make_lua_thread(u);
    t->depth += level->L != NULL;
    return level->L ? level : NULL;
}

void universe_empty_level(struct lua_level *level)
{
    lua_settop(level->L, 0);
    level->prepared = 0;
}

void universe_forget(struct universe *u, uint64_t prepared)
{
    for (struct lua_os_thread *t = u->threads; prepared && t; t = t->next)
        for (unsigned n = 0; n < LUA_DEPTH_MAX && t->levels[n].L; n++) {
            if (t->levels[n].prepared != prepared)
                continue;
            t->levels[n].prepared = 0;
            if (n >= t->depth)
                universe_empty_level(&t->levels[n]);
        }
}

void universe_check_wait(lua_State *L, const char *what)
{
    const struct lua_frame *f = universe_of(L)->frame;
    if (f && f->hook)
        luaL_error(L, "%s waits, and a %s may not", what, f->batch ? "batch" : "hook");
}

struct lua_frame *universe_block_begin(lua_State *L, const char *what)
{
    struct universe *u = universe_of(L);
    universe_check_wait(L, what);
    struct lua_frame *saved = u->frame;
    u->frame = NULL;
    return saved;
}

void universe_block_end(lua_State *L, struct lua_frame *saved)
{
    universe_of(L)->frame = saved;
}

struct waiting {
    struct universe *u;
    bool (*done)(void *opaque);
    void *opaque;
    bool interruptible;
};

static bool wait_is_over(void *opaque)
{
    struct waiting *w = opaque;
    return w->done(w->opaque) || (w->interruptible && atomic_load(&w->u->interrupt));
}

bool universe_wait(lua_State *L, const char *what, bool (*done)(void *), void *opaque)
{
    struct lua_frame *saved = universe_block_begin(L, what);
    struct waiting w = { universe_of(L), done, opaque, saved && saved->interruptible };
    loop_run(w.u->loop, wait_is_over, &w);
    universe_block_end(L, saved);
    return !w.interruptible || !atomic_exchange(&w.u->interrupt, false);
}

static int close_handles(lua_State *L)
{
    loop_poll(universe_of(L)->loop);
    return 0;
}

/* When Lua is closed finalizers run in the reverse order of their making, and only then objects are
 * freed. luv's finalizers of handles close them, and what that calls in the loop still needs the
 * objects: so the one made first lets the loop call it. */
static void finalize_last(lua_State *L)
{
    lua_newuserdatauv(L, 1, 0);
    lua_createtable(L, 0, 1);
    lua_pushcfunction(L, close_handles);
    lua_setfield(L, -2, "__gc");
    lua_setmetatable(L, -2);
    luaL_ref(L, LUA_REGISTRYINDEX);
}

static int start_universe(lua_State *L)
{
    struct universe *u = universe_of(L);
    /* First of all: coroutines inherit the hook from the one that makes them. */
    lua_sethook(L, count_instructions, LUA_MASKCOUNT, LUA_COUNT_QUANTUM);
    luaL_openlibs(L);
    finalize_last(L);
    u->factory = lua_newthread(L);
    luaL_ref(L, LUA_REGISTRYINDEX);
    u->luv = lua_newthread(L);
    luaL_ref(L, LUA_REGISTRYINDEX);
    luaL_checkstack(u->luv, 4 * LUA_MINSTACK, NULL);
    luv_set_loop(u->luv, loop_uv(u->loop));
    luv_set_callback(u->luv, hook_luv_callback);
    if (luaL_loadbufferx(L, prelude, sizeof prelude - 1, "=prelude", "t") != LUA_OK)
        return lua_error(L);
    lua_pushcfunction(u->luv, luaopen_luv);
    lua_call(u->luv, 0, 1);
    lua_xmove(u->luv, L, 1);
    luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
    lua_pushvalue(L, -2);
    lua_setfield(L, -2, "luv");
    lua_pop(L, 1);
    lua_call(L, 1, 0);
    return 0;
}

struct universe *universe_new(const struct universe_config *config, struct error *err)
{
    struct universe *u = ALLOC(struct universe);
    u->loop = config->loop;
    u->lock = loop_lock(u->loop);
    assert(machine_lock_mine(u->lock));
    u->memory_cap = config->memory_cap ? config->memory_cap : MEMORY_CAP_DEFAULT;
    u->hook_budget = config->hook_budget ? config->hook_budget : HOOK_BUDGET_DEFAULT;
    u->log_name = config->log_name;
    u->reports.most = ERRORS_PER_SECOND;
    u->started_ns = loop_realtime_ns();
    u->started_ticks = __rdtsc();
    u->main = lua_newstate(universe_alloc, u);
    if (u->main) {
        memcpy(lua_getextraspace(u->main), &u, sizeof u);
        lua_pushcfunction(u->main, start_universe);
        if (lua_pcall(u->main, 0, 0, 0) == LUA_OK)
            return u;
        error_set_host(err, 0, "cannot start Lua: %s", lua_tostring(u->main, -1));
        lua_close(u->main);
    } else {
        error_set_host(err, 0, "cannot start Lua: out of memory");
    }
    free(u);
    return NULL;
}

void universe_free(struct universe *u)
{
    if (!u)
        return;
    assert(machine_lock_mine(u->lock));
    /* luv's callbacks need a live state: of handles that are closed, of their requests, which that
     * cancels, and of requests of other kinds (files, names). A callback may begin something new,
     * so handles are closed again and again. The memory is freed by luv's finalizers. */
    loop_close_handles(u->loop);
    loop_poll(u->loop);
    uv_loop_t *uv = loop_uv(u->loop);
    for (int i = 0; uv->active_reqs.count && i < SHUTDOWN_ROUNDS; i++) {
        loop_close_handles(u->loop);
        loop_poll(u->loop);
        struct timespec ms = { .tv_nsec = 1000000 };
        if (uv->active_reqs.count)
            nanosleep(&ms, NULL);
    }
    if (!uv->active_reqs.count) {
        loop_close_handles(u->loop);
        loop_poll(u->loop);
        lua_close(u->main);
    }
    while (u->threads) {
        struct lua_os_thread *t = u->threads;
        u->threads = t->next;
        free(t);
    }
    free(u);
}
