/* Local APIC: what the cpu reaches by MSRs and CR8. x2APIC's registers, IA32_TSC_DEADLINE, and
 * IA32_APIC_BASE with the page at another place than the default.
 *
 * Intel SDM vol. 3, 10.4.4, 10.8.6 and 10.12. Machine lock. */
#include "hw/intc/apic_regs.h"

enum { APIC_MOVED_PRIORITY = 4097 }; /* above the MSI window */

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
        return apic_lvt_writable[reg - APIC_LVT] | LVT_DELIVERY_STATUS |
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

void apic_place_page(struct apic *s)
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
    const struct cpu_pins *pins = s->port->pins;
    if (pins && pins->physical_bits && value >> pins->physical_bits)
        return false;
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

const struct local_apic_ops apic_local_ops = {
    .get_base = apic_get_base,
    .set_base = apic_set_base,
    .get_tpr = apic_get_tpr,
    .set_tpr = apic_set_tpr,
    .read_msr = apic_read_msr,
    .write_msr = apic_write_msr,
    .get_page = apic_get_page,
    .set_page = apic_set_page,
};
