/* High precision event timers: a 64-bit counter at 100 MHz and three comparators.
 *
 * IA-PC HPET specification 1.0a. Nothing counts: the counter is computed from the virtual clock,
 * and a timer waits for each comparator's next match. A comparator matches when it equals the
 * counter; one that the counter has passed waits for the counter to come round. With legacy
 * replacement the interrupts of timers 0 and 1 take the place of the interval timer's and the
 * real-time clock's, whose lines ("legacy") pass through here. Machine lock. */
#include "dev/machine.h"
#include "dev/sysbus.h"

enum {
    HPET_SIZE = 0x400,
    HPET_TIMERS = 3,
    HPET_ROUTES = 24, /* inputs of the I/O APIC */
    HPET_LEGACY = 2,
    HPET_TICK_NS = 10,
    HPET_PERIOD_FS = HPET_TICK_NS * 1000000,

    HPET_CAPABILITIES = 0x000,
    HPET_CONFIG = 0x010,
    HPET_CONFIG_ENABLE = 1 << 0,
    HPET_CONFIG_LEGACY = 1 << 1,
    HPET_STATUS = 0x020,
    HPET_COUNTER = 0x0f0,
    HPET_TIMER = 0x100, /* the first of a block for each timer */
    HPET_TIMER_SIZE = 0x20,
    HPET_TIMER_CONFIG = 0x00, /* in the block */
    HPET_TIMER_COMPARATOR = 0x08,
    HPET_TIMER_FSB = 0x10,

    CAPABILITIES_REVISION = 1,
    CAPABILITIES_LAST_SHIFT = 8, /* number of the last timer */
    CAPABILITIES_64BIT = 1 << 13,
    CAPABILITIES_LEGACY = 1 << 15,
    INTEL = 0x8086,

    TIMER_LEVEL = 1 << 1,
    TIMER_ENABLE = 1 << 2, /* of the interrupt */
    TIMER_PERIODIC = 1 << 3,
    TIMER_CAN_PERIODIC = 1 << 4,
    TIMER_CAN_64BIT = 1 << 5,
    TIMER_SET = 1 << 6, /* the next write is to the accumulator too (SETACCUM) */
    TIMER_32BIT = 1 << 8,
    TIMER_ROUTE_SHIFT = 9, /* 5 bits */
    TIMER_FSB = 1 << 14,
    TIMER_CAN_FSB = 1 << 15,
    TIMER_WRITABLE = TIMER_LEVEL | TIMER_ENABLE | TIMER_PERIODIC | TIMER_SET | TIMER_32BIT |
                     0x1f << TIMER_ROUTE_SHIFT,
};

struct hpet_timer {
    uint32_t config; /* the writable half */
    uint64_t comparator, period;
    uint64_t fsb; /* data, and the address above */
    struct timer timer;
};

struct hpet {
    struct sysbus_device sysbus;
    struct region mmio;
    struct irq *routes[HPET_ROUTES], *legacy[HPET_LEGACY];
    uint32_t route_mask;
    bool msi;
    /* state */
    uint32_t config, status;
    uint64_t counter; /* while halted; else at tick `start` */
    int64_t start;
    bool legacy_in[HPET_LEGACY]; /* levels of the lines that pass through */
    struct hpet_timer timers[HPET_TIMERS];
};

enum { HPET_TRACE_CONFIG, HPET_TRACE_ARM, HPET_TRACE_MATCH };

static const struct trace_event hpet_events[] = {
    [HPET_TRACE_CONFIG] = { "hpet.config",
                            "the counter runs or stands still; legacy replacement",
                            { { "enable", TRACE_BOOL }, { "legacy", TRACE_BOOL } } },
    [HPET_TRACE_ARM] = { "hpet.arm",
                         "a comparator is written",
                         { { "timer", TRACE_DEC },
                           { "comparator", TRACE_HEX },
                           { "period", TRACE_HEX } } },
    [HPET_TRACE_MATCH] = { "hpet.match",
                           "the counter gets to a comparator",
                           { { "timer", TRACE_DEC }, { "enabled", TRACE_BOOL } } },
};
struct trace_table hpet_trace = TRACE_TABLE(hpet_events);

/* ---- the counter ---- */

static int64_t hpet_tick(const struct hpet *s)
{
    return clock_now(&s->sysbus.dev.machine->virtual) / HPET_TICK_NS;
}

static bool hpet_running(const struct hpet *s)
{
    return s->config & HPET_CONFIG_ENABLE;
}

static uint64_t hpet_counter_at(const struct hpet *s, int64_t tick)
{
    return hpet_running(s) ? s->counter + (uint64_t)(tick - s->start) : s->counter;
}

