/* Intel 8254 programmable interval timer, at 1.193182 MHz as in a PC.
 *
 * Intel 8254 datasheet (order 231164-005). Nothing counts: a channel keeps the tick at which its
 * count was loaded, and what a read or an edge needs is computed from the virtual clock. Only
 * channel 0 has an output line; a timer waits for its next edge. Times are in ticks since virtual
 * time 0, so no rounding adds up.
 *
 * Deviation: a count is loaded at once instead of at the next clock pulse. The clock is looked at
 * once for each access: what is computed from it belongs together. */
#include "hw/timer/i8254.h"

#include "dev/chip_state.h"
#include "dev/isa.h"
#include "dev/machine.h"

enum {
    I8254_CONTROL = 3, /* ports 0-2 are the channels */
    I8254_IRQ = 0,
    CONTROL_BCD = 1 << 0,
    READ_BACK = 3, /* control bits 7:6 */
    READ_BACK_NO_STATUS = 1 << 4,
    READ_BACK_NO_COUNT = 1 << 5,
    STATUS_NULL_COUNT = 1 << 6,
    STATUS_OUT = 1 << 7,
};

/* Control bits 5:4; also what a latched or running count gives out next. */
enum { ACCESS_LATCH, ACCESS_LOW, ACCESS_HIGH, ACCESS_BOTH };

struct i8254_channel {
    uint32_t count;  /* loaded: 1..0x10000, or 1..10000 in BCD */
    uint32_t next;   /* to be loaded at `reload` (modes 2, 3) or by the gate (1, 5); 0: none */
    int64_t reload;  /* tick at which the period, in mode 3 the half period, ends */
    int64_t start;   /* tick at which the count was loaded */
    int64_t elapsed; /* ticks counted when the gate stopped it */
    uint8_t mode;    /* 0-5 */
    uint8_t access;
    bool bcd;
    bool gate;
    bool loaded;                /* a count has been written since the control word */
    bool triggered;             /* modes 1, 5: the gate has risen since then */
    bool write_high, read_high; /* ACCESS_BOTH: the high byte comes next */
    uint8_t write_low;
    bool count_latched, status_latched;
    uint16_t latched_count;
    uint8_t latched_status;
};

struct i8254 {
    struct isa_device isa;
    struct region io;
    struct irq *out;
    uint32_t iobase;
    struct i8254_channel channels[I8254_CHANNELS];
    struct timer edge; /* the next change of channel 0's OUT */
    int64_t seen;      /* tick up to which channel 0's OUT has been driven */
};

/* ---- time ---- */

enum {
    I8254_TRACE_CONTROL,
    I8254_TRACE_LOAD,
    I8254_TRACE_GATE,
};

static const struct trace_event i8254_events[] = {
    [I8254_TRACE_CONTROL] = { "i8254.control",
                              "the guest chooses the mode of a channel",
                              { { "channel", TRACE_DEC },
                                { "mode", TRACE_DEC },
                                { "bcd", TRACE_BOOL } } },
    [I8254_TRACE_LOAD] = { "i8254.load",
                           "the guest loads the count of a channel",
                           { { "channel", TRACE_DEC }, { "count", TRACE_DEC } } },
    [I8254_TRACE_GATE] = { "i8254.gate",
                           "the gate of a channel changes",
                           { { "channel", TRACE_DEC }, { "level", TRACE_BOOL } } },
};
struct trace_table i8254_trace = TRACE_TABLE(i8254_events);

static int64_t i8254_now(const struct i8254 *s)
{
    return (int64_t)((__int128)clock_now(&s->isa.dev.machine->virtual) * I8254_HZ / NS_PER_SECOND);
}

/* The first nanosecond of a tick. */
static int64_t i8254_tick_ns(int64_t tick)
{
    return (int64_t)(((__int128)tick * NS_PER_SECOND + I8254_HZ - 1) / I8254_HZ);
}

static bool i8254_periodic(const struct i8254_channel *c)
{
    return c->mode == 2 || c->mode == 3;
}

/* Does the gate stop counting (all modes but the two that it triggers)? */
static bool i8254_stopped(const struct i8254_channel *c)
{
    return !c->gate && c->mode != 1 && c->mode != 5;
}

static bool i8254_running(const struct i8254_channel *c)
{
    return c->loaded && (c->mode == 1 || c->mode == 5 ? c->triggered : true);
}

static int64_t i8254_elapsed(const struct i8254_channel *c, int64_t now)
{
    return i8254_stopped(c) ? c->elapsed : now - c->start;
}

