/* Intel 440FX: the host bridge of the PC, in two halves.
 *
 * "i440FX-pcihost" sits on the system bus: configuration mechanism 1 on ports 0xcf8 and 0xcfc, the
 * PCI bus "pci.0" and the memory container "pci" behind everything that RAM does not cover. It
 * makes and owns the second half, "i440FX", function 00:00.0, whose registers say what is seen
 * between 640 KiB and 1 MiB: RAM or PCI.
 *
 * Intel 82441FX PCI and Memory Controller (PMC) datasheet, order 290549: section 3.2
 * (registers), 3.2.19 (PAM), 3.2.24 (SMRAM). Memory control registers (DRAM timing and row
 * boundaries) hold what is written and change nothing: there are no DRAM chips to drive.
 *
 * SMRAM, the RAM at A0000-BFFFF, is seen by cpus in system management mode while G_SMRAME is set,
 * and by everybody while D_OPEN is as well. D_CLS leaves it to the fetching of instructions: data
 * go to PCI, where the display is.
 *
 * Deviation: where PCI has nothing from C0000 on, the RAM beneath shows through, as containers
 * without contents do; hardware would end the cycle with all ones, as happens at A0000-BFFFF.
 *
 * Ownership: the machine owns the RAM region given as "ram"; everything else is in the two devices.
 * Machine lock for all of it. */
#include "base/log.h"
#include "dev/machine.h"
#include "dev/pci.h"
#include "dev/sysbus.h"
#include "mem/mem.h"
#include "mem/tap.h"

#include <string.h>

#define I440FX_HOST_TYPE "i440FX-pcihost"
#define I440FX_TYPE      "i440FX"

/* Configuration mechanism 1, PCI Local Bus Specification 3.0, 3.2.2.3.2:
 *
 *   31      30..24   23..16  15..11  10..8     7..2      1..0
 *   enable  reserved bus     device  function  register  0     */
enum {
    CONFIG_ADDRESS_PORT = 0xcf8,
    CONFIG_DATA_PORT = 0xcfc,
    CONFIG_ADDRESS_MASK = 0x00fffffc,
    CONFIG_ADDRESS_REGISTER = 0xfc,
};
#define CONFIG_ADDRESS_ENABLE 0x80000000u

/* Offsets in configuration space. */
enum {
    I440FX_PMCCFG = 0x50,
    I440FX_DETURBO = 0x52,
    I440FX_DBC = 0x53,
    I440FX_AXC = 0x54,
    I440FX_DRT = 0x55,
    I440FX_DRAMC = 0x57,
    I440FX_DRAMT = 0x58,
    I440FX_PAM0 = 0x59, /* ... 0x5f */
    I440FX_DRB0 = 0x60, /* ... 0x67 */
    I440FX_FDHC = 0x68,
    I440FX_MTT = 0x70,
    I440FX_CLT = 0x71,
    I440FX_SMRAM = 0x72,
    I440FX_SMRAM_C_BASE_SEG = 7 << 0, /* hardwired to 2: A0000-BFFFF */
    I440FX_SMRAM_G_SMRAME = 1 << 3,
    I440FX_SMRAM_D_LCK = 1 << 4,
    I440FX_SMRAM_D_CLS = 1 << 5,
    I440FX_SMRAM_D_OPEN = 1 << 6,
    I440FX_ERRCMD = 0x90,
    I440FX_ERRSTS = 0x91,
    I440FX_TRC = 0x93,
};

enum {
    PAM_REGISTERS = 7,
    PAM_SEGMENTS = 13,
    PAM_READ = 1 << 0,  /* reads go to RAM, else to PCI */
    PAM_WRITE = 1 << 1, /* writes go to RAM, else to PCI */
    PAM_SPACE_END = 0x100000,
    SMRAM_BASE = 0xa0000,
    SMRAM_SIZE = 0x20000,
};

struct i440fx;

