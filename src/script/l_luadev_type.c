/* Reading the definition of a device type: the table given to device.define becomes a struct
 * luadev_type.
 *
 * The result is a userdata from the start, so that an error at any point leaves nothing behind.
 * Whatever src/dev asserts of a C type is checked here, because a definition is the user's. */
#include "script/luadev_internal.h"

#include "base/alloc.h"
#include "base/bits.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define META_TYPE "perilune.luadev-type"

/* ---- what it owns ---- */

void *luadev_own(struct luadev_type *t, void *p)
{
    ALLOC_GROW(t->owned, t->owned_count, t->owned_cap);
    t->owned[t->owned_count++] = p;
    return p;
}

char *luadev_own_string(struct luadev_type *t, const char *s)
{
    return luadev_own(t, alloc_string(s));
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
int luadev_wrong(lua_State *L, const struct luadev_type *t, const char *fmt, ...)
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
void luadev_known_keys(lua_State *L, const struct luadev_type *t, int index, const char *what,
                       const struct binding_type *keys)
{
    const char *known[32];
    binding_key_names(keys->properties, known, ARRAY_LEN(known) - 1);
    if (!lua_istable(L, index))
        luadev_wrong(L, t, "%s must be a table, not a %s", what, luaL_typename(L, index));
    lua_pushfstring(L, "%s: device type \"%s\": %s", t->where, t->type.name ? t->type.name : "?",
                    what);
    int name = lua_gettop(L);
    check_keys(L, index, lua_tostring(L, name), known);
    lua_settop(L, name - 1);
}

/* The integer in field `key` of the table at `index`, within [min, max]. */
int64_t luadev_integer(lua_State *L, const struct luadev_type *t, int index, const char *what,
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
            luadev_wrong(L, t, "%s: %s must be an integer, not a %s", what, key,
                         luaL_typename(L, -1));
    }
    lua_pop(L, 1);
    if (v < min || v > max)
        luadev_wrong(L, t, "%s: %s is %lld; it must be from %lld to %lld", what, key, (long long)v,
                     (long long)min, (long long)max);
    return v;
}

/* A string in field `key` that is kept; NULL when it is not there. */
char *luadev_string(lua_State *L, struct luadev_type *t, int index, const char *what,
                    const char *key)
{
    char *s = NULL;
    int type = lua_getfield(L, index, key);
    if (type == LUA_TSTRING)
        s = luadev_own_string(t, lua_tostring(L, -1));
    else if (type != LUA_TNIL)
        luadev_wrong(L, t, "%s: %s must be a string, not a %s", what, key, luaL_typename(L, -1));
    lua_pop(L, 1);
    return s;
}

bool luadev_is_name(const char *s)
{
    return s && *s && strlen(s) < 64 &&
           strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.") ==
               strlen(s);
}

char *luadev_name(lua_State *L, struct luadev_type *t, int index, const char *what)
{
    char *s = luadev_string(L, t, index, what, "name");
    if (!luadev_is_name(s))
        luadev_wrong(L, t, "%s needs a name of letters, digits, '_', '-' and '.'", what);
    return s;
}

/* The function on top of the stack (popped); -1 for nil. */
int luadev_take_function(lua_State *L, struct luadev_type *t, const char *what)
{
    if (lua_isnil(L, -1)) {
        lua_pop(L, 1);
        return -1;
    }
    if (!lua_isfunction(L, -1))
        luadev_wrong(L, t, "%s must be a function, not a %s", what, luaL_typename(L, -1));
    ALLOC_GROW(t->fns, t->fn_count, t->fn_cap);
    struct luadev_fn *f = &t->fns[t->fn_count];
    f->name = luadev_own(t, alloc_printf("%s %s", t->type.name, what));
    f->ref = luaL_ref(L, LUA_REGISTRYINDEX);
    return (int)t->fn_count++;
}

int luadev_function(lua_State *L, struct luadev_type *t, int index, const char *what,
                    const char *key)
{
    char text[160];
    snprintf(text, sizeof text, "%s%s%s", what, *what ? " " : "", key);
    lua_getfield(L, index, key);
    return luadev_take_function(L, t, text);
}

/* ---- lines, timers, characters ---- */

