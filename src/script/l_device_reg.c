/* Registers of a device by name. */
#include "script/script_fault.h"

static struct device *check_device(lua_State *L)
{
    return binding_ptr(L, 1, META_DEVICE);
}

static void check_has_registers(lua_State *L, const struct device *d)
{
    if (!d->reg_banks)
        luaL_error(L, "%s has no registers known by name: its type, %s, declares no table of them",
                   device_name(d), d->type->name);
}

void script_find_register(lua_State *L, struct device *d, const char *name, struct reg_place *p)
{
    struct error err = { 0 };
    check_has_registers(L, d);
    if (!reg_place_find(d->reg_banks, name, p, &err))
        luaL_error(L, "%s: %s", device_name(d), err.text);
}

static void push_register(lua_State *L, const struct reg_bank *b, const struct reg *r)
{
    lua_createtable(L, 0, 5);
    lua_pushstring(L, r->name);
    lua_setfield(L, -2, "name");
    lua_pushinteger(L, r->offset);
    lua_setfield(L, -2, "offset");
    lua_pushinteger(L, 32);
    lua_setfield(L, -2, "width");
    lua_pushinteger(L, r->count ? r->count : 1);
    lua_setfield(L, -2, "count");
    lua_pushstring(L, b->region->name);
    lua_setfield(L, -2, "window");
}

/* registers() → { { name, offset, width, count, window }, ... } in order; width in bits. */
int l_device_registers(lua_State *L)
{
    struct device *d = check_device(L);
    check_has_registers(L, d);
    lua_newtable(L);
    lua_Integer n = 0;
    for (const struct reg_bank *b = d->reg_banks; b; b = b->next)
        for (size_t i = 0; i < b->table_len; i++) {
            push_register(L, b, &b->table[i]);
            lua_rawseti(L, -2, ++n);
        }
    return 1;
}

/* reg(name) → what it reads as, without side effects */
int l_device_reg(lua_State *L)
{
    struct reg_place p;
    script_find_register(L, check_device(L), luaL_checkstring(L, 2), &p);
    lua_pushinteger(L, reg_place_peek(&p));
    return 1;
}

/* set_reg(name, value): what it holds. */
int l_device_set_reg(lua_State *L)
{
    struct reg_place p;
    struct error err = { 0 };
    struct device *d = check_device(L);
    lua_Integer value = luaL_checkinteger(L, 3);
    luaL_argcheck(L, value >= 0 && value <= UINT32_MAX, 3, "a register has 32 bits");
    script_find_register(L, d, luaL_checkstring(L, 2), &p);
    if (!reg_place_poke(&p, (uint32_t)value, &err))
        return luaL_error(L, "%s: %s", device_name(d), err.text);
    return 0;
}
