/* `dev`: what the functions of a Lua device get as their first argument.
 *
 * A userdata that holds the device, NULL once that is gone; its user value is the table of the
 * fields that the definition's functions make up themselves. What a name means is looked up in one
 * table per type: a method, a getter (negative numbers) or a declared state field (its index). */
#include "script/luadev_internal.h"

#include "script/script_hook.h"

#include <string.h>

#define META_REGS  "perilune.luadev-registers"
#define META_PROPS "perilune.luadev-properties"

static struct device *check_as(lua_State *L, const char *meta)
{
    struct device *d = *(struct device **)luaL_checkudata(L, 1, meta);
    if (!d)
        luaL_error(L, "closed device");
    return d;
}

struct device *luadev_check(lua_State *L)
{
    return check_as(L, META_LUADEV);
}

/* ---- registers ---- */

/* The held value of register `name`, element `index`. */
static uint32_t *find_register(lua_State *L, struct device *d, int name, lua_Integer index)
{
    const struct luadev_type *t = luadev_type_of(d);
    lua_rawgeti(L, LUA_REGISTRYINDEX, t->regs);
    lua_pushvalue(L, name);
    if (lua_rawget(L, -2) != LUA_TNUMBER)
        luaL_error(L, "%s has no register \"%s\"", device_name(d), luaL_tolstring(L, name, NULL));
    lua_Integer code = lua_tointeger(L, -1);
    lua_pop(L, 2);
    struct luadev_window *w = &luadev_of(d)->windows[code >> 16];
    const struct reg *r = &w->type->regs[code & 0xffff];
    if (!w->made)
        luaL_error(L, "%s is not realized", device_name(d));
    if (index < 0 || index >= (lua_Integer)r->count)
        luaL_error(L, "register %s has %d elements, counted from 0", r->name, (int)r->count);
    return &w->bank.values[w->bank.first_slot[code & 0xffff] + index];
}

static int l_regs_index(lua_State *L)
{
    struct device *d = check_as(L, META_REGS);
    lua_pushinteger(L, *find_register(L, d, 2, 0));
    return 1;
}

static int l_regs_newindex(lua_State *L)
{
    struct device *d = check_as(L, META_REGS);
    uint32_t value = (uint32_t)luaL_checkinteger(L, 3);
    *find_register(L, d, 2, 0) = value;
    return 0;
}

/* reg(name, index [, value]): an element of an array of registers. */
static int l_dev_reg(lua_State *L)
{
    struct device *d = luadev_check(L);
    luaL_checkstring(L, 2);
    uint32_t *held = find_register(L, d, 2, luaL_optinteger(L, 3, 0));
    if (!lua_isnoneornil(L, 4))
        *held = (uint32_t)luaL_checkinteger(L, 4);
    lua_pushinteger(L, *held);
    return 1;
}

/* ---- properties ---- */

static int l_props_index(lua_State *L)
{
    struct device *d = check_as(L, META_PROPS);
    const char *name = luaL_checkstring(L, 2);
    struct error err = { 0 };
    struct prop_value v;
    const struct prop *p = device_find_prop(d, name, &err);
    if (!p || !device_get_prop(d, name, &v, &err))
        return script_raise(L, &err);
    push_prop_value(L, luadev_type_of(d)->svm, p, &v);
    return 1;
}

static int l_props_newindex(lua_State *L)
{
    struct device *d = check_as(L, META_PROPS);
    const char *name = luaL_checkstring(L, 2);
    struct error err = { 0 };
    const struct prop *p = device_find_prop(d, name, &err);
    if (!p || !device_set_prop(d, name, check_prop_value(L, 3, luadev_type_of(d)->svm, p), &err))
        return script_raise(L, &err);
    return 0;
}

/* ---- state fields ---- */

static void push_state(lua_State *L, const struct device *d, const struct state_field *f)
{
    const char *at = (const char *)d + f->offset;
    switch (f->kind) {
    case STATE_KIND_BOOL:
        lua_pushboolean(L, *(const uint8_t *)at);
        break;
    case STATE_KIND_U8:
        lua_pushinteger(L, *(const uint8_t *)at);
        break;
    case STATE_KIND_U16:
        lua_pushinteger(L, *(const uint16_t *)at);
        break;
    case STATE_KIND_U32:
        lua_pushinteger(L, *(const uint32_t *)at);
        break;
    case STATE_KIND_BYTES:
        lua_pushlstring(L, at, f->count);
        break;
    default:
        lua_pushinteger(L, *(const int64_t *)at);
    }
}

