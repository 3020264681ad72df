/* Between the two halves of the PCI core: devices (pci.c) and their bus (pci_bus.c). */
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