/* One stretch of 16 or 64 KiB whose reads and writes are steered apart. At most one of the aliases
 * is enabled. */
struct pam_segment {
    struct i440fx *owner;
    uint32_t base;
    struct region ram; /* both to RAM */
    struct region rom; /* reads from RAM, writes to nowhere: nothing on this PCI bus takes them */
    struct region pci; /* reads from PCI */
    struct region shadow; /* over `pci`: sends the writes to RAM */
};

struct i440fx {
    struct pci_device pci;
    struct pam_segment pam[PAM_SEGMENTS];
    struct region smram;        /* the PCI side of A0000-BFFFF, over RAM */
    struct region smram_hidden; /* all ones under that, where PCI has nothing */
    struct region smram_low;    /* the RAM, as system management mode sees it */
    struct region smram_data;   /* a tap over it, with D_CLS: data accesses go where others' go */
};

struct i440fx_host {
    struct sysbus_device sysbus;
    struct region *ram;
    struct device *function; /* the other half */
    struct pci_bus bus;
    struct region pci_memory;
    struct region address_ports, data_ports;
    uint32_t config_address;
};

static struct i440fx_host *host_of(struct i440fx *s)
{
    return (struct i440fx_host *)pci_bus_of(&s->pci)->bus.parent;
}

/* ---- the function 00:00.0 ---- */

/* What each configuration byte beyond the header holds after reset, and which bits can be written.
 */
static const struct {
    uint8_t offset, count, reset, wmask;
} i440fx_bytes[] = {
    { I440FX_PMCCFG, 1, 0x00, 0x64 },  { I440FX_PMCCFG + 1, 1, 0x00, 0x82 },
    { I440FX_DETURBO, 1, 0x00, 0xff }, { I440FX_DBC, 1, 0x80, 0xff },
    { I440FX_AXC, 1, 0x00, 0x80 },     { I440FX_DRT, 2, 0x00, 0xff },
    { I440FX_DRAMC, 1, 0x01, 0x7f },   { I440FX_DRAMT, 1, 0x10, 0x7f },
    { I440FX_PAM0, 1, 0x00, 0x30 },    { I440FX_PAM0 + 1, 6, 0x00, 0x33 },
    { I440FX_DRB0, 8, 0x01, 0xff },    { I440FX_FDHC, 1, 0x00, 0xc0 },
    { I440FX_MTT, 1, 0x00, 0xf8 },     { I440FX_CLT, 1, 0x10, 0xf8 },
    { I440FX_SMRAM, 1, 0x02, 0x78 },   { I440FX_ERRCMD, 1, 0x00, 0xfb },
    { I440FX_TRC, 1, 0x00, 0x02 },
};

/* Segment 0 is the BIOS area, register PAM0 bits 5:4; the others follow from C0000 up, two to a
 * register, low nibble first. */
static uint32_t pam_base(unsigned segment)
{
    return segment == 0 ? 0xf0000 : 0xc0000 + (segment - 1) * 0x4000;
}

static uint32_t pam_size(unsigned segment)
{
    return segment == 0 ? 0x10000 : 0x4000;
}

static unsigned pam_attributes(const struct i440fx *s, unsigned segment)
{
    unsigned nibble = segment + 1; /* counted from the low nibble of PAM0 */
    return s->pci.config[I440FX_PAM0 + nibble / 2] >> (nibble & 1) * 4 & (PAM_READ | PAM_WRITE);
}

enum {
    I440FX_PAM,
    I440FX_SMRAM_OPEN,
};

static const struct trace_event i440fx_events[] = {
    [I440FX_PAM] = { "i440fx.pam",
                     "where reads and writes of a piece of memory below 1 MiB go",
                     { { "addr", TRACE_HEX },
                       { "size", TRACE_BYTES },
                       { "read_ram", TRACE_BOOL },
                       { "write_ram", TRACE_BOOL } } },
    [I440FX_SMRAM_OPEN] = { "i440fx.smram",
                            "memory for system management at 0xa0000 is open or closed",
                            { { "open", TRACE_BOOL } } },
};
struct trace_table i440fx_trace = TRACE_TABLE(i440fx_events);

