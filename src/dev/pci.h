/* The PCI core: configuration space, BARs, bus mastering, interrupt pins.
 *
 * PCI Local Bus Specification 3.0, chapter 6 (configuration space) and 2.2.6 (interrupt pins).
 * Type 0 headers on one bus; bridges are not modelled. */
#pragma once

#include "dev/bus.h"
#include "mem/address_space.h"
#include "mem/region.h"

enum {
    PCI_VENDOR_ID = 0x00,
    PCI_DEVICE_ID = 0x02,
    PCI_COMMAND = 0x04,
    PCI_COMMAND_IO = 1 << 0,
    PCI_COMMAND_MEMORY = 1 << 1,
    PCI_COMMAND_MASTER = 1 << 2,
    PCI_COMMAND_INTX_DISABLE = 1 << 10,
    PCI_STATUS = 0x06,
    PCI_STATUS_INTERRUPT = 1 << 3,
    PCI_STATUS_CAP_LIST = 1 << 4,
    PCI_REVISION_ID = 0x08,
    PCI_CLASS_PROG = 0x09,
    PCI_CLASS_DEVICE = 0x0a,
    PCI_CACHE_LINE_SIZE = 0x0c,
    PCI_LATENCY_TIMER = 0x0d,
    PCI_HEADER_TYPE = 0x0e,
    PCI_HEADER_MULTIFUNCTION = 0x80,
    PCI_BAR0 = 0x10,
    PCI_SUBSYSTEM_VENDOR_ID = 0x2c,
    PCI_SUBSYSTEM_ID = 0x2e,
    PCI_ROM_ADDRESS = 0x30,
    PCI_CAPABILITY_LIST = 0x34,
    PCI_INTERRUPT_LINE = 0x3c,
    PCI_INTERRUPT_PIN = 0x3d,
    /* The power management capability, from its beginning (PCI Power Management 1.1, 3.2). */
    PCI_CAP_POWER = 1,
    PCI_POWER_CAPABILITIES = 2,
    PCI_POWER_DSI = 1 << 5, /* the driver must initialize the function */
    PCI_POWER_PME_D0 = 1 << 11,
    PCI_POWER_PME_D3HOT = 1 << 14,
    PCI_POWER_STATUS = 4, /* PMCSR */
    PCI_POWER_STATE = 3 << 0,
    PCI_POWER_D0 = 0,
    PCI_POWER_D3 = 3,
    PCI_POWER_PME_ENABLE = 1 << 8,
    PCI_POWER_DATA_SELECT = 15 << 9,
    PCI_POWER_DATA_SCALE = 3 << 13,
    PCI_POWER_PME_STATUS = 1 << 15,
    PCI_POWER_PME = PCI_POWER_PME_ENABLE | PCI_POWER_PME_STATUS,
    PCI_CONFIG_SIZE = 256,
    PCI_BARS = 6,
    PCI_SLOTS = 32,
    PCI_FUNCTIONS = 8,
    PCI_PINS = 4,
};

#define PCI_DEVFN(slot, fn) ((slot) << 3 | (fn))
#define PCI_SLOT(devfn)     ((devfn) >> 3 & 31)
#define PCI_FUNC(devfn)     ((devfn)&7)

struct pci_device;

/* Constant per type: device_type.class_data of a PCI device type, or of the nearest parent that
 * has one. */
struct pci_class {
    uint16_t vendor, device, subsystem_vendor, subsystem;
    uint8_t revision, prog_if;
    uint16_t class_id;     /* base class << 8 | sub-class */
    uint8_t interrupt_pin; /* 0: none, 1: INTA ... */
    /* Called for writes to configuration space after the core has acted on them; may be NULL. */
    void (*config_written)(struct pci_device *d, unsigned offset, uint32_t value, unsigned size);
    /* Replaces the core's read, which is that of `config`, when not NULL. */
    uint32_t (*config_read)(struct pci_device *d, unsigned offset, unsigned size);
    /* Where the power management capability is, 0: there is none; its PMC register. */
    uint8_t power_at;
    uint16_t power_capabilities;
    /* Told of a change between D0 and D3hot; before it wakes, the header has been reset. May be
     * NULL. */
    void (*power_changed)(struct pci_device *d, bool awake);
};

enum pci_bar_kind { PCI_BAR_NONE, PCI_BAR_MEM32, PCI_BAR_MEM64, PCI_BAR_IO };

