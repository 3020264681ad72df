/* Reading the definition of a device type: its windows, the registers in them, and what makes it a
 * PCI device. */
#include "script/luadev_internal.h"

#include "base/alloc.h"
#include "base/bits.h"

#include <stdio.h>
#include <string.h>

/* ---- registers ---- */

static uint32_t mask_field(lua_State *L, struct luadev_type *t, int row, const char *what,
                           const char *key, bool *given)
{
    lua_getfield(L, row, key);
    *given = *given || !lua_isnil(L, -1);
    bool all = lua_isboolean(L, -1) && lua_toboolean(L, -1);
    lua_pop(L, 1);
    return all ? UINT32_MAX : (uint32_t)luadev_integer(L, t, row, what, key, 0, 0, UINT32_MAX);
}

static void read_access(lua_State *L, struct luadev_type *t, int row, const char *what,
                        struct reg *r, const int *fns)
{
    bool given = false;
    r->rw = mask_field(L, t, row, what, "rw", &given);
    r->ro = mask_field(L, t, row, what, "ro", &given);
    r->w1c = mask_field(L, t, row, what, "w1c", &given);
    r->rc = mask_field(L, t, row, what, "rc", &given);
    r->w1s = mask_field(L, t, row, what, "w1s", &given);
    r->wo = mask_field(L, t, row, what, "wo", &given);
    if (!given && fns[0] >= 0 && fns[1] < 0)
        r->ro = UINT32_MAX;
    else if (!given)
        r->rw = UINT32_MAX;
    if ((r->rw & (r->ro | r->w1c | r->w1s | r->wo)) || (r->ro & (r->w1c | r->w1s | r->wo)) ||
        (r->w1c & (r->w1s | r->wo)) || (r->wo & (r->w1s | r->rc)))
        luadev_wrong(L, t, "%s: a bit has two kinds of access", what);
}

static void read_reg(lua_State *L, struct luadev_type *t, unsigned window, int row, uint8_t *used)
{
    struct luadev_window_type *w = &t->windows[window];
    luadev_known_keys(L, t, row, "a register", &luadev_register_keys);
    const char *name = luadev_name(L, t, row, "a register");
    char what[96];
    snprintf(what, sizeof what, "register %s", name);
    struct reg *r = &w->regs[w->reg_count];
    int *fns = &w->reg_fns[2 * w->reg_count];
    r->name = name;
    r->offset = (uint32_t)luadev_integer(L, t, row, what, "offset", -1, 0, (int64_t)w->size - 4);
    r->count = (uint32_t)luadev_integer(L, t, row, what, "count", 1, 1, LUADEV_REGISTERS);
    r->reset = (uint32_t)luadev_integer(L, t, row, what, "reset", 0, 0, UINT32_MAX);
    fns[0] = luadev_function(L, t, row, what, "read");
    fns[1] = luadev_function(L, t, row, what, "write");
    read_access(L, t, row, what, r, fns);
    r->pure = table_bool(L, row, "pure");
    r->read = fns[0] >= 0 ? luadev_reg_read : NULL;
    r->write = fns[1] >= 0 ? luadev_reg_write : NULL;
    if (r->offset % 4 || r->offset + 4ull * r->count > w->size)
        luadev_wrong(
            L, t, "%s: its offset must be a multiple of 4, and all of it in the window of 0x%llx",
            what, (unsigned long long)w->size);
    for (uint32_t i = 0; i < r->count; i++)
        if (used[r->offset / 4 + i]++)
            luadev_wrong(L, t, "%s: there is another register at offset 0x%x", what,
                         r->offset + 4 * i);
    t->slots += r->count;
    if (t->slots > LUADEV_REGISTERS)
        luadev_wrong(L, t, "it has more than %d registers", LUADEV_REGISTERS);
    lua_rawgeti(L, LUA_REGISTRYINDEX, t->regs);
    if (lua_getfield(L, -1, name) != LUA_TNIL)
        luadev_wrong(L, t, "%s: there is another one of that name", what);
    lua_pushinteger(L, (lua_Integer)(window << 16 | w->reg_count));
    lua_setfield(L, -3, name);
    lua_pop(L, 2);
    w->reg_count++;
}

