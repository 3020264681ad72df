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

int region_map_into(lua_State *L, struct region *parent)
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
    return region_map_into(L, check_region(L, 1));
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
    { "dirty_log", l_region_dirty_log, "(boolean)",
      "have it noted which pages of the memory are written, by cpus and all others" },
    { "dirty", l_region_dirty, "() → { { start = integer, last = integer }, ... }",
      "the pages written since dirty_log(true) or the last dirty(), as offsets, ascending" },
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
    { "parent", get_parent, "region or nil", "the region that it is in; nil: none" },
    { "target", get_target, "region or nil", "what an alias shows; nil: it is no alias" },
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

void l_region_open(lua_State *L)
{
    binding_type_new(L, &region_type);
}
