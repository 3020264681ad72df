/* A script's machine: making it, how hooks stop it, and taking it apart in the right order. */
#include "script/binding.h"

#include "base/alloc.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static void pause_vm(void *opaque, const char *why)
{
    struct script_vm *svm = opaque;
    if (svm->vm && vm_state(svm->vm) == VM_RUNNING)
        vm_pause(svm->vm, why);
}

static void abort_vm(void *opaque, const char *why, int status)
{
    struct script_vm *svm = opaque;
    bool exits = !strcmp(why, "script exit");
    if (exits) {
        svm->script->exit_requested = true;
        svm->script->exit_status = status;
    }
    if (svm->vm && vm_state(svm->vm) != VM_ENDED)
        vm_end(svm->vm, exits ? "script-exit" : "script-error", status);
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
    svm->next = s->vms;
    s->vms = svm;
    return svm;
}

static void free_chardevs(struct script_vm *svm)
{
    while (svm->chardevs) {
        struct script_chardev *c = svm->chardevs;
        svm->chardevs = c->next;
        chardev_free(c->c);
        hook_fini(&c->output);
        free(c);
    }
}

static struct device *newest_device(struct machine *m, bool realized_only)
{
    struct device *last = NULL;
    for (struct device *d = m->devices; d; d = d->next)
        if (d->realized || !realized_only)
            last = d;
    return last;
}

/* Devices go before what they refer to (regions, lines, character backends), which is the script's
 * and not the machine's; each may take others along, so the search starts anew. */
static void free_devices(struct machine *m)
{
    struct device *d;
    mem_begin(m->mem);
    while ((d = newest_device(m, true)))
        device_unrealize(d);
    while ((d = newest_device(m, false)))
        device_free(d);
    mem_commit(m->mem);
}

static void free_regions(struct script_vm *svm)
{
    struct mem *mem = vm_machine(svm->vm)->mem;
    mem_begin(mem);
    while (svm->regions) {
        struct script_region *r = svm->regions;
        svm->regions = r->next;
        region_fini(&r->r);
        free(r);
    }
    mem_commit(mem);
}

static void free_pcaps(struct script_vm *svm)
{
    while (svm->pcaps) {
        struct script_pcap *p = svm->pcaps;
        svm->pcaps = p->next;
        net_pcap_free(p->p);
        free(p);
    }
}

/* Releases the machine lock while vcpus stop. Nothing of it is used by guest code when parts begin
 * to go. */
void script_vm_close(struct script_vm *svm)
{
    if (!svm->vm)
        return;
    struct script *s = svm->script;
    struct vm *vm = svm->vm;
    if (vm_state(vm) != VM_ENDED)
        vm_end(vm, "closed", 0);
    if (!svm->vm)
        return; /* somebody else closed it while the lock was free */
    free_pcaps(svm);
    free_devices(vm_machine(vm));
    free_chardevs(svm);
    free_regions(svm);
    svm->vm = NULL;
    vm_free(vm);
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
