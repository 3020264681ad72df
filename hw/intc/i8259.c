/* Intel 8259A programmable interrupt controller, and the PC's pair of them.
 *
 * Intel 8259A datasheet (order 231468-003), with the edge/level control registers of the PIIX3
 * (82371SB datasheet, 2.5.10). Each chip is a device; the slave's INT output is wired to input 2 of
 * the master, and the master reaches the slave through its link property for the second half of an
 * acknowledge cycle. The master answers the cpu (interface interrupt-controller): for a local
 * APIC's ExtINT, or, with property `cpu`, for a cpu that has none.
 *
 * Deviation: an edge that was latched stays latched when the line falls before the acknowledge (the
 * chip would answer with the spurious IRQ 7), so that a device that pulses its line loses nothing.
 * A level-triggered request that goes away does end in the spurious vector. */
#include "dev/chip_state.h"
#include "dev/cpu_port.h"
#include "dev/isa.h"
#include "dev/machine.h"

enum {
    I8259_COMMAND = 0, /* ICW1, OCW2, OCW3; reads IRR, ISR or the poll byte */
    I8259_DATA = 1,    /* ICW2-4, OCW1 */
    I8259_LINES = 8,
    I8259_CASCADE_LINE = 2, /* of the master, wired to the slave */
    I8259_SPURIOUS_LINE = 7,

    ICW1_ICW4 = 1 << 0, /* ICW4 will follow */
    ICW1_SINGLE = 1 << 1,
    ICW1_LEVEL = 1 << 3,
    ICW1_INIT = 1 << 4,
    ICW4_AUTO_EOI = 1 << 1,
    ICW4_NESTED = 1 << 4, /* special fully nested mode */
    OCW3_SELECT = 1 << 3, /* this is OCW3, not OCW2 */
    OCW3_READ_ISR = 1 << 0,
    OCW3_READ = 1 << 1,
    OCW3_POLL = 1 << 2,
    OCW3_SPECIAL_MASK = 1 << 5,
    OCW3_SET_SPECIAL_MASK = 1 << 6,
    POLL_PENDING = 1 << 7,
};

/* OCW2 bits 7:5. */
enum {
    OCW2_ROTATE_AEOI_CLEAR = 0,
    OCW2_EOI = 1,
    OCW2_NOP = 2,
    OCW2_EOI_SPECIFIC = 3,
    OCW2_ROTATE_AEOI_SET = 4,
    OCW2_EOI_ROTATE = 5,
    OCW2_SET_PRIORITY = 6,
    OCW2_EOI_SPECIFIC_ROTATE = 7,
};

/* What the next write to the data port is. */
enum { INIT_DONE, INIT_ICW2, INIT_ICW3, INIT_ICW4 };

struct i8259 {
    struct isa_device isa;
    struct region io, elcr_io;
    struct irq *int_out;
    uint32_t iobase, elcr_addr;
    uint8_t elcr_mask; /* lines whose trigger mode can be chosen */
    bool master;
    int32_t cpu;
    struct device *slave;
    /* state */
    uint8_t lines; /* levels of the inputs */
    uint8_t irr, imr, isr;
    uint8_t elcr;         /* bit n: line n is level-triggered */
    uint8_t vector_base;  /* ICW2 bits 7:3 */
    uint8_t top_priority; /* the line that wins now: rotation */
    uint8_t init_state;
    bool icw4_needed, single, ltim; /* from ICW1 */
    bool read_isr, poll, special_mask, nested, auto_eoi, rotate_on_aeoi;
    bool output;
};

enum {
    I8259_TRACE_INIT,
    I8259_TRACE_VECTORS,
    I8259_TRACE_MASK,
    I8259_TRACE_ACK,
    I8259_TRACE_SPURIOUS,
    I8259_TRACE_COMMAND,
};

static const struct trace_event i8259_events[] = {
    [I8259_TRACE_INIT] = { "i8259.init",
                           "the guest begins to initialise a chip (ICW1)",
                           { { "icw1", TRACE_HEX } } },
    [I8259_TRACE_VECTORS] = { "i8259.vectors",
                              "the guest sets the first vector of a chip (ICW2)",
                              { { "base", TRACE_HEX } } },
    [I8259_TRACE_MASK] = { "i8259.mask",
                           "the guest sets the mask of a chip",
                           { { "imr", TRACE_HEX } } },
    [I8259_TRACE_ACK] = { "i8259.ack",
                          "the cpu takes an interrupt",
                          { { "line", TRACE_DEC }, { "vector", TRACE_HEX } } },
    [I8259_TRACE_SPURIOUS] = { "i8259.spurious",
                               "the cpu asks for an interrupt and there is none any more",
                               { { "vector", TRACE_HEX } } },
    [I8259_TRACE_COMMAND] = { "i8259.command",
                              "OCW2: end of interrupt and priorities",
                              { { "value", TRACE_HEX }, { "isr", TRACE_HEX } } },
};
struct trace_table i8259_trace = TRACE_TABLE(i8259_events);

