/* Types of objects: their metatables, made from tables of members, and the list of all of them that
 * a reference is made from. Machine lock. */
#include "script/binding.h"

#include <assert.h>
#include <string.h>

enum { NAMES_MAX = 256 };

static const struct binding_type *upvalue_type(lua_State *L)
{
    return lua_touserdata(L, lua_upvalueindex(1));
}

static const struct binding_member *find_member(const struct binding_member *list, const char *name)
{
    for (; list && list->name; list++)
        if (!strcmp(list->name, name))
            return list;
    return NULL;
}

/* ---- names ---- */

struct names {
    const char *list[NAMES_MAX + 1];
    size_t count;
};

static void add_name(struct names *n, const char *name)
{
    for (size_t i = 0; i < n->count; i++)
        if (!strcmp(n->list[i], name))
            return;
    if (n->count < NAMES_MAX)
        n->list[n->count++] = name;
    n->list[n->count] = NULL;
}

static void add_members(struct names *n, const struct binding_member *list)
{
    for (; list && list->name; list++)
        add_name(n, list->name);
}

/* What pairs() goes through: properties of the type, then those of the object. May leave a value on
 * the stack that keeps the names. */
static void property_names(lua_State *L, const struct binding_type *t, struct names *n)
{
    n->count = 0;
    n->list[0] = NULL;
    add_members(n, t->properties);
    const char *const *more = t->names ? t->names(L) : NULL;
    for (; more && *more; more++)
        if (!find_member(t->methods, *more))
            add_name(n, *more);
}

static int unknown_field(lua_State *L, const struct binding_type *t, const char *name)
{
    struct names names;
    property_names(L, t, &names);
    add_members(&names, t->methods);
    struct error err = { 0 };
    error_set(&err, "%s has no \"%s\"%s", luaL_tolstring(L, 1, NULL), name,
              suggest_name(name, names.list).text);
    return script_raise(L, &err);
}

/* ---- fields ---- */

/* A method that is written in Lua: the type's module has put it there by binding_add_methods(). */
static int push_lua_method(lua_State *L, const struct binding_type *t, const char *name)
{
    luaL_getmetafield(L, 1, "methods");
    if (lua_getfield(L, -1, name) != LUA_TNIL)
        return 1;
    lua_getglobal(L, "require");
    lua_pushstring(L, t->module);
    lua_call(L, 1, 0);
    lua_getfield(L, -2, name);
    return 1;
}

static int type_index(lua_State *L)
{
    const struct binding_type *t = upvalue_type(L);
    const char *name = luaL_checkstring(L, 2);
    const struct binding_member *m = find_member(t->methods, name);
    if (m && !m->fn)
        return push_lua_method(L, t, name);
    if (m) {
        lua_pushcfunction(L, m->fn);
        return 1;
    }
    binding_check(L, 1, t->meta);
    m = find_member(t->properties, name);
    if (m)
        return m->fn(L);
    int n = t->get ? t->get(L) : 0;
    return n ? n : unknown_field(L, t, name);
}

static int type_newindex(lua_State *L)
{
    const struct binding_type *t = upvalue_type(L);
    const char *name = luaL_checkstring(L, 2);
    binding_check(L, 1, t->meta);
    const struct binding_member *m = find_member(t->properties, name);
    if (m && m->set)
        return m->set(L);
    if (m)
        return luaL_error(L, "property \"%s\" of a %s is read-only", name, t->label);
    if (find_member(t->methods, name))
        return luaL_error(L, "\"%s\" of a %s is a method: it can be called, not set", name,
                          t->label);
    if (t->set && t->set(L))
        return 0;
    return unknown_field(L, t, name);
}

/* The property after the one whose name is given. */
static int type_next_field(lua_State *L)
{
    const struct binding_type *t = upvalue_type(L);
    const char *last = lua_isnil(L, 2) ? NULL : luaL_checkstring(L, 2);
    struct names names;
    binding_check(L, 1, t->meta);
    property_names(L, t, &names);
    size_t i = 0;
    if (last) {
        while (names.list[i] && strcmp(names.list[i], last))
            i++;
        if (names.list[i])
            i++;
    }
    if (!names.list[i])
        return 0;
    lua_pushstring(L, names.list[i]);
    lua_pushvalue(L, -1);
    lua_gettable(L, 1);
    return 2;
}

static int type_pairs(lua_State *L)
{
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_pushcclosure(L, type_next_field, 1);
    lua_pushvalue(L, 1);
    lua_pushnil(L);
    return 3;
}

