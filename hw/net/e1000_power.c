/* The e1000's power states: D0 and D3hot, and what the power management capability says.
 *
 * 317453: 4.1 (configuration space), 6.3.1 (states), 6.3.3 (registers), 14.7 (resets). Asleep the
 * card sends nothing, receives for its wake-up filters only, and has no BARs; coming back it is as
 * after power on, but for the EEPROM and what tells who woke. AUX_POWER is 0: no waking from
 * D3cold. The EEPROM says nothing of the power that is used, so the Data register is 0. */
#include "hw/net/e1000_internal.h"

/* In units of 0.1 W where the card has a value to give: D0's and D3's, used and given off. */
static void power_update_data(struct e1000 *s)
{
    enum { HAS_VALUE = 1 << 0 | 1 << 3 | 1 << 4 | 1 << 7, TENTHS = 1 << 13 };
    uint8_t *status = s->pci.config + E1000_POWER_AT + PCI_POWER_STATUS;
    unsigned v = ld_le16(status), select = (v & PCI_POWER_DATA_SELECT) >> 9;
    v &= ~PCI_POWER_DATA_SCALE;
    st_le16(status, (uint16_t)(v | (HAS_VALUE >> select & 1 ? TENTHS : 0)));
}

void e1000_config_written(struct pci_device *d, unsigned offset, uint32_t value, unsigned size)
{
    power_update_data((struct e1000 *)d);
}

void e1000_power_reset(struct e1000 *s)
{
    power_update_data(s);
}

void e1000_power_changed(struct pci_device *d, bool awake)
{
    struct e1000 *s = (struct e1000 *)d;
    if (awake) {
        e1000_wake_up(s);
        return;
    }
    d->config[PCI_COMMAND] &= (uint8_t) ~(PCI_COMMAND_IO | PCI_COMMAND_MEMORY); /* 6.3.1.4 */
    e1000_cancel_timers(s);
    e1000_tx_forget(s);
    if (s->port.link)
        net_port_ready(&s->port); /* what waited for room */
}
