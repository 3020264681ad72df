/* `vm.symbols`: what there is about symbols, as one object. The methods are those of the vm. */
#include "script/script_hook.h"
#include "script/script_symbols.h"

#define META_SYMBOLS "perilune.symbols"

/* Call a method of the vm with the vm in place of this object. */
static int call_as_vm(lua_State *L, lua_CFunction method)
{
    script_push_vm(L, binding_vm(L, 1, META_SYMBOLS));
    lua_replace(L, 1);
    return method(L);
}

static int l_symbols_load(lua_State *L)
{
    return call_as_vm(L, l_vm_load_symbols);
}

static int l_symbols_prepare(lua_State *L)
{
    return call_as_vm(L, l_vm_prepare_symbols);
}

static int l_symbols_find_slide(lua_State *L)
{
    return call_as_vm(L, l_vm_find_slide);
}

static int l_symbols_load_modules(lua_State *L)
{
    return call_as_vm(L, l_vm_load_modules);
}

static int l_symbols_address(lua_State *L)
{
    return call_as_vm(L, l_vm_symbol);
}

static int l_symbols_lookup(lua_State *L)
{
    return call_as_vm(L, l_vm_symbol_lookup);
}

static int l_symbols_name(lua_State *L)
{
    return call_as_vm(L, l_vm_symbolize);
}

static int l_symbols_names(lua_State *L)
{
    return call_as_vm(L, l_vm_symbol_names);
}

static int get_count(lua_State *L)
{
    lua_pushinteger(L, (lua_Integer)script_symbols_count(binding_vm(L, 1, META_SYMBOLS)));
    return 1;
}

static int get_slide(lua_State *L)
{
    lua_pushinteger(L, (lua_Integer)script_symbols_slide(binding_vm(L, 1, META_SYMBOLS)));
    return 1;
}

static int symbols_tostring(lua_State *L)
{
    get_count(L);
    lua_pushfstring(L, "symbols (%I)", (LUAI_UACINT)lua_tointeger(L, -1));
    return 1;
}

static const struct binding_member methods[] = {
    { "load", l_symbols_load, "(path [, bias]) → count",
      "read symbols of an ELF file, a System.map or a kernel image" },
    { "prepare", l_symbols_prepare, "()",
      "begin to read the kernel's, on a thread, for whoever asks first; a monitor does" },
    { "find_slide", l_symbols_find_slide, "() → integer",
      "find how far KASLR moved the kernel, in bytes; its symbols move along" },
    { "load_modules", l_symbols_load_modules, "() → { { name =, count = }, ... }",
      "read those of the modules that the running Linux has loaded" },
    { "address", l_symbols_address, "(text) → address",
      "the address of a symbol, such as \"name+0x10\"" },
    { "lookup", l_symbols_lookup, "(text) → address or nil, \"kernel\" or \"symbol\", text",
      "where a symbol is at this moment; nil: which of the two is not known yet, and why" },
    { "name", l_symbols_name, "(address) → text",
      "the symbol that holds an address: \"name+0x12/0x80\"" },
    { "names", l_symbols_names, "(prefix [, most]) → { name, ... }",
      "symbols that begin so, in order" },
    { NULL },
};

static const struct binding_member properties[] = {
    { "count", get_count, "integer", "how many are loaded; the kernel's are, once one is needed" },
    { "slide", get_slide, "integer", "how far the kernel was moved, bytes" },
    { NULL },
};

static const struct binding_type symbols_type = {
    .meta = META_SYMBOLS,
    .label = "symbols",
    .help = "the guest's symbols",
    .methods = methods,
    .properties = properties,
    .tostring = symbols_tostring,
};

int l_vm_symbols(lua_State *L)
{
    struct script_vm *svm = binding_vm(L, 1, META_VM);
    binding_push(L, svm, META_SYMBOLS, svm);
    return 1;
}

void l_symbols_open(lua_State *L)
{
    binding_type_new(L, &symbols_type);
}
