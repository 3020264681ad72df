/* The one explicit list of device types. Each device file defines one (or a family); no constructor
 * registers anything behind anybody's back. */
#include "hw/types.h"

#define HW_TYPES(TYPE)        \
    TYPE(a20_gate_type)       \
    TYPE(apic_type)           \
    TYPE(debug_exit_type)     \
    TYPE(debugcon_type)       \
    TYPE(e1000_type)          \
    TYPE(hpet_type)           \
    TYPE(i440fx_pcihost_type) \
    TYPE(i440fx_type)         \
    TYPE(i8042_type)          \
    TYPE(i8254_type)          \
    TYPE(i8259_type)          \
    TYPE(ioapic_type)         \
    TYPE(ioport80_type)       \
    TYPE(irq_splitter_type)   \
    TYPE(isabus_bridge_type)  \
    TYPE(mc146818_type)       \
    TYPE(pc_testdev_type)     \
    TYPE(pcspk_type)          \
    TYPE(piix3_type)          \
    TYPE(piix4_pm_type)       \
    TYPE(port92_type)         \
    TYPE(serial_16550a_type)  \
    TYPE(testdev_type)

#define HW_TRACES(TRACES)  \
    TRACES(a20_gate_trace) \
    TRACES(apic_trace)     \
    TRACES(e1000_trace)    \
    TRACES(hpet_trace)     \
    TRACES(i440fx_trace)   \
    TRACES(i8042_trace)    \
    TRACES(i8254_trace)    \
    TRACES(i8259_trace)    \
    TRACES(ioapic_trace)   \
    TRACES(ioport80_trace) \
    TRACES(mc146818_trace) \
    TRACES(piix3_trace)    \
    TRACES(piix4_pm_trace) \
    TRACES(serial_trace)

#define DECLARE_TRACE(table) extern struct trace_table table;
#define TRACE_ENTRY(table)   &table,

HW_TRACES(DECLARE_TRACE)

struct trace_table *hw_trace_table(size_t n)
{
    static struct trace_table *const tables[] = { HW_TRACES(TRACE_ENTRY) };
    return n < ARRAY_LEN(tables) ? tables[n] : NULL;
}

#define DECLARE(type) extern const struct device_type type;
#define ENTRY(type)   &type,

HW_TYPES(DECLARE)

const struct device_type *const hw_types[] = { HW_TYPES(ENTRY) NULL };
