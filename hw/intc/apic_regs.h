/* Registers of a local APIC: Intel SDM vol. 3, tables 10-1 and 10-6. */
#pragma once

#include "hw/intc/apic_internal.h"

/* As offset in the page >> 4, which is also the MSR number - 0x800. */
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

    APIC_VERSION_DIRECTED_EOI = 1 << 24, /* SVR has the bit that suppresses broadcasts */
    APIC_VERSION_VALUE = APIC_VERSION_DIRECTED_EOI | (LVT_COUNT - 1) << 16 | 0x14,
    APIC_SVR_ENABLE = 1 << 8,
    APIC_SVR_NO_BROADCAST = 1 << 12, /* of EOIs: 10.8.5 */
    APIC_SVR_MASK = 0x11ff,
    APIC_DIVIDE_MASK = 0xb,

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
