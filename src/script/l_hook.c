/* vm:on() and hook objects. */
#include "script/script_hook.h"

#include <string.h>

/* All kinds, in the order in which help lists them. "read" and "write" become those of linear
 * addresses when the filter says gva. */
static const struct hook_kind *const kinds[] = {
    &hook_exec, &hook_insn,  &hook_read,   &hook_write, &hook_pio,    &hook_irq,   &hook_exception,
    &hook_msr,  &hook_cpuid, &hook_packet, &hook_dma,   &hook_serial, &hook_state, &hook_symbols,
};

/* Keys of every filter. */
static const struct binding_member any_event[] = {
    { "on_error", NULL, "\"pause\" or \"disable\" or \"abort\"",
      "what happens when the function raises; \"pause\" unless given" },
    { "name", NULL, "string", "what messages call the hook" },
    { NULL },
};

static const struct binding_type any_event_type = {
    .meta = "event",
    .label = "table",
    .help = "what the filters of all events know",
    .properties = any_event,
};

/* ---- filters ---- */

lua_Integer filter_integer(lua_State *L, int filter, const char *key, const lua_Integer *fallback)
{
    lua_Integer v;
    int isnum;
    if (lua_getfield(L, filter, key) == LUA_TNIL) {
        if (!fallback)
            luaL_error(L, "vm:on: the filter needs \"%s\"", key);
        v = *fallback;
    } else {
        v = lua_tointegerx(L, -1, &isnum);
        if (!isnum)
            luaL_error(L, "vm:on: \"%s\" must be an integer, not a %s", key, luaL_typename(L, -1));
    }
    lua_pop(L, 1);
    return v;
}

void *filter_object(lua_State *L, int filter, const char *key, const char *meta)
{
    lua_getfield(L, filter, key);
    if (!luaL_testudata(L, -1, meta))
        luaL_error(L, "vm:on: the filter needs \"%s\" as an object, not a %s", key,
                   lua_isuserdata(L, -1) ? luaL_tolstring(L, -1, NULL) : luaL_typename(L, -1));
    void *object = binding_ptr(L, -1, meta);
    lua_pop(L, 1);
    return object;
}

bool filter_range(lua_State *L, int filter, const char *key, uint64_t *first, uint64_t *last)
{
    int isnum = 1, isnum2 = 1;
    if (lua_getfield(L, filter, key) == LUA_TNIL) {
        lua_pop(L, 1);
        return false;
    }
    if (lua_istable(L, -1)) {
        lua_rawgeti(L, -1, 1);
        lua_rawgeti(L, -2, 2);
        *first = (uint64_t)lua_tointegerx(L, -2, &isnum);
        *last = (uint64_t)lua_tointegerx(L, -1, &isnum2);
        lua_pop(L, 2);
    } else {
        *first = *last = (uint64_t)lua_tointegerx(L, -1, &isnum);
    }
    if (!isnum || !isnum2)
        luaL_error(L, "vm:on: \"%s\" must be an integer or { first, last }", key);
    if (*first > *last)
        luaL_error(L, "vm:on: \"%s\" must not end before it begins", key);
    lua_pop(L, 1);
    return true;
}

static void check_filter(lua_State *L, const struct hook_kind *kind, int filter)
{
    const char *known[32];
    size_t n = binding_key_names(kind->doc.properties, known, ARRAY_LEN(known) - 1);
    binding_key_names(any_event, known + n, ARRAY_LEN(known) - 1 - n);
    check_keys(L, filter, lua_pushfstring(L, "vm:on(\"%s\")", kind->event), known);
    lua_pop(L, 1);
}

void script_push_vm(lua_State *L, struct script_vm *svm)
{
    lua_rawgetp(L, LUA_REGISTRYINDEX, svm);
    lua_getfield(L, -1, "vm");
    lua_remove(L, -2);
}

/* ---- vm:on() ---- */

static const struct hook_kind *find_kind(lua_State *L, const char *event, int filter)
{
    const char *names[ARRAY_LEN(kinds) + 1];
    for (size_t n = 0; n < ARRAY_LEN(kinds); n++) {
        names[n] = kinds[n]->event;
        if (strcmp(names[n], event))
            continue;
        bool linear = false;
        if ((kinds[n] == &hook_read || kinds[n] == &hook_write) && lua_istable(L, filter)) {
            linear = lua_getfield(L, filter, "gva") != LUA_TNIL;
            lua_pop(L, 1);
        }
        if (linear)
            return kinds[n] == &hook_read ? &hook_gva_read : &hook_gva_write;
        return kinds[n];
    }
    if (!strcmp(event, "block"))
        luaL_error(L, "vm:on: there are no \"block\" events, because there are no disks yet");
    names[ARRAY_LEN(kinds)] = NULL;
    struct error err = { 0 };
    error_set(&err, "vm:on: there is no event \"%s\"%s", event, suggest_name(event, names).text);
    script_raise(L, &err);
    return NULL;
}

