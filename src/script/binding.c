/* Object handles and argument checks. */
#include "script/script_hook.h"

#include <string.h>

/* ---- objects ---- */

/* Objects of one machine: registry[svm] = { vm = its userdata, [type] = { [pointer] = handle } },
 * the inner tables weak in their values. A table per type, because a structure and its first member
 * have one address. */
static void push_cache(lua_State *L, const char *meta)
{
    if (lua_getfield(L, -1, meta) == LUA_TTABLE)
        return;
    lua_pop(L, 1);
    lua_newtable(L);
    lua_createtable(L, 0, 1);
    lua_pushliteral(L, "v");
    lua_setfield(L, -2, "__mode");
    lua_setmetatable(L, -2);
    lua_pushvalue(L, -1);
    lua_setfield(L, -3, meta);
}

void binding_push(lua_State *L, struct script_vm *svm, const char *meta, void *p)
{
    if (!p) {
        lua_pushnil(L);
        return;
    }
    luaL_checkstack(L, 6, NULL);
    lua_rawgetp(L, LUA_REGISTRYINDEX, svm);
    push_cache(L, meta);
    if (lua_rawgetp(L, -1, p) == LUA_TNIL) {
        lua_pop(L, 1);
        struct binding_object *o = lua_newuserdatauv(L, sizeof *o, 1);
        *o = (struct binding_object){ svm, p };
        luaL_setmetatable(L, meta);
        lua_getfield(L, -3, "vm");
        lua_setiuservalue(L, -2, 1);
        lua_pushvalue(L, -1);
        lua_rawsetp(L, -3, p);
    }
    lua_replace(L, -3);
    lua_pop(L, 1);
}

bool binding_is_closed(const struct binding_object *o)
{
    return !o->p || !o->svm->vm || o->svm->closing;
}

static const struct binding_type *type_of_meta(lua_State *L, const char *meta)
{
    luaL_getmetatable(L, meta);
    lua_getfield(L, -1, "type");
    const struct binding_type *t = lua_touserdata(L, -1);
    lua_pop(L, 2);
    return t;
}

/* Something else stands where an object must be. In front of a method's arguments this is what
 * vm.run() in place of vm:run() does. */
static void wrong_object(lua_State *L, int index, const struct binding_type *t)
{
    lua_Debug ar;
    if (index == 1 && lua_getstack(L, 0, &ar) && lua_getinfo(L, "n", &ar) && ar.name &&
        strcmp(ar.namewhat, "method") != 0) {
        struct error err = { 0 };
        error_set(&err,
                  "%s: there is no %s in front of its arguments; call it with a colon: "
                  "%s:%s(...)",
                  ar.name, t->label, strrchr(t->meta, '.') + 1, ar.name);
        script_raise(L, &err);
    }
    luaL_typeerror(L, index, t->label);
}

struct binding_object *binding_check(lua_State *L, int index, const char *meta)
{
    struct binding_object *o = luaL_testudata(L, index, meta);
    if (UNLIKELY(!o))
        wrong_object(L, index, type_of_meta(L, meta));
    if (UNLIKELY(binding_is_closed(o)))
        luaL_error(L, "closed %s", type_of_meta(L, meta)->label);
    return o;
}

/* The handles of one type: the table on top of the stack. */
static void sweep_type(lua_State *L, struct script_vm *svm, const struct binding_type *t)
{
    for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1)) {
        struct binding_object *o = lua_touserdata(L, -1);
        if (!o->p || t->alive(svm, o->p))
            continue;
        void *gone = o->p;
        o->p = NULL;
        lua_pushnil(L);
        lua_rawsetp(L, -4, gone);
    }
}

void binding_sweep(lua_State *L, struct script_vm *svm)
{
    script_hooks_sweep(svm);
    luaL_checkstack(L, 8, NULL);
    lua_rawgetp(L, LUA_REGISTRYINDEX, svm);
    luaL_getsubtable(L, LUA_REGISTRYINDEX, BINDING_TYPES);
    for (lua_Integer i = 1; lua_rawgeti(L, -1, i) == LUA_TLIGHTUSERDATA; i++) {
        const struct binding_type *t = lua_touserdata(L, -1);
        if (t->alive && lua_getfield(L, -3, t->meta) == LUA_TTABLE)
            sweep_type(L, svm, t);
        lua_settop(L, -2 - (t->alive != NULL));
    }
    lua_pop(L, 3);
}

struct script_vm *binding_vm(lua_State *L, int index, const char *meta)
{
    return binding_check(L, index, meta)->svm;
}

struct script_vm *binding_any_vm(lua_State *L, int index)
{
    const char *meta = luaL_testudata(L, index, META_MACHINE) ? META_MACHINE : META_VM;
    return binding_vm(L, index, meta);
}

/* ---- arguments ---- */

