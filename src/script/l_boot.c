/* Putting a kernel or program into a machine, and its entry into the boot cpu. Called from the
 * reset hook. */
#include "script/binding.h"

#include "base/alloc.h"

#include <stdlib.h>
#include <string.h>

static bool set_entry(struct vcpu *v, const struct boot_entry *entry, struct error *err)
{
    struct kvm_regs regs;
    struct kvm_sregs sregs;
    if (!v->backend->get_sregs(v, &sregs, err))
        return false;
    boot_entry_registers(entry, &regs, &sregs);
    return v->backend->set_sregs(v, &sregs, err) && v->backend->set_regs(v, &regs, err);
}

static void set_integer(lua_State *L, const char *name, uint64_t v)
{
    lua_pushinteger(L, (lua_Integer)v);
    lua_setfield(L, -2, name);
}

static void push_report(lua_State *L, const struct boot_report *r)
{
    lua_createtable(L, 0, 12);
    lua_pushstring(L, boot_format_name(r->format));
    lua_setfield(L, -2, "format");
    lua_pushstring(L, r->payload);
    lua_setfield(L, -2, "payload");
    lua_pushboolean(L, r->unpacked);
    lua_setfield(L, -2, "unpacked");
    set_integer(L, "protocol", r->protocol);
    set_integer(L, "entry", r->entry);
    set_integer(L, "kernel_start", r->kernel_start);
    set_integer(L, "kernel_end", r->kernel_end);
    set_integer(L, "kernel_file_size", r->kernel_file_size);
    set_integer(L, "unpacked_size", r->unpacked_size);
    set_integer(L, "payload_ns", r->payload_ns);
    set_integer(L, "initrd_addr", r->initrd_addr);
    set_integer(L, "initrd_size", r->initrd_size);
    set_integer(L, "cmdline_addr", r->cmdline_addr);
    set_integer(L, "params_addr", r->params_addr);
}

/* reserved = { { addr, size, type }, ... } becomes a memory map together with the RAM there is; see
 * boot.h. */
static size_t e820_entries(lua_State *L, struct boot_e820 *map)
{
    if (lua_getfield(L, 2, "e820") != LUA_TTABLE) {
        lua_pop(L, 1);
        return 0;
    }
    lua_Integer n = (lua_Integer)lua_rawlen(L, -1);
    luaL_argcheck(L, n <= BOOT_E820_MAX, 2, "the memory map is too long");
    for (lua_Integer i = 0; i < n; i++) {
        lua_rawgeti(L, -1, i + 1);
        luaL_checktype(L, -1, LUA_TTABLE);
        lua_getfield(L, -1, "addr");
        lua_getfield(L, -2, "size");
        lua_getfield(L, -3, "type");
        map[i] = (struct boot_e820){ .addr = (uint64_t)luaL_checkinteger(L, -3),
                                     .size = (uint64_t)luaL_checkinteger(L, -2),
                                     .type = (uint32_t)luaL_checkinteger(L, -1) };
        lua_pop(L, 4);
    }
    lua_pop(L, 1);
    return (size_t)n;
}

/* load_boot { kernel, initrd, append, rsdp, e820, decompress, seed } → report */
int l_vm_load_boot(lua_State *L)
{
    static const char *const keys[] = { "kernel", "initrd",     "append", "rsdp",
                                        "e820",   "decompress", "seed",   NULL };
    static const char *const decompress[] = { "auto", "host", "guest", NULL };
    struct script_vm *svm = binding_any_vm(L, 1);
    struct boot_e820 map[BOOT_E820_MAX];
    check_keys(L, 2, "load_boot", keys);
    lua_getfield(L, 2, "decompress");
    int who = check_choice(L, "decompress", "auto", decompress);
    lua_getfield(L, 2, "rsdp");
    uint64_t rsdp = (uint64_t)luaL_optinteger(L, -1, 0);
    size_t seed_len = BOOT_SEED_SIZE;
    lua_getfield(L, 2, "seed");
    const char *seed = luaL_optlstring(L, -1, NULL, &seed_len);
    luaL_argcheck(L, !seed || seed_len == BOOT_SEED_SIZE, 2, "the seed has 32 bytes");
    struct boot_config config = {
        .as = vm_machine(svm->vm)->memory,
        .e820 = map,
        .e820_count = e820_entries(L, map),
        .kernel = table_string(L, 2, "kernel"),
        .initrd = table_string(L, 2, "initrd"),
        .cmdline = table_string(L, 2, "append"),
        .seed = (const uint8_t *)seed,
        .rsdp = rsdp,
        .decompress = (enum boot_decompress)who,
    };
    luaL_argcheck(L, config.kernel, 2, "kernel is missing");
    struct vcpu *v = vm_vcpu(svm->vm, 0);
    if (!v)
        return luaL_error(L, "machine \"%s\" has no cpu to boot", vm_name(svm->vm));
    struct boot_entry entry;
    struct boot_report report = { 0 };
    struct error err = { 0 };
    if (!boot_load(&config, &entry, &report, &err) || !set_entry(v, &entry, &err))
        return script_raise(L, &err);
    svm->boot_report = report;
    svm->booted = true;
    free(svm->kernel_path);
    svm->kernel_path = alloc_string(config.kernel);
    push_report(L, &report);
    return 1;
}

/* vm.boot: what the last load_boot did; nil before. */
int l_vm_boot_report(lua_State *L)
{
    struct script_vm *svm = binding_vm(L, 1, META_VM);
    if (svm->booted)
        push_report(L, &svm->boot_report);
    else
        lua_pushnil(L);
    return 1;
}

/* load_raw(path, addr): the bytes of a file; ROM takes them too. */
int l_vm_load_raw(lua_State *L)
{
    struct script_vm *svm = binding_any_vm(L, 1);
    const char *path = luaL_checkstring(L, 2);
    uint64_t addr = check_size(L, 3);
    struct error err = { 0 };
    if (!boot_load_raw(vm_machine(svm->vm)->memory, path, addr, &err))
        return script_raise(L, &err);
    return 0;
}
