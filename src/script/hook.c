/* Hooks: protected calls into Lua with a budget and a policy.
 *
 * A call is short, so what surrounds it counts. The Lua thread of each level of nesting keeps on
 * its stack what the hook called last needs: the message handler, the function, and its subject. */
#include "script/hook.h"

#include "base/alloc.h"
#include "base/bits.h"
#include "base/log.h"

#include <lauxlib.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <x86intrin.h>

bool script_is_error_object(lua_State *L, int index)
{
    int status;
    if (script_error_kind(L, index, &status) != SCRIPT_ERROR_OTHER)
        return true;
    if (!lua_istable(L, index) || !lua_getmetatable(L, index))
        return false;
    luaL_getmetatable(L, SCRIPT_ERROR_META);
    bool same = lua_rawequal(L, -1, -2);
    lua_pop(L, 2);
    return same;
}

/* Message handler: error objects say what they mean by themselves; all else gets a traceback. */
static int with_traceback(lua_State *L)
{
    if (!script_is_error_object(L, 1))
        luaL_traceback(L, L, luaL_tolstring(L, 1, NULL), 1);
    return 1;
}

static const char *log_name(const struct universe *u)
{
    return u->log_name ? u->log_name : "script";
}

/* Of a flood of errors the first of each second are shown, and then how many were not. */
static bool may_report(struct universe *u)
{
    int64_t now = loop_realtime_ns();
    if (now - u->reports.since >= NS_PER_SECOND) {
        if (u->reports.count > u->reports.most)
            log_host(LOG_ERROR, log_name(u), "%llu more errors were not shown",
                     (unsigned long long)(u->reports.count - u->reports.most));
        u->reports.since = now;
        u->reports.count = 0;
    }
    return ++u->reports.count <= u->reports.most;
}

static void report(struct universe *u, const char *name, const char *text)
{
    char line[512];
    if (!may_report(u))
        return;
    for (const char *at = text; *at;) {
        size_t n = strcspn(at, "\n");
        snprintf(line, sizeof line, "%.*s", (int)(n < sizeof line ? n : sizeof line - 1), at);
        log_host(LOG_ERROR, log_name(u), "%s%s%s", at == text ? name : "",
                 at == text && *name ? ": " : "", line);
        at += n + (at[n] == '\n');
    }
}

/* What an error value says, copied out of Lua. */
struct failure {
    enum script_error_kind kind;
    int exit_status; /* -1: not a request to exit */
    char text[2048];
};

static int describe(lua_State *L)
{
    struct failure *f = lua_touserdata(L, 2);
    f->kind = script_error_kind(L, 1, &f->exit_status);
    snprintf(f->text, sizeof f->text, "%s", luaL_tolstring(L, 1, NULL));
    /* Lua's string buffers do not collect garbage before they give up: leave none to the next hook.
     */
    struct universe *u = universe_of(L);
    if (u->bytes > u->memory_cap / 2)
        lua_gc(L, LUA_GCCOLLECT);
    return 0;
}

/* Out of memory there is no traceback: say at least which function it was, which is on top of the
 * stack; pops it. */
static void name_function(lua_State *L, struct failure *f)
{
    lua_Debug ar;
    size_t len = strlen(f->text);
    lua_getinfo(L, ">S", &ar);
    snprintf(f->text + len, sizeof f->text - len, ", in the function at %s:%d", ar.short_src,
             ar.linedefined);
}

/* Of the error value on top of the stack. Protected, because the value may have methods. */
static struct failure describe_failure(lua_State *L)
{
    struct failure f = { .exit_status = -1, .text = "an error object that cannot be shown" };
    lua_pushcfunction(L, describe);
    lua_pushvalue(L, -2);
    lua_pushlightuserdata(L, &f);
    if (lua_pcall(L, 2, 0, 0) != LUA_OK)
        lua_pop(L, 1);
    return f;
}

