/* Clocks as Lua sees them. */
#include "script/binding.h"

static int get_now(lua_State *L)
{
    lua_pushinteger(L, clock_now(binding_ptr(L, 1, META_CLOCK)));
    return 1;
}

/* When the next timer fires, nil: none is set. */
static int get_deadline(lua_State *L)
{
    int64_t t = clock_deadline(binding_ptr(L, 1, META_CLOCK));
    if (t == CLOCK_NEVER)
        lua_pushnil(L);
    else
        lua_pushinteger(L, t);
    return 1;
}

static int clock_tostring(lua_State *L)
{
    struct clock *c = binding_ptr(L, 1, META_CLOCK);
    lua_pushfstring(L, "clock %s (%I ns)", c->name, (LUAI_UACINT)clock_now(c));
    return 1;
}

static const struct binding_member clock_methods[] = {
    { NULL },
};

static const struct binding_member clock_properties[] = {
    { "now", get_now, "integer", "the time, ns" },
    { "deadline", get_deadline, "integer or nil",
      "when the next timer fires, ns; nil: none is set" },
    { NULL },
};

static const struct binding_type clock_type = {
    .meta = META_CLOCK,
    .label = "clock",
    .help = "a clock",
    .methods = clock_methods,
    .properties = clock_properties,
    .tostring = clock_tostring,
};

void l_clock_open(lua_State *L)
{
    binding_type_new(L, &clock_type);
}
