/* Intel 82093AA I/O APIC: 24 inputs, each with a redirection entry that turns it into a message.
 *
 * Intel 82093AA datasheet (order 290566-001), and the EOI register of Intel's chipsets (82801
 * datasheets). Messages go to the machine's MSI sink (the local APICs), and level interrupts are
 * ended by the EOI that a local APIC broadcasts. Inputs are logical levels: the polarity bit is
 * kept and has no effect. An edge on a masked input is lost, as the datasheet says. */
#include "base/log.h"
#include "dev/chip_state.h"
#include "dev/ioapic_regs.h"
#include "dev/machine.h"
#include "dev/sysbus.h"

enum { IOAPIC_VERSION_EOI = 0x20 }; /* the first with the EOI register */

/* All but the remote IRR and the delivery status, which is always 0 as delivery is instant. */
#define REDIR_WRITABLE (0xffULL << REDIR_DEST_SHIFT | 0x1afffULL)

struct ioapic {
    struct sysbus_device sysbus;
    struct region mmio;
    struct eoi_listener eoi;
    uint32_t gsi_base;
    uint8_t version;
    /* state */
    uint8_t select;
    uint8_t id;
    uint32_t lines; /* levels of the inputs */
    uint64_t redir[IOAPIC_PINS];
};

enum {
    IOAPIC_SEND,
    IOAPIC_REDIR,
    IOAPIC_END,
};

static const struct trace_event ioapic_events[] = {
    [IOAPIC_SEND] = { "ioapic.send",
                      "an input sends its message",
                      { { "pin", TRACE_DEC },
                        { "vector", TRACE_HEX },
                        { "mode", TRACE_DEC },
                        { "dest", TRACE_HEX },
                        { "level", TRACE_BOOL } } },
    [IOAPIC_REDIR] = { "ioapic.redir",
                       "the guest writes a redirection entry",
                       { { "pin", TRACE_DEC }, { "entry", TRACE_HEX } } },
    [IOAPIC_END] = { "ioapic.eoi",
                     "the interrupt of a level-triggered input has been ended",
                     { { "pin", TRACE_DEC }, { "vector", TRACE_HEX } } },
};
struct trace_table ioapic_trace = TRACE_TABLE(ioapic_events);

/* SMI, NMI, INIT and ExtINT are edges, whatever the trigger mode says (3.2.4). */
static bool ioapic_is_level(uint64_t entry)
{
    return entry & REDIR_LEVEL && (entry >> REDIR_MODE_SHIFT & 7) <= REDIR_MODE_LOWEST;
}

/* The message of an entry (SDM vol. 3 10.11: the format of MSI, which is what the APIC bus carries
 * here). */
static uint64_t ioapic_message(uint64_t entry, uint32_t *data)
{
    *data = entry & (REDIR_VECTOR | 7u << REDIR_MODE_SHIFT);
    if (ioapic_is_level(entry))
        *data |= REDIR_LEVEL | 1 << 14; /* assert */
    return 0xfee00000 | entry >> REDIR_DEST_SHIFT << 12 | (entry & REDIR_LOGICAL ? 1 << 2 : 0);
}

static void ioapic_send(struct ioapic *s, unsigned pin)
{
    uint64_t entry = s->redir[pin];
    uint32_t data;
    uint64_t addr = ioapic_message(entry, &data);
    TRACE(ioapic_trace, IOAPIC_SEND, device_source(&s->sysbus.dev), pin, entry & REDIR_VECTOR,
          entry >> REDIR_MODE_SHIFT & 7, entry >> REDIR_DEST_SHIFT, ioapic_is_level(entry));
    machine_deliver_msi(s->sysbus.dev.machine, addr, data);
}

/* A level input that is up, unmasked, and not yet accepted by a local APIC. */
static void ioapic_service_level(struct ioapic *s, unsigned pin)
{
    uint64_t *entry = &s->redir[pin];
    if (!ioapic_is_level(*entry) || *entry & (REDIR_MASK | REDIR_REMOTE_IRR) ||
        !(s->lines >> pin & 1))
        return;
    *entry |= REDIR_REMOTE_IRR;
    ioapic_send(s, pin);
}

