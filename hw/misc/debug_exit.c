/* isa-debug-exit: a guest program ends the run by writing a value.
 *
 * No datasheet: a convention of virtual machines. Value v becomes exit status (v << 1) | 1, which
 * is odd and so never looks like success. Reads return 0. */
#include "dev/isa.h"
#include "dev/machine.h"

struct debug_exit {
    struct isa_device isa;
    struct region io;
    uint32_t iobase, iosize;
};

static uint64_t debug_exit_read(void *opaque, uint64_t offset, unsigned size)
{
    return 0;
}

static void debug_exit_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    struct debug_exit *s = opaque;
    machine_request(s->isa.dev.machine, REQUEST_EXIT, (int)((uint32_t)value << 1 | 1),
                    device_name(&s->isa.dev));
}

static const struct region_ops debug_exit_ops = {
    .read = debug_exit_read,
    .write = debug_exit_write,
    .valid = { 1, 4, .unaligned = true },
    .impl = { 1, 4, .unaligned = true },
};

static bool debug_exit_realize(struct device *d, struct error *err)
{
    struct debug_exit *s = (struct debug_exit *)d;
    if (s->iobase + s->iosize > 0x10000)
        return error_set(err, "%s: ports 0x%x..0x%x reach beyond 0xffff; lower iobase or iosize",
                         device_name(d), s->iobase, s->iobase + s->iosize - 1);
    region_init_io(&s->io, d->machine->mem, "isa-debug-exit", s->iosize, &debug_exit_ops, s);
    s->io.owner = d;
    isa_map_ports(&s->isa, &s->io, s->iobase);
    return true;
}

static void debug_exit_unrealize(struct device *d)
{
    region_fini(&((struct debug_exit *)d)->io);
}

static const struct prop debug_exit_props[] = {
    PROP(PROP_U32, struct debug_exit, iobase, "iobase", "0xf4", "first port", .max = 0xffff),
    PROP(PROP_U32, struct debug_exit, iosize, "iosize", "4", "number of ports", .min = 1, .max = 8),
    PROP_END,
};

static const struct state_field debug_exit_state[] = { STATE_END };

const struct device_type debug_exit_type = {
    .name = "isa-debug-exit",
    .parent = "isa-device",
    .desc = "ends the run with (value << 1) | 1 as exit status",
    .instance_size = sizeof(struct debug_exit),
    .props = debug_exit_props,
    .state = debug_exit_state,
    .realize = debug_exit_realize,
    .unrealize = debug_exit_unrealize,
};
