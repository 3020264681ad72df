/* Virtual machines as Lua sees them: running them and looking at them. */
#include "script/script_hook.h"
#include "script/script_symbols.h"

#include "base/bits.h"
#include "mem/mem.h"

#include <nettle/sha2.h>
#include <stdio.h>

static struct script_vm *check_vm(lua_State *L)
{
    return binding_vm(L, 1, META_VM);
}

/* ---- making ---- */

static const char *const irqchips[] = {
    [IRQCHIP_USER] = "user",
    [IRQCHIP_SPLIT] = "split",
    [IRQCHIP_KERNEL] = "kernel",
    [IRQCHIP_AUTO] = "auto",
    NULL,
};

/* new_vm { name, accel, irqchip, idle, ns_per_instruction, epoch_ns, seed, no_reboot,
 * no_shutdown } → vm, machine */
int l_core_new_vm(lua_State *L)
{
    static const char *const keys[] = {
        "name",     "accel", "irqchip",   "idle",        "ns_per_instruction",
        "epoch_ns", "seed",  "no_reboot", "no_shutdown", NULL
    };
    check_keys(L, 1, "new_vm", keys);
    static const char *const idles[] = { "sleep", "warp", NULL };
    lua_getfield(L, 1, "idle");
    int idle = check_choice(L, "idle", "sleep", idles);
    lua_getfield(L, 1, "irqchip");
    int irqchip = check_choice(L, "irqchip", "user", irqchips);
    lua_getfield(L, 1, "ns_per_instruction");
    lua_Integer ns = luaL_optinteger(L, -1, 0);
    luaL_argcheck(L, ns >= 0 && ns <= 1000000, 1, "ns_per_instruction must be from 0 to 1000000");
    lua_getfield(L, 1, "epoch_ns");
    lua_Integer epoch = lua_isnil(L, -1) ? loop_host_ns() : luaL_checkinteger(L, -1);
    lua_getfield(L, 1, "seed");
    lua_Integer seed = luaL_optinteger(L, -1, 0);
    const char *name = table_string(L, 1, "name");
    const char *accel = table_string(L, 1, "accel");
    struct vm_config config = {
        .name = name ? name : "vm",
        .accel = accel ? accel : "soft",
        .irqchip = (enum irqchip)irqchip,
        .idle = idle ? VM_IDLE_WARP : VM_IDLE_SLEEP,
        .ns_per_instruction = (uint64_t)ns,
        .epoch_ns = epoch,
        .seed = (uint64_t)seed,
        .no_reboot = table_bool(L, 1, "no_reboot"),
        .no_shutdown = table_bool(L, 1, "no_shutdown"),
    };
    struct script_vm *svm = script_vm_new(L, &config);
    binding_push(L, svm, META_MACHINE, vm_machine(svm->vm));
    return 2;
}

static int l_vm_close(lua_State *L)
{
    struct script_vm *svm = luaL_checkudata(L, 1, META_VM);
    if (!svm->vm)
        return 0;
    struct lua_frame *saved = universe_block_begin(L, "vm:close()");
    script_vm_close(svm);
    universe_block_end(L, saved);
    lua_pushnil(L);
    lua_rawsetp(L, LUA_REGISTRYINDEX, svm);
    return 0;
}

/* ---- running ---- */

/* Returns when the machine no longer runs: it has ended, or was paused. */
static int l_vm_run(lua_State *L)
{
    struct script_vm *svm = check_vm(L);
    struct error err = { 0 };
    struct lua_frame *saved = universe_block_begin(L, "vm:run()");
    bool ok = vm_run(svm->vm, &err);
    universe_block_end(L, saved);
    if (!ok)
        return script_raise(L, &err);
    if (svm->script->exit_requested)
        return luaL_error(L, "the script asked to exit");
    lua_settop(L, 1);
    return 1;
}

static int l_vm_step(lua_State *L)
{
    struct script_vm *svm = check_vm(L);
    lua_Integer count = luaL_optinteger(L, 2, 1);
    luaL_argcheck(L, count > 0, 2, "a number of instructions, at least 1");
    struct error err = { 0 };
    struct vcpu *v = lua_isnoneornil(L, 3) ? NULL : binding_ptr(L, 3, META_CPU);
    if (v && binding_vm(L, 3, META_CPU) != svm)
        return luaL_argerror(L, 3, "the cpu is another machine's");
    struct lua_frame *saved = universe_block_begin(L, "vm:step()");
    bool ok = vm_step(svm->vm, v ? (int)v->port->index : -1, (uint64_t)count, &err);
    universe_block_end(L, saved);
    if (!ok)
        return script_raise(L, &err);
    if (svm->script->exit_requested)
        return luaL_error(L, "the script asked to exit");
    lua_settop(L, 1);
    return 1;
}

