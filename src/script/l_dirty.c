/* Dirty logs as Lua sees them: which pages were written, as ranges of a region or of an address
 * space. Reading clears. */
#include "script/binding.h"

#include "mem/mem.h"

#include <stdlib.h>

/* ---- ranges: a list on top of the stack ---- */

struct ranges {
    lua_State *L;
    lua_Integer count;
    uint64_t start, last; /* the one in the making, if `open` */
    bool open;
};

static void close_range(struct ranges *r)
{
    if (!r->open)
        return;
    lua_createtable(r->L, 0, 2);
    lua_pushinteger(r->L, (lua_Integer)r->start);
    lua_setfield(r->L, -2, "start");
    lua_pushinteger(r->L, (lua_Integer)r->last);
    lua_setfield(r->L, -2, "last");
    lua_rawseti(r->L, -2, ++r->count);
    r->open = false;
}

static void add_range(struct ranges *r, uint64_t start, uint64_t last)
{
    if (r->open && start == r->last + 1) {
        r->last = last;
        return;
    }
    close_range(r);
    r->start = start;
    r->last = last;
    r->open = true;
}

/* Of `dirty`, what lies in [first, last] of its region, as addresses of which `first` is `at`. */
static void add_pages(struct ranges *r, const uint64_t *dirty, uint64_t first, uint64_t last,
                      uint64_t at)
{
    for (uint64_t p = first >> RAM_PAGE_BITS; p <= last >> RAM_PAGE_BITS; p++) {
        uint64_t from = p << RAM_PAGE_BITS, to = from + (RAM_PAGE_SIZE - 1);
        if (!dirty[p / 64])
            p |= 63;
        else if (dirty[p / 64] >> p % 64 & 1)
            add_range(r, at + ((from > first ? from : first) - first),
                      at + ((to < last ? to : last) - first));
    }
}

/* A userdata that frees the bits, if an error comes. */
static uint64_t **push_bits(lua_State *L, struct region *r)
{
    struct error err = { 0 };
    uint64_t **bits = lua_newuserdatauv(L, sizeof *bits, 0);
    *bits = NULL;
    luaL_setmetatable(L, "perilune.dirty_bits");
    *bits = region_take_dirty(r, &err);
    if (!*bits)
        script_raise(L, &err);
    return bits;
}

static int free_bits(lua_State *L)
{
    uint64_t **bits = lua_touserdata(L, 1);
    free(*bits);
    *bits = NULL;
    return 0;
}

/* ---- regions ---- */

static struct region *check_ram(lua_State *L)
{
    struct region *r = binding_ptr(L, 1, META_REGION);
    if (r->kind == REGION_ALIAS)
        luaL_error(L, "region \"%s\" is a window of \"%s\": ask that one for its dirty pages",
                   r->name, r->alias->name);
    if (!region_is_ram_like(r))
        luaL_error(L, "region \"%s\" is no memory: only RAM and ROM have pages", r->name);
    return r;
}

static void set_log(lua_State *L, struct region *r, bool on)
{
    struct error err = { 0 };
    if (!region_set_dirty_log(r, on, &err))
        script_raise(L, &err);
}

int l_region_dirty_log(lua_State *L)
{
    struct region *r = check_ram(L);
    luaL_checktype(L, 2, LUA_TBOOLEAN);
    set_log(L, r, lua_toboolean(L, 2));
    return 0;
}

static void check_logged(lua_State *L, const struct region *r)
{
    if (!r->dirty_log)
        luaL_error(L, "the dirty log of region \"%s\" is off: switch it on with dirty_log(true)",
                   r->name);
}

int l_region_dirty(lua_State *L)
{
    struct region *r = check_ram(L);
    check_logged(L, r);
    uint64_t **bits = push_bits(L, r);
    struct ranges out = { .L = L };
    lua_newtable(L);
    add_pages(&out, *bits, 0, r->last, 0);
    close_range(&out);
    return 1;
}

/* ---- address spaces ---- */

/* Call `found` for all memory that the view shows in [first, last], ascending: under taps, too. */
static void each_memory(lua_State *L, const struct flatview *v, uint64_t first, uint64_t last,
                        void (*found)(lua_State *L, const struct flat_range *r, void *opaque),
                        void *opaque)
{
    for (const struct flat_range *r = flatview_next(v, first);
         r && r < v->ranges + v->count && r->start <= last; r++) {
        struct flat_range part = *r;
        part.start = r->start > first ? r->start : first;
        part.last = r->last < last ? r->last : last;
        part.offset += part.start - r->start;
        if (r->host)
            found(L, &part, opaque);
        else if (r->beneath)
            each_memory(L, r->beneath, part.start, part.last, found, opaque);
    }
}

static void each_shown(lua_State *L,
                       void (*found)(lua_State *L, const struct flat_range *r, void *opaque),
                       void *opaque)
{
    each_memory(L, address_space_view(binding_ptr(L, 1, META_SPACE)), 0, UINT64_MAX, found, opaque);
}

static void switch_log(lua_State *L, const struct flat_range *r, void *on)
{
    set_log(L, r->region, *(bool *)on);
}

int l_space_dirty_log(lua_State *L)
{
    bool on = lua_toboolean(L, 2);
    luaL_checktype(L, 2, LUA_TBOOLEAN);
    each_shown(L, switch_log, &on);
    return 0;
}

/* The bits of each region, read once, are in the table at 2, by region. */
static void read_bits(lua_State *L, const struct flat_range *r, void *opaque)
{
    (void)opaque;
    if (r->region->dirty_log && lua_rawgetp(L, 2, r->region) == LUA_TNIL) {
        push_bits(L, r->region);
        lua_rawsetp(L, 2, r->region);
    }
    lua_settop(L, 2);
}

static void add_shown(lua_State *L, const struct flat_range *r, void *out)
{
    lua_rawgetp(L, 2, r->region);
    uint64_t **bits = lua_touserdata(L, -1);
    lua_pop(L, 1);
    if (bits)
        add_pages(out, *bits, r->offset, r->offset + (r->last - r->start), r->start);
}

int l_space_dirty(lua_State *L)
{
    struct ranges out = { .L = L };
    lua_settop(L, 1);
    lua_newtable(L);
    each_shown(L, read_bits, NULL);
    lua_pushnil(L);
    if (!lua_next(L, 2))
        return luaL_error(L,
                          "no dirty log is on in address space \"%s\": switch it on with "
                          "dirty_log(true)",
                          address_space_name(binding_ptr(L, 1, META_SPACE)));
    lua_settop(L, 2);
    lua_newtable(L);
    each_shown(L, add_shown, &out);
    close_range(&out);
    return 1;
}

void l_dirty_open(lua_State *L)
{
    luaL_newmetatable(L, "perilune.dirty_bits");
    lua_pushcfunction(L, free_bits);
    lua_setfield(L, -2, "__gc");
    lua_pop(L, 1);
}
