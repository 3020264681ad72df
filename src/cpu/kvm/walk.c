/* May programs execute what is at a linear address? KVM_TRANSLATE does not say so: the page tables
 * are read here. SDM vol. 3 chapter 4. Machine lock. */
#include "cpu/kvm/kvm_internal.h"

#include "base/bits.h"

enum { PRESENT = 1 << 0, USER = 1 << 2, LARGE = 1 << 7, ADDRESS_SHIFT = 12 };

#define CR0_PG     (1ULL << 31)
#define CR4_PSE    (1ULL << 4)
#define CR4_PAE    (1ULL << 5)
#define CR4_LA57   (1ULL << 12)
#define EFER_LMA   (1ULL << 10)
#define ENTRY_ADDR (bits_mask(52) & ~bits_mask(ADDRESS_SHIFT))

/* Of memory alone, and unseen by hooks. 0, not present: there is none. */
static uint64_t load_entry(struct kvm_vcpu *v, uint64_t gpa, unsigned size)
{
    uint64_t len = size, ram;
    const uint8_t *host = address_space_ptr(v->vcpu.machine->memory, gpa, &len, false, &ram);

    return host && len >= size ? ld_le(host, size) : 0;
}

bool kvm_is_for_programs(struct kvm_vcpu *v, uint64_t va)
{
    struct kvm_sregs s;

    if (!kvm_vcpu_get_sregs(&v->vcpu, &s, NULL) || !(s.cr0 & CR0_PG))
        return false;
    bool pae = s.cr4 & CR4_PAE, lma = s.efer & EFER_LMA;
    unsigned size = pae ? 8 : 4, bits = pae ? 9 : 10;
    unsigned levels = !pae ? 2 : !lma ? 3 : s.cr4 & CR4_LA57 ? 5 : 4;
    uint64_t table = pae && !lma ? s.cr3 & 0xffffffe0 : s.cr3 & ENTRY_ADDR;

    for (unsigned level = levels; level; level--) {
        bool bare = pae && !lma && level == 3; /* no rights, no pages */
        uint64_t index = va >> (ADDRESS_SHIFT + bits * (level - 1)) & bits_mask(bits);
        uint64_t entry = load_entry(v, table + index * size, size);

        if (!(entry & PRESENT) || (!bare && !(entry & USER)))
            return false;
        if (level > 1 && !bare && entry & LARGE && (pae || s.cr4 & CR4_PSE))
            return true;
        table = entry & ENTRY_ADDR;
    }
    return true;
}
