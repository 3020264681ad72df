/* The 8259A pair: initialization, priorities, EOI in all forms, rotation, masks, poll, edge and
 * level, cascade and spurious interrupts. */
#include "hw_fixture.h"

enum { MASTER = 0x20, SLAVE = 0xa0, ELCR1 = 0x4d0, ELCR2 = 0x4d1 };

struct pair {
    struct device *master, *slave;
};

static void init_chip(struct hw *h, uint16_t port, uint8_t base, uint8_t icw3, uint8_t icw4)
{
    outb(h, port, 0x11);
    outb(h, port + 1, base);
    outb(h, port + 1, icw3);
    outb(h, port + 1, icw4);
    outb(h, port + 1, 0);
}

static struct pair make_pair(struct hw *h)
{
    struct pair p;
    p.slave = test_device(h->t, "isa-i8259", "slave");
    test_set(p.slave, "iobase", "0xa0");
    test_set(p.slave, "elcr_addr", "0x4d1");
    test_set(p.slave, "elcr_mask", "0xde");
    test_set(p.slave, "master", "false");
    hw_start(h, p.slave);
    p.master = test_device(h->t, "isa-i8259", "master");
    test_set(p.master, "cpu", "0");
    hw_link(p.master, "slave", p.slave);
    hw_start(h, p.master);
    hw_connect(p.slave, "", 0, hw_input(p.master, "", 2));
    init_chip(h, MASTER, 0x20, 0x04, 0x01);
    init_chip(h, SLAVE, 0x28, 0x02, 0x01);
    return p;
}

static void line(struct pair *p, unsigned n, bool level)
{
    irq_set(hw_input(n < 8 ? p->master : p->slave, "", n & 7), level);
}

static void pulse(struct pair *p, unsigned n)
{
    line(p, n, true);
    line(p, n, false);
}

static int ack(struct hw *h)
{
    return hw_acknowledge(&h->cpus[0]);
}

static void test_priorities(void **state)
{
    struct hw *h = *state;
    struct pair p = make_pair(h);
    assert_false(h->cpus[0].intr);
    line(&p, 4, true);
    line(&p, 1, true);
    assert_true(h->cpus[0].intr);
    assert_int_equal(inb(h, MASTER), 0x12); /* IRR */
    assert_int_equal(ack(h), 0x21);
    assert_false(h->cpus[0].intr); /* 4 waits for 1 */
    outb(h, MASTER, 0x0b);
    assert_int_equal(inb(h, MASTER), 0x02); /* ISR */
    line(&p, 0, true);
    assert_true(h->cpus[0].intr); /* 0 interrupts 1 */
    assert_int_equal(ack(h), 0x20);
    outb(h, MASTER, 0x20);
    assert_false(h->cpus[0].intr);
    outb(h, MASTER, 0x20);
    assert_true(h->cpus[0].intr);
    assert_int_equal(ack(h), 0x24);
    outb(h, MASTER, 0x20);
    assert_false(h->cpus[0].intr); /* edges: lines that stay up request no more */
}

static void test_mask(void **state)
{
    struct hw *h = *state;
    struct pair p = make_pair(h);
    outb(h, MASTER + 1, 0x08);
    assert_int_equal(inb(h, MASTER + 1), 0x08);
    line(&p, 3, true);
    assert_false(h->cpus[0].intr);
    outb(h, MASTER + 1, 0);
    assert_true(h->cpus[0].intr);
    assert_int_equal(ack(h), 0x23);
}

static void test_specific_eoi(void **state)
{
    struct hw *h = *state;
    struct pair p = make_pair(h);
    pulse(&p, 5);
    assert_int_equal(ack(h), 0x25);
    pulse(&p, 3);
    assert_int_equal(ack(h), 0x23);
    outb(h, MASTER, 0x65); /* end 5, not the highest */
    outb(h, MASTER, 0x0b);
    assert_int_equal(inb(h, MASTER), 0x08);
}

