/* Local APIC: the registers, by memory (xAPIC) and by MSR (x2APIC), and what the cpu is offered.
 *
 * Intel SDM vol. 3, chapter 10 (version 0x14, six LVT entries). An APIC belongs to one cpu: it
 * drives the INTR pin and answers acknowledge, and passes NMI, SMI, INIT and SIPI on to the cpu's
 * other pins. Pin LINT0 takes the 8259A's INT output, and `extint` names the 8259A that gives the
 * vector. Delivery is instant, so delivery status bits are always 0. The CMCI entry and
 * EOI-broadcast suppression are not there, as the version register says. */
#include "base/log.h"
#include "hw/intc/apic_internal.h"

#include <string.h>

/* Registers, as offset in the page >> 4, which is also the MSR number - 0x800 (table 10-1, 10-6).
 */
enum {
    APIC_ID = 0x02,
    APIC_VERSION = 0x03,
    APIC_TPR = 0x08,
    APIC_APR = 0x09,
    APIC_PPR = 0x0a,
    APIC_EOI = 0x0b,
    APIC_RRD = 0x0c,
    APIC_LDR = 0x0d,
    APIC_DFR = 0x0e,
    APIC_SVR = 0x0f,
    APIC_ISR = 0x10,
    APIC_TMR = 0x18,
    APIC_IRR = 0x20,
    APIC_ESR = 0x28,
    APIC_ICR = 0x30,
    APIC_ICR_HIGH = 0x31,
    APIC_LVT = 0x32, /* timer; then thermal, performance, LINT0, LINT1, error */
    APIC_INITIAL_COUNT = 0x38,
    APIC_CURRENT_COUNT = 0x39,
    APIC_DIVIDE = 0x3e,
    APIC_SELF_IPI = 0x3f, /* x2APIC only */

    APIC_VERSION_VALUE = (LVT_COUNT - 1) << 16 | 0x14,
    APIC_SVR_ENABLE = 1 << 8,
    APIC_SVR_MASK = 0x1ff,
    APIC_DIVIDE_MASK = 0xb,
    APIC_MOVED_PRIORITY = 4097, /* above the MSI window */

    LVT_MODE_SHIFT = 8,
    LVT_DELIVERY_STATUS = 1 << 12,
    LVT_REMOTE_IRR = 1 << 14,
    LVT_LEVEL = 1 << 15,
    LVT_MASK = 1 << 16,

    MSR_X2APIC = 0x800,
    MSR_TSC_DEADLINE = 0x6e0,
};

#define ICR_WRITABLE 0x000ccfffu /* the delivery status is not */
#define DFR_MODEL    0xf0000000u

static const uint32_t lvt_writable[LVT_COUNT] = {
    [LVT_TIMER] = 0x700ff, [LVT_THERMAL] = 0x107ff, [LVT_PERF] = 0x107ff,
    [LVT_LINT0] = 0x1a7ff, [LVT_LINT1] = 0x1a7ff,   [LVT_ERROR] = 0x100ff,
};

static const struct trace_event apic_events[] = {
    [APIC_TRACE_ACCEPT] = { "apic.accept",
                            "a local APIC accepts an interrupt",
                            { { "vector", TRACE_HEX }, { "level", TRACE_BOOL } } },
    [APIC_TRACE_SIGNAL] = { "apic.signal",
                            "a local APIC is sent what is no vector (SMI, NMI, INIT, start-up, "
                            "ExtINT)",
                            { { "mode", TRACE_DEC }, { "vector", TRACE_HEX } } },
    [APIC_TRACE_ACK] = { "apic.ack", "the cpu takes an interrupt", { { "vector", TRACE_HEX } } },
    [APIC_TRACE_EOI] = { "apic.eoi", "the guest ends an interrupt", { { "vector", TRACE_HEX } } },
    [APIC_TRACE_ERROR] = { "apic.error", "an error is noted", { { "bit", TRACE_HEX } } },
    [APIC_TRACE_ICR] = { "apic.icr",
                         "the guest sends an interprocessor interrupt",
                         { { "icr", TRACE_HEX } } },
    [APIC_TRACE_MSI] = { "apic.msi",
                         "a message of a device or of an I/O APIC",
                         { { "addr", TRACE_HEX }, { "data", TRACE_HEX } } },
    [APIC_TRACE_TIMER_SET] = { "apic.timer_set",
                               "the timer is set or stopped (-1)",
                               { { "deadline", TRACE_INT }, { "count", TRACE_DEC } } },
    [APIC_TRACE_TIMER] = { "apic.timer",
                           "the timer has run out",
                           { { "vector", TRACE_HEX }, { "masked", TRACE_BOOL } } },
};
struct trace_table apic_trace = TRACE_TABLE(apic_events);