/* As a register of that width would: higher bits are lost. */
static void take_state(lua_State *L, struct device *d, const struct state_field *f, int index)
{
    char *at = (char *)d + f->offset;
    if (f->kind == STATE_KIND_BYTES) {
        size_t len;
        const char *bytes = luaL_checklstring(L, index, &len);
        luaL_argcheck(L, len <= f->count, index, "more bytes than the field has");
        memset(at, 0, f->count);
        memcpy(at, bytes, len);
        return;
    }
    uint64_t v = lua_isboolean(L, index) ? (uint64_t)lua_toboolean(L, index)
                                         : (uint64_t)luaL_checkinteger(L, index);
    switch (f->kind) {
    case STATE_KIND_BOOL:
        *(bool *)at = v != 0;
        break;
    case STATE_KIND_U8:
        *(uint8_t *)at = (uint8_t)v;
        break;
    case STATE_KIND_U16:
        *(uint16_t *)at = (uint16_t)v;
        break;
    case STATE_KIND_U32:
        *(uint32_t *)at = (uint32_t)v;
        break;
    default:
        *(uint64_t *)at = v;
    }
}

/* ---- the object ---- */

enum {
    FIELD_REGS = -1,
    FIELD_PROPS = -2,
    FIELD_NAME = -3,
    FIELD_NOW = -4,
    FIELD_VM = -5,
    FIELD_DEVICE = -6
};

static const struct {
    const char *name;
    int code;
} getters[] = { { "regs", FIELD_REGS }, { "props", FIELD_PROPS }, { "name", FIELD_NAME },
                { "now", FIELD_NOW },   { "vm", FIELD_VM },       { "device", FIELD_DEVICE } };

/* What the getters above are, for the reference. */
static const struct binding_member properties[] = {
    { "regs", NULL, "{ [name] = integer }", "what its registers hold" },
    { "props", NULL, "{ [name] = value }", "its properties" },
    { "name", NULL, "string", "its path or id, for messages" },
    { "now", NULL, "integer", "virtual time, ns" },
    { "vm", NULL, "vm", "the machine" },
    { "device", NULL, "device", "the device as the rest of the machine sees it" },
    { NULL },
};

static const struct binding_member methods[] = {
    { "irq", l_dev_irq, "([n,] level)", "drive an interrupt line, or the PCI pin" },
    { "gpio", l_dev_gpio, "(name, n, level)", "drive an output line" },
    { "level", l_dev_level, "(name [, n]) → boolean", "what an input is driven to" },
    { "dma_read", l_dev_dma_read, "(addr, n) → bytes, boolean",
      "read memory, and whether all of it was there" },
    { "dma_write", l_dev_dma_write, "(addr, bytes) → boolean",
      "write memory, and whether all of it arrived" },
    { "timer", l_dev_timer, "(name) → timer", "a timer of the definition" },
    { "send", l_dev_send, "(bytes: bytes or byte)",
      "to the character backend; nowhere without one" },
    { "accept", l_dev_accept, "()", "there is room again for what waits at the backend" },
    { "i2c_start", l_dev_i2c_start, "(address, read: boolean) → boolean",
      "begin a transfer on the bus that it provides; whether a device acknowledges" },
    { "i2c_send", l_dev_i2c_send, "(byte) → boolean", "whether the device acknowledges the byte" },
    { "i2c_receive", l_dev_i2c_receive, "([last: boolean]) → byte",
      "the next byte from the device; last: it will not be acknowledged" },
    { "i2c_stop", l_dev_i2c_stop, "()", "end the transfer" },
    { "request", l_dev_request, "(what [, status])",
      "reset, poweroff, pause or exit, at the next safe point" },
    { "log", l_dev_log, "(text)", "what the guest did wrong" },
    { "remove", l_dev_remove, "()", "take the device out of the machine" },
    { "reg", l_dev_reg, "(name, index [, value: integer]) → integer",
      "an element of an array of registers" },
    { NULL },
};

void luadev_push_fields(lua_State *L, const struct luadev_type *t)
{
    lua_newtable(L);
    binding_set_functions(L, methods);
    for (size_t i = 0; i < ARRAY_LEN(getters); i++) {
        lua_pushinteger(L, getters[i].code);
        lua_setfield(L, -2, getters[i].name);
    }
    for (size_t i = 0; i < t->data; i++) {
        if (lua_getfield(L, -1, t->state[i].name) != LUA_TNIL)
            luaL_error(L,
                       "%s: device type \"%s\": state \"%s\": every device has something of that "
                       "name; choose another one",
                       t->where, t->type.name, t->state[i].name);
        lua_pop(L, 1);
        lua_pushinteger(L, (lua_Integer)i);
        lua_setfield(L, -2, t->state[i].name);
    }
}

/* Another view of the same device, kept as user value `n` of `dev`. */
static void push_view(lua_State *L, int n)
{
    lua_getiuservalue(L, 1, n);
}

