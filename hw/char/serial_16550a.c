/* National PC16550D UART on the ISA bus.
 *
 * National Semiconductor PC16550D datasheet (June 1995), section 8. What the guest sends leaves at
 * once, so the transmitter is always empty; receiving is paced by the FIFO's room. The line speed
 * matters only to the receiver's time-out interrupt. The modem inputs show a device that is
 * connected and ready (CTS, DSR, DCD). A PC gates the interrupt with OUT2 outside of the chip; this
 * does not, because software that forgets OUT2 then works too. */
#include "char/chardev.h"
#include "dev/isa.h"
#include "dev/machine.h"

enum {
    UART_RBR_THR = 0, /* with DLAB: divisor low */
    UART_IER = 1,     /* with DLAB: divisor high */
    UART_IIR_FCR = 2,
    UART_LCR = 3,
    UART_MCR = 4,
    UART_LSR = 5,
    UART_MSR = 6,
    UART_SCR = 7,
    UART_PORTS = 8,
    UART_FIFO = 16,
    UART_CLOCK_BAUD = 115200, /* with divisor 1 */
    UART_TIMEOUT_CHARS = 4,

    UART_IER_RDI = 1 << 0, /* received data */
    UART_IER_THRI = 1 << 1,
    UART_IER_RLSI = 1 << 2, /* line status */
    UART_IER_MSI = 1 << 3,

    UART_IIR_NONE = 0x1,
    UART_IIR_MSI = 0x0,
    UART_IIR_THRI = 0x2,
    UART_IIR_RDI = 0x4,
    UART_IIR_RLSI = 0x6,
    UART_IIR_TIMEOUT = 0xc,
    UART_IIR_FIFO = 0xc0,

    UART_FCR_ENABLE = 1 << 0,
    UART_FCR_CLEAR_RX = 1 << 1,
    UART_FCR_KEPT = 0xc9, /* enable, DMA mode, trigger level */

    UART_LCR_STOP = 1 << 2,
    UART_LCR_PARITY = 1 << 3,
    UART_LCR_BREAK = 1 << 6,
    UART_LCR_DLAB = 1 << 7,

    UART_MCR_DTR = 1 << 0,
    UART_MCR_RTS = 1 << 1,
    UART_MCR_OUT1 = 1 << 2,
    UART_MCR_OUT2 = 1 << 3,
    UART_MCR_LOOP = 1 << 4,

    UART_LSR_DR = 1 << 0,
    UART_LSR_OE = 1 << 1,
    UART_LSR_BI = 1 << 4,
    UART_LSR_ERRORS = 0x1e,
    UART_LSR_THRE = 1 << 5,
    UART_LSR_TEMT = 1 << 6,
    UART_LSR_FIFO_ERROR = 1 << 7,

    UART_MSR_DELTAS = 0x0f, /* of the four inputs in the high half; of RI only its end (TERI) */
    UART_MSR_CTS = 1 << 4,
    UART_MSR_DSR = 1 << 5,
    UART_MSR_RI = 1 << 6,
    UART_MSR_DCD = 1 << 7,
    UART_MSR_CONNECTED = UART_MSR_CTS | UART_MSR_DSR | UART_MSR_DCD,
};

#define UART_AUTO UINT32_MAX /* a property that follows from another one */

struct serial {
    struct isa_device isa;
    struct region io;
    struct irq *irq;
    struct chardev *chardev;
    struct chardev_front front;
    uint32_t index, iobase, irq_number;
    /* state */
    uint16_t divisor;
    uint8_t ier, fcr, lcr, mcr, msr, scr;
    uint8_t lsr_errors; /* OE, and the errors of the byte at the head of the FIFO */
    uint8_t rx[UART_FIFO], rx_errors[UART_FIFO];
    uint8_t rx_head, rx_count;
    bool thr_empty_pending; /* the THRE interrupt waits to be told */
    bool timed_out;
    struct timer timeout;
};

enum {
    SERIAL_DIVISOR,
    SERIAL_TX,
    SERIAL_RX,
    SERIAL_OVERRUN,
    SERIAL_TIMEOUT,
};

