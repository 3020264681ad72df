/* The contract of loop, threads and Lua (docs/loop.md), in small: a thread that behaves like a
 * vcpu, timers of luv on the loop thread, hooks that fail in every way, and a main program that
 * waits. Built a second time with ThreadSanitizer, as tsan.loop_contract. */
#include "script_fixture.h"

/* ---- policies ---- */

static void arguments_and_results(void **state)
{
    struct fixture *f = *state;
    struct hook h;
    lua_Integer v = 20;
    make_hook(f, &h, HOOK_PAUSE, "local x = ... return x * 2 + 2");
    assert_true(hook_call(&h, push_integer, take_integer, &v, NULL));
    assert_int_equal(v, 42);
    assert_int_equal(h.hits, 1);
    assert_int_equal(h.errors, 0);
    assert_true(hook_cost_ns(&h) > 0);
    hook_fini(&h);
}

static void policy_pause(void **state)
{
    struct fixture *f = *state;
    struct hook h;
    make_hook(f, &h, HOOK_PAUSE, "error('broken on purpose')");
    assert_false(hook_call(&h, NULL, NULL, NULL, NULL));
    assert_false(hook_call(&h, NULL, NULL, NULL, NULL));
    assert_int_equal(f->pauses, 2);
    assert_int_equal(f->aborts, 0);
    assert_int_equal(h.errors, 2);
    assert_non_null(strstr(f->why, "broken on purpose"));
    assert_int_equal(logged(f, "broken on purpose"), 2);
    assert_true(logged(f, "stack traceback:") == 2);
    hook_fini(&h);
}

static void policy_disable(void **state)
{
    struct fixture *f = *state;
    struct hook h;
    make_hook(f, &h, HOOK_DISABLE, "local t = nil; t.x = 1");
    assert_false(hook_call(&h, NULL, NULL, NULL, NULL));
    assert_false(hook_call(&h, NULL, NULL, NULL, NULL));
    assert_int_equal(h.hits, 1);
    assert_true(h.disabled);
    assert_int_equal(f->pauses + f->aborts, 0);
    hook_fini(&h);
}

static void policy_abort(void **state)
{
    struct fixture *f = *state;
    struct hook h;
    make_hook(f, &h, HOOK_ABORT,
              "error(setmetatable({}, {__tostring = function() return 'an object' end}))");
    assert_false(hook_call(&h, NULL, NULL, NULL, NULL));
    assert_int_equal(f->aborts, 1);
    assert_true(!strncmp(f->why, "an object\nstack traceback:\n", 27));
    hook_fini(&h);
}

/* A caller that wants the error gets it, and no policy acts. */
static void error_handed_out(void **state)
{
    struct fixture *f = *state;
    struct hook h;
    struct error err = { 0 };
    make_hook(f, &h, HOOK_PAUSE, "error('for the caller', 0)");
    assert_false(hook_call(&h, NULL, NULL, NULL, &err));
    assert_non_null(strstr(err.text, "test-hook: for the caller"));
    assert_int_equal(f->pauses, 0);
    hook_fini(&h);
}

/* An error value whose own methods raise harms nobody. */
static void hostile_error_values(void **state)
{
    struct fixture *f = *state;
    struct hook h;
    make_hook(f, &h, HOOK_PAUSE,
              "error(setmetatable({}, {__tostring = function() error('again') end}))");
    assert_false(hook_call(&h, NULL, NULL, NULL, NULL));
    hook_fini(&h);
    make_hook(f, &h, HOOK_PAUSE, "error(nil)");
    assert_false(hook_call(&h, NULL, NULL, NULL, NULL));
    assert_int_equal(f->pauses, 2);
    hook_fini(&h);
}

/* ---- budgets ---- */

static void endless(struct fixture *f, const char *source)
{
    struct hook h;
    f->pauses = 0;
    make_hook(f, &h, HOOK_PAUSE, source);
    assert_false(hook_call(&h, NULL, NULL, NULL, NULL));
    assert_int_equal(f->pauses, 1);
    assert_non_null(strstr(f->why, "budget"));
    hook_fini(&h);
    /* The next hook has a budget of its own. */
    assert_int_equal(eval(f, "local n = 0 for i = 1, 100000 do n = n + 1 end return n"), 100000);
}