/* The attributes that the regions show now. */
static unsigned pam_present(const struct pam_segment *p)
{
    return (p->pci.enabled ? 0 : PAM_READ) | (p->ram.enabled || p->shadow.enabled ? PAM_WRITE : 0);
}

static void i440fx_update_pam(struct i440fx *s)
{
    for (unsigned i = 0; i < PAM_SEGMENTS; i++) {
        struct pam_segment *p = &s->pam[i];
        unsigned a = pam_attributes(s, i);
        if (a != pam_present(p))
            TRACE(i440fx_trace, I440FX_PAM, device_source(&s->pci.dev), pam_base(i), pam_size(i),
                  !!(a & PAM_READ), !!(a & PAM_WRITE));
        region_set_enabled(&p->ram, a == (PAM_READ | PAM_WRITE));
        region_set_enabled(&p->rom, a == PAM_READ);
        region_set_enabled(&p->pci, !(a & PAM_READ));
        region_set_enabled(&p->shadow, a == PAM_WRITE);
    }
}

/* RAM lies beneath; PCI covers it unless SMRAM is enabled and open, for all but system management
 * mode (3.2.24). */
static void i440fx_update_smram(struct i440fx *s)
{
    uint8_t smram = s->pci.config[I440FX_SMRAM];
    bool enabled = smram & I440FX_SMRAM_G_SMRAME, open = enabled && smram & I440FX_SMRAM_D_OPEN;
    if (open == s->smram.enabled)
        TRACE(i440fx_trace, I440FX_SMRAM_OPEN, device_source(&s->pci.dev), open);
    region_set_enabled(&s->smram_hidden, !open);
    region_set_enabled(&s->smram, !open);
    region_set_enabled(&s->smram_low, enabled);
    region_set_enabled(&s->smram_data, enabled && smram & I440FX_SMRAM_D_CLS);
}

static bool smram_data_read(void *opaque, uint64_t offset, unsigned size, uint64_t *value)
{
    struct i440fx *s = opaque;
    address_space_load(s->pci.dev.machine->memory, SMRAM_BASE + offset, size, value);
    return false;
}

static bool smram_data_write(void *opaque, uint64_t offset, unsigned size, uint64_t *value)
{
    struct i440fx *s = opaque;
    address_space_store(s->pci.dev.machine->memory, SMRAM_BASE + offset, size, *value);
    return false;
}

/* Reads all ones, drops writes. */
static const struct region_ops smram_hidden_ops = {
    .valid = { .min = 1, .max = 8, .unaligned = true },
    .impl = { .min = 1, .max = 8, .unaligned = true },
};

static const struct tap_ops smram_data_ops = {
    .read = smram_data_read,
    .write = smram_data_write,
    .before = true,
};

static void i440fx_update(struct i440fx *s)
{
    struct mem *mem = s->pci.dev.machine->mem;
    mem_begin(mem);
    i440fx_update_pam(s);
    i440fx_update_smram(s);
    mem_commit(mem);
}

/* D_LCK stays until reset; it closes SMRAM and freezes D_OPEN and itself. */
static void i440fx_apply_smram_lock(struct i440fx *s)
{
    uint8_t *smram = &s->pci.config[I440FX_SMRAM];
    if (!(*smram & I440FX_SMRAM_D_LCK))
        return;
    *smram &= ~I440FX_SMRAM_D_OPEN;
    s->pci.wmask[I440FX_SMRAM] &=
        ~(I440FX_SMRAM_D_OPEN | I440FX_SMRAM_D_LCK | I440FX_SMRAM_G_SMRAME);
}