/* The array of registers on top of the stack (popped). */
static void read_regs(lua_State *L, struct luadev_type *t, unsigned window)
{
    struct luadev_window_type *w = &t->windows[window];
    if (!lua_istable(L, -1))
        luadev_wrong(L, t, "registers must be a list of { name =, offset =, ... }");
    if (w->size % 4 || w->size > 1 << 20)
        luadev_wrong(L, t, "window \"%s\": with registers, its size is a multiple of 4 up to 1 MiB",
                     w->name);
    int rows = lua_gettop(L);
    lua_Unsigned n = lua_rawlen(L, rows);
    if (n > LUADEV_REGISTERS)
        luadev_wrong(L, t, "it has more than %d registers", LUADEV_REGISTERS);
    w->regs = luadev_own(t, alloc_zero(n + 1, sizeof *w->regs));
    w->reg_fns = luadev_own(t, alloc_zero(2 * n + 2, sizeof *w->reg_fns));
    w->first_slot = t->slots;
    uint8_t *used = lua_newuserdatauv(L, w->size / 4, 0);
    memset(used, 0, w->size / 4);
    for (lua_Unsigned i = 1; i <= n; i++) {
        lua_rawgeti(L, rows, (lua_Integer)i);
        read_reg(L, t, window, lua_gettop(L), used);
        lua_settop(L, rows + 1);
    }
    lua_settop(L, rows - 1);
}

/* ---- windows ---- */

static unsigned access_size(lua_State *L, struct luadev_type *t, int table, int i, const char *what)
{
    lua_rawgeti(L, table, i);
    lua_Integer n = lua_tointeger(L, -1);
    lua_pop(L, 1);
    if (n != 1 && n != 2 && n != 4 && n != 8)
        luadev_wrong(L, t, "%s = sizes { min, max }, each 1, 2, 4 or 8", what);
    return (unsigned)n;
}

static void read_ops(lua_State *L, struct luadev_type *t, int row, const char *what,
                     struct luadev_window_type *w)
{
    struct access_sizes valid = { w->regs ? 4 : 1, w->regs ? 4 : 8, false };
    if (lua_getfield(L, row, "sizes") != LUA_TNIL) {
        if (!lua_istable(L, -1))
            luadev_wrong(L, t, "%s = sizes { min, max }", what);
        valid.min = (uint8_t)access_size(L, t, lua_gettop(L), 1, what);
        valid.max = (uint8_t)access_size(L, t, lua_gettop(L), 2, what);
        if (valid.min > valid.max)
            luadev_wrong(L, t, "%s: sizes: the smaller one comes first", what);
    }
    lua_pop(L, 1);
    const char *endian = luadev_string(L, t, row, what, "endian");
    if (endian && strcmp(endian, "little") && strcmp(endian, "big"))
        luadev_wrong(L, t, "%s: endian is \"little\" or \"big\"", what);
    w->ops = (struct region_ops){ .read = luadev_window_read,
                                  .write = luadev_window_write,
                                  .endian = endian && *endian == 'b' ? ENDIAN_BIG : ENDIAN_LITTLE,
                                  .valid = valid,
                                  .impl = valid };
    if (w->regs)
        w->ops.impl = (struct access_sizes){ 4, 4, false };
}

/* The window described by the table at `row`. */
static void read_window(lua_State *L, struct luadev_type *t, int row, bool io, int bar)
{
    luadev_known_keys(L, t, row, io ? "pio" : bar >= 0 ? "a BAR" : "mmio", &luadev_window_keys);
    if (t->window_count == LUADEV_WINDOWS)
        luadev_wrong(L, t, "it has more than %d windows", LUADEV_WINDOWS);
    unsigned n = t->window_count;
    struct luadev_window_type *w = &t->windows[n];
    char what[96];
    w->name = luadev_string(L, t, row, "a window", "name");
    if (!w->name)
        w->name = luadev_own_string(t, t->type.name);
    snprintf(what, sizeof what, "window \"%.64s\"", w->name);
    w->io = io;
    w->bar = bar;
    w->size = (uint64_t)luadev_integer(L, t, row, what, "size", 0, 1, io ? 0x10000 : 1ll << 40);
    w->read = luadev_function(L, t, row, what, "read");
    w->write = luadev_function(L, t, row, what, "write");
    t->window_count++;
    lua_getfield(L, row, "registers");
    if (lua_isnil(L, -1) && n == 0 && w->read < 0 && w->write < 0) {
        lua_pop(L, 1);
        lua_rawgeti(L, LUA_REGISTRYINDEX, t->spec);
        lua_getfield(L, -1, "registers"); /* those of the device lie in its first window */
        lua_remove(L, -2);
    }
    bool has_regs = !lua_isnil(L, -1);
    if (has_regs && (w->read >= 0 || w->write >= 0))
        luadev_wrong(L, t, "%s has registers or its own read and write, not both", what);
    if (has_regs)
        read_regs(L, t, n);
    else
        lua_pop(L, 1);
    read_ops(L, t, row, what, w);
}