/* Ticks of a period until OUT falls. */
static int64_t i8254_high(const struct i8254_channel *c)
{
    return c->mode == 2 ? c->count - 1 : (c->count + 1) / 2;
}

/* The end of the present period, or in mode 3 of its half. */
static int64_t i8254_period_end(const struct i8254_channel *c, int64_t now)
{
    int64_t phase = (now - c->start) % c->count;
    bool first = c->mode == 3 && phase < i8254_high(c);
    return now - phase + (first ? i8254_high(c) : c->count);
}

/* Load a count that waited for the end of its period, if that is over. In the middle of one, OUT is
 * low for what the new count says. */
static void i8254_sync(struct i8254_channel *c, int64_t now)
{
    if (!c->next || !i8254_periodic(c) || i8254_stopped(c) || now < c->reload)
        return;
    bool whole = (c->reload - c->start) % c->count == 0;
    c->count = c->next;
    c->next = 0;
    c->start = c->reload - (whole ? 0 : i8254_high(c));
}

static bool i8254_out_at(const struct i8254_channel *c, int64_t now)
{
    int64_t n = i8254_elapsed(c, now);
    if (!i8254_running(c))
        return c->mode != 0;
    switch (c->mode) {
    case 0:
    case 1:
        return n >= c->count;
    case 2:
        return !c->gate || n % c->count != c->count - 1;
    case 3:
        return !c->gate || n % c->count < i8254_high(c);
    default:
        return n != c->count;
    }
}

/* The first tick after `now` at which OUT changes, INT64_MAX for never. */
static int64_t i8254_next_edge(const struct i8254_channel *c, int64_t now)
{
    if (!i8254_running(c) || i8254_stopped(c))
        return INT64_MAX;
    int64_t n = now - c->start, period = c->count;
    int64_t base = c->start + n / period * period, phase = n % period;
    switch (c->mode) {
    case 0:
    case 1:
        return n < period ? c->start + period : INT64_MAX;
    case 2:
    case 3:
        if (period == 1)
            return INT64_MAX; /* the datasheet forbids it */
        return phase < i8254_high(c) ? base + i8254_high(c) : base + period;
    default:
        return n < period ? c->start + period : n == period ? c->start + period + 1 : INT64_MAX;
    }
}

static uint16_t i8254_to_bcd(uint32_t v)
{
    return v % 10 | v / 10 % 10 << 4 | v / 100 % 10 << 8 | v / 1000 % 10 << 12;
}

static uint32_t i8254_from_bcd(uint16_t v)
{
    return (v & 15) + (v >> 4 & 15) * 10 + (v >> 8 & 15) * 100 + (v >> 12) * 1000;
}

/* What the counting element holds. */
static uint16_t i8254_count_at(const struct i8254_channel *c, int64_t now)
{
    int64_t n = i8254_elapsed(c, now), modulus = c->bcd ? 10000 : 0x10000, value;
    if (!i8254_running(c))
        n = 0;
    if (c->mode == 2) {
        value = c->count - n % c->count;
    } else if (c->mode == 3) {
        /* Counts by two, twice a period; an odd count starts one lower and gets to 0 once. */
        int64_t phase = n % c->count, high = i8254_high(c);
        value = (c->count & ~1) - 2 * (phase < high ? phase : phase - high);
    } else { /* goes on below zero, around the whole range */
        value = ((int64_t)c->count - n) % modulus;
        if (value < 0)
            value += modulus;
    }
    return c->bcd ? i8254_to_bcd(value % modulus) : value;
}

/* ---- channel 0's line ---- */

/* Drive the line through the edges since the last call, and wait for the next. After a long pause
 * the edges of at most one period are made: the missed interrupts of the rest are lost, as they are
 * on a busy machine. */
static void i8254_drive(struct i8254 *s, int64_t now)
{
    struct i8254_channel *c = &s->channels[0];
    int64_t next = i8254_next_edge(c, s->seen);
    for (int edges = 0; edges < 3 && next <= now; edges++) {
        irq_set(s->out, i8254_out_at(c, next));
        i8254_sync(c, next);
        next = i8254_next_edge(c, next);
    }
    i8254_sync(c, now);
    irq_set(s->out, i8254_out_at(c, now));
    s->seen = now;
    next = i8254_next_edge(c, now);
    if (next == INT64_MAX)
        timer_cancel(&s->edge);
    else
        timer_set(&s->edge, i8254_tick_ns(next));
}

static void i8254_edge(void *opaque)
{
    i8254_drive(opaque, i8254_now(opaque));
}

