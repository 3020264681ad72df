/* Motorola MC146818 real-time clock with 128 bytes of CMOS RAM, as in a PC.
 *
 * Motorola MC146818A datasheet; the century at 0x32 is the PC's. Nothing ticks: the time is the
 * machine's epoch plus the virtual clock plus what the guest has set, and flags are worked out when
 * somebody looks; a timer runs only for an enabled interrupt that has not been raised. While the
 * clock is stopped (SET, or the divider in reset) the registers hold the time. The day of the week
 * follows from the date, whatever is written to it. */
#include "dev/isa.h"
#include "dev/machine.h"

enum {
    RTC_PORT = 0x70,
    RTC_IRQ = 8,
    RTC_RAM = 128,

    RTC_SECONDS = 0,
    RTC_SECONDS_ALARM = 1,
    RTC_MINUTES = 2,
    RTC_MINUTES_ALARM = 3,
    RTC_HOURS = 4,
    RTC_HOURS_ALARM = 5,
    RTC_WEEKDAY = 6,
    RTC_DAY = 7,
    RTC_MONTH = 8,
    RTC_YEAR = 9,
    RTC_A = 10,
    RTC_B = 11,
    RTC_C = 12,
    RTC_D = 13,
    RTC_CENTURY = 0x32,

    RTC_A_RATE = 0x0f,
    RTC_A_DIVIDER_RESET = 0x60, /* both bits: the divider is held */
    RTC_A_UIP = 0x80,
    RTC_B_24H = 1 << 1,
    RTC_B_BINARY = 1 << 2,
    RTC_B_SQWE = 1 << 3,
    RTC_B_UIE = 1 << 4, /* the enables of the flags at the same bits of register C */
    RTC_B_AIE = 1 << 5,
    RTC_B_PIE = 1 << 6,
    RTC_B_SET = 1 << 7,
    RTC_FLAGS = RTC_B_UIE | RTC_B_AIE | RTC_B_PIE,
    RTC_C_IRQF = 1 << 7,
    RTC_D_VRT = 1 << 7, /* the battery is good */
    RTC_PM = 0x80,      /* of the hours in 12-hour mode */
    RTC_ALARM_ANY = 0xc0,

    RTC_HZ = 32768,
    /* The update cycle takes 1984 us, and UIP announces it 244 us ahead (table 6); it ends at the
       full second. */
    RTC_UIP_NS = (1984 + 244) * 1000,
    SECONDS_PER_DAY = 86400,
};

struct rtc {
    struct isa_device isa;
    struct region io, index_io;
    struct irq *irq;
    int32_t base_year;
    int64_t now; /* virtual time of the access or event: what follows from it belongs together */
    /* state */
    uint8_t index;
    uint8_t ram[RTC_RAM]; /* C holds the flags; the time registers count only while the clock is
                             stopped */
    int64_t offset_s;     /* what the guest has set the clock ahead by: whole seconds ... */
    int64_t phase_ns;     /* ... and 0..999999999 ns */
    int64_t seen_second;  /* up to which update and alarm flags are worked out */
    int64_t seen_tick;    /* of 32768 Hz, up to which the periodic flag is */
    struct timer timer;
};

/* ---- time ---- */

/* Once for each access and event. */
static void rtc_look_at_clock(struct rtc *s)
{
    s->now = clock_now(&s->isa.dev.machine->virtual);
}

/* Nanoseconds since 1970 without the guest's whole seconds. */
static int64_t rtc_raw_ns(const struct rtc *s)
{
    return s->isa.dev.machine->epoch_ns + s->now + s->phase_ns;
}

/* Seconds since 1970 as the guest sees them. */
static int64_t rtc_second(const struct rtc *s)
{
    return rtc_raw_ns(s) / NS_PER_SECOND + s->offset_s;
}

static int64_t rtc_ns_to_next_second(const struct rtc *s)
{
    return NS_PER_SECOND - rtc_raw_ns(s) % NS_PER_SECOND;
}

static int64_t rtc_tick(const struct rtc *s)
{
    return (int64_t)((__int128)s->now * RTC_HZ / NS_PER_SECOND);
}

static int64_t rtc_tick_ns(int64_t tick)
{
    return (int64_t)(((__int128)tick * NS_PER_SECOND + RTC_HZ - 1) / RTC_HZ);
}

static bool rtc_divider_held(uint8_t a)
{
    return (a & RTC_A_DIVIDER_RESET) == RTC_A_DIVIDER_RESET;
}