/* Lines in service or requesting are compared by their distance from the top one: 0 wins, 8 is
 * nobody. */
static unsigned i8259_best(const struct i8259 *s, uint8_t mask)
{
    unsigned distance = 0;
    while (distance < I8259_LINES && !(mask >> ((s->top_priority + distance) & 7) & 1))
        distance++;
    return distance;
}

/* The line that may interrupt now, or -1. */
static int i8259_request(const struct i8259 *s)
{
    unsigned want = i8259_best(s, s->irr & ~s->imr);
    if (want == I8259_LINES)
        return -1;
    int line = (s->top_priority + want) & 7;
    /* Special mask mode: masked lines in service hold nobody back. */
    unsigned busy = i8259_best(s, s->special_mask ? s->isr & ~s->imr : s->isr);
    /* Special fully nested: the slave may interrupt again while one of its lines is in service. */
    bool again = s->nested && s->master && line == I8259_CASCADE_LINE && want == busy;
    return want < busy || again ? line : -1;
}

static void i8259_update(struct i8259 *s)
{
    bool level = i8259_request(s) >= 0;
    if (level == s->output)
        return;
    s->output = level;
    irq_set(s->int_out, level);
    struct machine *m = s->isa.dev.machine;
    if (s->cpu >= 0 && m->cpus[s->cpu]->pins)
        m->cpus[s->cpu]->pins->intr(m->cpus[s->cpu], level);
}

static bool i8259_is_level(const struct i8259 *s, unsigned line)
{
    return s->ltim || s->elcr >> line & 1;
}

static void i8259_set_line(void *opaque, int n, bool level)
{
    struct i8259 *s = opaque;
    uint8_t bit = 1 << n;
    bool rising = level && !(s->lines & bit);
    s->lines = level ? s->lines | bit : s->lines & ~bit;
    if (rising)
        s->irr |= bit;
    else if (!level && i8259_is_level(s, n))
        s->irr &= ~bit;
    i8259_update(s);
}

/* The acknowledge of one chip: the line goes into service. */
static void i8259_take(struct i8259 *s, unsigned line)
{
    if (!i8259_is_level(s, line))
        s->irr &= ~(1 << line);
    if (!s->auto_eoi)
        s->isr |= 1 << line;
    else if (s->rotate_on_aeoi)
        s->top_priority = (line + 1) & 7;
    i8259_update(s);
}

/* Both INTA cycles for this chip alone: its vector. */
static int i8259_vector(struct i8259 *s)
{
    int line = i8259_request(s);
    if (line < 0) { /* no ISR bit: a handler sees that it was spurious */
        int vector = s->vector_base | I8259_SPURIOUS_LINE;
        TRACE(i8259_trace, I8259_TRACE_SPURIOUS, device_source(&s->isa.dev), (uint64_t)vector);
        return vector;
    }
    i8259_take(s, line);
    TRACE(i8259_trace, I8259_TRACE_ACK, device_source(&s->isa.dev), (uint64_t)line,
          (uint64_t)(s->vector_base | line));
    return s->vector_base | line;
}

static int i8259_acknowledge(struct device *d)
{
    struct i8259 *s = (struct i8259 *)d;
    if (i8259_request(s) != I8259_CASCADE_LINE || !s->slave)
        return i8259_vector(s);
    i8259_take(s, I8259_CASCADE_LINE);
    TRACE(i8259_trace, I8259_TRACE_ACK, device_source(d), I8259_CASCADE_LINE,
          (uint64_t)(s->vector_base | I8259_CASCADE_LINE));
    return i8259_vector((struct i8259 *)s->slave);
}

/* Read in poll mode: the same as an acknowledge, telling the line instead of a vector. */
static uint8_t i8259_read_poll(struct i8259 *s)
{
    s->poll = false;
    int line = i8259_request(s);
    if (line < 0)
        return 0;
    i8259_take(s, line);
    return POLL_PENDING | line;
}

