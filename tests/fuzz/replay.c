/* The fuzzer where there is no libFuzzer: runs what tests/fuzz/corpus has of a target, and
 * variations on it from a fixed seed.
 *
 *   fuzz_replay TARGET CORPUS [RUNS [SEED]]     fuzz_replay --list     fuzz_replay --check
 * TARGET...
 *
 * CORPUS is a file with an input in each line, as hexadecimal digits; or one of raw bytes, when its
 * name begins with "@". An input that takes longer than LIMIT seconds is a failure. */
#include "board.h"

#include <signal.h>
#include <stdio.h>
#include <unistd.h>

enum { INPUT_MAX = 4096, INPUTS_MAX = 4096, LIMIT = 60 };

struct corpus {
    unsigned count;
    struct {
        uint8_t *bytes;
        size_t size;
    } inputs[INPUTS_MAX];
};

static uint64_t rng;

static uint32_t rnd(uint32_t below) /* xorshift64 */
{
    rng ^= rng << 13;
    rng ^= rng >> 7;
    rng ^= rng << 17;
    return (uint32_t)(rng >> 16) % below;
}

static void show(const uint8_t *data, size_t size)
{
    for (size_t i = 0; i < size; i++)
        fprintf(stderr, "%02x", data[i]);
    fputc('\n', stderr);
}

static const uint8_t *current;
static size_t current_size;

/* Killed by its alarm, or by abort(): the input is what has to be known. */
static void die_with_input(int signal)
{
    fprintf(stderr, "signal %d in this input:\n", signal);
    show(current, current_size);
    _exit(1);
}

static void run(const struct target *t, const uint8_t *data, size_t size)
{
    /* An exact copy, so that a read beyond its end is seen. */
    uint8_t *copy = malloc(size + !size);
    memcpy(copy, data, size);
    current = copy;
    current_size = size;
    alarm(LIMIT);
    fuzz_one(t, copy, size);
    alarm(0);
    free(copy);
}

static void keep(struct corpus *c, const uint8_t *bytes, size_t size)
{
    if (c->count == INPUTS_MAX)
        return;
    c->inputs[c->count].bytes = malloc(size + !size);
    memcpy(c->inputs[c->count].bytes, bytes, size);
    c->inputs[c->count++].size = size;
}

static bool read_corpus(struct corpus *c, const char *path)
{
    bool raw = path[0] == '@';
    FILE *f = fopen(path + raw, "r");
    char line[2 * INPUT_MAX + 2];
    uint8_t bytes[INPUT_MAX];
    if (!f)
        return false;
    if (raw) {
        keep(c, bytes, fread(bytes, 1, sizeof bytes, f));
    } else {
        while (fgets(line, sizeof line, f)) {
            size_t size = 0;
            while (line[0] != '#' && sscanf(line + 2 * size, "%2hhx", &bytes[size]) == 1)
                size++;
            if (size)
                keep(c, bytes, size);
        }
    }
    fclose(f);
    return true;
}

/* One input of the corpus with another's end, and some bytes changed, inserted or taken out. */
static size_t vary(const struct corpus *c, uint8_t *out)
{
    size_t size = 0;
    for (unsigned part = 0; part < 2 && c->count; part++) {
        unsigned i = rnd(c->count);
        size_t from = part ? rnd(c->inputs[i].size) : 0, n = c->inputs[i].size - from;
        n = n < INPUT_MAX / 2 - 64 ? n : INPUT_MAX / 2 - 64;
        memcpy(out + size, c->inputs[i].bytes + from, n);
        size += n;
    }
    for (unsigned n = rnd(64); !c->count && n; n--)
        out[size++] = rnd(256);
    for (unsigned n = rnd(8); n && size; n--) {
        size_t at = rnd(size);
        switch (rnd(4)) {
        case 0:
            out[at] ^= 1u << rnd(8);
            break;
        case 1:
            memmove(out + at + 1, out + at, size++ - at);
            break;
        case 2:
            memmove(out + at, out + at + 1, --size - at);
            break;
        default:
            out[at] = rnd(256);
        }
    }
    return size;
}

static int list(void)
{
    for (const struct target *t = targets; t->name; t++)
        puts(t->name);
    return 0;
}

/* It, or one that is no more than another name for it. */
static bool is_on(const struct board *b, const struct device_type *type)
{
    const struct device *d = b->h->m->devices;
    while (d && d->type != type && strcmp(d->type->parent, type->name))
        d = d->next;
    return d;
}

static bool is_fuzzed(const struct device_type *type)
{
    struct input in = { 0 };
    bool found = false;
    for (const struct target *t = targets; t->name && !found; t++) {
        struct board *b = board_new(t, &in);
        found = is_on(b, type);
        board_free(b);
    }
    return found;
}

/* Every type of device is on some target's board, and the names given are those of all targets. */
static int check(char **names, int count)
{
    int wrong = 0, targets_seen = 0;
    for (const struct device_type *const *type = hw_types; *type; type++)
        if (!(*type)->abstract && !is_fuzzed(*type)) {
            fprintf(stderr, "%s is on no board: give it a row in targets.c\n", (*type)->name);
            wrong = 1;
        }
    for (const struct target *t = targets; t->name; t++)
        targets_seen++;
    for (int i = 0; i < count; i++)
        if (!target_find(names[i])) {
            fprintf(stderr, "there is no target %s\n", names[i]);
            wrong = 1;
        }
    if (targets_seen != count) {
        fprintf(stderr, "%d targets, %d of them in CMakeLists.txt\n", targets_seen, count);
        wrong = 1;
    }
    return wrong;
}

int main(int argc, char **argv)
{
    static struct corpus c;
    uint8_t bytes[INPUT_MAX];
    if (argc == 2 && !strcmp(argv[1], "--list"))
        return list();
    if (argc > 1 && !strcmp(argv[1], "--check"))
        return check(argv + 2, argc - 2);
    const struct target *t = argc > 2 ? target_find(argv[1]) : NULL;
    if (!t || !read_corpus(&c, argv[2])) {
        fprintf(stderr, "usage: %s TARGET CORPUS [RUNS [SEED]] | --list\n", argv[0]);
        return 2;
    }
    unsigned runs = argc > 3 ? strtoul(argv[3], NULL, 0) : 0;
    rng = (argc > 4 ? strtoull(argv[4], NULL, 0) : 1) * 0x9e3779b97f4a7c15 | 1;
    signal(SIGALRM, die_with_input);
    signal(SIGABRT, die_with_input);
    signal(SIGSEGV, die_with_input);
    for (unsigned i = 0; i < c.count; i++)
        run(t, c.inputs[i].bytes, c.inputs[i].size);
    for (unsigned i = 0; i < runs; i++)
        run(t, bytes, vary(&c, bytes));
    printf("%s: %u inputs of the corpus and %u variations\n", t->name, c.count, runs);
    for (unsigned i = 0; i < c.count; i++)
        free(c.inputs[i].bytes);
    return 0;
}
