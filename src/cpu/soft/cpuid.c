/* What the guest is told it runs on.
 *
 * GenuineIntel family 6 model 0x1c stepping 10 is a processor that kernels know to need no
 * speculation mitigations; the hypervisor leaf says KVM with no features, so that x2APIC is used
 * and kvmclock is not. Which features there are, `--cpu` chooses. Leaves 15h and 16h give the clock
 * rates, which spares calibration. Nothing of the host shows through. SDM vol. 2, CPUID. */
#include "cpu/soft/soft_cpu.h"

/* Bits that leaf_1() decides. */
enum { D_APIC = 1 << 9, C_X2APIC = 1 << 21, C_TSC_DEADLINE = 1 << 24, C_OSXSAVE = 1 << 27 };

/* What is executed beyond the model "base", by name: "max" has it too. So has it the sets of isa.c.
 */
static const char *const beyond_base[] = {
    /* clang-format off */
    "pcid",
    "smep",
    "umip",
    "vme",
    NULL,
    /* clang-format on */
};

void soft_cpu_offer(struct cpu_offer *out)
{
    *out = (struct cpu_offer){ .backend = "soft", .max = cpu_features_base };
    for (const char *const *name = beyond_base; *name; name++)
        cpu_set_named(&out->max, *name);
    for (unsigned bit = 0; bit < ISA_COUNT; bit++)
        cpu_set_named(&out->max, soft_isa_name(bit));
}

/* Bits of CR4 and EFER that hang on a feature; its instructions are in isa.c, its MSRs in msr.c. */
static const struct {
    const char *name;
    uint64_t cr4, efer;
} consequences[] = {
    /* clang-format off */
    { "de", CR4_DE, 0 },
    { "fsgsbase", CR4_FSGSBASE, 0 },
    { "fxsr", CR4_OSFXSR, 0 },
    { "lm", 0, EFER_LME | EFER_LMA },
    { "mce", CR4_MCE, 0 },
    { "nx", 0, EFER_NX },
    { "pae", CR4_PAE, 0 },
    { "pcid", CR4_PCIDE, 0 },
    { "pge", CR4_PGE, 0 },
    { "pse", CR4_PSE, 0 },
    { "smap", CR4_SMAP, 0 },
    { "smep", CR4_SMEP, 0 },
    { "sse", CR4_OSXMMEXCPT, 0 },
    { "syscall", 0, EFER_SCE },
    { "tsc", CR4_TSD, 0 },
    { "umip", CR4_UMIP, 0 },
    { "vme", CR4_VME | CR4_PVI, 0 },
    { "xsave", CR4_OSXSAVE, 0 },
    /* clang-format on */
};

void soft_features_init(struct soft_cpu *c)
{
    c->cr4_known = CR4_PCE;
    c->efer_known = 0;
    for (unsigned n = 0; n < ARRAY_LEN(consequences); n++)
        if (cpu_has_named(&c->features, consequences[n].name)) {
            c->cr4_known |= consequences[n].cr4;
            c->efer_known |= consequences[n].efer;
        }
    c->pages_1g = cpu_has_named(&c->features, "pdpe1gb");
    c->msrs = msr_groups(&c->features);
}

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
    if (c->cr4 & CR4_OSXSAVE)
        out[2] |= C_OSXSAVE;
    if (!(base & 1 << 11)) { /* none, or switched off */
        out[2] &= ~(uint32_t)(C_X2APIC | C_TSC_DEADLINE);
        out[3] &= ~(uint32_t)D_APIC;
    }
}

/* The words of features that this leaf holds. Leaves 7 and 0xd have subleaves: others do
 * not look at ECX. */
static void put_features(const struct soft_cpu *c, uint32_t leaf, uint32_t subleaf, uint32_t out[4])
{
    subleaf = leaf == 7 || leaf == 0xd ? subleaf : 0;
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
    case 0xd:
        xsave_cpuid(c, subleaf, out);
        break;
    case 5: /* MONITOR: lines of 64 bytes, no extensions */
        if (c->isa & ISA_MONITOR)
            out[0] = out[1] = 64;
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
        out[0] = 48 << 8 | SOFT_PHYSICAL_BITS; /* linear and physical address bits */
        break;
    default:
        break;
    }
}
