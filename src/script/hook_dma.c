/* Hooks on the DMA of a device: transfers through the address space that a PCI function has. */
#include "dev/pci.h"
#include "script/script_hook.h"

#include <string.h>

struct dma_call {
    struct script_hook *h;
    uint64_t addr;
    uint8_t *data;
    size_t len;
    bool write;
    enum space_verdict verdict;
};

/* f(device, address, bytes, direction) */
static int push_dma(lua_State *L, void *opaque)
{
    struct dma_call *call = opaque;
    binding_push(L, call->h->svm, META_DEVICE, call->h->dma.device);
    lua_pushinteger(L, (lua_Integer)call->addr);
    lua_pushlstring(L, (const char *)call->data, call->len);
    lua_pushstring(L, call->write ? "write" : "read");
    return 4;
}

static void take_dma(lua_State *L, void *opaque)
{
    struct dma_call *call = opaque;
    if (hook_says_stop(L, call->h)) {
        vm_pause(call->h->svm->vm, "hook");
    } else if (lua_isboolean(L, HOOK_RESULT) && !lua_toboolean(L, HOOK_RESULT)) {
        call->verdict = SPACE_NOTHING;
    } else if (lua_type(L, HOOK_RESULT) == LUA_TSTRING) {
        size_t len;
        const char *bytes = lua_tolstring(L, HOOK_RESULT, &len);
        if (len == 0 && call->write) {
            call->verdict = SPACE_TAKEN;
            return;
        }
        if (len != call->len)
            luaL_error(L, "%d bytes cannot take the place of %d", (int)len, (int)call->len);
        memcpy(call->data, bytes, len);
    }
}

static enum space_verdict on_transfer(void *opaque, uint64_t addr, uint8_t *data, size_t len,
                                      bool write)
{
    struct script_hook *h = opaque;
    if (!(write ? h->dma.writes : h->dma.reads))
        return SPACE_GO;
    struct dma_call call = { h, addr, data, len, write, SPACE_GO };
    script_hook_call(h, push_dma, take_dma, &call);
    return call.verdict;
}

static void space_gone(void *opaque)
{
    struct script_hook *h = opaque;
    h->dma.as = NULL;
}

static void install_dma(lua_State *L, struct script_hook *h, int filter)
{
    static const char *const directions[] = { "both", "read", "write", NULL };
    struct device *d = filter_object(L, filter, "device", META_DEVICE);
    lua_getfield(L, filter, "dir");
    int dir = check_choice(L, "vm:on: dir", "both", directions);
    lua_pop(L, 1);
    struct address_space *as =
        device_is_a(d, pci_device_type.name) ? ((struct pci_device *)d)->dma : NULL;
    if (!as)
        luaL_error(L,
                   "vm:on(\"dma\"): %s has no address space for DMA of its own: PCI functions have",
                   device_name(d));
    h->dma.device = d;
    h->dma.as = as;
    h->dma.reads = dir != 2;
    h->dma.writes = dir != 1;
    h->dma.tap = (struct space_tap){ .transfer = on_transfer, .gone = space_gone, .opaque = h };
    address_space_add_tap(as, &h->dma.tap);
}

static void remove_dma(struct script_hook *h)
{
    if (h->dma.as)
        address_space_remove_tap(h->dma.as, &h->dma.tap);
}

static const struct binding_member dma_keys[] = {
    { "device", NULL, "device", "a PCI function" },
    { "dir", NULL, "\"read\" or \"write\"", "which way; both unless given" },
    { NULL },
};
const struct hook_kind hook_dma = {
    "dma", install_dma, remove_dma,
    HOOK_DOC("dma", dma_keys, "(device, address, bytes, dir: string) → string or false or \"stop\"",
             "a transfer of a device; a string of that length replaces the bytes, \"\" swallows a "
             "write")
};
