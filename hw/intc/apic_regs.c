/* Local APIC: the registers, and their page in memory (xAPIC).
 *
 * Intel SDM vol. 3, 10.4 to 10.8. Delivery is instant, so delivery status bits are always 0.
 * Machine lock. */
#include "base/log.h"
#include "hw/intc/apic_regs.h"

const uint32_t apic_lvt_writable[LVT_COUNT] = {
    [LVT_TIMER] = 0x700ff, [LVT_THERMAL] = 0x107ff, [LVT_PERF] = 0x107ff,
    [LVT_LINT0] = 0x1a7ff, [LVT_LINT1] = 0x1a7ff,   [LVT_ERROR] = 0x100ff,
};

/* ---- registers ---- */

static uint32_t apic_read_ldr(const struct apic *s)
{
    uint32_t id = apic_x2_id(s);
    return apic_is_x2(s) ? id >> 4 << 16 | 1u << (id & 15) : s->ldr;
}

/* False: no such register, or not readable. */
bool apic_read_register(struct apic *s, unsigned reg, uint32_t *value)
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
    value = (value & apic_lvt_writable[i]) | (s->lvt[i] & LVT_REMOTE_IRR);
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
bool apic_write_register(struct apic *s, unsigned reg, uint32_t value)
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
