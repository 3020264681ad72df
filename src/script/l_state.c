/* The state of cpus and chips as tables of Lua, after the structures of linux/kvm.h: what their
 * field tables call "sregs.cs.base" is state.sregs.cs.base, "channels.1.mode" is
 * state.channels[1].mode.
 *
 * A table that is given has the fields that are to change. All of it is looked at before anything
 * is set. */
#include "script/binding.h"
#include "script/script_state.h"

#include "base/alloc.h"
#include "cpu/state.h"
#include "dev/chip_state.h"
#include "dev/state.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PATH_MAX_BYTES = 64, FIELDS_MAX = 512 };

/* ---- values ---- */

static size_t size_of(enum state_kind kind)
{
    switch (kind) {
    case STATE_KIND_BOOL:
    case STATE_KIND_U8:
    case STATE_KIND_BYTES:
        return 1;
    case STATE_KIND_U16:
        return 2;
    case STATE_KIND_U32:
        return 4;
    case STATE_KIND_TIMER:
        return sizeof(struct timer);
    default:
        return 8;
    }
}

static void push_value(lua_State *L, const struct state_field *f, const char *at)
{
    const struct timer *t = (const struct timer *)at;
    if (f->kind == STATE_KIND_BOOL)
        lua_pushboolean(L, *(const bool *)at);
    else if (f->kind != STATE_KIND_TIMER)
        lua_pushinteger(L, (lua_Integer)ld_le(at, (unsigned)size_of(f->kind)));
    else if (timer_is_set(t))
        lua_pushinteger(L, t->deadline);
    else
        lua_pushboolean(L, false);
}

void push_state_field(lua_State *L, const void *base, const struct state_field *f)
{
    const char *at = (const char *)base + f->offset;
    if (f->kind == STATE_KIND_BYTES) {
        lua_pushlstring(L, at, f->count);
        return;
    }
    if (f->count == 1) {
        push_value(L, f, at);
        return;
    }
    lua_createtable(L, (int)f->count, 0);
    for (size_t i = 0; i < f->count; i++) {
        push_value(L, f, at + i * size_of(f->kind));
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
}

/* What a table is given for, for messages. */
struct taking {
    const char *what;
    const struct state_field *fields;
    char *base;
};

static uint64_t take_integer(lua_State *L, const struct taking *t, const struct state_field *f)
{
    unsigned size = (unsigned)size_of(f->kind);
    int is_integer;
    uint64_t v = (uint64_t)lua_tointegerx(L, -1, &is_integer);
    if (!is_integer || lua_type(L, -1) != LUA_TNUMBER)
        luaL_error(L, "%s: %s: an integer is expected, not %s", t->what, f->name,
                   luaL_typename(L, -1));
    if (size < 8 && v > bits_mask(8 * size))
        luaL_error(L, "%s: %s: %I does not fit into %d bits", t->what, f->name, (lua_Integer)v,
                   (int)(8 * size));
    return v;
}

/* The value on top of the stack into its field. */
static void take_field(lua_State *L, const struct taking *t, const struct state_field *f)
{
    char *at = t->base + f->offset;
    unsigned size = (unsigned)size_of(f->kind);
    if (f->kind == STATE_KIND_BYTES) {
        size_t n = 0;
        const char *bytes = lua_type(L, -1) == LUA_TSTRING ? lua_tolstring(L, -1, &n) : NULL;
        if (n != f->count)
            luaL_error(L, "%s: %s: a string of %d bytes is expected", t->what, f->name,
                       (int)f->count);
        memcpy(at, bytes, n);
    } else if (f->count == 1) {
        st_le(at, size, take_integer(L, t, f));
    } else {
        if (!lua_istable(L, -1) || lua_rawlen(L, -1) != f->count)
            luaL_error(L, "%s: %s: a list of %d integers is expected", t->what, f->name,
                       (int)f->count);
        for (size_t i = 0; i < f->count; i++) {
            lua_rawgeti(L, -1, (lua_Integer)i + 1);
            st_le(at + i * size, size, take_integer(L, t, f));
            lua_pop(L, 1);
        }
    }
}

/* ---- tables ---- */

/* The next name of a path: its length, and the key pushed. */
static size_t push_step(lua_State *L, const char *path)
{
    size_t n = strcspn(path, ".");
    if (*path >= '0' && *path <= '9')
        lua_pushinteger(L, strtol(path, NULL, 10));
    else
        lua_pushlstring(L, path, n);
    return n;
}

/* Into the table on top of the stack, making those between. */
static void push_fields(lua_State *L, const void *base, const struct state_field *f)
{
    int top = lua_gettop(L);
    const char *path = f->name;
    size_t n = push_step(L, path);
    while (path[n]) {
        lua_pushvalue(L, -1);
        if (lua_rawget(L, -3) == LUA_TNIL) {
            lua_pop(L, 1);
            lua_newtable(L);
            lua_pushvalue(L, -2);
            lua_pushvalue(L, -2);
            lua_rawset(L, -5);
        }
        path += n + 1;
        n = push_step(L, path);
    }
    push_state_field(L, base, f);
    lua_rawset(L, -3);
    lua_settop(L, top);
}

/* The value at the path in the table on top of the stack, pushed; nil: it has none. */
static void get_path(lua_State *L, const struct taking *t, const char *field)
{
    const char *path = field;
    lua_pushvalue(L, -1);
    for (size_t n; *path && !lua_isnil(L, -1); path += n + (path[n] == '.')) {
        if (!lua_istable(L, -1))
            luaL_error(L, "%s: %s: what should hold it is %s, no table", t->what, field,
                       luaL_typename(L, -1));
        n = push_step(L, path);
        lua_rawget(L, -2);
        lua_remove(L, -2);
    }
}

/* Is there a field of that path, or one below it? */
static bool is_known(const struct taking *t, const char *path)
{
    size_t n = strlen(path);
    for (const struct state_field *f = t->fields; f->name; f++)
        if (!strncmp(f->name, path, n) && (!f->name[n] || f->name[n] == '.'))
            return true;
    return false;
}

static bool is_field(const struct taking *t, const char *path)
{
    const struct state_field *f = t->fields;
    while (f->name && strcmp(f->name, path))
        f++;
    return f->name;
}

/* Of the keys that no field has, in the table on top of the stack, the first in order. */
static void find_unknown(lua_State *L, const struct taking *t, const char *prefix, char *unknown)
{
    luaL_checkstack(L, 4, t->what);
    for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1)) {
        char path[PATH_MAX_BYTES] = "?";
        if (lua_isinteger(L, -2))
            snprintf(path, sizeof path, "%s%lld", prefix, (long long)lua_tointeger(L, -2));
        else if (lua_type(L, -2) == LUA_TSTRING)
            snprintf(path, sizeof path, "%s%s", prefix, lua_tostring(L, -2));
        if (!is_known(t, path)) {
            if (!*unknown || strcmp(path, unknown) < 0)
                memcpy(unknown, path, PATH_MAX_BYTES);
        } else if (!is_field(t, path) && lua_istable(L, -1)) {
            char deeper[PATH_MAX_BYTES + 1];
            snprintf(deeper, sizeof deeper, "%s.", path);
            find_unknown(L, t, deeper, unknown);
        }
    }
}

