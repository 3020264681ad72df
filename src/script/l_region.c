/* Regions and address spaces as Lua sees them. */
#include "script/binding.h"

#include "base/alloc.h"
#include "mem/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct region *check_region(lua_State *L, int index)
{
    return binding_ptr(L, index, META_REGION);
}

static struct address_space *check_space(lua_State *L, int index)
{
    return binding_ptr(L, index, META_SPACE);
}

/* Resolve a chain of aliases to what it shows. */
static const struct region *target_of(const struct region *r)
{
    while (r->kind == REGION_ALIAS)
        r = r->alias;
    return r;
}

static const char *kind_name(const struct region *r)
{
    switch (target_of(r)->kind) {
    case REGION_RAM:
        return r->readonly || target_of(r)->readonly ? "rom" : "ram";
    case REGION_ROM:
        return "rom";
    case REGION_ROM_DEVICE:
        return "romd";
    default:
        return "i/o";
    }
}

/* ---- making ---- */

static struct script_region *new_region(struct script_vm *svm)
{
    struct script_region *s = alloc_zero(1, sizeof *s);
    s->next = svm->regions;
    svm->regions = s;
    return s;
}

/* Take back the newest, which could not be made. */
static void drop_region(struct script_vm *svm)
{
    struct script_region *s = svm->regions;
    svm->regions = s->next;
    free(s);
}

static uint64_t check_region_size(lua_State *L, int index)
{
    uint64_t size = check_size(L, index);
    luaL_argcheck(L, size != 0, index, "a region cannot be empty");
    return size;
}

static int l_region_alias(lua_State *L)
{
    struct script_vm *svm = binding_vm(L, 1, META_REGION);
    struct region *target = check_region(L, 1);
    const char *name = luaL_checkstring(L, 2);
    uint64_t offset = check_size(L, 3);
    uint64_t size = check_region_size(L, 4);
    uint64_t last;
    if (__builtin_add_overflow(offset, size - 1, &last) || last > target->last)
        return luaL_error(L, "alias \"%s\" reaches beyond the end of \"%s\"", name, target->name);
    struct script_region *s = new_region(svm);
    region_init_alias(&s->r, target->mem, name, target, offset, size);
    binding_push(L, svm, META_REGION, &s->r);
    return 1;
}

static int make_ram(lua_State *L, bool rom)
{
    struct script_vm *svm = binding_vm(L, 1, META_MACHINE);
    struct machine *m = binding_ptr(L, 1, META_MACHINE);
    const char *name = luaL_checkstring(L, 2);
    uint64_t size = check_size(L, 3);
    struct error err = { 0 };
    struct script_region *s = new_region(svm);
    bool ok = rom ? region_init_rom(&s->r, m->mem, name, size, NULL, NULL, &err)
                  : region_init_ram(&s->r, m->mem, name, size, &err);
    if (!ok) {
        drop_region(svm);
        return script_raise(L, &err);
    }
    binding_push(L, svm, META_REGION, &s->r);
    return 1;
}

int l_machine_ram(lua_State *L)
{
    return make_ram(L, false);
}

int l_machine_rom(lua_State *L)
{
    return make_ram(L, true);
}

int l_machine_container(lua_State *L)
{
    struct script_vm *svm = binding_vm(L, 1, META_MACHINE);
    struct machine *m = binding_ptr(L, 1, META_MACHINE);
    const char *name = luaL_checkstring(L, 2);
    uint64_t size = lua_isnoneornil(L, 3) ? REGION_SIZE_ALL : check_region_size(L, 3);
    struct script_region *s = new_region(svm);
    region_init_container(&s->r, m->mem, name, size);
    binding_push(L, svm, META_REGION, &s->r);
    return 1;
}

/* ---- placing ---- */

