/* Intel 8042 keyboard controller with a PS/2 keyboard and mouse, as far as software probes them.
 *
 * IBM PS/2 Hardware Interface Technical Reference, keyboard and auxiliary device controller. Bytes
 * for the host wait in three queues (answers of the controller, keyboard, mouse) and pass one by
 * one through the output buffer, each raising its interrupt. Nothing presses keys yet: the devices
 * only answer commands. */
#include "base/log.h"
#include "dev/isa.h"
#include "dev/machine.h"

enum {
    I8042_DATA = 0x60,
    I8042_STATUS_COMMAND = 0x64,
    I8042_KBD_IRQ = 1,
    I8042_AUX_IRQ = 12,
    I8042_QUEUE = 16,
    I8042_RAM = 32,

    STATUS_OBF = 1 << 0, /* a byte waits for the host */
    STATUS_SYS = 1 << 2, /* self-test passed */
    STATUS_CMD = 1 << 3, /* the last write went to the command port */
    STATUS_UNLOCKED = 1 << 4,
    STATUS_AUX = 1 << 5, /* the byte is from the mouse */

    CCB_KBD_INT = 1 << 0, /* controller command byte, RAM 0 */
    CCB_AUX_INT = 1 << 1,
    CCB_SYS = 1 << 2,
    CCB_KBD_DISABLED = 1 << 4,
    CCB_AUX_DISABLED = 1 << 5,
    CCB_TRANSLATE = 1 << 6,
    CCB_DEFAULT = CCB_KBD_INT | CCB_SYS | CCB_TRANSLATE, /* as firmware leaves it */

    OUTPORT_RUN = 1 << 0, /* low: reset */
    OUTPORT_A20 = 1 << 1,
    OUTPORT_KBD_OBF = 1 << 4,
    OUTPORT_AUX_OBF = 1 << 5,
    OUTPORT_FIXED = 0xcc, /* clock and data lines, unused bits */
};

enum { /* controller commands */
       CMD_READ_RAM = 0x20,
       CMD_WRITE_RAM = 0x60,
       CMD_AUX_DISABLE = 0xa7,
       CMD_AUX_ENABLE = 0xa8,
       CMD_AUX_TEST = 0xa9,
       CMD_SELF_TEST = 0xaa,
       CMD_KBD_TEST = 0xab,
       CMD_KBD_DISABLE = 0xad,
       CMD_KBD_ENABLE = 0xae,
       CMD_READ_INPORT = 0xc0,
       CMD_READ_OUTPORT = 0xd0,
       CMD_WRITE_OUTPORT = 0xd1,
       CMD_KBD_LOOP = 0xd2,
       CMD_AUX_LOOP = 0xd3,
       CMD_AUX_SEND = 0xd4,
       CMD_READ_TEST = 0xe0,
       CMD_PULSE = 0xf0,
};

enum { /* PS/2 device commands and answers */
       PS2_MOUSE_SCALE_1 = 0xe6,
       PS2_MOUSE_SCALE_2 = 0xe7,
       PS2_MOUSE_RESOLUTION = 0xe8,
       PS2_MOUSE_STATUS = 0xe9,
       PS2_MOUSE_STREAM = 0xea,
       PS2_MOUSE_READ = 0xeb,
       PS2_KBD_LEDS = 0xed,
       PS2_KBD_ECHO = 0xee,
       PS2_SET_MODE = 0xf0, /* keyboard: scancode set; mouse: remote mode */
       PS2_IDENTIFY = 0xf2,
       PS2_RATE = 0xf3,
       PS2_ENABLE = 0xf4,
       PS2_DISABLE = 0xf5,
       PS2_DEFAULTS = 0xf6,
       PS2_RESEND = 0xfe, /* also the answer to what is not understood */
       PS2_RESET = 0xff,
       PS2_ACK = 0xfa,
       PS2_TEST_PASSED = 0xaa,
};

struct ps2_queue {
    uint8_t data[I8042_QUEUE];
    uint8_t head, count;
};

