/* Networks as Lua sees them: backends, hubs, links and dumps. */
#include "script/binding.h"
#include "script/script_fault.h"

#include "base/alloc.h"

#include <string.h>

static struct net_port *check_port(lua_State *L, int index)
{
    return binding_ptr(L, index, META_PORT);
}

static struct net_link *check_link(lua_State *L, int index)
{
    return binding_ptr(L, index, META_LINK);
}

enum { HOSTFWD_MAX = 64 };

/* hostfwd = "rule" or { "rule", ... } in the table at 2. The strings stay on the Lua stack. */
static size_t hostfwd_rules(lua_State *L, const char **rules)
{
    size_t n = 0;
    if (lua_getfield(L, 2, "hostfwd") == LUA_TSTRING) {
        rules[n++] = lua_tostring(L, -1);
    } else if (lua_istable(L, -1)) {
        int list = lua_gettop(L);
        luaL_checkstack(L, HOSTFWD_MAX, NULL);
        for (lua_Integer i = 1; lua_rawgeti(L, list, i) != LUA_TNIL; i++) {
            if (n == HOSTFWD_MAX)
                luaL_error(L, "netdev: more than %d hostfwd rules", HOSTFWD_MAX);
            rules[n++] = luaL_checkstring(L, -1);
        }
    } else if (!lua_isnil(L, -1)) {
        luaL_error(L, "netdev: hostfwd must be a rule or a list of rules");
    }
    return n;
}

/* netdev { type = "wire", id } → port */
static int new_wire(lua_State *L, struct script_vm *svm)
{
    struct error err = { 0 };
    lua_getfield(L, 2, "hostfwd");
    lua_getfield(L, 2, "restrict");
    if (!lua_isnil(L, -1) || !lua_isnil(L, -2))
        luaL_error(L, "netdev: hostfwd and restrict are for type \"user\"");
    struct net_port *p = net_wire_new(vm_net(svm->vm), table_string(L, 2, "id"), &err);
    if (!p)
        return script_raise(L, &err);
    binding_push(L, svm, META_PORT, p);
    return 1;
}

/* netdev { type = "user", id, hostfwd, restrict } → port */
int l_machine_netdev(lua_State *L)
{
    static const char *const keys[] = { "type", "id", "hostfwd", "restrict", NULL };
    struct script_vm *svm = binding_vm(L, 1, META_MACHINE);
    struct machine *m = vm_machine(svm->vm);
    check_keys(L, 2, "netdev", keys);
    const char *type = table_string(L, 2, "type");
    struct error err = { 0 };
    if (type && !strcmp(type, "wire"))
        return new_wire(L, svm);
    if (!type || strcmp(type, "user")) {
        error_set(&err, "netdev: there is no type \"%s\"; use \"user\" or \"wire\"",
                  type ? type : "");
        return script_raise(L, &err);
    }
    const char *rules[HOSTFWD_MAX];
    struct slirp_config config = { .id = table_string(L, 2, "id"), .hostfwd = rules };
    config.hostfwd_count = hostfwd_rules(L, rules);
    config.restricted = table_bool(L, 2, "restrict");
    struct net_port *p =
        net_slirp_new(vm_net(svm->vm), svm->script->loop, &m->virtual, m->door, &config, &err);
    if (!p)
        return script_raise(L, &err);
    binding_push(L, svm, META_PORT, p);
    return 1;
}

int l_machine_hub(lua_State *L)
{
    struct script_vm *svm = binding_vm(L, 1, META_MACHINE);
    struct error err = { 0 };
    struct net_hub *h = net_hub_new(vm_net(svm->vm), luaL_checkstring(L, 2), &err);
    if (!h)
        return script_raise(L, &err);
    binding_push(L, svm, META_HUB, h);
    return 1;
}

/* link(port, port, name) */
int l_machine_link(lua_State *L)
{
    struct script_vm *svm = binding_vm(L, 1, META_MACHINE);
    struct error err = { 0 };
    struct net_link *l = net_link_new(vm_net(svm->vm), check_port(L, 2), check_port(L, 3),
                                      luaL_optstring(L, 4, NULL), &err);
    if (!l)
        return script_raise(L, &err);
    binding_push(L, svm, META_LINK, l);
    return 1;
}

int l_vm_links(lua_State *L)
{
    struct script_vm *svm = binding_vm(L, 1, META_VM);
    lua_newtable(L);
    lua_Integer n = 0;
    for (struct net_link *l = NULL; (l = net_link_next(vm_net(svm->vm), l));) {
        binding_push(L, svm, META_LINK, l);
        lua_rawseti(L, -2, ++n);
    }
    return 1;
}

