/* What the guest is told by CPUID under KVM (SDM vol. 2, CPUID; Linux
 * Documentation/virt/kvm/x86/cpuid.rst).
 *
 * The host's KVM says what it supports. Of that is offered what works here: where interrupt
 * controllers are the machine's own devices, neither x2APIC and the TSC deadline timer nor those
 * paravirtual features that are served by an in-kernel APIC. kvmclock is. The model chooses from
 * the offer; leaves that describe what was not chosen are zero, and leaf 0xd, the sizes of the
 * state that XSAVE manages, agrees with it. */
#include "cpu/kvm/kvm_internal.h"

#include "base/alloc.h"
#include "base/bits.h"

#include <cpuid.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum {
    ENTRIES_FIRST = 64,
    ENTRIES_MAX = 1024,
    XSAVE_LEGACY_SIZE = 576, /* with the header: SDM vol. 1 13.4 */
};

#define CPUID_KVM_FEATURES 0x40000001
#define CPUID_NAME_FIRST   0x80000002
#define CPUID_AMD_TOPOLOGY 0x8000001e /* AMD APM vol. 3 appendix E */
#define CPUID_NAME_LAST    0x80000004

/* Served by the kernel's local APIC. */
#define ECX1_X2APIC       (1u << 21)
#define ECX1_TSC_DEADLINE (1u << 24)
/* What the operating system writes into CPUID by its control registers. */
#define ECX1_OSXSAVE      (1u << 27)
#define ECX7_OSPKE        (1u << 4)
#define ECX1_HYPERVISOR   (1u << 31)
/* Leaf 0x80000001 EDX has copies of leaf 1 EDX on AMD's. */
#define EDX81_COPIES      0x0183f3ffu
/* Served by the kernel without an APIC of its own: kvmclock, no delays at ports, stolen time. */
#define KVM_WITHOUT_APIC  (1u << 0 | 1u << 1 | 1u << 3 | 1u << 5 | 1u << 24)

static struct kvm_cpuid2 *cpuid_alloc(unsigned entries)
{
    struct kvm_cpuid2 *c = alloc_zero(1, sizeof *c + entries * sizeof(struct kvm_cpuid_entry2));

    c->nent = entries;
    return c;
}

/* KVM leaves the processor's name to its users. */
static void fill_name(struct kvm_cpuid2 *c)
{
    for (unsigned i = 0; i < c->nent; i++) {
        struct kvm_cpuid_entry2 *e = &c->entries[i];

        if (e->function >= CPUID_NAME_FIRST && e->function <= CPUID_NAME_LAST)
            __get_cpuid(e->function, &e->eax, &e->ebx, &e->ecx, &e->edx);
    }
}

/* What the host supports; freed by the caller. NULL with the error. */
static struct kvm_cpuid2 *load(int kvm_fd, struct error *err)
{
    for (unsigned n = ENTRIES_FIRST; n <= ENTRIES_MAX; n *= 2) {
        struct kvm_cpuid2 *c = cpuid_alloc(n);

        if (kvm_ioctl(kvm_fd, KVM_GET_SUPPORTED_CPUID, c) == 0) {
            fill_name(c);
            return c;
        }
        free(c);
        if (errno != E2BIG)
            break;
    }
    error_set_host(err, errno, "kvm: cannot learn what CPUID the host supports");
    return NULL;
}

/* ---- the offer ---- */

static uint32_t *reg_of(struct kvm_cpuid_entry2 *e, enum cpuid_reg reg)
{
    uint32_t *const regs[] = { &e->eax, &e->ebx, &e->ecx, &e->edx };

    return regs[reg];
}

static bool is_place(const struct kvm_cpuid_entry2 *e, const struct cpuid_place *p)
{
    return e->function == p->leaf && e->index == p->subleaf;
}

static void withhold(struct cpu_offer *o, enum cpuid_word word, uint32_t bits)
{
    o->withheld.word[word] = o->max.word[word] & bits;
    o->max.word[word] &= ~bits;
}

void kvm_cpuid_offer(const struct kvm_cpuid2 *host, bool kernel_apic, struct cpu_offer *out)
{
    *out = (struct cpu_offer){
        .backend = "kvm",
        .why_withheld = "it needs the in-kernel interrupt controllers",
    };
    for (unsigned i = 0; i < host->nent; i++) {
        struct kvm_cpuid_entry2 e = host->entries[i];

        for (unsigned w = 0; w < CPUID_WORDS; w++)
            if (is_place(&e, &cpuid_places[w]))
                out->max.word[w] = *reg_of(&e, cpuid_places[w].reg);
    }
    out->max.word[WORD_1_ECX] &= ~ECX1_OSXSAVE;
    out->max.word[WORD_1_ECX] |= ECX1_HYPERVISOR;
    out->max.word[WORD_7_ECX] &= ~ECX7_OSPKE;
    if (kernel_apic)
        return;
    withhold(out, WORD_1_ECX, ECX1_X2APIC | ECX1_TSC_DEADLINE);
    withhold(out, WORD_KVM, ~KVM_WITHOUT_APIC);
}

/* The kernel does not count it among what it supports, because it depends on its APIC. */
static void add_tsc_deadline(int kvm_fd, struct kvm_cpuid2 *c)
{
    if (ioctl(kvm_fd, KVM_CHECK_EXTENSION, KVM_CAP_TSC_DEADLINE_TIMER) <= 0)
        return;
    for (unsigned i = 0; i < c->nent; i++)
        if (c->entries[i].function == 1)
            c->entries[i].ecx |= ECX1_TSC_DEADLINE;
}

