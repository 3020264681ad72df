/* Reading the definition of a device type: the table given to device.define becomes a struct
 * luadev_type.
 *
 * The result is a userdata from the start, so that an error at any point leaves nothing behind.
 * Whatever src/dev asserts of a C type is checked here, because a definition is the user's. */
#include "script/luadev.h"

#include "base/alloc.h"
#include "base/bits.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define META_TYPE "perilune.luadev-type"

/* ---- what it owns ---- */

static void *own(struct luadev_type *t, void *p)
{
    ALLOC_GROW(t->owned, t->owned_count, t->owned_cap);
    t->owned[t->owned_count++] = p;
    return p;
}

static char *own_string(struct luadev_type *t, const char *s)
{
    return own(t, alloc_string(s));
}

static int type_gc(lua_State *L)
{
    struct luadev_type *t = lua_touserdata(L, 1);
    for (size_t i = 0; i < t->fn_count; i++)
        luaL_unref(L, LUA_REGISTRYINDEX, t->fns[i].ref);
    luaL_unref(L, LUA_REGISTRYINDEX, t->spec);
    luaL_unref(L, LUA_REGISTRYINDEX, t->fields);
    luaL_unref(L, LUA_REGISTRYINDEX, t->regs);
    for (size_t i = 0; i < t->owned_count; i++)
        free(t->owned[i]);
    free(t->owned);
    free(t->fns);
    free(t->props);
    free(t->state);
    *t = (struct luadev_type){ .spec = LUA_NOREF, .fields = LUA_NOREF, .regs = LUA_NOREF };
    return 0;
}

/* ---- complaints and arguments ---- */

/* Raises; names the definition. */
__attribute__((format(printf, 3, 4))) static int wrong(lua_State *L, const struct luadev_type *t,
                                                       const char *fmt, ...)
{
    char text[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    struct error err = { 0 };
    error_set(&err, "%s: device type \"%s\": %s", t->where, t->type.name ? t->type.name : "?",
              text);
    return script_raise(L, &err);
}

/* As check_keys, with the definition's place. */
static void known_keys(lua_State *L, const struct luadev_type *t, int index, const char *what,
                       const char *const *keys)
{
    if (!lua_istable(L, index))
        wrong(L, t, "%s must be a table, not a %s", what, luaL_typename(L, index));
    lua_pushfstring(L, "%s: device type \"%s\": %s", t->where, t->type.name ? t->type.name : "?",
                    what);
    int name = lua_gettop(L);
    check_keys(L, index, lua_tostring(L, name), keys);
    lua_settop(L, name - 1);
}

/* The integer in field `key` of the table at `index`, within [min, max]. */
static int64_t integer_field(lua_State *L, const struct luadev_type *t, int index, const char *what,
                             const char *key, int64_t fallback, int64_t min, int64_t max)
{
    int64_t v = fallback;
    lua_getfield(L, index, key);
    if (!lua_isnil(L, -1)) {
        int ok;
        uint64_t size;
        const char *text = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : NULL;
        v = lua_tointegerx(L, -1, &ok);
        if (text && parse_size(text, &size) && size <= INT64_MAX) {
            v = (int64_t)size;
            ok = true;
        }
        if (!ok)
            wrong(L, t, "%s: %s must be an integer, not a %s", what, key, luaL_typename(L, -1));
    }
    lua_pop(L, 1);
    if (v < min || v > max)
        wrong(L, t, "%s: %s is %lld; it must be from %lld to %lld", what, key, (long long)v,
              (long long)min, (long long)max);
    return v;
}

/* A string in field `key` that is kept; NULL when it is not there. */
static char *string_field(lua_State *L, struct luadev_type *t, int index, const char *what,
                          const char *key)
{
    char *s = NULL;
    int type = lua_getfield(L, index, key);
    if (type == LUA_TSTRING)
        s = own_string(t, lua_tostring(L, -1));
    else if (type != LUA_TNIL)
        wrong(L, t, "%s: %s must be a string, not a %s", what, key, luaL_typename(L, -1));
    lua_pop(L, 1);
    return s;
}

static bool is_name(const char *s)
{
    return s && *s && strlen(s) < 64 &&
           strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.") ==
               strlen(s);
}

static char *name_field(lua_State *L, struct luadev_type *t, int index, const char *what)
{
    char *s = string_field(L, t, index, what, "name");
    if (!is_name(s))
        wrong(L, t, "%s needs a name of letters, digits, '_', '-' and '.'", what);
    return s;
}

/* The function on top of the stack (popped); -1 for nil. */
static int take_function(lua_State *L, struct luadev_type *t, const char *what)
{
    if (lua_isnil(L, -1)) {
        lua_pop(L, 1);
        return -1;
    }
    if (!lua_isfunction(L, -1))
        wrong(L, t, "%s must be a function, not a %s", what, luaL_typename(L, -1));
    ALLOC_GROW(t->fns, t->fn_count, t->fn_cap);
    struct luadev_fn *f = &t->fns[t->fn_count];
    f->name = own(t, alloc_printf("%s %s", t->type.name, what));
    f->ref = luaL_ref(L, LUA_REGISTRYINDEX);
    return (int)t->fn_count++;
}

static int function_field(lua_State *L, struct luadev_type *t, int index, const char *what,
                          const char *key)
{
    char text[160];
    snprintf(text, sizeof text, "%s%s%s", what, *what ? " " : "", key);
    lua_getfield(L, index, key);
    return take_function(L, t, text);
}

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
    { "mac", PROP_MAC, false, 0, 0 },
    { "device", PROP_LINK, false, 0, 0 },
    { "chardev", PROP_CHARDEV, false, 0, 0 },
    { "netdev", PROP_NETDEV, false, 0, 0 },
};