static void endless_loops_end(void **state)
{
    struct fixture *f = *state;
    endless(f, "while true do end");
    endless(f, "while true do pcall(function() while true do end end) end");
    endless(f,
            "while true do xpcall(function() while true do end end, function(e) return e end) end");
    endless(f, "while true do coroutine.wrap(function() pcall(function() while true do end end) "
               "end)() end");
    endless(f, "local co = coroutine.create(function() while true do coroutine.yield() end end)\n"
               "while true do coroutine.resume(co) end");
    endless(f, "local t <close> = setmetatable({}, {__close = function() while true do end end})\n"
               "while true do end");
    endless(f, "table.sort({3, 2, 1}, function(a, b) while true do end end)");
}

static void no_way_around_the_budget(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(run_main(f, "assert(debug.sethook == nil and debug.getregistry == nil)\n"
                                 "assert(not pcall(setmetatable, {}, {__gc = function() end}))\n"
                                 "assert(string.dump == nil and not load('\\27Lua'))\n"
                                 "assert(load('return ...', 'x', 'b', {})(3) == 3)\n"),
                     LUA_OK);
}

static void main_code_is_not_limited(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(run_main(f, "for i = 1, 10000000 do end"), LUA_OK);
}

static void allocation_cap(void **state)
{
    struct fixture *f = *state;
    struct hook h;
    make_hook(f, &h, HOOK_PAUSE,
              "local t = {} while true do t[#t + 1] = ('x'):rep(65536) .. #t end");
    assert_false(hook_call(&h, NULL, NULL, NULL, NULL));
    assert_int_equal(f->pauses, 1);
    assert_non_null(strstr(f->why, "not enough memory"));
    hook_fini(&h);
    make_hook(f, &h, HOOK_PAUSE, "return ('x'):rep(1 << 30)");
    assert_false(hook_call(&h, NULL, NULL, NULL, NULL));
    hook_fini(&h);
    assert_true(f->u->bytes <= f->u->memory_cap);
    assert_int_equal(eval(f, "return #('x'):rep(1 << 20)"), 1 << 20);
}

static void endless_recursion(void **state)
{
    struct fixture *f = *state;
    struct hook h;
    make_hook(f, &h, HOOK_PAUSE, "local function r() return 1 + r() end return r()");
    assert_false(hook_call(&h, NULL, NULL, NULL, NULL));
    assert_int_equal(f->pauses, 1);
    hook_fini(&h);
}

static void hooks_may_not_yield(void **state)
{
    struct fixture *f = *state;
    struct hook h;
    make_hook(f, &h, HOOK_PAUSE, "coroutine.yield(1)");
    assert_false(hook_call(&h, NULL, NULL, NULL, NULL));
    assert_int_equal(f->pauses, 1);
    hook_fini(&h);
    assert_int_equal(eval(f, "return coroutine.wrap(function() coroutine.yield(7) end)()"), 7);
}

/* ---- nesting and removal ---- */

static struct hook *nested_hook;

static int call_nested(lua_State *L)
{
    hook_call(nested_hook, NULL, NULL, NULL, NULL);
    return 0;
}

static int remove_nested(lua_State *L)
{
    hook_fini(nested_hook);
    return 0;
}

static int register_body(lua_State *L)
{
    lua_register(L, "nested", call_nested);
    lua_register(L, "remove", remove_nested);
    return 0;
}

static void nesting_is_bounded(void **state)
{
    struct fixture *f = *state;
    struct hook h;
    lua_State *L;
    hook_enter_main(f->u, register_body, NULL, &L);
    hook_leave(f->u);
    make_hook(f, &h, HOOK_DISABLE, "nested()");
    nested_hook = &h;
    h.target = NULL;
    hook_call(&h, NULL, NULL, NULL, NULL);
    assert_int_equal(h.hits, LUA_DEPTH_MAX + 1);
    hook_fini(&h);
}

static void a_hook_may_remove_itself(void **state)
{
    struct fixture *f = *state;
    struct hook h;
    lua_State *L;
    hook_enter_main(f->u, register_body, NULL, &L);
    hook_leave(f->u);
    make_hook(f, &h, HOOK_PAUSE, "remove() collectgarbage() error('after')");
    nested_hook = &h;
    assert_false(hook_call(&h, NULL, NULL, NULL, NULL));
    assert_int_equal(f->pauses, 0);
    assert_null(h.universe);
}

/* ---- threads ---- */

struct vcpu_like {
    struct fixture *f;
    struct hook count, failing;
    unsigned rounds;
};

