/* PCI devices: the configuration header and what it does: BARs, bus mastering, the interrupt pin.
 *
 * PCI Local Bus Specification 3.0, chapter 6. The core owns bytes 0x00-0x3f; a device may make more
 * of them writable by `wmask` and `w1cmask` in its realize. */
#include "base/log.h"
#include "dev/machine.h"
#include "dev/pci_internal.h"

#include <assert.h>
#include <string.h>

#define UNMAPPED UINT64_MAX

enum {
    PCI_COMMAND_PARITY = 1 << 6,
    PCI_COMMAND_SERR = 1 << 8,
    PCI_COMMAND_WRITABLE = PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER |
                           PCI_COMMAND_PARITY | PCI_COMMAND_SERR | PCI_COMMAND_INTX_DISABLE,
    PCI_STATUS_ERRORS = 0xf900, /* parity, system error, aborts: write 1 to clear (6.2.3) */
    PCI_BAR_IS_IO = 1,
    PCI_BAR_IS_64 = 4,
    PCI_BAR_PRIORITY = 1, /* above what lies in the bus's space beneath them */
};

static const struct trace_event pci_events[] = {
    [PCI_CONFIG_READ] = { "pci.config_read",
                          "configuration space is read",
                          { { "offset", TRACE_HEX },
                            { "size", TRACE_BYTES },
                            { "value", TRACE_HEX } } },
    [PCI_CONFIG_WRITE] = { "pci.config_write",
                           "configuration space is written",
                           { { "offset", TRACE_HEX },
                             { "size", TRACE_BYTES },
                             { "value", TRACE_HEX } } },
    [PCI_BAR_MAP] = { "pci.bar_map",
                      "a BAR answers at an address now",
                      { { "bar", TRACE_DEC },
                        { "io", TRACE_BOOL },
                        { "addr", TRACE_HEX },
                        { "size", TRACE_BYTES } } },
    [PCI_BAR_UNMAP] = { "pci.bar_unmap",
                        "a BAR answers at its address no more",
                        { { "bar", TRACE_DEC }, { "addr", TRACE_HEX } } },
    [PCI_BUS_MASTER] = { "pci.bus_master",
                         "a function may do DMA, or no more",
                         { { "on", TRACE_BOOL } } },
    [PCI_INTX] = { "pci.intx",
                   "a function drives an interrupt of its bus, or stops to (-1)",
                   { { "irq", TRACE_INT } } },
};
struct trace_table pci_trace = TRACE_TABLE(pci_events);

/* ---- BARs ---- */

static unsigned bar_offset(unsigned n)
{
    return PCI_BAR0 + 4 * n;
}

/* Where the registers say that a BAR is, or UNMAPPED. Address 0 is what reset leaves and the last
 * one what sizing writes: at neither does a BAR answer. */
static uint64_t bar_address(const struct pci_device *d, unsigned n)
{
    const struct pci_bar *bar = &d->bars[n];
    const uint8_t *at = d->config + bar_offset(n);
    unsigned command = ld_le16(d->config + PCI_COMMAND);
    unsigned enable = bar->kind == PCI_BAR_IO ? PCI_COMMAND_IO : PCI_COMMAND_MEMORY;
    if (!(command & enable) || !pci_is_alive(d))
        return UNMAPPED;
    uint64_t addr = bar->kind == PCI_BAR_MEM64 ? ld_le64(at) : ld_le32(at);
    addr &= ~(bar->size - 1);
    uint64_t end = bar->kind == PCI_BAR_IO      ? UINT16_MAX
                   : bar->kind == PCI_BAR_MEM64 ? UINT64_MAX
                                                : UINT32_MAX;
    uint64_t last;
    if (addr == 0 || __builtin_add_overflow(addr, bar->size - 1, &last) || last >= end)
        return UNMAPPED;
    return addr;
}

static void move_bar(struct pci_device *d, struct pci_bar *bar, uint64_t addr)
{
    struct pci_bus *b = pci_bus_of(d);
    uint64_t n = (uint64_t)(bar - d->bars);
    if (bar->region->parent) {
        region_remove(bar->region);
        TRACE(pci_trace, PCI_BAR_UNMAP, device_source(&d->dev), n, bar->addr);
    }
    bar->addr = addr;
    if (addr == UNMAPPED)
        return;
    region_add(bar->kind == PCI_BAR_IO ? b->io : b->memory, addr, bar->region, PCI_BAR_PRIORITY);
    TRACE(pci_trace, PCI_BAR_MAP, device_source(&d->dev), n, bar->kind == PCI_BAR_IO, addr,
          bar->size);
}

static void update_bars(struct pci_device *d)
{
    for (unsigned n = 0; n < PCI_BARS; n++) {
        struct pci_bar *bar = &d->bars[n];
        if (bar->kind == PCI_BAR_NONE)
            continue;
        uint64_t addr = bar_address(d, n);
        if (addr != bar->addr)
            move_bar(d, bar, addr);
    }
}

