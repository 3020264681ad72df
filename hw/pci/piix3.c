/* PIIX3: the PCI-to-ISA bridge of the PC, function 01:00.0.
 *
 * It provides the ISA bus "isa.0", routes the four PCI interrupt lines (PIRQA-PIRQD) onto the ISA
 * ones and holds the reset control port. A line that an ISA device and routed PIRQs share is the OR
 * of their levels: gpio-in "isa-irq" (what isa.0's devices drive) and the PIRQs come in, gpio-out
 * "isa-irq" goes to the interrupt controllers.
 *
 * Intel 82371FB (PIIX) and 82371SB (PIIX3) datasheet, order 290550: 2.2 (ISA bridge
 * configuration), 2.2.6 (PIRQRC), 2.5.5.7 (reset control). DMA aliasing, X-bus chip selects and SMM
 * timers hold what is written and do no more: what they steer is not modelled. The edge/level
 * register is part of the interrupt controller. Machine lock for all. */
#include "dev/isa.h"
#include "dev/machine.h"
#include "dev/pci.h"

#include <string.h>

/* Offsets in configuration space. */
enum {
    PIIX3_IORT = 0x4c,
    PIIX3_XBCS = 0x4e,
    PIIX3_PIRQRCA = 0x60, /* ... PIRQRCD 0x63 */
    PIIX3_PIRQRC_DISABLE = 1 << 7,
    PIIX3_PIRQRC_IRQ = 0x0f,
    PIIX3_TOM = 0x69,
    PIIX3_MSTAT = 0x6a,
    PIIX3_MBIRQ0 = 0x70,
    PIIX3_MBDMA0 = 0x76,
    PIIX3_PCSC = 0x78,
    PIIX3_APICBASE = 0x80,
    PIIX3_DLC = 0x82,
    PIIX3_SMICNTL = 0xa0,
    PIIX3_SMIEN = 0xa2,
    PIIX3_SEE = 0xa4,
    PIIX3_FTMR = 0xa8,
    PIIX3_SMIREQ = 0xaa,
    PIIX3_CTLTMR = 0xac,
    PIIX3_CTHTMR = 0xae,
};

enum {
    PIIX3_RC_PORT = 0xcf9,
    PIIX3_RC_HARD = 1 << 1, /* SRST: the next reset is of the whole machine, not of the cpu alone */
    PIIX3_RC_GO = 1 << 2,   /* RCPU: a change from 0 to 1 resets */
    PIRQS = 4,
};

struct piix3 {
    struct pci_device pci;
    struct isa_bus isa;
    struct region reset_port;
    struct irq *out[ISA_IRQS]; /* to the interrupt controllers */
    uint16_t isa_levels;       /* what ISA devices drive */
    uint8_t pirq_levels;       /* what PCI devices drive, bit per PIRQ */
    uint8_t reset_control;
};

/* IRQs 0, 1, 2, 8 and 13 belong to the board: the datasheet reserves their numbers in PIRQRC. */
#define PIIX3_ROUTABLE_IRQS 0xdef8

/* The ISA line that a PIRQ is routed to, -1: none. */
static int piix3_route(void *opaque, int pirq)
{
    struct piix3 *s = opaque;
    uint8_t rc = s->pci.config[PIIX3_PIRQRCA + pirq];
    unsigned irq = rc & PIIX3_PIRQRC_IRQ;
    return rc & PIIX3_PIRQRC_DISABLE || !(PIIX3_ROUTABLE_IRQS >> irq & 1) ? -1 : (int)irq;
}

enum {
    PIIX3_ROUTE,
    PIIX3_PIRQ,
};

static const struct trace_event piix3_events[] = {
    [PIIX3_ROUTE] = { "piix3.route",
                      "the guest routes a PCI interrupt to an ISA line (-1: to none)",
                      { { "pirq", TRACE_DEC }, { "irq", TRACE_INT } } },
    [PIIX3_PIRQ] = { "piix3.pirq",
                     "a PCI interrupt changes",
                     { { "pirq", TRACE_DEC }, { "level", TRACE_BOOL }, { "irq", TRACE_INT } } },
};
struct trace_table piix3_trace = TRACE_TABLE(piix3_events);

