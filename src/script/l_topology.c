/* Changing a machine while it runs: several changes of memory as one, and parts that leave.
 *
 * A device leaves by device_retire(): its memory stays until the machine goes, and handles to what
 * it had are closed (binding_sweep). A hook may have interrupted the very device, so there it
 * leaves by a timer that is due at once: between two instructions. Machine lock. */
#include "script/luadev.h"

#include "base/alloc.h"
#include "base/log.h"
#include "mem/mem.h"

#include <stdlib.h>
#include <string.h>

/* ---- one transaction ---- */

struct batch {
    struct script_vm *svm;
    struct universe *universe;
    struct lua_frame frame;
};

/* Nothing may wait in it, because waiting lets the cpus run: the frame says so, as that of a hook.
 */
static void batch_begin(struct batch *b)
{
    struct lua_frame *outer = b->universe->frame;
    bool limited = outer && outer->hook;
    b->frame = (struct lua_frame){ .outer = outer,
                                   .hook = true,
                                   .batch = true,
                                   .exhausted = limited && outer->exhausted,
                                   .budget = limited ? outer->budget : UINT64_MAX,
                                   .left = limited ? outer->left : UINT64_MAX };
    b->universe->frame = &b->frame;
    mem_begin(vm_machine(b->svm->vm)->mem);
}

static void batch_end(struct batch *b)
{
    struct lua_frame *outer = b->frame.outer;
    mem_commit(vm_machine(b->svm->vm)->mem);
    b->universe->frame = outer;
    if (outer && outer->hook) {
        outer->left = b->frame.left;
        outer->exhausted = b->frame.exhausted;
    }
}

/* { { name, ranges }, ... } of all address spaces. */
static int push_views(lua_State *L, struct script_vm *svm)
{
    struct mem *mem = vm_machine(svm->vm)->mem;
    lua_newtable(L);
    lua_Integer n = 0;
    for (struct address_space *as = NULL; (as = address_space_next(mem, as));) {
        lua_createtable(L, 0, 2);
        lua_pushstring(L, address_space_name(as));
        lua_setfield(L, -2, "name");
        push_flat_ranges(L, address_space_view(as));
        lua_setfield(L, -2, "ranges");
        lua_rawseti(L, -2, ++n);
    }
    return 1;
}

/* batch(f [, { diff = true }]): what f changes takes effect at once at its end, also when it
 * raises. */
int l_machine_batch(lua_State *L)
{
    static const char *const keys[] = { "diff", NULL };
    struct script_vm *svm = binding_any_vm(L, 1);
    luaL_checktype(L, 2, LUA_TFUNCTION);
    lua_settop(L, 3);
    bool diff = false;
    if (!lua_isnil(L, 3)) {
        check_keys(L, 3, "batch", keys);
        diff = table_bool(L, 3, "diff");
    }
    if (diff) {
        lua_getglobal(L, "require");
        lua_pushliteral(L, "perilune.topology");
        lua_call(L, 1, 1);
        lua_getfield(L, -1, "diff");
        push_views(L, svm);
    }
    struct batch b = { .svm = svm, .universe = svm->script->universe };
    lua_pushvalue(L, 2);
    batch_begin(&b);
    int result = lua_pcall(L, 0, 0, 0);
    batch_end(&b);
    if (result != LUA_OK)
        return lua_error(L);
    if (!diff)
        return 0;
    push_views(L, svm);
    lua_call(L, 2, 1);
    return 1;
}

/* ---- devices that leave ---- */

struct script_leaving {
    struct timer timer;
    struct script_vm *svm;
    struct device *d;
    struct script_leaving *next;
};

static void retire_tree(struct device *d)
{
    for (unsigned i = d->bus_count; i-- > 0;)
        while (d->buses[i]->device_count)
            retire_tree(d->buses[i]->devices[d->buses[i]->device_count - 1]);
    device_retire(d);
}

static void remove_now(lua_State *L, struct script_vm *svm, struct device *d)
{
    struct mem *mem = vm_machine(svm->vm)->mem;
    mem_begin(mem);
    retire_tree(d);
    mem_commit(mem);
    binding_sweep(L, svm);
}

static void forget_leaving(struct script_leaving *l)
{
    struct script_leaving **at = &l->svm->leaving;
    while (*at != l)
        at = &(*at)->next;
    *at = l->next;
    timer_cancel(&l->timer);
    free(l);
}

