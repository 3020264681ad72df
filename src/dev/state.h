/* State fields: what a snapshot of a device holds, declared with the device.
 *
 * Every bit of guest-visible state that is not derived from other state is a row. A device
 * without a table (state == NULL) is refused by snapshots; one with nothing to save says so with
 * an empty table. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum state_kind {
    STATE_KIND_END,
    STATE_KIND_BOOL,
    STATE_KIND_U8,
    STATE_KIND_U16,
    STATE_KIND_U32,
    STATE_KIND_U64,
    STATE_KIND_I64,
    STATE_KIND_BYTES, /* count bytes */
    STATE_KIND_TIMER, /* a struct timer: its deadline */
};

struct state_field {
    const char *name;
    enum state_kind kind;
    size_t offset;
    size_t count; /* array length, 1 for a scalar */
};

/* clang-format off */
#define STATE_FIELD(KIND, TYPE, FIELD) { #FIELD, KIND, offsetof(TYPE, FIELD), 1 }
#define STATE_BOOL(TYPE, FIELD)  STATE_FIELD(STATE_KIND_BOOL, TYPE, FIELD)
#define STATE_U8(TYPE, FIELD)    STATE_FIELD(STATE_KIND_U8, TYPE, FIELD)
#define STATE_U16(TYPE, FIELD)   STATE_FIELD(STATE_KIND_U16, TYPE, FIELD)
#define STATE_U32(TYPE, FIELD)   STATE_FIELD(STATE_KIND_U32, TYPE, FIELD)
#define STATE_U64(TYPE, FIELD)   STATE_FIELD(STATE_KIND_U64, TYPE, FIELD)
#define STATE_I64(TYPE, FIELD)   STATE_FIELD(STATE_KIND_I64, TYPE, FIELD)
#define STATE_TIMER(TYPE, FIELD) STATE_FIELD(STATE_KIND_TIMER, TYPE, FIELD)
#define STATE_ARRAY(KIND, TYPE, FIELD)                                                             \
    { #FIELD, KIND, offsetof(TYPE, FIELD),                                                         \
      sizeof(((TYPE *)0)->FIELD) / sizeof(((TYPE *)0)->FIELD[0]) }
#define STATE_BYTES(TYPE, FIELD)                                                                   \
    { #FIELD, STATE_KIND_BYTES, offsetof(TYPE, FIELD), sizeof(((TYPE *)0)->FIELD) }
#define STATE_END { NULL, STATE_KIND_END, 0, 0 }
/* clang-format on */