static uint16_t piix3_levels(struct piix3 *s)
{
    uint16_t levels = s->isa_levels;
    for (int pirq = 0; pirq < PIRQS; pirq++) {
        int irq = piix3_route(s, pirq);
        if (irq >= 0 && s->pirq_levels >> pirq & 1)
            levels |= 1 << irq;
    }
    return levels;
}

/* Lines of one sink are told of changes only, so driving all of them costs no spurious edge. */
static void piix3_update_lines(struct piix3 *s)
{
    uint16_t levels = piix3_levels(s);
    for (unsigned n = 0; n < ISA_IRQS; n++)
        irq_set(s->out[n], levels >> n & 1);
}

static void piix3_isa_irq(void *opaque, int n, bool level)
{
    struct piix3 *s = opaque;
    s->isa_levels = bits_put(s->isa_levels, n, 1, level);
    irq_set(s->out[n], piix3_levels(s) >> n & 1);
}

static void piix3_set_pirq(void *opaque, int pirq, bool level)
{
    struct piix3 *s = opaque;
    s->pirq_levels = bits_put(s->pirq_levels, pirq, 1, level);
    int irq = piix3_route(s, pirq);
    TRACE(piix3_trace, PIIX3_PIRQ, device_source(&s->pci.dev), (uint64_t)pirq, level,
          (uint64_t)irq);
    if (irq >= 0)
        irq_set(s->out[irq], piix3_levels(s) >> irq & 1);
}

/* The board's wiring: INTA of slot 1 is PIRQA, and each slot further starts one line later. */
static int piix3_map_pin(struct pci_device *d, int pin)
{
    return (PCI_SLOT(d->devfn) + pin - 1) & (PIRQS - 1);
}

static void piix3_config_written(struct pci_device *d, unsigned offset, uint32_t value,
                                 unsigned size)
{
    if (offset + size <= PIIX3_PIRQRCA || offset >= PIIX3_PIRQRCA + PIRQS)
        return;
    for (unsigned pirq = 0; pirq < PIRQS; pirq++)
        if (PIIX3_PIRQRCA + pirq >= offset && PIIX3_PIRQRCA + pirq < offset + size)
            TRACE(piix3_trace, PIIX3_ROUTE, device_source(&d->dev), pirq,
                  (uint64_t)piix3_route(d, (int)pirq));
    piix3_update_lines((struct piix3 *)d);
}

static uint64_t reset_control_read(void *opaque, uint64_t offset, unsigned size)
{
    struct piix3 *s = opaque;
    return s->reset_control;
}

/* A reset of the cpu alone and one of the machine are the same thing here: firmware that asks for
 * the former expects no state to survive but RAM, which both keep. */
static void reset_control_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    struct piix3 *s = opaque;
    bool go = value & ~s->reset_control & PIIX3_RC_GO;
    s->reset_control = value & (PIIX3_RC_HARD | PIIX3_RC_GO);
    if (go)
        machine_request(s->pci.dev.machine, REQUEST_RESET, 0, device_name(&s->pci.dev));
}

static const struct region_ops reset_control_ops = {
    .read = reset_control_read,
    .write = reset_control_write,
    .valid = { .min = 1, .max = 1 },
};

/* What configuration bytes hold after reset, and which bits can be written. */
static const struct {
    uint8_t offset, count, reset, wmask;
} piix3_bytes[] = {
    { PIIX3_IORT, 1, 0x4d, 0x7f },     { PIIX3_XBCS, 1, 0x03, 0xff },
    { PIIX3_XBCS + 1, 1, 0x00, 0x03 }, { PIIX3_PIRQRCA, PIRQS, 0x80, 0x8f },
    { PIIX3_TOM, 1, 0x02, 0xfa },      { PIIX3_MSTAT, 2, 0x00, 0x00 },
    { PIIX3_MBIRQ0, 1, 0x80, 0xef },   { PIIX3_MBDMA0, 2, 0x0c, 0x8f },
    { PIIX3_PCSC, 1, 0x02, 0xff },     { PIIX3_PCSC + 1, 1, 0x00, 0xff },
    { PIIX3_APICBASE, 1, 0x00, 0x7f }, { PIIX3_DLC, 1, 0x00, 0x0f },
    { PIIX3_SMICNTL, 1, 0x08, 0x1f },  { PIIX3_SMIEN, 2, 0x00, 0xff },
    { PIIX3_SEE, 4, 0x00, 0xff },      { PIIX3_FTMR, 1, 0x0f, 0xff },
    { PIIX3_SMIREQ, 2, 0x00, 0xff },   { PIIX3_CTLTMR, 1, 0x00, 0xff },
    { PIIX3_CTHTMR, 1, 0x00, 0xff },
};