static bool has_ended(void *opaque)
{
    struct script_vm *svm = opaque;
    return svm->script->exit_requested || vm_state(svm->vm) == VM_ENDED;
}

/* Serve the loop until the machine has ended, whoever ends it. */
static int l_vm_wait(lua_State *L)
{
    struct script_vm *svm = check_vm(L);
    bool ok = universe_wait(L, "vm:wait()", has_ended, svm);
    if (svm->script->exit_requested)
        return luaL_error(L, "the script asked to exit");
    return ok ? 0 : luaL_error(L, "interrupted");
}

static int l_vm_resume(lua_State *L)
{
    struct script_vm *svm = check_vm(L);
    struct error err = { 0 };
    if (!vm_resume(svm->vm, &err))
        return script_raise(L, &err);
    return 0;
}

/* pause() and stop() may be called in hooks. */
static int l_vm_pause(lua_State *L)
{
    struct script_vm *svm = check_vm(L);
    const char *reason = luaL_optstring(L, 2, "user");
    struct script_aside saved = script_put_aside(svm);
    vm_pause(svm->vm, reason);
    script_take_up(svm, saved);
    return 0;
}

/* stop(reason, status): end the run. */
static int l_vm_stop(lua_State *L)
{
    struct script_vm *svm = check_vm(L);
    const char *reason = luaL_optstring(L, 2, "stopped");
    int status = (int)luaL_optinteger(L, 3, 0);
    struct script_aside saved = script_put_aside(svm);
    vm_end(svm->vm, reason, status);
    script_take_up(svm, saved);
    return 0;
}

static int l_vm_reset(lua_State *L)
{
    struct script_vm *svm = check_vm(L);
    struct error err = { 0 };
    struct lua_frame *saved = universe_block_begin(L, "vm:reset()");
    bool ok = vm_reset(svm->vm, &err);
    svm->was_reset = true;
    universe_block_end(L, saved);
    if (!ok)
        return script_raise(L, &err);
    return 0;
}

/* A machine that stands still is reset at once, in a callback too. */
static int l_vm_request_reset(lua_State *L)
{
    struct script_vm *svm = check_vm(L);
    struct error err = { 0 };
    if (vm_state(svm->vm) == VM_RUNNING) {
        vm_ask_reset(svm->vm, "script");
        return 0;
    }
    struct script_aside saved = script_put_aside(svm);
    bool ok = vm_reset(svm->vm, &err);
    svm->was_reset = true;
    script_take_up(svm, saved);
    return ok ? 0 : script_raise(L, &err);
}

/* ---- what happens at a reset ---- */

static int push_vm(lua_State *L, void *opaque)
{
    script_push_vm(L, opaque);
    return 1;
}

static bool run_boot_hook(void *opaque, struct vm *vm, struct error *err)
{
    struct script_vm *svm = opaque;
    bool ok = hook_call(&svm->boot, push_vm, NULL, svm, err);
    script_kernel_reset(svm);
    return ok;
}

/* on_reset(f): f(vm) is called at every reset, after devices and cpus were reset: it puts firmware
 * or a kernel in place. An error in it ends the machine. */
static int l_vm_on_reset(lua_State *L)
{
    struct script_vm *svm = check_vm(L);
    luaL_checktype(L, 2, LUA_TFUNCTION);
    hook_fini(&svm->boot);
    hook_init(&svm->boot, L, 2, "reset", HOOK_ABORT, &svm->target);
    vm_set_boot(svm->vm, run_boot_hook, svm);
    return 0;
}

/* ---- time without cpus ---- */

/* advance(ns): let virtual time pass on a machine that has no cpu, firing timers as they come due.
 */
static int l_vm_advance(lua_State *L)
{
    struct script_vm *svm = check_vm(L);
    struct machine *m = vm_machine(svm->vm);
    lua_Integer ns = luaL_checkinteger(L, 2);
    luaL_argcheck(L, ns >= 0, 2, "time does not go back");
    if (m->cpu_count)
        return luaL_error(
            L, "vm:advance() is for machines without a cpu: here the cpus make time pass");
    if (svm->advancing)
        return luaL_error(L, "vm:advance() is under way: what it fires cannot advance time itself");
    svm->advancing = true;
    vm_advance(svm->vm, ns);
    svm->advancing = false;
    return 0;
}