static void apic_update(struct apic *s);

/* ---- small helpers ---- */

static bool vector_get(const uint32_t *set, unsigned v)
{
    return set[v / 32] >> (v & 31) & 1;
}

static void vector_put(uint32_t *set, unsigned v, bool on)
{
    set[v / 32] = (uint32_t)bits_put(set[v / 32], v & 31, 1, on);
}

/* -1: the set is empty. */
static int vector_highest(const uint32_t *set)
{
    for (int i = APIC_VECTORS / 32 - 1; i >= 0; i--)
        if (set[i])
            return i * 32 + 31 - __builtin_clz(set[i]);
    return -1;
}

bool apic_is_enabled(const struct apic *s)
{
    return s->base & APIC_BASE_ENABLE;
}

bool apic_is_x2(const struct apic *s)
{
    return s->base & APIC_BASE_X2APIC;
}

bool apic_is_software_enabled(const struct apic *s)
{
    return apic_is_enabled(s) && s->svr & APIC_SVR_ENABLE;
}

uint32_t apic_x2_id(const struct apic *s)
{
    return s->port->apic_id;
}

/* 10.8.3.1: the higher class of TPR and what is in service. */
uint8_t apic_ppr(const struct apic *s)
{
    int in_service = vector_highest(s->isr);
    uint8_t class = in_service < 0 ? 0 : in_service & 0xf0;
    return (s->tpr & 0xf0) >= class ? s->tpr : class;
}

static unsigned lvt_mode(uint32_t lvt)
{
    return lvt >> LVT_MODE_SHIFT & 7;
}

/* ---- towards the cpu ---- */

/* The interrupt that the cpu may take now, or -1. */
static int apic_deliverable(const struct apic *s)
{
    int v = apic_is_software_enabled(s) ? vector_highest(s->irr) : -1;
    return v >= 0 && (v & 0xf0) > (apic_ppr(s) & 0xf0) ? v : -1;
}

/* Does the 8259A's interrupt get through? With the APIC disabled, LINT0 is the cpu's INTR pin. */
static bool apic_extint_waits(const struct apic *s)
{
    if (!apic_is_enabled(s))
        return s->lint[0];
    uint32_t lvt = s->lvt[LVT_LINT0];
    return s->extint_message || (s->lint[0] && !(lvt & LVT_MASK) && lvt_mode(lvt) == APIC_EXTINT);
}

static void apic_drive(struct apic *s)
{
    if (s->port->pins)
        s->port->pins->intr(s->port, s->output);
}

/* After whatever may change what the cpu is offered. */
static void apic_update(struct apic *s)
{
    bool level = apic_deliverable(s) >= 0 || apic_extint_waits(s);
    if (level == s->output)
        return;
    s->output = level;
    apic_drive(s);
}

void apic_changed(struct apic *s)
{
    s->output = apic_deliverable(s) >= 0 || apic_extint_waits(s);
    apic_drive(s);
}

static int apic_acknowledge_extint(struct apic *s)
{
    s->extint_message = false;
    int v = -1;
    if (s->extint) {
        const struct intc_ops *ops = device_interface(s->extint, INTERFACE_INTC);
        v = ops->acknowledge(s->extint);
    }
    apic_update(s);
    return v;
}

