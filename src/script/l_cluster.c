/* Clusters as lua/perilune/cluster.lua sees them; what a script gets is made there.
 *
 * The cluster is anchored in the registry while it has machines; without any it goes with the last
 * reference. Its links are named, not held. */
#include "script/script_hook.h"

#include "vm/cluster.h"

#include <string.h>

struct script_cluster {
    struct cluster *c; /* NULL: closed */
    struct script *script;
    struct hook holds; /* the function that run() was given */
    struct hook_target target;
    bool answer; /* what it returned */
};

static struct script_cluster *check_cluster(lua_State *L)
{
    struct script_cluster *sc = luaL_checkudata(L, 1, META_CLUSTER);
    if (!sc->c)
        luaL_error(L, "closed cluster");
    return sc;
}

/* ---- making ---- */

static void pause_cluster(void *opaque, const char *why)
{
    (void)why; /* has been reported */
    cluster_pause(((struct script_cluster *)opaque)->c, "script error");
}

static void abort_cluster(void *opaque, const char *why, int status)
{
    struct script_cluster *sc = opaque;
    bool exits = !strcmp(why, "script exit");
    if (exits) {
        sc->script->exit_requested = true;
        sc->script->exit_status = status;
    }
    cluster_end(sc->c, exits ? "script-exit" : "script-error", status);
}

/* new_cluster(name, latency, parallel) */
int l_core_new_cluster(lua_State *L)
{
    struct cluster_config config = {
        .name = luaL_checkstring(L, 1),
        .latency_ns = check_duration(L, 2),
        .parallel = lua_toboolean(L, 3),
    };
    luaL_argcheck(L, config.latency_ns > 0, 2, "a latency must be at least 1 ns");
    struct script *s = universe_of(L)->owner;
    struct script_cluster *sc = lua_newuserdatauv(L, sizeof *sc, 0);
    *sc = (struct script_cluster){ .script = s };
    sc->target = (struct hook_target){ pause_cluster, abort_cluster, sc };
    luaL_setmetatable(L, META_CLUSTER);
    sc->c = cluster_new(s->loop, &config);
    return 1;
}

static void forget(lua_State *L, struct script_cluster *sc)
{
    lua_pushnil(L);
    lua_rawsetp(L, LUA_REGISTRYINDEX, sc->c);
}

static int l_cluster_add(lua_State *L)
{
    struct script_cluster *sc = check_cluster(L);
    struct error err = { 0 };
    if (!cluster_add(sc->c, binding_vm(L, 2, META_VM)->vm, &err))
        return script_raise(L, &err);
    lua_pushvalue(L, 1);
    lua_rawsetp(L, LUA_REGISTRYINDEX, sc->c);
    return 0;
}

/* The machines are single ones again. */
static int l_cluster_close(lua_State *L)
{
    struct script_cluster *sc = luaL_checkudata(L, 1, META_CLUSTER);
    if (!sc->c)
        return 0;
    struct lua_frame *saved = universe_block_begin(L, "cluster:close()");
    struct cluster *c = sc->c;
    forget(L, sc);
    sc->c = NULL;
    cluster_free(c);
    universe_block_end(L, saved);
    hook_fini(&sc->holds);
    return 0;
}

/* It has no machines, so there is nothing to wait for. */
static int cluster_gc(lua_State *L)
{
    struct script_cluster *sc = luaL_checkudata(L, 1, META_CLUSTER);
    cluster_free(sc->c);
    sc->c = NULL;
    hook_fini(&sc->holds);
    return 0;
}

void script_cluster_left(lua_State *L, struct cluster *c)
{
    if (cluster_member(c, 0))
        return;
    lua_pushnil(L);
    lua_rawsetp(L, LUA_REGISTRYINDEX, c);
}

/* ---- running ---- */

static void take_answer(lua_State *L, void *opaque)
{
    ((struct script_cluster *)opaque)->answer = lua_toboolean(L, HOOK_RESULT);
}

static bool ask_holds(void *opaque)
{
    struct script_cluster *sc = opaque;
    sc->answer = false;
    hook_call(&sc->holds, NULL, take_answer, sc, NULL);
    return sc->answer;
}