bool kvm_cpuid_load(struct accel *a, struct error *err)
{
    a->cpuid = load(a->kvm_fd, err);
    if (!a->cpuid)
        return false;
    if (a->chips)
        add_tsc_deadline(a->kvm_fd, a->cpuid);
    kvm_cpuid_offer(a->cpuid, a->chips, &a->offer);
    return true;
}

/* With interrupt chips in the kernel, where it has them; `withheld` is then what others do without.
 */
bool kvm_cpu_offer(struct cpu_offer *out, struct error *err)
{
    struct cpu_offer with_chips;
    struct kvm_cpuid2 *host;
    int fd = kvm_open_device(err);

    if (fd < 0)
        return false;
    host = load(fd, err);
    if (host) {
        add_tsc_deadline(fd, host);
        kvm_cpuid_offer(host, false, out);
        kvm_cpuid_offer(host, true, &with_chips);
        if (ioctl(fd, KVM_CHECK_EXTENSION, KVM_CAP_IRQCHIP) > 0)
            out->max = with_chips.max;
    }
    close(fd);
    free(host);
    return host;
}

/* ---- what a vcpu shows ---- */

/* One cpu, with the APIC id of its port. */
static void fix_entry(struct kvm_cpuid_entry2 *e, uint32_t apic_id)
{
    switch (e->function) {
    case 1:
        e->ebx = (e->ebx & 0xffff) | 1 << 16 | apic_id << 24;
        break;
    case 0xb:
    case 0x1f:
        e->edx = apic_id;
        break;
    case CPUID_AMD_TOPOLOGY:
        e->eax = apic_id;
        e->ebx = apic_id & 0xff; /* the core's number; it has one thread */
        e->ecx = 0;              /* one node, the first */
        break;
    case CPUID_KVM_FEATURES:
        e->edx = 0; /* no hints: nothing is known of how busy the host is */
        break;
    }
}

/* The further subleaves of 7 are forms of AVX for the most part. */
static void fix_leaf_7(struct kvm_cpuid_entry2 *e, const struct cpu_features *set)
{
    if (cpu_has_named(set, "avx"))
        return;
    if (e->index == 0)
        e->eax = 0;
    else
        e->eax = e->ebx = e->ecx = e->edx = 0;
}

/* Where the last of the states in `mask` ends, in the format that is not compacted. */
static uint32_t xsave_size(const struct kvm_cpuid2 *host, uint64_t mask)
{
    uint32_t size = XSAVE_LEGACY_SIZE;

    for (unsigned i = 0; i < host->nent; i++) {
        const struct kvm_cpuid_entry2 *e = &host->entries[i];

        if (e->function == 0xd && e->index > 1 && e->index < 64 && mask >> e->index & 1 &&
            e->ebx + e->eax > size)
            size = e->ebx + e->eax;
    }
    return size;
}

/* EBX of the first two, which is of the states in use, the kernel keeps itself. */
static void fix_leaf_d(struct kvm_cpuid_entry2 *e, const struct kvm_cpuid2 *host,
                       const struct cpu_features *set)
{
    uint64_t user = cpu_xsave_components(set), supervisor = cpu_xsave_supervisor(set);

    if (e->index == 0) {
        e->eax &= (uint32_t)user;
        e->edx &= (uint32_t)(user >> 32);
        e->ebx = XSAVE_LEGACY_SIZE;
        e->ecx = xsave_size(host, e->eax | (uint64_t)e->edx << 32);
    } else if (e->index == 1) {
        e->ecx &= (uint32_t)supervisor;
        e->edx &= (uint32_t)(supervisor >> 32);
    } else if (e->index >= 64 || !((user | supervisor) >> e->index & 1)) {
        e->eax = e->ebx = e->ecx = e->edx = 0;
    }
}

static void choose(struct kvm_cpuid_entry2 *e, const struct kvm_cpuid2 *host,
                   const struct cpu_features *set)
{
    for (unsigned w = 0; w < CPUID_WORDS; w++)
        if (is_place(e, &cpuid_places[w]))
            *reg_of(e, cpuid_places[w].reg) = set->word[w];
    if (!cpu_leaf_offered(set, e->function))
        e->eax = e->ebx = e->ecx = e->edx = 0;
    else if (e->function == 7)
        fix_leaf_7(e, set);
    else if (e->function == 0xd)
        fix_leaf_d(e, host, set);
}

/* Copies follow what they are copies of; which there are is the host's. */
static uint32_t with_copies(uint32_t edx, uint32_t host_edx, const struct cpu_features *set)
{
    return (edx & ~EDX81_COPIES) | (host_edx & EDX81_COPIES & set->word[WORD_1_EDX]);
}

struct kvm_cpuid2 *kvm_cpuid_make(const struct kvm_cpuid2 *host, const struct cpu_features *set,
                                  uint32_t apic_id)
{
    struct kvm_cpuid2 *c = cpuid_alloc(host->nent);

    for (unsigned i = 0; i < host->nent; i++) {
        struct kvm_cpuid_entry2 *e = &c->entries[i];

        *e = host->entries[i];
        choose(e, host, set);
        fix_entry(e, apic_id);
        if (e->function == 0x80000001)
            e->edx = with_copies(e->edx, host->entries[i].edx, set);
    }
    return c;
}

bool kvm_cpuid_set(struct kvm_vcpu *v, struct error *err)
{
    struct kvm_cpuid2 *c = kvm_cpuid_make(v->accel->cpuid, &v->features, v->vcpu.port->apic_id);
    bool ok = kvm_ioctl(v->fd, KVM_SET_CPUID2, c) == 0;

    if (!ok)
        error_set_host(
            err, errno,
            "kvm: the host refuses what CPUID is to show; another --cpu, or --accel soft, may "
            "help");
    for (unsigned i = 0; i < c->nent; i++)
        if (c->entries[i].function == 1)
            v->signature = c->entries[i].eax;
    free(c);
    return ok;
}
