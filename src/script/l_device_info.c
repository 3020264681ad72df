/* What a device's bus knows of it, as data for listings. */
#include "script/binding.h"
#include "script/script_state.h"

#include "dev/pci.h"
#include "dev/sysbus.h"

static void set_integer(lua_State *L, const char *name, uint64_t v)
{
    lua_pushinteger(L, (lua_Integer)v);
    lua_setfield(L, -2, name);
}

static void push_sysbus_info(lua_State *L, struct sysbus_device *s)
{
    lua_createtable(L, (int)s->mmio_count, 0);
    for (unsigned i = 0; i < s->mmio_count; i++) {
        lua_createtable(L, 0, 2);
        set_integer(L, "addr", s->mmio[i].mapped ? s->mmio[i].addr : UINT64_MAX);
        set_integer(L, "last", s->mmio[i].region->last);
        lua_rawseti(L, -2, i + 1);
    }
    lua_setfield(L, -2, "mmio");
}

static void push_pci_info(lua_State *L, struct pci_device *p)
{
    lua_createtable(L, 0, 10);
    set_integer(L, "slot", PCI_SLOT(p->devfn));
    set_integer(L, "fn", PCI_FUNC(p->devfn));
    set_integer(L, "class", ld_le16(&p->config[PCI_CLASS_DEVICE]));
    set_integer(L, "vendor", ld_le16(&p->config[PCI_VENDOR_ID]));
    set_integer(L, "device", ld_le16(&p->config[PCI_DEVICE_ID]));
    set_integer(L, "subsystem_vendor", ld_le16(&p->config[PCI_SUBSYSTEM_VENDOR_ID]));
    set_integer(L, "subsystem", ld_le16(&p->config[PCI_SUBSYSTEM_ID]));
    set_integer(L, "irq", p->config[PCI_INTERRUPT_LINE]);
    set_integer(L, "pin", p->config[PCI_INTERRUPT_PIN]);
    lua_newtable(L);
    lua_Integer n = 0;
    for (int i = 0; i < PCI_BARS; i++) {
        if (p->bars[i].kind == PCI_BAR_NONE || !p->bars[i].region)
            continue;
        lua_createtable(L, 0, 4);
        set_integer(L, "index", i);
        set_integer(L, "addr", p->bars[i].addr);
        set_integer(L, "size", p->bars[i].size);
        lua_pushstring(L, p->bars[i].kind == PCI_BAR_IO ? "i/o" : "mem");
        lua_setfield(L, -2, "kind");
        lua_rawseti(L, -2, ++n);
    }
    lua_setfield(L, -2, "bars");
    lua_setfield(L, -2, "pci");
}

static void push_isa_info(lua_State *L, struct isa_device *d)
{
    lua_newtable(L);
    lua_Integer n = 0;
    for (int i = 0; i < 2; i++) {
        if (d->irqs[i] >= 0) {
            lua_pushinteger(L, d->irqs[i]);
            lua_rawseti(L, -2, ++n);
        }
    }
    lua_setfield(L, -2, "isa_irqs");
}

/* { mmio = ... } or { pci = ... } or { isa_irqs = ... } */
int l_device_info(lua_State *L)
{
    struct device *d = binding_ptr(L, 1, META_DEVICE);
    lua_newtable(L);
    if (device_is_a(d, sysbus_device_type.name))
        push_sysbus_info(L, (struct sysbus_device *)d);
    if (device_is_a(d, pci_device_type.name))
        push_pci_info(L, (struct pci_device *)d);
    if (device_is_a(d, isa_device_type.name))
        push_isa_info(L, (struct isa_device *)d);
    return 1;
}

/* ---- state ---- */

/* state() → { field = value }, what a snapshot would hold: arrays as lists, bytes as strings, of a
 * timer its deadline or false */
int l_device_state(lua_State *L)
{
    struct device *d = binding_ptr(L, 1, META_DEVICE);
    lua_newtable(L);
    if (d->type->fetch && d->realized)
        d->type->fetch(d);
    for (unsigned i = 0; i < d->chain_len; i++) {
        for (const struct state_field *f = d->chain[i]->state; f && f->name; f++) {
            push_state_field(L, d, f);
            lua_setfield(L, -2, f->name);
        }
    }
    return 1;
}
