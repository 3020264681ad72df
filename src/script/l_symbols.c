/* Symbols, disassembly and backtraces for scripts. */
#include "script/script_hook.h"
#include "script/script_state.h"
#include "script/script_symbols.h"
#include "script/symbols_job.h"

#include "base/alloc.h"
#include "debug/disasm.h"

#include <stdlib.h>
#include <string.h>

void script_symbols_free(struct script_symbols *s)
{
    if (!s)
        return;
    if (s->watching)
        vm_event_remove(&s->watch);
    for (size_t i = 0; i < s->program_count; i++)
        cfi_free(s->programs[i].cfi);
    free(s->programs);
    for (size_t i = 0; i < ARRAY_LEN(s->module_watch); i++)
        if (s->module_watch[i].fire)
            vm_event_remove(&s->module_watch[i]);
    script_modules_forget_orc(s);
    symbols_job_free(s->job);
    symbols_free(s->table);
    orc_free(s->orc);
    free(s->refused);
    free(s);
}

size_t script_symbols_count(const struct script_vm *svm)
{
    return svm->symbols ? symbols_count(svm->symbols->table) : 0;
}

uint64_t script_symbols_slide(const struct script_vm *svm)
{
    return svm->symbols ? svm->symbols->slide : 0;
}

static struct script_symbols *symbols_of(struct script_vm *svm)
{
    if (!svm->symbols) {
        svm->symbols = ALLOC(struct script_symbols);
        svm->symbols->table = symbols_new();
    }
    return svm->symbols;
}

/* A program's rules for unwinding, where it has some. */
static void keep_program(struct script_symbols *s, struct symbols_job *job, unsigned source)
{
    if (!job->cfi)
        return;
    ALLOC_GROW(s->programs, s->program_count, s->program_capacity);
    s->programs[s->program_count++] = (struct script_program){ job->cfi, source };
    job->cfi = NULL;
}

static bool in_a_hook(const struct script *script)
{
    for (const struct script_vm *svm = script->vms; svm; svm = svm->next)
        if (svm->in_hook)
            return true;
    return script->universe->frame && script->universe->frame->batch;
}

/* Guests run on meanwhile, unless it is one of them that asks, within an instruction, or something
 * else that must not be seen half-done. */
static void wait_for(struct script_vm *svm, struct symbols_job *job)
{
    struct loop *loop = svm->script->loop;
    if (!loop_on_thread(loop) || in_a_hook(svm->script)) {
        symbols_job_wait(job);
        return;
    }
    struct script_aside saved = script_put_aside(svm);
    machine_lock_release(loop_lock(loop));
    symbols_job_wait(job);
    machine_lock_take(loop_lock(loop));
    script_take_up(svm, saved);
}

static bool take_job(struct script_vm *svm, struct symbols_job *job, unsigned *source,
                     struct error *err)
{
    struct script_symbols *s = svm->symbols;
    if (!job->ok) {
        if (err)
            *err = job->err;
        return false;
    }
    *source = symbols_adopt(s->table, job->table);
    if (job->is_kernel) {
        orc_free(s->orc);
        s->orc = job->orc;
        job->orc = NULL;
    }
    keep_program(s, job, *source);
    if (!job->is_kernel && !symbols_is_kernel(s->table, *source))
        return true;
    bool held = script_hold(svm);
    script_kernel_loaded(svm, *source);
    script_let_go(svm, held);
    return true;
}

static struct symbols_job *job_for(struct script_symbols *s, const char *path)
{
    struct symbols_job *job = s->job;
    if (!job || strcmp(job->path, path))
        return symbols_job_new(path);
    s->job = NULL;
    return job;
}

static bool load_file(struct script_vm *svm, const char *path, unsigned *source, struct error *err)
{
    struct symbols_job *job = job_for(svm->symbols, path);
    wait_for(svm, job);
    bool ok = take_job(svm, job, source, err);
    symbols_job_free(job);
    return ok;
}

/* Should anybody want to have some. */
static bool may_load_kernel(const struct script_vm *svm)
{
    const struct script_symbols *s = svm->symbols;
    return svm->kernel_path && !(s->refused && !strcmp(s->refused, svm->kernel_path));
}

/* prepare(): begin to read what will be needed when the first name is. */
int l_vm_prepare_symbols(lua_State *L)
{
    struct script_vm *svm = binding_vm(L, 1, META_VM);
    struct script_symbols *s = symbols_of(svm);
    if (!s->job && !symbols_count(s->table) && may_load_kernel(svm))
        s->job = symbols_job_new(svm->kernel_path);
    return 0;
}

