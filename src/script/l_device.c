/* Devices as Lua sees them: properties are fields, buses are found by name. */
#include "script/binding.h"
#include "script/script_fault.h"
#include "script/script_state.h"

#include "base/alloc.h"
#include "dev/sysbus.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct device *check_device(lua_State *L)
{
    return binding_ptr(L, 1, META_DEVICE);
}

/* ---- properties ---- */

static int get_property(lua_State *L)
{
    struct script_vm *svm = binding_vm(L, 1, META_DEVICE);
    struct device *d = check_device(L);
    const char *name = luaL_checkstring(L, 2);
    struct prop_value v;
    const struct prop *p = device_find_prop(d, name, NULL);
    if (!p || !device_get_prop(d, name, &v, NULL))
        return 0;
    push_prop_value(L, svm, p, &v);
    return 1;
}

static int set_property(lua_State *L)
{
    struct script_vm *svm = binding_vm(L, 1, META_DEVICE);
    struct device *d = check_device(L);
    const char *name = luaL_checkstring(L, 2);
    struct error err = { 0 };
    const struct prop *p = device_find_prop(d, name, NULL);
    if (!p)
        return 0;
    if (!device_set_prop(d, name, check_prop_value(L, 3, svm, p), &err))
        return script_raise(L, &err);
    return 1;
}

static int l_device_get(lua_State *L)
{
    struct error err = { 0 };
    if (!device_find_prop(check_device(L), luaL_checkstring(L, 2), &err))
        return script_raise(L, &err);
    return get_property(L);
}

static int l_device_set(lua_State *L)
{
    struct error err = { 0 };
    if (!device_find_prop(check_device(L), luaL_checkstring(L, 2), &err))
        return script_raise(L, &err);
    luaL_checkany(L, 3);
    set_property(L);
    return 0;
}

/* As listings show them: { { name, text }, ... }, the type's own first, then its parents'. */
static int l_device_properties(lua_State *L)
{
    struct device *d = check_device(L);
    lua_newtable(L);
    lua_Integer n = 0;
    for (unsigned i = 0; i < d->chain_len; i++) {
        for (const struct prop *p = d->chain[i]->props; p && p->name; p++) {
            if (device_find_prop(d, p->name, NULL) != p)
                continue; /* shadowed by a type further down */
            char *text = device_print_prop(d, p);
            lua_createtable(L, 0, 2);
            lua_pushstring(L, p->name);
            lua_setfield(L, -2, "name");
            lua_pushstring(L, text);
            lua_setfield(L, -2, "text");
            free(text);
            lua_rawseti(L, -2, ++n);
        }
    }
    return 1;
}

/* ---- lines ---- */

/* (n), or (name, n). */
static const char *line_arguments(lua_State *L, unsigned *n, int *next)
{
    const char *name = "";
    *next = 3;
    if (lua_type(L, 2) == LUA_TSTRING) {
        name = lua_tostring(L, 2);
        *n = (unsigned)luaL_optinteger(L, 3, 0);
        *next = 4;
    } else {
        *n = (unsigned)luaL_optinteger(L, 2, 0);
    }
    return name;
}

static int l_device_gpio_in(lua_State *L)
{
    struct script_vm *svm = binding_vm(L, 1, META_DEVICE);
    struct device *d = check_device(L);
    unsigned n;
    int next;
    struct error err = { 0 };
    const char *name = line_arguments(L, &n, &next);
    struct irq *irq = device_gpio_in(d, name, n, &err);
    if (!irq)
        return script_raise(L, &err);
    binding_push(L, svm, META_IRQ, irq);
    return 1;
}

/* connect(n, irq), connect(name, n, irq); nil disconnects. connect(): back onto the PCI bus. */
static int l_device_connect(lua_State *L)
{
    if (lua_gettop(L) == 1)
        return l_device_reconnect(L);
    struct device *d = check_device(L);
    unsigned n;
    int next;
    struct error err = { 0 };
    const char *name = line_arguments(L, &n, &next);
    struct irq *irq = lua_isnoneornil(L, next) ? NULL : binding_ptr(L, next, META_IRQ);
    if (!device_connect_gpio_out(d, name, n, irq, &err))
        return script_raise(L, &err);
    return 0;
}