/* run([until [, holds]]): until virtual time has come to `until`, or holds() says so. */
static int l_cluster_run(lua_State *L)
{
    struct script_cluster *sc = check_cluster(L);
    int64_t until = lua_isnoneornil(L, 2) ? CLOCK_NEVER : check_duration(L, 2);
    hook_fini(&sc->holds);
    bool asks = !lua_isnoneornil(L, 3);
    if (asks)
        hook_init(&sc->holds, L, 3, "until", HOOK_PAUSE, &sc->target);
    struct error err = { 0 };
    struct lua_frame *saved = universe_block_begin(L, "cluster:run()");
    cluster_set_until(sc->c, until, asks ? ask_holds : NULL, sc);
    bool ok = cluster_run(sc->c, &err);
    if (sc->c)
        cluster_set_until(sc->c, CLOCK_NEVER, NULL, NULL);
    universe_block_end(L, saved);
    if (!ok)
        return script_raise(L, &err);
    if (sc->script->exit_requested)
        return luaL_error(L, "the script asked to exit");
    return 0;
}

static int l_cluster_resume(lua_State *L)
{
    struct error err = { 0 };
    if (!cluster_resume(check_cluster(L)->c, &err))
        return script_raise(L, &err);
    return 0;
}

/* Outside of hooks it returns when all stand still. */
static void wait_still(struct script_cluster *sc)
{
    struct universe *u = sc->script->universe;
    struct lua_frame *saved = u->frame;
    u->frame = NULL;
    cluster_wait(sc->c);
    u->frame = saved;
}

static int l_cluster_pause(lua_State *L)
{
    struct script_cluster *sc = check_cluster(L);
    cluster_pause(sc->c, luaL_optstring(L, 2, "user"));
    wait_still(sc);
    return 0;
}

static int l_cluster_stop(lua_State *L)
{
    struct script_cluster *sc = check_cluster(L);
    cluster_end(sc->c, luaL_optstring(L, 2, "stopped"), (int)luaL_optinteger(L, 3, 0));
    wait_still(sc);
    return 0;
}

/* ---- looking ---- */

static void push_vm(lua_State *L, struct script *s, const struct vm *vm)
{
    struct script_vm *svm = s->vms;
    while (svm && svm->vm != vm)
        svm = svm->next;
    if (svm)
        script_push_vm(L, svm);
    else
        lua_pushnil(L);
}

static int l_cluster_status(lua_State *L)
{
    static const char *const names[] = { "created", "paused", "running", "ended" };
    struct script_cluster *sc = check_cluster(L);
    struct vm *by;
    const char *reason = cluster_pause_reason(sc->c, &by);
    lua_createtable(L, 0, 6);
    lua_pushstring(L, names[cluster_state(sc->c)]);
    lua_setfield(L, -2, "state");
    lua_pushinteger(L, cluster_now(sc->c));
    lua_setfield(L, -2, "now");
    lua_pushinteger(L, (lua_Integer)cluster_quanta(sc->c));
    lua_setfield(L, -2, "quanta");
    lua_pushinteger(L, cluster_latency(sc->c));
    lua_setfield(L, -2, "latency_ns");
    lua_pushstring(L, reason);
    lua_setfield(L, -2, "pause_reason");
    push_vm(L, sc->script, by);
    lua_setfield(L, -2, "paused_by");
    return 1;
}

static int l_cluster_members(lua_State *L)
{
    struct script_cluster *sc = check_cluster(L);
    lua_newtable(L);
    for (unsigned n = 0; cluster_member(sc->c, n); n++) {
        push_vm(L, sc->script, cluster_member(sc->c, n));
        lua_rawseti(L, -2, n + 1);
    }
    return 1;
}

/* ---- links ---- */

enum { WIRES_MAX = 256 };

/* link(name or nil, latency or nil, { port, ... }) → name */
static int l_cluster_link(lua_State *L)
{
    struct script_cluster *sc = check_cluster(L);
    const char *name = luaL_optstring(L, 2, NULL);
    int64_t latency = lua_isnoneornil(L, 3) ? 0 : check_duration(L, 3);
    struct net_port *wires[WIRES_MAX];
    luaL_checktype(L, 4, LUA_TTABLE);
    size_t count = lua_rawlen(L, 4);
    luaL_argcheck(L, count <= WIRES_MAX, 4, "a link joins at most 256 wires");
    for (size_t n = 0; n < count; n++) {
        lua_rawgeti(L, 4, (lua_Integer)n + 1);
        wires[n] = binding_ptr(L, -1, META_PORT);
        lua_pop(L, 1);
    }
    struct error err = { 0 };
    struct cluster_link *l = cluster_link_new(sc->c, name, latency, wires, count, &err);
    if (!l)
        return script_raise(L, &err);
    lua_pushstring(L, cluster_link_name(l));
    return 1;
}

