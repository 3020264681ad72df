/* Timers of a device written in Lua: what dev:timer(NAME) gives. */
#include "script/luadev_internal.h"

#include <string.h>

#define META_LUADEV_TIMER "perilune.timer"

struct timer_object {
    struct device **dev; /* in the `dev` that the user value keeps */
    unsigned n;
};

static struct timer *check_timer(lua_State *L)
{
    struct timer_object *o = luaL_checkudata(L, 1, META_LUADEV_TIMER);
    if (!*o->dev)
        luaL_error(L, "closed device");
    if (!(*o->dev)->path)
        luaL_error(L, "%s is not realized", device_name(*o->dev));
    return &luadev_of(*o->dev)->timers[o->n].timer;
}

int l_dev_timer(lua_State *L)
{
    struct device *d = luadev_check(L);
    const struct luadev_type *t = luadev_type_of(d);
    const char *name = luaL_checkstring(L, 2);
    for (unsigned i = 0; i < t->timer_count; i++) {
        if (strcmp(t->timers[i].name, name))
            continue;
        struct timer_object *o = lua_newuserdatauv(L, sizeof *o, 1);
        *o = (struct timer_object){ lua_touserdata(L, 1), i };
        lua_pushvalue(L, 1);
        lua_setiuservalue(L, -2, 1);
        luaL_setmetatable(L, META_LUADEV_TIMER);
        return 1;
    }
    return luaL_error(L, "%s has no timer \"%s\"", device_name(d), name);
}

/* Later than now in any case: a timer that sets itself again must let time pass. */
static void set_timer(struct timer *t, int64_t at)
{
    int64_t now = clock_now(t->clock);
    timer_set(t, at > now ? at : now + 1);
}

/* set(ns): fire once, that long from now. */
static int l_timer_set(lua_State *L)
{
    struct timer *t = check_timer(L);
    lua_Integer ns = luaL_checkinteger(L, 2);
    int64_t at;
    if (__builtin_add_overflow(clock_now(t->clock), ns, &at))
        return luaL_argerror(L, 2, "that is too late");
    set_timer(t, at);
    return 0;
}

static int l_timer_at(lua_State *L)
{
    set_timer(check_timer(L), luaL_checkinteger(L, 2));
    return 0;
}

static int l_timer_cancel(lua_State *L)
{
    timer_cancel(check_timer(L));
    return 0;
}

/* deadline() → virtual time, or nil when it is not set */
static int l_timer_deadline(lua_State *L)
{
    struct timer *t = check_timer(L);
    if (timer_is_set(t))
        lua_pushinteger(L, t->deadline);
    else
        lua_pushnil(L);
    return 1;
}

/* ---- the type ---- */

static const struct binding_member timer_methods[] = {
    { "set", l_timer_set, "(ns)", "fire once, that long from now" },
    { "at", l_timer_at, "(ns)", "fire once, at that virtual time" },
    { "cancel", l_timer_cancel, "()", "do not fire" },
    { "deadline", l_timer_deadline, "() → ns or nil", "when it fires; nil: it is not set" },
    { NULL },
};

static const struct binding_type timer_type = {
    .meta = META_LUADEV_TIMER,
    .label = "timer",
    .help = "a timer of a device written in Lua",
    .methods = timer_methods,
};

void l_luadev_timer_open(lua_State *L)
{
    binding_plain_type_new(L, &timer_type, NULL);
}
