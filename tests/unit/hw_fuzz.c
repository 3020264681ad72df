/* A guest that writes anything anywhere: no access to the chips may crash, hang or confuse the
 * machine for good. Runs from a fixed seed; after it a reset must give every chip its usual face.
 */
#include "char/chardev.h"
#include "dev/sysbus.h"
#include "hw_fixture.h"

enum { ROUNDS = 1000000, IOAPIC = 0xfec00000, HPET = 0xfed00000, APIC = 0xfee00000 };

static uint64_t seed = 0x9e3779b97f4a7c15;

static uint64_t next_random(void) /* xorshift64 */
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed;
}

static const uint16_t ports[] = { 0x20,  0x21,  0xa0,  0xa1,  0x4d0, 0x4d1,  0x40,  0x41,
                                  0x42,  0x43,  0x61,  0x60,  0x64,  0x70,   0x71,  0x80,
                                  0x92,  0xf4,  0x3f8, 0x3f9, 0x3fa, 0x3fb,  0x3fc, 0x3fd,
                                  0x3fe, 0x3ff, 0xe0,  0xe4,  0xe9,  0x2005, 0x2010 };

struct board {
    struct hw *h;
    struct chardev *chr;
    struct device *master, *slave, *pit, *apic[FAKE_CPUS];
};

static struct device *add(struct hw *h, const char *type, const char *name, const char *value)
{
    struct device *d = test_device(h->t, type, NULL);
    if (name)
        test_set(d, name, value);
    return d;
}

static void build(struct board *b)
{
    struct error err = { 0 };
    struct hw *h = b->h = hw_new();
    b->slave = add(h, "isa-i8259", "iobase", "0xa0");
    test_set(b->slave, "elcr_addr", "0x4d1");
    hw_start(h, b->slave);
    b->master = add(h, "isa-i8259", NULL, NULL);
    hw_link(b->master, "slave", b->slave);
    hw_start(h, b->master);
    hw_connect(b->slave, "", 0, hw_input(b->master, "", 2));
    struct device *io = hw_device(h, "ioapic");
    assert_true(sysbus_map((struct sysbus_device *)io, 0, IOAPIC, 0, &err));
    struct device *hpet = add(h, "hpet", "msi", "true");
    hw_start(h, hpet);
    assert_true(sysbus_map((struct sysbus_device *)hpet, 0, HPET, 0, &err));
    for (unsigned i = 16; i < 24; i++)
        hw_connect(hpet, "", i, hw_input(io, "", i));
    struct device *split = add(h, "irq-splitter", "num-lines", "16");
    hw_start(h, split);
    for (unsigned i = 0; i < ISA_IRQS; i++) {
        h->isa.irqs[i] = hw_input(split, "", i);
        if (i != 2)
            hw_connect(split, "a", i, hw_input(i < 8 ? b->master : b->slave, "", i & 7));
        hw_connect(split, "b", i, hw_input(io, "", i ? i : 2));
    }
    for (unsigned i = 0; i < FAKE_CPUS; i++) {
        b->apic[i] = add(h, "apic", "cpu", i ? "1" : "0");
        if (!i)
            hw_link(b->apic[i], "extint", b->master);
        hw_start(h, b->apic[i]);
    }
    hw_connect(b->master, "", 0, hw_input(b->apic[0], "lint", 0));
    b->pit = hw_device(h, "isa-pit");
    hw_connect(b->pit, "", 0, hw_input(split, "", 0));
    struct device *spk = add(h, "isa-pcspk", NULL, NULL);
    hw_link(spk, "pit", b->pit);
    hw_start(h, spk);
    struct device *com = add(h, "isa-serial", NULL, NULL);
    hw_link(com, "chardev", (struct device *)b->chr);
    hw_start(h, com);
    static const char *const rest[] = { "mc146818rtc",    "i8042",        "port92", "ioport80",
                                        "isa-debug-exit", "isa-debugcon", "testdev" };
    for (unsigned i = 0; i < ARRAY_LEN(rest); i++)
        hw_device(h, rest[i]);
}

/* A short step mostly; long ones only sometimes, as fast periodic timers make many events. */
static void pass_time(struct board *b)
{
    b->h->t->now += next_random() % (next_random() % 64 ? 5000 : 3000000000);
    clock_run(&b->h->m->virtual);
}

static void touch(struct board *b)
{
    struct hw *h = b->h;
    uint64_t r = next_random(), v;
    struct fake_cpu *c = &h->cpus[r & 1];
    h->m->current_cpu = r & 2 ? &c->port : NULL;
    unsigned size = 1u << (r >> 2 & 3);
    uint16_t port = ports[(r >> 8) % ARRAY_LEN(ports)];
    uint64_t mmio = (r >> 16 & 1 ? IOAPIC : APIC) + (r >> 20 & (r >> 17 & 1 ? 0xff0 : 0x1fff));
    if (!(r >> 32 & 3))
        mmio = HPET + (r >> 20 & 0x3f8);
    switch (r >> 4 & 7) {
    case 0:
        address_space_load(h->m->io, port, size, &v);
        break;
    case 1:
    case 2:
        address_space_store(h->m->io, port, size, next_random());
        break;
    case 3:
        address_space_load(h->m->memory, mmio, size, &v);
        break;
    case 4:
        address_space_store(h->m->memory, mmio, size, next_random());
        break;
    case 5:
        if (c->intr)
            assert_in_range(hw_acknowledge(c) + 1, 0, 256); /* -1: none after all */
        break;
    case 6:
        v = next_random();
        if (r >> 32 & 1)
            c->port.apic_ops->write_msr(c->port.apic, 0x800 + (r >> 40 & 0x3f), v & 0xcffff);
        else
            c->port.apic_ops->set_base(c->port.apic, APIC | (v & 0xc00));
        break;
    default:
        chardev_input(b->chr, (const uint8_t *)&r, r >> 60 & 7);
        pass_time(b);
        break;
    }
    h->m->current_cpu = NULL;
}

static void test_random_guest(void **state)
{
    struct board b = { .chr = chardev_ring_new("ring0", 256, NULL) };
    build(&b);
    for (unsigned i = 0; i < ROUNDS; i++)
        touch(&b);
    for (struct device *d = b.h->m->devices; d; d = d->next)
        device_reset(d);
    assert_int_equal(inb(b.h, 0x21), 0);
    assert_int_equal(inb(b.h, 0x4d1), 0);
    assert_int_equal(inb(b.h, 0x3fa), 0x01);
    assert_int_equal(inb(b.h, 0x64) & 0x1f, 0x1c);
    assert_int_equal(inb(b.h, 0x92), 0);
    writel(b.h, IOAPIC, 0x10);
    assert_int_equal(readl(b.h, IOAPIC + 0x10), 0x10000);
    b.h->m->current_cpu = &b.h->cpus[1].port;
    assert_int_equal(readl(b.h, APIC + 0xf0), 0xff);
    b.h->m->current_cpu = NULL;
    assert_false(b.h->cpus[1].intr);
    hw_free(b.h);
    chardev_free(b.chr);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_random_guest) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
