/* PCI power management: the capability, the states D0 and D3hot, PME#, which is one line for a bus.
 *
 * PCI Bus Power Management Interface Specification 1.1: 3.2 (registers), 5.4 (states), 5.6.1 (what
 * D3 to D0 resets). A function that sleeps answers configuration accesses only: its BARs are not
 * there, it does no DMA and drives no interrupt pin. D1 and D2 are not to be had: writing them
 * changes nothing. There is no auxiliary power, so RST# resets all of it. */
#include "dev/machine.h"
#include "dev/pci_internal.h"

/* The PMCSR, or NULL. */
static uint8_t *status_of(struct pci_device *d)
{
    unsigned at = d->power_at;
    return at ? d->config + at + PCI_POWER_STATUS : NULL;
}

unsigned pci_power_state(const struct pci_device *d)
{
    return d->power_at ? d->config[d->power_at + PCI_POWER_STATUS] & PCI_POWER_STATE : 0;
}

bool pci_is_asleep(const struct pci_device *d)
{
    return pci_power_state(d) == PCI_POWER_D3;
}

unsigned pci_pme(const struct pci_device *d)
{
    return d->power_at ? ld_le16(d->config + d->power_at + PCI_POWER_STATUS) & PCI_POWER_PME : 0;
}

void pci_update_pme(struct pci_bus *b)
{
    bool driven = false;
    for (unsigned i = 0; i < PCI_SLOTS * PCI_FUNCTIONS && !driven; i++) {
        const struct pci_device *d = b->devices[i];
        driven = d && !d->unplugged && pci_pme(d) == PCI_POWER_PME;
    }
    irq_set(b->pme, driven);
}

static void drive_pme(struct pci_device *d)
{
    pci_update_pme(pci_bus_of(d));
}

void pci_set_pme(struct pci_device *d, unsigned bits)
{
    uint8_t *status = status_of(d);
    if (!status)
        return;
    st_le16(status, (uint16_t)((ld_le16(status) & ~PCI_POWER_PME) | (bits & PCI_POWER_PME)));
    drive_pme(d);
}

void pci_power_fill(struct pci_device *d, const struct pci_class *class)
{
    uint8_t *cap = d->config + class->power_at;
    d->power_at = class->power_at;
    if (!d->power_at)
        return;
    cap[0] = PCI_CAP_POWER;
    st_le16(cap + PCI_POWER_CAPABILITIES, class->power_capabilities);
    d->config[PCI_CAPABILITY_LIST] = class->power_at;
    d->config[PCI_STATUS] |= PCI_STATUS_CAP_LIST;
    st_le16(d->wmask + class->power_at + PCI_POWER_STATUS,
            PCI_POWER_STATE | PCI_POWER_PME_ENABLE | PCI_POWER_DATA_SELECT);
    st_le16(d->w1cmask + class->power_at + PCI_POWER_STATUS, PCI_POWER_PME_STATUS);
}

void pci_power_reset(struct pci_device *d)
{
    uint8_t *status = status_of(d);
    if (!status)
        return;
    st_le16(status, 0);
    drive_pme(d);
}

void pci_power_written(struct pci_device *d, unsigned before)
{
    if (!d->power_at)
        return;
    uint8_t *status = status_of(d);
    unsigned now = pci_power_state(d);
    const struct pci_class *class = pci_class_of(d);
    drive_pme(d);
    if (now != PCI_POWER_D0 && now != PCI_POWER_D3) {
        *status = (uint8_t)((*status & ~PCI_POWER_STATE) | before);
        return;
    }
    if (now == before)
        return;
    if (now == PCI_POWER_D0)
        pci_header_reset(d);
    if (class->power_changed)
        class->power_changed(d, now == PCI_POWER_D0);
    pci_header_changed(d);
}