enum { FROM_CONTROLLER, FROM_KBD, FROM_AUX, SOURCES };

struct i8042 {
    struct isa_device isa;
    struct region data_io, command_io;
    struct irq *kbd_irq, *aux_irq, *a20;
    /* controller */
    uint8_t status, output, outport;
    uint8_t command;        /* waits for a byte at the data port; 0: none */
    uint8_t ram[I8042_RAM]; /* [0] is the command byte */
    struct ps2_queue queues[SOURCES];
    uint16_t
        from_aux; /* bit per slot of the controller's queue: pretend that it is from the mouse */
    /* keyboard */
    uint8_t kbd_command; /* waits for its argument; 0: none */
    uint8_t kbd_last, kbd_set, kbd_leds, kbd_rate;
    bool kbd_scanning;
    /* mouse */
    uint8_t aux_command, aux_last, aux_resolution, aux_rate;
    bool aux_reporting, aux_remote, aux_scale_2;
};

/* ---- output buffer ---- */

static void i8042_update_irqs(struct i8042 *s)
{
    bool full = s->status & STATUS_OBF, aux = s->status & STATUS_AUX;
    irq_set(s->kbd_irq, full && !aux && s->ram[0] & CCB_KBD_INT);
    irq_set(s->aux_irq, full && aux && s->ram[0] & CCB_AUX_INT);
}

/* Put a byte at the end of a queue; false when the queue is full and it is lost. */
static bool ps2_put(struct ps2_queue *q, uint8_t value)
{
    if (q->count == I8042_QUEUE)
        return false;
    q->data[(q->head + q->count++) % I8042_QUEUE] = value;
    return true;
}

/* What the controller makes of set 2 codes in translating mode. Only answers pass here, no keys:
 * identification bytes and numbers of scancode sets. */
static uint8_t i8042_translate(uint8_t value)
{
    switch (value) {
    case 0x01:
        return 0x43;
    case 0x02:
    case 0x83:
        return 0x41;
    case 0x03:
        return 0x3f;
    case 0x84:
        return 0x54;
    default:
        return value;
    }
}

/* The source whose byte comes next, or SOURCES. */
static unsigned i8042_next_source(const struct i8042 *s)
{
    if (s->queues[FROM_CONTROLLER].count)
        return FROM_CONTROLLER;
    if (s->queues[FROM_KBD].count && !(s->ram[0] & CCB_KBD_DISABLED))
        return FROM_KBD;
    if (s->queues[FROM_AUX].count && !(s->ram[0] & CCB_AUX_DISABLED))
        return FROM_AUX;
    return SOURCES;
}

/* Move the next byte into the output buffer if that is empty. */
static void i8042_fill_output(struct i8042 *s)
{
    unsigned source = i8042_next_source(s);
    if (s->status & STATUS_OBF || source == SOURCES) {
        i8042_update_irqs(s);
        return;
    }
    struct ps2_queue *q = &s->queues[source];
    bool aux = source == FROM_AUX || (source == FROM_CONTROLLER && s->from_aux >> q->head & 1);
    uint8_t value = q->data[q->head];
    q->head = (q->head + 1) % I8042_QUEUE;
    q->count--;
    if (source == FROM_KBD && s->ram[0] & CCB_TRANSLATE)
        value = i8042_translate(value);
    s->output = value;
    s->status = (s->status & ~STATUS_AUX) | STATUS_OBF | (aux ? STATUS_AUX : 0);
    i8042_update_irqs(s);
}

static void i8042_answer(struct i8042 *s, uint8_t value, bool aux)
{
    struct ps2_queue *q = &s->queues[FROM_CONTROLLER];
    unsigned slot = (q->head + q->count) % I8042_QUEUE;
    if (ps2_put(q, value))
        s->from_aux = (uint16_t)bits_put(s->from_aux, slot, 1, aux);
}

/* ---- keyboard ---- */