/* Field `key`: one window, or a list of them. */
void luadev_read_windows(lua_State *L, struct luadev_type *t, int spec, const char *key, bool io)
{
    int type = lua_getfield(L, spec, key);
    int at = lua_gettop(L);
    if (type == LUA_TTABLE && (t->parent == LUADEV_PCI || t->parent == LUADEV_DEVICE))
        luadev_wrong(L, t,
                     t->parent == LUADEV_PCI
                         ? "a PCI device has no %s of its own: its windows are pci.bars"
                         : "a device on no bus has no %s: choose parent = \"sys-bus-device\"",
                     key);
    if (type == LUA_TTABLE && t->parent == LUADEV_ISA && !io)
        luadev_wrong(L, t, "an ISA device has ports (pio), no mmio");
    if (type == LUA_TTABLE && lua_rawlen(L, at)) {
        for (lua_Integer i = 1; lua_rawgeti(L, at, i) != LUA_TNIL; i++) {
            read_window(L, t, lua_gettop(L), io, -1);
            lua_settop(L, at);
        }
    } else if (type == LUA_TTABLE) {
        read_window(L, t, at, io, -1);
    } else if (type != LUA_TNIL) {
        luadev_wrong(L, t, "%s must be a table { name =, size =, ... }", key);
    }
    lua_settop(L, at - 1);
}

/* Where the first memory window and the first ports are, unless something else is said. */
void luadev_add_place(lua_State *L, struct luadev_type *t, int spec)
{
    bool mem = false, io = false;
    for (unsigned i = 0; i < t->window_count; i++) {
        io = io || t->windows[i].io;
        mem = mem || !t->windows[i].io;
    }
    if (mem) {
        struct prop *p = luadev_new_prop(t, "addr", PROP_U64);
        p->help = "where its first memory window is; all ones: nowhere";
        p->hex = true;
        lua_getfield(L, spec, "mmio");
        if (lua_rawlen(L, -1))
            lua_rawgeti(L, -1, 1);
        int64_t addr =
            luadev_integer(L, t, lua_gettop(L), "mmio", "addr", -1, INT64_MIN, INT64_MAX);
        p->def = luadev_own(t, alloc_printf("%llu", (unsigned long long)addr));
        t->addr = t->prop_count;
    }
    if (io) {
        struct prop *p = luadev_new_prop(t, "iobase", PROP_U32);
        p->help = "its first port; its other windows follow without a gap";
        p->hex = true;
        p->max = 0xffff;
        lua_getfield(L, spec, "pio");
        if (lua_rawlen(L, -1))
            lua_rawgeti(L, -1, 1);
        int64_t port = luadev_integer(L, t, lua_gettop(L), "pio", "port", 0, 0, 0xffff);
        p->def = luadev_own(t, alloc_printf("%lld", (long long)port));
        t->iobase = t->prop_count;
    }
    lua_settop(L, spec);
}

/* ---- PCI ---- */