/* Of the table that vm.net is: an id that no port has. The machine's name is an upvalue. */
static int no_such_port(lua_State *L)
{
    const char *id = luaL_tolstring(L, 2, NULL), *machine = lua_tostring(L, lua_upvalueindex(1));
    struct error err = { 0 };
    const char *names[64];
    size_t n = 0;
    for (lua_pushnil(L); n < ARRAY_LEN(names) - 1 && lua_next(L, 1); lua_pop(L, 1))
        names[n++] = lua_tostring(L, -2);
    names[n] = NULL;
    if (n)
        error_set(&err, "vm.net: machine \"%s\" has no network port \"%s\"%s", machine, id,
                  suggest_name(id, names).text);
    else
        error_set(&err,
                  "vm.net: machine \"%s\" has no network, and so no port \"%s\"; one is "
                  "made by nic = \"user\", or by netdev",
                  machine, id);
    return script_raise(L, &err);
}

/* { [id] = port } */
int l_vm_net(lua_State *L)
{
    struct script_vm *svm = binding_vm(L, 1, META_VM);
    lua_newtable(L);
    lua_createtable(L, 0, 1);
    lua_pushstring(L, vm_name(svm->vm));
    lua_pushcclosure(L, no_such_port, 1);
    lua_setfield(L, -2, "__index");
    lua_setmetatable(L, -2);
    for (struct net_port *p = NULL; (p = net_port_next(vm_net(svm->vm), p));) {
        binding_push(L, svm, META_PORT, p);
        lua_setfield(L, -2, p->id);
    }
    return 1;
}

/* ---- ports ---- */

static bool port_alive(struct script_vm *svm, const void *p)
{
    struct net_port *port = NULL;
    while ((port = net_port_next(vm_net(svm->vm), port)) && port != p)
        ;
    return port != NULL;
}

static int get_port_id(lua_State *L)
{
    lua_pushstring(L, check_port(L, 1)->id);
    return 1;
}

static int get_port_kind(lua_State *L)
{
    lua_pushstring(L, check_port(L, 1)->ops->kind);
    return 1;
}

static int get_port_link(lua_State *L)
{
    binding_push(L, binding_vm(L, 1, META_PORT), META_LINK, check_port(L, 1)->link);
    return 1;
}

/* ports() → { port, ... } in order of creation, plugged in or not */
int l_machine_ports(lua_State *L)
{
    struct script_vm *svm = binding_vm(L, 1, META_MACHINE);
    lua_newtable(L);
    lua_Integer n = 0;
    for (struct net_port *p = NULL; (p = net_port_next(vm_net(svm->vm), p));) {
        binding_push(L, svm, META_PORT, p);
        lua_rawseti(L, -2, ++n);
    }
    return 1;
}

static int get_port_joined(lua_State *L)
{
    struct net_port *p = check_port(L, 1);
    const struct net_wire_end *end = net_port_is_wire(p) ? net_wire_end(p) : NULL;
    lua_pushstring(L, end ? end->name : NULL);
    return 1;
}

static struct net_port *check_slirp(lua_State *L)
{
    struct net_port *p = check_port(L, 1);
    if (strcmp(p->ops->kind, "user"))
        luaL_error(L, "network \"%s\" is of kind %s and forwards no ports", p->id, p->ops->kind);
    return p;
}

static int l_port_hostfwd_add(lua_State *L)
{
    struct error err = { 0 };
    if (!net_slirp_hostfwd_add(check_slirp(L), luaL_checkstring(L, 2), &err))
        return script_raise(L, &err);
    return 0;
}

static int l_port_hostfwd_remove(lua_State *L)
{
    struct error err = { 0 };
    if (!net_slirp_hostfwd_remove(check_slirp(L), luaL_checkstring(L, 2), &err))
        return script_raise(L, &err);
    return 0;
}

static int port_tostring(lua_State *L)
{
    struct net_port *p = check_port(L, 1);
    lua_pushfstring(L, "network port \"%s\" (%s)", p->id, p->ops->kind);
    return 1;
}

static const struct binding_member port_methods[] = {
    { "hostfwd_add", l_port_hostfwd_add, "(rule)",
      "forward a port of the host: \"tcp:127.0.0.1:2222-:22\"" },
    { "remove", l_port_remove, "()", "remove a backend that no device uses" },
    { "hostfwd_remove", l_port_hostfwd_remove, "(rule)", "end a forwarding" },
    { NULL },
};

static const struct binding_member port_properties[] = {
    { "id", get_port_id, "string", "its id" },
    { "kind", get_port_kind, "string", "nic, user, hub-port or wire" },
    { "link", get_port_link, "link or nil", "where it is plugged in; nil: nowhere" },
    { "joined", get_port_joined, "string or nil", "of a wire: the cluster's link at its far end" },
    { NULL },
};