enum hook_policy script_check_policy(lua_State *L, int filter)
{
    static const char *const names[] = { "pause", "disable", "abort", NULL };
    lua_getfield(L, filter, "on_error");
    int policy = check_choice(L, "on_error", "pause", names);
    lua_pop(L, 1);
    return (enum hook_policy)policy;
}

static int run_install(lua_State *L)
{
    struct script_hook *h = lua_touserdata(L, 1);
    h->kind->install(L, h, 2);
    return 0;
}

/* Install, or leave nothing behind and raise with the caller's place. */
static void install(lua_State *L, struct script_hook *h, int filter)
{
    lua_pushcfunction(L, run_install);
    lua_pushlightuserdata(L, h);
    lua_pushvalue(L, filter);
    if (lua_pcall(L, 2, 0, 0) == LUA_OK)
        return;
    script_hook_discard(h);
    if (lua_type(L, -1) == LUA_TSTRING) {
        luaL_where(L, 1);
        lua_insert(L, -2);
        lua_concat(L, 2);
    }
    lua_error(L);
}

/* on(event, filter, f) → hook */
int l_vm_on(lua_State *L)
{
    struct script_vm *svm = binding_vm(L, 1, META_VM);
    const char *event = luaL_checkstring(L, 2);
    const struct hook_kind *kind = find_kind(L, event, 3);
    check_filter(L, kind, 3);
    luaL_checktype(L, 4, LUA_TFUNCTION);
    enum hook_policy policy = script_check_policy(L, 3);
    const char *name = table_string(L, 3, "name");
    name = name ? name : lua_pushfstring(L, "hook on %s", event);
    struct script_hook *h = script_hook_new(L, svm, kind, 4);
    int index = lua_gettop(L);
    hook_init(&h->hook, L, 4, name, policy, &svm->target);
    install(L, h, 3);
    script_hook_installed(h);
    lua_pushvalue(L, index);
    return 1;
}

/* hooks() → { hook, ... } in order of adding */
int l_vm_hooks(lua_State *L)
{
    struct script_vm *svm = binding_vm(L, 1, META_VM);
    lua_newtable(L);
    int list = lua_gettop(L);
    lua_rawgetp(L, LUA_REGISTRYINDEX, svm);
    if (lua_getfield(L, -1, "hooks") != LUA_TTABLE)
        lua_newtable(L);
    lua_Integer n = 0;
    for (struct script_hook *h = svm->hooks; h; h = h->next) {
        lua_rawgetp(L, -1, h);
        lua_rawseti(L, list, ++n);
    }
    lua_settop(L, list);
    return 1;
}

/* Features that are no events of enum vcpu_event. */
enum {
    COUNTS = -1,
    ALWAYS = -2,
    INJECTS = -3,
    MACHINE_CHECKS = -4,
    SKEWS = -5,
    ALL_LINES = -6,
    STEPS = -7
};

static bool has_feature(struct vm *vm, int feature)
{
    const struct vcpu_backend *b = vm_backend(vm);
    switch (feature) {
    case ALWAYS:
        return true;
    case COUNTS:
        return b->counts_instructions;
    case INJECTS:
        return b->inject != NULL;
    case MACHINE_CHECKS:
        return b->machine_check != NULL;
    case ALL_LINES:
        return vm_irqchip(vm) == IRQCHIP_USER;
    case STEPS:
        return vm_can_step(vm, NULL);
    case SKEWS:
        return b->skew_tsc != NULL;
    default:
        return vm_event_supported(vm, (enum vcpu_event)feature, NULL);
    }
}

/* supports("hook.exec") → true or false, for hook.NAME of every event. */
int l_vm_supports(lua_State *L)
{
    static const struct {
        const char *name;
        int event; /* of enum vcpu_event, or one of these */
    } features[] = {
        { "hook.exec", VCPU_EVENT_EXEC },
        { "hook.insn", COUNTS },
        { "hook.read", ALWAYS },
        { "hook.write", ALWAYS },
        { "hook.read.gva", VCPU_EVENT_READ },
        { "hook.write.gva", VCPU_EVENT_WRITE },
        { "hook.pio", ALWAYS },
        { "hook.irq", ALWAYS },
        { "hook.irq.chips", ALL_LINES },
        { "hook.exception", VCPU_EVENT_EXCEPTION },
        { "hook.msr", VCPU_EVENT_MSR },
        { "hook.cpuid", VCPU_EVENT_CPUID },
        { "hook.packet", ALWAYS },
        { "hook.dma", ALWAYS },
        { "hook.serial", ALWAYS },
        { "hook.timer", ALWAYS },
        { "hook.state", ALWAYS },
        { "hook.symbols", ALWAYS },
        { "inject", INJECTS },
        { "mce", MACHINE_CHECKS },
        { "nmi", ALWAYS },
        { "skew", SKEWS },
        { "stall", ALWAYS },
        { "step", STEPS },
        { "deterministic", COUNTS },
    };
    struct script_vm *svm = binding_vm(L, 1, META_VM);
    const char *name = luaL_checkstring(L, 2);
    const char *names[ARRAY_LEN(features) + 1];
    for (size_t n = 0; n < ARRAY_LEN(features); n++) {
        names[n] = features[n].name;
        if (strcmp(names[n], name))
            continue;
        lua_pushboolean(L, has_feature(svm->vm, features[n].event));
        return 1;
    }
    names[ARRAY_LEN(features)] = NULL;
    return luaL_error(L, "vm:supports: there is no feature \"%s\"%s", name,
                      suggest_name(name, names).text);
}