/* ---- looking ---- */

static void set_integer(lua_State *L, const char *name, uint64_t v)
{
    lua_pushinteger(L, (lua_Integer)v);
    lua_setfield(L, -2, name);
}

static int l_vm_stats(lua_State *L)
{
    struct script_vm *svm = check_vm(L);
    struct vcpu_stats s = { 0 };
    vm_get_stats(svm->vm, &s);
    lua_createtable(L, 0, 8);
    set_integer(L, "instructions", s.instructions);
    set_integer(L, "interrupts", s.interrupts);
    set_integer(L, "exceptions", s.exceptions);
    set_integer(L, "blocks_decoded", s.blocks_decoded);
    set_integer(L, "virtual_ns", (uint64_t)clock_now(&vm_machine(svm->vm)->virtual));
    set_integer(L, "wall_ns", (uint64_t)vm_wall_ns(svm->vm));
    set_integer(L, "idle_skipped_ns", (uint64_t)vm_idle_skipped_ns(svm->vm));
    lua_createtable(L, 0, 6);
    set_integer(L, "pio", s.exits_pio);
    set_integer(L, "mmio", s.exits_mmio);
    set_integer(L, "halt", s.exits_halt);
    set_integer(L, "shutdown", s.exits_shutdown);
    set_integer(L, "kick", s.exits_kick);
    set_integer(L, "other", s.exits_other);
    lua_setfield(L, -2, "exits");
    return 1;
}

/* SHA-256 over all RAM and ROM in order of creation, as text. */
static int l_vm_ram_sha256(lua_State *L)
{
    struct script_vm *svm = check_vm(L);
    struct mem *mem = vm_machine(svm->vm)->mem;
    struct sha256_ctx ctx;
    sha256_init(&ctx);
    for (uint64_t at = 0; at < mem_ram_size(mem);) {
        struct region *r = mem_ram_region(mem, at);
        if (r) {
            sha256_update(&ctx, r->host_size, r->host);
            at = r->ram_addr + r->host_size;
        } else {
            at += RAM_PAGE_SIZE;
        }
    }
    uint8_t digest[SHA256_DIGEST_SIZE];
    char text[2 * SHA256_DIGEST_SIZE + 1];
    sha256_digest(&ctx, sizeof digest, digest);
    for (size_t i = 0; i < sizeof digest; i++)
        snprintf(text + 2 * i, 3, "%02x", digest[i]);
    lua_pushstring(L, text);
    return 1;
}

static int get_state(lua_State *L)
{
    static const char *const names[] = { "created", "paused", "running", "ended" };
    lua_pushstring(L, names[vm_state(check_vm(L)->vm)]);
    return 1;
}

static int get_exit_reason(lua_State *L)
{
    lua_pushstring(L, vm_exit_reason(check_vm(L)->vm));
    return 1;
}

static int get_exit_status(lua_State *L)
{
    lua_pushinteger(L, vm_exit_status(check_vm(L)->vm));
    return 1;
}

static int get_pause_reason(lua_State *L)
{
    lua_pushstring(L, vm_pause_reason(check_vm(L)->vm));
    return 1;
}

static int get_instructions(lua_State *L)
{
    struct vcpu_stats s = { 0 };
    vm_get_stats(check_vm(L)->vm, &s);
    lua_pushinteger(L, (lua_Integer)s.instructions);
    return 1;
}

static int get_name(lua_State *L)
{
    lua_pushstring(L, vm_name(check_vm(L)->vm));
    return 1;
}

static int get_irqchip(lua_State *L)
{
    lua_pushstring(L, irqchips[vm_irqchip(check_vm(L)->vm)]);
    return 1;
}

static int get_accel(lua_State *L)
{
    lua_pushstring(L, vm_backend(check_vm(L)->vm)->name);
    return 1;
}

static int get_machine(lua_State *L)
{
    struct script_vm *svm = check_vm(L);
    binding_push(L, svm, META_MACHINE, vm_machine(svm->vm));
    return 1;
}

static int get_memory(lua_State *L)
{
    struct script_vm *svm = check_vm(L);
    binding_push(L, svm, META_SPACE, vm_machine(svm->vm)->memory);
    return 1;
}

static int get_io(lua_State *L)
{
    struct script_vm *svm = check_vm(L);
    binding_push(L, svm, META_SPACE, vm_machine(svm->vm)->io);
    return 1;
}

