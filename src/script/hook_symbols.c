/* Hooks on symbols, which follow them: to where KASLR has put the kernel, to where a module has
 * been loaded, over resets. A hook whose symbol is nowhere is pending: not in the table of events.
 * And the event "symbols", which tells that they have changed. Machine lock; cpus that stand still,
 * or one in an event. */
#include "script/script_hook.h"
#include "script/script_symbols.h"

#include "base/alloc.h"
#include "base/log.h"

/* Where the hook's symbol is. False with `err`: it is nowhere, and no module that comes can have
 * it. */
static bool find(struct script_hook *h, uint64_t *addr, bool *pending, struct error *err)
{
    struct script_vm *svm = h->svm;
    h->follows = false;
    if (!script_symbol_resolve(svm, h->symbol, addr, pending, err)) {
        struct symbols *table = svm->symbols ? svm->symbols->table : NULL;
        h->follows = !table || !symbols_count(table) || symbols_unknown(table, h->symbol);
        *pending = true;
        return false;
    }
    if (!*pending)
        h->follows = script_symbols_module(svm, *addr) != NULL;
    return true;
}

bool script_filter_address(lua_State *L, struct script_hook *h, int filter, const char *key)
{
    struct vm_event *e = &h->event;
    struct error err = { 0 };
    bool may_wait = lua_getfield(L, filter, "pending") != LUA_TNIL && lua_toboolean(L, -1);
    bool is_symbol = lua_getfield(L, filter, key) == LUA_TSTRING;
    if (may_wait && !is_symbol)
        luaL_error(L, "vm:on: pending is for symbols: \"%s\" is a %s", key, luaL_typename(L, -1));
    if (is_symbol) {
        h->symbol = alloc_string(lua_tostring(L, -1));
        if (!find(h, &e->first, &h->pending, &err) && !(may_wait && h->follows)) {
            struct error full = err;
            if (h->follows)
                error_set(&full, "%s; pending = true waits until one of that name is there",
                          err.text);
            script_raise(L, &full);
        }
        e->last = e->first;
    }
    lua_pop(L, 2);
    return is_symbol || filter_range(L, filter, key, &e->first, &e->last);
}

/* Where its symbol is now. */
static void resolve(struct script_hook *h)
{
    struct vm_event *e = &h->event;
    uint64_t first = 0, matched = e->matched, size = e->last - e->first;
    bool pending = true, was_pending = h->pending;
    struct error err = { 0 };
    find(h, &first, &pending, NULL);
    if (pending == was_pending && (pending || first == e->first))
        return;
    vm_event_remove(e);
    h->pending = pending;
    if (pending)
        return;
    e->first = first;
    e->last = first + size;
    h->pending = !vm_event_add(h->svm->vm, e, &err);
    e->matched = matched;
    if (h->pending)
        log_host(LOG_ERROR, "hooks", "%s: it stays pending at %s: %s", h->hook.name, h->symbol,
                 err.text);
}

/* ---- the event "symbols" ---- */

static int push_machine(lua_State *L, void *opaque)
{
    script_push_vm(L, opaque);
    return 1;
}

static void tell(struct script_vm *svm)
{
    struct script_hook *h;
    uint64_t last = svm->hook_orders, order = 0;
    while ((h = script_chain_after(svm->symbol_hooks, order, last))) {
        order = h->order;
        script_hook_call(h, push_machine, NULL, svm);
    }
}

void script_hooks_resolve(struct script_vm *svm)
{
    bool follow = false;
    for (struct script_hook *h = svm->hooks; h; h = h->next) {
        if (!h->symbol || !h->installed)
            continue;
        resolve(h);
        follow |= h->follows;
    }
    script_modules_watch(svm, follow || svm->symbol_hooks);
    tell(svm);
}

/* A hook that loads symbols is news for those who listen: they are told within it. */
static void install_symbols(lua_State *L, struct script_hook *h, int filter)
{
    (void)filter;
    struct error err = { 0 };
    if (!script_may_hold(h->svm, &err))
        script_raise(L, &err);
    h->nested = true;
    script_chain_add(&h->svm->symbol_hooks, h);
    bool held = script_hold(h->svm);
    script_modules_watch(h->svm, true);
    script_let_go(h->svm, held);
}

static void remove_symbols(struct script_hook *h)
{
    script_chain_remove(&h->svm->symbol_hooks, h);
}

static const struct binding_member symbols_keys[] = { { NULL } };
const struct hook_kind hook_symbols = {
    "symbols", install_symbols, remove_symbols,
    HOOK_DOC("symbols", symbols_keys, "(vm)",
             "symbols have changed: the kernel has been found, a module has come or gone, a file "
             "was loaded, the machine was reset")
};
