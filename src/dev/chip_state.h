/* Interface "chip-state": all that a PC's interrupt controller or timer holds, in the structures of
 * linux/kvm.h, to take it from the machine's own chip to one in the kernel and back. docs/kvm.md
 * tells what does not survive. Machine lock.
 *
 * 8259A: struct kvm_pic_state[2], of the device and of its slave; I/O APIC: struct
 * kvm_ioapic_state; 8254: struct kvm_pit_state2, whose periods begin anew when it is set. */
#pragma once

#include "dev/state.h"

#include <linux/kvm.h>
#include <stddef.h>

struct device;

#define INTERFACE_CHIP_STATE "chip-state"
struct chip_state_ops {
    size_t size; /* of the structure */
    const struct state_field *fields;
    void (*get)(struct device *d, void *state);
    void (*set)(struct device *d, const void *state);
};

/* The fields of these structures, in their order; a dot stands between the names of a structure and
 * of its member, a number from 1 for an element. */
extern const struct state_field chip_state_pic[], chip_state_ioapic[], chip_state_pit[];