void pci_register_bar(struct pci_device *d, unsigned n, enum pci_bar_kind kind,
                      struct region *region)
{
    uint64_t size = region->last + 1;
    bool wide = kind == PCI_BAR_MEM64;
    assert(n + wide < PCI_BARS && d->bars[n].kind == PCI_BAR_NONE);
    assert(is_pow2(size) && size >= (kind == PCI_BAR_IO ? 4 : 16));
    assert(wide || size <= (kind == PCI_BAR_IO ? 1u << 15 : 1u << 31));
    d->bars[n] = (struct pci_bar){ kind, region, size, UNMAPPED };
    unsigned at = bar_offset(n);
    uint64_t mask = ~(size - 1);
    st_le32(d->config + at, kind == PCI_BAR_IO ? PCI_BAR_IS_IO : wide ? PCI_BAR_IS_64 : 0);
    st_le(d->wmask + at, wide ? 8 : 4, mask);
}

/* ---- configuration accesses ---- */

/* One transaction: the guest sees the BARs move at once. */
void pci_header_changed(struct pci_device *d)
{
    struct mem *mem = d->dev.machine->mem;
    bool master = ld_le16(d->config + PCI_COMMAND) & PCI_COMMAND_MASTER && pci_is_alive(d);
    if (master != d->bus_master.enabled)
        TRACE(pci_trace, PCI_BUS_MASTER, device_source(&d->dev), master);
    mem_begin(mem);
    update_bars(d);
    region_set_enabled(&d->bus_master, master);
    mem_commit(mem);
    pci_update_intx(d);
}

void pci_set_connected(struct pci_device *d, bool connected)
{
    if (d->unplugged != connected)
        return;
    d->unplugged = !connected;
    pci_header_changed(d);
    pci_update_pme(pci_bus_of(d));
}

static bool in_config(unsigned offset, unsigned size)
{
    return (size == 1 || size == 2 || size == 4) && offset <= PCI_CONFIG_SIZE - size;
}

uint32_t pci_config_read(struct pci_device *d, unsigned offset, unsigned size)
{
    if (!d || d->unplugged || !in_config(offset, size))
        return (uint32_t)bits_mask(8 * size);
    const struct pci_class *class = pci_class_of(d);
    uint32_t value = class->config_read ? class->config_read(d, offset, size)
                                        : (uint32_t)ld_le(d->config + offset, size);
    TRACE(pci_trace, PCI_CONFIG_READ, device_source(&d->dev), offset, size, value);
    return value;
}

static bool touches(unsigned offset, unsigned size, unsigned first, unsigned last)
{
    return offset <= last && offset + size > first;
}

void pci_config_write(struct pci_device *d, unsigned offset, uint32_t value, unsigned size)
{
    if (!d || d->unplugged || !in_config(offset, size))
        return;
    TRACE(pci_trace, PCI_CONFIG_WRITE, device_source(&d->dev), offset, size, value);
    unsigned power = pci_power_state(d);
    for (unsigned i = 0; i < size; i++) {
        uint8_t *byte = &d->config[offset + i];
        uint8_t written = (uint8_t)(value >> 8 * i), mask = d->wmask[offset + i];
        *byte = (*byte & ~mask) | (written & mask);
        *byte &= ~(written & d->w1cmask[offset + i]);
    }
    if (touches(offset, size, PCI_COMMAND, PCI_COMMAND + 1) ||
        touches(offset, size, PCI_BAR0, bar_offset(PCI_BARS) - 1))
        pci_header_changed(d);
    pci_power_written(d, power);
    const struct pci_class *class = pci_class_of(d);
    if (class->config_written)
        class->config_written(d, offset, value, size);
}

/* ---- the interrupt pin ---- */

void pci_set_irq(struct pci_device *d, bool level)
{
    d->intx_level = level;
    uint8_t *status = &d->config[PCI_STATUS];
    *status = (uint8_t)((*status & ~PCI_STATUS_INTERRUPT) | (level ? PCI_STATUS_INTERRUPT : 0));
    pci_update_intx(d);
}

/* ---- the device type ---- */

const struct pci_class *pci_class_of(const struct pci_device *d)
{
    return device_class_data(&d->dev);
}