/* A new row with room for its value in the instance; offsets become final in lay_out(). */
static struct prop *new_prop(struct luadev_type *t, const char *name, enum prop_kind kind)
{
    ALLOC_GROW(t->props, t->prop_count, t->prop_cap);
    struct prop *p = &t->props[t->prop_count++];
    *p = (struct prop){ .name = name, .kind = kind, .offset = t->data };
    t->data += 8;
    return p;
}

static void read_names(lua_State *L, struct luadev_type *t, int row, struct prop *p)
{
    if (lua_getfield(L, row, "values") != LUA_TTABLE || lua_rawlen(L, -1) < 1 ||
        lua_rawlen(L, -1) > 255)
        wrong(L, t, "property \"%s\": an enum needs values = { ... }", p->name);
    lua_Integer n = (lua_Integer)lua_rawlen(L, -1);
    const char **names = own(t, alloc_zero((size_t)n + 1, sizeof *names));
    for (lua_Integer i = 0; i < n; i++) {
        if (lua_rawgeti(L, -1, i + 1) != LUA_TSTRING)
            wrong(L, t, "property \"%s\": values must be strings", p->name);
        names[i] = own_string(t, lua_tostring(L, -1));
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
    case PROP_BOOL:
        if (lua_isboolean(L, -1))
            return lua_toboolean(L, -1) ? "true" : "false";
        break;
    case PROP_STRING:
        if (s)
            return own_string(t, s);
        break;
    case PROP_ENUM:
    case PROP_ON_OFF_AUTO:
        if (s && in_names(p->kind == PROP_ENUM ? p->names : on_off, s))
            return own_string(t, s);
        break;
    default:
        if (s && p->kind == PROP_SIZE && parse_size(s, &size) && size <= INT64_MAX) {
            v = (int64_t)size;
            is_integer = true;
        }
        if (!is_integer || v < min || v > max)
            break;
        if (p->kind == PROP_I32 || p->kind == PROP_I64)
            return own(t, alloc_printf("%lld", (long long)v));
        return own(t, alloc_printf("%llu", (unsigned long long)v));
    }
    wrong(L, t, "property \"%s\": its default is not one that it could have", p->name);
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
    const char *near = nearest_name(name, names);
    wrong(L, t, "property \"%s\": there is no type \"%s\"%s%s%s", prop, name,
          near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "");
    return 0;
}

/* { "u32", default, help =, min =, max =, values =, live =, required =, hex =, type = } */
static void read_prop(lua_State *L, struct luadev_type *t, const char *name, int row)
{
    char what[96];
    snprintf(what, sizeof what, "property \"%.64s\"", name);
    if (!is_name(name) || !strcmp(name, "id") || !strcmp(name, "bus"))
        wrong(L, t, "%s: a name is letters, digits, '_', '-' and '.', and not id or bus", what);
    for (size_t i = 0; i < t->prop_count; i++)
        if (!strcmp(t->props[i].name, name))
            wrong(L, t, "%s: the device has it already", what);
    if (!lua_istable(L, row) || lua_rawgeti(L, row, 1) != LUA_TSTRING)
        wrong(L, t, "%s is declared as { type, default, help = ... }", what);
    size_t k = find_kind(L, t, name, lua_tostring(L, -1));
    struct prop *p = new_prop(t, own_string(t, name), kinds[k].kind);
    int64_t min = kinds[k].min, max = kinds[k].max;
    p->help = string_field(L, t, row, what, "help");
    p->live = table_bool(L, row, "live");
    p->required = table_bool(L, row, "required");
    p->hex = table_bool(L, row, "hex");
    lua_getfield(L, row, "min");
    lua_getfield(L, row, "max");
    if (min != max && !(lua_isnil(L, -1) && lua_isnil(L, -2))) {
        min = integer_field(L, t, row, what, "min", min, min, max);
        max = integer_field(L, t, row, what, "max", max, min, max);
        p->min = min;
        p->max = max;
    }
    lua_pop(L, 3);
    if (p->kind == PROP_ENUM)
        read_names(L, t, row, p);
    if (p->kind == PROP_LINK) {
        const char **names = own(t, alloc_zero(2, sizeof *names));
        names[0] = string_field(L, t, row, what, "type");
        if (!names[0])
            names[0] = "device";
        p->names = names;
    }
    if (lua_rawgeti(L, row, 2) != LUA_TNIL) {
        if (!kinds[k].has_default)
            wrong(L, t, "%s: a %s has no default", what, kinds[k].name);
        p->def = default_text(L, t, p, min, max);
    }
    lua_pop(L, 1);
}

static void check_prop_rows(lua_State *L, struct luadev_type *t, int rows)
{
    static const char *const keys[] = { "help",     "min", "max",  "values", "live",
                                        "required", "hex", "type", NULL };
    for (lua_pushnil(L); lua_next(L, rows); lua_pop(L, 1)) {
        if (!lua_istable(L, -1))
            continue;
        int row = lua_gettop(L);
        for (lua_pushnil(L); lua_next(L, row); lua_pop(L, 1)) {
            if (lua_type(L, -2) != LUA_TSTRING || in_names(keys, lua_tostring(L, -2)))
                continue;
            const char *near = nearest_name(lua_tostring(L, -2), keys);
            wrong(L, t, "a property has no \"%s\"%s%s%s", lua_tostring(L, -2),
                  near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "");
        }
    }
}

