/* What the guest is told by CPUID under KVM (SDM vol. 2, CPUID; Linux
 * Documentation/virt/kvm/x86/cpuid.rst).
 *
 * Model "host" (and "max", the same here) is what the host's KVM supports, less what needs an
 * in-kernel interrupt controller: x2APIC, the TSC deadline timer, KVM's own paravirtual features.
 * "base" is without the state that XSAVE manages, as on the software CPU. */
#include "cpu/kvm/kvm_internal.h"

#include "base/alloc.h"
#include "base/bits.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

enum { ENTRIES_FIRST = 64, ENTRIES_MAX = 1024 };

#define CPUID_KVM_FEATURES 0x40000001

/* leaf 1 */
#define ECX1_FMA          (1u << 12)
#define ECX1_X2APIC       (1u << 21)
#define ECX1_TSC_DEADLINE (1u << 24)
#define ECX1_XSAVE_FAMILY (ECX1_FMA | 1u << 26 | 1u << 27 | 1u << 28 | 1u << 29) /* to F16C */
#define ECX1_HYPERVISOR   (1u << 31)
/* leaf 7: AVX2, the parts of AVX-512, protection keys, vector forms of AES and PCLMULQDQ, AMX */
#define EBX7_XSAVE_FAMILY \
    (1u << 5 | 1u << 14 | 1u << 16 | 1u << 17 | 1u << 21 | 0xfu << 26 | 1u << 30 | 1u << 31)
#define ECX7_XSAVE_FAMILY  (1u << 1 | 1u << 3 | 1u << 4 | 1u << 6 | 0x7u << 9 | 1u << 12 | 1u << 14)
#define EDX7_XSAVE_FAMILY  (1u << 2 | 1u << 3 | 1u << 8 | 1u << 22 | 7u << 23)
/* leaf 0x80000001: XOP, FMA4, LWP */
#define ECX81_XSAVE_FAMILY (1u << 11 | 1u << 15 | 1u << 16)

static struct kvm_cpuid2 *cpuid_alloc(unsigned entries)
{
    struct kvm_cpuid2 *c = alloc_zero(1, sizeof *c + entries * sizeof(struct kvm_cpuid_entry2));

    c->nent = entries;
    return c;
}

bool kvm_cpuid_load(struct accel *a, struct error *err)
{
    for (unsigned n = ENTRIES_FIRST; n <= ENTRIES_MAX; n *= 2) {
        a->cpuid = cpuid_alloc(n);
        if (kvm_ioctl(a->kvm_fd, KVM_GET_SUPPORTED_CPUID, a->cpuid) == 0)
            return true;
        free(a->cpuid);
        a->cpuid = NULL;
        if (errno != E2BIG)
            break;
    }
    return error_set_host(err, errno, "kvm: cannot learn what CPUID the host supports");
}

static void drop_xsave_family(struct kvm_cpuid_entry2 *e)
{
    switch (e->function) {
    case 1:
        e->ecx &= ~ECX1_XSAVE_FAMILY;
        break;
    case 7:
        e->ebx &= e->index ? 0 : ~EBX7_XSAVE_FAMILY;
        e->ecx &= e->index ? 0 : ~ECX7_XSAVE_FAMILY;
        e->edx &= e->index ? 0 : ~EDX7_XSAVE_FAMILY;
        e->eax = 0; /* the further subleaves are AVX forms for the most part */
        break;
    case 0xd:
    case 0x1d:
    case 0x1e:
        e->eax = e->ebx = e->ecx = e->edx = 0;
        break;
    case 0x80000001:
        e->ecx &= ~ECX81_XSAVE_FAMILY;
        break;
    }
}

/* One cpu, with the APIC id of its port, and no in-kernel interrupt controller. */
static void fix_entry(struct kvm_cpuid_entry2 *e, uint32_t apic_id)
{
    switch (e->function) {
    case 1:
        e->ebx = (e->ebx & 0xffff) | 1 << 16 | apic_id << 24;
        e->ecx &= ~(ECX1_X2APIC | ECX1_TSC_DEADLINE);
        e->ecx |= ECX1_HYPERVISOR;
        break;
    case 0xb:
    case 0x1f:
        e->edx = apic_id;
        break;
    case CPUID_KVM_FEATURES:
        e->eax = e->edx = 0; /* the guest's time and interrupts are the machine's */
        break;
    }
}

bool kvm_cpuid_check_model(const char *model, struct error *err)
{
    if (!strcmp(model, "base") || !strcmp(model, "host") || !strcmp(model, "max"))
        return true;
    return error_set(err, "kvm: no cpu model \"%s\"; use \"host\", \"max\" or \"base\"", model);
}

struct kvm_cpuid2 *kvm_cpuid_make(const struct kvm_cpuid2 *host, const char *model,
                                  uint32_t apic_id)
{
    struct kvm_cpuid2 *c = cpuid_alloc(host->nent);

    for (unsigned i = 0; i < host->nent; i++) {
        c->entries[i] = host->entries[i];
        fix_entry(&c->entries[i], apic_id);
        if (!strcmp(model, "base"))
            drop_xsave_family(&c->entries[i]);
    }
    return c;
}

bool kvm_cpuid_set(struct kvm_vcpu *v, const char *model, struct error *err)
{
    struct kvm_cpuid2 *c = kvm_cpuid_make(v->accel->cpuid, model, v->vcpu.port->apic_id);
    bool ok = kvm_ioctl(v->fd, KVM_SET_CPUID2, c) == 0;

    if (!ok)
        error_set_host(err, errno, "kvm: the host refuses the CPUID of model \"%s\"", model);
    for (unsigned i = 0; i < c->nent; i++)
        if (c->entries[i].function == 1)
            v->signature = c->entries[i].eax;
    free(c);
    return ok;
}
