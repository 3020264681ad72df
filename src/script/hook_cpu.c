/* Hooks on what cpus do: execution, linear accesses, exceptions, MSRs, CPUID. */
#include "script/script_hook.h"
#include "script/script_symbols.h"

#include "base/log.h"

#include <stddef.h>
#include <string.h>

/* ---- what callbacks are given and say ---- */

struct cpu_call {
    struct script_hook *h;
    const struct vm_event_info *info;
    enum vcpu_verdict verdict;
};

/* The cpu's handle is the hook's subject, once it has been made. */
static void push_cpu(lua_State *L, struct cpu_call *call)
{
    struct script_hook *h = call->h;
    if (LIKELY(h->cpu == call->info->vcpu)) {
        lua_pushvalue(L, HOOK_SUBJECT);
        return;
    }
    h->cpu = NULL;
    luaL_unref(L, LUA_REGISTRYINDEX, h->hook.subject);
    hook_set_subject(&h->hook, LUA_REFNIL);
    binding_push(L, h->svm, META_CPU, call->info->vcpu);
    lua_pushvalue(L, -1);
    hook_set_subject(&h->hook, luaL_ref(L, LUA_REGISTRYINDEX));
    h->cpu = call->info->vcpu;
}

/* `plain`: push and take are, once the handle is there. */
static enum vcpu_verdict run(struct script_hook *h, const struct vm_event_info *info,
                             hook_push_fn push, hook_take_fn take, bool plain)
{
    struct cpu_call call = { h, info, VCPU_GO };
    h->hook.plain = plain && h->cpu == info->vcpu;
    script_hook_call(h, push, take, &call);
    return call.verdict;
}

static void take_stop(lua_State *L, void *opaque)
{
    struct cpu_call *call = opaque;
    if (hook_says_stop(L, call->h))
        call->verdict = VCPU_STOP;
}

/* An integer replaces the value, false drops a write (or what a read or an exception would do). */
static void take_value(lua_State *L, void *opaque)
{
    struct cpu_call *call = opaque;
    const struct vcpu_backend *backend = call->info->vcpu->backend;
    if (hook_says_stop(L, call->h))
        call->verdict = VCPU_STOP;
    else if (call->info->vcpu->late && call->info->write && !lua_isnoneornil(L, HOOK_RESULT))
        luaL_error(
            L,
            "accel \"%s\" tells of a write by a hardware breakpoint when it has happened: it "
            "cannot be replaced or dropped; accel \"soft\" can",
            backend->name);
    else if (lua_isboolean(L, HOOK_RESULT) && !lua_toboolean(L, HOOK_RESULT))
        call->verdict = VCPU_DROP;
    else if (lua_isinteger(L, HOOK_RESULT) && call->info->value)
        *call->info->value = (uint64_t)lua_tointeger(L, HOOK_RESULT);
}

/* ---- filters ---- */

/* The general registers by name, as conditions know them. */
static const struct {
    const char *name;
    unsigned number;
} registers[] = {
#define REG(r)                                              \
    {                                                       \
#r, offsetof(struct kvm_regs, r) / sizeof(uint64_t) \
    }
    REG(rax), REG(rbx), REG(rcx), REG(rdx), REG(rsi), REG(rdi), REG(rbp), REG(rsp), REG(r8),
    REG(r9),  REG(r10), REG(r11), REG(r12), REG(r13), REG(r14), REG(r15), REG(rip), REG(rflags),
};

static unsigned check_register(lua_State *L, const char *name)
{
    const char *names[ARRAY_LEN(registers) + 1];
    for (size_t n = 0; n < ARRAY_LEN(registers); n++) {
        names[n] = registers[n].name;
        if (!strcmp(name, names[n]))
            return registers[n].number;
    }
    names[ARRAY_LEN(registers)] = NULL;
    luaL_error(L, "vm:on: \"when\": there is no register \"%s\"%s", name,
               suggest_name(name, names).text);
    return 0;
}