static void kbd_put(struct i8042 *s, uint8_t value)
{
    ps2_put(&s->queues[FROM_KBD], value);
    s->kbd_last = value;
}

static void kbd_defaults(struct i8042 *s)
{
    s->kbd_set = 2;
    s->kbd_rate = 0x2b;
    s->kbd_leds = 0;
}

static void kbd_argument(struct i8042 *s, uint8_t value)
{
    uint8_t command = s->kbd_command;
    s->kbd_command = 0;
    kbd_put(s, PS2_ACK);
    if (command == PS2_KBD_LEDS)
        s->kbd_leds = value & 7;
    else if (command == PS2_RATE)
        s->kbd_rate = value & 0x7f;
    else if (value == 0)
        kbd_put(s, s->kbd_set);
    else if (value <= 3)
        s->kbd_set = value;
}

static void kbd_send(struct i8042 *s, uint8_t value)
{
    if (s->kbd_command && value < 0x80) {
        kbd_argument(s, value);
        return;
    }
    s->kbd_command = 0;
    switch (value) {
    case PS2_KBD_LEDS:
    case PS2_SET_MODE:
    case PS2_RATE:
        s->kbd_command = value;
        kbd_put(s, PS2_ACK);
        break;
    case PS2_KBD_ECHO:
        kbd_put(s, PS2_KBD_ECHO);
        break;
    case PS2_IDENTIFY:
        kbd_put(s, PS2_ACK);
        kbd_put(s, 0xab);
        kbd_put(s, 0x83);
        break;
    case PS2_ENABLE:
        s->kbd_scanning = true;
        kbd_put(s, PS2_ACK);
        break;
    case PS2_DISABLE:
    case PS2_DEFAULTS:
        s->kbd_scanning = value == PS2_DEFAULTS;
        kbd_defaults(s);
        kbd_put(s, PS2_ACK);
        break;
    case PS2_RESEND:
        ps2_put(&s->queues[FROM_KBD], s->kbd_last);
        break;
    case PS2_RESET:
        s->queues[FROM_KBD].count = 0;
        kbd_defaults(s);
        s->kbd_scanning = true;
        kbd_put(s, PS2_ACK);
        kbd_put(s, PS2_TEST_PASSED);
        break;
    default:
        kbd_put(s, PS2_RESEND);
        break;
    }
}

/* ---- mouse ---- */

static void aux_put(struct i8042 *s, uint8_t value)
{
    ps2_put(&s->queues[FROM_AUX], value);
    s->aux_last = value;
}

static void aux_defaults(struct i8042 *s)
{
    s->aux_rate = 100;
    s->aux_resolution = 2;
    s->aux_scale_2 = s->aux_remote = s->aux_reporting = false;
}

static void aux_put_status(struct i8042 *s)
{
    aux_put(s, s->aux_remote << 6 | s->aux_reporting << 5 | s->aux_scale_2 << 4);
    aux_put(s, s->aux_resolution);
    aux_put(s, s->aux_rate);
}

static void aux_argument(struct i8042 *s, uint8_t value)
{
    if (s->aux_command == PS2_MOUSE_RESOLUTION)
        s->aux_resolution = value & 3;
    else
        s->aux_rate = value;
    s->aux_command = 0;
    aux_put(s, PS2_ACK);
}

/* Commands that change one setting. False for those it does not know. */
static bool aux_set(struct i8042 *s, uint8_t value)
{
    switch (value) {
    case PS2_MOUSE_SCALE_1:
    case PS2_MOUSE_SCALE_2:
        s->aux_scale_2 = value == PS2_MOUSE_SCALE_2;
        return true;
    case PS2_MOUSE_STREAM:
    case PS2_SET_MODE:
        s->aux_remote = value == PS2_SET_MODE;
        return true;
    case PS2_MOUSE_RESOLUTION:
    case PS2_RATE:
        s->aux_command = value;
        return true;
    case PS2_ENABLE:
    case PS2_DISABLE:
        s->aux_reporting = value == PS2_ENABLE;
        return true;
    case PS2_DEFAULTS:
        aux_defaults(s);
        return true;
    default:
        return false;
    }
}