static void ioapic_set_line(void *opaque, int n, bool level)
{
    struct ioapic *s = opaque;
    bool rising = level && !(s->lines >> n & 1);
    s->lines = (uint32_t)bits_put(s->lines, n, 1, level);
    if (ioapic_is_level(s->redir[n]))
        ioapic_service_level(s, n);
    else if (rising && !(s->redir[n] & REDIR_MASK))
        ioapic_send(s, n);
}

static void ioapic_eoi(void *opaque, unsigned vector)
{
    struct ioapic *s = opaque;
    for (unsigned pin = 0; pin < IOAPIC_PINS; pin++) {
        uint64_t *entry = &s->redir[pin];
        if (!(*entry & REDIR_REMOTE_IRR) || (*entry & REDIR_VECTOR) != vector)
            continue;
        *entry &= ~REDIR_REMOTE_IRR;
        TRACE(ioapic_trace, IOAPIC_END, device_source(&s->sysbus.dev), pin, vector);
        ioapic_service_level(s, pin);
    }
}

static uint32_t ioapic_read_indirect(struct ioapic *s)
{
    unsigned pin = (s->select - IOAPIC_REDTBL) / 2;
    switch (s->select) {
    case IOAPIC_ID:
    case IOAPIC_ARB: /* arbitration takes its id from the ID register (3.2.3) */
        return (uint32_t)s->id << 24;
    case IOAPIC_VER:
        return (IOAPIC_PINS - 1) << 16 | s->version;
    }
    if (s->select < IOAPIC_REDTBL || pin >= IOAPIC_PINS) {
        log_guest(device_name(&s->sysbus.dev), "read of register 0x%x, which does not exist",
                  s->select);
        return 0;
    }
    return s->select & 1 ? s->redir[pin] >> 32 : s->redir[pin];
}

/* Whoever delivers may have to know which interrupts' ends are to be told. */
static void ioapic_route(struct ioapic *s, unsigned pin, uint64_t before)
{
    uint32_t data, data_before;
    uint64_t entry = s->redir[pin];
    uint64_t addr = ioapic_message(entry, &data),
             addr_before = ioapic_message(before, &data_before);
    bool level = ioapic_is_level(entry);
    if (!(level || ioapic_is_level(before)) || (addr == addr_before && data == data_before))
        return;
    machine_route_msi(s->sysbus.dev.machine, s->gsi_base + pin, level ? addr : 0, level ? data : 0);
}

static void ioapic_write_redir(struct ioapic *s, unsigned pin, bool high, uint32_t value)
{
    uint64_t *entry = &s->redir[pin], before = *entry;
    uint64_t wanted = bits_put(*entry, high ? 32 : 0, 32, value);
    *entry = (wanted & REDIR_WRITABLE) | (*entry & REDIR_REMOTE_IRR);
    /* Software that ends an interrupt without a broadcast switches to edge and back. */
    if (!ioapic_is_level(*entry))
        *entry &= ~REDIR_REMOTE_IRR;
    TRACE(ioapic_trace, IOAPIC_REDIR, device_source(&s->sysbus.dev), pin, *entry);
    ioapic_route(s, pin, before);
    ioapic_service_level(s, pin);
}

static void ioapic_write_indirect(struct ioapic *s, uint32_t value)
{
    unsigned pin = (s->select - IOAPIC_REDTBL) / 2;
    if (s->select == IOAPIC_ID)
        s->id = value >> 24 & 15;
    else if (s->select >= IOAPIC_REDTBL && pin < IOAPIC_PINS)
        ioapic_write_redir(s, pin, s->select & 1, value);
    else if (s->select != IOAPIC_VER && s->select != IOAPIC_ARB)
        log_guest(device_name(&s->sysbus.dev), "write to register 0x%x, which does not exist",
                  s->select);
}

static uint64_t ioapic_read(void *opaque, uint64_t offset, unsigned size)
{
    struct ioapic *s = opaque;
    switch (offset) {
    case IOAPIC_IOREGSEL:
        return s->select;
    case IOAPIC_IOWIN:
        return ioapic_read_indirect(s);
    }
    return 0;
}

static void ioapic_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    struct ioapic *s = opaque;
    switch (offset) {
    case IOAPIC_IOREGSEL:
        s->select = value;
        break;
    case IOAPIC_IOWIN:
        ioapic_write_indirect(s, value);
        break;
    case IOAPIC_EOI:
        if (s->version >= IOAPIC_VERSION_EOI)
            ioapic_eoi(s, value & REDIR_VECTOR);
        break;
    }
}