static void i440fx_config_written(struct pci_device *d, unsigned offset, uint32_t value,
                                  unsigned size)
{
    struct i440fx *s = (struct i440fx *)d;
    unsigned end = offset + size;
    if (end > I440FX_SMRAM && offset <= I440FX_SMRAM)
        i440fx_apply_smram_lock(s);
    if ((end > I440FX_PAM0 && offset < I440FX_PAM0 + PAM_REGISTERS) ||
        (end > I440FX_SMRAM && offset <= I440FX_SMRAM))
        i440fx_update(s);
}

/* Write-only shadowing: what PCI shows stays visible while it is copied onto itself into RAM. */
static bool pam_shadow_write(void *opaque, uint64_t offset, unsigned size, uint64_t *value)
{
    struct pam_segment *p = opaque;
    struct region *ram = host_of(p->owner)->ram;
    mem_ram_written(ram->mem, ram->ram_addr + p->base + offset, size);
    st_le(ram->host + p->base + offset, size, *value);
    return false;
}

static const struct tap_ops pam_shadow_ops = { .write = pam_shadow_write };

static void i440fx_make_segment(struct i440fx *s, unsigned n)
{
    struct machine *m = s->pci.dev.machine;
    struct i440fx_host *h = host_of(s);
    struct pam_segment *p = &s->pam[n];
    uint32_t base = pam_base(n), size = pam_size(n);

    p->owner = s;
    p->base = base;
    region_init_alias(&p->ram, m->mem, "pam-ram", h->ram, base, size);
    region_init_alias(&p->rom, m->mem, "pam-rom", h->ram, base, size);
    region_set_readonly(&p->rom, true);
    region_init_alias(&p->pci, m->mem, "pam-pci", &h->pci_memory, base, size);
    region_add(&m->system, base, &p->ram, 1);
    region_add(&m->system, base, &p->rom, 1);
    region_add(&m->system, base, &p->pci, 1);
    region_init_tap(&p->shadow, &m->system, "pam-shadow", base, size, &pam_shadow_ops, p);
}

static void i440fx_make_smram(struct i440fx *s)
{
    struct machine *m = s->pci.dev.machine;
    struct i440fx_host *h = host_of(s);
    region_init_io(&s->smram_hidden, m->mem, "smram-hidden", SMRAM_SIZE, &smram_hidden_ops, s);
    region_add(&m->system, SMRAM_BASE, &s->smram_hidden, 1);
    region_init_alias(&s->smram, m->mem, "smram-region", &h->pci_memory, SMRAM_BASE, SMRAM_SIZE);
    region_add(&m->system, SMRAM_BASE, &s->smram, 1);
    region_init_alias(&s->smram_low, m->mem, "smram-low", h->ram, SMRAM_BASE, SMRAM_SIZE);
    region_add(&m->smm, SMRAM_BASE, &s->smram_low, 10);
    region_init_tap(&s->smram_data, &m->smm, "smram-data", SMRAM_BASE, SMRAM_SIZE, &smram_data_ops,
                    s);
}

static bool i440fx_realize(struct device *d, struct error *err)
{
    struct i440fx *s = (struct i440fx *)d;
    struct machine *m = d->machine;
    if (!device_is_a(d->parent_bus->parent, I440FX_HOST_TYPE))
        return error_set(err,
                         "%s: it is half of an " I440FX_HOST_TYPE
                         ", which makes it: create that device instead",
                         device_name(d));

    for (unsigned i = 0; i < ARRAY_LEN(i440fx_bytes); i++)
        memset(&s->pci.wmask[i440fx_bytes[i].offset], i440fx_bytes[i].wmask, i440fx_bytes[i].count);
    s->pci.w1cmask[I440FX_ERRSTS] = 0x11;

    mem_begin(m->mem);
    for (unsigned i = 0; i < PAM_SEGMENTS; i++)
        i440fx_make_segment(s, i);
    i440fx_make_smram(s);
    i440fx_update(s);
    mem_commit(m->mem);
    return true;
}