bool script_symbols_have(struct script_vm *svm, struct error *err)
{
    struct script_symbols *s = symbols_of(svm);
    unsigned source;
    if (symbols_count(s->table))
        return true;
    if (!svm->kernel_path)
        return error_set(err, "no symbols are loaded, and the machine has no kernel to take them "
                              "from; use vm:load_symbols(FILE)");
    /* Looking through a file once is enough for those who only would like to have some. */
    if ((!err && !may_load_kernel(svm)) || !script_may_hold(svm, err))
        return false;
    struct symbols_job *job = job_for(s, svm->kernel_path);
    wait_for(svm, job);
    bool ok = symbols_count(s->table) || take_job(svm, job, &source, err); /* a hook was quicker */
    char *path = ok ? NULL : alloc_string(job->path);
    symbols_job_free(job);
    if (ok)
        return true;
    free(s->refused);
    s->refused = path;
    return false;
}

uint64_t script_symbol_address(lua_State *L, struct script_vm *svm, const char *text)
{
    struct error err = { 0 };
    uint64_t addr = 0;
    if (!script_symbols_have(svm, &err) || !symbols_parse(svm->symbols->table, text, &addr, &err))
        script_raise(L, &err);
    return addr;
}

/* load_symbols(path [, bias]) → how many: an ELF file, a System.map, or a kernel image as packed as
 * it comes. A kernel's bias is found, unless it is given. */
int l_vm_load_symbols(lua_State *L)
{
    struct script_vm *svm = binding_vm(L, 1, META_VM);
    const char *path = luaL_checkstring(L, 2);
    uint64_t bias = (uint64_t)luaL_optinteger(L, 3, 0);
    struct script_symbols *s = symbols_of(svm);
    struct error err = { 0 };
    unsigned source;
    if (!script_may_hold(svm, &err) || !load_file(svm, path, &source, &err))
        return script_raise(L, &err);
    bool kernel = s->has_kernel && s->kernel == source, held = script_hold(svm);
    if (kernel && !lua_isnoneornil(L, 3))
        script_kernel_place(svm, bias);
    else if (!kernel)
        symbols_set_bias(s->table, source, bias);
    script_hooks_resolve(svm);
    script_let_go(svm, held);
    lua_pushinteger(L, (lua_Integer)symbols_source(s->table, source)->count);
    return 1;
}

static struct vcpu *check_first_still(lua_State *L, struct script_vm *svm)
{
    struct vcpu *v = vm_vcpu(svm->vm, 0);
    if (!v)
        luaL_error(L, "machine \"%s\" has no cpu", vm_name(svm->vm));
    script_check_still(L, svm, v);
    return v;
}

/* find_slide() → bytes by which KASLR has moved the running kernel; symbols move along. */
int l_vm_find_slide(lua_State *L)
{
    struct script_vm *svm = binding_vm(L, 1, META_VM);
    struct vcpu *v = check_first_still(L, svm);
    struct error err = { 0 };
    if (!script_symbols_have(svm, &err) || !script_kernel_find(svm, v, &err))
        return script_raise(L, &err);
    lua_pushinteger(L, (lua_Integer)svm->symbols->slide);
    return 1;
}

/* load_modules() → { { name, count }, ... } in the order in which they were met:
 * their symbols are known from now on */
int l_vm_load_modules(lua_State *L)
{
    struct script_vm *svm = binding_vm(L, 1, META_VM);
    struct vcpu *v = check_first_still(L, svm);
    struct error err = { 0 };
    if (!script_symbols_have(svm, &err))
        return script_raise(L, &err);
    struct script_symbols *s = svm->symbols;
    if (!script_modules_load(svm, v, &err))
        return script_raise(L, &err);
    lua_newtable(L);
    for (unsigned i = 0, n = 0; i < symbols_source_count(s->table); i++) {
        const struct symbols_source *source = symbols_source(s->table, i);
        if (!source->loaded || !source->module)
            continue;
        lua_createtable(L, 0, 2);
        lua_pushstring(L, source->module);
        lua_setfield(L, -2, "name");
        lua_pushinteger(L, (lua_Integer)source->count);
        lua_setfield(L, -2, "count");
        lua_rawseti(L, -2, ++n);
    }
    return 1;
}

