/* The whole state of a vcpu, in the structures of linux/kvm.h, taken from one backend and put into
 * any. docs/kvm.md tells what does not survive, and why. */
#pragma once

#include "cpu/vcpu.h"
#include "dev/state.h"

struct vcpu_state {
    struct kvm_regs regs;
    struct kvm_sregs sregs;
    struct kvm_fpu fpu;
    struct vcpu_misc misc;
    bool has_lapic; /* the machine's own local APIC, or the kernel's */
    struct kvm_lapic_state lapic;
    bool has_kvmclock; /* of the machine: one for all its cpus */
    uint64_t kvmclock; /* ns */
    struct vcpu_msr *msrs;
    size_t msr_count;
};

/* Machine lock, while the vcpu does not run. Filled anew; freed with vcpu_state_fini(), also after
 * an error. False: an access of the guest is under way (run it until it is kicked), or the host
 * refuses. */
bool vcpu_state_get(struct vcpu *v, struct vcpu_state *s, struct error *err);

/* Likewise. MSRs that the target does not list are left out. After an error the vcpu has some of
 * the state: reset it. */
bool vcpu_state_set(struct vcpu *v, const struct vcpu_state *s, struct error *err);

/* Will vcpu_state_set() take this MSR? */
bool vcpu_state_has_msr(struct vcpu *v, uint32_t index);

/* The fields of a struct vcpu_state but the MSRs and the has_...: a dot stands between the names of
 * a structure and of its member, a number from 1 for an element. The names are those of
 * linux/kvm.h. */
extern const struct state_field vcpu_state_fields[];

void vcpu_state_fini(struct vcpu_state *s);
