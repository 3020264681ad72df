/* The interrupt chips in the kernel, as the device types that stand for them share them.
 *
 * Every input of kvm-pic and kvm-ioapic has a GSI of its own, so that each is a line that can be
 * tapped by itself; only the kernel's timer, which always drives GSI 0, reaches both at once. With
 * IRQCHIP_SPLIT the first 24 GSIs are the inputs of the machine's I/O APIC: their routes are
 * messages, which tell the kernel for which vectors an end of interrupt is to be told.
 *
 * Machine lock for everything. Facts: Linux Documentation/virt/kvm/api.rst. */
#pragma once

#include "cpu/kvm/kvm_internal.h"

enum { KVM_PIC_LINES = 16, KVM_PIC_CHIP_LINES = 8, KVM_APIC_LINTS = 2 };
enum { GSI_TIMER = 0, GSI_IOAPIC = 32, GSI_PIC = 64 };

/* Where the timer's line ends: at the 8259A pair and at the I/O APIC. */
enum { TIMER_PIC_LINE = 0, TIMER_IOAPIC_PIN = 2 };

struct kvm_pit;

struct kvm_chips {
    struct accel *accel;
    struct device *pic, *ioapic; /* NULL: not made */
    struct kvm_pit *pit;
    struct device *apic[MACHINE_CPUS_MAX]; /* by cpu */
    unsigned apics;
    struct msi_sink sink; /* with the region made by the first kvm-apic, gone with the last */
    struct region msi;
    struct {
        uint64_t addr; /* 0: none */
        uint32_t data;
    } messages[KVM_IOAPIC_NUM_PINS]; /* IRQCHIP_SPLIT: of level-triggered inputs */
};

/* Why a line cannot be tapped. */
#define KVM_UNSEEN_LINE                                                                  \
    "this line runs between chips that are in the kernel, where nobody can look at it; " \
    "use irqchip=user"

/* Those of the machine, which has to have IRQCHIP_KERNEL, or with `split` IRQCHIP_SPLIT. NULL with
 * an error. */
struct kvm_chips *kvm_chips_of(struct device *d, bool split, struct error *err);

/* Drive a GSI. */
void kvm_chips_set_line(struct kvm_chips *c, unsigned gsi, bool level);

/* `state->chip_id` says which. */
void kvm_chips_get(struct kvm_chips *c, struct kvm_irqchip *state);
void kvm_chips_set(struct kvm_chips *c, struct kvm_irqchip *state);

/* A kvm-apic comes and goes. */
void kvm_chips_join(struct kvm_chips *c);
void kvm_chips_leave(struct kvm_chips *c);

/* apic.c: of one vcpu, when time stops and when it goes on. */
void kvm_apic_stop(struct kvm_vcpu *v);
void kvm_apic_start(struct kvm_vcpu *v);

/* pit.c */
void kvm_pit_stop(struct kvm_pit *s);
void kvm_pit_start(struct kvm_pit *s);