static void read_props(lua_State *L, struct luadev_type *t, int spec)
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
        wrong(L, t, "props must be a table");
    }
    lua_pop(L, 1);
}

/* ---- state ---- */

static struct state_field *new_state(struct luadev_type *t, const char *name, enum state_kind kind,
                                     size_t offset, size_t count)
{
    ALLOC_GROW(t->state, t->state_count, t->state_cap);
    struct state_field *f = &t->state[t->state_count++];
    *f = (struct state_field){ name, kind, offset, count };
    return f;
}

/* { name = "u32" | { "u32", reset = n } | { "bytes", length } }; at first all state rows there are:
 * the scalars' reset values have the same index. */
static void read_state(lua_State *L, struct luadev_type *t, int spec)
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
        wrong(L, t, "state must be a table");
    int rows = lua_gettop(L);
    push_sorted_keys(L, rows);
    t->state_resets = own(t, alloc_zero(lua_rawlen(L, -1) + 1, sizeof *t->state_resets));
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
        if (!names[k] || !is_name(name))
            wrong(L, t,
                  "%s is \"bool\", \"u8\", \"u16\", \"u32\", \"u64\", \"i64\" or { \"bytes\", "
                  "length }",
                  what);
        size_t count = 1;
        if (state_kinds[k] == STATE_KIND_BYTES) {
            lua_Integer n = lua_istable(L, row) && lua_rawgeti(L, row, 2) == LUA_TNUMBER
                                ? lua_tointeger(L, -1)
                                : 0;
            if (n < 1 || n > LUADEV_STATE_MAX)
                wrong(L, t, "%s: bytes need a length from 1 to %d", what, LUADEV_STATE_MAX);
            count = (size_t)n;
        } else if (lua_istable(L, row)) {
            t->state_resets[t->state_count] =
                (uint64_t)integer_field(L, t, row, what, "reset", 0, INT64_MIN, INT64_MAX);
        }
        new_state(t, own_string(t, name), state_kinds[k], t->data, count);
        t->data += align_up(count, 8);
        if (t->data > 16u << 20)
            wrong(L, t, "its state is larger than 16 MiB");
        lua_settop(L, rows + 1);
    }
    lua_settop(L, rows - 1);
}

/* ---- registers ---- */

static uint32_t mask_field(lua_State *L, struct luadev_type *t, int row, const char *what,
                           const char *key, bool *given)
{
    lua_getfield(L, row, key);
    *given = *given || !lua_isnil(L, -1);
    bool all = lua_isboolean(L, -1) && lua_toboolean(L, -1);
    lua_pop(L, 1);
    return all ? UINT32_MAX : (uint32_t)integer_field(L, t, row, what, key, 0, 0, UINT32_MAX);
}

static void read_access(lua_State *L, struct luadev_type *t, int row, const char *what,
                        struct reg *r, const int *fns)
{
    bool given = false;
    r->rw = mask_field(L, t, row, what, "rw", &given);
    r->ro = mask_field(L, t, row, what, "ro", &given);
    r->w1c = mask_field(L, t, row, what, "w1c", &given);
    r->rc = mask_field(L, t, row, what, "rc", &given);
    r->w1s = mask_field(L, t, row, what, "w1s", &given);
    r->wo = mask_field(L, t, row, what, "wo", &given);
    if (!given && fns[0] >= 0 && fns[1] < 0)
        r->ro = UINT32_MAX;
    else if (!given)
        r->rw = UINT32_MAX;
    if ((r->rw & (r->ro | r->w1c | r->w1s | r->wo)) || (r->ro & (r->w1c | r->w1s | r->wo)) ||
        (r->w1c & (r->w1s | r->wo)) || (r->wo & (r->w1s | r->rc)))
        wrong(L, t, "%s: a bit has two kinds of access", what);
}

static void read_reg(lua_State *L, struct luadev_type *t, unsigned window, int row, uint8_t *used)
{
    static const char *const keys[] = { "name", "offset", "count", "reset", "rw",    "ro",   "w1c",
                                        "rc",   "w1s",    "wo",    "read",  "write", "help", NULL };
    struct luadev_window_type *w = &t->windows[window];
    known_keys(L, t, row, "a register", keys);
    const char *name = name_field(L, t, row, "a register");
    char what[96];
    snprintf(what, sizeof what, "register %s", name);
    struct reg *r = &w->regs[w->reg_count];
    int *fns = &w->reg_fns[2 * w->reg_count];
    r->name = name;
    r->offset = (uint32_t)integer_field(L, t, row, what, "offset", -1, 0, (int64_t)w->size - 4);
    r->count = (uint32_t)integer_field(L, t, row, what, "count", 1, 1, LUADEV_REGISTERS);
    r->reset = (uint32_t)integer_field(L, t, row, what, "reset", 0, 0, UINT32_MAX);
    fns[0] = function_field(L, t, row, what, "read");
    fns[1] = function_field(L, t, row, what, "write");
    read_access(L, t, row, what, r, fns);
    r->read = fns[0] >= 0 ? luadev_reg_read : NULL;
    r->write = fns[1] >= 0 ? luadev_reg_write : NULL;
    if (r->offset % 4 || r->offset + 4ull * r->count > w->size)
        wrong(L, t, "%s: its offset must be a multiple of 4, and all of it in the window of 0x%llx",
              what, (unsigned long long)w->size);
    for (uint32_t i = 0; i < r->count; i++)
        if (used[r->offset / 4 + i]++)
            wrong(L, t, "%s: there is another register at offset 0x%x", what, r->offset + 4 * i);
    t->slots += r->count;
    if (t->slots > LUADEV_REGISTERS)
        wrong(L, t, "it has more than %d registers", LUADEV_REGISTERS);
    lua_rawgeti(L, LUA_REGISTRYINDEX, t->regs);
    if (lua_getfield(L, -1, name) != LUA_TNIL)
        wrong(L, t, "%s: there is another one of that name", what);
    lua_pushinteger(L, (lua_Integer)(window << 16 | w->reg_count));
    lua_setfield(L, -3, name);
    lua_pop(L, 2);
    w->reg_count++;
}