static void read_bar(lua_State *L, struct luadev_type *t, int bar)
{
    static const char *const names[] = { "mem32", "mem64", "io", NULL };
    static const enum pci_bar_kind bar_kinds[] = { PCI_BAR_MEM32, PCI_BAR_MEM64, PCI_BAR_IO };
    int row = lua_gettop(L);
    if (!lua_istable(L, row))
        luadev_wrong(L, t, "BAR %d must be a table { name =, size =, ... }", bar);
    const char *kind = luadev_string(L, t, row, "a BAR", "kind");
    size_t k = 0;
    while (kind && names[k] && strcmp(names[k], kind))
        k++;
    if (!names[k])
        luadev_wrong(L, t, "BAR %d: kind is \"mem32\", \"mem64\" or \"io\"", bar);
    read_window(L, t, row, bar_kinds[k] == PCI_BAR_IO, bar);
    struct luadev_window_type *w = &t->windows[t->window_count - 1];
    w->bar_kind = (int)bar_kinds[k];
    uint64_t max = bar_kinds[k] == PCI_BAR_IO      ? 1u << 15
                   : bar_kinds[k] == PCI_BAR_MEM32 ? 1u << 31
                                                   : 1ull << 40;
    if (!is_pow2(w->size) || w->size < (w->io ? 4 : 16) || w->size > max)
        luadev_wrong(L, t, "BAR %d: its size is a power of two, at least %d", bar, w->io ? 4 : 16);
    for (unsigned i = 0; i + 1 < t->window_count; i++)
        if (t->windows[i].bar_kind == PCI_BAR_MEM64 && t->windows[i].bar == bar - 1)
            luadev_wrong(L, t, "BAR %d is the upper half of the 64-bit BAR %d", bar, bar - 1);
    if (bar_kinds[k] == PCI_BAR_MEM64 && bar == PCI_BARS - 1)
        luadev_wrong(L, t, "BAR %d cannot be a 64-bit one: it takes two", bar);
}

static void read_bars(lua_State *L, struct luadev_type *t, int pci)
{
    if (lua_getfield(L, pci, "bars") != LUA_TNIL) {
        int bars = lua_gettop(L);
        if (!lua_istable(L, bars))
            luadev_wrong(L, t, "pci: bars must be a table { [0] = { name =, size = } }");
        for (lua_pushnil(L); lua_next(L, bars); lua_pop(L, 1))
            if (!lua_isinteger(L, -2) || lua_tointeger(L, -2) < 0 ||
                lua_tointeger(L, -2) >= PCI_BARS)
                luadev_wrong(L, t, "pci: bars are numbered from 0 to %d", PCI_BARS - 1);
        for (int i = 0; i < PCI_BARS; i++) {
            if (lua_rawgeti(L, bars, i) != LUA_TNIL)
                read_bar(L, t, i);
            lua_settop(L, bars);
        }
    }
    lua_pop(L, 1);
}

void luadev_read_pci(lua_State *L, struct luadev_type *t, int spec)
{
    t->config_written = -1;
    lua_getfield(L, spec, "pci");
    if (t->parent != LUADEV_PCI) {
        if (!lua_isnil(L, -1))
            luadev_wrong(L, t, "pci is for types with parent = \"pci-device\"");
        lua_pop(L, 1);
        return;
    }
    int at = lua_gettop(L);
    luadev_known_keys(L, t, at, "pci", &luadev_pci_keys);
    t->pci = (struct pci_class){
        .vendor = (uint16_t)luadev_integer(L, t, at, "pci", "vendor", -1, 0, 0xfffe),
        .device = (uint16_t)luadev_integer(L, t, at, "pci", "device", -1, 0, 0xffff),
        .class_id = (uint16_t)luadev_integer(L, t, at, "pci", "class", 0xff00, 0, 0xffff),
        .revision = (uint8_t)luadev_integer(L, t, at, "pci", "revision", 0, 0, 0xff),
        .prog_if = (uint8_t)luadev_integer(L, t, at, "pci", "prog_if", 0, 0, 0xff),
        .subsystem = (uint16_t)luadev_integer(L, t, at, "pci", "subsystem", 0, 0, 0xffff),
        .subsystem_vendor =
            (uint16_t)luadev_integer(L, t, at, "pci", "subsystem_vendor", 0, 0, 0xffff),
        .interrupt_pin = (uint8_t)luadev_integer(L, t, at, "pci", "pin", 0, 0, PCI_PINS),
    };
    t->config_written = luadev_function(L, t, at, "pci", "config_written");
    if (t->config_written >= 0)
        t->pci.config_written = luadev_config_written;
    t->type.class_data = &t->pci;
    read_bars(L, t, at);
    lua_pop(L, 1);
}