static void i8259_clear(struct i8259 *s)
{
    s->irr = s->imr = s->isr = 0;
    s->top_priority = 0;
    s->init_state = INIT_DONE;
    s->icw4_needed = s->single = s->ltim = false;
    s->read_isr = s->poll = s->special_mask = false;
    s->nested = s->auto_eoi = s->rotate_on_aeoi = false;
}

/* ICW1 clears the edge sense circuit: a line must fall and rise again, unless it is
 * level-triggered. */
static void i8259_write_icw1(struct i8259 *s, uint8_t value)
{
    TRACE(i8259_trace, I8259_TRACE_INIT, device_source(&s->isa.dev), value);
    i8259_clear(s);
    s->init_state = INIT_ICW2;
    s->icw4_needed = value & ICW1_ICW4;
    s->single = value & ICW1_SINGLE;
    s->ltim = value & ICW1_LEVEL;
    s->irr = s->ltim ? s->lines : s->lines & s->elcr;
}

static void i8259_write_ocw2(struct i8259 *s, uint8_t value)
{
    unsigned line = value & 7, best;
    TRACE(i8259_trace, I8259_TRACE_COMMAND, device_source(&s->isa.dev), value, s->isr);
    switch (value >> 5) {
    case OCW2_ROTATE_AEOI_CLEAR:
    case OCW2_ROTATE_AEOI_SET:
        s->rotate_on_aeoi = value >> 5 == OCW2_ROTATE_AEOI_SET;
        break;
    case OCW2_EOI:
    case OCW2_EOI_ROTATE:
        best = i8259_best(s, s->special_mask ? s->isr & ~s->imr : s->isr);
        if (best == I8259_LINES)
            break;
        line = (s->top_priority + best) & 7;
        s->isr &= ~(1 << line);
        if (value >> 5 == OCW2_EOI_ROTATE)
            s->top_priority = (line + 1) & 7;
        break;
    case OCW2_EOI_SPECIFIC:
        s->isr &= ~(1 << line);
        break;
    case OCW2_EOI_SPECIFIC_ROTATE:
        s->isr &= ~(1 << line);
        s->top_priority = (line + 1) & 7;
        break;
    case OCW2_SET_PRIORITY:
        s->top_priority = (line + 1) & 7;
        break;
    case OCW2_NOP:
        break;
    }
}

static void i8259_write_ocw3(struct i8259 *s, uint8_t value)
{
    if (value & OCW3_POLL)
        s->poll = true;
    if (value & OCW3_READ)
        s->read_isr = value & OCW3_READ_ISR;
    if (value & OCW3_SET_SPECIAL_MASK)
        s->special_mask = value & OCW3_SPECIAL_MASK;
}

static void i8259_write_data(struct i8259 *s, uint8_t value)
{
    switch (s->init_state) {
    case INIT_DONE:
        s->imr = value;
        TRACE(i8259_trace, I8259_TRACE_MASK, device_source(&s->isa.dev), value);
        break;
    case INIT_ICW2:
        s->vector_base = value & 0xf8;
        TRACE(i8259_trace, I8259_TRACE_VECTORS, device_source(&s->isa.dev), s->vector_base);
        s->init_state = !s->single ? INIT_ICW3 : s->icw4_needed ? INIT_ICW4 : INIT_DONE;
        break;
    case INIT_ICW3: /* which line the slave is on, or the slave's own number: wired, not
                       programmable here */
        s->init_state = s->icw4_needed ? INIT_ICW4 : INIT_DONE;
        break;
    case INIT_ICW4:
        s->nested = value & ICW4_NESTED;
        s->auto_eoi = value & ICW4_AUTO_EOI;
        s->init_state = INIT_DONE;
        break;
    }
}

static uint64_t i8259_read(void *opaque, uint64_t offset, unsigned size)
{
    struct i8259 *s = opaque;
    if (s->poll)
        return i8259_read_poll(s);
    if (offset == I8259_DATA)
        return s->imr;
    return s->read_isr ? s->isr : s->irr;
}

static void i8259_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    struct i8259 *s = opaque;
    if (offset == I8259_DATA)
        i8259_write_data(s, value);
    else if (value & ICW1_INIT)
        i8259_write_icw1(s, value);
    else if (value & OCW3_SELECT)
        i8259_write_ocw3(s, value);
    else
        i8259_write_ocw2(s, value);
    i8259_update(s);
}

