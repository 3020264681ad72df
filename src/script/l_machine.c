/* The machine under construction: what a definition's build function gets as `m`. */
#include "script/binding.h"

static struct machine *check_machine(lua_State *L)
{
    return binding_ptr(L, 1, META_MACHINE);
}

/* device(type, props): on the bus that props.bus names, else on the first bus of the kind that it
 * needs. */
static int l_machine_device(lua_State *L)
{
    struct script_vm *svm = binding_vm(L, 1, META_MACHINE);
    return binding_new_device(L, svm, luadev_type_name(L, 2, svm), lua_istable(L, 3) ? 3 : 0, NULL);
}

/* cpu(model): the next cpu. Returns its number, from 0. */
static int l_machine_cpu(lua_State *L)
{
    struct script_vm *svm = binding_vm(L, 1, META_MACHINE);
    const char *model = luaL_optstring(L, 2, "base");
    struct error err = { 0 };
    struct cpu_port *port = vm_add_cpu(svm->vm, model, &err);
    if (!port)
        return script_raise(L, &err);
    lua_pushinteger(L, port->index);
    return 1;
}

static int get_memory(lua_State *L)
{
    binding_push(L, binding_vm(L, 1, META_MACHINE), META_SPACE, check_machine(L)->memory);
    return 1;
}

static int get_io(lua_State *L)
{
    binding_push(L, binding_vm(L, 1, META_MACHINE), META_SPACE, check_machine(L)->io);
    return 1;
}

static int get_main_bus(lua_State *L)
{
    binding_push(L, binding_vm(L, 1, META_MACHINE), META_BUS, &check_machine(L)->main_bus);
    return 1;
}

static int get_vm(lua_State *L)
{
    struct script_vm *svm = binding_vm(L, 1, META_MACHINE);
    lua_rawgetp(L, LUA_REGISTRYINDEX, svm);
    lua_getfield(L, -1, "vm");
    return 1;
}

static int get_name(lua_State *L)
{
    lua_pushstring(L, vm_name(binding_vm(L, 1, META_MACHINE)->vm));
    return 1;
}

static int machine_tostring(lua_State *L)
{
    lua_pushfstring(L, "machine \"%s\"", vm_name(binding_vm(L, 1, META_MACHINE)->vm));
    return 1;
}

static const luaL_Reg methods[] = {
    { "ram", l_machine_ram },
    { "rom", l_machine_rom },
    { "container", l_machine_container },
    { "device", l_machine_device },
    { "define", l_machine_define },
    { "cpu", l_machine_cpu },
    { "line", l_machine_line },
    { "netdev", l_machine_netdev },
    { "hub", l_machine_hub },
    { "link", l_machine_link },
    { "dump", l_machine_dump },
    { "chardev", l_machine_chardev },
    { "find", l_vm_find },
    { "load_boot", l_vm_load_boot },
    { "load_raw", l_vm_load_raw },
    { NULL, NULL },
};

static const luaL_Reg getters[] = {
    { "name", get_name },         { "memory", get_memory }, { "io", get_io },
    { "main_bus", get_main_bus }, { "vm", get_vm },         { NULL, NULL },
};

static const struct binding_type machine_type = {
    .meta = META_MACHINE,
    .label = "machine",
    .methods = methods,
    .getters = getters,
    .tostring = machine_tostring,
};

void l_machine_open(lua_State *L)
{
    binding_type_new(L, &machine_type);
}
