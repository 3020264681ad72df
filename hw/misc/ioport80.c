/* Port 0x80, the POST code display: what was written last is kept, and can be watched as a
 * property. Linux writes here to spend time between two accesses to slow chips. Reads find no
 * driver on the bus. */
#include "dev/isa.h"
#include "dev/machine.h"

enum { IOPORT80_ADDR = 0x80 };

struct ioport80 {
    struct isa_device isa;
    struct region io;
    uint8_t last;
};

enum {
    IOPORT80_WRITE,
};

static const struct trace_event ioport80_events[] = {
    [IOPORT80_WRITE] = { "ioport80.write",
                         "a diagnostic code, or a delay",
                         { { "value", TRACE_HEX } } },
};
struct trace_table ioport80_trace = TRACE_TABLE(ioport80_events);

static uint64_t ioport80_read(void *opaque, uint64_t offset, unsigned size)
{
    return 0xff;
}

static void ioport80_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    struct ioport80 *s = opaque;
    s->last = value;
    TRACE(ioport80_trace, IOPORT80_WRITE, device_source(&s->isa.dev), value);
}

static const struct region_ops ioport80_ops = {
    .read = ioport80_read,
    .write = ioport80_write,
    .valid = { 1, 4, .unaligned = true }, /* the ISA bus makes bytes of it */
    .impl = { 1, 1 },
};

static bool ioport80_init(struct device *d, struct error *err)
{
    struct ioport80 *s = (struct ioport80 *)d;
    region_init_io(&s->io, d->machine->mem, "ioport80", 1, &ioport80_ops, s);
    s->io.owner = d;
    return true;
}

static bool ioport80_realize(struct device *d, struct error *err)
{
    struct ioport80 *s = (struct ioport80 *)d;
    isa_map_ports(&s->isa, &s->io, IOPORT80_ADDR);
    return true;
}

static void ioport80_finalize(struct device *d)
{
    region_fini(&((struct ioport80 *)d)->io);
}

static const struct prop ioport80_props[] = {
    PROP(PROP_U8, struct ioport80, last, "last", "0", "POST code written last", .live = true),
    PROP_END,
};

static const struct state_field ioport80_state[] = {
    STATE_U8(struct ioport80, last),
    STATE_END,
};

const struct device_type ioport80_type = {
    .name = "ioport80",
    .parent = "isa-device",
    .desc = "POST code port 0x80",
    .instance_size = sizeof(struct ioport80),
    .props = ioport80_props,
    .state = ioport80_state,
    .init = ioport80_init,
    .realize = ioport80_realize,
    .finalize = ioport80_finalize,
};
