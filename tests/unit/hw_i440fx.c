/* The 440FX host bridge: configuration mechanism 1, and what the guest sees below 1 MiB as PAM and
 * SMRAM steer it. */
#include "hw_pci_fixture.h"

enum { PAM0 = 0x59, SMRAM = 0x72 };

/* A bridge with something on PCI from 0xa0000 to 1 MiB: "rom". */
struct covered {
    struct pc *pc;
    struct region rom;
};

static struct covered *covered_new(void)
{
    struct covered *c = calloc(1, sizeof *c);
    struct error err = { 0 };
    c->pc = pc_new();
    if (!region_init_rom(&c->rom, c->pc->m->mem, "rom", 0x60000, NULL, NULL, &err))
        fail_msg("%s", err.text);
    region_add(c->pc->bus->memory, 0xa0000, &c->rom, 1);
    machine_reset_devices(c->pc->m);
    return c;
}

static void covered_free(struct covered *c)
{
    region_fini(&c->rom);
    pc_free(c->pc);
    free(c);
}

static void configuration_mechanism(void **state)
{
    struct pc *pc = pc_new();
    assert_int_equal(pc_conf_read(pc, 0, 0, 4), 0x12378086);
    assert_int_equal(pc_conf_read(pc, 0, 2, 2), 0x1237);
    assert_int_equal(pc_conf_read(pc, 0, 3, 1), 0x12);
    assert_int_equal(pc_conf_read(pc, 0, 0x08, 4), 0x06000002);
    assert_int_equal(pc_conf_read(pc, 0, 0x2c, 4), 0x11001af4);
    assert_int_equal(pc_in(pc, 0xcf8, 4), 0x8000002c);
    /* nobody there, another bus, mechanism off */
    assert_int_equal(pc_conf_read(pc, PCI_DEVFN(5, 0), 0, 4), 0xffffffff);
    pc_out(pc, 0xcf8, 4, 0x80010000);
    assert_int_equal(pc_in(pc, 0xcfc, 4), 0xffffffff);
    pc_out(pc, 0xcf8, 4, 0x00000000);
    assert_int_equal(pc_in(pc, 0xcfc, 4), 0xffffffff);
    /* only doublewords reach the address register; reserved bits read 0 */
    pc_out(pc, 0xcf8, 4, 0xffffffff);
    assert_int_equal(pc_in(pc, 0xcf8, 4), 0x80fffffc);
    pc_out(pc, 0xcf8, 1, 0);
    pc_out(pc, 0xcfa, 2, 0);
    assert_int_equal(pc_in(pc, 0xcf8, 4), 0x80fffffc);
    assert_int_equal(pc_in(pc, 0xcfb, 1), 0xff);
    /* read-only registers stay, writable ones take their bits */
    pc_conf_write(pc, 0, 0, 4, 0);
    assert_int_equal(pc_conf_read(pc, 0, 0, 4), 0x12378086);
    pc_conf_write(pc, 0, 0x5a, 1, 0xff);
    assert_int_equal(pc_conf_read(pc, 0, 0x5a, 1), 0x33);
    machine_reset_devices(pc->m);
    assert_int_equal(pc_in(pc, 0xcf8, 4), 0);
    pc_free(pc);
}

/* The map after reset, as listings show it. */
static void map(void **state)
{
    struct covered *c = covered_new();
    struct pc *pc = c->pc;
    assert_string_equal(pc_shown(pc->m->io, 0xcf8), "pci-conf-idx");
    assert_string_equal(pc_shown(pc->m->io, 0xcff), "pci-conf-data");
    assert_string_equal(pc_shown(pc->m->memory, 0x9ffff), "pc.ram");
    assert_string_equal(pc_shown(pc->m->memory, 0xa0000), "rom");
    assert_string_equal(pc_shown(pc->m->memory, 0xc0000), "rom");
    assert_string_equal(pc_shown(pc->m->memory, 0xfffff), "rom");
    assert_string_equal(pc_shown(pc->m->memory, 0x100000), "pc.ram");

    unsigned pci = 0, segments = 0;
    for (size_t i = 0; i < pc->m->system.child_count; i++) {
        const struct region *r = pc->m->system.children[i];
        if (!strcmp(r->name, "pci")) {
            pci++;
            assert_int_equal(r->priority, -1);
            assert_true(region_size(r) == REGION_SIZE_ALL);
        } else if (!strncmp(r->name, "pam-", 4) && r->enabled) {
            segments++;
            assert_int_equal(r->priority, 1);
            assert_string_equal(r->name, "pam-pci");
        }
    }
    assert_int_equal(pci, 1);
    assert_int_equal(segments, 13);
    covered_free(c);
}