static void aux_send(struct i8042 *s, uint8_t value)
{
    if (s->aux_command) {
        aux_argument(s, value);
        return;
    }
    if (value == PS2_RESEND) {
        ps2_put(&s->queues[FROM_AUX], s->aux_last);
        return;
    }
    s->queues[FROM_AUX].count = 0; /* a command ends what was being told */
    if (aux_set(s, value)) {
        aux_put(s, PS2_ACK);
        return;
    }
    switch (value) {
    case PS2_MOUSE_STATUS:
        aux_put(s, PS2_ACK);
        aux_put_status(s);
        break;
    case PS2_MOUSE_READ: /* a packet: nothing pressed, nothing moved */
        aux_put(s, PS2_ACK);
        aux_put(s, 1 << 3);
        aux_put(s, 0);
        aux_put(s, 0);
        break;
    case PS2_IDENTIFY:
        aux_put(s, PS2_ACK);
        aux_put(s, 0);
        break;
    case PS2_RESET:
        aux_defaults(s);
        aux_put(s, PS2_ACK);
        aux_put(s, PS2_TEST_PASSED);
        aux_put(s, 0);
        break;
    default:
        aux_put(s, PS2_RESEND);
        break;
    }
}

/* ---- controller ---- */

static void i8042_set_outport(struct i8042 *s, uint8_t value)
{
    s->outport = value & (OUTPORT_RUN | OUTPORT_A20);
    irq_set(s->a20, value & OUTPORT_A20);
    if (!(value & OUTPORT_RUN)) {
        s->outport |= OUTPORT_RUN; /* the reset lifts the line again */
        machine_request(s->isa.dev.machine, REQUEST_RESET, 0, device_name(&s->isa.dev));
    }
}

static uint8_t i8042_outport(const struct i8042 *s)
{
    uint8_t value = OUTPORT_FIXED | s->outport;
    if (s->status & STATUS_OBF)
        value |= s->status & STATUS_AUX ? OUTPORT_AUX_OBF : OUTPORT_KBD_OBF;
    return value;
}

static void i8042_set_ccb(struct i8042 *s, uint8_t value)
{
    s->ram[0] = value;
    s->status = (s->status & ~STATUS_SYS) | (value & CCB_SYS);
}

static void i8042_self_test(struct i8042 *s)
{
    s->status |= STATUS_SYS;
    s->ram[0] |= CCB_SYS;
    i8042_answer(s, 0x55, false);
}

static void i8042_command(struct i8042 *s, uint8_t value)
{
    s->command = 0;
    if (value >= CMD_READ_RAM && value < CMD_READ_RAM + I8042_RAM) {
        i8042_answer(s, s->ram[value - CMD_READ_RAM], false);
        return;
    }
    if (value >= CMD_WRITE_RAM && value < CMD_WRITE_RAM + I8042_RAM) {
        s->command = value;
        return;
    }
    if (value >= CMD_PULSE) { /* bits 3:0 low: pulse the output port's bits low; bit 0 resets */
        if (!(value & OUTPORT_RUN))
            machine_request(s->isa.dev.machine, REQUEST_RESET, 0, device_name(&s->isa.dev));
        return;
    }
    switch (value) {
    case CMD_AUX_DISABLE:
        s->ram[0] |= CCB_AUX_DISABLED;
        break;
    case CMD_AUX_ENABLE:
        s->ram[0] &= ~CCB_AUX_DISABLED;
        break;
    case CMD_KBD_DISABLE:
        s->ram[0] |= CCB_KBD_DISABLED;
        break;
    case CMD_KBD_ENABLE:
        s->ram[0] &= ~CCB_KBD_DISABLED;
        break;
    case CMD_SELF_TEST:
        i8042_self_test(s);
        break;
    case CMD_AUX_TEST:
    case CMD_KBD_TEST: /* no fault */
    case CMD_READ_TEST:
        i8042_answer(s, 0, false);
        break;
    case CMD_READ_INPORT:
        i8042_answer(s, 1 << 7, false); /* not locked */
        break;
    case CMD_READ_OUTPORT:
        i8042_answer(s, i8042_outport(s), false);
        break;
    case CMD_WRITE_OUTPORT:
    case CMD_KBD_LOOP:
    case CMD_AUX_LOOP:
    case CMD_AUX_SEND:
        s->command = value;
        break;
    default:
        log_guest(device_name(&s->isa.dev), "unknown controller command 0x%02x", value);
        break;
    }
}

