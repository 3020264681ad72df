/* What interrupt controllers and timer of a PC hold goes from the machine's own chips into those of
 * the host's kernel, where there is a /dev/kvm, and comes back field by field into chips that have
 * been reset. */
#include "hw_fixture.h"
#include "dev/chip_state.h"
#include "dev/sysbus.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { MASTER = 0x20, SLAVE = 0xa0, PIT = 0x40, CONTROL = 0x43, IOAPIC = 0xfec00000, WIN = 0x10 };

/* A virtual machine of the kernel with its chips; fd -1: there is none here. */
struct kernel {
    int kvm_fd, fd;
};

static struct kernel kernel_new(void)
{
    struct kernel k = { open("/dev/kvm", O_RDWR | O_CLOEXEC), -1 };
    struct kvm_pit_config config = { .flags = 0 };
    if (k.kvm_fd < 0) {
        print_message("skipped: /dev/kvm: %s\n", strerror(errno));
        return k;
    }
    k.fd = ioctl(k.kvm_fd, KVM_CREATE_VM, 0);
    assert_true(k.fd >= 0);
    assert_int_equal(ioctl(k.fd, KVM_CREATE_IRQCHIP, 0), 0);
    assert_int_equal(ioctl(k.fd, KVM_CREATE_PIT2, &config), 0);
    return k;
}

static void kernel_free(struct kernel *k)
{
    close(k->fd);
    close(k->kvm_fd);
}

static const struct chip_state_ops *ops_of(struct device *d)
{
    const struct chip_state_ops *ops = device_interface(d, INTERFACE_CHIP_STATE);
    assert_non_null(ops);
    return ops;
}

/* ---- 8259A ---- */

static void init_chip(struct hw *h, uint16_t port, uint8_t base, uint8_t icw3, uint8_t mask)
{
    outb(h, port, 0x11);
    outb(h, port + 1, base);
    outb(h, port + 1, icw3);
    outb(h, port + 1, 0x01);
    outb(h, port + 1, mask);
}

static struct device *make_pair(struct hw *h, struct device **slave)
{
    struct device *s = test_device(h->t, "isa-i8259", "slave");
    struct device *m = test_device(h->t, "isa-i8259", "master");
    test_set(s, "iobase", "0xa0");
    test_set(s, "elcr_addr", "0x4d1");
    test_set(s, "elcr_mask", "0xde");
    test_set(s, "master", "false");
    hw_start(h, s);
    test_set(m, "elcr_mask", "0xf8");
    test_set(m, "cpu", "0");
    hw_link(m, "slave", s);
    hw_start(h, m);
    hw_connect(s, "", 0, hw_input(m, "", 2));
    *slave = s;
    return m;
}

/* IRQ 9 in service, 4 and 11 waiting behind it, 5 masked, priorities rotated, ISR selected. */
static void test_pic(void **state)
{
    struct hw *h = *state;
    struct kvm_pic_state before[2], after[2];
    struct device *slave, *master = make_pair(h, &slave);
    struct kernel k = kernel_new();
    init_chip(h, MASTER, 0x30, 0x04, 0x20);
    init_chip(h, SLAVE, 0x38, 0x02, 0x01);
    outb(h, 0x4d1, 0x08); /* 11: level */
    outb(h, MASTER, 0xc6);
    outb(h, MASTER, 0x0b);
    irq_set(hw_input(slave, "", 1), true);
    assert_int_equal(hw_acknowledge(&h->cpus[0]), 0x39);
    irq_set(hw_input(slave, "", 3), true);
    irq_set(hw_input(master, "", 4), true);
    irq_set(hw_input(master, "", 5), true);
    ops_of(master)->get(master, before);
    assert_int_equal(ops_of(master)->size, sizeof before);
    assert_int_equal(before[0].isr, 1 << 2);
    assert_int_equal(before[0].irr & 0x30, 0x30);
    assert_int_equal(before[1].isr, 1 << 1);
    memcpy(after, before, sizeof after);
    for (unsigned n = 0; k.fd >= 0 && n < 2; n++) {
        struct kvm_irqchip c = { .chip_id = n };
        c.chip.pic = before[n];
        assert_int_equal(ioctl(k.fd, KVM_SET_IRQCHIP, &c), 0);
        memset(&c.chip, 0, sizeof c.chip);
        assert_int_equal(ioctl(k.fd, KVM_GET_IRQCHIP, &c), 0);
        assert_memory_equal(&c.chip.pic, &before[n], sizeof before[n]);
        after[n] = c.chip.pic;
    }
    device_reset(master);
    device_reset(slave);
    ops_of(master)->set(master, after);
    ops_of(master)->get(master, after);
    assert_memory_equal(after, before, sizeof after);
    outb(h, SLAVE, 0x20); /* ends of interrupt: what waited comes */
    outb(h, MASTER, 0x62);
    assert_true(h->cpus[0].intr);
    assert_int_equal(hw_acknowledge(&h->cpus[0]), 0x3b);
    kernel_free(&k);
}

