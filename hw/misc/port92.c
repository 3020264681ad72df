/* System control port A (port 0x92): the fast A20 gate and the fast reset of the PS/2 and its
 * heirs.
 *
 * IBM PS/2 Hardware Interface Technical Reference, system control port A; Intel 82371SB (PIIX3)
 * datasheet. Bit 0: a rising edge resets the machine. Bit 1: A20 enabled. */
#include "dev/isa.h"
#include "dev/machine.h"

enum {
    PORT92_ADDR = 0x92,
    PORT92_RESET = 1 << 0,
    PORT92_A20 = 1 << 1,
};

struct port92 {
    struct isa_device isa;
    struct region io;
    struct irq *a20;
    uint8_t value;
};

static uint64_t port92_read(void *opaque, uint64_t offset, unsigned size)
{
    struct port92 *s = opaque;
    return s->value;
}

static void port92_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    struct port92 *s = opaque;
    uint8_t old = s->value;
    s->value = value;
    irq_set(s->a20, value & PORT92_A20);
    if (value & ~old & PORT92_RESET)
        machine_request(s->isa.dev.machine, REQUEST_RESET, 0, device_name(&s->isa.dev));
}

static const struct region_ops port92_ops = {
    .read = port92_read,
    .write = port92_write,
    .valid = { 1, 4, .unaligned = true }, /* the ISA bus makes bytes of it */
    .impl = { 1, 1 },
};

static bool port92_init(struct device *d, struct error *err)
{
    struct port92 *s = (struct port92 *)d;
    region_init_io(&s->io, d->machine->mem, "port92", 1, &port92_ops, s);
    s->io.owner = d;
    device_init_gpio_out(d, "a20", &s->a20, 1);
    return true;
}

static bool port92_realize(struct device *d, struct error *err)
{
    struct port92 *s = (struct port92 *)d;
    isa_map_ports(&s->isa, &s->io, PORT92_ADDR);
    return true;
}

static void port92_reset(struct device *d)
{
    struct port92 *s = (struct port92 *)d;
    s->value = 0;
    irq_lower(s->a20);
}

static void port92_finalize(struct device *d)
{
    region_fini(&((struct port92 *)d)->io);
}

static const struct state_field port92_state[] = {
    STATE_U8(struct port92, value),
    STATE_END,
};

const struct device_type port92_type = {
    .name = "port92",
    .parent = "isa-device",
    .desc = "system control port A: fast A20 gate and reset",
    .instance_size = sizeof(struct port92),
    .state = port92_state,
    .init = port92_init,
    .realize = port92_realize,
    .reset = port92_reset,
    .finalize = port92_finalize,
};