/* A ROM on PCI at 0xf0000, and every combination of the BIOS segment's two bits over it. */
static void pam_steers_reads_and_writes(void **state)
{
    struct covered *c = covered_new();
    struct pc *pc = c->pc;
    c->rom.host[0x50123] = 0x5a;
    pc->ram.host[0xf0123] = 0x11;

    assert_int_equal(pc_load(pc, 0xf0123, 1), 0x5a);
    pc_store(pc, 0xf0123, 1, 0x22); /* to the ROM, which drops it */
    assert_int_equal(pc_load(pc, 0xf0123, 1), 0x5a);
    assert_int_equal(pc->ram.host[0xf0123], 0x11);

    pc_conf_write(pc, 0, PAM0, 1, 0x20); /* shadow: read PCI, write RAM */
    for (unsigned i = 0x120; i < 0x128; i++)
        pc_store(pc, 0xf0000 + i, 1, pc_load(pc, 0xf0000 + i, 1));
    assert_int_equal(pc->ram.host[0xf0123], 0x5a);
    pc_store(pc, 0xf0130, 4, 0xcafef00d);
    assert_int_equal(pc_load(pc, 0xf0130, 4), 0);
    assert_int_equal(ld_le32(pc->ram.host + 0xf0130), 0xcafef00d);

    pc_conf_write(pc, 0, PAM0, 1, 0x10); /* read RAM, write nowhere */
    assert_int_equal(pc_load(pc, 0xf0130, 4), 0xcafef00d);
    pc_store(pc, 0xf0130, 4, 0);
    assert_int_equal(pc_load(pc, 0xf0130, 4), 0xcafef00d);

    pc_conf_write(pc, 0, PAM0, 1, 0x30); /* plain RAM */
    pc_store(pc, 0xf0130, 4, 0x01020304);
    assert_int_equal(pc_load(pc, 0xf0130, 4), 0x01020304);
    assert_int_equal(ld_le32(pc->ram.host + 0xf0130), 0x01020304);

    machine_reset_devices(pc->m);
    assert_int_equal(pc_load(pc, 0xf0123, 1), 0x5a);
    covered_free(c);
}

/* Each nibble of the seven registers opens its own segment and no other. */
static void pam_segments(void **state)
{
    struct covered *c = covered_new();
    struct pc *pc = c->pc;
    for (unsigned n = 0; n < 13; n++) {
        uint32_t base = n == 12 ? 0xf0000 : 0xc0000 + n * 0x4000;
        unsigned reg = n == 12 ? PAM0 : PAM0 + 1 + n / 2, shift = n == 12 || n % 2 ? 4 : 0;
        pc_conf_write(pc, 0, reg, 1, 3 << shift);
        for (uint32_t a = 0xc0000; a < 0x100000; a += 0x4000) {
            bool open = n == 12 ? a >= 0xf0000 : a == base;
            assert_string_equal(pc_shown(pc->m->memory, a), open ? "pc.ram" : "rom");
        }
        pc_conf_write(pc, 0, reg, 1, 0);
    }
    /* all at once: one stretch of RAM */
    pc_conf_write(pc, 0, PAM0 + 3, 4, 0x33333333);
    pc_conf_write(pc, 0, PAM0 + 1, 2, 0x3333);
    pc_conf_write(pc, 0, PAM0, 1, 0x30);
    const struct flat_range *r = flatview_lookup(address_space_view(pc->m->memory), 0xc0000);
    assert_int_equal(r->start, 0xc0000);
    assert_int_equal(r->last, PC_RAM_SIZE - 1);
    covered_free(c);
}

