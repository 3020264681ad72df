/* What the guest is told it runs on.
 *
 * GenuineIntel family 6 model 0x1c stepping 10 is a processor that kernels know to need no
 * speculation mitigations; the hypervisor leaf says KVM with no features, so that x2APIC is used
 * and kvmclock is not. Which features there are, `--cpu` chooses. Leaves 15h and 16h give the clock
 * rates, which spares calibration. Nothing of the host shows through. SDM vol. 2, CPUID. */
#include "cpu/soft/soft_cpu.h"

/* clang-format off */
enum {
    /* leaf 1, EDX */
    D_FPU = 1 << 0, D_DE = 1 << 2, D_PSE = 1 << 3, D_TSC = 1 << 4, D_MSR = 1 << 5, D_PAE = 1 << 6,
    D_MCE = 1 << 7, D_CX8 = 1 << 8, D_APIC = 1 << 9, D_SEP = 1 << 11, D_MTRR = 1 << 12,
    D_PGE = 1 << 13, D_MCA = 1 << 14, D_CMOV = 1 << 15, D_PAT = 1 << 16, D_PSE36 = 1 << 17,
    D_CLFSH = 1 << 19, D_MMX = 1 << 23, D_FXSR = 1 << 24, D_SSE = 1 << 25, D_SSE2 = 1 << 26,
    /* leaf 1, ECX */
    C_SSE3 = 1 << 0, C_SSSE3 = 1 << 9, C_CX16 = 1 << 13, C_SSE41 = 1 << 19, C_SSE42 = 1 << 20,
    C_X2APIC = 1 << 21, C_POPCNT = 1 << 23, C_TSC_DEADLINE = 1 << 24,
    /* leaf 0x80000001 */
    XC_LAHF = 1 << 0, XD_SYSCALL = 1 << 11, XD_NX = 1 << 20, XD_1GB = 1 << 26, XD_RDTSCP = 1 << 27,
    XD_LM = 1 << 29,
    /* leaves 6, 7, 0x80000007 */
    A_ARAT = 1 << 2, B_TSC_ADJUST = 1 << 1, D87_INVARIANT_TSC = 1 << 8,
};
/* clang-format on */

#define C_HYPERVISOR (1u << 31)

/* What is executed, whatever the model: "max". */
const struct cpu_offer soft_cpu_offer = {
    .backend = "soft",
    .max.word = {
        [WORD_1_EDX] = D_FPU | D_DE | D_PSE | D_TSC | D_MSR | D_PAE | D_MCE | D_CX8 | D_APIC |
                       D_SEP | D_MTRR | D_PGE | D_MCA | D_CMOV | D_PAT | D_PSE36 | D_CLFSH | D_MMX |
                       D_FXSR | D_SSE | D_SSE2,
        [WORD_1_ECX] = C_SSE3 | C_SSSE3 | C_CX16 | C_SSE41 | C_SSE42 | C_X2APIC | C_POPCNT |
                       C_TSC_DEADLINE | C_HYPERVISOR,
        [WORD_6_EAX] = A_ARAT,
        [WORD_7_EBX] = B_TSC_ADJUST,
        [WORD_81_EDX] = XD_SYSCALL | XD_NX | XD_1GB | XD_RDTSCP | XD_LM,
        [WORD_81_ECX] = XC_LAHF,
        [WORD_87_EDX] = D87_INVARIANT_TSC,
    },
};

static void text(uint32_t out[4], const char *s)
{
    memcpy(out, s, 16);
}

static uint64_t apic_base(struct soft_cpu *c)
{
    struct cpu_port *p = c->vcpu.port;
    return p->apic_ops ? p->apic_ops->get_base(p->apic) : 0;
}

static void leaf_1(struct soft_cpu *c, uint32_t out[4])
{
    uint64_t base = apic_base(c);
    out[0] = 0x000106ca; /* family 6, model 0x1c, stepping 10 */
    out[1] =
        c->vcpu.port->apic_id << 24 | 1 << 16 | 8 << 8; /* one logical cpu, CLFLUSH of 64 bytes */
    out[2] = c->features.word[WORD_1_ECX];
    out[3] = c->features.word[WORD_1_EDX];
    if (!(base & 1 << 11)) { /* none, or switched off */
        out[2] &= ~(uint32_t)(C_X2APIC | C_TSC_DEADLINE);
        out[3] &= ~(uint32_t)D_APIC;
    }
}

/* The words of features that this leaf holds. Leaf 7 alone has subleaves: others do not look at
 * ECX.
 */
static void put_features(const struct soft_cpu *c, uint32_t leaf, uint32_t subleaf, uint32_t out[4])
{
    subleaf = leaf == 7 ? subleaf : 0;
    for (unsigned w = 0; w < CPUID_WORDS; w++)
        if (cpuid_places[w].leaf == leaf && cpuid_places[w].subleaf == subleaf)
            out[cpuid_places[w].reg] = c->features.word[w];
}

void cpuid_query(struct soft_cpu *c, uint32_t leaf, uint32_t subleaf, uint32_t out[4])
{
    enum { MAX_BASIC = 0x16, MAX_EXTENDED = 0x80000008u - 0x80000000u };
    memset(out, 0, 4 * sizeof out[0]);
    /* Beyond the last leaf Intel's answers as for the highest basic one. */
    if ((leaf > MAX_BASIC && leaf < 0x40000000) || (leaf > 0x40000001 && leaf < 0x80000000) ||
        leaf > 0x80000000 + MAX_EXTENDED)
        leaf = MAX_BASIC;
    put_features(c, leaf, subleaf, out);
    switch (leaf) {
    case 0:
        text(out, "\x16\0\0\0GenuntelineI");
        break;
    case 1:
        leaf_1(c, out);
        break;
    case 2:
        out[0] = 1; /* no descriptors */
        break;
    case 0x15:
        /* TSC = crystal * EBX / EAX: a crystal of 1 GHz, one tick a nanosecond */
        out[0] = out[1] = 1;
        out[2] = 1000000000;
        break;
    case 0x16:
        out[0] = out[1] = 1000; /* MHz */
        out[2] = 100;
        break;
    case 0x40000000:
        out[0] = 0x40000001;
        memcpy(&out[1], "KVMKVMKVM\0\0", 12);
        break;
    case 0x80000000:
        out[0] = 0x80000000 + MAX_EXTENDED;
        break;
    case 0x80000002:
        text(out, "Perilune softwar");
        break;
    case 0x80000003:
        text(out, "e CPU (base)\0\0\0\0");
        break;
    case 0x80000008:
        out[0] = 48 << 8 | 40; /* linear and physical address bits */
        break;
    default:
        break;
    }
}
