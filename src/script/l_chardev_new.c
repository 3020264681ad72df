/* Making character backends: m:chardev { type = ..., id = ..., ... }.
 *
 * perilune.chardev has the options that users write, with their types; here are the calls. */
#include "script/script_hook.h"

#include "base/alloc.h"
#include "base/bits.h"

#include <stdlib.h>
#include <string.h>

/* What a kind needs to be made. */
struct making {
    lua_State *L; /* the table of options is at index 2 */
    struct script_vm *svm;
    const char *id;
    struct error *err;
};

enum { RING_DEFAULT = 1 << 20, RING_MAX = 1 << 30 };

static struct door *door_of(const struct making *k)
{
    return vm_machine(k->svm->vm)->door;
}

/* An integer of the table, from 0 to `max`; `fallback` when it is not there. */
static lua_Integer number(const struct making *k, const char *key, lua_Integer fallback,
                          lua_Integer max)
{
    lua_Integer n = fallback;
    if (lua_getfield(k->L, 2, key) != LUA_TNIL) {
        n = luaL_checkinteger(k->L, -1);
        if (n < 0 || n > max)
            luaL_error(k->L, "chardev \"%s\": %s must be from 0 to %I", k->id, key, max);
    }
    lua_pop(k->L, 1);
    return n;
}

static struct chardev *make_null(struct making *k)
{
    return chardev_null_new(k->id);
}

static struct chardev *make_ring(struct making *k)
{
    lua_getfield(k->L, 2, "size");
    uint64_t size = lua_isnil(k->L, -1) ? RING_DEFAULT : check_size(k->L, lua_gettop(k->L));
    if (size && size <= RING_MAX)
        return chardev_ring_new(k->id, size, door_of(k));
    error_set(k->err, "chardev \"%s\": a ring has from 1 byte to 1G", k->id);
    return NULL;
}

static struct chardev *make_file(struct making *k)
{
    const struct chardev_file_config config = { .path = table_string(k->L, 2, "path"),
                                                .input = table_string(k->L, 2, "input"),
                                                .append = table_bool(k->L, 2, "append") };
    if (config.path)
        return chardev_file_new(k->id, k->svm->script->loop, door_of(k), &config, k->err);
    error_set(k->err, "chardev \"%s\": a file needs a path", k->id);
    return NULL;
}

static struct chardev *make_stdio(struct making *k)
{
    const struct stdio_config config = { .signals = table_bool(k->L, 2, "signal"),
                                         .shared = table_bool(k->L, 2, "mux") };
    return chardev_stdio_new(k->id, k->svm->script->loop, door_of(k), &config, k->err);
}

static struct chardev_socket_config read_socket(const struct making *k)
{
    return (struct chardev_socket_config){
        .path = table_string(k->L, 2, "path"),
        .host = table_string(k->L, 2, "host"),
        .port = (uint16_t)number(k, "port", 0, 65535),
        .server = table_bool(k->L, 2, "server"),
        .insecure = table_bool(k->L, 2, "insecure"),
        .delay = table_bool(k->L, 2, "delay"),
        .reconnect_s = (unsigned)number(k, "reconnect", 0, 86400),
    };
}

static struct chardev *make_socket(struct making *k)
{
    const struct chardev_socket_config config = read_socket(k);
    if (config.path && (config.host || config.port))
        error_set(k->err, "chardev \"%s\": a socket has a path, or a host and a port", k->id);
    else if (!config.path && !config.port && !config.server)
        error_set(k->err, "chardev \"%s\": a socket needs a path, or a host and a port", k->id);
    else if (config.server && config.reconnect_s)
        error_set(k->err, "chardev \"%s\": reconnect is for sockets that connect; leave it away",
                  k->id);
    else
        return chardev_socket_new(k->id, k->svm->script->loop, door_of(k), &config, k->err);
    return NULL;
}

static struct chardev *make_pty(struct making *k)
{
    return chardev_pty_new(k->id, k->svm->script->loop, door_of(k), table_string(k->L, 2, "path"),
                           k->err);
}

static struct chardev *make_port(struct making *k)
{
    const char *backend = table_string(k->L, 2, "chardev");
    struct script_chardev *b = backend ? script_find_chardev(k->svm, backend) : NULL;
    if (b && b->c->mux)
        return chardev_mux_port_new(k->id, b->c, door_of(k));
    error_set(k->err, "chardev \"%s\": \"%s\" is no chardev with mux=on", k->id,
              backend ? backend : "");
    return NULL;
}

