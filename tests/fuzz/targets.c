/* The table of what is fuzzed: a row for each device that a guest can reach. */
#include "board.h"
#include "hw/net/e1000_regs.h"

enum { HPET = 0xfed00000, TESTDEV_MEMORY = 0xff000000 };
enum { NIC0 = PCI_DEVFN(3, 0), NIC1 = PCI_DEVFN(4, 0), PM = PCI_DEVFN(1, 3) };
enum { NIC0_MMIO = 0x10000000, NIC1_MMIO = 0x10020000, NIC0_IO = 0xc000, NIC1_IO = 0xc040 };
enum { NIC_TX_RING = 0x10000, NIC_RX_RING = 0x11000, NIC_BUFFERS = 0x20000, NIC_RING = 32 };
#define FAST 3000000LL /* for what can have a timer of microseconds */

static void add_keyboard(struct board *b)
{
    struct device *keyboard = board_add(b, "i8042", NULL), *port92 = board_add(b, "port92", NULL);
    struct device *gate = board_add(b, "a20-gate", "num-lines", "2", NULL);
    hw_connect(port92, "a20", 0, hw_input(gate, "", 0));
    hw_connect(keyboard, "a20", 0, hw_input(gate, "", 1));
}

static void add_rtc(struct board *b)
{
    board_add(b, "mc146818rtc", NULL);
}

static void add_pit(struct board *b)
{
    struct device *pit = board_add(b, "isa-pit", NULL);
    hw_connect(pit, "", 0, hw_input(b->south, "isa-irq", 0));
    struct device *speaker = test_device(b->h->t, "isa-pcspk", NULL);
    hw_link(speaker, "pit", pit);
    test_realize(speaker, &b->isa->bus);
}

/* With the routes that a PC has, messages too. */
static void add_hpet(struct board *b)
{
    struct error err = { 0 };
    struct device *hpet = board_add(b, "hpet", "msi", "true", NULL);
    assert_true(sysbus_map((struct sysbus_device *)hpet, 0, HPET, 0, &err));
    for (unsigned pin = 16; pin < 24; pin++)
        hw_connect(hpet, "", pin, hw_input(b->ioapic, "", pin));
    hw_connect(hpet, "legacy", 0, hw_input(b->splitter, "", 0));
    hw_connect(hpet, "legacy", 1, hw_input(b->splitter, "", 8));
}

static void add_with_chardev(struct board *b, const char *type)
{
    struct device *d = test_device(b->h->t, type, NULL);
    hw_link(d, "chardev", (struct device *)b->chr);
    test_realize(d, &b->isa->bus);
}

static void add_serial(struct board *b)
{
    add_with_chardev(b, "isa-serial");
}

static void add_debug(struct board *b)
{
    board_add(b, "ioport80", NULL);
    board_add(b, "isa-debug-exit", NULL);
    board_add(b, "isabus-bridge", NULL); /* nothing to access */
    add_with_chardev(b, "isa-debugcon");
}

static void add_testdev(struct board *b)
{
    struct device *d = board_add(b, "testdev", NULL);
    for (unsigned n = 0; n < 24; n++)
        if (n != 2)
            hw_connect(d, "", n, hw_input(n < 16 ? b->splitter : b->ioapic, "", n));
}

static void add_pm(struct board *b)
{
    b->pm = board_add(b, "PIIX4_PM", "addr", "01.3", NULL);
    hw_connect(b->pm, "sci", 0, hw_input(b->south, "isa-irq", 9));
}

static void map_pm(struct board *b)
{
    board_config_write(b, PM, 0x40, 4, 0x600);
    board_config_write(b, PM, 0x80, 1, 1);
    board_config_write(b, PM, PCI_COMMAND, 2, PCI_COMMAND_IO);
}

/* Two cards and the peer on one hub: what one sends the other gets, and their transfers can reach
 * each other's registers. */
static void add_nics(struct board *b)
{
    struct error err = { 0 };
    for (unsigned i = 0; i < 2; i++) {
        struct device *d = test_device(b->h->t, "e1000", i ? "nic1" : "nic0");
        struct prop_value port = { .type = VALUE_OBJECT, .object = net_hub_add_port(b->hub, &err) };
        test_set(d, "addr", i ? "04.0" : "03.0");
        test_set(d, "mac", i ? "52:54:00:12:34:57" : "52:54:00:12:34:56");
        test_set(d, "lossless", i ? "false" : "true");
        if (!device_set_prop(d, "netdev", port, &err))
            fail_msg("%s", err.text);
        test_realize(d, &b->pci->bus);
    }
}

