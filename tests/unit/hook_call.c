/* Calls of hooks one after the other: what is kept between them, what is taken from them, what they
 * cost. How they fail is in loop_contract.c. */
#include "script_fixture.h"

static int push_subject(lua_State *L, void *opaque)
{
    lua_pushvalue(L, HOOK_SUBJECT);
    return 1 + push_integer(L, opaque);
}

/* What a level keeps on its stack for the next call is that of the hook called last. */
static void hooks_in_turn(void **state)
{
    struct fixture *f = *state;
    struct hook h[2];
    const bool plain[] = { false, true };
    for (unsigned n = 0; n < 2; n++) {
        make_hook(f, &h[0], HOOK_PAUSE, "local s, x = ... return s and s * x or -x");
        make_hook(f, &h[1], HOOK_PAUSE, "local s, x = ... return 1000 + x");
        h[0].plain = h[1].plain = plain[n];
        for (lua_Integer i = 1; i < 100; i++) {
            lua_Integer v = i, w = i;
            assert_true(hook_call(&h[0], push_subject, take_integer, &v, NULL));
            assert_true(hook_call(&h[i % 3 == 0], push_subject, take_integer, &w, NULL));
            assert_int_equal(v, i <= 50 ? -i : i == 51 ? -51 : 7 * i);
            assert_int_equal(w, i % 3 == 0 ? 1000 + i : v);
            if (i == 51) {
                lua_pushinteger(f->u->factory, 7);
                hook_set_subject(&h[0], luaL_ref(f->u->factory, LUA_REGISTRYINDEX));
            }
        }
        assert_int_equal(h[0].hits + h[1].hits, 2 * 99);
        luaL_unref(f->u->factory, LUA_REGISTRYINDEX, h[0].subject);
        hook_fini(&h[0]);
        hook_fini(&h[1]);
    }
}

/* How many functions the table `kept` of the script has. */
static int kept_functions(struct fixture *f)
{
    lua_State *L = f->u->factory;
    int n = 0;
    lua_gc(L, LUA_GCCOLLECT);
    lua_getglobal(L, "kept");
    for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1))
        n++;
    lua_pop(L, 1);
    return n;
}

static void what_is_gone_is_not_kept(void **state)
{
    struct fixture *f = *state;
    struct hook h;
    lua_Integer v = 0;
    assert_int_equal(run_main(f, "kept = setmetatable({}, { __mode = 'k' })"), LUA_OK);
    make_hook(f, &h, HOOK_PAUSE, "kept[debug.getinfo(1, 'f').func] = true return 1");
    assert_true(hook_call(&h, NULL, take_integer, &v, NULL));
    assert_int_equal(kept_functions(f), 1);
    hook_fini(&h);
    assert_int_equal(kept_functions(f), 0);
}

/* What it returned was wrong, its caller finds: an error as if it had raised. */
static void complaint(void **state)
{
    struct fixture *f = *state;
    struct hook h;
    make_hook(f, &h, HOOK_PAUSE, "return 'nothing of use'");
    assert_true(hook_call(&h, NULL, NULL, NULL, NULL));
    hook_complain(&h, NULL, "it must return %d integers", 3);
    assert_int_equal(f->pauses, 1);
    assert_int_equal(h.errors, 1);
    assert_string_equal(f->why, "it must return 3 integers, in the function at test:0");
    assert_int_equal(logged(f, "test-hook: it must return 3 integers"), 1);
    hook_fini(&h);
}

/* Of many calls a few are timed, and stand for all. */
static void cost_of_many(void **state)
{
    struct fixture *f = *state;
    struct hook h;
    make_hook(f, &h, HOOK_PAUSE, "for i = 1, 1000 do end");
    int64_t start = loop_realtime_ns();
    for (unsigned n = 0; n < 5000; n++)
        assert_true(hook_call(&h, NULL, NULL, NULL, NULL));
    int64_t all = loop_realtime_ns() - start;
    assert_true(hook_cost_ns(&h) > 0 && hook_cost_ns(&h) < 10 * all);
    hook_fini(&h);
}

int main(void)
{
#define T(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(hooks_in_turn),
        T(what_is_gone_is_not_kept),
        T(complaint),
        T(cost_of_many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