/* ---- interrupts ---- */

static bool hpet_is_legacy(const struct hpet *s, unsigned n)
{
    return s->config & HPET_CONFIG_LEGACY && n < HPET_LEGACY;
}

/* The line of a timer, or NULL. */
static struct irq *hpet_line(const struct hpet *s, unsigned n)
{
    unsigned route = s->timers[n].config >> TIMER_ROUTE_SHIFT & 0x1f;
    if (hpet_is_legacy(s, n))
        return s->legacy[n];
    return route < HPET_ROUTES && s->route_mask >> route & 1 ? s->routes[route] : NULL;
}

/* Lines are what the level-triggered timers say; the legacy ones, when not replaced, what comes in.
 */
static void hpet_update(struct hpet *s)
{
    for (unsigned i = 0; i < HPET_LEGACY; i++)
        if (!hpet_is_legacy(s, i))
            irq_set(s->legacy[i], s->legacy_in[i]);
    for (unsigned n = 0; n < HPET_TIMERS; n++) {
        struct irq *line = hpet_line(s, n);
        bool level = false;
        for (unsigned other = 0; other < HPET_TIMERS; other++)
            level |= hpet_line(s, other) == line && s->status >> other & 1 &&
                     s->timers[other].config & TIMER_ENABLE;
        irq_set(line, level);
    }
}

/* Timers let go of their lines: they are about to get others. */
static void hpet_release(struct hpet *s)
{
    for (unsigned n = 0; n < HPET_TIMERS; n++)
        irq_set(hpet_line(s, n), false);
}

static void hpet_interrupt(struct hpet *s, unsigned n)
{
    const struct hpet_timer *t = &s->timers[n];
    if (t->config & TIMER_LEVEL) {
        s->status |= 1u << n; /* whether the interrupt is enabled or not (2.3.5) */
        hpet_update(s);
    } else if (!(t->config & TIMER_ENABLE)) {
        return;
    } else if (t->config & TIMER_FSB) {
        machine_deliver_msi(s->sysbus.dev.machine, t->fsb >> 32, (uint32_t)t->fsb);
    } else {
        irq_pulse(hpet_line(s, n));
        hpet_update(s);
    }
}

/* ---- comparators ---- */

static uint64_t hpet_mask(const struct hpet_timer *t)
{
    return t->config & TIMER_32BIT ? UINT32_MAX : UINT64_MAX;
}

/* Wait for the next match. */
static void hpet_arm(struct hpet *s, struct hpet_timer *t, int64_t tick)
{
    uint64_t left = (t->comparator - hpet_counter_at(s, tick)) & hpet_mask(t);
    if (!left && t->config & TIMER_32BIT)
        left = 1ULL << 32;
    if (!hpet_running(s) || !left || left > (uint64_t)(INT64_MAX / HPET_TICK_NS - tick))
        timer_cancel(&t->timer);
    else
        timer_set(&t->timer, (tick + (int64_t)left) * HPET_TICK_NS);
}

static void hpet_arm_all(struct hpet *s, int64_t tick)
{
    for (unsigned n = 0; n < HPET_TIMERS; n++)
        hpet_arm(s, &s->timers[n], tick);
}

static void hpet_match(struct hpet *s, unsigned n)
{
    struct hpet_timer *t = &s->timers[n];
    int64_t tick = hpet_tick(s);
    uint64_t mask = hpet_mask(t), period = t->period & mask;
    TRACE(hpet_trace, HPET_TRACE_MATCH, device_source(&s->sysbus.dev), n,
          !!(t->config & TIMER_ENABLE));
    if (t->config & TIMER_PERIODIC && period) {
        /* Periods that went by unseen are one interrupt. */
        uint64_t late = (hpet_counter_at(s, tick) - t->comparator) & mask;
        t->comparator = (t->comparator + (late / period + 1) * period) & mask;
    }
    hpet_arm(s, t, tick);
    hpet_interrupt(s, n);
}

/* A function for each: a timer has no number. */
static void hpet_match_0(void *opaque)
{
    hpet_match(opaque, 0);
}

static void hpet_match_1(void *opaque)
{
    hpet_match(opaque, 1);
}

static void hpet_match_2(void *opaque)
{
    hpet_match(opaque, 2);
}

/* ---- registers ---- */

static uint64_t hpet_timer_config(const struct hpet *s, const struct hpet_timer *t)
{
    uint32_t can = TIMER_CAN_PERIODIC | TIMER_CAN_64BIT | (s->msi ? TIMER_CAN_FSB : 0);
    return (uint64_t)s->route_mask << 32 | t->config | can;
}

