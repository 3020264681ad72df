/* Registers by name: for scripts, listings and faults. */
#include "dev/property.h"
#include "dev/reg.h"

#include <stdlib.h>
#include <string.h>

enum { NAMES_MAX = 1024 }; /* among which the nearest is looked for */

void reg_bank_publish(struct reg_bank *b, struct reg_bank **list, struct region *region)
{
    b->region = region;
    b->list = list;
    b->next = NULL;
    while (*list)
        list = &(*list)->next;
    *list = b;
}

void reg_bank_withdraw(struct reg_bank *b)
{
    if (!b->list)
        return;
    struct reg_bank **at = b->list;
    while (*at != b)
        at = &(*at)->next;
    *at = b->next;
    b->list = NULL;
}

static const struct reg *find_row(const struct reg_bank *b, const char *name, size_t len)
{
    for (size_t i = 0; i < b->table_len; i++)
        if (!strncmp(b->table[i].name, name, len) && !b->table[i].name[len])
            return &b->table[i];
    return NULL;
}

static bool not_found(const struct reg_bank *list, const char *name, struct error *err)
{
    const char *names[NAMES_MAX + 1];
    size_t n = 0;
    for (const struct reg_bank *b = list; b; b = b->next)
        for (size_t i = 0; i < b->table_len && n < NAMES_MAX; i++)
            names[n++] = b->table[i].name;
    names[n] = NULL;
    return error_set(err, "there is no register \"%s\"%s", name, suggest_name(name, names).text);
}

/* "[3]" or nothing. */
static bool read_index(const char *text, unsigned long *index)
{
    char *end = NULL;
    *index = 0;
    if (!*text)
        return true;
    if (text[1] >= '0' && text[1] <= '9')
        *index = strtoul(text + 1, &end, 10);
    return end && !strcmp(end, "]");
}

bool reg_place_find(struct reg_bank *list, const char *name, struct reg_place *p, struct error *err)
{
    size_t len = strcspn(name, "[");
    unsigned long index;
    if (!read_index(name + len, &index))
        return error_set(err, "\"%s\" is not the name of a register: write NAME or NAME[3]", name);
    for (struct reg_bank *b = list; b; b = b->next) {
        const struct reg *r = find_row(b, name, len);
        if (!r)
            continue;
        uint32_t count = r->count ? r->count : 1;
        if (index >= count)
            return error_set(err, "register %s has %u element%s, counted from 0", r->name, count,
                             count == 1 ? "" : "s");
        *p = (struct reg_place){ b, r, (unsigned)index, r->offset + 4 * (uint32_t)index };
        return true;
    }
    return not_found(list, name, err);
}

uint32_t reg_place_peek(const struct reg_place *p)
{
    const struct reg *r = p->reg;
    if (r->read && r->pure) {
        p->bank->row = (size_t)(r - p->bank->table);
        return r->read(p->bank->opaque, p->index);
    }
    return *reg_bank_value(p->bank, p->offset);
}

bool reg_place_poke(const struct reg_place *p, uint32_t value, struct error *err)
{
    if (p->reg->read && p->reg->pure)
        return error_set(err,
                         "register %s holds nothing: each read works its value out; replace what "
                         "is read with a hook",
                         p->reg->name);
    *reg_bank_value(p->bank, p->offset) = value;
    return true;
}
