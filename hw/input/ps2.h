/* A keyboard and a mouse at the end of a PS/2 cable: bytes go to them by _send(), theirs wait in
 * `out` for whoever takes them. Parts of a controller's state; machine lock. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum { PS2_QUEUE = 16 };

struct ps2_queue {
    uint8_t data[PS2_QUEUE];
    uint8_t head, count;
};

struct ps2_keyboard {
    struct ps2_queue out;
    uint8_t command; /* waits for its argument; 0: none */
    uint8_t last, set, leds, rate;
    bool scanning;
};

struct ps2_mouse {
    struct ps2_queue out;
    uint8_t command, last, resolution, rate;
    bool reporting, remote, scale_2;
};

/* Put a byte at the end; false when the queue is full and it is lost. */
bool ps2_put(struct ps2_queue *q, uint8_t value);
/* The first one, of a queue that is not empty. */
uint8_t ps2_take(struct ps2_queue *q);

/* As it is after power came on, but for having said so. */
void ps2_keyboard_reset(struct ps2_keyboard *k);
void ps2_mouse_reset(struct ps2_mouse *m);
/* The host sends a byte: a command or the argument of one. */
void ps2_keyboard_send(struct ps2_keyboard *k, uint8_t value);
void ps2_mouse_send(struct ps2_mouse *m, uint8_t value);
