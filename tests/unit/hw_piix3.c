/* PIIX3: PIRQ routing and sharing with ISA lines, the reset control port. */
#include "dev/isa.h"
#include "hw_pci_fixture.h"

enum { PIIX3 = PCI_DEVFN(1, 0), PIRQRC = 0x60 };

struct bridge {
    struct pc *pc;
    struct device *piix3;
    struct isa_bus *isa;
    struct probe irq[ISA_IRQS];
};

static struct bridge *bridge_new(void)
{
    struct bridge *b = calloc(1, sizeof *b);
    b->pc = pc_new();
    b->piix3 = pc_add(b->pc, "PIIX3", "01.0");
    b->isa = (struct isa_bus *)b->piix3->buses[0];
    for (unsigned n = 0; n < ISA_IRQS; n++)
        probe_connect(&b->irq[n], b->piix3, "isa-irq", n);
    machine_reset_devices(b->pc->m);
    return b;
}

static void bridge_free(struct bridge *b)
{
    pc_free(b->pc);
    free(b);
}

static unsigned levels(const struct bridge *b)
{
    unsigned v = 0;
    for (unsigned n = 0; n < ISA_IRQS; n++)
        v |= b->irq[n].level << n;
    return v;
}

/* Any function with a pin will do as a source. */
static struct pci_device *source(struct bridge *b, const char *addr)
{
    return (struct pci_device *)pc_add(b->pc, "e1000", addr);
}

static void identity_and_reset(void **state)
{
    struct bridge *b = bridge_new();
    assert_int_equal(pc_conf_read(b->pc, PIIX3, 0, 4), 0x70008086);
    assert_int_equal(pc_conf_read(b->pc, PIIX3, 8, 4) >> 16, 0x0601);
    assert_int_equal(pc_conf_read(b->pc, PIIX3, 0x0e, 1), 0x80);
    assert_int_equal(pc_conf_read(b->pc, PIIX3, PCI_COMMAND, 2), 7);
    pc_conf_write(b->pc, PIIX3, PCI_COMMAND, 2, 0);
    assert_int_equal(pc_conf_read(b->pc, PIIX3, PCI_COMMAND, 2) & 7, 7);
    assert_int_equal(pc_conf_read(b->pc, PIIX3, PIRQRC, 4), 0x80808080);
    pc_conf_write(b->pc, PIIX3, PIRQRC, 4, 0xffffffff);
    assert_int_equal(pc_conf_read(b->pc, PIIX3, PIRQRC, 4), 0x8f8f8f8f);
    machine_reset_devices(b->pc->m);
    assert_int_equal(pc_conf_read(b->pc, PIIX3, PIRQRC, 4), 0x80808080);
    assert_string_equal(b->isa->bus.name, "isa.0");
    bridge_free(b);
}

static void pirqs_follow_their_routes(void **state)
{
    struct bridge *b = bridge_new();
    /* INTA of slots 1 to 4 is PIRQA to D, of slot 5 PIRQA again */
    struct pci_device *s3 = source(b, "03.0"), *s4 = source(b, "04.0"), *s7 = source(b, "07.0");
    pci_set_irq(s3, true);
    assert_int_equal(levels(b), 0); /* routed nowhere */
    pc_conf_write(b->pc, PIIX3, PIRQRC + 2, 1, 11);
    assert_int_equal(levels(b), 1 << 11);
    assert_int_equal(b->pc->bus->route_irq(b->pc->bus->irq_opaque, 2), 11);
    assert_int_equal(b->pc->bus->route_irq(b->pc->bus->irq_opaque, 3), -1);
    pc_conf_write(b->pc, PIIX3, PIRQRC + 2, 1, 10); /* moves with its level */
    assert_int_equal(levels(b), 1 << 10);
    pc_conf_write(b->pc, PIIX3, PIRQRC + 2, 1, 0x8a);
    assert_int_equal(levels(b), 0);
    pc_conf_write(b->pc, PIIX3, PIRQRC + 2, 1, 13); /* a reserved line */
    assert_int_equal(levels(b), 0);
    pc_conf_write(b->pc, PIIX3, PIRQRC, 4, 0x0b0a0505); /* D 11, C 10, B and A 5 */
    assert_int_equal(levels(b), 1 << 10);
    pci_set_irq(s7, true); /* shares PIRQC */
    pci_set_irq(s4, true);
    assert_int_equal(levels(b), 1 << 10 | 1 << 11);
    pci_set_irq(s3, false);
    assert_int_equal(levels(b), 1 << 10 | 1 << 11);
    pci_set_irq(s7, false);
    assert_int_equal(levels(b), 1 << 11);
    /* two PIRQs on one line */
    pc_conf_write(b->pc, PIIX3, PIRQRC, 4, 0x09090505);
    pci_set_irq(s3, true);
    assert_int_equal(levels(b), 1 << 9);
    pci_set_irq(s4, false);
    assert_int_equal(levels(b), 1 << 9);
    pci_set_irq(s3, false);
    assert_int_equal(levels(b), 0);
    bridge_free(b);
}

static void isa_and_pci_share_a_line(void **state)
{
    struct bridge *b = bridge_new();
    struct pci_device *s3 = source(b, "03.0");
    pc_conf_write(b->pc, PIIX3, PIRQRC + 2, 1, 9);
    irq_raise(b->isa->irqs[9]);
    assert_int_equal(levels(b), 1 << 9);
    pci_set_irq(s3, true);
    irq_lower(b->isa->irqs[9]);
    assert_int_equal(levels(b), 1 << 9);
    assert_int_equal(b->irq[9].rises, 1);
    irq_raise(b->isa->irqs[4]);
    assert_int_equal(levels(b), 1 << 9 | 1 << 4);
    pci_set_irq(s3, false);
    assert_int_equal(levels(b), 1 << 4);
    irq_pulse(b->isa->irqs[0]);
    assert_int_equal(b->irq[0].rises, 1);
    bridge_free(b);
}

static void reset_control(void **state)
{
    struct bridge *b = bridge_new();
    struct pc *pc = b->pc;
    assert_string_equal(pc_shown(pc->m->io, 0xcf9), "piix3-reset-control");
    assert_int_equal(pc_in(pc, 0xcf9, 1), 0);
    pc_out(pc, 0xcf9, 1, 0x02);
    assert_int_equal(pc->t->requests, 0);
    pc_out(pc, 0xcf9, 1, 0x06);
    assert_int_equal(pc->t->requests, 1);
    assert_int_equal(pc->t->last_request, REQUEST_RESET);
    pc_out(pc, 0xcf9, 1, 0x06); /* no new edge */
    assert_int_equal(pc->t->requests, 1);
    machine_reset_devices(pc->m);
    assert_int_equal(pc_in(pc, 0xcf9, 1), 0);
    pc_out(pc, 0xcf9, 1, 0x04); /* a soft one */
    assert_int_equal(pc->t->requests, 2);
    /* the address register of configuration mechanism 1 lies around it and does not disturb it */
    machine_reset_devices(pc->m);
    pc_out(pc, 0xcf8, 4, 0x8000ff00);
    assert_int_equal(pc->t->requests, 2);
    assert_int_equal(pc_in(pc, 0xcf8, 4), 0x8000ff00);
    assert_int_equal(pc_in(pc, 0xcf9, 1), 0);
    bridge_free(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(identity_and_reset),
        cmocka_unit_test(pirqs_follow_their_routes),
        cmocka_unit_test(isa_and_pci_share_a_line),
        cmocka_unit_test(reset_control),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