static void test_rotation(void **state)
{
    struct hw *h = *state;
    struct pair p = make_pair(h);
    pulse(&p, 3);
    assert_int_equal(ack(h), 0x23);
    outb(h, MASTER, 0xa0); /* rotate on EOI: 3 is the lowest now */
    pulse(&p, 3);
    pulse(&p, 4);
    pulse(&p, 0);
    assert_int_equal(ack(h), 0x24);
    outb(h, MASTER, 0x20);
    assert_int_equal(ack(h), 0x20);
    outb(h, MASTER, 0x20);
    assert_int_equal(ack(h), 0x23);
    outb(h, MASTER, 0x20);
    outb(h, MASTER, 0xc6); /* 6 the lowest: 7 wins over 0 */
    pulse(&p, 0);
    pulse(&p, 7);
    assert_int_equal(ack(h), 0x27);
}

static void test_auto_eoi(void **state)
{
    struct hw *h = *state;
    struct pair p = make_pair(h);
    init_chip(h, MASTER, 0x20, 0x04, 0x03);
    outb(h, MASTER, 0x80); /* rotate in automatic EOI */
    pulse(&p, 1);
    assert_int_equal(ack(h), 0x21);
    outb(h, MASTER, 0x0b);
    assert_int_equal(inb(h, MASTER), 0);
    pulse(&p, 1);
    pulse(&p, 6);
    assert_int_equal(ack(h), 0x26);
}

static void test_special_mask(void **state)
{
    struct hw *h = *state;
    struct pair p = make_pair(h);
    pulse(&p, 1);
    assert_int_equal(ack(h), 0x21);
    pulse(&p, 6);
    assert_false(h->cpus[0].intr);
    outb(h, MASTER + 1, 0x02); /* mask what is in service ... */
    assert_false(h->cpus[0].intr);
    outb(h, MASTER, 0x68); /* ... and it holds nobody back */
    assert_true(h->cpus[0].intr);
    assert_int_equal(ack(h), 0x26);
    outb(h, MASTER, 0x48);
    pulse(&p, 7);
    assert_false(h->cpus[0].intr);
}

static void test_poll(void **state)
{
    struct hw *h = *state;
    struct pair p = make_pair(h);
    outb(h, MASTER, 0x0c);
    assert_int_equal(inb(h, MASTER), 0);
    pulse(&p, 5);
    outb(h, MASTER, 0x0c);
    assert_int_equal(inb(h, MASTER), 0x85);
    assert_false(h->cpus[0].intr);
    outb(h, MASTER, 0x0b);
    assert_int_equal(inb(h, MASTER), 0x20); /* as an acknowledge: in service */
}

static void test_level(void **state)
{
    struct hw *h = *state;
    struct pair p = make_pair(h);
    outb(h, ELCR1, 0xff);
    assert_int_equal(inb(h, ELCR1), 0xf8); /* 0, 1 and 2 are edge-triggered for good */
    outb(h, ELCR1, 0x20);
    line(&p, 5, true);
    assert_int_equal(ack(h), 0x25);
    outb(h, MASTER, 0x20);
    assert_true(h->cpus[0].intr); /* still up */
    assert_int_equal(ack(h), 0x25);
    line(&p, 5, false);
    outb(h, MASTER, 0x20);
    assert_false(h->cpus[0].intr);
}

static void test_spurious(void **state)
{
    struct hw *h = *state;
    struct pair p = make_pair(h);
    outb(h, ELCR1, 0x20);
    line(&p, 5, true);
    line(&p, 5, false);
    assert_int_equal(ack(h), 0x27);
    outb(h, MASTER, 0x0b);
    assert_int_equal(inb(h, MASTER), 0); /* a real 7 would be in service */
}

static void test_cascade(void **state)
{
    struct hw *h = *state;
    struct pair p = make_pair(h);
    line(&p, 12, true);
    assert_int_equal(inb(h, MASTER), 0x04);
    assert_true(h->cpus[0].intr);
    assert_int_equal(ack(h), 0x2c);
    outb(h, MASTER, 0x0b);
    outb(h, SLAVE, 0x0b);
    assert_int_equal(inb(h, MASTER), 0x04);
    assert_int_equal(inb(h, SLAVE), 0x10);
    line(&p, 8, true); /* higher within the slave, but its line of the master is in service */
    line(&p, 3, true);
    assert_false(h->cpus[0].intr);
    outb(h, SLAVE, 0x20);
    outb(h, MASTER, 0x20);
    assert_int_equal(ack(h), 0x28);
    outb(h, SLAVE, 0x20);
    outb(h, MASTER, 0x20);
    assert_int_equal(ack(h), 0x23);
}

