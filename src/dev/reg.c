/* Register tables: lookup by offset and the access rules. */
#include "dev/reg.h"

#include "base/alloc.h"
#include "base/log.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static uint32_t count_of(const struct reg *r)
{
    return r->count ? r->count : 1;
}

size_t reg_table_slots(const struct reg *table, size_t len)
{
    size_t slots = 0;
    for (size_t i = 0; i < len; i++)
        slots += count_of(&table[i]);
    return slots;
}

/* A bit is of one kind of access, except that one which reading clears may be of another as well.
 */
static void check_access(const struct reg *r)
{
    assert(!(r->rw & (r->ro | r->w1c | r->w1s | r->wo)));
    assert(!(r->ro & (r->w1c | r->w1s | r->wo)));
    assert(!(r->w1c & (r->w1s | r->wo)));
    assert(!(r->wo & (r->w1s | r->rc)));
}

void reg_bank_init(struct reg_bank *b, const char *owner, const struct reg *table, size_t len,
                   uint32_t size, uint32_t *values, void *opaque)
{
    assert(len < UINT16_MAX && reg_table_slots(table, len) <= UINT16_MAX);
    *b = (struct reg_bank){ .owner = owner,
                            .table = table,
                            .table_len = len,
                            .values = values,
                            .words = size / 4,
                            .opaque = opaque };
    b->by_word = alloc_zero(b->words, sizeof *b->by_word);
    b->first_slot = alloc_zero(len, sizeof *b->first_slot);
    size_t slot = 0;
    for (size_t row = 0; row < len; row++) {
        const struct reg *r = &table[row];
        assert(r->offset % 4 == 0 && r->offset / 4 + (size_t)count_of(r) <= b->words);
        check_access(r);
        b->first_slot[row] = (uint16_t)slot;
        for (uint32_t i = 0; i < count_of(r); i++) {
            assert(!b->by_word[r->offset / 4 + i]);
            b->by_word[r->offset / 4 + i] = (uint16_t)(row + 1);
        }
        slot += count_of(r);
    }
}

void reg_bank_fini(struct reg_bank *b)
{
    reg_bank_withdraw(b);
    free(b->by_word);
    free(b->first_slot);
    *b = (struct reg_bank){ 0 };
}

static void reset_row(struct reg_bank *b, size_t row)
{
    uint32_t *values = &b->values[b->first_slot[row]], count = count_of(&b->table[row]);
    if (b->table[row].reset == 0) /* so are memories, which are large */
        memset(values, 0, count * sizeof *values);
    else
        for (uint32_t i = 0; i < count; i++)
            values[i] = b->table[row].reset;
}

void reg_bank_reset(struct reg_bank *b)
{
    for (size_t row = 0; row < b->table_len; row++)
        reset_row(b, row);
}

void reg_bank_soft_reset(struct reg_bank *b)
{
    for (size_t row = 0; row < b->table_len; row++)
        if (!b->table[row].kept)
            reset_row(b, row);
}

/* The row at `offset` with the index in it and its held value, or NULL. */
static const struct reg *find(const struct reg_bank *b, uint32_t offset, unsigned *index,
                              uint32_t **value)
{
    size_t word = offset / 4;
    if (offset % 4 || word >= b->words || !b->by_word[word])
        return NULL;
    size_t row = b->by_word[word] - 1u;
    *index = (offset - b->table[row].offset) / 4;
    *value = &b->values[b->first_slot[row] + *index];
    return &b->table[row];
}

uint32_t reg_bank_read(struct reg_bank *b, uint32_t offset)
{
    unsigned index;
    uint32_t *held;
    const struct reg *r = find(b, offset, &index, &held);
    if (!r) {
        log_guest(b->owner, "read of a register that does not exist, at offset 0x%x", offset);
        return 0;
    }
    b->row = (size_t)(r - b->table);
    uint32_t value =
        r->read ? r->read(b->opaque, index) : *held & (r->rw | r->ro | r->w1c | r->rc | r->w1s);
    *held &= ~r->rc;
    return value;
}

void reg_bank_write(struct reg_bank *b, uint32_t offset, uint32_t value)
{
    unsigned index;
    uint32_t *held;
    const struct reg *r = find(b, offset, &index, &held);
    if (!r) {
        log_guest(b->owner, "write of 0x%x to a register that does not exist, at offset 0x%x",
                  value, offset);
        return;
    }
    uint32_t plain = r->rw | r->wo;
    *held = (*held & ~plain) | (value & plain);
    *held &= ~(value & r->w1c);
    *held |= value & r->w1s;
    b->row = (size_t)(r - b->table);
    if (r->write)
        r->write(b->opaque, index, value);
}

uint32_t *reg_bank_value(struct reg_bank *b, uint32_t offset)
{
    unsigned index;
    uint32_t *held = NULL;
    const struct reg *r = find(b, offset, &index, &held);
    assert(r);
    (void)r;
    return held;
}

const char *reg_bank_name(const struct reg_bank *b, uint32_t offset)
{
    unsigned index;
    uint32_t *held;
    const struct reg *r = find(b, offset, &index, &held);
    return r ? r->name : NULL;
}

const struct reg *reg_find(const struct reg_bank *b, const char *name)
{
    for (size_t i = 0; i < b->table_len; i++)
        if (!strcmp(b->table[i].name, name))
            return &b->table[i];
    return NULL;
}