/* All fields and methods, for completion. */
static int type_names(lua_State *L)
{
    const struct binding_type *t = upvalue_type(L);
    struct names own, names = { .count = 0 };
    binding_check(L, 1, t->meta);
    property_names(L, t, &own);
    add_members(&names, t->methods);
    for (size_t i = 0; i < own.count; i++)
        add_name(&names, own.list[i]);
    lua_createtable(L, (int)names.count, 0);
    for (size_t i = 0; i < names.count; i++) {
        lua_pushstring(L, names.list[i]);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
    return 1;
}

static int type_tostring(lua_State *L)
{
    const struct binding_type *t = upvalue_type(L);
    struct binding_object *o = luaL_checkudata(L, 1, t->meta);
    if (binding_is_closed(o))
        lua_pushfstring(L, "closed %s", t->label);
    else
        t->tostring(L);
    return 1;
}

/* ---- making ---- */

static void set_closure(lua_State *L, const struct binding_type *t, const char *name,
                        lua_CFunction f)
{
    lua_pushlightuserdata(L, (void *)t);
    lua_pushcclosure(L, f, 1);
    lua_setfield(L, -2, name);
}

void binding_type_new(lua_State *L, const struct binding_type *t)
{
    luaL_newmetatable(L, t->meta);
    set_closure(L, t, "__index", type_index);
    set_closure(L, t, "__newindex", type_newindex);
    set_closure(L, t, "__pairs", type_pairs);
    set_closure(L, t, "__tostring", type_tostring);
    set_closure(L, t, "names", type_names);
    lua_newtable(L);
    lua_setfield(L, -2, "methods");
    lua_pushlightuserdata(L, (void *)t);
    lua_setfield(L, -2, "type");
    lua_pushliteral(L, "protected");
    lua_setfield(L, -2, "__metatable");
    lua_pop(L, 1);
    binding_document(L, t);
}

void binding_add_methods(lua_State *L, const struct binding_type *t, int index)
{
    index = lua_absindex(L, index);
    luaL_getmetatable(L, t->meta);
    lua_getfield(L, -1, "methods");
    for (lua_pushnil(L); lua_next(L, index);) {
        const char *name = luaL_checkstring(L, -2);
        const struct binding_member *m = find_member(t->methods, name);
        if (!m || m->fn)
            luaL_error(L, "\"%s\" is no method of a %s that is written in Lua", name, t->label);
        lua_setfield(L, -3, name);
    }
    lua_pop(L, 2);
}

void binding_set_functions(lua_State *L, const struct binding_member *list)
{
    for (; list->name; list++) {
        lua_pushcfunction(L, list->fn);
        lua_setfield(L, -2, list->name);
    }
}

void binding_plain_type_new(lua_State *L, const struct binding_type *t, lua_CFunction gc)
{
    luaL_newmetatable(L, t->meta);
    lua_newtable(L);
    binding_set_functions(L, t->methods);
    lua_setfield(L, -2, "__index");
    if (gc) {
        lua_pushcfunction(L, gc);
        lua_setfield(L, -2, "__gc");
    }
    lua_pushliteral(L, "protected");
    lua_setfield(L, -2, "__metatable");
    lua_pop(L, 1);
    binding_document(L, t);
}

size_t binding_key_names(const struct binding_member *list, const char **names, size_t room)
{
    size_t n = 0;
    for (; list[n].name; n++) {
        assert(n < room);
        names[n] = list[n].name;
    }
    names[n] = NULL;
    return n;
}

/* ---- the list of all types ---- */

void binding_document(lua_State *L, const struct binding_type *t)
{
    luaL_getsubtable(L, LUA_REGISTRYINDEX, BINDING_TYPES);
    lua_pushlightuserdata(L, (void *)t);
    lua_rawseti(L, -2, (lua_Integer)lua_rawlen(L, -2) + 1);
    lua_pop(L, 1);
}

static void set_string(lua_State *L, const char *name, const char *value)
{
    lua_pushstring(L, value);
    lua_setfield(L, -2, name);
}

/* Into the list on top of the stack. */
static void push_members(lua_State *L, const struct binding_member *list, const char *kind)
{
    for (; list && list->name; list++) {
        lua_createtable(L, 0, 5);
        set_string(L, "name", list->name);
        set_string(L, "kind", kind);
        set_string(L, "signature", list->signature);
        set_string(L, "help", list->help);
        lua_pushboolean(L, list->set != NULL);
        lua_setfield(L, -2, "writable");
        lua_rawseti(L, -2, (lua_Integer)lua_rawlen(L, -2) + 1);
    }
}

static void push_type(lua_State *L, const struct binding_type *t)
{
    bool module = !strcmp(t->label, "module");
    const char *name = t->meta;
    if (!module && !strncmp(name, "perilune.", 9))
        name += 9;
    bool keys = !strcmp(t->label, "table") || !strcmp(t->label, "event");
    lua_createtable(L, 0, 6);
    set_string(L, "name", name);
    set_string(L, "label", t->label);
    set_string(L, "help", t->help);
    set_string(L, "signature", t->signature);
    set_string(L, "further", t->further);
    lua_newtable(L);
    push_members(L, t->properties, keys ? "key" : "property");
    push_members(L, t->methods, module ? "function" : "method");
    lua_setfield(L, -2, "members");
}

int l_core_api(lua_State *L)
{
    luaL_getsubtable(L, LUA_REGISTRYINDEX, BINDING_TYPES);
    int list = lua_gettop(L);
    lua_newtable(L);
    for (lua_Integer i = 1; lua_rawgeti(L, list, i) == LUA_TLIGHTUSERDATA; i++) {
        push_type(L, lua_touserdata(L, -1));
        lua_rawseti(L, -3, i);
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
    return 1;
}
