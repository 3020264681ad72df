/* The PCI bus: who sits in which slot, and the wired-OR interrupt lines that pins lead to. */
#include "base/alloc.h"
#include "dev/dev_internal.h"
#include "dev/pci_internal.h"

#include <stddef.h>

/* ---- slots ---- */

static struct pci_device *pci_of(struct device *d)
{
    return CONTAINER_OF(d, struct pci_device, dev);
}

/* The lowest function in `slot`, or NULL. */
static struct pci_device *occupant(const struct pci_bus *b, int slot)
{
    for (int fn = 0; fn < PCI_FUNCTIONS; fn++)
        if (b->devices[PCI_DEVFN(slot, fn)])
            return b->devices[PCI_DEVFN(slot, fn)];
    return NULL;
}

static bool choose_slot(struct pci_bus *b, struct pci_device *d, struct error *err)
{
    for (int slot = 1; slot < PCI_SLOTS; slot++) {
        if (!occupant(b, slot)) {
            d->devfn = PCI_DEVFN(slot, 0);
            d->auto_slot = true;
            return true;
        }
    }
    return error_set(err, "%s: all slots of bus '%s' are taken", device_name(&d->dev), b->bus.name);
}

/* Software looks at functions 1 to 7 only if function 0 says that there are such. */
static bool check_multifunction(struct pci_bus *b, struct pci_device *d, struct error *err)
{
    int slot = PCI_SLOT(d->devfn), fn = PCI_FUNC(d->devfn);
    struct pci_device *first = b->devices[PCI_DEVFN(slot, 0)];
    if (fn && first && !first->multifunction)
        return error_set(err,
                         "%s cannot be at %02x.%x of bus '%s': function 0 there, %s, is not "
                         "multifunction; set its property multifunction=true",
                         device_name(&d->dev), slot, fn, b->bus.name, device_name(&first->dev));
    struct pci_device *other = occupant(b, slot);
    if (!fn && other && !d->multifunction)
        return error_set(err,
                         "%s at %02x.0 of bus '%s' must have multifunction=true, because %s is at "
                         "%02x.%x",
                         device_name(&d->dev), slot, b->bus.name, device_name(&other->dev), slot,
                         PCI_FUNC(other->devfn));
    return true;
}

static bool pci_attach(struct bus *bus, struct device *dev, struct error *err)
{
    struct pci_bus *b = CONTAINER_OF(bus, struct pci_bus, bus);
    struct pci_device *d = pci_of(dev);
    d->auto_slot = false;
    if (d->devfn < 0 && !choose_slot(b, d, err))
        return false;
    struct pci_device *there = b->devices[d->devfn];
    if (there)
        return error_set(err, "%s: slot %02x.%x of bus '%s' is taken by %s; choose another addr",
                         device_name(dev), PCI_SLOT(d->devfn), PCI_FUNC(d->devfn), bus->name,
                         device_name(&there->dev));
    if (!check_multifunction(b, d, err))
        return false;
    b->devices[d->devfn] = d;
    return true;
}

static void pci_detach(struct bus *bus, struct device *dev)
{
    struct pci_bus *b = CONTAINER_OF(bus, struct pci_bus, bus);
    struct pci_device *d = pci_of(dev);
    b->devices[d->devfn] = NULL;
    if (d->auto_slot)
        d->devfn = -1;
}

static char *pci_address(struct device *d)
{
    return prop_pci_addr_text(pci_of(d)->devfn);
}

void pci_bus_init(struct pci_bus *b, const char *name, struct device *parent, struct region *memory,
                  struct region *io)
{
    *b = (struct pci_bus){ .memory = memory, .io = io };
    bus_init(&b->bus, "PCI", name, parent);
    b->bus.attach = pci_attach;
    b->bus.detach = pci_detach;
    b->bus.device_address = pci_address;
}

void pci_bus_fini(struct pci_bus *b)
{
    bus_fini(&b->bus);
}

struct pci_bus *pci_bus_of(struct pci_device *d)
{
    return CONTAINER_OF(d->dev.parent_bus, struct pci_bus, bus);
}

struct pci_device *pci_find(struct pci_bus *b, int devfn)
{
    return devfn >= 0 && devfn < PCI_SLOTS * PCI_FUNCTIONS ? b->devices[devfn] : NULL;
}

/* ---- interrupt pins ---- */

static void drive(struct pci_bus *b, int irq, int change)
{
    b->pin_count[irq] += change;
    int edge = change > 0 ? 1 : 0;
    if (b->set_irq && b->pin_count[irq] == edge)
        b->set_irq(b->irq_opaque, irq, edge);
}

/* The bus irq that the device's pin leads to; -1 when it has no pin or nobody routes. */
static int irq_of(struct pci_bus *b, struct pci_device *d)
{
    int pin = d->config[PCI_INTERRUPT_PIN] - 1;
    if (pin < 0 || pin >= PCI_PINS || !b->map_irq)
        return -1;
    int irq = b->map_irq(d, pin);
    return irq >= 0 && irq < PCI_PINS ? irq : -1;
}

static bool wants_irq(const struct pci_device *d)
{
    return d->intx_level && pci_is_alive(d) &&
           !(ld_le16(d->config + PCI_COMMAND) & PCI_COMMAND_INTX_DISABLE);
}

void pci_update_intx(struct pci_device *d)
{
    struct pci_bus *b = pci_bus_of(d);
    int irq = wants_irq(d) ? irq_of(b, d) : -1;
    int before = d->intx_irq;
    if (irq == before)
        return;
    d->intx_irq = irq;
    TRACE(pci_trace, PCI_INTX, device_source(&d->dev), (uint64_t)irq);
    if (before >= 0)
        drive(b, before, -1);
    if (irq >= 0)
        drive(b, irq, 1);
}

void pci_bus_irqs_rerouted(struct pci_bus *b)
{
    for (int i = 0; i < PCI_PINS; i++)
        b->pin_count[i] = 0;
    for (int i = 0; i < PCI_SLOTS * PCI_FUNCTIONS; i++) {
        struct pci_device *d = b->devices[i];
        if (!d)
            continue;
        d->intx_irq = wants_irq(d) ? irq_of(b, d) : -1;
        if (d->intx_irq >= 0)
            b->pin_count[d->intx_irq]++;
    }
    for (int i = 0; b->set_irq && i < PCI_PINS; i++)
        b->set_irq(b->irq_opaque, i, b->pin_count[i] > 0);
}

void pci_bus_set_irqs(struct pci_bus *b, void (*set_irq)(void *, int, bool),
                      int (*map_irq)(struct pci_device *, int), void *opaque)
{
    /* Who listened until now is left with all lines low. */
    for (int i = 0; b->set_irq && i < PCI_PINS; i++)
        b->set_irq(b->irq_opaque, i, false);
    b->set_irq = set_irq;
    b->map_irq = map_irq;
    b->irq_opaque = opaque;
    pci_bus_irqs_rerouted(b);
}