/* { { direction, name, count }, ... } */
static int l_device_lines(lua_State *L)
{
    struct device *d = check_device(L);
    lua_newtable(L);
    lua_Integer i = 0;
    for (struct gpio_list *g = d->gpios; g; g = g->next) {
        lua_createtable(L, 0, 3);
        lua_pushstring(L, g->out ? "out" : "in");
        lua_setfield(L, -2, "direction");
        lua_pushstring(L, g->name);
        lua_setfield(L, -2, "name");
        lua_pushinteger(L, g->count);
        lua_setfield(L, -2, "count");
        lua_rawseti(L, -2, ++i);
    }
    return 1;
}

/* map(window, addr, priority): a system-bus device's memory window. */
static int l_device_map(lua_State *L)
{
    struct device *d = check_device(L);
    lua_Integer n = luaL_checkinteger(L, 2);
    uint64_t addr = check_size(L, 3);
    int priority = (int)luaL_optinteger(L, 4, 0);
    struct error err = { 0 };
    if (!device_is_a(d, sysbus_device_type.name))
        return luaL_error(L, "%s is not a system-bus device", device_name(d));
    if (!sysbus_map((struct sysbus_device *)d, (unsigned)n, addr, priority, &err))
        return script_raise(L, &err);
    return 0;
}

static int l_device_reset(lua_State *L)
{
    device_reset(check_device(L));
    return 0;
}

/* device(type, props): on the one bus that it provides. */
static int l_device_device(lua_State *L)
{
    struct script_vm *svm = binding_vm(L, 1, META_DEVICE);
    struct device *d = check_device(L);
    const char *type = luadev_type_name(L, 2, svm);
    if (d->bus_count != 1)
        return luaL_error(L, "%s provides %d buses, not one; name it: .bus[name]:device(...)",
                          device_name(d), (int)d->bus_count);
    return binding_new_device(L, svm, type, lua_istable(L, 3) ? 3 : 0, d->buses[0]);
}

static int l_device_is_a(lua_State *L)
{
    lua_pushboolean(L, device_is_a(check_device(L), luaL_checkstring(L, 2)));
    return 1;
}

/* ---- fields ---- */

static int get_type(lua_State *L)
{
    lua_pushstring(L, check_device(L)->type->name);
    return 1;
}

static int get_id(lua_State *L)
{
    lua_pushstring(L, check_device(L)->id);
    return 1;
}

static int get_path(lua_State *L)
{
    lua_pushstring(L, check_device(L)->path);
    return 1;
}

static int get_parent_bus(lua_State *L)
{
    struct script_vm *svm = binding_vm(L, 1, META_DEVICE);
    binding_push(L, svm, META_BUS, check_device(L)->parent_bus);
    return 1;
}

/* In order of creation. */
static int get_buses(lua_State *L)
{
    struct script_vm *svm = binding_vm(L, 1, META_DEVICE);
    struct device *d = check_device(L);
    lua_createtable(L, (int)d->bus_count, 0);
    for (unsigned i = 0; i < d->bus_count; i++) {
        binding_push(L, svm, META_BUS, d->buses[i]);
        lua_rawseti(L, -2, i + 1);
    }
    return 1;
}

static int no_such_bus(lua_State *L)
{
    struct device *d = binding_ptr(L, lua_upvalueindex(1), META_DEVICE);
    const char *names[32];
    size_t n = 0;
    for (unsigned i = 0; i < d->bus_count && n < ARRAY_LEN(names) - 1; i++)
        names[n++] = d->buses[i]->name;
    names[n] = NULL;
    const char *name = luaL_tolstring(L, 2, NULL);
    const char *near = nearest_name(name, names);
    struct error err = { 0 };
    error_set(&err, "%s provides no bus \"%s\"%s%s%s", device_name(d), name,
              near ? "; did you mean \""
              : n  ? "; it has \""
                   : "",
              near ? near
              : n  ? names[0]
                   : "",
              near ? "\"?"
              : n  ? "\""
                   : "");
    return script_raise(L, &err);
}

/* By name; asking for another raises. */
static int get_bus(lua_State *L)
{
    struct script_vm *svm = binding_vm(L, 1, META_DEVICE);
    struct device *d = check_device(L);
    lua_createtable(L, 0, (int)d->bus_count);
    for (unsigned i = 0; i < d->bus_count; i++) {
        binding_push(L, svm, META_BUS, d->buses[i]);
        lua_setfield(L, -2, d->buses[i]->name);
    }
    lua_createtable(L, 0, 1);
    lua_pushvalue(L, 1);
    lua_pushcclosure(L, no_such_bus, 1);
    lua_setfield(L, -2, "__index");
    lua_setmetatable(L, -2);
    return 1;
}