static bool rtc_running(const struct rtc *s)
{
    return !(s->ram[RTC_B] & RTC_B_SET) && !rtc_divider_held(s->ram[RTC_A]);
}

/* ---- calendar (Gregorian) ---- */

struct rtc_date {
    int64_t days; /* since 1970-01-01 */
    int year, month, day;
};

/* Days from 1970-01-01 to the first of January of `year`. */
static int64_t days_to_year(int64_t year)
{
    int64_t y = year - 1;
    return y * 365 + y / 4 - y / 100 + y / 400 - 719162;
}

static int days_in_month(int year, int month)
{
    static const uint8_t days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return month == 2 && leap ? 29 : days[month - 1];
}

static int64_t days_of_date(int year, int month, int day)
{
    int64_t days = days_to_year(year) + day - 1;
    for (int m = 1; m < month; m++)
        days += days_in_month(year, m);
    return days;
}

/* `days` must be of a year from 1 on. */
static struct rtc_date date_of_days(int64_t days)
{
    struct rtc_date d = { .days = days };
    d.year = 1970 + (int)(days / 366) - (days < 0 ? 3 : 0);
    while (days_to_year(d.year + 1) <= days)
        d.year++;
    while (days_to_year(d.year) > days)
        d.year--;
    int left = (int)(days - days_to_year(d.year));
    for (d.month = 1; left >= days_in_month(d.year, d.month); d.month++)
        left -= days_in_month(d.year, d.month);
    d.day = left + 1;
    return d;
}

/* ---- register formats ---- */

static uint8_t rtc_encode(const struct rtc *s, unsigned v)
{
    return s->ram[RTC_B] & RTC_B_BINARY ? v : v / 10 << 4 | v % 10;
}

static unsigned rtc_decode(const struct rtc *s, uint8_t v)
{
    return s->ram[RTC_B] & RTC_B_BINARY ? v : (v >> 4) * 10 + (v & 15);
}

static uint8_t rtc_encode_hour(const struct rtc *s, unsigned hour)
{
    if (s->ram[RTC_B] & RTC_B_24H)
        return rtc_encode(s, hour);
    return rtc_encode(s, hour % 12 ? hour % 12 : 12) | (hour >= 12 ? RTC_PM : 0);
}

static unsigned rtc_decode_hour(const struct rtc *s, uint8_t v)
{
    if (s->ram[RTC_B] & RTC_B_24H)
        return rtc_decode(s, v);
    return rtc_decode(s, v & ~RTC_PM) % 12 + (v & RTC_PM ? 12 : 0);
}

/* Write the present time into the registers. */
static void rtc_store_time(struct rtc *s)
{
    int64_t now = rtc_second(s), days = now / SECONDS_PER_DAY, second = now % SECONDS_PER_DAY;
    if (second < 0) {
        second += SECONDS_PER_DAY;
        days--;
    }
    struct rtc_date d = date_of_days(days);
    s->ram[RTC_SECONDS] = rtc_encode(s, second % 60);
    s->ram[RTC_MINUTES] = rtc_encode(s, second / 60 % 60);
    s->ram[RTC_HOURS] = rtc_encode_hour(s, second / 3600);
    s->ram[RTC_WEEKDAY] = rtc_encode(s, ((days + 4) % 7 + 7) % 7 + 1); /* 1970-01-01: Thursday, 5 */
    s->ram[RTC_DAY] = rtc_encode(s, d.day);
    s->ram[RTC_MONTH] = rtc_encode(s, d.month);
    s->ram[RTC_YEAR] = rtc_encode(s, ((d.year - s->base_year) % 100 + 100) % 100);
    s->ram[RTC_CENTURY] = rtc_encode(s, d.year / 100 % 100);
}

/* The seconds since 1970 that the registers say; what makes no date is brought into range. */
static int64_t rtc_registers_second(const struct rtc *s)
{
    int year = (int)rtc_decode(s, s->ram[RTC_YEAR]);
    year += s->base_year ? s->base_year : (int)rtc_decode(s, s->ram[RTC_CENTURY]) * 100;
    unsigned month = rtc_decode(s, s->ram[RTC_MONTH]);
    month = month < 1 ? 1 : month > 12 ? 12 : month;
    int64_t days = days_of_date(year < 1 ? 1 : year, month, rtc_decode(s, s->ram[RTC_DAY]));
    return days * SECONDS_PER_DAY + rtc_decode_hour(s, s->ram[RTC_HOURS]) * 3600 +
           rtc_decode(s, s->ram[RTC_MINUTES]) * 60 + rtc_decode(s, s->ram[RTC_SECONDS]);
}