static int apic_acknowledge(struct device *d)
{
    struct apic *s = (struct apic *)d;
    int v = apic_deliverable(s);
    if (v >= 0) {
        vector_put(s->irr, v, false);
        vector_put(s->isr, v, true);
        TRACE(apic_trace, APIC_TRACE_ACK, device_source(d), (uint64_t)v);
        apic_update(s);
        return v;
    }
    if (apic_extint_waits(s))
        return apic_acknowledge_extint(s);
    /* What INTR was raised for has been overtaken by a higher TPR: 10.9. */
    if (apic_is_software_enabled(s) && vector_highest(s->irr) >= 0)
        return s->svr & 0xff;
    return -1;
}

/* ---- from the bus, the pins, and within ---- */

static void apic_accept_fixed(struct apic *s, uint8_t vector, bool level)
{
    if (!apic_is_software_enabled(s))
        return;
    if (vector < 16) {
        apic_error(s, APIC_ESR_RECEIVE_VECTOR);
        return;
    }
    TRACE(apic_trace, APIC_TRACE_ACCEPT, device_source(&s->dev), vector, level);
    vector_put(s->irr, vector, true);
    vector_put(s->tmr, vector, level);
    apic_update(s);
}

/* State after power-up and INIT (10.4.7): all but the id and IA32_APIC_BASE. */
static void apic_reset_registers(struct apic *s)
{
    s->tpr = s->ldr = s->esr = s->esr_pending = s->icr_high = s->icr_low = 0;
    s->dfr = UINT32_MAX;
    s->svr = 0xff;
    for (unsigned i = 0; i < LVT_COUNT; i++)
        s->lvt[i] = LVT_MASK;
    memset(s->irr, 0, sizeof s->irr);
    memset(s->isr, 0, sizeof s->isr);
    memset(s->tmr, 0, sizeof s->tmr);
    s->extint_message = false;
    apic_timer_reset(s);
}

static void apic_accept_init(struct apic *s)
{
    apic_reset_registers(s);
    if (s->port->pins)
        s->port->pins->init(s->port);
    apic_update(s);
}

void apic_accept(struct apic *s, uint8_t mode, uint8_t vector, bool level)
{
    const struct cpu_pins *pins = s->port->pins;
    if (mode != APIC_FIXED && mode != APIC_LOWEST)
        TRACE(apic_trace, APIC_TRACE_SIGNAL, device_source(&s->dev), mode, vector);
    switch (mode) {
    case APIC_FIXED:
    case APIC_LOWEST:
        apic_accept_fixed(s, vector, level);
        break;
    case APIC_INIT:
        apic_accept_init(s);
        break;
    case APIC_EXTINT:
        s->extint_message = true;
        apic_update(s);
        break;
    case APIC_SMI:
        if (pins)
            pins->smi(s->port);
        break;
    case APIC_NMI:
        if (pins)
            pins->nmi(s->port);
        break;
    case APIC_STARTUP:
        if (pins)
            pins->startup(s->port, vector);
        break;
    default:
        log_guest(device_name(&s->dev), "message with reserved delivery mode %u", mode);
        break;
    }
}

/* A bit that waits already raises nothing more: so an error entry with an illegal vector ends. */
void apic_error(struct apic *s, uint32_t bit)
{
    if (s->esr_pending & bit)
        return;
    s->esr_pending |= bit;
    TRACE(apic_trace, APIC_TRACE_ERROR, device_source(&s->dev), bit);
    if (!(s->lvt[LVT_ERROR] & LVT_MASK))
        apic_accept_fixed(s, s->lvt[LVT_ERROR], false);
}

void apic_timer_expired(struct apic *s)
{
    TRACE(apic_trace, APIC_TRACE_TIMER, device_source(&s->dev), s->lvt[LVT_TIMER] & 0xff,
          !!(s->lvt[LVT_TIMER] & LVT_MASK));
    if (!(s->lvt[LVT_TIMER] & LVT_MASK))
        apic_accept_fixed(s, s->lvt[LVT_TIMER], false);
}

