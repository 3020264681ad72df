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

static const struct binding_member methods[] = {
    { "ram", l_machine_ram, "(name, size) → region", "a region of RAM, not mapped yet" },
    { "rom", l_machine_rom, "(name, size) → region", "a region of ROM, not mapped yet" },
    { "container", l_machine_container, "(name [, size]) → region", "a region that holds others" },
    { "device", l_machine_device, "(type: string or definition [, properties]) → device",
      "a new device, on the bus that properties.bus names or the first that fits" },
    { "define", l_machine_define, "(definition)", "make a device type written in Lua known" },
    { "cpu", l_machine_cpu, "([model]) → index", "the next cpu" },
    { "line", l_machine_line, "() → irq", "a line that ends in the script" },
    { "netdev", l_machine_netdev,
      "{ type =, id =, hostfwd = string or { string, ... }, restrict = boolean } → port",
      "a network backend" },
    { "hub", l_machine_hub, "(name) → hub", "a network hub" },
    { "link", l_machine_link, "(a: port, b: port [, name]) → link", "join two ports" },
    { "dump", l_machine_dump, "(from: link or port or string, path [, id]) → dump",
      "write every frame into a pcap file" },
    { "ports", l_machine_ports, "() → { port, ... }", "network ports, in order of creation" },
    { "dumps", l_machine_dumps, "() → { dump, ... }", "dumps of packets, in order of creation" },
    { "batch", l_machine_batch, "(f [, { diff = boolean }]) → diff or nil",
      "f's changes of memory take effect at once, at its end" },
    { "chardev", l_machine_chardev,
      "{ type =, id =, path =, input = path, append = boolean, size =, signal = boolean, host =, "
      "port = integer, server = boolean, insecure = boolean, delay = boolean, mux = boolean, "
      "reconnect = integer, chardev = string } → chardev",
      "a character backend" },
    { "find", l_vm_find, "{ type = } → { device, ... }",
      "devices of a type, or of one that inherits from it" },
    { "load_boot", l_vm_load_boot,
      "{ kernel = path, initrd = path, append = string, rsdp =, e820 = table, decompress = string, "
      "seed = string }",
      "put a kernel in place" },
    { "load_raw", l_vm_load_raw, "(path, addr)", "put a file into memory as it is" },
    { NULL },
};

static const struct binding_member properties[] = {
    { "name", get_name, "string", "what the machine is called" },
    { "memory", get_memory, "space", "the physical address space" },
    { "io", get_io, "space", "the ports" },
    { "main_bus", get_main_bus, "bus", "the system bus" },
    { "vm", get_vm, "vm", "what runs it" },
    { NULL },
};

static const struct binding_type machine_type = {
    .meta = META_MACHINE,
    .label = "machine",
    .help = "the parts of a machine: what a definition's build function gets",
    .methods = methods,
    .properties = properties,
    .tostring = machine_tostring,
};

void l_machine_open(lua_State *L)
{
    binding_type_new(L, &machine_type);
}
