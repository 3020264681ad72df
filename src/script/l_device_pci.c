/* Taking a PCI function off its bus, and putting it back. */
#include "script/script_fault.h"

#include "dev/pci.h"

static struct pci_device *check_function(lua_State *L)
{
    struct device *d = binding_ptr(L, 1, META_DEVICE);
    if (!device_is_a(d, pci_device_type.name) || !d->realized)
        luaL_error(L, "%s is not on a PCI bus", device_name(d));
    return (struct pci_device *)d;
}

int l_device_disconnect(lua_State *L)
{
    pci_set_connected(check_function(L), false);
    return 0;
}

int l_device_reconnect(lua_State *L)
{
    pci_set_connected(check_function(L), true);
    return 0;
}

int l_device_get_connected(lua_State *L)
{
    struct device *d = binding_ptr(L, 1, META_DEVICE);
    lua_pushboolean(L, d->realized && !(device_is_a(d, pci_device_type.name) &&
                                        ((struct pci_device *)d)->unplugged));
    return 1;
}
