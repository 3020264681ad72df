/* I2C for devices written in Lua: reading what a definition says of it, and what a controller's
 * functions do to the bus that it provides. */
#include "script/luadev_internal.h"

/* ---- definitions ---- */

static void read_functions(lua_State *L, struct luadev_type *t, int spec)
{
    t->i2c_start = t->i2c_send = t->i2c_receive = t->i2c_stop = -1;
    if (lua_getfield(L, spec, "i2c") != LUA_TNIL) {
        int at = lua_gettop(L);
        if (t->parent != LUADEV_I2C)
            luadev_wrong(L, t, "i2c is for parent = \"i2c-device\"; a controller has i2c_bus");
        luadev_known_keys(L, t, at, "i2c", &luadev_i2c_keys);
        t->i2c_start = luadev_function(L, t, at, "i2c", "start");
        t->i2c_send = luadev_function(L, t, at, "i2c", "send");
        t->i2c_receive = luadev_function(L, t, at, "i2c", "receive");
        t->i2c_stop = luadev_function(L, t, at, "i2c", "stop");
    }
    lua_pop(L, 1);
    t->type.class_data = t->parent == LUADEV_I2C ? (void *)&luadev_i2c_class : t->type.class_data;
}

void luadev_read_i2c(lua_State *L, struct luadev_type *t, int spec)
{
    read_functions(L, t, spec);
    t->i2c_bus = luadev_string(L, t, spec, "it", "i2c_bus");
    if (t->i2c_bus && !luadev_is_name(t->i2c_bus))
        luadev_wrong(L, t, "i2c_bus is the name of a bus: letters, digits, '_', '-' and '.'");
}

/* ---- the controller's side ---- */

static struct i2c_bus *check_i2c(lua_State *L)
{
    struct device *d = luadev_check(L);
    if (!luadev_type_of(d)->i2c_bus)
        luaL_error(L, "%s has no I2C bus: its definition needs i2c_bus = NAME", device_name(d));
    if (!d->path)
        luaL_error(L, "%s is not realized", device_name(d));
    return &luadev_of(d)->i2c_bus;
}

int l_dev_i2c_start(lua_State *L)
{
    struct i2c_bus *b = check_i2c(L);
    lua_Integer address = luaL_checkinteger(L, 2);
    luaL_argcheck(L, address >= 0 && address <= 0x7f, 2, "an I2C address is from 0 to 0x7f");
    luaL_checktype(L, 3, LUA_TBOOLEAN);
    lua_pushboolean(L, i2c_start(b, (uint8_t)address, lua_toboolean(L, 3)));
    return 1;
}

int l_dev_i2c_send(lua_State *L)
{
    struct i2c_bus *b = check_i2c(L);
    lua_pushboolean(L, i2c_send(b, (uint8_t)luaL_checkinteger(L, 2)));
    return 1;
}

int l_dev_i2c_receive(lua_State *L)
{
    lua_pushinteger(L, i2c_receive(check_i2c(L), lua_toboolean(L, 2)));
    return 1;
}

int l_dev_i2c_stop(lua_State *L)
{
    i2c_stop(check_i2c(L));
    return 0;
}
