/* Reading the definition of a device type: its properties and its state fields. */
#include "script/luadev_internal.h"

#include "base/alloc.h"
#include "base/bits.h"

#include <stdio.h>
#include <string.h>

/* ---- properties ---- */

static const struct {
    const char *name;
    enum prop_kind kind;
    bool has_default;
    int64_t min, max;
} kinds[] = {
    { "bool", PROP_BOOL, true, 0, 0 },
    { "u8", PROP_U8, true, 0, UINT8_MAX },
    { "u16", PROP_U16, true, 0, UINT16_MAX },
    { "u32", PROP_U32, true, 0, UINT32_MAX },
    { "u64", PROP_U64, true, INT64_MIN, INT64_MAX },
    { "i32", PROP_I32, true, INT32_MIN, INT32_MAX },
    { "i64", PROP_I64, true, INT64_MIN, INT64_MAX },
    { "int", PROP_I64, true, INT64_MIN, INT64_MAX },
    { "size", PROP_SIZE, true, 0, INT64_MAX },
    { "string", PROP_STRING, true, 0, 0 },
    { "enum", PROP_ENUM, true, 0, 0 },
    { "onoff", PROP_ON_OFF_AUTO, true, 0, 0 },
    { "array", PROP_ARRAY, true, INT64_MIN, INT64_MAX },
    { "mac", PROP_MAC, false, 0, 0 },
    { "device", PROP_LINK, false, 0, 0 },
    { "chardev", PROP_CHARDEV, false, 0, 0 },
    { "netdev", PROP_NETDEV, false, 0, 0 },
};

/* A new row with room for its value in the instance; offsets become final in lay_out(). */
struct prop *luadev_new_prop(struct luadev_type *t, const char *name, enum prop_kind kind)
{
    ALLOC_GROW(t->props, t->prop_count, t->prop_cap);
    t->prop_changed[t->prop_count] = -1;
    struct prop *p = &t->props[t->prop_count++];
    *p = (struct prop){ .name = name, .kind = kind, .offset = t->data };
    t->data += 8;
    return p;
}

static void read_names(lua_State *L, struct luadev_type *t, int row, struct prop *p)
{
    if (lua_getfield(L, row, "values") != LUA_TTABLE || lua_rawlen(L, -1) < 1 ||
        lua_rawlen(L, -1) > 255)
        luadev_wrong(L, t, "property \"%s\": an enum needs values = { ... }", p->name);
    lua_Integer n = (lua_Integer)lua_rawlen(L, -1);
    const char **names = luadev_own(t, alloc_zero((size_t)n + 1, sizeof *names));
    for (lua_Integer i = 0; i < n; i++) {
        if (lua_rawgeti(L, -1, i + 1) != LUA_TSTRING)
            luadev_wrong(L, t, "property \"%s\": values must be strings", p->name);
        names[i] = luadev_own_string(t, lua_tostring(L, -1));
        lua_pop(L, 1);
    }
    p->names = names;
    lua_pop(L, 1);
}

static bool in_names(const char *const *names, const char *s)
{
    for (; *names; names++)
        if (!strcmp(*names, s))
            return true;
    return false;
}

/* { 1, 2 } on top of the stack, as text. */
static const char *default_array(lua_State *L, struct luadev_type *t, const struct prop *p,
                                 int64_t min, int64_t max)
{
    int list = lua_gettop(L);
    if (!lua_istable(L, list))
        luadev_wrong(L, t, "property \"%s\": the default of an array is a table", p->name);
    lua_pushliteral(L, "");
    for (lua_Integer i = 1; i <= (lua_Integer)lua_rawlen(L, list); i++) {
        int is_integer;
        lua_rawgeti(L, list, i);
        int64_t v = lua_tointegerx(L, -1, &is_integer);
        lua_pop(L, 1);
        if (!is_integer || v < min || v > max)
            luadev_wrong(L, t, "property \"%s\": its default is not one that it could have",
                         p->name);
        lua_pushfstring(L, i > 1 ? ",%I" : "%I", (LUAI_UACINT)v);
        lua_concat(L, 2);
    }
    const char *text = luadev_own_string(t, lua_tostring(L, -1));
    lua_settop(L, list);
    return text;
}

