/* Buses as Lua sees them. */
#include "script/binding.h"

static struct bus *check_bus(lua_State *L)
{
    return binding_ptr(L, 1, META_BUS);
}

static int l_bus_device(lua_State *L)
{
    struct script_vm *svm = binding_vm(L, 1, META_BUS);
    const char *type = luadev_type_name(L, 2, svm);
    return binding_new_device(L, svm, type, lua_istable(L, 3) ? 3 : 0, check_bus(L));
}

static int get_bus_name(lua_State *L)
{
    lua_pushstring(L, check_bus(L)->name);
    return 1;
}

static int get_bus_type(lua_State *L)
{
    lua_pushstring(L, check_bus(L)->type);
    return 1;
}

static int get_bus_parent(lua_State *L)
{
    struct script_vm *svm = binding_vm(L, 1, META_BUS);
    binding_push(L, svm, META_DEVICE, check_bus(L)->parent);
    return 1;
}

/* In order of being put there. */
static int get_bus_devices(lua_State *L)
{
    struct script_vm *svm = binding_vm(L, 1, META_BUS);
    struct bus *b = check_bus(L);
    lua_createtable(L, (int)b->device_count, 0);
    for (unsigned i = 0; i < b->device_count; i++) {
        binding_push(L, svm, META_DEVICE, b->devices[i]);
        lua_rawseti(L, -2, i + 1);
    }
    return 1;
}

static bool bus_alive(struct script_vm *svm, const void *p)
{
    struct machine *m = vm_machine(svm->vm);
    for (struct device *d = m->devices; d; d = d->next)
        for (unsigned i = 0; i < d->bus_count; i++)
            if (d->buses[i] == p)
                return true;
    return p == &m->main_bus;
}

static int bus_tostring(lua_State *L)
{
    struct bus *b = check_bus(L);
    lua_pushfstring(L, "bus %s (%s)", b->name, b->type);
    return 1;
}

static const struct binding_member bus_methods[] = {
    { "device", l_bus_device, "(type: string or definition [, properties]) → device",
      "a new device on this bus" },
    { NULL },
};

static const struct binding_member bus_properties[] = {
    { "name", get_bus_name, "string", "its name" },
    { "type", get_bus_type, "string", "System, PCI, ISA, ..." },
    { "parent", get_bus_parent, "device or nil", "the device that provides it; nil: the machine" },
    { "devices", get_bus_devices, "{ device, ... }",
      "what sits on it, in order of being put there" },
    { NULL },
};

static const struct binding_type bus_binding = {
    .meta = META_BUS,
    .label = "bus",
    .help = "a bus",
    .alive = bus_alive,
    .methods = bus_methods,
    .properties = bus_properties,
    .tostring = bus_tostring,
};

void l_bus_open(lua_State *L)
{
    binding_type_new(L, &bus_binding);
}