/* when = { reg = "rdi", eq = 5 }, or ne, lt, gt, with an optional mask */
static void read_condition(lua_State *L, struct vm_event *e, int filter)
{
    static const struct {
        const char *name;
        enum vm_condition_op op;
    } ops[] = {
        { "eq", VM_COND_EQ }, { "ne", VM_COND_NE }, { "lt", VM_COND_LT }, { "gt", VM_COND_GT }
    };
    static const char *const keys[] = { "reg", "eq", "ne", "lt", "gt", "mask", NULL };
    static const lua_Integer all = -1;
    if (lua_getfield(L, filter, "when") == LUA_TNIL) {
        lua_pop(L, 1);
        return;
    }
    int when = lua_gettop(L);
    check_keys(L, when, "vm:on: \"when\"", keys);
    const char *reg = table_string(L, when, "reg");
    if (!reg)
        luaL_error(L, "vm:on: \"when\" needs \"reg\"");
    e->reg = check_register(L, reg);
    e->mask = (uint64_t)filter_integer(L, when, "mask", &all);
    for (size_t n = 0; n < ARRAY_LEN(ops); n++) {
        if (lua_getfield(L, when, ops[n].name) != LUA_TNIL) {
            e->op = ops[n].op;
            e->operand = (uint64_t)luaL_checkinteger(L, -1);
        }
        lua_pop(L, 1);
    }
    if (e->op == VM_COND_NONE)
        luaL_error(L, "vm:on: \"when\" needs one of eq, ne, lt, gt");
    lua_settop(L, when - 1);
}

bool script_may_hold(const struct script_vm *svm, struct error *err)
{
    return vm_cpus_are_still(svm->vm) || loop_on_thread(svm->script->loop) ||
           error_set(err, "machine \"%s\" runs: a hook of another machine must pause it first",
                     vm_name(svm->vm));
}

bool script_hold(struct script_vm *svm)
{
    static const char reason[] = "hooks";
    if (vm_cpus_are_still(svm->vm))
        return false;
    struct script_aside saved = script_put_aside(svm);
    vm_pause(svm->vm, reason);
    script_take_up(svm, saved);
    return vm_state(svm->vm) == VM_PAUSED && !strcmp(vm_pause_reason(svm->vm), reason);
}

void script_let_go(struct script_vm *svm, bool held)
{
    struct error err;
    if (held && !vm_resume(svm->vm, &err))
        log_host(LOG_ERROR, "hooks", "%s", err.text);
}

static void install(lua_State *L, struct script_hook *h, int filter, enum vm_event_kind kind,
                    enum vcpu_verdict (*fire)(void *, const struct vm_event_info *))
{
    static const lua_Integer any_cpu = -1, none = 0;
    struct vm_event *e = &h->event;
    e->kind = kind;
    e->fire = fire;
    e->opaque = h;
    e->cpu = (int)filter_integer(L, filter, "cpu", &any_cpu);
    e->skip = (uint64_t)filter_integer(L, filter, "skip", &none);
    lua_getfield(L, filter, "cr3");
    e->by_cr3 = !lua_isnil(L, -1);
    e->cr3 = (uint64_t)luaL_optinteger(L, -1, 0);
    lua_pop(L, 1);
    read_condition(L, e, filter);
    struct error err = { 0 };
    vm_event_order(h->svm->vm, e);
    if (h->pending && !h->follows)
        return;
    script_hook_check_reach(L, h);
    bool held = script_hold(h->svm);
    bool added = h->pending || vm_event_add(h->svm->vm, e, &err);
    if (added && h->follows)
        script_modules_watch(h->svm, true);
    script_let_go(h->svm, held);
    if (!added)
        script_raise(L, &err);
}

static void uninstall(struct script_hook *h)
{
    bool held = !h->svm->closing && script_hold(h->svm);
    vm_event_remove(&h->event);
    h->pending = false;
    script_let_go(h->svm, held);
}

void script_hook_check_reach(lua_State *L, const struct script_hook *h)
{
    struct error err = { 0 };
    if (h->kind->uninstall == uninstall && !script_may_hold(h->svm, &err))
        script_raise(L, &err);
}

const char *script_hook_means(const struct script_hook *h)
{
    return h->kind->uninstall == uninstall ? vm_event_means(&h->event) : NULL;
}