/* symbol(text) → address */
int l_vm_symbol(lua_State *L)
{
    struct script_vm *svm = binding_vm(L, 1, META_VM);
    lua_pushinteger(L, (lua_Integer)script_symbol_address(L, svm, luaL_checkstring(L, 2)));
    return 1;
}

/* lookup(text) → address where it is now; or nil, what it waits for and why */
int l_vm_symbol_lookup(lua_State *L)
{
    struct script_vm *svm = binding_vm(L, 1, META_VM);
    const char *text = luaL_checkstring(L, 2);
    struct error err = { 0 };
    uint64_t addr;
    bool pending = false;
    bool known = script_symbol_resolve(svm, text, &addr, &pending, &err);
    if (known && !pending) {
        lua_pushinteger(L, (lua_Integer)addr);
        return 1;
    }
    if (!known && symbols_count(symbols_of(svm)->table) &&
        !symbols_unknown(svm->symbols->table, text))
        return script_raise(L, &err);
    lua_pushnil(L);
    lua_pushstring(L, known ? "kernel" : "symbol");
    lua_pushstring(L, known ? "it is not known yet where the kernel runs" : err.text);
    return 3;
}

/* symbolize(address) → "name+0x12/0x80", or the number where no symbol is known */
int l_vm_symbolize(lua_State *L)
{
    struct script_vm *svm = binding_vm(L, 1, META_VM);
    char text[DISASM_TEXT_MAX];
    script_symbols_have(svm, NULL);
    lua_pushstring(L, symbols_format(symbols_of(svm)->table, (uint64_t)luaL_checkinteger(L, 2),
                                     text, sizeof text));
    return 1;
}

/* symbol_names(prefix [, most]) → { name, ... } in order: for completion */
int l_vm_symbol_names(lua_State *L)
{
    struct script_vm *svm = binding_vm(L, 1, META_VM);
    const char *prefix = luaL_checkstring(L, 2);
    lua_Integer most = luaL_optinteger(L, 3, 100);
    script_symbols_have(svm, NULL);
    struct symbols *table = symbols_of(svm)->table;
    size_t count, first = symbols_prefix(table, prefix, &count);
    lua_newtable(L);
    for (size_t n = 0; n < count && (lua_Integer)n < most; n++) {
        lua_pushstring(L, symbols_by_name(table, first + n)->name);
        lua_rawseti(L, -2, (lua_Integer)n + 1);
    }
    return 1;
}

/* ---- of a cpu ---- */

static struct vcpu *check_cpu_still(lua_State *L, struct script_vm **svm)
{
    struct vcpu *v = binding_ptr(L, 1, META_CPU);
    *svm = binding_vm(L, 1, META_CPU);
    script_check_still(L, *svm, v);
    return v;
}

static unsigned code_bits(struct vcpu *v)
{
    enum { EFER_LMA = 1 << 10 };
    struct kvm_sregs s;
    if (!v->backend->get_sregs(v, &s, NULL))
        return 64;
    return (s.efer & EFER_LMA) && s.cs.l ? 64 : s.cs.db ? 32 : 16;
}

static uint64_t code_address(lua_State *L, struct vcpu *v, struct script_vm *svm, int index)
{
    if (lua_type(L, index) == LUA_TSTRING)
        return script_symbol_address(L, svm, lua_tostring(L, index));
    if (!lua_isnoneornil(L, index))
        return (uint64_t)luaL_checkinteger(L, index);
    struct kvm_regs r = { 0 };
    struct kvm_sregs s = { 0 };
    v->backend->get_regs(v, &r, NULL);
    v->backend->get_sregs(v, &s, NULL);
    return r.rip + (code_bits(v) == 64 ? 0 : s.cs.base);
}

/* disas([address or symbol [, count]]) → { { addr, bytes, text }, ... }; without an address, where
 * the cpu stands */