/* The array of registers on top of the stack (popped). */
static void read_regs(lua_State *L, struct luadev_type *t, unsigned window)
{
    struct luadev_window_type *w = &t->windows[window];
    if (!lua_istable(L, -1))
        wrong(L, t, "registers must be a list of { name =, offset =, ... }");
    if (w->size % 4 || w->size > 1 << 20)
        wrong(L, t, "window \"%s\": with registers, its size is a multiple of 4 up to 1 MiB",
              w->name);
    int rows = lua_gettop(L);
    lua_Unsigned n = lua_rawlen(L, rows);
    if (n > LUADEV_REGISTERS)
        wrong(L, t, "it has more than %d registers", LUADEV_REGISTERS);
    w->regs = own(t, alloc_zero(n + 1, sizeof *w->regs));
    w->reg_fns = own(t, alloc_zero(2 * n + 2, sizeof *w->reg_fns));
    w->first_slot = t->slots;
    uint8_t *used = lua_newuserdatauv(L, w->size / 4, 0);
    memset(used, 0, w->size / 4);
    for (lua_Unsigned i = 1; i <= n; i++) {
        lua_rawgeti(L, rows, (lua_Integer)i);
        read_reg(L, t, window, lua_gettop(L), used);
        lua_settop(L, rows + 1);
    }
    lua_settop(L, rows - 1);
}

/* ---- windows ---- */

static unsigned access_size(lua_State *L, struct luadev_type *t, int table, int i, const char *what)
{
    lua_rawgeti(L, table, i);
    lua_Integer n = lua_tointeger(L, -1);
    lua_pop(L, 1);
    if (n != 1 && n != 2 && n != 4 && n != 8)
        wrong(L, t, "%s: sizes = { min, max }, each 1, 2, 4 or 8", what);
    return (unsigned)n;
}

static void read_ops(lua_State *L, struct luadev_type *t, int row, const char *what,
                     struct luadev_window_type *w)
{
    struct access_sizes valid = { w->regs ? 4 : 1, w->regs ? 4 : 8, false };
    if (lua_getfield(L, row, "sizes") != LUA_TNIL) {
        if (!lua_istable(L, -1))
            wrong(L, t, "%s: sizes = { min, max }", what);
        valid.min = (uint8_t)access_size(L, t, lua_gettop(L), 1, what);
        valid.max = (uint8_t)access_size(L, t, lua_gettop(L), 2, what);
        if (valid.min > valid.max)
            wrong(L, t, "%s: sizes: the smaller one comes first", what);
    }
    lua_pop(L, 1);
    const char *endian = string_field(L, t, row, what, "endian");
    if (endian && strcmp(endian, "little") && strcmp(endian, "big"))
        wrong(L, t, "%s: endian is \"little\" or \"big\"", what);
    w->ops = (struct region_ops){ .read = luadev_window_read,
                                  .write = luadev_window_write,
                                  .endian = endian && *endian == 'b' ? ENDIAN_BIG : ENDIAN_LITTLE,
                                  .valid = valid,
                                  .impl = valid };
    if (w->regs)
        w->ops.impl = (struct access_sizes){ 4, 4, false };
}

/* The window described by the table at `row`. */
static void read_window(lua_State *L, struct luadev_type *t, int row, bool io, int bar)
{
    static const char *const keys[] = { "name", "size",  "addr",      "port", "sizes", "endian",
                                        "read", "write", "registers", "kind", NULL };
    known_keys(L, t, row, io ? "pio" : bar >= 0 ? "a BAR" : "mmio", keys);
    if (t->window_count == LUADEV_WINDOWS)
        wrong(L, t, "it has more than %d windows", LUADEV_WINDOWS);
    unsigned n = t->window_count;
    struct luadev_window_type *w = &t->windows[n];
    char what[96];
    w->name = string_field(L, t, row, "a window", "name");
    if (!w->name)
        w->name = own_string(t, t->type.name);
    snprintf(what, sizeof what, "window \"%.64s\"", w->name);
    w->io = io;
    w->bar = bar;
    w->size = (uint64_t)integer_field(L, t, row, what, "size", 0, 1, io ? 0x10000 : 1ll << 40);
    w->read = function_field(L, t, row, what, "read");
    w->write = function_field(L, t, row, what, "write");
    t->window_count++;
    lua_getfield(L, row, "registers");
    if (lua_isnil(L, -1) && n == 0 && w->read < 0 && w->write < 0) {
        lua_pop(L, 1);
        lua_rawgeti(L, LUA_REGISTRYINDEX, t->spec);
        lua_getfield(L, -1, "registers"); /* those of the device lie in its first window */
        lua_remove(L, -2);
    }
    bool has_regs = !lua_isnil(L, -1);
    if (has_regs && (w->read >= 0 || w->write >= 0))
        wrong(L, t, "%s has registers or its own read and write, not both", what);
    if (has_regs)
        read_regs(L, t, n);
    else
        lua_pop(L, 1);
    read_ops(L, t, row, what, w);
}

