/* The PCI core: slots, BAR sizing and moving, bus mastering, interrupt pins, reset. */
#include "dev/pci.h"

#include "test_machine.h"

struct host {
    struct device dev;
    struct pci_bus bus;
    struct region space;
    bool level[PCI_PINS];
    unsigned changes;
};

static bool host_realize(struct device *d, struct error *err)
{
    struct host *h = (struct host *)d;
    region_init_container(&h->space, d->machine->mem, "pci", REGION_SIZE_ALL);
    region_add(&d->machine->system, 0, &h->space, -1);
    pci_bus_init(&h->bus, "pci.0", d, &h->space, &d->machine->io_ports);
    return true;
}

static void host_unrealize(struct device *d)
{
    struct host *h = (struct host *)d;
    pci_bus_fini(&h->bus);
    region_fini(&h->space);
}

static const struct device_type host_type = {
    .name = "host",
    .parent = "device",
    .instance_size = sizeof(struct host),
    .realize = host_realize,
    .unrealize = host_unrealize,
};

/* A card with one BAR of each kind. */
struct card {
    struct pci_device pci;
    struct region mem, wide, io;
    unsigned config_writes;
    bool fail;
};

static uint64_t card_read(void *opaque, uint64_t offset, unsigned size)
{
    return 0x11 * ((struct card *)opaque)->pci.devfn;
}

static void card_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
}

static const struct region_ops card_ops = { .read = card_read, .write = card_write };

static bool card_realize(struct device *d, struct error *err)
{
    struct card *c = (struct card *)d;
    if (c->fail)
        return error_set(err, "a card that fails");
    struct mem *mem = d->machine->mem;
    region_init_io(&c->mem, mem, "card-mem", 0x1000, &card_ops, c);
    region_init_io(&c->wide, mem, "card-wide", 0x10000, &card_ops, c);
    region_init_io(&c->io, mem, "card-io", 0x40, &card_ops, c);
    pci_register_bar(&c->pci, 0, PCI_BAR_MEM32, &c->mem);
    pci_register_bar(&c->pci, 1, PCI_BAR_IO, &c->io);
    pci_register_bar(&c->pci, 2, PCI_BAR_MEM64, &c->wide);
    return true;
}

static void card_unrealize(struct device *d)
{
    struct card *c = (struct card *)d;
    region_fini(&c->mem);
    region_fini(&c->wide);
    region_fini(&c->io);
}

static void card_config_written(struct pci_device *d, unsigned offset, uint32_t value,
                                unsigned size)
{
    ((struct card *)d)->config_writes++;
}

static const struct pci_class card_class = {
    .vendor = 0x8086,
    .device = 0x100e,
    .subsystem_vendor = 0x1af4,
    .subsystem = 0x1100,
    .revision = 3,
    .class_id = 0x0200,
    .interrupt_pin = 1,
    .config_written = card_config_written,
};

static const struct prop card_props[] = {
    PROP(PROP_BOOL, struct card, fail, "fail", NULL, "refuse to be realized"),
    PROP_END,
};

static const struct device_type card_type = {
    .name = "card",
    .parent = "pci-device",
    .instance_size = sizeof(struct card),
    .props = card_props,
    .realize = card_realize,
    .unrealize = card_unrealize,
    .class_data = (void *)&card_class,
};

static const struct device_type classless_type = {
    .name = "classless",
    .parent = "pci-device",
    .instance_size = sizeof(struct pci_device),
};

static const struct device_type *const types[] = { &host_type, &card_type, &classless_type, NULL };

static struct test_machine *t;
static struct host *host;
static struct error err;

static int setup(void **state)
{
    t = test_machine_new(types);
    host = (struct host *)test_device(t, "host", NULL);
    test_realize(&host->dev, NULL);
    err = (struct error){ 0 };
    return 0;
}

static int teardown(void **state)
{
    test_machine_free(t);
    return 0;
}

static struct card *new_card(const char *addr)
{
    struct card *c = (struct card *)test_device(t, "card", NULL);
    if (addr)
        test_set(&c->pci.dev, "addr", addr);
    return c;
}

static struct card *add_card(const char *addr)
{
    struct card *c = new_card(addr);
    test_realize(&c->pci.dev, &host->bus.bus);
    return c;
}

static void command(struct card *c, unsigned bits)
{
    pci_config_write(&c->pci, PCI_COMMAND, bits, 2);
}

static void set_bar(struct card *c, unsigned n, uint32_t value)
{
    pci_config_write(&c->pci, PCI_BAR0 + 4 * n, value, 4);
}

static uint32_t bar(struct card *c, unsigned n)
{
    return pci_config_read(&c->pci, PCI_BAR0 + 4 * n, 4);
}