#define CPU_KEYS                                                                               \
    { "cpu", NULL, "integer", "number of the cpu, from 0; all unless given" },                 \
        { "skip", NULL, "integer", "let so many matching events pass first" },                 \
        { "cr3", NULL, "integer", "only in the address space with this root of page tables" }, \
    {                                                                                          \
        "when", NULL, "{ reg =, eq =, ne =, lt =, gt =, mask = }",                             \
            "a register, compared (unsigned)"                                                  \
    }

#define SYMBOL_KEYS                                                                       \
    {                                                                                     \
        "pending", NULL, "boolean", "wait for a symbol that is not known yet: a module's" \
    }

/* filter_range() into the hook's event; without the key all from 0 to `last`. */
static void range_or_all(lua_State *L, struct script_hook *h, int filter, const char *key,
                         uint64_t last)
{
    if (!filter_range(L, filter, key, &h->event.first, &h->event.last)) {
        h->event.first = 0;
        h->event.last = last;
    }
}

/* ---- exec ---- */

static int push_exec(lua_State *L, void *opaque)
{
    push_cpu(L, opaque);
    return 1;
}

static enum vcpu_verdict fire_exec(void *opaque, const struct vm_event_info *info)
{
    struct script_hook *h = opaque;
    return run(h, info, LIKELY(h->cpu == info->vcpu) ? NULL : push_exec, take_stop, true);
}

static void install_exec(lua_State *L, struct script_hook *h, int filter)
{
    if (!script_filter_address(L, h, filter, "at"))
        luaL_error(L, "vm:on(\"exec\"): the filter needs \"at\": an address or { first, last }");
    install(L, h, filter, VM_EVENT_EXEC, fire_exec);
}

static const struct binding_member exec_keys[] = {
    { "at", NULL, "address or symbol or range", "linear address" },
    SYMBOL_KEYS,
    CPU_KEYS,
    { NULL },
};
const struct hook_kind hook_exec = { "exec", install_exec, uninstall,
                                     HOOK_DOC("exec", exec_keys, "(cpu) → \"stop\"",
                                              "an instruction is about to execute") };

/* ---- linear accesses ---- */

static int push_access(lua_State *L, void *opaque)
{
    struct cpu_call *call = opaque;
    const struct vm_event_info *info = call->info;
    lua_pushinteger(L, (lua_Integer)(info->address - call->h->event.first));
    lua_pushinteger(L, (lua_Integer)*info->value);
    lua_pushinteger(L, info->size);
    push_cpu(L, call);
    return 4;
}

static enum vcpu_verdict fire_access(void *opaque, const struct vm_event_info *info)
{
    return run(opaque, info, push_access, take_value, !info->vcpu->late);
}

static void install_access(lua_State *L, struct script_hook *h, int filter)
{
    static const lua_Integer one = 1;
    if (!script_filter_address(L, h, filter, "gva"))
        luaL_error(L, "vm:on: the filter needs \"gva\"");
    lua_Integer size = filter_integer(L, filter, "size", &one);
    if (h->event.first == h->event.last && size > 0)
        h->event.last += (uint64_t)size - 1;
    h->event.writes = h->kind == &hook_gva_write;
    h->event.reads = !h->event.writes;
    install(L, h, filter, VM_EVENT_ACCESS, fire_access);
}

static const struct binding_member access_keys[] = {
    { "gva", NULL, "address or symbol or range", "linear address" },
    { "size", NULL, "integer", "bytes from `gva` on" },
    SYMBOL_KEYS,
    CPU_KEYS,
    { NULL },
};
const struct hook_kind hook_gva_read = {
    "read", install_access, uninstall,
    HOOK_DOC("read.gva", access_keys,
             "(offset, value: integer, size: integer, cpu) → integer or false or \"stop\"",
             "a cpu's read of a linear address: vm:on(\"read\", { gva = })")
};
const struct hook_kind hook_gva_write = {
    "write", install_access, uninstall,
    HOOK_DOC("write.gva", access_keys,
             "(offset, value: integer, size: integer, cpu) → integer or false or \"stop\"",
             "a cpu's write to a linear address: vm:on(\"write\", { gva = })")
};

/* ---- exceptions ---- */

