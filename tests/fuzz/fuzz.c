/* What an input says: a byte of options, then steps of a guest, and of the world around it, until
 * it is used up.
 *
 * A step is a byte (kind in the low four bits, the width of an access in the next two) and what
 * that kind takes. What is wrong shows by an assertion, a sanitizer, or a limit of time and memory.
 */
#include "base/log.h"
#include "board.h"

enum { OPTION_WARM = 1 };

static struct window pick(struct board *b, const struct window *list)
{
    unsigned count = 0;
    while (list[count].size)
        count++;
    return count ? list[input_take(b->in, 1) % count] : (struct window){ 0 };
}

static uint64_t pick_address(struct board *b, const struct window *list)
{
    struct window w = pick(b, list);
    return w.first + input_take(b->in, w.size > 256 ? 2 : 1) % (w.size ? w.size : 1);
}

static void step_port(struct board *b, unsigned size, bool write)
{
    uint64_t v, port = pick_address(b, b->target->ports);
    if (write)
        address_space_store(b->h->m->io, port, size, input_take(b->in, size));
    else
        address_space_load(b->h->m->io, port, size, &v);
}

static void step_memory(struct board *b, unsigned size, bool write)
{
    uint64_t v, addr = pick_address(b, b->target->memory);
    if (write)
        address_space_store(b->h->m->memory, addr, size, input_take(b->in, size));
    else
        address_space_load(b->h->m->memory, addr, size, &v);
}

static void step_config(struct board *b, unsigned size)
{
    const uint8_t *list = b->target->functions;
    unsigned which = input_take(b->in, 1), offset = input_take(b->in, 1);
    unsigned devfn = list[which % (list[1] ? 2 : 1)];
    if (which & 0x80)
        board_config_read(b, devfn, offset, size);
    else
        board_config_write(b, devfn, offset, size, input_take(b->in, size));
}

/* Guest memory, as a driver fills it: sixteen bytes and more at multiples of sixteen. */
static void step_ram(struct board *b)
{
    uint32_t at = input_take(b->in, 2) << 4, len = input_take(b->in, 1);
    for (uint32_t i = 0; i < len && b->in->next < b->in->end; i++)
        b->ram.host[(at + i) % BOARD_RAM] = input_take(b->in, 1);
}

static void step_time(struct board *b)
{
    int64_t ns = (int64_t)input_take(b->in, 2) << input_take(b->in, 1) % 16;
    int64_t left = 16 * b->target->step_ns - b->spent;
    ns = ns < b->target->step_ns ? ns : b->target->step_ns;
    ns = ns < left ? ns : left;
    b->spent += ns;
    test_machine_advance(b->h->t, ns);
}

/* A frame from the peer, its end repeated, or bytes on the serial line. */
static void step_outside(struct board *b)
{
    uint8_t bytes[4096];
    unsigned len = input_take(b->in, 2) % sizeof bytes, given = input_take(b->in, 1);
    for (unsigned i = 0; i < len; i++)
        bytes[i] = i < given ? input_take(b->in, 1) : (uint8_t)i;
    net_port_send(&b->peer, bytes, len);
    chardev_input(b->chr, bytes, len);
}

static void step_line(struct board *b)
{
    unsigned v = input_take(b->in, 1), line = v & 15;
    if (line != 2)
        irq_set(hw_input(b->splitter, "", line), v >> 4 & 1);
    if (b->pm && v >> 5 & 1)
        irq_set(hw_input(b->pm, v & 1 ? "power-button" : "gpe", 0), v >> 4 & 1);
}

static void step_cpu(struct board *b)
{
    unsigned v = input_take(b->in, 1);
    struct fake_cpu *c = &b->h->cpus[v & 1];
    uint64_t value;
    if (c->intr && v & 2)
        assert_in_range(hw_acknowledge(c) + 1, 0, 256); /* -1: none after all */
    if (!b->target->msrs)
        return;
    unsigned msr = 0x800 + input_take(b->in, 1);
    if (msr == 0x8ff)
        msr = 0x6e0;
    if (v & 4)
        c->port.apic_ops->write_msr(c->port.apic, msr, input_take(b->in, 8));
    else if (v & 8)
        c->port.apic_ops->read_msr(c->port.apic, msr, &value);
    else if (v & 16)
        c->port.apic_ops->set_base(c->port.apic, BOARD_APIC | input_take(b->in, 2));
    else
        c->port.apic_ops->set_tpr(c->port.apic, v >> 4);
}

static void step_wire(struct board *b)
{
    unsigned v = input_take(b->in, 1);
    struct net_link *l = net_link_next(b->net, NULL);
    for (unsigned skip = v >> 2 & 3; l && skip; skip--)
        l = net_link_next(b->net, l);
    b->deaf = v & 1;
    if (!b->deaf)
        net_port_ready(&b->peer);
    if (l && v & 0x10)
        net_link_set_up(l, v & 2);
}

static void step(struct board *b)
{
    unsigned op = input_take(b->in, 1), size = 1u << (op >> 4 & 3), config = size < 4 ? size : 4;
    b->h->m->current_cpu = &b->h->cpus[op >> 6 & 1].port;
    switch (op & 15) {
    case 0:
    case 1:
        step_port(b, config, op & 1);
        break;
    case 2:
    case 3:
    case 4:
        step_memory(b, size, (op & 15) != 2);
        break;
    case 5:
        step_config(b, config);
        break;
    case 6:
    case 7:
        step_ram(b);
        break;
    case 8:
    case 9:
        step_time(b);
        break;
    case 10:
        step_outside(b);
        break;
    case 11:
        step_line(b);
        break;
    case 12:
        step_cpu(b);
        break;
    case 13:
        step_wire(b);
        break;
    case 14: /* DMA of another master: any address, in one go */
        address_space_store(b->h->m->memory, input_take(b->in, 8), size, input_take(b->in, size));
        break;
    default:
        if (op >> 4 == 15)
            machine_reset_devices(b->h->m);
        break;
    }
    b->h->m->current_cpu = NULL;
    if (b->h->t->requests && b->h->t->last_request == REQUEST_RESET)
        machine_reset_devices(b->h->m);
    b->h->t->requests = 0;
}

void fuzz_one(const struct target *t, const uint8_t *data, size_t size)
{
    struct input in = { data, data + size };
    log_set_level(LOG_ERROR);
    struct board *b = board_new(t, &in);
    machine_reset_devices(b->h->m);
    if (t->map)
        t->map(b);
    if (input_take(&in, 1) & OPTION_WARM && t->warm)
        t->warm(b);
    while (in.next < in.end)
        step(b);
    board_free(b);
}