/* The region that the cpu sees at `addr`, or NULL. */
static const struct region *seen(struct address_space *as, uint64_t addr)
{
    const struct flat_range *r = flatview_lookup(address_space_view(as), addr);
    return r ? r->region : NULL;
}

/* ---- the header ---- */

static void test_header(void **state)
{
    struct card *c = new_card("03.0");
    c->pci.multifunction = true;
    test_realize(&c->pci.dev, &host->bus.bus);
    struct pci_device *d = &c->pci;
    assert_int_equal(pci_config_read(d, 0, 4), 0x100e8086);
    assert_int_equal(pci_config_read(d, PCI_CLASS_DEVICE, 2), 0x0200);
    assert_int_equal(pci_config_read(d, PCI_REVISION_ID, 1), 3);
    assert_int_equal(pci_config_read(d, PCI_SUBSYSTEM_VENDOR_ID, 4), 0x11001af4);
    assert_int_equal(pci_config_read(d, PCI_HEADER_TYPE, 1), PCI_HEADER_MULTIFUNCTION);
    assert_int_equal(pci_config_read(d, PCI_INTERRUPT_PIN, 1), 1);
    pci_config_write(d, 0, 0, 4);
    pci_config_write(d, PCI_INTERRUPT_LINE, 0xff0b, 2);
    assert_int_equal(pci_config_read(d, 0, 4), 0x100e8086);
    assert_int_equal(pci_config_read(d, PCI_INTERRUPT_LINE, 2), 0x010b);
    pci_config_write(d, PCI_COMMAND, 0xffffffff, 4);
    assert_int_equal(pci_config_read(d, PCI_COMMAND, 2), 0x0547);
    assert_int_equal(c->config_writes, 3);
    st_le16(d->config + PCI_STATUS, 0xf900);
    pci_config_write(d, PCI_STATUS, 0x8000, 2);
    assert_int_equal(pci_config_read(d, PCI_STATUS, 2), 0x7900);
}

static void test_nobody_there(void **state)
{
    assert_null(pci_find(&host->bus, PCI_DEVFN(9, 0)));
    assert_null(pci_find(&host->bus, -1));
    assert_null(pci_find(&host->bus, 256));
    assert_int_equal(pci_config_read(NULL, 0, 4), 0xffffffff);
    assert_int_equal(pci_config_read(NULL, 0, 2), 0xffff);
    assert_int_equal(pci_config_read(NULL, 0, 1), 0xff);
    pci_config_write(NULL, 0, 0, 4);
    struct card *c = add_card(NULL);
    assert_int_equal(pci_config_read(&c->pci, 254, 4), 0xffffffff);
    assert_int_equal(pci_config_read(&c->pci, UINT32_MAX, 4), 0xffffffff);
    pci_config_write(&c->pci, 0xfffffffe, 0, 4);
}

/* ---- slots ---- */

static void test_slots(void **state)
{
    struct card *two = add_card("02.0"), *first = add_card(NULL), *next = add_card(NULL);
    assert_int_equal(first->pci.devfn, PCI_DEVFN(1, 0));
    assert_int_equal(next->pci.devfn, PCI_DEVFN(3, 0));
    assert_ptr_equal(pci_find(&host->bus, PCI_DEVFN(2, 0)), &two->pci);
    char *addr = host->bus.bus.device_address(&next->pci.dev);
    assert_string_equal(addr, "03.0");
    free(addr);
    struct card *clash = new_card("02.0");
    assert_false(device_realize(&clash->pci.dev, &host->bus.bus, &err));
    assert_contains(err.text, "slot 02.0");
    assert_contains(err.text, "taken by /machine/unattached/card[0]");
    device_unrealize(&first->pci.dev);
    assert_int_equal(first->pci.devfn, -1);
    assert_null(pci_find(&host->bus, PCI_DEVFN(1, 0)));
    assert_int_equal(add_card(NULL)->pci.devfn, PCI_DEVFN(1, 0));
}

static void test_bus_full(void **state)
{
    for (int slot = 1; slot < PCI_SLOTS; slot++)
        add_card(NULL);
    struct card *c = new_card(NULL);
    assert_false(device_realize(&c->pci.dev, &host->bus.bus, &err));
    assert_contains(err.text, "all slots of bus 'pci.0' are taken");
}