static const struct trace_event serial_events[] = {
    [SERIAL_DIVISOR] = { "serial.divisor",
                         "the guest sets the line speed",
                         { { "divisor", TRACE_DEC }, { "baud", TRACE_DEC } } },
    [SERIAL_TX] = { "serial.tx",
                    "the guest sends a character",
                    { { "byte", TRACE_HEX }, { "loopback", TRACE_BOOL } } },
    [SERIAL_RX] = { "serial.rx",
                    "a character comes in",
                    { { "byte", TRACE_HEX }, { "waiting", TRACE_DEC } } },
    [SERIAL_OVERRUN] = { "serial.overrun",
                         "a character is lost, because the guest does not read",
                         { { "byte", TRACE_HEX } } },
    [SERIAL_TIMEOUT] = { "serial.timeout",
                         "characters have waited in the FIFO for four characters' time",
                         { { "waiting", TRACE_DEC } } },
};
struct trace_table serial_trace = TRACE_TABLE(serial_events);

/* ---- interrupts ---- */

static bool serial_fifo_on(const struct serial *s)
{
    return s->fcr & UART_FCR_ENABLE;
}

static unsigned serial_trigger(const struct serial *s)
{
    static const uint8_t levels[] = { 1, 4, 8, 14 };
    return serial_fifo_on(s) ? levels[s->fcr >> 6] : 1;
}

/* The source with the highest priority (table III of the datasheet). */
static uint8_t serial_source(const struct serial *s)
{
    if (s->ier & UART_IER_RLSI && s->lsr_errors)
        return UART_IIR_RLSI;
    if (s->ier & UART_IER_RDI && s->rx_count >= serial_trigger(s))
        return UART_IIR_RDI;
    if (s->ier & UART_IER_RDI && s->timed_out)
        return UART_IIR_TIMEOUT;
    if (s->ier & UART_IER_THRI && s->thr_empty_pending)
        return UART_IIR_THRI;
    if (s->ier & UART_IER_MSI && s->msr & UART_MSR_DELTAS)
        return UART_IIR_MSI;
    return UART_IIR_NONE;
}

static void serial_update(struct serial *s)
{
    irq_set(s->irq, serial_source(s) != UART_IIR_NONE);
}

/* Four characters' time without a character coming or going while some wait in the FIFO. */
static void serial_arm_timeout(struct serial *s)
{
    s->timed_out = false;
    if (!serial_fifo_on(s) || !s->rx_count) {
        timer_cancel(&s->timeout);
        return;
    }
    unsigned bits =
        1 + 5 + (s->lcr & 3) + !!(s->lcr & UART_LCR_PARITY) + (s->lcr & UART_LCR_STOP ? 2 : 1);
    int64_t divisor = s->divisor ? s->divisor : 1;
    int64_t ns = UART_TIMEOUT_CHARS * bits * divisor * NS_PER_SECOND / UART_CLOCK_BAUD;
    timer_set(&s->timeout, clock_now(&s->isa.dev.machine->virtual) + ns);
}

static void serial_timeout(void *opaque)
{
    struct serial *s = opaque;
    TRACE(serial_trace, SERIAL_TIMEOUT, device_source(&s->isa.dev), s->rx_count);
    s->timed_out = s->rx_count > 0;
    serial_update(s);
}

/* ---- receiver ---- */

static unsigned serial_capacity(const struct serial *s)
{
    return serial_fifo_on(s) ? UART_FIFO : 1;
}

/* A character comes in with its errors. */
static void serial_push(struct serial *s, uint8_t data, uint8_t errors)
{
    if (s->rx_count == serial_capacity(s)) {
        TRACE(serial_trace, SERIAL_OVERRUN, device_source(&s->isa.dev), data);
        s->lsr_errors |= UART_LSR_OE;
        if (serial_fifo_on(s))
            return; /* lost in the shift register; without a FIFO it overwrites the old one */
        s->rx_count = 0;
    }
    unsigned at = (s->rx_head + s->rx_count) % UART_FIFO;
    s->rx[at] = data;
    s->rx_errors[at] = errors;
    if (!s->rx_count++)
        s->lsr_errors |= errors;
    TRACE(serial_trace, SERIAL_RX, device_source(&s->isa.dev), data, s->rx_count);
    serial_arm_timeout(s);
}