/* Field `key`: one window, or a list of them. */
static void read_windows(lua_State *L, struct luadev_type *t, int spec, const char *key, bool io)
{
    int type = lua_getfield(L, spec, key);
    int at = lua_gettop(L);
    if (type == LUA_TTABLE && (t->parent == LUADEV_PCI || t->parent == LUADEV_DEVICE))
        wrong(L, t,
              t->parent == LUADEV_PCI
                  ? "a PCI device has no %s of its own: its windows are pci.bars"
                  : "a device on no bus has no %s: choose parent = \"sys-bus-device\"",
              key);
    if (type == LUA_TTABLE && t->parent == LUADEV_ISA && !io)
        wrong(L, t, "an ISA device has ports (pio), no mmio");
    if (type == LUA_TTABLE && lua_rawlen(L, at)) {
        for (lua_Integer i = 1; lua_rawgeti(L, at, i) != LUA_TNIL; i++) {
            read_window(L, t, lua_gettop(L), io, -1);
            lua_settop(L, at);
        }
    } else if (type == LUA_TTABLE) {
        read_window(L, t, at, io, -1);
    } else if (type != LUA_TNIL) {
        wrong(L, t, "%s must be a table { name =, size =, ... }", key);
    }
    lua_settop(L, at - 1);
}

/* Where the first memory window and the first ports are, unless something else is said. */
static void add_place(lua_State *L, struct luadev_type *t, int spec)
{
    bool mem = false, io = false;
    for (unsigned i = 0; i < t->window_count; i++) {
        io = io || t->windows[i].io;
        mem = mem || !t->windows[i].io;
    }
    if (mem) {
        struct prop *p = new_prop(t, "addr", PROP_U64);
        p->help = "where its first memory window is; all ones: nowhere";
        p->hex = true;
        lua_getfield(L, spec, "mmio");
        if (lua_rawlen(L, -1))
            lua_rawgeti(L, -1, 1);
        int64_t addr = integer_field(L, t, lua_gettop(L), "mmio", "addr", -1, INT64_MIN, INT64_MAX);
        p->def = own(t, alloc_printf("%llu", (unsigned long long)addr));
        t->addr = t->prop_count;
    }
    if (io) {
        struct prop *p = new_prop(t, "iobase", PROP_U32);
        p->help = "its first port; its other windows follow without a gap";
        p->hex = true;
        p->max = 0xffff;
        lua_getfield(L, spec, "pio");
        if (lua_rawlen(L, -1))
            lua_rawgeti(L, -1, 1);
        int64_t port = integer_field(L, t, lua_gettop(L), "pio", "port", 0, 0, 0xffff);
        p->def = own(t, alloc_printf("%lld", (long long)port));
        t->iobase = t->prop_count;
    }
    lua_settop(L, spec);
}

/* ---- PCI ---- */

static void read_bar(lua_State *L, struct luadev_type *t, int bar)
{
    static const char *const names[] = { "mem32", "mem64", "io", NULL };
    static const enum pci_bar_kind bar_kinds[] = { PCI_BAR_MEM32, PCI_BAR_MEM64, PCI_BAR_IO };
    int row = lua_gettop(L);
    if (!lua_istable(L, row))
        wrong(L, t, "BAR %d must be a table { name =, size =, ... }", bar);
    const char *kind = string_field(L, t, row, "a BAR", "kind");
    size_t k = 0;
    while (kind && names[k] && strcmp(names[k], kind))
        k++;
    if (!names[k])
        wrong(L, t, "BAR %d: kind is \"mem32\", \"mem64\" or \"io\"", bar);
    read_window(L, t, row, bar_kinds[k] == PCI_BAR_IO, bar);
    struct luadev_window_type *w = &t->windows[t->window_count - 1];
    w->bar_kind = (int)bar_kinds[k];
    uint64_t max = bar_kinds[k] == PCI_BAR_IO      ? 1u << 15
                   : bar_kinds[k] == PCI_BAR_MEM32 ? 1u << 31
                                                   : 1ull << 40;
    if (!is_pow2(w->size) || w->size < (w->io ? 4 : 16) || w->size > max)
        wrong(L, t, "BAR %d: its size is a power of two, at least %d", bar, w->io ? 4 : 16);
    for (unsigned i = 0; i + 1 < t->window_count; i++)
        if (t->windows[i].bar_kind == PCI_BAR_MEM64 && t->windows[i].bar == bar - 1)
            wrong(L, t, "BAR %d is the upper half of the 64-bit BAR %d", bar, bar - 1);
    if (bar_kinds[k] == PCI_BAR_MEM64 && bar == PCI_BARS - 1)
        wrong(L, t, "BAR %d cannot be a 64-bit one: it takes two", bar);
}