static int get_main_bus(lua_State *L)
{
    struct script_vm *svm = check_vm(L);
    binding_push(L, svm, META_BUS, &vm_machine(svm->vm)->main_bus);
    return 1;
}

/* An array from 1. */
static int get_cpus(lua_State *L)
{
    struct script_vm *svm = check_vm(L);
    lua_newtable(L);
    for (unsigned i = 0; vm_vcpu(svm->vm, i); i++) {
        binding_push(L, svm, META_CPU, vm_vcpu(svm->vm, i));
        lua_rawseti(L, -2, i + 1);
    }
    return 1;
}

/* { virtual = clock, ... } */
static int get_clock(lua_State *L)
{
    struct script_vm *svm = check_vm(L);
    struct machine *m = vm_machine(svm->vm);
    struct {
        const char *name;
        struct clock *c;
    } clocks[] = { { "virtual", &m->virtual },
                   { "virtual_rt", &m->virtual_rt },
                   { "host", &m->host },
                   { "realtime", loop_realtime(svm->script->loop) } };
    lua_createtable(L, 0, ARRAY_LEN(clocks));
    for (size_t i = 0; i < ARRAY_LEN(clocks); i++) {
        binding_push(L, svm, META_CLOCK, clocks[i].c);
        lua_setfield(L, -2, clocks[i].name);
    }
    return 1;
}

static int vm_tostring(lua_State *L)
{
    get_state(L);
    lua_pushfstring(L, "vm \"%s\" (%s)", vm_name(check_vm(L)->vm), lua_tostring(L, -1));
    return 1;
}

static const struct binding_member methods[] = {
    { "run", l_vm_run, "() → vm", "run the machine until it has ended or was paused" },
    { "step", l_vm_step, "([count [, cpu]]) → vm",
      "execute so many instructions (1), of that cpu alone, then pause; pause_reason is \"step\"" },
    { "wait", l_vm_wait, "()", "serve the loop until the machine has ended, whoever ends it" },
    { "resume", l_vm_resume, "()", "let a machine that stands still run, without waiting for it" },
    { "pause", l_vm_pause, "([reason])", "make it stand still between two instructions" },
    { "stop", l_vm_stop, "([reason [, status]])", "end the run" },
    { "reset", l_vm_reset, "()",
      "reset devices and cpus, and put firmware or kernel in place again" },
    { "request_reset", l_vm_request_reset, "()",
      "press the reset button: the same soon, without waiting; ends the run if reboot is off" },
    { "close", l_vm_close, "()", "end the machine and free it; its handles are closed" },
    { "on", l_vm_on, "(event: string, filter: event, f) → hook",
      "call f at an event; docs/hooks.md has the events and their filters" },
    { "at", l_vm_at, "(time, f [, clock: string or { clock =, on_error =, name = }]) → hook",
      "call f(vm) once at a time of a clock" },
    { "every", l_vm_every, "(time, f [, clock: string or { clock =, on_error =, name = }]) → hook",
      "call f(vm) again and again" },
    { "trace", l_vm_trace, "(patterns, f [, { on_error =, name = }]) → hook",
      "call f(event, source, ...) at events; docs/tracing.md has them" },
    { "trace_output", l_vm_trace_output, "([{ file =, format = }]) → trace_output",
      "where events are to be written as lines; nothing is enabled yet" },
    { "traced", l_vm_traced, "() → { [name] = count }", "the events that somebody listens to" },
    { "hooks", l_vm_hooks, "() → { hook, ... }", "the hooks installed, in order of adding" },
    { "supports", l_vm_supports, "(feature) → boolean",
      "can the backend do it: \"hook.exec\", \"deterministic\", ..." },
    { "load_symbols", l_vm_load_symbols, "(path [, bias]) → count",
      "read symbols of an ELF file, a System.map or a kernel image" },
    { "find_slide", l_vm_find_slide, "() → integer",
      "find how far KASLR moved the kernel, in bytes; its symbols move along" },
    { "load_modules", l_vm_load_modules, "() → { { name =, count = }, ... }",
      "read the symbols of the modules that the running Linux has loaded" },
    { "symbol", l_vm_symbol, "(text) → address", "the address of a symbol, such as \"name+0x10\"" },
    { "symbolize", l_vm_symbolize, "(address) → text",
      "the symbol that holds an address: \"name+0x12/0x80\"" },
    { "symbol_names", l_vm_symbol_names, "(prefix [, most]) → { name, ... }",
      "symbols that begin so, in order" },
    { "on_reset", l_vm_on_reset, "(f)",
      "call f(vm) at every reset, after devices and cpus were reset" },
    { "load_boot", l_vm_load_boot,
      "{ kernel = path, initrd = path, append = string, rsdp =, e820 = table, decompress = string, "
      "seed = string }",
      "put a kernel in place" },
    { "load_raw", l_vm_load_raw, "(path, addr)", "put a file into memory as it is" },
    { "advance", l_vm_advance, "(ns)", "let virtual time pass on a machine without a cpu" },
    { "task", NULL, "(f [, { name =, on_error = }]) → task",
      "run f(vm) beside the machine; it may wait. docs/testing.md has this and what follows" },
    { "tasks", NULL, "() → { task, ... }", "those that are not over, in order of creation" },
    { "wait_serial", NULL,
      "(text [, timeout [, { chardev = string, pattern = boolean }]]) → text, ...",
      "until the guest has written a text: what it wrote up to and with it" },
    { "wait_exec", NULL, "(at: address or symbol [, timeout]) → cpu",
      "until it is about to execute" },
    { "wait_time", NULL, "(time)", "until so much virtual time has passed" },
    { "wait_insn", NULL, "(n)", "until so many instructions have retired" },
    { "wait_stop", NULL, "([timeout]) → \"pause\" or \"exit\", reason", "until it stops" },
    { "send", NULL, "(text [, { chardev = string, timeout = }])",
      "to the guest; waits while it does not take what was sent before" },
    { "stats", l_vm_stats, "() → { instructions =, exits =, ... }", "counters of the run" },
    { "ram_sha256", l_vm_ram_sha256, "() → text", "SHA-256 over all RAM and ROM" },
    { "batch", l_machine_batch, "(f [, { diff = boolean }]) → diff or nil",
      "f's changes of memory take effect at once, at its end" },
    { "devices", l_vm_devices, "() → { device, ... }", "all devices in order of creation" },
    { "find", l_vm_find, "{ type = } → { device, ... }",
      "devices of a type, or of one that inherits from it" },
    { "device", l_vm_device, "(path) → device", "by path, id, or an end of a path that is unique" },
    { "spaces", l_vm_spaces, "() → { space, ... }", "all address spaces in order of creation" },
    { "links", l_vm_links, "() → { link, ... }", "all network links in order of creation" },
    { "chardevs", l_vm_chardevs, "() → { chardev, ... }",
      "all character backends in order of creation" },
    { "chardev", l_vm_chardev, "(id) → chardev", "the character backend of that id" },
    { NULL },
};