static uint8_t serial_pop(struct serial *s)
{
    uint8_t data = s->rx[s->rx_head];
    if (!s->rx_count)
        return data; /* the last one again */
    s->rx_head = (s->rx_head + 1) % UART_FIFO;
    if (--s->rx_count)
        s->lsr_errors |= s->rx_errors[s->rx_head];
    else
        s->rx_head = (s->rx_head + UART_FIFO - 1) % UART_FIFO; /* keep it readable */
    serial_arm_timeout(s);
    return data;
}

static void serial_clear_rx(struct serial *s)
{
    s->rx_head = s->rx_count = 0;
    memset(s->rx, 0, sizeof s->rx);
    serial_arm_timeout(s);
}

static size_t serial_can_receive(void *opaque)
{
    struct serial *s = opaque;
    if (s->mcr & UART_MCR_LOOP)
        return 0; /* SIN is disconnected; what waits outside keeps waiting */
    return serial_capacity(s) - s->rx_count;
}

static void serial_receive(void *opaque, const uint8_t *data, size_t len)
{
    struct serial *s = opaque;
    for (size_t i = 0; i < len; i++)
        serial_push(s, data[i], 0);
    serial_update(s);
}

/* The line is held low for longer than a character: one zero character with BI, however long it
 * lasts (8.4, bit 4 of the LSR). */
static void serial_event(void *opaque, enum chardev_event event)
{
    struct serial *s = opaque;
    if (event != CHARDEV_BREAK || s->mcr & UART_MCR_LOOP)
        return;
    serial_push(s, 0, UART_LSR_BI);
    serial_update(s);
}

static void serial_accept_input(struct serial *s)
{
    if (s->chardev)
        chardev_accept_input(s->chardev);
}

/* ---- modem lines ---- */

/* In loopback the outputs come back as inputs: DTR→DSR, RTS→CTS, OUT1→RI, OUT2→DCD. */
static uint8_t serial_modem_inputs(const struct serial *s)
{
    if (!(s->mcr & UART_MCR_LOOP))
        return UART_MSR_CONNECTED;
    return (s->mcr & UART_MCR_DTR ? UART_MSR_DSR : 0) | (s->mcr & UART_MCR_RTS ? UART_MSR_CTS : 0) |
           (s->mcr & UART_MCR_OUT1 ? UART_MSR_RI : 0) | (s->mcr & UART_MCR_OUT2 ? UART_MSR_DCD : 0);
}

static void serial_update_modem(struct serial *s)
{
    uint8_t inputs = serial_modem_inputs(s), old = s->msr & ~UART_MSR_DELTAS;
    uint8_t changed = inputs ^ old;
    if (inputs & UART_MSR_RI)
        changed &= ~UART_MSR_RI; /* only its trailing edge counts */
    s->msr = inputs | (s->msr & UART_MSR_DELTAS) | changed >> 4;
}

/* ---- registers ---- */

static void serial_write_thr(struct serial *s, uint8_t value)
{
    TRACE(serial_trace, SERIAL_TX, device_source(&s->isa.dev), value, !!(s->mcr & UART_MCR_LOOP));
    if (s->mcr & UART_MCR_LOOP)
        serial_push(s, value, 0);
    else if (s->chardev)
        chardev_write(s->chardev, &value, 1);
    s->thr_empty_pending = true;
}

static void serial_write_divisor(struct serial *s, unsigned shift, uint8_t value)
{
    s->divisor = bits_put(s->divisor, shift, 8, value);
    TRACE(serial_trace, SERIAL_DIVISOR, device_source(&s->isa.dev), s->divisor,
          s->divisor ? UART_CLOCK_BAUD / s->divisor : 0u);
}

static void serial_write_ier(struct serial *s, uint8_t value)
{
    if (value & ~s->ier & UART_IER_THRI)
        s->thr_empty_pending = true; /* the register is empty at this moment */
    s->ier = value & 0x0f;
}

static void serial_write_fcr(struct serial *s, uint8_t value)
{
    bool toggled = (value ^ s->fcr) & UART_FCR_ENABLE;
    /* The other bits count only together with the enable bit. */
    s->fcr = value & UART_FCR_ENABLE ? value & UART_FCR_KEPT : 0;
    if (toggled || (serial_fifo_on(s) && value & UART_FCR_CLEAR_RX))
        serial_clear_rx(s);
}

