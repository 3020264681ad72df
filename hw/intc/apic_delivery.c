/* Local APIC: what comes in from the bus, the pins and within, and what the cpu is offered.
 *
 * Intel SDM vol. 3, 10.5 and 10.8. Delivery is instant. Pin LINT0 takes the 8259A's INT output, and
 * `extint` names the 8259A that gives the vector. Machine lock. */
#include "base/log.h"
#include "hw/intc/apic_regs.h"

#include <string.h>

/* ---- sets of vectors, and what is switched on ---- */

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
bool apic_extint_waits(const struct apic *s)
{
    if (!apic_is_enabled(s))
        return s->lint[0];
    uint32_t lvt = s->lvt[LVT_LINT0];
    return s->extint_message || (s->lint[0] && !(lvt & LVT_MASK) && lvt_mode(lvt) == APIC_EXTINT);
}

static bool apic_offers(const struct apic *s)
{
    return apic_deliverable(s) >= 0 || apic_extint_waits(s);
}

void apic_drive(struct apic *s)
{
    if (s->port->pins)
        s->port->pins->intr(s->port, s->output);
}

void apic_changed(struct apic *s)
{
    s->output = apic_offers(s);
    apic_drive(s);
}

/* After whatever may change what the cpu is offered. */
void apic_update(struct apic *s)
{
    if (s->output != apic_offers(s))
        apic_changed(s);
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

int apic_acknowledge(struct device *d)
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

void apic_accept_fixed(struct apic *s, uint8_t vector, bool level)
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
void apic_reset_registers(struct apic *s)
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
void apic_service_level(struct apic *s, int n)
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

void apic_set_lint(void *opaque, int n, bool level)
{
    struct apic *s = opaque;
    bool rising = level && !s->lint[n];
    s->lint[n] = level;
    if (rising)
        apic_lint_edge(s, n);
    apic_service_level(s, n);
    apic_update(s);
}

void apic_eoi(struct apic *s)
{
    int v = vector_highest(s->isr);
    if (v < 0)
        return;
    vector_put(s->isr, v, false);
    TRACE(apic_trace, APIC_TRACE_EOI, device_source(&s->dev), (uint64_t)v);
    if (vector_get(s->tmr, v)) {
        if (!(s->svr & APIC_SVR_NO_BROADCAST))
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