/* After a change of a channel's programming: nothing before now counts. */
static void i8254_changed(struct i8254 *s, struct i8254_channel *c, int64_t now)
{
    if (c != &s->channels[0])
        return;
    s->seen = now;
    i8254_drive(s, now);
}

/* ---- gates ---- */

void i8254_set_gate(struct device *pit, unsigned channel, bool level)
{
    struct i8254 *s = (struct i8254 *)pit;
    struct i8254_channel *c = &s->channels[channel];
    int64_t now = i8254_now(s);
    if (level == c->gate)
        return;
    TRACE(i8254_trace, I8254_TRACE_GATE, device_source(pit), channel, level);
    i8254_sync(c, now);
    if (level && (c->mode == 0 || c->mode == 4)) {
        c->start = now - c->elapsed; /* goes on */
    } else if (level) {
        c->start = now; /* starts again with the newest count */
        if (c->next)
            c->count = c->next;
        c->next = 0;
        c->triggered = c->loaded;
    } else {
        c->elapsed = now - c->start;
    }
    c->gate = level;
    i8254_changed(s, c, now);
}

bool i8254_gate(struct device *pit, unsigned channel)
{
    return ((struct i8254 *)pit)->channels[channel].gate;
}

bool i8254_out(struct device *pit, unsigned channel)
{
    struct i8254 *s = (struct i8254 *)pit;
    int64_t now = i8254_now(s);
    i8254_sync(&s->channels[channel], now);
    return i8254_out_at(&s->channels[channel], now);
}

uint64_t i8254_ticks(struct device *pit)
{
    return i8254_now((struct i8254 *)pit);
}

/* ---- registers ---- */

static void i8254_latch_count(struct i8254_channel *c, int64_t now)
{
    if (c->count_latched)
        return;
    i8254_sync(c, now);
    c->latched_count = i8254_count_at(c, now);
    c->count_latched = true;
}

static void i8254_latch_status(struct i8254_channel *c, int64_t now)
{
    if (c->status_latched)
        return;
    i8254_sync(c, now);
    c->latched_status = (i8254_out_at(c, now) ? STATUS_OUT : 0) |
                        (c->loaded && !c->next ? 0 : STATUS_NULL_COUNT) | c->access << 4 |
                        c->mode << 1 | c->bcd;
    c->status_latched = true;
}

/* All that are chosen at one moment. */
static void i8254_read_back(struct i8254 *s, uint8_t value, int64_t now)
{
    for (unsigned i = 0; i < I8254_CHANNELS; i++) {
        if (!(value & 2 << i))
            continue;
        if (!(value & READ_BACK_NO_COUNT))
            i8254_latch_count(&s->channels[i], now);
        if (!(value & READ_BACK_NO_STATUS))
            i8254_latch_status(&s->channels[i], now);
    }
}

static void i8254_write_control(struct i8254 *s, uint8_t value)
{
    int64_t now = i8254_now(s);
    if (value >> 6 == READ_BACK) {
        i8254_read_back(s, value, now);
        return;
    }
    struct i8254_channel *c = &s->channels[value >> 6];
    unsigned access = value >> 4 & 3;
    if (access == ACCESS_LATCH) {
        i8254_latch_count(c, now);
        return;
    }
    c->access = access;
    c->mode = value >> 1 & 7;
    if (c->mode > 5)
        c->mode -= 4; /* bit 2 does not matter in modes 2 and 3 */
    c->bcd = value & CONTROL_BCD;
    c->loaded = c->triggered = false;
    c->next = 0;
    c->elapsed = 0;
    c->write_high = c->read_high = false;
    c->count_latched = c->status_latched = false;
    TRACE(i8254_trace, I8254_TRACE_CONTROL, device_source(&s->isa.dev), value >> 6, c->mode,
          c->bcd);
    i8254_changed(s, c, now);
}

static void i8254_load(struct i8254 *s, struct i8254_channel *c, uint16_t value, int64_t now)
{
    uint32_t count = c->bcd ? i8254_from_bcd(value) : value;
    if (!count)
        count = c->bcd ? 10000 : 0x10000;
    TRACE(i8254_trace, I8254_TRACE_LOAD, device_source(&s->isa.dev), (uint64_t)(c - s->channels),
          count);
    i8254_sync(c, now);
    /* Running periods, in mode 3 half ones, end first; the triggered modes take it at the next
     * trigger. */
    if (c->loaded &&
        (i8254_periodic(c) ? c->gate : (c->mode == 1 || c->mode == 5) && c->triggered)) {
        c->next = count;
        c->reload = i8254_periodic(c) ? i8254_period_end(c, now) : 0;
        return;
    }
    c->count = count;
    c->next = 0;
    c->start = now;
    c->elapsed = 0;
    c->loaded = true;
    i8254_changed(s, c, now);
}