static void test_functions(void **state)
{
    add_card("04.0");
    struct card *c = new_card("04.1");
    assert_false(device_realize(&c->pci.dev, &host->bus.bus, &err));
    assert_contains(err.text, "multifunction=true");
    add_card("05.2"); /* before its function 0 */
    struct card *zero = new_card("05.0");
    assert_false(device_realize(&zero->pci.dev, &host->bus.bus, &err));
    assert_contains(err.text, "must have multifunction=true");
    test_set(&zero->pci.dev, "multifunction", "on");
    test_realize(&zero->pci.dev, &host->bus.bus);
    add_card("05.7");
}

static void test_failed_realize_frees_the_slot(void **state)
{
    struct card *c = new_card(NULL);
    test_set(&c->pci.dev, "fail", "on");
    assert_false(device_realize(&c->pci.dev, &host->bus.bus, &err));
    assert_int_equal(c->pci.devfn, -1);
    assert_null(c->pci.dma);
    assert_null(pci_find(&host->bus, PCI_DEVFN(1, 0)));
    struct device *none = test_device(t, "classless", NULL);
    assert_false(device_realize(none, &host->bus.bus, &err));
    assert_contains(err.text, "PCI vendor");
}

/* ---- BARs ---- */

static void test_bar_sizing(void **state)
{
    struct card *c = add_card(NULL);
    command(c, PCI_COMMAND_IO | PCI_COMMAND_MEMORY);
    for (unsigned n = 0; n < PCI_BARS; n++)
        set_bar(c, n, 0xffffffff);
    assert_int_equal(bar(c, 0), 0xfffff000);
    assert_int_equal(bar(c, 1), 0xffffffc1);
    assert_int_equal(bar(c, 2), 0xffff0004);
    assert_int_equal(bar(c, 3), 0xffffffff);
    assert_int_equal(bar(c, 4), 0);
    assert_int_equal(bar(c, 5), 0);
    for (unsigned n = 0; n < 3; n++)
        assert_true(c->pci.bars[n].addr == UINT64_MAX); /* sizing maps nothing */
}

static void test_bars_move(void **state)
{
    struct card *c = add_card(NULL);
    set_bar(c, 0, 0xfebc0000);
    set_bar(c, 1, 0xc000);
    set_bar(c, 2, 0);
    set_bar(c, 3, 0x40);
    assert_null(seen(t->m.memory, 0xfebc0000)); /* not enabled yet */
    command(c, PCI_COMMAND_MEMORY);
    assert_ptr_equal(seen(t->m.memory, 0xfebc0fff), &c->mem);
    assert_ptr_equal(seen(t->m.memory, 0x4000000000), &c->wide);
    assert_ptr_equal(seen(t->m.io, 0xc000), &t->m.io_ports);
    assert_int_equal(c->mem.priority, 1);
    command(c, PCI_COMMAND_MEMORY | PCI_COMMAND_IO);
    assert_ptr_equal(seen(t->m.io, 0xc03f), &c->io);
    uint64_t commits = mem_stats(t->m.mem)->commits;
    set_bar(c, 0, 0xfd000abc); /* the low bits are not there */
    assert_int_equal(mem_stats(t->m.mem)->commits, commits + 1);
    assert_null(seen(t->m.memory, 0xfebc0000));
    assert_ptr_equal(seen(t->m.memory, 0xfd000000), &c->mem);
    pci_config_write(&c->pci, PCI_BAR0 + 3, 0xfe, 1); /* byte by byte works too */
    assert_ptr_equal(seen(t->m.memory, 0xfe000000), &c->mem);
    command(c, 0);
    assert_null(seen(t->m.memory, 0xfe000000));
    assert_ptr_equal(seen(t->m.io, 0xc000), &t->m.io_ports);
}

static void test_bars_in_odd_places(void **state)
{
    struct card *c = add_card(NULL);
    command(c, PCI_COMMAND_IO | PCI_COMMAND_MEMORY);
    assert_null(seen(t->m.memory, 0));
    assert_ptr_equal(seen(t->m.io, 0), &t->m.io_ports);
    set_bar(c, 0, 0xfffff000); /* would end at the last address */
    assert_null(seen(t->m.memory, 0xfffff000));
    set_bar(c, 0, 0xffffe000);
    assert_ptr_equal(seen(t->m.memory, 0xffffe000), &c->mem);
    set_bar(c, 1, 0x10000); /* beyond the I/O space */
    assert_true(c->pci.bars[1].addr == UINT64_MAX);
    set_bar(c, 1, 0xffc0);
    assert_true(c->pci.bars[1].addr == UINT64_MAX);
    set_bar(c, 1, 0xff80);
    assert_ptr_equal(seen(t->m.io, 0xffbf), &c->io);
    set_bar(c, 2, 0xffff0000); /* straddles nothing: naturally aligned, up to 4 GiB */
    assert_ptr_equal(seen(t->m.memory, 0xffffffff), &c->wide);
    set_bar(c, 3, 0xffffffff); /* the end of 2^64 */
    assert_true(c->pci.bars[2].addr == UINT64_MAX);
}