void script_forget_leaving(struct script_vm *svm)
{
    while (svm->leaving)
        forget_leaving(svm->leaving);
}

static int leave_body(lua_State *L)
{
    struct script_leaving *l = lua_touserdata(L, 1);
    if (script_device_alive(l->svm, l->d))
        remove_now(L, l->svm, l->d);
    return 0;
}

static void leave(void *opaque)
{
    struct script_leaving *l = opaque;
    struct universe *u = l->svm->script->universe;
    lua_State *L;
    if (hook_enter_main(u, leave_body, l, &L) != LUA_OK)
        log_host(LOG_ERROR, "script", "a device could not be removed: %s",
                 L ? lua_tostring(L, -1) : "no memory");
    if (L)
        hook_leave(u);
    forget_leaving(l);
}

static void leave_later(struct script_vm *svm, struct device *d)
{
    for (struct script_leaving *l = svm->leaving; l; l = l->next)
        if (l->d == d)
            return;
    struct script_leaving *l = ALLOC(struct script_leaving);
    l->svm = svm;
    l->d = d;
    l->next = svm->leaving;
    svm->leaving = l;
    struct clock *virtual = &vm_machine(svm->vm)->virtual;
    timer_init(&l->timer, virtual, leave, l);
    timer_set(&l->timer, clock_now(virtual));
}

/* Chips of the board hold pointers to each other. What sits in a slot does not, nor what is written
 * in Lua. */
static bool is_fixed(const struct device *d)
{
    const char *bus = device_bus_type(d);
    if (d->type->init != luadev_init && (!bus || strcmp(bus, "PCI") != 0))
        return true;
    for (unsigned i = 0; i < d->chain_len; i++)
        if (d->chain[i]->fixed)
            return true;
    return false;
}

/* Has the caller interrupted what the machine is doing? Callbacks of the loop have not. */
static bool in_hook(lua_State *L, struct universe *u)
{
    const struct lua_frame *f = u->frame;
    while (f && f->batch)
        f = f->outer;
    return f && f->hook && L != u->luv;
}

/* remove() → true when the device is gone; false when it goes once the hook is over */
int l_device_remove(lua_State *L)
{
    struct script_vm *svm = binding_vm(L, 1, META_DEVICE);
    struct device *d = binding_ptr(L, 1, META_DEVICE);
    struct error err = { 0 };
    if (is_fixed(d)) {
        error_set(&err,
                  "%s (%s) is wired to the board and cannot be removed: functions in PCI slots and "
                  "devices written in Lua can",
                  device_name(d), d->type->name);
        return script_raise(L, &err);
    }
    if (d->path && !d->realized)
        return luaL_error(L, "%s is being realized", device_name(d));
    bool later = in_hook(L, svm->script->universe);
    if (later)
        leave_later(svm, d);
    else
        remove_now(L, svm, d);
    lua_pushboolean(L, !later);
    return 1;
}

/* ---- networks that leave ---- */

/* The device one of whose properties is this backend, NULL: none. */
static struct device *user_of(struct machine *m, const struct net_port *port)
{
    for (struct device *d = m->devices; d; d = d->next)
        for (unsigned i = 0; i < d->chain_len; i++)
            for (const struct prop *p = d->chain[i]->props; p && p->name; p++)
                if (p->kind == PROP_NETDEV && *(void **)((char *)d + p->offset) == port)
                    return d;
    return NULL;
}

/* remove(): of a backend that no device uses. */
int l_port_remove(lua_State *L)
{
    struct script_vm *svm = binding_vm(L, 1, META_PORT);
    struct net_port *p = binding_ptr(L, 1, META_PORT);
    struct device *user = user_of(vm_machine(svm->vm), p);
    struct error err = { 0 };
    if (in_hook(L, svm->script->universe))
        error_set(&err, "network \"%s\" cannot be removed in a hook, which may have interrupted it",
                  p->id);
    else if (user)
        error_set(&err, "network \"%s\" is used by %s: remove that first", p->id,
                  device_name(user));
    else if (strcmp(p->ops->kind, "user") != 0)
        error_set(&err, "network port \"%s\" is of kind %s: only backends can be removed", p->id,
                  p->ops->kind);
    else {
        net_port_remove(p);
        binding_sweep(L, svm);
        return 0;
    }
    return script_raise(L, &err);
}
