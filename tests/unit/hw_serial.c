/* The 16550A: output, FIFO and triggers, time-out, overrun, loopback, break, modem status,
 * interrupt priorities. */
#include "char/chardev.h"
#include "hw_fixture.h"

enum { COM1 = 0x3f8, IER = 1, IIR = 2, FCR = 2, LCR = 3, MCR = 4, LSR = 5, MSR = 6, SCR = 7 };

struct com {
    struct hw *h;
    struct chardev *chr;
    struct device *dev;
};

static int setup(void **state)
{
    struct com *c = calloc(1, sizeof *c);
    c->h = hw_new();
    c->chr = chardev_ring_new("ring0", 256, NULL);
    c->h->isa.irqs[4] = probe_init(&c->h->probe);
    c->dev = test_device(c->h->t, "isa-serial", NULL);
    hw_link(c->dev, "chardev", (struct device *)c->chr);
    hw_start(c->h, c->dev);
    *state = c;
    return 0;
}

static int teardown(void **state)
{
    struct com *c = *state;
    hw_free(c->h);
    chardev_free(c->chr);
    free(c);
    return 0;
}

static uint8_t rd(struct com *c, unsigned reg)
{
    return inb(c->h, COM1 + reg);
}

static void wr(struct com *c, unsigned reg, uint8_t value)
{
    outb(c->h, COM1 + reg, value);
}

static void input(struct com *c, const char *text)
{
    chardev_input(c->chr, (const uint8_t *)text, strlen(text));
}

static bool irq(struct com *c)
{
    return c->h->probe.level;
}

static void test_registers(void **state)
{
    struct com *c = *state;
    assert_int_equal(rd(c, LSR), 0x60);
    assert_int_equal(rd(c, IIR), 0x01);
    assert_int_equal(rd(c, MSR), 0xb0);
    wr(c, SCR, 0xa5);
    assert_int_equal(rd(c, SCR), 0xa5);
    wr(c, LCR, 0x83);
    assert_int_equal(rd(c, 0) | rd(c, 1) << 8, 12);
    wr(c, 0, 1);
    wr(c, 1, 2);
    assert_int_equal(rd(c, 0) | rd(c, 1) << 8, 0x201);
    wr(c, LCR, 0x03);
    wr(c, IER, 0xff);
    assert_int_equal(rd(c, IER), 0x0f);
    wr(c, MCR, 0xff & ~0x10);
    assert_int_equal(rd(c, MCR), 0x0f);
    wr(c, FCR, 0xc1);
    assert_int_equal(rd(c, IIR) & 0xc0, 0xc0);
    device_reset(c->dev);
    assert_int_equal(rd(c, IER), 0);
    assert_int_equal(rd(c, SCR), 0);
}

static void test_output(void **state)
{
    struct com *c = *state;
    uint8_t buf[8];
    uint64_t total;
    wr(c, 0, 'H');
    wr(c, 0, 'i');
    assert_int_equal(chardev_ring_read(c->chr, buf, sizeof buf, &total), 2);
    assert_memory_equal(buf, "Hi", 2);
    assert_int_equal(rd(c, LSR), 0x60);
    wr(c, IER, 0x02); /* enabling finds the register empty */
    assert_true(irq(c));
    assert_int_equal(rd(c, IIR), 0x02); /* telling it ends it */
    assert_false(irq(c));
    assert_int_equal(rd(c, IIR), 0x01);
    wr(c, 0, '!');
    assert_true(irq(c));
    assert_int_equal(c->h->probe.rises, 2);
}

static void test_fifo(void **state)
{
    struct com *c = *state;
    wr(c, FCR, 0x81); /* trigger at 8 */
    wr(c, IER, 0x01);
    input(c, "1234567");
    assert_false(irq(c));
    assert_int_equal(rd(c, LSR), 0x61);
    input(c, "8");
    assert_true(irq(c));
    assert_int_equal(rd(c, IIR), 0xc4);
    assert_int_equal(rd(c, 0), '1');
    assert_false(irq(c));
    for (char i = '2'; i <= '8'; i++)
        assert_int_equal(rd(c, 0), i);
    assert_int_equal(rd(c, LSR), 0x60);
    input(c, "x");
    wr(c, FCR, 0x83); /* clear the receiver */
    assert_int_equal(rd(c, LSR), 0x60);
}

