/* What tests of calls into Lua share: a universe, hooks made from source text, and what is told of
 * them. */
#pragma once

#include "base/log.h"
#include "script/hook.h"

#include <lauxlib.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

struct fixture {
    struct loop *loop;
    struct universe *u;
    struct hook_target target;
    int pauses, aborts, abort_status;
    char why[256];
    atomic_bool stop;
    unsigned timer_ticks; /* under the lock */
    char log_path[32];
};

static inline void on_pause(void *opaque, const char *why)
{
    struct fixture *f = opaque;
    f->pauses++;
    snprintf(f->why, sizeof f->why, "%s", why);
}

static inline void on_abort(void *opaque, const char *why, int status)
{
    struct fixture *f = opaque;
    f->aborts++;
    f->abort_status = status;
    snprintf(f->why, sizeof f->why, "%s", why);
}

static inline int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    strcpy(f->log_path, "/tmp/loop_contract.XXXXXX");
    close(mkstemp(f->log_path));
    log_set_file(f->log_path);
    f->loop = loop_new(NULL);
    f->target = (struct hook_target){ on_pause, on_abort, f };
    machine_lock_take(loop_lock(f->loop));
    struct universe_config config = { .loop = f->loop,
                                      .memory_cap = 32 << 20,
                                      .hook_budget = 3000000 };
    f->u = universe_new(&config, NULL);
    f->u->target = &f->target;
    f->u->owner = f;
    *state = f;
    return f->u ? 0 : -1;
}

static inline int teardown(void **state)
{
    struct fixture *f = *state;
    universe_free(f->u);
    machine_lock_release(loop_lock(f->loop));
    loop_free(f->loop);
    unlink(f->log_path);
    free(f);
    return 0;
}

/* How often `what` was logged. */
static inline int logged(struct fixture *f, const char *what)
{
    char line[2048];
    int n = 0;
    FILE *file = fopen(f->log_path, "r");
    while (fgets(line, sizeof line, file))
        n += strstr(line, what) != NULL;
    fclose(file);
    return n;
}

/* ---- hooks from source text ---- */

struct made {
    struct hook *h;
    const char *source;
    enum hook_policy policy;
    const struct hook_target *target;
};

static inline int make_body(lua_State *L)
{
    struct made *m = lua_touserdata(L, 1);
    if (luaL_loadbufferx(L, m->source, strlen(m->source), "=test", "t") != LUA_OK)
        return lua_error(L);
    hook_init(m->h, L, -1, "test-hook", m->policy, m->target);
    return 0;
}

static inline void make_hook(struct fixture *f, struct hook *h, enum hook_policy policy,
                             const char *source)
{
    lua_State *L;
    struct made m = { h, source, policy, &f->target };
    assert_int_equal(hook_enter_main(f->u, make_body, &m, &L), LUA_OK);
    hook_leave(f->u);
}

static inline int run_body(lua_State *L)
{
    const char *source = lua_touserdata(L, 1);
    if (luaL_loadbufferx(L, source, strlen(source), "=main", "t") != LUA_OK)
        return lua_error(L);
    lua_call(L, 0, 0);
    return 0;
}

static inline int run_main(struct fixture *f, const char *source)
{
    lua_State *L;
    int result = hook_enter_main(f->u, run_body, (void *)source, &L);
    if (result != LUA_OK)
        print_message("main: %s\n", lua_tostring(L, -1));
    hook_leave(f->u);
    return result;
}

static inline void take_integer(lua_State *L, void *opaque)
{
    *(lua_Integer *)opaque = luaL_checkinteger(L, HOOK_RESULT);
}

static inline int push_integer(lua_State *L, void *opaque)
{
    lua_pushinteger(L, *(lua_Integer *)opaque);
    return 1;
}

static inline lua_Integer eval(struct fixture *f, const char *source)
{
    struct hook h;
    lua_Integer v = -1;
    make_hook(f, &h, HOOK_DISABLE, source);
    struct error err = { 0 };
    bool ok = hook_call(&h, NULL, take_integer, &v, &err);
    assert_string_equal(err.text, "");
    assert_true(ok);
    hook_fini(&h);
    return v;
}
