/* PIIX4 power management, function 01:00.3: ACPI timer, events and sleep, SMBus host, APM ports.
 *
 * Intel 82371AB (PIIX4) datasheet, order 290562: 7.1 (configuration), 7.2 (power management
 * I/O), 7.3 (SMBus I/O); the register blocks' meaning is that of the ACPI specification 6.4,
 * chapter 4.8.
 *
 * Three things are the PC platform's rather than the chip's: the general-purpose event block
 * "acpi-gpe0" at 0xafe0; sleep types, which firmware may choose (S5 0, S3 1, S4 `s4_val`); and that
 * a write of ACPI enable or disable to the APM command port takes effect at once, because there may
 * be no firmware in system management mode that would do it.
 *
 * A write of that port is an SMI of the boot cpu while APMC_EN is set, whatever SMI_EN of GLBCTL,
 * which is not there, would say: firmware for virtual PCs sets the one and relocates the boot cpu's
 * SMBASE alone. Events while SCI_EN is off set their status bit and make no SMI.
 *
 * All time is virtual. Machine lock for all of it. */
#include "base/log.h"
#include "dev/cpu_port.h"
#include "dev/machine.h"
#include "dev/pci.h"
#include "mem/mem.h"

/* Offsets in configuration space. */
enum {
    PIIX4_PMBA = 0x40,
    PIIX4_PMBA_MASK = 0xffc0,
    PIIX4_DEVACTB = 0x58,
    PIIX4_DEVACTB_APMC_EN = 1 << 25,
    PIIX4_PMREGMISC = 0x80,
    PIIX4_PMREGMISC_PMIOSE = 1 << 0,
    PIIX4_SMBBA = 0x90,
    PIIX4_SMBBA_MASK = 0xfff0,
    PIIX4_SMBHSTCFG = 0xd2,
    PIIX4_SMBHSTCFG_ENABLE = 1 << 0,
    PIIX4_SMBHSTCFG_INTRSEL = 7 << 1,
    PIIX4_SMBHSTCFG_IRQ9 = 4 << 1,
    PIIX4_BASE_IS_IO = 1, /* bit 0 of a base register, hardwired */
};

/* Offsets from PMBA. PMSTS and PMEN are the region "acpi-evt", PMCNTRL "acpi-cnt", PMTMR
 * "acpi-tmr". */
enum {
    PIIX4_PMSTS = 0x00,
    PIIX4_PMEN = 0x02,
    PIIX4_PM_TMROF = 1 << 0,
    PIIX4_PM_GBL = 1 << 5,
    PIIX4_PM_PWRBTN = 1 << 8,
    PIIX4_PM_RTC = 1 << 10,
    PIIX4_PM_RSM = 1 << 15,
    PIIX4_PMSTS_BITS =
        PIIX4_PM_TMROF | 1 << 4 | PIIX4_PM_GBL | PIIX4_PM_PWRBTN | PIIX4_PM_RTC | PIIX4_PM_RSM,
    PIIX4_PMEN_BITS = PIIX4_PM_TMROF | PIIX4_PM_GBL | PIIX4_PM_PWRBTN | PIIX4_PM_RTC,
    PIIX4_PMCNTRL = 0x04,
    PIIX4_PMCNTRL_SCI_EN = 1 << 0,
    PIIX4_PMCNTRL_BRLD_EN = 1 << 1,
    PIIX4_PMCNTRL_SUS_TYP = 7 << 10,
    PIIX4_PMCNTRL_SUS_EN = 1 << 13, /* reads 0 */
    PIIX4_PMCNTRL_KEPT = PIIX4_PMCNTRL_SCI_EN | PIIX4_PMCNTRL_BRLD_EN | PIIX4_PMCNTRL_SUS_TYP,
    PIIX4_PMTMR = 0x08,
    PIIX4_PM_IO_SIZE = 64,
};