uint64_t check_size(lua_State *L, int index)
{
    uint64_t bytes;
    if (lua_type(L, index) == LUA_TSTRING) {
        const char *text = lua_tostring(L, index);
        if (!parse_size(text, &bytes)) {
            struct error err = { 0 };
            error_set(&err, "\"%s\" is not a size; write bytes, or a number with K, M, G or T",
                      text);
            script_raise(L, &err);
        }
        return bytes;
    }
    return (uint64_t)luaL_checkinteger(L, index);
}

unsigned check_access_size(lua_State *L, int index)
{
    lua_Integer n = luaL_checkinteger(L, index);
    if (n != 1 && n != 2 && n != 4 && n != 8)
        luaL_argerror(L, index, "an access has 1, 2, 4 or 8 bytes");
    return (unsigned)n;
}

const char *table_string(lua_State *L, int index, const char *name)
{
    index = lua_absindex(L, index);
    if (lua_getfield(L, index, name) == LUA_TNIL)
        return NULL;
    if (lua_type(L, -1) != LUA_TSTRING)
        luaL_error(L, "%s must be a string, not a %s", name, luaL_typename(L, -1));
    return lua_tostring(L, -1);
}

bool table_bool(lua_State *L, int index, const char *name)
{
    lua_getfield(L, index, name);
    bool v = lua_toboolean(L, -1);
    lua_pop(L, 1);
    return v;
}

void check_keys(lua_State *L, int index, const char *what, const char *const *known)
{
    luaL_checktype(L, index, LUA_TTABLE);
    index = lua_absindex(L, index);
    for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1)) {
        const char *key = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : "(not a name)";
        size_t i = 0;
        while (known[i] && strcmp(known[i], key))
            i++;
        if (!known[i]) {
            struct error err = { 0 };
            error_set(&err, "%s: unknown key \"%s\"%s", what, key, suggest_name(key, known).text);
            script_raise(L, &err);
        }
    }
}

int check_choice(lua_State *L, const char *what, const char *def, const char *const *names)
{
    if (def && lua_isnil(L, -1))
        lua_pushstring(L, def);
    const char *given = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : NULL;
    int i = 0;
    while (names[i] && !(given && !strcmp(names[i], given)))
        i++;
    if (names[i])
        return i;
    lua_pushfstring(L, "%s: ", what);
    lua_pushfstring(L, given ? "\"%s\" is none of " : "a %s is none of ",
                    given ? given : luaL_typename(L, -2));
    for (i = 0; names[i]; i++)
        lua_pushfstring(L, "%s%s", i ? ", " : "", names[i]);
    lua_pushstring(L, given ? suggest_name(given, names).text : "");
    lua_concat(L, i + 3);
    struct error err = { 0 };
    error_set(&err, "%s", lua_tostring(L, -1));
    return script_raise(L, &err);
}

/* ---- property values ---- */

const char *prop_kind_name(enum prop_kind kind)
{
    static const char *const names[] = {
        [PROP_BOOL] = "bool",
        [PROP_U8] = "uint8",
        [PROP_U16] = "uint16",
        [PROP_U32] = "uint32",
        [PROP_U64] = "uint64",
        [PROP_I32] = "int32",
        [PROP_I64] = "int64",
        [PROP_SIZE] = "size",
        [PROP_STRING] = "string",
        [PROP_ENUM] = "enum",
        [PROP_ON_OFF_AUTO] = "on/off/auto",
        [PROP_MAC] = "mac",
        [PROP_PCI_ADDR] = "pci address",
        [PROP_LINK] = "device",
        [PROP_CHARDEV] = "chardev",
        [PROP_NETDEV] = "netdev",
        [PROP_REGION] = "region",
        [PROP_ARRAY] = "array",
    };
    return (size_t)kind < ARRAY_LEN(names) ? names[kind] : "?";
}

static struct prop_value object_value(void *object)
{
    return (struct prop_value){ .type = VALUE_OBJECT, .object = object };
}

/* A backend by its id. */
static struct prop_value named_object(lua_State *L, struct script_vm *svm, const struct prop *p,
                                      const char *id)
{
    struct error err = { 0 };
    if (p->kind == PROP_NETDEV) {
        struct net_port *port = net_port_find(vm_net(svm->vm), id);
        if (port)
            return object_value(port);
        error_set(&err,
                  "property \"%s\": there is no network backend \"%s\"; define it with netdev",
                  p->name, id);
    } else {
        struct script_chardev *c = script_find_chardev(svm, id);
        if (c)
            return object_value(script_chardev_end(svm, c->c));
        error_set(&err, "property \"%s\": there is no character backend \"%s\"", p->name, id);
    }
    script_raise(L, &err);
    return (struct prop_value){ 0 };
}