static int map_into(lua_State *L, struct region *parent)
{
    uint64_t addr = check_size(L, 2);
    struct region *child = check_region(L, 3);
    int priority = (int)luaL_optinteger(L, 4, 0);
    if (child->mem != parent->mem)
        return luaL_error(L, "region \"%s\" belongs to another machine", child->name);
    if (child->parent)
        return luaL_error(L, "region \"%s\" is mapped in \"%s\" already; map an alias of it",
                          child->name, child->parent->name);
    if (parent->kind != REGION_CONTAINER && parent->kind != REGION_IO)
        return luaL_error(L, "region \"%s\" cannot hold others", parent->name);
    if (region_contains(child, parent))
        return luaL_error(L, "region \"%s\" contains \"%s\" and cannot go into it", child->name,
                          parent->name);
    if (addr > parent->last)
        return luaL_error(L, "\"%s\": its address lies beyond the end of \"%s\"", child->name,
                          parent->name);
    region_add(parent, addr, child, priority);
    lua_settop(L, 3);
    return 1;
}

static int l_region_map(lua_State *L)
{
    return map_into(L, check_region(L, 1));
}

static int l_space_map(lua_State *L)
{
    return map_into(L, address_space_root(check_space(L, 1)));
}

static int l_region_unmap(lua_State *L)
{
    struct region *r = check_region(L, 1);
    if (r->parent)
        region_remove(r);
    return 0;
}

static int l_region_set_enabled(lua_State *L)
{
    struct region *r = check_region(L, 1);
    luaL_checktype(L, 2, LUA_TBOOLEAN);
    region_set_enabled(r, lua_toboolean(L, 2));
    return 0;
}

static int l_region_set_readonly(lua_State *L)
{
    struct region *r = check_region(L, 1);
    luaL_checktype(L, 2, LUA_TBOOLEAN);
    region_set_readonly(r, lua_toboolean(L, 2));
    return 0;
}

/* ---- looking ---- */