/* { name = count | function | { count =, changed = } } */
static void read_lists(lua_State *L, struct luadev_type *t, int spec, bool in)
{
    const char *key = in ? "gpio_in" : "gpio_out";
    if (lua_getfield(L, spec, key) == LUA_TNIL) {
        lua_pop(L, 1);
        return;
    }
    if (!lua_istable(L, -1))
        luadev_wrong(L, t, "%s must be a table { name = count }", key);
    int rows = lua_gettop(L);
    push_sorted_keys(L, rows);
    unsigned *n = in ? &t->in_count : &t->out_count;
    for (lua_Integer i = 1; lua_rawgeti(L, rows + 1, i) != LUA_TNIL; i++) {
        const char *name = lua_tostring(L, -1);
        char what[96];
        snprintf(what, sizeof what, "%s \"%.64s\"", key, name);
        if (*n == LUADEV_LISTS)
            luadev_wrong(L, t, "%s has more than %d names", key, LUADEV_LISTS);
        struct luadev_list *l = in ? &t->in[*n] : &t->out[*n];
        *l = (struct luadev_list){ .name = luadev_own_string(t, name), .count = 1, .changed = -1 };
        lua_getfield(L, rows, name);
        int row = lua_gettop(L);
        if (in && lua_isfunction(L, row)) {
            l->changed = luadev_take_function(L, t, what);
        } else if (lua_istable(L, row)) {
            luadev_known_keys(L, t, row, what, &luadev_line_keys);
            l->count = (unsigned)luadev_integer(L, t, row, what, "count", 1, 1, LUADEV_LINES);
            if (in)
                l->changed = luadev_function(L, t, row, what, "changed");
        } else {
            lua_Integer count = lua_tointeger(L, row);
            if (count < 1 || count > LUADEV_LINES)
                luadev_wrong(L, t, "%s: a number of lines from 1 to %d is wanted", what,
                             LUADEV_LINES);
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
                luadev_wrong(L, t, "it has more than %d timers", LUADEV_TIMERS);
            char what[96];
            snprintf(what, sizeof what, "timer %.64s", name);
            struct luadev_timer_type *timer = &t->timers[t->timer_count];
            timer->name = luadev_own_string(t, name);
            timer->fire = luadev_function(L, t, rows, "timer", name);
            t->timer_count++;
            lua_settop(L, rows + 1);
        }
        lua_settop(L, rows);
    } else if (!lua_isnil(L, -1)) {
        luadev_wrong(L, t, "timers must be a table { name = function(dev) ... end }");
    }
    lua_pop(L, 1);
}

static void read_chardev(lua_State *L, struct luadev_type *t, int spec)
{
    t->receive = t->room = -1;
    if (lua_getfield(L, spec, "chardev") != LUA_TNIL) {
        int at = lua_gettop(L);
        luadev_known_keys(L, t, at, "chardev", &luadev_chardev_keys);
        t->receive = luadev_function(L, t, at, "chardev", "receive");
        t->room = luadev_function(L, t, at, "chardev", "room");
        struct prop *p = luadev_new_prop(t, "chardev", PROP_CHARDEV);
        p->help = "the character backend that it talks to";
        t->chardev = t->prop_count;
    }
    lua_pop(L, 1);
}

static void read_irqs(lua_State *L, struct luadev_type *t, int spec)
{
    t->irqs = (unsigned)luadev_integer(L, t, spec, "it", "irqs", 0, 0, 32);
    if (t->irqs && t->parent == LUADEV_DEVICE)
        luadev_wrong(L, t, "a device on no bus has no irqs: use gpio_out");
    if (t->irqs && t->parent == LUADEV_PCI)
        luadev_wrong(L, t, "a PCI device has no irqs: its interrupt pin is pci.pin");
    if (t->irqs > 1 && t->parent == LUADEV_ISA)
        luadev_wrong(L, t, "an ISA device has one interrupt line here");
    if (t->irqs && t->parent == LUADEV_ISA) {
        struct prop *p = luadev_new_prop(t, "irq", PROP_U32);
        p->help = "its interrupt line";
        p->max = ISA_IRQS - 1;
        p->def =
            luadev_own(t, alloc_printf("%lld", (long long)luadev_integer(L, t, spec, "it", "irq", 0,
                                                                         0, ISA_IRQS - 1)));
        t->irq = t->prop_count;
    }
}

