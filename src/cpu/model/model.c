/* `--cpu MODEL,+FEATURE,-FEATURE`: from what a person writes to a set of features. */
#include "cpu/model/features.h"

#include "base/bits.h"
#include "dev/property.h"

#include <assert.h>
#include <ctype.h>
#include <stdio.h>
#include <string.h>

static const char *const models[] = { "base", "host", "max", NULL };

/* ---- names ---- */

static bool same_letter(char a, char b)
{
    a = a == '-' || a == '.' ? '_' : (char)tolower((unsigned char)a);
    b = b == '-' || b == '.' ? '_' : (char)tolower((unsigned char)b);
    return a == b;
}

static bool same_name(const char *known, const char *name, size_t length)
{
    if (!known || strlen(known) != length)
        return false;
    for (size_t i = 0; i < length; i++)
        if (!same_letter(known[i], name[i]))
            return false;
    return true;
}

const struct cpu_feature *cpu_feature_find(const char *name, size_t length)
{
    for (const struct cpu_feature *f = cpu_feature_table; f->name; f++)
        if (same_name(f->name, name, length) || same_name(f->other, name, length))
            return f;
    return NULL;
}

bool cpu_has_named(const struct cpu_features *set, const char *name)
{
    const struct cpu_feature *f = cpu_feature_find(name, strlen(name));

    assert(f);
    return cpu_has(set, f);
}

void cpu_set_named(struct cpu_features *set, const char *name)
{
    const struct cpu_feature *f = cpu_feature_find(name, strlen(name));

    assert(f);
    set->word[f->word] |= f->mask;
}

/* ---- dependencies ---- */

/* The next name in a row's `needs`; NULL: there is no more. */
static const struct cpu_feature *next_need(const char **at)
{
    size_t length;

    if (!*at)
        return NULL;
    *at += strspn(*at, " ");
    length = strcspn(*at, " ");
    if (!length)
        return NULL;
    *at += length;
    return cpu_feature_find(*at - length, length);
}

static bool needs_one_of(const struct cpu_feature *f, const struct cpu_features *gone)
{
    const char *at = f->needs;
    const struct cpu_feature *need;

    while ((need = next_need(&at)))
        if (cpu_has(gone, need))
            return true;
    return false;
}

/* Take `gone` away, with whatever needs any of it, and what needs that. */
static void take_away(struct cpu_features *set, struct cpu_features gone)
{
    bool changed;

    do {
        changed = false;
        for (const struct cpu_feature *f = cpu_feature_table; f->name; f++) {
            if (!cpu_has(&gone, f) && needs_one_of(f, &gone)) {
                gone.word[f->word] |= f->mask;
                changed = true;
            }
        }
    } while (changed);
    for (unsigned w = 0; w < CPUID_WORDS; w++)
        set->word[w] &= ~gone.word[w];
}

/* ---- parsing ---- */

struct request {
    const struct cpu_offer *offer;
    const char *text; /* all of it, for messages */
    struct cpu_features set, off;
    struct error *err;
};

static bool cannot_give(const struct request *r, const struct cpu_feature *f,
                        const struct cpu_feature *asked)
{
    char because[64] = "";

    if (f != asked)
        snprintf(because, sizeof because, ", which \"%s\" needs", asked->name);
    if (cpu_has(&r->offer->withheld, f))
        return error_set(r->err, "cpu: accel \"%s\" cannot give \"%s\"%s: %s", r->offer->backend,
                         f->name, because, r->offer->why_withheld);
    return error_set(r->err,
                     "cpu: accel \"%s\" cannot give \"%s\"%s, on this host; --cpu help lists what "
                     "it can",
                     r->offer->backend, f->name, because);
}

/* With all that it needs. The table has no circles: a test looks. */
static bool add(struct request *r, const struct cpu_feature *f, const struct cpu_feature *asked)
{
    const char *at = f->needs;
    const struct cpu_feature *need;

    if (r->off.word[f->word] & f->mask)
        return error_set(r->err, "cpu: \"%s\" needs \"%s\", which \"%s\" takes away", asked->name,
                         f->name, r->text);
    if (!cpu_has(&r->offer->max, f))
        return cannot_give(r, f, asked);
    r->set.word[f->word] |= f->mask & r->offer->max.word[f->word];
    while ((need = next_need(&at)))
        if (!add(r, need, asked))
            return false;
    return true;
}

static bool unknown_feature(const struct request *r, const char *name, size_t length)
{
    const char *names[512];
    char given[64];
    const char *near;
    size_t n = 0;

    for (const struct cpu_feature *f = cpu_feature_table; f->name; f++) {
        names[n++] = f->name;
        if (f->other)
            names[n++] = f->other;
        assert(n + 2 < ARRAY_LEN(names));
    }
    names[n] = NULL;
    snprintf(given, sizeof given, "%.*s", (int)length, name);
    near = nearest_name(given, names);
    if (near)
        return error_set(r->err, "cpu: there is no feature \"%s\"; did you mean \"%s\"?", given,
                         near);
    return error_set(r->err, "cpu: there is no feature \"%s\"; --cpu help lists all", given);
}