static void serial_write_lcr(struct serial *s, uint8_t value)
{
    bool starts_break = value & ~s->lcr & UART_LCR_BREAK;
    s->lcr = value;
    if (starts_break && s->mcr & UART_MCR_LOOP)
        serial_push(s, 0, UART_LSR_BI);
}

static uint8_t serial_read_iir(struct serial *s)
{
    uint8_t source = serial_source(s);
    if (source == UART_IIR_THRI)
        s->thr_empty_pending = false;
    return source | (serial_fifo_on(s) ? UART_IIR_FIFO : 0);
}

static uint8_t serial_read_lsr(struct serial *s)
{
    uint8_t value = UART_LSR_THRE | UART_LSR_TEMT | s->lsr_errors;
    if (s->rx_count)
        value |= UART_LSR_DR;
    for (unsigned i = 0; serial_fifo_on(s) && i < s->rx_count; i++)
        if (s->rx_errors[(s->rx_head + i) % UART_FIFO])
            value |= UART_LSR_FIFO_ERROR;
    s->lsr_errors = 0;
    if (s->rx_count)
        s->rx_errors[s->rx_head] = 0;
    return value;
}

static uint8_t serial_read_msr(struct serial *s)
{
    uint8_t value = s->msr;
    s->msr &= ~UART_MSR_DELTAS;
    return value;
}

static uint8_t serial_read_register(struct serial *s, unsigned offset)
{
    bool dlab = s->lcr & UART_LCR_DLAB;
    switch (offset) {
    case UART_RBR_THR:
        return dlab ? s->divisor : serial_pop(s);
    case UART_IER:
        return dlab ? s->divisor >> 8 : s->ier;
    case UART_IIR_FCR:
        return serial_read_iir(s);
    case UART_LCR:
        return s->lcr;
    case UART_MCR:
        return s->mcr;
    case UART_LSR:
        return serial_read_lsr(s);
    case UART_MSR:
        return serial_read_msr(s);
    default:
        return s->scr;
    }
}

static uint64_t serial_read(void *opaque, uint64_t offset, unsigned size)
{
    struct serial *s = opaque;
    uint8_t value = serial_read_register(s, offset);
    serial_update(s);
    if (offset == UART_RBR_THR)
        serial_accept_input(s);
    return value;
}

static void serial_write_mcr(struct serial *s, uint8_t value)
{
    s->mcr = value & 0x1f;
    serial_update_modem(s);
}

static void serial_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    struct serial *s = opaque;
    bool dlab = s->lcr & UART_LCR_DLAB;
    switch (offset) {
    case UART_RBR_THR:
        if (dlab)
            serial_write_divisor(s, 0, value);
        else
            serial_write_thr(s, value);
        break;
    case UART_IER:
        if (dlab)
            serial_write_divisor(s, 8, value);
        else
            serial_write_ier(s, value);
        break;
    case UART_IIR_FCR:
        serial_write_fcr(s, value);
        break;
    case UART_LCR:
        serial_write_lcr(s, value);
        break;
    case UART_MCR:
        serial_write_mcr(s, value);
        break;
    case UART_SCR:
        s->scr = value;
        break;
    default: /* LSR and MSR: writing is for factory tests */
        break;
    }
    serial_update(s);
    if (offset == UART_IIR_FCR || offset == UART_MCR)
        serial_accept_input(s); /* there may be room now */
}

static const struct region_ops serial_ops = {
    .read = serial_read,
    .write = serial_write,
    .valid = { 1, 4, .unaligned = true }, /* the ISA bus makes bytes of it */
    .impl = { 1, 1 },
};

/* ---- the device ---- */

static bool serial_init(struct device *d, struct error *err)
{
    struct serial *s = (struct serial *)d;
    region_init_io(&s->io, d->machine->mem, "serial", UART_PORTS, &serial_ops, s);
    s->io.owner = d;
    s->front = (struct chardev_front){ serial_can_receive, serial_receive, s, serial_event };
    timer_init(&s->timeout, &d->machine->virtual, serial_timeout, s);
    return true;
}

/* The lowest number that no other port of the machine has. */
static uint32_t serial_free_index(const struct device *d)
{
    uint32_t index = 0;
    const struct device *other = d->machine->devices;
    while (other) {
        bool taken = other != d && other->realized && device_is_a(other, "isa-serial") &&
                     ((const struct serial *)other)->index == index;
        index += taken;
        other = taken ? d->machine->devices : other->next;
    }
    return index;
}