static void *vcpu_thread(void *opaque)
{
    struct vcpu_like *v = opaque;
    struct machine_lock *lock = loop_lock(v->f->loop);
    while (!atomic_load(&v->f->stop)) {
        machine_lock_take(lock);
        hook_call(&v->count, NULL, NULL, NULL, NULL);
        if (v->rounds % 64 == 0)
            hook_call(&v->failing, NULL, NULL, NULL, NULL);
        v->rounds++;
        machine_lock_release(lock);
    }
    return NULL;
}

/* As vm:run() does: wait on the loop, called by main Lua code. */
static bool run_done(void *opaque)
{
    struct fixture *f = opaque;
    return f->timer_ticks >= 30;
}

static int l_wait(lua_State *L)
{
    struct universe *u = universe_of(L);
    struct lua_frame *saved = universe_block_begin(L, "wait()");
    loop_run(u->loop, run_done, u->owner);
    universe_block_end(L, saved);
    return 0;
}

static int l_tick(lua_State *L)
{
    struct fixture *f = universe_of(L)->owner;
    f->timer_ticks++;
    return 0;
}

static int register_wait(lua_State *L)
{
    lua_register(L, "wait", l_wait);
    lua_register(L, "tick", l_tick);
    return 0;
}

static void vcpus_timers_and_a_waiting_script(void **state)
{
    struct fixture *f = *state;
    lua_State *L;
    hook_enter_main(f->u, register_wait, NULL, &L);
    hook_leave(f->u);
    struct vcpu_like v[2] = { { .f = f }, { .f = f } };
    pthread_t threads[2];
    assert_int_equal(run_main(f, "counter = 0"), LUA_OK);
    for (int i = 0; i < 2; i++) {
        make_hook(f, &v[i].count, HOOK_PAUSE,
                  "counter = counter + 1; local t = {} for i = 1, 20 do t[i] = 'n' .. i end "
                  "return table.concat(t)");
        make_hook(f, &v[i].failing, HOOK_PAUSE, "error({1, 2, 3})");
        pthread_create(&threads[i], NULL, vcpu_thread, &v[i]);
    }
    /* From a coroutine too: the loop's callbacks do not care who waits. A callback that raises ends
     * nothing. */
    assert_int_equal(
        run_main(f, "local uv = require 'luv'\n"
                    "local timer = uv.new_timer()\n"
                    "timer:start(1, 1, function() tick() if counter % 2 == 0 then error('in "
                    "callback') end end)\n"
                    "local bad = uv.new_timer()\n"
                    "bad:start(1, 3, function() error('always broken') end)\n"
                    "local idle = uv.new_timer()\n"
                    "idle:start(2, 0, function() assert(not pcall(wait)) idle:close() end)\n"
                    "coroutine.wrap(function() wait() end)()\n"
                    "timer:close() bad:close()\n"
                    "assert(counter > 0)"),
        LUA_OK);
    atomic_store(&f->stop, true);
    machine_lock_release(loop_lock(f->loop));
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    machine_lock_take(loop_lock(f->loop));
    assert_true(f->timer_ticks >= 30);
    assert_true(v[0].rounds > 0 && v[1].rounds > 0);
    assert_true(v[0].failing.errors > 0);
    assert_int_equal(v[0].count.errors + v[1].count.errors, 0);
    assert_int_equal(eval(f, "return counter"), v[0].rounds + v[1].rounds);
    assert_true(logged(f, "always broken") > 0);
    for (int i = 0; i < 2; i++) {
        hook_fini(&v[i].count);
        hook_fini(&v[i].failing);
    }
}

static void loop_control_is_taken_out_of_luv(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(
        run_main(f, "local uv = require 'luv'\n"
                    "for _, n in ipairs {'run', 'stop', 'loop_close', 'walk', 'new_thread',\n"
                    "                    'new_work'} do assert(uv[n] == nil, n) end\n"
                    "assert(uv.new_timer and uv.spawn)"),
        LUA_OK);
}

int main(void)
{
#define T(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(arguments_and_results),
        T(policy_pause),
        T(policy_disable),
        T(policy_abort),
        T(error_handed_out),
        T(hostile_error_values),
        T(endless_loops_end),
        T(no_way_around_the_budget),
        T(main_code_is_not_limited),
        T(allocation_cap),
        T(endless_recursion),
        T(hooks_may_not_yield),
        T(nesting_is_bounded),
        T(a_hook_may_remove_itself),
        T(vcpus_timers_and_a_waiting_script),
        T(loop_control_is_taken_out_of_luv),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