static void push_getter(lua_State *L, struct device *d, lua_Integer code)
{
    struct script_vm *svm = luadev_type_of(d)->svm;
    switch (code) {
    case FIELD_REGS:
        push_view(L, 2);
        break;
    case FIELD_PROPS:
        push_view(L, 3);
        break;
    case FIELD_NAME:
        lua_pushstring(L, device_name(d));
        break;
    case FIELD_NOW:
        lua_pushinteger(L, clock_now(&d->machine->virtual));
        break;
    case FIELD_VM:
        script_push_vm(L, svm);
        break;
    default:
        binding_push(L, svm, META_DEVICE, d);
    }
}

static int l_dev_index(lua_State *L)
{
    struct device *d = luadev_check(L);
    const struct luadev_type *t = luadev_type_of(d);
    lua_rawgeti(L, LUA_REGISTRYINDEX, t->fields);
    lua_pushvalue(L, 2);
    switch (lua_rawget(L, -2)) {
    case LUA_TFUNCTION:
        return 1;
    case LUA_TNUMBER: {
        lua_Integer code = lua_tointeger(L, -1);
        if (code >= 0)
            push_state(L, d, &t->state[code]);
        else
            push_getter(L, d, code);
        return 1;
    }
    default:
        lua_getiuservalue(L, 1, 1);
        lua_pushvalue(L, 2);
        lua_rawget(L, -2);
        return 1;
    }
}

static int l_dev_newindex(lua_State *L)
{
    struct device *d = luadev_check(L);
    const struct luadev_type *t = luadev_type_of(d);
    luaL_argcheck(L, !lua_isnil(L, 2), 2, "a field has a name");
    lua_rawgeti(L, LUA_REGISTRYINDEX, t->fields);
    lua_pushvalue(L, 2);
    int type = lua_rawget(L, -2);
    if (type == LUA_TNUMBER && lua_tointeger(L, -1) >= 0) {
        take_state(L, d, &t->state[lua_tointeger(L, -1)], 3);
        return 0;
    }
    if (type != LUA_TNIL)
        return luaL_error(L, "\"%s\" of a device cannot be set", luaL_tolstring(L, 2, NULL));
    lua_getiuservalue(L, 1, 1);
    lua_pushvalue(L, 2);
    lua_pushvalue(L, 3);
    lua_settable(L, -3);
    return 0;
}

static int l_dev_tostring(lua_State *L)
{
    struct device *d = *(struct device **)luaL_checkudata(L, 1, META_LUADEV);
    lua_pushstring(L, d ? device_name(d) : "closed device");
    return 1;
}

static void push_device_ptr(lua_State *L, struct device *d, const char *meta, int values)
{
    *(struct device **)lua_newuserdatauv(L, sizeof d, values) = d;
    luaL_setmetatable(L, meta);
}

/* User values: 1 the free fields, 2 and 3 the views. luadev_finalize() clears all three handles. */
void luadev_push_object(lua_State *L, struct device *d)
{
    push_device_ptr(L, d, META_LUADEV, 3);
    lua_newtable(L);
    lua_setiuservalue(L, -2, 1);
    push_device_ptr(L, d, META_REGS, 0);
    lua_setiuservalue(L, -2, 2);
    push_device_ptr(L, d, META_PROPS, 0);
    lua_setiuservalue(L, -2, 3);
}

static void new_meta(lua_State *L, const char *meta, const luaL_Reg *functions)
{
    luaL_newmetatable(L, meta);
    luaL_setfuncs(L, functions, 0);
    lua_pushliteral(L, "protected");
    lua_setfield(L, -2, "__metatable");
    lua_pop(L, 1);
}

static const struct binding_type dev_type = {
    .meta = META_LUADEV,
    .label = "device in Lua",
    .help = "what the functions of a device type written in Lua get",
    .methods = methods,
    .properties = properties,
    .further = "state fields of the definition, and what its functions put there",
};

void l_luadev_open(lua_State *L)
{
    static const luaL_Reg dev[] = { { "__index", l_dev_index },
                                    { "__newindex", l_dev_newindex },
                                    { "__tostring", l_dev_tostring },
                                    { NULL, NULL } };
    static const luaL_Reg regs[] = { { "__index", l_regs_index },
                                     { "__newindex", l_regs_newindex },
                                     { NULL, NULL } };
    static const luaL_Reg props[] = { { "__index", l_props_index },
                                      { "__newindex", l_props_newindex },
                                      { NULL, NULL } };
    new_meta(L, META_LUADEV, dev);
    new_meta(L, META_REGS, regs);
    new_meta(L, META_PROPS, props);
    binding_document(L, &dev_type);
    l_luadev_timer_open(L);
    luadev_document_keys(L);
    l_luadev_type_open(L);
}