/* The default on top of the stack, as text that the property accepts. */
static const char *default_text(lua_State *L, struct luadev_type *t, const struct prop *p,
                                int64_t min, int64_t max)
{
    static const char *const on_off[] = { "auto", "on", "off", NULL };
    const char *s = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : NULL;
    uint64_t size;
    int is_integer;
    int64_t v = lua_tointegerx(L, -1, &is_integer);
    switch (p->kind) {
    case PROP_ARRAY:
        return default_array(L, t, p, min, max);
    case PROP_BOOL:
        if (lua_isboolean(L, -1))
            return lua_toboolean(L, -1) ? "true" : "false";
        break;
    case PROP_STRING:
        if (s)
            return luadev_own_string(t, s);
        break;
    case PROP_ENUM:
    case PROP_ON_OFF_AUTO:
        if (s && in_names(p->kind == PROP_ENUM ? p->names : on_off, s))
            return luadev_own_string(t, s);
        break;
    default:
        if (s && p->kind == PROP_SIZE && parse_size(s, &size) && size <= INT64_MAX) {
            v = (int64_t)size;
            is_integer = true;
        }
        if (!is_integer || v < min || v > max)
            break;
        if (p->kind == PROP_I32 || p->kind == PROP_I64)
            return luadev_own(t, alloc_printf("%lld", (long long)v));
        return luadev_own(t, alloc_printf("%llu", (unsigned long long)v));
    }
    luadev_wrong(L, t, "property \"%s\": its default is not one that it could have", p->name);
    return NULL;
}

static size_t find_kind(lua_State *L, struct luadev_type *t, const char *prop, const char *name)
{
    const char *names[ARRAY_LEN(kinds) + 1];
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        if (!strcmp(kinds[i].name, name))
            return i;
        names[i] = kinds[i].name;
    }
    names[ARRAY_LEN(kinds)] = NULL;
    luadev_wrong(L, t, "property \"%s\": there is no type \"%s\"%s", prop, name,
                 suggest_name(name, names).text);
    return 0;
}

/* { "u32", default, help =, min =, max =, values =, live =, required =, hex =, type = } */
static void read_prop(lua_State *L, struct luadev_type *t, const char *name, int row)
{
    char what[96];
    snprintf(what, sizeof what, "property \"%.64s\"", name);
    if (!luadev_is_name(name) || !strcmp(name, "id") || !strcmp(name, "bus"))
        luadev_wrong(L, t, "%s: a name is letters, digits, '_', '-' and '.', and not id or bus",
                     what);
    for (size_t i = 0; i < t->prop_count; i++)
        if (!strcmp(t->props[i].name, name))
            luadev_wrong(L, t, "%s: the device has it already", what);
    if (t->prop_count == LUADEV_PROPS)
        luadev_wrong(L, t, "%s: a device has at most %d properties", what, LUADEV_PROPS);
    if (!lua_istable(L, row) || lua_rawgeti(L, row, 1) != LUA_TSTRING)
        luadev_wrong(L, t, "%s is declared as { type, default, help = ... }", what);
    size_t k = find_kind(L, t, name, lua_tostring(L, -1));
    struct prop *p = luadev_new_prop(t, luadev_own_string(t, name), kinds[k].kind);
    int64_t min = kinds[k].min, max = kinds[k].max;
    p->help = luadev_string(L, t, row, what, "help");
    p->live = table_bool(L, row, "live");
    p->required = table_bool(L, row, "required");
    p->hex = table_bool(L, row, "hex");
    t->prop_changed[p - t->props] = luadev_function(L, t, row, what, "changed");
    if (t->prop_changed[p - t->props] >= 0)
        p->changed = luadev_prop_changed;
    if (p->changed && !p->live)
        luadev_wrong(L, t, "%s: changed is for live properties: add live = true", what);
    lua_getfield(L, row, "min");
    lua_getfield(L, row, "max");
    if (min != max && !(lua_isnil(L, -1) && lua_isnil(L, -2))) {
        min = luadev_integer(L, t, row, what, "min", min, min, max);
        max = luadev_integer(L, t, row, what, "max", max, min, max);
        p->min = min;
        p->max = max;
    }
    lua_pop(L, 3);
    if (p->kind == PROP_ENUM)
        read_names(L, t, row, p);
    if (p->kind == PROP_LINK) {
        const char **names = luadev_own(t, alloc_zero(2, sizeof *names));
        names[0] = luadev_string(L, t, row, what, "type");
        if (!names[0])
            names[0] = "device";
        p->names = names;
    }
    if (lua_rawgeti(L, row, 2) != LUA_TNIL) {
        if (!kinds[k].has_default)
            luadev_wrong(L, t, "%s: a %s has no default", what, kinds[k].name);
        p->def = default_text(L, t, p, min, max);
    }
    lua_pop(L, 1);
}