/* What does not fit waits outside. */
static void test_back_pressure(void **state)
{
    struct com *c = *state;
    wr(c, FCR, 0x01);
    input(c, "abcdefghijklmnopqrstuvwxyz");
    for (char i = 'a'; i <= 'z'; i++)
        assert_int_equal(rd(c, 0), i);
    assert_int_equal(rd(c, LSR), 0x60); /* no overrun */
    wr(c, FCR, 0x00);
    input(c, "12"); /* without a FIFO one at a time */
    assert_int_equal(rd(c, 0), '1');
    assert_int_equal(rd(c, 0), '2');
}

static void test_timeout(void **state)
{
    struct com *c = *state;
    wr(c, LCR, 0x83);
    wr(c, 0, 1); /* 115200 baud, 8n1: 86.8 us a character */
    wr(c, 1, 0);
    wr(c, LCR, 0x03);
    wr(c, FCR, 0xc1);
    wr(c, IER, 0x01);
    input(c, "ab");
    test_machine_advance(c->h->t, 347000);
    assert_false(irq(c));
    test_machine_advance(c->h->t, 1000);
    assert_true(irq(c));
    assert_int_equal(rd(c, IIR), 0xcc);
    assert_int_equal(rd(c, 0), 'a');
    assert_false(irq(c));
    test_machine_advance(c->h->t, 348000); /* the rest times out anew */
    assert_int_equal(rd(c, IIR), 0xcc);
    assert_int_equal(rd(c, 0), 'b');
    test_machine_advance(c->h->t, 1000000);
    assert_false(irq(c));
}

static void test_loopback(void **state)
{
    struct com *c = *state;
    uint64_t total;
    uint8_t buf[4];
    wr(c, FCR, 0x01);
    wr(c, MCR, 0x10);
    input(c, "no"); /* SIN is cut off */
    wr(c, 0, 'L');
    assert_int_equal(rd(c, LSR), 0x61);
    assert_int_equal(rd(c, 0), 'L');
    assert_int_equal(chardev_ring_read(c->chr, buf, sizeof buf, &total), 0);
    wr(c, MCR, 0x00);
    assert_int_equal(rd(c, 0), 'n'); /* now it comes in */
}

static void test_overrun(void **state)
{
    struct com *c = *state;
    wr(c, FCR, 0x01);
    wr(c, IER, 0x04);
    wr(c, MCR, 0x10);
    for (int i = 0; i < 17; i++)
        wr(c, 0, i);
    assert_true(irq(c));
    assert_int_equal(rd(c, IIR), 0xc6);
    assert_int_equal(rd(c, LSR), 0x63);
    assert_int_equal(rd(c, LSR), 0x61);
    assert_false(irq(c));
    for (int i = 0; i < 16; i++)
        assert_int_equal(rd(c, 0), i); /* the 17th is lost */
    assert_int_equal(rd(c, LSR), 0x60);
    wr(c, FCR, 0x00);
    wr(c, 0, 1);
    wr(c, 0, 2);
    assert_int_equal(rd(c, LSR), 0x63);
    assert_int_equal(rd(c, 0), 2); /* without a FIFO the newer one stays */
}

static void test_break(void **state)
{
    struct com *c = *state;
    wr(c, FCR, 0x01);
    wr(c, MCR, 0x10);
    wr(c, 0, 'x');
    wr(c, LCR, 0x43);
    assert_int_equal(rd(c, LSR), 0xe1); /* somewhere in the FIFO is an error */
    assert_int_equal(rd(c, 0), 'x');
    assert_int_equal(rd(c, LSR), 0xf1); /* at its head: break */
    assert_int_equal(rd(c, LSR), 0x61);
    assert_int_equal(rd(c, 0), 0);
}

