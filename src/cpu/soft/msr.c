/* Model-specific registers. SDM vol. 4 lists them; one that is not here raises #GP, logged once. */
#include "cpu/soft/operand.h"
#include "cpu/soft/segment.h"

#include "base/log.h"

/* clang-format off */
enum {
    MSR_P5_MC_ADDR = 0x0, MSR_P5_MC_TYPE = 0x1, MSR_TSC = 0x10, MSR_PLATFORM_ID = 0x17, MSR_APIC_BASE = 0x1b,
    MSR_FEATURE_CONTROL = 0x3a, MSR_MISC_FEATURES = 0x140, MSR_TSC_ADJUST = 0x3b, MSR_BIOS_UPDT_TRIG = 0x79,
    MSR_BIOS_SIGN_ID = 0x8b, MSR_SMI_COUNT = 0x34, MSR_PLATFORM_INFO = 0xce, MSR_MTRRCAP = 0xfe, MSR_SYSENTER_CS = 0x174,
    MSR_SYSENTER_ESP = 0x175, MSR_SYSENTER_EIP = 0x176, MSR_MISC_ENABLE = 0x1a0, MSR_MTRR_PHYS0 = 0x200,
    MSR_MTRR_FIX64K = 0x250, MSR_MTRR_FIX16K_80000 = 0x258, MSR_MTRR_FIX16K_A0000 = 0x259,
    MSR_MTRR_FIX4K = 0x268, MSR_PAT = 0x277, MSR_MTRR_DEF_TYPE = 0x2ff,
    MSR_TSC_DEADLINE = 0x6e0, MSR_X2APIC = 0x800, MSR_X2APIC_LAST = 0x8ff,
};
/* clang-format on */
#define MSR_AMD_DE_CFG \
    0xc0011029u /* kernels look whether it is there: #GP says no, without a word */
#define MSR_EFER           0xc0000080u
#define MSR_STAR           0xc0000081u
#define MSR_LSTAR          0xc0000082u
#define MSR_CSTAR          0xc0000083u
#define MSR_SFMASK         0xc0000084u
#define MSR_FS_BASE        0xc0000100u
#define MSR_GS_BASE        0xc0000101u
#define MSR_KERNEL_GS_BASE 0xc0000102u
#define MSR_TSC_AUX        0xc0000103u

/* What there is to know of an MSR beyond its value: the feature that it belongs to (NULL: none; of
 * several rows any), and whether it belongs to the state of a cpu that goes elsewhere. TSC_ADJUST
 * is another view of the TSC; EFER and the bases of FS and GS are in struct kvm_sregs. */
static const struct {
    uint32_t first, last;
    const char *feature;
    bool state;
} ranges[] = {
    /* clang-format off */
    { MSR_TSC, MSR_TSC, "tsc", true },
    { MSR_APIC_BASE, MSR_APIC_BASE, "apic", false },
    { MSR_TSC_ADJUST, MSR_TSC_ADJUST, "tsc_adjust", false },
    { MSR_SMBASE, MSR_SMBASE, NULL, true },
    { MSR_MTRRCAP, MSR_MTRRCAP, "mtrr", false },
    { MSR_SYSENTER_CS, MSR_SYSENTER_EIP, "sep", true },
    { MSR_MCG_CAP, MSR_MCG_CAP, "mca", false },
    { MSR_MCG_STATUS, MSR_MCG_STATUS, "mca", true },
    { MSR_MISC_ENABLE, MSR_MISC_ENABLE, NULL, true },
    { MSR_MTRR_PHYS0, MSR_MTRR_PHYS0 + 15, "mtrr", true },
    { MSR_MTRR_FIX64K, MSR_MTRR_FIX64K, "mtrr", true },
    { MSR_MTRR_FIX16K_80000, MSR_MTRR_FIX16K_A0000, "mtrr", true },
    { MSR_MTRR_FIX4K, MSR_MTRR_FIX4K + 7, "mtrr", true },
    { MSR_PAT, MSR_PAT, "pat", true },
    { MSR_MTRR_DEF_TYPE, MSR_MTRR_DEF_TYPE, "mtrr", true },
    { MSR_MC0_CTL, MSR_MC0_CTL + 4 * MC_BANKS - 1, "mca", true },
    { MSR_TSC_DEADLINE, MSR_TSC_DEADLINE, "tsc_deadline_timer", false },
    { MSR_X2APIC, MSR_X2APIC_LAST, "x2apic", false },
    { MSR_EFER, MSR_EFER, "lm", false },
    { MSR_EFER, MSR_EFER, "nx", false },
    { MSR_EFER, MSR_EFER, "syscall", false },
    { MSR_STAR, MSR_SFMASK, "syscall", true },
    { MSR_FS_BASE, MSR_GS_BASE, "lm", false },
    { MSR_KERNEL_GS_BASE, MSR_KERNEL_GS_BASE, "lm", true },
    { MSR_TSC_AUX, MSR_TSC_AUX, "rdtscp", true },
    { MSR_TSC_AUX, MSR_TSC_AUX, "rdpid", false },
    /* clang-format on */
};
_Static_assert(ARRAY_LEN(ranges) <= 32, "a bit of soft_cpu.msrs for each");