static void test_nested_slave(void **state)
{
    struct hw *h = *state;
    struct pair p = make_pair(h);
    init_chip(h, MASTER, 0x20, 0x04, 0x11); /* special fully nested */
    pulse(&p, 12);
    assert_int_equal(ack(h), 0x2c);
    pulse(&p, 8);
    assert_true(h->cpus[0].intr);
    assert_int_equal(ack(h), 0x28);
}

static void test_spurious_slave(void **state)
{
    struct hw *h = *state;
    struct pair p = make_pair(h);
    outb(h, ELCR2, 0x08);
    line(&p, 11, true);
    /* The request goes away between the two halves of the cycle: the master has latched its edge.
     */
    line(&p, 11, false);
    assert_true(h->cpus[0].intr);
    assert_int_equal(ack(h), 0x2f);
    outb(h, MASTER, 0x0b);
    outb(h, SLAVE, 0x0b);
    assert_int_equal(inb(h, MASTER), 0x04); /* needs its EOI */
    assert_int_equal(inb(h, SLAVE), 0);
}

static void test_second_controller_is_refused(void **state)
{
    struct hw *h = *state;
    make_pair(h);
    struct error err = { 0 };
    struct device *d = test_device(h->t, "isa-i8259", NULL);
    test_set(d, "iobase", "0x30");
    test_set(d, "elcr_addr", "0x4d3");
    test_set(d, "cpu", "0");
    assert_false(device_realize(d, &h->isa.bus, &err));
    assert_contains(err.text, "/machine/peripheral/master");
    test_set(d, "cpu", "9");
    assert_false(device_realize(d, &h->isa.bus, &err));
    assert_contains(err.text, "cpu=9");
}

/* Special fully nested mode lets the slave's higher lines through, and nothing that is lower. */
static void test_nested_holds_lower_lines(void **state)
{
    struct hw *h = *state;
    struct pair p = make_pair(h);
    init_chip(h, MASTER, 0x20, 0x04, 0x11);
    pulse(&p, 12);
    assert_int_equal(ack(h), 0x2c);
    pulse(&p, 5);
    assert_false(h->cpus[0].intr);
    pulse(&p, 13); /* lower within the slave */
    assert_false(h->cpus[0].intr);
    pulse(&p, 1);
    assert_int_equal(ack(h), 0x21);
    outb(h, SLAVE, 0x20);
    assert_false(h->cpus[0].intr); /* 1 is higher than the slave */
    outb(h, MASTER, 0x20);
    assert_int_equal(ack(h), 0x2d); /* while line 2 of the master is in service */
    outb(h, SLAVE, 0x20);
    outb(h, MASTER, 0x20);
    assert_int_equal(ack(h), 0x25);
}

/* A non-specific EOI in special mask mode passes over what is masked. */
static void test_special_mask_eoi(void **state)
{
    struct hw *h = *state;
    struct pair p = make_pair(h);
    pulse(&p, 1);
    assert_int_equal(ack(h), 0x21);
    outb(h, MASTER + 1, 0x02);
    outb(h, MASTER, 0x68);
    pulse(&p, 6);
    assert_int_equal(ack(h), 0x26);
    outb(h, MASTER, 0x20);
    outb(h, MASTER, 0x0b);
    assert_int_equal(inb(h, MASTER), 0x02);
    outb(h, MASTER, 0x61); /* the specific one does not */
    assert_int_equal(inb(h, MASTER), 0);
}