/* Offsets from SMBBA. */
enum {
    SMBHSTSTS = 0x00,
    SMBHSTSTS_DEV_ERR = 1 << 2,
    SMBHSTSTS_FAILED = 1 << 4,
    SMBHSTSTS_EVENTS = 0x1e,
    SMBHSTCNT = 0x02,
    SMBHSTCNT_INTEREN = 1 << 0,
    SMBHSTCNT_KILL = 1 << 1,
    SMBHSTCNT_START = 1 << 6, /* reads 0 */
    SMBHSTCMD = 0x03,
    SMBHSTADD = 0x04,
    SMBHSTDAT0 = 0x05,
    SMBHSTDAT1 = 0x06,
    SMBBLKDAT = 0x07,
    SMBUS_IO_SIZE = 64,
    SMBUS_BLOCK_SIZE = 32,
};

enum {
    APM_PORT = 0xb2,
    APM_ACPI_ENABLE = 0xf1,
    APM_ACPI_DISABLE = 0xf0,
    GPE0_PORT = 0xafe0,
    GPES = 16,
    SLEEP_TYPE_S5 = 0,
    SLEEP_TYPE_S3 = 1,
};

/* ACPI 4.8.2.1: the timer's frequency; its top bit changes every 2^23 ticks. */
#define PM_TIMER_HZ   3579545
#define PM_TIMER_MASK 0xffffffu
#define PM_TIMER_HALF (1ull << 23)

struct piix4_pm {
    struct pci_device pci;
    uint32_t smb_io_base;
    uint8_t disable_s3, disable_s4, s4_val;
    struct irq *sci;
    struct region pm, evt, cnt, tmr, smbus, apm, gpe;
    uint16_t pmsts, pmen, pmcntrl;
    int64_t timer_base_ns; /* virtual time at which the timer was 0 */
    uint64_t timer_carry;  /* tick, counted in 64 bits, at which the top bit changes next */
    struct timer overflow; /* set while an overflow would interrupt */
    uint16_t gpe_sts, gpe_en;
    uint8_t apm_command, apm_status;
    uint8_t smbhststs, smbhstcnt, smbhstcmd, smbhstadd, smbhstdat[2];
    uint8_t smb_block[SMBUS_BLOCK_SIZE], smb_block_index;
};

enum {
    PM_TRACE_SCI,
    PM_TRACE_SLEEP,
    PM_TRACE_BUTTON,
    PM_TRACE_GPE,
    PM_TRACE_APM,
    PM_TRACE_SMBUS,
};

static const struct trace_event pm_events[] = {
    [PM_TRACE_SCI] = { "pm.sci",
                       "the system control interrupt: status and enable bits",
                       { { "level", TRACE_BOOL },
                         { "status", TRACE_HEX },
                         { "enable", TRACE_HEX } } },
    [PM_TRACE_SLEEP] = { "pm.sleep",
                         "the guest asks for a sleep state",
                         { { "type", TRACE_DEC } } },
    [PM_TRACE_BUTTON] = { "pm.power_button", "the power button is pressed", { { NULL } } },
    [PM_TRACE_GPE] = { "pm.gpe", "a general purpose event", { { "n", TRACE_DEC } } },
    [PM_TRACE_APM] = { "pm.apm",
                       "the guest writes the APM command port",
                       { { "command", TRACE_HEX } } },
    [PM_TRACE_SMBUS] = { "pm.smbus",
                         "the guest starts a transfer on the SMBus",
                         { { "address", TRACE_HEX }, { "command", TRACE_HEX } } },
};
struct trace_table piix4_pm_trace = TRACE_TABLE(pm_events);

/* ---- timer and the interrupt line ---- */

/* 64-bit count since reset. */
static uint64_t pm_ticks(const struct piix4_pm *s)
{
    int64_t ns = clock_now(&s->pci.dev.machine->virtual) - s->timer_base_ns;
    return ns <= 0 ? 0 : (uint64_t)((unsigned __int128)ns * PM_TIMER_HZ / NS_PER_SECOND);
}