uint32_t msr_groups(const struct cpu_features *set)
{
    uint32_t found = 0;
    for (unsigned n = 0; n < ARRAY_LEN(ranges); n++)
        if (!ranges[n].feature || cpu_has_named(set, ranges[n].feature))
            found |= 1u << n;
    return found;
}

bool msr_exists(const struct soft_cpu *c, uint32_t index)
{
    bool is_owned = false;
    for (unsigned n = 0; n < ARRAY_LEN(ranges); n++)
        if (index >= ranges[n].first && index <= ranges[n].last) {
            if (c->msrs >> n & 1)
                return true;
            is_owned = true;
        }
    return !is_owned;
}

size_t soft_msrs(struct vcpu *v, uint32_t *out, size_t max)
{
    size_t count = 0;
    for (size_t n = 0; n < ARRAY_LEN(ranges); n++)
        for (uint32_t index = ranges[n].first; ranges[n].state && index <= ranges[n].last;
             index++, count++)
            if (count < max)
                out[count] = index;
    if (v->port->apic_ops) {
        if (count < max)
            out[count] = MSR_TSC_DEADLINE;
        count++;
    }
    return count;
}

static bool is_apic_msr(uint32_t index)
{
    return index == MSR_TSC_DEADLINE || (index >= MSR_X2APIC && index <= MSR_X2APIC_LAST);
}

/* The MSRs that are plain storage of a field. */
static uint64_t *plain_msr(struct soft_cpu *c, uint32_t index)
{
    switch (index) {
    case MSR_SYSENTER_CS:
        return &c->sysenter_cs;
    case MSR_SYSENTER_ESP:
        return &c->sysenter_esp;
    case MSR_SYSENTER_EIP:
        return &c->sysenter_eip;
    case MSR_STAR:
        return &c->star;
    case MSR_LSTAR:
        return &c->lstar;
    case MSR_CSTAR:
        return &c->cstar;
    case MSR_SFMASK:
        return &c->sfmask;
    case MSR_KERNEL_GS_BASE:
        return &c->kernel_gs_base;
    case MSR_TSC_AUX:
        return &c->tsc_aux;
    case MSR_PAT:
        return &c->pat;
    case MSR_MISC_ENABLE:
        return &c->misc_enable;
    case MSR_MTRR_DEF_TYPE:
        return &c->mtrr_def_type;
    case MSR_MTRR_FIX64K:
        return &c->mtrr_fixed[0];
    case MSR_MTRR_FIX16K_80000:
    case MSR_MTRR_FIX16K_A0000:
        return &c->mtrr_fixed[1 + index - MSR_MTRR_FIX16K_80000];
    default:
        if (index >= MSR_MTRR_FIX4K && index < MSR_MTRR_FIX4K + 8)
            return &c->mtrr_fixed[3 + index - MSR_MTRR_FIX4K];
        if (index >= MSR_MTRR_PHYS0 && index < MSR_MTRR_PHYS0 + 16)
            return &c->mtrr_var[index - MSR_MTRR_PHYS0];
        return NULL;
    }
}

bool msr_read(struct soft_cpu *c, uint32_t index, uint64_t *v)
{
    struct cpu_port *p = c->vcpu.port;
    uint64_t *plain = plain_msr(c, index);
    if (plain) {
        *v = *plain;
        return true;
    }
    if (p->apic_ops && (index == MSR_APIC_BASE || is_apic_msr(index))) {
        bool ok = true;
        enter_machine(c);
        if (index == MSR_APIC_BASE)
            *v = p->apic_ops->get_base(p->apic);
        else
            ok = p->apic_ops->read_msr(p->apic, index, v);
        leave_machine(c);
        return ok;
    }
    if (mc_is_msr(index)) {
        *v = mc_msr_read(c, index);
        return true;
    }
    switch (index) {
    case MSR_TSC:
        *v = soft_tsc(c);
        return true;
    case MSR_TSC_ADJUST:
        *v = c->tsc_offset;
        return true;
    case MSR_EFER:
        *v = c->efer;
        return true;
    case MSR_FS_BASE:
        *v = c->seg[SEG_FS].base;
        return true;
    case MSR_GS_BASE:
        *v = c->seg[SEG_GS].base;
        return true;
    case MSR_BIOS_SIGN_ID:
        *v = (uint64_t)0x20e << 32; /* the revision that kernels want before they use large pages */
        return true;
    case MSR_MTRRCAP:
        *v = 1 << 10 | 1 << 8 | 8; /* write combining, fixed ranges, eight variable ones */
        return true;
    case MSR_SMI_COUNT:
        *v = c->smi_count;
        return true;
    case MSR_FEATURE_CONTROL:
        *v = 1; /* locked */
        return true;
    case MSR_PLATFORM_ID:
    case MSR_P5_MC_ADDR:
    case MSR_P5_MC_TYPE:
    case MSR_APIC_BASE:
    case MSR_PLATFORM_INFO:
    case MSR_MISC_FEATURES:
        *v = 0;
        return true;
    case MSR_AMD_DE_CFG:
        return false;
    default:
        log_guest("cpu", "read of unknown MSR %#x at %#llx: #GP", index,
                  (unsigned long long)c->r[REG_RIP]);
        return false;
    }
}