static void smram(void **state)
{
    struct covered *c = covered_new();
    struct pc *pc = c->pc;
    assert_int_equal(pc_conf_read(pc, 0, SMRAM, 1), 0x02);
    pc_conf_write(pc, 0, SMRAM, 1, 0x48 | 7);
    assert_int_equal(pc_conf_read(pc, 0, SMRAM, 1), 0x4a); /* the base is hardwired */
    assert_string_equal(pc_shown(pc->m->memory, 0xa0000), "pc.ram");
    assert_string_equal(pc_shown(pc->m->memory, 0xbffff), "pc.ram");
    pc_conf_write(pc, 0, SMRAM, 1, 0x40); /* open, but not enabled */
    assert_string_equal(pc_shown(pc->m->memory, 0xa0000), "rom");
    /* the lock closes it until reset */
    pc_conf_write(pc, 0, SMRAM, 1, 0x48);
    pc_conf_write(pc, 0, SMRAM, 1, 0x58);
    assert_int_equal(pc_conf_read(pc, 0, SMRAM, 1), 0x1a);
    pc_conf_write(pc, 0, SMRAM, 1, 0x48);
    assert_int_equal(pc_conf_read(pc, 0, SMRAM, 1), 0x1a);
    assert_string_equal(pc_shown(pc->m->memory, 0xa0000), "rom");
    machine_reset_devices(pc->m);
    pc_conf_write(pc, 0, SMRAM, 1, 0x48);
    assert_string_equal(pc_shown(pc->m->memory, 0xa0000), "pc.ram");
    covered_free(c);
}

/* The byte that system management mode has at `addr`, as data. */
static uint64_t smm_byte(struct pc *pc, uint64_t addr)
{
    uint64_t v = 0;
    address_space_load(pc->m->smm_memory, addr, 1, &v);
    return v;
}

/* Who sees the RAM at 0xa0000 with each setting: system management mode, everybody else. */
static void smram_of_system_management_mode(void **state)
{
    static const struct {
        uint8_t reg;
        bool smm, others;
    } settings[] = {
        { 0x02, false, false }, { 0x42, false, false }, { 0x0a, true, false },
        { 0x4a, true, true },   { 0x2a, false, false }, { 0x22, false, false },
    };
    struct covered *c = covered_new();
    struct pc *pc = c->pc;
    for (uint32_t a = 0xa0000; a < 0xc0000; a += 0x1ffff) {
        pc->ram.host[a] = 0x11;
        c->rom.host[a - 0xa0000] = 0x5a;
    }
    for (unsigned n = 0; n < ARRAY_LEN(settings); n++)
        for (uint32_t a = 0xa0000; a < 0xc0000; a += 0x1ffff) {
            pc_conf_write(pc, 0, SMRAM, 1, settings[n].reg);
            assert_int_equal(smm_byte(pc, a), settings[n].smm ? 0x11 : 0x5a);
            assert_int_equal(pc_load(pc, a, 1), settings[n].others ? 0x11 : 0x5a);
        }
    /* beside it both see the same */
    pc_conf_write(pc, 0, SMRAM, 1, 0x0a);
    assert_string_equal(pc_shown(pc->m->smm_memory, 0x9ffff), "pc.ram");
    assert_string_equal(pc_shown(pc->m->smm_memory, 0xc0000), "rom");
    assert_string_equal(pc_shown(pc->m->io, 0xcf8), "pci-conf-idx");
    /* what a lock leaves can still be closed to data, and nothing else */
    pc_conf_write(pc, 0, SMRAM, 1, 0x1a);
    pc_conf_write(pc, 0, SMRAM, 1, 0x62);
    assert_int_equal(pc_conf_read(pc, 0, SMRAM, 1), 0x3a);
    assert_int_equal(smm_byte(pc, 0xa0000), 0x5a);
    pc_conf_write(pc, 0, SMRAM, 1, 0x02);
    assert_int_equal(smm_byte(pc, 0xa0000), 0x11);
    /* without SMRAM there is one view of all */
    machine_reset_devices(pc->m);
    assert_ptr_equal(address_space_view(pc->m->smm_memory), address_space_view(pc->m->memory));
    covered_free(c);
}