static bool serial_choose_resources(struct serial *s, struct error *err)
{
    static const struct {
        uint16_t iobase;
        uint8_t irq;
    } com[] = { { 0x3f8, 4 }, { 0x2f8, 3 }, { 0x3e8, 4 }, { 0x2e8, 3 } };
    struct device *d = &s->isa.dev;
    if (s->index == UART_AUTO)
        s->index = serial_free_index(d);
    if (s->index >= ARRAY_LEN(com) && (s->iobase == UART_AUTO || s->irq_number == UART_AUTO))
        return error_set(err, "%s: port %u has no usual place; give it iobase and irq",
                         device_name(d), s->index);
    if (s->iobase == UART_AUTO)
        s->iobase = com[s->index].iobase;
    if (s->irq_number == UART_AUTO)
        s->irq_number = com[s->index].irq;
    if (s->iobase > 0x10000 - UART_PORTS)
        return error_set(err, "%s: iobase=0x%x is too high; at most 0xfff8", device_name(d),
                         s->iobase);
    return true;
}

static bool serial_realize(struct device *d, struct error *err)
{
    struct serial *s = (struct serial *)d;
    if (!serial_choose_resources(s, err) ||
        !isa_connect_irq(&s->isa, &s->irq, (int)s->irq_number, err))
        return false;
    if (s->chardev && !chardev_attach(s->chardev, &s->front))
        return error_set(err,
                         "%s: character backend '%s' serves another device; use one of its own",
                         device_name(d), s->chardev->id);
    isa_map_ports(&s->isa, &s->io, s->iobase);
    return true;
}

static void serial_unrealize(struct device *d)
{
    struct serial *s = (struct serial *)d;
    timer_cancel(&s->timeout);
    if (s->chardev)
        chardev_attach(s->chardev, NULL);
}

/* Master reset (table I), with the divisor of 9600 baud, which the chip would leave undefined. */
static void serial_reset(struct device *d)
{
    struct serial *s = (struct serial *)d;
    s->divisor = 12;
    s->ier = s->fcr = s->lcr = s->mcr = s->scr = 0;
    s->msr = UART_MSR_CONNECTED;
    s->lsr_errors = 0;
    s->thr_empty_pending = false;
    serial_clear_rx(s);
    serial_update(s);
    serial_accept_input(s);
}

static void serial_finalize(struct device *d)
{
    region_fini(&((struct serial *)d)->io);
}

static const struct prop serial_props[] = {
    PROP(PROP_U32, struct serial, index, "index", "0xffffffff",
         "COM port, from 0: the default of iobase and irq; by default the first free one"),
    PROP(PROP_U32, struct serial, iobase, "iobase", "0xffffffff", "first of eight ports"),
    PROP(PROP_U32, struct serial, irq_number, "irq", "0xffffffff", "ISA interrupt line"),
    PROP(PROP_CHARDEV, struct serial, chardev, "chardev", NULL, "where its bytes go and come from"),
    PROP_END,
};

static const struct state_field serial_state[] = {
    STATE_U16(struct serial, divisor),
    STATE_U8(struct serial, ier),
    STATE_U8(struct serial, fcr),
    STATE_U8(struct serial, lcr),
    STATE_U8(struct serial, mcr),
    STATE_U8(struct serial, msr),
    STATE_U8(struct serial, scr),
    STATE_U8(struct serial, lsr_errors),
    STATE_BYTES(struct serial, rx),
    STATE_BYTES(struct serial, rx_errors),
    STATE_U8(struct serial, rx_head),
    STATE_U8(struct serial, rx_count),
    STATE_BOOL(struct serial, thr_empty_pending),
    STATE_BOOL(struct serial, timed_out),
    STATE_TIMER(struct serial, timeout),
    STATE_END,
};

const struct device_type serial_16550a_type = {
    .name = "isa-serial",
    .parent = "isa-device",
    .desc = "16550A serial port",
    .instance_size = sizeof(struct serial),
    .props = serial_props,
    .state = serial_state,
    .init = serial_init,
    .realize = serial_realize,
    .unrealize = serial_unrealize,
    .reset = serial_reset,
    .finalize = serial_finalize,
};
