/* Named lines of devices: inputs that live here, outputs that point from a device's state to
 * inputs.
 *
 * A line may outlive its usefulness on the other side: when inputs go away, outputs that point to
 * them are disconnected, and the inputs themselves stay as dead lines of the machine, because a bus
 * or an interrupt router may hold a pointer of its own. */
#include "base/alloc.h"
#include "dev/dev_internal.h"
#include "dev/machine.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static unsigned count_lines(const struct device *d, const char *name, bool in)
{
    unsigned n = 0;
    for (const struct gpio_list *g = d->gpios; g; g = g->next)
        if (!g->out == in && !strcmp(g->name, name))
            n += g->count;
    return n;
}

static struct gpio_list *add_list(struct device *d, const char *name, unsigned count)
{
    struct gpio_list *g = ALLOC(struct gpio_list);
    g->name = alloc_string(name);
    g->count = count;
    /* The path is there from the start of realize to the end of unrealize. */
    g->of_realize = d->path != NULL;
    struct gpio_list **tail = &d->gpios;
    while (*tail)
        tail = &(*tail)->next;
    *tail = g;
    return g;
}

void device_init_gpio_in(struct device *d, const char *name, void (*handler)(void *, int, bool),
                         unsigned count)
{
    unsigned first = count_lines(d, name, true);
    struct gpio_list *g = add_list(d, name, count);
    g->in = alloc_zero(count, sizeof *g->in);
    for (unsigned i = 0; i < count; i++) {
        irq_init(&g->in[i], handler, d, (int)(first + i));
        g->in[i].device = d;
    }
}

void device_init_gpio_out(struct device *d, const char *name, struct irq **lines, unsigned count)
{
    struct gpio_list *g = add_list(d, name, count);
    g->out = lines;
    for (unsigned i = 0; i < count; i++)
        lines[i] = NULL;
}

/* The list that holds line *n of `name`; *n becomes the index in it. */
static struct gpio_list *find_line(const struct device *d, const char *name, bool in, unsigned *n)
{
    for (struct gpio_list *g = d->gpios; g; g = g->next) {
        if (!g->out != in || strcmp(g->name, name))
            continue;
        if (*n < g->count)
            return g;
        *n -= g->count;
    }
    return NULL;
}

static bool no_such_line(const struct device *d, const char *name, unsigned n, bool in,
                         struct error *err)
{
    const char *dir = in ? "input" : "output";
    unsigned count = count_lines(d, name, in);
    if (count)
        return error_set(err, "%s has no %s %u of line '%s'; there are %u, counted from 0",
                         device_name(d), dir, n, name, count);
    const char *names[32] = { NULL };
    unsigned known = 0;
    for (const struct gpio_list *g = d->gpios; g && known < 31; g = g->next)
        if (!g->out == in)
            names[known++] = g->name;
    const char *near = nearest_name(name, names);
    if (near)
        return error_set(err, "%s has no %s line '%s'; did you mean '%s'?", device_name(d), dir,
                         name, near);
    return error_set(err, "%s has no %s line '%s'%s", device_name(d), dir, name,
                     known ? "" : ", nor any other");
}

struct irq *device_gpio_in(struct device *d, const char *name, unsigned n, struct error *err)
{
    unsigned i = n;
    struct gpio_list *g = find_line(d, name, true, &i);
    if (!g) {
        no_such_line(d, name, n, true, err);
        return NULL;
    }
    return &g->in[i];
}

bool device_connect_gpio_out(struct device *d, const char *name, unsigned n, struct irq *irq,
                             struct error *err)
{
    unsigned i = n;
    struct gpio_list *g = find_line(d, name, false, &i);
    if (!g)
        return no_such_line(d, name, n, false, err);
    struct irq **line = &g->out[i];
    if (irq && *line && *line != irq)
        return error_set(err,
                         "output %u of line '%s' of %s drives another line already; a splitter "
                         "device drives several",
                         n, name, device_name(d));
    if (!irq)
        irq_lower(*line);
    *line = irq;
    return true;
}

static void disconnect_from(struct machine *m, const struct gpio_list *inputs)
{
    for (struct device *d = m->devices; d; d = d->next)
        for (struct gpio_list *g = d->gpios; g; g = g->next)
            for (unsigned i = 0; g->out && i < g->count; i++)
                if (g->out[i] >= inputs->in && g->out[i] < inputs->in + inputs->count)
                    g->out[i] = NULL;
}

static void bury(struct machine *m, struct gpio_list *inputs)
{
    disconnect_from(m, inputs);
    for (unsigned i = 0; i < inputs->count; i++)
        irq_init(&inputs->in[i], NULL, NULL, inputs->in[i].n);
    inputs->next = m->dead_lines;
    m->dead_lines = inputs;
}

void gpios_drop(struct device *d, bool all)
{
    for (struct gpio_list *g = d->gpios; g; g = g->next)
        for (unsigned i = 0; g->out && i < g->count; i++)
            irq_lower(g->out[i]);
    for (struct gpio_list **at = &d->gpios; *at;) {
        struct gpio_list *g = *at;
        if (!all && !g->of_realize) {
            at = &g->next;
            continue;
        }
        *at = g->next;
        if (g->in) {
            bury(d->machine, g);
            continue;
        }
        for (unsigned i = 0; i < g->count; i++)
            g->out[i] = NULL;
        free(g->name);
        free(g);
    }
}