static void fill_header(struct pci_device *d, const struct pci_class *class)
{
    memset(d->config, 0, sizeof d->config);
    memset(d->wmask, 0, sizeof d->wmask);
    memset(d->w1cmask, 0, sizeof d->w1cmask);
    st_le16(d->config + PCI_VENDOR_ID, class->vendor);
    st_le16(d->config + PCI_DEVICE_ID, class->device);
    d->config[PCI_REVISION_ID] = class->revision;
    d->config[PCI_CLASS_PROG] = class->prog_if;
    st_le16(d->config + PCI_CLASS_DEVICE, class->class_id);
    d->config[PCI_HEADER_TYPE] = d->multifunction ? PCI_HEADER_MULTIFUNCTION : 0;
    st_le16(d->config + PCI_SUBSYSTEM_VENDOR_ID, class->subsystem_vendor);
    st_le16(d->config + PCI_SUBSYSTEM_ID, class->subsystem);
    d->config[PCI_INTERRUPT_PIN] = class->interrupt_pin;
    st_le16(d->wmask + PCI_COMMAND, PCI_COMMAND_WRITABLE);
    st_le16(d->w1cmask + PCI_STATUS, PCI_STATUS_ERRORS);
    d->wmask[PCI_CACHE_LINE_SIZE] = 0xff;
    d->wmask[PCI_LATENCY_TIMER] = 0xff;
    d->wmask[PCI_INTERRUPT_LINE] = 0xff;
    pci_power_fill(d, class);
}

static bool pci_init(struct device *dev, struct error *err)
{
    CONTAINER_OF(dev, struct pci_device, dev)->intx_irq = -1;
    return true;
}

static bool pci_realize(struct device *dev, struct error *err)
{
    struct pci_device *d = CONTAINER_OF(dev, struct pci_device, dev);
    const struct pci_class *class = pci_class_of(d);
    if (!class)
        return error_set(err, "%s: type %s does not say its PCI vendor, device and class",
                         device_name(dev), dev->type->name);
    fill_header(d, class);
    struct machine *m = dev->machine;
    region_init_container(&d->bus_master_container, m->mem, "bus master container",
                          REGION_SIZE_ALL);
    region_init_alias(&d->bus_master, m->mem, "bus master", &m->system, 0, REGION_SIZE_ALL);
    d->bus_master_container.owner = d->bus_master.owner = dev;
    mem_begin(m->mem);
    region_set_enabled(&d->bus_master, false);
    region_add(&d->bus_master_container, 0, &d->bus_master, 0);
    mem_commit(m->mem);
    d->dma = address_space_new(m->mem, &d->bus_master_container, dev->type->name);
    return true;
}

static void pci_unrealize(struct device *dev)
{
    struct pci_device *d = CONTAINER_OF(dev, struct pci_device, dev);
    pci_set_irq(d, false);
    pci_power_reset(d);
    for (unsigned n = 0; n < PCI_BARS; n++) {
        if (d->bars[n].kind != PCI_BAR_NONE && d->bars[n].region->parent)
            region_remove(d->bars[n].region);
        d->bars[n] = (struct pci_bar){ .kind = PCI_BAR_NONE };
    }
    address_space_free(d->dma);
    d->dma = NULL;
    region_fini(&d->bus_master);
    region_fini(&d->bus_master_container);
}

void pci_header_reset(struct pci_device *d)
{
    for (unsigned i = PCI_COMMAND; i < PCI_COMMAND + 4; i++)
        d->config[i] &= (uint8_t) ~(d->wmask[i] | d->w1cmask[i]);
    for (unsigned i = PCI_BAR0; i < bar_offset(PCI_BARS); i++)
        d->config[i] &= (uint8_t)~d->wmask[i];
    d->config[PCI_CACHE_LINE_SIZE] = 0;
    d->config[PCI_LATENCY_TIMER] = 0;
    d->config[PCI_INTERRUPT_LINE] = 0;
}

/* RST#: nothing enabled, nothing mapped, no pin driven. Device-specific bytes are the device's own
 * to reset. */
static void pci_reset(struct device *dev)
{
    struct pci_device *d = CONTAINER_OF(dev, struct pci_device, dev);
    pci_set_irq(d, false);
    pci_header_reset(d);
    pci_power_reset(d);
    pci_header_changed(d);
}

static const struct prop pci_props[] = {
    PROP(PROP_PCI_ADDR, struct pci_device, devfn, "addr", NULL,
         "slot and function, as 03.0; the first free slot unless given"),
    PROP(PROP_BOOL, struct pci_device, multifunction, "multifunction", "false",
         "the slot has more functions than this one"),
    PROP_END,
};

static const struct state_field pci_state[] = {
    STATE_BYTES(struct pci_device, config),
    STATE_BOOL(struct pci_device, intx_level),
    STATE_BOOL(struct pci_device, unplugged),
    STATE_END,
};

const struct device_type pci_device_type = {
    .name = "pci-device",
    .parent = "device",
    .desc = "a function on a PCI bus, with a type 0 header",
    .instance_size = sizeof(struct pci_device),
    .abstract = true,
    .bus_type = "PCI",
    .props = pci_props,
    .state = pci_state,
    .init = pci_init,
    .realize = pci_realize,
    .unrealize = pci_unrealize,
    .reset = pci_reset,
};
