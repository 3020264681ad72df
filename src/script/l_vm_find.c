/* Finding what a machine consists of: devices and address spaces. */
#include "script/binding.h"

#include "mem/mem.h"

/* All devices in order of creation. */
int l_vm_devices(lua_State *L)
{
    struct script_vm *svm = binding_vm(L, 1, META_VM);
    lua_newtable(L);
    lua_Integer n = 0;
    for (struct device *d = vm_machine(svm->vm)->devices; d; d = d->next) {
        binding_push(L, svm, META_DEVICE, d);
        lua_rawseti(L, -2, ++n);
    }
    return 1;
}

/* find { type = "e1000" }: devices of that type or one that inherits from it. */
int l_vm_find(lua_State *L)
{
    static const char *const keys[] = { "type", NULL };
    struct script_vm *svm = binding_any_vm(L, 1);
    check_keys(L, 2, "find", keys);
    const char *type = table_string(L, 2, "type");
    luaL_argcheck(L, type, 2, "type is missing");
    struct error err = { 0 };
    if (!type_find(vm_machine(svm->vm)->types, type, &err))
        return script_raise(L, &err);
    lua_newtable(L);
    lua_Integer n = 0;
    for (struct device *d = vm_machine(svm->vm)->devices; d; d = d->next) {
        if (!device_is_a(d, type))
            continue;
        binding_push(L, svm, META_DEVICE, d);
        lua_rawseti(L, -2, ++n);
    }
    return 1;
}

int l_vm_device(lua_State *L)
{
    struct script_vm *svm = binding_vm(L, 1, META_VM);
    struct error err = { 0 };
    struct device *d = device_find(vm_machine(svm->vm), luaL_checkstring(L, 2), &err);
    if (!d)
        return script_raise(L, &err);
    binding_push(L, svm, META_DEVICE, d);
    return 1;
}

/* In order of creation. */
int l_vm_spaces(lua_State *L)
{
    struct script_vm *svm = binding_vm(L, 1, META_VM);
    struct mem *mem = vm_machine(svm->vm)->mem;
    lua_newtable(L);
    lua_Integer n = 0;
    for (struct address_space *as = NULL; (as = address_space_next(mem, as));) {
        binding_push(L, svm, META_SPACE, as);
        lua_rawseti(L, -2, ++n);
    }
    return 1;
}
