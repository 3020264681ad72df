/* The life of a hook: made, installed, called, removed. While it is installed, the machine's record
 * in the registry keeps its userdata; its function may remove it. Machine lock. */
#include "script/script_hook.h"

#include <stdlib.h>
#include <string.h>

/* registry[svm].hooks = { [userdata] = true } keeps installed hooks alive. */
static void set_anchor(lua_State *L, struct script_hook *h, int index)
{
    index = lua_absindex(L, index);
    lua_rawgetp(L, LUA_REGISTRYINDEX, h->svm);
    if (lua_getfield(L, -1, "hooks") != LUA_TTABLE) {
        lua_pop(L, 1);
        lua_newtable(L);
        lua_pushvalue(L, -1);
        lua_setfield(L, -3, "hooks");
    }
    lua_pushvalue(L, index);
    lua_rawsetp(L, -2, h);
    lua_pop(L, 2);
}

/* Without a stack of one's own at hand: assigning nil allocates nothing. */
static void drop_anchor(struct script_hook *h)
{
    lua_State *L = h->svm->script->universe->factory;
    if (!lua_checkstack(L, 4))
        return; /* it stays until the machine goes */
    lua_rawgetp(L, LUA_REGISTRYINDEX, h->svm);
    if (lua_istable(L, -1) && lua_getfield(L, -1, "hooks") == LUA_TTABLE) {
        lua_pushnil(L);
        lua_rawsetp(L, -2, h);
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
}

struct script_hook *script_hook_new(lua_State *L, struct script_vm *svm,
                                    const struct hook_kind *kind, int fn)
{
    luaL_checktype(L, fn, LUA_TFUNCTION);
    struct script_hook *h = lua_newuserdatauv(L, sizeof *h, 1);
    memset(h, 0, sizeof *h);
    h->self = (struct binding_object){ svm, h };
    h->svm = svm;
    h->kind = kind;
    luaL_setmetatable(L, META_HOOK);
    lua_rawgetp(L, LUA_REGISTRYINDEX, svm);
    lua_getfield(L, -1, "vm");
    lua_setiuservalue(L, -3, 1);
    lua_pop(L, 1);
    set_anchor(L, h, -1);
    return h;
}

void script_hook_discard(struct script_hook *h)
{
    free(h->symbol);
    hook_fini(&h->hook);
    drop_anchor(h);
}

void script_hook_installed(struct script_hook *h)
{
    struct script_vm *svm = h->svm;
    h->at = svm->hooks ? svm->hooks_tail : &svm->hooks;
    *h->at = h;
    svm->hooks_tail = &h->next;
    h->installed = true;
}

static void forget_function(struct script_hook *h)
{
    if (h->svm->stopped_by == h)
        h->svm->stopped_by = NULL;
    h->hits = h->hook.hits;
    h->errors = h->hook.errors;
    h->cost_ns = hook_cost_ns(&h->hook);
    h->cpu = NULL;
    free(h->symbol);
    h->symbol = NULL;
    luaL_unref(h->hook.universe->factory, LUA_REGISTRYINDEX, h->hook.subject);
    hook_fini(&h->hook);
}

void script_hook_remove(struct script_hook *h)
{
    if (!h->installed)
        return;
    h->installed = false;
    *h->at = h->next;
    *(h->next ? &h->next->at : &h->svm->hooks_tail) = h->at;
    h->kind->uninstall(h);
    if (h->calling == 0) {
        forget_function(h);
        drop_anchor(h);
    }
}

void script_hooks_sweep(struct script_vm *svm)
{
    for (struct script_hook *h = svm->hooks, *next; h; h = next) {
        next = h->next;
        if (h->kind == &hook_irq && !script_line_alive(svm, h->irq))
            script_hook_remove(h);
    }
}

void script_hooks_remove_all(struct script_vm *svm)
{
    while (svm->hooks)
        script_hook_remove(svm->hooks);
}

bool script_hook_call(struct script_hook *h, hook_push_fn push, hook_take_fn take, void *opaque)
{
    struct script_vm *svm = h->svm;
    bool within = svm->in_hook;
    if (svm->closing || !h->installed || (within && (!h->nested || h->calling)))
        return false;
    h->calling++;
    if (h->kind != &hook_trace)
        vm_trace_hook(svm->vm, h->kind->event, h->hook.name);
    svm->in_hook = true;
    /* Who was told of it may have removed it. */
    bool ok = h->installed && hook_call(&h->hook, push, take, opaque, NULL);
    h->calling--;
    svm->in_hook = within;
    if (!h->installed && h->calling == 0) {
        forget_function(h);
        drop_anchor(h);
    }
    return ok;
}

bool hook_says_stop(lua_State *L, struct script_hook *h)
{
    bool stop =
        lua_type(L, HOOK_RESULT) == LUA_TSTRING && !strcmp(lua_tostring(L, HOOK_RESULT), "stop");
    if (stop)
        h->svm->stopped_by = h;
    return stop;
}
