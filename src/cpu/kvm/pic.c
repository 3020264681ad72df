/* kvm-pic: the 8259A pair in the kernel, as one device with sixteen inputs.
 *
 * The guest's port accesses never get here. What a script, the monitor or the firmware's part of a
 * machine does at the same ports reaches the kernel's chips as far as it makes sense: registers can
 * be read, the masks and the edge/level registers written. */
#include "cpu/kvm/irqchip.h"

#include "base/log.h"
#include "dev/chip_state.h"
#include "dev/isa.h"
#include "dev/state.h"

#include <string.h>

enum { CHIPS = 2, PIC_DATA = 1, ELCR_BASE = 0x4d0 };

struct kvm_pic {
    struct isa_device isa;
    struct region io[CHIPS], elcr;
    struct kvm_chips *chips;
    struct irq *int_out;
    struct kvm_pic_state state[CHIPS];
};

static void pic_set_line(void *opaque, int n, bool level)
{
    struct kvm_pic *s = opaque;

    kvm_chips_set_line(s->chips, GSI_PIC + n, level);
}

static void pic_load(struct kvm_pic *s, unsigned n)
{
    struct kvm_irqchip c = { .chip_id = n };

    kvm_chips_get(s->chips, &c);
    s->state[n] = c.chip.pic;
}

static void pic_store(struct kvm_pic *s, unsigned n)
{
    struct kvm_irqchip c = { .chip_id = n };

    c.chip.pic = s->state[n];
    kvm_chips_set(s->chips, &c);
}

static void pic_fetch(struct device *d)
{
    for (unsigned n = 0; n < CHIPS; n++)
        pic_load((struct kvm_pic *)d, n);
}

/* ---- ports ---- */

static uint64_t pic_read(struct kvm_pic *s, unsigned n, uint64_t offset)
{
    pic_load(s, n);
    if (offset == PIC_DATA)
        return s->state[n].imr;
    return s->state[n].read_reg_select ? s->state[n].isr : s->state[n].irr;
}

static void pic_write(struct kvm_pic *s, unsigned n, uint64_t offset, uint64_t value)
{
    pic_load(s, n);
    if (offset != PIC_DATA || s->state[n].init_state) {
        log_host(LOG_WARN, device_name(&s->isa.dev),
                 "0x%02llx is not written: commands to chips in the kernel come from the guest "
                 "alone; use irqchip=user",
                 (unsigned long long)value);
        return;
    }
    s->state[n].imr = (uint8_t)value;
    pic_store(s, n);
}

static uint64_t master_read(void *opaque, uint64_t offset, unsigned size)
{
    return pic_read(opaque, KVM_IRQCHIP_PIC_MASTER, offset);
}

static void master_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    pic_write(opaque, KVM_IRQCHIP_PIC_MASTER, offset, value);
}

static uint64_t slave_read(void *opaque, uint64_t offset, unsigned size)
{
    return pic_read(opaque, KVM_IRQCHIP_PIC_SLAVE, offset);
}

static void slave_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    pic_write(opaque, KVM_IRQCHIP_PIC_SLAVE, offset, value);
}

static uint64_t elcr_read(void *opaque, uint64_t offset, unsigned size)
{
    struct kvm_pic *s = opaque;

    pic_load(s, offset);
    return s->state[offset].elcr;
}

static void elcr_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    struct kvm_pic *s = opaque;

    pic_load(s, offset);
    s->state[offset].elcr = (uint8_t)value & s->state[offset].elcr_mask;
    pic_store(s, offset);
}

/* clang-format off */
#define PORT_OPS(READ, WRITE)                                                  \
    {                                                                          \
        .read = READ, .write = WRITE, .valid = { 1, 4, .unaligned = true },    \
        .impl = { 1, 1 },                                                      \
    }
/* clang-format on */

static const struct region_ops pic_ops[CHIPS] = {
    PORT_OPS(master_read, master_write),
    PORT_OPS(slave_read, slave_write),
};
static const struct region_ops elcr_ops = PORT_OPS(elcr_read, elcr_write);

/* ---- the device ---- */

static bool pic_init(struct device *d, struct error *err)
{
    struct kvm_pic *s = (struct kvm_pic *)d;

    for (unsigned n = 0; n < CHIPS; n++) {
        region_init_io(&s->io[n], d->machine->mem, "kvm-pic", 2, &pic_ops[n], s);
        s->io[n].owner = d;
    }
    region_init_io(&s->elcr, d->machine->mem, "kvm-elcr", CHIPS, &elcr_ops, s);
    s->elcr.owner = d;
    device_init_gpio_in(d, "", pic_set_line, KVM_PIC_LINES);
    device_init_gpio_out(d, "", &s->int_out, 1);
    return true;
}