/* The table on top of the stack. */
static void take_fields(lua_State *L, const struct taking *t)
{
    char unknown[PATH_MAX_BYTES] = "";
    find_unknown(L, t, "", unknown);
    if (*unknown) {
        const char *names[FIELDS_MAX];
        size_t count = 0;
        for (const struct state_field *f = t->fields; f->name && count < FIELDS_MAX - 1; f++)
            names[count++] = f->name;
        names[count] = NULL;
        luaL_error(L, "%s: there is no field \"%s\"%s", t->what, unknown,
                   suggest_name(unknown, names).text);
    }
    for (const struct state_field *f = t->fields; f->name; f++) {
        get_path(L, t, f->name);
        if (!lua_isnil(L, -1))
            take_field(L, t, f);
        lua_pop(L, 1);
    }
}

/* ---- cpus ---- */

#define META_STATE "perilune.vcpu_state"

static int free_state(lua_State *L)
{
    vcpu_state_fini(lua_touserdata(L, 1));
    return 0;
}

/* Pushes a userdata that owns it. */
static struct vcpu_state *push_state(lua_State *L, struct vcpu *v)
{
    struct error err = { 0 };
    struct vcpu_state *s = lua_newuserdatauv(L, sizeof *s, 0);
    memset(s, 0, sizeof *s);
    luaL_setmetatable(L, META_STATE);
    if (!vcpu_state_get(v, s, &err))
        script_raise(L, &err);
    return s;
}

/* What only some backends and machines have. */
static bool is_there(const struct vcpu_state *s, const char *name)
{
    if (!strncmp(name, "xcrs.", 5) || !strcmp(name, "xsave"))
        return s->misc.has_xsave;
    if (!strcmp(name, "lapic"))
        return s->has_lapic;
    return strcmp(name, "kvmclock") || s->has_kvmclock;
}

int l_cpu_state(lua_State *L)
{
    struct vcpu *v = script_still_cpu(L);
    const struct vcpu_state *s = push_state(L, v);
    lua_newtable(L);
    for (const struct state_field *f = vcpu_state_fields; f->name; f++)
        if (is_there(s, f->name))
            push_fields(L, s, f);
    lua_createtable(L, 0, (int)s->msr_count);
    for (size_t n = 0; n < s->msr_count; n++) {
        lua_pushinteger(L, (lua_Integer)s->msrs[n].value);
        lua_rawseti(L, -2, s->msrs[n].index);
    }
    lua_setfield(L, -2, "msrs");
    return 1;
}