void hook_init(struct hook *h, lua_State *L, int index, const char *name, enum hook_policy on_error,
               const struct hook_target *target)
{
    luaL_checktype(L, index, LUA_TFUNCTION);
    lua_pushvalue(L, index);
    int ref = luaL_ref(L, LUA_REGISTRYINDEX);
    *h = (struct hook){ .universe = universe_of(L),
                        .name = alloc_string(name),
                        .ref = ref,
                        .subject = LUA_REFNIL,
                        .on_error = on_error,
                        .target = target };
}

void hook_forget(struct hook *h)
{
    if (h->universe)
        universe_forget(h->universe, h->prepared);
    h->prepared = 0;
}

void hook_set_subject(struct hook *h, int ref)
{
    hook_forget(h);
    h->subject = ref;
}

void hook_fini(struct hook *h)
{
    hook_forget(h);
    if (h->universe)
        luaL_unref(h->universe->factory, LUA_REGISTRYINDEX, h->ref);
    free(h->name);
    *h = (struct hook){ 0 };
}

/* The processor's time stamp costs a fraction of what asking for the time does; what a tick is
 * comes from the universe's whole life. */
int64_t hook_cost_ns(const struct hook *h)
{
    const struct universe *u = h->universe;
    if (!u || !h->cost_ticks)
        return 0;
    double ns = (double)(loop_realtime_ns() - u->started_ns);
    return (int64_t)(ns / (double)(__rdtsc() - u->started_ticks) * (double)h->cost_ticks);
}

static void apply_policy(struct hook *h, enum hook_policy policy, const char *text, int status)
{
    if (policy == HOOK_DISABLE)
        h->disabled = true;
    if (!h->target)
        return;
    if (policy == HOOK_PAUSE && h->target->pause)
        h->target->pause(h->target->opaque, text);
    else if (policy == HOOK_ABORT)
        h->target->abort(h->target->opaque, text, status);
}

static void hook_failed(struct hook *h, const struct failure *f, struct error *failed)
{
    h->errors++;
    if (f->exit_status >= 0) /* the script asked to end the process: no error */
        apply_policy(h, HOOK_ABORT, "script exit", f->exit_status);
    if (failed) {
        /* What is the user's to mend says by itself what it is about. */
        if (f->kind == SCRIPT_ERROR_OTHER)
            error_set(failed, "%s: %s", h->name, f->text);
        else
            error_set(failed, "%s", f->text);
        failed->kind = f->kind == SCRIPT_ERROR_HOST ? ERROR_HOST : ERROR_CONFIG;
    } else if (f->exit_status < 0) {
        report(h->universe, h->name, f->text);
        apply_policy(h, h->on_error, f->text, 2);
    }
}

void hook_complain(struct hook *h, struct error *failed, const char *fmt, ...)
{
    struct failure f = { .exit_status = -1 };
    va_list args;
    va_start(args, fmt);
    vsnprintf(f.text, sizeof f.text, fmt, args);
    va_end(args);
    lua_rawgeti(h->universe->factory, LUA_REGISTRYINDEX, h->ref);
    name_function(h->universe->factory, &f);
    hook_failed(h, &f, failed);
}

/* ---- the call ---- */

enum {
    HANDLER = 1, /* at the bottom of a level's stack */
    /* Reading the processor's time stamp takes a good part of a short call's time: after the first
     * calls of a hook one of 16, drawn by lot, stands for 16. */
    TIMED_ALL = 64,
    TIMED_LOG2 = 4,
};

struct call {
    int subject;
    hook_push_fn push;
    hook_take_fn take;
    void *opaque;
};

static inline int push_arguments(lua_State *L, const struct call *c)
{
    if (c->push)
        return c->push(L, c->opaque);
    if (c->subject == LUA_REFNIL)
        return 0;
    lua_pushvalue(L, HOOK_SUBJECT);
    return 1;
}

/* The function has returned: hand over its results, if there are any. */
static void take_results(lua_State *L, const struct call *c)
{
    if (!c->take || lua_gettop(L) < HOOK_RESULT)
        return;
    c->take(L, c->opaque);
    lua_settop(L, HOOK_SUBJECT);
}