static void i8254_write_channel(struct i8254 *s, struct i8254_channel *c, uint8_t value)
{
    int64_t now = i8254_now(s);
    switch (c->access) {
    case ACCESS_LOW:
        i8254_load(s, c, value, now);
        break;
    case ACCESS_HIGH:
        i8254_load(s, c, value << 8, now);
        break;
    default:
        if (c->write_high) {
            i8254_load(s, c, value << 8 | c->write_low, now);
        } else {
            c->write_low = value;
            if (c->mode == 0) { /* the first byte stops mode 0 */
                c->loaded = false;
                i8254_changed(s, c, now);
            }
        }
        c->write_high = !c->write_high;
        break;
    }
}

static uint8_t i8254_read_channel(struct i8254 *s, struct i8254_channel *c)
{
    if (c->status_latched) {
        c->status_latched = false;
        return c->latched_status;
    }
    int64_t now = i8254_now(s);
    i8254_sync(c, now);
    uint16_t count = c->count_latched ? c->latched_count : i8254_count_at(c, now);
    bool high = c->access == ACCESS_HIGH || (c->access == ACCESS_BOTH && c->read_high);
    if (c->access == ACCESS_BOTH)
        c->read_high = !c->read_high;
    if (c->access != ACCESS_BOTH || high)
        c->count_latched = false;
    return high ? count >> 8 : count;
}

static uint64_t i8254_read(void *opaque, uint64_t offset, unsigned size)
{
    struct i8254 *s = opaque;
    if (offset == I8254_CONTROL)
        return 0xff; /* the control word cannot be read: nobody drives the bus */
    return i8254_read_channel(s, &s->channels[offset]);
}

static void i8254_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    struct i8254 *s = opaque;
    if (offset == I8254_CONTROL)
        i8254_write_control(s, value);
    else
        i8254_write_channel(s, &s->channels[offset], value);
}

static const struct region_ops i8254_ops = {
    .read = i8254_read,
    .write = i8254_write,
    .valid = { 1, 4, .unaligned = true }, /* the ISA bus makes bytes of it */
    .impl = { 1, 1 },
};

static bool i8254_init(struct device *d, struct error *err)
{
    struct i8254 *s = (struct i8254 *)d;
    region_init_io(&s->io, d->machine->mem, "pit", 4, &i8254_ops, s);
    s->io.owner = d;
    device_init_gpio_out(d, "", &s->out, 1);
    timer_init(&s->edge, &d->machine->virtual, i8254_edge, s);
    return true;
}

static bool i8254_realize(struct device *d, struct error *err)
{
    struct i8254 *s = (struct i8254 *)d;
    isa_map_ports(&s->isa, &s->io, s->iobase);
    return true;
}

static void i8254_unrealize(struct device *d)
{
    timer_cancel(&((struct i8254 *)d)->edge);
}

/* The chip powers up undefined; a PC's firmware finds mode 3 with the full count convenient, and so
 * does this. Channel 0 waits for a count. The gates of channels 0 and 1 are tied high. */
static void i8254_reset(struct device *d)
{
    struct i8254 *s = (struct i8254 *)d;
    for (unsigned i = 0; i < I8254_CHANNELS; i++)
        s->channels[i] = (struct i8254_channel){
            .count = 0x10000,
            .mode = 3,
            .access = ACCESS_BOTH,
            .gate = i != 2,
        };
    i8254_changed(s, &s->channels[0], i8254_now(s));
}

static void i8254_finalize(struct device *d)
{
    region_fini(&((struct i8254 *)d)->io);
}

static const struct prop i8254_props[] = {
    PROP(PROP_U32, struct i8254, iobase, "iobase", "0x40", "first of four ports", .max = 0xfffc),
    PROP_END,
};

#define CHANNEL_STATE(N)                                                                          \
    STATE_U32(struct i8254, channels[N].count), STATE_U32(struct i8254, channels[N].next),        \
        STATE_I64(struct i8254, channels[N].reload), STATE_I64(struct i8254, channels[N].start),  \
        STATE_I64(struct i8254, channels[N].elapsed), STATE_U8(struct i8254, channels[N].mode),   \
        STATE_U8(struct i8254, channels[N].access), STATE_BOOL(struct i8254, channels[N].bcd),    \
        STATE_BOOL(struct i8254, channels[N].gate), STATE_BOOL(struct i8254, channels[N].loaded), \
        STATE_BOOL(struct i8254, channels[N].triggered),                                          \
        STATE_BOOL(struct i8254, channels[N].write_high),                                         \
        STATE_BOOL(struct i8254, channels[N].read_high),                                          \
        STATE_U8(struct i8254, channels[N].write_low),                                            \
        STATE_BOOL(struct i8254, channels[N].count_latched),                                      \
        STATE_BOOL(struct i8254, channels[N].status_latched),                                     \
        STATE_U16(struct i8254, channels[N].latched_count),                                       \
        STATE_U8(struct i8254, channels[N].latched_status)

