/* Where a cpu and the chips around it meet: its pins, and its local APIC if it has one.
 *
 * Devices (hw/) never include cpu/, and a vcpu backend never includes a chip: both know only
 * this. The vcpu fills `pins`, the interrupt controllers fill the rest at realize. Machine lock
 * for everything. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct device;
struct cpu_port;

/* Implemented by the vcpu backend. */
struct cpu_pins {
    unsigned physical_bits; /* of an address (MAXPHYADDR); 0: nobody asks */
    /* The INTR pin: an external interrupt waits (level). The cpu answers with `acknowledge` when
     * it can take it. */
    void (*intr)(struct cpu_port *p, bool level);
    void (*nmi)(struct cpu_port *p);
    void (*smi)(struct cpu_port *p);
    void (*init)(struct cpu_port *p); /* INIT: wait for SIPI; the boot cpu restarts */
    void (*startup)(struct cpu_port *p, uint8_t vector); /* SIPI: start at vector << 12 */
    void (*a20)(struct cpu_port *p, bool enabled);       /* the A20 gate */
    uint64_t (*tsc)(struct cpu_port *p);                 /* the time stamp counter now */
    /* The virtual time at which the TSC will reach `tsc`; not before now. */
    int64_t (*tsc_deadline_ns)(struct cpu_port *p, uint64_t tsc);
};

/* Interface "interrupt-controller": what answers the cpu's interrupt acknowledge cycle. */
#define INTERFACE_INTC "interrupt-controller"
struct intc_ops {
    /* Highest-priority pending vector, now in service; -1 when there is none after all. */
    int (*acknowledge)(struct device *intc);
};

/* Interface "local-apic": MSRs and CR8 of the cpu's own APIC. */
#define INTERFACE_LOCAL_APIC "local-apic"
enum { LOCAL_APIC_STATE = 0x400 };
struct local_apic_ops {
    uint64_t (*get_base)(struct device *apic);             /* IA32_APIC_BASE, SDM vol. 3 10.4.4 */
    bool (*set_base)(struct device *apic, uint64_t value); /* false: #GP */
    uint8_t (*get_tpr)(struct device *apic);               /* CR8: TPR bits 7:4 */
    void (*set_tpr)(struct device *apic, uint8_t cr8);
    /* 0x800-0x8ff, 0x6e0; false: #GP */
    bool (*read_msr)(struct device *apic, uint32_t msr, uint64_t *value);
    bool (*write_msr)(struct device *apic, uint32_t msr, uint64_t value);
    /* All registers at their offsets in the page, as linux/kvm.h has them in kvm_lapic_state, to
     * take them elsewhere and back: no side effects of the accesses. IA32_APIC_BASE and
     * IA32_TSC_DEADLINE are set beside, the first before and the second after. */
    void (*get_page)(struct device *apic, uint8_t page[LOCAL_APIC_STATE]);
    void (*set_page)(struct device *apic, const uint8_t page[LOCAL_APIC_STATE]);
};

struct cpu_port {
    unsigned index;   /* of the cpu in the machine */
    uint32_t apic_id; /* initial APIC id */
    bool bootstrap;   /* starts by itself; others wait for SIPI */
    const struct cpu_pins *pins;
    void *vcpu;          /* the backend's */
    struct device *intc; /* answers acknowledge; NULL: INTR is never raised */
    const struct intc_ops *intc_ops;
    struct device *apic; /* NULL: none */
    const struct local_apic_ops *apic_ops;
};
