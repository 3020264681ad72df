/* What the functions of a Lua device do by way of `dev`: drive lines, move memory, talk to the
 * character backend, ask things of the machine. */
#include "script/luadev_internal.h"

#include "base/log.h"

#include <string.h>

enum { DMA_MAX = 16 << 20 };

static bool check_level(lua_State *L, int index)
{
    return lua_isboolean(L, index) ? lua_toboolean(L, index) : luaL_checkinteger(L, index) != 0;
}

/* ---- lines ---- */

/* irq(level), irq(n, level): an interrupt line of the device, or its PCI pin. */
int l_dev_irq(lua_State *L)
{
    struct device *d = luadev_check(L);
    const struct luadev_type *t = luadev_type_of(d);
    bool numbered = !lua_isnoneornil(L, 3);
    lua_Integer n = numbered ? luaL_checkinteger(L, 2) : 0;
    bool level = check_level(L, numbered ? 3 : 2);
    if (t->parent == LUADEV_PCI && t->pci.interrupt_pin) {
        luaL_argcheck(L, n == 0, 2, "a PCI device has one pin");
        pci_set_irq((struct pci_device *)d, level);
        return 0;
    }
    if (n < 0 || n >= (lua_Integer)t->irqs)
        return luaL_error(L, "%s has no interrupt line %d; it has %d, counted from 0",
                          device_name(d), (int)n, (int)t->irqs);
    irq_set(t->parent == LUADEV_ISA ? luadev_of(d)->isa_irq : luadev_lines(d)[n], level);
    return 0;
}

/* gpio(name, n, level): drive an output. */
int l_dev_gpio(lua_State *L)
{
    struct device *d = luadev_check(L);
    const struct luadev_type *t = luadev_type_of(d);
    const char *name = luaL_checkstring(L, 2);
    lua_Integer n = luaL_checkinteger(L, 3);
    bool level = check_level(L, 4);
    for (unsigned i = 0; i < t->out_count; i++) {
        if (strcmp(t->out[i].name, name))
            continue;
        luaL_argcheck(L, n >= 0 && n < (lua_Integer)t->out[i].count, 3, "there is no such line");
        irq_set(luadev_lines(d)[t->out[i].first + (unsigned)n], level);
        return 0;
    }
    return luaL_error(L, "%s has no gpio_out \"%s\"", device_name(d), name);
}

/* level(name, n): what an input is driven to. */
int l_dev_level(lua_State *L)
{
    struct device *d = luadev_check(L);
    struct error err = { 0 };
    struct irq *irq =
        device_gpio_in(d, luaL_checkstring(L, 2), (unsigned)luaL_optinteger(L, 3, 0), &err);
    if (!irq)
        return script_raise(L, &err);
    lua_pushboolean(L, irq->level);
    return 1;
}

/* ---- DMA ---- */

/* A PCI device sees memory through its bus-master bit. */
static struct address_space *dma_space(struct device *d)
{
    struct address_space *as = d->machine->memory;
    return luadev_type_of(d)->parent == LUADEV_PCI ? ((struct pci_device *)d)->dma : as;
}

static struct address_space *check_dma(lua_State *L, struct device *d)
{
    struct address_space *as = dma_space(d);
    if (!as)
        luaL_error(L, "%s is on no bus: there is no DMA", device_name(d));
    return as;
}

/* dma_read(addr, n) → bytes, whether all of it was there; what was not reads as all ones. */
int l_dev_dma_read(lua_State *L)
{
    struct device *d = luadev_check(L);
    uint64_t addr = (uint64_t)luaL_checkinteger(L, 2);
    lua_Integer n = luaL_checkinteger(L, 3);
    struct address_space *as = check_dma(L, d);
    luaL_argcheck(L, n >= 0 && n <= DMA_MAX, 3, "a transfer has 0 to 16 MiB");
    luaL_Buffer b;
    char *bytes = luaL_buffinitsize(L, &b, (size_t)n);
    memset(bytes, 0xff, (size_t)n);
    enum mem_result r = address_space_read(as, addr, bytes, (size_t)n);
    luaL_pushresultsize(&b, (size_t)n);
    lua_pushboolean(L, r == MEM_OK);
    return 2;
}

/* dma_write(addr, bytes) → whether all of it arrived */
int l_dev_dma_write(lua_State *L)
{
    struct device *d = luadev_check(L);
    uint64_t addr = (uint64_t)luaL_checkinteger(L, 2);
    size_t len;
    const char *bytes = luaL_checklstring(L, 3, &len);
    struct address_space *as = check_dma(L, d);
    luaL_argcheck(L, len <= DMA_MAX, 3, "a transfer has 0 to 16 MiB");
    lua_pushboolean(L, address_space_write(as, addr, bytes, len) == MEM_OK);
    return 1;
}

/* ---- characters ---- */

static struct chardev *chardev_of(struct device *d)
{
    const struct luadev_type *t = luadev_type_of(d);
    return t->chardev ? *(struct chardev **)((char *)d + t->props[t->chardev - 1].offset) : NULL;
}

/* send(bytes | byte): to the character backend; nowhere without one. */
int l_dev_send(lua_State *L)
{
    struct device *d = luadev_check(L);
    size_t len = 1;
    char byte;
    const char *bytes = &byte;
    if (lua_isinteger(L, 2))
        byte = (char)lua_tointeger(L, 2);
    else
        bytes = luaL_checklstring(L, 2, &len);
    struct chardev *c = chardev_of(d);
    if (c && d->path)
        chardev_write(c, (const uint8_t *)bytes, len);
    return 0;
}

/* accept(): there is room again for what waits at the backend. */
int l_dev_accept(lua_State *L)
{
    struct device *d = luadev_check(L);
    struct chardev *c = chardev_of(d);
    if (c && luadev_of(d)->attached)
        chardev_accept_input(c);
    return 0;
}

/* ---- the machine ---- */

/* request("reset" | "poweroff" | "pause"), request("exit", status): at the next safe point. */
int l_dev_request(lua_State *L)
{
    static const char *const names[] = { "reset", "poweroff", "pause", "exit", NULL };
    static const enum machine_request requests[] = { REQUEST_RESET, REQUEST_POWEROFF, REQUEST_PAUSE,
                                                     REQUEST_EXIT };
    struct device *d = luadev_check(L);
    int what = luaL_checkoption(L, 2, NULL, names);
    machine_request(d->machine, requests[what], (int)luaL_optinteger(L, 3, 0), device_name(d));
    return 0;
}

/* log(text): what a guest did wrong, rate-limited with all such messages. */
int l_dev_log(lua_State *L)
{
    struct device *d = luadev_check(L);
    log_guest(device_name(d), "%s", luaL_checkstring(L, 2));
    return 0;
}

/* remove(): take the device out of the machine, from within its own functions too. */
int l_dev_remove(lua_State *L)
{
    struct device *d = luadev_check(L);
    struct mem *mem = d->machine->mem;
    struct script_vm *svm = luadev_type_of(d)->svm;
    if (d->path && !d->realized)
        return luaL_error(L, "%s is being realized", device_name(d));
    mem_begin(mem);
    device_retire(d);
    mem_commit(mem);
    binding_sweep(L, svm);
    return 0;
}