/* The first virtual time at which pm_ticks() gives `tick`. */
static int64_t pm_tick_time(const struct piix4_pm *s, uint64_t tick)
{
    unsigned __int128 ns =
        ((unsigned __int128)tick * NS_PER_SECOND + PM_TIMER_HZ - 1) / PM_TIMER_HZ;
    return s->timer_base_ns + (int64_t)ns;
}

/* The overflow bit is worked out when somebody looks, so that no timer runs for nobody. */
static void pm_note_overflow(struct piix4_pm *s)
{
    uint64_t now = pm_ticks(s);
    if (now < s->timer_carry)
        return;
    s->pmsts |= PIIX4_PM_TMROF;
    s->timer_carry = align_down(now, PM_TIMER_HALF) + PM_TIMER_HALF;
}

static bool pm_smbus_interrupts(const struct piix4_pm *s)
{
    uint8_t cfg = s->pci.config[PIIX4_SMBHSTCFG];
    return s->smbhststs & SMBHSTSTS_EVENTS && s->smbhstcnt & SMBHSTCNT_INTEREN &&
           (cfg & PIIX4_SMBHSTCFG_INTRSEL) == PIIX4_SMBHSTCFG_IRQ9;
}

static void pm_update(struct piix4_pm *s)
{
    pm_note_overflow(s);
    bool event = (s->pmsts & s->pmen & PIIX4_PMEN_BITS) || (s->gpe_sts & s->gpe_en);
    bool sci = (event && s->pmcntrl & PIIX4_PMCNTRL_SCI_EN) || pm_smbus_interrupts(s);
    if (s->sci && s->sci->level != sci)
        TRACE(piix4_pm_trace, PM_TRACE_SCI, device_source(&s->pci.dev), sci, s->pmsts, s->pmen);
    irq_set(s->sci, sci);

    if (s->pmen & PIIX4_PM_TMROF && !(s->pmsts & PIIX4_PM_TMROF))
        timer_set(&s->overflow, pm_tick_time(s, s->timer_carry));
    else
        timer_cancel(&s->overflow);
}

static void pm_overflow_fired(void *opaque)
{
    pm_update(opaque);
}

static void pm_power_button(void *opaque, int n, bool level)
{
    struct piix4_pm *s = opaque;
    if (!level)
        return;
    TRACE(piix4_pm_trace, PM_TRACE_BUTTON, device_source(&s->pci.dev));
    s->pmsts |= PIIX4_PM_PWRBTN;
    pm_update(s);
}

static void pm_gpe(void *opaque, int n, bool level)
{
    struct piix4_pm *s = opaque;
    if (!level)
        return;
    TRACE(piix4_pm_trace, PM_TRACE_GPE, device_source(&s->pci.dev), (uint64_t)n);
    s->gpe_sts |= 1 << n;
    pm_update(s);
}

/* ---- "acpi-evt", "acpi-cnt", "acpi-tmr": bytes, so that a narrow access touches nothing beside
 * itself ---- */

static uint64_t evt_read(void *opaque, uint64_t offset, unsigned size)
{
    struct piix4_pm *s = opaque;
    pm_note_overflow(s);
    return ((uint32_t)s->pmen << 16 | s->pmsts) >> offset * 8 & 0xff;
}

static void evt_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    struct piix4_pm *s = opaque;
    pm_note_overflow(s);
    if (offset < PIIX4_PMEN)
        s->pmsts &= ~(value << offset * 8);
    else
        s->pmen = bits_put(s->pmen, (offset - PIIX4_PMEN) * 8, 8, value) & PIIX4_PMEN_BITS;
    pm_update(s);
}

