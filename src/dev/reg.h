/* Register tables: a device's registers as data.
 *
 * One row per register: name, offset, reset value, which bits are of which access kind, and
 * optional functions for those that do more than hold bits. The same table serves reads, writes,
 * reset, listings ("device register by name") and, later, hooks. Registers here are 32 bits
 * wide, held in an array of uint32_t indexed by the row's `slot`. */
#pragma once

#include "base/error.h"
#include "mem/region.h"

#include <stddef.h>
#include <stdint.h>

struct reg_bank;

struct reg {
    const char *name;
    uint32_t offset; /* from the start of the bank's region, a multiple of 4 */
    uint32_t count;  /* array of registers at `offset`, `offset + 4`, ...; 0 means 1 */
    uint32_t reset;
    /* Bits by access; a bit in none of them is reserved: reads 0, ignores writes. */
    uint32_t rw;  /* read and write */
    uint32_t ro;  /* read-only */
    uint32_t w1c; /* readable, writing 1 clears */
    uint32_t rc;  /* readable, reading clears */
    uint32_t w1s; /* readable, writing 1 sets */
    uint32_t wo;  /* writes are kept, reads as 0 */
    bool kept;    /* a soft reset leaves it alone */
    /* When not NULL: `read` gives the value instead of the held one (before the rc bits are
     * cleared); `write` is called with the value that was written, after the access rules were
     * applied to the held one. */
    uint32_t (*read)(void *opaque, unsigned index);
    bool pure; /* `read` changes nothing: who only looks may call it */
    void (*write)(void *opaque, unsigned index, uint32_t written);
};

struct reg_bank {
    const char *owner; /* for messages */
    const struct reg *table;
    size_t table_len;
    uint32_t *values;     /* in the device's state: reg_bank_slots() of them */
    uint16_t *by_word;    /* offset / 4 → 1 + row, 0: no register */
    uint16_t *first_slot; /* row → index of its first value */
    size_t words;
    void *opaque;
    size_t row; /* of the register whose function is being called */
    /* Of a bank that is known by name. */
    struct region *region;
    struct reg_bank **list, *next;
};

/* How many values a table needs: the sum of its counts. */
size_t reg_table_slots(const struct reg *table, size_t len);

/* `size` bytes of registers. `values` stays the caller's. */
void reg_bank_init(struct reg_bank *b, const char *owner, const struct reg *table, size_t len,
                   uint32_t size, uint32_t *values, void *opaque);
void reg_bank_fini(struct reg_bank *b);
/* To the values of power on; a soft reset spares the rows that are `kept`. */
void reg_bank_reset(struct reg_bank *b);
void reg_bank_soft_reset(struct reg_bank *b);

/* 32-bit accesses; unknown offsets read 0, ignore writes, and are logged. */
uint32_t reg_bank_read(struct reg_bank *b, uint32_t offset);
void reg_bank_write(struct reg_bank *b, uint32_t offset, uint32_t value);

/* The held value of the register at `offset`, for the device's own use; `offset` must be in the
 * table. */
uint32_t *reg_bank_value(struct reg_bank *b, uint32_t offset);

/* The name of the register at `offset`; NULL: there is none. */
const char *reg_bank_name(const struct reg_bank *b, uint32_t offset);

/* The row by name, or NULL. */
const struct reg *reg_find(const struct reg_bank *b, const char *name);

/* ---- by name: reg_name.c ---- */

/* Let the registers be found by name: `list` is the device's (struct device, reg_banks), `region`
 * where they are. Ends with reg_bank_fini(). */
void reg_bank_publish(struct reg_bank *b, struct reg_bank **list, struct region *region);
void reg_bank_withdraw(struct reg_bank *b); /* for reg_bank_fini(); harmless twice */

/* One register. */
struct reg_place {
    struct reg_bank *bank;
    const struct reg *reg;
    unsigned index;
    uint32_t offset; /* from the start of the bank's region */
};

/* By "NAME", or "NAME[3]" in an array, in the banks of a list. False with the nearest name. */
bool reg_place_find(struct reg_bank *list, const char *name, struct reg_place *p,
                    struct error *err);

/* What it would read as, without side effects: where reading has such, what is held. */
uint32_t reg_place_peek(const struct reg_place *p);

/* Change what is held, as a fault does: no access rules, and nothing follows from it. False:
 * nothing is held, because a read works the value out. */
bool reg_place_poke(const struct reg_place *p, uint32_t value, struct error *err);