/* A level-triggered LINT pin that is up and has not been accepted yet. */
static void apic_service_level(struct apic *s, int n)
{
    uint32_t *lvt = &s->lvt[LVT_LINT0 + n];
    if (!s->lint[n] || *lvt & (LVT_MASK | LVT_REMOTE_IRR) || !(*lvt & LVT_LEVEL) ||
        lvt_mode(*lvt) != APIC_FIXED)
        return;
    *lvt |= LVT_REMOTE_IRR;
    apic_accept_fixed(s, *lvt, true);
}

static void apic_lint_edge(struct apic *s, int n)
{
    uint32_t lvt = s->lvt[LVT_LINT0 + n];
    if (!apic_is_enabled(s)) {
        if (n == 1) /* the cpu's NMI pin */
            apic_accept(s, APIC_NMI, 0, false);
        return;
    }
    if (lvt & LVT_MASK || lvt_mode(lvt) == APIC_EXTINT)
        return; /* ExtINT goes by level, and is looked at in apic_update */
    if (lvt_mode(lvt) != APIC_FIXED)
        apic_accept(s, lvt_mode(lvt), 0, false);
    else if (!(lvt & LVT_LEVEL))
        apic_accept_fixed(s, lvt, false);
}

static void apic_set_lint(void *opaque, int n, bool level)
{
    struct apic *s = opaque;
    bool rising = level && !s->lint[n];
    s->lint[n] = level;
    if (rising)
        apic_lint_edge(s, n);
    apic_service_level(s, n);
    apic_update(s);
}

static void apic_eoi(struct apic *s)
{
    int v = vector_highest(s->isr);
    if (v < 0)
        return;
    vector_put(s->isr, v, false);
    TRACE(apic_trace, APIC_TRACE_EOI, device_source(&s->dev), (uint64_t)v);
    if (vector_get(s->tmr, v)) {
        machine_eoi(s->dev.machine, v);
        for (int n = 0; n < APIC_LINTS; n++) {
            uint32_t *lvt = &s->lvt[LVT_LINT0 + n];
            if (*lvt & LVT_REMOTE_IRR && (*lvt & 0xff) == (uint32_t)v) {
                *lvt &= ~LVT_REMOTE_IRR;
                apic_service_level(s, n);
            }
        }
    }
    apic_update(s);
}

/* ---- registers ---- */

static uint32_t apic_read_ldr(const struct apic *s)
{
    uint32_t id = apic_x2_id(s);
    return apic_is_x2(s) ? id >> 4 << 16 | 1u << (id & 15) : s->ldr;
}

/* False: no such register, or not readable. */
static bool apic_read_register(struct apic *s, unsigned reg, uint32_t *value)
{
    switch (reg) {
    case APIC_ID:
        *value = apic_is_x2(s) ? apic_x2_id(s) : s->id << 24;
        return true;
    case APIC_VERSION:
        *value = APIC_VERSION_VALUE;
        return true;
    case APIC_TPR:
        *value = s->tpr;
        return true;
    case APIC_APR: /* reserved since the Pentium 4 */
    case APIC_RRD:
        *value = 0;
        return !apic_is_x2(s);
    case APIC_PPR:
        *value = apic_ppr(s);
        return true;
    case APIC_LDR:
        *value = apic_read_ldr(s);
        return true;
    case APIC_DFR:
        *value = s->dfr;
        return !apic_is_x2(s);
    case APIC_SVR:
        *value = s->svr;
        return true;
    case APIC_ISR ... APIC_ISR + 7:
        *value = s->isr[reg - APIC_ISR];
        return true;
    case APIC_TMR ... APIC_TMR + 7:
        *value = s->tmr[reg - APIC_TMR];
        return true;
    case APIC_IRR ... APIC_IRR + 7:
        *value = s->irr[reg - APIC_IRR];
        return true;
    case APIC_ESR:
        *value = s->esr;
        return true;
    case APIC_ICR:
        *value = s->icr_low;
        return true;
    case APIC_ICR_HIGH:
        *value = s->icr_high;
        return !apic_is_x2(s);
    case APIC_LVT ... APIC_LVT + LVT_COUNT - 1:
        *value = s->lvt[reg - APIC_LVT];
        return true;
    case APIC_INITIAL_COUNT:
        *value = s->initial_count;
        return true;
    case APIC_CURRENT_COUNT:
        *value = apic_timer_count(s);
        return true;
    case APIC_DIVIDE:
        *value = s->divide;
        return true;
    default:
        *value = 0;
        return reg == APIC_EOI && !apic_is_x2(s);
    }
}