static void test_bars_over_ram_and_each_other(void **state)
{
    struct region ram = { 0 };
    assert_true(region_init_ram(&ram, t->m.mem, "ram", 0x100000, &err));
    region_add(&t->m.system, 0, &ram, 0);
    struct card *c = add_card(NULL), *d = add_card(NULL);
    command(c, PCI_COMMAND_MEMORY);
    command(d, PCI_COMMAND_MEMORY);
    set_bar(c, 0, 0x8000);
    assert_ptr_equal(seen(t->m.memory, 0x8000), &ram); /* RAM answers first */
    set_bar(c, 0, 0xe0000000);
    set_bar(d, 0, 0xe0000000);
    uint64_t v = 0;
    address_space_load(t->m.memory, 0xe0000000, 1, &v);
    assert_int_equal(v, (uint8_t)(0x11 * d->pci.devfn)); /* one of the two, the one mapped last */
    set_bar(d, 0, 0xe0001000);
    assert_ptr_equal(seen(t->m.memory, 0xe0000000), &c->mem);
    assert_ptr_equal(seen(t->m.memory, 0xe0001000), &d->mem);
    region_fini(&ram);
}

/* ---- bus mastering ---- */

static void test_dma(void **state)
{
    struct region ram = { 0 };
    assert_true(region_init_ram(&ram, t->m.mem, "ram", 0x10000, &err));
    region_add(&t->m.system, 0, &ram, 0);
    struct card *c = add_card(NULL);
    assert_string_equal(address_space_name(c->pci.dma), "card");
    assert_string_equal(address_space_root(c->pci.dma)->name, "bus master container");
    uint32_t word = 0x12345678, got = 0;
    assert_int_equal(address_space_write(c->pci.dma, 0x100, &word, 4), MEM_UNASSIGNED);
    assert_int_equal(ld_le32(ram.host + 0x100), 0);
    command(c, PCI_COMMAND_MASTER);
    assert_int_equal(address_space_write(c->pci.dma, 0x100, &word, 4), MEM_OK);
    assert_int_equal(ld_le32(ram.host + 0x100), 0x12345678);
    assert_int_equal(address_space_read(c->pci.dma, 0x100, &got, 4), MEM_OK);
    assert_int_equal(got, word);
    command(c, 0);
    got = 0;
    assert_int_equal(address_space_read(c->pci.dma, 0x100, &got, 4), MEM_UNASSIGNED);
    assert_int_equal(got, 0xffffffff);
    region_fini(&ram);
}

/* ---- interrupt pins ---- */

static int rotation; /* of the routes */

static int route(struct pci_device *d, int pin)
{
    return (PCI_SLOT(d->devfn) + pin + rotation) & 3;
}

static void host_irq(void *opaque, int irq, bool level)
{
    struct host *h = opaque;
    h->changes += h->level[irq] != level;
    h->level[irq] = level;
}

static bool only(int irq)
{
    for (int i = 0; i < PCI_PINS; i++)
        if (host->level[i] != (i == irq))
            return false;
    return true;
}

static void test_intx_is_wired_or(void **state)
{
    rotation = 0;
    pci_bus_set_irqs(&host->bus, host_irq, route, host);
    struct card *a = add_card("01.0"), *b = add_card("05.0"); /* both on irq 1 */
    pci_set_irq(&a->pci, true);
    pci_set_irq(&a->pci, true);
    pci_set_irq(&b->pci, true);
    assert_int_equal(host->changes, 1);
    assert_int_equal(host->bus.pin_count[1], 2);
    pci_set_irq(&a->pci, false);
    assert_true(only(1));
    assert_int_equal(pci_config_read(&b->pci, PCI_STATUS, 2) & PCI_STATUS_INTERRUPT,
                     PCI_STATUS_INTERRUPT);
    command(b, PCI_COMMAND_INTX_DISABLE);
    assert_true(only(-1));
    assert_int_equal(pci_config_read(&b->pci, PCI_STATUS, 2) & PCI_STATUS_INTERRUPT,
                     PCI_STATUS_INTERRUPT); /* the status tells what the device wants */
    command(b, 0);
    assert_true(only(1));
    device_unrealize(&b->pci.dev);
    assert_true(only(-1));
    assert_int_equal(host->bus.pin_count[1], 0);
}