/* Let the clock show what the registers say. No update or alarm happens on the way. */
static void rtc_load_time(struct rtc *s)
{
    s->offset_s += rtc_registers_second(s) - rtc_second(s);
    s->seen_second = rtc_second(s);
}

enum {
    RTC_TRACE_READ,
    RTC_TRACE_WRITE,
    RTC_TRACE_FLAGS,
};

static const struct trace_event rtc_events[] = {
    [RTC_TRACE_READ] = { "rtc.read",
                         "a register of the clock is read",
                         { { "reg", TRACE_HEX }, { "value", TRACE_HEX } } },
    [RTC_TRACE_WRITE] = { "rtc.write",
                          "a register of the clock is written",
                          { { "reg", TRACE_HEX }, { "value", TRACE_HEX } } },
    [RTC_TRACE_FLAGS] = { "rtc.flags",
                          "periodic, alarm or update flags are set: an interrupt, if enabled",
                          { { "flags", TRACE_HEX }, { "enabled", TRACE_HEX } } },
};
struct trace_table mc146818_trace = TRACE_TABLE(rtc_events);

/* ---- flags and interrupts ---- */

static bool rtc_alarm_part(uint8_t alarm, unsigned want, unsigned have)
{
    return (alarm & RTC_ALARM_ANY) == RTC_ALARM_ANY || want == have;
}

/* The first second after `from` that the alarm matches; INT64_MAX when its registers match none. */
static int64_t rtc_next_alarm(const struct rtc *s, int64_t from)
{
    const uint8_t *r = s->ram;
    unsigned hour = rtc_decode_hour(s, r[RTC_HOURS_ALARM]);
    unsigned minute = rtc_decode(s, r[RTC_MINUTES_ALARM]);
    unsigned second = rtc_decode(s, r[RTC_SECONDS_ALARM]);
    int64_t t = from + 1, end = from + SECONDS_PER_DAY;
    while (t <= end) { /* skips hours, then minutes, then seconds: at most about 150 rounds */
        int64_t of_day = (t % SECONDS_PER_DAY + SECONDS_PER_DAY) % SECONDS_PER_DAY;
        if (!rtc_alarm_part(r[RTC_HOURS_ALARM], hour, of_day / 3600))
            t += 3600 - of_day % 3600;
        else if (!rtc_alarm_part(r[RTC_MINUTES_ALARM], minute, of_day / 60 % 60))
            t += 60 - of_day % 60;
        else if (!rtc_alarm_part(r[RTC_SECONDS_ALARM], second, of_day % 60))
            t++;
        else
            return t;
    }
    return INT64_MAX;
}

/* Ticks of 32768 Hz between two periodic interrupts, 0: none (table 5; rates 1 and 2 mean 8 and 9).
 */
static int64_t rtc_period(const struct rtc *s)
{
    unsigned rate = s->ram[RTC_A] & RTC_A_RATE;
    if (!rate || rtc_divider_held(s->ram[RTC_A]))
        return 0;
    return 1LL << ((rate <= 2 ? rate + 7 : rate) - 1);
}

/* Set the flags of what has happened since the last call. */
static void rtc_sync(struct rtc *s)
{
    int64_t tick = rtc_tick(s), period = rtc_period(s);
    if (period && tick / period != s->seen_tick / period)
        s->ram[RTC_C] |= RTC_B_PIE;
    s->seen_tick = tick;
    int64_t second = rtc_second(s);
    if (rtc_running(s) && second > s->seen_second) {
        s->ram[RTC_C] |= RTC_B_UIE;
        if (rtc_next_alarm(s, s->seen_second) <= second)
            s->ram[RTC_C] |= RTC_B_AIE;
    }
    s->seen_second = second;
}