static void apic_write_svr(struct apic *s, uint32_t value)
{
    s->svr = value & APIC_SVR_MASK;
    if (!(s->svr & APIC_SVR_ENABLE)) /* 10.4.7.2 */
        for (unsigned i = 0; i < LVT_COUNT; i++)
            s->lvt[i] |= LVT_MASK;
}

static void apic_write_lvt(struct apic *s, unsigned i, uint32_t value)
{
    value = (value & lvt_writable[i]) | (s->lvt[i] & LVT_REMOTE_IRR);
    if (!(s->svr & APIC_SVR_ENABLE))
        value |= LVT_MASK;
    if (i == LVT_TIMER)
        apic_timer_write_lvt(s, value);
    if (!(value & LVT_LEVEL))
        value &= ~LVT_REMOTE_IRR;
    s->lvt[i] = value;
    if (i == LVT_LINT0 || i == LVT_LINT1)
        apic_service_level(s, i - LVT_LINT0);
}

/* Errors collected so far become readable. */
static void apic_write_esr(struct apic *s)
{
    s->esr = s->esr_pending;
    s->esr_pending = 0;
}

/* False: no such register, or not writable. */
static bool apic_write_register(struct apic *s, unsigned reg, uint32_t value)
{
    switch (reg) {
    case APIC_TPR:
        s->tpr = value & 0xff;
        break;
    case APIC_EOI:
        apic_eoi(s);
        break;
    case APIC_SVR:
        apic_write_svr(s, value);
        break;
    case APIC_ESR:
        apic_write_esr(s);
        break;
    case APIC_LVT ... APIC_LVT + LVT_COUNT - 1:
        apic_write_lvt(s, reg - APIC_LVT, value);
        break;
    case APIC_INITIAL_COUNT:
        apic_timer_write_count(s, value);
        break;
    case APIC_DIVIDE:
        apic_timer_write_divide(s, value & APIC_DIVIDE_MASK);
        break;
    default:
        return false;
    }
    apic_update(s);
    return true;
}

/* ---- xAPIC: the page ---- */

uint32_t apic_page_read(struct apic *s, unsigned offset)
{
    uint32_t value = 0;
    if (offset & 15)
        return 0; /* undefined: only the first word of 16 bytes is a register */
    if (!apic_read_register(s, offset >> 4, &value)) {
        log_guest(device_name(&s->dev), "read of reserved register 0x%03x", offset);
        apic_error(s, APIC_ESR_REGISTER);
    }
    return value;
}

/* Registers that are written only in xAPIC mode, or differently there. */
static bool apic_write_xapic(struct apic *s, unsigned reg, uint32_t value)
{
    switch (reg) {
    case APIC_ID:
        s->id = value >> 24;
        return true;
    case APIC_LDR:
        s->ldr = value & 0xff000000;
        return true;
    case APIC_DFR:
        s->dfr = value | ~DFR_MODEL;
        return true;
    case APIC_ICR_HIGH:
        s->icr_high = value & 0xff000000;
        return true;
    case APIC_ICR:
        s->icr_low = value & ICR_WRITABLE;
        apic_bus_send_icr(s, (uint64_t)s->icr_high << 32 | s->icr_low);
        return true;
    default:
        return apic_write_register(s, reg, value);
    }
}

void apic_page_write(struct apic *s, unsigned offset, uint32_t value)
{
    uint32_t ignored;
    if (offset & 15 || apic_write_xapic(s, offset >> 4, value))
        return;
    log_guest(device_name(&s->dev), "write to read-only or reserved register 0x%03x", offset);
    if (!apic_read_register(s, offset >> 4, &ignored))
        apic_error(s, APIC_ESR_REGISTER);
}