/* Where PCI has nothing, what is there stays hidden all the same. */
static void smram_is_hidden(void **state)
{
    struct pc *pc = pc_new();
    machine_reset_devices(pc->m);
    pc->ram.host[0xa0000] = pc->ram.host[0xbffff] = 0x11;
    assert_int_equal(pc_load(pc, 0xa0000, 4), 0xffffffff);
    assert_int_equal(pc_load(pc, 0xbffff, 1), 0xff);
    pc_store(pc, 0xbffff, 1, 0x22);
    assert_int_equal(pc->ram.host[0xbffff], 0x11);
    pc_conf_write(pc, 0, SMRAM, 1, 0x0a);
    assert_int_equal(pc_load(pc, 0xa0000, 1), 0xff);
    assert_int_equal(smm_byte(pc, 0xbffff), 0x11);
    pc_conf_write(pc, 0, SMRAM, 1, 0x4a);
    assert_int_equal(pc_load(pc, 0xa0000, 1), 0x11);
    pc_free(pc);
}

/* With D_CLS instructions are still fetched from it, and data written land on PCI. */
static void smram_closed_to_data(void **state)
{
    struct covered *c = covered_new();
    struct pc *pc = c->pc;
    pc->ram.host[0xa1000] = 0x11;
    pc_conf_write(pc, 0, SMRAM, 1, 0x2a);
    const struct flat_range *r = flatview_lookup(address_space_view(pc->m->smm_memory), 0xa1000);
    assert_int_equal(r->region->kind, REGION_TAP);
    assert_null(r->host);
    r = flatview_lookup(r->beneath, 0xa1000);
    assert_ptr_equal(r->host + (0xa1000 - r->start), pc->ram.host + 0xa1000);
    address_space_store(pc->m->smm_memory, 0xa1000, 1, 0x77);
    assert_int_equal(pc->ram.host[0xa1000], 0x11);
    covered_free(c);
}

static void refusals(void **state)
{
    struct test_machine *t = test_machine_new(hw_types);
    struct error err = { 0 };
    struct region small;
    struct device *host = test_device(t, "i440FX-pcihost", NULL);
    assert_false(device_realize(host, NULL, &err));
    assert_contains(err.text, "ram");
    assert_true(region_init_ram(&small, t->m.mem, "tiny.ram", 0x80000, &err));
    pc_set_object(host, "ram", &small);
    err.text[0] = 0;
    assert_false(device_realize(host, NULL, &err));
    assert_contains(err.text, "tiny.ram");
    assert_contains(err.text, "1M");
    assert_int_equal(t->m.system.child_count, 0);
    device_free(host);
    region_fini(&small);
    test_machine_free(t);

    struct pc *pc = pc_new();
    struct device *second = test_device(pc->t, "i440FX", NULL);
    err.text[0] = 0;
    test_set(second, "addr", "00.0");
    assert_false(device_realize(second, &pc->bus->bus, &err));
    assert_contains(err.text, "taken");
    device_free(second);
    /* taken down and brought up again, alone and with its bus mapped */
    device_unrealize(pc->host);
    assert_string_equal(pc_shown(pc->m->memory, 0xa0000), "pc.ram");
    test_realize(pc->host, NULL);
    assert_int_equal(pc_conf_read(pc, 0, 0, 4), 0x12378086);
    pc_free(pc);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(configuration_mechanism),
        cmocka_unit_test(map),
        cmocka_unit_test(pam_steers_reads_and_writes),
        cmocka_unit_test(pam_segments),
        cmocka_unit_test(smram),
        cmocka_unit_test(smram_of_system_management_mode),
        cmocka_unit_test(smram_is_hidden),
        cmocka_unit_test(smram_closed_to_data),
        cmocka_unit_test(refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