/* As a function of Lua's it finds the call in the handler's place. */
static int call_body(lua_State *L)
{
    const struct call *c = lua_touserdata(L, HANDLER);
    lua_pushvalue(L, HOOK_FUNCTION);
    int nargs = push_arguments(L, c);
    lua_call(L, nargs, c->take ? LUA_MULTRET : 0);
    take_results(L, c);
    return 0;
}

/* Returns a Lua status. Where only the function itself can raise it alone needs protection. */
static int protected_call(lua_State *L, struct call *c, bool plain)
{
    if (!plain) {
        lua_pushcfunction(L, call_body);
        lua_pushlightuserdata(L, c);
        lua_pushvalue(L, HOOK_FUNCTION);
        lua_pushvalue(L, HOOK_SUBJECT);
        return lua_pcall(L, 3, 0, HANDLER);
    }
    lua_pushvalue(L, HOOK_FUNCTION);
    int nargs = push_arguments(L, c);
    int result = lua_pcall(L, nargs, c->take ? LUA_MULTRET : 0, HANDLER);
    if (LIKELY(result == LUA_OK))
        take_results(L, c);
    return result;
}

RARE static void prepare(struct hook *h, struct lua_level *level)
{
    lua_State *L = level->L;
    lua_settop(L, 0);
    lua_pushcfunction(L, with_traceback);
    lua_rawgeti(L, LUA_REGISTRYINDEX, h->ref);
    lua_rawgeti(L, LUA_REGISTRYINDEX, h->subject);
    if (!h->prepared)
        h->prepared = ++h->universe->prepared;
    level->prepared = h->prepared;
}

/* For how many calls the time of this one stands. */
static unsigned timed_for(const struct hook *h)
{
    struct universe *u = h->universe;
    if (h->hits <= TIMED_ALL)
        return 1;
    u->lot = u->lot * 6364136223846793005u + 1442695040888963407u;
    return u->lot >> (64 - TIMED_LOG2) ? 0 : 1 << TIMED_LOG2;
}

/* It has raised: the error is on top of the stack. */
RARE static void call_failed(struct hook *h, lua_State *L, int result,
                             const struct lua_frame *frame, struct error *failed)
{
    struct failure failure = describe_failure(L);
    if (result == LUA_ERRMEM) {
        lua_pushvalue(L, HOOK_FUNCTION);
        name_function(L, &failure);
    }
    lua_settop(L, HOOK_SUBJECT);
    universe_of(L)->frame = frame->outer;
    /* The hook may have removed itself: then there is no policy left to follow. */
    if (h->universe)
        hook_failed(h, &failure, failed);
}

RARE static void no_level(struct hook *h, struct error *failed)
{
    const struct failure f = { SCRIPT_ERROR_OTHER, -1,
                               "hooks are nested too deep, or memory is out" };
    hook_failed(h, &f, failed);
}

bool hook_call(struct hook *h, hook_push_fn push, hook_take_fn take, void *opaque,
               struct error *failed)
{
    struct universe *u = h->universe;
    if (h->disabled)
        return false;
    struct lua_os_thread *t = universe_enter(u);
    struct lua_level *level = universe_push_level(u, t);
    h->hits++;
    if (UNLIKELY(!level)) {
        no_level(h, failed);
        return false;
    }
    if (!h->prepared || level->prepared != h->prepared)
        prepare(h, level);
    struct call call = { h->subject, push, take, opaque };
    uint64_t budget = h->budget ? h->budget : u->hook_budget;
    struct lua_frame frame = { .outer = u->frame, .hook = true, .budget = budget, .left = budget };
    u->frame = &frame;
    unsigned timed = timed_for(h);
    uint64_t start = timed ? __rdtsc() : 0;
    int result = protected_call(level->L, &call, h->plain);
    if (timed && h->universe)
        h->cost_ticks += (__rdtsc() - start) * timed;
    if (LIKELY(result == LUA_OK))
        u->frame = frame.outer;
    else
        call_failed(h, level->L, result, &frame, failed);
    universe_pop_level(t);
    return result == LUA_OK;
}

