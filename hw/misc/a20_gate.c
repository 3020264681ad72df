/* The A20 gate: the inputs (keyboard controller, port 92) are OR-ed, and every cpu's A20M# pin
 * follows.
 *
 * Intel SDM vol. 3, 23.27.3 (address wraparound). While no input is raised, the cpus mask address
 * bit 20. */
#include "base/bits.h"
#include "dev/cpu_port.h"
#include "dev/device.h"
#include "dev/machine.h"

enum { A20_GATE_LINES_MAX = 8 };

struct a20_gate {
    struct device dev;
    uint32_t num_lines;
    uint32_t inputs; /* bit n: level of input n */
};

enum {
    A20_SET,
};

static const struct trace_event a20_gate_events[] = {
    [A20_SET] = { "a20.set", "address line 20 opens or closes", { { "open", TRACE_BOOL } } },
};
struct trace_table a20_gate_trace = TRACE_TABLE(a20_gate_events);

static void a20_gate_drive(struct a20_gate *s)
{
    struct machine *m = s->dev.machine;
    for (unsigned i = 0; i < m->cpu_count; i++) {
        struct cpu_port *p = m->cpus[i];
        if (p && p->pins && p->pins->a20)
            p->pins->a20(p, s->inputs != 0);
    }
}

static void a20_gate_set(void *opaque, int n, bool level)
{
    struct a20_gate *s = opaque;
    bool was = s->inputs != 0;
    s->inputs = (uint32_t)bits_put(s->inputs, n, 1, level);
    if (was == (s->inputs != 0))
        return;
    TRACE(a20_gate_trace, A20_SET, device_source(&s->dev), !was);
    a20_gate_drive(s);
}

static bool a20_gate_realize(struct device *d, struct error *err)
{
    struct a20_gate *s = (struct a20_gate *)d;
    device_init_gpio_in(d, "", a20_gate_set, s->num_lines);
    return true;
}

/* The inputs are wires and keep their levels; the cpus are told again because they start with A20
 * enabled. */
static void a20_gate_reset(struct device *d)
{
    a20_gate_drive((struct a20_gate *)d);
}

static const struct prop a20_gate_props[] = {
    PROP(PROP_U32, struct a20_gate, num_lines, "num-lines", "2", "inputs that are OR-ed", .min = 1,
         .max = A20_GATE_LINES_MAX),
    PROP_END,
};

static const struct state_field a20_gate_state[] = {
    STATE_U32(struct a20_gate, inputs),
    STATE_END,
};

const struct device_type a20_gate_type = {
    .name = "a20-gate",
    .parent = "device",
    .desc = "ORs A20 lines and drives every cpu's A20M# pin",
    .instance_size = sizeof(struct a20_gate),
    .props = a20_gate_props,
    .state = a20_gate_state,
    .realize = a20_gate_realize,
    .reset = a20_gate_reset,
};