/* ---- the whole ---- */

static void read_head(lua_State *L, struct luadev_type *t, int spec)
{
    static const char *const parents[] = { "device",     "sys-bus-device", "isa-device",
                                           "pci-device", "i2c-device",     NULL };
    static const size_t sizes[] = { sizeof(struct device), sizeof(struct sysbus_device),
                                    sizeof(struct isa_device), sizeof(struct pci_device),
                                    sizeof(struct i2c_device) };
    static const char *const policies[] = { "pause", "disable", "abort", NULL };
    t->type.name = luadev_name(L, t, spec, "a device type");
    luadev_known_keys(L, t, spec, "a device type", &luadev_define_keys);
    t->type.desc = luadev_string(L, t, spec, "it", "desc");
    if (!t->type.desc)
        t->type.desc = "a device written in Lua";
    const char *parent = luadev_string(L, t, spec, "it", "parent");
    if (!parent)
        parent = "sys-bus-device";
    size_t i = 0;
    while (parents[i] && strcmp(parents[i], parent))
        i++;
    if (!parents[i])
        luadev_wrong(L, t,
                     "parent \"%s\" is none of device, sys-bus-device, isa-device, pci-device, "
                     "i2c-device%s",
                     parent, suggest_name(parent, parents).text);
    t->parent = (enum luadev_parent)i;
    t->type.parent = parents[i];
    t->size = sizes[i];
    const char *policy = luadev_string(L, t, spec, "it", "on_error");
    for (i = 0; policy && policies[i] && strcmp(policies[i], policy);)
        i++;
    if (policy && !policies[i])
        luadev_wrong(L, t, "on_error is \"pause\", \"disable\" or \"abort\"");
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
        luadev_new_state(t, "registers", STATE_KIND_U32, t->values, t->slots);
    for (unsigned i = 0; i < t->timer_count; i++)
        luadev_new_state(t, t->timers[i].name, STATE_KIND_TIMER,
                         t->ext + offsetof(struct luadev, timers) + i * sizeof(struct luadev_timer),
                         1);
    luadev_new_state(t, NULL, STATE_KIND_END, 0, 0);
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
    t->where = luadev_own_string(t, where);
    lua_pushvalue(L, spec);
    t->spec = luaL_ref(L, LUA_REGISTRYINDEX);
    lua_newtable(L);
    t->regs = luaL_ref(L, LUA_REGISTRYINDEX);
    luaL_checkstack(L, 40, NULL);
    lua_pushvalue(L, spec);
    spec = lua_gettop(L);
    read_head(L, t, spec);
    luadev_read_windows(L, t, spec, "mmio", false);
    luadev_read_windows(L, t, spec, "pio", true);
    luadev_read_pci(L, t, spec);
    luadev_read_i2c(L, t, spec);
    lua_getfield(L, spec, "registers");
    if (!lua_isnil(L, -1) && !t->slots)
        luadev_wrong(L, t, "registers lie in a window: give mmio, pio or pci.bars");
    lua_pop(L, 1);
    if (t->parent == LUADEV_SYSBUS || t->parent == LUADEV_ISA)
        luadev_add_place(L, t, spec);
    read_irqs(L, t, spec);
    read_chardev(L, t, spec);
    luadev_read_props(L, t, spec);
    luadev_read_state(L, t, spec);
    read_lists(L, t, spec, true);
    read_lists(L, t, spec, false);
    read_timers(L, t, spec);
    t->realize = luadev_function(L, t, spec, "", "realize");
    t->unrealize = luadev_function(L, t, spec, "", "unrealize");
    t->reset = luadev_function(L, t, spec, "", "reset");
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

const struct device_type *luadev_push_type(lua_State *L, int index)
{
    index = lua_absindex(L, index);
    luaL_argcheck(L, lua_getfield(L, index, "spec") == LUA_TTABLE, index, "a definition is wanted");
    const char *where = table_string(L, index, "where");
    return &read_type(L, lua_absindex(L, -2), where ? where : "(a definition)", NULL)->type;
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