/* ---- I/O APIC ---- */

static void write_redir(struct hw *h, unsigned pin, uint64_t entry)
{
    for (unsigned half = 0; half < 2; half++) {
        writel(h, IOAPIC, 0x10 + 2 * pin + !half);
        writel(h, IOAPIC + WIN, (uint32_t)(entry >> (half ? 0 : 32)));
    }
}

static void test_ioapic(void **state)
{
    struct hw *h = *state;
    struct error err = { 0 };
    struct kvm_ioapic_state before, after;
    struct device *d = hw_device(h, "ioapic");
    struct kernel k = kernel_new();
    if (!sysbus_map((struct sysbus_device *)d, 0, IOAPIC, 0, &err))
        fail_msg("%s", err.text);
    writel(h, IOAPIC, 0);
    writel(h, IOAPIC + WIN, 0x05000000);
    write_redir(h, 4, 0x0100000000010041);
    write_redir(h, 11, 0x020000000001a853); /* level, low, logical, masked */
    irq_set(hw_input(d, "", 11), true);
    ops_of(d)->get(d, &before);
    assert_int_equal(before.id, 5);
    assert_int_equal(before.irr, 1 << 11);
    assert_true(before.redirtbl[11].bits == 0x020000000001a853);
    after = before;
    if (k.fd >= 0) {
        struct kvm_irqchip c = { .chip_id = KVM_IRQCHIP_IOAPIC, .chip.ioapic = before };
        assert_int_equal(ioctl(k.fd, KVM_SET_IRQCHIP, &c), 0);
        memset(&c.chip, 0, sizeof c.chip);
        assert_int_equal(ioctl(k.fd, KVM_GET_IRQCHIP, &c), 0);
        after = c.chip.ioapic;
        assert_true(after.base_address == before.base_address);
        assert_int_equal(after.ioregsel, before.ioregsel);
        assert_int_equal(after.id, before.id);
        assert_int_equal(after.irr, before.irr);
        assert_memory_equal(after.redirtbl, before.redirtbl, sizeof after.redirtbl);
    }
    device_reset(d);
    ops_of(d)->set(d, &after);
    ops_of(d)->get(d, &after);
    assert_memory_equal(&after, &before, sizeof after);
    kernel_free(&k);
}

/* ---- 8254 ---- */

static void program(struct hw *h, unsigned channel, uint8_t control, uint16_t count)
{
    outb(h, CONTROL, channel << 6 | control);
    outb(h, PIT + channel, count & 0xff);
    outb(h, PIT + channel, count >> 8);
}

/* All but the time at which the count was loaded: periods begin anew. */
static void assert_same_channel(const struct kvm_pit_channel_state *a,
                                const struct kvm_pit_channel_state *b)
{
    struct kvm_pit_channel_state x = *a, y = *b;
    x.count_load_time = y.count_load_time = 0;
    assert_memory_equal(&x, &y, sizeof x);
}

static void test_pit(void **state)
{
    struct hw *h = *state;
    struct kvm_pit_state2 before, after;
    struct device *d = hw_device(h, "isa-pit");
    struct kernel k = kernel_new();
    program(h, 0, 0x34, 11932);
    program(h, 1, 0x31, 0x4321); /* BCD */
    program(h, 2, 0x36, 0);      /* 65536 */
    outb(h, CONTROL, 0x80);      /* latch channel 2, of which one byte is read */
    inb(h, PIT + 2);
    outb(h, CONTROL, 0xe2); /* and the status of channel 0 */
    outb(h, PIT, 0x12);     /* half a count */
    ops_of(d)->get(d, &before);
    assert_int_equal(before.channels[0].count, 11932);
    assert_int_equal(before.channels[0].status_latched, 1);
    assert_int_equal(before.channels[0].write_state, 4);
    assert_int_equal(before.channels[1].count, 4321);
    assert_int_equal(before.channels[2].count, 0x10000);
    assert_int_equal(before.channels[2].count_latched, 2);
    after = before;
    if (k.fd >= 0) {
        struct kvm_pit_state2 given = before;
        assert_int_equal(ioctl(k.fd, KVM_SET_PIT2, &given), 0);
        assert_int_equal(ioctl(k.fd, KVM_GET_PIT2, &after), 0);
        for (unsigned n = 0; n < 3; n++)
            assert_same_channel(&after.channels[n], &before.channels[n]);
    }
    device_reset(d);
    ops_of(d)->set(d, &after);
    ops_of(d)->get(d, &after);
    for (unsigned n = 0; n < 3; n++)
        assert_same_channel(&after.channels[n], &before.channels[n]);
    kernel_free(&k);
}

#define chip_test(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

static int setup(void **state)
{
    *state = hw_new();
    return 0;
}

static int teardown(void **state)
{
    hw_free(*state);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        chip_test(test_pic),
        chip_test(test_ioapic),
        chip_test(test_pit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