static void map_nics(struct board *b)
{
    for (unsigned i = 0; i < 2; i++) {
        unsigned devfn = i ? NIC1 : NIC0;
        board_config_write(b, devfn, PCI_BAR0, 4, i ? NIC1_MMIO : NIC0_MMIO);
        board_config_write(b, devfn, PCI_BAR0 + 4, 4, i ? NIC1_IO : NIC0_IO);
        board_config_write(b, devfn, PCI_COMMAND, 2,
                           PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
    }
}

static void warm_nics(struct board *b)
{
    static const struct {
        uint32_t reg, value;
    } driver[] = {
        { E1000_CTRL, E1000_CTRL_SLU | E1000_CTRL_ASDE },
        { E1000_TDBAL, NIC_TX_RING },
        { E1000_TDLEN, NIC_RING * 16 },
        { E1000_RDBAL, NIC_RX_RING },
        { E1000_RDLEN, NIC_RING * 16 },
        { E1000_IMS, 0xffff },
        { E1000_TCTL, E1000_TCTL_EN | E1000_TCTL_PSP },
        { E1000_RCTL, E1000_RCTL_EN | E1000_RCTL_UPE | E1000_RCTL_MPE | E1000_RCTL_BAM },
        { E1000_RDT, NIC_RING - 1 },
    };
    for (unsigned nic = 0; nic < 2; nic++) {
        uint32_t rings = nic * 0x2000, mmio = nic ? NIC1_MMIO : NIC0_MMIO;
        for (unsigned i = 0; i < NIC_RING; i++)
            st_le64(b->ram.host + NIC_RX_RING + rings + 16 * i, NIC_BUFFERS + i * 0x1000);
        for (unsigned i = 0; i < ARRAY_LEN(driver); i++) {
            bool ring = driver[i].reg == E1000_TDBAL || driver[i].reg == E1000_RDBAL;
            writel(b->h, mmio + driver[i].reg, driver[i].value + (ring ? rings : 0));
        }
    }
    test_machine_advance(b->h->t, 200000000); /* the link comes up */
}

/* Firmware's work: the RAM behind the segments below 1 MiB. */
static void map_host(struct board *b)
{
    for (unsigned pam = 0x59; pam < 0x60; pam++)
        board_config_write(b, 0, pam, 1, 0x33);
}

const struct target targets[] = {
    { "serial", add_serial, .ports = { { 0x3f8, 8 } }, .step_ns = 100000000 },
    { "i8042", add_keyboard, .ports = { { 0x60, 1 }, { 0x64, 1 }, { 0x92, 1 } }, .step_ns = FAST },
    { "mc146818", add_rtc, .ports = { { 0x70, 2 } }, .step_ns = 2 * NS_PER_SECOND },
    { "i8254", add_pit, .ports = { { 0x40, 4 }, { 0x61, 1 } }, .step_ns = FAST },
    { "i8259", .ports = { { 0x20, 2 }, { 0xa0, 2 }, { 0x4d0, 2 } },
      .memory = { { BOARD_APIC, 0x400 } }, .step_ns = FAST },
    { "apic", .memory = { { BOARD_APIC, 0x400 }, { BOARD_IOAPIC, 0x20 } }, .msrs = true,
      .step_ns = FAST },
    { "ioapic", .ports = { { 0x20, 2 }, { 0xa0, 2 }, { 0x4d0, 2 } },
      .memory = { { BOARD_IOAPIC, 0x100 }, { BOARD_APIC, 0x400 } }, .step_ns = FAST },
    { "i440fx", .map = map_host, .ports = { { 0xcf8, 8 } },
      .memory = { { 0xa0000, 0x10000 }, { 0xc0000, 0x10000 }, { 0xf0000, 0x10000 } },
      .functions = { PCI_DEVFN(0, 0), PCI_DEVFN(2, 0) } },
    { "piix3", .ports = { { 0xcf8, 8 }, { 0x4d0, 2 } }, .functions = { PCI_DEVFN(1, 0) } },
    { "piix4_pm", add_pm, map_pm,
      .ports = { { 0x600, 64 }, { 0x700, 16 }, { 0xb2, 2 }, { 0xafe0, 4 } }, .functions = { PM },
      .step_ns = 2 * NS_PER_SECOND },
    { "e1000", add_nics, map_nics, warm_nics, .ports = { { NIC0_IO, 0x80 } },
      .memory = { { NIC0_MMIO, 0x10000 },
                  { NIC1_MMIO, 0x10000 },
                  { NIC0_MMIO + 0x10000, 0x10000 } },
      .functions = { NIC0, NIC1 }, .step_ns = 200000000 },
    { "hpet", add_hpet, .memory = { { HPET, 0x400 }, { HPET + 0x100, 0x60 } }, .step_ns = FAST },
    { "testdev", add_testdev, .ports = { { 0xe0, 12 }, { 0x2000, 24 } },
      .memory = { { TESTDEV_MEMORY, 0x10000 } }, .step_ns = FAST },
    { "debug", add_debug, .ports = { { 0x80, 1 }, { 0xf4, 8 }, { 0xe9, 1 } } },
    { NULL },
};

const struct target *target_find(const char *name)
{
    const struct target *t = targets;
    while (t->name && strcmp(t->name, name))
        t++;
    return t->name ? t : NULL;
}