/* For suggestions: the names of all properties, in an array that lives on the Lua stack. */
static const char *const *property_names(lua_State *L)
{
    struct device *d = check_device(L);
    size_t n = 0;
    for (unsigned i = 0; i < d->chain_len; i++)
        for (const struct prop *p = d->chain[i]->props; p && p->name; p++)
            n++;
    const char **names = lua_newuserdatauv(L, (n + 1) * sizeof *names, 0);
    n = 0;
    for (unsigned i = 0; i < d->chain_len; i++)
        for (const struct prop *p = d->chain[i]->props; p && p->name; p++)
            names[n++] = p->name;
    names[n] = NULL;
    return names;
}

bool script_device_alive(struct script_vm *svm, const struct device *p)
{
    for (struct device *d = vm_machine(svm->vm)->devices; d; d = d->next)
        if (d == p)
            return true;
    return false;
}

static bool device_alive(struct script_vm *svm, const void *p)
{
    return script_device_alive(svm, p);
}

static int device_tostring(lua_State *L)
{
    struct device *d = check_device(L);
    lua_pushfstring(L, "%s (%s)", device_name(d), d->type->name);
    return 1;
}

static const struct binding_member device_methods[] = {
    { "get", l_device_get, "(name) → value", "a property by name" },
    { "set", l_device_set, "(name, value)",
      "set a property; construct-only ones refuse once it is realized" },
    { "properties", l_device_properties, "() → { { name =, text =, ... }, ... }",
      "properties as listings show them" },
    { "gpio_in", l_device_gpio_in, "([name,] n) → irq", "an input line" },
    { "connect", l_device_connect, "([[name,] n, irq])",
      "let an output drive a line; nil disconnects. Without arguments: undo disconnect()" },
    { "disconnect", l_device_disconnect, "()",
      "take a PCI function off its bus, as by surprise; connect() puts it back" },
    { "lines", l_device_lines, "() → { { direction =, name =, count = }, ... }",
      "its input and output lines" },
    { "map", l_device_map, "(n, addr [, priority])",
      "place a memory window of a system-bus device" },
    { "reset", l_device_reset, "()", "reset it and what sits on its buses" },
    { "device", l_device_device, "(type: string or definition [, properties]) → device",
      "a new device on the one bus that it provides" },
    { "remove", l_device_remove, "() → boolean",
      "unplug it; false: it goes when the hook that asks is over" },
    { "is_a", l_device_is_a, "(type) → boolean", "is it of that type, or inherits from it" },
    { "chip_state", l_device_chip_state, "() → table",
      "of interrupt controllers and the interval timer, by the names of linux/kvm.h" },
    { "set_chip_state", l_device_set_chip_state, "(state: table)", "the fields that it has" },
    { "state", l_device_state, "() → { [name] = value }", "what a snapshot of it would hold" },
    { "registers", l_device_registers,
      "() → { { name =, offset =, width =, count =, window = string }, ... }",
      "registers known by name; `width` in bits" },
    { "reg", l_device_reg, "(name) → integer",
      "what a register reads as, without side effects; NAME[3] in an array" },
    { "set_reg", l_device_set_reg, "(name, value: integer)",
      "change what a register holds, and nothing else" },
    { "info", l_device_info, "() → { pci = table, mmio = table, isa_irqs = table }",
      "what its bus knows of it" },
    { NULL },
};

static const struct binding_member device_properties[] = {
    { "type", get_type, "string", "its type" },
    { "id", get_id, "string or nil", "the id that it was given; nil: none" },
    { "path", get_path, "string or nil", "its path; nil before it is realized" },
    { "parent_bus", get_parent_bus, "bus or nil", "where it sits; nil: on none" },
    { "buses", get_buses, "{ bus, ... }", "buses that it provides, in order of creation" },
    { "bus", get_bus, "{ [name] = bus }", "the same by name" },
    { "connected", l_device_get_connected, "boolean", "false after disconnect()" },
    { NULL },
};

static const struct binding_type device_binding = {
    .meta = META_DEVICE,
    .label = "device",
    .help = "a device; its type's properties are properties here",
    .further = "properties of the device's type",
    .alive = device_alive,
    .methods = device_methods,
    .properties = device_properties,
    .get = get_property,
    .set = set_property,
    .names = property_names,
    .tostring = device_tostring,
};

void l_device_open(lua_State *L)
{
    binding_type_new(L, &device_binding);
}