static void pm_sleep(struct piix4_pm *s)
{
    struct machine *m = s->pci.dev.machine;
    const char *who = device_name(&s->pci.dev);
    unsigned type = s->pmcntrl >> 10 & 7;
    TRACE(piix4_pm_trace, PM_TRACE_SLEEP, device_source(&s->pci.dev), type);

    if (type == SLEEP_TYPE_S5)
        machine_request(m, REQUEST_POWEROFF, 0, who);
    else if (type == SLEEP_TYPE_S3 && !s->disable_s3)
        machine_request(m, REQUEST_SUSPEND, 0, who);
    else if (type == s->s4_val && !s->disable_s4) /* its image is on disk: the power goes */
        machine_request(m, REQUEST_POWEROFF, 0, who);
    else
        log_guest(who, "sleep type %u is not one that this machine has", type);
}

static uint64_t cnt_read(void *opaque, uint64_t offset, unsigned size)
{
    struct piix4_pm *s = opaque;
    return s->pmcntrl >> offset * 8 & 0xff;
}

static void cnt_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    struct piix4_pm *s = opaque;
    s->pmcntrl = bits_put(s->pmcntrl, offset * 8, 8, value) & PIIX4_PMCNTRL_KEPT;
    pm_update(s);
    if (value << offset * 8 & PIIX4_PMCNTRL_SUS_EN)
        pm_sleep(s);
}

static uint64_t tmr_read(void *opaque, uint64_t offset, unsigned size)
{
    return pm_ticks(opaque) & PM_TIMER_MASK;
}

static void tmr_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    struct piix4_pm *s = opaque;
    log_guest(device_name(&s->pci.dev), "write of %#llx to the PM timer, which is read-only",
              (unsigned long long)value);
}

static const struct region_ops evt_ops = {
    .read = evt_read,
    .write = evt_write,
    .valid = { .min = 1, .max = 4 },
    .impl = { .min = 1, .max = 1 },
};
static const struct region_ops cnt_ops = {
    .read = cnt_read,
    .write = cnt_write,
    .valid = { .min = 1, .max = 2 },
    .impl = { .min = 1, .max = 1 },
};
static const struct region_ops tmr_ops = {
    .read = tmr_read,
    .write = tmr_write,
    .valid = { .min = 1, .max = 4 },
    .impl = { .min = 4, .max = 4 },
};

/* ---- "acpi-gpe0": status in the first half, enable in the second ---- */

static uint64_t gpe_read(void *opaque, uint64_t offset, unsigned size)
{
    struct piix4_pm *s = opaque;
    return ((uint32_t)s->gpe_en << 16 | s->gpe_sts) >> offset * 8 & 0xff;
}

static void gpe_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    struct piix4_pm *s = opaque;
    if (offset < 2)
        s->gpe_sts &= ~(value << offset * 8);
    else
        s->gpe_en = bits_put(s->gpe_en, (offset - 2) * 8, 8, value);
    pm_update(s);
}

static const struct region_ops gpe_ops = {
    .read = gpe_read,
    .write = gpe_write,
    .valid = { .min = 1, .max = 4 },
    .impl = { .min = 1, .max = 1 },
};

/* ---- "apm-io": command and status ---- */

static uint64_t apm_read(void *opaque, uint64_t offset, unsigned size)
{
    struct piix4_pm *s = opaque;
    return offset == 0 ? s->apm_command : s->apm_status;
}

static void apm_smi(struct piix4_pm *s)
{
    struct machine *m = s->pci.dev.machine;
    struct cpu_port *boot = m->cpu_count ? m->cpus[0] : NULL;
    if (ld_le32(s->pci.config + PIIX4_DEVACTB) & PIIX4_DEVACTB_APMC_EN && boot && boot->pins)
        boot->pins->smi(boot);
}