static void i440fx_unrealize(struct device *d)
{
    struct i440fx *s = (struct i440fx *)d;
    mem_begin(d->machine->mem);
    for (unsigned i = 0; i < PAM_SEGMENTS; i++) {
        region_fini(&s->pam[i].shadow);
        region_fini(&s->pam[i].pci);
        region_fini(&s->pam[i].rom);
        region_fini(&s->pam[i].ram);
    }
    region_fini(&s->smram_data);
    region_fini(&s->smram_low);
    region_fini(&s->smram);
    region_fini(&s->smram_hidden);
    mem_commit(d->machine->mem);
}

static void i440fx_reset(struct device *d)
{
    struct i440fx *s = (struct i440fx *)d;
    for (unsigned i = 0; i < ARRAY_LEN(i440fx_bytes); i++)
        memset(&s->pci.config[i440fx_bytes[i].offset], i440fx_bytes[i].reset,
               i440fx_bytes[i].count);
    s->pci.wmask[I440FX_SMRAM] = 0x78;
    s->pci.config[I440FX_ERRSTS] = 0;
    i440fx_update(s);
}

static const struct state_field i440fx_state[] = {
    STATE_END, /* all of it is in configuration space */
};

static const struct pci_class i440fx_class = {
    .vendor = 0x8086,
    .device = 0x1237,
    .subsystem_vendor = 0x1af4,
    .subsystem = 0x1100,
    .revision = 2,
    .class_id = 0x0600,
    .config_written = i440fx_config_written,
};

const struct device_type i440fx_type = {
    .name = I440FX_TYPE,
    .parent = "pci-device",
    .fixed = true,
    .desc = "Intel 82441FX host bridge function; made by i440FX-pcihost",
    .instance_size = sizeof(struct i440fx),
    .state = i440fx_state,
    .realize = i440fx_realize,
    .unrealize = i440fx_unrealize,
    .reset = i440fx_reset,
    .class_data = (void *)&i440fx_class,
};

/* ---- the host's half ---- */

/* Only a doubleword at 0xcf8 is the configuration address; anything narrower is an ordinary port
 * access that nobody here answers. */
static uint64_t config_address_read(void *opaque, uint64_t offset, unsigned size)
{
    struct i440fx_host *h = opaque;
    return size == 4 ? h->config_address : bits_mask(size * 8);
}

static void config_address_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    struct i440fx_host *h = opaque;
    if (size == 4)
        h->config_address = value & (CONFIG_ADDRESS_ENABLE | CONFIG_ADDRESS_MASK);
}

static const struct region_ops config_address_ops = {
    .read = config_address_read,
    .write = config_address_write,
    .valid = { .min = 1, .max = 4 },
    .impl = { .min = 1, .max = 4 },
    .whole = true, /* 0xcf9 in its middle is another chip's */
};

/* Bus 0 is the only one there is. */
static struct pci_device *config_target(const struct i440fx_host *h)
{
    if (!(h->config_address & CONFIG_ADDRESS_ENABLE) || bits_get(h->config_address, 16, 8) != 0)
        return NULL;
    return pci_find((struct pci_bus *)&h->bus, bits_get(h->config_address, 8, 8));
}

static uint64_t config_data_read(void *opaque, uint64_t offset, unsigned size)
{
    struct i440fx_host *h = opaque;
    unsigned reg = (h->config_address & CONFIG_ADDRESS_REGISTER) + offset;
    return pci_config_read(config_target(h), reg, size) & bits_mask(size * 8);
}

static void config_data_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    struct i440fx_host *h = opaque;
    struct pci_device *d = config_target(h);
    if (d)
        pci_config_write(d, (h->config_address & CONFIG_ADDRESS_REGISTER) + offset, value, size);
}