/* Specific EOI with rotation; rotation in automatic EOI switched off again; OCW2 without effect. */
static void test_rotation_forms(void **state)
{
    struct hw *h = *state;
    struct pair p = make_pair(h);
    pulse(&p, 5);
    assert_int_equal(ack(h), 0x25);
    outb(h, MASTER, 0x40); /* no operation */
    outb(h, MASTER, 0x0b);
    assert_int_equal(inb(h, MASTER), 0x20);
    outb(h, MASTER, 0xe5); /* end 5, which is the lowest now */
    assert_int_equal(inb(h, MASTER), 0);
    pulse(&p, 5);
    pulse(&p, 4);
    pulse(&p, 6);
    assert_int_equal(ack(h), 0x26);
    outb(h, MASTER, 0x20);
    assert_int_equal(ack(h), 0x24);
    outb(h, MASTER, 0x20);
    assert_int_equal(ack(h), 0x25);
    init_chip(h, MASTER, 0x20, 0x04, 0x03);
    outb(h, MASTER, 0x80);
    outb(h, MASTER, 0x00); /* off */
    pulse(&p, 1);
    assert_int_equal(ack(h), 0x21);
    pulse(&p, 1);
    pulse(&p, 6);
    assert_int_equal(ack(h), 0x21);
}

/* ICW1 clears the mask, the modes and latched edges; without its IC4 bit ICW4's modes are off; SNGL
 * leaves ICW3 out; LTIM makes every line level-triggered. */
static void test_icw1(void **state)
{
    struct hw *h = *state;
    struct pair p = make_pair(h);
    init_chip(h, MASTER, 0x20, 0x04, 0x03);
    outb(h, MASTER + 1, 0xff);
    outb(h, MASTER, 0x68);
    outb(h, MASTER, 0xc3);
    line(&p, 3, true);
    outb(h, MASTER, 0x12); /* single, no ICW4 */
    outb(h, MASTER + 1, 0x47);
    assert_int_equal(inb(h, MASTER + 1), 0);
    outb(h, MASTER + 1, 0x81); /* the mask again, no ICW3 */
    assert_int_equal(inb(h, MASTER + 1), 0x81);
    assert_int_equal(inb(h, MASTER), 0); /* IRR */
    pulse(&p, 5);
    pulse(&p, 4); /* 0 is the highest again */
    assert_int_equal(ack(h), 0x44);
    outb(h, MASTER, 0x0b);
    assert_int_equal(inb(h, MASTER), 0x10); /* no automatic EOI */
    outb(h, MASTER, 0x1b);                  /* LTIM, single, ICW4 */
    outb(h, MASTER + 1, 0x20);
    outb(h, MASTER + 1, 0x0d); /* buffered master: kept from having any effect */
    assert_int_equal(ack(h), 0x23);
    outb(h, MASTER, 0x20);
    assert_true(h->cpus[0].intr); /* still up */
    line(&p, 3, false);
    assert_false(h->cpus[0].intr);
}

/* Poll of the slave; a poll goes before a register read asked for at once with it. */
static void test_poll_slave(void **state)
{
    struct hw *h = *state;
    struct pair p = make_pair(h);
    pulse(&p, 14);
    outb(h, SLAVE, 0x0f);
    assert_int_equal(inb(h, SLAVE), 0x86);
    assert_int_equal(inb(h, SLAVE), 0x40); /* then the ISR */
    outb(h, SLAVE, 0x0c);
    assert_int_equal(inb(h, SLAVE), 0);
    outb(h, MASTER, 0x0c);
    assert_int_equal(inb(h, MASTER), 0x82);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        hw_test(test_priorities),
        hw_test(test_mask),
        hw_test(test_specific_eoi),
        hw_test(test_rotation),
        hw_test(test_auto_eoi),
        hw_test(test_special_mask),
        hw_test(test_poll),
        hw_test(test_level),
        hw_test(test_spurious),
        hw_test(test_cascade),
        hw_test(test_nested_slave),
        hw_test(test_spurious_slave),
        hw_test(test_second_controller_is_refused),
        hw_test(test_nested_holds_lower_lines),
        hw_test(test_special_mask_eoi),
        hw_test(test_rotation_forms),
        hw_test(test_icw1),
        hw_test(test_poll_slave),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