int hook_enter_main(struct universe *u, lua_CFunction body, void *opaque, lua_State **out)
{
    struct lua_os_thread *t = universe_enter(u);
    struct lua_level *level = universe_push_level(u, t);
    lua_State *L = *out = level ? level->L : NULL;
    if (!L)
        return LUA_ERRMEM;
    level->prepared = 0;
    lua_settop(L, 0);
    struct lua_frame frame = { .outer = u->frame };
    u->frame = &frame;
    lua_pushcfunction(L, with_traceback);
    lua_pushcfunction(L, body);
    lua_pushlightuserdata(L, opaque);
    int result = lua_pcall(L, 1, LUA_MULTRET, 1);
    u->frame = frame.outer;
    return result;
}

void hook_leave(struct universe *u)
{
    universe_pop_level(universe_enter(u));
}

int hook_luv_callback(lua_State *L, int nargs, int nresults, int flags)
{
    (void)flags;
    struct universe *u = universe_of(L);
    universe_enter(u); /* for its assertion: the lock is held */
    int function = lua_gettop(L) - nargs;
    struct lua_frame frame = {
        .outer = u->frame, .hook = true, .budget = u->hook_budget, .left = u->hook_budget
    };
    u->frame = &frame;
    lua_pushvalue(L, function); /* to name it by */
    lua_insert(L, function);
    lua_pushcfunction(L, with_traceback);
    lua_insert(L, function + 1);
    int result = lua_pcall(L, nargs, nresults, function + 1);
    if (result == LUA_OK) {
        u->frame = frame.outer;
        lua_remove(L, function + 1);
        lua_remove(L, function);
        return nresults == LUA_MULTRET ? lua_gettop(L) - function + 1 : nresults;
    }
    struct failure failure = describe_failure(L);
    lua_pushvalue(L, function);
    if (result == LUA_ERRMEM && lua_isfunction(L, -1))
        name_function(L, &failure);
    u->frame = frame.outer;
    if (failure.exit_status < 0)
        report(u, "callback", failure.text);
    else if (u->target)
        u->target->abort(u->target->opaque, "script exit", failure.exit_status);
    lua_settop(L, function - 1);
    return -result;
}

/* ---- error objects ---- */

/* "file:line: " of the innermost Lua code that is the user's and not part of Perilune; "" when
 * there is none. */
static void push_place(lua_State *L)
{
    lua_Debug ar;
    for (int level = 1; lua_getstack(L, level, &ar); level++) {
        lua_getinfo(L, "Sl", &ar);
        if (ar.currentline > 0 && !strstr(ar.source, "/lua/perilune/")) {
            lua_pushfstring(L, "%s:%d: ", ar.short_src, ar.currentline);
            return;
        }
    }
    lua_pushliteral(L, "");
}

int script_raise(lua_State *L, const struct error *err)
{
    lua_createtable(L, 0, 2);
    push_place(L);
    lua_pushstring(L, err->text);
    lua_concat(L, 2);
    lua_setfield(L, -2, "text");
    lua_pushstring(L, err->kind == ERROR_HOST ? "host" : "config");
    lua_setfield(L, -2, "kind");
    luaL_setmetatable(L, SCRIPT_ERROR_META);
    return lua_error(L);
}

enum script_error_kind script_error_kind(lua_State *L, int index, int *status)
{
    enum script_error_kind kind = SCRIPT_ERROR_OTHER;
    if (!lua_istable(L, index))
        return kind;
    index = lua_absindex(L, index);
    lua_pushliteral(L, "kind");
    lua_rawget(L, index);
    const char *name = lua_tostring(L, -1);
    if (name && !strcmp(name, "config"))
        kind = SCRIPT_ERROR_CONFIG;
    else if (name && !strcmp(name, "host"))
        kind = SCRIPT_ERROR_HOST;
    else if (name && !strcmp(name, "exit"))
        kind = SCRIPT_EXIT;
    lua_pop(L, 1);
    if (kind == SCRIPT_EXIT) {
        lua_pushliteral(L, "status");
        lua_rawget(L, index);
        *status = (int)lua_tointeger(L, -1);
        lua_pop(L, 1);
    }
    return kind;
}