/* When the next enabled flag that is not set yet will be. */
static int64_t rtc_next_event(const struct rtc *s)
{
    int64_t next = CLOCK_NEVER;
    uint8_t wanted = s->ram[RTC_B] & RTC_FLAGS & ~s->ram[RTC_C];
    int64_t period = rtc_period(s);
    if (wanted & RTC_B_PIE && period)
        next = rtc_tick_ns((s->seen_tick / period + 1) * period);
    if (!rtc_running(s))
        return next;
    int64_t update = s->now + rtc_ns_to_next_second(s);
    if (wanted & RTC_B_UIE && update < next)
        next = update;
    if (wanted & RTC_B_AIE) {
        int64_t alarm = rtc_next_alarm(s, s->seen_second);
        if (alarm != INT64_MAX)
            alarm = update + (alarm - s->seen_second - 1) * NS_PER_SECOND;
        if (alarm < next)
            next = alarm;
    }
    return next;
}

static void rtc_update(struct rtc *s)
{
    uint8_t before = s->ram[RTC_C];
    rtc_sync(s);
    if (s->ram[RTC_C] & ~before & RTC_FLAGS)
        TRACE(mc146818_trace, RTC_TRACE_FLAGS, device_source(&s->isa.dev),
              s->ram[RTC_C] & RTC_FLAGS, s->ram[RTC_B] & RTC_FLAGS);
    bool irq = s->ram[RTC_B] & s->ram[RTC_C] & RTC_FLAGS;
    s->ram[RTC_C] = (s->ram[RTC_C] & RTC_FLAGS) | (irq ? RTC_C_IRQF : 0);
    irq_set(s->irq, irq);
    int64_t next = rtc_next_event(s);
    if (next == CLOCK_NEVER)
        timer_cancel(&s->timer);
    else
        timer_set(&s->timer, next);
}

static void rtc_fire(void *opaque)
{
    rtc_look_at_clock(opaque);
    rtc_update(opaque);
}

/* ---- registers ---- */

static bool rtc_is_time(unsigned reg)
{
    switch (reg) {
    case RTC_SECONDS:
    case RTC_MINUTES:
    case RTC_HOURS:
    case RTC_WEEKDAY:
    case RTC_DAY:
    case RTC_MONTH:
    case RTC_YEAR:
    case RTC_CENTURY:
        return true;
    default:
        return false;
    }
}

static uint8_t rtc_read_register(struct rtc *s, unsigned reg)
{
    uint8_t value;
    switch (reg) {
    case RTC_A:
        value = s->ram[RTC_A];
        if (rtc_running(s) && rtc_ns_to_next_second(s) <= RTC_UIP_NS)
            value |= RTC_A_UIP;
        return value;
    case RTC_C:
        rtc_update(s);
        value = s->ram[RTC_C];
        s->ram[RTC_C] = 0;
        rtc_update(s);
        return value;
    case RTC_D:
        return RTC_D_VRT;
    default:
        if (rtc_is_time(reg) && rtc_running(s))
            rtc_store_time(s);
        return s->ram[reg];
    }
}

/* A or B is about to change: keep the clock right when it stops or starts by that. */
static void rtc_write_control(struct rtc *s, unsigned reg, uint8_t value)
{
    bool was_running = rtc_running(s), was_held = rtc_divider_held(s->ram[RTC_A]);
    if (was_running)
        rtc_store_time(s);
    s->ram[reg] = value;
    if (was_held && !rtc_divider_held(s->ram[RTC_A])) {
        /* The first update comes half a second after the divider is let go. */
        int64_t raw = rtc_raw_ns(s) - s->phase_ns;
        s->phase_ns = (NS_PER_SECOND * 3 / 2 - raw % NS_PER_SECOND) % NS_PER_SECOND;
    }
    if (!was_running && rtc_running(s))
        rtc_load_time(s);
}

static void rtc_write_b(struct rtc *s, uint8_t value)
{
    if (value & RTC_B_SET)
        value &= ~RTC_B_UIE;
    rtc_write_control(s, RTC_B, value);
}

static void rtc_write_register(struct rtc *s, unsigned reg, uint8_t value)
{
    rtc_sync(s);
    switch (reg) {
    case RTC_A:
        rtc_write_control(s, RTC_A, value & ~RTC_A_UIP);
        break;
    case RTC_B:
        rtc_write_b(s, value);
        break;
    case RTC_C:
    case RTC_D:
        break;
    default:
        if (rtc_is_time(reg) && rtc_running(s)) {
            rtc_store_time(s);
            s->ram[reg] = value;
            rtc_load_time(s);
        } else {
            s->ram[reg] = value;
        }
        break;
    }
    rtc_update(s);
}

