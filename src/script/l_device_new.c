/* Making devices for scripts: on which bus, with which properties, and whole or not at all. */
#include "script/binding.h"

#include <string.h>

/* The first bus of the kind that `type` sits on, in order of creation; NULL: the main bus or none.
 */
static struct bus *default_bus(struct machine *m, const char *type)
{
    if (!type || !strcmp(type, m->main_bus.type))
        return NULL;
    for (struct device *d = m->devices; d; d = d->next)
        for (unsigned i = 0; i < d->bus_count; i++)
            if (!strcmp(d->buses[i]->type, type))
                return d->buses[i];
    return NULL;
}

static struct bus *bus_by_name(struct machine *m, const char *name, struct error *err)
{
    const char *names[64];
    size_t n = 0;
    if (!strcmp(m->main_bus.name, name))
        return &m->main_bus;
    for (struct device *d = m->devices; d; d = d->next) {
        for (unsigned i = 0; i < d->bus_count; i++) {
            if (!strcmp(d->buses[i]->name, name))
                return d->buses[i];
            if (n < ARRAY_LEN(names) - 1)
                names[n++] = d->buses[i]->name;
        }
    }
    names[n] = NULL;
    error_set(err, "there is no bus \"%s\"%s", name, suggest_name(name, names).text);
    return NULL;
}

void push_sorted_keys(lua_State *L, int props)
{
    lua_newtable(L);
    int keys = lua_gettop(L);
    lua_Integer n = 0;
    for (lua_pushnil(L); lua_next(L, props); lua_pop(L, 1)) {
        if (lua_type(L, -2) != LUA_TSTRING)
            luaL_error(L, "what a device has is given by name, not by %s", luaL_typename(L, -2));
        const char *key = lua_tostring(L, -2);
        lua_Integer at = ++n;
        for (; at > 1; at--) {
            lua_rawgeti(L, keys, at - 1);
            bool after = strcmp(lua_tostring(L, -1), key) > 0;
            if (after)
                lua_rawseti(L, keys, at);
            else
                lua_pop(L, 1);
            if (!after)
                break;
        }
        lua_pushvalue(L, -2);
        lua_rawseti(L, keys, at);
    }
}

struct creation {
    struct script_vm *svm;
    struct device *d; /* freed if anything raises */
    struct bus *bus;
    int props;
};

static void set_props(lua_State *L, struct creation *c)
{
    struct error err = { 0 };
    push_sorted_keys(L, c->props);
    int keys = lua_gettop(L);
    for (lua_Integer i = 1; lua_rawgeti(L, keys, i) != LUA_TNIL; i++) {
        const char *name = lua_tostring(L, -1);
        lua_getfield(L, c->props, name);
        if (strcmp(name, "id") && strcmp(name, "bus")) {
            const struct prop *p = device_find_prop(c->d, name, &err);
            if (!p || !device_set_prop(c->d, name, check_prop_value(L, -1, c->svm, p), &err))
                script_raise(L, &err);
        }
        lua_settop(L, keys);
    }
    lua_settop(L, keys - 1);
}

/* Protected, because a half-made device must go again. 1: the creation, 2: the properties or nil.
 */
static int finish_device(lua_State *L)
{
    struct creation *c = lua_touserdata(L, 1);
    struct machine *m = c->d->machine;
    struct error err = { 0 };
    c->props = 2;
    if (lua_istable(L, 2)) {
        const char *bus = table_string(L, 2, "bus");
        if (bus && !(c->bus = bus_by_name(m, bus, &err)))
            return script_raise(L, &err);
        lua_pop(L, 1);
        set_props(L, c);
    }
    if (!c->bus)
        c->bus = default_bus(m, device_bus_type(c->d));
    if (!device_realize(c->d, c->bus, &err))
        return script_raise(L, &err);
    return 0;
}

/* Raise the error on top of the stack again, as an error object that says where the Lua caller is.
 */
static int raise_with_place(lua_State *L)
{
    int status;
    struct error err = { 0 };
    bool host = script_error_kind(L, -1, &status) == SCRIPT_ERROR_HOST;
    error_set(&err, "%s", luaL_tolstring(L, -1, NULL));
    err.kind = host ? ERROR_HOST : ERROR_CONFIG;
    return script_raise(L, &err);
}

int binding_new_device(lua_State *L, struct script_vm *svm, const char *type, int props,
                       struct bus *bus)
{
    struct machine *m = vm_machine(svm->vm);
    struct error err = { 0 };
    const char *id = NULL;
    if (props)
        props = lua_absindex(L, props);
    if (props && (id = table_string(L, props, "id")) == NULL)
        lua_pop(L, 1);
    struct creation c = { .svm = svm, .bus = bus };
    c.d = device_new(m, type, id, &err);
    if (!c.d)
        return script_raise(L, &err);
    lua_pushcfunction(L, finish_device);
    lua_pushlightuserdata(L, &c);
    if (props)
        lua_pushvalue(L, props);
    else
        lua_pushnil(L);
    if (lua_pcall(L, 2, 0, 0) != LUA_OK) {
        device_retire(c.d); /* its realize may have given handles away */
        binding_sweep(L, svm);
        return raise_with_place(L);
    }
    if (svm->was_reset)
        device_reset(c.d);
    binding_push(L, svm, META_DEVICE, c.d);
    return 1;
}
