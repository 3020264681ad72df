/* Between the two halves of the PCI core: devices (pci.c) and their bus (pci_bus.c). */
#pragma once

#include "dev/pci.h"

/* Make what the device drives on the bus agree with its pin, its INTx-disable bit and the routing.
 */
void pci_update_intx(struct pci_device *d);
