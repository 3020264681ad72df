/* Module "perilune.json": encode and decode, through jansson, with 64-bit integers exact.
 *
 * A table whose keys are 1..n is an array, an empty one an object unless json.array marked it; keys
 * of objects are written sorted, so that the same data is the same text. json.null stands for null.
 */
#include "script/binding.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define META_ARRAY "perilune.json.array"

enum { DEPTH_MAX = 100 };

/* A tree that Lua collects if an error is raised on the way. */
struct holder {
    json_t *tree;
    char *text;
};

static int holder_gc(lua_State *L)
{
    struct holder *h = lua_touserdata(L, 1);
    json_decref(h->tree);
    free(h->text);
    *h = (struct holder){ NULL, NULL };
    return 0;
}

static struct holder *new_holder(lua_State *L)
{
    struct holder *h = lua_newuserdatauv(L, sizeof *h, 0);
    *h = (struct holder){ NULL, NULL };
    luaL_setmetatable(L, "perilune.json.holder");
    return h;
}

/* ---- encoding ---- */

static bool is_array(lua_State *L, int index)
{
    if (lua_getmetatable(L, index)) {
        luaL_getmetatable(L, META_ARRAY);
        bool marked = lua_rawequal(L, -1, -2);
        lua_pop(L, 2);
        if (marked)
            return true;
    }
    lua_Integer n = 0;
    for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1)) {
        if (!lua_isinteger(L, -2)) {
            lua_pop(L, 2);
            return false;
        }
        n++;
    }
    return n > 0 && (lua_Integer)lua_rawlen(L, index) == n;
}

static json_t *encode_table(lua_State *L, int index, int depth)
{
    luaL_checkstack(L, 8, NULL);
    if (depth > DEPTH_MAX)
        luaL_error(L, "json: nested deeper than %d", DEPTH_MAX);
    return is_array(L, index) ? json_array() : json_object();
}

static json_t *encode_number(lua_State *L, int index)
{
    if (lua_isinteger(L, index))
        return json_integer(lua_tointeger(L, index));
    double d = lua_tonumber(L, index);
    if (!isfinite(d))
        luaL_error(L, "json: %f cannot be written", d);
    return json_real(d);
}

/* Tables come back empty; fill() completes them. */
static json_t *encode_value(lua_State *L, int index, int depth)
{
    switch (lua_type(L, index)) {
    case LUA_TBOOLEAN:
        return json_boolean(lua_toboolean(L, index));
    case LUA_TNUMBER:
        return encode_number(L, index);
    case LUA_TSTRING: {
        size_t len;
        const char *s = lua_tolstring(L, index, &len);
        json_t *v = json_stringn(s, len);
        if (!v)
            luaL_error(L, "json: a string is not UTF-8");
        return v;
    }
    case LUA_TTABLE:
        return encode_table(L, index, depth);
    case LUA_TLIGHTUSERDATA:
        if (!lua_touserdata(L, index))
            return json_null();
        /* fall through */
    default:
        luaL_error(L, "json: a %s cannot be written", luaL_typename(L, index));
        return NULL;
    }
}

/* Children are put into their parent before anything can raise, so the holder owns all. */
static void fill(lua_State *L, int index, json_t *v, int depth);

static void fill_array(lua_State *L, int index, json_t *array, int depth)
{
    lua_Integer n = (lua_Integer)lua_rawlen(L, index);
    for (lua_Integer i = 1; i <= n; i++) {
        lua_rawgeti(L, index, i);
        json_t *v = encode_value(L, lua_gettop(L), depth + 1);
        json_array_append_new(array, v);
        fill(L, lua_gettop(L), v, depth + 1);
        lua_pop(L, 1);
    }
}

static void fill_object(lua_State *L, int index, json_t *object, int depth)
{
    for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1)) {
        if (lua_type(L, -2) != LUA_TSTRING)
            luaL_error(L, "json: a key of an object is a %s, not a string", luaL_typename(L, -2));
        json_t *v = encode_value(L, lua_gettop(L), depth + 1);
        if (json_object_set_new(object, lua_tostring(L, -2), v))
            luaL_error(L, "json: a key is not UTF-8");
        fill(L, lua_gettop(L), v, depth + 1);
    }
}

