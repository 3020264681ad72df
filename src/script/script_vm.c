/* A script's machine: making it, how hooks stop it, and taking it apart in the right order. */
#include "script/script_hook.h"
#include "script/script_symbols.h"

#include "base/alloc.h"
#include "vm/cluster.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct script_aside script_put_aside(struct script_vm *svm)
{
    struct universe *u = svm->script->universe;
    struct script_aside saved = { u->frame, svm->in_hook };
    u->frame = NULL;
    svm->in_hook = false;
    return saved;
}

void script_take_up(struct script_vm *svm, struct script_aside saved)
{
    svm->script->universe->frame = saved.frame;
    svm->in_hook = saved.in_hook;
}

static void pause_vm(void *opaque, const char *why)
{
    struct script_vm *svm = opaque;
    struct script_aside saved = script_put_aside(svm);
    if (svm->vm && vm_state(svm->vm) == VM_RUNNING)
        vm_pause(svm->vm, "script error"); /* what it was has been reported */
    script_take_up(svm, saved);
}

static void abort_vm(void *opaque, const char *why, int status)
{
    struct script_vm *svm = opaque;
    bool exits = !strcmp(why, "script exit");
    if (exits) {
        svm->script->exit_requested = true;
        svm->script->exit_status = status;
    }
    struct script_aside saved = script_put_aside(svm);
    if (svm->vm && vm_state(svm->vm) != VM_ENDED)
        vm_end(svm->vm, exits ? "script-exit" : "script-error", status);
    if (exits && svm->vm && vm_cluster(svm->vm))
        cluster_end(vm_cluster(svm->vm), "script-exit", status);
    script_take_up(svm, saved);
}

static void free_chardevs(struct script_vm *svm)
{
    while (svm->chardevs) {
        struct script_chardev *c = svm->chardevs;
        svm->chardevs = c->next;
        script_chardev_free(c);
    }
}

/* Devices and cpus are gone. What they referred to is the script's and not the machine's. */
static void free_parts(void *opaque)
{
    struct script_vm *svm = opaque;
    struct mem *mem = vm_machine(svm->vm)->mem;
    free_chardevs(svm);
    mem_begin(mem);
    while (svm->regions) {
        struct script_region *r = svm->regions;
        svm->regions = r->next;
        region_fini(&r->r);
        free(r);
    }
    mem_commit(mem);
}

/* Pushes the userdata. */
struct script_vm *script_vm_new(lua_State *L, const struct vm_config *config)
{
    struct script *s = universe_of(L)->owner;
    struct script_vm *svm = lua_newuserdatauv(L, sizeof *svm, 0);
    *svm = (struct script_vm){ .script = s };
    svm->self = (struct binding_object){ svm, svm };
    svm->chardevs_tail = &svm->chardevs;
    svm->target = (struct hook_target){ pause_vm, abort_vm, svm };
    luaL_setmetatable(L, META_VM);
    lua_createtable(L, 0, 8);
    lua_pushvalue(L, -2);
    lua_setfield(L, -2, "vm");
    lua_rawsetp(L, LUA_REGISTRYINDEX, svm);
    struct error err = { 0 };
    svm->vm = vm_new(s->loop, config, &err);
    if (!svm->vm) {
        lua_pushnil(L);
        lua_rawsetp(L, LUA_REGISTRYINDEX, svm);
        script_raise(L, &err);
    }
    vm_set_teardown(svm->vm, free_parts, svm);
    svm->next = s->vms;
    s->vms = svm;
    return svm;
}

/* Releases the machine lock while vcpus stop. */
void script_vm_close(struct script_vm *svm)
{
    struct script *s = svm->script;
    if (vm_state(svm->vm) != VM_ENDED)
        vm_end(svm->vm, "closed", 0);
    if (!svm->vm || svm->closing)
        return; /* somebody else closed it while the lock was free */
    svm->closing = true;
    script_terminal_forget(svm);
    script_hooks_remove_all(svm);
    script_forget_leaving(svm);
    script_free_dumps(svm);
    script_traces_free(svm);
    script_symbols_free(svm->symbols);
    free(svm->kernel_path);
    svm->symbols = NULL;
    svm->kernel_path = NULL;
    struct cluster *cluster = vm_cluster(svm->vm);
    vm_free(svm->vm);
    svm->vm = NULL;
    if (cluster)
        script_cluster_left(s->universe->factory, cluster);
    hook_fini(&svm->boot);
    while (svm->lines) {
        struct script_line *l = svm->lines;
        svm->lines = l->next;
        free(l);
    }
    struct script_vm **at = &s->vms;
    while (*at != svm)
        at = &(*at)->next;
    *at = svm->next;
}

struct script_chardev *script_find_chardev(struct script_vm *svm, const char *id)
{
    for (struct script_chardev *c = svm->chardevs; c; c = c->next)
        if (!strcmp(c->c->id, id))
            return c;
    return NULL;
}