static struct cluster_link *find_link(lua_State *L, struct script_cluster *sc)
{
    const char *name = luaL_checkstring(L, 2);
    struct cluster_link *l = NULL;
    while ((l = cluster_link_next(sc->c, l)) && strcmp(cluster_link_name(l), name))
        ;
    if (!l)
        luaL_error(L, "cluster \"%s\" has no link \"%s\" any more", cluster_name(sc->c), name);
    return l;
}

static int l_cluster_unlink(lua_State *L)
{
    struct script_cluster *sc = check_cluster(L);
    cluster_link_free(find_link(L, sc));
    return 0;
}

static int l_cluster_set_up(lua_State *L)
{
    struct script_cluster *sc = check_cluster(L);
    luaL_checktype(L, 3, LUA_TBOOLEAN);
    cluster_link_set_up(find_link(L, sc), lua_toboolean(L, 3));
    return 0;
}

static struct script_vm *owner_of(struct script *s, const struct net_port *wire)
{
    struct script_vm *svm = s->vms;
    while (svm && (!svm->vm || vm_net(svm->vm) != wire->net))
        svm = svm->next;
    return svm;
}

static int l_cluster_link_info(lua_State *L)
{
    struct script_cluster *sc = check_cluster(L);
    struct cluster_link *l = find_link(L, sc);
    struct net_link_stats stats = cluster_link_stats(l);
    const struct {
        const char *name;
        uint64_t value;
    } numbers[] = { { "frames", stats.frames },
                    { "bytes", stats.bytes },
                    { "dropped", stats.dropped },
                    { "latency_ns", (uint64_t)cluster_link_latency(l) } };
    lua_createtable(L, 0, 6);
    for (size_t n = 0; n < ARRAY_LEN(numbers); n++) {
        lua_pushinteger(L, (lua_Integer)numbers[n].value);
        lua_setfield(L, -2, numbers[n].name);
    }
    lua_pushboolean(L, cluster_link_is_up(l));
    lua_setfield(L, -2, "up");
    lua_newtable(L);
    for (unsigned n = 0; cluster_link_wire(l, n); n++) {
        struct net_port *wire = cluster_link_wire(l, n);
        binding_push(L, owner_of(sc->script, wire), META_PORT, wire);
        lua_rawseti(L, -2, n + 1);
    }
    lua_setfield(L, -2, "ports");
    return 1;
}

static int l_cluster_links(lua_State *L)
{
    struct script_cluster *sc = check_cluster(L);
    lua_newtable(L);
    lua_Integer n = 0;
    for (struct cluster_link *l = NULL; (l = cluster_link_next(sc->c, l));) {
        lua_pushstring(L, cluster_link_name(l));
        lua_rawseti(L, -2, ++n);
    }
    return 1;
}

static const struct binding_member methods[] = {
    { "add", l_cluster_add, "(vm)", "make a machine that stands still a member" },
    { "run", l_cluster_run, "([time [, f]])", "run to a time, or until f() is true" },
    { "resume", l_cluster_resume, "()", "run without waiting" },
    { "pause", l_cluster_pause, "([reason])", "stop all at the end of the quantum" },
    { "stop", l_cluster_stop, "([reason [, status]])", "end all machines" },
    { "status", l_cluster_status, "() → table", "state, now, pause_reason, paused_by, quanta" },
    { "members", l_cluster_members, "() → { vm, ... }", "in the order of adding" },
    { "link", l_cluster_link, "(name, latency, ports: { port, ... }) → name", "join wires" },
    { "unlink", l_cluster_unlink, "(name)", "take a link away" },
    { "set_up", l_cluster_set_up, "(name, up: boolean)", "pull a link out or plug it in" },
    { "link_info", l_cluster_link_info, "(name) → table", "counters, latency, ports" },
    { "links", l_cluster_links, "() → { name, ... }", "in order of making" },
    { "close", l_cluster_close, "()", "dissolve it; the machines stay" },
    { NULL },
};

static const struct binding_type cluster_type = {
    .meta = META_CLUSTER,
    .label = "cluster",
    .help = "machines on one virtual clock, below perilune.cluster()",
    .methods = methods,
};

void l_cluster_open(lua_State *L)
{
    binding_plain_type_new(L, &cluster_type, cluster_gc);
}