static void apm_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    struct piix4_pm *s = opaque;
    if (offset != 0) {
        s->apm_status = value;
        return;
    }
    TRACE(piix4_pm_trace, PM_TRACE_APM, device_source(&s->pci.dev), value);
    s->apm_command = value;
    if (value == APM_ACPI_ENABLE)
        s->pmcntrl |= PIIX4_PMCNTRL_SCI_EN;
    else if (value == APM_ACPI_DISABLE)
        s->pmcntrl &= ~PIIX4_PMCNTRL_SCI_EN;
    pm_update(s);
    apm_smi(s);
}

static const struct region_ops apm_ops = {
    .read = apm_read,
    .write = apm_write,
    .valid = { .min = 1, .max = 2 },
    .impl = { .min = 1, .max = 1 },
};

/* ---- "pm-smbus": a host controller on a bus where nobody answers (7.3) ---- */

static uint64_t smbus_read(void *opaque, uint64_t offset, unsigned size)
{
    struct piix4_pm *s = opaque;
    switch (offset) {
    case SMBHSTSTS:
        return s->smbhststs;
    case SMBHSTCNT: /* reading it starts the block buffer anew */
        s->smb_block_index = 0;
        return s->smbhstcnt;
    case SMBHSTCMD:
        return s->smbhstcmd;
    case SMBHSTADD:
        return s->smbhstadd;
    case SMBHSTDAT0:
    case SMBHSTDAT1:
        return s->smbhstdat[offset - SMBHSTDAT0];
    case SMBBLKDAT:
        return s->smb_block[s->smb_block_index++ % SMBUS_BLOCK_SIZE];
    default: /* the slave half is idle */
        return 0;
    }
}

static void smbus_control(struct piix4_pm *s, uint8_t value)
{
    s->smbhstcnt = value & ~SMBHSTCNT_START;
    if (value & SMBHSTCNT_START)
        TRACE(piix4_pm_trace, PM_TRACE_SMBUS, device_source(&s->pci.dev), s->smbhstadd,
              s->smbhstcmd);
    if (value & SMBHSTCNT_KILL)
        s->smbhststs |= SMBHSTSTS_FAILED;
    else if (value & SMBHSTCNT_START)
        s->smbhststs |= SMBHSTSTS_DEV_ERR; /* no acknowledge from any address */
}

static void smbus_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    struct piix4_pm *s = opaque;
    switch (offset) {
    case SMBHSTSTS:
        s->smbhststs &= ~(value & SMBHSTSTS_EVENTS);
        break;
    case SMBHSTCNT:
        smbus_control(s, value);
        break;
    case SMBHSTCMD:
        s->smbhstcmd = value;
        break;
    case SMBHSTADD:
        s->smbhstadd = value;
        break;
    case SMBHSTDAT0:
    case SMBHSTDAT1:
        s->smbhstdat[offset - SMBHSTDAT0] = value;
        break;
    case SMBBLKDAT:
        s->smb_block[s->smb_block_index++ % SMBUS_BLOCK_SIZE] = value;
        break;
    default:
        break;
    }
    pm_update(s);
}

static const struct region_ops smbus_ops = {
    .read = smbus_read,
    .write = smbus_write,
    .valid = { .min = 1, .max = 4 },
    .impl = { .min = 1, .max = 1 },
};

/* ---- configuration space and lifecycle ---- */

/* The two windows move with their base registers and have enable bits of their own
 * (7.1.12, 7.1.27). */
static void pm_update_windows(struct piix4_pm *s)
{
    const uint8_t *config = s->pci.config;
    mem_begin(s->pci.dev.machine->mem);
    region_set_addr(&s->pm, ld_le16(config + PIIX4_PMBA) & PIIX4_PMBA_MASK);
    region_set_enabled(&s->pm, config[PIIX4_PMREGMISC] & PIIX4_PMREGMISC_PMIOSE);
    region_set_addr(&s->smbus, ld_le16(config + PIIX4_SMBBA) & PIIX4_SMBBA_MASK);
    region_set_enabled(&s->smbus, config[PIIX4_SMBHSTCFG] & PIIX4_SMBHSTCFG_ENABLE);
    mem_commit(s->pci.dev.machine->mem);
}

