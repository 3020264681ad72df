/* Port 0x61 (system control port B): gate of timer channel 2, speaker data, refresh toggle, OUT2.
 *
 * IBM PC/AT Technical Reference, port 0x61. Nothing makes a sound; but software measures the speed
 * of the cpu with channel 2 through this port. */
#include "dev/interval_timer.h"
#include "dev/isa.h"
#include "dev/machine.h"

enum {
    PCSPK_GATE2 = 1 << 0,
    PCSPK_DATA = 1 << 1,
    PCSPK_WRITABLE = 0x0f, /* the parity and channel check enables (bits 2, 3) are only kept */
    PCSPK_REFRESH = 1 << 4,
    PCSPK_OUT2 = 1 << 5,
    PCSPK_CHANNEL = 2,
    REFRESH_TICKS = 18, /* of the timer's clock: memory refresh every 15.1 us */
};

struct pcspk {
    struct isa_device isa;
    struct region io;
    uint32_t iobase;
    struct device *pit;
    const struct interval_timer_ops *pit_ops;
    uint8_t value;
};

static uint64_t pcspk_read(void *opaque, uint64_t offset, unsigned size)
{
    struct pcspk *s = opaque;
    uint8_t value = s->value;
    if (s->pit_ops->ticks(s->pit) / REFRESH_TICKS & 1)
        value |= PCSPK_REFRESH;
    if (s->pit_ops->out(s->pit, PCSPK_CHANNEL))
        value |= PCSPK_OUT2;
    return value;
}

static void pcspk_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    struct pcspk *s = opaque;
    s->value = value & PCSPK_WRITABLE;
    s->pit_ops->set_gate(s->pit, PCSPK_CHANNEL, value & PCSPK_GATE2);
}

static const struct region_ops pcspk_ops = {
    .read = pcspk_read,
    .write = pcspk_write,
    .valid = { 1, 4, .unaligned = true }, /* the ISA bus makes bytes of it */
    .impl = { 1, 1 },
};

static bool pcspk_init(struct device *d, struct error *err)
{
    struct pcspk *s = (struct pcspk *)d;
    region_init_io(&s->io, d->machine->mem, "pcspk", 1, &pcspk_ops, s);
    s->io.owner = d;
    return true;
}

static bool pcspk_realize(struct device *d, struct error *err)
{
    struct pcspk *s = (struct pcspk *)d;
    s->pit_ops = device_interface(s->pit, INTERFACE_INTERVAL_TIMER);
    isa_map_ports(&s->isa, &s->io, s->iobase);
    return true;
}

/* The timer resets its own gates. */
static void pcspk_reset(struct device *d)
{
    ((struct pcspk *)d)->value = 0;
}

static void pcspk_finalize(struct device *d)
{
    region_fini(&((struct pcspk *)d)->io);
}

static const char *const pcspk_pit_types[] = { "isa-pit", "kvm-pit", NULL };

static const struct prop pcspk_props[] = {
    PROP(PROP_U32, struct pcspk, iobase, "iobase", "0x61", "its port", .max = 0xffff),
    PROP(PROP_LINK, struct pcspk, pit, "pit", NULL, "the timer whose channel 2 it gates",
         .names = pcspk_pit_types, .required = true),
    PROP_END,
};

static const struct state_field pcspk_state[] = {
    STATE_U8(struct pcspk, value),
    STATE_END,
};

const struct device_type pcspk_type = {
    .name = "isa-pcspk",
    .parent = "isa-device",
    .desc = "speaker port 0x61",
    .instance_size = sizeof(struct pcspk),
    .props = pcspk_props,
    .state = pcspk_state,
    .init = pcspk_init,
    .realize = pcspk_realize,
    .reset = pcspk_reset,
    .finalize = pcspk_finalize,
};