static uint64_t hpet_read_timer(const struct hpet *s, const struct hpet_timer *t, unsigned reg)
{
    switch (reg) {
    case HPET_TIMER_CONFIG:
        return hpet_timer_config(s, t);
    case HPET_TIMER_COMPARATOR:
        return t->comparator;
    case HPET_TIMER_FSB:
        return t->fsb;
    default:
        return 0;
    }
}

/* The timer of an offset, or NULL. */
static struct hpet_timer *hpet_timer_at(struct hpet *s, uint64_t offset)
{
    uint64_t n = (offset - HPET_TIMER) / HPET_TIMER_SIZE;
    return offset >= HPET_TIMER && n < HPET_TIMERS ? &s->timers[n] : NULL;
}

static uint64_t hpet_read_register(struct hpet *s, uint64_t offset)
{
    struct hpet_timer *t = hpet_timer_at(s, offset);
    if (t)
        return hpet_read_timer(s, t, offset % HPET_TIMER_SIZE);
    switch (offset) {
    case HPET_CAPABILITIES:
        return (uint64_t)HPET_PERIOD_FS << 32 | (uint32_t)INTEL << 16 | CAPABILITIES_LEGACY |
               CAPABILITIES_64BIT | (HPET_TIMERS - 1) << CAPABILITIES_LAST_SHIFT |
               CAPABILITIES_REVISION;
    case HPET_CONFIG:
        return s->config;
    case HPET_STATUS:
        return s->status;
    case HPET_COUNTER:
        return hpet_counter_at(s, hpet_tick(s));
    default:
        return 0;
    }
}

static void hpet_write_config(struct hpet *s, uint32_t value, int64_t tick)
{
    hpet_release(s);
    s->counter = hpet_counter_at(s, tick);
    s->start = tick;
    s->config = value & (HPET_CONFIG_ENABLE | HPET_CONFIG_LEGACY);
    TRACE(hpet_trace, HPET_TRACE_CONFIG, device_source(&s->sysbus.dev), hpet_running(s),
          !!(s->config & HPET_CONFIG_LEGACY));
    hpet_arm_all(s, tick);
    hpet_update(s);
}

static void hpet_write_timer_config(struct hpet *s, struct hpet_timer *t, uint32_t value,
                                    int64_t tick)
{
    hpet_release(s);
    t->config = value & (TIMER_WRITABLE | (s->msi ? TIMER_FSB : 0));
    t->comparator &= hpet_mask(t);
    if (!(t->config & TIMER_LEVEL))
        s->status &= ~(1u << (t - s->timers));
    hpet_arm(s, t, tick);
    hpet_update(s);
}

/* A periodic timer's comparator is the accumulator; what is written without TIMER_SET is the period
 * alone. The bit is for one write: 32-bit software sets it again before the upper half (2.3.9.2.2).
 */
static void hpet_write_comparator(struct hpet *s, struct hpet_timer *t, uint64_t value,
                                  uint64_t written, int64_t tick)
{
    if (!(t->config & TIMER_PERIODIC) || t->config & TIMER_SET)
        t->comparator = ((t->comparator & ~written) | value) & hpet_mask(t);
    if (t->config & TIMER_PERIODIC)
        t->period = ((t->period & ~written) | value) & hpet_mask(t);
    t->config &= ~TIMER_SET;
    TRACE(hpet_trace, HPET_TRACE_ARM, device_source(&s->sysbus.dev), (uint64_t)(t - s->timers),
          t->comparator, t->period);
    hpet_arm(s, t, tick);
}

/* `value` is in place, and `written` the bits that the access covers. */
static void hpet_write_timer(struct hpet *s, struct hpet_timer *t, unsigned reg, uint64_t value,
                             uint64_t written, int64_t tick)
{
    switch (reg) {
    case HPET_TIMER_CONFIG:
        if ((uint32_t)written)
            hpet_write_timer_config(s, t, (uint32_t)value, tick);
        break;
    case HPET_TIMER_COMPARATOR:
        hpet_write_comparator(s, t, value, written, tick);
        break;
    case HPET_TIMER_FSB:
        if (s->msi)
            t->fsb = (t->fsb & ~written) | value;
        break;
    }
}

static void hpet_write_register(struct hpet *s, uint64_t offset, uint64_t value, uint64_t written)
{
    struct hpet_timer *t = hpet_timer_at(s, offset);
    int64_t tick = hpet_tick(s);
    if (t) {
        hpet_write_timer(s, t, offset % HPET_TIMER_SIZE, value, written, tick);
        return;
    }
    switch (offset) {
    case HPET_CONFIG:
        if ((uint32_t)written)
            hpet_write_config(s, (uint32_t)value, tick);
        break;
    case HPET_STATUS:
        s->status &= ~(uint32_t)value;
        hpet_update(s);
        break;
    case HPET_COUNTER: /* software is to halt it first, and undefined else (2.3.7) */
        s->counter = (hpet_counter_at(s, tick) & ~written) | value;
        s->start = tick;
        hpet_arm_all(s, tick);
        break;
    }
}