struct pci_bar {
    enum pci_bar_kind kind;
    struct region *region;
    uint64_t size; /* a power of two */
    uint64_t addr; /* where it is mapped; UINT64_MAX: not mapped */
};

struct pci_device {
    struct device dev;
    int32_t devfn; /* property "addr"; -1: the first free slot, fixed at realize */
    bool multifunction;
    uint8_t config[PCI_CONFIG_SIZE];
    uint8_t wmask[PCI_CONFIG_SIZE];   /* bits that writes can change */
    uint8_t w1cmask[PCI_CONFIG_SIZE]; /* bits that writing 1 clears */
    struct pci_bar bars[PCI_BARS];
    bool unplugged;   /* by pci_set_connected() */
    bool auto_slot;   /* devfn was chosen here, not given */
    bool intx_level;  /* what the device drives on its pin */
    uint8_t power_at; /* of the power management capability; 0: none */
    int intx_irq;     /* the bus irq that this device raises now; -1: none */
    /* DMA: enabled by the bus-master bit. Use address_space_read/write on `dma`. */
    struct region bus_master_container, bus_master;
    struct address_space *dma;
};

extern const struct device_type pci_device_type; /* "pci-device", bus type "PCI" */

struct pci_bus {
    struct bus bus;
    struct region *memory, *io; /* where BARs are mapped */
    struct pci_device *devices[PCI_SLOTS * PCI_FUNCTIONS];
    /* Which of the bus's `pin_irqs` the pin (0..3) of a device drives; set by the host bridge or
     * the interrupt router. Lines are wired-OR: pin_count counts who drives each. */
    int (*map_irq)(struct pci_device *d, int pin);
    void (*set_irq)(void *opaque, int irq, bool level);
    void *irq_opaque;
    int pin_count[PCI_PINS];
    struct irq *pme; /* PME#: wired-OR too; a gpio-out of the host bridge */
    /* For other devices to follow a route: the ISA/IOAPIC line a bus irq goes to, -1: none. */
    int (*route_irq)(void *opaque, int irq);
};

void pci_bus_init(struct pci_bus *b, const char *name, struct device *parent, struct region *memory,
                  struct region *io);
void pci_bus_fini(struct pci_bus *b);
struct pci_bus *pci_bus_of(struct pci_device *d);

/* Set how pins reach the interrupt controller; see struct pci_bus. */
void pci_bus_set_irqs(struct pci_bus *b, void (*set_irq)(void *, int, bool),
                      int (*map_irq)(struct pci_device *, int), void *opaque);

/* Routes have changed, in map_irq or behind set_irq: count anew who drives which irq, and tell
 * set_irq the level of every one. */
void pci_bus_irqs_rerouted(struct pci_bus *b);

/* In realize: BAR `n` (0..5). `region` stays embedded in the device's state and must have a
 * power-of-two size (at least 16 bytes of memory, 4 of I/O); a MEM64 BAR takes two. */
void pci_register_bar(struct pci_device *d, unsigned n, enum pci_bar_kind kind,
                      struct region *region);

/* Of a device on a PCI bus: the class_data that applies. */
const struct pci_class *pci_class_of(const struct pci_device *d);

/* Configuration accesses as the bus makes them: offset 0..255, size 1, 2 or 4, naturally
 * aligned. A missing device (NULL) reads all ones. */
uint32_t pci_config_read(struct pci_device *d, unsigned offset, unsigned size);
void pci_config_write(struct pci_device *d, unsigned offset, uint32_t value, unsigned size);

/* Take the function off its bus, as by surprise, or put it back: off it, configuration space and
 * BARs read as all ones and writes are lost, DMA meets nothing, the interrupt pin is not driven.
 * The device itself goes on and keeps its registers. What it has besides BARs stays. */
void pci_set_connected(struct pci_device *d, bool connected);

/* Drive the device's own interrupt pin; honours the INTx-disable bit. */
void pci_set_irq(struct pci_device *d, bool level);

/* Is the function in D3hot? */
bool pci_is_asleep(const struct pci_device *d);

/* PME_En and PME_Status (PCI_POWER_PME_...), which are PME# when both are set; 0 without the
 * capability. The device may set them, as for an event. */
unsigned pci_pme(const struct pci_device *d);
void pci_set_pme(struct pci_device *d, unsigned bits);

/* NULL: nobody there. */
struct pci_device *pci_find(struct pci_bus *b, int devfn);