static const struct binding_type port_type = {
    .meta = META_PORT,
    .label = "network port",
    .help = "an end of a network: card, backend or port of a hub",
    .alive = port_alive,
    .methods = port_methods,
    .properties = port_properties,
    .tostring = port_tostring,
};

/* ---- hubs ---- */

static int l_hub_port(lua_State *L)
{
    struct script_vm *svm = binding_vm(L, 1, META_HUB);
    struct error err = { 0 };
    struct net_port *p = net_hub_add_port(binding_ptr(L, 1, META_HUB), &err);
    if (!p)
        return script_raise(L, &err);
    binding_push(L, svm, META_PORT, p);
    return 1;
}

static int hub_tostring(lua_State *L)
{
    lua_pushliteral(L, "network hub");
    return 1;
}

static const struct binding_member hub_methods[] = {
    { "port", l_hub_port, "() → port", "one more port" },
    { NULL },
};
static const struct binding_member hub_properties[] = {
    { NULL },
};

static const struct binding_type hub_type = {
    .meta = META_HUB,
    .label = "network hub",
    .help = "sends what comes in at one port out at all others",
    .methods = hub_methods,
    .properties = hub_properties,
    .tostring = hub_tostring,
};

/* ---- links ---- */

static bool link_alive(struct script_vm *svm, const void *p)
{
    struct net_link *link = NULL;
    while ((link = net_link_next(vm_net(svm->vm), link)) && link != p)
        ;
    return link != NULL;
}

static int get_link_name(lua_State *L)
{
    lua_pushstring(L, net_link_name(check_link(L, 1)));
    return 1;
}

static int get_link_up(lua_State *L)
{
    lua_pushboolean(L, net_link_is_up(check_link(L, 1)));
    return 1;
}

static int set_link_up(lua_State *L)
{
    struct net_link *l = check_link(L, 1);
    luaL_checktype(L, 3, LUA_TBOOLEAN);
    net_link_set_up(l, lua_toboolean(L, 3));
    return 0;
}

static int get_link_ports(lua_State *L)
{
    struct script_vm *svm = binding_vm(L, 1, META_LINK);
    struct net_link *l = check_link(L, 1);
    lua_createtable(L, 2, 0);
    for (unsigned end = 0; end < 2; end++) {
        binding_push(L, svm, META_PORT, net_link_port(l, end));
        lua_rawseti(L, -2, end + 1);
    }
    return 1;
}

/* { { from = id, frames, bytes, dropped }, ... } of both directions. */
static int l_link_stats(lua_State *L)
{
    struct net_link *l = check_link(L, 1);
    lua_createtable(L, 2, 0);
    for (unsigned end = 0; end < 2; end++) {
        struct net_link_stats s = net_link_stats(l, end);
        lua_createtable(L, 0, 4);
        lua_pushstring(L, net_link_port(l, end)->id);
        lua_setfield(L, -2, "from");
        lua_pushinteger(L, (lua_Integer)s.frames);
        lua_setfield(L, -2, "frames");
        lua_pushinteger(L, (lua_Integer)s.bytes);
        lua_setfield(L, -2, "bytes");
        lua_pushinteger(L, (lua_Integer)s.dropped);
        lua_setfield(L, -2, "dropped");
        lua_rawseti(L, -2, end + 1);
    }
    return 1;
}

static int link_tostring(lua_State *L)
{
    struct net_link *l = check_link(L, 1);
    lua_pushfstring(L, "link \"%s\" (%s)", net_link_name(l), net_link_is_up(l) ? "up" : "down");
    return 1;
}

static const struct binding_member link_methods[] = {
    { "stats", l_link_stats,
      "() → { { from = string, frames =, bytes = integer, dropped = }, ... }",
      "counters of both directions" },
    { "send", l_link_send, "(from: port or string, bytes [, delay])",
      "send a frame as if port `from` had; `delay` in ns" },
    { NULL },
};

static const struct binding_member link_properties[] = {
    { "name", get_link_name, "string", "its name" },
    { "up", get_link_up, "boolean", "is the wire plugged in; frames are dropped while it is not",
      set_link_up },
    { "ports", get_link_ports, "{ port, port }", "both ends" },
    { NULL },
};

static const struct binding_type link_type = {
    .meta = META_LINK,
    .label = "link",
    .help = "a wire between two network ports",
    .alive = link_alive,
    .methods = link_methods,
    .properties = link_properties,
    .tostring = link_tostring,
};

void l_net_open(lua_State *L)
{
    binding_type_new(L, &port_type);
    binding_type_new(L, &hub_type);
    binding_type_new(L, &link_type);
}
