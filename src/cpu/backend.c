/* The backends there are. */
#include "cpu/vcpu.h"

#include "base/bits.h"

#include <string.h>

static const struct vcpu_backend *const backends[] = { &vcpu_soft, &vcpu_kvm };

extern const struct device_type kvm_apic_type, kvm_ioapic_type, kvm_pic_type, kvm_pit_type;

const struct device_type *const vcpu_device_types[] = {
    &kvm_apic_type, &kvm_ioapic_type, &kvm_pic_type, &kvm_pit_type, NULL,
};

const struct vcpu_backend *vcpu_backend_find(const char *name, struct error *err)
{
    for (size_t i = 0; i < ARRAY_LEN(backends); i++)
        if (!strcmp(backends[i]->name, name))
            return backends[i];
    error_set(err, "accel: there is no \"%s\"; use \"soft\" or \"kvm\"", name);
    return NULL;
}
