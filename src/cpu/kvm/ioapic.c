/* kvm-ioapic: the I/O APIC in the kernel, with its 24 inputs.
 *
 * The guest's accesses never get here. A script and the monitor can read its registers at the same
 * place, by the same two steps. */
#include "cpu/kvm/irqchip.h"

#include "base/log.h"
#include "dev/chip_state.h"
#include "dev/ioapic_regs.h"
#include "dev/state.h"
#include "dev/sysbus.h"

enum { VERSION = (IOAPIC_PINS - 1) << 16 | 0x11 };
_Static_assert(IOAPIC_PINS == KVM_IOAPIC_NUM_PINS, "the kernel's is the same chip");

struct kvm_ioapic {
    struct sysbus_device sysbus;
    struct region mmio;
    struct kvm_chips *chips;
    uint8_t select; /* of accesses from outside: the guest has its own */
    struct kvm_ioapic_state state;
};

static void ioapic_set_line(void *opaque, int n, bool level)
{
    struct kvm_ioapic *s = opaque;

    kvm_chips_set_line(s->chips, GSI_IOAPIC + n, level);
}

static void ioapic_fetch(struct device *d)
{
    struct kvm_ioapic *s = (struct kvm_ioapic *)d;
    struct kvm_irqchip c = { .chip_id = KVM_IRQCHIP_IOAPIC };

    kvm_chips_get(s->chips, &c);
    s->state = c.chip.ioapic;
}

static void ioapic_store(struct kvm_ioapic *s)
{
    struct kvm_irqchip c = { .chip_id = KVM_IRQCHIP_IOAPIC };

    c.chip.ioapic = s->state;
    kvm_chips_set(s->chips, &c);
}

static uint32_t ioapic_register(const struct kvm_ioapic *s)
{
    unsigned reg = s->select, pin = (reg - IOAPIC_REDTBL) / 2;

    if (reg == IOAPIC_ID || reg == IOAPIC_ARB)
        return s->state.id << 24;
    if (reg == IOAPIC_VER)
        return VERSION;
    if (reg < IOAPIC_REDTBL || pin >= KVM_IOAPIC_NUM_PINS)
        return 0;
    return (uint32_t)(s->state.redirtbl[pin].bits >> (reg & 1 ? 32 : 0));
}

static uint64_t ioapic_read(void *opaque, uint64_t offset, unsigned size)
{
    struct kvm_ioapic *s = opaque;

    ioapic_fetch(&s->sysbus.dev);
    return offset == IOAPIC_IOREGSEL ? s->select : offset == IOAPIC_IOWIN ? ioapic_register(s) : 0;
}

static void ioapic_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    struct kvm_ioapic *s = opaque;

    if (offset == IOAPIC_IOREGSEL)
        s->select = (uint8_t)value;
    else
        log_host(LOG_WARN, device_name(&s->sysbus.dev),
                 "0x%llx is not written: registers of chips in the kernel are the guest's alone to "
                 "write; use irqchip=user",
                 (unsigned long long)value);
}

static const struct region_ops ioapic_ops = {
    .read = ioapic_read,
    .write = ioapic_write,
    .valid = { 1, 8 },
    .impl = { 4, 4 },
};

static bool ioapic_init(struct device *d, struct error *err)
{
    struct kvm_ioapic *s = (struct kvm_ioapic *)d;

    region_init_io(&s->mmio, d->machine->mem, "kvm-ioapic", 0x1000, &ioapic_ops, s);
    s->mmio.owner = d;
    device_init_gpio_in(d, "", ioapic_set_line, KVM_IOAPIC_NUM_PINS);
    return true;
}

static bool ioapic_realize(struct device *d, struct error *err)
{
    struct kvm_ioapic *s = (struct kvm_ioapic *)d;

    s->chips = kvm_chips_of(d, false, err);
    if (!s->chips)
        return false;
    if (s->chips->ioapic)
        return error_set(err, "%s: there is %s already, and the kernel has one only",
                         device_name(d), device_name(s->chips->ioapic));
    s->chips->ioapic = d;
    sysbus_add_mmio(&s->sysbus, &s->mmio);
    return true;
}

static void ioapic_unrealize(struct device *d)
{
    ((struct kvm_ioapic *)d)->chips->ioapic = NULL;
}

/* The kernel takes what waits from `irr`, which holds the levels of lines as well. */
static void ioapic_reset(struct device *d)
{
    struct kvm_ioapic *s = (struct kvm_ioapic *)d;

    ioapic_fetch(d);
    s->state.ioregsel = s->state.id = s->state.irr = 0;
    for (unsigned n = 0; n < KVM_IOAPIC_NUM_PINS; n++) {
        s->state.redirtbl[n].bits = REDIR_MASK;
        s->state.irr |= (uint32_t)device_gpio_in(d, "", n, NULL)->level << n;
    }
    ioapic_store(s);
}

static void ioapic_finalize(struct device *d)
{
    region_fini(&((struct kvm_ioapic *)d)->mmio);
}

static const struct state_field ioapic_state[] = {
    { "base_address", STATE_KIND_U64, offsetof(struct kvm_ioapic, state.base_address), 1 },
    { "ioregsel", STATE_KIND_U32, offsetof(struct kvm_ioapic, state.ioregsel), 1 },
    { "id", STATE_KIND_U32, offsetof(struct kvm_ioapic, state.id), 1 },
    { "irr", STATE_KIND_U32, offsetof(struct kvm_ioapic, state.irr), 1 },
    { "redirtbl", STATE_KIND_U64, offsetof(struct kvm_ioapic, state.redirtbl),
      KVM_IOAPIC_NUM_PINS },
    STATE_END,
};

static void ioapic_get_state(struct device *d, void *state)
{
    ioapic_fetch(d);
    *(struct kvm_ioapic_state *)state = ((struct kvm_ioapic *)d)->state;
}

static void ioapic_set_state(struct device *d, const void *state)
{
    struct kvm_ioapic *s = (struct kvm_ioapic *)d;

    s->state = *(const struct kvm_ioapic_state *)state;
    ioapic_store(s);
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

const struct device_type kvm_ioapic_type = {
    .name = "kvm-ioapic",
    .parent = "sys-bus-device",
    .desc = "I/O APIC in the host's kernel (accel=kvm, irqchip=kernel)",
    .instance_size = sizeof(struct kvm_ioapic),
    .state = ioapic_state,
    .interfaces = ioapic_interfaces,
    .init = ioapic_init,
    .realize = ioapic_realize,
    .unrealize = ioapic_unrealize,
    .reset = ioapic_reset,
    .fetch = ioapic_fetch,
    .finalize = ioapic_finalize,
};