static void pm_config_written(struct pci_device *d, unsigned offset, uint32_t value, unsigned size)
{
    if (offset < PIIX4_PMBA)
        return;
    pm_update_windows((struct piix4_pm *)d);
    pm_update((struct piix4_pm *)d);
}

static void pm_set_masks(struct piix4_pm *s)
{
    st_le16(&s->pci.wmask[PIIX4_PMBA], PIIX4_PMBA_MASK);
    st_le32(&s->pci.wmask[PIIX4_DEVACTB], PIIX4_DEVACTB_APMC_EN);
    s->pci.wmask[PIIX4_PMREGMISC] = PIIX4_PMREGMISC_PMIOSE;
    st_le16(&s->pci.wmask[PIIX4_SMBBA], PIIX4_SMBBA_MASK);
    s->pci.wmask[PIIX4_SMBHSTCFG] = PIIX4_SMBHSTCFG_ENABLE | PIIX4_SMBHSTCFG_INTRSEL;
}

static bool pm_init(struct device *d, struct error *err)
{
    struct piix4_pm *s = (struct piix4_pm *)d;
    device_init_gpio_out(d, "sci", &s->sci, 1);
    device_init_gpio_in(d, "power-button", pm_power_button, 1);
    device_init_gpio_in(d, "gpe", pm_gpe, GPES);
    timer_init(&s->overflow, &d->machine->virtual, pm_overflow_fired, s);
    return true;
}

static bool pm_realize(struct device *d, struct error *err)
{
    struct piix4_pm *s = (struct piix4_pm *)d;
    struct mem *mem = d->machine->mem;
    struct region *io = &d->machine->io_ports;

    if (s->smb_io_base & ~PIIX4_SMBBA_MASK)
        return error_set(err, "%s: smb_io_base %#x is not a port number that is a multiple of 16",
                         device_name(d), s->smb_io_base);
    pm_set_masks(s);

    mem_begin(mem);
    region_init_container(&s->pm, mem, "piix4-pm", PIIX4_PM_IO_SIZE);
    region_init_io(&s->evt, mem, "acpi-evt", 4, &evt_ops, s);
    region_init_io(&s->cnt, mem, "acpi-cnt", 2, &cnt_ops, s);
    region_init_io(&s->tmr, mem, "acpi-tmr", 4, &tmr_ops, s);
    region_add(&s->pm, PIIX4_PMSTS, &s->evt, 0);
    region_add(&s->pm, PIIX4_PMCNTRL, &s->cnt, 0);
    region_add(&s->pm, PIIX4_PMTMR, &s->tmr, 0);
    region_init_io(&s->smbus, mem, "pm-smbus", SMBUS_IO_SIZE, &smbus_ops, s);
    region_init_io(&s->apm, mem, "apm-io", 2, &apm_ops, s);
    region_init_io(&s->gpe, mem, "acpi-gpe0", 4, &gpe_ops, s);
    region_set_enabled(&s->pm, false);
    region_set_enabled(&s->smbus, false);
    region_add(io, 0, &s->pm, 0);
    region_add(io, 0, &s->smbus, 0);
    region_add(io, APM_PORT, &s->apm, 0);
    region_add(io, GPE0_PORT, &s->gpe, 0);
    mem_commit(mem);
    return true;
}

static void pm_unrealize(struct device *d)
{
    struct piix4_pm *s = (struct piix4_pm *)d;
    timer_cancel(&s->overflow);
    mem_begin(d->machine->mem);
    region_fini(&s->gpe);
    region_fini(&s->apm);
    region_fini(&s->smbus);
    region_fini(&s->tmr);
    region_fini(&s->cnt);
    region_fini(&s->evt);
    region_fini(&s->pm);
    mem_commit(d->machine->mem);
}