static const struct state_field i8254_state[] = {
    CHANNEL_STATE(0),
    CHANNEL_STATE(1),
    CHANNEL_STATE(2),
    STATE_TIMER(struct i8254, edge),
    STATE_I64(struct i8254, seen),
    STATE_END,
};

static const struct interval_timer_ops i8254_timer_ops = {
    .set_gate = i8254_set_gate,
    .out = i8254_out,
    .ticks = i8254_ticks,
};

/* Which byte comes next, in KVM's numbers: 1 low, 2 high, 3 low of both, 4 high of both. */
static uint8_t i8254_phase(const struct i8254_channel *c, bool high)
{
    return c->access == ACCESS_BOTH && high ? ACCESS_BOTH + 1 : c->access;
}

static void i8254_get_state(struct device *d, void *state)
{
    const struct i8254 *s = (struct i8254 *)d;
    struct kvm_pit_state2 *k = state;
    *k = (struct kvm_pit_state2){ 0 };
    for (unsigned n = 0; n < I8254_CHANNELS; n++) {
        const struct i8254_channel *c = &s->channels[n];
        k->channels[n] = (struct kvm_pit_channel_state){
            .count = c->loaded ? c->count : 0,
            .latched_count = c->latched_count,
            .count_latched = !c->count_latched                          ? 0
                             : c->access == ACCESS_BOTH && c->read_high ? ACCESS_HIGH
                                                                        : c->access,
            .status_latched = c->status_latched,
            .status = c->latched_status,
            .read_state = i8254_phase(c, c->read_high),
            .write_state = i8254_phase(c, c->write_high),
            .write_latch = c->write_low,
            .rw_mode = c->access,
            .mode = c->mode,
            .bcd = c->bcd,
            .gate = c->gate,
            .count_load_time = i8254_tick_ns(c->start),
        };
    }
}

/* Counts begin anew, as they do in the kernel. */
static void i8254_set_state(struct device *d, const void *state)
{
    struct i8254 *s = (struct i8254 *)d;
    const struct kvm_pit_state2 *k = state;
    int64_t now = i8254_now(s);
    for (unsigned n = 0; n < I8254_CHANNELS; n++) {
        const struct kvm_pit_channel_state *c = &k->channels[n];
        s->channels[n] = (struct i8254_channel){
            .count = c->count && c->count <= 0x10000 ? c->count : 0x10000,
            .loaded = c->count && c->mode <= 5,
            .start = now,
            .mode = c->mode <= 5 ? c->mode : 0,
            .access = c->rw_mode & 3,
            .bcd = c->bcd,
            .gate = c->gate,
            .triggered = c->gate,
            .write_high = c->write_state == ACCESS_BOTH + 1,
            .read_high = c->read_state == ACCESS_BOTH + 1 ||
                         (c->rw_mode == ACCESS_BOTH && c->count_latched == ACCESS_HIGH),
            .write_low = c->write_latch,
            .count_latched = c->count_latched,
            .status_latched = c->status_latched,
            .latched_count = c->latched_count,
            .latched_status = c->status,
        };
    }
    i8254_changed(s, &s->channels[0], now);
}

static const struct chip_state_ops i8254_state_ops = {
    .size = sizeof(struct kvm_pit_state2),
    .fields = chip_state_pit,
    .get = i8254_get_state,
    .set = i8254_set_state,
};

static const struct interface i8254_interfaces[] = {
    { INTERFACE_CHIP_STATE, &i8254_state_ops },
    { INTERFACE_INTERVAL_TIMER, &i8254_timer_ops },
    { NULL, NULL },
};

const struct device_type i8254_type = {
    .name = "isa-pit",
    .parent = "isa-device",
    .desc = "8254 interval timer",
    .instance_size = sizeof(struct i8254),
    .props = i8254_props,
    .state = i8254_state,
    .interfaces = i8254_interfaces,
    .init = i8254_init,
    .realize = i8254_realize,
    .unrealize = i8254_unrealize,
    .reset = i8254_reset,
    .finalize = i8254_finalize,
};
