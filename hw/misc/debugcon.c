/* isa-debugcon: a port whose bytes go to a character backend. No datasheet: a convention of virtual
 * machines. Reading gives a number by which a program knows that the port is there. */
#include "char/chardev.h"
#include "dev/isa.h"
#include "dev/machine.h"

struct debugcon {
    struct isa_device isa;
    struct region io;
    struct chardev *chardev;
    struct chardev_front front;
    uint32_t iobase, readback;
};

static uint64_t debugcon_read(void *opaque, uint64_t offset, unsigned size)
{
    return ((struct debugcon *)opaque)->readback;
}

static void debugcon_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    struct debugcon *s = opaque;
    uint8_t byte = value;
    if (s->chardev)
        chardev_write(s->chardev, &byte, 1);
}

static const struct region_ops debugcon_ops = {
    .read = debugcon_read,
    .write = debugcon_write,
    .valid = { 1, 4, .unaligned = true }, /* the ISA bus makes bytes of it */
    .impl = { 1, 1 },
};

/* It takes no input. */
static size_t debugcon_can_receive(void *opaque)
{
    return 0;
}

static void debugcon_receive(void *opaque, const uint8_t *data, size_t len)
{
}

static bool debugcon_init(struct device *d, struct error *err)
{
    struct debugcon *s = (struct debugcon *)d;
    region_init_io(&s->io, d->machine->mem, "isa-debugcon", 1, &debugcon_ops, s);
    s->io.owner = d;
    s->front = (struct chardev_front){ debugcon_can_receive, debugcon_receive, s, NULL };
    return true;
}

static bool debugcon_realize(struct device *d, struct error *err)
{
    struct debugcon *s = (struct debugcon *)d;
    if (s->chardev && !chardev_attach(s->chardev, &s->front))
        return error_set(err,
                         "%s: character backend '%s' serves another device; use one of its own",
                         device_name(d), s->chardev->id);
    isa_map_ports(&s->isa, &s->io, s->iobase);
    return true;
}

static void debugcon_unrealize(struct device *d)
{
    struct debugcon *s = (struct debugcon *)d;
    if (s->chardev)
        chardev_attach(s->chardev, NULL);
}

static void debugcon_finalize(struct device *d)
{
    region_fini(&((struct debugcon *)d)->io);
}

static const struct prop debugcon_props[] = {
    PROP(PROP_U32, struct debugcon, iobase, "iobase", "0xe9", "its port", .max = 0xffff),
    PROP(PROP_U32, struct debugcon, readback, "readback", "0xe9", "what the port reads as",
         .max = 0xff),
    PROP(PROP_CHARDEV, struct debugcon, chardev, "chardev", NULL, "where its bytes go"),
    PROP_END,
};

static const struct state_field debugcon_state[] = { STATE_END };

const struct device_type debugcon_type = {
    .name = "isa-debugcon",
    .parent = "isa-device",
    .desc = "a port whose bytes go to a character backend",
    .instance_size = sizeof(struct debugcon),
    .props = debugcon_props,
    .state = debugcon_state,
    .init = debugcon_init,
    .realize = debugcon_realize,
    .unrealize = debugcon_unrealize,
    .finalize = debugcon_finalize,
};