static void read_bars(lua_State *L, struct luadev_type *t, int pci)
{
    if (lua_getfield(L, pci, "bars") != LUA_TNIL) {
        int bars = lua_gettop(L);
        if (!lua_istable(L, bars))
            wrong(L, t, "pci: bars must be a table { [0] = { name =, size = } }");
        for (lua_pushnil(L); lua_next(L, bars); lua_pop(L, 1))
            if (!lua_isinteger(L, -2) || lua_tointeger(L, -2) < 0 ||
                lua_tointeger(L, -2) >= PCI_BARS)
                wrong(L, t, "pci: bars are numbered from 0 to %d", PCI_BARS - 1);
        for (int i = 0; i < PCI_BARS; i++) {
            if (lua_rawgeti(L, bars, i) != LUA_TNIL)
                read_bar(L, t, i);
            lua_settop(L, bars);
        }
    }
    lua_pop(L, 1);
}

static void read_pci(lua_State *L, struct luadev_type *t, int spec)
{
    static const char *const keys[] = { "vendor",           "device",         "class", "revision",
                                        "prog_if",          "subsystem",      "pin",   "bars",
                                        "subsystem_vendor", "config_written", NULL };
    t->config_written = -1;
    lua_getfield(L, spec, "pci");
    if (t->parent != LUADEV_PCI) {
        if (!lua_isnil(L, -1))
            wrong(L, t, "pci is for types with parent = \"pci-device\"");
        lua_pop(L, 1);
        return;
    }
    int at = lua_gettop(L);
    known_keys(L, t, at, "pci", keys);
    t->pci = (struct pci_class){
        .vendor = (uint16_t)integer_field(L, t, at, "pci", "vendor", -1, 0, 0xfffe),
        .device = (uint16_t)integer_field(L, t, at, "pci", "device", -1, 0, 0xffff),
        .class_id = (uint16_t)integer_field(L, t, at, "pci", "class", 0xff00, 0, 0xffff),
        .revision = (uint8_t)integer_field(L, t, at, "pci", "revision", 0, 0, 0xff),
        .prog_if = (uint8_t)integer_field(L, t, at, "pci", "prog_if", 0, 0, 0xff),
        .subsystem = (uint16_t)integer_field(L, t, at, "pci", "subsystem", 0, 0, 0xffff),
        .subsystem_vendor =
            (uint16_t)integer_field(L, t, at, "pci", "subsystem_vendor", 0, 0, 0xffff),
        .interrupt_pin = (uint8_t)integer_field(L, t, at, "pci", "pin", 0, 0, PCI_PINS),
    };
    t->config_written = function_field(L, t, at, "pci", "config_written");
    if (t->config_written >= 0)
        t->pci.config_written = luadev_config_written;
    t->type.class_data = &t->pci;
    read_bars(L, t, at);
    lua_pop(L, 1);
}

/* ---- lines, timers, characters ---- */

/* { name = count | function | { count =, changed = } } */
static void read_lists(lua_State *L, struct luadev_type *t, int spec, bool in)
{
    static const char *const keys[] = { "count", "changed", NULL };
    const char *key = in ? "gpio_in" : "gpio_out";
    if (lua_getfield(L, spec, key) == LUA_TNIL) {
        lua_pop(L, 1);
        return;
    }
    if (!lua_istable(L, -1))
        wrong(L, t, "%s must be a table { name = count }", key);
    int rows = lua_gettop(L);
    push_sorted_keys(L, rows);
    unsigned *n = in ? &t->in_count : &t->out_count;
    for (lua_Integer i = 1; lua_rawgeti(L, rows + 1, i) != LUA_TNIL; i++) {
        const char *name = lua_tostring(L, -1);
        char what[96];
        snprintf(what, sizeof what, "%s \"%.64s\"", key, name);
        if (*n == LUADEV_LISTS)
            wrong(L, t, "%s has more than %d names", key, LUADEV_LISTS);
        struct luadev_list *l = in ? &t->in[*n] : &t->out[*n];
        *l = (struct luadev_list){ .name = own_string(t, name), .count = 1, .changed = -1 };
        lua_getfield(L, rows, name);
        int row = lua_gettop(L);
        if (in && lua_isfunction(L, row)) {
            l->changed = take_function(L, t, what);
        } else if (lua_istable(L, row)) {
            known_keys(L, t, row, what, keys);
            l->count = (unsigned)integer_field(L, t, row, what, "count", 1, 1, LUADEV_LINES);
            if (in)
                l->changed = function_field(L, t, row, what, "changed");
        } else {
            lua_Integer count = lua_tointeger(L, row);
            if (count < 1 || count > LUADEV_LINES)
                wrong(L, t, "%s: a number of lines from 1 to %d is wanted", what, LUADEV_LINES);
            l->count = (unsigned)count;
        }
        (*n)++;
        lua_settop(L, rows + 1);
    }
    lua_settop(L, rows - 1);
}

static void read_timers(lua_State *L, struct luadev_type *t, int spec)
{
    if (lua_getfield(L, spec, "timers") == LUA_TTABLE) {
        int rows = lua_gettop(L);
        push_sorted_keys(L, rows);
        for (lua_Integer i = 1; lua_rawgeti(L, rows + 1, i) != LUA_TNIL; i++) {
            const char *name = lua_tostring(L, -1);
            if (t->timer_count == LUADEV_TIMERS)
                wrong(L, t, "it has more than %d timers", LUADEV_TIMERS);
            char what[96];
            snprintf(what, sizeof what, "timer %.64s", name);
            struct luadev_timer_type *timer = &t->timers[t->timer_count];
            timer->name = own_string(t, name);
            timer->fire = function_field(L, t, rows, "timer", name);
            t->timer_count++;
            lua_settop(L, rows + 1);
        }
        lua_settop(L, rows);
    } else if (!lua_isnil(L, -1)) {
        wrong(L, t, "timers must be a table { name = function(dev) ... end }");
    }
    lua_pop(L, 1);
}