/* A given `smb_io_base` leaves the SMBus where firmware would have put it. */
static void pm_reset(struct device *d)
{
    struct piix4_pm *s = (struct piix4_pm *)d;
    uint8_t *config = s->pci.config;

    st_le32(config + PIIX4_PMBA, PIIX4_BASE_IS_IO);
    st_le32(config + PIIX4_DEVACTB, 0);
    config[PIIX4_PMREGMISC] = 0;
    st_le32(config + PIIX4_SMBBA, s->smb_io_base | PIIX4_BASE_IS_IO);
    config[PIIX4_SMBHSTCFG] = s->smb_io_base ? PIIX4_SMBHSTCFG_IRQ9 | PIIX4_SMBHSTCFG_ENABLE : 0;

    s->pmsts = s->pmen = s->pmcntrl = 0;
    s->gpe_sts = s->gpe_en = 0;
    s->apm_command = s->apm_status = 0;
    s->smbhststs = s->smbhstcnt = s->smbhstcmd = s->smbhstadd = 0;
    s->smbhstdat[0] = s->smbhstdat[1] = s->smb_block_index = 0;
    memset(s->smb_block, 0, sizeof s->smb_block);
    s->timer_base_ns = clock_now(&d->machine->virtual);
    s->timer_carry = PM_TIMER_HALF;
    pm_update_windows(s);
    pm_update(s);
}

static const struct prop pm_props[] = {
    PROP(PROP_U32, struct piix4_pm, smb_io_base, "smb_io_base", "0x700",
         "port of the SMBus host after reset; 0: firmware places it"),
    PROP(PROP_U8, struct piix4_pm, disable_s3, "disable_s3", "0", "1: refuse to suspend to RAM",
         .max = 1),
    PROP(PROP_U8, struct piix4_pm, disable_s4, "disable_s4", "0", "1: refuse to suspend to disk",
         .max = 1),
    PROP(PROP_U8, struct piix4_pm, s4_val, "s4_val", "2", "sleep type that means S4", .min = 2,
         .max = 7),
    PROP_END,
};

static const struct state_field pm_state[] = {
    STATE_U16(struct piix4_pm, pmsts),          STATE_U16(struct piix4_pm, pmen),
    STATE_U16(struct piix4_pm, pmcntrl),        STATE_I64(struct piix4_pm, timer_base_ns),
    STATE_U64(struct piix4_pm, timer_carry),    STATE_TIMER(struct piix4_pm, overflow),
    STATE_U16(struct piix4_pm, gpe_sts),        STATE_U16(struct piix4_pm, gpe_en),
    STATE_U8(struct piix4_pm, apm_command),     STATE_U8(struct piix4_pm, apm_status),
    STATE_U8(struct piix4_pm, smbhststs),       STATE_U8(struct piix4_pm, smbhstcnt),
    STATE_U8(struct piix4_pm, smbhstcmd),       STATE_U8(struct piix4_pm, smbhstadd),
    STATE_BYTES(struct piix4_pm, smbhstdat),    STATE_BYTES(struct piix4_pm, smb_block),
    STATE_U8(struct piix4_pm, smb_block_index), STATE_END,
};

static const struct pci_class pm_class = {
    .vendor = 0x8086,
    .device = 0x7113,
    .subsystem_vendor = 0x1af4,
    .subsystem = 0x1100,
    .revision = 3,
    .class_id = 0x0680,
    .interrupt_pin = 1,
    .config_written = pm_config_written,
};

const struct device_type piix4_pm_type = {
    .name = "PIIX4_PM",
    .parent = "pci-device",
    .fixed = true,
    .desc = "Intel 82371AB power management: ACPI timer, events, sleep and SMBus",
    .instance_size = sizeof(struct piix4_pm),
    .props = pm_props,
    .state = pm_state,
    .init = pm_init,
    .realize = pm_realize,
    .unrealize = pm_unrealize,
    .reset = pm_reset,
    .class_data = (void *)&pm_class,
};