static const struct binding_member properties[] = {
    { "name", get_name, "string", "what the machine is called" },
    { "state", get_state, "string", "created, paused, running or ended" },
    { "accel", get_accel, "string", "what executes guest code: soft or kvm" },
    { "irqchip", get_irqchip, "string",
      "who has the interrupt controllers: user (the machine's devices), split or kernel" },
    { "exit_reason", get_exit_reason, "string", "why the run has ended" },
    { "exit_status", get_exit_status, "integer", "the exit status that follows from it" },
    { "pause_reason", get_pause_reason, "string", "why it was paused" },
    { "instructions", get_instructions, "integer", "instructions retired by all cpus" },
    { "machine", get_machine, "machine", "what devices, regions and networks are made with" },
    { "boot", l_vm_boot_report, "table or nil", "how the kernel was loaded; nil: none was" },
    { "memory", get_memory, "space", "the physical address space" },
    { "io", get_io, "space", "the ports" },
    { "main_bus", get_main_bus, "bus", "the system bus" },
    { "cpus", get_cpus, "{ cpu, ... }", "cpus, counted from 1" },
    { "net", l_vm_net, "{ [id] = port }", "all network ports" },
    { "symbols", l_vm_symbols, "symbols", "symbols of the guest" },
    { "clock", get_clock, "{ [name] = clock }", "virtual, virtual_rt, host and realtime" },
    { NULL },
};

static const struct binding_type vm_type = {
    .meta = META_VM,
    .label = "vm",
    .help = "a machine that runs: what perilune.machine() returns",
    .module = "perilune.task",
    .methods = methods,
    .properties = properties,
    .tostring = vm_tostring,
};

int l_vm_add_methods(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    binding_add_methods(L, &vm_type, 1);
    return 0;
}

void l_vm_open(lua_State *L)
{
    binding_type_new(L, &vm_type);
    luaL_getmetatable(L, META_VM);
    lua_pushcfunction(L, l_vm_close);
    lua_setfield(L, -2, "__close");
    lua_pop(L, 1);
}
