/* A local APIC's registers as one page, in the layout of the memory-mapped page (SDM vol. 3 table
 * 10-1), to take them to another APIC and back. Reading and writing have no side effects but that
 * the timer and the cpu's INTR follow what is set. Machine lock. */
#include "base/bits.h"
#include "hw/intc/apic_regs.h"

#include <string.h>

enum { STEP = 16 };

/* Registers that are plain numbers. */
static const struct {
    uint16_t at;
    uint16_t offset; /* of a uint32_t in struct apic */
} plain[] = {
    { APIC_TPR * STEP, offsetof(struct apic, tpr) },
    { APIC_DFR * STEP, offsetof(struct apic, dfr) },
    { APIC_SVR * STEP, offsetof(struct apic, svr) },
    { APIC_ESR * STEP, offsetof(struct apic, esr) },
    { APIC_ICR * STEP, offsetof(struct apic, icr_low) },
    { APIC_ICR_HIGH * STEP, offsetof(struct apic, icr_high) },
    { APIC_INITIAL_COUNT * STEP, offsetof(struct apic, initial_count) },
    { APIC_DIVIDE * STEP, offsetof(struct apic, divide) },
};

static uint32_t *field(struct apic *s, size_t n)
{
    return (uint32_t *)((uint8_t *)s + plain[n].offset);
}

/* The sets of vectors: eight words, and the LVT: LVT_COUNT. */
static void copy_words(uint32_t *words, unsigned count, uint8_t *page, const uint8_t *from)
{
    for (unsigned n = 0; n < count; n++) {
        if (from)
            words[n] = ld_le32(from + n * STEP);
        else
            st_le32(page + n * STEP, words[n]);
    }
}

void apic_get_page(struct device *d, uint8_t page[LOCAL_APIC_STATE])
{
    struct apic *s = (struct apic *)d;

    memset(page, 0, LOCAL_APIC_STATE);
    for (size_t n = 0; n < ARRAY_LEN(plain); n++)
        st_le32(page + plain[n].at, *field(s, n));
    st_le32(page + APIC_ID * STEP, s->id << 24); /* KVM has it so with x2APIC as well */
    st_le32(page + APIC_LDR * STEP, apic_page_read(s, APIC_LDR * STEP));
    st_le32(page + APIC_VERSION * STEP, APIC_VERSION_VALUE);
    st_le32(page + APIC_PPR * STEP, apic_ppr(s));
    copy_words(s->isr, 8, page + APIC_ISR * STEP, NULL);
    copy_words(s->tmr, 8, page + APIC_TMR * STEP, NULL);
    copy_words(s->irr, 8, page + APIC_IRR * STEP, NULL);
    copy_words(s->lvt, LVT_COUNT, page + APIC_LVT * STEP, NULL);
    st_le32(page + APIC_CURRENT_COUNT * STEP, apic_timer_count(s));
}

void apic_set_page(struct device *d, const uint8_t page[LOCAL_APIC_STATE])
{
    struct apic *s = (struct apic *)d;

    for (size_t n = 0; n < ARRAY_LEN(plain); n++)
        *field(s, n) = ld_le32(page + plain[n].at);
    if (!apic_is_x2(s)) { /* x2APIC's are fixed */
        s->id = ld_le32(page + APIC_ID * STEP) >> 24;
        s->ldr = ld_le32(page + APIC_LDR * STEP);
    }
    copy_words(s->isr, 8, NULL, page + APIC_ISR * STEP);
    copy_words(s->tmr, 8, NULL, page + APIC_TMR * STEP);
    copy_words(s->irr, 8, NULL, page + APIC_IRR * STEP);
    copy_words(s->lvt, LVT_COUNT, NULL, page + APIC_LVT * STEP);
    apic_timer_restore(s, ld_le32(page + APIC_CURRENT_COUNT * STEP));
    apic_changed(s);
}