static void fill(lua_State *L, int index, json_t *v, int depth)
{
    if (json_is_array(v))
        fill_array(L, index, v, depth);
    else if (json_is_object(v))
        fill_object(L, index, v, depth);
}

/* encode(value, pretty) */
static int l_json_encode(lua_State *L)
{
    luaL_checkany(L, 1);
    bool pretty = lua_toboolean(L, 2);
    lua_settop(L, 1);
    struct holder *h = new_holder(L);
    h->tree = encode_value(L, 1, 0);
    fill(L, 1, h->tree, 0);
    size_t flags = JSON_ENCODE_ANY | JSON_SORT_KEYS | (pretty ? JSON_INDENT(2) : JSON_COMPACT);
    h->text = json_dumps(h->tree, flags);
    if (!h->text)
        return luaL_error(L, "json: out of memory");
    lua_pushstring(L, h->text);
    return 1;
}

/* ---- decoding ---- */

static void push_json(lua_State *L, json_t *v)
{
    luaL_checkstack(L, 6, NULL);
    switch (json_typeof(v)) {
    case JSON_OBJECT: {
        const char *key;
        json_t *child;
        lua_createtable(L, 0, (int)json_object_size(v));
        json_object_foreach(v, key, child)
        {
            push_json(L, child);
            lua_setfield(L, -2, key);
        }
        break;
    }
    case JSON_ARRAY:
        lua_createtable(L, (int)json_array_size(v), 0);
        luaL_setmetatable(L, META_ARRAY);
        for (size_t i = 0; i < json_array_size(v); i++) {
            push_json(L, json_array_get(v, i));
            lua_rawseti(L, -2, (lua_Integer)i + 1);
        }
        break;
    case JSON_STRING:
        lua_pushlstring(L, json_string_value(v), json_string_length(v));
        break;
    case JSON_INTEGER:
        lua_pushinteger(L, json_integer_value(v));
        break;
    case JSON_REAL:
        lua_pushnumber(L, json_real_value(v));
        break;
    case JSON_TRUE:
    case JSON_FALSE:
        lua_pushboolean(L, json_is_true(v));
        break;
    case JSON_NULL:
        lua_pushlightuserdata(L, NULL);
        break;
    }
}

/* decode(text): jansson bounds the nesting (2048). */
static int l_json_decode(lua_State *L)
{
    size_t len;
    const char *text = luaL_checklstring(L, 1, &len);
    struct holder *h = new_holder(L);
    json_error_t problem;
    h->tree = json_loadb(text, len, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, &problem);
    if (!h->tree)
        return luaL_error(L, "json: line %d, column %d: %s", problem.line, problem.column,
                          problem.text);
    push_json(L, h->tree);
    return 1;
}

/* array(t): t is written as an array even if it is empty. */
static int l_json_array(lua_State *L)
{
    lua_settop(L, 1);
    if (lua_isnil(L, 1)) {
        lua_newtable(L);
        lua_replace(L, 1);
    }
    luaL_checktype(L, 1, LUA_TTABLE);
    luaL_setmetatable(L, META_ARRAY);
    return 1;
}

static const struct binding_member functions[] = {
    { "encode", l_json_encode, "(value) → text", "JSON of a value" },
    { "decode", l_json_decode, "(text) → value", "the value of JSON" },
    { "array", l_json_array, "([table]) → table",
      "mark a table as an array, also when it is empty" },
    { NULL },
};

static const struct binding_type json_module = {
    .meta = "perilune.json",
    .label = "module",
    .help = "JSON with 64-bit integers",
    .methods = functions,
};

int luaopen_perilune_json(lua_State *L)
{
    luaL_newmetatable(L, META_ARRAY);
    luaL_newmetatable(L, "perilune.json.holder");
    lua_pushcfunction(L, holder_gc);
    lua_setfield(L, -2, "__gc");
    lua_newtable(L);
    binding_set_functions(L, functions);
    binding_document(L, &json_module);
    lua_pushlightuserdata(L, NULL);
    lua_setfield(L, -2, "null");
    return 1;
}