/* ---- the object ---- */

static struct script_hook *check_hook(lua_State *L)
{
    return binding_ptr(L, 1, META_HOOK);
}

static int l_hook_remove(lua_State *L)
{
    struct script_hook *h = check_hook(L);
    script_hook_check_reach(L, h);
    script_hook_remove(h);
    return 0;
}

static int get_hits(lua_State *L)
{
    struct script_hook *h = check_hook(L);
    lua_pushinteger(L, (lua_Integer)(h->hook.universe ? h->hook.hits : h->hits));
    return 1;
}

static int get_errors(lua_State *L)
{
    struct script_hook *h = check_hook(L);
    lua_pushinteger(L, (lua_Integer)(h->hook.universe ? h->hook.errors : h->errors));
    return 1;
}

static int get_cost(lua_State *L)
{
    struct script_hook *h = check_hook(L);
    lua_pushinteger(L, h->hook.universe ? hook_cost_ns(&h->hook) : h->cost_ns);
    return 1;
}

static int get_event(lua_State *L)
{
    lua_pushstring(L, check_hook(L)->kind->event);
    return 1;
}

static int get_stopped(lua_State *L)
{
    const struct script_hook *h = check_hook(L);
    lua_pushboolean(L, h->svm->stopped_by == h && vm_state(h->svm->vm) == VM_PAUSED &&
                           !strcmp(vm_pause_reason(h->svm->vm), "hook"));
    return 1;
}

/* Where its function was written. */
static int get_where(lua_State *L)
{
    const struct script_hook *h = check_hook(L);
    lua_Debug ar;
    if (!h->hook.universe) {
        lua_pushnil(L);
        return 1;
    }
    lua_rawgeti(L, LUA_REGISTRYINDEX, h->hook.ref);
    lua_getinfo(L, ">S", &ar);
    lua_pushfstring(L, ar.linedefined > 0 ? "%s:%d" : "%s", ar.short_src, ar.linedefined);
    return 1;
}

static int get_installed(lua_State *L)
{
    lua_pushboolean(L, check_hook(L)->installed);
    return 1;
}

static int get_pending(lua_State *L)
{
    lua_pushboolean(L, check_hook(L)->pending);
    return 1;
}

static int get_symbol(lua_State *L)
{
    lua_pushstring(L, check_hook(L)->symbol);
    return 1;
}

static int get_means(lua_State *L)
{
    const struct script_hook *h = check_hook(L);
    lua_pushstring(L, h->installed && !h->pending ? script_hook_means(h) : NULL);
    return 1;
}

static int hook_tostring(lua_State *L)
{
    struct script_hook *h = check_hook(L);
    lua_pushfstring(L, "hook on %s, %I hits%s", h->kind->event,
                    (lua_Integer)(h->hook.universe ? h->hook.hits : h->hits),
                    !h->installed      ? ", removed"
                    : h->pending       ? ", pending"
                    : h->hook.disabled ? ", disabled after an error"
                                       : "");
    return 1;
}

static const struct binding_member methods[] = {
    { "remove", l_hook_remove, "()", "end it; safe inside of it" },
    { NULL },
};

static const struct binding_member properties[] = {
    { "event", get_event, "string", "what it listens to" },
    { "hits", get_hits, "integer", "how often it was called" },
    { "errors", get_errors, "integer", "how often it raised" },
    { "cost_ns", get_cost, "integer", "time spent in it, ns" },
    { "installed", get_installed, "boolean", "false once it was removed" },
    { "pending", get_pending, "boolean",
      "its symbol is nowhere yet: the kernel or the module is not "
      "there" },
    { "symbol", get_symbol, "string or nil", "the symbol that it follows" },
    { "means", get_means, "string or nil",
      "what serves it on KVM: \"hardware\", \"software\", \"tap\", \"filter\", \"pending\" while "
      "its "
      "address is not mapped; nil where there is but one way" },
    { "where", get_where, "string", "where its function was written, file:line" },
    { "stopped", get_stopped, "boolean", "it has paused the machine, which is paused since" },
    { NULL },
};

static const struct binding_type hook_type = {
    .meta = META_HOOK,
    .label = "hook",
    .help = "a function that is called at events",
    .methods = methods,
    .properties = properties,
    .tostring = hook_tostring,
};

void l_hook_open(lua_State *L)
{
    binding_type_new(L, &hook_type);
    binding_document(L, &any_event_type);
    for (size_t n = 0; n < ARRAY_LEN(kinds); n++)
        binding_document(L, &kinds[n]->doc);
    binding_document(L, &hook_gva_read.doc);
    binding_document(L, &hook_gva_write.doc);
}