/* From outside: the line status interrupt, then a zero character with BI, in its turn. */
static void test_break_on_line(void **state)
{
    struct com *c = *state;
    wr(c, FCR, 0x01);
    wr(c, IER, 0x04);
    chardev_break(c->chr);
    assert_true(irq(c));
    assert_int_equal(rd(c, IIR), 0xc6);
    assert_int_equal(rd(c, LSR), 0xf1);
    assert_false(irq(c));
    input(c, "k");
    assert_int_equal(rd(c, 0), 0);
    assert_int_equal(rd(c, LSR), 0x61);
    assert_int_equal(rd(c, 0), 'k');
    input(c, "a");
    chardev_break(c->chr);
    assert_int_equal(rd(c, LSR), 0xe1); /* not at the head yet */
    assert_int_equal(rd(c, 0), 'a');
    assert_int_equal(rd(c, LSR), 0xf1);
    assert_int_equal(rd(c, 0), 0);
    wr(c, MCR, 0x10); /* SIN is cut off */
    chardev_break(c->chr);
    assert_int_equal(rd(c, LSR), 0x60);
}

static void test_modem(void **state)
{
    struct com *c = *state;
    wr(c, IER, 0x08);
    wr(c, MCR, 0x10); /* CTS, DSR, DCD fall */
    assert_true(irq(c));
    assert_int_equal(rd(c, IIR), 0x00);
    assert_int_equal(rd(c, MSR), 0x0b);
    assert_false(irq(c));
    wr(c, MCR, 0x14); /* RI rises: no delta */
    assert_false(irq(c));
    assert_int_equal(rd(c, MSR), 0x40);
    wr(c, MCR, 0x1b); /* RI falls, the others rise */
    assert_int_equal(rd(c, MSR), 0xbf);
    assert_int_equal(rd(c, MSR), 0xb0);
}

static void test_priorities(void **state)
{
    struct com *c = *state;
    wr(c, MCR, 0x10);
    wr(c, 0, 1);
    wr(c, 0, 2); /* overrun */
    wr(c, IER, 0x0f);
    assert_int_equal(rd(c, IIR), 0x06);
    (void)rd(c, LSR);
    assert_int_equal(rd(c, IIR), 0x04);
    (void)rd(c, 0);
    assert_int_equal(rd(c, IIR), 0x02);
    assert_int_equal(rd(c, IIR), 0x00);
    (void)rd(c, MSR);
    assert_int_equal(rd(c, IIR), 0x01);
}

static void test_resources(void **state)
{
    struct com *c = *state;
    struct error err = { 0 };
    struct prop_value v;
    struct device *second = hw_device(c->h, "isa-serial");
    assert_true(device_get_prop(second, "iobase", &v, &err));
    assert_int_equal(v.u, 0x2f8);
    assert_int_equal(inb(c->h, 0x2f8 + LSR), 0x60);
    struct device *third = test_device(c->h->t, "isa-serial", NULL);
    hw_link(third, "chardev", (struct device *)c->chr);
    assert_false(device_realize(third, &c->h->isa.bus, &err));
    assert_contains(err.text, "'ring0' serves another device");
    struct device *fifth = test_device(c->h->t, "isa-serial", NULL);
    test_set(fifth, "index", "4");
    assert_false(device_realize(fifth, &c->h->isa.bus, &err));
    assert_contains(err.text, "give it iobase and irq");
    test_set(fifth, "iobase", "0x5f8");
    test_set(fifth, "irq", "16");
    assert_false(device_realize(fifth, &c->h->isa.bus, &err));
    assert_contains(err.text, "no ISA interrupt line 16");
    test_set(fifth, "irq", "5");
    assert_true(device_realize(fifth, &c->h->isa.bus, &err));
}

#define com_test(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        com_test(test_registers), com_test(test_output),     com_test(test_fifo),
        com_test(test_timeout),   com_test(test_loopback),   com_test(test_back_pressure),
        com_test(test_overrun),   com_test(test_break),      com_test(test_modem),
        com_test(test_resources), com_test(test_priorities), com_test(test_break_on_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