/* The page at another place than the default: its own cpu sees it, and nobody else. */
static bool apic_moved_visible(const struct apic *s)
{
    return s->dev.machine->current_cpu == s->port && apic_is_enabled(s) && !apic_is_x2(s);
}

static uint64_t apic_moved_read(void *opaque, uint64_t offset, unsigned size)
{
    return apic_moved_visible(opaque) ? apic_page_read(opaque, offset) : UINT32_MAX;
}

static void apic_moved_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    if (apic_moved_visible(opaque))
        apic_page_write(opaque, offset, value);
}

static const struct region_ops apic_moved_ops = {
    .read = apic_moved_read,
    .write = apic_moved_write,
    .valid = { 1, 8 },
    .impl = { 4, 4 },
};

/* ---- x2APIC: MSRs (10.12) ---- */

static bool apic_read_msr(struct device *d, uint32_t msr, uint64_t *value)
{
    struct apic *s = (struct apic *)d;
    uint32_t low;
    if (msr == MSR_TSC_DEADLINE) {
        *value = apic_timer_deadline(s);
        return true;
    }
    if (!apic_is_x2(s) || msr < MSR_X2APIC || !apic_read_register(s, msr - MSR_X2APIC, &low))
        return false;
    *value = low;
    if (msr - MSR_X2APIC == APIC_ICR)
        *value |= (uint64_t)s->icr_high << 32;
    return true;
}

/* Bits that may be set in a write; 0 for those that must be written as 0. */
static uint64_t apic_x2_writable(unsigned reg)
{
    switch (reg) {
    case APIC_TPR:
    case APIC_SELF_IPI:
        return 0xff;
    case APIC_SVR:
        return APIC_SVR_MASK;
    case APIC_ICR:
        return 0xffffffffULL << 32 | ICR_WRITABLE;
    case APIC_LVT ... APIC_LVT + LVT_COUNT - 1:
        return lvt_writable[reg - APIC_LVT] | LVT_DELIVERY_STATUS |
               (reg == APIC_LVT + LVT_LINT0 || reg == APIC_LVT + LVT_LINT1 ? LVT_REMOTE_IRR : 0);
    case APIC_INITIAL_COUNT:
        return UINT32_MAX;
    case APIC_DIVIDE:
        return APIC_DIVIDE_MASK;
    default: /* EOI and ESR */
        return 0;
    }
}

static bool apic_write_msr(struct device *d, uint32_t msr, uint64_t value)
{
    struct apic *s = (struct apic *)d;
    if (msr == MSR_TSC_DEADLINE) {
        apic_timer_write_deadline(s, value);
        return true;
    }
    if (!apic_is_x2(s) || msr < MSR_X2APIC || value & ~apic_x2_writable(msr - MSR_X2APIC))
        return false;
    switch (msr - MSR_X2APIC) {
    case APIC_ICR:
        s->icr_low = value;
        s->icr_high = value >> 32;
        apic_bus_send_icr(s, value);
        return true;
    case APIC_SELF_IPI:
        if (value < 16)
            apic_error(s, APIC_ESR_SEND_VECTOR);
        else
            apic_accept_fixed(s, value, false);
        return true;
    default:
        return apic_write_register(s, msr - MSR_X2APIC, value);
    }
}

/* ---- IA32_APIC_BASE and CR8 ---- */

static uint64_t apic_get_base(struct device *d)
{
    return ((struct apic *)d)->base;
}

static void apic_place_page(struct apic *s)
{
    uint64_t addr = s->base & APIC_BASE_ADDR;
    if (s->moved.parent)
        region_remove(&s->moved);
    if (addr != APIC_DEFAULT_BASE && apic_is_enabled(s) && !apic_is_x2(s))
        region_add(&s->dev.machine->system, addr, &s->moved, APIC_MOVED_PRIORITY);
}

/* The transitions of figure 10-27: disabled → xAPIC → x2APIC → disabled, and no others between
 * different modes. */
