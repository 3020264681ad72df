/* Symbols, disassembly and backtraces for scripts. */
#include "script/script_symbols.h"

#include "base/alloc.h"
#include "debug/disasm.h"
#include "debug/kernel_image.h"
#include "debug/unwind.h"

#include <stdlib.h>

struct script_symbols {
    struct symbols *table;
    /* The Linux kernel among the sources, if one was loaded. */
    bool has_kernel;
    unsigned kernel;
    struct orc *orc; /* NULL: its image has none */
    uint64_t slide;  /* by KASLR */
};

void script_symbols_free(struct script_symbols *s)
{
    if (!s)
        return;
    symbols_free(s->table);
    orc_free(s->orc);
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

/* A kernel image gives its kallsyms and its ORC tables; any other file what symbols it has. */
static bool load_file(struct script_symbols *s, const char *path, unsigned *source,
                      struct error *err)
{
    struct kernel_image *k = kernel_image_open(path, NULL);
    bool is_kernel = k && symbols_load_kallsyms_kernel(s->table, k, source, NULL);
    if (is_kernel) {
        orc_free(s->orc);
        s->orc = orc_load_kernel(k, NULL);
        s->has_kernel = true;
        s->kernel = *source;
        s->slide = 0;
    }
    kernel_image_close(k);
    return is_kernel || symbols_load(s->table, path, source, err);
}

/* Those of the machine's own kernel, when nothing else was loaded. */
static bool have_symbols(struct script_vm *svm, struct error *err)
{
    struct script_symbols *s = symbols_of(svm);
    unsigned source;
    if (symbols_count(s->table))
        return true;
    if (!svm->kernel_path)
        return error_set(err, "no symbols are loaded, and the machine has no kernel to take them "
                              "from; use vm:load_symbols(FILE)");
    return load_file(s, svm->kernel_path, &source, err);
}

uint64_t script_symbol_address(lua_State *L, struct script_vm *svm, const char *text)
{
    struct error err = { 0 };
    uint64_t addr = 0;
    if (!have_symbols(svm, &err) || !symbols_parse(svm->symbols->table, text, &addr, &err))
        script_raise(L, &err);
    return addr;
}

/* load_symbols(path [, bias]) → how many: an ELF file, a System.map, or a kernel image as packed as
 * it comes. */
int l_vm_load_symbols(lua_State *L)
{
    struct script_vm *svm = binding_vm(L, 1, META_VM);
    const char *path = luaL_checkstring(L, 2);
    uint64_t bias = (uint64_t)luaL_optinteger(L, 3, 0);
    struct script_symbols *s = symbols_of(svm);
    struct error err = { 0 };
    unsigned source;
    if (!load_file(s, path, &source, &err))
        return script_raise(L, &err);
    symbols_set_bias(s->table, source, bias);
    if (s->has_kernel && s->kernel == source)
        s->slide = bias;
    lua_pushinteger(L, (lua_Integer)symbols_source(s->table, source)->count);
    return 1;
}

static struct vcpu *check_still(lua_State *L, struct script_vm *svm)
{
    struct vcpu *v = vm_vcpu(svm->vm, 0);
    if (!v)
        luaL_error(L, "machine \"%s\" has no cpu", vm_name(svm->vm));
    if (!vm_cpus_are_still(svm->vm))
        luaL_error(L, "cpu %d is running: pause the machine first", (int)v->port->index);
    return v;
}

/* find_slide() → bytes by which KASLR has moved the running kernel; symbols move along. */
int l_vm_find_slide(lua_State *L)
{
    enum { MSR_LSTAR = 0xc0000082 };
    struct script_vm *svm = binding_vm(L, 1, META_VM);
    struct vcpu *v = check_still(L, svm);
    struct error err = { 0 };
    if (!have_symbols(svm, &err))
        return script_raise(L, &err);
    struct script_symbols *s = svm->symbols;
    if (!s->has_kernel)
        return luaL_error(L, "none of the symbols loaded are a Linux kernel's");
    struct kvm_sregs sregs;
    struct symbols_anchors anchors = { 0 };
    v->backend->get_msr(v, MSR_LSTAR, &anchors.lstar, NULL);
    if (v->backend->get_sregs(v, &sregs, NULL))
        anchors.idt_base = sregs.idt.base;
    struct guest_memory mem = guest_memory_of_vcpu(v);
    uint64_t slide;
    if (!symbols_find_slide(s->table, s->kernel, &mem, &anchors, &slide, &err))
        return script_raise(L, &err);
    symbols_set_bias(s->table, s->kernel, slide);
    s->slide = slide;
    lua_pushinteger(L, (lua_Integer)slide);
    return 1;
}

/* symbol(text) → address */
int l_vm_symbol(lua_State *L)
{
    struct script_vm *svm = binding_vm(L, 1, META_VM);
    lua_pushinteger(L, (lua_Integer)script_symbol_address(L, svm, luaL_checkstring(L, 2)));
    return 1;
}

/* symbolize(address) → "name+0x12/0x80", or the number where no symbol is known */
int l_vm_symbolize(lua_State *L)
{
    struct script_vm *svm = binding_vm(L, 1, META_VM);
    char text[DISASM_TEXT_MAX];
    have_symbols(svm, NULL);
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
    have_symbols(svm, NULL);
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
    check_still(L, *svm);
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
    struct symbols *table = svm->symbols ? svm->symbols->table : NULL;
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
    have_symbols(svm, NULL);
    struct script_symbols *s = symbols_of(svm);
    struct unwind_regs start = { .known = 0 };
    unwind_set(&start, UNWIND_RIP, r.rip);
    unwind_set(&start, UNWIND_RSP, r.rsp);
    unwind_set(&start, UNWIND_RBP, r.rbp);
    unwind_set(&start, UNWIND_RBX, r.rbx);
    unwind_set(&start, UNWIND_R10, r.r10);
    unwind_set(&start, UNWIND_R13, r.r13);
    unwind_set(&start, UNWIND_RDX, r.rdx);
    unwind_set(&start, UNWIND_RDI, r.rdi);
    struct unwind_config config = { .mem = guest_memory_of_vcpu(v),
                                    .orc = s->orc,
                                    .orc_slide = s->slide,
                                    .max_frames = (unsigned)most };
    luaL_checkstack(L, 8, NULL);
    lua_newtable(L);
    struct frames frames = { L, s->table, 0 };
    enum unwind_end end = unwind(&config, &start, add_frame, &frames);
    lua_pushstring(L, unwind_end_text(end));
    return 2;
}
