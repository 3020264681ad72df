/* The universe with all bindings, and the command line that runs in it. */
#include "script/script_hook.h"
#include "script/script_symbols.h"
#include "script/script_state.h"

#include "base/alloc.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { STATUS_CONFIG = 2 };

static void request_exit(void *opaque, const char *why, int status)
{
    struct script *s = opaque;
    s->exit_requested = true;
    s->exit_status = status;
    for (struct script_vm *svm = s->vms; svm; svm = svm->next)
        if (vm_state(svm->vm) == VM_RUNNING)
            vm_end(svm->vm, "script-exit", status);
}

/* ---- start ---- */

static void add_module(lua_State *L, const char *name, lua_CFunction open)
{
    luaL_requiref(L, name, open, 0);
    lua_pop(L, 1);
}

/* package.path: PERILUNE_PATH first, then ours; machines are looked for in core.dirs. */
static void set_paths(lua_State *L, const char *const *dirs)
{
    luaL_Buffer b;
    luaL_buffinit(L, &b);
    const char *user = getenv("PERILUNE_PATH");
    for (const char *at = user ? user : ""; *at;) {
        size_t n = strcspn(at, ":");
        if (n) {
            luaL_addlstring(&b, at, n);
            luaL_addstring(&b, "/?.lua;");
        }
        at += n + (at[n] == ':');
    }
    for (size_t i = 0; dirs[i]; i++) {
        luaL_addstring(&b, dirs[i]);
        luaL_addstring(&b, "/lua/?.lua;");
        luaL_addstring(&b, dirs[i]);
        luaL_addstring(&b, "/lua/?/init.lua;");
    }
    luaL_addstring(&b, "./?.lua");
    luaL_pushresult(&b);
    lua_getglobal(L, "package");
    lua_pushvalue(L, -2);
    lua_setfield(L, -2, "path");
    lua_pop(L, 2);
}

static void set_core_fields(lua_State *L, const char *const *dirs)
{
    luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
    lua_getfield(L, -1, "perilune.core");
    lua_newtable(L);
    for (lua_Integer i = 0; dirs[i]; i++) {
        lua_pushstring(L, dirs[i]);
        lua_rawseti(L, -2, i + 1);
    }
    lua_setfield(L, -2, "dirs");
    lua_pushstring(L, getenv("PERILUNE_PATH"));
    lua_setfield(L, -2, "user_path");
    lua_pushliteral(L, PERILUNE_VERSION);
    lua_setfield(L, -2, "version");
    /* os.exit would end the process in the middle of everything. */
    lua_getglobal(L, "os");
    lua_getfield(L, -2, "exit");
    lua_setfield(L, -2, "exit");
    lua_pop(L, 3);
}

static int open_bindings(lua_State *L)
{
    const struct script_config *config = lua_touserdata(L, 1);
    add_module(L, "perilune.core", luaopen_perilune_core);
    add_module(L, "perilune.json", luaopen_perilune_json);
    add_module(L, "perilune.task_core", luaopen_perilune_task_core);
    l_vm_open(L);
    l_machine_open(L);
    l_device_open(L);
    l_bus_open(L);
    l_region_open(L);
    l_space_open(L);
    l_dirty_open(L);
    l_state_open(L);
    l_irq_open(L);
    l_cpu_open(L);
    l_net_open(L);
    l_chardev_open(L);
    l_clock_open(L);
    l_dump_open(L);
    l_symbols_open(L);
    l_hook_open(L);
    l_luadev_open(L);
    l_terminal_open(L);
    l_trace_open(L);
    l_cluster_open(L);
    set_paths(L, config->lua_dirs);
    set_core_fields(L, config->lua_dirs);
    lua_settop(L, 0);
    return 0;
}

struct script *script_new(const struct script_config *config, struct error *err)
{
    struct script *s = ALLOC(struct script);
    s->loop = config->loop;
    s->target = (struct hook_target){ NULL, request_exit, s };
    struct universe_config uc = { .loop = config->loop };
    s->universe = universe_new(&uc, err);
    if (!s->universe) {
        free(s);
        return NULL;
    }
    s->universe->owner = s;
    s->universe->target = &s->target;
    lua_State *L;
    int result = hook_enter_main(s->universe, open_bindings, (void *)config, &L);
    if (result != LUA_OK)
        error_set_host(err, 0, "cannot start scripting: %s", lua_tostring(L, -1));
    hook_leave(s->universe);
    if (result == LUA_OK)
        return s;
    script_free(s);
    return NULL;
}

void script_free(struct script *s)
{
    if (!s)
        return;
    while (s->vms)
        script_vm_close(s->vms);
    universe_free(s->universe);
    free(s);
}

/* ---- the program ---- */

struct arguments {
    int argc;
    char **argv;
};

static int run_command_line(lua_State *L)
{
    struct arguments *a = lua_touserdata(L, 1);
    lua_settop(L, 0);
    lua_getglobal(L, "require");
    lua_pushliteral(L, "perilune.cli");
    lua_call(L, 1, 1);
    lua_getfield(L, -1, "main");
    lua_createtable(L, a->argc, 0);
    for (int i = 0; i < a->argc; i++) {
        lua_pushstring(L, a->argv[i]);
        lua_rawseti(L, -2, i);
    }
    lua_call(L, 1, 1);
    return 1;
}

/* What an error that nobody caught means for the exit status; says it unless it is a request to
 * exit. */
static int uncaught(struct script *s, lua_State *L, int result)
{
    int status = 0;
    enum script_error_kind kind = script_error_kind(L, -1, &status);
    if (kind == SCRIPT_EXIT)
        return status;
    if (s->exit_requested)
        return s->exit_status;
    const char *text = result == LUA_ERRMEM ? "not enough memory" : luaL_tolstring(L, -1, NULL);
    fprintf(stderr, "perilune: %s\n", text);
    return kind == SCRIPT_ERROR_HOST ? VM_EXIT_HOST : STATUS_CONFIG;
}

struct ending {
    struct script *s;
    int result, status;
};

static int describe_ending(lua_State *L)
{
    struct ending *e = lua_touserdata(L, 2);
    lua_settop(L, 1);
    e->status = uncaught(e->s, L, e->result);
    return 0;
}

int script_main(struct script *s, int argc, char **argv)
{
    struct arguments a = { argc, argv };
    lua_State *L;
    struct ending e = { .s = s, .status = STATUS_CONFIG };
    e.result = hook_enter_main(s->universe, run_command_line, &a, &L);
    if (!L)
        return VM_EXIT_HOST;
    if (e.result == LUA_OK) {
        e.status = (int)lua_tointeger(L, -1);
    } else {
        lua_pushcfunction(L, describe_ending);
        lua_insert(L, -2);
        lua_pushlightuserdata(L, &e);
        if (lua_pcall(L, 2, 0, 0) != LUA_OK)
            fputs("perilune: an error that cannot be shown\n", stderr);
    }
    hook_leave(s->universe);
    return e.status;
}