static void i8042_data(struct i8042 *s, uint8_t value)
{
    uint8_t command = s->command;
    s->command = 0;
    switch (command) {
    case 0:
        s->ram[0] &= ~CCB_KBD_DISABLED; /* sending needs the clock line */
        kbd_send(s, value);
        break;
    case CMD_WRITE_RAM:
        i8042_set_ccb(s, value);
        break;
    case CMD_WRITE_OUTPORT:
        i8042_set_outport(s, value);
        break;
    case CMD_KBD_LOOP:
    case CMD_AUX_LOOP:
        i8042_answer(s, value, command == CMD_AUX_LOOP);
        break;
    case CMD_AUX_SEND:
        s->ram[0] &= ~CCB_AUX_DISABLED;
        aux_send(s, value);
        break;
    default:
        s->ram[command - CMD_WRITE_RAM] = value;
        break;
    }
}

enum {
    I8042_TRACE_COMMAND,
    I8042_TRACE_WRITE,
    I8042_TRACE_READ,
};

static const struct trace_event i8042_events[] = {
    [I8042_TRACE_COMMAND] = { "i8042.command",
                              "the guest writes a command to the controller",
                              { { "command", TRACE_HEX } } },
    [I8042_TRACE_WRITE] = { "i8042.write",
                            "the guest writes data, for the controller or a device",
                            { { "value", TRACE_HEX }, { "command", TRACE_HEX } } },
    [I8042_TRACE_READ] = { "i8042.read",
                           "the guest reads the output buffer",
                           { { "value", TRACE_HEX },
                             { "aux", TRACE_BOOL },
                             { "full", TRACE_BOOL } } },
};
struct trace_table i8042_trace = TRACE_TABLE(i8042_events);

static uint64_t i8042_read_data(void *opaque, uint64_t offset, unsigned size)
{
    struct i8042 *s = opaque;
    uint8_t value = s->output;
    TRACE(i8042_trace, I8042_TRACE_READ, device_source(&s->isa.dev), value,
          !!(s->status & STATUS_AUX), !!(s->status & STATUS_OBF));
    /* The lines fall before the next byte raises them: edge-triggered controllers need to see it.
     */
    s->status &= ~(STATUS_OBF | STATUS_AUX);
    i8042_update_irqs(s);
    i8042_fill_output(s);
    return value;
}

static void i8042_write_data(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    struct i8042 *s = opaque;
    s->status &= ~STATUS_CMD;
    TRACE(i8042_trace, I8042_TRACE_WRITE, device_source(&s->isa.dev), value, s->command);
    i8042_data(s, value);
    i8042_fill_output(s);
}

static uint64_t i8042_read_status(void *opaque, uint64_t offset, unsigned size)
{
    struct i8042 *s = opaque;
    return s->status;
}

static void i8042_write_command(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    struct i8042 *s = opaque;
    s->status |= STATUS_CMD;
    TRACE(i8042_trace, I8042_TRACE_COMMAND, device_source(&s->isa.dev), value);
    i8042_command(s, value);
    i8042_fill_output(s);
}

static const struct region_ops i8042_data_ops = {
    .read = i8042_read_data,
    .write = i8042_write_data,
    .valid = { 1, 4, .unaligned = true }, /* the ISA bus makes bytes of it */
    .impl = { 1, 1 },
};