static bool pic_realize(struct device *d, struct error *err)
{
    struct kvm_pic *s = (struct kvm_pic *)d;

    s->chips = kvm_chips_of(d, false, err);
    if (!s->chips)
        return false;
    if (s->chips->pic)
        return error_set(err, "%s: there is %s already, and the kernel has one pair only",
                         device_name(d), device_name(s->chips->pic));
    s->chips->pic = d;
    isa_map_ports(&s->isa, &s->io[0], 0x20);
    isa_map_ports(&s->isa, &s->io[1], 0xa0);
    isa_map_ports(&s->isa, &s->elcr, ELCR_BASE);
    return true;
}

static void pic_unrealize(struct device *d)
{
    ((struct kvm_pic *)d)->chips->pic = NULL;
}

static uint8_t pic_levels(struct device *d, unsigned chip)
{
    uint8_t levels = 0;

    for (unsigned n = 0; n < KVM_PIC_CHIP_LINES; n++)
        levels |= device_gpio_in(d, "", chip * KVM_PIC_CHIP_LINES + n, NULL)->level << n;
    return levels;
}

/* Lines that are up stay so: there is no edge until they have fallen. The slave first, or what it
 * asks for would reach the master. */
static void pic_reset(struct device *d)
{
    struct kvm_pic *s = (struct kvm_pic *)d;

    for (unsigned n = CHIPS; n-- > 0;) {
        pic_load(s, n);
        s->state[n] = (struct kvm_pic_state){ .last_irr = pic_levels(d, n),
                                              .elcr_mask = s->state[n].elcr_mask };
        pic_store(s, n);
    }
    if (s->int_out)
        s->int_out->unseen = KVM_UNSEEN_LINE;
}

static void pic_finalize(struct device *d)
{
    struct kvm_pic *s = (struct kvm_pic *)d;

    for (unsigned n = 0; n < CHIPS; n++)
        region_fini(&s->io[n]);
    region_fini(&s->elcr);
}

/* clang-format off */
#define CHIP_FIELD(CHIP, N, FIELD)                                                                 \
    { CHIP "." #FIELD, STATE_KIND_U8, offsetof(struct kvm_pic, state[N].FIELD), 1 }
#define CHIP_STATE(CHIP, N)                                                                        \
    CHIP_FIELD(CHIP, N, last_irr), CHIP_FIELD(CHIP, N, irr), CHIP_FIELD(CHIP, N, imr),             \
    CHIP_FIELD(CHIP, N, isr), CHIP_FIELD(CHIP, N, priority_add), CHIP_FIELD(CHIP, N, irq_base),    \
    CHIP_FIELD(CHIP, N, read_reg_select), CHIP_FIELD(CHIP, N, poll),                               \
    CHIP_FIELD(CHIP, N, special_mask), CHIP_FIELD(CHIP, N, init_state),                            \
    CHIP_FIELD(CHIP, N, auto_eoi), CHIP_FIELD(CHIP, N, rotate_on_auto_eoi),                        \
    CHIP_FIELD(CHIP, N, special_fully_nested_mode), CHIP_FIELD(CHIP, N, init4),                    \
    CHIP_FIELD(CHIP, N, elcr), CHIP_FIELD(CHIP, N, elcr_mask)
/* clang-format on */

static const struct state_field pic_state[] = {
    CHIP_STATE("master", KVM_IRQCHIP_PIC_MASTER),
    CHIP_STATE("slave", KVM_IRQCHIP_PIC_SLAVE),
    STATE_END,
};

static void pic_get_state(struct device *d, void *state)
{
    pic_fetch(d);
    memcpy(state, ((struct kvm_pic *)d)->state, sizeof((struct kvm_pic *)d)->state);
}

static void pic_set_state(struct device *d, const void *state)
{
    struct kvm_pic *s = (struct kvm_pic *)d;

    memcpy(s->state, state, sizeof s->state);
    for (unsigned n = 0; n < CHIPS; n++)
        pic_store(s, n);
}

static const struct chip_state_ops pic_state_ops = {
    .size = sizeof((struct kvm_pic *)0)->state,
    .fields = chip_state_pic,
    .get = pic_get_state,
    .set = pic_set_state,
};

static const struct interface pic_interfaces[] = {
    { INTERFACE_CHIP_STATE, &pic_state_ops },
    { NULL, NULL },
};

const struct device_type kvm_pic_type = {
    .name = "kvm-pic",
    .parent = "isa-device",
    .desc = "8259A pair in the host's kernel (accel=kvm, irqchip=kernel)",
    .instance_size = sizeof(struct kvm_pic),
    .state = pic_state,
    .interfaces = pic_interfaces,
    .init = pic_init,
    .realize = pic_realize,
    .unrealize = pic_unrealize,
    .reset = pic_reset,
    .fetch = pic_fetch,
    .finalize = pic_finalize,
};