static const struct region_ops i8259_ops = {
    .read = i8259_read,
    .write = i8259_write,
    .valid = { 1, 4, .unaligned = true }, /* the ISA bus makes bytes of it */
    .impl = { 1, 1 },
};

static uint64_t i8259_elcr_read(void *opaque, uint64_t offset, unsigned size)
{
    struct i8259 *s = opaque;
    return s->elcr;
}

static void i8259_elcr_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    struct i8259 *s = opaque;
    s->elcr = value & s->elcr_mask;
    /* Level-triggered lines show what is there now. */
    s->irr = (s->irr & ~s->elcr) | (s->lines & s->elcr);
    i8259_update(s);
}

static const struct region_ops i8259_elcr_ops = {
    .read = i8259_elcr_read,
    .write = i8259_elcr_write,
    .valid = { 1, 4, .unaligned = true }, /* the ISA bus makes bytes of it */
    .impl = { 1, 1 },
};

static bool i8259_init(struct device *d, struct error *err)
{
    struct i8259 *s = (struct i8259 *)d;
    region_init_io(&s->io, d->machine->mem, "pic", 2, &i8259_ops, s);
    region_init_io(&s->elcr_io, d->machine->mem, "elcr", 1, &i8259_elcr_ops, s);
    s->io.owner = s->elcr_io.owner = d;
    device_init_gpio_in(d, "", i8259_set_line, I8259_LINES);
    device_init_gpio_out(d, "", &s->int_out, 1);
    return true;
}

static const struct intc_ops i8259_intc_ops = { i8259_acknowledge };

static bool i8259_realize(struct device *d, struct error *err)
{
    struct i8259 *s = (struct i8259 *)d;
    struct machine *m = d->machine;
    if (s->cpu >= 0) {
        if ((unsigned)s->cpu >= m->cpu_count || !m->cpus[s->cpu])
            return error_set(err, "%s: cpu=%d does not exist; the machine has %u", device_name(d),
                             s->cpu, m->cpu_count);
        if (m->irqchip == IRQCHIP_KERNEL)
            return error_set(err,
                             "%s: the host's kernel has the cpus' interrupts; use irqchip=user",
                             device_name(d));
        if (m->cpus[s->cpu]->intc)
            return error_set(err,
                             "%s: cpu %d already takes its interrupts from %s; leave out cpu=%d",
                             device_name(d), s->cpu, device_name(m->cpus[s->cpu]->intc), s->cpu);
        m->cpus[s->cpu]->intc = d;
        m->cpus[s->cpu]->intc_ops = &i8259_intc_ops;
    }
    isa_map_ports(&s->isa, &s->io, s->iobase);
    isa_map_ports(&s->isa, &s->elcr_io, s->elcr_addr);
    return true;
}

static void i8259_unrealize(struct device *d)
{
    struct i8259 *s = (struct i8259 *)d;
    struct cpu_port *p = s->cpu >= 0 ? d->machine->cpus[s->cpu] : NULL;
    if (p && p->intc == d) {
        p->intc = NULL;
        p->intc_ops = NULL;
    }
}

static void i8259_reset(struct device *d)
{
    struct i8259 *s = (struct i8259 *)d;
    i8259_clear(s);
    s->elcr = 0;
    s->vector_base = 0;
    i8259_update(s);
}

static void i8259_finalize(struct device *d)
{
    struct i8259 *s = (struct i8259 *)d;
    region_fini(&s->io);
    region_fini(&s->elcr_io);
}

static const char *const i8259_slave_types[] = { "isa-i8259", NULL };

static const struct prop i8259_props[] = {
    PROP(PROP_U32, struct i8259, iobase, "iobase", "0x20", "first of two ports", .max = 0xfffe),
    PROP(PROP_U32, struct i8259, elcr_addr, "elcr_addr", "0x4d0", "port of the edge/level register",
         .max = 0xffff),
    PROP(PROP_U8, struct i8259, elcr_mask, "elcr_mask", "0xf8",
         "lines that can be level-triggered"),
    PROP(PROP_BOOL, struct i8259, master, "master", "true", "the chip that answers the cpu"),
    PROP(PROP_I32, struct i8259, cpu, "cpu", "-1", "cpu whose INTR pin INT drives; -1: none",
         .min = -1, .max = MACHINE_CPUS_MAX - 1),
    PROP(PROP_LINK, struct i8259, slave, "slave", NULL, "the chip whose INT is wired to line 2",
         .names = i8259_slave_types),
    PROP_END,
};