/* "+name", "-name", "name", "name=on", "name=off" */
static bool parse_item(const char *item, size_t length, const struct cpu_feature **f, bool *on,
                       struct request *r)
{
    const char *equals = memchr(item, '=', length);
    const char *name = item;

    *on = true;
    if (length && (*item == '+' || *item == '-')) {
        *on = *item == '+';
        name++;
    } else if (equals) {
        size_t rest = (size_t)(item + length - equals) - 1;
        *on = rest == 2 && !memcmp(equals + 1, "on", 2);
        if (!*on && !(rest == 3 && !memcmp(equals + 1, "off", 3)))
            return error_set(r->err, "cpu: \"%.*s\": a feature is on or off", (int)length, item);
        length = (size_t)(equals - item);
    }
    length -= (size_t)(name - item);
    *f = cpu_feature_find(name, length);
    return *f || unknown_feature(r, name, length);
}

/* Everything in the list that is switched `on`, or off. The later of two words on one feature
 * holds: what is off is known before anything is added. */
static bool apply(struct request *r, const char *list, bool on)
{
    while (*list == ',') {
        const struct cpu_feature *f = NULL;
        const char *item = ++list;
        size_t length = strcspn(item, ",");
        bool is_on = false;

        if (!parse_item(item, length, &f, &is_on, r))
            return false;
        if (!is_on)
            r->off.word[f->word] |= f->mask;
        else if (!on)
            r->off.word[f->word] &= ~f->mask;
        else if (!(r->off.word[f->word] & f->mask) && !add(r, f, f))
            return false;
        list = item + length;
    }
    return true;
}

static bool start_with(struct request *r, const char *name, size_t length)
{
    const struct cpu_offer *o = r->offer;
    char given[64];
    const char *near;

    snprintf(given, sizeof given, "%.*s", (int)length, name);
    if (!strcmp(given, "host") || !strcmp(given, "max")) {
        r->set = o->max;
        return true;
    }
    if (!strcmp(given, "base")) {
        for (unsigned w = 0; w < CPUID_WORDS; w++)
            r->set.word[w] = cpu_features_base.word[w] & o->max.word[w];
        r->set.word[WORD_KVM] = o->max.word[WORD_KVM];
        return true;
    }
    near = nearest_name(given, models);
    return error_set(r->err, "cpu: there is no model \"%s\"; %s%s%s", given,
                     near ? "did you mean \"" : "there are base, host and max", near ? near : "",
                     near ? "\"?" : "");
}

bool cpu_model_parse(const char *text, const struct cpu_offer *offer, struct cpu_features *out,
                     struct error *err)
{
    struct request r = { .offer = offer, .text = text, .err = err };
    size_t length = strcspn(text, ",");

    if (!start_with(&r, text, length) || !apply(&r, text + length, false))
        return false;
    take_away(&r.set, r.off);
    if (!apply(&r, text + length, true))
        return false;
    *out = r.set;
    return true;
}

/* ---- what follows from the set ---- */

/* SDM vol. 1 13.1: what owns each state that XSAVE manages; those that only a supervisor does. */
static const struct {
    unsigned component;
    const char *feature;
    bool supervisor;
} states[] = {
    { 0, "xsave", false },    { 1, "xsave", false },     { 2, "avx", false },
    { 3, "mpx", false },      { 4, "mpx", false },       { 5, "avx512f", false },
    { 6, "avx512f", false },  { 7, "avx512f", false },   { 8, "intel_pt", true },
    { 9, "pku", false },      { 11, "shstk", true },     { 12, "shstk", true },
    { 15, "arch_lbr", true }, { 17, "amx_tile", false }, { 18, "amx_tile", false },
};

static uint64_t components(const struct cpu_features *set, bool supervisor)
{
    uint64_t mask = 0;

    for (size_t n = 0; n < ARRAY_LEN(states); n++)
        if (states[n].supervisor == supervisor && cpu_has_named(set, states[n].feature))
            mask |= 1ULL << states[n].component;
    return mask;
}

uint64_t cpu_xsave_components(const struct cpu_features *set)
{
    return cpu_has_named(set, "xsave") ? components(set, false) : 0;
}

uint64_t cpu_xsave_supervisor(const struct cpu_features *set)
{
    return cpu_has_named(set, "xsaves") ? components(set, true) : 0;
}

bool cpu_leaf_offered(const struct cpu_features *set, uint32_t leaf)
{
    static const struct {
        uint32_t leaf;
        const char *feature;
    } leaves[] = {
        { 0xd, "xsave" },     { 0x12, "sgx" },      { 0x14, "intel_pt" },  { 0x1c, "arch_lbr" },
        { 0x1d, "amx_tile" }, { 0x1e, "amx_tile" }, { 0x8000000a, "svm" },
    };

    for (size_t n = 0; n < ARRAY_LEN(leaves); n++)
        if (leaves[n].leaf == leaf)
            return cpu_has_named(set, leaves[n].feature);
    return true;
}