static const struct region_ops i8042_command_ops = {
    .read = i8042_read_status,
    .write = i8042_write_command,
    .valid = { 1, 4, .unaligned = true }, /* the ISA bus makes bytes of it */
    .impl = { 1, 1 },
};

static bool i8042_init(struct device *d, struct error *err)
{
    struct i8042 *s = (struct i8042 *)d;
    struct mem *mem = d->machine->mem;
    region_init_io(&s->data_io, mem, "i8042-data", 1, &i8042_data_ops, s);
    region_init_io(&s->command_io, mem, "i8042-cmd", 1, &i8042_command_ops, s);
    s->data_io.owner = s->command_io.owner = d;
    device_init_gpio_out(d, "a20", &s->a20, 1);
    return true;
}

static bool i8042_realize(struct device *d, struct error *err)
{
    struct i8042 *s = (struct i8042 *)d;
    if (!isa_connect_irq(&s->isa, &s->kbd_irq, I8042_KBD_IRQ, err) ||
        !isa_connect_irq(&s->isa, &s->aux_irq, I8042_AUX_IRQ, err))
        return false;
    isa_map_ports(&s->isa, &s->data_io, I8042_DATA);
    isa_map_ports(&s->isa, &s->command_io, I8042_STATUS_COMMAND);
    return true;
}

static void i8042_reset(struct device *d)
{
    struct i8042 *s = (struct i8042 *)d;
    s->status = STATUS_UNLOCKED | STATUS_CMD | STATUS_SYS;
    s->command = s->output = 0;
    memset(s->ram, 0, sizeof s->ram);
    s->ram[0] = CCB_DEFAULT;
    memset(s->queues, 0, sizeof s->queues);
    s->kbd_command = s->aux_command = s->kbd_last = s->aux_last = 0;
    s->kbd_scanning = true;
    kbd_defaults(s);
    aux_defaults(s);
    i8042_set_outport(s, OUTPORT_RUN | OUTPORT_A20);
    i8042_update_irqs(s);
}

static void i8042_finalize(struct device *d)
{
    struct i8042 *s = (struct i8042 *)d;
    region_fini(&s->data_io);
    region_fini(&s->command_io);
}

#define QUEUE_STATE(N)                                                                 \
    STATE_BYTES(struct i8042, queues[N].data), STATE_U8(struct i8042, queues[N].head), \
        STATE_U8(struct i8042, queues[N].count)

static const struct state_field i8042_state[] = {
    STATE_U8(struct i8042, status),
    STATE_U8(struct i8042, output),
    STATE_U8(struct i8042, outport),
    STATE_U8(struct i8042, command),
    STATE_BYTES(struct i8042, ram),
    QUEUE_STATE(FROM_CONTROLLER),
    QUEUE_STATE(FROM_KBD),
    QUEUE_STATE(FROM_AUX),
    STATE_U16(struct i8042, from_aux),
    STATE_U8(struct i8042, kbd_command),
    STATE_U8(struct i8042, kbd_last),
    STATE_U8(struct i8042, kbd_set),
    STATE_U8(struct i8042, kbd_leds),
    STATE_U8(struct i8042, kbd_rate),
    STATE_BOOL(struct i8042, kbd_scanning),
    STATE_U8(struct i8042, aux_command),
    STATE_U8(struct i8042, aux_last),
    STATE_U8(struct i8042, aux_resolution),
    STATE_U8(struct i8042, aux_rate),
    STATE_BOOL(struct i8042, aux_reporting),
    STATE_BOOL(struct i8042, aux_remote),
    STATE_BOOL(struct i8042, aux_scale_2),
    STATE_END,
};

const struct device_type i8042_type = {
    .name = "i8042",
    .parent = "isa-device",
    .desc = "keyboard controller with PS/2 keyboard and mouse",
    .instance_size = sizeof(struct i8042),
    .state = i8042_state,
    .init = i8042_init,
    .realize = i8042_realize,
    .reset = i8042_reset,
    .finalize = i8042_finalize,
};