static void test_rerouting(void **state)
{
    rotation = 0;
    struct card *c = add_card("02.0");
    pci_set_irq(&c->pci, true); /* nobody listens yet */
    pci_bus_set_irqs(&host->bus, host_irq, route, host);
    assert_true(only(2));
    rotation = 1;
    pci_bus_irqs_rerouted(&host->bus);
    assert_true(only(3));
    pci_set_irq(&c->pci, false);
    assert_true(only(-1));
}

static void test_router_leaves(void **state)
{
    rotation = 0;
    pci_bus_set_irqs(&host->bus, host_irq, route, host);
    struct card *c = add_card("02.0");
    pci_set_irq(&c->pci, true);
    pci_bus_set_irqs(&host->bus, NULL, NULL, NULL);
    assert_true(only(-1));
    pci_set_irq(&c->pci, false);
    pci_set_irq(&c->pci, true);
    pci_bus_set_irqs(&host->bus, host_irq, route, host);
    assert_true(only(2));
}

/* Whatever a guest writes, a BAR is mapped where its register says or not at all. */
static void check_bars(struct card *c)
{
    static const unsigned enables[] = { PCI_COMMAND_MEMORY, PCI_COMMAND_IO, PCI_COMMAND_MEMORY };
    unsigned enabled = pci_config_read(&c->pci, PCI_COMMAND, 2);
    for (unsigned n = 0; n < 3; n++) {
        const struct pci_bar *b = &c->pci.bars[n];
        if (b->addr == UINT64_MAX) {
            assert_null(b->region->parent);
            continue;
        }
        uint64_t said = bar(c, n) & ~(b->size - 1);
        if (n == 2)
            said |= (uint64_t)bar(c, 3) << 32;
        assert_true(enabled & enables[n]);
        assert_true(b->addr == said && said != 0 && said % b->size == 0);
        assert_non_null(b->region->parent);
        assert_true(b->region->addr == said);
    }
    assert_true(c->pci.bus_master.enabled == !!(enabled & PCI_COMMAND_MASTER));
}

static void test_random_config_writes(void **state)
{
    struct card *cards[2] = { add_card(NULL), add_card(NULL) };
    unsigned mapped = 0;
    uint64_t seed = 42;
    for (int i = 0; i < 20000; i++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        struct card *c = cards[seed >> 60 & 1];
        unsigned size = 1u << (seed >> 40) % 3;
        /* Mostly the command and the BARs, sometimes anything, in range or not. */
        unsigned offset = seed >> 56 & 1 ? PCI_BAR0 + (seed >> 48) % 24 : PCI_COMMAND;
        if ((seed >> 50) % 8 == 0)
            offset = (unsigned)(seed >> 20) % 300;
        pci_config_write(&c->pci, offset, (uint32_t)(seed >> 16), size);
        check_bars(cards[0]);
        check_bars(cards[1]);
        mapped += c->pci.bars[0].addr != UINT64_MAX;
    }
    assert_true(mapped > 1000);
    machine_reset_devices(&t->m);
    for (unsigned n = 0; n < 3; n++)
        assert_true(cards[0]->pci.bars[n].addr == UINT64_MAX);
}

static void test_reset(void **state)
{
    rotation = 0;
    pci_bus_set_irqs(&host->bus, host_irq, route, host);
    struct card *c = add_card("03.0");
    set_bar(c, 0, 0xfebc0000);
    set_bar(c, 1, 0xc000);
    pci_config_write(&c->pci, PCI_INTERRUPT_LINE, 11, 1);
    command(c, PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
    pci_set_irq(&c->pci, true);
    assert_true(only(3));
    machine_reset_devices(&t->m);
    assert_true(only(-1));
    assert_int_equal(pci_config_read(&c->pci, PCI_COMMAND, 4), 0);
    assert_int_equal(bar(c, 0), 0);
    assert_int_equal(bar(c, 1), 1);
    assert_int_equal(bar(c, 2), 4);
    assert_int_equal(pci_config_read(&c->pci, PCI_INTERRUPT_LINE, 2), 0x0100);
    assert_null(seen(t->m.memory, 0xfebc0000));
    assert_int_equal(pci_config_read(&c->pci, 0, 4), 0x100e8086);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_header),
        TEST(test_nobody_there),
        TEST(test_slots),
        TEST(test_bus_full),
        TEST(test_functions),
        TEST(test_failed_realize_frees_the_slot),
        TEST(test_bar_sizing),
        TEST(test_bars_move),
        TEST(test_bars_in_odd_places),
        TEST(test_bars_over_ram_and_each_other),
        TEST(test_dma),
        TEST(test_intx_is_wired_or),
        TEST(test_rerouting),
        TEST(test_router_leaves),
        TEST(test_random_config_writes),
        TEST(test_reset),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