static const struct {
    const char *name;
    struct chardev *(*make)(struct making *k);
} kinds[] = {
    { "null", make_null },   { "ring", make_ring },     { "file", make_file },
    { "stdio", make_stdio }, { "socket", make_socket }, { "pty", make_pty },
    { "mux", make_port },
};

static struct chardev *make_kind(struct making *k, const char *type)
{
    const char *names[ARRAY_LEN(kinds) + 1] = { NULL };
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        if (!strcmp(type, kinds[i].name))
            return kinds[i].make(k);
        names[i] = kinds[i].name;
    }
    const char *near = nearest_name(type, names);
    error_set(k->err, "chardev \"%s\": there is no type \"%s\"; %s%s", k->id, type,
              near ? "did you mean " : "use null, ring, file, stdio, socket, pty or mux",
              near ? near : "");
    return NULL;
}

/* Ctrl-a x */
static void quit(void *opaque)
{
    struct script_vm *svm = opaque;
    if (svm->vm && vm_state(svm->vm) != VM_ENDED)
        vm_end(svm->vm, "quit", 0);
}

static struct script_chardev *add(struct script_vm *svm, struct chardev *c)
{
    struct script_chardev *s = ALLOC(struct script_chardev);
    s->c = c;
    c->trace = vm_trace_of(svm->vm);
    script_history_begin(s);
    *svm->chardevs_tail = s;
    svm->chardevs_tail = &s->next;
    loop_wake(svm->script->loop); /* it waits for what it knows of: a hook may run elsewhere */
    return s;
}

/* ID.0, ID.1, ...: a port for a front end that names the backend and not a port. */
struct chardev *script_chardev_end(struct script_vm *svm, struct chardev *c)
{
    if (!c->mux)
        return c;
    unsigned n = 0;
    char *id = alloc_printf("%s.%u", c->id, n);
    while (script_find_chardev(svm, id)) {
        free(id);
        id = alloc_printf("%s.%u", c->id, ++n);
    }
    struct script_chardev *s = add(svm, chardev_mux_port_new(id, c, vm_machine(svm->vm)->door));
    free(id);
    return s->c;
}

/* listen { who =, path =, host =, port =, insecure = } → descriptor, port: what a script that
 * serves clients itself listens at; the descriptor is the script's. */
int l_core_listen(lua_State *L)
{
    static const char *const keys[] = { "who", "path", "host", "port", "insecure", NULL };
    check_keys(L, 1, "listen", keys);
    lua_settop(L, 1);
    lua_pushvalue(L, 1); /* where the functions above expect it */
    struct error err = { 0 };
    const char *who = table_string(L, 2, "who");
    const struct making k = { .L = L, .id = who ? who : "socket" };
    const struct chardev_socket_config config = read_socket(&k);
    uint16_t port = 0;
    int fd = socket_listen(k.id, &config, &port, &err);
    if (fd < 0)
        return script_raise(L, &err);
    lua_pushinteger(L, fd);
    lua_pushinteger(L, port);
    return 2;
}

/* chardev { type =, id =, ... } */
int l_machine_chardev(lua_State *L)
{
    static const char *const keys[] = { "type",   "id",        "path",     "input",
                                        "append", "size",      "signal",   "host",
                                        "port",   "server",    "insecure", "delay",
                                        "mux",    "reconnect", "chardev",  NULL };
    struct script_vm *svm = binding_vm(L, 1, META_MACHINE);
    check_keys(L, 2, "chardev", keys);
    const char *type = table_string(L, 2, "type");
    const char *id = table_string(L, 2, "id");
    struct error err = { 0 };
    luaL_argcheck(L, type && *type && id && *id, 2, "type and id are needed");
    bool mux = table_bool(L, 2, "mux");
    struct making k = { L, svm, id, &err };
    if (script_find_chardev(svm, id)) {
        error_set(&err, "chardev \"%s\": the id is taken", id);
        return script_raise(L, &err);
    }
    struct chardev *c = make_kind(&k, type);
    if (!c)
        return script_raise(L, &err);
    struct script_chardev *s = add(svm, c);
    if (mux) {
        const struct chardev_mux_config config = { quit, svm, !strcmp(type, "stdio") };
        chardev_mux_add(c, &config);
    }
    binding_push(L, svm, META_CHARDEV, s);
    return 1;
}
