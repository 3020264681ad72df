/* Hooks, steps and traps under KVM: what debug.c, tf.c, plan.c and probe.c offer. Machine lock. */
#pragma once

#include "cpu/kvm/kvm_internal.h"

/* debug.c */
/* How the next instruction is entered: with breakpoints; stepped, with them; stepped, without the
 * one on its execution, at linear address `told`, because it has been told of. */
enum kvm_stepping { KVM_NO_STEP, KVM_STEP, KVM_STEP_OVER };
bool kvm_set_breakpoints(const struct accel *a, int vcpu_fd, const struct kvm_stop_points *b,
                         bool traps, enum kvm_stepping step, uint64_t told);
void kvm_debug_step(struct vcpu *vcpu, uint64_t count);
bool kvm_set_msr_filter(int vm_fd, const struct vcpu_ranges *msrs);
void kvm_debug_watch(struct vcpu *vcpu, const struct vcpu_watch *w);
void kvm_debug_free(struct kvm_vcpu *v);
/* At the beginning of `run`. */
void kvm_debug_before_run(struct kvm_vcpu *v);
/* Around each KVM_RUN. */
void kvm_debug_begin(struct kvm_vcpu *v);
void kvm_debug_end(struct kvm_vcpu *v, bool interrupted);
static inline void kvm_debug_enter(struct kvm_vcpu *v)
{
    if (UNLIKELY(v->accel->pages.places || v->stepping || v->steps || v->timed || v->crowded))
        kvm_debug_begin(v);
}
static inline void kvm_debug_leave(struct kvm_vcpu *v, bool interrupted)
{
    if (UNLIKELY(v->lifted || v->stepping || v->accel->alone == v))
        kvm_debug_end(v, interrupted);
}
/* Interrupts wait: it executes a single instruction. */
bool kvm_debug_holds_interrupts(const struct kvm_vcpu *v);
/* KVM_EXIT_DEBUG. False: somebody wants the machine to stop. */
bool kvm_debug_exit(struct kvm_vcpu *v);
/* KVM_EXIT_HLT. False: it was none, but a trap; *go is as above. */
bool kvm_debug_exit_halt(struct kvm_vcpu *v, bool *go);
/* KVM_EXIT_X86_RDMSR, KVM_EXIT_X86_WRMSR */
void kvm_debug_exit_msr(struct kvm_vcpu *v, bool write);
/* KVM_EXIT_MMIO, before a write and after a read: what is watched is told of. False: no write. */
bool kvm_debug_exit_mmio(struct kvm_vcpu *v);
/* After KVM_EXIT_MMIO and KVM_EXIT_IO: these may have been a step. */
void kvm_debug_accessed(struct kvm_vcpu *v);

/* tf.c */
/* Before the kernel steps the guest, and after it has ceased to. */
void kvm_tf_arm(struct kvm_vcpu *v);
void kvm_tf_disarm(struct kvm_vcpu *v);
/* Before the instruction at this linear address is stepped; when it has been: would the guest's own
 * #DB follow it? */
void kvm_tf_begin(struct kvm_vcpu *v, uint64_t linear);
bool kvm_tf_stepped(struct kvm_vcpu *v);
/* The step has ended in a handler. */
void kvm_tf_handler(struct kvm_vcpu *v);
/* #DB by a flag that such a step has left on the guest's stack. */
void kvm_tf_swallow(struct kvm_vcpu *v);

/* plan.c */
/* What serves a watch: the processor, traps in copies of pages, and pages whose accesses exit. */
struct kvm_plan {
    struct kvm_stop_points points;
    struct vcpu_range *trap, *data, *reads;
    size_t traps, datas, readses;
};
/* To be freed. */
void kvm_plan_make(struct kvm_vcpu *v, const struct vcpu_watch *w, struct kvm_plan *p);
/* The error says what there are no means for. */
bool kvm_plan_check(struct accel *a, const struct kvm_plan *p, struct error *err);
void kvm_plan_free(struct kvm_plan *p);
bool kvm_debug_fits_always(struct vcpu *vcpu, enum vcpu_event event, uint64_t first, uint64_t last);
bool kvm_debug_fits(struct vcpu *vcpu, const struct vcpu_watch *w, struct error *err);
const char *kvm_debug_means(struct vcpu *vcpu, enum vcpu_event event, uint64_t first,
                            uint64_t last);

/* probe.c */
/* Do breakpoints, steps, writes, MSRs work? Runs trials. */
bool kvm_debug_supports(struct vcpu *vcpu, enum vcpu_event event, struct error *err);
bool kvm_debug_can_step(struct vcpu *vcpu, struct error *err);
/* Does it work here? The first call tries it out. */
bool kvm_works(struct accel *a, enum kvm_trial what);
/* By whatever means. */
bool kvm_tells_exec(struct accel *a);
bool kvm_tells_writes(struct accel *a);
/* Find an instruction to make traps of: a->trap. False: none works. */
bool kvm_find_trap(struct accel *a);