/* Field `msrs` of the table at 2, instead of what the state has; the field is taken out. */
static void take_msrs(lua_State *L, struct vcpu_state *s)
{
    size_t count = 0;
    vcpu_state_fini(s);
    if (lua_getfield(L, 2, "msrs") == LUA_TNIL) {
        lua_pop(L, 1);
        return;
    }
    if (!lua_istable(L, -1))
        luaL_error(L, "state of a cpu: msrs: a table is expected, not %s", luaL_typename(L, -1));
    for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1)) {
        if (!lua_isinteger(L, -2) || lua_tointeger(L, -2) < 0 ||
            lua_tointeger(L, -2) > UINT32_MAX || !lua_isinteger(L, -1))
            luaL_error(L, "state of a cpu: msrs: numbers and integers are expected");
        count++;
    }
    s->msrs = alloc_zero(count + 1, sizeof *s->msrs);
    for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1))
        s->msrs[s->msr_count++] =
            (struct vcpu_msr){ (uint32_t)lua_tointeger(L, -2), (uint64_t)lua_tointeger(L, -1) };
    lua_pop(L, 1);
}

static int by_index(const void *a, const void *b)
{
    uint32_t x = ((const struct vcpu_msr *)a)->index, y = ((const struct vcpu_msr *)b)->index;
    return x < y ? -1 : x > y;
}

/* A copy of the table at 2 without `msrs`, pushed. */
static void push_without_msrs(lua_State *L)
{
    lua_newtable(L);
    for (lua_pushnil(L); lua_next(L, 2);) {
        bool msrs = lua_type(L, -2) == LUA_TSTRING && !strcmp(lua_tostring(L, -2), "msrs");
        lua_pushvalue(L, -2);
        lua_insert(L, -2); /* table, key, key, value */
        if (msrs)
            lua_pop(L, 2);
        else
            lua_rawset(L, -4);
    }
}

static bool is_given(lua_State *L, const char *name)
{
    bool given = lua_getfield(L, 2, name) != LUA_TNIL;
    lua_pop(L, 1);
    return given;
}

/* What the cpu has no place for: a list of names. */
static void push_left_out(lua_State *L, struct vcpu *v, const struct vcpu_state *s)
{
    lua_Integer count = 0;
    lua_newtable(L);
    for (size_t n = 0; n < s->msr_count; n++) {
        char name[32];
        if (vcpu_state_has_msr(v, s->msrs[n].index))
            continue;
        snprintf(name, sizeof name, "msrs.0x%x", s->msrs[n].index);
        lua_pushstring(L, name);
        lua_rawseti(L, -2, ++count);
    }
    if (s->has_kvmclock && !v->backend->set_kvmclock) {
        lua_pushstring(L, "kvmclock");
        lua_rawseti(L, -2, ++count);
    }
}

int l_cpu_set_state(lua_State *L)
{
    struct vcpu *v = script_still_cpu(L);
    struct error err = { 0 };
    luaL_checktype(L, 2, LUA_TTABLE);
    lua_settop(L, 2);
    struct vcpu_state *s = push_state(L, v);
    take_msrs(L, s);
    if (s->msr_count)
        qsort(s->msrs, s->msr_count, sizeof *s->msrs, by_index);
    push_without_msrs(L);
    take_fields(L, &(struct taking){ "state of a cpu", vcpu_state_fields, (char *)s });
    s->has_lapic = is_given(L, "lapic");
    s->has_kvmclock = is_given(L, "kvmclock");
    /* It has the floating point registers, too: those that are given must not be overwritten. */
    s->misc.has_xsave = is_given(L, "xsave") || (is_given(L, "xcrs") && !is_given(L, "fpu"));
    if (!vcpu_state_set(v, s, &err))
        return script_raise(L, &err);
    push_left_out(L, v, s);
    return 1;
}

/* ---- chips ---- */

static const struct chip_state_ops *check_chip(lua_State *L, struct device **d)
{
    *d = binding_ptr(L, 1, META_DEVICE);
    const struct chip_state_ops *ops = device_interface(*d, INTERFACE_CHIP_STATE);
    if (!ops)
        luaL_error(L, "%s has no chip state: interrupt controllers and the interval timer have one",
                   device_name(*d));
    if (!(*d)->realized)
        luaL_error(L, "%s is not realized", device_name(*d));
    return ops;
}

int l_device_chip_state(lua_State *L)
{
    struct device *d;
    const struct chip_state_ops *ops = check_chip(L, &d);
    void *state = lua_newuserdatauv(L, ops->size, 0);
    memset(state, 0, ops->size);
    ops->get(d, state);
    lua_newtable(L);
    for (const struct state_field *f = ops->fields; f->name; f++)
        push_fields(L, state, f);
    return 1;
}

int l_device_set_chip_state(lua_State *L)
{
    struct device *d;
    const struct chip_state_ops *ops = check_chip(L, &d);
    luaL_checktype(L, 2, LUA_TTABLE);
    lua_settop(L, 2);
    void *state = lua_newuserdatauv(L, ops->size, 0);
    memset(state, 0, ops->size);
    ops->get(d, state);
    lua_pushvalue(L, 2);
    take_fields(L, &(struct taking){ device_name(d), ops->fields, state });
    ops->set(d, state);
    return 0;
}

void l_state_open(lua_State *L)
{
    luaL_newmetatable(L, META_STATE);
    lua_pushcfunction(L, free_state);
    lua_setfield(L, -2, "__gc");
    lua_pop(L, 1);
}