static const struct state_field i8259_state[] = {
    STATE_U8(struct i8259, lines),
    STATE_U8(struct i8259, irr),
    STATE_U8(struct i8259, imr),
    STATE_U8(struct i8259, isr),
    STATE_U8(struct i8259, elcr),
    STATE_U8(struct i8259, vector_base),
    STATE_U8(struct i8259, top_priority),
    STATE_U8(struct i8259, init_state),
    STATE_BOOL(struct i8259, icw4_needed),
    STATE_BOOL(struct i8259, single),
    STATE_BOOL(struct i8259, ltim),
    STATE_BOOL(struct i8259, read_isr),
    STATE_BOOL(struct i8259, poll),
    STATE_BOOL(struct i8259, special_mask),
    STATE_BOOL(struct i8259, nested),
    STATE_BOOL(struct i8259, auto_eoi),
    STATE_BOOL(struct i8259, rotate_on_aeoi),
    STATE_BOOL(struct i8259, output),
    STATE_END,
};

static void i8259_get_one(const struct i8259 *s, struct kvm_pic_state *k)
{
    *k = (struct kvm_pic_state){
        .last_irr = s->lines,
        .irr = s->irr,
        .imr = s->imr,
        .isr = s->isr,
        .priority_add = s->top_priority,
        .irq_base = s->vector_base,
        .read_reg_select = s->read_isr,
        .poll = s->poll,
        .special_mask = s->special_mask,
        .init_state = s->init_state,
        .auto_eoi = s->auto_eoi,
        .rotate_on_auto_eoi = s->rotate_on_aeoi,
        .special_fully_nested_mode = s->nested,
        .init4 = s->icw4_needed,
        .elcr = s->elcr,
        .elcr_mask = s->elcr_mask,
    };
}

static void i8259_set_one(struct i8259 *s, const struct kvm_pic_state *k)
{
    s->lines = k->last_irr;
    s->irr = k->irr;
    s->imr = k->imr;
    s->isr = k->isr;
    s->top_priority = k->priority_add & 7;
    s->vector_base = k->irq_base;
    s->read_isr = k->read_reg_select;
    s->poll = k->poll;
    s->special_mask = k->special_mask;
    s->init_state = k->init_state & 3;
    s->auto_eoi = k->auto_eoi;
    s->rotate_on_aeoi = k->rotate_on_auto_eoi;
    s->nested = k->special_fully_nested_mode;
    s->icw4_needed = k->init4;
    s->elcr = k->elcr & s->elcr_mask;
    i8259_update(s);
}

static void i8259_get_state(struct device *d, void *state)
{
    const struct i8259 *s = (struct i8259 *)d;
    struct kvm_pic_state *k = state;
    i8259_get_one(s, &k[0]);
    k[1] = (struct kvm_pic_state){ 0 };
    if (s->slave)
        i8259_get_one((struct i8259 *)s->slave, &k[1]);
}

/* The slave first: its output is a line of the master, whose latches then are set. */
static void i8259_set_state(struct device *d, const void *state)
{
    struct i8259 *s = (struct i8259 *)d;
    const struct kvm_pic_state *k = state;
    if (s->slave)
        i8259_set_one((struct i8259 *)s->slave, &k[1]);
    i8259_set_one(s, &k[0]);
}

static const struct chip_state_ops i8259_state_ops = {
    .size = 2 * sizeof(struct kvm_pic_state),
    .fields = chip_state_pic,
    .get = i8259_get_state,
    .set = i8259_set_state,
};

static const struct interface i8259_interfaces[] = {
    { INTERFACE_CHIP_STATE, &i8259_state_ops },
    { INTERFACE_INTC, &i8259_intc_ops },
    { NULL, NULL },
};

const struct device_type i8259_type = {
    .name = "isa-i8259",
    .parent = "isa-device",
    .desc = "8259A interrupt controller (one of the PC's pair)",
    .instance_size = sizeof(struct i8259),
    .props = i8259_props,
    .state = i8259_state,
    .interfaces = i8259_interfaces,
    .init = i8259_init,
    .realize = i8259_realize,
    .unrealize = i8259_unrealize,
    .reset = i8259_reset,
    .finalize = i8259_finalize,
};
