/* The board: see board.h. Built anew for each input, so that one input is one story; that takes a
 * fraction of a millisecond. */
#include "board.h"

uint64_t input_take(struct input *in, unsigned bytes)
{
    uint64_t v = 0;
    for (unsigned i = 0; i < bytes && in->next < in->end; i++)
        v |= (uint64_t)*in->next++ << 8 * i;
    return v;
}

/* ---- memory that changes ---- */

static uint64_t changing_read(void *opaque, uint64_t offset, unsigned size)
{
    return input_take(((struct board *)opaque)->in, size);
}

static void changing_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
}

static const struct region_ops changing_ops = {
    .read = changing_read,
    .write = changing_write,
    .valid = { .min = 1, .max = 8 },
    .impl = { .min = 1, .max = 8 },
};

/* ---- the network's far end ---- */

static bool peer_can_receive(struct net_port *p)
{
    return !((struct board *)p->opaque)->deaf;
}

static void peer_receive(struct net_port *p, const uint8_t *frame, size_t len)
{
    /* Every byte of it must be there. */
    uint8_t sum = 0;
    for (size_t i = 0; i < len; i++)
        sum ^= frame[i];
    __asm__ volatile("" : : "r"(sum));
}

static const struct net_port_ops peer_ops = {
    .kind = "fuzz",
    .can_receive = peer_can_receive,
    .receive = peer_receive,
};

/* ---- building ---- */

struct device *board_add(struct board *b, const char *type, ...)
{
    struct device *d = test_device(b->h->t, type, NULL);
    const char *bus = device_bus_type(d), *name;
    va_list props;
    va_start(props, type);
    while ((name = va_arg(props, const char *)))
        test_set(d, name, va_arg(props, const char *));
    va_end(props);
    bool isa = bus && !strcmp(bus, "ISA"), pci = bus && !strcmp(bus, "PCI");
    test_realize(d, isa ? &b->isa->bus : pci ? &b->pci->bus : NULL);
    return d;
}

static void add_memory(struct board *b)
{
    struct error err = { 0 };
    struct machine *m = b->h->m;
    if (!region_init_ram(&b->ram, m->mem, "pc.ram", BOARD_RAM, &err))
        fail_msg("%s", err.text);
    region_init_alias(&b->below_4g, m->mem, "ram-below-4g", &b->ram, 0, BOARD_RAM);
    region_init_io(&b->changing, m->mem, "changing", BOARD_CHANGING_SIZE, &changing_ops, b);
    region_add(&m->system, 0, &b->below_4g, 0);
    region_add(&m->system, BOARD_CHANGING, &b->changing, 1);
}

static void add_bridges(struct board *b)
{
    struct error err = { 0 };
    struct prop_value ram = { .type = VALUE_OBJECT, .object = &b->ram };
    b->host = test_device(b->h->t, "i440FX-pcihost", NULL);
    if (!device_set_prop(b->host, "ram", ram, &err))
        fail_msg("%s", err.text);
    hw_start(b->h, b->host);
    b->pci = (struct pci_bus *)b->host->buses[0];
    b->south = board_add(b, "PIIX3", "addr", "01.0", NULL);
    b->isa = (struct isa_bus *)b->south->buses[0];
}

static void add_interrupts(struct board *b)
{
    struct error err = { 0 };
    struct device *slave = board_add(b, "isa-i8259", "iobase", "0xa0", "elcr_addr", "0x4d1",
                                     "elcr_mask", "0xde", "master", "false", NULL);
    b->pic = test_device(b->h->t, "isa-i8259", NULL);
    hw_link(b->pic, "slave", slave);
    hw_start(b->h, b->pic);
    hw_connect(slave, "", 0, hw_input(b->pic, "", 2));
    b->ioapic = board_add(b, "ioapic", NULL);
    assert_true(sysbus_map((struct sysbus_device *)b->ioapic, 0, BOARD_IOAPIC, 0, &err));
    b->splitter = board_add(b, "irq-splitter", "num-lines", "16", NULL);
    for (unsigned i = 0; i < ISA_IRQS; i++) {
        if (i == 2)
            continue;
        hw_connect(b->south, "isa-irq", i, hw_input(b->splitter, "", i));
        hw_connect(b->splitter, "a", i, hw_input(i < 8 ? b->pic : slave, "", i & 7));
        hw_connect(b->splitter, "b", i, hw_input(b->ioapic, "", i ? i : 2));
    }
    for (unsigned i = 0; i < FAKE_CPUS; i++) {
        b->apic[i] = test_device(b->h->t, "apic", NULL);
        test_set(b->apic[i], "cpu", i ? "1" : "0");
        if (!i)
            hw_link(b->apic[i], "extint", b->pic);
        hw_start(b->h, b->apic[i]);
    }
    hw_connect(b->pic, "", 0, hw_input(b->apic[0], "lint", 0));
}

struct board *board_new(const struct target *t, struct input *in)
{
    struct error err = { 0 };
    struct board *b = calloc(1, sizeof *b);
    assert_non_null(b);
    *b = (struct board){ .h = hw_new(), .target = t, .in = in };
    b->chr = chardev_ring_new("ring0", 256, NULL);
    b->net = net_new(&b->h->m->virtual);
    b->hub = net_hub_new(b->net, "hub0", &err);
    b->peer = (struct net_port){ .ops = &peer_ops, .opaque = b };
    assert_true(net_port_add(b->net, &b->peer, "peer", &err));
    assert_non_null(net_link_new(b->net, &b->peer, net_hub_add_port(b->hub, &err), NULL, &err));
    mem_begin(b->h->m->mem);
    add_memory(b);
    add_bridges(b);
    add_interrupts(b);
    if (t->add)
        t->add(b);
    mem_commit(b->h->m->mem);
    return b;
}

void board_free(struct board *b)
{
    struct machine *m = b->h->m;
    mem_begin(m->mem);
    while (m->devices) {
        struct device *last = m->devices;
        while (last->next)
            last = last->next;
        device_free(last);
    }
    region_fini(&b->changing);
    region_fini(&b->below_4g);
    region_fini(&b->ram);
    mem_commit(m->mem);
    net_port_remove(&b->peer);
    net_free(b->net);
    hw_free(b->h);
    chardev_free(b->chr);
    free(b);
}

/* ---- configuration space ---- */

static void config_select(struct board *b, unsigned devfn, unsigned offset)
{
    address_space_store(b->h->m->io, 0xcf8, 4, 0x80000000u | devfn << 8 | (offset & 0xfc));
}

void board_config_write(struct board *b, unsigned devfn, unsigned offset, unsigned size,
                        uint32_t value)
{
    config_select(b, devfn, offset);
    address_space_store(b->h->m->io, 0xcfc + (offset & 3), size, value);
}

uint32_t board_config_read(struct board *b, unsigned devfn, unsigned offset, unsigned size)
{
    uint64_t v = 0;
    config_select(b, devfn, offset);
    address_space_load(b->h->m->io, 0xcfc + (offset & 3), size, &v);
    return (uint32_t)v;
}