static void check_prop_rows(lua_State *L, struct luadev_type *t, int rows)
{
    const char *keys[16];
    binding_key_names(luadev_prop_keys.properties, keys, ARRAY_LEN(keys) - 1);
    for (lua_pushnil(L); lua_next(L, rows); lua_pop(L, 1)) {
        if (!lua_istable(L, -1))
            continue;
        int row = lua_gettop(L);
        for (lua_pushnil(L); lua_next(L, row); lua_pop(L, 1)) {
            if (lua_type(L, -2) != LUA_TSTRING || in_names(keys, lua_tostring(L, -2)))
                continue;
            luadev_wrong(L, t, "a property has no \"%s\"%s", lua_tostring(L, -2),
                         suggest_name(lua_tostring(L, -2), keys).text);
        }
    }
}

void luadev_read_props(lua_State *L, struct luadev_type *t, int spec)
{
    if (lua_getfield(L, spec, "props") == LUA_TTABLE) {
        int rows = lua_gettop(L);
        check_prop_rows(L, t, rows);
        push_sorted_keys(L, rows);
        for (lua_Integer i = 1; lua_rawgeti(L, rows + 1, i) != LUA_TNIL; i++) {
            lua_getfield(L, rows, lua_tostring(L, -1));
            read_prop(L, t, lua_tostring(L, -2), lua_gettop(L));
            lua_settop(L, rows + 1);
        }
        lua_settop(L, rows);
    } else if (!lua_isnil(L, -1)) {
        luadev_wrong(L, t, "props must be a table");
    }
    lua_pop(L, 1);
}

/* ---- state ---- */

void luadev_new_state(struct luadev_type *t, const char *name, enum state_kind kind, size_t offset,
                      size_t count)
{
    ALLOC_GROW(t->state, t->state_count, t->state_cap);
    struct state_field *f = &t->state[t->state_count++];
    *f = (struct state_field){ name, kind, offset, count };
}

/* { name = "u32" | { "u32", reset =, keep = } | { "bytes", length, keep = } }; at first these are
 * all the rows of state there are: their rules have the same index. */
void luadev_read_state(lua_State *L, struct luadev_type *t, int spec)
{
    static const char *const names[] = { "bool", "u8", "u16", "u32", "u64", "i64", "bytes", NULL };
    static const enum state_kind state_kinds[] = { STATE_KIND_BOOL, STATE_KIND_U8,  STATE_KIND_U16,
                                                   STATE_KIND_U32,  STATE_KIND_U64, STATE_KIND_I64,
                                                   STATE_KIND_BYTES };
    if (lua_getfield(L, spec, "state") == LUA_TNIL) {
        lua_pop(L, 1);
        return;
    }
    if (!lua_istable(L, -1))
        luadev_wrong(L, t, "state must be a table");
    int rows = lua_gettop(L);
    push_sorted_keys(L, rows);
    t->state_rules = luadev_own(t, alloc_zero(lua_rawlen(L, -1) + 1, sizeof *t->state_rules));
    for (lua_Integer i = 1; lua_rawgeti(L, rows + 1, i) != LUA_TNIL; i++) {
        char what[96];
        const char *name = lua_tostring(L, -1);
        snprintf(what, sizeof what, "state \"%.64s\"", name);
        lua_getfield(L, rows, name);
        int row = lua_gettop(L);
        if (lua_istable(L, row))
            lua_rawgeti(L, row, 1);
        const char *kind = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : "";
        size_t k = 0;
        while (names[k] && strcmp(names[k], kind))
            k++;
        if (!names[k] || !luadev_is_name(name))
            luadev_wrong(
                L, t,
                "%s is \"bool\", \"u8\", \"u16\", \"u32\", \"u64\", \"i64\" or { \"bytes\", "
                "length }",
                what);
        size_t count = 1;
        if (state_kinds[k] == STATE_KIND_BYTES) {
            lua_Integer n = lua_istable(L, row) && lua_rawgeti(L, row, 2) == LUA_TNUMBER
                                ? lua_tointeger(L, -1)
                                : 0;
            if (n < 1 || n > LUADEV_STATE_MAX)
                luadev_wrong(L, t, "%s: bytes need a length from 1 to %d", what, LUADEV_STATE_MAX);
            count = (size_t)n;
        } else if (lua_istable(L, row)) {
            t->state_rules[t->state_count].value =
                (uint64_t)luadev_integer(L, t, row, what, "reset", 0, INT64_MIN, INT64_MAX);
        }
        if (lua_istable(L, row))
            t->state_rules[t->state_count].keep = table_bool(L, row, "keep");
        luadev_new_state(t, luadev_own_string(t, name), state_kinds[k], t->data, count);
        t->data += align_up(count, 8);
        if (t->data > 16u << 20)
            luadev_wrong(L, t, "its state is larger than 16 MiB");
        lua_settop(L, rows + 1);
    }
    lua_settop(L, rows - 1);
}
