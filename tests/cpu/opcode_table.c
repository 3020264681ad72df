/* Print what the tables of the software CPU say: `opcode_table list` every row of the opcode table,
 * as the files of PERILUNE_OPCODES name it; `opcode_table manual` the text of docs/instructions.md.
 */
#include "cpu/soft/coverage.h"
#include "cpu/soft/soft_cpu.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void print_row(void *opaque, const struct opcode_place *place)
{
    char name[32];
    (void)opaque;
    opcode_place_name(place, name, sizeof name);
    printf("0\t%s\t%s\n", name, place->row->name);
}

/* ---- the manual ---- */

/* A line of the table: what is needed, and what it gives. */
struct set {
    char needs[64];
    char names[512][48];
    unsigned count;
};

static struct set *sets;
static unsigned set_count;

static void needs_of(uint64_t needs, char *out, size_t size)
{
    out[0] = 0;
    for (unsigned bit = 0; bit < ISA_COUNT; bit++) {
        uint64_t isa = UINT64_C(1) << bit;
        /* AVX is said by AVX2, FMA and F16C already, and FPU is what those have that came later. */
        bool said = (isa == ISA_AVX && needs & (ISA_AVX2 | ISA_FMA | ISA_F16C)) ||
                    (isa == ISA_FPU && needs != ISA_FPU);
        if (needs & isa && !said)
            snprintf(out + strlen(out), size - strlen(out), "%s%s", *out ? " " : "",
                     soft_isa_name(bit));
    }
    if (!*out)
        snprintf(out, size, "-");
}

static struct set *set_of(const char *needs)
{
    for (unsigned n = 0; n < set_count; n++)
        if (!strcmp(sets[n].needs, needs))
            return &sets[n];
    sets = realloc(sets, (set_count + 1) * sizeof *sets);
    sets[set_count] = (struct set){ .count = 0 };
    snprintf(sets[set_count].needs, sizeof sets->needs, "%s", needs);
    return &sets[set_count++];
}

static void add_name(const char *needs, const char *name)
{
    struct set *s = set_of(needs);
    for (unsigned n = 0; n < s->count; n++)
        if (!strcmp(s->names[n], name))
            return;
    if (s->count < ARRAY_LEN(s->names))
        snprintf(s->names[s->count++], sizeof s->names[0], "%s", name);
}

static void add_row(void *opaque, const struct opcode_place *place)
{
    const struct opcode *row = place->row;
    char needs[64], name[48];
    (void)opaque;
    needs_of(row->needs, needs, sizeof needs);
    add_name(needs, row->name);
    if (!row->needs_more || row->more_with == MORE_VEX_L)
        return;
    snprintf(name, sizeof name, "%s %s", row->name,
             row->more_with == MORE_64 ? "in 64-bit mode" : "with REX.W");
    needs_of(row->needs_more, needs, sizeof needs);
    add_name(needs, name);
}

static int by_text(const void *a, const void *b)
{
    return strcmp(a, b);
}

static int by_needs(const void *a, const void *b)
{
    return strcmp(((const struct set *)a)->needs, ((const struct set *)b)->needs);
}

/* Does the model have every feature of a list of names? What is no feature all have. */
static bool has_all(const struct cpu_features *model, const char *needs)
{
    char copy[64], *rest = copy;
    snprintf(copy, sizeof copy, "%s", needs);
    for (const char *name; (name = strsep(&rest, " "));) {
        const struct cpu_feature *f = cpu_feature_find(name, strlen(name));
        if (f && !cpu_has(model, f))
            return false;
    }
    return true;
}

static const char *yes(bool has)
{
    return has ? "yes" : "-";
}

static void print_features(const struct cpu_features *max)
{
    printf("| feature | base | max |\n|---|---|---|\n");
    for (const struct cpu_feature *f = cpu_feature_table; f->name; f++)
        if (cpu_has(max, f))
            printf("| %s | %s | yes |\n", f->name, yes(cpu_has(&cpu_features_base, f)));
}

static void print_manual(void)
{
    struct cpu_offer offer;
    soft_cpu_offer(&offer);
    opcode_walk(add_row, NULL);
    qsort(sets, set_count, sizeof *sets, by_needs);
    printf("# Instructions of the software CPU\n\n"
           "Made of the opcode table and the table of features by `tests/cpu/opcode_table manual`; "
           "`cpu.instructions` compares.\n"
           "The same on every host. What a model has not is #UD. How they are executed: "
           "[soft-cpu.md](soft-cpu.md).\n\n"
           "## By what they need\n\n| needs | base | max | instructions |\n|---|---|---|---|\n");
    for (unsigned n = 0; n < set_count; n++) {
        struct set *s = &sets[n];
        qsort(s->names, s->count, sizeof *s->names, by_text);
        printf("| %s | %s | %s | ", s->needs, yes(has_all(&cpu_features_base, s->needs)),
               yes(has_all(&offer.max, s->needs)));
        for (unsigned k = 0; k < s->count; k++)
            printf("%s%s", k ? ", " : "", s->names[k]);
        printf(" |\n");
    }
    printf("\n## Features of the models\n\n");
    print_features(&offer.max);
}

int main(int argc, char **argv)
{
    if (argc == 2 && !strcmp(argv[1], "list"))
        opcode_walk(print_row, NULL);
    else if (argc == 2 && !strcmp(argv[1], "manual"))
        print_manual();
    else
        return 2;
    return 0;
}