static void read_chardev(lua_State *L, struct luadev_type *t, int spec)
{
    static const char *const keys[] = { "receive", "room", NULL };
    t->receive = t->room = -1;
    if (lua_getfield(L, spec, "chardev") != LUA_TNIL) {
        int at = lua_gettop(L);
        known_keys(L, t, at, "chardev", keys);
        t->receive = function_field(L, t, at, "chardev", "receive");
        t->room = function_field(L, t, at, "chardev", "room");
        struct prop *p = new_prop(t, "chardev", PROP_CHARDEV);
        p->help = "the character backend that it talks to";
        t->chardev = t->prop_count;
    }
    lua_pop(L, 1);
}

static void read_irqs(lua_State *L, struct luadev_type *t, int spec)
{
    t->irqs = (unsigned)integer_field(L, t, spec, "it", "irqs", 0, 0, 32);
    if (t->irqs && t->parent == LUADEV_DEVICE)
        wrong(L, t, "a device on no bus has no irqs: use gpio_out");
    if (t->irqs && t->parent == LUADEV_PCI)
        wrong(L, t, "a PCI device has no irqs: its interrupt pin is pci.pin");
    if (t->irqs > 1 && t->parent == LUADEV_ISA)
        wrong(L, t, "an ISA device has one interrupt line here");
    if (t->irqs && t->parent == LUADEV_ISA) {
        struct prop *p = new_prop(t, "irq", PROP_U32);
        p->help = "its interrupt line";
        p->max = ISA_IRQS - 1;
        p->def = own(t, alloc_printf("%lld", (long long)integer_field(L, t, spec, "it", "irq", 0, 0,
                                                                      ISA_IRQS - 1)));
        t->irq = t->prop_count;
    }
}

/* ---- the whole ---- */

static void read_head(lua_State *L, struct luadev_type *t, int spec)
{
    static const char *const parents[] = { "device", "sys-bus-device", "isa-device", "pci-device",
                                           NULL };
    static const size_t sizes[] = { sizeof(struct device), sizeof(struct sysbus_device),
                                    sizeof(struct isa_device), sizeof(struct pci_device) };
    static const char *const policies[] = { "pause", "disable", "abort", NULL };
    static const char *const keys[] = { "name",     "parent",  "desc",  "props", "registers",
                                        "mmio",     "pio",     "irqs",  "irq",   "gpio_in",
                                        "gpio_out", "timers",  "state", "pci",   "chardev",
                                        "on_error", "realize", "reset", NULL };
    t->type.name = name_field(L, t, spec, "a device type");
    known_keys(L, t, spec, "a device type", keys);
    t->type.desc = string_field(L, t, spec, "it", "desc");
    if (!t->type.desc)
        t->type.desc = "a device written in Lua";
    const char *parent = string_field(L, t, spec, "it", "parent");
    if (!parent)
        parent = "sys-bus-device";
    size_t i = 0;
    while (parents[i] && strcmp(parents[i], parent))
        i++;
    const char *near = parents[i] ? NULL : nearest_name(parent, parents);
    if (!parents[i])
        wrong(L, t, "parent \"%s\" is none of device, sys-bus-device, isa-device, pci-device%s%s%s",
              parent, near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "");
    t->parent = (enum luadev_parent)i;
    t->type.parent = parents[i];
    t->size = sizes[i];
    const char *policy = string_field(L, t, spec, "it", "on_error");
    for (i = 0; policy && policies[i] && strcmp(policies[i], policy);)
        i++;
    if (policy && !policies[i])
        wrong(L, t, "on_error is \"pause\", \"disable\" or \"abort\"");
    t->on_error = policy ? (enum hook_policy)i : HOOK_PAUSE;
}

/* Where everything is in an instance. */
static void lay_out(struct luadev_type *t)
{
    t->ext = align_up(t->size, 16);
    t->hooks = align_up(t->ext + sizeof(struct luadev), 16);
    t->lines = align_up(t->hooks + t->fn_count * sizeof(struct hook), 16);
    for (unsigned i = 0; i < t->out_count; i++) {
        t->out[i].first = t->irqs + t->out_lines;
        t->out_lines += t->out[i].count;
    }
    t->values = align_up(t->lines + (t->irqs + t->out_lines) * sizeof(struct irq *), 16);
    size_t data = align_up(t->values + t->slots * sizeof(uint32_t), 16);
    for (size_t i = 0; i < t->prop_count; i++)
        t->props[i].offset += data;
    for (size_t i = 0; i < t->state_count; i++)
        t->state[i].offset += data;
    t->size = data + t->data;
    t->data = t->state_count; /* from here on: how many state rows the definition has named */
    if (t->slots)
        new_state(t, "registers", STATE_KIND_U32, t->values, t->slots);
    for (unsigned i = 0; i < t->timer_count; i++)
        new_state(t, t->timers[i].name, STATE_KIND_TIMER,
                  t->ext + offsetof(struct luadev, timers) + i * sizeof(struct luadev_timer), 1);
    new_state(t, NULL, STATE_KIND_END, 0, 0);
    t->state_count--;
    ALLOC_GROW(t->props, t->prop_count, t->prop_cap);
    t->props[t->prop_count] = (struct prop)PROP_END;
    t->type.props = t->props;
    t->type.state = t->state;
    t->type.instance_size = t->size;
}