static bool piix3_realize(struct device *d, struct error *err)
{
    struct piix3 *s = (struct piix3 *)d;
    struct machine *m = d->machine;

    for (unsigned i = 0; i < ARRAY_LEN(piix3_bytes); i++)
        memset(&s->pci.wmask[piix3_bytes[i].offset], piix3_bytes[i].wmask, piix3_bytes[i].count);
    /* The bridge always decodes: these command bits are hardwired (2.2.3). */
    s->pci.wmask[PCI_COMMAND] &= ~(PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);

    isa_bus_init(&s->isa, "isa.0", d, &m->io_ports);
    for (unsigned n = 0; n < ISA_IRQS; n++)
        s->isa.irqs[n] = device_gpio_in(d, "isa-irq", n, NULL);

    region_init_io(&s->reset_port, m->mem, "piix3-reset-control", 1, &reset_control_ops, s);
    region_add(&m->io_ports, PIIX3_RC_PORT, &s->reset_port, 1);

    pci_bus_set_irqs(pci_bus_of(&s->pci), piix3_set_pirq, piix3_map_pin, s);
    pci_bus_of(&s->pci)->route_irq = piix3_route;
    return true;
}

static void piix3_unrealize(struct device *d)
{
    struct piix3 *s = (struct piix3 *)d;
    struct pci_bus *b = pci_bus_of(&s->pci);
    pci_bus_set_irqs(b, NULL, NULL, NULL);
    b->route_irq = NULL;
    region_fini(&s->reset_port);
    isa_bus_fini(&s->isa);
}

static bool piix3_init(struct device *d, struct error *err)
{
    struct piix3 *s = (struct piix3 *)d;
    s->pci.multifunction = true; /* the IDE and power management functions share the slot */
    device_init_gpio_in(d, "isa-irq", piix3_isa_irq, ISA_IRQS);
    device_init_gpio_out(d, "isa-irq", s->out, ISA_IRQS);
    return true;
}

/* Levels that other devices drive are theirs: they fall with those devices' own resets. */
static void piix3_reset(struct device *d)
{
    struct piix3 *s = (struct piix3 *)d;
    for (unsigned i = 0; i < ARRAY_LEN(piix3_bytes); i++)
        memset(&s->pci.config[piix3_bytes[i].offset], piix3_bytes[i].reset, piix3_bytes[i].count);
    st_le16(&s->pci.config[PCI_COMMAND], PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
    s->reset_control = 0;
    piix3_update_lines(s);
}

static const struct state_field piix3_state[] = {
    STATE_U16(struct piix3, isa_levels),
    STATE_U8(struct piix3, pirq_levels),
    STATE_U8(struct piix3, reset_control),
    STATE_END,
};

static const struct pci_class piix3_class = {
    .vendor = 0x8086,
    .device = 0x7000,
    .subsystem_vendor = 0x1af4,
    .subsystem = 0x1100,
    .class_id = 0x0601,
    .config_written = piix3_config_written,
};

const struct device_type piix3_type = {
    .name = "PIIX3",
    .parent = "pci-device",
    .fixed = true,
    .desc = "Intel 82371SB PCI-to-ISA bridge with the ISA bus isa.0",
    .instance_size = sizeof(struct piix3),
    .state = piix3_state,
    .init = piix3_init,
    .realize = piix3_realize,
    .unrealize = piix3_unrealize,
    .reset = piix3_reset,
    .class_data = (void *)&piix3_class,
};
