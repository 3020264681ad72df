/* Between the parts of the PCI core: devices (pci.c), their power (pci_power.c), their bus
 * (pci_bus.c). */
#pragma once

#include "dev/pci.h"

/* Events, of the table pci_trace. */
enum {
    PCI_CONFIG_READ,
    PCI_CONFIG_WRITE,
    PCI_BAR_MAP,
    PCI_BAR_UNMAP,
    PCI_BUS_MASTER,
    PCI_INTX,
};

/* Make what the device drives on the bus agree with its pin, its INTx-disable bit and the routing.
 */
void pci_update_intx(struct pci_device *d);

/* Make everything that follows from the header's bits and the power state so. */
void pci_header_changed(struct pci_device *d);
/* To what RST# leaves; what follows from it is not yet so. */
void pci_header_reset(struct pci_device *d);

/* Is it there for the bus: neither taken off nor asleep? */
static inline bool pci_is_alive(const struct pci_device *d)
{
    return !d->unplugged && !pci_is_asleep(d);
}

void pci_power_fill(struct pci_device *d, const struct pci_class *class);
void pci_power_reset(struct pci_device *d);
unsigned pci_power_state(const struct pci_device *d);
/* Make the bus's PME# what its functions drive together. */
void pci_update_pme(struct pci_bus *b);
/* After a write to configuration space; `before`: the power state before it. */
void pci_power_written(struct pci_device *d, unsigned before);