static bool valid_pat(uint64_t v)
{
    for (unsigned n = 0; n < 8; n++, v >>= 8)
        if ((v & 0xff) > 7 || (v & 0xff) == 2 || (v & 0xff) == 3)
            return false;
    return true;
}

/* MTRRs, SDM vol. 3 12.11: reserved bits, and types that there are (0, 1, 4, 5, 6). */
static bool valid_mtrr(uint32_t index, uint64_t v)
{
    const uint64_t address = bits_mask(SOFT_PHYSICAL_BITS) & ~0xfffULL;
    enum { TYPES = 0x73, ENABLE_FIXED = 1 << 10, ENABLE = 1 << 11, MASK_VALID = 1 << 11 };
    bool is_variable = index >= MSR_MTRR_PHYS0 && index < MSR_MTRR_PHYS0 + 16;
    if (is_variable && index & 1)
        return !(v & ~(address | MASK_VALID));
    uint64_t others = is_variable                  ? address
                      : index == MSR_MTRR_DEF_TYPE ? (uint64_t)(ENABLE_FIXED | ENABLE)
                                                   : 0;
    bool is_fixed = !is_variable && index != MSR_MTRR_DEF_TYPE;
    if (!is_fixed && v & ~(others | 0xff))
        return false;
    for (unsigned n = 0; n < (is_fixed ? 8 : 1); n++) {
        unsigned type = v >> 8 * n & 0xff;
        if (type > 6 || !(TYPES >> type & 1))
            return false;
    }
    return true;
}

static bool valid_plain(uint32_t index, uint64_t v)
{
    if (index >= MSR_MTRR_PHYS0 && index <= MSR_MTRR_DEF_TYPE && index != MSR_PAT)
        return valid_mtrr(index, v);
    switch (index) {
    case MSR_PAT:
        return valid_pat(v);
    case MSR_SYSENTER_ESP:
    case MSR_SYSENTER_EIP:
    case MSR_LSTAR:
    case MSR_CSTAR:
    case MSR_KERNEL_GS_BASE:
        return is_canonical(v);
    case MSR_SFMASK:
    case MSR_TSC_AUX:
        return v >> 32 == 0;
    default:
        return true;
    }
}

static bool set_base(struct soft_cpu *c, unsigned seg, uint64_t v)
{
    if (!is_canonical(v))
        return false;
    c->seg[seg].base = v;
    update_mode(c);
    return true;
}

bool msr_write_by_guest(struct soft_cpu *c, uint32_t index, uint64_t v)
{
    const uint64_t fixed = index == MSR_MISC_ENABLE ? MISC_READ_ONLY : 0;
    return msr_write(c, index, (v & ~fixed) | (c->misc_enable & fixed));
}

bool msr_write(struct soft_cpu *c, uint32_t index, uint64_t v)
{
    struct cpu_port *p = c->vcpu.port;
    uint64_t *plain = plain_msr(c, index);
    if (plain) {
        if (!valid_plain(index, v))
            return false;
        *plain = v;
        return true;
    }
    if (p->apic_ops && (index == MSR_APIC_BASE || is_apic_msr(index))) {
        enter_machine(c);
        bool ok = index == MSR_APIC_BASE ? p->apic_ops->set_base(p->apic, v)
                                         : p->apic_ops->write_msr(p->apic, index, v);
        leave_machine(c);
        return ok;
    }
    if (mc_is_msr(index))
        return mc_msr_write(c, index, v);
    switch (index) {
    case MSR_TSC:
        c->tsc_offset += v - soft_tsc(c);
        return true;
    case MSR_TSC_ADJUST:
        c->tsc_offset = v;
        return true;
    case MSR_EFER:
        return write_efer(c, v);
    case MSR_FS_BASE:
        return set_base(c, SEG_FS, v);
    case MSR_GS_BASE:
        return set_base(c, SEG_GS, v);
    case MSR_BIOS_SIGN_ID:
    case MSR_BIOS_UPDT_TRIG:
    case MSR_P5_MC_ADDR:
    case MSR_P5_MC_TYPE:
    case MSR_PLATFORM_INFO:
        return true;
    case MSR_MISC_FEATURES:
        return v == 0; /* none of them is there */
    default:
        log_guest("cpu", "write of %#llx to unknown MSR %#x at %#llx: #GP", (unsigned long long)v,
                  index, (unsigned long long)c->r[REG_RIP]);
        return false;
    }
}
