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

static int bus_tostring(lua_State *L)
{
    struct bus *b = check_bus(L);
    lua_pushfstring(L, "bus %s (%s)", b->name, b->type);
    return 1;
}

static const luaL_Reg bus_methods[] = {
    { "device", l_bus_device },
    { NULL, NULL },
};

static const luaL_Reg bus_getters[] = {
    { "name", get_bus_name },       { "type", get_bus_type }, { "parent", get_bus_parent },
    { "devices", get_bus_devices }, { NULL, NULL },
};

static const struct binding_type bus_binding = {
    .meta = META_BUS,
    .label = "bus",
    .methods = bus_methods,
    .getters = bus_getters,
    .tostring = bus_tostring,
};

void l_bus_open(lua_State *L)
{
    binding_type_new(L, &bus_binding);
}
