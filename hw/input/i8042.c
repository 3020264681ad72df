/* Intel 8042 keyboard controller, with the keyboard and the mouse of ps2.c.
 *
 * IBM PS/2 Hardware Interface Technical Reference, keyboard and auxiliary device controller. Bytes
 * for the host wait in three queues (answers of the controller, keyboard, mouse) and pass one by
 * one through the output buffer, each raising its interrupt. */
#include "base/log.h"
#include "dev/isa.h"
#include "dev/machine.h"
#include "hw/input/ps2.h"

enum {
    I8042_DATA = 0x60,
    I8042_STATUS_COMMAND = 0x64,
    I8042_KBD_IRQ = 1,
    I8042_AUX_IRQ = 12,
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

struct i8042 {
    struct isa_device isa;
    struct region data_io, command_io;
    struct irq *kbd_irq, *aux_irq, *a20;
    /* controller */
    uint8_t status, output, outport;
    uint8_t command;        /* waits for a byte at the data port; 0: none */
    uint8_t ram[I8042_RAM]; /* [0] is the command byte */
    struct ps2_queue answers;
    uint16_t from_aux; /* bit per slot of `answers`: pretend that it is from the mouse */
    struct ps2_keyboard kbd;
    struct ps2_mouse mouse;
};

/* ---- output buffer ---- */

static void i8042_update_irqs(struct i8042 *s)
{
    bool full = s->status & STATUS_OBF, aux = s->status & STATUS_AUX;
    irq_set(s->kbd_irq, full && !aux && s->ram[0] & CCB_KBD_INT);
    irq_set(s->aux_irq, full && aux && s->ram[0] & CCB_AUX_INT);
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

/* The queue whose byte comes next, or NULL. */
static struct ps2_queue *i8042_next_queue(struct i8042 *s)
{
    if (s->answers.count)
        return &s->answers;
    if (s->kbd.out.count && !(s->ram[0] & CCB_KBD_DISABLED))
        return &s->kbd.out;
    if (s->mouse.out.count && !(s->ram[0] & CCB_AUX_DISABLED))
        return &s->mouse.out;
    return NULL;
}

/* Move the next byte into the output buffer if that is empty. */
static void i8042_fill_output(struct i8042 *s)
{
    struct ps2_queue *q = i8042_next_queue(s);
    if (s->status & STATUS_OBF || !q) {
        i8042_update_irqs(s);
        return;
    }
    bool aux = q == &s->mouse.out || (q == &s->answers && s->from_aux >> q->head & 1);
    uint8_t value = ps2_take(q);
    if (q == &s->kbd.out && s->ram[0] & CCB_TRANSLATE)
        value = i8042_translate(value);
    s->output = value;
    s->status = (s->status & ~STATUS_AUX) | STATUS_OBF | (aux ? STATUS_AUX : 0);
    i8042_update_irqs(s);
}

static void i8042_answer(struct i8042 *s, uint8_t value, bool aux)
{
    unsigned slot = (s->answers.head + s->answers.count) % PS2_QUEUE;
    if (ps2_put(&s->answers, value))
        s->from_aux = (uint16_t)bits_put(s->from_aux, slot, 1, aux);
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
        ps2_keyboard_send(&s->kbd, value);
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
        ps2_mouse_send(&s->mouse, value);
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
    s->answers = (struct ps2_queue){ .count = 0 };
    ps2_keyboard_reset(&s->kbd);
    ps2_mouse_reset(&s->mouse);
    i8042_set_outport(s, OUTPORT_RUN | OUTPORT_A20);
    i8042_update_irqs(s);
}

static void i8042_finalize(struct device *d)
{
    struct i8042 *s = (struct i8042 *)d;
    region_fini(&s->data_io);
    region_fini(&s->command_io);
}

#define QUEUE_STATE(NAME)                                                    \
    STATE_BYTES(struct i8042, NAME.data), STATE_U8(struct i8042, NAME.head), \
        STATE_U8(struct i8042, NAME.count)

static const struct state_field i8042_state[] = {
    STATE_U8(struct i8042, status),
    STATE_U8(struct i8042, output),
    STATE_U8(struct i8042, outport),
    STATE_U8(struct i8042, command),
    STATE_BYTES(struct i8042, ram),
    QUEUE_STATE(answers),
    QUEUE_STATE(kbd.out),
    QUEUE_STATE(mouse.out),
    STATE_U16(struct i8042, from_aux),
    STATE_U8(struct i8042, kbd.command),
    STATE_U8(struct i8042, kbd.last),
    STATE_U8(struct i8042, kbd.set),
    STATE_U8(struct i8042, kbd.leds),
    STATE_U8(struct i8042, kbd.rate),
    STATE_BOOL(struct i8042, kbd.scanning),
    STATE_U8(struct i8042, mouse.command),
    STATE_U8(struct i8042, mouse.last),
    STATE_U8(struct i8042, mouse.resolution),
    STATE_U8(struct i8042, mouse.rate),
    STATE_BOOL(struct i8042, mouse.reporting),
    STATE_BOOL(struct i8042, mouse.remote),
    STATE_BOOL(struct i8042, mouse.scale_2),
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