/* Port 0x71 alone: the index port lies over the first one. */
static uint64_t rtc_read(void *opaque, uint64_t offset, unsigned size)
{
    struct rtc *s = opaque;
    if (!offset)
        return 0xff;
    rtc_look_at_clock(s);
    uint8_t value = rtc_read_register(s, s->index);
    TRACE(mc146818_trace, RTC_TRACE_READ, device_source(&s->isa.dev), s->index, value);
    return value;
}

static void rtc_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    struct rtc *s = opaque;
    if (!offset)
        return;
    TRACE(mc146818_trace, RTC_TRACE_WRITE, device_source(&s->isa.dev), s->index, value);
    rtc_look_at_clock(s);
    rtc_write_register(s, s->index, value);
}

static const struct region_ops rtc_ops = {
    .read = rtc_read,
    .write = rtc_write,
    .valid = { 1, 4, .unaligned = true }, /* the ISA bus makes bytes of it */
    .impl = { 1, 1 },
};

/* The index cannot be read back. Bit 7 masks NMI in a PC; no NMI comes from outside here. */
static uint64_t rtc_index_read(void *opaque, uint64_t offset, unsigned size)
{
    return 0xff;
}

static void rtc_index_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    ((struct rtc *)opaque)->index = value & (RTC_RAM - 1);
}

static const struct region_ops rtc_index_ops = {
    .read = rtc_index_read,
    .write = rtc_index_write,
    .valid = { 1, 4, .unaligned = true }, /* the ISA bus makes bytes of it */
    .impl = { 1, 1 },
};

static bool rtc_init(struct device *d, struct error *err)
{
    struct rtc *s = (struct rtc *)d;
    region_init_io(&s->io, d->machine->mem, "rtc", 2, &rtc_ops, s);
    region_init_io(&s->index_io, d->machine->mem, "rtc-index", 1, &rtc_index_ops, s);
    s->io.owner = s->index_io.owner = d;
    region_add(&s->io, 0, &s->index_io, 0);
    timer_init(&s->timer, &d->machine->virtual, rtc_fire, s);
    return true;
}

/* The battery-backed part starts here, not at reset. */
static bool rtc_realize(struct device *d, struct error *err)
{
    struct rtc *s = (struct rtc *)d;
    if (!isa_connect_irq(&s->isa, &s->irq, RTC_IRQ, err))
        return false;
    memset(s->ram, 0, sizeof s->ram);
    s->ram[RTC_A] = 0x26; /* 32768 Hz, 1024 Hz periodic rate */
    s->ram[RTC_B] = RTC_B_24H;
    s->offset_s = s->phase_ns = 0;
    rtc_look_at_clock(s);
    s->seen_second = rtc_second(s);
    s->seen_tick = rtc_tick(s);
    isa_map_ports(&s->isa, &s->io, RTC_PORT);
    return true;
}

static void rtc_unrealize(struct device *d)
{
    timer_cancel(&((struct rtc *)d)->timer);
}

/* The RESET pin leaves time and RAM alone. */
static void rtc_reset(struct device *d)
{
    struct rtc *s = (struct rtc *)d;
    rtc_look_at_clock(s);
    rtc_sync(s);
    s->ram[RTC_B] &= ~(RTC_FLAGS | RTC_B_SQWE);
    s->ram[RTC_C] = 0;
    s->index = 0;
    rtc_update(s);
}

static void rtc_finalize(struct device *d)
{
    struct rtc *s = (struct rtc *)d;
    region_fini(&s->index_io);
    region_fini(&s->io);
}

static const struct prop rtc_props[] = {
    PROP(PROP_I32, struct rtc, base_year, "base_year", "0",
         "year that the year register counts from; 0: the century is at 0x32", .max = 9900),
    PROP_END,
};

static const struct state_field rtc_state[] = {
    STATE_U8(struct rtc, index),        STATE_BYTES(struct rtc, ram),
    STATE_I64(struct rtc, offset_s),    STATE_I64(struct rtc, phase_ns),
    STATE_I64(struct rtc, seen_second), STATE_I64(struct rtc, seen_tick),
    STATE_TIMER(struct rtc, timer),     STATE_END,
};

const struct device_type mc146818_type = {
    .name = "mc146818rtc",
    .parent = "isa-device",
    .desc = "MC146818 real-time clock and CMOS RAM",
    .instance_size = sizeof(struct rtc),
    .props = rtc_props,
    .state = rtc_state,
    .init = rtc_init,
    .realize = rtc_realize,
    .unrealize = rtc_unrealize,
    .reset = rtc_reset,
    .finalize = rtc_finalize,
};
