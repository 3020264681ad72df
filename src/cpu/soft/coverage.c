/* Which rows of the opcode table have been decoded: asked for by the environment variable
 * PERILUNE_OPCODES (docs/testing.md), one object for each accelerator. On the thread that executes.
 */
#include "cpu/soft/coverage.h"

#include "base/alloc.h"
#include "base/search.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* ---- all rows ---- */

struct walk {
    opcode_visit *visit;
    void *opaque;
};

static void visit_one(const struct walk *w, struct opcode_place place, const struct opcode *row)
{
    if (!row || !row->name || !row->name[0])
        return;
    place.row = row;
    w->visit(w->opaque, &place);
    if (row->with_reg) {
        place.reg = true;
        place.row = row->with_reg;
        w->visit(w->opaque, &place);
    }
}

static void visit_row(const struct walk *w, struct opcode_place place, const struct opcode *row)
{
    place.group = -1;
    if (row && row->flags & OPF_GROUP)
        for (place.group = 0; place.group < 8; place.group++)
            visit_one(w, place, &row->group[place.group]);
    else
        visit_one(w, place, row);
}

/* Rows of 0F maps that depend on ModRM naming a register. */
static void visit_register_rows(const struct walk *w)
{
    for (int n = 0; n < 64; n++)
        visit_one(w,
                  (struct opcode_place){
                      .map = 1, .opcode = 0x01, .group = 0xc0 | n, .exact = true, .reg = true },
                  &opcodes_0f01_reg[n]);
    for (int n = 0; n < 8; n++) {
        struct opcode_place place = { .map = 1, .opcode = 0xae, .group = n, .reg = true };
        place.prefix = PREFIX_F3;
        visit_one(w, place, &opcodes_0fae_f3_reg[n]);
        place.opcode = 0xc7;
        visit_one(w, place, &opcodes_0fc7_reg[1][n]);
        place.prefix = PREFIX_NONE;
        visit_one(w, place, &opcodes_0fc7_reg[0][n]);
    }
}

void opcode_walk(opcode_visit *visit, void *opaque)
{
    struct walk w = { visit, opaque };
    for (unsigned opcode = 0; opcode < 256; opcode++)
        visit_row(&w, (struct opcode_place){ .opcode = (uint8_t)opcode }, &opcodes_1[opcode]);
    for (unsigned opcode = 0; opcode < 256; opcode++)
        visit_row(&w, (struct opcode_place){ .map = 1, .opcode = (uint8_t)opcode },
                  &opcodes_2[opcode]);
    visit_register_rows(&w);
    for (unsigned vex = 0; vex < 2; vex++)
        for (unsigned map = 1; map <= 3; map++)
            for (unsigned prefix = 0; prefix < 4; prefix++)
                for (unsigned opcode = 0; opcode < 256; opcode++)
                    visit_row(
                        &w,
                        (struct opcode_place){
                            .vex = vex, .map = map, .prefix = prefix, .opcode = (uint8_t)opcode },
                        vex ? vex_opcode(map, prefix, (uint8_t)opcode)
                            : sse_opcode(map, prefix, (uint8_t)opcode));
}

void opcode_place_name(const struct opcode_place *p, char *out, size_t size)
{
    static const char *const prefixes[] = { "", "66 ", "f3 ", "f2 " };
    static const char *const maps[] = { "", "0f ", "0f38 ", "0f3a " };
    char group[16] = "";
    if (p->exact)
        snprintf(group, sizeof group, " %02x", (unsigned)p->group);
    else if (p->group >= 0)
        snprintf(group, sizeof group, " /%d", p->group);
    snprintf(out, size, "%s%s%s%02x%s%s", p->vex ? "vex " : "", prefixes[p->prefix], maps[p->map],
             p->opcode, group, p->reg && !p->exact ? " reg" : "");
}

/* ---- what has been decoded ---- */

struct opcode_coverage {
    struct counted {
        struct opcode_place place;
        uint64_t count; /* of the first of those with the same row */
    } * rows;           /* sorted by the row's address */
    size_t count, room;
};

static void add(void *opaque, const struct opcode_place *place)
{
    struct opcode_coverage *v = opaque;
    if (v->count == v->room) {
        v->room = v->room ? 2 * v->room : 1024;
        v->rows = alloc_resize(v->rows, v->room, sizeof *v->rows);
    }
    v->rows[v->count++] = (struct counted){ .place = *place };
}

static int by_row(const void *a, const void *b)
{
    uintptr_t x = (uintptr_t)((const struct counted *)a)->place.row;
    uintptr_t y = (uintptr_t)((const struct counted *)b)->place.row;
    return (x > y) - (x < y);
}

struct opcode_coverage *opcode_coverage_new(void)
{
    struct opcode_coverage *v = ALLOC(struct opcode_coverage);
    opcode_walk(add, v);
    qsort(v->rows, v->count, sizeof *v->rows, by_row);
    return v;
}

static bool row_below(const void *counted, uint64_t address)
{
    return (uintptr_t)((const struct counted *)counted)->place.row < address;
}

static struct counted *find(struct opcode_coverage *v, const struct opcode *row)
{
    size_t n = search_from(v->rows, v->count, sizeof *v->rows, row_below, (uintptr_t)row);
    return n < v->count && v->rows[n].place.row == row ? &v->rows[n] : NULL;
}

void opcode_coverage_note(struct opcode_coverage *v, const uint8_t *code, unsigned avail,
                          uint32_t mode, uint64_t isa)
{
    struct counted *c = find(v, soft_decode_row(code, avail, mode, isa));
    if (c)
        c->count++;
}

bool opcode_coverage_close(struct opcode_coverage *v, const char *folder)
{
    char path[4096], name[32];
    snprintf(path, sizeof path, "%s/%ld.XXXXXX", folder, (long)getpid());
    int fd = mkstemp(path);
    FILE *f = fd >= 0 ? fdopen(fd, "w") : NULL;
    for (size_t n = 0; f && n < v->count; n++) {
        opcode_place_name(&v->rows[n].place, name, sizeof name);
        fprintf(f, "%llu\t%s\t%s\n", (unsigned long long)find(v, v->rows[n].place.row)->count, name,
                v->rows[n].place.row->name);
    }
    bool ok = f && fclose(f) == 0;
    free(v->rows);
    free(v);
    return ok;
}