static int push_exception(lua_State *L, void *opaque)
{
    struct cpu_call *call = opaque;
    push_cpu(L, call);
    lua_pushinteger(L, (lua_Integer)call->info->address);
    lua_pushinteger(L, call->info->error);
    return 3;
}

static enum vcpu_verdict fire_exception(void *opaque, const struct vm_event_info *info)
{
    return run(opaque, info, push_exception, take_value, true);
}

static void install_exception(lua_State *L, struct script_hook *h, int filter)
{
    range_or_all(L, h, filter, "vector", 31);
    install(L, h, filter, VM_EVENT_EXCEPTION, fire_exception);
}

static const struct binding_member exception_keys[] = {
    { "vector", NULL, "integer or range", "which one; all unless given" },
    CPU_KEYS,
    { NULL },
};
const struct hook_kind hook_exception = {
    "exception", install_exception, uninstall,
    HOOK_DOC("exception", exception_keys, "(cpu, vector, error_code) → false or \"stop\"",
             "an exception is about to be delivered; false: it is not")
};

/* ---- MSRs ---- */

static int push_msr(lua_State *L, void *opaque)
{
    struct cpu_call *call = opaque;
    push_cpu(L, call);
    lua_pushinteger(L, (lua_Integer)call->info->address);
    lua_pushinteger(L, (lua_Integer)*call->info->value);
    lua_pushstring(L, call->info->write ? "write" : "read");
    return 4;
}

static enum vcpu_verdict fire_msr(void *opaque, const struct vm_event_info *info)
{
    return run(opaque, info, push_msr, take_value, false);
}

static void install_msr(lua_State *L, struct script_hook *h, int filter)
{
    range_or_all(L, h, filter, "index", UINT32_MAX);
    h->event.reads = h->event.writes = true;
    install(L, h, filter, VM_EVENT_MSR, fire_msr);
}

static const struct binding_member msr_keys[] = {
    { "index", NULL, "integer or range", "which one; all unless given" },
    CPU_KEYS,
    { NULL },
};
const struct hook_kind hook_msr = {
    "msr", install_msr, uninstall,
    HOOK_DOC("msr", msr_keys,
             "(cpu, index, value: integer, dir: string) → integer or false or \"stop\"",
             "an access to a model-specific register; dir is \"read\" or \"write\"")
};

/* ---- CPUID ---- */

static int push_cpuid(lua_State *L, void *opaque)
{
    struct cpu_call *call = opaque;
    push_cpu(L, call);
    lua_pushinteger(L, (lua_Integer)call->info->address);
    lua_pushinteger(L, call->info->subleaf);
    for (unsigned n = 0; n < 4; n++)
        lua_pushinteger(L, call->info->regs[n]);
    return 7;
}

/* Up to four integers replace eax, ebx, ecx, edx; nil leaves one as it is. */
static void take_cpuid(lua_State *L, void *opaque)
{
    struct cpu_call *call = opaque;
    take_stop(L, opaque);
    for (int n = 0; n < 4 && call->verdict == VCPU_GO; n++)
        if (lua_isinteger(L, HOOK_RESULT + n))
            call->info->regs[n] = (uint32_t)lua_tointeger(L, HOOK_RESULT + n);
}

static enum vcpu_verdict fire_cpuid(void *opaque, const struct vm_event_info *info)
{
    return run(opaque, info, push_cpuid, take_cpuid, true);
}

static void install_cpuid(lua_State *L, struct script_hook *h, int filter)
{
    range_or_all(L, h, filter, "leaf", UINT32_MAX);
    install(L, h, filter, VM_EVENT_CPUID, fire_cpuid);
}

static const struct binding_member cpuid_keys[] = {
    { "leaf", NULL, "integer or range", "which one; all unless given" },
    CPU_KEYS,
    { NULL },
};
const struct hook_kind hook_cpuid = {
    "cpuid", install_cpuid, uninstall,
    HOOK_DOC("cpuid", cpuid_keys,
             "(cpu, leaf: integer, subleaf: integer, eax: integer, ebx: integer, ecx: integer, "
             "edx: integer) → integer, integer, integer, integer",
             "CPUID is executed; integers replace eax, ebx, ecx, edx")
};