static bool apic_set_base(struct device *d, uint64_t value)
{
    struct apic *s = (struct apic *)d;
    bool enable = value & APIC_BASE_ENABLE, x2 = value & APIC_BASE_X2APIC;
    if (value & ~(APIC_BASE_ADDR | APIC_BASE_BSP | APIC_BASE_X2APIC | APIC_BASE_ENABLE))
        return false;
    if (x2 && (!enable || !apic_is_enabled(s)))
        return false;
    if (apic_is_x2(s) && enable && !x2)
        return false;
    bool disabled = apic_is_enabled(s) && !enable;
    bool same_place = !((s->base ^ value) & (APIC_BASE_ADDR | APIC_BASE_ENABLE | APIC_BASE_X2APIC));
    s->base = value;
    if (disabled) { /* 10.4.3: comes back as after power-up */
        apic_reset_registers(s);
        s->id = apic_x2_id(s) & 0xff;
    }
    if (!same_place)
        apic_place_page(s);
    apic_update(s);
    return true;
}

static uint8_t apic_get_tpr(struct device *d)
{
    return ((struct apic *)d)->tpr >> 4;
}

static void apic_set_tpr(struct device *d, uint8_t cr8)
{
    struct apic *s = (struct apic *)d;
    s->tpr = (cr8 & 15) << 4;
    apic_update(s);
}

/* ---- the device ---- */

static const struct intc_ops apic_intc_ops = { apic_acknowledge };

static const struct local_apic_ops apic_local_ops = {
    .get_base = apic_get_base,
    .set_base = apic_set_base,
    .get_tpr = apic_get_tpr,
    .set_tpr = apic_set_tpr,
    .read_msr = apic_read_msr,
    .write_msr = apic_write_msr,
    .get_page = apic_get_page,
    .set_page = apic_set_page,
};

static bool apic_init(struct device *d, struct error *err)
{
    struct apic *s = (struct apic *)d;
    region_init_io(&s->moved, d->machine->mem, "apic", APIC_PAGE, &apic_moved_ops, s);
    s->moved.owner = d;
    device_init_gpio_in(d, "lint", apic_set_lint, APIC_LINTS);
    apic_timer_init(s);
    return true;
}

static bool apic_check(struct apic *s, struct error *err)
{
    struct device *d = &s->dev;
    struct machine *m = d->machine;
    struct cpu_port *p = (unsigned)s->cpu < m->cpu_count ? m->cpus[s->cpu] : NULL;
    if (p && m->irqchip != IRQCHIP_USER)
        return error_set(err, "%s: the host's kernel has the local APICs; use irqchip=user",
                         device_name(d));
    if (!p)
        return error_set(err, "%s: cpu=%d does not exist; the machine has %u", device_name(d),
                         s->cpu, m->cpu_count);
    if (p->intc)
        return error_set(err, "%s: cpu %d already takes its interrupts from %s", device_name(d),
                         s->cpu, device_name(p->intc));
    uint32_t id = s->id_prop < 0 ? p->apic_id : (uint32_t)s->id_prop;
    for (unsigned i = 0; i < m->cpu_count; i++)
        if (m->cpus[i] != p && m->cpus[i] && m->cpus[i]->apic && m->cpus[i]->apic_id == id)
            return error_set(err,
                             "%s: APIC id %u is taken by cpu %u; give each cpu its own apic-id",
                             device_name(d), id, i);
    p->apic_id = id;
    s->port = p;
    return true;
}

static bool apic_realize(struct device *d, struct error *err)
{
    struct apic *s = (struct apic *)d;
    if (!apic_check(s, err))
        return false;
    s->bus = apic_bus_join(s);
    s->port->apic = s->port->intc = d;
    s->port->apic_ops = &apic_local_ops;
    s->port->intc_ops = &apic_intc_ops;
    return true;
}

static void apic_unrealize(struct device *d)
{
    struct apic *s = (struct apic *)d;
    timer_cancel(&s->timer);
    if (s->moved.parent)
        region_remove(&s->moved);
    s->port->apic = s->port->intc = NULL;
    s->port->apic_ops = NULL;
    s->port->intc_ops = NULL;
    apic_bus_leave(s);
}