/* The type of the definition at `spec`; pushes its userdata. */
static struct luadev_type *read_type(lua_State *L, int spec, const char *where,
                                     struct script_vm *svm)
{
    struct luadev_type *t = lua_newuserdatauv(L, sizeof *t, 0);
    *t = (struct luadev_type){ .svm = svm,
                               .universe = universe_of(L),
                               .spec = LUA_NOREF,
                               .fields = LUA_NOREF,
                               .regs = LUA_NOREF,
                               .where = (char *)where };
    luaL_setmetatable(L, META_TYPE);
    int top = lua_gettop(L);
    t->where = own_string(t, where);
    lua_pushvalue(L, spec);
    t->spec = luaL_ref(L, LUA_REGISTRYINDEX);
    lua_newtable(L);
    t->regs = luaL_ref(L, LUA_REGISTRYINDEX);
    luaL_checkstack(L, 40, NULL);
    lua_pushvalue(L, spec);
    spec = lua_gettop(L);
    read_head(L, t, spec);
    read_windows(L, t, spec, "mmio", false);
    read_windows(L, t, spec, "pio", true);
    read_pci(L, t, spec);
    lua_getfield(L, spec, "registers");
    if (!lua_isnil(L, -1) && !t->slots)
        wrong(L, t, "registers lie in a window: give mmio, pio or pci.bars");
    lua_pop(L, 1);
    if (t->parent == LUADEV_SYSBUS || t->parent == LUADEV_ISA)
        add_place(L, t, spec);
    read_irqs(L, t, spec);
    read_chardev(L, t, spec);
    read_props(L, t, spec);
    read_state(L, t, spec);
    read_lists(L, t, spec, true);
    read_lists(L, t, spec, false);
    read_timers(L, t, spec);
    t->realize = function_field(L, t, spec, "", "realize");
    t->reset = function_field(L, t, spec, "", "reset");
    lay_out(t);
    luadev_push_fields(L, t);
    t->fields = luaL_ref(L, LUA_REGISTRYINDEX);
    t->type.init = luadev_init;
    t->type.realize = luadev_realize;
    t->type.unrealize = luadev_unrealize;
    t->type.reset = luadev_reset;
    t->type.finalize = luadev_finalize;
    lua_settop(L, top);
    return t;
}

int l_core_check_device_type(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    read_type(L, 1, luaL_checkstring(L, 2), NULL);
    return 0;
}

/* ---- making it known to a machine ---- */

/* Pushes the types that the machine's record keeps: { name = userdata }. */
static void push_types(lua_State *L, struct script_vm *svm)
{
    lua_rawgetp(L, LUA_REGISTRYINDEX, svm);
    luaL_getsubtable(L, -1, "luadev_types");
    lua_remove(L, -2);
}

/* The definition at `index` (from device.define): its type's name. */
static const char *define(lua_State *L, int index, struct script_vm *svm)
{
    index = lua_absindex(L, index);
    int top = lua_gettop(L);
    if (!lua_istable(L, index) || lua_getfield(L, index, "spec") != LUA_TTABLE)
        luaL_error(L, "a definition made by device.define is wanted, not a %s",
                   luaL_typename(L, index));
    int spec = lua_gettop(L);
    const char *where = table_string(L, index, "where");
    push_types(L, svm);
    int types = lua_gettop(L);
    const char *name = table_string(L, spec, "name");
    if (name && lua_getfield(L, types, name) == LUA_TUSERDATA) {
        struct luadev_type *known = lua_touserdata(L, -1);
        lua_rawgeti(L, LUA_REGISTRYINDEX, known->spec);
        if (lua_rawequal(L, -1, spec)) {
            lua_settop(L, top);
            return known->type.name;
        }
        luaL_error(L, "device type \"%s\" exists already, from %s; choose another name", name,
                   known->where);
    }
    struct luadev_type *t = read_type(L, spec, where ? where : "(a definition)", svm);
    lua_pushvalue(L, -1);
    lua_setfield(L, types, t->type.name); /* kept before the registry borrows it */
    struct error err = { 0 };
    if (!type_register(vm_machine(svm->vm)->types, &t->type, &err)) {
        lua_pushnil(L);
        lua_setfield(L, types, t->type.name);
        script_raise(L, &err);
    }
    lua_settop(L, top);
    return t->type.name;
}

int l_machine_define(lua_State *L)
{
    struct script_vm *svm = binding_any_vm(L, 1);
    lua_pushstring(L, define(L, 2, svm));
    return 1;
}

const char *luadev_type_name(lua_State *L, int index, struct script_vm *svm)
{
    return lua_istable(L, index) ? define(L, index, svm) : luaL_checkstring(L, index);
}

void l_luadev_type_open(lua_State *L)
{
    luaL_newmetatable(L, META_TYPE);
    lua_pushcfunction(L, type_gc);
    lua_setfield(L, -2, "__gc");
    lua_pushliteral(L, "protected");
    lua_setfield(L, -2, "__metatable");
    lua_pop(L, 1);
}