static struct prop_value userdata_value(lua_State *L, int index, const struct prop *p)
{
    static const struct {
        enum prop_kind kind;
        const char *meta;
    } metas[] = { { PROP_LINK, META_DEVICE },
                  { PROP_CHARDEV, META_CHARDEV },
                  { PROP_NETDEV, META_PORT },
                  { PROP_REGION, META_REGION } };
    for (size_t i = 0; i < ARRAY_LEN(metas); i++) {
        if (metas[i].kind != p->kind)
            continue;
        void *object = binding_ptr(L, index, metas[i].meta);
        if (p->kind == PROP_CHARDEV)
            object = script_chardev_end(binding_vm(L, index, META_CHARDEV),
                                        ((struct script_chardev *)object)->c);
        return object_value(object);
    }
    luaL_error(L, "property \"%s\" (%s) cannot be an object", p->name, prop_kind_name(p->kind));
    return (struct prop_value){ 0 };
}

/* A list of whole numbers; what is made of it stays on the Lua stack. */
static struct prop_value array_value(lua_State *L, int index, const struct prop *p)
{
    size_t n = lua_rawlen(L, index);
    index = lua_absindex(L, index);
    struct prop_array *a = lua_newuserdatauv(L, sizeof *a + n * sizeof a->items[0], 0);
    a->count = n;
    for (size_t i = 0; i < n; i++) {
        int is_integer;
        lua_rawgeti(L, index, (lua_Integer)i + 1);
        a->items[i] = lua_tointegerx(L, -1, &is_integer);
        if (!is_integer)
            luaL_error(L, "property \"%s\": item %d is a %s, not a whole number", p->name,
                       (int)i + 1, luaL_typename(L, -1));
        lua_pop(L, 1);
    }
    return (struct prop_value){ .type = VALUE_ARRAY, .array = a };
}

struct prop_value check_prop_value(lua_State *L, int index, struct script_vm *svm,
                                   const struct prop *p)
{
    switch (lua_type(L, index)) {
    case LUA_TBOOLEAN:
        return (struct prop_value){ .type = VALUE_BOOL, .b = lua_toboolean(L, index) };
    case LUA_TNUMBER:
        if (!lua_isinteger(L, index) &&
            lua_tonumber(L, index) != (lua_Integer)lua_tonumber(L, index))
            luaL_error(L, "property \"%s\": %f is not an integer", p->name, lua_tonumber(L, index));
        if (lua_isinteger(L, index))
            return (struct prop_value){ .type = VALUE_INT, .i = lua_tointeger(L, index) };
        return (struct prop_value){ .type = VALUE_INT, .i = (int64_t)lua_tonumber(L, index) };
    case LUA_TSTRING:
        if (p->kind == PROP_NETDEV || p->kind == PROP_CHARDEV)
            return named_object(L, svm, p, lua_tostring(L, index));
        return (struct prop_value){ .type = VALUE_STRING, .s = lua_tostring(L, index) };
    case LUA_TUSERDATA:
        return userdata_value(L, index, p);
    case LUA_TTABLE:
        if (p->kind == PROP_ARRAY)
            return array_value(L, index, p);
        luaL_error(L, "property \"%s\" (%s) cannot be a table", p->name, prop_kind_name(p->kind));
        return (struct prop_value){ 0 };
    default:
        luaL_error(L, "property \"%s\" cannot be a %s", p->name, luaL_typename(L, index));
        return (struct prop_value){ 0 };
    }
}

static void push_object_value(lua_State *L, struct script_vm *svm, const struct prop *p,
                              void *object)
{
    switch (p->kind) {
    case PROP_LINK:
        binding_push(L, svm, META_DEVICE, object);
        break;
    case PROP_REGION:
        binding_push(L, svm, META_REGION, object);
        break;
    case PROP_NETDEV:
        binding_push(L, svm, META_PORT, object);
        break;
    default: {
        struct script_chardev *c =
            object ? script_find_chardev(svm, ((struct chardev *)object)->id) : NULL;
        binding_push(L, svm, META_CHARDEV, c);
    }
    }
}

void push_prop_value(lua_State *L, struct script_vm *svm, const struct prop *p,
                     const struct prop_value *v)
{
    switch (v->type) {
    case VALUE_NONE:
        lua_pushnil(L);
        break;
    case VALUE_BOOL:
        lua_pushboolean(L, v->b);
        break;
    case VALUE_INT:
        lua_pushinteger(L, v->i);
        break;
    case VALUE_UINT:
        lua_pushinteger(L, (lua_Integer)v->u);
        break;
    case VALUE_STRING:
        lua_pushstring(L, v->s);
        break;
    case VALUE_ARRAY:
        lua_newtable(L);
        for (size_t i = 0; v->array && i < v->array->count; i++) {
            lua_pushinteger(L, v->array->items[i]);
            lua_rawseti(L, -2, (lua_Integer)i + 1);
        }
        break;
    case VALUE_OBJECT:
        push_object_value(L, svm, p, v->object);
        break;
    }
}
