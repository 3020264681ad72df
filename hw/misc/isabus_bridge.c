/* isabus-bridge: an ISA bus "isa.0" straight on the system bus, for machines without PCI. Its ports
 * are those of the machine's I/O space; its interrupt lines lead out as gpio-out "isa-irq",
 * wherever the board takes them. */
#include "dev/isa.h"
#include "dev/machine.h"
#include "dev/sysbus.h"

struct isabus_bridge {
    struct sysbus_device sysbus;
    struct isa_bus isa;
    struct irq *out[ISA_IRQS];
};

static void isabus_bridge_line(void *opaque, int n, bool level)
{
    struct isabus_bridge *s = opaque;
    irq_set(s->out[n], level);
}

static bool isabus_bridge_init(struct device *d, struct error *err)
{
    struct isabus_bridge *s = (struct isabus_bridge *)d;
    device_init_gpio_in(d, "isa-irq", isabus_bridge_line, ISA_IRQS);
    device_init_gpio_out(d, "isa-irq", s->out, ISA_IRQS);
    return true;
}

static bool isabus_bridge_realize(struct device *d, struct error *err)
{
    struct isabus_bridge *s = (struct isabus_bridge *)d;
    isa_bus_init(&s->isa, "isa.0", d, &d->machine->io_ports);
    for (unsigned n = 0; n < ISA_IRQS; n++)
        s->isa.irqs[n] = device_gpio_in(d, "isa-irq", n, NULL);
    return true;
}

static void isabus_bridge_unrealize(struct device *d)
{
    isa_bus_fini(&((struct isabus_bridge *)d)->isa);
}

static const struct state_field isabus_bridge_state[] = { STATE_END };

const struct device_type isabus_bridge_type = {
    .name = "isabus-bridge",
    .parent = "sys-bus-device",
    .desc = "an ISA bus for machines without PCI",
    .instance_size = sizeof(struct isabus_bridge),
    .state = isabus_bridge_state,
    .init = isabus_bridge_init,
    .realize = isabus_bridge_realize,
    .unrealize = isabus_bridge_unrealize,
};
