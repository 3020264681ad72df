/* Address spaces as Lua sees them: accesses, and what each address leads to. */
#include "script/binding.h"

#include "mem/mem.h"

static struct address_space *check_space(lua_State *L, int index)
{
    return binding_ptr(L, index, META_SPACE);
}

static int l_space_map(lua_State *L)
{
    return region_map_into(L, address_space_root(check_space(L, 1)));
}

static int push_result(lua_State *L, enum mem_result result, int values)
{
    if (result == MEM_OK)
        return values;
    lua_pushstring(L, result & MEM_INVALID ? "invalid" : "unassigned");
    return values + 1;
}

static int l_space_read(lua_State *L)
{
    struct address_space *as = check_space(L, 1);
    uint64_t addr = (uint64_t)luaL_checkinteger(L, 2);
    unsigned size = check_access_size(L, 3);
    uint64_t value;
    enum mem_result result = address_space_load(as, addr, size, &value);
    lua_pushinteger(L, (lua_Integer)value);
    return push_result(L, result, 1);
}

static int l_space_write(lua_State *L)
{
    struct address_space *as = check_space(L, 1);
    uint64_t addr = (uint64_t)luaL_checkinteger(L, 2);
    unsigned size = check_access_size(L, 3);
    uint64_t value = (uint64_t)luaL_checkinteger(L, 4);
    enum mem_result result = address_space_store(as, addr, size, value);
    lua_pushboolean(L, result == MEM_OK);
    return push_result(L, result, 1);
}

static int l_space_read_bytes(lua_State *L)
{
    struct address_space *as = check_space(L, 1);
    uint64_t addr = (uint64_t)luaL_checkinteger(L, 2);
    lua_Integer n = luaL_checkinteger(L, 3);
    luaL_argcheck(L, n >= 0 && n <= 1 << 30, 3, "0 to 1 GiB at a time");
    luaL_Buffer b;
    char *bytes = luaL_buffinitsize(L, &b, (size_t)n);
    enum mem_result result = address_space_read(as, addr, bytes, (size_t)n);
    luaL_pushresultsize(&b, (size_t)n);
    return push_result(L, result, 1);
}

static int l_space_write_bytes(lua_State *L)
{
    struct address_space *as = check_space(L, 1);
    uint64_t addr = (uint64_t)luaL_checkinteger(L, 2);
    size_t n;
    const char *bytes = luaL_checklstring(L, 3, &n);
    enum mem_result result = address_space_write(as, addr, bytes, n);
    lua_pushboolean(L, result == MEM_OK);
    return push_result(L, result, 1);
}

/* As write_bytes, but ROM takes it too: for loaders. */
static int l_space_program_bytes(lua_State *L)
{
    struct address_space *as = check_space(L, 1);
    uint64_t addr = (uint64_t)luaL_checkinteger(L, 2);
    size_t n;
    const char *bytes = luaL_checklstring(L, 3, &n);
    enum mem_result result = address_space_write_rom(as, addr, bytes, n);
    lua_pushboolean(L, result == MEM_OK);
    return push_result(L, result, 1);
}

static void set_integer(lua_State *L, const char *name, uint64_t v)
{
    lua_pushinteger(L, (lua_Integer)v);
    lua_setfield(L, -2, name);
}

static const char *range_kind(const struct flat_range *r)
{
    if (!r->host)
        return "i/o";
    if (r->region->kind == REGION_ROM_DEVICE)
        return "romd";
    return r->readonly ? "rom" : "ram";
}

void push_flat_ranges(lua_State *L, const struct flatview *v)
{
    lua_createtable(L, (int)v->count, 0);
    for (size_t i = 0; i < v->count; i++) {
        const struct flat_range *r = &v->ranges[i];
        lua_createtable(L, 0, 6);
        set_integer(L, "start", r->start);
        set_integer(L, "last", r->last);
        set_integer(L, "offset", r->offset);
        lua_pushinteger(L, r->priority);
        lua_setfield(L, -2, "priority");
        lua_pushstring(L, range_kind(r));
        lua_setfield(L, -2, "kind");
        lua_pushstring(L, r->region->name);
        lua_setfield(L, -2, "name");
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
}

/* { id = (equal for shared views), root = region, ranges = { { start, last, ... } } } */
static int l_space_flat(lua_State *L)
{
    struct script_vm *svm = binding_vm(L, 1, META_SPACE);
    struct flatview *v = address_space_view(check_space(L, 1));
    lua_createtable(L, 0, 3);
    lua_pushlightuserdata(L, v);
    lua_setfield(L, -2, "id");
    binding_push(L, svm, META_REGION, v->root);
    lua_setfield(L, -2, "root");
    push_flat_ranges(L, v);
    lua_setfield(L, -2, "ranges");
    return 1;
}

static int get_space_name(lua_State *L)
{
    lua_pushstring(L, address_space_name(check_space(L, 1)));
    return 1;
}

static int get_space_root(lua_State *L)
{
    struct script_vm *svm = binding_vm(L, 1, META_SPACE);
    binding_push(L, svm, META_REGION, address_space_root(check_space(L, 1)));
    return 1;
}

static bool space_alive(struct script_vm *svm, const void *p)
{
    struct address_space *as = NULL;
    while ((as = address_space_next(vm_machine(svm->vm)->mem, as)) && as != p)
        ;
    return as != NULL;
}

static int space_tostring(lua_State *L)
{
    lua_pushfstring(L, "address space \"%s\"", address_space_name(check_space(L, 1)));
    return 1;
}

static const struct binding_member space_methods[] = {
    { "map", l_space_map, "(addr, region [, priority]) → region", "put a region somewhere" },
    { "read", l_space_read, "(addr, size: integer) → integer",
      "an access of 1, 2, 4 or 8 bytes; a second result says what went wrong" },
    { "write", l_space_write, "(addr, size: integer, value: integer) → boolean",
      "an access of 1, 2, 4 or 8 bytes" },
    { "read_bytes", l_space_read_bytes, "(addr, n) → bytes", "as DMA reads" },
    { "write_bytes", l_space_write_bytes, "(addr, bytes) → boolean", "as DMA writes" },
    { "program_bytes", l_space_program_bytes, "(addr, bytes) → boolean",
      "the same, but ROM takes it too" },
    { "dirty_log", l_space_dirty_log, "(boolean)", "of all memory that it shows: see region" },
    { "dirty", l_space_dirty, "() → { { start = integer, last = integer }, ... }",
      "pages written, as addresses, where the log is on: see region" },
    { "flat", l_space_flat, "() → { id = userdata, root = region, ranges = { table, ... } }",
      "what each address leads to" },
    { NULL },
};

static const struct binding_member space_properties[] = {
    { "name", get_space_name, "string", "its name" },
    { "root", get_space_root, "region", "the region at its root" },
    { NULL },
};

static const struct binding_type space_type = {
    .meta = META_SPACE,
    .label = "address space",
    .help = "what a cpu or a device that does DMA sees",
    .alive = space_alive,
    .methods = space_methods,
    .properties = space_properties,
    .tostring = space_tostring,
};

void l_space_open(lua_State *L)
{
    binding_type_new(L, &space_type);
}
