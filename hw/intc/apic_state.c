/* A local APIC's registers as one page, in the layout of the memory-mapped page (SDM vol. 3 table
 * 10-1), to take them to another APIC and back. Reading and writing have no side effects but that
 * the timer and the cpu's INTR follow what is set. Machine lock. */
#include "base/bits.h"
#include "hw/intc/apic_internal.h"

#include <string.h>

enum {
    PAGE_ID = 0x20,
    PAGE_VERSION = 0x30,
    PAGE_TPR = 0x80,
    PAGE_PPR = 0xa0,
    PAGE_LDR = 0xd0,
    PAGE_DFR = 0xe0,
    PAGE_SVR = 0xf0,
    PAGE_ISR = 0x100,
    PAGE_TMR = 0x180,
    PAGE_IRR = 0x200,
    PAGE_ESR = 0x280,
    PAGE_ICR = 0x300,
    PAGE_ICR_HIGH = 0x310,
    PAGE_LVT = 0x320,
    PAGE_INITIAL_COUNT = 0x380,
    PAGE_CURRENT_COUNT = 0x390,
    PAGE_DIVIDE = 0x3e0,
    STEP = 16,
    VERSION = (LVT_COUNT - 1) << 16 | 0x14,
};

/* Registers that are plain numbers. */
static const struct {
    uint16_t at;
    uint16_t offset; /* of a uint32_t in struct apic */
} plain[] = {
    { PAGE_TPR, offsetof(struct apic, tpr) },
    { PAGE_DFR, offsetof(struct apic, dfr) },
    { PAGE_SVR, offsetof(struct apic, svr) },
    { PAGE_ESR, offsetof(struct apic, esr) },
    { PAGE_ICR, offsetof(struct apic, icr_low) },
    { PAGE_ICR_HIGH, offsetof(struct apic, icr_high) },
    { PAGE_INITIAL_COUNT, offsetof(struct apic, initial_count) },
    { PAGE_DIVIDE, offsetof(struct apic, divide) },
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
    st_le32(page + PAGE_ID, s->id << 24); /* KVM has it so with x2APIC as well */
    st_le32(page + PAGE_LDR, apic_page_read(s, PAGE_LDR));
    st_le32(page + PAGE_VERSION, VERSION);
    st_le32(page + PAGE_PPR, apic_ppr(s));
    copy_words(s->isr, 8, page + PAGE_ISR, NULL);
    copy_words(s->tmr, 8, page + PAGE_TMR, NULL);
    copy_words(s->irr, 8, page + PAGE_IRR, NULL);
    copy_words(s->lvt, LVT_COUNT, page + PAGE_LVT, NULL);
    st_le32(page + PAGE_CURRENT_COUNT, apic_timer_count(s));
}

void apic_set_page(struct device *d, const uint8_t page[LOCAL_APIC_STATE])
{
    struct apic *s = (struct apic *)d;

    for (size_t n = 0; n < ARRAY_LEN(plain); n++)
        *field(s, n) = ld_le32(page + plain[n].at);
    if (!apic_is_x2(s)) { /* x2APIC's are fixed */
        s->id = ld_le32(page + PAGE_ID) >> 24;
        s->ldr = ld_le32(page + PAGE_LDR);
    }
    copy_words(s->isr, 8, NULL, page + PAGE_ISR);
    copy_words(s->tmr, 8, NULL, page + PAGE_TMR);
    copy_words(s->irr, 8, NULL, page + PAGE_IRR);
    copy_words(s->lvt, LVT_COUNT, NULL, page + PAGE_LVT);
    apic_timer_restore(s, ld_le32(page + PAGE_CURRENT_COUNT));
    apic_changed(s);
}