static int l_region_children(lua_State *L)
{
    struct script_vm *svm = binding_vm(L, 1, META_REGION);
    struct region *r = check_region(L, 1);
    lua_createtable(L, (int)r->child_count, 0);
    for (size_t i = 0; i < r->child_count; i++) {
        binding_push(L, svm, META_REGION, r->children[i]);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
    return 1;
}

static int get_name(lua_State *L)
{
    lua_pushstring(L, check_region(L, 1)->name);
    return 1;
}

static int get_kind(lua_State *L)
{
    lua_pushstring(L, kind_name(check_region(L, 1)));
    return 1;
}

static int get_addr(lua_State *L)
{
    lua_pushinteger(L, (lua_Integer)check_region(L, 1)->addr);
    return 1;
}

/* One less than the size, which may be 2^64. */
static int get_last(lua_State *L)
{
    lua_pushinteger(L, (lua_Integer)check_region(L, 1)->last);
    return 1;
}

static int get_priority(lua_State *L)
{
    lua_pushinteger(L, check_region(L, 1)->priority);
    return 1;
}

static int get_enabled(lua_State *L)
{
    lua_pushboolean(L, check_region(L, 1)->enabled);
    return 1;
}

static int get_readonly(lua_State *L)
{
    lua_pushboolean(L, check_region(L, 1)->readonly);
    return 1;
}

/* ---- properties that can be set ---- */

static int set_enabled(lua_State *L)
{
    struct region *r = check_region(L, 1);
    luaL_checktype(L, 3, LUA_TBOOLEAN);
    region_set_enabled(r, lua_toboolean(L, 3));
    return 0;
}

static int set_readonly(lua_State *L)
{
    struct region *r = check_region(L, 1);
    luaL_checktype(L, 3, LUA_TBOOLEAN);
    region_set_readonly(r, lua_toboolean(L, 3));
    return 0;
}

static struct region *check_placed(lua_State *L)
{
    struct region *r = check_region(L, 1);
    if (!r->parent)
        luaL_error(L, "region \"%s\" is not mapped anywhere", r->name);
    return r;
}

static int set_addr(lua_State *L)
{
    struct region *r = check_placed(L);
    uint64_t addr = check_size(L, 3);
    if (addr > r->parent->last)
        return luaL_error(L, "\"%s\": its address lies beyond the end of \"%s\"", r->name,
                          r->parent->name);
    region_set_addr(r, addr);
    return 0;
}

static int set_priority(lua_State *L)
{
    struct region *r = check_placed(L), *parent = r->parent;
    lua_Integer priority = luaL_checkinteger(L, 3);
    luaL_argcheck(L, priority >= INT32_MIN && priority <= INT32_MAX, 3, "it has 32 bits");
    mem_begin(r->mem);
    region_remove(r);
    region_add(parent, r->addr, r, (int)priority);
    mem_commit(r->mem);
    return 0;
}

static int get_parent(lua_State *L)
{
    struct script_vm *svm = binding_vm(L, 1, META_REGION);
    binding_push(L, svm, META_REGION, check_region(L, 1)->parent);
    return 1;
}

static int get_target(lua_State *L)
{
    struct script_vm *svm = binding_vm(L, 1, META_REGION);
    struct region *r = check_region(L, 1);
    binding_push(L, svm, META_REGION, r->kind == REGION_ALIAS ? r->alias : NULL);
    return 1;
}

static int get_target_offset(lua_State *L)
{
    lua_pushinteger(L, (lua_Integer)check_region(L, 1)->alias_offset);
    return 1;
}

static bool region_alive(struct script_vm *svm, const void *p)
{
    return mem_has_region(vm_machine(svm->vm)->mem, p);
}

static int region_tostring(lua_State *L)
{
    struct region *r = check_region(L, 1);
    char text[256];
    snprintf(text, sizeof text, "region \"%s\" (%s, %llu bytes)", r->name, kind_name(r),
             (unsigned long long)region_size(r));
    lua_pushstring(L, text);
    return 1;
}

static const struct binding_member region_methods[] = {
    { "alias", l_region_alias, "(name, offset, size) → region", "a window of it, not mapped yet" },
    { "map", l_region_map, "(addr, region [, priority]) → region", "put a region into this one" },
    { "unmap", l_region_unmap, "()", "take it out of the region that it is in" },
    { "set_enabled", l_region_set_enabled, "(boolean)",
      "a disabled region is as if it were not there" },
    { "set_readonly", l_region_set_readonly, "(boolean)", "RAM that the guest cannot write" },
    { "children", l_region_children, "() → { region, ... }", "what was put into it" },
    { NULL },
};

static const struct binding_member region_properties[] = {
    { "name", get_name, "string", "its name" },
    { "kind", get_kind, "string", "ram, rom, romd or i/o" },
    { "addr", get_addr, "integer", "its offset in the region that it is in", set_addr },
    { "last", get_last, "integer", "its last offset: one less than the size" },
    { "priority", get_priority, "integer", "the higher one wins where siblings overlap",
      set_priority },
    { "enabled", get_enabled, "boolean", "disabled is as if it were not there", set_enabled },
    { "readonly", get_readonly, "boolean", "the guest cannot write", set_readonly },
    { "parent", get_parent, "region", "the region that it is in; nil: none" },
    { "target", get_target, "region", "what an alias shows; nil: it is no alias" },
    { "target_offset", get_target_offset, "integer", "where in the target an alias begins" },
    { NULL },
};

static const struct binding_type region_type = {
    .meta = META_REGION,
    .label = "region",
    .help = "a memory region",
    .alive = region_alive,
    .methods = region_methods,
    .properties = region_properties,
    .tostring = region_tostring,
};

/* ---- address spaces ---- */

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
    { "read", l_space_read, "(addr, size) → value",
      "an access of 1, 2, 4 or 8 bytes; a second result says what went wrong" },
    { "write", l_space_write, "(addr, size, value) → boolean", "an access of 1, 2, 4 or 8 bytes" },
    { "read_bytes", l_space_read_bytes, "(addr, n) → bytes", "as DMA reads" },
    { "write_bytes", l_space_write_bytes, "(addr, bytes) → boolean", "as DMA writes" },
    { "program_bytes", l_space_program_bytes, "(addr, bytes) → boolean",
      "the same, but ROM takes it too" },
    { "flat", l_space_flat, "() → { id, root, ranges }", "what each address leads to" },
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

void l_region_open(lua_State *L)
{
    binding_type_new(L, &region_type);
    binding_type_new(L, &space_type);
}
