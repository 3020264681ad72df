/* Hooks on time: counts of instructions, and the machine's clocks. */
#include "script/script_hook.h"

#include <string.h>

struct time_call {
    struct script_hook *h;
};

static int push_cpu0(lua_State *L, void *opaque)
{
    struct time_call *call = opaque;
    binding_push(L, call->h->svm, META_CPU, vm_vcpu(call->h->svm->vm, 0));
    return 1;
}

static int push_machine(lua_State *L, void *opaque)
{
    struct time_call *call = opaque;
    script_push_vm(L, call->h->svm);
    return 1;
}

static void take_stop(lua_State *L, void *opaque)
{
    struct time_call *call = opaque;
    if (hook_says_stop(L, call->h))
        vm_pause(call->h->svm->vm, "hook");
}

/* The next time is set first, so that the function may remove the hook. A period that the clock has
 * overtaken is caught up with once. */
static void fire(struct script_hook *h, hook_push_fn push)
{
    struct timer *t = &h->time.timer;
    if (h->time.period) {
        int64_t now = clock_now(t->clock);
        timer_set(t, now > INT64_MAX - h->time.period ? CLOCK_NEVER : now + h->time.period);
    }
    struct time_call call = { h };
    script_hook_call(h, push, take_stop, &call);
    if (!h->time.period)
        script_hook_remove(h);
}

static void fire_insn(void *opaque)
{
    fire(opaque, push_cpu0);
}

static void fire_timer(void *opaque)
{
    fire(opaque, push_machine);
}

static void cancel(struct script_hook *h)
{
    timer_cancel(&h->time.timer);
}

/* { at = count } once, when so many instructions have retired in all; { after = n } from now; {
 * every = n } again and again. */
static void install_insn(lua_State *L, struct script_hook *h, int filter)
{
    static const lua_Integer none = 0;
    struct clock *c = vm_instruction_clock(h->svm->vm);
    if (!c)
        luaL_error(L, "vm:on(\"insn\"): accel \"%s\" does not count instructions; \"soft\" does",
                   vm_backend(h->svm->vm)->name);
    lua_Integer at = filter_integer(L, filter, "at", &none),
                after = filter_integer(L, filter, "after", &none),
                every = filter_integer(L, filter, "every", &none);
    if ((at != 0) + (after != 0) + (every != 0) != 1 || at < 0 || after < 0 || every < 0)
        luaL_error(L, "vm:on(\"insn\"): give one of at, after, every, as a positive count");
    int64_t now = clock_now(c), step = after + every;
    if (at && at < now)
        luaL_error(L, "vm:on(\"insn\"): %I instructions have retired already", (lua_Integer)now);
    timer_init(&h->time.timer, c, fire_insn, h);
    h->time.period = every;
    timer_set(&h->time.timer, at ? at : step > INT64_MAX - now ? CLOCK_NEVER : now + step);
}

static const struct binding_member insn_keys[] = {
    { "at", NULL, "integer", "instructions retired in all" },
    { "after", NULL, "integer", "instructions from now on" },
    { "every", NULL, "integer", "again and again after so many" },
    { NULL },
};
const struct hook_kind hook_insn = { "insn", install_insn, cancel,
                                     HOOK_DOC("insn", insn_keys, "(cpu) → \"stop\"",
                                              "so many instructions have retired") };

/* ---- vm:at(), vm:every() ---- */

static const struct hook_kind hook_timer = { .event = "timer", .uninstall = cancel };

int64_t check_duration(lua_State *L, int index)
{
    if (lua_type(L, index) != LUA_TSTRING) {
        int whole;
        lua_Integer ns = lua_tointegerx(L, index, &whole);
        if (!whole)
            luaL_error(L,
                       "%s is not a time; write a whole number of nanoseconds, or a number with "
                       "ns, us, ms, s or min in quotes",
                       luaL_tolstring(L, index, NULL));
        luaL_argcheck(L, ns >= 0, index, "time does not go back");
        return ns;
    }
    const char *text = lua_tostring(L, index);
    int64_t parsed;
    if (parse_time(text, &parsed))
        return parsed;
    luaL_error(L, "\"%s\" is not a time; write nanoseconds, or a number with ns, us, ms, s or min",
               text);
    return 0;
}

static struct clock *check_clock(lua_State *L, struct script_vm *svm, int index)
{
    static const char *const names[] = { "virtual", "virtual_rt", "host", "realtime", NULL };
    struct machine *m = vm_machine(svm->vm);
    struct clock *const clocks[] = { &m->virtual, &m->virtual_rt, &m->host,
                                     loop_realtime(m->loop) };
    return clocks[luaL_checkoption(L, index, "virtual", names)];
}

/* (time, f [, clock or { clock =, on_error =, name = }]) */
static int add_timer(lua_State *L, bool periodic)
{
    static const char *const keys[] = { "clock", "on_error", "name", NULL };
    struct script_vm *svm = binding_vm(L, 1, META_VM);
    int64_t t = check_duration(L, 2);
    luaL_checktype(L, 3, LUA_TFUNCTION);
    lua_settop(L, 4);
    enum hook_policy policy = HOOK_PAUSE;
    const char *name = NULL;
    if (lua_istable(L, 4)) {
        check_keys(L, 4, periodic ? "vm:every" : "vm:at", keys);
        policy = script_check_policy(L, 4);
        name = table_string(L, 4, "name");
        lua_getfield(L, 4, "clock");
        lua_replace(L, 4);
    }
    struct clock *c = check_clock(L, svm, 4);
    if (periodic && t < 1)
        luaL_argerror(L, 2, "a period must be at least 1 ns");
    struct script_hook *h = script_hook_new(L, svm, &hook_timer, 3);
    hook_init(&h->hook, L, 3, name ? name : "timer", policy, &svm->target);
    timer_init(&h->time.timer, c, fire_timer, h);
    h->time.period = periodic ? t : 0;
    int64_t now = clock_now(c);
    const struct lua_frame *frame = universe_of(L)->frame;
    if (!periodic && t <= now && frame && frame->hook)
        t = now + 1; /* one that makes itself again must let time pass */
    timer_set(&h->time.timer, periodic ? t > INT64_MAX - now ? CLOCK_NEVER : now + t : t);
    script_hook_installed(h);
    return 1;
}

/* at(time, f [, clock or options]) → hook: f(vm) once, at an absolute time of the clock. */
int l_vm_at(lua_State *L)
{
    return add_timer(L, false);
}

/* every(period, f [, clock or options]) → hook */
int l_vm_every(lua_State *L)
{
    return add_timer(L, true);
}