static uint64_t hpet_read(void *opaque, uint64_t offset, unsigned size)
{
    return hpet_read_register(opaque, offset & ~7ULL) >> (offset & 4) * 8;
}

static void hpet_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    unsigned shift = (offset & 4) * 8;
    hpet_write_register(opaque, offset & ~7ULL, value << shift,
                        (size == 8 ? UINT64_MAX : UINT32_MAX) << shift);
}

static const struct region_ops hpet_ops = {
    .read = hpet_read,
    .write = hpet_write,
    .valid = { 4, 8 },
    .impl = { 4, 8 },
};

/* ---- the device ---- */

static void hpet_set_legacy(void *opaque, int n, bool level)
{
    struct hpet *s = opaque;
    s->legacy_in[n] = level;
    if (!hpet_is_legacy(s, n))
        irq_set(s->legacy[n], level);
}

static bool hpet_init(struct device *d, struct error *err)
{
    static void (*const match[HPET_TIMERS])(void *) = { hpet_match_0, hpet_match_1, hpet_match_2 };
    struct hpet *s = (struct hpet *)d;
    region_init_io(&s->mmio, d->machine->mem, "hpet", HPET_SIZE, &hpet_ops, s);
    s->mmio.owner = d;
    for (unsigned n = 0; n < HPET_TIMERS; n++)
        timer_init(&s->timers[n].timer, &d->machine->virtual, match[n], s);
    device_init_gpio_out(d, "", s->routes, HPET_ROUTES);
    device_init_gpio_out(d, "legacy", s->legacy, HPET_LEGACY);
    device_init_gpio_in(d, "legacy-in", hpet_set_legacy, HPET_LEGACY);
    return true;
}

static bool hpet_realize(struct device *d, struct error *err)
{
    struct hpet *s = (struct hpet *)d;
    sysbus_add_mmio(&s->sysbus, &s->mmio);
    return true;
}

static void hpet_unrealize(struct device *d)
{
    struct hpet *s = (struct hpet *)d;
    for (unsigned n = 0; n < HPET_TIMERS; n++)
        timer_cancel(&s->timers[n].timer);
}

static void hpet_reset(struct device *d)
{
    struct hpet *s = (struct hpet *)d;
    hpet_release(s);
    s->config = s->status = 0;
    s->counter = 0;
    for (unsigned n = 0; n < HPET_TIMERS; n++) {
        struct hpet_timer *t = &s->timers[n];
        t->config = 0;
        t->comparator = UINT64_MAX;
        t->period = t->fsb = 0;
        timer_cancel(&t->timer);
    }
    hpet_update(s);
}

static void hpet_finalize(struct device *d)
{
    region_fini(&((struct hpet *)d)->mmio);
}

static const struct prop hpet_props[] = {
    PROP(PROP_U32, struct hpet, route_mask, "intcap", "0xff0000",
         "inputs of the I/O APIC that a timer can be routed to, one bit each", .max = 0xffffff),
    PROP(PROP_BOOL, struct hpet, msi, "msi", "false", "timers can send messages (FSB delivery)"),
    PROP_END,
};

#define TIMER_STATE(N)                                                                      \
    STATE_U32(struct hpet, timers[N].config), STATE_U64(struct hpet, timers[N].comparator), \
        STATE_U64(struct hpet, timers[N].period), STATE_U64(struct hpet, timers[N].fsb),    \
        STATE_TIMER(struct hpet, timers[N].timer)

static const struct state_field hpet_state[] = {
    STATE_U32(struct hpet, config),
    STATE_U32(struct hpet, status),
    STATE_U64(struct hpet, counter),
    STATE_I64(struct hpet, start),
    STATE_ARRAY(STATE_KIND_BOOL, struct hpet, legacy_in),
    TIMER_STATE(0),
    TIMER_STATE(1),
    TIMER_STATE(2),
    STATE_END,
};

const struct device_type hpet_type = {
    .name = "hpet",
    .parent = "sys-bus-device",
    .desc = "high precision event timers",
    .instance_size = sizeof(struct hpet),
    .props = hpet_props,
    .state = hpet_state,
    .init = hpet_init,
    .realize = hpet_realize,
    .unrealize = hpet_unrealize,
    .reset = hpet_reset,
    .finalize = hpet_finalize,
};