static const struct region_ops ioapic_ops = {
    .read = ioapic_read,
    .write = ioapic_write,
    .valid = { 1, 8 },
    .impl = { 4, 4 },
};

static bool ioapic_init(struct device *d, struct error *err)
{
    struct ioapic *s = (struct ioapic *)d;
    region_init_io(&s->mmio, d->machine->mem, "ioapic", 0x1000, &ioapic_ops, s);
    s->mmio.owner = d;
    s->eoi = (struct eoi_listener){ .eoi = ioapic_eoi, .opaque = s };
    device_init_gpio_in(d, "", ioapic_set_line, IOAPIC_PINS);
    return true;
}

static bool ioapic_realize(struct device *d, struct error *err)
{
    struct ioapic *s = (struct ioapic *)d;
    sysbus_add_mmio(&s->sysbus, &s->mmio);
    machine_add_eoi_listener(d->machine, &s->eoi);
    return true;
}

static void ioapic_unrealize(struct device *d)
{
    machine_remove_eoi_listener(d->machine, &((struct ioapic *)d)->eoi);
}

static void ioapic_reset(struct device *d)
{
    struct ioapic *s = (struct ioapic *)d;
    s->select = s->id = 0;
    for (unsigned pin = 0; pin < IOAPIC_PINS; pin++) {
        uint64_t before = s->redir[pin];
        s->redir[pin] = REDIR_MASK;
        ioapic_route(s, pin, before);
    }
}

static void ioapic_get_state(struct device *d, void *state)
{
    const struct ioapic *s = (struct ioapic *)d;
    struct kvm_ioapic_state *k = state;
    *k = (struct kvm_ioapic_state){
        .base_address = s->mmio.addr,
        .ioregsel = s->select,
        .id = s->id,
        .irr = s->lines,
    };
    for (unsigned pin = 0; pin < IOAPIC_PINS; pin++)
        k->redirtbl[pin].bits = s->redir[pin];
}

/* Its place is the machine's affair. What is up, unmasked and not accepted yet is sent. */
static void ioapic_set_state(struct device *d, const void *state)
{
    struct ioapic *s = (struct ioapic *)d;
    const struct kvm_ioapic_state *k = state;
    s->select = k->ioregsel;
    s->id = k->id & 15;
    s->lines = k->irr;
    for (unsigned pin = 0; pin < IOAPIC_PINS; pin++) {
        uint64_t before = s->redir[pin];
        s->redir[pin] = k->redirtbl[pin].bits & (REDIR_WRITABLE | REDIR_REMOTE_IRR);
        ioapic_route(s, pin, before);
        ioapic_service_level(s, pin);
    }
}

static const struct chip_state_ops ioapic_state_ops = {
    .size = sizeof(struct kvm_ioapic_state),
    .fields = chip_state_ioapic,
    .get = ioapic_get_state,
    .set = ioapic_set_state,
};

static const struct interface ioapic_interfaces[] = {
    { INTERFACE_CHIP_STATE, &ioapic_state_ops },
    { NULL, NULL },
};

static void ioapic_finalize(struct device *d)
{
    region_fini(&((struct ioapic *)d)->mmio);
}

static const struct prop ioapic_props[] = {
    PROP(PROP_U8, struct ioapic, version, "version", "0x20",
         "0x11: the 82093AA; 0x20: those in chipsets, with an EOI register", .min = 0x11,
         .max = 0x20),
    PROP(PROP_U32, struct ioapic, gsi_base, "gsi_base", "0", "global system interrupt of input 0"),
    PROP_END,
};

static const struct state_field ioapic_state[] = {
    STATE_U8(struct ioapic, select),
    STATE_U8(struct ioapic, id),
    STATE_U32(struct ioapic, lines),
    STATE_ARRAY(STATE_KIND_U64, struct ioapic, redir),
    STATE_END,
};

const struct device_type ioapic_type = {
    .name = "ioapic",
    .parent = "sys-bus-device",
    .desc = "82093AA I/O APIC",
    .instance_size = sizeof(struct ioapic),
    .props = ioapic_props,
    .state = ioapic_state,
    .interfaces = ioapic_interfaces,
    .init = ioapic_init,
    .realize = ioapic_realize,
    .unrealize = ioapic_unrealize,
    .reset = ioapic_reset,
    .finalize = ioapic_finalize,
};