/* The MultiProcessor Specification's virtual wire mode (3.6.2.2), which firmware leaves on the boot
 * cpu. */
static void apic_enter_virtual_wire(struct apic *s)
{
    s->svr |= APIC_SVR_ENABLE;
    s->lvt[LVT_LINT0] = APIC_EXTINT << LVT_MODE_SHIFT;
    s->lvt[LVT_LINT1] = APIC_NMI << LVT_MODE_SHIFT;
}

static void apic_reset(struct device *d)
{
    struct apic *s = (struct apic *)d;
    s->base = APIC_DEFAULT_BASE | APIC_BASE_ENABLE | (s->port->bootstrap ? APIC_BASE_BSP : 0);
    s->id = s->port->apic_id & 0xff;
    apic_reset_registers(s);
    if (s->virtual_wire && s->port->bootstrap)
        apic_enter_virtual_wire(s);
    apic_place_page(s);
    s->output = apic_extint_waits(s);
    apic_drive(s); /* whatever the cpu remembers */
}

static void apic_finalize(struct device *d)
{
    region_fini(&((struct apic *)d)->moved);
}

static const char *const apic_extint_types[] = { "isa-i8259", NULL };

static const struct prop apic_props[] = {
    PROP(PROP_I32, struct apic, cpu, "cpu", "0", "the cpu that it belongs to", .min = 0,
         .max = MACHINE_CPUS_MAX - 1),
    PROP(PROP_I32, struct apic, id_prop, "apic-id", "-1", "initial APIC id; -1: the cpu's number",
         .min = -1, .max = INT32_MAX),
    PROP(PROP_LINK, struct apic, extint, "extint", NULL,
         "the 8259A that gives the vectors of external interrupts", .names = apic_extint_types),
    PROP(PROP_BOOL, struct apic, virtual_wire, "virtual-wire", "true",
         "the boot cpu's APIC starts as firmware leaves it, passing LINT0's external interrupts"),
    PROP_END,
};

static const struct state_field apic_state[] = {
    STATE_U64(struct apic, base),
    STATE_U32(struct apic, id),
    STATE_U32(struct apic, tpr),
    STATE_U32(struct apic, ldr),
    STATE_U32(struct apic, dfr),
    STATE_U32(struct apic, svr),
    STATE_U32(struct apic, esr),
    STATE_U32(struct apic, esr_pending),
    STATE_U32(struct apic, icr_high),
    STATE_U32(struct apic, icr_low),
    STATE_U32(struct apic, divide),
    STATE_ARRAY(STATE_KIND_U32, struct apic, lvt),
    STATE_ARRAY(STATE_KIND_U32, struct apic, irr),
    STATE_ARRAY(STATE_KIND_U32, struct apic, isr),
    STATE_ARRAY(STATE_KIND_U32, struct apic, tmr),
    STATE_ARRAY(STATE_KIND_BOOL, struct apic, lint),
    STATE_BOOL(struct apic, extint_message),
    STATE_BOOL(struct apic, output),
    STATE_U32(struct apic, initial_count),
    STATE_I64(struct apic, timer_start),
    STATE_U32(struct apic, timer_from),
    STATE_U64(struct apic, tsc_deadline),
    STATE_TIMER(struct apic, timer),
    STATE_END,
};

static const struct interface apic_interfaces[] = {
    { INTERFACE_INTC, &apic_intc_ops },
    { INTERFACE_LOCAL_APIC, &apic_local_ops },
    { NULL, NULL },
};

const struct device_type apic_type = {
    .name = "apic",
    .parent = "device",
    .desc = "local APIC of a cpu",
    .instance_size = sizeof(struct apic),
    .props = apic_props,
    .state = apic_state,
    .interfaces = apic_interfaces,
    .init = apic_init,
    .realize = apic_realize,
    .unrealize = apic_unrealize,
    .reset = apic_reset,
    .finalize = apic_finalize,
};