static const struct region_ops config_data_ops = {
    .read = config_data_read,
    .write = config_data_write,
    .valid = { .min = 1, .max = 4 },
    .impl = { .min = 1, .max = 4 },
};

static bool host_check_ram(struct device *d, const struct region *ram, struct error *err)
{
    if (ram->kind != REGION_RAM)
        return error_set(err, "%s: property \"ram\": region \"%s\" is not RAM", device_name(d),
                         ram->name);
    if (ram->last + 1 < PAM_SPACE_END)
        return error_set(err,
                         "%s: property \"ram\": region \"%s\" has %llu bytes, less than the 1M "
                         "that this chipset steers",
                         device_name(d), ram->name, (unsigned long long)ram->last + 1);
    return true;
}

static void host_unmap(struct i440fx_host *h)
{
    mem_begin(h->sysbus.dev.machine->mem);
    region_fini(&h->data_ports);
    region_fini(&h->address_ports);
    pci_bus_fini(&h->bus);
    region_fini(&h->pci_memory);
    mem_commit(h->sysbus.dev.machine->mem);
}

static bool host_make_function(struct i440fx_host *h, struct error *err)
{
    struct device *fn = device_new(h->sysbus.dev.machine, I440FX_TYPE, NULL, err);
    if (!fn)
        return false;
    struct prop_value addr = { .type = VALUE_STRING, .s = "00.0" };
    if (!device_set_prop(fn, "addr", addr, err) || !device_realize(fn, &h->bus.bus, err)) {
        device_free(fn);
        return false;
    }
    h->function = fn;
    return true;
}

static bool host_realize(struct device *d, struct error *err)
{
    struct i440fx_host *h = (struct i440fx_host *)d;
    struct machine *m = d->machine;
    if (!host_check_ram(d, h->ram, err))
        return false;

    mem_begin(m->mem);
    region_init_container(&h->pci_memory, m->mem, "pci", REGION_SIZE_ALL);
    region_add(&m->system, 0, &h->pci_memory, -1);
    region_init_io(&h->address_ports, m->mem, "pci-conf-idx", 4, &config_address_ops, h);
    region_init_io(&h->data_ports, m->mem, "pci-conf-data", 4, &config_data_ops, h);
    region_add(&m->io_ports, CONFIG_ADDRESS_PORT, &h->address_ports, 0);
    region_add(&m->io_ports, CONFIG_DATA_PORT, &h->data_ports, 0);
    pci_bus_init(&h->bus, "pci.0", d, &h->pci_memory, &m->io_ports);
    device_init_gpio_out(d, "pme", &h->bus.pme, 1);
    mem_commit(m->mem);

    if (host_make_function(h, err))
        return true;
    host_unmap(h);
    return false;
}

/* The function goes with its host, unless somebody has freed it before. */
static void host_unrealize(struct device *d)
{
    struct i440fx_host *h = (struct i440fx_host *)d;
    struct device *fn = d->machine->devices;
    while (fn && fn != h->function)
        fn = fn->next;
    device_free(fn);
    h->function = NULL;
    host_unmap(h);
}

static void host_reset(struct device *d)
{
    struct i440fx_host *h = (struct i440fx_host *)d;
    h->config_address = 0;
}

static const struct prop host_props[] = {
    PROP(PROP_REGION, struct i440fx_host, ram, "ram", NULL,
         "the machine's RAM, of which windows below 1M are switched", .required = true),
    PROP_END,
};

static const struct state_field host_state[] = {
    STATE_U32(struct i440fx_host, config_address),
    STATE_END,
};

const struct device_type i440fx_pcihost_type = {
    .name = I440FX_HOST_TYPE,
    .parent = "sys-bus-device",
    .desc = "Intel 440FX host bridge with the PCI bus pci.0",
    .instance_size = sizeof(struct i440fx_host),
    .props = host_props,
    .state = host_state,
    .realize = host_realize,
    .unrealize = host_unrealize,
    .reset = host_reset,
};
