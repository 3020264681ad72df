/* Which MSRs the state of a vcpu has: those that this kernel lists as saved and restored, as far as
 * this vcpu, by what its CPUID shows, has them. EFER, the bases of FS and GS and that of the APIC
 * are in struct kvm_sregs. Linux Documentation/virt/kvm/api.rst, KVM_GET_MSR_INDEX_LIST. */
#include "cpu/kvm/kvm_internal.h"

#include "base/alloc.h"
#include "base/bits.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/ioctl.h>

/* Freed by the caller; NULL: the kernel says nothing. */
static struct kvm_msr_list *load(int kvm_fd)
{
    struct kvm_msr_list probe = { .nmsrs = 0 }, *list;

    if (ioctl(kvm_fd, KVM_GET_MSR_INDEX_LIST, &probe) == 0 || errno != E2BIG)
        return NULL;
    list = alloc_zero(1, sizeof *list + probe.nmsrs * sizeof list->indices[0]);
    list->nmsrs = probe.nmsrs;
    if (kvm_ioctl(kvm_fd, KVM_GET_MSR_INDEX_LIST, list) == 0)
        return list;
    free(list);
    return NULL;
}

/* Those of paravirtual features can be read where they cannot be set: msr.rst tells which is whose.
 * Hyper-V's, 0x40000000 and on, are never offered. */
static bool is_offered(const struct kvm_vcpu *v, uint32_t index)
{
    static const struct {
        uint32_t index;
        const char *feature;
    } rows[] = {
        { 0x11, "kvmclock" },
        { 0x12, "kvmclock" },
        { 0x4b564d00, "kvmclock" },
        { 0x4b564d01, "kvmclock" },
        { 0x4b564d02, "kvm_asyncpf" },
        { 0x4b564d03, "kvm_steal_time" },
        { 0x4b564d04, "kvm_pv_eoi" },
        { 0x4b564d05, "kvm_poll_control" },
        { 0x4b564d06, "kvm_asyncpf_int" },
        { 0x4b564d07, "kvm_asyncpf_int" },
        { 0x4b564d08, "kvm_migration_control" },
    };

    if (index >> 12 == 0x40000)
        return false;
    for (size_t n = 0; n < ARRAY_LEN(rows); n++)
        if (rows[n].index == index)
            return cpu_has_named(&v->features, rows[n].feature);
    return true;
}

size_t kvm_vcpu_msrs(struct vcpu *vcpu, uint32_t *out, size_t max)
{
    struct kvm_msr_list *list = load(kvm_vcpu_of(vcpu)->accel->kvm_fd);
    size_t count = 0;
    uint64_t value;

    for (uint32_t n = 0; list && n < list->nmsrs; n++) {
        if (!is_offered(kvm_vcpu_of(vcpu), list->indices[n]) ||
            !kvm_vcpu_get_msr(vcpu, list->indices[n], &value, NULL))
            continue;
        if (count < max)
            out[count] = list->indices[n];
        count++;
    }
    free(list);
    return count;
}