int l_cpu_disas(lua_State *L)
{
    struct script_vm *svm;
    struct vcpu *v = check_cpu_still(L, &svm);
    uint64_t addr = code_address(L, v, svm, 2);
    lua_Integer count = luaL_optinteger(L, 3, 10);
    luaL_argcheck(L, count >= 1 && count <= 10000, 3, "1 to 10000 instructions");
    unsigned bits = code_bits(v);
    script_symbols_have(svm, NULL);
    struct symbols *table = symbols_of(svm)->table;
    struct guest_memory mem = guest_memory_of_vcpu(v);
    lua_newtable(L);
    for (lua_Integer n = 1; n <= count; n++) {
        uint8_t bytes[DISASM_INSN_MAX];
        size_t have = sizeof bytes;
        char text[DISASM_TEXT_MAX];
        while (have && !guest_read(&mem, addr, bytes, have))
            have--;
        if (!have)
            break;
        unsigned len = disasm_one(bytes, have, addr, bits, table, text, sizeof text);
        lua_createtable(L, 0, 3);
        lua_pushinteger(L, (lua_Integer)addr);
        lua_setfield(L, -2, "addr");
        lua_pushlstring(L, (const char *)bytes, len ? len : 1);
        lua_setfield(L, -2, "bytes");
        lua_pushstring(L, text);
        lua_setfield(L, -2, "text");
        lua_rawseti(L, -2, n);
        addr += len ? len : 1;
    }
    return 1;
}

struct frames {
    lua_State *L;
    struct symbols *table;
    lua_Integer count;
};

static bool add_frame(void *opaque, const struct unwind_frame *f)
{
    struct frames *frames = opaque;
    lua_State *L = frames->L;
    char name[DISASM_TEXT_MAX];
    lua_createtable(L, 0, 3);
    lua_pushinteger(L, (lua_Integer)f->regs.r[UNWIND_RIP]);
    lua_setfield(L, -2, "rip");
    lua_pushstring(L, unwind_frame_format(f, frames->table, name, sizeof name));
    lua_setfield(L, -2, "name");
    lua_pushstring(L, unwind_method_name(f->method));
    lua_setfield(L, -2, "method");
    lua_rawseti(L, -2, ++frames->count);
    return true;
}

/* The programs where they are now, in memory of Lua's. */
static struct unwind_program *push_programs(lua_State *L, const struct script_symbols *s)
{
    struct unwind_program *p = lua_newuserdatauv(L, (s->program_count + 1) * sizeof *p, 0);
    for (size_t i = 0; i < s->program_count; i++)
        p[i] = (struct unwind_program){
            .cfi = s->programs[i].cfi,
            .slide = symbols_source(s->table, s->programs[i].source)->bias,
        };
    return p;
}

/* Is the frame's code beside the kernel's tables? Then it may be a module's. */
static bool has_rule(void *opaque, const struct unwind_frame *f)
{
    return unwind_frame_pc(f) < KERNEL_HALF || unwind_has_orc(opaque, unwind_frame_pc(f));
}

/* backtrace([most]) → { { rip, name, method }, ... }, why it ends; innermost first */
int l_cpu_backtrace(lua_State *L)
{
    struct script_vm *svm;
    struct vcpu *v = check_cpu_still(L, &svm);
    lua_Integer most = luaL_optinteger(L, 2, 64);
    luaL_argcheck(L, most >= 1 && most <= 1000, 2, "1 to 1000 frames");
    struct kvm_regs r;
    struct error err = { 0 };
    if (!v->backend->get_regs(v, &r, &err))
        return script_raise(L, &err);
    script_symbols_have(svm, NULL);
    struct script_symbols *s = symbols_of(svm);
    struct unwind_regs start = {
        .r = { r.rax, r.rdx, r.rcx, r.rbx, r.rsi, r.rdi, r.rbp, r.rsp, r.r8, r.r9, r.r10, r.r11,
               r.r12, r.r13, r.r14, r.r15, r.rip },
        .known = (1u << UNWIND_REGS) - 1,
    };
    luaL_checkstack(L, 8, NULL);
    struct unwind_program *programs = push_programs(L, s);
    struct unwind_config config = { .mem = guest_memory_of_vcpu(v),
                                    .orc = s->placed ? s->orc : NULL,
                                    .orc_slide = s->slide,
                                    .modules = s->module_orc,
                                    .module_count = s->module_orc_count,
                                    .programs = programs,
                                    .program_count = s->program_count,
                                    .max_frames = (unsigned)most };
    if (config.orc && unwind(&config, &start, has_rule, &config) == UNWIND_END_STOPPED) {
        script_modules_read_orc(svm, v);
        config.modules = s->module_orc;
        config.module_count = s->module_orc_count;
    }
    lua_newtable(L);
    struct frames frames = { L, s->table, 0 };
    enum unwind_end end = unwind(&config, &start, add_frame, &frames);
    lua_pushstring(L, unwind_end_text(end));
    return 2;
}
