/* A PS/2 keyboard and a PS/2 mouse, as far as software probes them: they answer commands (IBM PS/2
 * Hardware Interface Technical Reference). Nothing presses keys yet. */
#include "hw/input/ps2.h"

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

bool ps2_put(struct ps2_queue *q, uint8_t value)
{
    if (q->count == PS2_QUEUE)
        return false;
    q->data[(q->head + q->count++) % PS2_QUEUE] = value;
    return true;
}

uint8_t ps2_take(struct ps2_queue *q)
{
    uint8_t value = q->data[q->head];
    q->head = (q->head + 1) % PS2_QUEUE;
    q->count--;
    return value;
}

/* ---- keyboard ---- */

static void kbd_put(struct ps2_keyboard *k, uint8_t value)
{
    ps2_put(&k->out, value);
    k->last = value;
}

static void kbd_defaults(struct ps2_keyboard *k)
{
    k->set = 2;
    k->rate = 0x2b;
    k->leds = 0;
}

static void kbd_argument(struct ps2_keyboard *k, uint8_t value)
{
    uint8_t command = k->command;
    k->command = 0;
    kbd_put(k, PS2_ACK);
    if (command == PS2_KBD_LEDS)
        k->leds = value & 7;
    else if (command == PS2_RATE)
        k->rate = value & 0x7f;
    else if (value == 0)
        kbd_put(k, k->set);
    else if (value <= 3)
        k->set = value;
}

void ps2_keyboard_send(struct ps2_keyboard *k, uint8_t value)
{
    if (k->command && value < 0x80) {
        kbd_argument(k, value);
        return;
    }
    k->command = 0;
    switch (value) {
    case PS2_KBD_LEDS:
    case PS2_SET_MODE:
    case PS2_RATE:
        k->command = value;
        kbd_put(k, PS2_ACK);
        break;
    case PS2_KBD_ECHO:
        kbd_put(k, PS2_KBD_ECHO);
        break;
    case PS2_IDENTIFY:
        kbd_put(k, PS2_ACK);
        kbd_put(k, 0xab);
        kbd_put(k, 0x83);
        break;
    case PS2_ENABLE:
        k->scanning = true;
        kbd_put(k, PS2_ACK);
        break;
    case PS2_DISABLE:
    case PS2_DEFAULTS:
        k->scanning = value == PS2_DEFAULTS;
        kbd_defaults(k);
        kbd_put(k, PS2_ACK);
        break;
    case PS2_RESEND:
        ps2_put(&k->out, k->last);
        break;
    case PS2_RESET:
        k->out.count = 0;
        kbd_defaults(k);
        k->scanning = true;
        kbd_put(k, PS2_ACK);
        kbd_put(k, PS2_TEST_PASSED);
        break;
    default:
        kbd_put(k, PS2_RESEND);
        break;
    }
}

void ps2_keyboard_reset(struct ps2_keyboard *k)
{
    *k = (struct ps2_keyboard){ .scanning = true };
    kbd_defaults(k);
}

/* ---- mouse ---- */

static void mouse_put(struct ps2_mouse *m, uint8_t value)
{
    ps2_put(&m->out, value);
    m->last = value;
}

static void mouse_defaults(struct ps2_mouse *m)
{
    m->rate = 100;
    m->resolution = 2;
    m->scale_2 = m->remote = m->reporting = false;
}

static void mouse_put_status(struct ps2_mouse *m)
{
    mouse_put(m, m->remote << 6 | m->reporting << 5 | m->scale_2 << 4);
    mouse_put(m, m->resolution);
    mouse_put(m, m->rate);
}

static void mouse_argument(struct ps2_mouse *m, uint8_t value)
{
    if (m->command == PS2_MOUSE_RESOLUTION)
        m->resolution = value & 3;
    else
        m->rate = value;
    m->command = 0;
    mouse_put(m, PS2_ACK);
}

/* Commands that change one setting. False for those it does not know. */
static bool mouse_set(struct ps2_mouse *m, uint8_t value)
{
    switch (value) {
    case PS2_MOUSE_SCALE_1:
    case PS2_MOUSE_SCALE_2:
        m->scale_2 = value == PS2_MOUSE_SCALE_2;
        return true;
    case PS2_MOUSE_STREAM:
    case PS2_SET_MODE:
        m->remote = value == PS2_SET_MODE;
        return true;
    case PS2_MOUSE_RESOLUTION:
    case PS2_RATE:
        m->command = value;
        return true;
    case PS2_ENABLE:
    case PS2_DISABLE:
        m->reporting = value == PS2_ENABLE;
        return true;
    case PS2_DEFAULTS:
        mouse_defaults(m);
        return true;
    default:
        return false;
    }
}

void ps2_mouse_send(struct ps2_mouse *m, uint8_t value)
{
    if (m->command) {
        mouse_argument(m, value);
        return;
    }
    if (value == PS2_RESEND) {
        ps2_put(&m->out, m->last);
        return;
    }
    m->out.count = 0; /* a command ends what was being told */
    if (mouse_set(m, value)) {
        mouse_put(m, PS2_ACK);
        return;
    }
    switch (value) {
    case PS2_MOUSE_STATUS:
        mouse_put(m, PS2_ACK);
        mouse_put_status(m);
        break;
    case PS2_MOUSE_READ: /* a packet: nothing pressed, nothing moved */
        mouse_put(m, PS2_ACK);
        mouse_put(m, 1 << 3);
        mouse_put(m, 0);
        mouse_put(m, 0);
        break;
    case PS2_IDENTIFY:
        mouse_put(m, PS2_ACK);
        mouse_put(m, 0);
        break;
    case PS2_RESET:
        mouse_defaults(m);
        mouse_put(m, PS2_ACK);
        mouse_put(m, PS2_TEST_PASSED);
        mouse_put(m, 0);
        break;
    default:
        mouse_put(m, PS2_RESEND);
        break;
    }
}

void ps2_mouse_reset(struct ps2_mouse *m)
{
    *m = (struct ps2_mouse){ .rate = 0 };
    mouse_defaults(m);
}
