/* A throw-away machine in which a guest of a few instructions is tried. */
#pragma once

#include "cpu/kvm/kvm_internal.h"

enum { TRIAL_CODE = 0x100, TRIAL_SIZE = 0x4000, TRIAL_PATIENCE_MS = 200 };

struct trial {
    const struct accel *accel;
    int vm_fd, fd;
    uint8_t *memory; /* TRIAL_SIZE bytes from address 0 */
    struct kvm_run *run;
    size_t run_size;
};

/* A vcpu in real mode before `code`, at TRIAL_CODE. Of the accel the descriptor and the size of the
 * shared area are used. False: the host refuses; trial_end() is called all the same. */
bool trial_begin(struct trial *t, const struct accel *a, const void *code, size_t size);
void trial_end(struct trial *t);
/* Into 64-bit mode, at the same place, memory mapped as it lies. */
bool trial_enter_long_mode(const struct trial *t);
/* Run until it exits for this reason. False: for another, or patience has ended. */
bool trial_run(const struct trial *t, uint32_t exit_reason);
/* Run until it exits or so many milliseconds have passed. Returns the CPU time that took, ns. */
int64_t trial_run_for(const struct trial *t, int ms);
